//! A wall clock that is set back: what is scheduled has a time by the clock of before, and would wait for as much longer.
//!
//! Attempts are minutes away at most, so everything that is scheduled goes at once instead; what awaits its answer keeps the time
//! that it had left. What is noticed is the clock of this process going back, and after a start an attempt further away than any
//! pause.

use std::time::Duration;

use super::Relay;
use crate::{
    model::Timestamp,
    store::{Batch, OutboxItem, Place, PlaceName, QueueFilter, Settle, StoreError},
};

/// What the outbox knows of the clock.
#[derive(Debug)]
pub(super) struct Seen {
    /// The latest time that was seen, by the clock as it goes.
    latest: Timestamp,
    /// The clock was set back: the last time before, and when it is looked once more for what was on its way into the store.
    again: Option<(Timestamp, Timestamp)>,
}

impl Seen {
    /// The clock has gone forward as far as anybody knows.
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            latest: now,
            again: None,
        }
    }
}

impl Relay {
    /// Looks whether the clock was set back since it was last seen; the outbox does every few seconds.
    pub(super) async fn notice_set_back(&self, seen: &mut Seen) {
        let now = self.now();
        let before = seen.latest;
        if before > now.plus(TOLERATED) {
            let by = now.until(before);
            tracing::warn!(
                ?by,
                "the clock was set back; what waits for its time goes at once"
            );
            *seen = Seen {
                latest: now,
                again: Some((before, now.plus(ON_ITS_WAY))),
            };
            self.forget_times_after(before).await;
            return;
        }
        seen.latest = before.max(now);
        if let Some((before, _)) = seen.again.take_if(|(_, at)| *at <= now) {
            self.forget_times_after(before).await;
        }
    }

    async fn forget_times_after(&self, before: Timestamp) {
        self.hasten_all().await;
        if let Err(error) = self.await_by_new_clock(before).await {
            tracing::error!(%error, "what awaits its answer awaits it by the clock of before");
        }
    }

    /// Whether an item waits for longer than any pause: it was scheduled by another clock.
    pub(super) fn is_out_of_reach(&self, item: &OutboxItem, now: Timestamp) -> bool {
        // Jitter adds less than a half.
        let (_, longest) = self.retries(&item.lane.queue);
        let farthest = now.plus(longest.mul_f32(1.5) + TOLERATED);
        matches!(item.place, Place::Scheduled { due } if due > farthest)
    }

    /// What awaits its answer until a time of the clock of before has as much left as that clock said.
    async fn await_by_new_clock(&self, before: Timestamp) -> Result<(), StoreError> {
        let now = self.now();
        // Half-way between the clocks: what has come since awaits its answer before that.
        let between = now.plus(now.until(before) / 2);
        let filter = QueueFilter {
            place: Some(PlaceName::Awaiting),
            ..QueueFilter::default()
        };
        let mut after = None;
        loop {
            let page = self.store.items(&filter, after, PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(last.id);
            for item in &page {
                let Place::Awaiting { until } = item.place else {
                    continue;
                };
                if until <= between {
                    continue;
                }
                let settle = Settle::Unsure {
                    due: now.plus(before.until(until)),
                    failure: "the clock was set back while its answer was awaited".into(),
                };
                self.store.commit(Batch::new(now).settle(item.id, settle)).await?;
            }
        }
    }

    /// Everything that is scheduled is due now.
    pub(super) async fn hasten_all(&self) {
        let batch = Batch {
            all_due_now: true,
            ..Batch::new(self.now())
        };
        if let Err(error) = self.store.commit(batch).await {
            tracing::error!(%error, "what waits could not be hastened");
        }
    }
}

/// What a clock may be corrected by without a word: nothing waits noticeably longer for it.
const TOLERATED: Duration = Duration::from_secs(2);
/// Longer than what was on its way into the store takes to get there.
const ON_ITS_WAY: Duration = Duration::from_secs(5);
/// Items that are read at once.
const PAGE: usize = 1000;
