//! The ladder against SSP reference §4, row by row, with time passed in.

mod dialogue;
mod registry;

use super::*;
use crate::wire::ssp::document::Mode;
use crate::wire::ssp::profile::Profile;
use Input::{Delivered, Received, Tick};

#[test]
fn initiator_climbs_with_steps_one_three_five() {
    let now = start();
    let mut alpha = initiator(now);
    let [one] = sent(&mut alpha);
    assert_eq!((one.mode, one.id.as_str()), (Mode::Request, "a-1"));
    assert_eq!(alpha.handle(step_two("bravo.example"), now), Verdict::Taken);
    let [three] = sent(&mut alpha);
    assert_eq!((three.mode, three.id.as_str()), (Mode::Request, "a-1"));
    let SetupPrimitive::LoginRequest(request) = three.primitive else {
        panic!("{three:?}")
    };
    assert_eq!(request.digest, Secret::new("c0ffee5a11e7").digest());
    assert_eq!(
        alpha.handle(step_four(alpha_secret().digest()), now),
        Verdict::Taken
    );
    let [five] = sent(&mut alpha);
    assert_eq!(
        session_id_of(&five).as_deref(),
        Some(&*format!("{}@alpha.example", "22".repeat(16)))
    );
    assert_eq!(alpha.handle(step_six("903@bravo.example"), now), Verdict::Taken);
    let session = established(&mut alpha);
    assert_eq!(session.peer_session_id.as_str(), "903@bravo.example");
    assert_eq!(
        session.own_session_id.as_str(),
        format!("{}@alpha.example", "22".repeat(16))
    );
}

#[test]
fn responder_holds_its_answer_and_repeats_the_same_secret_when_refused() {
    let now = start();
    let mut bravo = responder(now, &Profile::OBSERVED);
    assert!(sent::<0>(&mut bravo).is_empty());
    assert_eq!(bravo.wakes_at(), Some(now + ms(500)));
    bravo.handle(Tick, now + ms(499));
    assert!(sent::<0>(&mut bravo).is_empty());
    let mut at = now + ms(500);
    bravo.handle(Tick, at);
    let [first] = sent(&mut bravo);
    assert_eq!((first.mode, first.id.as_str()), (Mode::Response, "b-1"));
    for delay in [500, 1000, 2000, 4000, 8000, 8000] {
        bravo.handle(
            Delivered {
                step: Step::SendSecretToken,
                delivery: Delivery::Refused,
            },
            at,
        );
        bravo.handle(Tick, at + ms(delay - 1));
        assert!(sent::<0>(&mut bravo).is_empty(), "not before {delay} ms");
        at += ms(delay);
        bravo.handle(Tick, at);
        let [again] = sent(&mut bravo);
        assert_eq!(again, first);
    }
}

#[test]
fn delay_counts_from_the_acknowledgement_when_it_is_told() {
    let now = start();
    let mut bravo = responder(now, &Profile::OBSERVED);
    bravo.handle(Input::Acknowledged, now + ms(300));
    bravo.handle(Tick, now + ms(799));
    assert!(sent::<0>(&mut bravo).is_empty());
    bravo.handle(Tick, now + ms(800));
    assert_eq!(sent::<1>(&mut bravo)[0].id.as_str(), "b-1");
}

#[test]
fn strict_responder_answers_at_once_and_fails_openly_when_refused() {
    let now = start();
    let mut bravo = responder(now, &Profile::STRICT);
    let [two] = sent(&mut bravo);
    assert_eq!(two.id.as_str(), "b-1");
    bravo.handle(
        Delivered {
            step: Step::SendSecretToken,
            delivery: Delivery::Refused,
        },
        now,
    );
    assert_eq!(
        failed_telling(&mut bravo, "a-1", 503),
        Failure::Refused(Step::SendSecretToken)
    );
}

