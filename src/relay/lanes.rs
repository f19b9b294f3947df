//! Conversations with something waiting, known in memory, so that later messages queue behind without asking the store.
//!
//! "Nothing waits" is certain, because every item enters before its commit. "Something waits" may be out of date, so it is
//! confirmed in the store, which costs only those who would wait. Where other nodes write to the store too, "nothing waits" is
//! asked there as well. What is kept has a fixed size however much waits, but for what is on its way into the store.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, PoisonError},
};

use super::{Ingress, Relay, filter::Filters, send::refused_by_store};
use crate::{
    model::{Refusal, WvAddress},
    store::{Lane, StoreError},
};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct WaitingLanes {
    /// Lanes into which something is being committed, with how many, under (conversation, queue).
    entering: Mutex<BTreeMap<(String, String), u32>>,
    /// Conversations of which something may be in the store.
    stored: Filters,
    /// Two hashes that nobody outside can foresee.
    hashes: (RandomState, RandomState),
}

impl WaitingLanes {
    /// An item is about to be committed.
    pub(super) fn enter(&self, lane: &Lane) {
        self.stored.enter(self.hash_of(&lane.conversation));
        self.with(|entering| *entering.entry(key(lane)).or_default() += 1);
    }

    /// The item that was about to be is committed, or is not.
    pub(super) fn entered(&self, lane: &Lane) {
        self.with(|entering| {
            let key = key(lane);
            if let Some(count) = entering.get_mut(&key) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    entering.remove(&key);
                }
            }
        });
    }

    /// Something will be committed to this lane, or given up, before the value is dropped.
    pub(super) fn entering(&self, lane: &Lane) -> Entering<'_> {
        self.enter(lane);
        Entering {
            lanes: self,
            lane: lane.clone(),
        }
    }

    /// A lane of this conversation into which something is being committed.
    fn being_entered(&self, conversation: &str) -> Option<Lane> {
        self.with(|entering| {
            let from = (conversation.to_owned(), String::new());
            let ((conversation, queue), _) = entering
                .range(from..)
                .next()
                .filter(|((found, _), _)| found == conversation)?;
            Some(Lane {
                queue: queue.clone(),
                conversation: conversation.clone(),
            })
        })
    }

    fn may_be_stored(&self, conversation: &str) -> bool {
        self.stored.may_hold(self.hash_of(conversation))
    }

    fn hash_of(&self, conversation: &str) -> u128 {
        let (high, low) = &self.hashes;
        (u128::from(high.hash_one(conversation)) << 64) | u128::from(low.hash_one(conversation))
    }

    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<(String, String), u32>) -> T) -> T {
        work(&mut self.entering.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Something is on its way into a lane, so that what comes later queues behind it.
#[derive(Debug)]
pub(super) struct Entering<'a> {
    lanes: &'a WaitingLanes,
    lane: Lane,
}

impl Drop for Entering<'_> {
    fn drop(&mut self) {
        self.lanes.entered(&self.lane);
    }
}

impl Relay {
    /// Reads which conversations wait, after a start and when what is known of them is full of old ones; called every minute or
    /// so.
    ///
    /// # Errors
    /// The store's words, when it can't be read; what is known stays as it is until the next try.
    pub async fn learn_lanes(&self) -> Result<(), Refusal> {
        let stored = &self.waiting.stored;
        if self.shares_store || !stored.is_to_be_filled(self.now()) {
            return Ok(());
        }
        let fresh = stored.begin_filling(self.now());
        let mut after = None;
        loop {
            let lanes = self
                .store
                .lanes(after.as_ref(), PAGE)
                .await
                .map_err(refused_by_store)?;
            for lane in &lanes {
                fresh.enter(self.waiting.hash_of(&lane.conversation));
            }
            let Some(last) = lanes.into_iter().last() else {
                break;
            };
            after = Some(last);
        }
        stored.complete(&fresh);
        Ok(())
    }

    /// Whether what this person says to that one must wait behind something that was said earlier, whoever was to serve him then.
    pub(super) async fn must_wait(
        &self,
        ingress: &Ingress,
        sender: &WvAddress,
        recipient: &WvAddress,
    ) -> bool {
        // As a rule nothing waits anywhere, and then nobody asks who says what to whom. Whatever is entering is in the filter.
        if !self.shares_store && self.waiting.stored.is_empty() {
            return false;
        }
        match self.find_lane(&conversation(sender, recipient)).await {
            Ok(lane) => lane.is_some(),
            Err(StoreError::Away { .. }) if ingress.side.is_carried() => false,
            // Whatever waits is not overtaken: a store that can't be read is met again when this one is to be kept.
            Err(_) => true,
        }
    }

    /// The lane in which something of this conversation waits.
    pub(super) async fn lane_of(&self, conversation: &str) -> Option<Lane> {
        self.find_lane(conversation).await.unwrap_or_else(|_| {
            Some(Lane {
                queue: UNROUTED.to_owned(),
                conversation: conversation.to_owned(),
            })
        })
    }

    async fn find_lane(&self, conversation: &str) -> Result<Option<Lane>, StoreError> {
        if let Some(lane) = self.waiting.being_entered(conversation) {
            return Ok(Some(lane));
        }
        if !self.shares_store && !self.waiting.may_be_stored(conversation) {
            return Ok(None);
        }
        let found = self.store.waiting_in(conversation).await;
        found.inspect_err(|error| tracing::warn!(%error, "the store can't say what waits"))
    }

    /// The lane for something that waits from now on: behind what waits already, else in the queue of its serving side.
    pub(super) async fn lane(&self, queue: &str, sender: &WvAddress, recipient: &WvAddress) -> Lane {
        let conversation = conversation(sender, recipient);
        self.lane_of(&conversation).await.unwrap_or_else(|| Lane {
            queue: queue.to_owned(),
            conversation,
        })
    }
}

/// The unit of order: what one person says to another.
pub(super) fn conversation(sender: &WvAddress, recipient: &WvAddress) -> String {
    [&*sender.key(), ">", &*recipient.key()].concat()
}

fn key(lane: &Lane) -> (String, String) {
    (lane.conversation.clone(), lane.queue.clone())
}

/// The queue of what has no serving domain yet.
pub(super) const UNROUTED: &str = "unrouted";
/// Lanes read at once.
const PAGE: usize = 1000;
