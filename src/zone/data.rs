//! One zone as an authority sees it: names, their records, and what a question finds there.
//!
//! RFC 1034 §4.3.2 with the wildcard rules of RFC 4592: a wildcard speaks only for names below its closest encloser,
//! and a name that exists, be it only as a step to a longer one, hides it. hickory's own zone store is not used
//! because there a wildcard reaches past existing names, and a partner who tested against it would learn the wrong rule.

use std::collections::BTreeMap;

use hickory_proto::rr::{Record, RecordType};

use super::names::{is_within, parent, to_hickory, wildcard_under};
use super::records::{Data, Entry};
use crate::wire::naptr::Name;

/// A zone that can be served: it has one SOA record, name servers, and nothing outside its origin.
#[derive(Clone, Debug)]
pub struct Zone {
    origin: Name,
    soa: Record,
    negative_ttl: u32,
    /// Every name that exists; one without records is a step to longer names (an empty non-terminal).
    nodes: BTreeMap<Name, Node>,
}

/// What a zone knows of a name.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The records of the asked type.
    Records(Vec<Record>),
    /// The name is an alias: the CNAME record and where it points.
    Alias(Box<Record>, Name),
    /// The name lies in a part that others serve: its NS records, and the servers that they name.
    Referral(Vec<Record>, Vec<Name>),
    /// The name exists, without such records.
    NoData,
    /// The name does not exist.
    NoName,
}

/// The records of one name by type code, with the name each of them leads to.
type Node = BTreeMap<u16, Vec<(Record, Data)>>;

impl Zone {
    /// Builds the zone from its records.
    ///
    /// # Errors
    /// The line, when there is one, and what is wrong: no SOA, a second one, no NS, a record outside the zone.
    pub(super) fn build(entries: &[Entry]) -> Result<Self, (Option<usize>, String)> {
        let mut authorities = entries.iter().filter_map(|entry| match entry.data {
            Data::Soa { minimum, .. } => Some((entry, minimum)),
            Data::Ns(_) | Data::Cname(_) | Data::A(_) | Data::Aaaa(_) => None,
            Data::Srv { .. } | Data::Naptr(_) | Data::Other(_) => None,
        });
        let (soa, minimum) = authorities
            .next()
            .ok_or((None, "the zone has no SOA record".to_owned()))?;
        if let Some((second, _)) = authorities.next() {
            return Err((Some(second.line), "the zone has a second SOA record".to_owned()));
        }
        let mut zone = Self {
            origin: soa.owner.clone(),
            soa: record(soa)?,
            negative_ttl: soa.ttl.min(minimum),
            nodes: BTreeMap::new(),
        };
        for entry in entries {
            zone.insert(entry)?;
        }
        let served = zone
            .nodes
            .get(&zone.origin)
            .is_some_and(|node| node.contains_key(&RecordType::NS.into()));
        if served {
            Ok(zone)
        } else {
            Err((None, "the zone has no NS record at its origin".to_owned()))
        }
    }

    /// The name at the top.
    pub fn origin(&self) -> &Name {
        &self.origin
    }

    /// How many records are in it.
    pub fn len(&self) -> usize {
        self.nodes.values().flat_map(BTreeMap::values).map(Vec::len).sum()
    }

    /// Whether it holds nothing; never so for one that is served.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The SOA record as an absence carries it: its TTL is the time that the absence may be cached (RFC 2308 §3).
    pub(super) fn negative_soa(&self) -> Record {
        let mut soa = self.soa.clone();
        soa.ttl = self.negative_ttl;
        soa
    }

    /// Answers for a name inside the zone.
    pub(super) fn find(&self, name: &Name, rtype: RecordType) -> Answer {
        if let Some(referral) = self.referral(name, rtype) {
            return referral;
        }
        if let Some(node) = self.nodes.get(name) {
            return at(node, rtype, name, false);
        }
        let closest =
            std::iter::successors(parent(name), parent).find(|above| self.nodes.contains_key(above));
        let wildcard = closest.as_ref().and_then(wildcard_under);
        match wildcard.and_then(|wildcard| self.nodes.get(&wildcard)) {
            Some(node) => at(node, rtype, name, true),
            None => Answer::NoName,
        }
    }

