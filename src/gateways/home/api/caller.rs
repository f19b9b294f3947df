//! Who calls: the subscriber and device of the bearer token, within the rate.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, Path},
    http::{header, request::Parts},
};

use super::{
    super::{HomeDomain, subscriber::Subscriber},
    problem::Problem,
};
use crate::model::WvAddress;

/// The authenticated subscriber.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) subscriber: Arc<Subscriber>,
    pub(crate) device: String,
}

impl FromRequestParts<Arc<HomeDomain>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, home: &Arc<HomeDomain>) -> Result<Self, Problem> {
        let text = parts
            .headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let token = text.and_then(|text| {
            let (scheme, token) = text.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        let Some(token) = token else {
            return Err(Problem::new(
                401,
                401,
                "no-token",
                "log in first, and send the token as Authorization: Bearer",
            ));
        };
        let Some((subscriber, device)) = home.authenticate(token) else {
            return Err(Problem::new(
                401,
                604,
                "bad-token",
                "the token is not valid, or not any more; log in again",
            ));
        };
        subscriber.state().rate.take(home.clock.now())?;
        Ok(Self { subscriber, device })
    }
}

/// The address at the end of a path, percent-decoded; a user name alone is of the caller's own domain.
#[derive(Debug)]
pub(crate) struct Person(pub(crate) String);

impl Person {
    pub(crate) fn read(&self, home: &HomeDomain, caller: &Caller) -> Result<WvAddress, Problem> {
        Ok(home.read_address(&caller.subscriber, &self.0)?)
    }
}

impl FromRequestParts<Arc<HomeDomain>> for Person {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, home: &Arc<HomeDomain>) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, home).await;
        path.map(|Path(text)| Self(text))
            .map_err(|error| Problem::bad(error.body_text()))
    }
}
