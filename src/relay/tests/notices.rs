//! "Added to contact list": told, kept, or sent as a text where that is agreed.

use serde_json::json;

use super::*;
use crate::model::ContactAdded;

fn notice(added: &[&str]) -> Request {
    Request::ContactAdded(ContactAdded {
        by: person(ADA),
        friendly_name: Some("Ada".into()),
        added: people(added),
        text: None,
    })
}

fn unsupported() -> Refusal {
    Refusal::Unsupported {
        what: "NotificationRequest".into(),
    }
}

fn with_fallback() -> World {
    World::with(|setup| setup.agreements = vec![agreement_with("beta", "atcl_fallback", json!("message"))])
}

#[tokio::test]
async fn everybody_added_is_told_at_his_operator() {
    let world = World::new();
    let answer = world.handle(world.ours("n1"), notice(&[BEA, GIL])).await.unwrap();
    assert_eq!(outcome_of(&answer, BEA), Ok(Acceptance::Taken));
    assert_eq!(outcome_of(&answer, GIL), Ok(Acceptance::Taken));
    assert_eq!(world.ssp.asked().len(), 2);
}

#[tokio::test]
async fn notice_that_can_not_go_now_is_kept_and_goes_later() {
    let world = World::new();
    world.ssp.takes_nothing();
    let answer = world.handle(world.ours("n1"), notice(&[BEA])).await.unwrap();
    assert_eq!(outcome_of(&answer, BEA), Ok(Acceptance::Stored));
    world.ssp.asked();
    world.advance(10);
    world.deliver_due().await;
    assert!(
        matches!(&world.ssp.asked()[0].request, Request::ContactAdded(told) if told.added == people(&[BEA]))
    );
    assert!(world.waiting().await.is_empty());
}

#[tokio::test]
async fn notice_without_a_route_for_now_is_kept() {
    let world = World::new();
    let answer = world
        .handle(world.ours("n1"), notice(&["wv:dan@delta.example"]))
        .await
        .unwrap();
    assert_eq!(
        outcome_of(&answer, "wv:dan@delta.example"),
        Ok(Acceptance::Stored)
    );
    world.serves("domain", "delta.example", "beta");
    world.advance(10);
    world.deliver_due().await;
    assert_eq!(world.ssp.asked().len(), 1);
}

#[tokio::test]
async fn notice_that_is_taken_without_an_answer_counts_as_told() {
    let world = World::new();
    world.ssp.stays_silent();
    let answer = world.handle(world.ours("n1"), notice(&[BEA])).await.unwrap();
    assert_eq!(outcome_of(&answer, BEA), Ok(Acceptance::Taken));
    assert!(world.waiting().await.is_empty());
}

#[tokio::test]
async fn peer_that_does_not_know_notices_gets_a_text_only_where_agreed() {
    let strict = World::new();
    strict.ssp.refuses(unsupported());
    let answer = strict.handle(strict.ours("n1"), notice(&[BEA])).await.unwrap();
    assert_eq!(outcome_of(&answer, BEA), Err(unsupported()));
    assert_eq!(strict.ssp.asked().len(), 1);

    let world = with_fallback();
    world.ssp.refuses(unsupported());
    let answer = world.handle(world.ours("n1"), notice(&[BEA])).await.unwrap();
    assert_eq!(outcome_of(&answer, BEA), Ok(Acceptance::Taken));
    assert_eq!(world.ssp.texts(), ["[Ada has added you to a contact list]"]);
}

#[tokio::test]
async fn kept_notice_falls_back_to_a_text_as_well() {
    let world = with_fallback();
    world.ssp.takes_nothing();
    world.handle(world.ours("n1"), notice(&[BEA])).await.unwrap();
    world.ssp.asked();
    world.ssp.refuses(unsupported());
    world.advance(10);
    world.deliver_due().await;
    assert_eq!(world.ssp.texts(), ["[Ada has added you to a contact list]"]);
    assert!(world.waiting().await.is_empty());
}

#[tokio::test]
async fn text_in_place_of_a_notice_is_kept_when_it_can_not_go() {
    let world = with_fallback();
    world.ssp.refuses(unsupported());
    world.ssp.takes_nothing();
    let answer = world.handle(world.ours("n1"), notice(&[BEA])).await.unwrap();
    assert_eq!(outcome_of(&answer, BEA), Ok(Acceptance::Stored));
    assert_eq!(world.waiting().await.len(), 1);
}

#[tokio::test]
async fn message_does_not_overtake_the_notice_before_it() {
    let world = World::new();
    world.ssp.takes_nothing();
    world.handle(world.ours("n1"), notice(&[BEA])).await.unwrap();
    world.ssp.asked();
    assert_eq!(world.ada_sends("m1", BEA).await, Ok(Acceptance::Stored));
    world.advance(10);
    world.deliver_due().await;
    let asked = world.ssp.asked();
    assert!(matches!(asked[0].request, Request::ContactAdded(_)));
    assert!(matches!(asked[1].request, Request::Send(_)));
}

#[tokio::test]
async fn refused_notice_is_the_answer() {
    let world = World::new();
    world.ssp.refuses(Refusal::UnknownUser {
        recipient: person(BEA),
    });
    let answer = world.handle(world.ours("n1"), notice(&[BEA])).await.unwrap();
    assert_eq!(
        outcome_of(&answer, BEA),
        Err(Refusal::UnknownUser {
            recipient: person(BEA)
        })
    );
}

#[tokio::test]
async fn notice_waits_out_a_refusal_that_may_pass() {
    for status in [503, 504, 507] {
        let world = World::new();
        world.ssp.refuses(remote(status));
        let answer = world.handle(world.ours("n1"), notice(&[BEA])).await.unwrap();
        assert_eq!(outcome_of(&answer, BEA), Ok(Acceptance::Stored), "{status}");
        world.ssp.refuses(remote(status));
        world.advance(10);
        world.deliver_due().await;
        assert_eq!(world.waiting().await.len(), 1, "{status}");
        world.advance(60);
        world.deliver_due().await;
        assert_eq!(world.ssp.asked().len(), 3, "{status}");
        assert!(world.waiting().await.is_empty());
    }
}
