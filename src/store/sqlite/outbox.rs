//! Items inside the writer's transaction: queueing, settling, and who stands at the front of a lane.
//!
//! The front of a lane is the one item that may be worked on: the one that is leased or awaiting, else the oldest
//! that is not dead ([`crate::store::front`]). Every change of a lane goes through [`promote`] or [`settle_front`], which keep that so.
//! A lane whose items all came lately, and were at most attempted once, stands in [`Intake`] instead.

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    codec,
    intake::{Intake, Known},
};
use crate::{
    model::Timestamp,
    store::{ItemId, Lane, NewItem, PlaceName, Settle, StoreError, tally::Change},
};

/// The items as one batch of the writer changes them.
pub(super) struct Outbox<'a> {
    pub(super) connection: &'a Connection,
    /// Where items arrive.
    pub(super) intake: &'a mut Intake,
    /// How many items each queue gained or lost.
    pub(super) change: &'a mut Change,
}

impl Outbox<'_> {
    /// Queues an item at the end of its lane; takes out the waiting ones that it replaces.
    ///
    /// # Errors
    /// When the engine fails.
    pub(super) fn enqueue(&mut self, item: &NewItem, now: Timestamp) -> Result<(), StoreError> {
        let id = self.intake.give_id(self.connection)?;
        if !self.intake.enqueue(self.connection, item, id, now)? {
            self.intake.give_up_lane(self.connection, &item.lane)?;
            self.enqueue_item(item, id, now)?;
        }
        self.change.came(&item.lane.queue);
        Ok(())
    }

    fn enqueue_item(&mut self, item: &NewItem, id: i64, now: Timestamp) -> Result<(), StoreError> {
        if let Some(key) = &item.replaces {
            for id in waiting_under(self.connection, &item.lane, key)? {
                self.remove(id)?;
            }
        }
        let place = if item.is_awaiting {
            PlaceName::Awaiting
        } else {
            PlaceName::Scheduled
        };
        self.connection.prepare_cached(INSERT)?.execute(params![
            item.lane.queue,
            item.lane.conversation,
            item.priority as i64,
            codec::ticks(item.due),
            codec::ticks(now),
            codec::ticks(item.expires),
            item.replaces,
            codec::place_number(place),
            id,
            item.last_failure,
        ])?;
        self.connection
            .prepare_cached("INSERT INTO content (id, labels, body) VALUES (?1, ?2, ?3)")?
            .execute(params![id, codec::labels_column(&item.labels)?, &item.body[..]])?;
        for label in &item.labels {
            self.connection
                .prepare_cached("INSERT OR IGNORE INTO label (label, item) VALUES (?1, ?2)")?
                .execute(params![label, id])?;
        }
        Ok(())
    }

    /// Makes what is scheduled at the fronts of a queue due at once; what waits behind them follows in its turn.
    ///
    /// # Errors
    /// When the engine fails.
    pub(super) fn hasten(&mut self, queue: &str, now: Timestamp) -> Result<(), StoreError> {
        self.intake.hasten(self.connection, Some(queue), now)?;
        self.connection
            .prepare_cached(HASTEN)?
            .execute(params![queue, codec::ticks(now)])?;
        Ok(())
    }

    /// Makes all that is scheduled due at once; reads every item, so it is for the rare clock that was set back.
    ///
    /// # Errors
    /// When the engine fails.
    pub(super) fn hasten_all(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.intake.hasten(self.connection, None, now)?;
        self.connection
            .prepare_cached(HASTEN_ALL)?
            .execute([codec::ticks(now)])?;
        Ok(())
    }

    /// Settles an item; `false` when it is not where this settlement needs it.
    ///
    /// # Errors
    /// When the engine fails.
    pub(super) fn settle(&mut self, id: ItemId, settle: &Settle) -> Result<bool, StoreError> {
        let known = self.intake.index().get(codec::key(id)).cloned();
        if let Some(known) = known {
            if !settle.fits(known.place, known.who.as_deref()) {
                return Ok(false);
            }
            if self.settle_in_intake(id, settle, &known)? {
                return Ok(true);
            }
        }
        let Some(item) = Standing::of(self.connection, id)? else {
            // The late answer to an item that went another way changes nothing.
            return Ok(matches!(settle, Settle::Answered));
        };
        if !settle.fits(item.place, item.who.as_deref()) {
            return Ok(false);
        }
        self.settle_in_item(id, settle, &item)?;
        Ok(true)
    }

    /// Whether the item could stay where it arrived, or end there; else it has moved to `item` with its lane.
    fn settle_in_intake(&mut self, id: ItemId, settle: &Settle, known: &Known) -> Result<bool, StoreError> {
        match settle {
            Settle::Done { .. } | Settle::Answered | Settle::Discard => {
                self.change.left(&known.queue);
                self.intake.remove(self.connection, codec::key(id))?;
            }
            Settle::Await { until, .. } => self.intake.awaits(self.connection, codec::key(id), *until)?,
            Settle::Reschedule { .. }
            | Settle::NotTaken { .. }
            | Settle::Unsure { .. }
            | Settle::Bury { .. }
            | Settle::Hold { .. }
            | Settle::Release { .. }
            | Settle::Redirect { .. } => {
                self.intake.give_up_lane(self.connection, &known.lane())?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn settle_in_item(&mut self, id: ItemId, settle: &Settle, item: &Standing) -> Result<(), StoreError> {
        let connection = self.connection;
        match settle {
            Settle::Done { .. } | Settle::Answered | Settle::Discard => self.remove(id)?,
            Settle::Reschedule { due, failure, .. } | Settle::NotTaken { due, failure } => {
                self.reschedule(id, item, *due, failure)?;
            }
            Settle::Unsure { due, failure } => {
                connection
                    .prepare_cached("UPDATE item SET unanswered = 1 WHERE id = ?1")?
                    .execute(params![codec::key(id)])?;
                self.reschedule(id, item, *due, failure)?;
            }
            Settle::Await { until, .. } => {
                connection
                    .prepare_cached("UPDATE item SET place = 2, at = ?2, who = NULL WHERE id = ?1")?
                    .execute(params![codec::key(id), codec::ticks(*until)])?;
            }
            Settle::Bury { reason, .. } => {
                connection
                    .prepare_cached(
                        "UPDATE item SET place = 4, at = NULL, who = ?2, front = 0 WHERE id = ?1",
                    )?
                    .execute(params![codec::key(id), reason])?;
                promote(connection, &item.lane)?;
            }
            Settle::Hold { by } => {
                // What came into the lane while this one was dead waits behind it.
                self.intake.give_up_lane(connection, &item.lane)?;
                connection
                    .prepare_cached("UPDATE item SET place = 3, at = NULL, who = ?2 WHERE id = ?1")?
                    .execute(params![codec::key(id), by])?;
                settle_front(connection, &item.lane)?;
            }
            Settle::Release { due } => self.release(id, &item.lane, *due)?,
            Settle::Redirect { lane, due } => {
                leave(connection, id, &item.lane)?;
                self.release(id, lane, *due)?;
                self.change.left(&item.lane.queue);
                self.change.came(&lane.queue);
            }
        }
        Ok(())
    }

    /// An item that was overtaken by a newer one of its key is not worth another attempt.
    fn reschedule(
        &mut self,
        id: ItemId,
        item: &Standing,
        due: Timestamp,
        failure: &str,
    ) -> Result<(), StoreError> {
        if let Some(key) = &item.replaces {
            let newer = waiting_under(self.connection, &item.lane, key)?;
            if newer.iter().any(|other| *other > id) {
                return self.remove(id);
            }
        }
        self.connection.prepare_cached(RESCHEDULE)?.execute(params![
            codec::key(id),
            codec::ticks(due),
            failure
        ])?;
        // An older one may have come (back) into the lane meanwhile.
        settle_front(self.connection, &item.lane)
    }

    fn release(&mut self, id: ItemId, lane: &Lane, due: Timestamp) -> Result<(), StoreError> {
        // What came into the lane while this one was dead follows it.
        self.intake.give_up_lane(self.connection, lane)?;
        self.connection.prepare_cached(RELEASE)?.execute(params![
            codec::key(id),
            lane.queue,
            lane.conversation,
            codec::ticks(due)
        ])?;
        settle_front(self.connection, lane)
    }

    fn remove(&mut self, id: ItemId) -> Result<(), StoreError> {
        let key = params![codec::key(id)];
        let gone = self
            .connection
            .prepare_cached("DELETE FROM item WHERE id = ?1 RETURNING queue, conversation, front")?
            .query_row(key, |columns| {
                let (queue, conversation) = (columns.get(0)?, columns.get(1)?);
                Ok((Lane { queue, conversation }, columns.get::<_, bool>(2)?))
            })
            .optional()?;
        let Some((lane, was_front)) = gone else {
            return Ok(());
        };
        let labels: Option<String> = self
            .connection
            .prepare_cached("DELETE FROM content WHERE id = ?1 RETURNING labels")?
            .query_row(key, |columns| columns.get(0))
            .optional()?;
        for label in codec::labels(id, labels.as_deref().unwrap_or("[]"))? {
            self.connection
                .prepare_cached("DELETE FROM label WHERE label = ?1 AND item = ?2")?
                .execute(params![label, codec::key(id)])?;
        }
        self.change.left(&lane.queue);
        if was_front {
            promote(self.connection, &lane)?;
        }
        Ok(())
    }
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
INSERT INTO item (id, queue, conversation, priority, place, front, at, created, expires, replaces, last_failure)
VALUES (?9, ?1, ?2, ?3, ?8,
    NOT EXISTS (SELECT 1 FROM item WHERE queue = ?1 AND conversation = ?2 AND place <> 4),
    ?4, ?5, ?6, ?7, ?10)";

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
