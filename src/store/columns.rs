//! Columns and our types, as every engine keeps them: times, identities, places and priorities are numbers.

use super::{ItemId, PlaceName, Priority, StoreError};
use crate::model::Timestamp;

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

/// The priority of a number in its column.
pub(super) fn priority(id: ItemId, number: i64) -> Result<Priority, StoreError> {
    let known = PRIORITIES.into_iter().find(|priority| *priority as i64 == number);
    known.ok_or_else(|| damaged(id, "has an unknown priority"))
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

/// An item that can't be read back.
pub(super) fn damaged(id: ItemId, how: &str) -> StoreError {
    StoreError::Damaged {
        reason: format!("item {} {how}", id.0),
    }
}
