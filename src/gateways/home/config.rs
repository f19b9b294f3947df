//! The settings of the embedded home domain: its domains and number ranges, where subscribers reach it, its bounds, the
//! words it uses, and accounts that stand in the file (for the lab; others are made with `impsgw home`).

use std::{collections::BTreeMap, fmt, net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Deserializer, Serialize};

use super::secret::PasswordCost;
use crate::model::{AttributeName, ByteSize, Domain, E164, duration};

/// Subscribers of our own; without this section a home IMPS server has them, as a peer with `role = "home"`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct HomeConfig {
    /// Where the subscriber API listens; absent, subscribers can't reach it, and only deliveries are taken.
    pub listen: Option<SocketAddr>,
    /// The certificate chain that subscribers are shown, PEM; exchanged by a reload. Without it the listener has no TLS.
    pub certificate: Option<PathBuf>,
    /// Its key, PEM.
    pub key: Option<PathBuf>,
    /// Says that a TLS terminator stands before a listener without TLS: passwords and tokens cross the network in between
    /// in clear, and all connections come from the terminator's address, so that `max_connections_per_address` is not
    /// counted.
    pub tls_in_front: bool,
    /// How long a subscriber's device may take for its TLS handshake, for a request's header and for a body.
    #[serde(with = "duration")]
    pub request_timeout: Duration,
    /// Most connections of subscribers, in all; an open event stream is one.
    pub max_connections: usize,
    /// Most connections from one source: an IPv4 address, or a /64 of IPv6. Many mobile subscribers share one.
    pub max_connections_per_address: usize,
    /// The domains whose subscribers live here; the first takes accounts that name none.
    #[serde(rename = "domain")]
    pub domains: Vec<HomeDomainConfig>,
    /// What everybody may see of a subscriber who has not chosen otherwise (use case 5.20.5: "default presence
    /// attributes"); empty makes each watcher wait for the subscriber's consent.
    pub public_attributes: Vec<AttributeName>,
    /// How often people whom somebody watches, and of whom nothing has come yet, are subscribed to again: a number that
    /// nobody had may have an owner now.
    #[serde(with = "duration")]
    pub subscribe_again: Duration,
    /// The language of subscribers who have not chosen one, as an RFC 5646 tag.
    pub language: String,
    /// Bounds; each refuses with a code of its own.
    pub limits: HomeLimits,
    /// Words of the server by language, in place of the built-in ones.
    pub templates: BTreeMap<String, Templates>,
    /// Accounts that are made at the start when they are not there yet; meant for the lab.
    #[serde(rename = "account")]
    pub accounts: Vec<AccountConfig>,
}

impl Default for HomeConfig {
    fn default() -> Self {
        Self {
            listen: None,
            certificate: None,
            key: None,
            tls_in_front: false,
            request_timeout: Duration::from_secs(10),
            max_connections: 16_384,
            max_connections_per_address: 1_024,
            domains: Vec::new(),
            public_attributes: vec![AttributeName::OnlineStatus, AttributeName::UserAvailability],
            subscribe_again: Duration::from_secs(3600),
            language: "en".into(),
            limits: HomeLimits::default(),
            templates: BTreeMap::new(),
            accounts: Vec::new(),
        }
    }
}

