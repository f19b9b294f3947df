//! How patient a ladder is, and the fresh random material that one ladder needs.
//!
//! The delays exist for a deployed peer whose record of its own first step is not visible at once: an answer that comes too
//! early is refused and must be repeated with the same secret, because that peer never starts again by itself.
//! Source: SSP reference §4.2, §4.4, §4.6.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Delivery, Role, Step};
use crate::wire::ssp::digest::Secret;
use crate::wire::ssp::document::{SessionId, TransactionId};
use crate::wire::ssp::profile::Profile;

/// The times of one ladder.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Settings {
    /// From the first step to the end, in either role; 30 to 60 s.
    pub deadline: Duration,
    /// How long the responder's first step waits after the acknowledgement; 500 ms for peers that need it, else 0.
    pub answer_delay: Duration,
    /// Whether the responder's first step is repeated when the peer refuses it, not only when it can't be reached.
    pub repeats_refused_answer: bool,
    /// The life that we announce for the session.
    pub time_to_live: Duration,
    /// Whether the peer's first step says which of our domains it is for, by the name that its connection asks for; then several
    /// ladders towards it may wait for its secret at once.
    pub tells_names_apart: bool,
}

/// What is fresh for each ladder. The random parts come from a CSPRNG and are never used twice.
#[derive(Clone)]
pub struct Token {
    /// The initiator's ID of the whole ladder, or the responder's ID of its first step.
    pub transaction_id: TransactionId,
    /// 128 random bits; becomes the secret as 32 hexadecimal digits.
    pub secret: [u8; 16],
    /// 128 random bits; becomes the session ID, 32 hexadecimal digits before `@<own domain>`.
    pub session: [u8; 16],
}

impl Settings {
    /// The times that suit a peer of this profile, with a deadline of 45 s and a life of one day.
    pub const fn for_profile(profile: &Profile) -> Self {
        let delayed = profile.delays_handshake_answer;
        Self {
            deadline: Duration::from_secs(45),
            answer_delay: if delayed {
                Duration::from_millis(500)
            } else {
                Duration::ZERO
            },
            repeats_refused_answer: delayed,
            time_to_live: Duration::from_secs(86_400),
            tells_names_apart: false,
        }
    }

    pub(super) const fn repeats_when(&self, role: Role, step: Step, delivery: Delivery) -> bool {
        match (role, step, delivery) {
            // A failed step 1 ends the attempt: the next one has a new ID and a new secret.
            (Role::Initiator, Step::SendSecretToken, _) => false,
            (_, _, Delivery::Unreachable) => true,
            (Role::Responder, Step::SendSecretToken, Delivery::Refused) => self.repeats_refused_answer,
            (_, _, Delivery::Accepted | Delivery::Refused | Delivery::Unanswered) => false,
        }
    }

    pub(super) fn repeat_delay(&self, repeats: usize) -> Duration {
        REPEAT_DELAYS.get(repeats).copied().unwrap_or(LAST_REPEAT_DELAY)
    }
}

impl Token {
    pub(super) fn into_parts(self, own_domain: &str) -> (Secret, SessionId, TransactionId) {
        let session_id = SessionId::new(format!("{}@{own_domain}", hex(&self.session)));
        (Secret::new(hex(&self.secret)), session_id, self.transaction_id)
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token")
            .field("transaction_id", &self.transaction_id)
            .finish_non_exhaustive()
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::for_profile(&Profile::STRICT)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// After the fifth the last one repeats until the deadline.
const REPEAT_DELAYS: [Duration; 4] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];
const LAST_REPEAT_DELAY: Duration = Duration::from_secs(8);
