//! Documents over plain HTTP, both versions.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::*;

#[tokio::test]
async fn document_arrives_with_its_hints() {
    for versions in [HttpVersions::Http1, HttpVersions::Http2] {
        let (server, seen) = listen(None, limits()).await;
        let client = client_of(Target {
            versions,
            ..target(&server, Scheme::Http)
        });
        let headers = PostHeaders {
            transaction_id: Some("a-1"),
            session_id: Some("5512@alpha.example"),
        };
        let status = client
            .post("/ssp?x=1", Bytes::from_static(b"<WV-SSP-Message/>"), headers)
            .await;
        assert_eq!(status.expect("an answer"), 200);
        let document = seen.last();
        assert_eq!(document.body, "<WV-SSP-Message/>");
        assert_eq!(document.transaction_id.as_deref(), Some("a-1"));
        assert_eq!(document.session_id.as_deref(), Some("5512@alpha.example"));
        assert_eq!(
            document.asked_domain.as_deref(),
            Some("bravo.example"),
            "{versions:?}"
        );
        assert_eq!(document.path, "/ssp");
        assert_eq!(document.peer, None);
    }
}

#[tokio::test]
async fn each_answer_has_its_status() {
    let (server, _seen) = listen(None, limits()).await;
    let client = client(&server, Scheme::Http);
    for (body, status) in [
        ("taken", 200),
        ("malformed", 400),
        ("forbidden", 403),
        ("unknown", 404),
        ("many", 429),
        ("full", 503),
    ] {
        assert_eq!(post(&client, body).await.expect("an answer"), status);
    }
}

#[tokio::test]
async fn connections_are_kept() {
    for versions in [HttpVersions::Http1, HttpVersions::Http2] {
        let (server, seen) = listen(None, limits()).await;
        let client = client_of(Target {
            versions,
            ..target(&server, Scheme::Http)
        });
        for _ in 0..20 {
            assert_eq!(post(&client, "x").await.expect("an answer"), 200);
        }
        let mut sources: Vec<_> = seen
            .documents
            .lock()
            .unwrap()
            .iter()
            .map(|document| document.source)
            .collect();
        sources.dedup();
        assert_eq!(sources.len(), 1, "{versions:?}");
    }
}

#[tokio::test]
async fn burst_uses_no_more_connections_than_allowed() {
    for (versions, most) in [(HttpVersions::Http1, 3), (HttpVersions::Http2, 1)] {
        let (server, seen) = listen(None, limits()).await;
        let limits = ClientLimits {
            connections: 3,
            ..ClientLimits::default()
        };
        let target = Target {
            versions,
            ..target(&server, Scheme::Http)
        };
        let client = Arc::new(SspClient::new(target, limits).expect("a target"));
        let posts = (0..50).map(|_| {
            let client = client.clone();
            tokio::spawn(async move { post(&client, "x").await.expect("an answer") })
        });
        for posted in posts.collect::<Vec<_>>() {
            assert_eq!(posted.await.expect("no panic"), 200);
        }
        let mut sources: Vec<_> = seen
            .documents
            .lock()
            .unwrap()
            .iter()
            .map(|d| d.source.port())
            .collect();
        sources.sort_unstable();
        sources.dedup();
        assert!((1..=most).contains(&sources.len()), "{versions:?} {sources:?}");
        assert_eq!(seen.count(), 50);
    }
}

#[tokio::test]
async fn large_document_arrives_whole() {
    for versions in [HttpVersions::Http1, HttpVersions::Http2] {
        let (server, seen) = listen(None, limits()).await;
        let client = client_of(Target {
            versions,
            ..target(&server, Scheme::Http)
        });
        let body = Bytes::from((0..900_000_u32).map(|i| (i % 251) as u8).collect::<Vec<_>>());
        assert_eq!(
            client
                .post("/", body.clone(), PostHeaders::default())
                .await
                .expect("an answer"),
            200
        );
        assert!(seen.last().body == body, "{versions:?}");
    }
}

