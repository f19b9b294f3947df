//! Overrides: what an operator says goes before everything that was found.
//!
//! For a number, the longest prefix that fits counts; for a domain, the longest suffix. The table is in memory and
//! replaced as a whole; whoever keeps it on disk loads it at the start.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::config::digits;
use crate::model::{Domain, E164, PeerName, Timestamp};

/// An operator's decision on a number, a range of numbers or a domain.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// Whom it is about; one override each.
    pub selector: Selector,
    /// Where they are routed.
    pub to: OverrideTarget,
    /// Why, in the operator's words; shown wherever the override is used.
    #[serde(default)]
    pub reason: String,
    /// It ends by itself then; absent means when it is removed.
    #[serde(default)]
    pub until: Option<Timestamp>,
}

/// Whom an override is about.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Selector {
    /// One number, or all that begin with these digits: `+447700900123`, `+4477009`.
    Number(NumberPrefix),
    /// A domain and all below it.
    Domain(Domain),
}

/// Leading digits of numbers, without the `+`; a whole number is one as well. 1 to 15 digits.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct NumberPrefix(String);

/// Where an override leads.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OverrideTarget {
    /// This domain serves them; its servers are looked up as usual.
    Domain(Domain),
    /// This peer takes them.
    Peer(PeerName),
}

/// All overrides that were not removed; those that have ended stay until the next change.
#[derive(Clone, Debug, Default)]
pub(super) struct Overrides {
    numbers: HashMap<String, Override>,
    domains: HashMap<Domain, Override>,
}

impl Overrides {
    pub(super) fn new(all: Vec<Override>) -> Self {
        let mut table = Self::default();
        for one in all {
            table.add(one);
        }
        table
    }

    /// Adds one; one of the same selector is replaced and returned.
    pub(super) fn add(&mut self, one: Override) -> Option<Override> {
        match &one.selector {
            Selector::Number(prefix) => self.numbers.insert(prefix.0.clone(), one),
            Selector::Domain(domain) => self.domains.insert(domain.clone(), one),
        }
    }

    pub(super) fn remove(&mut self, selector: &Selector) -> Option<Override> {
        match selector {
            Selector::Number(prefix) => self.numbers.remove(&prefix.0),
            Selector::Domain(domain) => self.domains.remove(domain),
        }
    }

    /// The override of a number: the longest prefix in force.
    pub(super) fn of_number(&self, number: &E164, now: Timestamp) -> Option<&Override> {
        if self.numbers.is_empty() {
            return None;
        }
        let digits = number.digits();
        (1..=digits.len())
            .rev()
            .filter_map(|length| self.numbers.get(digits.get(..length)?))
            .find(|one| one.is_in_force(now))
    }

    /// The override of a domain: its own, or that of the nearest domain above it.
    pub(super) fn of_domain(&self, domain: &Domain, now: Timestamp) -> Option<&Override> {
        self.domains
            .iter()
            .filter(|(above, one)| domain.is_within(above) && one.is_in_force(now))
            .max_by_key(|(above, _)| above.as_str().len())
            .map(|(_, one)| one)
    }

    /// Lets go of those that have ended.
    pub(super) fn prune(&mut self, now: Timestamp) {
        self.numbers.retain(|_, one| one.is_in_force(now));
        self.domains.retain(|_, one| one.is_in_force(now));
    }

    /// All of them, numbers first, in their order.
    pub(super) fn all(&self) -> Vec<Override> {
        let mut numbers: Vec<_> = self.numbers.iter().collect();
        let mut domains: Vec<_> = self.domains.iter().collect();
        numbers.sort_by_key(|(prefix, _)| *prefix);
        domains.sort_by_key(|(domain, _)| *domain);
        let numbers = numbers.into_iter().map(|(_, one)| one.clone());
        numbers
            .chain(domains.into_iter().map(|(_, one)| one.clone()))
            .collect()
    }
}

impl Override {
    pub(super) fn is_in_force(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// In words.
    pub(super) fn sentence(&self) -> String {
        let to = match &self.to {
            OverrideTarget::Domain(domain) => format!("to the domain {domain}"),
            OverrideTarget::Peer(peer) => format!("to the peer {peer}"),
        };
        if self.reason.is_empty() {
            to
        } else {
            format!("{to}: {}", self.reason)
        }
    }
}

impl NumberPrefix {
    /// The digits, without the `+`.
    #[must_use]
    pub fn digits(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for NumberPrefix {
    type Error = InvalidPrefix;

    fn try_from(text: String) -> Result<Self, InvalidPrefix> {
        text.parse()
    }
}

impl std::str::FromStr for NumberPrefix {
    type Err = InvalidPrefix;

    fn from_str(text: &str) -> Result<Self, InvalidPrefix> {
        match digits(text) {
            Some(digits) => Ok(Self(digits.to_owned())),
            None => Err(InvalidPrefix(text.to_owned())),
        }
    }
}

impl From<NumberPrefix> for String {
    fn from(prefix: NumberPrefix) -> Self {
        format!("+{}", prefix.0)
    }
}

impl std::fmt::Display for Selector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(prefix) => write!(f, "+{}", prefix.0),
            Self::Domain(domain) => write!(f, "{domain}"),
        }
    }
}

/// A text that is no beginning of numbers.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is no number or beginning of one; write it as +4477009")]
pub struct InvalidPrefix(String);
