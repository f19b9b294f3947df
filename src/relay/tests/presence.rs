//! Presence: subscribed, asserted anew, unsubscribed, fetched, told.

use super::*;
use crate::model::{GetPresence, Presence, PresenceNotification, StepEvent, Subscribe, Unsubscribe};
use crate::store::Space;

fn subscribe(to: &[&str]) -> Request {
    Request::Subscribe(Subscribe {
        watcher: person(ADA),
        presentities: people(to),
        attributes: Vec::new(),
    })
}

fn unsubscribe(to: &[&str]) -> Request {
    Request::Unsubscribe(Unsubscribe {
        watcher: person(ADA),
        presentities: people(to),
    })
}

fn get(of: &[&str]) -> Request {
    Request::GetPresence(GetPresence {
        watcher: person(ADA),
        presentities: people(of),
        attributes: Vec::new(),
    })
}

/// Beta tells Ada about somebody of its own.
fn notification(of: &str, note: usize) -> Request {
    let mut presence = Presence::default();
    presence.set(
        crate::model::AttributeName::StatusText,
        Some(crate::model::AttributeValue::Text(note.to_string())),
    );
    Request::Notify(PresenceNotification {
        watchers: people(&[ADA]),
        values: vec![(person(of), presence)],
    })
}

async fn kept(world: &World) -> usize {
    let rows = world
        .store
        .rows(Space::Subscription, "", None, 100, world.clock.now());
    rows.await.unwrap().len()
}

/// Who was subscribed to since the last look.
fn subscribed(world: &World) -> Vec<(String, WvAddress)> {
    let one = |delivery: crate::relay::Delivery| match delivery.request {
        Request::Subscribe(subscribe) => {
            Some((delivery.domain.to_string(), subscribe.presentities[0].clone()))
        }
        _ => None,
    };
    let mut all: Vec<_> = world.ssp.asked().into_iter().filter_map(one).collect();
    all.sort_by_key(|(domain, _)| domain.clone());
    all
}

#[tokio::test]
async fn subscription_goes_to_each_operator_and_what_succeeds_is_kept() {
    let world = World::new();
    world.ssp.answers(Answer::Recipients(vec![RecipientOutcome {
        recipient: person(BEA),
        outcome: Ok(Acceptance::Taken),
    }]));
    world.ssp.refuses(Refusal::NotAuthorised {
        recipient: person(GIL),
    });
    let answer = world
        .handle(world.ours("s"), subscribe(&[BEA, GIL]))
        .await
        .unwrap();
    assert_eq!(outcome_of(&answer, BEA), Ok(Acceptance::Taken));
    assert_eq!(
        outcome_of(&answer, GIL),
        Err(Refusal::NotAuthorised {
            recipient: person(GIL)
        })
    );
    assert_eq!(kept(&world).await, 1);
}

#[tokio::test]
async fn unsubscription_forgets_even_when_the_peer_can_not_be_told() {
    let world = World::new();
    world.handle(world.ours("s"), subscribe(&[BEA])).await.unwrap();
    world.ssp.takes_nothing();
    let answer = world.handle(world.ours("u"), unsubscribe(&[BEA])).await.unwrap();
    assert_eq!(outcome_of(&answer, BEA), Err(unreachable()));
    assert_eq!(kept(&world).await, 0);
    let answer = world.handle(world.ours("u"), unsubscribe(&[BEA])).await.unwrap();
    assert_eq!(
        outcome_of(&answer, BEA),
        Ok(Acceptance::Taken),
        "nothing to end is no failure"
    );
}

#[tokio::test]
async fn subscriptions_at_a_peer_are_asserted_anew_when_its_session_opens() {
    let world = World::new();
    world
        .handle(world.ours("s"), subscribe(&[BEA, BO, GIL]))
        .await
        .unwrap();
    world.ssp.asked();
    let count = world.relay.reassert_subscriptions(&domain("beta.example")).await;
    assert_eq!(count, Ok(2));
    let asked = subscribed(&world);
    assert!(
        asked.iter().all(|(domain, _)| domain == "beta.example"),
        "{asked:?}"
    );
    assert_eq!(asked.len(), 2);
}

#[tokio::test]
async fn subscriptions_are_asserted_anew_daily_and_not_in_between() {
    let world = World::new();
    world
        .handle(world.ours("s"), subscribe(&[BEA, GIL]))
        .await
        .unwrap();
    world.ssp.asked();
    assert_eq!(
        world.relay.reassert_daily().await,
        Ok(0),
        "nothing is a day old yet"
    );
    world.advance(86_399);
    assert_eq!(world.relay.reassert_daily().await, Ok(0));
    world.advance(1);
    let world = world.restart().await;
    assert_eq!(
        world.relay.reassert_daily().await,
        Ok(2),
        "a restart in between changes nothing"
    );
    assert_eq!(subscribed(&world).len(), 2);
    assert_eq!(world.relay.reassert_daily().await, Ok(0));
    assert_eq!(subscribed(&world).len(), 0);
}

