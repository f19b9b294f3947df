//! Peers: how their sessions stand, and the levers suspend, resume, reconnect.

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    answer::{Answer, Body, Shared, json as value},
    error::ApiError,
    gathered::{Gathered, gather},
    guard::Caller,
};
use crate::model::PeerName;

pub(super) async fn list(State(parts): State<Shared>) -> Answer {
    let Gathered { peers, silent } = gather(&parts).await;
    Ok(Json(json!({ "peers": peers, "silent_nodes": silent })))
}

pub(super) async fn show(State(parts): State<Shared>, Path(peer): Path<String>) -> Answer {
    let Gathered { peers, silent } = gather(&parts).await;
    let found = peers
        .into_iter()
        .find(|state| state.get("peer").and_then(Value::as_str) == Some(&peer));
    let mut state = found.ok_or_else(|| ApiError::NotFound(format!("there is no peer {peer}")))?;
    if let Value::Object(map) = &mut state {
        map.insert("silent_nodes".into(), value(&silent));
    }
    Ok(Json(state))
}

/// Why a peer is suspended.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Why {
    #[serde(default)]
    reason: String,
}

pub(super) async fn suspend(
    State(parts): State<Shared>,
    Path(peer): Path<String>,
    Extension(caller): Extension<Caller>,
    Body(why): Body<Why>,
) -> Answer {
    let reason = caller.because(&why.reason);
    parts.board.suspend(&name(&peer)?, &reason).await?;
    Ok(Json(json!({ "peer": peer, "suspended": reason })))
}

pub(super) async fn resume(State(parts): State<Shared>, Path(peer): Path<String>) -> Answer {
    parts.board.resume(&name(&peer)?).await?;
    Ok(Json(json!({ "peer": peer, "suspended": null })))
}

pub(super) async fn reconnect(State(parts): State<Shared>, Path(peer): Path<String>) -> Answer {
    parts.board.reconnect(&name(&peer)?).await?;
    Ok(Json(json!({ "peer": peer, "reconnecting": true })))
}

fn name(peer: &str) -> Result<PeerName, ApiError> {
    peer.parse()
        .map_err(|error| ApiError::BadRequest(format!("{peer:?} is no peer name: {error}")))
}
