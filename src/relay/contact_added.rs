//! "Added to contact list" (use case 5.20, steps 12 to 15): kept like a message when the peer can't be reached.

use futures_util::future::join_all;

use super::{
    Ingress, Relay, Undelivered,
    forward::{Target, TargetGroup},
    outbox::{Queued, QueuedKind},
    search::acceptance,
    send::{damaged, lane, refused_by_store},
};
use crate::{
    agreement::AtclFallback,
    model::{
        Acceptance, Answer, ContactAdded, Content, Outcome, RecipientOutcome, Refusal, Request, SendMessage,
        StepEvent, Stop, Timestamp, WvAddress,
    },
    routing::RouteService,
    store::{Batch, NewItem, Priority},
};

impl Relay {
    /// Tells people that they were added.
    pub(super) async fn contact_added(&self, ingress: &Ingress, notice: ContactAdded) -> Outcome {
        let deadline = ingress.trail.started().plus(self.config.cut_through);
        let split = self.split(ingress, &notice.added, RouteService::Im).await;
        let forward = |group: &TargetGroup| {
            let request = Request::ContactAdded(ContactAdded {
                added: group.people.clone(),
                ..notice.clone()
            });
            let (target, people) = (group.target.clone(), group.people.clone());
            async move {
                let answer = self.forward(ingress, &target, request, deadline).await;
                (target, people, answer)
            }
        };
        let mut recipients = split.refused;
        let mut batch = Batch::new(self.now());
        for (target, people, answer) in join_all(split.groups.iter().map(forward)).await {
            for person in people {
                let outcome = match &answer {
                    Ok(answer) => acceptance(answer, &person),
                    Err(Undelivered::Unanswered(_)) => Ok(Acceptance::Taken),
                    Err(Undelivered::NotTaken(refusal)) => {
                        ingress.trail.add(
                            self.now(),
                            Stop::Deliver,
                            StepEvent::Stored {
                                reason: refusal.to_string(),
                            },
                        );
                        let item = self.notice_item(ingress, &target, &notice, &person, self.now());
                        let item = item.map_err(damaged)?;
                        self.waiting.enter(&item.lane);
                        batch.enqueue.push(item);
                        Ok(Acceptance::Stored)
                    }
                    Err(Undelivered::Refused(Refusal::Unsupported { .. })) if falls_back(&target) => {
                        self.send_as_message(ingress, &target, &notice, &person).await
                    }
                    Err(Undelivered::Refused(refusal)) => Err(refusal.clone()),
                };
                recipients.push(RecipientOutcome {
                    recipient: person,
                    outcome,
                });
            }
        }
        if !batch.is_empty() {
            self.store.commit(batch).await.map_err(refused_by_store)?;
            self.wake.notify_one();
        }
        Ok(Answer::Recipients(recipients))
    }

    /// The fallback for a peer that does not know the primitive: a text from the adding user.
    async fn send_as_message(
        &self,
        ingress: &Ingress,
        target: &Target,
        notice: &ContactAdded,
        person: &WvAddress,
    ) -> Result<Acceptance, Refusal> {
        let name = notice
            .friendly_name
            .clone()
            .unwrap_or_else(|| notice.by.to_string());
        let text = match &notice.text {
            Some((text, _)) => text.clone(),
            None => format!("[{name} has added you to a contact list]"),
        };
        let message = SendMessage {
            sender: notice.by.clone(),
            recipients: vec![person.clone()],
            id: None,
            report_wanted: false,
            validity: None,
            sent_at: Some(self.now()),
            content: Content::text(&text),
            conversation: None,
        };
        let deadline = self.now().plus(self.config.cut_through);
        let answer = self
            .forward(ingress, target, Request::Send(message), deadline)
            .await?;
        acceptance(&answer, person)
    }

    fn notice_item(
        &self,
        ingress: &Ingress,
        target: &Target,
        notice: &ContactAdded,
        person: &WvAddress,
        now: Timestamp,
    ) -> Result<NewItem, serde_json::Error> {
        let request = Request::ContactAdded(ContactAdded {
            added: vec![person.clone()],
            ..notice.clone()
        });
        let queued = Queued {
            side: ingress.side.to_record(),
            protocol: ingress.protocol,
            key: None,
            via: ingress.via.clone(),
            trail: ingress.trail.id(),
            kind: QueuedKind::Waiting,
            request,
        };
        Ok(NewItem {
            lane: lane(target.domain.as_str(), &notice.by, person),
            priority: Priority::Background,
            due: self.retry_at(0, now),
            expires: now.plus(self.config.default_validity),
            replaces: None,
            labels: vec![notice.by.key(), person.key()],
            body: serde_json::to_vec(&queued)?.into(),
        })
    }
}

fn falls_back(target: &Target) -> bool {
    target
        .agreement
        .as_ref()
        .is_some_and(|agreement| agreement.config.atcl_fallback == AtclFallback::Message)
}