#[tokio::test]
async fn subscription_follows_a_ported_number() {
    let world = World::new();
    world.handle(world.ours("s"), subscribe(&[BEA])).await.unwrap();
    world.ssp.asked();
    world.serves("number", "+46701234567", "gamma");
    world
        .relay
        .reassert_subscriptions(&domain("beta.example"))
        .await
        .unwrap();
    assert_eq!(subscribed(&world), [("gamma.example".to_owned(), person(BEA))]);
    let again = world.relay.reassert_subscriptions(&domain("gamma.example")).await;
    assert_eq!(again, Ok(1), "it is kept at the new operator");
}

#[tokio::test]
async fn subscription_follows_a_number_that_moved_between_other_operators_within_the_hour() {
    let world = World::new();
    world
        .handle(world.ours("s"), subscribe(&[BEA, GIL]))
        .await
        .unwrap();
    assert_eq!(world.relay.follow_moved().await, Ok(0), "nothing is old yet");
    world.ssp.asked();
    world.advance(3600);
    assert_eq!(world.relay.follow_moved().await, Ok(0), "nobody has moved");
    assert_eq!(subscribed(&world).len(), 0);

    world.serves("number", "+46701234567", "gamma");
    world.advance(3599);
    assert_eq!(world.relay.follow_moved().await, Ok(0));
    world.advance(1);
    world.ssp.refuses(Refusal::UnknownUser {
        recipient: person(BEA),
    });
    assert_eq!(
        world.relay.follow_moved().await,
        Ok(0),
        "the new operator does not know her yet"
    );
    assert_eq!(kept(&world).await, 2, "and she is still watched");
    world.ssp.asked();
    world.advance(3600);
    assert_eq!(world.relay.follow_moved().await, Ok(1));
    assert_eq!(subscribed(&world), [("gamma.example".to_owned(), person(BEA))]);
    world.advance(3600);
    assert_eq!(world.relay.follow_moved().await, Ok(0), "she has arrived");
}

#[tokio::test]
async fn subscription_that_can_not_follow_at_once_is_asserted_when_the_new_operator_is_back() {
    let world = World::new();
    world.handle(world.ours("s"), subscribe(&[BEA])).await.unwrap();
    world.serves("number", "+46701234567", "gamma");
    world.ssp.takes_nothing();
    let again = world.handle(world.ours("t"), subscribe(&[BEA])).await.unwrap();
    assert!(outcome_of(&again, BEA).is_err());
    world.ssp.asked();
    let asserted = world.relay.reassert_subscriptions(&domain("gamma.example")).await;
    assert_eq!(asserted, Ok(1));
    assert_eq!(subscribed(&world), [("gamma.example".to_owned(), person(BEA))]);
}

#[tokio::test]
async fn subscription_ends_when_there_is_nobody_to_watch_and_only_then() {
    let world = World::new();
    world.handle(world.ours("s"), subscribe(&[BEA])).await.unwrap();
    world.ssp.takes_nothing();
    world
        .relay
        .reassert_subscriptions(&domain("beta.example"))
        .await
        .unwrap();
    world.ssp.refuses(remote(500));
    world
        .relay
        .reassert_subscriptions(&domain("beta.example"))
        .await
        .unwrap();
    assert_eq!(kept(&world).await, 1);
    world.ssp.refuses(Refusal::UnknownUser {
        recipient: person(BEA),
    });
    world
        .relay
        .reassert_subscriptions(&domain("beta.example"))
        .await
        .unwrap();
    assert_eq!(kept(&world).await, 0);
}

#[tokio::test]
async fn peers_subscriptions_at_our_home_domain_are_not_asserted_to_it() {
    let world = World::new();
    let watch = Request::Subscribe(Subscribe {
        watcher: person(BO),
        presentities: people(&[ADA]),
        attributes: Vec::new(),
    });
    world.handle(world.theirs("beta", "s"), watch).await.unwrap();
    world.home.asked();
    assert_eq!(
        world.relay.reassert_subscriptions(&domain("alpha.example")).await,
        Ok(0)
    );
    assert!(world.home.asked().is_empty());
    assert_eq!(kept(&world).await, 1);
}

