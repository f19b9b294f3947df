//! Asking DNS: a question and a view go in, a fact comes out, whatever the servers do.
//!
//! All record types take one path, over the raw messages of `wire::naptr`. A resolver library would refuse a whole
//! NAPTR answer for one strange flag (ENUM and SRV routing §4), would keep a cache of its own beside ours, and has
//! its own timing; one bounded client keeps the 3 s budget for every type alike. DNSSEC is validated by the view's
//! resolvers; their AD bit counts only where the operator says that the way to them is trusted.

mod exchange;

use std::{
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use ring::rand::SystemRandom;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

use self::exchange::{ExchangeError, Query};
use super::{
    config::{CacheConfig, ViewConfig},
    fact::{Absence, Fact, Finding, Kind, LookupFailure, Question, Records},
};
use crate::{
    model::Timestamp,
    wire::naptr::{Data, Name, Rcode, RecordType, Response, message::Found},
};

/// The servers of one view, with what was learnt about them.
#[derive(Debug)]
pub(super) struct View {
    name: String,
    servers: Vec<Server>,
    trust_ad: bool,
    timeout: Duration,
    tries: u32,
    /// The server that answered last; asked first.
    preferred: AtomicUsize,
}

/// A resolver or authoritative server.
#[derive(Debug)]
struct Server {
    address: SocketAddr,
    /// It did not understand EDNS.
    is_plain: AtomicBool,
}

/// What all views share: randomness, the bound on lookups, and the count of queries.
#[derive(Debug)]
pub(super) struct Asker {
    random: SystemRandom,
    room: Semaphore,
    sent: AtomicU64,
}

/// How long answers of one kind may be kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caps {
    pub(super) positive: Duration,
    pub(super) negative: Duration,
    pub(super) failure: Duration,
}

/// An answer with the aliases that led to it.
struct Chain {
    aliases: Vec<Name>,
    ttl: Option<u32>,
    secure: bool,
}

impl Asker {
    pub(super) fn new(max_lookups: usize) -> Self {
        Self {
            random: SystemRandom::new(),
            room: Semaphore::new(max_lookups.clamp(1, Semaphore::MAX_PERMITS)),
            sent: AtomicU64::new(0),
        }
    }

    /// Queries sent since the start.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Asks one question of a view, at most until `deadline`; a failure is a fact as well.
    ///
    /// # Cancel safety
    /// Cancel safe; nothing is kept here.
    pub(super) async fn ask(
        &self,
        view: &View,
        question: &Question,
        caps: Caps,
        now: Timestamp,
        deadline: Instant,
    ) -> Fact {
        let began = Instant::now();
        if view.servers.is_empty() {
            return Fact::failed(LookupFailure::NoResolver, now, caps.failure);
        }
        if deadline <= began {
            return Fact::failed(LookupFailure::OutOfTime, now, Duration::ZERO);
        }
        let Ok(Ok(_room)) = timeout_at(deadline, self.room.acquire()).await else {
            return Fact::failed(LookupFailure::Busy, now, Duration::ZERO);
        };
        match self.follow(view, question, caps, now, deadline).await {
            Ok(fact) => fact,
            // The caller's time was up before a server's was: that says nothing about the name, so it is not kept.
            Err(LookupFailure::OutOfTime) => Fact::failed(LookupFailure::OutOfTime, now, Duration::ZERO),
            // A failure is kept from when it is known (RFC 9520 §3.2), and failing takes long.
            Err(failure) => Fact::failed(failure, now, began.elapsed() + caps.failure),
        }
    }

    /// Follows aliases that lead out of the answer, at most 8 in all.
    async fn follow(
        &self,
        view: &View,
        question: &Question,
        caps: Caps,
        now: Timestamp,
        deadline: Instant,
    ) -> Result<Fact, LookupFailure> {
        let mut chain = Chain {
            aliases: Vec::new(),
            ttl: None,
            secure: view.trust_ad,
        };
        let mut name = question.name.clone();
        loop {
            let response = self
                .response(view, &name, question.kind.rtype(), deadline)
                .await?;
            let found = response
                .find(&name, question.kind.rtype())
                .map_err(|_| LookupFailure::AliasLoop(question.name.clone()))?;
            if found.records.is_empty() && has_alias(&response, &found.name) {
                return Err(LookupFailure::AllUnreadable);
            }
            chain.secure &= response.authenticated;
            chain.ttl = chain.ttl.into_iter().chain(found.ttl).min();
            chain.aliases.extend(found.aliases.iter().cloned());
            let is_over = !found.records.is_empty()
                || found.aliases.is_empty()
                || response.rcode == Rcode::NX_DOMAIN
                || response.negative_ttl().is_some();
            if is_over {
                return Ok(chain.fact(&response, &found, question.kind, caps, now));
            }
            name = found.name.clone();
            if chain.aliases.len() > MAX_ALIASES || chain.aliases.contains(&name) {
                return Err(LookupFailure::AliasLoop(question.name.clone()));
            }
        }
    }

