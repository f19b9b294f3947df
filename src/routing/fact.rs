//! Facts: what DNS said to one question, and until when it holds.
//!
//! Three things are kept apart that are often mixed up: there is something, there is certainly nothing, and nothing is
//! known (RFC 2308, RFC 9520). Deciding never sees a message or a socket, only these.

use std::{fmt, net::IpAddr, time::Duration};

use crate::{
    model::Timestamp,
    wire::naptr::{Name, Naptr, Srv, WireError},
};

/// One question to DNS, in one view.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Question {
    /// Whose answers.
    pub view: ViewId,
    /// What is asked for.
    pub kind: Kind,
    /// About which name.
    pub name: Name,
}

/// A view by its place in the table of all views there have been; facts of different views never mix.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct ViewId(pub u16);

/// The record types that routing asks for.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, serde::Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Kind {
    Naptr,
    Srv,
    A,
    Aaaa,
}

/// The answer to a question.
#[derive(Debug)]
pub(super) struct Fact {
    /// What it is.
    pub finding: Finding,
    /// Aliases that were followed, first to last; empty when the name itself has the records.
    pub aliases: Vec<Name>,
    /// Proven by DNSSEC, as far as the view's resolvers are trusted to say so.
    pub secure: bool,
    /// When it was asked.
    pub fetched: Timestamp,
    /// From then on it must not be used. Equal to `fetched` for what must not be kept at all.
    pub dies: Timestamp,
    /// When it really died, for an answer that is used past its time (RFC 8767).
    pub stale_since: Option<Timestamp>,
}

/// What an answer is.
#[derive(Clone, Debug)]
pub(super) enum Finding {
    /// Records.
    Found(Records),
    /// Certainly none.
    Absent(Absence),
    /// Nothing is known.
    Failed(LookupFailure),
}

/// Records of one type, in the order of the response.
#[derive(Clone, Debug)]
pub(super) enum Records {
    /// NAPTR; one that could not be read keeps its place.
    Naptr(Box<[Result<Naptr, WireError>]>),
    /// SRV.
    Srv(Box<[Srv]>),
    /// A or AAAA.
    Addresses(Box<[IpAddr]>),
}

/// Which kind of nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Absence {
    /// The name does not exist.
    #[error("the name does not exist (NXDOMAIN)")]
    NxDomain,
    /// The name exists and has no records of the type.
    #[error("the name has no such records (NODATA)")]
    NoData,
}

