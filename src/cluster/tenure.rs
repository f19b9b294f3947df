//! Work that one node at a time may do: its lease is held for as long as somebody here works on it.
//!
//! Several pieces of work of one process share a tenure of the same name. What it decides is written under its fence; a tenure
//! that was lost meanwhile is found out there, at the latest.

use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Mutex, task::AbortHandle, time::sleep};

use super::{Cluster, Standing, renewed};
use crate::store::{Leased, StoreError, WorkerId};

/// A lease that this process holds; given up when the last who works under it is done.
#[derive(Debug)]
pub struct Tenure {
    name: String,
    fence: u64,
    /// Somebody else holds the lease.
    is_lost: Arc<AtomicBool>,
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
        if let Some(tenure) = shared.filter(|tenure| !tenure.is_lost.load(Ordering::Relaxed)) {
            return Ok(Hold::Mine(tenure));
        }
        match self.ask_lease(name).await? {
            Leased::Held { fence } => {
                let tenure = Arc::new(self.tenure(name, fence));
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

    fn tenure(self: &Arc<Self>, name: &str, fence: u64) -> Tenure {
        let is_lost = Arc::new(AtomicBool::new(false));
        let renewing = tokio::spawn(renew(
            Arc::downgrade(self),
            name.to_owned(),
            fence,
            Arc::clone(&is_lost),
        ));
        Tenure {
            name: name.to_owned(),
            fence,
            is_lost,
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

async fn renew(cluster: Weak<Cluster>, name: String, fence: u64, is_lost: Arc<AtomicBool>) {
    loop {
        let Some(heartbeat) = cluster.upgrade().map(|cluster| cluster.heartbeat()) else {
            return;
        };
        sleep(heartbeat).await;
        let Some(cluster) = cluster.upgrade() else { return };
        match cluster
            .ask_lease(&name)
            .await
            .map(|leased| renewed(fence, leased))
        {
            Ok(Standing::Still) => {}
            Ok(Standing::Anew { .. } | Standing::Out { .. }) => {
                tracing::warn!(
                    lease = name,
                    "a lease was lost: this node came too late to renew it"
                );
                return is_lost.store(true, Ordering::Relaxed);
            }
            Err(error) => tracing::warn!(%error, lease = name, "a lease can't be renewed"),
        }
    }
}
