//! Groups in use: joining, leaving, who comes and goes, deletion.
//!
//! Source: SSP reference §12.11 to §12.14, §12.18.

use super::entity::{MetaInfo, ScreenName, User};
use super::flaw::Flaw;
use super::membership::{Mapping, read_mappings, write_mappings};
use super::message::ContentData;
use super::property::{GroupProperties, Property, read_own_properties, write_own_properties};
use super::status::Status;
use super::xml::{Element, Wire, Writer};

/// Defines requests that name a group and carry nothing else.
macro_rules! group_requests {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, Eq, PartialEq)]
            pub struct $name {
                /// The group's address.
                pub group_id: String,
                /// On whose behalf.
                pub meta: Option<$crate::wire::ssp::entity::MetaInfo>,
            }

            impl $crate::wire::ssp::xml::Wire for $name {
                const NAME: &'static str = stringify!($name);

                fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
                    Ok(Self { group_id: element.required_group_id(Self::NAME)?, meta: element.read_child()? })
                }

                fn write(&self, writer: &mut Writer) {
                    writer.attribute("groupID", &self.group_id);
                    writer.some_wire(self.meta.as_ref());
                }
            }
        )*
    };
}
pub(super) use group_requests;

group_requests! {
    /// Leave a group; answered with `LeaveGroupIndication`.
    LeaveGroupRequest;
    /// Ask for change notices of a group.
    SubscribeGroupChangeRequest;
    /// Ask for no more change notices.
    UnsubscribeGroupChangeRequest;
    /// Ask whether change notices are subscribed.
    GetGroupSubStatusRequest;
    /// Delete a group.
    DeleteGroupRequest;
}

/// Enter a group.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct JoinGroupRequest {
    /// The group's address.
    pub group_id: String,
    /// Whether the answer should say who is there.
    pub joined_list_request: bool,
    /// Whether change notices are wanted. Wire: `subscribeNotif`.
    pub subscribe_notifications: bool,
    /// On whose behalf.
    pub meta: Option<MetaInfo>,
    /// The name wanted in the group.
    pub screen_name: Option<ScreenName>,
    /// The person's own properties in the group.
    pub own_properties: Vec<Property>,
}

/// How entering went.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct JoinGroupResponse {
    /// Read as 200 when absent.
    pub status: Status,
    /// Screen names of those who are there. Wire: `JoinedList/Name`.
    pub joined: Vec<String>,
    /// The group's greeting.
    pub welcome_note: Option<ContentData>,
}

/// Left on request, or put out of the group.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LeaveGroupIndication {
    /// The group's address; empty when an answer leaves it out.
    pub group_id: String,
    /// 200: left on request; another code: failed, put out, or the group is gone. Read as 200 when absent.
    pub status: Status,
    /// Text for people.
    pub reason: Option<String>,
}

/// What changed in a group.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GroupChangeNotice {
    /// The group's address.
    pub group_id: String,
    /// The sender is the group, so not originated by a client.
    pub meta: Option<MetaInfo>,
    /// Who is to be told; never empty once read.
    pub users: Vec<User>,
    /// Screen names that came.
    pub joined: Vec<String>,
    /// Screen names that went.
    pub left: Vec<String>,
    /// Blocked users that came.
    pub joined_blocked: Vec<Mapping>,
    /// Blocked users that went.
    pub left_blocked: UserList,
    /// The group's properties, when they changed.
    pub group_properties: Option<GroupProperties>,
    /// The told person's own properties, when they changed.
    pub own_properties: Vec<Property>,
}

/// People by address or by screen name. Element `UserList`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct UserList {
    /// Those known by address.
    pub users: Vec<User>,
    /// Those known by screen name.
    pub screen_names: Vec<ScreenName>,
}

/// Whether change notices are subscribed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GetGroupSubStatusResponse {
    /// The group's address; empty when the answer leaves it out.
    pub group_id: String,
    /// Whether they are.
    pub subscribed: bool,
    /// Read as 200 when absent.
    pub status: Status,
}

