//! The listening side of the SSP transport: HTTP/1.1 and HTTP/2, with and without TLS, bounded in every direction.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, header::CONTENT_TYPE, service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};
use tokio_rustls::TlsAcceptor;

use super::{
    gateway::SspGateway,
    tls::{CurrentTls, TlsIdentity},
};
use crate::wire::ssp::codec::MEDIA_TYPE;

/// One document that has arrived.
#[derive(Debug)]
pub struct Arrival {
    /// The body of the POST.
    pub body: Bytes,
    /// Where from.
    pub source: SocketAddr,
    /// Whether the connection is TLS.
    pub is_tls: bool,
    /// Who the client certificate says it is; absent without one.
    pub identity: Option<Arc<TlsIdentity>>,
    /// The name that the peer asked for (SNI, else the Host header): which of our domains it dialled.
    pub server_name: Option<String>,
}

/// The HTTP answer: an acknowledgement, never more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reply {
    /// 200: taken.
    Accepted,
    /// 400: not a document.
    BadRequest,
    /// 403: an unknown session, a refused step, or a connection that may not speak for the domain.
    Forbidden,
    /// 503: shutting down.
    Unavailable,
}

/// The bounds of a listener.
#[derive(Clone, Copy, Debug)]
pub struct ListenerBounds {
    /// Octets of one body.
    pub max_body: usize,
    /// Connections in all.
    pub connections: usize,
    /// Connections from one address.
    pub connections_per_address: usize,
    /// For a TLS handshake, for the headers, for the body: each.
    pub patience: Duration,
}

