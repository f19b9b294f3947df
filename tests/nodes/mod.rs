//! Several gateways on one store, and what they ask of one another over TLS.
//!
//! The store is a PostgreSQL database that each node has connections of its own to; where there is none, all share one in memory.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]

mod alone;
mod asking;
mod cut;
mod door;
mod home;
mod limits;
mod members;
mod operators;
mod seen;
mod ssp;
mod waits;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use impsgw::{
    app::{App, Sockets, StartError},
    cluster::{Cluster, Refused, Topic},
    config::Config,
    gateways::ssp::certificates::{Bundle, CertificateFiles, Certificates, IdentityFiles},
    lab::certs::{Authority, CertificateOrder},
    store::{
        Store,
        postgres::{LeaseTime, PostgresConfig, PostgresStore},
        sqlite::SqliteStore,
    },
    telemetry::Clock,
    zone::ZoneServer,
};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::{
    hostile::{
        peer::Peer,
        stage::{loopback, routing_by, zones},
    },
    store::database,
};

/// A store, an authority, and the nodes that have both.
struct Table {
    folder: tempfile::TempDir,
    authority: Authority,
    /// As the tests look into it.
    store: Arc<dyn Store>,
    /// Where it is, when it is a database.
    database: Option<PostgresConfig>,
    /// Where peers are found; only where there are some.
    zone: Option<ZoneServer>,
}

impl Table {
    async fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let database = database::server().map(|server| PostgresConfig {
            time: LeaseTime::Database(Clock::system()),
            ..server.config()
        });
        let store: Arc<dyn Store> = match &database {
            Some(database) => Arc::new(PostgresStore::open(database).await.unwrap()),
            None => Arc::new(SqliteStore::in_memory().unwrap()),
        };
        Self {
            zone: None,
            folder: tempfile::tempdir().unwrap(),
            authority: authority(),
            store,
            database,
        }
    }

    /// The store as a node has it.
    async fn store_of_a_node(&self) -> Arc<dyn Store> {
        match &self.database {
            Some(database) => Arc::new(PostgresStore::open(database).await.unwrap()),
            None => Arc::clone(&self.store),
        }
    }

    async fn start(&self, node: &str) -> Result<App, StartError> {
        self.start_at(node, None).await
    }

    async fn with(peers: &[&Peer]) -> Self {
        let zone = ZoneServer::start(zones(peers, "127.0.0.1", ""), loopback()).await;
        Self {
            zone: Some(zone.unwrap()),
            ..Self::new().await
        }
    }

    /// A node that peers reach too.
    async fn gateway(&self, node: &str, peers: &[&Peer]) -> App {
        let routing = routing_by(self.zone.as_ref().unwrap().local_addr());
        self.start_with(node, &(routing + &ssp(peers))).await.unwrap()
    }

    async fn start_with(&self, node: &str, more: &str) -> Result<App, StartError> {
        self.start_on(self.store_of_a_node().await, node, more).await
    }

    async fn start_on(&self, store: Arc<dyn Store>, node: &str, more: &str) -> Result<App, StartError> {
        let folder = self.folder.path().join(node);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let files = certificate(&self.authority, node, &folder);
        let text = config(node, &folder, &files, &listener) + more;
        let sockets = Sockets {
            nodes: Some(listener),
            store: Some(store),
            ..Sockets::default()
        };
        App::start(Config::parse(&text, "test").unwrap(), sockets).await
    }

    /// Starts a node that the others look for at this address, where it may not be.
    async fn start_at(&self, node: &str, advertise: Option<&str>) -> Result<App, StartError> {
        let line = advertise.map(|address| format!("advertise = \"{address}\"\n"));
        self.start_with(node, &line.unwrap_or_default()).await
    }

    /// The file of the token that is good at every node.
    fn token_file(&self) -> PathBuf {
        // The node that started first has written it.
        let mut folders = std::fs::read_dir(self.folder.path()).unwrap();
        let file = folders.find_map(|folder| {
            let file = folder.unwrap().path().join("admin-token");
            file.is_file().then_some(file)
        });
        file.unwrap()
    }

    /// The admin API of a node.
    fn admin(&self, node: &App) -> Admin {
        let token = std::fs::read_to_string(self.token_file()).unwrap();
        Admin {
            address: format!("http://{}/api/v1", node.admin.unwrap()),
            token: token.trim().to_owned(),
        }
    }

    /// A node that peers reach, and the others look for where it is not.
    async fn cut_off(&self, node: &str, peers: &[&Peer]) -> App {
        let routing = routing_by(self.zone.as_ref().unwrap().local_addr());
        let text = format!("advertise = \"127.0.0.1:1\"\n{routing}{}", ssp(peers));
        self.start_with(node, &text).await.unwrap()
    }

    async fn node(&self, node: &str) -> App {
        self.start(node).await.unwrap()
    }
}

