//! Columns and our types, both ways, and SQLite's errors by who must act.

use rusqlite::{ErrorCode, Row as Columns};

use crate::{
    model::Timestamp,
    store::{ItemId, Lane, OutboxItem, Place, PlaceName, Priority, Row, StoreError, WorkerId},
};

/// The columns that [`item`] reads, in its order.
macro_rules! item_columns {
    () => {
        "item.id, queue, conversation, priority, place, at, who, created, expires, attempts, unanswered, \
         last_failure, labels, body"
    };
}
pub(super) use item_columns;

/// An item from [`item_columns`].
pub(super) fn item(columns: &Columns<'_>) -> Result<OutboxItem, StoreError> {
    let id = id(columns.get(0)?);
    let labels: String = columns.get(12)?;
    let labels = self::labels(id, &labels)?;
    let body: Vec<u8> = columns.get(13)?;
    Ok(OutboxItem {
        id,
        lane: Lane {
            queue: columns.get(1)?,
            conversation: columns.get(2)?,
        },
        priority: priority(id, columns.get(3)?)?,
        place: place(id, columns)?,
        created: time(columns.get(7)?),
        expires: time(columns.get(8)?),
        attempts: columns.get(9)?,
        unanswered: columns.get(10)?,
        last_failure: columns.get(11)?,
        labels,
        body: body.into(),
    })
}

fn place(id: ItemId, columns: &Columns<'_>) -> Result<Place, StoreError> {
    let at = || -> Result<Timestamp, StoreError> {
        let at: Option<i64> = columns.get(5)?;
        at.map(time).ok_or_else(|| damaged(id, "has no time"))
    };
    let who =
        || -> Result<String, StoreError> { Ok(columns.get::<_, Option<String>>(6)?.unwrap_or_default()) };
    Ok(match place_name(id, columns.get(4)?)? {
        PlaceName::Scheduled => Place::Scheduled { due: at()? },
        PlaceName::Leased => Place::Leased {
            to: WorkerId(who()?),
            until: at()?,
        },
        PlaceName::Awaiting => Place::Awaiting { until: at()? },
        PlaceName::Held => Place::Held { by: who()? },
        PlaceName::Dead => Place::Dead { reason: who()? },
    })
}

/// The number of a place in the column `place`; the schema's partial indexes know 4.
pub(super) fn place_number(place: PlaceName) -> i64 {
    match place {
        PlaceName::Scheduled => 0,
        PlaceName::Leased => 1,
        PlaceName::Awaiting => 2,
        PlaceName::Held => 3,
        PlaceName::Dead => 4,
    }
}

/// All places.
pub(super) const PLACES: [PlaceName; 5] = [
    PlaceName::Scheduled,
    PlaceName::Leased,
    PlaceName::Awaiting,
    PlaceName::Held,
    PlaceName::Dead,
];

/// The place of a number in the column `place`.
pub(super) fn place_name(id: ItemId, number: i64) -> Result<PlaceName, StoreError> {
    let known = PLACES.into_iter().find(|place| place_number(*place) == number);
    known.ok_or_else(|| damaged(id, "has an unknown place"))
}

/// Both priorities, in the order in which they are served.
pub(super) const PRIORITIES: [Priority; 2] = [Priority::Interactive, Priority::Background];

fn priority(id: ItemId, number: i64) -> Result<Priority, StoreError> {
    let known = PRIORITIES.into_iter().find(|priority| *priority as i64 == number);
    known.ok_or_else(|| damaged(id, "has an unknown priority"))
}

/// The labels from their column.
pub(super) fn labels(id: ItemId, column: &str) -> Result<Vec<String>, StoreError> {
    serde_json::from_str(column).map_err(|_| damaged(id, "has unreadable labels"))
}

/// A row from `key, value, version, expires`.
pub(super) fn row(columns: &Columns<'_>) -> Result<Row, StoreError> {
    let value: Vec<u8> = columns.get(1)?;
    let expires: Option<i64> = columns.get(3)?;
    Ok(Row {
        key: columns.get(0)?,
        value: value.into(),
        version: columns.get(2)?,
        expires: expires.map(time),
    })
}

/// A time as a column; beyond the column's range it is the latest time.
pub(super) fn ticks(time: Timestamp) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

/// A time from a column; the latest time is read as [`u64::MAX`], so that "never" stays what it was.
pub(super) fn time(ticks: i64) -> Timestamp {
    match ticks {
        i64::MAX => Timestamp(u64::MAX),
        ticks => Timestamp(u64::try_from(ticks).unwrap_or(0)),
    }
}

/// An item's identity as a column.
pub(super) fn key(id: ItemId) -> i64 {
    i64::try_from(id.0).unwrap_or(i64::MAX)
}

/// An item's identity from a column.
pub(super) fn id(key: i64) -> ItemId {
    ItemId(u64::try_from(key).unwrap_or(0))
}

/// A `LIMIT`.
pub(super) fn limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// The least key that is greater than every key with this prefix, in SQLite's (byte) order; `None` when there is none.
///
/// UTF-8 sorts as its code points do, so the last character that has a successor takes it and what follows is cut.
pub(super) fn after_prefix(prefix: &str) -> Option<String> {
    let mut bound = prefix.to_owned();
    while let Some(last) = bound.pop() {
        let successor = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            other => char::from_u32(u32::from(other).saturating_add(1)),
        };
        if let Some(successor) = successor {
            bound.push(successor);
            return Some(bound);
        }
    }
    None
}

/// The least text that is greater than this one.
pub(super) fn after(text: &str) -> String {
    format!("{text}\0")
}

fn damaged(id: ItemId, how: &str) -> StoreError {
    StoreError::Damaged {
        reason: format!("item {} {how}", id.0),
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let reason = error.to_string();
        if matches!(
            error,
            rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::Utf8Error(..)
        ) {
            return Self::Damaged { reason };
        }
        let Some(code) = error.sqlite_error_code() else {
            return Self::Engine { reason };
        };
        if DISK.contains(&code) {
            Self::Disk { reason }
        } else if DAMAGED.contains(&code) {
            Self::Damaged { reason }
        } else {
            Self::Engine { reason }
        }
    }
}

/// The operator must see to the disk.
const DISK: [ErrorCode; 5] = [
    ErrorCode::DiskFull,
    ErrorCode::SystemIoFailure,
    ErrorCode::ReadOnly,
    ErrorCode::CannotOpen,
    ErrorCode::PermissionDenied,
];

/// The operator must fetch a backup.
const DAMAGED: [ErrorCode; 2] = [ErrorCode::DatabaseCorrupt, ErrorCode::NotADatabase];
