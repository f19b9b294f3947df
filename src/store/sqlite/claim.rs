//! Claims: which items are leased next, and when the next one is due.
//!
//! Only fronts of lanes are looked at, queue by queue through one index, so that neither a backlog behind a front nor
//! a queue that takes nothing now costs anything. The cost of a claim is the number of queues in which something
//! waits, plus the number of items taken.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    codec,
    intake::{Front, Index, Intake},
    query,
};
use crate::{
    model::Timestamp,
    store::{Claim, OutboxItem, StoreError},
};

/// Leases due items.
///
/// # Errors
/// When the engine fails.
pub(super) fn claim(
    connection: &Connection,
    intake: &mut Intake,
    claim: &Claim,
) -> Result<Vec<OutboxItem>, StoreError> {
    let mut items = Vec::new();
    let until = claim.now.plus(claim.lease);
    for (_, _, id) in due(connection, intake, claim)? {
        let is_here = intake.index().get(id).is_some();
        if is_here {
            items.extend(intake.lease(connection, id, &claim.by, until)?);
            continue;
        }
        connection
            .prepare_cached(LEASE)?
            .execute(params![id, claim.by.0, codec::ticks(until)])?;
        items.extend(query::item(connection, codec::id(id))?);
    }
    Ok(items)
}

/// When the first front needs somebody, the excepted queues left out; `next` is when the first in `intake` does.
///
/// # Errors
/// When the engine fails.
pub(super) fn next_due(
    connection: &Connection,
    mut next: Option<i64>,
    except: &[String],
) -> Result<Option<Timestamp>, StoreError> {
    for queue in queues(connection, WAITING_QUEUE)?
        .iter()
        .filter(|queue| !except.contains(queue))
    {
        for priority in codec::PRIORITIES {
            let at: Option<i64> = connection
                .prepare_cached(NEXT)?
                .query_row(params![queue, priority as i64], |columns| columns.get(0))?;
            next = next.into_iter().chain(at).min();
        }
    }
    Ok(next.map(codec::time))
}

/// The queues that this statement walks, from each to the next.
///
/// # Errors
/// When the engine fails.
pub(super) fn queues(connection: &Connection, step: &str) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare_cached(step)?;
    let mut queues = Vec::new();
    let mut from = String::new();
    loop {
        let found: Option<String> = statement
            .query_row([&from], |columns| columns.get(0))
            .optional()?;
        let Some(queue) = found else {
            return Ok(queues);
        };
        from = codec::after(&queue);
        queues.push(queue);
    }
}

/// The best due fronts of all queues, at most as many as asked for: priority, then time, then age.
fn due(connection: &Connection, intake: &Intake, claim: &Claim) -> Result<BTreeSet<Front>, StoreError> {
    let mut best = Best {
        fronts: BTreeSet::new(),
        limit: claim.limit,
    };
    if claim.limit == 0 {
        return Ok(best.fronts);
    }
    let now = codec::ticks(claim.now);
    best.take_from_intake(&intake.index(), claim, now);
    let queues = queues(connection, WAITING_QUEUE)?;
    for queue in queues.iter().filter(|queue| !claim.except_queues.contains(queue)) {
        for priority in codec::PRIORITIES {
            let mut statement = connection.prepare_cached(DUE)?;
            let mut rows = statement.query(params![queue, priority as i64, now])?;
            while let Some(columns) = rows.next()? {
                // The rows come in order, so the rest of this queue is no better.
                if !best.take((priority, columns.get(0)?, columns.get(1)?)) {
                    break;
                }
            }
        }
    }
    Ok(best.fronts)
}

/// The best of the fronts that were offered.
struct Best {
    fronts: BTreeSet<Front>,
    limit: usize,
}

impl Best {
    /// Takes a front in, unless it is no better than all of as many as are asked for.
    fn take(&mut self, front: Front) -> bool {
        if self.fronts.len() >= self.limit && self.fronts.last().is_some_and(|worst| front >= *worst) {
            return false;
        }
        self.fronts.insert(front);
        if self.fronts.len() > self.limit {
            self.fronts.pop_last();
        }
        true
    }

    fn take_from_intake(&mut self, index: &Index, claim: &Claim, now: i64) {
        let is_asked = |queue: &str| !claim.except_queues.iter().any(|except| except == queue);
        for (_, fronts) in index.fronts().filter(|(queue, _)| is_asked(queue)) {
            for priority in codec::PRIORITIES {
                let due = fronts.range((priority, i64::MIN, i64::MIN)..=(priority, now, i64::MAX));
                for front in due {
                    if !self.take(*front) {
                        break;
                    }
                }
            }
        }
    }
}

/// A lease of an item whose answer never came remembers that.
const LEASE: &str = "
UPDATE item SET place = 1, who = ?2, at = ?3, attempts = attempts + 1,
    unanswered = CASE place WHEN 2 THEN 1 ELSE unanswered END
WHERE id = ?1";

/// The next queue in which something waits.
pub(super) const WAITING_QUEUE: &str =
    "SELECT queue FROM item WHERE front = 1 AND queue >= ?1 ORDER BY queue LIMIT 1";

/// The due fronts of a queue.
pub(super) const DUE: &str = "
SELECT at, id FROM item WHERE front = 1 AND queue = ?1 AND priority = ?2 AND at <= ?3 ORDER BY at, id";

/// When the first front of a queue is due; held ones have no time.
pub(super) const NEXT: &str = "SELECT min(at) FROM item WHERE front = 1 AND queue = ?1 AND priority = ?2";
