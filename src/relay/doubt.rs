//! What may have arrived though nobody said so: it goes again where that is harmless or likely to be needed, and its sender is never
//! told that it was not delivered.
//!
//! The store keeps `unanswered` of an item for which a repeat may be wrong. Where the peer most likely has not got it (it closed the
//! connection without an answer, or the gateway ended amid the attempt), another attempt is worth more than the risk of a second
//! copy; then what is said of the attempt remembers it, and so does what is said of all that follow.

use crate::{model::Refusal, store::OutboxItem};

/// Whether an attempt before may have brought it to the peer.
pub(super) fn may_have_arrived(item: &OutboxItem) -> bool {
    let is_said = |failure: &String| failure.contains(MAY_HAVE_ARRIVED);
    item.unanswered || item.last_failure.as_ref().is_some_and(is_said)
}

/// What is said of an attempt that came to nothing, with what must not be forgotten of those before it.
pub(super) fn failure_after(item: &OutboxItem, refusal: &Refusal) -> String {
    let failure = refusal.to_string();
    if may_have_arrived(item) && !failure.contains(MAY_HAVE_ARRIVED) {
        format!("{failure}; before that, {MAY_HAVE_ARRIVED}")
    } else {
        failure
    }
}

/// In the words about an attempt.
pub(super) const MAY_HAVE_ARRIVED: &str = "it may have arrived";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_about_an_attempt_that_may_have_arrived_say_so() {
        let refusal = Refusal::Dropped {
            domain: "beta.example".parse().unwrap(),
            reason: "reset".into(),
        };
        assert!(refusal.to_string().contains(MAY_HAVE_ARRIVED));
        assert!(crate::relay::outbox::ENDED_AMID.contains(MAY_HAVE_ARRIVED));
    }
}
