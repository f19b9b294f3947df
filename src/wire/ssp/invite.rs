//! Invitations, their answers and their withdrawal.
//!
//! An invitation gets a `Status` when it was passed on and, later, an `InviteResponse` when the person has decided.
//! Source: SSP reference §12.4 to §12.6.

use std::time::Duration;

use super::code::StatusCode;
use super::entity::{
    Entity, MetaInfo, ScreenName, application_id, group_id, write_application_id, write_group_id,
};
use super::flaw::Flaw;
use super::presence::{PresenceAttributeName, read_attribute_list, write_attribute_list};
use super::status::Status;
use super::xml::{Element, Wire, Writer, words};

words! {
    /// What the invitation is to.
    pub enum InviteType {
        /// Chat.
        Im = "IM",
        /// Join a group.
        GroupJoin = "GR",
        /// Become a member of a group.
        GroupMembership = "GM",
        /// Share presence.
        Presence = "PR",
        /// Use an application together.
        Application = "AP",
        /// Look at shared content.
        SharedContent = "SC",
        /// Extended conversation.
        ExtendedConversation = "EC",
        /// Extend to a group.
        ExtendGroup = "EG",
    }
}

/// An invitation of one party by another.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InviteRequest {
    /// Chosen by the inviting side.
    pub invite_id: String,
    /// What it is to; the observed peer aborts without it.
    pub invite_type: InviteType,
    /// How long it stands, in whole seconds; absent and 0 are read by peers as 24 hours.
    pub validity: Option<Duration>,
    /// On whose behalf.
    pub meta: Option<MetaInfo>,
    /// Who invites.
    pub inviting: Entity,
    /// Who is invited.
    pub invited: Entity,
    /// What belongs to the type of invitation.
    pub subject: InviteSubject,
    /// Text to the invited person. Wire: `InviteNote`.
    pub note: Option<String>,
    /// The inviter's name in the group.
    pub screen_name: Option<ScreenName>,
}

/// The answer of the invited person.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InviteResponse {
    /// Of the invitation.
    pub invite_id: String,
    /// Whether it is accepted.
    pub acceptance: bool,
    /// Some peers leave it out.
    pub meta: Option<MetaInfo>,
    /// 200 when accepted, 404 when not.
    pub status: Status,
    /// Who invited.
    pub inviting: Entity,
    /// Who answers.
    pub responding: Entity,
    /// Text to the inviter. Wire: `ResponseNote`.
    pub note: Option<String>,
    /// The answering person's name in the group.
    pub screen_name: Option<ScreenName>,
}

/// The withdrawal of an invitation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CancelInviteRequest {
    /// Of the invitation.
    pub invite_id: String,
    /// On whose behalf.
    pub meta: Option<MetaInfo>,
    /// Who withdraws.
    pub canceling: Entity,
    /// Who was invited.
    pub canceled: Entity,
    /// As in the invitation.
    pub subject: InviteSubject,
    /// Text to the invited person. Wire: `CancelNote`.
    pub note: Option<String>,
    /// The withdrawing person's name in the group.
    pub screen_name: Option<ScreenName>,
}

/// What an invitation is about, beyond its type.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct InviteSubject {
    /// The group; needed for `GR` and `GM`, else 429.
    pub group_id: Option<String>,
    /// The application; needed for `AP`, else 450.
    pub application_id: Option<String>,
    /// The presence attributes offered or wanted, for `PR`; `None` when no list came, an empty list means all.
    pub attributes: Option<Vec<PresenceAttributeName>>,
    /// URLs of shared content; needed for `SC`, else 400.
    pub content_urls: Vec<String>,
}

impl InviteResponse {
    /// The same answer with inviter and answerer in each other's place, for peers that write them so
    /// (`Profile::invite_roles_exchanged`).
    #[must_use]
    pub fn with_roles_exchanged(self) -> Self {
        Self {
            inviting: self.responding,
            responding: self.inviting,
            ..self
        }
    }
}

