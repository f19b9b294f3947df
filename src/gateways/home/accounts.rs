//! Accounts as the operator makes, changes and removes them.

use std::{collections::HashSet, sync::Arc};

use super::{
    HomeDomain, HomeError,
    account::{Account, NewAccount, Settings},
    secret::{PasswordHash, random_text},
    subscriber::Subscriber,
    text,
};
use crate::{
    model::{Domain, E164, LocalPart, WvAddress},
    store::{Batch, Committed, Expected, RowWrite, Space},
};

impl HomeDomain {
    /// Makes an account.
    ///
    /// # Errors
    /// [`HomeError::Account`] when number or user name are taken, or a part makes no sense.
    pub async fn add_account(&self, new: NewAccount) -> Result<Account, HomeError> {
        let account = self.make_account(new).await?;
        self.watch_moved(HashSet::from([account.number.clone()]));
        Ok(account)
    }

    /// As [`HomeDomain::add_account`], for a start: who watches is subscribed when the relay is there.
    pub(crate) async fn make_account(&self, new: NewAccount) -> Result<Account, HomeError> {
        let account = self.account_of(new).await?;
        let wrong = |reason: String| HomeError::Account {
            number: account.number.clone(),
            reason,
        };
        let now = self.clock.now();
        let subscriber = Subscriber::new(account.clone(), &self.config, now).map_err(wrong)?;
        if self.subscriber(&subscriber.named).is_some() {
            return Err(wrong(format!(
                "the user name {} is taken in {}",
                account.user, account.domain
            )));
        }
        let value = row_of(&account)?;
        let batch = Batch::new(now).put_new(Space::Account, account.number.to_string(), value, None);
        match self.store.commit(self.moves_accounts(batch)).await? {
            Committed::Done => {}
            Committed::Conflict { .. } | Committed::LeaseLost(_) | Committed::Fenced(_) => {
                return Err(wrong("the number has an account".into()));
            }
        }
        self.enter(&Arc::new(subscriber));
        tracing::info!(account = %WvAddress::msisdn(account.number.clone()).masked(), "account made");
        Ok(account)
    }

    /// One account.
    #[must_use]
    pub fn account_of_number(&self, number: &E164) -> Option<Account> {
        let subscriber = self.subscriber(&WvAddress::msisdn(number.clone()))?;
        let account = subscriber.state().account.clone();
        Some(account)
    }

    /// Up to so many accounts whose number begins with these digits, by number, after that one.
    #[must_use]
    pub fn accounts_after(&self, prefix: &str, after: Option<&E164>, limit: usize) -> Vec<AccountCounts> {
        let directory = self.directory();
        let fits = |number: &&E164| number.has_prefix(prefix) && after.is_none_or(|after| *number > after);
        let mut numbers: Vec<&E164> = directory.by_number.keys().filter(fits).collect();
        if numbers.len() > limit {
            numbers.select_nth_unstable(limit);
            numbers.truncate(limit);
        }
        numbers.sort();
        let found = numbers
            .into_iter()
            .filter_map(|number| directory.by_number.get(number));
        found.map(|subscriber| counts_of(subscriber)).collect()
    }

    /// One account, and how much lies in it.
    #[must_use]
    pub fn account_counts(&self, number: &E164) -> Option<AccountCounts> {
        let subscriber = self.subscriber(&WvAddress::msisdn(number.clone()))?;
        Some(counts_of(&subscriber))
    }

    /// A password of 128 random bits.
    #[must_use]
    pub fn draw_password() -> String {
        random_text()
    }

    /// Closes an account to everything (ported out) or opens it again; nothing of it is lost but its groups: those that he
    /// opened end, and he leaves the others. Those of ours who watch him are subscribed at whoever serves the number now.
    ///
    /// # Errors
    /// [`HomeError::NoAccount`], or the store's failure.
    pub async fn set_active(&self, number: &E164, is_active: bool) -> Result<(), HomeError> {
        let subscriber = self.known(number)?;
        if !is_active {
            // While he may still speak.
            self.leave_all_groups(&subscriber).await;
        }
        self.change_account(&subscriber, |account| account.is_active = is_active)
            .await?;
        if !is_active {
            self.log_out_everywhere(&subscriber, None).await?;
        }
        self.update_online(&subscriber);
        self.watch_moved(HashSet::from([number.clone()]));
        Ok(())
    }

