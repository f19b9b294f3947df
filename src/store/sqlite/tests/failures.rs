//! Groups in which something is refused or fails, full and read-only disks, bounds: every answer must be true.

use std::time::Duration;

use futures_util::future::join_all;
use rusqlite::Connection;

use super::{NOW, SqliteConfig, SqliteStore, item};
use crate::store::{Batch, Claim, Committed, ItemId, Settle, Space, Store, StoreError, WorkerId};

#[tokio::test]
async fn full_disk_refuses_the_group_and_recovers() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&SqliteConfig::new(directory.path().join("impsgw.db"))).unwrap();
    store
        .commit(
            Batch::new(NOW)
                .put(Space::Meta, "kept", "v", None)
                .enqueue(item(0, 10)),
        )
        .await
        .unwrap();
    pragma(&store, "max_page_count", 1).await;
    let big = || {
        Batch::new(NOW)
            .put(Space::Meta, "big", vec![0; 100_000], None)
            .enqueue(item(1, 10))
    };
    let (first, second) = tokio::join!(store.commit(big()), store.commit(big()));
    for refused in [first, second] {
        assert!(matches!(refused, Err(StoreError::Disk { .. })), "{refused:?}");
    }
    assert!(store.row(Space::Meta, "kept", NOW).await.unwrap().is_some());
    assert!(store.row(Space::Meta, "big", NOW).await.unwrap().is_none());
    pragma(&store, "max_page_count", 1_000_000).await;
    assert_eq!(store.commit(big()).await.unwrap(), Committed::Done);
    let checked = store.check().await.unwrap();
    assert_eq!((checked.items, checked.faults), (2, vec![]));
}

#[tokio::test]
async fn refused_batches_of_a_group_leave_the_others() {
    let config = SqliteConfig {
        max_items: Some(3),
        ..SqliteConfig::new("")
    };
    let store = SqliteStore::in_memory_with(&config).unwrap();
    let put = |key: &str| Batch::new(NOW).put_new(Space::Meta, key, "v", None);
    let lost = Batch::new(NOW)
        .put(Space::Meta, "lost", "v", None)
        .settle(ItemId(7), Settle::Discard);
    let batches = vec![
        put("a").enqueue(item(0, 10)),
        put("a").enqueue(item(1, 10)),
        put("b").enqueue(item(2, 10)),
        lost,
        (3..5).fold(put("full"), |batch, n| batch.enqueue(item(n, 10))),
        put("c").enqueue(item(5, 10)),
    ];
    let answers = in_one_group(&store, batches).await;
    assert!(matches!(
        answers[..],
        [
            Ok(Committed::Done),
            Ok(Committed::Conflict { .. }),
            Ok(Committed::Done),
            Ok(Committed::LeaseLost(ItemId(7))),
            Err(StoreError::Full { .. }),
            Ok(Committed::Done),
        ]
    ));
    let rows = store.rows(Space::Meta, "", None, 9, NOW).await.unwrap();
    assert_eq!(
        rows.iter().map(|row| row.key.as_str()).collect::<Vec<_>>(),
        ["a", "b", "c"]
    );
    assert_eq!(store.check().await.unwrap().items, 3);
}

#[tokio::test]
async fn answers_of_a_group_that_fails_midway_are_true() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&SqliteConfig::new(directory.path().join("impsgw.db"))).unwrap();
    pragma(&store, "max_page_count", 40).await;
    let put = |key: usize, bytes| Batch::new(NOW).put(Space::Meta, key.to_string(), vec![0; bytes], None);
    let batches = [100, 1_000_000, 100, 1_000_000, 100].into_iter().enumerate();
    let answers = in_one_group(&store, batches.map(|(key, bytes)| put(key, bytes)).collect()).await;
    for (key, answer) in answers.iter().enumerate() {
        let is_there = store
            .row(Space::Meta, &key.to_string(), NOW)
            .await
            .unwrap()
            .is_some();
        let is_promised = matches!(answer, Ok(Committed::Done));
        assert_eq!(is_promised, is_there, "{key}: {answer:?}");
        assert!(
            is_promised || matches!(answer, Err(StoreError::Disk { .. })),
            "{key}: {answer:?}"
        );
    }
    assert!(answers[1].is_err() && answers[3].is_err());
    assert_eq!(store.commit(put(5, 100)).await.unwrap(), Committed::Done);
}

