//! What a request comes to: one answer, or one refusal that says who must act.
//!
//! Each protocol has one table from [`Refusal`] to its own status (`gateways/*/status.rs`).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Domain, GroupAnswer, GroupRefusal, MessageId, PeerName, Presence, SearchCursor, Service, WvAddress,
};

/// What a request came to.
pub type Outcome = Result<Answer, Refusal>;

/// A request that was carried out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// Done, with nothing to tell.
    Done,
    /// Done or refused recipient by recipient.
    Recipients(Vec<RecipientOutcome>),
    /// A message taken: the identity it is known by, and each recipient's outcome.
    Sent {
        /// The identity that reports will name.
        id: Option<MessageId>,
        /// Recipient by recipient.
        recipients: Vec<RecipientOutcome>,
    },
    /// Who was found.
    Found(Found),
    /// Presence of several people; an empty presence means that nothing may be told.
    Presence(Vec<(WvAddress, Presence)>),
    /// A group's answer.
    Group(GroupAnswer),
}

/// The result of a search.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// People, with the display name where it may be told.
    pub users: Vec<(WvAddress, Option<String>)>,
    /// Groups.
    pub groups: Vec<WvAddress>,
    /// How many there are in all.
    pub total: u32,
    /// Where to go on; `None` when this is all.
    pub more: Option<SearchCursor>,
}

/// The outcome for one recipient.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecipientOutcome {
    /// Who.
    pub recipient: WvAddress,
    /// What.
    pub outcome: Result<Acceptance, Refusal>,
}

/// How a request was accepted; both are promises (architecture, "A 200 is a promise").
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Acceptance {
    /// The next hop has taken it.
    Taken,
    /// It is committed in the store and will be delivered or reported.
    Stored,
}

/// Why a request was refused, by who must act.
///
/// The `Display` is the operator's sentence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// There is no agreement with that side.
    #[error("no interconnection agreement with {domain}; add one to the configuration to peer with it")]
    NoAgreement {
        /// The other side.
        domain: Domain,
    },
    /// The agreement does not allow it.
    #[error("the agreement with {peer} does not allow it: {clause}")]
    NotAgreed {
        /// The agreement.
        peer: PeerName,
        /// The service asked for.
        service: Service,
        /// The clause, as the configuration names it.
        clause: String,
    },
    /// Too many requests.
    #[error("the rate of the agreement is exceeded ({clause})")]
    RateExceeded {
        /// The limit, as the configuration names it.
        clause: String,
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// The content is larger than agreed.
    #[error("the content has {size} octets, {limit} are allowed")]
    TooLarge {
        /// Octets.
        size: u64,
        /// Octets.
        limit: u64,
    },
    /// The media type is not agreed.
    #[error("the media type {media_type} is not agreed")]
    MediaType {
        /// What was sent.
        media_type: String,
    },
    /// The sender does not belong to the side it came from.
    #[error("{sender} does not belong to {domain}, which sent it")]
    ForeignSender {
        /// Who claims to send.
        sender: WvAddress,
        /// The session's domain.
        domain: Domain,
    },
    /// The recipient is of a third operator, and the agreement has no transit.
    #[error("{recipient} is not served here and this side may not send through us")]
    NoTransit {
        /// Whom.
        recipient: WvAddress,
    },
    /// The request came round.
    #[error("the request came back to us: loop")]
    Loop,
    /// Nobody of that name.
    #[error("{recipient} is unknown")]
    UnknownUser {
        /// Whom.
        recipient: WvAddress,
    },
    /// Nobody serves that address, or nobody in a protocol we speak.
    #[error("no route to {recipient}: {reason}")]
    NoRoute {
        /// Whom.
        recipient: WvAddress,
        /// What was found instead of a route.
        reason: String,
    },
    /// Who serves the address can't be told now.
    #[error("the route to {recipient} can't be found now: {reason}; it is worth trying again")]
    RouteFailed {
        /// Whom.
        recipient: WvAddress,
        /// What failed.
        reason: String,
    },
    /// A wildcard or an incomplete number.
    #[error("wildcards and incomplete numbers are not searched for")]
    Wildcard,
    /// Something that nobody's search compares.
    #[error("not searched for: {what}")]
    NotSearched {
        /// What.
        what: String,
    },
    /// An address that can't be read.
    #[error("the address {address} is malformed: {reason}")]
    InvalidAddress {
        /// As it came.
        address: String,
        /// Why.
        reason: String,
    },
    /// A part is missing or makes no sense.
    #[error("bad request: {reason}")]
    BadRequest {
        /// Which.
        reason: String,
    },
    /// Not something we, or the side that would have to, can do.
    #[error("not supported: {what}")]
    Unsupported {
        /// What.
        what: String,
    },
    /// The recipient has blocked the sender.
    #[error("{recipient} does not accept anything from this sender")]
    Blocked {
        /// Whom.
        recipient: WvAddress,
    },
    /// The recipient has not authorised it.
    #[error("{recipient} has not authorised it")]
    NotAuthorised {
        /// Whom.
        recipient: WvAddress,
    },
    /// The recipient's store is full.
    #[error("the inbox or queue is full: {queue}")]
    QueueFull {
        /// Which one.
        queue: String,
    },
    /// The message waited too long.
    #[error("the message expired before it could be delivered")]
    Expired,
    /// An operator discarded it.
    #[error("discarded: {reason}")]
    Discarded {
        /// Why.
        reason: String,
    },
    /// No server of the other side can be reached.
    #[error("no server of {domain} can be reached: {reason}")]
    Unreachable {
        /// The other side.
        domain: Domain,
        /// The last failure.
        reason: String,
    },
    /// What goes to the other side waits here for now.
    #[error("what goes to {domain} waits: {reason}")]
    HeldBack {
        /// The other side.
        domain: Domain,
        /// Why.
        reason: String,
    },
    /// The other side ended every connection on which it was sent alone.
    #[error("{domain} ends every connection on which it is sent; look at it before it goes again")]
    EndsConnections {
        /// The other side.
        domain: Domain,
    },
    /// The other side closed the connection of the document without an answer, as the observed peer does with sessions that it
    /// lost.
    #[error("{domain} closed the connection without an answer, so that it may have arrived: {reason}")]
    Dropped {
        /// The other side.
        domain: Domain,
        /// The last failure.
        reason: String,
    },
    /// The other side took the document and never answered.
    #[error("{domain} did not answer in time")]
    TimedOut {
        /// The other side.
        domain: Domain,
    },
    /// A message, invitation, search or group that is not known.
    #[error("{what} is not known")]
    NotFound {
        /// Which.
        what: String,
    },
    /// A group refuses it.
    #[error("{group} refuses it: {why}")]
    InGroup {
        /// Which.
        group: WvAddress,
        /// Why.
        why: GroupRefusal,
    },
    /// The other side refused with a status of its own, passed on as it is.
    #[error("{domain} answered {status}{}", said(text))]
    Remote {
        /// The other side.
        domain: Domain,
        /// An IMPS status code; other protocols' codes are mapped to one by their gateway.
        status: u16,
        /// What it said.
        text: String,
    },
    /// Our store can't keep anything now.
    #[error("the gateway can keep nothing now: {reason}")]
    StoreUnavailable {
        /// Why.
        reason: String,
    },
    /// We are at fault or overloaded.
    #[error("the gateway can't do it now: {reason}")]
    Internal {
        /// Why.
        reason: String,
    },
}

