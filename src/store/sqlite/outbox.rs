//! Items inside the writer's transaction: queueing, settling, and who stands at the front of a lane.
//!
//! The front of a lane is the one item that may be worked on: the one that is leased or awaiting, else the oldest
//! that is not dead ([`crate::store::front`]). Every change of a lane goes through [`promote`] or [`settle_front`], which keep that so.

use rusqlite::{Connection, OptionalExtension, params};

use super::codec;
use crate::{
    model::Timestamp,
    store::{ItemId, Lane, NewItem, PlaceName, Settle, StoreError, tally::Change},
};

/// Queues an item at the end of its lane; takes out the waiting ones that it replaces.
///
/// # Errors
/// When the engine fails.
pub(super) fn enqueue(
    connection: &Connection,
    item: &NewItem,
    now: Timestamp,
    change: &mut Change,
) -> Result<(), StoreError> {
    let Lane { queue, conversation } = &item.lane;
    if let Some(key) = &item.replaces {
        for id in waiting_under(connection, &item.lane, key)? {
            remove(connection, id, change)?;
        }
    }
    connection.prepare_cached(INSERT)?.execute(params![
        queue,
        conversation,
        item.priority as i64,
        codec::ticks(item.due),
        codec::ticks(now),
        codec::ticks(item.expires),
        item.replaces,
        codec::place_number(if item.is_awaiting {
            PlaceName::Awaiting
        } else {
            PlaceName::Scheduled
        }),
    ])?;
    let id = connection.last_insert_rowid();
    let labels = serde_json::to_string(&item.labels).map_err(|error| StoreError::Engine {
        reason: error.to_string(),
    })?;
    connection
        .prepare_cached("INSERT INTO content (id, labels, body) VALUES (?1, ?2, ?3)")?
        .execute(params![id, labels, &item.body[..]])?;
    for label in &item.labels {
        connection
            .prepare_cached("INSERT OR IGNORE INTO label (label, item) VALUES (?1, ?2)")?
            .execute(params![label, id])?;
    }
    change.came(queue);
    Ok(())
}

/// Makes what is scheduled at the fronts of a queue due at once; what waits behind them follows in its turn.
///
/// # Errors
/// When the engine fails.
pub(super) fn hasten(connection: &Connection, queue: &str, now: Timestamp) -> Result<(), StoreError> {
    connection
        .prepare_cached(HASTEN)?
        .execute(params![queue, codec::ticks(now)])?;
    Ok(())
}

/// Makes all that is scheduled due at once; reads every item, so it is for the rare clock that was set back.
///
/// # Errors
/// When the engine fails.
pub(super) fn hasten_all(connection: &Connection, now: Timestamp) -> Result<(), StoreError> {
    connection
        .prepare_cached(HASTEN_ALL)?
        .execute([codec::ticks(now)])?;
    Ok(())
}

/// Settles an item; `false` when it is not where this settlement needs it.
///
/// # Errors
/// When the engine fails.
pub(super) fn settle(
    connection: &Connection,
    id: ItemId,
    settle: &Settle,
    change: &mut Change,
) -> Result<bool, StoreError> {
    let Some(item) = Standing::of(connection, id)? else {
        // The late answer to an item that went another way changes nothing.
        return Ok(matches!(settle, Settle::Answered));
    };
    if !settle.fits(item.place, item.who.as_deref()) {
        return Ok(false);
    }
    match settle {
        Settle::Done { .. } | Settle::Answered | Settle::Discard => remove(connection, id, change)?,
        Settle::Reschedule { due, failure, .. } | Settle::NotTaken { due, failure } => {
            reschedule(connection, id, &item, *due, failure, change)?;
        }
        Settle::Unsure { due, failure } => {
            connection
                .prepare_cached("UPDATE item SET unanswered = 1 WHERE id = ?1")?
                .execute(params![codec::key(id)])?;
            reschedule(connection, id, &item, *due, failure, change)?;
        }
        Settle::Await { until, .. } => {
            connection
                .prepare_cached("UPDATE item SET place = 2, at = ?2, who = NULL WHERE id = ?1")?
                .execute(params![codec::key(id), codec::ticks(*until)])?;
        }
        Settle::Bury { reason, .. } => {
            connection
                .prepare_cached("UPDATE item SET place = 4, at = NULL, who = ?2, front = 0 WHERE id = ?1")?
                .execute(params![codec::key(id), reason])?;
            promote(connection, &item.lane)?;
        }
        Settle::Hold { by } => {
            connection
                .prepare_cached("UPDATE item SET place = 3, at = NULL, who = ?2 WHERE id = ?1")?
                .execute(params![codec::key(id), by])?;
            settle_front(connection, &item.lane)?;
        }
        Settle::Release { due } => release(connection, id, &item.lane, *due)?,
        Settle::Redirect { lane, due } => {
            leave(connection, id, &item.lane)?;
            release(connection, id, lane, *due)?;
            change.left(&item.lane.queue);
            change.came(&lane.queue);
        }
    }
    Ok(true)
}

