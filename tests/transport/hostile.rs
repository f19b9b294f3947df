//! What a listener does with everything that is not a bounded document in time.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

const HEAD: &str = "POST / HTTP/1.1\r\nHost: b\r\nContent-Type: application/vnd.wv.ssp+xml\r\n";

#[tokio::test]
async fn wrong_requests_get_their_status_and_never_reach_the_handler() {
    let (server, seen) = listen(
        None,
        Limits {
            body_size: 1000,
            ..limits()
        },
    )
    .await;
    let typed = |content_type: &str| {
        format!("POST / HTTP/1.1\r\nHost: b\r\nContent-Type: {content_type}\r\nContent-Length: 1\r\n\r\nx")
    };
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: b\r\n\r\n".to_owned(), 405),
        (
            "PUT / HTTP/1.1\r\nHost: b\r\nContent-Length: 1\r\n\r\nx".to_owned(),
            405,
        ),
        (typed("text/xml"), 415),
        (typed("application/vnd.wv.csp+xml"), 415),
        (typed("application/vnd.wv.ssp"), 415),
        (
            "POST / HTTP/1.1\r\nHost: b\r\nContent-Length: 1\r\n\r\nx".to_owned(),
            415,
        ),
        (format!("{HEAD}Content-Length: 0\r\n\r\n"), 400),
        (format!("{HEAD}\r\n"), 400),
        (format!("{HEAD}Content-Length: 1001\r\n\r\n"), 413),
        (
            format!(
                "{HEAD}Transfer-Encoding: chunked\r\n\r\n3e9\r\n{}\r\n0\r\n\r\n",
                "x".repeat(1001)
            ),
            413,
        ),
        (format!("{HEAD}Content-Length: -1\r\n\r\nx"), 400),
        (
            format!("{HEAD}Content-Length: 99999999999999999999\r\n\r\nx"),
            400,
        ),
    ] {
        assert_eq!(raw(&server, request.as_bytes()).await, Some(status), "{request}");
    }
    assert_eq!(seen.count(), 0);
    for content_type in [
        "application/vnd.wv.ssp+xml; charset=utf-8",
        "APPLICATION/VND.WV.SSP+XML",
    ] {
        assert_eq!(raw(&server, typed(content_type).as_bytes()).await, Some(200));
    }
    let exactly = format!("{HEAD}Content-Length: 1000\r\n\r\n{}", "x".repeat(1000));
    assert_eq!(raw(&server, exactly.as_bytes()).await, Some(200));
}

#[tokio::test]
async fn oversize_is_refused_in_http2_as_well() {
    let (server, seen) = listen(
        None,
        Limits {
            body_size: 1000,
            ..limits()
        },
    )
    .await;
    let client = client_of(Target {
        versions: HttpVersions::Http2,
        ..target(&server, Scheme::Http)
    });
    let status = client
        .post("/", Bytes::from(vec![b'x'; 1001]), PostHeaders::default())
        .await;
    assert_eq!(status.expect("an answer"), 413);
    assert_eq!(post(&client, "x").await.expect("the connection goes on"), 200);
    assert_eq!(seen.count(), 1);
}

#[tokio::test]
async fn garbage_ends_the_connection_and_nothing_else() {
    let (server, seen) = listen(None, limits()).await;
    for garbage in [
        &b"\x00\x01\x02\x03\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnonsense nonsense nonsense",
        b"POST / HTTP/9.9\r\n\r\n",
        b"POST\r\n\r\n",
        "p\u{fc}st / HTTP/1.1\r\n\r\n".as_bytes(),
    ] {
        let status = raw(&server, garbage).await;
        assert!(
            matches!(status, None | Some(400..=599)),
            "{status:?} for {garbage:?}"
        );
    }
    let many_headers = format!("{HEAD}{}\r\n", "X: y\r\n".repeat(500));
    assert_eq!(raw(&server, many_headers.as_bytes()).await, Some(431));
    let long_header = format!("{HEAD}X: {}\r\n\r\n", "y".repeat(100_000));
    assert_eq!(raw(&server, long_header.as_bytes()).await, Some(431));
    assert_eq!(seen.count(), 0);
    assert_eq!(
        post(&client(&server, Scheme::Http), "x")
            .await
            .expect("the listener goes on"),
        200
    );
}

