//! Work that one node at a time may do: its lease is held for as long as somebody here works on it.
//!
//! Several pieces of work of one process share a tenure of the same name. What it decides is written under its fence; a tenure
//! that was lost meanwhile is found out there, at the latest. Work that writes nothing asks [`Grip`] whether it is held still.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{
    sync::{Mutex, watch},
    task::AbortHandle,
    time::{Instant, sleep, sleep_until},
};

use super::{Cluster, Standing, renewed};
use crate::store::{Leased, StoreError, WorkerId};

/// A lease that this process holds; given up when the last who works under it is done.
#[derive(Debug)]
pub struct Tenure {
    name: String,
    fence: u64,
    grip: Grip,
    cluster: Weak<Cluster>,
    renewing: AbortHandle,
}

/// What asking for a tenure came to.
#[derive(Debug)]
pub enum Hold {
    /// It is held here.
    Mine(Arc<Tenure>),
    /// Another process holds it.
    Theirs {
        /// Which; its incarnation.
        holder: WorkerId,
        /// How long, unless it renews the lease.
        left: Duration,
    },
}

/// The tenures of this process, by name; locked while the store is asked, so that none is given up while it is taken.
pub(super) type Tenures = Mutex<HashMap<String, Weak<Tenure>>>;

impl Tenure {
    /// For [`crate::store::Batch::under`].
    #[must_use]
    pub fn fence(&self) -> (String, u64) {
        (self.name.clone(), self.fence)
    }

    /// Whether it is held still, for work that may outlast it.
    #[must_use]
    pub fn grip(&self) -> Grip {
        self.grip.clone()
    }

    /// Gives the lease up, unless others here share the tenure; when this returns, another process can have it.
    pub async fn end(self: Arc<Self>) {
        let (name, cluster) = (self.name.clone(), Weak::clone(&self.cluster));
        drop(self);
        if let Some(cluster) = cluster.upgrade() {
            cluster.give_up(&name).await;
        }
    }
}

/// Whether a tenure is held still: until its end by this process's clock, counted from before the lease was asked for, so that
/// nobody else can have it.
#[derive(Clone, Debug)]
pub struct Grip(Arc<watch::Sender<Option<Instant>>>);

impl Grip {
    fn until(end: Instant) -> Self {
        Self(Arc::new(watch::Sender::new(Some(end))))
    }

    /// Whether nobody else can hold the lease.
    #[must_use]
    pub fn is_firm(&self) -> bool {
        self.0.borrow().is_some_and(|end| Instant::now() < end)
    }

    /// Ends when somebody else may hold the lease.
    pub async fn slips(&self) {
        let mut changes = self.0.subscribe();
        loop {
            let end = *changes.borrow_and_update();
            let Some(end) = end.filter(|end| Instant::now() < *end) else {
                return;
            };
            tokio::select! {
                () = sleep_until(end) => {}
                _ = changes.changed() => {}
            }
        }
    }

    fn is_lost(&self) -> bool {
        self.0.borrow().is_none()
    }

    fn lasts(&self, end: Instant) {
        self.0.send_replace(Some(end));
    }

    /// Holds no more: a write has told that somebody else has the lease, or what was done under it must begin anew.
    pub fn lose(&self) {
        self.0.send_replace(None);
    }
}

impl Cluster {
    /// Takes the lease of this name, or shares it when this process has it.
    ///
    /// # Errors
    /// When the store fails.
    ///
    /// # Cancel safety
    /// The lease may have been taken when the future is dropped; it ends by the clock.
    pub async fn hold(self: &Arc<Self>, name: &str) -> Result<Hold, StoreError> {
        let mut tenures = self.tenures().lock().await;
        let shared = tenures.get(name).and_then(Weak::upgrade);
        if let Some(tenure) = shared.filter(|tenure| !tenure.grip.is_lost()) {
            return Ok(Hold::Mine(tenure));
        }
        let end = Instant::now() + self.lease();
        match self.ask_lease(name).await? {
            Leased::Held { fence } => {
                let tenure = Arc::new(self.tenure(name, fence, Grip::until(end)));
                tenures.insert(name.to_owned(), Arc::downgrade(&tenure));
                Ok(Hold::Mine(tenure))
            }
            Leased::By { holder, left, .. } => Ok(Hold::Theirs { holder, left }),
        }
    }

    /// The processes that hold leases whose names begin so, with the names.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn holders(&self, prefix: &str) -> Result<Vec<(String, WorkerId)>, StoreError> {
        let held = self.held(prefix).await?;
        Ok(held.into_iter().map(|one| (one.name, one.holder)).collect())
    }

    fn tenure(self: &Arc<Self>, name: &str, fence: u64, grip: Grip) -> Tenure {
        let renewing = tokio::spawn(renew(Arc::downgrade(self), name.to_owned(), fence, grip.clone()));
        Tenure {
            name: name.to_owned(),
            fence,
            grip,
            cluster: Arc::downgrade(self),
            renewing: renewing.abort_handle(),
        }
    }

    async fn give_up(&self, name: &str) {
        let mut tenures = self.tenures().lock().await;
        if tenures.get(name).is_some_and(|tenure| tenure.strong_count() > 0) {
            return;
        }
        tenures.remove(name);
        if let Err(error) = self.give_lease_up(name).await {
            tracing::warn!(%error, lease = name, "a lease can't be given up; it ends by the clock");
        }
    }
}

impl Drop for Tenure {
    fn drop(&mut self) {
        self.renewing.abort();
        let (name, cluster) = (std::mem::take(&mut self.name), Weak::clone(&self.cluster));
        // Outside of a runtime nobody can; it ends by the clock then.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Some(cluster) = cluster.upgrade() {
                    cluster.give_up(&name).await;
                }
            });
        }
    }
}

async fn renew(cluster: Weak<Cluster>, name: String, fence: u64, grip: Grip) {
    loop {
        let Some(heartbeat) = cluster.upgrade().map(|cluster| cluster.heartbeat()) else {
            return;
        };
        sleep(heartbeat).await;
        let Some(cluster) = cluster.upgrade() else { return };
        let end = Instant::now() + cluster.lease();
        match cluster
            .ask_lease(&name)
            .await
            .map(|leased| renewed(fence, leased))
        {
            Ok(Standing::Still) => grip.lasts(end),
            Ok(Standing::Anew { .. } | Standing::Out { .. }) => {
                tracing::warn!(
                    lease = name,
                    "a lease was lost: this node came too late to renew it"
                );
                return grip.lose();
            }
            Err(error) => tracing::warn!(%error, lease = name, "a lease can't be renewed"),
        }
    }
}
