//! What subscribers do: each becomes a request to the relay, in the address that others know them by.

mod contact;
mod group;
mod invite;
mod message;
mod people;
mod presence;
mod session;

pub(crate) use contact::{Added, NewContact, Wish};
pub(crate) use group::{GroupView, JoinedNow};
pub(crate) use invite::NewInvite;
pub(crate) use message::NewMessage;
pub(crate) use people::SettingsChange;
#[cfg(test)]
pub(crate) use session::LoggedIn;
pub(crate) use session::Moved;

use super::{HomeDomain, subscriber::Subscriber};
use crate::model::{Acceptance, Answer, InvalidAddress, Outcome, Refusal, WvAddress};

impl HomeDomain {
    /// Reads an address that a subscriber wrote; a user name alone is of his own domain.
    ///
    /// # Errors
    /// [`Refusal::InvalidAddress`], or [`Refusal::Wildcard`] for a number that is not whole.
    pub(crate) fn read_address(&self, subscriber: &Subscriber, text: &str) -> Result<WvAddress, Refusal> {
        let text = text.trim();
        let bare = text.strip_prefix("wv:").unwrap_or(text);
        if bare.starts_with('+') && !bare.contains(['@', '/']) {
            return super::incoming::number(bare).map(WvAddress::msisdn);
        }
        let invalid = |reason: String| Refusal::InvalidAddress {
            address: text.to_owned(),
            reason,
        };
        let address: WvAddress = text
            .parse()
            .map_err(|error: InvalidAddress| invalid(error.to_string()))?;
        if address.number().is_none() && address.domain().is_none() {
            return Ok(address.with_domain(Some(subscriber.domain.clone())));
        }
        Ok(address.canonical())
    }
}

/// The outcome for one person of a request that named him.
fn outcome_for(outcome: &Outcome, person: &WvAddress) -> Result<Acceptance, Refusal> {
    match outcome {
        Ok(answer) => match answer {
            Answer::Recipients(_) | Answer::Sent { .. } => answer
                .for_recipient(person)
                .cloned()
                .unwrap_or(Ok(Acceptance::Taken)),
            Answer::Done | Answer::Found(_) | Answer::Presence(_) | Answer::Group(_) => Ok(Acceptance::Taken),
        },
        Err(refusal) => Err(refusal.clone()),
    }
}

/// A request that was answered by something that does not answer it.
fn odd_answer() -> Refusal {
    Refusal::Internal {
        reason: "the answer does not fit the request".into(),
    }
}
