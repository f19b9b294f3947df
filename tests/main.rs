//! The one integration-test binary.

mod conformance;
mod corpus;
mod crash;
mod store;
mod zone;
