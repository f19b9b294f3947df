//! Builds every part, joins them, shuts them down in order; the only file that knows all of them.
//!
//! [`App::start`] brings a gateway up from its configuration, [`App::reload`] puts a changed one in force without dropping a
//! session, [`App::shut_down`] ends it so that nothing accepted is lost. The lab runs several in one process.

mod accounts;
mod board;
mod house;
mod levers;
mod listen;
mod nodes;
pub mod stored;
mod web;

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Weak},
    time::Duration,
};

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinSet,
};

use self::{
    levers::{Levers, Reloading},
    nodes::{Nodes, Orders, alone},
};
use crate::{
    admin::{Flushes, load_overrides},
    agreement::Agreements,
    cluster::{Alone, Cluster, JoinError},
    config::Config,
    gateways::{
        home::{HomeConfig, HomeSeat},
        ssp::{
            Servers, SspConfig, SspGateway, SspParts,
            certificates::{Bundle, BundleError, Certificates, IdentityFiles},
            server::{HttpServer, SspServer},
            watch_expiries,
        },
    },
    model::{Domain, Refusal, TrailRecord, WvAddress},
    relay::{Egress, IdentitySecret, Relay, RelayParts, Underway},
    routing::{HomeDirectory, Router, RoutingConfig},
    store::{Batch, Space, Store, StoreError, TimedStore, WorkerId},
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
    /// Where the embedded home domain is.
    pub home: Option<Arc<HomeSeat>>,
    /// The SSP gateway.
    pub gateway: Arc<SspGateway>,
    /// The relay.
    pub relay: Arc<Relay>,
    /// The router.
    pub router: Arc<Router>,
    /// This node among the others; `None` where it is alone.
    pub cluster: Option<Arc<Cluster>>,
    /// This gateway as the only one on a database.
    alone: Option<Arc<Alone>>,
    agreements: Arc<ArcSwap<Agreements>>,
    flushes: Arc<Flushes>,
    certificates: Arc<Certificates>,
    /// What subscribers are shown; `None` where their listener has no TLS.
    home_certificates: Option<Arc<Certificates>>,
    /// What this node shows to the others.
    node_certificates: Option<Arc<Certificates>>,
    store: Arc<dyn Store>,
    /// Whether the store is this gateway's to close.
    owns_store: bool,
    /// For peers; open until the end, because what we asked is answered there.
    listeners: Vec<SspServer>,
    /// For subscribers and operators.
    web: Vec<HttpServer>,
    /// For the other nodes; open until the end, because what they ask may be answered by what is under way here.
    nodes: Option<HttpServer>,
    /// Open until the end, so that whoever balances load sees that this node stops.
    probes: Option<HttpServer>,
    tasks: JoinSet<()>,
    /// The configuration of the start.
    config: Arc<Config>,
    is_ending: watch::Sender<bool>,
}

/// Sockets that were bound before the start, so that their ports are known.
#[derive(Default)]
pub struct Sockets {
    /// For peers, over TLS.
    pub ssp: Option<TcpListener>,
    /// For subscribers.
    pub subscribers: Option<TcpListener>,
    /// For the other nodes.
    pub nodes: Option<TcpListener>,
    /// A store that gateways of one process share; whoever opened it closes it.
    pub store: Option<Arc<dyn Store>>,
    /// Reads the configuration again, for `impsgw reload`; without it only a signal can.
    pub reload: Option<LoadConfig>,
    /// Somebody who is told of every finished trail, besides those that keep them.
    pub trails: Option<mpsc::UnboundedSender<TrailRecord>>,
    /// Something that stands before the embedded home domain, for the lab's sandbox.
    pub gate: Option<HomeGate>,
}

