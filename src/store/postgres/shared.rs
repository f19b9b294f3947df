//! What a node estimates and hears of the others: how long the queues are, and that something was queued.
//!
//! Queues are counted now and then, and what this node changes is added meanwhile, so that a bound costs no counting. A hint that
//! something was queued goes out at most every so often and outside of any transaction, because `NOTIFY` makes commits wait for
//! one another.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream};
use tokio::{
    sync::Notify,
    task::AbortHandle,
    time::{Instant, sleep, timeout},
};
use tokio_postgres::{AsyncMessage, NoTls, Socket, tls::MakeTlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    PostgresConfig, Wake,
    error::Failed,
    pipe::{rows, step},
    pool::{self, Connections},
};
use crate::store::{
    QueueBound, StoreError,
    tally::{Change, Tally},
};

/// See the module.
#[derive(Debug)]
pub(super) struct Shared {
    tally: Mutex<Tally>,
    /// Goes up with every change that this node makes to the counts.
    changes: AtomicU64,
    /// This node queued something.
    queued: Notify,
    /// Another node did.
    heard: Notify,
    /// How long a worker waits for a hint before it looks by itself.
    patience: Duration,
    /// What tells our own hints from others'.
    name: String,
}

impl Shared {
    /// Counts what is there, and begins to count, to listen and to tell.
    ///
    /// # Errors
    /// When the queues can't be counted.
    pub(super) async fn start(
        config: &PostgresConfig,
        connections: Connections,
    ) -> Result<(Arc<Self>, Vec<AbortHandle>), StoreError> {
        let shared = Arc::new(Self::alone(config));
        let queues = count(&connections).await?;
        shared.tally().set(queues);
        let mut tasks = vec![tokio::spawn(keep_counting(
            Arc::downgrade(&shared),
            connections.clone(),
        ))];
        if config.wake == Wake::Notify {
            tasks.push(tokio::spawn(keep_telling(Arc::clone(&shared), connections)));
            let (address, weak) = (pool::address(config)?, Arc::downgrade(&shared));
            tasks.push(match pool::tls(config)? {
                Some(tls) => tokio::spawn(keep_listening(address, MakeRustlsConnect::new(tls), weak)),
                None => tokio::spawn(keep_listening(address, NoTls, weak)),
            });
        }
        let tasks = tasks.iter().map(tokio::task::JoinHandle::abort_handle).collect();
        Ok((shared, tasks))
    }

    /// Counts nothing and hears nothing.
    pub(super) fn alone(config: &PostgresConfig) -> Self {
        Self {
            tally: Mutex::new(Tally::new(config.max_items, config.max_items_per_queue)),
            changes: AtomicU64::new(0),
            queued: Notify::new(),
            heard: Notify::new(),
            patience: match config.wake {
                Wake::Notify => LOOKING_BESIDE,
                Wake::Poll => LOOKING,
            },
            name: format!("{} {:016x}", config.node, fastrand::u64(..)),
        }
    }

    /// Takes over what a transaction is about to change; returns what to give back when it fails after all.
    ///
    /// # Errors
    /// [`StoreError::Full`], and nothing is taken over, when a queue that grows would exceed a bound.
    pub(super) fn take(&self, change: Change, bounds: &[QueueBound]) -> Result<Change, StoreError> {
        let back = change.reversed();
        self.tally().take(change, bounds)?;
        self.changes.fetch_add(1, Ordering::Relaxed);
        Ok(back)
    }

