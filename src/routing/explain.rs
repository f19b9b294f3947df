//! A route in words, as `impsgw route`, the console and a trail show it.

use std::{fmt, time::Duration};

use serde_json::{Value, json};

use super::{Plan, RouteFailure, RouteService, Routed};
use crate::model::{FactSource, RouteStep, Timestamp, WvAddress};

/// A route with its account, to be written out.
#[derive(Clone, Copy, Debug)]
pub struct Explanation<'a> {
    /// Who was asked for.
    pub address: &'a WvAddress,
    /// What came of it.
    pub routed: &'a Routed,
}

impl Routed {
    /// The decision in one line.
    #[must_use]
    pub fn decision(&self) -> String {
        match &self.plan {
            Ok(plan) => super::cache::plan_line(plan),
            Err(failure @ RouteFailure::Temporary(_)) => format!("no route for now: {failure}"),
            Err(failure) => format!("no route: {failure}"),
        }
    }
}

impl Explanation<'_> {
    /// The same for programs: what the admin API answers, and `impsgw route --json` prints, online and offline.
    #[must_use]
    pub fn json(&self, service: RouteService, now: Timestamp) -> Value {
        let routed = self.routed;
        let alternatives: Vec<Value> = routed
            .alternatives
            .iter()
            .flat_map(|all| all.iter())
            .map(|one| json!({ "domain": one.domain, "user": one.user }))
            .collect();
        json!({
            "address": self.address,
            "service": service,
            "found": routed.plan.is_ok(),
            "user": routed.user,
            "decision": routed.decision(),
            "plan": routed.plan.as_ref().ok().map(|plan| describe(plan, now)),
            "alternatives": alternatives,
            "steps": routed.steps,
            "text": self.to_string(),
        })
    }
}

fn describe(plan: &Plan, now: Timestamp) -> Value {
    match plan {
        Plan::Home { domain } => json!({ "to": "home", "domain": domain }),
        Plan::Domain {
            domain,
            protocol,
            candidates,
            valid_until,
        } => json!({
            "to": "domain",
            "domain": domain,
            "protocol": protocol,
            "servers": candidates,
            "valid_seconds": now.until(*valid_until).as_secs(),
        }),
        Plan::Gateway { peer, domain } => json!({ "to": "gateway", "peer": peer, "domain": domain }),
    }
}

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.address)?;
        for (place, step) in self.routed.steps.iter().enumerate() {
            write_step(f, place + 1, step)?;
        }
        writeln!(f, "=> {}", self.routed.decision())?;
        if self.routed.user != *self.address {
            writeln!(f, "   as {}", self.routed.user)?;
        }
        if let Ok(plan) = &self.routed.plan {
            write_servers(f, plan)?;
        }
        for other in self.routed.alternatives.iter().flat_map(|all| all.iter()) {
            writeln!(f, "   else {} as {}", other.domain, other.user)?;
        }
        Ok(())
    }
}

fn write_step(f: &mut fmt::Formatter<'_>, number: usize, step: &RouteStep) -> fmt::Result {
    write!(f, "{number:2}. {}  [{}", step.question, source(step.source))?;
    if let Some(ttl) = step.ttl {
        write!(f, ", {}", life(ttl))?;
    }
    writeln!(f, "]")?;
    for line in &step.answer {
        writeln!(f, "      {line}")?;
    }
    for line in &step.passed_over {
        writeln!(f, "    ! {line}")?;
    }
    Ok(())
}

fn write_servers(f: &mut fmt::Formatter<'_>, plan: &Plan) -> fmt::Result {
    let Plan::Domain { candidates, .. } = plan else {
        return Ok(());
    };
    let mut candidates: Vec<_> = candidates.iter().collect();
    candidates.sort_by_key(|one| (one.priority, std::cmp::Reverse(one.weight)));
    for one in candidates {
        let addresses: Vec<_> = one.addresses.iter().map(ToString::to_string).collect();
        let addresses = if addresses.is_empty() {
            "no address found now".to_owned()
        } else {
            addresses.join(", ")
        };
        let proof = if one.secure { ", proven by DNSSEC" } else { "" };
        writeln!(
            f,
            "   priority {} weight {}  {}  ({addresses}{proof})",
            one.priority,
            one.weight,
            one.host_address()
        )?;
    }
    Ok(())
}

fn source(source: FactSource) -> &'static str {
    match source {
        FactSource::Cache => "cache",
        FactSource::Dns => "DNS",
        FactSource::Stale => "stale",
        FactSource::Override => "override",
        FactSource::Home => "home",
        FactSource::Config => "configuration",
    }
}

fn life(ttl: Duration) -> String {
    match ttl.as_secs() {
        0 => "used once".into(),
        seconds => format!("{seconds} s left"),
    }
}
