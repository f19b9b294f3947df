//! The audit log: who asked for what, before it is done, and what came of it.
//!
//! A call whose entry can't be written is refused: nothing is changed unseen.

use serde::{Deserialize, Serialize};

use super::Role;
use crate::{
    model::Timestamp,
    store::{Batch, Space, Store, StoreError},
};

/// An entry of the log.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Entry {
    /// When.
    pub(super) at: Timestamp,
    /// The token's id and name.
    pub(super) token: String,
    /// Its role.
    pub(super) role: Role,
    /// Method and path, with the query.
    pub(super) call: String,
    /// The body, cut at 500 octets; empty for none.
    pub(super) body: String,
    /// The status of the answer; absent while the call runs, or when the node stopped meanwhile.
    pub(super) status: Option<u16>,
}

/// Writes an entry; the key finds it again.
pub(super) async fn begin(store: &dyn Store, entry: &Entry) -> Result<String, StoreError> {
    let key = format!("{:016}-{:08x}", entry.at.0, fastrand::u32(..));
    write(store, &key, entry).await?;
    Ok(key)
}

/// Adds what came of it.
pub(super) async fn end(store: &dyn Store, key: &str, entry: &Entry) -> Result<(), StoreError> {
    write(store, key, entry).await
}

/// Entries from a time on, oldest first.
pub(super) async fn list(
    store: &dyn Store,
    since: Timestamp,
    limit: usize,
    now: Timestamp,
) -> Result<Vec<Entry>, StoreError> {
    let after = format!("{:016}", since.0);
    let rows = store.rows(Space::Audit, "", Some(&after), limit, now).await?;
    Ok(rows
        .iter()
        .filter_map(|row| serde_json::from_slice(&row.value).ok())
        .collect())
}

async fn write(store: &dyn Store, key: &str, entry: &Entry) -> Result<(), StoreError> {
    let value = serde_json::to_vec(entry).unwrap_or_default();
    let batch = Batch::new(entry.at).put(Space::Audit, key, value, Some(entry.at.plus(KEPT)));
    store.commit(batch).await.map(|_| ())
}

/// A year and a month.
const KEPT: std::time::Duration = std::time::Duration::from_secs(400 * 86_400);
