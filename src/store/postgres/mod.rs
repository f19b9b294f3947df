//! The shared engine: one PostgreSQL database for any number of nodes.
//!
//! Nothing is kept here but connections and an estimate of how long the queues are: whatever a node knows, it asks the database.
//! Leases end by the database's clock. Transactions that were in one another's way are done again, and a database that fails over is
//! waited for, within bounds. What the statements lean on is in docs/decisions/0007-postgresql.md.

mod apply;
mod check;
mod claim;
mod codec;
mod config;
mod error;
mod lease;
mod outbox;
mod pipe;
mod pool;
mod portable;
mod query;
mod rows;
mod schema;
mod shared;

pub use config::{LeaseTime, PostgresConfig, Wake};

use std::{sync::Arc, time::Duration};

use tokio::task::AbortHandle;

use self::{lease::Wish, pool::Connections, query::Page, shared::Shared};
use super::{
    Batch, Checked, Claim, Committed, HeldLease, ItemId, Lane, Leased, OutboxItem, QueueCount, QueueFilter,
    Row, Space, Store, StoreError, WorkerId,
};
use crate::model::Timestamp;

/// A store in a PostgreSQL database that other nodes may share.
#[derive(Debug)]
pub struct PostgresStore {
    connections: Connections,
    shared: Arc<Shared>,
    /// What counts, listens and tells; ends with the store.
    tasks: Vec<AbortHandle>,
    time: LeaseTime,
}

impl PostgresStore {
    /// Connects, and brings the tables up to date, or makes them.
    ///
    /// # Errors
    /// [`StoreError::Newer`] when a newer program made the tables, [`StoreError::Away`] when the database can't be reached,
    /// [`StoreError::Engine`] when it refuses us.
    pub async fn open(config: &PostgresConfig) -> Result<Self, StoreError> {
        let connections = Connections::new(config)?;
        connections
            .run(|connection| async move { schema::migrate(&connection).await })
            .await?;
        let (shared, tasks) = Shared::start(config, connections.clone()).await?;
        Ok(Self {
            connections,
            shared,
            tasks,
            time: config.time.clone(),
        })
    }

    /// As [`PostgresStore::open`], for looking at a store that nodes may be using: the tables must be of this program's version, and
    /// are not changed.
    ///
    /// # Errors
    /// As there; [`StoreError::Engine`] when there are no tables, or older ones.
    pub async fn beside(config: &PostgresConfig) -> Result<Self, StoreError> {
        let connections = Connections::new(config)?;
        connections
            .run(|connection| async move { schema::verify(&connection).await })
            .await?;
        let shared = Shared::alone(config);
        Ok(Self {
            connections,
            shared: Arc::new(shared),
            tasks: Vec::new(),
            time: config.time.clone(),
        })
    }

    /// Whether a database answers there that takes writes; it is left as it is.
    ///
    /// # Errors
    /// [`StoreError::Away`] when it can't be reached, [`StoreError::Engine`] when it refuses us.
    pub async fn reach(config: &PostgresConfig) -> Result<(), StoreError> {
        Connections::new(config)?
            .run(|connection| async move { Ok(connection.batch_execute("SELECT 1").await?) })
            .await
    }

