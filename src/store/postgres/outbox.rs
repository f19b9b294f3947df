//! Items: queueing, settling, and who stands at the head of a lane.
//!
//! The head of a lane is the one item that may be worked on: the one that is leased or awaiting, else the oldest that is not dead.
//! Every change of a lane happens under the lock of its row and ends with [`REFRONT`], which a statement of its own sees all that
//! was committed before the lock.

use std::collections::HashMap;

use super::{
    apply::{Counts, Plan},
    codec,
    error::Failed,
    pipe::{Step, step},
};
use crate::{
    model::Timestamp,
    store::{ItemId, Lane, NewItem, PlaceName, Settle},
};

/// Where the items stand that a batch settles.
pub(super) type Standings = HashMap<ItemId, Standing>;

/// What a settlement must know of an item.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    lane: Lane,
    place: PlaceName,
    who: Option<String>,
}

/// Locks the lanes of items, in one order for all, and then asks where the items stand.
pub(super) fn look(ids: impl Iterator<Item = ItemId>) -> [Step; 2] {
    let ids: Vec<i64> = ids.map(codec::key).collect();
    [step!(LOCK_LANES, ids.clone()), step!(STANDINGS, ids)]
}

/// The answer to [`look`].
///
/// # Errors
/// When a column can't be read.
pub(super) fn found(columns: &[tokio_postgres::Row]) -> Result<Standings, Failed> {
    let mut standings = Standings::new();
    for columns in columns {
        let id = codec::id(columns.try_get(0)?);
        let place: i16 = columns.try_get(3)?;
        let lane = Lane {
            queue: columns.try_get(1)?,
            conversation: columns.try_get(2)?,
        };
        let standing = Standing {
            lane,
            place: codec::place_name(id, place.into())?,
            who: columns.try_get(4)?,
        };
        standings.insert(id, standing);
    }
    Ok(standings)
}

/// Queues an item at the end of its lane; takes out the waiting ones that it replaces.
pub(super) fn enqueue(item: &NewItem, now: Timestamp, plan: &mut Plan) {
    let Lane { queue, conversation } = &item.lane;
    let place = if item.is_awaiting {
        PlaceName::Awaiting
    } else {
        PlaceName::Scheduled
    };
    let queued = step!(
        ENQUEUE,
        queue.clone(),
        conversation.clone(),
        codec::priority_column(item.priority),
        codec::place_column(place),
        codec::ticks(item.due),
        codec::ticks(now),
        codec::ticks(item.expires),
        item.replaces.clone(),
        item.labels.clone(),
        item.body.to_vec(),
        item.last_failure.clone(),
    );
    plan.add(queued, Counts::Came(queue.clone()));
    if let Some(key) = &item.replaces {
        let replaced = step!(REPLACED, queue.clone(), conversation.clone(), key.clone());
        plan.add(replaced, Counts::Left(queue.clone()));
        refront(&item.lane, plan);
    }
}

/// Makes what is scheduled at the heads of a queue due at once; what waits behind them follows in its turn.
pub(super) fn hasten(queue: &str, now: Timestamp, plan: &mut Plan) {
    plan.add(
        step!(HASTEN, queue.to_owned(), codec::ticks(now)),
        Counts::Nothing,
    );
}

/// Makes all that is scheduled due at once; reads every item, so it is for the rare clock that was set back.
pub(super) fn hasten_all(now: Timestamp, plan: &mut Plan) {
    let now = codec::ticks(now);
    plan.add(step!(LOCK_ALL, now), Counts::Nothing);
    plan.add(step!(HASTEN_ITEMS, now), Counts::Nothing);
    plan.add(step!(HASTEN_LANES, now), Counts::Nothing);
}

