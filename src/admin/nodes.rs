//! What operators order at one node, and holds at all: overrides, and flushes of the caches of routing.
//!
//! Both are in the store, and the other nodes are told of them. A node that was not told finds them there at its next heartbeat;
//! whoever ordered a flush learns which one that is, because it may answer from what it has cached until then.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    Flushes, NotReady,
    gathered::{OwnPeers, PEERS, PeersHere},
    members::{OwnStanding, STANDING},
    reload_overrides,
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
    /// The overrides in force.
    pub router: Arc<Router>,
    /// Flushes of caches.
    pub flushes: Arc<Flushes>,
    /// Peers and their sessions, as they stand here.
    pub peers: PeersHere,
    /// Why this node should get no traffic now.
    pub not_ready: NotReady,
    /// The time.
    pub clock: Clock,
}

/// What this room answers to other nodes, for the cluster to enter.
#[must_use]
pub fn node_topics(parts: NodeTopicParts) -> Vec<(&'static str, Arc<dyn Topic>)> {
    let overrides = Overrides {
        store: parts.store,
        router: parts.router,
        clock: parts.clock,
    };
    vec![
        (FLUSH, parts.flushes),
        (OVERRIDES, Arc::new(overrides)),
        (PEERS, Arc::new(OwnPeers(parts.peers))),
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

/// Takes up the overrides that another node has stored.
struct Overrides {
    store: Arc<dyn Store>,
    router: Arc<Router>,
    clock: Clock,
}

#[async_trait::async_trait]
impl Topic for Overrides {
    async fn answer(&self, from: &str, _: Bytes) -> Result<Bytes, Refused> {
        let loaded = reload_overrides(&*self.store, &self.router, self.clock.now()).await;
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
