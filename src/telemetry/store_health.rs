//! Whether the store takes what it is given, as those who commit to it have seen.
//!
//! One commit that the disk or the database does not take sets it; a small commit may find room where the next does not, so
//! only a probe of some size, which the housekeeping sends while it is set, ends it.

use std::sync::{Mutex, PoisonError};

/// Why the store takes nothing now, when it does not.
#[derive(Debug, Default)]
pub struct StoreHealth(Mutex<Option<String>>);

impl StoreHealth {
    /// A commit failed, for a reason that is not its own; `true` when it is the first.
    pub fn failed(&self, reason: &str) -> bool {
        let mut failing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = failing.is_none();
        *failing = Some(reason.to_owned());
        is_first
    }

    /// A probe was committed.
    pub fn recovered(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Why it takes nothing; `None` while it does.
    #[must_use]
    pub fn failing(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
