//! "Added to a contact list": tells a person of another operator. The shape is ours.
//!
//! Source: `ssp-extensions.md`.

use super::entity::{MetaInfo, required_user_ids, write_user_ids};
use super::flaw::Flaw;
use super::xml::{Element, Wire, Writer, words};

words! {
    /// What happened.
    pub enum NotificationType {
        /// The requesting user has added the named users to a contact list.
        AddedToContactList = "ATCL",
    }
}

/// Tells users that something happened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NotificationRequest {
    /// What happened.
    pub notification_type: NotificationType,
    /// Who did it; with a display name only when it may be disclosed.
    pub meta: Option<MetaInfo>,
    /// Who is told; never empty once read.
    pub user_ids: Vec<String>,
    /// What the receiving server may show.
    pub text: Option<NotificationText>,
}

/// Text for people. Element `Text`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NotificationText {
    /// The text.
    pub text: String,
    /// Its language, a BCP 47 tag. Wire: `xml:lang`.
    pub language: Option<String>,
}

impl Wire for NotificationRequest {
    const NAME: &'static str = "NotificationRequest";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        let notification_type = element
            .scalar("notificationType")
            .map(NotificationType::from_word);
        Ok(Self {
            notification_type: notification_type.ok_or(Flaw::MissingAttribute {
                element: Self::NAME,
                attribute: "notificationType",
            })?,
            meta: element.read_child()?,
            user_ids: required_user_ids(element, Self::NAME, "UserID")?,
            text: element.child("Text").and_then(|text| {
                Some(NotificationText {
                    text: text.some_text()?,
                    language: text.some_attribute("xml:lang"),
                })
            }),
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.attribute("notificationType", self.notification_type.as_word());
        writer.some_wire(self.meta.as_ref());
        write_user_ids(writer, "UserID", &self.user_ids);
        if let Some(text) = &self.text {
            writer.element("Text", |writer| {
                writer.some_attribute("xml:lang", text.language.as_deref());
                writer.text(&text.text);
            });
        }
    }
}
