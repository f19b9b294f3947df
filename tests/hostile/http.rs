//! HTTP that no honest client speaks: wrong methods and types, lies about length, chunked abuse, smuggling, slowness, floods.
//!
//! Whatever comes, a connection ends or is refused within the bounds, at most one document is taken from it, and an honest
//! document is answered at once afterwards.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

use super::{
    peer::{Peer, in_session, post, raw, request, status_of},
    stage::{Setting, Stage},
};

const TYPE: &str = "Content-Type: application/vnd.wv.ssp+xml\r\n";

/// Short patience, few and small.
fn impatient() -> Setting<'static> {
    Setting {
        ssp: "exchange_timeout = \"1s\"\nmax_document = \"16 KiB\"\nmax_connections = 24\nmax_connections_per_address = 16",
        ..Setting::default()
    }
}

#[tokio::test]
async fn wrong_methods_and_types_are_refused() {
    let beta = Peer::new("beta").await;
    let stage = Stage::new(&[&beta]).await;
    let body = String::from_utf8(document()).unwrap();
    let length = format!(
        "Host: a\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (what, head, wanted) in [
        (
            "GET",
            format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{TYPE}\r\n"),
            405,
        ),
        (
            "HEAD",
            format!("HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{TYPE}\r\n"),
            405,
        ),
        (
            "TRACE",
            format!("TRACE / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{TYPE}\r\n"),
            405,
        ),
        ("PUT", format!("PUT / HTTP/1.1\r\n{length}{TYPE}\r\n{body}"), 405),
        (
            "CONNECT",
            "CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_owned(),
            405,
        ),
        ("no type", format!("POST / HTTP/1.1\r\n{length}\r\n{body}"), 415),
        (
            "XML",
            format!("POST / HTTP/1.1\r\n{length}Content-Type: text/xml\r\n\r\n{body}"),
            415,
        ),
        (
            "an empty type",
            format!("POST / HTTP/1.1\r\n{length}Content-Type: \r\n\r\n{body}"),
            415,
        ),
        (
            "a form",
            format!(
                "POST / HTTP/1.1\r\n{length}Content-Type: application/x-www-form-urlencoded\r\n\r\n{body}"
            ),
            415,
        ),
        (
            "half the type",
            format!("POST / HTTP/1.1\r\n{length}Content-Type: application/vnd.wv.ssp\r\n\r\n{body}"),
            415,
        ),
        // The path says nothing (SSP reference §2): the document is read, and its session is unknown.
        (
            "a path that climbs",
            format!("POST /../../etc/passwd%00?x=\u{1}y HTTP/1.1\r\n{length}{TYPE}\r\n{body}")
                .replace('\u{1}', "%01"),
            403,
        ),
    ] {
        let answer = raw(stage.ssp(), head.as_bytes()).await;
        assert_eq!(status_of(&answer), wanted, "{what}: {answer}");
    }
    stage.end().await;
}

