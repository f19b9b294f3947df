//! How many subscriptions each peer's people hold here, so that a peer can't fill the store with watchers of its choice.
//!
//! Counted once from the store, then kept along; the daily round counts anew. Our own people are bounded by their contact
//! lists.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use super::{
    Ingress, Relay, Side,
    ingress::SideRecord,
    send::{damaged, refused_by_store},
    subscribe::KeptSubscription,
};
use crate::{
    model::{PeerName, Refusal, Service, Subscribe, Unsubscribe},
    store::Space,
};

/// The counts; none before the first look into the store.
#[derive(Debug, Default)]
pub(super) struct Watched(Mutex<Option<HashMap<PeerName, u64>>>);

impl Watched {
    /// Counts so many more, unless that would be more than `max`.
    fn add(&self, peer: &PeerName, more: u64, max: u64) -> bool {
        self.with(|counts| {
            let count = counts.entry(peer.clone()).or_default();
            let sum = count.saturating_add(more);
            if more > 0 && sum > max {
                return false;
            }
            *count = sum;
            true
        })
    }

    fn remove(&self, peer: &PeerName, less: u64) {
        self.with(|counts| {
            if let Some(count) = counts.get_mut(peer) {
                *count = count.saturating_sub(less);
            }
        });
    }

    fn is_counted(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<PeerName, u64>) -> T) -> T {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        work(counts.get_or_insert_default())
    }
}

/// New subscriptions that are counted already; those that come to nothing are counted off when this is dropped.
#[derive(Debug)]
pub(super) struct NewWatches<'a> {
    watched: &'a Watched,
    peer: PeerName,
    /// Their row keys.
    keys: Vec<String>,
}

impl NewWatches<'_> {
    /// This one is kept.
    pub(super) fn keep(&mut self, key: &str) {
        self.keys.retain(|one| one != key);
    }
}

impl Drop for NewWatches<'_> {
    fn drop(&mut self) {
        self.watched.remove(&self.peer, self.keys.len() as u64);
    }
}

impl Relay {
    /// Counts what a peer's subscription would add; `None` for our own side, which is not counted.
    ///
    /// # Errors
    /// [`Refusal::NotAgreed`], naming the limit, when there would be more than agreed.
    pub(super) async fn new_watches(
        &self,
        ingress: &Ingress,
        subscribe: &Subscribe,
    ) -> Result<Option<NewWatches<'_>>, Refusal> {
        let Side::Peer { agreement, .. } = &ingress.side else {
            return Ok(None);
        };
        if ingress.side.is_home() {
            return Ok(None);
        }
        if !self.watched.is_counted() {
            self.count_watched().await?;
        }
        let mut keys = Vec::new();
        for presentity in &subscribe.presentities {
            let key = KeptSubscription::row_key(&subscribe.watcher, presentity);
            let is_there = self.kept(&key).await?.is_some();
            if !is_there && !keys.contains(&key) {
                keys.push(key);
            }
        }
        let (peer, max) = (agreement.peer(), agreement.config.limits.max_subscriptions);
        if !self.watched.add(peer, keys.len() as u64, max) {
            return Err(Refusal::NotAgreed {
                peer: peer.clone(),
                service: Service::Presence,
                clause: format!("limits.max_subscriptions is {max}"),
            });
        }
        Ok(Some(NewWatches {
            watched: &self.watched,
            peer: peer.clone(),
            keys,
        }))
    }

    /// Counts off what a peer's unsubscription ends; called before the rows go.
    pub(super) async fn end_watches(
        &self,
        ingress: &Ingress,
        unsubscribe: &Unsubscribe,
    ) -> Result<(), Refusal> {
        if ingress.side.is_home() {
            return Ok(());
        }
        for presentity in &unsubscribe.presentities {
            let key = KeptSubscription::row_key(&unsubscribe.watcher, presentity);
            if let Some(kept) = self.kept(&key).await? {
                self.count_off(&kept);
            }
        }
        Ok(())
    }

    /// A subscription is gone.
    pub(super) fn count_off(&self, kept: &KeptSubscription) {
        if let SideRecord::Peer { peer, .. } = &kept.side {
            self.watched.remove(peer, 1);
        }
    }

    /// Counts what is in the store.
    pub(super) async fn count_watched(&self) -> Result<(), Refusal> {
        let mut counts: HashMap<PeerName, u64> = HashMap::new();
        let mut after: Option<String> = None;
        loop {
            let rows = self
                .store
                .rows(Space::Subscription, "", after.as_deref(), PAGE, self.now())
                .await
                .map_err(refused_by_store)?;
            let Some(last) = rows.last() else {
                break;
            };
            after = Some(last.key.clone());
            for row in &rows {
                let kept: KeptSubscription = serde_json::from_slice(&row.value).map_err(damaged)?;
                if let SideRecord::Peer { peer, .. } = kept.side {
                    *counts.entry(peer).or_default() += 1;
                }
            }
        }
        self.watched.with(|counted| *counted = counts);
        Ok(())
    }

    async fn kept(&self, key: &str) -> Result<Option<KeptSubscription>, Refusal> {
        let row = self
            .store
            .row(Space::Subscription, key, self.now())
            .await
            .map_err(refused_by_store)?;
        row.map(|row| serde_json::from_slice(&row.value).map_err(damaged))
            .transpose()
    }
}

/// Rows read at once.
const PAGE: usize = 1000;
