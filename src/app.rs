//! Builds every part, joins them, shuts them down in order; the only file that knows all of them.
//!
//! [`App::start`] brings a gateway up from its configuration, [`App::reload`] puts a changed one in force without dropping a
//! session, [`App::shut_down`] ends it so that nothing accepted is lost. The lab runs several in one process.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Weak},
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinSet,
};

use crate::{
    admin::{
        AdminParts, Board, CertificateState, LeverError, NotReady, PeerState, Reload, SessionState,
        first_token, load_overrides, serve_admin, serve_health,
    },
    agreement::Agreements,
    config::Config,
    gateways::{
        home::HomeDomain,
        ssp::{
            CertificateFacts, Door, LinkView, Servers, SspConfig, SspGateway, SspParts,
            certificates::{Bundle, BundleError, Certificates},
            server::{Limits, ServerConfig, ServerTls, SspServer},
            tls::{ClientAuthentication, HttpVersions},
            watch_expiries,
        },
    },
    model::{Domain, PeerName, Refusal, TrailRecord, WvAddress},
    relay::{Egress, IdentitySecret, Relay, RelayParts},
    routing::{HomeDirectory, HostAddress, Router, RoutingConfig},
    store::{
        Batch, Space, Store, StoreError, TimedStore, WorkerId,
        sqlite::{SqliteConfig, SqliteStore},
    },
    telemetry::{Clock, Metrics, TrailBook},
};

