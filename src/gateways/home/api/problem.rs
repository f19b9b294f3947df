//! Errors as subscribers' devices get them.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::super::status::told;
use crate::model::Refusal;

/// An error: `{"error": {"code", "status", "text"}}`.
#[derive(Debug)]
pub(crate) struct Problem {
    http: StatusCode,
    error: ErrorView,
    retry_after: Option<u64>,
}

/// An error in JSON, also where it concerns one recipient of many.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ErrorView {
    /// A word that stays the same.
    pub(crate) code: &'static str,
    /// The IMPS status.
    pub(crate) status: u16,
    /// A sentence.
    pub(crate) text: String,
}

impl Problem {
    pub(crate) fn new(http: u16, status: u16, code: &'static str, text: impl Into<String>) -> Self {
        Self {
            http: StatusCode::from_u16(http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            error: ErrorView {
                code,
                status,
                text: text.into(),
            },
            retry_after: None,
        }
    }

    /// A request that can't be read.
    pub(crate) fn bad(text: impl Into<String>) -> Self {
        Self::new(400, 400, "bad-request", text)
    }
}

impl From<&Refusal> for ErrorView {
    /// What the subscriber did wrong is said in full; what others did, or we, in the words of the table.
    fn from(refusal: &Refusal) -> Self {
        let told = told(refusal);
        let text = if let Refusal::BadRequest { reason } = refusal {
            reason.clone()
        } else if matches!(told.code, "invalid-address" | "too-large" | "media-type") {
            refusal.to_string()
        } else {
            told.text.to_owned()
        };
        Self {
            code: told.code,
            status: told.status,
            text,
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let told = told(&refusal);
        if told.http >= 500 {
            tracing::info!(refusal = refusal.masked(), "a subscriber's request failed");
        }
        let retry_after = if let Refusal::RateExceeded { retry_after, .. } = &refusal {
            Some(retry_after.as_secs().max(1))
        } else {
            None
        };
        Self {
            http: StatusCode::from_u16(told.http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            error: ErrorView::from(&refusal),
            retry_after,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Envelope {
            error: ErrorView,
        }
        let mut response = (self.http, Json(Envelope { error: self.error })).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.http == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