#[test]
fn responder_honours_before_it_announces_and_is_established_when_the_announcement_is_taken() {
    let now = start();
    let mut bravo = responder_awaiting_session(now);
    assert_eq!(bravo.handle(step_five("5512@alpha.example"), now), Verdict::Taken);
    let outputs = drain(&mut bravo);
    let [
        Output::Honour(honoured),
        Output::Send {
            step: Step::LoginResponse,
            transaction,
        },
    ] = &outputs[..]
    else {
        panic!("{outputs:?}")
    };
    assert_eq!(
        (transaction.mode, transaction.id.as_str()),
        (Mode::Response, "a-1")
    );
    assert_eq!(honoured.peer_session_id.as_str(), "5512@alpha.example");
    bravo.handle(
        Delivered {
            step: Step::LoginResponse,
            delivery: Delivery::Accepted,
        },
        now,
    );
    assert_eq!(established(&mut bravo), *honoured);
}

#[test]
fn announcement_without_an_answer_counts_as_taken_at_the_deadline() {
    let now = start();
    let mut bravo = responder_awaiting_session(now);
    bravo.handle(step_five("5512@alpha.example"), now);
    bravo.handle(
        Delivered {
            step: Step::LoginResponse,
            delivery: Delivery::Unanswered,
        },
        now,
    );
    drain(&mut bravo);
    bravo.handle(Tick, now + ms(44_999));
    assert!(!bravo.is_over());
    bravo.handle(Tick, now + ms(45_000));
    established(&mut bravo);
}

#[test]
fn announcement_that_never_left_voids_the_session() {
    let now = start();
    for (delivery, failure) in [
        (Delivery::Refused, Failure::Refused(Step::LoginResponse)),
        (Delivery::Unreachable, Failure::Unreachable(Step::LoginResponse)),
    ] {
        let mut bravo = responder_awaiting_session(now);
        bravo.handle(step_five("5512@alpha.example"), now);
        bravo.handle(
            Delivered {
                step: Step::LoginResponse,
                delivery,
            },
            now + ms(44_900),
        );
        bravo.handle(Tick, now + ms(45_000));
        assert_eq!(failure_of(&drain(&mut bravo)), Some(failure));
    }
}

#[test]
fn first_step_that_fails_ends_the_attempt() {
    let now = start();
    for (delivery, failure) in [
        (Delivery::Refused, Failure::Refused(Step::SendSecretToken)),
        (Delivery::Unreachable, Failure::Unreachable(Step::SendSecretToken)),
    ] {
        let mut alpha = initiator(now);
        drain(&mut alpha);
        alpha.handle(
            Delivered {
                step: Step::SendSecretToken,
                delivery,
            },
            now,
        );
        assert_eq!(drain(&mut alpha), [Output::Failed(failure)]);
    }
}

#[test]
fn answer_that_overtakes_the_acknowledgement_is_taken() {
    let now = start();
    let mut alpha = initiator(now);
    drain(&mut alpha);
    assert_eq!(alpha.handle(step_two("bravo.example"), now), Verdict::Taken);
    assert_eq!(sent::<1>(&mut alpha)[0].id.as_str(), "a-1");
    alpha.handle(
        Delivered {
            step: Step::SendSecretToken,
            delivery: Delivery::Refused,
        },
        now,
    );
    assert!(!alpha.is_over(), "a late report of step 1 says nothing any more");
}

#[test]
fn later_steps_are_repeated_only_when_the_peer_was_not_reached() {
    let now = start();
    let mut alpha = initiator(now);
    alpha.handle(step_two("bravo.example"), now);
    drain(&mut alpha);
    alpha.handle(
        Delivered {
            step: Step::LoginRequest,
            delivery: Delivery::Unreachable,
        },
        now,
    );
    alpha.handle(Tick, now + ms(500));
    assert_eq!(sent::<1>(&mut alpha)[0].primitive.name(), "LoginRequest");
    alpha.handle(
        Delivered {
            step: Step::LoginRequest,
            delivery: Delivery::Refused,
        },
        now + ms(501),
    );
    assert_eq!(
        drain(&mut alpha),
        [Output::Failed(Failure::Refused(Step::LoginRequest))]
    );
}

