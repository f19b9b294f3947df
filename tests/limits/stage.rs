//! A gateway for Alpha as a process, Gamma who sends through it, Beta who takes, and an operator who looks at it.
//!
//! Messages are numbered, and every answer to each is kept. Beta can be told to take nothing for a while.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use impsgw::wire::ssp::{
    ContentData, Entity, MessageInfo, MetaInfo, Mode, Primitive, SendMessageRequest, SendMessageResponse,
    SessionId, Status, StatusCode, Transaction, TransactionId, User,
};
use impsgw::zone::{ZoneServer, ZoneSet};
use tokio::{sync::mpsc, time::timeout};

use super::side::{Arrived, Side};
use crate::ports::free_address;

/// Everything, until it is dropped.
pub(super) struct Stage {
    pub(super) gateway: Gateway,
    pub(super) sender: Sender,
    arrivals: Arrivals,
    beta_refuses: Arc<AtomicBool>,
    _dns: ZoneServer,
}

/// The message IDs that each number came under at Beta, in order.
type Arrivals = Arc<Mutex<BTreeMap<u32, Vec<String>>>>;

/// What of a configuration a test chooses.
#[derive(Clone, Default)]
pub(super) struct Setup {
    /// Lines of the section `[store]`.
    pub(super) store: &'static str,
    /// When a message counts as accepted: `store` unless said otherwise.
    pub(super) accept: Option<&'static str>,
    /// Lines of both agreements.
    pub(super) agreement: &'static str,
    /// The folder of the store; a temporary one when there is none.
    pub(super) data: Option<PathBuf>,
    /// What the gateway's process gets of its environment besides ours.
    pub(super) environment: Vec<(String, String)>,
}

