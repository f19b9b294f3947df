//! Opens the listeners: for peers, for subscribers, for operators and for probes.

use std::{net::SocketAddr, sync::Arc};

use tokio::net::TcpListener;

use super::{App, StartError, accounts::HomeAccounts, board::PeerBoard, levers::Reloading, web::Web};
use crate::{
    admin::{Accounts, AdminParts, Board, GoesOn, NotReady, PeersHere, admin_api, first_token, probes},
    agreement::Degraded,
    config::Config,
    gateways::{
        home::HomeConfig,
        ssp::{
            Door, SspConfig,
            certificates::Certificates,
            server::{HttpServer, Limits, ServerConfig, ServerTls, SspServer},
            tls::{ClientAuthentication, HttpVersions},
        },
    },
    telemetry::{Clock, Metrics, TrailBook},
};

impl App {
    pub(super) async fn listen_to_peers(
        &mut self,
        config: &SspConfig,
        bound: Option<TcpListener>,
    ) -> Result<(), StartError> {
        let limits = Limits {
            handshake: config.exchange_timeout,
            first_request: config.exchange_timeout,
            body: config.exchange_timeout,
            body_size: usize::try_from(config.max_document.0).unwrap_or(usize::MAX),
            reading: usize::try_from(config.max_reading.0).unwrap_or(usize::MAX),
            connections: config.max_connections,
            connections_per_source: config.max_connections_per_address,
            ..Limits::default()
        };
        // Who needs a certificate is the agreement's to say, when the peer is known.
        let tls = ServerTls {
            certificates: Arc::clone(&self.certificates),
            clients: ClientAuthentication::Requested,
        };
        let over_tls = (config.listen, Some(tls), bound);
        for (address, tls, bound) in [over_tls, (config.listen_plain, None, None)] {
            let Some(address) = address else { continue };
            let listener = bind(address, bound, "SSP").await?;
            let server_config = ServerConfig {
                tls,
                versions: HttpVersions::Both,
                limits,
            };
            let started = SspServer::start(listener, server_config, Door::of(&self.gateway));
            let server = started.map_err(|source| StartError::Listen {
                address,
                purpose: "SSP",
                source,
            })?;
            self.ssp.push(server.local_address());
            self.listeners.push(server);
        }
        Ok(())
    }

    pub(super) async fn serve_subscribers(
        &mut self,
        config: &Config,
        bound: Option<TcpListener>,
    ) -> Result<(), StartError> {
        let (Some(home), Some(config)) = (&self.home, &config.home) else {
            return Ok(());
        };
        let Some(address) = config.listen else {
            return Ok(());
        };
        let listener = bind(address, bound, "subscribers").await?;
        let tls = self.home_certificates.as_ref().map(|certificates| ServerTls {
            certificates: Arc::clone(certificates),
            clients: ClientAuthentication::Off,
        });
        let limits = subscriber_limits(config);
        let server = serve(
            (listener, address, "subscribers"),
            ("home", home.api()),
            tls,
            limits,
        )?;
        self.subscribers = Some(server.local_address());
        self.web.push(server);
        Ok(())
    }

    /// Whether some agreement lets messages go on without a store that nodes share.
    fn goes_on(&self) -> GoesOn {
        let (agreements, is_shared) = (Arc::clone(&self.agreements), self.store.is_shared());
        Arc::new(move || {
            let agreements = agreements.load();
            let mut all = agreements.all().iter();
            is_shared && all.any(|one| one.config.degraded == Degraded::Carry)
        })
    }

    /// Why this node should get no traffic now.
    pub(super) fn not_ready(&self, metrics: &Arc<Metrics>) -> NotReady {
        let (ending, seen, carries) = (self.is_ending.clone(), Arc::clone(metrics), self.goes_on());
        Arc::new(move || {
            let is_ending = *ending.borrow();
            let stops = is_ending.then(|| "the gateway is stopping".to_owned());
            let failing = seen.store_health().failing().filter(|_| !carries());
            stops.into_iter().chain(failing).collect()
        })
    }

    /// The peers of this node, for people.
    pub(super) fn board(&self, clock: &Clock) -> Arc<dyn Board> {
        Arc::new(PeerBoard {
            agreements: Arc::clone(&self.agreements),
            gateway: Arc::clone(&self.gateway),
            router: Arc::clone(&self.router),
            certificates: self.all_certificates(),
            relay: Arc::clone(&self.relay),
            clock: clock.clone(),
        })
    }

