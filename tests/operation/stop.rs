//! An orderly stop: what is under way ends, nothing is delivered twice over the restart, nothing that was told is lost.

use std::time::Duration;

use impsgw::wire::ssp::{Document, Mode, Primitive, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::hostile::{
    peer::{
        Manners, Peer, Session, code, in_session, message, message_id, post, request, response, taken_as,
    },
    stage::{Setting, Stage, ada, send},
};

const BEA: &str = "wv:bea@beta.example";
const GIL: &str = "wv:gil@gamma.example";
const ADA: &str = "wv:ada@alpha.example";

/// A gateway that waits for what is under way, and whose outbox is quick.
fn patient() -> Setting<'static> {
    Setting {
        gateway: "stop_grace = \"60s\"",
        relay: "cut_through = \"1s\"\nfirst_retry = \"100ms\"\nlongest_retry = \"1s\"",
        ..Setting::default()
    }
}

/// The peer answers a delivery of the outbox after the stop began: its answer is taken, and nothing is sent again.
#[tokio::test]
async fn message_in_flight_at_the_stop_is_delivered_once() {
    let mut beta = Peer::new("beta").await;
    let mut stage = Stage::with(&[&beta], &patient()).await;
    let session = beta.open(stage.ssp()).await;
    let ada = ada(&stage).await;
    beta.behave(Manners::HangsUp);
    assert_eq!(send(&ada, BEA, "one").await, "stored");
    beta.behave(Manners::Acknowledges);
    beta.drain();
    let (id, primitive) = beta.asked_anywhere(stage.ssp()).await;
    let Primitive::SendMessageRequest(sent) = primitive else {
        panic!("{primitive:?}");
    };
    let session = beta.latest.clone().unwrap_or(session);
    let gateway = stage.ssp();
    let stopping = stage.stopping();
    // What the peer asks now it has to ask another server.
    until_refused(gateway, &session).await;
    let answer = response(&id, &taken_as(message_id(&sent)));
    assert_eq!(post(gateway, &in_session(&session.id, &answer)).await, 200);
    stopping.await.unwrap();
    stage.start_again().await;
    assert!(stage.items().await.is_empty(), "it waits still");
    assert_eq!(requests(beta.drain()), Vec::<String>::new(), "it was sent again");
    stage.end().await;
}

/// A peer's message that was taken before the stop is delivered, and the peer is told.
#[tokio::test]
async fn request_that_was_taken_is_answered_before_the_stop_ends() {
    let mut beta = Peer::new("beta").await;
    let mut gamma = Peer::new("gamma").await;
    let setting = Setting {
        agreement: "transit = true",
        ..patient()
    };
    let mut stage = Stage::with(&[&beta, &gamma], &setting).await;
    let of_gamma = gamma.open(stage.ssp()).await;
    let session = beta.open(stage.ssp()).await;
    let gateway = stage.ssp();
    let document = in_session(&session.id, &request("t-1", &message("m-1", BEA, GIL)));
    assert_eq!(post(gateway, &document).await, 200);
    let (id, primitive) = gamma.asked().await;
    let Primitive::SendMessageRequest(sent) = primitive else {
        panic!("{primitive:?}");
    };
    let stopping = stage.stopping();
    until_refused(gateway, &session).await;
    let answer = response(&id, &taken_as(message_id(&sent)));
    assert_eq!(post(gateway, &in_session(&of_gamma.id, &answer)).await, 200);
    assert_eq!(code(&beta.answer().await.primitive), StatusCode::SUCCESS);
    stopping.await.unwrap();
    stage.start_again().await;
    // The repeat is known: the outcome had been written down.
    let session = beta.open(stage.ssp()).await;
    let (status, text) = beta.ask(stage.ssp(), &session, &message("m-1", BEA, GIL)).await;
    assert_eq!(status, StatusCode::SUCCESS, "{text}");
    assert_eq!(requests(gamma.drain()), Vec::<String>::new(), "it was sent again");
    stage.end().await;
}

