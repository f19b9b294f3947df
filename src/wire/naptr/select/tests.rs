//! What the vectors do not show: limits, failures below a non-terminal, alternatives of one ORDER.

use super::*;
use crate::wire::naptr::selected::Verdict;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn terminal(order: u16, user: &str) -> Naptr {
    Naptr {
        order,
        preference: 10,
        flags: b"u".to_vec(),
        services: b"E2U+im".to_vec(),
        regexp: format!("!^.*$!im:{user}@op.example!").into_bytes(),
        replacement: Name::root(),
    }
}

fn referral(order: u16, target: &str) -> Naptr {
    Naptr {
        flags: vec![],
        services: vec![],
        regexp: vec![],
        replacement: name(target),
        ..terminal(order, "")
    }
}

fn evaluation(services: &[&str]) -> Evaluation {
    let wanted = Wanted::parse(services.iter().copied()).unwrap();
    Evaluation::new(
        Aus::new("447700900123").unwrap(),
        name("n.example"),
        wanted,
        Policy::default(),
    )
}

fn run(mut lookup: impl FnMut(&Name) -> Answer) -> Selected {
    let mut evaluation = evaluation(&["im"]);
    loop {
        match evaluation.step() {
            Step::Query(name) => evaluation.answer(lookup(&name)),
            Step::Done(selected) => return selected,
        }
    }
}

fn records<const N: usize>(records: [Naptr; N]) -> Answer {
    Answer::Records(records.map(Ok).to_vec())
}

fn users<'c>(candidates: impl IntoIterator<Item = &'c Candidate>) -> Vec<String> {
    let user = |candidate: &Candidate| candidate.uri.as_str().trim_end_matches("@op.example").to_owned();
    candidates.into_iter().map(user).collect()
}

#[test]
fn verdicts_tell_absence_from_failure() {
    assert_eq!(run(|_| Answer::Absent).verdict(), Verdict::Absent);
    assert_eq!(
        run(|_| Answer::Failed("SERVFAIL".into())).verdict(),
        Verdict::Temporary
    );
    assert_eq!(
        run(|_| records([terminal(1, "a b")])).verdict(),
        Verdict::NoneUsable
    );
    assert_eq!(run(|_| records([terminal(1, "a")])).verdict(), Verdict::Found);
    assert_eq!(run(|_| Answer::Records(vec![])).verdict(), Verdict::Absent);
}

#[test]
fn a_failure_below_a_non_terminal_goes_on_and_is_remembered() {
    let with = |rest: Vec<Naptr>| {
        run(|asked| match asked.as_str() {
            "n.example." => Answer::Records(
                [vec![referral(1, "x.example")], rest.clone()]
                    .concat()
                    .into_iter()
                    .map(Ok)
                    .collect(),
            ),
            _ => Answer::Failed("no answer in 2 s".into()),
        })
    };
    let lost = with(vec![]);
    assert_eq!(lost.verdict(), Verdict::Temporary);
    assert_eq!(
        lost.failures,
        [Failure {
            name: name("x.example"),
            cause: "no answer in 2 s".into()
        }]
    );
    assert_eq!(lost.passed_over[0].reason, Discard::TargetFailed);
    assert_eq!(lost.passed_over[0].owner, name("n.example"));
    assert_eq!(with(vec![terminal(2, "a")]).verdict(), Verdict::Found);
}

#[test]
fn an_open_question_is_repeated_until_answered_and_done_is_said_once() {
    let mut evaluation = evaluation(&["im"]);
    assert_eq!(evaluation.step(), Step::Query(name("n.example")));
    assert_eq!(evaluation.step(), Step::Query(name("n.example")));
    evaluation.answer(records([terminal(1, "a")]));
    assert!(matches!(evaluation.step(), Step::Done(selected) if selected.candidates.len() == 1));
    evaluation.answer(records([terminal(1, "b")]));
    assert_eq!(evaluation.step(), Step::Done(Selected::default()));
}

#[test]
fn an_unreadable_record_is_listed_and_its_neighbour_used() {
    let mixed = vec![Err(WireError::Trailing(1)), Ok(terminal(1, "a"))];
    let selected = run(|_| Answer::Records(mixed.clone()));
    assert_eq!(users(&selected.candidates), ["im:a"]);
    assert_eq!(
        selected.passed_over[0].reason,
        Discard::Unreadable(WireError::Trailing(1))
    );
}

#[test]
fn the_best_64_of_a_set_are_looked_at() {
    let many: Vec<_> = (0..100)
        .rev()
        .map(|order| Ok(terminal(order, &format!("u{order}"))))
        .collect();
    let selected = run(|_| Answer::Records(many.clone()));
    assert_eq!(selected.candidates.len(), 64);
    assert_eq!(users(selected.candidates.first()), ["im:u0"]);
    assert_eq!(
        selected.passed_over[0].reason,
        Discard::TooManyRecords { ignored: 36 }
    );
}

