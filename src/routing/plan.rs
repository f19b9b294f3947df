//! What routing comes to: who serves a person, by which protocol, at which servers.

use std::{net::IpAddr, sync::Arc};

use serde::Serialize;

use crate::model::{Domain, E164, PeerName, Protocol, RouteStep, Timestamp, WvAddress};

/// What a person is wanted for; decides which Enumservices and SRV names are asked for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RouteService {
    /// Messages, searches, invitations, groups: `E2U+im` (RFC 5028).
    Im,
    /// Presence: `E2U+pres` (RFC 3953).
    Pres,
    /// Multimedia messages: `E2U+mms` (RFC 4355).
    Mms,
}

/// The route of one address, with the account of how it came about.
#[derive(Clone, Debug)]
pub struct Routed {
    /// Who is meant, as the serving side knows him: the address asked for, or the one that ENUM gave.
    pub user: WvAddress,
    /// Where to.
    pub plan: Result<Arc<Plan>, RouteFailure>,
    /// How it came about; empty unless an explanation was asked for or the route failed.
    pub steps: Vec<RouteStep>,
}

/// Where a request goes; shared by all addresses of a domain.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Plan {
    /// The embedded home domain, or a home IMPS server of ours: this gateway answers for the domain.
    Home {
        /// Which of our domains.
        domain: Domain,
    },
    /// Another operator.
    Domain {
        /// The domain that serves the person.
        domain: Domain,
        /// The protocol of the ladder that the domain has.
        protocol: Protocol,
        /// Its servers, in no order: the weighted draw is made at each attempt, on live health.
        candidates: Arc<[Candidate]>,
        /// When the shortest-lived fact dies.
        valid_until: Timestamp,
    },
    /// No protocol that we speak: the configured gateway for the rest takes it.
    Gateway {
        /// A peer with an agreement.
        peer: PeerName,
        /// The domain that serves the person, when one was found.
        domain: Option<Domain>,
    },
}

/// A server of a domain.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Candidate {
    /// RFC 2782 priority; lower first.
    pub priority: u16,
    /// RFC 2782 weight.
    pub weight: u16,
    /// The target's name, lower case, without a trailing dot.
    pub host: Arc<str>,
    /// The port.
    pub port: u16,
    /// Its addresses; empty when they could not be found now.
    pub addresses: Arc<[IpAddr]>,
    /// Whether the SRV set was proven by DNSSEC, so that the target's own name counts as identity (RFC 7673).
    pub secure: bool,
}

/// A host and port as one text, for set-aside and logs.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct HostAddress {
    /// The host's name.
    pub host: Arc<str>,
    /// The port.
    pub port: u16,
}

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// TLS.
    Https,
    /// Plain, only where the agreement says so.
    Http,
}

/// Why there is no plan.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RouteFailure {
    /// Nobody serves the number, or the domain speaks nothing that we speak: final.
    #[error("{0}")]
    Absent(String),
    /// The number is not in use (`unused:data`): final, and about the person rather than the domain.
    #[error("the number {0} is not in use")]
    Unallocated(E164),
    /// DNS could not be asked now: worth trying again.
    #[error("{0}")]
    Temporary(String),
    /// The address can't be routed at all (a wildcard, no domain).
    #[error("{0}")]
    Unroutable(String),
}

/// Servers that an agreement names as `host:port`, in the order given, in place of SRV records; `None` when it names none.
///
/// Names among them are resolved when they are connected to.
#[must_use]
pub fn static_candidates(servers: &[String]) -> Option<Arc<[Candidate]>> {
    if servers.is_empty() {
        return None;
    }
    let candidate = |(index, server): (usize, &String)| {
        let (host, port) = server.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let addresses: Arc<[_]> = host.parse().ok().into_iter().collect();
        let priority = u16::try_from(index).unwrap_or(u16::MAX);
        Some(Candidate { priority, weight: 0, host: host.into(), port: port.parse().ok()?, addresses, secure: false })
    };
    Some(servers.iter().enumerate().filter_map(candidate).collect())
}
