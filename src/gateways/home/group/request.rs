//! What members ask of a group here, wherever they are served: each action is carried out, or refused with its status.

use std::collections::BTreeSet;

use super::{
    super::{HomeDomain, accounts::MAX_NAME, incoming::Invited, text},
    Group, GroupState, Joined, Say, property,
};
use crate::model::{
    Answer, Content, GroupAction, GroupAnswer, GroupRefusal, GroupRequest, Outcome, Privilege, Property,
    Refusal, Timestamp, WvAddress,
};

impl HomeDomain {
    /// Carries out what somebody asks of a group that lives here.
    pub(crate) async fn asked_of_group(&self, request: GroupRequest) -> Outcome {
        let group = self.group(&request.group)?;
        let person = self.person(&request.by);
        let answer = match request.action {
            GroupAction::Join {
                screen_name,
                list_joined,
                subscribe,
                own_properties,
            } => {
                let invited = self.invited_as(&group, &own_properties).await?;
                let joining = (screen_name, list_joined, subscribe, invited);
                return self
                    .join_group_of_ours(&group, (&person, &request.by), joining)
                    .await;
            }
            GroupAction::Leave => {
                self.leave_group_of_ours(&group, &person).await?;
                GroupAnswer::Left
            }
            GroupAction::SubscribeChanges => return self.set_told(&group, &person, true).await,
            GroupAction::UnsubscribeChanges => return self.set_told(&group, &person, false).await,
            GroupAction::SubscriptionStatus => {
                let state = group.state();
                GroupAnswer::SubscriptionStatus(in_group(&group, state.joined(&person))?.is_told)
            }
            GroupAction::Members => {
                let state = group.state();
                in_group(&group, state.require(&person, Privilege::Moderator))?;
                let member = |member: &super::Member| (member.privilege, member.address.clone());
                GroupAnswer::Members(state.members.values().map(member).collect())
            }
            GroupAction::JoinedUsers => {
                let state = group.state();
                in_group(&group, state.joined(&person))?;
                let (admins, users) = state.listed_for(&person);
                GroupAnswer::JoinedUsers {
                    admins,
                    users,
                    blocked: Vec::new(),
                }
            }
            GroupAction::AddMembers(people) => {
                return self.add_members(&group, &person, (&people, None)).await.map(done);
            }
            GroupAction::RemoveMembers(people) => {
                return self.remove_members(&group, &person, &people).await.map(done);
            }
            GroupAction::SetPrivileges(privileges) => {
                return self.set_privileges(&group, &person, &privileges).await.map(done);
            }
            GroupAction::Properties => {
                let state = group.state();
                in_group(&group, state.privilege(&person).ok_or(GroupRefusal::NotMember))?;
                GroupAnswer::Properties {
                    group: state.properties(self.config.limits.group_members),
                    welcome_note: state.welcome.as_deref().map(Content::text),
                    own: state.own_properties(&person),
                }
            }
            GroupAction::SetProperties {
                group: properties,
                welcome_note,
                own,
            } => {
                let set = (properties, welcome_note, own);
                return self.set_properties(&group, &person, set).await.map(done);
            }
            GroupAction::RejectList { add, remove } => {
                self.change_rejected(&group, &person, (&add, &remove)).await?
            }
            GroupAction::Delete => {
                let is_owner = group.state().is_owner(&person);
                if !is_owner {
                    return Err(group.refuses(GroupRefusal::NotPrivileged));
                }
                self.end_group(&group, &person).await?;
                GroupAnswer::Done
            }
        };
        Ok(Answer::Group(answer))
    }

    async fn join_group_of_ours(
        &self,
        group: &Group,
        (person, address): (&str, &WvAddress),
        (screen_name, list_joined, subscribe, invited): (Option<String>, bool, bool, Option<String>),
    ) -> Outcome {
        let now = self.clock.now();
        let name = screen_name.map(|name| text::line(&name, MAX_NAME));
        let name = name.filter(|name| !name.is_empty());
        if self.is_blocked_by_owner(group, person) {
            return Err(group.refuses(GroupRefusal::Rejected));
        }
        let answer = self.change_group(group, |state| {
            if let Some(invited) = &invited {
                state.is_also(invited, person);
            }
            let name = name.unwrap_or_else(|| free_name(state));
            in_group(group, participant_of(state, &name))?;
            let joined = Joined {
                screen_name: name.clone(),
                since: now,
                is_told: subscribe,
            };
            in_group(group, state.join((person, &address.canonical()), joined))?;
            let news = state.news(Some(person)).map(|mut news| {
                news.joined = vec![name];
                Say::News(news)
            });
            let names = if list_joined { state.names() } else { Vec::new() };
            let welcome_note = state.welcome.as_deref().map(Content::text);
            Ok((
                GroupAnswer::Joined { names, welcome_note },
                news.into_iter().collect(),
            ))
        });
        Ok(Answer::Group(answer.await?))
    }

