//! Where items arrive: one row each in a table that only grows at its end, with what is looked for kept in memory.
//!
//! Most items are delivered at their first attempt, soon after they came. Such an item is written, leased and removed here, and
//! costs a row and no index. An item whose life is longer (rescheduled, held, dead, replaced by newer ones) moves to `item`,
//! which has the indexes, with everything else of its lane, so that the whole of a lane stands in one of the two. When
//! `intake` is full its oldest move; so memory and start-up are bounded, whatever the length of a queue.

mod index;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, params};

use self::index::Stands;
pub(super) use self::index::{Front, Index, Known};
use super::{codec, query};
use crate::{
    model::Timestamp,
    store::{Lane, NewItem, OutboxItem, PlaceName, StoreError, WorkerId},
};

/// The index, as writer and readers share it.
#[derive(Clone, Debug, Default)]
pub(super) struct SharedIndex(Arc<Mutex<Index>>);

impl SharedIndex {
    /// Held for a few lookups at a time.
    pub(super) fn lock(&self) -> MutexGuard<'_, Index> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The table `intake`, with its index, and the identities of items.
#[derive(Debug)]
pub(super) struct Intake {
    index: SharedIndex,
    /// How many items it holds.
    most: usize,
    /// The greatest identity that was given.
    last: i64,
    /// The greatest that a restart knows not to give again.
    reserved: i64,
}

/// What undoes a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    index: usize,
    reserved: i64,
}

impl Intake {
    /// What the table holds.
    ///
    /// # Errors
    /// When the engine fails.
    pub(super) fn load(connection: &Connection, index: SharedIndex, most: usize) -> Result<Self, StoreError> {
        let mut found = Index::default();
        let mut statement = connection.prepare_cached(LOAD)?;
        let mut rows = statement.query([])?;
        while let Some(columns) = rows.next()? {
            let id: i64 = columns.get(0)?;
            let lane = Lane {
                queue: columns.get(1)?,
                conversation: columns.get(2)?,
            };
            let priority = codec::priority(codec::id(id), columns.get(3)?)?;
            let place = codec::place_name(codec::id(id), columns.get(4)?)?;
            let who: Option<String> = columns.get(6)?;
            let labels = codec::labels(codec::id(id), &columns.get::<_, String>(7)?)?;
            let stands = Stands {
                priority,
                place,
                at: columns.get(5)?,
                expires: columns.get(8)?,
                who: who.map(Arc::from),
            };
            found.insert(id, &lane, stands, &labels);
        }
        found.committed();
        let reserved = connection.query_row(RESERVED, [], |columns| columns.get(0))?;
        *index.lock() = found;
        Ok(Self {
            index,
            most,
            last: reserved,
            reserved,
        })
    }

    /// As it was loaded, after a failure; identities go on.
    ///
    /// # Errors
    /// When the engine fails.
    pub(super) fn reload(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let loaded = Self::load(connection, self.index.clone(), self.most)?;
        self.reserved = loaded.reserved;
        self.last = self.last.max(loaded.last);
        Ok(())
    }