#[tokio::test]
async fn nobody_listening_is_told_from_not_allowed() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = unused.local_addr().expect("bound").port();
    drop(unused);
    let (server, seen) = listen(None, limits()).await;
    let mut target = target(&server, Scheme::Http);
    target.networks = NetworkList::default();
    let error = post(&client_of(target.clone()), "x")
        .await
        .expect_err("loopback is not named");
    assert!(
        matches!(error, PostError::NotAllowed { .. }) && !error.may_have_arrived(),
        "{error:?}"
    );
    target.networks = loopback();
    target.addresses = Arc::new([]);
    // No name at all: the system's resolver says so without asking anybody.
    target.host = "".into();
    let error = post(&client_of(target.clone()), "x")
        .await
        .expect_err("no address");
    assert!(
        matches!(error, PostError::Unresolved { .. }) && !error.may_have_arrived(),
        "{error:?}"
    );
    target.addresses = Arc::new([IpAddr::V4(Ipv4Addr::LOCALHOST)]);
    target.port = port;
    let error = post(&client_of(target), "x").await.expect_err("nobody listens");
    assert!(
        matches!(error, PostError::Unreachable { .. }) && !error.may_have_arrived(),
        "{error:?}"
    );
    assert_eq!(seen.count(), 0);
}

#[tokio::test]
async fn next_address_is_tried() {
    let (server, _seen) = listen(None, limits()).await;
    let mut target = target(&server, Scheme::Http);
    let before = ["198.51.100.1", "127.0.0.2"].map(|text| text.parse().expect("an address"));
    target.addresses = before.into_iter().chain(target.addresses.to_vec()).collect();
    assert_eq!(
        post(&client_of(target), "x")
            .await
            .expect("the last address answers"),
        200
    );
}

#[tokio::test]
async fn silence_after_the_document_says_that_it_may_have_arrived() {
    for versions in [HttpVersions::Http1, HttpVersions::Http2] {
        let (server, _seen) = listen(None, limits()).await;
        let limits = ClientLimits {
            request: Duration::from_millis(150),
            ..ClientLimits::default()
        };
        let target = Target {
            versions,
            ..target(&server, Scheme::Http)
        };
        let client = SspClient::new(target, limits).expect("a target");
        let error = post(&client, "silence").await.expect_err("no answer");
        assert!(
            matches!(error, PostError::TimedOut { was_sent: true }),
            "{error:?}"
        );
        assert_eq!(post(&client, "x").await.expect("the client goes on"), 200);
    }
}

#[tokio::test]
async fn server_that_closed_the_kept_connection_gets_the_document_on_another() {
    for versions in [HttpVersions::Http1, HttpVersions::Http2] {
        let (server, _seen) = listen(None, limits()).await;
        let client = client_of(Target {
            versions,
            ..target(&server, Scheme::Http)
        });
        assert_eq!(post(&client, "x").await.expect("an answer"), 200);
        let address = server.local_address();
        server.shut_down(Duration::from_secs(1)).await;
        let error = post(&client, "x").await.expect_err("nobody listens");
        assert!(!error.may_have_arrived(), "{versions:?} {error:?}");
        let seen = Seen::default();
        let config = ServerConfig {
            tls: None,
            versions: HttpVersions::Both,
            limits: limits(),
        };
        let socket = TcpListener::bind(address).await.expect("the port is free again");
        let _server = SspServer::start(socket, config, seen.clone()).expect("a listener");
        assert_eq!(post(&client, "y").await.expect("an answer"), 200);
        assert_eq!(seen.count(), 1);
    }
}

#[tokio::test]
async fn shutting_down_lets_a_request_end_and_then_closes() {
    let (server, seen) = listen(None, limits()).await;
    let client = Arc::new(client(&server, Scheme::Http));
    let hanging = tokio::spawn({
        let client = client.clone();
        async move { post(&client, "silence").await }
    });
    while seen.count() == 0 {
        tokio::task::yield_now().await;
    }
    server.shut_down(Duration::from_millis(50)).await;
    let error = hanging.await.expect("no panic").expect_err("it was cut off");
    assert!(matches!(error, PostError::BrokenAfter(_)), "{error:?}");
}

#[tokio::test]
async fn whoever_was_let_in_before_the_end_has_an_answer() {
    let (server, seen) = listen(None, limits()).await;
    let address = server.local_address();
    // The system lets them in; the listener has not had its turn yet.
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let stream = std::net::TcpStream::connect(address).expect("the system takes it");
            stream.set_nonblocking(true).expect("a socket");
            TcpStream::from_std(stream).expect("a socket")
        })
        .collect();
    let asking = async {
        for mut stream in waiting {
            let request = b"POST / HTTP/1.1\r\nHost: bravo.example\r\nConnection: close\r\n\
                Content-Type: application/vnd.wv.ssp+xml\r\nContent-Length: 1\r\n\r\nx";
            stream.write_all(request).await.expect("it is open");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.expect("an answer");
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer:?}");
        }
    };
    tokio::join!(server.shut_down(Duration::from_secs(5)), asking);
    assert_eq!(seen.count(), 3);
}
