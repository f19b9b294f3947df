//! What a peer may not ask: in another's name, for others' people, for nobody, with what is unknown, again and again.

use impsgw::{lab::Handset, wire::ssp::StatusCode};

use super::{
    peer::{Peer, code, in_session, message, post, request, response},
    stage::{Setting, Stage},
};

const ADA: &str = "wv:ada@alpha.example";
const BEA: &str = "wv:bea@beta.example";

#[tokio::test]
async fn forged_senders_are_refused_by_901() {
    let mut beta = Peer::new("beta").await;
    let stage = Stage::new(&[&beta]).await;
    let session = beta.open(stage.ssp()).await;
    for sender in [
        "wv:eve@gamma.example",
        "wv:ada@alpha.example",
        "wv:+447700900123",
        "wv:+447700900123@beta.example",
        "wv:+447700900456",
        "wv:+447700900456@beta.example",
        "wv:bea@beta.example.gamma.example",
        "wv:@alpha.example",
        "wv:bea@notbeta.example",
    ] {
        let asked = message("m-1", sender, ADA);
        let (status, text) = beta.ask(stage.ssp(), &session, &asked).await;
        assert_eq!(status, StatusCode::ADDRESS_ERROR, "{sender}: {text}");
        stage.logged(&["does not belong to beta.example"]).await;
    }
    stage.end().await;
}

/// What was ported out of our range is the partner's; a partner says so himself, and ENUM has to agree.
#[tokio::test]
async fn ported_out_numbers_speak_for_themselves() {
    let mut beta = Peer::new("beta").await;
    let setting = Setting {
        numbers: "7.7.7.0.0.9.0.0.7.7.4.4 IN NAPTR 10 10 \"u\" \"E2U+im\" \"!^(.*)$!im:\\\\1@beta.example!\" .\n",
        ..Setting::default()
    };
    let stage = Stage::with(&[&beta], &setting).await;
    let session = beta.open(stage.ssp()).await;
    for (id, sender) in [
        ("m-1", "wv:+447700900777"),
        ("m-2", "wv:+447700900777@beta.example"),
    ] {
        let asked = message(id, sender, ADA);
        let (status, text) = beta.ask(stage.ssp(), &session, &asked).await;
        assert_eq!(status, StatusCode::SUCCESS, "{sender}: {text}");
    }
    assert_eq!(inbox(&stage).await, 2);
    stage.end().await;
}

/// The same for what names its sender elsewhere: requesting users, presentities, inviters.
#[tokio::test]
async fn forged_requestors_are_refused_by_901() {
    let mut beta = Peer::new("beta").await;
    let stage = Stage::new(&[&beta]).await;
    let session = beta.open(stage.ssp()).await;
    let eve = meta("wv:eve@gamma.example");
    for asked in [
        format!("<SearchRequest>{eve}<SearchPair searchElement=\"USER_ID\">ada</SearchPair></SearchRequest>"),
        format!("<SubscribeRequest>{eve}<UserID userID=\"{ADA}\"/></SubscribeRequest>"),
        format!("<GetPresenceRequest>{eve}<UserID userID=\"{ADA}\"/></GetPresenceRequest>"),
        format!("<UnsubscribeRequest>{eve}<UserID userID=\"{ADA}\"/></UnsubscribeRequest>"),
        format!(
            "<DeliveryStatusReport>{eve}<DeliveryResult><Status code=\"200\"/></DeliveryResult><MessageInfo messageID=\"m-1\">\
             <Recipient><User userID=\"{ADA}\"/></Recipient><Sender><User userID=\"{BEA}\"/></Sender></MessageInfo></DeliveryStatusReport>"
        ),
        format!(
            "<InviteResponse inviteID=\"i-1\" acceptance=\"Yes\">{eve}<Status code=\"200\"/><Inviting><User userID=\"{ADA}\"/></Inviting>\
             <Responding><User userID=\"{BEA}\"/></Responding></InviteResponse>"
        ),
        format!(
            "<GroupChangeNotice groupID=\"wv:bea/friends@beta.example\">{eve}<User userID=\"{ADA}\"/><Joined><Name>Sam</Name></Joined></GroupChangeNotice>"
        ),
        format!("<PresenceNotification>{eve}<User userID=\"{ADA}\"/></PresenceNotification>"),
        message("m-9", BEA, ADA).replace("<MessageInfo", &format!("{eve}<MessageInfo")),
    ] {
        let (status, text) = beta.ask(stage.ssp(), &session, &asked).await;
        assert_eq!(status, StatusCode::ADDRESS_ERROR, "{asked}: {text}");
    }
    stage
        .logged(&["wv:ev***@gamma.example does not belong to beta.example"])
        .await;
    stage.end().await;
}

