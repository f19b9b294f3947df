//! What is held, shown to NOC staff: answers, numbers and domains, by number, prefix, domain and state.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{DomainKey, Facts, NumberEntry, NumberKey, Routes, Slot, Target};
use crate::{
    model::{Domain, Timestamp},
    routing::{
        fact::{Fact, Finding, Question},
        overrides::NumberPrefix,
        plan::{Plan, RouteFailure, RouteService},
    },
};

/// Which entries are meant; all conditions together, none means all.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheFilter {
    /// Entries about numbers that begin so; a whole number is one as well.
    pub number: Option<NumberPrefix>,
    /// Entries about this domain and all below it, and numbers that lead there.
    pub domain: Option<Domain>,
    /// Entries in this state.
    pub state: Option<EntryState>,
    /// Entries of this kind.
    pub kind: Option<EntryKind>,
}

/// An entry of the caches.
#[derive(Clone, Debug, Serialize)]
pub struct CacheEntry {
    /// What it is.
    pub kind: EntryKind,
    /// The number, the domain, or the name that was asked.
    pub name: String,
    /// What a number or domain is wanted for.
    pub service: Option<RouteService>,
    /// The DNS view that answered.
    pub view: Option<String>,
    /// How it stands.
    pub state: EntryState,
    /// Seconds that it may still be used.
    #[serde(serialize_with = "whole_seconds")]
    pub ttl: Duration,
    /// When DNS was asked; absent for a number.
    pub fetched: Option<Timestamp>,
    /// Each record, or the decision, in words.
    pub records: Vec<String>,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// A number and the domain that serves it.
    Number,
    /// A domain and its plan.
    Domain,
    /// A NAPTR set.
    Naptr,
    /// An SRV set.
    Srv,
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
}

/// How an entry stands.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryState {
    /// Usable.
    Fresh,
    /// Past its time, in use because DNS is down (RFC 8767).
    Stale,
    /// Past its time; kept only in case DNS goes down.
    Dead,
    /// There is certainly none (RFC 2308).
    Negative,
    /// Nothing is known (RFC 9520).
    Failed,
}

impl CacheFilter {
    pub(in crate::routing) fn fact(
        &self,
        question: &Question,
        fact: &Fact,
        view: &str,
        now: Timestamp,
    ) -> Option<CacheEntry> {
        let name = question.name.without_dot();
        let kind = question.kind.into();
        let state = fact_state(fact, now);
        let is_meant = self.is_of(kind, state)
            && self
                .number
                .as_ref()
                .is_none_or(|prefix| enum_digits(name).starts_with(prefix.digits()))
            && self.domain.as_ref().is_none_or(|domain| is_within(name, domain));
        is_meant.then(|| CacheEntry {
            kind,
            name: name.to_owned(),
            service: None,
            view: Some(view.to_owned()),
            state,
            ttl: fact.ttl(now),
            fetched: Some(fact.fetched),
            records: fact.lines(),
        })
    }

    pub(in crate::routing) fn number(
        &self,
        key: NumberKey,
        entry: &NumberEntry,
        now: Timestamp,
    ) -> Option<CacheEntry> {
        let digits = key.digits();
        let served_by = |slot: &Slot| (EntryState::Fresh, format!("served by {}", slot.key.domain));
        let (state, record) = match &entry.target {
            Target::Domain(slot) => served_by(slot),
            Target::Named(named) => served_by(&named.slot),
            Target::Fixed(plan) => (EntryState::Fresh, plan_line(plan)),
            Target::Absent => (EntryState::Negative, "no apex knows it".into()),
            Target::Unallocated => (EntryState::Negative, "not in use".into()),
        };
        let state = if now < entry.dies { state } else { EntryState::Dead };
        let leads_to = |domain: &Domain| {
            let slot = entry.target.slot();
            slot.is_some_and(|slot| slot.key.domain.is_within(domain))
        };
        let is_meant = self.is_of(EntryKind::Number, state)
            && self
                .number
                .as_ref()
                .is_none_or(|prefix| digits.starts_with(prefix.digits()))
            && self.domain.as_ref().is_none_or(leads_to);
        is_meant.then(|| CacheEntry {
            kind: EntryKind::Number,
            name: format!("+{digits}"),
            service: Some(key.service()),
            view: None,
            state,
            ttl: now.until(entry.dies),
            fetched: None,
            records: vec![record],
        })
    }

