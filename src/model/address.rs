//! IMPS addresses: `wv:user@host`, `wv:+msisdn`, groups, one participant of a group, services.
//!
//! An address by number names a person, whoever serves the number today; the domain after it is only a form on
//! the wire. [`WvAddress::key`] is the one canonical identity that contacts, watchers and blocks are held under.

use std::{
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
    sync::Arc,
};

use super::{Domain, E164, InvalidDomain, InvalidE164};

/// Whom an address names, before the resource and the domain.
#[derive(Clone, Debug)]
pub enum LocalPart {
    /// `wv:+447700900123`: a person, by number.
    Msisdn(E164),
    /// `wv:ada@alpha.example`: a user name; compared without case, shown as written.
    Name(Arc<str>),
    /// `wv:@alpha.example` or `wv:/group@alpha.example`: the service itself.
    Service,
}

/// An IMPS address: `wv:` local part, optional `/resource`, optional `@domain`; of a group, optional `#screen-name`.
///
/// A group with a screen name is one participant, never the group: a private message stays private. As text the name stands
/// percent-encoded after a `#`; on the wire it never does, there it has elements of its own (SSP reference §6.2).
///
/// Equality and hash ignore case, but for the screen name, which is not ours to fold. Source: SSP reference §6.1; OMA IMPS
/// Client-Server Protocol, addressing.
#[derive(Clone, Debug)]
pub struct WvAddress {
    local: LocalPart,
    domain: Option<Domain>,
    /// What few addresses have; none where all of it is absent, so that addresses are small and cheap to clone.
    rest: Option<Arc<Rest>>,
}

/// What only groups, their participants and ported numbers have.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Rest {
    resource: Option<Arc<str>>,
    screen_name: Option<Arc<str>>,
    portability: Option<Arc<str>>,
}

impl Rest {
    fn shared(self) -> Option<Arc<Self>> {
        (self != Self::default()).then(|| Arc::new(self))
    }
}

impl WvAddress {
    /// The address of a person by number, without a domain.
    #[must_use]
    pub fn msisdn(number: E164) -> Self {
        Self {
            local: LocalPart::Msisdn(number),
            domain: None,
            rest: None,
        }
    }

    /// The service of a domain itself: `wv:@domain`.
    #[must_use]
    pub fn service(domain: Domain) -> Self {
        Self {
            local: LocalPart::Service,
            domain: Some(domain),
            rest: None,
        }
    }

    /// The participant of this group who goes by a screen name.
    ///
    /// # Errors
    /// [`InvalidAddress`] when this is no group, or the name is empty, too long or holds a control character.
    pub fn participant(&self, screen_name: &str) -> Result<Self, InvalidAddress> {
        let name = screen_name.trim();
        if name.is_empty() || !self.is_group() {
            return Err(InvalidAddress::Empty);
        }
        if name.chars().any(char::is_control) {
            return Err(InvalidAddress::BadCharacter);
        }
        let participant = self.with_rest(|rest| rest.screen_name = Some(name.into()));
        // What can't be read back must not be kept.
        if participant.to_string().len() > SCHEME + MAX_ADDRESS {
            return Err(InvalidAddress::TooLong);
        }
        Ok(participant)
    }

    /// The same number with what a trusted peer says of its portability: the parameters after it (`npdi;rn=+12155550199`).
    /// They are neither part of the identity nor of the text, and bear on this one request alone.
    #[must_use]
    pub fn with_portability(&self, params: &str) -> Self {
        self.with_rest(|rest| rest.portability = Some(params.into()))
    }

    /// What a trusted peer says of the number's portability, as written (RFC 4694 §4).
    #[must_use]
    pub fn portability(&self) -> Option<&str> {
        self.rest.as_ref()?.portability.as_deref()
    }

    /// The group of a participant; anything else is itself.
    #[must_use]
    pub fn without_screen_name(&self) -> Self {
        if self.screen_name().is_none() {
            return self.clone();
        }
        self.with_rest(|rest| rest.screen_name = None)
    }

    fn with_rest(&self, change: impl FnOnce(&mut Rest)) -> Self {
        let mut rest = self.rest.as_deref().cloned().unwrap_or_default();
        change(&mut rest);
        Self {
            rest: rest.shared(),
            ..self.clone()
        }
    }

    /// The same address under another domain, or under none.
    #[must_use]
    pub fn with_domain(&self, domain: Option<Domain>) -> Self {
        Self {
            domain,
            ..self.clone()
        }
    }

    /// Whom the address names.
    #[must_use]
    pub fn local(&self) -> &LocalPart {
        &self.local
    }

