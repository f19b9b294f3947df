//! Telephone numbers in international form.
//!
//! The generous reading of what people type (separators, national prefixes, `tel:` parameters) is
//! `wire::naptr`'s; this type is what is left when that has succeeded.

use std::{fmt, str::FromStr, sync::Arc};

/// A telephone number in international form; holds the digits, without the `+`.
///
/// 4 to 15 digits, the first not zero. Source: ITU-T E.164 §6; the lower bound is ours, so that short codes
/// never enter ENUM (RFC 6116 §3.7).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct E164(Arc<str>);

impl E164 {
    /// The digits, without the `+`.
    #[must_use]
    pub fn digits(&self) -> &str {
        &self.0
    }

    /// Whether the number begins with these digits.
    #[must_use]
    pub fn has_prefix(&self, digits: &str) -> bool {
        self.0.starts_with(digits)
    }
}

impl FromStr for E164 {
    type Err = InvalidE164;

    /// Reads `+` and digits, nothing else.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix('+').ok_or(InvalidE164::NoPlus)?;
        if digits.contains(['*', '?']) {
            return Err(InvalidE164::Wildcard);
        }
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidE164::BadCharacter);
        }
        if digits.starts_with('0') {
            return Err(InvalidE164::LeadingZero);
        }
        match digits.len() {
            0..=3 => Err(InvalidE164::TooShort),
            4..=15 => Ok(Self(digits.into())),
            _ => Err(InvalidE164::TooLong),
        }
    }
}

impl fmt::Display for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("+")?;
        f.write_str(&self.0)
    }
}

impl serde::Serialize for E164 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for E164 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a text is no E.164 number.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidE164 {
    /// Not in international form.
    #[error("a number in international form begins with +")]
    NoPlus,
    /// Holds `*` or `?`; wildcard searches by number are refused (IMPS use case 5.20.9).
    #[error("wildcards are not allowed in a number")]
    Wildcard,
    /// Something that is neither `+` nor an ASCII digit.
    #[error("only + and the digits 0 to 9 are allowed in a number")]
    BadCharacter,
    /// No country code begins with zero.
    #[error("a country code does not begin with 0")]
    LeadingZero,
    /// Fewer than 4 digits.
    #[error("a number has at least 4 digits")]
    TooShort,
    /// More than 15 digits.
    #[error("a number has at most 15 digits")]
    TooLong,
}
