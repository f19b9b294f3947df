//! A group: Ada opens it at Alpha, people of three other operators join it by accepting, everybody reads what each one writes.
//!
//! Isa of Isle is reached through Hub, since Alpha has no agreement with her operator.

use serde_json::{Value, json};

use super::{
    Handset,
    play::{BEA, HAL, ISA, PlayError, Stage, clock, said, text},
};

/// Opened, joined, talked in, left, ended.
pub(super) async fn a_group_talks(
    stage: &mut Stage<'_>,
    [ada, bea, hal, isa]: [&mut Handset; 4],
) -> Result<(), PlayError> {
    stage.title("A group of people at several operators")?;
    let began = clock();
    let open = json!({ "topic": "Supper", "invite": [BEA, HAL], "note": "Where do we eat?" });
    let opened = said(ada.call("POST", "/v1/groups", open).await).and_then(all_invited);
    let group = opened
        .as_ref()
        .map(|opened| text(opened, "group").to_owned())
        .unwrap_or_default();
    let path = format!("/v1/groups/{}", group.replace('/', "%2F"));
    stage.step("Ada opens a group and invites Bea and Hal", began, opened)?;

    for (guest, name) in [(&mut *bea, "Bea"), (&mut *hal, "Hal")] {
        let began = clock();
        let joined = accept(guest, &group).await.and(comes(ada, &group, name).await);
        let joined = joined.and(is_told(ada).await);
        let what = format!("{name} accepts and is in it, and Ada is told");
        stage.step(&what, began, joined)?;
    }

    let began = clock();
    let invite = json!({ "to": [ISA] });
    let invited = ada.call("POST", &format!("{path}/invitations"), invite).await;
    let joined = match said(invited).and_then(all_invited) {
        Ok(_) => accept(isa, &group).await,
        Err(error) => Err(error),
    };
    let joined = joined
        .and(comes(bea, &group, "Isa").await)
        .and(is_told(ada).await);
    stage.step(
        "Isa, whom Alpha reaches through Hub alone, accepts as well, and Bea is told",
        began,
        joined,
    )?;

    says_to_all(
        stage,
        &group,
        (ada, "Ada", "Shall we say eight?"),
        [bea, hal, isa],
    )
    .await?;
    says_to_all(
        stage,
        &group,
        (hal, "Hal", "Eight it is, I cook"),
        [ada, bea, isa],
    )
    .await?;
    says_to_all(stage, &group, (isa, "Isa", "I bring fish"), [ada, bea, hal]).await?;

    let began = clock();
    let waited = waits_for_bea(stage, &group, hal, [ada, isa], bea).await;
    stage.step(
        "Alpha can't reach Beta: what Hal writes is there for the others, and for Bea once Beta is back",
        began,
        waited,
    )?;

    let began = clock();
    let left = said(bea.call("POST", &format!("{path}/leave"), json!({})).await);
    let mut told = left;
    for handset in [&mut *ada, &mut *hal, &mut *isa] {
        let fits = |event: &Value| text(event, "group") == group && names(event, "left", "Bea");
        told = told.and(said(
            handset.event("group-change", "says that Bea left", fits).await,
        ));
    }
    stage.step("Bea leaves, and the others are told", began, told)?;

    let began = clock();
    let message = json!({ "to": [group], "text": "Keep me a plate" });
    let refused = match bea.call("POST", "/v1/messages", message).await {
        Err(super::HandsetError::Refused { answer, .. })
            if answer.pointer("/error/status") == Some(&json!(808)) =>
        {
            Ok(Value::Null)
        }
        Ok(answer) => Err(format!("it was answered {answer}")),
        Err(error) => Err(error.to_string()),
    };
    stage.step("what she writes to it now is refused: 808", began, refused)?;

    let began = clock();
    let mut ended = said(ada.call("DELETE", &path, Value::Null).await);
    for handset in [&mut *hal, &mut *isa] {
        let fits = |event: &Value| text(event, "group") == group && text(event, "why") == "ended";
        let told = handset.event("group-left", "says that it has ended", fits).await;
        handset.acknowledge(&told).await;
        ended = ended.and(said(told));
    }
    Ok(stage.step("Ada ends the group, and Hal and Isa are told", began, ended)?)
}

