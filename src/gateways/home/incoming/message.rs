//! Messages and reports for subscribers (use case 5.22): one batch takes a message for everybody whom it is for.

use std::sync::Arc;

use super::{
    super::{
        HomeDomain, KEPT,
        accounts::MAX_NAME,
        arrival::{Arriving, identity},
        event::{self, Body, Event},
        inbox::ReportDue,
        secret, status,
        subscriber::Subscriber,
        text,
    },
    outcome,
};
use crate::model::{
    Answer, DeliveryReport, Disposition, GroupRefusal, MessageId, Outcome, RecipientOutcome, Refusal,
    SendMessage, WvAddress,
};

impl HomeDomain {
    /// Takes a message: it is in every accepted recipient's inbox when this returns.
    pub(super) async fn message(&self, mut message: SendMessage) -> Outcome {
        let (size, limit) = (
            message.content.bytes.len() as u64,
            self.config.limits.max_content.0,
        );
        if size > limit {
            return Err(Refusal::TooLarge { size, limit });
        }
        let has_own_id = message.id.is_some();
        let id = match message.id.take() {
            Some(id) => id,
            None => new_message_id()?,
        };
        let sender = self.person(&message.sender);
        let mut outcomes: Vec<RecipientOutcome> = Vec::with_capacity(message.recipients.len());
        let mut arriving = Vec::with_capacity(message.recipients.len());
        let mut places = Vec::with_capacity(message.recipients.len());
        for recipient in &message.recipients {
            if recipient.is_group() {
                let posted = self.post(&message, recipient, (&id, has_own_id)).await;
                outcomes.push(outcome(recipient.clone(), posted));
                continue;
            }
            match self.addressee(recipient, &message.sender) {
                Ok(subscriber) => {
                    let expires = self
                        .clock
                        .now()
                        .plus(self.config.limits.validity(message.validity));
                    let event = event_of(&message, &id, recipient);
                    let repeat = identity(&subscriber.number, "send-message", &sender, id.as_str());
                    let report = message.report_wanted.then(|| ReportDue {
                        message: id.clone(),
                        sender: message.sender.clone(),
                        recipient: recipient.clone(),
                    });
                    places.push(outcomes.len());
                    arriving.push(Arriving {
                        identity: has_own_id.then_some(repeat),
                        report,
                        ..Arriving::new(&subscriber, event, expires)
                    });
                    outcomes.push(outcome(recipient.clone(), Ok(())));
                }
                Err(refusal) => outcomes.push(outcome(recipient.clone(), Err(refusal))),
            }
        }
        for (place, result) in places.into_iter().zip(self.take_in(arriving).await) {
            if let Err(refusal) = result
                && let Some(one) = outcomes.get_mut(place)
            {
                one.outcome = Err(refusal);
            }
        }
        only_our_fault(&outcomes)?;
        Ok(Answer::Sent {
            id: Some(id),
            recipients: outcomes,
        })
    }

    /// Who takes a message: a group of strangers reaches nobody.
    fn addressee(&self, recipient: &WvAddress, sender: &WvAddress) -> Result<Arc<Subscriber>, Refusal> {
        if !sender.is_group() {
            return self.open_recipient(recipient, sender);
        }
        let subscriber = self.recipient(recipient)?;
        let group = sender.without_screen_name();
        let has_joined = subscriber.state().relations.groups.contains_key(&group.key());
        if !has_joined {
            let why = GroupRefusal::NotJoined;
            return Err(Refusal::InGroup { group, why });
        }
        Ok(subscriber)
    }

    /// Tells a subscriber what became of a message that he sent.
    pub(super) async fn reported(&self, report: DeliveryReport) -> Outcome {
        let subscriber = self.recipient(&report.sender)?;
        let recipient = self.person(&report.recipient);
        let (is_delivered, status, text) = match &report.disposition {
            Disposition::Delivered => (true, 200, "delivered".to_owned()),
            Disposition::Failed(refusal) => {
                let told = status::told(refusal);
                (false, told.status, told.text.to_owned())
            }
        };
        let repeat = identity(
            &subscriber.number,
            "delivery-report",
            &recipient,
            report.message.as_str(),
        );
        let event = Event::Report {
            message_id: report.message.to_string(),
            recipient: report.recipient.canonical(),
            is_delivered,
            status,
            text,
            at: report.at.map(event::time),
            losses: report.losses.into_iter().map(|loss| loss.0).collect(),
        };
        let arriving = Arriving {
            identity: Some(repeat),
            ..Arriving::new(&subscriber, event, self.clock.now().plus(KEPT))
        };
        self.take_in(vec![arriving])
            .await
            .into_iter()
            .collect::<Result<(), _>>()?;
        Ok(Answer::Done)
    }
}

fn event_of(message: &SendMessage, id: &MessageId, recipient: &WvAddress) -> Event {
    Event::Message {
        message_id: id.to_string(),
        from: message.sender.canonical(),
        to: recipient.clone(),
        sent_at: message.sent_at.map(event::time),
        conversation: message.conversation.clone(),
        group: message
            .sender
            .is_group()
            .then(|| message.sender.without_screen_name()),
        screen_name: message
            .sender
            .screen_name()
            .map(|name| text::line(name, MAX_NAME)),
        content: Body::from(&message.content),
    }
}

/// When our store failed for everybody, nothing was taken: the relay may keep the message and try again.
fn only_our_fault(outcomes: &[RecipientOutcome]) -> Result<(), Refusal> {
    let mut failures = outcomes.iter().map(|one| match &one.outcome {
        Err(refusal @ (Refusal::Internal { .. } | Refusal::StoreUnavailable { .. })) => Some(refusal),
        Ok(_) | Err(_) => None,
    });
    match failures.next().flatten() {
        Some(first) if failures.all(|one| one.is_some()) => Err(first.clone()),
        Some(_) | None => Ok(()),
    }
}

/// An ID for a message that came without one.
pub(crate) fn new_message_id() -> Result<MessageId, Refusal> {
    secret::random_text().parse().map_err(|_| Refusal::Internal {
        reason: "no message ID could be made".into(),
    })
}
