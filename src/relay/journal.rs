//! The journal: what must survive of a request before it is answered.
//!
//! One batch holds identity, outcome, charge and report reference of every recipient, and the items of those who wait.

use std::time::Duration;

use bytes::Bytes;

use super::{
    Ingress, Relay, RequestKey, Side,
    forward::Target,
    identity::{Progress, Recorded},
    report::Reference,
    send::{Sent, damaged, refused_by_store},
    turns::Turn,
};
use crate::{
    model::{
        Acceptance, Domain, MessageId, RecipientOutcome, Refusal, Request, SendMessage, Timestamp, WvAddress,
    },
    store::{Batch, Committed, Space, StoreError},
};

impl Relay {
    /// What is carried out once is not begun while its outcome can't be kept: nobody would know a repeat, a report or the bill.
    pub(super) fn check_store(&self, ingress: &Ingress, request: &Request) -> Result<(), Refusal> {
        let is_carried =
            matches!(request, Request::Send(_)) && self.shares_store && ingress.side.is_carried();
        let is_recorded = matches!(
            request,
            Request::Send(_) | Request::ContactAdded(_) | Request::Invite(_)
        ) && !is_carried;
        match self.store.failing() {
            Some(reason) if is_recorded => Err(Refusal::StoreUnavailable { reason }),
            Some(_) | None => Ok(()),
        }
    }

    /// Commits what became of a message for every recipient. What must wait is committed when its turn has come, behind
    /// what was said before it; when there is no room for it, the rest is committed without.
    pub(super) async fn journal(
        &self,
        ingress: &Ingress,
        message: &SendMessage,
        mut results: Vec<Sent<'_>>,
        turns: &[Turn<'_>],
    ) -> Result<Vec<RecipientOutcome>, Refusal> {
        let waits = |turn: &Turn<'_>| {
            let mut items = results.iter().filter_map(|sent| sent.item.as_ref());
            items.any(|item| item.lane.conversation == turn.conversation())
        };
        let waiting: Vec<_> = turns.iter().filter(|turn| waits(turn)).collect();
        for turn in waiting {
            turn.comes().await;
        }
        let failure = match self.commit_results(ingress, message, &results).await? {
            Err(error @ StoreError::Full { .. }) => {
                let refusal = refused_by_store(error);
                results.iter_mut().for_each(|sent| sent.find_no_room(&refusal));
                self.commit_results(ingress, message, &results).await?.err()
            }
            committed => committed.err(),
        };
        Ok(match failure {
            None => results.into_iter().map(Sent::into_outcome).collect(),
            Some(error) => journal_failed(results, error),
        })
    }

