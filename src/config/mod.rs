//! Reads the configuration file and reports every mistake at once.
//!
//! Each part owns its `Config`; this room only joins them. One file, TOML; agreements may also stand in files of their own.
//! Durations are `"30s"`, sizes `"64 KiB"`. Unknown keys are mistakes.

mod agreements;
mod check;
mod differences;
mod file;
mod gateway;
mod ranges;
mod store;

pub use check::node_bundle;
pub use file::{Mistake, Mistakes};
pub use gateway::{AdminConfig, GatewayConfig, LogConfig, LogFormat};
pub use store::{Engine, PostgresSection, StoreSection};

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use crate::{
    agreement::AgreementConfig,
    cluster::ClusterConfig,
    gateways::{home::HomeConfig, ssp::SspConfig},
    relay::RelayConfig,
    routing::RoutingConfig,
};

/// Everything that an operator sets.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The node, its domains and its data.
    pub gateway: GatewayConfig,
    /// Sockets, certificates and bounds of the SSP gateway.
    pub ssp: SspConfig,
    /// Times of the relay.
    pub relay: RelayConfig,
    /// Resolvers, apexes, caches, default gateways.
    pub routing: RoutingConfig,
    /// The store.
    pub store: StoreSection,
    /// The embedded home domain; `None` where an IMPS server of ours serves the subscribers.
    pub home: Option<HomeConfig>,
    /// The other nodes; `None` where this one is alone.
    pub cluster: Option<ClusterConfig>,
    /// The admin API and the probes.
    pub admin: AdminConfig,
    /// The interconnection agreements.
    pub agreements: Vec<AgreementConfig>,
}

impl Config {
    /// Reads a file, and the agreements beside it.
    ///
    /// # Errors
    /// Every mistake, with file and line.
    pub fn load(path: &Path) -> Result<Self, Mistakes> {
        file::load(path)
    }

    /// Where the admin API of a configuration listens and where its first token is, whatever else is wrong with the file;
    /// for the commands that ask a running gateway. `None` when the file can't be read as TOML.
    #[must_use]
    pub fn admin_of(path: &Path) -> Option<(Option<SocketAddr>, PathBuf)> {
        file::admin_of(path)
    }

    /// The agreements of a file that holds nothing else, checked by themselves and against one another.
    ///
    /// # Errors
    /// Every mistake, with file and line.
    pub fn agreements_of(path: &Path) -> Result<Vec<AgreementConfig>, Mistakes> {
        file::agreements_of(path)
    }

    /// Reads a text; `name` stands for the file in mistakes.
    ///
    /// # Errors
    /// Every mistake, with line.
    pub fn parse(text: &str, name: &str) -> Result<Self, Mistakes> {
        file::parse(text, name)
    }
}

#[cfg(test)]
mod example;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
