//! Devices: logging in subscribes to the contact list, logging the last one out shows the subscriber offline.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures_util::stream::{self, StreamExt};

use super::{
    super::{
        HomeDomain, HomeError, damaged,
        incoming::number,
        relation::Relations,
        secret::{self, NewToken},
        subscriber::{Device, Subscriber},
        telling::AT_ONCE,
        text,
    },
    outcome_for,
    people::refusal_of,
};
use crate::{
    model::{E164, LocalPart, Refusal, Request, Timestamp, Unsubscribe, WvAddress},
    store::{Batch, Space},
};

/// A device that has just logged in.
#[derive(Clone, Debug)]
pub(crate) struct LoggedIn {
    pub(crate) subscriber: Arc<Subscriber>,
    pub(crate) device: String,
    /// For the device alone; it can't be read again.
    pub(crate) token: String,
    pub(crate) expires: Timestamp,
}

impl HomeDomain {
    /// Logs a device in; `None` when name and password don't fit, in the same time whether the name exists or not.
    ///
    /// # Errors
    /// [`Refusal::RateExceeded`] after too many wrong passwords, or the store's failure.
    pub(crate) async fn log_in(
        &self,
        user: &str,
        password: &str,
        label: &str,
    ) -> Result<Option<LoggedIn>, Refusal> {
        let subscriber = self.named_at_login(user);
        let limits = &self.config.limits;
        let hash = match &subscriber {
            Some(subscriber) => {
                let state = &mut *subscriber.state();
                let now = self.clock.now();
                state
                    .attempts
                    .check(now, limits.login_attempts, limits.login_window)?;
                state.attempts.begin(now, limits.login_window);
                state.account.password.clone()
            }
            None => {
                self.strangers().begin(user, self.clock.now(), limits)?;
                self.nobody.clone()
            }
        };
        let is_outdated = hash.is_outdated(self.config.limits.password_cost());
        let is_right = self.fits(hash, password).await?;
        let Some(subscriber) = subscriber.filter(|_| is_right) else {
            return Ok(None);
        };
        subscriber.state().attempts.forgive();
        if is_outdated {
            self.hash_anew(&subscriber, password).await;
        }
        let logged_in = self.add_device(subscriber, label).await?;
        self.update_online(&logged_in.subscriber);
        self.watch_contacts(&logged_in.subscriber);
        Ok(Some(logged_in))
    }

    /// The subscriber and device of a token, unless it is wrong or over.
    pub(crate) fn authenticate(&self, token: &str) -> Option<(Arc<Subscriber>, String)> {
        let (id, proof) = token.split_once('.')?;
        let subscriber = self.directory().by_device.get(id).cloned()?;
        let now = self.clock.now();
        {
            let state = &mut *subscriber.state();
            let device = state.devices.get_mut(id)?;
            if !secret::is_proven(id, proof, &device.proof)
                || device.expires <= now
                || !state.account.is_active
            {
                return None;
            }
            device.last_seen = now;
        }
        self.update_online(&subscriber);
        Some((subscriber, id.to_owned()))
    }

    /// Logs a device out.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when there is no such device of his, or the store's failure.
    pub(crate) async fn log_out(&self, subscriber: &Arc<Subscriber>, device: &str) -> Result<(), Refusal> {
        {
            let _writing = subscriber.writing.lock().await;
            if !subscriber.state().devices.contains_key(device) {
                return Err(Refusal::NotFound {
                    what: "the device".into(),
                });
            }
            let key = device_key(subscriber, device);
            self.commit(Batch::new(self.clock.now()).remove(Space::Home, key))
                .await?;
            self.forget_device(subscriber, device);
        }
        self.update_online(subscriber);
        Ok(())
    }

