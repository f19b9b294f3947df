//! `/v1/watchers`, `/v1/grants`, `/v1/blocks`: who sees what, and who is kept out.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};

use super::{
    super::{HomeDomain, event::time},
    body::Body,
    caller::{Caller, Person},
    problem::Problem,
};
use crate::model::{AttributeName, WvAddress};

#[derive(Serialize)]
pub(crate) struct WatchersView {
    watchers: Vec<WatcherView>,
}

#[derive(Serialize)]
struct WatcherView {
    address: WvAddress,
    since: String,
    is_contact: bool,
    is_blocked: bool,
    /// What he sees now; empty means that he waits for consent.
    attributes: Vec<AttributeName>,
}

pub(crate) async fn watchers(State(home): State<Arc<HomeDomain>>, caller: Caller) -> Json<WatchersView> {
    let state = caller.subscriber.state();
    let relations = &state.relations;
    let view = |(person, watcher): (&str, &super::super::relation::Watcher)| {
        let allowed = state.allowed(person, &home.config.public_attributes);
        let is_seen =
            |name: &AttributeName| watcher.attributes.is_empty() || watcher.attributes.contains(name);
        WatcherView {
            address: watcher.address.clone(),
            since: time(watcher.since),
            is_contact: relations.contacts.contains_key(person),
            is_blocked: relations.blocks.contains_key(person),
            attributes: allowed.into_iter().filter(is_seen).collect(),
        }
    };
    Json(WatchersView {
        watchers: relations
            .watchers
            .iter()
            .map(|(person, watcher)| view((person, watcher)))
            .collect(),
    })
}

#[derive(Serialize)]
pub(crate) struct GrantsView {
    grants: Vec<GrantView>,
}

#[derive(Serialize)]
struct GrantView {
    address: WvAddress,
    attributes: Vec<AttributeName>,
}

pub(crate) async fn grants(caller: Caller) -> Json<GrantsView> {
    let state = caller.subscriber.state();
    let view = |grant: &super::super::relation::Grant| GrantView {
        address: grant.address.clone(),
        attributes: grant.attributes.clone(),
    };
    Json(GrantsView {
        grants: state.relations.grants.values().map(view).collect(),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rights {
    attributes: Vec<AttributeName>,
}

pub(crate) async fn grant(
    State(home): State<Arc<HomeDomain>>,
    caller: Caller,
    person: Person,
    Body(rights): Body<Rights>,
) -> Result<StatusCode, Problem> {
    let address = person.read(&home, &caller)?;
    home.grant(&caller.subscriber, &address, rights.attributes)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn revoke(
    State(home): State<Arc<HomeDomain>>,
    caller: Caller,
    person: Person,
) -> Result<StatusCode, Problem> {
    let address = person.read(&home, &caller)?;
    home.revoke(&caller.subscriber, &address).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Serialize)]
pub(crate) struct BlocksView {
    blocks: Vec<BlockView>,
}

#[derive(Serialize)]
struct BlockView {
    address: WvAddress,
    since: String,
}

pub(crate) async fn blocks(caller: Caller) -> Json<BlocksView> {
    let state = caller.subscriber.state();
    let view = |block: &super::super::relation::Block| BlockView {
        address: block.address.clone(),
        since: time(block.since),
    };
    Json(BlocksView {
        blocks: state.relations.blocks.values().map(view).collect(),
    })
}

pub(crate) async fn block(
    State(home): State<Arc<HomeDomain>>,
    caller: Caller,
    person: Person,
) -> Result<StatusCode, Problem> {
    let address = person.read(&home, &caller)?;
    home.block(&caller.subscriber, &address).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn unblock(
    State(home): State<Arc<HomeDomain>>,
    caller: Caller,
    person: Person,
) -> Result<StatusCode, Problem> {
    let address = person.read(&home, &caller)?;
    home.unblock(&caller.subscriber, &address).await?;
    Ok(StatusCode::NO_CONTENT)
}