/// The admin API of a node.
struct Admin {
    address: String,
    token: String,
}

impl Admin {
    async fn get(&self, path: &str) -> Value {
        self.call(reqwest::Method::GET, path, None).await
    }

    async fn call(&self, method: reqwest::Method, path: &str, body: Option<&Value>) -> Value {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let call = client
            .request(method, format!("{}{path}", self.address))
            .bearer_auth(&self.token);
        let call = match body {
            Some(body) => call.json(body),
            None => call,
        };
        let answer = call.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }
}

fn config(node: &str, folder: &Path, files: &CertificateFiles, listener: &TcpListener) -> String {
    let identity = &files.identities[0];
    format!(
        "[gateway]\nstop_grace = \"1s\"\nnode = \"{node}\"\ndomains = [\"alpha.example\"]\ndata_dir = \"{data}\"\n\
         [cluster]\nlisten = \"{listen}\"\nca = \"{ca}\"\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n\
         heartbeat = \"100ms\"\nlease = \"1s\"\n",
        data = folder.display(),
        listen = listener.local_addr().unwrap(),
        ca = files.authorities[0].display(),
        certificate = identity.certificate.display(),
        key = identity.key.display(),
    )
}

/// The sections of a gateway with the subscriber Ada and agreements with these peers.
fn ssp(peers: &[&Peer]) -> String {
    let mut text = r#"
[ssp]
listen_plain = "127.0.0.1:0"
handshake_deadline = "5s"
[relay]
cut_through = "1s"
first_retry = "100ms"
longest_retry = "1s"
[admin]
listen = "127.0.0.1:0"
[home]
listen = "127.0.0.1:0"
[[home.domain]]
name = "alpha.example"
[[home.account]]
number = "+447700900123"
user = "ada"
domain = "alpha.example"
friendly_name = "Ada"
password = "ada-among-wolves"
"#
    .to_owned();
    for peer in peers {
        text.push_str(&format!(
            "[[agreement]]\npeer = \"{}\"\ndomains = [\"{}\"]\n\
             services.in = [\"message\", \"presence\"]\nservices.out = [\"message\", \"presence\"]\n\
             allowed_networks = [\"127.0.0.0/8\"]\ntls = {{ required = false }}\n",
            peer.name, peer.domain
        ));
    }
    text
}

fn authority() -> Authority {
    Authority::new("nodes", now()).unwrap()
}

/// The files of a certificate that this authority made for a node.
fn certificate(authority: &Authority, node: &str, folder: &Path) -> CertificateFiles {
    std::fs::create_dir_all(folder).unwrap();
    let ca = folder.join("ca.pem");
    std::fs::write(&ca, authority.certificate_pem()).unwrap();
    let issued = authority
        .issue(&CertificateOrder::for_domain(node, now()))
        .unwrap();
    let (certificate, key) = issued.write(folder, node).unwrap();
    CertificateFiles {
        identities: vec![IdentityFiles { certificate, key }],
        authorities: vec![ca],
        revocation_lists: Vec::new(),
    }
}

fn certificates(files: &CertificateFiles) -> Arc<Certificates> {
    Certificates::new(Bundle::read(files).unwrap())
}

fn cluster(app: &App) -> &Arc<Cluster> {
    app.cluster.as_ref().unwrap()
}

fn names(app: &App) -> Vec<String> {
    let members = cluster(app).members();
    members.iter().map(|member| member.node.clone()).collect()
}

/// Waits until a node sees exactly these living.
async fn sees(app: &App, nodes: &[&str]) {
    until(|| names(app) == nodes).await;
}

async fn until(holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait)
        .await
        .expect("it never came to hold");
}

/// Waits until something holds that has to be asked for.
async fn until_async(mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait)
        .await
        .expect("it never came to hold");
}

#[expect(clippy::disallowed_methods, reason = "certificates are made for now")]
fn now() -> std::time::SystemTime {
    std::time::SystemTime::now()
}

/// Says back what it was asked, and by whom.
struct Echo;

#[async_trait::async_trait]
impl Topic for Echo {
    async fn answer(&self, from: &str, request: Bytes) -> Result<Bytes, Refused> {
        let mut answer = format!("{from} said ").into_bytes();
        answer.extend_from_slice(&request);
        Ok(answer.into())
    }
}
