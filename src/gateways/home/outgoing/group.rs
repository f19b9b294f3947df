//! What subscribers do in groups: join, leave, look, lead. Each goes to the group's server by the relay, also when that is us.

use std::sync::Arc;

use futures_util::{StreamExt, stream};

use super::{
    super::{
        HomeDomain,
        accounts::MAX_NAME,
        event::{Event, LeftBecause},
        group::{INVITE_ID, MAX_TOPIC, NewGroup, fitting, property},
        incoming::{Invited, shown},
        relation::JoinedGroup,
        subscriber::Subscriber,
        text,
    },
    odd_answer,
};
use crate::model::{
    Answer, GroupAction, GroupAnswer, GroupRefusal, GroupRequest, InviteId, JoinedUser, Privilege, Property,
    Refusal, Request, WvAddress,
};

/// A group that was just joined.
#[derive(Clone, Debug)]
pub(crate) struct JoinedNow {
    pub(crate) group: JoinedGroup,
    /// Who is there.
    pub(crate) names: Vec<String>,
    pub(crate) welcome: Option<String>,
}

/// A group as somebody in it sees it.
#[derive(Clone, Debug)]
pub(crate) struct GroupView {
    pub(crate) group: JoinedGroup,
    /// Who is there; with an address where that may be known.
    pub(crate) joined: Vec<(JoinedUser, Privilege)>,
    /// Who may join, for who leads the group.
    pub(crate) members: Option<Vec<(Privilege, WvAddress)>>,
}

impl HomeDomain {
    /// The name that a subscriber goes by in groups when he gives none.
    pub(crate) fn name_in_groups(&self, subscriber: &Subscriber, wanted: Option<String>) -> String {
        let wanted = wanted.map(|name| text::line(&name, MAX_NAME));
        let account = &subscriber.state().account;
        wanted
            .filter(|name| !name.is_empty())
            .or_else(|| account.disclosed_name())
            .unwrap_or_else(|| account.user.clone())
    }

    /// Opens a group of his own, and tells his other devices.
    ///
    /// # Errors
    /// As [`HomeDomain::open_group`].
    pub(crate) async fn open(
        &self,
        subscriber: &Arc<Subscriber>,
        new: NewGroup,
    ) -> Result<JoinedNow, Refusal> {
        let group = self.open_group(subscriber, new).await?;
        let (names, welcome) = {
            let state = group.state();
            (state.names(), state.welcome.clone())
        };
        let now = JoinedNow {
            group: self.known_group(subscriber, &group.address)?,
            names,
            welcome,
        };
        tell_joined(subscriber, &now);
        Ok(now)
    }

    /// Joins a group, under a name of which there is no other when none is wanted.
    ///
    /// # Errors
    /// The group's refusal; [`GroupRefusal::TooMany`] when he has joined as many as he may.
    pub(crate) async fn join_group(
        &self,
        subscriber: &Arc<Subscriber>,
        group: &WvAddress,
        (wanted, invitation): (Option<String>, Option<&InviteId>),
    ) -> Result<JoinedNow, Refusal> {
        check_group(group)?;
        let before = self.joined_group(subscriber, group);
        let joined = subscriber.state().relations.groups.len();
        if before.is_none() && joined >= self.config.limits.groups_joined {
            return Err(Refusal::InGroup {
                group: group.clone(),
                why: GroupRefusal::TooMany,
            });
        }
        let is_wanted = wanted.as_ref().is_some_and(|name| !name.trim().is_empty());
        let name = self.name_in_groups(subscriber, wanted);
        let others = (2..=MAX_NAMESAKES).map(|n| fitting(group, &name, &format!(" {n}")));
        let first = fitting(group, &name, "");
        let names = std::iter::once(first).chain(others.filter(|_| !is_wanted));
        let mut refused = odd_answer();
        for screen_name in names {
            let kept = JoinedGroup {
                address: group.clone(),
                screen_name: screen_name.clone(),
                topic: String::new(),
                since: self.clock.now(),
            };
            // Before the request goes out: news may come before the answer does.
            if before.is_none() {
                self.keep_group(subscriber, kept.clone()).await?;
            }
            let action = |shown: Option<&InviteId>| GroupAction::Join {
                screen_name: Some(screen_name.clone()),
                list_joined: true,
                subscribe: true,
                own_properties: shown
                    .map(|id| property(INVITE_ID, id.to_string()))
                    .into_iter()
                    .collect(),
            };
            let mut answer = self.ask_group(subscriber, group, action(None)).await;
            let is_unknown = |refusal: &Refusal| refusal.of_group() == Some(GroupRefusal::NotMember);
            if invitation.is_some() && answer.as_ref().is_err_and(is_unknown) {
                answer = self.ask_group(subscriber, group, action(invitation)).await;
            }
            match answer {
                Ok(answer) => return self.has_joined(subscriber, kept, answer).await,
                Err(refusal) => match refusal.of_group() {
                    // The answer to an earlier request was lost.
                    Some(GroupRefusal::AlreadyJoined) => {
                        let kept = before.unwrap_or(kept);
                        return self.has_joined(subscriber, kept, GroupAnswer::Done).await;
                    }
                    Some(GroupRefusal::NameInUse) => refused = refusal,
                    Some(_) | None => {
                        refused = refusal;
                        break;
                    }
                },
            }
        }
        if before.is_none() {
            self.forget_group(subscriber, group).await?;
        }
        Err(refused)
    }

