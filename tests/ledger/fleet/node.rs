//! A node: its process, its settings, and the networks between it and the others and the database.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::Arc,
    time::Duration,
};

use super::stage::Setting;
use crate::{
    ledger::{
        clock::WallClock,
        gateway::{Gateway, Ground},
        proxy::Proxy,
        stage::head,
    },
    ports::free_address_of,
};

/// A node, running or not.
pub(crate) struct Node {
    pub(crate) name: String,
    /// Where peers reach it.
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    health: SocketAddr,
    /// Between the other nodes and this one.
    pub(crate) from_nodes: Arc<Proxy>,
    /// Between it and each server of the database.
    pub(crate) to_database: Vec<Arc<Proxy>>,
    listen: SocketAddr,
    folder: PathBuf,
    process: Option<Gateway>,
}

impl Node {
    pub(crate) async fn new(
        name: &str,
        folder: &Path,
        database: &[SocketAddr],
        random: &mut fastrand::Rng,
    ) -> Self {
        let [address, admin, health, listen] = [(); 4].map(|()| free_address_of(random));
        let mut to_database = Vec::new();
        for server in database {
            to_database.push(Proxy::start(free_address_of(random), *server).await);
        }
        let folder = folder.join(name);
        fs::create_dir_all(&folder).unwrap();
        Self {
            name: name.to_owned(),
            address,
            admin,
            health,
            from_nodes: Proxy::start(free_address_of(random), listen).await,
            to_database,
            listen,
            folder,
            process: None,
        }
    }

    /// Starts it, and waits until it listens.
    pub(crate) async fn start(&mut self, setting: &Setting, agreements: &str) {
        let config = self.config(setting) + agreements;
        let clock = WallClock::new(&self.folder);
        self.process = Gateway::start(&self.folder, self.address, &config, Ground::default(), &clock).await;
    }

    /// The loss of its machine.
    pub(crate) fn kill(&mut self) {
        drop(self.process.take());
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(Gateway::is_running)
    }

    /// Asks it to end in order, and waits for it.
    pub(crate) async fn drain(&mut self, within: Duration) -> Option<ExitStatus> {
        self.process.take().unwrap().end(within).await
    }

    /// Whether it is ready, and what it says; none when it does not answer.
    pub(crate) async fn readiness(&self) -> Option<(u16, String)> {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client
            .get(format!("http://{}/readyz", self.health))
            .timeout(Duration::from_secs(10))
            .send();
        let answer = answer.await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("gateway.log")).unwrap_or_default()
    }

    /// The first admin token of all nodes, when it was this one that wrote it.
    pub(crate) fn token(&self) -> Option<String> {
        fs::read_to_string(self.folder.join("data/admin-token")).ok()
    }

    fn config(&self, setting: &Setting) -> String {
        let data = self.folder.join("data");
        let addresses = (self.address, setting.dns);
        let head = head(
            (&self.name, &data),
            addresses,
            [self.admin, self.health],
            &setting.settings,
        );
        let hosts: Vec<String> = self
            .to_database
            .iter()
            .map(|server| server.address.to_string())
            .collect();
        head + &format!(
            r#"
[store]
engine = "postgres"

[store.postgres]
url = "postgresql://impsgw@{hosts}/postgres"
connections = 6
connect_timeout = "1s"
statement_timeout = "3s"
patience = "1s"

[cluster]
listen = "{listen}"
advertise = "{advertise}"
ca = "{certificates}/ca.pem"
certificate = "{certificates}/{name}.pem"
key = "{certificates}/{name}.key.pem"
heartbeat = "500ms"
lease = "{lease}s"
"#,
            hosts = hosts.join(","),
            listen = self.listen,
            advertise = self.from_nodes.address,
            certificates = setting.certificates.display(),
            name = self.name,
            lease = super::LEASE.as_secs(),
        )
    }
}
