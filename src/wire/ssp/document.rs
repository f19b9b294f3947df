//! One SSP document: the envelope, its transactions, and which primitive each of them holds.
//!
//! Only the first child element of a `Transaction` is its primitive. A primitive that we don't know is `Unknown`, one that
//! we know and can't take is `Malformed`, so that the gateway can answer 405 or 400 for that transaction alone.
//! Source: SSP reference §3.

use std::fmt;

use super::flaw::Flaw;
use super::setup::SetupTransaction;
use super::xml::{Element, Wire, Writer};
use super::{
    group, invite, membership, message, notification, property, search, session, status, subscription,
};

/// What one HTTP request carries.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Document {
    /// One step of a session's establishment.
    Setup(SetupTransaction),
    /// Transactions inside a session.
    Session {
        /// The ID that the sender of this document issued (SSP reference §4.4).
        session_id: SessionId,
        /// In wire order; answers go back in one document, in this order.
        transactions: Vec<Transaction>,
    },
}

/// One request or answer inside a session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Transaction {
    /// Only Request transactions are ever answered.
    pub mode: Mode,
    /// In a Response, the ID of the request that it answers, unchanged.
    pub id: TransactionId,
    /// What is asked or answered.
    pub primitive: Primitive,
}

/// Whether a transaction asks or answers; in setup, whether the sender opened the ladder.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Mode {
    /// Asks.
    Request,
    /// Answers; also how any other word on the wire is read.
    Response,
}

/// The ID of a transaction: opaque text that goes back exactly as it came. Peers reuse them.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TransactionId(Box<str>);

/// The ID of a session, `<opaque>@<domain of the side that issued it>`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SessionId(Box<str>);

impl Transaction {
    /// A Request-mode transaction.
    pub fn request(id: TransactionId, primitive: impl Into<Primitive>) -> Self {
        Self {
            mode: Mode::Request,
            id,
            primitive: primitive.into(),
        }
    }

    /// A Response-mode transaction; `id` is the one of the request.
    pub fn response(id: TransactionId, primitive: impl Into<Primitive>) -> Self {
        Self {
            mode: Mode::Response,
            id,
            primitive: primitive.into(),
        }
    }
}

