//! What is carried beside a database that is away, and how it gets there afterwards.

use std::{sync::Arc, time::Duration};

use impsgw::store::{
    Batch, CarriedStore, Committed, Space, Store, StoreError,
    postgres::{PostgresConfig, PostgresStore},
    sqlite::{SqliteConfig, SqliteStore},
};
use tokio::time::timeout;

use super::{
    START, an_item, at, commit,
    database::{self, Server},
};

/// A batch of one row that may be carried.
fn carried(key: &str) -> Batch {
    Batch {
        carry: true,
        ..Batch::new(START).put(Space::Seen, key, "outcome", Some(at(1_000)))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_wait_beside_a_database_that_is_away_and_are_moved_there_once() {
    let Some(bin) = database::binaries() else { return };
    let mut server = Server::start(&bin);
    let config = PostgresConfig {
        patience: Duration::from_millis(200),
        ..server.config()
    };
    let shared: Arc<dyn Store> = Arc::new(PostgresStore::open(&config).await.unwrap());
    let folder = tempfile::tempdir().unwrap();
    let beside = SqliteConfig::new(folder.path().join("carried.db"));
    let open = |shared| CarriedStore::new(shared, SqliteStore::open(&beside).unwrap());
    let store = open(Arc::clone(&shared));
    commit(&store, carried("before")).await;
    assert_eq!(store.merge(START).await.unwrap(), 0, "it went to the database");
    server.crash();
    commit(&store, carried("meanwhile")).await;
    for refused in [
        Batch::new(START).put(Space::Seen, "k", "v", None),
        carried("k").enqueue(an_item("a", "1")),
        carried("k").remove(Space::Seen, "before"),
    ] {
        let refused = store.commit(refused).await;
        assert!(matches!(refused, Err(StoreError::Away { .. })), "{refused:?}");
    }
    let found = store.row(Space::Seen, "meanwhile", START).await.unwrap();
    assert_eq!(found.unwrap().value.as_ref(), b"outcome");
    let unknown = store.row(Space::Seen, "before", START).await;
    assert!(matches!(unknown, Err(StoreError::Away { .. })), "{unknown:?}");
    assert!(store.merge(START).await.is_err());
    // Another process takes up what this one carried.
    drop(store);
    let store = open(Arc::clone(&shared));
    server.recover(&bin);
    let moved = timeout(Duration::from_secs(60), async {
        loop {
            if let Ok(moved) = store.merge(START).await {
                return moved;
            }
        }
    });
    assert_eq!(moved.await.unwrap(), 1);
    let there = shared
        .row(Space::Seen, "meanwhile", START)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((there.version, there.expires), (1, Some(at(1_000))));
    assert_eq!(store.merge(START).await.unwrap(), 0);
    assert_eq!(
        store
            .commit(Batch::new(START).put(Space::Seen, "k", "v", None))
            .await
            .unwrap(),
        Committed::Done
    );
}
