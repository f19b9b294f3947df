//! The embedded engine: one SQLite file, one thread that writes, a few connections that read.
//!
//! The write-ahead log is flushed at every commit (`synchronous=FULL`), commits are grouped by the writer, and one
//! process at a time has the file. Time comes from the callers. Shared operation by many nodes is left to PostgreSQL.

mod apply;
mod check;
mod checkpoint;
mod claim;
mod codec;
mod config;
mod intake;
mod lease;
mod open;
mod outbox;
mod portable;
mod query;
mod readers;
mod schema;
#[cfg(test)]
mod tests;
mod writer;

pub use config::{SqliteConfig, Synchronous};

use std::{path::PathBuf, time::Duration};

use rusqlite::Connection;

use self::{
    intake::SharedIndex,
    readers::Readers,
    writer::{Job, Writer},
};
use super::{
    Batch, Claim, Committed, HeldLease, ItemId, Lane, Leased, OutboxItem, QueueCount, QueueFilter, Row,
    Space, Store, StoreError, WorkerId,
};
use crate::model::Timestamp;

/// A store in a SQLite file, or in memory.
#[derive(Debug)]
pub struct SqliteStore {
    /// First, so that it is dropped, and its thread has ended, before anything else.
    writer: Writer,
    /// `None` in memory, where the writer's connection is the only one.
    readers: Option<Readers>,
    index: SharedIndex,
}

impl SqliteStore {
    /// Opens the store, makes it when it is missing, and brings its tables up to date. Blocks on the disk.
    ///
    /// # Errors
    /// [`StoreError::Newer`] when a newer program wrote it, [`StoreError::Engine`] when another process has it,
    /// [`StoreError::Disk`] when the file can't be made or written.
    pub fn open(config: &SqliteConfig) -> Result<Self, StoreError> {
        open::prepare(&config.path)?;
        let lock = open::lock(&config.path)?;
        let mut connection = open::writer(&config.path, config.synchronous)?;
        schema::migrate(&mut connection)?;
        let index = SharedIndex::default();
        Ok(Self {
            writer: Writer::start(connection, Some(lock), config, index.clone())?,
            readers: Some(Readers::new(config.path.clone(), config.readers)),
            index,
        })
    }

    /// A store that is gone when it is dropped; for tests and trials.
    ///
    /// # Errors
    /// [`StoreError::Engine`] when there is no memory.
    pub fn in_memory() -> Result<Self, StoreError> {
        Self::in_memory_with(&SqliteConfig::new(PathBuf::new()))
    }

    /// As [`SqliteStore::in_memory`], with the bounds of a configuration; its path is not used.
    ///
    /// # Errors
    /// [`StoreError::Engine`] when there is no memory.
    pub fn in_memory_with(config: &SqliteConfig) -> Result<Self, StoreError> {
        let mut connection = open::memory()?;
        schema::migrate(&mut connection)?;
        let index = SharedIndex::default();
        Ok(Self {
            writer: Writer::start(connection, None, config, index.clone())?,
            readers: None,
            index,
        })
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let in_transaction = move |connection: &Connection| {
            let transaction = connection.unchecked_transaction()?;
            work(&transaction)
        };
        match &self.readers {
            Some(readers) => readers.read(in_transaction).await,
            None => {
                self.writer
                    .aside(move |connection| in_transaction(connection))
                    .await
            }
        }
    }
}

#[async_trait::async_trait]
impl Store for SqliteStore {
    async fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
        self.writer.ask(|reply| Job::Commit(batch, reply)).await
    }

    async fn row(&self, space: Space, key: &str, now: Timestamp) -> Result<Option<Row>, StoreError> {
        let key = key.to_owned();
        self.read(move |connection| query::row(connection, space, &key, now))
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
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        self.read(move |connection| query::rows(connection, space, &prefix, after.as_deref(), limit, now))
            .await
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<OutboxItem>, StoreError> {
        self.writer.ask(|reply| Job::Claim(claim, reply)).await
    }

    async fn item(&self, id: ItemId) -> Result<Option<OutboxItem>, StoreError> {
        self.read(move |connection| query::item(connection, id)).await
    }

    async fn items(
        &self,
        filter: &QueueFilter,
        after: Option<ItemId>,
        limit: usize,
    ) -> Result<Vec<OutboxItem>, StoreError> {
        let filter = filter.clone();
        let arrived = filter
            .label
            .as_ref()
            .map(|label| self.index.lock().labelled(label));
        let arrived = arrived.unwrap_or_default();
        self.read(move |connection| query::items(connection, &filter, &arrived, after, limit))
            .await
    }

    async fn late(
        &self,
        by: Timestamp,
        after: Option<(Timestamp, ItemId)>,
        limit: usize,
    ) -> Result<Vec<OutboxItem>, StoreError> {
        let after = after.map_or((0, 0), |(expires, id)| (codec::ticks(expires), codec::key(id)));
        let arrived = self.index.lock().late(codec::ticks(by), after, limit);
        self.read(move |connection| query::late(connection, &arrived, (by, after), limit))
            .await
    }

    async fn counts(&self) -> Result<Vec<QueueCount>, StoreError> {
        self.read(query::counts).await
    }

    async fn waiting_in(&self, conversation: &str) -> Result<Option<Lane>, StoreError> {
        let conversation = conversation.to_owned();
        let arrived = self.index.lock().waiting_in(&conversation).map(str::to_owned);
        if let Some(queue) = arrived {
            return Ok(Some(Lane { queue, conversation }));
        }
        self.read(move |connection| query::waiting_in(connection, conversation))
            .await
    }

    async fn lanes(&self, after: Option<&Lane>, limit: usize) -> Result<Vec<Lane>, StoreError> {
        let after = after.cloned();
        self.read(move |connection| query::lanes(connection, after, limit))
            .await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.next_due_except(&[]).await
    }

    async fn next_due_except(&self, except_queues: &[String]) -> Result<Option<Timestamp>, StoreError> {
        let except = except_queues.to_vec();
        let arrived = self.index.lock().next_due(&except);
        self.read(move |connection| claim::next_due(connection, arrived, &except))
            .await
    }

    async fn lease(
        &self,
        name: &str,
        by: &WorkerId,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<Leased, StoreError> {
        let (name, by) = (name.to_owned(), by.clone());
        let wish = lease::Wish { name, by, ttl, now };
        self.writer.ask(|reply| Job::Lease(wish, reply)).await
    }

    async fn unlease(&self, name: &str, by: &WorkerId) -> Result<(), StoreError> {
        let (name, by) = (name.to_owned(), by.clone());
        self.writer.ask(|reply| Job::Unlease(name, by, reply)).await
    }

    async fn leases(&self, prefix: &str, now: Timestamp) -> Result<Vec<HeldLease>, StoreError> {
        let prefix = prefix.to_owned();
        self.read(move |connection| lease::held(connection, &prefix, now))
            .await
    }

    async fn expire(&self, now: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.writer.ask(|reply| Job::Expire(now, limit, reply)).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        // Readers first: the connection that closes last moves the log into the database.
        if let Some(readers) = &self.readers {
            readers.close().await;
        }
        self.writer.ask(Job::Close).await
    }
}
