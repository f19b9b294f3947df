//! The embedded home domain: subscribers of an operator that has no IMPS server of its own.
//!
//! [`HomeDomain`] is server X and server Y of the use cases at once: what its subscribers do goes to the relay like any
//! peer's request, what the relay brings for them is carried out here. One process may hold several home domains.
//! Accounts, relations, inboxes and groups live in memory and in the store, row by row. Of several nodes one has all that in
//! memory; `seat/` knows which, and leads there.
//!
//! `incoming/` carries out what arrives, `outgoing/` what subscribers do, `api/` is the HTTP side of the latter, `group/`
//! hosts the groups that subscribers open.

mod account;
mod accounts;
mod api;
mod arrival;
mod config;
mod event;
mod group;
mod import;
mod inbox;
mod incoming;
mod line;
mod load;
mod outgoing;
mod relation;
mod reports;
mod seat;
mod secret;
pub(super) mod status;
mod stream;
mod subscriber;
mod telling;
#[cfg(test)]
mod tests;
mod text;

pub use account::{Account, DeliveryMethod, NewAccount, Settings};
pub use accounts::AccountCounts;
pub use config::{AccountConfig, HomeConfig, HomeDomainConfig, HomeLimits, Secret, Templates};
pub use import::{BadRow, ImportError, Imported};
pub use seat::{ForHolder, HomeSeat, NotHere};

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use self::{
    group::{Groups, Sayings},
    incoming::KeptSearches,
    line::Errands,
    line::Line,
    outgoing::Moved,
    reports::Owed,
    secret::PasswordHash,
    subscriber::{Strangers, Subscriber},
    text::Words,
};
use crate::{
    cluster::Grip,
    model::{Domain, E164, LocalPart, Refusal, Timestamp, WvAddress},
    relay::{Relay, Underway},
    routing::HomeDirectory,
    store::{Batch, Committed, Space, Store, StoreError},
    telemetry::Clock,
};

/// The subscribers of our home domains.
pub struct HomeDomain {
    /// For tasks that outlive a call.
    me: Weak<Self>,
    config: HomeConfig,
    store: Arc<dyn Store>,
    clock: Clock,
    words: Words,
    line: Line,
    directory: RwLock<Directory>,
    /// The newest inbox ID; above every one that was given out before, also by earlier runs.
    last_id: AtomicU64,
    searches: Mutex<KeptSearches>,
    /// When people of whom nothing has come yet are subscribed to again.
    unheard_at: Mutex<Timestamp>,
    /// Wrong names at login.
    strangers: Mutex<Strangers>,
    owed: Mutex<Owed>,
    groups: Mutex<Groups>,
    sayings: Mutex<Sayings>,
    /// Numbers that moved to whoever did not know them yet.
    moved: Mutex<Vec<Moved>>,
    errands: Errands,
    /// What unknown names are checked against, so that they take as long as known ones.
    nobody: PasswordHash,
    /// At most this many passwords are checked at once; each takes a core for some hundredths of a second.
    password_checks: tokio::sync::Semaphore,
    /// On the lease under which it is open here; `None` where no other node could have it.
    grip: Option<Grip>,
    /// It was closed here, and what is left of it acts no more.
    is_over: AtomicBool,
}

/// Subscribers by everything that names them.
#[derive(Debug, Default)]
struct Directory {
    by_number: HashMap<E164, Arc<Subscriber>>,
    /// By user name in lower case, within a domain.
    by_name: HashMap<(Domain, String), Arc<Subscriber>>,
    by_device: HashMap<String, Arc<Subscriber>>,
}

impl HomeDomain {
    /// Reads accounts, relations and inboxes from the store, and makes the accounts of the configuration that are missing.
    ///
    /// # Errors
    /// [`HomeError`]: a mistake in the configuration, an account that can't be made, or a store that can't be read.
    pub async fn new(
        config: HomeConfig,
        store: Arc<dyn Store>,
        clock: Clock,
    ) -> Result<Arc<Self>, HomeError> {
        Self::under(config, store, clock, None).await
    }

