//! From a target to an HTTP connection: address filter, TCP, TLS, HTTP version.

use std::borrow::Cow;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{PostError, Scheme, Target, exclusive::Exclusive};
use crate::gateways::ssp::certificates::Certificates;
use crate::gateways::ssp::tls::{self, HttpVersions, PeerIdentity, TlsFailure};

/// Makes connections to one target.
#[derive(Debug)]
pub(super) struct Dialler {
    target: Target,
    server_name: ServerName<'static>,
    patience: Duration,
    tls: Mutex<Option<(u64, Arc<rustls::ClientConfig>)>>,
    /// Whether TLS was found missing where that is allowed.
    fell_back: AtomicBool,
}

/// A connection that is ready for requests.
pub(super) enum Dialled {
    Http1(Exclusive),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// What a handshake without a request found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Handshake {
    /// The address that took the connection.
    pub address: SocketAddr,
    /// Of TLS, for instance `TLSv1_3`; `None` on a plain connection.
    pub tls_version: Option<String>,
    /// The HTTP version that the server chose in TLS, for instance `h2`.
    pub protocol: Option<String>,
    /// Whom the server's certificate speaks for.
    pub peer: Option<PeerIdentity>,
}

impl Dialler {
    pub(super) const fn new(target: Target, server_name: ServerName<'static>, patience: Duration) -> Self {
        Self {
            target,
            server_name,
            patience,
            tls: Mutex::new(None),
            fell_back: AtomicBool::new(false),
        }
    }

    /// Of the certificates in force; connections of another one are not used again.
    pub(super) fn generation(&self) -> Option<u64> {
        self.certificates().map(|certificates| certificates.number())
    }

    pub(super) fn is_plain(&self) -> bool {
        self.certificates().is_none()
    }

    pub(super) fn forget_fall_back(&self) {
        self.fell_back.store(false, Ordering::Relaxed);
    }

