//! Invitations for subscribers (SSP reference §12.4 to §12.6), the answers to theirs, and withdrawals.
//!
//! An invitation is a row beside its event, so that it can be answered by its ID until it expires; only the person who was
//! invited answers, only the person who invited withdraws.

use serde::{Deserialize, Serialize};

use super::super::{
    HomeDomain, KEPT,
    arrival::{Arriving, digest_text, identity},
    event::{self, Event},
    text,
};
use crate::{
    model::{
        Answer, CancelInvite, E164, Invite, InviteAnswer, InviteId, InviteType, Outcome, Refusal, Timestamp,
        WvAddress,
    },
    store::{Batch, Space},
};

/// An invitation that may still be answered (`Space::Home`, key `invited/number/…` or `inviting/number/…`).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Invited {
    pub(crate) id: InviteId,
    /// The other person.
    pub(crate) other: WvAddress,
    pub(crate) group: Option<WvAddress>,
    /// Whether accepting it is joining the group.
    #[serde(default)]
    pub(crate) is_to_join: bool,
    pub(crate) expires: Timestamp,
}

impl Invited {
    /// The row of an invitation to a subscriber.
    pub(crate) fn to_him(number: &E164, id: &str) -> String {
        format!("invited/{number}/{}", digest_text(id))
    }

    /// The row of an invitation by a subscriber.
    pub(crate) fn by_him(number: &E164, id: &str) -> String {
        format!("inviting/{number}/{}", digest_text(id))
    }
}

impl HomeDomain {
    /// Brings an invitation; success means that he has it, not that he accepts.
    pub(super) async fn invited(&self, invite: Invite) -> Outcome {
        let subscriber = self.open_recipient(&invite.invited, &invite.inviting)?;
        let expires = self
            .clock
            .now()
            .plus(self.config.limits.validity(invite.validity));
        let is_to_join = joins(invite.kind);
        if is_to_join && !invite.group.as_ref().is_some_and(WvAddress::is_group) {
            return Err(Refusal::BadRequest {
                reason: "an invitation to a group names it".into(),
            });
        }
        let row = Invited {
            id: invite.id.clone(),
            other: invite.inviting.clone(),
            group: invite.group.clone(),
            is_to_join,
            expires,
        };
        let row = (
            Invited::to_him(&subscriber.number, invite.id.as_str()),
            serde_json::to_vec(&row).map_err(super::super::damaged)?,
        );
        let repeat = identity(
            &subscriber.number,
            "invite",
            &self.person(&invite.inviting),
            invite.id.as_str(),
        );
        let event = Event::Invitation {
            invitation_id: invite.id.to_string(),
            kind: invite.kind,
            by: invite.inviting.canonical(),
            group: invite.group,
            application: invite.application.map(|text| text::line(&text, MAX_NOTE)),
            attributes: invite.attributes,
            content_urls: invite.content_urls.into_iter().take(MAX_URLS).collect(),
            note: invite.note.map(|note| text::line(&note, MAX_NOTE)),
            screen_name: invite.screen_name.map(|name| text::line(&name, MAX_NOTE)),
            expires_at: event::time(expires),
        };
        let arriving = Arriving {
            identity: Some(repeat),
            rows: vec![row],
            ..Arriving::new(&subscriber, event, expires)
        };
        self.take_in(vec![arriving])
            .await
            .into_iter()
            .collect::<Result<(), _>>()?;
        Ok(Answer::Done)
    }

    /// Brings the answer to an invitation of a subscriber's.
    pub(super) async fn invitation_answered(&self, answer: InviteAnswer) -> Outcome {
        let subscriber = self.recipient(&answer.inviting)?;
        let row = Invited::by_him(&subscriber.number, answer.id.as_str());
        let known = self.invitation(&row).await?;
        let responding = self.person(&answer.responding);
        let Some(known) = known.filter(|known| self.person(&known.other) == responding) else {
            return Err(not_known(&answer.id));
        };
        if !answer.accepted {
            self.forget_invited(known.group.as_ref(), &known.other).await?;
        }
        let repeat = identity(
            &subscriber.number,
            "invite-answer",
            &row,
            &answer.accepted.to_string(),
        );
        let event = Event::InvitationAnswer {
            invitation_id: answer.id.to_string(),
            by: answer.responding.canonical(),
            is_accepted: answer.accepted,
            note: answer.note.map(|note| text::line(&note, MAX_NOTE)),
            screen_name: answer.screen_name.map(|name| text::line(&name, MAX_NOTE)),
        };
        let arriving = Arriving {
            identity: Some(repeat),
            ..Arriving::new(&subscriber, event, self.clock.now().plus(KEPT))
        };
        self.take_in(vec![arriving])
            .await
            .into_iter()
            .collect::<Result<(), _>>()?;
        Ok(Answer::Done)
    }

    /// Tells a subscriber that an invitation was withdrawn; it can't be answered any more.
    pub(super) async fn invitation_cancelled(&self, cancel: CancelInvite) -> Outcome {
        let subscriber = self.recipient(&cancel.canceled)?;
        let row = Invited::to_him(&subscriber.number, cancel.id.as_str());
        let known = self.invitation(&row).await?;
        let is_his = known.is_some_and(|known| self.person(&known.other) == self.person(&cancel.canceling));
        if !is_his {
            return Err(not_known(&cancel.id));
        }
        let event = Event::InvitationCancelled {
            invitation_id: cancel.id.to_string(),
            by: cancel.canceling.canonical(),
            note: cancel.note.map(|note| text::line(&note, MAX_NOTE)),
        };
        let arriving = Arriving::new(&subscriber, event, self.clock.now().plus(KEPT));
        self.take_in(vec![arriving])
            .await
            .into_iter()
            .collect::<Result<(), _>>()?;
        self.commit(Batch::new(self.clock.now()).remove(Space::Home, row))
            .await?;
        Ok(Answer::Done)
    }

    /// An invitation that stands.
    pub(crate) async fn invitation(&self, row: &str) -> Result<Option<Invited>, Refusal> {
        let now = self.clock.now();
        let row = self
            .store
            .row(Space::Home, row, now)
            .await
            .map_err(super::super::refused)?;
        Ok(row.and_then(|row| serde_json::from_slice(&row.value).ok()))
    }
}

/// Whether who accepts such an invitation joins the group that it names.
pub(crate) fn joins(kind: InviteType) -> bool {
    match kind {
        InviteType::Group | InviteType::ExtendGroup => true,
        InviteType::Chat
        | InviteType::GroupMembership
        | InviteType::Presence
        | InviteType::Application
        | InviteType::SharedContent
        | InviteType::ExtendedConversation => false,
    }
}

/// The refusal for an invitation that is not there, or not anymore.
pub(crate) fn not_known(id: &InviteId) -> Refusal {
    Refusal::NotFound {
        what: format!("invitation {id}"),
    }
}

/// Characters of a note.
pub(crate) const MAX_NOTE: usize = 512;
const MAX_URLS: usize = 16;
