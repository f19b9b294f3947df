//! What an evaluation found: candidates in the order of trying, and a reason for each record that is none.
//!
//! The whole list is kept, not only its first element: local policy may refuse the first candidate, and a delivery to
//! it may fail.

use std::collections::HashMap;

use super::discard::{Discard, Warning};
use super::name::Name;
use super::rdata::Naptr;
use super::services::Enumservice;
use super::uri::{AbsoluteUri, Target};

/// The outcome of an evaluation.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Selected {
    /// Usable records in the order of trying, one entry for each service of a compound record.
    pub candidates: Vec<Candidate>,
    /// Every record that gave none, in the order it was judged.
    pub passed_over: Vec<PassedOver>,
    /// The lookups that failed; with any of these, an empty list of candidates is not a final answer.
    pub failures: Vec<Failure>,
    /// The number's own name holds no NAPTR records.
    pub absent: bool,
}

impl Selected {
    /// What it comes to.
    pub fn verdict(&self) -> Verdict {
        match (self.candidates.is_empty(), self.failures.is_empty()) {
            (false, _) => Verdict::Found,
            (true, false) => Verdict::Temporary,
            (true, true) if self.absent => Verdict::Absent,
            (true, true) => Verdict::NoneUsable,
        }
    }

    /// The candidate that was accepted and those that may be tried after it without crossing an ORDER: in every RRset
    /// only the ORDER taken first counts (RFC 3402 §3.3). Every element of `candidates` from `accepted` on is a
    /// candidate again where the apex allows crossing.
    pub fn alternatives(&self, accepted: usize) -> Vec<&Candidate> {
        let mut orders: HashMap<&Name, u16> = HashMap::new();
        let mut alternatives = Vec::new();
        for candidate in self.candidates.iter().skip(accepted) {
            let same = |hop: &Hop| orders.get(&hop.owner).is_none_or(|order| *order == hop.order);
            if candidate.path.iter().all(same) {
                orders.extend(candidate.path.iter().map(|hop| (&hop.owner, hop.order)));
                alternatives.push(candidate);
            }
        }
        alternatives
    }
}

/// What an evaluation comes to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// There is at least one candidate.
    Found,
    /// The number has no records under this apex.
    Absent,
    /// The number has records, and every lookup worked, but none is usable.
    NoneUsable,
    /// Nothing was found and a lookup failed: ask again later.
    Temporary,
}

/// A record and service that lead somewhere.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Candidate {
    /// The Enumservice it is published for.
    pub service: Enumservice,
    /// Where it leads.
    pub uri: AbsoluteUri,
    /// What routing reads from the URI, portability data too.
    pub target: Target,
    /// The PREFERENCE of the record.
    pub preference: u16,
    /// The RRsets it was reached through with the ORDER taken in each, the number's own name first. Never empty.
    pub path: Vec<Hop>,
    /// What the record's owner should repair.
    pub warnings: Vec<Warning>,
}

/// One RRset on the way to a candidate.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Hop {
    /// The owner of the RRset.
    pub owner: Name,
    /// The ORDER of the record taken in it.
    pub order: u16,
}

/// A record that was not used.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PassedOver {
    /// The owner of the RRset.
    pub owner: Name,
    /// The record, when it could be read and the reason concerns a single one.
    pub record: Option<Naptr>,
    /// Why.
    pub reason: Discard,
}

/// A lookup that failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// The name that was asked.
    pub name: Name,
    /// How it failed.
    pub cause: String,
}

impl Candidate {
    /// The ORDER of the record itself.
    pub fn order(&self) -> u16 {
        self.path.last().map_or(0, |hop| hop.order)
    }

    /// The owner of the record.
    pub fn owner(&self) -> Option<&Name> {
        self.path.last().map(|hop| &hop.owner)
    }
}
