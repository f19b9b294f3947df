//! Posts documents to one server of a peer, over a few kept connections.
//!
//! The addresses are resolved already and every one is checked against the allowed networks just before it is connected
//! to; the name in TLS, the certificate's reference name and the `Host` are the service domain. Nothing is followed: no
//! redirect, no proxy. An error says whether the peer can have seen the document, because only then may it be sent again
//! without a thought. A document is posted once; only when a kept connection turns out to be closed before anything was
//! written is another connection used. Source: SSP reference §1, §2.

mod connect;
mod error;
mod exclusive;

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::{TrySendError, http2};
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Request, Response, Uri};
use rustls::pki_types::ServerName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::certificates::Certificates;
use super::server::{X_WV_SESSION_ID, X_WV_TRANSACTION_ID};
use super::tls::HttpVersions;
use crate::agreement::NetworkList;
use crate::wire::ssp::codec::MEDIA_TYPE;
use connect::{Dialled, Dialler};
use error::failure_of;
use exclusive::Exclusive;

pub use connect::Handshake;
pub use error::{InvalidTarget, PostError};

/// A client of one server; share it, all methods take `&self`.
#[derive(Debug)]
pub struct SspClient {
    dialler: Dialler,
    limits: ClientLimits,
    host: HeaderValue,
    authority: String,
    /// At most so many HTTP/1.1 connections.
    places: Arc<Semaphore>,
    idle: Mutex<Vec<Kept>>,
    shared: Mutex<Option<Shared>>,
    /// Held while the first or only connection is made, so that a burst makes one HTTP/2 connection and not many.
    dialling: tokio::sync::Mutex<()>,
    /// Whether the last connection was HTTP/1.1, so that waiting for a shared one is of no use.
    is_http1: AtomicBool,
}

/// The server and how to reach it.
#[derive(Clone, Debug)]
pub struct Target {
    /// For whom we speak; chooses our certificate.
    pub own_domain: String,
    /// For whom the server must be: the name in TLS, in the certificate and in `Host`.
    pub service_domain: String,
    /// Further names that the certificate may have instead, from the agreement or from a secure SRV answer.
    pub other_names: Vec<String>,
    /// The SRV target, for logs; the system's resolver is asked for it when there is no address.
    pub host: Arc<str>,
    /// Its addresses, tried in this order.
    pub addresses: Arc<[IpAddr]>,
    /// The port of the SRV record; the same for both schemes.
    pub port: u16,
    /// Whether TLS is used.
    pub scheme: Scheme,
    /// The HTTP versions that we offer.
    pub versions: HttpVersions,
    /// Where connections may go.
    pub networks: NetworkList,
}

/// Whether TLS is used. Plain HTTP needs an agreement that says so.
#[derive(Clone, Debug)]
pub enum Scheme {
    /// TLS with these certificates.
    Https(Arc<Certificates>),
    /// No TLS.
    Http,
    /// TLS, and where the port does not speak TLS at all, plain HTTP on the same port from then on. A certificate that is
    /// refused, by either side, is never a reason.
    HttpsThenHttp(Arc<Certificates>),
}

/// What one client may take up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClientLimits {
    /// For TCP, and again for TLS, with each address.
    pub connect: Duration,
    /// For everything, from the call of `post` to its answer.
    pub request: Duration,
    /// HTTP/1.1 connections; HTTP/2 uses one.
    pub connections: usize,
    /// A kept HTTP/1.1 connection is not used again after this; shorter than what servers allow, because a document on a
    /// connection that the server is just closing has an unknown fate.
    pub idle: Duration,
}

/// What goes into the request's header; both are hints to the other side (SSP reference §1).
#[derive(Clone, Copy, Debug, Default)]
pub struct PostHeaders<'a> {
    /// `x-wv-transactionid`.
    pub transaction_id: Option<&'a str>,
    /// `x-wv-sessionid`.
    pub session_id: Option<&'a str>,
}

#[derive(Debug)]
struct Kept {
    connection: Exclusive,
    address: SocketAddr,
    since: Instant,
    generation: Option<u64>,
}

#[derive(Debug)]
struct Shared {
    sender: http2::SendRequest<Full<Bytes>>,
    address: SocketAddr,
    generation: Option<u64>,
}

enum Channel {
    Http1 {
        kept: Kept,
        place: OwnedSemaphorePermit,
        is_fresh: bool,
    },
    Http2 {
        sender: http2::SendRequest<Full<Bytes>>,
        address: SocketAddr,
    },
}

impl Channel {
    const fn address(&self) -> SocketAddr {
        match self {
            Self::Http1 { kept, .. } => kept.address,
            Self::Http2 { address, .. } => *address,
        }
    }
}

