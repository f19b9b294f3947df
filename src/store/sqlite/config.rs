//! Settings of the SQLite engine: where the file is, how careful commits are, and the bounds that refuse before the
//! disk does.

use std::path::PathBuf;

/// How a store in a SQLite file is opened.
#[derive(Clone, Debug)]
pub struct SqliteConfig {
    /// The database file; beside it stand `-wal`, `-shm` and `.lock`. Missing directories are made with mode 0700, the
    /// file with 0600, because it holds message bodies and addresses.
    pub path: PathBuf,
    /// Bytes of the database in use (the write-ahead log not counted) beyond which growing batches are refused, so
    /// that the disk keeps room for what is already promised. Batches that settle items and queue none may exceed it:
    /// they are how a full store empties. `None`: only the disk bounds it.
    pub max_bytes: Option<u64>,
    /// Items of all queues, dead ones included, beyond which no more are queued; `None`: no bound.
    pub max_items: Option<u64>,
    /// Items of one queue, dead ones included, so that one unreachable peer can't take the room of all.
    pub max_items_per_queue: Option<u64>,
    /// What a commit waits for.
    pub synchronous: Synchronous,
    /// Connections for reading beside the writer; each holds up to 4 MiB of cache. At least 1.
    pub readers: usize,
    /// Items that may stand where they arrived, in a table without indexes; about 400 bytes of memory each. None: all are indexed at once.
    pub intake: usize,
    /// Batches that may wait for the writer; callers beyond it wait before they hand theirs in. At least 1.
    pub queued_batches: usize,
}

/// What a commit waits for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Synchronous {
    /// The disk: an answered batch survives the loss of power.
    #[default]
    Full,
    /// The operating system: a loss of power may lose the last answered batches, never the order or the file; a crash
    /// of the process alone loses nothing. For `journal = "async"`.
    Normal,
    /// Nothing: a loss of power may damage the file. Tests only.
    Off,
}

impl SqliteConfig {
    /// A careful store at this path, without bounds.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            max_bytes: None,
            max_items: None,
            max_items_per_queue: None,
            synchronous: Synchronous::Full,
            readers: 4,
            intake: 65_536,
            queued_batches: 1024,
        }
    }
}

impl Synchronous {
    /// The word of `PRAGMA synchronous`.
    pub(super) fn pragma(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Normal => "NORMAL",
            Self::Off => "OFF",
        }
    }
}
