//! Where the home domain is: with many nodes one of them has it in memory, under a lease, and the others lead there.
//!
//! The holder opens it from the store, as a start does, and writes under the fence of its lease (`FencedStore`). When it stops,
//! or can't renew the lease, it closes what it has, and the next one opens it. The others pass on what the relay delivers
//! (`passed.rs`) and what subscribers ask, their streams among it (`door.rs`), and know from the store which accounts there are
//! (`accounts.rs`), so that routes lead here from any node. A node that is alone has it from its start to its end.

mod accounts;
mod door;
mod passed;

use std::{
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use tokio::{
    sync::{Mutex, Notify, watch},
    time::{Instant, sleep, timeout, timeout_at},
};

pub(super) use self::accounts::ACCOUNTS;
use self::accounts::KnownAccounts;
use super::{HomeConfig, HomeDomain, HomeError, line};
use crate::{
    cluster::{Cluster, Hold, Member, Tenure},
    model::{Domain, Refusal, WvAddress},
    relay::{Egress, Relay, Underway},
    routing::HomeDirectory,
    store::{FencedStore, Store, WorkerId},
    telemetry::Clock,
};

/// Where the home domain is, and the ways there.
pub struct HomeSeat {
    /// For tasks that outlive a call.
    me: Weak<Self>,
    config: HomeConfig,
    store: Arc<dyn Store>,
    clock: Clock,
    /// `None` for a node that is alone.
    cluster: Option<Arc<Cluster>>,
    relay: OnceLock<Weak<Relay>>,
    place: watch::Sender<Place>,
    /// The lease while the home domain is here; locked while it is opened or closed.
    tenure: Mutex<Option<Arc<Tenure>>>,
    accounts: KnownAccounts,
    /// What is asked of the home domain here.
    underway: Underway,
    /// Another node says that the home domain may have moved.
    nudge: Notify,
    is_ending: watch::Sender<bool>,
}

/// Where it is, as far as this node knows.
#[derive(Clone, Debug)]
enum Place {
    Here(Arc<Opened>),
    /// Here for what was asked before this node began to stop, and for what comes of that.
    Leaving(Arc<Opened>),
    /// At the process that holds the lease.
    There(WorkerId),
    Nowhere,
}

/// The home domain, open here.
#[derive(Debug)]
struct Opened {
    home: Arc<HomeDomain>,
    api: axum::Router,
}

/// The node that has the home domain.
#[derive(Debug)]
pub enum ForHolder {
    /// This one.
    Here(Arc<HomeDomain>),
    /// Another one.
    There(Member),
}

/// No node has the home domain now, or it can't be reached.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("no node that can be reached has the home domain now; one takes it within the lease of [cluster]")]
pub struct NotHere;

impl HomeSeat {
    /// How long what is asked of the home domain waits for a node that has it.
    pub const PATIENCE: Duration = Duration::from_secs(5);

    /// For a node that is alone: opens the home domain.
    ///
    /// # Errors
    /// As [`HomeDomain::new`].
    pub async fn alone(
        config: HomeConfig,
        store: Arc<dyn Store>,
        clock: Clock,
    ) -> Result<Arc<Self>, HomeError> {
        let home = HomeDomain::new(config.clone(), Arc::clone(&store), clock.clone()).await?;
        let place = Place::Here(Arc::new(Opened::new(home)));
        Ok(Self::new((config, store, clock), None, place))
    }

    /// For one node of many; [`HomeSeat::begin`] finds out where the home domain is.
    ///
    /// # Errors
    /// A mistake in the configuration, or a store that can't be read.
    pub async fn among(
        config: HomeConfig,
        store: Arc<dyn Store>,
        clock: Clock,
        cluster: Arc<Cluster>,
    ) -> Result<Arc<Self>, HomeError> {
        let problems = config.problems();
        if !problems.is_empty() {
            return Err(HomeError::Config(problems.join("; ")));
        }
        let seat = Self::new((config, store, clock), Some(cluster), Place::Nowhere);
        seat.learn_accounts().await?;
        Ok(seat)
    }

    fn new(
        (config, store, clock): (HomeConfig, Arc<dyn Store>, Clock),
        cluster: Option<Arc<Cluster>>,
        place: Place,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            config,
            store,
            clock,
            cluster,
            relay: OnceLock::new(),
            place: watch::Sender::new(place),
            tenure: Mutex::default(),
            accounts: KnownAccounts::default(),
            underway: Underway::default(),
            nudge: Notify::new(),
            is_ending: watch::Sender::new(false),
        })
    }

    /// Joins the relay, and finds out where the home domain is; takes it when nobody has it. Called once, inside the runtime.
    ///
    /// # Errors
    /// When the store fails, or the home domain can't be opened.
    pub async fn begin(&self, relay: &Arc<Relay>) -> Result<(), HomeError> {
        let _ = self.relay.set(Arc::downgrade(relay));
        match (&self.cluster, self.opened()) {
            (None, Some(opened)) => opened.home.connect(Arc::downgrade(relay)),
            (Some(cluster), _) => self.look(cluster).await?,
            (None, None) => {}
        }
        Ok(())
    }

    /// Keeps the home domain where it is, or takes it over, until the node stops. Returns at once where it is alone.
    pub async fn run(self: Arc<Self>) {
        let Some(cluster) = &self.cluster else { return };
        let _running = Running(&self);
        loop {
            self.wait(cluster).await;
            if let Err(error) = self.look(cluster).await {
                tracing::warn!(%error, "the home domain can't be taken, or found");
                sleep(cluster.heartbeat()).await;
            }
            if let Err(error) = self.learn_accounts().await {
                tracing::warn!(%error, "accounts can't be read; routes go by those that were");
            }
        }
    }

    /// The home domain, if it is here.
    #[must_use]
    pub fn here(&self) -> Option<Arc<HomeDomain>> {
        match &*self.place.borrow() {
            Place::Here(opened) => Some(Arc::clone(&opened.home)),
            Place::Leaving(_) | Place::There(_) | Place::Nowhere => None,
        }
    }

    /// What is asked of the home domain here; for an orderly end.
    #[must_use]
    pub fn underway(&self) -> &Underway {
        &self.underway
    }

    /// As the relay delivers to it.
    #[must_use]
    pub fn egress(self: &Arc<Self>) -> Arc<dyn Egress> {
        match (&self.cluster, self.here()) {
            (None, Some(home)) => home,
            (Some(_), _) | (None, None) => Arc::clone(self) as Arc<dyn Egress>,
        }
    }

    /// As the router asks it.
    #[must_use]
    pub fn directory(self: &Arc<Self>) -> Arc<dyn HomeDirectory> {
        match (&self.cluster, self.here()) {
            (None, Some(home)) => home,
            (Some(_), _) | (None, None) => Arc::clone(self) as Arc<dyn HomeDirectory>,
        }
    }

    /// Ends every stream, and hands the home domain over to the other nodes once what is asked of it here has ended, or after a
    /// while.
    pub async fn leave(&self) {
        self.is_ending.send_replace(true);
        if let Some(opened) = self.opened() {
            opened.home.end_streams();
        }
        let (Some(cluster), Some(tenure)) = (&self.cluster, self.tenure.lock().await.take()) else {
            return;
        };
        if let Some(opened) = self.opened() {
            self.place.send_replace(Place::Leaving(Arc::clone(&opened)));
            opened.home.end_streams();
            let idle = async {
                self.underway.idle().await;
                opened.home.underway().idle().await;
            };
            if timeout(LEAVING, idle).await.is_err() {
                tracing::warn!("the home domain is handed over while something is asked of it");
            }
            if let Err(refusal) = opened.home.hand_over().await {
                tracing::warn!(%refusal, "the home domain is handed over without its newest ID");
            }
            opened.home.close();
        }
        self.place.send_replace(Place::Nowhere);
        tenure.end().await;
        self.tell(cluster, passed::MOVED).await;
    }

    /// The node that has the home domain, at the latest by then.
    ///
    /// # Errors
    /// When nobody has it.
    pub async fn holder(&self, until: Instant) -> Result<ForHolder, NotHere> {
        let found = async {
            let mut places = self.place.subscribe();
            loop {
                let place = places.borrow_and_update().clone();
                match place {
                    Place::Here(opened) if opened.home.is_ours() => {
                        return ForHolder::Here(Arc::clone(&opened.home));
                    }
                    Place::There(process) => {
                        let member = self.cluster.as_ref().and_then(|one| one.process(&process.0));
                        if let Some(member) = member {
                            return ForHolder::There(member);
                        }
                    }
                    Place::Here(_) | Place::Leaving(_) | Place::Nowhere => {}
                }
                // Who has just come is not among the living yet.
                let _ = timeout(LOOK_AGAIN, places.changed()).await;
            }
        };
        timeout_at(until, found).await.map_err(|_| NotHere)
    }

    /// The holder turned out not to be this one: looks again, and waits a moment.
    async fn was_not_at(&self, member: &Member) {
        let mut places = self.place.subscribe();
        self.nudge.notify_one();
        let elsewhere = places.wait_for(|place| !place.is_at(&member.worker()));
        let _ = timeout(LOOK_AGAIN, elsewhere).await;
    }

    /// The home domain while it is open here.
    fn opened(&self) -> Option<Arc<Opened>> {
        match &*self.place.borrow() {
            Place::Here(opened) | Place::Leaving(opened) => Some(Arc::clone(opened)),
            Place::There(_) | Place::Nowhere => None,
        }
    }

    /// The home domain for what others ask: not when it is about to be handed over.
    fn serving(&self) -> Option<Arc<Opened>> {
        match &*self.place.borrow() {
            Place::Here(opened) => Some(Arc::clone(opened)).filter(|opened| opened.home.is_ours()),
            Place::Leaving(_) | Place::There(_) | Place::Nowhere => None,
        }
    }

    /// Returns when it is time to look where the home domain is.
    async fn wait(&self, cluster: &Cluster) {
        let grip = self.tenure.lock().await.as_ref().map(|tenure| tenure.grip());
        match grip {
            Some(grip) => grip.slips().await,
            None => {
                let mut changes = cluster.changes();
                tokio::select! {
                    () = sleep(cluster.heartbeat()) => {}
                    () = self.nudge.notified() => {}
                    _ = changes.changed() => {}
                }
            }
        }
    }

    async fn look(&self, cluster: &Arc<Cluster>) -> Result<(), HomeError> {
        let mut tenure = self.tenure.lock().await;
        if tenure.as_ref().is_some_and(|tenure| tenure.grip().is_firm()) {
            return Ok(());
        }
        if let Some(lost) = tenure.take() {
            tracing::warn!("another node may have the home domain now; it is closed here");
            let opened = self.opened();
            self.place.send_replace(Place::Nowhere);
            if let Some(opened) = opened {
                opened.home.close();
            }
            lost.end().await;
        }
        if *self.is_ending.borrow() {
            let holder = cluster.holders(HOME).await?.into_iter().next();
            self.is_there(holder.map(|(_, process)| process));
            return Ok(());
        }
        match cluster.hold(HOME).await? {
            Hold::Mine(taken) => *tenure = Some(self.open(cluster, taken).await?),
            Hold::Theirs { holder, .. } => self.is_there(Some(holder)),
        }
        Ok(())
    }

    fn is_there(&self, holder: Option<WorkerId>) {
        self.place.send_if_modified(|place| {
            let is_known = holder.as_ref().is_some_and(|holder| place.is_at(holder));
            if !is_known {
                *place = holder.map_or(Place::Nowhere, Place::There);
            }
            !is_known
        });
    }

    async fn open(&self, cluster: &Arc<Cluster>, tenure: Arc<Tenure>) -> Result<Arc<Tenure>, HomeError> {
        self.place.send_replace(Place::Nowhere);
        let grip = tenure.grip();
        let slip = tenure.grip();
        // What it has in memory may differ from the store then: whoever takes it next, it may be this node, reads that.
        let unsure = Box::new(move || slip.lose());
        let store = Arc::new(FencedStore::new(Arc::clone(&self.store), tenure.fence(), unsure));
        let opened = HomeDomain::under(self.config.clone(), store, self.clock.clone(), Some(grip)).await;
        let home = match opened {
            Ok(home) => home,
            Err(error) => {
                tenure.end().await;
                return Err(error);
            }
        };
        if let Some(relay) = self.relay.get() {
            home.connect(Weak::clone(relay));
        }
        home.watch_again();
        tracing::info!("the home domain is open at this node");
        self.place.send_replace(Place::Here(Arc::new(Opened::new(home))));
        let (seat, cluster) = (Weak::clone(&self.me), Arc::clone(cluster));
        tokio::spawn(async move {
            if let Some(seat) = seat.upgrade() {
                seat.tell(&cluster, passed::MOVED).await;
            }
        });
        Ok(tenure)
    }
}

