//! Every call of the API in one table: method, path, the role that it needs, and what it is for.
//!
//! The guard reads it for each request, so a route that is missing here answers nobody; a test compares it with
//! `openapi.json`.

use axum::http::Method;

use super::Role;

/// A call.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) role: Role,
}

/// The call of a method and a path as the router matched it; `HEAD` counts as `GET`.
pub(super) fn find(method: &Method, path: &str) -> Option<Call> {
    let method = if method == Method::HEAD {
        &Method::GET
    } else {
        method
    };
    CALLS
        .iter()
        .find(|(known, at, _)| known == method && *at == path)
        .map(|(method, path, role)| Call {
            method: method.clone(),
            path,
            role: *role,
        })
}

/// The largest body of a call, in octets.
pub(super) fn max_body(path: &str) -> usize {
    match path {
        // A hundred thousand accounts with every field.
        "/api/v1/accounts" => 64 * 1024 * 1024,
        _ => 64 * 1024,
    }
}

/// Whether the body of a call may hold passwords, which the audit log must not.
pub(super) fn holds_secrets(path: &str) -> bool {
    matches!(path, "/api/v1/accounts" | "/api/v1/accounts/{number}/password")
}

/// All calls.
pub(super) const CALLS: &[(Method, &str, Role)] = &[
    (Method::GET, "/api/v1/openapi.json", Role::Read),
    (Method::GET, "/api/v1/status", Role::Read),
    (Method::GET, "/api/v1/route", Role::Read),
    (Method::GET, "/api/v1/cache", Role::Read),
    (Method::DELETE, "/api/v1/cache", Role::Operate),
    (Method::GET, "/api/v1/trace", Role::Read),
    (Method::GET, "/api/v1/follow", Role::Read),
    (Method::POST, "/api/v1/follow", Role::Operate),
    (Method::GET, "/api/v1/nodes", Role::Read),
    (Method::GET, "/api/v1/peers", Role::Read),
    (Method::GET, "/api/v1/peers/{peer}", Role::Read),
    (Method::POST, "/api/v1/peers/{peer}/suspend", Role::Operate),
    (Method::POST, "/api/v1/peers/{peer}/resume", Role::Operate),
    (Method::POST, "/api/v1/peers/{peer}/reconnect", Role::Operate),
    (Method::GET, "/api/v1/agreements", Role::Read),
    (Method::GET, "/api/v1/agreements/{peer}", Role::Read),
    (Method::GET, "/api/v1/queues", Role::Read),
    (Method::POST, "/api/v1/queues/{queue}/hold", Role::Operate),
    (Method::POST, "/api/v1/queues/{queue}/release", Role::Operate),
    (Method::POST, "/api/v1/items/settle", Role::Operate),
    (Method::GET, "/api/v1/items", Role::Read),
    (Method::GET, "/api/v1/items/{id}", Role::Read),
    (Method::POST, "/api/v1/items/{id}/hold", Role::Operate),
    (Method::POST, "/api/v1/items/{id}/release", Role::Operate),
    (Method::POST, "/api/v1/items/{id}/retry", Role::Operate),
    (Method::POST, "/api/v1/items/{id}/discard", Role::Operate),
    (Method::POST, "/api/v1/items/{id}/redirect", Role::Operate),
    (Method::GET, "/api/v1/overrides", Role::Read),
    (Method::POST, "/api/v1/overrides", Role::Operate),
    (Method::DELETE, "/api/v1/overrides", Role::Operate),
    (Method::GET, "/api/v1/accounts", Role::Read),
    (Method::POST, "/api/v1/accounts", Role::Operate),
    (Method::GET, "/api/v1/accounts/{number}", Role::Read),
    (Method::DELETE, "/api/v1/accounts/{number}", Role::Operate),
    (Method::POST, "/api/v1/accounts/{number}/close", Role::Operate),
    (Method::POST, "/api/v1/accounts/{number}/open", Role::Operate),
    (Method::POST, "/api/v1/accounts/{number}/password", Role::Operate),
    (Method::GET, "/api/v1/tokens", Role::Admin),
    (Method::POST, "/api/v1/tokens", Role::Admin),
    (Method::DELETE, "/api/v1/tokens/{id}", Role::Admin),
    (Method::GET, "/api/v1/audit", Role::Admin),
    (Method::POST, "/api/v1/reload", Role::Operate),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openapi_names_every_call_and_no_other() {
        let document: serde_json::Value = serde_json::from_str(super::super::server::OPENAPI).unwrap();
        let mut described = Vec::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, call) in methods.as_object().unwrap() {
                described.push((
                    method.to_uppercase(),
                    path.clone(),
                    call["x-role"].as_str().unwrap().to_owned(),
                ));
            }
        }
        let mut known: Vec<_> = CALLS
            .iter()
            .map(|(method, path, role)| (method.to_string(), (*path).to_owned(), role.to_string()))
            .collect();
        described.sort();
        known.sort();
        assert_eq!(described, known);
    }
}
