//! Settings of the PostgreSQL engine: where the database is, how long it may take, and the bounds that refuse before it is
//! full.

use std::{fmt, path::PathBuf, time::Duration};

use crate::{model::Timestamp, store::columns::ticks, telemetry::Clock};

/// How a store in a PostgreSQL database is opened.
#[derive(Clone)]
pub struct PostgresConfig {
    /// `postgresql://user@host1:5432,host2:5432/database`; several hosts are tried in turn, and the one that takes writes is used.
    /// `sslmode` says whether TLS is a must (`require`), wished for (`prefer`, the default) or off (`disable`).
    pub url: String,
    /// The password, when it does not stand in the URL.
    pub password: Option<String>,
    /// PEM file of the authorities whose certificates the database may show; without one the database's certificate can't be
    /// checked, and TLS is not used.
    pub ca: Option<PathBuf>,
    /// Who we are to the database, in its lists of sessions.
    pub node: String,
    /// Most connections of this node. At least 2.
    pub connections: usize,
    /// How long making a connection may take.
    pub connect_timeout: Duration,
    /// How long one statement may run, or wait for another's lock, before the database gives it up.
    pub statement_timeout: Duration,
    /// How long a request waits for a database that is away, or for a free connection, before it fails.
    pub patience: Duration,
    /// Items of all queues, dead ones included, beyond which no more are queued; `None`: no bound. Nodes count one another's
    /// items every second or so, and may exceed a bound together by what each took meanwhile.
    pub max_items: Option<u64>,
    /// Items of one queue, dead ones included.
    pub max_items_per_queue: Option<u64>,
    /// Whose clock leases end by.
    pub time: LeaseTime,
    /// How a node learns that another one queued something.
    pub wake: Wake,
}

/// Whose clock leases end by.
#[derive(Clone, Debug)]
pub enum LeaseTime {
    /// The database's: nodes whose clocks differ agree on which leases have ended. The node's own clock is what the answers
    /// are translated to.
    Database(Clock),
    /// The callers', as the embedded engine does it.
    Callers,
}

/// How a node learns that another one queued something.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wake {
    /// By `LISTEN` and `NOTIFY`, and by looking.
    #[default]
    Notify,
    /// By looking alone, for databases and poolers that have no `LISTEN`.
    Poll,
}

impl LeaseTime {
    /// The time that a statement is given; `None` where the database's own counts.
    pub(super) fn given(&self, now: Timestamp) -> Option<i64> {
        match self {
            Self::Database(_) => None,
            Self::Callers => Some(ticks(now)),
        }
    }
}

impl PostgresConfig {
    /// A store in the database at this URL, without bounds, on the callers' clock.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            password: None,
            ca: None,
            node: "impsgw".to_owned(),
            connections: 16,
            connect_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(10),
            patience: Duration::from_secs(5),
            max_items: None,
            max_items_per_queue: None,
            time: LeaseTime::Callers,
            wake: Wake::Notify,
        }
    }
}

impl fmt::Debug for PostgresConfig {
    /// Without the URL and the password, which are secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PostgresConfig")
            .field("node", &self.node)
            .field("connections", &self.connections)
            .field("time", &self.time)
            .field("wake", &self.wake)
            .finish_non_exhaustive()
    }
}
