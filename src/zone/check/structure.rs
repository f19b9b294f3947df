//! The zone itself: its SOA and NS records, sets that contradict themselves, TTLs, and what wildcards do not reach.

use std::collections::{BTreeMap, BTreeSet};

use super::index::Index;
use super::{Found, Mistake};
use crate::wire::naptr::Name;
use crate::zone::names::{is_within, labels_below, parent};
use crate::zone::records::{Data, Entry};
use crate::zone::text::Parsed;

pub(super) fn check(file: usize, parsed: &Parsed, index: &Index<'_>, found: &mut Found) {
    let mut authorities = parsed
        .entries
        .iter()
        .filter(|entry| matches!(entry.data, Data::Soa { .. }));
    match authorities.next() {
        None => found.add(file, 1, Mistake::MissingSoa, "the file has no SOA record"),
        Some(soa) => origin(file, parsed, soa, found),
    }
    for second in authorities {
        found.add(
            file,
            second.line,
            Mistake::SecondSoa,
            "the file has a second SOA record",
        );
    }
    sets(file, parsed, found);
    for entry in &parsed.entries {
        ttl(file, entry, found);
        dots(file, entry, index, found);
    }
    wildcards(file, parsed, index, found);
}

fn origin(file: usize, parsed: &Parsed, soa: &Entry, found: &mut Found) {
    let origin = &soa.owner;
    let served = parsed
        .entries
        .iter()
        .any(|entry| matches!(entry.data, Data::Ns(_)) && entry.owner == *origin);
    if !served {
        found.add(
            file,
            soa.line,
            Mistake::MissingNs,
            format!("{origin} has no NS record"),
        );
    }
    for entry in parsed
        .entries
        .iter()
        .filter(|entry| !is_within(&entry.owner, origin))
    {
        let message = format!("{} lies outside the zone {origin}", entry.owner);
        found.add(file, entry.line, Mistake::OutOfZone, message);
    }
}

/// What the records of one name say together.
fn sets(file: usize, parsed: &Parsed, found: &mut Found) {
    let mut names: BTreeMap<&Name, Vec<&Entry>> = BTreeMap::new();
    for entry in &parsed.entries {
        let set = names.entry(&entry.owner).or_default();
        let rtype = entry.data.record_type();
        if let Some(first) = set.iter().find(|other| other.data == entry.data) {
            let message = format!("the record stands in line {} already", first.line);
            found.add(file, entry.line, Mistake::Duplicate, message);
        } else if let Some(first) = set
            .iter()
            .find(|other| other.data.record_type() == rtype && other.ttl != entry.ttl)
        {
            let message = format!("TTL {} here, {} in line {}", entry.ttl, first.ttl, first.line);
            found.add(file, entry.line, Mistake::TtlDiffers, message);
        }
        set.push(entry);
    }
    for (name, set) in names {
        let alias = set.iter().find(|entry| matches!(entry.data, Data::Cname(_)));
        if let Some(alias) = alias.filter(|_| set.len() > 1) {
            let message = format!("{name} has a CNAME and {} other records", set.len() - 1);
            found.add(file, alias.line, Mistake::CnameAndOther, message);
        }
    }
}

fn ttl(file: usize, entry: &Entry, found: &mut Found) {
    let long = match entry.data {
        Data::Naptr(_) => entry.ttl,
        Data::Soa { minimum, .. } => minimum.min(entry.ttl),
        Data::Ns(_) | Data::Cname(_) | Data::A(_) | Data::Aaaa(_) | Data::Srv { .. } | Data::Other(_) => 0,
    };
    if long > LONGEST_TTL {
        found.add(
            file,
            entry.line,
            Mistake::TtlLong,
            format!("the answer may be kept for {long} seconds"),
        );
    }
    if entry.ttl == 0 {
        found.add(
            file,
            entry.line,
            Mistake::TtlZero,
            "the answer may not be kept at all",
        );
    }
}

/// Names that were meant to be absolute.
fn dots(file: usize, entry: &Entry, index: &Index<'_>, found: &mut Found) {
    let named = match &entry.data {
        Data::Soa { primary, mailbox, .. } => vec![primary, mailbox],
        Data::Ns(target) | Data::Cname(target) | Data::Srv { target, .. } => vec![target],
        Data::Naptr(naptr) => vec![&naptr.replacement],
        Data::A(_) | Data::Aaaa(_) | Data::Other(_) => Vec::new(),
    };
    for name in named.into_iter().chain([&entry.owner]) {
        if index.has_origin_twice(name) {
            found.add(
                file,
                entry.line,
                Mistake::FinalDot,
                format!("{name} has its origin twice"),
            );
        }
    }
}

/// A name that exists below a wildcard's parent takes everything below its first step away from the wildcard.
fn wildcards(file: usize, parsed: &Parsed, index: &Index<'_>, found: &mut Found) {
    let owners: BTreeMap<&Name, &Entry> = parsed
        .entries
        .iter()
        .rev()
        .map(|entry| (&entry.owner, entry))
        .collect();
    for (wildcard, first) in &owners {
        let Some(top) = wildcard
            .as_str()
            .strip_prefix("*.")
            .and_then(|_| parent(wildcard))
        else {
            continue;
        };
        let rtype = first.data.record_type();
        let mut reported = BTreeSet::new();
        for (name, entry) in owners.iter().filter(|(name, _)| **name != *wildcard) {
            let Some(labels) = labels_below(name, &top).filter(|labels| !labels.is_empty()) else {
                continue;
            };
            let step = labels.last().cloned().unwrap_or_default();
            if step == "*"
                || hides_nothing(&step, labels.len(), &top, index, rtype)
                || !reported.insert(step.clone())
            {
                continue;
            }
            let message = format!(
                "{name} exists, so the wildcard {wildcard} of line {} gives nothing at or below {step}.{top}",
                first.line
            );
            found.add(file, entry.line, Mistake::WildcardHidden, message);
        }
    }
}

/// A step that has its own records of the type, its own wildcard, or is delegated, is meant to be different.
fn hides_nothing(
    step: &str,
    depth: usize,
    top: &Name,
    index: &Index<'_>,
    rtype: hickory_proto::rr::RecordType,
) -> bool {
    let name = |text: String| text.parse::<Name>().ok();
    let at = |name: Option<Name>| name.map(|name| index.exactly(&name).to_vec()).unwrap_or_default();
    let own = at(name(format!("{step}.{top}")));
    let meant = own.iter().any(|record| {
        let found = record.entry.data.record_type();
        matches!(record.entry.data, Data::Ns(_) | Data::Cname(_)) || (found == rtype && depth == 1)
    });
    meant || !at(name(format!("*.{step}.{top}"))).is_empty()
}

/// Seconds; numbers move to other operators, and an answer that lives longer sends messages to the old one.
const LONGEST_TTL: u32 = 3_600;
