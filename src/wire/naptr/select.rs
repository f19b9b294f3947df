//! The walk over a number's NAPTR records (RFC 6116 §5.2): which record is used, and why each other one is not.
//!
//! The evaluation asks for names and is told what they hold; it never looks anything up itself, so a test, a cache
//! and a live resolver drive it alike. A discarded record never ends the walk. ORDER counts inside one RRset only;
//! a record of a worse ORDER stays a candidate, and the caller decides by [`Selected::alternatives`] how far a
//! failed delivery goes down the list.

use std::collections::HashSet;

use super::discard::{Discard, Warning};
use super::name::Name;
use super::number::Aus;
use super::octets::WireError;
use super::rdata::Naptr;
use super::regexp::Substitution;
use super::selected::{Candidate, Failure, Hop, PassedOver, Selected};
use super::services::{Enumservice, Services, Wanted};
use super::uri::{AbsoluteUri, Target, scheme_fits};

/// One number being looked up under one apex.
///
/// Call [`step`](Self::step); on [`Step::Query`] find the records and give them to [`answer`](Self::answer); repeat
/// until [`Step::Done`].
#[derive(Debug)]
pub struct Evaluation {
    aus: Aus,
    wanted: Wanted,
    policy: Policy,
    asked: Option<Visit>,
    visits: Vec<Visit>,
    seen: HashSet<Name>,
    judged: usize,
    selected: Selected,
}

/// What one apex is trusted with.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Policy {
    /// Accept `P-` services: this apex is the private network they are meant for (RFC 6116 §3.4.3.1).
    pub private_services: bool,
    /// Accept experimental `X-` services.
    pub experimental_services: bool,
    /// Accept `pres` with another scheme than `pres:`, which RFC 3953 §4 permits and advises against.
    pub pres_foreign_schemes: bool,
}

/// What the evaluation needs next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// The NAPTR records of this name.
    Query(Name),
    /// Nothing: the walk is over. Given once.
    Done(Selected),
}

/// What a name holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// An RRset in response order; a record that could not be read keeps its place. Empty is the same as absent.
    Records(Vec<Result<Naptr, WireError>>),
    /// NXDOMAIN or no NAPTR records: a normal answer.
    Absent,
    /// The lookup failed, so nothing is known; the text says how.
    Failed(String),
}

/// An RRset being walked.
#[derive(Debug)]
struct Visit {
    owner: Name,
    above: Vec<Hop>,
    records: std::vec::IntoIter<Naptr>,
    /// The record that leads here, and whose it is; `None` for the number's own name.
    referrer: Option<(Name, Naptr)>,
}

/// What a record comes to.
enum Judgement {
    Refer(Name),
    Accept(Vec<Candidate>),
}

impl Evaluation {
    /// Non-terminal records that may follow one another; more are taken for a loop (RFC 6116 §5.2.1).
    pub const MAX_DEPTH: usize = 5;
    /// Records of one RRset that are looked at, the best ones by ORDER and PREFERENCE.
    pub const MAX_RECORDS_PER_SET: usize = 64;
    /// Records looked at in one evaluation.
    pub const MAX_RECORDS: usize = 256;

    /// Begins at `name`, usually [`Aus::enum_name`].
    pub fn new(aus: Aus, name: Name, wanted: Wanted, policy: Policy) -> Self {
        Self {
            aus,
            wanted,
            policy,
            seen: HashSet::from([name.clone()]),
            asked: Some(Visit {
                owner: name,
                above: Vec::new(),
                records: Vec::new().into_iter(),
                referrer: None,
            }),
            visits: Vec::new(),
            judged: 0,
            selected: Selected::default(),
        }
    }

    /// What is needed next. Asks for the same name until it is answered.
    pub fn step(&mut self) -> Step {
        loop {
            if let Some(asked) = &self.asked {
                return Step::Query(asked.owner.clone());
            }
            let Some(visit) = self.visits.last_mut() else {
                return Step::Done(std::mem::take(&mut self.selected));
            };
            match visit.records.next() {
                Some(record) => self.walk(record),
                None => {
                    self.visits.pop();
                }
            }
        }
    }

    /// Tells what the name of the last [`Step::Query`] holds; without an open query it does nothing.
    pub fn answer(&mut self, answer: Answer) {
        let Some(mut visit) = self.asked.take() else {
            return;
        };
        match answer {
            Answer::Records(records) if !records.is_empty() => {
                visit.records = self.arrange(&visit.owner, records).into_iter();
                self.visits.push(visit);
            }
            Answer::Records(_) | Answer::Absent => match visit.referrer {
                None => self.selected.absent = true,
                Some((owner, record)) => self.pass_over(owner, record, Discard::TargetAbsent),
            },
            Answer::Failed(cause) => {
                self.selected.failures.push(Failure {
                    name: visit.owner,
                    cause,
                });
                if let Some((owner, record)) = visit.referrer {
                    self.pass_over(owner, record, Discard::TargetFailed);
                }
            }
        }
    }

    /// Sorts an RRset by ORDER and PREFERENCE; equal pairs keep the response order. Records that cannot be read are
    /// listed as far as there is room after the others.
    fn arrange(&mut self, owner: &Name, records: Vec<Result<Naptr, WireError>>) -> Vec<Naptr> {
        let total = records.len();
        let mut readable = Vec::with_capacity(total);
        let mut unreadable = Vec::new();
        for record in records {
            match record {
                Ok(record) => readable.push(record),
                Err(error) => unreadable.push(error),
            }
        }
        readable.sort_by_key(|record| (record.order, record.preference));
        let room = Self::MAX_RECORDS_PER_SET.min(Self::MAX_RECORDS.saturating_sub(self.judged));
        readable.truncate(room);
        unreadable.truncate(room - readable.len());
        let judged = readable.len() + unreadable.len();
        self.judged += judged;
        for error in unreadable {
            self.note(owner, Discard::Unreadable(error));
        }
        if judged < total {
            self.note(
                owner,
                Discard::TooManyRecords {
                    ignored: total - judged,
                },
            );
        }
        readable
    }

