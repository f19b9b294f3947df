//! The store's hot paths: accepts beside bare inserts, claim and settle before a backlog, one row.
//!
//! "Beside bare inserts" takes turns, so that both meet the same noise, and prints medians over the rounds of the ratios.
//!
//! `cargo bench --bench store`; the directory is `IMPSGW_BENCH_DIR`, else the system's temporary one, which should be
//! on the disk that is to be measured and not in memory. `IMPSGW_BACKLOG=1000000` makes the backlog larger.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench prints what it finds, and one that fails may panic"
)]

use std::{
    env,
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use impsgw::{
    model::Timestamp,
    store::{
        Batch, Claim, Lane, NewItem, Priority, Settle, Space, Store, WorkerId,
        sqlite::{SqliteConfig, SqliteStore},
    },
};
use tokio::runtime::Runtime;

const NOW: Timestamp = Timestamp(1_000);
const BACKLOG: u64 = 200_000;
const CLAIM: usize = 64;

/// Accepts with so many in flight beside a bare loop that commits as many rows at a time.
fn beside_bare_inserts(_: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    println!("accepts of 1 KiB, each on the disk, beside bare inserts of rows as large:");
    let indexed_at_once = [(64, 0)];
    let as_it_is = [1, 16, 64, 128].map(|in_flight| (in_flight, SqliteConfig::new("").intake));
    for (in_flight, intake) in as_it_is.into_iter().chain(indexed_at_once) {
        let (directory, store) = open_with(intake);
        let mut bare = Bare::open(&directory.path().join("bare.db"));
        let rounds = (ROWS / ROUNDS).min(in_flight * MOST_COMMITS) / in_flight;
        let mut measured: Vec<(Duration, Duration)> = (0..ROUNDS)
            .map(|_| {
                let ours = runtime.block_on(produce(&store, in_flight, rounds));
                (bare.insert(in_flight, rounds), ours)
            })
            .collect();
        let ratio = |(bare, ours): &(Duration, Duration)| bare.as_secs_f64() / ours.as_secs_f64();
        measured.sort_by(|one, other| ratio(one).total_cmp(&ratio(other)));
        let median = measured.get(measured.len() / 2).unwrap();
        let each = |took: Duration| took.as_secs_f64() * 1e6 / (in_flight * rounds) as f64;
        println!(
            "{in_flight:4} in flight, {intake:5} unindexed at most: {:6.1} us each, bare {:6.1} us; rate of the bare loop: {:.2}, {:.2} to {:.2}",
            each(median.1),
            each(median.0),
            ratio(median),
            measured.first().map_or(0.0, ratio),
            measured.last().map_or(0.0, ratio),
        );
    }
}

/// A table with one row for each message, and nothing else.
struct Bare(rusqlite::Connection);

impl Bare {
    fn open(path: &std::path::Path) -> Self {
        let connection = rusqlite::Connection::open(path).unwrap();
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
                CREATE TABLE item (id INTEGER PRIMARY KEY, queue TEXT, conversation TEXT, labels TEXT, due INTEGER, body BLOB)",
            )
            .unwrap();
        Self(connection)
    }

    /// How long so many transactions of so many inserts take.
    fn insert(&mut self, group: u64, rounds: u64) -> Duration {
        let start = now();
        for _ in 0..rounds {
            let transaction = self.0.transaction().unwrap();
            for n in 0..group {
                let item = item(n);
                transaction
                    .prepare_cached("INSERT INTO item (queue, conversation, labels, due, body) VALUES (?1, ?2, ?3, ?4, ?5)")
                    .unwrap()
                    .execute(rusqlite::params![item.lane.queue, item.lane.conversation, item.labels.first(), 1_i64, &item.body[..]])
                    .unwrap();
            }
            transaction.commit().unwrap();
        }
        start.elapsed()
    }
}

/// How long so many producers take for so many items each.
async fn produce(store: &Arc<SqliteStore>, producers: u64, rounds: u64) -> Duration {
    let start = now();
    let producing = (0..producers).map(|producer| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            for _ in 0..rounds {
                store
                    .commit(Batch::new(NOW).enqueue(item(producer)))
                    .await
                    .unwrap();
            }
        })
    });
    for producer in producing.collect::<Vec<_>>() {
        producer.await.unwrap();
    }
    start.elapsed()
}

/// What is sent on at once, and what is queued and delivered, with a backlog of another queue beside the same without.
fn beside_a_backlog(_: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let (_empty, without) = open();
    let (_full, with) = open();
    let began = now();
    runtime.block_on(fill(&with, backlog_items()));
    println!(
        "{} items of 1 KiB queued in {:.1} s",
        backlog_items(),
        began.elapsed().as_secs_f64()
    );
    let [mut sent_on, mut queued]: [Vec<f64>; 2] = Default::default();
    for round in 0..ROUNDS {
        let time = |store: &Arc<SqliteStore>| {
            (
                runtime.block_on(send_on(store, round)),
                runtime.block_on(queue_and_deliver(store)),
            )
        };
        let (before, after) = (time(&without), time(&with));
        sent_on.push(after.0.as_secs_f64() / before.0.as_secs_f64());
        queued.push(after.1.as_secs_f64() / before.1.as_secs_f64());
    }
    for (what, ratios) in [
        ("sent on at once", &mut sent_on),
        ("queued and delivered", &mut queued),
    ] {
        ratios.sort_by(f64::total_cmp);
        let at = |index: usize| ratios.get(index).copied().unwrap_or_default();
        println!(
            "{what}: {:.3} of the time without a backlog, {:.3} to {:.3}",
            at(ratios.len() / 2),
            at(0),
            at(ratios.len() - 1)
        );
    }
}

