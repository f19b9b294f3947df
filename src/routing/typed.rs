//! A person as people type and paste him: a number with spaces and brackets, a tel:, im: or sip: URI, an address.
//!
//! Peers' addresses are read by `model`, which takes no liberties; this is for the command line, the admin API and the
//! console, where a refusal says what to write instead.

use crate::{
    model::{Domain, InvalidAddress, WvAddress},
    wire::naptr::{Number, NumberError},
};

/// Why nobody is named.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NobodyNamed {
    /// Digits that don't say in which country.
    #[error("{0:?} has no country code: write a number as +447700900123")]
    National(String),
    /// A number that is none.
    #[error(transparent)]
    Number(#[from] NumberError),
    /// An address that is none.
    #[error("{0:?}: {1}")]
    Address(String, #[source] InvalidAddress),
    /// A domain, and nobody there.
    #[error("{0:?} is a domain: name somebody there, such as wv:bea@{0}")]
    OnlyDomain(String),
    /// A name without a domain.
    #[error("{0:?} has neither a number nor a domain: write +447700900123 or wv:bea@beta.example")]
    OnlyName(String),
}

/// Reads who is meant.
///
/// # Errors
/// [`NobodyNamed`], which says what to write.
pub fn typed_address(text: &str) -> Result<WvAddress, NobodyNamed> {
    let text = text.trim();
    let rest = without_scheme(text);
    let address = |text: &str| {
        text.parse()
            .map_err(|error| NobodyNamed::Address(text.to_owned(), error))
    };
    if rest.contains('@') || rest.is_empty() {
        return address(rest);
    }
    if rest.starts_with('+') {
        return address(Number::parse(rest, None)?.aus.as_str());
    }
    if rest.chars().all(|c| c.is_ascii_digit() || " -.()/".contains(c)) {
        return Err(NobodyNamed::National(text.to_owned()));
    }
    Err(match rest.parse::<Domain>() {
        Ok(_) => NobodyNamed::OnlyDomain(rest.to_owned()),
        Err(_) => NobodyNamed::OnlyName(text.to_owned()),
    })
}

fn without_scheme(text: &str) -> &str {
    match text.split_once(':') {
        Some((scheme, rest)) if SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known)) => rest,
        _ => text,
    }
}

/// What may stand before a person; the person stays the same (ENUM and SRV routing §11).
const SCHEMES: &[&str] = &["wv", "im", "pres", "tel", "sip", "sips", "xmpp"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_read_as_they_are_typed() {
        for (text, meant) in [
            ("+447700900456", "wv:+447700900456"),
            (" +44 7700 900-456 ", "wv:+447700900456"),
            ("tel:+44.7700.900456", "wv:+447700900456"),
            ("WV:+447700900456", "wv:+447700900456"),
            ("wv:+447700900456@beta.example", "wv:+447700900456@beta.example"),
            ("bea@beta.example", "wv:bea@beta.example"),
            ("im:bea@beta.example", "wv:bea@beta.example"),
            ("sip:bea@beta.example", "wv:bea@beta.example"),
        ] {
            assert_eq!(typed_address(text).unwrap().to_string(), meant, "{text:?}");
        }
    }

    #[test]
    fn refusal_says_what_to_write() {
        for (text, part) in [
            ("07700 900456", "no country code"),
            ("447700900456", "no country code"),
            ("+44 (0)7700 900456", "(0)"),
            ("+4477*", "wildcard"),
            ("+1234567890123456", "16 digits"),
            ("beta.example", "such as wv:bea@beta.example"),
            ("wv:beta.example", "such as wv:bea@beta.example"),
            ("bea", "neither a number nor a domain"),
            ("", "empty"),
            ("wv:", "empty"),
            ("x@y\n.example", "domain"),
            ("+٤٤٧٧", "the character"),
        ] {
            let refusal = typed_address(text).unwrap_err().to_string();
            assert!(refusal.contains(part), "{text:?}: {refusal}");
        }
    }
}