    /// Takes over what was changed, whatever the bounds are.
    pub(super) fn add(&self, change: Change) {
        self.tally().add(change);
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// Others may be told that something was queued.
    pub(super) fn tell_others(&self) {
        self.queued.notify_one();
    }

    /// Returns when another node may have queued something.
    pub(super) async fn queued_elsewhere(&self) {
        // Whatever has not been heard by then is looked for.
        let _ = timeout(self.patience, self.heard.notified()).await;
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        // A thread that panicked while it held the lock left counts that the next counting mends.
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Items of each queue.
async fn count(connections: &Connections) -> Result<HashMap<String, i64>, StoreError> {
    connections
        .run(|connection| async move {
            let found = rows(&connection, step!(COUNT)).await?;
            let count = |columns: &tokio_postgres::Row| Ok((columns.try_get(0)?, columns.try_get(1)?));
            found
                .iter()
                .map(count)
                .collect::<Result<HashMap<String, i64>, Failed>>()
        })
        .await
}

/// Counts again and again, so rarely that it takes little of the database.
async fn keep_counting(shared: Weak<Shared>, connections: Connections) {
    let mut pause = BETWEEN_COUNTS;
    let mut crossed = 0_u32;
    loop {
        sleep(pause).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let before = shared.changes.load(Ordering::Relaxed);
        let began = Instant::now();
        let counted = count(&connections).await;
        pause = (began.elapsed() * COUNTING_SHARE).max(BETWEEN_COUNTS);
        match counted {
            Ok(queues) => {
                // A change of ours that crossed the counting may be in it or not, so a quiet moment is better; for a while.
                let is_crossed = shared.changes.load(Ordering::Relaxed) != before;
                crossed = if is_crossed { crossed + 1 } else { 0 };
                if !is_crossed || crossed > MOST_CROSSED {
                    crossed = 0;
                    shared.tally().set(queues);
                }
            }
            Err(error) => tracing::debug!(%error, "the queues can't be counted now"),
        }
    }
}

/// Tells the other nodes that something was queued, at most every [`BETWEEN_HINTS`].
async fn keep_telling(shared: Arc<Shared>, connections: Connections) {
    loop {
        shared.queued.notified().await;
        let name = shared.name.clone();
        let told = connections
            .run(move |connection| {
                let name = name.clone();
                async move { rows(&connection, step!(TELL, name)).await }
            })
            .await;
        if let Err(error) = told {
            tracing::debug!(%error, "other nodes can't be told of work now; they look by themselves");
        }
        sleep(BETWEEN_HINTS).await;
    }
}

/// Listens for hints on a connection of its own, and connects again whenever that ends.
async fn keep_listening<T>(address: tokio_postgres::Config, tls: T, shared: Weak<Shared>)
where
    T: MakeTlsConnect<Socket> + Clone,
    T::Stream: Unpin,
{
    loop {
        if let Err(error) = listen(&address, tls.clone(), &shared).await {
            tracing::debug!(%error, "hints of other nodes can't be heard now; this one looks by itself");
        }
        sleep(BETWEEN_COUNTS).await;
        if shared.strong_count() == 0 {
            return;
        }
    }
}

async fn listen<T>(
    address: &tokio_postgres::Config,
    tls: T,
    shared: &Weak<Shared>,
) -> Result<(), tokio_postgres::Error>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: Unpin,
{
    let (client, mut connection) = address.connect(tls).await?;
    let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
    let hearing = async {
        while let Some(message) = messages.next().await {
            if let AsyncMessage::Notification(hint) = message?
                && let Some(shared) = shared.upgrade()
                && hint.payload() != shared.name
            {
                shared.heard.notify_one();
            }
        }
        Ok(())
    };
    let listening = client.batch_execute("LISTEN impsgw_work");
    tokio::try_join!(hearing, listening).map(|_| ())
}

const COUNT: &str = "SELECT queue, count(*) FROM item GROUP BY queue";

const TELL: &str = "SELECT pg_notify('impsgw_work', $1)";

/// At least so long between two countings.
const BETWEEN_COUNTS: Duration = Duration::from_secs(1);
/// A counting is followed by a pause of so many times its length.
const COUNTING_SHARE: u32 = 50;
/// So many countings in a row are given up because a change of ours crossed them; then one is taken as it is.
const MOST_CROSSED: u32 = 3;
/// Other nodes hear of work at most so often.
const BETWEEN_HINTS: Duration = Duration::from_millis(50);
/// How long a worker waits before it looks for the work of other nodes, when it hears of it as a rule.
const LOOKING_BESIDE: Duration = Duration::from_secs(5);
/// The same when it hears nothing.
const LOOKING: Duration = Duration::from_millis(500);
