//! The accounts, as a node knows them that does not have the home domain: enough for routes to lead there.
//!
//! They are read from the store again when a mark there says that an account has come, gone, been closed or been opened.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock, RwLockReadGuard},
};

use bytes::Bytes;
use tokio::sync::Mutex;

use super::{super::account::Account, HomeSeat};
use crate::{
    model::{Domain, E164, LocalPart, WvAddress},
    store::{Space, StoreError},
};

/// The active accounts.
#[derive(Default)]
pub(super) struct KnownAccounts {
    directory: RwLock<Directory>,
    /// The mark that stood in the store before they were read; locked while they are.
    mark: Mutex<Option<Option<Bytes>>>,
}

#[derive(Default)]
struct Directory {
    by_number: HashMap<E164, WvAddress>,
    /// By user name in lower case, within a domain.
    by_name: HashMap<(Domain, String), E164>,
}

impl KnownAccounts {
    pub(super) fn account(&self, address: &WvAddress) -> Option<Domain> {
        self.user_name(address)?.domain().cloned()
    }

    pub(super) fn user_name(&self, address: &WvAddress) -> Option<WvAddress> {
        if address.is_group() {
            return None;
        }
        let directory = self.directory();
        let number = match address.local() {
            LocalPart::Msisdn(number) => number,
            LocalPart::Name(name) => {
                let domain = address.domain()?.clone();
                directory.by_name.get(&(domain, name.to_lowercase()))?
            }
            LocalPart::Service => return None,
        };
        directory.by_number.get(number).cloned()
    }

    fn directory(&self) -> RwLockReadGuard<'_, Directory> {
        self.directory.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Directory {
    fn enter(&mut self, account: Account) {
        let Ok(named) = Account::named(&account.user, &account.domain) else {
            return;
        };
        if let LocalPart::Name(name) = named.local() {
            let key = (account.domain, name.to_lowercase());
            self.by_name.insert(key, account.number.clone());
        }
        self.by_number.insert(account.number, named);
    }
}

impl HomeSeat {
    /// Reads the accounts, unless they are as they were.
    ///
    /// # Errors
    /// When the store fails; those that were known stay.
    pub(super) async fn learn_accounts(&self) -> Result<(), StoreError> {
        let mut known = self.accounts.mark.lock().await;
        let mark = self.store.row(Space::Home, ACCOUNTS, self.clock.now()).await?;
        let mark = mark.map(|row| row.value);
        if known.as_ref() == Some(&mark) {
            return Ok(());
        }
        let mut directory = Directory::default();
        let mut after: Option<String> = None;
        loop {
            let now = self.clock.now();
            let rows = self
                .store
                .rows(Space::Account, "", after.as_deref(), PAGE, now)
                .await?;
            let Some(last) = rows.last() else { break };
            after = Some(last.key.clone());
            let accounts = rows
                .iter()
                .filter_map(|row| serde_json::from_slice::<Account>(&row.value).ok());
            accounts
                .filter(|account| account.is_active)
                .for_each(|account| directory.enter(account));
        }
        *self
            .accounts
            .directory
            .write()
            .unwrap_or_else(PoisonError::into_inner) = directory;
        *known = Some(mark);
        Ok(())
    }

    /// Lets the other nodes read the accounts that were changed here, so that what is sent there at once finds its way. Who is
    /// not told reads them at its next heartbeat.
    pub async fn accounts_changed(&self) {
        if let Some(cluster) = &self.cluster {
            self.tell(cluster, super::passed::ACCOUNTS_CHANGED).await;
        }
    }
}

/// The row that says whether the accounts are as they were.
pub(in super::super) const ACCOUNTS: &str = "accounts";
const PAGE: usize = 1_000;
