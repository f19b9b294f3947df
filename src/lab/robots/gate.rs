//! The gate before a home domain: refuses what is for a refusing number, keeps everybody from the robot that blocks, and
//! lets the slow one be slow. Everything else passes as it is.
//!
//! A request for several people is divided, so that one refusal takes nothing from the others.

use std::sync::Arc;

use super::cast::{Manner, SLOW, refusal_of, robot_of};
use crate::{
    model::{Answer, Domain, Found, Protocol, RecipientOutcome, Refusal, Request, WvAddress},
    relay::{Delivery, Egress, Undelivered},
};

/// Stands before a home domain.
#[derive(Debug)]
pub(super) struct Gate(pub(super) Arc<dyn Egress>);

#[async_trait::async_trait]
impl Egress for Gate {
    fn protocol(&self) -> Protocol {
        self.0.protocol()
    }

    async fn deliver(&self, delivery: Delivery) -> Result<Answer, Undelivered> {
        let is_slow =
            |person: &WvAddress| robot_of(person).is_some_and(|robot| robot.manner == Manner::AnswersLate);
        if delivery.request.concerns().iter().any(is_slow) {
            tokio::time::sleep(SLOW).await;
        }
        match &delivery.request {
            Request::Search(_) => match delivery.request.concerns().first() {
                Some(person) if is_blocking(person) => Ok(Answer::Found(Found::default())),
                Some(person) => self.alone(person.clone(), delivery).await,
                None => self.0.deliver(delivery).await,
            },
            Request::Invite(invite) => self.alone(invite.invited.clone(), delivery).await,
            Request::CancelInvite(cancel) => self.alone(cancel.canceled.clone(), delivery).await,
            Request::Send(_)
            | Request::ContactAdded(_)
            | Request::Subscribe(_)
            | Request::Unsubscribe(_)
            | Request::GetPresence(_) => self.divided(delivery).await,
            Request::StopSearch { .. }
            | Request::Notify(_)
            | Request::Report(_)
            | Request::InviteAnswer(_)
            | Request::Group(_)
            | Request::GroupEvent(_) => self.0.deliver(delivery).await,
        }
    }
}

impl Gate {
    /// A request about one person.
    async fn alone(&self, person: WvAddress, delivery: Delivery) -> Result<Answer, Undelivered> {
        match refused(&person, &delivery.request, &delivery.domain) {
            Some(refusal) => Err(Undelivered::Refused(refusal)),
            None => self.0.deliver(delivery).await,
        }
    }

    /// A request about several: the answer for those who pass, together with that for those who don't.
    async fn divided(&self, mut delivery: Delivery) -> Result<Answer, Undelivered> {
        let mut outcomes = Vec::new();
        for person in delivery.request.recipients() {
            if let Some(refusal) = refused(person, &delivery.request, &delivery.domain) {
                outcomes.push(RecipientOutcome {
                    recipient: person.clone(),
                    outcome: Err(refusal),
                });
            }
        }
        let Some(first) = outcomes.first().and_then(|one| one.outcome.clone().err()) else {
            return self.0.deliver(delivery).await;
        };
        let is_message = matches!(delivery.request, Request::Send(_));
        let is_look = matches!(delivery.request, Request::GetPresence(_));
        if !keep_others(&mut delivery.request, &outcomes) {
            return match (is_message, is_look) {
                (_, true) => Err(Undelivered::Refused(first)),
                (true, false) => Ok(Answer::Sent {
                    id: None,
                    recipients: outcomes,
                }),
                (false, false) => Ok(Answer::Recipients(outcomes)),
            };
        }
        Ok(match self.0.deliver(delivery).await? {
            Answer::Sent { id, mut recipients } => {
                recipients.extend(outcomes);
                Answer::Sent { id, recipients }
            }
            Answer::Recipients(mut recipients) => {
                recipients.extend(outcomes);
                Answer::Recipients(recipients)
            }
            // Who is looked at and refused is left out of what is seen of the others.
            other @ (Answer::Presence(_) | Answer::Done | Answer::Found(_) | Answer::Group(_)) => other,
        })
    }
}

/// Takes those who are refused out of a request for several people; whether anybody is left.
fn keep_others(request: &mut Request, refused: &[RecipientOutcome]) -> bool {
    let people = match request {
        Request::Send(message) => &mut message.recipients,
        Request::ContactAdded(notice) => &mut notice.added,
        Request::Subscribe(subscribe) => &mut subscribe.presentities,
        Request::Unsubscribe(unsubscribe) => &mut unsubscribe.presentities,
        Request::GetPresence(get) => &mut get.presentities,
        Request::Search(_)
        | Request::StopSearch { .. }
        | Request::Notify(_)
        | Request::Report(_)
        | Request::Invite(_)
        | Request::InviteAnswer(_)
        | Request::CancelInvite(_)
        | Request::Group(_)
        | Request::GroupEvent(_) => return true,
    };
    people.retain(|person| !refused.iter().any(|one| one.recipient == *person));
    !people.is_empty()
}

/// Why a request does not reach this person.
fn refused(person: &WvAddress, request: &Request, domain: &Domain) -> Option<Refusal> {
    if let Some(status) = refusal_of(person) {
        return Some(Refusal::Remote {
            domain: domain.clone(),
            status,
            text: "refused on purpose".into(),
        });
    }
    // Who is blocked may watch, and sees nothing.
    let is_kept_out = matches!(request, Request::Send(_) | Request::Invite(_)) && is_blocking(person);
    is_kept_out.then(|| Refusal::Blocked {
        recipient: person.clone(),
    })
}

fn is_blocking(person: &WvAddress) -> bool {
    robot_of(person).is_some_and(|robot| robot.manner == Manner::Blocks)
}
