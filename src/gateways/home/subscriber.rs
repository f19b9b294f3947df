//! A subscriber in memory: account, relations, inbox, devices, presence. The store holds the same, row by row.
//!
//! The state lock is never held across an await. Changes that read, commit and then change memory take `writing` first,
//! so that memory and store see them in one order; nothing that waits for the relay holds it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    account::Account,
    arrival::digest_text,
    config::{HomeConfig, HomeLimits},
    inbox::Inbox,
    relation::Relations,
    stream::Streams,
};
use crate::model::{
    AttributeName, AttributeValue, Availability, Domain, E164, Presence, Refusal, Timestamp, WvAddress,
};

/// A subscriber.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) number: E164,
    pub(crate) domain: Domain,
    /// The address by user name.
    pub(crate) named: WvAddress,
    /// Held from reading over committing to changing memory.
    pub(crate) writing: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

/// What changes.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) account: Account,
    pub(crate) relations: Relations,
    pub(crate) inbox: Inbox,
    pub(crate) own: OwnPresence,
    pub(crate) devices: BTreeMap<String, Device>,
    pub(crate) streams: Streams,
    pub(crate) telling: Telling,
    /// Whether watchers were last told that he is online.
    pub(crate) is_shown_online: bool,
    pub(crate) rate: Rate,
    pub(crate) attempts: Attempts,
}

/// The presence that a subscriber has set (`Space::Home`, key `presence/number`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct OwnPresence {
    /// Everything but `OnlineStatus`, which follows from his devices.
    pub(crate) presence: Presence,
    /// He wants to seem offline.
    #[serde(default)]
    pub(crate) is_hidden: bool,
}

/// A device that is logged in (`Space::Home`, key `device/number/device`).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Device {
    /// What its owner calls it.
    pub(crate) label: String,
    /// Proves the token.
    pub(crate) proof: String,
    pub(crate) created: Timestamp,
    pub(crate) expires: Timestamp,
    /// Its last request; after a restart, the time of the restart.
    #[serde(skip)]
    pub(crate) last_seen: Timestamp,
}

/// Whom the next notifications go to. One task a subscriber sends them, so that a newer state never comes before an older.
#[derive(Debug, Default)]
pub(crate) struct Telling {
    pub(crate) is_running: bool,
    pub(crate) everybody: bool,
    pub(crate) these: BTreeSet<String>,
}

/// A token bucket: so many a minute, as many at once.
#[derive(Debug)]
pub(crate) struct Rate {
    per_minute: u32,
    /// The setting, for the refusal.
    clause: &'static str,
    /// In sixty-thousandths of a request, so that a millisecond at one a minute counts.
    level: u64,
    at: Timestamp,
}

/// Wrong passwords in a row.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    wrong: u32,
    since: Timestamp,
}

impl Subscriber {
    pub(crate) fn new(account: Account, config: &HomeConfig, now: Timestamp) -> Result<Self, String> {
        let named = Account::named(&account.user, &account.domain)?;
        let state = State {
            relations: Relations::default(),
            inbox: Inbox::default(),
            own: OwnPresence::default(),
            devices: BTreeMap::new(),
            streams: Streams::new(now.0, config.limits.events),
            telling: Telling::default(),
            is_shown_online: false,
            rate: Rate::new(
                config.limits.requests_per_minute,
                now,
                "[home.limits] requests_per_minute",
            ),
            attempts: Attempts::default(),
            account,
        };
        Ok(Self {
            number: state.account.number.clone(),
            domain: state.account.domain.clone(),
            named,
            writing: tokio::sync::Mutex::new(()),
            state: Mutex::new(state),
        })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The address that others know him by.
    pub(crate) fn identity(&self) -> WvAddress {
        self.state().account.identity(&self.named)
    }

    /// The canonical identity that he is held under, whichever address names him.
    pub(crate) fn key(&self) -> String {
        self.number.to_string()
    }
}

impl State {
    /// Whether any device is connected, or was heard of within `idle`.
    pub(crate) fn is_online(&self, now: Timestamp, idle: Duration) -> bool {
        let is_here = |(id, device): (&String, &Device)| {
            device.expires > now && (self.streams.has(id) || device.last_seen.until(now) < idle)
        };
        self.account.is_active && self.devices.iter().any(is_here)
    }

    /// What a person may see (use cases 5.20.6, 5.21.6): nothing when blocked; else what everybody may, what he was given,
    /// and as a contact that one is online.
    pub(crate) fn allowed(&self, person: &str, public: &[AttributeName]) -> BTreeSet<AttributeName> {
        if self.relations.blocks.contains_key(person) {
            return BTreeSet::new();
        }
        let own = self.account.settings.public_attributes.as_deref();
        let mut allowed: BTreeSet<_> = own.unwrap_or(public).iter().copied().collect();
        if let Some(grant) = self.relations.grants.get(person) {
            allowed.extend(&grant.attributes);
        }
        if self.account.settings.online_status_to_contacts && self.relations.contacts.contains_key(person) {
            allowed.insert(AttributeName::OnlineStatus);
        }
        allowed
    }

