//! The configuration made ready for deciding: names parsed, prefixes sorted, plans of our own domains made.
//!
//! Rules are replaced as a whole; what was decided under older ones is decided again, from facts that are kept.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use super::{
    config::{
        ApexConfig, GatewayConfig, LadderConfig, OnFailure, RangeConfig, RoutingConfig, Trust, digits,
        own_address, own_host,
    },
    fact::ViewId,
    plan::{Plan, RouteService},
};
use crate::{
    model::{Domain, E164},
    wire::naptr::{Aus, Enumservice, Name, Policy, Wanted},
};

/// The rules in force.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) config: RoutingConfig,
    /// Grows with each replacement.
    pub(super) epoch: u32,
    pub(super) apexes: Vec<Apex>,
    pub(super) ssp_names: Vec<Name>,
    own: HashMap<Domain, Arc<Plan>>,
    views: HashMap<String, ViewId>,
    /// Longest first.
    home_ranges: Vec<(String, Domain)>,
    /// Longest first.
    routing_numbers: Vec<(String, Domain)>,
    /// Most specific first.
    gateways: Vec<GatewayConfig>,
    /// At one port or at all.
    own_hosts: Vec<(String, Option<u16>)>,
    /// Likewise.
    own_addresses: Vec<(IpAddr, Option<u16>)>,
}

/// An apex made ready.
#[derive(Debug)]
pub(super) struct Apex {
    pub(super) config: ApexConfig,
    pub(super) name: Name,
    pub(super) view: ViewId,
    services: Vec<String>,
    prefixes: Vec<String>,
}

impl Rules {
    /// Rules of a configuration. What `check` would complain of is left out here.
    pub(super) fn new(
        config: RoutingConfig,
        own: Vec<Domain>,
        views: HashMap<String, ViewId>,
        epoch: u32,
    ) -> Self {
        let apexes = config
            .apexes
            .iter()
            .filter_map(|apex| Apex::new(apex.clone(), &views))
            .collect();
        let home = |domain: Domain| (domain.clone(), Arc::new(Plan::Home { domain }));
        Self {
            epoch,
            apexes,
            ssp_names: config
                .ladder
                .ssp_names
                .iter()
                .filter_map(|name| name.parse().ok())
                .collect(),
            own: own.into_iter().map(home).collect(),
            home_ranges: ranges(&config.home_ranges, |prefix| digits(prefix).map(str::to_owned)),
            routing_numbers: ranges(&config.routing_numbers, |prefix| {
                Some(prefix.to_ascii_uppercase())
            }),
            gateways: most_specific_first(&config.default_gateway),
            own_hosts: config
                .own_hosts
                .iter()
                .filter_map(|text| own_host(text))
                .collect(),
            own_addresses: config
                .own_addresses
                .iter()
                .filter_map(|text| own_address(text))
                .collect(),
            views,
            config,
        }
    }

    pub(super) fn ladder(&self) -> &LadderConfig {
        &self.config.ladder
    }

    /// The plan of one of our own domains.
    pub(super) fn own(&self, domain: &Domain) -> Option<&Arc<Plan>> {
        self.own.get(domain)
    }

    /// The domain of ours whose range holds the number.
    pub(super) fn home_range(&self, number: &E164) -> Option<&(String, Domain)> {
        self.home_ranges
            .iter()
            .find(|(prefix, _)| number.has_prefix(prefix))
    }

    /// The domain that a routing number or carrier code stands for.
    pub(super) fn routing_number(&self, number: &str) -> Option<&(String, Domain)> {
        let number = number.to_ascii_uppercase();
        self.routing_numbers
            .iter()
            .find(|(prefix, _)| number.starts_with(prefix.as_str()))
    }

    /// The view in which a domain's servers are looked up: the one that claims most of its name, else the first.
    pub(super) fn view_of(&self, domain: &Domain) -> ViewId {
        let claims = self.config.views.iter().flat_map(|view| {
            let claimed = view.domains.iter().filter(|one| domain.is_within(one));
            claimed.map(move |one| (one.as_str().len(), &view.name))
        });
        let claimed = claims.max_by_key(|(length, _)| *length).map(|(_, name)| name);
        let name = claimed.or_else(|| self.config.views.first().map(|view| &view.name));
        name.and_then(|name| self.views.get(name))
            .copied()
            .unwrap_or(NO_VIEW)
    }

    /// Whether a server is one of our own listeners.
    pub(super) fn is_own_host(&self, host: &str, port: u16) -> bool {
        self.own_hosts.iter().any(|(own, own_port)| {
            own.eq_ignore_ascii_case(host) && own_port.is_none_or(|own_port| own_port == port)
        })
    }

