use super::*;
use crate::model::{Service, Step, Stop};

fn book(config: &TrailConfig) -> (tempfile::TempDir, TrailBook) {
    let dir = tempfile::tempdir().unwrap();
    let (clock, _) = Clock::standing(Timestamp(1_800_000_000_000));
    let book = TrailBook::open(dir.path().join("trails"), config, clock).unwrap();
    (dir, book)
}

fn trail(id: u64, recipient: &str, event: StepEvent) -> TrailRecord {
    let step = |stop, event| Step {
        after: Duration::from_millis(3),
        stop,
        event,
    };
    let received = StepEvent::Received {
        request: "SendMessage".into(),
        service: Service::Message,
        from: "beta".into(),
        protocol: "ssp".into(),
        sender: Some("wv:bea@beta.example".parse().unwrap()),
        recipients: vec![recipient.parse().unwrap()],
    };
    TrailRecord {
        id: TrailId(id),
        started: Timestamp(1_800_000_000_000 + id),
        steps: vec![step(Stop::Listen, received), step(Stop::Answer, event)],
    }
}

fn refused() -> StepEvent {
    StepEvent::Refused {
        reason: "no agreement".into(),
    }
}

fn answered() -> StepEvent {
    StepEvent::Answered {
        outcome: "done".into(),
    }
}

const NO_SAMPLE: TrailConfig = TrailConfig {
    max_size: ByteSize(8 << 20),
    keep: DAY,
    keep_summaries: Duration::from_secs(30 * 86_400),
    sample: 0,
};

#[test]
fn failed_request_is_kept_in_full_and_a_good_one_as_summary() {
    let (_dir, book) = book(&NO_SAMPLE);
    book.keep(trail(1, "wv:+447700900123", refused()));
    book.keep(trail(2, "wv:+447700900123", answered()));
    let found = book.by_word("+447700900123", 10).unwrap();
    assert_eq!(found.trails, [trail(1, "wv:+447700900123", refused())]);
    assert_eq!(found.summaries.len(), 1);
    assert_eq!(found.summaries[0].id, TrailId(2));
    assert_eq!(book.by_id(TrailId(2)).unwrap().summaries[0].outcome, "done");
}

#[test]
fn beginning_of_a_number_finds_nothing() {
    let (_dir, book) = book(&NO_SAMPLE);
    book.keep(trail(1, "wv:+447700900123", refused()));
    let found = book.by_word("+44770090012", 10).unwrap();
    assert!(found.trails.is_empty() && found.summaries.is_empty(), "{found:?}");
}

#[test]
fn followed_number_is_kept_in_full() {
    let (_dir, book) = book(&NO_SAMPLE);
    book.follow("+447700900123", Timestamp(1_800_000_001_000));
    book.keep(trail(1, "wv:+447700900123@alpha.example", answered()));
    book.keep(trail(2, "wv:+447700900124", answered()));
    assert_eq!(book.by_id(TrailId(1)).unwrap().trails.len(), 1);
    assert_eq!(book.by_id(TrailId(2)).unwrap().trails.len(), 0);
}

#[test]
fn following_ends_by_itself() {
    let (_dir, book) = book(&NO_SAMPLE);
    book.follow("+447700900123", Timestamp(1_799_999_999_999));
    book.keep(trail(1, "wv:+447700900123", answered()));
    assert!(book.by_id(TrailId(1)).unwrap().trails.is_empty());
    assert!(book.followed().is_empty());
}

#[test]
fn ring_stays_within_its_bound() {
    let (dir, book) = book(&NO_SAMPLE);
    let long = "x".repeat(60_000);
    for id in 0..250 {
        book.keep(trail(
            id,
            "wv:+447700900123",
            StepEvent::Refused { reason: long.clone() },
        ));
        if id % 50 == 0 {
            book.settle();
        }
    }
    book.settle();
    let size: u64 = files(&dir.path().join("trails"), FULL)
        .unwrap()
        .iter()
        .map(|path| fs::metadata(path).unwrap().len())
        .sum();
    assert!(size <= 8 << 20, "{size}");
    assert_eq!(book.by_id(TrailId(249)).unwrap().trails.len(), 1);
    assert_eq!(book.by_id(TrailId(0)).unwrap().trails.len(), 0);
    assert_eq!(book.by_id(TrailId(0)).unwrap().summaries.len(), 1);
}

#[test]
fn summary_has_200_octets_at_most() {
    let recipient = format!("wv:{}@beta.example", "ä".repeat(80));
    let reason = "very\tlong\n".repeat(40);
    let summary = TrailSummary::of(&trail(1, &recipient, StepEvent::Refused { reason }));
    assert!(summary.line().len() < 200, "{}", summary.line());
    assert_eq!(TrailSummary::parse(&summary.line()), Some(summary));
}

#[test]
fn book_is_found_again_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, _) = Clock::standing(Timestamp(1_800_000_000_000));
    let first = TrailBook::open(dir.path().into(), &NO_SAMPLE, clock.clone()).unwrap();
    first.keep(trail(7, "wv:+447700900123", refused()));
    drop(first);
    let second = TrailBook::open(dir.path().into(), &NO_SAMPLE, clock).unwrap();
    assert_eq!(second.by_id(TrailId(7)).unwrap().trails.len(), 1);
}

#[test]
fn look_up_within_a_budget_reads_the_newest_lines() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, "first line\nsecondä line\nthird line\n").unwrap();
    let mut seen = Vec::new();
    let mut budget = 15;
    each_line(&path, &mut budget, |line| seen.push(line.to_owned())).unwrap();
    assert_eq!(seen, ["third line"]);
    assert_eq!(budget, 0);
}

#[test]
fn what_goes_on_from_the_store_is_kept_in_full() {
    let (_dir, book) = book(&NO_SAMPLE);
    let closed = StepEvent::Note {
        text: "a late answer".into(),
    };
    let step = Step {
        after: Duration::ZERO,
        stop: Stop::Deliver,
        event: closed,
    };
    book.keep(TrailRecord {
        id: TrailId(7),
        started: Timestamp(1_800_000_000_000),
        steps: vec![step],
    });
    book.keep(trail(
        8,
        "wv:+447700900123",
        StepEvent::Answered {
            outcome: "done".into(),
        },
    ));
    assert_eq!(book.by_id(TrailId(7)).unwrap().trails.len(), 1);
    assert_eq!(book.by_id(TrailId(8)).unwrap().trails.len(), 0);
}
