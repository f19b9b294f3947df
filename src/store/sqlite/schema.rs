//! The tables, and the steps from each version of them to the next.
//!
//! Steps go forward only and each runs in a transaction of its own with the version that it reaches, so a start that
//! was cut short goes on where it stopped. A step that has been released is never edited.

use rusqlite::{Connection, TransactionBehavior};

use crate::store::StoreError;

/// "IMPS" in ASCII, in the file's header, so that `file` and we can tell it from other databases.
pub(super) const APPLICATION_ID: i64 = 0x494d_5053;

/// Brings the tables to the version that this program knows.
///
/// # Errors
/// [`StoreError::Newer`] when a newer program wrote the file, [`StoreError::Engine`] when it is another program's.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = u32::try_from(STEPS.len()).unwrap_or(u32::MAX);
    refuse_foreign(connection, found)?;
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    for (version, step) in (1..).zip(STEPS).skip(found as usize) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}

fn refuse_foreign(connection: &Connection, found: u32) -> Result<(), StoreError> {
    let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let is_new = tables == 0 && found == 0;
    if application == APPLICATION_ID || is_new {
        return Ok(());
    }
    let reason = "the file is a database of another program; name another path".to_owned();
    Err(StoreError::Engine { reason })
}

/// Step `n` makes version `n + 1`: the first the tables of items and rows, the second the leases by name, the third lets a
/// conversation be found whatever its queue, the fourth what is too late, the fifth is the table where items arrive.
///
/// `item` holds what changes while an item waits and `content` what never does, so that a lease or a retry rewrites
/// 200 bytes and not the body. `front` marks the one item of a lane that may be worked on; `at` is when it next needs
/// somebody: due, end of lease, end of awaiting. Both bear the claim, whatever the backlog.
pub(super) const STEPS: &[&str] = &[
    "
CREATE TABLE fact (
    space   INTEGER NOT NULL,
    key     TEXT NOT NULL,
    value   BLOB NOT NULL,
    version INTEGER NOT NULL,
    expires INTEGER,
    PRIMARY KEY (space, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX fact_expires ON fact (expires) WHERE expires IS NOT NULL;

CREATE TABLE item (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    queue        TEXT NOT NULL,
    conversation TEXT NOT NULL,
    priority     INTEGER NOT NULL,
    place        INTEGER NOT NULL,
    front        INTEGER NOT NULL,
    at           INTEGER,
    who          TEXT,
    created      INTEGER NOT NULL,
    expires      INTEGER NOT NULL,
    attempts     INTEGER NOT NULL DEFAULT 0,
    unanswered   INTEGER NOT NULL DEFAULT 0,
    last_failure TEXT,
    replaces     TEXT
) STRICT;
CREATE INDEX item_front ON item (queue, priority, at) WHERE front = 1;
CREATE INDEX item_lane ON item (queue, conversation) WHERE place <> 4;
CREATE INDEX item_place ON item (queue, place);
CREATE INDEX item_replaces ON item (queue, conversation, replaces) WHERE replaces IS NOT NULL;

CREATE TABLE content (
    id     INTEGER PRIMARY KEY,
    labels TEXT NOT NULL,
    body   BLOB NOT NULL
) STRICT;

CREATE TABLE label (
    label TEXT NOT NULL,
    item  INTEGER NOT NULL,
    PRIMARY KEY (label, item)
) STRICT, WITHOUT ROWID;
",
    "
CREATE TABLE lease (
    name   TEXT PRIMARY KEY,
    holder TEXT,
    fence  INTEGER NOT NULL,
    until  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
",
    "
DROP INDEX item_lane;
CREATE INDEX item_lane ON item (conversation, queue) WHERE place <> 4;
",
    "
CREATE INDEX item_expires ON item (expires) WHERE place <> 4;
",
    "
CREATE TABLE intake (
    id           INTEGER PRIMARY KEY,
    queue        TEXT NOT NULL,
    conversation TEXT NOT NULL,
    priority     INTEGER NOT NULL,
    place        INTEGER NOT NULL,
    at           INTEGER NOT NULL,
    who          TEXT,
    created      INTEGER NOT NULL,
    expires      INTEGER NOT NULL,
    attempts     INTEGER NOT NULL DEFAULT 0,
    unanswered   INTEGER NOT NULL DEFAULT 0,
    last_failure TEXT,
    labels       TEXT NOT NULL,
    body         BLOB NOT NULL
) STRICT;
",
];