/// Settles an item; `false` when it is not where this settlement needs it.
pub(super) fn settle(standings: &mut Standings, id: ItemId, settle: &Settle, plan: &mut Plan) -> bool {
    let Some(item) = standings.get_mut(&id) else {
        // The late answer to an item that went another way changes nothing.
        return matches!(settle, Settle::Answered);
    };
    if !settle.fits(item.place, item.who.as_deref()) {
        return false;
    }
    let (key, lane) = (codec::key(id), item.lane.clone());
    let left = |lane: &Lane| Counts::Left(lane.queue.clone());
    match settle {
        Settle::Done { .. } | Settle::Answered | Settle::Discard => {
            standings.remove(&id);
            plan.add(step!(REMOVE, key), left(&lane));
        }
        Settle::Reschedule { due, failure, .. } | Settle::NotTaken { due, failure } => {
            item.stands(PlaceName::Scheduled, None);
            plan.add(step!(OVERTAKEN, key), left(&lane));
            plan.add(
                step!(RESCHEDULE, key, codec::ticks(*due), failure.clone()),
                Counts::Nothing,
            );
        }
        Settle::Unsure { due, failure } => {
            item.stands(PlaceName::Scheduled, None);
            plan.add(step!(OVERTAKEN, key), left(&lane));
            plan.add(
                step!(UNSURE, key, codec::ticks(*due), failure.clone()),
                Counts::Nothing,
            );
        }
        Settle::Await { until, .. } => {
            item.stands(PlaceName::Awaiting, None);
            plan.add(step!(AWAIT, key, codec::ticks(*until)), Counts::Nothing);
        }
        Settle::Bury { reason, .. } => {
            item.stands(PlaceName::Dead, Some(reason));
            plan.add(stop(PlaceName::Dead, key, reason), Counts::Nothing);
        }
        Settle::Hold { by } => {
            item.stands(PlaceName::Held, Some(by));
            plan.add(stop(PlaceName::Held, key, by), Counts::Nothing);
        }
        Settle::Release { due } => {
            item.stands(PlaceName::Scheduled, None);
            release(key, &lane, *due, plan);
        }
        Settle::Redirect { lane: to, due } => {
            item.stands(PlaceName::Scheduled, None);
            item.lane = to.clone();
            release(key, to, *due, plan);
            plan.add(step!(IS_THERE, key), Counts::Came(to.queue.clone()));
            plan.add(step!(IS_THERE, key), left(&lane));
            refront(to, plan);
        }
    }
    refront(&lane, plan);
    true
}

impl Standing {
    fn stands(&mut self, place: PlaceName, who: Option<&String>) {
        self.place = place;
        self.who = who.cloned();
    }
}

fn stop(place: PlaceName, key: i64, why: &str) -> Step {
    step!(STOP, key, codec::place_column(place), why.to_owned())
}

/// An item that was dead may have been alone in its lane, which has no row then.
fn release(key: i64, lane: &Lane, due: Timestamp, plan: &mut Plan) {
    let (queue, conversation) = (lane.queue.clone(), lane.conversation.clone());
    plan.add(
        step!(RELEASE, key, queue, conversation, codec::ticks(due)),
        Counts::Nothing,
    );
    plan.add(step!(ENSURE_LANE, key), Counts::Nothing);
}

fn refront(lane: &Lane, plan: &mut Plan) {
    let step = step!(REFRONT, lane.queue.clone(), lane.conversation.clone());
    plan.add(step, Counts::Nothing);
}

/// A lane's row is locked by whoever finds it there, and made by whoever doesn't.
const ENQUEUE: &str = "
WITH fresh AS (
    INSERT INTO item (id, queue, conversation, priority, place, at, created, expires, replaces, labels, body, last_failure)
    VALUES (nextval('item_id'), $1, $2, $3, $4, $5, $6, $7, $8, $9::TEXT[], $10, $11)
    RETURNING id, queue, conversation, priority, at, labels
), labelled AS (
    INSERT INTO label (label, item) SELECT DISTINCT word.label, fresh.id FROM fresh, unnest(fresh.labels) AS word (label)
)
INSERT INTO lane (queue, conversation, head, priority, at) SELECT queue, conversation, id, priority, at FROM fresh
ON CONFLICT (queue, conversation) DO UPDATE SET head = lane.head";

/// The scheduled items of a lane and key but the one that this session queued last.
const REPLACED: &str = "
WITH gone AS (
    DELETE FROM item WHERE queue = $1 AND conversation = $2 AND replaces = $3 AND place = 0 AND id <> currval('item_id')
    RETURNING id, labels
), unlabelled AS (
    DELETE FROM label USING gone, unnest(gone.labels) AS word (label) WHERE label.label = word.label AND label.item = gone.id
)
SELECT id FROM gone";