    /// Logs every device out, but the one named.
    ///
    /// # Errors
    /// The store's failure.
    pub(crate) async fn log_out_everywhere(
        &self,
        subscriber: &Arc<Subscriber>,
        but: Option<&str>,
    ) -> Result<(), HomeError> {
        let _writing = subscriber.writing.lock().await;
        let mut devices: Vec<String> = subscriber.state().devices.keys().cloned().collect();
        devices.retain(|device| but != Some(device.as_str()));
        let batch = devices
            .iter()
            .fold(Batch::new(self.clock.now()), |batch, device| {
                batch.remove(Space::Home, device_key(subscriber, device))
            });
        if batch.is_empty() {
            return Ok(());
        }
        self.store.commit(batch).await?;
        for device in &devices {
            self.forget_device(subscriber, device);
        }
        Ok(())
    }

    /// Gives the subscriber another password, when he knows the old one; his other devices are logged out.
    ///
    /// # Errors
    /// [`Refusal::NotAuthorised`] when the old one is wrong, [`Refusal::BadRequest`] when the new one is too short.
    pub(crate) async fn change_password(
        &self,
        subscriber: &Arc<Subscriber>,
        device: &str,
        (old, new): (&str, &str),
    ) -> Result<(), Refusal> {
        let limits = &self.config.limits;
        let hash = {
            let state = &mut *subscriber.state();
            let now = self.clock.now();
            state
                .attempts
                .check(now, limits.login_attempts, limits.login_window)?;
            state.attempts.begin(now, limits.login_window);
            state.account.password.clone()
        };
        if !self.fits(hash, old).await? {
            return Err(Refusal::NotAuthorised {
                recipient: subscriber.named.clone(),
            });
        }
        subscriber.state().attempts.forgive();
        let hash = self.hash(&subscriber.number, new).await.map_err(refusal_of)?;
        let changed = self.change_account(subscriber, |account| account.password = hash);
        changed.await.map_err(refusal_of)?;
        self.log_out_everywhere(subscriber, Some(device))
            .await
            .map_err(refusal_of)
    }

    /// Subscribes to everybody on the contact list (use case 5.21.5), a request for as many as agreements let through.
    fn watch_contacts(&self, subscriber: &Arc<Subscriber>) {
        let people = subscriber.state().relations.watched();
        let Some(home) = self.me.upgrade() else { return };
        if people.is_empty() {
            return;
        }
        let subscriber = Arc::clone(subscriber);
        self.errands
            .run(async move { drop(home.watch_all(&subscriber, &people).await) });
    }

    /// Subscribes for everybody who stayed logged in over a restart, a few people at a time: what is known of others is kept
    /// in memory alone, and nobody logs in again to ask for it. Called when notifications can come in.
    pub fn watch_again(&self) {
        self.watch_for_each(Relations::watched);
    }

    /// Subscribes again to people of whom nothing has come yet: a number that nobody had may have an owner now, and an
    /// operator that was away may be back.
    pub(crate) fn watch_unheard(&self) {
        self.watch_for_each(Relations::unheard);
    }

    /// Subscribes to some of the people whom somebody watches, for everybody who is logged in.
    fn watch_for_each(&self, whom: fn(&Relations) -> Vec<WvAddress>) {
        let Some(home) = self.me.upgrade() else { return };
        let now = self.clock.now();
        let everybody: Vec<_> = self.directory().by_number.values().cloned().collect();
        self.errands.run(async move {
            let again = |subscriber: Arc<Subscriber>| {
                let home = &home;
                async move {
                    let people = {
                        let state = subscriber.state();
                        let is_here = state.devices.values().any(|device| device.expires > now);
                        if !is_here || !state.account.is_active {
                            return;
                        }
                        whom(&state.relations)
                    };
                    home.watch_all(&subscriber, &people).await;
                }
            };
            stream::iter(everybody)
                .for_each_concurrent(WATCHING_AGAIN, again)
                .await;
        });
    }

    /// These numbers have come to us or have left: who of ours is logged in and watches one of them subscribes to it anew, at
    /// whoever serves it now. Who logs in later does so then. An operator who does not know a number yet is asked again.
    pub(crate) fn watch_moved(&self, numbers: HashSet<E164>) {
        self.watch_where_they_are(numbers, FIRST_WAIT);
    }

