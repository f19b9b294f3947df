//! What nodes may ask one another: topics, each answered by the room that knows it.
//!
//! A room above implements [`Topic`] and `app.rs` enters it here before the node is among the living, so that nobody asks too
//! early.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use bytes::Bytes;
use tokio::{sync::Semaphore, time::timeout};

use super::Refused;

/// Answers requests of other nodes.
#[async_trait::async_trait]
pub trait Topic: Send + Sync {
    /// Answers one request of this node.
    ///
    /// # Errors
    /// [`Refused`], as the other node is told.
    ///
    /// # Cancel safety
    /// It is dropped when the time of a request is over.
    async fn answer(&self, from: &str, request: Bytes) -> Result<Bytes, Refused>;
}

/// The topics of a node, by name.
pub(super) struct Topics {
    by_name: RwLock<BTreeMap<&'static str, Arc<dyn Topic>>>,
    places: Semaphore,
}

impl Topics {
    pub(super) fn new() -> Self {
        Self {
            by_name: RwLock::default(),
            places: Semaphore::new(AT_ONCE),
        }
    }

    pub(super) fn enter(&self, name: &'static str, topic: Arc<dyn Topic>) {
        let mut topics = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        topics.insert(name, topic);
    }

    /// # Errors
    /// [`Refused`].
    pub(super) async fn answer(&self, from: &str, name: &str, request: Bytes) -> Result<Bytes, Refused> {
        let topic = self.topic(name).ok_or(Refused::UnknownTopic)?;
        let _place = self.places.try_acquire().map_err(|_| Refused::Busy)?;
        let answered = timeout(PATIENCE, topic.answer(from, request)).await;
        answered.unwrap_or(Err(Refused::TooSlow(PATIENCE)))
    }

    fn topic(&self, name: &str) -> Option<Arc<dyn Topic>> {
        let topics = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        topics.get(name).cloned()
    }
}

/// Requests of other nodes that are worked on at once.
const AT_ONCE: usize = 512;
/// How long a node works on a request of another one; who asks waits a little longer.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
