//! What a record's expression gave: an absolute URI, and what routing can read from it.
//!
//! `im:` and `pres:` give a mailbox at a domain (RFC 3860, RFC 3859), `tel:` and the user part of `sip:` give a number
//! with portability data (RFC 4769). Every other URI is kept as it is. IRIs are refused: ENUM has URIs only
//! (RFC 5483 §2.1).

use std::fmt;

use percent_encoding::percent_decode_str;
use thiserror::Error;

use super::name::Name;
use super::number::{Aus, NumberError};
use super::portability::{TelParams, TelParamsError};
use super::services::Enumservice;

/// A URI with a scheme and without a fragment (`absolute-URI`, RFC 3986 §4.3), ASCII only.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct AbsoluteUri {
    text: Box<str>,
    scheme: Box<str>,
}

/// What routing reads from a URI.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Target {
    /// `im:` or `pres:`.
    Mailbox(Mailbox),
    /// `tel:`, or a `sip:` whose user part is a number of a `pstn` service.
    Telephone(Telephone),
    /// Any other URI; only its owner's protocol can read it.
    Opaque,
}

/// A user at a domain.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Mailbox {
    /// The local part, percent-decoded; its case is kept. It may itself hold an `@`, and may look like a number, but
    /// is never looked up in ENUM again.
    pub local: String,
    /// The domain in lower case and A-labels.
    pub domain: Name,
}

/// A number with its parameters.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Telephone {
    /// The number when it is global.
    pub aus: Aus,
    /// `npdi`, `rn`, `cic` and the rest.
    pub params: TelParams,
}

/// Why text is not a URI that routing can use.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum UriError {
    /// An octet above 0x7F: an IRI, not a URI.
    #[error("the result has octets outside ASCII; ENUM has URIs, not IRIs")]
    NotAscii,
    /// A space, a control character, or one of `"<>\^` and `{|}`, or a `#`.
    #[error("the result has the character {0:?}, which a URI may not have")]
    Character(char),
    /// A `%` without two hex digits.
    #[error("the result has a % without two hex digits")]
    Percent,
    /// No scheme before a colon, or nothing after it.
    #[error("the result is not an absolute URI")]
    NotAbsolute,
    /// `im://user@domain`: the grammar has no `//`.
    #[error("after im: and pres: stands a mailbox, not //")]
    Slashes,
    /// No `@`, or no local part before it.
    #[error("the URI has no user and domain")]
    NoMailbox,
    /// The local part decodes to something that is not UTF-8 text without controls.
    #[error("the local part decodes to octets that are not text")]
    LocalPart,
    /// The domain is an IP literal, a single label, or not a host name.
    #[error("{0:?} is not a fully qualified domain name")]
    Domain(String),
    /// The number of a tel: URI is not global or not well formed.
    #[error("the URI's number cannot be used: {0}")]
    Number(#[from] NumberError),
}

impl AbsoluteUri {
    /// Checks octets that an expression gave.
    ///
    /// # Errors
    /// [`UriError`] when they are not an absolute URI.
    pub fn parse(octets: &[u8]) -> Result<Self, UriError> {
        let text = std::str::from_utf8(octets)
            .ok()
            .filter(|text| text.is_ascii())
            .ok_or(UriError::NotAscii)?;
        let (scheme, rest) = text.split_once(':').ok_or(UriError::NotAbsolute)?;
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|octet| octet.is_ascii_alphanumeric() || b"+-.".contains(&octet));
        if let Some(bad) = text.chars().find(|character| !is_uri_character(*character)) {
            return Err(UriError::Character(bad));
        }
        if !is_scheme || rest.is_empty() || rest == "//" {
            return Err(UriError::NotAbsolute);
        }
        let whole = |escape: &str| escape.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
        if !text.split('%').skip(1).all(whole) {
            return Err(UriError::Percent);
        }
        Ok(Self {
            text: text.into(),
            scheme: scheme.to_ascii_lowercase().into(),
        })
    }

    /// The whole URI as the record gave it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The scheme in lower case.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Reads what routing needs, by the scheme and the service that it was published for.
    ///
    /// # Errors
    /// [`UriError`] when the scheme's own grammar is broken.
    pub fn target(&self, service: &Enumservice) -> Result<Target, UriError> {
        match self.scheme() {
            "im" | "pres" => Mailbox::parse(self.rest()).map(Target::Mailbox),
            "tel" => Telephone::parse(self.rest()).map(Target::Telephone),
            "sip" | "sips" if service.kind() == "pstn" => {
                let user = self
                    .rest()
                    .split_once('@')
                    .map(|(user, _)| user)
                    .ok_or(UriError::NoMailbox)?;
                Telephone::parse(user).map(Target::Telephone)
            }
            _ => Ok(Target::Opaque),
        }
    }

    fn rest(&self) -> &str {
        self.text.get(self.scheme.len() + 1..).unwrap_or_default()
    }
}

