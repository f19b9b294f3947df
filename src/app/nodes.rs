//! Joins this node to the others: its TLS, its listener, its place among them.
//!
//! The listener of peers serves nodes as well, with certificates of the cluster's own authority: a client must show one that
//! names the node it says it is. What is asked goes to [`Cluster::receive`]; what others have asked of that node, to the routes of
//! whoever answers them here.

use std::{
    net::SocketAddr,
    sync::{Arc, Weak},
    time::Duration,
};

use axum::body::Body;
use http_body_util::{BodyExt as _, Limited};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, service::Service as _};
use hyper_util::service::TowerToHyperService;
use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};

use super::{App, StartError, listen::bind, stored::place};
use crate::{
    admin::{Flushes, NodeTopicParts, node_topics, reload_overrides},
    cluster::{Alone, Cluster, ClusterParts, FROM, MAX_BODY, Member, PATH, Refused},
    config::{Config, node_bundle},
    gateways::home::HomeSeat,
    gateways::ssp::{
        SspGateway,
        certificates::Certificates,
        server::{Connection, Exchange, HttpServer, Limits, ServerConfig, ServerTls, TurnedAway},
        tls::{ClientAuthentication, HttpVersions},
    },
    relay::{Relay, Share},
    routing::Router,
    store::{Store, StoreError},
    telemetry::{Clock, Metrics},
};

impl App {
    /// Enters what this node answers to the others.
    pub(super) fn answer_nodes(&self, cluster: &Cluster, metrics: &Arc<Metrics>, clock: &Clock) {
        let parts = NodeTopicParts {
            store: Arc::clone(&self.store),
            router: Arc::clone(&self.router),
            flushes: Arc::clone(&self.flushes),
            peers: self.peers_here(clock),
            not_ready: self.not_ready(metrics),
            clock: clock.clone(),
        };
        let home = self.home.iter().flat_map(HomeSeat::topics);
        for (name, topic) in self
            .gateway
            .topics()
            .into_iter()
            .chain(node_topics(parts))
            .chain(home)
        {
            cluster.answer(name, topic);
        }
    }
}

/// Becomes the only gateway on a store that others could reach.
///
/// # Errors
/// When there are others.
pub(super) async fn alone(
    config: &Config,
    store: &Arc<dyn Store>,
    clock: &Clock,
) -> Result<Arc<Alone>, StartError> {
    let entered = Alone::enter(place(config), Arc::clone(store), clock.clone()).await;
    entered.map_err(StartError::Alone)
}

/// What operators order at any node.
pub(super) struct Orders {
    pub(super) relay: Weak<Relay>,
    pub(super) gateway: Weak<SspGateway>,
    pub(super) router: Arc<Router>,
    pub(super) store: Arc<dyn Store>,
    pub(super) flushes: Arc<Flushes>,
    pub(super) clock: Clock,
}

impl Orders {
    /// Reads again what operators have ordered, whenever the store says that it is something else. A node that heard of it does that
    /// in vain; one that did not, because it was cut off from the others or asleep, follows within a heartbeat.
    pub(super) async fn follow(self, cluster: Arc<Cluster>) {
        let mut orders = cluster.orders();
        loop {
            let version = *orders.borrow_and_update();
            let read = self.read_again().await;
            match read {
                Ok(true) => tracing::debug!(version, "what operators have ordered was read again"),
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(
                        error,
                        "what operators have ordered at other nodes can't be read; it is tried again"
                    );
                    sleep(cluster.heartbeat()).await;
                    continue;
                }
            }
            if orders.changed().await.is_err() {
                return;
            }
        }
    }

    /// `false` when the parts are gone.
    async fn read_again(&self) -> Result<bool, String> {
        let (Some(relay), Some(gateway)) = (self.relay.upgrade(), self.gateway.upgrade()) else {
            return Ok(false);
        };
        let failed = |error: StoreError| error.to_string();
        gateway.load_suspensions().await.map_err(failed)?;
        relay.learn_holds().await.map_err(|refusal| refusal.to_string())?;
        reload_overrides(&*self.store, &self.router, self.clock.now())
            .await
            .map_err(failed)?;
        let count = self.flushes.catch_up().await.map_err(failed)?;
        if count > 0 {
            tracing::info!(count, "the caches were flushed as other nodes were told");
        }
        Ok(true)
    }
}

