//! A number moves: Al takes +44 7700 900124 from Alpha to Beta, on to Hub, and back to Beta, while messages wait for him and people
//! watch him.

use serde_json::{Value, json};

use super::{
    Federation, Handset, Operator,
    play::{ADA, PlayError, Stage, clock, said, says, text},
};
use crate::model::E164;

/// Nobody's list changes, nothing is lost: what waits and who watches finds him wherever he is served.
pub(super) async fn a_number_moves(
    stage: &mut Stage<'_>,
    ada: &mut Handset,
    bea: &mut Handset,
) -> Result<(), PlayError> {
    stage.title("A number moves from Alpha to Beta, to Hub, and back to Beta")?;
    let began = clock();
    let al = Handset::log_in(&stage.federation.alpha.subscribers, AL, "al-on-the-lab").await?;
    let mut added = Ok(Value::Null);
    for handset in [&mut *ada, &mut *bea] {
        added = added.and(said(
            handset
                .call("POST", "/v1/contacts", json!({ "number": AL }))
                .await,
        ));
        let fits = |event: &Value| text(event, "address") == AL_ADDRESS || says(event, "At Alpha");
        let change = json!({ "attributes": { "StatusText": "At Alpha" } });
        added = added.and(said(al.call("PUT", "/v1/presence", change).await));
        added = added.and(said(handset.event("presence", "is about Al", fits).await));
    }
    stage.step(
        "Ada and Bea have Al of Alpha on their lists, and see him",
        began,
        added,
    )?;

    let began = clock();
    let pause = json!({ "reason": "maintenance" });
    let suspended = stage
        .federation
        .beta
        .ask("POST", "/api/v1/peers/alpha/suspend", pause)
        .await;
    let message = json!({ "to": [AL], "text": "Are you still there?", "report": true });
    let waits = suspended.and(said(bea.call("POST", "/v1/messages", message).await));
    stage.step(
        "Beta can't reach Alpha for a while, and Bea's message to Al waits",
        began,
        waits,
    )?;

    let began = clock();
    let lists = [contacts(ada).await, contacts(bea).await];
    let federation = &*stage.federation;
    let moved = moves(federation, (&federation.alpha, &federation.beta)).await;
    let moved = moved.and(resumed(&federation.beta, "alpha").await);
    stage.step(
        "Al's number is ported: ENUM leads to Beta, Alpha lets him go, Beta takes him",
        began,
        moved,
    )?;

    let began = clock();
    let mut al = Handset::log_in(&stage.federation.beta.subscribers, AL, "al-on-the-lab").await?;
    let got = said(
        al.event("message", "waited", |event| {
            text(event, "text") == "Are you still there?"
        })
        .await,
    );
    stage.step(
        "He logs in at Beta, and the message that waited is there",
        began,
        got,
    )?;

    let began = clock();
    let change = json!({ "attributes": { "StatusText": "At Beta" } });
    let mut seen = said(al.call("PUT", "/v1/presence", change).await);
    for handset in [&mut *ada, &mut *bea] {
        seen = seen.and(said(
            handset
                .event("presence", "carries the new text", |event| says(event, "At Beta"))
                .await,
        ));
    }
    stage.step("Ada and Bea, who changed nothing, see him at Beta", began, seen)?;

    let began = clock();
    let message = json!({ "to": [AL], "text": "Welcome at Beta" });
    let sent = said(ada.call("POST", "/v1/messages", message).await);
    let got = match sent {
        Ok(_) => said(
            al.event("message", "is Ada's", |event| {
                text(event, "text") == "Welcome at Beta"
            })
            .await,
        ),
        Err(error) => Err(error),
    };
    stage.step("Ada writes to him under the number, as before", began, got)?;

    let began = clock();
    let message = json!({ "to": [ADA], "text": "Same number, other operator" });
    let sent = said(al.call("POST", "/v1/messages", message).await);
    let is_his = |event: &Value| {
        text(event, "text") == "Same number, other operator" && text(event, "from") == AL_ADDRESS
    };
    let got = match sent {
        Ok(_) => said(ada.event("message", "is Al's", is_his).await),
        Err(error) => Err(error),
    };
    stage.step("He answers, and is known by his number", began, got)?;

    let began = clock();
    let pause = json!({ "reason": "maintenance" });
    let path = "/api/v1/peers/beta/suspend";
    let suspended = stage.federation.alpha.ask("POST", path, pause).await;
    let message = json!({ "to": [AL], "text": "Where are you now?" });
    let waits = suspended.and(said(ada.call("POST", "/v1/messages", message).await));
    let federation = &*stage.federation;
    let moved_on = moves(federation, (&federation.beta, &federation.hub)).await;
    let moved_on = waits.and(moved_on).and(resumed(&federation.alpha, "beta").await);
    stage.step(
        "While a message of Ada's waits for Beta, Al moves on to Hub",
        began,
        moved_on,
    )?;
    let hub = stage.federation.hub.subscribers.clone();
    is_found(stage, [ada, bea], (&hub, "Hub", "Where are you now?")).await?;

    let began = clock();
    let path = "/api/v1/peers/hub/suspend";
    let pause = json!({ "reason": "maintenance" });
    let suspended = stage.federation.beta.ask("POST", path, pause).await;
    let message = json!({ "to": [AL], "text": "Coming back?" });
    let waits = suspended.and(said(bea.call("POST", "/v1/messages", message).await));
    let federation = &*stage.federation;
    let back = moves(federation, (&federation.hub, &federation.beta)).await;
    let back = waits.and(back).and(resumed(&federation.beta, "hub").await);
    // Alpha has no part in this move: what it watches at Hub is asserted anew daily, and with each new session.
    let anew = federation
        .alpha
        .ask("POST", "/api/v1/peers/hub/reconnect", Value::Null);
    let back = back.and(anew.await);
    stage.step(
        "While one of Bea's waits for Hub, he goes back to Beta",
        began,
        back,
    )?;
    let beta = stage.federation.beta.subscribers.clone();
    is_found(stage, [ada, bea], (&beta, "Beta", "Coming back?")).await?;

    let began = clock();
    let [before_ada, before_bea] = lists;
    let mut same = Ok(());
    for (handset, before) in [(&*ada, before_ada), (&*bea, before_bea)] {
        let now = contacts(handset).await;
        if same.is_ok() && (before.is_err() || now != before) {
            same = Err(format!("the list was {before:?} and is {now:?}"));
        }
    }
    Ok(stage.step("Nobody's contact list has changed", began, same)?)
}

