//! The kinds of value that a presence attribute may have, and how each stands beside the qualifier.
//!
//! A value that is empty, or can't be read, is none. Source: SSP reference §10.2.

use crate::wire::ssp::xml::{Element, Writer, truth, words};

/// Content of a presence attribute, beside `Qualifier` and `ClientID`.
pub(super) trait Kind: Sized {
    fn read(element: Element<'_, '_>) -> Option<Self>;
    fn write(&self, writer: &mut Writer);
}

words! {
    /// Whether a user wants to be reached.
    pub enum Availability {
        /// Yes.
        Available = "AVAILABLE",
        /// No.
        NotAvailable = "NOT_AVAILABLE",
        /// Only when it matters.
        Discreet = "DISCREET",
    }
}

words! {
    /// How a user feels.
    pub enum Mood {
        /// Happy.
        Happy = "HAPPY",
        /// Sad.
        Sad = "SAD",
        /// Angry.
        Angry = "ANGRY",
        /// Jealous.
        Jealous = "JEALOUS",
        /// Ashamed.
        Ashamed = "ASHAMED",
        /// Invincible.
        Invincible = "INVINCIBLE",
        /// In love.
        InLove = "IN_LOVE",
        /// Sleepy.
        Sleepy = "SLEEPY",
        /// Bored.
        Bored = "BORED",
        /// Excited.
        Excited = "EXCITED",
        /// Anxious.
        Anxious = "ANXIOUS",
    }
}

words! {
    /// What kind of device a client is.
    pub enum ClientType {
        /// A telephone.
        MobilePhone = "MOBILE_PHONE",
        /// A computer.
        Computer = "COMPUTER",
        /// An organiser.
        Pda = "PDA",
        /// A command line.
        Cli = "CLI",
        /// Something else, by that very word; `Other` keeps words that are not listed.
        OtherDevice = "OTHER",
    }
}

words! {
    /// A way to reach a user.
    pub enum Capability {
        /// A telephone call.
        Call = "CALL",
        /// SMS.
        Sms = "SMS",
        /// MMS.
        Mms = "MMS",
        /// E-mail.
        Email = "EMAIL",
        /// Messages, online or not.
        Im = "IM",
        /// Messages while online.
        ImOnline = "IM_ONLINE",
        /// Messages while offline.
        ImOffline = "IM_OFFLINE",
        /// A voice call.
        AudioCall = "AUDIO_CALL",
        /// A video call.
        VideoCall = "VIDEO_CALL",
        /// A video stream.
        VideoStream = "VIDEO_STREAM",
    }
}

words! {
    /// Whether a way to reach a user is open.
    pub enum CommStatus {
        /// Open.
        Open = "OPEN",
        /// Closed.
        Closed = "CLOSED",
    }
}

/// One way to reach a user. Element `CommC`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CommC {
    /// Which way. Wire: `Cap`.
    pub capability: Capability,
    /// Whether it is open.
    pub status: Option<CommStatus>,
    /// The address.
    pub contact: Option<String>,
    /// Text for people.
    pub note: Option<String>,
}

/// One preference among the ways to reach a user. Element `AddrPref`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ContactPreference {
    /// Which way. Wire: `PrefC`.
    pub capability: Capability,
    /// Wire: `Caddr`.
    pub address: Option<String>,
    /// Wire: `Cstatus`.
    pub status: Option<CommStatus>,
    /// Wire: `Cname`.
    pub name: Option<String>,
    /// Wire: `Cpriority`, as written.
    pub priority: Option<String>,
}

/// Something that a user shows: in line, or elsewhere.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PresenceContent {
    /// The content itself, as written.
    Direct(String),
    /// The URL where it is.
    Referred(String),
}

/// What a user shows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StatusContent {
    /// The content.
    pub content: PresenceContent,
    /// Its media type.
    pub content_type: Option<String>,
}

/// A user's card.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VCard(pub PresenceContent);

/// An offset from UTC such as `+01:00`, as written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Zone(pub String);

/// A page of a user. Element `Inf-link`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct InfoLink {
    /// Where it is.
    pub link: Option<String>,
    /// What it is called.
    pub text: Option<String>,
    /// Its media type.
    pub content_type: Option<String>,
}

impl Kind for bool {
    fn read(element: Element<'_, '_>) -> Option<Self> {
        element.child(VALUE).and_then(|value| truth(value.text()))
    }

    fn write(&self, writer: &mut Writer) {
        writer.text_element(VALUE, if *self { "T" } else { "F" });
    }
}

impl Kind for String {
    fn read(element: Element<'_, '_>) -> Option<Self> {
        element.text_of(VALUE)
    }

    fn write(&self, writer: &mut Writer) {
        writer.text_element(VALUE, self);
    }
}

impl Kind for Availability {
    fn read(element: Element<'_, '_>) -> Option<Self> {
        element.text_of(VALUE).map(|word| Self::from_word(&word))
    }

