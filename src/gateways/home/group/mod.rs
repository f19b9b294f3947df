//! Groups that live here: opened by a subscriber, joined by people of any operator (SSP reference §12.11 to §12.18).
//!
//! A group is one row, changed under its own lock: on a copy, which is committed with the news of the change before memory
//! takes it. `state.rs` says who may what, `request.rs` answers members, `saying.rs` sends messages and news to them.

mod request;
mod saying;
mod state;

pub(crate) use request::{INVITE_ID, MAX_TOPIC};
pub(crate) use saying::{Sayings, load_saying};
pub(crate) use state::{GroupState, Joined, Member, property};

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use self::saying::Say;
use super::{HomeDomain, damaged, refused, relation, subscriber::Rate, subscriber::Subscriber};
use crate::{
    model::{E164, GroupRefusal, LocalPart, Privilege, Refusal, Timestamp, WvAddress},
    store::{Batch, Committed, Space},
};

/// Groups by `number/name`, the number being the owner's.
pub(crate) type Groups = BTreeMap<String, Arc<Group>>;

/// A group in memory.
#[derive(Debug)]
pub(crate) struct Group {
    /// `number/name`.
    pub(crate) key: String,
    pub(crate) address: WvAddress,
    /// Held from reading over committing to changing memory.
    writing: tokio::sync::Mutex<()>,
    state: Mutex<GroupState>,
    /// Of messages to it.
    rate: Mutex<Rate>,
}

/// What a change comes to, beside the change: what is said about it.
pub(crate) type Changed<T> = Result<(T, Vec<Say>), Refusal>;

impl Group {
    fn new(key: String, state: GroupState, per_minute: u32, now: Timestamp) -> Self {
        Self {
            key,
            address: state.address.clone(),
            writing: tokio::sync::Mutex::new(()),
            state: Mutex::new(state),
            rate: Mutex::new(Rate::new(
                per_minute,
                now,
                "[home.limits] group_messages_per_minute",
            )),
        }
    }

    /// The group as it stands.
    pub(crate) fn state(&self) -> MutexGuard<'_, GroupState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A refusal of this group.
    pub(crate) fn refuses(&self, why: GroupRefusal) -> Refusal {
        Refusal::InGroup {
            group: self.address.clone(),
            why,
        }
    }

    fn take_turn(&self, now: Timestamp) -> Result<(), Refusal> {
        self.rate.lock().unwrap_or_else(PoisonError::into_inner).take(now)
    }

    fn row_key(&self) -> String {
        format!("group/{}", self.key)
    }
}

/// A group as its owner opens it.
#[derive(Clone, Debug)]
pub(crate) struct NewGroup {
    /// The part of the address after `/`; absent, one is drawn.
    pub(crate) name: Option<String>,
    pub(crate) topic: String,
    pub(crate) welcome: Option<String>,
    /// What the others call the owner.
    pub(crate) screen_name: String,
}

impl HomeDomain {
    /// Opens a group, in which the owner is alone at first.
    ///
    /// # Errors
    /// When he has too many, has one of that name, or the store can't be written.
    pub(crate) async fn open_group(
        &self,
        owner: &Arc<Subscriber>,
        new: NewGroup,
    ) -> Result<Arc<Group>, Refusal> {
        let name = match new.name {
            Some(name) => checked_name(&name)?,
            None => drawn_name(),
        };
        let address = group_address(owner, &name)?;
        let refuses = |why| Refusal::InGroup {
            group: address.clone(),
            why,
        };
        let now = self.clock.now();
        let screen_name = fitting(&address, &new.screen_name, "");
        // One at a time for one owner, so that the bound holds.
        let _writing = owner.writing.lock().await;
        let key = key_of(&owner.number, &name);
        if self.groups().contains_key(&key) {
            return Err(Refusal::BadRequest {
                reason: format!("you have a group of the name {name}"),
            });
        }
        let own = self.groups_of(&owner.number).len();
        let joined = owner.state().relations.groups.len();
        if own >= self.config.limits.groups || joined >= self.config.limits.groups_joined {
            return Err(refuses(GroupRefusal::TooMany));
        }
        let member = Member {
            address: owner.identity(),
            privilege: Privilege::Admin,
            invited_until: None,
            joined: Some(Joined {
                screen_name: screen_name.clone(),
                since: now,
                is_told: true,
            }),
        };
        let state = GroupState {
            address: address.clone(),
            owner: owner.number.clone(),
            topic: new.topic.clone(),
            welcome: new.welcome,
            since: now,
            members: BTreeMap::from([(owner.key(), member)]),
            rejected: BTreeMap::new(),
        };
        let relation = relation::JoinedGroup {
            address: address.clone(),
            screen_name,
            topic: new.topic,
            since: now,
        };
        let value = serde_json::to_vec(&state).map_err(damaged)?;
        let group = Group::new(key, state, self.config.limits.group_messages_per_minute, now);
        let batch = Batch::new(now).put_new(Space::Home, group.row_key(), value, None);
        let batch = relation::put(batch, &owner.number, &address.key(), &relation).map_err(damaged)?;
        self.commit(batch).await?;
        let group = Arc::new(group);
        self.groups().insert(group.key.clone(), Arc::clone(&group));
        owner.state().relations.groups.insert(address.key(), relation);
        Ok(group)
    }