#[test]
fn unreadable_records_take_the_room_that_is_left() {
    let mut many = vec![Err(WireError::LabelType); 100];
    many.extend((0..60).map(|order| Ok(terminal(order, "a"))));
    let selected = run(|_| Answer::Records(many.clone()));
    assert_eq!(selected.candidates.len(), 60);
    assert_eq!(selected.passed_over.len(), 4 + 1);
    assert_eq!(
        selected.passed_over.last().unwrap().reason,
        Discard::TooManyRecords { ignored: 96 }
    );
}

#[test]
fn an_evaluation_ends_after_256_records() {
    let selected = run(|asked| match asked.as_str() {
        "n.example." => Answer::Records(
            (0..6)
                .map(|set| Ok(referral(set, &format!("x{set}.example"))))
                .collect(),
        ),
        _ => Answer::Records((0..60).map(|order| Ok(terminal(order, "a"))).collect()),
    });
    assert_eq!(selected.candidates.len(), 256 - 6);
    let ignored = |passed: &PassedOver| {
        let Discard::TooManyRecords { ignored } = passed.reason else {
            panic!("{}", passed.reason)
        };
        ignored
    };
    assert_eq!(selected.passed_over.iter().map(ignored).sum::<usize>(), 360 - 250);
}

#[test]
fn alternatives_stay_in_the_order_that_was_accepted() {
    let selected = run(|asked| match asked.as_str() {
        "n.example." => records([
            referral(10, "x.example"),
            referral(10, "y.example"),
            terminal(20, "later"),
        ]),
        "x.example." => records([terminal(1, "x1"), terminal(1, "x1b"), terminal(2, "x2")]),
        _ => records([terminal(7, "y7"), terminal(8, "y8")]),
    });
    assert_eq!(
        users(&selected.candidates),
        ["im:x1", "im:x1b", "im:x2", "im:y7", "im:y8", "im:later"]
    );
    assert_eq!(users(selected.alternatives(0)), ["im:x1", "im:x1b", "im:y7"]);
    assert_eq!(users(selected.alternatives(2)), ["im:x2", "im:y7"]);
    assert_eq!(users(selected.alternatives(5)), ["im:later"]);
    assert!(selected.alternatives(6).is_empty());
    assert_eq!(selected.candidates[0].order(), 1);
    assert_eq!(selected.candidates[0].owner(), Some(&name("x.example")));
}

#[test]
fn ported_numbers_carry_their_data() {
    let mut evaluation = evaluation(&["pstn:*"]);
    evaluation.answer(records([Naptr {
        services: b"E2U+pstn:tel".to_vec(),
        regexp: b"!^(.*)$!tel:\\1;npdi;rn=+441632960000!".to_vec(),
        ..terminal(1, "")
    }]));
    let Step::Done(selected) = evaluation.step() else {
        panic!("a question is open")
    };
    let Target::Telephone(telephone) = &selected.candidates[0].target else {
        panic!("no number")
    };
    assert_eq!(telephone.aus.as_str(), "+447700900123");
    assert!(telephone.params.npdi && telephone.params.rn.is_some());
}

#[test]
fn a_service_that_does_not_fit_leaves_the_others() {
    let mut evaluation = evaluation(&["pstn:sip", "sip"]);
    evaluation.answer(records([Naptr {
        services: b"E2U+pstn:sip+sip".to_vec(),
        regexp: b"!^.*$!sip:alice@op.example!".to_vec(),
        ..terminal(1, "")
    }]));
    let Step::Done(selected) = evaluation.step() else {
        panic!("a question is open")
    };
    assert_eq!(selected.candidates.len(), 1);
    assert_eq!(selected.candidates[0].service.as_str(), "sip");
    assert!(matches!(
        &selected.candidates[0].warnings[..],
        [Warning::ServiceSkipped {
            reason: Discard::Uri(_),
            ..
        }]
    ));
}

#[test]
fn every_reason_is_a_sentence() {
    let reasons = [
        Discard::UnknownFlag("x".into()),
        Discard::NoWantedService {
            offered: vec!["sip".parse().unwrap(), "h323".parse().unwrap()],
        },
        Discard::Loop,
        Discard::TooManyRecords { ignored: 3 },
    ];
    for reason in reasons {
        let sentence = reason.to_string();
        assert!(
            sentence.len() > 20 && !sentence.ends_with('.') && !sentence.contains("Some("),
            "{sentence}"
        );
    }
}
