//! The seed use cases, played through handsets: 5.20 add by number, 5.21 presence, 5.22 messages; an invitation, a group.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{Federation, Handset, HandsetError, Operator, groups, moving, privacy};
use crate::model::{StepEvent, TrailRecord};

/// What the play came to.
#[derive(Debug)]
pub struct Played {
    /// Steps that held.
    pub held: usize,
    /// Steps that did not, and why.
    pub failed: Vec<String>,
    /// The handsets, still logged in.
    pub handsets: Vec<Handset>,
}

/// Plays the use cases and prints each step: what happened, who spoke to whom, and how long it took.
///
/// # Errors
/// When the output can't be written or a handset can't log in; a step that fails is reported in [`Played`].
pub async fn play(federation: &mut Federation, out: &mut dyn Write) -> Result<Played, PlayError> {
    let mut ada = Handset::log_in(&federation.alpha.subscribers, "+447700900123", "ada-on-the-lab").await?;
    let mut bea = Handset::log_in(&federation.beta.subscribers, "bea@beta.example", "bea-on-the-lab").await?;
    let mut hal = Handset::log_in(&federation.hub.subscribers, "+447700900223", "hal-on-the-lab").await?;
    let mut isa = Handset::log_in(&federation.isle.subscribers, "+447700900323", "isa-on-the-lab").await?;
    let mut stage = Stage {
        out,
        federation,
        held: 0,
        failed: Vec::new(),
    };
    add_contact(&mut stage, &mut ada, &mut bea).await?;
    presence(&mut stage, &mut ada, &mut bea).await?;
    messages(&mut stage, &mut ada, &mut bea).await?;
    invitation(&mut stage, &mut ada, &mut bea).await?;
    transit(&mut stage, &mut ada, &mut isa).await?;
    three(&mut stage, &mut ada, &mut bea, &mut hal).await?;
    groups::a_group_talks(&mut stage, [&mut ada, &mut bea, &mut hal, &mut isa]).await?;
    privacy::bea_decides(&mut stage, &mut bea, &mut hal).await?;
    moving::a_number_moves(&mut stage, &mut ada, &mut bea).await?;
    refusals(&mut stage, &mut ada).await?;
    let (held, failed) = (stage.held, stage.failed);
    Ok(Played {
        held,
        failed,
        handsets: vec![ada, bea, hal, isa],
    })
}