    /// The group of an address, also by the owner's number, and of a participant's address.
    ///
    /// # Errors
    /// [`GroupRefusal::Unknown`].
    pub(crate) fn group(&self, address: &WvAddress) -> Result<Arc<Group>, Refusal> {
        let unknown = || Refusal::InGroup {
            group: address.without_screen_name(),
            why: GroupRefusal::Unknown,
        };
        let owner = match address.local() {
            LocalPart::Msisdn(number) => Some(number.clone()),
            LocalPart::Name(name) => {
                let domain = address.domain().ok_or_else(unknown)?.clone();
                let directory = self.directory();
                let owner = directory.by_name.get(&(domain, name.to_lowercase()));
                owner.map(|owner| owner.number.clone())
            }
            LocalPart::Service => None,
        };
        let (Some(owner), Some(name)) = (owner, address.resource()) else {
            return Err(unknown());
        };
        let key = key_of(&owner, name);
        self.groups().get(&key).cloned().ok_or_else(unknown)
    }

    /// Whether an address names a group of ours, be it there or not.
    pub(crate) fn hosts(&self, address: &WvAddress) -> bool {
        address.is_group() && address.domain().is_some_and(|domain| self.config.serves(domain))
    }

    /// The groups that a subscriber has opened.
    pub(crate) fn groups_of(&self, owner: &E164) -> Vec<Arc<Group>> {
        let prefix = format!("{owner}/");
        let groups = self.groups();
        let from = groups.range(prefix.clone()..);
        from.take_while(|(key, _)| key.starts_with(&prefix))
            .map(|(_, group)| Arc::clone(group))
            .collect()
    }

    /// Changes a group, with what is said about it in the same commit. Nobody left in it: it ends.
    ///
    /// # Errors
    /// What the change says, [`GroupRefusal::Unknown`] when the group has ended, or the store's failure.
    pub(crate) async fn change_group<T: Send>(
        &self,
        group: &Group,
        change: impl FnOnce(&mut GroupState) -> Changed<T> + Send,
    ) -> Result<T, Refusal> {
        let _writing = group.writing.lock().await;
        self.check_alive(group)?;
        let mut state = group.state().clone();
        let (value, said) = change(&mut state)?;
        let is_over = state.everybody().next().is_none();
        self.commit_group(group, state, said, is_over).await?;
        Ok(value)
    }

    /// Ends a group; those in it are told, but the one who ends it.
    ///
    /// # Errors
    /// When it has ended, or the store can't be written.
    pub(crate) async fn end_group(&self, group: &Group, but: &str) -> Result<(), Refusal> {
        let _writing = group.writing.lock().await;
        self.check_alive(group)?;
        let mut state = group.state().clone();
        let told = state.everybody().filter(|(person, _, _)| *person != but);
        let told = told.map(|(_, member, _)| member.address.clone()).collect();
        let farewell = state.farewell(told, GroupRefusal::Unknown, "the group has ended");
        for member in state.members.values_mut() {
            member.joined = None;
        }
        let said = farewell.into_iter().map(Say::News).collect();
        self.commit_group(group, state, said, true).await
    }

    /// Whether this very group is there; one of the same name may have been opened since it ended.
    fn check_alive(&self, group: &Group) -> Result<(), Refusal> {
        let groups = self.groups();
        let is_alive = groups
            .get(&group.key)
            .is_some_and(|one| std::ptr::eq(&**one, group));
        is_alive
            .then_some(())
            .ok_or_else(|| group.refuses(GroupRefusal::Unknown))
    }

