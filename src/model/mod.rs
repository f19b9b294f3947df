//! Domain words: people, messages, presence, requests and their outcomes.
//!
//! The ground floor: every other room may use it, it uses none. Nothing here does I/O, reads a clock or
//! knows a protocol; text from outside becomes one of these types once, at the edge, and is never checked again.

mod address;
mod content;
mod domain;
mod group;
mod id;
mod mask;
mod number;
mod outcome;
mod presence;
mod request;
mod service;
mod time;
mod trail;
mod units;

pub use address::{InvalidAddress, LocalPart, WvAddress};
pub use content::{Content, MediaType};
pub use domain::{Domain, InvalidDomain};
pub use group::{
    GroupAction, GroupAnswer, GroupEvent, GroupRefusal, GroupRequest, JoinedUser, Privilege, Property,
};
pub use id::{InvalidId, InviteId, MessageId, PeerName};
pub use mask::mask_text;
pub use number::{E164, InvalidE164};
pub use outcome::{Acceptance, Answer, Found, Outcome, RecipientOutcome, Refusal};
pub use presence::{
    AttributeName, AttributeValue, Availability, Field, FieldValue, Presence, PresenceAttribute,
};
pub use request::{
    CancelInvite, ContactAdded, DeliveryReport, Disposition, GetPresence, Invite, InviteAnswer, InviteType,
    Loss, PresenceNotification, Request, Search, SearchCursor, SearchElement, SearchPair, SendMessage,
    Subscribe, Unsubscribe,
};
pub use service::{Direction, Protocol, Service};
pub use time::Timestamp;
pub use trail::{FactSource, RouteStep, Step, StepEvent, Stop, Trail, TrailId, TrailRecord};

pub use units::{ByteSize, duration};

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
