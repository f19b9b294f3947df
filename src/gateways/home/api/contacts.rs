//! `/v1/search` and `/v1/contacts` (use case 5.20).

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};

use super::{
    super::{
        HomeDomain,
        event::{PresenceView, time},
        outgoing::{Added, NewContact, Wish},
        relation::Contact,
    },
    body::{Asked, Body, OutcomeView},
    caller::{Caller, Person},
    problem::{ErrorView, Problem},
};
use crate::model::{Refusal, SearchCursor, SearchElement, SearchPair, WvAddress};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SearchFor {
    /// What must hold, by IMPS search element.
    #[serde(default)]
    pairs: Vec<Pair>,
    #[serde(default = "ten")]
    limit: u16,
    /// Goes on with an earlier search.
    resume: Option<Cursor>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    element: SearchElement,
    text: String,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Cursor {
    id: String,
    index: u32,
}

#[derive(Serialize)]
pub(crate) struct FoundView {
    total: u32,
    users: Vec<UserView>,
    groups: Vec<WvAddress>,
    more: Option<Cursor>,
}

#[derive(Serialize)]
struct UserView {
    address: WvAddress,
    friendly_name: Option<String>,
}

pub(crate) async fn search(
    State(home): State<Arc<HomeDomain>>,
    caller: Caller,
    Body(wanted): Body<SearchFor>,
) -> Result<Json<FoundView>, Problem> {
    if wanted.pairs.len() > MAX_PAIRS {
        return Err(Problem::bad(format!("a search has at most {MAX_PAIRS} pairs")));
    }
    let pair = |pair: Pair| SearchPair {
        element: pair.element,
        text: pair.text,
    };
    let pairs = wanted.pairs.into_iter().map(pair).collect();
    let resume = wanted.resume.map(|cursor| SearchCursor {
        id: cursor.id,
        index: cursor.index,
    });
    let found = home
        .search_for(&caller.subscriber, pairs, wanted.limit.clamp(1, 100), resume)
        .await?;
    let user = |(address, friendly_name)| UserView {
        address,
        friendly_name,
    };
    Ok(Json(FoundView {
        total: found.total,
        users: found.users.into_iter().map(user).collect(),
        groups: found.groups,
        more: found.more.map(|more| Cursor {
            id: more.id,
            index: more.index,
        }),
    }))
}

/// Either a number, which is searched for, or an address.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Add {
    number: Option<String>,
    address: Option<String>,
    nickname: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct AddedView {
    contact: ContactView,
    was_there: bool,
    /// Present when a number was searched for.
    #[serde(skip_serializing_if = "Option::is_none")]
    search: Option<SearchView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notice: Option<OutcomeView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subscription: Option<OutcomeView>,
}

#[derive(Serialize)]
struct SearchView {
    is_found: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorView>,
}

#[derive(Serialize)]
pub(crate) struct ContactView {
    address: WvAddress,
    nickname: String,
    since: String,
    /// Absent while nothing is known of him.
    #[serde(skip_serializing_if = "Option::is_none")]
    presence: Option<PresenceView>,
}

pub(crate) async fn add(
    State(home): State<Arc<HomeDomain>>,
    caller: Caller,
    Body(add): Body<Add>,
) -> Result<(StatusCode, Json<AddedView>), Problem> {
    let wish = match (add.number, add.address) {
        (Some(number), None) => Wish::Number(number),
        (None, Some(address)) => Wish::Address(address),
        (Some(_), Some(_)) | (None, None) => return Err(Problem::bad("name either a number or an address")),
    };
    let nickname = add.nickname;
    let added = home
        .add_contact(&caller.subscriber, NewContact { wish, nickname })
        .await?;
    let status = if added.was_there {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    Ok((status, Json(added_view(&added))))
}

#[derive(Serialize)]
pub(crate) struct ContactsView {
    contacts: Vec<ContactView>,
    /// Where to go on with `?after=`; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    after: Option<String>,
    #[serde(default = "five_hundred")]
    limit: usize,
}

pub(crate) async fn list(caller: Caller, Asked(page): Asked<Page>) -> Json<ContactsView> {
    let state = caller.subscriber.state();
    let relations = &state.relations;
    let after = page.after.unwrap_or_default();
    let limit = page.limit.clamp(1, 1_000);
    let mut following = relations
        .contacts
        .range::<String, _>((std::ops::Bound::Excluded(&after), std::ops::Bound::Unbounded));
    let shown: Vec<_> = following.by_ref().take(limit).collect();
    let next = following
        .next()
        .and(shown.last())
        .map(|(person, _)| (*person).clone());
    let view = |(person, contact): &(&String, &Contact)| {
        let presence = relations.known.get(*person).map(PresenceView::from);
        view(contact, presence)
    };
    Json(ContactsView {
        contacts: shown.iter().map(view).collect(),
        next,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rename {
    nickname: String,
}

pub(crate) async fn rename(
    State(home): State<Arc<HomeDomain>>,
    caller: Caller,
    person: Person,
    Body(rename): Body<Rename>,
) -> Result<Json<ContactView>, Problem> {
    let address = person.read(&home, &caller)?;
    let contact = home
        .rename_contact(&caller.subscriber, &address, &rename.nickname)
        .await?;
    Ok(Json(view(&contact, None)))
}

pub(crate) async fn remove(
    State(home): State<Arc<HomeDomain>>,
    caller: Caller,
    person: Person,
) -> Result<StatusCode, Problem> {
    let address = person.read(&home, &caller)?;
    home.remove_contact(&caller.subscriber, &address).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn added_view(added: &Added) -> AddedView {
    let search = |search: &Result<bool, Refusal>| SearchView {
        is_found: matches!(search, Ok(true)),
        error: search.as_ref().err().map(ErrorView::from),
    };
    AddedView {
        contact: view(&added.contact, None),
        was_there: added.was_there,
        search: added.search.as_ref().map(search),
        notice: added.notice.as_ref().map(OutcomeView::from),
        subscription: added.subscription.as_ref().map(OutcomeView::from),
    }
}

fn view(contact: &Contact, presence: Option<PresenceView>) -> ContactView {
    ContactView {
        address: contact.address.clone(),
        nickname: contact.nickname.clone(),
        since: time(contact.since),
        presence,
    }
}

fn ten() -> u16 {
    10
}

fn five_hundred() -> usize {
    500
}

const MAX_PAIRS: usize = 8;
