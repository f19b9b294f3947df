//! One request: what makes it a document, and the HTTP answers.
//!
//! Source: SSP reference §1.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Body as _, Incoming};
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use tokio::time::timeout;

use super::Limits;
use super::admission::{Reading, Room};
use crate::gateways::ssp::tls::PeerIdentity;
use crate::wire::ssp::codec::MEDIA_TYPE;

/// One document.
#[derive(Debug)]
pub struct Arrival {
    /// What it came on.
    pub connection: Arc<Connection>,
    /// The request target.
    pub uri: Uri,
    /// The request's header; never authority.
    pub headers: HeaderMap,
    /// The document, not empty.
    pub body: Bytes,
}

/// What a document came on.
#[derive(Debug)]
pub struct Connection {
    /// The other end of the socket.
    pub source: SocketAddr,
    /// Whom the client's verified certificate speaks for; `None` without TLS or without client authentication.
    pub peer: Option<PeerIdentity>,
    /// The name that the client asked for in TLS.
    pub server_name: Option<String>,
    /// Whether it is TLS.
    pub is_tls: bool,
}

/// The HTTP answer to a document.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answer {
    /// 200: parsed and queued, and its session is known.
    Taken,
    /// 400: not a document.
    Malformed,
    /// 403: not allowed, or a setup step that does not fit.
    Forbidden,
    /// 404: unknown session.
    UnknownSession,
    /// 429: more than the agreement allows.
    TooMany,
    /// 503: no room, or shutting down.
    Overloaded,
}

impl Arrival {
    /// The other end of the socket that it came on.
    #[must_use]
    pub fn source(&self) -> SocketAddr {
        self.connection.source
    }

    /// `x-wv-transactionid`: a hint for logs.
    pub fn transaction_id(&self) -> Option<&str> {
        self.header(&X_WV_TRANSACTION_ID)
    }

    /// `x-wv-sessionid`: a hint for logs; some peers put our ID there (SSP reference §1).
    pub fn session_id(&self) -> Option<&str> {
        self.header(&X_WV_SESSION_ID)
    }

    /// The domain that the client wanted: the name asked for in TLS, else the host of the request without its port.
    pub fn asked_domain(&self) -> Option<&str> {
        let host = || self.uri.host().or_else(|| self.header(&HOST).map(without_port));
        self.connection.server_name.as_deref().or_else(host)
    }

    fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Answer {
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::Taken => StatusCode::OK,
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::UnknownSession => StatusCode::NOT_FOUND,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// The parts of a document, or the status that refuses the request; `room` is for what is not authenticated.
pub(super) async fn read(
    limits: &Limits,
    room: Option<&Room>,
    request: Request<Incoming>,
) -> Result<(Uri, HeaderMap, Bytes), StatusCode> {
    let (parts, body) = request.into_parts();
    if parts.method != Method::POST {
        return Err(StatusCode::METHOD_NOT_ALLOWED);
    }
    if !parts.headers.get(CONTENT_TYPE).is_some_and(is_ssp) {
        return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    let too_long = |octets: u64| usize::try_from(octets).is_ok_and(|octets| octets > limits.body_size);
    if body.size_hint().exact().is_some_and(too_long) {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let body = timeout(
        limits.body,
        read_body(body, limits.body_size, room.map(Room::begin)),
    )
    .await;
    let body = body.unwrap_or(Err(StatusCode::REQUEST_TIMEOUT))?;
    if body.is_empty() {
        Err(StatusCode::BAD_REQUEST)
    } else {
        Ok((parts.uri, parts.headers, body))
    }
}

/// A body in one frame, which is the rule, is not copied; a longer one once.
async fn read_body(
    mut body: Incoming,
    limit: usize,
    mut reading: Option<Reading>,
) -> Result<Bytes, StatusCode> {
    let expected = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    while let Some(frame) = body.frame().await {
        // Trailers hold nothing for us; a body that breaks off is nobody's document.
        let Ok(octets) = frame.map_err(|_| StatusCode::BAD_REQUEST)?.into_data() else {
            continue;
        };
        if first.len() + joined.len() + octets.len() > limit {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        if let Some(reading) = &mut reading
            && !reading.grows(octets.len())
        {
            return Err(StatusCode::SERVICE_UNAVAILABLE);
        }
        if first.is_empty() && joined.is_empty() {
            first = octets;
        } else {
            if joined.is_empty() {
                joined.reserve(expected.min(RESERVED).max(first.len() + octets.len()));
                joined.extend_from_slice(&std::mem::take(&mut first));
            }
            joined.extend_from_slice(&octets);
        }
        if body.is_end_stream() {
            break;
        }
    }
    Ok(if joined.is_empty() { first } else { joined.freeze() })
}

pub(super) fn refusal(status: StatusCode, version: Version) -> Response<Empty<Bytes>> {
    let mut response = empty_response(status);
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("POST"));
    }
    // What is left of the body is not read; HTTP/2 resets the stream instead.
    if version <= Version::HTTP_11 {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

pub(super) fn empty_response(status: StatusCode) -> Response<Empty<Bytes>> {
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    response
}

/// The media type may be followed by parameters.
fn is_ssp(content_type: &HeaderValue) -> bool {
    let prefix = content_type.as_bytes().get(..MEDIA_TYPE.len());
    prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(MEDIA_TYPE.as_bytes()))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Taken at once for what a header promises; more is taken when it has come.
const RESERVED: usize = 64 * 1024;
/// Repeats a transaction ID of the body.
pub const X_WV_TRANSACTION_ID: HeaderName = HeaderName::from_static("x-wv-transactionid");
/// Repeats a session ID.
pub const X_WV_SESSION_ID: HeaderName = HeaderName::from_static("x-wv-sessionid");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_loses_its_port_and_nothing_else() {
        for (host, name) in [
            ("b.example:80", "b.example"),
            ("b.example", "b.example"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(without_port(host), name);
        }
    }
}