impl fmt::Display for AbsoluteUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Mailbox {
    /// Reads what follows `im:` or `pres:`. Headers after `?` are dropped.
    ///
    /// # Errors
    /// [`UriError`] when it is not `local@domain` with a fully qualified domain name.
    pub fn parse(rest: &str) -> Result<Self, UriError> {
        if rest.starts_with("//") {
            return Err(UriError::Slashes);
        }
        let mailbox = rest.split('?').next().unwrap_or_default();
        let (local, domain) = mailbox.rsplit_once('@').ok_or(UriError::NoMailbox)?;
        if local.is_empty() {
            return Err(UriError::NoMailbox);
        }
        let local = percent_decode_str(local)
            .decode_utf8()
            .map_err(|_| UriError::LocalPart)?
            .into_owned();
        if local.contains(char::is_control) {
            return Err(UriError::LocalPart);
        }
        Ok(Self {
            local,
            domain: fully_qualified(domain)?,
        })
    }
}

impl Telephone {
    fn parse(text: &str) -> Result<Self, UriError> {
        let (number, params) = text
            .split_at_checked(text.find(';').unwrap_or(text.len()))
            .unwrap_or((text, ""));
        let params = TelParams::parse(params).map_err(NumberError::from)?;
        let global = number
            .strip_prefix('+')
            .ok_or_else(|| NumberError::NotE164(number.to_owned()))?;
        let digits: String = global
            .chars()
            .filter(|character| !"-.()".contains(*character))
            .collect();
        Ok(Self {
            aus: Aus::new(&digits)?,
            params,
        })
    }
}

/// Whether a URI of this scheme may be published for this service, by the registrations in RFC 6118 and its peers. A
/// service that is registered nowhere may have any scheme.
pub fn scheme_fits(service: &Enumservice, scheme: &str) -> bool {
    match service.kind() {
        "im" if service.subtypes().next().is_none() => scheme == "im",
        "pres" if service.subtypes().next().is_none() => scheme == "pres",
        "xmpp" => scheme == "xmpp",
        "sip" => matches!(scheme, "sip" | "sips"),
        "h323" | "iax" | "acct" => scheme == service.kind(),
        "vcard" => matches!(scheme, "http" | "https"),
        "unused" => scheme == "data",
        "mms" | "sms" | "ems" | "email" | "fax" | "pstn" | "voice" | "web" | "ft" | "ifax" | "vpim"
        | "voicemsg" | "videomsg" | "unifmsg" | "ical-access" | "ical-sched" => service
            .subtypes()
            .next()
            .is_none_or(|subtype| subtype == scheme || subtype == "sip" && scheme == "sips"),
        _ => true,
    }
}

fn fully_qualified(domain: &str) -> Result<Name, UriError> {
    let refused = || UriError::Domain(domain.to_owned());
    let decoded = percent_decode_str(domain).decode_utf8().map_err(|_| refused())?;
    let ascii = idna::domain_to_ascii_cow(
        decoded.strip_suffix('.').unwrap_or(&decoded).as_bytes(),
        idna::AsciiDenyList::STD3,
    )
    .map_err(|_| refused())?;
    let top = ascii.rsplit_once('.').map(|(_, top)| top).ok_or_else(refused)?;
    // An all-digit last label is an IPv4 literal or nothing (RFC 3696 §2); brackets were refused by STD3.
    if top.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err(refused());
    }
    ascii.parse().map_err(|_| refused())
}

fn is_uri_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-._~:/?[]@!$&'()*+,;=%".contains(character)
}

impl From<TelParamsError> for UriError {
    fn from(error: TelParamsError) -> Self {
        Self::Number(error.into())
    }
}

#[cfg(test)]
mod tests;
