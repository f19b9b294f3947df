//! How arguments are read: queries, bodies and paths whose mistakes become clear JSON errors.

use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Query, Request},
    http::request::Parts,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{AdminParts, error::ApiError};
use std::sync::Arc;

/// What every handler holds.
pub(super) type Shared = Arc<AdminParts>;

/// What every handler returns.
pub(super) type Answer = Result<Json<Value>, ApiError>;

/// The query of a call.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(asked)| Self(asked))
            .map_err(|error| ApiError::BadRequest(format!("the query can't be read: {error}")))
    }
}

/// The JSON body of a call, which the guard has read and bounded; an empty one counts as `{}`.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let bytes = axum::body::to_bytes(request.into_body(), usize::MAX)
            .await
            .map_err(|error| ApiError::BadRequest(format!("the body can't be read: {error}")))?;
        let bytes = if bytes.is_empty() {
            b"{}".as_slice()
        } else {
            &bytes
        };
        serde_json::from_slice(bytes)
            .map(Self)
            .map_err(|error| ApiError::BadRequest(format!("the body can't be read: {error}")))
    }
}

/// A value as JSON.
pub(super) fn json(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

/// A number or address from a query, where `+` may have become a space.
pub(super) fn with_plus(text: &str) -> String {
    match text.strip_prefix(' ') {
        Some(rest) => format!("+{rest}"),
        None => text.replace("wv: ", "wv:+"),
    }
}