    /// Reads everything and compares it: what the outbox must keep true. Nodes go on meanwhile.
    ///
    /// # Errors
    /// When the engine fails; damage is a finding and not an error.
    pub async fn check(&self) -> Result<Checked, StoreError> {
        self.connections
            .run(|connection| async move { check::check(&connection).await })
            .await
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

#[async_trait::async_trait]
impl Store for PostgresStore {
    async fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
        if batch.is_empty() {
            return if self.connections.is_closed() {
                Err(StoreError::Closed)
            } else {
                Ok(Committed::Done)
            };
        }
        let (batch, shared) = (Arc::new(batch), Arc::clone(&self.shared));
        let queues_work = !batch.enqueue.is_empty() || !batch.due_now.is_empty();
        let committed = self
            .connections
            .run(move |connection| {
                let (batch, shared) = (Arc::clone(&batch), Arc::clone(&shared));
                async move { apply::apply(&connection, &batch, &shared).await }
            })
            .await?;
        if queues_work {
            self.shared.tell_others();
        }
        Ok(committed)
    }

    async fn row(&self, space: Space, key: &str, now: Timestamp) -> Result<Option<Row>, StoreError> {
        let key = key.to_owned();
        self.connections
            .run(move |connection| {
                let key = key.clone();
                async move { query::row(&connection, space, key, now).await }
            })
            .await
    }

    async fn rows(
        &self,
        space: Space,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Row>, StoreError> {
        let page = Page {
            space,
            prefix: prefix.to_owned(),
            after: after.map(str::to_owned),
            limit,
            now,
        };
        self.connections
            .run(move |connection| {
                let page = page.clone();
                async move { query::rows(&connection, page).await }
            })
            .await
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<OutboxItem>, StoreError> {
        let time = self.time.clone();
        self.connections
            .run(move |connection| {
                let (claim, time) = (claim.clone(), time.clone());
                async move { claim::claim(&connection, claim, &time).await }
            })
            .await
    }

    async fn item(&self, id: ItemId) -> Result<Option<OutboxItem>, StoreError> {
        self.connections
            .run(move |connection| async move { query::item(&connection, id).await })
            .await
    }

    async fn items(
        &self,
        filter: &QueueFilter,
        after: Option<ItemId>,
        limit: usize,
    ) -> Result<Vec<OutboxItem>, StoreError> {
        let filter = filter.clone();
        self.connections
            .run(move |connection| {
                let filter = filter.clone();
                async move { query::items(&connection, filter, after, limit).await }
            })
            .await
    }

    async fn late(
        &self,
        by: Timestamp,
        after: Option<(Timestamp, ItemId)>,
        limit: usize,
    ) -> Result<Vec<OutboxItem>, StoreError> {
        self.connections
            .run(move |connection| async move { query::late(&connection, by, after, limit).await })
            .await
    }

    async fn counts(&self) -> Result<Vec<QueueCount>, StoreError> {
        self.connections
            .run(|connection| async move { query::counts(&connection).await })
            .await
    }

    async fn waiting_in(&self, conversation: &str) -> Result<Option<Lane>, StoreError> {
        let conversation = conversation.to_owned();
        self.connections
            .run(move |connection| {
                let conversation = conversation.clone();
                async move { query::waiting_in(&connection, conversation).await }
            })
            .await
    }

    async fn lanes(&self, after: Option<&Lane>, limit: usize) -> Result<Vec<Lane>, StoreError> {
        let after = after.cloned();
        self.connections
            .run(move |connection| {
                let after = after.clone();
                async move { query::lanes(&connection, after, limit).await }
            })
            .await
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.next_due_except(&[]).await
    }

    async fn next_due_except(&self, except_queues: &[String]) -> Result<Option<Timestamp>, StoreError> {
        let (except, time) = (except_queues.to_vec(), self.time.clone());
        self.connections
            .run(move |connection| {
                let (except, time) = (except.clone(), time.clone());
                async move { claim::next_due(&connection, except, &time).await }
            })
            .await
    }

    async fn expire(&self, now: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.connections
            .run(move |connection| async move {
                let gone = pipe::step!(rows::EXPIRE, codec::ticks(now), codec::limit(limit));
                Ok(pipe::send(&connection, &[gone]).await?.into_iter().sum())
            })
            .await
    }

    async fn lease(
        &self,
        name: &str,
        by: &WorkerId,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<Leased, StoreError> {
        let wish = Wish {
            name: name.to_owned(),
            by: by.clone(),
            ttl,
            now,
        };
        let time = self.time.clone();
        self.connections
            .run(move |connection| {
                let (wish, time) = (wish.clone(), time.clone());
                async move { lease::take(&connection, wish, &time).await }
            })
            .await
    }

    async fn unlease(&self, name: &str, by: &WorkerId) -> Result<(), StoreError> {
        let (name, by) = (name.to_owned(), by.clone());
        self.connections
            .run(move |connection| {
                let (name, by) = (name.clone(), by.clone());
                async move { lease::give_up(&connection, name, by).await }
            })
            .await
    }

    async fn leases(&self, prefix: &str, now: Timestamp) -> Result<Vec<HeldLease>, StoreError> {
        let (prefix, time) = (prefix.to_owned(), self.time.clone());
        self.connections
            .run(move |connection| {
                let (prefix, time) = (prefix.clone(), time.clone());
                async move { lease::held(&connection, prefix, now, &time).await }
            })
            .await
    }

    async fn queued_elsewhere(&self) {
        self.shared.queued_elsewhere().await;
    }

    async fn close(&self) -> Result<(), StoreError> {
        if self.connections.is_closed() {
            return Err(StoreError::Closed);
        }
        self.tasks.iter().for_each(AbortHandle::abort);
        self.connections.close().await;
        Ok(())
    }
}
