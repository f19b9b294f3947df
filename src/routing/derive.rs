//! The long way: from an address to its route, asking the caches and DNS for every fact on the way.
//!
//! The order is override, home account, ENUM, home range, the domain as written, default gateway (architecture, "Number
//! portability"). The deciding itself is `decide`'s; here its questions are answered and its decisions kept.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::time::Instant;

use super::{
    cache::{
        DomainDecision, DomainKey, Extra, NumberEntry, NumberKey, Slot, Target, Terms, last_part, plan_line,
    },
    decide::{
        DomainOutcome, Ladder, LadderStep, Lead, NumberOutcome, NumberStep, NumberVerdict, NumberWalk, remark,
    },
    fact::{Fact, Question},
    overrides::{Override, OverrideTarget, Overrides},
    plan::{Alternative, Plan, RouteFailure, RouteService, Routed},
    router::{Explain, Shared},
    rules::Rules,
};
use crate::{
    model::{Domain, E164, FactSource, LocalPart, RouteStep, Timestamp, WvAddress},
    wire::naptr::TelParams,
};

/// One route being derived.
#[derive(Debug)]
pub(super) struct Derivation<'s> {
    shared: &'s Arc<Shared>,
    rules: Arc<Rules>,
    overrides: Arc<Overrides>,
    service: RouteService,
    now: Timestamp,
    deadline: Instant,
    explain: Explain,
    ahead: bool,
    steps: Vec<RouteStep>,
}

impl<'s> Derivation<'s> {
    pub(super) fn new(
        shared: &'s Arc<Shared>,
        service: RouteService,
        now: Timestamp,
        explain: Explain,
    ) -> Self {
        let rules = shared.rules.load_full();
        Self {
            shared,
            overrides: shared.overrides.load_full(),
            service,
            now,
            deadline: Instant::now() + rules.config.budget,
            rules,
            explain,
            ahead: false,
            steps: Vec::new(),
        }
    }

    /// What is about to die is asked for again.
    pub(super) fn ahead(mut self) -> Self {
        self.ahead = true;
        self
    }

    pub(super) async fn run(mut self, address: &WvAddress) -> Routed {
        match (address.number(), address.domain()) {
            (Some(number), _) => self.number(address, number).await,
            (None, Some(domain)) => {
                let plan = self.home_or_domain(address, domain).await;
                self.routed(address.clone(), plan)
            }
            (None, None) => {
                let failure =
                    RouteFailure::Unroutable(format!("{address} has neither a number nor a domain"));
                self.routed(address.clone(), Err(failure))
            }
        }
    }

    /// Whether ENUM leads a number of ours to somebody else's domain, whether that can be reached now or not.
    pub(super) async fn leads_away(self, number: &E164) -> Result<bool, RouteFailure> {
        match self.walk(number).await.verdict {
            NumberVerdict::Leads(leads) => {
                Ok(leads.iter().all(|lead| self.rules.own(&lead.domain).is_none()))
            }
            NumberVerdict::Unallocated | NumberVerdict::Absent => Ok(false),
            NumberVerdict::Temporary(reason) => Err(RouteFailure::Temporary(reason)),
        }
    }

    pub(super) async fn run_domain(mut self, domain: &Domain) -> Result<Arc<Plan>, RouteFailure> {
        let (_, decision) = self.domain(domain).await;
        self.finish(decision.outcome.clone(), None, Some(domain))
    }

    async fn home_or_domain(
        &mut self,
        address: &WvAddress,
        domain: &Domain,
    ) -> Result<Arc<Plan>, RouteFailure> {
        if let LocalPart::Name(_) = address.local()
            && self.overrides.of_domain(domain, self.now).is_none()
            && let Some(home) = self.shared.home.account(address)
        {
            return Ok(self.home(&home));
        }
        let (_, decision) = self.domain(domain).await;
        self.finish(decision.outcome.clone(), None, Some(domain))
    }

