//! The start: memory is built anew from the rows of the store, space by space.
//!
//! A row that can't be read is named in the log and left where it is: one damaged contact must not keep a whole domain
//! down, and `impsgw store check` finds it again.

use std::sync::{Arc, atomic::Ordering};

use super::{
    HomeDomain, HomeError, LAST_ID,
    account::{Account, NewAccount},
    group::load_saying,
    inbox::StoredEvent,
    relation,
    subscriber::{Device, OwnPresence, Subscriber},
};
use crate::{
    model::{E164, LocalPart, WvAddress},
    store::{Row, Space},
};

impl HomeDomain {
    /// Reads every account with all that belongs to it.
    pub(super) async fn load(&self) -> Result<(), HomeError> {
        self.each(Space::Account, "", Self::load_account).await?;
        self.each(Space::Relation, "", Self::load_relation).await?;
        self.each(Space::Inbox, "", Self::load_event).await?;
        self.each(Space::Home, "presence/", Self::load_presence).await?;
        self.each(Space::Home, "device/", Self::load_device).await?;
        self.each(Space::Home, "report/", Self::load_report).await?;
        self.each(Space::Home, "group/", |home, row| {
            home.load_group(&row.key, &row.value)
        })
        .await?;
        self.each(Space::Home, "saying/", load_saying).await?;
        self.each(Space::Home, LAST_ID, Self::load_last_id).await?;
        let everybody: Vec<_> = self.directory().by_number.values().cloned().collect();
        for subscriber in everybody {
            // Devices count as seen at the restart, so nobody goes offline and online again because we did.
            let state = &mut *subscriber.state();
            state.is_shown_online = state.is_online(self.clock.now(), self.config.limits.idle);
        }
        Ok(())
    }

    /// Makes the accounts of the configuration that are not there yet; what subscribers have changed since stays.
    pub(super) async fn make_configured_accounts(&self) -> Result<(), HomeError> {
        for account in &self.config.accounts {
            if self.directory().by_number.contains_key(&account.number) {
                continue;
            }
            self.make_account(NewAccount {
                number: account.number.clone(),
                user: account.user.clone(),
                domain: account.domain.clone(),
                friendly_name: account.friendly_name.clone(),
                password: account.password.0.clone(),
                language: account.language.clone(),
            })
            .await?;
        }
        Ok(())
    }

    /// Hands each row to `take`, a page at a time.
    async fn each(&self, space: Space, prefix: &str, take: fn(&Self, &Row) -> bool) -> Result<(), HomeError> {
        let mut after: Option<String> = None;
        loop {
            let now = self.clock.now();
            let rows = self
                .store
                .rows(space, prefix, after.as_deref(), PAGE, now)
                .await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = Some(last.key.clone());
            for row in rows.iter().filter(|row| !take(self, row)) {
                tracing::error!(
                    ?space,
                    key = masked(&row.key),
                    "a row of the home domain can't be read"
                );
            }
        }
    }

    fn load_account(&self, row: &Row) -> bool {
        let Ok(account) = serde_json::from_slice::<Account>(&row.value) else {
            return false;
        };
        match Subscriber::new(account, &self.config, self.clock.now()) {
            Ok(subscriber) => self.enter(&Arc::new(subscriber)),
            Err(_) => return false,
        }
        true
    }

    /// Makes a subscriber known under number and name.
    pub(super) fn enter(&self, subscriber: &Arc<Subscriber>) {
        let directory = &mut *self.directory_mut();
        if let LocalPart::Name(name) = subscriber.named.local() {
            let key = (subscriber.domain.clone(), name.to_lowercase());
            directory.by_name.insert(key, Arc::clone(subscriber));
        }
        directory
            .by_number
            .insert(subscriber.number.clone(), Arc::clone(subscriber));
    }

    fn load_relation(&self, row: &Row) -> bool {
        let Some((number, kind, person)) = relation::parse_key(&row.key) else {
            return false;
        };
        let Some(subscriber) = self.by_number(number) else {
            return false;
        };
        subscriber.state().relations.load(kind, person, &row.value)
    }

    fn load_event(&self, row: &Row) -> bool {
        let Some((number, id)) = row.key.split_once('/') else {
            return false;
        };
        let (Some(subscriber), Ok(id)) = (self.by_number(number), id.parse::<u64>()) else {
            return false;
        };
        let Ok(stored) = serde_json::from_slice::<StoredEvent>(&row.value) else {
            return false;
        };
        self.last_id.fetch_max(id, Ordering::SeqCst);
        subscriber.state().inbox.load(id, &stored, row.value.len() as u64);
        true
    }

    fn load_last_id(&self, row: &Row) -> bool {
        let last = std::str::from_utf8(&row.value)
            .ok()
            .and_then(|text| text.parse().ok());
        last.is_some_and(|last| {
            self.last_id.fetch_max(last, Ordering::SeqCst);
            true
        })
    }

    fn load_presence(&self, row: &Row) -> bool {
        let subscriber = row
            .key
            .strip_prefix("presence/")
            .and_then(|number| self.by_number(number));
        let (Some(subscriber), Ok(own)) = (subscriber, serde_json::from_slice::<OwnPresence>(&row.value))
        else {
            return false;
        };
        subscriber.state().own = own;
        true
    }

    fn load_device(&self, row: &Row) -> bool {
        let rest = row
            .key
            .strip_prefix("device/")
            .and_then(|rest| rest.split_once('/'));
        let Some((number, id)) = rest else { return false };
        let (Some(subscriber), Ok(mut device)) = (
            self.by_number(number),
            serde_json::from_slice::<Device>(&row.value),
        ) else {
            return false;
        };
        device.last_seen = self.clock.now();
        self.directory_mut()
            .by_device
            .insert(id.to_owned(), Arc::clone(&subscriber));
        subscriber.state().devices.insert(id.to_owned(), device);
        true
    }

    fn load_report(&self, row: &Row) -> bool {
        let number = row
            .key
            .strip_prefix("report/")
            .and_then(|rest| rest.split('/').next());
        let Some(subscriber) = number.and_then(|number| self.by_number(number)) else {
            return false;
        };
        self.load_owed(&row.key, &subscriber, &row.value);
        true
    }

    fn by_number(&self, number: &str) -> Option<Arc<Subscriber>> {
        let number: E164 = number.parse().ok()?;
        self.subscriber(&WvAddress::msisdn(number))
    }
}

/// A row key for the log: enough to find it, not enough to call.
fn masked(key: &str) -> String {
    key.chars()
        .map(|c| if c.is_ascii_digit() { '*' } else { c })
        .take(40)
        .collect()
}

const PAGE: usize = 1_000;
