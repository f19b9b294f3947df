//! The inbox: events that must reach the subscriber, committed before the sender is told so, gone once a device
//! acknowledges them.
//!
//! Memory holds what the bounds and reports need; the text lies in the store (`Space::Inbox`, key `number/id`). The
//! report of a message is owed from the acknowledgement, in the same batch, until the relay has it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{HomeDomain, event::Event, refused, subscriber::Subscriber};
use crate::{
    model::{DeliveryReport, Disposition, E164, MessageId, Refusal, Timestamp, WvAddress},
    store::{Batch, Row, Space},
};

/// What memory holds of an inbox.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    pub(crate) waiting: BTreeMap<u64, Waiting>,
    pub(crate) octets: u64,
}

/// What memory holds of an event that waits.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) size: u64,
    pub(crate) expires: Timestamp,
    /// `false` between making room and the commit.
    pub(crate) is_committed: bool,
    pub(crate) report: Option<ReportDue>,
    /// Who is announced, for notices: one notice from one person waits at most.
    pub(crate) notice_by: Option<String>,
}

/// An event as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StoredEvent {
    pub(crate) event: Event,
    pub(crate) at: Timestamp,
    pub(crate) expires: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) report: Option<ReportDue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) notice_by: Option<String>,
}

/// A report that the sender wants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ReportDue {
    pub(crate) message: MessageId,
    pub(crate) sender: WvAddress,
    /// The subscriber, as the sender addressed him.
    pub(crate) recipient: WvAddress,
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

    /// How many events wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
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

    pub(crate) fn enter(&mut self, id: u64, waiting: Waiting) {
        self.octets = self.octets.saturating_add(waiting.size);
        self.waiting.insert(id, waiting);
    }

    pub(crate) fn leave(&mut self, id: u64) -> Option<Waiting> {
        let waiting = self.waiting.remove(&id)?;
        self.octets = self.octets.saturating_sub(waiting.size);
        Some(waiting)
    }
}

impl HomeDomain {
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
        let mut after = after.map(|after| row_key(&subscriber.number, after));
        loop {
            let rows = self
                .store
                .rows(Space::Inbox, &prefix, after.as_deref(), limit, now)
                .await
                .map_err(refused)?;
            let Some(last) = rows.last() else {
                return Ok(Vec::new());
            };
            let read = rows
                .iter()
                .filter_map(read_row)
                .filter(|(_, stored)| stored.expires > now);
            let waiting: Vec<_> = read.collect();
            if !waiting.is_empty() {
                return Ok(waiting);
            }
            // A page of nothing but expired events is not the end.
            after = Some(last.key.clone());
        }
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
        // One at a time: two devices that acknowledge the same event make one report.
        let _writing = subscriber.writing.lock().await;
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
        let _writing = subscriber.writing.lock().await;
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

    /// Everything that waits goes with its owner; the senders are told that he is not served here any more.
    ///
    /// # Errors
    /// When the store can't be written; what is left stays.
    pub(crate) async fn give_up_inbox(&self, subscriber: &Arc<Subscriber>) -> Result<(), Refusal> {
        let _writing = subscriber.writing.lock().await;
        let all: Vec<u64> = subscriber.state().inbox.waiting.keys().copied().collect();
        let recipient = WvAddress::msisdn(subscriber.number.clone());
        for id in all {
            let gone = Refusal::UnknownUser {
                recipient: recipient.clone(),
            };
            self.remove(subscriber, id, Disposition::Failed(gone)).await?;
        }
        Ok(())
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
}

fn read_row(row: &Row) -> Option<(u64, StoredEvent)> {
    let id = row.key.rsplit('/').next()?.parse().ok()?;
    Some((id, serde_json::from_slice(&row.value).ok()?))
}

/// The row key of an event; in the order of arrival.
pub(crate) fn row_key(number: &E164, id: u64) -> String {
    format!("{number}/{id:020}")
}

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