    /// As [`HomeDomain::new`]; where other nodes could have it too, for as long as this grip is firm.
    ///
    /// # Errors
    /// As [`HomeDomain::new`].
    pub(super) async fn under(
        config: HomeConfig,
        store: Arc<dyn Store>,
        clock: Clock,
        grip: Option<Grip>,
    ) -> Result<Arc<Self>, HomeError> {
        let problems = config.problems();
        if !problems.is_empty() {
            return Err(HomeError::Config(problems.join("; ")));
        }
        let nobody = PasswordHash::of_nobody(config.limits.password_cost());
        let first_again = clock.now().plus(config.subscribe_again);
        let home = Arc::new_cyclic(|me| Self {
            me: me.clone(),
            words: Words::new(&config.templates, &config.language),
            config,
            store,
            clock,
            line: Line::default(),
            directory: RwLock::default(),
            last_id: AtomicU64::new(0),
            searches: Mutex::default(),
            unheard_at: Mutex::new(first_again),
            strangers: Mutex::default(),
            owed: Mutex::default(),
            groups: Mutex::default(),
            sayings: Mutex::default(),
            moved: Mutex::default(),
            errands: Errands::default(),
            nobody,
            password_checks: tokio::sync::Semaphore::new(PASSWORD_CHECKS),
            grip,
            is_over: AtomicBool::new(false),
        });
        home.load().await?;
        home.make_configured_accounts().await?;
        Ok(home)
    }

    /// Joins the relay and starts the housekeeping, which ends with the home domain. Called once, inside the runtime.
    pub fn connect(&self, relay: Weak<Relay>) {
        self.line.connect(relay);
        tokio::spawn(keep_house(self.me.clone()));
    }

    /// Disconnects every event stream, so that devices look for another server; for an orderly end.
    pub fn end_streams(&self) {
        let everybody: Vec<_> = self.directory().by_number.values().cloned().collect();
        for subscriber in everybody {
            subscriber.state().streams.leave_all();
        }
    }

    /// Acts no more: another node may have it.
    pub(super) fn close(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.end_streams();
    }

    /// Whether it is open here, and no other node can have it.
    pub(super) fn is_ours(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed) && self.grip.as_ref().is_none_or(Grip::is_firm)
    }

    /// Writes down what the next node can't see: the IDs that were given out, so that a clock that goes behind this one's gives
    /// none of them again.
    pub(super) async fn hand_over(&self) -> Result<(), Refusal> {
        let last = self.last_id.load(Ordering::SeqCst).to_string();
        let batch = Batch::new(self.clock.now()).put(Space::Home, LAST_ID, last.into_bytes(), None);
        self.commit(batch).await
    }

    /// A batch after which routes lead elsewhere: other nodes read the accounts anew.
    fn moves_accounts(&self, batch: Batch) -> Batch {
        if self.grip.is_none() {
            return batch;
        }
        let mark = self.next_id(batch.now).to_string();
        batch.put(Space::Home, seat::ACCOUNTS, mark.into_bytes(), None)
    }

    /// Notifications and subscriptions that are being handed over; for an orderly end, before the store is closed.
    #[must_use]
    pub fn underway(&self) -> &Underway {
        self.errands.underway()
    }

    /// What the passing of time brings: expired messages, devices that went quiet, reports that are owed, what groups
    /// have to say, who is subscribed to again. Called every second by the housekeeping.
    pub(crate) async fn sweep(&self) {
        if !self.is_ours() {
            return;
        }
        let now = self.clock.now();
        let everybody: Vec<_> = self.directory().by_number.values().cloned().collect();
        for subscriber in everybody {
            if subscriber.state().inbox.has_expired(now) {
                self.expire_inbox(&subscriber, now).await;
            }
            self.forget_expired_devices(&subscriber, now);
            self.update_online(&subscriber);
        }
        self.searches().forget(now);
        self.say_due();
        self.watch_moved_again();
        self.settle_reports().await;
        if self.is_time_to_ask_again(now) {
            self.watch_unheard();
        }
    }

    fn is_time_to_ask_again(&self, now: Timestamp) -> bool {
        let mut at = self.unheard_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_time = *at <= now;
        if is_time {
            *at = now.plus(self.config.subscribe_again);
        }
        is_time
    }

    /// The subscriber whom an address names: by number under any domain, by user name within one of ours.
    fn subscriber(&self, address: &WvAddress) -> Option<Arc<Subscriber>> {
        if address.is_group() {
            return None;
        }
        let directory = self.directory();
        let found = match address.local() {
            LocalPart::Msisdn(number) => directory.by_number.get(number),
            LocalPart::Name(name) => {
                let domain = address.domain()?.clone();
                directory.by_name.get(&(domain, name.to_lowercase()))
            }
            LocalPart::Service => None,
        };
        found.cloned()
    }

    /// As [`HomeDomain::subscriber`], for people with an active account only.
    fn active(&self, address: &WvAddress) -> Option<Arc<Subscriber>> {
        self.subscriber(address)
            .filter(|found| found.state().account.is_active)
    }

    /// The canonical identity that a person is held under: the number for our own, however they are named.
    fn person(&self, address: &WvAddress) -> String {
        self.subscriber(address)
            .map_or_else(|| address.key(), |subscriber| subscriber.key())
    }

    /// An ID above all earlier ones; below 2^53, so that JSON readers keep it exact.
    fn next_id(&self, now: Timestamp) -> u64 {
        let floor = now.0.saturating_mul(1 << 10);
        let next = |last: u64| Some(last.saturating_add(1).max(floor));
        let last = self
            .last_id
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, next);
        last.unwrap_or_else(|last| last).saturating_add(1).max(floor)
    }

    /// Commits a batch without preconditions.
    async fn commit(&self, batch: Batch) -> Result<(), Refusal> {
        match self.store.commit(batch).await.map_err(refused)? {
            Committed::Done => Ok(()),
            Committed::Conflict { key, .. } => Err(Refusal::Internal {
                reason: format!("the row {key} was changed by somebody else"),
            }),
            Committed::LeaseLost(_) | Committed::Fenced(_) => Err(Refusal::Internal {
                reason: "the store answered for an item that was not asked for".into(),
            }),
        }
    }

    fn directory(&self) -> RwLockReadGuard<'_, Directory> {
        self.directory.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn directory_mut(&self) -> RwLockWriteGuard<'_, Directory> {
        self.directory.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn strangers(&self) -> std::sync::MutexGuard<'_, Strangers> {
        self.strangers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn searches(&self) -> std::sync::MutexGuard<'_, KeptSearches> {
        self.searches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HomeDirectory for HomeDomain {
    fn account(&self, address: &WvAddress) -> Option<Domain> {
        self.active(address).map(|subscriber| subscriber.domain.clone())
    }

    fn user_name(&self, address: &WvAddress) -> Option<WvAddress> {
        self.active(address).map(|subscriber| subscriber.named.clone())
    }
}

