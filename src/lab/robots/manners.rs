//! What a robot does about an event: pure, so that it can be said in a test what follows from what.
//!
//! Nobody but the partner's people is answered: not another robot, which could go on for ever, and not a stranger whose
//! address somebody wrote under a message.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::cast::{CONSENT, FRIENDSHIP, GRANT, LATE, Manner};

/// A call of the subscriber API, and when it is made.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Step {
    /// How long after the event.
    pub(super) after: Duration,
    pub(super) method: &'static str,
    pub(super) path: String,
    /// `Null` for none.
    pub(super) body: Value,
}

/// What follows from an event on one of a robot's devices. `is_met` tells whether an address is one of the partner's people.
pub(super) fn reaction(
    manner: Manner,
    device: usize,
    (kind, event): (&str, &Value),
    mut is_met: impl FnMut(&str) -> bool,
) -> Vec<Step> {
    let mut steps = Vec::new();
    let inbox_id = event.get("inbox_id").and_then(Value::as_u64);
    if let Some(id) = inbox_id {
        let is_late = manner == Manner::ReportsLate && kind == "message";
        let after = if is_late { LATE } else { Duration::ZERO };
        steps.push(step(after, "POST", format!("/v1/inbox/{id}/ack"), Value::Null));
    }
    let text = |key: &str| event.get(key).and_then(Value::as_str).unwrap_or_default();
    match manner {
        Manner::Echoes if kind == "message" && is_met(text("from")) => {
            let mut message = json!({ "to": [text("from")], "report": true });
            for part in ["media_type", "text", "base64", "name", "conversation"] {
                if let (Some(value), Some(parts)) = (event.get(part), message.as_object_mut())
                    && !value.is_null()
                {
                    parts.insert(part.to_owned(), value.clone());
                }
            }
            steps.push(step(Duration::ZERO, "POST", "/v1/messages".into(), message));
        }
        Manner::HasDevices if kind == "message" && is_met(text("from")) => {
            let answer = format!("device {}: {}", device + 1, text("text"));
            let message = json!({ "to": [text("from")], "text": answer });
            steps.push(step(Duration::ZERO, "POST", "/v1/messages".into(), message));
        }
        Manner::Accepts | Manner::Declines if kind == "invitation" && is_met(text("by")) => {
            let path = format!("/v1/invitations/{}/answer", in_path(text("invitation_id")));
            let body = json!({ "accept": manner == Manner::Accepts });
            steps.push(step(Duration::ZERO, "POST", path, body));
        }
        Manner::AddsBack if kind == "notice" && is_met(text("by")) => {
            let contact = json!({ "address": text("by") });
            steps.push(step(Duration::ZERO, "POST", "/v1/contacts".into(), contact));
            let path = format!("/v1/contacts/{}", in_path(text("by")));
            steps.push(step(FRIENDSHIP, "DELETE", path, Value::Null));
        }
        Manner::Consents if kind == "watcher" && is_met(text("address")) => {
            let path = format!("/v1/grants/{}", in_path(text("address")));
            let rights = json!({ "attributes": SHOWN });
            steps.push(step(CONSENT, "PUT", path.clone(), rights));
            steps.push(step(CONSENT + GRANT, "DELETE", path, Value::Null));
        }
        Manner::Plain
        | Manner::Echoes
        | Manner::Away
        | Manner::Blocks
        | Manner::ReportsLate
        | Manner::AnswersLate
        | Manner::Consents
        | Manner::ChangesMood
        | Manner::HasDevices
        | Manner::Accepts
        | Manner::Declines
        | Manner::AddsBack => {}
    }
    steps
}

/// How often a robot speaks to one person, and to all: two robots of different houses that answer each other come to rest.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// When it spoke to whom, within [`WINDOW`]; as many as [`TO_ALL`].
    spoken: VecDeque<(Instant, String)>,
}

