//! The outbox: what was accepted and could not go at once, carried on until it is delivered, refused or too late.
//!
//! Each attempt (`attempt.rs`) routes anew, because a number may have been ported while the message waited. The sender is
//! told what became of it by a delivery report; an outcome that nobody knows becomes a dead letter, for a person to decide.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::{
    Ingress, Relay, RequestKey,
    identity::hex,
    ingress::SideRecord,
    report::Reference,
    send::{damaged, refused_by_store},
    set_back::Seen,
    slots::{Room, Slots},
};
use crate::{
    agreement::{Agreements, ProfileName},
    model::{
        Domain, MessageId, Outcome, Protocol, Refusal, Request, StepEvent, Stop, Timestamp, Trail, TrailId,
    },
    store::{
        Batch, Claim, Committed, ItemId, Lane, OutboxItem, Place, PlaceName, QueueFilter, Settle, StoreError,
        WorkerId,
    },
};

/// A request that waits, as the store keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Queued {
    /// The side it came from.
    pub(super) side: SideRecord,
    /// The protocol it came in.
    pub(super) protocol: Protocol,
    /// Its identity: own ID, whether that is only a transaction ID, hash in hexadecimal.
    pub(super) key: Option<(String, bool, String)>,
    /// Gateways that relayed it before us.
    pub(super) via: Vec<Domain>,
    /// The trail that it began in.
    pub(super) trail: TrailId,
    /// Which way it goes.
    pub(super) kind: QueuedKind,
    /// What is to be delivered.
    pub(super) request: Request,
}

impl Queued {
    /// A request as it came in, or as it goes back.
    pub(super) fn new(ingress: &Ingress, kind: QueuedKind, request: Request) -> Self {
        let key = |key: &RequestKey| (key.id.clone(), key.is_transaction, hex(&key.hash));
        Self {
            side: ingress.side.to_record(),
            protocol: ingress.protocol,
            key: ingress.key.as_ref().map(key),
            via: ingress.via.clone(),
            trail: ingress.trail.id(),
            kind,
            request,
        }
    }

    /// As the store keeps it.
    pub(super) fn to_bytes(&self) -> Result<Bytes, Refusal> {
        Ok(serde_json::to_vec(self).map_err(damaged)?.into())
    }

    /// Where it came from, under the agreements of today; `None` when that one has ended.
    pub(super) fn ingress(&self, agreements: &Agreements, now: Timestamp) -> Option<Ingress> {
        let key = self.key.as_ref().map(|(id, is_transaction, hash)| RequestKey {
            id: id.clone(),
            is_transaction: *is_transaction,
            hash: from_hex(hash),
        });
        Some(Ingress {
            side: self.side.to_side(agreements)?,
            protocol: self.protocol,
            key,
            via: self.via.clone(),
            trail: Arc::new(Trail::new(self.trail, now)),
        })
    }
}

/// Which way a request goes that waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum QueuedKind {
    /// To the person that it names, whoever serves him by then.
    Waiting,
    /// Back to the side that the message came from.
    Back {
        /// Which.
        to: SideRecord,
    },
}

impl Relay {
    /// Takes up what waits in the store after a start.
    ///
    /// # Errors
    /// The store's words, when it can't be read.
    pub async fn resume(&self) -> Result<u64, Refusal> {
        let mut after = None;
        let mut count = 0;
        let mut is_out_of_reach = false;
        loop {
            let page = self
                .store
                .items(&QueueFilter::default(), after, 1000)
                .await
                .map_err(refused_by_store)?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            let now = self.now();
            is_out_of_reach |= page.iter().any(|item| self.is_out_of_reach(item, now));
            for item in page.iter().filter(|item| is_living(item)) {
                self.waiting.enter(&item.lane);
                self.waiting.entered(&item.lane);
                count += 1;
            }
        }
        if is_out_of_reach {
            self.hasten_all().await;
        }
        Ok(count)
    }

