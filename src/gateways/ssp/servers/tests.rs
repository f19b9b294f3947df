//! Which server a document goes to, over real sockets.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};

use super::*;
use crate::{
    agreement::Agreements,
    gateways::ssp::certificates::Bundle,
    model::WvAddress,
    routing::{HomeDirectory, RoutingConfig, static_candidates},
    telemetry::Clock,
};

#[tokio::test]
async fn document_that_may_have_arrived_goes_to_no_other_server() {
    let mut closing = peer(&[None]).await;
    let mut other = peer(&[Some(200)]).await;
    let posted = post(&[closing.address, other.address]).await;
    assert!(matches!(posted, Posted::Closed(_)), "{posted:?}");
    assert_eq!((closing.documents(), other.documents()), (1, 0));
}

#[tokio::test]
async fn document_that_nobody_answered_in_time_goes_to_no_other_server() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut other = peer(&[Some(200)]).await;
    let posted = post(&[silent.local_addr().unwrap(), other.address]).await;
    assert!(matches!(posted, Posted::Unsure(_)), "{posted:?}");
    assert_eq!(other.documents(), 0);
}

#[tokio::test]
async fn server_that_can_not_be_reached_or_refuses_leaves_it_to_the_next() {
    let gone = peer(&[]).await.address;
    let mut full = peer(&[Some(503)]).await;
    let mut other = peer(&[Some(200)]).await;
    let posted = post(&[gone, full.address, other.address]).await;
    assert_eq!(posted, Posted::Accepted);
    assert_eq!((full.documents(), other.documents()), (1, 1));
}

#[tokio::test]
async fn https_without_certificates_says_what_to_do() {
    let servers = servers();
    let agreement = agreement("tls.required = true");
    let order = servers.order(
        None,
        &candidates(&["127.0.0.1:9".parse().unwrap()]),
        &agreement,
        NOW,
    );
    let posted = post_to(&servers, &order, &agreement).await;
    let Posted::Failed(reason) = posted else {
        panic!("{posted:?}")
    };
    assert!(reason.contains("TLS is not set up here"), "{reason}");
}

#[test]
fn server_that_worked_comes_first() {
    let servers = servers();
    let all: Vec<SocketAddr> = (1..9)
        .map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
        .collect();
    let agreement = agreement(PLAIN);
    for first in ["http://127.0.0.1:3", "http://127.0.0.1:8"] {
        let order = servers.order(Some(first), &candidates(&all), &agreement, NOW);
        assert_eq!(order.first().map(Server::url).as_deref(), Some(first));
        assert_eq!(order.len(), all.len());
    }
    let order = servers.order(Some("https://127.0.0.1:3"), &candidates(&all), &agreement, NOW);
    assert!(order.iter().all(|server| !server.is_at("https://127.0.0.1:3")));
}

#[test]
fn documents_to_another_server_leave_the_probe_of_the_first_one_to_the_next_handshake() {
    let servers = servers();
    let addresses: Vec<SocketAddr> = vec!["127.0.0.1:3".parse().unwrap(), "127.0.0.1:8".parse().unwrap()];
    let all = candidates(&addresses);
    let agreement = agreement(PLAIN);
    let health = servers.router.health();
    health.report(&all[0].host_address(), false, NOW);
    let later = NOW.plus(std::time::Duration::from_secs(3_600));
    let pinned = "http://127.0.0.1:8";
    for _ in 0..10 {
        let order = servers.order(Some(pinned), &all, &agreement, later);
        assert_eq!(order.first().map(Server::url).as_deref(), Some(pinned));
        health.begin(&all[1].host_address(), later);
        health.report(&all[1].host_address(), true, later);
    }
    let order = servers.order(None, &all, &agreement, later);
    assert_eq!(
        order.first().map(Server::url).as_deref(),
        Some("http://127.0.0.1:3")
    );
}

