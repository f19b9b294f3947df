//! What waits: counts, items page by page, and holds of whole queues. Bodies are never shown.

use std::time::Duration;

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    answer::{Answer, Asked, Body, Shared, json as value, with_plus},
    error::ApiError,
    guard::Caller,
};
use crate::{
    model::{Refusal, Timestamp, duration},
    store::{ItemId, OutboxItem, PlaceName, QueueFilter},
};

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
    Ok(Json(json!({ "queues": all, "held": parts.relay.held_queues() })))
}

/// Why a queue or an item is held.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Why {
    #[serde(default)]
    reason: String,
}

pub(super) async fn hold(
    State(parts): State<Shared>,
    Path(queue): Path<String>,
    Extension(caller): Extension<Caller>,
    Body(why): Body<Why>,
) -> Answer {
    let by = caller.because(&why.reason);
    let held = parts.relay.hold_queue(&queue, &by).await.map_err(refused)?;
    Ok(Json(json!({ "queue": queue, "held": held })))
}

pub(super) async fn release(State(parts): State<Shared>, Path(queue): Path<String>) -> Answer {
    let was_held = parts.relay.release_queue(&queue).await.map_err(refused)?;
    Ok(Json(json!({ "queue": queue, "was_held": was_held })))
}

/// Which items.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Wanted {
    queue: Option<String>,
    place: Option<PlaceName>,
    label: Option<String>,
    older_than: Option<String>,
    after: Option<u64>,
    limit: Option<usize>,
    #[serde(rename = "unmask")]
    _unmask: bool,
}

pub(super) async fn list(State(parts): State<Shared>, Asked(wanted): Asked<Wanted>) -> Answer {
    let limit = wanted.limit.unwrap_or(100).clamp(1, MAX_ITEMS);
    let meant = Meant {
        queue: wanted.queue,
        place: wanted.place,
        label: wanted.label.as_deref().map(with_plus),
        older_than: wanted.older_than,
    };
    let page = meant.page(&parts, wanted.after, limit).await?;
    let items: Vec<Value> = page.items.iter().map(describe).collect();
    Ok(Json(json!({ "items": items, "next": page.next })))
}

pub(super) async fn show(State(parts): State<Shared>, Path(id): Path<String>) -> Answer {
    Ok(Json(describe(&item(&parts, &id).await?)))
}

/// Conditions that all items must meet.
#[derive(Clone, Debug, Default)]
pub(super) struct Meant {
    pub(super) queue: Option<String>,
    pub(super) place: Option<PlaceName>,
    pub(super) label: Option<String>,
    pub(super) older_than: Option<String>,
}

/// Items that meet the conditions.
pub(super) struct Page {
    pub(super) items: Vec<OutboxItem>,
    /// The item behind which the next page begins; absent when there is none.
    pub(super) next: Option<u64>,
}

impl Meant {
    pub(super) fn is_everything(&self) -> bool {
        self.queue.is_none() && self.place.is_none() && self.label.is_none() && self.older_than.is_none()
    }

    /// The next items; items are listed as they came, so the first that is too young ends the list.
    pub(super) async fn page(
        &self,
        parts: &Shared,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Page, ApiError> {
        let filter = QueueFilter {
            queue: self.queue.clone(),
            place: self.place,
            label: self.label.clone(),
        };
        let youngest = self.youngest(parts.clock.now())?;
        let mut items = parts.store.items(&filter, after.map(ItemId), limit).await?;
        let is_full = items.len() == limit;
        let found = items.len();
        items.retain(|item| youngest.is_none_or(|youngest| item.created <= youngest));
        let is_last = !is_full || items.len() < found;
        let next = items.last().map(|item| item.id.0).filter(|_| !is_last);
        Ok(Page { items, next })
    }

    fn youngest(&self, now: Timestamp) -> Result<Option<Timestamp>, ApiError> {
        let Some(text) = &self.older_than else {
            return Ok(None);
        };
        let age: Option<Duration> = duration::parse(text);
        let no_duration = || ApiError::BadRequest(format!("{text:?} is no duration: write it as \"2h\""));
        age.map(|age| Some(now.minus(age))).ok_or_else(no_duration)
    }
}

/// What a refusal of the relay means to an operator.
pub(super) fn refused(refusal: Refusal) -> ApiError {
    let text = refusal.to_string();
    let is_asked_wrong = matches!(
        refusal,
        Refusal::NoAgreement { .. } | Refusal::BadRequest { .. } | Refusal::Unsupported { .. }
    );
    if is_asked_wrong {
        ApiError::BadRequest(text)
    } else if matches!(refusal, Refusal::QueueFull { .. }) {
        ApiError::Conflict(text)
    } else {
        ApiError::Failed(text)
    }
}

pub(super) async fn item(parts: &Shared, id: &str) -> Result<OutboxItem, ApiError> {
    let number = id
        .parse()
        .map_err(|_| ApiError::BadRequest(format!("{id:?} is no item; `impsgw queue list` numbers them")))?;
    let item = parts.store.item(ItemId(number)).await?;
    item.ok_or_else(|| ApiError::NotFound(format!("there is no item {id}; it may have been delivered")))
}

/// An item without what it carries.
pub(super) fn describe(item: &OutboxItem) -> Value {
    json!({
        "id": item.id,
        "queue": item.lane.queue,
        "conversation": item.lane.conversation,
        "place": place_name(item.place.name()),
        "detail": value(&item.place),
        "created": item.created,
        "expires": item.expires,
        "attempts": item.attempts,
        "last_failure": item.last_failure,
        "labels": item.labels,
        "octets": item.body.len(),
    })
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
