//! What a peer does with what it is asked: it hangs up, keeps silent, babbles, floods, answers never, twice, late or wrongly.
//!
//! A message that its recipient's side has not taken is kept, the sender is told so in time, and other peers notice nothing.

use std::time::Duration;

use impsgw::{
    lab::Handset,
    wire::ssp::{Document, Primitive, SendMessageRequest, StatusCode},
};

use serde_json::json;

use super::{
    peer::{Manners, Peer, Session, in_session, post, request, response},
    stage::{Setting, Stage},
};

const BEA: &str = "wv:bea@beta.example";
const GIL: &str = "wv:gil@gamma.example";

/// A gateway with little patience.
fn impatient() -> Setting<'static> {
    Setting {
        ssp: "exchange_timeout = \"1s\"\nconnect_timeout = \"1s\"\nhandshake_deadline = \"2s\"",
        relay: "cut_through = \"2s\"\nfirst_retry = \"1s\"\nlongest_retry = \"2s\"",
        ..Setting::default()
    }
}

/// Whatever a peer's server does with a POST, the sender gets an answer in time, the message is kept, another peer's is
/// delivered meanwhile, and the kept one comes when the peer has found its manners.
#[tokio::test]
async fn servers_without_manners_cost_nobody_a_message() {
    for manners in [
        Manners::HangsUp,
        Manners::IsSilent,
        Manners::Babbles,
        Manners::FloodsHeaders,
        Manners::FloodsBody,
    ] {
        let mut beta = Peer::new("beta").await;
        let mut gamma = Peer::new("gamma").await;
        let stage = Stage::with(&[&beta, &gamma], &impatient()).await;
        let session = beta.open(stage.ssp()).await;
        let of_gamma = gamma.open(stage.ssp()).await;
        let ada = ada(&stage).await;
        beta.behave(manners);
        let (kept, taken) = tokio::join!(send(&ada, BEA, "one"), async {
            let sent = send(&ada, GIL, "two");
            let (sent, ()) = tokio::join!(sent, take(&mut gamma, &stage, &of_gamma));
            sent
        });
        assert_eq!(kept, "stored", "{manners:?}");
        assert_eq!(taken, "taken", "{manners:?}");
        if matches!(manners, Manners::FloodsHeaders | Manners::FloodsBody) {
            beta.was_cut_off().await;
        }
        beta.behave(Manners::Acknowledges);
        // Its 200 had come before the flood, so that message is not sent again; the others are, in the old session or a new one.
        if manners != Manners::FloodsBody {
            beta.drain();
        }
        let (id, primitive) = beta.asked_anywhere(stage.ssp()).await;
        let Primitive::SendMessageRequest(message) = primitive else {
            panic!("{manners:?}: {primitive:?}");
        };
        let answer = response(&id, &taken_as(message_id(&message)));
        let session = beta.latest.clone().unwrap_or(session);
        assert_eq!(
            post(stage.ssp(), &in_session(&session.id, &answer)).await,
            200,
            "{manners:?}"
        );
        stage.nothing_waits().await;
        stage.end().await;
    }
}

/// Acknowledged and never answered: the message awaits, is not sent again, and a late answer closes it.
#[tokio::test]
async fn late_answers_close_what_awaits_and_later_ones_nothing() {
    let mut beta = Peer::new("beta").await;
    let mut gamma = Peer::new("gamma").await;
    let stage = Stage::with(&[&beta, &gamma], &impatient()).await;
    let session = beta.open(stage.ssp()).await;
    let of_gamma = gamma.open(stage.ssp()).await;
    let ada = ada(&stage).await;
    let (outcome, (id, primitive)) = tokio::join!(send(&ada, BEA, "one"), beta.asked());
    assert_eq!(outcome, "stored");
    let Primitive::SendMessageRequest(sent) = primitive else {
        panic!("{primitive:?}");
    };
    assert_eq!(stage.items().await.len(), 1);
    let answer = response(&id, &taken_as(message_id(&sent)));
    // Gamma says it for Beta, and Beta for a message that never was.
    assert_eq!(post(stage.ssp(), &in_session(&of_gamma.id, &answer)).await, 200);
    let other = response(&id, &taken_as("no-such-message"));
    assert_eq!(post(stage.ssp(), &in_session(&session.id, &other)).await, 200);
    in_order(&mut beta, &stage, &session).await;
    in_order(&mut gamma, &stage, &of_gamma).await;
    assert_eq!(stage.items().await.len(), 1);
    // It comes in another session of Beta's, on another connection, and three times.
    let again = beta.open(stage.ssp()).await;
    for _ in 0..3 {
        assert_eq!(post(stage.ssp(), &in_session(&again.id, &answer)).await, 200);
    }
    stage.nothing_waits().await;
    assert!(beta.drain().is_empty(), "it was sent again");
    stage.end().await;
}

