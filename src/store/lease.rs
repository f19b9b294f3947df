//! Named leases: at most one holder at a time, and a fence that tells each holder from the one before.
//!
//! A lease ends by the clock, so a holder that sleeps may wake up without it and not know. What it writes then names
//! the fence under which it was decided, and the store refuses it once somebody else holds the lease. The rule is
//! this file; an engine reads the lease, asks [`Lease::take`], and writes what it says, in one transaction.

use std::time::Duration;

use super::WorkerId;
use crate::model::Timestamp;

/// A lease as it stands in the store. It is never removed, so that its fence is never used twice.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Lease {
    /// Who holds it, or held it last; `None` once that one gave it up.
    pub holder: Option<WorkerId>,
    /// Goes up by one each time the lease begins anew: with another holder, or after it ended; 1 at first.
    pub fence: u64,
    /// When it ends.
    pub until: Timestamp,
}

/// What asking for a lease came to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Leased {
    /// It is held by who asked, for the time that was asked for.
    Held {
        /// What goes into [`super::Batch::fences`] of all that is decided under it.
        fence: u64,
    },
    /// Somebody else holds it.
    By {
        /// Who.
        holder: WorkerId,
        /// That one's fence.
        fence: u64,
        /// How long it lasts unless it is renewed.
        left: Duration,
    },
}

/// A lease that somebody holds now, as it is listed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HeldLease {
    /// Its name.
    pub name: String,
    /// Who holds it.
    pub holder: WorkerId,
    /// Under which fence.
    pub fence: u64,
    /// How long it lasts unless it is renewed.
    pub left: Duration,
}

impl Lease {
    /// Takes or renews a lease: what the caller is told, and the lease to write when it was given.
    #[must_use]
    pub fn take(
        stands: Option<&Self>,
        by: &WorkerId,
        ttl: Duration,
        now: Timestamp,
    ) -> (Leased, Option<Self>) {
        let fence = match stands {
            None => 1,
            Some(lease) => match lease.held_by(now) {
                Some(holder) if holder == by => lease.fence,
                Some(holder) => return (lease.refusal(holder.clone(), now), None),
                None => lease.fence.saturating_add(1),
            },
        };
        let taken = Self {
            holder: Some(by.clone()),
            fence,
            until: now.plus(ttl),
        };
        (Leased::Held { fence }, Some(taken))
    }

    /// The lease after this one gave it up; `None` when it holds nothing that it could give up.
    #[must_use]
    pub fn give_up(&self, by: &WorkerId) -> Option<Self> {
        (self.holder.as_ref() == Some(by)).then(|| Self {
            holder: None,
            ..self.clone()
        })
    }

    /// Whether what was decided under this fence may still be written. An ended lease counts until somebody takes it:
    /// nobody else has decided anything meanwhile.
    #[must_use]
    pub fn admits(stands: Option<&Self>, fence: u64) -> bool {
        stands.is_some_and(|lease| lease.fence == fence)
    }

    /// Who holds it now.
    #[must_use]
    pub fn held_by(&self, now: Timestamp) -> Option<&WorkerId> {
        self.holder.as_ref().filter(|_| self.until > now)
    }

    fn refusal(&self, holder: WorkerId, now: Timestamp) -> Leased {
        Leased::By {
            holder,
            fence: self.fence,
            left: now.until(self.until),
        }
    }
}
