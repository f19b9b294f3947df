//! Every row of the tables, played by the partner's subscribers.

use std::time::Duration;

use futures_util::future::join_all;
use impsgw::lab::{Handset, robots::REFUSALS};
use serde_json::{Value, json};

use super::{
    partner::{House, Sandbox, clock, event, status},
    table::{Row, rows, seconds_behind},
};

#[tokio::test(flavor = "multi_thread")]
async fn every_number_does_what_the_table_says() {
    let sandbox = Sandbox::start().await;
    let charlie = sandbox.house("charlie.example", sandbox.socket()).await;
    let robots = rows("Robots");
    assert!(robots.len() >= 14, "the table was not found");
    let wrong: Vec<String> = join_all(robots.iter().map(|row| row_of_a_robot(&charlie, row)))
        .await
        .into_iter()
        .flatten()
        .collect();
    assert_eq!(wrong, Vec::<String>::new());
    let mut refused = rows("Numbers that are refused");
    // Whoever is answered 405 may take it that Alpha does not know the primitive, and not ask again.
    refused.sort_by_key(|row| row.status("status") == Some(405));
    assert_eq!(refused.len(), REFUSALS.len());
    let handset = charlie.handset(CAY).await;
    for row in &refused {
        let wanted = u64::from(row.status("status").unwrap());
        for (what, answer) in asked_of(&handset, row.number()).await {
            assert_eq!(answer.0, wanted, "{what} for {}: {}", row.number(), answer.1);
        }
    }
    charlie.app.shut_down().await;
    sandbox.federation.shut_down().await;
}

/// A message that comes while a robot is away for a moment is answered when it is back, once.
#[tokio::test(flavor = "multi_thread")]
async fn robots_come_back_when_their_streams_end() {
    let sandbox = Sandbox::start().await;
    let charlie = sandbox.house("charlie.example", sandbox.socket()).await;
    let mut handset = charlie.handset(CAY).await;
    for round in 0..3 {
        let text = format!("round {round}");
        let seat = sandbox.federation.alpha.app.home.as_ref();
        if let Some(home) = seat.and_then(|seat| seat.here()) {
            home.end_streams();
        }
        let message = json!({ "to": [ECHO], "text": text });
        assert_eq!(status(handset.call("POST", "/v1/messages", message).await).0, 200);
        let fits = |event: &Value| event.get("text") == Some(&json!(text));
        event(&mut handset, ("message", "is the echo"), PATIENCE, fits)
            .await
            .unwrap();
    }
    let again = handset.event("message", "comes twice", |_: &Value| true).await;
    assert!(again.is_err(), "{again:?}");
    charlie.app.shut_down().await;
    sandbox.federation.shut_down().await;
}

/// What did not hold.
async fn row_of_a_robot(charlie: &House, row: &Row) -> Vec<String> {
    let name = format!("{} {}", row.number(), row.cell("name"));
    let (search, message, presence, invitation, added) = tokio::join!(
        search(charlie, row),
        message(charlie, row),
        presence(charlie, row),
        invitation(charlie, row),
        added(charlie, row),
    );
    [
        ("search", search),
        ("message", message),
        ("presence", presence),
        ("invitation", invitation),
        ("added", added),
    ]
    .into_iter()
    .filter_map(|(column, outcome)| Some(format!("{name}, {column}: {}", outcome.err()?)))
    .collect()
}

async fn search(charlie: &House, row: &Row) -> Result<(), String> {
    let handset = charlie.handset(CAY).await;
    let began = clock();
    let (status, answer) = status(search_for(&handset, row.number()).await);
    let names: Vec<_> = answer
        .get("users")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .collect();
    let cell = row.cell("search");
    if began.elapsed() < row.after("search") {
        return Err(format!("answered after {:?}", began.elapsed()));
    }
    let is_right = match row.status("search") {
        Some(wanted) => status == u64::from(wanted),
        None if cell == "nobody" => status == 200 && names.is_empty(),
        None => {
            let name = names.first().and_then(|one| one.get("friendly_name"));
            cell.starts_with("found") && names.len() == 1 && name == Some(&json!(row.cell("name")))
        }
    };
    is_right.then_some(()).ok_or_else(|| format!("{status} {answer}"))
}

