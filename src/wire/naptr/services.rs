//! The SERVICES field (RFC 6116 §3.4.3) and which Enumservices a caller wants.
//!
//! The compound form, the service-first order of RFC 2916 and the private prefixes `P-` and `X-` are read here;
//! everything is compared without case. Whether a private service is accepted is the evaluation's policy.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// One Enumservice, `type` or `type:subtype:…`, in lower case.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Enumservice(Box<str>);

/// What a services field says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Services {
    /// Left to right, as their owner prefers them.
    pub offered: Vec<Enumservice>,
    /// The field had the order of RFC 2916, service first.
    pub legacy: bool,
}

/// Why a services field gives no Enumservice.
#[derive(Clone, Debug, Eq, Error, Hash, PartialEq)]
pub enum ServicesError {
    /// The field is empty, which only a non-terminal may have.
    #[error("the services field is empty")]
    Empty,
    /// There is no `E2U` token: the record belongs to another DDDS application.
    #[error("the services field {0:?} is not of ENUM, it has no E2U")]
    NotEnum(String),
    /// A token is empty, longer than 32 characters, or has other characters than letters, digits and `-`.
    #[error("the services field {0:?} is not well formed")]
    Syntax(String),
}

/// Text that is not an Enumservice.
#[derive(Clone, Debug, Eq, Error, Hash, PartialEq)]
#[error("{0:?} is not an Enumservice; write type or type:subtype in letters, digits and hyphens")]
pub struct InvalidEnumservice(String);

/// The Enumservices that a caller can use: exact ones, or every subtype of a type.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Wanted(Vec<WantedService>);

/// One entry of [`Wanted`].
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum WantedService {
    /// `type[:subtype…]`, matched as a whole.
    Exactly(Enumservice),
    /// `type:*`: the type with any subtypes or none; holds the lower-case type.
    AnySubtype(Box<str>),
}

impl Enumservice {
    /// The text, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The type, before the first colon.
    pub fn kind(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }

    /// The subtypes, in order.
    pub fn subtypes(&self) -> impl Iterator<Item = &str> {
        self.0.split(':').skip(1)
    }

    /// A `P-` service: meant for one private network only (RFC 6116 §3.4.3.1).
    pub fn is_private(&self) -> bool {
        self.0.starts_with("p-")
    }

    /// An `X-` service: experimental (RFC 6117 §11.3).
    pub fn is_experimental(&self) -> bool {
        self.0.starts_with("x-")
    }
}

impl FromStr for Enumservice {
    type Err = InvalidEnumservice;

    fn from_str(text: &str) -> Result<Self, InvalidEnumservice> {
        let token = |token: &str| {
            matches!(token.len(), 1..=32)
                && token
                    .bytes()
                    .all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
        };
        match text.split(':').all(token) {
            true => Ok(Self(text.to_ascii_lowercase().into())),
            false => Err(InvalidEnumservice(text.to_owned())),
        }
    }
}

impl fmt::Display for Enumservice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Services {
    /// Reads the field of a terminal record.
    ///
    /// # Errors
    /// [`ServicesError`], each a reason to pass over this record and go on.
    pub fn parse(field: &[u8]) -> Result<Self, ServicesError> {
        let text = String::from_utf8_lossy(field);
        if text.is_empty() {
            return Err(ServicesError::Empty);
        }
        let syntax = |_| ServicesError::Syntax(text.clone().into_owned());
        let is_e2u = |token: &str| token.eq_ignore_ascii_case("E2U");
        match text.split_once('+') {
            Some((first, rest)) if is_e2u(first) => {
                let offered = rest
                    .split('+')
                    .map(str::parse)
                    .collect::<Result<_, _>>()
                    .map_err(syntax)?;
                Ok(Self {
                    offered,
                    legacy: false,
                })
            }
            Some((protocol, last)) if is_e2u(last) => Ok(Self {
                offered: vec![legacy(protocol).map_err(syntax)?],
                legacy: true,
            }),
            None if is_e2u(&text) => Err(ServicesError::Syntax(text.into_owned())),
            Some(_) | None => Err(ServicesError::NotEnum(text.into_owned())),
        }
    }
}

