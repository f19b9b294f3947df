//! The inbox: events that must reach the subscriber, committed before the sender is told so, gone once a device
//! acknowledges them.
//!
//! Memory holds what the bounds and reports need; the text lies in the store (`Space::Inbox`, key `number/id`). A repeat
//! of a message is recognised by a row that is committed with it (`Space::Home`, key `seen/number/…`), so the common
//! case is one batch. The report of a message is owed from the acknowledgement, in the same batch, until the relay has it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ring::digest;
use serde::{Deserialize, Serialize};

use super::{
    HomeDomain,
    account::DeliveryMethod,
    event::Event,
    refused,
    subscriber::{State, Subscriber},
};
use crate::{
    model::{DeliveryReport, Disposition, E164, MessageId, Refusal, Timestamp, WvAddress},
    relay::RequestKey,
    store::{Batch, Committed, Space},
};

/// What memory holds of an inbox.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    pub(crate) waiting: BTreeMap<u64, Waiting>,
    octets: u64,
}

/// What memory holds of an event that waits.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    size: u64,
    expires: Timestamp,
    /// `false` between making room and the commit.
    is_committed: bool,
    report: Option<ReportDue>,
    /// Who is announced, for notices: one notice from one person waits at most.
    notice_by: Option<String>,
}

/// An event as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StoredEvent {
    pub(crate) event: Event,
    pub(crate) at: Timestamp,
    pub(crate) expires: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    report: Option<ReportDue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    notice_by: Option<String>,
}

/// A report that the sender wants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ReportDue {
    pub(crate) message: MessageId,
    pub(crate) sender: WvAddress,
    /// The subscriber, as the sender addressed him.
    pub(crate) recipient: WvAddress,
}

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

/// A report that the relay has not taken yet (`Space::Home`, key `report/number/id`).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OwedReport {
    pub(crate) due: ReportDue,
    pub(crate) disposition: Disposition,
    pub(crate) at: Timestamp,
}

impl Inbox {
    /// Takes in a row at the start.
    pub(crate) fn load(&mut self, id: u64, stored: &StoredEvent, size: u64) {
        let waiting = Waiting {
            size,
            expires: stored.expires,
            is_committed: true,
            report: stored.report.clone(),
            notice_by: stored.notice_by.clone(),
        };
        self.enter(id, waiting);
    }

    /// Whether a notice of this person waits already.
    pub(crate) fn has_notice_by(&self, person: &str) -> bool {
        self.waiting
            .values()
            .any(|one| one.notice_by.as_deref() == Some(person))
    }

    /// Whether the time of any event has passed.
    pub(crate) fn has_expired(&self, now: Timestamp) -> bool {
        self.waiting
            .values()
            .any(|one| one.is_committed && one.expires <= now)
    }

    fn enter(&mut self, id: u64, waiting: Waiting) {
        self.octets = self.octets.saturating_add(waiting.size);
        self.waiting.insert(id, waiting);
    }

    fn leave(&mut self, id: u64) -> Option<Waiting> {
        let waiting = self.waiting.remove(&id)?;
        self.octets = self.octets.saturating_sub(waiting.size);
        Some(waiting)
    }
}

impl HomeDomain {
    /// Commits events to their inboxes in one batch and sends them to connected devices; one outcome for each, in order.
    /// A repeat is a success that changes nothing.
    pub(crate) async fn take_in(&self, arriving: Vec<Arriving>) -> Vec<Result<(), Refusal>> {
        let now = self.clock.now();
        let mut outcomes: Vec<Result<(), Refusal>> = Vec::with_capacity(arriving.len());
        let mut entering: Vec<(usize, Entering)> = Vec::with_capacity(arriving.len());
        for (index, one) in arriving.into_iter().enumerate() {
            let is_same = |(_, entry): &(usize, Entering)| entry.identity == one.identity;
            // One person under two addresses gets one message.
            if one.identity.is_some() && entering.iter().any(is_same) {
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
                Ok(Committed::LeaseLost(_)) => {
                    let refusal = Refusal::Internal {
                        reason: "the store answered for an item that was not asked for".into(),
                    };
                    give_up_all(&mut entering, &mut outcomes, &refusal);
                }
                Err(error) => give_up_all(&mut entering, &mut outcomes, &refused(error)),
            }
        }
        outcomes
    }

