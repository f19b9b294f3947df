//! Who sees what: Hal adds Bea, who shows nothing to everybody any more. She is asked, he waits; she lets him see her, shuts him
//! out, and lets him in again.

use serde_json::{Value, json};

use super::{
    Handset, HandsetError,
    play::{BEA, HAL, PlayError, Stage, clock, said, says, text},
};

/// Asked, granted, blocked, unblocked; at the end everything is as before.
pub(super) async fn bea_decides(
    stage: &mut Stage<'_>,
    bea: &mut Handset,
    hal: &mut Handset,
) -> Result<(), PlayError> {
    stage.title("Bea decides who sees her, and who reaches her")?;
    let of_hal = |what: &str| format!("/v1/{what}/{}", HAL.replace('+', "%2B"));

    let began = clock();
    let asked = shows_to_everybody(bea, &[]).await;
    let asked = asked.and(said(
        hal.call("POST", "/v1/contacts", json!({ "number": BEA })).await,
    ));
    let is_hal = |event: &Value| text(event, "address") == format!("wv:{HAL}");
    let asked = asked.and(said(bea.event("watcher", "is Hal", is_hal).await));
    let notice = bea
        .event("notice", "names Hal", |event| {
            text(event, "friendly_name") == "Hal"
        })
        .await;
    bea.acknowledge(&notice).await;
    let asked = asked.and(said(notice));
    stage.step(
        "Bea shows nothing to everybody; Hal adds her, and she is asked",
        began,
        asked,
    )?;

    let began = clock();
    let is_pending = |event: &Value| is_bea(event) && event.get("attributes") == Some(&json!([]));
    let pending = said(
        hal.event("presence", "shows nothing of Bea yet", is_pending)
            .await,
    );
    stage.step("Hal sees that her answer is pending", began, pending)?;

    let began = clock();
    let rights = json!({ "attributes": ["OnlineStatus", "StatusText"] });
    let granted = said(bea.call("PUT", &of_hal("grants"), rights).await);
    let shows = |event: &Value| is_bea(event) && says(event, "On the 08:15");
    let seen = said(hal.event("presence", "shows Bea's text", shows).await);
    stage.step("She lets him see her, and he does", began, granted.and(seen))?;

    let began = clock();
    let blocked = said(bea.call("PUT", &of_hal("blocks"), json!({})).await);
    let gone = said(
        hal.event("presence", "shows nothing of Bea any more", is_pending)
            .await,
    );
    let message = json!({ "to": [BEA], "text": "Are you there?" });
    let refused = match hal.call("POST", "/v1/messages", message).await {
        Err(HandsetError::Refused { answer, .. }) if answer.pointer("/error/status") == Some(&json!(532)) => {
            Ok(Value::Null)
        }
        Ok(answer) => Err(format!("it was answered {answer}")),
        Err(error) => Err(error.to_string()),
    };
    stage.step(
        "She blocks him: he sees nothing, and what he writes is refused: 532",
        began,
        blocked.and(gone).and(refused),
    )?;

    let began = clock();
    let unblocked = said(bea.call("DELETE", &of_hal("blocks"), Value::Null).await);
    let again = said(hal.event("presence", "shows Bea's text", shows).await);
    stage.step(
        "She unblocks him, and he sees her again",
        began,
        unblocked.and(again),
    )?;

    let began = clock();
    let of_bea = format!("/v1/contacts/{}", BEA.replace('+', "%2B"));
    let removed = said(hal.call("DELETE", &of_bea, Value::Null).await);
    let revoked = said(bea.call("DELETE", &of_hal("grants"), Value::Null).await);
    let shown = shows_to_everybody(bea, &EVERYTHING).await;
    stage.step(
        "Hal takes her off his list, and she shows herself to everybody again",
        began,
        removed.and(revoked).and(shown),
    )?;
    Ok(())
}

async fn shows_to_everybody(bea: &Handset, attributes: &[&str]) -> Result<Value, String> {
    let settings = json!({ "settings": { "public_attributes": attributes } });
    said(bea.call("PATCH", "/v1/me", settings).await)
}

fn is_bea(event: &Value) -> bool {
    text(event, "address") == format!("wv:{BEA}")
}

/// What the lab's operators show to everybody, as their configuration has it.
const EVERYTHING: [&str; 4] = ["OnlineStatus", "UserAvailability", "StatusText", "StatusMood"];
