//! Arrival: events are committed to their inboxes, in one batch, before anybody is told that they were taken.
//!
//! Room is made first, so that the bounds hold while commits are under way, and given back when nothing comes of it. A
//! repeat is recognised by a row that is committed with the event (`Space::Home`, key `seen/number/…`), so the common case
//! is one batch; only a repeat takes a second one, without it.

use std::{sync::Arc, time::Duration};

use ring::digest;

use super::{
    HomeDomain,
    account::DeliveryMethod,
    event::Event,
    inbox::{ReportDue, StoredEvent, Waiting, row_key},
    refused,
    subscriber::{State, Subscriber},
};
use crate::{
    model::{E164, Refusal, Timestamp},
    relay::RequestKey,
    store::{Batch, Committed, Space},
};

/// An event that arrives.
#[derive(Debug)]
pub(crate) struct Arriving {
    pub(crate) subscriber: Arc<Subscriber>,
    pub(crate) event: Event,
    pub(crate) expires: Timestamp,
    /// Recognises a repeat.
    pub(crate) identity: Option<String>,
    pub(crate) report: Option<ReportDue>,
    pub(crate) notice_by: Option<String>,
    /// Rows of `Space::Home` that belong to it, with their end.
    pub(crate) rows: Vec<(String, Vec<u8>)>,
}

impl Arriving {
    pub(crate) fn new(subscriber: &Arc<Subscriber>, event: Event, expires: Timestamp) -> Self {
        Self {
            subscriber: Arc::clone(subscriber),
            event,
            expires,
            identity: None,
            report: None,
            notice_by: None,
            rows: Vec::new(),
        }
    }
}

impl HomeDomain {
    /// Commits events to their inboxes in one batch and sends them to connected devices; one outcome for each, in order.
    /// A repeat is a success that changes nothing.
    pub(crate) async fn take_in(&self, arriving: Vec<Arriving>) -> Vec<Result<(), Refusal>> {
        let now = self.clock.now();
        let mut outcomes: Vec<Result<(), Refusal>> = Vec::with_capacity(arriving.len());
        let mut entering: Vec<(usize, Entering)> = Vec::with_capacity(arriving.len());
        let mut same: Vec<(usize, usize)> = Vec::new();
        for (index, one) in arriving.into_iter().enumerate() {
            let is_same = |(_, entry): &(usize, Entering)| entry.identity == one.identity;
            // One person under two addresses gets one message, and both addresses its outcome.
            if one.identity.is_some()
                && let Some((first, _)) = entering.iter().find(|entry| is_same(entry))
            {
                same.push((index, *first));
                outcomes.push(Ok(()));
                continue;
            }
            match self.make_room(one, now) {
                Ok(entry) => {
                    outcomes.push(Ok(()));
                    entering.push((index, entry));
                }
                Err(refusal) => outcomes.push(Err(refusal)),
            }
        }
        while !entering.is_empty() {
            let mut batch = Batch::new(now);
            for (_, entry) in &entering {
                batch = entry.write(batch);
            }
            match self.store.commit(batch).await {
                Ok(Committed::Done) => {
                    entering.drain(..).for_each(|(_, entry)| entry.arrived());
                }
                Ok(Committed::Conflict { key, .. }) => {
                    let repeats = entering.extract_if(.., |(_, entry)| entry.identity.as_ref() == Some(&key));
                    if repeats.count() == 0 {
                        let refusal = Refusal::Internal {
                            reason: format!("the store refused the row {key}"),
                        };
                        give_up_all(&mut entering, &mut outcomes, &refusal);
                    }
                }
                Ok(Committed::LeaseLost(_) | Committed::Fenced(_)) => {
                    let refusal = Refusal::Internal {
                        reason: "the store answered for an item that was not asked for".into(),
                    };
                    give_up_all(&mut entering, &mut outcomes, &refusal);
                }
                Err(error) => give_up_all(&mut entering, &mut outcomes, &refused(error)),
            }
        }
        for (index, first) in same {
            let outcome = outcomes.get(first).cloned();
            if let (Some(to), Some(outcome)) = (outcomes.get_mut(index), outcome) {
                *to = outcome;
            }
        }
        outcomes
    }

