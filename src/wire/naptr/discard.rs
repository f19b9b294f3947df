//! Why a record was not used, and what is odd about one that was, in sentences for an operator.
//!
//! Operators debug ENUM by asking why a record was skipped, so every reason carries what it was decided on.

use thiserror::Error;

use super::octets::WireError;
use super::regexp::RegexpError;
use super::services::{Enumservice, ServicesError};
use super::uri::UriError;

/// Why a record gave no candidate.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum Discard {
    /// The RDATA cannot be read; the rest of the answer can.
    #[error("the record cannot be read: {0}")]
    Unreadable(WireError),
    /// Records beyond the limits of an evaluation; the best ones by ORDER were looked at.
    #[error("{ignored} records were not looked at, the set is too large")]
    TooManyRecords {
        /// How many.
        ignored: usize,
    },
    /// FLAGS is neither empty nor `u` (RFC 6116 §3.4.2).
    #[error("the flags {0:?} are not of ENUM; a terminal record has u")]
    UnknownFlag(String),
    /// The services field names no Enumservice.
    #[error(transparent)]
    Services(#[from] ServicesError),
    /// The record serves other purposes.
    #[error("none of its services is wanted: {}", list(.offered))]
    NoWantedService {
        /// What it is for.
        offered: Vec<Enumservice>,
    },
    /// A `P-` or `X-` service that this apex is not trusted with.
    #[error("{service} is a private or experimental service, which this apex is not configured for")]
    ServiceNotAllowed {
        /// The service.
        service: Enumservice,
    },
    /// A terminal record with REPLACEMENT is in error (RFC 3403 §4.1).
    #[error("the record has flag u and a replacement; it may have only one of regexp and replacement")]
    BothRegexpAndReplacement,
    /// The REGEXP field gives nothing for this number.
    #[error(transparent)]
    Regexp(#[from] RegexpError),
    /// The result is not a URI, or its scheme's grammar is broken.
    #[error(transparent)]
    Uri(#[from] UriError),
    /// The service has URIs of other schemes.
    #[error("a {scheme}: URI is not for the service {service}")]
    SchemeMismatch {
        /// The wanted service of the record, the first of several.
        service: Enumservice,
        /// The scheme of its URI, in lower case.
        scheme: String,
    },
    /// A non-terminal record without a name to go to.
    #[error("the record has no flag and no replacement, so it leads nowhere")]
    NoReplacement,
    /// A non-terminal record that leads back to a name already asked; it is not asked again (RFC 6116 §5.2.1).
    #[error("the record leads back to a name that was already asked")]
    Loop,
    /// One non-terminal record more than may follow one another (RFC 6116 §5.2.1).
    #[error("more than 5 records without a flag lead to one another")]
    TooDeep,
    /// The name a non-terminal record leads to holds nothing.
    #[error("the name it leads to has no NAPTR records")]
    TargetAbsent,
    /// The name a non-terminal record leads to could not be looked up.
    #[error("the name it leads to could not be looked up")]
    TargetFailed,
}

/// What the owner of a used record should repair.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum Warning {
    /// The expression matched a part of the number; it probably lacks `^` or `$`.
    #[error("the expression matches only a part of the number; anchor it with ^ and $")]
    PartialMatch,
    /// One wanted service of a compound record cannot be used with its URI; another one can.
    #[error("{service} is skipped: {reason}")]
    ServiceSkipped {
        /// The service that is skipped.
        service: Enumservice,
        /// Why.
        reason: Discard,
    },
    /// The flag `i` has no effect and should not be provisioned (RFC 6116 §5.1).
    #[error("the flag i of the regexp field has no effect on a number")]
    IgnoreCase,
    /// The services field has the order of RFC 2916.
    #[error("the services field has the order of RFC 2916; write E2U first")]
    LegacyServices,
}

fn list(services: &[Enumservice]) -> String {
    services
        .iter()
        .map(Enumservice::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}
