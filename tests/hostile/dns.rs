//! Name servers that lie, lead astray or are gone: nobody is reached whom the agreement does not allow, and what was accepted
//! waits until DNS is back.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use impsgw::{wire::ssp::Primitive, zone::ZoneServer};
use serde_json::Value;
use tokio::net::{TcpListener, UdpSocket};

use super::{
    peer::{Peer, in_session, message_id, post, response, taken_as},
    stage::{Setting, Stage, ada, loopback, routing_by, send, zones},
};

const BEA: &str = "wv:bea@beta.example";
const GIL: &str = "wv:gil@gamma.example";

/// SRV and address records lead to an address outside of the agreement's networks, where somebody listens.
#[tokio::test]
async fn records_that_lead_out_of_the_agreed_networks_are_not_followed() {
    let trap = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let mut beta = Peer::new("beta").await;
    beta.address = trap.local_addr().unwrap();
    let resolver = Resolver::start(&[&beta], "127.0.0.2").await;
    let routing = Some(routing_by(resolver.address));
    let setting = Setting {
        routing,
        networks: "127.0.0.1/32",
        ..impatient()
    };
    let stage = Stage::with(&[&beta], &setting).await;
    let ada = ada(&stage).await;
    let refused = ada.call("GET", &format!("/v1/presence/{BEA}"), Value::Null).await;
    let text = format!("{refused:?}");
    assert!(text.contains("unreachable") && text.contains("503"), "{text}");
    stage
        .logged(&["127.0.0.2", "is not in the allowed networks of this peer"])
        .await;
    assert_eq!(send(&ada, BEA, "one").await, "stored");
    tokio::select! {
        biased;
        met = trap.accept() => panic!("the trap was met: {met:?}"),
        () = tokio::task::yield_now() => {}
    }
    stage.end().await;
}

/// Answers under another ID or to another question are none, and what is added for other names is not believed.
#[tokio::test]
async fn lies_of_a_name_server_are_not_believed() {
    let trap = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let mut beta = Peer::new("beta").await;
    let mut gamma = Peer::new("gamma").await;
    let resolver = Resolver::start(&[&beta, &gamma], "127.0.0.1").await;
    let setting = Setting {
        routing: Some(routing_by(resolver.address)),
        ..impatient()
    };
    let stage = Stage::with(&[&beta, &gamma], &setting).await;
    let ada = ada(&stage).await;
    for lie in [Mood::OtherId, Mood::OtherQuestion] {
        resolver.be(lie);
        assert_eq!(send(&ada, BEA, "one").await, "stored", "{lie:?}");
    }
    // Each answer about Beta says beside that Gamma's server is the trap.
    resolver.be(Mood::Adds);
    delivered(&mut beta, &stage).await;
    delivered(&mut beta, &stage).await;
    let (outcome, ()) = tokio::join!(send(&ada, GIL, "two"), delivered(&mut gamma, &stage));
    assert!(["taken", "stored"].contains(&outcome.as_str()), "{outcome}");
    tokio::select! {
        biased;
        met = trap.accept() => panic!("the trap was met: {met:?}"),
        () = tokio::task::yield_now() => {}
    }
    stage.nothing_waits().await;
    stage.end().await;
}

/// DNS is gone while messages arrive: they are accepted, and delivered when it is back.
#[tokio::test]
async fn messages_wait_while_dns_is_gone() {
    let mut beta = Peer::new("beta").await;
    let resolver = Resolver::start(&[&beta], "127.0.0.1").await;
    let setting = Setting {
        routing: Some(routing_by(resolver.address)),
        ..impatient()
    };
    let stage = Stage::with(&[&beta], &setting).await;
    let ada = ada(&stage).await;
    resolver.be(Mood::Gone);
    assert_eq!(send(&ada, BEA, "one").await, "stored");
    assert_eq!(send(&ada, BEA, "two").await, "stored");
    assert_eq!(stage.items().await.len(), 2);
    resolver.be(Mood::Honest);
    delivered(&mut beta, &stage).await;
    delivered(&mut beta, &stage).await;
    stage.nothing_waits().await;
    stage.end().await;
}

fn impatient() -> Setting<'static> {
    Setting {
        ssp: "exchange_timeout = \"1s\"\nconnect_timeout = \"1s\"",
        relay: "cut_through = \"2s\"\nfirst_retry = \"100ms\"\nlongest_retry = \"1s\"",
        ..Setting::default()
    }
}

/// The peer takes the next message.
async fn delivered(peer: &mut Peer, stage: &Stage) {
    let (id, primitive) = peer.asked_anywhere(stage.ssp()).await;
    let Primitive::SendMessageRequest(sent) = primitive else {
        panic!("{primitive:?}");
    };
    let session = peer.latest.clone().unwrap();
    let answer = response(&id, &taken_as(message_id(&sent)));
    assert_eq!(post(stage.ssp(), &in_session(&session.id, &answer)).await, 200);
}

/// A resolver between the gateway and the bundled DNS server, which lies when it is told to.
struct Resolver {
    address: SocketAddr,
    mood: Arc<Mutex<Mood>>,
    _zone: ZoneServer,
}

/// What the resolver does with answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mood {
    /// Hands them on.
    Honest,
    /// Never answers.
    Gone,
    /// Hands them on under another ID.
    OtherId,
    /// Hands them on as answers to another question.
    OtherQuestion,
    /// Adds that Gamma's server is at 127.0.0.2.
    Adds,
}

impl Resolver {
    async fn start(peers: &[&Peer], servers: &str) -> Self {
        let zone = ZoneServer::start(zones(peers, servers, ""), loopback())
            .await
            .unwrap();
        let dns = zone.local_addr();
        let socket = Arc::new(UdpSocket::bind(loopback()).await.unwrap());
        let address = socket.local_addr().unwrap();
        let mood = Arc::new(Mutex::new(Mood::Honest));
        let current = Arc::clone(&mood);
        tokio::spawn(async move {
            let mut query = [0; 4096];
            while let Ok((length, client)) = socket.recv_from(&mut query).await {
                let (socket, query) = (Arc::clone(&socket), query[..length].to_vec());
                let mood = *current.lock().unwrap();
                tokio::spawn(async move {
                    if let Some(answer) = answer(dns, &query, mood).await {
                        let _ = socket.send_to(&answer, client).await;
                    }
                });
            }
        });
        Self {
            address,
            mood,
            _zone: zone,
        }
    }

    fn be(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }
}

/// The honest server's answer, as the mood has it.
async fn answer(dns: SocketAddr, query: &[u8], mood: Mood) -> Option<Vec<u8>> {
    if mood == Mood::Gone {
        return None;
    }
    let socket = UdpSocket::bind(loopback()).await.ok()?;
    socket.send_to(query, dns).await.ok()?;
    let mut octets = vec![0; 4096];
    let length = socket.recv(&mut octets).await.ok()?;
    octets.truncate(length);
    match mood {
        Mood::Honest | Mood::Gone => {}
        Mood::OtherId => octets[0] ^= 0xff,
        // The first letter of the name, behind its length octet; only the case would be the same name.
        Mood::OtherQuestion => octets[13] ^= 0x01,
        Mood::Adds => {
            let count = u16::from_be_bytes([octets[10], octets[11]]) + 1;
            octets[10..12].copy_from_slice(&count.to_be_bytes());
            octets.extend_from_slice(
                b"\x03ssp\x05gamma\x07example\x00\x00\x01\x00\x01\x00\x00\x0e\x10\x00\x04\x7f\x00\x00\x02",
            );
        }
    }
    Some(octets)
}
