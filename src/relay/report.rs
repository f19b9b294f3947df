//! Delivery reports: back to whoever sent the message, by the reference that was kept for them.

use serde::{Deserialize, Serialize};

use super::{
    Ingress, Relay, Undelivered,
    ingress::SideRecord,
    outbox::{Queued, QueuedKind},
    send::{damaged, refused_by_store},
};
use crate::{
    model::{
        Answer, DeliveryReport, Domain, MessageId, Outcome, Refusal, Request, StepEvent, Stop, Timestamp,
        WvAddress,
    },
    store::{Batch, Lane, NewItem, Priority, Space},
};

/// Where a report of a message goes: (egress domain, egress ID, recipient) to this.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Reference {
    /// The side that the message came from.
    pub(super) side: SideRecord,
    /// The identity it knows the message by.
    pub(super) message: MessageId,
    /// The sender, in the form it used.
    pub(super) sender: WvAddress,
    /// The recipient, in the form it used.
    pub(super) recipient: WvAddress,
}

impl Reference {
    pub(super) fn row_key(egress: &Domain, id: &MessageId, recipient: &WvAddress) -> String {
        format!("{egress} {id} {}", recipient.key())
    }
}

impl Relay {
    /// Passes a report on to the sender of the message; keeps it when it can't go now.
    pub(super) async fn report(&self, ingress: &Ingress, report: DeliveryReport) -> Outcome {
        let row_key = Reference::row_key(ingress.side.domain(), &report.message, &report.recipient);
        // The report may overtake the journal of the message that it is about.
        self.in_progress.ended(&row_key).await;
        let row = self
            .store
            .row(Space::Reference, &row_key, self.now())
            .await
            .map_err(refused_by_store)?;
        let Some(row) = row else {
            // A report counts only from the peer and recipient that the message went to.
            return Err(Refusal::NotFound {
                what: format!("message {} to {}", report.message, report.recipient),
            });
        };
        let reference: Reference = serde_json::from_slice(&row.value).map_err(damaged)?;
        let report = DeliveryReport {
            message: reference.message.clone(),
            sender: reference.sender.clone(),
            recipient: reference.recipient.clone(),
            ..report
        };
        self.report_back(ingress, &reference.side, report, Some(row_key))
            .await
    }

    /// Brings a report to the side that the message came from, or keeps it until it can.
    pub(super) async fn report_back(
        &self,
        ingress: &Ingress,
        to: &SideRecord,
        report: DeliveryReport,
        reference: Option<String>,
    ) -> Outcome {
        let now = self.now();
        let agreements = self.agreements.load_full();
        let Some(side) = to.to_side(&agreements) else {
            return Err(Refusal::NotFound {
                what: "the agreement that the message came under".into(),
            });
        };
        let request = Request::Report(report.clone());
        let delivered = match self.side_target(&side).await {
            Ok(target) => {
                // The report leaves in the name of the domain that the message came in for.
                let speaking = Ingress {
                    side: side_to_speak_to(&side),
                    ..ingress.clone()
                };
                self.forward(
                    &speaking,
                    &target,
                    request.clone(),
                    now.plus(self.config.cut_through),
                )
                .await
            }
            Err(refusal) => Err(Undelivered::NotTaken(refusal)),
        };
        let mut batch = Batch::new(now);
        if let Some(row_key) = reference {
            batch = batch.remove(Space::Reference, row_key);
        }
        match delivered {
            // A peer that took the document and says nothing has the report: many never answer one (SSP reference §11).
            Ok(_) | Err(Undelivered::Unanswered(_)) => {}
            Err(Undelivered::Refused(refusal)) => {
                tracing::info!(
                    refusal = refusal.masked(),
                    "a delivery report was refused by the sender's side"
                );
            }
            Err(Undelivered::NotTaken(refusal)) => {
                ingress.trail.add(
                    now,
                    Stop::Deliver,
                    StepEvent::Stored {
                        reason: refusal.to_string(),
                    },
                );
                let item = self
                    .report_item(ingress, to, &side, request, &report, now)
                    .map_err(damaged)?;
                self.waiting.enter(&item.lane);
                batch = batch.enqueue(item);
            }
        }
        let is_stored = !batch.enqueue.is_empty();
        if !batch.is_empty() {
            self.store.commit(batch).await.map_err(refused_by_store)?;
        }
        if is_stored {
            self.wake.notify_one();
        }
        Ok(Answer::Done)
    }

    fn report_item(
        &self,
        ingress: &Ingress,
        to: &SideRecord,
        side: &super::Side,
        request: Request,
        report: &DeliveryReport,
        now: Timestamp,
    ) -> Result<NewItem, serde_json::Error> {
        let queued = Queued {
            side: ingress.side.to_record(),
            protocol: ingress.protocol,
            key: None,
            via: ingress.via.clone(),
            trail: ingress.trail.id(),
            kind: QueuedKind::Back { to: to.clone() },
            request,
        };
        Ok(NewItem {
            lane: Lane {
                queue: side.domain().to_string(),
                conversation: format!("report {}>{}", report.recipient.key(), report.sender.key()),
            },
            priority: Priority::Interactive,
            due: self.retry_at(0, now),
            expires: now.plus(self.config.max_validity),
            replaces: None,
            labels: vec![
                report.message.to_string(),
                report.sender.key(),
                report.recipient.key(),
            ],
            body: serde_json::to_vec(&queued)?.into(),
        })
    }
}

/// The side as the egress needs it to choose the session: our domain that the peer spoke to.
pub(super) fn side_to_speak_to(side: &super::Side) -> super::Side {
    match side {
        super::Side::Home { domain } => super::Side::Home {
            domain: domain.clone(),
        },
        super::Side::Peer { own, .. } => super::Side::Home { domain: own.clone() },
    }
}
