//! A whole gateway that is killed under load, at random moments, and started again on what is left of it.
//!
//! Gamma sends without a pause, and repeats under the same ID what was not answered before a kill, as its own store would.
//! Beta takes everything, as often as it comes. What was accepted must have arrived; what arrived twice must have had the same
//! ID, and have been under way when the gateway was killed.
//!
//! `IMPSGW_CRASH_CYCLES=200` kills more often, `IMPSGW_CRASH_SEED=N` plays an earlier run's kills again.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    env,
    fs::{self, File},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use impsgw::wire::ssp::{
    ContentData, Entity, MessageInfo, MetaInfo, Mode, Primitive, SendMessageRequest, SendMessageResponse,
    SessionId, StatusCode, Transaction, TransactionId, User,
};
use impsgw::zone::{ZoneServer, ZoneSet};
use tokio::{sync::mpsc, time::timeout};

use super::side::{Arrived, Side};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_gateway_keeps_what_it_accepted() {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seed = number("IMPSGW_CRASH_SEED").unwrap_or_else(|| fastrand::u64(..1 << 32));
    let cycles = number("IMPSGW_CRASH_CYCLES").unwrap_or(6);
    println!("IMPSGW_CRASH_SEED={seed} IMPSGW_CRASH_CYCLES={cycles}");
    let mut random = fastrand::Rng::with_seed(seed);
    let folder = tempfile::tempdir().unwrap();
    let gateway = free_address(&mut random);
    let (gamma, answers) = Side::new("gamma.example", gateway).await;
    let (beta, messages) = Side::new("beta.example", gateway).await;
    let arrivals = Arc::new(Mutex::new(Arrivals::default()));
    let dns = ZoneServer::start(zone(&beta), SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .unwrap();
    tokio::spawn(take_all(Arc::clone(&beta), messages, Arc::clone(&arrivals)));
    let mut books = Books::default();
    let mut sender = Sender::new(gamma, answers, seed);
    for cycle in 0..cycles {
        // Half of the time messages go through the store, half of the time they are cut through.
        let accept = if random.bool() { "store" } else { "taken" };
        let config = config(
            folder.path(),
            [gateway, dns.local_addr()],
            [&beta, &sender.side],
            accept,
        );
        let mut running = Gateway::start(folder.path(), gateway, &config);
        sender.go_on_after_start().await;
        sender.until_accepted(random.usize(5..150), WINDOW).await;
        sender
            .for_a_while(Duration::from_micros(random.u64(0..20_000)))
            .await;
        books.note(&sender, &arrivals.lock().unwrap());
        running.kill();
        let under_way = sender.unanswered().len();
        println!("killed in cycle {cycle}, accept = {accept}: {under_way} unanswered");
    }
    let config = config(
        folder.path(),
        [gateway, dns.local_addr()],
        [&beta, &sender.side],
        "taken",
    );
    let _last = Gateway::start(folder.path(), gateway, &config);
    sender.go_on_after_start().await;
    let log = || fs::read_to_string(folder.path().join("gateway.log")).unwrap_or_default();
    assert!(
        sender.all_answered().await,
        "{} unanswered\n{}",
        sender.unanswered().len(),
        log()
    );
    assert_eq!(sender.refusals, Vec::<String>::new(), "{}", log());
    let lost = all_arrived(&sender, &arrivals).await;
    assert!(lost.is_empty(), "accepted and lost: {lost:?}\n{}", log());
    let arrivals = arrivals.lock().unwrap();
    books.check(&arrivals);
    println!(
        "{} accepted, {} arrived twice",
        sender.accepted.len(),
        arrivals.repeated()
    );
    assert!(sender.accepted.len() as u64 >= 5 * cycles);
}

/// The operator that sends.
struct Sender {
    side: Arc<Side>,
    answers: mpsc::UnboundedReceiver<Arrived>,
    session: Option<SessionId>,
    /// Part of every message ID.
    run: u64,
    sent: u32,
    accepted: BTreeSet<u32>,
    refusals: Vec<String>,
}

impl Sender {
    fn new(side: Arc<Side>, answers: mpsc::UnboundedReceiver<Arrived>, run: u64) -> Self {
        Self {
            side,
            answers,
            session: None,
            run,
            sent: 0,
            accepted: BTreeSet::new(),
            refusals: Vec::new(),
        }
    }

    fn unanswered(&self) -> Vec<u32> {
        (0..self.sent)
            .filter(|number| !self.accepted.contains(number))
            .collect()
    }

    /// Repeats what was not answered; in a new session when the gateway was killed before it had kept the old one.
    async fn go_on_after_start(&mut self) {
        while let Ok((_, transactions)) = self.answers.try_recv() {
            self.take(transactions);
        }
        if let Some(session) = self.session.clone() {
            let status = self.side.post(session, Vec::from([self.transaction(0)])).await;
            if status != Some(200) {
                self.session = None;
            }
        }
        if self.session.is_none() {
            self.session = Some(self.side.open("alpha.example").await);
        }
        for number in self.unanswered() {
            self.post(number);
        }
    }

    /// Sends until so many more are accepted, with so many under way.
    async fn until_accepted(&mut self, more: usize, window: usize) {
        let enough = self.accepted.len() + more;
        let deadline = Instant::now() + PATIENCE;
        while self.accepted.len() < enough {
            assert!(
                Instant::now() < deadline,
                "{} of {enough} accepted",
                self.accepted.len()
            );
            self.fill(window);
            self.listen(Duration::from_millis(100)).await;
        }
    }

    async fn for_a_while(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.fill(WINDOW);
            self.listen(left).await;
        }
    }

    /// Whether everything is answered in the end.
    async fn all_answered(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while !self.unanswered().is_empty() && Instant::now() < deadline {
            self.listen(Duration::from_millis(100)).await;
        }
        self.unanswered().is_empty()
    }

    fn fill(&mut self, window: usize) {
        while (self.sent as usize) < self.accepted.len() + window {
            self.sent += 1;
            self.post(self.sent - 1);
        }
    }

    /// Takes the next document of answers, if one comes within the time.
    async fn listen(&mut self, time: Duration) {
        if let Ok(Some((_, transactions))) = timeout(time, self.answers.recv()).await {
            self.take(transactions);
        }
    }

    fn take(&mut self, transactions: Vec<Transaction>) {
        for answer in transactions.into_iter().filter(|one| one.mode == Mode::Response) {
            let number = answer
                .id
                .as_str()
                .strip_prefix("t-")
                .and_then(|text| text.parse::<u32>().ok());
            if let Primitive::SendMessageResponse(taken) = &answer.primitive
                && taken.status.code == StatusCode::SUCCESS
            {
                self.accepted.extend(number);
            } else {
                self.refusals.push(format!("{number:?}: {:?}", answer.primitive));
            }
        }
    }

    fn post(&self, number: u32) {
        let (side, transaction) = (Arc::clone(&self.side), self.transaction(number));
        let session = self.session.clone().unwrap();
        tokio::spawn(async move { side.post(session, vec![transaction]).await });
    }

    fn transaction(&self, number: u32) -> Transaction {
        let [from, to] = conversation(number);
        let info = MessageInfo {
            message_id: Some(format!("c-{}-{number}", self.run)),
            content_type: Some("text/plain".to_owned()),
            ..MessageInfo::new(Entity::user(from.clone()), vec![Entity::user(to)])
        };
        let request = SendMessageRequest {
            delivery_report: false,
            meta: Some(MetaInfo::for_user(
                "wv:@gamma.example".to_owned(),
                User::new(from),
            )),
            info,
            content: Some(ContentData::text(number.to_string())),
        };
        Transaction::request(TransactionId::new(format!("t-{number}")), request)
    }
}