#[tokio::test]
async fn recipients_are_refused_in_the_protocols_terms() {
    let mut beta = Peer::new("beta").await;
    let gamma = Peer::new("gamma").await;
    let stage = Stage::new(&[&beta, &gamma]).await;
    let session = beta.open(stage.ssp()).await;
    for (recipient, wanted, said) in [
        // Of a domain that nobody serves here, of another peer without transit, a number that nobody has, and no account.
        ("wv:zoe@delta.example", 516, "delta.example"),
        ("wv:gil@gamma.example", 516, "may not send through us"),
        ("wv:+447700900999", 531, "wv:+44770***"),
        ("wv:nobody@alpha.example", 531, "is unknown"),
    ] {
        let (_, text) = beta
            .ask(stage.ssp(), &session, &message("m-1", BEA, recipient))
            .await;
        assert!(
            text.contains(&format!("StatusCode({wanted})")),
            "{recipient}: {text}"
        );
        stage.logged(&["refus", said]).await;
    }
    stage.end().await;
}

#[tokio::test]
async fn wildcard_numbers_are_refused_by_402() {
    let mut beta = Peer::new("beta").await;
    let stage = Stage::new(&[&beta]).await;
    let session = beta.open(stage.ssp()).await;
    for number in ["+44770090012*", "+4477?", "*", "%"] {
        let asked = format!(
            "<SearchRequest>{}<SearchPair searchElement=\"USER_MOBILE_NUMBER\">{number}</SearchPair></SearchRequest>",
            meta(BEA)
        );
        let (status, text) = beta.ask(stage.ssp(), &session, &asked).await;
        assert_eq!(status.0, 402, "{number}: {text}");
    }
    stage.logged(&["wildcards and incomplete numbers"]).await;
    stage.end().await;
}

/// One bad transaction is one bad answer; its neighbours get theirs, and order and IDs are kept.
#[tokio::test]
async fn bad_transactions_leave_their_neighbours_alone() {
    let mut beta = Peer::new("beta").await;
    let stage = Stage::new(&[&beta]).await;
    let session = beta.open(stage.ssp()).await;
    let document = [
        request("k-1", "<KeepAliveRequest/>"),
        request("u-1", "<FlyToTheMoonRequest><Fuel/></FlyToTheMoonRequest>"),
        request("u-2", "<x:Odd xmlns:x=\"urn:x\"/>"),
        "<Transaction mode=\"Request\"><KeepAliveRequest/></Transaction>".to_owned(),
        request("e-1", ""),
        request("s-1", "<SendSecretToken/>"),
        request("b-1", "<SendMessageRequest/>"),
        request("b-2", "<SearchRequest/>"),
        response("nobody-waits", "<Status code=\"200\"/>"),
        request("m-1", &message("m-1", BEA, ADA)),
        request("k-2", "<KeepAliveRequest/>"),
        "<Garbage/>".to_owned(),
    ]
    .concat();
    assert_eq!(post(stage.ssp(), &in_session(&session.id, &document)).await, 200);
    let answers = beta.answers(9).await;
    let mut found: Vec<(String, u16)> = answers
        .iter()
        .map(|one| (one.id.as_str().to_owned(), code(&one.primitive).0))
        .collect();
    found.sort();
    let wanted = [
        ("b-1", 400),
        ("b-2", 400),
        ("e-1", 400),
        ("k-1", 200),
        ("k-2", 200),
        ("m-1", 200),
        ("s-1", 405),
        ("u-1", 405),
        ("u-2", 405),
    ];
    assert_eq!(found, wanted.map(|(id, status)| (id.to_owned(), status)));
    stage
        .logged(&["a primitive that is not known here", "FlyToTheMoonRequest"])
        .await;
    stage.end().await;
}

