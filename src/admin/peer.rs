//! Peers: how their sessions stand, and the levers suspend, resume, reconnect.

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    PeerState,
    answer::{Answer, Body, Shared, json as value},
    error::ApiError,
    guard::Caller,
};
use crate::model::PeerName;

pub(super) async fn list(State(parts): State<Shared>) -> Answer {
    let peers: Vec<Value> = parts.board.peers().iter().map(describe).collect();
    Ok(Json(json!({ "peers": peers })))
}

pub(super) async fn show(State(parts): State<Shared>, Path(peer): Path<String>) -> Answer {
    let peers = parts.board.peers();
    let found = peers.iter().find(|state| state.peer.as_str() == peer);
    let state = found.ok_or_else(|| ApiError::NotFound(format!("there is no peer {peer}")))?;
    Ok(Json(describe(state)))
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

/// A peer, with the two facts that people look for first.
fn describe(state: &PeerState) -> Value {
    let mut described = value(state);
    if let Value::Object(map) = &mut described {
        let is_up = state.suspended.is_none() && state.open_sessions() > 0;
        map.insert("up".into(), is_up.into());
        map.insert("open_sessions".into(), state.open_sessions().into());
    }
    described
}

fn name(peer: &str) -> Result<PeerName, ApiError> {
    peer.parse()
        .map_err(|error| ApiError::BadRequest(format!("{peer:?} is no peer name: {error}")))
}
