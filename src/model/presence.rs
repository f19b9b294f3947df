//! Presence as the IMPS presence attributes have it, without a protocol's syntax.

use serde::{Deserialize, Serialize};

macro_rules! attribute_names {
    ($($name:ident),* $(,)?) => {
        /// A presence attribute, by its IMPS name (SSP reference §10.2).
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[expect(missing_docs, reason = "the names are the standard's own")]
        pub enum AttributeName { $($name),* }

        impl AttributeName {
            /// Every attribute, in the order in which they are written.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The IMPS name.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }
        }
    };
}

attribute_names! {
    OnlineStatus, Registration, ClientInfo, TimeZone, GeoLocation, Address, FreeTextLocation, PLMN, CommCap,
    UserAvailability, PreferredContacts, PreferredLanguage, StatusText, StatusMood, Alias, StatusContent,
    ContactInfo, InfoLink,
}

impl AttributeName {
    /// The attribute of that IMPS name, without case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|known| known.as_str().eq_ignore_ascii_case(name))
    }
}

/// What is known of a person's presence; empty means that nothing is known, not that the person is offline.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Presence {
    /// The attributes in order; one that describes a device may occur once for each device.
    pub attributes: Vec<PresenceAttribute>,
}

/// One attribute with its value.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct PresenceAttribute {
    /// Which attribute.
    pub name: AttributeName,
    /// The IMPS `Qualifier`: `false` means that the value says nothing; absent counts as `true`.
    pub qualifier: Option<bool>,
    /// The value.
    pub value: AttributeValue,
    /// The device it describes, for attributes that occur once for each device.
    pub client: Option<String>,
}

/// The value of an attribute.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum AttributeValue {
    /// `T` or `F`.
    Flag(bool),
    /// Text or a name of the standard's list.
    Text(String),
    /// Named parts (`ClientInfo`, `CommCap`, addresses and the like).
    Fields(Vec<Field>),
    /// Present without a value.
    Empty,
}

/// A named part of a structured attribute; the names are those of the IMPS presence schema.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// The element name, such as `ClientType`.
    pub name: String,
    /// What it holds.
    pub value: FieldValue,
}

/// What a named part holds.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum FieldValue {
    /// A text.
    Text(String),
    /// Further parts.
    Fields(Vec<Field>),
}

/// `UserAvailability` (SSP reference §10.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Availability {
    /// May be contacted.
    Available,
    /// Does not want to be contacted.
    NotAvailable,
    /// Reachable, prefers not to be disturbed.
    Discreet,
}

impl Availability {
    /// The IMPS value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Available => "AVAILABLE",
            Self::NotAvailable => "NOT_AVAILABLE",
            Self::Discreet => "DISCREET",
        }
    }

    /// The availability of that IMPS value, without case.
    #[must_use]
    pub fn named(value: &str) -> Option<Self> {
        [Self::Available, Self::NotAvailable, Self::Discreet]
            .into_iter()
            .find(|known| known.as_str().eq_ignore_ascii_case(value))
    }
}

impl Presence {
    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.attributes.is_empty()
    }

    /// Whether the person is online on any device; `None` when it is not known (SSP reference §10.2).
    #[must_use]
    pub fn online(&self) -> Option<bool> {
        let mut known = None;
        for flag in self.valid(AttributeName::OnlineStatus) {
            if let AttributeValue::Flag(online) = flag {
                known = Some(known.unwrap_or(false) || *online);
            }
        }
        known
    }

    /// The availability, when it is known.
    #[must_use]
    pub fn availability(&self) -> Option<Availability> {
        self.text(AttributeName::UserAvailability)
            .and_then(Availability::named)
    }

    /// The first valid text of an attribute.
    #[must_use]
    pub fn text(&self, name: AttributeName) -> Option<&str> {
        self.valid(name).find_map(|value| match value {
            AttributeValue::Text(text) => Some(text.as_str()),
            AttributeValue::Flag(_) | AttributeValue::Fields(_) | AttributeValue::Empty => None,
        })
    }

    /// Only these attributes; an empty list keeps all.
    #[must_use]
    pub fn only(&self, wanted: &[AttributeName]) -> Self {
        let keep = |attribute: &&PresenceAttribute| wanted.is_empty() || wanted.contains(&attribute.name);
        Self {
            attributes: self.attributes.iter().filter(keep).cloned().collect(),
        }
    }

    /// Replaces all values of one attribute; `None` removes it.
    pub fn set(&mut self, name: AttributeName, value: Option<AttributeValue>) {
        self.attributes.retain(|attribute| attribute.name != name);
        if let Some(value) = value {
            self.attributes.push(PresenceAttribute {
                name,
                qualifier: Some(true),
                value,
                client: None,
            });
            self.attributes.sort_by_key(|attribute| attribute.name);
        }
    }

    fn valid(&self, name: AttributeName) -> impl Iterator<Item = &AttributeValue> {
        self.attributes
            .iter()
            .filter(move |attribute| attribute.name == name && attribute.qualifier != Some(false))
            .map(|attribute| &attribute.value)
    }
}
