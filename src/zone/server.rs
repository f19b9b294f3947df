//! Zones on a socket: UDP and TCP on one port, EDNS, truncation, no transfers, and a look at the files each second.
//!
//! hickory-server reads and writes the messages; the answers come from [`ZoneSet`]. A running server never goes down
//! over a bad file or a bad packet. One server is one view; a second view is a second server on another address.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use hickory_proto::op::{Edns, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::{DNSClass, RecordType};
use hickory_server::net::runtime::Time;
use hickory_server::net::xfer::Protocol;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo, Server};
use hickory_server::zone_handler::MessageResponseBuilder;
use thiserror::Error;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{Mutex, broadcast};
use tokio::task::JoinSet;

use super::names::from_hickory;
use super::reply::Reply;
use super::set::{Reloaded, ZoneSet};
use crate::wire::naptr::Name;

/// A running server. Dropping it ends it at once; [`ZoneServer::shutdown`] ends it in order.
pub struct ZoneServer {
    local_addr: SocketAddr,
    shared: Arc<Shared>,
    server: Server<Handler>,
    /// The task that looks at the files; ends with the server.
    watcher: JoinSet<()>,
}

/// A question as it arrived.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SeenQuery {
    /// The asked name.
    pub name: Name,
    /// The asked type's code.
    pub rtype: RecordType,
    /// Whether it came over TCP.
    pub tcp: bool,
    /// Who asked.
    pub from: SocketAddr,
}

/// Told of every question before it is answered; runs on the server's task, so it must not block.
pub type Observer = Arc<dyn Fn(&SeenQuery) + Send + Sync>;

/// The server could not begin.
#[derive(Debug, Error)]
pub enum StartError {
    /// The address is in use, or not ours.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

impl ZoneServer {
    /// Serves the zones on this address, UDP and TCP; port 0 takes a free one.
    ///
    /// # Errors
    /// [`StartError::Listen`].
    pub async fn start(zones: ZoneSet, listen: SocketAddr) -> Result<Self, StartError> {
        Self::start_observed(zones, listen, Arc::new(|_: &SeenQuery| {})).await
    }

    /// As [`ZoneServer::start`], with someone who is told of every question.
    ///
    /// # Errors
    /// [`StartError::Listen`].
    pub async fn start_observed(
        zones: ZoneSet,
        listen: SocketAddr,
        observer: Observer,
    ) -> Result<Self, StartError> {
        let failed = |source| StartError::Listen {
            address: listen,
            source,
        };
        let (udp, tcp) = bind(listen).await.map_err(failed)?;
        let local_addr = udp.local_addr().map_err(failed)?;
        let shared = Arc::new(Shared {
            zones: ArcSwap::from_pointee(zones),
            reloading: Mutex::new(Reloaded::default()),
            reloads: broadcast::Sender::new(MISSED_RELOADS),
            queries: AtomicU64::new(0),
            observer,
        });
        let mut server = Server::new(Handler(shared.clone()));
        server.register_socket(udp);
        server.register_listener(tcp, TCP_IDLE, TCP_RESPONSES);
        let mut watcher = JoinSet::new();
        watcher.spawn(watch(shared.clone()));
        Ok(Self {
            local_addr,
            shared,
            server,
            watcher,
        })
    }

    /// Where it listens, with the port that was taken.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// How many questions arrived since the start.
    pub fn queries(&self) -> u64 {
        self.shared.queries.load(Ordering::Relaxed)
    }

    /// What is served now.
    pub fn zones(&self) -> Arc<ZoneSet> {
        self.shared.zones.load_full()
    }

    /// Reads every file again now; what is good is served from the next question on.
    pub async fn reload(&self) -> Reloaded {
        self.shared.reload(true).await
    }

    /// Serves these zones from the next question on.
    pub async fn replace(&self, zones: ZoneSet) {
        let _reloading = self.shared.reloading.lock().await;
        self.shared.zones.store(Arc::new(zones));
    }

    /// What every reload says from now on, whoever began it: [`ZoneServer::reload`], or the look at the files, which says
    /// nothing when nothing changed.
    pub fn reloads(&self) -> broadcast::Receiver<Reloaded> {
        self.shared.reloads.subscribe()
    }

