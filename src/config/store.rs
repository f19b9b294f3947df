//! Where everything is kept that must survive: in a file of this node's own, or in a database that nodes share.

use std::{fs, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    model::{ByteSize, duration},
    store::{
        StoreError,
        postgres::{LeaseTime, PostgresConfig, Wake},
        sqlite::SqliteConfig,
    },
    telemetry::Clock,
};

/// The store.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreSection {
    /// `sqlite`: a file of this node's own; `postgres`: a database that any number of nodes share.
    pub engine: Engine,
    /// The SQLite file, below `data_dir` when relative.
    pub path: PathBuf,
    /// The largest size of the SQLite file; what would exceed it is refused before it is accepted. A database is bounded by
    /// whoever runs it, and here by the numbers of items.
    pub max_size: ByteSize,
    /// Most items that wait for delivery, all queues together.
    pub max_items: u64,
    /// Most items that wait in one queue.
    pub max_items_per_queue: u64,
    /// The database of `postgres`.
    pub postgres: PostgresSection,
}

/// Who keeps the store.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// A file of this node's own.
    #[default]
    Sqlite,
    /// A database that nodes share.
    Postgres,
}

/// The database that nodes share, when `[store] engine = "postgres"`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct PostgresSection {
    /// `postgresql://user@host1:5432,host2:5432/database`; several hosts are tried in turn, and the one that takes writes is used,
    /// so that a failover needs no change here.
    pub url: String,
    /// A file with the password, when it does not stand in the URL.
    pub password_file: Option<PathBuf>,
    /// PEM file of the authorities whose certificates the database may show. Without it the connection has no TLS; with it and
    /// `sslmode=require` in the URL it has no choice.
    pub ca: Option<PathBuf>,
    /// Most connections of this node.
    pub connections: u64,
    /// How long making a connection may take.
    #[serde(with = "duration")]
    pub connect_timeout: Duration,
    /// How long one statement may run, or wait for another's lock, before the database gives it up.
    #[serde(with = "duration")]
    pub statement_timeout: Duration,
    /// How long a request waits for a database that is away before it is refused with a temporary code.
    #[serde(with = "duration")]
    pub patience: Duration,
    /// How a node learns that another one queued something: `notify`, by LISTEN and NOTIFY; `poll`, by looking twice a second, for
    /// databases and poolers that have no LISTEN.
    pub wake: Wake,
}

impl Default for StoreSection {
    fn default() -> Self {
        Self {
            engine: Engine::Sqlite,
            path: "impsgw.db".into(),
            max_size: ByteSize(8 << 30),
            max_items: 1_000_000,
            max_items_per_queue: 100_000,
            postgres: PostgresSection::default(),
        }
    }
}

impl Default for PostgresSection {
    fn default() -> Self {
        Self {
            url: String::new(),
            password_file: None,
            ca: None,
            connections: 16,
            connect_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(10),
            patience: Duration::from_secs(2),
            wake: Wake::Notify,
        }
    }
}

impl StoreSection {
    /// The settings of the embedded engine, for a node with this `data_dir`.
    #[must_use]
    pub fn sqlite(&self, data_dir: &std::path::Path) -> SqliteConfig {
        SqliteConfig {
            max_bytes: Some(self.max_size.0),
            max_items: Some(self.max_items),
            max_items_per_queue: Some(self.max_items_per_queue),
            ..SqliteConfig::new(data_dir.join(&self.path))
        }
    }

    /// The settings of the shared engine, for a node of this name.
    ///
    /// # Errors
    /// [`StoreError::Engine`] when the password can't be read.
    pub fn postgres(&self, node: &str) -> Result<PostgresConfig, StoreError> {
        let postgres = &self.postgres;
        let read = |path: &PathBuf| {
            fs::read_to_string(path).map_err(|error| StoreError::Engine {
                reason: format!("{} can't be read: {error}", path.display()),
            })
        };
        let password = postgres.password_file.as_ref().map(read).transpose()?;
        Ok(PostgresConfig {
            url: postgres.url.clone(),
            password: password.map(|text| text.trim_end_matches(['\r', '\n']).to_owned()),
            ca: postgres.ca.clone(),
            node: node.to_owned(),
            connections: usize::try_from(postgres.connections).unwrap_or(usize::MAX),
            connect_timeout: postgres.connect_timeout,
            statement_timeout: postgres.statement_timeout,
            patience: postgres.patience,
            max_items: Some(self.max_items),
            max_items_per_queue: Some(self.max_items_per_queue),
            time: LeaseTime::Database(Clock::system()),
            wake: postgres.wake,
        })
    }
}