/// What a settlement must know of an item.
struct Standing {
    lane: Lane,
    place: PlaceName,
    who: Option<String>,
    replaces: Option<String>,
}

impl Standing {
    fn of(connection: &Connection, id: ItemId) -> Result<Option<Self>, StoreError> {
        let mut statement = connection.prepare_cached(STANDING)?;
        let mut rows = statement.query(params![codec::key(id)])?;
        let Some(columns) = rows.next()? else {
            return Ok(None);
        };
        Ok(Some(Self {
            lane: Lane {
                queue: columns.get(0)?,
                conversation: columns.get(1)?,
            },
            place: codec::place_name(id, columns.get(2)?)?,
            who: columns.get(3)?,
            replaces: columns.get(4)?,
        }))
    }
}

/// An item that was overtaken by a newer one of its key is not worth another attempt.
fn reschedule(
    connection: &Connection,
    id: ItemId,
    item: &Standing,
    due: Timestamp,
    failure: &str,
    change: &mut Change,
) -> Result<(), StoreError> {
    if let Some(key) = &item.replaces {
        let newer = waiting_under(connection, &item.lane, key)?;
        if newer.iter().any(|other| *other > id) {
            return remove(connection, id, change);
        }
    }
    connection
        .prepare_cached(RESCHEDULE)?
        .execute(params![codec::key(id), codec::ticks(due), failure])?;
    // An older one may have come (back) into the lane meanwhile.
    settle_front(connection, &item.lane)
}

fn release(connection: &Connection, id: ItemId, lane: &Lane, due: Timestamp) -> Result<(), StoreError> {
    connection.prepare_cached(RELEASE)?.execute(params![
        codec::key(id),
        lane.queue,
        lane.conversation,
        codec::ticks(due)
    ])?;
    settle_front(connection, lane)
}

fn remove(connection: &Connection, id: ItemId, change: &mut Change) -> Result<(), StoreError> {
    let key = params![codec::key(id)];
    let gone = connection
        .prepare_cached("DELETE FROM item WHERE id = ?1 RETURNING queue, conversation, front")?
        .query_row(key, |columns| {
            let (queue, conversation) = (columns.get(0)?, columns.get(1)?);
            Ok((Lane { queue, conversation }, columns.get::<_, bool>(2)?))
        })
        .optional()?;
    let Some((lane, was_front)) = gone else {
        return Ok(());
    };
    let labels: Option<String> = connection
        .prepare_cached("DELETE FROM content WHERE id = ?1 RETURNING labels")?
        .query_row(key, |columns| columns.get(0))
        .optional()?;
    for label in codec::labels(id, labels.as_deref().unwrap_or("[]"))? {
        connection
            .prepare_cached("DELETE FROM label WHERE label = ?1 AND item = ?2")?
            .execute(params![label, codec::key(id)])?;
    }
    change.left(&lane.queue);
    if was_front {
        promote(connection, &lane)?;
    }
    Ok(())
}

