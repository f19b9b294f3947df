//! Connections that read beside the writer, on the runtime's blocking threads.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::open;
use crate::store::StoreError;

/// A small pool; a connection is opened when it is first needed and kept.
#[derive(Clone, Debug)]
pub(super) struct Readers(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    path: PathBuf,
    size: u32,
    /// One permit a connection; closed with the store.
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// A pool of at most so many connections.
    pub(super) fn new(path: PathBuf, size: usize) -> Self {
        let size = u32::try_from(size.max(1)).unwrap_or(u32::MAX);
        Self(Arc::new(Pool {
            path,
            size,
            permits: Arc::new(Semaphore::new(size as usize)),
            idle: Mutex::default(),
        }))
    }

    /// Runs a function with one connection on a blocking thread; waits for a free one first.
    ///
    /// # Errors
    /// [`StoreError::Closed`] after [`Readers::close`]; else what the function says.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permits = Arc::clone(&self.0.permits);
        let permit = permits.acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let pool = Arc::clone(&self.0);
        let reading = tokio::task::spawn_blocking(move || {
            let connection = pool.take()?;
            let read = work(&connection);
            pool.give_back(connection);
            drop(permit);
            read
        });
        reading.await.map_err(|error| StoreError::Engine {
            reason: error.to_string(),
        })?
    }

    /// Waits for the reads under way and closes all connections.
    pub(super) async fn close(&self) {
        let all = self.0.permits.acquire_many(self.0.size).await;
        self.0.permits.close();
        drop(all);
        self.0.with_idle(std::mem::take);
    }
}

impl Pool {
    fn take(&self) -> Result<Connection, StoreError> {
        match self.with_idle(Vec::pop) {
            Some(connection) => Ok(connection),
            None => open::reader(&self.path),
        }
    }

    fn give_back(&self, connection: Connection) {
        self.with_idle(|idle| idle.push(connection));
    }

    fn with_idle<T>(&self, work: impl FnOnce(&mut Vec<Connection>) -> T) -> T {
        // A thread that panicked while it held the lock left a list of whole connections.
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut idle)
    }
}
