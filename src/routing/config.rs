//! The settings of routing: who is asked, what is believed, how long it is kept.
//!
//! Nothing here is resolved or connected to; `check` names every mistake at once. Whether an address that routing
//! found may be connected to is the agreement's to say, at the connection.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    model::{ByteSize, Domain, PeerName, duration},
    wire::naptr::{Name, Wanted},
};

use super::RouteService;

/// How a number or an address finds the operator that serves it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoutingConfig {
    /// DNS views, each with its own resolvers and its own answers; the first one serves every domain that no other
    /// view claims.
    pub views: Vec<ViewConfig>,
    /// ENUM apexes in the order of asking; private ones before public ones.
    pub apexes: Vec<ApexConfig>,
    /// Which protocols a domain is asked for.
    pub ladder: LadderConfig,
    /// Peers that take what no enabled protocol reaches; of the entries that fit, the one with the longest prefix is used,
    /// then the one with the longest domain, then the one that names a service.
    pub default_gateway: Vec<GatewayConfig>,
    /// Domains by routing number, for ported numbers (RFC 4694); the longest prefix counts.
    pub routing_numbers: Vec<RangeConfig>,
    /// Number ranges of ours, for numbers that ENUM does not know; the longest prefix counts.
    pub home_ranges: Vec<RangeConfig>,
    /// Our own listeners as `host` or `host:port`; an SRV target that is one of them is a loop and is dropped.
    pub own_hosts: Vec<String>,
    /// Our own addresses as `address` or `address:port`, such as those of a load balancer before us, or of a listener on all
    /// addresses; a server there is a loop whatever its name. The listeners of `[ssp]` that name an address count by themselves.
    pub own_addresses: Vec<String>,
    /// Whether `E2U+im` serves presence too where a number has no `E2U+pres`: an IMPS server answers for both.
    pub presence_from_im: bool,
    /// The time that DNS may take for one route, in all; what is left of the 5 s of cut-through is for delivery.
    #[serde(with = "duration")]
    pub budget: Duration,
    /// How long answers are kept.
    pub cache: CacheConfig,
    /// How failing servers are set aside.
    pub set_aside: SetAsideConfig,
}

/// A DNS view: resolvers that give the same answers.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ViewConfig {
    /// The name that apexes and `impsgw cache` use.
    pub name: String,
    /// Recursive resolvers or authoritative servers, as `address:port`; asked in turn.
    pub resolvers: Vec<SocketAddr>,
    /// Domains, and all below them, whose servers are looked up in this view.
    #[serde(default)]
    pub domains: Vec<Domain>,
    /// The resolvers validate DNSSEC and the way to them is trusted, so their AD bit proves an answer (RFC 6840 §5.8).
    #[serde(default)]
    pub trust_ad: bool,
    /// One try at one resolver.
    #[serde(default = "one_second", with = "duration")]
    pub timeout: Duration,
    /// How often each resolver is tried for one question, 1 to 5.
    #[serde(default = "two")]
    pub tries: u32,
}

/// An ENUM apex.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ApexConfig {
    /// The name under which numbers are looked up, such as `e164enum.net`.
    pub apex: String,
    /// The view that it is asked in.
    pub view: String,
    /// Whose data it holds; a public apex gives no portability data and no private services.
    #[serde(default)]
    pub trust: Trust,
    /// Numbers that it is asked for, by prefix such as `+44`; empty means all.
    #[serde(default)]
    pub prefixes: Vec<String>,
    /// Enumservices that are taken besides the wanted `im`, `pres` or `mms`: `sip`, `xmpp`, `pstn:tel`, `unused:data`, …
    #[serde(default = "pstn")]
    pub services: Vec<String>,
    /// Domains, and all below them, that its records may lead to; empty means all.
    #[serde(default)]
    pub domains: Vec<Domain>,
    /// Take `P-` services (RFC 6116 §3.4.3.1); private apexes only.
    #[serde(default)]
    pub allow_private_services: bool,
    /// Use an answer past its TTL when the apex can't be asked. A number may have been ported meanwhile.
    #[serde(default)]
    pub stale_naptr: bool,
    /// What follows a failed lookup. Without a setting the next apex is asked, but never a public one after a private
    /// one.
    #[serde(default)]
    pub on_failure: Option<OnFailure>,
    /// Whether records of another ORDER count as alternatives when delivery to the first fails.
    #[serde(default)]
    pub cross_order: bool,
    /// Take only answers that are proven by DNSSEC; any other counts as a failed lookup. The view needs `trust_ad`.
    #[serde(default)]
    pub dnssec_required: bool,
    /// Take `E2U+pres` records whose URI is not a `pres:` URI but, say, a `sip:` one (RFC 3953 §4).
    #[serde(default)]
    pub pres_foreign_schemes: bool,
    /// Interim Infrastructure ENUM: the digits before the label `i` (RFC 5527).
    #[serde(default)]
    pub infrastructure_position: Option<usize>,
    /// The longest that one of its questions is waited for; the view's tries otherwise.
    #[serde(default, with = "optional_duration", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
}

