//! `/v1/presence` and `/v1/subscriptions` (use case 5.21).

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};

use super::{
    super::{
        HomeDomain,
        event::{PresenceView, time},
    },
    body::{Asked, Body},
    caller::{Caller, Person},
    problem::Problem,
};
use crate::model::{AttributeName, AttributeValue, WvAddress};

#[derive(Serialize)]
pub(crate) struct AllPresence {
    /// His own, as those see it who may see everything.
    own: PresenceView,
    /// He seems offline to everybody.
    is_hidden: bool,
    /// What is known of people whom he watches.
    known: Vec<OnePresence>,
}

#[derive(Serialize)]
pub(crate) struct OnePresence {
    address: WvAddress,
    #[serde(flatten)]
    presence: PresenceView,
}

pub(crate) async fn list(caller: Caller) -> Json<AllPresence> {
    let state = caller.subscriber.state();
    let relations = &state.relations;
    let address = |person: &String| {
        let contact = relations.contacts.get(person).map(|contact| &contact.address);
        contact
            .or_else(|| relations.watching.get(person).map(|one| &one.address))
            .cloned()
    };
    let known = relations.known.iter().filter_map(|(person, presence)| {
        Some(OnePresence {
            address: address(person)?,
            presence: PresenceView::from(presence),
        })
    });
    Json(AllPresence {
        own: PresenceView::from(&state.presence()),
        is_hidden: state.own.is_hidden,
        known: known.collect(),
    })
}

/// Attributes by IMPS name: a text, a flag, or null to take one away.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Set {
    attributes: BTreeMap<AttributeName, Option<Value>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Flag(bool),
    Text(String),
}

pub(crate) async fn set(
    State(home): State<Arc<HomeDomain>>,
    caller: Caller,
    Body(set): Body<Set>,
) -> Result<StatusCode, Problem> {
    let value = |value| match value {
        Value::Flag(flag) => AttributeValue::Flag(flag),
        Value::Text(text) => AttributeValue::Text(text),
    };
    let values = set
        .attributes
        .into_iter()
        .map(|(name, one)| (name, one.map(value)))
        .collect();
    home.set_presence(&caller.subscriber, values).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Look {
    /// Names, separated by commas; absent means all.
    attributes: Option<String>,
}

pub(crate) async fn look(
    State(home): State<Arc<HomeDomain>>,
    caller: Caller,
    person: Person,
    Asked(look): Asked<Look>,
) -> Result<Json<OnePresence>, Problem> {
    let address = person.read(&home, &caller)?;
    let names = look.attributes.unwrap_or_default();
    let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
    let mut attributes = Vec::new();
    for name in names {
        let known = AttributeName::named(name);
        attributes.push(known.ok_or_else(|| {
            Problem::new(400, 551, "unknown-attribute", format!("{name:?} is no attribute"))
        })?);
    }
    let values = home
        .presence_of(&caller.subscriber, vec![address.clone()], attributes)
        .await?;
    let presence = values
        .first()
        .map(|(_, presence)| PresenceView::from(presence))
        .unwrap_or_default();
    Ok(Json(OnePresence { address, presence }))
}

#[derive(Serialize)]
pub(crate) struct SubscriptionsView {
    subscriptions: Vec<SubscriptionView>,
}

#[derive(Serialize)]
struct SubscriptionView {
    address: WvAddress,
    since: String,
}

pub(crate) async fn subscriptions(caller: Caller) -> Json<SubscriptionsView> {
    let state = caller.subscriber.state();
    let view = |one: &super::super::relation::Watching| SubscriptionView {
        address: one.address.clone(),
        since: time(one.since),
    };
    Json(SubscriptionsView {
        subscriptions: state.relations.watching.values().map(view).collect(),
    })
}

pub(crate) async fn subscribe(
    State(home): State<Arc<HomeDomain>>,
    caller: Caller,
    person: Person,
) -> Result<StatusCode, Problem> {
    let address = person.read(&home, &caller)?;
    home.watch_person(&caller.subscriber, &address).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn unsubscribe(
    State(home): State<Arc<HomeDomain>>,
    caller: Caller,
    person: Person,
) -> Result<StatusCode, Problem> {
    let address = person.read(&home, &caller)?;
    home.unwatch_person(&caller.subscriber, &address).await?;
    Ok(StatusCode::NO_CONTENT)
}
