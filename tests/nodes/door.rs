//! The listener of nodes towards whoever is no node: other certificates, none, garbage, too much, too slow.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{Request, StatusCode, body::Frame, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use impsgw::{
    app::App,
    cluster::{FROM, MAX_BODY},
    gateways::ssp::{certificates::CertificateFiles, tls::HttpVersions},
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{Echo, Table, authority, certificate, certificates, cluster};

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_no_node_is_not_let_in() {
    let table = Table::new().await;
    let n1 = echoing(&table).await;
    let folder = table.folder.path().join("stranger");
    // The right name, of an authority that is not the cluster's.
    let mut stranger = certificate(&authority(), "n2", &folder);
    // It trusts the node all the same, so that only the node can say no.
    stranger.authorities = vec![table.folder.path().join("n1/ca.pem")];
    assert!(is_refused(&n1, tls(&stranger)).await);
    assert!(is_refused(&n1, nameless(&table)).await);
    // A plain connection.
    let mut plain = TcpStream::connect(address(&n1)).await.unwrap();
    plain
        .write_all(b"POST /v1/echo HTTP/1.1\r\nhost: n1\r\n\r\n")
        .await
        .unwrap();
    assert!(is_closed(&mut plain).await);
    still_answers(&table, &n1).await;
    n1.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_speaks_for_itself_alone() {
    let table = Table::new().await;
    let n1 = echoing(&table).await;
    let n2 = tls(&certificate(
        &table.authority,
        "n2",
        &table.folder.path().join("n2"),
    ));
    let mut sender = speak(&n1, &n2).await.unwrap();
    for (from, path, status) in [
        (Some("n2"), "/v1/echo", StatusCode::OK),
        (Some("n3"), "/v1/echo", StatusCode::FORBIDDEN),
        (Some("N2.example"), "/v1/echo", StatusCode::FORBIDDEN),
        (None, "/v1/echo", StatusCode::BAD_REQUEST),
        (Some("n2"), "/echo", StatusCode::NOT_FOUND),
        (Some("n2"), "/v1/nothing", StatusCode::NOT_FOUND),
        (Some("n2"), "/v1/", StatusCode::NOT_FOUND),
    ] {
        let answer = ask(&mut sender, from, path, whole("x")).await.unwrap();
        assert_eq!(answer, status, "{from:?} {path}");
    }
    n1.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_floods_and_drips_end_by_themselves() {
    let table = Table::new().await;
    let n1 = echoing(&table).await;
    let n2 = tls(&certificate(
        &table.authority,
        "n2",
        &table.folder.path().join("n2"),
    ));
    let mut garbage = secure(&n1, &n2).await.unwrap();
    garbage.write_all(&[0xff; 20_000]).await.unwrap();
    assert!(is_closed(&mut garbage).await);

    let mut sender = speak(&n1, &n2).await.unwrap();
    let flood = whole(vec![b'x'; MAX_BODY + 1]);
    let answer = ask(&mut sender, Some("n2"), "/v1/echo", flood).await;
    // It is told, or its stream is reset before it could listen.
    assert!(
        answer.is_err() || answer == Ok(StatusCode::PAYLOAD_TOO_LARGE),
        "{answer:?}"
    );

    let mut sender = speak(&n1, &n2).await.unwrap();
    let ticks = futures_util::stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        Some((Ok(Frame::data(Bytes::from_static(b"x"))), ()))
    });
    let drip = UnsyncBoxBody::new(
        StreamBody::new(ticks.boxed()).map_err(|never: std::convert::Infallible| match never {}),
    );
    let answer = tokio::time::timeout(
        Duration::from_secs(15),
        ask(&mut sender, Some("n2"), "/v1/echo", drip),
    );
    let answer = answer.await.expect("it listens for ever");
    assert!(
        answer.is_err() || answer == Ok(StatusCode::REQUEST_TIMEOUT),
        "{answer:?}"
    );
    still_answers(&table, &n1).await;
    n1.shut_down().await;
}

async fn echoing(table: &Table) -> App {
    let n1 = table.node("n1").await;
    cluster(&n1).answer("echo", Arc::new(Echo));
    n1
}

async fn still_answers(table: &Table, n1: &App) {
    let n9 = tls(&certificate(
        &table.authority,
        "n9",
        &table.folder.path().join("n9"),
    ));
    let mut sender = speak(n1, &n9).await.unwrap();
    let answer = ask(&mut sender, Some("n9"), "/v1/echo", whole("x")).await;
    assert_eq!(answer, Ok(StatusCode::OK));
}

fn address(app: &App) -> String {
    cluster(app).me().address.clone()
}

/// Whether nothing can be asked with these certificates. TLS 1.3 tells a client only after its handshake.
async fn is_refused(app: &App, tls: Arc<ClientConfig>) -> bool {
    match speak(app, &tls).await {
        Ok(mut sender) => ask(&mut sender, Some("n2"), "/v1/echo", whole("x"))
            .await
            .is_err(),
        Err(_) => true,
    }
}

fn tls(files: &CertificateFiles) -> Arc<ClientConfig> {
    let certificates = certificates(files);
    let references = vec!["n1".to_owned()];
    certificates
        .dialling("n2", references, HttpVersions::Http2)
        .unwrap()
}

/// A client without a certificate, that trusts the node.
fn nameless(table: &Table) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let authority = table.authority.certificate_pem().as_bytes();
    roots
        .add(CertificateDer::from_pem_slice(authority).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

async fn secure(app: &App, tls: &Arc<ClientConfig>) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address(app)).await?;
    let name = ServerName::try_from("n1").unwrap();
    TlsConnector::from(Arc::clone(tls)).connect(name, stream).await
}

async fn speak(app: &App, tls: &Arc<ClientConfig>) -> std::io::Result<http2::SendRequest<Body>> {
    let stream = secure(app, tls).await?;
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (sender, connection) = handshake.map_err(std::io::Error::other)?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn ask(
    sender: &mut http2::SendRequest<Body>,
    from: Option<&str>,
    path: &str,
    body: Body,
) -> Result<StatusCode, String> {
    let mut request = Request::post(format!("https://n1{path}"));
    if let Some(from) = from {
        request = request.header(FROM, from);
    }
    let request = request.body(body).unwrap();
    sender.ready().await.map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await;
    response
        .map(|response| response.status())
        .map_err(|error| error.to_string())
}

fn whole(body: impl Into<Bytes>) -> Body {
    UnsyncBoxBody::new(Full::new(body.into()).map_err(|never: std::convert::Infallible| match never {}))
}

/// Whether the other side closes, within the time that it allows anybody.
async fn is_closed(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> bool {
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(15), stream.read_to_end(&mut rest))
        .await
        .is_ok()
}
