//! The router: rules, caches and lookups joined; the only part of routing that others hold.
//!
//! A known number takes the short way: one look into the cache, no waiting, no allocation. Everything else is derived
//! (`derive`) from facts, and so is every explanation, so what is shown is what would be decided now.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    HomeDirectory,
    cache::{DomainKey, Facts, NumberEntry, NumberKey, Routes, Slot, Target},
    config::RoutingConfig,
    conflict::Conflicts,
    decide::remark,
    derive::Derivation,
    fact::{Question, ViewId},
    health::Health,
    lookup::{Asker, View},
    overrides::Overrides,
    plan::{Plan, RouteFailure, RouteService, Routed},
    rules::Rules,
    turns::Turns,
};
use crate::{
    model::{Domain, E164, FactSource, RouteStep, Timestamp, WvAddress},
    telemetry::Clock,
};
use arc_swap::ArcSwap;

/// Finds the way to a person; cheap to clone.
#[derive(Clone, Debug)]
pub struct Router {
    pub(super) shared: Arc<Shared>,
}

/// Whether the account of a route is wanted with it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Explain {
    /// Only when the route fails.
    No,
    /// Always: the route is derived again from facts, each step with its source.
    Yes,
}

/// How routing is used; all counts are since the start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Serialize)]
pub struct RouterStats {
    /// Routes that were derived; all others were known already.
    pub derived: u64,
    /// Routes that failed for now.
    pub temporary: u64,
    /// Refreshes of names in use, ahead of their death.
    pub refreshed: u64,
    /// Answers used past their time.
    pub stale: u64,
    /// Accounts of ours that ENUM leads elsewhere, each once for messages and once for presence.
    pub conflicts: u64,
    /// DNS queries sent.
    pub queries: u64,
    /// DNS answers held now.
    pub facts: u64,
    /// The memory they take, in octets.
    pub fact_octets: u64,
    /// Numbers held now.
    pub numbers: u64,
    /// Domains held now.
    pub domains: u64,
    /// The memory that numbers and domains take, in octets.
    pub route_octets: u64,
}

/// What all clones share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) clock: Clock,
    pub(super) home: Arc<dyn HomeDirectory>,
    pub(super) rules: ArcSwap<Rules>,
    /// The epoch of `rules`, for the short way, which needs nothing else of them.
    epoch: AtomicU32,
    pub(super) overrides: ArcSwap<Overrides>,
    /// All views there have been, by their identity; a view keeps its place for ever.
    pub(super) views: ArcSwap<Vec<Arc<View>>>,
    pub(super) facts: Facts,
    pub(super) routes: Routes,
    pub(super) asker: Asker,
    pub(super) health: Health,
    pub(super) counts: Counts,
    /// One writer of rules and overrides at a time.
    pub(super) writing: Mutex<()>,
    /// One at a time of those who keep overrides elsewhere too.
    pub(super) override_turn: tokio::sync::Mutex<()>,
    /// Accounts of ours that ENUM leads elsewhere.
    pub(super) conflicts: Conflicts,
    /// Refreshes of names in use.
    refreshes: Turns,
    /// Looks at what ENUM says of our accounts.
    pub(super) looks: Turns,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) derived: AtomicU64,
    pub(super) temporary: AtomicU64,
    pub(super) refreshed: AtomicU64,
    pub(super) stale: AtomicU64,
}

impl Router {
    /// A router with empty caches. `own` are the domains that this gateway answers for. The sizes of the caches, the
    /// bound on lookups and the times of set-aside are those of this first configuration.
    #[must_use]
    pub fn new(config: RoutingConfig, home: Arc<dyn HomeDirectory>, own: Vec<Domain>, clock: Clock) -> Self {
        let facts = Facts::new(&config.cache);
        let routes = Routes::new(&config.cache);
        let asker = Asker::new(config.cache.max_lookups);
        let health = Health::new(config.set_aside.clone());
        let (views, ids) = views(&config, &[]);
        Self {
            shared: Arc::new(Shared {
                clock,
                home,
                rules: ArcSwap::from_pointee(Rules::new(config, own, ids, 0)),
                epoch: AtomicU32::new(0),
                overrides: ArcSwap::default(),
                views: ArcSwap::from_pointee(views),
                facts,
                routes,
                asker,
                health,
                counts: Counts::default(),
                writing: Mutex::new(()),
                override_turn: tokio::sync::Mutex::new(()),
                conflicts: Conflicts::default(),
                refreshes: Turns::new(MAX_REFRESHES, REFRESH_PAUSE, MAX_REFRESHED),
                looks: Turns::new(MAX_LOOKS, LOOK_PAUSE, MAX_LOOKED_AT),
            }),
        }
    }

    /// Puts another configuration in force. DNS answers are kept; what was decided is decided again from them.
    pub fn reload(&self, config: RoutingConfig, own: Vec<Domain>) {
        let shared = &*self.shared;
        let _writing = shared.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let (views, ids) = views(&config, &shared.views.load());
        shared.views.store(Arc::new(views));
        let epoch = shared.rules.load().epoch.wrapping_add(1);
        shared.rules.store(Arc::new(Rules::new(config, own, ids, epoch)));
        shared.epoch.store(epoch, Ordering::Release);
    }