    /// Delivers what is due until [`Relay::stop_claiming`], and ends with the last attempt; one such task runs on each node.
    ///
    /// # Cancel safety
    /// Attempts under way are cut off when the future is dropped; what they delivered may be delivered again.
    pub async fn run_outbox(self: Arc<Self>, worker: WorkerId) {
        let slots = Slots::new(self.config.outbox_concurrency);
        if let Err(error) = self.take_back(&worker).await {
            tracing::warn!(%error, "what a process before this one was delivering waits until its leases end");
        }
        let mut ending = self.is_ending.subscribe();
        let mut attempts = JoinSet::new();
        let mut is_idle = false;
        let mut seen = Seen::new(self.now());
        loop {
            while attempts.try_join_next().is_some() {}
            // Never amid a claim: what is claimed and not attempted waits for its lease to end.
            let is_ending = tokio::select! {
                biased;
                _ = ending.wait_for(|is_ending| *is_ending) => true,
                () = self.wait_for_room(&slots, is_idle) => false,
            };
            if is_ending {
                break;
            }
            self.notice_set_back(&mut seen).await;
            let items = self.claim(&worker, slots.room()).await;
            is_idle = items.is_empty();
            for item in items {
                let slot = slots.take(&item.lane.queue);
                let (relay, worker) = (Arc::clone(&self), worker.clone());
                let underway = self.underway.begin();
                attempts.spawn(async move {
                    relay.attempt(item, worker).await;
                    drop((slot, underway));
                    relay.wake.notify_one();
                });
            }
        }
        while attempts.join_next().await.is_some() {}
    }

    /// Waits until there is room for an attempt; when nothing was due, until something may be.
    async fn wait_for_room(&self, slots: &Slots, is_idle: bool) {
        if is_idle {
            self.wait_for_work(&slots.room().full).await;
        }
        while slots.room().limit == 0 {
            // Every delivery that ends wakes this task.
            self.wake.notified().await;
        }
    }

    /// What is due, under a lease; nothing when the store can't be read.
    async fn claim(&self, worker: &WorkerId, room: Room) -> Vec<OutboxItem> {
        let claim = Claim {
            by: worker.clone(),
            now: self.now(),
            lease: self.config.query_timeout + LEASE_BEYOND_ATTEMPT,
            limit: room.limit,
            except_queues: room.full,
        };
        match self.store.claim(claim).await {
            Ok(items) => items,
            Err(error) => {
                tracing::error!(%error, "the outbox can't read the store");
                tokio::time::sleep(Duration::from_secs(1)).await;
                Vec::new()
            }
        }
    }

    /// What a process before this one was delivering when it ended goes on at once: its leases are this worker's own.
    pub(super) async fn take_back(&self, worker: &WorkerId) -> Result<(), StoreError> {
        let filter = QueueFilter {
            place: Some(PlaceName::Leased),
            ..QueueFilter::default()
        };
        let mut after = None;
        loop {
            let page = self.store.items(&filter, after, 1000).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(last.id);
            let is_own = |item: &&OutboxItem| matches!(&item.place, Place::Leased { to, .. } if to == worker);
            let now = self.now();
            for item in page.iter().filter(is_own) {
                let batch = self.taken_back(item, worker, now);
                self.store.commit(batch).await?;
            }
        }
    }

    /// A message may have arrived by then. Where the peer tells repeats apart that is remembered as long as it waits; any other
    /// would never get it again if it were, and may get it twice.
    fn taken_back(&self, item: &OutboxItem, worker: &WorkerId, now: Timestamp) -> Batch {
        let (by, due, failure) = (worker.clone(), now, ENDED_AMID.to_owned());
        let is_message = serde_json::from_slice::<Queued>(&item.body)
            .is_ok_and(|queued| matches!(queued.request, Request::Send(_)));
        let tells_repeats_apart = item.lane.queue.parse().is_ok_and(|domain| {
            let agreements = self.agreements.load();
            let agreement = agreements.for_domain(&domain);
            agreement.is_some_and(|agreement| agreement.config.profile == ProfileName::Strict)
        });
        if is_message && tells_repeats_apart {
            return Batch::new(now)
                .settle(item.id, Settle::Await { by, until: due })
                .settle(item.id, Settle::Unsure { due, failure });
        }
        Batch::new(now).settle(item.id, Settle::Reschedule { by, due, failure })
    }

