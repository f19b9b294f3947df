//! The sections that belong to the program as a whole.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    model::{Domain, duration},
    telemetry::TrailConfig,
};

/// The node, its domains and its data.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatewayConfig {
    /// The node's name in logs, metrics and transaction IDs; letters, digits and `-`.
    pub node: String,
    /// The domains that this gateway serves; the first is its main one.
    pub domains: Vec<Domain>,
    /// Where the store, trails and the admin token are kept.
    pub data_dir: PathBuf,
    /// A folder whose `*.toml` files hold one `[[agreement]]` or more; read beside this file.
    pub agreement_dir: Option<PathBuf>,
    /// How long a stop waits for what is under way: requests, deliveries, answers. What has not ended by then and may wait
    /// goes on after the next start. Whoever supervises the program must be more patient than this: systemd waits 90s,
    /// Kubernetes 30s.
    #[serde(with = "duration")]
    pub stop_grace: Duration,
    /// What is logged, and how.
    pub log: LogConfig,
    /// How much is kept of what happened to requests.
    pub trails: TrailConfig,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            node: "n1".into(),
            domains: Vec::new(),
            data_dir: "data".into(),
            agreement_dir: None,
            stop_grace: Duration::from_secs(25),
            log: LogConfig::default(),
            trails: TrailConfig::default(),
        }
    }
}

/// What is logged, and how.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// `error`, `warn`, `info`, `debug`, or a filter such as `info,impsgw::routing=debug`.
    pub level: String,
    /// Lines for people or JSON for collectors.
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            level: "info".into(),
            format: LogFormat::Text,
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The admin API and the probes.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdminConfig {
    /// Where the admin API and the console listen; loopback unless there is a reason.
    pub listen: Option<SocketAddr>,
    /// Where `/healthz` and `/readyz` listen.
    pub health: Option<SocketAddr>,
    /// Names besides the listening address that a `Host` header may carry.
    pub hosts: Vec<String>,
    /// The file that the first admin token is written to, below `data_dir` when relative; mode 0600.
    pub token_file: PathBuf,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            listen: None,
            health: None,
            hosts: Vec::new(),
            token_file: "admin-token".into(),
        }
    }
}
