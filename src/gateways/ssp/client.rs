//! The calling side of the SSP transport: one server of a peer, a few connections kept open.
//!
//! The client chooses the address, the TLS name and the connection itself: the address must be in the networks that the
//! agreement allows, the name is the service domain whatever the SRV target is called. No redirects, no proxies.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Uri,
    client::conn::{http1, http2},
    header::{CONTENT_TYPE, HOST, HeaderValue, USER_AGENT},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::Semaphore,
};
use tokio_rustls::TlsConnector;

use crate::{agreement::NetworkList, wire::ssp::codec::MEDIA_TYPE};

/// One server of a peer.
pub(super) struct Client {
    target: Target,
    idle: Mutex<Vec<http1::SendRequest<Full<Bytes>>>>,
    multiplexed: Mutex<Option<http2::SendRequest<Full<Bytes>>>>,
    connections: Semaphore,
    uri: Uri,
    host: HeaderValue,
}

/// Where and how to connect.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) host: Arc<str>,
    pub(super) port: u16,
    pub(super) addresses: Arc<[IpAddr]>,
    pub(super) networks: NetworkList,
    /// TLS, and the name to ask for (SNI); absent for plain HTTP.
    pub(super) tls: Option<(Arc<ClientConfig>, String)>,
    pub(super) connections: usize,
    pub(super) connect_timeout: Duration,
    pub(super) exchange_timeout: Duration,
}

/// Why an exchange came to nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum PostError {
    /// No address, or none that the agreement allows.
    #[error("{0}")]
    NotAllowed(String),
    /// Nobody answers there.
    #[error("can't connect to {server}: {reason}")]
    Connect { server: String, reason: String },
    /// The TLS handshake failed.
    #[error("TLS with {server}: {reason}")]
    Tls { server: String, reason: String },
    /// The connection was closed without an answer; the document may have been read.
    #[error("{server} closed the connection without an answer")]
    Closed { server: String },
    /// No answer in time; the document may have been read.
    #[error("{server} did not answer in time")]
    Timeout { server: String },
}

impl Client {
    pub(super) fn new(target: Target) -> Self {
        let authority = format!("{}:{}", target.host, target.port);
        let scheme = if target.tls.is_some() { "https" } else { "http" };
        Self {
            idle: Mutex::default(),
            multiplexed: Mutex::default(),
            connections: Semaphore::new(target.connections.max(1)),
            uri: format!("{scheme}://{authority}/").parse().unwrap_or_default(),
            host: HeaderValue::from_str(&authority).unwrap_or(HeaderValue::from_static("invalid")),
            target,
        }
    }

