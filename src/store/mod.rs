//! Everything that must survive a restart: one [`Store`] trait, one conformance suite, engines below.
//!
//! Two shapes carry it all. *Rows* are opaque bytes under (space, key), changed in atomic batches with preconditions;
//! sessions, subscriptions, seen identities, references, accounts and charges are rows, and only the room that wrote
//! a row reads it. *Items* are what waits for delivery: they have a lane, a due time, a lease and a place.

mod error;
mod item;
mod row;
pub mod sqlite;
mod timed;

pub use error::StoreError;
pub use item::{
    Claim, ItemId, Lane, NewItem, OutboxItem, Place, PlaceName, Priority, QueueCount, QueueFilter, Settle,
    WorkerId,
};
pub use row::{Batch, Committed, Expected, QueueBound, Row, RowWrite, Space};

pub use timed::TimedStore;

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

    /// How many items wait in each queue and place.
    ///
    /// # Errors
    /// When the engine fails.
    async fn counts(&self) -> Result<Vec<QueueCount>, StoreError>;

    /// Whether an item of this lane waits, so that later ones must queue behind it.
    ///
    /// # Errors
    /// When the engine fails.
    async fn is_waiting(&self, lane: &Lane) -> Result<bool, StoreError>;

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

    /// Why nothing can be committed now, as far as is known without trying; `None` when nothing speaks against it.
    fn failing(&self) -> Option<String> {
        None
    }

    /// Removes rows that have expired, at most `limit`; returns how many went.
    ///
    /// # Errors
    /// When the engine fails.
    async fn expire(&self, now: Timestamp, limit: usize) -> Result<u64, StoreError>;

    /// Waits until everything accepted before is safe, then closes; later calls fail with [`StoreError::Closed`].
    ///
    /// # Errors
    /// When the engine fails to close cleanly.
    async fn close(&self) -> Result<(), StoreError>;
}
