//! The question of the NOC: where would this address be routed now, and why?

use axum::{Json, extract::State};
use serde::Deserialize;

use super::{
    answer::{Answer, Asked, Shared, with_plus},
    error::ApiError,
};
use crate::{
    model::Domain,
    routing::{Explain, Explanation, Plan, RouteService, typed_address},
};

/// An address and what it is wanted for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    address: String,
    #[serde(default)]
    service: Service,
    #[serde(default, rename = "unmask")]
    _unmask: bool,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Service {
    #[default]
    Im,
    Pres,
    Mms,
}

pub(super) async fn ask(State(parts): State<Shared>, Asked(question): Asked<Question>) -> Answer {
    let address = typed_address(&with_plus(&question.address))
        .map_err(|error| ApiError::BadRequest(error.to_string()))?;
    let service = match question.service {
        Service::Im => RouteService::Im,
        Service::Pres => RouteService::Pres,
        Service::Mms => RouteService::Mms,
    };
    let now = parts.clock.now();
    let mut routed = Box::pin(parts.router.route(&address, service, now, Explain::Yes)).await;
    let agreements = parts.agreements.load();
    let is_agreed = |domain: &Domain| agreements.for_domain(domain).is_some();
    routed.plan = routed.plan.map(|plan| {
        let (plan, step) = parts.router.agreed(plan, &address, service, is_agreed);
        routed.steps.extend(step);
        plan
    });
    if let Ok(plan) = &routed.plan
        && let Plan::Domain { domain, .. } = &**plan
        && address.number().is_some()
        && let Some(agreement) = agreements.for_domain(domain)
        && !agreement.config.names_from_enum
    {
        routed.user = address.with_domain(Some(domain.clone()));
    }
    let explanation = Explanation {
        address: &address,
        routed: &routed,
    };
    Ok(Json(explanation.json(service, now)))
}