    async fn number(&mut self, address: &WvAddress, number: &E164) -> Routed {
        let overrides = Arc::clone(&self.overrides);
        if let Some(one) = overrides.of_number(number, self.now) {
            return self.overridden(address, number, one).await;
        }
        if let Some(home) = self.shared.home.account(address) {
            let plan = self.home(&home);
            self.watch_conflict(address, number, &home).await;
            return self.routed(address.clone(), Ok(plan));
        }
        self.shared.conflicts.end(NumberKey::new(number, self.service));
        if let Some(params) = address.portability()
            && let Some(routed) = self.ported(address, number, params).await
        {
            return routed;
        }
        let outcome = self.walk(number).await;
        self.steps.extend(outcome.steps);
        match outcome.verdict {
            NumberVerdict::Leads(leads) => self.follow(address, number, leads, outcome.dies).await,
            NumberVerdict::Unallocated => {
                self.keep(number, Target::Unallocated, outcome.dies);
                self.routed(address.clone(), Err(RouteFailure::Unallocated(number.clone())))
            }
            NumberVerdict::Absent => {
                self.keep(number, Target::Absent, outcome.dies);
                let plan = self.unknown(address, number).await;
                self.routed(address.clone(), plan)
            }
            NumberVerdict::Temporary(reason) => {
                self.routed(address.clone(), Err(RouteFailure::Temporary(reason)))
            }
        }
    }

    async fn overridden(&mut self, address: &WvAddress, number: &E164, one: &Override) -> Routed {
        self.steps.push(override_step(one, self.now));
        let dies = one.until.unwrap_or(Timestamp(u64::MAX));
        match &one.to {
            OverrideTarget::Domain(domain) => {
                let (slot, decision) = self.domain(domain).await;
                self.keep(number, Target::Domain(slot), dies);
                let plan = self.finish(decision.outcome.clone(), Some(number), Some(domain));
                self.routed(address.with_domain(Some(domain.clone())), plan)
            }
            OverrideTarget::Peer(peer) => {
                let plan = Arc::new(Plan::Gateway {
                    peer: peer.clone(),
                    domain: None,
                });
                self.keep(number, Target::Fixed(Arc::clone(&plan)), dies);
                self.routed(address.clone(), Ok(plan))
            }
        }
    }

    /// The route by what came with the number: `cic`, then `rn`, and no second look into ENUM after `npdi` or `enumdi`, which
    /// guard against loops (RFC 4694 §5.1). `None` when it says nothing that counts. Nothing of it is kept: it holds for this
    /// request.
    async fn ported(&mut self, address: &WvAddress, number: &E164, params: &str) -> Option<Routed> {
        let note = |text: String| remark(format!("portability ;{params}"), FactSource::Config, text);
        let params = match TelParams::parse(params) {
            Ok(params) => params,
            Err(error) => {
                self.steps.push(note(format!("ignored: {error}")));
                return None;
            }
        };
        let rules = Arc::clone(&self.rules);
        for routing in [&params.cic, &params.rn].into_iter().flatten() {
            match rules.routing_number(&routing.number) {
                // It has arrived: from here the number itself decides.
                Some((_, domain)) if rules.own(domain).is_some() => {}
                Some((_, domain)) => {
                    self.steps.push(note(format!("{} is {domain}", routing.number)));
                    let (_, decision) = self.domain(domain).await;
                    let plan = self.finish(decision.outcome.clone(), Some(number), Some(domain));
                    return Some(self.routed(address.with_domain(Some(domain.clone())), plan));
                }
                None => self.steps.push(note(format!(
                    "{} is in no entry of routing_numbers",
                    routing.number
                ))),
            }
        }
        if !params.npdi && !params.enumdi {
            return None;
        }
        self.steps.push(note("ENUM was asked before".into()));
        let plan = self.unknown(address, number).await;
        Some(self.routed(address.clone(), plan))
    }

    fn home(&mut self, domain: &Domain) -> Arc<Plan> {
        let text = format!("has an active account in the home domain {domain}");
        self.steps.push(remark("home account", FactSource::Home, text));
        match self.rules.own(domain) {
            Some(plan) => Arc::clone(plan),
            None => Arc::new(Plan::Home {
                domain: domain.clone(),
            }),
        }
    }

    /// Bad ENUM data must not cut off our own subscriber, and must not go unseen either. An explanation asks ENUM itself;
    /// traffic looks at what is known, and where nothing is, ENUM is asked beside it.
    async fn watch_conflict(&mut self, address: &WvAddress, number: &E164, home: &Domain) {
        // The MMSC that E2U+mms names is never one of our domains.
        if self.service == RouteService::Mms {
            return;
        }
        if self.explain == Explain::Yes {
            let outcome = self.walk(number).await;
            self.steps.extend(outcome.steps);
            return self.tell_conflict(address, number, home, &outcome.verdict);
        }
        let key = NumberKey::new(number, self.service);
        match self.shared.routes.number(key, self.rules.epoch, self.now) {
            Some(entry) => {
                let leads_to = entry.target.slot().map(|slot| &slot.key.domain);
                self.compare_account(address, number, home, leads_to);
            }
            None => self.look_beside(address, home),
        }
    }

