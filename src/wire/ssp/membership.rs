//! Who belongs to a group: members and their privileges, joined users, the reject list.
//!
//! Source: SSP reference §12.15 to §12.17. Note the singular `Member` in the names.

use super::entity::{MetaInfo, required_user_ids, user_id, user_ids, write_user_ids};
use super::flaw::Flaw;
use super::group::group_requests;
use super::status::Status;
use super::xml::{Element, Wire, Writer};

group_requests! {
    /// Ask for the members of a group.
    GetGroupMemberRequest;
    /// Ask for the joined users of a group.
    GetJoinedUsersRequest;
}

/// Defines requests that name a group and some users.
macro_rules! member_requests {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, Eq, PartialEq)]
            pub struct $name {
                /// The group's address.
                pub group_id: String,
                /// On whose behalf.
                pub meta: Option<MetaInfo>,
                /// Addresses of the users; never empty once read.
                pub user_ids: Vec<String>,
            }

            impl Wire for $name {
                const NAME: &'static str = stringify!($name);

                fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
                    Ok(Self {
                        group_id: element.required_group_id(Self::NAME)?,
                        meta: element.read_child()?,
                        user_ids: required_user_ids(element, Self::NAME, "UserID")?,
                    })
                }

                fn write(&self, writer: &mut Writer) {
                    writer.attribute("groupID", &self.group_id);
                    writer.some_wire(self.meta.as_ref());
                    write_user_ids(writer, "UserID", &self.user_ids);
                }
            }
        )*
    };
}

member_requests! {
    /// Make users members of a group.
    AddGroupMemberRequest;
    /// End the membership of users.
    RemoveGroupMemberRequest;
}

/// Addresses by privilege.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Members {
    /// Administrators.
    pub admins: Vec<String>,
    /// Moderators.
    pub moderators: Vec<String>,
    /// Everybody else.
    pub ordinary_users: Vec<String>,
}

/// The members of a group.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GetGroupMemberResponse {
    /// Read as 200 when absent.
    pub status: Status,
    /// By privilege.
    pub members: Members,
}

/// Give members a privilege.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MemberAccessRequest {
    /// The group's address.
    pub group_id: String,
    /// On whose behalf.
    pub meta: Option<MetaInfo>,
    /// By the privilege to give.
    pub members: Members,
}

/// The joined users of a group.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GetJoinedUsersResponse {
    /// Read as 200 when absent.
    pub status: Status,
    /// Joined administrators.
    pub admins: Vec<Mapping>,
    /// Joined ordinary users; `JoinedUsers` is written, `JoinedUser` read as well.
    pub users: Vec<Mapping>,
    /// Blocked users.
    pub blocked: Vec<Mapping>,
}

/// A screen name and whom it stands for. Element `Mapping`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Mapping {
    /// Wire: `SName`.
    pub screen_name: Option<String>,
    /// The user's address, when it may be known.
    pub user_id: Option<String>,
}

/// Read or change a group's reject list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RejectListRequest {
    /// The group's address.
    pub group_id: String,
    /// On whose behalf.
    pub meta: Option<MetaInfo>,
    /// Addresses to put on the list; both empty: only read it.
    pub add: Vec<String>,
    /// Addresses to take off the list.
    pub remove: Vec<String>,
}

/// A group's reject list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RejectListResponse {
    /// Read as 200 when absent.
    pub status: Status,
    /// The addresses on the list.
    pub rejected: Vec<String>,
}

impl Members {
    fn read(parent: Element<'_, '_>) -> Self {
        Self {
            admins: ids_in(parent, "Admins"),
            moderators: ids_in(parent, "Moderators"),
            ordinary_users: ids_in(parent, "OrdinaryUsers"),
        }
    }

    fn write(&self, writer: &mut Writer) {
        write_ids(writer, "Admins", &self.admins);
        write_ids(writer, "Moderators", &self.moderators);
        write_ids(writer, "OrdinaryUsers", &self.ordinary_users);
    }
}

impl Wire for GetGroupMemberResponse {
    const NAME: &'static str = "GetGroupMemberResponse";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        Ok(Self {
            status: Status::read_or_success(element),
            members: Members::read(element),
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.wire(&self.status);
        self.members.write(writer);
    }
}

