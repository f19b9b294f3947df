//! The embedded home domain's accounts, as the admin API manages them.

use std::sync::Arc;

use crate::{
    admin::{AccountState, Accounts, AccountsError, MadeAccount, WantedAccount},
    gateways::home::{AccountCounts, HomeDomain, HomeError, ImportError, NewAccount},
    model::E164,
};

/// The accounts of a home domain.
pub(super) struct HomeAccounts(pub(super) Arc<HomeDomain>);

#[async_trait::async_trait]
impl Accounts for HomeAccounts {
    fn page(&self, prefix: &str, after: Option<&E164>, limit: usize) -> Vec<AccountState> {
        let found = self.0.accounts_after(prefix, after, limit);
        found.into_iter().map(state).collect()
    }

    fn account(&self, number: &E164) -> Option<AccountState> {
        self.0.account_counts(number).map(state)
    }

    async fn add(&self, wanted: Vec<WantedAccount>) -> Result<Vec<MadeAccount>, AccountsError> {
        let lines: Vec<usize> = wanted
            .iter()
            .enumerate()
            .map(|(row, one)| one.line.unwrap_or(row + 1))
            .collect();
        let line = |row: usize| lines.get(row).copied().unwrap_or(row + 1);
        let (rows, bad) = read(wanted);
        if !bad.is_empty() {
            let told = bad.into_iter().map(|(row, reason)| (line(row), reason));
            return Err(AccountsError::Rows(told.collect()));
        }
        match self.0.import_accounts(rows).await {
            Ok(imported) => Ok(imported
                .into_iter()
                .map(|one| MadeAccount {
                    number: one.account.number.to_string(),
                    user: user(&one.account.user, &one.account.domain),
                    password: one.password,
                })
                .collect()),
            Err(ImportError::Rows(rows)) => {
                let told = rows.into_iter().map(|bad| (line(bad.row), bad.reason));
                Err(AccountsError::Rows(told.collect()))
            }
            Err(ImportError::Home(error)) => Err(refused(error)),
        }
    }

    async fn set_active(&self, number: &E164, is_active: bool) -> Result<(), AccountsError> {
        self.0.set_active(number, is_active).await.map_err(refused)
    }

    async fn set_password(
        &self,
        number: &E164,
        password: Option<String>,
    ) -> Result<Option<String>, AccountsError> {
        let drawn = password.is_none().then(HomeDomain::draw_password);
        let password = password.or_else(|| drawn.clone()).unwrap_or_default();
        self.0.set_password(number, &password).await.map_err(refused)?;
        Ok(drawn)
    }

    async fn remove(&self, number: &E164) -> Result<(), AccountsError> {
        self.0.remove_account(number).await.map_err(refused)
    }
}

/// Rows whose number can be read, or the rows whose can't, with their places.
fn read(wanted: Vec<WantedAccount>) -> (Vec<NewAccount>, Vec<(usize, String)>) {
    let (mut rows, mut bad) = (Vec::with_capacity(wanted.len()), Vec::new());
    for (row, one) in wanted.into_iter().enumerate() {
        match one.number.parse() {
            Ok(number) => rows.push(NewAccount {
                number,
                friendly_name: one.friendly_name.unwrap_or_else(|| one.user.clone()),
                user: one.user,
                domain: one.domain,
                password: one.password.unwrap_or_default(),
                language: one.language,
            }),
            Err(error) if bad.len() < MAX_BAD => bad.push((row, format!("{:?}: {error}", one.number))),
            Err(_) => {}
        }
    }
    (rows, bad)
}

fn state(counts: AccountCounts) -> AccountState {
    let account = counts.account;
    AccountState {
        number: account.number.to_string(),
        user: user(&account.user, &account.domain),
        friendly_name: account.friendly_name,
        language: account.language,
        is_active: account.is_active,
        created: account.created,
        devices: counts.devices,
        contacts: counts.contacts,
        watchers: counts.watchers,
        inbox: counts.inbox,
    }
}

fn user(name: &str, domain: &crate::model::Domain) -> String {
    format!("wv:{name}@{domain}")
}

fn refused(error: HomeError) -> AccountsError {
    match error {
        HomeError::NoAccount(number) => AccountsError::Unknown(number),
        HomeError::Store(error) => AccountsError::Store(error),
        HomeError::Config(_) | HomeError::Account { .. } => AccountsError::Refused(error.to_string()),
    }
}

/// Bad rows that are named.
const MAX_BAD: usize = 100;
