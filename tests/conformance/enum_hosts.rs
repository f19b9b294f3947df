//! The hosts of the ENUM and SRV vectors, on loopback, and a document posted to each as the SSP gateway posts it.
//!
//! The client is allowed plain HTTP where a port does not speak TLS, so a vector that forbids plain text can fail: what a
//! connection begins with is looked at before the server gets it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use impsgw::gateways::ssp::certificates::Certificates;
use impsgw::gateways::ssp::client::{PostError, Scheme, Target};
use impsgw::gateways::ssp::server::SspServer;
use impsgw::gateways::ssp::tls::{HttpVersions, TlsFailure};
use impsgw::model::Domain;
use impsgw::routing::Candidate;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::enum_vectors::HostBehaviour;
use crate::transport::{Pki, Seen, client_of, limits, listen, loopback, mutual, post};

/// The authority of one case, what stands at its hosts, and what was met there.
pub(crate) struct Hosts {
    pki: Pki,
    ours: Arc<Certificates>,
    /// The first octet of each connection to a host that is up.
    beginnings: Arc<Mutex<Vec<u8>>>,
}

/// A host that is up; it ends with the value.
struct Host {
    address: SocketAddr,
    seen: Seen,
    _server: SspServer,
    _watch: JoinSet<()>,
}

impl Hosts {
    pub(crate) fn new() -> Self {
        let pki = Pki::new();
        let ours = pki.certificates(&pki.issue_for("alpha.example"));
        Self {
            pki,
            ours,
            beginnings: Arc::default(),
        }
    }

    /// Posts a document to a server of this domain; whether it was taken.
    pub(crate) async fn post(
        &self,
        candidate: &Candidate,
        domain: &Domain,
        behaviour: HostBehaviour,
    ) -> bool {
        let host = match behaviour {
            HostBehaviour::Accept => Some(self.host(domain.as_str()).await),
            HostBehaviour::WrongIdentity => Some(self.host("charlie.example").await),
            HostBehaviour::Refuse => None,
        };
        let address = match &host {
            Some(host) => host.address,
            None => closed().await,
        };
        let target = Target {
            own_domain: "alpha.example".to_owned(),
            service_domain: domain.to_string(),
            other_names: Vec::new(),
            host: Arc::clone(&candidate.host),
            addresses: Arc::new([IpAddr::V4(Ipv4Addr::LOCALHOST)]),
            port: address.port(),
            scheme: Scheme::HttpsThenHttp(Arc::clone(&self.ours)),
            versions: HttpVersions::Both,
            networks: loopback(),
        };
        let posted = post(&client_of(target), "a document").await;
        match behaviour {
            HostBehaviour::Accept => assert!(matches!(posted, Ok(200)), "{posted:?}"),
            HostBehaviour::Refuse => {
                assert!(
                    posted.as_ref().is_err_and(|error| !error.may_have_arrived()),
                    "{posted:?}"
                );
            }
            HostBehaviour::WrongIdentity => assert!(
                matches!(
                    posted,
                    Err(PostError::Tls {
                        reason: TlsFailure::WrongName { .. },
                        ..
                    })
                ),
                "{posted:?}"
            ),
        }
        let arrived = host.map_or(0, |host| host.seen.count());
        assert_eq!(arrived, usize::from(posted.is_ok()), "{candidate:?}");
        posted.is_ok()
    }

    /// Whether a connection began with anything but a TLS handshake.
    pub(crate) fn met_plain_text(&self) -> bool {
        self.beginnings
            .lock()
            .unwrap()
            .iter()
            .any(|octet| *octet != HANDSHAKE)
    }

    /// A server with a certificate for `identity`, and before it somebody who sees how connections begin.
    async fn host(&self, identity: &str) -> Host {
        let certificates = self.pki.certificates(&self.pki.issue_for(identity));
        let (server, seen) = listen(mutual(&certificates), limits()).await;
        let behind = server.local_address();
        let door = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = door.local_addr().unwrap();
        let beginnings = Arc::clone(&self.beginnings);
        let mut watch = JoinSet::new();
        watch.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = door.accept().await {
                let beginnings = Arc::clone(&beginnings);
                connections.spawn(async move {
                    let mut first = [0];
                    if stream.peek(&mut first).await.is_ok_and(|count| count > 0) {
                        beginnings.lock().unwrap().extend(first);
                    }
                    if let Ok(mut server) = TcpStream::connect(behind).await {
                        // Either side may go away; the client says what came of it.
                        let _ = copy_bidirectional(&mut stream, &mut server).await;
                    }
                });
            }
        });
        Host {
            address,
            seen,
            _server: server,
            _watch: watch,
        }
    }
}

/// An address where nobody listens.
async fn closed() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    listener.local_addr().unwrap()
}

/// The content type of a TLS record that begins a handshake (RFC 8446 §5.1).
const HANDSHAKE: u8 = 0x16;
