//! Documents that were acknowledged and not answered: awaiting, late answers, dead letters.

use serde_json::json;

use super::*;
use crate::model::{MessageId, StepEvent};

fn observed() -> World {
    World::with(|setup| setup.agreements = vec![agreement_with("beta", "profile", json!("observed"))])
}

/// Ada's message was acknowledged by Beta and not answered; the ID under which Beta knows it.
async fn awaited(world: &World, id: &str, to: &str) -> MessageId {
    world.ssp.stays_silent();
    assert_eq!(world.ada_sends(id, to).await, Ok(Acceptance::Stored));
    world.ssp.messages().remove(0).id.unwrap()
}

fn failed(world: &World) -> usize {
    let is_failed = |delivery: &crate::relay::Delivery| {
        matches!(
            &delivery.request,
            Request::Report(DeliveryReport {
                disposition: Disposition::Failed(_),
                ..
            })
        )
    };
    world.home.asked().iter().filter(|one| is_failed(one)).count()
}

fn notes(trail: &TrailRecord) -> Vec<&str> {
    let mut notes = Vec::new();
    for step in &trail.steps {
        if let StepEvent::Note { text } = &step.event {
            notes.push(text.as_str());
        }
    }
    notes
}

fn success(id: &MessageId) -> Outcome {
    Ok(Answer::Sent {
        id: Some(id.clone()),
        recipients: Vec::new(),
    })
}

#[tokio::test]
async fn unanswered_message_awaits_and_later_ones_queue_behind_it() {
    let world = World::new();
    let id = awaited(&world, "m1", BEA).await;
    assert!(matches!(world.waiting().await[0].place, Place::Awaiting { .. }));
    assert_eq!(world.ada_sends("m2", BEA).await, Ok(Acceptance::Stored));
    world.advance(20);
    world.deliver_due().await;
    assert!(
        world.ssp.asked().is_empty(),
        "nothing is sent while the answer may come"
    );
    world
        .relay
        .late_answer(&domain("beta.example"), &id, &success(&id))
        .await;
    {
        let trails = world.trails.lock().unwrap();
        let (first, last) = (&trails[0], trails.last().unwrap());
        assert_eq!(
            first.id, last.id,
            "what closed it is told under the message's own trail"
        );
        assert_eq!(notes(last), ["a late answer of beta.example: it has the message"]);
    }
    world.deliver_due().await;
    assert_eq!(world.ssp.texts(), ["m2"], "the first was taken, the second goes");
    assert!(world.waiting().await.is_empty());
    assert_eq!(failed(&world), 0);
}

#[tokio::test]
async fn late_error_makes_a_failed_report() {
    let world = World::new();
    let id = awaited(&world, "m1", BEA).await;
    world
        .relay
        .late_answer(&domain("beta.example"), &id, &Err(remote(532)))
        .await;
    let last = world.trails.lock().unwrap().last().cloned().unwrap();
    assert!(last.steps.iter().any(
        |step| matches!(&step.event, StepEvent::Refused { reason } if reason.starts_with("a late answer of beta.example"))
    ));
    world.deliver_due().await;
    assert_eq!(failed(&world), 1);
    assert!(world.waiting().await.is_empty());
}

#[tokio::test]
async fn late_answer_counts_only_from_where_the_message_went() {
    let world = World::new();
    let id = awaited(&world, "m1", BEA).await;
    world
        .relay
        .late_answer(&domain("gamma.example"), &id, &success(&id))
        .await;
    assert_eq!(world.waiting().await.len(), 1);
}

