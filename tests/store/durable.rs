//! What engines with a disk keep when they are closed, dropped and opened again.

use std::sync::Arc;

use impsgw::store::{Batch, Leased, Place, Space, Store};

use super::{
    Harness, START, a_claim, an_item, at, bodies, claimed_one, commit, done, enqueue, lease, leased, settled,
    worker,
};

pub(super) async fn what_was_answered_is_there_after_a_close(harness: &impl Harness) {
    let store = harness.open();
    fill(&*store).await;
    store.close().await.unwrap();
    drop(store);
    check(&*harness.open()).await;
}

pub(super) async fn what_was_answered_is_there_after_a_drop(harness: &impl Harness) {
    let store = harness.open();
    fill(&*store).await;
    assert_eq!(Arc::strong_count(&store), 1);
    drop(store);
    check(&*harness.open()).await;
}

pub(super) async fn identities_are_not_used_again_after_a_reopening(harness: &impl Harness) {
    let store = harness.open();
    enqueue(&*store, [an_item("a", "1")]).await;
    let first = claimed_one(&*store, START).await;
    settled(&*store, first.id, done("w")).await;
    drop(store);
    let store = harness.open();
    enqueue(&*store, [an_item("a", "2")]).await;
    assert!(claimed_one(&*store, START).await.id > first.id);
}

pub(super) async fn lease_survives_a_reopening(harness: &impl Harness) {
    let store = harness.open();
    enqueue(&*store, [an_item("a", "1")]).await;
    let item = claimed_one(&*store, START).await;
    drop(store);
    let store = harness.open();
    assert!(store.claim(a_claim("v", at(9_999))).await.unwrap().is_empty());
    let leased = Place::Leased {
        to: worker("w"),
        until: at(10_000),
    };
    assert_eq!(store.item(item.id).await.unwrap().unwrap().place, leased);
    assert_eq!(
        store.claim(a_claim("v", at(10_000))).await.unwrap()[0].id,
        item.id
    );
}

pub(super) async fn fence_survives_a_reopening(harness: &impl Harness) {
    let store = harness.open();
    assert_eq!(leased(&*store, "a", START).await, 1);
    store.close().await.unwrap();
    drop(store);
    let store = harness.open();
    assert!(matches!(
        lease(&*store, "b", at(9_999)).await,
        Leased::By { fence: 1, .. }
    ));
    assert_eq!(leased(&*store, "b", at(10_000)).await, 2);
}

async fn fill(store: &dyn Store) {
    for n in 0..50 {
        let batch = Batch::new(START)
            .put_new(Space::Charge, format!("{n:03}"), n.to_string(), None)
            .enqueue(an_item("a", &n.to_string()));
        commit(store, batch).await;
    }
}

async fn check(store: &dyn Store) {
    let rows = store.rows(Space::Charge, "", None, 99, START).await.unwrap();
    let values: Vec<_> = rows
        .iter()
        .map(|row| std::str::from_utf8(&row.value).unwrap().to_owned())
        .collect();
    let expected: Vec<_> = (0..50).map(|n| n.to_string()).collect();
    assert_eq!(values, expected);
    assert_eq!(
        bodies(&store.items(&Default::default(), None, 99).await.unwrap()),
        expected
    );
}
