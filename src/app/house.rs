//! Housekeeping: what every minute brings, as long as the parts live.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use crate::{
    gateways::ssp::SspGateway,
    relay::Relay,
    store::{Batch, Leased, Space, Store, WorkerId},
    telemetry::{Clock, Metrics},
};

/// Every minute: idle rate limits are forgotten, recorded identities, holds and suspensions are learnt.
pub(super) async fn keep_house(relay: Weak<Relay>, gateway: Weak<SspGateway>) {
    let mut tick = tokio::time::interval(MINUTE);
    loop {
        tick.tick().await;
        let (Some(relay), Some(gateway)) = (relay.upgrade(), gateway.upgrade()) else {
            return;
        };
        relay.forget_idle();
        gateway.forget_idle();
        if let Err(refusal) = relay.learn_holds().await {
            tracing::warn!(%refusal, "which queues are held could not be read; those that were are");
        }
        if let Err(error) = gateway.load_suspensions().await {
            tracing::warn!(%error, "suspensions that other nodes were told of can't be read");
        }
        if let Err(refusal) = relay.learn_seen().await {
            tracing::warn!(%refusal, "recorded identities could not be read; each request asks the store for its own");
        }
        if let Err(refusal) = relay.learn_lanes().await {
            tracing::warn!(%refusal, "what waits could not be read; each message asks the store whether an earlier one does");
        }
    }
}

/// Every minute: rows that have expired go, and what waited too long is told to its senders. Of nodes that share a store one does it.
pub(super) async fn sweep(relay: Weak<Relay>, store: Arc<dyn Store>, clock: Clock, worker: WorkerId) {
    let mut tick = tokio::time::interval(MINUTE);
    loop {
        tick.tick().await;
        let Some(relay) = relay.upgrade() else {
            return;
        };
        if !is_ours(SWEEPS, &*store, &worker, &clock).await {
            continue;
        }
        if let Err(refusal) = relay.expire_waiting().await {
            tracing::warn!(%refusal, "what waits could not be looked through for what is too late");
        }
        expire(&*store, &clock).await;
    }
}

async fn expire(store: &dyn Store, clock: &Clock) {
    loop {
        match store.expire(clock.now(), EXPIRE_AT_ONCE).await {
            Ok(count) if count >= EXPIRE_AT_ONCE as u64 => {}
            Ok(_) => return,
            Err(error) => return tracing::warn!(%error, "expired rows could not be removed"),
        }
    }
}

/// Every minute: subscriptions at other operators are asserted anew, when a day has passed since they were, and follow
/// numbers that have moved. Of nodes that share a store one does it.
pub(super) async fn keep_subscriptions(
    relay: Weak<Relay>,
    store: Arc<dyn Store>,
    clock: Clock,
    worker: WorkerId,
) {
    let mut tick = tokio::time::interval(MINUTE);
    loop {
        tick.tick().await;
        let Some(relay) = relay.upgrade() else {
            return;
        };
        if !is_ours(SUBSCRIPTIONS, &*store, &worker, &clock).await {
            continue;
        }
        match relay.reassert_daily().await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "subscriptions asserted anew, as every day"),
            Err(refusal) => tracing::warn!(%refusal, "subscriptions could not be asserted anew"),
        }
        match relay.follow_moved().await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "subscriptions have followed numbers that moved"),
            Err(refusal) => tracing::warn!(%refusal, "subscriptions could not follow numbers that moved"),
        }
    }
}

/// Whether this node is the one that does something of which one is enough.
async fn is_ours(name: &str, store: &dyn Store, worker: &WorkerId, clock: &Clock) -> bool {
    match store.lease(name, worker, ROUND, clock.now()).await {
        Ok(Leased::Held { .. }) => true,
        Ok(Leased::By { .. }) => false,
        Err(error) => {
            tracing::warn!(%error, lease = name, "who does it is not known, so nobody here does it this minute");
            false
        }
    }
}

/// Another node may do at once what this one did for all.
pub(super) async fn hand_over(store: &dyn Store, worker: &WorkerId) {
    for name in [SWEEPS, SUBSCRIPTIONS] {
        if let Err(error) = store.unlease(name, worker).await {
            tracing::warn!(%error, lease = name, "a lease can't be given up; it ends by the clock");
        }
    }
}

/// Every second while the store takes nothing: whether it does again.
pub(super) async fn keep_trying(store: Arc<dyn Store>, metrics: Arc<Metrics>, clock: Clock) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tick.tick().await;
        if metrics.store_health().failing().is_none() {
            continue;
        }
        let probe = Batch::new(clock.now()).put(Space::Meta, "probe", vec![0; PROBE], None);
        if store.commit(probe).await.is_err() {
            continue;
        }
        metrics.store_health().recovered();
        tracing::info!("the store can be written again");
        // It need not stay, and it does no harm if it does.
        let _ = store
            .commit(Batch::new(clock.now()).remove(Space::Meta, "probe"))
            .await;
    }
}

/// Who removes what has expired.
const SWEEPS: &str = "sweeps";
/// Who keeps subscriptions at other operators.
const SUBSCRIPTIONS: &str = "subscriptions";
const MINUTE: Duration = Duration::from_secs(60);
/// One that does not come back within two rounds gives another one its turn.
const ROUND: Duration = Duration::from_secs(130);
/// Octets of a probe: as much as a large message.
const PROBE: usize = 64 * 1024;
/// Rows removed in one go, so that the writer is not held up.
const EXPIRE_AT_ONCE: usize = 5000;