/// A running gateway.
#[derive(Debug)]
pub struct App {
    /// Where the admin API and the console are.
    pub admin: Option<SocketAddr>,
    /// Where SSP peers reach it over TLS, and without.
    pub ssp: Vec<SocketAddr>,
    /// Where subscribers of the embedded home domain reach it.
    pub subscribers: Option<SocketAddr>,
    /// The embedded home domain.
    pub home: Option<Arc<HomeDomain>>,
    /// The SSP gateway.
    pub gateway: Arc<SspGateway>,
    /// The relay.
    pub relay: Arc<Relay>,
    /// The router.
    pub router: Arc<Router>,
    agreements: Arc<ArcSwap<Agreements>>,
    certificates: Arc<Certificates>,
    store: Arc<dyn Store>,
    listeners: Vec<SspServer>,
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

/// Sockets that were bound before the start, so that their ports are known.
#[derive(Default)]
pub struct Sockets {
    /// For peers, over TLS.
    pub ssp: Option<TcpListener>,
    /// For subscribers.
    pub subscribers: Option<TcpListener>,
    /// Reads the configuration again, for `impsgw reload`; without it only a signal can.
    pub reload: Option<LoadConfig>,
    /// Somebody who is told of every finished trail, besides those that keep them.
    pub trails: Option<mpsc::UnboundedSender<TrailRecord>>,
}

/// Reads the configuration again.
pub type LoadConfig = Box<dyn Fn() -> Result<Config, crate::config::Mistakes> + Send + Sync>;

/// Why a gateway could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store.
    #[error("the store can't be opened: {0}")]
    Store(#[from] StoreError),
    /// The certificates.
    #[error(transparent)]
    Tls(#[from] BundleError),
    /// A socket.
    #[error("can't listen on {address} for {purpose}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// For whom.
        purpose: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The relay could not take up what waits.
    #[error("what waits in the store can't be taken up: {0}")]
    Resume(Refusal),
    /// The embedded home domain.
    #[error("the home domain can't start: {0}")]
    Home(String),
    /// The folder of the trails.
    #[error("trails can't be kept in {path}: {source}")]
    Trails {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The first admin token.
    #[error("the first admin token can't be written: {0}")]
    Token(String),
    /// Something of the configuration that only the start can tell.
    #[error("{0}")]
    Config(String),
}

impl App {
    /// Brings a gateway up.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub async fn start(config: Config, sockets: Sockets) -> Result<Self, StartError> {
        let clock = Clock::system();
        let metrics = Arc::new(Metrics::new());
        let store = open_store(&config, &metrics)?;
        let secret = identity_secret(&store, &clock).await?;
        let own = config.gateway.domains.clone();
        let main = own
            .first()
            .cloned()
            .ok_or_else(|| StartError::Config("[gateway] domains is empty".into()))?;
        let agreements = Arc::new(ArcSwap::from_pointee(Agreements::new(config.agreements.clone())));

        let home = match &config.home {
            Some(home) => {
                let home = HomeDomain::new(home.clone(), Arc::clone(&store), clock.clone()).await;
                Some(home.map_err(|error| StartError::Home(error.to_string()))?)
            }
            None => None,
        };
        let directory: Arc<dyn HomeDirectory> = match &home {
            Some(home) => Arc::clone(home) as Arc<dyn HomeDirectory>,
            None => Arc::new(NoAccounts),
        };
        let router = Arc::new(Router::new(
            routing(&config),
            directory,
            own.clone(),
            clock.clone(),
        ));

        let certificates = Certificates::new(read_certificates(&config.ssp)?);
        let servers = Servers::new(Arc::clone(&certificates), Arc::clone(&router), config.ssp.clone());
        let service = format!("gateway.{main}").parse().unwrap_or_else(|_| main.clone());
        let gateway = SspGateway::new(SspParts {
            config: config.ssp.clone(),
            own: own.clone(),
            service,
            agreements: Arc::clone(&agreements),
            router: Arc::clone(&router),
            store: Arc::clone(&store),
            clock: clock.clone(),
            node: config.gateway.node.clone(),
            servers,
        })
        .await?;

        let trails_dir = config.gateway.data_dir.join("trails");
        let book = TrailBook::open(trails_dir.clone(), &config.gateway.trails, clock.clone());
        let book = Arc::new(book.map_err(|source| StartError::Trails {
            path: trails_dir,
            source,
        })?);
        load_overrides(&*store, &router, clock.now()).await?;

        let mut egresses: Vec<Arc<dyn Egress>> = vec![Arc::clone(&gateway) as Arc<dyn Egress>];
        if let Some(home) = &home {
            egresses.push(Arc::clone(home) as Arc<dyn Egress>);
        }
        let relay = Arc::new(Relay::new(RelayParts {
            config: config.relay.clone(),
            agreements: Arc::clone(&agreements),
            router: Arc::clone(&router),
            store: Arc::clone(&store),
            egresses,
            own,
            clock: clock.clone(),
            secret,
            trails: keep_trails(Arc::clone(&metrics), Arc::clone(&book), sockets.trails),
        }));
        gateway.connect(&relay);
        if let Some(home) = &home {
            home.connect(Arc::downgrade(&relay));
        }
        let waiting = relay.resume().await.map_err(StartError::Resume)?;
        if waiting > 0 {
            tracing::info!(waiting, "items wait in the store");
        }

        let (stop, stopped) = watch::channel(false);
        let mut app = Self {
            admin: None,
            ssp: Vec::new(),
            subscribers: None,
            home,
            gateway,
            relay,
            router,
            agreements,
            certificates,
            store,
            listeners: Vec::new(),
            tasks: JoinSet::new(),
            stop,
        };
        app.listen(&config.ssp, sockets.ssp).await?;
        app.serve_subscribers(&config, sockets.subscribers, stopped)
            .await?;
        app.serve_admin(&config, sockets.reload, book, Arc::clone(&metrics), &clock)
            .await?;
        app.spawn_tasks(&config.gateway.node, &clock, metrics);
        if let Some(home) = &app.home {
            home.watch_again();
        }
        tracing::info!(node = config.gateway.node, ssp = ?app.ssp, subscribers = ?app.subscribers, "started");
        Ok(app)
    }

    /// Puts changed agreements, routing and certificates in force; sessions stay.
    ///
    /// # Errors
    /// When the certificates can't be read; then nothing is changed.
    pub fn reload(&self, config: Config) -> Result<(), StartError> {
        self.levers().put_in_force(config)
    }

    fn levers(&self) -> Levers {
        Levers {
            agreements: Arc::clone(&self.agreements),
            relay: Arc::clone(&self.relay),
            router: Arc::clone(&self.router),
            gateway: Arc::clone(&self.gateway),
            certificates: Arc::clone(&self.certificates),
        }
    }

    /// Stops listening, lets what is under way end, closes the store.
    pub async fn shut_down(mut self) {
        let _ = self.stop.send(true);
        for listener in std::mem::take(&mut self.listeners) {
            listener.shut_down(GRACE).await;
        }
        self.tasks.shutdown().await;
        if let Err(error) = self.store.close().await {
            tracing::error!(%error, "the store did not close cleanly");
        }
    }

    async fn listen(&mut self, config: &SspConfig, bound: Option<TcpListener>) -> Result<(), StartError> {
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
            let versions = HttpVersions::Both;
            let server_config = ServerConfig {
                tls,
                versions,
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

    async fn serve_subscribers(
        &mut self,
        config: &Config,
        bound: Option<TcpListener>,
        mut stopped: watch::Receiver<bool>,
    ) -> Result<(), StartError> {
        let (Some(home), Some(address)) = (&self.home, config.home.as_ref().and_then(|home| home.listen))
        else {
            return Ok(());
        };
        let listener = bind(address, bound, "subscribers").await?;
        self.subscribers = listener.local_addr().ok();
        let router = home.api();
        self.tasks.spawn(async move {
            let stop = async move {
                let _ = stopped.changed().await;
            };
            if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop).await {
                tracing::error!(%error, "the subscriber API stopped");
            }
        });
        Ok(())
    }

    async fn serve_admin(
        &mut self,
        config: &Config,
        load: Option<LoadConfig>,
        trails: Arc<TrailBook>,
        metrics: Arc<Metrics>,
        clock: &Clock,
    ) -> Result<(), StartError> {
        let not_ready: NotReady = Arc::new(Vec::new);
        let stop = |mut stopped: watch::Receiver<bool>| async move {
            let _ = stopped.changed().await;
        };
        if let Some(address) = config.admin.health {
            let listener = bind(address, None, "probes").await?;
            let served = serve_health(
                listener,
                Arc::clone(&self.store),
                clock.clone(),
                Arc::clone(&not_ready),
                stop(self.stop.subscribe()),
            );
            self.tasks.spawn(async move {
                if let Err(error) = served.await {
                    tracing::error!(%error, "the probes stopped");
                }
            });
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
        self.admin = listener.local_addr().ok();
        let levers = self.levers();
        let board = Arc::new(PeerBoard {
            own: config.gateway.domains.clone(),
            agreements: Arc::clone(&self.agreements),
            gateway: Arc::clone(&self.gateway),
            router: Arc::clone(&self.router),
            certificates: Arc::clone(&self.certificates),
            clock: clock.clone(),
        });
        let reload: Reload = Arc::new(move || {
            let load = load
                .as_ref()
                .ok_or_else(|| vec!["this gateway was started without a file".to_owned()])?;
            let config =
                load().map_err(|mistakes| mistakes.0.iter().map(ToString::to_string).collect::<Vec<_>>())?;
            let count = config.agreements.len();
            levers
                .put_in_force(config)
                .map_err(|error| vec![error.to_string()])?;
            Ok(format!(
                "the configuration was taken up; {count} agreement(s) are in force"
            ))
        });
        let parts = AdminParts {
            node: config.gateway.node.clone(),
            hosts: config.admin.hosts.clone(),
            store: Arc::clone(&self.store),
            router: Arc::clone(&self.router),
            agreements: Arc::clone(&self.agreements),
            board,
            trails,
            metrics,
            clock: clock.clone(),
            reload,
            not_ready,
        };
        let served = serve_admin(listener, parts, stop(self.stop.subscribe()));
        self.tasks.spawn(async move {
            if let Err(error) = served.await {
                tracing::error!(%error, "the admin API stopped");
            }
        });
        Ok(())
    }

    fn spawn_tasks(&mut self, node: &str, clock: &Clock, metrics: Arc<Metrics>) {
        let certificates = Arc::clone(&self.certificates);
        self.tasks
            .spawn(watch_expiries(certificates, metrics, clock.clone()));
        self.tasks
            .spawn(Arc::clone(&self.relay).run_outbox(WorkerId(node.to_owned())));
        self.tasks.spawn(Arc::clone(&self.gateway).run_handshakes());
        let parts = (
            Arc::downgrade(&self.relay),
            Arc::downgrade(&self.gateway),
            Arc::clone(&self.store),
            clock.clone(),
        );
        self.tasks.spawn(keep_house(parts.0, parts.1, parts.2, parts.3));
        self.tasks.spawn(keep_subscriptions(Arc::downgrade(&self.relay)));
    }
}

/// The parts that a changed configuration reaches.
struct Levers {
    agreements: Arc<ArcSwap<Agreements>>,
    relay: Arc<Relay>,
    router: Arc<Router>,
    gateway: Arc<SspGateway>,
    certificates: Arc<Certificates>,
}

impl Levers {
    fn put_in_force(&self, config: Config) -> Result<(), StartError> {
        self.certificates.replace(read_certificates(&config.ssp)?);
        self.agreements
            .store(Arc::new(Agreements::new(config.agreements.clone())));
        self.relay.agreements_changed();
        self.router.reload(routing(&config), config.gateway.domains);
        self.gateway.reload();
        tracing::info!("the configuration was taken up");
        Ok(())
    }
}

/// The settings of routing, which must know where we listen: a server there would be ourselves.
fn routing(config: &Config) -> RoutingConfig {
    let mut routing = config.routing.clone();
    let listeners = [config.ssp.listen, config.ssp.listen_plain];
    let named = listeners.into_iter().flatten();
    let named = named.filter(|address| !address.ip().is_unspecified() && address.port() != 0);
    routing
        .own_addresses
        .extend(named.map(|address| address.to_string()));
    routing
}

/// The SSP gateway's register of peers, as the admin API sees it.
struct PeerBoard {
    own: Vec<Domain>,
    agreements: Arc<ArcSwap<Agreements>>,
    gateway: Arc<SspGateway>,
    router: Arc<Router>,
    certificates: Arc<Certificates>,
    clock: Clock,
}

impl PeerBoard {
    /// A session counts as open only while a server of the peer can be reached.
    fn session(&self, link: &LinkView) -> SessionState {
        let health = self.router.health();
        let is_cut_off =
            !link.servers.is_empty() && link.servers.iter().all(|server| health.is_failing(server));
        let state = if link.session.is_some() && is_cut_off {
            "open, but no server of the peer can be reached".to_owned()
        } else {
            link.state.clone()
        };
        SessionState {
            own: link.own.clone(),
            theirs: link.peer.clone(),
            state,
            since: link.session.as_ref().map(|session| session.since),
            under_way: (link.documents + link.waiting + link.outstanding) as u64,
        }
    }

    fn domains_of(&self, peer: &PeerName) -> Result<Vec<Domain>, LeverError> {
        let agreements = self.agreements.load();
        let agreement = agreements
            .for_peer(peer)
            .ok_or_else(|| LeverError::Unknown(peer.clone()))?;
        Ok(agreement.config.domains.clone())
    }
}

#[async_trait::async_trait]
impl Board for PeerBoard {
    fn peers(&self) -> Vec<PeerState> {
        let links = self.gateway.board();
        let aside = self.router.health().set_aside(self.clock.now());
        let state = |agreement: &Arc<crate::agreement::InterconnectionAgreement>| {
            let links = links
                .iter()
                .filter(|link| agreement.config.domains.contains(&link.peer));
            let is_of_peer = |server: &HostAddress| {
                let named = server.to_string();
                links.clone().any(|link| link.servers.contains(server))
                    || agreement.config.servers.contains(&named)
            };
            PeerState {
                peer: agreement.peer().clone(),
                protocol: "ssp".into(),
                suspended: self.gateway.suspension(agreement.peer().as_str()),
                sessions: links.clone().map(|link| self.session(link)).collect(),
                set_aside: aside
                    .iter()
                    .filter(|one| is_of_peer(&one.server))
                    .map(|one| {
                        let count = one.failures;
                        format!("{}, {count} failure(s), tried again at {}", one.server, one.until)
                    })
                    .collect(),
            }
        };
        self.agreements.load().all().iter().map(state).collect()
    }

    fn certificates(&self) -> Vec<CertificateState> {
        let now = self.clock.now();
        let state = |facts: CertificateFacts| CertificateState {
            days_left: facts.days_left(now),
            names: facts.dns_names.into_iter().chain(facts.srv_names).collect(),
            subject: facts.subject,
            issuer: facts.issuer,
            not_after: facts.not_after,
        };
        let chains = self.certificates.chains();
        let all = chains.iter().flatten();
        all.filter_map(CertificateFacts::of).map(state).collect()
    }

    async fn suspend(&self, peer: &PeerName, reason: &str) -> Result<(), LeverError> {
        self.domains_of(peer)?;
        self.gateway
            .suspend(peer.as_str(), reason)
            .await
            .map_err(|error| LeverError::Failed(error.to_string()))
    }

    async fn resume(&self, peer: &PeerName) -> Result<(), LeverError> {
        self.domains_of(peer)?;
        self.gateway
            .resume(peer.as_str())
            .await
            .map_err(|error| LeverError::Failed(error.to_string()))
    }

    async fn reconnect(&self, peer: &PeerName) -> Result<(), LeverError> {
        for domain in self.domains_of(peer)? {
            for own in &self.own {
                self.gateway.reconnect(own, &domain);
            }
        }
        Ok(())
    }
}

/// Finished trails are counted, kept, and shown to whoever listens.
fn keep_trails(
    metrics: Arc<Metrics>,
    book: Arc<TrailBook>,
    listener: Option<mpsc::UnboundedSender<TrailRecord>>,
) -> Box<dyn Fn(TrailRecord) + Send + Sync> {
    Box::new(move |trail| {
        metrics.request(&trail);
        if let Some(listener) = &listener {
            let _ = listener.send(trail.clone());
        }
        book.keep(trail);
    })
}

/// Every minute: rows that have expired go, idle rate limits are forgotten, recorded identities are learnt.
async fn keep_house(relay: Weak<Relay>, gateway: Weak<SspGateway>, store: Arc<dyn Store>, clock: Clock) {
    let mut tick = tokio::time::interval(Duration::from_secs(60));
    loop {
        tick.tick().await;
        let (Some(relay), Some(gateway)) = (relay.upgrade(), gateway.upgrade()) else {
            return;
        };
        relay.forget_idle();
        gateway.forget_idle();
        if let Err(refusal) = relay.learn_seen().await {
            tracing::warn!(%refusal, "recorded identities could not be read; each request asks the store for its own");
        }
        loop {
            match store.expire(clock.now(), EXPIRE_AT_ONCE).await {
                Ok(count) if count >= EXPIRE_AT_ONCE as u64 => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(%error, "expired rows could not be removed");
                    break;
                }
            }
        }
    }
}

/// Every minute: subscriptions at other operators are asserted anew, when a day has passed since they were.
async fn keep_subscriptions(relay: Weak<Relay>) {
    let mut tick = tokio::time::interval(Duration::from_secs(60));
    loop {
        tick.tick().await;
        let Some(relay) = relay.upgrade() else {
            return;
        };
        match relay.reassert_daily().await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "subscriptions asserted anew, as every day"),
            Err(refusal) => tracing::warn!(%refusal, "subscriptions could not be asserted anew"),
        }
    }
}

/// Where there is no embedded home domain, nobody has an account in it.
#[derive(Debug)]
struct NoAccounts;

impl HomeDirectory for NoAccounts {
    fn account(&self, _address: &WvAddress) -> Option<Domain> {
        None
    }
}

fn open_store(config: &Config, metrics: &Arc<Metrics>) -> Result<Arc<dyn Store>, StartError> {
    let path: PathBuf = config.gateway.data_dir.join(&config.store.path);
    let mut sqlite = SqliteConfig::new(path);
    sqlite.max_bytes = Some(config.store.max_size.0);
    sqlite.max_items = Some(config.store.max_items);
    sqlite.max_items_per_queue = Some(config.store.max_items_per_queue);
    let store = SqliteStore::open(&sqlite)?;
    Ok(Arc::new(TimedStore::new(store, Arc::clone(metrics))))
}

/// The key of outgoing message IDs: made once, the same for ever after.
async fn identity_secret(store: &Arc<dyn Store>, clock: &Clock) -> Result<IdentitySecret, StartError> {
    use ring::rand::{SecureRandom, SystemRandom};
    let mut octets = [0_u8; 32];
    SystemRandom::new()
        .fill(&mut octets)
        .map_err(|_| StartError::Config("the system gives no random numbers".into()))?;
    let now = clock.now();
    store
        .commit(Batch::new(now).put_new(Space::Meta, "identity-secret", octets.to_vec(), None))
        .await?;
    let row = store.row(Space::Meta, "identity-secret", now).await?;
    let kept = row
        .and_then(|row| <[u8; 32]>::try_from(row.value.as_ref()).ok())
        .unwrap_or(octets);
    Ok(IdentitySecret::new(&kept))
}

/// Where TLS is not set up there is nothing to read.
fn read_certificates(config: &SspConfig) -> Result<Bundle, BundleError> {
    match config.certificate_files() {
        Some(files) => Bundle::read(&files),
        None => Ok(Bundle::none()),
    }
}

async fn bind(
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

/// What is under way when the gateway is stopped may take this long.
const GRACE: Duration = Duration::from_secs(5);
/// Rows removed in one go, so that the writer is not held up.
const EXPIRE_AT_ONCE: usize = 5000;
