//! Sessions and handshakes of strangers: unknown IDs, steps that fit nowhere, floods of both.

use impsgw::wire::ssp::{LoginRequest, Mode, Secret, SendSecretToken, SetupPrimitive, StatusCode};

use super::{
    peer::{Peer, in_session, post, request, setup},
    stage::Stage,
};

#[tokio::test]
async fn unknown_sessions_are_refused() {
    let mut beta = Peer::new("beta").await;
    let stage = Stage::new(&[&beta]).await;
    let session = beta.open(stage.ssp()).await;
    let keep_alive = request("t", "<KeepAliveRequest/>");
    let long = "9".repeat(10_000);
    for id in [
        "1@beta.example",
        "",
        "@",
        "@beta.example",
        // The gateway's own ID is not the peer's to send.
        &session.of_gateway,
        &session.id.to_uppercase(),
        &format!("{} ", session.id.replace('@', " @")),
        &format!("{}@gamma.example", session.id),
        &long,
    ] {
        let status = post(stage.ssp(), &in_session(id, &keep_alive)).await;
        assert!(matches!(status, 400 | 403), "{id}: {status}");
    }
    stage.logged(&["a document of an unknown session"]).await;
    // The session itself goes on.
    let (status, _) = beta.ask(stage.ssp(), &session, "<KeepAliveRequest/>").await;
    assert_eq!(status, StatusCode::SUCCESS);
    stage.end().await;
}

#[tokio::test]
async fn closed_session_is_unknown() {
    let mut beta = Peer::new("beta").await;
    let mut stage = Stage::new(&[&beta]).await;
    let session = beta.open(stage.ssp()).await;
    let document = in_session(&session.id, &request("t", "<LogoutRequest/>"));
    assert_eq!(post(stage.ssp(), &document).await, 200);
    for _ in 0..500 {
        if post(stage.ssp(), &document).await == 403 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    stage.logged(&["a document of an unknown session"]).await;
    stage.restart().await;
    assert_eq!(post(stage.ssp(), &document).await, 403);
    stage.end().await;
}

/// A ladder of somebody without an agreement costs neither a DNS question nor a connection, however often it is tried.
#[tokio::test]
async fn handshakes_of_strangers_cost_nothing() {
    let beta = Peer::new("beta").await;
    let stage = Stage::new(&[&beta]).await;
    let before = stage.questions();
    for number in 0..300 {
        let step = first_step(&format!("wv:@stranger{number}.example"), &format!("s-{number}"));
        assert_eq!(post(stage.ssp(), &step).await, 403);
    }
    stage.logged(&["a setup step was refused", "agreement"]).await;
    assert_eq!(stage.questions(), before);
    stage.end().await;
}

/// A peer that opens handshakes without end is slowed down; those under way are bounded and the peer's session lives on.
#[tokio::test]
async fn handshake_floods_meet_the_bound() {
    let mut beta = Peer::new("beta").await;
    let stage = Stage::new(&[&beta]).await;
    let session = beta.open(stage.ssp()).await;
    let mut taken = 0;
    for number in 0..400 {
        let step = first_step("wv:@beta.example", &format!("f-{number}"));
        taken += usize::from(post(stage.ssp(), &step).await == 200);
    }
    stage.logged(&["too many handshakes from this address"]).await;
    assert!(taken < 300, "{taken} of 400 were taken up");
    let document = in_session(&session.id, &request("still", "<KeepAliveRequest/>"));
    assert_eq!(post(stage.ssp(), &document).await, 200);
    assert_eq!(beta.answer().await.id.as_str(), "still");
    stage.end().await;
}

/// Sessions of one pair don't pile up: the newest are honoured, the oldest are forgotten, also over a restart.
#[tokio::test]
async fn session_floods_keep_the_newest() {
    let mut beta = Peer::new("beta").await;
    let mut stage = Stage::new(&[&beta]).await;
    let mut sessions = Vec::new();
    for _ in 0..40 {
        sessions.push(beta.open(stage.ssp()).await);
    }
    let (first, last) = (&sessions[0], &sessions[39]);
    for _ in 0..2 {
        let (status, _) = beta.ask(stage.ssp(), last, "<KeepAliveRequest/>").await;
        assert_eq!(status, StatusCode::SUCCESS);
        let document = in_session(&first.id, &request("t", "<KeepAliveRequest/>"));
        assert_eq!(post(stage.ssp(), &document).await, 403);
        stage.restart().await;
    }
    stage.end().await;
}

#[tokio::test]
async fn steps_that_fit_nowhere_are_refused() {
    let beta = Peer::new("beta").await;
    let stage = Stage::new(&[&beta]).await;
    let login = SetupPrimitive::LoginRequest(LoginRequest {
        service_id: "wv:@beta.example".to_owned(),
        time_to_live: None,
        digest: Secret::new(*b"x").digest(),
    });
    let long = format!("wv:@{}.example", "b".repeat(5_000));
    let mut documents = vec![
        setup(Mode::Request, "nowhere", login.clone()),
        setup(Mode::Response, "nowhere", login),
        setup(
            Mode::Request,
            "u",
            SetupPrimitive::Unknown {
                name: "Knock".to_owned(),
            },
        ),
    ];
    for service in [
        "",
        "wv:",
        "wv:@",
        "beta.example",
        "wv:beta.example",
        "wv:@alpha.example",
        "wv:@beta..example",
        &long,
    ] {
        documents.push(first_step(service, "s"));
    }
    for document in documents {
        let status = post(stage.ssp(), &document).await;
        assert!(
            matches!(status, 400 | 403),
            "{status}: {}",
            String::from_utf8_lossy(&document)
        );
    }
    stage.logged(&["a setup step was refused", "reason="]).await;
    stage.end().await;
}

/// A wrong digest ends the handshake with a reason, and the next one works.
#[tokio::test]
async fn wrong_digest_opens_no_session() {
    let mut beta = Peer::new("beta").await;
    let stage = Stage::new(&[&beta]).await;
    assert_eq!(
        post(stage.ssp(), &first_step("wv:@beta.example", "w-1")).await,
        200
    );
    let _ = beta.next().await;
    let login = SetupPrimitive::LoginRequest(LoginRequest {
        service_id: "wv:@beta.example".to_owned(),
        time_to_live: None,
        digest: Secret::new(*b"not the secret").digest(),
    });
    post(stage.ssp(), &setup(Mode::Request, "w-1", login)).await;
    stage.logged(&["the handshake failed", "beta.example"]).await;
    beta.drain();
    while tokio::time::timeout(std::time::Duration::from_millis(100), beta.next())
        .await
        .is_ok()
    {}
    let session = beta.open(stage.ssp()).await;
    let (status, _) = beta.ask(stage.ssp(), &session, "<KeepAliveRequest/>").await;
    assert_eq!(status, StatusCode::SUCCESS);
    stage.end().await;
}

fn first_step(service: &str, id: &str) -> Vec<u8> {
    let step = SendSecretToken::new(service, Secret::new(*b"0123456789abcdef"));
    setup(Mode::Request, id, SetupPrimitive::SendSecretToken(step))
}
