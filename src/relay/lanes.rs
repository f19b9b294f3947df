//! Conversations with something waiting, known in memory, so that later messages queue behind without asking the store.
//!
//! "Nothing waits" is certain, because every item enters before its commit. "Something waits" may be out of date: an
//! operator discards and redirects items in the store. So it is confirmed there, which costs only those who would wait.
//! Where other nodes write to the store too, "nothing waits" is asked there as well.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use super::Relay;
use crate::{
    model::WvAddress,
    store::{Lane, OutboxItem, Place, QueueFilter},
};

/// The lanes, with how many items of each are known to wait.
#[derive(Debug, Default)]
pub(super) struct WaitingLanes(Mutex<Lanes>);

#[derive(Debug, Default)]
struct Lanes {
    /// Under (conversation, queue).
    waiting: BTreeMap<(String, String), Waiting>,
    changes: u64,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Waiting {
    /// Committed.
    count: u32,
    /// On their way into the store.
    entering: u32,
    /// Which change of all lanes was its last, so that an answer of the store is not taken for a later state.
    changed: u64,
}

impl WaitingLanes {
    /// An item is about to be committed.
    pub(super) fn enter(&self, lane: &Lane) {
        self.change(lane, |waiting| waiting.entering += 1);
    }

    /// The item that was about to be is committed.
    pub(super) fn entered(&self, lane: &Lane) {
        self.change(lane, |waiting| {
            waiting.entering = waiting.entering.saturating_sub(1);
            waiting.count += 1;
        });
    }

    /// The item that was about to be committed is not.
    pub(super) fn not_entered(&self, lane: &Lane) {
        self.change(lane, |waiting| {
            waiting.entering = waiting.entering.saturating_sub(1)
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

    /// An item has left the store, or nobody waits behind it any more.
    pub(super) fn leave(&self, lane: &Lane) {
        self.change(lane, |waiting| waiting.count = waiting.count.saturating_sub(1));
    }

    fn is_empty(&self) -> bool {
        self.with(|lanes| lanes.waiting.is_empty())
    }

    /// A lane in which this conversation waits.
    fn of(&self, conversation: &str) -> Option<(Lane, Waiting)> {
        self.with(|lanes| {
            let from = (conversation.to_owned(), String::new());
            let ((conversation, queue), waiting) = lanes
                .waiting
                .range(from..)
                .next()
                .filter(|((found, _), _)| found == conversation)?;
            let lane = Lane {
                queue: queue.clone(),
                conversation: conversation.clone(),
            };
            Some((lane, *waiting))
        })
    }

    /// Forgets a lane that the store says is empty; `false` when it has changed since.
    fn forget(&self, lane: &Lane, as_of: Waiting) -> bool {
        self.with(|lanes| {
            let key = key(lane);
            let is_unchanged = lanes.waiting.get(&key).is_none_or(|waiting| *waiting == as_of);
            if is_unchanged {
                lanes.waiting.remove(&key);
            }
            is_unchanged
        })
    }

    fn change(&self, lane: &Lane, change: impl FnOnce(&mut Waiting)) {
        self.with(|lanes| {
            lanes.changes += 1;
            let key = key(lane);
            let waiting = lanes.waiting.entry(key.clone()).or_default();
            waiting.changed = lanes.changes;
            change(waiting);
            if waiting.count == 0 && waiting.entering == 0 {
                lanes.waiting.remove(&key);
            }
        });
    }

    fn with<T>(&self, work: impl FnOnce(&mut Lanes) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
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
        self.lanes.not_entered(&self.lane);
    }
}

impl Relay {
    /// The lane in which something waits that this person said to that one earlier, whoever was to serve him then.
    pub(super) async fn waits_in(&self, sender: &WvAddress, recipient: &WvAddress) -> Option<Lane> {
        if self.waiting.is_empty() && !self.shares_store {
            return None;
        }
        self.lane_of(&conversation(sender, recipient)).await
    }

    /// The lane in which something of this conversation waits.
    pub(super) async fn lane_of(&self, conversation: &str) -> Option<Lane> {
        loop {
            let Some((lane, waiting)) = self.waiting.of(conversation) else {
                return self.lane_of_others(conversation).await;
            };
            if waiting.entering > 0 {
                return Some(lane);
            }
            // A store that can't be read is met again at the journal.
            let is_empty = matches!(self.store.is_waiting(&lane).await, Ok(false));
            if !is_empty || !self.waiting.forget(&lane, waiting) {
                return Some(lane);
            }
        }
    }

    /// As [`Relay::lane_of`], of what other nodes have stored. What waits is labelled with whom it is for.
    async fn lane_of_others(&self, conversation: &str) -> Option<Lane> {
        if !self.shares_store {
            return None;
        }
        let (_, recipient) = conversation.rsplit_once('>')?;
        let filter = QueueFilter {
            label: Some(recipient.to_owned()),
            ..QueueFilter::default()
        };
        let mut after = None;
        loop {
            // A store that can't be read is met again at the journal.
            let page = self.store.items(&filter, after, PAGE).await.ok()?;
            let waits = |item: &&OutboxItem| {
                item.lane.conversation == conversation && !matches!(item.place, Place::Dead { .. })
            };
            if let Some(item) = page.iter().find(waits) {
                return Some(item.lane.clone());
            }
            after = Some(page.last().filter(|_| page.len() == PAGE)?.id);
        }
    }

    /// The lane for something that waits from now on: behind what waits already, else in the queue of its serving side.
    pub(super) async fn lane(&self, queue: &str, sender: &WvAddress, recipient: &WvAddress) -> Lane {
        if let Some(lane) = self.waits_in(sender, recipient).await {
            return lane;
        }
        Lane {
            queue: queue.to_owned(),
            conversation: conversation(sender, recipient),
        }
    }
}

/// The unit of order: what one person says to another.
pub(super) fn conversation(sender: &WvAddress, recipient: &WvAddress) -> String {
    [&*sender.key(), ">", &*recipient.key()].concat()
}

fn key(lane: &Lane) -> (String, String) {
    (lane.conversation.clone(), lane.queue.clone())
}

/// Items that are read at once.
const PAGE: usize = 64;
/// The queue of what has no serving domain yet.
pub(super) const UNROUTED: &str = "unrouted";
