//! What subscribers ask, at whichever node: carried out where the home domain is, their streams among it.
//!
//! The request is read whole before it is passed on, within the bound of its size, so that it can be asked again of the next
//! holder. A stream that comes from another node ends when that no longer has the home domain, or this node stops: the device
//! connects again, names the last event that it saw, and is led to the next one.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::State,
    http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header},
    middleware::map_response,
    response::IntoResponse,
    routing::any,
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body_util::BodyExt as _;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use tokio::time::{Instant, timeout};

use super::{
    super::api::{Problem, never_stored},
    ForHolder, HomeSeat, nobody,
};
use crate::cluster::{Member, PassedBody};

impl HomeSeat {
    /// The subscriber API, to be served by a listener.
    pub fn api(self: &Arc<Self>) -> Router {
        match (&self.cluster, self.opened()) {
            (None, Some(opened)) => opened.api.clone(),
            (Some(_), _) | (None, None) => Router::new()
                .fallback(serve)
                .layer(map_response(never_stored))
                .with_state(Arc::downgrade(self)),
        }
    }

    /// What other nodes pass on, to be served by the listener of nodes.
    pub fn passed_on(self: &Arc<Self>) -> Router {
        let carried_out = any(serve_passed).with_state(Arc::downgrade(self));
        Router::new().nest_service(SUBSCRIBERS, carried_out)
    }

    /// Passes a request on to the node that has the home domain; `None` when it is not there, and has to be looked for again.
    ///
    /// # Errors
    /// The other node may have done what was asked.
    pub async fn pass_on(
        &self,
        to: &Member,
        request: Request<Bytes>,
    ) -> Result<Option<Response<PassedBody>>, String> {
        let Some(cluster) = &self.cluster else {
            return Ok(None);
        };
        let passed = timeout(LONGEST, cluster.pass_on(to, "home", request)).await;
        match passed {
            Ok(Ok(answer)) if answer.status() != StatusCode::MISDIRECTED_REQUEST => Ok(Some(answer)),
            Ok(Ok(_)) => {
                self.was_not_at(to).await;
                Ok(None)
            }
            Ok(Err(error)) if error.was_not_done() => {
                self.was_not_at(to).await;
                Ok(None)
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("the node {} did not answer in time", to.node)),
        }
    }

    async fn serve_here(&self, request: Request<Body>) -> Option<Response<Body>> {
        // Counted before it is looked for, so that it is not handed over in between.
        let _underway = self.underway.begin();
        let opened = self.serving()?;
        let answer = TowerToHyperService::new(opened.api.clone()).call(request).await;
        Some(answer.unwrap_or_else(|never| match never {}))
    }

    /// A request with its body, and those headers that the API reads.
    async fn whole(&self, request: Request<Body>) -> Result<Request<Bytes>, Problem> {
        let limit = usize::try_from(self.config.limits.max_body.0).unwrap_or(usize::MAX);
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, limit).await;
        let body = body.map_err(|_| Problem::new(413, 538, "too-large", "the request is too large"))?;
        let mut whole = Request::new(body);
        *whole.method_mut() = parts.method;
        *whole.uri_mut() = parts.uri;
        for name in READ {
            if let Some(value) = parts.headers.get(&name) {
                whole.headers_mut().insert(name, value.clone());
            }
        }
        Ok(whole)
    }

    async fn serve_there(&self, request: Request<Bytes>, until: Instant) -> Response<Body> {
        while let Ok(holder) = self.holder(until).await {
            let member = match holder {
                ForHolder::Here(_) => match self.serve_here(request.clone().map(Body::from)).await {
                    Some(answer) => return answer,
                    None => continue,
                },
                ForHolder::There(member) => member,
            };
            let mut passed = request.clone();
            let Some(uri) = under_prefix(request.uri()) else {
                break;
            };
            *passed.uri_mut() = uri;
            match self.pass_on(&member, passed).await {
                Ok(Some(answer)) => return self.answered(&member, answer),
                Ok(None) => {}
                // Nothing is done twice by looking twice.
                Err(_) if request.method() == Method::GET => self.was_not_at(&member).await,
                Err(reason) => {
                    tracing::info!(reason, "a subscriber's request was lost between nodes");
                    break;
                }
            }
        }
        unavailable()
    }

    fn answered(&self, member: &Member, answer: Response<PassedBody>) -> Response<Body> {
        let is_stream = answer
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        if !is_stream {
            return answer.map(Body::new);
        }
        let (mut places, mut ending) = (self.place.subscribe(), self.is_ending.subscribe());
        let holder = member.worker();
        let is_over = async move {
            tokio::select! {
                _ = places.wait_for(|place| !place.is_at(&holder)) => {}
                _ = ending.wait_for(|is_ending| *is_ending) => {}
            }
        };
        answer.map(|body| Body::from_stream(body.into_data_stream().take_until(Box::pin(is_over))))
    }
}

/// A connection that stays open keeps nothing of this node alive.
async fn serve(State(seat): State<Weak<HomeSeat>>, request: Request<Body>) -> Response<Body> {
    let Some(seat) = seat.upgrade() else {
        return unavailable();
    };
    let until = Instant::now() + HomeSeat::PATIENCE;
    let is_here = matches!(seat.holder(until).await, Ok(ForHolder::Here(_)));
    if is_here {
        return seat.serve_here(request).await.unwrap_or_else(unavailable);
    }
    match seat.whole(request).await {
        Ok(request) => seat.serve_there(request, until).await,
        Err(problem) => problem.into_response(),
    }
}

async fn serve_passed(State(seat): State<Weak<HomeSeat>>, request: Request<Body>) -> Response<Body> {
    let not_here = || StatusCode::MISDIRECTED_REQUEST.into_response();
    match seat.upgrade() {
        Some(seat) => seat.serve_here(request).await.unwrap_or_else(not_here),
        None => not_here(),
    }
}

fn unavailable() -> Response<Body> {
    let mut answer = Problem::from(nobody()).into_response();
    let headers = answer.headers_mut();
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}

fn under_prefix(uri: &Uri) -> Option<Uri> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    format!("{SUBSCRIBERS}{path}").parse().ok()
}

/// Before the path of what subscribers ask, between nodes.
const SUBSCRIBERS: &str = "/subscribers";
/// The headers that the API reads.
const READ: [HeaderName; 4] = [
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    header::ACCEPT,
    HeaderName::from_static("last-event-id"),
];
/// For an answer's head; the relay's own bounds are shorter, an import of many accounts takes long.
const LONGEST: Duration = Duration::from_secs(300);
