//! What lies between a subscriber and others: contacts, people he watches, rights he gives, people he blocks, watchers, and
//! the groups that he has joined.
//!
//! Each is a row of its own (`Space::Relation`, key `number/kind/person`), so that a list of ten thousand contacts is
//! never rewritten. People are held under one canonical identity: for our own subscribers the number, whichever address
//! they were named by; for others `WvAddress::key`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    model::{AttributeName, E164, Presence, Timestamp, WvAddress},
    store::{Batch, Space},
};

/// Everything between one subscriber and others, by canonical identity.
#[derive(Debug, Default)]
pub(crate) struct Relations {
    pub(crate) contacts: BTreeMap<String, Contact>,
    /// People watched without being contacts.
    pub(crate) watching: BTreeMap<String, Watching>,
    pub(crate) grants: BTreeMap<String, Grant>,
    pub(crate) blocks: BTreeMap<String, Block>,
    /// Boxed, because the tree's nodes have more places than they use, and there are many watchers.
    pub(crate) watchers: BTreeMap<Box<str>, Box<Watcher>>,
    /// Groups that he has joined, here or elsewhere, by their canonical identity.
    pub(crate) groups: BTreeMap<String, JoinedGroup>,
    /// The newest presence of people whom he watches; not kept, each login asks anew.
    pub(crate) known: BTreeMap<String, Presence>,
}

/// Somebody on the contact list (`wv:+MSISDN` wherever his server says so).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Contact {
    pub(crate) address: WvAddress,
    pub(crate) nickname: String,
    pub(crate) since: Timestamp,
}

/// Somebody whose presence is watched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Watching {
    pub(crate) address: WvAddress,
    pub(crate) since: Timestamp,
}

/// What somebody may see beyond what everybody may.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Grant {
    pub(crate) address: WvAddress,
    pub(crate) attributes: Vec<AttributeName>,
}

/// Somebody from whom nothing is accepted and to whom nothing is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Block {
    pub(crate) address: WvAddress,
    pub(crate) since: Timestamp,
}

/// Somebody who watches the subscriber; stays until he unsubscribes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Watcher {
    pub(crate) address: WvAddress,
    /// What he wants to see; empty means all.
    pub(crate) attributes: Box<[AttributeName]>,
    /// The address that he knows the subscriber by; notifications speak of that one.
    pub(crate) addressed: WvAddress,
    pub(crate) since: Timestamp,
    /// A hash of what he was told last; not kept.
    #[serde(skip)]
    pub(crate) told: Option<u64>,
}

/// A group that the subscriber has joined.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct JoinedGroup {
    pub(crate) address: WvAddress,
    /// What the others call him there.
    pub(crate) screen_name: String,
    /// As it was last heard; may be empty.
    pub(crate) topic: String,
    pub(crate) since: Timestamp,
}

/// A kind of relation, with the word in its row key.
pub(crate) trait Kind: Serialize + DeserializeOwned {
    const WORD: &'static str;
}

impl Kind for Contact {
    const WORD: &'static str = "contact";
}
impl Kind for Watching {
    const WORD: &'static str = "watching";
}
impl Kind for Grant {
    const WORD: &'static str = "grant";
}
impl Kind for Block {
    const WORD: &'static str = "block";
}
impl Kind for Watcher {
    const WORD: &'static str = "watcher";
}
impl Kind for JoinedGroup {
    const WORD: &'static str = "group";
}

impl Relations {
    /// Takes in a row; `false` when it can't be read.
    pub(crate) fn load(&mut self, kind: &str, person: &str, value: &[u8]) -> bool {
        fn insert<T: Kind>(into: &mut BTreeMap<String, T>, person: &str, value: &[u8]) -> bool {
            let read = serde_json::from_slice(value);
            read.map(|one| into.insert(person.to_owned(), one)).is_ok()
        }
        match kind {
            Contact::WORD => insert(&mut self.contacts, person, value),
            Watching::WORD => insert(&mut self.watching, person, value),
            Grant::WORD => insert(&mut self.grants, person, value),
            Block::WORD => insert(&mut self.blocks, person, value),
            Watcher::WORD => serde_json::from_slice(value)
                .map(|watcher| self.enter_watcher(person, watcher))
                .is_ok(),
            JoinedGroup::WORD => insert(&mut self.groups, person, value),
            _ => false,
        }
    }

    /// Takes in a watcher, in the place of what he was before.
    pub(crate) fn enter_watcher(&mut self, person: &str, mut watcher: Watcher) {
        // Most watchers know him by the same address: one copy of it is enough.
        let same = self
            .watchers
            .values()
            .next()
            .filter(|one| one.addressed == watcher.addressed);
        if let Some(one) = same {
            watcher.addressed = one.addressed.clone();
        }
        self.watchers.insert(person.into(), Box::new(watcher));
    }

    /// Whether he watches that person, as a contact or otherwise.
    pub(crate) fn watches(&self, person: &str) -> bool {
        self.contacts.contains_key(person) || self.watching.contains_key(person)
    }

    /// Those whom he watches and of whom nothing has come yet.
    pub(crate) fn unheard(&self) -> Vec<WvAddress> {
        let contacts = self.contacts.iter().map(|(person, one)| (person, &one.address));
        let others = self.watching.iter().map(|(person, one)| (person, &one.address));
        contacts
            .chain(others)
            .filter(|(person, _)| !self.known.contains_key(*person))
            .map(|(_, address)| address.clone())
            .collect()
    }

    /// Everybody whom he watches.
    pub(crate) fn watched(&self) -> Vec<WvAddress> {
        let contacts = self.contacts.values().map(|contact| &contact.address);
        contacts
            .chain(self.watching.values().map(|one| &one.address))
            .cloned()
            .collect()
    }
}

/// The row key of a relation.
pub(crate) fn row_key<T: Kind>(number: &E164, person: &str) -> String {
    format!("{number}/{}/{person}", T::WORD)
}

/// Adds the write of a relation to a batch.
pub(crate) fn put<T: Kind>(
    batch: Batch,
    number: &E164,
    person: &str,
    one: &T,
) -> Result<Batch, serde_json::Error> {
    Ok(batch.put(
        Space::Relation,
        row_key::<T>(number, person),
        serde_json::to_vec(one)?,
        None,
    ))
}

/// Adds the removal of a relation to a batch.
pub(crate) fn remove<T: Kind>(batch: Batch, number: &E164, person: &str) -> Batch {
    batch.remove(Space::Relation, row_key::<T>(number, person))
}

/// The parts of a row key: number, kind, person.
pub(crate) fn parse_key(key: &str) -> Option<(&str, &str, &str)> {
    let (number, rest) = key.split_once('/')?;
    let (kind, person) = rest.split_once('/')?;
    Some((number, kind, person))
}
