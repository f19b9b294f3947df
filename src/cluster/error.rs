//! What can go wrong between nodes, by who must act.

use std::time::Duration;

use crate::store::StoreError;

/// Why a process is not a node of the cluster.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JoinError {
    /// A living process has the name.
    #[error(
        "another living process is the node {node} ({by}); stop it, or give this one a name of its own in [gateway] node"
    )]
    Taken {
        /// The name.
        node: String,
        /// The process.
        by: String,
    },
    /// A gateway without a cluster uses the store, and would go on as if it were alone.
    #[error(
        "a gateway without [cluster] uses this database ({by}); stop it, or give it [cluster] and a name of its own"
    )]
    OneAlone {
        /// Where it runs.
        by: String,
    },
    /// Neither this process nor that one has a cluster.
    #[error(
        "another gateway uses this database ({by}), and neither knows of the other; stop it, or give both [cluster]"
    )]
    AnotherAlone {
        /// Where it runs.
        by: String,
    },
    /// This process has no cluster, and others do.
    #[error(
        "nodes of a cluster use this database ({nodes}), and this gateway has no [cluster]; give it one, or a database of its own"
    )]
    Nodes {
        /// Their names.
        nodes: String,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why another node has not answered.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ClusterError {
    /// There is no such node, or it is dead.
    #[error("no living node is named {node}")]
    Unknown {
        /// The name, or the process, that was asked for.
        node: String,
    },
    /// It has not seen the request.
    #[error("the node {node} can't be reached at {address}: {reason}")]
    Unreachable {
        /// Its name.
        node: String,
        /// Where it was tried.
        address: String,
        /// What failed.
        reason: String,
    },
    /// It may have done what was asked.
    #[error("the node {node} gave no answer to {topic}: {reason}")]
    Silent {
        /// Its name.
        node: String,
        /// What it was asked.
        topic: &'static str,
        /// How the answer got lost.
        reason: String,
    },
    /// It has said no.
    #[error("the node {node} refused {topic}: {reason}")]
    Refused {
        /// Its name.
        node: String,
        /// What it was asked.
        topic: &'static str,
        /// Its words.
        reason: String,
    },
    /// The request is larger than what nodes take.
    #[error("{octets} octets are too many for a request between nodes")]
    TooLarge {
        /// How many it has.
        octets: usize,
    },
}

/// Why a node does not do what another one asks.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refused {
    /// Nobody here answers that.
    #[error("nothing here answers it; the nodes run different versions")]
    UnknownTopic,
    /// As many requests of nodes are under way as may be.
    #[error("too many requests of nodes are under way")]
    Busy,
    /// It took longer than nodes wait.
    #[error("it took longer than {0:?}")]
    TooSlow(Duration),
    /// The request can't be read.
    #[error("the request can't be read")]
    Unreadable,
    /// It can't be done here, for this reason.
    #[error("{0}")]
    Not(String),
}

impl ClusterError {
    /// As in metrics.
    pub(super) const fn outcome(&self) -> &'static str {
        match self {
            Self::Unknown { .. } | Self::Unreachable { .. } => "unreachable",
            Self::Silent { .. } => "silent",
            Self::Refused { .. } | Self::TooLarge { .. } => "refused",
        }
    }

    /// Whether the other node has certainly not done what was asked.
    #[must_use]
    pub const fn was_not_done(&self) -> bool {
        match self {
            Self::Unknown { .. }
            | Self::Unreachable { .. }
            | Self::Refused { .. }
            | Self::TooLarge { .. } => true,
            Self::Silent { .. } => false,
        }
    }
}
