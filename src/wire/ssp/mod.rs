//! SSP 1.3, the IMPS server-to-server protocol, as bytes and state machines.
//!
//! `decode` turns the body of one HTTP request into a `Document`, `encode` turns a `Document` into a body. Reading is
//! generous (any case, attribute or child element, odd spellings of deployed peers), writing is strict. One bad
//! transaction never spoils the others of its document: it becomes `Primitive::Malformed` or `Primitive::Unknown`.
//! Addresses stay text here; the gateway's map gives them meaning.
//! Source: SSP reference; shapes marked *ours* are in `search.rs`, `notification.rs` and `session.rs`.

pub mod code;
pub mod codec;
pub mod date;
pub mod digest;
pub mod document;
pub mod entity;
pub mod flaw;
pub mod group;
pub mod invite;
pub mod ladder;
pub mod membership;
pub mod message;
pub mod notification;
pub mod presence;
pub mod profile;
pub mod property;
pub mod search;
pub mod session;
pub mod setup;
pub mod status;
pub mod subscription;
pub mod xml;

pub use code::StatusCode;
pub use codec::{DecodeError, Decoded, MEDIA_TYPE, decode, encode};
pub use date::DateTime;
pub use digest::{PasswordDigest, Secret};
pub use document::{Document, Mode, Primitive, SessionId, Transaction, TransactionId};
pub use entity::{ClientId, Entity, MetaInfo, ScreenName, User};
pub use flaw::Flaw;
pub use group::{
    DeleteGroupRequest, GetGroupSubStatusRequest, GetGroupSubStatusResponse, GroupChangeNotice,
    JoinGroupRequest, JoinGroupResponse, LeaveGroupIndication, LeaveGroupRequest,
    SubscribeGroupChangeRequest, UnsubscribeGroupChangeRequest, UserList,
};
pub use invite::{CancelInviteRequest, InviteRequest, InviteResponse, InviteSubject, InviteType};
pub use membership::{
    AddGroupMemberRequest, GetGroupMemberRequest, GetGroupMemberResponse, GetJoinedUsersRequest,
    GetJoinedUsersResponse, Mapping, MemberAccessRequest, Members, RejectListRequest, RejectListResponse,
    RemoveGroupMemberRequest,
};
pub use message::{ContentData, DeliveryStatusReport, MessageInfo, SendMessageRequest, SendMessageResponse};
pub use notification::{NotificationRequest, NotificationText, NotificationType};
pub use presence::{PresenceAttribute, PresenceAttributeName, PresenceValue, Qualified};
pub use profile::Profile;
pub use property::{
    GetGroupPropsRequest, GetGroupPropsResponse, GroupProperties, Property, SetGroupPropsRequest,
};
pub use search::{SearchElement, SearchPair, SearchRequest, SearchResponse, StopSearchRequest};
pub use session::{KeepAliveRequest, KeepAliveResponse, LogoutRequest};
pub use setup::{LoginRequest, LoginResponse, SendSecretToken, SetupPrimitive, SetupTransaction};
pub use status::{DetailedResult, Status};
pub use subscription::{
    GetPresenceRequest, GetPresenceResponse, PresenceNotification, SubscribeRequest, UnsubscribeRequest,
};
pub use xml::{Limits, Repairs};

#[cfg(test)]
mod dice;
#[cfg(test)]
mod tests;
