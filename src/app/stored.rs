//! Opens the store that the configuration names.

use std::sync::Arc;

use crate::{
    config::{Config, Engine},
    store::{Store, StoreError, postgres::PostgresStore, sqlite::SqliteStore},
};

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