    pub(in crate::routing) fn slot(
        &self,
        key: &DomainKey,
        slot: &Slot,
        now: Timestamp,
    ) -> Option<CacheEntry> {
        if self.number.is_some()
            || self
                .domain
                .as_ref()
                .is_some_and(|domain| !key.domain.is_within(domain))
        {
            return None;
        }
        let decision = slot.last()?;
        let (state, record) = match &decision.outcome {
            Ok(plan) => (EntryState::Fresh, plan_line(plan)),
            Err(failure @ RouteFailure::Temporary(_)) => (EntryState::Failed, failure.to_string()),
            Err(failure) => (EntryState::Negative, failure.to_string()),
        };
        let state = if now < decision.dies {
            state
        } else {
            EntryState::Dead
        };
        self.is_of(EntryKind::Domain, state).then(|| CacheEntry {
            kind: EntryKind::Domain,
            name: key.domain.to_string(),
            service: Some(key.service),
            view: None,
            state,
            ttl: now.until(decision.dies),
            fetched: Some(decision.made),
            records: vec![record],
        })
    }

    fn is_of(&self, kind: EntryKind, state: EntryState) -> bool {
        self.kind.is_none_or(|wanted| wanted == kind) && self.state.is_none_or(|wanted| wanted == state)
    }
}

/// Up to `limit` entries that are meant: numbers, then domains, then answers.
pub(in crate::routing) fn list(
    facts: &Facts,
    routes: &Routes,
    view: impl Fn(&Question) -> String,
    filter: &CacheFilter,
    limit: usize,
    now: Timestamp,
) -> Vec<CacheEntry> {
    let numbers = routes
        .numbers()
        .filter_map(|(key, entry)| filter.number(*key, &entry, now));
    let domains = routes
        .domains()
        .filter_map(|(key, slot)| filter.slot(&key, &slot, now));
    let facts = facts
        .all()
        .filter_map(|(question, fact)| filter.fact(&question, &fact, &view(&question), now));
    numbers.chain(domains).chain(facts).take(limit).collect()
}

/// A plan in one line.
pub(in crate::routing) fn plan_line(plan: &Plan) -> String {
    match plan {
        Plan::Home { domain } => format!("home domain {domain}"),
        Plan::Domain {
            domain,
            protocol,
            candidates,
            ..
        } => {
            let servers: Vec<_> = candidates
                .iter()
                .map(|one| one.host_address().to_string())
                .collect();
            format!("{domain} by {} at {}", protocol.name(), servers.join(", "))
        }
        Plan::Gateway { peer, domain } => match domain {
            Some(domain) => format!("default gateway {peer} for {domain}"),
            None => format!("peer {peer}"),
        },
    }
}

fn fact_state(fact: &Fact, now: Timestamp) -> EntryState {
    match &fact.finding {
        _ if !fact.is_alive(now) => EntryState::Dead,
        Finding::Found(_) if fact.stale_since.is_some() => EntryState::Stale,
        Finding::Found(_) => EntryState::Fresh,
        Finding::Absent(_) => EntryState::Negative,
        Finding::Failed(_) => EntryState::Failed,
    }
}

/// The digits of a name that ENUM made of a number; empty for other names.
fn enum_digits(name: &str) -> String {
    let labels = name.split('.');
    let digits = labels.map_while(|label| match label.as_bytes() {
        [digit] if digit.is_ascii_digit() => Some(char::from(*digit)),
        _ => None,
    });
    let reversed: Vec<char> = digits.collect();
    reversed.into_iter().rev().collect()
}

fn is_within(name: &str, domain: &Domain) -> bool {
    name.strip_suffix(domain.as_str())
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn whole_seconds<S: serde::Serializer>(ttl: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(ttl.as_secs())
}

impl From<crate::routing::fact::Kind> for EntryKind {
    fn from(kind: crate::routing::fact::Kind) -> Self {
        use crate::routing::fact::Kind;
        match kind {
            Kind::Naptr => Self::Naptr,
            Kind::Srv => Self::Srv,
            Kind::A => Self::A,
            Kind::Aaaa => Self::Aaaa,
        }
    }
}