/// Nearly as many transactions as a document may hold: each is answered once.
#[tokio::test]
async fn ten_thousand_transactions_are_all_answered() {
    let mut beta = Peer::new("beta").await;
    let stage = Stage::new(&[&beta]).await;
    let session = beta.open(stage.ssp()).await;
    let document: String = (0..9_990)
        .map(|index| request(&index.to_string(), "<X/>"))
        .collect();
    assert_eq!(post(stage.ssp(), &in_session(&session.id, &document)).await, 200);
    let answers = beta.answers(9_990).await;
    let mut ids: Vec<u32> = answers
        .iter()
        .map(|one| one.id.as_str().parse().unwrap())
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..9_990).collect::<Vec<_>>());
    assert!(
        answers
            .iter()
            .all(|one| code(&one.primitive) == StatusCode::SERVICE_NOT_SUPPORTED)
    );
    let more: String = (0..10_001)
        .map(|index| request(&index.to_string(), "<X/>"))
        .collect();
    assert_eq!(post(stage.ssp(), &in_session(&session.id, &more)).await, 400);
    stage.logged(&["more than 20000 elements"]).await;
    stage.end().await;
}

/// A message that comes again, in the same session, in a new one, and after a restart, reaches the person once.
#[tokio::test]
async fn replayed_messages_reach_the_person_once() {
    let mut beta = Peer::new("beta").await;
    let mut stage = Stage::new(&[&beta]).await;
    let session = beta.open(stage.ssp()).await;
    let asked = message("m-1", BEA, ADA);
    for _ in 0..2 {
        assert_eq!(
            beta.ask(stage.ssp(), &session, &asked).await.0,
            StatusCode::SUCCESS
        );
    }
    let again = beta.open(stage.ssp()).await;
    assert_eq!(beta.ask(stage.ssp(), &again, &asked).await.0, StatusCode::SUCCESS);
    stage.restart().await;
    assert_eq!(
        beta.ask(stage.ssp(), &session, &asked).await.0,
        StatusCode::SUCCESS
    );
    // The same document twice on the wire at once.
    let document = in_session(&session.id, &request("t-2", &message("m-2", BEA, ADA)));
    let (first, second) = tokio::join!(post(stage.ssp(), &document), post(stage.ssp(), &document));
    assert_eq!((first, second), (200, 200));
    assert_eq!(beta.answers(2).await.len(), 2);
    assert_eq!(inbox(&stage).await, 2);
    stage.end().await;
}

/// Another's message ID and text don't hide a message of one's own.
#[tokio::test]
async fn message_ids_of_others_shadow_nothing() {
    let mut beta = Peer::new("beta").await;
    let mut gamma = Peer::new("gamma").await;
    let stage = Stage::new(&[&beta, &gamma]).await;
    let of_beta = beta.open(stage.ssp()).await;
    let of_gamma = gamma.open(stage.ssp()).await;
    let (status, _) = beta.ask(stage.ssp(), &of_beta, &message("m-1", BEA, ADA)).await;
    assert_eq!(status, StatusCode::SUCCESS);
    let other = message("m-1", "wv:gil@gamma.example", ADA);
    let (status, _) = gamma.ask(stage.ssp(), &of_gamma, &other).await;
    assert_eq!(status, StatusCode::SUCCESS);
    assert_eq!(inbox(&stage).await, 2);
    stage.end().await;
}

/// How many events wait for Ada.
async fn inbox(stage: &Stage) -> usize {
    let ada = Handset::log_in(
        &format!("http://{}", stage.subscribers()),
        "ada",
        "ada-among-wolves",
    )
    .await
    .unwrap();
    let waiting = ada
        .call("GET", "/v1/inbox", serde_json::Value::Null)
        .await
        .unwrap();
    waiting["events"].as_array().unwrap().len()
}

fn meta(user: &str) -> String {
    format!(
        "<MetaInfo clientOriginated=\"Yes\"><Requestor serviceID=\"wv:@beta.example\"><User userID=\"{user}\"/></Requestor></MetaInfo>"
    )
}