/// Somebody logs out, and the gateway is stopped at once: who watches her is told that she is offline.
#[tokio::test]
async fn logout_before_the_stop_is_told_to_watchers() {
    let mut beta = Peer::new("beta").await;
    let mut stage = Stage::with(&[&beta], &patient()).await;
    let session = beta.open(stage.ssp()).await;
    let gateway = stage.ssp();
    let ada = ada(&stage).await;
    let subscribe = format!(
        "<SubscribeRequest><MetaInfo clientOriginated=\"Yes\"><Requestor serviceID=\"wv:@beta.example\">\
         <User userID=\"{BEA}\"/></Requestor></MetaInfo><UserID userID=\"{ADA}\"/></SubscribeRequest>"
    );
    let document = in_session(&session.id, &request("s-1", &subscribe));
    assert_eq!(post(gateway, &document).await, 200);
    let online = notified(&mut beta).await;
    ada.call("POST", "/v1/logout", Value::Null).await.unwrap();
    let stopping = stage.stopping();
    let offline = notified(&mut beta).await;
    assert_ne!(online, offline);
    stopping.await.unwrap();
    stage.start_again().await;
    stage.end().await;
}

/// Nobody waits for a silent peer longer than the setting says, and what was accepted is still there.
#[tokio::test]
async fn stop_ends_in_time_whatever_a_peer_does() {
    let mut beta = Peer::new("beta").await;
    let setting = Setting {
        gateway: "stop_grace = \"1s\"",
        ..patient()
    };
    let mut stage = Stage::with(&[&beta], &setting).await;
    let session = beta.open(stage.ssp()).await;
    let ada = ada(&stage).await;
    beta.behave(Manners::HangsUp);
    assert_eq!(send(&ada, BEA, "one").await, "stored");
    beta.behave(Manners::Acknowledges);
    beta.drain();
    // Acknowledged, and never answered: its attempt would last for query_timeout, 20 s.
    let _ = beta.asked_anywhere(stage.ssp()).await;
    drop(session);
    let began = Instant::now();
    stage.stopping().await.unwrap();
    let took = began.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
    stage
        .logged(&["not everything under way has ended in time"])
        .await;
    stage.start_again().await;
    assert_eq!(stage.items().await.len(), 1);
    stage.end().await;
}

/// Event streams end with the stop, and their devices come back.
#[tokio::test]
async fn open_event_stream_does_not_hold_the_stop_up() {
    let beta = Peer::new("beta").await;
    let mut stage = Stage::with(&[&beta], &patient()).await;
    let mut handset = ada(&stage).await;
    handset.event("ready", "ready", |_| true).await.unwrap();
    let began = Instant::now();
    stage.stopping().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    stage.start_again().await;
    let again = ada_again(&stage).await;
    assert_eq!(again["user"], json!(ADA));
    stage.end().await;
}

async fn ada_again(stage: &Stage) -> Value {
    let handset = ada(stage).await;
    handset.call("GET", "/v1/me", Value::Null).await.unwrap()
}

/// Waits until the gateway takes no more questions.
async fn until_refused(gateway: std::net::SocketAddr, session: &Session) {
    let question = in_session(&session.id, &request("k", "<KeepAliveRequest/>"));
    for _ in 0..500 {
        if post(gateway, &question).await == 503 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the gateway takes questions still");
}

/// The next presence notification; it counts as delivered with the acknowledgement.
async fn notified(peer: &mut Peer) -> String {
    let (_, primitive) = peer.asked().await;
    let Primitive::PresenceNotification(notification) = primitive else {
        panic!("{primitive:?}");
    };
    format!("{notification:?}")
}

/// What documents ask in sessions, by name.
fn requests(documents: Vec<Document>) -> Vec<String> {
    let transactions = documents.into_iter().flat_map(|document| match document {
        Document::Session { transactions, .. } => transactions,
        Document::Setup(_) => Vec::new(),
    });
    transactions
        .filter(|one| one.mode == Mode::Request)
        .map(|one| one.primitive.name().to_owned())
        .collect()
}
