//! Reads: rows, items and counts. Every statement here walks an index in its own order; a test looks at the plans.

use rusqlite::{Connection, OptionalExtension, Params, params};

use super::{
    claim, codec,
    codec::{item_columns, place_number},
};
use crate::{
    model::Timestamp,
    store::{ItemId, Lane, OutboxItem, QueueCount, QueueFilter, Row, Space, StoreError},
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

/// One item.
///
/// # Errors
/// When the engine fails.
pub(super) fn item(connection: &Connection, id: ItemId) -> Result<Option<OutboxItem>, StoreError> {
    let mut statement = connection.prepare_cached(ITEM)?;
    let mut rows = statement.query(params![codec::key(id)])?;
    rows.next()?.map(codec::item).transpose()
}

/// Items that match, oldest first.
///
/// # Errors
/// When the engine fails.
pub(super) fn items(
    connection: &Connection,
    filter: &QueueFilter,
    after: Option<ItemId>,
    limit: usize,
) -> Result<Vec<OutboxItem>, StoreError> {
    let after = after.map_or(0, codec::key);
    if let Some(label) = &filter.label {
        return items_labelled(connection, label, filter, after, limit);
    }
    if filter.queue.is_none() && filter.place.is_none() {
        return all(
            connection,
            ITEMS,
            params![after, codec::limit(limit)],
            codec::item,
        );
    }
    let queues = match &filter.queue {
        Some(queue) => vec![queue.clone()],
        None => claim::queues(connection, QUEUE)?,
    };
    let places = filter.place.map_or(codec::PLACES.to_vec(), |place| vec![place]);
    let mut ids = Vec::new();
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

fn items_labelled(
    connection: &Connection,
    label: &str,
    filter: &QueueFilter,
    after: i64,
    limit: usize,
) -> Result<Vec<OutboxItem>, StoreError> {
    let (queue, place) = (filter.queue.as_deref(), filter.place.map(place_number));
    all(
        connection,
        ITEMS_LABELLED,
        params![label, after, codec::limit(limit), queue, place],
        codec::item,
    )
}

/// Items that are too late and not dead, the first to be late first.
///
/// # Errors
/// When the engine fails.
pub(super) fn late(
    connection: &Connection,
    by: Timestamp,
    after: Option<(Timestamp, ItemId)>,
    limit: usize,
) -> Result<Vec<OutboxItem>, StoreError> {
    let (expires, id) = after.map_or((0, 0), |(expires, id)| (codec::ticks(expires), codec::key(id)));
    let parameters = params![codec::ticks(by), expires, id, codec::limit(limit)];
    all(connection, LATE, parameters, codec::item)
}

/// How many items wait in each queue and place.
///
/// # Errors
/// When the engine fails.
pub(super) fn counts(connection: &Connection) -> Result<Vec<QueueCount>, StoreError> {
    all(connection, COUNTS, params![], |columns| {
        let oldest = codec::id(columns.get(3)?);
        Ok(QueueCount {
            queue: columns.get(0)?,
            place: codec::place_name(oldest, columns.get(1)?)?,
            count: columns.get(2)?,
            oldest: codec::time(columns.get(4)?),
        })
    })
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
    let parameters = params![after.0, after.1, codec::limit(limit)];
    all(connection, LANES, parameters, |columns| {
        Ok(Lane {
            queue: columns.get(1)?,
            conversation: columns.get(0)?,
        })
    })
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
