//! Two nodes towards one peer, which hands its documents to either: sessions, ladders and answers find their way.

use std::net::SocketAddr;

use impsgw::{
    app::App,
    lab::Handset,
    model::Timestamp,
    store::{QueueFilter, Space},
    wire::ssp::{Document, Primitive},
};
use serde_json::json;

use super::{Table, sees};
use crate::hostile::peer::{
    Manners, Peer, Session, in_session, message, message_id, post, request, response, taken_as,
};

const ADA: &str = "wv:ada@alpha.example";
const BEA: &str = "wv:bea@beta.example";

/// Two nodes and a peer.
struct Scene {
    table: Table,
    n1: App,
    n2: App,
    beta: Peer,
}

impl Scene {
    async fn new() -> Self {
        let beta = Peer::new("beta").await;
        let table = Table::with(&[&beta]).await;
        let n1 = table.gateway("n1", &[&beta]).await;
        let n2 = table.gateway("n2", &[&beta]).await;
        sees(&n1, &["n1", "n2"]).await;
        sees(&n2, &["n1", "n2"]).await;
        Self { table, n1, n2, beta }
    }

    fn gateways(&self) -> [SocketAddr; 2] {
        [self.n1.ssp[0], self.n2.ssp[0]]
    }

    async fn items(&self) -> usize {
        let items = self.table.store.items(&QueueFilter::default(), None, 100).await;
        items.unwrap().len()
    }

