//! Housekeeping: what every minute brings, as long as the parts live.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use crate::{gateways::ssp::SspGateway, relay::Relay, store::Store, telemetry::Clock};

/// Every minute: rows that have expired go, idle rate limits are forgotten, recorded identities are learnt.
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
        if let Err(error) = gateway.load_suspensions().await {
            tracing::warn!(%error, "suspensions that other nodes were told of can't be read");
        }
        if let Err(refusal) = relay.learn_seen().await {
            tracing::warn!(%refusal, "recorded identities could not be read; each request asks the store for its own");
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
/// numbers that have moved.
pub(super) async fn keep_subscriptions(relay: Weak<Relay>) {
    let mut tick = tokio::time::interval(Duration::from_secs(60));
    loop {
        tick.tick().await;
        let Some(relay) = relay.upgrade() else {
            return;
        };
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

/// Rows removed in one go, so that the writer is not held up.
const EXPIRE_AT_ONCE: usize = 5000;
