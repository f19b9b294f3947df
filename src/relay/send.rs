//! Messages (use case 5.22): delivered while the sender waits, else committed and carried on by the outbox.
//!
//! A 200 is a promise: each accepted recipient was taken by the next hop, or stands in the store. Before the answer one
//! batch (`journal.rs`) commits identity, outcome, charge and report reference of every recipient, so that a repeat, a late
//! report and the bill survive a crash.

use futures_util::future::join_all;

use super::{
    Ingress, Relay, Undelivered,
    forward::{Target, TargetGroup, per_person},
    lanes::{Entering, UNROUTED, conversation},
    outbox::{Queued, QueuedKind},
    repeat::BegunAll,
};
use crate::{
    agreement::Accept,
    model::{
        Acceptance, Answer, MessageId, Outcome, RecipientOutcome, Refusal, Request, SendMessage, StepEvent,
        Stop, Timestamp, WvAddress,
    },
    routing::RouteService,
    store::{NewItem, Priority, StoreError},
};

impl Relay {
    /// Delivers a message to each of its recipients, or commits to doing so.
    pub(super) async fn send(&self, ingress: &Ingress, message: &SendMessage) -> Outcome {
        if message.recipients.is_empty() {
            return Err(Refusal::BadRequest {
                reason: "the message has no recipient".into(),
            });
        }
        let id = message.id.clone();
        let BegunAll {
            fresh,
            repeats: mut recipients,
            under_way,
        } = self
            .begin_all(ingress, "send-message", &message.recipients)
            .await?;
        if !fresh.is_empty() {
            recipients.extend(self.send_fresh(ingress, message, &fresh).await?);
        }
        drop(under_way);
        Ok(Answer::Sent { id, recipients })
    }

    async fn send_fresh(
        &self,
        ingress: &Ingress,
        message: &SendMessage,
        fresh: &[WvAddress],
    ) -> Result<Vec<RecipientOutcome>, Refusal> {
        let deadline = ingress.trail.started().plus(self.config.cut_through);
        let said_to = fresh.iter().map(|person| conversation(&message.sender, person));
        let turns = self.turns.take(said_to);
        let split = self.split(ingress, fresh, RouteService::Im).await;
        let mut results = Vec::with_capacity(fresh.len());
        for refused in split.refused {
            results.push(self.refused_or_stored(ingress, message, refused).await);
        }
        let hops: Vec<_> = split
            .groups
            .iter()
            .map(|group| Hop {
                ingress,
                message,
                group,
                egress_id: self.egress_id(ingress, message, &group.target.domain),
            })
            .collect();
        let journalling: Vec<_> = hops
            .iter()
            .flat_map(|hop| {
                let to = (&hop.group.target, hop.egress_id.as_ref());
                self.journalling(ingress, message, to, &hop.group.people)
            })
            .collect();
        match hops.as_slice() {
            // Needs no bookkeeping of many.
            [hop] => results.extend(self.send_group(hop, deadline).await),
            hops => {
                let sent = join_all(hops.iter().map(|hop| self.send_group(hop, deadline))).await;
                results.extend(sent.into_iter().flatten());
            }
        }
        let outcomes = self.journal(ingress, message, results, &turns).await;
        drop(journalling);
        outcomes
    }

