//! Messages, their acceptance and the reports about them.
//!
//! Content is decoded bytes here; on the wire it is always base64, because deployed peers take any `encoding` as base64 and
//! trim plain text. Debug output never shows content. Source: SSP reference §9, §12.1 to §12.3.

use std::fmt;
use std::time::Duration;

use super::date::DateTime;
use super::entity::{Entity, MetaInfo, write_group_id};
use super::flaw::Flaw;
use super::status::Status;
use super::xml::{Element, Wire, Writer};

/// A message to one or more recipients, all in the receiving domain.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SendMessageRequest {
    /// Whether a `DeliveryStatusReport` is wanted.
    pub delivery_report: bool,
    /// On whose behalf; the sender again, for those who check.
    pub meta: Option<MetaInfo>,
    /// Everything but the content.
    pub info: MessageInfo,
    /// Absent when the content is to be fetched from `MessageInfo::uri`.
    pub content: Option<ContentData>,
}

/// Whether a message was taken.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SendMessageResponse {
    /// The request's ID, or the one that the message was given; empty when nothing was taken.
    pub message_id: String,
    /// 200, 201 with the failed recipients, or 900 when all failed.
    pub status: Status,
}

/// What became of a message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DeliveryStatusReport {
    /// The original recipient is the requesting user now.
    pub meta: Option<MetaInfo>,
    /// 200 delivered, else why not. Wire: `DeliveryResult`.
    pub result: Status,
    /// When it was delivered.
    pub delivery_time: Option<DateTime>,
    /// Of the original message, with recipient and sender exchanged.
    pub info: MessageInfo,
}

/// A message's envelope. Element `MessageInfo`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MessageInfo {
    /// The sending side's ID; the receiving side keeps it.
    pub message_id: Option<String>,
    /// Where to fetch the content instead of inline.
    pub uri: Option<String>,
    /// Media type; absent means `text/plain`.
    pub content_type: Option<String>,
    /// File name.
    pub content_name: Option<String>,
    /// Octets of the content, before any encoding.
    pub content_size: Option<u64>,
    /// How long the message may wait, in whole seconds; peers take an absent one as 24 hours.
    pub validity: Option<Duration>,
    /// To whom; never empty once read.
    pub recipients: Vec<Entity>,
    /// From whom; a screen name stands as `Sender/GroupID` with a `SenderDisplay` on the wire.
    pub sender: Entity,
    /// When it was sent; unreliable, see `date.rs`.
    pub date: Option<DateTime>,
}

/// Content in line. Element `ContentData`.
#[derive(Clone, Eq, PartialEq)]
pub struct ContentData {
    /// Media type; repeats the one of `MessageInfo`.
    pub content_type: Option<String>,
    /// The decoded octets; UTF-8 when the media type is text and names no charset.
    pub bytes: Vec<u8>,
}

impl MessageInfo {
    /// An envelope with nothing optional in it.
    pub fn new(sender: Entity, recipients: Vec<Entity>) -> Self {
        Self {
            message_id: None,
            uri: None,
            content_type: None,
            content_name: None,
            content_size: None,
            validity: None,
            recipients,
            sender,
            date: None,
        }
    }
}

impl ContentData {
    /// UTF-8 text as `text/plain`.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            content_type: Some("text/plain".to_owned()),
            bytes: text.into().into_bytes(),
        }
    }
}

impl fmt::Debug for ContentData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let content_type = self.content_type.as_deref().unwrap_or("no type");
        write!(f, "ContentData({content_type}, {} octets)", self.bytes.len())
    }
}

impl Wire for SendMessageRequest {
    const NAME: &'static str = "SendMessageRequest";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        Ok(Self {
            delivery_report: element.yes_or_no("deliveryReport").unwrap_or(false),
            meta: element.read_child()?,
            info: MessageInfo::read_required(element, Self::NAME)?,
            content: element.read_child()?,
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.yes_or_no("deliveryReport", self.delivery_report);
        writer.some_wire(self.meta.as_ref());
        writer.wire(&self.info);
        writer.some_wire(self.content.as_ref());
    }
}

impl Wire for SendMessageResponse {
    const NAME: &'static str = "SendMessageResponse";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        Ok(Self {
            message_id: element.attribute("messageID").unwrap_or_default().to_owned(),
            status: Status::read_required(element, Self::NAME)?,
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.attribute("messageID", &self.message_id);
        writer.wire(&self.status);
    }
}

impl Wire for DeliveryStatusReport {
    const NAME: &'static str = "DeliveryStatusReport";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        let result = element.child("DeliveryResult").ok_or(Flaw::MissingElement {
            element: Self::NAME,
            child: "DeliveryResult",
        })?;
        Ok(Self {
            meta: element.read_child()?,
            result: Status::read_required(result, "DeliveryResult")?,
            delivery_time: element
                .child("DeliveryTime")
                .and_then(|time| DateTime::parse(time.text())),
            info: MessageInfo::read_required(element, Self::NAME)?,
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.some_wire(self.meta.as_ref());
        writer.element("DeliveryResult", |writer| writer.wire(&self.result));
        if let Some(time) = self.delivery_time {
            writer.element("DeliveryTime", |writer| writer.display(&time));
        }
        writer.wire(&self.info);
    }
}