#[test]
fn scheme_that_took_the_first_document_is_kept() {
    let servers = servers();
    let all = candidates(&["127.0.0.1:3".parse().unwrap()]);
    let agreement = agreement("tls.required = false\nprofile = \"observed\"");
    for (first, is_plain) in [("http://127.0.0.1:3", true), ("https://127.0.0.1:3", false)] {
        let order = servers.order(Some(first), &all, &agreement, NOW);
        let security = order.first().map(|server| server.security);
        assert_eq!(security == Some(Security::Plain), is_plain);
        assert_eq!(security == Some(Security::Tls), !is_plain);
    }
    let order = servers.order(None, &all, &agreement, NOW);
    assert_eq!(
        order.first().map(|server| server.security),
        Some(Security::TlsOrPlain)
    );
}

#[test]
fn url_of_a_redirect_names_a_server_that_the_agreement_allows() {
    let (plain, tls) = (agreement(PLAIN), agreement("tls.required = true"));
    let url = |text: &str, agreement: &InterconnectionAgreement| {
        Server::parse(text, agreement).map(|server| server.url())
    };
    assert_eq!(
        url("http://b.example:81/x", &plain).unwrap(),
        "http://b.example:81"
    );
    assert_eq!(
        url(" https://b.example/ ", &plain).unwrap(),
        "https://b.example:443"
    );
    assert_eq!(url("https://[::1]:8", &tls).unwrap(), "https://[::1]:8");
    assert!(url("http://b.example", &tls).unwrap_err().contains("without TLS"));
    for wrong in [
        "",
        "b.example",
        "ftp://b.example",
        "https://",
        "https://b.example:0x",
        "//b",
    ] {
        assert!(url(wrong, &plain).is_err(), "{wrong}");
    }
}

/// A server that answers each connection's document with a status, or closes; then it is gone.
struct FakePeer {
    address: SocketAddr,
    seen: mpsc::UnboundedReceiver<()>,
}

impl FakePeer {
    fn documents(&mut self) -> usize {
        std::iter::from_fn(|| self.seen.try_recv().ok()).count()
    }
}

async fn peer(answers: &'static [Option<u16>]) -> FakePeer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, seen) = mpsc::unbounded_channel();
    let serve = async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(BODY) {
                assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
            }
            let _ = sender.send(());
            if let Some(status) = answer {
                let answer =
                    format!("HTTP/1.1 {status} OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    };
    if answers.is_empty() {
        serve.await;
    } else {
        tokio::spawn(serve);
    }
    FakePeer { address, seen }
}

async fn post(addresses: &[SocketAddr]) -> Posted {
    let servers = servers();
    let agreement = agreement(PLAIN);
    // In this order, whatever the draw says.
    let order: Vec<_> = addresses
        .iter()
        .flat_map(|address| servers.order(None, &candidates(&[*address]), &agreement, NOW))
        .collect();
    post_to(&servers, &order, &agreement).await
}

async fn post_to(servers: &Servers, order: &[Server], agreement: &InterconnectionAgreement) -> Posted {
    let (own, peer) = ("alpha.example".parse().unwrap(), "bravo.example".parse().unwrap());
    let body = Bytes::from_static(BODY);
    servers
        .post_document(order, agreement, (&own, &peer), body, PostHeaders::default(), NOW)
        .await
}

fn servers() -> Servers {
    let (clock, _) = Clock::standing(NOW);
    let router = Router::new(RoutingConfig::default(), Arc::new(Nobody), Vec::new(), clock);
    let config = SspConfig {
        exchange_timeout: std::time::Duration::from_millis(300),
        ..SspConfig::default()
    };
    Servers::new(Certificates::new(Bundle::none()), Arc::new(router), config)
}

fn candidates(addresses: &[SocketAddr]) -> Arc<[Candidate]> {
    let names: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    static_candidates(&names).unwrap()
}

fn agreement(more: &str) -> Arc<InterconnectionAgreement> {
    let text = format!(
        "peer = \"bravo\"\ndomains = [\"bravo.example\"]\nallowed_networks = [\"127.0.0.0/8\"]\n{more}"
    );
    let agreements = Agreements::new(vec![toml::from_str(&text).unwrap()]);
    agreements.all().first().unwrap().clone()
}

#[derive(Debug)]
struct Nobody;

impl HomeDirectory for Nobody {
    fn account(&self, _: &WvAddress) -> Option<Domain> {
        None
    }
}

const BODY: &[u8] = b"<a document/>";
const PLAIN: &str = "tls.required = false";
const NOW: Timestamp = Timestamp(1_000_000);
