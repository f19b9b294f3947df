//! The subscriber API: JSON over HTTP with bearer tokens, and server-sent events. `openapi.json` describes it.
//!
//! The listener, with TLS, is `app.rs`'s. Bodies, requests a minute, wrong passwords, devices and streams are bounded;
//! every error is `{"error": {"code", "status", "text"}}` with the IMPS status. A token only ever reaches its own
//! subscriber's data: no path names the subscriber.

mod body;
mod caller;
mod contacts;
mod events;
mod groups;
mod invitations;
mod me;
mod messages;
mod people;
mod presence;
mod problem;
mod session;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{HeaderValue, header},
    middleware::map_response,
    response::Response,
    routing::{delete, get, patch, post, put},
};

pub(super) use self::problem::Problem;
use super::HomeDomain;

impl HomeDomain {
    /// The subscriber API, to be served by a listener.
    pub fn api(self: &Arc<Self>) -> Router {
        let limit = usize::try_from(self.config.limits.max_body.0).unwrap_or(usize::MAX);
        Router::new()
            .route("/v1/openapi.json", get(openapi))
            .route("/v1/login", post(session::log_in))
            .route("/v1/logout", post(session::log_out))
            .route("/v1/devices", get(session::devices))
            .route("/v1/devices/{device}", delete(session::remove_device))
            .route("/v1/me", get(me::show).patch(me::change))
            .route("/v1/me/password", put(me::change_password))
            .route("/v1/search", post(contacts::search))
            .route("/v1/contacts", get(contacts::list).post(contacts::add))
            .route(
                "/v1/contacts/{address}",
                patch(contacts::rename).delete(contacts::remove),
            )
            .route("/v1/presence", get(presence::list).put(presence::set))
            .route("/v1/presence/{address}", get(presence::look))
            .route("/v1/subscriptions", get(presence::subscriptions))
            .route(
                "/v1/subscriptions/{address}",
                put(presence::subscribe).delete(presence::unsubscribe),
            )
            .route("/v1/watchers", get(people::watchers))
            .route("/v1/grants", get(people::grants))
            .route("/v1/grants/{address}", put(people::grant).delete(people::revoke))
            .route("/v1/blocks", get(people::blocks))
            .route("/v1/blocks/{address}", put(people::block).delete(people::unblock))
            .route("/v1/messages", post(messages::send))
            .route("/v1/inbox", get(messages::inbox))
            .route("/v1/inbox/{id}/ack", post(messages::acknowledge))
            .route("/v1/invitations", post(invitations::invite))
            .route("/v1/invitations/{id}/answer", post(invitations::answer))
            .route("/v1/invitations/{id}/cancel", post(invitations::cancel))
            .route("/v1/groups", get(groups::list).post(groups::open))
            .route(
                "/v1/groups/{group}",
                get(groups::look).patch(groups::change).delete(groups::end),
            )
            .route("/v1/groups/{group}/join", post(groups::join))
            .route("/v1/groups/{group}/leave", post(groups::leave))
            .route("/v1/groups/{group}/invitations", post(groups::invite))
            .route("/v1/groups/{group}/members/{address}", delete(groups::remove))
            .route("/v1/groups/{group}/rejects", get(groups::rejects))
            .route(
                "/v1/groups/{group}/rejects/{address}",
                put(groups::reject).delete(groups::reject_no_more),
            )
            .route("/v1/events", get(events::events))
            .fallback(no_such_path)
            .method_not_allowed_fallback(no_such_method)
            .layer(DefaultBodyLimit::max(limit))
            .layer(map_response(never_stored))
            .with_state(Arc::clone(self))
    }
}

/// Answers hold tokens and what people write: no cache keeps them.
pub(super) async fn never_stored(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn openapi() -> ([(header::HeaderName, &'static str); 1], &'static str) {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI)
}

async fn no_such_path() -> Problem {
    Problem::new(
        404,
        404,
        "no-such-path",
        "there is no such path; see /v1/openapi.json",
    )
}

async fn no_such_method() -> Problem {
    Problem::new(
        405,
        405,
        "no-such-method",
        "the path does not take that method; see /v1/openapi.json",
    )
}

/// The description of the API; a test compares it with the routes.
pub(crate) const OPENAPI: &str = include_str!("openapi.json");
