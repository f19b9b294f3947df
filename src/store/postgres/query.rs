//! Reads: rows, items and counts. Every statement here walks an index in its own order.

use deadpool_postgres::Object;

use super::{
    codec,
    codec::item_columns,
    error::Failed,
    pipe::{rows as ask, step},
};
use crate::{
    model::Timestamp,
    store::{ItemId, Lane, OutboxItem, QueueCount, QueueFilter, Row, Space},
};

/// A page of rows.
#[derive(Clone, Debug)]
pub(super) struct Page {
    /// Of which kind.
    pub(super) space: Space,
    /// How their keys begin.
    pub(super) prefix: String,
    /// The key before the first.
    pub(super) after: Option<String>,
    /// At most so many.
    pub(super) limit: usize,
    /// When they must not have expired.
    pub(super) now: Timestamp,
}

/// One row.
///
/// # Errors
/// When the engine fails.
pub(super) async fn row(
    connection: &Object,
    space: Space,
    key: String,
    now: Timestamp,
) -> Result<Option<Row>, Failed> {
    let found = ask(
        connection,
        step!(ROW, codec::space(space), key, codec::ticks(now)),
    )
    .await?;
    found.first().map(codec::row).transpose()
}

/// Rows by prefix.
///
/// # Errors
/// When the engine fails.
pub(super) async fn rows(connection: &Object, page: Page) -> Result<Vec<Row>, Failed> {
    let to = codec::after_prefix(&page.prefix);
    let (space, now) = (codec::space(page.space), codec::ticks(page.now));
    let limit = codec::limit(page.limit);
    let after = page.after.unwrap_or_default();
    let found = match to {
        Some(to) => {
            ask(
                connection,
                step!(ROWS_BETWEEN, space, page.prefix, now, limit, after, to),
            )
            .await?
        }
        None => {
            ask(
                connection,
                step!(ROWS_FROM, space, page.prefix, now, limit, after),
            )
            .await?
        }
    };
    found.iter().map(codec::row).collect()
}

/// One item.
///
/// # Errors
/// When the engine fails.
pub(super) async fn item(connection: &Object, id: ItemId) -> Result<Option<OutboxItem>, Failed> {
    let found = ask(connection, step!(ITEM, codec::key(id))).await?;
    found.first().map(codec::item).transpose()
}

/// Items that match, oldest first.
///
/// # Errors
/// When the engine fails.
pub(super) async fn items(
    connection: &Object,
    filter: QueueFilter,
    after: Option<ItemId>,
    limit: usize,
) -> Result<Vec<OutboxItem>, Failed> {
    let (after, limit) = (after.map_or(0, codec::key), codec::limit(limit));
    let place = filter.place.map(codec::place_column);
    let asked = match (filter.label, filter.queue) {
        (Some(label), queue) => step!(ITEMS_LABELLED, label, after, limit, queue, place),
        (None, None) if place.is_none() => step!(ITEMS, after, limit),
        (None, queue) => {
            let places = match place {
                Some(place) => vec![place],
                None => codec::PLACES.map(codec::place_column).to_vec(),
            };
            let queues = match queue {
                Some(queue) => vec![queue],
                None => queues(connection).await?,
            };
            step!(ITEMS_AT, queues, places, after, limit)
        }
    };
    let found = ask(connection, asked).await?;
    found.iter().map(codec::item).collect()
}

/// The queues that have items.
async fn queues(connection: &Object) -> Result<Vec<String>, Failed> {
    let found = ask(connection, step!(QUEUES)).await?;
    found.iter().map(|columns| Ok(columns.try_get(0)?)).collect()
}

/// Items that are too late and not dead, the first to be late first.
///
/// # Errors
/// When the engine fails.
pub(super) async fn late(
    connection: &Object,
    by: Timestamp,
    after: Option<(Timestamp, ItemId)>,
    limit: usize,
) -> Result<Vec<OutboxItem>, Failed> {
    let (expires, id) = after.map_or((0, 0), |(expires, id)| (codec::ticks(expires), codec::key(id)));
    let asked = step!(LATE, codec::ticks(by), expires, id, codec::limit(limit));
    let found = ask(connection, asked).await?;
    found.iter().map(codec::item).collect()
}

/// How many items wait in each queue and place.
///
/// # Errors
/// When the engine fails.
pub(super) async fn counts(connection: &Object) -> Result<Vec<QueueCount>, Failed> {
    let found = ask(connection, step!(COUNTS)).await?;
    let count = |columns: &tokio_postgres::Row| -> Result<QueueCount, Failed> {
        let oldest = codec::id(columns.try_get(3)?);
        let (place, count): (i16, i64) = (columns.try_get(1)?, columns.try_get(2)?);
        Ok(QueueCount {
            queue: columns.try_get(0)?,
            place: codec::place_name(oldest, place.into())?,
            count: count.unsigned_abs(),
            oldest: codec::time(columns.try_get(4)?),
        })
    };
    found.iter().map(count).collect()
}

