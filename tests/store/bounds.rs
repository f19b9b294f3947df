//! Bounds and the end of a store.

use impsgw::store::{Batch, Committed, NewItem, QueueFilter, Settle, Space, Store, StoreError};

use super::{Harness, START, a_claim, an_item, claimed, commit, done, enqueue, lane, settled};

pub(super) async fn full_store_refuses_and_recovers(harness: &impl Harness) {
    let store = harness.bounded(Some(3), None);
    enqueue(&*store, ["1", "2", "3"].map(|name| an_item(name, name))).await;
    refused(&*store, Batch::new(START).enqueue(an_item("4", "4"))).await;
    let items = claimed(&*store, START).await;
    // What goes makes room for what comes with it.
    let swap = Batch::new(START)
        .enqueue(an_item("4", "4"))
        .settle(items[0].id, done("w"));
    commit(&*store, swap).await;
    refused(&*store, Batch::new(START).enqueue(an_item("5", "5"))).await;
    settled(&*store, items[1].id, done("w")).await;
    enqueue(&*store, [an_item("5", "5")]).await;
    commit(
        &*store,
        Batch::new(START).put(Space::Meta, "rows", "are not items", None),
    )
    .await;
}

pub(super) async fn full_queue_leaves_the_others(harness: &impl Harness) {
    let store = harness.bounded(None, Some(2));
    let there = |body: &str| NewItem {
        lane: lane("gamma", body),
        ..an_item("", body)
    };
    enqueue(&*store, [an_item("1", "1"), an_item("2", "2")]).await;
    refused(&*store, Batch::new(START).enqueue(an_item("3", "3"))).await;
    enqueue(&*store, [there("4"), there("5")]).await;
    let first = store
        .items(&QueueFilter::default(), None, 1)
        .await
        .unwrap()
        .remove(0);
    settled(&*store, first.id, Settle::Hold { by: "noc".to_owned() }).await;
    let redirect = Settle::Redirect {
        lane: lane("gamma", "x"),
        due: START,
    };
    refused(&*store, Batch::new(START).settle(first.id, redirect)).await;
    settled(
        &*store,
        first.id,
        Settle::Redirect {
            lane: lane("delta", "x"),
            due: START,
        },
    )
    .await;
    enqueue(&*store, [an_item("3", "3")]).await;
}

pub(super) async fn replacing_needs_no_room(harness: &impl Harness) {
    let store = harness.bounded(Some(1), Some(1));
    for _ in 0..3 {
        enqueue(
            &*store,
            [NewItem {
                replaces: Some("p".to_owned()),
                is_awaiting: false,
                ..an_item("a", "1")
            }],
        )
        .await;
    }
}

pub(super) async fn refused_batch_leaves_nothing(harness: &impl Harness) {
    let store = harness.bounded(Some(1), None);
    let batch = Batch::new(START)
        .put(Space::Seen, "k", "v", None)
        .enqueue(an_item("1", "1"))
        .enqueue(an_item("2", "2"));
    refused(&*store, batch).await;
    assert_eq!(store.row(Space::Seen, "k", START).await.unwrap(), None);
    assert_eq!(store.counts().await.unwrap(), []);
    enqueue(&*store, [an_item("1", "1")]).await;
}

pub(super) async fn closed_store_says_so(harness: &impl Harness) {
    let store = harness.open();
    enqueue(&*store, [an_item("1", "1")]).await;
    store.close().await.unwrap();
    let closed = [
        store
            .commit(Batch::new(START).enqueue(an_item("2", "2")))
            .await
            .err(),
        store.claim(a_claim("w", START)).await.err(),
        store.row(Space::Meta, "k", START).await.err(),
        store.counts().await.err(),
        store.expire(START, 1).await.err(),
        store.close().await.err(),
    ];
    for error in closed {
        assert!(matches!(error, Some(StoreError::Closed)), "{error:?}");
    }
}

pub(super) async fn empty_batch_is_done(harness: &impl Harness) {
    let store = harness.open();
    assert_eq!(store.commit(Batch::new(START)).await.unwrap(), Committed::Done);
}

async fn refused(store: &dyn Store, batch: Batch) {
    let refused = store.commit(batch).await;
    assert!(matches!(refused, Err(StoreError::Full { .. })), "{refused:?}");
}
