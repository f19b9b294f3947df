//! The routes of the admin API, the console and `/metrics`. The listener is `app.rs`'s.

use std::{net::IpAddr, sync::Arc};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};

use super::{
    AdminParts, Role, accounts, agreement,
    answer::{Answer, Shared},
    cache, console,
    error::ApiError,
    guard, members, overrides, peer, queue, route, settle, system, trace,
};
use crate::telemetry::RoutingCounts;

/// The admin API, the console and `/metrics`, to be served by a listener at this address.
pub fn admin_api(mut parts: AdminParts, address: IpAddr) -> Router {
    let name = match address {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    parts.hosts.push(name);
    if address.is_loopback() {
        parts.hosts.push("localhost".into());
    }
    routes(Arc::new(parts), address.is_loopback())
}

fn routes(parts: Shared, is_loopback: bool) -> Router {
    let api = Router::new()
        .route("/api/v1/openapi.json", get(openapi))
        .route("/api/v1/status", get(system::status))
        .route("/api/v1/route", get(route::ask))
        .route("/api/v1/cache", get(cache::list).delete(cache::flush))
        .route("/api/v1/trace", get(trace::find))
        .route("/api/v1/follow", get(trace::followed).post(trace::follow))
        .route("/api/v1/nodes", get(members::list))
        .route("/api/v1/peers", get(peer::list))
        .route("/api/v1/peers/{peer}", get(peer::show))
        .route("/api/v1/peers/{peer}/suspend", post(peer::suspend))
        .route("/api/v1/peers/{peer}/resume", post(peer::resume))
        .route("/api/v1/peers/{peer}/reconnect", post(peer::reconnect))
        .route("/api/v1/agreements", get(agreement::list))
        .route("/api/v1/agreements/{peer}", get(agreement::show))
        .route("/api/v1/queues", get(queue::counts))
        .route("/api/v1/items", get(queue::list))
        .route("/api/v1/items/{id}", get(queue::show))
        .route("/api/v1/queues/{queue}/hold", post(queue::hold))
        .route("/api/v1/queues/{queue}/release", post(queue::release))
        .route("/api/v1/items/settle", post(settle::many))
        .route("/api/v1/items/{id}/hold", post(settle::hold))
        .route("/api/v1/items/{id}/release", post(settle::release))
        .route("/api/v1/items/{id}/retry", post(settle::retry))
        .route("/api/v1/items/{id}/discard", post(settle::discard))
        .route("/api/v1/items/{id}/redirect", post(settle::redirect))
        .route(
            "/api/v1/overrides",
            get(overrides::list)
                .post(overrides::add)
                .delete(overrides::remove),
        )
        .route("/api/v1/accounts", get(accounts::list).post(accounts::add))
        .route(
            "/api/v1/accounts/{number}",
            get(accounts::show).delete(accounts::remove),
        )
        .route("/api/v1/accounts/{number}/close", post(accounts::close))
        .route("/api/v1/accounts/{number}/open", post(accounts::open))
        .route("/api/v1/accounts/{number}/password", post(accounts::password))
        .route("/api/v1/tokens", get(system::tokens).post(system::create_token))
        .route("/api/v1/tokens/{id}", delete(system::revoke_token))
        .route("/api/v1/audit", get(system::audit))
        .route("/api/v1/reload", post(system::reload))
        .layer(from_fn_with_state(Arc::clone(&parts), guard::api));
    let metrics = if is_loopback {
        get(metrics)
    } else {
        get(metrics_with_token)
    };
    Router::new()
        .merge(api)
        .route("/metrics", metrics)
        .route("/", get(console::page))
        .route("/console.js", get(console::script))
        .route("/console.css", get(console::style))
        .route("/icon.svg", get(console::icon))
        .fallback(nowhere)
        .layer(from_fn_with_state(Arc::clone(&parts), guard::host))
        .with_state(parts)
}

async fn openapi() -> Answer {
    serde_json::from_str(OPENAPI)
        .map(Json)
        .map_err(|error| ApiError::Failed(error.to_string()))
}

async fn nowhere() -> Response {
    ApiError::NotFound("there is no such path; see /api/v1/openapi.json".into()).into_response()
}

async fn metrics_with_token(State(parts): State<Shared>, headers: HeaderMap) -> Response {
    match guard::authorise(&parts, &headers, Role::Read).await {
        Ok(_) => metrics(State(parts)).await,
        Err(error) => error.into_response(),
    }
}

async fn metrics(State(parts): State<Shared>) -> Response {
    let now = parts.clock.now();
    let metrics = &parts.metrics;
    let stats = parts.router.stats();
    metrics.routing(RoutingCounts {
        queries: stats.queries,
        derived: stats.derived,
        temporary: stats.temporary,
        stale: stats.stale,
        refreshed: stats.refreshed,
        conflicts: stats.conflicts,
        facts: stats.facts,
        fact_octets: stats.fact_octets,
        numbers: stats.numbers,
        domains: stats.domains,
    });
    metrics.dropped_trails(parts.trails.dropped());
    metrics.clear_peers();
    for state in parts.board.peers() {
        metrics.peer(
            state.peer.as_str(),
            state.open_sessions(),
            state.suspended.is_some(),
        );
        if let Some(pace) = state.pace {
            metrics.pace(state.peer.as_str(), pace.most_in_flight, pace.per_second);
        }
    }
    // Without the store the other metrics are all the more wanted.
    if let Ok(counts) = parts.store.counts().await {
        metrics.clear_queues();
        for count in counts {
            let place = queue::place_name(count.place);
            metrics.queue(&count.queue, place, count.count, count.oldest.until(now));
        }
        for held in parts.relay.held_queues() {
            metrics.held_queue(&held.queue);
        }
    }
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    (StatusCode::OK, [(header::CONTENT_TYPE, kind)], metrics.text()).into_response()
}

/// The description of the API, version 3.1 of OpenAPI.
pub(super) const OPENAPI: &str = include_str!("openapi.json");
