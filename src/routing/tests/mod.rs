//! Routing over a real socket: the live vectors of ENUM and SRV routing §18, caches under a clock that stands still.

mod caches;
pub(crate) mod dns;
mod enum_live;
mod memory;
mod numbers;
mod srv_live;
mod transport;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use self::dns::Dns;
use super::{
    ApexConfig, CacheConfig, Explain, HomeDirectory, Plan, RouteFailure, RouteService, Routed, Router,
    RoutingConfig, Trust, ViewConfig,
};
use crate::{
    model::{Domain, Protocol, Timestamp, WvAddress},
    telemetry::{Clock, ClockHand},
};

/// A router before one DNS server, under a clock that stands still.
pub(super) struct Net {
    pub(super) dns: Dns,
    pub(super) router: Router,
    pub(super) home: Arc<Accounts>,
    clock: Clock,
    hand: ClockHand,
}

/// Accounts that a test opens and closes.
#[derive(Debug, Default)]
pub(super) struct Accounts(Mutex<HashMap<String, Domain>>);

impl HomeDirectory for Accounts {
    fn account(&self, address: &WvAddress) -> Option<Domain> {
        self.0.lock().unwrap().get(&address.key()).cloned()
    }
}

impl Accounts {
    pub(super) fn open(&self, key: &str, at: &str) {
        self.0.lock().unwrap().insert(key.into(), domain(at));
    }
}

impl Net {
    /// One private apex `e164.arpa`, SSP only.
    pub(super) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(super) async fn with(change: impl FnOnce(&mut RoutingConfig)) -> Self {
        let dns = Dns::start().await;
        let mut config = config(dns.address);
        change(&mut config);
        assert_eq!(config.check(), Vec::<String>::new());
        let (clock, hand) = Clock::standing(Timestamp::from_seconds(1_000_000));
        let home = Arc::new(Accounts::default());
        let router = Router::new(
            config,
            Arc::clone(&home) as Arc<dyn HomeDirectory>,
            vec![domain("alpha.example")],
            clock.clone(),
        );
        Self {
            dns,
            router,
            home,
            clock,
            hand,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn advance(&self, seconds: u64) {
        self.hand.advance(Duration::from_secs(seconds));
    }

    pub(super) async fn route(&self, address: &str) -> Routed {
        self.route_for(address, RouteService::Im).await
    }

    pub(super) async fn route_for(&self, address: &str, service: RouteService) -> Routed {
        let address: WvAddress = address.parse().unwrap();
        self.router
            .route(&address, service, self.now(), Explain::No)
            .await
    }

    pub(super) async fn explain(&self, address: &str) -> Routed {
        let address: WvAddress = address.parse().unwrap();
        self.router
            .route(&address, RouteService::Im, self.now(), Explain::Yes)
            .await
    }

    /// The servers that an address leads to, as `host:port`.
    pub(super) async fn servers(&self, address: &str) -> Vec<String> {
        servers(&self.route(address).await)
    }
}

/// Refreshing ahead is off, so that every question has its place in a test.
pub(crate) fn config(dns: SocketAddr) -> RoutingConfig {
    RoutingConfig {
        cache: CacheConfig {
            refresh_percent: 0,
            ..CacheConfig::default()
        },
        views: vec![view("ipx", dns)],
        apexes: vec![apex("e164.arpa", "ipx", Trust::Private)],
        ..RoutingConfig::default()
    }
}

pub(super) fn view(name: &str, dns: SocketAddr) -> ViewConfig {
    ViewConfig {
        name: name.into(),
        resolvers: vec![dns],
        domains: Vec::new(),
        trust_ad: false,
        timeout: Duration::from_secs(2),
        tries: 2,
    }
}

pub(super) fn apex(name: &str, view: &str, trust: Trust) -> ApexConfig {
    ApexConfig {
        apex: name.into(),
        view: view.into(),
        trust,
        prefixes: Vec::new(),
        services: vec!["pstn:tel".into(), "pstn:sip".into(), "unused:data".into()],
        domains: Vec::new(),
        allow_private_services: false,
        stale_naptr: false,
        on_failure: None,
        cross_order: false,
        dnssec_required: false,
        pres_foreign_schemes: false,
        infrastructure_position: None,
        timeout: None,
    }
}

pub(super) fn domain(text: &str) -> Domain {
    text.parse().unwrap()
}

pub(super) fn servers(routed: &Routed) -> Vec<String> {
    match routed.plan.as_deref() {
        Ok(Plan::Domain { candidates, .. }) => candidates
            .iter()
            .map(|one| one.host_address().to_string())
            .collect(),
        other => panic!("no plan of a domain: {other:?} after {:#?}", routed.steps),
    }
}

pub(super) fn protocol(routed: &Routed) -> Protocol {
    match routed.plan.as_deref() {
        Ok(Plan::Domain { protocol, .. }) => *protocol,
        other => panic!("no plan of a domain: {other:?}"),
    }
}

pub(super) fn serving(routed: &Routed) -> String {
    match routed.plan.as_deref() {
        Ok(Plan::Domain { domain, .. } | Plan::Home { domain }) => domain.to_string(),
        other => panic!("no plan of a domain: {other:?} after {:#?}", routed.steps),
    }
}

pub(super) fn is_temporary(routed: &Routed) -> bool {
    matches!(routed.plan, Err(RouteFailure::Temporary(_)))
}

pub(super) fn is_absent(routed: &Routed) -> bool {
    matches!(routed.plan, Err(RouteFailure::Absent(_)))
}

/// `+447700900123` under `e164.arpa`.
pub(super) const NUMBER: &str = "wv:+447700900123";
pub(super) const ENUM: &str = "3.2.1.0.0.9.0.0.7.7.4.4.e164.arpa.";
pub(super) const SSP: &str = "_imps-server._tcp.op.example.";
