//! What happened to a request: by trail ID, number, address or message ID; and whom to follow from now on.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State};
use serde::Deserialize;
use serde_json::json;

use super::{
    answer::{Answer, Asked, Body, Shared, json as value, with_plus},
    error::ApiError,
};
use crate::model::{TrailId, WvAddress, duration};

/// What to look for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    id: Option<String>,
    word: Option<String>,
    limit: Option<usize>,
    #[serde(default, rename = "unmask")]
    _unmask: bool,
}

pub(super) async fn find(State(parts): State<Shared>, Asked(wanted): Asked<Wanted>) -> Answer {
    let trails = Arc::clone(&parts.trails);
    let limit = wanted.limit.unwrap_or(20);
    let look: Box<dyn FnOnce() -> std::io::Result<_> + Send> = match (wanted.id, wanted.word) {
        (Some(id), None) => {
            let id = TrailId::try_from(id).map_err(ApiError::BadRequest)?;
            Box::new(move || trails.by_id(id))
        }
        (None, Some(word)) if word.len() >= 3 => {
            let word = canonical(&word);
            Box::new(move || trails.by_word(&word, limit))
        }
        (Some(_) | None, Some(_)) | (None, None) => {
            let text =
                "give id, a trail ID, or word: a number, address or message ID of 3 characters or more";
            return Err(ApiError::BadRequest(text.into()));
        }
    };
    let found = tokio::task::spawn_blocking(look)
        .await
        .map_err(|error| ApiError::Failed(error.to_string()))?
        .map_err(|error| ApiError::Failed(format!("the trails can't be read: {error}")))?;
    Ok(Json(value(&found)))
}

pub(super) async fn followed(State(parts): State<Shared>) -> Answer {
    let followed = parts.trails.followed().into_iter();
    let all: Vec<_> = followed
        .map(|(address, until)| json!({ "address": address, "until": until }))
        .collect();
    Ok(Json(json!({ "followed": all })))
}

/// Whom to follow.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Follow {
    address: String,
    #[serde(default = "one_hour", rename = "for", with = "duration")]
    lasts: Duration,
}

pub(super) async fn follow(State(parts): State<Shared>, Body(follow): Body<Follow>) -> Answer {
    if follow.lasts > MAX_FOLLOW {
        return Err(ApiError::BadRequest("nobody is followed longer than 7d".into()));
    }
    let address: WvAddress = follow
        .address
        .parse()
        .map_err(|error| ApiError::BadRequest(format!("{:?}: {error}", follow.address)))?;
    let until = parts.clock.now().plus(follow.lasts);
    let key = address.key();
    parts.trails.follow(&key, until);
    Ok(Json(json!({ "address": key, "until": until })))
}

/// An address as it stands in trails, whatever form was asked in; anything else as it is.
fn canonical(word: &str) -> String {
    let word = with_plus(word);
    match word.parse::<WvAddress>() {
        Ok(address) if word.starts_with("wv:") || address.number().is_some() => address.key(),
        Ok(_) | Err(_) => word,
    }
}

fn one_hour() -> Duration {
    Duration::from_secs(3600)
}

const MAX_FOLLOW: Duration = Duration::from_secs(7 * 86_400);
