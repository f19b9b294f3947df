use proptest::{collection::vec, prelude::*};

use super::*;

const BOUNDS: Bounds = Bounds {
    in_flight: 200,
    per_second: 1000,
    share: Share::Part { place: 0, of: 1 },
};

/// What may happen to a pace.
#[derive(Clone, Copy, Debug)]
enum Event {
    Begin,
    /// The oldest delivery under way ends.
    End(Went),
    /// The clock goes on, or is set back.
    Pass(i32),
    Bound(Bounds),
    IsBack,
}

fn event() -> impl Strategy<Value = Event> {
    let went = prop_oneof![Just(Went::Well), Just(Went::Badly), Just(Went::Unsaid)];
    let bounds = (1_u32..300, 1_u32..3000).prop_map(|(in_flight, per_second)| Bounds {
        in_flight,
        per_second,
        share: Share::default(),
    });
    prop_oneof![
        8 => Just(Event::Begin),
        6 => went.prop_map(Event::End),
        3 => (-500_i32..3000).prop_map(Event::Pass),
        1 => bounds.prop_map(Event::Bound),
        1 => Just(Event::IsBack),
    ]
}

proptest! {
    /// Whatever happens: limits stay between one and the agreement's, nothing begins beyond them, and a second with nothing
    /// under way always lets one begin.
    #[test]
    fn limits_hold_and_never_close_for_good(events in vec(event(), 0..400)) {
        let mut now = Timestamp(10_000_000);
        let mut pace = Pace::new(BOUNDS, now);
        let mut tickets = std::collections::VecDeque::new();
        for event in events {
            match event {
                Event::Begin => {
                    let before = pace.standing();
                    if let Some(ticket) = pace.begin(now) {
                        prop_assert!(before.in_flight < before.window, "{before:?}");
                        tickets.push_back(ticket);
                    }
                }
                Event::End(went) => {
                    if let Some(ticket) = tickets.pop_front() {
                        pace.end(ticket, went, now);
                    }
                }
                Event::Pass(by) if by < 0 => now = now.minus(Duration::from_millis(by.unsigned_abs().into())),
                Event::Pass(by) => now = now.plus(Duration::from_millis(by.unsigned_abs().into())),
                Event::Bound(bounds) => pace.bound(bounds),
                Event::IsBack => pace.is_back(),
            }
            let stands = pace.standing();
            prop_assert_eq!(stands.in_flight as usize, tickets.len());
            prop_assert!((1..=pace.bounds.in_flight).contains(&stands.window), "{:?}", stands);
            prop_assert!((1..=pace.bounds.per_second).contains(&stands.per_second), "{:?}", stands);
            prop_assert!(pace.tokens >= 0.0 && pace.tokens <= pace.rate.max(1.0), "{:?}", pace);
        }
        while let Some(ticket) = tickets.pop_front() {
            pace.end(ticket, Went::Badly, now);
        }
        // A clock that was set back is noticed when the pace is next asked; the second counts from there.
        let _ = pace.room(now);
        now = now.plus(SECOND);
        prop_assert!(pace.begin(now).is_some(), "{:?}", pace);
    }

    /// No more begin in a second than the rate and what had been saved up.
    #[test]
    fn rate_holds_over_any_second(most in 1_u32..500, steps in vec(0_u64..200, 1..200)) {
        let bounds = Bounds { in_flight: u32::MAX, per_second: most, share: Share::default() };
        let mut now = Timestamp(10_000_000);
        let mut pace = Pace::new(bounds, now);
        let mut begun: Vec<Timestamp> = Vec::new();
        for step in steps {
            now = now.plus(Duration::from_millis(step));
            begun.extend(std::iter::from_fn(|| pace.begin(now).map(|_| now)));
            let recent = begun.iter().filter(|at| at.until(now) < SECOND).count();
            prop_assert!(recent <= 2 * most as usize, "{recent} of {most}");
        }
    }
}

/// Lets so many begin and end in this way, as fast as the pace allows; how long it took.
fn play(pace: &mut Pace, now: &mut Timestamp, count: usize, went: Went) -> Duration {
    let began = *now;
    for _ in 0..count {
        let ticket = loop {
            match pace.begin(*now) {
                Some(ticket) => break ticket,
                None => *now = now.plus(Duration::from_millis(10)),
            }
        };
        pace.end(ticket, went, *now);
    }
    began.until(*now)
}

#[test]
fn peer_that_fails_is_soon_asked_once_a_second() {
    let mut now = Timestamp(10_000_000);
    let mut pace = Pace::new(BOUNDS, now);
    play(&mut pace, &mut now, 12, Went::Badly);
    let stands = pace.standing();
    assert_eq!((stands.window, stands.per_second, stands.is_cut), (1, 1, true));
    let took = play(&mut pace, &mut now, 10, Went::Badly);
    assert!(took >= Duration::from_secs(9), "{took:?}");
}

