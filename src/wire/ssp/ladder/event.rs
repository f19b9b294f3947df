//! What a ladder takes, what it gives back, and why it fails.
//!
//! Source: SSP reference §4.

use std::fmt;
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::wire::ssp::code::StatusCode;
use crate::wire::ssp::document::{Mode, SessionId};
use crate::wire::ssp::setup::SetupTransaction;

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// A step arrived that `Ladders` found to belong to this ladder.
    Received(Box<SetupTransaction>),
    /// How the post of a step ended, after all the peer's servers were tried.
    Delivered {
        /// The step of the `Output::Send`.
        step: Step,
        /// How it went.
        delivery: Delivery,
    },
    /// The HTTP answer to step 1 was flushed; the responder's delay counts from here when it is told.
    Acknowledged,
    /// We give up, for this reason; the peer is told.
    Abandoned(StatusCode),
    /// Time passed.
    Tick,
}

/// How the post of a step went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Delivery {
    /// HTTP 2xx.
    Accepted,
    /// Another status, or a connection that was closed without an answer.
    Refused,
    /// No server of the peer could be reached; the peer has not seen the step.
    Unreachable,
    /// The step was sent and nothing came back in time; the peer may have taken it.
    Unanswered,
}

/// What is to be done, in this order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Post this step to the peer's discovered URL and report with `Input::Delivered`. For `Step::Failure` no report is needed.
    Send {
        /// Names the step in the report.
        step: Step,
        /// The document.
        transaction: Box<SetupTransaction>,
    },
    /// `Input::Tick` is wanted then; replaces every earlier wish.
    WakeAt(Instant),
    /// Responder only: the peer may use the session as soon as it has the next step, so commit it first. Our own documents
    /// wait for `Established`; `Failed` voids it.
    Honour(Session),
    /// The session may be used both ways. The last output but for `WakeAt`.
    Established(Session),
    /// There is no session. The last output but for `WakeAt`.
    Failed(Failure),
}

/// An established session of one pair of domains.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Session {
    /// Goes into every document that we send.
    pub own_session_id: SessionId,
    /// Stands in every document that the peer sends.
    pub peer_session_id: SessionId,
    /// The shortest that either side announced; 0 from a peer counts as not announced.
    pub time_to_live: Duration,
}

/// Why a ladder ended without a session. All are transient for the messages that wait, but repeat with growing delay.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum Failure {
    /// No server of the peer could be reached.
    #[error("no server of the peer could be reached with {0}")]
    Unreachable(Step),
    /// The peer's server did not take a step.
    #[error(
        "the peer refused {0} without saying why; it may not know our domain or may have lost the handshake"
    )]
    Refused(Step),
    /// The peer failed the handshake with a `LoginResponse`.
    #[error("the peer failed the handshake with status {0}")]
    FailedByPeer(StatusCode),
    /// The peer sends us to other servers, in this order; ours, not seen in deployed peers.
    #[error("the peer redirects to {}", .0.join(", "))]
    Redirected(Vec<String>),
    /// The digest is not the one of our secret: somebody answers who did not receive it.
    #[error("the peer did not prove that it received our secret")]
    WrongDigest,
    /// A `LoginResponse` came before the digest was verified.
    #[error("the peer announced a session before it proved that it received our secret")]
    OutOfOrder,
    /// The peer announced no session ID, or one of another domain.
    #[error("the session ID of the peer is missing or not of its own domain")]
    BadSessionId,
    /// A setup primitive could not be read.
    #[error("the peer sent a setup step that can't be read")]
    Unreadable,
    /// The deadline passed.
    #[error("the peer did not go on with the handshake in time, it was waiting for {0}")]
    TimedOut(Waiting),
    /// The peer started again.
    #[error("the peer started a new handshake")]
    Superseded,
    /// We gave up, with this status to the peer.
    #[error("the handshake was given up with status {0}")]
    Abandoned(StatusCode),
}

/// The steps of one side, by their primitive.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Step {
    /// 1 or 2.
    SendSecretToken,
    /// 3 or 4.
    LoginRequest,
    /// 5 or 6.
    LoginResponse,
    /// A `LoginResponse` that fails the handshake.
    Failure,
}

/// What a ladder was waiting for when its time was up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Waiting {
    /// The peer's `SendSecretToken`.
    Secret,
    /// The peer's `LoginRequest`.
    Proof,
    /// The peer's `LoginResponse`.
    Session,
}

/// Which side opened the ladder.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Role {
    /// We did.
    Initiator,
    /// The peer did.
    Responder,
}

/// What the HTTP answer to a received step says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// 2xx. Also returned for inputs that are not received steps.
    Taken,
    /// Not 2xx: the step does not fit.
    Refused,
}

impl Role {
    pub(super) const fn mode(self) -> Mode {
        match self {
            Self::Initiator => Mode::Request,
            Self::Responder => Mode::Response,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SendSecretToken => "SendSecretToken",
            Self::LoginRequest => "LoginRequest",
            Self::LoginResponse | Self::Failure => "LoginResponse",
        })
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secret => "SendSecretToken",
            Self::Proof => "LoginRequest",
            Self::Session => "LoginResponse",
        })
    }
}