    /// The route of an address. Takes at most the configured budget for DNS.
    ///
    /// # Cancel safety
    /// Cancel safe: what was found so far stays in the caches.
    pub async fn route(
        &self,
        address: &WvAddress,
        service: RouteService,
        now: Timestamp,
        explain: Explain,
    ) -> Routed {
        if explain == Explain::No
            && let Some(routed) = self.cached(address, service, now)
        {
            return routed;
        }
        self.shared.counts.derived.fetch_add(1, Ordering::Relaxed);
        let derivation = Derivation::new(&self.shared, service, now, explain);
        let mut routed = Box::pin(derivation.run(address)).await;
        match &routed.plan {
            Ok(_) if explain == Explain::No => routed.steps = Vec::new(),
            Err(RouteFailure::Temporary(_)) => {
                self.shared.counts.temporary.fetch_add(1, Ordering::Relaxed);
            }
            Ok(_) | Err(_) => {}
        }
        routed
    }

    /// The plan of a domain, as for an alternative of a route.
    ///
    /// # Errors
    /// [`RouteFailure`] as for an address of that domain.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn route_domain(
        &self,
        domain: &Domain,
        service: RouteService,
        now: Timestamp,
    ) -> Result<Arc<Plan>, RouteFailure> {
        let derivation = Derivation::new(&self.shared, service, now, Explain::No);
        Box::pin(derivation.run_domain(domain)).await
    }

    /// The plan as it can be carried out: a domain that is spoken to under no agreement is the default gateway's, where
    /// there is one. The step says so.
    #[must_use]
    pub fn agreed(
        &self,
        plan: Arc<Plan>,
        address: &WvAddress,
        service: RouteService,
        is_agreed: impl Fn(&Domain) -> bool,
    ) -> (Arc<Plan>, Option<RouteStep>) {
        let Plan::Domain { domain, .. } = &*plan else {
            return (plan, None);
        };
        if is_agreed(domain) {
            return (plan, None);
        }
        let rules = self.shared.rules.load();
        let Some(gateway) = rules.default_gateway(service, address.number(), Some(domain)) else {
            return (plan, None);
        };
        let Plan::Gateway { peer, .. } = &*gateway else {
            return (plan, None);
        };
        let answer = format!("there is none: the default gateway {peer} takes it");
        let step = remark(format!("agreement with {domain}"), FactSource::Config, answer);
        (gateway, Some(step))
    }

    /// The route of an address when it is known already; never waits. A hit in the last part of its life starts a
    /// refresh.
    #[must_use]
    pub fn cached(&self, address: &WvAddress, service: RouteService, now: Timestamp) -> Option<Routed> {
        // What a peer says of this one request is no fact about the number.
        if address.portability().is_some() {
            return None;
        }
        let shared = &*self.shared;
        let epoch = shared.epoch.load(Ordering::Acquire);
        match address.number() {
            Some(number) => self.cached_number(address, number, service, epoch, now),
            None => Some(Routed {
                user: address.clone(),
                plan: Ok(self.cached_domain(address.domain()?, address, service, epoch, now)?),
                alternatives: None,
                steps: Vec::new(),
            }),
        }
    }

    fn cached_number(
        &self,
        address: &WvAddress,
        number: &E164,
        service: RouteService,
        epoch: u32,
        now: Timestamp,
    ) -> Option<Routed> {
        let shared = &*self.shared;
        let entry = shared
            .routes
            .number(NumberKey::new(number, service), epoch, now)?;
        // An active account goes before everything but an override, and derive looks at both.
        if shared.home.account(address).is_some() {
            return None;
        }
        if entry.is_due(now) {
            self.refresh(address, service, now);
        }
        let (plan, domain) = match &entry.target {
            Target::Domain(slot) => {
                let plan = self.slot_plan(slot, address, service, epoch, now, true)?;
                (plan, Some(slot.key.domain.clone()))
            }
            Target::Named(named) => {
                let is_last = named.extra.alternatives.is_none();
                let plan = self.slot_plan(&named.slot, address, service, epoch, now, is_last)?;
                (plan, Some(named.slot.key.domain.clone()))
            }
            Target::Fixed(plan) => (Arc::clone(plan), None),
            Target::Absent => {
                let rules = shared.rules.load();
                match rules.home_range(number) {
                    Some((_, domain)) => (Arc::clone(rules.own(domain)?), None),
                    None => {
                        let plan = self.cached_domain(address.domain()?, address, service, epoch, now)?;
                        (plan, None)
                    }
                }
            }
            Target::Unallocated => return None,
        };
        Some(entry.routed(address, domain, plan))
    }

    fn cached_domain(
        &self,
        domain: &Domain,
        address: &WvAddress,
        service: RouteService,
        epoch: u32,
        now: Timestamp,
    ) -> Option<Arc<Plan>> {
        let key = DomainKey {
            domain: domain.clone(),
            service,
        };
        let slot = self.shared.routes.known_slot(&key)?;
        self.slot_plan(&slot, address, service, epoch, now, true)
    }

    /// The plan of a domain. Where it has none, the default gateway takes its place, unless the number has other domains
    /// to be asked first: then it is `is_last` that is false.
    fn slot_plan(
        &self,
        slot: &Slot,
        address: &WvAddress,
        service: RouteService,
        epoch: u32,
        now: Timestamp,
        is_last: bool,
    ) -> Option<Arc<Plan>> {
        let guard = slot.decision(epoch, now)?;
        let decision = guard.as_ref()?;
        if now >= decision.due {
            self.refresh(address, service, now);
        }
        match &decision.outcome {
            Ok(plan) => Some(Arc::clone(plan)),
            Err(RouteFailure::Absent(_)) if is_last => {
                let rules = self.shared.rules.load();
                rules.default_gateway(service, address.number(), Some(&slot.key.domain))
            }
            Err(_) => None,
        }
    }

    /// Asks again for what a name in use is routed by, before it dies. One task a name, few at once.
    fn refresh(&self, address: &WvAddress, service: RouteService, now: Timestamp) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let Some(turn) = self.shared.refreshes.take(address, service, now) else {
            return;
        };
        self.shared.counts.refreshed.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::clone(&self.shared);
        let address = address.clone();
        runtime.spawn(async move {
            let _turn = turn;
            let now = shared.clock.now();
            let derivation = Derivation::new(&shared, service, now, Explain::No).ahead();
            Box::pin(derivation.run(&address)).await;
        });
    }

    /// The live health of servers: the weighted draw before an attempt, and its result after it.
    #[must_use]
    pub fn health(&self) -> &Health {
        &self.shared.health
    }

    /// How routing is used.
    #[must_use]
    pub fn stats(&self) -> RouterStats {
        let shared = &*self.shared;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (facts, fact_octets) = shared.facts.size();
        let routes = shared.routes.size();
        RouterStats {
            derived: count(&shared.counts.derived),
            temporary: count(&shared.counts.temporary),
            refreshed: count(&shared.counts.refreshed),
            stale: count(&shared.counts.stale),
            conflicts: shared.conflicts.count(shared.clock.now()),
            queries: shared.asker.sent(),
            facts,
            fact_octets,
            numbers: routes.numbers,
            domains: routes.domains,
            route_octets: routes.octets,
        }
    }
}

