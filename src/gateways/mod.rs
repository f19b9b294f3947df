//! The edge: one folder a protocol; gateways never know one another.

#[cfg(test)]
mod errors;
pub mod home;
pub mod ssp;
