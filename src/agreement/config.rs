//! The agreement as operators write it: one `[[agreement]]` table a peer.

use std::{fmt, net::IpAddr, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::model::{AttributeName, ByteSize, Domain, PeerName, Service};

/// One interconnection agreement. What is not named is not allowed.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub struct AgreementConfig {
    /// The operator's own name for the peer, as it appears in logs, metrics and commands.
    pub peer: PeerName,
    /// The peer's domains; an SSP session is opened for each that traffic needs.
    pub domains: Vec<Domain>,
    /// What the peer is to us.
    #[serde(default)]
    pub role: Role,
    /// As whom we speak to a home server: `gateway`, in one session with it; or, because it can't be told of a gateway and dials
    /// each partner itself, `partner-domains`, in one session for each partner, in the name of the partner's domain.
    #[serde(default)]
    pub presents: Presents,
    /// How the peer's implementation differs from the specification: `strict` or `observed`.
    #[serde(default)]
    pub profile: ProfileName,
    /// How numbers are written to this peer.
    #[serde(default)]
    pub msisdn_form: MsisdnForm,
    /// Whether portability parameters after a number (`;npdi`, `;rn=`, `;cic=`) are believed; if not, they are dropped and
    /// ENUM is asked as for any number (RFC 4694 §5).
    #[serde(default)]
    pub trust_portability: bool,
    /// Whether people whom ENUM gives a name of their own (`im:alice@op.example`) go to this peer under that name; if not,
    /// they go under their number, in the form of `msisdn_form`. Answers, reports and notices come back under the number.
    #[serde(default = "default_names_from_enum")]
    pub names_from_enum: bool,
    /// What may pass.
    #[serde(default)]
    pub services: Services,
    /// How much may pass.
    #[serde(default)]
    pub limits: Limits,
    /// How fast what goes to the peer may go, and when it is tried again.
    #[serde(default)]
    pub delivery: DeliveryPolicy,
    /// What this peer's people may learn of ours.
    #[serde(default)]
    pub disclose: Disclosure,
    /// Third parties in whose name the peer may send (transit).
    #[serde(default)]
    pub speaks_for: SpeaksFor,
    /// Whether the peer may send through us to third operators.
    #[serde(default)]
    pub transit: bool,
    /// When a message counts as accepted: `taken` (cut-through) or `store` (body committed first).
    #[serde(default)]
    pub accept: Accept,
    /// What becomes of the peer's messages while the database that nodes share is away: `refuse`, with a temporary code; `carry`,
    /// they go on to whoever takes them at once, and a repeat that comes to another node meanwhile is not known as one.
    #[serde(default)]
    pub degraded: Degraded,
    /// What becomes of an "added to contact list" notice when the peer does not know the primitive.
    #[serde(default)]
    pub atcl_fallback: AtclFallback,
    /// Whether an exact search by number is answered from ENUM alone when the peer can't search.
    #[serde(default)]
    pub search_from_enum: bool,
    /// How long an answer is waited for after the peer acknowledged the document.
    #[serde(default = "default_answer_timeout", with = "crate::model::duration")]
    pub answer_timeout: Duration,
    /// The networks that the peer's servers are in; connections go nowhere else. Loopback must be named.
    #[serde(default)]
    pub allowed_networks: NetworkList,
    /// The peer's servers as `host:port`, instead of what SRV records say; needed for a home server, whose own SRV
    /// records name this gateway.
    #[serde(default)]
    pub servers: Vec<String>,
    /// TLS with this peer.
    #[serde(default)]
    pub tls: PeerTls,
}

/// What a peer is to us.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Another operator.
    #[default]
    Partner,
    /// An IMPS server of our own: what it sends goes out to the world, what partners send goes to it.
    Home,
}

/// As whom we speak to a home server.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presents {
    /// As ourselves: one session for all the world, for a server that routes to us and takes senders of any domain.
    #[default]
    Gateway,
    /// As each partner: for a server that looks up the partner's `_imps-server._tcp` record itself, answers 901 when a sender's
    /// domain is not the session's, and does not relay (SSP reference §2, §6.1).
    PartnerDomains,
}

/// The named set of quirks of a peer's implementation (`wire/ssp`'s profiles).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProfileName {
    /// As the reference recommends.
    #[default]
    Strict,
    /// The deployed peer of the reference, with all its quirks.
    Observed,
}

/// How numbers are written to a peer (SSP extensions, "The two forms of an MSISDN address").
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MsisdnForm {
    /// `wv:+447700900123`.
    #[default]
    Bare,
    /// `wv:+447700900123@alpha.example`.
    WithDomain,
}

/// The services that may pass, each way. What answers a request passes with it: delivery reports, presence notifications,
/// answers to invitations, group events.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Services {
    /// From the peer to us.
    #[serde(default, rename = "in")]
    pub inbound: Vec<Service>,
    /// From us to the peer.
    #[serde(default, rename = "out")]
    pub outbound: Vec<Service>,
}

