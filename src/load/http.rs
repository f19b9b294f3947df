//! HTTP/1.1 as lean as a load tool needs it: POSTs with a length, kept connections, nothing else.
//!
//! It shares the machine with what it measures, so it does little: one buffer a connection, no header map. It speaks to
//! itself, to the gateway and to nginx only; anything else on the socket ends the connection.

use std::{
    io::{Error, ErrorKind, Result},
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use rustls::{ClientConfig, ServerConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::wire::ssp::MEDIA_TYPE;

/// A client of one server, or of several that are one, with a bounded number of connections.
pub(super) struct Poster {
    servers: Vec<Server>,
    /// Whose turn it is.
    turn: AtomicUsize,
    host: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    places: Semaphore,
}

struct Server {
    address: SocketAddr,
    idle: Mutex<Vec<Wire>>,
}

impl Poster {
    /// A client for the servers at these addresses, asked in turn and by the name `host`, with so many connections to each.
    pub(super) fn new(
        addresses: &[SocketAddr],
        host: &str,
        tls: Option<Arc<ClientConfig>>,
        connections: usize,
    ) -> Result<Self> {
        let named = |config| {
            let name = ServerName::try_from(host.to_owned()).map_err(Error::other)?;
            Ok::<_, Error>((TlsConnector::from(config), name))
        };
        let server = |address: &SocketAddr| Server {
            address: *address,
            idle: Mutex::default(),
        };
        Ok(Self {
            servers: addresses.iter().map(server).collect(),
            turn: AtomicUsize::new(0),
            host: host.to_owned(),
            tls: tls.map(named).transpose()?,
            places: Semaphore::new(connections * addresses.len()),
        })
    }

    /// Posts a body to a path; the status and the body of the answer.
    pub(super) async fn post(&self, path: &str, body: &[u8]) -> Result<(u16, Bytes)> {
        let _place = self.places.acquire().await.map_err(Error::other)?;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.servers.len().max(1);
        let server = self.servers.get(turn).ok_or(ErrorKind::NotConnected)?;
        let idle = || server.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle().pop();
        let mut wire = match kept {
            Some(wire) => wire,
            None => self.connect(server.address).await?,
        };
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Length: {}\r\n\r\n",
            self.host,
            body.len()
        );
        wire.write(head.as_bytes(), body).await?;
        let answer = wire.read().await?.ok_or(ErrorKind::UnexpectedEof)?;
        let status = answer.status().ok_or(ErrorKind::InvalidData)?;
        if !answer.closes {
            idle().push(wire);
        }
        Ok((status, answer.body))
    }

    async fn connect(&self, address: SocketAddr) -> Result<Wire> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Wire::new(match &self.tls {
            None => Box::new(stream),
            Some((connector, name)) => Box::new(connector.connect(name.clone(), stream).await?),
        }))
    }
}

/// What a server does with a request.
pub(super) trait Handler: Send + Sync + 'static {
    /// The status and body to answer with; must not block.
    fn answer(&self, request: Message) -> (u16, Bytes);
}

/// Serves until the task is dropped.
pub(super) async fn serve(listener: TcpListener, tls: Option<Arc<ServerConfig>>, handler: Arc<dyn Handler>) {
    let acceptor = tls.map(TlsAcceptor::from);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            continue;
        };
        let (acceptor, handler) = (acceptor.clone(), Arc::clone(&handler));
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let stream: Box<dyn Stream> = match acceptor {
                None => Box::new(stream),
                Some(acceptor) => match acceptor.accept(stream).await {
                    Ok(stream) => Box::new(stream),
                    Err(error) => return tracing::warn!(%error, "TLS refused"),
                },
            };
            if let Err(error) = serve_stream(Wire::new(stream), &*handler).await {
                tracing::debug!(%error, "a connection ended badly");
            }
        });
    }
}

async fn serve_stream(mut wire: Wire, handler: &dyn Handler) -> Result<()> {
    while let Some(request) = wire.read().await? {
        let (status, body) = handler.answer(request);
        let head = format!("HTTP/1.1 {status} -\r\nContent-Length: {}\r\n\r\n", body.len());
        wire.write(head.as_bytes(), &body).await?;
    }
    Ok(())
}

/// A request or an answer.
pub(super) struct Message {
    start: Bytes,
    /// The name in the `Host` field, without a port.
    pub(super) host: Option<String>,
    pub(super) body: Bytes,
    closes: bool,
}

impl Message {
    fn status(&self) -> Option<u16> {
        self.word(1)?.parse().ok()
    }

    /// The path of a request.
    pub(super) fn path(&self) -> &str {
        self.word(1).unwrap_or_default()
    }

    fn word(&self, index: usize) -> Option<&str> {
        std::str::from_utf8(&self.start)
            .ok()?
            .split_ascii_whitespace()
            .nth(index)
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

struct Wire {
    stream: Box<dyn Stream>,
    buffer: BytesMut,
    out: Vec<u8>,
}

impl Wire {
    fn new(stream: Box<dyn Stream>) -> Self {
        Self {
            stream,
            buffer: BytesMut::with_capacity(8 * 1024),
            out: Vec::with_capacity(4 * 1024),
        }
    }

    async fn write(&mut self, head: &[u8], body: &[u8]) -> Result<()> {
        self.out.clear();
        self.out.extend_from_slice(head);
        self.out.extend_from_slice(body);
        self.stream.write_all(&self.out).await?;
        self.stream.flush().await
    }

    /// The next message; `None` when the other side closed between two.
    async fn read(&mut self) -> Result<Option<Message>> {
        let mut seen = 0;
        let end = loop {
            let from = seen.min(self.buffer.len());
            let found = self
                .buffer
                .get(from..)
                .and_then(|rest| rest.windows(4).position(|four| four == b"\r\n\r\n"));
            if let Some(at) = found {
                break from + at + 4;
            }
            seen = self.buffer.len().saturating_sub(3);
            if !self.fill().await? {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(ErrorKind::UnexpectedEof.into())
                };
            }
        };
        let head = self.buffer.split_to(end).freeze();
        let mut message = parse_head(&head)?;
        while self.buffer.len() < message.length {
            if !self.fill().await? {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        message.message.body = self.buffer.split_to(message.length).freeze();
        Ok(Some(message.message))
    }

    async fn fill(&mut self) -> Result<bool> {
        self.buffer.reserve(4 * 1024);
        Ok(self.stream.read_buf(&mut self.buffer).await? > 0)
    }
}

struct Head {
    message: Message,
    length: usize,
}

fn parse_head(head: &Bytes) -> Result<Head> {
    let text = std::str::from_utf8(head).map_err(Error::other)?;
    let mut lines = text.split("\r\n");
    let start = lines.next().unwrap_or_default();
    let mut parsed = Head {
        message: Message {
            start: head.slice_ref(start.as_bytes()),
            host: None,
            body: Bytes::new(),
            closes: false,
        },
        length: 0,
    };
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            parsed.length = value.parse().map_err(Error::other)?;
        } else if name.eq_ignore_ascii_case("host") {
            let host = value.rsplit_once(':').map_or(value, |(host, _)| host);
            parsed.message.host = Some(host.to_owned());
        } else if name.eq_ignore_ascii_case("connection") {
            parsed.message.closes = value.eq_ignore_ascii_case("close");
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(Error::new(ErrorKind::Unsupported, "a body without a length"));
        }
    }
    Ok(parsed)
}
