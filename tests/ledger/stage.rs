//! A gateway as a process of its own, with an operator that sends and one that takes everything on either side, a network
//! and a name server that can fail, and the books of what it accepted.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use impsgw::zone::{ZoneServer, ZoneSet};
use serde_json::Value;
use tempfile::TempDir;

use super::{
    PATIENCE,
    books::{Balance, Excuse, Ledger},
    clock::WallClock,
    gateway::{Gateway, Ground},
    proxy::{Proxy, Weather},
    receiver::take_all,
    sender::Sender,
    side::Side,
};
use crate::ports::free_address_of;

/// Everything that plays.
pub(crate) struct Stage {
    name: &'static str,
    pub(crate) sender: Sender,
    pub(crate) peer: Arc<Side>,
    /// From the gateway to the peer, and back.
    pub(crate) to_peer: Arc<Proxy>,
    pub(crate) from_peer: Arc<Proxy>,
    pub(crate) clock: WallClock,
    /// How the gateway is set; counts from its next start.
    pub(crate) settings: Settings,
    /// What the gateway's next process stands on.
    pub(crate) ground: Ground,
    pub(crate) ledger: Arc<Mutex<Ledger>>,
    gateway: Option<Gateway>,
    address: SocketAddr,
    admin: [SocketAddr; 2],
    dns: Option<ZoneServer>,
    dns_address: SocketAddr,
    folder: TempDir,
}

/// Keys of the configuration that cases set.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// `taken` or `store`.
    pub(crate) accept: &'static str,
    /// `strict`, whose peers tell repeats apart, or `observed`.
    pub(crate) profile: &'static str,
    /// How long an answer is waited for, in milliseconds: in all, and by one attempt.
    pub(crate) answer_timeout: u32,
    pub(crate) query_timeout: u32,
    /// TTL of what the name server says, in seconds.
    pub(crate) ttl: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            accept: "taken",
            profile: "strict",
            answer_timeout: 3000,
            query_timeout: 3000,
            ttl: 300,
        }
    }
}

impl Stage {
    /// Everything but the gateway runs.
    pub(crate) async fn new(name: &'static str, random: &mut fastrand::Rng, settings: Settings) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let address = free_address_of(random);
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let (gamma, answers) = Side::new("gamma.example", address).await;
        let from_peer = Proxy::start(free_address_of(random), address).await;
        let (peer, messages) = Side::new("beta.example", from_peer.address).await;
        let to_peer = Proxy::start(free_address_of(random), peer.address).await;
        tokio::spawn(take_all(Arc::clone(&peer), messages, Arc::clone(&ledger)));
        let mut stage = Self {
            name,
            sender: Sender::new(gamma, answers, Arc::clone(&ledger), random.u64(..1 << 32)),
            peer,
            to_peer,
            from_peer,
            clock: WallClock::new(folder.path()),
            settings,
            ground: Ground::default(),
            ledger,
            gateway: None,
            address,
            admin: [free_address_of(random), free_address_of(random)],
            dns: None,
            dns_address: free_address_of(random),
            folder,
        };
        stage.start_dns().await;
        stage
    }

    /// As [`Stage::new`], with the gateway.
    pub(crate) async fn open(name: &'static str, random: &mut fastrand::Rng, settings: Settings) -> Self {
        let mut stage = Self::new(name, random, settings).await;
        stage.start().await;
        stage
    }

    /// Starts the gateway, on what an earlier process left.
    pub(crate) async fn start(&mut self) {
        let config = self.config();
        let clock = &self.clock;
        self.gateway = Gateway::start(self.folder.path(), self.address, &config, self.ground, clock).await;
        let deadline = Instant::now() + PATIENCE;
        while self.is_running() && !self.sender.go_on_after_start().await {
            assert!(Instant::now() < deadline, "no session\n{}", self.log());
        }
    }

    /// Kills the gateway, unless it has died by itself.
    pub(crate) fn kill(&mut self) {
        self.ledger.lock().unwrap().killed();
        drop(self.gateway.take());
    }

    /// Whether the gateway has not died by itself.
    pub(crate) fn is_running(&mut self) -> bool {
        self.gateway.as_mut().is_some_and(Gateway::is_running)
    }

    /// The name server goes away.
    pub(crate) async fn stop_dns(&mut self) {
        if let Some(dns) = self.dns.take() {
            dns.shutdown().await;
        }
    }

    /// It comes back, at the same address.
    pub(crate) async fn start_dns(&mut self) {
        if self.dns.is_some() {
            return;
        }
        let dns = ZoneServer::start(self.zone(), self.dns_address).await.unwrap();
        self.dns = Some(dns);
    }

    /// Changes the network between the gateway and the peer, both ways.
    pub(crate) async fn set_network(&self, weather: Weather) {
        self.to_peer.set(weather).await;
        self.from_peer.set(weather).await;
    }

    /// Waits until everything is answered and nothing waits in the gateway, and draws up the balance: nothing lost, nobody told
    /// what is not so, and an excuse for what came again.
    pub(crate) async fn balance(&mut self, excuse: Excuse) -> Balance {
        assert!(
            self.sender.all_answered().await,
            "{}: {} unanswered\n{}",
            self.name,
            self.sender.unanswered().len(),
            self.log()
        );
        let items = self.until_nothing_waits().await;
        let dead = dead(&items, |id| self.sender.number(id));
        // A report is on its way for a moment after its item has gone.
        let deadline = Instant::now() + Duration::from_secs(5);
        let balance = loop {
            let balance = self.ledger.lock().unwrap().balance(&dead);
            if balance.lost.is_empty() || Instant::now() > deadline {
                break balance;
            }
            self.sender.wait(Duration::from_millis(50)).await;
        };
        println!("{}: {balance}", self.name);
        assert!(balance.lost.is_empty(), "lost {:?}\n{}", balance.lost, self.log());
        let history = |number: &u32| self.ledger.lock().unwrap().history(*number);
        let histories: Vec<_> = balance.told_and_arrived.iter().map(history).collect();
        assert!(histories.is_empty(), "{histories:#?}\n{}", self.log());
        assert_eq!(balance.refused_and_arrived, Vec::<u32>::new(), "{}", self.log());
        self.ledger.lock().unwrap().check_repeats(excuse);
        balance
    }