impl Opened {
    fn new(home: Arc<HomeDomain>) -> Self {
        let api = home.api();
        Self { home, api }
    }
}

/// Nothing renews the seat any more when this goes, however that came, so the home domain is closed and the lease given up.
struct Running<'a>(&'a HomeSeat);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let Ok(mut tenure) = self.0.tenure.try_lock() else {
            return;
        };
        if tenure.take().is_some()
            && let Place::Here(opened) = self.0.place.send_replace(Place::Nowhere)
        {
            opened.home.close();
        }
    }
}

impl Place {
    fn is_at(&self, process: &WorkerId) -> bool {
        match self {
            Self::There(there) => there == process,
            Self::Here(_) | Self::Leaving(_) | Self::Nowhere => false,
        }
    }
}

impl HomeDirectory for HomeSeat {
    fn account(&self, address: &WvAddress) -> Option<Domain> {
        match self.opened() {
            Some(opened) => opened.home.account(address),
            None => self.accounts.account(address),
        }
    }

    fn user_name(&self, address: &WvAddress) -> Option<WvAddress> {
        match self.opened() {
            Some(opened) => opened.home.user_name(address),
            None => self.accounts.user_name(address),
        }
    }
}

impl std::fmt::Debug for HomeSeat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HomeSeat")
            .field("place", &*self.place.borrow())
            .finish_non_exhaustive()
    }
}

/// As somebody is told who asked something of the home domain while nobody has it.
fn nobody() -> Refusal {
    line::elsewhere()
}

/// The lease under which the home domain is open.
const HOME: &str = "home";
/// What is asked here when the node stops has this long to end before the next node has the home domain.
const LEAVING: Duration = Duration::from_secs(3);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