#[test]
fn peer_that_answers_again_gets_all_that_is_agreed_again() {
    let mut now = Timestamp(10_000_000);
    let mut pace = Pace::new(BOUNDS, now);
    play(&mut pace, &mut now, 50, Went::Badly);
    let took = play(&mut pace, &mut now, 100_000, Went::Well);
    assert!(!pace.standing().is_cut, "{:?}", pace.standing());
    assert!(took < Duration::from_secs(300), "{took:?}");
}

#[test]
fn one_failure_leaves_a_fair_part() {
    let mut now = Timestamp(10_000_000);
    let most = Bounds {
        in_flight: 1000,
        per_second: 10_000,
        share: Share::default(),
    };
    let mut pace = Pace::new(most, now);
    play(&mut pace, &mut now, 1, Went::Badly);
    let stands = pace.standing();
    assert!(stands.window >= 7 && stands.per_second >= 70, "{stands:?}");
}

#[test]
fn what_had_begun_before_a_cut_does_not_cut_again() {
    let now = Timestamp(10_000_000);
    let mut pace = Pace::new(BOUNDS, now);
    let tickets: Vec<_> = (0..200).filter_map(|_| pace.begin(now)).collect();
    assert_eq!(tickets.len(), 200);
    for ticket in tickets {
        pace.end(ticket, Went::Badly, now);
    }
    assert_eq!(pace.standing().window, 100);
}

#[test]
fn what_says_nothing_of_the_peer_changes_nothing() {
    let mut now = Timestamp(10_000_000);
    let mut pace = Pace::new(BOUNDS, now);
    play(&mut pace, &mut now, 20, Went::Unsaid);
    assert!(!pace.standing().is_cut);
    play(&mut pace, &mut now, 3, Went::Badly);
    let cut = pace.standing();
    play(&mut pace, &mut now, 20, Went::Unsaid);
    assert_eq!(pace.standing(), cut);
}

#[test]
fn clock_that_is_set_back_holds_nothing_up() {
    let now = Timestamp(10_000_000);
    let mut pace = Pace::new(
        Bounds {
            in_flight: 10,
            per_second: 1,
            share: Share::default(),
        },
        now,
    );
    assert!(pace.begin(now).is_some());
    assert!(pace.begin(now).is_none());
    let earlier = now.minus(Duration::from_secs(3600));
    assert!(pace.begin(earlier).is_none());
    assert!(pace.begin(earlier.plus(SECOND)).is_some());
}

#[test]
fn changed_agreement_holds_at_once() {
    let mut now = Timestamp(10_000_000);
    let mut pace = Pace::new(BOUNDS, now);
    let narrow = Bounds {
        in_flight: 2,
        per_second: 5,
        ..BOUNDS
    };
    pace.bound(narrow);
    assert_eq!(pace.room(now), 2);
    pace.bound(BOUNDS);
    assert_eq!(pace.standing().window, 200);
    play(&mut pace, &mut now, 1, Went::Badly);
    let cut = pace.standing().window;
    pace.bound(Bounds {
        in_flight: 400,
        ..BOUNDS
    });
    assert_eq!(pace.standing().window, cut);
}

/// What was learnt is the peer's: half as much for half of the nodes is the same in all.
#[test]
fn another_part_of_the_agreement_is_another_part_of_what_was_learnt() {
    let mut now = Timestamp(10_000_000);
    let part = |of| {
        let share = Share::Part { place: 0, of };
        let (in_flight, per_second) = (share.part(BOUNDS.in_flight), share.part(BOUNDS.per_second));
        Bounds {
            in_flight,
            per_second,
            share,
        }
    };
    let mut pace = Pace::new(part(1), now);
    pace.bound(part(2));
    assert_eq!((pace.standing().window, pace.standing().per_second), (100, 500));
    pace.bound(part(1));
    assert_eq!((pace.standing().window, pace.standing().is_cut), (200, false));
    for _ in 0..150 {
        pace.begin(now).unwrap();
    }
    play(&mut pace, &mut now, 1, Went::Badly);
    let (cut, rate) = (pace.window, pace.rate);
    pace.bound(part(4));
    assert!(
        (pace.window - (cut / 4.0).max(1.0)).abs() < 0.001,
        "{}",
        pace.window
    );
    assert!((pace.rate - (rate / 4.0).max(1.0)).abs() < 0.001, "{}", pace.rate);
    assert!(pace.standing().is_cut);
    pace.bound(part(1));
    assert!(
        pace.window <= cut + 4.0 && pace.standing().is_cut,
        "{}",
        pace.window
    );
}
