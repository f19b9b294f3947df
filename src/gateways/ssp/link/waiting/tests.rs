//! Order and bounds of what waits, step by step.

use super::*;
use crate::wire::ssp::{KeepAliveRequest, Status, StatusCode};

const PACE: Pace = Pace {
    documents: 4,
    transactions: 32,
    octets: 64 * 1024,
    max_waiting: 4,
    max_waiting_octets: 10_000,
};

const DOWN: Failure<'static> = Failure {
    reason: "down",
    splits: true,
    may_have_arrived: false,
    closed_in: None,
};

const UNSURE: Failure<'static> = Failure {
    may_have_arrived: true,
    ..DOWN
};

/// Queues a message; what becomes of it.
fn ask(inner: &mut Inner, id: &str, conversation: Option<&str>) -> oneshot::Receiver<Fate> {
    let (done, fate) = oneshot::channel();
    let conversation: Option<Arc<str>> = conversation.map(Into::into);
    let outstanding = Outstanding {
        done,
        acknowledged: None,
        conversation: conversation.clone(),
        expects: Expects::Answer,
        asked: Some(Arc::new(Asked {
            message: "m".parse().unwrap(),
            recipients: Vec::new(),
        })),
        stage: Stage::Waits,
    };
    inner.outstanding.insert(id.to_owned(), outstanding);
    inner.enter(Waiting {
        transaction: Transaction {
            mode: Mode::Request,
            id: TransactionId::new(id),
            primitive: KeepAliveRequest { time_to_live: None }.into(),
        },
        way: Way::new(conversation, 1_000),
    });
    fate
}

fn names(items: &[Waiting]) -> Vec<&str> {
    items.iter().map(|one| one.transaction.id.as_str()).collect()
}

fn is_not_taken(fate: &mut oneshot::Receiver<Fate>) -> bool {
    matches!(fate.try_recv(), Ok(Err(LinkFault::NotTaken(_))))
}

#[test]
fn what_waits_behind_fails_with_its_head_in_order() {
    let mut inner = Inner::default();
    let mut fates = ["1", "2", "3"].map(|id| ask(&mut inner, id, Some("ada bea")));
    let mut other = ask(&mut inner, "4", None);
    for _ in 0..2 {
        let items = inner.take_document(&PACE);
        assert_eq!(names(&items)[0], "1");
        let failed = inner.failed(items, &DOWN);
        failed.told.tell();
        inner.put_back(failed.again);
    }
    let items = inner.take_document(&PACE);
    let failed = inner.failed(items, &DOWN);
    let order: Vec<_> = failed
        .told
        .requests
        .iter()
        .map(|(_, fate)| matches!(fate, Err(LinkFault::NotTaken(reason)) if reason == "down"))
        .collect();
    assert_eq!(order, [true, false, false]);
    failed.told.tell();
    assert!(fates.iter_mut().all(is_not_taken));
    assert!(other.try_recv().is_err());
    assert_eq!(
        (inner.waiting, inner.octets, inner.conversations.len()),
        (1, 1_000, 0)
    );
}

#[test]
fn what_the_peer_may_have_is_never_said_not_to_be_taken() {
    let mut inner = Inner::default();
    let mut fate = ask(&mut inner, "1", Some("ada bea"));
    for failure in [&UNSURE, &DOWN, &DOWN] {
        let items = inner.take_document(&PACE);
        let failed = inner.failed(items, failure);
        assert_eq!(failed.told.unsure().count(), usize::from(failed.again.is_empty()));
        failed.told.tell();
        inner.put_back(failed.again);
    }
    let fate = fate.try_recv().unwrap();
    assert_eq!(fate, Err(LinkFault::UnderWay(TransactionId::new("1"))));
}

#[test]
fn what_the_peer_may_have_is_given_up_as_such_before_it_goes_again() {
    let mut inner = Inner::default();
    let _fate = ask(&mut inner, "1", Some("ada bea"));
    let items = inner.take_document(&PACE);
    let failed = inner.failed(items, &UNSURE);
    inner.put_back(failed.again);
    let (outstanding, _) = inner.give_up("1");
    assert_eq!(outstanding.map(|one| one.stage), Some(Stage::Unsure));
}

#[test]
fn what_was_given_up_says_whether_the_peer_may_have_it() {
    for (failure, fallen) in [(&UNSURE, Fallen::Unsure), (&DOWN, Fallen::NotTaken)] {
        let mut inner = Inner::default();
        let _fate = ask(&mut inner, "1", Some("ada bea"));
        let items = inner.take_document(&PACE);
        let _ = inner.give_up("1");
        let id = TransactionId::new("1");
        assert_eq!(inner.failed(items, failure).given_up, [(id, fallen)]);
    }
}