    fn write(&self, writer: &mut Writer) {
        writer.text_element(VALUE, self.as_word());
    }
}

impl Kind for Mood {
    fn read(element: Element<'_, '_>) -> Option<Self> {
        element.text_of(VALUE).map(|word| Self::from_word(&word))
    }

    fn write(&self, writer: &mut Writer) {
        writer.text_element(VALUE, self.as_word());
    }
}

impl Kind for Zone {
    fn read(element: Element<'_, '_>) -> Option<Self> {
        element.text_of("Zone").map(Self)
    }

    fn write(&self, writer: &mut Writer) {
        writer.text_element("Zone", &self.0);
    }
}

impl Kind for Vec<CommC> {
    fn read(element: Element<'_, '_>) -> Option<Self> {
        let ways = element.children_named("CommC").filter_map(|way| {
            Some(CommC {
                capability: Capability::from_word(&way.text_of("Cap")?),
                status: way.text_of("Status").map(|word| CommStatus::from_word(&word)),
                contact: way.text_of("Contact"),
                note: way.text_of("Note"),
            })
        });
        Some(ways.collect()).filter(|ways: &Self| !ways.is_empty())
    }

    fn write(&self, writer: &mut Writer) {
        for way in self {
            writer.element("CommC", |writer| {
                writer.text_element("Cap", way.capability.as_word());
                writer.some_text_element("Status", way.status.as_ref().map(CommStatus::as_word));
                writer.some_text_element("Contact", way.contact.as_deref());
                writer.some_text_element("Note", way.note.as_deref());
            });
        }
    }
}

impl Kind for Vec<ContactPreference> {
    fn read(element: Element<'_, '_>) -> Option<Self> {
        let preferences = element.children_named("AddrPref").filter_map(|preference| {
            Some(ContactPreference {
                capability: Capability::from_word(&preference.text_of("PrefC")?),
                address: preference.text_of("Caddr"),
                status: preference
                    .text_of("Cstatus")
                    .map(|word| CommStatus::from_word(&word)),
                name: preference.text_of("Cname"),
                priority: preference.text_of("Cpriority"),
            })
        });
        Some(preferences.collect()).filter(|preferences: &Self| !preferences.is_empty())
    }

    fn write(&self, writer: &mut Writer) {
        for preference in self {
            writer.element("AddrPref", |writer| {
                writer.text_element("PrefC", preference.capability.as_word());
                writer.some_text_element("Caddr", preference.address.as_deref());
                writer.some_text_element("Cstatus", preference.status.as_ref().map(CommStatus::as_word));
                writer.some_text_element("Cname", preference.name.as_deref());
                writer.some_text_element("Cpriority", preference.priority.as_deref());
            });
        }
    }
}

impl Kind for StatusContent {
    fn read(element: Element<'_, '_>) -> Option<Self> {
        let content = PresenceContent::read(element, "DirectContent", "ReferredContent")?;
        Some(Self {
            content,
            content_type: element.text_of("ContentType"),
        })
    }

    fn write(&self, writer: &mut Writer) {
        self.content.write(writer, "DirectContent", "ReferredContent");
        writer.some_text_element("ContentType", self.content_type.as_deref());
    }
}

impl Kind for VCard {
    fn read(element: Element<'_, '_>) -> Option<Self> {
        PresenceContent::read(element, "ContainedvCard", "ReferredvCard").map(Self)
    }

    fn write(&self, writer: &mut Writer) {
        self.0.write(writer, "ContainedvCard", "ReferredvCard");
    }
}

impl PresenceContent {
    fn read(element: Element<'_, '_>, direct: &str, referred: &str) -> Option<Self> {
        let direct = element.text_of(direct).map(Self::Direct);
        direct.or_else(|| element.text_of(referred).map(Self::Referred))
    }

    fn write(&self, writer: &mut Writer, direct: &str, referred: &str) {
        match self {
            Self::Direct(content) => writer.text_element(direct, content),
            Self::Referred(url) => writer.text_element(referred, url),
        }
    }
}

impl Kind for Vec<InfoLink> {
    fn read(element: Element<'_, '_>) -> Option<Self> {
        let links = element
            .children()
            .filter(|child| child.is(INFO_LINK) || child.is("InfLink"))
            .map(|link| InfoLink {
                link: link.text_of("Link"),
                text: link.text_of("Text"),
                content_type: link.text_of("ContentType"),
            });
        Some(links.collect()).filter(|links: &Self| !links.is_empty())
    }

    fn write(&self, writer: &mut Writer) {
        for link in self {
            writer.element(INFO_LINK, |writer| {
                writer.some_text_element("Link", link.link.as_deref());
                writer.some_text_element("Text", link.text.as_deref());
                writer.some_text_element("ContentType", link.content_type.as_deref());
            });
        }
    }
}

/// The leaf that holds a plain value; the wrapper of a user's presence has the same name.
const VALUE: &str = "PresenceValue";
const INFO_LINK: &str = "Inf-link";
