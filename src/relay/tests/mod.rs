//! The use cases between scripted egresses, over a real store, under a clock that stands still until it is moved.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one kind of request and passes over all others"
)]

mod admission;
mod alternatives;
mod egress;
mod homes;
mod invites;
mod late;
mod messages;
mod notices;
mod operators;
mod outbox;
mod pacing;
mod presence;
mod repeats;
mod reports;
mod search;
mod seen;
mod transit;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use arc_swap::ArcSwap;
use serde_json::{Value, json};

use self::egress::Scripted;
use super::{IdentitySecret, Ingress, Relay, RelayConfig, RelayParts, RequestKey, Side};
use crate::{
    agreement::{AgreementConfig, Agreements},
    model::{
        Acceptance, Answer, Content, DeliveryReport, Disposition, Domain, Outcome, Protocol,
        RecipientOutcome, Refusal, Request, SendMessage, Timestamp, Trail, TrailId, TrailRecord, WvAddress,
    },
    routing::{HomeDirectory, Override, Router, RoutingConfig},
    store::{
        Claim, OutboxItem, Place, QueueFilter, Store, WorkerId,
        sqlite::{SqliteConfig, SqliteStore, Synchronous},
    },
    telemetry::{Clock, ClockHand},
};

const ADA: &str = "wv:+447700900123";
const BEA: &str = "wv:+46701234567";
const BO: &str = "wv:bo@beta.example";
const GIL: &str = "wv:gil@gamma.example";

/// A gateway for `alpha.example` with the embedded home domain, where Ada has an account; Beta serves numbers of +46 and
/// Gamma those of +49. What neither an override nor an account names has no route for now, because no DNS is configured.
struct World {
    relay: Arc<Relay>,
    store: Arc<dyn Store>,
    agreements: Arc<ArcSwap<Agreements>>,
    router: Arc<Router>,
    accounts: Arc<Accounts>,
    ssp: Arc<Scripted>,
    home: Arc<Scripted>,
    hand: ClockHand,
    clock: Clock,
    trails: Arc<Mutex<Vec<TrailRecord>>>,
    setup: Setup,
    directory: tempfile::TempDir,
}

/// What a test changes of the world before it begins.
#[derive(Clone)]
struct Setup {
    own: Vec<Domain>,
    agreements: Vec<Value>,
    routing: RoutingConfig,
    relay: RelayConfig,
    max_items: Option<u64>,
}

#[derive(Debug, Default)]
struct Accounts(Mutex<HashMap<String, Domain>>);

impl HomeDirectory for Accounts {
    fn account(&self, address: &WvAddress) -> Option<Domain> {
        self.0.lock().unwrap().get(&address.key()).cloned()
    }
}

impl Accounts {
    fn open(&self, key: &str, at: &str) {
        self.0.lock().unwrap().insert(key.into(), domain(at));
    }

    fn close(&self, key: &str) {
        self.0.lock().unwrap().remove(key);
    }
}