    /// Commits what a group has become, and what is said; called while its `writing` is held.
    async fn commit_group(
        &self,
        group: &Group,
        state: GroupState,
        said: Vec<Say>,
        is_over: bool,
    ) -> Result<(), Refusal> {
        let now = self.clock.now();
        let mut batch = if is_over {
            Batch::new(now).remove(Space::Home, group.row_key())
        } else {
            let value = serde_json::to_vec(&state).map_err(damaged)?;
            Batch::new(now).put(Space::Home, group.row_key(), value, None)
        };
        let sayings = self.written(group, said, now);
        for saying in &sayings {
            batch = saying.write(batch)?;
        }
        self.commit(batch).await?;
        *group.state() = state;
        if is_over {
            self.groups().remove(&group.key);
        }
        self.say_soon(sayings);
        Ok(())
    }

    /// Commits a message to a group; a repeat changes nothing.
    async fn commit_post(&self, group: &Group, say: Say, identity: Option<&str>) -> Result<(), Refusal> {
        let now = self.clock.now();
        let sayings = self.written(group, vec![say], now);
        let mut batch = Batch::new(now);
        for saying in &sayings {
            batch = saying.write(batch)?;
        }
        if let Some(identity) = identity {
            batch = batch.put_new(Space::Home, identity, Vec::new(), Some(now.plus(super::KEPT)));
        }
        match self.store.commit(batch).await.map_err(refused)? {
            Committed::Done => self.say_soon(sayings),
            // It was said before.
            Committed::Conflict { .. } => {}
            Committed::LeaseLost(_) | Committed::Fenced(_) => {
                return Err(Refusal::Internal {
                    reason: "the store answered for an item that was not asked for".into(),
                });
            }
        }
        Ok(())
    }

    /// Takes in a row at the start; `false` when it can't be read.
    pub(crate) fn load_group(&self, key: &str, value: &[u8]) -> bool {
        let Ok(state) = serde_json::from_slice::<GroupState>(value) else {
            return false;
        };
        let Some(key) = key.strip_prefix("group/") else {
            return false;
        };
        let per_minute = self.config.limits.group_messages_per_minute;
        let group = Group::new(key.to_owned(), state, per_minute, self.clock.now());
        self.groups().insert(key.to_owned(), Arc::new(group));
        true
    }

    /// The groups that live here.
    pub(crate) fn groups(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The address of a subscriber's group, by his user name: it stays where it lives when his number moves.
fn group_address(owner: &Subscriber, name: &str) -> Result<WvAddress, Refusal> {
    let LocalPart::Name(user) = owner.named.local() else {
        return Err(Refusal::Internal {
            reason: "a subscriber without a user name".into(),
        });
    };
    let text = format!("wv:{user}/{name}@{}", owner.domain);
    text.parse()
        .map_err(|error: crate::model::InvalidAddress| Refusal::InvalidAddress {
            address: text.clone(),
            reason: error.to_string(),
        })
}

/// A screen name with what comes behind it, cut where a participant's address could not hold more of it.
pub(crate) fn fitting(group: &WvAddress, name: &str, behind: &str) -> String {
    let mut name = name.to_owned();
    loop {
        let whole = format!("{name}{behind}");
        if group.participant(&whole).is_ok() || name.pop().is_none() {
            return whole;
        }
    }
}

fn key_of(owner: &E164, name: &str) -> String {
    format!("{owner}/{}", name.to_lowercase())
}

/// A name that stands in an address as it is.
fn checked_name(name: &str) -> Result<String, Refusal> {
    let name = name.trim().to_ascii_lowercase();
    let is_name = (1..=MAX_GROUP_NAME).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte));
    if !is_name {
        return Err(Refusal::BadRequest {
            reason: format!(
                "a group's name has 1 to {MAX_GROUP_NAME} letters a to z, digits, hyphens, dots and low lines"
            ),
        });
    }
    Ok(name)
}

/// A name that nobody chose; names are no secret, only members are let in.
fn drawn_name() -> String {
    (0..DRAWN)
        .map(|_| fastrand::alphanumeric().to_ascii_lowercase())
        .collect()
}

const MAX_GROUP_NAME: usize = 32;
/// Characters of a drawn name.
const DRAWN: usize = 10;
