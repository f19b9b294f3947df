//! Three nodes as processes of their own on one PostgreSQL database, an operator that sends and one that takes everything, which
//! reach any of them, and the books.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use impsgw::zone::ZoneServer;
use serde_json::Value;
use tempfile::TempDir;

use super::{
    node::Node,
    senders::{Load, Senders},
};
use crate::{
    ledger::{
        PATIENCE,
        books::{Balance, Excuse, Ledger},
        proxy::Weather,
        receiver::take_all,
        side::Side,
        stage::{Settings, agreement, dead, items, zone},
    },
    store::database::{self, Server},
};

/// Everything that plays.
pub(crate) struct Fleet {
    name: &'static str,
    pub(crate) nodes: Vec<Node>,
    pub(crate) primary: Server,
    pub(crate) standby: Option<Server>,
    pub(crate) bin: PathBuf,
    pub(crate) peer: Arc<Side>,
    senders: Arc<Senders>,
    ledger: Arc<Mutex<Ledger>>,
    setting: Setting,
    _dns: ZoneServer,
    _folder: TempDir,
}

/// What nodes have in common.
pub(crate) struct Setting {
    pub(crate) settings: Settings,
    pub(crate) dns: SocketAddr,
    pub(crate) certificates: PathBuf,
    /// Lines of both agreements.
    agreement: &'static str,
}

/// What a case chooses.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Choice {
    /// Whether the database has a synchronous standby.
    pub(crate) standby: bool,
    /// Lines of both agreements.
    pub(crate) agreement: &'static str,
}

impl Fleet {
    /// Everything runs; none, and said loudly, where PostgreSQL is not installed.
    pub(crate) async fn open(name: &'static str, random: &mut fastrand::Rng, choice: Choice) -> Option<Self> {
        let bin = database::binaries()?;
        let _ = rustls::crypto::ring::default_provider().install_default();
        let primary = Server::start(&bin);
        let standby = choice.standby.then(|| primary.standby(&bin));
        let servers: Vec<SocketAddr> = [Some(&primary), standby.as_ref()]
            .into_iter()
            .flatten()
            .map(Server::address)
            .collect();
        let folder = tempfile::tempdir().unwrap();
        let certificates = certificates(folder.path());
        let mut nodes = Vec::new();
        for node in NODES {
            nodes.push(Node::new(node, folder.path(), &servers, random).await);
        }
        let addresses: Vec<SocketAddr> = nodes.iter().map(|node| node.address).collect();
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let (gamma, answers) = Side::of_many("gamma.example", addresses.clone()).await;
        let (peer, messages) = Side::of_many("beta.example", addresses).await;
        tokio::spawn(take_all(Arc::clone(&peer), messages, Arc::clone(&ledger)));
        let settings = Settings::default();
        let zone = zone(settings.ttl, &peer, peer.address);
        let dns = ZoneServer::start(zone, crate::ports::free_address_of(random))
            .await
            .unwrap();
        let mut fleet = Self {
            name,
            nodes,
            primary,
            standby,
            bin,
            peer,
            senders: Senders::new(gamma, answers, Arc::clone(&ledger), random.u64(..1 << 32)),
            ledger,
            setting: Setting {
                settings,
                dns: dns.local_addr(),
                certificates,
                agreement: choice.agreement,
            },
            _dns: dns,
            _folder: folder,
        };
        for node in 0..NODES.len() {
            fleet.start(node).await;
        }
        Some(fleet)
    }

    /// Starts a node.
    pub(crate) async fn start(&mut self, node: usize) {
        let agreements = self.agreements();
        self.nodes[node].start(&self.setting, &agreements).await;
    }

    /// Kills a node.
    pub(crate) fn kill(&mut self, node: usize) {
        self.nodes[node].kill();
        // Not before: what comes between would be under way, too.
        self.fails();
    }

    /// Something that nodes need begins to fail, or has failed until now.
    pub(crate) fn fails(&self) {
        self.ledger.lock().unwrap().one_of_many_fails();
    }

    /// Changes the network between a node and all servers of the database.
    pub(crate) async fn set_database(&self, node: usize, weather: Weather) {
        for server in &self.nodes[node].to_database {
            server.set(weather).await;
        }
    }

    /// Messages at a pace.
    pub(crate) fn send(&self, per_second: u32) -> Load {
        self.senders.send(per_second)
    }

    /// How many were accepted so far.
    pub(crate) fn accepted(&self) -> usize {
        self.ledger.lock().unwrap().accepted.len()
    }

    /// What senders were told for now, how often each.
    pub(crate) fn not_now(&self) -> Vec<(String, usize)> {
        let ledger = self.ledger.lock().unwrap();
        ledger
            .not_now
            .iter()
            .map(|(what, count)| (what.clone(), *count))
            .collect()
    }

