//! The probes of orchestrators and load balancers, on a listener of their own, without a token and without detail.

use std::sync::Arc;

use axum::{Router, extract::State, http::StatusCode, routing::get};

use super::NotReady;
use crate::{
    store::{Space, Store, StoreError},
    telemetry::Clock,
};

#[derive(Clone)]
struct Probes {
    store: Arc<dyn Store>,
    clock: Clock,
    not_ready: NotReady,
    goes_on: GoesOn,
}

/// Whether some messages are taken even while the store that nodes share is away.
pub type GoesOn = Arc<dyn Fn() -> bool + Send + Sync>;

/// `/healthz` (the process answers) and `/readyz` (the store answers and nothing else speaks against traffic), to be served
/// by a listener. A node that goes on without its store is ready, and says what it lacks.
pub fn probes(store: Arc<dyn Store>, clock: Clock, not_ready: NotReady, goes_on: GoesOn) -> Router {
    let probes = Probes {
        store,
        clock,
        not_ready,
        goes_on,
    };
    Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .with_state(probes)
}

async fn ready(State(probes): State<Probes>) -> (StatusCode, String) {
    let mut reasons = (probes.not_ready)();
    match probes.store.row(Space::Meta, "probe", probes.clock.now()).await {
        Ok(_) => {}
        Err(error @ StoreError::Away { .. }) if reasons.is_empty() && (probes.goes_on)() => {
            let text = format!("ready for peers with degraded = \"carry\" only: {error}\n");
            return (StatusCode::OK, text);
        }
        Err(error) => reasons.push(error.to_string()),
    }
    if reasons.is_empty() {
        return (StatusCode::OK, "ready\n".into());
    }
    (StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n")
}