    async fn has_joined(
        &self,
        subscriber: &Arc<Subscriber>,
        kept: JoinedGroup,
        answer: GroupAnswer,
    ) -> Result<JoinedNow, Refusal> {
        let (names, welcome) = match answer {
            GroupAnswer::Joined { names, welcome_note } => (
                shown(&names),
                welcome_note.and_then(|note| Some(text::line(note.as_text()?, MAX_TOPIC))),
            ),
            GroupAnswer::Left
            | GroupAnswer::SubscriptionStatus(_)
            | GroupAnswer::Members(_)
            | GroupAnswer::JoinedUsers { .. }
            | GroupAnswer::Properties { .. }
            | GroupAnswer::RejectList(_)
            | GroupAnswer::Done => (Vec::new(), None),
        };
        // A group whose topic can't be read has none.
        let asked = self
            .ask_group(subscriber, &kept.address, GroupAction::Properties)
            .await;
        let topic = match asked {
            Ok(GroupAnswer::Properties { group, .. }) => topic_of(&group),
            Ok(_) | Err(_) => String::new(),
        };
        let group = JoinedGroup { topic, ..kept };
        self.keep_group(subscriber, group.clone()).await?;
        let now = JoinedNow {
            group,
            names,
            welcome,
        };
        tell_joined(subscriber, &now);
        Ok(now)
    }

    /// Leaves a group; one that does not know him any more is left all the same.
    ///
    /// # Errors
    /// [`GroupRefusal::NotJoined`], or when the group's server can't be reached.
    pub(crate) async fn leave_group(
        &self,
        subscriber: &Arc<Subscriber>,
        group: &WvAddress,
    ) -> Result<(), Refusal> {
        self.known_group(subscriber, group)?;
        let left = self.ask_group(subscriber, group, GroupAction::Leave).await;
        match left {
            Ok(_) => {}
            Err(refusal) if is_out(&refusal) => {}
            Err(refusal) => return Err(refusal),
        }
        self.is_left(subscriber, group, LeftBecause::Left).await
    }

    /// Ends a group that the subscriber has opened.
    ///
    /// # Errors
    /// [`GroupRefusal::NotPrivileged`] and others of the group.
    pub(crate) async fn delete_group(
        &self,
        subscriber: &Arc<Subscriber>,
        group: &WvAddress,
    ) -> Result<(), Refusal> {
        self.ask_group(subscriber, group, GroupAction::Delete).await?;
        self.is_left(subscriber, group, LeftBecause::Ended).await
    }