/// Identities of messages that are sent on at once, 64 at a time.
async fn send_on(store: &Arc<SqliteStore>, round: u64) -> Duration {
    let began = now();
    let sending = (0..64_u64).map(|sender| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            for n in 0..100 {
                let key = format!("{round} {sender} {n}");
                let batch = Batch::new(NOW).put(Space::Seen, key, vec![0; 120], Some(Timestamp(u64::MAX)));
                store.commit(batch).await.unwrap();
            }
        })
    });
    for sending in sending.collect::<Vec<_>>() {
        sending.await.unwrap();
    }
    began.elapsed()
}

/// Items of a queue of their own, which are claimed and done while others come.
async fn queue_and_deliver(store: &Arc<SqliteStore>) -> Duration {
    let began = now();
    let claim = Claim {
        except_queues: (0..QUEUES).map(|n| format!("peer{n}")).collect(),
        ..claim()
    };
    for _ in 0..50 {
        let batch = (0..CLAIM as u64).fold(Batch::new(NOW), |batch, n| {
            let mut item = item(n);
            item.lane.queue = "fast".to_owned();
            batch.enqueue(item)
        });
        store.commit(batch).await.unwrap();
        let by = claim.by.clone();
        let claimed = store.claim(claim.clone()).await.unwrap();
        assert_eq!(claimed.len(), CLAIM);
        let batch = claimed.iter().fold(Batch::new(NOW), |batch, claimed| {
            batch.settle(claimed.id, Settle::Done { by: by.clone() })
        });
        store.commit(batch).await.unwrap();
    }
    began.elapsed()
}

async fn fill(store: &SqliteStore, count: u64) {
    for first in (0..count).step_by(1000) {
        let batch = (first..first + 1000).fold(Batch::new(NOW), |batch, n| batch.enqueue(item(n)));
        store.commit(batch).await.unwrap();
    }
}

fn backlog_items() -> u64 {
    env::var("IMPSGW_BACKLOG").map_or(BACKLOG, |count| count.parse().unwrap())
}

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn now() -> Instant {
    Instant::now()
}

fn backlog(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let (_directory, store) = open();
    runtime.block_on(fill(&store, BACKLOG));
    let mut group = criterion.benchmark_group("backlog_200k");
    group.throughput(Throughput::Elements(CLAIM as u64));
    group.bench_function("claim_settle_enqueue_64", |bencher| {
        bencher.iter(|| runtime.block_on(turn_over(&store)));
    });
    group.bench_function("claim_nothing", |bencher| {
        let except_queues: Vec<_> = (0..QUEUES).map(|n| format!("peer{n}")).collect();
        let claim = Claim {
            except_queues,
            ..claim()
        };
        bencher.iter(|| runtime.block_on(store.claim(claim.clone())).unwrap());
    });
    group.bench_function("counts", |bencher| {
        bencher.iter(|| runtime.block_on(store.counts()).unwrap())
    });
    group.finish();
}

/// Claims, settles and queues as many again, so that the backlog stays what it is.
async fn turn_over(store: &SqliteStore) {
    let claim = claim();
    let by = claim.by.clone();
    let mut batch = Batch::new(NOW);
    for claimed in store.claim(claim).await.unwrap() {
        batch = batch
            .settle(claimed.id, Settle::Done { by: by.clone() })
            .enqueue(item(claimed.id.0));
    }
    store.commit(batch).await.unwrap();
}

fn row(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let (_directory, store) = open();
    let batch = (0..10_000).fold(Batch::new(NOW), |batch, n| {
        batch.put(Space::Seen, n.to_string(), vec![0; 64], None)
    });
    runtime.block_on(store.commit(batch)).unwrap();
    criterion.bench_function("row", |bencher| {
        bencher.iter(|| runtime.block_on(store.row(Space::Seen, "4711", NOW)).unwrap());
    });
}

fn open() -> (tempfile::TempDir, Arc<SqliteStore>) {
    open_with(SqliteConfig::new("").intake)
}

fn open_with(intake: usize) -> (tempfile::TempDir, Arc<SqliteStore>) {
    let place = env::var_os("IMPSGW_BENCH_DIR").map_or_else(env::temp_dir, Into::into);
    let directory = tempfile::tempdir_in(place).unwrap();
    let config = SqliteConfig {
        intake,
        ..SqliteConfig::new(directory.path().join("impsgw.db"))
    };
    let store = SqliteStore::open(&config).unwrap();
    (directory, Arc::new(store))
}

fn claim() -> Claim {
    Claim {
        by: WorkerId("worker".to_owned()),
        now: NOW,
        lease: Duration::from_secs(60),
        limit: CLAIM,
        except_queues: Vec::new(),
    }
}

/// A message of 1 KiB in one of ten queues.
fn item(n: u64) -> NewItem {
    NewItem {
        lane: Lane {
            queue: format!("peer{}", n % QUEUES),
            conversation: format!("wv:+4477009{n:05} wv:+4670123{n:05}"),
        },
        priority: Priority::Interactive,
        due: NOW,
        expires: Timestamp(u64::MAX),
        replaces: None,
        is_awaiting: false,
        last_failure: None,
        labels: vec![format!("message:{n}")],
        body: vec![b'x'; 1024].into(),
    }
}

const QUEUES: u64 = 10;
const ROWS: u64 = 60_000;
const ROUNDS: u64 = 9;
/// Commits of a round, where each waits for the one before it.
const MOST_COMMITS: u64 = 200;

criterion_group!(benches, beside_bare_inserts, beside_a_backlog, backlog, row);
criterion_main!(benches);
