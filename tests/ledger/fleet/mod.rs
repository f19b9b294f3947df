//! The ledger of many nodes: three gateways as processes of their own are one, on a PostgreSQL database of the test's own.
//!
//! Those who send and the one who takes reach any node that lives, and repeat under the same IDs what was not answered. What was
//! accepted arrives, or its sender is told; nothing comes twice but what a fault met under way.

mod chaos;
mod node;
mod outages;
mod random;
mod rolling;
mod senders;
mod stage;

use std::time::Duration;

/// How long a node that has died is still thought to live.
const LEASE: Duration = Duration::from_secs(3);
/// Within this what a node was delivering when it died is taken over and delivered: the time that an answer is waited for, 40 s, and
/// what a slow machine needs.
const TAKEN_OVER: Duration = Duration::from_secs(3 + 40 + 20);
