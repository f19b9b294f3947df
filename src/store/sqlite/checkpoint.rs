//! Moving the write-ahead log into the database, on a thread of its own, so that no commit waits for it.
//!
//! While pages are moved the writer goes on, so under load the log rarely stands empty and still; only then does it begin
//! anew. Once it has grown far, the writer moves the little that is left by itself, between two commits.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
};

use rusqlite::Connection;

use super::{SqliteConfig, open};
use crate::store::StoreError;

/// Watches the log of the writer's connection, and has it moved.
#[derive(Debug)]
pub(super) struct Checkpointer {
    /// Pages in the log after the last commit.
    pages: Arc<AtomicU64>,
    /// Pages in it when it was last asked to be moved.
    asked: u64,
    wake: Option<mpsc::SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// Starts the thread, with a connection of its own to the writer's database.
    ///
    /// # Errors
    /// When the engine can't open it, or the system has no thread to give.
    pub(super) fn start(writer: &mut Connection, config: &SqliteConfig) -> Result<Self, StoreError> {
        let pages = Arc::new(AtomicU64::new(0));
        let told = Arc::clone(&pages);
        // In the place of the engine's own hook, which would move pages within the commit.
        writer.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: i32| {
            told.store(u64::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))?;
        let connection = open::checkpointer(&config.path, config.synchronous)?;
        let (wake, woken) = mpsc::sync_channel(1);
        let thread = thread::Builder::new()
            .name("store-log".to_owned())
            .spawn(move || {
                while woken.recv().is_ok() {
                    move_pages(&connection);
                }
            })
            .map_err(|error| StoreError::Engine {
                reason: error.to_string(),
            })?;
        Ok(Self {
            pages,
            asked: 0,
            wake: Some(wake),
            thread: Some(thread),
        })
    }

    /// Has the log moved when it has grown; called after each commit with the writer's connection.
    pub(super) fn committed(&mut self, writer: &Connection) {
        let pages = self.pages.load(Ordering::Relaxed);
        if pages < self.asked {
            self.asked = 0;
        }
        if pages < self.asked + CHECKPOINT_PAGES {
            return;
        }
        self.asked = pages;
        if pages >= LONGEST_LOG {
            move_pages(writer);
        } else if let Some(wake) = &self.wake {
            // Full: it is at work already and looks again.
            let _ = wake.try_send(());
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Moves what no reader needs in the log; waits for nobody.
fn move_pages(connection: &Connection) {
    if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
        tracing::warn!(%error, path = connection.path(), "the store's log can't be moved into its database now, and grows");
    }
}

/// Pages by which the log grows until it is moved (32 MiB).
const CHECKPOINT_PAGES: u64 = 8 * 1024;
/// Pages in the log from which on the writer itself moves them (128 MiB).
const LONGEST_LOG: u64 = 4 * CHECKPOINT_PAGES;
