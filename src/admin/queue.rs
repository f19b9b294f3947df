//! What waits: counts, items, and what an operator does with an item. Bodies are never shown.

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    answer::{Answer, Asked, Body, Shared, json as value},
    error::ApiError,
    guard::Caller,
};
use crate::store::{Batch, Committed, ItemId, OutboxItem, Place, PlaceName, QueueFilter, Settle};

pub(super) async fn counts(State(parts): State<Shared>) -> Answer {
    let counts = parts.store.counts().await?;
    let now = parts.clock.now();
    let all: Vec<Value> = counts
        .iter()
        .map(|count| {
            json!({
                "queue": count.queue,
                "place": count.place,
                "count": count.count,
                "oldest": count.oldest,
                "oldest_seconds": count.oldest.until(now).as_secs(),
            })
        })
        .collect();
    Ok(Json(json!({ "queues": all })))
}

/// Which items.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Wanted {
    queue: Option<String>,
    place: Option<PlaceName>,
    label: Option<String>,
    after: Option<u64>,
    limit: Option<usize>,
    #[serde(rename = "unmask")]
    _unmask: bool,
}

pub(super) async fn list(State(parts): State<Shared>, Asked(wanted): Asked<Wanted>) -> Answer {
    let filter = QueueFilter {
        queue: wanted.queue,
        place: wanted.place,
        label: wanted.label.as_deref().map(super::answer::with_plus),
    };
    let limit = wanted.limit.unwrap_or(100).clamp(1, MAX_ITEMS);
    let items = parts
        .store
        .items(&filter, wanted.after.map(ItemId), limit)
        .await?;
    let items: Vec<Value> = items.iter().map(describe).collect();
    Ok(Json(json!({ "items": items })))
}

pub(super) async fn show(State(parts): State<Shared>, Path(id): Path<String>) -> Answer {
    Ok(Json(describe(&item(&parts, &id).await?)))
}

/// Why an item is held or discarded.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Why {
    #[serde(default)]
    reason: String,
}

pub(super) async fn hold(
    State(parts): State<Shared>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    Body(why): Body<Why>,
) -> Answer {
    let by = match why.reason.as_str() {
        "" => caller.name(),
        reason => format!("{}: {reason}", caller.name()),
    };
    settle(
        &parts,
        &id,
        &[PlaceName::Scheduled, PlaceName::Awaiting],
        Settle::Hold { by },
    )
    .await
}

pub(super) async fn release(State(parts): State<Shared>, Path(id): Path<String>) -> Answer {
    let due = parts.clock.now();
    settle(&parts, &id, &[PlaceName::Held], Settle::Release { due }).await
}

pub(super) async fn retry(State(parts): State<Shared>, Path(id): Path<String>) -> Answer {
    let due = parts.clock.now();
    settle(
        &parts,
        &id,
        &[PlaceName::Dead, PlaceName::Held],
        Settle::Release { due },
    )
    .await
}

pub(super) async fn discard(State(parts): State<Shared>, Path(id): Path<String>) -> Answer {
    let places = [
        PlaceName::Scheduled,
        PlaceName::Awaiting,
        PlaceName::Held,
        PlaceName::Dead,
    ];
    settle(&parts, &id, &places, Settle::Discard).await
}

async fn settle(parts: &Shared, id: &str, from: &[PlaceName], settle: Settle) -> Answer {
    let item = item(parts, id).await?;
    let place = name_of(&item.place);
    if !from.contains(&place) {
        let from: Vec<_> = from.iter().map(|place| place_name(*place)).collect();
        return Err(ApiError::Conflict(format!(
            "item {} is {}; this is for items that are {}",
            item.id.0,
            place_name(place),
            from.join(", ")
        )));
    }
    let batch = Batch::new(parts.clock.now()).settle(item.id, settle);
    match parts.store.commit(batch).await? {
        Committed::Done => {
            let left = parts.store.item(item.id).await?;
            Ok(Json(json!({ "item": left.as_ref().map(describe) })))
        }
        Committed::LeaseLost(_) | Committed::Conflict { .. } | Committed::Fenced(_) => Err(
            ApiError::Conflict(format!("item {} moved meanwhile; look at it again", item.id.0)),
        ),
    }
}

async fn item(parts: &Shared, id: &str) -> Result<OutboxItem, ApiError> {
    let number = id
        .parse()
        .map_err(|_| ApiError::BadRequest(format!("{id:?} is no item; `impsgw queue list` numbers them")))?;
    let item = parts.store.item(ItemId(number)).await?;
    item.ok_or_else(|| ApiError::NotFound(format!("there is no item {id}; it may have been delivered")))
}

fn describe(item: &OutboxItem) -> Value {
    json!({
        "id": item.id,
        "queue": item.lane.queue,
        "conversation": item.lane.conversation,
        "place": place_name(name_of(&item.place)),
        "detail": value(&item.place),
        "created": item.created,
        "expires": item.expires,
        "attempts": item.attempts,
        "last_failure": item.last_failure,
        "labels": item.labels,
        "octets": item.body.len(),
    })
}

fn name_of(place: &Place) -> PlaceName {
    match place {
        Place::Scheduled { .. } => PlaceName::Scheduled,
        Place::Leased { .. } => PlaceName::Leased,
        Place::Awaiting { .. } => PlaceName::Awaiting,
        Place::Held { .. } => PlaceName::Held,
        Place::Dead { .. } => PlaceName::Dead,
    }
}

/// A place in one word.
pub(super) fn place_name(place: PlaceName) -> &'static str {
    match place {
        PlaceName::Scheduled => "scheduled",
        PlaceName::Leased => "leased",
        PlaceName::Awaiting => "awaiting",
        PlaceName::Held => "held",
        PlaceName::Dead => "dead",
    }
}

const MAX_ITEMS: usize = 1000;
