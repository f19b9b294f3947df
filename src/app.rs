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

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinSet,
};

use crate::{
    agreement::Agreements,
    config::Config,
    gateways::{
        home::HomeDomain,
        ssp::{
            CurrentTls, Listener, ListenerBounds, Servers, SspConfig, SspGateway, SspParts, TlsFault,
            TlsMaterial,
        },
    },
    model::{Domain, Refusal, TrailRecord, WvAddress},
    relay::{Egress, IdentitySecret, Relay, RelayParts},
    routing::{HomeDirectory, Router},
    store::{
        Batch, Space, Store, StoreError, WorkerId,
        sqlite::{SqliteConfig, SqliteStore},
    },
    telemetry::Clock,
};

/// A running gateway.
#[derive(Debug)]
pub struct App {
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
    tls: CurrentTls,
    store: Arc<dyn Store>,
    listeners: Vec<Listener>,
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

/// Sockets that were bound before the start, so that their ports are known.
#[derive(Debug, Default)]
pub struct Sockets {
    /// For peers, over TLS.
    pub ssp: Option<TcpListener>,
    /// For subscribers.
    pub subscribers: Option<TcpListener>,
    /// Somebody who is told of every finished trail, besides those that keep them.
    pub trails: Option<mpsc::UnboundedSender<TrailRecord>>,
}

/// Why a gateway could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store.
    #[error("the store can't be opened: {0}")]
    Store(#[from] StoreError),
    /// The certificates.
    #[error(transparent)]
    Tls(#[from] TlsFault),
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
        let store = open_store(&config)?;
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
            config.routing.clone(),
            directory,
            own.clone(),
            clock.clone(),
        ));

        let tls: CurrentTls = Arc::new(ArcSwapOption::from(TlsMaterial::load(&config.ssp)?.map(Arc::new)));
        let servers = Servers::new(Arc::clone(&tls), Arc::clone(&router), config.ssp.clone());
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
            trails: match sockets.trails {
                Some(listener) => Box::new(move |trail| {
                    let _ = listener.send(trail);
                }),
                None => Box::new(|_| {}),
            },
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
            ssp: Vec::new(),
            subscribers: None,
            home,
            gateway,
            relay,
            router,
            agreements,
            tls,
            store,
            listeners: Vec::new(),
            tasks: JoinSet::new(),
            stop,
        };
        app.listen(&config.ssp, sockets.ssp).await?;
        app.serve_subscribers(&config, sockets.subscribers, stopped)
            .await?;
        app.spawn_tasks(&config.gateway.node, &clock);
        tracing::info!(node = config.gateway.node, ssp = ?app.ssp, subscribers = ?app.subscribers, "started");
        Ok(app)
    }

    /// Puts changed agreements, routing and certificates in force; sessions stay.
    ///
    /// # Errors
    /// When the certificates can't be read; then nothing is changed.
    pub fn reload(&self, config: Config) -> Result<(), StartError> {
        let material = TlsMaterial::load(&config.ssp)?.map(Arc::new);
        self.tls.store(material);
        self.agreements
            .store(Arc::new(Agreements::new(config.agreements)));
        self.relay.agreements_changed();
        self.router.reload(config.routing, config.gateway.domains);
        self.gateway.reload();
        tracing::info!("the configuration was taken up");
        Ok(())
    }

    /// Stops listening, lets what is under way end, closes the store.
    pub async fn shut_down(mut self) {
        let _ = self.stop.send(true);
        for listener in std::mem::take(&mut self.listeners) {
            listener.shut_down().await;
        }
        self.tasks.shutdown().await;
        if let Err(error) = self.store.close().await {
            tracing::error!(%error, "the store did not close cleanly");
        }
    }

    async fn listen(&mut self, config: &SspConfig, bound: Option<TcpListener>) -> Result<(), StartError> {
        let bounds = ListenerBounds {
            max_body: usize::try_from(config.max_document.0).unwrap_or(usize::MAX),
            connections: config.max_connections,
            connections_per_address: config.max_connections_per_address,
            patience: config.exchange_timeout,
        };
        let over_tls = (config.listen, Some(Arc::clone(&self.tls)), bound);
        for (address, tls, bound) in [over_tls, (config.listen_plain, None, None)] {
            let Some(address) = address else { continue };
            let listener = bind(address, bound, "SSP").await?;
            let address = listener.local_addr().unwrap_or(address);
            self.ssp.push(address);
            self.listeners
                .push(Listener::start(listener, address, tls, bounds, &self.gateway));
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

    fn spawn_tasks(&mut self, node: &str, clock: &Clock) {
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
    }
}

/// Every minute: rows that have expired go, idle rate limits are forgotten.
async fn keep_house(relay: Weak<Relay>, gateway: Weak<SspGateway>, store: Arc<dyn Store>, clock: Clock) {
    let mut tick = tokio::time::interval(Duration::from_secs(60));
    loop {
        tick.tick().await;
        let (Some(relay), Some(gateway)) = (relay.upgrade(), gateway.upgrade()) else {
            return;
        };
        relay.forget_idle();
        gateway.forget_idle();
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

/// Where there is no embedded home domain, nobody has an account in it.
#[derive(Debug)]
struct NoAccounts;

impl HomeDirectory for NoAccounts {
    fn account(&self, _address: &WvAddress) -> Option<Domain> {
        None
    }
}

fn open_store(config: &Config) -> Result<Arc<dyn Store>, StartError> {
    let path: PathBuf = config.gateway.data_dir.join(&config.store.path);
    let mut sqlite = SqliteConfig::new(path);
    sqlite.max_bytes = Some(config.store.max_size.0);
    sqlite.max_items = Some(config.store.max_items);
    sqlite.max_items_per_queue = Some(config.store.max_items_per_queue);
    Ok(Arc::new(SqliteStore::open(&sqlite)?))
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

/// Rows removed in one go, so that the writer is not held up.
const EXPIRE_AT_ONCE: usize = 5000;
