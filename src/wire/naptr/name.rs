//! Domain names in one canonical spelling, so that equal names are equal values.
//!
//! A `Name` is always absolute, lower case, and ends in a dot. Octets that would be ambiguous in text are written
//! as a zone file writes them (RFC 1035 §5.1: `\.`, `\\`, `\DDD`). No search list is ever applied.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// An absolute domain name: at most 255 octets on the wire, labels of 1 to 63 octets (RFC 1035 §2.3.4).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Name(Box<str>);

/// Text that is not a domain name.
#[derive(Clone, Copy, Debug, Eq, Error, Hash, PartialEq)]
pub enum InvalidName {
    /// Nothing, or two dots in a row, or a dot in front.
    #[error("a domain name has an empty label")]
    EmptyLabel,
    /// A label over 63 octets.
    #[error("a domain name has a label longer than 63 octets")]
    LabelTooLong,
    /// Over 255 octets on the wire.
    #[error("a domain name is longer than 255 octets")]
    TooLong,
    /// A backslash that is followed neither by three digits up to 255 nor by a printable character.
    #[error("a domain name has a broken escape")]
    Escape,
}

impl Name {
    /// The longest name on the wire, in octets, with its final zero octet.
    pub const MAX_OCTETS: usize = 255;

    /// The root, written `.`; a NAPTR with this REPLACEMENT has none.
    pub fn root() -> Self {
        Self(".".into())
    }

    /// The absolute text, with its final dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text without its final dot, as people and certificates write a domain; empty for the root.
    pub fn without_dot(&self) -> &str {
        self.0.strip_suffix('.').unwrap_or(&self.0)
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        &*self.0 == "."
    }

    /// The labels as octets, leftmost first; none for the root.
    pub fn labels(&self) -> Vec<Vec<u8>> {
        // The text was checked when the value was made, so there is nothing to report here.
        split_labels(self.without_dot()).unwrap_or_default()
    }

    /// Appends the uncompressed wire form.
    pub fn encode(&self, out: &mut Vec<u8>) {
        if !self.is_root() {
            for label in self.labels() {
                out.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
                out.extend_from_slice(&label);
            }
        }
        out.push(0);
    }

    /// Joins labels that a reader has already bounded.
    pub(super) fn from_labels<L: AsRef<[u8]>>(labels: impl IntoIterator<Item = L>) -> Self {
        let mut text = String::new();
        for label in labels {
            for &octet in label.as_ref() {
                push_octet(&mut text, octet);
            }
            text.push('.');
        }
        if text.is_empty() {
            Self::root()
        } else {
            Self(text.into())
        }
    }
}

impl FromStr for Name {
    type Err = InvalidName;

    /// Reads text with or without a final dot; both are absolute.
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        if text == "." {
            return Ok(Self::root());
        }
        let relative = match text.strip_suffix('.') {
            Some(cut) if !ends_in_escape(cut) => cut,
            Some(_) | None => text,
        };
        let labels = split_labels(relative)?;
        if labels.iter().any(Vec::is_empty) {
            return Err(InvalidName::EmptyLabel);
        }
        if labels.iter().any(|label| label.len() > 63) {
            return Err(InvalidName::LabelTooLong);
        }
        if labels.iter().map(|label| label.len() + 1).sum::<usize>() + 1 > Self::MAX_OCTETS {
            return Err(InvalidName::TooLong);
        }
        Ok(Self::from_labels(labels))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn split_labels(relative: &str) -> Result<Vec<Vec<u8>>, InvalidName> {
    let mut labels = Vec::new();
    let mut label = Vec::new();
    let mut octets = relative.bytes();
    while let Some(octet) = octets.next() {
        match octet {
            b'.' => labels.push(std::mem::take(&mut label)),
            b'\\' => label.push(unescape(&mut octets).ok_or(InvalidName::Escape)?),
            plain => label.push(plain),
        }
    }
    labels.push(label);
    Ok(labels)
}

/// An odd run of backslashes at the end escapes what follows it.
fn ends_in_escape(text: &str) -> bool {
    text.bytes().rev().take_while(|&octet| octet == b'\\').count() % 2 == 1
}

/// What stands after a backslash in master-file text: three decimal digits, or one character taken as it is.
pub(super) fn unescape(octets: &mut impl Iterator<Item = u8>) -> Option<u8> {
    let first = octets.next()?;
    if !first.is_ascii_digit() {
        return Some(first);
    }
    let mut value = u16::from(first - b'0');
    for _ in 0..2 {
        let digit = octets.next().filter(u8::is_ascii_digit)?;
        value = value * 10 + u16::from(digit - b'0');
    }
    u8::try_from(value).ok()
}

fn push_octet(text: &mut String, octet: u8) {
    match octet {
        b'.' | b'\\' | b'"' | b';' | b'(' | b')' | b'@' | b'$' => {
            text.push('\\');
            text.push(char::from(octet));
        }
        b'!'..=b'~' => text.push(char::from(octet.to_ascii_lowercase())),
        other => text.push_str(&format!("\\{other:03}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_is_canonical() {
        let name: Name = "Op.Example".parse().unwrap();
        assert_eq!(name.as_str(), "op.example.");
        assert_eq!(name, "OP.EXAMPLE.".parse().unwrap());
        assert_eq!(name.without_dot(), "op.example");
        assert_eq!(".".parse::<Name>().unwrap(), Name::root());
    }

    #[test]
    fn odd_octets_survive_as_escapes() {
        let name: Name = "a\\.b\\\\.c\\032d.example".parse().unwrap();
        assert_eq!(
            name.labels(),
            [b"a.b\\".to_vec(), b"c d".to_vec(), b"example".to_vec()]
        );
        assert_eq!(name.as_str().parse::<Name>().unwrap(), name);
        assert_eq!("a@b.example".parse::<Name>().unwrap().as_str(), "a\\@b.example.");
        assert_eq!("x\\.".parse::<Name>().unwrap().labels(), [b"x.".to_vec()]);
        assert_eq!("x\\\\.".parse::<Name>().unwrap().labels(), [b"x\\".to_vec()]);
        assert_eq!("x\\\\\\.".parse::<Name>().unwrap().labels(), [b"x\\.".to_vec()]);
    }

    #[test]
    fn limits_and_broken_text_are_refused() {
        assert_eq!("".parse::<Name>(), Err(InvalidName::EmptyLabel));
        assert_eq!("a..b".parse::<Name>(), Err(InvalidName::EmptyLabel));
        assert_eq!("a.b\\".parse::<Name>(), Err(InvalidName::Escape));
        assert_eq!("a\\25".parse::<Name>(), Err(InvalidName::Escape));
        assert_eq!("a\\256".parse::<Name>(), Err(InvalidName::Escape));
        assert_eq!("x".repeat(64).parse::<Name>(), Err(InvalidName::LabelTooLong));
        let long = vec!["x".repeat(63); 4].join(".");
        assert_eq!(long.parse::<Name>(), Err(InvalidName::TooLong));
    }
}
