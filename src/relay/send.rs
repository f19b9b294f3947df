//! Messages (use case 5.22): delivered while the sender waits, else committed and carried on by the outbox.
//!
//! A 200 is a promise: each accepted recipient was taken by the next hop, or stands in the store. Before the answer one
//! batch commits identity, outcome, charge and report reference of every recipient, so that a repeat, a late report and
//! the bill survive a crash.

use futures_util::future::join_all;

use super::{
    Ingress, Relay, RequestKey, Side, Undelivered,
    forward::{Target, TargetGroup, per_person},
    identity::{Progress, Recorded},
    outbox::{Queued, QueuedKind},
    report::Reference,
};
use crate::{
    agreement::Accept,
    model::{
        Acceptance, Answer, Domain, MessageId, Outcome, RecipientOutcome, Refusal, Request, SendMessage,
        StepEvent, Stop, Timestamp, WvAddress,
    },
    routing::RouteService,
    store::{Batch, Committed, Lane, NewItem, Priority, Space, StoreError},
};

impl Relay {
    /// Delivers a message to each of its recipients, or commits to doing so.
    pub(super) async fn send(&self, ingress: &Ingress, message: SendMessage) -> Outcome {
        if message.recipients.is_empty() {
            return Err(Refusal::BadRequest {
                reason: "the message has no recipient".into(),
            });
        }
        let id = message.id.clone();
        let mut recipients = Vec::with_capacity(message.recipients.len());
        let mut fresh = Vec::with_capacity(message.recipients.len());
        let mut under_way = Vec::new();
        for recipient in &message.recipients {
            if fresh.contains(recipient) {
                continue;
            }
            match self.begin(ingress, "send-message", recipient).await? {
                Begun::Fresh(progress) => {
                    under_way.push(progress);
                    fresh.push(recipient.clone());
                }
                Begun::Repeat(outcome) => {
                    let text = "a repeat: answered with the recorded outcome".into();
                    ingress
                        .trail
                        .add(self.now(), Stop::Admit, StepEvent::Note { text });
                    recipients.push(RecipientOutcome {
                        recipient: recipient.clone(),
                        outcome,
                    });
                }
            }
        }
        if !fresh.is_empty() {
            recipients.extend(self.send_fresh(ingress, &message, &fresh).await?);
        }
        drop(under_way);
        Ok(Answer::Sent { id, recipients })
    }

