//! What is held, shown to NOC staff: answers, numbers and domains, by number, prefix, domain and state.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Digits, DomainDecision, DomainKey, Facts, NumberEntry, NumberKey, Routes, Slot, Target};
use crate::{
    model::{Domain, E164, Timestamp},
    routing::{
        fact::{Fact, Finding, Question},
        overrides::NumberPrefix,
        plan::{Plan, RouteFailure, RouteService},
    },
};

/// Which entries are meant; all conditions together, none means all.
#[derive(Clone, Debug, Default)]
pub struct CacheFilter {
    /// Entries about this number.
    pub number: Option<E164>,
    /// Entries about numbers that begin so.
    pub prefix: Option<NumberPrefix>,
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
    /// How an answer stands, when it is meant.
    pub(in crate::routing) fn of_fact(
        &self,
        question: &Question,
        fact: &Fact,
        now: Timestamp,
    ) -> Option<EntryState> {
        let name = question.name.without_dot();
        let state = fact_state(fact, now);
        let is_meant = self.is_of(question.kind.into(), state)
            && (!self.is_of_numbers() || self.is_about(Digits::of_enum_name(name)))
            && self.domain.as_ref().is_none_or(|domain| is_within(name, domain));
        is_meant.then_some(state)
    }

    /// How a number stands, when it is meant.
    pub(in crate::routing) fn of_number(
        &self,
        key: NumberKey,
        entry: &NumberEntry,
        now: Timestamp,
    ) -> Option<EntryState> {
        let state = match &entry.target {
            _ if entry.dies <= now => EntryState::Dead,
            Target::Domain(_) | Target::Named(_) | Target::Fixed(_) => EntryState::Fresh,
            Target::Absent | Target::Unallocated => EntryState::Negative,
        };
        let leads_to = |domain: &Domain| {
            let slot = entry.target.slot();
            slot.is_some_and(|slot| slot.key.domain.is_within(domain))
        };
        let is_meant = self.is_of(EntryKind::Number, state)
            && self.is_about(Some(key.digits()))
            && self.domain.as_ref().is_none_or(leads_to);
        is_meant.then_some(state)
    }

    /// The decision on a domain, when it is meant.
    pub(in crate::routing) fn of_slot(
        &self,
        key: &DomainKey,
        slot: &Slot,
        now: Timestamp,
    ) -> Option<(EntryState, Arc<DomainDecision>)> {
        if self.is_of_numbers()
            || self
                .domain
                .as_ref()
                .is_some_and(|domain| !key.domain.is_within(domain))
        {
            return None;
        }
        let decision = slot.last()?;
        let state = match &decision.outcome {
            _ if decision.dies <= now => EntryState::Dead,
            Ok(_) => EntryState::Fresh,
            Err(RouteFailure::Temporary(_)) => EntryState::Failed,
            Err(_) => EntryState::Negative,
        };
        self.is_of(EntryKind::Domain, state).then_some((state, decision))
    }

    fn is_of_numbers(&self) -> bool {
        self.number.is_some() || self.prefix.is_some()
    }

    /// Whether a number is the one that is meant, or among those; `None` is no number.
    fn is_about(&self, digits: Option<Digits>) -> bool {
        let number = self.number.as_ref().map(|number| Digits::of(number.digits()));
        let prefix = self.prefix.as_ref().map(|prefix| Digits::of(prefix.digits()));
        let begins = |prefix: Option<Digits>| {
            let both = digits.zip(prefix);
            both.is_some_and(|(digits, prefix)| digits.begins_with(prefix))
        };
        number.is_none_or(|number| number.is_some() && number == digits) && prefix.is_none_or(begins)
    }

    fn is_of(&self, kind: EntryKind, state: EntryState) -> bool {
        self.kind.is_none_or(|wanted| wanted == kind) && self.state.is_none_or(|wanted| wanted == state)
    }
}

impl CacheEntry {
    fn of_fact(question: &Question, fact: &Fact, view: String, state: EntryState, now: Timestamp) -> Self {
        Self {
            kind: question.kind.into(),
            name: question.name.without_dot().to_owned(),
            service: None,
            view: Some(view),
            state,
            ttl: fact.ttl(now),
            fetched: Some(fact.fetched),
            records: fact.lines(),
        }
    }

    fn of_number(key: NumberKey, entry: &NumberEntry, state: EntryState, now: Timestamp) -> Self {
        let served_by = |slot: &Slot| format!("served by {}", slot.key.domain);
        let record = match &entry.target {
            Target::Domain(slot) => served_by(slot),
            Target::Named(named) => served_by(&named.slot),
            Target::Fixed(plan) => plan_line(plan),
            Target::Absent => "no apex knows it".into(),
            Target::Unallocated => "not in use".into(),
        };
        Self {
            kind: EntryKind::Number,
            name: format!("+{}", key.text()),
            service: Some(key.service()),
            view: None,
            state,
            ttl: now.until(entry.dies),
            fetched: None,
            records: vec![record],
        }
    }

    fn of_slot(key: &DomainKey, decision: &DomainDecision, state: EntryState, now: Timestamp) -> Self {
        let record = match &decision.outcome {
            Ok(plan) => plan_line(plan),
            Err(failure) => failure.to_string(),
        };
        Self {
            kind: EntryKind::Domain,
            name: key.domain.to_string(),
            service: Some(key.service),
            view: None,
            state,
            ttl: now.until(decision.dies),
            fetched: Some(decision.made),
            records: vec![record],
        }
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
    let numbers = routes.numbers().filter_map(|(key, entry)| {
        let state = filter.of_number(*key, &entry, now)?;
        Some(CacheEntry::of_number(*key, &entry, state, now))
    });
    let domains = routes.domains().filter_map(|(key, slot)| {
        let (state, decision) = filter.of_slot(&key, &slot, now)?;
        Some(CacheEntry::of_slot(&key, &decision, state, now))
    });
    let facts = facts.all().filter_map(|(question, fact)| {
        let state = filter.of_fact(&question, &fact, now)?;
        Some(CacheEntry::of_fact(&question, &fact, view(&question), state, now))
    });
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