/// Whose data an apex holds.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// Operators' own data on a closed network.
    Private,
    /// What number holders publish.
    #[default]
    Public,
}

/// What follows a failed lookup.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// The next apex is asked, whoever runs it; "not found" there stays a temporary failure.
    Next,
    /// No other apex is asked: the route fails for now.
    Stop,
}

/// Which protocols a domain is asked for, in the order SSP, SIP, XMPP (ENUM and SRV routing §14).
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LadderConfig {
    /// IMPS server-to-server.
    pub ssp: bool,
    /// SIMPLE; only when its gateway runs.
    pub sip: bool,
    /// XMPP server-to-server; only when its gateway runs.
    pub xmpp: bool,
    /// SRV names of SSP in the order of asking. `_imps-server._tcp` is what deployed servers publish.
    pub ssp_names: Vec<String>,
    /// The port of a domain's own address when it has no SSP SRV record. SSP has no default port, so without a
    /// setting there is no such fallback.
    pub ssp_port: Option<u16>,
    /// Take a domain's own address, port 5060, when it has no SIP SRV record (RFC 3263 §4.2).
    pub sip_address_fallback: bool,
    /// Take a domain's own address, port 5269, when it has no XMPP SRV record (RFC 6120 §3.2.2).
    pub xmpp_address_fallback: bool,
}

/// A peer that takes what no enabled protocol reaches, and what goes to a domain without an agreement.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GatewayConfig {
    /// The peer, by its agreement's name.
    pub peer: PeerName,
    /// Only what is wanted for this; all when absent.
    #[serde(default)]
    pub service: Option<RouteService>,
    /// Only numbers with this prefix, such as `+44`.
    #[serde(default)]
    pub prefix: Option<String>,
    /// Only this domain and all below it.
    #[serde(default)]
    pub domain: Option<Domain>,
}

/// A range of numbers and the domain that serves it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RangeConfig {
    /// Leading digits; `+` in front where the number is global. Routing numbers may hold hex digits.
    pub prefix: String,
    /// Who serves them.
    pub domain: Domain,
}

/// How long answers are kept, and how many.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheConfig {
    /// Most DNS answers kept, in octets of memory.
    pub facts: ByteSize,
    /// Most memory that known numbers and domains take, in octets, at least 1 MiB; a sixteenth of it is the domains'. What
    /// is pushed out is decided again from DNS answers.
    pub routes: ByteSize,
    /// Most numbers with a known route; about 320 octets of memory each.
    pub numbers: u64,
    /// Most domains with a known plan; about 900 octets of memory each, more with many servers.
    pub domains: u64,
    /// No answer is kept longer, at most 7 days (RFC 8767 §4).
    #[serde(with = "duration")]
    pub max_ttl: Duration,
    /// No ENUM answer is kept longer, because numbers are ported.
    #[serde(with = "duration")]
    pub max_enum_ttl: Duration,
    /// No "there is none" is kept longer (RFC 2308 §5).
    #[serde(with = "duration")]
    pub max_negative_ttl: Duration,
    /// A failed lookup is not repeated for so long, 1 s to 5 min (RFC 9520 §3.2).
    #[serde(with = "duration")]
    pub failure_ttl: Duration,
    /// How long past its TTL an answer may still be used when DNS is down (RFC 8767); 0 s means never.
    #[serde(with = "duration")]
    pub stale_window: Duration,
    /// How long a stale answer is used before DNS is tried again (RFC 8767 §4 says 30 s).
    #[serde(with = "duration")]
    pub stale_ttl: Duration,
    /// How long DNS is tried before a stale answer is used (RFC 8767 §5 says 1.8 s).
    #[serde(with = "duration")]
    pub stale_wait: Duration,
    /// The last part of an answer's life in which using it asks for a new one, in percent, 0 to 50; 0 means never.
    pub refresh_percent: u8,
    /// Most lookups under way at once.
    pub max_lookups: usize,
}

/// How failing servers are set aside; a set-aside server is tried after all others, never not at all.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct SetAsideConfig {
    /// After the first failure; doubles with each one that follows.
    #[serde(with = "duration")]
    pub first: Duration,
    /// At most.
    #[serde(with = "duration")]
    pub longest: Duration,
}

