//! The pace of each peer: what it learns from answers, what finds no room, and that no peer pays for another.

use serde_json::json;

use super::*;

fn is_cut(world: &World) -> bool {
    let pace = world.relay.pace(&"beta".parse().unwrap());
    pace.is_some_and(|pace| pace.is_cut)
}

async fn beta_refuses(world: &World, times: usize) {
    world.ssp.is_down_at("beta.example");
    for n in 0..times {
        let to = format!("wv:refused{n}@beta.example");
        world.ada_sends(&format!("refused{n}"), &to).await.unwrap();
    }
    world.ssp.asked();
    world.ssp.is_up();
}

/// Two peers with as much waiting for each: the dead one is asked a few times, the other gets everything meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_peer_is_asked_seldom_and_the_other_gets_all_that_waits_for_it() {
    const EACH: usize = 150;
    let world = World::new();
    for peer in ["beta.example", "gamma.example"] {
        world.relay.hold_queue(peer, "test").await.unwrap();
    }
    for n in 0..EACH {
        for peer in ["beta", "gamma"] {
            let (id, to) = (format!("{peer}{n}"), format!("wv:u{n}@{peer}.example"));
            assert_eq!(world.ada_sends(&id, &to).await, Ok(Acceptance::Stored));
        }
    }
    assert!(world.ssp.asked().is_empty());
    world.ssp.is_down_at("beta.example");
    for peer in ["beta.example", "gamma.example"] {
        world.relay.release_queue(peer).await.unwrap();
    }
    let running = world.run_outbox();
    until("gamma has everything", || async {
        world.ssp.count_for("gamma.example") == EACH
    })
    .await;
    // The clock stands still, so the rate gives nothing anew; a window of each cut is all that can be under way.
    until("beta is down to the least pace", || async {
        let pace = world.relay.pace(&"beta".parse().unwrap()).unwrap();
        pace.most_in_flight == 1 && pace.per_second == 1
    })
    .await;
    let asked = world.ssp.count_for("beta.example");
    assert!((1..EACH / 2).contains(&asked), "{asked}");
    running.abort();
}

#[tokio::test]
async fn peer_that_hangs_leaves_the_direct_way_of_another_alone() {
    let world = World::new();
    world.ssp.hangs_at("beta.example");
    let mut hanging = tokio::task::JoinSet::new();
    for n in 0..1000 {
        let (relay, ingress) = (Arc::clone(&world.relay), world.ours(&format!("b{n}")));
        let to = format!("wv:u{n}@beta.example");
        let request = Request::Send(message(&format!("b{n}"), ADA, &[&to]));
        hanging.spawn(async move { relay.handle(ingress, request).await });
    }
    while world.ssp.count_for("beta.example") < 1000 {
        tokio::task::yield_now().await;
    }
    // All that beta may have is under way: more is stored at once, and gamma is not asked any later for it.
    assert_eq!(
        world.ada_sends("more", "wv:more@beta.example").await,
        Ok(Acceptance::Stored)
    );
    assert_eq!(world.ssp.count_for("beta.example"), 1000);
    assert_eq!(world.ada_sends("g", GIL).await, Ok(Acceptance::Taken));
    hanging.abort_all();
}

/// The outbox claims as much for the others as before, whatever the pace of one is.
#[tokio::test]
async fn slow_peer_makes_no_claim_smaller() {
    let world = World::new();
    beta_refuses(&world, 30).await;
    let beta = || vec!["beta.example".to_owned()];
    let room = world.relay.room_by_pace();
    assert_eq!((room.limit, room.full), (usize::MAX, beta()));
    world.advance(1);
    let room = world.relay.room_by_pace();
    assert_eq!((room.limit, room.full), (usize::MAX, Vec::new()));
    // Somebody waits for the next place: no more are claimed for him to wait with.
    world.ssp.hangs_at("beta.example");
    for item in world.waiting().await.into_iter().take(2) {
        let relay = Arc::clone(&world.relay);
        tokio::spawn(async move { relay.attempt(item, WorkerId("node".into())).await });
    }
    until("one is under way, and one waits", || async {
        world.ssp.count_for("beta.example") == 1
    })
    .await;
    world.advance(1);
    assert_eq!(world.relay.room_by_pace().full, beta());
}

#[tokio::test]
async fn what_finds_no_room_is_stored_and_goes_when_there_is_some() {
    let world = World::new();
    beta_refuses(&world, 20).await;
    assert!(is_cut(&world));
    assert_eq!(world.ada_sends("m", BEA).await, Ok(Acceptance::Stored));
    assert!(world.ssp.asked().is_empty(), "it is asked beyond its pace");
    let waits = world.waiting().await.len();
    // One a second at first, and soon more.
    let running = world.run_outbox();
    until("everything has gone", || async {
        world.advance(1);
        tokio::time::sleep(Duration::from_millis(5)).await;
        world.waiting().await.is_empty()
    })
    .await;
    assert_eq!(world.ssp.messages().len(), waits);
    running.abort();
}

