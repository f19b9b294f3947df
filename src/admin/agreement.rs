//! The interconnection agreements as they are in force.

use axum::{
    Json,
    extract::{Path, State},
};
use serde_json::{Value, json};

use super::{
    answer::{Answer, Shared, json as value},
    error::ApiError,
};

pub(super) async fn list(State(parts): State<Shared>) -> Answer {
    let agreements = parts.agreements.load();
    let all: Vec<Value> = agreements.all().iter().map(|one| value(&one.config)).collect();
    Ok(Json(json!({ "agreements": all })))
}

pub(super) async fn show(State(parts): State<Shared>, Path(peer): Path<String>) -> Answer {
    let agreements = parts.agreements.load();
    let found = agreements.all().iter().find(|one| one.peer().as_str() == peer);
    let agreement = found.ok_or_else(|| ApiError::NotFound(format!("there is no agreement with {peer}")))?;
    Ok(Json(value(&agreement.config)))
}
