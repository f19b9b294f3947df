//! A NAPTR record as a zone file writes its RDATA (RFC 1035 §5.1), for people and for zones in text.
//!
//! In quoted text every backslash is doubled and `\DDD` is one octet; here they are undone exactly once
//! (RFC 6116 §4).

use std::fmt::{self, Write};
use std::iter::Peekable;
use std::str::{Bytes, FromStr};

use thiserror::Error;

use super::name::{InvalidName, unescape};
use super::rdata::Naptr;

/// Zone-file text that is not the RDATA of a NAPTR record.
#[derive(Clone, Copy, Debug, Eq, Error, Hash, PartialEq)]
pub enum InvalidNaptr {
    /// There are fewer than six fields, or more.
    #[error("a NAPTR record has six fields: order, preference, flags, services, regexp, replacement")]
    Fields,
    /// ORDER or PREFERENCE is not a number up to 65535.
    #[error("order and preference are numbers up to 65535")]
    Number,
    /// A quoted field has no end, or an escape is broken.
    #[error("a quoted field has no end or a broken escape")]
    Quoting,
    /// A field is longer than 255 octets.
    #[error("a text field is longer than 255 octets")]
    TooLong,
    /// REPLACEMENT is not a name.
    #[error(transparent)]
    Replacement(#[from] InvalidName),
}

impl FromStr for Naptr {
    type Err = InvalidNaptr;

    fn from_str(text: &str) -> Result<Self, InvalidNaptr> {
        let mut octets = text.bytes().peekable();
        let mut field = || next_field(&mut octets).and_then(|field| field.ok_or(InvalidNaptr::Fields));
        let (order, preference) = (number(&field()?)?, number(&field()?)?);
        let (flags, services, regexp) = (unquote(&field()?)?, unquote(&field()?)?, unquote(&field()?)?);
        let replacement = String::from_utf8(field()?)
            .map_err(|_| InvalidNaptr::Quoting)?
            .parse()?;
        match next_field(&mut octets)? {
            None => Ok(Self {
                order,
                preference,
                flags,
                services,
                regexp,
                replacement,
            }),
            Some(_) => Err(InvalidNaptr::Fields),
        }
    }
}

impl fmt::Display for Naptr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.order, self.preference)?;
        for field in [&self.flags, &self.services, &self.regexp] {
            f.write_str(" \"")?;
            for &octet in field {
                match octet {
                    b'"' | b'\\' => write!(f, "\\{}", char::from(octet))?,
                    b' '..=b'~' => f.write_char(octet.into())?,
                    other => write!(f, "\\{other:03}")?,
                }
            }
            f.write_char('"')?;
        }
        write!(f, " {}", self.replacement)
    }
}

/// The next field with its quotes and escapes, or nothing at the end of the text.
fn next_field(octets: &mut Peekable<Bytes<'_>>) -> Result<Option<Vec<u8>>, InvalidNaptr> {
    while octets.next_if(u8::is_ascii_whitespace).is_some() {}
    let mut field = Vec::new();
    let mut quoted = false;
    while let Some(octet) = octets.next_if(|octet| quoted || !octet.is_ascii_whitespace()) {
        field.push(octet);
        match octet {
            b'"' => quoted = !quoted,
            b'\\' => field.push(octets.next().ok_or(InvalidNaptr::Quoting)?),
            _ => {}
        }
    }
    match quoted {
        true => Err(InvalidNaptr::Quoting),
        false => Ok(Some(field).filter(|field| !field.is_empty())),
    }
}

fn number(field: &[u8]) -> Result<u16, InvalidNaptr> {
    std::str::from_utf8(field)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(InvalidNaptr::Number)
}

fn unquote(field: &[u8]) -> Result<Vec<u8>, InvalidNaptr> {
    let inside = field
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""))
        .unwrap_or(field);
    let mut out = Vec::with_capacity(inside.len());
    let mut octets = inside.iter().copied();
    while let Some(octet) = octets.next() {
        out.push(match octet {
            b'\\' => unescape(&mut octets).ok_or(InvalidNaptr::Quoting)?,
            b'"' => return Err(InvalidNaptr::Quoting),
            plain => plain,
        });
    }
    if out.len() > 255 {
        Err(InvalidNaptr::TooLong)
    } else {
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zone_text_is_unescaped_exactly_once() {
        let naptr: Naptr = r#"100 10 "u" "E2U+im" "!^\\+(.*)$!im:\\1@op.example!" ."#
            .parse()
            .unwrap();
        assert_eq!(naptr.regexp, br"!^\+(.*)$!im:\1@op.example!");
        assert_eq!((naptr.order, naptr.preference), (100, 10));
        assert!(naptr.replacement.is_root());
    }

    #[test]
    fn text_round_trip() {
        let odd = Naptr {
            order: 0,
            preference: 65535,
            flags: vec![],
            services: b"a \"b\" \\ c".to_vec(),
            regexp: vec![0, 0xff, b' ', b'0', b'\\'],
            replacement: "x\\.y.op.example.".parse().unwrap(),
        };
        assert_eq!(odd.to_string().parse(), Ok(odd));
    }

    #[test]
    fn broken_text_is_named() {
        let parse = |text: &str| text.parse::<Naptr>().unwrap_err();
        assert_eq!(parse("1 2 u s r"), InvalidNaptr::Fields);
        assert_eq!(parse("1 2 u s r . x"), InvalidNaptr::Fields);
        assert_eq!(parse("70000 2 u s r ."), InvalidNaptr::Number);
        assert_eq!(parse("1 2 \"u s r ."), InvalidNaptr::Quoting);
        assert_eq!(parse("1 2 u s a\\999 ."), InvalidNaptr::Quoting);
        assert_eq!(
            parse("1 2 u s r a..b"),
            InvalidNaptr::Replacement(InvalidName::EmptyLabel)
        );
        assert_eq!(
            parse(&format!("1 2 u s {} .", "x".repeat(256))),
            InvalidNaptr::TooLong
        );
    }
}
