//! The one thread that writes, and how it groups commits.
//!
//! It takes everything that waits in its queue into one transaction, each batch in a savepoint of its own, commits
//! once, and then answers all. While the disk works the next group gathers by itself; a disk that is fast gives it a
//! moment more, until as many have come as the last time. An idle store commits a lone batch at once, a busy one shares
//! each flush among all its callers.

use std::{
    collections::HashMap,
    fs::File,
    thread::{self, JoinHandle},
    time::Duration,
};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{
    SqliteConfig, apply,
    checkpoint::Checkpointer,
    claim,
    intake::{Intake, Mark, SharedIndex},
    lease,
    outbox::Outbox,
};
use crate::{
    model::Timestamp,
    store::{
        Batch, Claim, Committed, Expected, Leased, OutboxItem, StoreError, WorkerId,
        tally::{self, Change, Tally},
    },
};

/// Where an answer goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the writer can be asked for.
pub(super) enum Job {
    /// A batch.
    Commit(Batch, Reply<Committed>),
    /// A claim.
    Claim(Claim, Reply<Vec<OutboxItem>>),
    /// A lease by name.
    Lease(lease::Wish, Reply<Leased>),
    /// The end of a lease by name, when this worker has it.
    Unlease(String, WorkerId, Reply<()>),
    /// Removal of rows that have expired by then, at most so many.
    Expire(Timestamp, usize, Reply<u64>),
    /// The items are counted anew, because another hand changed them.
    Recount(Reply<()>),
    /// Work with the connection outside of any transaction; it answers by itself.
    Aside(Box<dyn FnOnce(&mut Connection) + Send>),
    /// The end, after everything before it.
    Close(Reply<()>),
}