    /// The addresses of a name as they ride along with the records that name it.
    pub(super) fn addresses(&self, name: &Name) -> Vec<Record> {
        let Some(node) = self.nodes.get(name) else {
            return Vec::new();
        };
        [RecordType::A, RecordType::AAAA]
            .into_iter()
            .filter_map(|rtype| node.get(&rtype.into()))
            .flatten()
            .map(|(record, _)| record.clone())
            .collect()
    }

    /// The names that the zone's records of this owner and type lead to.
    pub(super) fn targets(&self, name: &Name, rtype: RecordType) -> Vec<Name> {
        let sets = self.nodes.get(name).and_then(|node| node.get(&rtype.into()));
        sets.into_iter()
            .flatten()
            .filter_map(|(_, data)| data.addressed().cloned())
            .collect()
    }

    /// The nearest cut above the name, searched from the top; a DS question at the cut is ours (RFC 4035 §3.1.4.1).
    fn referral(&self, name: &Name, rtype: RecordType) -> Option<Answer> {
        let mut path: Vec<Name> = std::iter::successors(Some(name.clone()), parent)
            .take_while(|step| *step != self.origin)
            .collect();
        path.reverse();
        let cut = path.iter().find_map(|step| {
            let servers = self.nodes.get(step)?.get(&RecordType::NS.into())?;
            Some((step, servers))
        });
        let (step, servers) = cut?;
        if rtype == RecordType::DS && step == name {
            return None;
        }
        let records = servers.iter().map(|(record, _)| record.clone()).collect();
        let targets = servers
            .iter()
            .filter_map(|(_, data)| data.addressed().cloned())
            .collect();
        Some(Answer::Referral(records, targets))
    }

    fn insert(&mut self, entry: &Entry) -> Result<(), (Option<usize>, String)> {
        if !is_within(&entry.owner, &self.origin) {
            let reason = format!("{} lies outside the zone {}", entry.owner, self.origin);
            return Err((Some(entry.line), reason));
        }
        let steps = std::iter::successors(parent(&entry.owner), parent);
        for step in steps.take_while(|step| is_within(step, &self.origin)) {
            self.nodes.entry(step).or_default();
        }
        let node = self.nodes.entry(entry.owner.clone()).or_default();
        let set = node.entry(entry.data.record_type().into()).or_default();
        // A repeated record is one record (RFC 2181 §5).
        if !set.iter().any(|(_, data)| *data == entry.data) {
            set.push((record(entry)?, entry.data.clone()));
        }
        Ok(())
    }
}

/// What one name answers; `synthesised` writes the asked name over a wildcard's.
fn at(node: &Node, rtype: RecordType, name: &Name, synthesised: bool) -> Answer {
    let owned = |record: &Record| {
        let mut record = record.clone();
        if synthesised && let Some(owner) = to_hickory(name) {
            record.name = owner;
        }
        record
    };
    if rtype == RecordType::ANY {
        let all: Vec<Record> = node.values().flatten().map(|(record, _)| owned(record)).collect();
        return if all.is_empty() {
            Answer::NoData
        } else {
            Answer::Records(all)
        };
    }
    if let Some(set) = node.get(&rtype.into()) {
        return Answer::Records(set.iter().map(|(record, _)| owned(record)).collect());
    }
    match node.get(&RecordType::CNAME.into()).and_then(|set| set.first()) {
        Some((record, Data::Cname(target))) => Answer::Alias(Box::new(owned(record)), target.clone()),
        Some(_) | None => Answer::NoData,
    }
}

fn record(entry: &Entry) -> Result<Record, (Option<usize>, String)> {
    let parts = to_hickory(&entry.owner).zip(entry.data.rdata());
    let (owner, rdata) = parts.ok_or_else(|| {
        (
            Some(entry.line),
            format!("{} cannot be put on the wire", entry.owner),
        )
    })?;
    Ok(Record::from_rdata(owner, entry.ttl, rdata))
}
