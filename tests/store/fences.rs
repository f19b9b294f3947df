//! Leases by name: one holder at a time, and fences that keep the one before from writing.

use std::{sync::Arc, time::Duration};

use impsgw::store::{Batch, Committed, Expected, Leased, RowWrite, Space, Store};

use super::{Harness, START, an_item, at, claimed_one, commit, done, enqueue, lease, leased, worker};

pub(super) async fn lease_has_one_holder(harness: &impl Harness) {
    let store = harness.open();
    assert_eq!(leased(&*store, "a", START).await, 1);
    let refused = Leased::By {
        holder: worker("a"),
        fence: 1,
        left: Duration::from_millis(1),
    };
    assert_eq!(lease(&*store, "b", at(9_999)).await, refused);
    assert_eq!(leased(&*store, "b", at(10_000)).await, 2);
    assert!(matches!(
        lease(&*store, "a", at(10_001)).await,
        Leased::By { fence: 2, .. }
    ));
}

pub(super) async fn renewal_keeps_the_fence_and_the_lease(harness: &impl Harness) {
    let store = harness.open();
    for renewal in 0..4 {
        assert_eq!(leased(&*store, "a", at(renewal * 9_000)).await, 1);
    }
    assert!(matches!(
        lease(&*store, "b", at(36_999)).await,
        Leased::By { fence: 1, .. }
    ));
    assert_eq!(leased(&*store, "b", at(37_000)).await, 2);
}

pub(super) async fn ended_lease_begins_anew_with_the_next_fence(harness: &impl Harness) {
    let store = harness.open();
    assert_eq!(leased(&*store, "a", START).await, 1);
    assert_eq!(leased(&*store, "a", at(10_000)).await, 2);
    assert_eq!(leased(&*store, "a", at(10_001)).await, 2);
}

pub(super) async fn lease_that_was_given_up_is_free_at_once(harness: &impl Harness) {
    let store = harness.open();
    assert_eq!(leased(&*store, "a", START).await, 1);
    store.unlease("ladder", &worker("a")).await.unwrap();
    assert_eq!(store.leases("", at(1)).await.unwrap(), []);
    assert_eq!(leased(&*store, "b", at(1)).await, 2);
    store.unlease("ladder", &worker("b")).await.unwrap();
    assert_eq!(leased(&*store, "b", at(2)).await, 3);
}

pub(super) async fn only_the_holder_gives_a_lease_up(harness: &impl Harness) {
    let store = harness.open();
    store.unlease("ladder", &worker("a")).await.unwrap();
    assert_eq!(leased(&*store, "a", START).await, 1);
    store.unlease("ladder", &worker("b")).await.unwrap();
    store.unlease("other", &worker("a")).await.unwrap();
    assert!(matches!(
        lease(&*store, "b", at(1)).await,
        Leased::By { fence: 1, .. }
    ));
}

pub(super) async fn leases_are_apart_by_name(harness: &impl Harness) {
    let store = harness.open();
    assert_eq!(leased(&*store, "a", START).await, 1);
    let ttl = Duration::from_millis(5);
    let other = store.lease("ladde", &worker("b"), ttl, START).await.unwrap();
    assert_eq!(other, Leased::Held { fence: 1 });
    let batch = Batch::new(START)
        .put(Space::Session, "key", "v", None)
        .under("none", 1);
    let refused = Committed::Fenced("none".to_owned());
    assert_eq!(store.commit(batch).await.unwrap(), refused);
}

pub(super) async fn held_leases_are_listed_by_prefix(harness: &impl Harness) {
    let store = harness.open();
    for (name, by, seconds) in [
        ("node/b", "b1", 10),
        ("node/a", "a1", 5),
        ("nod", "c", 10),
        ("node0", "d", 10),
    ] {
        let ttl = Duration::from_secs(seconds);
        store.lease(name, &worker(by), ttl, START).await.unwrap();
    }
    let listed = |held: Vec<impsgw::store::HeldLease>| -> Vec<_> {
        let held = held.into_iter();
        held.map(|one| (one.name, one.holder.0, one.fence, one.left.as_millis()))
            .collect()
    };
    let a = ("node/a".to_owned(), "a1".to_owned(), 1, 1_000);
    let b = |left| ("node/b".to_owned(), "b1".to_owned(), 1, left);
    let held = store.leases("node/", at(4_000)).await.unwrap();
    assert_eq!(listed(held), [a, b(6_000)]);
    let held = store.leases("node/", at(5_000)).await.unwrap();
    assert_eq!(listed(held), [b(5_000)]);
    assert_eq!(store.leases("", START).await.unwrap().len(), 4);
    assert_eq!(store.leases("x", START).await.unwrap(), []);
}

pub(super) async fn fenced_batch_of_the_holder_is_done(harness: &impl Harness) {
    let store = harness.open();
    let fence = leased(&*store, "a", START).await;
    let batch = Batch::new(START).put(Space::Session, "key", "v", None);
    commit(&*store, batch.under("ladder", fence)).await;
    let written = store.row(Space::Session, "key", START).await.unwrap().unwrap();
    assert_eq!(written.version, 1);
}

