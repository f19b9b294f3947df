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

/// However it went: at once, through the store, or thrown away by an operator.
#[tokio::test]
async fn repeat_has_its_outcome_as_long_as_the_message_could_wait_and_over_each_restart() {
    let validity = Duration::from_secs(3 * 86_400);
    let asks = async |world: &World, id: &str, to: &str| {
        let message = SendMessage {
            validity: Some(validity),
            ..message(id, ADA, &[to])
        };
        let answer = world.handle(world.ours(id), Request::Send(message)).await;
        outcomes(answer.unwrap()).remove(0).outcome.unwrap()
    };
    let world = World::new();
    assert_eq!(asks(&world, "taken", BEA).await, Acceptance::Taken);
    for id in ["stored", "discarded"] {
        world.ssp.takes_nothing();
        let to = format!("wv:{id}@beta.example");
        assert_eq!(asks(&world, id, &to).await, Acceptance::Stored);
    }
    let is_discarded = |item: &&OutboxItem| item.labels.contains(&"discarded".to_owned());
    let waiting = world.waiting().await;
    let item = waiting.iter().find(is_discarded).unwrap();
    world.relay.discard(item, "a test").await.unwrap();
    world.advance(60);
    world.deliver_due().await;
    assert!(world.waiting().await.is_empty());
    world.ssp.asked();
    let mut world = world;
    for hours in [20, 40, 11] {
        world.advance(hours * 3600);
        world = world.restart().await;
        assert_eq!(asks(&world, "taken", BEA).await, Acceptance::Taken);
        for id in ["stored", "discarded"] {
            let to = format!("wv:{id}@beta.example");
            assert_eq!(asks(&world, id, &to).await, Acceptance::Stored, "{id}");
        }
        assert!(world.ssp.asked().is_empty() && world.waiting().await.is_empty());
    }
    world.advance(2 * 3600);
    assert_eq!(asks(&world, "taken", BEA).await, Acceptance::Taken);
    assert_eq!(world.ssp.asked().len(), 1, "it is a new message by now");
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
