//! Presence subscriptions and fetches (use case 5.21): each presentity at the side that serves him, one answer to the watcher.

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use super::{
    Ingress, Relay,
    forward::{Target, TargetGroup, per_person},
    ingress::SideRecord,
    send::{damaged, refused_by_store},
};
use crate::{
    model::{
        Answer, AttributeName, Domain, GetPresence, Outcome, Presence, RecipientOutcome, Refusal, Request,
        Subscribe, Unsubscribe, WvAddress,
    },
    routing::RouteService,
    store::{Batch, Space},
};

/// A subscription that crosses the gateway, as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct KeptSubscription {
    /// The side that watches.
    pub(super) side: SideRecord,
    /// Who watches.
    pub(super) watcher: WvAddress,
    /// Whom.
    pub(super) presentity: WvAddress,
    /// Which attributes; empty means all.
    pub(super) attributes: Vec<AttributeName>,
    /// The domain that serves the presentity.
    pub(super) serving: Domain,
}

impl KeptSubscription {
    pub(super) fn row_key(watcher: &WvAddress, presentity: &WvAddress) -> String {
        format!("{} {}", watcher.key(), presentity.key())
    }
}

impl Relay {
    /// Subscribes to everybody named, and keeps what succeeded.
    pub(super) async fn subscribe(&self, ingress: &Ingress, subscribe: Subscribe) -> Outcome {
        let mut new = self.new_watches(ingress, &subscribe).await?;
        let deadline = ingress.trail.started().plus(self.config.query_timeout);
        let split = self
            .split(ingress, &subscribe.presentities, RouteService::Pres)
            .await;
        let forward = |group: &TargetGroup| {
            let (target, people) = (group.target.clone(), group.people.clone());
            let subscribe = subscribe.clone();
            async move {
                let request = |_: &Target| {
                    Request::Subscribe(Subscribe {
                        presentities: people.clone(),
                        ..subscribe.clone()
                    })
                };
                let (asked, answer) = self.forward_or_else(ingress, &target, deadline, request).await;
                (asked.domain, per_person(&people, &answer.map_err(Into::into)))
            }
        };
        let answers = join_all(split.groups.iter().map(forward)).await;
        let now = self.now();
        let mut batch = Batch::new(now);
        let mut recipients = split.refused;
        for (serving, outcomes) in answers {
            for one in &outcomes {
                if let Err(refusal) = &one.outcome {
                    if refusal.is_temporary() {
                        batch = self
                            .followed(batch, &subscribe.watcher, &one.recipient, &serving)
                            .await?;
                    }
                    continue;
                }
                let kept = KeptSubscription {
                    side: ingress.side.to_record(),
                    watcher: subscribe.watcher.clone(),
                    presentity: one.recipient.clone(),
                    attributes: subscribe.attributes.clone(),
                    serving: serving.clone(),
                };
                let key = KeptSubscription::row_key(&kept.watcher, &kept.presentity);
                batch = batch.put(
                    Space::Subscription,
                    key,
                    serde_json::to_vec(&kept).map_err(damaged)?,
                    None,
                );
            }
            recipients.extend(outcomes);
        }
        if !batch.is_empty() {
            let keys: Vec<_> = batch.writes.iter().map(|write| write.key.clone()).collect();
            self.store.commit(batch).await.map_err(refused_by_store)?;
            if let Some(new) = &mut new {
                keys.iter().for_each(|key| new.keep(key));
            }
        }
        Ok(Answer::Recipients(recipients))
    }

    /// A subscription that stands and could not be renewed is kept for who serves the person now, so that it is asserted there
    /// as soon as he can be reached.
    async fn followed(
        &self,
        batch: Batch,
        watcher: &WvAddress,
        presentity: &WvAddress,
        serving: &Domain,
    ) -> Result<Batch, Refusal> {
        let key = KeptSubscription::row_key(watcher, presentity);
        let row = self.store.row(Space::Subscription, &key, batch.now).await;
        let Some(row) = row.map_err(refused_by_store)? else {
            return Ok(batch);
        };
        let mut kept: KeptSubscription = serde_json::from_slice(&row.value).map_err(damaged)?;
        if kept.serving == *serving {
            return Ok(batch);
        }
        kept.serving = serving.clone();
        let value = serde_json::to_vec(&kept).map_err(damaged)?;
        Ok(batch.put(Space::Subscription, key, value, None))
    }

    /// Ends subscriptions; an unsubscription of nothing succeeds.
    pub(super) async fn unsubscribe(&self, ingress: &Ingress, unsubscribe: Unsubscribe) -> Outcome {
        let deadline = ingress.trail.started().plus(self.config.query_timeout);
        let mut batch = Batch::new(self.now());
        for presentity in &unsubscribe.presentities {
            let key = KeptSubscription::row_key(&unsubscribe.watcher, presentity);
            batch = batch.remove(Space::Subscription, key);
        }
        self.end_watches(ingress, &unsubscribe).await?;
        self.store.commit(batch).await.map_err(refused_by_store)?;
        let split = self
            .split(ingress, &unsubscribe.presentities, RouteService::Pres)
            .await;
        let forward = |group: &TargetGroup| {
            let presentities = group.people.clone();
            let request = Request::Unsubscribe(Unsubscribe {
                presentities,
                ..unsubscribe.clone()
            });
            let (target, people) = (group.target.clone(), group.people.clone());
            async move {
                let answer = self
                    .forward(ingress, &target, request, deadline)
                    .await
                    .map_err(Into::into);
                per_person(&people, &answer)
            }
        };
        let answers = join_all(split.groups.iter().map(forward)).await;
        Ok(Answer::Recipients(
            split
                .refused
                .into_iter()
                .chain(answers.into_iter().flatten())
                .collect(),
        ))
    }

    /// Asks for presence once. People who can't be asked now are left out, unless nobody can.
    pub(super) async fn presence(&self, ingress: &Ingress, get: GetPresence) -> Outcome {
        let deadline = ingress.trail.started().plus(self.config.query_timeout);
        let split = self.split(ingress, &get.presentities, RouteService::Pres).await;
        let forward = |group: &TargetGroup| {
            let request = Request::GetPresence(GetPresence {
                presentities: group.people.clone(),
                ..get.clone()
            });
            let target = group.target.clone();
            async move {
                let asking = self.forward_or_else(ingress, &target, deadline, |_| request.clone());
                asking.await.1
            }
        };
        let answers = join_all(split.groups.iter().map(forward)).await;
        let mut values: Vec<(WvAddress, Presence)> = Vec::new();
        let mut refusals: Vec<Refusal> = split
            .refused
            .into_iter()
            .filter_map(|one: RecipientOutcome| one.outcome.err())
            .collect();
        for answer in answers {
            match answer {
                Ok(Answer::Presence(more)) => values.extend(more),
                Ok(
                    Answer::Done
                    | Answer::Recipients(_)
                    | Answer::Sent { .. }
                    | Answer::Found(_)
                    | Answer::Group(_),
                ) => {}
                Err(undelivered) => refusals.push(undelivered.into()),
            }
        }
        match refusals.into_iter().next() {
            Some(refusal) if values.is_empty() => Err(refusal),
            Some(_) | None => Ok(Answer::Presence(values)),
        }
    }
}
