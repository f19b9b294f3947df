//! What operators do with single items that wait: throw one away, or send it another way.
//!
//! Nothing that was accepted goes without a word: the sender of what is discarded is told, with the operator's reason, in
//! the batch that takes it out. What is redirected keeps its sender, its validity and its place behind what was redirected
//! before it.

use super::{
    Ingress, Relay,
    forward::Target,
    outbox::{Queued, QueuedKind},
    send::{damaged, refused_by_store},
};
use crate::{
    model::{Domain, PeerName, Refusal, Request},
    store::{Batch, Committed, Lane, NewItem, OutboxItem, Settle},
};

impl Relay {
    /// Takes an item out, and tells the sender of a message that it will not arrive. What is leased is not touched.
    ///
    /// # Errors
    /// The store's words; then nothing is changed.
    pub async fn discard(&self, item: &OutboxItem, reason: &str) -> Result<Committed, Refusal> {
        let mut batch = Batch::new(self.now()).settle(item.id, Settle::Discard);
        if let Ok(queued) = serde_json::from_slice::<Queued>(&item.body) {
            let reason = reason.to_owned();
            let told = self.failed_report(&queued, Refusal::Discarded { reason });
            batch.enqueue.extend(told);
        }
        let committed = self.store.commit(batch).await.map_err(refused_by_store)?;
        self.wake.notify_one();
        Ok(committed)
    }

    /// Sends an item to another domain from now on, whatever the route of its recipient says; `to` names the domain, or a peer
    /// by whose first domain is meant.
    ///
    /// # Errors
    /// [`Refusal::NoAgreement`] or [`Refusal::Unsupported`] when it can't go there, else the store's words; then nothing is changed.
    pub async fn redirect(&self, item: &OutboxItem, to: &str) -> Result<Committed, Refusal> {
        let serving = self.redirection(to)?;
        let queued: Queued = serde_json::from_slice(&item.body).map_err(damaged)?;
        if matches!(queued.kind, QueuedKind::Back { .. }) {
            let what = "sending a report to anybody but the sender of its message".into();
            return Err(Refusal::Unsupported { what });
        }
        let new = self.redirected_item(item, queued, &serving)?;
        let mut batch = Batch::new(self.now()).settle(item.id, Settle::Discard);
        let agreement = self.agreements.load().for_domain(&serving).cloned();
        batch
            .bounds
            .extend(agreement.map(|one| Target::bound_of(&one, &serving)));
        let lane = new.lane.clone();
        let entering = self.waiting.entering(&lane);
        let committed = self.store.commit(batch.enqueue(new)).await;
        let committed = committed.map_err(refused_by_store)?;
        if committed == Committed::Done {
            self.waiting.enter(&lane);
            self.waiting.entered(&lane);
        }
        drop(entering);
        self.wake.notify_one();
        Ok(committed)
    }

    /// The side that an operator sent something to.
    pub(super) async fn redirected_target(
        &self,
        ingress: &Ingress,
        serving: &Domain,
    ) -> Result<Target, Refusal> {
        let now = self.now();
        let agreement = self.agreements.load().for_domain(serving).cloned();
        let target = match agreement {
            Some(agreement) => self.peer_target(agreement, serving.clone(), now).await?,
            None if self.own.contains(serving) => self.home_target(serving, now).await?,
            None => {
                let domain = serving.clone();
                return Err(Refusal::NoAgreement { domain });
            }
        };
        if target.leads_back(ingress) {
            return Err(Refusal::Loop);
        }
        Ok(target)
    }

    fn redirected_item(&self, item: &OutboxItem, queued: Queued, to: &Domain) -> Result<NewItem, Refusal> {
        let now = self.now();
        let mut labels = item.labels.clone();
        if let (Request::Send(message), Some(ingress)) =
            (&queued.request, queued.ingress(&self.agreements.load(), now))
        {
            let id = self.egress_id(&ingress, message, to);
            labels.extend(id.map(|id| id.to_string()));
        }
        let is_overtakable = matches!(queued.request, Request::Notify(_));
        let lane = Lane {
            queue: to.to_string(),
            conversation: item.lane.conversation.clone(),
        };
        let queued = Queued {
            redirected: Some(to.clone()),
            ..queued
        };
        Ok(NewItem {
            replaces: is_overtakable.then(|| lane.conversation.clone()),
            lane,
            priority: item.priority,
            due: now,
            expires: item.expires,
            is_awaiting: false,
            last_failure: None,
            labels,
            body: queued.to_bytes()?,
        })
    }

    fn redirection(&self, to: &str) -> Result<Domain, Refusal> {
        let agreements = self.agreements.load();
        let peer = to.parse::<PeerName>().ok();
        let of_peer = peer.and_then(|peer| agreements.for_peer(&peer)?.config.domains.first().cloned());
        if let Some(domain) = of_peer {
            return Ok(domain);
        }
        let domain: Domain = to.parse().map_err(|_| Refusal::BadRequest {
            reason: format!("{to:?} is neither a peer nor a domain"),
        })?;
        if agreements.for_domain(&domain).is_some() || self.own.contains(&domain) {
            return Ok(domain);
        }
        Err(Refusal::NoAgreement { domain })
    }
}
