//! The accounts of the embedded home domain: made one by one or in bulk, closed when a number is ported out, removed.
//!
//! What it needs of the home domain comes through [`Accounts`], so that this room does not know it.

use axum::{
    Json,
    extract::{Path, State},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    answer::{Answer, Asked, Body, Shared, with_plus},
    error::ApiError,
};
use crate::{
    model::{Domain, E164, Timestamp},
    store::StoreError,
};

/// The accounts of our home domains, as an operator manages them.
#[async_trait::async_trait]
pub trait Accounts: Send + Sync {
    /// The accounts whose number begins with these digits, after that number, by number.
    ///
    /// # Errors
    /// [`AccountsError::Store`].
    async fn page(
        &self,
        prefix: &str,
        after: Option<&E164>,
        limit: usize,
    ) -> Result<Vec<AccountState>, AccountsError>;

    /// One account.
    ///
    /// # Errors
    /// [`AccountsError::Store`].
    async fn account(&self, number: &E164) -> Result<Option<AccountState>, AccountsError>;

    /// Makes all these accounts, or none.
    ///
    /// # Errors
    /// [`AccountsError`]; then no account was made.
    async fn add(&self, wanted: Vec<WantedAccount>) -> Result<Vec<MadeAccount>, AccountsError>;

    /// Closes an account (its number was ported out), or opens it again.
    ///
    /// # Errors
    /// [`AccountsError`].
    async fn set_active(&self, number: &E164, is_active: bool) -> Result<(), AccountsError>;

    /// Gives an account another password; one is drawn and returned when none is given.
    ///
    /// # Errors
    /// [`AccountsError`].
    async fn set_password(
        &self,
        number: &E164,
        password: Option<String>,
    ) -> Result<Option<String>, AccountsError>;

    /// Forgets an account with all that belongs to it.
    ///
    /// # Errors
    /// [`AccountsError`]; then some of it may be gone, and the call can be repeated.
    async fn remove(&self, number: &E164) -> Result<(), AccountsError>;
}

/// An account as an operator sees it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct AccountState {
    /// The number.
    pub number: String,
    /// `wv:user@domain`.
    pub user: String,
    /// The name that others see.
    pub friendly_name: String,
    /// The language that the server speaks to him.
    pub language: String,
    /// `false` once the number was ported out.
    pub is_active: bool,
    /// When it was made.
    pub created: Timestamp,
    /// Devices that are logged in.
    pub devices: usize,
    /// People on his contact list.
    pub contacts: usize,
    /// People who watch his presence.
    pub watchers: usize,
    /// Events that wait for a device of his.
    pub inbox: usize,
}

/// An account that is asked for.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WantedAccount {
    /// The number, as `+447700900123`.
    pub number: String,
    /// The user name.
    pub user: String,
    /// The name that others see; the user name by default.
    pub friendly_name: Option<String>,
    /// The domain; by default the one whose range the number lies in.
    pub domain: Option<Domain>,
    /// The language; by default that of `[home]`.
    pub language: Option<String>,
    /// The password; one is drawn when it is absent.
    pub password: Option<String>,
    /// What the caller calls the row, such as the line of its file; its place, from 1, by default.
    pub line: Option<usize>,
}

/// An account that was made.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct MadeAccount {
    /// The number.
    pub number: String,
    /// `wv:user@domain`.
    pub user: String,
    /// The password, where it was drawn; it can't be read again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

/// Why accounts were not made or changed.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    /// Rows that can't become accounts: what the caller calls each, and why.
    #[error("nothing was imported:{}", rows_in_words(.0))]
    Rows(Vec<(usize, String)>),
    /// There is no such account.
    #[error("there is no account {0}")]
    Unknown(E164),
    /// What was asked for can't be.
    #[error("{0}")]
    Refused(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No node can do it now.
    #[error("{0}")]
    NotNow(String),
}

/// Which accounts.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Page {
    prefix: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
    #[serde(rename = "unmask")]
    _unmask: bool,
}

pub(super) async fn list(State(parts): State<Shared>, Asked(page): Asked<Page>) -> Answer {
    let accounts = accounts(&parts)?;
    let prefix = page.prefix.as_deref().map(with_plus).unwrap_or_default();
    let after = page.after.as_deref().map(number).transpose()?;
    let limit = page.limit.unwrap_or(100).clamp(1, MAX_PAGE);
    let mut found = accounts
        .page(prefix.trim_start_matches('+'), after.as_ref(), limit + 1)
        .await?;
    let next = (found.len() > limit).then(|| {
        found.truncate(limit);
        found.last().map(|last| last.number.clone())
    });
    Ok(Json(json!({ "accounts": found, "next": next.flatten() })))
}

pub(super) async fn show(State(parts): State<Shared>, Path(text): Path<String>) -> Answer {
    let number = number(&text)?;
    let found = accounts(&parts)?.account(&number).await?;
    found
        .map(|account| Json(json!(account)))
        .ok_or_else(|| AccountsError::Unknown(number).into())
}

/// The accounts to make.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Import {
    accounts: Vec<WantedAccount>,
}

pub(super) async fn add(State(parts): State<Shared>, Body(import): Body<Import>) -> Answer {
    let made = accounts(&parts)?.add(import.accounts).await?;
    Ok(Json(json!({ "accounts": made })))
}

pub(super) async fn close(State(parts): State<Shared>, Path(text): Path<String>) -> Answer {
    set_active(&parts, &text, false).await
}

pub(super) async fn open(State(parts): State<Shared>, Path(text): Path<String>) -> Answer {
    set_active(&parts, &text, true).await
}

/// A password that is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPassword {
    password: Option<String>,
}

pub(super) async fn password(
    State(parts): State<Shared>,
    Path(text): Path<String>,
    Body(wanted): Body<NewPassword>,
) -> Answer {
    let number = number(&text)?;
    let drawn = accounts(&parts)?.set_password(&number, wanted.password).await?;
    Ok(Json(json!({ "number": number.to_string(), "password": drawn })))
}

pub(super) async fn remove(State(parts): State<Shared>, Path(text): Path<String>) -> Answer {
    let number = number(&text)?;
    accounts(&parts)?.remove(&number).await?;
    Ok(Json(json!({ "removed": number.to_string() })))
}

async fn set_active(parts: &Shared, text: &str, is_active: bool) -> Answer {
    let number = number(text)?;
    let accounts = accounts(parts)?;
    accounts.set_active(&number, is_active).await?;
    let account = accounts.account(&number).await?;
    account
        .map(|account| Json(json!(account)))
        .ok_or_else(|| AccountsError::Unknown(number).into())
}

fn accounts(parts: &Shared) -> Result<&dyn Accounts, ApiError> {
    let none = "this gateway has no [home]: its subscribers live in a home server of their own";
    parts
        .accounts
        .as_deref()
        .ok_or_else(|| ApiError::NotFound(none.into()))
}

fn number(text: &str) -> Result<E164, ApiError> {
    let text = with_plus(text);
    text.parse().map_err(|error| {
        ApiError::BadRequest(format!(
            "{text:?} is no number: {error}; write it as +447700900123"
        ))
    })
}

fn rows_in_words(rows: &[(usize, String)]) -> String {
    let lines = rows
        .iter()
        .map(|(line, reason)| format!("\nline {line}: {reason}"));
    lines.collect()
}

/// Accounts of one page.
const MAX_PAGE: usize = 10_000;
