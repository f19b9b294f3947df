//! What a message carries.

use std::{fmt, str::FromStr, sync::Arc};

use bytes::Bytes;

/// A media type with its parameters, as `text/plain; charset=utf-8`; compared without case and parameters.
#[derive(Clone, Debug)]
pub struct MediaType(Arc<str>);

impl MediaType {
    /// `text/plain`, the default of SSP (SSP reference §9.1).
    #[must_use]
    pub fn text() -> Self {
        Self("text/plain".into())
    }

    /// The whole text with parameters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `type/subtype`, without parameters, as written.
    #[must_use]
    pub fn essence(&self) -> &str {
        self.0.split(';').next().unwrap_or_default().trim()
    }

    /// Whether `pattern` covers this type: `text/plain`, `image/*` or `*/*`, without case.
    #[must_use]
    pub fn is_covered_by(&self, pattern: &str) -> bool {
        let essence = self.essence().to_ascii_lowercase();
        match pattern.trim().to_ascii_lowercase().split_once('/') {
            Some(("*", "*")) => true,
            Some((kind, "*")) => essence.split('/').next() == Some(kind),
            _ => essence.eq_ignore_ascii_case(pattern.trim()),
        }
    }
}

impl FromStr for MediaType {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let text = text.trim();
        let essence = text.split(';').next().unwrap_or_default().trim();
        let is_token = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+*".contains(&b))
        };
        match essence.split_once('/') {
            Some((kind, sub))
                if is_token(kind)
                    && is_token(sub)
                    && text.len() <= 255
                    && !text.chars().any(char::is_control) =>
            {
                Ok(Self(text.into()))
            }
            _ => Err(()),
        }
    }
}

impl PartialEq for MediaType {
    fn eq(&self, other: &Self) -> bool {
        self.essence().eq_ignore_ascii_case(other.essence())
    }
}

impl Eq for MediaType {}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for MediaType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for MediaType {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse()
            .map_err(|()| serde::de::Error::custom("malformed media type"))
    }
}

/// The content of a message, decoded: octets and what they are.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Content {
    /// What the octets are; decides what an agreement lets through and what another protocol can carry.
    pub media_type: MediaType,
    /// A file name for the person, when the sender gave one.
    pub name: Option<String>,
    /// The octets, after any transfer encoding of the wire; base64 where they are stored as text.
    #[serde(with = "base64_octets")]
    pub bytes: Bytes,
}

impl Content {
    /// Plain UTF-8 text.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self {
            media_type: MediaType::text(),
            name: None,
            bytes: Bytes::copy_from_slice(text.as_bytes()),
        }
    }

    /// The text, when the content is textual and UTF-8.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        if !self.media_type.is_covered_by("text/*") {
            return None;
        }
        std::str::from_utf8(&self.bytes).ok()
    }
}

mod base64_octets {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        STANDARD
            .decode(text.as_bytes())
            .map(Bytes::from)
            .map_err(D::Error::custom)
    }
}
