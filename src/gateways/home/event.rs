//! What a device is told: the events of the stream and of the inbox, in the JSON that devices read.
//!
//! Events that must not be lost (messages, reports, notices, invitations) lie in the inbox until a device acknowledges
//! them. Passing ones (presence, watchers) are sent to whoever is connected; the newest state can be read at any time.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use crate::model::{
    AttributeName, AttributeValue, Content, Field, FieldValue, InviteType, Presence, Timestamp, WvAddress,
};

/// An event; the stream's `event:` line carries `type`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(crate) enum Event {
    /// A message for the subscriber.
    Message {
        message_id: String,
        from: WvAddress,
        to: WvAddress,
        sent_at: Option<String>,
        conversation: Option<String>,
        /// The group that it was said in; then `from` is the participant.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<WvAddress>,
        /// What the sender is called there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        screen_name: Option<String>,
        #[serde(flatten)]
        content: Body,
    },
    /// What became of a message that he sent.
    Report {
        message_id: String,
        recipient: WvAddress,
        is_delivered: bool,
        status: u16,
        text: String,
        at: Option<String>,
        losses: Vec<String>,
    },
    /// Somebody has added him (use case 5.20 step 14); `can_add_back` offers step 15.
    Notice {
        by: WvAddress,
        friendly_name: Option<String>,
        text: String,
        language: String,
        can_add_back: bool,
    },
    /// He is invited.
    Invitation {
        invitation_id: String,
        kind: InviteType,
        by: WvAddress,
        group: Option<WvAddress>,
        application: Option<String>,
        attributes: Vec<AttributeName>,
        content_urls: Vec<String>,
        note: Option<String>,
        screen_name: Option<String>,
        expires_at: String,
    },
    /// The answer to an invitation of his.
    InvitationAnswer {
        invitation_id: String,
        by: WvAddress,
        is_accepted: bool,
        note: Option<String>,
        screen_name: Option<String>,
    },
    /// An invitation to him was withdrawn.
    InvitationCancelled {
        invitation_id: String,
        by: WvAddress,
        note: Option<String>,
    },
    /// He has joined a group, with this device or another.
    GroupJoined {
        group: WvAddress,
        screen_name: String,
        topic: String,
        /// Who is there, himself among them; empty when the group does not say.
        names: Vec<String>,
        welcome: Option<String>,
    },
    /// People came or went, or the topic of a group changed.
    GroupChange {
        group: WvAddress,
        joined: Vec<String>,
        left: Vec<String>,
        topic: Option<String>,
    },
    /// He is not in a group any more.
    GroupLeft { group: WvAddress, why: LeftBecause },
    /// Presence of somebody whom he watches.
    Presence {
        address: WvAddress,
        #[serde(flatten)]
        presence: PresenceView,
    },
    /// A contact was added, named anew or removed, with this device or another.
    Contact {
        address: WvAddress,
        nickname: String,
        is_removed: bool,
    },
    /// Somebody watches him; an empty `attributes` means that nothing is shown until he allows it.
    Watcher {
        address: WvAddress,
        attributes: Vec<AttributeName>,
    },
    /// Everything that waited has been sent; what follows happens now. A device that was away for long reads its
    /// watchers, contacts and groups anew.
    Ready {},
}

impl Event {
    /// The word of the stream's `event:` line.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Message { .. } => "message",
            Self::Report { .. } => "report",
            Self::Notice { .. } => "notice",
            Self::Invitation { .. } => "invitation",
            Self::InvitationAnswer { .. } => "invitation-answer",
            Self::InvitationCancelled { .. } => "invitation-cancelled",
            Self::GroupJoined { .. } => "group-joined",
            Self::GroupChange { .. } => "group-change",
            Self::GroupLeft { .. } => "group-left",
            Self::Presence { .. } => "presence",
            Self::Contact { .. } => "contact",
            Self::Watcher { .. } => "watcher",
            Self::Ready {} => "ready",
        }
    }
}

/// Why somebody is not in a group any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LeftBecause {
    /// He left, with this device or another.
    Left,
    /// He was put out.
    Removed,
    /// The group has ended.
    Ended,
}

/// Content in JSON: text where it is text, base64 otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Body {
    pub(crate) media_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) base64: Option<String>,
}

impl From<&Content> for Body {
    fn from(content: &Content) -> Self {
        let text = content.as_text().map(str::to_owned);
        let base64 = text.is_none().then(|| STANDARD.encode(&content.bytes));
        Self {
            media_type: content.media_type.to_string(),
            name: content.name.clone(),
            text,
            base64,
        }
    }
}

/// Presence in JSON: what matters most on top, every attribute below.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct PresenceView {
    /// Absent when it is not known.
    pub(crate) online: Option<bool>,
    pub(crate) attributes: Vec<AttributeView>,
}

/// One attribute in JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AttributeView {
    pub(crate) name: AttributeName,
    /// A flag, a text, an object of named parts, or null.
    pub(crate) value: serde_json::Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client: Option<String>,
}

impl From<&Presence> for PresenceView {
    /// Attributes whose qualifier says that the value means nothing are left out.
    fn from(presence: &Presence) -> Self {
        let shown = presence
            .attributes
            .iter()
            .filter(|attribute| attribute.qualifier != Some(false));
        let view = |attribute: &crate::model::PresenceAttribute| AttributeView {
            name: attribute.name,
            value: value_of(&attribute.value),
            client: attribute.client.clone(),
        };
        Self {
            online: presence.online(),
            attributes: shown.map(view).collect(),
        }
    }
}

/// A time as devices read it: ISO 8601.
pub(crate) fn time(at: Timestamp) -> String {
    at.to_string()
}

fn value_of(value: &AttributeValue) -> serde_json::Value {
    match value {
        AttributeValue::Flag(flag) => (*flag).into(),
        AttributeValue::Text(text) => text.clone().into(),
        AttributeValue::Fields(fields) => parts(fields),
        AttributeValue::Empty => serde_json::Value::Null,
    }
}

/// Named parts; a name that occurs more than once becomes a list.
fn parts(fields: &[Field]) -> serde_json::Value {
    let mut object = serde_json::Map::new();
    for field in fields {
        let value = match &field.value {
            FieldValue::Text(text) => text.clone().into(),
            FieldValue::Fields(fields) => parts(fields),
        };
        match object.get_mut(&field.name) {
            Some(serde_json::Value::Array(list)) => list.push(value),
            Some(first) => *first = serde_json::Value::Array(vec![first.take(), value]),
            None => {
                object.insert(field.name.clone(), value);
            }
        }
    }
    object.into()
}
