//! Flushes of the caches of routing, which hold at all nodes: each is told, and stands in the store for who did not hear it.
//!
//! A flush stands there for as long as anything can be cached. A node reads those that were ordered since it last did, and knows by
//! their keys which it has carried out; a clock that is another node's may be behind its own.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::cache::Wanted;
use crate::{
    cluster::{Refused, Topic},
    model::Timestamp,
    routing::{CacheFilter, Router},
    store::{Batch, Row, Space, Store, StoreError},
    telemetry::Clock,
};

/// The flushes that this node orders and carries out.
pub struct Flushes {
    node: String,
    store: Arc<dyn Store>,
    router: Arc<Router>,
    clock: Clock,
    ordered: AtomicU64,
    done: Mutex<Done>,
}

/// What is carried out already.
struct Done {
    /// The keys since a while before.
    keys: BTreeSet<String>,
    /// When the store was last read.
    read: Timestamp,
}

/// A flush as another node is told of it.
#[derive(Debug, Deserialize, Serialize)]
struct Told {
    key: String,
    wanted: Wanted,
}

impl Flushes {
    /// None is carried out yet; what was ordered before is not cached here.
    #[must_use]
    pub fn new(node: String, store: Arc<dyn Store>, router: Arc<Router>, clock: Clock) -> Self {
        let done = Done {
            keys: BTreeSet::new(),
            read: clock.now(),
        };
        Self {
            node,
            store,
            router,
            clock,
            ordered: AtomicU64::new(0),
            done: Mutex::new(done),
        }
    }

    /// Carries out, at this node, what was ordered elsewhere and not heard here; how many flushes.
    ///
    /// # Errors
    /// When the store can't be read; then all of it is left for the next time.
    pub async fn catch_up(&self) -> Result<usize, StoreError> {
        let now = self.clock.now();
        let missed = self.missed(now).await?;
        let filters = missed.iter().filter_map(filter);
        if missed.len() > AT_ONCE {
            self.router.flush_cache(CacheFilter::default(), now).await;
        } else {
            for filter in filters {
                self.router.flush_cache(filter, now).await;
            }
        }
        let mut done = self.done();
        done.keys.extend(missed.iter().map(|row| row.key.clone()));
        done.read = now;
        let old = key(now.minus(SKEW), "");
        done.keys = done.keys.split_off(&old);
        Ok(missed.len())
    }

    /// Writes down that this is flushed at all nodes; what they are told of it.
    pub(super) async fn order(&self, wanted: &Wanted) -> Result<Bytes, StoreError> {
        let (now, count) = (self.clock.now(), self.ordered.fetch_add(1, Ordering::Relaxed));
        let key = key(now, &format!("{} {count}", self.node));
        let value = serde_json::to_vec(wanted).unwrap_or_default();
        let batch = Batch::new(now).put(Space::Meta, key.as_str(), value, Some(now.plus(KEPT)));
        self.store.commit(batch.ordered()).await?;
        self.done().keys.insert(key.clone());
        let told = Told {
            key,
            wanted: wanted.clone(),
        };
        Ok(serde_json::to_vec(&told).unwrap_or_default().into())
    }

    async fn missed(&self, now: Timestamp) -> Result<Vec<Row>, StoreError> {
        let (mut missed, mut after) = (Vec::new(), key(self.done().read.minus(SKEW), ""));
        loop {
            let rows = self
                .store
                .rows(Space::Meta, PREFIX, Some(&after), PAGE, now)
                .await?;
            let Some(last) = rows.last() else {
                return Ok(missed);
            };
            after.clone_from(&last.key);
            let done = self.done();
            missed.extend(rows.into_iter().filter(|row| !done.keys.contains(&row.key)));
        }
    }

    fn done(&self) -> std::sync::MutexGuard<'_, Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Flushes what another node was told to flush.
#[async_trait::async_trait]
impl Topic for Flushes {
    async fn answer(&self, from: &str, request: Bytes) -> Result<Bytes, Refused> {
        let told: Told = serde_json::from_slice(&request).map_err(|_| Refused::Unreadable)?;
        let filter = told.wanted.filter().map_err(|_| Refused::Unreadable)?;
        let count = self.router.flush_cache(filter, self.clock.now()).await;
        self.done().keys.insert(told.key);
        tracing::info!(
            from,
            count,
            "entries of the cache were flushed, as another node was told"
        );
        Ok(Bytes::new())
    }
}

impl fmt::Debug for Flushes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flushes")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

fn filter(row: &Row) -> Option<CacheFilter> {
    let wanted: Wanted = serde_json::from_slice(&row.value).ok()?;
    wanted.filter().ok()
}

/// Keys are in the order of their times.
fn key(at: Timestamp, rest: &str) -> String {
    format!("{PREFIX}{:015} {rest}", at.0)
}

/// How the keys of flushes begin.
const PREFIX: &str = "flush ";
/// Nothing is cached for longer (RFC 8767 §4).
const KEPT: Duration = Duration::from_secs(7 * 86_400);
/// The clocks of nodes differ by less.
const SKEW: Duration = Duration::from_secs(3600);
/// Where more were missed, everything is flushed in one go.
const AT_ONCE: usize = 20;
/// Rows read at once.
const PAGE: usize = 1000;