    async fn nothing_waits(&self) {
        for _ in 0..1000 {
            if self.items().await == 0 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("something still waits");
    }

    async fn end(self) {
        self.n1.shut_down().await;
        self.n2.shut_down().await;
    }
}

#[tokio::test]
async fn session_that_one_node_opened_serves_all() {
    let mut scene = Scene::new().await;
    let [g1, g2] = scene.gateways();
    let session = scene.beta.open(g1).await;
    // In: the other node knows it from the store.
    let (code, answer) = scene.beta.ask(g2, &session, &message("m-1", BEA, ADA)).await;
    assert!(code.is_success(), "{answer}");
    // Out: the other node opens no session of its own.
    let ada = ada(&scene.n2).await;
    let sending = tokio::spawn(async move { send(&ada, "hello").await });
    let (id, primitive) = first_request(&mut scene.beta, &session).await;
    answer_at(g2, &session, &id, &primitive).await;
    assert_eq!(sending.await.unwrap(), "taken");
    scene.end().await;
}

#[tokio::test]
async fn answer_finds_the_node_that_waits_for_it() {
    let mut scene = Scene::new().await;
    let [g1, g2] = scene.gateways();
    let session = scene.beta.open(g1).await;
    let ada = ada(&scene.n1).await;
    let sending = tokio::spawn(async move { send(&ada, "hello").await });
    let (id, primitive) = first_request(&mut scene.beta, &session).await;
    answer_at(g2, &session, &id, &primitive).await;
    assert_eq!(sending.await.unwrap(), "taken");
    assert_eq!(scene.items().await, 0);
    scene.end().await;
}

#[tokio::test]
async fn answer_to_a_dead_node_settles_what_it_has_stored() {
    let mut scene = Scene::new().await;
    let [g1, g2] = scene.gateways();
    let session = scene.beta.open(g1).await;
    let ada = ada(&scene.n1).await;
    assert_eq!(send(&ada, "hello").await, "stored");
    let (id, primitive) = first_request(&mut scene.beta, &session).await;
    assert_eq!(scene.items().await, 1);
    drop(scene.n1);
    sees(&scene.n2, &["n2"]).await;
    answer_at(g2, &session, &id, &primitive).await;
    let items = || async {
        let items = scene.table.store.items(&QueueFilter::default(), None, 9).await;
        items.unwrap().len()
    };
    for _ in 0..500 {
        if items().await == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(items().await, 0);
    assert!(scene.beta.drain().is_empty(), "it was sent again");
    scene.n2.shut_down().await;
}

#[tokio::test]
async fn two_nodes_that_want_a_session_climb_one_ladder() {
    let mut scene = Scene::new().await;
    let gateways = scene.gateways();
    let (at_n1, at_n2) = (ada(&scene.n1).await, ada(&scene.n2).await);
    let one = tokio::spawn(async move { send(&at_n1, "one").await });
    let two = tokio::spawn(async move { send(&at_n2, "two").await });
    let mut openings = 0;
    scene.beta.be_opened(&gateways[..]).await;
    let session = scene.beta.latest.clone().unwrap();
    let mut answered = 0;
    while answered < 2 {
        match scene.beta.next().await {
            Document::Setup(_) => openings += 1,
            Document::Session {
                session_id,
                transactions,
            } => {
                assert_eq!(session_id.as_str(), session.of_gateway);
                for transaction in transactions {
                    let id = transaction.id.as_str().to_owned();
                    answer_at(gateways[answered % 2], &session, &id, &transaction.primitive).await;
                    answered += 1;
                }
            }
        }
    }
    assert_eq!(openings, 0);
    let mut outcomes = [one.await.unwrap(), two.await.unwrap()];
    outcomes.sort();
    assert!(
        outcomes.iter().all(|one| one == "taken" || one == "stored"),
        "{outcomes:?}"
    );
    scene.nothing_waits().await;
    scene.end().await;
}

/// Random ways of documents; `IMPSGW_NODES_SEED` plays a run again.
#[tokio::test]
async fn steps_and_documents_may_go_to_any_node() {
    let seed = std::env::var("IMPSGW_NODES_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("IMPSGW_NODES_SEED={seed}");
    fastrand::seed(seed);
    let mut scene = Scene::new().await;
    let gateways = scene.gateways();
    for round in 0..8 {
        let session = scene.beta.open(&gateways[..]).await;
        for (n, gateway) in gateways.into_iter().enumerate() {
            let id = format!("m-{round}-{n}");
            let (code, answer) = scene.beta.ask(gateway, &session, &message(&id, BEA, ADA)).await;
            assert!(code.is_success(), "{answer}");
        }
    }
    scene.end().await;
}

#[tokio::test]
async fn handshake_of_a_node_that_died_is_taken_over() {
    let mut scene = Scene::new().await;
    let [_, g2] = scene.gateways();
    let at_n1 = ada(&scene.n1).await;
    let sending = tokio::spawn(async move { send(&at_n1, "hello").await });
    // The peer has the first step of the first node, and then that is gone.
    assert!(matches!(scene.beta.next().await, Document::Setup(_)));
    drop(scene.n1);
    let _ = sending.await;
    let at_n2 = ada(&scene.n2).await;
    let sending = tokio::spawn(async move { send(&at_n2, "again").await });
    let (id, primitive) = scene.beta.asked_anywhere(g2).await;
    let session = scene.beta.latest.clone().unwrap();
    answer_at(g2, &session, &id, &primitive).await;
    let outcome = sending.await.unwrap();
    assert!(outcome == "taken" || outcome == "stored", "{outcome}");
    scene.n2.shut_down().await;
}

#[tokio::test]
async fn session_that_the_peer_ends_or_forgets_is_over_for_all() {
    let mut scene = Scene::new().await;
    let [g1, g2] = scene.gateways();
    let session = scene.beta.open(g1).await;
    let (code, _) = scene.beta.ask(g2, &session, &message("m-1", BEA, ADA)).await;
    assert!(code.is_success());
    let (code, _) = scene.beta.ask(g1, &session, "<LogoutRequest/>").await;
    assert!(code.is_success());
    let document = in_session(&session.id, &request("t-2", &message("m-2", BEA, ADA)));
    for gateway in [g1, g2] {
        until_refused(gateway, &document).await;
    }
    // The next one is opened by a node that knows nothing of it, and forgotten by the peer.
    let session = scene.beta.open(g2).await;
    scene.beta.behave(Manners::ForgetsSessions);
    let ada = ada(&scene.n1).await;
    let sending = tokio::spawn(async move { send(&ada, "hello").await });
    let refused = scene.beta.next().await;
    assert!(
        matches!(refused, Document::Session { session_id, .. } if session_id.as_str() == session.of_gateway)
    );
    scene.beta.behave(Manners::Acknowledges);
    let (id, primitive) = scene.beta.asked_anywhere(g2).await;
    let after = scene.beta.latest.clone().unwrap();
    assert_ne!(after.of_gateway, session.of_gateway);
    answer_at(g1, &after, &id, &primitive).await;
    let outcome = sending.await.unwrap();
    assert!(outcome == "taken" || outcome == "stored", "{outcome}");
    scene.nothing_waits().await;
    scene.end().await;
}

#[tokio::test]
async fn reconnect_at_one_node_gives_all_a_new_session() {
    let mut scene = Scene::new().await;
    let [g1, g2] = scene.gateways();
    let before = scene.beta.open(g1).await;
    let (code, _) = scene.beta.ask(g2, &before, &message("m-1", BEA, ADA)).await;
    assert!(code.is_success());
    scene.n2.gateway.reconnect(&"beta.example".parse().unwrap());
    scene.beta.be_opened(&scene.gateways()[..]).await;
    let after = scene.beta.latest.clone().unwrap();
    let ada = ada(&scene.n1).await;
    let sending = tokio::spawn(async move { send(&ada, "hello").await });
    let (id, primitive) = loop {
        // The end of the session before may come first.
        match scene.beta.next().await {
            Document::Setup(step) => panic!("a second handshake: {step:?}"),
            Document::Session {
                session_id,
                transactions,
            } if session_id.as_str() == after.of_gateway => {
                let one = transactions.into_iter().next().unwrap();
                break (one.id.as_str().to_owned(), one.primitive);
            }
            Document::Session { .. } => {}
        }
    };
    answer_at(g2, &after, &id, &primitive).await;
    assert_eq!(sending.await.unwrap(), "taken");
    let document = in_session(&before.id, &request("t-2", &message("m-2", BEA, ADA)));
    for gateway in [g1, g2] {
        until_refused(gateway, &document).await;
    }
    scene.end().await;
}

#[tokio::test]
async fn message_queues_behind_what_another_node_has_stored() {
    let mut scene = Scene::new().await;
    let [g1, g2] = scene.gateways();
    let session = scene.beta.open(g1).await;
    let (code, _) = scene.beta.ask(g2, &session, &message("m-1", BEA, ADA)).await;
    assert!(code.is_success());
    let (at_n1, at_n2) = (ada(&scene.n1).await, ada(&scene.n2).await);
    scene.beta.behave(Manners::HangsUp);
    assert_eq!(send(&at_n1, "one").await, "stored");
    scene.beta.drain();
    scene.beta.behave(Manners::Acknowledges);
    let sending = tokio::spawn(async move { send(&at_n2, "two").await });
    let mut texts = Vec::new();
    while texts.last().is_none_or(|text| text != "two") {
        let (id, primitive) = scene.beta.asked_anywhere(g2).await;
        let Primitive::SendMessageRequest(sent) = &primitive else {
            panic!("{primitive:?}");
        };
        let content = &sent.content.as_ref().unwrap().bytes;
        texts.push(String::from_utf8_lossy(content).into_owned());
        let session = scene.beta.latest.clone().unwrap_or_else(|| session.clone());
        answer_at(g1, &session, &id, &primitive).await;
    }
    assert_eq!(texts.first().map(String::as_str), Some("one"), "{texts:?}");
    sending.await.unwrap();
    scene.nothing_waits().await;
    scene.end().await;
}

#[tokio::test]
async fn repeat_at_another_node_is_no_second_message() {
    let mut scene = Scene::new().await;
    let [g1, g2] = scene.gateways();
    let session = scene.beta.open(g1).await;
    for gateway in [g1, g2, g1, g2] {
        let (code, answer) = scene.beta.ask(gateway, &session, &message("m-1", BEA, ADA)).await;
        assert!(code.is_success(), "{answer}");
    }
    let inbox = scene
        .table
        .store
        .rows(Space::Inbox, "", None, 100, Timestamp(0))
        .await
        .unwrap();
    let taken = inbox
        .iter()
        .filter(|row| String::from_utf8_lossy(&row.value).contains("hello"));
    assert_eq!(taken.count(), 1, "{inbox:?}");
    scene.end().await;
}

async fn until_refused(gateway: SocketAddr, document: &[u8]) {
    for _ in 0..500 {
        if post(gateway, document).await == 403 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the session goes on");
}

/// The next request in a session; anything else fails the test.
pub(super) async fn first_request(beta: &mut Peer, session: &Session) -> (String, Primitive) {
    loop {
        match beta.next().await {
            Document::Setup(step) => panic!("a second handshake: {step:?}"),
            Document::Session {
                session_id,
                transactions,
            } => {
                assert_eq!(session_id.as_str(), session.of_gateway);
                let mut asked = transactions
                    .into_iter()
                    .filter(|one| one.mode == impsgw::wire::ssp::Mode::Request);
                if let Some(one) = asked.next() {
                    return (one.id.as_str().to_owned(), one.primitive);
                }
            }
        }
    }
}

pub(super) async fn answer_at(gateway: SocketAddr, session: &Session, id: &str, primitive: &Primitive) {
    let Primitive::SendMessageRequest(sent) = primitive else {
        panic!("{primitive:?}");
    };
    let answer = response(id, &taken_as(message_id(sent)));
    assert_eq!(post(gateway, &in_session(&session.id, &answer)).await, 200);
}

pub(super) async fn ada(app: &App) -> Handset {
    let url = format!("http://{}", app.subscribers.unwrap());
    Handset::log_in(&url, "ada", "ada-among-wolves").await.unwrap()
}

pub(super) async fn send(ada: &Handset, text: &str) -> String {
    let message = json!({"to": [BEA], "text": text});
    match ada.call("POST", "/v1/messages", message).await {
        Ok(answer) => answer["recipients"][0]["accepted"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        Err(error) => error.to_string(),
    }
}