    /// What waits for this serving domain goes now, whatever its next time was: the domain can be reached again.
    pub async fn peer_is_back(&self, serving: &Domain) {
        let batch = Batch {
            due_now: vec![serving.to_string()],
            ..Batch::new(self.now())
        };
        match self.store.commit(batch).await {
            Ok(_) => self.wake.notify_one(),
            Err(error) => tracing::error!(%error, %serving, "what waits could not be hastened"),
        }
    }

    /// A peer's answer to a message whose sender has been answered already.
    ///
    /// Success closes what was awaited, an error becomes a failed report. Of a message that was sent anew since, or that
    /// was buried with its outcome unknown, the answer settles the same.
    pub async fn late_answer(&self, domain: &Domain, id: &MessageId, answer: &Outcome) {
        // The answer may overtake the journal of the message that it is about.
        self.in_progress.ended(&Reference::any_row_key(domain, id)).await;
        let filter = QueueFilter {
            label: Some(id.to_string()),
            ..QueueFilter::default()
        };
        let items = match self.store.items(&filter, None, 256).await {
            Ok(items) => items,
            Err(error) => {
                tracing::error!(%error, "a late answer could not be matched");
                return;
            }
        };
        // What was never sent, or not taken, is not what the answer is about.
        let is_asked = |item: &OutboxItem| item.unanswered || matches!(item.place, Place::Awaiting { .. });
        for item in items.iter().filter(|item| is_asked(item)) {
            self.settle_late(item, (domain, id), answer).await;
        }
    }

    /// The document of a message that is awaiting was not taken after all: it goes again, as what was never sent does.
    pub async fn not_taken(&self, domain: &Domain, id: &MessageId) {
        let failure = "its document was not taken";
        let settle = |due| Settle::NotTaken {
            due,
            failure: failure.into(),
        };
        self.go_again(domain, id, settle).await;
    }

    /// Whether the document of a message that is awaiting arrived will never turn out: it goes again to a peer that notices, and
    /// is not undelivered when it comes to nothing.
    pub async fn unsure(&self, domain: &Domain, id: &MessageId) {
        let failure = "its document may have arrived, or not";
        let settle = |due| Settle::Unsure {
            due,
            failure: failure.into(),
        };
        self.go_again(domain, id, settle).await;
    }

    async fn go_again(&self, domain: &Domain, id: &MessageId, settle: impl Fn(Timestamp) -> Settle) {
        // It may be known before the journal of the message is written.
        self.in_progress.ended(&Reference::any_row_key(domain, id)).await;
        let filter = QueueFilter {
            label: Some(id.to_string()),
            place: Some(PlaceName::Awaiting),
            ..QueueFilter::default()
        };
        let items = match self.store.items(&filter, None, 256).await {
            Ok(items) => items,
            Err(error) => {
                tracing::error!(%error, "what was not taken could not be found");
                return;
            }
        };
        let now = self.now();
        for item in items.iter().filter(|item| self.is_known_as(item, domain, id)) {
            let due = self.retry_at(item.attempts, now);
            let batch = Batch::new(now).settle(item.id, settle(due));
            self.settle(batch, item.id, None).await;
        }
        self.wake.notify_one();
    }

    /// Whether this is the message that has this ID at a serving domain.
    fn is_known_as(&self, item: &OutboxItem, domain: &Domain, id: &MessageId) -> bool {
        let Ok(queued) = serde_json::from_slice::<Queued>(&item.body) else {
            return false;
        };
        let ingress = queued.ingress(&self.agreements.load(), self.now());
        let (Some(ingress), Request::Send(message)) = (ingress, &queued.request) else {
            return false;
        };
        self.egress_id(&ingress, message, domain).as_ref() == Some(id)
    }

