//! Watching presence: subscriptions, notifications, and asking once.
//!
//! Notifications may come before the `Status` of their subscription, may be empty (which means nothing is known, not
//! offline), and may carry more than was asked for. Source: SSP reference §10, §12.7 to §12.10.

use super::entity::{MetaInfo, User, required_user_ids, write_user_ids};
use super::flaw::Flaw;
use super::presence::{PresenceAttributeName, PresenceValue, read_attribute_list, write_attribute_list};
use super::status::Status;
use super::xml::{Element, Wire, Writer};

/// Start to watch; replaces an earlier subscription of the same watcher to the same user.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SubscribeRequest {
    /// Its user is the watcher.
    pub meta: Option<MetaInfo>,
    /// Who is watched; never empty once read.
    pub user_ids: Vec<String>,
    /// What is wanted; empty means every attribute.
    pub attributes: Vec<PresenceAttributeName>,
}

/// Stop watching.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UnsubscribeRequest {
    /// Its user is the watcher.
    pub meta: Option<MetaInfo>,
    /// Who is no longer watched; never empty once read.
    pub user_ids: Vec<String>,
}

/// Presence of watched users, for some watchers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PresenceNotification {
    /// Usually absent: the server notifies by itself.
    pub meta: Option<MetaInfo>,
    /// The watchers to be told; `wv:` may be missing. Never empty once read.
    pub users: Vec<User>,
    /// What is known; none at all means that nothing may be known.
    pub values: Vec<PresenceValue>,
}

/// Ask for presence once.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GetPresenceRequest {
    /// Its user is who asks.
    pub meta: Option<MetaInfo>,
    /// Whose presence; `VerUserID` on the wire. Never empty once read.
    pub user_ids: Vec<String>,
    /// What is wanted; empty means every attribute.
    pub attributes: Vec<PresenceAttributeName>,
}

/// The presence asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GetPresenceResponse {
    /// Always written, because the deployed peer needs it; it leaves out its own, which is read as 200.
    pub status: Status,
    /// What is known.
    pub values: Vec<PresenceValue>,
}

impl Wire for SubscribeRequest {
    const NAME: &'static str = "SubscribeRequest";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        Ok(Self {
            meta: element.read_child()?,
            user_ids: required_user_ids(element, Self::NAME, "UserID")?,
            attributes: read_attribute_list(element).unwrap_or_default(),
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.some_wire(self.meta.as_ref());
        write_user_ids(writer, "UserID", &self.user_ids);
        if !self.attributes.is_empty() {
            write_attribute_list(writer, &self.attributes);
        }
    }
}

impl Wire for UnsubscribeRequest {
    const NAME: &'static str = "UnsubscribeRequest";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        Ok(Self {
            meta: element.read_child()?,
            user_ids: required_user_ids(element, Self::NAME, "UserID")?,
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.some_wire(self.meta.as_ref());
        write_user_ids(writer, "UserID", &self.user_ids);
    }
}

impl Wire for PresenceNotification {
    const NAME: &'static str = "PresenceNotification";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        let users: Vec<User> = element.read_children();
        if users.is_empty() {
            return Err(Flaw::MissingElement {
                element: Self::NAME,
                child: User::NAME,
            });
        }
        Ok(Self {
            meta: element.read_child()?,
            users,
            values: element.read_children(),
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.some_wire(self.meta.as_ref());
        writer.wires(&self.users);
        writer.wires(&self.values);
    }
}

impl Wire for GetPresenceRequest {
    const NAME: &'static str = "GetPresenceRequest";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        let user_ids = required_user_ids(element, Self::NAME, "VerUserID");
        Ok(Self {
            meta: element.read_child()?,
            user_ids: user_ids.or_else(|_| required_user_ids(element, Self::NAME, "UserID"))?,
            attributes: read_attribute_list(element).unwrap_or_default(),
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.some_wire(self.meta.as_ref());
        write_user_ids(writer, "VerUserID", &self.user_ids);
        if !self.attributes.is_empty() {
            write_attribute_list(writer, &self.attributes);
        }
    }
}

impl Wire for GetPresenceResponse {
    const NAME: &'static str = "GetPresenceResponse";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        Ok(Self {
            status: Status::read_or_success(element),
            values: element.read_children(),
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.wire(&self.status);
        writer.wires(&self.values);
    }
}