    /// The number, when the person is named by one.
    #[must_use]
    pub fn number(&self) -> Option<&E164> {
        match &self.local {
            LocalPart::Msisdn(number) => Some(number),
            LocalPart::Name(_) | LocalPart::Service => None,
        }
    }

    /// The group or contact list after the `/`.
    #[must_use]
    pub fn resource(&self) -> Option<&str> {
        self.rest.as_ref()?.resource.as_deref()
    }

    /// The name in the group, when this is one participant of it.
    #[must_use]
    pub fn screen_name(&self) -> Option<&str> {
        self.rest.as_ref()?.screen_name.as_deref()
    }

    /// The domain as written; for a number it says nothing on who serves it today.
    #[must_use]
    pub fn domain(&self) -> Option<&Domain> {
        self.domain.as_ref()
    }

    /// Whether this names a group (`wv:user/group@domain`, `wv:/group@domain`) or a participant of one.
    #[must_use]
    pub fn is_group(&self) -> bool {
        self.resource().is_some()
    }

    /// The canonical identity as text, lower case: `+digits` for a number whatever its domain, else `name@domain`.
    #[must_use]
    pub fn key(&self) -> String {
        let (number, name) = match &self.local {
            LocalPart::Msisdn(number) => (number.digits(), ""),
            LocalPart::Name(name) => ("", &**name),
            LocalPart::Service => ("", ""),
        };
        let is_bare = !number.is_empty() && !self.is_group();
        let resource = self.resource().unwrap_or_default();
        let domain = self.domain.as_ref().filter(|_| !is_bare).map(Domain::as_str);
        let octets = number.len() + name.len() + resource.len() + domain.map_or(0, str::len);
        let mut key = String::with_capacity(octets + SIGNS);
        if !number.is_empty() {
            key.push('+');
            key.push_str(number);
        }
        push_lower_case(&mut key, name);
        if self.is_group() {
            key.push('/');
            push_lower_case(&mut key, resource);
        }
        if let Some(domain) = domain {
            key.push('@');
            key.push_str(domain);
        }
        if let Some(name) = self.screen_name().filter(|_| !is_bare) {
            key.push('#');
            key.push_str(&percent_encoded(name));
        }
        key
    }

    /// The one form that contacts, watchers and blocks hold: a number loses its domain, a name keeps it.
    #[must_use]
    pub fn canonical(&self) -> Self {
        match &self.local {
            LocalPart::Msisdn(_) if !self.is_group() => self.with_domain(None),
            LocalPart::Msisdn(_) | LocalPart::Name(_) | LocalPart::Service => self.clone(),
        }
    }

    /// Whether both name the same person or group, in whatever form: a number is one person under any domain.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        match (self.number(), other.number()) {
            (Some(a), Some(b)) if !self.is_group() && !other.is_group() => a == b,
            _ => self == other,
        }
    }

    /// For logs: the number's last digits or most of the name hidden.
    #[must_use]
    pub fn masked(&self) -> String {
        let text = self.without_screen_name().to_string();
        let (user, domain) = text
            .split_once('@')
            .map_or((text.as_str(), None), |(user, domain)| (user, Some(domain)));
        let shown: String = user.chars().take(6).collect();
        let stars = if user.chars().count() > 6 { "***" } else { "" };
        let participant = if self.screen_name().is_some() { "#***" } else { "" };
        match domain {
            Some(domain) => format!("{shown}{stars}@{domain}{participant}"),
            None => format!("{shown}{stars}{participant}"),
        }
    }
}

impl FromStr for WvAddress {
    type Err = InvalidAddress;

    /// Reads an address with or without `wv:`, in any case, as peers write it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let rest = match text.get(..3) {
            Some(scheme) if scheme.eq_ignore_ascii_case("wv:") => text.get(3..).unwrap_or_default(),
            _ => text,
        };
        if rest.len() > MAX_ADDRESS {
            return Err(InvalidAddress::TooLong);
        }
        if let Some((group, name)) = rest.split_once('#') {
            let name = percent_decoded(name).ok_or(InvalidAddress::BadCharacter)?;
            return without_scheme(group)?.participant(&name);
        }
        without_scheme(rest)
    }
}