    /// Looks a request up under its identity and begins it when it is new.
    pub(super) async fn begin(
        &self,
        ingress: &Ingress,
        primitive: &str,
        recipient: &WvAddress,
    ) -> Result<Begun<'_>, Refusal> {
        let Some(key) = &ingress.key else {
            return Ok(Begun::Fresh(None));
        };
        let row_key = key.row_key(&ingress.side, primitive, recipient);
        loop {
            match self.in_progress.begin(&row_key) {
                Ok(progress) => {
                    let recorded = self
                        .store
                        .row(Space::Seen, &row_key, self.now())
                        .await
                        .map_err(refused_by_store)?;
                    return match recorded {
                        Some(row) => {
                            let recorded: Recorded = serde_json::from_slice(&row.value).map_err(damaged)?;
                            Ok(Begun::Repeat(recorded.outcome))
                        }
                        None => Ok(Begun::Fresh(Some(progress))),
                    };
                }
                // The sender is dropped when the first has ended; its outcome is recorded then.
                Err(mut first) => while first.changed().await.is_ok() {},
            }
        }
    }

    async fn send_fresh(
        &self,
        ingress: &Ingress,
        message: &SendMessage,
        fresh: &[WvAddress],
    ) -> Result<Vec<RecipientOutcome>, Refusal> {
        let deadline = ingress.trail.started().plus(self.config.cut_through);
        let split = self.split(ingress, fresh, RouteService::Im).await;
        let mut results: Vec<Sent> = split.refused.into_iter().map(Sent::unrouted).collect();
        self.store_unroutable(ingress, message, &mut results);
        let groups = split
            .groups
            .iter()
            .map(|group| self.send_group(ingress, message, group, deadline));
        let journalling: Vec<_> = split
            .groups
            .iter()
            .flat_map(|group| self.journalling(ingress, message, group))
            .collect();
        results.extend(join_all(groups).await.into_iter().flatten());
        let outcomes = self.journal(ingress, message, results).await;
        drop(journalling);
        outcomes
    }

    /// Marks what reports of this message will look for, so that an early report waits for the journal.
    fn journalling(
        &self,
        ingress: &Ingress,
        message: &SendMessage,
        group: &TargetGroup,
    ) -> Vec<Progress<'_>> {
        let id = self.egress_id(ingress, message, &group.target.domain);
        let Some(id) = id.filter(|_| wants_reference(ingress, message)) else {
            return Vec::new();
        };
        let begin = |person| {
            self.in_progress
                .begin(&Reference::row_key(&group.target.domain, &id, person))
                .ok()
        };
        group.people.iter().filter_map(begin).collect()
    }

    /// Recipients whose route can't be found now wait in the store; their route is looked up anew at each attempt.
    fn store_unroutable(&self, ingress: &Ingress, message: &SendMessage, results: &mut [Sent]) {
        for sent in results {
            let Err(refusal @ Refusal::RouteFailed { .. }) = &sent.outcome else {
                continue;
            };
            let now = self.now();
            let reason = refusal.to_string();
            let queue = sent
                .recipient
                .domain()
                .map_or_else(|| UNROUTED.to_owned(), ToString::to_string);
            ingress
                .trail
                .add(now, Stop::Deliver, StepEvent::Stored { reason });
            let due = self.retry_at(0, now);
            sent.item = self.item(ingress, message, &sent.recipient, None, (&queue, due));
            sent.outcome = Ok(Acceptance::Stored);
        }
    }

    async fn send_group(
        &self,
        ingress: &Ingress,
        message: &SendMessage,
        group: &TargetGroup,
        deadline: Timestamp,
    ) -> Vec<Sent> {
        let target = &group.target;
        let egress_id = self.egress_id(ingress, message, &target.domain);
        let sent = |outcome: RecipientOutcome| Sent {
            recipient: outcome.recipient,
            outcome: outcome.outcome,
            target: Some(target.clone()),
            egress_id: egress_id.clone(),
            item: None,
        };
        let store = |people: &[WvAddress], reason: String, due: Timestamp, is_awaiting: bool| -> Vec<Sent> {
            let now = self.now();
            ingress
                .trail
                .add(now, Stop::Deliver, StepEvent::Stored { reason });
            let queue = target.domain.to_string();
            let stored = |person: &WvAddress| {
                let kind = if is_awaiting { egress_id.as_ref() } else { None };
                let item = self.item(ingress, message, person, kind, (&queue, due));
                let outcome = RecipientOutcome {
                    recipient: person.clone(),
                    outcome: Ok(Acceptance::Stored),
                };
                Sent {
                    item,
                    ..sent(outcome)
                }
            };
            people.iter().map(stored).collect()
        };
        let now = self.now();
        let accept = target
            .agreement
            .as_ref()
            .map_or(Accept::Taken, |agreement| agreement.config.accept);
        if accept == Accept::Store {
            return store(
                &group.people,
                "the agreement says accept = store".into(),
                now,
                false,
            );
        }
        let is_blocked = |person: &WvAddress| {
            self.waiting
                .has(&lane(target.domain.as_str(), &message.sender, person))
        };
        let (behind, free): (Vec<_>, Vec<_>) = group.people.iter().cloned().partition(is_blocked);
        let mut results = Vec::with_capacity(group.people.len());
        if !behind.is_empty() {
            results.extend(store(
                &behind,
                "an earlier message of the conversation waits".into(),
                now,
                false,
            ));
        }
        if free.is_empty() {
            return results;
        }
        let request = Request::Send(SendMessage {
            recipients: free.clone(),
            id: egress_id.clone().or_else(|| message.id.clone()),
            ..message.clone()
        });
        match self.forward(ingress, target, request, deadline).await {
            Ok(answer) => results.extend(per_person(&free, &Ok(answer)).into_iter().map(sent)),
            Err(Undelivered::Refused(refusal)) => {
                results.extend(per_person(&free, &Err(refusal)).into_iter().map(sent));
            }
            Err(Undelivered::NotTaken(refusal)) => {
                let due = self.retry_at(0, self.now());
                results.extend(store(&free, refusal.to_string(), due, false));
            }
            Err(Undelivered::Unanswered(refusal)) => {
                let wait = target
                    .agreement
                    .as_ref()
                    .map_or(self.config.query_timeout, |a| a.config.answer_timeout);
                results.extend(store(&free, refusal.to_string(), self.now().plus(wait), true));
            }
        }
        results
    }

    /// Commits identity, outcome, charge, reference and what waits of every recipient, in one batch.
    async fn journal(
        &self,
        ingress: &Ingress,
        message: &SendMessage,
        results: Vec<Sent>,
    ) -> Result<Vec<RecipientOutcome>, Refusal> {
        let now = self.now();
        let validity = self.config.validity(message.validity);
        let mut batch = Batch::new(now);
        let mut lanes = Vec::new();
        for sent in &results {
            batch = self.journal_one(batch, ingress, message, sent, now.plus(validity))?;
            if let Some(item) = &sent.item {
                lanes.push(item.lane.clone());
                batch.enqueue.push(item.clone());
            }
        }
        for lane in &lanes {
            self.waiting.enter(lane);
        }
        match self.store.commit(batch).await {
            Ok(Committed::Done) => {}
            Ok(Committed::Conflict { .. } | Committed::LeaseLost(_)) => {
                return Err(Refusal::Internal {
                    reason: "the journal met a row that it did not expect".into(),
                });
            }
            Err(error) => {
                for lane in &lanes {
                    self.waiting.leave(lane);
                }
                return self.journal_failed(&results, error);
            }
        }
        if !lanes.is_empty() {
            self.wake.notify_one();
        }
        Ok(results
            .into_iter()
            .map(|sent| RecipientOutcome {
                recipient: sent.recipient,
                outcome: sent.outcome,
            })
            .collect())
    }

    /// What the next hop took stays accepted, journal or not; what only the store would have kept is refused.
    fn journal_failed(&self, results: &[Sent], error: StoreError) -> Result<Vec<RecipientOutcome>, Refusal> {
        tracing::error!(%error, "the journal could not be written");
        let refusal = refused_by_store(error);
        let outcome = |sent: &Sent| match &sent.outcome {
            Ok(Acceptance::Stored) => Err(refusal.clone()),
            other => other.clone(),
        };
        Ok(results
            .iter()
            .map(|sent| RecipientOutcome {
                recipient: sent.recipient.clone(),
                outcome: outcome(sent),
            })
            .collect())
    }

    fn journal_one(
        &self,
        mut batch: Batch,
        ingress: &Ingress,
        message: &SendMessage,
        sent: &Sent,
        expires: Timestamp,
    ) -> Result<Batch, Refusal> {
        let now = batch.now;
        if let Some(key) = &ingress.key {
            let recorded = Recorded {
                outcome: sent.outcome.clone(),
                at: now,
                from: ingress.side.name().to_owned(),
                to: sent.target.as_ref().map(|target| target.domain.to_string()),
                size: message.content.bytes.len() as u64,
            };
            let until = if key.is_transaction {
                now.plus(TRANSACTION_MEMORY)
            } else {
                expires
            };
            let row = key.row_key(&ingress.side, "send-message", &sent.recipient);
            // A refusal that may turn into success is not recorded: the sender is welcome to try again.
            if !sent.outcome.as_ref().is_err_and(Refusal::is_temporary) {
                batch = batch.put(
                    Space::Seen,
                    row,
                    serde_json::to_vec(&recorded).map_err(damaged)?,
                    Some(until),
                );
            }
        }
        if let (true, Some(egress_id), Some(target), Some(id), Ok(_)) = (
            wants_reference(ingress, message),
            &sent.egress_id,
            &sent.target,
            &message.id,
            &sent.outcome,
        ) {
            let reference = Reference {
                side: ingress.side.to_record(),
                message: id.clone(),
                sender: message.sender.clone(),
                recipient: sent.recipient.clone(),
            };
            let row = Reference::row_key(&target.domain, egress_id, &sent.recipient);
            let value = serde_json::to_vec(&reference).map_err(damaged)?;
            batch = batch.put(Space::Reference, row, value, Some(expires.plus(REFERENCE_GRACE)));
        }
        Ok(batch)
    }

    fn item(
        &self,
        ingress: &Ingress,
        message: &SendMessage,
        recipient: &WvAddress,
        awaiting: Option<&MessageId>,
        (queue, due): (&str, Timestamp),
    ) -> Option<NewItem> {
        let now = self.now();
        let request = Request::Send(SendMessage {
            recipients: vec![recipient.clone()],
            ..message.clone()
        });
        let kind = match awaiting {
            Some(id) => QueuedKind::Awaiting {
                egress_id: id.clone(),
            },
            None => QueuedKind::Waiting,
        };
        let mut labels = vec![message.sender.key(), recipient.key()];
        labels.extend(message.id.iter().map(ToString::to_string));
        labels.extend(awaiting.map(ToString::to_string));
        let queued = Queued {
            side: ingress.side.to_record(),
            protocol: ingress.protocol,
            key: ingress.key.as_ref().map(|key| {
                (
                    key.id.clone(),
                    key.is_transaction,
                    super::identity::hex(&key.hash),
                )
            }),
            via: ingress.via.clone(),
            trail: ingress.trail.id(),
            kind,
            request,
        };
        Some(NewItem {
            lane: lane(queue, &message.sender, recipient),
            priority: Priority::Interactive,
            due,
            expires: now.plus(self.config.validity(message.validity)),
            replaces: None,
            labels,
            body: serde_json::to_vec(&queued).ok()?.into(),
        })
    }

    pub(super) fn egress_id(
        &self,
        ingress: &Ingress,
        message: &SendMessage,
        serving: &Domain,
    ) -> Option<MessageId> {
        let own;
        let key = match (&ingress.key, &message.id) {
            (Some(key), _) => key,
            (None, Some(id)) => {
                own = RequestKey {
                    id: id.to_string(),
                    is_transaction: false,
                    hash: [0; 16],
                };
                &own
            }
            (None, None) => return None,
        };
        Some(self.secret.egress_id(&ingress.side, key, serving.as_str()))
    }
}

