//! What an operator does with items that wait: one by its number, or all that meet conditions, a page a call.
//!
//! Each action is for some places only, and one that cannot be undone needs a reason, which the audit log keeps with the
//! call. Items are settled one by one, so that one which moves meanwhile spoils no other.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    answer::{Answer, Body, Shared},
    error::ApiError,
    guard::Caller,
    queue::{Meant, describe, item, place_name, refused},
};
use crate::store::{Batch, Committed, ItemId, OutboxItem, PlaceName, Settle};

/// What is done.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Action {
    /// Keeps it from being sent.
    Hold,
    /// Lets it go on.
    Release,
    /// Tries it again.
    Retry,
    /// Takes it out, and tells its sender.
    Discard,
    /// Sends it to another domain.
    Redirect,
}

/// Why, and for a redirection where to.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct How {
    reason: String,
    to: Option<String>,
}

/// Which items, what is done with them, and how.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Many {
    action: Action,
    queue: Option<String>,
    place: Option<PlaceName>,
    label: Option<String>,
    older_than: Option<String>,
    /// Said instead of a condition.
    #[serde(default)]
    all: bool,
    after: Option<u64>,
    limit: Option<usize>,
    #[serde(default)]
    reason: String,
    to: Option<String>,
}

pub(super) async fn hold(
    State(parts): State<Shared>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    Body(how): Body<How>,
) -> Answer {
    one(Action::Hold, &parts, &id, &caller, how).await
}

pub(super) async fn release(
    State(parts): State<Shared>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    Body(how): Body<How>,
) -> Answer {
    one(Action::Release, &parts, &id, &caller, how).await
}

pub(super) async fn retry(
    State(parts): State<Shared>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    Body(how): Body<How>,
) -> Answer {
    one(Action::Retry, &parts, &id, &caller, how).await
}

pub(super) async fn discard(
    State(parts): State<Shared>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    Body(how): Body<How>,
) -> Answer {
    one(Action::Discard, &parts, &id, &caller, how).await
}

pub(super) async fn redirect(
    State(parts): State<Shared>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    Body(how): Body<How>,
) -> Answer {
    one(Action::Redirect, &parts, &id, &caller, how).await
}

pub(super) async fn many(
    State(parts): State<Shared>,
    Extension(caller): Extension<Caller>,
    Body(many): Body<Many>,
) -> Answer {
    let how = How {
        reason: many.reason,
        to: many.to,
    };
    let order = Order::new(many.action, how, &caller)?;
    let meant = Meant {
        queue: many.queue,
        place: many.place,
        label: many.label,
        older_than: many.older_than,
    };
    if meant.is_everything() && !many.all {
        let text = "name a queue, a place, a label or an age; or say all: true";
        return Err(ApiError::BadRequest(text.into()));
    }
    if let Some(place) = meant.place.filter(|place| !order.places().contains(place)) {
        return Err(order.not_for(&format!("items that are {}", place_name(place))));
    }
    let limit = many.limit.unwrap_or(MAX_AT_ONCE).clamp(1, MAX_AT_ONCE);
    let page = meant.page(&parts, many.after, limit).await?;
    let settled = order.carry_out_all(&parts, page.items).await;
    let failed: Vec<Value> = settled
        .iter()
        .filter_map(|(id, done)| Some(json!({ "item": id, "why": done.as_ref().err()?.to_string() })))
        .collect();
    let done = settled.len() - failed.len();
    Ok(Json(json!({ "done": done, "failed": failed, "next": page.next })))
}

async fn one(action: Action, parts: &Shared, id: &str, caller: &Caller, how: How) -> Answer {
    let order = Order::new(action, how, caller)?;
    let item = item(parts, id).await?;
    order.carry_out(parts, &item).await?;
    let left = parts.store.item(item.id).await?;
    Ok(Json(json!({ "item": left.as_ref().map(describe) })))
}