/// Reads what follows the scheme, up to a participant's name.
fn without_scheme(rest: &str) -> Result<WvAddress, InvalidAddress> {
    let (user, domain) = match rest.split_once('@') {
        Some((user, domain)) => (user, Some(domain.parse::<Domain>()?)),
        None => (rest, None),
    };
    // A domain may be longer in its one spelling than it came.
    if domain
        .as_ref()
        .is_some_and(|domain| user.len() + 1 + domain.as_str().len() > MAX_ADDRESS)
    {
        return Err(InvalidAddress::TooLong);
    }
    let (name, resource) = match user.split_once('/') {
        Some((name, resource)) => (name, Some(resource)),
        None => (user, None),
    };
    let name = name.split(';').next().unwrap_or_default();
    if resource.is_some_and(str::is_empty) || (name.is_empty() && domain.is_none()) {
        return Err(InvalidAddress::Empty);
    }
    if user.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(InvalidAddress::BadCharacter);
    }
    let local = if name.is_empty() {
        LocalPart::Service
    } else if name.starts_with('+') {
        LocalPart::Msisdn(name.parse()?)
    } else {
        LocalPart::Name(name.into())
    };
    Ok(WvAddress {
        local,
        domain,
        rest: resource.map(|resource| {
            Arc::new(Rest {
                resource: Some(resource.into()),
                ..Rest::default()
            })
        }),
    })
}

impl fmt::Display for WvAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("wv:")?;
        match &self.local {
            LocalPart::Msisdn(number) => number.fmt(f)?,
            LocalPart::Name(name) => f.write_str(name)?,
            LocalPart::Service => {}
        }
        if let Some(resource) = self.resource() {
            f.write_str("/")?;
            f.write_str(resource)?;
        }
        if let Some(domain) = &self.domain {
            f.write_str("@")?;
            f.write_str(domain.as_str())?;
        }
        if let Some(name) = self.screen_name() {
            write!(f, "#{}", percent_encoded(name))?;
        }
        Ok(())
    }
}

impl PartialEq for WvAddress {
    fn eq(&self, other: &Self) -> bool {
        let local = match (&self.local, &other.local) {
            (LocalPart::Msisdn(a), LocalPart::Msisdn(b)) => a == b,
            (LocalPart::Name(a), LocalPart::Name(b)) => is_same_folded(a, b),
            (LocalPart::Service, LocalPart::Service) => true,
            (LocalPart::Msisdn(_) | LocalPart::Name(_) | LocalPart::Service, _) => false,
        };
        let resource = match (self.resource(), other.resource()) {
            (Some(a), Some(b)) => is_same_folded(a, b),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        local && resource && self.domain == other.domain && self.screen_name() == other.screen_name()
    }
}

impl Eq for WvAddress {}

impl Hash for WvAddress {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match &self.local {
            LocalPart::Msisdn(number) => number.hash(state),
            LocalPart::Name(name) => name.to_lowercase().hash(state),
            LocalPart::Service => 0_u8.hash(state),
        }
        self.resource().map(str::to_lowercase).hash(state);
        self.domain.hash(state);
        self.screen_name().hash(state);
    }
}

impl serde::Serialize for WvAddress {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for WvAddress {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a text is no IMPS address.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidAddress {
    /// No user, resource or domain where one must be.
    #[error("the address is empty")]
    Empty,
    /// Over 512 octets.
    #[error("the address is longer than {MAX_ADDRESS} octets")]
    TooLong,
    /// White space, a control character, or a screen name that is not percent-encoded.
    #[error("the address holds white space, a control character or a malformed screen name")]
    BadCharacter,
    /// A user part that begins with `+` and is no number.
    #[error("the number in the address is malformed: {0}")]
    Number(#[from] InvalidE164),
    /// What follows the `@` is no domain name.
    #[error("the domain of the address is malformed: {0}")]
    Domain(#[from] InvalidDomain),
}

/// All but letters, digits and `-._~` of ASCII as `%XX` (RFC 3986 §2.1).
fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
            out.push(char::from(octet));
        } else {
            out.push_str(&format!("%{octet:02X}"));
        }
    }
    out
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(octets).ok()
}

/// Appends a text in lower case.
fn push_lower_case(to: &mut String, text: &str) {
    let from = to.len();
    if text.is_ascii() {
        to.push_str(text);
        if let Some(added) = to.get_mut(from..) {
            added.make_ascii_lowercase();
        }
    } else {
        to.push_str(&text.to_lowercase());
    }
}

/// Whether two texts differ in case at most.
fn is_same_folded(a: &str, b: &str) -> bool {
    if a.is_ascii() && b.is_ascii() {
        return a.eq_ignore_ascii_case(b);
    }
    a.to_lowercase() == b.to_lowercase()
}

/// The `+`, `/` and `@` of a key.
const SIGNS: usize = 3;
const MAX_ADDRESS: usize = 512;
/// Octets of `wv:`.
const SCHEME: usize = 3;
