//! The contract of `Store`, one list of claims for every engine.
//!
//! Each claim is an async function over a [`Harness`]; `claims!` makes a test of it for each engine. Time is a number
//! that the claims choose.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]

mod bounds;
mod carried;
pub(crate) mod database;
mod durable;
mod failover;
mod fences;
mod lanes;
mod leases;
mod model;
mod moving;
mod operators;
mod plans;
mod rows;
mod shared;

use std::{sync::Arc, time::Duration};

use impsgw::{
    model::Timestamp,
    store::{
        Batch, Claim, Committed, ItemId, Lane, Leased, NewItem, OutboxItem, Priority, Settle, Store,
        WorkerId,
        postgres::{PostgresConfig, PostgresStore},
        sqlite::{SqliteConfig, SqliteStore, Synchronous},
    },
};
use tokio::runtime::Handle;

/// Opens stores of one engine.
trait Harness {
    /// A store with bounds of items: in all, and of one queue.
    fn bounded(&self, max_items: Option<u64>, max_items_per_queue: Option<u64>) -> Arc<dyn Store>;

    /// A store; the same one each time, when it survives being closed.
    fn open(&self) -> Arc<dyn Store> {
        self.bounded(None, None)
    }
}

/// SQLite in a file, without flushes, since no power is lost here.
struct SqliteFile(tempfile::TempDir);

impl SqliteFile {
    fn new() -> Option<Self> {
        Some(Self(tempfile::tempdir().unwrap()))
    }
}

impl Harness for SqliteFile {
    fn bounded(&self, max_items: Option<u64>, max_items_per_queue: Option<u64>) -> Arc<dyn Store> {
        let config = SqliteConfig {
            max_items,
            max_items_per_queue,
            synchronous: Synchronous::Off,
            ..SqliteConfig::new(self.0.path().join("deep/impsgw.db"))
        };
        Arc::new(SqliteStore::open(&config).unwrap())
    }
}

/// SQLite in memory.
struct SqliteMemory;

impl SqliteMemory {
    fn new() -> Option<Self> {
        Some(Self)
    }
}

impl Harness for SqliteMemory {
    fn bounded(&self, max_items: Option<u64>, max_items_per_queue: Option<u64>) -> Arc<dyn Store> {
        let config = SqliteConfig {
            max_items,
            max_items_per_queue,
            ..SqliteConfig::new("")
        };
        Arc::new(SqliteStore::in_memory_with(&config).unwrap())
    }
}

/// PostgreSQL, in a schema of its own; `None` where it is not installed.
struct Postgres(PostgresConfig);

impl Postgres {
    fn new() -> Option<Self> {
        Some(Self(database::server()?.config()))
    }
}

impl Harness for Postgres {
    fn bounded(&self, max_items: Option<u64>, max_items_per_queue: Option<u64>) -> Arc<dyn Store> {
        let config = PostgresConfig {
            max_items,
            max_items_per_queue,
            ..self.0.clone()
        };
        let opening = PostgresStore::open(&config);
        tokio::task::block_in_place(|| Arc::new(Handle::current().block_on(opening).unwrap()))
    }
}

macro_rules! claims {
    ($engine:ident, $harness:ident: $($file:ident { $($claim:ident),+ $(,)? })+) => {
        mod $engine {
            $(mod $file {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $claim() {
                    let Some(harness) = super::super::$harness::new() else {
                        return;
                    };
                    super::super::$file::$claim(&harness).await;
                })+
            })+
        }
    };
}

macro_rules! engines {
    ($($claims:tt)+) => {
        claims! { sqlite_file, SqliteFile: $($claims)+ durable {
            what_was_answered_is_there_after_a_close,
            what_was_answered_is_there_after_a_drop,
            identities_are_not_used_again_after_a_reopening,
            lease_survives_a_reopening,
            fence_survives_a_reopening,
        } }
        claims! { postgres, Postgres: $($claims)+ durable {
            what_was_answered_is_there_after_a_close,
            what_was_answered_is_there_after_a_drop,
            identities_are_not_used_again_after_a_reopening,
            lease_survives_a_reopening,
            fence_survives_a_reopening,
        } }
        claims! { sqlite_memory, SqliteMemory: $($claims)+ }
    };
}

