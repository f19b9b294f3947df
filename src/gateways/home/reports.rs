//! Delivery reports that senders are owed: each stands in the store from the acknowledgement until the relay has it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};

use super::{
    HomeDomain,
    inbox::{OwedReport, report},
    subscriber::Subscriber,
};
use crate::{
    model::{Refusal, Request},
    store::{Batch, Space},
};

/// Reports by row key.
pub(crate) type Owed = BTreeMap<String, (Arc<Subscriber>, OwedReport)>;

impl HomeDomain {
    /// Notes a report whose row is committed, and sends it.
    pub(crate) fn owe(&self, subscriber: &Arc<Subscriber>, key: String, owed: OwedReport) {
        self.owed().insert(key, (Arc::clone(subscriber), owed));
        if let Some(home) = self.me.upgrade() {
            self.errands.run(async move { home.settle_reports().await });
        }
    }

    /// Hands owed reports to the relay; those that it can't take yet stay.
    pub(crate) async fn settle_reports(&self) {
        let owed: Vec<_> = std::mem::take(&mut *self.owed()).into_iter().collect();
        if owed.is_empty() {
            return;
        }
        let settled = stream::iter(owed).map(|(key, (subscriber, owed))| async move {
            let is_settled = self.settle(&subscriber, &owed).await;
            if !is_settled {
                self.owed().insert(key.clone(), (subscriber, owed));
            }
            is_settled.then_some(key)
        });
        let keys: Vec<_> = settled
            .buffer_unordered(AT_ONCE)
            .filter_map(std::future::ready)
            .collect()
            .await;
        if keys.is_empty() {
            return;
        }
        let done = |batch: Batch, key: String| batch.remove(Space::Home, key);
        let batch = keys.into_iter().fold(Batch::new(self.clock.now()), done);
        if let Err(error) = self.commit(batch).await {
            // The rows are found again at the next start; the relay recognises the repeat.
            tracing::warn!(%error, "reports are sent, but their rows could not be removed");
        }
    }

    async fn settle(&self, subscriber: &Subscriber, owed: &OwedReport) -> bool {
        let outcome = self
            .ask(&subscriber.domain, None, Request::Report(report(owed)))
            .await;
        let age = owed.at.until(self.clock.now());
        match outcome {
            Ok(_) => true,
            // A device may be quicker than the commit that lets the relay know the message.
            Err(Refusal::NotFound { .. }) => age > UNKNOWN_FOR,
            Err(refusal) if refusal.is_temporary() => age > KEPT_FOR,
            Err(refusal) => {
                tracing::info!(refusal = refusal.masked(), "a delivery report was refused");
                true
            }
        }
    }

    /// Takes in a row at the start.
    pub(crate) fn load_owed(&self, key: &str, subscriber: &Arc<Subscriber>, value: &[u8]) {
        if let Ok(owed) = serde_json::from_slice(value) {
            self.owed().insert(key.to_owned(), (Arc::clone(subscriber), owed));
        }
    }

    fn owed(&self) -> std::sync::MutexGuard<'_, Owed> {
        self.owed
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A message that the relay does not know after so long was not meant to be reported.
const UNKNOWN_FOR: Duration = Duration::from_secs(30);
/// After so long, nobody waits for the report any more.
const KEPT_FOR: Duration = Duration::from_secs(86_400);
const AT_ONCE: usize = 16;