/// Errors come without a message ID, because nothing was taken: they are told apart by the transaction, also after a restart.
#[tokio::test]
async fn late_errors_close_what_awaits_and_the_sender_is_told() {
    let nobody = "<Status code=\"531\"/>".to_owned();
    let all_failed = answer_of("", 900);
    for (late, restarts) in [(nobody.clone(), false), (all_failed, false), (nobody, true)] {
        let mut beta = Peer::new("beta").await;
        let mut stage = Stage::with(&[&beta], &impatient()).await;
        beta.open(stage.ssp()).await;
        let ada = ada(&stage).await;
        let (outcome, (id, _)) = tokio::join!(send(&ada, BEA, "one"), beta.asked());
        assert_eq!(outcome, "stored");
        assert_eq!(stage.items().await, ["awaiting"]);
        if restarts {
            stage.restart().await;
        }
        let session = beta.open(stage.ssp()).await;
        // What is neither success nor failure closes nothing.
        let interim = response(&id, "<Status code=\"100\"/>");
        assert_eq!(post(stage.ssp(), &in_session(&session.id, &interim)).await, 200);
        in_order(&mut beta, &stage, &session).await;
        assert_eq!(stage.items().await, ["awaiting"]);
        let mut ada = self::ada(&stage).await;
        let late = response(&id, &late);
        assert_eq!(post(stage.ssp(), &in_session(&session.id, &late)).await, 200);
        ada.event("report", "says that it failed", |event| {
            event["is_delivered"] == false
        })
        .await
        .unwrap();
        stage.nothing_waits().await;
        assert!(beta.drain().is_empty(), "it was sent again");
        stage.end().await;
    }
}

