//! What a group is: its members, who of them has joined under which name, who is rejected. Nothing here does I/O.
//!
//! Only members join: whoever was invited by the owner or a moderator, or put on the list by one. Who leaves stays a member
//! and may come back; who is removed or rejected may not. A group without anybody in it ends.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::config::number;
use crate::model::{E164, GroupEvent, GroupRefusal, JoinedUser, Privilege, Property, Timestamp, WvAddress};

/// A group, as it is kept (`Space::Home`, key `group/number/name`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct GroupState {
    /// The one form that members are told: `wv:user/name@domain`.
    pub(crate) address: WvAddress,
    /// Who opened it; nobody takes his privileges.
    #[serde(with = "number")]
    pub(crate) owner: E164,
    /// What it is about; may be empty.
    pub(crate) topic: String,
    /// Shown to those who join.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) welcome: Option<String>,
    pub(crate) since: Timestamp,
    /// By canonical identity.
    pub(crate) members: BTreeMap<String, Member>,
    /// Who may not join, by canonical identity.
    #[serde(default)]
    pub(crate) rejected: BTreeMap<String, WvAddress>,
}

/// Somebody who may join, or has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) address: WvAddress,
    pub(crate) privilege: Privilege,
    /// When an invitation that was not taken up ends; absent for who has joined once, or was put on the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) invited_until: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) joined: Option<Joined>,
}

/// Somebody who is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Joined {
    /// What the others call him; no two have the same, whatever the case.
    pub(crate) screen_name: String,
    pub(crate) since: Timestamp,
    /// Whether he is told who comes and goes.
    pub(crate) is_told: bool,
}

impl GroupState {
    /// Somebody who is there.
    ///
    /// # Errors
    /// [`GroupRefusal::NotJoined`].
    pub(crate) fn joined(&self, person: &str) -> Result<&Joined, GroupRefusal> {
        let member = self.members.get(person);
        member
            .and_then(|member| member.joined.as_ref())
            .ok_or(GroupRefusal::NotJoined)
    }

    /// Everybody who is there.
    pub(crate) fn everybody(&self) -> impl Iterator<Item = (&String, &Member, &Joined)> {
        let there = |(person, member)| {
            let member: &Member = member;
            Some((person, member, member.joined.as_ref()?))
        };
        self.members.iter().filter_map(there)
    }

    /// The screen names of those who are there.
    pub(crate) fn names(&self) -> Vec<String> {
        self.everybody()
            .map(|(_, _, joined)| joined.screen_name.clone())
            .collect()
    }

    /// Takes somebody in.
    ///
    /// # Errors
    /// Who is rejected, no member, there already, or goes by the name of somebody who is there.
    pub(crate) fn join(
        &mut self,
        (person, address): (&str, &WvAddress),
        joined: Joined,
    ) -> Result<(), GroupRefusal> {
        if self.rejected.contains_key(person) {
            return Err(GroupRefusal::Rejected);
        }
        let is_taken = self.is_taken(&joined.screen_name, person);
        let member = self.members.get_mut(person).ok_or(GroupRefusal::NotMember)?;
        let is_over = member.invited_until.is_some_and(|until| until <= joined.since);
        if is_over {
            return Err(GroupRefusal::NotMember);
        }
        if member.joined.is_some() {
            return Err(GroupRefusal::AlreadyJoined);
        }
        if is_taken {
            return Err(GroupRefusal::NameInUse);
        }
        // Under the address that he speaks from: news and messages find him there.
        member.address = address.clone();
        member.invited_until = None;
        member.joined = Some(joined);
        Ok(())
    }

    /// An invitation is taken up by whom it was for, who goes by another address here: known by his number to who invited him,
    /// and by his user name to who does not disclose it.
    pub(crate) fn is_also(&mut self, invited: &str, person: &str) {
        if !self.members.contains_key(person)
            && self.members.get(invited).is_some_and(is_pending)
            && let Some(member) = self.members.remove(invited)
        {
            self.members.insert(person.to_owned(), member);
        }
    }