impl MessageInfo {
    fn read_required(parent: Element<'_, '_>, element: &'static str) -> Result<Self, Flaw> {
        Self::read(parent.child(Self::NAME).ok_or(Flaw::MissingElement {
            element,
            child: Self::NAME,
        })?)
    }

    fn read_sender(element: Element<'_, '_>) -> Result<Entity, Flaw> {
        let sender = element.child("Sender");
        // Both places for the display are met; whom it names replaces the bare group (SSP reference §9.1).
        let display = sender
            .and_then(|sender| sender.child("SenderDisplay"))
            .or_else(|| element.child("SenderDisplay"));
        let shown = display.and_then(Entity::read_first);
        let bare = sender.and_then(Entity::read_first);
        let sender = match (shown, bare) {
            // A screen name says of which group it is, or the bare sender does.
            (Some(Entity::ScreenName(mut named)), Some(Entity::GroupId(group_id)))
                if named.group_id.is_empty() =>
            {
                named.group_id = group_id;
                Some(Entity::ScreenName(named))
            }
            (shown, bare) => shown.or(bare),
        };
        sender.ok_or(Flaw::MissingElement {
            element: Self::NAME,
            child: "Sender",
        })
    }

    fn write_sender(&self, writer: &mut Writer) {
        match &self.sender {
            Entity::ScreenName(screen_name) if !screen_name.group_id.is_empty() => {
                writer.element("Sender", |writer| write_group_id(writer, &screen_name.group_id));
                self.sender.write_in(writer, "SenderDisplay");
            }
            sender @ (Entity::User(_) | Entity::GroupId(_) | Entity::ScreenName(_)) => {
                sender.write_in(writer, "Sender")
            }
        }
    }
}

impl Wire for MessageInfo {
    const NAME: &'static str = "MessageInfo";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        let recipients: Vec<_> = element
            .children_named("Recipient")
            .flat_map(Element::children)
            .filter_map(Entity::read)
            .collect();
        if recipients.is_empty() {
            return Err(Flaw::MissingElement {
                element: Self::NAME,
                child: "Recipient",
            });
        }
        Ok(Self {
            message_id: element.some_attribute("messageID"),
            uri: element.some_attribute("messageURI"),
            content_type: element.some_attribute("contentType"),
            content_name: element.some_attribute("contentName"),
            content_size: element.number("contentSize"),
            validity: element
                .seconds("validity")
                .or_else(|| element.seconds(ODD_VALIDITY)),
            recipients,
            sender: Self::read_sender(element)?,
            date: element
                .child("DateTime")
                .and_then(|date| DateTime::parse(date.text())),
        })
    }

    fn write(&self, writer: &mut Writer) {
        let odd = writer.emits_odd_names();
        writer.some_attribute("messageID", self.message_id.as_deref());
        writer.some_attribute("messageURI", self.uri.as_deref());
        writer.some_attribute("contentType", self.content_type.as_deref());
        writer.some_attribute("contentName", self.content_name.as_deref());
        writer.some_number("contentSize", self.content_size);
        writer.some_seconds("validity", self.validity);
        if odd {
            writer.some_attribute("MessageURI", self.uri.as_deref());
            writer.some_attribute("ContentName", self.content_name.as_deref());
            writer.some_seconds(ODD_VALIDITY, self.validity);
        }
        for recipient in &self.recipients {
            recipient.write_in(writer, "Recipient");
        }
        self.write_sender(writer);
        if let Some(date) = self.date {
            writer.element("DateTime", |writer| {
                writer.attribute("format", "iso8601");
                writer.display(&date);
            });
        }
    }
}

impl Wire for ContentData {
    const NAME: &'static str = "ContentData";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        let bytes = match element.attribute("encoding") {
            Some(encoding) if encoding.eq_ignore_ascii_case("base64") => element.base64(Self::NAME)?,
            None => element.text().as_bytes().to_vec(),
            Some(encoding) if encoding.is_empty() || encoding.eq_ignore_ascii_case("none") => {
                element.text().as_bytes().to_vec()
            }
            Some(_) => {
                return Err(Flaw::BadValue {
                    element: Self::NAME,
                    reason: "encoding is neither base64 nor none",
                });
            }
        };
        Ok(Self {
            content_type: element.some_attribute("contentType"),
            bytes,
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.some_attribute("contentType", self.content_type.as_deref());
        writer.attribute("encoding", "base64");
        writer.base64(&self.bytes);
    }
}

/// The deployed peer reads this spelling (SSP reference §9.1).
const ODD_VALIDITY: &str = "validlity";