/// A document that is still being posted when the sender is answered: what becomes of it decides, and nothing is sent twice.
#[tokio::test]
async fn document_that_is_under_way_at_the_deadline_is_waited_for() {
    let setting = Setting {
        relay: "cut_through = \"1s\"\nfirst_retry = \"1s\"\nlongest_retry = \"2s\"",
        ..Setting::default()
    };
    let mut beta = Peer::new("beta").await;
    let stage = Stage::with(&[&beta], &setting).await;
    let session = beta.open(stage.ssp()).await;
    let ada = ada(&stage).await;

    beta.behave(Manners::Hesitates);
    let (outcome, (id, primitive)) = tokio::join!(send(&ada, BEA, "one"), beta.asked());
    assert_eq!(outcome, "stored");
    assert_eq!(stage.items().await, ["awaiting"]);
    beta.behave(Manners::Acknowledges);
    let Primitive::SendMessageRequest(sent) = primitive else {
        panic!("{primitive:?}");
    };
    let answer = response(&id, &taken_as(message_id(&sent)));
    assert_eq!(post(stage.ssp(), &in_session(&session.id, &answer)).await, 200);
    stage.nothing_waits().await;
    assert!(beta.drain().is_empty(), "it was sent again");

    beta.behave(Manners::Hesitates);
    let (outcome, (_, first)) = tokio::join!(send(&ada, BEA, "two"), beta.asked());
    assert_eq!(outcome, "stored");
    beta.behave(Manners::ForgetsSessions);
    while stage.items().await != ["scheduled"] {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    beta.behave(Manners::Acknowledges);
    let (id, primitive) = beta.asked_anywhere(stage.ssp()).await;
    let (Primitive::SendMessageRequest(first), Primitive::SendMessageRequest(again)) = (first, primitive)
    else {
        panic!("no message");
    };
    assert_eq!(message_id(&first), message_id(&again));
    let answer = response(&id, &taken_as(message_id(&again)));
    let session = beta.latest.clone().unwrap();
    assert_eq!(post(stage.ssp(), &in_session(&session.id, &answer)).await, 200);
    stage.nothing_waits().await;
    stage.end().await;
}

/// The first of two answers counts; another peer's answer to the same transaction ID, or an answer of the wrong kind, is none.
#[tokio::test]
async fn answers_count_once_and_from_the_one_who_was_asked() {
    let mut beta = Peer::new("beta").await;
    let mut gamma = Peer::new("gamma").await;
    let stage = Stage::with(&[&beta, &gamma], &impatient()).await;
    let session = beta.open(stage.ssp()).await;
    let of_gamma = gamma.open(stage.ssp()).await;
    let ada = ada(&stage).await;
    let (outcome, ()) = tokio::join!(send(&ada, BEA, "one"), async {
        let (id, primitive) = beta.asked().await;
        let Primitive::SendMessageRequest(sent) = primitive else {
            panic!("{primitive:?}");
        };
        let refused = response(&id, &answer_of(message_id(&sent), 531));
        assert_eq!(post(stage.ssp(), &in_session(&of_gamma.id, &refused)).await, 200);
        in_order(&mut gamma, &stage, &of_gamma).await;
        let both = response(&id, &taken_as(message_id(&sent))) + &refused;
        assert_eq!(post(stage.ssp(), &in_session(&session.id, &both)).await, 200);
    });
    assert_eq!(outcome, "taken");
    in_order(&mut beta, &stage, &session).await;
    assert!(stage.items().await.is_empty());

    let (outcome, ()) = tokio::join!(send(&ada, BEA, "two"), async {
        let (id, _) = beta.asked().await;
        for wrong in [
            "<KeepAliveResponse><Status code=\"200\"/></KeepAliveResponse>",
            "<Babble/>",
            "",
        ] {
            assert_eq!(
                post(stage.ssp(), &in_session(&session.id, &response(&id, wrong))).await,
                200
            );
        }
    });
    assert_ne!(outcome, "taken");
    in_order(&mut beta, &stage, &session).await;
    stage.end().await;
}

/// A peer that asks and never takes an answer: what waits for it stays within the bound, and others are served.
#[tokio::test]
async fn answers_that_nobody_takes_do_not_pile_up() {
    let mut beta = Peer::new("beta").await;
    let mut gamma = Peer::new("gamma").await;
    let setting = Setting {
        ssp: "exchange_timeout = \"1s\"\nmax_waiting = 500",
        ..Setting::default()
    };
    let stage = Stage::with(&[&beta, &gamma], &setting).await;
    let session = beta.open(stage.ssp()).await;
    let of_gamma = gamma.open(stage.ssp()).await;
    beta.behave(Manners::IsSilent);
    let many: String = (0..400)
        .map(|index| request(&index.to_string(), "<KeepAliveRequest/>"))
        .collect();
    for _ in 0..5 {
        assert_eq!(post(stage.ssp(), &in_session(&session.id, &many)).await, 200);
    }
    stage
        .logged(&["asks faster than it takes the answers", "bound=500"])
        .await;
    assert_eq!(stage.count_logged("asks faster than it takes the answers"), 1);
    in_order(&mut gamma, &stage, &of_gamma).await;
    beta.behave(Manners::Acknowledges);
    // It is listened to again as soon as it listens.
    for _ in 0..100 {
        let last = in_session(&session.id, &request("last", "<KeepAliveRequest/>"));
        assert_eq!(post(stage.ssp(), &last).await, 200);
        let answers = beta.drain().into_iter().filter_map(|document| match document {
            Document::Session { transactions, .. } => Some(transactions),
            Document::Setup(_) => None,
        });
        if answers.flatten().any(|one| one.id.as_str() == "last") {
            return stage.end().await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no answer came after the silence");
}

/// A peer that forgets each session as soon as it is open is not tried without end.
#[tokio::test]
async fn sessions_forgotten_at_once_are_given_up() {
    let mut beta = Peer::new("beta").await;
    let stage = Stage::with(&[&beta], &impatient()).await;
    beta.behave(Manners::ForgetsSessions);
    let ada = ada(&stage).await;
    let sending = send(&ada, BEA, "one");
    tokio::pin!(sending);
    let mut ladders = 0;
    let outcome = loop {
        tokio::select! {
            outcome = &mut sending => break outcome,
            _ = beta.be_opened(stage.ssp()) => ladders += 1,
        }
    };
    assert_eq!(outcome, "stored");
    assert!((1..=4).contains(&ladders), "{ladders} ladders");
    stage.logged(&["the peer lost the session"]).await;
    stage.end().await;
}

async fn ada(stage: &Stage) -> Handset {
    Handset::log_in(
        &format!("http://{}", stage.subscribers()),
        "ada",
        "ada-among-wolves",
    )
    .await
    .unwrap()
}

/// Sends a text; how the one recipient's side accepted it, or the refusal.
async fn send(ada: &Handset, to: &str, text: &str) -> String {
    match ada
        .call("POST", "/v1/messages", json!({"to": [to], "text": text}))
        .await
    {
        Ok(answer) => answer["recipients"][0]["accepted"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        Err(error) => error.to_string(),
    }
}

/// The next message is taken as it should be.
async fn take(peer: &mut Peer, stage: &Stage, session: &Session) {
    let (id, primitive) = peer.asked().await;
    let Primitive::SendMessageRequest(message) = primitive else {
        panic!("{primitive:?}");
    };
    let answer = response(&id, &taken_as(message_id(&message)));
    assert_eq!(post(stage.ssp(), &in_session(&session.id, &answer)).await, 200);
}

/// What was sent before has been worked on: the peer's own message is served.
async fn in_order(peer: &mut Peer, stage: &Stage, session: &Session) {
    let (status, text) = peer.ask(stage.ssp(), session, "<KeepAliveRequest/>").await;
    assert_eq!(status, StatusCode::SUCCESS, "{text}");
}

fn taken_as(id: &str) -> String {
    answer_of(id, 200)
}

fn answer_of(id: &str, status: u16) -> String {
    format!("<SendMessageResponse messageID=\"{id}\"><Status code=\"{status}\"/></SendMessageResponse>")
}

fn message_id(message: &SendMessageRequest) -> &str {
    message.info.message_id.as_deref().unwrap()
}