impl std::fmt::Debug for HomeDomain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let accounts = self.directory().by_number.len();
        f.debug_struct("HomeDomain")
            .field("accounts", &accounts)
            .finish_non_exhaustive()
    }
}

/// Why the home domain can't start, or an account can't be made or changed.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// The configuration contradicts itself.
    #[error("{0}")]
    Config(String),
    /// The account can't be made or changed as asked.
    #[error("the account {number} can't be made or changed: {reason}")]
    Account {
        /// Whose.
        number: E164,
        /// Why.
        reason: String,
    },
    /// There is no such account.
    #[error("there is no account {0}")]
    NoAccount(E164),
    /// The store can't be read or written.
    #[error("the accounts can't be read or written")]
    Store(#[from] StoreError),
}

/// A failure of the store, as the side that asked is told.
fn refused(error: StoreError) -> Refusal {
    match error {
        StoreError::Full { bound } => Refusal::QueueFull { queue: bound },
        StoreError::Away { .. }
        | StoreError::InDoubt { .. }
        | StoreError::Disk { .. }
        | StoreError::Superseded { .. } => Refusal::StoreUnavailable {
            reason: error.to_string(),
        },
        StoreError::Newer { .. }
        | StoreError::Engine { .. }
        | StoreError::Damaged { .. }
        | StoreError::Closed => Refusal::Internal {
            reason: error.to_string(),
        },
    }
}

/// A value of ours that can't be written down.
fn damaged(error: serde_json::Error) -> Refusal {
    Refusal::Internal {
        reason: format!("a row can't be written: {error}"),
    }
}

async fn keep_house(home: Weak<HomeDomain>) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let Some(home) = home.upgrade() else { return };
        home.sweep().await;
    }
}

/// The row with the newest ID of the node that had the home domain before.
const LAST_ID: &str = "last-id";
/// How long events wait that have no validity of their own: reports, notices, answers.
const KEPT: Duration = Duration::from_secs(30 * 86_400);
const PASSWORD_CHECKS: usize = 4;
