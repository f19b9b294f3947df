//! The tables, and the steps from each version of them to the next.
//!
//! As with the embedded engine, steps go forward only, and one that has been released is never edited. Nodes that start
//! together take turns at the row that holds the version. The statements keep to what PostgreSQL, YugabyteDB and CockroachDB share
//! (docs/decisions/0007-postgresql.md).

use deadpool_postgres::Object;
use tokio_postgres::error::SqlState;

use super::{
    error::Failed,
    pipe::{rows, send, step},
};
use crate::store::StoreError;

/// Brings the tables to the version that this program knows.
///
/// # Errors
/// [`StoreError::Newer`] when a newer program wrote them; when the engine fails.
pub(super) async fn migrate(connection: &Object) -> Result<(), Failed> {
    // Two nodes that make the same table at once may both find it missing; the second finds it there when it tries again.
    connection
        .batch_execute(VERSIONS)
        .await
        .map_err(|error| match error.code() {
            Some(&SqlState::UNIQUE_VIOLATION | &SqlState::DUPLICATE_TABLE) => {
                Failed::Again(error.to_string())
            }
            Some(_) | None => error.into(),
        })?;
    for (version, step) in (1_i32..).zip(STEPS) {
        send(connection, &[step!("BEGIN")]).await?;
        if found(connection).await? < version {
            connection.batch_execute(step).await?;
            send(connection, &[step!(REACHED, version)]).await?;
        }
        send(connection, &[step!("COMMIT")]).await?;
    }
    send(connection, &[step!("BEGIN")]).await?;
    let found = found(connection).await?;
    send(connection, &[step!("COMMIT")]).await?;
    let known = i32::try_from(STEPS.len()).unwrap_or(i32::MAX);
    if found > known {
        let (found, known) = (found.unsigned_abs(), known.unsigned_abs());
        return Err(StoreError::Newer { found, known }.into());
    }
    Ok(())
}

/// Looks whether the tables have the version that this program knows.
///
/// # Errors
/// [`StoreError::Newer`] when a newer program made them, [`StoreError::Engine`] when an older one did, or nobody; when the engine fails.
pub(super) async fn verify(connection: &Object) -> Result<(), Failed> {
    let are_there = rows(connection, step!(ARE_THERE)).await?;
    let found = match are_there.first() {
        Some(_) => rows(connection, step!(VERSION)).await?,
        None => Vec::new(),
    };
    let found: i32 = match found.first() {
        Some(row) => row.try_get(0)?,
        None => 0,
    };
    let known = i32::try_from(STEPS.len()).unwrap_or(i32::MAX);
    if found == known {
        return Ok(());
    }
    if found > known {
        let (found, known) = (found.unsigned_abs(), known.unsigned_abs());
        return Err(StoreError::Newer { found, known }.into());
    }
    let reason = match found {
        0 => "the database holds no store; a gateway makes it at its first start".to_owned(),
        older => format!(
            "the store has schema version {older}; the next start of a gateway makes it version {known}"
        ),
    };
    Err(StoreError::Engine { reason }.into())
}

/// The version that is there; others wait for us until the transaction ends.
async fn found(connection: &Object) -> Result<i32, Failed> {
    let found = rows(connection, step!(FOUND)).await?;
    Ok(match found.first() {
        Some(row) => row.try_get(0)?,
        None => 0,
    })
}

const VERSIONS: &str = "
CREATE TABLE IF NOT EXISTS impsgw_schema (one INT PRIMARY KEY, version INT NOT NULL);
INSERT INTO impsgw_schema (one, version) VALUES (1, 0) ON CONFLICT (one) DO NOTHING";

const FOUND: &str = "SELECT version FROM impsgw_schema WHERE one = 1 FOR UPDATE";

const ARE_THERE: &str = "
SELECT 1 FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = 'impsgw_schema'";

const VERSION: &str = "SELECT version FROM impsgw_schema WHERE one = 1";

const REACHED: &str = "UPDATE impsgw_schema SET version = $1 WHERE one = 1";

/// Step `n` makes version `n + 1`: the first the tables, the second lets what is too late be found.
///
/// `lane` has a row for each lane in which something lives: its head is the one item that may be worked on, and `priority` and `at`
/// are the head's, so that a claim walks one index whatever the backlog. Whoever changes anything of a lane locks its row first.
const STEPS: &[&str] = &[
    "
CREATE TABLE fact (
    space   SMALLINT NOT NULL,
    key     TEXT COLLATE \"C\" NOT NULL,
    value   BYTEA NOT NULL,
    version BIGINT NOT NULL,
    expires BIGINT,
    PRIMARY KEY (space, key)
);
CREATE INDEX fact_expires ON fact (expires) WHERE expires IS NOT NULL;

CREATE SEQUENCE item_id;
CREATE TABLE item (
    id           BIGINT PRIMARY KEY,
    queue        TEXT COLLATE \"C\" NOT NULL,
    conversation TEXT COLLATE \"C\" NOT NULL,
    priority     SMALLINT NOT NULL,
    place        SMALLINT NOT NULL,
    at           BIGINT,
    who          TEXT,
    created      BIGINT NOT NULL,
    expires      BIGINT NOT NULL,
    attempts     INT NOT NULL DEFAULT 0,
    unanswered   BOOLEAN NOT NULL DEFAULT FALSE,
    last_failure TEXT,
    replaces     TEXT,
    labels       TEXT[] NOT NULL,
    body         BYTEA NOT NULL
);
CREATE INDEX item_lane ON item (queue, conversation, id) WHERE place <> 4;
CREATE INDEX item_place ON item (queue, place, id);
CREATE INDEX item_replaces ON item (queue, conversation, replaces) WHERE replaces IS NOT NULL;

CREATE TABLE lane (
    queue        TEXT COLLATE \"C\" NOT NULL,
    conversation TEXT COLLATE \"C\" NOT NULL,
    head         BIGINT NOT NULL,
    priority     SMALLINT NOT NULL,
    at           BIGINT,
    PRIMARY KEY (conversation, queue)
);
CREATE INDEX lane_due ON lane (queue, priority, at, head);

CREATE TABLE label (
    label TEXT COLLATE \"C\" NOT NULL,
    item  BIGINT NOT NULL,
    PRIMARY KEY (label, item)
);

CREATE TABLE lease (
    name   TEXT COLLATE \"C\" PRIMARY KEY,
    holder TEXT,
    fence  BIGINT NOT NULL,
    until  BIGINT NOT NULL
);
",
    "
CREATE INDEX item_expires ON item (expires, id) WHERE place <> 4;
",
];