    /// Waits until so many more are accepted.
    pub(crate) async fn until_accepted(&self, more: usize) {
        let enough = self.accepted() + more;
        let deadline = Instant::now() + PATIENCE;
        while self.accepted() < enough {
            assert!(
                Instant::now() < deadline,
                "{}: {} of {enough} accepted, {:?}",
                self.name,
                self.accepted(),
                self.not_now()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until something has arrived, so that the nodes have a session with the peer: a handshake that a fault cuts off is waited
    /// for 45 s.
    pub(crate) async fn until_something_arrived(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.ledger.lock().unwrap().has_arrivals() {
            assert!(
                Instant::now() < deadline,
                "{}: nothing arrived\n{}",
                self.name,
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until nodes answer their probes with this status; what the last one says.
    pub(crate) async fn until_ready_is(&self, status: u16, nodes: &[usize]) -> String {
        self.until_says(status, nodes, "").await
    }

    /// As [`Fleet::until_ready_is`], with these words.
    pub(crate) async fn until_says(&self, status: u16, nodes: &[usize], words: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut text = String::new();
        for node in nodes {
            loop {
                match self.nodes[*node].readiness().await {
                    Some((same, said)) if same == status && said.contains(words) => break text = said,
                    other => assert!(
                        Instant::now() < deadline,
                        "{}: n{}: {other:?} and not {status}",
                        self.name,
                        node + 1
                    ),
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        text
    }

    /// Ends the load, waits until nothing waits in the store, and draws up the balance: nothing lost, nobody told what is not so,
    /// and an excuse for what came again.
    pub(crate) async fn balance(&mut self, load: Load, excuse: Excuse) -> Balance {
        load.end(PATIENCE).await;
        let items = self.until_nothing_waits().await;
        let dead = dead(&items, |id| self.senders.number(id));
        // A report is on its way for a moment after its item has gone.
        let deadline = Instant::now() + Duration::from_secs(5);
        let balance = loop {
            let balance = self.ledger.lock().unwrap().balance(&dead);
            if balance.lost.is_empty() || Instant::now() > deadline {
                break balance;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        println!("{}: {balance}", self.name);
        for (what, count) in self.not_now() {
            println!("{}: {count} times {what}", self.name);
        }
        for (number, what) in &self.ledger.lock().unwrap().refused {
            println!("{}: {number} was refused: {what}", self.name);
        }
        println!("{}", self.log());
        assert!(balance.lost.is_empty(), "lost {:?}", balance.lost);
        assert_eq!(balance.told_and_arrived, Vec::<u32>::new());
        assert_eq!(balance.refused_and_arrived, Vec::<u32>::new());
        self.ledger.lock().unwrap().check_repeats(excuse);
        balance
    }

    /// What the nodes have logged.
    pub(crate) fn log(&self) -> String {
        let logs = self
            .nodes
            .iter()
            .map(|node| format!("--- {}\n{}", node.name, node.log()));
        logs.collect()
    }

    /// The dead letters, once they are all that is in the store: what a dead node had begun waits for its lease.
    async fn until_nothing_waits(&mut self) -> Vec<Value> {
        let deadline = Instant::now() + super::TAKEN_OVER;
        loop {
            let items = self.items().await;
            let waiting = items.as_ref().map(|all| {
                let waits = |item: &&Value| item["place"] != "dead";
                all.iter().filter(waits).count()
            });
            if waiting == Some(0) {
                return items.unwrap();
            }
            assert!(
                Instant::now() < deadline,
                "{}: {waiting:?} wait: {items:#?}",
                self.name
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// What is in the store, as any running node says.
    pub(crate) async fn items(&mut self) -> Option<Vec<Value>> {
        let token = self.nodes.iter().find_map(Node::token)?;
        for node in &mut self.nodes {
            if node.is_running() {
                return items(node.admin, &token).await;
            }
        }
        None
    }

    fn agreements(&self) -> String {
        let mut text = String::new();
        for side in [&self.peer, &self.senders.side] {
            text.push_str(&agreement(side, &self.setting.settings));
            text.push_str(self.setting.agreement);
        }
        // The peer's server is found by its SRV record, the sender's can't be.
        text + &format!("servers = [\"{}\"]\n", self.senders.side.address)
    }
}

impl Drop for Fleet {
    /// Who failed wants to know why.
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", self.log());
        }
    }
}

/// The authority of the nodes and their certificates, as operators make them.
fn certificates(folder: &Path) -> PathBuf {
    let certificates = folder.join("certificates");
    let make = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_impsgw"));
        let made = command
            .arg("cert")
            .args(words)
            .arg("--dir")
            .arg(&certificates)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
    };
    make(&["authority", "nodes"]);
    for node in NODES {
        make(&["node", node]);
    }
    certificates
}

/// By name.
const NODES: [&str; 3] = ["n1", "n2", "n3"];
