//! The one account of what happened to a request.
//!
//! All five stops write into it: listen, admit, route, deliver, answer. `impsgw trace` and `impsgw route` print it, the
//! console shows it, the CDR is cut from it. It never holds content.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{Service, Timestamp, WvAddress};

/// The identity of a trail, also the request's name in logs; shown as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TrailId(pub u64);

impl fmt::Display for TrailId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl From<TrailId> for String {
    fn from(id: TrailId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for TrailId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        u64::from_str_radix(&text, 16)
            .map(Self)
            .map_err(|_| format!("{text} is no trail ID: 16 hexadecimal digits"))
    }
}

/// A trail that is being written.
#[derive(Debug)]
pub struct Trail {
    id: TrailId,
    started: Timestamp,
    steps: Mutex<Vec<Step>>,
}

impl Trail {
    /// A new trail, with the time at which the request was read.
    #[must_use]
    pub fn new(id: TrailId, started: Timestamp) -> Self {
        Self {
            id,
            started,
            steps: Mutex::new(Vec::with_capacity(8)),
        }
    }

    /// Its identity.
    #[must_use]
    pub fn id(&self) -> TrailId {
        self.id
    }

    /// When the request was read.
    #[must_use]
    pub fn started(&self) -> Timestamp {
        self.started
    }

    /// Adds a step; past 512 steps the trail is full and drops what follows.
    pub fn add(&self, at: Timestamp, stop: Stop, event: StepEvent) {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        if steps.len() < MAX_STEPS {
            steps.push(Step {
                after: self.started.until(at),
                stop,
                event,
            });
        }
    }

    /// The steps so far, in the order in which they happened.
    #[must_use]
    pub fn steps(&self) -> Vec<Step> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether any step is a refusal or a failed attempt.
    #[must_use]
    pub fn has_failure(&self) -> bool {
        let steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        steps.iter().any(|step| match &step.event {
            StepEvent::Refused { .. } | StepEvent::Stored { .. } => true,
            StepEvent::Attempt { failure, .. } => failure.is_some(),
            StepEvent::Received { .. }
            | StepEvent::Checked { .. }
            | StepEvent::Routed { .. }
            | StepEvent::Note { .. }
            | StepEvent::Answered { .. } => false,
        })
    }

    /// The finished trail, to be kept; the steps move into it.
    #[must_use]
    pub fn record(&self) -> TrailRecord {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        TrailRecord {
            id: self.id,
            started: self.started,
            steps: std::mem::take(&mut *steps),
        }
    }
}

/// A trail as it is kept and shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrailRecord {
    /// Its identity.
    pub id: TrailId,
    /// When the request was read.
    pub started: Timestamp,
    /// What happened.
    pub steps: Vec<Step>,
}

/// One step of a trail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Since the request was read.
    pub after: Duration,
    /// Where.
    pub stop: Stop,
    /// What.
    pub event: StepEvent,
}

/// The five stops of a request (architecture §2).
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the five stops of the architecture page")]
pub enum Stop {
    Listen,
    Admit,
    Route,
    Deliver,
    Answer,
}

/// What happened at a stop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum StepEvent {
    /// A request was read.
    Received {
        /// The request's short name.
        request: String,
        /// The service it belongs to.
        service: Service,
        /// The side it came from: a peer's name, or `home`.
        from: String,
        /// The protocol it came in.
        protocol: String,
        /// On whose behalf.
        sender: Option<WvAddress>,
        /// For whom; the first 16.
        recipients: Vec<WvAddress>,
    },
    /// A clause was checked and holds.
    Checked {
        /// Which.
        clause: String,
    },
    /// A recipient's route was decided.
    Routed {
        /// Whose.
        recipient: WvAddress,
        /// Where to, in words.
        decision: String,
        /// How it came about.
        steps: Vec<RouteStep>,
    },
    /// A delivery was tried.
    Attempt {
        /// The serving domain or the home domain.
        to: String,
        /// The protocol.
        protocol: String,
        /// The server, when one was chosen.
        server: Option<String>,
        /// Since the attempt began.
        took: Duration,
        /// Why it failed; absent when the next hop has taken it.
        failure: Option<String>,
    },
    /// Committed to the store, to be delivered later.
    Stored {
        /// Why it could not go now.
        reason: String,
    },
    /// Refused.
    Refused {
        /// The operator's sentence.
        reason: String,
    },
    /// Anything worth knowing.
    Note {
        /// In words.
        text: String,
    },
    /// Answered to the side that asked.
    Answered {
        /// The outcome in words.
        outcome: String,
    },
}

/// One step of routing: a question, its answer, and where the answer came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteStep {
    /// What was asked, such as `NAPTR 3.2.1.….e164.arpa.` or `override 447700900`.
    pub question: String,
    /// Where the answer came from.
    pub source: FactSource,
    /// How long the answer is still valid; absent where it has no end.
    pub ttl: Option<Duration>,
    /// The answer: each record or finding in words.
    pub answer: Vec<String>,
    /// Each record passed over, and why.
    pub passed_over: Vec<String>,
}

/// Where a fact came from.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FactSource {
    /// Fresh from the cache.
    Cache,
    /// Asked for just now.
    Dns,
    /// Out of date, used because it can't be asked for now (RFC 8767).
    Stale,
    /// An operator's override.
    Override,
    /// The home domain's accounts or number ranges.
    Home,
    /// The configuration.
    Config,
}

const MAX_STEPS: usize = 512;
