//! Accounts in bulk, as an operator brings them over from another system: all of them, or none.
//!
//! Every row is checked before the first is written, and every bad one is named; the good ones go into the store in one
//! batch, so that a crash leaves nothing half loaded. A row without a password gets one of 128 random bits, which needs no
//! slow hash: that is what makes a hundred thousand rows a matter of seconds.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    HomeDomain, HomeError,
    account::{Account, NewAccount},
    accounts::row_of,
    secret::{PasswordCost, PasswordHash, random_text},
    subscriber::Subscriber,
};
use crate::{
    model::{Domain, E164},
    store::{Batch, Committed, Space},
};

/// An account that an import has made, with the password when it was drawn here; it can't be read again.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The account.
    pub account: Account,
    /// The drawn password; `None` when the row brought one.
    pub password: Option<String>,
}

/// A row that can't become an account.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("row {row}: {reason}")]
pub struct BadRow {
    /// Its place among the rows, from 0.
    pub row: usize,
    /// Why.
    pub reason: String,
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Rows that can't become accounts, the first 100 of them.
    #[error("{} row(s) can't be taken; nothing was imported", .0.len())]
    Rows(Vec<BadRow>),
    /// The store.
    #[error(transparent)]
    Home(#[from] HomeError),
}

impl HomeDomain {
    /// Makes all these accounts, or none of them. Takes some hundredths of a second of one core for each row that brings a password.
    ///
    /// # Errors
    /// [`ImportError`]; then no account was made.
    pub async fn import_accounts(&self, rows: Vec<NewAccount>) -> Result<Vec<Imported>, ImportError> {
        let cost = self.config.limits.password_cost();
        let checked = self.checked(rows)?;
        let hashed = tokio::task::spawn_blocking(move || hashed(checked, cost)).await;
        let imported = hashed.ok().flatten();
        let imported =
            imported.ok_or_else(|| HomeError::Config("the passwords could not be hashed".into()))?;
        let now = self.clock.now();
        let mut subscribers = Vec::with_capacity(imported.len());
        let mut batch = Batch::new(now);
        for (row, one) in imported.iter().enumerate() {
            let subscriber = Subscriber::new(one.account.clone(), &self.config, now);
            subscribers.push(subscriber.map_err(|reason| ImportError::Rows(vec![BadRow { row, reason }]))?);
            let key = one.account.number.to_string();
            batch = batch.put_new(Space::Account, key, row_of(&one.account)?, None);
        }
        let batch = self.moves_accounts(batch);
        match self.store.commit(batch).await.map_err(HomeError::from)? {
            Committed::Done => {}
            Committed::Conflict { key, .. } => {
                let row = imported
                    .iter()
                    .position(|one| one.account.number.to_string() == key);
                let reason = "the number has an account".to_owned();
                return Err(ImportError::Rows(vec![BadRow {
                    row: row.unwrap_or_default(),
                    reason,
                }]));
            }
            Committed::LeaseLost(_) | Committed::Fenced(_) => {
                return Err(HomeError::Config("the store answered for an item".into()).into());
            }
        }
        for subscriber in subscribers {
            self.enter(&Arc::new(subscriber));
        }
        self.watch_moved(imported.iter().map(|one| one.account.number.clone()).collect());
        tracing::info!(accounts = imported.len(), "accounts imported");
        Ok(imported)
    }

    /// Every row as an account that is still without its password, or every row that can't become one.
    fn checked(&self, rows: Vec<NewAccount>) -> Result<Vec<(Account, String)>, ImportError> {
        let mut bad = Vec::new();
        let mut accounts = Vec::with_capacity(rows.len());
        let mut numbers: HashMap<E164, usize> = HashMap::new();
        let mut names: HashSet<(Domain, String)> = HashSet::new();
        for (row, new) in rows.into_iter().enumerate() {
            let password = new.password.clone();
            let earlier = numbers.insert(new.number.clone(), row);
            let account = match earlier {
                Some(earlier) => Err(format!("row {earlier} has the number {} too", new.number)),
                None => self.account_without_password(new),
            };
            let account = account.and_then(|account| {
                self.is_free(&account)?;
                let name = (account.domain.clone(), account.user.to_lowercase());
                if names.insert(name) {
                    Ok(account)
                } else {
                    Err(format!("an earlier row has the user name {} too", account.user))
                }
            });
            match account {
                Ok(account) => accounts.push((account, password)),
                Err(reason) if bad.len() < MAX_BAD => bad.push(BadRow { row, reason }),
                Err(_) => {}
            }
        }
        if bad.is_empty() {
            Ok(accounts)
        } else {
            Err(ImportError::Rows(bad))
        }
    }

    fn is_free(&self, account: &Account) -> Result<(), String> {
        let directory = self.directory();
        if directory.by_number.contains_key(&account.number) {
            return Err(format!("the number {} has an account", account.number));
        }
        let name = (account.domain.clone(), account.user.to_lowercase());
        if directory.by_name.contains_key(&name) {
            return Err(format!(
                "the user name {} is taken in {}",
                account.user, account.domain
            ));
        }
        Ok(())
    }
}

/// Gives every account the hash of its password, drawing one where there is none; `None` when the cost is out of range.
fn hashed(accounts: Vec<(Account, String)>, cost: PasswordCost) -> Option<Vec<Imported>> {
    let one = |(account, password): (Account, String)| {
        let (drawn, password, cost) = if password.is_empty() {
            let drawn = random_text();
            (Some(drawn.clone()), drawn, PasswordCost::RANDOM)
        } else {
            (None, password, cost)
        };
        Some(Imported {
            account: Account {
                password: PasswordHash::new(&password, cost)?,
                ..account
            },
            password: drawn,
        })
    };
    accounts.into_iter().map(one).collect()
}

/// Bad rows that are named; a file of the wrong kind has nothing but bad ones.
const MAX_BAD: usize = 100;
