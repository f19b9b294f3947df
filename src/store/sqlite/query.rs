//! Reads: rows, items and counts. Every statement here walks an index in its own order, and a test looks at the plans; what
//! is in `intake`, which is bounded, is read by identity or whole.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Params, params};

use super::{
    claim, codec,
    codec::{item_columns, place_number},
};
use crate::{
    model::Timestamp,
    store::{ItemId, Lane, OutboxItem, PlaceName, QueueCount, QueueFilter, Row, Space, StoreError},
};

/// One row.
///
/// # Errors
/// When the engine fails.
pub(super) fn row(
    connection: &Connection,
    space: Space,
    key: &str,
    now: Timestamp,
) -> Result<Option<Row>, StoreError> {
    let mut statement = connection.prepare_cached(ROW)?;
    let mut rows = statement.query(params![space as i64, key, codec::ticks(now)])?;
    rows.next()?.map(codec::row).transpose()
}

/// Rows by prefix.
///
/// # Errors
/// When the engine fails.
pub(super) fn rows(
    connection: &Connection,
    space: Space,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
    now: Timestamp,
) -> Result<Vec<Row>, StoreError> {
    // Text sorts by its bytes, so the page begins at whichever is the greater.
    let from = after.map(codec::after).unwrap_or_default().max(prefix.to_owned());
    let (space, now, limit) = (space as i64, codec::ticks(now), codec::limit(limit));
    match codec::after_prefix(prefix) {
        Some(to) => all(
            connection,
            ROWS_BETWEEN,
            params![space, from, now, limit, to],
            codec::row,
        ),
        None => all(
            connection,
            ROWS_FROM,
            params![space, from, now, limit],
            codec::row,
        ),
    }
}

/// One item, wherever it is.
///
/// # Errors
/// When the engine fails.
pub(super) fn item(connection: &Connection, id: ItemId) -> Result<Option<OutboxItem>, StoreError> {
    let item = one(connection, ITEM, id)?;
    item.map_or_else(|| arrived(connection, id), |item| Ok(Some(item)))
}

/// One item of `intake`.
///
/// # Errors
/// When the engine fails.
pub(super) fn arrived(connection: &Connection, id: ItemId) -> Result<Option<OutboxItem>, StoreError> {
    one(connection, ARRIVED, id)
}

fn one(connection: &Connection, sql: &str, id: ItemId) -> Result<Option<OutboxItem>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![codec::key(id)])?;
    rows.next()?.map(codec::item).transpose()
}

/// Items that match, oldest first; `arrived` are those of `intake` that may have the label.
///
/// # Errors
/// When the engine fails.
pub(super) fn items(
    connection: &Connection,
    filter: &QueueFilter,
    arrived: &[i64],
    after: Option<ItemId>,
    limit: usize,
) -> Result<Vec<OutboxItem>, StoreError> {
    let after = after.map_or(0, codec::key);
    if let Some(label) = &filter.label {
        let arrived = arrived.iter().filter(|id| **id > after);
        return items_labelled(connection, label, filter, arrived, (after, limit));
    }
    if filter.queue.is_none() && filter.place.is_none() {
        let page = |sql| all(connection, sql, params![after, codec::limit(limit)], codec::item);
        let mut items = page(ITEMS)?;
        items.extend(page(ALL_ARRIVED)?);
        items.sort_unstable_by_key(|item| item.id);
        items.truncate(limit);
        return Ok(items);
    }
    let queues = match &filter.queue {
        Some(queue) => vec![queue.clone()],
        None => claim::queues(connection, QUEUE)?,
    };
    let places = filter.place.map_or(codec::PLACES.to_vec(), |place| vec![place]);
    let place = filter.place.map(place_number);
    let mut ids = all(
        connection,
        ARRIVED_AT,
        params![filter.queue, place, after, codec::limit(limit)],
        |columns| Ok(columns.get::<_, i64>(0)?),
    )?;
    for queue in &queues {
        for place in &places {
            let parameters = params![queue, place_number(*place), after, codec::limit(limit)];
            ids.extend(all(connection, ITEMS_AT, parameters, |columns| {
                Ok(columns.get::<_, i64>(0)?)
            })?);
        }
    }
    ids.sort_unstable();
    let mut items = Vec::new();
    for id in ids.into_iter().take(limit) {
        items.extend(item(connection, codec::id(id))?);
    }
    Ok(items)
}

