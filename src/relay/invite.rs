//! Invitations, their answers and cancellations: answered or failed, never stored.

use super::{Ingress, Relay, journal::Charge, repeat::Begun};
use crate::{
    model::{
        Acceptance, Answer, CancelInvite, Invite, InviteAnswer, Outcome, RecipientOutcome, Request, WvAddress,
    },
    routing::RouteService,
    store::Batch,
};

impl Relay {
    /// Passes an invitation on; success means that it was passed on, not that it is accepted.
    pub(super) async fn invite(&self, ingress: &Ingress, invite: Invite) -> Outcome {
        let invited = invite.invited.clone();
        match self.begin(ingress, "invite", &invited).await? {
            Begun::Fresh(_progress) => {
                let outcome = self.pass_on(ingress, &invited, Request::Invite(invite)).await;
                let one = RecipientOutcome {
                    recipient: invited,
                    outcome: outcome.as_ref().map(|_| Acceptance::Taken).map_err(Clone::clone),
                };
                let batch = Batch::new(self.now());
                let batch = self.record(batch, ingress, "invite", &one, Charge::default())?;
                if let Err(error) = self.commit_outcomes(batch).await {
                    tracing::error!(%error, "an invitation could not be recorded; a repeat of it will be passed on");
                }
                outcome
            }
            Begun::Repeat(outcome) => outcome.map(|_| Answer::Done),
        }
    }

    /// Brings the answer to whoever invited.
    pub(super) async fn answer_invite(&self, ingress: &Ingress, mut answer: InviteAnswer) -> Outcome {
        if let Some(asked) = self
            .asked_name(ingress, &answer.responding, &answer.inviting)
            .await?
        {
            answer.responding = asked;
        }
        let inviting = answer.inviting.clone();
        self.pass_on(ingress, &inviting, Request::InviteAnswer(answer))
            .await
    }

    /// Tells the invited person that the invitation is withdrawn.
    pub(super) async fn cancel_invite(&self, ingress: &Ingress, cancel: CancelInvite) -> Outcome {
        let canceled = cancel.canceled.clone();
        self.pass_on(ingress, &canceled, Request::CancelInvite(cancel))
            .await
    }

    /// One request to one person, answered or failed.
    pub(super) async fn pass_on(&self, ingress: &Ingress, person: &WvAddress, request: Request) -> Outcome {
        let deadline = ingress.trail.started().plus(self.config.query_timeout);
        let target = self.target(ingress, person, RouteService::Im).await?;
        let answer = self.forward(ingress, &target, request, deadline).await?;
        match answer.for_recipient(person) {
            Some(Err(refusal)) => Err(refusal.clone()),
            Some(Ok(_)) | None => Ok(answer),
        }
    }
}
