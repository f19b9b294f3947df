//! The API over real sockets on loopback: who gets in, what is refused, what is changed and audited.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::{
    model::{
        ByteSize, Domain, PeerName, Service, Step, StepEvent, Stop, Timestamp, TrailId, TrailRecord,
        WvAddress,
    },
    relay::{IdentitySecret, PaceState, RelayConfig, RelayParts},
    routing::{HomeDirectory, RoutingConfig},
    store::{
        Batch, Claim, Committed, HeldLease, ItemId, Lane, Leased, OutboxItem, Place, PlaceName, Priority,
        QueueCount, QueueFilter, Row, Settle, Space, StoreError, WorkerId,
    },
    telemetry::TrailConfig,
};

const NOW: Timestamp = Timestamp(1_800_000_000_000);

/// A store in memory that knows what the admin API uses: rows, items, and an operator's settlements.
#[derive(Debug, Default)]
struct Memory {
    rows: Mutex<BTreeMap<(Space, String), Row>>,
    items: Mutex<BTreeMap<ItemId, OutboxItem>>,
}

#[async_trait::async_trait]
impl Store for Memory {
    async fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        for write in batch.writes {
            let key = (write.space, write.key.clone());
            match write.value {
                Some(value) => {
                    let row = Row {
                        key: write.key,
                        value,
                        version: 1,
                        expires: write.expires,
                    };
                    rows.insert(key, row);
                }
                None => {
                    rows.remove(&key);
                }
            }
        }
        let mut items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, settle) in batch.settle {
            match settle.clone() {
                Settle::Hold { by } => items.get_mut(&id).unwrap().place = Place::Held { by },
                Settle::Release { due } => items.get_mut(&id).unwrap().place = Place::Scheduled { due },
                Settle::Discard => {
                    items.remove(&id);
                }
                Settle::Done { .. }
                | Settle::Reschedule { .. }
                | Settle::Await { .. }
                | Settle::Answered
                | Settle::NotTaken { .. }
                | Settle::Unsure { .. }
                | Settle::Bury { .. }
                | Settle::Redirect { .. } => panic!("the admin API does not settle so: {settle:?}"),
            }
        }
        Ok(Committed::Done)
    }

    async fn row(&self, space: Space, key: &str, now: Timestamp) -> Result<Option<Row>, StoreError> {
        let rows = self.rows.lock().unwrap();
        let row = rows.get(&(space, key.to_owned()));
        Ok(row.filter(|row| row.expires.is_none_or(|end| end > now)).cloned())
    }

    async fn rows(
        &self,
        space: Space,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Row>, StoreError> {
        let rows = self.rows.lock().unwrap();
        let meant = rows.iter().filter(|((of, key), row)| {
            *of == space
                && key.starts_with(prefix)
                && after.is_none_or(|after| key.as_str() > after)
                && row.expires.is_none_or(|end| end > now)
        });
        Ok(meant.map(|(_, row)| row.clone()).take(limit).collect())
    }

    async fn claim(&self, _: Claim) -> Result<Vec<OutboxItem>, StoreError> {
        Ok(Vec::new())
    }

    async fn item(&self, id: ItemId) -> Result<Option<OutboxItem>, StoreError> {
        Ok(self.items.lock().unwrap().get(&id).cloned())
    }

    async fn items(
        &self,
        filter: &QueueFilter,
        after: Option<ItemId>,
        limit: usize,
    ) -> Result<Vec<OutboxItem>, StoreError> {
        let items = self.items.lock().unwrap();
        let meant = items.values().filter(|item| {
            after.is_none_or(|after| item.id > after)
                && filter
                    .queue
                    .as_ref()
                    .is_none_or(|queue| *queue == item.lane.queue)
                && filter.place.is_none_or(|place| place == item.place.name())
        });
        Ok(meant.take(limit).cloned().collect())
    }

    async fn late(
        &self,
        _: Timestamp,
        _: Option<(Timestamp, ItemId)>,
        _: usize,
    ) -> Result<Vec<OutboxItem>, StoreError> {
        Ok(Vec::new())
    }

    async fn counts(&self) -> Result<Vec<QueueCount>, StoreError> {
        let count = u64::try_from(self.items.lock().unwrap().len()).unwrap();
        Ok(vec![QueueCount {
            queue: "beta.example".into(),
            place: PlaceName::Dead,
            count,
            oldest: NOW.minus(Duration::from_secs(60)),
        }])
    }

    async fn waiting_in(&self, _: &str) -> Result<Option<Lane>, StoreError> {
        Ok(None)
    }

    async fn lanes(&self, _: Option<&Lane>, _: usize) -> Result<Vec<Lane>, StoreError> {
        Ok(Vec::new())
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(None)
    }

    async fn lease(&self, _: &str, _: &WorkerId, _: Duration, _: Timestamp) -> Result<Leased, StoreError> {
        panic!("the admin API takes no leases")
    }

    async fn unlease(&self, _: &str, _: &WorkerId) -> Result<(), StoreError> {
        panic!("the admin API gives no leases up")
    }

    async fn leases(&self, _: &str, _: Timestamp) -> Result<Vec<HeldLease>, StoreError> {
        Ok(Vec::new())
    }

    async fn expire(&self, _: Timestamp, _: usize) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// One peer, `beta`, with one open session until it is suspended.
#[derive(Default)]
struct OnePeer {
    suspended: Mutex<Option<String>>,
}

#[async_trait::async_trait]
impl Board for OnePeer {
    fn peers(&self) -> Vec<PeerState> {
        vec![PeerState {
            peer: "beta".parse().unwrap(),
            protocol: "ssp".into(),
            suspended: self.suspended.lock().unwrap().clone(),
            sessions: vec![SessionState {
                own: "alpha.example".parse().unwrap(),
                theirs: "beta.example".parse().unwrap(),
                state: "open".into(),
                since: Some(NOW),
                under_way: 0,
            }],
            pace: Some(PaceState {
                in_flight: 1,
                most_in_flight: 7,
                per_second: 70,
                is_cut: true,
                failed: 3,
                last_failure: None,
            }),
            set_aside: Vec::new(),
        }]
    }

    fn certificates(&self) -> Vec<CertificateState> {
        vec![CertificateState {
            subject: "CN=alpha.example".into(),
            issuer: "CN=authority".into(),
            names: vec!["alpha.example".into()],
            not_after: NOW.plus(Duration::from_secs(9 * 86_400)),
            days_left: 9,
        }]
    }

    async fn suspend(&self, peer: &PeerName, reason: &str) -> Result<(), LeverError> {
        if peer.as_str() != "beta" {
            return Err(LeverError::Unknown(peer.clone()));
        }
        *self.suspended.lock().unwrap() = Some(reason.to_owned());
        Ok(())
    }

    async fn resume(&self, _: &PeerName) -> Result<(), LeverError> {
        *self.suspended.lock().unwrap() = None;
        Ok(())
    }

    async fn reconnect(&self, _: &PeerName) -> Result<(), LeverError> {
        Err(LeverError::Failed("no server answers".into()))
    }
}

#[derive(Debug)]
struct Nobody;

impl HomeDirectory for Nobody {
    fn account(&self, _: &WvAddress) -> Option<Domain> {
        None
    }
}

pub(crate) struct Node {
    pub(crate) port: u16,
    store: Arc<Memory>,
    trails: Arc<TrailBook>,
    pub(crate) dir: tempfile::TempDir,
}

struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }

    fn code(&self) -> String {
        self.json()["error"]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

impl Node {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (clock, _) = Clock::standing(NOW);
        let store = Arc::new(Memory::default());
        let config = TrailConfig {
            max_size: ByteSize::mib(8),
            ..TrailConfig::default()
        };
        let trails = Arc::new(TrailBook::open(dir.path().join("trails"), &config, clock.clone()).unwrap());
        let own: Vec<Domain> = vec!["alpha.example".parse().unwrap()];
        let routing = RoutingConfig::default();
        let router = Router::new(routing, Arc::new(Nobody), own.clone(), clock.clone());
        let router = Arc::new(router);
        let parts = AdminParts {
            node: "n1".into(),
            since: NOW,
            hosts: vec!["noc.alpha.example".into()],
            store: Arc::clone(&store) as Arc<dyn Store>,
            relay: Arc::new(Relay::new(RelayParts {
                config: RelayConfig::default(),
                agreements: Arc::default(),
                router: Arc::clone(&router),
                store: Arc::clone(&store) as Arc<dyn Store>,
                egresses: Vec::new(),
                own: own.clone(),
                shares_store: false,
                clock: clock.clone(),
                secret: IdentitySecret::new(&[7; 32]),
                trails: Box::new(drop),
            })),
            flushes: Arc::new(Flushes::new(
                "n1".into(),
                Arc::clone(&store) as Arc<dyn Store>,
                Arc::clone(&router),
                clock.clone(),
            )),
            router,
            agreements: Arc::default(),
            board: Arc::new(OnePeer::default()),
            cluster: None,
            accounts: None,
            trails: Arc::clone(&trails),
            metrics: Arc::new(Metrics::new()),
            clock,
            reload: Arc::new(|| Err(vec!["impsgw.toml:3: unknown field".into()])),
            not_ready: Arc::new(Vec::new),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let address = listener.local_addr().unwrap().ip();
        tokio::spawn(axum::serve(listener, admin_api(parts, address)).into_future());
        Self {
            port,
            store,
            trails,
            dir,
        }
    }

    pub(crate) async fn token(&self, role: Role) -> String {
        token::create(&*self.store, "test", role, None, NOW)
            .await
            .unwrap()
            .1
    }

    /// Sends octets as they are, reads until the server closes.
    async fn raw(&self, octets: &[u8]) -> Reply {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        // The server may refuse before it has read everything.
        let _ = stream.write_all(octets).await;
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
        let text = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .unwrap_or(0);
        Reply {
            status,
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    async fn call(&self, method: &str, path: &str, token: &str, body: Option<Value>) -> Reply {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            self.port,
            body.len()
        );
        self.raw(request.as_bytes()).await
    }

    async fn get(&self, path: &str, token: &str) -> Reply {
        self.call("GET", path, token, None).await
    }

    pub(crate) fn item(&self, id: u64, place: Place) {
        let item = OutboxItem {
            id: ItemId(id),
            lane: Lane {
                queue: "beta.example".into(),
                conversation: "wv:+447700900123|wv:bea@beta.example".into(),
            },
            priority: Priority::Interactive,
            place,
            created: NOW,
            expires: NOW.plus(Duration::from_secs(3600)),
            attempts: 3,
            unanswered: false,
            last_failure: None,
            labels: vec!["+447700900123".into()],
            body: Bytes::from_static(b"secret words"),
        };
        self.store.items.lock().unwrap().insert(ItemId(id), item);
    }

    async fn audited(&self) -> Vec<Value> {
        let admin = self.token(Role::Admin).await;
        self.get("/api/v1/audit", &admin).await.json()["entries"]
            .as_array()
            .unwrap()
            .clone()
    }
}

#[tokio::test]
async fn nobody_gets_in_without_a_token() {
    let node = Node::start().await;
    let request = format!(
        "GET /api/v1/status HTTP/1.1\r\nHost: localhost:{}\r\nConnection: close\r\n\r\n",
        node.port
    );
    let reply = node.raw(request.as_bytes()).await;
    assert_eq!((reply.status, reply.code().as_str()), (401, "no-token"));
    assert!(
        reply.head.to_lowercase().contains("www-authenticate: bearer"),
        "{}",
        reply.head
    );
}

#[tokio::test]
async fn forged_and_revoked_tokens_are_unknown() {
    let node = Node::start().await;
    let (admin, read) = (node.token(Role::Admin).await, node.token(Role::Read).await);
    let id = read.split('_').nth(1).unwrap().to_owned();
    let other_secret = format!("impsgw_{id}_{}", "0".repeat(64));
    for forged in ["", "x", "impsgw_", "impsgw_%00_1", &other_secret] {
        let reply = node.get("/api/v1/status", forged).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (401, "bad-token"),
            "{forged}"
        );
    }
    assert_eq!(node.get("/api/v1/status", &read).await.status, 200);
    assert_eq!(
        node.call("DELETE", &format!("/api/v1/tokens/{id}"), &admin, None)
            .await
            .status,
        200
    );
    assert_eq!(node.get("/api/v1/status", &read).await.status, 401);
}

#[tokio::test]
async fn each_call_needs_its_role() {
    let node = Node::start().await;
    for held in [Role::Read, Role::Operate] {
        let token = node.token(held).await;
        for (method, path, needed) in table::CALLS {
            let path = path
                .replace("{peer}", "beta")
                .replace("{id}", "1")
                .replace("{queue}", "q");
            let reply = node.call(method.as_str(), &path, &token, Some(json!({}))).await;
            let is_refused = reply.status == 403;
            assert_eq!(
                is_refused,
                held < *needed,
                "{method} {path} as {held}: {}",
                reply.body
            );
        }
    }
}

#[tokio::test]
async fn host_must_name_this_server() {
    let node = Node::start().await;
    let token = node.token(Role::Read).await;
    for (host, status) in [
        ("Host: evil.example\r\n", 421),
        ("Host: 127.0.0.1.evil.example\r\n", 421),
        ("", 421),
        ("Host: localhost\r\nHost: evil.example\r\n", 421),
        ("Host: NOC.alpha.example:443\r\n", 200),
    ] {
        let request = format!(
            "GET /api/v1/status HTTP/1.1\r\n{host}Authorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        );
        let reply = node.raw(request.as_bytes()).await;
        // A request line without Host, or with two, may be refused by HTTP itself.
        let is_refused = status == 421 && matches!(reply.status, 421 | 400);
        assert!(reply.status == status || is_refused, "{host:?}: {}", reply.status);
        let page = node
            .raw(format!("GET / HTTP/1.1\r\n{host}Connection: close\r\n\r\n").as_bytes())
            .await;
        assert_eq!(page.status == 200, status == 200, "console with {host:?}");
    }
}

#[tokio::test]
async fn oversize_body_changes_nothing_and_is_refused() {
    let node = Node::start().await;
    let token = node.token(Role::Operate).await;
    let body = json!({ "reason": "x".repeat(70_000) });
    let reply = node
        .call("POST", "/api/v1/peers/beta/suspend", &token, Some(body))
        .await;
    assert_eq!((reply.status, reply.code().as_str()), (413, "too-large"));
    assert_eq!(
        node.get("/api/v1/peers/beta", &token).await.json()["suspended"],
        Value::Null
    );
}

#[tokio::test]
async fn garbage_gets_a_clear_answer_and_the_server_lives_on() {
    let node = Node::start().await;
    let token = node.token(Role::Admin).await;
    for garbage in [
        b"\x16\x03\x01\x02\x00\x01\x00".as_slice(),
        b"GET\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
    ] {
        let reply = node.raw(garbage).await;
        assert!(matches!(reply.status, 0 | 400), "{}", reply.status);
    }
    for (method, path, body, status) in [
        ("POST", "/api/v1/tokens", json!([1]), 400),
        (
            "POST",
            "/api/v1/tokens",
            json!({ "name": "x", "role": "king" }),
            400,
        ),
        (
            "POST",
            "/api/v1/tokens",
            json!({ "name": "x", "role": "read", "more": 1 }),
            400,
        ),
        (
            "POST",
            "/api/v1/overrides",
            json!({ "number": "+44*", "to_domain": "b.example" }),
            400,
        ),
        (
            "POST",
            "/api/v1/overrides",
            json!({ "number": "+44", "to_peer": "nobody" }),
            400,
        ),
        ("GET", "/api/v1/route?address=", json!({}), 400),
        (
            "GET",
            "/api/v1/route?service=fax&address=%2B447700900123",
            json!({}),
            400,
        ),
        ("GET", "/api/v1/items/x", json!({}), 400),
        ("GET", "/api/v1/items?limit=-1", json!({}), 400),
        ("DELETE", "/api/v1/cache", json!({}), 400),
        ("DELETE", "/api/v1/cache?number=%2B4477", json!({}), 400),
        ("GET", "/api/v1/cache?number=447700900123", json!({}), 400),
        ("GET", "/api/v1/cache?number=bea%40beta.example", json!({}), 400),
        (
            "GET",
            "/api/v1/cache?number=%2B447700900123&prefix=%2B44",
            json!({}),
            400,
        ),
        ("GET", "/api/v1/nothing", json!({}), 404),
        ("PUT", "/api/v1/status", json!({}), 405),
        ("POST", "/api/v1/peers/gamma/suspend", json!({}), 404),
        ("POST", "/api/v1/peers/beta/reconnect", json!({}), 503),
    ] {
        let reply = node.call(method, path, &token, Some(body)).await;
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.body);
        assert!(!reply.json()["error"]["message"].as_str().unwrap().is_empty());
    }
    assert_eq!(node.get("/api/v1/status", &token).await.status, 200);
}

#[tokio::test]
async fn operators_call_is_audited_with_what_came_of_it() {
    let node = Node::start().await;
    let token = node.token(Role::Operate).await;
    let body = json!({ "reason": "maintenance" });
    assert_eq!(
        node.call("POST", "/api/v1/peers/beta/suspend", &token, Some(body))
            .await
            .status,
        200
    );
    assert_eq!(node.get("/api/v1/peers/beta", &token).await.json()["up"], false);
    let entries = node.audited().await;
    assert_eq!(entries.len(), 1, "looking is not audited: {entries:?}");
    assert_eq!(entries[0]["call"], "POST /api/v1/peers/beta/suspend");
    assert_eq!(entries[0]["status"], 200);
    assert!(entries[0]["body"].as_str().unwrap().contains("maintenance"));
}

#[tokio::test]
async fn reader_sees_people_only_when_he_asks_and_that_is_audited() {
    let node = Node::start().await;
    node.item(
        7,
        Place::Dead {
            reason: "outcome unknown".into(),
        },
    );
    let (read, operate) = (node.token(Role::Read).await, node.token(Role::Operate).await);
    let hidden = node.get("/api/v1/items/7", &read).await;
    assert!(
        !hidden.body.contains("900123") && hidden.body.contains("+44770***"),
        "{}",
        hidden.body
    );
    assert!(node.audited().await.is_empty());
    assert!(
        node.get("/api/v1/items?unmask=true", &read)
            .await
            .body
            .contains("+447700900123")
    );
    assert_eq!(node.audited().await.len(), 1);
    let shown = node.get("/api/v1/items/7", &operate).await;
    assert!(shown.body.contains("+447700900123"));
    assert!(!shown.body.contains("secret"), "a body was shown: {}", shown.body);
}

#[tokio::test]
async fn item_is_held_released_retried_and_discarded_from_the_right_places_only() {
    let node = Node::start().await;
    let token = node.token(Role::Operate).await;
    node.item(1, Place::Scheduled { due: NOW });
    node.item(
        2,
        Place::Dead {
            reason: "outcome unknown".into(),
        },
    );
    let to = NOW.plus(Duration::from_secs(9));
    node.item(
        3,
        Place::Leased {
            to: WorkerId("w".into()),
            until: to,
        },
    );
    for (id, action, status, place) in [
        (1, "release", 409, ""),
        (1, "hold", 200, "held"),
        (1, "hold", 409, ""),
        (1, "release", 200, "scheduled"),
        (2, "release", 409, ""),
        (2, "retry", 200, "scheduled"),
        (3, "discard", 409, ""),
        (9, "hold", 404, ""),
    ] {
        let reply = node
            .call(
                "POST",
                &format!("/api/v1/items/{id}/{action}"),
                &token,
                Some(json!({ "reason": "a test" })),
            )
            .await;
        assert_eq!(reply.status, status, "{action} {id}: {}", reply.body);
        if status == 200 {
            assert_eq!(reply.json()["item"]["place"], place);
        }
    }
    assert_eq!(
        node.call("POST", "/api/v1/items/2/discard", &token, None)
            .await
            .status,
        400,
        "nothing is discarded without a reason"
    );
    let why = json!({ "reason": "ticket 4711" });
    assert_eq!(
        node.call("POST", "/api/v1/items/2/discard", &token, Some(why))
            .await
            .status,
        200
    );
    assert_eq!(node.get("/api/v1/items/2", &token).await.status, 404);
    let audited = node.audited().await;
    let is_it =
        |entry: &&Value| entry["call"].as_str().unwrap().ends_with("/2/discard") && entry["status"] == 200;
    let body = audited.iter().find(is_it).unwrap()["body"].as_str().unwrap();
    assert!(body.contains("ticket 4711"), "{body}");
}

#[tokio::test]
async fn all_that_match_are_settled_page_by_page_and_nothing_else() {
    let node = Node::start().await;
    let token = node.token(Role::Operate).await;
    for id in 1..=7 {
        let place = match id {
            1..=5 => Place::Dead {
                reason: "unknown".into(),
            },
            _ => Place::Scheduled { due: NOW },
        };
        node.item(id, place);
    }
    let settle = async |body: Value| {
        node.call("POST", "/api/v1/items/settle", &token, Some(body))
            .await
    };
    for (body, status) in [
        (json!({ "action": "retry" }), 400),
        (json!({ "action": "burn", "all": true }), 400),
        (json!({ "action": "discard", "all": true }), 400),
        (json!({ "action": "redirect", "all": true }), 400),
        (json!({ "action": "hold", "all": true, "to": "beta" }), 400),
        (
            json!({ "action": "hold", "all": true, "older_than": "long" }),
            400,
        ),
        (json!({ "action": "release", "place": "dead" }), 409),
    ] {
        let reply = settle(body.clone()).await;
        assert_eq!(reply.status, status, "{body}: {}", reply.body);
    }
    let younger = json!({ "action": "retry", "place": "dead", "older_than": "1m" });
    assert_eq!(
        settle(younger).await.json(),
        json!({ "done": 0, "failed": [], "next": null })
    );
    let page = json!({ "action": "retry", "queue": "beta.example", "place": "dead", "limit": 3 });
    let first = settle(page.clone()).await.json();
    assert_eq!(first, json!({ "done": 3, "failed": [], "next": 3 }));
    let mut rest = page;
    rest["after"] = first["next"].clone();
    assert_eq!(
        settle(rest).await.json(),
        json!({ "done": 2, "failed": [], "next": null })
    );
    let listed = node.get("/api/v1/items?limit=5", &token).await.json();
    assert_eq!(listed["next"], 5);
    assert_eq!(
        node.get("/api/v1/items?limit=5&after=5", &token).await.json()["next"],
        Value::Null
    );
    assert!(!listed.to_string().contains("secret"), "content is shown");
}

#[tokio::test]
async fn whole_queue_is_held_and_released() {
    let node = Node::start().await;
    let token = node.token(Role::Operate).await;
    let why = json!({ "reason": "ticket 4711" });
    let held = node
        .call("POST", "/api/v1/queues/beta.example/hold", &token, Some(why))
        .await;
    assert_eq!(held.status, 200, "{}", held.body);
    let queues = node.get("/api/v1/queues", &token).await.json();
    assert_eq!(queues["held"][0]["queue"], "beta.example");
    assert!(queues["held"][0]["by"].as_str().unwrap().ends_with("ticket 4711"));
    for was_held in [true, false] {
        let released = node
            .call("POST", "/api/v1/queues/beta.example/release", &token, None)
            .await;
        assert_eq!(released.json()["was_held"], was_held);
    }
    assert_eq!(node.get("/api/v1/queues", &token).await.json()["held"], json!([]));
}

#[tokio::test]
async fn override_is_in_force_at_once_and_after_a_restart() {
    let node = Node::start().await;
    let token = node.token(Role::Operate).await;
    let body = json!({ "number": "+4477009", "to_domain": "alpha.example", "reason": "ported" });
    assert_eq!(
        node.call("POST", "/api/v1/overrides", &token, Some(body))
            .await
            .status,
        200
    );
    let routed = node
        .get("/api/v1/route?address=%2B447700900123", &token)
        .await
        .json();
    assert_eq!(routed["found"], true, "{routed}");
    assert_eq!(routed["plan"]["to"], "home");
    assert!(routed["text"].as_str().unwrap().contains("ported"), "{routed}");
    let (clock, _) = Clock::standing(NOW);
    let restarted = Router::new(RoutingConfig::default(), Arc::new(Nobody), Vec::new(), clock);
    assert_eq!(load_overrides(&*node.store, &restarted, NOW).await.unwrap(), 1);
    assert_eq!(restarted.overrides().len(), 1);
    let gone = node
        .call("DELETE", "/api/v1/overrides?number=%2B4477009", &token, None)
        .await;
    assert_eq!(gone.status, 200, "{}", gone.body);
    assert_eq!(load_overrides(&*node.store, &restarted, NOW).await.unwrap(), 0);
}

#[tokio::test]
async fn trace_finds_by_id_and_number() {
    let node = Node::start().await;
    let token = node.token(Role::Operate).await;
    node.trails.keep(TrailRecord {
        id: TrailId(0xabc),
        started: NOW,
        steps: vec![
            Step {
                after: Duration::ZERO,
                stop: Stop::Listen,
                event: StepEvent::Received {
                    request: "SendMessage".into(),
                    service: Service::Message,
                    from: "beta".into(),
                    protocol: "ssp".into(),
                    sender: None,
                    recipients: vec!["wv:+447700900123@alpha.example".parse().unwrap()],
                },
            },
            Step {
                after: Duration::from_millis(2),
                stop: Stop::Admit,
                event: StepEvent::Refused {
                    reason: "no agreement".into(),
                },
            },
        ],
    });
    for asked in [
        "id=0000000000000abc",
        "word=%2B447700900123",
        "word=wv:%2B447700900123",
    ] {
        let found = node.get(&format!("/api/v1/trace?{asked}"), &token).await.json();
        assert_eq!(found["trails"][0]["id"], "0000000000000abc", "{asked}: {found}");
    }
    assert_eq!(node.get("/api/v1/trace?word=ab", &token).await.status, 400);
}

#[tokio::test]
async fn mistakes_of_a_reload_come_back() {
    let node = Node::start().await;
    let token = node.token(Role::Operate).await;
    let reply = node.call("POST", "/api/v1/reload", &token, None).await.json();
    assert_eq!(reply["reloaded"], false);
    assert_eq!(reply["mistakes"][0], "impsgw.toml:3: unknown field");
}

#[tokio::test]
async fn metrics_and_console_need_no_token_on_loopback() {
    let node = Node::start().await;
    let ask = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let metrics = node.raw(ask("/metrics").as_bytes()).await;
    assert!(
        metrics.body.contains("impsgw_peer_sessions{peer=\"beta\"} 1"),
        "{}",
        metrics.body
    );
    assert!(
        metrics
            .body
            .contains("impsgw_queue_oldest_seconds{queue=\"beta.example\",place=\"dead\"} 60")
    );
    for path in ["/", "/console.js", "/console.css"] {
        let page = node.raw(ask(path).as_bytes()).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(
            page.head
                .to_lowercase()
                .contains("content-security-policy: default-src 'none'")
        );
    }
}

#[tokio::test]
async fn first_token_is_written_once_with_mode_0600() {
    let node = Node::start().await;
    let path = node.dir.path().join("deep/admin-token");
    let written = first_token(&*node.store, &path, NOW).await.unwrap();
    assert_eq!(written.as_deref(), Some(path.as_path()));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let token = std::fs::read_to_string(&path).unwrap();
    assert_eq!(node.get("/api/v1/tokens", token.trim()).await.status, 200);
    assert_eq!(first_token(&*node.store, &path, NOW).await.unwrap(), None);
}

#[tokio::test]
async fn tokens_are_kept_as_hashes_only() {
    let node = Node::start().await;
    let token = node.token(Role::Admin).await;
    let secret = token.rsplit('_').next().unwrap();
    let rows = node.store.rows.lock().unwrap();
    for row in rows.values() {
        assert!(!String::from_utf8_lossy(&row.value).contains(secret));
    }
}

#[tokio::test]
async fn readiness_says_why_not() {
    let (clock, _) = Clock::standing(NOW);
    for (reasons, status) in [(Vec::new(), "200"), (vec!["no listener".to_owned()], "503")] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let said = reasons.clone();
        let not_ready: NotReady = Arc::new(move || said.clone());
        let store = Arc::new(Memory::default());
        let routes = probes(store, clock.clone(), not_ready, Arc::new(|| false));
        tokio::spawn(axum::serve(listener, routes).into_future());
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        assert!(reasons.iter().all(|reason| answer.contains(reason)));
    }
}
