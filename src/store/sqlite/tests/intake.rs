//! Where items arrive: what stands there outlives a restart, an undone batch leaves no trace, a full one gives up its oldest.

use std::time::Duration;

use super::*;
use crate::store::{
    Claim, Committed, Expected, ItemId, PlaceName, QueueFilter, RowWrite, Settle, Space, WorkerId,
};

#[tokio::test]
async fn items_stand_after_a_restart_as_they_stood() {
    let directory = tempfile::tempdir().unwrap();
    let config = SqliteConfig::new(directory.path().join("impsgw.db"));
    let store = SqliteStore::open(&config).unwrap();
    for n in 0..4 {
        store
            .commit(Batch::new(NOW).enqueue(item(n, 10)).enqueue(item(n, 20)))
            .await
            .unwrap();
    }
    let [leased, awaiting, done, late] = claimed(&store).await.try_into().unwrap();
    let settle = |id, settle| store.commit(Batch::new(NOW).settle(id, settle));
    let until = NOW.plus(Duration::from_secs(5));
    settle(awaiting, Settle::Await { by: by(), until }).await.unwrap();
    settle(done, Settle::Done { by: by() }).await.unwrap();
    let retry = Settle::Reschedule {
        by: by(),
        due: until,
        failure: "busy".to_owned(),
    };
    settle(late, retry).await.unwrap();
    let before = all(&store).await;
    let counts = store.counts().await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let store = SqliteStore::open(&config).unwrap();
    assert_eq!(all(&store).await, before);
    assert_eq!(store.counts().await.unwrap(), counts);
    assert_eq!(
        places(&before),
        [
            "Leased",
            "Scheduled",
            "Awaiting",
            "Scheduled",
            "Scheduled",
            "Scheduled",
            "Scheduled"
        ]
    );
    assert_eq!(
        claimed(&store).await.len(),
        1,
        "the one behind what is done; {leased:?} is leased still"
    );
    assert_eq!(store.next_due().await.unwrap(), Some(until));
    store.commit(Batch::new(NOW).enqueue(item(9, 10))).await.unwrap();
    let newest = all(&store).await.pop().unwrap().id;
    assert!(before.iter().all(|item| item.id < newest));
    assert_eq!(store.check().await.unwrap().faults, Vec::<String>::new());
}