impl Wire for MemberAccessRequest {
    const NAME: &'static str = "MemberAccessRequest";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        Ok(Self {
            group_id: element.required_group_id(Self::NAME)?,
            meta: element.read_child()?,
            members: Members::read(element),
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.attribute("groupID", &self.group_id);
        writer.some_wire(self.meta.as_ref());
        self.members.write(writer);
    }
}

impl Wire for GetJoinedUsersResponse {
    const NAME: &'static str = "GetJoinedUsersResponse";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        Ok(Self {
            status: Status::read_or_success(element),
            admins: read_mappings(element, &["JoinedAdmin", "JoinedAdmins"]),
            users: read_mappings(element, &["JoinedUsers", "JoinedUser"]),
            blocked: read_mappings(element, &["JoinedBlocked"]),
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.wire(&self.status);
        write_mappings(writer, "JoinedAdmin", &self.admins);
        write_mappings(writer, "JoinedUsers", &self.users);
        write_mappings(writer, "JoinedBlocked", &self.blocked);
    }
}

impl Wire for RejectListRequest {
    const NAME: &'static str = "RejectListRequest";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        Ok(Self {
            group_id: element.required_group_id(Self::NAME)?,
            meta: element.read_child()?,
            add: ids_in(element, "AddUsers"),
            remove: ids_in(element, "RemoveUsers"),
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.attribute("groupID", &self.group_id);
        writer.some_wire(self.meta.as_ref());
        write_ids(writer, "AddUsers", &self.add);
        write_ids(writer, "RemoveUsers", &self.remove);
    }
}

impl Wire for RejectListResponse {
    const NAME: &'static str = "RejectListResponse";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        Ok(Self {
            status: Status::read_or_success(element),
            rejected: ids_in(element, "RejectList"),
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.wire(&self.status);
        write_ids(writer, "RejectList", &self.rejected);
    }
}

/// The mappings of every child of `parent` with one of the names, whatever lists lie between (SSP reference §12.15).
pub(super) fn read_mappings(parent: Element<'_, '_>, wrappers: &[&str]) -> Vec<Mapping> {
    let wrappers = parent
        .children()
        .filter(|child| wrappers.iter().any(|name| child.is(name)));
    let lists = wrappers.flat_map(|wrapper| inside(wrapper, "UserMapList"));
    let mappings = lists.flat_map(|list| inside(list, "UserMapping"));
    mappings
        .flat_map(|mapping| mapping.children_named("Mapping"))
        .map(|mapping| Mapping {
            screen_name: mapping.text_of("SName"),
            user_id: mapping.child("UserID").and_then(user_id).map(str::to_owned),
        })
        .collect()
}

pub(super) fn write_mappings(writer: &mut Writer, wrapper: &'static str, mappings: &[Mapping]) {
    if mappings.is_empty() {
        return;
    }
    writer.element(wrapper, |writer| {
        writer.element("UserMapList", |writer| {
            writer.element("UserMapping", |writer| {
                mappings.iter().for_each(|mapping| mapping.write(writer))
            });
        });
    });
}

impl Mapping {
    fn write(&self, writer: &mut Writer) {
        writer.element("Mapping", |writer| {
            writer.some_text_element("SName", self.screen_name.as_deref());
            if let Some(user_id) = &self.user_id {
                writer.element("UserID", |writer| writer.attribute("userID", user_id));
            }
        });
    }
}

/// Every child called `name`, or the element itself when there is none.
fn inside<'t, 'a>(element: Element<'t, 'a>, name: &'static str) -> impl Iterator<Item = Element<'t, 'a>> {
    let itself = element.child(name).is_none().then_some(element);
    itself.into_iter().chain(element.children_named(name))
}

fn ids_in(parent: Element<'_, '_>, wrapper: &str) -> Vec<String> {
    parent
        .children_named(wrapper)
        .flat_map(|wrapper| user_ids(wrapper, "UserID"))
        .collect()
}

fn write_ids(writer: &mut Writer, wrapper: &'static str, ids: &[String]) {
    if !ids.is_empty() {
        writer.element(wrapper, |writer| write_user_ids(writer, "UserID", ids));
    }
}
