//! What operators order at one node, and holds at all: overrides and flushes of the caches of routing.
//!
//! Overrides are in the store, and the other nodes read them there; a flush is only told. A node that was not told keeps what it
//! has cached until its time, so whoever ordered it learns which one that is.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    Board, NotReady, cache,
    gathered::{OwnPeers, PEERS},
    load_overrides,
    members::{OwnStanding, STANDING},
};
use crate::{
    cluster::{Cluster, Refused, Topic},
    routing::Router,
    store::Store,
    telemetry::Clock,
};

/// What the topics of this room are answered from.
pub struct NodeTopicParts {
    /// Overrides.
    pub store: Arc<dyn Store>,
    /// Caches, and the overrides in force.
    pub router: Arc<Router>,
    /// Peers and their sessions.
    pub board: Arc<dyn Board>,
    /// Why this node should get no traffic now.
    pub not_ready: NotReady,
    /// The time.
    pub clock: Clock,
}

/// What this room answers to other nodes, for the cluster to enter.
#[must_use]
pub fn node_topics(parts: NodeTopicParts) -> Vec<(&'static str, Arc<dyn Topic>)> {
    let flush = Flush {
        router: Arc::clone(&parts.router),
        clock: parts.clock.clone(),
    };
    let overrides = Overrides {
        store: parts.store,
        router: parts.router,
        clock: parts.clock,
    };
    vec![
        (FLUSH, Arc::new(flush)),
        (OVERRIDES, Arc::new(overrides)),
        (PEERS, Arc::new(OwnPeers(parts.board))),
        (STANDING, Arc::new(OwnStanding(parts.not_ready))),
    ]
}

/// Tells the other nodes; the names of those that have not heard it.
pub(super) async fn tell(cluster: Option<&Arc<Cluster>>, topic: &'static str, what: Bytes) -> Vec<String> {
    let Some(cluster) = cluster else {
        return Vec::new();
    };
    let deaf = cluster.tell_all(topic, what).await;
    for (node, error) in &deaf {
        tracing::warn!(node, %error, topic, "a node was not told what an operator has ordered");
    }
    deaf.into_iter().map(|(node, _)| node).collect()
}

/// Flushes what another node was told to flush.
struct Flush {
    router: Arc<Router>,
    clock: Clock,
}

#[async_trait::async_trait]
impl Topic for Flush {
    async fn answer(&self, from: &str, request: Bytes) -> Result<Bytes, Refused> {
        let wanted: cache::Wanted = serde_json::from_slice(&request).map_err(|_| Refused::Unreadable)?;
        let filter = wanted.filter().map_err(|_| Refused::Unreadable)?;
        let count = self.router.flush_cache(filter, self.clock.now()).await;
        tracing::info!(
            from,
            count,
            "entries of the cache were flushed, as another node was told"
        );
        Ok(Bytes::new())
    }
}

/// Takes up the overrides that another node has stored.
struct Overrides {
    store: Arc<dyn Store>,
    router: Arc<Router>,
    clock: Clock,
}

#[async_trait::async_trait]
impl Topic for Overrides {
    async fn answer(&self, from: &str, _: Bytes) -> Result<Bytes, Refused> {
        let _turn = self.router.override_turn().await;
        let loaded = load_overrides(&*self.store, &self.router, self.clock.now()).await;
        let count = loaded.map_err(|error| Refused::Not(error.to_string()))?;
        tracing::info!(
            from,
            count,
            "overrides were taken up, as another node has stored them"
        );
        Ok(Bytes::new())
    }
}

/// A flush of the caches, as it was asked for.
pub(super) const FLUSH: &str = "admin/flush";
/// Overrides have changed.
pub(super) const OVERRIDES: &str = "admin/overrides";