#[test]
fn wrong_digest_fails_openly_in_both_roles() {
    let now = start();
    let wrong = Secret::new("something else").digest();
    let mut alpha = initiator(now);
    alpha.handle(step_two("bravo.example"), now);
    drain(&mut alpha);
    assert_eq!(alpha.handle(step_four(wrong), now), Verdict::Refused);
    assert_eq!(failed_telling(&mut alpha, "a-1", 409), Failure::WrongDigest);
    let mut bravo = responder(now, &Profile::STRICT);
    drain(&mut bravo);
    assert_eq!(bravo.handle(step_three(wrong), now), Verdict::Refused);
    assert_eq!(failed_telling(&mut bravo, "a-1", 409), Failure::WrongDigest);
}

#[test]
fn own_secret_reflected_by_the_peer_proves_nothing() {
    let now = start();
    let mut bravo = responder(now, &Profile::STRICT);
    drain(&mut bravo);
    assert_eq!(
        bravo.handle(step_three(alpha_secret().digest()), now),
        Verdict::Refused
    );
    assert!(bravo.is_over());
}

#[test]
fn session_announced_before_the_digest_fails_openly() {
    let now = start();
    let mut alpha = initiator(now);
    drain(&mut alpha);
    assert_eq!(alpha.handle(step_six("903@bravo.example"), now), Verdict::Refused);
    assert_eq!(failed_telling(&mut alpha, "a-1", 401), Failure::OutOfOrder);
    let mut bravo = responder(now, &Profile::OBSERVED);
    drain(&mut bravo);
    assert_eq!(bravo.handle(step_five("1@alpha.example"), now), Verdict::Refused);
    assert_eq!(failed_telling(&mut bravo, "a-1", 401), Failure::OutOfOrder);
}

#[test]
fn failing_login_response_ends_the_ladder_in_every_state_without_an_echo() {
    let now = start();
    let failing = || {
        Received(Box::new(failing_step(
            Role::Responder,
            TransactionId::new("a-1"),
            StatusCode(506),
        )))
    };
    let waiting_for_secret = initiator(now);
    let mut waiting_for_proof = initiator(now);
    waiting_for_proof.handle(step_two("bravo.example"), now);
    let mut waiting_for_session = initiator(now);
    waiting_for_session.handle(step_two("bravo.example"), now);
    waiting_for_session.handle(step_four(alpha_secret().digest()), now);
    let mut confirming = responder_awaiting_session(now);
    confirming.handle(step_five("5512@alpha.example"), now);
    let ladders = [
        waiting_for_secret,
        waiting_for_proof,
        waiting_for_session,
        responder(now, &Profile::OBSERVED),
        responder(now, &Profile::STRICT),
        responder_awaiting_session(now),
        confirming,
    ];
    for mut ladder in ladders {
        drain(&mut ladder);
        assert_eq!(ladder.handle(failing(), now), Verdict::Taken);
        assert_eq!(
            drain(&mut ladder),
            [Output::Failed(Failure::FailedByPeer(StatusCode(506)))]
        );
    }
}

#[test]
fn redirect_names_the_other_servers() {
    let now = start();
    let mut alpha = initiator(now);
    drain(&mut alpha);
    let urls = vec!["https://b2.bravo.example:8443/".to_owned()];
    alpha.handle(
        Received(Box::new(redirecting_step(
            TransactionId::new("a-1"),
            urls.clone(),
        ))),
        now,
    );
    assert_eq!(drain(&mut alpha), [Output::Failed(Failure::Redirected(urls))]);
}

