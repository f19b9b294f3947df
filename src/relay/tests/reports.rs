//! Delivery reports: to whoever sent the message, once, and only from where it went.

use super::*;
use crate::model::{Acceptance, MessageId};

/// Ada sends to Bea; the ID under which Beta knows it.
async fn sent(world: &World) -> MessageId {
    world.ada_sends("m1", BEA).await.unwrap();
    world.ssp.messages().remove(0).id.unwrap()
}

fn reports(asked: Vec<crate::relay::Delivery>) -> Vec<DeliveryReport> {
    let report = |delivery: crate::relay::Delivery| match delivery.request {
        Request::Report(report) => Some(report),
        _ => None,
    };
    asked.into_iter().filter_map(report).collect()
}

#[tokio::test]
async fn report_reaches_the_sender_under_his_own_id_and_the_form_he_used() {
    let world = World::new();
    let id = sent(&world).await;
    let theirs = report(id.as_str(), "wv:+46701234567@beta.example", ADA);
    let answer = world
        .handle(world.theirs("beta", "r1"), Request::Report(theirs))
        .await;
    assert_eq!(answer, Ok(Answer::Done));
    let told = reports(world.home.asked());
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].message.as_str(), "m1");
    assert_eq!(told[0].recipient, person(BEA));
    assert_eq!(told[0].sender, person(ADA));
    assert_eq!(told[0].disposition, Disposition::Delivered);
}

#[tokio::test]
async fn repeated_report_is_taken_and_goes_no_further() {
    let world = World::new();
    let id = sent(&world).await;
    for _ in 0..3 {
        let again = Request::Report(report(id.as_str(), BEA, ADA));
        assert_eq!(
            world.handle(world.theirs("beta", "r1"), again).await,
            Ok(Answer::Done)
        );
    }
    assert_eq!(reports(world.home.asked()).len(), 1);
}

#[tokio::test]
async fn report_counts_only_from_the_peer_and_recipient_that_the_message_went_to() {
    let world = World::new();
    let id = sent(&world).await;
    for (peer, from) in [("gamma", GIL), ("beta", BO)] {
        let forged = Request::Report(report(id.as_str(), from, ADA));
        let refused = world.handle(world.theirs(peer, "r1"), forged).await.unwrap_err();
        assert!(matches!(refused, Refusal::NotFound { .. }), "{peer}: {refused}");
    }
    let early = Request::Report(report("m1", BEA, ADA));
    let refused = world.handle(world.theirs("beta", "r1"), early).await.unwrap_err();
    assert!(
        matches!(refused, Refusal::NotFound { .. }),
        "our own ID is not theirs: {refused}"
    );
    assert!(world.home.asked().is_empty());
}

#[tokio::test]
async fn report_that_overtakes_the_answer_waits_for_the_journal() {
    let world = World::new();
    let release = world.ssp.holds();
    let sending = tokio::spawn({
        let relay = Arc::clone(&world.relay);
        let (ingress, request) = (world.ours("m1"), Request::Send(message("m1", ADA, &[BEA])));
        async move { relay.handle(ingress, request).await }
    });
    world.ssp.is_asked(1).await;
    let id = world.ssp.messages().remove(0).id.unwrap();
    let reporting = tokio::spawn({
        let relay = Arc::clone(&world.relay);
        let ingress = world.theirs("beta", "r1");
        let request = Request::Report(report(id.as_str(), BEA, ADA));
        async move { relay.handle(ingress, request).await }
    });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!reporting.is_finished());
    release.send(()).unwrap();
    sending.await.unwrap().unwrap();
    assert_eq!(reporting.await.unwrap(), Ok(Answer::Done));
    assert_eq!(reports(world.home.asked()).len(), 1);
}

