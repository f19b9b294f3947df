//! What can go wrong with the store, by who must act.

/// A failure of the store.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// A bound of the configuration would be exceeded; refuse before accepting.
    #[error("the store is full: {bound}; deliver or discard what waits, or raise the bound")]
    Full {
        /// Which bound.
        bound: String,
    },
    /// The disk is full, read-only or failing.
    #[error("the store can't write: {reason}; check the disk")]
    Disk {
        /// The engine's words.
        reason: String,
    },
    /// Written by a newer program.
    #[error("the store has schema version {found}, this program knows {known}; install the newer program")]
    Newer {
        /// In the store.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// The database that nodes share can't be reached, or is not fit to write now; it may come back by itself.
    #[error("the database is away: {reason}; it is tried again by itself")]
    Away {
        /// The engine's words.
        reason: String,
    },
    /// The connection to the database went while it was committing: the batch was carried out, or it was not. Who repeats it must
    /// be able to tell.
    #[error(
        "the database went while it was committing, and may have done so: {reason}; it is tried again by itself"
    )]
    InDoubt {
        /// The engine's words.
        reason: String,
    },
    /// The engine answers with an error.
    #[error("the store failed: {reason}")]
    Engine {
        /// The engine's words.
        reason: String,
    },
    /// A row that this program wrote can't be read back.
    #[error("a row of the store is damaged: {reason}; run `impsgw store check`")]
    Damaged {
        /// Which, and how.
        reason: String,
    },
    /// What was decided under a lease is not written, because another process holds it now.
    #[error("another process holds the lease {lease:?} now, and acts in its place")]
    Superseded {
        /// Its name.
        lease: String,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}
