//! The embedded home domain's accounts, as the admin API manages them: at any node, for the one that has the home domain.

use std::sync::{Arc, Weak};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    http::{HeaderValue, Method, Request, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{
    admin::{AccountState, Accounts, AccountsError, MadeAccount, WantedAccount},
    cluster::PassedBody,
    gateways::home::{AccountCounts, ForHolder, HomeDomain, HomeError, HomeSeat, ImportError, NewAccount},
    model::E164,
};

/// The accounts of a home domain, wherever it is.
pub(super) struct HomeAccounts(pub(super) Arc<HomeSeat>);

/// What an operator asks of the accounts.
#[derive(Debug, Deserialize, Serialize)]
enum Order {
    Page {
        prefix: String,
        after: Option<E164>,
        limit: usize,
    },
    Show(E164),
    Add(Vec<WantedAccount>),
    SetActive(E164, bool),
    SetPassword(E164, Option<String>),
    Remove(E164),
}

/// What came of an order.
#[derive(Debug, Deserialize, Serialize)]
enum Done {
    Accounts(Vec<AccountState>),
    Made(Vec<MadeAccount>),
    Password(Option<String>),
    Nothing,
}

/// Why an order was not carried out, as nodes tell one another.
#[derive(Debug, Deserialize, Serialize)]
enum NotDone {
    Rows(Vec<(usize, String)>),
    Unknown(E164),
    Refused(String),
    NotNow(String),
}

/// What other nodes pass on, as the listener of nodes serves it.
pub(super) fn passed_on(home: Option<&Arc<HomeSeat>>) -> Router {
    let Some(seat) = home else { return Router::new() };
    let orders = Router::new()
        .route(ORDERS, post(serve))
        .layer(DefaultBodyLimit::max(MAX_ORDER))
        .with_state(Arc::downgrade(seat));
    orders.merge(seat.passed_on())
}

#[async_trait::async_trait]
impl Accounts for HomeAccounts {
    async fn page(
        &self,
        prefix: &str,
        after: Option<&E164>,
        limit: usize,
    ) -> Result<Vec<AccountState>, AccountsError> {
        let (prefix, after) = (prefix.to_owned(), after.cloned());
        match self.order(Order::Page { prefix, after, limit }).await? {
            Done::Accounts(found) => Ok(found),
            Done::Made(_) | Done::Password(_) | Done::Nothing => Err(odd()),
        }
    }

    async fn account(&self, number: &E164) -> Result<Option<AccountState>, AccountsError> {
        match self.order(Order::Show(number.clone())).await? {
            Done::Accounts(found) => Ok(found.into_iter().next()),
            Done::Made(_) | Done::Password(_) | Done::Nothing => Err(odd()),
        }
    }

    async fn add(&self, wanted: Vec<WantedAccount>) -> Result<Vec<MadeAccount>, AccountsError> {
        match self.order(Order::Add(wanted)).await? {
            Done::Made(made) => Ok(made),
            Done::Accounts(_) | Done::Password(_) | Done::Nothing => Err(odd()),
        }
    }

    async fn set_active(&self, number: &E164, is_active: bool) -> Result<(), AccountsError> {
        let done = self.order(Order::SetActive(number.clone(), is_active)).await;
        done.map(drop)
    }

    async fn set_password(
        &self,
        number: &E164,
        password: Option<String>,
    ) -> Result<Option<String>, AccountsError> {
        match self.order(Order::SetPassword(number.clone(), password)).await? {
            Done::Password(drawn) => Ok(drawn),
            Done::Accounts(_) | Done::Made(_) | Done::Nothing => Err(odd()),
        }
    }

    async fn remove(&self, number: &E164) -> Result<(), AccountsError> {
        self.order(Order::Remove(number.clone())).await.map(drop)
    }
}

impl HomeAccounts {
    /// Has an order carried out where the home domain is.
    async fn order(&self, order: Order) -> Result<Done, AccountsError> {
        let until = Instant::now() + HomeSeat::PATIENCE;
        loop {
            let holder = self.0.holder(until).await;
            let member = match holder.map_err(|error| AccountsError::NotNow(error.to_string()))? {
                ForHolder::Here(home) => return carry_out(&self.0, &home, order).await,
                ForHolder::There(member) => member,
            };
            let passed = self.0.pass_on(&member, request(&order)?).await;
            if let Some(answer) = passed.map_err(AccountsError::NotNow)? {
                return answered(answer).await;
            }
        }
    }
}

async fn serve(State(seat): State<Weak<HomeSeat>>, Json(order): Json<Order>) -> Response {
    let not_here = || StatusCode::MISDIRECTED_REQUEST.into_response();
    let Some(seat) = seat.upgrade() else {
        return not_here();
    };
    let Ok(ForHolder::Here(home)) = seat.holder(Instant::now()).await else {
        return not_here();
    };
    let done = carry_out(&seat, &home, order).await.map_err(NotDone::from);
    Json(done).into_response()
}

async fn carry_out(seat: &HomeSeat, home: &HomeDomain, order: Order) -> Result<Done, AccountsError> {
    let done = match order {
        Order::Page { prefix, after, limit } => {
            let found = home.accounts_after(&prefix, after.as_ref(), limit);
            return Ok(Done::Accounts(found.into_iter().map(state).collect()));
        }
        Order::Show(number) => {
            let found = home.account_counts(&number).map(state);
            return Ok(Done::Accounts(found.into_iter().collect()));
        }
        Order::SetPassword(number, password) => return set_password(home, &number, password).await,
        Order::Add(wanted) => add(home, wanted).await.map(Done::Made),
        Order::SetActive(number, is_active) => {
            let done = home.set_active(&number, is_active).await;
            done.map_err(refused).map(|()| Done::Nothing)
        }
        Order::Remove(number) => {
            let done = home.remove_account(&number).await;
            done.map_err(refused).map(|()| Done::Nothing)
        }
    };
    seat.accounts_changed().await;
    done
}

async fn add(home: &HomeDomain, wanted: Vec<WantedAccount>) -> Result<Vec<MadeAccount>, AccountsError> {
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
    match home.import_accounts(rows).await {
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

async fn set_password(
    home: &HomeDomain,
    number: &E164,
    password: Option<String>,
) -> Result<Done, AccountsError> {
    let drawn = password.is_none().then(HomeDomain::draw_password);
    let password = password.or_else(|| drawn.clone()).unwrap_or_default();
    home.set_password(number, &password).await.map_err(refused)?;
    Ok(Done::Password(drawn))
}

fn request(order: &Order) -> Result<Request<Bytes>, AccountsError> {
    let not_now = |error: &dyn std::fmt::Display| AccountsError::NotNow(error.to_string());
    let body = serde_json::to_vec(order).map_err(|error| not_now(&error))?;
    Request::builder()
        .method(Method::POST)
        .uri(ORDERS)
        .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .body(body.into())
        .map_err(|error| not_now(&error))
}

/// Reads what another node says of an order.
async fn answered(answer: Response<PassedBody>) -> Result<Done, AccountsError> {
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MAX_ORDER).collect().await;
    let body = body
        .map_err(|error| AccountsError::NotNow(error.to_string()))?
        .to_bytes();
    let done = serde_json::from_slice::<Result<Done, NotDone>>(&body);
    let unreadable =
        |_| AccountsError::NotNow(format!("the node that has the home domain answered {status}"));
    done.map_err(unreadable)?.map_err(AccountsError::from)
}

impl From<AccountsError> for NotDone {
    fn from(error: AccountsError) -> Self {
        match error {
            AccountsError::Rows(rows) => Self::Rows(rows),
            AccountsError::Unknown(number) => Self::Unknown(number),
            AccountsError::Refused(reason) => Self::Refused(reason),
            AccountsError::Store(error) => Self::NotNow(error.to_string()),
            AccountsError::NotNow(reason) => Self::NotNow(reason),
        }
    }
}

impl From<NotDone> for AccountsError {
    fn from(error: NotDone) -> Self {
        match error {
            NotDone::Rows(rows) => Self::Rows(rows),
            NotDone::Unknown(number) => Self::Unknown(number),
            NotDone::Refused(reason) => Self::Refused(reason),
            NotDone::NotNow(reason) => Self::NotNow(reason),
        }
    }
}

fn odd() -> AccountsError {
    AccountsError::NotNow(
        "the node that has the home domain answers something else; the nodes run different versions"
            .to_owned(),
    )
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

/// The path of orders between nodes.
const ORDERS: &str = "/accounts";
/// Octets of an order, or of what came of it: a page or an import of as many accounts as there may be.
const MAX_ORDER: usize = 64 * 1024 * 1024;
/// Bad rows that are named.
const MAX_BAD: usize = 100;