    /// Who was invited by the invitation that somebody shows who joins; only who was invited, and his server, know its ID.
    async fn invited_as(&self, group: &Group, properties: &[Property]) -> Result<Option<String>, Refusal> {
        let Some(shown) = properties.iter().find(|one| one.name == INVITE_ID) else {
            return Ok(None);
        };
        let leaders: Vec<_> = {
            let state = group.state();
            let leads = state
                .members
                .values()
                .filter(|one| one.privilege != Privilege::Ordinary);
            leads.map(|one| one.address.clone()).collect()
        };
        for leader in leaders {
            let Some(leader) = self.active(&leader) else {
                continue;
            };
            let row = Invited::by_him(&leader.number, &shown.value);
            let invited = self.invitation(&row).await?;
            let is_to_it = |one: &Invited| one.is_to_join && one.group.as_ref() == Some(&group.address);
            if let Some(invited) = invited.filter(is_to_it) {
                return Ok(Some(self.person(&invited.other)));
            }
        }
        Ok(None)
    }

    /// Lets a member of a group of ours go.
    ///
    /// # Errors
    /// When he is not in it, or the store can't be written.
    pub(crate) async fn leave_group_of_ours(&self, group: &Group, person: &str) -> Result<(), Refusal> {
        self.change_group(group, |state| {
            let name = in_group(group, state.leave(person))?;
            Ok(((), left(state, None, vec![name])))
        })
        .await
    }

    /// Lets people join: on the owner's or a moderator's word, for good or as long as an invitation stands.
    ///
    /// # Errors
    /// When that is not his to say, one of them is rejected or blocked by the owner, or the group is full.
    pub(crate) async fn add_members(
        &self,
        group: &Group,
        by: &str,
        (people, until): (&[WvAddress], Option<Timestamp>),
    ) -> Result<(), Refusal> {
        let bounds = (self.clock.now(), self.config.limits.group_members);
        let people = people.iter().map(|one| (self.person(one), one.canonical()));
        let people: Vec<_> = people.collect();
        if people.iter().any(|(one, _)| self.is_blocked_by_owner(group, one)) {
            return Err(group.refuses(GroupRefusal::Rejected));
        }
        self.change_group(group, |state| {
            in_group(group, state.require(by, Privilege::Moderator))?;
            for one in people {
                in_group(group, state.add(one, until, bounds))?;
            }
            Ok(((), Vec::new()))
        })
        .await
    }

    async fn remove_members(&self, group: &Group, by: &str, people: &[WvAddress]) -> Result<(), Refusal> {
        let people: Vec<_> = people.iter().map(|one| self.person(one)).collect();
        self.change_group(group, |state| {
            in_group(group, state.require(by, Privilege::Moderator))?;
            let mut out = Out::default();
            for person in &people {
                let member = in_group(group, state.remove(by, person))?;
                out.takes(&member.ok_or_else(|| group.refuses(GroupRefusal::NotMember))?);
            }
            Ok(((), out.said(state)))
        })
        .await
    }

    async fn set_privileges(
        &self,
        group: &Group,
        by: &str,
        privileges: &[(Privilege, WvAddress)],
    ) -> Result<(), Refusal> {
        let people: Vec<_> = privileges
            .iter()
            .map(|(privilege, one)| (*privilege, self.person(one)))
            .collect();
        self.change_group(group, |state| {
            in_group(group, state.require(by, Privilege::Admin))?;
            for (privilege, person) in &people {
                in_group(group, state.set_privilege(person, *privilege))?;
            }
            Ok(((), Vec::new()))
        })
        .await
    }

    async fn set_told(&self, group: &Group, person: &str, is_told: bool) -> Outcome {
        self.change_group(group, |state| {
            let member = state.members.get_mut(person);
            let joined = member.and_then(|member| member.joined.as_mut());
            in_group(group, joined.ok_or(GroupRefusal::NotJoined))?.is_told = is_told;
            Ok(((), Vec::new()))
        })
        .await
        .map(done)
    }

    async fn set_properties(
        &self,
        group: &Group,
        by: &str,
        (properties, welcome, own): (Vec<Property>, Option<Content>, Vec<Property>),
    ) -> Result<(), Refusal> {
        let welcome = match &welcome {
            Some(note) => Some(text::line(
                note.as_text()
                    .ok_or_else(|| group.refuses(GroupRefusal::Property))?,
                MAX_TOPIC,
            )),
            None => None,
        };
        self.change_group(group, |state| {
            in_group(group, state.privilege(by).ok_or(GroupRefusal::NotMember))?;
            let mut said = Vec::new();
            if !properties.is_empty() || welcome.is_some() {
                in_group(group, state.require(by, Privilege::Admin))?;
                in_group(group, set_group(state, &properties))?;
                if let Some(welcome) = welcome {
                    state.welcome = Some(welcome).filter(|welcome| !welcome.is_empty());
                }
                said.extend(state.news(None).map(|mut news| {
                    news.group_properties = vec![property("Topic", state.topic.clone())];
                    Say::News(news)
                }));
            }
            for one in &own {
                said.extend(set_own(group, state, by, one)?);
            }
            Ok(((), said))
        })
        .await
    }