#[tokio::test]
async fn broken_http_is_refused_and_lies_about_length_smuggle_nothing() {
    let beta = Peer::new("beta").await;
    let stage = Stage::with(&[&beta], &impatient()).await;
    let body = String::from_utf8(document()).unwrap();
    let size = body.len();
    // The request that a front end must not see and we must not take.
    let hidden = format!("POST /hidden HTTP/1.1\r\nHost: a\r\n{TYPE}Content-Length: {size}\r\n\r\n{body}");
    let start = format!("POST / HTTP/1.1\r\nHost: a\r\n{TYPE}");
    let cases = [
        ("octets", "\0\u{1}\u{2}\u{3}\r\n\r\n".to_owned()),
        ("no version", format!("POST /\r\nHost: a\r\n\r\n{body}")),
        ("HTTP/9.9", format!("POST / HTTP/9.9\r\nHost: a\r\n\r\n{body}")),
        (
            "negative length",
            format!("{start}Content-Length: -1\r\n\r\n{hidden}"),
        ),
        (
            "signed length",
            format!("{start}Content-Length: +{size}\r\n\r\n{body}"),
        ),
        (
            "length past 64 bits",
            format!("{start}Content-Length: 99999999999999999999999\r\n\r\n{hidden}"),
        ),
        (
            "length as hexadecimal",
            format!("{start}Content-Length: 0x10\r\n\r\n{hidden}"),
        ),
        (
            "two lengths",
            format!("{start}Content-Length: 0\r\nContent-Length: {size}\r\n\r\n{body}"),
        ),
        (
            "lengths in a list",
            format!("{start}Content-Length: 0, {size}\r\n\r\n{hidden}"),
        ),
        (
            "length and chunks",
            format!("{start}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"),
        ),
        (
            "chunks and length",
            format!("{start}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n{hidden}"),
        ),
        (
            "unknown coding",
            format!("{start}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{hidden}"),
        ),
        (
            "chunked is not last",
            format!("{start}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{hidden}"),
        ),
        (
            "space before the colon",
            format!("{start}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{hidden}"),
        ),
        (
            "folded header",
            format!("{start}X-A: b\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"),
        ),
        (
            "chunk size past 64 bits",
            format!("{start}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{hidden}"),
        ),
        (
            "negative chunk",
            format!("{start}Transfer-Encoding: chunked\r\n\r\n-1\r\n{hidden}"),
        ),
        (
            "no chunk size",
            format!("{start}Transfer-Encoding: chunked\r\n\r\n\r\n{hidden}"),
        ),
        (
            "chunk longer than its size",
            format!("{start}Transfer-Encoding: chunked\r\n\r\n1\r\n{hidden}"),
        ),
        (
            "NUL in a header",
            format!("{start}X-A: b\0c\r\nContent-Length: 0\r\n\r\n{hidden}"),
        ),
    ];
    for (what, octets) in cases {
        let answer = raw(stage.ssp(), octets.as_bytes()).await;
        let status = status_of(&answer);
        assert!(
            matches!(status, 0 | 400 | 408 | 413 | 415 | 505),
            "{what}: {answer}"
        );
        assert!(!answer.contains(" 200 "), "{what}: {answer}");
    }
    // Chunked framing may hold a length beside it that is passed over, but then nothing follows on the connection.
    assert_eq!(stage.count_logged("a document of an unknown session"), 0);
    honest(&stage).await;
    stage.end().await;
}

#[tokio::test]
async fn bodies_that_never_end_are_cut() {
    let beta = Peer::new("beta").await;
    let stage = Stage::with(&[&beta], &impatient()).await;
    let start = format!("POST / HTTP/1.1\r\nHost: a\r\n{TYPE}");
    // Longer than it says: the document is refused at the bound.
    let chunks = "1000\r\n".to_owned() + &"x".repeat(0x1000) + "\r\n";
    let endless = format!("{start}Transfer-Encoding: chunked\r\n\r\n{}", chunks.repeat(64));
    assert_eq!(status_of(&raw(stage.ssp(), endless.as_bytes()).await), 413);
    let declared = format!("{start}Content-Length: 1000000\r\n\r\n{}", "x".repeat(1_000_000));
    assert_eq!(status_of(&raw(stage.ssp(), declared.as_bytes()).await), 413);
    // Shorter than it says: the rest is waited for, and not long.
    let began = Instant::now();
    let short = format!("{start}Content-Length: 1000\r\n\r\n<WV-SSP");
    assert_eq!(status_of(&raw(stage.ssp(), short.as_bytes()).await), 408);
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    // One-octet chunks are only slow.
    let tiny: String = String::from_utf8(document())
        .unwrap()
        .chars()
        .map(|c| format!("1\r\n{c}\r\n"))
        .collect();
    let tiny = format!("{start}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n{tiny}0\r\n\r\n");
    assert_eq!(status_of(&raw(stage.ssp(), tiny.as_bytes()).await), 403);
    honest(&stage).await;
    stage.end().await;
}

#[tokio::test]
async fn header_floods_are_cut() {
    let beta = Peer::new("beta").await;
    let stage = Stage::with(&[&beta], &impatient()).await;
    let start = "POST / HTTP/1.1\r\nHost: a\r\n";
    let many: String = (0..20_000).map(|index| format!("X-{index}: y\r\n")).collect();
    let trailers: String = (0..20_000).map(|index| format!("X-{index}: y\r\n")).collect();
    for (what, octets) in [
        ("many", format!("{start}{many}\r\n")),
        ("long", format!("{start}X-A: {}\r\n\r\n", "y".repeat(1 << 20))),
        (
            "a long path",
            format!("POST /{} HTTP/1.1\r\nHost: a\r\n\r\n", "y".repeat(1 << 20)),
        ),
        ("no end", format!("{start}X-A: {}", "y".repeat(1 << 20))),
        (
            "trailers",
            format!("{start}{TYPE}Transfer-Encoding: chunked\r\n\r\n0\r\n{trailers}\r\n"),
        ),
        (
            "extensions",
            format!(
                "{start}{TYPE}Transfer-Encoding: chunked\r\n\r\n1;{}\r\n",
                "y".repeat(1 << 20)
            ),
        ),
    ] {
        let answer = raw(stage.ssp(), octets.as_bytes()).await;
        assert!(
            matches!(status_of(&answer), 0 | 400 | 408 | 414 | 431),
            "{what}: {answer}"
        );
    }
    honest(&stage).await;
    stage.end().await;
}

