//! The outbox: what was accepted and could not go at once, carried on until it is delivered, refused or too late.
//!
//! Each attempt routes anew, because a number may have been ported while the message waited. The sender is told what became
//! of it by a delivery report; an outcome that nobody knows becomes a dead letter, for a person to decide.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    Ingress, Relay, RequestKey, Undelivered,
    forward::Target,
    identity::Progress,
    ingress::SideRecord,
    report::{Reference, side_to_speak_to},
};
use crate::{
    model::{
        DeliveryReport, Disposition, Domain, MessageId, Protocol, Refusal, Request, Timestamp, Trail,
        TrailId, WvAddress,
    },
    routing::RouteService,
    store::{Batch, Claim, Committed, ItemId, Lane, OutboxItem, QueueFilter, Settle, Space, WorkerId},
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
    /// Why it waits.
    pub(super) kind: QueuedKind,
    /// What is to be delivered.
    pub(super) request: Request,
}

/// Why a request waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum QueuedKind {
    /// Nothing was taken yet.
    Waiting,
    /// The peer acknowledged it under this ID and has not answered; it is not sent again unless the peer tells repeats apart.
    Awaiting {
        /// The ID it went out under.
        egress_id: MessageId,
    },
    /// It goes back to the side that the message came from.
    Back {
        /// Which.
        to: SideRecord,
    },
}

/// Lanes with something waiting, counted in memory, so that later messages queue behind without asking the store.
#[derive(Debug, Default)]
pub(super) struct WaitingLanes(Mutex<HashMap<Lane, u32>>);

impl WaitingLanes {
    pub(super) fn has(&self, lane: &Lane) -> bool {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        !map.is_empty() && map.contains_key(lane)
    }

    pub(super) fn enter(&self, lane: &Lane) {
        *self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(lane.clone())
            .or_insert(0) += 1;
    }

    pub(super) fn leave(&self, lane: &Lane) {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = map.get_mut(lane) {
            *count -= 1;
            if *count == 0 {
                map.remove(lane);
            }
        }
    }
}

impl Relay {
    /// Takes up what waits in the store after a start.
    ///
    /// # Errors
    /// The store's words, when it can't be read.
    pub async fn resume(&self) -> Result<u64, Refusal> {
        let mut after = None;
        let mut count = 0;
        loop {
            let page = self
                .store
                .items(&QueueFilter::default(), after, 1000)
                .await
                .map_err(super::send::refused_by_store)?;
            let Some(last) = page.last() else {
                return Ok(count);
            };
            after = Some(last.id);
            for item in &page {
                if !matches!(item.place, crate::store::Place::Dead { .. }) {
                    self.waiting.enter(&item.lane);
                    count += 1;
                }
            }
        }
    }

    /// Delivers what is due until the task is aborted; one such task runs on each node.
    pub async fn run_outbox(self: Arc<Self>, worker: WorkerId) {
        let slots = Arc::new(tokio::sync::Semaphore::new(self.config.outbox_concurrency.max(1)));
        loop {
            let free = slots.available_permits();
            let claim = Claim {
                by: worker.clone(),
                now: self.now(),
                lease: LEASE,
                limit: free,
                except_queues: Vec::new(),
            };
            let items = if free == 0 {
                Ok(Vec::new())
            } else {
                self.store.claim(claim).await
            };
            let items = match items {
                Ok(items) => items,
                Err(error) => {
                    tracing::error!(%error, "the outbox can't read the store");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
            };
            if items.is_empty() {
                self.wait_for_work().await;
                continue;
            }
            for item in items {
                let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
                    return;
                };
                let relay = Arc::clone(&self);
                let worker = worker.clone();
                tokio::spawn(async move {
                    relay.attempt(item, worker).await;
                    drop(slot);
                    relay.wake.notify_one();
                });
            }
        }
    }