impl RoutingConfig {
    /// Every mistake, each in a sentence; empty when there is none.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        for view in &self.views {
            if view.resolvers.is_empty() {
                mistakes.push(format!("routing.views: {} has no resolvers", view.name));
            }
            if !(1..=5).contains(&view.tries) {
                mistakes.push(format!("routing.views: tries of {} is not 1 to 5", view.name));
            }
            if view.timeout.is_zero() {
                mistakes.push(format!(
                    "routing.views: timeout of {} is 0s, so no resolver could answer in time; write \"1s\"",
                    view.name
                ));
            }
            if self.views.iter().filter(|other| other.name == view.name).count() > 1 {
                mistakes.push(format!("routing.views: {} stands more than once", view.name));
            }
        }
        for apex in &self.apexes {
            self.check_apex(apex, &mut mistakes);
        }
        self.check_order(&mut mistakes);
        self.check_gateways(&mut mistakes);
        for name in &self.ladder.ssp_names {
            if name.parse::<Name>().is_err() {
                mistakes.push(format!("routing.ladder.ssp_names: {name} is no SRV name"));
            }
        }
        let ranges = self.home_ranges.iter().map(|range| range.prefix.as_str());
        let gateways = self
            .default_gateway
            .iter()
            .filter_map(|one| one.prefix.as_deref());
        let apexes = self
            .apexes
            .iter()
            .flat_map(|apex| &apex.prefixes)
            .map(String::as_str);
        for prefix in ranges.chain(gateways).chain(apexes) {
            if digits(prefix).is_none() {
                mistakes.push(format!(
                    "routing: {prefix} is no prefix of numbers; write it as +44"
                ));
            }
        }
        for range in &self.routing_numbers {
            let digits = range.prefix.strip_prefix('+').unwrap_or(&range.prefix);
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                mistakes.push(format!(
                    "routing.routing_numbers: {:?} is no beginning of routing numbers; write digits such as +447999, which may \
                     be hex digits",
                    range.prefix
                ));
            }
        }
        for text in &self.own_hosts {
            if own_host(text).is_none() {
                mistakes.push(format!(
                    "routing.own_hosts: {text:?} is no host; write gw.alpha.example or gw.alpha.example:8443, and addresses \
                     in own_addresses"
                ));
            }
        }
        for text in &self.own_addresses {
            if own_address(text).is_none() {
                mistakes.push(format!(
                    "routing.own_addresses: {text:?} is no address; write 192.0.2.1, 192.0.2.1:8443 or [2001:db8::1]:8443"
                ));
            }
        }
        self.check_cache(&mut mistakes);
        mistakes
    }

    /// Private apexes are asked first: a public one that has the number would end the walk before them.
    fn check_order(&self, mistakes: &mut Vec<String>) {
        let mut public = None;
        for apex in &self.apexes {
            match (apex.trust, public) {
                (Trust::Public, None) => public = Some(&apex.apex),
                (Trust::Private, Some(before)) => mistakes.push(format!(
                    "routing.apexes: {} is private and stands after {before}, which is public; put private ones first",
                    apex.apex
                )),
                (Trust::Public, Some(_)) | (Trust::Private, None) => {}
            }
        }
    }

    fn check_gateways(&self, mistakes: &mut Vec<String>) {
        for (place, one) in self.default_gateway.iter().enumerate() {
            let is_same = |other: &&GatewayConfig| {
                (other.service, &other.prefix, &other.domain) == (one.service, &one.prefix, &one.domain)
            };
            if let Some(before) = self.default_gateway.iter().take(place).find(is_same) {
                mistakes.push(format!(
                    "routing.default_gateway: {} and {} have the same service, prefix and domain; remove one",
                    before.peer, one.peer
                ));
            }
        }
    }

    fn check_apex(&self, apex: &ApexConfig, mistakes: &mut Vec<String>) {
        let name = &apex.apex;
        if name.parse::<Name>().is_err() {
            mistakes.push(format!("routing.apexes: {name} is no domain name"));
        }
        if !self.views.iter().any(|view| view.name == apex.view) {
            mistakes.push(format!(
                "routing.apexes: {name} names the view {}, which is not there",
                apex.view
            ));
        }
        if apex.timeout.is_some_and(|timeout| timeout.is_zero()) {
            mistakes.push(format!(
                "routing.apexes: timeout of {name} is 0s, so it could never answer in time; write \"1s\" or leave it out"
            ));
        }
        if apex
            .infrastructure_position
            .is_some_and(|position| !(1..15).contains(&position))
        {
            mistakes.push(format!(
                "routing.apexes: infrastructure_position of {name} is not 1 to 14; it is the number of digits of the country \
                 code (RFC 5527 §4)"
            ));
        }
        if let Err(error) = Wanted::parse(apex.services.iter().map(String::as_str)) {
            mistakes.push(format!("routing.apexes: {name}: {error}"));
        }
        let view = self.views.iter().find(|view| view.name == apex.view);
        if apex.dnssec_required && view.is_some_and(|view| !view.trust_ad) {
            mistakes.push(format!(
                "routing.apexes: {name} requires DNSSEC, and the view {} has no trust_ad, so nothing would ever be proven",
                apex.view
            ));
        }
        if apex.allow_private_services && apex.trust == Trust::Public {
            mistakes.push(format!(
                "routing.apexes: {name} is public, so P- services are not for it"
            ));
        }
    }

    fn check_cache(&self, mistakes: &mut Vec<String>) {
        let cache = &self.cache;
        if cache.max_ttl > WEEK {
            mistakes.push("routing.cache.max_ttl is over 7 days (RFC 8767 §4)".into());
        }
        if !(Duration::from_secs(1)..=Duration::from_secs(300)).contains(&cache.failure_ttl) {
            mistakes.push("routing.cache.failure_ttl is not 1 s to 5 min (RFC 9520 §3.2)".into());
        }
        if cache.refresh_percent > 50 {
            mistakes.push("routing.cache.refresh_percent is over 50".into());
        }
        if cache.routes < ByteSize::mib(1) {
            mistakes.push("routing.cache.routes is under 1 MiB: hardly a route would be kept".into());
        }
        if self.budget.is_zero() {
            mistakes.push("routing.budget is 0: no DNS question could be answered".into());
        }
    }
}