#[test]
fn session_id_of_another_domain_is_refused() {
    let now = start();
    for id in [Some("903@mallory.example"), Some("903"), None] {
        let mut alpha = initiator(now);
        alpha.handle(step_two("bravo.example"), now);
        alpha.handle(step_four(alpha_secret().digest()), now);
        drain(&mut alpha);
        assert_eq!(
            alpha.handle(login_response(Mode::Response, id, 200, None), now),
            Verdict::Refused
        );
        assert_eq!(failed_telling(&mut alpha, "a-1", 402), Failure::BadSessionId);
    }
}

#[test]
fn repeated_steps_are_taken_again_without_effect() {
    let now = start();
    let mut alpha = initiator(now);
    for step in [
        step_two("bravo.example"),
        step_four(alpha_secret().digest()),
        step_six("903@bravo.example"),
    ] {
        assert_eq!(alpha.handle(step.clone(), now), Verdict::Taken);
        drain(&mut alpha);
        assert_eq!(alpha.handle(step, now), Verdict::Taken);
        assert_eq!(drain(&mut alpha), []);
    }
    assert_eq!(alpha.handle(step_two("bravo.example"), now), Verdict::Taken);
    assert_eq!(
        alpha.handle(step_four(Secret::new("x").digest()), now),
        Verdict::Refused
    );
    assert_eq!(alpha.handle(step_six("904@bravo.example"), now), Verdict::Refused);
    let mut bravo = responder_awaiting_session(now);
    assert_eq!(
        bravo.handle(step_three(bravo_secret().digest()), now),
        Verdict::Taken
    );
    bravo.handle(step_five("5512@alpha.example"), now);
    drain(&mut bravo);
    assert_eq!(bravo.handle(step_five("5512@alpha.example"), now), Verdict::Taken);
    assert_eq!(drain(&mut bravo), []);
    assert_eq!(
        bravo.handle(step_five("5513@alpha.example"), now),
        Verdict::Refused
    );
}

#[test]
fn second_secret_of_the_peer_is_refused_without_harm() {
    let now = start();
    let mut alpha = initiator(now);
    alpha.handle(step_two("bravo.example"), now);
    let other = SendSecretToken::new("wv:@bravo.example", Secret::new("another"));
    let step = setup(Mode::Response, "b-2", SetupPrimitive::SendSecretToken(other));
    assert_eq!(alpha.handle(Received(step), now), Verdict::Refused);
    assert_eq!(
        alpha.handle(step_four(alpha_secret().digest()), now),
        Verdict::Taken
    );
}

#[test]
fn proof_of_another_domain_is_refused_without_harm() {
    let now = start();
    let mut bravo = responder(now, &Profile::STRICT);
    let step = proof(Mode::Request, "wv:@mallory.example", bravo_secret().digest());
    assert_eq!(bravo.handle(step, now), Verdict::Refused);
    assert!(!bravo.is_over());
}

#[test]
fn peer_that_goes_silent_is_told_at_the_deadline() {
    let now = start();
    let mut alpha = initiator(now);
    drain(&mut alpha);
    alpha.handle(
        Delivered {
            step: Step::SendSecretToken,
            delivery: Delivery::Accepted,
        },
        now,
    );
    alpha.handle(Tick, now + ms(44_999));
    assert_eq!(drain(&mut alpha), []);
    alpha.handle(Tick, now + ms(45_000));
    assert_eq!(
        failed_telling(&mut alpha, "a-1", 504),
        Failure::TimedOut(Waiting::Secret)
    );
    let mut bravo = responder(now, &Profile::STRICT);
    drain(&mut bravo);
    bravo.handle(Tick, now + ms(60_000));
    assert_eq!(
        failed_telling(&mut bravo, "a-1", 504),
        Failure::TimedOut(Waiting::Proof)
    );
    let mut bravo = responder_awaiting_session(now);
    bravo.handle(Tick, now + ms(45_000));
    assert_eq!(
        failed_telling(&mut bravo, "a-1", 504),
        Failure::TimedOut(Waiting::Session)
    );
}

