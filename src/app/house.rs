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

/// Every minute: rows that have expired go, what waited too long is told to its senders, idle rate limits are forgotten, recorded
/// identities and holds are learnt.
pub(super) async fn keep_house(
    relay: Weak<Relay>,
    gateway: Weak<SspGateway>,
    store: Arc<dyn Store>,
    clock: Clock,
) {
    let mut tick = tokio::time::interval(Duration::from_secs(60));
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
        if let Err(refusal) = relay.expire_waiting().await {
            tracing::warn!(%refusal, "what waits could not be looked through for what is too late");
        }
        if let Err(refusal) = relay.learn_seen().await {
            tracing::warn!(%refusal, "recorded identities could not be read; each request asks the store for its own");
        }
        if let Err(refusal) = relay.learn_lanes().await {
            tracing::warn!(%refusal, "what waits could not be read; each message asks the store whether an earlier one does");
        }
        loop {
            match store.expire(clock.now(), EXPIRE_AT_ONCE).await {
                Ok(count) if count >= EXPIRE_AT_ONCE as u64 => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(%error, "expired rows could not be removed");
                    break;
                }
            }
        }
    }
}

/// Every minute: subscriptions at other operators are asserted anew, when a day has passed since they were, and follow
/// numbers that have moved. Of nodes that share a store one does it.
pub(super) async fn keep_subscriptions(
    relay: Weak<Relay>,
    store: Arc<dyn Store>,
    clock: Clock,
    node: WorkerId,
) {
    let mut tick = tokio::time::interval(Duration::from_secs(60));
    loop {
        tick.tick().await;
        let Some(relay) = relay.upgrade() else {
            return;
        };
        match store.lease("subscriptions", &node, ROUND, clock.now()).await {
            Ok(Leased::Held { .. }) => {}
            Ok(Leased::By { .. }) => continue,
            Err(error) => {
                tracing::warn!(%error, "subscriptions are not looked at this minute");
                continue;
            }
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

/// One that does not come back within two rounds gives another one its turn.
const ROUND: Duration = Duration::from_secs(130);
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

/// Octets of a probe: as much as a large message.
const PROBE: usize = 64 * 1024;
/// Rows removed in one go, so that the writer is not held up.
const EXPIRE_AT_ONCE: usize = 5000;
