//! What NOC staff do to routing while it runs: overrides, looking into the caches, flushing them.
//!
//! Most of these walk whole caches, which takes a while: on a thread that may block, so that messages go on beside it. Those
//! that are not asynchronous are for such a thread.

use std::sync::{Arc, PoisonError};

use tokio::sync::MutexGuard;

use super::{
    Router,
    cache::{CacheEntry, CacheFilter, Digits, list},
    fact::Question,
    overrides::{Override, Overrides, Selector},
    router::Shared,
};
use crate::model::Timestamp;

impl Router {
    /// The overrides in force.
    #[must_use]
    pub fn overrides(&self) -> Vec<Override> {
        let now = self.shared.clock.now();
        let mut all = self.shared.overrides.load().all();
        all.retain(|one| one.is_in_force(now));
        all
    }

    /// The turn to change overrides, for whoever keeps them elsewhere too: held over both changes, so that of two who change
    /// the same one the same is last in both places.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn override_turn(&self) -> MutexGuard<'_, ()> {
        self.shared.override_turn.lock().await
    }

    /// Replaces all overrides, as at the start. Walks whole caches, so it may block for a while.
    pub fn load_overrides(&self, all: Vec<Override>) {
        let table = Overrides::new(all);
        let changed = self.change_overrides(|overrides| {
            let mut selectors: Vec<Selector> = overrides.all().into_iter().map(|one| one.selector).collect();
            *overrides = table;
            selectors.extend(overrides.all().into_iter().map(|one| one.selector));
            selectors
        });
        for selector in &changed {
            self.shared.forget_routes(selector);
        }
    }

    /// Adds an override; one of the same selector is replaced and returned. It holds from the next route on. Walks whole
    /// caches, so it may block for a while.
    pub fn add_override(&self, one: Override) -> Option<Override> {
        let selector = one.selector.clone();
        let before = self.change_overrides(|overrides| overrides.add(one));
        self.shared.forget_routes(&selector);
        before
    }

    /// Removes an override; returns it when there was one. Walks whole caches, so it may block for a while.
    pub fn remove_override(&self, selector: &Selector) -> Option<Override> {
        let before = self.change_overrides(|overrides| overrides.remove(selector));
        self.shared.forget_routes(selector);
        before
    }

    /// Up to `limit` entries of the caches that are meant: numbers, then domains, then answers.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn cache_entries(&self, filter: CacheFilter, limit: usize, now: Timestamp) -> Vec<CacheEntry> {
        self.beside(move |shared| {
            let view = |question: &Question| shared.view(question).name().to_owned();
            list(&shared.facts, &shared.routes, view, &filter, limit, now)
        })
        .await
    }

    /// Forgets the entries that are meant; returns how many there were.
    ///
    /// # Cancel safety
    /// What was forgotten so far stays forgotten.
    pub async fn flush_cache(&self, filter: CacheFilter, now: Timestamp) -> usize {
        let (facts, mut count) = self
            .beside(move |shared| {
                let meant = shared.facts.all();
                let meant = meant.filter(|(question, fact)| filter.of_fact(question, fact, now).is_some());
                let facts: Vec<Arc<Question>> = meant.map(|(question, _)| question).collect();
                (facts, shared.flush_routes(&filter, now))
            })
            .await;
        for question in facts {
            self.shared.facts.forget(&question).await;
            tokio::task::consume_budget().await;
            count += 1;
        }
        count
    }

    /// Runs a walk on a thread that may block.
    async fn beside<T: Default + Send + 'static>(
        &self,
        walk: impl FnOnce(&Shared) -> T + Send + 'static,
    ) -> T {
        let shared = Arc::clone(&self.shared);
        let walked = tokio::task::spawn_blocking(move || walk(&shared)).await;
        // It fails only when the runtime ends, and then nobody is left to tell.
        walked.unwrap_or_default()
    }

    fn change_overrides<T>(&self, change: impl FnOnce(&mut Overrides) -> T) -> T {
        let _writing = self.shared.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut overrides = Overrides::clone(&self.shared.overrides.load());
        overrides.prune(self.shared.clock.now());
        let result = change(&mut overrides);
        self.shared.overrides.store(Arc::new(overrides));
        result
    }
}

impl Shared {
    fn flush_routes(&self, filter: &CacheFilter, now: Timestamp) -> usize {
        let mut count = 0;
        for (key, slot) in self.routes.domains() {
            if filter.of_slot(&key, &slot, now).is_some() {
                slot.forget();
                count += 1;
            }
        }
        for (key, entry) in self.routes.numbers() {
            if filter.of_number(*key, &entry, now).is_some() {
                self.routes.forget_number(*key);
                count += 1;
            }
        }
        count
    }

    /// Forgets what was decided on those that a selector is about; facts stay.
    fn forget_routes(&self, selector: &Selector) {
        match selector {
            Selector::Number(prefix) => {
                let Some(prefix) = Digits::of(prefix.digits()) else {
                    return;
                };
                for (key, _) in self.routes.numbers() {
                    if key.digits().begins_with(prefix) {
                        self.routes.forget_number(*key);
                    }
                }
            }
            Selector::Domain(domain) => {
                for (key, slot) in self.routes.domains() {
                    if key.domain.is_within(domain) {
                        slot.forget();
                    }
                }
                // A number may have passed the domain by because it had nothing.
                for (key, entry) in self.routes.numbers() {
                    let extra = entry.target.extra();
                    if extra.is_some_and(|extra| extra.skipped.iter().any(|one| one.is_within(domain))) {
                        self.routes.forget_number(*key);
                    }
                }
            }
        }
    }
}