/// The handle of the thread; dropping it waits until what was accepted is written.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread; it owns the connection and the lock of the store until it ends.
    ///
    /// # Errors
    /// When the items can't be counted, or the system has no thread to give.
    pub(super) fn start(
        mut connection: Connection,
        lock: Option<File>,
        config: &SqliteConfig,
        index: SharedIndex,
    ) -> Result<Self, StoreError> {
        let intake = Intake::load(&connection, index, config.intake)?;
        let mut tally = Tally::new(config.max_items, config.max_items_per_queue);
        tally.set(count(&connection)?);
        let checkpointer = lock
            .is_some()
            .then(|| Checkpointer::start(&mut connection, config))
            .transpose()?;
        let (jobs, queue) = mpsc::channel(config.queued_batches.max(1));
        let thread = Thread {
            checkpointer,
            connection,
            intake,
            tally,
            max_bytes: config.max_bytes,
            room: 0,
            last_group: 0,
            queue,
            failure: None,
            lock,
        };
        let thread = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || thread.run())
            .map_err(|error| StoreError::Engine {
                reason: error.to_string(),
            })?;
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    /// Hands a job in and waits for its answer; waits for room first when the queue is full.
    ///
    /// # Errors
    /// [`StoreError::Closed`] after the end; else what the job says.
    ///
    /// # Cancel safety
    /// A job that was handed in is carried out even when nobody waits for the answer.
    pub(super) async fn ask<T>(&self, job: impl FnOnce(Reply<T>) -> Job) -> Result<T, StoreError> {
        let jobs = self.jobs.as_ref().ok_or(StoreError::Closed)?;
        let (reply, answer) = oneshot::channel();
        jobs.send(job(reply)).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Runs a function with the writer's connection, between transactions.
    ///
    /// # Errors
    /// As [`Writer::ask`].
    pub(super) async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.ask(|reply| {
            Job::Aside(Box::new(move |connection| {
                let _ = reply.send(work(connection));
            }))
        })
        .await
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the thread owns.
struct Thread {
    /// First, so that the writer's connection is the last to be closed. None in memory, where there is no log.
    checkpointer: Option<Checkpointer>,
    connection: Connection,
    intake: Intake,
    tally: Tally,
    max_bytes: Option<u64>,
    /// Bytes that can be written before the bound must be looked at again; never more than there are.
    room: u64,
    /// Jobs of the last group.
    last_group: usize,
    queue: mpsc::Receiver<Job>,
    /// What undid the transaction of the group under way.
    failure: Option<StoreError>,
    lock: Option<File>,
}

/// Tells the caller of one job its answer, once it is known whether the group was committed.
type Answer = Box<dyn FnOnce(Result<(), StoreError>)>;

impl Thread {
    fn run(mut self) {
        let mut next = None;
        while let Some(job) = next.take().or_else(|| self.queue.blocking_recv()) {
            match job {
                Job::Aside(work) => work(&mut self.connection),
                Job::Recount(reply) => drop(reply.send(self.recount())),
                Job::Close(reply) => return self.end(reply),
                first @ (Job::Commit(..)
                | Job::Claim(..)
                | Job::Lease(..)
                | Job::Unlease(..)
                | Job::Expire(..)) => next = self.group(first),
            }
        }
    }

    /// Carries out a group that begins with this job; returns the job that ended it by not fitting in.
    fn group(&mut self, first: Job) -> Option<Job> {
        let mut answers = Vec::new();
        let mark = self.intake.mark();
        let begun = self.execute("BEGIN IMMEDIATE");
        let (mut bytes, mut gatherings) = (0, 0);
        let mut job = Some(first);
        while let Some(
            Job::Commit(..) | Job::Claim(..) | Job::Lease(..) | Job::Unlease(..) | Job::Expire(..),
        ) = job
        {
            bytes += job.as_ref().map_or(0, weight);
            // After a failure the rest of the group is answered with it, and nothing more is written.
            answers.extend(job.map(|job| self.carry_out(job)));
            let is_large = answers.len() >= MAX_JOBS || bytes >= MAX_BYTES;
            job = if is_large {
                None
            } else {
                self.next_of_group(answers.len(), &mut gatherings)
            };
        }
        self.last_group = answers.len();
        let ended = begun.and_then(|()| self.commit());
        match &ended {
            Ok(()) => self.intake.committed(),
            Err(_) => self.undo(mark),
        }
        for answer in answers {
            answer(ended.clone());
        }
        if let Some(checkpointer) = &mut self.checkpointer {
            checkpointer.committed(&self.connection);
        }
        job
    }

    /// The next job of a group that has so many; waits for the rest when the last group says that more are on their way.
    fn next_of_group(&mut self, has: usize, gatherings: &mut u32) -> Option<Job> {
        let is_whole = self.last_group < BUSY || has >= self.last_group.min(MAX_JOBS);
        loop {
            let next = self.queue.try_recv().ok();
            if next.is_some() || is_whole || *gatherings == GATHERINGS {
                return next;
            }
            *gatherings += 1;
            thread::sleep(GATHERING);
        }
    }

    fn carry_out(&mut self, job: Job) -> Answer {
        match job {
            Job::Commit(batch, reply) if self.is_plain(&batch) => later(reply, self.apply_plain(&batch)),
            Job::Commit(batch, reply) => later(reply, self.in_savepoint(|this| this.apply(&batch))),
            Job::Claim(claim, reply) => later(
                reply,
                self.in_savepoint(|this| {
                    let claimed = claim::claim(&this.connection, &mut this.intake, &claim)?;
                    Ok((claimed, true))
                }),
            ),
            Job::Lease(wish, reply) => later(
                reply,
                self.in_savepoint(|this| Ok((lease::take(&this.connection, &wish)?, true))),
            ),
            Job::Unlease(name, by, reply) => later(
                reply,
                self.in_savepoint(|this| Ok((lease::give_up(&this.connection, &name, &by)?, true))),
            ),
            Job::Expire(now, limit, reply) => later(
                reply,
                self.in_savepoint(|this| Ok((apply::expire(&this.connection, now, limit)?, true))),
            ),
            Job::Recount(_) | Job::Aside(_) | Job::Close(_) => Box::new(|_| ()),
        }
    }

    /// Runs the work of one job; undoes it, and nothing else, when it fails or says `false`.
    fn in_savepoint<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<(T, bool), StoreError>,
    ) -> Result<T, StoreError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        // Without a transaction a savepoint would begin, and commit, one of its own.
        if self.connection.is_autocommit() {
            return Err(lost());
        }
        self.execute("SAVEPOINT batch")?;
        let mark = self.intake.mark();
        let worked = work(self);
        // Some failures undo the whole transaction, and the savepoint with it.
        if self.connection.is_autocommit() {
            let failure = worked.err().unwrap_or_else(lost);
            self.failure = Some(failure.clone());
            return Err(failure);
        }
        if !matches!(worked, Ok((_, true))) {
            self.intake.take_back(mark);
            self.execute("ROLLBACK TO batch")?;
        }
        self.execute("RELEASE batch")?;
        worked.map(|(value, _)| value)
    }

    /// Whether nothing but the engine can refuse this batch, so that it needs no savepoint.
    fn is_plain(&self, batch: &Batch) -> bool {
        let is_unconditional = batch.writes.iter().all(|write| write.expected == Expected::Any);
        let has_room = self.max_bytes.is_none() || growth(batch) <= self.room;
        let is_unconditional = is_unconditional && batch.fences.is_empty();
        let replaces = batch.enqueue.iter().any(|item| item.replaces.is_some());
        is_unconditional && has_room && !replaces && batch.settle.is_empty()
    }

    /// Carries out a plain batch that has room; when the engine fails, the whole group fails with it.
    fn apply_plain(&mut self, batch: &Batch) -> Result<Committed, StoreError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        if self.connection.is_autocommit() {
            return Err(lost());
        }
        let mut change = Change::default();
        batch
            .enqueue
            .iter()
            .for_each(|item| change.came(&item.lane.queue));
        self.tally.take(change, &batch.bounds)?;
        let applied = self.carry(batch, &mut Change::default());
        self.room = self.room.saturating_sub(growth(batch));
        applied.inspect_err(|failure| self.failure = Some(failure.clone()))
    }

    fn apply(&mut self, batch: &Batch) -> Result<(Committed, bool), StoreError> {
        let growth = growth(batch);
        let is_near = self.max_bytes.is_some() && growth > self.room;
        let before = if is_near { self.used_bytes()? } else { None };
        let mut change = Change::default();
        let committed = self.carry(batch, &mut change)?;
        if committed != Committed::Done {
            return Ok((committed, false));
        }
        if let Some((max, before)) = self.max_bytes.zip(before) {
            let after = self.used_bytes()?.unwrap_or(before);
            if grows(batch) && after > before && after > max {
                return Err(tally::full(format!("max_bytes = {max}")));
            }
            self.room = max.saturating_sub(after);
        } else {
            self.room = self.room.saturating_sub(growth);
        }
        self.tally.take(change, &batch.bounds)?;
        Ok((committed, true))
    }

    fn carry(&mut self, batch: &Batch, change: &mut Change) -> Result<Committed, StoreError> {
        let mut outbox = Outbox {
            connection: &self.connection,
            intake: &mut self.intake,
            change,
        };
        apply::apply(&mut outbox, batch)
    }

    /// Bytes of the pages in use, as this transaction has them; `None` when nobody bounds them.
    fn used_bytes(&self) -> Result<Option<u64>, StoreError> {
        if self.max_bytes.is_none() {
            return Ok(None);
        }
        let pragma = |sql| -> Result<u64, StoreError> {
            Ok(self
                .connection
                .prepare_cached(sql)?
                .query_row([], |columns| columns.get(0))?)
        };
        let used = pragma("PRAGMA page_count")?.saturating_sub(pragma("PRAGMA freelist_count")?);
        Ok(Some(used.saturating_mul(pragma("PRAGMA page_size")?)))
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        if self.connection.is_autocommit() {
            return Err(lost());
        }
        self.execute("COMMIT")
    }

    /// Leaves no transaction behind, and counts what is there now.
    fn undo(&mut self, begun: Mark) {
        self.intake.take_back(begun);
        if !self.connection.is_autocommit() {
            let _ = self.execute("ROLLBACK");
        }
        match count(&self.connection) {
            Ok(queues) => self.tally.set(queues),
            Err(error) => {
                tracing::error!(%error, "the store can't count its items; the bounds hold for the old counts");
            }
        }
    }

    fn recount(&mut self) -> Result<(), StoreError> {
        self.intake.reload(&self.connection)?;
        self.tally.set(count(&self.connection)?);
        Ok(())
    }

    fn execute(&self, sql: &str) -> Result<(), StoreError> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    fn end(mut self, reply: Reply<()>) {
        self.queue.close();
        if let Err(error) = self.intake.close(&self.connection) {
            tracing::debug!(%error, "the identities that were reserved are skipped");
        }
        drop(self.checkpointer.take());
        // The last connection to a database moves the log into it.
        let closed = self.connection.close().map_err(|(_, error)| error.into());
        drop(self.lock);
        let _ = reply.send(closed);
    }
}