    /// Gives an account another password and logs its devices out.
    ///
    /// # Errors
    /// [`HomeError::Account`] when the password is too short, [`HomeError::NoAccount`], or the store's failure.
    pub async fn set_password(&self, number: &E164, password: &str) -> Result<(), HomeError> {
        let subscriber = self.known(number)?;
        let hash = self.hash(number, password).await?;
        self.change_account(&subscriber, |account| account.password = hash)
            .await?;
        self.log_out_everywhere(&subscriber, None).await
    }

    /// Forgets a subscriber: account, relations, inbox, devices. What others hold of him (contact lists) is theirs.
    ///
    /// His watchers see him go offline, senders of what he has not fetched are told that it did not reach him, and those of
    /// ours who watch him are subscribed at whoever serves the number now.
    ///
    /// # Errors
    /// [`HomeError::NoAccount`], or the store's failure; then some of it may be gone, and the call can be repeated.
    pub async fn remove_account(&self, number: &E164) -> Result<(), HomeError> {
        let subscriber = self.known(number)?;
        self.set_active(number, false).await?;
        if let Err(refusal) = self.give_up_inbox(&subscriber).await {
            tracing::warn!(
                refusal = refusal.masked(),
                "senders could not be told of a closed account"
            );
        }
        let spaces = [
            (Space::Relation, ""),
            (Space::Inbox, ""),
            (Space::Home, "presence/"),
            (Space::Home, "device/"),
        ]
        .into_iter()
        // Reports that are owed go to their senders, whatever becomes of the account.
        .chain(["seen/", "invited/", "inviting/", "group/"].map(|kind| (Space::Home, kind)));
        for (space, kind) in spaces {
            self.remove_rows(space, &format!("{kind}{number}/")).await?;
        }
        let batch = Batch::new(self.clock.now())
            .remove(Space::Home, format!("presence/{number}"))
            .remove(Space::Account, number.to_string());
        self.store.commit(self.moves_accounts(batch)).await?;
        for group in self.groups_of(number) {
            self.groups().remove(&group.key);
        }
        let directory = &mut *self.directory_mut();
        directory.by_number.remove(number);
        if let LocalPart::Name(name) = subscriber.named.local() {
            directory
                .by_name
                .remove(&(subscriber.domain.clone(), name.to_lowercase()));
        }
        Ok(())
    }

    /// Changes an account in the store, then in memory.
    pub(crate) async fn change_account(
        &self,
        subscriber: &Subscriber,
        change: impl FnOnce(&mut Account) + Send,
    ) -> Result<Account, HomeError> {
        let _writing = subscriber.writing.lock().await;
        let mut account = subscriber.state().account.clone();
        change(&mut account);
        let write = RowWrite {
            space: Space::Account,
            key: account.number.to_string(),
            value: Some(row_of(&account)?.into()),
            expires: None,
            expected: Expected::Any,
        };
        let mut batch = Batch::new(self.clock.now());
        batch.writes.push(write);
        let has_moved = subscriber.state().account.is_active != account.is_active;
        if has_moved {
            batch = self.moves_accounts(batch);
        }
        self.store.commit(batch).await?;
        subscriber.state().account = account.clone();
        Ok(account)
    }

    /// Hashes a password on a thread of its own.
    pub(crate) async fn hash(&self, number: &E164, password: &str) -> Result<PasswordHash, HomeError> {
        let wrong = |reason: &str| HomeError::Account {
            number: number.clone(),
            reason: reason.to_owned(),
        };
        if !is_password(password) {
            return Err(wrong(PASSWORD_RULE));
        }
        let (password, cost) = (password.to_owned(), self.config.limits.password_cost());
        let hashed = tokio::task::spawn_blocking(move || PasswordHash::new(&password, cost)).await;
        let hash = hashed.ok().flatten();
        hash.ok_or_else(|| wrong("the password could not be hashed"))
    }

