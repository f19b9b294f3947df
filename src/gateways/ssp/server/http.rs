//! A listener of HTTP requests: sockets, TLS, HTTP/1.1 and HTTP/2, and what clients may take up.
//!
//! What is done with a request is an [`Exchange`]'s: documents of peers here, the APIs for subscribers and operators in
//! `app/`. A client that is slow with its handshake or its header holds a place for a bounded time only, and places are
//! bounded in all and by source. On a plain port TLS bytes are met with a closed connection, because peers try https first.
//! When certificates change, connections that were made under the old ones are let go after their current request.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::admission::Admission;
use crate::gateways::ssp::certificates::Certificates;
use crate::gateways::ssp::tls::{self, ClientAuthentication, HttpVersions, PeerIdentity, TlsFailure};

/// A listener that runs until `shut_down`, or until it is dropped.
#[derive(Debug)]
pub struct HttpServer {
    local_address: SocketAddr,
    drain: watch::Sender<bool>,
    accepting: JoinHandle<JoinSet<()>>,
}

/// How to listen.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// `None` is a plain port, for closed networks whose agreements say so.
    pub tls: Option<ServerTls>,
    /// The HTTP versions that TLS clients are offered; plain clients may use both.
    pub versions: HttpVersions,
    /// What clients may take up.
    pub limits: Limits,
}

/// TLS of a listener.
#[derive(Clone, Debug)]
pub struct ServerTls {
    /// What is shown and trusted.
    pub certificates: Arc<Certificates>,
    /// What is asked of clients.
    pub clients: ClientAuthentication,
}

/// What clients may take up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// From the TCP connection to the end of the TLS handshake.
    pub handshake: Duration,
    /// From then to the end of the first request's header; a client that says nothing holds a place no longer.
    pub first_request: Duration,
    /// From one answer to the end of the next request's header; then a kept connection is closed.
    pub idle: Duration,
    /// For a whole body.
    pub body: Duration,
    /// Octets of a body.
    pub body_size: usize,
    /// Octets of bodies that are being read at once from all clients without a verified certificate; past them: 503.
    pub reading: usize,
    /// Octets of a request's header; at least 8 KiB.
    pub header_size: usize,
    /// Connections in all.
    pub connections: usize,
    /// Connections of one source: an IPv4 address, or the first 64 bits of an IPv6 address.
    pub connections_per_source: usize,
    /// Requests at once on one HTTP/2 connection.
    pub requests_per_connection: u32,
}

/// What a listener does with requests.
pub trait Exchange: Send + Sync + 'static {
    /// The body of an answer.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static;

    /// Answers one request; the future runs on the connection's task. The body of the request is bounded by nothing yet.
    fn answer(
        &self,
        connection: Arc<Connection>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Self::Body>> + Send;

    /// Somebody was turned away; for counters and logs.
    fn turned_away(&self, source: SocketAddr, reason: &TurnedAway);
}

/// What a request came on.
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

/// Why somebody was turned away.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum TurnedAway {
    /// All connections are in use.
    #[error("all connections are in use, see max_connections")]
    TooManyConnections,
    /// All connections of this source are in use.
    #[error("all connections of this source are in use, see max_connections_per_address")]
    TooManyFromSource,
    /// TLS on a plain port; peers that try https first do this.
    #[error("TLS on the port without TLS")]
    TlsOnPlainPort,
    /// No request came in time.
    #[error("no request came in time")]
    Silent,
    /// The handshake failed.
    #[error("no TLS: {0}")]
    Tls(TlsFailure),
    /// A request that is no POST of a bounded document of the right type in time, and the HTTP status it got.
    #[error("{}", status_text(*.0))]
    Request(u16),
}

struct Shared<E> {
    exchange: E,
    limits: Limits,
    http: auto::Builder<TokioExecutor>,
}

/// What every connection needs to know when it is to go.
struct Leave {
    drain: watch::Receiver<bool>,
    certificates: Option<watch::Receiver<u64>>,
}

impl HttpServer {
    /// Starts to accept on a bound socket.
    ///
    /// # Errors
    ///
    /// The system's, when it does not know the socket's address.
    pub fn start<E: Exchange>(listener: TcpListener, config: ServerConfig, exchange: E) -> io::Result<Self> {
        let local_address = listener.local_addr()?;
        let (drain, draining) = watch::channel(false);
        let tls = config.tls.map(|tls| TlsListener {
            tls,
            versions: config.versions,
            cached: None,
        });
        let limits = config.limits;
        let shared = Arc::new(Shared {
            exchange,
            limits,
            http: http_builder(&limits),
        });
        let accepting = tokio::spawn(accept(listener, tls, shared, draining));
        Ok(Self {
            local_address,
            drain,
            accepting,
        })
    }

