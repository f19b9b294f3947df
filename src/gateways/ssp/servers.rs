//! Which server of a peer takes a document: the session's first, then the others as SRV and their health order them.
//!
//! A failed server is set aside by itself, never the whole domain. `https` before `http` on one port is tried only with a peer
//! whose agreement does not require TLS. A document of a session that may have arrived is not posted to another server.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;

use super::{
    SspConfig,
    certificates::Certificates,
    client::{ClientLimits, InvalidTarget, PostError, PostHeaders, Scheme, SspClient, Target},
    gateway::{SspGateway, profile},
    link::{Link, Posted},
    session::Session,
    tls::HttpVersions,
};
use crate::{
    agreement::InterconnectionAgreement,
    model::{Domain, Timestamp},
    routing::{Candidate, Router},
    wire::ssp::{Document, Mode, TransactionId, encode, ladder::Delivery},
};

/// The servers of all peers, with the connections to them.
pub struct Servers {
    certificates: Arc<Certificates>,
    router: Arc<Router>,
    config: SspConfig,
    clients: Mutex<HashMap<ClientKey, Arc<SspClient>>>,
}

/// A server and how to speak to it.
#[derive(Clone, Debug)]
pub struct Server {
    security: Security,
    candidate: Candidate,
}

/// What the agreement says about TLS.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Security {
    Tls,
    /// TLS first, and nothing where the port does not speak TLS.
    TlsOrPlain,
    Plain,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct ClientKey {
    host: Arc<str>,
    port: u16,
    security: Security,
    own: Domain,
    peer: Domain,
    addresses: Arc<[IpAddr]>,
}

