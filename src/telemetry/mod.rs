//! Names of every metric, span and field; set-up of logs and metrics; the clock that the outer rooms read.

mod clock;

pub use clock::{Clock, ClockHand};