/// A lane in which something of this conversation waits.
///
/// # Errors
/// When the engine fails.
pub(super) async fn waiting_in(connection: &Object, conversation: String) -> Result<Option<Lane>, Failed> {
    let found = ask(connection, step!(WAITING, conversation)).await?;
    found.first().map(lane).transpose()
}

/// Lanes in which something waits.
///
/// # Errors
/// When the engine fails.
pub(super) async fn lanes(
    connection: &Object,
    after: Option<Lane>,
    limit: usize,
) -> Result<Vec<Lane>, Failed> {
    let after = after.map_or_else(Default::default, |lane| (lane.conversation, lane.queue));
    let found = ask(connection, step!(LANES, after.0, after.1, codec::limit(limit))).await?;
    found.iter().map(lane).collect()
}

fn lane(columns: &tokio_postgres::Row) -> Result<Lane, Failed> {
    Ok(Lane {
        queue: columns.try_get(1)?,
        conversation: columns.try_get(0)?,
    })
}

/// A row that has not expired.
const ROW: &str = "
SELECT key, value, version, expires FROM fact
WHERE space = $1 AND key = $2 AND (expires IS NULL OR expires > $3)";

/// A page of a space that ends before a key.
const ROWS_BETWEEN: &str = "
SELECT key, value, version, expires FROM fact
WHERE space = $1 AND key >= $2 AND key > $5 AND key < $6 AND (expires IS NULL OR expires > $3)
ORDER BY key LIMIT $4";

/// A page of a space that has no end.
const ROWS_FROM: &str = "
SELECT key, value, version, expires FROM fact
WHERE space = $1 AND key >= $2 AND key > $5 AND (expires IS NULL OR expires > $3)
ORDER BY key LIMIT $4";

/// One item.
const ITEM: &str = concat!("SELECT ", item_columns!(), " FROM item WHERE item.id = $1");

/// A page of all items.
const ITEMS: &str = concat!(
    "SELECT ",
    item_columns!(),
    " FROM item WHERE item.id > $1 ORDER BY item.id LIMIT $2"
);

/// A page of what is too late, by the index of its expiry.
const LATE: &str = concat!(
    "SELECT ",
    item_columns!(),
    " FROM item
      WHERE item.place <> 4 AND item.expires <= $1 AND (item.expires, item.id) > ($2, $3)
      ORDER BY item.expires, item.id LIMIT $4"
);

/// A page of the items at some places of some queues.
const ITEMS_AT: &str = concat!(
    "SELECT ",
    item_columns!(),
    " FROM (
        SELECT heap.id FROM unnest($1::TEXT[]) AS named (queue) CROSS JOIN unnest($2::SMALLINT[]) AS standing(place)
        CROSS JOIN LATERAL (
            SELECT one.id FROM item AS one
            WHERE one.queue = named.queue AND one.place = standing.place AND one.id > $3 ORDER BY one.id LIMIT $4
        ) AS heap ORDER BY heap.id LIMIT $4
      ) AS chosen JOIN item ON item.id = chosen.id ORDER BY item.id"
);

/// A page of a label's items; the other filters only look at what the label found.
const ITEMS_LABELLED: &str = concat!(
    "SELECT ",
    item_columns!(),
    " FROM label JOIN item ON item.id = label.item
      WHERE label.label = $1 AND label.item > $2 AND ($4::TEXT IS NULL OR item.queue = $4)
        AND ($5::SMALLINT IS NULL OR item.place = $5)
      ORDER BY label.item LIMIT $3"
);

/// The queues that have items, from each to the next.
const QUEUES: &str = "
WITH RECURSIVE heap (queue) AS (
    (SELECT queue FROM item ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (SELECT item.queue FROM item WHERE item.queue > heap.queue ORDER BY item.queue LIMIT 1)
    FROM heap WHERE heap.queue IS NOT NULL
)
SELECT queue FROM heap WHERE queue IS NOT NULL";

/// Walks one index; only the oldest item of each group is looked up.
const COUNTS: &str = "
SELECT heap.queue, heap.place, heap.count, heap.oldest, item.created
FROM (SELECT queue, place, count(*) AS count, min(id) AS oldest FROM item GROUP BY queue, place) AS heap
JOIN item ON item.id = heap.oldest ORDER BY heap.queue, heap.place";

/// A lane of a conversation that has a living item.
const WAITING: &str = "SELECT conversation, queue FROM lane WHERE conversation = $1 LIMIT 1";

/// A page of the lanes that have a living item.
const LANES: &str = "
SELECT conversation, queue FROM lane WHERE (conversation, queue) > ($1, $2) ORDER BY conversation, queue LIMIT $3";