    /// A usable response from one of the view's servers, each tried as often as the view says.
    async fn response(
        &self,
        view: &View,
        name: &Name,
        qtype: RecordType,
        deadline: Instant,
    ) -> Result<Response, LookupFailure> {
        let first = view.preferred.load(Ordering::Relaxed);
        let mut last = LookupFailure::OutOfTime;
        for _ in 0..view.tries {
            for (place, server) in view.from(first) {
                if deadline <= Instant::now() {
                    return Err(last);
                }
                let own = Instant::now() + view.timeout;
                match timeout_at(deadline.min(own), self.one(server, name, qtype)).await {
                    Ok(Ok(response)) => match refused(&response) {
                        None => {
                            view.preferred.store(place, Ordering::Relaxed);
                            return Ok(response);
                        }
                        Some(word) => last = LookupFailure::Refused(word),
                    },
                    Ok(Err(failure)) => last = failure,
                    Err(_) if own <= deadline => last = LookupFailure::TimedOut,
                    Err(_) => {}
                }
            }
        }
        Err(last)
    }

    /// One server: UDP, then TCP where needed; without EDNS where the server does not know it (RFC 6891 §7).
    async fn one(&self, server: &Server, name: &Name, qtype: RecordType) -> Result<Response, LookupFailure> {
        let edns = !server.is_plain.load(Ordering::Relaxed);
        let response = self.exchange(server, name, qtype, edns).await?;
        if edns && matches!(response.rcode, Rcode::FORM_ERR | Rcode::NOT_IMP) {
            let plain = self.exchange(server, name, qtype, false).await?;
            if !matches!(plain.rcode, Rcode::FORM_ERR | Rcode::NOT_IMP) {
                server.is_plain.store(true, Ordering::Relaxed);
            }
            return Ok(plain);
        }
        Ok(response)
    }

    async fn exchange(
        &self,
        server: &Server,
        name: &Name,
        qtype: RecordType,
        edns: bool,
    ) -> Result<Response, LookupFailure> {
        let query = Query::new(name, qtype, edns, &self.random);
        self.sent.fetch_add(1, Ordering::Relaxed);
        if let Some(response) = query.over_udp(server.address).await? {
            return Ok(response);
        }
        self.sent.fetch_add(1, Ordering::Relaxed);
        Ok(query.over_tcp(server.address).await?)
    }
}

impl View {
    pub(super) fn new(config: &ViewConfig) -> Self {
        Self {
            name: config.name.clone(),
            servers: config
                .resolvers
                .iter()
                .map(|address| Server {
                    address: *address,
                    is_plain: AtomicBool::new(false),
                })
                .collect(),
            trust_ad: config.trust_ad,
            timeout: config.timeout,
            tries: config.tries.clamp(1, 5),
            preferred: AtomicUsize::new(0),
        }
    }