    async fn change_rejected(
        &self,
        group: &Group,
        by: &str,
        (add, remove): (&[WvAddress], &[WvAddress]),
    ) -> Result<GroupAnswer, Refusal> {
        let named = |people: &[WvAddress]| -> Vec<_> {
            let name = |one: &WvAddress| (self.person(one), one.canonical());
            people.iter().map(name).collect()
        };
        let (add, remove) = (named(add), named(remove));
        let most = self.config.limits.rules;
        self.change_group(group, |state| {
            in_group(group, state.require(by, Privilege::Moderator))?;
            let mut out = Out::default();
            for (person, _) in &remove {
                state.rejected.remove(person);
            }
            for (person, address) in add {
                if state.is_owner(&person) {
                    return Err(group.refuses(GroupRefusal::NotPrivileged));
                }
                if let Some(member) = in_group(group, state.remove(by, &person))? {
                    out.takes(&member);
                }
                state.rejected.insert(person, address);
            }
            if state.rejected.len() > most {
                return Err(group.refuses(GroupRefusal::Full));
            }
            let list = state.rejected.values().cloned().collect();
            Ok((GroupAnswer::RejectList(list), out.said(state)))
        })
        .await
    }

    /// Whether the owner accepts nothing from a person: then he joins none of his groups.
    fn is_blocked_by_owner(&self, group: &Group, person: &str) -> bool {
        let owner = WvAddress::msisdn(group.state().owner.clone());
        self.subscriber(&owner)
            .is_some_and(|owner| owner.state().relations.blocks.contains_key(person))
    }
}

/// Members who are put out by one request.
#[derive(Default)]
struct Out {
    names: Vec<String>,
    told: Vec<WvAddress>,
}

impl Out {
    fn takes(&mut self, member: &super::Member) {
        if let Some(joined) = &member.joined {
            self.names.push(joined.screen_name.clone());
            self.told.push(member.address.clone());
        }
    }

    /// They are told that they are out, the others that they went.
    fn said(self, state: &GroupState) -> Vec<Say> {
        let reason = "put out of the group";
        let farewell = state.farewell(self.told, GroupRefusal::Rejected, reason);
        left(state, farewell.map(Say::News), self.names)
    }
}

/// What is said when people went.
fn left(state: &GroupState, first: Option<Say>, names: Vec<String>) -> Vec<Say> {
    let news = state.news(None).filter(|_| !names.is_empty());
    let news = news.map(|mut news| {
        news.left = names;
        Say::News(news)
    });
    first.into_iter().chain(news).collect()
}

/// Sets what can be set of a group; what it is already may be said again.
fn set_group(state: &mut GroupState, properties: &[Property]) -> Result<(), GroupRefusal> {
    let fixed = state.properties(0);
    let names: BTreeSet<&str> = properties.iter().map(|one| one.name.as_str()).collect();
    if names.len() != properties.len() {
        return Err(GroupRefusal::Property);
    }
    for one in properties {
        if one.name == "Topic" {
            state.topic = text::line(&one.value, MAX_TOPIC);
        } else if !fixed.contains(one) {
            return Err(GroupRefusal::Property);
        }
    }
    Ok(())
}

/// Sets a member's own property: his screen name is the only one.
fn set_own(
    group: &Group,
    state: &mut GroupState,
    person: &str,
    one: &Property,
) -> Result<Option<Say>, Refusal> {
    let name = text::line(&one.value, MAX_NAME);
    if one.name != "ScreenName" || name.is_empty() {
        return Err(group.refuses(GroupRefusal::Property));
    }
    in_group(group, participant_of(state, &name))?;
    let old = in_group(group, state.rename(person, &name))?;
    if old == name {
        return Ok(None);
    }
    let news = state.news(Some(person)).map(|mut news| {
        (news.left, news.joined) = (vec![old], vec![name]);
        Say::News(news)
    });
    Ok(news)
}

/// Whether a screen name can stand in an address.
fn participant_of(state: &GroupState, name: &str) -> Result<WvAddress, GroupRefusal> {
    let participant = state.address.participant(name);
    participant.map_err(|_| GroupRefusal::Property)
}

/// A name for who gives none.
fn free_name(state: &GroupState) -> String {
    let taken: BTreeSet<String> = state.names().into_iter().collect();
    let guest = |n: usize| format!("Guest {n}");
    (1..=taken.len())
        .map(guest)
        .find(|name| !taken.contains(name))
        .unwrap_or_else(|| guest(taken.len() + 1))
}

fn in_group<T>(group: &Group, outcome: Result<T, GroupRefusal>) -> Result<T, Refusal> {
    outcome.map_err(|why| group.refuses(why))
}

fn done((): ()) -> Answer {
    Answer::Group(GroupAnswer::Done)
}

/// A property of who joins: the ID of the invitation that lets him in, when he is known there by another address than the one
/// that was invited. Ours alone; it is shown only where he was refused without it.
pub(crate) const INVITE_ID: &str = "InviteID";
/// Characters of a topic, and of a welcome.
pub(crate) const MAX_TOPIC: usize = 256;