/// What came to the operator that takes everything.
#[derive(Default)]
struct Arrivals {
    /// The message IDs that each number came under, in order.
    ids: BTreeMap<u32, Vec<String>>,
    /// The last number of each conversation.
    last: HashMap<[String; 2], u32>,
}

impl Arrivals {
    fn repeated(&self) -> usize {
        self.ids.values().filter(|ids| ids.len() > 1).count()
    }
}

async fn take_all(
    side: Arc<Side>,
    mut messages: mpsc::UnboundedReceiver<Arrived>,
    arrivals: Arc<Mutex<Arrivals>>,
) {
    while let Some((session, transactions)) = messages.recv().await {
        let mut answers = Vec::new();
        for transaction in transactions {
            let Primitive::SendMessageRequest(message) = transaction.primitive else {
                continue;
            };
            let content = message.content.unwrap().bytes;
            let number = std::str::from_utf8(&content).unwrap().parse().unwrap();
            let message_id = message.info.message_id.unwrap();
            {
                let mut arrivals = arrivals.lock().unwrap();
                arrivals.ids.entry(number).or_default().push(message_id.clone());
                arrivals.last.insert(conversation(number), number);
            }
            let status = StatusCode::SUCCESS.into();
            let response = SendMessageResponse { message_id, status };
            answers.push(Transaction::response(transaction.id, response));
        }
        let side = Arc::clone(&side);
        tokio::spawn(async move { side.post(session, answers).await });
    }
}

