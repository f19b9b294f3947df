//! What waits and what is waited for: answers early, late, twice, never; order and batches.

use super::super::link::LinkFault;
use super::*;
use crate::wire::ssp::SendMessageResponse;

#[tokio::test]
async fn answer_may_come_before_the_acknowledgement_and_on_another_connection() {
    let mut world = World::new().await;
    let ids = world.open().await;
    let asking = world.ask(7, None, PATIENCE);
    let heard = world.peer.next().await;
    let id = heard.transactions()[0].id.clone();
    let answer = Document::Session {
        session_id: ids.theirs.clone(),
        transactions: vec![transaction(Mode::Response, id.as_str(), success())],
    };
    assert_eq!(world.say_from("127.0.0.9:5000", &answer).await, Answer::Taken);
    assert!(asking.await.unwrap().is_ok());
    heard.take();
}

#[tokio::test]
async fn second_answer_is_nobodys() {
    let mut world = World::new().await;
    let ids = world.open().await;
    let asking = world.ask(7, None, PATIENCE);
    let request = world.peer.transaction(&ids).await;
    let refused = Status::new(StatusCode::UNKNOWN_USER);
    world.answer(&ids, &request.id, success()).await;
    world.answer(&ids, &request.id, refused).await;
    until(|| world.link().unclaimed() == 1).await;
    assert!(asking.await.unwrap().is_ok());
}

#[tokio::test]
async fn request_that_was_taken_and_not_answered_in_time_is_not_sent_again() {
    let mut world = World::new().await;
    let ids = world.open().await;
    let asking = world.ask(7, None, Duration::from_millis(300));
    let request = world.peer.transaction(&ids).await;
    let fault = LinkFault::Unanswered(request.id.clone());
    assert_eq!(asking.await.unwrap(), Err(fault));
    world.answer(&ids, &request.id, success()).await;
    until(|| world.link().unclaimed() == 1).await;
    assert!(world.peer.is_silent());
    assert_eq!(world.link().load(), (0, 0, 0));
}

#[tokio::test]
async fn request_that_is_given_up_before_its_document_may_be_sent_again_by_its_owner() {
    let mut world = World::new().await;
    // It waits for a session that does not come.
    let asking = world.ask(7, None, Duration::from_millis(200));
    let _step = world.peer.next().await;
    let fault = asking.await.unwrap().unwrap_err();
    assert!(matches!(fault, LinkFault::NotTaken(_)), "{fault:?}");
    until(|| world.link().load() == (0, 0, 0)).await;
}

#[tokio::test]
async fn request_that_is_given_up_while_it_is_posted_is_under_way_and_not_posted_again() {
    for status in [200, 503] {
        let mut world = World::new().await;
        world.open().await;
        let asking = world.ask(7, None, Duration::from_millis(200));
        let heard = world.peer.next().await;
        let id = heard.transactions()[0].id.clone();
        assert_eq!(asking.await.unwrap(), Err(LinkFault::UnderWay(id)));
        heard.refuse(status);
        until(|| world.link().load() == (0, 0, 0)).await;
        assert!(world.peer.is_silent());
    }
}

#[tokio::test]
async fn answer_that_is_still_to_come_is_waited_for() {
    let mut world = World::new().await;
    let ids = world.open().await;
    let asking = world.ask(7, None, PATIENCE);
    let request = world.peer.transaction(&ids).await;
    world
        .answer(&ids, &request.id, Status::new(StatusCode(100)))
        .await;
    let interim = SendMessageResponse {
        message_id: String::new(),
        status: StatusCode(102).into(),
    };
    world.answer(&ids, &request.id, interim).await;
    world.answer(&ids, &request.id, success()).await;
    let answer = asking.await.unwrap().unwrap();
    assert!(
        matches!(&answer, Some(Primitive::Status(status)) if status.code == StatusCode::SUCCESS),
        "{answer:?}"
    );
    assert_eq!(world.link().unclaimed(), 0);
}

#[tokio::test]
async fn request_that_ends_each_connection_alone_in_two_sessions_is_not_sent_a_third_time() {
    let mut world = World::new().await;
    world.open().await;
    let asking = world.ask(7, None, PATIENCE);
    for _ in 0..2 {
        drop(world.peer.next().await);
    }
    world.climb_with_gateway("904@bravo.example").await;
    drop(world.peer.next().await);
    assert_eq!(asking.await.unwrap(), Err(LinkFault::EndsConnections));
    assert!(world.peer.is_silent());
}

