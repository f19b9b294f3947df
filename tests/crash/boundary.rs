//! A fixed short history of a store, whose process dies at each of its syncs in turn.
//!
//! At each one three ways: before anything of the sync is written, amid it, and after it before the program knows. What is
//! found is compared with the same history in a store that nothing happened to: everything acknowledged, at most the step
//! after it, and nothing between.

use std::{env, path::Path, process::Command, time::Duration};

use impsgw::{
    model::Timestamp,
    store::{
        Batch, Claim, ItemId, Lane, NewItem, OutboxItem, Priority, QueueFilter, Row, Settle, Space, Store,
        WorkerId,
        sqlite::{SqliteConfig, SqliteStore},
    },
};
use rusqlite::Connection;

use super::{
    preload::{Kept, dies_at, forgetful},
    store::told,
};

/// Where the historian has its store.
const PLACE: &str = "IMPSGW_CRASH_HISTORY";
const NOW: Timestamp = Timestamp(1_000);
const STEPS: usize = 24;

#[tokio::test]
async fn store_is_whole_at_every_sync() {
    let states = states().await;
    let mut deaths = 0;
    for sync in 1.. {
        for kept in [Kept::Nothing, Kept::Torn(sync), Kept::Torn(!sync), Kept::All] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("impsgw.db");
            let mut command = historian(&path);
            forgetful(&mut command, "impsgw.db");
            dies_at(&mut command, sync, kept);
            let acknowledged = told(command, usize::MAX).len();
            if acknowledged == STEPS + 1 {
                // It came to its end: there is no such sync.
                assert_eq!(kept, Kept::Nothing);
                println!("{} syncs, {deaths} deaths", sync - 1);
                assert!(sync > STEPS as u64);
                return;
            }
            deaths += 1;
            let found = found(&path).await;
            let expected = states.get(acknowledged..).unwrap().iter().take(2);
            assert!(
                expected.clone().any(|state| *state == found),
                "sync {sync}, {kept:?}: {acknowledged} steps acknowledged, found {found:#?}"
            );
        }
    }
}

/// The process that dies: the history in a file, closed and opened anew amid it.
#[tokio::test]
async fn historian_of_a_store() {
    let Ok(path) = env::var(PLACE) else { return };
    let config = SqliteConfig::new(&path);
    let mut store = SqliteStore::open(&config).unwrap();
    for number in 0..STEPS {
        match number % 8 {
            // The log is moved into the database, and begins anew with the next commit.
            3 => checkpoint(Path::new(&path)),
            7 => {
                store.close().await.unwrap();
                drop(store);
                store = SqliteStore::open(&config).unwrap();
            }
            _ => {}
        }
        step(&store, number).await;
        println!("\nsafe {number}.");
    }
    store.close().await.unwrap();
    println!("\nsafe end.");
}

/// All that a store holds.
type State = (Vec<Row>, Vec<OutboxItem>);

/// What the store holds after none of the steps, after the first, and so on.
async fn states() -> Vec<State> {
    let store = SqliteStore::in_memory().unwrap();
    let mut states = vec![state(&store).await];
    for number in 0..STEPS {
        step(&store, number).await;
        states.push(state(&store).await);
    }
    states
}

async fn found(path: &Path) -> State {
    let store = SqliteStore::open(&SqliteConfig::new(path)).unwrap();
    assert_eq!(store.check().await.unwrap().faults, Vec::<String>::new());
    let state = state(&store).await;
    store.close().await.unwrap();
    state
}

async fn state(store: &SqliteStore) -> State {
    let rows = store.rows(Space::Seen, "", None, usize::MAX, NOW).await;
    let items = store.items(&QueueFilter::default(), None, usize::MAX).await;
    (rows.unwrap(), items.unwrap())
}

/// One commit, of each kind in turn.
async fn step(store: &SqliteStore, number: usize) {
    let now = Timestamp(NOW.0 + number as u64);
    let batch = Batch::new(now);
    let leased: Vec<ItemId> = store
        .items(&QueueFilter::default(), None, usize::MAX)
        .await
        .unwrap()
        .into_iter()
        .filter(|item| matches!(item.place, impsgw::store::Place::Leased { .. }))
        .map(|item| item.id)
        .collect();
    let batch = match (number % 6, leased.first()) {
        (0 | 1, _) => batch
            .put(Space::Seen, format!("k{}", number % 5), vec![b'v'; 3000], None)
            .enqueue(item(number))
            .enqueue(item(number + 100)),
        (2, _) => {
            let claim = Claim {
                by: worker(),
                now,
                lease: Duration::from_secs(60),
                limit: 3,
                except_queues: Vec::new(),
            };
            store.claim(claim).await.unwrap();
            return;
        }
        (3, Some(id)) => batch
            .settle(*id, Settle::Done { by: worker() })
            .remove(Space::Seen, "k0"),
        (4, Some(id)) => batch.settle(
            *id,
            Settle::Await {
                by: worker(),
                until: Timestamp(NOW.0 + 5),
            },
        ),
        (5, Some(id)) => batch.settle(
            *id,
            Settle::Bury {
                by: worker(),
                reason: "outcome unknown".to_owned(),
            },
        ),
        _ => batch.put(Space::Seen, format!("only {number}"), "v", None),
    };
    store.commit(batch).await.unwrap();
}

fn item(number: usize) -> NewItem {
    NewItem {
        lane: Lane {
            queue: "beta".to_owned(),
            conversation: format!("c{}", number % 4),
        },
        priority: Priority::Interactive,
        due: NOW,
        expires: Timestamp(u64::MAX),
        replaces: None,
        is_awaiting: false,
        last_failure: None,
        labels: vec![number.to_string()],
        body: vec![b'x'; 1500].into(),
    }
}

fn worker() -> WorkerId {
    WorkerId("w".to_owned())
}

/// Beside the store's own connections, as its own thread does after some ten thousand pages.
fn checkpoint(path: &Path) {
    let connection = Connection::open(path).unwrap();
    connection.pragma_update(None, "synchronous", "FULL").unwrap();
    connection
        .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
        .unwrap();
}

fn historian(path: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "crash::boundary::historian_of_a_store", "--nocapture"])
        .env(PLACE, path);
    command
}
