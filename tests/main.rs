//! The one integration-test binary.

mod crash;
mod store;