/// How much may pass.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Requests a second from the peer, all services together; over it they are refused with a clear code. Of several nodes each
    /// counts what comes to it.
    pub requests_per_second: u32,
    /// How many may come at once above the steady rate.
    pub burst: u32,
    /// Requests a minute from one of the peer's users.
    pub sender_per_minute: u32,
    /// The largest message content.
    pub max_content: ByteSize,
    /// Media types that may pass, such as `text/*`; `*/*` for all.
    pub media_types: Vec<String>,
    /// Most recipients of one request.
    pub max_recipients: u32,
    /// Most messages, notices and notifications that wait for this peer, dead ones too; what would be one more is refused
    /// with a clear code instead of being accepted.
    pub max_queued: u64,
    /// Most presence subscriptions of the peer's people here. Each is a row of the store, and the peer chooses how many
    /// watchers it names.
    pub max_subscriptions: u64,
    /// Most documents under way to the peer on one session.
    pub documents_in_flight: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests_per_second: 500,
            burst: 1000,
            sender_per_minute: 300,
            max_content: ByteSize::kib(64),
            media_types: vec!["text/*".into()],
            max_recipients: 50,
            max_queued: 100_000,
            max_subscriptions: 100_000,
            documents_in_flight: 4,
        }
    }
}

/// How fast what goes to the peer may go, and when it is tried again. Messages, notices, notifications and reports are paced:
/// while the peer is slow or refuses it is given less, down to one at a time and one a second, and more again as it answers.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeliveryPolicy {
    /// Most deliveries under way to the peer, from all nodes together; `impsgw peer show` says how many may be now.
    pub max_in_flight: u32,
    /// Most deliveries to the peer that begin in a second, from all nodes together.
    pub max_per_second: u32,
    /// An answer that takes longer than this counts as slow, and the peer is given less. Above what the peer usually takes, or it
    /// is never given more than one at a time.
    #[serde(with = "crate::model::duration")]
    pub slow_after: Duration,
    /// The first pause after a failed attempt; `0s` for what `[relay]` says.
    #[serde(with = "crate::model::duration")]
    pub first_retry: Duration,
    /// The longest pause between two attempts; `0s` for what `[relay]` says.
    #[serde(with = "crate::model::duration")]
    pub longest_retry: Duration,
}

impl Default for DeliveryPolicy {
    fn default() -> Self {
        Self {
            max_in_flight: 1000,
            max_per_second: 10_000,
            slow_after: Duration::from_secs(10),
            first_retry: Duration::ZERO,
            longest_retry: Duration::ZERO,
        }
    }
}

/// What the peer's people may learn of ours.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Disclosure {
    /// Display names in search results and notices.
    pub friendly_name: bool,
    /// People of ours are named by number (`wv:+MSISDN`) where they allow it; number portability needs it. If not, what they
    /// ask goes out under their user name, and is refused where a home server gives us nothing but a number.
    pub msisdn: bool,
    /// Presence attributes that may cross; empty means all that the person allows.
    pub presence: Vec<AttributeName>,
}

impl Default for Disclosure {
    fn default() -> Self {
        Self {
            friendly_name: true,
            msisdn: true,
            presence: Vec::new(),
        }
    }
}

/// Third parties in whose name a transit peer may send.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpeaksFor {
    /// Domains, and all below them.
    pub domains: Vec<Domain>,
    /// Number prefixes, such as `+4477009`.
    pub numbers: Vec<String>,
}

/// When a message counts as accepted (architecture, "A 200 is a promise").
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accept {
    /// When the next hop has taken it, within the bound; else when it is committed.
    #[default]
    Taken,
    /// When its body is committed.
    Store,
}

/// What becomes of the peer's messages while the database that nodes share is away.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Degraded {
    /// They are refused with a temporary code.
    #[default]
    Refuse,
    /// They go on to whoever takes them at once; what is to be remembered of them waits in a file of the node's own.
    Carry,
}

/// What becomes of a notice to a peer that does not know the primitive (SSP extensions).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AtclFallback {
    /// It is dropped.
    #[default]
    Off,
    /// It goes as a text message from the adding user.
    Message,
}

/// TLS with a peer.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct PeerTls {
    /// Whether connections are TLS at all; `false` only on a closed segment.
    pub required: bool,
    /// Whether the peer must show a client certificate for its domain.
    pub mutual: bool,
    /// Names besides the service domain that the peer's certificates may carry.
    pub names: Vec<String>,
    /// Whether a client certificate made for servers only (`serverAuth`) is taken.
    pub accept_server_certificates: bool,
}

impl Default for PeerTls {
    fn default() -> Self {
        Self {
            required: true,
            mutual: true,
            names: Vec::new(),
            accept_server_certificates: false,
        }
    }
}

/// Networks as `10.0.0.0/8` or `fd00::/8`; a bare address is a network of one.
///
/// An empty list means the public Internet and private networks, but never loopback or link-local.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct NetworkList(pub Vec<Network>);

impl NetworkList {
    /// Whether a connection to this address is allowed.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        if self.0.iter().any(|network| network.contains(address)) {
            return true;
        }
        self.0.is_empty() && !is_local(address)
    }
}

/// One network.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Whether the address lies in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let error = || format!("{text} is no network: write it as 10.0.0.0/8 or fd00::/8");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| error())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| error())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(width);
        if bits > width {
            return Err(error());
        }
        Ok(Self { address, bits })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl Serialize for Network {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            // 0.0.0.0/8 reaches the own host on some systems (RFC 1122 §3.2.1.3); from 240.0.0.0 on all is reserved.
            let [first, ..] = v4.octets();
            first == 0 || first >= 240 || v4.is_loopback() || v4.is_link_local() || v4.is_multicast()
        }
        // The last term: an IPv4 address in the low bits of ::/96, deprecated by RFC 4291 §2.5.5.1, with :: and ::1.
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_multicast() || v6.to_bits() >> 32 == 0,
    }
}

fn default_names_from_enum() -> bool {
    true
}

fn default_answer_timeout() -> Duration {
    Duration::from_secs(30)
}
