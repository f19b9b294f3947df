//! Tells in time that a certificate, an authority or a revocation list ends.
//!
//! Looked at once at the start, after each reload and daily: the days left are a metric, and a warning is written when 30, 7
//! and 1 days are left, and every day once it is over. What ends is read from the files by `certificates.rs`.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::future::select_all;

use super::certificates::{Certificates, Expiring, Expiry};
use crate::telemetry::{Clock, Metrics};

/// Watches the certificates in force, of all listeners, for as long as it is polled.
///
/// # Cancel safety
/// May be dropped at any time.
pub async fn watch_expiries(certificates: Vec<Arc<Certificates>>, metrics: Arc<Metrics>, clock: Clock) {
    let mut changes: Vec<_> = certificates.iter().map(|one| one.changes()).collect();
    let mut told = Told::default();
    loop {
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(clock.now().0);
        let mut expiries: Vec<Expiry> = certificates.iter().flat_map(|one| one.expiries()).collect();
        expiries.sort_by_key(|expiry| expiry.at);
        set_days(&metrics, &expiries, now);
        for expiry in told.due(&expiries, now) {
            warn(expiry, now);
        }
        tokio::select! {
            () = tokio::time::sleep(DAY) => {}
            // The senders are in `certificates`, which this holds.
            _ = select_all(changes.iter_mut().map(|one| Box::pin(one.changed()))) => {}
        }
    }
}

/// What was told already.
#[derive(Debug, Default)]
struct Told(HashMap<(Expiring, String, SystemTime), Threshold>);

/// How near the end is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Threshold {
    Month,
    Week,
    Day,
    Over,
}

impl Told {
    /// What has come nearer to its end than was told so far; what is over is told each time.
    fn due<'a>(&mut self, expiries: &'a [Expiry], now: SystemTime) -> Vec<&'a Expiry> {
        // A certificate that was replaced is not watched any more.
        self.0
            .retain(|known, _| expiries.iter().any(|expiry| key(expiry) == *known));
        let mut is_due = |expiry: &Expiry| {
            let Some(reached) = Threshold::of(expiry, now) else {
                return false;
            };
            let before = self.0.insert(key(expiry), reached);
            reached == Threshold::Over || before.is_none_or(|before| before < reached)
        };
        expiries.iter().filter(|expiry| is_due(expiry)).collect()
    }
}

impl Threshold {
    fn of(expiry: &Expiry, now: SystemTime) -> Option<Self> {
        let left = expiry.at.duration_since(now).unwrap_or_default();
        if expiry.is_over(now) {
            Some(Self::Over)
        } else if left <= DAY {
            Some(Self::Day)
        } else if left <= DAY * 7 {
            Some(Self::Week)
        } else {
            (left <= DAY * 30).then_some(Self::Month)
        }
    }
}

/// Of two with one name, which is usual while one follows the other, the later is shown.
fn set_days(metrics: &Metrics, soonest_first: &[Expiry], now: SystemTime) {
    metrics.clear_certificates();
    for expiry in soonest_first {
        metrics.certificate(expiry.what.name(), &expiry.name, expiry.days_left(now));
    }
}

fn warn(expiry: &Expiry, now: SystemTime) {
    let (what, name, days) = (expiry.what.name(), &expiry.name, expiry.days_left(now));
    if expiry.is_over(now) {
        tracing::warn!(what, name, "has ended; replace it and reload");
    } else {
        tracing::warn!(what, name, days, "ends soon; replace it and reload");
    }
}

fn key(expiry: &Expiry) -> (Expiring, String, SystemTime) {
    (expiry.what, expiry.name.clone(), expiry.at)
}

const DAY: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_threshold_is_told_once_and_the_end_every_time() {
        let mut told = Told::default();
        let expiries = [ends_on(100)];
        let days_told: Vec<u32> = (0..103)
            .filter(|day| !told.due(&expiries, on(*day)).is_empty())
            .collect();
        assert_eq!(days_told, [70, 93, 99, 100, 101, 102]);
    }

    #[test]
    fn start_near_the_end_tells_the_nearest_threshold_at_once() {
        let mut told = Told::default();
        let expiries = [ends_on(100)];
        assert_eq!(told.due(&expiries, on(95)).len(), 1);
        assert_eq!(told.due(&expiries, on(96)).len(), 0);
        assert_eq!(told.due(&expiries, on(99)).len(), 1);
    }

    #[test]
    fn replaced_certificate_is_forgotten_and_its_successor_told_anew() {
        let mut told = Told::default();
        assert_eq!(told.due(&[ends_on(100)], on(99)).len(), 1);
        assert_eq!(told.due(&[ends_on(500)], on(99)).len(), 0);
        assert!(told.0.is_empty());
        assert_eq!(told.due(&[ends_on(500)], on(480)).len(), 1);
    }

    #[test]
    fn days_left_are_on_the_metrics_page_and_go_with_the_certificate() {
        let metrics = Metrics::new();
        set_days(&metrics, &[ends_on(100)], on(58));
        let line = "impsgw_ssp_certificate_days{kind=\"identity\",name=\"CN=alpha\"} 42";
        assert!(metrics.text().contains(line), "{}", metrics.text());
        set_days(&metrics, &[], on(58));
        assert!(!metrics.text().contains("CN=alpha"));
    }

    fn ends_on(day: u32) -> Expiry {
        Expiry {
            what: Expiring::Identity,
            name: "CN=alpha".to_owned(),
            at: on(day),
        }
    }

    fn on(day: u32) -> SystemTime {
        SystemTime::UNIX_EPOCH + DAY * day
    }
}
