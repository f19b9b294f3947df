//! The edge: one folder a protocol; gateways never know one another.

pub mod home;
pub mod ssp;
