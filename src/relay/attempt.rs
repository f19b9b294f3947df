//! One attempt of the outbox: route anew, deliver, and commit in one batch what became of it.
//!
//! The batch settles the item and holds what follows from it, the reference for a report or the failed report for the
//! sender, so that no crash comes between them.

use super::{
    Ingress, Relay, Undelivered,
    contact_added::falls_back,
    doubt::{failure_after, may_have_arrived},
    forward::Target,
    identity::Progress,
    journal::reference_until,
    outbox::{Queued, QueuedKind},
    report::{Reference, side_to_speak_to},
};
use crate::{
    agreement::ProfileName,
    model::{DeliveryReport, Disposition, Refusal, Request, SendMessage, Timestamp, WvAddress},
    routing::RouteService,
    store::{Batch, NewItem, OutboxItem, Settle, WorkerId},
};

impl Relay {
    /// Tries an item once, and settles it.
    pub(super) async fn attempt(&self, item: OutboxItem, by: WorkerId) {
        // A clock that jumps forward ends the lease of an attempt that goes on.
        let Ok(under_way) = self.in_progress.begin(&format!("attempt {}", item.id.0)) else {
            return;
        };
        let mut attempt = Attempt::new(Batch::new(self.now()));
        let queued = serde_json::from_slice::<Queued>(&item.body);
        let verdict = match &queued {
            Ok(queued) => self.carry_out(queued, &item, &mut attempt).await,
            Err(error) => Verdict::Dead(format!("the stored request can't be read: {error}")),
        };
        let now = self.now();
        let mut batch = Batch { now, ..attempt.batch };
        let settle = match verdict {
            Verdict::Delivered => Settle::Done { by },
            Verdict::Refused(refusal) => {
                let told = queued
                    .ok()
                    .and_then(|queued| self.failed_report(&queued, refusal));
                batch.enqueue.extend(told);
                Settle::Done { by }
            }
            // A person looks at it before it costs the peer another session.
            Verdict::Again(refusal @ Refusal::EndsConnections { .. }) => {
                let reason = refusal.to_string();
                Settle::Bury { by, reason }
            }
            Verdict::Again(refusal) => {
                let due = self
                    .retry_at(&item.lane.queue, item.attempts, now)
                    .min(item.expires);
                let failure = failure_after(&item, &refusal);
                Settle::Reschedule { by, due, failure }
            }
            Verdict::Unanswered { until } => Settle::Await { by, until },
            Verdict::Dead(reason) => Settle::Bury { by, reason },
        };
        // Before it may be claimed again.
        drop(under_way);
        self.settle(batch.settle(item.id, settle), item.id).await;
        drop(attempt.journalling);
    }

