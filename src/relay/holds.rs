//! Queues that operators hold: what waits in them stays, and what comes for them waits behind it.
//!
//! A hold is a row of the store, so it outlives the process; each node reads the rows at its start, when an operator has ordered
//! something elsewhere, and every minute. Whoever waits himself, for a search or a presence, is not held up.

use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock},
};

use serde::{Deserialize, Serialize};

use super::{
    Relay,
    send::{damaged, refused_by_store},
};
use crate::{
    model::{Refusal, Timestamp},
    store::{Batch, Space},
};

/// A hold of a whole queue.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct HeldQueue {
    /// The queue.
    pub queue: String,
    /// Who holds it, and why.
    pub by: String,
    /// Since when.
    pub since: Timestamp,
}

/// The holds in force, by queue.
#[derive(Debug, Default)]
pub(super) struct Holds {
    held: RwLock<BTreeMap<String, HeldQueue>>,
    /// One reads or changes the rows at a time, so that no change is forgotten.
    changing: tokio::sync::Mutex<()>,
}

impl Holds {
    /// The hold of this queue, when there is one.
    pub(super) fn of(&self, queue: &str) -> Option<HeldQueue> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.get(queue).cloned()
    }

    /// The queues that are held.
    pub(super) fn queues(&self) -> Vec<String> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.keys().cloned().collect()
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, HeldQueue>)) {
        change(&mut self.held.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Relay {
    /// Keeps everything of a queue here until it is released, over restarts; what is under way is not called back.
    ///
    /// # Errors
    /// The store's words, when the hold can't be kept; then nothing is held.
    pub async fn hold_queue(&self, queue: &str, by: &str) -> Result<HeldQueue, Refusal> {
        let held = HeldQueue {
            queue: queue.to_owned(),
            by: by.to_owned(),
            since: self.now(),
        };
        let value = serde_json::to_vec(&held).map_err(damaged)?;
        let batch = Batch::new(self.now()).put(Space::Meta, row_key(queue), value, None);
        let batch = batch.ordered();
        let _changing = self.holds.changing.lock().await;
        self.store.commit(batch).await.map_err(refused_by_store)?;
        self.holds
            .change(|all| _ = all.insert(queue.to_owned(), held.clone()));
        Ok(held)
    }

    /// Lets a queue go on, and what waits in it at once; `false` when it was not held.
    ///
    /// # Errors
    /// The store's words; then the hold stays.
    pub async fn release_queue(&self, queue: &str) -> Result<bool, Refusal> {
        let _changing = self.holds.changing.lock().await;
        let is_held = self.holds.of(queue).is_some();
        let batch = Batch {
            due_now: vec![queue.to_owned()],
            ..Batch::new(self.now())
                .remove(Space::Meta, row_key(queue))
                .ordered()
        };
        self.store.commit(batch).await.map_err(refused_by_store)?;
        self.holds.change(|all| _ = all.remove(queue));
        self.wake.notify_one();
        Ok(is_held)
    }

    /// The queues that are held, in their order.
    #[must_use]
    pub fn held_queues(&self) -> Vec<HeldQueue> {
        let held = self.holds.held.read().unwrap_or_else(PoisonError::into_inner);
        held.values().cloned().collect()
    }

    /// Reads which queues are held; at the start, and every minute for what was ordered at another node.
    ///
    /// # Errors
    /// The store's words; then the holds stay as they were.
    pub async fn learn_holds(&self) -> Result<(), Refusal> {
        let _changing = self.holds.changing.lock().await;
        let mut found = BTreeMap::new();
        let mut after: Option<String> = None;
        loop {
            let page = self
                .store
                .rows(Space::Meta, PREFIX, after.as_deref(), PAGE, self.now())
                .await
                .map_err(refused_by_store)?;
            for row in &page {
                let held: HeldQueue = serde_json::from_slice(&row.value).map_err(damaged)?;
                found.insert(held.queue.clone(), held);
            }
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
        }
        self.holds.change(|all| *all = found);
        Ok(())
    }
}

fn row_key(queue: &str) -> String {
    format!("{PREFIX}{queue}")
}

const PREFIX: &str = "held queue ";
/// Rows read at once.
const PAGE: usize = 1000;