#[tokio::test]
async fn documents_that_do_not_reach_the_peer_keep_the_others_back() {
    let mut world = World::new().await;
    let ids = world.open().await;
    let first = world.ask(1, None, PATIENCE);
    drop(world.peer.next().await);
    until(|| world.link().is_paused()).await;
    let second = world.ask(2, None, PATIENCE);
    until(|| world.link().load().1 == 2).await;
    assert_eq!(world.link().load().0, 0, "a document went out");
    // Both go when the pause is over: the one that failed first.
    let mut order = Vec::new();
    while order.len() < 2 {
        let heard = world.peer.next().await;
        for request in heard.transactions().to_vec() {
            order.push(asked(&request));
            world.answer(&ids, &request.id, success()).await;
        }
        heard.take();
    }
    assert_eq!(order, [1, 2]);
    assert!(first.await.unwrap().is_ok() && second.await.unwrap().is_ok());
}

#[tokio::test]
async fn answers_take_no_place_of_what_the_peer_asks() {
    let mut world = World::new().await;
    let ids = world.open().await;
    let asking = world.ask(7, None, PATIENCE);
    let request = world.peer.transaction(&ids).await;
    let agreement = world.agreements.load().for_domain(&bravo()).unwrap().clone();
    let slots = world.gateway.slots_of(&agreement);
    let all = u32::try_from(slots.available_permits()).unwrap();
    let _all = slots.acquire_many(all).await.unwrap();
    let answered = timeout(PATIENCE, world.answer(&ids, &request.id, success()));
    answered.await.expect("the answer waits for a place");
    assert!(asking.await.unwrap().is_ok());
}

#[tokio::test]
async fn documents_go_to_the_servers_of_the_agreement_in_force() {
    let mut world = World::new().await;
    let ids = world.open().await;
    let known = crate::routing::static_candidates(&[world.peer.address.to_string()]);
    world.link().set_candidates(&known.unwrap());
    let other = Peer::listen().await;
    world.agreements.store(Arc::new(agreed(other.address, "")));
    let _former = std::mem::replace(&mut world.peer, other);
    let asking = world.ask(7, None, PATIENCE);
    let request = world.peer.transaction(&ids).await;
    world.answer(&ids, &request.id, success()).await;
    assert!(asking.await.unwrap().is_ok());
}