#[tokio::test]
async fn fetched_presence_is_gathered_and_fails_only_when_nobody_answers() {
    let world = World::new();
    world
        .ssp
        .answers(Answer::Presence(vec![(person(BEA), Presence::default())]));
    world.ssp.takes_nothing();
    let answer = world.handle(world.ours("g"), get(&[BEA, GIL])).await;
    assert_eq!(
        answer,
        Ok(Answer::Presence(vec![(person(BEA), Presence::default())]))
    );
    world.ssp.takes_nothing();
    world.ssp.takes_nothing();
    assert_eq!(
        world.handle(world.ours("g"), get(&[BEA, GIL])).await,
        Err(unreachable())
    );
}

#[tokio::test]
async fn notification_reaches_the_watcher_and_a_refusal_is_nobodys_business() {
    let world = World::new();
    assert_eq!(
        world.handle(world.theirs("beta", "n"), notification(BO, 1)).await,
        Ok(Answer::Done)
    );
    assert_eq!(world.home.asked().len(), 1);
    world.home.refuses(Refusal::UnknownUser {
        recipient: person(ADA),
    });
    assert_eq!(
        world.handle(world.theirs("beta", "n"), notification(BO, 2)).await,
        Ok(Answer::Done)
    );
    assert!(world.waiting().await.is_empty());
}

#[tokio::test]
async fn of_notifications_that_wait_only_the_newest_of_each_person_is_kept() {
    let world = World::new();
    for (of, note) in [(BO, 1), (BO, 2), ("wv:bill@beta.example", 3), (BO, 4)] {
        world.home.takes_nothing();
        world
            .handle(world.theirs("beta", "n"), notification(of, note))
            .await
            .unwrap();
    }
    world.home.asked();
    world.advance(10);
    world.deliver_due().await;
    let mut told: Vec<_> = world.home.asked().into_iter().map(|one| one.request).collect();
    told.sort_by_key(|request| request.sender().map(ToString::to_string));
    assert_eq!(
        told,
        [notification("wv:bill@beta.example", 3), notification(BO, 4)]
    );
}

/// The notifications that went to our own people, and are forgotten now.
fn told(world: &World) -> Vec<Request> {
    world.home.asked().into_iter().map(|one| one.request).collect()
}

async fn beta_tells(world: &World, note: usize) {
    let told = world
        .handle(world.theirs("beta", "n"), notification(BO, note))
        .await;
    assert_eq!(told, Ok(Answer::Done));
}

#[tokio::test]
async fn nothing_older_follows_a_newer_notification() {
    let world = World::new();
    world.home.takes_nothing();
    beta_tells(&world, 1).await;
    beta_tells(&world, 2).await;
    assert_eq!(
        told(&world),
        [notification(BO, 1)],
        "the second waits in its place"
    );
    world.advance(10);
    world.deliver_due().await;
    assert_eq!(told(&world), [notification(BO, 2)]);
    assert!(world.waiting().await.is_empty());
    beta_tells(&world, 3).await;
    assert_eq!(told(&world), [notification(BO, 3)], "nothing waits any more");
    world.advance(3600);
    world.deliver_due().await;
    assert_eq!(told(&world), []);
}

#[tokio::test]
async fn notification_behind_one_that_is_under_way_comes_last() {
    let world = Arc::new(World::new());
    let release = world.home.holds_in_vain();
    let tell = |note| {
        let world = Arc::clone(&world);
        tokio::spawn(async move { beta_tells(&world, note).await })
    };
    let first = tell(1);
    world.home.is_asked(1).await;
    let (second, third) = (tell(2), tell(3));
    let conversation = format!("presence {}>{}", person(BO).key(), person(ADA).key());
    while world.relay.turns.out(&conversation) < 3 {
        tokio::task::yield_now().await;
    }
    assert_eq!(told(&world), [notification(BO, 1)]);
    release.send(()).unwrap();
    for task in [first, second, third] {
        task.await.unwrap();
    }
    world.advance(10);
    world.deliver_due().await;
    assert_eq!(told(&world), [notification(BO, 3)], "the others are overtaken");
    assert!(world.waiting().await.is_empty());
}

#[tokio::test]
async fn notification_behind_one_that_is_taken_goes_at_once() {
    let world = Arc::new(World::new());
    let release = world.home.holds();
    let telling = [1, 2].map(|note| {
        let world = Arc::clone(&world);
        tokio::spawn(async move { beta_tells(&world, note).await })
    });
    world.home.is_asked(1).await;
    release.send(()).unwrap();
    for task in telling {
        task.await.unwrap();
    }
    assert_eq!(told(&world), [notification(BO, 1), notification(BO, 2)]);
    assert!(world.waiting().await.is_empty());
}

