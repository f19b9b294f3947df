//! Overrides: kept in `Space::Override`, in force in the router from the next route on.

use std::time::Duration;

use axum::{Json, extract::State};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::{
    answer::{Answer, Asked, Body, Shared, with_plus},
    error::ApiError,
    nodes,
};
use crate::{
    model::{Domain, PeerName, Timestamp, duration},
    routing::{Override, OverrideTarget, Router, Selector},
    store::{Batch, Space, Store, StoreError},
};

/// Puts the overrides that are kept in force, as at the start, once what this node itself is at is done.
///
/// # Errors
/// When the store fails.
pub async fn reload_overrides(
    store: &dyn Store,
    router: &Router,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let _turn = router.override_turn().await;
    load_overrides(store, router, now).await
}

/// Puts the overrides that are kept in force, as at the start. Damaged rows are named in the log and left out.
///
/// # Errors
/// When the store fails.
pub async fn load_overrides(store: &dyn Store, router: &Router, now: Timestamp) -> Result<usize, StoreError> {
    let mut all = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let rows = store
            .rows(Space::Override, "", after.as_deref(), PAGE, now)
            .await?;
        let Some(last) = rows.last() else { break };
        after = Some(last.key.clone());
        for row in &rows {
            match serde_json::from_slice(&row.value) {
                Ok(one) => all.push(one),
                Err(error) => tracing::error!(%error, "a kept override can't be read; add it again"),
            }
        }
    }
    let count = all.len();
    router.load_overrides(all);
    Ok(count)
}

pub(super) async fn list(State(parts): State<Shared>) -> Answer {
    Ok(Json(json!({ "overrides": parts.router.overrides() })))
}

/// An override as it is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    number: Option<String>,
    domain: Option<Domain>,
    to_domain: Option<Domain>,
    to_peer: Option<PeerName>,
    #[serde(default)]
    reason: String,
    #[serde(default, rename = "for")]
    lasts: Option<String>,
}

pub(super) async fn add(State(parts): State<Shared>, Body(wanted): Body<Wanted>) -> Answer {
    let now = parts.clock.now();
    let to = match (wanted.to_domain, wanted.to_peer) {
        (Some(domain), None) => OverrideTarget::Domain(domain),
        (None, Some(peer)) => {
            if parts.agreements.load().for_peer(&peer).is_none() {
                return Err(ApiError::BadRequest(format!("there is no agreement with {peer}")));
            }
            OverrideTarget::Peer(peer)
        }
        (Some(_), Some(_)) | (None, None) => {
            return Err(ApiError::BadRequest(
                "give to_domain or to_peer, one of them".into(),
            ));
        }
    };
    let lasts = wanted.lasts.as_deref().map(lasts).transpose()?;
    let one = Override {
        selector: selector(wanted.number, wanted.domain)?,
        to,
        reason: wanted.reason.chars().take(200).collect(),
        until: lasts.map(|lasts| now.plus(lasts)),
    };
    let turn = parts.router.override_turn().await;
    // Kept first: what is in force must be in force after a restart.
    let value = serde_json::to_vec(&one).unwrap_or_default();
    let batch = Batch::new(now).put(Space::Override, one.selector.to_string(), value, one.until);
    parts.store.commit(batch.ordered()).await?;
    let (router, added) = (Router::clone(&parts.router), one.clone());
    let before = beside(move || router.add_override(added)).await;
    // Another node may be at it too, and waits for its own turn before it answers.
    drop(turn);
    nodes::tell(parts.cluster.as_ref(), nodes::OVERRIDES, Bytes::new()).await;
    Ok(Json(json!({ "override": one, "replaced": before })))
}

/// Whose override.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Whose {
    number: Option<String>,
    domain: Option<Domain>,
}

pub(super) async fn remove(State(parts): State<Shared>, Asked(whose): Asked<Whose>) -> Answer {
    let selector = selector(whose.number, whose.domain)?;
    let turn = parts.router.override_turn().await;
    let batch = Batch::new(parts.clock.now()).remove(Space::Override, selector.to_string());
    parts.store.commit(batch.ordered()).await?;
    let router = Router::clone(&parts.router);
    let removed = selector.clone();
    let before = beside(move || router.remove_override(&removed))
        .await
        .ok_or_else(|| ApiError::NotFound(format!("there is no override of {selector}")))?;
    drop(turn);
    nodes::tell(parts.cluster.as_ref(), nodes::OVERRIDES, Bytes::new()).await;
    Ok(Json(json!({ "removed": before })))
}

/// Walks over whole caches go on a thread that may block.
async fn beside(change: impl FnOnce() -> Option<Override> + Send + 'static) -> Option<Override> {
    // It fails only when the runtime ends, and then nobody is left to tell.
    tokio::task::spawn_blocking(change).await.unwrap_or_default()
}

fn selector(number: Option<String>, domain: Option<Domain>) -> Result<Selector, ApiError> {
    match (number, domain) {
        (Some(number), None) => with_plus(&number)
            .parse()
            .map(Selector::Number)
            .map_err(|error: crate::routing::InvalidPrefix| ApiError::BadRequest(error.to_string())),
        (None, Some(domain)) => Ok(Selector::Domain(domain)),
        (Some(_), Some(_)) | (None, None) => {
            Err(ApiError::BadRequest("give number or domain, one of them".into()))
        }
    }
}

fn lasts(text: &str) -> Result<Duration, ApiError> {
    duration::parse(text)
        .ok_or_else(|| ApiError::BadRequest(format!("{text:?} is no duration: write it as \"24h\"")))
}

const PAGE: usize = 1000;
