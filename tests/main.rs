//! The one integration-test binary.

mod conformance;
mod store;
mod zone;
