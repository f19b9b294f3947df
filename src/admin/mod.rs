//! The admin API (version 1), the NOC console, the probes and `/metrics`.
//!
//! The edge is hostile here too: loopback by default, a `Host` that names us, a bearer token with a role, bodies of
//! 64 KiB at most, an audit entry before anything is changed. What it needs of the gateways comes through [`Board`].

mod accounts;
mod agreement;
mod answer;
mod audit;
mod board;
mod cache;
mod console;
mod error;
mod flushes;
mod gathered;
mod guard;
mod health;
mod mask;
mod members;
mod nodes;
mod overrides;
mod peer;
mod queue;
mod route;
mod server;
mod settle;
mod system;
mod table;
mod token;
mod trace;

pub use accounts::{AccountState, Accounts, AccountsError, MadeAccount, WantedAccount};
pub use board::{Board, CertificateState, LeverError, PeerState, SessionState};
pub use flushes::Flushes;
pub use gathered::PeersHere;
pub use health::{GoesOn, probes};
pub use nodes::{NodeTopicParts, node_topics};
pub use overrides::{load_overrides, reload_overrides};
pub use server::admin_api;
pub use token::{Role, TokenError, first_token, recovery_token};

use std::{fmt, sync::Arc};

use arc_swap::ArcSwap;

use crate::{
    agreement::Agreements,
    cluster::Cluster,
    model::Timestamp,
    relay::Relay,
    routing::Router,
    store::Store,
    telemetry::{Clock, Metrics, TrailBook},
};

/// What the admin API is built from.
pub struct AdminParts {
    /// The node's name.
    pub node: String,
    /// When it started.
    pub since: Timestamp,
    /// Names that a `Host` header may carry besides the listening address and `localhost`.
    pub hosts: Vec<String>,
    /// Queues, overrides, tokens, the audit log.
    pub store: Arc<dyn Store>,
    /// What waits, as it is carried on: held queues, what is discarded and redirected.
    pub relay: Arc<Relay>,
    /// Routes, caches, overrides in force.
    pub router: Arc<Router>,
    /// The agreements in force.
    pub agreements: Arc<ArcSwap<Agreements>>,
    /// Peers and their sessions.
    pub board: Arc<dyn Board>,
    /// The accounts of the embedded home domain, when there is one.
    pub accounts: Option<Arc<dyn Accounts>>,
    /// This node among the others; `None` where it is alone.
    pub cluster: Option<Arc<Cluster>>,
    /// Flushes of caches, here and at the other nodes.
    pub flushes: Arc<Flushes>,
    /// What happened to requests.
    pub trails: Arc<TrailBook>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Clock,
    /// Reads the configuration again and puts it in force, or says every mistake and changes nothing. May block.
    pub reload: Reload,
    /// Why the node should get no traffic now; empty when it may. Called at each probe, so it must not wait.
    pub not_ready: NotReady,
}

/// Reads the configuration again; says what changed, or every mistake.
pub type Reload = Arc<dyn Fn() -> Result<String, Vec<String>> + Send + Sync>;

/// Why the node should get no traffic now.
pub type NotReady = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

impl fmt::Debug for AdminParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminParts")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests;
