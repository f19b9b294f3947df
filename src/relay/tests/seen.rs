//! The filter over recorded identities: nothing recorded is taken for new.

use super::*;
use crate::relay::seen::SeenFilter;

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

#[test]
fn filter_takes_many_identities_before_it_asks_often_in_vain() {
    let filter = SeenFilter::default();
    filter.complete(&filter.begin_filling(Timestamp(0)));
    (0..200_000).for_each(|n| filter.enter(&identity(n)));
    let in_vain = (200_000..210_000)
        .filter(|n| filter.may_hold(&identity(*n)))
        .count();
    assert!(in_vain < 50, "{in_vain} of 10,000");
}

#[test]
fn nothing_recorded_is_taken_for_new_while_a_fresh_filter_is_filled() {
    let filter = SeenFilter::default();
    filter.complete(&filter.begin_filling(Timestamp(0)));
    filter.enter(&identity(1));
    let fresh = filter.begin_filling(Timestamp(1));
    assert!(filter.may_hold(&identity(1)), "the old one still answers");
    assert!(
        !filter.may_hold(&identity(2)),
        "and does not ask the store for all"
    );
    filter.enter(&identity(2));
    assert!(filter.may_hold(&identity(2)));
    filter.complete(&fresh);
    assert!(filter.may_hold(&identity(2)), "it entered the fresh one as well");
    assert!(
        !filter.may_hold(&identity(1)),
        "nobody read it into the fresh one"
    );
}

#[test]
fn filling_that_was_begun_anew_does_not_end_with_the_first() {
    let filter = SeenFilter::default();
    let first = filter.begin_filling(Timestamp(0));
    let second = filter.begin_filling(Timestamp(1));
    filter.complete(&first);
    assert!(filter.may_hold(&identity(1)), "it can't know yet");
    filter.complete(&second);
    assert!(!filter.may_hold(&identity(1)));
}