#[tokio::test]
async fn narrow_queue_makes_callers_wait_and_loses_none() {
    let directory = tempfile::tempdir().unwrap();
    let config = SqliteConfig {
        queued_batches: 1,
        readers: 1,
        ..SqliteConfig::new(directory.path().join("impsgw.db"))
    };
    let store = SqliteStore::open(&config).unwrap();
    let writes =
        (0..50).map(|n: u32| store.commit(Batch::new(NOW).put(Space::Meta, n.to_string(), "v", None)));
    let reads = (0..50).map(|_| store.row(Space::Meta, "0", NOW));
    let (written, read) = tokio::join!(join_all(writes), join_all(reads));
    assert!(
        written
            .into_iter()
            .all(|written| matches!(written, Ok(Committed::Done)))
    );
    assert!(read.into_iter().all(|read| read.is_ok()));
    assert_eq!(store.check().await.unwrap().rows, 50);
}

#[tokio::test]
async fn read_only_disk_still_answers_reads() {
    let store = SqliteStore::in_memory().unwrap();
    store
        .commit(Batch::new(NOW).put(Space::Meta, "k", "v", None))
        .await
        .unwrap();
    pragma(&store, "query_only", 1).await;
    let refused = store
        .commit(Batch::new(NOW).put(Space::Meta, "k", "w", None))
        .await;
    assert!(matches!(refused, Err(StoreError::Disk { .. })), "{refused:?}");
    assert_eq!(
        store.row(Space::Meta, "k", NOW).await.unwrap().unwrap().value,
        "v"
    );
    pragma(&store, "query_only", 0).await;
    store
        .commit(Batch::new(NOW).put(Space::Meta, "k", "w", None))
        .await
        .unwrap();
}

#[tokio::test]
async fn bound_of_bytes_refuses_growth_and_lets_the_outbox_empty() {
    let config = SqliteConfig {
        max_bytes: Some(400_000),
        ..SqliteConfig::new("")
    };
    let store = SqliteStore::in_memory_with(&config).unwrap();
    let mut queued = 0;
    let refused = loop {
        match store.commit(Batch::new(NOW).enqueue(item(queued, 10_000))).await {
            Ok(_) => queued += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, StoreError::Full { .. }), "{refused}");
    assert!((25..45).contains(&queued), "{queued} items of 10 kB in 400 kB");
    let row = Batch::new(NOW).put(Space::Meta, "k", vec![0; 20_000], None);
    assert!(matches!(
        store.commit(row.clone()).await,
        Err(StoreError::Full { .. })
    ));
    let worker = WorkerId("w".to_owned());
    let claim = Claim {
        by: worker.clone(),
        now: NOW,
        lease: Duration::from_secs(1),
        limit: 5,
        except_queues: Vec::new(),
    };
    for item in store.claim(claim).await.unwrap() {
        let done = Batch::new(NOW).put(Space::Seen, item.id.0.to_string(), "outcome", None);
        let done = done.settle(item.id, Settle::Done { by: worker.clone() });
        assert_eq!(store.commit(done).await.unwrap(), Committed::Done);
    }
    assert_eq!(store.commit(row).await.unwrap(), Committed::Done);
}

/// The answers of batches that the writer finds waiting together, in their order.
async fn in_one_group(store: &SqliteStore, batches: Vec<Batch>) -> Vec<Result<Committed, StoreError>> {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let stalled = store.writer.aside(move |_| Ok(wait.recv().is_ok()));
    let commits = join_all(batches.into_iter().map(|batch| store.commit(batch)));
    // Polled in this order, so all have handed theirs in before the writer may go on.
    let (stalled, answers, ()) = tokio::join!(stalled, commits, async move { go.send(()).unwrap() });
    assert!(stalled.unwrap());
    answers
}

async fn pragma(store: &SqliteStore, name: &'static str, value: i64) {
    let set = move |connection: &mut Connection| {
        // Some settings answer with a row, others don't.
        Ok(connection.execute_batch(&format!("PRAGMA {name} = {value}"))?)
    };
    store.writer.aside(set).await.unwrap();
}
