//! The SSP listener and client over real sockets, with certificates made for the occasion.

#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests; certificates are valid around the real time"
)]

mod gateway;
mod hostile;
mod plain;
mod secure;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use impsgw::agreement::NetworkList;
use impsgw::gateways::ssp::certificates::{Bundle, CertificateFiles, Certificates, IdentityFiles};
use impsgw::gateways::ssp::client::{ClientLimits, PostError, PostHeaders, Scheme, SspClient, Target};
use impsgw::gateways::ssp::server::{
    Answer, Arrival, Handler, Limits, ServerConfig, ServerTls, SspServer, TurnedAway,
};
use impsgw::gateways::ssp::tls::{ClientAuthentication, HttpVersions, PeerIdentity};
use impsgw::lab::certs::{Authority, CertificateOrder, IssuedCertificate};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::Notify};

/// What a listener's handler saw.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    documents: Arc<Mutex<Vec<Document>>>,
    turned_away: Arc<Mutex<Vec<TurnedAway>>>,
    changed: Arc<Notify>,
    /// Lets a held document be answered.
    let_go: Arc<Notify>,
}

#[derive(Clone, Debug)]
struct Document {
    body: Bytes,
    peer: Option<PeerIdentity>,
    source: SocketAddr,
    asked_domain: Option<String>,
    transaction_id: Option<String>,
    session_id: Option<String>,
    path: String,
}

impl Handler for Seen {
    async fn take(&self, arrival: Arrival) -> Answer {
        let document = Document {
            peer: arrival.connection.peer.clone(),
            source: arrival.connection.source,
            asked_domain: arrival.asked_domain().map(str::to_owned),
            transaction_id: arrival.transaction_id().map(str::to_owned),
            session_id: arrival.session_id().map(str::to_owned),
            path: arrival.uri.path().to_owned(),
            body: arrival.body,
        };
        let answer = match &document.body[..] {
            b"forbidden" => Answer::Forbidden,
            b"malformed" => Answer::Malformed,
            b"unknown" => Answer::UnknownSession,
            b"many" => Answer::TooMany,
            b"full" => Answer::Overloaded,
            _ => Answer::Taken,
        };
        let is_held = document.body == "held";
        self.documents.lock().unwrap().push(document);
        if self.documents.lock().unwrap().last().unwrap().body == "silence" {
            std::future::pending::<()>().await;
        }
        if is_held {
            self.let_go.notified().await;
        }
        answer
    }

    fn turned_away(&self, _: SocketAddr, reason: &TurnedAway) {
        self.turned_away.lock().unwrap().push(reason.clone());
        self.changed.notify_waiters();
    }
}

impl Seen {
    fn last(&self) -> Document {
        self.documents
            .lock()
            .unwrap()
            .last()
            .expect("a document arrived")
            .clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.documents.lock().unwrap().len()
    }

    /// Waits until somebody was turned away for this reason.
    async fn turned_away_for(&self, wanted: impl Fn(&TurnedAway) -> bool) -> TurnedAway {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
        loop {
            let changed = self.changed.notified();
            if let Some(found) = self
                .turned_away
                .lock()
                .unwrap()
                .iter()
                .find(|reason| wanted(reason))
            {
                return found.clone();
            }
            let seen = || self.turned_away.lock().unwrap().clone();
            tokio::time::timeout_at(deadline, changed)
                .await
                .unwrap_or_else(|_| panic!("only {:?}", seen()));
        }
    }
}

/// Certificates in a folder that goes away with the test.
pub(crate) struct Pki {
    folder: TempDir,
    authority: Authority,
    serial: std::cell::Cell<u32>,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let authority = Authority::new("Lab authority", SystemTime::now()).expect("an authority");
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            authority,
            serial: std::cell::Cell::new(0),
        }
    }

    fn issue(&self, order: &CertificateOrder) -> IssuedCertificate {
        self.authority.issue(order).expect("a certificate")
    }

    pub(crate) fn issue_for(&self, domain: &str) -> IssuedCertificate {
        self.issue(&order(domain))
    }

    fn bundle(&self, identities: &[&IssuedCertificate], lists: &[String]) -> Bundle {
        Bundle::read(&self.files(identities, &[self.authority.certificate_pem()], lists)).expect("a bundle")
    }

    pub(crate) fn certificates(&self, identity: &IssuedCertificate) -> Arc<Certificates> {
        Certificates::new(self.bundle(&[identity], &[]))
    }

    fn files(
        &self,
        identities: &[&IssuedCertificate],
        authorities: &[&str],
        lists: &[String],
    ) -> CertificateFiles {
        let identities = identities.iter().map(|identity| {
            let (certificate, key) = identity
                .write(self.folder.path(), &self.name("identity"))
                .expect("written");
            IdentityFiles { certificate, key }
        });
        CertificateFiles {
            identities: identities.collect(),
            authorities: authorities
                .iter()
                .map(|text| self.file("authority", text))
                .collect(),
            revocation_lists: lists.iter().map(|text| self.file("list", text)).collect(),
        }
    }

    fn file(&self, kind: &str, text: &str) -> std::path::PathBuf {
        let path = self.folder.path().join(self.name(kind));
        std::fs::write(&path, text).expect("written");
        path
    }

    fn name(&self, kind: &str) -> String {
        self.serial.set(self.serial.get() + 1);
        format!("{kind}-{}", self.serial.get())
    }
}

fn order(domain: &str) -> CertificateOrder {
    CertificateOrder::for_domain(domain, SystemTime::now())
}

/// Limits that a test can wait for.
pub(crate) fn limits() -> Limits {
    Limits {
        first_request: Duration::from_secs(3),
        ..Limits::default()
    }
}

pub(crate) async fn listen(tls: Option<ServerTls>, limits: Limits) -> (SspServer, Seen) {
    let seen = Seen::default();
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let config = ServerConfig {
        tls,
        versions: HttpVersions::Both,
        limits,
    };
    (
        SspServer::start(socket.expect("a socket"), config, seen.clone()).expect("a listener"),
        seen,
    )
}

pub(crate) fn mutual(certificates: &Arc<Certificates>) -> Option<ServerTls> {
    Some(ServerTls {
        certificates: certificates.clone(),
        clients: ClientAuthentication::Required,
    })
}

fn target(server: &SspServer, scheme: Scheme) -> Target {
    Target {
        own_domain: "alpha.example".to_owned(),
        service_domain: "bravo.example".to_owned(),
        other_names: Vec::new(),
        host: "ssp.bravo.example".into(),
        addresses: Arc::new([IpAddr::V4(Ipv4Addr::LOCALHOST)]),
        port: server.local_address().port(),
        scheme,
        versions: HttpVersions::Both,
        networks: loopback(),
    }
}

fn client(server: &SspServer, scheme: Scheme) -> SspClient {
    client_of(target(server, scheme))
}

pub(crate) fn client_of(target: Target) -> SspClient {
    SspClient::new(target, ClientLimits::default()).expect("a target")
}

pub(crate) fn loopback() -> NetworkList {
    NetworkList(vec!["127.0.0.0/8".parse().expect("a network")])
}

pub(crate) async fn post(client: &SspClient, body: &'static str) -> Result<u16, PostError> {
    client
        .post("/", Bytes::from_static(body.as_bytes()), PostHeaders::default())
        .await
}