    /// Posts a document; the HTTP status that it was answered with.
    pub(super) async fn post(
        &self,
        body: Bytes,
        headers: &[(&'static str, String)],
    ) -> Result<u16, PostError> {
        let exchange = self.exchange(body, headers);
        match tokio::time::timeout(self.target.exchange_timeout, exchange).await {
            Ok(status) => status,
            Err(_) => Err(PostError::Timeout {
                server: self.server(),
            }),
        }
    }

    async fn exchange(&self, body: Bytes, headers: &[(&'static str, String)]) -> Result<u16, PostError> {
        let known = self
            .multiplexed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(mut sender) = known.filter(|sender| !sender.is_closed()) {
            match sender.try_send_request(self.request(&body, headers, false)).await {
                Ok(response) => return Ok(response.status().as_u16()),
                Err(mut error) => {
                    self.multiplexed
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .take();
                    // Only what was never written may be sent again on another connection.
                    if error.take_message().is_none() {
                        return Err(PostError::Closed {
                            server: self.server(),
                        });
                    }
                }
            }
        }
        let Ok(_place) = self.connections.acquire().await else {
            return Err(PostError::Closed {
                server: self.server(),
            });
        };
        // A kept connection may have been closed by the peer meanwhile: then a fresh one is tried, once.
        while let Some(mut sender) = self.take_idle() {
            if sender.ready().await.is_err() {
                continue;
            }
            match sender.try_send_request(self.request(&body, headers, true)).await {
                Ok(response) => return Ok(self.finish(sender, response).await),
                Err(mut error) => {
                    if error.take_message().is_none() {
                        return Err(PostError::Closed {
                            server: self.server(),
                        });
                    }
                }
            }
        }
        match self.connect().await? {
            Connection::Http1(mut sender) => {
                let response = sender.send_request(self.request(&body, headers, true)).await;
                let response = response.map_err(|_| PostError::Closed {
                    server: self.server(),
                })?;
                Ok(self.finish(sender, response).await)
            }
            Connection::Http2(mut sender) => {
                *self.multiplexed.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender.clone());
                let response = sender.send_request(self.request(&body, headers, false)).await;
                let response = response.map_err(|_| PostError::Closed {
                    server: self.server(),
                })?;
                Ok(response.status().as_u16())
            }
        }
    }

    async fn finish(
        &self,
        sender: http1::SendRequest<Full<Bytes>>,
        response: hyper::Response<hyper::body::Incoming>,
    ) -> u16 {
        let status = response.status().as_u16();
        // The body never says anything; it is read, within a bound, only to keep the connection.
        let mut body = http_body_util::Limited::new(response.into_body(), MAX_ANSWER);
        while let Some(frame) = body.frame().await {
            if frame.is_err() {
                return status;
            }
        }
        if !sender.is_closed() {
            self.idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(sender);
        }
        status
    }

    fn take_idle(&self) -> Option<http1::SendRequest<Full<Bytes>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn request(
        &self,
        body: &Bytes,
        headers: &[(&'static str, String)],
        is_http1: bool,
    ) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = hyper::Method::POST;
        *request.uri_mut() = if is_http1 {
            Uri::from_static("/")
        } else {
            self.uri.clone()
        };
        let fields = request.headers_mut();
        if is_http1 {
            fields.insert(HOST, self.host.clone());
        }
        fields.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        fields.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("impsgw/", env!("CARGO_PKG_VERSION"))),
        );
        for (name, value) in headers {
            if let Ok(value) = HeaderValue::from_str(value) {
                fields.insert(*name, value);
            }
        }
        request
    }

    async fn connect(&self) -> Result<Connection, PostError> {
        let stream = self.connect_tcp().await?;
        let _ = stream.set_nodelay(true);
        let Some((config, name)) = &self.target.tls else {
            return self.speak_http1(stream).await;
        };
        let tls = |reason: String| PostError::Tls {
            server: self.server(),
            reason,
        };
        let name = ServerName::try_from(name.clone()).map_err(|error| tls(error.to_string()))?;
        let handshake = TlsConnector::from(Arc::clone(config)).connect(name, stream);
        let stream = tokio::time::timeout(self.target.connect_timeout, handshake)
            .await
            .map_err(|_| tls("the handshake took too long".into()))?
            .map_err(|error| tls(error.to_string()))?;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        if is_http2 {
            self.speak_http2(stream).await
        } else {
            self.speak_http1(stream).await
        }
    }

    async fn connect_tcp(&self) -> Result<TcpStream, PostError> {
        let addresses = if self.target.addresses.is_empty() {
            let lookup = tokio::net::lookup_host((&*self.target.host, self.target.port)).await;
            let found = lookup.map(|found| found.map(|address| address.ip()).collect::<Vec<_>>());
            found.map_err(|error| PostError::Connect {
                server: self.server(),
                reason: error.to_string(),
            })?
        } else {
            self.target.addresses.to_vec()
        };
        let allowed: Vec<_> = addresses
            .iter()
            .copied()
            .filter(|address| self.target.networks.allows(*address))
            .collect();
        if allowed.is_empty() {
            let text = format!(
                "{}: no address of {addresses:?} is within allowed_networks",
                self.server()
            );
            return Err(PostError::NotAllowed(text));
        }
        let mut reason = String::new();
        for address in allowed {
            let connect = TcpStream::connect(SocketAddr::new(address, self.target.port));
            match tokio::time::timeout(self.target.connect_timeout, connect).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => reason = format!("{address}: {error}"),
                Err(_) => reason = format!("{address}: no answer in time"),
            }
        }
        Err(PostError::Connect {
            server: self.server(),
            reason,
        })
    }

    async fn speak_http1<S>(&self, stream: S) -> Result<Connection, PostError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let started = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = started.map_err(|error| self.refused(&error))?;
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(Connection::Http1(sender))
    }

    async fn speak_http2<S>(&self, stream: S) -> Result<Connection, PostError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let started = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(Duration::from_secs(30))
            .handshake(TokioIo::new(stream))
            .await;
        let (sender, connection) = started.map_err(|error| self.refused(&error))?;
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(Connection::Http2(sender))
    }

    fn refused(&self, error: &hyper::Error) -> PostError {
        PostError::Connect {
            server: self.server(),
            reason: error.to_string(),
        }
    }

    fn server(&self) -> String {
        format!("{}:{}", self.target.host, self.target.port)
    }
}

enum Connection {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// An answer has no body; a peer that sends one anyway may send this much.
const MAX_ANSWER: usize = 64 * 1024;