impl HomeConfig {
    /// Every mistake that one value alone does not show; empty when there is none.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.domains.is_empty() {
            problems
                .push("[home] has no [[home.domain]]; name the domain whose subscribers live here".into());
        }
        for (index, domain) in self.domains.iter().enumerate() {
            if self
                .domains
                .iter()
                .skip(index + 1)
                .any(|other| other.name == domain.name)
            {
                problems.push(format!("[[home.domain]] {} is there twice", domain.name));
            }
            for prefix in &domain.numbers {
                if digits_of(prefix).is_none() {
                    problems.push(format!(
                        "[[home.domain]] {}: {prefix:?} is no number prefix; write it as \"+447700900\"",
                        domain.name
                    ));
                }
            }
        }
        for (index, account) in self.accounts.iter().enumerate() {
            let number = &account.number;
            if self
                .accounts
                .iter()
                .skip(index + 1)
                .any(|other| other.number == *number)
            {
                problems.push(format!("[[home.account]] {number} is there twice"));
            }
            if account.domain.as_ref().is_some_and(|named| !self.serves(named)) {
                problems.push(format!(
                    "[[home.account]] {number}: its domain is no [[home.domain]]"
                ));
            }
        }
        problems.extend(self.limits.problems());
        problems
    }

    /// The files of TLS, certificate and key; `None` when the listener has none.
    #[must_use]
    pub fn tls_files(&self) -> Option<(PathBuf, PathBuf)> {
        Some((self.certificate.clone()?, self.key.clone()?))
    }

    /// Whether subscribers of this domain live here.
    #[must_use]
    pub fn serves(&self, domain: &Domain) -> bool {
        self.domains.iter().any(|one| one.name == *domain)
    }

    /// The domain in whose number ranges a number lies; the longest prefix counts.
    #[must_use]
    pub fn domain_of_number(&self, number: &E164) -> Option<&Domain> {
        let fits = |domain: &HomeDomainConfig| {
            let lengths = domain.numbers.iter().filter_map(|prefix| digits_of(prefix));
            lengths
                .filter(|digits| number.has_prefix(digits))
                .map(str::len)
                .max()
        };
        let ranked = self
            .domains
            .iter()
            .filter_map(|domain| Some((fits(domain)?, &domain.name)));
        ranked.max_by_key(|(length, _)| *length).map(|(_, name)| name)
    }
}

/// A domain whose subscribers live here.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HomeDomainConfig {
    /// Its name, also in `[gateway] domains`.
    pub name: Domain,
    /// Number prefixes such as `+447700900`; an account without a domain goes to the one its number lies in. Numbers
    /// ported in lie outside and name their domain.
    #[serde(default)]
    pub numbers: Vec<String>,
}

/// The bounds of the home domain.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct HomeLimits {
    /// Contacts of one subscriber.
    pub contacts: usize,
    /// People who watch one subscriber; more are refused as a full queue.
    pub watchers: usize,
    /// People whom one subscriber blocks, or gives rights of their own.
    pub rules: usize,
    /// Events that wait in one inbox until a device acknowledges them.
    pub inbox_events: usize,
    /// Octets that wait in one inbox.
    pub inbox_size: ByteSize,
    /// The largest content of one message.
    pub max_content: ByteSize,
    /// The largest body of one request of the subscriber API; base64 and JSON make content a third larger.
    pub max_body: ByteSize,
    /// Recipients of one message.
    pub recipients: usize,
    /// Groups that one subscriber has opened and that have not ended.
    pub groups: usize,
    /// Groups that one subscriber has joined, wherever they live.
    pub groups_joined: usize,
    /// Members of one group, with those who are invited; a message to the group goes to each who has joined.
    pub group_members: usize,
    /// Messages a minute to one group, of all its members together; that many may come at once.
    pub group_messages_per_minute: u32,
    /// Messages and news of one group that wait to go out to its members.
    pub group_queue: usize,
    /// Requests a minute of one subscriber, all devices together; that many may come at once.
    pub requests_per_minute: u32,
    /// Wrong passwords in a row, within `login_window`, after which the account's logins are refused for the rest of it.
    pub login_attempts: u32,
    /// How long wrong passwords count.
    #[serde(with = "duration")]
    pub login_window: Duration,
    /// Devices that may be logged in at once for one subscriber; one more logs the longest idle one out.
    pub devices: usize,
    /// Event streams that may be open at once for one subscriber.
    pub connections: usize,
    /// Passing events (presence, watchers) kept for a device that comes back; older ones make it read anew.
    pub events: usize,
    /// A device without a request or an open stream for so long no longer counts as online.
    #[serde(with = "duration")]
    pub idle: Duration,
    /// How long a token is good after its last login.
    #[serde(with = "duration")]
    pub token_validity: Duration,
    /// How long a message waits when its sender gave no validity.
    #[serde(with = "duration")]
    pub default_validity: Duration,
    /// The longest validity that is honoured.
    #[serde(with = "duration")]
    pub max_validity: Duration,
    /// Memory that hashing one password fills (Argon2id, RFC 9106); more is slower for us and for a thief. Four passwords
    /// are checked at once.
    pub password_memory: ByteSize,
    /// How often that memory is filled.
    pub password_passes: u32,
}