    /// A group that he has joined, with who is there.
    ///
    /// # Errors
    /// [`GroupRefusal::NotJoined`], or the refusal of the group's server.
    pub(crate) async fn look_into_group(
        &self,
        subscriber: &Arc<Subscriber>,
        group: &WvAddress,
    ) -> Result<GroupView, Refusal> {
        let known = self.known_group(subscriber, group)?;
        let answer = self.lead(subscriber, group, GroupAction::JoinedUsers).await?;
        let GroupAnswer::JoinedUsers { admins, users, .. } = answer else {
            return Err(odd_answer());
        };
        let of = |people: Vec<JoinedUser>, privilege: Privilege| {
            people.into_iter().map(move |one| (cleaned(one), privilege))
        };
        let joined = of(admins, Privilege::Admin)
            .chain(of(users, Privilege::Ordinary))
            .collect();
        let members = self.ask_group(subscriber, group, GroupAction::Members).await;
        let members = match members {
            Ok(GroupAnswer::Members(members)) => Some(members),
            // Only who leads the group is told.
            Ok(_) | Err(_) => None,
        };
        let group = known;
        Ok(GroupView {
            group,
            joined,
            members,
        })
    }

    /// Gives a group another topic.
    ///
    /// # Errors
    /// The group's refusal.
    pub(crate) async fn set_topic(
        &self,
        subscriber: &Arc<Subscriber>,
        group: &WvAddress,
        topic: &str,
    ) -> Result<(), Refusal> {
        let action = GroupAction::SetProperties {
            group: vec![property("Topic", text::line(topic, MAX_TOPIC))],
            welcome_note: None,
            own: Vec::new(),
        };
        self.lead(subscriber, group, action).await.map(|_| ())
    }

    /// What only who leads a group may ask, and whoever is in it.
    ///
    /// # Errors
    /// The group's refusal; one that says he is out takes the group off his list.
    pub(crate) async fn lead(
        &self,
        subscriber: &Arc<Subscriber>,
        group: &WvAddress,
        action: GroupAction,
    ) -> Result<GroupAnswer, Refusal> {
        check_group(group)?;
        let answer = self.ask_group(subscriber, group, action).await;
        if let Err(refusal) = &answer {
            self.heed(subscriber, group, refusal).await?;
        }
        answer
    }

    /// Takes a group off the list of who is told that he is not in it.
    ///
    /// # Errors
    /// When the store can't be written.
    pub(crate) async fn heed(
        &self,
        subscriber: &Arc<Subscriber>,
        group: &WvAddress,
        refusal: &Refusal,
    ) -> Result<(), Refusal> {
        if !is_out(refusal) {
            return Ok(());
        }
        let why = if refusal.of_group() == Some(GroupRefusal::Unknown) {
            LeftBecause::Ended
        } else {
            LeftBecause::Removed
        };
        self.put_out(subscriber, &group.without_screen_name(), why).await
    }

    /// Leaves every group, and ends those that he has opened: his account is closed.
    pub(crate) async fn leave_all_groups(&self, subscriber: &Arc<Subscriber>) {
        for group in self.groups_of(&subscriber.number) {
            if let Err(refusal) = self.end_group(&group, &subscriber.key()).await {
                tracing::warn!(
                    refusal = refusal.masked(),
                    "a group of a closed account did not end"
                );
            }
        }
        let joined: Vec<_> = subscriber.state().relations.groups.values().cloned().collect();
        let leave = |group: JoinedGroup| async move {
            // An operator who can't be reached learns it when his group's next message is refused.
            let left = self
                .ask_group(subscriber, &group.address, GroupAction::Leave)
                .await;
            if let Err(refusal) = left.as_ref()
                && !is_out(refusal)
            {
                tracing::info!(refusal = refusal.masked(), "a group was left without being told");
            }
            if let Err(refusal) = self.forget_group(subscriber, &group.address).await {
                tracing::warn!(
                    refusal = refusal.masked(),
                    "a group stays on the list of a closed account"
                );
            }
        };
        stream::iter(joined).for_each_concurrent(LEAVING, leave).await;
    }

    /// Lets the invited person join a group of ours, as long as the invitation stands; a group elsewhere lets in whom it will.
    ///
    /// # Errors
    /// When that is not the inviter's to say, or the group has no room.
    pub(super) async fn open_to_invited(
        &self,
        subscriber: &Subscriber,
        invited: &Invited,
    ) -> Result<(), Refusal> {
        let Some(address) = invited.group.as_ref().filter(|group| self.hosts(group)) else {
            return Ok(());
        };
        let group = self.group(address)?;
        let person = self.person(&invited.other);
        if group.state().joined(&person).is_ok() {
            return Err(group.refuses(GroupRefusal::AlreadyJoined));
        }
        let people = std::slice::from_ref(&invited.other);
        self.add_members(&group, &subscriber.key(), (people, Some(invited.expires)))
            .await
    }

