//! Crashes: a process that is killed loses nothing that it has acknowledged.
//!
//! `store.rs` kills a process that does nothing but commit, `boundary.rs` one at each sync of a short history; `gateway.rs`
//! kills a whole gateway under load, on the stage of `tests/ledger/`. `preload.rs` puts a disk under them that
//! forgets what was not synced.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]
#![expect(
    clippy::disallowed_methods,
    reason = "deadlines are for a process of its own, which has its own clock"
)]
mod boundary;
mod gateway;
pub(crate) mod preload;
mod store;

/// A number that whoever runs the tests gives.
pub(crate) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}
