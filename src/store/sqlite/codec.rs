//! Columns and our types, both ways, and SQLite's errors by who must act.

use rusqlite::{ErrorCode, Row as Columns};

pub(super) use crate::store::columns::*;
use crate::{
    model::Timestamp,
    store::{ItemId, Lane, OutboxItem, Place, PlaceName, Row, StoreError, WorkerId},
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

/// The labels from their column.
pub(super) fn labels(id: ItemId, column: &str) -> Result<Vec<String>, StoreError> {
    serde_json::from_str(column).map_err(|_| damaged(id, "has unreadable labels"))
}

/// The column of labels.
pub(super) fn labels_column(labels: &[String]) -> Result<String, StoreError> {
    serde_json::to_string(labels).map_err(|error| StoreError::Engine {
        reason: error.to_string(),
    })
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

/// The least text that is greater than this one.
pub(super) fn after(text: &str) -> String {
    format!("{text}\0")
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
