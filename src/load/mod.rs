//! Load: a home server and a partner on either side of a gateway, over real sockets, and what each message costs.
//!
//! `run.rs` brings everything up and drives the phases: the gateway is a child process (`gateway.rs`), the partner is another
//! (`partner.rs`), the home server (`home.rs`) and the DNS zones (`zones.rs`) are in this one. `side.rs` is an SSP side as both
//! play it, `http.rs` the lean HTTP under it, `pki.rs` its certificates. `ledger.rs` keeps what was promised and what arrived,
//! `process.rs` reads what each process used, `nginx.rs` measures a reverse proxy the same way.

mod compare;
mod gateway;
mod home;
mod http;
mod ledger;
mod nginx;
mod partner;
mod pki;
mod process;
mod run;
mod side;
mod zones;

use std::{path::PathBuf, time::Duration, time::Instant};

use serde::{Deserialize, Serialize};

pub use compare::{Comparison, compare};
pub use ledger::{Balance, Latency};
pub use nginx::{ProxyReport, proxy};
pub use partner::play_partner;
pub use process::Usage;
pub use run::{Report, run};

/// What is driven through the gateway, and how.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Plan {
    /// Mutual TLS on every connection; else plain HTTP.
    pub tls: bool,
    /// Transactions of one document, both ways.
    pub batch: usize,
    /// Distinct numbers, 1 to 1,000,000.
    pub numbers: usize,
    /// Domains at the partner, each with an agreement and a session of its own, 1 to 2,000.
    pub peers: usize,
    /// How the next message is timed.
    pub pace: Pace,
    /// When the measured part ends.
    pub until: Until,
    /// Messages before the measured part.
    pub warm_up: usize,
    /// Connections each way between any two processes.
    pub connections: usize,
    /// Octets of a message's content.
    pub content: usize,
    /// Whether each message asks for a delivery report, which the partner then sends.
    pub reports: bool,
    /// Whether each message is committed before it is sent on, as with `accept = "store"`.
    pub queued: bool,
    /// The PostgreSQL database that keeps the store; else it is a file.
    pub store: Option<String>,
    /// Gateways that are one by `[cluster]`; home server and partner hand each document to the next of them. More than one needs a database.
    pub nodes: usize,
    /// Each gateway is started by this program, with the gateway's own command line as arguments.
    pub run_under: Option<PathBuf>,
    /// Where certificates, configuration, store and logs go.
    pub folder: PathBuf,
    /// The program that the gateway and the partner are started from.
    pub program: PathBuf,
}

/// How the next message is timed.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// A message is sent when one of so many under way is answered.
    Closed(usize),
    /// So many messages a second, whatever becomes of them; latency counts from when each was due.
    Open(f64),
}

/// When the measured part ends.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// After so many messages.
    Count(usize),
    /// After so long.
    Elapsed(Duration),
}

impl Until {
    /// How many beats of this interval there are until the end.
    fn beats(self, interval: Duration) -> usize {
        match self {
            Self::Count(count) => count,
            Self::Elapsed(duration) => {
                usize::try_from(duration.as_nanos() / interval.as_nanos().max(1)).unwrap_or(usize::MAX)
            }
        }
    }
}

/// Why no load could be made.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A socket, file or process.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Certificates.
    #[error(transparent)]
    Certificates(#[from] crate::lab::certs::CertificateError),
    /// TLS settings.
    #[error("TLS: {0}")]
    Tls(String),
    /// The zones or their server.
    #[error("the zones can't be served: {0}")]
    Zones(String),
    /// A process ended or did not come up; its log says why.
    #[error("{0}")]
    Process(String),
    /// No session with the gateway.
    #[error("the gateway opens no session: {0}")]
    Session(String),
}

impl LoadError {
    fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// The domain of the home server, which the gateway serves.
const HOME_DOMAIN: &str = "load.example";
/// The name of the partner's certificate; its domains are `p0000.peers.example` and so on.
const PARTNER_NAME: &str = "partner.example";
/// Messages of priming carry so many recipients.
const PRIME_RECIPIENTS: usize = 100;

/// The name of a gateway.
fn node_name(index: usize) -> String {
    format!("load{index}")
}

/// The domain of a peer.
fn peer_domain(index: usize) -> String {
    format!("p{index:04}.peers.example")
}

#[expect(clippy::disallowed_methods, reason = "a load tool measures time")]
fn clock() -> Instant {
    Instant::now()
}