#[tokio::test]
async fn only_what_is_the_peers_own_trouble_slows_it() {
    for (refusal, slows) in [
        (remote(503), true),
        (remote(500), true),
        (timed_out(), true),
        (remote(507), false),
        (remote(532), false),
        (
            Refusal::UnknownUser {
                recipient: person(BEA),
            },
            false,
        ),
    ] {
        let world = World::new();
        world.ssp.refuses(refusal.clone());
        let _ = world.ada_sends("m", BEA).await;
        assert_eq!(is_cut(&world), slows, "{refusal}");
    }
    let world = World::new();
    world.ssp.stays_silent();
    world.ada_sends("m", BEA).await.unwrap();
    assert!(is_cut(&world));
    let world = World::new();
    world.ssp.ends_connections();
    let _ = world.ada_sends("m", BEA).await;
    assert!(!is_cut(&world), "what can't be sent says nothing of the peer");
}

#[tokio::test]
async fn late_answer_counts_as_slow_and_a_prompt_one_does_not() {
    for (seconds, slows) in [(9, false), (11, true)] {
        let world = World::new();
        let release = world.ssp.holds();
        let asking = world.ada_sends("m", BEA);
        let (answered, ()) = tokio::join!(asking, async {
            world.ssp.is_asked(1).await;
            world.advance(seconds);
            release.send(()).unwrap();
        });
        answered.unwrap();
        assert_eq!(is_cut(&world), slows, "{seconds} s");
    }
}

#[tokio::test]
async fn who_waits_himself_is_not_paced() {
    let world = World::new();
    beta_refuses(&world, 20).await;
    for n in 0..3 {
        let get = crate::model::GetPresence {
            watcher: person(ADA),
            presentities: people(&[BO]),
            attributes: Vec::new(),
        };
        let asked = world
            .handle(world.ours(&format!("p{n}")), Request::GetPresence(get))
            .await;
        asked.unwrap();
    }
    assert_eq!(world.ssp.asked().len(), 3);
}

#[tokio::test]
async fn peer_that_is_back_is_given_more_than_a_probe() {
    let world = World::new();
    beta_refuses(&world, 30).await;
    let most = |world: &World| {
        let pace = world.relay.pace(&"beta".parse().unwrap()).unwrap();
        (pace.most_in_flight, pace.per_second)
    };
    assert_eq!(most(&world), (1, 1));
    world.relay.peer_is_back(&domain("beta.example")).await;
    assert_eq!(most(&world), (15, 156));
}

#[tokio::test]
async fn agreement_says_when_its_peer_is_tried_again() {
    let own = json!({ "first_retry": "1m", "longest_retry": "2m" });
    let world = World::with(|setup| {
        setup.agreements = vec![agreement_with("beta", "delivery", own), agreement("gamma")];
    });
    for (id, to, pauses) in [("b", BEA, [60, 120]), ("g", GIL, [5, 15])] {
        world.ssp.takes_nothing();
        world.ada_sends(id, to).await.unwrap();
        for usual in pauses {
            let items = world.waiting().await;
            let item = items.iter().find(|item| item.labels.contains(&id.to_owned()));
            let Place::Scheduled { due } = item.unwrap().place else {
                panic!("it waits")
            };
            let pause = world.clock.now().until(due).as_secs_f64() / f64::from(usual);
            assert!((0.84..1.16).contains(&pause), "{id}: {pause} of {usual} s");
            world.hand.advance(world.clock.now().until(due));
            world.ssp.takes_nothing();
            world.deliver_due().await;
        }
    }
}

#[tokio::test]
async fn agreement_bounds_what_goes_to_its_peer() {
    let narrow = json!({ "max_in_flight": 1, "max_per_second": 2 });
    let world = World::with(|setup| {
        setup.agreements = vec![agreement_with("beta", "delivery", narrow), agreement("gamma")];
    });
    let mut outcomes = Vec::new();
    for n in 0..3 {
        let to = format!("wv:u{n}@beta.example");
        outcomes.push(world.ada_sends(&format!("m{n}"), &to).await.unwrap());
    }
    assert_eq!(
        outcomes,
        [Acceptance::Taken, Acceptance::Taken, Acceptance::Stored]
    );
    assert_eq!(world.ada_sends("g", GIL).await, Ok(Acceptance::Taken));
}
