//! "Added to contact list" (use case 5.20, steps 12 to 15): kept like a message when the peer can't be reached.

use futures_util::future::join_all;

use super::{
    Ingress, Relay, Undelivered,
    forward::{Target, TargetGroup},
    journal::{Charge, without_store},
    lanes::UNROUTED,
    outbox::{Queued, QueuedKind},
    search::acceptance,
    send::refused_by_store,
};
use crate::{
    agreement::AtclFallback,
    model::{
        Acceptance, Answer, ContactAdded, Content, Outcome, RecipientOutcome, Refusal, Request, SendMessage,
        StepEvent, Stop, WvAddress,
    },
    routing::RouteService,
    store::{Batch, NewItem, Priority},
};

impl Relay {
    /// Tells people that they were added.
    pub(super) async fn contact_added(&self, ingress: &Ingress, notice: ContactAdded) -> Outcome {
        let begun = self.begin_all(ingress, "contact-added", &notice.added).await?;
        let split = self.split(ingress, &begun.fresh, RouteService::Im).await;
        let told = split
            .groups
            .iter()
            .map(|group| self.tell_group(ingress, &notice, group));
        let told = join_all(told).await.into_iter().flatten();
        let unrouted = split.refused.into_iter().map(Told::unrouted);
        let mut batch = Batch::new(self.now());
        let bounds = split.groups.iter().filter_map(|group| group.target.bound());
        batch.bounds.extend(bounds);
        let mut recipients = Vec::with_capacity(notice.added.len());
        for told in unrouted.chain(told) {
            let outcome = match told.outcome {
                Ok(acceptance) => Ok(acceptance),
                Err(Undelivered::Unanswered(_)) => Ok(Acceptance::Taken),
                Err(Undelivered::Refused(refusal)) if !refusal.is_temporary() => Err(refusal),
                Err(Undelivered::NotTaken(refusal) | Undelivered::Refused(refusal)) => {
                    let item = self.notice_item(ingress, &told.queue, &notice, &told.person);
                    batch.enqueue.push(item.await?);
                    let reason = refusal.to_string();
                    ingress
                        .trail
                        .add(batch.now, Stop::Deliver, StepEvent::Stored { reason });
                    Ok(Acceptance::Stored)
                }
            };
            let recipient = told.person;
            let one = RecipientOutcome { recipient, outcome };
            batch = self.record(batch, ingress, "contact-added", &one, Charge::default())?;
            recipients.push(one);
        }
        if let Err(error) = self.commit_outcomes(batch).await {
            recipients = without_store(recipients, &refused_by_store(error));
        }
        recipients.extend(begun.repeats);
        drop(begun.under_way);
        Ok(Answer::Recipients(recipients))
    }

    async fn tell_group(&self, ingress: &Ingress, notice: &ContactAdded, group: &TargetGroup) -> Vec<Told> {
        let deadline = ingress.trail.started().plus(self.config.cut_through);
        let target = &group.target;
        let request = |_: &Target| {
            Request::ContactAdded(ContactAdded {
                added: group.people.clone(),
                ..notice.clone()
            })
        };
        let (asked, answer) = self.forward_or_else(ingress, target, deadline, request).await;
        let mut all = Vec::with_capacity(group.people.len());
        for person in &group.people {
            let outcome = match &answer {
                Ok(answer) => acceptance(answer, person).map_err(Undelivered::Refused),
                Err(Undelivered::Refused(Refusal::Unsupported { .. })) if falls_back(&asked) => {
                    self.send_as_message(ingress, &asked, notice, person).await
                }
                Err(undelivered) => Err(undelivered.clone()),
            };
            all.push(Told {
                person: person.clone(),
                queue: target.domain.to_string(),
                outcome,
            });
        }
        all
    }

    /// The fallback for a peer that does not know the primitive: a text from the adding user.
    pub(super) async fn send_as_message(
        &self,
        ingress: &Ingress,
        target: &Target,
        notice: &ContactAdded,
        person: &WvAddress,
    ) -> Result<Acceptance, Undelivered> {
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
        acceptance(&answer, person).map_err(Undelivered::Refused)
    }

    async fn notice_item(
        &self,
        ingress: &Ingress,
        queue: &str,
        notice: &ContactAdded,
        person: &WvAddress,
    ) -> Result<NewItem, Refusal> {
        let now = self.now();
        let request = Request::ContactAdded(ContactAdded {
            added: vec![person.clone()],
            ..notice.clone()
        });
        let queued = Queued {
            key: None,
            ..Queued::new(ingress, QueuedKind::Waiting, request)
        };
        Ok(NewItem {
            lane: self.lane(queue, &notice.by, person).await,
            priority: Priority::Background,
            due: self.retry_at(queue, 0, now),
            expires: now.plus(self.config.default_validity),
            replaces: None,
            is_awaiting: false,
            last_failure: None,
            labels: vec![notice.by.key(), person.key()],
            body: queued.to_bytes()?,
        })
    }
}

/// What became of a notice for one person.
struct Told {
    person: WvAddress,
    /// Where it waits when it has to.
    queue: String,
    outcome: Result<Acceptance, Undelivered>,
}

impl Told {
    /// Somebody without a route; when it only can't be found now, the notice waits for one.
    fn unrouted(refused: RecipientOutcome) -> Self {
        Self {
            person: refused.recipient,
            queue: UNROUTED.to_owned(),
            outcome: refused.outcome.map_err(Undelivered::Refused),
        }
    }
}

/// Whether a notice goes to this side as a text, when it does not know the primitive.
pub(super) fn falls_back(target: &Target) -> bool {
    target
        .agreement
        .as_ref()
        .is_some_and(|agreement| agreement.config.atcl_fallback == AtclFallback::Message)
}
