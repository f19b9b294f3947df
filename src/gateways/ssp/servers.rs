//! Which server of a peer takes a document: the session's first, then the others as SRV and their health order them.
//!
//! A failed server is set aside by itself, never the whole domain. `https` before `http` on one port is tried only with a peer
//! whose agreement does not require TLS.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;

use super::{
    SspConfig,
    client::{Client, PostError, Target},
    gateway::{SspGateway, profile},
    link::{Link, Posted},
    session::Session,
    tls::CurrentTls,
};
use crate::{
    agreement::InterconnectionAgreement,
    model::{Domain, Timestamp},
    routing::{Candidate, Router, Scheme},
    wire::ssp::{Document, Mode, TransactionId, encode, ladder::Delivery},
};

/// The servers of all peers, with the connections to them.
pub struct Servers {
    tls: CurrentTls,
    router: Arc<Router>,
    config: SspConfig,
    clients: Mutex<HashMap<ClientKey, Arc<Client>>>,
}

/// A server and how to speak to it.
#[derive(Clone, Debug)]
pub(super) struct Server {
    scheme: Scheme,
    candidate: Candidate,
}

type ClientKey = (Arc<str>, u16, Scheme, Domain, Arc<[std::net::IpAddr]>);

impl Servers {
    /// No connections yet.
    #[must_use]
    pub fn new(tls: CurrentTls, router: Arc<Router>, config: SspConfig) -> Self {
        Self {
            tls,
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
        let schemes: &[Scheme] = match (
            agreement.config.tls.required,
            profile(agreement).falls_back_to_http,
        ) {
            (true, _) => &[Scheme::Https],
            (false, true) => &[Scheme::Https, Scheme::Http],
            (false, false) => &[Scheme::Http],
        };
        let with = |candidate: Candidate| {
            schemes.iter().map(move |scheme| Server {
                scheme: *scheme,
                candidate: candidate.clone(),
            })
        };
        let mut servers: Vec<_> = ordered.into_iter().flat_map(with).collect();
        if let Some(first) = first
            && let Some(index) = servers.iter().position(|server| server.url() == first)
            && !self
                .router
                .health()
                .is_set_aside(&servers_at(&servers, index), now)
        {
            let server = servers.remove(index);
            servers.insert(0, server);
        }
        servers
    }

    /// Posts a step of a handshake; which server took it.
    pub(super) async fn post_setup(
        &self,
        servers: &[Server],
        agreement: &InterconnectionAgreement,
        peer: &Domain,
        body: Bytes,
        id: Option<&TransactionId>,
        now: Timestamp,
    ) -> (Delivery, Option<String>) {
        let headers: Vec<_> = id
            .map(|id| ("x-wv-transactionid", id.to_string()))
            .into_iter()
            .collect();
        let mut outcome = Delivery::Unreachable;
        for server in servers {
            match self
                .post(server, agreement, peer, body.clone(), &headers, now)
                .await
            {
                Ok(200..=299) => return (Delivery::Accepted, Some(server.url())),
                Ok(status) => {
                    tracing::info!(%peer, server = server.url(), status, "a setup step was refused");
                    outcome = Delivery::Refused;
                }
                Err(error) => {
                    tracing::info!(%peer, %error, "a setup step could not be delivered");
                    match error {
                        PostError::Closed { .. } => outcome = Delivery::Refused,
                        PostError::Timeout { .. } => outcome = Delivery::Unanswered,
                        PostError::NotAllowed(_) | PostError::Connect { .. } | PostError::Tls { .. } => {}
                    }
                }
            }
        }
        (outcome, None)
    }

    async fn post(
        &self,
        server: &Server,
        agreement: &InterconnectionAgreement,
        peer: &Domain,
        body: Bytes,
        headers: &[(&'static str, String)],
        now: Timestamp,
    ) -> Result<u16, PostError> {
        let client = self.client(server, agreement, peer)?;
        let posted = client.post(body, headers).await;
        let is_reached = !matches!(
            &posted,
            Err(PostError::Connect { .. } | PostError::Tls { .. } | PostError::Timeout { .. })
        );
        self.router
            .health()
            .report(&server.candidate.host_address(), is_reached, now);
        posted
    }

    fn client(
        &self,
        server: &Server,
        agreement: &InterconnectionAgreement,
        peer: &Domain,
    ) -> Result<Arc<Client>, PostError> {
        let candidate = &server.candidate;
        let key: ClientKey = (
            Arc::clone(&candidate.host),
            candidate.port,
            server.scheme,
            peer.clone(),
            Arc::clone(&candidate.addresses),
        );
        if let Some(client) = self
            .clients
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
        {
            return Ok(Arc::clone(client));
        }
        let tls = match server.scheme {
            Scheme::Http => None,
            Scheme::Https => {
                let fault = |reason: String| PostError::Tls {
                    server: server.url(),
                    reason,
                };
                let material = self.tls.load_full();
                let material = material.ok_or_else(|| fault("no certificate is configured".into()))?;
                let mut names = vec![peer.to_string()];
                names.extend(
                    agreement
                        .config
                        .tls
                        .names
                        .iter()
                        .map(|name| name.to_ascii_lowercase()),
                );
                if candidate.secure {
                    names.push(candidate.host.to_string());
                }
                let config = material
                    .client_config(names, self.config.http2)
                    .map_err(|error| fault(error.to_string()))?;
                Some((config, peer.to_string()))
            }
        };
        let client = Arc::new(Client::new(Target {
            host: Arc::clone(&candidate.host),
            port: candidate.port,
            addresses: Arc::clone(&candidate.addresses),
            networks: agreement.config.allowed_networks.clone(),
            tls,
            connections: self.config.connections_per_server,
            connect_timeout: self.config.connect_timeout,
            exchange_timeout: self.config.exchange_timeout,
        }));
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        // Addresses change with DNS; what is not used any more is dropped with its connections.
        clients.retain(|(host, port, scheme, domain, _), _| {
            (host, port, scheme, domain) != (&key.0, &key.1, &key.2, &key.3)
        });
        Ok(Arc::clone(clients.entry(key).or_insert(client)))
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
        let headers: Vec<_> = match first {
            Some((Mode::Request, id)) => {
                vec![
                    ("x-wv-transactionid", id.to_string()),
                    ("x-wv-sessionid", session.own_id.clone()),
                ]
            }
            Some((Mode::Response, _)) | None => Vec::new(),
        };
        let servers = match self.servers_of(link, session, &agreement).await {
            Ok(servers) => servers,
            Err(reason) => return Posted::Failed(reason),
        };
        let mut outcome = Posted::Failed("the peer has no server".into());
        for server in &servers {
            let now = self.now();
            match self
                .servers
                .post(server, &agreement, &link.peer, body.clone(), &headers, now)
                .await
            {
                Ok(200..=299) => return Posted::Accepted,
                Ok(403 | 404) => return Posted::SessionUnknown,
                Ok(status) => outcome = Posted::Failed(format!("{} answered HTTP {status}", server.url())),
                Err(error @ PostError::Closed { .. }) => outcome = Posted::Closed(error.to_string()),
                Err(error) => outcome = Posted::Failed(error.to_string()),
            }
        }
        outcome
    }

    async fn servers_of(
        &self,
        link: &Link,
        session: &Session,
        agreement: &InterconnectionAgreement,
    ) -> Result<Vec<Server>, String> {
        let candidates = self.candidates(&link.peer, agreement, Some(link)).await?;
        Ok(self
            .servers
            .order(Some(&session.url), &candidates, agreement, self.now()))
    }
}

impl Server {
    pub(super) fn url(&self) -> String {
        let scheme = match self.scheme {
            Scheme::Https => "https",
            Scheme::Http => "http",
        };
        format!("{scheme}://{}:{}", self.candidate.host, self.candidate.port)
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
