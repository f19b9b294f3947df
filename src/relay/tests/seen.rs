//! The filter over recorded identities: nothing recorded is taken for new.

use super::*;

fn identity(n: u64) -> String {
    key(&n.to_string()).row_key(
        &Side::Home {
            domain: domain("alpha.example"),
        },
        "send-message",
        &person(ADA),
    )
}

#[tokio::test]
async fn filter_that_has_not_read_the_store_asks_it_and_one_that_has_does_not() {
    let world = World::new();
    assert!(world.relay.seen.may_hold(&identity(1)), "it can't know");
    world.relay.learn_seen().await.unwrap();
    assert!(!world.relay.seen.may_hold(&identity(1)));
    world.relay.seen.enter(&identity(1));
    assert!(world.relay.seen.may_hold(&identity(1)));
}

#[tokio::test]
async fn everything_recorded_is_found_across_pages_and_restarts() {
    let world = World::new();
    let mut batch = crate::store::Batch::new(world.clock.now());
    for n in 0..2_500 {
        batch = batch.put(crate::store::Space::Seen, identity(n), "x", None);
    }
    world.store.commit(batch).await.unwrap();
    let world = world.restart().await;
    world.relay.learn_seen().await.unwrap();
    assert!((0..2_500).all(|n| world.relay.seen.may_hold(&identity(n))));
    let held = (2_500..12_500)
        .filter(|n| world.relay.seen.may_hold(&identity(*n)))
        .count();
    assert!(held < 10, "{held} of 10,000 new ones ask the store in vain");
}