#[tokio::test]
async fn document_that_failed_goes_out_again_as_singles_under_the_same_ids() {
    let mut world = World::new().await;
    let ids = world.open().await;
    // One is under way, so the others gather.
    let first = world.ask(1, None, PATIENCE);
    let held = world.peer.next().await;
    let pace = world.gateway.pace(&bravo());
    let mut more = Vec::new();
    for seconds in 2..=u64::try_from(pace.documents).unwrap() {
        more.push(world.ask(seconds, None, PATIENCE));
        until(|| world.link().load().0 == more.len() + 1).await;
    }
    let mut heard = vec![held];
    for _ in 1..pace.documents {
        heard.push(world.peer.next().await);
    }
    // The link is full: these two share the next document.
    more.push(world.ask(90, None, PATIENCE));
    more.push(world.ask(91, None, PATIENCE));
    until(|| world.link().load().2 == more.len() + 1).await;
    for one in heard {
        let id = one.transactions()[0].id.clone();
        one.take();
        world.answer(&ids, &id, success()).await;
    }
    let mut both = world.peer.next().await;
    while both.transactions().len() < 2 {
        let id = both.transactions()[0].id.clone();
        both.take();
        world.answer(&ids, &id, success()).await;
        both = world.peer.next().await;
    }
    let together: Vec<_> = both.transactions().iter().map(asked).collect();
    let names: Vec<_> = both.transactions().iter().map(|one| one.id.clone()).collect();
    both.refuse(500);
    let mut alone = Vec::new();
    for _ in 0..2 {
        let request = world.peer.transaction(&ids).await;
        assert!(names.contains(&request.id));
        alone.push(asked(&request));
        world.answer(&ids, &request.id, success()).await;
    }
    assert_eq!(alone, together);
    for asking in more.into_iter().chain([first]) {
        assert!(asking.await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn one_conversation_has_one_request_under_way_and_keeps_its_order() {
    let mut world = World::new().await;
    let ids = world.open().await;
    let mut askings = Vec::new();
    for seconds in 1..=3 {
        askings.push(world.ask(seconds, Some("ada bea"), PATIENCE));
        until(|| world.link().load().2 == askings.len()).await;
    }
    let other = world.ask(50, Some("al bea"), PATIENCE);
    let (mut order, mut is_other_through) = (Vec::new(), false);
    while order.len() < 3 || !is_other_through {
        let heard = world.peer.next().await;
        let transactions = heard.transactions().to_vec();
        heard.take();
        for request in transactions {
            if asked(&request) == 50 {
                is_other_through = true;
            } else {
                order.push(asked(&request));
            }
            world.answer(&ids, &request.id, success()).await;
        }
    }
    assert_eq!(order, [1, 2, 3]);
    for asking in askings.into_iter().chain([other]) {
        assert!(asking.await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn request_that_was_given_up_takes_with_it_what_waits_behind() {
    let mut world = World::new().await;
    let ids = world.open().await;
    let first = world.ask(1, Some("ada bea"), Duration::from_millis(300));
    let request = world.peer.transaction(&ids).await;
    assert_eq!(asked(&request), 1);
    let behind = [2, 3].map(|seconds| world.ask(seconds, Some("ada bea"), PATIENCE));
    until(|| world.link().load().1 == 2).await;
    assert_eq!(first.await.unwrap(), Err(LinkFault::Unanswered(request.id)));
    for behind in behind {
        let fault = behind.await.unwrap().unwrap_err();
        assert!(matches!(fault, LinkFault::NotTaken(_)), "{fault:?}");
    }
    assert!(world.peer.is_silent());
    assert_eq!(world.link().load(), (0, 0, 0));
    // What is asked from now on goes.
    let next = world.ask(4, Some("ada bea"), PATIENCE);
    let request = world.peer.transaction(&ids).await;
    assert_eq!(asked(&request), 4);
    world.answer(&ids, &request.id, success()).await;
    assert!(next.await.unwrap().is_ok());
}

#[tokio::test]
async fn document_of_an_unknown_session_is_refused_and_a_known_one_counts_on_its_connections_only() {
    let mut world = World::new().await;
    let ids = world.open().await;
    let ask = |session_id: &SessionId| Document::Session {
        session_id: session_id.clone(),
        transactions: vec![transaction(Mode::Request, "1", ask(1))],
    };
    for stranger in [SessionId::new("1@bravo.example"), ids.ours.clone()] {
        assert_eq!(world.say(&ask(&stranger)).await, Answer::Forbidden);
    }
    assert_eq!(
        world.say_from("192.0.2.7:4000", &ask(&ids.theirs)).await,
        Answer::Forbidden
    );
    assert!(world.peer.is_silent());
    assert_eq!(world.say(&ask(&ids.theirs)).await, Answer::Taken);
    world.peer.transaction(&ids).await;
}

#[tokio::test]
async fn more_than_may_wait_is_refused_at_once() {
    let config = SspConfig {
        max_waiting: 2,
        ..SspConfig::default()
    };
    let mut world = World::with(config).await;
    let asking = [world.ask(1, None, PATIENCE), world.ask(2, None, PATIENCE)];
    let _step = world.peer.next().await;
    until(|| world.link().load().1 == 2).await;
    let fault = world.ask(3, None, PATIENCE).await.unwrap().unwrap_err();
    assert!(
        matches!(&fault, LinkFault::NotTaken(reason) if reason.contains("too much")),
        "{fault:?}"
    );
    drop(asking);
}

#[tokio::test]
async fn more_octets_than_may_wait_are_refused_at_once() {
    let config = SspConfig {
        max_waiting_size: crate::model::ByteSize::kib(3),
        ..SspConfig::default()
    };
    let mut world = World::with(config).await;
    let asking = [1, 2, 3].map(|seconds| world.ask(seconds, None, PATIENCE));
    let _step = world.peer.next().await;
    until(|| world.link().load().1 == 3).await;
    let fault = world.ask(4, None, PATIENCE).await.unwrap().unwrap_err();
    assert!(
        matches!(&fault, LinkFault::NotTaken(reason) if reason.contains("too much")),
        "{fault:?}"
    );
    drop(asking);
}