    async fn commit_results(
        &self,
        ingress: &Ingress,
        message: &SendMessage,
        results: &[Sent<'_>],
    ) -> Result<Result<(), StoreError>, Refusal> {
        let now = self.now();
        let expires = now.plus(self.config.validity(message.validity));
        let mut batch = Batch {
            carry: ingress.side.is_carried(),
            ..Batch::new(now)
        };
        for sent in results {
            batch = self.journal_one(batch, ingress, message, sent, expires)?;
        }
        Ok(self.commit_outcomes(batch).await)
    }

    /// Commits outcomes and items, and lets repeats, later messages and the outbox know of them.
    ///
    /// # Errors
    /// When nothing is committed, or that can't be told.
    pub(super) async fn commit_outcomes(&self, batch: Batch) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        let seen = batch.writes.iter().filter(|write| write.space == Space::Seen);
        let seen: Vec<_> = seen.map(|write| write.key.clone()).collect();
        let lanes: Vec<_> = batch.enqueue.iter().map(|item| item.lane.clone()).collect();
        lanes.iter().for_each(|lane| self.waiting.enter(lane));
        let recorded = batch.writes.iter().find(|write| write.space == Space::Seen);
        let recorded = recorded.map(|write| (write.key.clone(), write.value.clone()));
        let committed = match self.store.commit(batch).await {
            Err(doubt @ StoreError::InDoubt { .. }) => self.find_out(recorded, doubt).await,
            told => told,
        };
        // A commit that failed may have been carried out all the same.
        seen.iter().for_each(|key| self.seen.enter(key));
        let failure = match committed {
            Ok(Committed::Done) => None,
            Ok(Committed::Conflict { .. } | Committed::LeaseLost(_) | Committed::Fenced(_)) => {
                Some(StoreError::Engine {
                    reason: "the journal met a row that it did not expect".into(),
                })
            }
            Err(error) => Some(error),
        };
        if let Some(error) = failure {
            lanes.iter().for_each(|lane| self.waiting.entered(lane));
            return Err(error);
        }
        lanes.iter().for_each(|lane| self.waiting.entered(lane));
        if !lanes.is_empty() {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Whether a batch in doubt was carried out: then the identity that it recorded is there, with the very outcome and time.
    async fn find_out(
        &self,
        recorded: Option<(String, Option<Bytes>)>,
        doubt: StoreError,
    ) -> Result<Committed, StoreError> {
        let Some((key, value)) = recorded else {
            return Err(doubt);
        };
        let row = self.store.row(Space::Seen, &key, self.now()).await?;
        if row.map(|row| row.value) == value {
            Ok(Committed::Done)
        } else {
            Err(doubt)
        }
    }

    /// Adds the recorded outcome of a request that is carried out once, for one person.
    ///
    /// A refusal that may turn into success is not recorded: the sender is welcome to try again.
    pub(super) fn record(
        &self,
        batch: Batch,
        ingress: &Ingress,
        primitive: &str,
        one: &RecipientOutcome,
        charge: Charge,
    ) -> Result<Batch, Refusal> {
        let Some(key) = &ingress.key else {
            return Ok(batch);
        };
        if one.outcome.as_ref().is_err_and(Refusal::is_temporary) {
            return Ok(batch);
        }
        let now = batch.now;
        let recorded = Recorded {
            outcome: one.outcome.clone(),
            at: now,
            from: ingress.side.name().to_owned(),
            to: charge.to,
            size: charge.size,
        };
        let value = serde_json::to_vec(&recorded).map_err(damaged)?;
        let until = if key.is_transaction {
            now.plus(TRANSACTION_MEMORY)
        } else {
            charge.until.unwrap_or_else(|| now.plus(TRANSACTION_MEMORY))
        };
        let row = key.row_key(&ingress.side, primitive, &one.recipient);
        Ok(batch.put(Space::Seen, row, value, Some(until)))
    }

    /// Marks what reports and late answers of a message will look for, so that early ones wait for the journal.
    pub(super) fn journalling(
        &self,
        ingress: &Ingress,
        message: &SendMessage,
        (target, egress_id): (&Target, Option<&MessageId>),
        people: &[WvAddress],
    ) -> Vec<Progress<'_>> {
        let mut under_way = Vec::with_capacity(people.len() + 1);
        let mut mark = |serving: &Domain, id: &MessageId, people: &mut dyn Iterator<Item = &WvAddress>| {
            let of_people = people.map(|person| Reference::row_key(serving, id, person));
            let of_all = std::iter::once(Reference::any_row_key(serving, id));
            let keys = of_people.chain(of_all);
            under_way.extend(keys.filter_map(|key| self.in_progress.begin(&key).ok()));
        };
        if let Some(id) = egress_id {
            let people = &mut people.iter().map(|person| target.known_as(person));
            mark(&target.domain, id, people);
        }
        for other in target.other_domains() {
            if let Some(id) = self.egress_id(ingress, message, other) {
                // Under either name, because the agreement of that domain is not looked at yet.
                let names = target.other_names(other).map(|alias| &alias.known_as);
                mark(other, &id, &mut people.iter().chain(names));
            }
        }
        under_way
    }

    /// What a report of a message, or the message itself when it comes round, is known by: the row's key and value.
    pub(super) fn reference(
        &self,
        ingress: &Ingress,
        message: &SendMessage,
        (target, egress_id): (&Target, &MessageId),
        recipient: &WvAddress,
    ) -> Result<Option<(String, Vec<u8>)>, Refusal> {
        let Some(id) = &message.id else {
            return Ok(None);
        };
        // A late report must find its way back to a peer that asked for it, and to our own people always.
        let is_report_wanted = match ingress.side {
            Side::Home { .. } => true,
            Side::Peer { .. } => message.report_wanted,
        };
        let may_come_round = !ingress.side.is_home() && !target.is_ours();
        if !is_report_wanted && !may_come_round {
            return Ok(None);
        }
        let reference = Reference {
            side: ingress.side.to_record(),
            message: id.clone(),
            sender: message.sender.clone(),
            recipient: recipient.clone(),
            is_settled: !is_report_wanted,
        };
        // Its report comes under the name that the serving side knows.
        let key = Reference::row_key(&target.domain, egress_id, target.known_as(recipient));
        let value = serde_json::to_vec(&reference).map_err(damaged)?;
        Ok(Some((key, value)))
    }

    /// The ID under which a message goes to a serving domain; the same at every attempt, in every run.
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

    fn journal_one(
        &self,
        batch: Batch,
        ingress: &Ingress,
        message: &SendMessage,
        sent: &Sent<'_>,
        expires: Timestamp,
    ) -> Result<Batch, Refusal> {
        let charge = Charge {
            to: sent.target.as_ref().map(|target| target.domain.to_string()),
            size: message.content.bytes.len() as u64,
            until: Some(expires),
        };
        let mut batch = self.record(batch, ingress, "send-message", &sent.one, charge)?;
        if let (Some(target), Some(egress_id), Ok(_)) = (&sent.target, &sent.egress_id, &sent.one.outcome)
            && let Some((key, value)) =
                self.reference(ingress, message, (target, egress_id), &sent.one.recipient)?
        {
            batch = batch.put(Reference::SPACE, key, value, Some(reference_until(expires)));
        }
        if sent.item.is_some() {
            batch.bounds.extend(sent.target.as_ref().and_then(Target::bound));
            batch.enqueue.extend(sent.item.clone());
        }
        Ok(batch)
    }
}

/// What is recorded beside an outcome.
#[derive(Debug, Default)]
pub(super) struct Charge {
    /// The serving domain, when there is one.
    pub(super) to: Option<String>,
    /// Octets of content.
    pub(super) size: u64,
    /// How long a repeat is told apart, for requests with an ID of their own; 24 hours otherwise.
    pub(super) until: Option<Timestamp>,
}

/// What the next hop took stays accepted, journal or not; what only the store would have kept is refused.
pub(super) fn without_store(mut outcomes: Vec<RecipientOutcome>, refusal: &Refusal) -> Vec<RecipientOutcome> {
    for one in &mut outcomes {
        if one.outcome == Ok(Acceptance::Stored) {
            one.outcome = Err(refusal.clone());
        }
    }
    outcomes
}

/// How long a reference is kept of a message that expires then.
pub(super) fn reference_until(expires: Timestamp) -> Timestamp {
    expires.plus(REFERENCE_GRACE)
}

fn journal_failed(results: Vec<Sent<'_>>, error: StoreError) -> Vec<RecipientOutcome> {
    tracing::error!(%error, "the journal could not be written");
    let outcomes = results.into_iter().map(Sent::into_outcome).collect();
    without_store(outcomes, &refused_by_store(error))
}

/// How long a request without an own ID is remembered.
const TRANSACTION_MEMORY: Duration = Duration::from_secs(86_400);
/// How long a reference outlives its message.
const REFERENCE_GRACE: Duration = Duration::from_secs(7 * 86_400);
