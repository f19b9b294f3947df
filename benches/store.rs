//! The store's hot paths: accepts beside bare inserts, claim and settle before a backlog, one row.
//!
//! "Beside bare inserts" takes turns, so that both meet the same noise, and prints medians over the rounds of the ratios.
//!
//! `cargo bench --bench store`; the directory is `IMPSGW_BENCH_DIR`, else the system's temporary one, which should be
//! on the disk that is to be measured and not in memory.
#![expect(clippy::unwrap_used, reason = "a bench that fails may panic")]

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
    for in_flight in [1, 16, 64, 128] {
        let (directory, store) = open();
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
            "{in_flight:4} in flight: {:6.1} us each, bare {:6.1} us; rate of the bare loop: {:.2}, {:.2} to {:.2}",
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
    #[expect(clippy::disallowed_methods, reason = "a bench measures time")]
    fn insert(&mut self, group: u64, rounds: u64) -> Duration {
        let start = Instant::now();
        for _ in 0..rounds {
            let transaction = self.0.transaction().unwrap();
            for n in 0..group {
                let item = item(n);
                transaction
                    .prepare_cached("INSERT INTO item (queue, conversation, labels, due, body) VALUES (?1, ?2, ?3, ?4, ?5)")
                    .unwrap()
                    .execute(rusqlite::params![item.lane.queue, item.lane.conversation, item.labels[0], 1_i64, &item.body[..]])
                    .unwrap();
            }
            transaction.commit().unwrap();
        }
        start.elapsed()
    }
}

/// How long so many producers take for so many items each.
#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
async fn produce(store: &Arc<SqliteStore>, producers: u64, rounds: u64) -> Duration {
    let start = Instant::now();
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

fn backlog(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let (_directory, store) = open();
    for first in (0..BACKLOG).step_by(1000) {
        let batch = (first..first + 1000).fold(Batch::new(NOW), |batch, n| batch.enqueue(item(n)));
        runtime.block_on(store.commit(batch)).unwrap();
    }
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
    let place = env::var_os("IMPSGW_BENCH_DIR").map_or_else(env::temp_dir, Into::into);
    let directory = tempfile::tempdir_in(place).unwrap();
    let store = SqliteStore::open(&SqliteConfig::new(directory.path().join("impsgw.db"))).unwrap();
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
        labels: vec![format!("message:{n}")],
        body: vec![b'x'; 1024].into(),
    }
}

const QUEUES: u64 = 10;
const ROWS: u64 = 60_000;
const ROUNDS: u64 = 9;
/// Commits of a round, where each waits for the one before it.
const MOST_COMMITS: u64 = 200;

criterion_group!(benches, beside_bare_inserts, backlog, row);
criterion_main!(benches);