/// Items of each queue.
fn count(connection: &Connection) -> Result<HashMap<String, i64>, StoreError> {
    let mut counts = HashMap::new();
    for sql in COUNTS {
        let mut statement = connection.prepare_cached(sql)?;
        let mut counted = statement.query([])?;
        while let Some(columns) = counted.next()? {
            *counts.entry(columns.get(0)?).or_default() += columns.get::<_, i64>(1)?;
        }
    }
    Ok(counts)
}

fn later<T: 'static>(reply: Reply<T>, result: Result<T, StoreError>) -> Answer {
    Box::new(move |group| {
        let _ = reply.send(group.and(result));
    })
}

/// Whether a batch counts towards the bound of bytes: it queues items, or it writes rows and settles nothing.
fn grows(batch: &Batch) -> bool {
    let writes = batch.writes.iter().any(|write| write.value.is_some());
    !batch.enqueue.is_empty() || (writes && batch.settle.is_empty())
}

fn weight(job: &Job) -> usize {
    match job {
        Job::Commit(batch, _) => octets(batch),
        Job::Claim(..)
        | Job::Lease(..)
        | Job::Unlease(..)
        | Job::Expire(..)
        | Job::Recount(_)
        | Job::Aside(_)
        | Job::Close(_) => 0,
    }
}

