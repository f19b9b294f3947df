//! Address to plan: overrides, home accounts, ENUM, SRV, portability, caches, explanation.
//!
//! `lookup` asks DNS and makes facts with their times of death, `cache` keeps them, `decide` is pure, `derive` joins the
//! three, `health` chooses among servers at each attempt. The relay sees [`Router::route`], [`Plan`] and [`Health`].

mod cache;
mod config;
mod conflict;
mod control;
mod decide;
mod derive;
mod explain;
mod fact;
mod health;
mod home;
mod lookup;
mod ours;
mod overrides;
mod plan;
mod router;
mod rules;
mod turns;
mod typed;

pub use cache::{CacheEntry, CacheFilter, EntryKind, EntryState};
pub use config::{
    ApexConfig, CacheConfig, GatewayConfig, LadderConfig, OnFailure, RangeConfig, RoutingConfig,
    SetAsideConfig, Trust, ViewConfig,
};
pub use explain::Explanation;
pub use health::{Health, SetAside};
pub use home::HomeDirectory;
pub use ours::{Holder, static_candidates};
pub use overrides::{InvalidPrefix, NumberPrefix, Override, OverrideTarget, Selector};
pub use plan::{
    Alternative, Candidate, HostAddress, Plan, RouteFailure, RouteService, Routed, Scheme, Transport,
};
pub use router::{Explain, Router, RouterStats};
pub use typed::{NobodyNamed, typed_address};

#[cfg(test)]
pub(crate) mod tests;
