//! The home domain is of all nodes: whichever a subscriber or a peer asks, and whichever of them has it, drains, dies or is cut off.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use impsgw::{
    app::App,
    model::Timestamp,
    store::{Batch, Settle, Space},
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::{
    Table, cluster,
    cut::{Cut, Doubt},
    sees, until,
};
use crate::hostile::peer::{Peer, message};

const ADA: &str = "wv:+447700900123";
const BEN: &str = "wv:+447700900124";
const CLEO: &str = "wv:+447700900125";

/// Nodes of one home domain.
struct Scene {
    table: Arc<Table>,
    nodes: Vec<Node>,
    stores: Vec<Arc<Cut>>,
}

/// A node with a runtime of its own, so that it can die: all that it does and all its connections end at once.
struct Node {
    app: App,
    runtime: Runtime,
}

impl Node {
    async fn start(table: &Arc<Table>, store: Arc<Cut>, node: String, more: String) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let table = Arc::clone(table);
        let started = runtime.spawn(async move { table.start_on(store, &node, &more).await });
        let app = started.await.unwrap().unwrap();
        Self { app, runtime }
    }

    async fn shut_down(self) {
        self.runtime.spawn(self.app.shut_down()).await.unwrap();
        self.runtime.shutdown_background();
    }

    fn die(self) {
        self.runtime.shutdown_background();
    }
}

impl std::ops::Deref for Node {
    type Target = App;

    fn deref(&self) -> &App {
        &self.app
    }
}

impl Scene {
    async fn new(count: usize) -> Self {
        Self::of(Table::new().await, count, HOME).await
    }