/// For each message, how many kills met it under way.
#[derive(Default)]
struct Books {
    under_way: HashMap<u32, usize>,
}

impl Books {
    /// Under way is what the sender has no answer to, what was accepted and has not arrived, and the last arrival of each
    /// conversation: its answer may not have been taken yet, while one behind it proves that it was.
    fn note(&mut self, sender: &Sender, arrivals: &Arrivals) {
        let waiting = (0..sender.sent)
            .filter(|number| !sender.accepted.contains(number) || !arrivals.ids.contains_key(number));
        let all: BTreeSet<u32> = waiting.chain(arrivals.last.values().copied()).collect();
        for number in all {
            *self.under_way.entry(number).or_default() += 1;
        }
    }

    fn check(&self, arrivals: &Arrivals) {
        for (number, ids) in &arrivals.ids {
            assert!(
                ids.iter().all(|id| Some(id) == ids.first()),
                "{number} came under {ids:?}"
            );
            let kills = self.under_way.get(number).copied().unwrap_or(0);
            assert!(
                ids.len() <= 1 + kills,
                "{number} came {} times, {kills} kills met it",
                ids.len()
            );
        }
    }
}

/// Waits until everything that was accepted has arrived; what has not in the end.
async fn all_arrived(sender: &Sender, arrivals: &Mutex<Arrivals>) -> Vec<u32> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let missing: Vec<u32> = {
            let arrivals = arrivals.lock().unwrap();
            let missing = |number: &&u32| !arrivals.ids.contains_key(number);
            sender.accepted.iter().filter(missing).copied().collect()
        };
        if missing.is_empty() || Instant::now() > deadline {
            return missing;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The process that is killed, at the latest when the test ends.
struct Gateway(Child);

impl Gateway {
    fn start(folder: &Path, address: SocketAddr, config: &str) -> Self {
        let path = folder.join("gateway.toml");
        fs::write(&path, config).unwrap();
        let log = File::options()
            .create(true)
            .append(true)
            .open(folder.join("gateway.log"))
            .unwrap();
        let mut gateway = Self(
            Command::new(env!("CARGO_BIN_EXE_impsgw"))
                .args(["serve", "--config"])
                .arg(path)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .unwrap(),
        );
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            let ended = gateway.0.try_wait().unwrap();
            let log = || fs::read_to_string(folder.join("gateway.log")).unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "{ended:?}\n{}",
                log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        gateway
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An address that stays ours while nobody listens: below the ports that the system hands out.
fn free_address(random: &mut fastrand::Rng) -> SocketAddr {
    let tried = || SocketAddr::from(([127, 0, 0, 1], random.u16(12_000..32_000)));
    std::iter::repeat_with(tried)
        .find(|address| std::net::TcpListener::bind(address).is_ok())
        .unwrap()
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

fn conversation(number: u32) -> [String; 2] {
    [
        format!("wv:s{}@gamma.example", number % 4),
        format!("wv:r{}@beta.example", number % 3),
    ]
}

fn config(folder: &Path, [listen, dns]: [SocketAddr; 2], peers: [&Side; 2], accept: &str) -> String {
    let mut text = format!(
        r#"[gateway]
domains = ["alpha.example"]
data_dir = "{}/data"

[ssp]
listen_plain = "{listen}"

[routing]
views = [{{ name = "test", resolvers = ["{dns}"] }}]
apexes = [{{ apex = "e164.example", view = "test", trust = "private" }}]
ladder = {{ ssp = true, sip = false, xmpp = false }}

[relay]
first_retry = "100ms"
longest_retry = "1s"
"#,
        folder.display()
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
accept = "{accept}"
limits.requests_per_second = 100000
limits.burst = 100000
limits.sender_per_minute = 1000000
"#,
            side.domain, side.address
        ));
    }
    text
}

/// Messages under way at once.
const WINDOW: usize = 24;
/// Longer than anything takes, on however slow a machine.
const PATIENCE: Duration = Duration::from_secs(90);