fn items_labelled<'a>(
    connection: &Connection,
    label: &str,
    filter: &QueueFilter,
    arrived: impl Iterator<Item = &'a i64>,
    (after, limit): (i64, usize),
) -> Result<Vec<OutboxItem>, StoreError> {
    let (queue, place) = (filter.queue.as_deref(), filter.place.map(place_number));
    let mut items = all(
        connection,
        ITEMS_LABELLED,
        params![label, after, codec::limit(limit), queue, place],
        codec::item,
    )?;
    let mut found = 0;
    for id in arrived {
        // One that has moved meanwhile was found by its label, or is found here.
        let item = item(connection, codec::id(*id))?;
        let fits = |item: &OutboxItem| {
            item.labels.iter().any(|one| one == label)
                && filter
                    .queue
                    .as_ref()
                    .is_none_or(|queue| *queue == item.lane.queue)
                && filter.place.is_none_or(|place| place == item.place.name())
        };
        if let Some(item) = item.filter(fits) {
            items.push(item);
            found += 1;
        }
        if found >= limit {
            break;
        }
    }
    items.sort_unstable_by_key(|item| item.id);
    items.dedup_by_key(|item| item.id);
    items.truncate(limit);
    Ok(items)
}

/// Items that are too late and not dead, the first to be late first; `arrived` are those of `intake` that may be.
///
/// # Errors
/// When the engine fails.
pub(super) fn late(
    connection: &Connection,
    arrived: &[i64],
    (by, after): (Timestamp, (i64, i64)),
    limit: usize,
) -> Result<Vec<OutboxItem>, StoreError> {
    let parameters = params![codec::ticks(by), after.0, after.1, codec::limit(limit)];
    let mut items = all(connection, LATE, parameters, codec::item)?;
    for id in arrived {
        let item = item(connection, codec::id(*id))?;
        items.extend(item.filter(|item| item.place.name() != PlaceName::Dead));
    }
    items.sort_unstable_by_key(|item| (item.expires, item.id));
    items.dedup_by_key(|item| item.id);
    items.truncate(limit);
    Ok(items)
}

/// How many items wait in each queue and place.
///
/// # Errors
/// When the engine fails.
pub(super) fn counts(connection: &Connection) -> Result<Vec<QueueCount>, StoreError> {
    let count = |columns: &rusqlite::Row<'_>| {
        let oldest = codec::id(columns.get(3)?);
        let key: (String, i64) = (columns.get(0)?, columns.get(1)?);
        let count = QueueCount {
            queue: key.0.clone(),
            place: codec::place_name(oldest, key.1)?,
            count: columns.get(2)?,
            oldest: codec::time(columns.get(4)?),
        };
        Ok((key, (oldest, count)))
    };
    let mut counts: BTreeMap<_, _> = all(connection, COUNTS, params![], count)?.into_iter().collect();
    for (key, (oldest, count)) in all(connection, COUNTS_ARRIVED, params![], count)? {
        let known = counts.entry(key).or_insert_with(|| {
            (
                oldest,
                QueueCount {
                    count: 0,
                    ..count.clone()
                },
            )
        });
        known.1.count += count.count;
        if oldest < known.0 {
            known.1.oldest = count.oldest;
        }
    }
    Ok(counts.into_values().map(|(_, count)| count).collect())
}

/// A lane in which something of this conversation waits.
///
/// # Errors
/// When the engine fails.
pub(super) fn waiting_in(connection: &Connection, conversation: String) -> Result<Option<Lane>, StoreError> {
    let queue: Option<String> = connection
        .prepare_cached(WAITING)?
        .query_row([&conversation], |columns| columns.get(0))
        .optional()?;
    Ok(queue.map(|queue| Lane { queue, conversation }))
}

/// Lanes in which something waits.
///
/// # Errors
/// When the engine fails.
pub(super) fn lanes(
    connection: &Connection,
    after: Option<Lane>,
    limit: usize,
) -> Result<Vec<Lane>, StoreError> {
    let after = after.map_or_else(Default::default, |lane| (lane.conversation, lane.queue));
    let page = |sql| {
        let parameters = params![after.0, after.1, codec::limit(limit)];
        all(connection, sql, parameters, |columns| {
            Ok(Lane {
                queue: columns.get(1)?,
                conversation: columns.get(0)?,
            })
        })
    };
    let mut lanes = page(LANES)?;
    lanes.extend(page(LANES_ARRIVED)?);
    lanes.sort_unstable_by(|one, other| {
        (&one.conversation, &one.queue).cmp(&(&other.conversation, &other.queue))
    });
    lanes.truncate(limit);
    Ok(lanes)
}

