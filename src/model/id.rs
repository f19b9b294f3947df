//! Identifiers that come from outside and are carried unchanged.

use std::{fmt, str::FromStr, sync::Arc};

macro_rules! outside_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text, exactly as it came.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                check(text)?;
                Ok(Self(text.into()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

outside_id! {
    /// The identity that the sending side gave a message (SSP reference §9.1); 1 to 255 octets, no control characters.
    MessageId
}
outside_id! {
    /// The identity that the inviting side gave an invitation (SSP reference §12.4); 1 to 255 octets.
    InviteId
}
outside_id! {
    /// The operator's own name for a peer, as its agreement is called; appears in metrics and logs.
    PeerName
}

/// Why a text cannot serve as an identifier.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidId {
    /// Nothing there.
    #[error("the identifier is empty")]
    Empty,
    /// Over 255 octets.
    #[error("the identifier is longer than 255 octets")]
    TooLong,
    /// A control character.
    #[error("the identifier holds a control character")]
    BadCharacter,
}

fn check(text: &str) -> Result<(), InvalidId> {
    if text.is_empty() {
        return Err(InvalidId::Empty);
    }
    if text.len() > 255 {
        return Err(InvalidId::TooLong);
    }
    if text.chars().any(char::is_control) {
        return Err(InvalidId::BadCharacter);
    }
    Ok(())
}