impl World {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Setup)) -> Self {
        let mut setup = Setup {
            own: vec![domain("alpha.example")],
            agreements: vec![agreement("beta"), agreement("gamma")],
            routing: RoutingConfig::default(),
            relay: RelayConfig::default(),
            max_items: None,
        };
        change(&mut setup);
        let (clock, hand) = Clock::standing(Timestamp::from_seconds(1_000_000));
        Self::begin(setup, tempfile::tempdir().unwrap(), clock, hand)
    }

    fn begin(setup: Setup, directory: tempfile::TempDir, clock: Clock, hand: ClockHand) -> Self {
        let config = SqliteConfig {
            max_items: setup.max_items,
            synchronous: Synchronous::Off,
            ..SqliteConfig::new(directory.path().join("impsgw.db"))
        };
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&config).unwrap());
        let accounts = Arc::new(Accounts::default());
        accounts.open("+447700900123", "alpha.example");
        let directory_of_home = Arc::clone(&accounts) as Arc<dyn HomeDirectory>;
        let router = Arc::new(Router::new(
            setup.routing.clone(),
            directory_of_home,
            setup.own.clone(),
            clock.clone(),
        ));
        let agreements = Arc::new(ArcSwap::from_pointee(read(&setup.agreements)));
        let ssp = Scripted::new(Protocol::Ssp);
        let home = Scripted::new(Protocol::Home);
        let trails = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&trails);
        let relay = Arc::new(Relay::new(RelayParts {
            config: setup.relay.clone(),
            agreements: Arc::clone(&agreements),
            router: Arc::clone(&router),
            store: Arc::clone(&store),
            shares_store: false,
            egresses: vec![Arc::clone(&ssp) as _, Arc::clone(&home) as _],
            own: setup.own.clone(),
            clock: clock.clone(),
            secret: IdentitySecret::new(&[7; 32]),
            trails: Box::new(move |trail| kept.lock().unwrap().push(trail)),
        }));
        let world = Self {
            relay,
            store,
            agreements,
            router,
            accounts,
            ssp,
            home,
            hand,
            clock,
            trails,
            setup,
            directory,
        };
        world.serves("number", "+46", "beta");
        world.serves("number", "+49", "gamma");
        world.serves("domain", "beta.example", "beta");
        world.serves("domain", "gamma.example", "gamma");
        world
    }

    /// The same gateway after a stop: only the store is left of what it knew.
    async fn restart(self) -> Self {
        self.store.close().await.unwrap();
        let world = Self::begin(self.setup, self.directory, self.clock, self.hand);
        world.relay.waiting().await.unwrap();
        world
    }

    /// From now on this peer serves a number prefix or a domain.
    fn serves(&self, kind: &str, selector: &str, peer: &str) {
        let one = json!({ "selector": { kind: selector }, "to": { "peer": peer } });
        self.router
            .add_override(serde_json::from_value::<Override>(one).unwrap());
    }

    fn agree(&self, agreements: &[Value]) {
        self.agreements.store(Arc::new(read(agreements)));
        self.relay.agreements_changed();
    }

    fn advance(&self, seconds: u64) {
        self.hand.advance(Duration::from_secs(seconds));
    }

    fn trail(&self) -> Arc<Trail> {
        Arc::new(Trail::new(TrailId(fastrand::u64(..)), self.clock.now()))
    }

    /// Somebody of the embedded home domain asks.
    fn ours(&self, id: &str) -> Ingress {
        let domain = self.setup.own[0].clone();
        Ingress {
            side: Side::Home { domain },
            protocol: Protocol::Home,
            key: Some(key(id)),
            via: Vec::new(),
            trail: self.trail(),
        }
    }

    /// A peer asks, on a session between its first domain and our first.
    fn theirs(&self, peer: &str, id: &str) -> Ingress {
        let agreement = self.agreements.load().for_peer(&peer.parse().unwrap()).cloned();
        let agreement = agreement.unwrap();
        Ingress {
            side: Side::Peer {
                own: self.setup.own[0].clone(),
                domain: agreement.config.domains[0].clone(),
                agreement,
            },
            protocol: Protocol::Ssp,
            key: Some(key(id)),
            via: Vec::new(),
            trail: self.trail(),
        }
    }

    async fn handle(&self, ingress: Ingress, request: Request) -> Outcome {
        self.relay.handle(ingress, request).await
    }

    /// Ada sends a message; what became of it for its one recipient.
    async fn ada_sends(&self, id: &str, to: &str) -> Result<Acceptance, Refusal> {
        let answer = self
            .handle(self.ours(id), Request::Send(message(id, ADA, &[to])))
            .await?;
        outcomes(answer).remove(0).outcome
    }

    /// The outbox runs until it is aborted.
    fn run_outbox(&self) -> tokio::task::JoinHandle<()> {
        tokio::spawn(Arc::clone(&self.relay).run_outbox(WorkerId("node".into())))
    }

    /// The outbox works until nothing is due.
    async fn deliver_due(&self) {
        loop {
            let by = WorkerId("worker".into());
            let items = self
                .store
                .claim(Claim {
                    by: by.clone(),
                    now: self.clock.now(),
                    lease: Duration::from_secs(60),
                    limit: 100,
                    except_queues: Vec::new(),
                })
                .await
                .unwrap();
            if items.is_empty() {
                return;
            }
            for item in items {
                self.relay.attempt(item, by.clone()).await;
            }
        }
    }

    async fn waiting(&self) -> Vec<OutboxItem> {
        self.store
            .items(&QueueFilter::default(), None, 1000)
            .await
            .unwrap()
    }

    /// Why the items are dead that are.
    async fn dead(&self) -> Vec<String> {
        let reason = |item: OutboxItem| match item.place {
            Place::Dead { reason } => Some(reason),
            Place::Scheduled { .. } | Place::Leased { .. } | Place::Awaiting { .. } | Place::Held { .. } => {
                None
            }
        };
        self.waiting().await.into_iter().filter_map(reason).collect()
    }
}