    pub(super) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock()
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            index: self.index().mark(),
            reserved: self.reserved,
        }
    }

    pub(super) fn take_back(&mut self, mark: Mark) {
        self.index().take_back(mark.index);
        self.reserved = mark.reserved;
    }

    pub(super) fn committed(&mut self) {
        self.index().committed();
    }

    /// The identity of the next item; it is not given again, whatever becomes of the item.
    ///
    /// # Errors
    /// When the engine fails.
    pub(super) fn give_id(&mut self, connection: &Connection) -> Result<i64, StoreError> {
        if self.last >= self.reserved {
            let reserved = self.last.saturating_add(RESERVE);
            for sql in RAISE {
                connection.prepare_cached(sql)?.execute([reserved])?;
            }
            self.reserved = reserved;
        }
        self.last = self.last.saturating_add(1);
        Ok(self.last)
    }

    /// Gives up what is left of the reserved identities, when the store closes.
    ///
    /// # Errors
    /// When the engine fails.
    pub(super) fn close(&self, connection: &Connection) -> Result<(), StoreError> {
        if self.reserved > self.last {
            connection.execute(LOWER, [self.last])?;
        }
        Ok(())
    }

    /// Takes an item whose life may be short; `false` when it must go to `item`.
    ///
    /// # Errors
    /// When the engine fails.
    pub(super) fn enqueue(
        &mut self,
        connection: &Connection,
        item: &NewItem,
        id: i64,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let is_plain = item.replaces.is_none() && !item.is_awaiting && item.body.len() <= MAX_BODY;
        if !is_plain || self.most == 0 {
            return Ok(false);
        }
        if self.index().len() >= self.most {
            self.make_room(connection)?;
        }
        let is_here = self.index().lane(&item.lane).next().is_some();
        if !is_here && lives_in_item(connection, &item.lane)? {
            return Ok(false);
        }
        let (due, expires) = (codec::ticks(item.due), codec::ticks(item.expires));
        connection.prepare_cached(INSERT)?.execute(params![
            id,
            item.lane.queue,
            item.lane.conversation,
            item.priority as i64,
            due,
            codec::ticks(now),
            expires,
            codec::labels_column(&item.labels)?,
            &item.body[..],
            item.last_failure,
        ])?;
        let stands = Stands {
            priority: item.priority,
            place: PlaceName::Scheduled,
            at: due,
            expires,
            who: None,
        };
        self.index().insert(id, &item.lane, stands, &item.labels);
        Ok(true)
    }

    /// Leases an item that is here.
    ///
    /// # Errors
    /// When the engine fails.
    pub(super) fn lease(
        &mut self,
        connection: &Connection,
        id: i64,
        by: &WorkerId,
        until: Timestamp,
    ) -> Result<Option<OutboxItem>, StoreError> {
        let until = codec::ticks(until);
        connection
            .prepare_cached(LEASE)?
            .execute(params![id, by.0, until])?;
        self.index().moved(id, PlaceName::Leased, until, Some(&by.0));
        query::arrived(connection, codec::id(id))
    }

    /// An item that is here awaits an answer.
    ///
    /// # Errors
    /// When the engine fails.
    pub(super) fn awaits(
        &mut self,
        connection: &Connection,
        id: i64,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let until = codec::ticks(until);
        connection.prepare_cached(AWAIT)?.execute(params![id, until])?;
        self.index().moved(id, PlaceName::Awaiting, until, None);
        Ok(())
    }

    /// Removes an item that is here.
    ///
    /// # Errors
    /// When the engine fails.
    pub(super) fn remove(&mut self, connection: &Connection, id: i64) -> Result<(), StoreError> {
        connection.prepare_cached(DELETE)?.execute([id])?;
        self.index().remove(id);
        Ok(())
    }

    /// Makes what is scheduled for later due at once: everything here, or the fronts of one queue.
    ///
    /// # Errors
    /// When the engine fails.
    pub(super) fn hasten(
        &mut self,
        connection: &Connection,
        fronts_of: Option<&str>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let now = codec::ticks(now);
        let later = self.index().scheduled_after(now, fronts_of);
        for id in later {
            connection.prepare_cached(HASTEN)?.execute(params![id, now])?;
            self.index().moved(id, PlaceName::Scheduled, now, None);
        }
        Ok(())
    }

    /// Moves everything of a lane to `item`; does nothing when nothing of it is here.
    ///
    /// # Errors
    /// When the engine fails.
    pub(super) fn give_up_lane(&mut self, connection: &Connection, lane: &Lane) -> Result<(), StoreError> {
        let ids: Vec<i64> = self.index().lane(lane).collect();
        for (turn, id) in ids.into_iter().enumerate() {
            connection
                .prepare_cached(TO_ITEM)?
                .execute(params![id, turn == 0])?;
            connection.prepare_cached(TO_CONTENT)?.execute([id])?;
            connection.prepare_cached(TO_LABEL)?.execute([id])?;
            self.remove(connection, id)?;
        }
        Ok(())
    }

    fn make_room(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let lanes = self.index().oldest_lanes(self.most / PARTS + 1);
        lanes
            .iter()
            .try_for_each(|lane| self.give_up_lane(connection, lane))
    }
}

/// Whether something of a lane waits in `item`.
fn lives_in_item(connection: &Connection, lane: &Lane) -> Result<bool, StoreError> {
    let mut statement = connection.prepare_cached(LIVES)?;
    let found = statement.query_row(params![lane.conversation, lane.queue], |_| Ok(()));
    Ok(found.optional()?.is_some())
}

const LOAD: &str =
    "SELECT id, queue, conversation, priority, place, at, who, labels, expires FROM intake ORDER BY id";

const RESERVED: &str = "
SELECT max(coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'item'), 0), coalesce((SELECT max(id) FROM intake), 0))";

/// `item` has the sequence; it begins with its first row or here.
const RAISE: [&str; 2] = [
    "INSERT INTO sqlite_sequence (name, seq) SELECT 'item', ?1 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'item')",
    "UPDATE sqlite_sequence SET seq = ?1 WHERE name = 'item' AND seq < ?1",
];

const LOWER: &str = "UPDATE sqlite_sequence SET seq = ?1 WHERE name = 'item'";

pub(super) const LIVES: &str =
    "SELECT 1 FROM item WHERE conversation = ?1 AND queue = ?2 AND place <> 4 LIMIT 1";

const INSERT: &str = "
INSERT INTO intake (id, queue, conversation, priority, place, at, created, expires, labels, body, last_failure)
VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, ?7, ?8, ?9, ?10)";

/// A lease of an item whose answer never came remembers that.
const LEASE: &str = "
UPDATE intake SET place = 1, who = ?2, at = ?3, attempts = attempts + 1,
    unanswered = CASE place WHEN 2 THEN 1 ELSE unanswered END
WHERE id = ?1";

const AWAIT: &str = "UPDATE intake SET place = 2, at = ?2, who = NULL WHERE id = ?1";

const HASTEN: &str = "UPDATE intake SET at = ?2 WHERE id = ?1";

const DELETE: &str = "DELETE FROM intake WHERE id = ?1";

const TO_ITEM: &str = "
INSERT INTO item (id, queue, conversation, priority, place, front, at, who, created, expires, attempts, unanswered, last_failure)
SELECT id, queue, conversation, priority, place, ?2, at, who, created, expires, attempts, unanswered, last_failure
FROM intake WHERE id = ?1";

const TO_CONTENT: &str =
    "INSERT INTO content (id, labels, body) SELECT id, labels, body FROM intake WHERE id = ?1";

const TO_LABEL: &str = "
INSERT OR IGNORE INTO label (label, item)
SELECT each.value, intake.id FROM intake, json_each(intake.labels) AS each WHERE intake.id = ?1";

/// Identities that one write reserves; a restart after a crash skips what is left of them.
const RESERVE: i64 = 1024;
/// Larger bodies are rewritten with each lease, so they go where they lie apart.
const MAX_BODY: usize = 4096;
/// A full intake gives up this part of its items at once.
const PARTS: usize = 16;