    /// Somebody whose route can't be found now waits in the store; the route is looked up anew at each attempt.
    async fn refused_or_stored(
        &self,
        ingress: &Ingress,
        message: &SendMessage,
        refused: RecipientOutcome,
    ) -> Sent<'_> {
        let mut sent = Sent {
            one: refused,
            target: None,
            egress_id: None,
            item: None,
            entering: None,
        };
        if let Err(refusal @ Refusal::RouteFailed { .. }) = &sent.one.outcome {
            let now = self.now();
            let reason = refusal.to_string();
            let stored = StepEvent::Stored {
                reason: reason.clone(),
            };
            ingress.trail.add(now, Stop::Deliver, stored);
            let wait = Wait::Due(self.retry_at(UNROUTED, 0, now));
            let item = self.item(
                ingress,
                message,
                &sent.one.recipient,
                (UNROUTED, None),
                (wait, &reason),
            );
            sent.store(item.await, self);
        }
        sent
    }

    async fn send_group(&self, hop: &Hop<'_>, deadline: Timestamp) -> Vec<Sent<'_>> {
        let (ingress, target) = (hop.ingress, &hop.group.target);
        if self.has_come_back(ingress, hop.message, hop.group).await {
            return self.sent(hop, target, &hop.group.people, &Err(Refusal::Loop));
        }
        let now = self.now();
        let is_stored_first = target
            .agreement
            .as_ref()
            .is_some_and(|agreement| agreement.config.accept == Accept::Store);
        if is_stored_first {
            let reason = "the agreement says accept = store";
            return self
                .store_all((hop, target), &hop.group.people, reason, Wait::First(now))
                .await;
        }
        let (mut behind, mut free) = (Vec::new(), Vec::new());
        for person in &hop.group.people {
            let waits = self.must_wait(hop.ingress, &hop.message.sender, person).await;
            if waits { &mut behind } else { &mut free }.push(person.clone());
        }
        let mut results = Vec::with_capacity(hop.group.people.len());
        if !behind.is_empty() {
            let reason = "an earlier message of the conversation waits";
            results = self
                .store_all((hop, target), &behind, reason, Wait::First(now))
                .await;
        }
        if free.is_empty() {
            return results;
        }
        let request = |target: &Target| {
            let id = self.hop_id(hop, target);
            Request::Send(SendMessage {
                recipients: free.clone(),
                id: id.or_else(|| hop.message.id.clone()),
                ..hop.message.clone()
            })
        };
        let (asked, answer) = self.forward_or_else(ingress, target, deadline, request).await;
        results.extend(match answer {
            Ok(answer) => self.sent(hop, &asked, &free, &Ok(answer)),
            Err(Undelivered::Refused(refusal)) => self.sent(hop, &asked, &free, &Err(refusal)),
            Err(Undelivered::NotTaken(refusal)) => {
                let due = self.retry_at(asked.domain.as_str(), 0, self.now());
                self.store_all((hop, &asked), &free, &refusal.to_string(), Wait::Due(due))
                    .await
            }
            Err(Undelivered::Unanswered(refusal)) => {
                let until = self.now().plus(self.answer_timeout(&asked));
                self.store_all((hop, &asked), &free, &refusal.to_string(), Wait::Awaiting(until))
                    .await
            }
        });
        results
    }

    /// The ID that a message carries to this side, which may be an alternative of the hop's own.
    fn hop_id(&self, hop: &Hop<'_>, target: &Target) -> Option<MessageId> {
        if target.domain == hop.group.target.domain {
            return hop.egress_id.clone();
        }
        self.egress_id(hop.ingress, hop.message, &target.domain)
    }

    /// What became of a message for people of this side.
    fn sent(
        &self,
        hop: &Hop<'_>,
        target: &Target,
        people: &[WvAddress],
        answer: &Result<Answer, Refusal>,
    ) -> Vec<Sent<'_>> {
        let egress_id = self.hop_id(hop, target);
        let sent = |one| Sent {
            one,
            target: Some(target.clone()),
            egress_id: egress_id.clone(),
            item: None,
            entering: None,
        };
        per_person(people, answer).into_iter().map(sent).collect()
    }

    async fn store_all(
        &self,
        (hop, target): (&Hop<'_>, &Target),
        people: &[WvAddress],
        reason: &str,
        wait: Wait,
    ) -> Vec<Sent<'_>> {
        hop.ingress.trail.add(
            self.now(),
            Stop::Deliver,
            StepEvent::Stored {
                reason: reason.to_owned(),
            },
        );
        let mut stored = self.sent(hop, target, people, &Ok(Answer::Done));
        for sent in &mut stored {
            let to = (target.domain.as_str(), sent.egress_id.as_ref());
            let item = self.item(hop.ingress, hop.message, &sent.one.recipient, to, (wait, reason));
            let item = item.await;
            sent.store(item, self);
        }
        stored
    }

    async fn item(
        &self,
        ingress: &Ingress,
        message: &SendMessage,
        recipient: &WvAddress,
        (queue, egress_id): (&str, Option<&MessageId>),
        (wait, reason): (Wait, &str),
    ) -> Result<NewItem, Refusal> {
        let now = self.now();
        let request = Request::Send(SendMessage {
            recipients: vec![recipient.clone()],
            ..message.clone()
        });
        let mut labels = vec![message.sender.key(), recipient.key()];
        labels.extend(message.id.iter().map(ToString::to_string));
        labels.extend(egress_id.map(ToString::to_string));
        let (due, is_awaiting) = match wait {
            Wait::First(due) | Wait::Due(due) => (due, false),
            Wait::Awaiting(until) => (until, true),
        };
        let is_attempted = !matches!(wait, Wait::First(_));
        let queued = Queued::new(ingress, QueuedKind::Waiting, request);
        Ok(NewItem {
            lane: self.lane(queue, &message.sender, recipient).await,
            priority: Priority::Interactive,
            due,
            expires: now.plus(self.config.validity(message.validity)),
            replaces: None,
            is_awaiting,
            last_failure: is_attempted.then(|| reason.to_owned()),
            labels,
            body: queued.to_bytes()?,
        })
    }
}