    /// Numbers that were not known where they had moved to, when it is worth asking again. Called by the housekeeping.
    pub(crate) fn watch_moved_again(&self) {
        let now = self.clock.now();
        let due: Vec<_> = {
            let mut unknown = self.moved();
            unknown.extract_if(.., |one| one.due <= now).collect()
        };
        for one in due {
            self.watch_where_they_are(one.numbers, one.wait);
        }
    }

    fn watch_where_they_are(&self, numbers: HashSet<E164>, wait: Duration) {
        let Some(home) = self.me.upgrade() else { return };
        let now = self.clock.now();
        let everybody: Vec<_> = self.directory().by_number.values().cloned().collect();
        self.errands.run(async move {
            let mut unknown = HashSet::new();
            for subscriber in everybody {
                let moved: Vec<_> = {
                    let state = subscriber.state();
                    if !state.devices.values().any(|device| device.expires > now) {
                        continue;
                    }
                    let watched = state.relations.watched().into_iter();
                    let is_moved =
                        |one: &WvAddress| one.number().is_some_and(|number| numbers.contains(number));
                    watched.filter(is_moved).collect()
                };
                let refused = home.watch_all(&subscriber, &moved).await;
                unknown.extend(refused.iter().filter_map(WvAddress::number).cloned());
                // Many subscribers are looked through, and others have work too.
                tokio::task::yield_now().await;
            }
            if !unknown.is_empty() && wait <= LAST_WAIT {
                home.moved().push(Moved {
                    numbers: unknown,
                    due: home.clock.now().plus(wait),
                    wait: wait.saturating_mul(2),
                });
            }
        });
    }

    /// Subscribes to people; those whose side refused.
    async fn watch_all(&self, subscriber: &Subscriber, people: &[WvAddress]) -> Vec<WvAddress> {
        let mut refused = Vec::new();
        for people in people.chunks(AT_ONCE) {
            let outcome = self.subscribe_to(subscriber, people).await;
            if let Err(refusal) = &outcome {
                tracing::info!(refusal = refusal.masked(), "contacts could not be subscribed to");
            }
            let is_refused = |one: &&WvAddress| outcome_for(&outcome, one).is_err();
            refused.extend(people.iter().filter(is_refused).cloned());
        }
        refused
    }

    fn moved(&self) -> std::sync::MutexGuard<'_, Vec<Moved>> {
        self.moved
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Moves subscriptions from the address that others knew to the one that they know now.
    pub(crate) fn watch_under_new_name(&self, subscriber: &Arc<Subscriber>, before: WvAddress) {
        let people = subscriber.state().relations.watched();
        let Some(home) = self.me.upgrade() else { return };
        let subscriber = Arc::clone(subscriber);
        self.errands.run(async move {
            for people in people.chunks(AT_ONCE) {
                let old = Request::Unsubscribe(Unsubscribe {
                    watcher: before.clone(),
                    presentities: people.to_vec(),
                });
                let ended = home.ask(&subscriber.domain, None, old).await;
                let begun = home.subscribe_to(&subscriber, people).await;
                if let Err(refusal) = ended.and(begun) {
                    tracing::info!(
                        refusal = refusal.masked(),
                        "contacts could not be told of the new address"
                    );
                }
            }
        });
    }

    async fn add_device(&self, subscriber: Arc<Subscriber>, label: &str) -> Result<LoggedIn, Refusal> {
        let (now, limits) = (self.clock.now(), &self.config.limits);
        let token = NewToken::draw();
        let device = Device {
            label: text::line(label, 64),
            proof: token.proof,
            created: now,
            expires: now.plus(limits.token_validity),
            last_seen: now,
        };
        let expires = device.expires;
        {
            let _writing = subscriber.writing.lock().await;
            let mut leaving: Vec<String> = Vec::new();
            {
                let state = subscriber.state();
                leaving.extend(
                    state
                        .devices
                        .iter()
                        .filter(|(_, one)| one.expires <= now)
                        .map(|(id, _)| id.clone()),
                );
                if state.devices.len() - leaving.len() >= limits.devices {
                    let longest_idle = state.devices.iter().filter(|(id, _)| !leaving.contains(id));
                    leaving.extend(
                        longest_idle
                            .min_by_key(|(_, one)| one.last_seen)
                            .map(|(id, _)| id.clone()),
                    );
                }
            }
            let value = serde_json::to_vec(&device).map_err(damaged)?;
            let key = device_key(&subscriber, &token.device);
            let mut batch = Batch::new(now).put(Space::Home, key, value, Some(expires));
            for id in &leaving {
                batch = batch.remove(Space::Home, device_key(&subscriber, id));
            }
            self.commit(batch).await?;
            for id in &leaving {
                self.forget_device(&subscriber, id);
            }
            self.directory_mut()
                .by_device
                .insert(token.device.clone(), Arc::clone(&subscriber));
            subscriber.state().devices.insert(token.device.clone(), device);
        }
        Ok(LoggedIn {
            subscriber,
            device: token.device,
            token: token.token,
            expires,
        })
    }