/// A running listener; it stops taking connections when it is dropped, and open ones end after their request.
#[derive(Debug)]
pub struct Listener {
    /// Where it listens.
    pub address: SocketAddr,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Listener {
    /// Serves documents on a socket; over TLS when `tls` is given.
    #[must_use]
    pub fn start(
        listener: TcpListener,
        address: SocketAddr,
        tls: Option<CurrentTls>,
        bounds: ListenerBounds,
        gateway: &Arc<SspGateway>,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let shared = Arc::new(Shared {
            tls,
            bounds,
            gateway: Arc::downgrade(gateway),
            all: Arc::new(Semaphore::new(bounds.connections)),
            per_address: Mutex::default(),
            stopped: stopped.clone(),
        });
        let task = tokio::spawn(accept(listener, shared, stopped));
        Self { address, stop, task }
    }

    /// Stops taking connections; open ones end after the request that they are in.
    pub async fn shut_down(self) {
        let _ = self.stop.send(true);
        let _ = self.task.await;
    }
}

struct Shared {
    tls: Option<CurrentTls>,
    bounds: ListenerBounds,
    gateway: Weak<SspGateway>,
    all: Arc<Semaphore>,
    per_address: Mutex<HashMap<IpAddr, usize>>,
    stopped: watch::Receiver<bool>,
}

/// A place among the connections; given back when it is dropped.
struct Place {
    shared: Arc<Shared>,
    address: IpAddr,
    _permit: OwnedSemaphorePermit,
}

impl Shared {
    fn place(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let permit = Arc::clone(&self.all).try_acquire_owned().ok()?;
        let mut counts = self.per_address.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_insert(0);
        if *count >= self.bounds.connections_per_address {
            return None;
        }
        *count += 1;
        drop(counts);
        Some(Place {
            shared: Arc::clone(self),
            address,
            _permit: permit,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self
            .shared
            .per_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.changed() => return,
        };
        let (stream, source) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: give others the time to close some.
                tracing::error!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Some(place) = shared.place(source.ip()) else {
            tracing::warn!(%source, "too many connections; this one is closed");
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            serve_stream(stream, source, &shared).await;
            drop(place);
        });
    }
}

async fn serve_stream(stream: TcpStream, source: SocketAddr, shared: &Arc<Shared>) {
    // Without this, small answers wait for delayed acknowledgements.
    let _ = stream.set_nodelay(true);
    let Some(tls) = &shared.tls else {
        if !is_tls_hello(&stream, shared.bounds.patience).await {
            serve(
                stream,
                Peer {
                    source,
                    is_tls: false,
                    identity: None,
                    server_name: None,
                },
                shared,
            )
            .await;
        }
        return;
    };
    let Some(config) = tls.load_full().and_then(|material| material.server_config().ok()) else {
        return;
    };
    let handshake = TlsAcceptor::from(config).accept(stream);
    match tokio::time::timeout(shared.bounds.patience, handshake).await {
        Ok(Ok(stream)) => {
            let (_, connection) = stream.get_ref();
            let certificate = connection.peer_certificates().and_then(<[_]>::first);
            let identity = certificate.map(|certificate| Arc::new(TlsIdentity::of(certificate)));
            let server_name = connection.server_name().map(str::to_owned);
            serve(
                stream,
                Peer {
                    source,
                    is_tls: true,
                    identity,
                    server_name,
                },
                shared,
            )
            .await;
        }
        Ok(Err(error)) => tracing::warn!(%source, %error, "TLS refused"),
        Err(_) => tracing::warn!(%source, "the TLS handshake took too long"),
    }
}

/// Some peers try `https` on a plain port first (SSP reference §2): those connections are closed at once.
async fn is_tls_hello(stream: &TcpStream, patience: Duration) -> bool {
    let mut first = [0; 1];
    match tokio::time::timeout(patience, stream.peek(&mut first)).await {
        Ok(Ok(1)) => first == [0x16],
        Ok(Ok(_) | Err(_)) | Err(_) => true,
    }
}

#[derive(Clone)]
struct Peer {
    source: SocketAddr,
    is_tls: bool,
    identity: Option<Arc<TlsIdentity>>,
    server_name: Option<String>,
}

async fn serve<S>(stream: S, peer: Peer, shared: &Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.bounds.patience)
        .max_buf_size(64 * 1024)
        .keep_alive(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(64)
        .max_header_list_size(16 * 1024);
    let service = service_fn(|request| {
        let (peer, shared) = (peer.clone(), Arc::clone(shared));
        async move { Ok::<_, Infallible>(answer(request, peer, &shared).await) }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let mut stopped = shared.stopped.clone();
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(source = %peer.source, %error, "a connection ended badly");
    }
}

async fn answer(request: Request<Incoming>, peer: Peer, shared: &Shared) -> Response<Empty<Bytes>> {
    if request.method() != Method::POST {
        return status(StatusCode::METHOD_NOT_ALLOWED);
    }
    let kind = request
        .headers()
        .get(CONTENT_TYPE)
        .map(hyper::header::HeaderValue::as_bytes)
        .unwrap_or_default();
    if !kind
        .get(..MEDIA_TYPE.len())
        .is_some_and(|kind| kind.eq_ignore_ascii_case(MEDIA_TYPE.as_bytes()))
    {
        return status(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    let host = request
        .headers()
        .get(hyper::header::HOST)
        .and_then(|host| host.to_str().ok());
    let host = host.map(|host| host.rsplit_once(':').map_or(host, |(host, _)| host).to_owned());
    let server_name = peer.server_name.or(host);
    let body = Limited::new(request.into_body(), shared.bounds.max_body).collect();
    let body = match tokio::time::timeout(shared.bounds.patience, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            tracing::warn!(source = %peer.source, "a document is larger than ssp.max_document");
            return status(StatusCode::PAYLOAD_TOO_LARGE);
        }
        Ok(Err(_)) => return status(StatusCode::BAD_REQUEST),
        Err(_) => return status(StatusCode::REQUEST_TIMEOUT),
    };
    let Some(gateway) = shared.gateway.upgrade() else {
        return status(StatusCode::SERVICE_UNAVAILABLE);
    };
    let arrival = Arrival {
        body,
        source: peer.source,
        is_tls: peer.is_tls,
        identity: peer.identity,
        server_name,
    };
    status(match gateway.receive(arrival).await {
        Reply::Accepted => StatusCode::OK,
        Reply::BadRequest => StatusCode::BAD_REQUEST,
        Reply::Forbidden => StatusCode::FORBIDDEN,
        Reply::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    })
}

fn status(code: StatusCode) -> Response<Empty<Bytes>> {
    let mut response = Response::new(Empty::new());
    *response.status_mut() = code;
    response
}
