//! A store that a node can be cut off from.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use impsgw::{
    model::Timestamp,
    store::{
        Batch, Claim, Committed, HeldLease, ItemId, Lane, Leased, OutboxItem, QueueCount, QueueFilter, Row,
        Space, Store, StoreError, WorkerId,
    },
};

/// Fails while it is cut, as a database does that can't be reached.
#[derive(Debug)]
pub(super) struct Cut {
    store: Arc<dyn Store>,
    is_cut: AtomicBool,
    /// Batches that are carried out, and of which that can't be told: one of each kind.
    doubts: Mutex<Vec<Doubt>>,
}

/// Which batch comes into doubt.
pub(super) type Doubt = fn(&Batch) -> bool;

impl Cut {
    pub(super) fn new(store: Arc<dyn Store>) -> Arc<Self> {
        let is_cut = AtomicBool::new(false);
        Arc::new(Self {
            store,
            is_cut,
            doubts: Mutex::default(),
        })
    }

    /// Brings the next batch of each kind into doubt.
    pub(super) fn doubt(&self, kinds: &[Doubt]) {
        self.doubts.lock().unwrap().extend(kinds);
    }

    /// How many are still to come.
    pub(super) fn doubts(&self) -> usize {
        self.doubts.lock().unwrap().len()
    }

    fn comes_into_doubt(&self, batch: &Batch) -> bool {
        let mut doubts = self.doubts.lock().unwrap();
        let meant = doubts.iter().position(|is_meant| is_meant(batch));
        meant.map(|kind| doubts.remove(kind)).is_some()
    }

    pub(super) fn cut(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::SeqCst);
    }

    fn store(&self) -> Result<&dyn Store, StoreError> {
        if self.is_cut.load(Ordering::SeqCst) {
            let reason = "the test has cut it off".to_owned();
            return Err(StoreError::Away { reason });
        }
        Ok(&*self.store)
    }
}

#[async_trait::async_trait]
impl Store for Cut {
    async fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
        let is_in_doubt = self.comes_into_doubt(&batch);
        let committed = self.store()?.commit(batch).await?;
        if is_in_doubt {
            let reason = "the test has cut the connection".to_owned();
            return Err(StoreError::InDoubt { reason });
        }
        Ok(committed)
    }

    async fn row(&self, space: Space, key: &str, now: Timestamp) -> Result<Option<Row>, StoreError> {
        self.store()?.row(space, key, now).await
    }

    async fn rows(
        &self,
        space: Space,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Row>, StoreError> {
        self.store()?.rows(space, prefix, after, limit, now).await
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<OutboxItem>, StoreError> {
        self.store()?.claim(claim).await
    }

    async fn item(&self, id: ItemId) -> Result<Option<OutboxItem>, StoreError> {
        self.store()?.item(id).await
    }

    async fn items(
        &self,
        filter: &QueueFilter,
        after: Option<ItemId>,
        limit: usize,
    ) -> Result<Vec<OutboxItem>, StoreError> {
        self.store()?.items(filter, after, limit).await
    }

    async fn late(
        &self,
        by: Timestamp,
        after: Option<(Timestamp, ItemId)>,
        limit: usize,
    ) -> Result<Vec<OutboxItem>, StoreError> {
        self.store()?.late(by, after, limit).await
    }

    async fn counts(&self) -> Result<Vec<QueueCount>, StoreError> {
        self.store()?.counts().await
    }

    async fn waiting_in(&self, conversation: &str) -> Result<Option<Lane>, StoreError> {
        self.store()?.waiting_in(conversation).await
    }

    async fn lanes(&self, after: Option<&Lane>, limit: usize) -> Result<Vec<Lane>, StoreError> {
        self.store()?.lanes(after, limit).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.store()?.next_due().await
    }

    async fn next_due_except(&self, except_queues: &[String]) -> Result<Option<Timestamp>, StoreError> {
        self.store()?.next_due_except(except_queues).await
    }

    async fn lease(
        &self,
        name: &str,
        by: &WorkerId,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<Leased, StoreError> {
        self.store()?.lease(name, by, ttl, now).await
    }

    async fn unlease(&self, name: &str, by: &WorkerId) -> Result<(), StoreError> {
        self.store()?.unlease(name, by).await
    }

    async fn leases(&self, prefix: &str, now: Timestamp) -> Result<Vec<HeldLease>, StoreError> {
        self.store()?.leases(prefix, now).await
    }

    async fn expire(&self, now: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.store()?.expire(now, limit).await
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
