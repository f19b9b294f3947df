//! Columns of PostgreSQL and our types, both ways.

use tokio_postgres::Row as Columns;

use super::error::Failed;
pub(super) use crate::store::columns::{
    PLACES, after_prefix, damaged, id, key, limit, place_name, place_number, ticks, time,
};
use crate::store::{ItemId, Lane, OutboxItem, Place, PlaceName, Priority, Row, Space, WorkerId, columns};

/// The columns that [`item`] reads, in its order.
macro_rules! item_columns {
    () => {
        "item.id, item.queue, item.conversation, item.priority, item.place, item.at, item.who, item.created, \
         item.expires, item.attempts, item.unanswered, item.last_failure, item.labels, item.body"
    };
}
pub(super) use item_columns;

/// An item from [`item_columns`].
pub(super) fn item(columns: &Columns) -> Result<OutboxItem, Failed> {
    let id = id(columns.try_get(0)?);
    let priority: i16 = columns.try_get(3)?;
    let attempts: i32 = columns.try_get(9)?;
    let body: &[u8] = columns.try_get(13)?;
    Ok(OutboxItem {
        id,
        lane: Lane {
            queue: columns.try_get(1)?,
            conversation: columns.try_get(2)?,
        },
        priority: columns::priority(id, priority.into())?,
        place: place(id, columns)?,
        created: time(columns.try_get(7)?),
        expires: time(columns.try_get(8)?),
        attempts: attempts.unsigned_abs(),
        unanswered: columns.try_get(10)?,
        last_failure: columns.try_get(11)?,
        labels: columns.try_get(12)?,
        body: bytes::Bytes::copy_from_slice(body),
    })
}

fn place(id: ItemId, columns: &Columns) -> Result<Place, Failed> {
    let place: i16 = columns.try_get(4)?;
    let at: Option<i64> = columns.try_get(5)?;
    let at = || at.map(time).ok_or_else(|| damaged(id, "has no time"));
    let who: Option<String> = columns.try_get(6)?;
    let who = who.unwrap_or_default();
    Ok(match place_name(id, place.into())? {
        PlaceName::Scheduled => Place::Scheduled { due: at()? },
        PlaceName::Leased => Place::Leased {
            to: WorkerId(who),
            until: at()?,
        },
        PlaceName::Awaiting => Place::Awaiting { until: at()? },
        PlaceName::Held => Place::Held { by: who },
        PlaceName::Dead => Place::Dead { reason: who },
    })
}

/// A row from `key, value, version, expires`.
pub(super) fn row(columns: &Columns) -> Result<Row, Failed> {
    let value: &[u8] = columns.try_get(1)?;
    let version: i64 = columns.try_get(2)?;
    let expires: Option<i64> = columns.try_get(3)?;
    Ok(Row {
        key: columns.try_get(0)?,
        value: bytes::Bytes::copy_from_slice(value),
        version: version.unsigned_abs(),
        expires: expires.map(time),
    })
}

/// A kind of row as a column.
pub(super) fn space(space: Space) -> i16 {
    space as i16
}

/// A place as a column.
pub(super) fn place_column(place: PlaceName) -> i16 {
    i16::try_from(place_number(place)).unwrap_or(i16::MAX)
}

/// A priority as a column.
pub(super) fn priority_column(priority: Priority) -> i16 {
    priority as i16
}
