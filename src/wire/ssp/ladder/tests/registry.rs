//! Which ladder a step belongs to, and how many there may be.

use super::super::*;
use super::{ms, proof, setup, start, token};
use crate::wire::ssp::document::Mode;

#[test]
fn step_two_is_found_by_the_dialled_domain_whatever_its_id_and_case() {
    let (mut ladders, now) = (Ladders::new(8), start());
    let bravo = open(&mut ladders, "bravo.example", "1", now);
    let charlie = open(&mut ladders, "charlie.example", "2", now);
    assert_eq!(
        ladders.find(&secret(Mode::Response, "99", "Bravo.Example"), |_| true),
        Match::Known(bravo)
    );
    assert_eq!(
        ladders.find(&secret(Mode::Response, "1", "charlie.example"), |_| true),
        Match::Known(charlie)
    );
    assert_eq!(
        ladders.find(&secret(Mode::Response, "1", "delta.example"), |_| true),
        Match::Unknown
    );
}

#[test]
fn repeated_step_two_belongs_to_the_ladder_that_took_it_and_the_same_secret_again_to_the_next() {
    let (mut ladders, now) = (Ladders::new(8), start());
    let first = open(&mut ladders, "bravo.example", "1", now);
    let two = |id: &str| secret(Mode::Response, id, "bravo.example");
    ladders.handle(first, Input::Received(Box::new(two("9"))), now);
    ladders.handle(first, Input::Abandoned(StatusCode::TIMEOUT), now);
    let second = open(&mut ladders, "bravo.example", "2", now);
    assert_eq!(ladders.find(&two("9"), |_| true), Match::Known(first));
    assert_eq!(ladders.find(&two("10"), |_| true), Match::Known(second));
    ladders.handle(second, Input::Received(Box::new(two("10"))), now);
    assert_eq!(ladders.find(&two("11"), |_| true), Match::Known(second));
}

#[test]
fn second_own_domain_waits_until_the_peers_secret_came() {
    let (mut ladders, now) = (Ladders::new(8), start());
    let first = open(&mut ladders, "bravo.example", "1", now);
    let second = |ladders: &mut Ladders, own: &str| {
        ladders.initiate(own, "BRAVO.example", token("2", 2, 2), now, Settings::default())
    };
    assert_eq!(second(&mut ladders, "other.example"), Err(Busy::PeerBusy(first)));
    assert_eq!(
        second(&mut ladders, "ALPHA.example"),
        Err(Busy::InProgress(first))
    );
    ladders.handle(
        first,
        Input::Received(Box::new(secret(Mode::Response, "9", "bravo.example"))),
        now,
    );
    assert_eq!(
        second(&mut ladders, "alpha.example"),
        Err(Busy::InProgress(first))
    );
    assert!(second(&mut ladders, "other.example").is_ok());
}

#[test]
fn peer_that_tells_our_names_apart_is_in_several_ladders_at_once() {
    let (mut ladders, now) = (Ladders::new(8), start());
    let settings = Settings {
        tells_names_apart: true,
        ..Settings::default()
    };
    let mut opened = |own: &str, id: &str| {
        let ladder = ladders.initiate(own, "bravo.example", token(id, 1, 1), now, settings);
        ladder.unwrap()
    };
    let all = [
        ("one.example", opened("one.example", "1")),
        ("two.example", opened("two.example", "2")),
    ];
    let called = |ladders: &mut Ladders, own: &str| {
        let secret = Secret::new(own);
        ladders
            .respond(
                own,
                "bravo.example",
                (TransactionId::new("7"), &secret),
                token("8", 2, 2),
                now,
                settings,
            )
            .unwrap()
    };
    let calling = [
        ("one.example", called(&mut ladders, "one.example")),
        ("two.example", called(&mut ladders, "two.example")),
    ];
    let two = secret(Mode::Response, "9", "bravo.example");
    for (own, key) in all {
        let found = ladders.find_among(&two, |_| true, |ladder| ladder.own_domain() == own);
        assert_eq!(found, Match::Known(key));
    }
    // The peer may use an ID in each of them.
    let three = SetupTransaction {
        mode: Mode::Request,
        id: TransactionId::new("7"),
        primitive: SetupPrimitive::LoginRequest(LoginRequest {
            service_id: "wv:@bravo.example".into(),
            time_to_live: None,
            digest: Secret::new("x").digest(),
        }),
    };
    for (own, key) in calling {
        let found = ladders.find_among(&three, |_| true, |ladder| ladder.own_domain() == own);
        assert_eq!(found, Match::Known(key));
    }
}