/// Takes an item out of the running of its lane, on its way to another.
fn leave(connection: &Connection, id: ItemId, lane: &Lane) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE item SET place = 4, at = NULL, front = 0 WHERE id = ?1")?
        .execute(params![codec::key(id)])?;
    settle_front(connection, lane)
}

/// Puts the oldest living item at the front of a lane that has none there.
fn promote(connection: &Connection, lane: &Lane) -> Result<(), StoreError> {
    connection
        .prepare_cached(PROMOTE)?
        .execute(params![lane.queue, lane.conversation])?;
    Ok(())
}

/// Puts the oldest living item at the front of a lane that something left or came to wait in (again), unless the front
/// is under way.
fn settle_front(connection: &Connection, lane: &Lane) -> Result<(), StoreError> {
    let front = connection
        .prepare_cached(FRONT)?
        .query_row(params![lane.queue, lane.conversation], |columns| {
            Ok((codec::id(columns.get(0)?), columns.get::<_, i64>(1)?))
        })
        .optional()?;
    if let Some((front, place)) = front {
        match codec::place_name(front, place)? {
            PlaceName::Leased | PlaceName::Awaiting => return Ok(()),
            PlaceName::Scheduled | PlaceName::Held | PlaceName::Dead => {}
        }
        connection.prepare_cached(STEP_BACK)?.execute(params![
            codec::key(front),
            lane.queue,
            lane.conversation
        ])?;
    }
    promote(connection, lane)
}

fn waiting_under(connection: &Connection, lane: &Lane, key: &str) -> Result<Vec<ItemId>, StoreError> {
    let mut statement = connection.prepare_cached(WAITING_UNDER)?;
    let found = statement.query_map(params![lane.queue, lane.conversation, key], |columns| {
        Ok(codec::id(columns.get(0)?))
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

const INSERT: &str = "
INSERT INTO item (queue, conversation, priority, place, front, at, created, expires, replaces)
VALUES (?1, ?2, ?3, ?8,
    NOT EXISTS (SELECT 1 FROM item WHERE queue = ?1 AND conversation = ?2 AND place <> 4),
    ?4, ?5, ?6, ?7)";

const STANDING: &str = "SELECT queue, conversation, place, who, replaces FROM item WHERE id = ?1";

const RESCHEDULE: &str = "
UPDATE item SET place = 0, at = ?2, who = NULL, last_failure = ?3 WHERE id = ?1";

const RELEASE: &str = "
UPDATE item SET queue = ?2, conversation = ?3, place = 0, at = ?4, who = NULL, attempts = 0, unanswered = 0
WHERE id = ?1";

const HASTEN: &str = "UPDATE item SET at = ?2 WHERE front = 1 AND queue = ?1 AND place = 0 AND at > ?2";

const HASTEN_ALL: &str = "UPDATE item SET at = ?1 WHERE place = 0 AND at > ?1";

/// The least living item of a lane.
pub(super) const PROMOTE: &str = "
UPDATE item SET front = 1 WHERE id = (
    SELECT id FROM item WHERE queue = ?1 AND conversation = ?2 AND place <> 4 ORDER BY id LIMIT 1
) AND front = 0";

/// The front of a lane; mostly the first that the index of the lane yields.
pub(super) const FRONT: &str = "
SELECT id, place FROM item
WHERE queue = ?1 AND conversation = ?2 AND place <> 4 AND front = 1 ORDER BY id LIMIT 1";

/// The front gives way to an older living item.
pub(super) const STEP_BACK: &str = "
UPDATE item SET front = 0 WHERE id = ?1 AND EXISTS (
    SELECT 1 FROM item WHERE queue = ?2 AND conversation = ?3 AND place <> 4 AND id < ?1
)";

/// The scheduled items of a lane and key.
pub(super) const WAITING_UNDER: &str = "
SELECT id FROM item WHERE queue = ?1 AND conversation = ?2 AND replaces = ?3 AND place = 0";
