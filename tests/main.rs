//! The one integration-test binary.

mod conformance;
mod corpus;
mod crash;
mod lab;
mod rules;
mod store;
mod transport;
mod zone;
