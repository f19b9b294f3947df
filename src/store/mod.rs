//! Everything that must survive a restart: one [`Store`] trait, one conformance suite, engines below.
//!
//! Two shapes carry it all. *Rows* are opaque bytes under (space, key), changed in atomic batches with preconditions;
//! sessions, subscriptions, seen identities, references, accounts and charges are rows, and only the room that wrote
//! a row reads it. *Items* are what waits for delivery: they have a lane, a due time, a lease and a place. Beside them
//! *leases* by name say which one of many nodes acts, and fence what it writes.
//!
//! `sqlite/` is the embedded engine, for one node; `postgres/` is the one that any number of nodes share.

mod carried;
mod columns;
pub mod copy;
mod error;
mod fenced;
mod item;
mod lane;
mod lease;
pub mod postgres;
mod row;
pub mod sqlite;
mod tally;
mod timed;

pub use carried::CarriedStore;
pub use error::StoreError;
pub use fenced::FencedStore;
pub use item::{
    Claim, ItemId, Lane, NewItem, OutboxItem, Place, PlaceName, Priority, QueueCount, QueueFilter, Settle,
    WorkerId,
};
pub use lane::front;
pub use lease::{HeldLease, Lease, Leased};
pub use row::{Batch, Committed, Expected, ORDERS, QueueBound, Row, RowWrite, Space};

pub use timed::TimedStore;

use std::time::Duration;

use crate::model::Timestamp;

/// Everything that must survive.
///
/// A batch that returned `Ok(Committed::Done)` survives the loss of power. Engines group commits, so concurrent
/// callers share one flush.
#[async_trait::async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Carries out a batch, all of it or nothing.
    ///
    /// # Errors
    /// [`StoreError::Full`] before anything is written when a bound would be exceeded; the others when the engine fails.
    ///
    /// # Cancel safety
    /// The batch may or may not have been carried out when the future is dropped.
    async fn commit(&self, batch: Batch) -> Result<Committed, StoreError>;

    /// One row, unless it has expired by `now`.
    ///
    /// # Errors
    /// When the engine fails.
    async fn row(&self, space: Space, key: &str, now: Timestamp) -> Result<Option<Row>, StoreError>;

    /// Rows whose key begins with `prefix`, in key order, after the key `after`, at most `limit`.
    ///
    /// # Errors
    /// When the engine fails.
    async fn rows(
        &self,
        space: Space,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Row>, StoreError>;

    /// Leases due items to a worker: interactive before notices, then what was due first, at most one unsettled item a
    /// lane, so that order within a lane holds. Due are scheduled items, items whose lease has ended, and awaiting ones
    /// that nobody answered in time (those say so: [`OutboxItem::unanswered`]).
    ///
    /// An item waits behind an older one of its lane wherever that stands, unless it is dead. A lease that has ended is
    /// good until another worker takes the item over.
    ///
    /// # Errors
    /// When the engine fails.
    async fn claim(&self, claim: Claim) -> Result<Vec<OutboxItem>, StoreError>;

    /// One item, wherever it is.
    ///
    /// # Errors
    /// When the engine fails.
    async fn item(&self, id: ItemId) -> Result<Option<OutboxItem>, StoreError>;

    /// Items that match, oldest first, after the item `after`, at most `limit`.
    ///
    /// # Errors
    /// When the engine fails.
    async fn items(
        &self,
        filter: &QueueFilter,
        after: Option<ItemId>,
        limit: usize,
    ) -> Result<Vec<OutboxItem>, StoreError>;

    /// Items that are not dead and too late by then, in the order of their expiry, after this one, at most `limit`.
    ///
    /// # Errors
    /// When the engine fails.
    async fn late(
        &self,
        by: Timestamp,
        after: Option<(Timestamp, ItemId)>,
        limit: usize,
    ) -> Result<Vec<OutboxItem>, StoreError>;

    /// How many items wait in each queue and place.
    ///
    /// # Errors
    /// When the engine fails.
    async fn counts(&self) -> Result<Vec<QueueCount>, StoreError>;

    /// A lane in which something of this conversation waits, so that later ones must queue behind it; dead items don't count.
    ///
    /// # Errors
    /// When the engine fails.
    async fn waiting_in(&self, conversation: &str) -> Result<Option<Lane>, StoreError>;

    /// The lanes in which something waits, by conversation and queue, after this one, at most `limit`.
    ///
    /// # Errors
    /// When the engine fails.
    async fn lanes(&self, after: Option<&Lane>, limit: usize) -> Result<Vec<Lane>, StoreError>;

    /// When a claim can next find something, so that a worker can sleep until then: the first due time, end of a lease
    /// or end of awaiting at the front of any lane.
    ///
    /// # Errors
    /// When the engine fails.
    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError>;

    /// As [`Store::next_due`], leaving out queues that take nothing now, so that what is due in them doesn't wake a
    /// worker again and again.
    ///
    /// # Errors
    /// When the engine fails.
    async fn next_due_except(&self, except_queues: &[String]) -> Result<Option<Timestamp>, StoreError> {
        let _ = except_queues;
        self.next_due().await
    }

    /// Takes a lease by name, or renews it for who holds it, for so long from now, in one atomic step: of all who ask at
    /// once one gets it. An engine that many nodes share goes by its own clock and not by `now`.
    ///
    /// # Errors
    /// When the engine fails; the lease may have been taken all the same.
    ///
    /// # Cancel safety
    /// The lease may or may not have been taken when the future is dropped.
    async fn lease(
        &self,
        name: &str,
        by: &WorkerId,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<Leased, StoreError>;

    /// Gives a lease up, so that others need not wait for its end; no harm when this one doesn't hold it. What was
    /// decided under it may be written until somebody takes it.
    ///
    /// # Errors
    /// When the engine fails; the lease ends by the clock then.
    async fn unlease(&self, name: &str, by: &WorkerId) -> Result<(), StoreError>;

    /// The leases that somebody holds now and whose name begins with `prefix`, by name.
    ///
    /// # Errors
    /// When the engine fails.
    async fn leases(&self, prefix: &str, now: Timestamp) -> Result<Vec<HeldLease>, StoreError>;

    /// Why nothing can be committed now, as far as is known without trying; `None` when nothing speaks against it.
    fn failing(&self) -> Option<String> {
        None
    }

    /// Removes rows that have expired, at most `limit`; returns how many went.
    ///
    /// # Errors
    /// When the engine fails.
    async fn expire(&self, now: Timestamp, limit: usize) -> Result<u64, StoreError>;

    /// Whether other nodes may write to it, so that nothing that is read of it can be kept.
    fn is_shared(&self) -> bool {
        false
    }

    /// Returns when another node may have queued something, so that a worker that has nothing to do looks again; never where there
    /// are no other nodes.
    async fn queued_elsewhere(&self) {
        std::future::pending().await
    }

    /// Waits until everything accepted before is safe, then closes; later calls fail with [`StoreError::Closed`].
    ///
    /// # Errors
    /// When the engine fails to close cleanly.
    async fn close(&self) -> Result<(), StoreError>;
}

/// What a check found.
#[derive(Clone, Debug, Default, Eq, PartialEq, serde::Serialize)]
pub struct Checked {
    /// How many rows there are.
    pub rows: u64,
    /// How many items there are.
    pub items: u64,
    /// What is wrong, in words; empty when the store is sound.
    pub faults: Vec<String>,
}
