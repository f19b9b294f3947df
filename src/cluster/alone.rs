//! A gateway of one node on a store that others could reach: it says there that it is alone, so that a second one is noticed.
//!
//! Without `[cluster]` a process believes that all sessions, conversations and subscribers are its own. Two such processes on one
//! database, or one beside a cluster, would each spoil what the other has; whoever comes second is refused at its start. It enters
//! before it looks, and so does a node of a cluster, so that of two who start at once at least one notices.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, sleep},
};

use super::{
    Entering, Entry, JoinError, Standing,
    member::{NODES, living_names},
    renewed,
};
use crate::{
    model::Timestamp,
    store::{HeldLease, Store, StoreError, WorkerId},
    telemetry::Clock,
};

/// This gateway, which shares its store with nobody.
pub struct Alone {
    me: WorkerId,
    store: Arc<dyn Store>,
    clock: Clock,
    fence: u64,
    /// Another gateway that is the one on this store now.
    out: watch::Sender<Option<WorkerId>>,
}

impl Alone {
    /// Becomes the only one. `place` names where the process runs: one that is started there again is the same, and waits for
    /// nobody. When another one has died, that takes until its lease ends.
    ///
    /// # Errors
    /// [`JoinError::AnotherAlone`] and [`JoinError::Nodes`] when somebody else uses the store.
    ///
    /// # Cancel safety
    /// The lease may have been taken when the future is dropped; it ends by the clock.
    pub async fn enter(place: String, store: Arc<dyn Store>, clock: Clock) -> Result<Arc<Self>, JoinError> {
        let me = WorkerId(place);
        let mut entering = Entering::default();
        let fence = loop {
            let leased = store.lease(LEASE, &me, TTL, clock.now()).await?;
            match entering.asked(leased) {
                Entry::In { fence } => break fence,
                Entry::Wait { left } => {
                    tracing::warn!(wait = ?left, "another gateway has used this database; waiting until it is dead");
                    sleep(left + MARGIN).await;
                }
                Entry::Taken { by } => return Err(JoinError::AnotherAlone { by: by.0 }),
            }
        };
        let leases = || async { store.leases(NODES, clock.now()).await };
        if let Some(nodes) = still_there(leases).await? {
            store.unlease(LEASE, &me).await?;
            let nodes = living_names(&nodes).join(", ");
            return Err(JoinError::Nodes { nodes });
        }
        Ok(Arc::new(Self {
            me,
            store,
            clock,
            fence,
            out: watch::Sender::new(None),
        }))
    }

    /// Renews the lease, until another gateway has it.
    pub async fn run(self: Arc<Self>) {
        let (mut beat, mut fence) = (interval(BEAT), self.fence);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.out.borrow().is_none() {
            beat.tick().await;
            let leased = self.store.lease(LEASE, &self.me, TTL, self.clock.now()).await;
            match leased.map(|leased| renewed(fence, leased)) {
                Ok(Standing::Still) => {}
                Ok(Standing::Anew { fence: anew }) => fence = anew,
                Ok(Standing::Out { by }) => drop(self.out.send_replace(Some(by))),
                Err(error) => {
                    tracing::warn!(%error, "this gateway can't say that it is alone on its database");
                }
            }
        }
    }

    /// Ends when another gateway is the one on this store; which.
    pub async fn is_out(&self) -> WorkerId {
        let mut out = self.out.subscribe();
        match out.wait_for(Option::is_some).await.map(|by| by.clone()) {
            Ok(Some(by)) => by,
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Lets another one in at once.
    ///
    /// # Errors
    /// When the store fails; then the lease ends by the clock.
    pub async fn leave(&self) -> Result<(), StoreError> {
        self.store.unlease(LEASE, &self.me).await
    }
}

impl std::fmt::Debug for Alone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Alone")
            .field("me", &self.me)
            .finish_non_exhaustive()
    }
}

/// Who uses a store.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Users {
    /// A gateway without `[cluster]`, by its place.
    pub alone: Option<String>,
    /// The living nodes of a cluster, by name.
    pub nodes: Vec<String>,
}

impl Users {
    /// Who says now that it uses the store.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn of(store: &dyn Store, now: Timestamp) -> Result<Self, StoreError> {
        let alone = store.leases(LEASE, now).await?;
        Ok(Self {
            alone: alone.first().map(|lease| lease.holder.0.clone()),
            nodes: living_names(&store.leases(NODES, now).await?),
        })
    }
}

/// Refuses a node where a gateway is alone, unless that one is dead.
pub(super) async fn nobody_is_alone(store: &dyn Store, clock: &Clock) -> Result<(), JoinError> {
    let leases = || async { store.leases(LEASE, clock.now()).await };
    match still_there(leases).await?.as_deref() {
        Some([lease, ..]) => Err(JoinError::OneAlone {
            by: lease.holder.0.clone(),
        }),
        Some([]) | None => Ok(()),
    }
}

/// The leases that somebody renews: whoever still has one after it could have ended lives.
async fn still_there<F>(leases: impl Fn() -> F) -> Result<Option<Vec<HeldLease>>, StoreError>
where
    F: Future<Output = Result<Vec<HeldLease>, StoreError>>,
{
    let before = leases().await?;
    let Some(left) = before.iter().map(|lease| lease.left).max() else {
        return Ok(None);
    };
    tracing::warn!(wait = ?left, "somebody else has used this database; waiting until it is dead");
    sleep(left + MARGIN).await;
    let after = leases().await?;
    Ok((!after.is_empty()).then_some(after))
}

/// The lease of a gateway that is alone.
const LEASE: &str = "alone";
/// As for nodes: a gateway that has said nothing for this long is dead.
const TTL: Duration = Duration::from_secs(10);
/// How often it says that it is there.
const BEAT: Duration = Duration::from_secs(2);
/// What the store's clock may be behind ours in a wait.
const MARGIN: Duration = Duration::from_millis(100);