#[tokio::test]
async fn report_that_can_not_go_now_is_kept_and_goes_later() {
    let world = World::new();
    let request = Request::Send(message("m1", BO, &[ADA]));
    world.handle(world.theirs("beta", "m1"), request).await.unwrap();
    let id = world.home.messages().remove(0).id.unwrap();
    world.ssp.takes_nothing();
    let ours = || Request::Report(report(id.as_str(), ADA, BO));
    assert_eq!(world.handle(world.ours("r1"), ours()).await, Ok(Answer::Done));
    assert_eq!(world.waiting().await[0].lane.queue, "beta.example");
    assert_eq!(
        world.handle(world.ours("r1"), ours()).await,
        Ok(Answer::Done),
        "a repeat"
    );
    assert_eq!(world.waiting().await.len(), 1);
    world.ssp.asked();
    world.advance(10);
    world.deliver_due().await;
    let asked = world.ssp.asked();
    assert_eq!(
        asked[0].own,
        domain("alpha.example"),
        "in the name that the message came in for"
    );
    assert_eq!(reports(asked)[0].message.as_str(), "m1");
    assert!(world.waiting().await.is_empty());
}

#[tokio::test]
async fn report_that_is_taken_without_an_answer_is_not_sent_again() {
    let world = World::new();
    let request = Request::Send(message("m1", BO, &[ADA]));
    world.handle(world.theirs("beta", "m1"), request).await.unwrap();
    let id = world.home.messages().remove(0).id.unwrap();
    world.ssp.stays_silent();
    let ours = Request::Report(report(id.as_str(), ADA, BO));
    assert_eq!(world.handle(world.ours("r1"), ours).await, Ok(Answer::Done));
    assert!(world.waiting().await.is_empty());
}

#[tokio::test]
async fn report_that_nobody_asked_for_is_not_known() {
    let world = World::new();
    let unwanted = SendMessage {
        report_wanted: false,
        ..message("m1", BO, &[ADA])
    };
    let answer = world
        .handle(world.theirs("beta", "m1"), Request::Send(unwanted))
        .await;
    assert_eq!(outcome_of(&answer.unwrap(), ADA), Ok(Acceptance::Taken));
    let id = world.home.messages().remove(0).id.unwrap();
    let ours = Request::Report(report(id.as_str(), ADA, BO));
    let refused = world.handle(world.ours("r1"), ours).await.unwrap_err();
    assert!(matches!(refused, Refusal::NotFound { .. }), "{refused}");
    assert!(world.ssp.asked().is_empty());
}

#[tokio::test]
async fn report_survives_a_restart_until_a_week_after_the_message() {
    let world = World::new();
    let id = sent(&world).await;
    let world = world.restart().await;
    world.advance(8 * 86_400 - 10);
    let last = Request::Report(report(id.as_str(), BEA, ADA));
    assert_eq!(
        world.handle(world.theirs("beta", "r1"), last.clone()).await,
        Ok(Answer::Done)
    );
    assert_eq!(reports(world.home.asked()).len(), 1);
    world.advance(20);
    let refused = world.handle(world.theirs("beta", "r2"), last).await.unwrap_err();
    assert!(matches!(refused, Refusal::NotFound { .. }), "{refused}");
}

#[tokio::test]
async fn report_of_a_stored_message_finds_its_sender() {
    let world = World::new();
    world.ssp.takes_nothing();
    world.ada_sends("m1", BEA).await.unwrap();
    world.ssp.asked();
    world.advance(10);
    world.deliver_due().await;
    let id = world.ssp.messages().remove(0).id.unwrap();
    let theirs = Request::Report(report(id.as_str(), BEA, ADA));
    assert_eq!(
        world.handle(world.theirs("beta", "r1"), theirs).await,
        Ok(Answer::Done)
    );
    assert_eq!(reports(world.home.asked())[0].message.as_str(), "m1");
}

#[tokio::test]
async fn report_of_a_message_that_was_delivered_elsewhere_than_planned_finds_its_sender() {
    let world = World::new();
    world.ssp.takes_nothing();
    world.ada_sends("m1", BEA).await.unwrap();
    world.ssp.asked();
    world.serves("number", "+46701234567", "gamma");
    world.advance(10);
    world.deliver_due().await;
    let id = world.ssp.messages().remove(0).id.unwrap();
    let theirs = Request::Report(report(id.as_str(), BEA, ADA));
    assert_eq!(
        world.handle(world.theirs("gamma", "r1"), theirs).await,
        Ok(Answer::Done)
    );
    assert_eq!(reports(world.home.asked())[0].message.as_str(), "m1");
}
