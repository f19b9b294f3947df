//! Filters that know for certain what a store does not hold, so that asking it costs nothing for what is new.
//!
//! A Bloom filter of fixed size. "Not in it" is certain once everything in the store was read into it, "in it" asks the store;
//! until then everything asks the store. What goes from the store stays in until a fresh filter is filled and takes this one's
//! place, hourly at most, once it has grown full. Only the node that writes all there is may fill one: a store that nodes share is
//! always asked.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::model::Timestamp;

/// What may be in the store, by 128 bits of hash each.
#[derive(Debug, Default)]
pub(super) struct Filters {
    /// What lookups ask.
    current: ArcSwap<Filter>,
    /// What takes its place when everything in the store was read into it.
    filling: ArcSwapOption<Filter>,
}

/// One filter, filled once.
pub(super) struct Filter {
    words: Box<[AtomicU64]>,
    is_complete: AtomicBool,
    entered: AtomicU64,
    /// When its filling began.
    since: Timestamp,
}

impl Filters {
    /// Whether this may be in the store; `false` is certain.
    pub(super) fn may_hold(&self, hash: u128) -> bool {
        self.current.load().may_hold(hash)
    }

    /// Whether there was nothing in the store, and nothing has been written since; `true` is certain.
    pub(super) fn is_empty(&self) -> bool {
        let current = self.current.load();
        current.is_complete.load(Ordering::Acquire) && current.entered.load(Ordering::Acquire) == 0
    }

    /// Enters what was written, or may have been.
    pub(super) fn enter(&self, hash: u128) {
        // In this order: whoever finds no filter being filled was written before one begins, and is read into it, or
        // finds it in place already.
        if let Some(filling) = &*self.filling.load() {
            filling.enter(hash);
        }
        self.current.load().enter(hash);
    }

    /// Begins a fresh filter; what is written from now on enters it as well.
    pub(super) fn begin_filling(&self, now: Timestamp) -> Arc<Filter> {
        let fresh = Arc::new(Filter::new(now));
        self.filling.store(Some(Arc::clone(&fresh)));
        fresh
    }

    /// Everything in the store is in the fresh filter: it takes the place of the old one.
    pub(super) fn complete(&self, fresh: &Arc<Filter>) {
        let is_the_one = self
            .filling
            .load()
            .as_ref()
            .is_some_and(|filling| Arc::ptr_eq(filling, fresh));
        // One that was begun later has heard of everything since.
        if !is_the_one {
            return;
        }
        fresh.is_complete.store(true, Ordering::Release);
        self.current.store(Arc::clone(fresh));
        self.filling.store(None);
    }

    /// Whether a fresh one is due: none is filled yet, or this one is full and old.
    pub(super) fn is_to_be_filled(&self, now: Timestamp) -> bool {
        let current = self.current.load();
        let is_old = current.since.plus(REFILL_AFTER) <= now;
        let is_full = current.entered.load(Ordering::Relaxed) > CAPACITY;
        !current.is_complete.load(Ordering::Acquire) || (is_full && is_old)
    }
}

impl Filter {
    fn new(since: Timestamp) -> Self {
        Self {
            words: std::iter::repeat_with(AtomicU64::default).take(WORDS).collect(),
            is_complete: AtomicBool::new(false),
            entered: AtomicU64::new(0),
            since,
        }
    }

    fn may_hold(&self, hash: u128) -> bool {
        !self.is_complete.load(Ordering::Acquire) || self.bits(hash).all(|(word, bit)| has(word, bit))
    }

    /// Enters one.
    pub(super) fn enter(&self, hash: u128) {
        for (word, bit) in self.bits(hash) {
            word.fetch_or(bit, Ordering::AcqRel);
        }
        self.entered.fetch_add(1, Ordering::Release);
    }

    /// Four bits of each.
    fn bits(&self, hash: u128) -> impl Iterator<Item = (&AtomicU64, u64)> {
        [0_u32, 32, 64, 96].into_iter().filter_map(move |shift| {
            let place = (hash >> shift) as u32;
            let word = self.words.get((place >> 6) as usize % WORDS)?;
            Some((word, 1_u64 << (place & 63)))
        })
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self::new(Timestamp(0))
    }
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Filter")
            .field("is_complete", &self.is_complete)
            .field("entered", &self.entered)
            .finish_non_exhaustive()
    }
}

fn has(word: &AtomicU64, bit: u64) -> bool {
    word.load(Ordering::Acquire) & bit != 0
}

/// 4 MiB.
const WORDS: usize = 1 << 19;
/// With eight bits each, one new in forty asks the store in vain; with four, one in six.
const CAPACITY: u64 = (WORDS as u64 * 64) / 8;
/// Filling reads everything there is.
const REFILL_AFTER: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers as hashes: each bit of one depends on all of the number.
    fn hash(n: u64) -> u128 {
        let spread = |salt: u64| {
            let mixed = (n ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
            u128::from(mixed ^ (mixed >> 29))
        };
        (spread(0x5851_f42d_4c95_7f2d) << 64) | spread(0x1405_7b7e_f767_814f)
    }

    #[test]
    fn filter_takes_many_before_it_asks_often_in_vain() {
        let filter = Filters::default();
        filter.complete(&filter.begin_filling(Timestamp(0)));
        (0..200_000).for_each(|n| filter.enter(hash(n)));
        let in_vain = (200_000..210_000).filter(|n| filter.may_hold(hash(*n))).count();
        assert!(in_vain < 50, "{in_vain} of 10,000");
    }

    #[test]
    fn only_a_filter_that_read_an_empty_store_is_empty() {
        let filter = Filters::default();
        assert!(!filter.is_empty(), "it can't know yet");
        let fresh = filter.begin_filling(Timestamp(0));
        filter.complete(&fresh);
        assert!(filter.is_empty());
        let fresh = filter.begin_filling(Timestamp(1));
        filter.enter(hash(1));
        assert!(!filter.is_empty());
        filter.complete(&fresh);
        assert!(!filter.is_empty(), "it entered the fresh one as well");
    }

    #[test]
    fn nothing_written_is_taken_for_new_while_a_fresh_filter_is_filled() {
        let filter = Filters::default();
        filter.complete(&filter.begin_filling(Timestamp(0)));
        filter.enter(hash(1));
        let fresh = filter.begin_filling(Timestamp(1));
        assert!(filter.may_hold(hash(1)), "the old one still answers");
        assert!(!filter.may_hold(hash(2)), "and does not ask the store for all");
        filter.enter(hash(2));
        assert!(filter.may_hold(hash(2)));
        filter.complete(&fresh);
        assert!(filter.may_hold(hash(2)), "it entered the fresh one as well");
        assert!(!filter.may_hold(hash(1)), "nobody read it into the fresh one");
    }

    #[test]
    fn filling_that_was_begun_anew_does_not_end_with_the_first() {
        let filter = Filters::default();
        let first = filter.begin_filling(Timestamp(0));
        let second = filter.begin_filling(Timestamp(1));
        filter.complete(&first);
        assert!(filter.may_hold(hash(1)), "it can't know yet");
        filter.complete(&second);
        assert!(!filter.may_hold(hash(1)));
    }
}
