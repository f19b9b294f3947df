//! Why a document was not answered, and whether it may have arrived all the same.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::client::conn::TrySendError;
use thiserror::Error;

use crate::gateways::ssp::tls::TlsFailure;

/// The target's names can't stand in a request.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{domain:?} is not a domain name that can be connected to")]
pub struct InvalidTarget {
    /// The service domain as given.
    pub domain: String,
}

/// Why there is no HTTP status.
#[derive(Debug, Error)]
pub enum PostError {
    /// The target's addresses are not known, and the system's resolver does not tell them.
    #[error("the addresses of {host} can't be found")]
    Unresolved {
        /// The SRV target or the server that the agreement names.
        host: Arc<str>,
        /// What the resolver said.
        source: io::Error,
    },
    /// The target has no address.
    #[error("the peer's server has no address")]
    NoAddress,
    /// The agreement does not allow a connection to this address.
    #[error("{address} is not in the allowed networks of this peer")]
    NotAllowed {
        /// The address, from DNS or from the peer.
        address: IpAddr,
    },
    /// No TCP connection.
    #[error("{address} can't be connected to")]
    Unreachable {
        /// The address and port.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// No TCP connection in time.
    #[error("{address} did not take the connection in time")]
    ConnectTimedOut {
        /// The address and port.
        address: SocketAddr,
    },
    /// No TLS, or not with the right peer.
    #[error("no secure connection with {address}: {reason}")]
    Tls {
        /// The address and port.
        address: SocketAddr,
        /// Who must act.
        reason: TlsFailure,
    },
    /// The connection was made and is no HTTP, or it broke before anything was sent.
    #[error("the connection broke before the document was sent")]
    BrokenBefore(#[source] Option<hyper::Error>),
    /// The document was sent, at least in part, and the connection was closed without an answer.
    #[error("the connection was closed without an answer to the document")]
    BrokenAfter(#[source] hyper::Error),
    /// All the time of the request is over.
    #[error("no answer in time")]
    TimedOut {
        /// Whether the document was sent by then.
        was_sent: bool,
    },
    /// The path can't stand in a request.
    #[error("{path:?} is not a path of a URL")]
    BadPath {
        /// The path as given.
        path: String,
    },
}

impl PostError {
    /// Whether the peer can have seen the document. When not, it may be sent again, or elsewhere, without a thought.
    pub const fn may_have_arrived(&self) -> bool {
        match self {
            Self::BrokenAfter(_) => true,
            Self::TimedOut { was_sent } => *was_sent,
            Self::Unresolved { .. }
            | Self::NoAddress
            | Self::NotAllowed { .. }
            | Self::Unreachable { .. }
            | Self::ConnectTimedOut { .. }
            | Self::Tls { .. }
            | Self::BrokenBefore(_)
            | Self::BadPath { .. } => false,
        }
    }
}

pub(super) fn failure_of(error: TrySendError<Request<Full<Bytes>>>, address: SocketAddr) -> PostError {
    let was_not_sent = error.message().is_some();
    let error = error.into_error();
    if let Some(reason) = TlsFailure::within(&error).filter(TlsFailure::is_refusal_of_our_certificate) {
        return PostError::Tls { address, reason };
    }
    if was_not_sent {
        PostError::BrokenBefore(Some(error))
    } else {
        PostError::BrokenAfter(error)
    }
}
