//! Looking into the caches of routing, and flushing them.

use axum::{Json, extract::State};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    answer::{Answer, Asked, Shared, with_plus},
    error::ApiError,
    nodes,
};
use crate::{
    model::E164,
    routing::{CacheFilter, EntryKind, EntryState, typed_address},
};

/// Which entries; `all=true` must be said to flush without a condition.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Wanted {
    number: Option<String>,
    prefix: Option<String>,
    domain: Option<String>,
    state: Option<EntryState>,
    kind: Option<EntryKind>,
    limit: Option<usize>,
    all: bool,
    #[serde(rename = "unmask")]
    _unmask: bool,
}

impl Wanted {
    pub(super) fn filter(&self) -> Result<CacheFilter, ApiError> {
        if self.number.is_some() && self.prefix.is_some() {
            let text = "number is one number, prefix the beginning of many: give one of them";
            return Err(ApiError::BadRequest(text.into()));
        }
        let prefix = self
            .prefix
            .as_ref()
            .map(|text| {
                with_plus(text)
                    .replace([' ', '-', '.', '(', ')', '/'], "")
                    .parse()
            })
            .transpose()
            .map_err(|error: crate::routing::InvalidPrefix| ApiError::BadRequest(error.to_string()))?;
        let domain = self.domain.as_ref().map(|text| text.parse()).transpose();
        Ok(CacheFilter {
            number: self.number.as_deref().map(whole_number).transpose()?,
            prefix,
            domain: domain
                .map_err(|error: crate::model::InvalidDomain| ApiError::BadRequest(error.to_string()))?,
            state: self.state,
            kind: self.kind,
        })
    }

    fn has_condition(&self) -> bool {
        self.number.is_some()
            || self.prefix.is_some()
            || self.domain.is_some()
            || self.state.is_some()
            || self.kind.is_some()
    }
}

/// A number that somebody may have; the beginning of numbers is asked for by `prefix`.
fn whole_number(text: &str) -> Result<E164, ApiError> {
    let read = typed_address(&with_plus(text)).map_err(|error| error.to_string());
    let number = read.and_then(|address| {
        address
            .number()
            .cloned()
            .ok_or_else(|| format!("{text:?} is no number"))
    });
    match number {
        Ok(number) if number.digits().len() >= SHORTEST => Ok(number),
        Ok(number) => Err(ApiError::BadRequest(format!(
            "{number} is no whole number; prefix asks for all that begin so"
        ))),
        Err(error) => Err(ApiError::BadRequest(error)),
    }
}

pub(super) async fn list(State(parts): State<Shared>, Asked(wanted): Asked<Wanted>) -> Answer {
    let limit = wanted.limit.unwrap_or(100).min(MAX_ENTRIES);
    let mut entries = parts
        .router
        .cache_entries(wanted.filter()?, limit, parts.clock.now())
        .await;
    entries.sort_by(|one, other| (one.kind, &one.name).cmp(&(other.kind, &other.name)));
    Ok(Json(json!({ "entries": entries, "stats": parts.router.stats() })))
}

pub(super) async fn flush(State(parts): State<Shared>, Asked(wanted): Asked<Wanted>) -> Answer {
    if !wanted.has_condition() && !wanted.all {
        let text = "nothing says what to flush: give number, prefix, domain, state or kind, or all=true";
        return Err(ApiError::BadRequest(text.into()));
    }
    let filter = wanted.filter()?;
    // Written down first: a node that is not told finds it there.
    let order = match &parts.cluster {
        Some(_) => parts.flushes.order(&wanted).await?,
        None => Bytes::new(),
    };
    let count = parts.router.flush_cache(filter, parts.clock.now()).await;
    let unreached = nodes::tell(parts.cluster.as_ref(), nodes::FLUSH, order).await;
    Ok(Json(match unreached.as_slice() {
        [] => json!({ "flushed": count }),
        nodes => json!({ "flushed": count, "unreached_nodes": nodes }),
    }))
}

const MAX_ENTRIES: usize = 10_000;
/// No country has shorter numbers, country code included: +290 and +683 have the shortest.
const SHORTEST: usize = 7;
