//! What was sent, what was promised for it, and when: the books that a run must balance.
//!
//! Every message has a line, found by its number. A message that was accepted must have arrived exactly once; where a report
//! was asked for, exactly one must have come back.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde::Serialize;

/// One line a message.
pub(super) struct Ledger {
    epoch: Instant,
    lines: Mutex<Vec<Line>>,
}

#[derive(Clone, Copy, Debug)]
struct Line {
    /// When it was due, in nanoseconds since the epoch.
    due: u64,
    /// When it was answered, likewise; 0 before.
    answered: u64,
    /// The status that it was answered with; 0 before.
    code: u16,
    /// Reports that came.
    reports: u8,
    wants_report: bool,
}

/// Whether everything that was promised was done.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Balance {
    /// Messages sent, priming and warm-up included.
    pub sent: u64,
    /// Answered with success.
    pub accepted: u64,
    /// Answered with anything else.
    pub refused: u64,
    /// Never answered.
    pub unanswered: u64,
    /// Accepted, and never arrived.
    pub lost: u64,
    /// Arrived more than once.
    pub repeated: u64,
    /// Refused, and arrived all the same.
    pub refused_but_arrived: u64,
    /// Accepted with a report asked for, which never came.
    pub reports_missing: u64,
    /// Reports beyond the first of a message.
    pub reports_repeated: u64,
}

impl Balance {
    /// Whether the books balance.
    #[must_use]
    pub fn holds(&self) -> bool {
        let Self {
            sent,
            accepted,
            refused: _,
            unanswered,
            lost,
            repeated,
            refused_but_arrived,
            reports_missing,
            reports_repeated,
        } = *self;
        sent > 0
            && accepted > 0
            && [
                unanswered,
                lost,
                repeated,
                refused_but_arrived,
                reports_missing,
                reports_repeated,
            ] == [0; 6]
    }
}

/// How long things took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    /// Half were faster, in milliseconds.
    pub p50_ms: f64,
    /// 99 of 100 were faster.
    pub p99_ms: f64,
    /// 999 of 1,000 were faster.
    pub p999_ms: f64,
    /// The slowest.
    pub max_ms: f64,
}

impl Latency {
    /// Of these times in nanoseconds.
    pub(super) fn of(mut times: Vec<u64>) -> Self {
        times.sort_unstable();
        let at = |share: f64| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "an index within the list, and times below a day"
            )]
            let index = ((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1));
            #[expect(clippy::cast_precision_loss, reason = "times below a day")]
            let nanoseconds = times.get(index).copied().unwrap_or_default() as f64;
            nanoseconds / 1e6
        };
        Self {
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: at(1.0),
        }
    }
}

impl Ledger {
    pub(super) fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            lines: Mutex::default(),
        }
    }

    /// Opens lines for messages that are due now or were due a moment ago; the number of the first.
    pub(super) fn open(&self, count: usize, due: Instant, wants_report: bool) -> usize {
        let line = Line {
            due: self.at(due),
            answered: 0,
            code: 0,
            reports: 0,
            wants_report,
        };
        let mut lines = self.lock();
        let first = lines.len();
        lines.resize(first + count, line);
        first
    }

    /// A message was answered; whether it is the first answer.
    pub(super) fn answered(&self, number: usize, code: u16, now: Instant) -> bool {
        let at = self.at(now);
        let mut lines = self.lock();
        let Some(line) = lines.get_mut(number).filter(|line| line.code == 0) else {
            return false;
        };
        line.code = code;
        line.answered = at;
        true
    }

    pub(super) fn reported(&self, number: usize) {
        if let Some(line) = self.lock().get_mut(number) {
            line.reports = line.reports.saturating_add(1);
        }
    }

    /// Whether every message was answered.
    pub(super) fn is_settled(&self) -> bool {
        // From the end, because what is open was sent last.
        !self.lock().iter().rev().any(|line| line.code == 0)
    }

    /// How many messages were sent so far.
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Times from due to answered of the messages from `first` on, and when the last answer came.
    pub(super) fn times(&self, first: usize) -> (Vec<u64>, Duration) {
        let lines = self.lock();
        let answered = || lines.iter().skip(first).filter(|line| line.code / 100 == 2);
        let last = answered().map(|line| line.answered).max().unwrap_or_default();
        let times = answered()
            .map(|line| line.answered.saturating_sub(line.due))
            .collect();
        (times, Duration::from_nanos(last))
    }

    /// The books, against how often each message arrived.
    pub(super) fn balance(&self, arrivals: &[u8]) -> Balance {
        let lines = self.lock();
        let mut balance = Balance {
            sent: lines.len() as u64,
            ..Balance::default()
        };
        for (number, line) in lines.iter().enumerate() {
            let arrived = arrivals.get(number).copied().unwrap_or_default();
            let is_accepted = line.code / 100 == 2;
            balance.accepted += u64::from(is_accepted);
            balance.refused += u64::from(!is_accepted && line.code != 0);
            balance.unanswered += u64::from(line.code == 0);
            balance.lost += u64::from(is_accepted && arrived == 0);
            balance.repeated += u64::from(arrived > 1);
            balance.refused_but_arrived += u64::from(line.code != 0 && !is_accepted && arrived > 0);
            balance.reports_missing += u64::from(is_accepted && line.wants_report && line.reports == 0);
            balance.reports_repeated += u64::from(line.reports.saturating_sub(1));
        }
        balance
    }

    /// Time since the epoch.
    pub(super) fn since_epoch(&self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.epoch)
    }

    fn at(&self, instant: Instant) -> u64 {
        u64::try_from(self.since_epoch(instant).as_nanos()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn books_balance_only_when_each_accepted_message_arrived_once() {
        #[expect(clippy::disallowed_methods, reason = "an Instant can't be made from nothing")]
        let now = Instant::now();
        let ledger = Ledger::new(now);
        assert_eq!(ledger.open(2, now, true), 0);
        assert_eq!(ledger.open(2, now, false), 2);
        for (number, code) in [(0, 200), (1, 531), (2, 200)] {
            assert!(ledger.answered(number, code, now));
            assert!(
                !ledger.answered(number, code, now),
                "only the first answer counts"
            );
        }
        ledger.reported(0);
        let short = ledger.balance(&[1, 0, 0]);
        assert_eq!((short.lost, short.unanswered, short.refused), (1, 1, 1));
        assert!(!short.holds());
        ledger.answered(3, 200, now);
        assert!(ledger.balance(&[1, 0, 1, 1]).holds());
        assert_eq!(ledger.balance(&[1, 0, 2, 1]).repeated, 1);
        assert_eq!(ledger.balance(&[1, 1, 1, 1]).refused_but_arrived, 1);
        ledger.reported(0);
        assert_eq!(ledger.balance(&[1, 0, 1, 1]).reports_repeated, 1);
    }

    #[test]
    fn percentiles_are_of_the_sorted_times() {
        let times = (1..=1000).rev().map(|ms| ms * 1_000_000).collect();
        let latency = Latency::of(times);
        assert_eq!(
            (latency.p50_ms, latency.p99_ms, latency.max_ms),
            (501.0, 991.0, 1000.0)
        );
        assert_eq!(Latency::of(Vec::new()), Latency::default());
    }
}
