//! Names of every metric; the log, the metrics and the trails of a node; the clock that the outer rooms read.

mod clock;
mod logs;
mod metrics;
pub mod names;
mod store_health;
mod summary;
mod trails;

pub use clock::{Clock, ClockHand};
pub use logs::{LogError, LogLines, is_log_filter, start_log};
pub use metrics::{Metrics, RoutingCounts};
pub use store_health::StoreHealth;
pub use summary::TrailSummary;
pub use trails::{TrailBook, TrailConfig, TrailsFound};
