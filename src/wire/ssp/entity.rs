//! People, groups and screen names as they stand on the wire, and on whose behalf a request is made.
//!
//! Addresses are text: `wv:` may be missing, the domain may be missing, and only the gateway knows what that means.
//! Source: SSP reference §6, §7; `Via` is ours.

use super::flaw::Flaw;
use super::xml::{Element, Wire, Writer};

/// A user, with the device when it is known. Element `User`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct User {
    /// Address as written.
    pub user_id: String,
    /// Display name, when the sender discloses one.
    pub friendly_name: Option<String>,
    /// One device of the user; `None` means any.
    pub client: Option<ClientId>,
}

/// One device or application of a user. Element `ClientID`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ClientId {
    /// The client's URL; may be empty.
    pub url: String,
    /// Opaque client name, the element's text.
    pub name: Option<String>,
    /// The application, when one is addressed.
    pub application_id: Option<String>,
}

/// A participant of a group by the name used there. Element `ScreenName`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ScreenName {
    /// The group's address; empty when the peer left it out.
    pub group_id: String,
    /// The name in the group.
    pub name: String,
}

/// Whoever sends, receives, invites or is invited.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Entity {
    /// A person.
    User(User),
    /// Everybody joined to the group at this address.
    GroupId(String),
    /// One participant of a group.
    ScreenName(ScreenName),
}

/// On whose behalf a request is made. Element `MetaInfo`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MetaInfo {
    /// Whether a user asked for it, rather than the server by itself.
    pub client_originated: bool,
    /// `wv:@domain` of the requesting server.
    pub service_id: Option<String>,
    /// The requesting user; the domain is checked against the session's.
    pub user: Option<User>,
    /// The domains of the gateways that relayed the request, in order, at most `MetaInfo::MAX_VIA`; ours.
    pub via: Vec<String>,
}

impl User {
    /// A user without a display name or a device.
    pub fn new(user_id: impl Into<String>) -> Self {
        Self {
            user_id: user_id.into(),
            friendly_name: None,
            client: None,
        }
    }
}

impl Entity {
    /// A person without a display name or a device.
    pub fn user(user_id: impl Into<String>) -> Self {
        Self::User(User::new(user_id))
    }

    /// The person, when it is one.
    pub const fn as_user(&self) -> Option<&User> {
        match self {
            Self::User(user) => Some(user),
            Self::GroupId(_) | Self::ScreenName(_) => None,
        }
    }

    /// The address: the user's, or the group's for both other kinds.
    pub fn address(&self) -> &str {
        match self {
            Self::User(user) => &user.user_id,
            Self::GroupId(group_id) => group_id,
            Self::ScreenName(screen_name) => &screen_name.group_id,
        }
    }

    /// The first child that names somebody.
    pub(super) fn read_first(parent: Element<'_, '_>) -> Option<Self> {
        parent.children().find_map(Self::read)
    }

    /// The one child of `parent` called `wrapper` that holds somebody.
    pub(super) fn read_required(
        parent: Element<'_, '_>,
        element: &'static str,
        wrapper: &'static str,
    ) -> Result<Self, Flaw> {
        let wrapped = parent.child(wrapper).ok_or(Flaw::MissingElement {
            element,
            child: wrapper,
        })?;
        let entity = Self::read_first(wrapped);
        entity.ok_or(Flaw::MissingElement {
            element: wrapper,
            child: "User, GroupID or ScreenName",
        })
    }

    pub(super) fn read(element: Element<'_, '_>) -> Option<Self> {
        if element.is(User::NAME) || element.is("UserID") {
            return User::read(element).ok().map(Self::User);
        }
        if element.is("GroupID") {
            return group_id(element).map(|group_id| Self::GroupId(group_id.to_owned()));
        }
        if element.is(ScreenName::NAME) {
            return ScreenName::read(element).ok().map(Self::ScreenName);
        }
        None
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        match self {
            Self::User(user) => writer.wire(user),
            Self::GroupId(group_id) => write_group_id(writer, group_id),
            Self::ScreenName(screen_name) => writer.wire(screen_name),
        }
    }

    pub(super) fn write_in(&self, writer: &mut Writer, wrapper: &'static str) {
        writer.element(wrapper, |writer| self.write(writer));
    }
}

impl MetaInfo {
    /// How many `Via` a request may carry.
    pub const MAX_VIA: usize = 8;

    /// A request made for `user` by the server `service_id` (`wv:@domain`).
    pub fn for_user(service_id: impl Into<String>, user: User) -> Self {
        Self {
            client_originated: true,
            service_id: Some(service_id.into()),
            user: Some(user),
            via: Vec::new(),
        }
    }

    /// A request that the server `service_id` (`wv:@domain`) makes by itself.
    pub fn for_server(service_id: impl Into<String>) -> Self {
        Self {
            client_originated: false,
            service_id: Some(service_id.into()),
            user: None,
            via: Vec::new(),
        }
    }
}