    /// Asks ENUM about an account without anybody waiting for it.
    fn look_beside(&self, address: &WvAddress, home: &Domain) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let Some(turn) = self.shared.looks.take(address, self.service, self.now) else {
            return;
        };
        let (shared, service) = (Arc::clone(self.shared), self.service);
        let (address, home) = (address.clone(), home.clone());
        runtime.spawn(async move {
            let _turn = turn;
            let derivation = Derivation::new(&shared, service, shared.clock.now(), Explain::No);
            Box::pin(derivation.look(&address, &home)).await;
        });
    }

    /// What is found is kept as of any number, so it is not asked again in its life; the account goes before it.
    async fn look(mut self, address: &WvAddress, home: &Domain) {
        let Some(number) = address.number() else {
            return;
        };
        let outcome = self.walk(number).await;
        self.tell_conflict(address, number, home, &outcome.verdict);
        match outcome.verdict {
            NumberVerdict::Leads(leads) => {
                if let Some(first) = leads.first() {
                    let slot = self.slot(&first.domain);
                    self.keep(number, Target::new(slot, extra(address, &leads, 0)), outcome.dies);
                }
            }
            NumberVerdict::Unallocated => {
                self.keep(number, Target::Unallocated, outcome.dies);
            }
            NumberVerdict::Absent => {
                self.keep(number, Target::Absent, outcome.dies);
            }
            NumberVerdict::Temporary(_) => {}
        }
    }

    fn tell_conflict(&mut self, address: &WvAddress, number: &E164, home: &Domain, verdict: &NumberVerdict) {
        let leads_to = match verdict {
            NumberVerdict::Leads(leads) => leads.first().map(|lead| &lead.domain),
            NumberVerdict::Unallocated | NumberVerdict::Absent => None,
            // Nothing is known now; what was known before stands.
            NumberVerdict::Temporary(_) => return,
        };
        self.compare_account(address, number, home, leads_to);
    }

    fn compare_account(
        &mut self,
        address: &WvAddress,
        number: &E164,
        home: &Domain,
        leads_to: Option<&Domain>,
    ) {
        let key = NumberKey::new(number, self.service);
        let Some(elsewhere) = leads_to.filter(|domain| self.rules.own(domain).is_none()) else {
            self.shared.conflicts.end(key);
            return;
        };
        let text = format!("ENUM leads to {elsewhere}; the account of {home} goes before it");
        if self.shared.conflicts.meet(key, elsewhere, self.now) {
            tracing::warn!(number = address.masked(), %elsewhere, %home, "{text}; correct one of them");
        }
        self.steps.push(remark("conflict", FactSource::Home, text));
    }

    /// The first of the domains that has a plan of its own; the default gateway takes the number only when none has.
    async fn follow(
        &mut self,
        address: &WvAddress,
        number: &E164,
        leads: Vec<Lead>,
        dies: Timestamp,
    ) -> Routed {
        let mut dies = dies;
        let mut first = None;
        let mut failure: Option<RouteFailure> = None;
        let mut chosen = None;
        for (place, lead) in leads.iter().enumerate() {
            let (slot, decision) = self.domain(&lead.domain).await;
            match &decision.outcome {
                Ok(plan) => {
                    chosen = Some((place, slot, Arc::clone(plan)));
                    break;
                }
                Err(error) => {
                    dies = dies.min(decision.dies);
                    first = first.or(Some(slot));
                    // A temporary failure among them keeps the whole from being final.
                    let is_final = |one: &RouteFailure| !matches!(one, RouteFailure::Temporary(_));
                    if failure
                        .as_ref()
                        .is_none_or(|one| is_final(one) && !is_final(error))
                    {
                        failure = Some(error.clone());
                    }
                }
            }
        }
        if chosen.is_none()
            && let Some(failure) = failure.clone()
            && let Some(slot) = first
            && let Ok(plan) = self.finish(Err(failure), Some(number), Some(&slot.key.domain))
        {
            chosen = Some((0, slot, plan));
        }
        let Some((place, slot, plan)) = chosen else {
            let failure = failure
                .unwrap_or_else(|| RouteFailure::Absent(format!("no apex leads {number} to a domain")));
            return self.routed(address.clone(), Err(failure));
        };
        let domain = slot.key.domain.clone();
        self.compare(address, &domain);
        let extra = extra(address, &leads, place);
        let entry = self.keep(number, Target::new(slot, extra), dies);
        let mut routed = entry.routed(address, Some(domain), plan);
        routed.steps = std::mem::take(&mut self.steps);
        routed
    }

    /// Whether the domain that stands after a number is the one that serves it today.
    fn compare(&mut self, address: &WvAddress, serving: &Domain) {
        if let Some(written) = address.domain().filter(|written| *written != serving) {
            let text = format!("the address names {written}, the number is served by {serving}");
            tracing::info!(number = address.masked(), "{text}");
            self.steps
                .push(remark("domain as written", FactSource::Config, text));
        }
    }

    /// A number that no apex knows.
    async fn unknown(&mut self, address: &WvAddress, number: &E164) -> Result<Arc<Plan>, RouteFailure> {
        let rules = Arc::clone(&self.rules);
        if let Some((prefix, domain)) = rules.home_range(number) {
            let text = format!("belongs to the home domain {domain}");
            self.steps
                .push(remark(format!("home range +{prefix}"), FactSource::Home, text));
            return match rules.own(domain) {
                Some(plan) => Ok(Arc::clone(plan)),
                None => Ok(Arc::new(Plan::Home {
                    domain: domain.clone(),
                })),
            };
        }
        if let Some(domain) = address.domain() {
            let text = format!("nothing else leads further, so {domain} is asked");
            self.steps
                .push(remark("domain as written", FactSource::Config, text));
            let (_, decision) = self.domain(domain).await;
            return self.finish(decision.outcome.clone(), Some(number), Some(domain));
        }
        let failure = RouteFailure::Absent(match self.service {
            RouteService::Im => format!("no apex knows the number {number}"),
            RouteService::Pres => format!("no apex knows the number {number} for presence"),
            RouteService::Mms => format!("no apex knows the number {number} for multimedia messages"),
        });
        self.finish(Err(failure), Some(number), None)
    }

    /// The configured gateway takes what is certainly absent, never what failed for now.
    fn finish(
        &mut self,
        plan: Result<Arc<Plan>, RouteFailure>,
        number: Option<&E164>,
        domain: Option<&Domain>,
    ) -> Result<Arc<Plan>, RouteFailure> {
        let Err(RouteFailure::Absent(reason)) = &plan else {
            return plan;
        };
        match self.rules.default_gateway(self.service, number, domain) {
            Some(gateway) => {
                let text = format!("{reason}; {}", plan_line(&gateway));
                self.steps
                    .push(remark("default gateway", FactSource::Config, text));
                Ok(gateway)
            }
            None => plan,
        }
    }

    fn slot(&self, domain: &Domain) -> Arc<Slot> {
        self.shared.routes.slot(&DomainKey {
            domain: domain.clone(),
            service: self.service,
        })
    }

    /// The decision on a domain, and the place where it is kept.
    async fn domain(&mut self, domain: &Domain) -> (Arc<Slot>, Arc<DomainDecision>) {
        let slot = self.slot(domain);
        if self.explain == Explain::No
            && !self.ahead
            && let Some(decision) = slot
                .decision(self.rules.epoch, self.now)
                .as_deref()
                .cloned()
                .flatten()
        {
            let text = match &decision.outcome {
                Ok(plan) => plan_line(plan),
                Err(failure) => failure.to_string(),
            };
            let mut step = remark(format!("plan of {domain}"), FactSource::Cache, text);
            step.ttl = Some(self.now.until(decision.dies));
            self.steps.push(step);
            return (slot, decision);
        }
        let outcome = self.descend(domain).await;
        self.steps.extend(outcome.steps);
        let ahead = last_part(self.now, outcome.dies, self.rules.config.cache.refresh_percent);
        let decision = DomainDecision {
            outcome: outcome.plan,
            epoch: self.rules.epoch,
            made: self.now,
            dies: outcome.dies,
            due: outcome.dies.minus(ahead),
        };
        if decision.dies <= self.now {
            return (slot, Arc::new(decision));
        }
        let decision = self.shared.routes.decide(&slot, decision);
        if !self.is_current() {
            slot.forget();
        }
        (slot, decision)
    }

    async fn descend(&mut self, domain: &Domain) -> DomainOutcome {
        let rules = Arc::clone(&self.rules);
        let overrides = Arc::clone(&self.overrides);
        let mut until = Timestamp(u64::MAX);
        let mut serving = domain.clone();
        if let Some(one) = overrides.of_domain(domain, self.now) {
            self.steps.push(override_step(one, self.now));
            until = one.until.unwrap_or(until);
            match &one.to {
                OverrideTarget::Domain(to) => serving = to.clone(),
                OverrideTarget::Peer(peer) => {
                    return DomainOutcome {
                        plan: Ok(Arc::new(Plan::Gateway {
                            peer: peer.clone(),
                            domain: Some(domain.clone()),
                        })),
                        dies: until,
                        steps: Vec::new(),
                    };
                }
            }
        }
        let mut ladder = Ladder::new(&rules, serving, self.service, self.now);
        loop {
            match ladder.step() {
                LadderStep::Ask(questions) => {
                    let facts = join_all(questions.into_iter().map(|question| async {
                        let (fact, source) = self.fact(&question, true, None).await;
                        (question, fact, source)
                    }))
                    .await;
                    ladder.answer(&facts);
                }
                LadderStep::Done(mut outcome) => {
                    outcome.dies = outcome.dies.min(until);
                    return outcome;
                }
            }
        }
    }

    async fn walk(&self, number: &E164) -> NumberOutcome {
        let mut walk = NumberWalk::new(&self.rules, number, self.service, self.now);
        loop {
            match walk.step() {
                NumberStep::Ask {
                    question,
                    stale,
                    timeout,
                } => {
                    let (fact, source) = self.fact(&question, stale, timeout).await;
                    walk.answer(&question, &fact, source);
                }
                NumberStep::Done(outcome) => return outcome,
            }
        }
    }

    async fn fact(
        &self,
        question: &Question,
        stale: bool,
        timeout: Option<Duration>,
    ) -> (Arc<Fact>, FactSource) {
        let deadline = match timeout {
            Some(timeout) => self.deadline.min(Instant::now() + timeout),
            None => self.deadline,
        };
        let terms = Terms {
            now: self.now,
            deadline,
            stale,
            ahead: self.ahead,
        };
        let view = self.shared.view(question);
        let config = &self.rules.config.cache;
        let found = self
            .shared
            .facts
            .get(question, &view, &self.shared.asker, config, terms)
            .await;
        if found.1 == FactSource::Stale {
            self.shared.counts.stale.fetch_add(1, Ordering::Relaxed);
        }
        found
    }

    /// Keeps what was decided on a number, unless an override came in between.
    fn keep(&self, number: &E164, target: Target, dies: Timestamp) -> NumberEntry {
        let key = NumberKey::new(number, self.service);
        let ahead = last_part(self.now, dies, self.rules.config.cache.refresh_percent);
        let entry = NumberEntry {
            dies,
            ahead: u32::try_from(ahead.as_millis()).unwrap_or(0),
            epoch: self.rules.epoch,
            target,
        };
        self.shared.routes.keep(key, entry.clone(), self.now);
        if !self.is_current() {
            self.shared.routes.forget_number(key);
        }
        entry
    }

    /// Whether the overrides are still those that were decided under. Whoever changes them first replaces the table and
    /// then flushes, so looking after keeping leaves nothing old behind.
    fn is_current(&self) -> bool {
        Arc::ptr_eq(&self.overrides, &self.shared.overrides.load_full())
    }

    fn routed(&mut self, user: WvAddress, plan: Result<Arc<Plan>, RouteFailure>) -> Routed {
        Routed {
            user,
            plan,
            alternatives: None,
            steps: std::mem::take(&mut self.steps),
        }
    }
}

/// The name that ENUM gave at the lead in use, and the leads after it.
fn extra(address: &WvAddress, leads: &[Lead], place: usize) -> Extra {
    let user_of = |lead: &Lead| match &lead.user {
        Some(user) => user.clone(),
        None => address.with_domain(Some(lead.domain.clone())),
    };
    let others: Arc<[Alternative]> = leads
        .iter()
        .skip(place + 1)
        .map(|lead| Alternative {
            user: user_of(lead),
            domain: lead.domain.clone(),
        })
        .collect();
    Extra {
        user: leads.get(place).and_then(|lead| lead.user.clone()),
        alternatives: (!others.is_empty()).then_some(others),
        skipped: leads.iter().take(place).map(|lead| lead.domain.clone()).collect(),
    }
}

fn override_step(one: &Override, now: Timestamp) -> RouteStep {
    let mut step = remark(
        format!("override {}", one.selector),
        FactSource::Override,
        one.sentence(),
    );
    step.ttl = one.until.map(|until| now.until(until));
    step
}
