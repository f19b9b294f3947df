//! Sessions that live: kept alive, climbed anew, ended by either side, lost by the peer, taken up after a restart.

use super::super::session::Session;
use super::*;
use crate::wire::ssp::{KeepAliveResponse, LogoutRequest};

#[tokio::test]
async fn session_is_kept_alive_before_it_ends() {
    let mut world = World::with(short()).await;
    let ids = world.open().await;
    let ends = world.link().session().unwrap().ends;
    let request = world.peer.transaction(&ids).await;
    assert!(world.link().session().unwrap().is_usable(world.gateway.now()));
    world.hand.advance(Duration::from_millis(900));
    let answer = KeepAliveResponse {
        time_to_live: Some(Duration::from_secs(1)),
        status: StatusCode::SUCCESS.into(),
    };
    world.answer(&ids, &request.id, answer).await;
    until(|| world.link().session().unwrap().ends > ends).await;
    assert_eq!(world.ids(), Some(ids.clone()));
    // And again before the new end.
    assert_eq!(asked(&world.peer.transaction(&ids).await), 1);
    // The new end is what a restart finds.
    let ends = world.link().session().unwrap().ends;
    world.restart().await;
    assert_eq!(world.link().session().unwrap().ends, ends);
}

#[tokio::test]
async fn peer_that_knows_no_keep_alive_gets_a_new_ladder_and_the_old_session_serves_meanwhile() {
    let mut world = World::with(short()).await;
    let old = world.open().await;
    let request = world.peer.transaction(&old).await;
    world
        .answer(&old, &request.id, Status::new(StatusCode::SERVICE_NOT_SUPPORTED))
        .await;
    let one = world.peer.step(Mode::Request).await;
    let asking = world.ask(7, None, PATIENCE);
    let request = world.peer.transaction(&old).await;
    world.answer(&old, &request.id, success()).await;
    assert!(asking.await.unwrap().is_ok());
    let new = world.go_on_climbing(one, "904@bravo.example").await;
    assert_ne!(new, old);
    // What the peer goes on sending in the old one is taken.
    let late = vec![transaction(Mode::Response, "x", success())];
    assert_eq!(world.say_in(&old, late).await, Answer::Taken);
}

#[tokio::test]
async fn keep_alive_of_the_peer_is_answered_with_the_shorter_life() {
    let mut world = World::new().await;
    let ids = world.open().await;
    for (asked, wanted) in [(600, 600), (1_000_000, 86_400)] {
        let ask = vec![transaction(Mode::Request, "k", ask(asked))];
        assert_eq!(world.say_in(&ids, ask).await, Answer::Taken);
        let answer = world.peer.transaction(&ids).await;
        let Primitive::KeepAliveResponse(answer) = answer.primitive else {
            panic!("{answer:?}")
        };
        let wanted = Duration::from_secs(wanted);
        assert_eq!(answer.time_to_live, Some(wanted));
        let ends = world.gateway.now().plus(wanted);
        assert_eq!(world.link().session().unwrap().ends, ends);
    }
}

#[tokio::test]
async fn session_past_its_end_is_not_sent_in_but_taken_from() {
    let mut world = World::new().await;
    let old = world.open().await;
    world.hand.advance(Duration::from_secs(86_401));
    let asking = world.ask(7, None, PATIENCE);
    let new = world.climb_with_gateway("904@bravo.example").await;
    let request = world.peer.transaction(&new).await;
    world.answer(&old, &request.id, success()).await;
    assert!(asking.await.unwrap().is_ok());
}

#[tokio::test]
async fn logout_of_the_peer_is_answered_and_ends_the_session_for_good() {
    let mut world = World::new().await;
    let ids = world.open().await;
    let logout = vec![transaction(Mode::Request, "out", LogoutRequest)];
    assert_eq!(world.say_in(&ids, logout).await, Answer::Taken);
    let answer = world.peer.transaction(&ids).await;
    assert_eq!(
        (answer.id.as_str(), code_of(&answer)),
        ("out", StatusCode::SUCCESS)
    );
    assert_eq!(world.ids(), None);
    let late = vec![transaction(Mode::Request, "late", ask(1))];
    assert_eq!(world.say_in(&ids, late.clone()).await, Answer::Forbidden);
    world.restart().await;
    assert_eq!(world.say_in(&ids, late).await, Answer::Forbidden);
    // What comes next opens another one.
    let _asking = world.ask(7, None, PATIENCE);
    world.climb_with_gateway("904@bravo.example").await;
}