/// Why the play stopped.
#[derive(Debug, thiserror::Error)]
pub enum PlayError {
    /// A handset could not log in.
    #[error(transparent)]
    Handset(#[from] HandsetError),
    /// The output.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

async fn add_contact(stage: &mut Stage<'_>, ada: &mut Handset, bea: &mut Handset) -> Result<(), PlayError> {
    stage.title("5.20  Add a contact by number")?;
    let began = clock();
    let added = ada.call("POST", "/v1/contacts", json!({ "number": BEA })).await;
    let is_right = |contact: &Value| {
        contact.pointer("/contact/address") == Some(&json!(format!("wv:{BEA}")))
            && contact.pointer("/contact/nickname") == Some(&json!("Bea"))
    };
    let added = added.map_err(|error| error.to_string()).and_then(|contact| {
        if is_right(&contact) {
            Ok(())
        } else {
            Err(format!("the contact is {contact}"))
        }
    });
    stage.step(
        "Ada enters +44 7700 900456 and has Bea on her list, by number, named by her friendly name",
        began,
        added,
    )?;
    let began = clock();
    let notice = bea
        .event("notice", "names Ada", |event| {
            text(event, "friendly_name") == "Ada"
        })
        .await;
    bea.acknowledge(&notice).await;
    stage.step("Bea is told that Ada has added her", began, said(notice))?;
    let began = clock();
    let back = bea
        .call(
            "POST",
            "/v1/contacts",
            json!({ "number": ADA, "nickname": "Ada L." }),
        )
        .await;
    let back = said(back).and_then(|contact| {
        if contact.pointer("/contact/nickname") == Some(&json!("Ada L.")) {
            Ok(contact)
        } else {
            Err(contact.to_string())
        }
    });
    stage.step("Bea adds Ada in return", began, back)?;
    let began = clock();
    let notice = ada
        .event("notice", "names Bea", |event| {
            text(event, "friendly_name") == "Bea"
        })
        .await;
    ada.acknowledge(&notice).await;
    stage.step(
        "Ada is told, and needn't add anybody any more",
        began,
        said(notice),
    )?;
    Ok(())
}

async fn presence(stage: &mut Stage<'_>, ada: &mut Handset, bea: &mut Handset) -> Result<(), PlayError> {
    stage.title("5.21  Presence of another operator's user")?;
    let began = clock();
    let online = ada
        .event("presence", "shows Bea online", |event| {
            event.get("online") == Some(&Value::Bool(true))
        })
        .await;
    stage.step("Ada sees that Bea is online", began, said(online))?;
    let began = clock();
    let attributes =
        json!({ "UserAvailability": "DISCREET", "StatusText": "On the 08:15", "StatusMood": "HAPPY" });
    let change = json!({ "attributes": attributes });
    let changed = bea.call("PUT", "/v1/presence", change).await;
    let seen = match changed {
        Ok(_) => {
            let fits = |event: &Value| says(event, "On the 08:15");
            said(ada.event("presence", "carries the new text", fits).await)
        }
        Err(error) => Err(error.to_string()),
    };
    stage.step("Bea changes her status, Ada sees it", began, seen)?;
    let began = clock();
    let asked = bea.call("GET", &format!("/v1/presence/{ADA}"), Value::Null).await;
    let asked = said(asked).and_then(|answer| match answer.get("online") {
        Some(Value::Bool(true)) => Ok(answer),
        _ => Err(format!("the answer is {answer}")),
    });
    stage.step("Bea asks for Ada's presence once", began, asked)?;
    Ok(())
}

async fn messages(stage: &mut Stage<'_>, ada: &mut Handset, bea: &mut Handset) -> Result<(), PlayError> {
    stage.title("5.22  Messages, both ways, with delivery reports")?;
    one_message(stage, (ada, "Ada"), (bea, "Bea"), BEA, "See you at 6!").await?;
    one_message(
        stage,
        (bea, "Bea"),
        (ada, "Ada"),
        ADA,
        "At the usual place. Zoë comes too ☕",
    )
    .await?;
    Ok(())
}

async fn one_message(
    stage: &mut Stage<'_>,
    (from, from_name): (&mut Handset, &str),
    (to, to_name): (&mut Handset, &str),
    number: &str,
    words: &str,
) -> Result<(), PlayError> {
    let began = clock();
    let sent = from
        .call(
            "POST",
            "/v1/messages",
            json!({ "to": [number], "text": words, "report": true }),
        )
        .await;
    let id = sent
        .as_ref()
        .ok()
        .map(|sent| text(sent, "id").to_owned())
        .unwrap_or_default();
    stage.step(
        &format!("{from_name} sends {to_name} a message, and Success means that it was taken"),
        began,
        said(sent),
    )?;
    let began = clock();
    let arrived = to
        .event("message", "carries the words", |event| {
            text(event, "text") == words
        })
        .await;
    let arrived_id = arrived
        .as_ref()
        .ok()
        .and_then(|event| event.get("inbox_id")?.as_u64())
        .unwrap_or_default();
    stage.step(
        &format!("it is pushed to {to_name}'s handset"),
        began,
        said(arrived),
    )?;
    let began = clock();
    let acknowledged = to
        .call("POST", &format!("/v1/inbox/{arrived_id}/ack"), Value::Null)
        .await;
    let report = match acknowledged {
        Ok(_) => said(
            from.event("report", "names the message", |event| {
                text(event, "message_id") == id
            })
            .await,
        ),
        Err(error) => Err(error.to_string()),
    };
    from.acknowledge(&report).await;
    let report = report.and_then(|event| {
        if event.get("is_delivered") == Some(&Value::Bool(true)) {
            Ok(event)
        } else {
            Err(event.to_string())
        }
    });
    stage.step(&format!("{from_name} gets the delivery report"), began, report)?;
    Ok(())
}

async fn invitation(stage: &mut Stage<'_>, ada: &mut Handset, bea: &mut Handset) -> Result<(), PlayError> {
    stage.title("Invitations")?;
    let began = clock();
    let invited = ada
        .call("POST", "/v1/invitations", json!({ "to": BEA, "note": "Lunch?" }))
        .await;
    let got = match &invited {
        Ok(_) => said(
            bea.event("invitation", "carries the note", |event| {
                text(event, "note") == "Lunch?"
            })
            .await,
        ),
        Err(error) => Err(error.to_string()),
    };
    let id = got
        .as_ref()
        .ok()
        .map(|event| text(event, "invitation_id").to_owned())
        .unwrap_or_default();
    bea.acknowledge(&got).await;
    stage.step("Ada invites Bea to a conversation", began, got)?;
    let began = clock();
    let answered = bea
        .call(
            "POST",
            &format!("/v1/invitations/{id}/answer"),
            json!({ "accept": true, "note": "At noon" }),
        )
        .await;
    let told = match answered {
        Ok(_) => {
            let fits = |event: &Value| event.get("is_accepted") == Some(&Value::Bool(true));
            said(ada.event("invitation-answer", "accepts", fits).await)
        }
        Err(error) => Err(error.to_string()),
    };
    ada.acknowledge(&told).await;
    stage.step("Bea accepts, Ada is told", began, told)?;
    Ok(())
}

/// Alpha and Isle have no agreement with each other; both have one with Hub.
async fn transit(stage: &mut Stage<'_>, ada: &mut Handset, isa: &mut Handset) -> Result<(), PlayError> {
    stage.title("In transit: Ada and Isa, whose operators have an agreement with Hub alone")?;
    let began = clock();
    let added = ada.call("POST", "/v1/contacts", json!({ "number": ISA })).await;
    let named = said(added).and_then(|contact| match contact.pointer("/contact/nickname") {
        Some(name) if *name == json!("Isa") => Ok(contact),
        _ => Err(contact.to_string()),
    });
    stage.step("Ada enters +44 7700 900323 and has Isa on her list", began, named)?;
    let began = clock();
    let notice = isa
        .event("notice", "names Ada", |event| {
            text(event, "friendly_name") == "Ada"
        })
        .await;
    isa.acknowledge(&notice).await;
    let back = match said(notice) {
        Ok(_) => said(isa.call("POST", "/v1/contacts", json!({ "number": ADA })).await),
        Err(error) => Err(error),
    };
    stage.step("Isa is told, and adds Ada in return", began, back)?;
    let began = clock();
    let told = ada
        .event("notice", "names Isa", |event| {
            text(event, "friendly_name") == "Isa"
        })
        .await;
    ada.acknowledge(&told).await;
    let change = json!({ "attributes": { "StatusText": "On the ferry" } });
    let seen = match said(told).and(said(isa.call("PUT", "/v1/presence", change).await)) {
        Ok(_) => said(
            ada.event("presence", "carries the new text", |event| {
                says(event, "On the ferry")
            })
            .await,
        ),
        Err(error) => Err(error),
    };
    stage.step("Isa changes her status, Ada sees it", began, seen)?;
    one_message(stage, (ada, "Ada"), (isa, "Isa"), ISA, "Is the sea rough?").await?;
    one_message(stage, (isa, "Isa"), (ada, "Ada"), ADA, "As a mirror").await
}

/// A message to people of two operators at once.
async fn three(
    stage: &mut Stage<'_>,
    ada: &mut Handset,
    bea: &mut Handset,
    hal: &mut Handset,
) -> Result<(), PlayError> {
    stage.title("Three people at three operators")?;
    one_to_two(
        stage,
        (ada, "Ada"),
        [(bea, "Bea", BEA), (hal, "Hal", HAL)],
        "Supper at 8?",
    )
    .await
}

async fn one_to_two(
    stage: &mut Stage<'_>,
    (from, from_name): (&mut Handset, &str),
    to: [(&mut Handset, &str, &str); 2],
    words: &str,
) -> Result<(), PlayError> {
    let began = clock();
    let numbers = to.each_ref().map(|(_, _, number)| *number);
    let names = to.each_ref().map(|(_, name, _)| *name);
    let sent = from
        .call("POST", "/v1/messages", json!({ "to": numbers, "text": words }))
        .await;
    let mut outcome = said(sent);
    for (handset, _, _) in to {
        let fits = |event: &Value| text(event, "text") == words;
        let arrived = handset.event("message", "carries the words", fits).await;
        let inbox = |event: &Value| event.get("inbox_id").and_then(Value::as_u64).unwrap_or_default();
        let taken = match &arrived {
            Ok(event) => {
                let path = format!("/v1/inbox/{}/ack", inbox(event));
                said(handset.call("POST", &path, Value::Null).await)
            }
            Err(error) => Err(error.to_string()),
        };
        outcome = outcome.and(taken);
    }
    let what = format!(
        "{from_name} writes to {} and {} at once, and both have it",
        names[0], names[1]
    );
    Ok(stage.step(&what, began, outcome)?)
}

/// Whether a presence event carries a value.
pub(super) fn says(event: &Value, value: &str) -> bool {
    let attributes = event.get("attributes").and_then(Value::as_array);
    attributes
        .into_iter()
        .flatten()
        .any(|one| text(one, "value") == value)
}

async fn refusals(stage: &mut Stage<'_>, ada: &mut Handset) -> Result<(), PlayError> {
    stage.title("What is refused")?;
    for (number, status, what) in [
        ("+4477009004*", 402, "a wildcard in a number"),
        ("+447700900499", 531, "a number of Beta's that nobody has"),
        ("+15550100", 516, "a number that ENUM does not know"),
    ] {
        let began = clock();
        let outcome = match ada
            .call(
                "POST",
                "/v1/search",
                json!({ "pairs": [{ "element": "USER_MOBILE_NUMBER", "text": number }] }),
            )
            .await
        {
            Err(HandsetError::Refused { answer, .. })
                if answer.pointer("/error/status") == Some(&json!(status)) =>
            {
                Ok(())
            }
            Ok(answer) => Err(format!("it was answered {answer}")),
            Err(error) => Err(error.to_string()),
        };
        stage.step(&format!("{what}: {status}"), began, outcome)?;
    }
    Ok(())
}

pub(super) struct Stage<'a> {
    out: &'a mut dyn Write,
    pub(super) federation: &'a mut Federation,
    held: usize,
    failed: Vec<String>,
}

impl Stage<'_> {
    pub(super) fn title(&mut self, title: &str) -> std::io::Result<()> {
        writeln!(self.out, "\n{title}")
    }