/// Why a server did not answer.
#[derive(Debug, thiserror::Error)]
enum Unposted {
    #[error("TLS is not set up here: name certificate, key and authorities in [ssp]")]
    NoCertificate,
    #[error(transparent)]
    Target(#[from] InvalidTarget),
    #[error(transparent)]
    Post(#[from] PostError),
}

impl Servers {
    /// No connections yet.
    #[must_use]
    pub fn new(certificates: Arc<Certificates>, router: Arc<Router>, config: SspConfig) -> Self {
        Self {
            certificates,
            router,
            config,
            clients: Mutex::default(),
        }
    }

    /// Closes the idle connections; new ones are made with the certificates and agreements now in force.
    pub fn reload(&self) {
        self.clients
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// The servers in the order of trying; `first` is one that worked, as `https://host:port`.
    pub(super) fn order(
        &self,
        first: Option<&str>,
        candidates: &[Candidate],
        agreement: &InterconnectionAgreement,
        now: Timestamp,
    ) -> Vec<Server> {
        let mut draw = |most: u32| fastrand::u32(0..=most);
        let ordered = self.router.health().order(candidates, &mut draw, now);
        let security = match (
            agreement.config.tls.required,
            profile(agreement).falls_back_to_http,
        ) {
            (true, _) => Security::Tls,
            (false, true) => Security::TlsOrPlain,
            (false, false) => Security::Plain,
        };
        let with = |candidate| Server { security, candidate };
        let mut servers: Vec<_> = ordered.into_iter().map(with).collect();
        if let Some(first) = first
            && let Some(index) = servers.iter().position(|server| server.is_at(first))
            && !self
                .router
                .health()
                .is_set_aside(&servers_at(&servers, index), now)
        {
            let mut server = servers.remove(index);
            // The scheme that took the first document is kept: nothing later tries the other one (SSP reference §2).
            server.security = if first.starts_with("https:") {
                Security::Tls
            } else {
                Security::Plain
            };
            servers.insert(0, server);
        }
        servers
    }

    /// Posts a step of a handshake; which server took it. Where TLS is tried before plain HTTP, it is tried anew.
    pub(super) async fn post_setup(
        &self,
        servers: &[Server],
        agreement: &InterconnectionAgreement,
        (own, peer): (&Domain, &Domain),
        body: Bytes,
        id: Option<&TransactionId>,
        now: Timestamp,
    ) -> (Delivery, Option<String>) {
        let headers = PostHeaders {
            transaction_id: id.map(TransactionId::as_str),
            session_id: None,
        };
        let mut outcome = Delivery::Unreachable;
        for server in servers {
            if let Ok(client) = self.client(server, agreement, (own, peer)) {
                client.forget_fall_back();
            }
            let posted = self.post(server, agreement, (own, peer), body.clone(), headers, now);
            match posted.await {
                Ok(200..=299) => {
                    let client = self.client(server, agreement, (own, peer));
                    let is_plain = client.map_or(server.is_plain(), |client| client.is_plain());
                    return (Delivery::Accepted, Some(server.url_by(is_plain)));
                }
                Ok(status) => {
                    tracing::info!(%peer, server = server.url(), status, "a setup step was refused");
                    outcome = Delivery::Refused;
                }
                Err(error) => {
                    tracing::info!(%peer, server = server.url(), reason = %error.reason(), "a setup step could not be delivered");
                    match error {
                        Unposted::Post(PostError::BrokenAfter(_)) => outcome = Delivery::Refused,
                        Unposted::Post(error) if error.may_have_arrived() => outcome = Delivery::Unanswered,
                        Unposted::Post(_) | Unposted::NoCertificate | Unposted::Target(_) => {}
                    }
                }
            }
        }
        (outcome, None)
    }

    /// Posts a document of a session, server by server until one may have seen it.
    async fn post_document(
        &self,
        servers: &[Server],
        agreement: &InterconnectionAgreement,
        between: (&Domain, &Domain),
        body: Bytes,
        headers: PostHeaders<'_>,
        now: Timestamp,
    ) -> Posted {
        let mut outcome = Posted::Failed("the peer has no server".into());
        for server in servers {
            let posted = self.post(server, agreement, between, body.clone(), headers, now);
            match posted.await {
                Ok(200..=299) => return Posted::Accepted,
                Ok(403 | 404) => return Posted::SessionUnknown,
                Ok(status) => outcome = Posted::Refused(format!("{} answered HTTP {status}", server.url())),
                Err(error) => {
                    let reason = format!("{}: {}", server.url(), error.reason());
                    match error {
                        Unposted::Post(PostError::BrokenAfter(error)) if !error.is_parse() => {
                            return Posted::Closed(reason);
                        }
                        // It would be in the hands of two servers, neither of which knows of the other's.
                        Unposted::Post(error) if error.may_have_arrived() => return Posted::Unsure(reason),
                        Unposted::Post(_) | Unposted::NoCertificate | Unposted::Target(_) => {
                            outcome = Posted::Failed(reason);
                        }
                    }
                }
            }
        }
        outcome
    }

    async fn post(
        &self,
        server: &Server,
        agreement: &InterconnectionAgreement,
        between: (&Domain, &Domain),
        body: Bytes,
        headers: PostHeaders<'_>,
        now: Timestamp,
    ) -> Result<u16, Unposted> {
        let client = self.client(server, agreement, between)?;
        self.router.health().begin(&server.candidate.host_address(), now);
        let posted = client.post("/", body, headers).await;
        // A peer that closes without an answer was reached: the observed one says in this way that it lost the session.
        let is_reached = matches!(&posted, Ok(_) | Err(PostError::BrokenAfter(_)));
        self.router
            .health()
            .report(&server.candidate.host_address(), is_reached, now);
        Ok(posted?)
    }

    /// Closes connections that are kept and not used again.
    pub(super) fn forget_idle(&self) {
        let clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.values().for_each(|client| client.forget_idle());
    }

    fn client(
        &self,
        server: &Server,
        agreement: &InterconnectionAgreement,
        (own, peer): (&Domain, &Domain),
    ) -> Result<Arc<SspClient>, Unposted> {
        let candidate = &server.candidate;
        let key = ClientKey {
            host: Arc::clone(&candidate.host),
            port: candidate.port,
            security: server.security,
            own: own.clone(),
            peer: peer.clone(),
            addresses: Arc::clone(&candidate.addresses),
        };
        if let Some(client) = self
            .clients
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
        {
            return Ok(Arc::clone(client));
        }
        let client = Arc::new(SspClient::new(
            self.target(server, agreement, (own, peer))?,
            ClientLimits {
                connect: self.config.connect_timeout,
                request: self.config.exchange_timeout,
                connections: self.config.connections_per_server,
                ..ClientLimits::default()
            },
        )?);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        // Addresses change with DNS; what is not used any more is dropped with its connections.
        clients.retain(|known, _| !known.is_same_server(&key));
        Ok(Arc::clone(clients.entry(key).or_insert(client)))
    }

    fn target(
        &self,
        server: &Server,
        agreement: &InterconnectionAgreement,
        (own, peer): (&Domain, &Domain),
    ) -> Result<Target, Unposted> {
        let candidate = &server.candidate;
        let certificates = || Arc::clone(&self.certificates);
        let scheme = match (server.security, self.certificates.is_empty()) {
            (Security::Tls, true) => return Err(Unposted::NoCertificate),
            (Security::Tls, false) => Scheme::Https(certificates()),
            (Security::TlsOrPlain, false) => Scheme::HttpsThenHttp(certificates()),
            (Security::TlsOrPlain, true) | (Security::Plain, _) => Scheme::Http,
        };
        let mut other_names = agreement.config.tls.names.clone();
        if candidate.secure {
            other_names.push(candidate.host.to_string());
        }
        Ok(Target {
            own_domain: own.to_string(),
            service_domain: peer.to_string(),
            other_names,
            host: Arc::clone(&candidate.host),
            addresses: Arc::clone(&candidate.addresses),
            port: candidate.port,
            scheme,
            versions: if self.config.http2 {
                HttpVersions::Both
            } else {
                HttpVersions::Http1
            },
            networks: agreement.config.allowed_networks.clone(),
        })
    }
}

impl SspGateway {
    /// Posts a document of a session, server by server.
    pub(super) async fn post(
        &self,
        link: &Link,
        session: &Session,
        document: &Document,
        first: Option<(Mode, TransactionId)>,
    ) -> Posted {
        let Some(agreement) = self.agreements.load().for_domain(&link.peer).cloned() else {
            return Posted::Failed("the agreement has ended".into());
        };
        let body = Bytes::from(encode(document, &profile(&agreement)));
        let headers = match &first {
            Some((Mode::Request, id)) => PostHeaders {
                transaction_id: Some(id.as_str()),
                session_id: Some(&session.own_id),
            },
            Some((Mode::Response, _)) | None => PostHeaders::default(),
        };
        let servers = match self.servers_of(link, session, &agreement).await {
            Ok(servers) => servers,
            Err(reason) => return Posted::Failed(reason),
        };
        let between = (&link.own, &link.peer);
        self.servers
            .post_document(&servers, &agreement, between, body, headers, self.now())
            .await
    }

    async fn servers_of(
        &self,
        link: &Link,
        session: &Session,
        agreement: &InterconnectionAgreement,
    ) -> Result<Vec<Server>, String> {
        let candidates = self.candidates(&link.peer, agreement, Some(link)).await?;
        let mut servers = self
            .servers
            .order(Some(&session.url), &candidates, agreement, self.now());
        if session.redirected {
            // The agreement may have changed since: the server must still be one that it allows.
            match Server::parse(&session.url, agreement) {
                Ok(server) => servers.insert(0, server),
                Err(reason) => tracing::warn!(peer = %link.peer, %reason, "the session's server is not used"),
            }
        }
        Ok(servers)
    }
}

impl Server {
    /// The server that a URL of the peer's names; the path is of no use, because SSP has one target (SSP reference §1).
    ///
    /// # Errors
    /// Why it can't be used: no URL of a server, or plain HTTP where the agreement requires TLS.
    pub fn parse(url: &str, agreement: &InterconnectionAgreement) -> Result<Self, String> {
        let uri: hyper::Uri = url.trim().parse().map_err(|_| format!("{url} is no URL"))?;
        let (security, default_port) = match uri.scheme_str() {
            Some("https") => (Security::Tls, 443),
            Some("http") if !agreement.config.tls.required => (Security::Plain, 80),
            Some("http") => return Err(format!("{url} is without TLS, which the agreement requires")),
            _ => return Err(format!("{url} is neither https nor http")),
        };
        let host = uri.host().filter(|host| !host.is_empty());
        let host = host
            .filter(|host| is_name_or_address(host))
            .ok_or_else(|| format!("{url} names no server"))?;
        let has_more = uri
            .authority()
            .is_some_and(|authority| authority.as_str() != host);
        let port = match uri.port_u16() {
            Some(port) => port,
            None if has_more => return Err(format!("{url} names no port")),
            None => default_port,
        };
        let named = format!("{host}:{port}");
        let candidates = crate::routing::static_candidates(&[named]);
        let candidate = candidates.and_then(|all| all.first().cloned());
        let candidate = candidate.ok_or_else(|| format!("{url} names no server"))?;
        Ok(Self { security, candidate })
    }

    /// Whether documents to it are in the clear.
    pub(super) fn is_plain(&self) -> bool {
        self.security == Security::Plain
    }

    /// Where it is, as `https://host:port`; its own text is read as the same server.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_by(self.is_plain())
    }

    /// Its URL as it was found to speak.
    fn url_by(&self, is_plain: bool) -> String {
        let Candidate { host, port, .. } = &self.candidate;
        let scheme = if is_plain { "http" } else { "https" };
        if host.contains(':') {
            return format!("{scheme}://[{host}]:{port}");
        }
        format!("{scheme}://{host}:{port}")
    }

    /// Whether this is its URL.
    fn is_at(&self, url: &str) -> bool {
        let Some((scheme, authority)) = url.split_once("://") else {
            return false;
        };
        let is_spoken = match self.security {
            Security::Tls => scheme == "https",
            Security::TlsOrPlain => scheme == "https" || scheme == "http",
            Security::Plain => scheme == "http",
        };
        let parts = authority.rsplit_once(':');
        is_spoken
            && parts.is_some_and(|(host, port)| {
                let host = host.trim_matches(['[', ']']);
                host == &*self.candidate.host && port.parse() == Ok(self.candidate.port)
            })
    }
}

impl ClientKey {
    fn is_same_server(&self, other: &Self) -> bool {
        (&self.host, self.port, self.security) == (&other.host, other.port, other.security)
            && (&self.own, &self.peer) == (&other.own, &other.peer)
    }
}

impl Unposted {
    /// With what is behind it, for logs and trails.
    fn reason(&self) -> String {
        let source = std::error::Error::source(self);
        source.map_or_else(|| self.to_string(), |source| format!("{self}: {source}"))
    }
}

impl std::fmt::Debug for Servers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        write!(f, "Servers({} in use)", clients.len())
    }
}

fn servers_at(servers: &[Server], index: usize) -> crate::routing::HostAddress {
    let candidate = servers.get(index).map(|server| &server.candidate);
    candidate
        .map(Candidate::host_address)
        .unwrap_or_else(|| crate::routing::HostAddress {
            host: "".into(),
            port: 0,
        })
}

/// What stands in brackets is an IPv6 address, without the name of an interface of the peer's.
fn is_name_or_address(host: &str) -> bool {
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')),
    }
}

#[cfg(test)]
mod tests;
