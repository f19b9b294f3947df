//! Where a request came from, as the gateway that listened knows it.

use std::sync::Arc;

use crate::{
    agreement::InterconnectionAgreement,
    model::{Domain, Protocol, Trail},
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
        /// The domain of ours that it spoke to.
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
}

/// The identity of a request at the side that it came from (architecture, "At least once on the wire, once for the person").
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RequestKey {
    /// The request's own ID (message ID, invite ID), or the transaction ID where it has none.
    pub id: String,
    /// Whether `id` is only a transaction ID, which peers reuse: then it counts for 24 hours and with the content's hash.
    pub is_transaction: bool,
    /// SHA-256 over what the request says, cut to 16 octets.
    pub hash: [u8; 16],
}