    async fn of(table: Table, count: usize, more: &str) -> Self {
        let mut scene = Self {
            table: Arc::new(table),
            nodes: Vec::new(),
            stores: Vec::new(),
        };
        for number in 1..=count {
            let store = Cut::new(scene.table.store_of_a_node().await);
            let node = format!("n{number}");
            let node = Node::start(&scene.table, Arc::clone(&store), node, more.to_owned()).await;
            scene.nodes.push(node);
            scene.stores.push(store);
        }
        let names: Vec<_> = (1..=count).map(|number| format!("n{number}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        for node in &scene.nodes {
            sees(node, &names).await;
        }
        scene
    }

    /// The node that has the home domain.
    async fn holder(&self) -> usize {
        until(|| self.nodes.iter().filter(|node| has_it(node)).count() == 1).await;
        self.nodes.iter().position(|node| has_it(node)).unwrap()
    }

    /// One that does not have it.
    async fn other(&self) -> usize {
        usize::from(self.holder().await == 0)
    }

    fn url(&self, node: usize) -> String {
        format!("http://{}", self.nodes[node].subscribers.unwrap())
    }

    fn urls(&self) -> Arc<Mutex<Vec<String>>> {
        let urls = (0..self.nodes.len()).map(|node| self.url(node));
        Arc::new(Mutex::new(urls.collect()))
    }

    async fn end(self) {
        for node in self.nodes {
            node.shut_down().await;
        }
    }
}

fn has_it(node: &App) -> bool {
    node.home.as_ref().unwrap().here().is_some()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_at_any_node_are_of_one_home_domain() {
    let scene = Scene::new(2).await;
    let (here, there) = (scene.holder().await, scene.other().await);
    let mut ada = Device::at(&[scene.url(here)], "ada").await;
    let mut ben = Device::at(&[scene.url(there)], "ben").await;
    talk(&mut ada, &mut ben, BEN, "from here to there").await;
    talk(&mut ben, &mut ada, ADA, "from there to here").await;

    // Presence.
    let path = format!("/v1/subscriptions/{ADA}");
    ben.call(Method::PUT, &path, json!({})).await;
    let path = format!("/v1/grants/{BEN}");
    ada.call(Method::PUT, &path, json!({"attributes": ["StatusText"]}))
        .await;
    let status = json!({"attributes": {"StatusText": "On the 08:15"}});
    ada.call(Method::PUT, "/v1/presence", status).await;
    ben.event("presence", |event| event.to_string().contains("On the 08:15"))
        .await;

    // A group that is opened at the one and joined at the other.
    let group = opened_group(&mut ben, &mut ada).await;
    let said = json!({"to": [group], "text": "to the group"});
    ada.call(Method::POST, "/v1/messages", said).await;
    ben.event("message", |event| event["text"] == "to the group")
        .await;

    // What is wrong is told as at the node that has it.
    let refused = ben
        .tried(Method::POST, "/v1/messages", json!({"to": "nonsense"}))
        .await;
    assert_eq!(refused.unwrap().0, 400);
    let stranger = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = stranger.get(scene.url(there) + "/v1/me").send().await.unwrap();
    assert_eq!(answer.status(), 401);
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let large = json!({"to": [ADA], "text": "x".repeat(200_000)});
    let answer = ben.tried(Method::POST, "/v1/messages", large).await;
    assert_eq!(answer.unwrap().0, 413);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_made_at_one_node_are_known_at_all() {
    let beta = Peer::new("beta").await;
    let table = Table::with(&[&beta]).await;
    let routing = super::routing_by(table.zone.as_ref().unwrap().local_addr());
    let scene = Scene::of(table, 2, &(routing + &super::ssp(&[&beta]))).await;
    let (here, there) = (scene.holder().await, scene.other().await);
    let token = format!("n{}/admin-token", there + 1);
    let token = std::fs::read_to_string(scene.table.folder.path().join(token));
    let token = match token {
        Ok(token) => token,
        // Only the node that started first has written one.
        Err(_) => std::fs::read_to_string(scene.table.folder.path().join("n1/admin-token")).unwrap(),
    };
    let admin = |node: usize, method: Method, path: &str, body: Value| {
        let url = format!("http://{}/api/v1{path}", scene.nodes[node].admin.unwrap());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        client
            .request(method, url)
            .bearer_auth(token.trim())
            .json(&body)
            .send()
    };
    let wanted =
        json!({"accounts": [{"number": "+447700900199", "user": "dora", "password": "dora-explores-it"}]});
    let made = admin(there, Method::POST, "/accounts", wanted.clone())
        .await
        .unwrap();
    assert_eq!(made.status(), 200, "{}", made.text().await.unwrap());
    for node in [here, there] {
        let dora = "wv:dora@alpha.example".parse().unwrap();
        let directory = scene.nodes[node].home.as_ref().unwrap().directory();
        assert!(directory.account(&dora).is_some(), "at node {node}");
        let listed = admin(node, Method::GET, "/accounts?unmask=true", Value::Null)
            .await
            .unwrap();
        let listed: Value = listed.json().await.unwrap();
        assert_eq!(listed["accounts"].as_array().unwrap().len(), 2, "{listed}");
    }
    let twice = admin(there, Method::POST, "/accounts", wanted).await.unwrap();
    assert_eq!(twice.status(), 400);
    let closed = admin(there, Method::POST, "/accounts/+447700900199/close", Value::Null).await;
    let closed: Value = closed.unwrap().json().await.unwrap();
    assert_eq!(closed["is_active"], false, "{closed}");
    for node in [here, there] {
        let dora = "wv:+447700900199".parse().unwrap();
        let directory = scene.nodes[node].home.as_ref().unwrap().directory();
        assert_eq!(directory.account(&dora), None, "at node {node}");
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holder_that_drains_hands_over_and_nothing_is_refused() {
    let mut scene = Scene::new(3).await;
    let urls = scene.urls();
    let (mut ada, mut ben) = (
        Device::among(&urls, "ada").await,
        Device::among(&urls, "ben").await,
    );
    let group = opened_group(&mut ada, &mut ben).await;
    let mut sent = Vec::new();
    for round in 0..2 {
        let holder = scene.holder().await;
        let leaving = scene.nodes.remove(holder);
        let gone = format!("http://{}", leaving.subscribers.unwrap());
        let draining = tokio::spawn(leaving.shut_down());
        urls.lock().unwrap().retain(|url| *url != gone);
        for number in 0..10 {
            let text = format!("round {round}, number {number}");
            let message = json!({"to": [BEN, group], "text": text});
            let answer = ada.call(Method::POST, "/v1/messages", message).await;
            for one in answer["recipients"].as_array().unwrap() {
                assert!(one["error"].is_null(), "{answer}");
            }
            sent.push(text);
        }
        draining.await.unwrap();
        for text in &sent {
            let is_his = |event: &Value| event["text"] == json!(text) && event["group"].is_null();
            ben.event("message", is_his).await;
            let is_to_all = |event: &Value| event["text"] == json!(text) && event["group"] == json!(group);
            ben.event("message", is_to_all).await;
        }
        talk(&mut ben, &mut ada, ADA, &format!("back in round {round}")).await;
    }
    for text in &sent {
        let to_him = ben.count(|event| event["text"] == json!(text) && event["group"].is_null());
        let to_all = ben.count(|event| event["text"] == json!(text) && !event["group"].is_null());
        assert_eq!((to_him, to_all), (1, 1), "{text}");
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holder_that_dies_is_followed_and_devices_come_back() {
    let mut scene = Scene::new(2).await;
    let urls = scene.urls();
    let (mut ada, mut ben) = (
        Device::among(&urls, "ada").await,
        Device::among(&urls, "ben").await,
    );
    let holder = scene.holder().await;
    let waits = json!({"to": [BEN], "text": "before", "report": true});
    let id = ada.call(Method::POST, "/v1/messages", waits).await["id"].clone();
    let gone = scene.url(holder);
    scene.nodes.remove(holder).die();
    urls.lock().unwrap().retain(|url| *url != gone);
    // What waited in his inbox is shown again, and acknowledged where it is now; the report is still owed.
    ben.forget();
    let before = ben.event("message", |event| event["text"] == "before").await;
    ben.call(
        Method::POST,
        &format!("/v1/inbox/{}/ack", before["inbox_id"]),
        Value::Null,
    )
    .await;
    ada.event("report", |event| {
        event["message_id"] == id && event["is_delivered"] == true
    })
    .await;
    talk(&mut ada, &mut ben, BEN, "after").await;
    talk(&mut ben, &mut ada, ADA, "after as well").await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holder_that_is_cut_off_closes_its_streams_and_writes_nothing() {
    let scene = Scene::new(2).await;
    let (here, there) = (scene.holder().await, scene.other().await);
    let urls = scene.urls();
    let mut ada = Device::among(&urls, "ada").await;
    let ben = Device::at(&[scene.url(here)], "ben").await;
    let before = scene.nodes[here].home.as_ref().unwrap().here().unwrap();
    scene.stores[here].cut(true);
    let refused = ben
        .tried(
            Method::POST,
            "/v1/messages",
            json!({"to": [ADA], "text": "is lost"}),
        )
        .await;
    assert_ne!(refused.map(|(status, _)| status), Some(200));
    until(|| has_it(&scene.nodes[there])).await;
    until(|| !has_it(&scene.nodes[here])).await;
    *urls.lock().unwrap() = vec![scene.url(there)];
    let cleo = Device::at(&[scene.url(there)], "cleo").await;
    cleo.call(
        Method::POST,
        "/v1/messages",
        json!({"to": [ADA], "text": "goes on"}),
    )
    .await;
    ada.event("message", |event| event["text"] == "goes on").await;
    // It comes back, and what is left of what it had writes nothing.
    scene.stores[here].cut(false);
    let late = before.add_account(impsgw::gateways::home::NewAccount {
        number: "+447700900150".parse().unwrap(),
        user: "late".into(),
        domain: None,
        friendly_name: "Late".into(),
        password: "late-in-the-day".into(),
        language: None,
    });
    let refused = late.await.unwrap_err();
    assert!(format!("{refused:?}").contains("Superseded"), "{refused:?}");
    let row = scene
        .table
        .store
        .row(Space::Account, "+447700900150", Timestamp(0))
        .await;
    assert_eq!(row.unwrap(), None);
    drop(before);
    // Its subscribers are served through the other one.
    until(|| cluster(&scene.nodes[here]).members().len() == 2).await;
    ben.call(
        Method::POST,
        "/v1/messages",
        json!({"to": [CLEO], "text": "again"}),
    )
    .await;
    assert!(!has_it(&scene.nodes[here]));
    scene.end().await;
}

/// A peer's message that reaches a node while nobody has the home domain is taken, and comes once somebody has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_peer_sends_waits_for_a_node_that_has_the_home_domain() {
    let mut beta = Peer::new("beta").await;
    let table = Table::with(&[&beta]).await;
    let routing = super::routing_by(table.zone.as_ref().unwrap().local_addr());
    let mut scene = Scene::of(table, 2, &(routing + &super::ssp(&[&beta]))).await;
    let (here, there) = (scene.holder().await, scene.other().await);
    let urls = scene.urls();
    let mut ada = Device::among(&urls, "ada").await;
    let gateway = scene.nodes[there].ssp[0];
    let session = beta.open(gateway).await;
    let ask = message("m-1", "wv:bea@beta.example", "wv:ada@alpha.example");
    let (code, answer) = beta.ask(gateway, &session, &ask).await;
    assert!(code.is_success(), "{answer}");
    let first = ada.event("message", |event| event["text"] == "hello").await;
    assert_eq!(scene.nodes[there].relay.waiting().await.unwrap(), 0);

    // The holder is gone, and its lease goes on.
    scene.stores[here].cut(true);
    let gone = scene.url(here);
    urls.lock().unwrap().retain(|url| *url != gone);
    scene.nodes.remove(here).die();
    let ask = message("m-2", "wv:bea@beta.example", "wv:ada@alpha.example");
    let (code, answer) = beta.ask(gateway, &session, &ask).await;
    assert!(code.is_success(), "{answer}");
    let is_other = |event: &Value| event["message_id"] != first["message_id"];
    ada.event("message", is_other).await;
    assert_eq!(ada.count(|event| event["text"] == "hello"), 2);
    scene.end().await;
}

/// Whatever the home domain and the relay commit for a message and its report comes into doubt once, and all of it was carried out:
/// nobody is told otherwise, nothing comes twice, and nothing waits for the end of a lease.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_in_doubt_are_found_out() {
    let scene = Scene::new(2).await;
    let urls = scene.urls();
    let (mut ada, mut ben) = (
        Device::among(&urls, "ada").await,
        Device::among(&urls, "ben").await,
    );
    let holder = scene.holder().await;
    let arrival: Doubt = |batch| writes(batch, Space::Inbox, true);
    let accepted: Doubt = |batch| !batch.enqueue.is_empty() && writes(batch, Space::Seen, true);
    scene.stores[holder].doubt(&[arrival, accepted]);
    let settled: Doubt = |batch| {
        batch
            .settle
            .iter()
            .any(|(_, one)| matches!(one, Settle::Done { .. }))
    };
    scene.stores.iter().for_each(|store| store.doubt(&[settled]));
    let message = json!({"to": [BEN], "text": "in doubt", "report": true});
    let sent = ada.call(Method::POST, "/v1/messages", message).await;
    assert_eq!(sent["recipients"][0]["accepted"], "stored", "{sent}");
    let arrived = ben.event("message", |event| event["text"] == "in doubt").await;
    let is_empty = async {
        while scene.nodes[holder].relay.waiting().await.unwrap() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), is_empty)
        .await
        .unwrap();
    // Whichever node has settled it.
    let left: usize = scene.stores.iter().map(|store| store.doubts()).sum();
    assert_eq!(left, 1);

    let acknowledged: Doubt = |batch| writes(batch, Space::Inbox, false);
    let holder = scene.holder().await;
    scene.stores[holder].doubt(&[acknowledged]);
    let path = format!("/v1/inbox/{}/ack", arrived["inbox_id"]);
    ben.tried(Method::POST, &path, Value::Null).await;
    let is_told = |event: &Value| event["message_id"] == sent["id"] && event["is_delivered"] == true;
    ada.event("report", is_told).await;
    assert_eq!(ben.count(|event| event["text"] == "in doubt"), 1);
    let inbox = ben.call(Method::GET, "/v1/inbox", Value::Null).await;
    assert_eq!(inbox["events"].as_array().map(Vec::len), Some(0), "{inbox}");
    scene.end().await;
}

/// Whether a batch sets, or removes, a row of this kind.
fn writes(batch: &Batch, space: Space, is_set: bool) -> bool {
    let mut writes = batch.writes.iter();
    writes.any(|write| write.space == space && write.value.is_some() == is_set)
}

/// A message, its arrival, and its report.
async fn talk(from: &mut Device, to: &mut Device, address: &str, text: &str) {
    let message = json!({"to": [address], "text": text, "report": true});
    let sent = from.call(Method::POST, "/v1/messages", message).await;
    assert_eq!(sent["recipients"][0]["accepted"], "taken", "{sent}");
    let arrived = to.event("message", |event| event["text"] == json!(text)).await;
    let path = format!("/v1/inbox/{}/ack", arrived["inbox_id"]);
    to.call(Method::POST, &path, Value::Null).await;
    from.event("report", |event| event["message_id"] == sent["id"])
        .await;
}

/// A group that one has opened and the other has joined.
async fn opened_group(host: &mut Device, guest: &mut Device) -> String {
    let open = json!({"topic": "Supper", "invite": [guest.address]});
    let opened = host.call(Method::POST, "/v1/groups", open).await;
    let group = opened["group"].as_str().unwrap().to_owned();
    let invitation = guest
        .event("invitation", |event| event["group"] == opened["group"])
        .await;
    let id = invitation["invitation_id"].as_str().unwrap();
    let path = format!("/v1/invitations/{id}/answer");
    guest.call(Method::POST, &path, json!({"accept": true})).await;
    host.event("group-change", |event| event["group"] == opened["group"])
        .await;
    group
}

/// A device that goes to whichever node answers, and comes back when its stream ends.
struct Device {
    urls: Arc<Mutex<Vec<String>>>,
    http: reqwest::Client,
    token: String,
    address: String,
    events: Arc<Mutex<Vec<(String, Value)>>>,
    listening: tokio::task::JoinHandle<()>,
}

impl Device {
    async fn at(urls: &[String], user: &str) -> Self {
        Self::among(&Arc::new(Mutex::new(urls.to_vec())), user).await
    }

    async fn among(urls: &Arc<Mutex<Vec<String>>>, user: &str) -> Self {
        let mut device = Self {
            urls: Arc::clone(urls),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            token: String::new(),
            address: String::new(),
            events: Arc::default(),
            listening: tokio::spawn(async {}),
        };
        let login = json!({"user": user, "password": format!("{user}-among-wolves")});
        let logged_in = device.call(Method::POST, "/v1/login", login).await;
        device.token = logged_in["token"].as_str().unwrap().to_owned();
        device.address = logged_in["address"].as_str().unwrap().to_owned();
        device.listening = tokio::spawn(listen(
            Arc::clone(urls),
            device.http.clone(),
            device.token.clone(),
            Arc::clone(&device.events),
        ));
        device.event("ready", |_| true).await;
        device
    }

    /// A call that has to succeed at some node, soon.
    async fn call(&self, method: Method, path: &str, body: Value) -> Value {
        let mut last = None;
        for _ in 0..400 {
            last = self.tried(method.clone(), path, body.clone()).await;
            match &last {
                Some((200..=299, answer)) => return answer.clone(),
                Some((500.., _)) | None => tokio::time::sleep(Duration::from_millis(25)).await,
                Some((status, answer)) => panic!("{path}: {status} {answer}"),
            }
        }
        panic!("{path} is never answered: {last:?}");
    }

    /// One try at the first node that there is.
    async fn tried(&self, method: Method, path: &str, body: Value) -> Option<(u16, Value)> {
        let url = self.urls.lock().unwrap().first()?.clone() + path;
        let mut request = self.http.request(method, url).bearer_auth(&self.token);
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        let text = answer.text().await.ok()?;
        Some((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    /// Waits for an event, which may have come already.
    async fn event(&mut self, kind: &str, fits: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..1500 {
            let found = {
                let events = self.events.lock().unwrap();
                let found = events.iter().find(|(name, event)| name == kind && fits(event));
                found.map(|(_, event)| event.clone())
            };
            if let Some(found) = found {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no {kind}: {:?}", self.events.lock().unwrap());
    }

    /// How many different messages fit.
    fn count(&self, fits: impl Fn(&Value) -> bool) -> usize {
        let events = self.events.lock().unwrap();
        let messages = events
            .iter()
            .filter(|(name, event)| name == "message" && fits(event));
        let ids: std::collections::BTreeSet<_> =
            messages.map(|(_, event)| event["inbox_id"].as_u64()).collect();
        ids.len()
    }

    fn forget(&self) {
        self.events.lock().unwrap().clear();
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// Listens at one node after the other, going on after the last event that has come.
async fn listen(
    urls: Arc<Mutex<Vec<String>>>,
    http: reqwest::Client,
    token: String,
    events: Arc<Mutex<Vec<(String, Value)>>>,
) {
    let mut last = String::new();
    for turn in 0.. {
        let url = {
            let urls = urls.lock().unwrap();
            urls.get(turn % urls.len().max(1)).cloned()
        };
        let request = http
            .get(url.unwrap_or_default() + "/v1/events")
            .bearer_auth(&token);
        if let Ok(mut stream) = request.header("last-event-id", &last).send().await {
            let (mut text, mut kind) = (String::new(), String::new());
            while let Ok(Some(chunk)) = stream.chunk().await {
                text.push_str(&String::from_utf8_lossy(&chunk));
                while let Some(end) = text.find('\n') {
                    let line: String = text.drain(..=end).collect();
                    let line = line.trim_end();
                    if let Some(id) = line.strip_prefix("id:") {
                        id.trim().clone_into(&mut last);
                    } else if let Some(name) = line.strip_prefix("event:") {
                        name.trim().clone_into(&mut kind);
                    } else if let Some(json) = line.strip_prefix("data:") {
                        let event = serde_json::from_str(json.trim()).unwrap();
                        events.lock().unwrap().push((kind.clone(), event));
                    }
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

const HOME: &str = r#"
[relay]
cut_through = "1s"
first_retry = "100ms"
longest_retry = "1s"
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
[[home.account]]
number = "+447700900124"
user = "ben"
domain = "alpha.example"
friendly_name = "Ben"
password = "ben-among-wolves"
[[home.account]]
number = "+447700900125"
user = "cleo"
domain = "alpha.example"
friendly_name = "Cleo"
password = "cleo-among-wolves"
"#;