    /// The bound address, with the port that the system chose.
    pub const fn local_address(&self) -> SocketAddr {
        self.local_address
    }

    /// Stops accepting, lets requests under way end within `grace`, then closes what is left.
    ///
    /// # Cancel safety
    ///
    /// When dropped half-way, everything is closed at once.
    pub async fn shut_down(mut self, grace: Duration) {
        self.drain.send_replace(true);
        let Ok(mut connections) = (&mut self.accepting).await else {
            return;
        };
        let all_gone = async { while connections.join_next().await.is_some() {} };
        let _ = timeout(grace, all_gone).await;
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Limits {
    /// Enough for honest clients of any kind.
    pub const DEFAULT: Self = Self {
        handshake: Duration::from_secs(10),
        first_request: Duration::from_secs(10),
        idle: Duration::from_secs(75),
        body: Duration::from_secs(10),
        body_size: 1024 * 1024,
        reading: 64 * 1024 * 1024,
        header_size: 16 * 1024,
        connections: 4096,
        connections_per_source: 256,
        requests_per_connection: 64,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The rustls configuration, made anew when the certificates changed.
struct TlsListener {
    tls: ServerTls,
    versions: HttpVersions,
    cached: Option<(u64, Arc<rustls::ServerConfig>)>,
}

impl TlsListener {
    fn config(&mut self) -> Result<Arc<rustls::ServerConfig>, rustls::Error> {
        let generation = self.tls.certificates.current();
        if let Some((number, config)) = &self.cached
            && *number == generation.number
        {
            return Ok(config.clone());
        }
        let config = Arc::new(tls::server_config(&generation, self.tls.clients, self.versions)?);
        self.cached = Some((generation.number, config.clone()));
        Ok(config)
    }
}

impl Leave {
    async fn asked(&mut self) {
        let drain = raised(&mut self.drain);
        let Some(certificates) = &mut self.certificates else {
            return drain.await;
        };
        tokio::select! {
            () = drain => {}
            _ = certificates.changed() => {}
        }
    }
}

/// Ends when the flag is up, or when the server that could raise it is gone.
async fn raised(flag: &mut watch::Receiver<bool>) {
    let _ = flag.wait_for(|is_up| *is_up).await;
}

async fn accept<E: Exchange>(
    listener: TcpListener,
    mut tls: Option<TlsListener>,
    shared: Arc<Shared<E>>,
    mut draining: watch::Receiver<bool>,
) -> JoinSet<()> {
    let admission = Admission::new(shared.limits.connections, shared.limits.connections_per_source);
    let mut connections = JoinSet::new();
    let (mut late, mut is_ending) = (0, false);
    loop {
        late += u32::from(*draining.borrow());
        if late > MOST_LATE {
            return connections;
        }
        let (stream, source) = tokio::select! {
            biased;
            Some(_) = connections.join_next() => continue,
            // Whom the system has let in is not sent away when the listener closes.
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, mostly: accepting again at once would only spin.
                    tracing::warn!(%error, "a connection can't be accepted");
                    sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = raised(&mut draining) => {
                if is_ending {
                    return connections;
                }
                is_ending = true;
                // The runtime may not have heard yet of who is there.
                tokio::task::yield_now().await;
                continue;
            }
        };
        let place = match admission.admit(source.ip()) {
            Ok(place) => place,
            Err(reason) => {
                shared.exchange.turned_away(source, &reason);
                continue;
            }
        };
        // Subscribed before the configuration is read, so that no change falls between.
        let certificates = tls.as_ref().map(|tls| tls.tls.certificates.changes());
        let acceptor = match tls.as_mut().map(TlsListener::config).transpose() {
            Ok(config) => config.map(TlsAcceptor::from),
            Err(error) => {
                shared
                    .exchange
                    .turned_away(source, &TurnedAway::Tls(TlsFailure::from(&error)));
                continue;
            }
        };
        let leave = Leave {
            drain: draining.clone(),
            certificates,
        };
        let shared = shared.clone();
        connections.spawn(async move {
            let _place = place;
            let told = shared.clone();
            if let Err(reason) = serve(stream, source, acceptor, shared, leave).await {
                told.exchange.turned_away(source, &reason);
            }
        });
    }
}

async fn serve<E: Exchange>(
    stream: TcpStream,
    source: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    shared: Arc<Shared<E>>,
    leave: Leave,
) -> Result<(), TurnedAway> {
    // Nagle's algorithm against delayed acknowledgements costs 40 ms an exchange.
    let _ = stream.set_nodelay(true);
    let limits = shared.limits;
    let Some(acceptor) = acceptor else {
        if starts_with_tls(&stream, limits.first_request).await? {
            return Err(TurnedAway::TlsOnPlainPort);
        }
        let connection = Connection {
            source,
            peer: None,
            server_name: None,
            is_tls: false,
        };
        return serve_http(stream, connection, shared, leave).await;
    };
    let handshake = timeout(limits.handshake, acceptor.accept(stream));
    let stream = match handshake.await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(TurnedAway::Tls(TlsFailure::of_handshake(&error))),
        Err(_) => return Err(TurnedAway::Tls(TlsFailure::TimedOut)),
    };
    let session = stream.get_ref().1;
    let certificate = session.peer_certificates().and_then(|chain| chain.first());
    let peer = certificate
        .map(PeerIdentity::of)
        .transpose()
        .map_err(TurnedAway::Tls)?;
    let server_name = session.server_name().map(str::to_owned);
    let connection = Connection {
        source,
        peer,
        server_name,
        is_tls: true,
    };
    serve_http(stream, connection, shared, leave).await
}

async fn starts_with_tls(stream: &TcpStream, patience: Duration) -> Result<bool, TurnedAway> {
    let mut first = [0];
    match timeout(patience, stream.peek(&mut first)).await {
        Ok(Ok(octets)) => Ok(octets == 1 && first == [TLS_HANDSHAKE]),
        Ok(Err(_)) => Ok(false),
        Err(_) => Err(TurnedAway::Silent),
    }
}

async fn serve_http<E: Exchange>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    connection: Connection,
    shared: Arc<Shared<E>>,
    mut leave: Leave,
) -> Result<(), TurnedAway> {
    let connection = Arc::new(connection);
    let has_asked = Arc::new(AtomicBool::new(false));
    let service = {
        let (shared, has_asked) = (shared.clone(), has_asked.clone());
        service_fn(move |request| {
            has_asked.store(true, Ordering::Relaxed);
            let (shared, connection) = (shared.clone(), connection.clone());
            async move { Ok::<_, Infallible>(shared.exchange.answer(connection, request).await) }
        })
    };
    let mut http = pin!(shared.http.serve_connection(TokioIo::new(stream), service));
    let mut first_request = pin!(sleep(shared.limits.first_request));
    let mut asked_to_leave = pin!(async {
        leave.asked().await;
        // Who has just come is about to ask.
        if !has_asked.load(Ordering::Relaxed) {
            sleep(BEFORE_FIRST_REQUEST).await;
        }
    });
    let (mut is_waiting, mut is_staying) = (true, true);
    loop {
        tokio::select! {
            biased;
            // How a connection breaks is of no use to anybody: the peer's next request tells.
            _ = http.as_mut() => return Ok(()),
            () = first_request.as_mut(), if is_waiting => {
                is_waiting = false;
                if !has_asked.load(Ordering::Relaxed) {
                    return Err(TurnedAway::Silent);
                }
            }
            () = asked_to_leave.as_mut(), if is_staying => {
                is_staying = false;
                http.as_mut().graceful_shutdown();
            }
        }
    }
}

fn status_text(status: u16) -> String {
    let reason = match status {
        405 => "not a POST",
        408 => "the document did not come in time",
        413 => "the document is larger than ssp.max_document",
        503 => "too much is being read from clients without a certificate, see ssp.max_reading",
        415 => "not an SSP document by its content type",
        _ => "not a document",
    };
    format!("{reason} ({status})")
}

fn http_builder(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle)
        .max_buf_size(limits.header_size.max(SMALLEST_BUFFER));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(limits.header_size).unwrap_or(u32::MAX))
        .max_concurrent_streams(limits.requests_per_connection)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(limits.idle)
        .keep_alive_timeout(limits.handshake);
    builder
}

/// The first octet of a TLS connection: the content type of a handshake record (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 22;
/// hyper's lower bound.
const SMALLEST_BUFFER: usize = 8192;
/// How many connections are still accepted that the system has let in by the end.
const MOST_LATE: u32 = 256;
/// How long a connection is kept at the end that nothing was asked on yet.
const BEFORE_FIRST_REQUEST: Duration = Duration::from_millis(500);
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