#[tokio::test]
async fn identity_is_not_given_again_after_its_item_went_and_the_store_was_opened_anew() {
    let directory = tempfile::tempdir().unwrap();
    let config = SqliteConfig::new(directory.path().join("impsgw.db"));
    let mut newest = ItemId(0);
    for _ in 0..3 {
        let store = SqliteStore::open(&config).unwrap();
        store.commit(Batch::new(NOW).enqueue(item(1, 10))).await.unwrap();
        let [id] = claimed(&store).await.try_into().unwrap();
        assert!(id > newest);
        newest = id;
        store
            .commit(Batch::new(NOW).settle(id, Settle::Done { by: by() }))
            .await
            .unwrap();
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn undone_batch_leaves_no_trace() {
    let store = SqliteStore::in_memory().unwrap();
    store.commit(Batch::new(NOW).enqueue(item(1, 10))).await.unwrap();
    let [id] = claimed(&store).await.try_into().unwrap();
    let mut batch = Batch::new(NOW)
        .settle(id, Settle::Done { by: by() })
        .enqueue(item(2, 10));
    batch.settle.push((ItemId(77), Settle::Done { by: by() }));
    assert_eq!(
        store.commit(batch).await.unwrap(),
        Committed::LeaseLost(ItemId(77))
    );
    assert_eq!(store.waiting_in("2").await.unwrap(), None);
    assert_eq!(labelled(&store).await, [id]);
    let conflict = RowWrite {
        space: Space::Meta,
        key: "k".to_owned(),
        value: Some(b"v".to_vec().into()),
        expires: None,
        expected: Expected::Version(3),
    };
    let mut batch = Batch::new(NOW).enqueue(item(2, 10));
    batch.writes.push(conflict);
    assert!(matches!(
        store.commit(batch).await.unwrap(),
        Committed::Conflict { .. }
    ));
    assert_eq!(store.next_due().await.unwrap(), Some(NOW.plus(LEASE)));
    let done = Batch::new(NOW).settle(id, Settle::Done { by: by() });
    assert_eq!(store.commit(done).await.unwrap(), Committed::Done);
    assert_eq!(all(&store).await, []);
    assert_eq!(labelled(&store).await, []);
    assert_eq!(store.next_due().await.unwrap(), None);
}

#[tokio::test]
async fn full_intake_gives_up_its_oldest_and_all_are_delivered_in_order() {
    let config = SqliteConfig {
        intake: 20,
        ..SqliteConfig::new("")
    };
    let store = SqliteStore::in_memory_with(&config).unwrap();
    for n in 0..100 {
        store
            .commit(Batch::new(NOW).enqueue(item(n % 7, 10 + n as usize)))
            .await
            .unwrap();
        assert!(store.index.lock().len() <= 20);
    }
    assert_eq!(labelled(&store).await.len(), 100);
    assert_eq!(store.check().await.unwrap().faults, Vec::<String>::new());
    let mut sizes = std::collections::HashMap::<_, Vec<_>>::new();
    loop {
        let claim = store.claim(claim()).await.unwrap();
        if claim.is_empty() {
            break;
        }
        for item in claim {
            sizes
                .entry(item.lane.conversation)
                .or_default()
                .push(item.body.len());
            store
                .commit(Batch::new(NOW).settle(item.id, Settle::Done { by: by() }))
                .await
                .unwrap();
        }
    }
    assert_eq!(sizes.values().map(Vec::len).sum::<usize>(), 100);
    assert!(sizes.values().all(|sizes| sizes.is_sorted()), "{sizes:?}");
}

#[tokio::test]
async fn large_body_and_what_replaces_are_indexed_at_once() {
    let store = SqliteStore::in_memory().unwrap();
    let newest = NewItem {
        replaces: Some("presence".to_owned()),
        ..item(1, 10)
    };
    store
        .commit(Batch::new(NOW).enqueue(item(1, 10)).enqueue(item(2, 5000)))
        .await
        .unwrap();
    assert_eq!(store.index.lock().len(), 1);
    store
        .commit(Batch::new(NOW).enqueue(newest.clone()).enqueue(newest))
        .await
        .unwrap();
    assert_eq!(store.index.lock().len(), 0, "the lane moves as a whole");
    assert_eq!(all(&store).await.len(), 3);
    assert_eq!(store.check().await.unwrap().faults, Vec::<String>::new());
}

#[tokio::test]
async fn dead_item_that_is_held_again_stands_before_what_came_since() {
    let store = SqliteStore::in_memory().unwrap();
    store.commit(Batch::new(NOW).enqueue(item(1, 10))).await.unwrap();
    let [old] = claimed(&store).await.try_into().unwrap();
    let bury = Settle::Bury {
        by: by(),
        reason: "nobody".to_owned(),
    };
    store.commit(Batch::new(NOW).settle(old, bury)).await.unwrap();
    store.commit(Batch::new(NOW).enqueue(item(1, 10))).await.unwrap();
    assert_eq!(store.index.lock().len(), 1);
    let hold = Settle::Hold { by: "noc".to_owned() };
    store.commit(Batch::new(NOW).settle(old, hold)).await.unwrap();
    assert_eq!(store.check().await.unwrap().faults, Vec::<String>::new());
    assert_eq!(claimed(&store).await, [], "it follows the one that is held");
}

fn by() -> WorkerId {
    WorkerId("worker".to_owned())
}

fn claim() -> Claim {
    Claim {
        by: by(),
        now: NOW,
        lease: LEASE,
        limit: 100,
        except_queues: Vec::new(),
    }
}

async fn claimed(store: &SqliteStore) -> Vec<ItemId> {
    let items = store.claim(claim()).await.unwrap();
    items.into_iter().map(|item| item.id).collect()
}

async fn all(store: &SqliteStore) -> Vec<crate::store::OutboxItem> {
    store.items(&QueueFilter::default(), None, 1000).await.unwrap()
}

async fn labelled(store: &SqliteStore) -> Vec<ItemId> {
    let filter = QueueFilter {
        label: Some("label".to_owned()),
        ..QueueFilter::default()
    };
    let items = store.items(&filter, None, 1000).await.unwrap();
    items.into_iter().map(|item| item.id).collect()
}

fn places(items: &[crate::store::OutboxItem]) -> Vec<String> {
    let name = |place: PlaceName| format!("{place:?}");
    items.iter().map(|item| name(item.place.name())).collect()
}

const LEASE: Duration = Duration::from_secs(60);
