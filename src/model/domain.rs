//! Domain names of operators.

use std::{fmt, str::FromStr, sync::Arc};

/// A fully qualified domain name: lower case, A-labels, no trailing dot, at least two labels.
///
/// Cheap to clone. Source: RFC 1035 §2.3.4 for the lengths, RFC 5890 §2.3.2.1 for A-labels.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Domain(Arc<str>);

impl Domain {
    /// The name as text, lower case, without a trailing dot.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is `other` or a name below it.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        self.0
            .strip_suffix(&*other.0)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

impl FromStr for Domain {
    type Err = InvalidDomain;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Err(InvalidDomain::Empty);
        }
        let ascii = if text.is_ascii() {
            text.to_ascii_lowercase()
        } else {
            idna::domain_to_ascii_strict(text).map_err(|_| InvalidDomain::NotIdna)?
        };
        if ascii.len() > 253 {
            return Err(InvalidDomain::TooLong);
        }
        if !ascii.contains('.') {
            return Err(InvalidDomain::Partial);
        }
        if ascii
            .rsplit('.')
            .next()
            .is_some_and(|top| top.bytes().all(|byte| byte.is_ascii_digit()))
        {
            return Err(InvalidDomain::IpAddress);
        }
        if !ascii.split('.').all(is_label) {
            return Err(InvalidDomain::BadLabel);
        }
        Ok(Self(ascii.into()))
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for Domain {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Domain {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a text is no domain name of an operator.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidDomain {
    /// Nothing there.
    #[error("a domain name is missing")]
    Empty,
    /// Over 253 octets.
    #[error("a domain name has at most 253 characters")]
    TooLong,
    /// A single label; names are never completed from a search list (RFC 3861 §3).
    #[error("a domain name has at least two labels")]
    Partial,
    /// An address in place of a name.
    #[error("an IP address is no domain name")]
    IpAddress,
    /// A label that is empty, over 63 octets, or holds something other than letters, digits, `-` and `_`.
    #[error("a label of the domain name is malformed")]
    BadLabel,
    /// Not convertible to A-labels.
    #[error("the domain name is not valid under IDNA")]
    NotIdna,
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}
