//! Carries requests to other nodes: one HTTP/2 connection a node, over TLS in which both sides prove their names.
//!
//! An error says whether the other node can have seen the request. A kept connection that turns out to be closed before
//! anything was sent is replaced once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Request, StatusCode,
    client::conn::{TrySendError, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use super::{ClusterError, Member, topics::PATIENCE};

/// What a node shows to, and asks of, the node of this name.
pub type DialTls = Arc<dyn Fn(&str) -> Result<Arc<rustls::ClientConfig>, rustls::Error> + Send + Sync>;

/// Connections to the other nodes.
pub(super) struct Client {
    me: String,
    tls: DialTls,
    kept: Mutex<HashMap<String, Arc<Slot>>>,
}

/// The connection to one process; locked while it is made, so that a burst makes one.
type Slot = tokio::sync::Mutex<Option<Sender>>;
pub(super) type Sender = http2::SendRequest<Full<Bytes>>;

/// How an exchange failed, before it is known of what.
pub(super) enum Fault {
    NotSent(String),
    Lost(String),
    Refused(String),
}

impl Fault {
    pub(super) fn of(failed: TrySendError<Request<Full<Bytes>>>) -> Self {
        let was_sent = failed.message().is_none();
        let reason = failed.into_error().to_string();
        if was_sent {
            Self::Lost(reason)
        } else {
            Self::NotSent(reason)
        }
    }
}

impl Client {
    pub(super) fn new(me: String, tls: DialTls) -> Self {
        let kept = Mutex::default();
        Self { me, tls, kept }
    }

    /// Asks a node and waits for its answer.
    ///
    /// # Errors
    /// [`ClusterError`]; ask it `was_not_done`.
    ///
    /// # Cancel safety
    /// When dropped half-way, the other node may or may not do what was asked.
    pub(super) async fn ask(
        &self,
        to: &Member,
        topic: &'static str,
        request: Bytes,
    ) -> Result<Bytes, ClusterError> {
        if request.len() > MAX_BODY {
            let octets = request.len();
            return Err(ClusterError::TooLarge { octets });
        }
        let fault = match timeout(PATIENCE + MARGIN, self.exchange(to, topic, request)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(fault)) => fault,
            Err(_) => {
                // The way to it may be cut; the next request finds another one.
                self.slot(to).try_lock().map(|mut slot| slot.take()).ok();
                Fault::Lost("not in time".to_owned())
            }
        };
        let (node, address) = (to.node.clone(), to.address.clone());
        Err(match fault {
            Fault::NotSent(reason) => ClusterError::Unreachable {
                node,
                address,
                reason,
            },
            Fault::Lost(reason) => ClusterError::Silent { node, topic, reason },
            Fault::Refused(reason) => ClusterError::Refused { node, topic, reason },
        })
    }

    /// Closes the connections to processes that are not among these.
    pub(super) fn keep_only(&self, members: &[Member]) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|incarnation, _| members.iter().any(|member| member.incarnation == *incarnation));
    }

    async fn exchange(&self, to: &Member, topic: &'static str, body: Bytes) -> Result<Bytes, Fault> {
        let mut is_fresh = false;
        loop {
            let mut sender = self.sender(to, &mut is_fresh).await?;
            let sent = match sender.ready().await {
                Ok(()) => {
                    sender
                        .try_send_request(self.request(to, topic, body.clone())?)
                        .await
                }
                Err(error) if is_fresh => return Err(Fault::NotSent(error.to_string())),
                Err(_) => continue,
            };
            let response = match sent {
                Ok(response) => response,
                // It was closed while nobody looked: another one, once.
                Err(failed) if failed.message().is_some() && !is_fresh => continue,
                Err(failed) => return Err(Fault::of(failed)),
            };
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_BODY).collect().await;
            let body = body.map_err(|error| Fault::Lost(error.to_string()))?.to_bytes();
            return match status {
                StatusCode::OK => Ok(body),
                status => Err(Fault::Refused(said(status, &body))),
            };
        }
    }

    fn request(&self, to: &Member, topic: &str, body: Bytes) -> Result<Request<Full<Bytes>>, Fault> {
        Request::post(format!("https://{}{PATH}{topic}", to.node))
            .header(FROM, &self.me)
            .body(Full::new(body))
            .map_err(|error| Fault::NotSent(error.to_string()))
    }

    async fn sender(&self, to: &Member, is_fresh: &mut bool) -> Result<Sender, Fault> {
        let slot = self.slot(to);
        let mut slot = slot.lock().await;
        if let Some(sender) = slot.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        *is_fresh = true;
        let sender = dial(to, &self.tls, &WINDOWS).await?;
        *slot = Some(sender.clone());
        Ok(sender)
    }

    fn slot(&self, to: &Member) -> Arc<Slot> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(kept.entry(to.incarnation.clone()).or_default())
    }
}

/// What may be under way towards us on a connection, in octets.
pub(super) struct Windows {
    pub(super) stream: u32,
    pub(super) connection: u32,
}

/// Connects to a node.
pub(super) async fn dial(to: &Member, tls: &DialTls, windows: &Windows) -> Result<Sender, Fault> {
    let dialled = timeout(CONNECT, dial_now(to, tls, windows)).await;
    dialled.unwrap_or_else(|_| Err(Fault::NotSent("no connection in time".to_owned())))
}

async fn dial_now(to: &Member, tls: &DialTls, windows: &Windows) -> Result<Sender, Fault> {
    let failed = |error: &dyn std::fmt::Display| Fault::NotSent(error.to_string());
    let stream = TcpStream::connect(&to.address)
        .await
        .map_err(|error| failed(&error))?;
    let _ = stream.set_nodelay(true);
    let name = ServerName::try_from(to.node.clone()).map_err(|error| failed(&error))?;
    let tls = tls(&to.node).map_err(|error| failed(&error))?;
    let stream = TlsConnector::from(tls).connect(name, stream).await;
    let stream = stream.map_err(|error| failed(&error))?;
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(windows.stream)
        .initial_connection_window_size(windows.connection)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .keep_alive_while_idle(true);
    let (sender, connection) = builder
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failed(&error))?;
    tokio::spawn(connection);
    Ok(sender)
}

fn said(status: StatusCode, body: &Bytes) -> String {
    match std::str::from_utf8(body) {
        Ok(text) if !text.is_empty() => text.chars().take(200).collect(),
        Ok(_) | Err(_) => status.to_string(),
    }
}

/// Octets of a request between nodes, or of its answer.
pub const MAX_BODY: usize = 4 * 1024 * 1024;
/// Before the topic in the path of a request.
pub const PATH: &str = "/v1/";
/// The header in which a node says who it is; its certificate must say so too.
pub const FROM: &str = "x-impsgw-node";
/// For a connection to another node, TLS and HTTP included.
const CONNECT: Duration = Duration::from_secs(2);
/// What a request takes besides the work on it.
const MARGIN: Duration = Duration::from_secs(1);
/// Answers are small, and taken at once.
const WINDOWS: Windows = Windows {
    stream: 1024 * 1024,
    connection: 4 * 1024 * 1024,
};
/// A node that doesn't answer this is gone.
const PING: Duration = Duration::from_secs(5);