engines! {
    rows {
        row_is_read_back,
        version_goes_up_by_one,
        expired_row_is_absent,
        expired_row_gives_way_to_version_one,
        expiry_removes_only_what_has_expired,
        expected_absent_conflicts_with_a_living_row,
        expected_version_conflicts_with_another,
        removal_honours_what_is_expected,
        conflict_undoes_the_whole_batch,
        later_write_of_a_batch_sees_the_earlier,
        spaces_are_apart,
        prefix_scan_finds_exactly_the_prefix,
        prefix_scan_goes_on_after_a_key,
        big_and_empty_values_come_back,
        latest_time_stays_never,
        one_of_many_wins_an_absent_row,
        counter_with_versions_loses_nothing,
    }
    lanes {
        oldest_of_a_lane_goes_first,
        lane_waits_for_its_leased_item,
        lane_waits_for_a_deferred_front,
        lane_waits_for_an_awaiting_item,
        lane_waits_for_a_held_item,
        dead_item_does_not_block,
        interactive_goes_before_background,
        due_first_goes_first,
        late_items_come_in_the_order_of_their_expiry,
        what_is_not_due_stays,
        excepted_queues_stay,
        limit_is_kept_and_the_best_are_taken,
        newest_replaces_the_waiting,
        replacing_leaves_other_keys_and_lanes,
        leased_item_is_not_replaced_and_not_retried,
        conversation_waits_where_its_living_items_are,
        lanes_are_listed_once_each_in_pages,
        next_due_is_the_first_front,
        many_producers_lose_nothing_and_keep_order,
        many_workers_share_without_overlap,
    }
    leases {
        claim_tells_all_of_the_item,
        lease_ends_by_the_clock,
        lost_lease_settles_nothing,
        ended_lease_counts_until_it_is_taken,
        lease_lost_undoes_the_whole_batch,
        rescheduled_item_remembers_the_failure,
        awaiting_item_comes_back_unanswered,
        everything_scheduled_can_be_made_due,
        late_answer_removes_wherever_it_stands,
        settled_item_is_gone,
    }
    fences {
        lease_has_one_holder,
        renewal_keeps_the_fence_and_the_lease,
        ended_lease_begins_anew_with_the_next_fence,
        lease_that_was_given_up_is_free_at_once,
        only_the_holder_gives_a_lease_up,
        leases_are_apart_by_name,
        held_leases_are_listed_by_prefix,
        fenced_batch_of_the_holder_is_done,
        fence_counts_after_the_end_until_the_lease_is_taken,
        lost_fence_undoes_the_whole_batch,
        every_fence_of_a_batch_must_hold,
        one_of_many_gets_a_lease,
        counter_under_a_lease_loses_nothing,
    }
    operators {
        held_item_is_not_leased,
        leased_item_is_neither_held_nor_discarded,
        released_item_takes_its_old_place,
        released_item_waits_for_what_is_under_way,
        only_held_and_dead_are_released_or_redirected,
        redirected_item_joins_the_other_lane,
        older_item_that_came_back_goes_before_a_retry,
        older_item_that_came_back_goes_before_a_held_one,
        dead_item_that_leaves_its_lane_sets_nobody_free,
        discarded_item_frees_its_lane,
        items_are_listed_by_queue_place_and_label,
        items_are_listed_in_pages,
        counts_are_by_queue_and_place,
    }
    bounds {
        full_store_refuses_and_recovers,
        full_queue_leaves_the_others,
        replacing_needs_no_room,
        refused_batch_leaves_nothing,
        closed_store_says_so,
        empty_batch_is_done,
    }
}

/// The time at which claims begin.
const START: Timestamp = Timestamp(1_000_000);

/// So many milliseconds after the start.
fn at(millis: u64) -> Timestamp {
    START.plus(Duration::from_millis(millis))
}

fn lane(queue: &str, conversation: &str) -> Lane {
    Lane {
        queue: queue.to_owned(),
        conversation: conversation.to_owned(),
    }
}

/// An interactive item of `beta`, due at the start.
fn an_item(conversation: &str, body: &str) -> NewItem {
    NewItem {
        lane: lane("beta", conversation),
        priority: Priority::Interactive,
        due: START,
        expires: at(1_000_000),
        replaces: None,
        is_awaiting: false,
        last_failure: None,
        labels: Vec::new(),
        body: body.to_owned().into(),
    }
}

fn worker(name: &str) -> WorkerId {
    WorkerId(name.to_owned())
}

/// A claim of up to 100 items for ten seconds.
fn a_claim(by: &str, now: Timestamp) -> Claim {
    Claim {
        by: worker(by),
        now,
        lease: Duration::from_secs(10),
        limit: 100,
        except_queues: Vec::new(),
    }
}

/// Asks for the lease `ladder` for ten seconds.
async fn lease(store: &dyn Store, by: &str, now: Timestamp) -> Leased {
    let ttl = Duration::from_secs(10);
    store.lease("ladder", &worker(by), ttl, now).await.unwrap()
}

/// Takes or renews the lease `ladder`, as it must succeed; its fence.
async fn leased(store: &dyn Store, by: &str, now: Timestamp) -> u64 {
    match lease(store, by, now).await {
        Leased::Held { fence } => fence,
        other @ Leased::By { .. } => panic!("{other:?}"),
    }
}

async fn commit(store: &dyn Store, batch: Batch) {
    assert_eq!(store.commit(batch).await.unwrap(), Committed::Done);
}

async fn enqueue(store: &dyn Store, items: impl IntoIterator<Item = NewItem>) {
    for item in items {
        commit(store, Batch::new(START).enqueue(item)).await;
    }
}

async fn settle(store: &dyn Store, id: ItemId, settle: Settle) -> Committed {
    store.commit(Batch::new(START).settle(id, settle)).await.unwrap()
}

/// Settles the way it must succeed.
async fn settled(store: &dyn Store, id: ItemId, what: Settle) {
    assert_eq!(settle(store, id, what).await, Committed::Done);
}

fn done(by: &str) -> Settle {
    Settle::Done { by: worker(by) }
}

fn bodies(items: &[OutboxItem]) -> Vec<&str> {
    items
        .iter()
        .map(|item| std::str::from_utf8(&item.body).unwrap())
        .collect()
}

/// The bodies of what a claim of worker `w` yields.
async fn claimed(store: &dyn Store, now: Timestamp) -> Vec<OutboxItem> {
    store.claim(a_claim("w", now)).await.unwrap()
}

/// The one item that is claimed now.
async fn claimed_one(store: &dyn Store, now: Timestamp) -> OutboxItem {
    let mut items = claimed(store, now).await;
    assert_eq!(items.len(), 1, "{items:?}");
    items.remove(0)
}
