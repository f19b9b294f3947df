//! Accounts of ours whose number ENUM leads elsewhere.
//!
//! An active account goes before ENUM, so what ENUM says of it is never needed on the way of a message; it is looked for
//! beside the traffic (`derive`), and what was found is held here for the metric. A conflict ends when ENUM no longer says
//! so, when the account is gone, or when nobody has met it for a day.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::cache::NumberKey;
use crate::model::{Domain, Timestamp};

/// The conflicts that stand.
#[derive(Debug, Default)]
pub(super) struct Conflicts(Mutex<HashMap<NumberKey, Conflict>>);

#[derive(Debug)]
struct Conflict {
    /// Where ENUM leads.
    elsewhere: Domain,
    /// When it was last met.
    met: Timestamp,
}

impl Conflicts {
    /// ENUM leads the number elsewhere; returns whether that is news.
    pub(super) fn meet(&self, key: NumberKey, elsewhere: &Domain, now: Timestamp) -> bool {
        let mut standing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if standing.len() >= MOST && !standing.contains_key(&key) {
            return false;
        }
        let conflict = Conflict {
            elsewhere: elsewhere.clone(),
            met: now,
        };
        let before = standing.insert(key, conflict);
        before.is_none_or(|before| before.elsewhere != *elsewhere)
    }

    /// ENUM and the account agree again, or there is no account.
    pub(super) fn end(&self, key: NumberKey) {
        let mut standing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        standing.remove(&key);
    }

    /// How many stand.
    pub(super) fn count(&self, now: Timestamp) -> u64 {
        let mut standing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        standing.retain(|_, conflict| now < conflict.met.plus(UNMET));
        u64::try_from(standing.len()).unwrap_or(u64::MAX)
    }
}

/// Conflicts that are held; more than that is one mistake in one zone.
const MOST: usize = 10_000;
/// A conflict that nobody met for so long is not known to stand.
const UNMET: Duration = Duration::from_secs(86_400);