    /// The presence that a person sees; empty when nothing may be told (SSP reference §10.3).
    pub(crate) fn shown_to(
        &self,
        person: &str,
        wanted: &[AttributeName],
        public: &[AttributeName],
    ) -> Presence {
        let allowed = self.allowed(person, public);
        let seen: Vec<_> = allowed
            .into_iter()
            .filter(|name| wanted.is_empty() || wanted.contains(name))
            .collect();
        if seen.is_empty() {
            return Presence::default();
        }
        self.presence().only(&seen)
    }

    /// His presence as it stands: offline shows no availability.
    pub(crate) fn presence(&self) -> Presence {
        let mut presence = self.own.presence.clone();
        let is_online = self.is_shown_online && !self.own.is_hidden;
        presence.set(AttributeName::OnlineStatus, Some(AttributeValue::Flag(is_online)));
        if !is_online {
            let away = Availability::NotAvailable.as_str().to_owned();
            presence.set(AttributeName::UserAvailability, Some(AttributeValue::Text(away)));
        }
        presence
    }
}

impl Rate {
    /// Full at first.
    pub(crate) fn new(per_minute: u32, at: Timestamp, clause: &'static str) -> Self {
        Self {
            per_minute,
            clause,
            level: u64::from(per_minute) * ONE,
            at,
        }
    }

    /// Takes one request.
    ///
    /// # Errors
    /// [`Refusal::RateExceeded`] with the time until the next one.
    pub(crate) fn take(&mut self, now: Timestamp) -> Result<(), Refusal> {
        let passed = u64::try_from(self.at.until(now).as_millis()).unwrap_or(u64::MAX);
        let per_minute = u64::from(self.per_minute);
        self.level = per_minute
            .saturating_mul(passed)
            .saturating_add(self.level)
            .min(per_minute * ONE);
        self.at = self.at.max(now);
        if self.level >= ONE {
            self.level -= ONE;
            return Ok(());
        }
        let missing = (ONE - self.level).div_ceil(per_minute.max(1));
        Err(Refusal::RateExceeded {
            clause: self.clause.into(),
            retry_after: Duration::from_millis(missing),
        })
    }
}

impl Attempts {
    /// Whether another password may be tried.
    ///
    /// # Errors
    /// [`Refusal::RateExceeded`] until the window has passed.
    pub(crate) fn check(&self, now: Timestamp, most: u32, window: Duration) -> Result<(), Refusal> {
        let left = now.until(self.since.plus(window));
        if self.wrong >= most && !left.is_zero() {
            return Err(Refusal::RateExceeded {
                clause: "[home.limits] login_attempts".into(),
                retry_after: left,
            });
        }
        Ok(())
    }

    /// Counts an attempt before its outcome is known, so that attempts at the same time all count.
    pub(crate) fn begin(&mut self, now: Timestamp, window: Duration) {
        if now.until(self.since.plus(window)).is_zero() {
            *self = Self { wrong: 0, since: now };
        }
        self.wrong = self.wrong.saturating_add(1);
    }

    /// A right password forgives the wrong ones.
    pub(crate) fn forgive(&mut self) {
        *self = Self::default();
    }
}

/// Wrong passwords under names that nobody has: they are refused after as many, so that a refusal tells nothing.
#[derive(Debug, Default)]
pub(crate) struct Strangers(HashMap<String, Attempts>);

impl Strangers {
    /// Counts an attempt under a name that nobody has.
    ///
    /// # Errors
    /// As [`Attempts::check`].
    pub(crate) fn begin(&mut self, name: &str, now: Timestamp, limits: &HomeLimits) -> Result<(), Refusal> {
        let (most, window) = (limits.login_attempts, limits.login_window);
        if self.0.len() >= MAX_STRANGERS {
            self.0.retain(|_, attempts| attempts.since.plus(window) > now);
        }
        let name = digest_text(&name.trim().to_lowercase());
        if self.0.len() >= MAX_STRANGERS && !self.0.contains_key(&name) {
            return Ok(());
        }
        let attempts = self.0.entry(name).or_default();
        attempts.check(now, most, window)?;
        attempts.begin(now, window);
        Ok(())
    }
}

/// Names that are remembered; past them, wrong names are not counted until the window has passed.
const MAX_STRANGERS: usize = 10_000;
/// One request in the unit of [`Rate::level`]: milliseconds a minute.
const ONE: u64 = 60_000;
