//! impsgw, a federated IMPS gateway between mobile operators.
//!
//! The rooms, innermost first. `tests/rules/` holds the table of who may use whom.

pub mod admin;
pub mod agreement;
pub mod app;
pub mod charging;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod gateways;
pub mod lab;
pub mod load;
pub mod model;
pub mod relay;
pub mod routing;
pub mod store;
pub mod telemetry;
pub mod wire;
pub mod zone;