    /// Tokens that are over end their streams; their rows expire by themselves.
    pub(crate) fn forget_expired_devices(&self, subscriber: &Subscriber, now: Timestamp) {
        let expired: Vec<String> = {
            let state = subscriber.state();
            state
                .devices
                .iter()
                .filter(|(_, one)| one.expires <= now)
                .map(|(id, _)| id.clone())
                .collect()
        };
        for id in expired {
            self.forget_device(subscriber, &id);
        }
    }

    fn forget_device(&self, subscriber: &Subscriber, device: &str) {
        self.directory_mut().by_device.remove(device);
        let state = &mut *subscriber.state();
        state.devices.remove(device);
        state.streams.leave_device(device);
    }

    /// The subscriber whom a login names: a number, `user@domain`, or a user name where only one domain lives here.
    fn named_at_login(&self, user: &str) -> Option<Arc<Subscriber>> {
        let user = user.trim();
        let bare = user.strip_prefix("wv:").unwrap_or(user);
        let address = if bare.starts_with('+') {
            WvAddress::msisdn(number(bare).ok()?)
        } else {
            let address: WvAddress = bare.parse().ok()?;
            match (address.domain(), address.local()) {
                (None, LocalPart::Name(_)) => {
                    let [only] = self.config.domains.as_slice() else {
                        return None;
                    };
                    address.with_domain(Some(only.name.clone()))
                }
                (Some(_) | None, LocalPart::Msisdn(_) | LocalPart::Name(_) | LocalPart::Service) => address,
            }
        };
        self.active(&address)
    }

    /// Keeps a right password at the cost that is usual now; one that can't be kept so stays as it is.
    async fn hash_anew(&self, subscriber: &Subscriber, password: &str) {
        let old = subscriber.state().account.password.clone();
        let Ok(hash) = self.hash(&subscriber.number, password).await else {
            return;
        };
        let changed = self.change_account(subscriber, |account| {
            // Somebody may have changed it meanwhile.
            if account.password == old {
                account.password = hash;
            }
        });
        if let Err(error) = changed.await {
            tracing::warn!(%error, "a password could not be hashed anew");
        }
    }

    /// Checks a password on a thread of its own, a few at a time.
    async fn fits(&self, hash: secret::PasswordHash, password: &str) -> Result<bool, Refusal> {
        let busy = |_| Refusal::Internal {
            reason: "the password could not be checked".into(),
        };
        let _turn = self.password_checks.acquire().await.map_err(|_| busy(()))?;
        let (password, cost) = (password.to_owned(), self.config.limits.password_cost());
        tokio::task::spawn_blocking(move || hash.fits(&password, cost))
            .await
            .map_err(|_| busy(()))
    }
}

/// Numbers that have moved and were not known where they had moved to.
#[derive(Debug)]
pub(crate) struct Moved {
    numbers: HashSet<E164>,
    due: Timestamp,
    /// Before the next time.
    wait: Duration,
}

/// A number that has left may be taken by its new operator a little later.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// After some two hours, who watches it asks again at his next login.
const LAST_WAIT: Duration = Duration::from_secs(3600);
/// People whose contacts are subscribed to at the same time after a start; each has a request under way.
const WATCHING_AGAIN: usize = 16;

fn device_key(subscriber: &Subscriber, device: &str) -> String {
    format!("device/{}/{device}", subscriber.number)
}