#[tokio::test]
async fn late_refusal_of_one_recipient_is_not_anothers() {
    let world = World::new();
    world.ssp.stays_silent();
    let request = Request::Send(message("m1", ADA, &[BEA, BO]));
    world.handle(world.ours("m1"), request).await.unwrap();
    let id = world.ssp.messages().remove(0).id.unwrap();
    let partly = Ok(Answer::Sent {
        id: Some(id.clone()),
        recipients: vec![RecipientOutcome {
            recipient: person(BO),
            outcome: Err(remote(532)),
        }],
    });
    world
        .relay
        .late_answer(&domain("beta.example"), &id, &partly)
        .await;
    world.deliver_due().await;
    let asked = world.home.asked();
    assert_eq!(asked.len(), 1);
    let Request::Report(told) = &asked[0].request else {
        panic!("{asked:?}");
    };
    assert_eq!(told.recipient, person(BO));
    assert!(world.waiting().await.is_empty());
}

#[tokio::test]
async fn late_answer_does_not_settle_what_was_never_sent() {
    let world = World::new();
    world.ssp.takes_nothing();
    world.ada_sends("m0", BEA).await.unwrap();
    world.ssp.stays_silent();
    let request = Request::Send(message("m1", ADA, &[BEA, BO]));
    world.handle(world.ours("m1"), request).await.unwrap();
    let id = world.ssp.messages().pop().unwrap().id.unwrap();
    world
        .relay
        .late_answer(&domain("beta.example"), &id, &success(&id))
        .await;
    world.advance(10);
    world.deliver_due().await;
    assert_eq!(world.ssp.texts(), ["m0", "m1"], "to Bea both; Bo's was answered");
}

#[tokio::test]
async fn message_that_turns_out_not_to_be_taken_goes_again_and_is_not_unknown() {
    let world = observed();
    let id = awaited(&world, "m1", BEA).await;
    world.relay.not_taken(&domain("gamma.example"), &id).await;
    assert!(matches!(world.waiting().await[0].place, Place::Awaiting { .. }));
    world.relay.not_taken(&domain("beta.example"), &id).await;
    assert!(matches!(world.waiting().await[0].place, Place::Scheduled { .. }));
    world.advance(20);
    world.deliver_due().await;
    assert_eq!(world.ssp.texts(), ["m1"]);
    assert!(world.waiting().await.is_empty());
    assert_eq!(failed(&world), 0);
}

#[tokio::test]
async fn message_that_the_peer_may_have_goes_again_and_is_unknown_in_the_end() {
    let world = World::new();
    let id = awaited(&world, "m1", BEA).await;
    world.relay.unsure(&domain("beta.example"), &id).await;
    world.ssp.takes_nothing();
    world.advance(20);
    world.deliver_due().await;
    assert_eq!(world.ssp.messages().remove(0).id, Some(id));
    world.advance(86_400);
    world.deliver_due().await;
    assert!(world.dead().await[0].starts_with("outcome unknown"));
    assert_eq!(failed(&world), 0);
}

#[tokio::test]
async fn message_whose_connection_was_closed_goes_again_and_is_unknown_in_the_end() {
    let world = observed();
    world.ssp.hangs_up();
    assert_eq!(world.ada_sends("m1", BEA).await, Ok(Acceptance::Stored));
    world.ssp.takes_nothing();
    world.advance(20);
    world.deliver_due().await;
    assert_eq!(world.ssp.texts(), ["m1", "m1"]);
    world.advance(86_400 * 30);
    assert_eq!(world.relay.expire_waiting().await, Ok(0));
    world.deliver_due().await;
    assert!(world.dead().await[0].starts_with("outcome unknown"));
    assert_eq!(failed(&world), 0);
}

#[tokio::test]
async fn message_that_is_given_up_before_its_connection_is_closed_is_unknown_in_the_end() {
    let world = observed();
    let id = awaited(&world, "m1", BEA).await;
    world.relay.dropped(&domain("beta.example"), &id).await;
    assert!(matches!(world.waiting().await[0].place, Place::Scheduled { .. }));
    world.advance(86_400 * 30);
    world.deliver_due().await;
    assert!(world.dead().await[0].starts_with("outcome unknown"));
    assert_eq!(failed(&world), 0);
}