    /// Waits for a new item, the next due time, or a second pair of eyes after a while.
    async fn wait_for_work(&self) {
        let pause = match self.store.next_due().await {
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

    /// A peer's answer to a message whose sender has been answered already.
    ///
    /// Success closes what was awaited; an error becomes a failed report.
    pub async fn late_answer(
        &self,
        domain: &Domain,
        id: &MessageId,
        recipients: &[(WvAddress, Option<Refusal>)],
    ) {
        let filter = QueueFilter {
            queue: Some(domain.to_string()),
            place: None,
            label: Some(id.to_string()),
        };
        let items = match self.store.items(&filter, None, 256).await {
            Ok(items) => items,
            Err(error) => {
                tracing::error!(%error, "a late answer could not be matched");
                return;
            }
        };
        for item in items {
            let Ok(queued) = serde_json::from_slice::<Queued>(&item.body) else {
                continue;
            };
            if !matches!(&queued.kind, QueuedKind::Awaiting { egress_id } if egress_id == id) {
                continue;
            }
            let failed = queued.request.recipients().first().and_then(|recipient| {
                let named = recipients.iter().find(|(one, _)| one.is_same_as(recipient));
                named
                    .or_else(|| recipients.first().filter(|_| recipients.len() == 1))?
                    .1
                    .clone()
            });
            if let Some(refusal) = failed {
                self.tell_sender(&queued, refusal).await;
            }
            self.settle(item.id, &item.lane, Settle::Answered, true).await;
        }
    }

    /// When the next attempt is due after so many; about three times as long each time, with jitter.
    pub(super) fn retry_at(&self, attempts: u32, now: Timestamp) -> Timestamp {
        let base = self.config.first_retry.as_millis().min(u128::from(u64::MAX)) as f64;
        let longest = self.config.longest_retry.as_millis().min(u128::from(u64::MAX)) as f64;
        let pause = (base * 3_f64.powi(i32::try_from(attempts.min(20)).unwrap_or(20))).min(longest);
        let jittered = pause * (0.85 + 0.3 * fastrand::f64());
        now.plus(Duration::from_millis(jittered as u64))
    }

    async fn attempt(&self, item: OutboxItem, worker: WorkerId) {
        let now = self.now();
        let queued: Queued = match serde_json::from_slice(&item.body) {
            Ok(queued) => queued,
            Err(error) => {
                let reason = format!("the stored request can't be read: {error}");
                self.settle(item.id, &item.lane, Settle::Bury { by: worker, reason }, true)
                    .await;
                return;
            }
        };
        let trail = Arc::new(Trail::new(queued.trail, now));
        let agreements = self.agreements.load_full();
        let side = queued.side.to_side(&agreements);
        let Some(side) = side else {
            let reason = "the agreement that it came under has ended".into();
            self.settle(item.id, &item.lane, Settle::Bury { by: worker, reason }, true)
                .await;
            return;
        };
        let key = queued.key.as_ref().map(|(id, is_transaction, hash)| RequestKey {
            id: id.clone(),
            is_transaction: *is_transaction,
            hash: from_hex(hash),
        });
        let ingress = Ingress {
            side,
            protocol: queued.protocol,
            key,
            via: queued.via.clone(),
            trail,
        };
        if now >= item.expires {
            self.tell_sender(&queued, Refusal::Expired).await;
            self.settle(item.id, &item.lane, Settle::Done { by: worker }, true)
                .await;
            return;
        }
        let verdict = self.carry_out(&ingress, &queued, &item).await;
        (self.trails)(ingress.trail.record());
        match verdict {
            Verdict::Delivered => {
                self.settle(item.id, &item.lane, Settle::Done { by: worker }, true)
                    .await
            }
            Verdict::Refused(refusal) => {
                self.tell_sender(&queued, refusal).await;
                self.settle(item.id, &item.lane, Settle::Done { by: worker }, true)
                    .await;
            }
            Verdict::Again(refusal) => {
                let due = self.retry_at(item.attempts, self.now()).min(item.expires);
                let failure = refusal.to_string();
                self.settle(
                    item.id,
                    &item.lane,
                    Settle::Reschedule {
                        by: worker,
                        due,
                        failure,
                    },
                    false,
                )
                .await;
            }
            Verdict::Unknown => {
                let reason = "outcome unknown: the peer acknowledged the message and never answered".into();
                self.settle(item.id, &item.lane, Settle::Bury { by: worker, reason }, true)
                    .await;
            }
        }
    }

    async fn carry_out(&self, ingress: &Ingress, queued: &Queued, item: &OutboxItem) -> Verdict {
        let deadline = self.now().plus(self.config.query_timeout);
        let (target, speaking) = match &queued.kind {
            QueuedKind::Back { to } => {
                let agreements = self.agreements.load_full();
                let Some(side) = to.to_side(&agreements) else {
                    return Verdict::Refused(Refusal::NotFound {
                        what: "the agreement of the sender's side".into(),
                    });
                };
                let speaking = Ingress {
                    side: side_to_speak_to(&side),
                    ..ingress.clone()
                };
                (self.side_target(&side).await, speaking)
            }
            QueuedKind::Waiting | QueuedKind::Awaiting { .. } => {
                let is_presence = matches!(queued.request, Request::Notify(_));
                let service = if is_presence {
                    RouteService::Pres
                } else {
                    RouteService::Im
                };
                let recipients = queued.request.recipients();
                let Some(recipient) = recipients.first() else {
                    return Verdict::Delivered;
                };
                (self.target(ingress, recipient, service).await, ingress.clone())
            }
        };
        let target = match target {
            Ok(target) => target,
            Err(refusal) if refusal.is_temporary() => return Verdict::Again(refusal),
            Err(refusal) => return Verdict::Refused(refusal),
        };
        if matches!(queued.kind, QueuedKind::Awaiting { .. }) && !tells_repeats_apart(&target) {
            return Verdict::Unknown;
        }
        let _journalling = self.reference_under_way(ingress, queued, &target);
        let request = self.with_egress_id(ingress, &queued.request, &target);
        match self.forward(&speaking, &target, request, deadline).await {
            Ok(answer) => {
                let recipients = queued.request.recipients();
                match recipients
                    .first()
                    .and_then(|recipient| answer.for_recipient(recipient))
                {
                    Some(Err(refusal)) => Verdict::Refused(refusal.clone()),
                    Some(Ok(_)) | None => {
                        self.keep_reference(ingress, queued, &target, item.expires).await;
                        Verdict::Delivered
                    }
                }
            }
            Err(Undelivered::Refused(refusal)) => Verdict::Refused(refusal),
            Err(Undelivered::NotTaken(refusal)) => Verdict::Again(refusal),
            // Only messages are answered for sure; of the rest, many peers never answer what they took.
            Err(Undelivered::Unanswered(_)) if !matches!(queued.request, Request::Send(_)) => {
                Verdict::Delivered
            }
            Err(Undelivered::Unanswered(refusal)) if tells_repeats_apart(&target) => Verdict::Again(refusal),
            Err(Undelivered::Unanswered(_)) => Verdict::Unknown,
        }
    }

    /// A report that comes before the reference is written waits for it.
    fn reference_under_way(
        &self,
        ingress: &Ingress,
        queued: &Queued,
        target: &Target,
    ) -> Option<Progress<'_>> {
        let Request::Send(message) = &queued.request else {
            return None;
        };
        let id = self.egress_id(ingress, message, &target.domain)?;
        self.in_progress
            .begin(&Reference::row_key(
                &target.domain,
                &id,
                message.recipients.first()?,
            ))
            .ok()
    }

    /// The serving side may have changed since the message was accepted, so the reference is written for where it went.
    async fn keep_reference(&self, ingress: &Ingress, queued: &Queued, target: &Target, expires: Timestamp) {
        let Request::Send(message) = &queued.request else {
            return;
        };
        let (Some(id), Some(recipient)) = (&message.id, message.recipients.first()) else {
            return;
        };
        let Some(egress_id) = self.egress_id(ingress, message, &target.domain) else {
            return;
        };
        let reference = Reference {
            side: queued.side.clone(),
            message: id.clone(),
            sender: message.sender.clone(),
            recipient: recipient.clone(),
        };
        let Ok(value) = serde_json::to_vec(&reference) else {
            return;
        };
        let row = Reference::row_key(&target.domain, &egress_id, recipient);
        let until = expires.plus(Duration::from_secs(7 * 86_400));
        let batch = Batch::new(self.now()).put(Space::Reference, row, value, Some(until));
        if let Err(error) = self.store.commit(batch).await {
            tracing::error!(%error, "a report reference could not be written");
        }
    }

    fn with_egress_id(&self, ingress: &Ingress, request: &Request, target: &Target) -> Request {
        let mut request = request.clone();
        if let Request::Send(message) = &mut request
            && let Some(id) = self.egress_id(ingress, message, &target.domain)
        {
            message.id = Some(id);
        }
        request
    }

    /// Tells the sender of a stored message that it will not arrive, and why.
    async fn tell_sender(&self, queued: &Queued, refusal: Refusal) {
        let Request::Send(message) = &queued.request else {
            return;
        };
        let (Some(id), Some(recipient)) = (&message.id, message.recipients.first()) else {
            return;
        };
        let now = self.now();
        let report = DeliveryReport {
            message: id.clone(),
            sender: message.sender.clone(),
            recipient: recipient.clone(),
            disposition: Disposition::Failed(refusal),
            at: Some(now),
            losses: Vec::new(),
        };
        let agreements = self.agreements.load_full();
        let Some(side) = queued.side.to_side(&agreements) else {
            return;
        };
        let trail = Arc::new(Trail::new(queued.trail, now));
        let ingress = Ingress {
            side,
            protocol: queued.protocol,
            key: None,
            via: Vec::new(),
            trail,
        };
        if let Err(refusal) = self.report_back(&ingress, &queued.side, report, None).await {
            tracing::warn!(
                refusal = refusal.masked(),
                "a failed delivery report could not be passed on"
            );
        }
    }

    async fn settle(&self, id: ItemId, lane: &Lane, settle: Settle, leaves: bool) {
        match self.store.commit(Batch::new(self.now()).settle(id, settle)).await {
            Ok(Committed::Done) => {
                if leaves {
                    self.waiting.leave(lane);
                }
            }
            Ok(Committed::LeaseLost(_) | Committed::Conflict { .. }) => {
                tracing::warn!(item = id.0, "another worker took the item over");
            }
            Err(error) => {
                tracing::error!(%error, item = id.0, "an item could not be settled; its lease will end")
            }
        }
    }
}

/// What one attempt came to.
#[derive(Debug)]
enum Verdict {
    Delivered,
    Refused(Refusal),
    Again(Refusal),
    Unknown,
}

/// Whether the next hop tells repeats apart by the message ID: our own kind does, the observed peer does not.
fn tells_repeats_apart(target: &Target) -> bool {
    target
        .agreement
        .as_ref()
        .is_none_or(|agreement| agreement.config.profile == crate::agreement::ProfileName::Strict)
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

/// How long a worker may hold an item; longer than any attempt takes.
const LEASE: Duration = Duration::from_secs(60);