    /// Whether one of our own listeners is there, whatever the name that led to it.
    pub(super) fn is_own_address(&self, address: IpAddr, port: u16) -> bool {
        let address = address.to_canonical();
        self.own_addresses.iter().any(|(own, own_port)| {
            own.to_canonical() == address && own_port.is_none_or(|own_port| own_port == port)
        })
    }

    /// The peer that takes what no enabled protocol reaches: the most specific entry that fits.
    pub(super) fn default_gateway(
        &self,
        service: RouteService,
        number: Option<&E164>,
        domain: Option<&Domain>,
    ) -> Option<Arc<Plan>> {
        let entry = self.gateways.iter().find(|entry| {
            let has_prefix = |prefix: &String| {
                digits(prefix).is_some_and(|digits| number.is_some_and(|number| number.has_prefix(digits)))
            };
            let is_below = |of: &Domain| domain.is_some_and(|domain| domain.is_within(of));
            entry.service.is_none_or(|wanted| wanted == service)
                && entry.prefix.as_ref().is_none_or(has_prefix)
                && entry.domain.as_ref().is_none_or(is_below)
        })?;
        Some(Arc::new(Plan::Gateway {
            peer: entry.peer.clone(),
            domain: domain.cloned(),
        }))
    }
}

impl Apex {
    fn new(config: ApexConfig, views: &HashMap<String, ViewId>) -> Option<Self> {
        Some(Self {
            name: config.apex.parse().ok()?,
            view: views.get(&config.view).copied().unwrap_or(NO_VIEW),
            services: config
                .services
                .iter()
                .map(|service| service.to_ascii_lowercase())
                .collect(),
            prefixes: config
                .prefixes
                .iter()
                .filter_map(|prefix| digits(prefix).map(str::to_owned))
                .collect(),
            config,
        })
    }

    pub(super) fn is_private(&self) -> bool {
        self.config.trust == Trust::Private
    }

    /// Whether it is asked for this number.
    pub(super) fn covers(&self, number: &E164) -> bool {
        self.prefixes.is_empty() || self.prefixes.iter().any(|prefix| number.has_prefix(prefix))
    }

    /// Whether its records may lead there.
    pub(super) fn allows(&self, domain: &Domain) -> bool {
        self.config.domains.is_empty() || self.config.domains.iter().any(|one| domain.is_within(one))
    }

    pub(super) fn on_failure(&self) -> Option<OnFailure> {
        self.config.on_failure
    }

    /// The name of a number below it.
    pub(super) fn enum_name(&self, aus: &Aus) -> Option<Name> {
        match self.config.infrastructure_position {
            Some(position) => aus.infrastructure_name(&self.name, position).ok(),
            None => aus.enum_name(&self.name).ok(),
        }
    }

    /// The Enumservices that are looked for.
    pub(super) fn wanted(&self, service: RouteService, with_sibling: bool) -> Wanted {
        let sibling = if with_sibling { sibling(service) } else { None };
        let own = native(service).iter().copied().chain(sibling);
        Wanted::parse(own.chain(self.services.iter().map(String::as_str))).unwrap_or_default()
    }

    pub(super) fn policy(&self) -> Policy {
        Policy {
            private_services: self.is_private() && self.config.allow_private_services,
            experimental_services: self.is_private() && self.config.allow_private_services,
            pres_foreign_schemes: self.config.pres_foreign_schemes,
        }
    }
}

/// Whether a record of this Enumservice is for the other service of an IMPS server only.
pub(super) fn is_sibling(found: &Enumservice, service: RouteService) -> bool {
    sibling(service).is_some_and(|one| one == found.as_str())
}

fn native(service: RouteService) -> &'static [&'static str] {
    match service {
        RouteService::Im => &["im"],
        RouteService::Pres => &["pres"],
        RouteService::Mms => &["mms:mailto", "mms:tel"],
    }
}

fn sibling(service: RouteService) -> Option<&'static str> {
    match service {
        RouteService::Pres => Some("im"),
        RouteService::Im | RouteService::Mms => None,
    }
}

fn ranges(config: &[RangeConfig], read: impl Fn(&str) -> Option<String>) -> Vec<(String, Domain)> {
    let mut ranges: Vec<_> = config
        .iter()
        .filter_map(|range| Some((read(&range.prefix)?, range.domain.clone())))
        .collect();
    ranges.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
    ranges
}

/// The longest prefix goes first, then the longest domain, then what names a service; equals stay in their order.
fn most_specific_first(config: &[GatewayConfig]) -> Vec<GatewayConfig> {
    let mut gateways = config.to_vec();
    gateways.sort_by_key(|one| {
        let prefix = one.prefix.as_deref().and_then(digits).map_or(0, str::len);
        let domain = one.domain.as_ref().map_or(0, |domain| domain.as_str().len());
        std::cmp::Reverse((prefix, domain, one.service.is_some()))
    });
    gateways
}

/// A view that is never there.
const NO_VIEW: ViewId = ViewId(u16::MAX);
