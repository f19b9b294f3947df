//! The SSP gateway's settings.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::certificates::{CertificateFiles, IdentityFiles};
use crate::model::{ByteSize, duration};

/// Sockets, certificates, times and bounds of the SSP gateway.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct SspConfig {
    /// Where peers reach us over TLS; `None` for none.
    pub listen: Option<SocketAddr>,
    /// Where peers on a closed segment reach us without TLS; only those whose agreement says `tls.required = false`.
    pub listen_plain: Option<SocketAddr>,
    /// Our certificate chain, PEM; for our domains, both as server and as client.
    pub certificate: Option<PathBuf>,
    /// Its key, PEM.
    pub key: Option<PathBuf>,
    /// Further certificates, for other names that we speak as; the one above is shown where none of them names the domain.
    pub identities: Vec<IdentityFiles>,
    /// The authorities that peers' certificates are checked against, PEM.
    pub authorities: Option<PathBuf>,
    /// Revoked certificates, PEM; optional.
    pub revocations: Option<PathBuf>,
    /// How long a session may live; announced to peers, renewed before it ends.
    #[serde(with = "duration")]
    pub time_to_live: Duration,
    /// How long our own handshake may take before it starts anew.
    #[serde(with = "duration")]
    pub handshake_deadline: Duration,
    /// How long one HTTP exchange may take.
    #[serde(with = "duration")]
    pub exchange_timeout: Duration,
    /// How long a connection may take to come up.
    #[serde(with = "duration")]
    pub connect_timeout: Duration,
    /// The largest document that is read.
    pub max_document: ByteSize,
    /// Most transactions of one document that we send; 1 switches batching off.
    pub transactions_per_document: usize,
    /// The size at which a document that we send takes no more transactions.
    pub document_size: ByteSize,
    /// Whether HTTP/2 is offered to peers' servers; they may always use it towards us.
    pub http2: bool,
    /// Most connections to one server of a peer.
    pub connections_per_server: usize,
    /// Most connections from outside, in all.
    pub max_connections: usize,
    /// Most connections from one source: an IPv4 address, or a /64 of IPv6.
    pub max_connections_per_address: usize,
    /// Most requests of one peer that are worked on at once; more wait in its connections.
    pub open_requests_per_peer: usize,
    /// Most transactions that wait for one session.
    pub max_waiting: usize,
    /// Most octets of what waits for one session, about; what is more is refused as if it were too many.
    pub max_waiting_size: ByteSize,
    /// Most octets of documents that are being read at once from all connections without a verified certificate; past it a
    /// document is turned away with 503.
    pub max_reading: ByteSize,
}

impl SspConfig {
    /// The files of our certificate and of those that we trust; `None` when TLS is not set up.
    #[must_use]
    pub fn certificate_files(&self) -> Option<CertificateFiles> {
        let identity = IdentityFiles {
            certificate: self.certificate.clone()?,
            key: self.key.clone()?,
        };
        Some(CertificateFiles {
            identities: std::iter::once(identity)
                .chain(self.identities.iter().cloned())
                .collect(),
            authorities: vec![self.authorities.clone()?],
            revocation_lists: self.revocations.iter().cloned().collect(),
        })
    }
}

impl Default for SspConfig {
    fn default() -> Self {
        Self {
            listen: None,
            listen_plain: None,
            certificate: None,
            key: None,
            identities: Vec::new(),
            authorities: None,
            revocations: None,
            time_to_live: Duration::from_secs(86_400),
            handshake_deadline: Duration::from_secs(45),
            exchange_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(3),
            max_document: ByteSize::mib(1),
            transactions_per_document: 32,
            document_size: ByteSize::kib(64),
            http2: false,
            connections_per_server: 8,
            max_connections: 4096,
            max_connections_per_address: 256,
            open_requests_per_peer: 4096,
            max_waiting: 10_000,
            max_waiting_size: ByteSize::mib(64),
            max_reading: ByteSize::mib(64),
        }
    }
}
