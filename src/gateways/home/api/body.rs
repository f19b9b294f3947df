//! Bodies and queries of requests: strict JSON, bounded, with errors in the API's own shape.

use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Query, Request, rejection::JsonRejection},
    http::{StatusCode, request::Parts},
};
use serde::{Serialize, de::DeserializeOwned};

use super::problem::{ErrorView, Problem};
use crate::model::{Acceptance, RecipientOutcome, Refusal};

/// A JSON body.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(JsonRejection::MissingJsonContentType(_)) => Err(Problem::new(
                415,
                415,
                "media-type",
                "send JSON, with Content-Type: application/json",
            )),
            Err(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                Err(Problem::new(413, 538, "too-large", "the request is too large"))
            }
            Err(error) => Err(Problem::bad(error.body_text())),
        }
    }
}

/// The query of a request's path.
#[derive(Debug)]
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query
            .map(|Query(query)| Self(query))
            .map_err(|error| Problem::bad(error.body_text()))
    }
}

/// What became of a request for one person.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct OutcomeView {
    /// `taken`: his side has it; `stored`: it is kept and will be delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorView>,
}

impl From<&Result<Acceptance, Refusal>> for OutcomeView {
    fn from(outcome: &Result<Acceptance, Refusal>) -> Self {
        let accepted = outcome.as_ref().ok().map(|acceptance| match acceptance {
            Acceptance::Taken => "taken",
            Acceptance::Stored => "stored",
        });
        let error = outcome.as_ref().err().map(ErrorView::from);
        Self { accepted, error }
    }
}

/// What became of a request for one of several people.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RecipientView {
    address: String,
    #[serde(flatten)]
    outcome: OutcomeView,
}

impl From<&RecipientOutcome> for RecipientView {
    fn from(one: &RecipientOutcome) -> Self {
        Self {
            address: one.recipient.to_string(),
            outcome: OutcomeView::from(&one.outcome),
        }
    }
}
