//! The ledger: real gateways as processes of their own, everything that can go wrong around them, and books that must balance.
//!
//! A case is a fault (`faults.rs`, `random.rs`, and the kills of `tests/crash/gateway.rs`) on a stage (`stage.rs`; `fleet/` has one
//! of many nodes on a database): an operator
//! that sends (`sender.rs`), one that takes everything as often as it comes (`receiver.rs`), the network (`proxy.rs`), DNS and
//! the clock (`clock.rs`). Each case prints its balance in one line (`books.rs`). `IMPSGW_LEDGER_SEED=N` plays a run again,
//! `IMPSGW_LEDGER_FAULTS=200` has so many random faults follow one another.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]
#![expect(clippy::print_stdout, reason = "balances and seeds are for people")]
#![expect(
    clippy::disallowed_methods,
    reason = "deadlines are for a process of its own, which has its own clock"
)]

pub(crate) mod books;
mod clock;
mod faults;
mod fleet;
pub(crate) mod gateway;
pub(crate) mod proxy;
mod random;
mod receiver;
mod sender;
pub(crate) mod side;
pub(crate) mod stage;

use std::time::Duration;

use crate::crash::number;

/// The seed of a run, printed so that it can be played again.
pub(crate) fn seed(of: &str) -> fastrand::Rng {
    let seed = number("IMPSGW_LEDGER_SEED").unwrap_or_else(|| fastrand::u64(..1 << 32));
    println!("{of}: IMPSGW_LEDGER_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

/// Messages under way at once.
const WINDOW: usize = 24;
/// Longer than anything takes, on however slow a machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