    /// Lets somebody go; he may come back. His name.
    ///
    /// # Errors
    /// [`GroupRefusal::NotJoined`].
    pub(crate) fn leave(&mut self, person: &str) -> Result<String, GroupRefusal> {
        let member = self.members.get_mut(person);
        let joined = member.and_then(|member| member.joined.take());
        joined
            .map(|joined| joined.screen_name)
            .ok_or(GroupRefusal::NotJoined)
    }

    /// Calls somebody who is there by another name. The old one.
    ///
    /// # Errors
    /// When he is not there, or another goes by that name.
    pub(crate) fn rename(&mut self, person: &str, name: &str) -> Result<String, GroupRefusal> {
        let is_taken = self.is_taken(name, person);
        let member = self.members.get_mut(person);
        let joined = member.and_then(|member| member.joined.as_mut());
        let joined = joined.ok_or(GroupRefusal::NotJoined)?;
        if is_taken {
            return Err(GroupRefusal::NameInUse);
        }
        Ok(std::mem::replace(&mut joined.screen_name, name.to_owned()))
    }

    /// Lets somebody join from now on; whoever is a member stays what he is.
    ///
    /// # Errors
    /// When he is rejected, or the group is full.
    pub(crate) fn add(
        &mut self,
        (person, address): (String, WvAddress),
        invited_until: Option<Timestamp>,
        (now, most): (Timestamp, usize),
    ) -> Result<(), GroupRefusal> {
        if self.rejected.contains_key(&person) {
            return Err(GroupRefusal::Rejected);
        }
        let is_open = |member: &Member| member.invited_until.is_none_or(|until| until > now);
        self.members.retain(|_, member| is_open(member));
        if let Some(member) = self.members.get_mut(&person) {
            if member.invited_until.is_some() {
                member.invited_until = invited_until;
            }
            return Ok(());
        }
        if self.members.len() >= most {
            return Err(GroupRefusal::Full);
        }
        let member = Member {
            address,
            privilege: Privilege::Ordinary,
            invited_until,
            joined: None,
        };
        self.members.insert(person, member);
        Ok(())
    }

    /// Puts somebody out for good, as far as nobody invites him again; `None` when he was no member.
    ///
    /// # Errors
    /// [`GroupRefusal::NotPrivileged`] for the owner, and for a moderator who goes against one of the same privileges.
    pub(crate) fn remove(&mut self, by: &str, person: &str) -> Result<Option<Member>, GroupRefusal> {
        let Some(member) = self.members.get(person) else {
            return Ok(None);
        };
        let is_above = rank(self.privilege(by)) > rank(Some(member.privilege));
        let is_admin = self.privilege(by) == Some(Privilege::Admin);
        if self.is_owner(person) || !(is_above || is_admin) {
            return Err(GroupRefusal::NotPrivileged);
        }
        Ok(self.members.remove(person))
    }

    /// Drops an invitation that was not taken up: it was withdrawn or declined.
    pub(crate) fn forget_invited(&mut self, person: &str) {
        if self.members.get(person).is_some_and(is_pending) {
            self.members.remove(person);
        }
    }

    /// What somebody may do; `None` for who is no member.
    pub(crate) fn privilege(&self, person: &str) -> Option<Privilege> {
        self.members.get(person).map(|member| member.privilege)
    }

    /// Whether somebody has at least this privilege.
    ///
    /// # Errors
    /// [`GroupRefusal::NotMember`] or [`GroupRefusal::NotPrivileged`].
    pub(crate) fn require(&self, person: &str, privilege: Privilege) -> Result<(), GroupRefusal> {
        let own = self.privilege(person).ok_or(GroupRefusal::NotMember)?;
        if rank(Some(own)) < rank(Some(privilege)) {
            return Err(GroupRefusal::NotPrivileged);
        }
        Ok(())
    }

    /// Gives a member other privileges.
    ///
    /// # Errors
    /// For the owner, whose privileges stay, and for who is no member.
    pub(crate) fn set_privilege(&mut self, person: &str, privilege: Privilege) -> Result<(), GroupRefusal> {
        if self.is_owner(person) && privilege != Privilege::Admin {
            return Err(GroupRefusal::NotPrivileged);
        }
        let member = self.members.get_mut(person).ok_or(GroupRefusal::NotMember)?;
        member.privilege = privilege;
        Ok(())
    }

