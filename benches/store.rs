//! The store's hot paths: enqueue with fsync by 1, 16 and 128 producers, claim and settle before a backlog, one row.
//!
//! `cargo bench --bench store`; the directory is `IMPSGW_BENCH_DIR`, else the system's temporary one, which should be
//! on the disk that is to be measured and not in memory.
#![expect(clippy::unwrap_used, reason = "a bench that fails may panic")]

use std::{
    env,
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
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

fn enqueue(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let mut group = criterion.benchmark_group("enqueue_1KiB_fsync");
    for producers in [1_u64, 16, 128] {
        let (_directory, store) = open();
        group.throughput(Throughput::Elements(producers));
        group.bench_function(BenchmarkId::from_parameter(producers), |bencher| {
            bencher.iter_custom(|rounds| runtime.block_on(produce(&store, producers, rounds)));
        });
    }
    group.finish();
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

criterion_group!(benches, enqueue, backlog, row);
criterion_main!(benches);
