//! Other domains of a number's records: tried once each, in order, when nobody took a request at the first.
//!
//! Which domains they are is routing's word (those of the same ORDER, all of them where an apex says `cross_order`). Each
//! is spoken to under its own agreement; one that has none, speaks nothing that we speak, or is where the request came
//! from is passed over. The configured default gateway is no alternative: it takes what nobody else can.

use super::{Ingress, Relay, Undelivered, admit, forward::Target, naming::Alias};
use crate::{
    model::{Answer, Domain, Refusal, Request, StepEvent, Stop, Timestamp, WvAddress},
    routing::{Plan, RouteService},
};

impl Relay {
    /// Hands a request to its target and, while nobody takes it, to the target's alternatives; `request` makes it for each
    /// of them. The time until the deadline is shared by those that are left.
    ///
    /// Returns who was asked last: whoever has it, or the target itself when nobody has.
    pub(super) async fn forward_or_else(
        &self,
        ingress: &Ingress,
        target: &Target,
        deadline: Timestamp,
        request: impl Fn(&Target) -> Request,
    ) -> (Target, Result<Answer, Undelivered>) {
        let first = request(target);
        let service = route_service(&first);
        let mut left = target.alternatives.as_ref().map_or(0, |all| all.len());
        let until = self.share(deadline, left);
        let answer = self.forward(ingress, target, first, until).await;
        for other in target.other_domains() {
            if !is_for_others(&answer) {
                break;
            }
            left -= 1;
            let found = self.alternative(ingress, other, service).await;
            let named = found.map(|found| target.lend_names(found, other));
            let (other, request) = match named.and_then(|other| agreed(other, &request)) {
                Ok(found) => found,
                Err(refusal) => {
                    self.pass_over(ingress, other, &refusal);
                    continue;
                }
            };
            let until = self.share(deadline, left);
            let tried = self.forward(ingress, &other, request, until).await;
            if !matches!(tried, Err(Undelivered::NotTaken(_))) {
                return (other, tried);
            }
        }
        (target.clone(), answer)
    }

    /// The side that serves an alternative.
    async fn alternative(
        &self,
        ingress: &Ingress,
        domain: &Domain,
        service: RouteService,
    ) -> Result<Target, Refusal> {
        let now = self.now();
        let nobody = |reason: String| Refusal::NoRoute {
            recipient: WvAddress::service(domain.clone()),
            reason,
        };
        let plan = self.router.route_domain(domain, service, now).await;
        let plan = plan.map_err(|failure| nobody(failure.to_string()))?;
        if let Plan::Gateway { .. } = &*plan {
            return Err(nobody("only the default gateway would take it".into()));
        }
        let target = self.plan_target(&plan, now).await?;
        if target.leads_back(ingress) {
            return Err(Refusal::Loop);
        }
        Ok(target)
    }

    /// When one of so many others and itself must have answered.
    fn share(&self, deadline: Timestamp, others: usize) -> Timestamp {
        let now = self.now();
        let parts = u32::try_from(others).unwrap_or(u32::MAX).saturating_add(1);
        now.plus(now.until(deadline) / parts)
    }

    fn pass_over(&self, ingress: &Ingress, domain: &Domain, refusal: &Refusal) {
        let text = format!("the alternative {domain} is passed over: {refusal}");
        ingress
            .trail
            .add(self.now(), Stop::Route, StepEvent::Note { text });
    }
}

impl Target {
    /// The names that the people asked for have at one of the alternatives.
    pub(super) fn other_names(&self, domain: &Domain) -> impl Iterator<Item = &Alias> {
        self.other_aliases
            .iter()
            .filter_map(move |(at, alias)| (at == domain).then_some(alias))
    }

    fn lend_names(&self, mut other: Self, domain: &Domain) -> Self {
        other.patience = self.patience;
        if other.takes_enum_names() {
            other.aliases = self.other_names(domain).cloned().collect();
        }
        other
    }
}

/// Whether another domain may be asked: nobody took it or may have it, and it is not kept back for this one.
fn is_for_others(answer: &Result<Answer, Undelivered>) -> bool {
    match answer {
        Err(Undelivered::NotTaken(refusal)) => {
            !matches!(refusal, Refusal::HeldBack { .. } | Refusal::Dropped { .. })
        }
        Ok(_) | Err(Undelivered::Refused(_) | Undelivered::Unanswered(_)) => false,
    }
}

/// The request for this side, unless its agreement forbids it.
fn agreed(target: Target, request: impl Fn(&Target) -> Request) -> Result<(Target, Request), Refusal> {
    let request = request(&target);
    if let Some(agreement) = &target.agreement {
        admit::admit_outbound(agreement, &request)?;
    }
    Ok((target, request))
}

/// What people are wanted for by this request.
fn route_service(request: &Request) -> RouteService {
    match request {
        Request::Subscribe(_) | Request::Unsubscribe(_) | Request::GetPresence(_) | Request::Notify(_) => {
            RouteService::Pres
        }
        Request::Search(_)
        | Request::StopSearch { .. }
        | Request::ContactAdded(_)
        | Request::Send(_)
        | Request::Report(_)
        | Request::Invite(_)
        | Request::InviteAnswer(_)
        | Request::CancelInvite(_)
        | Request::Group(_)
        | Request::GroupEvent(_) => RouteService::Im,
    }
}
