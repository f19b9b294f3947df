//! One batch inside the writer's transaction: fences first, then rows, items and settlements.
//!
//! The caller wraps each batch in a savepoint and undoes it unless the answer is [`Committed::Done`], so that what is
//! here may stop half-way.

use rusqlite::{Connection, OptionalExtension, params};

use super::{codec, lease, outbox::Outbox};
use crate::{
    model::Timestamp,
    store::{Batch, Committed, Expected, Row, RowWrite, StoreError},
};

/// Carries out a batch.
///
/// # Errors
/// When the engine fails.
pub(super) fn apply(outbox: &mut Outbox<'_>, batch: &Batch) -> Result<Committed, StoreError> {
    let connection = outbox.connection;
    if let Some(name) = lease::first_lost(connection, &batch.fences)? {
        return Ok(Committed::Fenced(name.to_owned()));
    }
    for write in &batch.writes {
        if let Some(conflict) = write_row(connection, write, batch.now)? {
            return Ok(conflict);
        }
    }
    for item in &batch.enqueue {
        outbox.enqueue(item, batch.now)?;
    }
    for (id, settle) in &batch.settle {
        if !outbox.settle(*id, settle)? {
            return Ok(Committed::LeaseLost(*id));
        }
    }
    for queue in &batch.due_now {
        outbox.hasten(queue, batch.now)?;
    }
    if batch.all_due_now {
        outbox.hasten_all(batch.now)?;
    }
    Ok(Committed::Done)
}

/// Removes expired rows; returns how many went.
///
/// # Errors
/// When the engine fails.
pub(super) fn expire(connection: &Connection, now: Timestamp, limit: usize) -> Result<u64, StoreError> {
    let gone = connection
        .prepare_cached(EXPIRE)?
        .execute(params![codec::ticks(now), codec::limit(limit)])?;
    Ok(u64::try_from(gone).unwrap_or(u64::MAX))
}

fn write_row(
    connection: &Connection,
    write: &RowWrite,
    now: Timestamp,
) -> Result<Option<Committed>, StoreError> {
    if write.expected != Expected::Any {
        let found = row(connection, write, now)?;
        let is_expected = match write.expected {
            Expected::Any => true,
            Expected::Absent => found.is_none(),
            Expected::Version(version) => found.as_ref().is_some_and(|row| row.version == version),
        };
        if !is_expected {
            let (space, key) = (write.space, write.key.clone());
            return Ok(Some(Committed::Conflict { space, key, found }));
        }
    }
    let space = write.space as i64;
    match &write.value {
        Some(value) => connection.prepare_cached(PUT)?.execute(params![
            space,
            write.key,
            &value[..],
            write.expires.map(codec::ticks),
            codec::ticks(now),
        ])?,
        None => connection
            .prepare_cached("DELETE FROM fact WHERE space = ?1 AND key = ?2")?
            .execute(params![space, write.key])?,
    };
    Ok(None)
}

fn row(connection: &Connection, write: &RowWrite, now: Timestamp) -> Result<Option<Row>, StoreError> {
    let mut statement = connection.prepare_cached(super::query::ROW)?;
    let parameters = params![write.space as i64, write.key, codec::ticks(now)];
    let found = statement
        .query_row(parameters, |columns| Ok(codec::row(columns)))
        .optional()?;
    found.transpose()
}

/// A row that has expired is as good as gone, so its successor begins at version 1.
const PUT: &str = "
INSERT INTO fact (space, key, value, version, expires) VALUES (?1, ?2, ?3, 1, ?4)
ON CONFLICT (space, key) DO UPDATE SET
    value = excluded.value,
    version = CASE WHEN expires <= ?5 THEN 1 ELSE version + 1 END,
    expires = excluded.expires";

/// Takes at most so many of the rows that expired first.
pub(super) const EXPIRE: &str = "
DELETE FROM fact WHERE (space, key) IN (
    SELECT space, key FROM fact WHERE expires <= ?1 ORDER BY expires LIMIT ?2
)";
