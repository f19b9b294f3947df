//! Where a request came from, as the gateway that listened knows it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::RequestKey;
use crate::{
    agreement::{Agreements, Degraded, InterconnectionAgreement, Role},
    model::{Domain, PeerName, Protocol, Trail},
};

/// The side that a request came from, authenticated.
#[derive(Clone, Debug)]
pub struct Ingress {
    /// Who.
    pub side: Side,
    /// By which protocol.
    pub protocol: Protocol,
    /// The request's own identity, for requests that must not be carried out twice.
    pub key: Option<RequestKey>,
    /// Gateways that relayed the request before us.
    pub via: Vec<Domain>,
    /// Where everything is written down; the listener has written the first step.
    pub trail: Arc<Trail>,
}

/// A side of the gateway.
#[derive(Clone, Debug)]
pub enum Side {
    /// A subscriber of the embedded home domain, authenticated as the request's sender.
    Home {
        /// Which of our domains.
        domain: Domain,
    },
    /// A peer, authenticated for its domain.
    Peer {
        /// The agreement it came under.
        agreement: Arc<InterconnectionAgreement>,
        /// The domain that it spoke to: of ours; of a home server that meets partners through us, the partner's.
        own: Domain,
        /// The domain that it spoke as.
        domain: Domain,
    },
}

impl Side {
    /// The name in trails and metrics: `home`, or the peer's.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Home { .. } => "home",
            Self::Peer { agreement, .. } => agreement.peer().as_str(),
        }
    }

    /// The domain that it speaks as.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        match self {
            Self::Home { domain } | Self::Peer { domain, .. } => domain,
        }
    }

    /// Whether its messages go on while what must survive can't be written where all nodes find it.
    #[must_use]
    pub(super) fn is_carried(&self) -> bool {
        match self {
            Self::Home { .. } => false,
            Self::Peer { agreement, .. } => agreement.config.degraded == Degraded::Carry,
        }
    }

    /// Whether this is our own side: the embedded home domain or a home IMPS server.
    #[must_use]
    pub fn is_home(&self) -> bool {
        match self {
            Self::Home { .. } => true,
            Self::Peer { agreement, .. } => agreement.config.role == Role::Home,
        }
    }

    /// The domain of ours in whose name its requests go out.
    #[must_use]
    pub fn own(&self) -> &Domain {
        match self {
            Self::Home { domain } => domain,
            Self::Peer { domain, .. } if self.is_home() => domain,
            Self::Peer { own, .. } => own,
        }
    }

    /// What is kept of it in the store.
    #[must_use]
    pub fn to_record(&self) -> SideRecord {
        match self {
            Self::Home { domain } => SideRecord::Home {
                domain: domain.clone(),
            },
            Self::Peer {
                agreement,
                own,
                domain,
            } => SideRecord::Peer {
                peer: agreement.peer().clone(),
                own: own.clone(),
                domain: domain.clone(),
            },
        }
    }
}

/// A side, as it is stored.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum SideRecord {
    /// The embedded home domain.
    Home {
        /// Which of our domains.
        domain: Domain,
    },
    /// A peer.
    Peer {
        /// The agreement.
        peer: PeerName,
        /// The domain of ours that it spoke to.
        own: Domain,
        /// The domain that it spoke as.
        domain: Domain,
    },
}

impl SideRecord {
    /// The domain that it speaks as.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        match self {
            Self::Home { domain } | Self::Peer { domain, .. } => domain,
        }
    }

    /// The side under the agreements in force; `None` when the agreement has ended.
    #[must_use]
    pub fn to_side(&self, agreements: &Agreements) -> Option<Side> {
        match self {
            Self::Home { domain } => Some(Side::Home {
                domain: domain.clone(),
            }),
            Self::Peer { peer, own, domain } => {
                let agreement = Arc::clone(agreements.for_peer(peer)?);
                Some(Side::Peer {
                    agreement,
                    own: own.clone(),
                    domain: domain.clone(),
                })
            }
        }
    }
}
