//! The one integration-test binary.

#[cfg(test)]
mod api;
#[cfg(test)]
mod by_hand;
mod conformance;
#[cfg(test)]
mod console;
mod corpus;
mod crash;
mod hostile;
mod lab;
mod ledger;
mod limits;
mod load;
mod models;
mod nodes;
mod operation;
mod ports;
mod rules;
#[cfg(test)]
mod sandbox;
mod store;
mod transport;
mod zone;
