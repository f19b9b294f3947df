//! A shared store with a small one beside it, for what is said while the shared one is away.
//!
//! A batch that may be carried ([`Batch::carry`]) and only sets rows is committed to a SQLite file of this node's own when the
//! database is away, and moved there once it is back. Rows of the file are found by this node alone until then. Everything else
//! fails as the database does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    Batch, Claim, Committed, Expected, HeldLease, ItemId, Lane, Leased, OutboxItem, QueueCount, QueueFilter,
    Row, Space, Store, StoreError, WorkerId,
    copy::{Portable, SpacedRow},
    sqlite::SqliteStore,
};
use crate::model::Timestamp;

/// See the module.
#[derive(Debug)]
pub struct CarriedStore {
    shared: Arc<dyn Store>,
    beside: SqliteStore,
    /// Whether the file may hold something that the database lacks.
    carries: AtomicBool,
}

impl CarriedStore {
    /// Puts a file beside a shared store; what an earlier run left in it is still to be moved.
    #[must_use]
    pub fn new(shared: Arc<dyn Store>, beside: SqliteStore) -> Self {
        Self {
            shared,
            beside,
            carries: AtomicBool::new(true),
        }
    }

    /// Moves what is carried to the database, a page at a time; returns how many rows went.
    ///
    /// # Errors
    /// When the database is still away, or an engine fails; what did not go stays carried.
    pub async fn merge(&self, now: Timestamp) -> Result<u64, StoreError> {
        if !self.carries.load(Ordering::Acquire) {
            return Ok(0);
        }
        let mut moved = 0;
        loop {
            // What comes after this look sets the flag again.
            self.carries.store(false, Ordering::Release);
            let page = self.beside.rows_as_they_are(None, PAGE).await;
            let gone = match page {
                Ok(page) if page.is_empty() => return Ok(moved),
                Ok(page) => self.move_page(page, now).await,
                Err(error) => Err(error),
            };
            self.carries.store(true, Ordering::Release);
            moved += gone?;
        }
    }

    async fn move_page(&self, page: Vec<SpacedRow>, now: Timestamp) -> Result<u64, StoreError> {
        let count = page.len() as u64;
        let (mut there, mut here) = (Batch::new(now), Batch::new(now));
        for (space, row) in page {
            let Some(space) = Space::of_number(space) else {
                continue;
            };
            there = there.put(space, row.key.clone(), row.value, row.expires);
            here = here.remove(space, row.key);
        }
        self.shared.commit(there).await?;
        self.beside.commit(here).await?;
        Ok(count)
    }

    /// Moves what is carried as soon as the database is back, for ever.
    pub async fn keep_merging(self: Arc<Self>, clock: crate::telemetry::Clock) {
        let mut tick = tokio::time::interval(BETWEEN_TRIES);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            match self.merge(clock.now()).await {
                Ok(0) => {}
                Ok(rows) => tracing::info!(rows, "what was carried while the database was away is in it now"),
                Err(error) => tracing::debug!(%error, "what is carried waits for the database"),
            }
        }
    }

    async fn carry(&self, batch: Batch) -> Result<Committed, StoreError> {
        let committed = self.beside.commit(batch).await?;
        self.carries.store(true, Ordering::Release);
        Ok(committed)
    }
}

/// Whether a batch only sets rows, whatever is there.
fn only_sets(batch: &Batch) -> bool {
    let sets = |write: &super::RowWrite| write.expected == Expected::Any && write.value.is_some();
    batch.enqueue.is_empty()
        && batch.settle.is_empty()
        && batch.due_now.is_empty()
        && !batch.all_due_now
        && batch.fences.is_empty()
        && batch.writes.iter().all(sets)
}

#[async_trait::async_trait]
impl Store for CarriedStore {
    async fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
        if !batch.carry || !only_sets(&batch) {
            return self.shared.commit(batch).await;
        }
        // While it is known to be away nobody waits to hear that again.
        if self.shared.failing().is_some() {
            return self.carry(batch).await;
        }
        match self.shared.commit(batch.clone()).await {
            Err(StoreError::Away { .. }) => self.carry(batch).await,
            other => other,
        }
    }

    async fn row(&self, space: Space, key: &str, now: Timestamp) -> Result<Option<Row>, StoreError> {
        let found = match self.shared.failing() {
            Some(reason) => Err(StoreError::Away { reason }),
            None => self.shared.row(space, key, now).await,
        };
        let is_wanting = matches!(found, Ok(None) | Err(StoreError::Away { .. }));
        if !is_wanting || !self.carries.load(Ordering::Acquire) {
            return found;
        }
        match self.beside.row(space, key, now).await? {
            Some(row) => Ok(Some(row)),
            None => found,
        }
    }

    async fn rows(
        &self,
        space: Space,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Row>, StoreError> {
        self.shared.rows(space, prefix, after, limit, now).await
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<OutboxItem>, StoreError> {
        self.shared.claim(claim).await
    }

    async fn item(&self, id: ItemId) -> Result<Option<OutboxItem>, StoreError> {
        self.shared.item(id).await
    }

    async fn items(
        &self,
        filter: &QueueFilter,
        after: Option<ItemId>,
        limit: usize,
    ) -> Result<Vec<OutboxItem>, StoreError> {
        self.shared.items(filter, after, limit).await
    }

    async fn late(
        &self,
        by: Timestamp,
        after: Option<(Timestamp, ItemId)>,
        limit: usize,
    ) -> Result<Vec<OutboxItem>, StoreError> {
        self.shared.late(by, after, limit).await
    }

    async fn counts(&self) -> Result<Vec<QueueCount>, StoreError> {
        self.shared.counts().await
    }

    async fn waiting_in(&self, conversation: &str) -> Result<Option<Lane>, StoreError> {
        if let Some(reason) = self.shared.failing() {
            return Err(StoreError::Away { reason });
        }
        self.shared.waiting_in(conversation).await
    }

    async fn lanes(&self, after: Option<&Lane>, limit: usize) -> Result<Vec<Lane>, StoreError> {
        self.shared.lanes(after, limit).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.shared.next_due().await
    }

    async fn next_due_except(&self, except_queues: &[String]) -> Result<Option<Timestamp>, StoreError> {
        self.shared.next_due_except(except_queues).await
    }

    async fn expire(&self, now: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.shared.expire(now, limit).await
    }

    async fn lease(
        &self,
        name: &str,
        by: &WorkerId,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<Leased, StoreError> {
        self.shared.lease(name, by, ttl, now).await
    }

    async fn unlease(&self, name: &str, by: &WorkerId) -> Result<(), StoreError> {
        self.shared.unlease(name, by).await
    }

    async fn leases(&self, prefix: &str, now: Timestamp) -> Result<Vec<HeldLease>, StoreError> {
        self.shared.leases(prefix, now).await
    }

    fn failing(&self) -> Option<String> {
        self.shared.failing()
    }

    fn is_shared(&self) -> bool {
        self.shared.is_shared()
    }

    async fn queued_elsewhere(&self) {
        self.shared.queued_elsewhere().await;
    }

    async fn close(&self) -> Result<(), StoreError> {
        let shared = self.shared.close().await;
        self.beside.close().await?;
        shared
    }
}

/// Rows moved at once.
const PAGE: usize = 500;
/// Between two looks at whether the database is back.
const BETWEEN_TRIES: Duration = Duration::from_secs(1);
