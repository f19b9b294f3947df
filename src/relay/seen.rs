//! What is surely new: a filter over recorded identities, so that a new message costs no read of the store.
//!
//! A Bloom filter of fixed size. "Not in it" is certain once everything recorded was read into it, "in it" asks the
//! store; until then everything asks the store. An identity enters after its commit and before its request ends, so a
//! repeat finds it whether the first is under way, finished, or of an earlier run. What expires stays in until a fresh
//! filter is filled and takes this one's place, hourly at most, once it has grown full. One node per store writes
//! identities; a store shared by nodes must not learn.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};

use super::{Relay, send::refused_by_store};
use crate::{
    model::{Refusal, Timestamp},
    store::Space,
};

/// The identities that may have been recorded.
#[derive(Debug, Default)]
pub(super) struct SeenFilter {
    /// What lookups ask.
    current: ArcSwap<Filter>,
    /// What takes its place when everything recorded was read into it.
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

impl SeenFilter {
    /// Whether this identity may be recorded; `false` is certain.
    pub(super) fn may_hold(&self, key: &str) -> bool {
        self.current.load().may_hold(key)
    }

    /// Enters an identity that was recorded, or may have been.
    pub(super) fn enter(&self, key: &str) {
        // In this order: whoever finds no filter being filled was recorded before one begins, and is read into it, or
        // finds it in place already.
        if let Some(filling) = &*self.filling.load() {
            filling.enter(key);
        }
        self.current.load().enter(key);
    }

    /// Begins a fresh filter; what is recorded from now on enters it as well.
    pub(super) fn begin_filling(&self, now: Timestamp) -> Arc<Filter> {
        let fresh = Arc::new(Filter::new(now));
        self.filling.store(Some(Arc::clone(&fresh)));
        fresh
    }

    /// Everything that was recorded is in the fresh filter: it takes the place of the old one.
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

    fn is_to_be_filled(&self, now: Timestamp) -> bool {
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

    fn may_hold(&self, key: &str) -> bool {
        !self.is_complete.load(Ordering::Acquire) || self.bits(key).all(|(word, bit)| has(word, bit))
    }

    /// Enters an identity; the references that stand among them are none.
    pub(super) fn enter(&self, key: &str) {
        if key.len() != IDENTITY {
            return;
        }
        for (word, bit) in self.bits(key) {
            word.fetch_or(bit, Ordering::AcqRel);
        }
        self.entered.fetch_add(1, Ordering::Relaxed);
    }

    /// Four bits of each identity; it is a hash already, so its own digits choose them.
    fn bits(&self, key: &str) -> impl Iterator<Item = (&AtomicU64, u64)> {
        let hash = u128::from_str_radix(key, 16).unwrap_or(0);
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

impl Relay {
    /// Reads what is recorded into a fresh filter, after a start and when it has grown full; called every minute or so.
    ///
    /// # Errors
    /// The store's words, when it can't be read; the filter stays as it is until the next try.
    pub async fn learn_seen(&self) -> Result<(), Refusal> {
        if self.shares_store || !self.seen.is_to_be_filled(self.now()) {
            return Ok(());
        }
        let fresh = self.seen.begin_filling(self.now());
        let mut after: Option<String> = None;
        loop {
            let rows = self
                .store
                .rows(Space::Seen, "", after.as_deref(), PAGE, self.now())
                .await
                .map_err(refused_by_store)?;
            rows.iter().for_each(|row| fresh.enter(&row.key));
            let Some(last) = rows.last() else {
                break;
            };
            after = Some(last.key.clone());
        }
        self.seen.complete(&fresh);
        Ok(())
    }
}

fn has(word: &AtomicU64, bit: u64) -> bool {
    word.load(Ordering::Acquire) & bit != 0
}

/// Digits of an identity.
const IDENTITY: usize = 32;
/// 4 MiB.
const WORDS: usize = 1 << 19;
/// With eight bits an identity, one new request in forty asks the store in vain; with four, one in six.
const CAPACITY: u64 = (WORDS as u64 * 64) / 8;
/// Filling reads everything that is recorded.
const REFILL_AFTER: Duration = Duration::from_secs(3600);
/// Rows read at once.
const PAGE: usize = 1000;