    /// Reserves room, so that the bounds hold while commits are under way.
    fn make_room(&self, arriving: Arriving, now: Timestamp) -> Result<Entering, Refusal> {
        let subscriber = arriving.subscriber;
        let stored = StoredEvent {
            event: arriving.event,
            at: now,
            expires: arriving.expires,
            report: arriving.report,
            notice_by: arriving.notice_by,
        };
        let value = serde_json::to_vec(&stored).map_err(super::damaged)?;
        let waiting = Waiting {
            size: value.len() as u64,
            expires: stored.expires,
            is_committed: false,
            report: stored.report,
            notice_by: stored.notice_by,
        };
        let limits = &self.config.limits;
        let id = self.next_id(now);
        {
            let inbox = &mut subscriber.state().inbox;
            let octets = inbox.octets.saturating_add(waiting.size);
            if inbox.waiting.len() >= limits.inbox_events || octets > limits.inbox_size.0 {
                return Err(Refusal::QueueFull {
                    queue: format!("inbox of {}", subscriber.named.masked()),
                });
            }
            inbox.enter(id, waiting);
        }
        Ok(Entering {
            room: Room { subscriber, id },
            event: Arc::new(stored.event),
            value,
            expires: stored.expires,
            seen_until: now.plus(SEEN_KEPT),
            identity: arriving.identity,
            rows: arriving.rows,
        })
    }
}

/// An event between making room and the commit.
#[derive(Debug)]
struct Entering {
    room: Room,
    event: Arc<Event>,
    value: Vec<u8>,
    expires: Timestamp,
    seen_until: Timestamp,
    identity: Option<String>,
    rows: Vec<(String, Vec<u8>)>,
}

/// Room in an inbox; given back when it is dropped before the event has arrived, as when a delivery is cancelled.
#[derive(Debug)]
struct Room {
    subscriber: Arc<Subscriber>,
    id: u64,
}

impl Drop for Room {
    fn drop(&mut self) {
        let inbox = &mut self.subscriber.state().inbox;
        if inbox.waiting.get(&self.id).is_some_and(|one| !one.is_committed) {
            inbox.leave(self.id);
        }
    }
}

impl Entering {
    fn write(&self, batch: Batch) -> Batch {
        let key = row_key(&self.room.subscriber.number, self.room.id);
        let kept = Some(self.expires.plus(GRACE));
        let mut batch = batch.put(Space::Inbox, key, self.value.clone(), kept);
        if let Some(identity) = &self.identity {
            batch = batch.put_new(Space::Home, identity, Vec::new(), Some(self.seen_until));
        }
        for (key, value) in &self.rows {
            batch = batch.put(Space::Home, key, value.clone(), Some(self.expires));
        }
        batch
    }

    /// It is committed: connected devices get it, unless messages are to be fetched.
    fn arrived(self) {
        let state = &mut *self.room.subscriber.state();
        if let Some(waiting) = state.inbox.waiting.get_mut(&self.room.id) {
            waiting.is_committed = true;
        }
        if is_pushed(state, &self.event) {
            state.streams.send(Some(self.room.id), &self.event);
        }
    }
}

/// Whether an event goes out by itself.
pub(crate) fn is_pushed(state: &State, event: &Event) -> bool {
    state.account.settings.delivery == DeliveryMethod::Push || !matches!(event, Event::Message { .. })
}

/// The row key by which a repeat is recognised: who sent it, which primitive, its own ID.
pub(crate) fn identity(number: &E164, primitive: &str, sender: &str, id: &str) -> String {
    let hash = RequestKey::hash([primitive.as_bytes(), sender.as_bytes(), id.as_bytes()]);
    format!("seen/{number}/{}", short(&hash))
}

/// A row key's part for a text of any length: 22 characters.
pub(crate) fn digest_text(text: &str) -> String {
    short(
        digest::digest(&digest::SHA256, text.as_bytes())
            .as_ref()
            .get(..16)
            .unwrap_or_default(),
    )
}

fn short(octets: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.encode(octets)
}

fn give_up_all(
    entering: &mut Vec<(usize, Entering)>,
    outcomes: &mut [Result<(), Refusal>],
    refusal: &Refusal,
) {
    for (index, entry) in entering.drain(..) {
        drop(entry);
        if let Some(outcome) = outcomes.get_mut(index) {
            *outcome = Err(refusal.clone());
        }
    }
}

/// How long a repeat is recognised: the longest validity of a message, and as long again for a peer's own retries.
const SEEN_KEPT: Duration = Duration::from_secs(14 * 86_400);
/// Rows outlive their events, so that expiry makes a report before the store removes the row by itself.
const GRACE: Duration = Duration::from_secs(86_400);