impl TransactionId {
    /// Wraps the ID's text.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The ID as it stands on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl SessionId {
    /// Wraps the ID's text.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The ID as it stands on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The domain of the side that issued the ID: what follows the first `@`; `None` when there is no `@`.
    pub fn domain(&self) -> Option<&str> {
        self.0.split_once('@').map(|(_, domain)| domain)
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Mode {
    pub(super) fn from_wire(text: Option<&str>) -> Self {
        match text {
            Some(text) if text.eq_ignore_ascii_case("request") => Self::Request,
            _ => Self::Response,
        }
    }

    pub(super) const fn as_wire(self) -> &'static str {
        match self {
            Self::Request => "Request",
            Self::Response => "Response",
        }
    }
}

macro_rules! primitives {
    ($($room:ident::$name:ident, $doc:literal;)*) => {
        /// What a transaction holds. The variants carry the names of the elements.
        #[derive(Clone, Debug, Eq, PartialEq)]
        pub enum Primitive {
            $(#[doc = $doc] $name(Box<$room::$name>),)*
            /// A primitive that this codec doesn't know; answered 405.
            Unknown {
                /// The element's name as written, without a prefix.
                name: String,
            },
            /// A primitive that can't be taken; answered 400. Written as a transaction without a primitive.
            Malformed {
                /// The element's name as written; empty when there is no element.
                name: String,
                /// What is wrong with it.
                reason: Flaw,
            },
        }

        $(impl From<$room::$name> for Primitive {
            fn from(primitive: $room::$name) -> Self {
                Self::$name(Box::new(primitive))
            }
        })*

        impl Primitive {
            /// Every primitive's element name, in the order of SSP reference §11, ours last.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),*];

            /// The element's name.
            pub fn name(&self) -> &str {
                match self {
                    $(Self::$name(_) => stringify!($name),)*
                    Self::Unknown { name } | Self::Malformed { name, .. } => name,
                }
            }

            pub(super) fn read(element: Element<'_, '_>) -> Self {
                let known = match element.name() {
                    $(stringify!($name) => read_as::<$room::$name>(element),)*
                    name => return Self::read_in_any_case(element, name),
                };
                known.unwrap_or_else(|reason| Self::Malformed { name: element.name().to_owned(), reason })
            }

            fn read_in_any_case(element: Element<'_, '_>, name: &str) -> Self {
                $(if name.eq_ignore_ascii_case(stringify!($name)) {
                    return read_as::<$room::$name>(element)
                        .unwrap_or_else(|reason| Self::Malformed { name: name.to_owned(), reason });
                })*
                Self::Unknown { name: name.to_owned() }
            }

            pub(super) fn write(&self, writer: &mut Writer) {
                match self {
                    $(Self::$name(primitive) => writer.wire(&**primitive),)*
                    Self::Unknown { name } => writer.empty_named(name),
                    // Its name alone could be a valid primitive, so nothing is written at all.
                    Self::Malformed { .. } => {}
                }
            }
        }
    };
}

primitives! {
    status::Status, "The general answer (§8).";
    message::SendMessageRequest, "A message (§12.1).";
    message::SendMessageResponse, "Whether it was taken (§12.2).";
    message::DeliveryStatusReport, "What became of a message (§12.3).";
    invite::InviteRequest, "An invitation (§12.4).";
    invite::InviteResponse, "Its answer by the invited person (§12.5).";
    invite::CancelInviteRequest, "Its withdrawal (§12.6).";
    subscription::SubscribeRequest, "Watch somebody's presence (§12.7).";
    subscription::UnsubscribeRequest, "Stop watching (§12.8).";
    subscription::PresenceNotification, "Presence of watched users (§12.9).";
    subscription::GetPresenceRequest, "Presence once (§12.10).";
    subscription::GetPresenceResponse, "Its answer (§12.10).";
    group::JoinGroupRequest, "Enter a group (§12.11).";
    group::JoinGroupResponse, "Its answer (§12.11).";
    group::LeaveGroupRequest, "Leave a group (§12.12).";
    group::LeaveGroupIndication, "Left, or put out of, a group (§12.12).";
    group::GroupChangeNotice, "Who came and went (§12.13).";
    group::SubscribeGroupChangeRequest, "Ask for group change notices (§12.14).";
    group::UnsubscribeGroupChangeRequest, "No more group change notices (§12.14).";
    group::GetGroupSubStatusRequest, "Whether notices are subscribed (§12.14).";
    group::GetGroupSubStatusResponse, "Its answer (§12.14).";
    membership::GetGroupMemberRequest, "The members of a group (§12.16).";
    membership::GetGroupMemberResponse, "Its answer (§12.16).";
    membership::GetJoinedUsersRequest, "The joined users of a group (§12.15).";
    membership::GetJoinedUsersResponse, "Its answer (§12.15).";
    membership::AddGroupMemberRequest, "Add members (§12.16).";
    membership::RemoveGroupMemberRequest, "Remove members (§12.16).";
    membership::MemberAccessRequest, "Give privileges (§12.16).";
    property::GetGroupPropsRequest, "A group's properties (§12.18).";
    property::GetGroupPropsResponse, "Its answer (§12.18).";
    property::SetGroupPropsRequest, "Change properties (§12.18).";
    membership::RejectListRequest, "Read or change a group's reject list (§12.17).";
    membership::RejectListResponse, "Its answer (§12.17).";
    group::DeleteGroupRequest, "Delete a group (§12.18).";
    search::SearchRequest, "A search; ours.";
    search::SearchResponse, "Its answer; ours.";
    search::StopSearchRequest, "Forget a search; ours.";
    notification::NotificationRequest, "Added to a contact list; ours.";
    session::KeepAliveRequest, "Keep the session; ours.";
    session::KeepAliveResponse, "Its answer; ours.";
    session::LogoutRequest, "End the session; ours.";
}

fn read_as<T: Wire + Into<Primitive>>(element: Element<'_, '_>) -> Result<Primitive, Flaw> {
    T::read(element).map(Into::into)
}
