//! Accounts as the operator makes, changes and removes them.

use std::sync::Arc;

use super::{
    HomeDomain, HomeError,
    account::{Account, NewAccount, Settings},
    secret::PasswordHash,
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
        match self.store.commit(batch).await? {
            Committed::Done => {}
            Committed::Conflict { .. } | Committed::LeaseLost(_) => {
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

    /// All accounts, by number.
    #[must_use]
    pub fn accounts(&self) -> Vec<Account> {
        let everybody: Vec<_> = self.directory().by_number.values().cloned().collect();
        let mut accounts: Vec<_> = everybody.iter().map(|one| one.state().account.clone()).collect();
        accounts.sort_by(|a, b| a.number.cmp(&b.number));
        accounts
    }

    /// Closes an account to everything (ported out) or opens it again; nothing of it is lost.
    ///
    /// # Errors
    /// [`HomeError::NoAccount`], or the store's failure.
    pub async fn set_active(&self, number: &E164, is_active: bool) -> Result<(), HomeError> {
        let subscriber = self.known(number)?;
        self.change_account(&subscriber, |account| account.is_active = is_active)
            .await?;
        if !is_active {
            self.log_out_everywhere(&subscriber, None).await?;
        }
        self.update_online(&subscriber);
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
    /// # Errors
    /// [`HomeError::NoAccount`], or the store's failure; then some of it may be gone, and the call can be repeated.
    pub async fn remove_account(&self, number: &E164) -> Result<(), HomeError> {
        let subscriber = self.known(number)?;
        self.set_active(number, false).await?;
        let spaces = [
            (Space::Relation, ""),
            (Space::Inbox, ""),
            (Space::Home, "presence/"),
            (Space::Home, "device/"),
        ]
        .into_iter()
        .chain(["report/", "seen/", "invited/", "inviting/"].map(|kind| (Space::Home, kind)));
        for (space, kind) in spaces {
            self.remove_rows(space, &format!("{kind}{number}/")).await?;
        }
        let batch = Batch::new(self.clock.now())
            .remove(Space::Home, format!("presence/{number}"))
            .remove(Space::Account, number.to_string());
        self.store.commit(batch).await?;
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
        if !(MIN_PASSWORD..=MAX_PASSWORD).contains(&password.len()) {
            return Err(wrong("a password has 8 to 256 octets"));
        }
        let (password, rounds) = (password.to_owned(), self.config.limits.password_rounds);
        let hashed = tokio::task::spawn_blocking(move || PasswordHash::new(&password, rounds)).await;
        hashed.map_err(|_| wrong("the password could not be hashed"))
    }

    async fn account_of(&self, new: NewAccount) -> Result<Account, HomeError> {
        let wrong = |reason: String| HomeError::Account {
            number: new.number.clone(),
            reason,
        };
        let domain = self
            .domain_of(&new)
            .ok_or_else(|| wrong("its domain is none of ours".into()))?;
        Account::named(&new.user, &domain).map_err(wrong)?;
        let password = self.hash(&new.number, &new.password).await?;
        Ok(Account {
            domain,
            friendly_name: text::line(&new.friendly_name, MAX_NAME),
            first_name: None,
            last_name: None,
            language: new.language.unwrap_or_else(|| self.config.language.clone()),
            is_active: true,
            password,
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

fn row_of(account: &Account) -> Result<Vec<u8>, HomeError> {
    serde_json::to_vec(account).map_err(|error| HomeError::Account {
        number: account.number.clone(),
        reason: error.to_string(),
    })
}

/// Characters of a name that others see.
pub(crate) const MAX_NAME: usize = 64;
const MIN_PASSWORD: usize = 8;
const MAX_PASSWORD: usize = 256;
const PAGE: usize = 500;