const LOCK_LANES: &str = "
SELECT lane.head FROM lane JOIN item ON item.queue = lane.queue AND item.conversation = lane.conversation
WHERE item.id = ANY ($1::BIGINT[]) ORDER BY lane.queue, lane.conversation FOR UPDATE OF lane";

const STANDINGS: &str = "
SELECT id, queue, conversation, place, who FROM item WHERE id = ANY ($1::BIGINT[]) ORDER BY id FOR UPDATE";

const REMOVE: &str = "
WITH gone AS (DELETE FROM item WHERE id = $1 RETURNING id, labels), unlabelled AS (
    DELETE FROM label USING gone, unnest(gone.labels) AS word (label) WHERE label.label = word.label AND label.item = gone.id
)
SELECT id FROM gone";

/// An item that was overtaken by a newer one of its key is not worth another attempt.
const OVERTAKEN: &str = "
WITH gone AS (
    DELETE FROM item WHERE id = $1 AND replaces IS NOT NULL AND EXISTS (
        SELECT 1 FROM item AS newer WHERE newer.queue = item.queue AND newer.conversation = item.conversation
            AND newer.replaces = item.replaces AND newer.place = 0 AND newer.id > item.id
    ) RETURNING id, labels
), unlabelled AS (
    DELETE FROM label USING gone, unnest(gone.labels) AS word (label) WHERE label.label = word.label AND label.item = gone.id
)
SELECT id FROM gone";

const RESCHEDULE: &str = "
UPDATE item SET place = 0, at = $2, who = NULL, last_failure = $3 WHERE id = $1";

const UNSURE: &str = "
UPDATE item SET place = 0, at = $2, who = NULL, unanswered = TRUE, last_failure = $3 WHERE id = $1";

const AWAIT: &str = "UPDATE item SET place = 2, at = $2, who = NULL WHERE id = $1";

const STOP: &str = "UPDATE item SET place = $2, at = NULL, who = $3 WHERE id = $1";

const RELEASE: &str = "
UPDATE item SET queue = $2, conversation = $3, place = 0, at = $4, who = NULL, attempts = 0, unanswered = FALSE
WHERE id = $1";

const IS_THERE: &str = "SELECT id FROM item WHERE id = $1";

const ENSURE_LANE: &str = "
INSERT INTO lane (queue, conversation, head, priority, at) SELECT queue, conversation, id, priority, at FROM item WHERE id = $1
ON CONFLICT (queue, conversation) DO UPDATE SET head = lane.head";

/// The head that is under way stays; else the oldest living item becomes it. A lane without one ends.
const REFRONT: &str = "
WITH chosen AS (
    SELECT id, priority, at FROM item WHERE id = COALESCE(
        (SELECT item.id FROM item JOIN lane ON lane.head = item.id AND lane.queue = item.queue AND lane.conversation = item.conversation
         WHERE lane.queue = $1 AND lane.conversation = $2 AND item.place IN (1, 2)),
        (SELECT id FROM item WHERE queue = $1 AND conversation = $2 AND place <> 4 ORDER BY id LIMIT 1)
    )
), ended AS (
    DELETE FROM lane WHERE queue = $1 AND conversation = $2 AND NOT EXISTS (SELECT 1 FROM chosen)
)
UPDATE lane SET head = chosen.id, priority = chosen.priority, at = chosen.at FROM chosen
WHERE lane.queue = $1 AND lane.conversation = $2";

/// Heads first, so that locks are taken in the order in which everybody takes them.
const HASTEN: &str = "
WITH fronts AS (
    SELECT head FROM lane WHERE queue = $1 AND at > $2 ORDER BY queue, conversation FOR UPDATE
), hastened AS (
    UPDATE item SET at = $2 FROM fronts WHERE item.id = fronts.head AND item.place = 0 AND item.at > $2
    RETURNING item.conversation
)
UPDATE lane SET at = $2 FROM hastened WHERE lane.queue = $1 AND lane.conversation = hastened.conversation";

const LOCK_ALL: &str = "SELECT head FROM lane WHERE at > $1 ORDER BY queue, conversation FOR UPDATE";

const HASTEN_ITEMS: &str = "UPDATE item SET at = $1 WHERE place = 0 AND at > $1";

const HASTEN_LANES: &str = "
UPDATE lane SET at = item.at FROM item WHERE item.id = lane.head AND item.place = 0 AND lane.at > $1";
