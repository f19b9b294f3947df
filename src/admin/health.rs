//! The probes of orchestrators and load balancers, on a listener of their own, without a token and without detail.

use std::sync::Arc;

use axum::{Router, extract::State, http::StatusCode, routing::get};

use super::NotReady;
use crate::{
    store::{Space, Store},
    telemetry::Clock,
};

#[derive(Clone)]
struct Probes {
    store: Arc<dyn Store>,
    clock: Clock,
    not_ready: NotReady,
}

/// `/healthz` (the process answers) and `/readyz` (the store answers and nothing else speaks against traffic), to be served
/// by a listener.
pub fn probes(store: Arc<dyn Store>, clock: Clock, not_ready: NotReady) -> Router {
    let probes = Probes {
        store,
        clock,
        not_ready,
    };
    Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .with_state(probes)
}

async fn ready(State(probes): State<Probes>) -> (StatusCode, String) {
    let mut reasons = (probes.not_ready)();
    if let Err(error) = probes.store.row(Space::Meta, "probe", probes.clock.now()).await {
        reasons.push(error.to_string());
    }
    if reasons.is_empty() {
        return (StatusCode::OK, "ready\n".into());
    }
    (StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n")
}