/// Whether a request is new.
pub(super) enum Begun<'a> {
    /// It is, and under way from now on; without a guard when it has no identity.
    Fresh(Option<Progress<'a>>),
    /// It is not; the recorded outcome.
    Repeat(Result<Acceptance, Refusal>),
}

/// What became of a message for one recipient, with what must be journalled.
#[derive(Debug)]
struct Sent {
    recipient: WvAddress,
    outcome: Result<Acceptance, Refusal>,
    target: Option<Target>,
    egress_id: Option<MessageId>,
    item: Option<NewItem>,
}

impl Sent {
    fn unrouted(outcome: RecipientOutcome) -> Self {
        Self {
            recipient: outcome.recipient,
            outcome: outcome.outcome,
            target: None,
            egress_id: None,
            item: None,
        }
    }
}

/// The unit of order: what one person says to another through one serving side.
pub(super) fn lane(queue: &str, sender: &WvAddress, recipient: &WvAddress) -> Lane {
    Lane {
        queue: queue.to_owned(),
        conversation: format!("{}>{}", sender.key(), recipient.key()),
    }
}

pub(super) fn refused_by_store(error: StoreError) -> Refusal {
    match error {
        StoreError::Full { bound } => Refusal::QueueFull { queue: bound },
        error @ (StoreError::Disk { .. }
        | StoreError::Newer { .. }
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

#[expect(clippy::needless_pass_by_value, reason = "used as a function in map_err")]
pub(super) fn damaged(error: serde_json::Error) -> Refusal {
    Refusal::Internal {
        reason: format!("a stored record can't be read or written: {error}"),
    }
}

/// A late report or failure must find its way back to a peer always, to a subscriber of ours when he asked.
fn wants_reference(ingress: &Ingress, message: &SendMessage) -> bool {
    match ingress.side {
        Side::Home { .. } => true,
        Side::Peer { .. } => message.report_wanted,
    }
}

/// The queue of messages whose serving domain is not known yet.
const UNROUTED: &str = "unrouted";
/// How long a request without an own ID is remembered.
const TRANSACTION_MEMORY: std::time::Duration = std::time::Duration::from_secs(86_400);
/// How long a reference outlives its message.
const REFERENCE_GRACE: std::time::Duration = std::time::Duration::from_secs(7 * 86_400);
