//! What operators do with queues and single items, and what senders hear of it; what waited too long where no attempt comes by.

use super::*;
use crate::store::{Batch, Committed, Settle};

/// Failed reports that Ada was told, by message, and are forgotten now.
fn told(world: &World) -> Vec<(String, Refusal)> {
    let told = |delivery: crate::relay::Delivery| match delivery.request {
        Request::Report(DeliveryReport {
            message,
            disposition: Disposition::Failed(refusal),
            ..
        }) => Some((message.to_string(), refusal)),
        _ => None,
    };
    world.home.asked().into_iter().filter_map(told).collect()
}

async fn stored(world: &World, id: &str, to: &str) -> OutboxItem {
    world.ssp.takes_nothing();
    assert_eq!(world.ada_sends(id, to).await, Ok(Acceptance::Stored));
    world.ssp.asked();
    found(world, id).await
}

async fn found(world: &World, id: &str) -> OutboxItem {
    let items = world.waiting().await.into_iter();
    items
        .into_iter()
        .find(|item| item.labels.contains(&id.to_owned()))
        .unwrap()
}

async fn hold(world: &World, item: &OutboxItem) {
    let settle = Settle::Hold { by: "noc".into() };
    let batch = Batch::new(world.clock.now()).settle(item.id, settle);
    assert_eq!(world.store.commit(batch).await.unwrap(), Committed::Done);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn held_queue_keeps_what_waits_and_what_comes_over_a_restart_until_it_is_released() {
    let world = World::new();
    stored(&world, "m1", BEA).await;
    world
        .relay
        .hold_queue("beta.example", "noc: ticket 1")
        .await
        .unwrap();
    let world = world.restart().await;
    assert_eq!(world.relay.held_queues()[0].by, "noc: ticket 1");
    assert_eq!(
        world.ada_sends("m2", "wv:other@beta.example").await,
        Ok(Acceptance::Stored)
    );
    stored(&world, "g", GIL).await;
    world.advance(600);
    let running = world.run_outbox();
    until("gamma is not held up", || async {
        world.ssp.has_been_asked_for("gamma.example")
    })
    .await;
    assert!(!world.ssp.has_been_asked_for("beta.example"));
    world.ssp.asked();
    assert!(world.relay.release_queue("beta.example").await.unwrap());
    until("both have gone", || async { world.waiting().await.is_empty() }).await;
    let mut texts = world.ssp.texts();
    texts.sort();
    assert_eq!(texts, ["m1", "m2"]);
    assert!(!world.relay.release_queue("beta.example").await.unwrap());
    running.abort();
}

#[tokio::test]
async fn hold_that_another_node_ordered_is_learnt_and_so_is_its_end() {
    let world = World::new();
    let row = |batch: Batch| world.store.commit(batch);
    let value = br#"{"queue":"beta.example","by":"noc","since":1}"#.to_vec();
    let space = crate::store::Space::Meta;
    row(Batch::new(world.clock.now()).put(space, "held queue beta.example", value, None))
        .await
        .unwrap();
    world.relay.learn_holds().await.unwrap();
    assert_eq!(world.ada_sends("m", BEA).await, Ok(Acceptance::Stored));
    assert!(world.ssp.asked().is_empty());
    row(Batch::new(world.clock.now()).remove(space, "held queue beta.example"))
        .await
        .unwrap();
    world.relay.learn_holds().await.unwrap();
    assert_eq!(
        world.ada_sends("m2", "wv:b2@beta.example").await,
        Ok(Acceptance::Taken)
    );
}

#[tokio::test]
async fn sender_of_what_is_discarded_is_told_why() {
    let world = World::new();
    let item = stored(&world, "m1", BEA).await;
    let done = world.relay.discard(&item, "ticket 7").await.unwrap();
    assert_eq!(done, Committed::Done);
    world.advance(60);
    world.deliver_due().await;
    let reason = "ticket 7".into();
    assert_eq!(told(&world), [("m1".to_owned(), Refusal::Discarded { reason })]);
    assert!(world.ssp.asked().is_empty() && world.waiting().await.is_empty());
}

#[tokio::test]
async fn item_that_a_worker_has_is_not_discarded_and_nobody_is_told() {
    let world = World::new();
    let item = stored(&world, "m1", BEA).await;
    world.advance(10);
    let claim = Claim {
        by: WorkerId("other".into()),
        now: world.clock.now(),
        lease: Duration::from_secs(60),
        limit: 1,
        except_queues: Vec::new(),
    };
    assert_eq!(world.store.claim(claim).await.unwrap().len(), 1);
    let done = world.relay.discard(&item, "ticket 7").await.unwrap();
    assert_eq!(done, Committed::LeaseLost(item.id));
    assert_eq!(world.waiting().await.len(), 1);
}

#[tokio::test]
async fn redirected_items_go_to_the_other_domain_in_their_order_and_under_its_ids() {
    let world = World::new();
    stored(&world, "m1", BEA).await;
    world.ada_sends("m2", BEA).await.unwrap();
    for id in ["m1", "m2"] {
        let item = found(&world, id).await;
        assert_eq!(
            world.relay.redirect(&item, "gamma").await.unwrap(),
            Committed::Done
        );
    }
    world.advance(1);
    world.deliver_due().await;
    let asked = world.ssp.asked();
    assert!(asked.iter().all(|one| one.domain.as_str() == "gamma.example"));
    let said = |delivery: &crate::relay::Delivery| match &delivery.request {
        Request::Send(message) => message.content.as_text().unwrap().to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(asked.iter().map(said).collect::<Vec<_>>(), ["m1", "m2"]);
    assert!(world.waiting().await.is_empty());
}

#[tokio::test]
async fn redirected_message_is_still_known_by_its_report() {
    let world = World::new();
    let item = stored(&world, "m1", BEA).await;
    world.relay.redirect(&item, "gamma.example").await.unwrap();
    world.deliver_due().await;
    let sent = world.ssp.messages().remove(0);
    let came = report(sent.id.unwrap().as_str(), BEA, ADA);
    world
        .handle(world.theirs("gamma", "r"), Request::Report(came))
        .await
        .unwrap();
    let home = world.home.asked();
    assert!(matches!(&home[0].request, Request::Report(report) if report.message.as_str() == "m1"));
}

#[tokio::test]
async fn nothing_is_redirected_where_nobody_is_agreed_with_or_where_there_is_no_room() {
    let full = serde_json::json!({ "max_queued": 1, "media_types": ["text/*"] });
    let world = World::with(|setup| {
        setup.agreements = vec![agreement("beta"), agreement_with("gamma", "limits", full)];
    });
    let item = stored(&world, "m1", BEA).await;
    let refused = world.relay.redirect(&item, "nobody.example").await;
    assert!(matches!(refused, Err(Refusal::NoAgreement { .. })), "{refused:?}");
    stored(&world, "g", GIL).await;
    let refused = world.relay.redirect(&item, "gamma").await;
    assert!(matches!(refused, Err(Refusal::QueueFull { .. })), "{refused:?}");
    assert_eq!(found(&world, "m1").await.lane.queue, "beta.example");
}

#[tokio::test]
async fn report_is_not_redirected() {
    let world = World::new();
    world.ssp.takes_nothing();
    world
        .handle(
            world.theirs("beta", "m1"),
            Request::Send(message("m1", BO, &[ADA])),
        )
        .await
        .unwrap();
    let sent = world.home.messages().remove(0);
    world.ssp.takes_nothing();
    let came = report(sent.id.unwrap().as_str(), ADA, BO);
    world
        .handle(world.ours("r"), Request::Report(came))
        .await
        .unwrap();
    let item = world.waiting().await.remove(0);
    let refused = world.relay.redirect(&item, "gamma").await;
    assert!(matches!(refused, Err(Refusal::Unsupported { .. })), "{refused:?}");
}

#[tokio::test]
async fn message_that_became_too_late_where_no_attempt_comes_by_is_reported() {
    let world = World::new();
    let long = stored(&world, "long", BEA).await;
    let short = SendMessage {
        validity: Some(Duration::from_secs(60)),
        ..message("behind", ADA, &[BEA])
    };
    world
        .handle(world.ours("behind"), Request::Send(short))
        .await
        .unwrap();
    let short = SendMessage {
        validity: Some(Duration::from_secs(60)),
        ..message("held", ADA, &["wv:held@beta.example"])
    };
    world.ssp.takes_nothing();
    world
        .handle(world.ours("held"), Request::Send(short))
        .await
        .unwrap();
    hold(&world, &found(&world, "held").await).await;
    assert_eq!(world.relay.expire_waiting().await, Ok(0));
    world.advance(60);
    assert_eq!(world.relay.expire_waiting().await, Ok(0));
    world.advance(31);
    assert_eq!(world.relay.expire_waiting().await, Ok(2));
    world.home.asked();
    assert_eq!(
        world.store.item(long.id).await.unwrap().map(|item| item.id),
        Some(long.id)
    );
    world.ssp.is_down_at("beta.example");
    world.deliver_due().await;
    let mut told = told(&world);
    told.sort_by(|one, other| one.0.cmp(&other.0));
    let expected = ["behind", "held"].map(|id| (id.to_owned(), Refusal::Expired));
    assert_eq!(told, expected);
}

/// What the peer acknowledged may have been delivered, so nobody is told that it was not.
#[tokio::test]
async fn awaiting_and_dead_items_are_not_expired_by_looking_through() {
    let world = World::new();
    world.ssp.stays_silent();
    world.ada_sends("m1", BEA).await.unwrap();
    world.advance(90_000);
    assert_eq!(world.relay.expire_waiting().await, Ok(0));
    world.deliver_due().await;
    assert!(world.dead().await[0].starts_with("outcome unknown"));
    world.advance(90_000);
    assert_eq!(world.relay.expire_waiting().await, Ok(0));
    assert_eq!(told(&world), []);
}