impl Default for RoutingConfig {
    fn default() -> Self {
        Self {
            views: Vec::new(),
            apexes: Vec::new(),
            ladder: LadderConfig::default(),
            default_gateway: Vec::new(),
            routing_numbers: Vec::new(),
            home_ranges: Vec::new(),
            own_hosts: Vec::new(),
            own_addresses: Vec::new(),
            presence_from_im: true,
            budget: Duration::from_secs(3),
            cache: CacheConfig::default(),
            set_aside: SetAsideConfig::default(),
        }
    }
}

impl Default for LadderConfig {
    fn default() -> Self {
        Self {
            ssp: true,
            sip: false,
            xmpp: false,
            ssp_names: vec!["_imps-server._tcp".into()],
            ssp_port: None,
            sip_address_fallback: false,
            xmpp_address_fallback: false,
        }
    }
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            facts: ByteSize::mib(48),
            routes: ByteSize::mib(330),
            numbers: 1_000_000,
            domains: 20_000,
            max_ttl: WEEK,
            max_enum_ttl: Duration::from_secs(3600),
            max_negative_ttl: Duration::from_secs(3 * 3600),
            failure_ttl: Duration::from_secs(5),
            stale_window: Duration::from_secs(86_400),
            stale_ttl: Duration::from_secs(30),
            stale_wait: Duration::from_millis(1800),
            refresh_percent: 15,
            max_lookups: 512,
        }
    }
}

impl Default for SetAsideConfig {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(5),
            longest: Duration::from_secs(300),
        }
    }
}

/// The digits of a prefix such as `+44`; `None` when it holds anything else.
pub(super) fn digits(prefix: &str) -> Option<&str> {
    let digits = prefix.strip_prefix('+').unwrap_or(prefix);
    let fits = (1..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    fits.then_some(digits)
}

/// A host of ours without the trailing dot, at one port or at all.
pub(super) fn own_host(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse().ok()?)),
        None => (text, None),
    };
    let name: Name = host.parse().ok()?;
    let is_address = host.parse::<IpAddr>().is_ok();
    (!name.is_root() && !is_address).then(|| (name.without_dot().to_owned(), port))
}

/// An address of ours, at one port or at all.
pub(super) fn own_address(text: &str) -> Option<(IpAddr, Option<u16>)> {
    let address: Option<SocketAddr> = text.parse().ok();
    match address {
        Some(address) => Some((address.ip(), Some(address.port()))),
        None => Some((text.parse().ok()?, None)),
    }
}

/// Durations that may be absent.
mod optional_duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<Duration>, D::Error> {
        let Some(text) = Option::<String>::deserialize(reader)? else {
            return Ok(None);
        };
        crate::model::duration::parse(&text)
            .map(Some)
            .ok_or_else(|| D::Error::custom(format!("{text:?} is no duration: write it as \"1s\"")))
    }

    pub(super) fn serialize<S: Serializer>(value: &Option<Duration>, writer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => crate::model::duration::serialize(value, writer),
            None => writer.serialize_none(),
        }
    }
}

fn one_second() -> Duration {
    Duration::from_secs(1)
}

fn two() -> u32 {
    2
}

fn pstn() -> Vec<String> {
    vec!["pstn:tel".into(), "pstn:sip".into()]
}

const WEEK: Duration = Duration::from_secs(7 * 86_400);