    /// Events that wait, oldest first, after the event `after`, at most `limit`.
    ///
    /// # Errors
    /// When the store can't be read.
    pub(crate) async fn waiting(
        &self,
        subscriber: &Subscriber,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(u64, StoredEvent)>, Refusal> {
        let now = self.clock.now();
        let prefix = format!("{}/", subscriber.number);
        let after = after.map(|after| row_key(&subscriber.number, after));
        let rows = self
            .store
            .rows(Space::Inbox, &prefix, after.as_deref(), limit, now)
            .await
            .map_err(refused)?;
        let read = |row: &crate::store::Row| {
            let id = row.key.rsplit('/').next()?.parse().ok()?;
            let stored: StoredEvent = serde_json::from_slice(&row.value).ok()?;
            Some((id, stored))
        };
        Ok(rows
            .iter()
            .filter_map(read)
            .filter(|(_, stored)| stored.expires > now)
            .collect())
    }

    /// One event, unless it was acknowledged or has expired.
    ///
    /// # Errors
    /// When the store can't be read.
    pub(crate) async fn waiting_event(
        &self,
        subscriber: &Subscriber,
        id: u64,
    ) -> Result<Option<StoredEvent>, Refusal> {
        let now = self.clock.now();
        let row = self
            .store
            .row(Space::Inbox, &row_key(&subscriber.number, id), now)
            .await
            .map_err(refused)?;
        Ok(row.and_then(|row| serde_json::from_slice(&row.value).ok()))
    }

    /// A device has the event: it goes, and the sender's report is owed. What is not there was acknowledged before.
    ///
    /// # Errors
    /// When the store can't be read or written; the event stays.
    pub(crate) async fn acknowledge(&self, subscriber: &Arc<Subscriber>, id: u64) -> Result<(), Refusal> {
        if !subscriber.state().inbox.waiting.contains_key(&id) {
            // A delivery that was cut off after its commit left a row that memory does not know.
            let Some(stored) = self.waiting_event(subscriber, id).await? else {
                return Ok(());
            };
            let inbox = &mut subscriber.state().inbox;
            if !inbox.waiting.contains_key(&id) {
                inbox.load(id, &stored, 0);
            }
        }
        self.remove(subscriber, id, Disposition::Delivered).await
    }

    /// Events whose time has passed go; their senders are told.
    pub(crate) async fn expire_inbox(&self, subscriber: &Arc<Subscriber>, now: Timestamp) {
        let due: Vec<u64> = {
            let state = subscriber.state();
            let is_due = |one: &Waiting| one.is_committed && one.expires <= now;
            state
                .inbox
                .waiting
                .iter()
                .filter(|(_, one)| is_due(one))
                .map(|(id, _)| *id)
                .collect()
        };
        for id in due {
            if let Err(error) = self
                .remove(subscriber, id, Disposition::Failed(Refusal::Expired))
                .await
            {
                tracing::warn!(%error, "an expired event stays until the store can be written");
                return;
            }
        }
    }

    async fn remove(
        &self,
        subscriber: &Arc<Subscriber>,
        id: u64,
        disposition: Disposition,
    ) -> Result<(), Refusal> {
        let now = self.clock.now();
        let waiting = {
            let inbox = &mut subscriber.state().inbox;
            let is_there = inbox.waiting.get(&id).is_some_and(|one| one.is_committed);
            if is_there { inbox.leave(id) } else { None }
        };
        let Some(waiting) = waiting else {
            return Ok(());
        };
        let mut batch = Batch::new(now).remove(Space::Inbox, row_key(&subscriber.number, id));
        let owed = waiting.report.clone().map(|due| OwedReport {
            due,
            disposition,
            at: now,
        });
        let report_key = format!("report/{}/{id:020}", subscriber.number);
        if let Some(owed) = &owed {
            let value = serde_json::to_vec(owed).map_err(super::damaged)?;
            batch = batch.put(Space::Home, &report_key, value, Some(now.plus(REPORT_KEPT)));
        }
        if let Err(error) = self.store.commit(batch).await {
            subscriber.state().inbox.enter(id, waiting);
            return Err(refused(error));
        }
        if let Some(owed) = owed {
            self.owe(subscriber, report_key, owed);
        }
        Ok(())
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

fn row_key(number: &E164, id: u64) -> String {
    format!("{number}/{id:020}")
}

/// How long a repeat is recognised: the longest validity of a message, and as long again for a peer's own retries.
const SEEN_KEPT: Duration = Duration::from_secs(14 * 86_400);
/// Rows outlive their events, so that expiry makes a report before the store removes the row by itself.
const GRACE: Duration = Duration::from_secs(86_400);
/// A report that nobody takes for so long is of no use.
const REPORT_KEPT: Duration = Duration::from_secs(7 * 86_400);

/// The report of a message, in the model's words.
pub(crate) fn report(owed: &OwedReport) -> DeliveryReport {
    DeliveryReport {
        message: owed.due.message.clone(),
        sender: owed.due.sender.clone(),
        recipient: owed.due.recipient.clone(),
        disposition: owed.disposition.clone(),
        at: Some(owed.at),
        losses: Vec::new(),
    }
}