    async fn settle_late(&self, item: &OutboxItem, (domain, id): (&Domain, &MessageId), answer: &Outcome) {
        let now = self.now();
        let Ok(queued) = serde_json::from_slice::<Queued>(&item.body) else {
            return;
        };
        let (Some(ingress), Request::Send(message)) =
            (queued.ingress(&self.agreements.load(), now), &queued.request)
        else {
            return;
        };
        // An answer counts only from where the message went under this ID.
        if self.egress_id(&ingress, message, domain).as_ref() != Some(id) {
            return;
        }
        let refused = match (answer, message.recipients.first()) {
            (Err(refusal), Some(_)) => Some(refusal.clone()),
            (Ok(answer), Some(recipient)) => self.late_refusal((domain, id), answer, recipient).await,
            (_, None) => None,
        };
        let closed = match &refused {
            Some(refusal) => StepEvent::Refused {
                reason: format!("a late answer of {domain}: {refusal}"),
            },
            None => StepEvent::Note {
                text: format!("a late answer of {domain}: it has the message"),
            },
        };
        ingress.trail.add(now, Stop::Deliver, closed);
        let mut batch = Batch::new(now).settle(item.id, Settle::Answered);
        let told = refused.and_then(|refusal| self.failed_report(&queued, refusal));
        batch.enqueue.extend(told);
        let leaves = is_living(item).then_some(&item.lane);
        self.settle(batch, item.id, leaves).await;
        (self.trails)(ingress.trail.record());
        self.wake.notify_one();
    }

    /// When the next attempt is due after so many; about three times as long each time, with jitter.
    pub(super) fn retry_at(&self, attempts: u32, now: Timestamp) -> Timestamp {
        let base = self.config.first_retry.as_millis().min(u128::from(u64::MAX)) as f64;
        let longest = self.config.longest_retry.as_millis().min(u128::from(u64::MAX)) as f64;
        let pause = (base * 3_f64.powi(i32::try_from(attempts.min(20)).unwrap_or(20))).min(longest);
        let jittered = pause * (0.85 + 0.3 * fastrand::f64());
        now.plus(Duration::from_millis(jittered as u64))
    }

    /// Commits what became of an item; `leaves` is its lane when it waits there no longer.
    pub(super) async fn settle(&self, batch: Batch, id: ItemId, leaves: Option<&Lane>) {
        match self.store.commit(batch).await {
            Ok(Committed::Done) => {
                if let Some(lane) = leaves {
                    self.waiting.leave(lane);
                }
            }
            Ok(Committed::LeaseLost(_) | Committed::Conflict { .. }) => {
                tracing::warn!(item = id.0, "another worker took the item over");
            }
            Err(error) => {
                tracing::error!(%error, item = id.0, "an item could not be settled; its lease will end");
            }
        }
    }

    /// Waits for a new item, the end of a delivery, the next due time, or a second pair of eyes after a while.
    async fn wait_for_work(&self, full_queues: &[String]) {
        let pause = match self.store.next_due_except(full_queues).await {
            Ok(Some(due)) => self
                .now()
                .until(due)
                .clamp(Duration::from_millis(5), Duration::from_secs(5)),
            Ok(None) | Err(_) => Duration::from_secs(5),
        };
        tokio::select! {
            () = self.wake.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

fn is_living(item: &OutboxItem) -> bool {
    !matches!(item.place, Place::Dead { .. })
}

fn from_hex(text: &str) -> [u8; 16] {
    let mut out = [0; 16];
    for (index, to) in out.iter_mut().enumerate() {
        *to = text
            .get(index * 2..index * 2 + 2)
            .and_then(|pair| u8::from_str_radix(pair, 16).ok())
            .unwrap_or(0);
    }
    out
}

/// What is said of an attempt that the process did not survive.
pub(super) const ENDED_AMID: &str = "the gateway ended amid the attempt";
/// How much longer a worker may hold an item than it waits for an answer: routing, and the commit.
const LEASE_BEYOND_ATTEMPT: Duration = Duration::from_secs(40);
