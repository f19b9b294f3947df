//! The node itself: status, reload, tokens, the audit log.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use serde::Deserialize;
use serde_json::json;

use super::{
    Role,
    answer::{Answer, Asked, Body, Shared},
    audit as log,
    error::ApiError,
    guard::Caller,
    token::{self, TokenError},
};
use crate::{
    model::{Timestamp, duration},
    store::{Batch, Space},
};

pub(super) async fn status(State(parts): State<Shared>, Extension(caller): Extension<Caller>) -> Answer {
    let mut not_ready = (parts.not_ready)();
    let counts = match parts.store.counts().await {
        Ok(counts) => counts,
        Err(error) => {
            not_ready.push(error.to_string());
            Vec::new()
        }
    };
    let waiting: u64 = counts.iter().map(|count| count.count).sum();
    Ok(Json(json!({
        "node": parts.node,
        "version": env!("CARGO_PKG_VERSION"),
        "role": caller.token.role,
        "now": parts.clock.now(),
        "ready": not_ready.is_empty(),
        "not_ready": not_ready,
        "peers": parts.board.peers().len(),
        "waiting": waiting,
        "certificates": parts.board.certificates(),
        "trails_dropped": parts.trails.dropped(),
        "routing": parts.router.stats(),
    })))
}

pub(super) async fn reload(State(parts): State<Shared>) -> Answer {
    let reload = Arc::clone(&parts.reload);
    let done = tokio::task::spawn_blocking(move || reload())
        .await
        .map_err(|error| ApiError::Failed(error.to_string()))?;
    match done {
        Ok(changed) => Ok(Json(
            json!({ "reloaded": true, "changed": changed, "mistakes": [] }),
        )),
        Err(mistakes) => Ok(Json(json!({ "reloaded": false, "mistakes": mistakes }))),
    }
}

pub(super) async fn tokens(State(parts): State<Shared>) -> Answer {
    let tokens = token::list(&*parts.store, parts.clock.now()).await?;
    Ok(Json(json!({ "tokens": tokens })))
}

/// A token as it is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    name: String,
    role: Role,
    #[serde(default, rename = "for")]
    lasts: Option<String>,
}

pub(super) async fn create_token(State(parts): State<Shared>, Body(wanted): Body<NewToken>) -> Answer {
    if wanted.name.is_empty() || wanted.name.len() > 64 || wanted.name.chars().any(char::is_control) {
        return Err(ApiError::BadRequest(
            "name is 1 to 64 octets without control characters".into(),
        ));
    }
    let now = parts.clock.now();
    let parse = |text: &String| {
        duration::parse(text)
            .ok_or_else(|| ApiError::BadRequest(format!("{text:?} is no duration: write it as \"30d\"")))
    };
    let expires = wanted
        .lasts
        .as_ref()
        .map(parse)
        .transpose()?
        .map(|lasts| now.plus(lasts));
    let all = token::list(&*parts.store, now).await?;
    if all.len() >= token::MAX_TOKENS {
        return Err(ApiError::Conflict("there are 1000 tokens; revoke some".into()));
    }
    let made = token::create(&*parts.store, &wanted.name, wanted.role, expires, now).await;
    let (info, token) = made.map_err(|error| match error {
        TokenError::Store(error) => ApiError::Store(error),
        TokenError::Random | TokenError::File { .. } => ApiError::Failed(error.to_string()),
    })?;
    Ok(Json(
        json!({ "token": token, "id": info.id, "name": info.name, "role": info.role, "expires": info.expires }),
    ))
}

pub(super) async fn revoke_token(
    State(parts): State<Shared>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
) -> Answer {
    let now = parts.clock.now();
    if caller.token.id == id {
        return Err(ApiError::Conflict(
            "a token does not revoke itself; use another one".into(),
        ));
    }
    if parts.store.row(Space::Token, &id, now).await?.is_none() {
        return Err(ApiError::NotFound(format!("there is no token {id}")));
    }
    parts
        .store
        .commit(Batch::new(now).remove(Space::Token, &*id))
        .await?;
    Ok(Json(json!({ "revoked": id })))
}

/// Which entries of the audit log; the last day by default.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Since {
    since: Option<u64>,
    limit: Option<usize>,
    #[serde(rename = "unmask")]
    _unmask: bool,
}

pub(super) async fn audit(State(parts): State<Shared>, Asked(since): Asked<Since>) -> Answer {
    let now = parts.clock.now();
    let from = since.since.map_or_else(|| now.minus(DAY), Timestamp);
    let limit = since.limit.unwrap_or(1000).clamp(1, 10_000);
    let entries = log::list(&*parts.store, from, limit, now).await?;
    Ok(Json(json!({ "entries": entries })))
}

const DAY: Duration = Duration::from_secs(86_400);