pub(super) async fn fence_counts_after_the_end_until_the_lease_is_taken(harness: &impl Harness) {
    let store = harness.open();
    let fence = leased(&*store, "a", START).await;
    let batch = || {
        Batch::new(at(60_000))
            .put(Space::Session, "key", "v", None)
            .under("ladder", fence)
    };
    commit(&*store, batch()).await;
    store.unlease("ladder", &worker("a")).await.unwrap();
    commit(&*store, batch()).await;
    assert_eq!(leased(&*store, "b", at(60_000)).await, fence + 1);
    let refused = Committed::Fenced("ladder".to_owned());
    assert_eq!(store.commit(batch()).await.unwrap(), refused);
    // Not even when the first one has it again.
    store.unlease("ladder", &worker("b")).await.unwrap();
    assert_eq!(leased(&*store, "a", at(60_000)).await, fence + 2);
    assert_eq!(store.commit(batch()).await.unwrap(), refused);
}

pub(super) async fn lost_fence_undoes_the_whole_batch(harness: &impl Harness) {
    let store = harness.open();
    enqueue(&*store, [an_item("a", "1")]).await;
    let item = claimed_one(&*store, START).await;
    let fence = leased(&*store, "a", START).await;
    let batch = Batch::new(START)
        .put(Space::Session, "key", "v", None)
        .enqueue(an_item("b", "2"))
        .settle(item.id, done("w"))
        .under("ladder", fence + 1);
    let refused = Committed::Fenced("ladder".to_owned());
    assert_eq!(store.commit(batch).await.unwrap(), refused);
    assert_eq!(store.row(Space::Session, "key", START).await.unwrap(), None);
    let left = store.items(&Default::default(), None, 9).await.unwrap();
    assert_eq!(left, [item]);
}

pub(super) async fn every_fence_of_a_batch_must_hold(harness: &impl Harness) {
    let store = harness.open();
    let fence = leased(&*store, "a", START).await;
    let ttl = Duration::from_secs(10);
    store.lease("node/a", &worker("a"), ttl, START).await.unwrap();
    let batch = |node| {
        Batch::new(START)
            .put(Space::Session, "key", "v", None)
            .under("ladder", fence)
            .under("node/a", node)
    };
    commit(&*store, batch(1)).await;
    let refused = Committed::Fenced("node/a".to_owned());
    assert_eq!(store.commit(batch(2)).await.unwrap(), refused);
}

pub(super) async fn one_of_many_gets_a_lease(harness: &impl Harness) {
    let store = harness.open();
    let asking = (0..16).map(|n| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { lease(&*store, &n.to_string(), START).await })
    });
    let mut held = 0;
    let mut holders = Vec::new();
    for asked in asking.collect::<Vec<_>>() {
        match asked.await.unwrap() {
            Leased::Held { fence } => {
                assert_eq!(fence, 1);
                held += 1;
            }
            Leased::By { holder, .. } => holders.push(holder),
        }
    }
    assert_eq!((held, holders.len()), (1, 15));
    assert!(holders.windows(2).all(|two| two[0] == two[1]), "{holders:?}");
}

/// Each worker reads, then writes one more without looking at the version, under the lease alone. A lease lasts 3 ms of
/// a clock that everybody moves, so most of them end between the two.
pub(super) async fn counter_under_a_lease_loses_nothing(harness: &impl Harness) {
    let store = harness.open();
    let clock = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let workers = (0..4).map(|n| {
        let (store, clock) = (Arc::clone(&store), Arc::clone(&clock));
        tokio::spawn(async move {
            let tick = || at(clock.fetch_add(1, std::sync::atomic::Ordering::SeqCst));
            let by = worker(&n.to_string());
            let mut counted = 0_u64;
            for _ in 0..200 {
                let ttl = Duration::from_millis(3);
                let Leased::Held { fence } = store.lease("ladder", &by, ttl, tick()).await.unwrap() else {
                    continue;
                };
                counted += u64::from(count_one(&*store, fence).await);
            }
            counted
        })
    });
    let mut counted = 0;
    for worker in workers.collect::<Vec<_>>() {
        counted += worker.await.unwrap();
    }
    assert!(counted > 0);
    assert_eq!(counter(&*store).await, counted);
}

async fn count_one(store: &dyn Store, fence: u64) -> bool {
    let mut batch = Batch::new(START).under("ladder", fence);
    batch.writes.push(RowWrite {
        space: Space::Session,
        key: "counter".to_owned(),
        value: Some((counter(store).await + 1).to_string().into()),
        expires: None,
        expected: Expected::Any,
    });
    match store.commit(batch).await.unwrap() {
        Committed::Done => true,
        Committed::Fenced(_) => false,
        other @ (Committed::Conflict { .. } | Committed::LeaseLost(_)) => panic!("{other:?}"),
    }
}

async fn counter(store: &dyn Store) -> u64 {
    let row = store.row(Space::Session, "counter", START).await.unwrap();
    row.map_or(0, |row| std::str::from_utf8(&row.value).unwrap().parse().unwrap())
}
