//! One batch as one transaction: what must be true is looked at under locks, then everything is sent at once.
//!
//! A batch that only sets rows is one statement. A row that must not be there is simply inserted: when it is there after all, the
//! attempt is undone, and the next one looks first, so that the caller learns what is there.

use std::collections::HashMap;

use deadpool_postgres::Object;

use super::{
    Shared,
    error::Failed,
    lease,
    outbox::{self, Standings},
    pipe::{Step, ask, send, step},
    rows::{self, Wants},
};
use crate::store::{Batch, Committed, Row, tally::Change};

/// Carries out a batch.
///
/// # Errors
/// When the engine fails, or a bound would be exceeded; nothing is changed then.
pub(super) async fn apply(connection: &Object, batch: &Batch, shared: &Shared) -> Result<Committed, Failed> {
    if let Some(step) = rows::single(batch) {
        // Done twice it comes to the same, so no doubt is left when the connection goes.
        send(connection, &[step]).await?;
        return Ok(Committed::Done);
    }
    match attempt(connection, batch, shared, Absent::Tried).await {
        // Nothing can be carried out on this transaction any more; the one that looks begins anew.
        Err(Failed::Again(_)) if rows::has_absent(batch) => {
            send(connection, &[step!("ROLLBACK")]).await?;
            attempt(connection, batch, shared, Absent::LookedFor).await
        }
        other => other,
    }
}

/// How rows that must not be there are treated.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Absent {
    /// They are inserted, and the attempt is undone when that fails.
    Tried,
    /// They are looked for first.
    LookedFor,
}

async fn attempt(
    connection: &Object,
    batch: &Batch,
    shared: &Shared,
    absent: Absent,
) -> Result<Committed, Failed> {
    let seen = look(connection, batch, absent).await?;
    if let Some(refused) = seen.refuses(batch, absent) {
        send(connection, &[step!("ROLLBACK")]).await?;
        return Ok(refused);
    }
    let mut plan = Plan::default();
    if seen.is_untouched {
        plan.add(step!("BEGIN"), Counts::Nothing);
    }
    rows::plan(batch, &mut plan);
    for item in &batch.enqueue {
        outbox::enqueue(item, batch.now, &mut plan);
    }
    let mut standings = seen.standings;
    for (id, settle) in &batch.settle {
        if !outbox::settle(&mut standings, *id, settle, &mut plan) {
            send(connection, &[step!("ROLLBACK")]).await?;
            return Ok(Committed::LeaseLost(*id));
        }
    }
    for queue in &batch.due_now {
        outbox::hasten(queue, batch.now, &mut plan);
    }
    if batch.all_due_now {
        outbox::hasten_all(batch.now, &mut plan);
    }
    finish(connection, batch, shared, plan).await
}

/// Sends what was planned, and commits it when everything came out as it must.
async fn finish(
    connection: &Object,
    batch: &Batch,
    shared: &Shared,
    mut plan: Plan,
) -> Result<Committed, Failed> {
    let is_certain = plan.is_certain();
    if is_certain {
        plan.add(step!("COMMIT"), Counts::Nothing);
    }
    let sent = send(connection, &plan.steps).await;
    let counts = if is_certain {
        sent.map_err(Failed::while_committing)?
    } else {
        sent?
    };
    let change = plan.learn(&counts)?;
    if is_certain {
        shared.add(change);
        return Ok(Committed::Done);
    }
    let undo = shared.take(change, &batch.bounds)?;
    let committed = send(connection, &[step!("COMMIT")]).await;
    if let Err(failed) = committed {
        shared.add(undo);
        return Err(failed.while_committing());
    }
    Ok(Committed::Done)
}

/// What a batch leans on, as it is under the locks of its transaction.
struct Seen {
    /// Nothing had to be looked at, and no transaction has begun.
    is_untouched: bool,
    /// A lease that began anew since the batch was decided.
    lost: Option<String>,
    rows: HashMap<(i16, String), Row>,
    standings: Standings,
}

async fn look(connection: &Object, batch: &Batch, absent: Absent) -> Result<Seen, Failed> {
    let mut seen = Seen {
        is_untouched: true,
        lost: None,
        rows: HashMap::new(),
        standings: Standings::default(),
    };
    let mut asked = vec![step!("BEGIN")];
    let mut wants = Vec::new();
    if let Some(step) = lease::look(&batch.fences) {
        asked.push(step);
        wants.push(Wants::Fences);
    }
    if let Some(step) = rows::look(batch, absent == Absent::LookedFor) {
        asked.push(step);
        wants.push(Wants::Rows);
    }
    if !batch.settle.is_empty() {
        let [lanes, items] = outbox::look(batch.settle.iter().map(|(id, _)| *id));
        asked.extend([lanes, items]);
        wants.extend([Wants::Locks, Wants::Standings]);
    }
    if wants.is_empty() {
        return Ok(seen);
    }
    seen.is_untouched = false;
    for (wanted, found) in wants.iter().zip(ask(connection, &asked).await?.iter().skip(1)) {
        match wanted {
            Wants::Locks => (),
            Wants::Fences => seen.lost = lease::first_lost(&batch.fences, found)?,
            Wants::Rows => seen.rows = rows::found(found)?,
            Wants::Standings => seen.standings = outbox::found(found)?,
        }
    }
    Ok(seen)
}

impl Seen {
    /// The first expectation of the batch that doesn't hold.
    fn refuses(&self, batch: &Batch, absent: Absent) -> Option<Committed> {
        if let Some(name) = &self.lost {
            return Some(Committed::Fenced(name.clone()));
        }
        rows::conflict(batch, &self.rows, absent == Absent::LookedFor)
    }
}

/// What is sent, and what is learnt from how many rows each statement changed.
#[derive(Default)]
pub(super) struct Plan {
    steps: Vec<Step>,
    counts: Vec<Counts>,
}

/// What the number of changed rows of a statement says.
pub(super) enum Counts {
    /// Nothing.
    Nothing,
    /// So many there must be, else another transaction was in the way.
    Exactly(u64),
    /// Items came to this queue.
    Came(String),
    /// Items left this queue.
    Left(String),
}

impl Plan {
    /// Adds a statement.
    pub(super) fn add(&mut self, step: Step, counts: Counts) {
        self.steps.push(step);
        self.counts.push(counts);
    }

    /// Whether it can be committed whatever comes out: no queue grows, and nothing is tried.
    fn is_certain(&self) -> bool {
        !self
            .counts
            .iter()
            .any(|counts| matches!(counts, Counts::Exactly(_) | Counts::Came(_)))
    }

    fn learn(&self, counts: &[u64]) -> Result<Change, Failed> {
        let mut change = Change::default();
        for (meaning, count) in self.counts.iter().zip(counts) {
            match meaning {
                Counts::Nothing => (),
                Counts::Exactly(expected) if expected == count => (),
                Counts::Exactly(_) => {
                    return Err(Failed::Again("another node wrote the same row".to_owned()));
                }
                Counts::Came(queue) => change.add(queue, i64::try_from(*count).unwrap_or(i64::MAX)),
                Counts::Left(queue) => change.add(queue, -i64::try_from(*count).unwrap_or(i64::MAX)),
            }
        }
        Ok(change)
    }
}