/// What a message comes to for the people of one serving side.
struct Hop<'a> {
    ingress: &'a Ingress,
    message: &'a SendMessage,
    group: &'a TargetGroup,
    /// The ID that it carries to the side of the group.
    egress_id: Option<MessageId>,
}

/// What became of a message for one recipient, with what must be journalled.
#[derive(Debug)]
pub(super) struct Sent<'a> {
    /// Who, and what.
    pub(super) one: RecipientOutcome,
    /// Where it went, or waits to go.
    pub(super) target: Option<Target>,
    /// The ID that it carries there.
    pub(super) egress_id: Option<MessageId>,
    /// What waits.
    pub(super) item: Option<NewItem>,
    /// Lets later messages of the conversation queue behind it until it is committed.
    pub(super) entering: Option<Entering<'a>>,
}

impl<'a> Sent<'a> {
    /// What the sender is told.
    pub(super) fn into_outcome(self) -> RecipientOutcome {
        self.one
    }

    /// What was to wait can't; what is elsewhere already is not touched.
    pub(super) fn find_no_room(&mut self, refusal: &Refusal) {
        if self.item.take().is_some() {
            self.one.outcome = Err(refusal.clone());
        }
    }

    fn store(&mut self, item: Result<NewItem, Refusal>, relay: &'a Relay) {
        (self.one.outcome, self.item) = match item {
            Ok(item) => {
                self.entering = Some(relay.waiting.entering(&item.lane));
                (Ok(Acceptance::Stored), Some(item))
            }
            Err(refusal) => (Err(refusal), None),
        };
    }
}

/// For what something waits in the store.
#[derive(Clone, Copy, Debug)]
enum Wait {
    /// Its first attempt.
    First(Timestamp),
    /// Its next attempt.
    Due(Timestamp),
    /// The answer to a document that was acknowledged.
    Awaiting(Timestamp),
}

/// What a store's failure means to whoever asked.
pub(super) fn refused_by_store(error: StoreError) -> Refusal {
    match error {
        StoreError::Full { bound } => Refusal::QueueFull { queue: bound },
        error @ (StoreError::Away { .. }
        | StoreError::InDoubt { .. }
        | StoreError::Disk { .. }
        | StoreError::Superseded { .. }) => Refusal::StoreUnavailable {
            reason: error.to_string(),
        },
        error @ (StoreError::Newer { .. }
        | StoreError::Engine { .. }
        | StoreError::Damaged { .. }
        | StoreError::Closed) => {
            tracing::error!(%error, "the store failed");
            Refusal::Internal {
                reason: error.to_string(),
            }
        }
    }
}

/// What a stored record that can't be read or written means to whoever asked.
#[expect(clippy::needless_pass_by_value, reason = "used as a function in map_err")]
pub(super) fn damaged(error: serde_json::Error) -> Refusal {
    Refusal::Internal {
        reason: format!("a stored record can't be read or written: {error}"),
    }
}