#[test]
fn giving_up_one_that_waits_behind_leaves_those_before_it() {
    let mut inner = Inner::default();
    let mut fates = ["1", "2", "3"].map(|id| ask(&mut inner, id, Some("ada bea")));
    let (outstanding, told) = inner.give_up("2");
    assert_eq!(outstanding.map(|one| one.stage), Some(Stage::Waits));
    told.tell();
    assert!(!is_not_taken(&mut fates[0]));
    assert!(is_not_taken(&mut fates[2]));
    assert_eq!(names(&inner.take_document(&PACE)), ["1"]);
    assert_eq!((inner.waiting, inner.octets), (1, 1_000));
}

#[test]
fn failing_all_that_waits_leaves_the_heads_under_way_their_conversations() {
    let mut inner = Inner::default();
    let mut first = ask(&mut inner, "1", Some("ada bea"));
    let items = inner.take_document(&PACE);
    let mut behind = ask(&mut inner, "2", Some("ada bea"));
    let mut ready = ask(&mut inner, "3", Some("bea ada"));
    inner.fail_all("no session").tell();
    assert!(is_not_taken(&mut behind) && is_not_taken(&mut ready));
    assert!(first.try_recv().is_err());
    // What comes now still waits for the first.
    let _next = ask(&mut inner, "4", Some("ada bea"));
    assert!(inner.take_document(&PACE).is_empty());
    inner.acknowledged(items.into_iter()).tell();
    let answered = inner.take_answered(&TransactionId::new("1")).unwrap();
    let _ = answered
        .done
        .send(Ok(Some(Status::new(StatusCode::SUCCESS).into())));
    assert_eq!(names(&inner.take_document(&PACE)), ["4"]);
    assert_eq!((inner.waiting, inner.octets), (1, 1_000));
}

#[test]
fn bounds_count_requests_and_octets() {
    let mut inner = Inner::default();
    let _fates = ["1", "2", "3"].map(|id| ask(&mut inner, id, None));
    assert!(inner.has_room(7_000, &PACE));
    assert!(!inner.has_room(7_001, &PACE));
    let _fourth = ask(&mut inner, "4", None);
    assert!(!inner.has_room(1, &PACE));
}

#[test]
fn only_a_document_of_its_own_says_that_a_request_ends_connections() {
    let closed_in = |session| Failure {
        closed_in: Some(session),
        ..DOWN
    };
    let mut inner = Inner::default();
    let mut fate = ask(&mut inner, "1", None);
    let _other = ask(&mut inner, "2", None);
    for (session, together) in [("s-1", 2), ("s-2", 1)] {
        let items = inner.take_document(&PACE);
        assert_eq!(items.len(), together);
        let failed = inner.failed(items, &closed_in(session));
        failed.told.tell();
        inner.put_back(failed.again);
        assert!(fate.try_recv().is_err(), "{session}");
    }
    let failed = {
        let items = inner.take_document(&PACE);
        inner.failed(items, &closed_in("s-3"))
    };
    failed.told.tell();
    assert_eq!(fate.try_recv(), Ok(Err(LinkFault::EndsConnections)));
}

#[test]
fn request_that_a_closed_connection_may_have_brought_is_given_back_as_such() {
    let mut inner = Inner::default();
    let mut fates = ["1", "2"].map(|id| ask(&mut inner, id, None));
    let closed = Failure {
        closed_in: Some("s-1"),
        ..DOWN
    };
    for failure in [&closed, &DOWN] {
        let items = inner.take_document(&PACE);
        let failed = inner.failed(items, failure);
        failed.told.tell();
        inner.put_back(failed.again);
    }
    let (given_up, _) = inner.give_up("2");
    assert_eq!(given_up.map(|one| one.stage), Some(Stage::Closed));
    inner.fail_all("no session").tell();
    let closed = LinkFault::Closed("no session".into());
    assert_eq!(fates[0].try_recv(), Ok(Err(closed)));
}

#[test]
fn request_that_is_given_up_during_its_pause_is_not_put_back() {
    let mut inner = Inner::default();
    let _fate = ask(&mut inner, "1", None);
    let items = inner.take_document(&PACE);
    let failed = inner.failed(items, &DOWN);
    let (outstanding, _) = inner.give_up("1");
    assert_eq!(outstanding.map(|one| one.stage), Some(Stage::Waits));
    inner.put_back(failed.again);
    assert_eq!((inner.ready.len(), inner.waiting, inner.octets), (0, 0, 0));
}
