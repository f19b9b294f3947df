//! Opens the store that the configuration names.

use std::sync::Arc;

use crate::{
    config::{Config, Engine},
    store::{
        CarriedStore, Store, StoreError,
        postgres::PostgresStore,
        sqlite::{SqliteConfig, SqliteStore},
    },
};

/// A store that nodes share, with a file beside it for what is said while it is away.
///
/// # Errors
/// When the file can't be opened.
pub(super) fn carried(config: &Config, shared: Arc<dyn Store>) -> Result<Arc<CarriedStore>, StoreError> {
    let beside = SqliteConfig {
        max_bytes: Some(config.store.max_size.0),
        ..SqliteConfig::new(config.gateway.data_dir.join("carried.db"))
    };
    Ok(Arc::new(CarriedStore::new(shared, SqliteStore::open(&beside)?)))
}

/// Where a gateway runs, as it says in a store that others could reach. Whoever starts in this folder of this machine is the only
/// one there, because it locks what is in it.
#[must_use]
pub fn place(config: &Config) -> String {
    let folder = &config.gateway.data_dir;
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.clone());
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!(
        "{} at {}:{}",
        config.gateway.node,
        machine.trim(),
        folder.display()
    )
}

/// The store of a node.
///
/// # Errors
/// When it can't be opened; [`StoreError::Newer`] when a newer program wrote it.
pub async fn open(config: &Config) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match config.store.engine {
        Engine::Sqlite => Arc::new(SqliteStore::open(&config.store.sqlite(&config.gateway.data_dir))?),
        Engine::Postgres => {
            Arc::new(PostgresStore::open(&config.store.postgres(&config.gateway.node)?).await?)
        }
    })
}
