//! Crashes: a process that is killed loses nothing that it has acknowledged.
//!
//! `store.rs` kills a process that does nothing but commit; `gateway.rs` kills a whole gateway under load, between two
//! operators that `side.rs` plays.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]
#![expect(
    clippy::disallowed_methods,
    reason = "deadlines are for a process of its own, which has its own clock"
)]

mod gateway;
mod side;
mod store;
