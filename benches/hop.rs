//! A whole hop through the relay: a message of a peer admitted, routed, delivered, journalled with fsync and answered.
//!
//! `cargo bench --bench hop`; alone, and 64 and 1024 at once, which share commits. The next hop answers at once and there
//! are no sockets, so what is left is what the relay and the store cost. The directory is `IMPSGW_BENCH_DIR`, else the
//! system's temporary one, which should be on the disk that is to be measured and not in memory.
#![expect(clippy::unwrap_used, reason = "a bench that fails may panic")]

use std::{
    env,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use impsgw::{
    agreement::Agreements,
    model::{Answer, Content, Domain, Protocol, Request, SendMessage, Trail, TrailId, WvAddress},
    relay::{
        Delivery, Egress, IdentitySecret, Ingress, Relay, RelayConfig, RelayParts, RequestKey, Side,
        Undelivered,
    },
    routing::{HomeDirectory, Router, RoutingConfig},
    store::sqlite::{SqliteConfig, SqliteStore},
    telemetry::Clock,
};
use serde_json::json;
use tokio::runtime::Runtime;

/// Takes everything at once.
#[derive(Debug)]
struct Taker;

#[async_trait::async_trait]
impl Egress for Taker {
    fn protocol(&self) -> Protocol {
        Protocol::Ssp
    }

    async fn deliver(&self, _: Delivery) -> Result<Answer, Undelivered> {
        Ok(Answer::Done)
    }
}

/// Nobody has an account here.
#[derive(Debug)]
struct Empty;

impl HomeDirectory for Empty {
    fn account(&self, _: &WvAddress) -> Option<Domain> {
        None
    }
}

struct Bench {
    relay: Arc<Relay>,
    side: Side,
    clock: Clock,
    _directory: tempfile::TempDir,
}

fn hop(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let mut group = criterion.benchmark_group("hop_fsync");
    for at_once in [1_u64, 64, 1024] {
        let bench = Arc::new(bench());
        runtime.block_on(bench.relay.learn_seen()).unwrap();
        group.throughput(Throughput::Elements(at_once));
        group.bench_function(BenchmarkId::from_parameter(at_once), |bencher| {
            bencher.iter_custom(|rounds| runtime.block_on(carry(&bench, at_once, rounds)));
        });
    }
    group.finish();
}

/// How long so many senders take for so many messages each.
#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
async fn carry(bench: &Arc<Bench>, at_once: u64, rounds: u64) -> Duration {
    let start = Instant::now();
    let sending = (0..at_once).map(|_| {
        let bench = Arc::clone(bench);
        tokio::spawn(async move {
            for _ in 0..rounds {
                bench.send().await;
            }
        })
    });
    for sending in sending.collect::<Vec<_>>() {
        sending.await.unwrap();
    }
    start.elapsed()
}

impl Bench {
    async fn send(&self) {
        let id = format!("{:032x}", fastrand::u128(..));
        let message = SendMessage {
            sender: "wv:+46701234567".parse().unwrap(),
            recipients: vec!["wv:cyd@gamma.example".parse().unwrap()],
            id: Some(id.parse().unwrap()),
            report_wanted: false,
            validity: None,
            sent_at: None,
            content: Content::text(&"x".repeat(240)),
            conversation: None,
        };
        let ingress = Ingress {
            side: self.side.clone(),
            protocol: Protocol::Ssp,
            key: Some(RequestKey {
                hash: RequestKey::hash([id.as_bytes()]),
                id,
                is_transaction: false,
            }),
            via: Vec::new(),
            trail: Arc::new(Trail::new(TrailId(fastrand::u64(..)), self.clock.now())),
        };
        let outcome = self.relay.handle(ingress, Request::Send(message)).await;
        assert!(outcome.unwrap().refusals().next().is_none());
    }
}

fn bench() -> Bench {
    let directory = match env::var_os("IMPSGW_BENCH_DIR") {
        Some(within) => tempfile::tempdir_in(within).unwrap(),
        None => tempfile::tempdir().unwrap(),
    };
    let clock = Clock::system();
    let own: Vec<Domain> = vec!["alpha.example".parse().unwrap()];
    let agreements = Agreements::new(vec![
        serde_json::from_value(agreement("home", "alpha.example", "home")).unwrap(),
        serde_json::from_value(agreement("gamma", "gamma.example", "partner")).unwrap(),
    ]);
    let domain = own.first().unwrap();
    let side = Side::Peer {
        agreement: Arc::clone(agreements.for_domain(domain).unwrap()),
        own: domain.clone(),
        domain: domain.clone(),
    };
    let router = Router::new(
        RoutingConfig::default(),
        Arc::new(Empty),
        own.clone(),
        clock.clone(),
    );
    let served = json!({ "selector": { "domain": "gamma.example" }, "to": { "peer": "gamma" } });
    router.add_override(serde_json::from_value(served).unwrap());
    let store = SqliteStore::open(&SqliteConfig::new(directory.path().join("bench.db"))).unwrap();
    let relay = Relay::new(RelayParts {
        config: RelayConfig::default(),
        agreements: Arc::new(ArcSwap::from_pointee(agreements)),
        router: Arc::new(router),
        store: Arc::new(store),
        shares_store: false,
        egresses: vec![Arc::new(Taker)],
        own,
        clock: clock.clone(),
        secret: IdentitySecret::new(&[7; 32]),
        trails: Box::new(drop),
    });
    Bench {
        relay: Arc::new(relay),
        side,
        clock,
        _directory: directory,
    }
}

fn agreement(peer: &str, domain: &str, role: &str) -> serde_json::Value {
    let many = 1_000_000_000;
    json!({
        "peer": peer,
        "domains": [domain],
        "servers": ["192.0.2.1:8443"],
        "role": role,
        "services": { "in": ["message"], "out": ["message"] },
        "limits": { "requests_per_second": many, "burst": many, "sender_per_minute": many },
        "delivery": { "max_in_flight": many, "max_per_second": many },
    })
}

criterion_group!(benches, hop);
criterion_main!(benches);