    pub(super) async fn dial(&self) -> Result<(Dialled, SocketAddr), PostError> {
        let mut last = PostError::NoAddress;
        for address in &*self.addresses().await? {
            match self.dial_address(*address).await {
                Ok(dialled) => return Ok((dialled, SocketAddr::new(*address, self.target.port))),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    pub(super) async fn shake_hands(&self) -> Result<Handshake, PostError> {
        let mut last = PostError::NoAddress;
        for address in &*self.addresses().await? {
            match self.shake_hands_with(*address).await {
                Ok(handshake) => return Ok(handshake),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn dial_address(&self, address: IpAddr) -> Result<Dialled, PostError> {
        let (stream, address) = self.connect(address).await?;
        let Some(certificates) = self.certificates() else {
            return self.speak_http(stream, None).await;
        };
        match self.secure(stream, address, certificates).await {
            Ok(stream) => {
                let protocol = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
                self.speak_http(stream, protocol.as_deref()).await
            }
            Err(reason) if self.may_fall_back(&reason) => {
                let (stream, _) = self.connect(address.ip()).await?;
                self.fell_back.store(true, Ordering::Relaxed);
                self.speak_http(stream, None).await
            }
            Err(reason) => Err(PostError::Tls { address, reason }),
        }
    }

    async fn shake_hands_with(&self, address: IpAddr) -> Result<Handshake, PostError> {
        let (stream, address) = self.connect(address).await?;
        let Some(certificates) = self.certificates() else {
            return Ok(Handshake {
                address,
                tls_version: None,
                protocol: None,
                peer: None,
            });
        };
        let failed = |reason| PostError::Tls { address, reason };
        let mut stream = self.secure(stream, address, certificates).await.map_err(failed)?;
        // Silence is good news: a server that refuses says so at once.
        if let Ok(Err(error)) = timeout(LATE_REFUSAL, stream.read(&mut [0])).await {
            return Err(failed(TlsFailure::of_handshake(&error)));
        }
        let session = stream.get_ref().1;
        let certificate = session.peer_certificates().and_then(|chain| chain.first());
        Ok(Handshake {
            address,
            tls_version: session
                .protocol_version()
                .and_then(|version| version.as_str())
                .map(str::to_owned),
            protocol: session
                .alpn_protocol()
                .map(|name| String::from_utf8_lossy(name).into_owned()),
            peer: certificate.map(PeerIdentity::of).transpose().map_err(failed)?,
        })
    }

    async fn addresses(&self) -> Result<Cow<'_, [IpAddr]>, PostError> {
        let Target {
            host,
            port,
            addresses,
            ..
        } = &self.target;
        if !addresses.is_empty() {
            return Ok(Cow::Borrowed(addresses));
        }
        let failed = |source| PostError::Unresolved {
            host: host.clone(),
            source,
        };
        let found = timeout(self.patience, lookup_host((&**host, *port)));
        let found = found
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        Ok(found.map_err(failed)?.map(|address| address.ip()).collect())
    }

    async fn connect(&self, address: IpAddr) -> Result<(TcpStream, SocketAddr), PostError> {
        if !self.target.networks.allows(address) {
            return Err(PostError::NotAllowed { address });
        }
        let address = SocketAddr::new(address, self.target.port);
        match timeout(self.patience, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let _ = stream.set_nodelay(true);
                Ok((stream, address))
            }
            Ok(Err(source)) => Err(PostError::Unreachable { address, source }),
            Err(_) => Err(PostError::ConnectTimedOut { address }),
        }
    }

    async fn secure(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        certificates: &Certificates,
    ) -> Result<TlsStream<TcpStream>, TlsFailure> {
        let config = self
            .config(certificates)
            .map_err(|error| TlsFailure::from(&error))?;
        let handshake = TlsConnector::from(config).connect(self.server_name.clone(), stream);
        match timeout(self.patience, handshake).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(TlsFailure::of_handshake(&error)),
            Err(_) => {
                tracing::debug!(%address, "the TLS handshake took too long");
                Err(TlsFailure::TimedOut)
            }
        }
    }

    fn config(&self, certificates: &Certificates) -> Result<Arc<rustls::ClientConfig>, rustls::Error> {
        let generation = certificates.current();
        let mut cached = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((number, config)) = &*cached
            && *number == generation.number
        {
            return Ok(config.clone());
        }
        let references = std::iter::once(&self.target.service_domain).chain(&self.target.other_names);
        let references = references.cloned().collect();
        let target = &self.target;
        let config = tls::client_config(&generation, &target.own_domain, references, target.versions)?;
        let config = Arc::new(config);
        *cached = Some((generation.number, config.clone()));
        Ok(config)
    }

    async fn speak_http(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        protocol: Option<&[u8]>,
    ) -> Result<Dialled, PostError> {
        let io = TokioIo::new(stream);
        let is_http2 = match protocol {
            Some(protocol) => protocol == b"h2",
            None => self.target.versions == HttpVersions::Http2,
        };
        let broken = |error| PostError::BrokenBefore(Some(error));
        if is_http2 {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder
                .timer(TokioTimer::new())
                .keep_alive_interval(PING_INTERVAL)
                .keep_alive_timeout(self.patience);
            let (sender, connection) = builder.handshake(io).await.map_err(broken)?;
            tokio::spawn(connection);
            Ok(Dialled::Http2(sender))
        } else {
            let mut builder = http1::Builder::new();
            builder.max_buf_size(READ_BUFFER);
            let (sender, connection) = builder.handshake(io).await.map_err(broken)?;
            Ok(Dialled::Http1(Exclusive::new(sender, connection)))
        }
    }

    /// Plain servers meet a TLS greeting with a closed connection, with garbage, or with silence.
    fn may_fall_back(&self, reason: &TlsFailure) -> bool {
        matches!(self.target.scheme, Scheme::HttpsThenHttp(_))
            && (reason.is_not_tls() || *reason == TlsFailure::TimedOut)
    }

    /// `None` when TLS is not used.
    fn certificates(&self) -> Option<&Arc<Certificates>> {
        match &self.target.scheme {
            Scheme::Https(certificates) => Some(certificates),
            Scheme::HttpsThenHttp(certificates) => {
                (!self.fell_back.load(Ordering::Relaxed)).then_some(certificates)
            }
            Scheme::Http => None,
        }
    }
}

const LATE_REFUSAL: Duration = Duration::from_millis(300);
const PING_INTERVAL: Duration = Duration::from_secs(30);
const READ_BUFFER: usize = 16 * 1024;