impl SspClient {
    /// A client without connections yet.
    ///
    /// # Errors
    ///
    /// `InvalidTarget` when the service domain is not a domain name.
    pub fn new(target: Target, limits: ClientLimits) -> Result<Self, InvalidTarget> {
        let invalid = || InvalidTarget {
            domain: target.service_domain.clone(),
        };
        let domain = target.service_domain.to_ascii_lowercase();
        let server_name = ServerName::try_from(domain.clone()).map_err(|_| invalid())?;
        let authority = format!("{domain}:{}", target.port);
        let host = HeaderValue::from_str(&authority).map_err(|_| invalid())?;
        let places = Arc::new(Semaphore::new(limits.connections.max(1)));
        Ok(Self {
            dialler: Dialler::new(target, server_name, limits.connect),
            limits,
            host,
            authority,
            places,
            idle: Mutex::default(),
            shared: Mutex::default(),
            dialling: tokio::sync::Mutex::default(),
            is_http1: AtomicBool::new(false),
        })
    }

    /// Posts one document and returns the HTTP status; any 2xx says that it was taken.
    ///
    /// # Errors
    ///
    /// `PostError`; ask it `may_have_arrived`.
    ///
    /// # Cancel safety
    ///
    /// When dropped half-way, the document may or may not have been sent.
    pub async fn post(&self, path: &str, body: Bytes, headers: PostHeaders<'_>) -> Result<u16, PostError> {
        let was_sent = AtomicBool::new(false);
        let exchange = self.exchange(path, body, headers, &was_sent);
        match timeout(self.limits.request, exchange).await {
            Ok(result) => result,
            Err(_) => Err(PostError::TimedOut {
                was_sent: was_sent.load(Ordering::Relaxed),
            }),
        }
    }

    /// Whether documents go in the clear, because that is the scheme or the port was found to speak no TLS.
    pub fn is_plain(&self) -> bool {
        self.dialler.is_plain()
    }

    /// Tries TLS anew where the port was found to speak none: its owner may have set it up since.
    pub fn forget_fall_back(&self) {
        self.dialler.forget_fall_back();
    }

    /// Closes the connections that are not used again; those that a server closed are among them sooner or later.
    pub fn forget_idle(&self) {
        drop(self.in_use());
    }