/// Why nothing is known.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum LookupFailure {
    /// No resolver answered in time.
    #[error("no resolver answered in time")]
    TimedOut,
    /// A resolver answered that it can't tell.
    #[error("the resolver answered {0}")]
    Refused(&'static str),
    /// The resolver could not be reached.
    #[error("the resolver can't be reached: {0}")]
    Unreachable(String),
    /// The response could not be read.
    #[error("the response can't be read: {0}")]
    Unreadable(#[from] WireError),
    /// Every record of the answer is malformed.
    #[error("no record of the answer can be read")]
    AllUnreadable,
    /// Aliases that go in a circle, or on for more than 8 steps.
    #[error("the aliases from {0} go in a circle or on for too long")]
    AliasLoop(Name),
    /// The view has no resolvers.
    #[error("no resolver is configured; add a view to [routing]")]
    NoResolver,
    /// The time for this route was used up by other questions.
    #[error("the time for DNS was used up")]
    OutOfTime,
    /// As many lookups are under way as are allowed.
    #[error("too many lookups are under way")]
    Busy,
}

impl Fact {
    /// A failure, to be kept for so long.
    pub(super) fn failed(failure: LookupFailure, now: Timestamp, keep: Duration) -> Self {
        Self {
            finding: Finding::Failed(failure),
            aliases: Vec::new(),
            secure: false,
            fetched: now,
            dies: now.plus(keep),
            stale_since: None,
        }
    }

    /// Whether it may be used now.
    #[must_use]
    pub(super) fn is_alive(&self, now: Timestamp) -> bool {
        now < self.dies
    }

    /// How long it may still be used.
    #[must_use]
    pub(super) fn ttl(&self, now: Timestamp) -> Duration {
        now.until(self.dies)
    }

    /// Whether nothing is known.
    #[must_use]
    pub(super) fn is_failure(&self) -> bool {
        matches!(self.finding, Finding::Failed(_))
    }

    /// Whether nothing is known only because the one who asked had no time left.
    #[must_use]
    pub(super) fn is_cut(&self) -> bool {
        matches!(
            self.finding,
            Finding::Failed(LookupFailure::OutOfTime | LookupFailure::Busy)
        )
    }

    /// Whether the last part of its life has begun, so that a new answer should be asked for.
    pub(super) fn is_due(&self, now: Timestamp, percent: u8) -> bool {
        let life = self.fetched.until(self.dies);
        now >= self.dies.minus(life * u32::from(percent) / 100)
    }

    /// The same records, used past their time until `dies`.
    pub(super) fn stale(&self, now: Timestamp, dies: Timestamp) -> Self {
        Self {
            finding: self.finding.clone(),
            aliases: self.aliases.clone(),
            secure: self.secure,
            fetched: now,
            dies,
            stale_since: Some(self.stale_since.unwrap_or(self.dies)),
        }
    }

    /// Each record in words, or the absence or failure.
    #[must_use]
    pub(super) fn lines(&self) -> Vec<String> {
        match &self.finding {
            Finding::Found(records) => records.lines(),
            Finding::Absent(absence) => vec![absence.to_string()],
            Finding::Failed(failure) => vec![failure.to_string()],
        }
    }

    /// Roughly the memory it takes, in octets.
    pub(super) fn weight(&self) -> usize {
        let records = match &self.finding {
            Finding::Found(Records::Naptr(records)) => records.iter().map(naptr_weight).sum(),
            Finding::Found(Records::Srv(records)) => records
                .iter()
                .map(|srv| size_of::<Srv>() + 16 + srv.target.as_str().len())
                .sum(),
            Finding::Found(Records::Addresses(addresses)) => addresses.len() * size_of::<IpAddr>(),
            Finding::Absent(_) | Finding::Failed(_) => 0,
        };
        let aliases: usize = self.aliases.iter().map(|name| 32 + name.as_str().len()).sum();
        size_of::<Self>() + records + aliases
    }
}

impl Records {
    /// Each record in words.
    #[must_use]
    pub(super) fn lines(&self) -> Vec<String> {
        match self {
            Self::Naptr(records) => records.iter().map(naptr_line).collect(),
            Self::Srv(records) => records.iter().map(srv_line).collect(),
            Self::Addresses(addresses) => addresses.iter().map(ToString::to_string).collect(),
        }
    }
}

impl Kind {
    /// The name of the record type.
    #[must_use]
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Naptr => "NAPTR",
            Self::Srv => "SRV",
            Self::A => "A",
            Self::Aaaa => "AAAA",
        }
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.name(), self.name)
    }
}

/// A NAPTR record as zone files order its fields, without their doubled backslashes.
pub(super) fn naptr_text(naptr: &Naptr) -> String {
    format!(
        "{} {} \"{}\" \"{}\" \"{}\" {}",
        naptr.order,
        naptr.preference,
        naptr.flags.escape_ascii(),
        String::from_utf8_lossy(&naptr.services).escape_debug(),
        plain(&naptr.regexp),
        naptr.replacement,
    )
}

/// An SRV record as zone files order its fields.
pub(super) fn srv_line(srv: &Srv) -> String {
    format!("{} {} {} {}", srv.priority, srv.weight, srv.port, srv.target)
}

fn naptr_line(record: &Result<Naptr, WireError>) -> String {
    match record {
        Ok(naptr) => naptr_text(naptr),
        Err(error) => format!("unreadable record: {error}"),
    }
}

/// Backslashes stay as they are on the wire; controls and other octets are escaped.
fn plain(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets)
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

fn naptr_weight(record: &Result<Naptr, WireError>) -> usize {
    let heap = record.as_ref().map_or(0, |naptr| {
        naptr.flags.len() + naptr.services.len() + naptr.regexp.len() + naptr.replacement.as_str().len() + 64
    });
    size_of::<Result<Naptr, WireError>>() + heap
}