/// Puts something before the embedded home domain, which sees each request first.
pub type HomeGate = fn(Arc<dyn Egress>) -> Arc<dyn Egress>;

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
    /// The other nodes.
    #[error("this node can't join the others: {0}")]
    Cluster(#[from] JoinError),
    /// Others on the same store.
    #[error("this gateway can't start alone: {0}")]
    Alone(JoinError),
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
        let config = Arc::new(config);
        let clock = Clock::system();
        let metrics = Arc::new(Metrics::new());
        let mut tasks = JoinSet::new();
        let owns_store = sockets.store.is_none();
        let store = match sockets.store {
            Some(store) => store,
            None => open_store(&config, &metrics, &clock, &mut tasks).await?,
        };
        let nodes = Nodes::join(&config, sockets.nodes, (&store, &clock, &metrics)).await?;
        let alone = match &nodes {
            None if store.is_shared() => Some(alone(&config, &store, &clock).await?),
            None | Some(_) => None,
        };
        let secret = identity_secret(&store, &clock).await?;
        let own = config.gateway.domains.clone();
        let main = own
            .first()
            .cloned()
            .ok_or_else(|| StartError::Config("[gateway] domains is empty".into()))?;
        let agreements = Arc::new(ArcSwap::from_pointee(Agreements::new(config.agreements.clone())));

        let home = open_home(&config, (&store, &clock), nodes.as_ref()).await?;
        let directory: Arc<dyn HomeDirectory> = match &home {
            Some(home) => home.directory(),
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
            cluster: nodes.as_ref().map(|nodes| Arc::clone(&nodes.cluster)),
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
            let home = home.egress();
            egresses.push(match sockets.gate {
                Some(gate) => gate(home),
                None => home,
            });
        }
        let relay = Arc::new(Relay::new(RelayParts {
            config: config.relay.clone(),
            agreements: Arc::clone(&agreements),
            router: Arc::clone(&router),
            store: Arc::clone(&store),
            shares_store: nodes.is_some() || store.is_shared(),
            egresses,
            own,
            clock: clock.clone(),
            secret,
            trails: keep_trails(Arc::clone(&metrics), Arc::clone(&book), sockets.trails),
        }));
        gateway.connect(&relay);
        if let Some(home) = &home {
            let begun = home.begin(&relay).await;
            begun.map_err(|error| StartError::Home(error.to_string()))?;
        }
        let waiting = relay.waiting().await.map_err(StartError::Resume)?;
        if waiting > 0 {
            tracing::info!(waiting, "items wait in the store");
        }

        let home_certificates = home_certificates(config.home.as_ref())?.map(Certificates::new);
        let flushes = Flushes::new(
            config.gateway.node.clone(),
            Arc::clone(&store),
            Arc::clone(&router),
            clock.clone(),
        );
        let mut app = Self {
            flushes: Arc::new(flushes),
            alone,
            cluster: nodes.as_ref().map(|nodes| Arc::clone(&nodes.cluster)),
            node_certificates: nodes.as_ref().map(|nodes| Arc::clone(&nodes.certificates)),
            owns_store,
            nodes: None,
            admin: None,
            ssp: Vec::new(),
            subscribers: None,
            home,
            gateway,
            relay,
            router,
            agreements,
            certificates,
            home_certificates,
            store,
            listeners: Vec::new(),
            web: Vec::new(),
            probes: None,
            tasks,
            config: Arc::clone(&config),
            is_ending: watch::Sender::new(false),
        };
        // Before it asks a peer anything: the others know by then where the answers belong.
        if let Some(nodes) = nodes {
            app.answer_nodes(&nodes.cluster, &metrics, &clock);
            app.nodes = Some(nodes.appear(accounts::passed_on(app.home.as_ref())).await?);
        }
        app.listen_to_peers(&config.ssp, sockets.ssp).await?;
        app.serve_subscribers(&config, sockets.subscribers).await?;
        let reloading = Reloading {
            levers: app.levers(),
            load: sockets.reload,
        };
        app.serve_operators(&config, reloading, (book, Arc::clone(&metrics)), &clock)
            .await?;
        app.spawn_tasks(&clock, metrics);
        if let (Some(home), None) = (app.home.as_ref().and_then(|seat| seat.here()), &app.cluster) {
            home.watch_again();
        }
        tracing::info!(node = config.gateway.node, ssp = ?app.ssp, subscribers = ?app.subscribers, "started");
        Ok(app)
    }

    /// Puts changed agreements, routing and certificates in force; sessions stay. Returns the settings whose change waits
    /// for the next start.
    ///
    /// # Errors
    /// When the certificates can't be read; then nothing is changed.
    pub fn reload(&self, config: Config) -> Result<Vec<String>, StartError> {
        self.levers().put_in_force(config)
    }

    fn levers(&self) -> Levers {
        Levers {
            start: Arc::clone(&self.config),
            agreements: Arc::clone(&self.agreements),
            relay: Arc::clone(&self.relay),
            router: Arc::clone(&self.router),
            gateway: Arc::clone(&self.gateway),
            certificates: Arc::clone(&self.certificates),
            home_certificates: self.home_certificates.clone(),
            node_certificates: self.node_certificates.clone(),
        }
    }

    /// Takes nothing new, lets what is under way end within `stop_grace`, closes the store. SSP sessions stay open: they
    /// are in the store, and the next start goes on with them.
    pub async fn shut_down(mut self) {
        self.stop_taking();
        if let Some(cluster) = &self.cluster
            && let Err(error) = cluster.drain().await
        {
            tracing::warn!(%error, "the other nodes don't know that this one stops");
        }
        if let Some(home) = &self.home {
            home.leave().await;
        }
        let grace = self.config.gateway.stop_grace;
        let web = std::mem::take(&mut self.web);
        let ending = async {
            join_all(web.into_iter().map(|listener| listener.shut_down(grace))).await;
            self.all_idle().await;
        };
        if tokio::time::timeout(grace, ending).await.is_err() {
            tracing::warn!(
                ?grace,
                "not everything under way has ended in time; what may wait goes on after the next start"
            );
        }
        let listeners = std::mem::take(&mut self.listeners);
        join_all(
            listeners
                .into_iter()
                .map(|listener| listener.shut_down(LAST_EXCHANGE)),
        )
        .await;
        for server in self.nodes.take().into_iter().chain(self.probes.take()) {
            server.shut_down(LAST_EXCHANGE).await;
        }
        self.tasks.shutdown().await;
        self.leave().await;
    }

    /// Ends when this process must: another one is the node of its name, or the gateway on its database.
    pub async fn is_out(&self) {
        let by = match (&self.cluster, &self.alone) {
            (Some(cluster), _) => cluster.is_out().await,
            (None, Some(alone)) => alone.is_out().await,
            (None, None) => std::future::pending().await,
        };
        tracing::error!(
            by = by.0,
            "another process has taken this one's place; it takes nothing more"
        );
        self.stop_taking();
    }

    fn stop_taking(&self) {
        self.is_ending.send_replace(true);
        self.gateway.stop_taking();
        self.relay.stop_claiming();
    }

    async fn leave(&self) {
        if self.store.is_shared() || self.cluster.is_some() {
            house::hand_over(&*self.store, &self.worker()).await;
        }
        if let Some(cluster) = &self.cluster
            && let Err(error) = cluster.leave().await
        {
            tracing::warn!(%error, "the other nodes take this one for living until its lease ends");
        }
        if let Some(alone) = &self.alone
            && let Err(error) = alone.leave().await
        {
            tracing::warn!(%error, "another gateway can't use this database until a lease ends");
        }
        if !self.owns_store {
            return;
        }
        if let Err(error) = self.store.close().await {
            tracing::error!(%error, "the store did not close cleanly");
        }
    }

    /// What ends in one part may begin something in another, so all are waited for until all are idle at once.
    async fn all_idle(&self) {
        let mut parts: Vec<&Underway> = vec![self.relay.underway(), self.gateway.underway()];
        let here = self.home.as_ref().and_then(|seat| seat.here());
        parts.extend(here.iter().map(|home| home.underway()));
        parts.extend(self.home.iter().map(|seat| seat.underway()));
        while !parts.iter().all(|part| part.is_idle()) {
            for part in &parts {
                part.idle().await;
            }
        }
    }

    fn spawn_tasks(&mut self, clock: &Clock, metrics: Arc<Metrics>) {
        let certificates = self.all_certificates();
        self.tasks.spawn(house::keep_trying(
            Arc::clone(&self.store),
            Arc::clone(&metrics),
            clock.clone(),
        ));
        self.tasks
            .spawn(watch_expiries(certificates, metrics, clock.clone()));
        let worker = self.worker();
        self.tasks
            .spawn(Arc::clone(&self.relay).run_outbox(worker.clone()));
        if let Some(alone) = &self.alone {
            self.tasks.spawn(Arc::clone(alone).run());
        }
        if let Some(cluster) = &self.cluster {
            self.tasks.spawn(Arc::clone(cluster).run());
            let orders = Orders {
                relay: Arc::downgrade(&self.relay),
                gateway: Arc::downgrade(&self.gateway),
                router: Arc::clone(&self.router),
                store: Arc::clone(&self.store),
                flushes: Arc::clone(&self.flushes),
                clock: clock.clone(),
            };
            self.tasks.spawn(orders.follow(Arc::clone(cluster)));
            self.tasks.spawn(nodes::divide_limits(
                Arc::clone(cluster),
                Arc::downgrade(&self.relay),
            ));
        }
        if let Some(home) = &self.home {
            self.tasks.spawn(Arc::clone(home).run());
        }
        self.tasks.spawn(Arc::clone(&self.gateway).run_handshakes());
        let relay = Arc::downgrade(&self.relay);
        self.tasks.spawn(house::keep_house(
            Weak::clone(&relay),
            Arc::downgrade(&self.gateway),
        ));
        self.tasks.spawn(house::sweep(
            Weak::clone(&relay),
            Arc::clone(&self.store),
            clock.clone(),
            worker.clone(),
        ));
        self.tasks.spawn(house::keep_subscriptions(
            relay,
            Arc::clone(&self.store),
            clock.clone(),
            worker,
        ));
    }

    /// As who this process claims and leases.
    fn worker(&self) -> WorkerId {
        match &self.cluster {
            // A process that was taken for dead settles nothing of its successor's.
            Some(cluster) => cluster.me().worker(),
            None => WorkerId(self.config.gateway.node.clone()),
        }
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

/// Where there is no embedded home domain, nobody has an account in it.
#[derive(Debug)]
struct NoAccounts;

impl HomeDirectory for NoAccounts {
    fn account(&self, _address: &WvAddress) -> Option<Domain> {
        None
    }
}

/// The embedded home domain: open here where this node is alone; else where it is, is found out once the relay is there.
async fn open_home(
    config: &Config,
    (store, clock): (&Arc<dyn Store>, &Clock),
    nodes: Option<&Nodes>,
) -> Result<Option<Arc<HomeSeat>>, StartError> {
    let Some(home) = config.home.clone() else {
        return Ok(None);
    };
    let (store, clock) = (Arc::clone(store), clock.clone());
    let seat = match nodes {
        Some(nodes) => HomeSeat::among(home, store, clock, Arc::clone(&nodes.cluster)).await,
        None => HomeSeat::alone(home, store, clock).await,
    };
    Ok(Some(seat.map_err(|error| StartError::Home(error.to_string()))?))
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

/// The store of the configuration, its commits timed; what nodes share has a file beside it for while it is away.
async fn open_store(
    config: &Config,
    metrics: &Arc<Metrics>,
    clock: &Clock,
    tasks: &mut JoinSet<()>,
) -> Result<Arc<dyn Store>, StoreError> {
    let timed = TimedStore::new(stored::open(config).await?, Arc::clone(metrics));
    let store: Arc<dyn Store> = Arc::new(timed);
    if !store.is_shared() {
        return Ok(store);
    }
    let carried = stored::carried(config, store)?;
    tasks.spawn(Arc::clone(&carried).keep_merging(clock.clone()));
    Ok(carried)
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

/// What subscribers are shown, where their listener has TLS.
fn home_certificates(config: Option<&HomeConfig>) -> Result<Option<Bundle>, BundleError> {
    let files = config.and_then(HomeConfig::tls_files);
    files
        .map(|(certificate, key)| Bundle::shown(&IdentityFiles { certificate, key }))
        .transpose()
}

/// Where TLS is not set up there is nothing to read.
fn read_certificates(config: &SspConfig) -> Result<Bundle, BundleError> {
    match config.certificate_files() {
        Some(files) => Bundle::read(&files),
        None => Ok(Bundle::none()),
    }
}

/// A request of a peer is acknowledged at once, so its connection needs no longer at the end.
const LAST_EXCHANGE: Duration = Duration::from_secs(1);
