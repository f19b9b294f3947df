//! What every call passes before its handler: `Host`, token, role, body size, audit; and what every answer passes after
//! it: people hidden from role `read`.

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{
    Role,
    answer::Shared,
    audit,
    error::ApiError,
    mask, table,
    token::{self, TokenInfo},
};

/// Who calls; handlers find it among the request's extensions.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) token: TokenInfo,
}

impl Caller {
    /// As the audit log and held items name it.
    pub(super) fn name(&self) -> String {
        format!("{} ({})", self.token.name, self.token.id)
    }

    /// The name, and why.
    pub(super) fn because(&self, reason: &str) -> String {
        match reason {
            "" => self.name(),
            reason => format!("{}: {reason}", self.name()),
        }
    }
}

/// For every path of the admin listener.
pub(super) async fn host(State(parts): State<Shared>, request: Request, next: Next) -> Response {
    if !names_us(request.headers(), &parts.hosts) {
        return ApiError::WrongHost.into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name.clone(), HeaderValue::from_static(value));
    }
    response
}

/// For every path below `/api/v1/`.
pub(super) async fn api(State(parts): State<Shared>, request: Request, next: Next) -> Response {
    let answered = match guarded(&parts, request, next).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    };
    parts.metrics.admin_call(answered.status().as_u16());
    answered
}

/// The token of a request, where the role is enough.
pub(super) async fn authorise(parts: &Shared, headers: &HeaderMap, role: Role) -> Result<Caller, ApiError> {
    let value = headers.get(header::AUTHORIZATION).ok_or(ApiError::NoToken)?;
    let text = value.to_str().map_err(|_| ApiError::BadToken)?;
    let (scheme, given) = text.split_once(' ').ok_or(ApiError::BadToken)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(ApiError::NoToken);
    }
    let found = token::check(&*parts.store, given.trim(), parts.clock.now()).await?;
    let token = found.ok_or(ApiError::BadToken)?;
    if token.role < role {
        return Err(ApiError::WrongRole {
            needed: role,
            has: token.role,
        });
    }
    Ok(Caller { token })
}

async fn guarded(parts: &Shared, request: Request, next: Next) -> Result<Response, ApiError> {
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let call = path.map(|path| table::find(request.method(), path));
    let role = call
        .as_ref()
        .and_then(Option::as_ref)
        .map_or(Role::Read, |call| call.role);
    // The token goes first, so that strangers learn nothing about paths.
    let caller = authorise(parts, request.headers(), role).await?;
    let call = call
        .ok_or_else(|| ApiError::NotFound("there is no such path; see /api/v1/openapi.json".into()))?
        .ok_or_else(|| ApiError::WrongMethod {
            method: request.method().to_string(),
        })?;
    let (mut head, body) = request.into_parts();
    let max = table::max_body(call.path);
    let body = to_bytes(body, max)
        .await
        .map_err(|_| ApiError::TooLarge { max })?;
    let unmasks = head
        .uri
        .query()
        .is_some_and(|query| query.split('&').any(|pair| pair == "unmask=true"));
    let is_audited = call.method != Method::GET || unmasks;
    let mut entry = audit_entry(parts, &caller, &head, &body, call.path);
    let key = if is_audited {
        Some(audit::begin(&*parts.store, &entry).await?)
    } else {
        None
    };
    let hides = caller.token.role == Role::Read && !unmasks;
    head.extensions.insert(caller);
    let response = next.run(Request::from_parts(head, Body::from(body))).await;
    if let Some(key) = key {
        entry.status = Some(response.status().as_u16());
        // The call is done; its entry stands even without the status.
        if let Err(error) = audit::end(&*parts.store, &key, &entry).await {
            tracing::error!(%error, call = %entry.call, "the status of an audited call can't be written");
        }
    }
    if hides && call.path != "/api/v1/openapi.json" {
        return hidden(response).await;
    }
    Ok(response)
}

fn audit_entry(
    parts: &Shared,
    caller: &Caller,
    head: &axum::http::request::Parts,
    body: &Bytes,
    path: &str,
) -> audit::Entry {
    // A token that is made is in the answer, never in the body.
    let body = if table::holds_secrets(path) {
        format!("({} octets that may hold passwords)", body.len())
    } else {
        String::from_utf8_lossy(body).chars().take(500).collect()
    };
    let call = head.uri.path_and_query().map_or(path, |uri| uri.as_str());
    audit::Entry {
        at: parts.clock.now(),
        token: caller.name(),
        role: caller.token.role,
        call: format!("{} {}", head.method, call.chars().take(500).collect::<String>()),
        body,
        status: None,
    }
}

/// The answer with people hidden.
async fn hidden(response: Response) -> Result<Response, ApiError> {
    let (mut head, body) = response.into_parts();
    let failed = || ApiError::Failed("the answer is too large; ask for less with limit".into());
    let bytes = to_bytes(body, MAX_ANSWER).await.map_err(|_| failed())?;
    let Ok(mut value) = serde_json::from_slice(&bytes) else {
        return Err(failed());
    };
    mask::mask(&mut value);
    let bytes = serde_json::to_vec(&value).map_err(|_| failed())?;
    head.headers.remove(header::CONTENT_LENGTH);
    Ok(Response::from_parts(head, Body::from(bytes)))
}

/// Whether `Host` is there once and names this server: a page of somebody else's in a browser can't choose it (DNS
/// rebinding). The port is not looked at.
fn names_us(headers: &HeaderMap, hosts: &[String]) -> bool {
    let mut values = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (values.next(), values.next()) else {
        return false;
    };
    let Ok(host) = host.to_str() else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    hosts.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// On every answer: nothing is kept by caches, nothing is loaded from elsewhere, nobody frames the console.
const HEADERS: [(header::HeaderName, &str); 4] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
    ),
    (header::REFERRER_POLICY, "no-referrer"),
];

/// The largest answer in which people are hidden, in octets.
const MAX_ANSWER: usize = 64 << 20;
