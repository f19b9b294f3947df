//! Presence attributes as they stand in a `PresenceSubList`.
//!
//! Each attribute says by its qualifier whether its value may be shown, and some belong to one client of a user with
//! several. Attributes that we don't know are passed over in values and kept by name in lists, because an empty list means
//! all. Namespaces are not looked at; the PA1.3 one is written. Source: SSP reference §10.

mod kinds;
mod record;

use super::flaw::Flaw;
use super::xml::{Element, Wire, Writer, truth, words};

pub use kinds::{
    Availability, Capability, ClientType, CommC, CommStatus, ContactPreference, InfoLink, Mood,
    PresenceContent, StatusContent, VCard, Zone,
};
pub use record::{Address, ClientInfo, GeoLocation};

use kinds::Kind;

/// The presence of one user. Element `PresenceValue`, the wrapper.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PresenceValue {
    /// Whose presence; address as written.
    pub user_id: String,
    /// What is known; empty means that nothing may be known, which is not "offline".
    pub attributes: Vec<PresenceAttribute>,
}

/// A value with its qualifier and the client that it belongs to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Qualified<T> {
    /// `T`: the value is valid and may be shown. `F`: unknown or not to be shown, whatever the value says. Read as true
    /// when absent.
    pub qualifier: bool,
    /// `None` when there is none, or none that can be read.
    pub value: Option<T>,
    /// The client of the user, for users with several.
    pub client: Option<PresenceClient>,
}

/// One client of a user, as presence attributes name it. Element `ClientID`, with children, unlike `entity::ClientId`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PresenceClient {
    /// The client's URL.
    pub url: Option<String>,
    /// The client's number.
    pub msisdn: Option<String>,
}

impl<T> Qualified<T> {
    /// A valid value of the user as a whole.
    pub const fn valid(value: T) -> Self {
        Self {
            qualifier: true,
            value: Some(value),
            client: None,
        }
    }

    /// The value, when it is valid.
    pub fn shown(&self) -> Option<&T> {
        self.value.as_ref().filter(|_| self.qualifier)
    }
}

macro_rules! attributes {
    ($($variant:ident = $name:literal, $content:ty, $doc:literal;)*) => {
        words! {
            /// The name of a presence attribute.
            pub enum PresenceAttributeName {
                $(#[doc = $doc] $variant = $name,)*
            }
        }

        /// One presence attribute with its value.
        #[derive(Clone, Debug, Eq, PartialEq)]
        pub enum PresenceAttribute {
            $(#[doc = $doc] $variant(Qualified<$content>),)*
        }

        impl PresenceAttribute {
            /// The attribute's name.
            pub const fn name(&self) -> PresenceAttributeName {
                match self {
                    $(Self::$variant(_) => PresenceAttributeName::$variant,)*
                }
            }

            fn read(element: Element<'_, '_>) -> Option<Self> {
                $(if element.is($name) {
                    return Some(Self::$variant(read_qualified(element)));
                })*
                None
            }

            fn write(&self, writer: &mut Writer) {
                match self {
                    $(Self::$variant(qualified) => writer.element($name, |writer| write_qualified(writer, qualified)),)*
                }
            }
        }
    };
}

attributes! {
    OnlineStatus = "OnlineStatus", bool, "Whether a client is online.";
    Registration = "Registration", bool, "Whether a client is registered.";
    ClientInfo = "ClientInfo", Box<ClientInfo>, "What a client is.";
    TimeZone = "TimeZone", Zone, "Offset such as `+01:00`.";
    GeoLocation = "GeoLocation", Box<GeoLocation>, "Where on the globe.";
    Address = "Address", Box<Address>, "Where by street.";
    FreeTextLocation = "FreeTextLocation", String, "Where, in words.";
    Plmn = "PLMN", String, "The network code.";
    CommCap = "CommCap", Vec<CommC>, "Ways to reach the user.";
    UserAvailability = "UserAvailability", Availability, "Whether the user wants to be reached.";
    PreferredContacts = "PreferredContacts", Vec<ContactPreference>, "Ways to reach the user, by preference.";
    PreferredLanguage = "PreferredLanguage", String, "ISO language code.";
    StatusText = "StatusText", String, "What the user says.";
    StatusMood = "StatusMood", Mood, "How the user feels.";
    Alias = "Alias", String, "What the user is called.";
    StatusContent = "StatusContent", StatusContent, "What the user shows.";
    ContactInfo = "ContactInfo", VCard, "The user's card.";
    InfoLink = "InfoLink", Vec<InfoLink>, "Pages of the user.";
}

impl Wire for PresenceValue {
    const NAME: &'static str = "PresenceValue";

    fn read(element: Element<'_, '_>) -> Result<Self, Flaw> {
        let user_id = element.attribute("userID").filter(|id| !id.is_empty());
        let lists = element.children_named("PresenceSubList");
        Ok(Self {
            user_id: user_id
                .ok_or(Flaw::MissingAttribute {
                    element: Self::NAME,
                    attribute: "userID",
                })?
                .to_owned(),
            attributes: lists
                .flat_map(Element::children)
                .filter_map(PresenceAttribute::read)
                .collect(),
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.attribute("userID", &self.user_id);
        if !self.attributes.is_empty() {
            write_sub_list(writer, |writer| {
                self.attributes
                    .iter()
                    .for_each(|attribute| attribute.write(writer))
            });
        }
    }
}

fn read_qualified<T: Kind>(element: Element<'_, '_>) -> Qualified<T> {
    Qualified {
        qualifier: element
            .child("Qualifier")
            .and_then(|child| truth(child.text()))
            .unwrap_or(true),
        value: T::read(element),
        client: element.child("ClientID").map(|client| PresenceClient {
            url: client.scalar("URL").map(str::to_owned),
            msisdn: client.scalar("MSISDN").map(str::to_owned),
        }),
    }
}

fn write_qualified<T: Kind>(writer: &mut Writer, qualified: &Qualified<T>) {
    writer.text_element("Qualifier", if qualified.qualifier { "T" } else { "F" });
    if let Some(value) = &qualified.value {
        value.write(writer);
    }
    if let Some(client) = &qualified.client {
        writer.element("ClientID", |writer| {
            writer.some_text_element("URL", client.url.as_deref());
            writer.some_text_element("MSISDN", client.msisdn.as_deref());
        });
    }
}

/// The names in `parent/AttributeList/PresenceSubList`; `None` without an `AttributeList`, empty means all.
pub(super) fn read_attribute_list(parent: Element<'_, '_>) -> Option<Vec<PresenceAttributeName>> {
    let list = parent.child("AttributeList")?;
    let names = list.children_named("PresenceSubList").flat_map(Element::children);
    Some(
        names
            .map(|element| PresenceAttributeName::from_word(element.name()))
            .collect(),
    )
}

pub(super) fn write_attribute_list(writer: &mut Writer, names: &[PresenceAttributeName]) {
    writer.element("AttributeList", |writer| {
        write_sub_list(writer, |writer| {
            names.iter().for_each(|name| writer.empty_named(name.as_word()))
        });
    });
}

fn write_sub_list(writer: &mut Writer, content: impl FnOnce(&mut Writer)) {
    writer.element("PresenceSubList", |writer| {
        writer.attribute("xmlns", PRESENCE_NAMESPACE);
        content(writer);
    });
}

/// The presence attributes' namespace that is written (SSP reference §10.1).
const PRESENCE_NAMESPACE: &str = "http://www.openmobilealliance.org/DTD/IMPS-PA1.3";
