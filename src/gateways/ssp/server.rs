//! The listener of documents: what is left of a request is a document from a known place.
//!
//! An SSP document comes as the body of a POST, and the HTTP answer has no body: 200 only says that the document was taken.
//! So a `Handler` must be quick. What isn't a bounded POST of the right type never reaches it. Sockets, TLS, HTTP/1.1 and
//! HTTP/2 and what clients may take up are `http.rs`'s. Source: SSP reference §1, §14 item 19.

mod admission;
mod arrival;
mod http;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::{Request, Response, Version};
use tokio::net::TcpListener;

use admission::Room;
use arrival::{empty_response, read, refusal};

pub use arrival::{Answer, Arrival, X_WV_SESSION_ID, X_WV_TRANSACTION_ID};
pub use http::{Connection, Exchange, HttpServer, Limits, ServerConfig, ServerTls, TurnedAway};

/// A listener of documents that runs until `shut_down`, or until it is dropped.
#[derive(Debug)]
pub struct SspServer(HttpServer);

/// Takes documents.
pub trait Handler: Send + Sync + 'static {
    /// Takes one document; the future runs on the connection's task and should only parse, check and queue.
    fn take(&self, arrival: Arrival) -> impl Future<Output = Answer> + Send;

    /// Whether clients are to close their connections, because the listener does so soon.
    fn is_leaving(&self) -> bool {
        false
    }

    /// Somebody was turned away before a document was there; for counters and logs.
    fn turned_away(&self, source: SocketAddr, reason: &TurnedAway) {
        let _ = (source, reason);
    }
}

impl SspServer {
    /// Starts to accept on a bound socket.
    ///
    /// # Errors
    ///
    /// The system's, when it does not know the socket's address.
    pub fn start<H: Handler>(listener: TcpListener, config: ServerConfig, handler: H) -> io::Result<Self> {
        let limits = config.limits;
        let documents = Documents {
            handler,
            limits,
            room: Room::new(limits.reading),
        };
        HttpServer::start(listener, config, documents).map(Self)
    }

    /// The bound address, with the port that the system chose.
    pub const fn local_address(&self) -> SocketAddr {
        self.0.local_address()
    }

    /// Stops accepting, lets requests under way end within `grace`, then closes what is left.
    ///
    /// # Cancel safety
    ///
    /// When dropped half-way, everything is closed at once.
    pub async fn shut_down(self, grace: Duration) {
        self.0.shut_down(grace).await;
    }
}

/// Requests as documents.
struct Documents<H> {
    handler: H,
    limits: Limits,
    /// For what is read from clients that nobody vouches for.
    room: Room,
}

impl<H: Handler> Exchange for Documents<H> {
    type Body = Empty<Bytes>;

    async fn answer(
        &self,
        connection: Arc<Connection>,
        request: Request<Incoming>,
    ) -> Response<Empty<Bytes>> {
        let version = request.version();
        let source = connection.source;
        let room = connection.peer.is_none().then_some(&self.room);
        match read(&self.limits, room, request).await {
            Ok((uri, headers, body)) => {
                let arrival = Arrival {
                    connection,
                    uri,
                    headers,
                    body,
                };
                let mut response = empty_response(self.handler.take(arrival).await.status());
                if version <= Version::HTTP_11 && self.handler.is_leaving() {
                    let closes = HeaderValue::from_static("close");
                    response.headers_mut().insert(CONNECTION, closes);
                }
                response
            }
            Err(status) => {
                self.turned_away(source, &TurnedAway::Request(status.as_u16()));
                refusal(status, version)
            }
        }
    }

    fn turned_away(&self, source: SocketAddr, reason: &TurnedAway) {
        self.handler.turned_away(source, reason);
    }
}
