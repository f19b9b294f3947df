//! Clients that take places and say little: of the subscriber API and of the admin API, before any login or token.
//!
//! A slow header, a slow body and silence each end within the bound, one source has so many places and no more, and an honest
//! client is served meanwhile.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use super::{
    peer::{Peer, raw, status_of},
    stage::{Setting, Stage},
};

fn impatient() -> Setting<'static> {
    Setting {
        home: "request_timeout = \"1s\"\nmax_connections = 8\nmax_connections_per_address = 8",
        ..Setting::default()
    }
}

/// A header that comes octet by octet, and silence.
#[tokio::test]
async fn slow_headers_end_in_time() {
    let beta = Peer::new("beta").await;
    let stage = Stage::with(&[&beta], &impatient()).await;
    let (subscribers, admin) = (stage.subscribers(), stage.admin());
    let (by_subscriber, by_operator, silent) = tokio::join!(
        drips(subscribers, "GET /v1/me HTTP/1.1\r\n", "x"),
        drips(admin, "GET /api/v1/status HTTP/1.1\r\n", "x"),
        drips(subscribers, "", ""),
    );
    // 1 s is set for subscribers; 10 s are the admin listener's own.
    assert!(by_subscriber < Duration::from_secs(6), "{by_subscriber:?}");
    assert!(silent < Duration::from_secs(6), "{silent:?}");
    assert!(by_operator < Duration::from_secs(20), "{by_operator:?}");
    stage.end().await;
}

/// A body that is announced and comes octet by octet.
#[tokio::test]
async fn slow_bodies_are_refused_by_408() {
    let beta = Peer::new("beta").await;
    let stage = Stage::with(&[&beta], &impatient()).await;
    let head = "POST /v1/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n{";
    let answer = raw(stage.subscribers(), head.as_bytes()).await;
    assert_eq!(status_of(&answer), 408, "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    // Without a token the admin API answers before the body comes.
    let head = "POST /api/v1/reload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5000\r\n\r\n{";
    let answer = raw(stage.admin(), head.as_bytes()).await;
    assert_eq!(status_of(&answer), 401, "{answer}");
    stage.end().await;
}

/// One source takes its places; then it is turned away, and is served again when they are free.
#[tokio::test]
async fn places_of_one_source_are_bounded() {
    let beta = Peer::new("beta").await;
    let stage = Stage::with(&[&beta], &impatient()).await;
    let mut idle = Vec::new();
    for _ in 0..24 {
        idle.push(TcpStream::connect(stage.subscribers()).await.unwrap());
    }
    stage
        .logged(&["all connections", "max_connections", "home"])
        .await;
    let mut many = Vec::new();
    for _ in 0..300 {
        many.push(TcpStream::connect(stage.admin()).await.unwrap());
    }
    stage.logged(&["all connections of this source", "admin"]).await;
    drop((idle, many));
    honest(stage.subscribers(), "/v1/openapi.json").await;
    honest(stage.admin(), "/").await;
    stage.end().await;
}

/// Sends the beginning, then an octet now and then; how long the gateway bears it.
async fn drips(gateway: SocketAddr, beginning: &str, drop: &str) -> Duration {
    let mut stream = TcpStream::connect(gateway).await.unwrap();
    let began = Instant::now();
    stream.write_all(beginning.as_bytes()).await.unwrap();
    let mut octet = [0; 512];
    while began.elapsed() < Duration::from_secs(30) {
        if stream.write_all(drop.as_bytes()).await.is_err() {
            break;
        }
        let read = timeout(Duration::from_millis(100), stream.read(&mut octet)).await;
        if let Ok(Ok(0) | Err(_)) = read {
            break;
        }
    }
    began.elapsed()
}

/// Waits until an honest client is served.
async fn honest(gateway: SocketAddr, path: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
    for _ in 0..200 {
        if let Ok(mut stream) = TcpStream::connect(gateway).await
            && stream.write_all(request.as_bytes()).await.is_ok()
        {
            let mut answer = String::new();
            let _ = stream.read_to_string(&mut answer).await;
            if status_of(&answer) == 200 {
                return;
            }
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("an honest client is not served any more");
}