    fn walk(&mut self, record: Naptr) {
        let Some(visit) = self.visits.last() else { return };
        let owner = visit.owner.clone();
        let mut path = visit.above.clone();
        path.push(Hop {
            owner: owner.clone(),
            order: record.order,
        });
        match self.judge(&record, &path) {
            Err(reason) => self.pass_over(owner, record, reason),
            Ok(Judgement::Accept(candidates)) => self.selected.candidates.extend(candidates),
            Ok(Judgement::Refer(target)) => {
                self.seen.insert(target.clone());
                self.asked = Some(Visit {
                    owner: target,
                    above: path,
                    records: Vec::new().into_iter(),
                    referrer: Some((owner, record)),
                });
            }
        }
    }

    fn judge(&self, record: &Naptr, path: &[Hop]) -> Result<Judgement, Discard> {
        match record.flags.as_slice() {
            [] => self.refer(record, path.len()).map(Judgement::Refer),
            [b'u' | b'U'] => self.accept(record, path).map(Judgement::Accept),
            other => Err(Discard::UnknownFlag(String::from_utf8_lossy(other).into_owned())),
        }
    }

    /// SERVICES and REGEXP of a non-terminal record are ignored (RFC 6116 §5.2.1).
    fn refer(&self, record: &Naptr, depth: usize) -> Result<Name, Discard> {
        let target = &record.replacement;
        if target.is_root() {
            return Err(Discard::NoReplacement);
        }
        if self.seen.contains(target) {
            return Err(Discard::Loop);
        }
        if depth > Self::MAX_DEPTH {
            return Err(Discard::TooDeep);
        }
        Ok(target.clone())
    }

    fn accept(&self, record: &Naptr, path: &[Hop]) -> Result<Vec<Candidate>, Discard> {
        let services = Services::parse(&record.services)?;
        let usable = self.usable(&services.offered)?;
        if !record.replacement.is_root() {
            return Err(Discard::BothRegexpAndReplacement);
        }
        let substitution = Substitution::parse(&record.regexp)?;
        let expanded = substitution.apply(&self.aus)?;
        let uri = AbsoluteUri::parse(&expanded.octets)?;
        let mut warnings = Vec::new();
        warnings.extend((!expanded.spans_all).then_some(Warning::PartialMatch));
        warnings.extend(substitution.ignores_case().then_some(Warning::IgnoreCase));
        warnings.extend(services.legacy.then_some(Warning::LegacyServices));
        let mut targets = Vec::new();
        let mut unfit = None;
        for service in usable {
            match self.target(service, &uri) {
                Ok(target) => targets.push((service, target)),
                Err(reason) => {
                    unfit.get_or_insert_with(|| reason.clone());
                    warnings.push(Warning::ServiceSkipped {
                        service: service.clone(),
                        reason,
                    });
                }
            }
        }
        if let (true, Some(reason)) = (targets.is_empty(), unfit) {
            return Err(reason);
        }
        let candidate = |(service, target): (&Enumservice, Target)| Candidate {
            service: service.clone(),
            uri: uri.clone(),
            target,
            preference: record.preference,
            path: path.to_vec(),
            warnings: warnings.clone(),
        };
        Ok(targets.into_iter().map(candidate).collect())
    }

    fn target(&self, service: &Enumservice, uri: &AbsoluteUri) -> Result<Target, Discard> {
        let foreign = self.policy.pres_foreign_schemes && service.as_str() == "pres";
        if !foreign && !scheme_fits(service, uri.scheme()) {
            let (service, scheme) = (service.clone(), uri.scheme().to_owned());
            return Err(Discard::SchemeMismatch { service, scheme });
        }
        Ok(uri.target(service)?)
    }

    /// The wanted services of a record; unknown ones inside a compound are skipped.
    fn usable<'s>(&self, offered: &'s [Enumservice]) -> Result<Vec<&'s Enumservice>, Discard> {
        let wanted: Vec<_> = offered
            .iter()
            .filter(|service| self.wanted.contains(service))
            .collect();
        if wanted.is_empty() {
            return Err(Discard::NoWantedService {
                offered: offered.to_vec(),
            });
        }
        let (allowed, refused): (Vec<_>, Vec<_>) =
            wanted.into_iter().partition(|service| self.allowed(service));
        match (allowed.is_empty(), refused.first()) {
            (true, Some(service)) => Err(Discard::ServiceNotAllowed {
                service: (*service).clone(),
            }),
            (_, _) => Ok(allowed),
        }
    }

    fn allowed(&self, service: &Enumservice) -> bool {
        (self.policy.private_services || !service.is_private())
            && (self.policy.experimental_services || !service.is_experimental())
    }

    fn pass_over(&mut self, owner: Name, record: Naptr, reason: Discard) {
        self.selected.passed_over.push(PassedOver {
            owner,
            record: Some(record),
            reason,
        });
    }

    fn note(&mut self, owner: &Name, reason: Discard) {
        self.selected.passed_over.push(PassedOver {
            owner: owner.clone(),
            record: None,
            reason,
        });
    }
}

#[cfg(test)]
mod tests;
