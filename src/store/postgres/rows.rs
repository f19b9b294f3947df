//! The rows of a batch as statements over many rows at a time.

use std::collections::{HashMap, HashSet};

use super::{
    apply::{Counts, Plan},
    codec,
    error::Failed,
    pipe::{Step, step},
};
use crate::{
    model::Timestamp,
    store::{Batch, Committed, Expected, Row, RowWrite},
};

/// What an answer of the first look holds.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Wants {
    /// Nothing; it was asked for its locks.
    Locks,
    /// Leases with their fences.
    Fences,
    /// Rows with the versions that the batch expects.
    Rows,
    /// Items that the batch settles.
    Standings,
}

/// The one statement of a batch that only sets rows, each once.
pub(super) fn single(batch: &Batch) -> Option<Step> {
    let is_plain = batch.enqueue.is_empty()
        && batch.settle.is_empty()
        && batch.due_now.is_empty()
        && !batch.all_due_now
        && batch.fences.is_empty()
        && batch
            .writes
            .iter()
            .all(|write| write.expected == Expected::Any && write.value.is_some());
    let runs = runs(&batch.writes);
    match &runs[..] {
        [run] if is_plain => Some(put(PUT, run, batch.now)),
        _ => None,
    }
}

/// Whether the batch has rows that must not be there yet.
pub(super) fn has_absent(batch: &Batch) -> bool {
    batch
        .writes
        .iter()
        .any(|write| write.expected == Expected::Absent)
}

/// Asks for the rows on which something is expected, and locks them.
pub(super) fn look(batch: &Batch, with_absent: bool) -> Option<Step> {
    let (mut spaces, mut keys) = (Vec::new(), Vec::new());
    for write in batch.writes.iter().filter(|write| match write.expected {
        Expected::Any => false,
        Expected::Absent => with_absent || write.value.is_none(),
        Expected::Version(_) => true,
    }) {
        spaces.push(codec::space(write.space));
        keys.push(write.key.clone());
    }
    (!keys.is_empty()).then(|| step!(LOOK, spaces, keys))
}

/// The rows that were found, by where they are.
///
/// # Errors
/// When a column can't be read.
pub(super) fn found(columns: &[tokio_postgres::Row]) -> Result<HashMap<(i16, String), Row>, Failed> {
    let mut rows = HashMap::new();
    for columns in columns {
        let row = codec::row(columns)?;
        rows.insert((columns.try_get(4)?, row.key.clone()), row);
    }
    Ok(rows)
}

/// The first write whose expectation doesn't hold, when the writes are carried out one after the other.
pub(super) fn conflict(
    batch: &Batch,
    found: &HashMap<(i16, String), Row>,
    with_absent: bool,
) -> Option<Committed> {
    let mut now: HashMap<(i16, String), Row> = found
        .iter()
        .filter(|(_, row)| row.expires.is_none_or(|expires| expires > batch.now))
        .map(|(at, row)| (at.clone(), row.clone()))
        .collect();
    for write in &batch.writes {
        let at = (codec::space(write.space), write.key.clone());
        let there = now.get(&at);
        let holds = match write.expected {
            Expected::Any => true,
            Expected::Absent => (!with_absent && write.value.is_some()) || there.is_none(),
            Expected::Version(version) => there.is_some_and(|row| row.version == version),
        };
        if !holds {
            return Some(Committed::Conflict {
                space: write.space,
                key: write.key.clone(),
                found: there.cloned(),
            });
        }
        let version = there.map_or(1, |row| row.version + 1);
        match &write.value {
            Some(value) => drop(now.insert(at, after(write, value, version))),
            None => drop(now.remove(&at)),
        }
    }
    None
}

fn after(write: &RowWrite, value: &bytes::Bytes, version: u64) -> Row {
    Row {
        key: write.key.clone(),
        value: value.clone(),
        version,
        expires: write.expires,
    }
}

