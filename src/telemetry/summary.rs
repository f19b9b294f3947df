//! A request in 200 octets or less: kept for weeks, when the full trail is gone or was never kept.

use std::fmt::Write as _;

use serde::Serialize;

use crate::model::{StepEvent, Timestamp, TrailId, TrailRecord};

/// What is left of a request.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct TrailSummary {
    /// The trail's identity.
    pub id: TrailId,
    /// When the request was read.
    pub started: Timestamp,
    /// The side it came from.
    pub from: String,
    /// The request's short name.
    pub request: String,
    /// On whose behalf; cut at 48 octets.
    pub sender: String,
    /// The first recipient; cut at 48 octets.
    pub recipient: String,
    /// `done`, `stored`, or the refusal; cut.
    pub outcome: String,
}

impl TrailSummary {
    /// The summary of a trail.
    #[must_use]
    pub fn of(trail: &TrailRecord) -> Self {
        let mut summary = Self {
            id: trail.id,
            started: trail.started,
            from: String::new(),
            request: String::new(),
            sender: String::new(),
            recipient: String::new(),
            outcome: "done".into(),
        };
        for step in &trail.steps {
            match &step.event {
                StepEvent::Received {
                    request,
                    from,
                    sender,
                    recipients,
                    ..
                } => {
                    summary.from = cut(from, 16);
                    summary.request = cut(request, 16);
                    summary.sender = sender
                        .as_ref()
                        .map(|one| cut(&one.to_string(), 48))
                        .unwrap_or_default();
                    let first = recipients.first().map(ToString::to_string);
                    summary.recipient = first.map(|one| cut(&one, 48)).unwrap_or_default();
                }
                StepEvent::Stored { .. } => summary.outcome = "stored".into(),
                StepEvent::Refused { reason } => summary.outcome = reason.clone(),
                StepEvent::Checked { .. }
                | StepEvent::Routed { .. }
                | StepEvent::Attempt { .. }
                | StepEvent::Note { .. }
                | StepEvent::Answered { .. } => {}
            }
        }
        let room = MAX_LINE.saturating_sub(summary.octets_without_outcome());
        summary.outcome = cut(&summary.outcome, room);
        summary
    }

    /// As one line, without its end.
    pub fn line(&self) -> String {
        let mut line = String::with_capacity(MAX_LINE + 1);
        // Writing to a String cannot fail.
        let _ = write!(
            line,
            "{}\t{}\t{}\t{}\t{}\t{}\t{}",
            self.id, self.started.0, self.from, self.request, self.sender, self.recipient, self.outcome
        );
        line
    }

    /// Reads a line; `None` when it is damaged.
    pub fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split('\t');
        let mut next = || fields.next().map(str::to_owned);
        Some(Self {
            id: TrailId::try_from(next()?).ok()?,
            started: Timestamp(next()?.parse().ok()?),
            from: next()?,
            request: next()?,
            sender: next()?,
            recipient: next()?,
            outcome: next()?,
        })
    }

    fn octets_without_outcome(&self) -> usize {
        let digits = self.started.0.checked_ilog10().unwrap_or(0) as usize + 1;
        let fields = [&self.from, &self.request, &self.sender, &self.recipient];
        ID_DIGITS + digits + FIELD_ENDS + fields.into_iter().map(String::len).sum::<usize>()
    }
}

/// At most so many octets, in whole characters, without tabs and line ends.
fn cut(text: &str, most: usize) -> String {
    if text.len() <= most && text.bytes().all(|octet| (b' '..0x7f).contains(&octet)) {
        return text.to_owned();
    }
    let mut kept = String::new();
    for c in text.chars() {
        let c = if c.is_control() { ' ' } else { c };
        if kept.len() + c.len_utf8() > most {
            break;
        }
        kept.push(c);
    }
    kept
}

/// With its end a line has 200 octets at most.
const MAX_LINE: usize = 199;
/// A trail's ID in hexadecimal digits.
const ID_DIGITS: usize = 16;
/// The tabs before the outcome.
const FIELD_ENDS: usize = 6;
