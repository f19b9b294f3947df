//! Claims: which items are leased next, and when the next one is due.
//!
//! One statement finds the due heads of all queues, passes over those that another node is at, and leases them. Its cost is the
//! number of queues in which something waits, plus the number of items taken.

use deadpool_postgres::Object;

use super::{
    LeaseTime, codec,
    codec::item_columns,
    error::Failed,
    lease::now_or,
    pipe::{rows, step},
};
use crate::{
    model::Timestamp,
    store::{Claim, OutboxItem},
};

/// Leases due items.
///
/// # Errors
/// When the engine fails.
pub(super) async fn claim(
    connection: &Object,
    claim: Claim,
    time: &LeaseTime,
) -> Result<Vec<OutboxItem>, Failed> {
    let now = time.given(claim.now);
    let lease = i64::try_from(claim.lease.as_millis()).unwrap_or(i64::MAX);
    let leased = step!(
        LEASE,
        claim.except_queues,
        now,
        codec::limit(claim.limit),
        claim.by.0,
        lease
    );
    let mut items = Vec::new();
    for columns in rows(connection, leased).await? {
        items.push(codec::item(&columns)?);
    }
    // Its lane has been put forward to the end of the lease, so the order of due times is in the answer alone.
    Ok(items)
}

/// When the first head needs somebody, in the time of the callers.
///
/// # Errors
/// When the engine fails.
pub(super) async fn next_due(
    connection: &Object,
    except: Vec<String>,
    time: &LeaseTime,
) -> Result<Option<Timestamp>, Failed> {
    let found = rows(connection, step!(NEXT, except)).await?;
    let Some(columns) = found.first() else {
        return Ok(None);
    };
    let (next, database): (Option<i64>, i64) = (columns.try_get(0)?, columns.try_get(1)?);
    Ok(next.map(codec::time).map(|next| match time {
        LeaseTime::Callers => next,
        LeaseTime::Database(clock) => clock.now().plus(codec::time(database).until(next)),
    }))
}

/// The queues of the heads, from each to the next, those left out that take nothing now.
macro_rules! waiting_queues {
    () => {
        "WITH RECURSIVE walk (queue) AS (
            (SELECT queue FROM lane ORDER BY queue LIMIT 1)
            UNION ALL
            SELECT (SELECT lane.queue FROM lane WHERE lane.queue > walk.queue ORDER BY lane.queue LIMIT 1)
            FROM walk WHERE walk.queue IS NOT NULL
        ), waiting AS (
            SELECT walk.queue, urgency.priority FROM walk CROSS JOIN (VALUES (0::SMALLINT), (1::SMALLINT)) AS urgency (priority)
            WHERE walk.queue IS NOT NULL AND walk.queue <> ALL ($1::TEXT[])
        )"
    };
}

/// A lease of an item whose answer never came remembers that. What another node has locked is passed over, and so is what was
/// changed since this statement began to look; the next claim sees it.
const LEASE: &str = concat!(
    waiting_queues!(),
    ", clock AS (SELECT ",
    now_or!("$2"),
    " AS now
    ), due AS (
        SELECT heap.head, heap.priority, heap.at
        FROM clock CROSS JOIN waiting CROSS JOIN LATERAL (
            SELECT lane.head, lane.priority, lane.at FROM lane
            WHERE lane.queue = waiting.queue AND lane.priority = waiting.priority AND lane.at <= clock.now
            ORDER BY lane.at, lane.head LIMIT $3 FOR UPDATE SKIP LOCKED
        ) AS heap ORDER BY heap.priority, heap.at, heap.head LIMIT $3
    ), leased AS (
        UPDATE item SET place = 1, who = $4, at = clock.now + $5, attempts = attempts + 1,
            unanswered = unanswered OR item.place = 2
        FROM due, clock
        WHERE item.id = due.head AND item.place IN (0, 1, 2) AND item.at <= clock.now
        RETURNING ",
    item_columns!(),
    ", due.at AS was_due
    ), fronts AS (
        UPDATE lane SET at = leased.at FROM leased
        WHERE lane.queue = leased.queue AND lane.conversation = leased.conversation AND lane.head = leased.id
        RETURNING lane.head
    )
    SELECT id, queue, conversation, priority, place, at, who, created, expires, attempts, unanswered, last_failure, labels, body
    FROM leased ORDER BY priority, was_due, id"
);

/// When the first head is due, and what time it is; held ones have no time.
const NEXT: &str = concat!(
    waiting_queues!(),
    " SELECT min(heap.at), ",
    now_or!("NULL"),
    " FROM waiting CROSS JOIN LATERAL (
        SELECT lane.at FROM lane
        WHERE lane.queue = waiting.queue AND lane.priority = waiting.priority AND lane.at IS NOT NULL
        ORDER BY lane.at LIMIT 1
      ) AS heap"
);