/// The writes as statements, in their order where one row is written more than once.
pub(super) fn plan(batch: &Batch, plan: &mut Plan) {
    for run in runs(&batch.writes) {
        let (sets, removals): (Vec<_>, Vec<_>) = run.into_iter().partition(|write| write.value.is_some());
        let (tried, sure): (Vec<_>, Vec<_>) = sets
            .into_iter()
            .partition(|write| write.expected == Expected::Absent);
        if !tried.is_empty() {
            let count = tried.len() as u64;
            plan.add(put(PUT_NEW, &tried, batch.now), Counts::Exactly(count));
        }
        if !sure.is_empty() {
            plan.add(put(PUT, &sure, batch.now), Counts::Nothing);
        }
        if !removals.is_empty() {
            let spaces: Vec<_> = removals.iter().map(|write| codec::space(write.space)).collect();
            let keys: Vec<_> = removals.iter().map(|write| write.key.clone()).collect();
            plan.add(step!(REMOVE, spaces, keys), Counts::Nothing);
        }
    }
}

/// Pieces in which no row is written twice, each in the order of its keys, so that two transactions lock them in the same order.
fn runs(writes: &[RowWrite]) -> Vec<Vec<&RowWrite>> {
    let mut runs: Vec<Vec<&RowWrite>> = Vec::new();
    let mut keys = HashSet::new();
    for write in writes {
        let is_new = keys.insert((write.space, write.key.as_str()));
        if !is_new {
            keys.clear();
            keys.insert((write.space, write.key.as_str()));
        }
        match runs.last_mut() {
            Some(run) if is_new => run.push(write),
            _ => runs.push(vec![write]),
        }
    }
    for run in &mut runs {
        run.sort_unstable_by(|a, b| (a.space, &a.key).cmp(&(b.space, &b.key)));
    }
    runs
}

fn put(sql: &'static str, writes: &[&RowWrite], now: Timestamp) -> Step {
    let spaces: Vec<_> = writes.iter().map(|write| codec::space(write.space)).collect();
    let keys: Vec<_> = writes.iter().map(|write| write.key.clone()).collect();
    let value = |write: &&RowWrite| write.value.as_ref().map_or_else(Vec::new, |value| value.to_vec());
    let values: Vec<Vec<u8>> = writes.iter().map(value).collect();
    let expires: Vec<_> = writes
        .iter()
        .map(|write| write.expires.map(codec::ticks))
        .collect();
    step!(sql, spaces, keys, values, expires, codec::ticks(now))
}

/// Removes rows that expired first.
pub(super) const EXPIRE: &str = "
DELETE FROM fact USING (
    SELECT space, key FROM fact WHERE expires <= $1 ORDER BY expires, space, key LIMIT $2 FOR UPDATE SKIP LOCKED
) AS old WHERE fact.space = old.space AND fact.key = old.key";

const LOOK: &str = "
SELECT fact.key, fact.value, fact.version, fact.expires, fact.space
FROM fact JOIN unnest($1::SMALLINT[], $2::TEXT[]) AS wanted (space, key)
    ON fact.space = wanted.space AND fact.key = wanted.key
ORDER BY fact.space, fact.key FOR UPDATE OF fact";

/// A row that has expired is as good as gone, so its successor begins at version 1.
const PUT: &str = "
INSERT INTO fact (space, key, value, version, expires)
SELECT put.space, put.key, put.value, 1, put.expires
FROM unnest($1::SMALLINT[], $2::TEXT[], $3::BYTEA[], $4::BIGINT[]) AS put (space, key, value, expires)
ON CONFLICT (space, key) DO UPDATE SET
    value = excluded.value,
    version = CASE WHEN fact.expires <= $5 THEN 1 ELSE fact.version + 1 END,
    expires = excluded.expires";

/// As PUT, for rows that are not there, or have expired.
const PUT_NEW: &str = "
INSERT INTO fact (space, key, value, version, expires)
SELECT put.space, put.key, put.value, 1, put.expires
FROM unnest($1::SMALLINT[], $2::TEXT[], $3::BYTEA[], $4::BIGINT[]) AS put (space, key, value, expires)
ON CONFLICT (space, key) DO UPDATE SET value = excluded.value, version = 1, expires = excluded.expires
WHERE fact.expires <= $5";

const REMOVE: &str = "
DELETE FROM fact USING unnest($1::SMALLINT[], $2::TEXT[]) AS gone (space, key)
WHERE fact.space = gone.space AND fact.key = gone.key";
