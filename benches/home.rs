//! What the home domain takes for many subscribers: memory when all are online and watched, the time of an import, of a
//! presence change, and of a login with a long contact list.
//!
//! `cargo bench --bench home`, which takes 2,000 subscribers; with `IMPSGW_SUBSCRIBERS=100000`, so many. Each is watched
//! by 20 people of one partner, whose requests come through the relay as they do from a peer. Requests of subscribers come
//! over HTTP. The store is a file; its directory is `IMPSGW_BENCH_DIR`, else the system's temporary one.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench that fails may panic, prints and measures time"
)]

use std::{
    env,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use futures_util::stream::{self, StreamExt};
use impsgw::{
    agreement::Agreements,
    gateways::home::{HomeConfig, HomeDomain, HomeDomainConfig, Imported, NewAccount},
    model::{Answer, ByteSize, Domain, Protocol, Request, Subscribe, Trail, TrailId, WvAddress},
    relay::{
        Delivery, Egress, IdentitySecret, Ingress, Relay, RelayConfig, RelayParts, RequestKey, Side,
        Undelivered,
    },
    routing::{Router, RoutingConfig},
    store::sqlite::{SqliteConfig, SqliteStore},
    telemetry::Clock,
};
use serde_json::{Value, json};

/// What the program itself allocates with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// People who watch each subscriber.
const WATCHERS: usize = 20;
/// Subscribers whom a watcher asks for in one request.
const AT_ONCE: usize = 50;
/// Contacts of the subscriber who logs in.
const CONTACTS: usize = 500;
/// Logins that are timed.
const LOGINS: usize = 40;

/// The partner: takes everything, and counts the notifications and whom they are for.
#[derive(Debug, Default)]
struct Partner {
    notifications: AtomicUsize,
    told: AtomicUsize,
}

#[async_trait::async_trait]
impl Egress for Partner {
    fn protocol(&self) -> Protocol {
        Protocol::Ssp
    }

    async fn deliver(&self, delivery: Delivery) -> Result<Answer, Undelivered> {
        if let Request::Notify(notification) = &delivery.request {
            self.notifications.fetch_add(1, Ordering::Relaxed);
            self.told
                .fetch_add(notification.watchers.len(), Ordering::Relaxed);
        }
        Ok(Answer::Done)
    }
}

struct Bench {
    home: Arc<HomeDomain>,
    relay: Arc<Relay>,
    partner: Arc<Partner>,
    side: Side,
    clock: Clock,
    api: SocketAddr,
    http: reqwest::Client,
    _directory: tempfile::TempDir,
}

fn main() {
    // The client wants one, though nothing here speaks TLS.
    rustls::crypto::ring::default_provider()
        .install_default()
        .unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let asked = env::var("IMPSGW_SUBSCRIBERS").ok();
    let count = asked.and_then(|count| count.parse().ok()).unwrap_or(2_000);
    runtime.block_on(async {
        many(count).await;
        login().await;
    });
}

/// Everybody online and watched; passwords cost next to nothing, so that the logins end.
async fn many(count: usize) {
    let bench = start(|config| {
        config.limits.password_memory = ByteSize::kib(8);
        config.limits.password_passes = 1;
    })
    .await;
    let empty = resident();

    let begun = Instant::now();
    let people = bench
        .home
        .import_accounts((0..count).map(new).collect())
        .await
        .unwrap();
    println!("import         {count} accounts in {:.2?}", begun.elapsed());
    bench.print_memory(count, empty);

    let begun = Instant::now();
    bench.watch(count).await;
    println!("subscriptions  {} in {:.2?}", count * WATCHERS, begun.elapsed());

    bench.partner.notifications.store(0, Ordering::Relaxed);
    let begun = Instant::now();
    let tokens: Vec<String> = stream::iter(&people)
        .map(|one| bench.log_in(one))
        .buffered(8)
        .collect()
        .await;
    bench.home.underway().idle().await;
    println!("logins         {count} in {:.2?}, eight at once", begun.elapsed());
    bench.print_memory(count, empty);

    let before = (
        bench.partner.notifications.load(Ordering::Relaxed),
        bench.partner.told.load(Ordering::Relaxed),
    );
    let changes = count.min(1_000);
    let begun = Instant::now();
    stream::iter(tokens.iter().take(changes))
        .for_each_concurrent(8, |token| bench.change_presence(token))
        .await;
    bench.home.underway().idle().await;
    let notifications = bench.partner.notifications.load(Ordering::Relaxed) - before.0;
    let told = bench.partner.told.load(Ordering::Relaxed) - before.1;
    println!(
        "changes        {changes} in {:.2?}: {notifications} notifications for {told} watchers",
        begun.elapsed()
    );
    assert_eq!(told, changes * WATCHERS, "everybody was told of each change");
}

/// One subscriber with a long contact list and a password at its usual cost logs in, again and again.
async fn login() {
    let bench = start(|_| {}).await;
    let people = bench.home.import_accounts(vec![new(0)]).await.unwrap();
    let one = people.first().unwrap();
    let token = &bench.log_in(one).await;
    for n in 0..CONTACTS {
        let contact = json!({ "address": format!("wv:+46709{n:06}") });
        bench
            .ask(reqwest::Method::POST, "contacts", Some(token), contact)
            .await;
    }
    bench.home.underway().idle().await;
    let mut times = Vec::with_capacity(LOGINS);
    for _ in 0..LOGINS {
        let begun = Instant::now();
        bench.log_in(one).await;
        times.push(begun.elapsed());
        bench.home.underway().idle().await;
    }
    times.sort_unstable();
    let at = |share: usize| {
        times
            .get((LOGINS * share / 100).min(LOGINS - 1))
            .copied()
            .unwrap_or_default()
    };
    println!(
        "login          with {CONTACTS} contacts: median {:.1?}, p95 {:.1?}, longest {:.1?}",
        at(50),
        at(95),
        at(100)
    );
}

impl Bench {
    /// Has everybody watched by people of the partner, who come through the relay.
    async fn watch(&self, count: usize) {
        let everybody: Vec<WvAddress> = (0..count).map(address).collect();
        // Watchers of one group of subscribers are others than those of the next.
        let requests = everybody.chunks(AT_ONCE).enumerate().flat_map(|(group, people)| {
            let watcher = move |n| format!("wv:+4670{:07}", (group * WATCHERS + n) % 10_000_000);
            (0..WATCHERS).map(move |n| {
                Request::Subscribe(Subscribe {
                    watcher: watcher(n).parse().unwrap(),
                    presentities: people.to_vec(),
                    attributes: Vec::new(),
                })
            })
        });
        stream::iter(requests)
            .for_each_concurrent(64, |request| async move {
                let id = format!("{:032x}", fastrand::u128(..));
                let ingress = Ingress {
                    side: self.side.clone(),
                    protocol: Protocol::Ssp,
                    key: Some(RequestKey {
                        hash: RequestKey::hash([id.as_bytes()]),
                        id,
                        is_transaction: true,
                    }),
                    via: Vec::new(),
                    trail: Arc::new(Trail::new(TrailId(fastrand::u64(..)), self.clock.now())),
                };
                let answer = self.relay.handle(ingress, request).await.unwrap();
                assert!(answer.refusals().next().is_none(), "{answer:?}");
            })
            .await;
        self.home.underway().idle().await;
    }

    async fn log_in(&self, one: &Imported) -> String {
        let login = json!({ "user": one.account.number.to_string(), "password": one.password });
        let answer = self.ask(reqwest::Method::POST, "login", None, login).await;
        answer.get("token").and_then(Value::as_str).unwrap().to_owned()
    }

    async fn change_presence(&self, token: &str) {
        let attributes = json!({ "StatusText": "out for a walk", "UserAvailability": "DISCREET" });
        let presence = json!({ "attributes": attributes });
        self.ask(reqwest::Method::PUT, "presence", Some(token), presence)
            .await;
    }

    async fn ask(&self, method: reqwest::Method, path: &str, token: Option<&str>, body: Value) -> Value {
        let request = self
            .http
            .request(method, format!("http://{}/v1/{path}", self.api))
            .json(&body);
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    fn print_memory(&self, count: usize, empty: u64) {
        let taken = resident().saturating_sub(empty);
        println!(
            "memory         {} MB more resident than empty, {} octets a subscriber",
            taken / 1_000_000,
            taken / count as u64
        );
    }
}

async fn start(change: impl FnOnce(&mut HomeConfig)) -> Bench {
    let directory = match env::var_os("IMPSGW_BENCH_DIR") {
        Some(within) => tempfile::tempdir_in(within).unwrap(),
        None => tempfile::tempdir().unwrap(),
    };
    let clock = Clock::system();
    let own: Domain = "alpha.example".parse().unwrap();
    let store = SqliteStore::open(&SqliteConfig::new(directory.path().join("bench.db"))).unwrap();
    let store = Arc::new(store);
    let mut config = HomeConfig {
        domains: vec![HomeDomainConfig {
            name: own.clone(),
            numbers: vec!["+4479".into()],
        }],
        ..HomeConfig::default()
    };
    config.limits.requests_per_minute = 1_000_000;
    change(&mut config);
    let home = HomeDomain::new(config, Arc::<SqliteStore>::clone(&store), clock.clone())
        .await
        .unwrap();
    let agreements = Agreements::new(vec![serde_json::from_value(agreement()).unwrap()]);
    let beta: Domain = "beta.example".parse().unwrap();
    let side = Side::Peer {
        agreement: Arc::clone(agreements.for_domain(&beta).unwrap()),
        own: own.clone(),
        domain: beta,
    };
    let directory_of_home = Arc::<HomeDomain>::clone(&home);
    let router = Router::new(
        RoutingConfig::default(),
        directory_of_home,
        vec![own.clone()],
        clock.clone(),
    );
    let partners = json!({ "selector": { "number": "+467" }, "to": { "peer": "beta" } });
    router.add_override(serde_json::from_value(partners).unwrap());
    let partner = Arc::new(Partner::default());
    let egresses: Vec<Arc<dyn Egress>> =
        vec![Arc::<HomeDomain>::clone(&home), Arc::<Partner>::clone(&partner)];
    let relay = Arc::new(Relay::new(RelayParts {
        config: RelayConfig::default(),
        agreements: Arc::new(ArcSwap::from_pointee(agreements)),
        router: Arc::new(router),
        store,
        shares_store: false,
        egresses,
        own: vec![own],
        clock: clock.clone(),
        secret: IdentitySecret::new(&[7; 32]),
        trails: Box::new(drop),
    }));
    home.connect(Arc::downgrade(&relay));
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap();
    let api = listener.local_addr().unwrap();
    let routes = home.api();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Bench {
        home,
        relay,
        partner,
        side,
        clock,
        api,
        http: reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(60))
            .build()
            .unwrap(),
        _directory: directory,
    }
}

fn new(n: usize) -> NewAccount {
    NewAccount {
        number: format!("+4479{n:08}").parse().unwrap(),
        user: format!("user{n}"),
        domain: None,
        friendly_name: format!("User {n}"),
        password: String::new(),
        language: None,
    }
}

fn address(n: usize) -> WvAddress {
    format!("wv:+4479{n:08}").parse().unwrap()
}

fn agreement() -> Value {
    let many = 1_000_000_000;
    json!({
        "peer": "beta",
        "domains": ["beta.example"],
        "servers": ["192.0.2.1:8443"],
        "role": "partner",
        "services": { "in": ["presence", "notice"], "out": ["presence", "notice"] },
        "limits": { "max_subscriptions": many, "requests_per_second": many, "burst": many, "sender_per_minute": many },
        "delivery": { "max_in_flight": many, "max_per_second": many },
    })
}

/// Resident memory of this process, in octets.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = pages
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}