#[test]
fn unreadable_step_fails_openly_and_an_unknown_one_does_nothing() {
    let now = start();
    let mut bravo = responder(now, &Profile::STRICT);
    drain(&mut bravo);
    let unknown = SetupPrimitive::Unknown {
        name: "KeepAliveRequest".to_owned(),
    };
    assert_eq!(
        bravo.handle(Received(setup(Mode::Request, "a-1", unknown)), now),
        Verdict::Refused
    );
    assert!(!bravo.is_over());
    let reason = crate::wire::ssp::Flaw::NoPrimitive;
    let malformed = SetupPrimitive::Malformed {
        name: "LoginRequest".to_owned(),
        reason,
    };
    assert_eq!(
        bravo.handle(Received(setup(Mode::Request, "a-1", malformed)), now),
        Verdict::Refused
    );
    assert_eq!(failed_telling(&mut bravo, "a-1", 400), Failure::Unreadable);
}

#[test]
fn abandoned_ladder_tells_the_peer_once() {
    let now = start();
    let mut bravo = responder(now, &Profile::OBSERVED);
    drain(&mut bravo);
    bravo.handle(Input::Abandoned(StatusCode::SERVICE_UNAVAILABLE), now);
    assert_eq!(
        failed_telling(&mut bravo, "a-1", 503),
        Failure::Abandoned(StatusCode::SERVICE_UNAVAILABLE)
    );
    bravo.handle(Input::Abandoned(StatusCode::SERVICE_UNAVAILABLE), now);
    assert_eq!(drain(&mut bravo), []);
    assert_eq!(bravo.wakes_at(), None);
}

#[test]
fn shortest_announced_life_holds_and_zero_says_nothing() {
    let now = start();
    for (in_proof, in_session, expected) in [
        (Some(600), Some(300), 300),
        (Some(300), None, 300),
        (None, Some(0), 86_400),
        (Some(90_000), None, 86_400),
    ] {
        let mut alpha = initiator(now);
        alpha.handle(step_two("bravo.example"), now);
        let request = LoginRequest {
            service_id: "wv:@BRAVO.example".to_owned(),
            time_to_live: in_proof.map(Duration::from_secs),
            digest: alpha_secret().digest(),
        };
        let step = setup(Mode::Response, "a-1", SetupPrimitive::LoginRequest(request));
        assert_eq!(alpha.handle(Received(step), now), Verdict::Taken);
        alpha.handle(
            login_response(Mode::Response, Some("903@bravo.example"), 202, in_session),
            now,
        );
        assert_eq!(
            established(&mut alpha).time_to_live,
            Duration::from_secs(expected)
        );
    }
}

#[test]
fn secrets_do_not_show() {
    let alpha = initiator(start());
    let text = format!("{alpha:?} {:?}", token("a-1", 0x11, 0x22));
    assert!(!text.contains(&"11".repeat(16)), "{text}");
}

pub(super) fn token(id: &str, secret: u8, session: u8) -> Token {
    Token {
        transaction_id: TransactionId::new(id),
        secret: [secret; 16],
        session: [session; 16],
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a starting point; everything else is computed from it"
)]
pub(super) fn start() -> Instant {
    Instant::now()
}

pub(super) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn initiator(now: Instant) -> Ladder {
    Ladder::initiate(
        "Alpha.example",
        "bravo.example",
        token("a-1", 0x11, 0x22),
        now,
        Settings::default(),
    )
}

fn responder(now: Instant, profile: &Profile) -> Ladder {
    let opened = (TransactionId::new("a-1"), &alpha_secret());
    let token = token("b-1", 0x33, 0x44);
    Ladder::respond(
        "bravo.example",
        "alpha.example",
        opened,
        token,
        now,
        Settings::for_profile(profile),
    )
}

fn responder_awaiting_session(now: Instant) -> Ladder {
    let mut bravo = responder(now, &Profile::STRICT);
    bravo.handle(step_three(bravo_secret().digest()), now);
    drain(&mut bravo);
    bravo
}