impl Stage {
    pub(super) async fn start(setup: Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [ssp, admin, health] = [(); 3].map(|()| free_address());
        let (gamma, answers) = Side::new("gamma.example", ssp).await;
        let (beta, messages) = Side::new("beta.example", ssp).await;
        let dns = ZoneServer::start(zone(&beta), SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .unwrap();
        let listeners = [ssp, admin, health, dns.local_addr()];
        let config = config(&folder, &setup, listeners, [&beta, &gamma]);
        let gateway = Gateway::start(folder, [ssp, admin, health], &config, setup.environment).await;
        let session = gamma.open("alpha.example").await.unwrap();
        let arrivals = Arrivals::default();
        let beta_refuses = Arc::new(AtomicBool::new(false));
        tokio::spawn(take(
            beta,
            messages,
            Arc::clone(&arrivals),
            Arc::clone(&beta_refuses),
        ));
        Self {
            gateway,
            sender: Sender::new(gamma, answers, session),
            arrivals,
            beta_refuses,
            _dns: dns,
        }
    }

    /// From now on Beta answers 503, or takes everything again.
    pub(super) fn beta_refuses(&self, refuses: bool) {
        self.beta_refuses.store(refuses, Ordering::SeqCst);
    }

    /// Whether anything waits for its first attempt, or is in the midst of one.
    pub(super) async fn has_untried_items(&self) -> bool {
        let listed = self
            .gateway
            .ask("GET", "items?queue=beta.example", serde_json::json!({}))
            .await;
        let items = listed.get("items").and_then(|items| items.as_array()).unwrap();
        let is = |item: &serde_json::Value, key, value: serde_json::Value| item.get(key) == Some(&value);
        items
            .iter()
            .any(|item| is(item, "attempts", 0.into()) || is(item, "place", "leased".into()))
    }

    /// How many messages Beta has taken, each counted once.
    pub(super) fn arrived(&self) -> usize {
        self.arrivals.lock().unwrap().len()
    }

    /// Waits until all that was accepted has arrived under one ID each, and returns how many came more than once.
    pub(super) async fn all_arrived(&self) -> usize {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let arrivals = self.arrivals.lock().unwrap().clone();
            let accepted = self.sender.accepted();
            let lost: Vec<_> = accepted
                .iter()
                .filter(|number| !arrivals.contains_key(number))
                .collect();
            if lost.is_empty() {
                let is_one = |ids: &Vec<String>| ids.iter().all(|id| Some(id) == ids.first());
                assert!(arrivals.values().all(is_one), "one message under several IDs");
                return arrivals.values().filter(|ids| ids.len() > 1).count();
            }
            assert!(
                Instant::now() < deadline,
                "{} of {} accepted messages did not arrive: {lost:?}\n{}",
                lost.len(),
                accepted.len(),
                self.gateway.log()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// The operator that sends.
pub(super) struct Sender {
    side: Arc<Side>,
    answers: mpsc::UnboundedReceiver<Arrived>,
    session: SessionId,
    sent: u32,
    answered: BTreeMap<u32, StatusCode>,
}

impl Sender {
    fn new(side: Arc<Side>, answers: mpsc::UnboundedReceiver<Arrived>, session: SessionId) -> Self {
        Self {
            side,
            answers,
            session,
            sent: 0,
            answered: BTreeMap::new(),
        }
    }

    pub(super) fn accepted(&self) -> Vec<u32> {
        let taken = self
            .answered
            .iter()
            .filter(|(_, code)| **code == StatusCode::SUCCESS);
        taken.map(|(number, _)| *number).collect()
    }

    /// The codes of what was refused, and how often each.
    pub(super) fn refusals(&self) -> BTreeMap<u16, usize> {
        let mut refusals = BTreeMap::new();
        for code in self
            .answered
            .values()
            .filter(|code| **code != StatusCode::SUCCESS)
        {
            *refusals.entry(code.0).or_default() += 1;
        }
        refusals
    }

    /// Sends one message and returns the code that it is answered with.
    pub(super) async fn send(&mut self, octets: usize) -> StatusCode {
        let number = self.post(octets);
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(code) = self.answered.get(&number) {
                return *code;
            }
            assert!(Instant::now() < deadline, "message {number} is not answered");
            self.listen().await;
        }
    }

    /// Sends with many under way until something holds.
    pub(super) async fn send_until(&mut self, what: &str, octets: usize, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(
                Instant::now() < deadline,
                "not in time: {what}; accepted {}, refused {:?}",
                self.accepted().len(),
                self.refusals()
            );
            while (self.sent as usize) < self.answered.len() + WINDOW {
                self.post(octets);
            }
            self.listen().await;
        }
    }

    /// Waits for the answers to all that was sent.
    pub(super) async fn all_answered(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while self.answered.len() < self.sent as usize {
            assert!(
                Instant::now() < deadline,
                "{} of {} are not answered",
                self.sent as usize - self.answered.len(),
                self.sent
            );
            self.listen().await;
        }
    }

    fn post(&mut self, octets: usize) -> u32 {
        let number = self.sent;
        self.sent += 1;
        let (side, session) = (Arc::clone(&self.side), self.session.clone());
        tokio::spawn(async move { side.post(session, vec![transaction(number, octets)]).await });
        number
    }

    async fn listen(&mut self) {
        let next = timeout(Duration::from_millis(100), self.answers.recv()).await;
        let Ok(Some((_, transactions))) = next else { return };
        for answer in transactions.into_iter().filter(|one| one.mode == Mode::Response) {
            let number = answer
                .id
                .as_str()
                .strip_prefix("t-")
                .map(|text| text.parse().unwrap());
            let status = if let Primitive::SendMessageResponse(taken) = &answer.primitive {
                &taken.status
            } else if let Primitive::Status(status) = &answer.primitive {
                status
            } else {
                panic!("{answer:?}");
            };
            let code = code_of(status);
            self.answered.extend(number.map(|number: u32| (number, code)));
        }
    }
}

/// The process.
pub(super) struct Gateway {
    child: Child,
    folder: tempfile::TempDir,
    admin: SocketAddr,
    health: SocketAddr,
    data: PathBuf,
}

impl Gateway {
    async fn start(
        folder: tempfile::TempDir,
        [ssp, admin, health]: [SocketAddr; 3],
        config: &str,
        environment: Vec<(String, String)>,
    ) -> Self {
        let data = data_of(config);
        let child = spawn(folder.path(), config, environment);
        let mut gateway = Self {
            child,
            folder,
            admin,
            health,
            data,
        };
        let deadline = Instant::now() + PATIENCE;
        while tokio::net::TcpStream::connect(ssp).await.is_err() || gateway.ready().await.0 != 200 {
            let ended = gateway.child.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "{ended:?}\n{}",
                gateway.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        gateway
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("gateway.log")).unwrap_or_default()
    }

    /// What `/readyz` says.
    pub(super) async fn ready(&self) -> (u16, String) {
        get(self.health, "/readyz").await
    }

    /// Waits until `/readyz` answers this.
    pub(super) async fn becomes(&self, status: u16) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (found, text) = self.ready().await;
            if found == status {
                return text;
            }
            assert!(
                Instant::now() < deadline,
                "/readyz answers {found} {text}\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The value of a metric without labels.
    pub(super) async fn metric(&self, name: &str) -> u64 {
        let (_, page) = get(self.admin, "/metrics").await;
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{page}"))
            .parse()
            .unwrap()
    }

    /// A call of the admin API as the first token's owner.
    pub(super) async fn ask(&self, method: &str, path: &str, body: serde_json::Value) -> serde_json::Value {
        let token = fs::read_to_string(self.data.join("admin-token")).unwrap();
        let url = format!("http://{}/api/v1/{path}", self.admin);
        let request = client()
            .request(method.parse().unwrap(), url)
            .bearer_auth(token.trim());
        request.json(&body).send().await.unwrap().json().await.unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a gateway that is not expected to come up: how it ended, and what it said.
pub(super) async fn start_in_vain(data: &Path) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup {
        data: Some(data.to_owned()),
        ..Setup::default()
    };
    let addresses = [(); 4].map(|()| free_address());
    let config = config(&folder, &setup, addresses, []);
    let mut child = spawn(folder.path(), &config, Vec::new());
    let status = tokio::task::spawn_blocking(move || child.wait().unwrap());
    let status = timeout(PATIENCE, status).await.unwrap().unwrap();
    let log = fs::read_to_string(folder.path().join("gateway.log")).unwrap();
    (status.code(), log)
}

fn spawn(folder: &Path, config: &str, environment: Vec<(String, String)>) -> Child {
    let path = folder.join("gateway.toml");
    fs::write(&path, config).unwrap();
    Command::new(env!("CARGO_BIN_EXE_impsgw"))
        .args(["serve", "--config"])
        .arg(path)
        .envs(environment)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(folder.join("gateway.log")).unwrap())
        .spawn()
        .unwrap()
}

async fn take(
    side: Arc<Side>,
    mut messages: mpsc::UnboundedReceiver<Arrived>,
    arrivals: Arrivals,
    refuses: Arc<AtomicBool>,
) {
    while let Some((session, transactions)) = messages.recv().await {
        let mut answers = Vec::new();
        for transaction in transactions {
            let Primitive::SendMessageRequest(message) = transaction.primitive else {
                continue;
            };
            let message_id = message.info.message_id.unwrap();
            let content = message.content.unwrap().bytes;
            let number = std::str::from_utf8(&content).unwrap();
            let number: u32 = number.split(' ').next().unwrap().parse().unwrap();
            let status = if refuses.load(Ordering::SeqCst) {
                StatusCode::SERVICE_UNAVAILABLE.into()
            } else {
                arrivals
                    .lock()
                    .unwrap()
                    .entry(number)
                    .or_default()
                    .push(message_id.clone());
                StatusCode::SUCCESS.into()
            };
            let response = SendMessageResponse { message_id, status };
            answers.push(Transaction::response(transaction.id, response));
        }
        let side = Arc::clone(&side);
        tokio::spawn(async move { side.post(session, answers).await });
    }
}

/// Each message is of a conversation of its own, so that one which waits holds up no other.
fn transaction(number: u32, octets: usize) -> Transaction {
    let from = format!("wv:s{number}@gamma.example");
    let to = format!("wv:r{number}@beta.example");
    let info = MessageInfo {
        message_id: Some(format!("l-{number}")),
        content_type: Some("text/plain".to_owned()),
        ..MessageInfo::new(Entity::user(from.clone()), vec![Entity::user(to)])
    };
    let text = format!("{number} {}", "x".repeat(octets));
    let request = SendMessageRequest {
        delivery_report: false,
        meta: Some(MetaInfo::for_user(
            "wv:@gamma.example".to_owned(),
            User::new(from),
        )),
        info,
        content: Some(ContentData::text(text)),
    };
    Transaction::request(TransactionId::new(format!("t-{number}")), request)
}

/// Each message has one recipient, so that the one detail says it.
fn code_of(status: &Status) -> StatusCode {
    status.details.first().map_or(status.code, |detail| detail.code)
}

/// Where Beta is.
fn zone(beta: &Side) -> ZoneSet {
    let text = format!(
        "$TTL 300\n@ IN SOA ns hostmaster 1 3600 600 604800 60\n@ IN NS ns\nns IN A 127.0.0.1\n\
         _imps-server._tcp IN SRV 10 0 {} ns\n",
        beta.address.port()
    );
    ZoneSet::parse(&text, &beta.domain.parse().unwrap()).unwrap()
}

async fn get(at: SocketAddr, path: &str) -> (u16, String) {
    let Ok(answer) = client().get(format!("http://{at}{path}")).send().await else {
        return (0, String::new());
    };
    (answer.status().as_u16(), answer.text().await.unwrap_or_default())
}

fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(10))
        .build()
        .unwrap()
}

fn data_of(config: &str) -> PathBuf {
    let line = config.lines().find_map(|line| line.strip_prefix("data_dir = "));
    line.unwrap().trim_matches('"').into()
}

fn config<const PEERS: usize>(
    folder: &tempfile::TempDir,
    setup: &Setup,
    [ssp, admin, health, dns]: [SocketAddr; 4],
    peers: [&Side; PEERS],
) -> String {
    let data = setup.data.clone().unwrap_or_else(|| folder.path().join("data"));
    let mut text = format!(
        r#"[gateway]
domains = ["alpha.example"]
data_dir = "{}"

[ssp]
listen_plain = "{ssp}"

[admin]
listen = "{admin}"
health = "{health}"

[routing]
views = [{{ name = "test", resolvers = ["{dns}"] }}]
apexes = [{{ apex = "e164.example", view = "test", trust = "private" }}]
ladder = {{ ssp = true, sip = false, xmpp = false }}

[relay]
first_retry = "200ms"
longest_retry = "1s"

[store]
{}
"#,
        data.display(),
        setup.store
    );
    for side in peers {
        text.push_str(&format!(
            r#"
[[agreement]]
peer = "{0}"
domains = ["{0}"]
services.in = ["message"]
services.out = ["message"]
servers = ["{1}"]
allowed_networks = ["127.0.0.0/8"]
tls.required = false
transit = true
accept = "{3}"
limits.requests_per_second = 100000
limits.burst = 100000
limits.sender_per_minute = 1000000
{2}
"#,
            side.domain,
            side.address,
            setup.agreement,
            setup.accept.unwrap_or("store")
        ));
    }
    text
}

/// Messages under way at once.
const WINDOW: usize = 24;
/// Longer than anything takes, on however slow a machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);
