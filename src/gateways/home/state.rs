//! What the home domain knows of its subscribers, in memory over the store.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use super::account::Account;
use crate::model::{AttributeName, Domain, MessageId, Presence, Timestamp, WvAddress};

/// Everything, under one lock that is never held across an await.
#[derive(Debug, Default)]
pub(super) struct State {
    /// By number, with `+`.
    pub(super) subscribers: HashMap<String, Subscriber>,
    /// `user@domain`, lower case, to the number.
    pub(super) names: HashMap<String, String>,
    /// SHA-256 of a token, in hexadecimal, to the number.
    pub(super) tokens: HashMap<String, String>,
}

/// A subscriber.
#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) account: Arc<Account>,
    /// By canonical key.
    pub(super) contacts: BTreeMap<String, Contact>,
    /// Who watches him, by canonical key.
    pub(super) watchers: BTreeMap<String, Watcher>,
    /// Whom he does not want to hear of.
    pub(super) blocked: BTreeMap<String, WvAddress>,
    /// Who may see more, or less, than everybody.
    pub(super) grants: BTreeMap<String, Vec<AttributeName>>,
    /// What he says of himself.
    pub(super) presence: Presence,
    /// Messages that he has not taken yet, by ID.
    pub(super) inbox: BTreeMap<String, InboxMessage>,
    /// For his devices.
    pub(super) events: Events,
    /// Invitations to him that he has not answered: ID to whoever invited.
    pub(super) invitations: HashMap<String, WvAddress>,
}

impl Subscriber {
    pub(super) fn new(account: Account, events_kept: usize) -> Self {
        Self {
            account: Arc::new(account),
            contacts: BTreeMap::new(),
            watchers: BTreeMap::new(),
            blocked: BTreeMap::new(),
            grants: BTreeMap::new(),
            presence: Presence::default(),
            inbox: BTreeMap::new(),
            events: Events::new(events_kept),
            invitations: HashMap::new(),
        }
    }

    /// What a watcher may see; empty when nothing.
    pub(super) fn presence_for(
        &self,
        watcher: &WvAddress,
        wanted: &[AttributeName],
        public: &[AttributeName],
    ) -> Presence {
        let allowed = self.grants.get(&watcher.key()).map_or(public, Vec::as_slice);
        if self.blocked.contains_key(&watcher.key()) || allowed.is_empty() {
            return Presence::default();
        }
        self.presence.only(allowed).only(wanted)
    }
}

/// Somebody on a contact list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Contact {
    pub(super) address: WvAddress,
    pub(super) nickname: String,
    /// What is known of him.
    #[serde(skip)]
    pub(super) presence: Presence,
}

/// Somebody who watches.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Watcher {
    pub(super) address: WvAddress,
    pub(super) attributes: Vec<AttributeName>,
}

/// A message that waits for its recipient.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct InboxMessage {
    pub(super) id: MessageId,
    pub(super) from: WvAddress,
    pub(super) text: Option<String>,
    pub(super) media_type: String,
    /// Base64, for content that is no text.
    pub(super) content: Option<String>,
    pub(super) sent_at: Timestamp,
    pub(super) expires: Timestamp,
    pub(super) report_wanted: bool,
    /// The domain of ours that it came for.
    pub(super) domain: Domain,
    /// Handed out; kept so that a repeat is not shown twice.
    pub(super) taken: bool,
}

/// The last events of a subscriber, numbered, and who listens.
#[derive(Debug)]
pub(super) struct Events {
    next: u64,
    kept: VecDeque<Event>,
    limit: usize,
    sender: broadcast::Sender<Event>,
}

/// One event.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) number: u64,
    pub(super) kind: &'static str,
    pub(super) body: Arc<str>,
}

impl Events {
    fn new(limit: usize) -> Self {
        let limit = limit.max(1);
        Self {
            next: 1,
            kept: VecDeque::new(),
            limit,
            sender: broadcast::channel(limit).0,
        }
    }

    /// Tells every device; returns whether one listens.
    pub(super) fn tell(&mut self, kind: &'static str, body: &serde_json::Value) -> bool {
        let event = Event {
            number: self.next,
            kind,
            body: body.to_string().into(),
        };
        self.next += 1;
        if self.kept.len() >= self.limit {
            self.kept.pop_front();
        }
        self.kept.push_back(event.clone());
        self.sender.send(event).is_ok()
    }

    /// What came after an event, and what comes next.
    pub(super) fn listen(&self, after: Option<u64>) -> (Vec<Event>, broadcast::Receiver<Event>) {
        let missed = match after {
            Some(after) => self
                .kept
                .iter()
                .filter(|event| event.number > after)
                .cloned()
                .collect(),
            None => Vec::new(),
        };
        (missed, self.sender.subscribe())
    }
}