    async fn carry_out<'a>(
        &'a self,
        queued: &Queued,
        item: &OutboxItem,
        attempt: &mut Attempt<'a>,
    ) -> Verdict {
        let now = self.now();
        if now >= item.expires {
            return if may_have_arrived(item) {
                unknown()
            } else {
                Verdict::Refused(Refusal::Expired)
            };
        }
        let agreements = self.agreements.load_full();
        let Some(ingress) = queued.ingress(&agreements, now) else {
            return Verdict::Dead("the agreement that it came under has ended".into());
        };
        let verdict = match &queued.kind {
            QueuedKind::Waiting => self.send_on(&ingress, queued, item, attempt).await,
            QueuedKind::Back { to } => match to.to_side(&agreements) {
                Some(side) => self.send_back(&ingress, &side, queued).await,
                None => Verdict::Dead("the agreement of the sender's side has ended".into()),
            },
        };
        (self.trails)(ingress.trail.record());
        verdict
    }

    /// To the person, by the route of today.
    async fn send_on<'a>(
        &'a self,
        ingress: &Ingress,
        queued: &Queued,
        item: &OutboxItem,
        attempt: &mut Attempt<'a>,
    ) -> Verdict {
        let service = if matches!(queued.request, Request::Notify(_)) {
            RouteService::Pres
        } else {
            RouteService::Im
        };
        let recipients = queued.request.recipients();
        let Some(recipient) = recipients.first() else {
            return Verdict::Delivered;
        };
        let target = match &queued.redirected {
            Some(domain) => self.redirected_target(ingress, domain).await,
            None => self.target(ingress, recipient, service).await,
        };
        let target = match target {
            Ok(target) => self.in_turn(target),
            Err(refusal) if refusal.is_temporary() => return Verdict::Again(refusal),
            Err(_) if may_have_arrived(item) => return unknown(),
            Err(refusal) => return Verdict::Refused(refusal),
        };
        // It went to one of several domains, and which of them may have it is not written down.
        let is_one_of_several = target.alternatives.is_some();
        if item.unanswered && (is_one_of_several || !tells_repeats_apart(&target)) {
            return unknown();
        }
        let Request::Send(message) = &queued.request else {
            return self
                .send_notice(ingress, &target, &queued.request, recipient)
                .await;
        };
        let egress_id = self.egress_id(ingress, message, &target.domain);
        let to = (&target, egress_id.as_ref());
        attempt.journalling = self.journalling(ingress, message, to, &message.recipients);
        let (asked, verdict) = self.send_message(ingress, &target, message, item.attempts).await;
        let egress_id = self.egress_id(ingress, message, &asked.domain);
        if let (Verdict::Delivered | Verdict::Unanswered { .. }, Some(id)) = (&verdict, &egress_id) {
            let reference = self.reference(ingress, message, (&asked, id), recipient);
            attempt.batch = self.with_reference(reference, item.expires).await;
        }
        verdict
    }

    async fn send_message(
        &self,
        ingress: &Ingress,
        target: &Target,
        message: &SendMessage,
        attempts: u32,
    ) -> (Target, Verdict) {
        let deadline = self.now().plus(self.config.query_timeout);
        let recipient = message.recipients.first();
        let request = |target: &Target| {
            let id = self.egress_id(ingress, message, &target.domain);
            Request::Send(SendMessage {
                id: id.or_else(|| message.id.clone()),
                ..message.clone()
            })
        };
        let (asked, answer) = self.forward_or_else(ingress, target, deadline, request).await;
        let verdict = match answer {
            Ok(answer) => match recipient.and_then(|one| answer.for_recipient(one).cloned()) {
                Some(Err(refusal)) if refusal.is_temporary() => Verdict::Again(refusal),
                Some(Err(refusal)) => Verdict::Refused(refusal),
                Some(Ok(_)) | None => Verdict::Delivered,
            },
            Err(Undelivered::Refused(refusal)) if refusal.is_temporary() => Verdict::Again(refusal),
            Err(Undelivered::Refused(refusal)) => Verdict::Refused(refusal),
            Err(Undelivered::NotTaken(refusal)) => Verdict::Again(refusal),
            Err(Undelivered::Unanswered(_)) => {
                let now = self.now();
                let until = now.plus(self.answer_timeout(&asked));
                // A peer that never answers is asked less and less often.
                Verdict::Unanswered {
                    until: until.max(self.retry_at(asked.domain.as_str(), attempts, now)),
                }
            }
        };
        (asked, verdict)
    }

    /// Notices and notifications, of which many peers never answer what they took.
    async fn send_notice(
        &self,
        ingress: &Ingress,
        target: &Target,
        request: &Request,
        recipient: &WvAddress,
    ) -> Verdict {
        let deadline = self.now().plus(self.config.query_timeout);
        let asking = self.forward_or_else(ingress, target, deadline, |_| request.clone());
        let (asked, answer) = asking.await;
        let answer = match (answer, request) {
            (Err(Undelivered::Refused(Refusal::Unsupported { .. })), Request::ContactAdded(notice))
                if falls_back(&asked) =>
            {
                self.send_as_message(ingress, &asked, notice, recipient)
                    .await
                    .map(|_| None)
            }
            (answer, _) => answer.map(|answer| answer.for_recipient(recipient).cloned()),
        };
        match answer {
            Ok(Some(Err(refusal))) | Err(Undelivered::Refused(refusal)) if !refusal.is_temporary() => {
                Verdict::Refused(refusal)
            }
            Ok(Some(Err(refusal))) | Err(Undelivered::Refused(refusal) | Undelivered::NotTaken(refusal)) => {
                Verdict::Again(refusal)
            }
            Ok(Some(Ok(_)) | None) | Err(Undelivered::Unanswered(_)) => Verdict::Delivered,
        }
    }

    /// A report, to the side that its message came from.
    async fn send_back(&self, ingress: &Ingress, side: &super::Side, queued: &Queued) -> Verdict {
        let deadline = self.now().plus(self.config.query_timeout);
        let target = match self.side_target(side).await {
            Ok(target) => self.in_turn(target),
            Err(refusal) if refusal.is_temporary() => return Verdict::Again(refusal),
            Err(refusal) => return Verdict::Refused(refusal),
        };
        let speaking = Ingress {
            side: side_to_speak_to(side),
            ..ingress.clone()
        };
        match self
            .forward(&speaking, &target, queued.request.clone(), deadline)
            .await
        {
            Ok(_) | Err(Undelivered::Unanswered(_)) => Verdict::Delivered,
            Err(Undelivered::Refused(refusal)) if !refusal.is_temporary() => Verdict::Refused(refusal),
            Err(Undelivered::Refused(refusal) | Undelivered::NotTaken(refusal)) => Verdict::Again(refusal),
        }
    }

    /// What comes from the store waits for room at the peer, as long as for its answer.
    fn in_turn(&self, target: Target) -> Target {
        Target {
            patience: self.config.query_timeout,
            ..target
        }
    }

    /// The number may have been ported since the message was accepted, so the reference is kept for where it went.
    async fn with_reference(
        &self,
        reference: Result<Option<(String, Vec<u8>)>, Refusal>,
        expires: Timestamp,
    ) -> Batch {
        let batch = Batch::new(self.now());
        let Ok(Some((key, value))) = reference else {
            return batch;
        };
        // The one that was kept before may say that its report was passed on.
        match self.store.row(Reference::SPACE, &key, batch.now).await {
            Ok(None) => batch.put(Reference::SPACE, key, value, Some(reference_until(expires))),
            Ok(Some(_)) | Err(_) => batch,
        }
    }

    /// Tells the sender of a message that was accepted that it will not arrive, and why.
    pub(super) fn failed_report(&self, queued: &Queued, refusal: Refusal) -> Option<NewItem> {
        let Request::Send(message) = &queued.request else {
            tracing::info!(
                request = queued.request.name(),
                refusal = refusal.masked(),
                "what was accepted could not be delivered"
            );
            return None;
        };
        let (Some(id), Some(recipient)) = (&message.id, message.recipients.first()) else {
            return None;
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
        let ingress = Ingress {
            key: None,
            via: Vec::new(),
            ..queued.ingress(&self.agreements.load(), now)?
        };
        match self.report_item(&ingress, &queued.side, &ingress.side, report, now) {
            Ok(item) => Some(item),
            Err(refusal) => {
                tracing::error!(
                    refusal = refusal.masked(),
                    "a failed delivery report could not be written"
                );
                None
            }
        }
    }
}

/// What is gathered while an attempt is under way.
struct Attempt<'a> {
    /// What is committed together with the settlement.
    batch: Batch,
    /// Holds back reports and late answers until then.
    journalling: Vec<Progress<'a>>,
}

impl Attempt<'_> {
    fn new(batch: Batch) -> Self {
        Self {
            batch,
            journalling: Vec::new(),
        }
    }
}

/// What one attempt came to.
#[derive(Debug)]
enum Verdict {
    Delivered,
    Refused(Refusal),
    Again(Refusal),
    Unanswered { until: Timestamp },
    Dead(String),
}

fn unknown() -> Verdict {
    Verdict::Dead("outcome unknown: the peer may have the message, and never answered".into())
}

/// Whether the next hop tells repeats apart by the message ID: our own kind does, the observed peer does not.
fn tells_repeats_apart(target: &Target) -> bool {
    target
        .agreement
        .as_ref()
        .is_none_or(|agreement| agreement.config.profile == ProfileName::Strict)
}