/// Divides what agreements allow towards peers among the nodes, whenever one comes, drains or goes.
pub(super) async fn divide_limits(cluster: Arc<Cluster>, relay: Weak<Relay>) {
    let mut changes = cluster.changes();
    loop {
        let share = share(&changes.borrow_and_update(), &cluster.me().node);
        match relay.upgrade() {
            Some(relay) => relay.share_limits(share),
            None => return,
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// The part of a node that is there. One that drains, or was taken for dead, leaves the rest to the others.
fn share(members: &[Member], node: &str) -> Share {
    let taking: Vec<&Member> = members.iter().filter(|member| !member.is_draining).collect();
    let place = taking.iter().position(|member| member.node == node);
    match place.and_then(|place| u32::try_from(place).ok()) {
        Some(place) => Share::Part {
            place,
            of: u32::try_from(taking.len()).unwrap_or(u32::MAX),
        },
        None => Share::Least,
    }
}

/// This node's part in the cluster, before it listens.
pub(super) struct Nodes {
    pub(super) cluster: Arc<Cluster>,
    /// What this node shows to the others.
    pub(super) certificates: Arc<Certificates>,
    listener: TcpListener,
    address: SocketAddr,
}

impl Nodes {
    /// Becomes a node; `None` where there is no cluster.
    ///
    /// # Errors
    /// When the certificates, the address or the name can't be used.
    pub(super) async fn join(
        config: &Config,
        bound: Option<TcpListener>,
        (store, clock, metrics): (&Arc<dyn Store>, &Clock, &Arc<Metrics>),
    ) -> Result<Option<Self>, StartError> {
        let Some(cluster) = &config.cluster else {
            return Ok(None);
        };
        let no_address = || StartError::Config("[cluster] listen is not set".into());
        let address = cluster.listen.ok_or_else(no_address)?;
        let listener = bind(address, bound, "nodes").await?;
        let address = listener.local_addr().unwrap_or(address);
        let certificates = Certificates::new(node_bundle(cluster)?);
        let shown = Arc::clone(&certificates);
        let node = config.gateway.node.clone();
        let me = Member {
            incarnation: format!("{node}-{}", incarnation()?),
            address: cluster.advertise.clone().unwrap_or_else(|| address.to_string()),
            since: clock.now(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            is_draining: false,
            node: node.clone(),
        };
        let joined = Cluster::join(ClusterParts {
            config: cluster.clone(),
            me,
            store: Arc::clone(store),
            clock: clock.clone(),
            metrics: Arc::clone(metrics),
            tls: Arc::new(move |other| shown.dialling(&node, vec![other.to_owned()], HttpVersions::Http2)),
        });
        Ok(Some(Self {
            cluster: joined.await?,
            certificates,
            listener,
            address,
        }))
    }

    /// Listens to the other nodes, and shows itself to them; these routes answer what they pass on.
    ///
    /// # Errors
    /// When the system or the store fails.
    pub(super) async fn appear(self, passed_on: axum::Router) -> Result<HttpServer, StartError> {
        let config = ServerConfig {
            tls: Some(ServerTls {
                certificates: self.certificates,
                clients: ClientAuthentication::Required,
            }),
            versions: HttpVersions::Http2,
            limits: LIMITS,
        };
        let door = NodeDoor {
            cluster: Arc::clone(&self.cluster),
            passed_on,
        };
        let started = HttpServer::start(self.listener, config, door);
        let server = started.map_err(|source| StartError::Listen {
            address: self.address,
            purpose: "nodes",
            source,
        })?;
        self.cluster.appear().await?;
        Ok(server)
    }
}

/// Takes requests of other nodes.
struct NodeDoor {
    cluster: Arc<Cluster>,
    passed_on: axum::Router,
}

impl Exchange for NodeDoor {
    type Body = Body;

    async fn answer(&self, connection: Arc<Connection>, request: Request<Incoming>) -> Response<Body> {
        match self.take(&connection, request).await {
            Ok(answer) => answer,
            Err((status, reason)) => {
                tracing::warn!(source = %connection.source, %status, reason, "a request of a node was refused");
                let mut response = Response::new(Body::from(reason));
                *response.status_mut() = status;
                response
            }
        }
    }

    fn turned_away(&self, source: SocketAddr, reason: &TurnedAway) {
        tracing::warn!(%source, %reason, section = "cluster", "a connection was turned away");
    }
}

impl NodeDoor {
    async fn take(
        &self,
        connection: &Connection,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, (StatusCode, String)> {
        let refused = |status: StatusCode, reason: &str| (status, reason.to_owned());
        let from = request.headers().get(FROM).and_then(|name| name.to_str().ok());
        let from =
            from.ok_or_else(|| refused(StatusCode::BAD_REQUEST, "it does not say of which node it is"))?;
        let proves = connection.peer.as_ref().is_some_and(|peer| peer.speaks_for(from));
        if !proves {
            return Err(refused(
                StatusCode::FORBIDDEN,
                "the certificate does not name the node",
            ));
        }
        if !request.uri().path().starts_with(PATH) {
            let answer = TowerToHyperService::new(self.passed_on.clone())
                .call(request)
                .await;
            return Ok(answer.unwrap_or_else(|never| match never {}));
        }
        let from = from.to_owned();
        let (parts, body) = request.into_parts();
        let topic = parts.uri.path().strip_prefix(PATH);
        let topic = topic.filter(|_| parts.method == Method::POST);
        let topic = topic.ok_or_else(|| refused(StatusCode::NOT_FOUND, "no POST of a topic"))?;
        let body = timeout(LIMITS.body, Limited::new(body, MAX_BODY).collect()).await;
        let body =
            body.map_err(|_| refused(StatusCode::REQUEST_TIMEOUT, "the request did not come in time"))?;
        let too_large = |_| {
            refused(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the request is too large or broke off",
            )
        };
        let answered = self
            .cluster
            .receive(&from, topic, body.map_err(too_large)?.to_bytes())
            .await;
        let answered = answered.map_err(|refusal| (status(&refusal), refusal.to_string()))?;
        Ok(Response::new(Body::from(answered)))
    }
}

fn status(refusal: &Refused) -> StatusCode {
    match refusal {
        Refused::UnknownTopic => StatusCode::NOT_FOUND,
        Refused::Busy => StatusCode::SERVICE_UNAVAILABLE,
        Refused::TooSlow(_) => StatusCode::GATEWAY_TIMEOUT,
        Refused::Unreadable => StatusCode::BAD_REQUEST,
        Refused::Not(_) => StatusCode::CONFLICT,
    }
}

/// What no other process of the node's name has.
fn incarnation() -> Result<String, StartError> {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use ring::rand::{SecureRandom as _, SystemRandom};
    let mut octets = [0_u8; 6];
    SystemRandom::new()
        .fill(&mut octets)
        .map_err(|_| StartError::Config("the system gives no random numbers".into()))?;
    Ok(URL_SAFE_NO_PAD.encode(octets))
}

/// A few nodes, each with one connection, and more for what it passes on (`src/cluster/passing.rs`).
const LIMITS: Limits = Limits {
    handshake: Duration::from_secs(5),
    first_request: Duration::from_secs(5),
    body: Duration::from_secs(5),
    body_size: MAX_BODY,
    connections: 256,
    connections_per_source: 64,
    requests_per_connection: 256,
    ..Limits::DEFAULT
};