async fn message(charlie: &House, row: &Row) -> Result<(), String> {
    let mut handset = charlie.handset(CAY).await;
    let text = format!("Hello {}", row.number());
    let mut message = json!({ "to": [row.number()], "text": text, "report": row.cell("report") != "none" });
    if row.cell("report").contains("expires") {
        message["validity_seconds"] = json!(1);
    }
    let began = clock();
    let (status, answer) = status(handset.call("POST", "/v1/messages", message).await);
    if status != u64::from(row.status("message").unwrap()) || began.elapsed() < row.after("message") {
        return Err(format!("{status} {answer} after {:?}", began.elapsed()));
    }
    let id = answer.get("id").cloned().unwrap_or_default();
    if let Some(wanted) = row.status("report") {
        let of_it = |event: &Value| event.get("message_id") == Some(&id);
        let report = event(&mut handset, ("report", "is of the message"), PATIENCE, of_it).await?;
        if report.get("status") != Some(&json!(wanted)) || began.elapsed() < row.after("report") {
            return Err(format!("the report is {report}, after {:?}", began.elapsed()));
        }
    }
    let cell = row.cell("message");
    let answers: Vec<String> = match cell.split_once(", ").map(|(_, what)| what) {
        None => Vec::new(),
        Some("echoed") => vec![text.clone()],
        Some("answered by 3 devices") => (1..=3).map(|n| format!("device {n}: {text}")).collect(),
        Some(other) => return Err(format!("the table says {other:?}, which this test does not know")),
    };
    for wanted in &answers {
        let fits = |event: &Value| event.get("text") == Some(&json!(wanted));
        event(&mut handset, ("message", wanted), PATIENCE, fits).await?;
    }
    // More than that would have come with them.
    let from_it = |event: &Value| is_from(event, "from", row);
    match handset.event("message", "is one too many", from_it).await {
        Ok(event) => Err(format!("one too many: {event}")),
        Err(_) => Ok(()),
    }
}

async fn presence(charlie: &House, row: &Row) -> Result<(), String> {
    let mut handset = charlie.handset(CAY).await;
    let path = format!("/v1/subscriptions/{}", row.number());
    let began = clock();
    let (status, answer) = status(handset.call("PUT", &path, Value::Null).await);
    if let Some(wanted) = row.status("presence") {
        let is_right = status == u64::from(wanted);
        return is_right.then_some(()).ok_or_else(|| format!("{status} {answer}"));
    }
    if status != 200 {
        return Err(format!("{status} {answer}"));
    }
    let mut since = began;
    for state in row.cell("presence").split(", ") {
        let after = seconds_behind(state, "after ");
        let is_of_him = |event: &Value| is_from(event, "address", row);
        let seen = if state.starts_with("another") {
            let news = |event: &Value| is_of_him(event) && event.to_string().contains("change ");
            let first = event(&mut handset, ("presence", "has a status text"), PATIENCE, news).await?;
            let other = |event: &Value| news(event) && event.get("attributes") != first.get("attributes");
            event(&mut handset, ("presence", "has another"), PATIENCE, other)
                .await
                .map(|_| ())
        } else {
            let wanted = match state.split(' ').next() {
                Some("online") => json!(true),
                Some("offline") => json!(false),
                Some("nothing") => Value::Null,
                other => return Err(format!("the table says {other:?}, which this test does not know")),
            };
            let fits =
                |event: &Value| is_of_him(event) && event.get("online").unwrap_or(&Value::Null) == &wanted;
            event(&mut handset, ("presence", state), PATIENCE, fits)
                .await
                .map(|_| ())
        };
        seen?;
        // The moment at which the state before was seen is not quite that at which it began.
        if since.elapsed() + Duration::from_secs(1) < after {
            return Err(format!("{state:?} was there after {:?}", since.elapsed()));
        }
        since = clock();
    }
    Ok(())
}

