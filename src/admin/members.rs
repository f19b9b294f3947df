//! The nodes of the gateway as people see them: who is there or was, whether it answers, and what it alone does.

use axum::{Json, extract::State};
use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    AdminParts, NotReady,
    answer::{Answer, Shared},
    gathered::ask_others,
};
use crate::{
    cluster::{Cluster, Refused, Seat, Topic},
    store::StoreError,
};

pub(super) async fn list(State(parts): State<Shared>) -> Answer {
    let Some(cluster) = &parts.cluster else {
        return Ok(Json(json!({ "nodes": [alone(&parts)] })));
    };
    let (roster, answers) = tokio::join!(cluster.roster(), ask_others(cluster, STANDING));
    let nodes: Vec<Value> = roster_or_known(cluster, roster)
        .iter()
        .map(|seat| {
            let own = seat.member.node == parts.node;
            let said = if own {
                Ok((parts.not_ready)())
            } else {
                let answer = answers.iter().find(|(node, _)| *node == seat.member.node);
                answer.map_or_else(
                    || Err("it is not asked while it is dead".to_owned()),
                    |(_, answer)| answer.clone().and_then(|answer| understood(&answer)),
                )
            };
            described(seat, own, &said)
        })
        .collect();
    Ok(Json(json!({ "nodes": nodes })))
}

/// While the store is away the nodes that were known last are shown, without what only the store knows.
fn roster_or_known(cluster: &Cluster, roster: Result<Vec<Seat>, StoreError>) -> Vec<Seat> {
    let seat = |member: &crate::cluster::Member| Seat {
        member: member.clone(),
        left: Some(std::time::Duration::ZERO),
        holds: Vec::new(),
    };
    roster.unwrap_or_else(|error| {
        tracing::warn!(%error, "the list of nodes can't be read; those that were known last are shown");
        cluster.members().iter().map(seat).collect()
    })
}

fn described(seat: &Seat, is_asked: bool, said: &Result<Vec<String>, String>) -> Value {
    let member = &seat.member;
    let state = match said {
        _ if seat.left.is_none() => "dead",
        Err(_) => "silent",
        Ok(_) if member.is_draining => "draining",
        Ok(not_ready) if not_ready.is_empty() => "up",
        Ok(_) => "not ready",
    };
    let reason = match said {
        _ if seat.left.is_none() => "it went without a word; what it held goes on at the others".to_owned(),
        Err(reason) => reason.clone(),
        Ok(not_ready) => not_ready.join("; "),
    };
    json!({
        "node": member.node,
        "state": state,
        "reason": reason,
        "is_asked": is_asked,
        "version": member.version,
        "since": member.since,
        "address": member.address,
        "lease_left_seconds": seat.left.map(|left| left.as_secs()),
        "holds": seat.holds,
    })
}

/// A gateway of one node.
fn alone(parts: &AdminParts) -> Value {
    let not_ready = (parts.not_ready)();
    json!({
        "node": parts.node,
        "state": if not_ready.is_empty() { "up" } else { "not ready" },
        "reason": not_ready.join("; "),
        "is_asked": true,
        "version": env!("CARGO_PKG_VERSION"),
        "since": parts.since,
        "address": null,
        "lease_left_seconds": null,
        "holds": [],
    })
}

fn understood(answer: &Bytes) -> Result<Vec<String>, String> {
    serde_json::from_slice(answer).map_err(|error| format!("its answer can't be read: {error}"))
}

/// Says to another node why this one should get no traffic; nothing when it may.
pub(super) struct OwnStanding(pub(super) NotReady);

#[async_trait::async_trait]
impl Topic for OwnStanding {
    async fn answer(&self, _: &str, _: Bytes) -> Result<Bytes, Refused> {
        let answer = serde_json::to_vec(&(self.0)());
        answer
            .map(Bytes::from)
            .map_err(|error| Refused::Not(error.to_string()))
    }
}

/// Whether a node takes traffic.
pub(super) const STANDING: &str = "admin/standing";
