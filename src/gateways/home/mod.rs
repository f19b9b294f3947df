//! The embedded home domain: subscribers of an operator that has no IMPS server of its own.
//!
//! `incoming.rs` is what the relay brings for subscribers, `actions.rs` what subscribers do, `api.rs` their JSON API. State is
//! in memory over rows of the store; every change is stored before it is answered.

mod account;
mod actions;
mod api;
mod config;
mod incoming;
mod state;

pub use config::{AccountConfig, HomeConfig};

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use self::{
    account::Account,
    state::{Contact, InboxMessage, State, Subscriber, Watcher},
};
use crate::{
    model::{Domain, LocalPart, Timestamp, WvAddress},
    relay::Relay,
    routing::HomeDirectory,
    store::{Batch, Space, Store, StoreError},
    telemetry::Clock,
};

/// The subscribers of our domains.
pub struct HomeDomain {
    config: HomeConfig,
    store: Arc<dyn Store>,
    clock: Clock,
    state: Mutex<State>,
    relay: OnceLock<Weak<Relay>>,
    this: Weak<Self>,
}

/// Why the home domain can't start or change.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A row can't be read.
    #[error("a row of the home domain is damaged: {0}")]
    Damaged(#[from] serde_json::Error),
}

impl HomeDomain {
    /// Reads the subscribers from the store and makes the configured accounts that are missing.
    ///
    /// # Errors
    /// [`HomeError`].
    pub async fn new(
        config: HomeConfig,
        store: Arc<dyn Store>,
        clock: Clock,
    ) -> Result<Arc<Self>, HomeError> {
        let now = clock.now();
        let mut state = load(&config, &store, now).await?;
        let mut batch = Batch::new(now);
        for one in &config.accounts {
            let number = one.number.to_string();
            if state.subscribers.contains_key(&number) {
                continue;
            }
            let account = Account::new(one);
            batch = batch.put(Space::Account, number, serde_json::to_vec(&account)?, None);
            add(&mut state, account, config.events_kept);
        }
        if !batch.is_empty() {
            store.commit(batch).await?;
        }
        Ok(Arc::new_cyclic(|this| Self {
            config,
            store,
            clock,
            state: Mutex::new(state),
            relay: OnceLock::new(),
            this: this.clone(),
        }))
    }

    /// Joins the relay that subscribers' requests go to.
    pub fn connect(&self, relay: Weak<Relay>) {
        let _ = self.relay.set(relay);
    }

    /// The routes of the subscriber API.
    pub fn api(self: &Arc<Self>) -> axum::Router {
        api::router(Arc::clone(self))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn relay(&self) -> Option<Arc<Relay>> {
        self.relay.get()?.upgrade()
    }
}

impl HomeDirectory for HomeDomain {
    fn account(&self, address: &WvAddress) -> Option<Domain> {
        let state = self.lock();
        let number = state.number_of(address)?;
        state
            .subscribers
            .get(&number)
            .map(|subscriber| subscriber.account.domain.clone())
    }
}

impl std::fmt::Debug for HomeDomain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HomeDomain({} subscribers)", self.lock().subscribers.len())
    }
}

impl State {
    /// The number of the subscriber that an address names.
    fn number_of(&self, address: &WvAddress) -> Option<String> {
        if address.is_group() {
            return None;
        }
        match address.local() {
            LocalPart::Msisdn(number) => {
                let number = number.to_string();
                self.subscribers.contains_key(&number).then_some(number)
            }
            LocalPart::Name(_) => self.names.get(&address.key()).cloned(),
            LocalPart::Service => None,
        }
    }

    fn subscriber(&mut self, address: &WvAddress) -> Option<&mut Subscriber> {
        let number = self.number_of(address)?;
        self.subscribers.get_mut(&number)
    }
}

fn add(state: &mut State, account: Account, events_kept: usize) {
    let name = format!("{}@{}", account.user.to_lowercase(), account.domain);
    state.names.insert(name, account.number.clone());
    state
        .subscribers
        .insert(account.number.clone(), Subscriber::new(account, events_kept));
}

async fn load(config: &HomeConfig, store: &Arc<dyn Store>, now: Timestamp) -> Result<State, HomeError> {
    let mut state = State::default();
    for (_, value) in all_rows(store, Space::Account, now).await? {
        add(&mut state, serde_json::from_slice(&value)?, config.events_kept);
    }
    for (key, value) in all_rows(store, Space::Relation, now).await? {
        let mut parts = key.splitn(3, ' ');
        let (Some(number), Some(kind), Some(other)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let Some(subscriber) = state.subscribers.get_mut(number) else {
            continue;
        };
        match kind {
            "contact" => {
                subscriber
                    .contacts
                    .insert(other.to_owned(), serde_json::from_slice::<Contact>(&value)?);
            }
            "watcher" => {
                subscriber
                    .watchers
                    .insert(other.to_owned(), serde_json::from_slice::<Watcher>(&value)?);
            }
            "block" => {
                subscriber
                    .blocked
                    .insert(other.to_owned(), serde_json::from_slice(&value)?);
            }
            "grant" => {
                subscriber
                    .grants
                    .insert(other.to_owned(), serde_json::from_slice(&value)?);
            }
            _ => {}
        }
    }
    for (key, value) in all_rows(store, Space::Inbox, now).await? {
        let Some((number, id)) = key.split_once(' ') else {
            continue;
        };
        let Some(subscriber) = state.subscribers.get_mut(number) else {
            continue;
        };
        subscriber
            .inbox
            .insert(id.to_owned(), serde_json::from_slice::<InboxMessage>(&value)?);
    }
    for (key, value) in all_rows(store, Space::Home, now).await? {
        let number = String::from_utf8_lossy(&value).into_owned();
        if let (Some(token), true) = (
            key.strip_prefix("token "),
            state.subscribers.contains_key(&number),
        ) {
            state.tokens.insert(token.to_owned(), number);
        }
    }
    Ok(state)
}

async fn all_rows(
    store: &Arc<dyn Store>,
    space: Space,
    now: Timestamp,
) -> Result<Vec<(String, bytes::Bytes)>, StoreError> {
    let mut all = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let rows = store.rows(space, "", after.as_deref(), 2000, now).await?;
        let Some(last) = rows.last() else { return Ok(all) };
        after = Some(last.key.clone());
        all.extend(rows.into_iter().map(|row| (row.key, row.value)));
    }
}

#[expect(clippy::expect_used, reason = "a system without random numbers can't serve")]
fn fill_random(buffer: &mut [u8]) {
    account::random(buffer)
        .then_some(())
        .expect("the system gives random numbers");
}