    /// Whether that is the owner.
    pub(crate) fn is_owner(&self, person: &str) -> bool {
        person.strip_prefix('+') == Some(self.owner.digits())
    }

    /// The news that everybody gets who wants to be told, but one person whom it is about; `None` when nobody does.
    pub(crate) fn news(&self, but: Option<&str>) -> Option<GroupEvent> {
        let told = self
            .everybody()
            .filter(|(person, _, joined)| joined.is_told && but != Some(person.as_str()));
        let to: Vec<_> = told.map(|(_, member, _)| member.address.clone()).collect();
        (!to.is_empty()).then(|| GroupEvent {
            to,
            ..GroupEvent::of(self.address.clone())
        })
    }

    /// Tells these people that they are out.
    pub(crate) fn farewell(&self, to: Vec<WvAddress>, why: GroupRefusal, reason: &str) -> Option<GroupEvent> {
        let removed = Some((why.status(), reason.to_owned()));
        (!to.is_empty()).then(|| GroupEvent {
            to,
            removed,
            ..GroupEvent::of(self.address.clone())
        })
    }

    /// The properties that anybody in it may read (SSP reference §12.18).
    pub(crate) fn properties(&self, most: usize) -> Vec<Property> {
        let there = self.everybody().count();
        let name = self.address.resource().unwrap_or_default();
        let all = [
            ("Name", name.to_owned()),
            ("Topic", self.topic.clone()),
            ("Type", "Private".to_owned()),
            ("AccessType", "Restricted".to_owned()),
            ("PrivateMessaging", "T".to_owned()),
            ("Searchable", "F".to_owned()),
            ("AutoDelete", "T".to_owned()),
            ("ActiveUsers", there.to_string()),
            ("MaxActiveUsers", most.to_string()),
        ];
        all.map(|(name, value)| property(name, value)).into()
    }

    /// What a member's own properties are.
    pub(crate) fn own_properties(&self, person: &str) -> Vec<Property> {
        let level = match self.privilege(person) {
            Some(Privilege::Admin) => "Admin",
            Some(Privilege::Moderator) => "Mod",
            Some(Privilege::Ordinary) | None => "User",
        };
        let name = self.joined(person).map(|joined| joined.screen_name.clone());
        let name = name.ok().map(|name| property("ScreenName", name));
        name.into_iter()
            .chain([property("PrivilegeLevel", level.to_owned())])
            .collect()
    }

    /// Who is there, for somebody who is: addresses only for who leads the group, and one's own.
    pub(crate) fn listed_for(&self, asker: &str) -> (Vec<JoinedUser>, Vec<JoinedUser>) {
        let sees_all = self.require(asker, Privilege::Moderator).is_ok();
        let (mut admins, mut users) = (Vec::new(), Vec::new());
        for (person, member, joined) in self.everybody() {
            let list = match member.privilege {
                Privilege::Admin => &mut admins,
                Privilege::Moderator | Privilege::Ordinary => &mut users,
            };
            let user = (sees_all || person == asker).then(|| member.address.clone());
            list.push(JoinedUser {
                screen_name: Some(joined.screen_name.clone()),
                user,
            });
        }
        (admins, users)
    }

    fn is_taken(&self, name: &str, but: &str) -> bool {
        let name = name.to_lowercase();
        self.everybody()
            .any(|(person, _, joined)| person != but && joined.screen_name.to_lowercase() == name)
    }
}

/// A property by its IMPS name.
pub(crate) fn property(name: &str, value: String) -> Property {
    Property {
        name: name.to_owned(),
        value,
    }
}

/// Whether an invitation was not taken up yet.
fn is_pending(member: &Member) -> bool {
    member.invited_until.is_some() && member.joined.is_none()
}

fn rank(privilege: Option<Privilege>) -> u8 {
    match privilege {
        Some(Privilege::Admin) => 3,
        Some(Privilege::Moderator) => 2,
        Some(Privilege::Ordinary) => 1,
        None => 0,
    }
}
