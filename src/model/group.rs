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

impl GroupEvent {
    /// An event of a group that says nothing yet, to nobody.
    #[must_use]
    pub fn of(group: WvAddress) -> Self {
        Self {
            group,
            to: Vec::new(),
            joined: Vec::new(),
            left: Vec::new(),
            blocked: Vec::new(),
            unblocked: Vec::new(),
            group_properties: Vec::new(),
            own_properties: Vec::new(),
            removed: None,
        }
    }
}

/// Why a group does not do what is asked (SSP reference §13).
///
/// The `Display` is a part of the operator's sentence.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize, thiserror::Error)]
pub enum GroupRefusal {
    /// There is no such group.
    #[error("there is no such group")]
    Unknown,
    /// A property, or its value, is not one that can be set.
    #[error("that property can't be set so")]
    Property,
    /// He has joined before.
    #[error("the person has joined before")]
    AlreadyJoined,
    /// He has not joined.
    #[error("the person has not joined")]
    NotJoined,
    /// He is on the reject list, or blocked by the owner.
    #[error("the person is rejected")]
    Rejected,
    /// He was not invited.
    #[error("the person is no member")]
    NotMember,
    /// Somebody else goes by that name.
    #[error("the screen name is in use")]
    NameInUse,
    /// Nobody there goes by that name.
    #[error("nobody there goes by that name")]
    NoParticipant,
    /// He has as many groups as he may have.
    #[error("the person has too many groups")]
    TooMany,
    /// His privileges don't reach so far.
    #[error("the person's privileges do not reach so far")]
    NotPrivileged,
    /// It has as many members as it may have.
    #[error("the group is full")]
    Full,
}

impl GroupRefusal {
    /// Each of them.
    pub const ALL: [Self; 11] = [
        Self::NoParticipant,
        Self::Unknown,
        Self::Property,
        Self::AlreadyJoined,
        Self::NotJoined,
        Self::Rejected,
        Self::NotMember,
        Self::NameInUse,
        Self::TooMany,
        Self::NotPrivileged,
        Self::Full,
    ];

    /// The IMPS status code.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::NoParticipant => 410,
            Self::Unknown => 800,
            Self::Property => 806,
            Self::AlreadyJoined => 807,
            Self::NotJoined => 808,
            Self::Rejected => 809,
            Self::NotMember => 810,
            Self::NameInUse => 811,
            Self::TooMany => 814,
            Self::NotPrivileged => 816,
            Self::Full => 817,
        }
    }

    /// What a group's server means by an IMPS status code.
    #[must_use]
    pub fn of_status(status: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.status() == status)
    }
}
