//! Repeats: answered with the recorded outcome, waiting for the first where that is under way.

use super::*;
use crate::model::ContactAdded;

#[tokio::test]
async fn repeat_is_answered_from_the_record_and_not_sent_again() {
    let world = World::new();
    assert_eq!(world.ada_sends("m1", BEA).await, Ok(Acceptance::Taken));
    assert_eq!(world.ada_sends("m1", BEA).await, Ok(Acceptance::Taken));
    assert_eq!(world.ssp.asked().len(), 1);
}

#[tokio::test]
async fn refusal_is_recorded_as_well_unless_it_may_pass() {
    let world = World::new();
    world.ssp.refuses(remote(532));
    assert_eq!(world.ada_sends("m1", BEA).await, Err(remote(532)));
    assert_eq!(world.ada_sends("m1", BEA).await, Err(remote(532)));
    assert_eq!(world.ssp.asked().len(), 1);
    world.ssp.refuses(remote(503));
    assert_eq!(world.ada_sends("m2", BEA).await, Err(remote(503)));
    assert_eq!(
        world.ada_sends("m2", BEA).await,
        Ok(Acceptance::Taken),
        "the sender may try again"
    );
}

#[tokio::test]
async fn same_id_with_another_content_is_another_message() {
    let world = World::new();
    world.ada_sends("m1", BEA).await.unwrap();
    let mut other = world.ours("m1");
    other.key = Some(RequestKey {
        hash: RequestKey::hash([b"other".as_slice()]),
        ..key("m1")
    });
    world
        .handle(other, Request::Send(message("m1", ADA, &[BEA])))
        .await
        .unwrap();
    let sent = world.ssp.messages();
    assert_eq!(sent.len(), 2);
    assert_ne!(sent[0].id, sent[1].id);
}

#[tokio::test]
async fn same_id_of_another_peer_is_another_message() {
    let world = World::new();
    for (peer, from) in [("beta", BO), ("gamma", GIL)] {
        let request = Request::Send(message("m1", from, &[ADA]));
        world.handle(world.theirs(peer, "m1"), request).await.unwrap();
    }
    assert_eq!(world.home.messages().len(), 2);
}

#[tokio::test]
async fn repeat_survives_a_restart() {
    let world = World::new();
    world.ada_sends("m1", BEA).await.unwrap();
    let world = world.restart().await;
    assert_eq!(
        world.ada_sends("m1", BEA).await,
        Ok(Acceptance::Taken),
        "asked of the store"
    );
    assert!(world.ssp.asked().is_empty());
    world.relay.learn_seen().await.unwrap();
    assert_eq!(
        world.ada_sends("m1", BEA).await,
        Ok(Acceptance::Taken),
        "found by the filter"
    );
    assert!(world.ssp.asked().is_empty());
}

#[tokio::test]
async fn repeat_of_a_stored_message_does_not_store_it_twice() {
    let world = World::new();
    world.ssp.takes_nothing();
    assert_eq!(world.ada_sends("m1", BEA).await, Ok(Acceptance::Stored));
    assert_eq!(world.ada_sends("m1", BEA).await, Ok(Acceptance::Stored));
    assert_eq!(world.waiting().await.len(), 1);
}

#[tokio::test]
async fn repeat_waits_for_the_first_and_gets_its_outcome() {
    let world = World::new();
    let release = world.ssp.holds();
    let first = tokio::spawn({
        let relay = Arc::clone(&world.relay);
        let (ingress, request) = (world.ours("m1"), Request::Send(message("m1", ADA, &[BEA])));
        async move { relay.handle(ingress, request).await }
    });
    world.ssp.is_asked(1).await;
    let second = tokio::spawn({
        let relay = Arc::clone(&world.relay);
        let (ingress, request) = (world.ours("m1"), Request::Send(message("m1", ADA, &[BEA])));
        async move { relay.handle(ingress, request).await }
    });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!second.is_finished(), "its outcome is not known yet");
    release.send(()).unwrap();
    assert_eq!(first.await.unwrap(), second.await.unwrap());
    assert_eq!(world.ssp.asked().len(), 1);
}

/// Two repeats that take hold of their recipients in different orders would wait for one another.
#[tokio::test]
async fn repeats_take_hold_of_their_recipients_in_one_order_whatever_the_sender_wrote() {
    let world = World::new();
    let row = |who| key("m1").row_key(&world.ours("m1").side, "send-message", &person(who));
    for order in [[BEA, BO], [BO, BEA]] {
        let first = world.relay.in_progress.begin(&row(BEA)).unwrap();
        let asked = tokio::spawn({
            let relay = Arc::clone(&world.relay);
            let (ingress, request) = (world.ours("m1"), Request::Send(message("m1", ADA, &order)));
            async move { relay.handle(ingress, request).await }
        });
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(!asked.is_finished());
        assert!(
            !world.relay.in_progress.has(&row(BO)),
            "{order:?}: it holds what it need not yet"
        );
        drop(first);
        assert_eq!(outcomes(asked.await.unwrap().unwrap()).len(), 2);
    }
    assert_eq!(world.ssp.messages().len(), 1, "each person once");
}

#[tokio::test]
async fn repeated_notice_is_told_once() {
    let world = World::new();
    let notice = || {
        Request::ContactAdded(ContactAdded {
            by: person(ADA),
            friendly_name: None,
            added: people(&[BEA]),
            text: None,
        })
    };
    for _ in 0..2 {
        let answer = world.handle(world.ours("n1"), notice()).await.unwrap();
        assert_eq!(outcome_of(&answer, BEA), Ok(Acceptance::Taken));
    }
    assert_eq!(world.ssp.asked().len(), 1);
}

#[tokio::test]
async fn identity_is_forgotten_when_the_message_could_wait_no_longer() {
    let world = World::new();
    world.ada_sends("m1", BEA).await.unwrap();
    world.advance(86_401);
    world.ada_sends("m1", BEA).await.unwrap();
    assert_eq!(world.ssp.asked().len(), 2);
}
