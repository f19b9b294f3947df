//! Answers that come late: to a message whose sender was answered before, and word that its document was not taken after all.
//!
//! A late answer finds its item by the message ID that the peer knows, and counts only from where the message went under it.

use super::{
    Relay,
    doubt::{MAY_HAVE_ARRIVED, may_have_arrived},
    outbox::Queued,
    report::Reference,
};
use crate::{
    model::{Domain, MessageId, Outcome, Request, StepEvent, Stop, Timestamp},
    store::{Batch, OutboxItem, Place, PlaceName, QueueFilter, Settle},
};

impl Relay {
    /// A peer's answer to a message whose sender has been answered already.
    ///
    /// Success closes what was awaited, an error becomes a failed report. Of a message that was sent anew since, or that
    /// was buried with its outcome unknown, the answer settles the same. `false` when nothing in the store waits for it.
    pub async fn late_answer(&self, domain: &Domain, id: &MessageId, answer: &Outcome) -> bool {
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
                return false;
            }
        };
        // What was never sent, or not taken, is not what the answer is about.
        let is_asked =
            |item: &OutboxItem| may_have_arrived(item) || matches!(item.place, Place::Awaiting { .. });
        let mut is_found = false;
        for item in items.iter().filter(|item| is_asked(item)) {
            is_found = true;
            self.settle_late(item, (domain, id), answer).await;
        }
        is_found
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

    /// The connection of the document of a message that is awaiting was closed without an answer: it goes again, and is not
    /// undelivered when it comes to nothing.
    pub async fn dropped(&self, domain: &Domain, id: &MessageId) {
        let settle = |due| Settle::NotTaken {
            due,
            failure: format!("its connection was closed without an answer, so that {MAY_HAVE_ARRIVED}"),
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
            let due = self.retry_at(&item.lane.queue, item.attempts, now);
            let batch = Batch::new(now).settle(item.id, settle(due));
            self.settle(batch, item.id).await;
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
        self.settle(batch, item.id).await;
        (self.trails)(ingress.trail.record());
        self.wake.notify_one();
    }
}
