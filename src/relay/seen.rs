//! What is surely new: a filter over recorded identities, so that a new message costs no read of the store.
//!
//! A Bloom filter of fixed size. "Not in it" is certain once everything recorded was read into it, "in it" asks the
//! store; until then everything asks the store. An identity enters after its commit and before its request ends, so a
//! repeat finds it whether the first is under way, finished, or of an earlier run. What expires stays in until the
//! filter is filled anew, hourly at most, once it has grown full. One node per store writes identities; a store
//! shared by nodes must not learn.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use super::{Relay, send::refused_by_store};
use crate::{
    model::{Refusal, Timestamp},
    store::Space,
};

/// The identities that may have been recorded.
pub(super) struct SeenFilter {
    words: Box<[AtomicU64]>,
    is_complete: AtomicBool,
    entered: AtomicU64,
    /// When it was last filled, in milliseconds since 1970.
    filled: AtomicU64,
}

impl SeenFilter {
    /// Whether this identity may be recorded; `false` is certain.
    pub(super) fn may_hold(&self, key: &str) -> bool {
        !self.is_complete.load(Ordering::Acquire) || self.bits(key).all(|(word, bit)| has(word, bit))
    }

    /// Enters an identity that was recorded, or may have been.
    pub(super) fn enter(&self, key: &str) {
        for (word, bit) in self.bits(key) {
            word.fetch_or(bit, Ordering::AcqRel);
        }
        self.entered.fetch_add(1, Ordering::Relaxed);
    }

    /// Everything that was recorded was entered.
    pub(super) fn complete(&self) {
        self.is_complete.store(true, Ordering::Release);
    }

    fn is_to_be_filled(&self, now: Timestamp) -> bool {
        let is_old = Timestamp(self.filled.load(Ordering::Relaxed)).plus(REFILL_AFTER) <= now;
        let is_full = self.entered.load(Ordering::Relaxed) > CAPACITY;
        !self.is_complete.load(Ordering::Acquire) || (is_full && is_old)
    }

    fn begin_filling(&self, now: Timestamp) {
        self.is_complete.store(false, Ordering::Release);
        self.filled.store(now.0, Ordering::Relaxed);
        self.entered.store(0, Ordering::Relaxed);
        for word in &self.words {
            word.store(0, Ordering::Release);
        }
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

impl Default for SeenFilter {
    fn default() -> Self {
        Self {
            words: std::iter::repeat_with(AtomicU64::default).take(WORDS).collect(),
            is_complete: AtomicBool::new(false),
            entered: AtomicU64::new(0),
            filled: AtomicU64::new(0),
        }
    }
}

impl std::fmt::Debug for SeenFilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SeenFilter")
            .field("is_complete", &self.is_complete)
            .field("entered", &self.entered)
            .finish_non_exhaustive()
    }
}

impl Relay {
    /// Reads what is recorded into the filter, after a start and when it has grown full; called every minute or so.
    ///
    /// # Errors
    /// The store's words, when it can't be read; every lookup asks the store until the next try.
    pub async fn learn_seen(&self) -> Result<(), Refusal> {
        if !self.seen.is_to_be_filled(self.now()) {
            return Ok(());
        }
        self.seen.begin_filling(self.now());
        let mut after: Option<String> = None;
        loop {
            let rows = self
                .store
                .rows(Space::Seen, "", after.as_deref(), PAGE, self.now())
                .await
                .map_err(refused_by_store)?;
            rows.iter().for_each(|row| self.seen.enter(&row.key));
            let Some(last) = rows.last() else {
                break;
            };
            after = Some(last.key.clone());
        }
        self.seen.complete();
        Ok(())
    }
}

fn has(word: &AtomicU64, bit: u64) -> bool {
    word.load(Ordering::Acquire) & bit != 0
}

/// 4 MiB.
const WORDS: usize = 1 << 19;
/// With eight bits an identity, one new request in forty asks the store in vain; with four, one in six.
const CAPACITY: u64 = (WORDS as u64 * 64) / 8;
/// Filling reads everything that is recorded.
const REFILL_AFTER: Duration = Duration::from_secs(3600);
/// Rows read at once.
const PAGE: usize = 1000;
