//! How many items each queue has, kept beside the engine, so that a bound costs no counting.

use std::collections::HashMap;

use super::{QueueBound, StoreError};

/// What one batch adds to each queue, and takes.
#[derive(Clone, Debug, Default)]
pub(super) struct Change(HashMap<String, i64>);

impl Change {
    /// An item came to this queue.
    pub(super) fn came(&mut self, queue: &str) {
        self.add(queue, 1);
    }

    /// An item left this queue.
    pub(super) fn left(&mut self, queue: &str) {
        self.add(queue, -1);
    }

    /// So many items came to this queue, or left it.
    pub(super) fn add(&mut self, queue: &str, by: i64) {
        match self.0.get_mut(queue) {
            Some(count) => *count = count.saturating_add(by),
            None => drop(self.0.insert(queue.to_owned(), by)),
        }
    }

    /// What undoes this.
    pub(super) fn reversed(&self) -> Self {
        let reversed = |(queue, by): (&String, &i64)| (queue.clone(), by.saturating_neg());
        Self(self.0.iter().map(reversed).collect())
    }
}

/// The counts and their bounds.
#[derive(Debug)]
pub(super) struct Tally {
    queues: HashMap<String, i64>,
    total: i64,
    max_total: Option<i64>,
    max_queue: Option<i64>,
}

impl Tally {
    /// No items yet, and at most so many in all and in each queue.
    pub(super) fn new(max_total: Option<u64>, max_queue: Option<u64>) -> Self {
        let bound = |bound: Option<u64>| bound.map(|bound| i64::try_from(bound).unwrap_or(i64::MAX));
        Self {
            queues: HashMap::new(),
            total: 0,
            max_total: bound(max_total),
            max_queue: bound(max_queue),
        }
    }

    /// Takes over what was counted.
    pub(super) fn set(&mut self, queues: HashMap<String, i64>) {
        self.total = queues.values().sum();
        self.queues = queues;
    }

    /// Takes over what a batch changed.
    ///
    /// # Errors
    /// [`StoreError::Full`], and nothing is taken over, when a queue that grows would exceed a bound.
    pub(super) fn take(&mut self, change: Change, bounds: &[QueueBound]) -> Result<(), StoreError> {
        let total = self.total.saturating_add(change.0.values().sum());
        if let Some(max) = self.max_total.filter(|max| total > self.total && total > *max) {
            return Err(full(format!("max_items = {max}")));
        }
        for (queue, by) in change.0.iter().filter(|(_, by)| **by > 0) {
            let count = self.queues.get(queue).copied().unwrap_or(0).saturating_add(*by);
            if let Some(max) = self.max_queue.filter(|max| count > *max) {
                return Err(full(format!("max_items_per_queue = {max} of {queue}")));
            }
        }
        for bound in bounds {
            let grown: i64 = bound.queues.iter().filter_map(|queue| change.0.get(queue)).sum();
            let counts = bound.queues.iter().filter_map(|queue| self.queues.get(queue));
            let count = counts.sum::<i64>().saturating_add(grown);
            if grown > 0 && u64::try_from(count).is_ok_and(|count| count > bound.max) {
                return Err(full(bound.clause.clone()));
            }
        }
        self.add(change);
        Ok(())
    }

    /// Takes over what was changed, whatever the bounds are.
    pub(super) fn add(&mut self, change: Change) {
        self.total = self.total.saturating_add(change.0.values().sum());
        for (queue, by) in change.0 {
            let count = self.queues.get(&queue).copied().unwrap_or(0).saturating_add(by);
            // Queues come and go with their peers, so an empty one leaves no entry.
            match count {
                0 => self.queues.remove(&queue),
                count => self.queues.insert(queue, count),
            };
        }
    }
}

/// The refusal of a bound.
pub(super) fn full(bound: String) -> StoreError {
    StoreError::Full { bound }
}