    /// An invitation to a group of ours is of no use any more.
    ///
    /// # Errors
    /// When the store can't be written.
    pub(crate) async fn forget_invited(
        &self,
        group: Option<&WvAddress>,
        invited: &WvAddress,
    ) -> Result<(), Refusal> {
        let group = group.filter(|group| self.hosts(group));
        let Some(Ok(group)) = group.map(|group| self.group(group)) else {
            return Ok(());
        };
        let person = self.person(invited);
        let forgotten = self.change_group(&group, |state| {
            state.forget_invited(&person);
            Ok(((), Vec::new()))
        });
        match forgotten.await {
            Err(Refusal::InGroup { .. }) | Ok(()) => Ok(()),
            Err(refusal) => Err(refusal),
        }
    }

    async fn is_left(
        &self,
        subscriber: &Arc<Subscriber>,
        group: &WvAddress,
        why: LeftBecause,
    ) -> Result<(), Refusal> {
        if self.forget_group(subscriber, group).await? {
            let group = group.clone();
            let event = Event::GroupLeft { group, why };
            subscriber.state().streams.send(None, &Arc::new(event));
        }
        Ok(())
    }

    /// One request to a group's server.
    async fn ask_group(
        &self,
        subscriber: &Subscriber,
        group: &WvAddress,
        action: GroupAction,
    ) -> Result<GroupAnswer, Refusal> {
        let request = Request::Group(GroupRequest {
            by: subscriber.identity(),
            group: group.clone(),
            action,
        });
        match self.ask(&subscriber.domain, None, request).await? {
            Answer::Group(answer) => Ok(answer),
            Answer::Done => Ok(GroupAnswer::Done),
            Answer::Recipients(_) | Answer::Sent { .. } | Answer::Found(_) | Answer::Presence(_) => {
                Err(odd_answer())
            }
        }
    }

    fn joined_group(&self, subscriber: &Subscriber, group: &WvAddress) -> Option<JoinedGroup> {
        subscriber.state().relations.groups.get(&group.key()).cloned()
    }

    /// A group on his list.
    ///
    /// # Errors
    /// [`GroupRefusal::NotJoined`].
    pub(crate) fn known_group(
        &self,
        subscriber: &Subscriber,
        group: &WvAddress,
    ) -> Result<JoinedGroup, Refusal> {
        check_group(group)?;
        let known = self.joined_group(subscriber, group);
        known.ok_or_else(|| Refusal::InGroup {
            group: group.clone(),
            why: GroupRefusal::NotJoined,
        })
    }
}

/// Tells every device of his that he is in a group now.
fn tell_joined(subscriber: &Subscriber, now: &JoinedNow) {
    let event = Event::GroupJoined {
        group: now.group.address.clone(),
        screen_name: now.group.screen_name.clone(),
        topic: now.group.topic.clone(),
        names: now.names.clone(),
        welcome: now.welcome.clone(),
    };
    subscriber.state().streams.send(None, &Arc::new(event));
}

/// Whether an address is a group's, and not one participant's.
fn check_group(address: &WvAddress) -> Result<(), Refusal> {
    if address.is_group() && address.screen_name().is_none() {
        return Ok(());
    }
    Err(Refusal::InvalidAddress {
        address: address.to_string(),
        reason: "it names no group".into(),
    })
}

/// Whether a group's server says that he is not in it.
pub(super) fn is_out(refusal: &Refusal) -> bool {
    matches!(
        refusal.of_group(),
        Some(GroupRefusal::Unknown | GroupRefusal::NotJoined)
    )
}

fn topic_of(properties: &[Property]) -> String {
    let topic = properties.iter().find(|one| one.name == "Topic");
    topic.map_or_else(String::new, |topic| text::line(&topic.value, MAX_TOPIC))
}

fn cleaned(one: JoinedUser) -> JoinedUser {
    JoinedUser {
        screen_name: one.screen_name.map(|name| text::line(&name, MAX_NAME)),
        user: one.user,
    }
}

/// Names that are tried when others in the group have the same.
const MAX_NAMESAKES: usize = 9;
/// Groups that are left at the same time.
const LEAVING: usize = 16;
