//! A number moves: Al takes +44 7700 900124 from Alpha to Beta, while a message waits for him and people watch him.

use serde_json::{Value, json};

use super::{
    Handset,
    play::{ADA, PlayError, Stage, clock, said, says, text},
};
use crate::model::E164;

/// Nobody's list changes, nothing is lost: what waits and who watches finds him at Beta.
pub(super) async fn a_number_moves(
    stage: &mut Stage<'_>,
    ada: &mut Handset,
    bea: &mut Handset,
) -> Result<(), PlayError> {
    stage.title("A number moves from Alpha to Beta")?;
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
    let moved = moved(stage).await;
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
    Ok(stage.step("He answers, and is known by his number", began, got)?)
}

async fn moved(stage: &Stage<'_>) -> Result<Value, String> {
    let federation = &*stage.federation;
    let number: E164 = AL.parse().map_err(|_| "no number".to_owned())?;
    let led = federation.lead(&number, federation.beta.name).await;
    led.map_err(|error| error.to_string())?;
    for operator in [&federation.alpha, &federation.beta] {
        let path = format!("/api/v1/cache?number=%2B{}", number.digits());
        operator.ask("DELETE", &path, Value::Null).await?;
    }
    let path = format!("/api/v1/accounts/%2B{}", number.digits());
    federation.alpha.ask("DELETE", &path, Value::Null).await?;
    let account = json!({
        "number": AL, "user": "al", "friendly_name": "Al", "domain": "beta.example", "password": "al-on-the-lab",
    });
    let accounts = json!({ "accounts": [account] });
    let beta = &federation.beta;
    beta.ask("POST", "/api/v1/accounts", accounts).await?;
    beta.ask("POST", "/api/v1/peers/alpha/resume", Value::Null)
        .await?;
    beta.ask("POST", "/api/v1/peers/alpha/reconnect", Value::Null)
        .await
}

const AL: &str = "+447700900124";
const AL_ADDRESS: &str = "wv:+447700900124";