    async fn account_of(&self, new: NewAccount) -> Result<Account, HomeError> {
        let (number, password) = (new.number.clone(), new.password.clone());
        let account = self.account_without_password(new);
        let account = account.map_err(|reason| HomeError::Account {
            number: number.clone(),
            reason,
        })?;
        let password = self.hash(&number, &password).await?;
        Ok(Account { password, ..account })
    }

    /// The account, open to nobody yet; its password is hashed where that may take its time.
    pub(super) fn account_without_password(&self, new: NewAccount) -> Result<Account, String> {
        let domain = self.domain_of(&new).ok_or("its domain is none of ours")?;
        Account::named(&new.user, &domain)?;
        if !new.password.is_empty() && !is_password(&new.password) {
            return Err(PASSWORD_RULE.into());
        }
        Ok(Account {
            domain,
            friendly_name: text::line(&new.friendly_name, MAX_NAME),
            first_name: None,
            last_name: None,
            language: new.language.unwrap_or_else(|| self.config.language.clone()),
            is_active: true,
            password: self.nobody.clone(),
            settings: Settings::default(),
            created: self.clock.now(),
            number: new.number,
            user: new.user,
        })
    }

    fn domain_of(&self, new: &NewAccount) -> Option<Domain> {
        match &new.domain {
            Some(domain) => self.config.serves(domain).then(|| domain.clone()),
            None => {
                let ranged = self.config.domain_of_number(&new.number);
                ranged
                    .or_else(|| self.config.domains.first().map(|first| &first.name))
                    .cloned()
            }
        }
    }

    fn known(&self, number: &E164) -> Result<Arc<Subscriber>, HomeError> {
        let found = self.subscriber(&WvAddress::msisdn(number.clone()));
        found.ok_or_else(|| HomeError::NoAccount(number.clone()))
    }

    async fn remove_rows(&self, space: Space, prefix: &str) -> Result<(), HomeError> {
        loop {
            let now = self.clock.now();
            let rows = self.store.rows(space, prefix, None, PAGE, now).await?;
            if rows.is_empty() {
                return Ok(());
            }
            let batch = rows
                .into_iter()
                .fold(Batch::new(now), |batch, row| batch.remove(space, row.key));
            self.store.commit(batch).await?;
        }
    }
}

/// An account, and how much lies in it.
#[derive(Clone, Debug)]
pub struct AccountCounts {
    /// The account.
    pub account: Account,
    /// Devices that are logged in.
    pub devices: usize,
    /// People on the contact list.
    pub contacts: usize,
    /// People who watch.
    pub watchers: usize,
    /// Events that wait for a device.
    pub inbox: usize,
}

fn counts_of(subscriber: &Subscriber) -> AccountCounts {
    let state = subscriber.state();
    AccountCounts {
        account: state.account.clone(),
        devices: state.devices.len(),
        contacts: state.relations.contacts.len(),
        watchers: state.relations.watchers.len(),
        inbox: state.inbox.len(),
    }
}

fn is_password(text: &str) -> bool {
    (MIN_PASSWORD..=MAX_PASSWORD).contains(&text.len())
}

pub(super) fn row_of(account: &Account) -> Result<Vec<u8>, HomeError> {
    serde_json::to_vec(account).map_err(|error| HomeError::Account {
        number: account.number.clone(),
        reason: error.to_string(),
    })
}

/// Characters of a name that others see.
pub(crate) const MAX_NAME: usize = 64;
const PASSWORD_RULE: &str = "a password has 8 to 256 octets";
const MIN_PASSWORD: usize = 8;
const MAX_PASSWORD: usize = 256;
const PAGE: usize = 500;
