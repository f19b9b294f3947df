//! The outbox: what becomes of stored messages in the end, and what wakes it.

use super::*;
use crate::model::StepEvent;
use crate::relay::set_back::Seen;

/// Failed reports that Ada was told, by message.
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

async fn stored(world: &World, id: &str) {
    world.ssp.takes_nothing();
    assert_eq!(world.ada_sends(id, BEA).await, Ok(Acceptance::Stored));
    world.ssp.asked();
}

#[tokio::test]
async fn refusal_of_a_stored_message_is_reported_to_its_sender_once() {
    let world = World::new();
    stored(&world, "m1").await;
    world.ssp.refuses(remote(532));
    world.advance(10);
    world.deliver_due().await;
    assert_eq!(told(&world), [("m1".to_owned(), remote(532))]);
    assert!(world.waiting().await.is_empty());
    world.deliver_due().await;
    assert_eq!(told(&world), []);
}

#[tokio::test]
async fn refusal_that_may_pass_is_tried_again() {
    let world = World::new();
    stored(&world, "m1").await;
    world.ssp.refuses(remote(503));
    world.advance(10);
    world.deliver_due().await;
    assert_eq!(told(&world), []);
    world.advance(60);
    world.deliver_due().await;
    assert_eq!(world.ssp.texts(), ["m1", "m1"]);
    assert!(world.waiting().await.is_empty());
}

#[tokio::test]
async fn message_that_waited_too_long_is_reported_as_expired_and_not_sent() {
    let world = World::new();
    world.ssp.takes_nothing();
    let short = SendMessage {
        validity: Some(Duration::from_secs(30)),
        ..message("m1", ADA, &[BEA])
    };
    world
        .handle(world.ours("m1"), Request::Send(short))
        .await
        .unwrap();
    world.ssp.asked();
    world.advance(31);
    world.deliver_due().await;
    assert!(world.ssp.asked().is_empty());
    assert_eq!(told(&world), [("m1".to_owned(), Refusal::Expired)]);
    assert!(world.waiting().await.is_empty());
}

#[tokio::test]
async fn validity_has_a_default_and_an_upper_bound() {
    let world = World::new();
    let began = world.clock.now();
    for (id, validity, seconds) in [
        ("m1", None, 86_400),
        ("m2", Some(86_400 * 365), 7 * 86_400),
        ("m3", Some(0), 86_400),
    ] {
        world.ssp.takes_nothing();
        let to = format!("wv:{id}@beta.example");
        let request = SendMessage {
            validity: validity.map(Duration::from_secs),
            ..message(id, ADA, &[&to])
        };
        world
            .handle(world.ours(id), Request::Send(request))
            .await
            .unwrap();
        let item = world.waiting().await.pop().unwrap();
        assert_eq!(item.expires, began.plus(Duration::from_secs(seconds)), "{id}");
    }
}

#[tokio::test]
async fn pauses_between_attempts_grow_and_have_a_bound() {
    let world = World::new();
    stored(&world, "m1").await;
    let mut last = Duration::ZERO;
    for attempt in 0..12 {
        let Place::Scheduled { due } = world.waiting().await[0].place else {
            panic!("it waits");
        };
        let pause = world.clock.now().until(due);
        assert!(pause <= Duration::from_secs(690), "{attempt}: {pause:?}");
        assert!(attempt > 4 || pause > last, "{attempt}: {pause:?} after {last:?}");
        last = pause;
        world.hand.advance(pause);
        world.ssp.takes_nothing();
        world.deliver_due().await;
    }
    assert!(last > Duration::from_secs(500), "{last:?}");
}

/// A message is claimed, and the process ends: it is taken back by the next one, and nobody can be reached.
async fn ended_amid_an_attempt(world: &World) {
    stored(world, "m1").await;
    world.advance(10);
    let worker = WorkerId("node".into());
    let claim = Claim {
        by: worker.clone(),
        now: world.clock.now(),
        lease: HOUR,
        limit: 1,
        except_queues: Vec::new(),
    };
    assert_eq!(world.store.claim(claim).await.unwrap().len(), 1);
    world.relay.take_back(&worker).await.unwrap();
}

#[tokio::test]
async fn message_whose_attempt_the_process_did_not_survive_is_unknown_in_the_end() {
    let world = World::new();
    ended_amid_an_attempt(&world).await;
    world.ssp.takes_nothing();
    world.deliver_due().await;
    assert_eq!(world.ssp.texts(), ["m1"]);
    world.advance(86_400);
    world.deliver_due().await;
    assert!(world.dead().await[0].starts_with("outcome unknown"));
    assert_eq!(told(&world), []);
}

