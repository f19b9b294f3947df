//! Under which name a person is reached: the one that ENUM gives him, which his own server knows, and not what the sender wrote.
//!
//! What comes back comes under the number that was asked for, however his server names him.

use impsgw::{
    lab::Handset,
    wire::ssp::{Primitive, StatusCode},
};
use serde_json::{Value, json};

use super::{
    peer::{Peer, Session, in_session, post, response},
    stage::{Setting, Stage},
};

const ALICE: &str = "wv:alice@beta.example";
const NUMBER: &str = "wv:+447700900456";

fn enum_names_alice() -> Setting<'static> {
    Setting {
        numbers: "6.5.4.0.0.9.0.0.7.7.4.4 IN NAPTR 100 10 \"u\" \"E2U+im\" \"!^.*$!im:alice@beta.example!\" .\n",
        ..Setting::default()
    }
}

/// Vector P1 of ENUM and SRV routing §18.5, and its way back.
#[tokio::test]
async fn message_to_a_number_reaches_the_person_whom_enum_names() {
    let mut beta = Peer::new("beta").await;
    let stage = Stage::with(&[&beta], &enum_names_alice()).await;
    let session = beta.open(stage.ssp()).await;
    let ada = ada(&stage).await;
    let message = json!({ "to": [NUMBER], "text": "hello", "report": true });
    let (sent, id) = tokio::join!(
        ada.call("POST", "/v1/messages", message),
        take_message(&mut beta, &stage, &session, ALICE)
    );
    let sent = sent.unwrap();
    assert_eq!(sent["recipients"][0]["accepted"], "taken");
    assert_eq!(sent["recipients"][0]["address"], NUMBER);
    let delivered = format!(
        "<DeliveryStatusReport><DeliveryResult><Status code=\"200\"/></DeliveryResult><MessageInfo messageID=\"{id}\">\
         <Recipient><User userID=\"wv:+447700900123\"/></Recipient><Sender><User userID=\"{ALICE}\"/></Sender>\
         </MessageInfo></DeliveryStatusReport>"
    );
    let (status, text) = beta.ask(stage.ssp(), &session, &delivered).await;
    assert_eq!(status, StatusCode::SUCCESS, "{text}");
    let inbox = ada.call("GET", "/v1/inbox", Value::Null).await.unwrap();
    assert_eq!(inbox["events"][0]["type"], "report");
    assert_eq!(inbox["events"][0]["recipient"], NUMBER);
    stage.end().await;
}

#[tokio::test]
async fn presence_of_a_number_comes_back_under_the_number() {
    let mut beta = Peer::new("beta").await;
    let stage = Stage::with(&[&beta], &enum_names_alice()).await;
    let session = beta.open(stage.ssp()).await;
    let ada = ada(&stage).await;
    let path = format!("/v1/subscriptions/{NUMBER}");
    let (subscribed, ()) = tokio::join!(ada.call("PUT", &path, json!({})), async {
        let (id, primitive) = beta.asked().await;
        let Primitive::SubscribeRequest(asked) = primitive else {
            panic!("{primitive:?}");
        };
        assert_eq!(asked.user_ids, [ALICE]);
        let answer = response(&id, "<Status code=\"200\"/>");
        assert_eq!(post(stage.ssp(), &in_session(&session.id, &answer)).await, 200);
    });
    subscribed.unwrap();
    let told = format!(
        "<PresenceNotification><User userID=\"wv:+447700900123\"/><PresenceValue userID=\"{ALICE}\"><PresenceSubList>\
         <StatusText><Qualifier>T</Qualifier><PresenceValue>On the 08:15</PresenceValue></StatusText>\
         </PresenceSubList></PresenceValue></PresenceNotification>"
    );
    let (status, text) = beta.ask(stage.ssp(), &session, &told).await;
    assert_eq!(status, StatusCode::SUCCESS, "{text}");
    let presence = ada.call("GET", "/v1/presence", Value::Null).await.unwrap();
    assert_eq!(presence["known"][0]["address"], NUMBER, "{presence}");
    stage.end().await;
}

#[tokio::test]
async fn agreement_on_numbers_keeps_the_number_on_the_wire() {
    let mut beta = Peer::new("beta").await;
    let setting = Setting {
        agreement: "names_from_enum = false",
        ..enum_names_alice()
    };
    let stage = Stage::with(&[&beta], &setting).await;
    let session = beta.open(stage.ssp()).await;
    let ada = ada(&stage).await;
    let message = json!({ "to": [NUMBER], "text": "hello" });
    let (sent, _) = tokio::join!(
        ada.call("POST", "/v1/messages", message),
        take_message(&mut beta, &stage, &session, NUMBER)
    );
    assert_eq!(sent.unwrap()["recipients"][0]["accepted"], "taken");
    stage.end().await;
}

/// Where the agreement discloses no numbers, our people ask under their user names, and are told so.
#[tokio::test]
async fn numbers_of_ours_are_disclosed_only_where_agreed() {
    let mut beta = Peer::new("beta").await;
    let setting = Setting {
        agreement: "disclose = { msisdn = false }",
        ..Setting::default()
    };
    let stage = Stage::with(&[&beta], &setting).await;
    let session = beta.open(stage.ssp()).await;
    let ada = ada(&stage).await;
    let message = json!({ "to": ["wv:bea@beta.example"], "text": "hello", "report": true });
    let (sent, id) = tokio::join!(ada.call("POST", "/v1/messages", message), async {
        let (id, primitive) = beta.asked().await;
        let Primitive::SendMessageRequest(message) = primitive else {
            panic!("{primitive:?}");
        };
        assert_eq!(message.info.sender.address(), "wv:ada@alpha.example");
        let meta = message.meta.as_ref().unwrap();
        assert_eq!(meta.user.as_ref().unwrap().user_id, "wv:ada@alpha.example");
        answer_message(&stage, &session, &id, message.info.message_id.as_deref().unwrap()).await
    });
    assert_eq!(sent.unwrap()["recipients"][0]["accepted"], "taken");
    let delivered = format!(
        "<DeliveryStatusReport><DeliveryResult><Status code=\"200\"/></DeliveryResult><MessageInfo messageID=\"{id}\">\
         <Recipient><User userID=\"wv:ada@alpha.example\"/></Recipient><Sender><User userID=\"wv:bea@beta.example\"/></Sender>\
         </MessageInfo></DeliveryStatusReport>"
    );
    let (status, text) = beta.ask(stage.ssp(), &session, &delivered).await;
    assert_eq!(status, StatusCode::SUCCESS, "{text}");
    let inbox = ada.call("GET", "/v1/inbox", Value::Null).await.unwrap();
    assert_eq!(inbox["events"][0]["type"], "report");
    stage.end().await;
}

/// Takes the next message, which must be for this person; its message ID.
async fn take_message(peer: &mut Peer, stage: &Stage, session: &Session, to: &str) -> String {
    let (id, primitive) = peer.asked().await;
    let Primitive::SendMessageRequest(message) = primitive else {
        panic!("{primitive:?}");
    };
    assert_eq!(message.info.recipients[0].address(), to);
    answer_message(stage, session, &id, message.info.message_id.as_deref().unwrap()).await
}

async fn answer_message(stage: &Stage, session: &Session, transaction: &str, id: &str) -> String {
    let taken =
        format!("<SendMessageResponse messageID=\"{id}\"><Status code=\"200\"/></SendMessageResponse>");
    let answer = response(transaction, &taken);
    assert_eq!(post(stage.ssp(), &in_session(&session.id, &answer)).await, 200);
    id.to_owned()
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
