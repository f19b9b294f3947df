//! Which server to try first, and which ones to leave for last because they failed just now.
//!
//! The weighted draw of RFC 2782 is made anew for each attempt. A server that failed is set aside for a while that
//! doubles with each failure; it then comes last, never not at all, so a domain stays reachable while any of its servers
//! is. When the time is over one attempt probes it while others still leave it for last.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::{
    config::SetAsideConfig,
    plan::{Candidate, HostAddress},
};
use crate::{
    model::Timestamp,
    wire::naptr::{Name, Srv, draw_order},
};

/// The live health of servers, by host and port.
#[derive(Debug)]
pub struct Health {
    config: SetAsideConfig,
    marks: Mutex<HashMap<HostAddress, Mark>>,
}

/// A server that failed.
#[derive(Clone, Copy, Debug)]
struct Mark {
    failures: u32,
    until: Timestamp,
}

/// A server that is set aside.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SetAside {
    /// Which.
    pub server: HostAddress,
    /// Failures one after the other.
    pub failures: u32,
    /// When it is probed.
    pub until: Timestamp,
}

impl Health {
    /// All servers are healthy.
    #[must_use]
    pub fn new(config: SetAsideConfig) -> Self {
        Self {
            config,
            marks: Mutex::new(HashMap::new()),
        }
    }

    /// All candidates in the order of trying, by RFC 2782, those set aside last; to look at it changes nothing. `draw(n)` returns a number from 0 to
    /// `n`, both included, each equally likely.
    pub fn order(
        &self,
        candidates: &[Candidate],
        draw: &mut impl FnMut(u32) -> u32,
        now: Timestamp,
    ) -> Vec<Candidate> {
        let ranked: Vec<_> = candidates.iter().map(Ranked::new).collect();
        let ordered = draw_order(ranked, draw);
        let marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let is_healthy = |candidate: &Candidate| {
            let mark = marks.get(&candidate.host_address());
            mark.is_none_or(|mark| now >= mark.until)
        };
        let (mut healthy, mut aside): (Vec<_>, Vec<_>) = ordered
            .into_iter()
            .map(|ranked| ranked.candidate.clone())
            .partition(is_healthy);
        healthy.append(&mut aside);
        healthy
    }

    /// An attempt at a server begins. When its time is over, this attempt probes it; the next ones leave it for last until the
    /// result is known or the time is over again.
    pub fn begin(&self, server: &HostAddress, now: Timestamp) {
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mark) = marks.get_mut(server)
            && now >= mark.until
        {
            mark.until = now.plus(self.config.first);
        }
    }

    /// What an attempt came to: whether the server could be reached and spoke the protocol, not what it said.
    pub fn report(&self, server: &HostAddress, reached: bool, now: Timestamp) {
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        if reached {
            if marks.remove(server).is_some() {
                tracing::info!(%server, "a server can be reached again");
            }
            return;
        }
        if marks.len() >= MAX_MARKS && !marks.contains_key(server) {
            let forgotten = now.minus(self.config.longest);
            marks.retain(|_, mark| mark.until > forgotten);
            if marks.len() >= MAX_MARKS {
                return;
            }
        }
        let mark = marks.entry(server.clone()).or_insert(Mark {
            failures: 0,
            until: now,
        });
        if mark.failures == 0 {
            tracing::warn!(%server, "a server can't be reached; it is tried after all others until it answers");
        }
        mark.failures = mark.failures.saturating_add(1);
        mark.until = now.plus(self.config.after(mark.failures));
    }

    /// Whether the last attempt at a server failed, however long ago.
    #[must_use]
    pub fn is_failing(&self, server: &HostAddress) -> bool {
        let marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        marks.contains_key(server)
    }

    /// Whether a server is set aside now.
    #[must_use]
    pub fn is_set_aside(&self, server: &HostAddress, now: Timestamp) -> bool {
        let marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        marks.get(server).is_some_and(|mark| now < mark.until)
    }

    /// The servers that are set aside, in the order of their names.
    #[must_use]
    pub fn set_aside(&self, now: Timestamp) -> Vec<SetAside> {
        let marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let mut aside: Vec<_> = marks
            .iter()
            .filter(|(_, mark)| now < mark.until)
            .map(|(server, mark)| SetAside {
                server: server.clone(),
                failures: mark.failures,
                until: mark.until,
            })
            .collect();
        aside.sort_by(|one, other| one.server.cmp(&other.server));
        aside
    }
}

impl SetAsideConfig {
    /// How long after so many failures, 1 or more.
    fn after(&self, failures: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(failures.saturating_sub(1).min(20));
        self.first.saturating_mul(doubled).min(self.longest)
    }
}

/// A candidate as an SRV record, which is what is arranged.
#[derive(Clone)]
struct Ranked<'a> {
    srv: Srv,
    candidate: &'a Candidate,
}

impl<'a> Ranked<'a> {
    fn new(candidate: &'a Candidate) -> Self {
        Self {
            srv: Srv {
                priority: candidate.priority,
                weight: candidate.weight,
                port: candidate.port,
                // Only priority and weight count here.
                target: candidate.host.parse().unwrap_or_else(|_| Name::root()),
            },
            candidate,
        }
    }
}

impl AsRef<Srv> for Ranked<'_> {
    fn as_ref(&self) -> &Srv {
        &self.srv
    }
}

/// Servers that are remembered; a domain has a handful.
const MAX_MARKS: usize = 10_000;

#[cfg(test)]
mod tests;