    /// Stops listening and waits for the sockets to close.
    pub async fn shutdown(mut self) {
        self.watcher.shutdown().await;
        if let Err(fault) = self.server.shutdown_gracefully().await {
            tracing::warn!(%fault, "the zone server did not end in order");
        }
    }
}

/// What the sockets, the watcher and the owner share.
struct Shared {
    zones: ArcSwap<ZoneSet>,
    /// One reload at a time; holds what the last one said, so that the watcher does not repeat itself.
    reloading: Mutex<Reloaded>,
    reloads: broadcast::Sender<Reloaded>,
    queries: AtomicU64,
    observer: Observer,
}

impl Shared {
    async fn reload(&self, all: bool) -> Reloaded {
        let mut said = self.reloading.lock().await;
        let before = self.zones.load_full();
        let Ok((after, report)) = tokio::task::spawn_blocking(move || before.refreshed(all)).await else {
            return Reloaded::default();
        };
        self.zones.store(Arc::new(after));
        let has_changed = !report.changed.is_empty() || !report.removed.is_empty();
        if all || has_changed || *said != report && !report.is_empty() {
            log(&report);
            // Nobody need listen.
            let _ = self.reloads.send(report.clone());
        }
        *said = report.clone();
        report
    }

    fn reply(&self, request: &Request) -> Reply {
        let Ok(asked) = request.request_info() else {
            return Reply::empty(ResponseCode::FormErr);
        };
        let Some(name) = from_hickory(asked.query.original().name()) else {
            return Reply::empty(ResponseCode::FormErr);
        };
        let rtype = asked.query.query_type();
        self.queries.fetch_add(1, Ordering::Relaxed);
        (self.observer)(&SeenQuery {
            name: name.clone(),
            rtype,
            tcp: request.protocol() != Protocol::Udp,
            from: request.src(),
        });
        if request.metadata.op_code != OpCode::Query {
            return Reply::empty(ResponseCode::NotImp);
        }
        let transfer = matches!(rtype, RecordType::AXFR | RecordType::IXFR);
        if transfer || asked.query.query_class() != DNSClass::IN {
            return Reply::empty(ResponseCode::Refused);
        }
        self.zones.load().reply(&name, rtype)
    }
}

struct Handler(Arc<Shared>);

#[async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut response: R,
    ) -> ResponseInfo {
        let mut edns = request.edns.as_ref().map(|asked| {
            let mut edns = Edns::new();
            edns.set_version(0);
            edns.set_max_payload(asked.max_payload().clamp(UDP_WITHOUT_EDNS, UDP_PAYLOAD));
            edns
        });
        let unknown_version = request.edns.as_ref().is_some_and(|asked| asked.version() > 0);
        let reply = if unknown_version {
            Reply::empty(ResponseCode::BADVERS)
        } else {
            self.0.reply(request)
        };
        if let Some(edns) = &mut edns {
            edns.set_rcode_high(reply.code.high());
        }
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.response_code = reply.code;
        metadata.authoritative = reply.authoritative;
        metadata.recursion_available = false;
        let message = MessageResponseBuilder::new(&request.queries, edns.as_ref()).build(
            metadata,
            &reply.answers,
            &reply.authorities,
            [],
            &reply.additionals,
        );
        match response.send_response(message).await {
            Ok(sent) => sent,
            Err(fault) => {
                tracing::debug!(%fault, "an answer could not be sent");
                ResponseInfo::from(hickory_proto::op::Header {
                    metadata,
                    counts: hickory_proto::op::HeaderCounts::default(),
                })
            }
        }
    }
}

/// Looks at the files each second, for as long as the server lives.
async fn watch(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        shared.reload(false).await;
    }
}

fn log(report: &Reloaded) {
    for zone in &report.changed {
        tracing::info!(%zone, "the zone is served with its new contents");
    }
    for zone in &report.removed {
        tracing::info!(%zone, "the zone's file is gone, it is not served any more");
    }
    for error in &report.kept {
        tracing::warn!(%error, "the zone file is bad, the zone stays as it was");
    }
}

/// One port for both transports. The system picks a free UDP port; that TCP has it too is likely, not sure.
async fn bind(listen: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let udp = UdpSocket::bind(listen).await?;
        match TcpListener::bind(udp.local_addr()?).await {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(fault) if listen.port() != 0 || attempts == BIND_ATTEMPTS => return Err(fault),
            Err(_) => {}
        }
    }
}

/// How often the files' times and lengths are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a TCP connection may stay silent.
const TCP_IDLE: Duration = Duration::from_secs(10);
/// Answers that may wait on one TCP connection.
const TCP_RESPONSES: usize = 32;
/// The largest UDP answer with EDNS in octets; larger ones come back over TCP instead of in fragments.
const UDP_PAYLOAD: u16 = 1232;
/// RFC 1035 §4.2.1.
const UDP_WITHOUT_EDNS: u16 = 512;
const BIND_ATTEMPTS: u32 = 16;
/// Reloads that one who listens may be behind by.
const MISSED_RELOADS: usize = 64;