/// Waits until something holds.
async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let waiting = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting)
        .await
        .unwrap_or_else(|_| panic!("not within 30 s: {what}"));
}

fn read(agreements: &[Value]) -> Agreements {
    let read = |one: &Value| serde_json::from_value::<AgreementConfig>(one.clone()).unwrap();
    Agreements::new(agreements.iter().map(read).collect())
}

/// An agreement with the operator of `<peer>.example` on everything.
fn agreement(peer: &str) -> Value {
    let all = json!(["search", "presence", "message", "invite", "notice", "group"]);
    json!({
        "peer": peer,
        "domains": [format!("{peer}.example")],
        "servers": ["192.0.2.1:8443"],
        "services": { "in": all, "out": all },
        "limits": { "media_types": ["text/*"] },
    })
}

/// An agreement with one setting changed.
fn agreement_with(peer: &str, name: &str, value: Value) -> Value {
    let mut agreement = agreement(peer);
    agreement[name] = value;
    agreement
}

fn domain(text: &str) -> Domain {
    text.parse().unwrap()
}

fn person(text: &str) -> WvAddress {
    text.parse().unwrap()
}

fn people(all: &[&str]) -> Vec<WvAddress> {
    all.iter().map(|one| person(one)).collect()
}

fn key(id: &str) -> RequestKey {
    RequestKey {
        id: id.into(),
        is_transaction: false,
        hash: RequestKey::hash([id.as_bytes()]),
    }
}

fn message(id: &str, from: &str, to: &[&str]) -> SendMessage {
    SendMessage {
        sender: person(from),
        recipients: people(to),
        id: Some(id.parse().unwrap()),
        report_wanted: true,
        validity: None,
        sent_at: None,
        content: Content::text(id),
        conversation: None,
    }
}

/// The recipient's side says that a message came.
fn report(id: &str, from: &str, to: &str) -> DeliveryReport {
    DeliveryReport {
        message: id.parse().unwrap(),
        sender: person(to),
        recipient: person(from),
        disposition: Disposition::Delivered,
        at: None,
        losses: Vec::new(),
    }
}

fn outcomes(answer: Answer) -> Vec<RecipientOutcome> {
    match answer {
        Answer::Recipients(recipients) | Answer::Sent { recipients, .. } => recipients,
        other @ (Answer::Done | Answer::Found(_) | Answer::Presence(_) | Answer::Group(_)) => {
            panic!("no recipients: {other:?}")
        }
    }
}

/// What is said of one person in an answer.
fn outcome_of(answer: &Answer, who: &str) -> Result<Acceptance, Refusal> {
    answer.for_recipient(&person(who)).unwrap().clone()
}

fn unreachable() -> Refusal {
    Refusal::Unreachable {
        domain: domain("beta.example"),
        reason: "connection refused".into(),
    }
}

fn timed_out() -> Refusal {
    Refusal::TimedOut {
        domain: domain("beta.example"),
    }
}

fn remote(status: u16) -> Refusal {
    Refusal::Remote {
        domain: domain("beta.example"),
        status,
        text: "no".into(),
    }
}
