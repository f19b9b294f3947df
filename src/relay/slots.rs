//! The outbox's slots: how many deliveries run at once, and how many of them for one queue.
//!
//! A queue may have up to a quarter of the slots that nobody else has. So one silent peer holds a fifth of them, and each
//! further one less; there is always room for a peer that answers.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// The slots of one outbox.
#[derive(Debug)]
pub(super) struct Slots {
    all: usize,
    taken: Mutex<HashMap<String, usize>>,
}

/// What may be begun now.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Room {
    /// So many deliveries, even when all are of one queue; 0 when every slot is taken.
    pub(super) limit: usize,
    /// Queues that have their share.
    pub(super) full: Vec<String>,
}

impl Room {
    /// What both leave.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.limit = self.limit.min(other.limit);
        self.full.extend(other.full);
        self
    }
}

impl Slots {
    /// So many, and at least one.
    pub(super) fn new(all: usize) -> Arc<Self> {
        Arc::new(Self {
            all: all.max(1),
            taken: Mutex::default(),
        })
    }

    /// What may be begun now.
    pub(super) fn room(&self) -> Room {
        self.with(|taken| {
            let free = self.all.saturating_sub(taken.values().sum());
            let share = (free / SHARES).max(1);
            let full = taken.iter().filter(|(_, count)| **count >= share);
            let open = taken.values().filter(|count| **count < share);
            let most = open.max().copied().unwrap_or(0);
            Room {
                limit: (share - most).min(free),
                full: full.map(|(queue, _)| queue.clone()).collect(),
            }
        })
    }

    /// Takes a slot for a delivery of this queue.
    pub(super) fn take(self: &Arc<Self>, queue: &str) -> Slot {
        self.with(|taken| *taken.entry(queue.to_owned()).or_default() += 1);
        Slot {
            slots: Arc::clone(self),
            queue: queue.to_owned(),
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<String, usize>) -> T) -> T {
        work(&mut self.taken.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A slot; free again when it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    queue: String,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.with(|taken| {
            let Some(count) = taken.get_mut(&self.queue) else {
                return;
            };
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.remove(&self.queue);
            }
        });
    }
}

/// One queue has at most this part of what is free.
const SHARES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes all that this queue may have.
    fn fill(slots: &Arc<Slots>, queue: &str) -> Vec<Slot> {
        let mut taken = Vec::new();
        loop {
            let room = slots.room();
            if room.limit == 0 || room.full.iter().any(|full| full == queue) {
                return taken;
            }
            taken.extend((0..room.limit).map(|_| slots.take(queue)));
        }
    }

    #[test]
    fn queue_has_its_share_and_no_more() {
        let slots = Slots::new(64);
        assert_eq!(
            slots.room(),
            Room {
                limit: 16,
                full: vec![]
            }
        );
        let taken = fill(&slots, "beta");
        assert_eq!(taken.len(), 16);
        assert_eq!(slots.room().full, ["beta"]);
        drop(taken);
        assert_eq!(
            slots.room(),
            Room {
                limit: 16,
                full: vec![]
            }
        );
    }

    #[test]
    fn many_silent_queues_leave_room_for_another() {
        let slots = Slots::new(64);
        let silent: Vec<_> = (0..12).map(|n| fill(&slots, &format!("silent{n}"))).collect();
        assert!(silent.iter().all(|taken| !taken.is_empty()));
        assert!(!fill(&slots, "healthy").is_empty());
    }

    #[test]
    fn no_more_is_begun_than_there_are_slots() {
        for all in [0, 1, 2, 3, 5, 64] {
            let slots = Slots::new(all);
            let taken: Vec<_> = (0..200).map(|n| fill(&slots, &format!("q{n}"))).collect();
            assert_eq!(taken.iter().map(Vec::len).sum::<usize>(), all.max(1));
            assert_eq!(slots.room().limit, 0);
        }
    }
}
