//! Invitations that subscribers make, answer and withdraw.

use std::{sync::Arc, time::Duration};

use super::super::{
    HomeDomain, damaged,
    incoming::{Invited, MAX_NOTE, joins, not_known},
    secret,
    subscriber::Subscriber,
    text,
};
use crate::{
    model::{
        Answer, AttributeName, CancelInvite, Invite, InviteAnswer, InviteId, InviteType, Refusal, Request,
        WvAddress,
    },
    relay::RequestKey,
    store::{Batch, Space},
};

/// An invitation as the subscriber makes it.
#[derive(Clone, Debug)]
pub(crate) struct NewInvite {
    pub(crate) to: WvAddress,
    pub(crate) kind: InviteType,
    pub(crate) group: Option<WvAddress>,
    pub(crate) application: Option<String>,
    pub(crate) attributes: Vec<AttributeName>,
    pub(crate) content_urls: Vec<String>,
    pub(crate) note: Option<String>,
    pub(crate) screen_name: Option<String>,
    pub(crate) validity: Option<Duration>,
}

impl HomeDomain {
    /// Invites somebody; the answer comes as an event.
    ///
    /// # Errors
    /// The refusal of the invited person's side; then the invitation does not stand.
    pub(crate) async fn invite(&self, subscriber: &Subscriber, new: NewInvite) -> Result<InviteId, Refusal> {
        let is_to_join = joins(new.kind);
        if is_to_join && !new.group.as_ref().is_some_and(WvAddress::is_group) {
            return Err(Refusal::BadRequest {
                reason: "an invitation to a group names it".into(),
            });
        }
        let id: InviteId = secret::random_text().parse().map_err(|_| super::odd_answer())?;
        let now = self.clock.now();
        let validity = self.config.limits.validity(new.validity);
        let row = Invited {
            id: id.clone(),
            other: new.to.clone(),
            group: new.group.clone(),
            is_to_join,
            expires: now.plus(validity),
        };
        if is_to_join {
            self.open_to_invited(subscriber, &row).await?;
        }
        let key = Invited::by_him(&subscriber.number, id.as_str());
        let value = serde_json::to_vec(&row).map_err(damaged)?;
        // Before the request goes out: the answer may come back before ours does.
        self.commit(Batch::new(now).put(Space::Home, &key, value, Some(row.expires)))
            .await?;
        let invite = Invite {
            id: id.clone(),
            kind: new.kind,
            validity: Some(validity),
            inviting: subscriber.identity(),
            invited: new.to,
            group: new.group,
            application: new.application.map(|text| text::line(&text, MAX_NOTE)),
            attributes: new.attributes,
            content_urls: new.content_urls,
            note: new.note.map(|note| text::line(&note, MAX_NOTE)),
            screen_name: new.screen_name.map(|name| text::line(&name, MAX_NOTE)),
        };
        let request_key = RequestKey {
            id: id.to_string(),
            is_transaction: false,
            hash: [0; 16],
        };
        let outcome = self
            .ask(&subscriber.domain, Some(request_key), Request::Invite(invite))
            .await;
        if let Err(refusal) = only_refusal(outcome) {
            self.commit(Batch::new(now).remove(Space::Home, key)).await?;
            self.forget_invited(row.group.as_ref(), &row.other).await?;
            return Err(refusal);
        }
        Ok(id)
    }

    /// Answers an invitation; who accepts one to a group has joined it when this returns.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when it does not stand; the refusal of the inviting side or of the group, and then it may be
    /// answered again.
    pub(crate) async fn answer_invitation(
        &self,
        subscriber: &Arc<Subscriber>,
        id: &InviteId,
        is_accepted: bool,
        (note, screen_name): (Option<String>, Option<String>),
    ) -> Result<(), Refusal> {
        let row = Invited::to_him(&subscriber.number, id.as_str());
        let invited = self.invitation(&row).await?.ok_or_else(|| not_known(id))?;
        let request = Request::InviteAnswer(InviteAnswer {
            id: invited.id,
            accepted: is_accepted,
            inviting: invited.other,
            responding: subscriber.identity(),
            note: note.map(|note| text::line(&note, MAX_NOTE)),
            screen_name: screen_name.as_deref().map(|name| text::line(name, MAX_NOTE)),
        });
        only_refusal(self.ask(&subscriber.domain, None, request).await)?;
        if let Some(group) = invited.group.filter(|_| is_accepted && invited.is_to_join) {
            self.join_group(subscriber, &group, (screen_name, Some(id)))
                .await?;
        }
        self.commit(Batch::new(self.clock.now()).remove(Space::Home, row))
            .await
    }

    /// Withdraws an invitation.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when it does not stand; the refusal of the invited side.
    pub(crate) async fn cancel_invitation(
        &self,
        subscriber: &Subscriber,
        id: &InviteId,
        note: Option<String>,
    ) -> Result<(), Refusal> {
        let row = Invited::by_him(&subscriber.number, id.as_str());
        let inviting = self.invitation(&row).await?.ok_or_else(|| not_known(id))?;
        self.forget_invited(inviting.group.as_ref(), &inviting.other)
            .await?;
        let request = Request::CancelInvite(CancelInvite {
            id: inviting.id,
            canceling: subscriber.identity(),
            canceled: inviting.other,
            group: inviting.group,
            note: note.map(|note| text::line(&note, MAX_NOTE)),
            screen_name: None,
        });
        only_refusal(self.ask(&subscriber.domain, None, request).await)?;
        self.commit(Batch::new(self.clock.now()).remove(Space::Home, row))
            .await
    }
}

/// A request to one person: his refusal is the request's.
fn only_refusal(outcome: Result<Answer, Refusal>) -> Result<(), Refusal> {
    match outcome? {
        Answer::Recipients(recipients) | Answer::Sent { recipients, .. } => {
            recipients.into_iter().try_for_each(|one| one.outcome.map(|_| ()))
        }
        Answer::Done | Answer::Found(_) | Answer::Presence(_) | Answer::Group(_) => Ok(()),
    }
}