#[test]
fn step_of_a_domain_that_the_connection_may_not_speak_for_is_foreign() {
    let (mut ladders, now) = (Ladders::new(8), start());
    open(&mut ladders, "bravo.example", "1", now);
    let foreign = Match::Foreign {
        peer_domain: "bravo.example".to_owned(),
    };
    let mallory = |domain: &str| domain == "mallory.example";
    assert_eq!(
        ladders.find(&secret(Mode::Response, "9", "bravo.example"), mallory),
        foreign
    );
    assert_eq!(
        ladders.find(&secret(Mode::Request, "9", "bravo.example"), mallory),
        foreign
    );
    let failing = failing_step(Role::Responder, TransactionId::new("1"), StatusCode::FORBIDDEN);
    assert_eq!(ladders.find(&failing, mallory), Match::Unknown);
}

#[test]
fn same_small_ids_of_two_peers_are_told_apart() {
    let (mut ladders, now) = (Ladders::new(8), start());
    let alpha = answer(&mut ladders, "alpha.example", "7", now);
    let bravo = answer(&mut ladders, "bravo.example", "7", now);
    for (domain, key) in [("alpha.example", alpha), ("bravo.example", bravo)] {
        let only = |candidate: &str| candidate == domain;
        let five = |id: &str| {
            let mut step = failing_step(Role::Initiator, TransactionId::new("7"), StatusCode::SUCCESS);
            let SetupPrimitive::LoginResponse(response) = &mut step.primitive else {
                panic!()
            };
            response.session_id = Some(SessionId::new(id));
            step
        };
        assert_eq!(
            ladders.find(&five(&format!("1@{domain}")), |_| true),
            Match::Known(key)
        );
        let failing = failing_step(Role::Initiator, TransactionId::new("7"), StatusCode::FORBIDDEN);
        assert_eq!(ladders.find(&failing, only), Match::Known(key));
        assert_eq!(
            ladders.find(&failing, |_| true),
            Match::Unknown,
            "either could be meant"
        );
    }
}

#[test]
fn repeated_opening_is_known_and_a_new_one_supersedes() {
    let (mut ladders, now) = (Ladders::new(8), start());
    let first = answer(&mut ladders, "bravo.example", "7", now);
    while ladders.poll().is_some() {}
    assert_eq!(
        ladders.find(&secret(Mode::Request, "7", "bravo.example"), |_| true),
        Match::Known(first)
    );
    let again = secret(Mode::Request, "8", "bravo.example");
    assert_eq!(
        ladders.find(&again, |_| true),
        Match::Opening {
            peer_domain: "bravo.example".to_owned()
        }
    );
    let second = answer(&mut ladders, "bravo.example", "8", now);
    assert_eq!(ladders.poll(), Some((first, Output::Failed(Failure::Superseded))));
    assert!(matches!(ladders.poll(), Some((key, Output::Send { .. })) if key == second));
    assert_eq!(ladders.under_way(), 1);
}

#[test]
fn step_two_that_was_under_way_counts_for_the_ladder_that_took_its_place() {
    let (mut ladders, now) = (Ladders::new(8), start());
    answer(&mut ladders, "bravo.example", "7", now);
    let Some((_, Output::Send { transaction, .. })) = ladders.poll() else {
        panic!("no step 2")
    };
    let SetupPrimitive::SendSecretToken(handed_over) = transaction.primitive else {
        panic!("{transaction:?}")
    };
    let held = Settings {
        answer_delay: ms(500),
        ..Settings::default()
    };
    let opened = (TransactionId::new("8"), &Secret::new("t"));
    let again = ladders.respond("us.example", "bravo.example", opened, token("y", 3, 3), now, held);
    while ladders.poll().is_some() {}
    // The peer took the old step 2 for the new one's and proves it, before the new one's was sent.
    let digest = handed_over.secret.digest();
    let verdict = ladders.handle(
        again.unwrap(),
        proof(Mode::Request, "wv:@bravo.example", digest),
        now,
    );
    assert_eq!(verdict, Verdict::Taken);
    let sent: Vec<_> = std::iter::from_fn(|| ladders.poll()).collect();
    assert!(
        matches!(&sent[..], [(_, Output::Send { step: Step::LoginRequest, transaction })]
            if transaction.id.as_str() == "8"),
        "{sent:?}"
    );
}

