//! `impsgw store check` and `impsgw store backup`: both work beside a running gateway.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rusqlite::Connection;

use super::{SqliteStore, open};
use crate::store::{Checked, StoreError};

impl SqliteStore {
    /// Reads everything and compares it: pages, indexes, and what the outbox must keep true. Takes about a second for
    /// each GiB; writing goes on meanwhile.
    ///
    /// # Errors
    /// When the engine fails; damage is a finding and not an error.
    pub async fn check(&self) -> Result<Checked, StoreError> {
        self.read(check).await
    }

    /// Writes a consistent copy to a new file, readable by this user only and safe on disk when this returns.
    ///
    /// # Errors
    /// [`StoreError::Disk`] when `to` exists or can't be written.
    pub async fn backup(&self, to: impl AsRef<Path>) -> Result<(), StoreError> {
        let to = to.as_ref().to_owned();
        let part = part_of(&to)?;
        let begun = part.clone();
        let copied = self.outside(move |connection| copy(connection, &begun)).await;
        if copied.is_err() {
            let _ = fs::remove_file(&part);
        }
        copied?;
        publish(&part, &to)
    }

    /// As [`SqliteStore::check`], of a file that another process may have open. Blocks on the disk.
    ///
    /// # Errors
    /// [`StoreError::Disk`] when there is no such file; when the engine fails. Damage is a finding and not an error.
    pub fn check_file(path: &Path) -> Result<Checked, StoreError> {
        let connection = beside_others(path)?;
        let transaction = connection.unchecked_transaction()?;
        check(&transaction)
    }

    /// As [`SqliteStore::backup`], of a file that another process may have open. Blocks on the disk.
    ///
    /// # Errors
    /// [`StoreError::Disk`] when there is no such file, when `to` exists, or can't be written.
    pub fn backup_file(path: &Path, to: &Path) -> Result<(), StoreError> {
        let connection = beside_others(path)?;
        let part = part_of(to)?;
        let copied = copy(&connection, &part);
        if copied.is_err() {
            let _ = fs::remove_file(&part);
        }
        copied?;
        publish(&part, to)
    }

    /// As `read`, without a transaction.
    async fn outside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        match &self.readers {
            Some(readers) => readers.read(work).await,
            None => self.writer.aside(move |connection| work(connection)).await,
        }
    }
}

/// A connection that reads a store which is there, whoever else has it.
fn beside_others(path: &Path) -> Result<Connection, StoreError> {
    if !path.is_file() {
        let reason = format!("{} is no file; is this the gateway's data_dir?", path.display());
        return Err(StoreError::Disk { reason });
    }
    open::reader(path)
}

/// The name under which a copy is made, until it is whole.
fn part_of(to: &Path) -> Result<PathBuf, StoreError> {
    if to.exists() {
        let reason = format!("{} exists; name a new file", to.display());
        return Err(StoreError::Disk { reason });
    }
    Ok(open::beside(to, ".part"))
}

fn check(connection: &Connection) -> Result<Checked, StoreError> {
    let mut checked = Checked {
        rows: connection.query_row("SELECT count(*) FROM fact", [], |columns| columns.get(0))?,
        items: connection.query_row(ITEMS, [], |columns| columns.get(0))?,
        faults: Vec::new(),
    };
    let mut statement = connection.prepare("PRAGMA integrity_check")?;
    let mut found = statement.query([])?;
    while let Some(columns) = found.next()? {
        let fault: String = columns.get(0)?;
        if fault != "ok" {
            checked.faults.push(fault);
        }
    }
    for (rule, sql) in RULES {
        let broken: u64 = connection.query_row(sql, [], |columns| columns.get(0))?;
        if broken > 0 {
            checked.faults.push(format!("{broken} times broken: {rule}"));
        }
    }
    Ok(checked)
}

fn copy(connection: &Connection, to: &Path) -> Result<(), StoreError> {
    // An empty file keeps its mode when SQLite fills it.
    let file = open::private()
        .truncate(true)
        .open(to)
        .map_err(|error| open::disk(to, &error))?;
    let name = to.to_str().ok_or_else(|| StoreError::Disk {
        reason: format!("{} is not UTF-8", to.display()),
    })?;
    // A connection that only queries may not even write elsewhere.
    let only: bool = connection.pragma_query_value(None, "query_only", |columns| columns.get(0))?;
    connection.pragma_update(None, "query_only", false)?;
    let copied = connection.execute("VACUUM INTO ?1", [name]);
    connection.pragma_update(None, "query_only", only)?;
    copied?;
    file.sync_all().map_err(|error| open::disk(to, &error))
}

fn publish(part: &Path, to: &Path) -> Result<(), StoreError> {
    fs::rename(part, to).map_err(|error| open::disk(to, &error))?;
    let directory = to
        .parent()
        .filter(|directory| !directory.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    fs::File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| open::disk(to, &error))
}

const ITEMS: &str = "SELECT (SELECT count(*) FROM item) + (SELECT count(*) FROM intake)";

/// What the statements of the outbox keep true; each query counts where it is not.
const RULES: &[(&str, &str)] = &[
    (
        "a lane with living items has one front",
        "SELECT count(*) FROM (SELECT 1 FROM item WHERE place <> 4 GROUP BY queue, conversation HAVING sum(front) <> 1)",
    ),
    (
        "a dead item is no front",
        "SELECT count(*) FROM item WHERE place = 4 AND front <> 0",
    ),
    (
        "what is under way is the front",
        "SELECT count(*) FROM item WHERE place IN (1, 2) AND front = 0",
    ),
    (
        "a front that waits is the oldest of its lane",
        "SELECT count(*) FROM item AS head WHERE front = 1 AND place IN (0, 3) AND EXISTS (SELECT 1 FROM item AS older
         WHERE older.queue = head.queue AND older.conversation = head.conversation AND older.place <> 4 AND older.id < head.id)",
    ),
    (
        "an item has a time unless it is held or dead",
        "SELECT count(*) FROM item WHERE (at IS NULL) <> (place IN (3, 4))",
    ),
    (
        "an item has a body",
        "SELECT count(*) FROM item WHERE NOT EXISTS (SELECT 1 FROM content WHERE content.id = item.id)",
    ),
    (
        "a body has an item",
        "SELECT count(*) FROM content WHERE NOT EXISTS (SELECT 1 FROM item WHERE item.id = content.id)",
    ),
    (
        "a lane waits where it arrived or in the outbox, not in both",
        "SELECT count(*) FROM intake WHERE EXISTS (SELECT 1 FROM item
         WHERE item.queue = intake.queue AND item.conversation = intake.conversation AND item.place <> 4)",
    ),
    (
        "an identity is given once",
        "SELECT count(*) FROM intake WHERE EXISTS (SELECT 1 FROM item WHERE item.id = intake.id)",
    ),
    (
        "what has arrived is scheduled, or under way as the oldest of its lane",
        "SELECT count(*) FROM (SELECT place, row_number() OVER (PARTITION BY queue, conversation ORDER BY id) AS turn FROM intake)
         WHERE place NOT IN (0, 1, 2) OR (place <> 0 AND turn > 1)",
    ),
    (
        "a label names an item",
        "SELECT count(*) FROM label WHERE NOT EXISTS (SELECT 1 FROM item WHERE item.id = label.item)",
    ),
];