/// Accepts the invitation to a group.
async fn accept(guest: &mut Handset, group: &str) -> Result<Value, String> {
    let fits = |event: &Value| text(event, "group") == group;
    let invitation = guest.event("invitation", "names the group", fits).await;
    guest.acknowledge(&invitation).await;
    let id = text(&said(invitation)?, "invitation_id").to_owned();
    let answer = json!({ "accept": true });
    said(
        guest
            .call("POST", &format!("/v1/invitations/{id}/answer"), answer)
            .await,
    )
}

/// Waits until who invited is told of an acceptance.
async fn is_told(host: &mut Handset) -> Result<Value, String> {
    let accepts = |event: &Value| event.get("is_accepted") == Some(&Value::Bool(true));
    let answer = host.event("invitation-answer", "accepts", accepts).await;
    host.acknowledge(&answer).await;
    said(answer)
}

/// Waits until somebody in the group hears that another has come.
async fn comes(handset: &mut Handset, group: &str, name: &str) -> Result<Value, String> {
    let fits = |event: &Value| text(event, "group") == group && names(event, "joined", name);
    said(handset.event("group-change", "says who came", fits).await)
}

async fn says_to_all(
    stage: &mut Stage<'_>,
    group: &str,
    (from, from_name, words): (&mut Handset, &str, &str),
    others: [&mut Handset; 3],
) -> Result<(), PlayError> {
    let began = clock();
    let message = json!({ "to": [group], "text": words });
    let mut outcome = said(from.call("POST", "/v1/messages", message).await);
    let fits = |event: &Value| {
        text(event, "text") == words
            && text(event, "group") == group
            && text(event, "screen_name") == from_name
    };
    for handset in others {
        let arrived = handset.event("message", "carries words and name", fits).await;
        handset.acknowledge(&arrived).await;
        outcome = outcome.and(said(arrived));
    }
    let what = format!("{from_name} writes to the group, and the three others read it under that name");
    Ok(stage.step(&what, began, outcome)?)
}

/// An operator who can't be reached keeps nobody else from reading, and his own people lose nothing.
async fn waits_for_bea(
    stage: &Stage<'_>,
    group: &str,
    hal: &Handset,
    others: [&mut Handset; 2],
    bea: &mut Handset,
) -> Result<Value, String> {
    const WORDS: &str = "Bring an umbrella";
    let alpha = &stage.federation.alpha;
    let pause = json!({ "reason": "maintenance" });
    alpha.ask("POST", "/api/v1/peers/beta/suspend", pause).await?;
    let message = json!({ "to": [group], "text": WORDS });
    said(hal.call("POST", "/v1/messages", message).await)?;
    let fits = |event: &Value| text(event, "text") == WORDS;
    for handset in others {
        let arrived = handset.event("message", "carries the words", fits).await;
        handset.acknowledge(&arrived).await;
        said(arrived)?;
    }
    for lever in ["resume", "reconnect"] {
        alpha
            .ask("POST", &format!("/api/v1/peers/beta/{lever}"), Value::Null)
            .await?;
    }
    let arrived = bea.event("message", "waited", fits).await;
    bea.acknowledge(&arrived).await;
    said(arrived)
}

/// Every invitation of an answer was passed on.
fn all_invited(answer: Value) -> Result<Value, String> {
    let invitations = answer.get("invitations").and_then(Value::as_array);
    let is_passed_on = |one: &Value| one.get("id").is_some();
    match invitations {
        Some(all) if !all.is_empty() && all.iter().all(is_passed_on) => Ok(answer),
        Some(_) | None => Err(answer.to_string()),
    }
}

fn names(event: &Value, list: &str, name: &str) -> bool {
    let list = event.get(list).and_then(Value::as_array);
    list.into_iter().flatten().any(|one| one == name)
}