impl Shared {
    /// The view of a question; one that was never there has no resolvers.
    pub(super) fn view(&self, question: &Question) -> Arc<View> {
        let views = self.views.load();
        match views.get(usize::from(question.view.0)) {
            Some(view) => Arc::clone(view),
            None => Arc::new(View::gone("none")),
        }
    }
}

impl NumberEntry {
    /// The route of a number with this entry; `domain` is where its records lead.
    pub(super) fn routed(&self, address: &WvAddress, domain: Option<Domain>, plan: Arc<Plan>) -> Routed {
        let extra = self.target.extra();
        let user = match extra.and_then(|extra| extra.user.as_ref()) {
            Some(user) => user.clone(),
            None if domain.is_some() => address.with_domain(domain),
            None => address.clone(),
        };
        Routed {
            user,
            plan: Ok(plan),
            alternatives: extra.and_then(|extra| extra.alternatives.clone()),
            steps: Vec::new(),
        }
    }
}

/// The views of a configuration, each at the place that its name had before, and the places by name.
fn views(config: &RoutingConfig, before: &[Arc<View>]) -> (Vec<Arc<View>>, HashMap<String, ViewId>) {
    let mut views: Vec<Arc<View>> = before
        .iter()
        .map(|view| Arc::new(View::gone(view.name())))
        .collect();
    let mut ids = HashMap::new();
    for view in &config.views {
        let place = views.iter().position(|one| one.name() == view.name);
        let place = match place.and_then(|place| Some((place, views.get_mut(place)?))) {
            Some((place, old)) => {
                *old = Arc::new(View::new(view));
                place
            }
            None => {
                views.push(Arc::new(View::new(view)));
                views.len() - 1
            }
        };
        ids.insert(
            view.name.clone(),
            ViewId(u16::try_from(place).unwrap_or(u16::MAX)),
        );
    }
    (views, ids)
}

/// Refreshes under way at once.
const MAX_REFRESHES: usize = 64;
/// Names that are refreshed in the time of a pause.
const MAX_REFRESHED: usize = 4096;
/// A name is not refreshed again for so long (RFC 8767 §5).
const REFRESH_PAUSE: Duration = Duration::from_secs(30);
/// Looks at ENUM for accounts of ours, under way at once.
const MAX_LOOKS: usize = 8;
/// An account is not looked at again for so long; after an answer, not within that answer's life.
const LOOK_PAUSE: Duration = Duration::from_secs(60);
/// Accounts that are looked at in the time of a pause: 20 a second.
const MAX_LOOKED_AT: usize = 1200;