/// What comes behind a status, if anything was said.
fn said(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!(" {text}")
    }
}

impl Refusal {
    /// The sentence for logs, with people hidden and on one line.
    #[must_use]
    pub fn masked(&self) -> String {
        super::mask_text(&self.to_string())
    }

    /// What a group said, here or at another operator, whose status is passed on.
    #[must_use]
    pub fn of_group(&self) -> Option<GroupRefusal> {
        if let Self::InGroup { why, .. } = self {
            return Some(*why);
        }
        if let Self::Remote { status, .. } = self {
            return GroupRefusal::of_status(*status);
        }
        None
    }

    /// Whether the same request may succeed later, so that what may wait is kept.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::RouteFailed { .. }
            | Self::Unreachable { .. }
            | Self::HeldBack { .. }
            | Self::Dropped { .. }
            | Self::StoreUnavailable { .. }
            | Self::TimedOut { .. }
            | Self::RateExceeded { .. }
            | Self::QueueFull { .. }
            | Self::Internal { .. } => true,
            Self::Remote { status, .. } => matches!(status, 500 | 503 | 504 | 507 | 521 | 522 | 535),
            Self::NoAgreement { .. }
            | Self::NotAgreed { .. }
            | Self::TooLarge { .. }
            | Self::MediaType { .. }
            | Self::ForeignSender { .. }
            | Self::NoTransit { .. }
            | Self::Loop
            | Self::UnknownUser { .. }
            | Self::NoRoute { .. }
            | Self::Wildcard
            | Self::NotSearched { .. }
            | Self::InvalidAddress { .. }
            | Self::BadRequest { .. }
            | Self::Unsupported { .. }
            | Self::Blocked { .. }
            | Self::NotAuthorised { .. }
            | Self::Expired
            | Self::Discarded { .. }
            | Self::EndsConnections { .. }
            | Self::NotFound { .. }
            | Self::InGroup { .. } => false,
        }
    }
}

impl Answer {
    /// Why recipients were refused, where the answer tells them apart.
    pub fn refusals(&self) -> impl Iterator<Item = &Refusal> {
        let recipients = match self {
            Self::Recipients(recipients) | Self::Sent { recipients, .. } => recipients.as_slice(),
            Self::Done | Self::Found(_) | Self::Presence(_) | Self::Group(_) => &[],
        };
        recipients.iter().filter_map(|one| one.outcome.as_ref().err())
    }

    /// The outcome of one recipient, where the answer tells them apart.
    #[must_use]
    pub fn for_recipient(&self, recipient: &WvAddress) -> Option<&Result<Acceptance, Refusal>> {
        match self {
            Self::Recipients(recipients) | Self::Sent { recipients, .. } => recipients
                .iter()
                .find(|one| one.recipient.is_same_as(recipient))
                .map(|one| &one.outcome),
            Self::Done | Self::Found(_) | Self::Presence(_) | Self::Group(_) => None,
        }
    }
}
