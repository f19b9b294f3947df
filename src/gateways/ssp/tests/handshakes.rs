//! Establishing a session: who answers whom, both at once, what a peer may spoil and what it may not.

use super::*;

#[tokio::test]
async fn request_opens_a_session_and_goes_out_in_it() {
    let mut world = World::new().await;
    let asking = world.ask(7, None, PATIENCE);
    let ids = world.climb_with_gateway("903@bravo.example").await;
    assert_eq!(ids.ours.domain(), Some("alpha.example"));
    let request = world.peer.transaction(&ids).await;
    world.answer(&ids, &request.id, success()).await;
    assert!(matches!(asking.await.unwrap(), Ok(Some(Primitive::Status(_)))));
}

#[tokio::test]
async fn requests_meanwhile_climb_no_second_ladder() {
    let mut world = World::new().await;
    let askings: Vec<_> = (1..=3)
        .map(|seconds| world.ask(seconds, None, PATIENCE))
        .collect();
    let ids = world.climb_with_gateway("903@bravo.example").await;
    let mut answered = 0;
    while answered < askings.len() {
        let heard = world.peer.next().await;
        for request in heard.transactions().to_vec() {
            world.answer(&ids, &request.id, success()).await;
            answered += 1;
        }
        heard.take();
    }
    for asking in askings {
        assert!(asking.await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn both_sides_may_open_at_once_and_both_sessions_count() {
    let mut world = World::new().await;
    let asking = world.ask(7, None, PATIENCE);
    let one = world.peer.step(Mode::Request).await;
    let (theirs, six) = world.climb("44", "1@bravo.example").await;
    six.take();
    until(|| world.ids().as_ref() == Some(&theirs)).await;
    // What waited went out in the session that came first.
    let request = world.peer.transaction(&theirs).await;
    let ours = world.go_on_climbing(one, "2@bravo.example").await;
    for ids in [&theirs, &ours] {
        assert_eq!(
            world
                .say_in(ids, vec![transaction(Mode::Response, "x", success())])
                .await,
            Answer::Taken
        );
    }
    world.answer(&ours, &request.id, success()).await;
    assert!(asking.await.unwrap().is_ok());
}

#[tokio::test]
async fn session_that_was_ended_before_it_was_confirmed_stays_ended() {
    let mut world = World::new().await;
    let (ids, six) = world.climb("1", "903@bravo.example").await;
    let logout = transaction(Mode::Request, "2", crate::wire::ssp::LogoutRequest);
    assert_eq!(world.say_in(&ids, vec![logout]).await, Answer::Taken);
    assert_eq!(code_of(&world.peer.transaction(&ids).await), StatusCode::SUCCESS);
    six.take();
    // Its ladder is over once another one of the same peer is.
    let (other, six) = world.climb("3", "904@bravo.example").await;
    six.take();
    until(|| world.ids().as_ref() == Some(&other)).await;
    let late = vec![transaction(Mode::Request, "4", ask(1))];
    assert_eq!(world.say_in(&ids, late).await, Answer::Forbidden);
    world.restart().await;
    let late = vec![transaction(Mode::Request, "5", ask(1))];
    assert_eq!(world.say_in(&ids, late).await, Answer::Forbidden);
}

#[tokio::test]
async fn peer_that_refuses_the_first_step_fails_what_waits() {
    let mut world = World::new().await;
    let asking = world.ask(7, None, PATIENCE);
    world.peer.next().await.refuse(503);
    let fault = asking.await.unwrap().unwrap_err();
    assert!(
        matches!(fault, super::super::link::LinkFault::NotTaken(_)),
        "{fault:?}"
    );
    // A moment later nothing more is tried, and after the pause a new ladder has a new ID and secret.
    assert!(world.ask(8, None, PATIENCE).await.unwrap().is_err());
    assert!(world.peer.is_silent());
    world.hand.advance(Duration::from_secs(2));
    let asking = world.ask(9, None, PATIENCE);
    let ids = world.climb_with_gateway("903@bravo.example").await;
    let request = world.peer.transaction(&ids).await;
    assert_eq!(asked(&request), 9);
    world.answer(&ids, &request.id, success()).await;
    assert!(asking.await.unwrap().is_ok());
}

#[tokio::test]
async fn peer_that_never_goes_on_is_told_at_the_deadline() {
    let config = SspConfig {
        handshake_deadline: Duration::from_millis(200),
        ..SspConfig::default()
    };
    let mut world = World::with(config).await;
    let asking = world.ask(7, None, PATIENCE);
    let one = world.peer.step(Mode::Request).await;
    let told = world.peer.step(Mode::Request).await;
    assert_eq!(told.id, one.id);
    assert!(matches!(&told.primitive, SetupPrimitive::LoginResponse(response)
        if response.status.code == StatusCode::TIMEOUT));
    assert!(asking.await.unwrap().is_err());
    assert!(
        world.link().state().contains("SendSecretToken"),
        "{}",
        world.link().state()
    );
}

#[tokio::test]
async fn inbound_handshake_that_fails_says_nothing_about_ours() {
    let mut world = World::new().await;
    let asking = world.ask(7, None, PATIENCE);
    let one = world.peer.step(Mode::Request).await;
    let id = TransactionId::new("44");
    assert_eq!(world.say_step(Mode::Request, &id, token()).await, Answer::Taken);
    let two = world.peer.step(Mode::Response).await;
    assert_ne!(proof_of(&one), proof_of(&two), "two ladders, two secrets");
    // Proves the wrong secret.
    assert_eq!(
        world.say_step(Mode::Request, &id, proof_of(&one)).await,
        Answer::Forbidden
    );
    let told = world.peer.step(Mode::Response).await;
    assert!(matches!(&told.primitive, SetupPrimitive::LoginResponse(response)
        if !response.status.code.is_success()));
    let ids = world.go_on_climbing(one, "903@bravo.example").await;
    let request = world.peer.transaction(&ids).await;
    world.answer(&ids, &request.id, success()).await;
    assert!(asking.await.unwrap().is_ok());
}

#[tokio::test]
async fn redirect_is_followed_with_a_new_secret_and_kept_with_the_session() {
    let mut world = World::new().await;
    let other = Peer::listen().await;
    let asking = world.ask(7, None, PATIENCE);
    let one = world.peer.step(Mode::Request).await;
    let urls = ["ftp://127.0.0.1".into(), format!("http://{}/", other.address)];
    assert_eq!(
        world.say_step(Mode::Response, &one.id, redirect(&urls)).await,
        Answer::Taken
    );
    let first = std::mem::replace(&mut world.peer, other);
    let again = world.peer.step(Mode::Request).await;
    assert_ne!(again.id, one.id);
    assert_ne!(proof_of(&again), proof_of(&one));
    let ids = world.go_on_climbing(again, "903@bravo.example").await;
    let request = world.peer.transaction(&ids).await;
    world.answer(&ids, &request.id, success()).await;
    assert!(asking.await.unwrap().is_ok());
    let session = world.link().session().unwrap();
    assert!(session.redirected);
    assert_eq!(session.url, format!("http://{}", world.peer.address));
    drop(first);
}

#[tokio::test]
async fn redirect_in_a_circle_ends() {
    let mut world = World::new().await;
    let asking = world.ask(7, None, PATIENCE);
    let urls = [format!("http://{}", world.peer.address)];
    let mut turns = 0;
    while !asking.is_finished() {
        let Ok(heard) = world.peer.documents.try_recv() else {
            tokio::task::yield_now().await;
            continue;
        };
        turns += 1;
        // Known after one turn, unless the redirect overtakes the acknowledgement; then the chain is too long.
        assert!(turns <= 4, "turned {turns} times");
        let Document::Setup(one) = heard.take() else {
            panic!("no session is open")
        };
        world.say_step(Mode::Response, &one.id, redirect(&urls)).await;
    }
    assert!(asking.await.unwrap().is_err());
    let state = world.link().state();
    assert!(state.contains("redirected us"), "{state}");
}

#[tokio::test]
async fn stranger_costs_nothing() {
    let mut world = World::new().await;
    let token = SendSecretToken::new("wv:@mallory.example".to_owned(), Secret::new("s"));
    let id = TransactionId::new("1");
    let step = SetupPrimitive::SendSecretToken(token);
    assert_eq!(world.say_step(Mode::Request, &id, step).await, Answer::Forbidden);
    let outside = Document::Setup(SetupTransaction {
        mode: Mode::Request,
        id: id.clone(),
        primitive: super::token(),
    });
    assert_eq!(
        world.say_from("192.0.2.7:4000", &outside).await,
        Answer::Forbidden
    );
    // A step of no ladder.
    assert_eq!(
        world
            .say_step(Mode::Request, &id, session("9@bravo.example"))
            .await,
        Answer::Forbidden
    );
    assert!(world.peer.is_silent());
}

#[tokio::test]
async fn peer_is_answered_in_the_name_that_it_asked_for() {
    let world = World::new().await;
    let agreements = world.agreements.load();
    let agreement = agreements.for_domain(&bravo()).unwrap();
    let own = |asked: Option<&str>| {
        let asked = asked.map(|asked| asked.parse::<Domain>().unwrap());
        world
            .gateway
            .own_towards(agreement, asked.as_ref())
            .unwrap()
            .to_string()
    };
    assert_eq!(own(None), "alpha.example");
    assert_eq!(own(Some("eu.alpha.example")), "eu.alpha.example");
    assert_eq!(own(Some("ssp.eu.alpha.example")), "eu.alpha.example");
    assert_eq!(own(Some("ssp.alpha.example")), "alpha.example");
    assert_eq!(own(Some("notalpha.example")), "alpha.example");
}