impl Wire for User {
    const NAME: &'static str = "User";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        let user_id = user_id(element).ok_or(Flaw::MissingAttribute {
            element: Self::NAME,
            attribute: "userID",
        })?;
        let mut client = element.child(ClientId::NAME).map(ClientId::read_leniently);
        if let Some(application) = element.child("ApplicationID").and_then(application_id) {
            client
                .get_or_insert_default()
                .application_id
                .get_or_insert_with(|| application.to_owned());
        }
        Ok(Self {
            user_id: user_id.to_owned(),
            friendly_name: element.some_attribute("friendlyName"),
            client,
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.attribute("userID", &self.user_id);
        writer.some_attribute("friendlyName", self.friendly_name.as_deref());
        if let Some(client) = &self.client {
            writer.wire(client);
        }
    }
}

impl ClientId {
    fn read_leniently(element: Element<'_, '_>) -> Self {
        Self {
            url: element.attribute("url").unwrap_or_default().to_owned(),
            name: element.some_text(),
            application_id: element
                .child("ApplicationID")
                .and_then(application_id)
                .map(str::to_owned),
        }
    }
}

impl Wire for ClientId {
    const NAME: &'static str = "ClientID";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        Ok(Self::read_leniently(element))
    }

    fn write(&self, writer: &mut Writer) {
        writer.attribute("url", &self.url);
        if let Some(application_id) = &self.application_id {
            writer.element("ApplicationID", |writer| {
                writer.attribute("applicationID", application_id)
            });
        }
        writer.some_text(self.name.as_deref());
    }
}

impl Wire for ScreenName {
    const NAME: &'static str = "ScreenName";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        Ok(Self {
            group_id: element.attribute("groupID").unwrap_or_default().to_owned(),
            name: element.text().to_owned(),
        })
    }

    fn write(&self, writer: &mut Writer) {
        if !self.group_id.is_empty() {
            writer.attribute("groupID", &self.group_id);
        }
        writer.text(&self.name);
    }
}

impl Wire for MetaInfo {
    const NAME: &'static str = "MetaInfo";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        let requestor = element.child("Requestor");
        Ok(Self {
            client_originated: element.yes_or_no("clientOriginated").unwrap_or(true),
            service_id: requestor.and_then(|requestor| requestor.some_attribute("serviceID")),
            user: requestor
                .and_then(|requestor| requestor.child(User::NAME))
                .and_then(|user| User::read(user).ok()),
            via: element
                .children_named("Via")
                .filter_map(|via| via.scalar("domain"))
                .map(str::to_owned)
                .collect(),
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.yes_or_no("clientOriginated", self.client_originated);
        if self.service_id.is_some() || self.user.is_some() {
            writer.element("Requestor", |writer| {
                writer.some_attribute("serviceID", self.service_id.as_deref());
                if let Some(user) = &self.user {
                    writer.wire(user);
                }
            });
        }
        for domain in &self.via {
            writer.element("Via", |writer| writer.attribute("domain", domain));
        }
    }
}

/// The address in a `User`, `UserID` or `VerUserID` in any of the spellings seen; `None` when there is none.
pub(super) fn user_id<'t>(element: Element<'t, '_>) -> Option<&'t str> {
    let id = element.attribute("userID").unwrap_or_else(|| element.text());
    (!id.is_empty()).then_some(id)
}

/// The addresses of the direct children of `parent` called `name`; those without an address are passed over.
pub(super) fn user_ids(parent: Element<'_, '_>, name: &str) -> Vec<String> {
    parent
        .children_named(name)
        .filter_map(user_id)
        .map(str::to_owned)
        .collect()
}

/// As `user_ids`, but at least one is needed.
pub(super) fn required_user_ids(
    parent: Element<'_, '_>,
    element: &'static str,
    child: &'static str,
) -> Result<Vec<String>, Flaw> {
    let ids = user_ids(parent, child);
    if ids.is_empty() {
        Err(Flaw::MissingElement { element, child })
    } else {
        Ok(ids)
    }
}

pub(super) fn write_user_ids(writer: &mut Writer, name: &'static str, ids: &[String]) {
    for id in ids {
        writer.element(name, |writer| writer.attribute("userID", id));
    }
}

/// The address in a `GroupID`; `None` when there is none.
pub(super) fn group_id<'t>(element: Element<'t, '_>) -> Option<&'t str> {
    let id = element.attribute("groupID").unwrap_or_else(|| element.text());
    (!id.is_empty()).then_some(id)
}

pub(super) fn write_group_id(writer: &mut Writer, group_id: &str) {
    writer.element("GroupID", |writer| writer.attribute("groupID", group_id));
}

/// The ID in an `ApplicationID`; `None` when there is none.
pub(super) fn application_id<'t>(element: Element<'t, '_>) -> Option<&'t str> {
    let id = element
        .attribute("applicationID")
        .unwrap_or_else(|| element.text());
    (!id.is_empty()).then_some(id)
}

pub(super) fn write_application_id(writer: &mut Writer, application_id: &str) {
    writer.element("ApplicationID", |writer| {
        writer.attribute("applicationID", application_id)
    });
}
