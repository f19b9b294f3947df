//! Bounds and disks: what is refused before it is accepted, with which code, and that nothing accepted is lost over it.
//!
//! `stage.rs` runs a gateway as a process of its own between two operators; `bounds.rs` fills its queues and its store,
//! `disk.rs` its disk, which is a small file system in memory, and `failing.rs` puts a library between it and a disk that is
//! read-only, slow, or fails to keep what it was told.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]
#![expect(
    clippy::disallowed_methods,
    reason = "deadlines are for a process of its own, which has its own clock"
)]

mod bounds;
mod disk;
mod failing;
mod stage;

use crate::ledger::side;