impl Wire for JoinGroupRequest {
    const NAME: &'static str = "JoinGroupRequest";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        Ok(Self {
            group_id: element.required_group_id(Self::NAME)?,
            joined_list_request: element.yes_or_no("joinedListRequest").unwrap_or(false),
            subscribe_notifications: element.yes_or_no("subscribeNotif").unwrap_or(false),
            meta: element.read_child()?,
            screen_name: element.read_child()?,
            own_properties: read_own_properties(element),
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.attribute("groupID", &self.group_id);
        writer.yes_or_no("joinedListRequest", self.joined_list_request);
        writer.yes_or_no("subscribeNotif", self.subscribe_notifications);
        writer.some_wire(self.meta.as_ref());
        writer.some_wire(self.screen_name.as_ref());
        write_own_properties(writer, &self.own_properties);
    }
}

impl Wire for JoinGroupResponse {
    const NAME: &'static str = "JoinGroupResponse";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        Ok(Self {
            status: Status::read_or_success(element),
            joined: names_in(element, "JoinedList"),
            welcome_note: read_welcome_note(element),
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.wire(&self.status);
        write_names(writer, "JoinedList", &self.joined);
        write_welcome_note(writer, self.welcome_note.as_ref());
    }
}

impl Wire for LeaveGroupIndication {
    const NAME: &'static str = "LeaveGroupIndication";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        Ok(Self {
            group_id: element.required_group_id(Self::NAME).unwrap_or_default(),
            status: Status::read_or_success(element),
            reason: element.text_of("ReasonText"),
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.attribute("groupID", &self.group_id);
        writer.wire(&self.status);
        writer.element("ReasonText", |writer| writer.some_text(self.reason.as_deref()));
    }
}

impl Wire for GroupChangeNotice {
    const NAME: &'static str = "GroupChangeNotice";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        let users: Vec<User> = element.read_children();
        if users.is_empty() {
            return Err(Flaw::MissingElement {
                element: Self::NAME,
                child: User::NAME,
            });
        }
        let left_blocked = element.child("LeftBlocked");
        let user_list = left_blocked.map(|blocked| blocked.child(UserList::NAME).unwrap_or(blocked));
        Ok(Self {
            group_id: element.required_group_id(Self::NAME)?,
            meta: element.read_child()?,
            users,
            joined: names_in(element, "Joined"),
            left: names_in(element, "Left"),
            joined_blocked: read_mappings(element, &["JoinedBlocked"]),
            left_blocked: user_list.map(UserList::read).transpose()?.unwrap_or_default(),
            group_properties: element.read_child()?,
            own_properties: read_own_properties(element),
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.attribute("groupID", &self.group_id);
        writer.some_wire(self.meta.as_ref());
        writer.wires(&self.users);
        write_names(writer, "Joined", &self.joined);
        write_names(writer, "Left", &self.left);
        write_mappings(writer, "JoinedBlocked", &self.joined_blocked);
        if self.left_blocked != UserList::default() {
            writer.element("LeftBlocked", |writer| writer.wire(&self.left_blocked));
        }
        writer.some_wire(self.group_properties.as_ref());
        write_own_properties(writer, &self.own_properties);
    }
}

impl Wire for UserList {
    const NAME: &'static str = "UserList";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        Ok(Self {
            users: element.read_children(),
            screen_names: element.read_children(),
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.wires(&self.users);
        writer.wires(&self.screen_names);
    }
}

impl Wire for GetGroupSubStatusResponse {
    const NAME: &'static str = "GetGroupSubStatusResponse";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        Ok(Self {
            group_id: element.required_group_id(Self::NAME).unwrap_or_default(),
            subscribed: element.yes_or_no("subscribed").unwrap_or(false),
            status: Status::read_or_success(element),
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.attribute("groupID", &self.group_id);
        writer.yes_or_no("subscribed", self.subscribed);
        writer.wire(&self.status);
    }
}

/// A greeting that can't be read is none: whoever has joined has joined.
pub(super) fn read_welcome_note(parent: Element<'_, '_>) -> Option<ContentData> {
    parent.child("WelcomeNote")?.read_child().ok().flatten()
}

pub(super) fn write_welcome_note(writer: &mut Writer, note: Option<&ContentData>) {
    if let Some(note) = note {
        writer.element("WelcomeNote", |writer| writer.wire(note));
    }
}

fn names_in(parent: Element<'_, '_>, wrapper: &str) -> Vec<String> {
    parent
        .child(wrapper)
        .map(|wrapper| wrapper.texts_of("Name"))
        .unwrap_or_default()
}

fn write_names(writer: &mut Writer, wrapper: &'static str, names: &[String]) {
    if !names.is_empty() {
        writer.element(wrapper, |writer| writer.text_elements("Name", names));
    }
}