/// An action that may be carried out.
struct Order {
    action: Action,
    /// As it was given.
    reason: String,
    /// Who, and why.
    by: String,
    to: String,
}

impl Order {
    fn new(action: Action, how: How, caller: &Caller) -> Result<Self, ApiError> {
        if action == Action::Discard && how.reason.trim().is_empty() {
            let text = "say why: what is discarded is gone for good, and its sender and the audit log hear the reason";
            return Err(ApiError::BadRequest(text.into()));
        }
        let to = match (action, how.to) {
            (Action::Redirect, Some(to)) => to,
            (Action::Redirect, None) => {
                return Err(ApiError::BadRequest("say where to: a peer or a domain".into()));
            }
            (_, Some(_)) => return Err(ApiError::BadRequest("only a redirection has a `to`".into())),
            (_, None) => String::new(),
        };
        Ok(Self {
            action,
            by: caller.because(&how.reason),
            reason: how.reason,
            to,
        })
    }

    /// Where an item may stand for it.
    fn places(&self) -> &'static [PlaceName] {
        match self.action {
            Action::Hold => &[PlaceName::Scheduled],
            Action::Release => &[PlaceName::Held],
            Action::Retry => &[PlaceName::Dead, PlaceName::Held],
            Action::Discard => &[
                PlaceName::Scheduled,
                PlaceName::Awaiting,
                PlaceName::Held,
                PlaceName::Dead,
            ],
            Action::Redirect => &[PlaceName::Scheduled, PlaceName::Held, PlaceName::Dead],
        }
    }

    /// Carries it out for those items that it is for.
    async fn carry_out_all(
        self,
        parts: &Shared,
        mut items: Vec<OutboxItem>,
    ) -> Vec<(ItemId, Result<(), ApiError>)> {
        items.retain(|item| self.places().contains(&item.place.name()));
        // What is redirected must come into its new queue in its order.
        let at_once = if self.action == Action::Redirect {
            1
        } else {
            SETTLED_AT_ONCE
        };
        let order = Arc::new(self);
        let settling = items.into_iter().map(|item| {
            let (order, parts) = (Arc::clone(&order), Arc::clone(parts));
            async move { (item.id, order.carry_out(&parts, &item).await) }
        });
        stream::iter(settling).buffered(at_once).collect().await
    }

    async fn carry_out(&self, parts: &Shared, item: &OutboxItem) -> Result<(), ApiError> {
        let place = item.place.name();
        if !self.places().contains(&place) {
            return Err(self.not_for(&format!("item {}, which is {}", item.id.0, place_name(place))));
        }
        let now = parts.clock.now();
        let settle = |settle| parts.store.commit(Batch::new(now).settle(item.id, settle));
        let committed = match self.action {
            Action::Hold => settle(Settle::Hold { by: self.by.clone() }).await?,
            Action::Release | Action::Retry => settle(Settle::Release { due: now }).await?,
            Action::Discard => parts.relay.discard(item, &self.reason).await.map_err(refused)?,
            Action::Redirect => parts.relay.redirect(item, &self.to).await.map_err(refused)?,
        };
        match committed {
            Committed::Done => {
                parts.relay.has_work();
                Ok(())
            }
            Committed::LeaseLost(_) | Committed::Conflict { .. } | Committed::Fenced(_) => Err(
                ApiError::Conflict(format!("item {} moved meanwhile; look at it again", item.id.0)),
            ),
        }
    }

    fn not_for(&self, what: &str) -> ApiError {
        let places: Vec<_> = self.places().iter().map(|place| place_name(*place)).collect();
        ApiError::Conflict(format!(
            "this is not for {what}; it is for items that are {}",
            places.join(", ")
        ))
    }
}

/// Items of one call; a caller comes again for the rest.
const MAX_AT_ONCE: usize = 500;
/// Items whose settlements share a commit.
const SETTLED_AT_ONCE: usize = 32;
