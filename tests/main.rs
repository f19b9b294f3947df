//! The one integration-test binary.

mod by_hand;
mod conformance;
mod corpus;
mod crash;
mod lab;
mod rules;
mod store;
mod zone;