/// Octet by octet within the bound is served; past it the connection is closed.
#[tokio::test]
async fn slow_clients_are_served_within_the_bound_and_no_longer() {
    let beta = Peer::new("beta").await;
    let stage = Stage::with(&[&beta], &impatient()).await;
    let body = b"<a/>";
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{TYPE}Connection: close\r\nContent-Length: 4\r\n\r\n");
    let mut stream = TcpStream::connect(stage.ssp()).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    for octet in body {
        stream.write_all(&[*octet]).await.unwrap();
        stream.flush().await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(status_of(&answer), 400, "{answer}");

    let began = Instant::now();
    let mut stream = TcpStream::connect(stage.ssp()).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nX-Slow: ").await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let drip = tokio::spawn(async move {
        while writer.write_all(b"y").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(5), reader.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "the header may drip for ever");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    drip.abort();
    honest(&stage).await;
    stage.end().await;
}

/// Idle connections from one address fill that address's places and nobody else's; they are given back.
#[tokio::test]
async fn connection_floods_meet_the_bound() {
    let beta = Peer::new("beta").await;
    let stage = Stage::with(&[&beta], &impatient()).await;
    let mut idle = Vec::new();
    for _ in 0..64 {
        idle.push(TcpStream::connect(stage.ssp()).await.unwrap());
    }
    stage.logged(&["all connections of this source are in use"]).await;
    drop(idle);
    honest(&stage).await;
    stage.end().await;
}

/// Streams opened and reset at once, headers that never end, pings and settings without number.
#[tokio::test]
async fn http2_floods_end_the_connection_and_nothing_else() {
    let beta = Peer::new("beta").await;
    let stage = Stage::with(&[&beta], &impatient()).await;
    // :method POST, :scheme http, :path /, :authority a, as HPACK has them in its static table.
    let head = [0x83, 0x86, 0x84, 0x41, 1, b'a'];
    let mut resets = Vec::new();
    for stream in (1..20_001_u32).step_by(2) {
        frame(&mut resets, 1, 0x4, stream, &head);
        frame(&mut resets, 3, 0, stream, &8_u32.to_be_bytes());
    }
    let mut endless = Vec::new();
    frame(&mut endless, 1, 0, 1, &head);
    for _ in 0..100 {
        // A literal header of 16 KiB, over and over, and never the flag that ends them.
        let mut fields = vec![0x00, 1, b'x', 0x7f, 0x80, 0x7f];
        fields.resize(16_000, b'y');
        frame(&mut endless, 9, 0, 1, &fields);
    }
    let mut pings = Vec::new();
    for _ in 0..50_000 {
        frame(&mut pings, 6, 0, 0, &[0; 8]);
    }
    let mut settings = Vec::new();
    for _ in 0..50_000 {
        frame(&mut settings, 4, 0, 0, &[]);
    }
    let mut huge = Vec::new();
    huge.extend_from_slice(&[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1]);
    let mut window = Vec::new();
    frame(&mut window, 8, 0, 0, &0x7fff_ffff_u32.to_be_bytes());
    frame(&mut window, 8, 0, 0, &0x7fff_ffff_u32.to_be_bytes());
    for (what, frames) in [
        ("resets", resets),
        ("headers without end", endless),
        ("pings", pings),
        ("settings", settings),
        ("a frame too large", huge),
        ("a window past its bound", window),
    ] {
        let mut octets = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        frame(&mut octets, 4, 0, 0, &[]);
        octets.extend_from_slice(&frames);
        let _ = tokio::time::timeout(Duration::from_secs(2), raw(stage.ssp(), &octets)).await;
        honest(&stage).await;
        assert_eq!(stage.count_logged("unknown session"), 0, "{what}");
    }
    stage.end().await;
}

/// A document of nobody's session is refused at once; so the listener lives and has a place.
async fn honest(stage: &Stage) {
    for _ in 0..200 {
        let body = b"<nothing/>";
        if post(stage.ssp(), body).await == 400 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("an honest client is not served any more");
}

fn document() -> Vec<u8> {
    in_session("1@beta.example", &request("t", "<LogoutRequest/>"))
}

fn frame(into: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    into.extend_from_slice(&length[1..]);
    into.extend_from_slice(&[kind, flags]);
    into.extend_from_slice(&stream.to_be_bytes());
    into.extend_from_slice(payload);
}