/// He logs in where he is served now: what waited is there, once, and who watches him sees him.
async fn is_found(
    stage: &mut Stage<'_>,
    watchers: [&mut Handset; 2],
    (subscribers, name, words): (&str, &str, &str),
) -> Result<(), PlayError> {
    let began = clock();
    let mut al = Handset::log_in(subscribers, AL, "al-on-the-lab").await?;
    let waited = al
        .event("message", "waited", |event| text(event, "text") == words)
        .await;
    al.acknowledge(&waited).await;
    let status = format!("Back at {name}");
    let change = json!({ "attributes": { "StatusText": status } });
    let mut seen = said(waited).and(said(al.call("PUT", "/v1/presence", change).await));
    for handset in watchers {
        let fits = |event: &Value| says(event, &status);
        seen = seen.and(said(
            handset.event("presence", "carries the new text", fits).await,
        ));
    }
    let twice = said(al.call("GET", "/v1/inbox", Value::Null).await).and_then(|inbox| {
        let events = inbox.get("events").and_then(Value::as_array);
        let is_again = |event: &&Value| text(event, "text") == words;
        match events.map(|events| events.iter().filter(is_again).count()) {
            Some(0) => Ok(Value::Null),
            Some(_) | None => Err(format!("it is there again: {inbox}")),
        }
    });
    let what = format!("He logs in at {name}: what waited is there once, and Ada and Bea see him");
    Ok(stage.step(&what, began, seen.and(twice))?)
}

/// Who is on a contact list under which name, without what changes by itself.
async fn contacts(handset: &Handset) -> Result<Vec<(String, String)>, String> {
    let list = said(handset.call("GET", "/v1/contacts", Value::Null).await)?;
    let contacts = list.get("contacts").and_then(Value::as_array);
    let contacts = contacts.ok_or_else(|| format!("the list is {list}"))?;
    let one = |contact: &Value| {
        (
            text(contact, "address").to_owned(),
            text(contact, "nickname").to_owned(),
        )
    };
    Ok(contacts.iter().map(one).collect())
}

/// ENUM leads to the new operator, the old one lets him go, the new one takes him.
async fn moves(federation: &Federation, (from, to): (&Operator, &Operator)) -> Result<Value, String> {
    let number: E164 = AL.parse().map_err(|_| "no number".to_owned())?;
    let led = federation.lead(&number, to.name).await;
    led.map_err(|error| error.to_string())?;
    for operator in federation.operators() {
        let path = format!("/api/v1/cache?number=%2B{}", number.digits());
        operator.ask("DELETE", &path, Value::Null).await?;
    }
    let path = format!("/api/v1/accounts/%2B{}", number.digits());
    from.ask("DELETE", &path, Value::Null).await?;
    let account = json!({
        "number": AL, "user": "al", "friendly_name": "Al", "domain": format!("{}.example", to.name), "password": "al-on-the-lab",
    });
    let accounts = json!({ "accounts": [account] });
    to.ask("POST", "/api/v1/accounts", accounts).await
}

/// A peer that was suspended is spoken to again, in a new session.
async fn resumed(operator: &Operator, peer: &str) -> Result<Value, String> {
    let path = |lever: &str| format!("/api/v1/peers/{peer}/{lever}");
    operator.ask("POST", &path("resume"), Value::Null).await?;
    operator.ask("POST", &path("reconnect"), Value::Null).await
}

const AL: &str = "+447700900124";
const AL_ADDRESS: &str = "wv:+447700900124";
