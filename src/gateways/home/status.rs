//! The one table between refusals and what a subscriber is told: HTTP status, IMPS status (SSP reference §13), a word for
//! programs, a sentence for people. The operator's own sentence, which names agreements and peers, goes to the log only.

use crate::model::{GroupRefusal, Refusal};

/// How a refusal is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Told {
    /// The HTTP status.
    pub(crate) http: u16,
    /// The IMPS status.
    pub(crate) status: u16,
    /// A word that stays the same.
    pub(crate) code: &'static str,
    /// A sentence.
    pub(crate) text: &'static str,
}

/// The row of a refusal; the compiler keeps the table whole.
pub(crate) fn told(refusal: &Refusal) -> Told {
    match refusal {
        Refusal::NoAgreement { .. } => row(
            403,
            506,
            "no-agreement",
            "there is no agreement with that operator",
        ),
        Refusal::NotAgreed { .. } => row(
            403,
            506,
            "not-agreed",
            "the agreement with that operator does not include it",
        ),
        Refusal::RateExceeded { .. } => row(429, 503, "too-fast", "too many requests; try again later"),
        Refusal::TooLarge { .. } => row(413, 538, "too-large", "the content is too large"),
        Refusal::MediaType { .. } => row(415, 415, "media-type", "that kind of content is not accepted"),
        Refusal::ForeignSender { .. } => {
            row(403, 901, "foreign-sender", "the sender's address is not accepted")
        }
        Refusal::NoTransit { .. } => row(404, 516, "no-transit", "that person is not reached this way"),
        Refusal::Loop => row(502, 516, "loop", "the request came round in a circle"),
        Refusal::UnknownUser { .. } => row(404, 531, "unknown-user", "that person is not known"),
        Refusal::NoRoute { .. } => row(404, 516, "no-route", "nobody serves that address"),
        Refusal::RouteFailed { .. } => row(
            503,
            503,
            "route-failed",
            "that person's operator can't be found now",
        ),
        Refusal::Wildcard => row(
            400,
            402,
            "incomplete",
            "wildcards and incomplete values are not accepted",
        ),
        Refusal::NotSearched { .. } => row(400, 402, "not-searched", "that is not searched for"),
        Refusal::InvalidAddress { .. } => row(400, 427, "invalid-address", "the address can't be read"),
        Refusal::BadRequest { .. } => row(400, 400, "bad-request", "the request can't be read"),
        Refusal::Unsupported { .. } => row(501, 405, "unsupported", "that is not supported"),
        Refusal::Blocked { .. } => row(
            403,
            532,
            "blocked",
            "that person does not accept anything from you",
        ),
        Refusal::NotAuthorised { .. } => row(403, 534, "not-authorised", "that is not allowed"),
        Refusal::QueueFull { .. } => row(507, 507, "full", "there is no more room"),
        Refusal::Expired => row(410, 542, "expired", "it waited too long"),
        Refusal::Discarded { .. } => row(410, 538, "discarded", "it was discarded"),
        Refusal::Unreachable { .. } => row(
            503,
            503,
            "unreachable",
            "that person's operator can't be reached now",
        ),
        Refusal::HeldBack { .. } => row(
            503,
            503,
            "held-back",
            "what goes to that person's operator waits for now",
        ),
        Refusal::Dropped { .. } => row(
            503,
            503,
            "dropped",
            "that person's operator hung up before it answered",
        ),
        Refusal::EndsConnections { .. } => row(
            502,
            503,
            "ends-connections",
            "that person's operator can't read it",
        ),
        Refusal::TimedOut { .. } => row(
            504,
            504,
            "timeout",
            "that person's operator did not answer in time",
        ),
        Refusal::InGroup { why, .. } => in_group(*why),
        Refusal::NotFound { .. } => row(404, 404, "not-found", "that is not there"),
        Refusal::Remote { status, .. } => row(502, *status, "remote", "that person's operator refused it"),
        Refusal::StoreUnavailable { .. } => row(503, 503, "store-unavailable", "nothing can be kept now"),
        Refusal::Internal { .. } => row(500, 500, "internal", "it can't be done now"),
    }
}

/// The row of what a group refuses; both are decided by the IMPS status.
const fn in_group(why: GroupRefusal) -> Told {
    let status = why.status();
    match why {
        GroupRefusal::Unknown => row(404, status, "no-such-group", "there is no such group"),
        GroupRefusal::Property => row(400, status, "bad-property", "that can't be set"),
        GroupRefusal::AlreadyJoined => row(409, status, "already-joined", "you are in that group"),
        GroupRefusal::NotJoined => row(403, status, "not-joined", "you are not in that group"),
        GroupRefusal::Rejected => row(403, status, "rejected", "that person may not join the group"),
        GroupRefusal::NotMember => row(403, status, "no-member", "only who is invited is let in"),
        GroupRefusal::NameInUse => row(409, status, "name-in-use", "somebody in the group has that name"),
        GroupRefusal::NoParticipant => {
            row(404, status, "no-participant", "nobody in the group has that name")
        }
        GroupRefusal::TooMany => row(403, status, "too-many-groups", "there are too many groups"),
        GroupRefusal::NotPrivileged => row(
            403,
            status,
            "not-privileged",
            "only who leads the group may do that",
        ),
        GroupRefusal::Full => row(403, status, "group-full", "the group is full"),
    }
}

const fn row(http: u16, status: u16, code: &'static str, text: &'static str) -> Told {
    Told {
        http,
        status,
        code,
        text,
    }
}