#[test]
fn wrong_proof_before_step_two_is_refused_without_harm() {
    let now = start();
    let held = Settings {
        answer_delay: ms(500),
        ..Settings::default()
    };
    let opened = (TransactionId::new("8"), &Secret::new("t"));
    let mut bravo = Ladder::respond("us.example", "bravo.example", opened, token("y", 3, 3), now, held);
    let wrong = proof(Mode::Request, "wv:@bravo.example", Secret::new("t").digest());
    assert_eq!(bravo.handle(wrong, now), Verdict::Refused);
    assert!(!bravo.is_over());
}

#[test]
fn inbound_handshakes_never_take_the_room_of_outbound_ones() {
    let (mut ladders, now) = (Ladders::new(2), start());
    answer(&mut ladders, "a.example", "1", now);
    answer(&mut ladders, "b.example", "1", now);
    let opened = (TransactionId::new("1"), &Secret::new("s"));
    let third = ladders.respond(
        "alpha.example",
        "c.example",
        opened,
        token("x", 3, 3),
        now,
        Settings::default(),
    );
    assert_eq!(third, Err(Busy::Full));
    open(&mut ladders, "c.example", "2", now);
}

#[test]
fn ladder_that_is_over_makes_room_and_is_forgotten_at_its_deadline() {
    let (mut ladders, now) = (Ladders::new(1), start());
    let first = open(&mut ladders, "bravo.example", "1", now);
    ladders.handle(
        first,
        Input::Delivered {
            step: Step::SendSecretToken,
            delivery: Delivery::Refused,
        },
        now,
    );
    while ladders.poll().is_some() {}
    assert!(ladders.ladder(first).is_some());
    let second = open(&mut ladders, "charlie.example", "2", now);
    assert!(ladders.ladder(first).is_none());
    ladders.tick(now + ms(45_000));
    assert!(
        ladders.ladder(second).is_some(),
        "its last outputs are not polled yet"
    );
    while ladders.poll().is_some() {}
    ladders.tick(now + ms(45_000));
    assert!(ladders.ladder(second).is_none());
    assert_eq!(ladders.handle(second, Input::Tick, now), Verdict::Refused);
}

#[test]
fn service_id_without_a_domain_belongs_to_nobody() {
    let ladders = Ladders::new(1);
    for service_id in ["wv:bravo.example", "wv:@", "", "@ "] {
        let token = SendSecretToken::new(service_id, Secret::new("s"));
        let step = setup(Mode::Request, "1", SetupPrimitive::SendSecretToken(token));
        assert_eq!(ladders.find(&step, |_| true), Match::Unknown, "{service_id}");
    }
}

fn open(ladders: &mut Ladders, peer: &str, id: &str, now: Instant) -> LadderKey {
    ladders
        .initiate("alpha.example", peer, token(id, 1, 1), now, Settings::default())
        .expect("nothing is in the way")
}

fn answer(ladders: &mut Ladders, peer: &str, id: &str, now: Instant) -> LadderKey {
    let opened = (TransactionId::new(id), &Secret::new("s"));
    ladders
        .respond(
            "us.example",
            peer,
            opened,
            token("x", 2, 2),
            now,
            Settings::default(),
        )
        .expect("there is room")
}

fn secret(mode: Mode, id: &str, domain: &str) -> SetupTransaction {
    let token = SendSecretToken::new(format!("wv:@{domain}"), Secret::new("s"));
    *setup(mode, id, SetupPrimitive::SendSecretToken(token))
}
