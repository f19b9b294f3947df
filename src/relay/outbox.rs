//! The outbox: what was accepted and could not go at once, carried on until it is delivered, refused or too late.
//!
//! Each attempt (`attempt.rs`) routes anew, because a number may have been ported while the message waited. The sender is
//! told what became of it by a delivery report; an outcome that nobody knows becomes a dead letter, for a person to decide.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::{task::JoinSet, time::Instant};

use super::{
    Ingress, Relay, RequestKey,
    identity::hex,
    ingress::SideRecord,
    send::{damaged, refused_by_store},
    set_back::Seen,
    slots::{Room, Slots},
};
use crate::{
    agreement::{Agreements, DeliveryPolicy, ProfileName},
    model::{Domain, Protocol, Refusal, Request, Timestamp, Trail, TrailId},
    store::{
        Batch, Claim, Committed, ItemId, OutboxItem, Place, PlaceName, QueueFilter, Settle, StoreError,
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
    /// The domain that an operator sent it to, in place of the one that its route leads to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) redirected: Option<Domain>,
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
            redirected: None,
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
    /// How much waits in the store, for a start to say.
    ///
    /// # Errors
    /// The store's words, when it can't be read.
    pub async fn waiting(&self) -> Result<u64, Refusal> {
        self.learn_holds().await?;
        let oldest = self.store.items(&QueueFilter::default(), None, OLDEST).await;
        let (oldest, now) = (oldest.map_err(refused_by_store)?, self.now());
        if oldest.iter().any(|item| self.is_out_of_reach(item, now)) {
            self.hasten_all().await;
        }
        let counts = self.store.counts().await.map_err(refused_by_store)?;
        let living = counts.iter().filter(|count| count.place != PlaceName::Dead);
        Ok(living.map(|count| count.count).sum())
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
            let items = self.claim(&worker, self.room(&slots)).await;
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
            self.wait_for_work(slots).await;
        }
        while slots.room().limit == 0 {
            // Every delivery that ends wakes this task.
            self.wake.notified().await;
        }
    }

    /// What may be begun now: as the slots, the paces of peers and the holds of operators have it.
    fn room(&self, slots: &Slots) -> Room {
        let mut room = slots.room().and(self.room_by_pace());
        room.full.extend(self.holds.queues());
        room
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
                tracing::info!(
                    item = item.id.0,
                    "a process before this one was delivering this; it goes on"
                );
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
        self.pace_is_back(serving);
        let batch = Batch {
            due_now: vec![serving.to_string()],
            ..Batch::new(self.now())
        };
        match self.store.commit(batch).await {
            Ok(_) => self.wake.notify_one(),
            Err(error) => tracing::error!(%error, %serving, "what waits could not be hastened"),
        }
    }

    /// Something may be due that was not before: an operator has let it go on.
    pub fn has_work(&self) {
        self.wake.notify_one();
    }

    /// When the next attempt of something in this queue is due after so many; about three times as long each time, with jitter.
    pub(super) fn retry_at(&self, queue: &str, attempts: u32, now: Timestamp) -> Timestamp {
        let (first, longest) = self.retries(queue);
        let pause = first.as_secs_f64() * 3_f64.powi(i32::try_from(attempts.min(20)).unwrap_or(20));
        let jittered = pause.min(longest.as_secs_f64()) * (0.85 + 0.3 * fastrand::f64());
        now.plus(Duration::from_secs_f64(jittered))
    }

    /// The first and the longest pause of a queue: as its agreement says, else as `[relay]` does.
    pub(super) fn retries(&self, queue: &str) -> (Duration, Duration) {
        let agreements = self.agreements.load();
        let serving = queue.parse::<Domain>().ok();
        let agreement = serving.and_then(|domain| agreements.for_domain(&domain));
        let said = |own: fn(&DeliveryPolicy) -> Duration, usual: Duration| {
            let own = agreement.map(|agreement| own(&agreement.config.delivery));
            own.filter(|pause| !pause.is_zero()).unwrap_or(usual)
        };
        let first = said(|policy| policy.first_retry, self.config.first_retry);
        let longest = said(|policy| policy.longest_retry, self.config.longest_retry);
        (first, longest.max(first))
    }

    /// Commits what became of an item.
    pub(super) async fn settle(&self, batch: Batch, id: ItemId) {
        match self.commit_persistently(batch, id).await {
            Ok(Committed::Done) => {}
            Ok(Committed::LeaseLost(_) | Committed::Conflict { .. } | Committed::Fenced(_)) => {
                tracing::warn!(item = id.0, "another worker took the item over");
            }
            Err(error) => {
                tracing::error!(%error, item = id.0, "an item could not be settled; its lease will end");
            }
        }
    }

    /// What was delivered and is not settled is delivered again, so a store that takes nothing now is asked again while the
    /// lease is sure to hold. One that is in doubt is asked for again: when it was carried out, it has left nothing that could be
    /// settled so once more.
    async fn commit_persistently(&self, batch: Batch, id: ItemId) -> Result<Committed, StoreError> {
        let until = Instant::now() + SETTLE_AGAIN;
        let mut is_in_doubt = false;
        loop {
            match self.store.commit(batch.clone()).await {
                Err(StoreError::Disk { .. } | StoreError::Away { .. }) if Instant::now() < until => {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Err(StoreError::InDoubt { .. }) if Instant::now() < until => {
                    is_in_doubt = true;
                    if matches!(self.store.item(id).await, Ok(None)) {
                        return Ok(Committed::Done);
                    }
                }
                Ok(Committed::LeaseLost(_)) if is_in_doubt => return Ok(Committed::Done),
                settled => return settled,
            }
        }
    }

    /// Waits for a new item, the end of a delivery, the next due time, or a second pair of eyes after a while.
    async fn wait_for_work(&self, slots: &Slots) {
        let is_paced_out = !self.room_by_pace().full.is_empty();
        let longest = if is_paced_out { LOOK_AT_PACES } else { LOOK_ANYWAY };
        let pause = match self.store.next_due_except(&self.room(slots).full).await {
            Ok(Some(due)) => self.now().until(due).clamp(Duration::from_millis(5), longest),
            Ok(None) | Err(_) => longest,
        };
        tokio::select! {
            () = self.wake.notified() => {}
            () = self.store.queued_elsewhere() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
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
pub(super) const ENDED_AMID: &str = "the gateway ended amid the attempt, so that it may have arrived";
/// So many of the oldest items tell at a start whether the clock was set back before it.
const OLDEST: usize = 1000;
/// When nothing seems due, it is looked at again after this.
const LOOK_ANYWAY: Duration = Duration::from_secs(5);
/// The same while a peer has its part for now: at the least pace it gets one a second.
const LOOK_AT_PACES: Duration = Duration::from_millis(250);
/// How long a settlement is tried again.
const SETTLE_AGAIN: Duration = Duration::from_secs(25);
/// How much longer a worker may hold an item than it waits for an answer: routing, and the commit.
const LEASE_BEYOND_ATTEMPT: Duration = Duration::from_secs(40);
