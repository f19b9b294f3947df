//! A store for what one process at a time may do: every batch is under the fence of its lease.
//!
//! Who wrote under the lease need not look at each answer whether it still has it: what was decided too late fails like what
//! can't be written now, and whoever holds the lease here is told. So is it of a commit that is in doubt: what the holder knows may
//! not be what is stored, and it has to read that again.

use std::sync::Arc;

use super::{
    Batch, Claim, Committed, HeldLease, ItemId, Lane, Leased, OutboxItem, QueueCount, QueueFilter, Row,
    Space, Store, StoreError, WorkerId,
};
use crate::model::Timestamp;

/// A store whose batches are under a fence.
pub struct FencedStore {
    store: Arc<dyn Store>,
    lease: String,
    fence: u64,
    unsure: Box<dyn Fn() + Send + Sync>,
}

impl FencedStore {
    /// Puts every batch under this fence of this lease; `unsure` hears it when the store has refused one for it, or may or may not
    /// have carried one out.
    pub fn new(
        store: Arc<dyn Store>,
        (lease, fence): (String, u64),
        unsure: Box<dyn Fn() + Send + Sync>,
    ) -> Self {
        Self {
            store,
            lease,
            fence,
            unsure,
        }
    }
}

impl std::fmt::Debug for FencedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FencedStore")
            .field("lease", &self.lease)
            .field("fence", &self.fence)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

#[async_trait::async_trait]
impl Store for FencedStore {
    async fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
        let committed = self.store.commit(batch.under(self.lease.as_str(), self.fence));
        match committed.await {
            Ok(Committed::Fenced(lease)) if lease == self.lease => {
                (self.unsure)();
                Err(StoreError::Superseded { lease })
            }
            Err(doubt @ StoreError::InDoubt { .. }) => {
                (self.unsure)();
                Err(doubt)
            }
            other => other,
        }
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
        ttl: std::time::Duration,
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
        self.store.failing()
    }

    async fn expire(&self, now: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.store.expire(now, limit).await
    }

    fn is_shared(&self) -> bool {
        self.store.is_shared()
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
    use std::{
        sync::atomic::{AtomicU32, Ordering},
        time::Duration,
    };

    use super::*;
    use crate::store::sqlite::SqliteStore;

    #[tokio::test]
    async fn what_was_decided_before_another_took_over_is_not_written() {
        let store: Arc<dyn Store> = Arc::new(SqliteStore::in_memory().unwrap());
        let (one, other) = (WorkerId("one".into()), WorkerId("other".into()));
        let at = Timestamp;
        let second = Duration::from_secs(1);
        let Leased::Held { fence } = store.lease("home", &one, second, at(0)).await.unwrap() else {
            panic!("it is free");
        };
        let told = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&told);
        let superseded = move || {
            count.fetch_add(1, Ordering::SeqCst);
        };
        let fenced = FencedStore::new(Arc::clone(&store), ("home".into(), fence), Box::new(superseded));
        let put = |value: &str| Batch::new(at(9)).put(Space::Meta, "k", value.as_bytes().to_vec(), None);
        // Its time is up, and nobody has taken it.
        assert_eq!(fenced.commit(put("one")).await.unwrap(), Committed::Done);
        store.lease("home", &other, second, at(5000)).await.unwrap();
        let refused = fenced.commit(put("late")).await.unwrap_err();
        assert!(matches!(refused, StoreError::Superseded { lease } if lease == "home"));
        assert_eq!(told.load(Ordering::SeqCst), 1);
        let row = fenced.row(Space::Meta, "k", at(9)).await.unwrap().unwrap();
        assert_eq!(row.value.as_ref(), b"one");
    }
}