async fn invitation(charlie: &House, row: &Row) -> Result<(), String> {
    let mut handset = charlie.handset(CAY).await;
    let began = clock();
    let invitation = json!({ "to": row.number(), "note": "Lunch?" });
    let (status, answer) = status(handset.call("POST", "/v1/invitations", invitation).await);
    if status != u64::from(row.status("invitation").unwrap()) || began.elapsed() < row.after("invitation") {
        return Err(format!("{status} {answer} after {:?}", began.elapsed()));
    }
    let id = answer.get("id").cloned().unwrap_or_default();
    let of_it = |event: &Value| event.get("invitation_id") == Some(&id);
    let answered = handset
        .event("invitation-answer", "is to the invitation", of_it)
        .await;
    let is_accepted = answered
        .ok()
        .and_then(|event| event.get("is_accepted")?.as_bool());
    let wanted = match row.cell("invitation").split_once(", ").map(|(_, what)| what) {
        Some("accepted") => Some(true),
        Some("refused") => Some(false),
        Some("no answer") | None => None,
        Some(other) => return Err(format!("the table says {other:?}, which this test does not know")),
    };
    (is_accepted == wanted)
        .then_some(())
        .ok_or_else(|| format!("answered {is_accepted:?}"))
}

/// Cat adds the number, which is also told so; what his side says to that stands in the answer.
async fn added(charlie: &House, row: &Row) -> Result<(), String> {
    let mut handset = charlie.handset(CAT).await;
    let contact = json!({ "number": row.number() });
    let (status, answer) = status(handset.call("POST", "/v1/contacts", contact).await);
    let told = answer
        .pointer("/notice/error/status")
        .map_or(Some(200), Value::as_u64);
    if status != 200 || told != row.status("added").map(u64::from) {
        return Err(format!("{status} {answer}"));
    }
    if row.cell("added").contains("adds back") {
        let by_him = |event: &Value| is_from(event, "by", row);
        event(&mut handset, ("notice", "is the robot's"), PATIENCE, by_him).await?;
        for is_there in [true, false] {
            watches(&handset, row, is_there).await?;
        }
    }
    Ok(())
}

/// Waits until the robot is among those who watch, or no longer.
async fn watches(handset: &Handset, row: &Row, is_there: bool) -> Result<(), String> {
    let deadline = clock() + PATIENCE;
    loop {
        let (_, answer) = status(handset.call("GET", "/v1/watchers", Value::Null).await);
        let watchers = answer
            .get("watchers")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        if watchers.into_iter().any(|one| is_from(one, "address", row)) == is_there {
            return Ok(());
        }
        if clock() >= deadline {
            return Err(format!("watches, wanted {is_there}: {answer}"));
        }
        // Nobody tells that a watcher has gone.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// All that may be asked of a number, and the answers.
async fn asked_of(handset: &Handset, number: &str) -> [(&'static str, (u64, Value)); 5] {
    let message = json!({ "to": [number], "text": "Hello" });
    let invitation = json!({ "to": number });
    let call = |method, path: String, body| async move { status(handset.call(method, &path, body).await) };
    [
        ("a search", status(search_for(handset, number).await)),
        ("a message", call("POST", "/v1/messages".into(), message).await),
        (
            "an invitation",
            call("POST", "/v1/invitations".into(), invitation).await,
        ),
        (
            "a subscription",
            call("PUT", format!("/v1/subscriptions/{number}"), Value::Null).await,
        ),
        (
            "a look",
            call("GET", format!("/v1/presence/{number}"), Value::Null).await,
        ),
    ]
}

async fn search_for(handset: &Handset, number: &str) -> Result<Value, impsgw::lab::HandsetError> {
    let pairs = json!({ "pairs": [{ "element": "USER_MOBILE_NUMBER", "text": number }] });
    handset.call("POST", "/v1/search", pairs).await
}

fn is_from(event: &Value, part: &str, row: &Row) -> bool {
    event.get(part) == Some(&json!(format!("wv:{}", row.number())))
}

/// Longer than any time in the table.
const PATIENCE: Duration = Duration::from_secs(30);
const ECHO: &str = "+447700900101";
const CAY: &str = "+447700900601";
const CAT: &str = "+447700900602";
