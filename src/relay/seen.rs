//! What is surely new: a filter over recorded identities, so that a new message costs no read of the store.
//!
//! An identity enters after its commit and before its request ends, so a repeat finds it whether the first is under way,
//! finished, or of an earlier run.

use super::{Relay, filter::Filters, send::refused_by_store};
use crate::{model::Refusal, store::Space};

/// The identities that may have been recorded.
#[derive(Debug, Default)]
pub(super) struct SeenFilter(Filters);

impl SeenFilter {
    /// Whether this identity may be recorded; `false` is certain.
    pub(super) fn may_hold(&self, key: &str) -> bool {
        hash_of(key).is_none_or(|hash| self.0.may_hold(hash))
    }

    /// Enters an identity that was recorded, or may have been.
    pub(super) fn enter(&self, key: &str) {
        if let Some(hash) = hash_of(key) {
            self.0.enter(hash);
        }
    }
}

impl Relay {
    /// Reads what is recorded into a fresh filter, after a start and when it has grown full; called every minute or so.
    ///
    /// # Errors
    /// The store's words, when it can't be read; the filter stays as it is until the next try.
    pub async fn learn_seen(&self) -> Result<(), Refusal> {
        if self.shares_store || !self.seen.0.is_to_be_filled(self.now()) {
            return Ok(());
        }
        let fresh = self.seen.0.begin_filling(self.now());
        let mut after: Option<String> = None;
        loop {
            let rows = self
                .store
                .rows(Space::Seen, "", after.as_deref(), PAGE, self.now())
                .await
                .map_err(refused_by_store)?;
            rows.iter()
                .filter_map(|row| hash_of(&row.key))
                .for_each(|hash| fresh.enter(hash));
            let Some(last) = rows.last() else {
                break;
            };
            after = Some(last.key.clone());
        }
        self.seen.0.complete(&fresh);
        Ok(())
    }
}

/// An identity is a hash already; the references that stand among them are none.
fn hash_of(key: &str) -> Option<u128> {
    (key.len() == IDENTITY)
        .then(|| u128::from_str_radix(key, 16).ok())
        .flatten()
}

/// Digits of an identity.
const IDENTITY: usize = 32;
/// Rows read at once.
const PAGE: usize = 1000;
