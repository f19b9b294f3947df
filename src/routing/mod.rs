//! Address to plan: overrides, home accounts, ENUM, SRV, portability, caches, explanation.
//!
//! `facts` are gathered with their times of death; `decide` is pure. The relay sees [`Router::route`] and [`Plan`] only.

mod config_stub;
mod home;
mod plan;
mod router;

pub use config_stub::RoutingConfig;
pub use home::HomeDirectory;
pub use plan::{Candidate, HostAddress, Plan, RouteFailure, RouteService, Routed, Scheme, static_candidates};
pub use router::{Explain, Router};
