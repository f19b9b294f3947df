//! What NOC staff do to routing while it runs: overrides, looking into the caches, flushing them.

use std::sync::{Arc, PoisonError};

use super::{
    Router,
    cache::{CacheEntry, CacheFilter, list},
    overrides::{Override, Overrides, Selector},
};
use crate::model::Timestamp;

impl Router {
    /// The overrides in force.
    #[must_use]
    pub fn overrides(&self) -> Vec<Override> {
        self.shared.overrides.load().all()
    }

    /// Replaces all overrides, as at the start.
    pub fn load_overrides(&self, all: Vec<Override>) {
        let table = Overrides::new(all);
        let changed = self.change_overrides(|overrides| {
            let mut selectors: Vec<Selector> = overrides.all().into_iter().map(|one| one.selector).collect();
            *overrides = table;
            selectors.extend(overrides.all().into_iter().map(|one| one.selector));
            selectors
        });
        for selector in &changed {
            self.forget_routes(selector);
        }
    }

    /// Adds an override; one of the same selector is replaced and returned. It holds from the next route on.
    pub fn add_override(&self, one: Override) -> Option<Override> {
        let selector = one.selector.clone();
        let before = self.change_overrides(|overrides| overrides.add(one));
        self.forget_routes(&selector);
        before
    }

    /// Removes an override; returns it when there was one.
    pub fn remove_override(&self, selector: &Selector) -> Option<Override> {
        let before = self.change_overrides(|overrides| overrides.remove(selector));
        self.forget_routes(selector);
        before
    }

    /// Up to `limit` entries of the caches that are meant: numbers, then domains, then answers. Walks whole caches, so
    /// it is for people.
    #[must_use]
    pub fn cache_entries(&self, filter: &CacheFilter, limit: usize, now: Timestamp) -> Vec<CacheEntry> {
        let view = |question: &super::fact::Question| self.shared.view(question).name().to_owned();
        list(&self.shared.facts, &self.shared.routes, view, filter, limit, now)
    }

    /// Forgets the entries that are meant; returns how many there were.
    ///
    /// # Cancel safety
    /// What was forgotten so far stays forgotten.
    pub async fn flush_cache(&self, filter: &CacheFilter, now: Timestamp) -> usize {
        let shared = &*self.shared;
        let mut count = 0;
        let facts: Vec<_> = shared
            .facts
            .all()
            .filter(|(question, fact)| filter.fact(question, fact, "", now).is_some())
            .map(|(question, _)| question)
            .collect();
        for question in facts {
            shared.facts.forget(&question).await;
            count += 1;
        }
        for (key, slot) in shared.routes.domains() {
            if filter.slot(&key, &slot, now).is_some() {
                slot.forget();
                count += 1;
            }
        }
        for (key, entry) in shared.routes.numbers() {
            if filter.number(*key, &entry, now).is_some() {
                shared.routes.forget_number(*key);
                count += 1;
            }
        }
        count
    }

    fn change_overrides<T>(&self, change: impl FnOnce(&mut Overrides) -> T) -> T {
        let _writing = self.shared.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut overrides = Overrides::clone(&self.shared.overrides.load());
        let result = change(&mut overrides);
        self.shared.overrides.store(Arc::new(overrides));
        result
    }

    /// Forgets what was decided on those that a selector is about; facts stay.
    fn forget_routes(&self, selector: &Selector) {
        let routes = &self.shared.routes;
        match selector {
            Selector::Number(prefix) => {
                for (key, _) in routes.numbers() {
                    if key.digits().starts_with(prefix.digits()) {
                        routes.forget_number(*key);
                    }
                }
            }
            Selector::Domain(domain) => {
                for (key, slot) in routes.domains() {
                    if key.domain.is_within(domain) {
                        slot.forget();
                    }
                }
            }
        }
    }
}