#[tokio::test]
async fn notification_waits_out_a_refusal_that_may_pass() {
    for status in [503, 504, 507] {
        let world = World::new();
        world.home.refuses(remote(status));
        beta_tells(&world, 1).await;
        world.home.asked();
        world.advance(10);
        world.deliver_due().await;
        assert_eq!(told(&world), [notification(BO, 1)], "{status}");
    }
    let world = World::new();
    world.home.answers(Answer::Recipients(vec![RecipientOutcome {
        recipient: person(ADA),
        outcome: Err(remote(503)),
    }]));
    beta_tells(&world, 1).await;
    assert_eq!(world.waiting().await.len(), 1, "a refusal of one watcher");
}

#[tokio::test]
async fn notification_waits_for_a_route_that_can_not_be_found_now() {
    let dns = crate::routing::tests::dns::Dns::start().await;
    let world = World::with(|setup| setup.routing = crate::routing::tests::config(dns.address));
    dns.is_down(true);
    let mut presence = Presence::default();
    presence.set(
        crate::model::AttributeName::StatusText,
        Some(crate::model::AttributeValue::Text("in".into())),
    );
    let tell = Request::Notify(PresenceNotification {
        watchers: people(&["wv:+33123456789"]),
        values: vec![(person(ADA), presence)],
    });
    world.handle(world.ours("n"), tell.clone()).await.unwrap();
    assert_eq!(world.waiting().await.len(), 1);
    world.serves("number", "+33", "beta");
    world.advance(10);
    world.deliver_due().await;
    let told: Vec<_> = world.ssp.asked().into_iter().map(|one| one.request).collect();
    assert_eq!(told, [tell]);
}

#[tokio::test]
async fn peer_holds_no_more_subscriptions_than_agreed() {
    let world = World::with(|setup| {
        setup.agreements = vec![
            agreement_with("beta", "limits", serde_json::json!({ "max_subscriptions": 3 })),
            agreement("gamma"),
        ];
    });
    let watch = |watcher: &str| {
        Request::Subscribe(Subscribe {
            watcher: person(watcher),
            presentities: people(&[ADA]),
            attributes: Vec::new(),
        })
    };
    let by = |n: usize| format!("wv:w{n}@beta.example");
    world.home.refuses(Refusal::UnknownUser {
        recipient: person(ADA),
    });
    for n in [0, 1, 2, 2, 3] {
        let answer = world.handle(world.theirs("beta", "s"), watch(&by(n))).await;
        assert!(answer.is_ok(), "{n}: {answer:?}");
    }
    world.home.asked();
    let world = world.restart().await;
    let refused = world.handle(world.theirs("beta", "s"), watch(&by(4))).await;
    assert!(
        matches!(&refused, Err(Refusal::NotAgreed { clause, .. }) if clause == "limits.max_subscriptions is 3"),
        "{refused:?}"
    );
    assert!(world.home.asked().is_empty());
    let again = world.handle(world.theirs("beta", "s"), watch(&by(2))).await;
    assert!(again.is_ok(), "one that is there is no new one");
    let of_ours = world.handle(world.ours("s"), subscribe(&[BEA, BO])).await;
    assert!(of_ours.is_ok());
    let end = Request::Unsubscribe(Unsubscribe {
        watcher: person(&by(1)),
        presentities: people(&[ADA]),
    });
    world.handle(world.theirs("beta", "u"), end).await.unwrap();
    let answer = world.handle(world.theirs("beta", "s"), watch(&by(4))).await;
    assert!(answer.is_ok(), "there is room again: {answer:?}");
}

#[tokio::test]
async fn subscription_asserted_anew_leaves_a_trail() {
    let world = World::new();
    world.handle(world.ours("s"), subscribe(&[BEA])).await.unwrap();
    world.trails.lock().unwrap().clear();
    world
        .relay
        .reassert_subscriptions(&domain("beta.example"))
        .await
        .unwrap();
    let trails = world.trails.lock().unwrap();
    let [trail] = &trails[..] else {
        panic!("{trails:?}");
    };
    let is_received =
        |event: &StepEvent| matches!(event, StepEvent::Received { from, .. } if from == "gateway");
    let is_taken = |event: &StepEvent| matches!(event, StepEvent::Attempt { failure: None, .. });
    for is_there in [is_received, is_taken] {
        assert!(trail.steps.iter().any(|step| is_there(&step.event)), "{trail:?}");
    }
}

#[tokio::test]
async fn notification_that_waited_too_long_is_dropped() {
    let world = World::new();
    world.home.takes_nothing();
    world
        .handle(world.theirs("beta", "n"), notification(BO, 1))
        .await
        .unwrap();
    world.home.asked();
    world.advance(12 * 3600);
    world.deliver_due().await;
    assert!(world.home.asked().is_empty());
    assert!(world.ssp.asked().is_empty());
    assert!(world.waiting().await.is_empty());
}