    /// The same for other nodes; a node that ends is not kept alive by what it would answer.
    pub(super) fn peers_here(&self, clock: &Clock) -> PeersHere {
        let (gateway, relay) = (Arc::downgrade(&self.gateway), Arc::downgrade(&self.relay));
        let (agreements, router) = (Arc::clone(&self.agreements), Arc::clone(&self.router));
        let clock = clock.clone();
        Arc::new(move || match (gateway.upgrade(), relay.upgrade()) {
            (Some(gateway), Some(relay)) => PeerBoard {
                agreements: Arc::clone(&agreements),
                gateway,
                router: Arc::clone(&router),
                certificates: Vec::new(),
                relay,
                clock: clock.clone(),
            }
            .peers(),
            (None, _) | (_, None) => Vec::new(),
        })
    }

    pub(super) async fn serve_operators(
        &mut self,
        config: &Config,
        reloading: Reloading,
        (trails, metrics): (Arc<TrailBook>, Arc<Metrics>),
        clock: &Clock,
    ) -> Result<(), StartError> {
        let (goes_on, not_ready) = (self.goes_on(), self.not_ready(&metrics));
        if let Some(address) = config.admin.health {
            let listener = bind(address, None, "probes").await?;
            let store = Arc::clone(&self.store);
            let routes = probes(store, clock.clone(), Arc::clone(&not_ready), goes_on);
            let server = serve((listener, address, "probes"), ("admin", routes), None, OPERATORS)?;
            self.probes = Some(server);
        }
        let Some(address) = config.admin.listen else {
            return Ok(());
        };
        let path = config.gateway.data_dir.join(&config.admin.token_file);
        let written = first_token(&*self.store, &path, clock.now()).await;
        if let Some(path) = written.map_err(|error| StartError::Token(error.to_string()))? {
            tracing::info!(path = %path.display(), "the first admin token was written");
        }
        let listener = bind(address, None, "the admin API").await?;
        let bound = listener.local_addr().unwrap_or(address);
        let parts = AdminParts {
            node: config.gateway.node.clone(),
            since: clock.now(),
            hosts: config.admin.hosts.clone(),
            store: Arc::clone(&self.store),
            relay: Arc::clone(&self.relay),
            router: Arc::clone(&self.router),
            agreements: Arc::clone(&self.agreements),
            board: self.board(clock),
            accounts: self
                .home
                .clone()
                .map(|seat| Arc::new(HomeAccounts(seat)) as Arc<dyn Accounts>),
            cluster: self.cluster.clone(),
            flushes: Arc::clone(&self.flushes),
            trails,
            metrics,
            clock: clock.clone(),
            reload: reloading.into_reload(),
            not_ready,
        };
        let routes = admin_api(parts, bound.ip());
        let server = serve(
            (listener, address, "the admin API"),
            ("admin", routes),
            None,
            OPERATORS,
        )?;
        self.admin = Some(server.local_address());
        self.web.push(server);
        Ok(())
    }

    /// What every listener shows.
    pub(super) fn all_certificates(&self) -> Vec<Arc<Certificates>> {
        let others = self.home_certificates.iter().chain(&self.node_certificates);
        std::iter::once(&self.certificates)
            .chain(others)
            .cloned()
            .collect()
    }
}

fn serve(
    (listener, address, purpose): (TcpListener, SocketAddr, &'static str),
    (section, routes): (&'static str, axum::Router),
    tls: Option<ServerTls>,
    limits: Limits,
) -> Result<HttpServer, StartError> {
    let config = ServerConfig {
        tls,
        versions: HttpVersions::Both,
        limits,
    };
    let patience = limits.body;
    let web = Web {
        section,
        routes,
        patience,
    };
    HttpServer::start(listener, config, web).map_err(|source| StartError::Listen {
        address,
        purpose,
        source,
    })
}

/// Behind a TLS terminator all connections come from its address.
fn subscriber_limits(config: &HomeConfig) -> Limits {
    let per_source = if config.tls_in_front {
        config.max_connections
    } else {
        config.max_connections_per_address
    };
    Limits {
        handshake: config.request_timeout,
        first_request: config.request_timeout,
        body: config.request_timeout,
        connections: config.max_connections,
        connections_per_source: per_source,
        ..Limits::DEFAULT
    }
}

pub(super) async fn bind(
    address: SocketAddr,
    bound: Option<TcpListener>,
    purpose: &'static str,
) -> Result<TcpListener, StartError> {
    match bound {
        Some(listener) => Ok(listener),
        None => TcpListener::bind(address)
            .await
            .map_err(|source| StartError::Listen {
                address,
                purpose,
                source,
            }),
    }
}

/// Few people, screens and programs ask the admin API and the probes; the rest of the file descriptors is for traffic. No
/// address may have all places, so that one stuck screen doesn't lock the others out.
const OPERATORS: Limits = Limits {
    connections: 512,
    connections_per_source: 256,
    ..Limits::DEFAULT
};
