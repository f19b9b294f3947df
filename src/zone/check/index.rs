//! All files' records by name, with what a name server would find there: exact names first, wildcards after.

use std::collections::{BTreeMap, BTreeSet};

use crate::wire::naptr::{Aus, Name, NumberError};
use crate::zone::names::{is_within, parent, wildcard_under};
use crate::zone::records::{Data, Entry};
use crate::zone::text::Parsed;

/// A record and its file.
#[derive(Clone, Copy)]
pub(super) struct Located<'a> {
    pub(super) file: usize,
    pub(super) entry: &'a Entry,
}

/// The records of all files.
pub(super) struct Index<'a> {
    by_name: BTreeMap<&'a Name, Vec<Located<'a>>>,
    /// Names with records, and the steps to them.
    existing: BTreeSet<Name>,
    origins: Vec<Name>,
    /// Where records without a flag lead.
    referenced: BTreeSet<&'a Name>,
}

/// What an owner name says about the number.
pub(super) enum Owner {
    /// One number.
    Number(Aus),
    /// A wildcard over numbers that begin with these digits.
    Range(String),
    /// Digits that cannot be a number.
    Impossible(NumberError),
    /// Something else.
    Other,
}

impl<'a> Index<'a> {
    pub(super) fn new(parsed: &'a [Parsed]) -> Self {
        let mut index = Self {
            by_name: BTreeMap::new(),
            existing: BTreeSet::new(),
            origins: Vec::new(),
            referenced: BTreeSet::new(),
        };
        let entries = parsed
            .iter()
            .enumerate()
            .flat_map(|(file, parsed)| parsed.entries.iter().map(move |entry| Located { file, entry }));
        for located in entries {
            let entry = located.entry;
            index.by_name.entry(&entry.owner).or_default().push(located);
            let steps = std::iter::successors(Some(entry.owner.clone()), parent);
            index.existing.extend(steps);
            if matches!(entry.data, Data::Soa { .. }) {
                index.origins.push(entry.owner.clone());
            }
            if let Data::Naptr(naptr) = &entry.data
                && naptr.flags.is_empty()
            {
                index.referenced.insert(&naptr.replacement);
            }
        }
        index
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = Located<'a>> {
        self.by_name.values().flatten().copied()
    }

    /// The records that stand at exactly this name.
    pub(super) fn exactly(&self, name: &Name) -> &[Located<'a>] {
        self.by_name.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// What a question for this name finds.
    pub(super) fn at(&self, name: &Name) -> &[Located<'a>] {
        if self.existing.contains(name) {
            return self.exactly(name);
        }
        let closest = std::iter::successors(parent(name), parent).find(|above| self.existing.contains(above));
        closest
            .as_ref()
            .and_then(wildcard_under)
            .map(|wildcard| self.exactly(&wildcard))
            .unwrap_or_default()
    }

    /// Whether one of the files answers for the name and has not delegated it.
    pub(super) fn covers(&self, name: &Name) -> bool {
        let Some(origin) = self
            .origins
            .iter()
            .filter(|origin| is_within(name, origin))
            .max_by_key(|origin| origin.labels().len())
        else {
            return false;
        };
        !std::iter::successors(Some(name.clone()), parent)
            .take_while(|step| step != origin)
            .any(|step| {
                self.exactly(&step)
                    .iter()
                    .any(|located| matches!(located.entry.data, Data::Ns(_)))
            })
    }

    /// Whether a name holds the end of its zone's origin a second time: its final dot was forgotten.
    pub(super) fn has_origin_twice(&self, name: &Name) -> bool {
        self.origins
            .iter()
            .filter(|origin| is_within(name, origin))
            .any(|origin| {
                let origin = origin.labels();
                let end: Vec<_> = origin.iter().rev().take(2).collect();
                let labels = name.labels();
                let below: Vec<_> = labels.iter().rev().skip(origin.len()).take(2).collect();
                !end.is_empty() && end == below
            })
    }

    /// Whether a record without a flag leads to the name.
    pub(super) fn is_referenced(&self, name: &Name) -> bool {
        self.referenced.contains(name)
    }
}

impl Owner {
    pub(super) fn of(name: &Name) -> Self {
        let labels = name.labels();
        let wildcard = labels.first().is_some_and(|label| label == b"*");
        let is_digit = |label: &&Vec<u8>| label.len() == 1 && label.iter().all(u8::is_ascii_digit);
        let mut digits: Vec<u8> = labels
            .iter()
            .skip(usize::from(wildcard))
            .take_while(is_digit)
            .flatten()
            .copied()
            .collect();
        digits.reverse();
        let rest = labels.iter().skip(usize::from(wildcard) + digits.len());
        let digits = String::from_utf8_lossy(&digits).into_owned();
        // A longer run of digits further up means that the name is not one digit a label.
        let broken = rest.clone().any(|label| looks_like_digits(label));
        match (wildcard, digits.is_empty(), broken) {
            (_, true, _) | (_, _, true) => Self::Other,
            (true, false, false) => Self::Range(digits),
            (false, false, false) => match Aus::new(&digits) {
                Ok(aus) => Self::Number(aus),
                Err(error) => Self::Impossible(error),
            },
        }
    }
}

/// Several digits in one label, or a number with its plus sign.
pub(super) fn looks_like_digits(label: &[u8]) -> bool {
    let digits = label.strip_prefix(b"+").unwrap_or(label);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}
