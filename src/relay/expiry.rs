//! What waited too long where no attempt comes by: behind another item of its conversation, in a held queue, held by itself,
//! or at a peer that is given less than what waits for it.
//!
//! An attempt finds by itself that its item is too late; this looks through the rest from time to time, page by page beside
//! the traffic, and tells the senders. What is dead stays for a person, and what a worker has is the worker's.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::{Relay, outbox::Queued, send::refused_by_store};
use crate::{
    model::Refusal,
    store::{Batch, Committed, OutboxItem, Place, QueueFilter, Settle},
};

/// When it is looked through next, in milliseconds since the epoch.
#[derive(Debug, Default)]
pub(super) struct Sweep(AtomicU64);

impl Relay {
    /// Takes out what waited too long, and tells its senders; returns how many. Called every minute, it looks when something
    /// that it saw the last time may have become too late, and every ten minutes.
    ///
    /// # Errors
    /// The store's words; the rest is left for the next time.
    pub async fn expire_waiting(&self) -> Result<u64, Refusal> {
        let now = self.now();
        if now.0 < self.sweep.0.load(Ordering::Relaxed) {
            return Ok(0);
        }
        let (mut after, mut expired, mut is_empty) = (None, 0, true);
        let mut next = now.plus(LONGEST_PAUSE);
        loop {
            let page = self.store.items(&QueueFilter::default(), after, PAGE).await;
            let page = page.map_err(refused_by_store)?;
            let Some(last) = page.last() else { break };
            (after, is_empty) = (Some(last.id), false);
            for item in page.iter().filter(|item| may_expire(item)) {
                let is_late = item.expires.plus(GRACE) <= now;
                if is_late && self.expire_one(item).await? {
                    expired += 1;
                } else if item.expires > now {
                    next = next.min(item.expires.plus(GRACE));
                }
            }
        }
        // Where nothing waits it costs nothing to look again.
        if !is_empty {
            self.sweep.0.store(next.0, Ordering::Relaxed);
        }
        Ok(expired)
    }

    /// `false` when it moved meanwhile.
    async fn expire_one(&self, item: &OutboxItem) -> Result<bool, Refusal> {
        let mut batch = Batch::new(self.now()).settle(item.id, Settle::Discard);
        if let Ok(queued) = serde_json::from_slice::<Queued>(&item.body) {
            batch
                .enqueue
                .extend(self.failed_report(&queued, Refusal::Expired));
        }
        let committed = self.store.commit(batch).await.map_err(refused_by_store)?;
        let is_done = committed == Committed::Done;
        if is_done {
            self.wake.notify_one();
        }
        Ok(is_done)
    }
}

/// Whether its being late is known for certain to mean that it was not delivered.
fn may_expire(item: &OutboxItem) -> bool {
    match item.place {
        Place::Scheduled { .. } | Place::Held { .. } => !item.unanswered,
        Place::Leased { .. } | Place::Awaiting { .. } | Place::Dead { .. } => false,
    }
}

/// An attempt that is due at the very end finds out by itself.
const GRACE: Duration = Duration::from_secs(30);
/// It is looked through at least this often while something waits.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// Items read at once.
const PAGE: usize = 500;
