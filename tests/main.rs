//! The one integration-test binary.

mod conformance;
mod crash;
mod lab;
mod store;
mod zone;