impl Wire for InviteRequest {
    const NAME: &'static str = "InviteRequest";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        Ok(Self {
            invite_id: element.required_attribute(Self::NAME, "inviteID")?,
            invite_type: InviteType::from_word(&element.required_attribute(Self::NAME, "inviteType")?),
            validity: element.seconds("validity"),
            meta: element.read_child()?,
            inviting: Entity::read_required(element, Self::NAME, "Inviting")?,
            invited: Entity::read_required(element, Self::NAME, "Invited")?,
            subject: InviteSubject::read(element),
            note: element.text_of("InviteNote"),
            screen_name: element.read_child()?,
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.attribute("inviteID", &self.invite_id);
        writer.attribute("inviteType", self.invite_type.as_word());
        writer.some_seconds("validity", self.validity);
        writer.some_wire(self.meta.as_ref());
        self.inviting.write_in(writer, "Inviting");
        self.invited.write_in(writer, "Invited");
        self.subject.write(writer);
        writer.some_text_element("InviteNote", self.note.as_deref());
        writer.some_wire(self.screen_name.as_ref());
    }
}

impl Wire for InviteResponse {
    const NAME: &'static str = "InviteResponse";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        let status = Status::read_in(element);
        let said = element.yes_or_no("acceptance");
        let acceptance =
            said.unwrap_or_else(|| status.as_ref().is_some_and(|status| status.code.is_success()));
        let implied = if acceptance {
            StatusCode::SUCCESS
        } else {
            StatusCode::NOT_FOUND
        };
        Ok(Self {
            invite_id: element.required_attribute(Self::NAME, "inviteID")?,
            acceptance,
            meta: element.read_child()?,
            status: status.unwrap_or_else(|| Status::new(implied)),
            inviting: Entity::read_required(element, Self::NAME, "Inviting")?,
            responding: Entity::read_required(element, Self::NAME, "Responding")?,
            note: element.text_of("ResponseNote"),
            screen_name: element.read_child()?,
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.attribute("inviteID", &self.invite_id);
        writer.yes_or_no("acceptance", self.acceptance);
        writer.some_wire(self.meta.as_ref());
        writer.wire(&self.status);
        self.inviting.write_in(writer, "Inviting");
        self.responding.write_in(writer, "Responding");
        writer.some_text_element("ResponseNote", self.note.as_deref());
        writer.some_wire(self.screen_name.as_ref());
    }
}

impl Wire for CancelInviteRequest {
    const NAME: &'static str = "CancelInviteRequest";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        Ok(Self {
            invite_id: element.required_attribute(Self::NAME, "inviteID")?,
            meta: element.read_child()?,
            canceling: Entity::read_required(element, Self::NAME, "Canceling")?,
            canceled: Entity::read_required(element, Self::NAME, "Canceled")?,
            subject: InviteSubject::read(element),
            note: element.text_of("CancelNote"),
            screen_name: element.read_child()?,
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.attribute("inviteID", &self.invite_id);
        writer.some_wire(self.meta.as_ref());
        self.canceling.write_in(writer, "Canceling");
        self.canceled.write_in(writer, "Canceled");
        self.subject.write(writer);
        writer.some_text_element("CancelNote", self.note.as_deref());
        writer.some_wire(self.screen_name.as_ref());
    }
}

impl InviteSubject {
    fn read(element: Element<'_, '_>) -> Self {
        let content = element.child("ContentIDList");
        let urls = content
            .into_iter()
            .flat_map(|list| list.children_named("ContentID"));
        Self {
            group_id: element.child("GroupID").and_then(group_id).map(str::to_owned),
            application_id: element
                .child("ApplicationID")
                .and_then(application_id)
                .map(str::to_owned),
            attributes: read_attribute_list(element),
            content_urls: urls
                .filter_map(|id| id.scalar("url"))
                .map(str::to_owned)
                .collect(),
        }
    }

    fn write(&self, writer: &mut Writer) {
        if let Some(group_id) = &self.group_id {
            write_group_id(writer, group_id);
        }
        if let Some(application_id) = &self.application_id {
            write_application_id(writer, application_id);
        }
        if let Some(attributes) = &self.attributes {
            write_attribute_list(writer, attributes);
        }
        if !self.content_urls.is_empty() {
            writer.element("ContentIDList", |writer| {
                for url in &self.content_urls {
                    writer.element("ContentID", |writer| writer.attribute("url", url));
                }
            });
        }
    }
}