#[tokio::test]
async fn lease_that_ends_amid_an_attempt_begins_no_second_one() {
    let world = World::new();
    stored(&world, "m1").await;
    world.advance(10);
    let worker = WorkerId("node".into());
    let claim = Claim {
        by: worker.clone(),
        now: world.clock.now(),
        lease: HOUR,
        limit: 1,
        except_queues: Vec::new(),
    };
    let item = world.store.claim(claim).await.unwrap().remove(0);
    let release = world.ssp.holds();
    let first = tokio::spawn({
        let (relay, item, worker) = (Arc::clone(&world.relay), item.clone(), worker.clone());
        async move { relay.attempt(item, worker).await }
    });
    world.ssp.is_asked(1).await;
    // Too late for it, by the clock of now.
    world.advance(86_400);
    world.relay.attempt(item, worker).await;
    release.send(()).unwrap();
    first.await.unwrap();
    assert_eq!(world.ssp.texts(), ["m1"]);
    assert_eq!(told(&world), []);
    assert!(world.waiting().await.is_empty());
}

#[tokio::test]
async fn message_that_such_an_attempt_was_about_goes_again_to_peers_that_do_not_notice() {
    let world = World::with(|setup| {
        setup.agreements = vec![agreement_with("beta", "profile", serde_json::json!("observed"))];
    });
    ended_amid_an_attempt(&world).await;
    world.deliver_due().await;
    assert_eq!(world.ssp.texts(), ["m1"]);
    assert!(world.waiting().await.is_empty());
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn what_waits_goes_at_once_when_the_clock_is_set_back() {
    let world = World::new();
    stored(&world, "m1").await;
    assert_eq!(world.ada_sends("m2", BEA).await, Ok(Acceptance::Stored));
    let mut seen = Seen::new(world.clock.now());
    world.relay.notice_set_back(&mut seen).await;
    world.deliver_due().await;
    assert!(world.ssp.asked().is_empty());
    world.hand.set_back(HOUR);
    world.relay.notice_set_back(&mut seen).await;
    world.deliver_due().await;
    assert_eq!(world.ssp.texts(), ["m1", "m2"]);
    // What was on its way into the store, with a time by the clock of before.
    world.advance(3600);
    stored(&world, "m3").await;
    world.hand.set_back(HOUR);
    world.advance(6);
    world.relay.notice_set_back(&mut seen).await;
    world.deliver_due().await;
    assert_eq!(world.ssp.texts(), ["m3"]);
}

#[tokio::test]
async fn awaited_answer_keeps_the_time_it_had_left_when_the_clock_is_set_back() {
    let world = World::new();
    world.ssp.stays_silent();
    world.ada_sends("m1", BEA).await.unwrap();
    world.ssp.asked();
    world.advance(20);
    let mut seen = Seen::new(world.clock.now());
    world.hand.set_back(HOUR);
    world.relay.notice_set_back(&mut seen).await;
    world.advance(9);
    world.deliver_due().await;
    assert!(world.ssp.asked().is_empty(), "it is awaited for 30 s");
    world.advance(2);
    world.ssp.takes_nothing();
    world.deliver_due().await;
    assert_eq!(world.ssp.texts(), ["m1"]);
    assert!(world.waiting().await[0].unanswered);
}

#[tokio::test]
async fn what_a_start_finds_further_away_than_any_pause_goes_at_once() {
    let world = World::new();
    stored(&world, "m1").await;
    world.hand.set_back(HOUR);
    let world = world.restart().await;
    world.deliver_due().await;
    assert_eq!(world.ssp.texts(), ["m1"]);
}

#[tokio::test]
async fn attempt_leaves_a_trail_under_the_first_ones_name() {
    let world = World::new();
    stored(&world, "m1").await;
    world.advance(10);
    world.deliver_due().await;
    let trails = world.trails.lock().unwrap();
    assert_eq!(trails.len(), 2);
    assert_eq!(trails[0].id, trails[1].id);
    let is_delivered = |event: &StepEvent| matches!(event, StepEvent::Attempt { failure: None, .. });
    assert!(trails[1].steps.iter().any(|step| is_delivered(&step.event)));
}

#[tokio::test]
async fn end_of_the_agreement_with_the_peer_fails_what_waits_for_it() {
    let world = World::new();
    stored(&world, "m1").await;
    world.agree(&[
        agreement_with("beta", "services", serde_json::json!({})),
        agreement("gamma"),
    ]);
    world.advance(10);
    world.deliver_due().await;
    let told = told(&world);
    assert!(
        matches!(&told[..], [(id, Refusal::NotAgreed { .. })] if id == "m1"),
        "{told:?}"
    );
}

#[tokio::test]
async fn end_of_the_agreement_it_came_under_buries_a_message() {
    let world = World::new();
    world.home.takes_nothing();
    let request = Request::Send(message("m1", BO, &[ADA]));
    world.handle(world.theirs("beta", "m1"), request).await.unwrap();
    world.home.asked();
    world.agree(&[agreement("gamma")]);
    world.advance(10);
    world.deliver_due().await;
    assert_eq!(world.dead().await, ["the agreement that it came under has ended"]);
    assert!(world.home.asked().is_empty());
}

#[tokio::test]
async fn damaged_item_is_buried_and_the_lane_goes_on() {
    let world = World::new();
    stored(&world, "m1").await;
    let item = world.waiting().await.remove(0);
    let broken = crate::store::NewItem {
        lane: item.lane.clone(),
        priority: item.priority,
        due: world.clock.now(),
        expires: item.expires,
        replaces: None,
        is_awaiting: false,
        last_failure: None,
        labels: Vec::new(),
        body: "{".into(),
    };
    let batch = crate::store::Batch::new(world.clock.now()).enqueue(broken);
    world.store.commit(batch).await.unwrap();
    world.ada_sends("m2", BEA).await.unwrap();
    world.advance(10);
    world.deliver_due().await;
    assert_eq!(world.ssp.texts(), ["m1", "m2"]);
    let dead = world.dead().await;
    assert!(
        dead[0].starts_with("the stored request can't be read"),
        "{dead:?}"
    );
}

#[tokio::test]
async fn peer_that_is_back_gets_at_once_what_waits_for_it_and_no_other_does() {
    let world = World::new();
    stored(&world, "m1").await;
    world.ssp.takes_nothing();
    world.ada_sends("m2", GIL).await.unwrap();
    world.ssp.asked();
    world.relay.peer_is_back(&domain("beta.example")).await;
    world.deliver_due().await;
    assert_eq!(world.ssp.texts(), ["m1"]);
    assert_eq!(world.waiting().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_peer_does_not_hold_up_what_waits_for_another() {
    let world = World::new();
    for n in 0..200 {
        world.ssp.takes_nothing();
        let to = format!("wv:u{n}@beta.example");
        world.ada_sends(&format!("b{n}"), &to).await.unwrap();
    }
    world.advance(1);
    world.ssp.takes_nothing();
    world.ada_sends("g", GIL).await.unwrap();
    world.ssp.asked();
    world.ssp.hangs_at("beta.example");
    for peer in ["beta.example", "gamma.example"] {
        world.relay.peer_is_back(&domain(peer)).await;
    }
    let running = tokio::spawn(Arc::clone(&world.relay).run_outbox(WorkerId("node".into())));
    let gil = async {
        while !world.ssp.has_been_asked_for("gamma.example") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gil)
        .await
        .expect("beta has every slot");
    running.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn running_outbox_delivers_lanes_in_order_and_wakes_when_a_peer_is_back() {
    let world = World::new();
    for id in ["m1", "m2", "m3"] {
        if id == "m1" {
            world.ssp.takes_nothing();
        }
        world.ada_sends(id, BEA).await.unwrap();
    }
    world.ssp.asked();
    let running = tokio::spawn(Arc::clone(&world.relay).run_outbox(WorkerId("node".into())));
    world.relay.peer_is_back(&domain("beta.example")).await;
    tokio::time::timeout(Duration::from_secs(60), world.ssp.is_asked(3))
        .await
        .expect("the outbox sleeps");
    assert_eq!(world.ssp.texts(), ["m1", "m2", "m3"]);
    running.abort();
}

/// The process before this one was killed amid an attempt: its lease is no reason to wait.
#[tokio::test]
async fn work_of_a_killed_process_is_taken_up_at_once() {
    let world = World::new();
    stored(&world, "m1").await;
    stored(&world, "m2").await;
    world.advance(10);
    let claim = |by: &str| Claim {
        by: WorkerId(by.into()),
        now: world.clock.now(),
        lease: Duration::from_secs(60),
        limit: 1,
        except_queues: Vec::new(),
    };
    assert_eq!(world.store.claim(claim("node")).await.unwrap().len(), 1);
    let world = world.restart().await;
    let running = tokio::spawn(Arc::clone(&world.relay).run_outbox(WorkerId("node".into())));
    let both = async {
        while !world.waiting().await.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), both).await.unwrap();
    assert_eq!(world.ssp.texts(), ["m1", "m2"]);
    running.abort();
}