#[tokio::test]
async fn message_that_ends_connections_is_a_dead_letter_and_the_next_one_goes() {
    let world = World::new();
    world.ssp.ends_connections();
    assert_eq!(world.ada_sends("m1", BEA).await, Ok(Acceptance::Stored));
    assert_eq!(world.ada_sends("m2", BEA).await, Ok(Acceptance::Stored));
    world.ssp.ends_connections();
    world.advance(20);
    world.deliver_due().await;
    let dead = world.dead().await;
    assert!(
        dead.len() == 1 && dead[0].contains("ends every connection"),
        "{dead:?}"
    );
    assert_eq!(world.ssp.texts(), ["m1", "m1", "m2"]);
}

#[tokio::test]
async fn peer_that_tells_repeats_apart_gets_it_again_under_the_same_id() {
    let world = World::new();
    let id = awaited(&world, "m1", BEA).await;
    world.advance(31);
    world.deliver_due().await;
    let again = world.ssp.messages();
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].id.as_ref(), Some(&id));
    assert!(world.waiting().await.is_empty());
}

#[tokio::test]
async fn peer_that_does_not_gets_it_once_and_the_letter_is_dead() {
    let world = observed();
    let id = awaited(&world, "m1", BEA).await;
    world.advance(31);
    world.deliver_due().await;
    assert!(world.ssp.asked().is_empty());
    let dead = world.dead().await;
    assert!(dead[0].starts_with("outcome unknown"), "{dead:?}");
    assert_eq!(
        world.ada_sends("m2", BEA).await,
        Ok(Acceptance::Taken),
        "the dead block nobody"
    );
    world
        .relay
        .late_answer(&domain("beta.example"), &id, &success(&id))
        .await;
    assert_eq!(
        world.dead().await,
        Vec::<String>::new(),
        "now its outcome is known"
    );
}

#[tokio::test]
async fn retry_that_stays_unanswered_awaits_again_and_is_never_expired_as_undelivered() {
    let world = World::new();
    awaited(&world, "m1", BEA).await;
    for _ in 0..3 {
        world.ssp.stays_silent();
        world.advance(700);
        world.deliver_due().await;
        assert!(matches!(world.waiting().await[0].place, Place::Awaiting { .. }));
    }
    assert_eq!(world.ssp.asked().len(), 3);
    world.advance(86_400);
    world.deliver_due().await;
    assert!(world.ssp.asked().is_empty());
    assert!(world.dead().await[0].starts_with("outcome unknown"));
    assert_eq!(failed(&world), 0, "nobody knows that it failed");
}

#[tokio::test]
async fn attempt_that_is_not_taken_does_not_make_known_what_became_of_the_one_before() {
    let world = World::new();
    awaited(&world, "m1", BEA).await;
    world.ssp.takes_nothing();
    world.advance(31);
    world.deliver_due().await;
    assert_eq!(world.ssp.asked().len(), 1);
    assert!(matches!(world.waiting().await[0].place, Place::Scheduled { .. }));
    world.advance(86_400);
    world.deliver_due().await;
    assert!(world.dead().await[0].starts_with("outcome unknown"));
    assert_eq!(failed(&world), 0, "nobody knows that it failed");
}

#[tokio::test]
async fn late_answer_that_overtakes_the_journal_waits_for_it() {
    let world = World::new();
    let release = world.ssp.holds();
    let sending = tokio::spawn({
        let relay = Arc::clone(&world.relay);
        let (ingress, request) = (world.ours("m1"), Request::Send(message("m1", ADA, &[BEA])));
        async move { relay.handle(ingress, request).await }
    });
    world.ssp.is_asked(1).await;
    let id = world.ssp.messages().remove(0).id.unwrap();
    let late = tokio::spawn({
        let relay = Arc::clone(&world.relay);
        async move {
            relay
                .late_answer(&domain("beta.example"), &id, &success(&id))
                .await
        }
    });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!late.is_finished());
    release.send(()).unwrap();
    sending.await.unwrap().unwrap();
    late.await.unwrap();
}