    pub(super) fn step<T>(
        &mut self,
        what: &str,
        began: Instant,
        outcome: Result<T, String>,
    ) -> std::io::Result<()> {
        let took = began.elapsed();
        match outcome {
            Ok(_) => {
                self.held += 1;
                writeln!(self.out, "  ok   {what}  ({})", shown(took))?;
            }
            Err(reason) => {
                writeln!(self.out, "  FAIL {what}: {reason}  ({})", shown(took))?;
                self.failed.push(format!("{what}: {reason}"));
            }
        }
        for operator in self.federation.operators_mut() {
            for line in heard(operator) {
                writeln!(self.out, "         {line}")?;
            }
        }
        Ok(())
    }
}

/// Who spoke to whom since the last step, out of the trails.
fn heard(operator: &mut Operator) -> Vec<String> {
    let mut lines = Vec::new();
    while let Ok(trail) = operator.trails.try_recv() {
        lines.push(format!("{}: {}", operator.name, in_one_line(&trail)));
    }
    lines
}

fn in_one_line(trail: &TrailRecord) -> String {
    let mut words = Vec::new();
    for step in &trail.steps {
        match &step.event {
            StepEvent::Received { request, from, .. } => words.push(format!("{request} from {from}")),
            StepEvent::Routed { decision, .. } => words.push(decision.clone()),
            StepEvent::Attempt {
                to, took, failure, ..
            } => match failure {
                None => words.push(format!("{to} answered in {}", shown(*took))),
                Some(failure) => words.push(failure.clone()),
            },
            StepEvent::Stored { reason } => words.push(format!("stored: {reason}")),
            StepEvent::Refused { reason } => words.push(format!("refused: {reason}")),
            StepEvent::Answered { outcome } => words.push(outcome.clone()),
            StepEvent::Checked { .. } | StepEvent::Note { .. } => {}
        }
    }
    words.join(" → ")
}

pub(super) fn said<T>(outcome: Result<T, HandsetError>) -> Result<T, String> {
    outcome.map_err(|error| error.to_string())
}

pub(super) fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn shown(took: Duration) -> String {
    format!("{:.1} ms", took.as_secs_f64() * 1000.0)
}

#[expect(clippy::disallowed_methods, reason = "the play times its steps for people")]
pub(super) fn clock() -> Instant {
    Instant::now()
}

pub(super) const ADA: &str = "+447700900123";
pub(super) const BEA: &str = "+447700900456";
pub(super) const HAL: &str = "+447700900223";
pub(super) const ISA: &str = "+447700900323";
