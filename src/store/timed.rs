//! A store whose commits are timed and counted, because every accepted message waits for one.
//!
//! Everything else goes through as it is.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Batch, Claim, Committed, HeldLease, ItemId, Lane, Leased, OutboxItem, QueueCount, QueueFilter, Row,
    Space, Store, StoreError, WorkerId,
};
use crate::{model::Timestamp, telemetry::Metrics};

/// A store whose commits are seen in [`crate::telemetry::Metrics`].
#[derive(Debug)]
pub struct TimedStore {
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
}

impl TimedStore {
    /// Times the commits of a store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, metrics: Arc<Metrics>) -> Self {
        Self { store, metrics }
    }
}

#[async_trait::async_trait]
impl Store for TimedStore {
    async fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
        let began = Instant::now();
        let committed = self.store.commit(batch).await;
        self.metrics.commit(began.elapsed(), committed.is_ok());
        match &committed {
            Ok(_)
            | Err(
                StoreError::Newer { .. }
                | StoreError::Damaged { .. }
                | StoreError::Superseded { .. }
                | StoreError::Closed,
            ) => {}
            Err(StoreError::Full { .. }) => self.metrics.store_full(),
            Err(
                error @ (StoreError::Disk { .. }
                | StoreError::Away { .. }
                | StoreError::InDoubt { .. }
                | StoreError::Engine { .. }),
            ) => {
                if self.metrics.store_health().failed(&error.to_string()) {
                    tracing::error!(%error, "nothing that needs the store is accepted until it can be written again");
                }
            }
        }
        committed
    }

    async fn row(&self, space: Space, key: &str, now: Timestamp) -> Result<Option<Row>, StoreError> {
        self.store.row(space, key, now).await
    }

    async fn rows(
        &self,
        space: Space,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Row>, StoreError> {
        self.store.rows(space, prefix, after, limit, now).await
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<OutboxItem>, StoreError> {
        self.store.claim(claim).await
    }

    async fn item(&self, id: ItemId) -> Result<Option<OutboxItem>, StoreError> {
        self.store.item(id).await
    }

    async fn items(
        &self,
        filter: &QueueFilter,
        after: Option<ItemId>,
        limit: usize,
    ) -> Result<Vec<OutboxItem>, StoreError> {
        self.store.items(filter, after, limit).await
    }

    async fn late(
        &self,
        by: Timestamp,
        after: Option<(Timestamp, ItemId)>,
        limit: usize,
    ) -> Result<Vec<OutboxItem>, StoreError> {
        self.store.late(by, after, limit).await
    }

    async fn counts(&self) -> Result<Vec<QueueCount>, StoreError> {
        self.store.counts().await
    }

    async fn waiting_in(&self, conversation: &str) -> Result<Option<Lane>, StoreError> {
        self.store.waiting_in(conversation).await
    }

    async fn lanes(&self, after: Option<&Lane>, limit: usize) -> Result<Vec<Lane>, StoreError> {
        self.store.lanes(after, limit).await
    }

    fn is_shared(&self) -> bool {
        self.store.is_shared()
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.store.next_due().await
    }

    async fn next_due_except(&self, except_queues: &[String]) -> Result<Option<Timestamp>, StoreError> {
        self.store.next_due_except(except_queues).await
    }

    async fn lease(
        &self,
        name: &str,
        by: &WorkerId,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<Leased, StoreError> {
        self.store.lease(name, by, ttl, now).await
    }

    async fn unlease(&self, name: &str, by: &WorkerId) -> Result<(), StoreError> {
        self.store.unlease(name, by).await
    }

    async fn leases(&self, prefix: &str, now: Timestamp) -> Result<Vec<HeldLease>, StoreError> {
        self.store.leases(prefix, now).await
    }

    fn failing(&self) -> Option<String> {
        self.metrics.store_health().failing()
    }

    async fn expire(&self, now: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.store.expire(now, limit).await
    }

    async fn queued_elsewhere(&self) {
        self.store.queued_elsewhere().await;
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.store.close().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::SqliteStore;

    #[tokio::test]
    async fn commits_are_counted_by_outcome() {
        let metrics = Arc::new(Metrics::new());
        let store = TimedStore::new(Arc::new(SqliteStore::in_memory().unwrap()), Arc::clone(&metrics));
        let batch = || Batch::new(Timestamp(1)).put(Space::Meta, "key", vec![1], None);
        store.commit(batch()).await.unwrap();
        store.close().await.unwrap();
        store.commit(batch()).await.unwrap_err();
        let text = metrics.text();
        for outcome in ["done", "failed"] {
            let line = format!("impsgw_store_commit_seconds_count{{outcome=\"{outcome}\"}} 1");
            assert!(text.contains(&line), "{text}");
        }
    }
}
