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
    /// A report is taken and goes no further: it was passed on before, or nobody asked for one.
    #[serde(default)]
    pub(super) is_settled: bool,
}

impl Reference {
    /// Where references are kept: beside the identities of their messages, whose keys begin alike.
    pub(super) const SPACE: Space = Space::Seen;

    pub(super) fn row_key(egress: &Domain, id: &MessageId, recipient: &WvAddress) -> String {
        [id.as_str(), " ", egress.as_str(), " ", &recipient.key()].concat()
    }

    /// What a late answer waits for, which names nobody; no row has this key.
    pub(super) fn any_row_key(egress: &Domain, id: &MessageId) -> String {
        [id.as_str(), " ", egress.as_str(), " *"].concat()
    }
}

impl Relay {
    /// Passes a report on to the sender of the message; keeps it when it can't go now.
    pub(super) async fn report(&self, ingress: &Ingress, report: DeliveryReport) -> Outcome {
        let row_key = Reference::row_key(ingress.side.domain(), &report.message, &report.recipient);
        // The report may overtake the journal of the message that it is about.
        self.in_progress.ended(&row_key).await;
        // A repeat while the first is under way waits for it, and finds it reported.
        let reporting = format!("report {row_key}");
        let _reporting = loop {
            match self.in_progress.begin(&reporting) {
                Ok(progress) => break progress,
                Err(mut first) => while first.changed().await.is_ok() {},
            }
        };
        let row = self
            .store
            .row(Reference::SPACE, &row_key, self.now())
            .await
            .map_err(refused_by_store)?;
        let Some(row) = row else {
            // A report counts only from the peer and recipient that the message went to.
            return Err(Refusal::NotFound {
                what: format!("message {} to {}", report.message, report.recipient),
            });
        };
        let reference: Reference = serde_json::from_slice(&row.value).map_err(damaged)?;
        if reference.is_settled {
            let text = "the report was passed on before, or is not wanted".into();
            ingress
                .trail
                .add(self.now(), Stop::Admit, StepEvent::Note { text });
            return Ok(Answer::Done);
        }
        let reported = Reference {
            is_settled: true,
            ..reference.clone()
        };
        let value = serde_json::to_vec(&reported).map_err(damaged)?;
        let until = row.expires;
        let report = DeliveryReport {
            message: reference.message.clone(),
            sender: reference.sender.clone(),
            recipient: reference.recipient.clone(),
            ..report
        };
        let settled = Batch::new(self.now()).put(Reference::SPACE, row_key, value, until);
        self.report_back(ingress, &reference.side, report, settled).await
    }

    /// Brings a report to the side that the message came from, or keeps it until it can.
    async fn report_back(
        &self,
        ingress: &Ingress,
        to: &SideRecord,
        report: DeliveryReport,
        mut batch: Batch,
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
                self.forward(&speaking, &target, request, now.plus(self.config.cut_through))
                    .await
            }
            Err(refusal) => Err(Undelivered::NotTaken(refusal)),
        };
        match delivered {
            // A peer that took the document and says nothing has the report: many never answer one (SSP reference §11).
            Ok(_) | Err(Undelivered::Unanswered(_)) => {}
            Err(Undelivered::Refused(refusal)) if !refusal.is_temporary() => {
                tracing::info!(
                    refusal = refusal.masked(),
                    "a delivery report was refused by the sender's side"
                );
            }
            Err(Undelivered::NotTaken(refusal) | Undelivered::Refused(refusal)) => {
                ingress.trail.add(
                    now,
                    Stop::Deliver,
                    StepEvent::Stored {
                        reason: refusal.to_string(),
                    },
                );
                let due = self.retry_at(side.domain().as_str(), 0, now);
                let item = self.report_item(ingress, to, &side, report, due)?;
                batch = batch.enqueue(item);
            }
        }
        let is_stored = !batch.enqueue.is_empty();
        match self.store.commit(batch).await {
            Ok(_) => {}
            // Passed on is passed on; only a repeat of it would be passed on again.
            Err(error) if !is_stored => tracing::error!(%error, "a report could not be marked as passed on"),
            Err(error) => return Err(refused_by_store(error)),
        }
        if is_stored {
            self.wake.notify_one();
        }
        Ok(Answer::Done)
    }

    /// A report that waits for the side that its message came from.
    pub(super) fn report_item(
        &self,
        ingress: &Ingress,
        to: &SideRecord,
        side: &super::Side,
        report: DeliveryReport,
        due: Timestamp,
    ) -> Result<NewItem, Refusal> {
        let conversation = format!("report {}>{}", report.recipient.key(), report.sender.key());
        let labels = vec![
            report.message.to_string(),
            report.sender.key(),
            report.recipient.key(),
        ];
        let kind = QueuedKind::Back { to: to.clone() };
        let queued = Queued {
            key: None,
            ..Queued::new(ingress, kind, Request::Report(report))
        };
        Ok(NewItem {
            lane: Lane {
                queue: side.domain().to_string(),
                conversation,
            },
            priority: Priority::Interactive,
            due,
            expires: self.now().plus(self.config.max_validity),
            replaces: None,
            is_awaiting: false,
            last_failure: None,
            labels,
            body: queued.to_bytes()?,
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
