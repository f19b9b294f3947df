//! Groups, as far as one operator's gateway passes them to another's (SSP reference §12.11 to §12.18).

use serde::{Deserialize, Serialize};

use super::{Content, WvAddress};

/// A group primitive from a member elsewhere to the group's server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupRequest {
    /// Who asks.
    pub by: WvAddress,
    /// The group.
    pub group: WvAddress,
    /// What is asked.
    pub action: GroupAction,
}

/// What is asked of a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum GroupAction {
    /// Take part.
    Join {
        /// The name wanted in the group.
        screen_name: Option<String>,
        /// Whether to be told who is there.
        list_joined: bool,
        /// Whether to be told of changes.
        subscribe: bool,
        /// The member's own properties.
        own_properties: Vec<Property>,
    },
    /// Leave.
    Leave,
    /// Be told of changes.
    SubscribeChanges,
    /// No more.
    UnsubscribeChanges,
    /// Whether one is told of changes.
    SubscriptionStatus,
    /// Who is a member.
    Members,
    /// Who is there now.
    JoinedUsers,
    /// New members.
    AddMembers(Vec<WvAddress>),
    /// Members put out.
    RemoveMembers(Vec<WvAddress>),
    /// Privileges to give.
    SetPrivileges(Vec<(Privilege, WvAddress)>),
    /// Reads the group's and one's own properties.
    Properties,
    /// Changes them.
    SetProperties {
        /// Of the group.
        group: Vec<Property>,
        /// Shown to those who join.
        welcome_note: Option<Content>,
        /// One's own.
        own: Vec<Property>,
    },
    /// Reads and changes who may not join.
    RejectList {
        /// To add.
        add: Vec<WvAddress>,
        /// To remove.
        remove: Vec<WvAddress>,
    },
    /// Ends the group.
    Delete,
}

/// A member's rights in a group.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Privilege {
    /// May do everything.
    Admin,
    /// May moderate.
    Moderator,
    /// An ordinary user.
    Ordinary,
}

/// A property of a group or of a member.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Property {
    /// Its IMPS name, such as `Topic`.
    pub name: String,
    /// Its value; booleans are `T` and `F`.
    pub value: String,
}

/// Somebody who is in a group now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JoinedUser {
    /// The name shown in the group.
    pub screen_name: Option<String>,
    /// Who it is, when that may be known.
    pub user: Option<WvAddress>,
}

/// The answer of the group's server, where it is more than success.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum GroupAnswer {
    /// Joined.
    Joined {
        /// Screen names of those who are there.
        names: Vec<String>,
        /// The group's welcome.
        welcome_note: Option<Content>,
    },
    /// Left.
    Left,
    /// Whether changes are told.
    SubscriptionStatus(bool),
    /// The members with their privileges.
    Members(Vec<(Privilege, WvAddress)>),
    /// Who is there now.
    JoinedUsers {
        /// Administrators.
        admins: Vec<JoinedUser>,
        /// Ordinary users.
        users: Vec<JoinedUser>,
        /// Blocked users.
        blocked: Vec<JoinedUser>,
    },
    /// Properties of the group and one's own.
    Properties {
        /// Of the group.
        group: Vec<Property>,
        /// The welcome note.
        welcome_note: Option<Content>,
        /// One's own.
        own: Vec<Property>,
    },
    /// Who may not join.
    RejectList(Vec<WvAddress>),
    /// Done, with nothing to tell.
    Done,
}

/// Something that happened in a group, told to members elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupEvent {
    /// The group that speaks.
    pub group: WvAddress,
    /// Who is told.
    pub to: Vec<WvAddress>,
    /// Screen names that came.
    pub joined: Vec<String>,
    /// Screen names that went.
    pub left: Vec<String>,
    /// Users who were blocked.
    pub blocked: Vec<JoinedUser>,
    /// Users who are blocked no more.
    pub unblocked: Vec<JoinedUser>,
    /// The group's properties, when they changed.
    pub group_properties: Vec<Property>,
    /// The member's own properties, when they changed.
    pub own_properties: Vec<Property>,
    /// The member was put out, or the group was deleted: IMPS status and reason.
    pub removed: Option<(u16, String)>,
}