#[tokio::test]
async fn tls_on_a_plain_port_is_met_with_a_closed_connection() {
    let (server, seen) = listen(None, limits()).await;
    let mut stream = TcpStream::connect(server.local_address())
        .await
        .expect("connected");
    stream
        .write_all(b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03")
        .await
        .expect("written");
    assert_eq!(read_to_end(&mut stream).await, b"");
    seen.turned_away_for(|reason| *reason == TurnedAway::TlsOnPlainPort)
        .await;
}

#[tokio::test]
async fn slow_body_times_out() {
    let (server, seen) = listen(
        None,
        Limits {
            body: Duration::from_millis(100),
            ..limits()
        },
    )
    .await;
    let request = format!("{HEAD}Content-Length: 10\r\n\r\nxxx");
    assert_eq!(raw(&server, request.as_bytes()).await, Some(408));
    seen.turned_away_for(|reason| *reason == TurnedAway::Request(408))
        .await;
    assert_eq!(seen.count(), 0);
}

#[tokio::test]
async fn silent_and_slow_clients_lose_their_place() {
    let limits = Limits {
        first_request: Duration::from_millis(100),
        handshake: Duration::from_millis(100),
        ..limits()
    };
    let pki = Pki::new();
    let secured = pki.certificates(&pki.issue_for("bravo.example"));
    for (tls, beginning) in [
        (None, ""),
        (None, "P"),
        (None, "POST / HTTP/1.1\r\nHost:"),
        (mutual(&secured), ""),
    ] {
        let (server, seen) = listen(tls, limits).await;
        let mut stream = TcpStream::connect(server.local_address())
            .await
            .expect("connected");
        stream.write_all(beginning.as_bytes()).await.expect("written");
        read_to_end(&mut stream).await;
        seen.turned_away_for(|reason| matches!(reason, TurnedAway::Silent | TurnedAway::Tls(_)))
            .await;
    }
}

#[tokio::test]
async fn kept_connection_is_closed_when_idle() {
    let (server, _seen) = listen(
        None,
        Limits {
            idle: Duration::from_millis(100),
            ..limits()
        },
    )
    .await;
    let mut stream = TcpStream::connect(server.local_address())
        .await
        .expect("connected");
    let request = format!("{HEAD}Content-Length: 1\r\n\r\nx");
    stream.write_all(request.as_bytes()).await.expect("written");
    let answer = String::from_utf8(read_to_end(&mut stream).await).expect("text");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(
        answer.to_ascii_lowercase().contains("content-length: 0"),
        "{answer}"
    );
}

#[tokio::test]
async fn bodies_from_clients_without_a_certificate_share_their_room() {
    let bound = Limits {
        reading: 1_000,
        ..limits()
    };
    let (server, seen) = listen(None, bound).await;
    let mut slow = TcpStream::connect(server.local_address())
        .await
        .expect("connected");
    let half = format!("{HEAD}Content-Length: 900\r\n\r\n{}", "x".repeat(600));
    slow.write_all(half.as_bytes()).await.expect("written");
    let more = format!("{HEAD}Content-Length: 500\r\n\r\n{}", "x".repeat(500));
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    // As soon as the first half of the slow one is there, there is no room for another.
    while raw(&server, more.as_bytes()).await != Some(503) {
        assert!(tokio::time::Instant::now() < deadline, "all is read");
    }
    seen.turned_away_for(|seen| *seen == TurnedAway::Request(503))
        .await;
    drop(slow);
    while raw(&server, more.as_bytes()).await != Some(200) {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the room is not free again"
        );
    }
}

#[tokio::test]
async fn connections_end_in_all_and_by_source() {
    for (limits, reason) in [
        (
            Limits {
                connections: 2,
                ..limits()
            },
            TurnedAway::TooManyConnections,
        ),
        (
            Limits {
                connections_per_source: 2,
                ..limits()
            },
            TurnedAway::TooManyFromSource,
        ),
    ] {
        let (server, seen) = listen(None, limits).await;
        let first = TcpStream::connect(server.local_address())
            .await
            .expect("connected");
        let _second = TcpStream::connect(server.local_address())
            .await
            .expect("connected");
        let mut third = TcpStream::connect(server.local_address())
            .await
            .expect("the system takes it");
        assert_eq!(read_to_end(&mut third).await, b"");
        seen.turned_away_for(|seen| *seen == reason).await;
        drop(first);
        let client = client(&server, Scheme::Http);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
        while post(&client, "x").await.is_err() {
            assert!(
                tokio::time::Instant::now() < deadline,
                "the place is not free again"
            );
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn answer_with_a_body_does_not_disturb_the_client() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let peer = tokio::spawn(async move {
        let mut connections = 0;
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.expect("accepted");
            connections += 1;
            let mut buffer = [0; 4096];
            while let Ok(1..) = stream.read(&mut buffer).await {
                let answer: &[u8] = match connections {
                    1 => b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\nOops",
                    _ => return,
                };
                stream.write_all(answer).await.expect("written");
                if buffer.starts_with(b"POST /second") {
                    break;
                }
            }
        }
    });
    let (server, _seen) = listen(None, limits()).await;
    let client = client_of(Target {
        port,
        ..target(&server, Scheme::Http)
    });
    for path in ["/first", "/second"] {
        let status = client
            .post(path, Bytes::from_static(b"x"), PostHeaders::default())
            .await;
        assert_eq!(status.expect("a status"), 500);
    }
    let error = client
        .post("/third", Bytes::from_static(b"x"), PostHeaders::default())
        .await;
    let error = error.expect_err("closed without an answer, as the deployed peer does");
    assert!(
        matches!(error, PostError::BrokenAfter(_)) && error.may_have_arrived(),
        "{error:?}"
    );
    peer.await.expect("no panic");
}

/// Sends the bytes on a connection of their own; the status of the answer, `None` when there is none.
async fn raw(server: &SspServer, request: &[u8]) -> Option<u16> {
    let mut stream = TcpStream::connect(server.local_address())
        .await
        .expect("connected");
    // The listener may close before it has read everything.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    let reading = async {
        while let Ok(octets @ 1..) = stream.read(&mut buffer).await {
            answer.extend_from_slice(&buffer[..octets]);
            if answer.windows(4).any(|window| window == b"\r\n\r\n") {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), reading)
        .await
        .expect("an answer or the end");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    answer
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .and_then(|status| status.parse().ok())
}

async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut octets = Vec::new();
    let reading = stream.read_to_end(&mut octets);
    let _ = tokio::time::timeout(Duration::from_secs(5), reading)
        .await
        .expect("the end");
    octets
}