/// Octets of values and bodies.
fn octets(batch: &Batch) -> usize {
    let rows = batch
        .writes
        .iter()
        .filter_map(|write| write.value.as_ref())
        .map(bytes::Bytes::len);
    rows.chain(batch.enqueue.iter().map(|item| item.body.len())).sum()
}

/// Bytes that the file can't grow by more than for this batch: what it holds, and a split of every tree that it touches.
fn growth(batch: &Batch) -> u64 {
    let parts = batch.writes.len() + batch.enqueue.len() * 8 + batch.settle.len() * 4;
    (octets(batch) + parts * PART_BYTES) as u64
}

fn lost() -> StoreError {
    StoreError::Engine {
        reason: "the transaction was undone by a failure in the same group".to_owned(),
    }
}

const COUNTS: [&str; 2] = [
    "SELECT queue, count(*) FROM item GROUP BY queue",
    "SELECT queue, count(*) FROM intake GROUP BY queue",
];

/// More than keys, labels and the pages of a split take for one write.
const PART_BYTES: usize = 64 * 1024;
/// A group of so many jobs says that more are on their way.
const BUSY: usize = 4;
/// How long a group of a busy store gathers before it is looked at again; the system adds some 50 us.
const GATHERING: Duration = Duration::from_micros(10);
/// How often it is, before it is carried out as it is.
const GATHERINGS: u32 = 12;
/// Jobs in one transaction; more would only lengthen the wait of the first.
const MAX_JOBS: usize = 512;
/// Bytes in one transaction, about.
const MAX_BYTES: usize = 8 * 1024 * 1024;
