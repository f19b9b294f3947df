//! What the relay brings for our subscribers; each request is carried out here and answered at once.
//!
//! The last hop: a message is taken when it is committed to the inbox. Requests that name several people are answered
//! person by person.

mod group;
mod invite;
mod message;
mod notice;
mod presence;
mod search;

pub(crate) use group::shown;
pub(crate) use invite::{Invited, MAX_NOTE, joins, not_known};
pub(crate) use message::new_message_id;
pub(crate) use search::{KeptSearches, number};

use std::sync::Arc;

use super::{HomeDomain, subscriber::Subscriber};
use crate::{
    model::{Acceptance, Answer, Outcome, Protocol, RecipientOutcome, Refusal, Request, WvAddress},
    relay::{Delivery, Egress, Undelivered},
};

#[async_trait::async_trait]
impl Egress for HomeDomain {
    fn protocol(&self) -> Protocol {
        Protocol::Home
    }

    async fn deliver(&self, delivery: Delivery) -> Result<Answer, Undelivered> {
        self.bring(delivery.request).await
    }
}

impl HomeDomain {
    /// Brings a request for our subscribers.
    ///
    /// # Errors
    /// [`Undelivered`]; never that the outcome is unknown.
    pub(super) async fn bring(&self, request: Request) -> Result<Answer, Undelivered> {
        let outcome = self.carry_out(request).await;
        outcome.map_err(|refusal| {
            if matches!(
                refusal,
                Refusal::Internal { .. } | Refusal::StoreUnavailable { .. }
            ) {
                // Our own store failed: nothing was taken, and it is worth trying again.
                Undelivered::NotTaken(refusal)
            } else {
                Undelivered::Refused(refusal)
            }
        })
    }

    async fn carry_out(&self, request: Request) -> Outcome {
        match request {
            Request::Search(search) => self.found(&search).map(Answer::Found),
            Request::StopSearch { by, cursor } => {
                self.searches().stop(&self.person(&by), &cursor.id);
                Ok(Answer::Done)
            }
            Request::ContactAdded(notice) => self.contact_was_added(notice).await,
            Request::Subscribe(subscribe) => self.watch(subscribe).await,
            Request::Unsubscribe(unsubscribe) => self.unwatch(unsubscribe).await,
            Request::GetPresence(get) => self.presence_for(&get),
            Request::Notify(notification) => Ok(self.notified(notification)),
            Request::Send(message) => self.message(message).await,
            Request::Report(report) => self.reported(report).await,
            Request::Invite(invite) => self.invited(invite).await,
            Request::InviteAnswer(answer) => self.invitation_answered(answer).await,
            Request::CancelInvite(cancel) => self.invitation_cancelled(cancel).await,
            Request::Group(request) => self.asked_of_group(request).await,
            Request::GroupEvent(event) => Ok(self.group_happened(event).await),
        }
    }

    /// The subscriber whom a request is for.
    fn recipient(&self, address: &WvAddress) -> Result<Arc<Subscriber>, Refusal> {
        self.active(address).ok_or_else(|| Refusal::UnknownUser {
            recipient: address.clone(),
        })
    }

    /// As [`HomeDomain::recipient`], unless he has blocked the sender.
    fn open_recipient(&self, address: &WvAddress, sender: &WvAddress) -> Result<Arc<Subscriber>, Refusal> {
        let subscriber = self.recipient(address)?;
        if subscriber
            .state()
            .relations
            .blocks
            .contains_key(&self.person(sender))
        {
            return Err(Refusal::Blocked {
                recipient: address.clone(),
            });
        }
        Ok(subscriber)
    }
}

/// Taken, or why not.
fn outcome(recipient: WvAddress, result: Result<(), Refusal>) -> RecipientOutcome {
    RecipientOutcome {
        recipient,
        outcome: result.map(|()| Acceptance::Taken),
    }
}
