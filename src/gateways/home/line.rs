//! The line to the relay: a subscriber's request, on its way like any peer's.
//!
//! A request runs in a task of its own, because the relay must not be cut off halfway when a device hangs up. Errands are
//! requests that nobody waits for: first notifications, subscriptions at login. Their number at once is bounded.

use std::sync::{Arc, OnceLock, Weak};

use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;

use super::HomeDomain;
use crate::{
    model::{Domain, Outcome, Protocol, Refusal, Request, StepEvent, Stop, Trail, TrailId},
    relay::{Ingress, Relay, RequestKey, Side, Underway},
};

/// Where requests go once the relay is joined.
#[derive(Default)]
pub(crate) struct Line(OnceLock<Handle>);

/// Carries out one request.
pub(crate) type Handle = Box<dyn Fn(Ingress, Request) -> BoxFuture<'static, Outcome> + Send + Sync>;

impl Line {
    /// Joins the relay; a second call changes nothing.
    pub(crate) fn connect(&self, relay: Weak<Relay>) {
        self.connect_to(Box::new(move |ingress, request| {
            let relay = relay.upgrade();
            Box::pin(async move {
                match relay {
                    Some(relay) => relay.handle(ingress, request).await,
                    None => Err(not_joined()),
                }
            })
        }));
    }

    pub(crate) fn connect_to(&self, handle: Handle) {
        let _ = self.0.set(handle);
    }
}

impl HomeDomain {
    /// Hands a subscriber's request to the relay and waits for its outcome.
    ///
    /// # Cancel safety
    /// The request goes on when the future is dropped.
    pub(crate) async fn ask(&self, domain: &Domain, key: Option<RequestKey>, request: Request) -> Outcome {
        let Some(handle) = self.line.0.get() else {
            return Err(not_joined());
        };
        if !self.is_ours() {
            return Err(elsewhere());
        }
        let now = self.clock.now();
        // Trail IDs name requests in logs; they are no secret.
        let trail = Arc::new(Trail::new(TrailId(fastrand::u64(..)), now));
        trail.add(
            now,
            Stop::Listen,
            StepEvent::Received {
                request: request.name().to_owned(),
                service: request.service(),
                from: "home".into(),
                protocol: Protocol::Home.name().into(),
                sender: request.sender().cloned(),
                recipients: request.concerns(),
            },
        );
        let ingress = Ingress {
            side: Side::Home {
                domain: domain.clone(),
            },
            protocol: Protocol::Home,
            key,
            via: Vec::new(),
            trail,
        };
        tokio::spawn(handle(ingress, request))
            .await
            .unwrap_or_else(|error| {
                Err(Refusal::Internal {
                    reason: format!("the request ended early: {error}"),
                })
            })
    }
}

/// Requests that nobody waits for.
pub(crate) struct Errands {
    at_once: Arc<Semaphore>,
    underway: Underway,
}

impl Default for Errands {
    fn default() -> Self {
        Self {
            at_once: Arc::new(Semaphore::new(AT_ONCE)),
            underway: Underway::default(),
        }
    }
}

impl Errands {
    /// Runs an errand as soon as there is room.
    pub(crate) fn run(&self, errand: impl Future<Output = ()> + Send + 'static) {
        let underway = self.underway.begin();
        let at_once = Arc::clone(&self.at_once);
        tokio::spawn(async move {
            let _underway = underway;
            let Ok(_room) = at_once.acquire().await else {
                return;
            };
            errand.await;
        });
    }

    /// Those that have not ended.
    pub(crate) fn underway(&self) -> &Underway {
        &self.underway
    }
}

/// The refusal of a home domain that another node has, or may have.
pub(super) fn elsewhere() -> Refusal {
    Refusal::StoreUnavailable {
        reason: "another node has the home domain now, or is about to".into(),
    }
}

fn not_joined() -> Refusal {
    Refusal::Internal {
        reason: "the home domain is not joined to the relay".into(),
    }
}

const AT_ONCE: usize = 64;