impl Wanted {
    /// Builds the set from text such as `["im", "pres", "pstn:*"]`.
    ///
    /// # Errors
    /// [`InvalidEnumservice`] for the first entry that is neither an Enumservice nor `type:*`.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidEnumservice> {
        entries
            .into_iter()
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether `service` is one of them.
    pub fn contains(&self, service: &Enumservice) -> bool {
        self.0.iter().any(|entry| match entry {
            WantedService::Exactly(exact) => exact == service,
            WantedService::AnySubtype(kind) => **kind == *service.kind(),
        })
    }
}

impl FromIterator<WantedService> for Wanted {
    fn from_iter<I: IntoIterator<Item = WantedService>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}

impl FromStr for WantedService {
    type Err = InvalidEnumservice;

    fn from_str(text: &str) -> Result<Self, InvalidEnumservice> {
        let Some(kind) = text.strip_suffix(":*") else {
            return text.parse().map(Self::Exactly);
        };
        let service: Enumservice = kind.parse().map_err(|_| InvalidEnumservice(text.to_owned()))?;
        if service.subtypes().next().is_some() {
            return Err(InvalidEnumservice(text.to_owned()));
        }
        Ok(Self::AnySubtype(service.0))
    }
}

/// RFC 2916 named the protocol alone; these are the Enumservices that took their place.
fn legacy(protocol: &str) -> Result<Enumservice, InvalidEnumservice> {
    let service: Enumservice = protocol.parse()?;
    match service.as_str() {
        "mailto" => "email:mailto".parse(),
        "tel" => "voice:tel".parse(),
        _ => Ok(service),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(field: &str) -> Vec<String> {
        let services = Services::parse(field.as_bytes()).unwrap();
        services.offered.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn compound_keeps_its_order_and_loses_its_case() {
        assert_eq!(offered("e2u+IM+Pres"), ["im", "pres"]);
        assert_eq!(offered("E2U+pstn:TEL+sip"), ["pstn:tel", "sip"]);
    }

    #[test]
    fn the_order_of_rfc_2916_is_read() {
        assert_eq!(offered("sip+E2U"), ["sip"]);
        assert_eq!(offered("mailto+e2u"), ["email:mailto"]);
        assert_eq!(offered("tel+E2U"), ["voice:tel"]);
        assert!(Services::parse(b"sip+E2U").unwrap().legacy);
    }

    #[test]
    fn every_other_field_has_its_reason() {
        assert_eq!(Services::parse(b""), Err(ServicesError::Empty));
        for foreign in ["SIP+D2U", "E2L+x", "sip", "a+b+E2U"] {
            assert_eq!(
                Services::parse(foreign.as_bytes()),
                Err(ServicesError::NotEnum(foreign.into()))
            );
        }
        let long = format!("E2U+{}", "x".repeat(33));
        for broken in [
            "E2U", "E2U+", "E2U+im+", "E2U++im", "E2U+im:", "E2U+i_m", &long, "+E2U",
        ] {
            assert_eq!(
                Services::parse(broken.as_bytes()),
                Err(ServicesError::Syntax(broken.into())),
                "{broken}"
            );
        }
        assert!(matches!(
            Services::parse(b"E2U+\xff"),
            Err(ServicesError::Syntax(_))
        ));
    }

    #[test]
    fn wanted_is_exact_unless_it_ends_in_a_star() {
        let wanted = Wanted::parse(["im", "pstn:*"]).unwrap();
        let has = |service: &str| wanted.contains(&service.parse().unwrap());
        assert!(has("IM") && has("pstn") && has("pstn:sip"));
        assert!(!has("im:sip") && !has("pres"));
        for broken in ["", ":*", "a:b:*", "*"] {
            assert!(Wanted::parse([broken]).is_err(), "{broken}");
        }
    }
}