impl Default for HomeLimits {
    fn default() -> Self {
        Self {
            contacts: 10_000,
            watchers: 10_000,
            rules: 1_000,
            inbox_events: 1_000,
            inbox_size: ByteSize::mib(8),
            max_content: ByteSize::kib(64),
            max_body: ByteSize::kib(128),
            recipients: 50,
            groups: 20,
            groups_joined: 50,
            group_members: 50,
            group_messages_per_minute: 120,
            group_queue: 200,
            requests_per_minute: 600,
            login_attempts: 10,
            login_window: Duration::from_secs(900),
            devices: 16,
            connections: 8,
            events: 256,
            idle: Duration::from_secs(1800),
            token_validity: Duration::from_secs(30 * 86_400),
            default_validity: Duration::from_secs(86_400),
            max_validity: Duration::from_secs(7 * 86_400),
            password_memory: ByteSize::mib(7),
            password_passes: 5,
        }
    }
}

impl HomeLimits {
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.default_validity > self.max_validity {
            problems.push("[home.limits] default_validity is longer than max_validity".into());
        }
        if self.max_body < self.max_content {
            problems.push("[home.limits] max_body must be larger than max_content".into());
        }
        problems
    }

    /// What checking a password costs.
    pub(crate) fn password_cost(&self) -> PasswordCost {
        PasswordCost::new(self.password_memory.0, self.password_passes)
    }

    /// How long a message may wait.
    #[must_use]
    pub fn validity(&self, asked: Option<Duration>) -> Duration {
        let asked = asked.filter(|asked| !asked.is_zero());
        asked.unwrap_or(self.default_validity).min(self.max_validity)
    }
}

/// What the server says to a subscriber; `{name}` and `{address}` stand for the other person.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Templates {
    /// Somebody has added the subscriber to a contact list (use case 5.20.9: server defined text).
    pub contact_added: String,
}

/// An account that stands in the configuration.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AccountConfig {
    /// The number, as `+447700900123`.
    #[serde(with = "number")]
    pub number: E164,
    /// The user name: the part before `@` of `wv:user@domain`.
    pub user: String,
    /// The domain; absent, the one whose range the number lies in, else the first.
    #[serde(default)]
    pub domain: Option<Domain>,
    /// The name that others see.
    pub friendly_name: String,
    /// The password, in clear; anybody who reads the file reads it.
    #[serde(skip_serializing)]
    pub password: Secret,
    /// The subscriber's language; absent, that of `[home]`.
    #[serde(default)]
    pub language: Option<String>,
}

/// A text that is not shown.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Numbers as `+447700900123`.
pub(crate) mod number {
    use serde::Serializer;

    use super::{Deserialize, Deserializer, E164};

    pub(crate) fn serialize<S: Serializer>(number: &E164, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<E164, D::Error> {
        super::parsed(&String::deserialize(deserializer)?)
    }
}

fn parsed<E: serde::de::Error>(text: &str) -> Result<E164, E> {
    text.parse()
        .map_err(|error| E::custom(format!("{text:?}: {error}")))
}

fn digits_of(prefix: &str) -> Option<&str> {
    let digits = prefix.strip_prefix('+')?;
    let is_prefix = (1..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_prefix.then_some(digits)
}