    /// What the gateways of this stage have logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("gateway.log")).unwrap_or_default()
    }

    /// The dead letters, once they are all that is in the store; patient as long as the first ones go.
    async fn until_nothing_waits(&mut self) -> Vec<Value> {
        let mut deadline = Instant::now() + PATIENCE;
        let mut first = Value::Null;
        loop {
            let items = self.items().await;
            let waiting = items.iter().find(|item| item["place"] != "dead");
            let Some(waiting) = waiting else {
                return items;
            };
            if waiting["id"] != first {
                first = waiting["id"].clone();
                deadline = Instant::now() + PATIENCE;
            }
            assert!(
                Instant::now() < deadline,
                "{}: {} wait, such as {:#}\n{}",
                self.name,
                items.len(),
                waiting,
                self.log()
            );
            self.sender.wait(Duration::from_millis(100)).await;
        }
    }

    /// Up to a thousand items of the store.
    pub(crate) async fn items(&self) -> Vec<Value> {
        let token = fs::read_to_string(self.folder.path().join("data/admin-token")).unwrap();
        items(self.admin[0], &token).await.unwrap()
    }

    /// Where the peer is, and whose a number is.
    fn zone(&self) -> ZoneSet {
        zone(self.settings.ttl, &self.peer, self.to_peer.address)
    }

    fn config(&self) -> String {
        let data = self.folder.path().join("data");
        let addresses = (self.address, self.dns_address);
        let mut text = head(("alpha", &data), addresses, self.admin, &self.settings);
        for side in [&self.peer, &self.sender.side] {
            text.push_str(&agreement(side, &self.settings));
        }
        // The peer's server is found by its SRV record, the sender's can't be.
        text + &format!("servers = [\"{}\"]\n", self.sender.side.address)
    }
}

/// Up to a thousand items of a store, by the admin API of a gateway; none while that can't say.
pub(crate) async fn items(admin: SocketAddr, token: &str) -> Option<Vec<Value>> {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client
        .get(format!("http://{admin}/api/v1/items?limit=1000"))
        .bearer_auth(token.trim())
        .send()
        .await
        .ok()?;
    let answer: Value = answer.json().await.ok()?;
    answer["items"].as_array().cloned()
}

/// By number, why each is a dead letter.
pub(crate) fn dead(items: &[Value], number: impl Fn(&str) -> Option<u32>) -> BTreeMap<u32, String> {
    let line = |item: &Value| {
        let labels = item["labels"].as_array()?;
        let number = labels.iter().find_map(|label| number(label.as_str()?))?;
        Some((number, item["detail"].to_string()))
    };
    items.iter().filter_map(line).collect()
}

/// Where a peer is, and whose a number is.
pub(crate) fn zone(ttl: u32, peer: &Side, at: SocketAddr) -> ZoneSet {
    let text = format!(
        "$TTL {}\n@ IN SOA ns hostmaster 1 3600 600 604800 60\n@ IN NS ns\nns IN A 127.0.0.1\n\
             _imps-server._tcp IN SRV 10 0 {} ns\n\
             3.2.1.0.0.9.0.0.7.7.4.4.e164 IN NAPTR 100 10 \"u\" \"E2U+im\" \"!^.*$!im:r0@beta.example!\" .\n",
        ttl,
        at.port()
    );
    ZoneSet::parse(&text, &peer.domain.parse().unwrap()).unwrap()
}

/// All but the agreements, for a node of this name.
pub(crate) fn head(
    (node, data): (&str, &Path),
    (listen, dns): (SocketAddr, SocketAddr),
    [admin, health]: [SocketAddr; 2],
    settings: &Settings,
) -> String {
    format!(
        r#"[gateway]
node = "{node}"
domains = ["alpha.example"]
data_dir = "{}"

[admin]
listen = "{admin}"
health = "{health}"

[ssp]
listen_plain = "{listen}"
exchange_timeout = "2s"
connect_timeout = "1s"

[routing]
views = [{{ name = "test", resolvers = ["{dns}"], timeout = "200ms" }}]
apexes = [{{ apex = "e164.beta.example", view = "test", trust = "private" }}]
ladder = {{ ssp = true, sip = false, xmpp = false }}
cache.failure_ttl = "1s"
cache.stale_ttl = "1s"
cache.stale_wait = "200ms"

[relay]
cut_through = "1s"
query_timeout = "{}ms"
first_retry = "100ms"
longest_retry = "1s"
"#,
        data.display(),
        settings.query_timeout
    )
}

/// An agreement with a side that takes and sends messages.
pub(crate) fn agreement(side: &Side, settings: &Settings) -> String {
    format!(
        r#"
[[agreement]]
peer = "{0}"
domains = ["{0}"]
profile = "{1}"
services.in = ["message"]
services.out = ["message"]
allowed_networks = ["127.0.0.0/8"]
tls.required = false
transit = true
accept = "{2}"
answer_timeout = "{3}ms"
limits.requests_per_second = 100000
limits.burst = 100000
limits.sender_per_minute = 1000000
"#,
        side.domain, settings.profile, settings.accept, settings.answer_timeout
    )
}
