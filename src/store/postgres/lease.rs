//! Leases by name: taken and renewed in one statement, ended by the clock of the database.

use deadpool_postgres::Object;

use super::{
    LeaseTime, codec,
    error::Failed,
    pipe::{Step, rows, send, step},
};
use crate::{
    model::Timestamp,
    store::{HeldLease, Leased, WorkerId},
};

/// A wish for a lease.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    /// Its name.
    pub(super) name: String,
    /// Who wishes.
    pub(super) by: WorkerId,
    /// How long it shall last.
    pub(super) ttl: std::time::Duration,
    /// The time of the caller.
    pub(super) now: Timestamp,
}

/// Takes or renews a lease.
///
/// # Errors
/// When the engine fails; [`Failed::Again`] when it ended while somebody else still had it.
pub(super) async fn take(connection: &Object, wish: Wish, time: &LeaseTime) -> Result<Leased, Failed> {
    let now = time.given(wish.now);
    let ttl = i64::try_from(wish.ttl.as_millis()).unwrap_or(i64::MAX);
    let taken = rows(connection, step!(TAKE, wish.name.clone(), wish.by.0, now, ttl)).await?;
    if let Some(columns) = taken.first() {
        let fence: i64 = columns.try_get(0)?;
        return Ok(Leased::Held {
            fence: fence.unsigned_abs(),
        });
    }
    let held = rows(connection, step!(HELD, wish.name, now)).await?;
    let by = held.first().map(held_by).transpose()?;
    by.map(|lease| Leased::By {
        holder: lease.holder,
        fence: lease.fence,
        left: lease.left,
    })
    .ok_or_else(|| Failed::Again("the lease ended at this moment".to_owned()))
}

/// Gives a lease up; does nothing unless this one has it.
///
/// # Errors
/// When the engine fails.
pub(super) async fn give_up(connection: &Object, name: String, by: WorkerId) -> Result<(), Failed> {
    send(connection, &[step!(GIVE_UP, name, by.0)]).await?;
    Ok(())
}

/// Leases with this beginning of their name that somebody holds, by name.
///
/// # Errors
/// When the engine fails.
pub(super) async fn held(
    connection: &Object,
    prefix: String,
    now: Timestamp,
    time: &LeaseTime,
) -> Result<Vec<HeldLease>, Failed> {
    let to = codec::after_prefix(&prefix);
    let found = rows(connection, step!(FROM, prefix, time.given(now), to)).await?;
    found.iter().map(held_by).collect()
}

/// Asks for the fences of leases, and keeps everybody from taking one of them until the transaction ends.
pub(super) fn look(fences: &[(String, u64)]) -> Option<Step> {
    let names: Vec<String> = fences.iter().map(|(name, _)| name.clone()).collect();
    (!names.is_empty()).then(|| step!(FENCES, names))
}

/// The first of these leases that has another fence than the batch says.
///
/// # Errors
/// When a column can't be read.
pub(super) fn first_lost(
    fences: &[(String, u64)],
    found: &[tokio_postgres::Row],
) -> Result<Option<String>, Failed> {
    let mut standing = Vec::new();
    for columns in found {
        let (name, fence): (&str, i64) = (columns.try_get(0)?, columns.try_get(1)?);
        standing.push((name, fence.unsigned_abs()));
    }
    let lost = fences
        .iter()
        .find(|(name, fence)| !standing.contains(&(name.as_str(), *fence)));
    Ok(lost.map(|(name, _)| name.clone()))
}

/// A lease from `name, holder, fence, left`.
fn held_by(columns: &tokio_postgres::Row) -> Result<HeldLease, Failed> {
    let (fence, left): (i64, i64) = (columns.try_get(2)?, columns.try_get(3)?);
    Ok(HeldLease {
        name: columns.try_get(0)?,
        holder: WorkerId(columns.try_get(1)?),
        fence: fence.unsigned_abs(),
        left: std::time::Duration::from_millis(left.unsigned_abs()),
    })
}

/// The time that was given, or that of the database.
macro_rules! now_or {
    ($given:literal) => {
        concat!(
            "COALESCE(",
            $given,
            "::BIGINT, (extract(epoch FROM clock_timestamp()) * 1000)::BIGINT)"
        )
    };
}
pub(super) use now_or;

/// [`crate::store::Lease::take`] in one statement: a fence goes up whenever the lease begins anew.
const TAKE: &str = concat!(
    "WITH clock AS (SELECT ",
    now_or!("$3"),
    " AS now)
INSERT INTO lease (name, holder, fence, until) SELECT $1, $2, 1, clock.now + $4::BIGINT FROM clock
ON CONFLICT (name) DO UPDATE SET
    fence = CASE WHEN lease.holder = excluded.holder AND lease.until > excluded.until - $4 THEN lease.fence ELSE lease.fence + 1 END,
    holder = excluded.holder,
    until = excluded.until
WHERE lease.holder IS NULL OR lease.holder = excluded.holder OR lease.until <= excluded.until - $4
RETURNING fence"
);

const HELD: &str = concat!(
    "SELECT name, holder, fence, until - ",
    now_or!("$2"),
    " FROM lease WHERE name = $1 AND holder IS NOT NULL AND until > ",
    now_or!("$2")
);

const FROM: &str = concat!(
    "SELECT name, holder, fence, until - ",
    now_or!("$2"),
    " FROM lease WHERE name >= $1 AND ($3::TEXT IS NULL OR name < $3) AND holder IS NOT NULL AND until > ",
    now_or!("$2"),
    " ORDER BY name"
);

const GIVE_UP: &str = "UPDATE lease SET holder = NULL WHERE name = $1 AND holder = $2";

const FENCES: &str = "SELECT name, fence FROM lease WHERE name = ANY ($1::TEXT[]) ORDER BY name FOR SHARE";