fn alpha_secret() -> Secret {
    Secret::new("11".repeat(16))
}

fn bravo_secret() -> Secret {
    Secret::new("33".repeat(16))
}

fn step_two(domain: &str) -> Input {
    let token = SendSecretToken::new(format!("wv:@{domain}"), Secret::new("c0ffee5a11e7"));
    Received(setup(
        Mode::Response,
        "b-20",
        SetupPrimitive::SendSecretToken(token),
    ))
}

fn step_three(digest: PasswordDigest) -> Input {
    proof(Mode::Request, "wv:@alpha.example", digest)
}

fn step_four(digest: PasswordDigest) -> Input {
    proof(Mode::Response, "wv:@bravo.example", digest)
}

fn step_five(session_id: &str) -> Input {
    login_response(Mode::Request, Some(session_id), 200, Some(86_400))
}

fn step_six(session_id: &str) -> Input {
    login_response(Mode::Response, Some(session_id), 200, Some(86_400))
}

fn proof(mode: Mode, service_id: &str, digest: PasswordDigest) -> Input {
    let request = LoginRequest {
        service_id: service_id.to_owned(),
        time_to_live: None,
        digest,
    };
    Received(setup(mode, "a-1", SetupPrimitive::LoginRequest(request)))
}

fn login_response(mode: Mode, session_id: Option<&str>, code: u16, seconds: Option<u64>) -> Input {
    let response = LoginResponse {
        session_id: session_id.map(SessionId::new),
        time_to_live: seconds.map(Duration::from_secs),
        status: Status::new(StatusCode(code)),
        redirects: Vec::new(),
    };
    Received(setup(
        mode,
        "a-1",
        SetupPrimitive::LoginResponse(Box::new(response)),
    ))
}

pub(super) fn setup(mode: Mode, id: &str, primitive: SetupPrimitive) -> Box<SetupTransaction> {
    Box::new(SetupTransaction {
        mode,
        id: TransactionId::new(id),
        primitive,
    })
}

fn drain(ladder: &mut Ladder) -> Vec<Output> {
    std::iter::from_fn(|| ladder.poll())
        .filter(|output| !matches!(output, Output::WakeAt(_)))
        .collect()
}

fn sent<const N: usize>(ladder: &mut Ladder) -> [SetupTransaction; N] {
    let steps = drain(ladder).into_iter().map(|output| {
        let Output::Send { transaction, .. } = output else {
            panic!("{output:?} is not a step")
        };
        *transaction
    });
    let steps: Vec<_> = steps.collect();
    steps.try_into().unwrap_or_else(|steps| panic!("{steps:?}"))
}

fn established(ladder: &mut Ladder) -> Session {
    match drain(ladder).pop() {
        Some(Output::Established(session)) => session,
        other => panic!("{other:?} is not a session"),
    }
}

fn failure_of(outputs: &[Output]) -> Option<Failure> {
    match outputs.last() {
        Some(Output::Failed(failure)) => Some(failure.clone()),
        _ => None,
    }
}

/// The failure, after the peer was told with this status.
fn failed_telling(ladder: &mut Ladder, id: &str, code: u16) -> Failure {
    let outputs = drain(ladder);
    let told = failing_step(ladder.role(), TransactionId::new(id), StatusCode(code));
    let Some(Output::Send {
        step: Step::Failure,
        transaction,
    }) = outputs.iter().rev().nth(1)
    else {
        panic!("the peer was not told: {outputs:?}")
    };
    assert_eq!(**transaction, told);
    failure_of(&outputs).expect("the ladder failed")
}

fn session_id_of(step: &SetupTransaction) -> Option<String> {
    let SetupPrimitive::LoginResponse(response) = &step.primitive else {
        return None;
    };
    response.session_id.as_ref().map(|id| id.as_str().to_owned())
}