impl Patience {
    /// Whether it may speak to this person once more.
    pub(super) fn has_for(&mut self, person: &str, now: Instant) -> bool {
        let is_over = |(at, _): &(Instant, String)| now.saturating_duration_since(*at) >= WINDOW;
        while self.spoken.front().is_some_and(is_over) {
            self.spoken.pop_front();
        }
        let to_him = self.spoken.iter().filter(|(_, known)| known == person).count();
        let is_enough = self.spoken.len() >= TO_ALL || to_him >= TO_ONE;
        if !is_enough {
            self.spoken.push_back((now, person.to_owned()));
        }
        !is_enough
    }
}

/// What a robot shows to those who may see it.
pub(super) const SHOWN: [&str; 4] = ["OnlineStatus", "UserAvailability", "StatusText", "StatusMood"];

const WINDOW: Duration = Duration::from_secs(60);
/// Answers to one person within the window.
pub(super) const TO_ONE: usize = 60;
/// Answers to all within the window.
const TO_ALL: usize = 3000;

fn step(after: Duration, method: &'static str, path: String, body: Value) -> Step {
    Step {
        after,
        method,
        path,
        body,
    }
}

fn in_path(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Value {
        json!({ "inbox_id": 7, "from": "wv:+447700900601", "media_type": "text/plain", "text": "Hello", "base64": null })
    }

    #[test]
    fn echo_answers_once_with_the_same_and_acknowledges_first() {
        let steps = reaction(Manner::Echoes, 0, ("message", &message()), |_| true);
        let paths: Vec<_> = steps.iter().map(|step| step.path.as_str()).collect();
        assert_eq!(paths, ["/v1/inbox/7/ack", "/v1/messages"]);
        assert_eq!(
            steps[1].body,
            json!({ "to": ["wv:+447700900601"], "text": "Hello", "media_type": "text/plain", "report": true })
        );
    }

    #[test]
    fn no_manner_answers_a_stranger() {
        let events = [
            "message",
            "notice",
            "invitation",
            "watcher",
            "report",
            "presence",
            "ready",
            "unheard-of",
        ];
        for manner in [
            Manner::Plain,
            Manner::Echoes,
            Manner::Blocks,
            Manner::ReportsLate,
            Manner::AnswersLate,
            Manner::Consents,
            Manner::ChangesMood,
            Manner::HasDevices,
            Manner::Accepts,
            Manner::Declines,
            Manner::AddsBack,
        ] {
            for kind in events {
                for event in [
                    json!({ "from": "x", "by": "x", "address": "x", "inbox_id": 1 }),
                    Value::Null,
                    json!([]),
                ] {
                    let steps = reaction(manner, 0, (kind, &event), |_| false);
                    assert!(
                        steps.iter().all(|step| step.path.ends_with("/ack")),
                        "{manner:?} {kind}: {steps:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn late_is_late_with_messages_alone() {
        let after = |kind| reaction(Manner::ReportsLate, 0, (kind, &message()), |_| true)[0].after;
        assert_eq!((after("message"), after("notice")), (LATE, Duration::ZERO));
    }

    #[test]
    fn an_address_is_no_way_out_of_its_path() {
        let event = json!({ "address": "wv:a/../../b?c#d@charlie.example" });
        for step in reaction(Manner::Consents, 0, ("watcher", &event), |_| true) {
            assert_eq!(
                step.path,
                "/v1/grants/wv%3Aa%2F%2E%2E%2F%2E%2E%2Fb%3Fc%23d%40charlie%2Eexample"
            );
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a moment to count from")]
    fn patience_ends_with_one_person_and_comes_back() {
        let (mut patience, now) = (Patience::default(), Instant::now());
        let spoken = (0..100).filter(|_| patience.has_for("a", now)).count();
        assert_eq!(spoken, TO_ONE);
        assert!(patience.has_for("b", now), "somebody else is not kept waiting");
        assert!(patience.has_for("a", now + WINDOW));
        let spoken = (0..10_000)
            .filter(|n| patience.has_for(&n.to_string(), now + WINDOW))
            .count();
        assert!(spoken <= TO_ALL && patience.spoken.len() <= TO_ALL, "{spoken}");
    }
}