    /// The kept connections without those that have been idle for too long.
    fn in_use(&self) -> MutexGuard<'_, Vec<Kept>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|kept| kept.since.elapsed() < self.limits.idle);
        idle
    }

    /// Connects and shakes hands without a request, and waits a moment for a late refusal of our certificate, which TLS 1.3
    /// sends after the client's last message. For tests of a peering.
    ///
    /// # Errors
    ///
    /// `PostError` of the kinds that come before a document is sent.
    pub async fn shake_hands(&self) -> Result<Handshake, PostError> {
        self.dialler.shake_hands().await
    }

    async fn exchange(
        &self,
        path: &str,
        body: Bytes,
        headers: PostHeaders<'_>,
        was_sent: &AtomicBool,
    ) -> Result<u16, PostError> {
        loop {
            let channel = self.channel().await?;
            let uri = self.uri(path, &channel)?;
            let mut request = Request::post(uri)
                .body(Full::new(body.clone()))
                .unwrap_or_default();
            self.fill_in(&mut request, headers, &channel);
            was_sent.store(true, Ordering::Relaxed);
            let address = channel.address();
            let (result, is_fresh) = self.send(channel, request).await;
            let error = match result {
                Ok(status) => return Ok(status),
                Err(error) => error,
            };
            was_sent.store(error.message().is_none(), Ordering::Relaxed);
            let failure = failure_of(error, address);
            // The server closed a kept connection meanwhile: the next one is another, or fresh.
            if is_fresh || !matches!(failure, PostError::BrokenBefore(_)) {
                return Err(failure);
            }
        }
    }

    async fn channel(&self) -> Result<Channel, PostError> {
        if !self.is_http1.load(Ordering::Relaxed) {
            if let Some(shared) = self.shared_channel() {
                return Ok(shared);
            }
            let _dialling = self.dialling.lock().await;
            if let Some(shared) = self.shared_channel() {
                return Ok(shared);
            }
            if !self.is_http1.load(Ordering::Relaxed) {
                let place = self.place().await?;
                return Box::pin(self.dial(place)).await;
            }
        }
        let place = self.place().await?;
        while let Some(mut kept) = self.pop_kept() {
            if kept.connection.is_ready().await {
                return Ok(Channel::Http1 {
                    kept,
                    place,
                    is_fresh: false,
                });
            }
        }
        // Rare, and no reason to make every document's future larger.
        Box::pin(self.dial(place)).await
    }

    async fn dial(&self, place: OwnedSemaphorePermit) -> Result<Channel, PostError> {
        let generation = self.dialler.generation();
        let (dialled, address) = self.dialler.dial().await?;
        // A plain connection belongs to no certificate, also when it is what came of trying TLS.
        let generation = generation.filter(|_| !self.dialler.is_plain());
        match dialled {
            Dialled::Http1(connection) => {
                self.is_http1.store(true, Ordering::Relaxed);
                let kept = Kept {
                    connection,
                    since: Instant::now(),
                    address,
                    generation,
                };
                Ok(Channel::Http1 {
                    kept,
                    place,
                    is_fresh: true,
                })
            }
            Dialled::Http2(sender) => {
                self.is_http1.store(false, Ordering::Relaxed);
                let shared = Shared {
                    sender: sender.clone(),
                    address,
                    generation,
                };
                *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = Some(shared);
                Ok(Channel::Http2 { sender, address })
            }
        }
    }

    async fn send(
        &self,
        channel: Channel,
        request: Request<Full<Bytes>>,
    ) -> (Result<u16, TrySendError<Request<Full<Bytes>>>>, bool) {
        match channel {
            Channel::Http1 {
                mut kept,
                place,
                is_fresh,
            } => {
                let result = kept.connection.send(request).await;
                let status = match result {
                    Ok(response) => Ok(self.finish(response, kept).await),
                    Err(error) => Err(error),
                };
                drop(place);
                (status, is_fresh)
            }
            // A shared connection that closes is found closed before the next use, so a failure is final.
            Channel::Http2 { mut sender, .. } => match sender.try_send_request(request).await {
                Ok(response) => (Ok(response.status().as_u16()), true),
                Err(error) => (Err(error), !sender.is_closed()),
            },
        }
    }

    /// The status; and the connection is kept when the answer's body, which should be empty, is over soon.
    async fn finish(&self, response: Response<Incoming>, mut kept: Kept) -> u16 {
        let status = response.status().as_u16();
        let mut body = response.into_body();
        let is_over = body.is_end_stream() || {
            let rest = kept.connection.with(is_short(&mut body));
            timeout(BODY_PATIENCE, rest).await.unwrap_or(false)
        };
        if is_over {
            kept.since = Instant::now();
            self.in_use().push(kept);
        }
        status
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, PostError> {
        self.places
            .clone()
            .acquire_owned()
            .await
            .map_err(|_| PostError::BrokenBefore(None))
    }

    fn pop_kept(&self) -> Option<Kept> {
        let generation = self.dialler.generation();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(kept) = idle.pop() {
            if kept.generation == generation && kept.since.elapsed() < self.limits.idle {
                return Some(kept);
            }
        }
        None
    }

    fn shared_channel(&self) -> Option<Channel> {
        let generation = self.dialler.generation();
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let usable = |shared: &&Shared| shared.generation == generation && !shared.sender.is_closed();
        let shared = shared.as_ref().filter(usable)?;
        Some(Channel::Http2 {
            sender: shared.sender.clone(),
            address: shared.address,
        })
    }

    fn uri(&self, path: &str, channel: &Channel) -> Result<Uri, PostError> {
        let bad_path = |_| PostError::BadPath {
            path: path.to_owned(),
        };
        match channel {
            Channel::Http1 { .. } if path == "/" => Ok(Uri::default()),
            Channel::Http1 { .. } => path.parse().map_err(bad_path),
            Channel::Http2 { .. } => {
                let scheme = if self.dialler.is_plain() { "http" } else { "https" };
                let parts = Uri::builder().scheme(scheme).authority(self.authority.as_str());
                parts
                    .path_and_query(path)
                    .build()
                    .map_err(|_| PostError::BadPath {
                        path: path.to_owned(),
                    })
            }
        }
    }

    fn fill_in(&self, request: &mut Request<Full<Bytes>>, headers: PostHeaders<'_>, channel: &Channel) {
        let header = request.headers_mut();
        if matches!(channel, Channel::Http1 { .. }) {
            header.insert(HOST, self.host.clone());
        }
        header.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        header.insert(USER_AGENT, HeaderValue::from_static("impsgw"));
        let mut hint = |name: HeaderName, value: Option<&str>| {
            // An ID of the peer may hold what a header can't; the body has it anyway.
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
                header.insert(name, value);
            }
        };
        hint(X_WV_TRANSACTION_ID, headers.transaction_id);
        hint(X_WV_SESSION_ID, headers.session_id);
    }
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            request: Duration::from_secs(10),
            connections: 8,
            idle: Duration::from_secs(20),
        }
    }
}

/// Reads what servers add for people, up to a bound.
async fn is_short(body: &mut Incoming) -> bool {
    let mut octets = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        octets += frame.data_ref().map_or(0, Bytes::len);
        if octets > LONGEST_BODY {
            return false;
        }
    }
    true
}

const BODY_PATIENCE: Duration = Duration::from_millis(100);
const LONGEST_BODY: usize = 16 * 1024;
