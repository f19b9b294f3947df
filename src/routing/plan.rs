//! What routing comes to: who serves a person, by which protocol, at which servers.

use std::{fmt, net::IpAddr, sync::Arc};

use serde::Serialize;

use super::cache::HEAP;
use crate::model::{Domain, E164, PeerName, Protocol, RouteStep, Timestamp, WvAddress};

/// What a person is wanted for; decides which Enumservices and SRV names are asked for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, serde::Deserialize)]
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
    /// Other domains of the same ORDER, in the order of trying, for when no server of the plan can be reached; each is
    /// tried once (ENUM and SRV routing §6). Few numbers have any.
    pub alternatives: Option<Arc<[Alternative]>>,
    /// How it came about; empty unless an explanation was asked for or the route failed.
    pub steps: Vec<RouteStep>,
}

/// Another domain that a number's records name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Alternative {
    /// Who is meant, as that domain knows him.
    pub user: WvAddress,
    /// The domain.
    pub domain: Domain,
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

impl Plan {
    /// Roughly the memory that it takes, in octets.
    pub(super) fn octets(&self) -> usize {
        let held = match self {
            Self::Home { .. } | Self::Gateway { .. } => 0,
            Self::Domain { candidates, .. } => candidates.iter().map(Candidate::octets).sum(),
        };
        size_of::<Self>() + 2 * HEAP + held
    }
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
    /// How the connection begins.
    pub transport: Transport,
    /// Its addresses; empty when they could not be found now.
    pub addresses: Arc<[IpAddr]>,
    /// Whether the SRV set was proven by DNSSEC, so that the target's own name counts as identity (RFC 7673).
    pub secure: bool,
}

/// How a connection to a server begins, where its SRV name tells.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// As the protocol and the agreement say: SSP, and XMPP with STARTTLS.
    #[default]
    Native,
    /// TLS from the first octet: `_sips._tcp`, `_xmpps-server._tcp` (XEP-0368).
    Tls,
    /// TCP: `_sip._tcp`.
    Tcp,
    /// UDP: `_sip._udp`.
    Udp,
}

/// A host and port as one text, for set-aside and logs.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct HostAddress {
    /// The host's name.
    pub host: Arc<str>,
    /// The port.
    pub port: u16,
}

impl Candidate {
    fn octets(&self) -> usize {
        size_of::<Self>() + 2 * HEAP + self.host.len() + self.addresses.len() * size_of::<IpAddr>()
    }

    /// The server, for set-aside and logs.
    #[must_use]
    pub fn host_address(&self) -> HostAddress {
        HostAddress {
            host: Arc::clone(&self.host),
            port: self.port,
        }
    }
}

impl fmt::Display for HostAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
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
