//! What subscribers, operators and probes ask over HTTP: routes behind the same listener that peers meet.
//!
//! A body has to come within a time, counted from the request's header, so that a client that sends an octet now and then
//! holds nothing up; its size is for the routes to bound.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{Router, body::Body, http::StatusCode, response::IntoResponse};
use bytes::Bytes;
use hyper::{
    Request, Response,
    body::{Frame, Incoming, SizeHint},
    header::{CONNECTION, HeaderValue},
    service::Service,
};
use hyper_util::service::TowerToHyperService;
use tokio::time::Sleep;

use crate::gateways::ssp::server::{Connection, Exchange, TurnedAway};

/// Routes, as a listener serves them.
pub(super) struct Web {
    /// The section whose settings bound the listener; names it in the log.
    pub(super) section: &'static str,
    /// Where requests go.
    pub(super) routes: Router,
    /// For a whole body.
    pub(super) patience: Duration,
}

impl Exchange for Web {
    type Body = Body;

    async fn answer(&self, _: Arc<Connection>, request: Request<Incoming>) -> Response<Body> {
        let is_late = Arc::new(AtomicBool::new(false));
        let request = request.map(|body| InTime {
            body,
            end: Box::pin(tokio::time::sleep(self.patience)),
            is_late: Arc::clone(&is_late),
        });
        let answer = TowerToHyperService::new(self.routes.clone()).call(request).await;
        let answer = answer.unwrap_or_else(|never| match never {});
        if is_late.load(Ordering::Relaxed) {
            late()
        } else {
            answer
        }
    }

    fn turned_away(&self, source: SocketAddr, reason: &TurnedAway) {
        let section = self.section;
        match reason {
            TurnedAway::TlsOnPlainPort | TurnedAway::Silent | TurnedAway::Tls(_) => {
                tracing::debug!(%source, %reason, section, "a connection was turned away");
            }
            TurnedAway::TooManyConnections | TurnedAway::TooManyFromSource | TurnedAway::Request(_) => {
                tracing::warn!(%source, %reason, section, "a connection was turned away");
            }
        }
    }
}

/// A body that has to come in time.
struct InTime {
    body: Incoming,
    end: Pin<Box<Sleep>>,
    is_late: Arc<AtomicBool>,
}

impl hyper::body::Body for InTime {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Broken)));
        }
        ready!(this.end.as_mut().poll(context));
        this.is_late.store(true, Ordering::Relaxed);
        Poll::Ready(Some(Err(BodyError::Late)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Why a body can't be read.
#[derive(Debug, thiserror::Error)]
enum BodyError {
    /// The connection broke.
    #[error("the body broke off: {0}")]
    Broken(hyper::Error),
    /// The client is too slow.
    #[error("the body did not come in time")]
    Late,
}

/// What is left of the body is not read.
fn late() -> Response<Body> {
    let mut answer = (StatusCode::REQUEST_TIMEOUT, "the body did not come in time\n").into_response();
    answer
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}