    /// A view that is gone from the configuration: every question fails.
    pub(super) fn gone(name: &str) -> Self {
        Self::new(&ViewConfig {
            name: name.to_owned(),
            resolvers: Vec::new(),
            domains: Vec::new(),
            trust_ad: false,
            timeout: Duration::ZERO,
            tries: 1,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The servers with their places, beginning with the one at `first`.
    fn from(&self, first: usize) -> impl Iterator<Item = (usize, &Server)> {
        let all = || self.servers.iter().enumerate();
        all().skip(first).chain(all().take(first))
    }
}

impl Caps {
    pub(super) fn of(kind: Kind, config: &CacheConfig) -> Self {
        Self {
            positive: match kind {
                Kind::Naptr => config.max_enum_ttl.min(config.max_ttl),
                Kind::Srv | Kind::A | Kind::Aaaa => config.max_ttl,
            },
            negative: match kind {
                Kind::Naptr => config.max_enum_ttl.min(config.max_negative_ttl),
                Kind::Srv | Kind::A | Kind::Aaaa => config.max_negative_ttl,
            },
            failure: config
                .failure_ttl
                .clamp(Duration::from_secs(1), Duration::from_secs(300)),
        }
    }
}

impl Chain {
    fn fact(self, response: &Response, found: &Found<'_>, kind: Kind, caps: Caps, now: Timestamp) -> Fact {
        let (finding, keep) = if found.records.is_empty() {
            let absence = match response.rcode {
                Rcode::NX_DOMAIN => Absence::NxDomain,
                _ => Absence::NoData,
            };
            // RFC 2308 §5: without an SOA it is not kept. An alias on the way may die before the absence.
            let keep = response.negative_ttl().map_or(Duration::ZERO, |ttl| {
                seconds(self.ttl.map_or(ttl, |alias| alias.min(ttl))).min(caps.negative)
            });
            (Finding::Absent(absence), keep)
        } else {
            match records(kind, found) {
                Some(records) => {
                    let keep = seconds(self.ttl.unwrap_or(0)).min(caps.positive);
                    (Finding::Found(records), keep)
                }
                None => (Finding::Failed(LookupFailure::AllUnreadable), caps.failure),
            }
        };
        Fact {
            finding,
            aliases: self.aliases,
            secure: self.secure,
            fetched: now,
            dies: now.plus(keep),
            stale_since: None,
        }
    }
}

impl Kind {
    pub(super) fn rtype(self) -> RecordType {
        match self {
            Self::Naptr => RecordType::NAPTR,
            Self::Srv => RecordType::SRV,
            Self::A => RecordType::A,
            Self::Aaaa => RecordType::AAAA,
        }
    }
}

impl From<ExchangeError> for LookupFailure {
    fn from(error: ExchangeError) -> Self {
        match error {
            ExchangeError::Socket(error) => Self::Unreachable(error.to_string()),
            ExchangeError::Unreadable(error) => Self::Unreadable(error),
            ExchangeError::Noise => Self::TimedOut,
        }
    }
}

/// `None` when there are records and none can be read.
fn records(kind: Kind, found: &Found<'_>) -> Option<Records> {
    let data = found.records.iter().map(|record| &record.data);
    match kind {
        Kind::Naptr => Some(Records::Naptr(data.filter_map(naptr).take(MAX_RECORDS).collect())),
        Kind::Srv => some(data.filter_map(srv)).map(Records::Srv),
        Kind::A | Kind::Aaaa => some(data.filter_map(address)).map(Records::Addresses),
    }
}

fn some<T>(records: impl Iterator<Item = T>) -> Option<Box<[T]>> {
    let records: Box<[T]> = records.take(MAX_RECORDS).collect();
    (!records.is_empty()).then_some(records)
}

fn naptr(data: &Data) -> Option<Result<crate::wire::naptr::Naptr, crate::wire::naptr::WireError>> {
    match data {
        Data::Naptr(naptr) => Some(Ok(naptr.clone())),
        Data::Malformed(error) => Some(Err(*error)),
        Data::A(_) | Data::Aaaa(_) | Data::Cname(_) | Data::Soa(_) | Data::Srv(_) | Data::Other(_) => None,
    }
}

fn srv(data: &Data) -> Option<crate::wire::naptr::Srv> {
    match data {
        Data::Srv(srv) => Some(srv.clone()),
        Data::A(_) | Data::Aaaa(_) | Data::Cname(_) | Data::Soa(_) | Data::Naptr(_) => None,
        Data::Other(_) | Data::Malformed(_) => None,
    }
}

fn address(data: &Data) -> Option<IpAddr> {
    match data {
        Data::A(octets) => Some(IpAddr::from(*octets)),
        Data::Aaaa(octets) => Some(IpAddr::from(*octets)),
        Data::Cname(_) | Data::Soa(_) | Data::Naptr(_) | Data::Srv(_) => None,
        Data::Other(_) | Data::Malformed(_) => None,
    }
}

/// An alias that was not followed although it stands at the name cannot be read.
fn has_alias(response: &Response, name: &Name) -> bool {
    let mut answers = response.answers.iter();
    answers.any(|record| record.rtype == RecordType::CNAME && record.owner == *name)
}

/// Answers that say nothing about the name.
fn refused(response: &Response) -> Option<&'static str> {
    match response.rcode {
        Rcode::NO_ERROR if is_referral(response) => Some("that others serve the name (a referral)"),
        Rcode::NO_ERROR | Rcode::NX_DOMAIN => None,
        Rcode::SERV_FAIL => Some("SERVFAIL"),
        Rcode::REFUSED => Some("REFUSED"),
        Rcode::FORM_ERR => Some("FORMERR"),
        Rcode::NOT_IMP => Some("NOTIMP"),
        _ => Some("a code that says nothing"),
    }
}

/// NS records without an SOA: the server does not have the name, which is not to say that it has no records
/// (RFC 2308 §2.2.1).
fn is_referral(response: &Response) -> bool {
    let has = |rtype| response.authority.iter().any(|record| record.rtype == rtype);
    response.answers.is_empty() && !response.authoritative && has(RecordType::NS) && !has(RecordType::SOA)
}

/// A TTL with the top bit set is a large positive number (RFC 8767 §4); the caps cut it.
fn seconds(ttl: u32) -> Duration {
    Duration::from_secs(ttl.into())
}

const MAX_ALIASES: usize = 8;
/// Records of one set that are kept, before the evaluation takes the best 64 of them (ENUM and SRV routing §16).
const MAX_RECORDS: usize = 256;