#[tokio::test]
async fn logout_overtakes_a_keep_alive_of_the_same_document() {
    let mut world = World::new().await;
    let ids = world.open().await;
    let both = vec![
        transaction(Mode::Request, "out", LogoutRequest),
        transaction(Mode::Request, "k", ask(600)),
    ];
    assert_eq!(world.say_in(&ids, both).await, Answer::Taken);
    world.peer.next().await.take();
    let late = vec![transaction(Mode::Request, "late", ask(1))];
    assert_eq!(world.say_in(&ids, late).await, Answer::Forbidden);
}

#[tokio::test]
async fn reconnecting_logs_out_and_climbs_anew() {
    let mut world = World::new().await;
    let old = world.open().await;
    world.gateway.reconnect(&bravo());
    let (mut logout, mut one) = (None, None);
    while logout.is_none() || one.is_none() {
        match world.peer.next().await.take() {
            Document::Setup(step) => one = Some(step),
            Document::Session { transactions, .. } => logout = transactions.into_iter().next(),
        }
    }
    assert!(matches!(logout.unwrap().primitive, Primitive::LogoutRequest(_)));
    let new = world.go_on_climbing(one.unwrap(), "904@bravo.example").await;
    assert_ne!(new, old);
}

#[tokio::test]
async fn session_that_the_peer_lost_is_opened_anew_and_nothing_is_lost() {
    let mut world = World::new().await;
    let old = world.open().await;
    for status in [404, 403] {
        let asking = world.ask(7, None, PATIENCE);
        let heard = world.peer.next().await;
        let id = heard.transactions()[0].id.clone();
        heard.refuse(status);
        let new = world.climb_with_gateway(&format!("{status}@bravo.example")).await;
        assert_ne!(new, old);
        let request = world.peer.transaction(&new).await;
        assert_eq!(request.id, id);
        world.answer(&new, &id, success()).await;
        assert!(asking.await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn peer_that_closes_on_a_session_twice_gets_a_new_one() {
    let mut world = World::new().await;
    let old = world.open().await;
    let asking = world.ask(7, None, PATIENCE);
    for _ in 0..2 {
        drop(world.peer.next().await);
    }
    let new = world.climb_with_gateway("904@bravo.example").await;
    assert_ne!(new, old);
    let request = world.peer.transaction(&new).await;
    world.answer(&new, &request.id, success()).await;
    assert!(asking.await.unwrap().is_ok());
}

#[tokio::test]
async fn sessions_are_taken_up_after_a_restart() {
    let mut world = World::new().await;
    let ids = world.open().await;
    // Stored in the background.
    let found = async {
        loop {
            world.restart().await;
            if world.ids().is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, found).await.expect("the session is not stored");
    assert_eq!(world.ids(), Some(ids.clone()));
    let asking = world.ask(7, None, PATIENCE);
    let request = world.peer.transaction(&ids).await;
    world.answer(&ids, &request.id, success()).await;
    assert!(asking.await.unwrap().is_ok());
}

#[tokio::test]
async fn renewal_that_fails_is_tried_again_before_the_session_ends() {
    let mut world = World::with(SspConfig {
        time_to_live: Duration::from_secs(2),
        ..SspConfig::default()
    })
    .await;
    let old = world.open().await;
    let request = world.peer.transaction(&old).await;
    // Its life is longer for others than for the clock of the renewal, which stands at its beginning.
    let refused = Status::new(StatusCode::SERVICE_NOT_SUPPORTED);
    world.answer(&old, &request.id, refused).await;
    let one = world.peer.next().await;
    let longer = world.link().session().unwrap();
    let longer = Arc::new(Session {
        since: longer.since.minus(Duration::from_secs(100)),
        ends: longer.since.plus(Duration::from_secs(10)),
        ..(*longer).clone()
    });
    assert!(world.link().extended(&longer));
    one.refuse(503);
    let new = world.climb_with_gateway("904@bravo.example").await;
    assert_ne!(new, old);
}

#[tokio::test]
async fn session_past_its_end_does_not_keep_failed_ladders_from_backing_off() {
    let mut world = World::new().await;
    world.open().await;
    world.hand.advance(Duration::from_secs(86_401));
    let asking = world.ask(7, None, PATIENCE);
    world.peer.next().await.refuse(503);
    let fault = asking.await.unwrap().unwrap_err();
    assert!(
        matches!(fault, super::super::link::LinkFault::NotTaken(_)),
        "{fault:?}"
    );
    // A moment later nothing more is tried.
    assert!(world.ask(8, None, PATIENCE).await.unwrap().is_err());
    assert!(world.peer.is_silent());
    assert_eq!(world.link().load(), (0, 0, 0));
}

fn short() -> SspConfig {
    SspConfig {
        time_to_live: Duration::from_secs(1),
        ..SspConfig::default()
    }
}
