//! What waited too long where no attempt comes by: behind another item of its conversation, in a held queue, held by itself,
//! or at a peer that is given less than what waits for it.
//!
//! An attempt finds by itself that its item is too late; this asks the store from time to time for what is, page by page beside
//! the traffic, and tells the senders. What is dead stays for a person, and what a worker has is the worker's.

use super::{Relay, doubt::may_have_arrived, outbox::Queued, send::refused_by_store};
use crate::{
    model::{Refusal, Timestamp},
    store::{Batch, Committed, OutboxItem, Place, Settle},
};

impl Relay {
    /// Takes out what waited too long, and tells its senders; returns how many. Called every minute; what is not too late costs
    /// nothing, however much waits.
    ///
    /// # Errors
    /// The store's words; the rest is left for the next time.
    pub async fn expire_waiting(&self) -> Result<u64, Refusal> {
        let by = Timestamp(self.now().0.saturating_sub(GRACE_MS));
        let (mut after, mut expired) = (None, 0);
        loop {
            let page = self.store.late(by, after, PAGE).await;
            let page = page.map_err(refused_by_store)?;
            let Some(last) = page.last() else {
                return Ok(expired);
            };
            after = Some((last.expires, last.id));
            for item in page.iter().filter(|item| may_expire(item)) {
                if self.expire_one(item).await? {
                    expired += 1;
                }
            }
        }
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
        Place::Scheduled { .. } | Place::Held { .. } => !may_have_arrived(item),
        Place::Leased { .. } | Place::Awaiting { .. } | Place::Dead { .. } => false,
    }
}

/// An attempt that is due at the very end finds out by itself; milliseconds.
const GRACE_MS: u64 = 30_000;
/// Items read at once.
const PAGE: usize = 500;
