//! Leases by name inside the writer's transaction: what the rule says, written down.

use rusqlite::{Connection, params};

use super::codec;
use crate::{
    model::Timestamp,
    store::{HeldLease, Lease, Leased, StoreError, WorkerId},
};

/// A wish for a lease.
pub(super) struct Wish {
    /// Its name.
    pub(super) name: String,
    /// Who wishes.
    pub(super) by: WorkerId,
    /// When it shall end.
    pub(super) ttl: std::time::Duration,
    /// The time.
    pub(super) now: Timestamp,
}

/// Takes or renews a lease.
///
/// # Errors
/// When the engine fails.
pub(super) fn take(connection: &Connection, wish: &Wish) -> Result<Leased, StoreError> {
    let stands = standing(connection, &wish.name)?;
    let (leased, taken) = Lease::take(stands.as_ref(), &wish.by, wish.ttl, wish.now);
    if let Some(lease) = taken {
        write(connection, &wish.name, &lease)?;
    }
    Ok(leased)
}

/// Gives a lease up; does nothing unless this one has it.
///
/// # Errors
/// When the engine fails.
pub(super) fn give_up(connection: &Connection, name: &str, by: &WorkerId) -> Result<(), StoreError> {
    let stands = standing(connection, name)?;
    match stands.and_then(|lease| lease.give_up(by)) {
        Some(lease) => write(connection, name, &lease),
        None => Ok(()),
    }
}

/// The first of these leases that has another fence now.
///
/// # Errors
/// When the engine fails.
pub(super) fn first_lost<'a>(
    connection: &Connection,
    fences: &'a [(String, u64)],
) -> Result<Option<&'a str>, StoreError> {
    for (name, fence) in fences {
        if !Lease::admits(standing(connection, name)?.as_ref(), *fence) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Leases with this beginning of their name that somebody holds, by name.
///
/// # Errors
/// When the engine fails.
pub(super) fn held(
    connection: &Connection,
    prefix: &str,
    now: Timestamp,
) -> Result<Vec<HeldLease>, StoreError> {
    let mut statement = connection.prepare_cached(FROM)?;
    let mut rows = statement.query([prefix])?;
    let mut held = Vec::new();
    while let Some(columns) = rows.next()? {
        let name: String = columns.get(0)?;
        if !name.starts_with(prefix) {
            break;
        }
        let lease = lease(columns)?;
        held.extend(lease.held_by(now).map(|holder| HeldLease {
            name,
            holder: holder.clone(),
            fence: lease.fence,
            left: now.until(lease.until),
        }));
    }
    Ok(held)
}

fn standing(connection: &Connection, name: &str) -> Result<Option<Lease>, StoreError> {
    let mut statement = connection.prepare_cached(STANDING)?;
    let mut rows = statement.query([name])?;
    rows.next()?.map(lease).transpose()
}

fn write(connection: &Connection, name: &str, lease: &Lease) -> Result<(), StoreError> {
    connection.prepare_cached(WRITE)?.execute(params![
        name,
        lease.holder.as_ref().map(|holder| &holder.0),
        lease.fence,
        codec::ticks(lease.until),
    ])?;
    Ok(())
}

/// A lease from `name, holder, fence, until`.
fn lease(columns: &rusqlite::Row<'_>) -> Result<Lease, StoreError> {
    Ok(Lease {
        holder: columns.get::<_, Option<String>>(1)?.map(WorkerId),
        fence: columns.get(2)?,
        until: codec::time(columns.get(3)?),
    })
}

/// One lease.
pub(super) const STANDING: &str = "SELECT name, holder, fence, until FROM lease WHERE name = ?1";

/// Leases from a name on.
pub(super) const FROM: &str = "SELECT name, holder, fence, until FROM lease WHERE name >= ?1 ORDER BY name";

const WRITE: &str = "INSERT OR REPLACE INTO lease (name, holder, fence, until) VALUES (?1, ?2, ?3, ?4)";