fn all<T>(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
    read: impl Fn(&rusqlite::Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    let mut found = Vec::new();
    while let Some(columns) = rows.next()? {
        found.push(read(columns)?);
    }
    Ok(found)
}

/// A row that has not expired.
pub(super) const ROW: &str = "
SELECT key, value, version, expires FROM fact
WHERE space = ?1 AND key = ?2 AND (expires IS NULL OR expires > ?3)";

/// A page of a space that ends before a key.
pub(super) const ROWS_BETWEEN: &str = "
SELECT key, value, version, expires FROM fact
WHERE space = ?1 AND key >= ?2 AND key < ?5 AND (expires IS NULL OR expires > ?3) ORDER BY key LIMIT ?4";

/// A page of a space that has no end.
pub(super) const ROWS_FROM: &str = "
SELECT key, value, version, expires FROM fact
WHERE space = ?1 AND key >= ?2 AND (expires IS NULL OR expires > ?3) ORDER BY key LIMIT ?4";

/// One item.
pub(super) const ITEM: &str = concat!(
    "SELECT ",
    item_columns!(),
    " FROM item JOIN content ON content.id = item.id WHERE item.id = ?1"
);

/// One item of `intake`.
const ARRIVED: &str = concat!("SELECT ", item_columns!(), " FROM intake AS item WHERE id = ?1");

/// A page of the items of `intake`.
const ALL_ARRIVED: &str = concat!(
    "SELECT ",
    item_columns!(),
    " FROM intake AS item WHERE id > ?1 ORDER BY id LIMIT ?2"
);

/// A page of the identities of `intake`, of one queue or all, at one place or any. It reads what it leaves out, which is bounded.
const ARRIVED_AT: &str = "
SELECT id FROM intake WHERE (?1 IS NULL OR queue = ?1) AND (?2 IS NULL OR place = ?2) AND id > ?3
ORDER BY id LIMIT ?4";

/// Reads all of `intake`; the time of creation is that of the least identity.
const COUNTS_ARRIVED: &str =
    "SELECT queue, place, count(*), min(id), created FROM intake GROUP BY queue, place";

/// A page of the lanes of `intake`, which it reads whole.
const LANES_ARRIVED: &str = "
SELECT DISTINCT conversation, queue FROM intake
WHERE (conversation, queue) > (?1, ?2) ORDER BY conversation, queue LIMIT ?3";

/// A page of all items.
pub(super) const ITEMS: &str = concat!(
    "SELECT ",
    item_columns!(),
    " FROM item CROSS JOIN content ON content.id = item.id WHERE item.id > ?1 ORDER BY item.id LIMIT ?2"
);

/// A page of what is too late, by the index of its expiry.
pub(super) const LATE: &str = concat!(
    "SELECT ",
    item_columns!(),
    " FROM item CROSS JOIN content ON content.id = item.id
      WHERE item.place <> 4 AND item.expires <= ?1 AND (item.expires, item.id) > (?2, ?3)
      ORDER BY item.expires, item.id LIMIT ?4"
);

/// A page of the identities at one place of one queue.
pub(super) const ITEMS_AT: &str =
    "SELECT id FROM item WHERE queue = ?1 AND place = ?2 AND id > ?3 ORDER BY id LIMIT ?4";

/// A page of a label's items; the other filters only look at what the label found.
pub(super) const ITEMS_LABELLED: &str = concat!(
    "SELECT ",
    item_columns!(),
    " FROM label CROSS JOIN item ON item.id = label.item CROSS JOIN content ON content.id = item.id
      WHERE label.label = ?1 AND label.item > ?2 AND (?4 IS NULL OR queue = ?4) AND (?5 IS NULL OR place = ?5)
      ORDER BY label.item LIMIT ?3"
);

/// The next queue that has items.
pub(super) const QUEUE: &str = "SELECT queue FROM item WHERE queue >= ?1 ORDER BY queue LIMIT 1";

/// Walks one index; only the oldest item of each group is looked up.
pub(super) const COUNTS: &str = "
SELECT heap.queue, heap.place, heap.count, heap.oldest, item.created
FROM (SELECT queue, place, count(*) AS count, min(id) AS oldest FROM item GROUP BY queue, place) AS heap
CROSS JOIN item ON item.id = heap.oldest";

/// The queue of a living item of a conversation.
pub(super) const WAITING: &str = "SELECT queue FROM item WHERE conversation = ?1 AND place <> 4 LIMIT 1";

/// A page of the lanes that have a living item; the front of each stands for it.
pub(super) const LANES: &str = "
SELECT DISTINCT conversation, queue FROM item
WHERE place <> 4 AND (conversation, queue) > (?1, ?2) ORDER BY conversation, queue LIMIT ?3";
