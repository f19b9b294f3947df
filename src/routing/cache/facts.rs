//! The cache of facts: one flight per question, expiry by the record's own TTL, stale answers when DNS is down.
//!
//! Death is a time in the fact and is compared to the caller's `now`, so a fact dies to the second and a test can move
//! time. moka bounds the memory and lets one caller ask for all who want the same; its own clock only sweeps up what is
//! long dead.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use moka::{Expiry, future::Cache};
use tokio::time::Instant;

use crate::{
    model::{FactSource, Timestamp},
    routing::{
        config::CacheConfig,
        fact::{Fact, Finding, Kind, Question},
        lookup::{Asker, Caps, View},
    },
};

/// DNS answers by question.
#[derive(Debug)]
pub(in crate::routing) struct Facts {
    cache: Cache<Question, Arc<Fact>>,
}

/// How one question is asked.
#[derive(Clone, Copy, Debug)]
pub(in crate::routing) struct Terms {
    /// The caller's time.
    pub(in crate::routing) now: Timestamp,
    /// DNS is not waited for longer.
    pub(in crate::routing) deadline: Instant,
    /// An answer past its time may be used when DNS is down.
    pub(in crate::routing) stale: bool,
    /// An answer in the last part of its life counts as dead, unless no new one is to be had.
    pub(in crate::routing) ahead: bool,
}

impl Facts {
    pub(in crate::routing) fn new(config: &CacheConfig) -> Self {
        let cache = Cache::builder()
            .name("facts")
            .max_capacity(config.facts.0)
            .weigher(weight)
            .expire_after(Sweep {
                stale_window: config.stale_window,
            })
            .build();
        Self { cache }
    }

    /// The fact that answers a question, from memory or from DNS, and which of them it was.
    ///
    /// # Cancel safety
    /// Cancel safe: when the caller that asks DNS goes away, the next one who waits asks.
    pub(in crate::routing) async fn get(
        &self,
        question: &Question,
        view: &View,
        asker: &Asker,
        config: &CacheConfig,
        terms: Terms,
    ) -> (Arc<Fact>, FactSource) {
        let mut found = self.once(question, view, asker, config, terms).await;
        for _ in 0..MORE_FLIGHTS {
            // Who asked for us had less time than we have.
            let is_cut = found.1 == FactSource::Cache && found.0.is_cut();
            if !is_cut || terms.deadline <= Instant::now() {
                break;
            }
            found = self.once(question, view, asker, config, terms).await;
        }
        found
    }

    async fn once(
        &self,
        question: &Question,
        view: &View,
        asker: &Asker,
        config: &CacheConfig,
        terms: Terms,
    ) -> (Arc<Fact>, FactSource) {
        let now = terms.now;
        let is_usable = |fact: &Arc<Fact>| {
            fact.is_alive(now) && !(terms.ahead && fact.is_due(now, config.refresh_percent))
        };
        let old = self.cache.get(question).await;
        if let Some(fact) = old.as_ref().filter(|fact| is_usable(fact)) {
            return (Arc::clone(fact), source(fact, FactSource::Cache));
        }
        let substitute = old.and_then(|fact| substitute(question, &fact, config, terms));
        let flight = async {
            // RFC 8767 §5: whoever has a stale answer does not wait for DNS as long as others.
            let deadline = match &substitute {
                Some(_) => terms.deadline.min(Instant::now() + config.stale_wait),
                None => terms.deadline,
            };
            let caps = Caps::of(question.kind, config);
            let fact = asker.ask(view, question, caps, now, deadline).await;
            match substitute {
                Some(substitute) if fact.is_failure() => substitute,
                Some(_) | None => Arc::new(fact),
            }
        };
        let entry = self
            .cache
            .entry_by_ref(question)
            .or_insert_with_if(Box::pin(flight), |fact| !is_usable(fact))
            .await;
        let asked = if entry.is_fresh() {
            FactSource::Dns
        } else {
            FactSource::Cache
        };
        let fact = entry.into_value();
        if !fact.is_alive(now) {
            self.cache.invalidate(question).await;
        }
        let source = source(&fact, asked);
        (fact, source)
    }

    /// Everything that is held, dead or alive; walks the whole cache.
    pub(in crate::routing) fn all(&self) -> impl Iterator<Item = (Arc<Question>, Arc<Fact>)> + '_ {
        self.cache.iter()
    }

    /// Forgets one answer.
    pub(in crate::routing) async fn forget(&self, question: &Question) {
        self.cache.invalidate(question).await;
    }

    /// Answers held and the memory they take, in octets; both lag by what moka has not yet counted.
    pub(in crate::routing) fn size(&self) -> (u64, u64) {
        // The counts lag behind until the cache has done its housekeeping, which is put off when another does it already.
        let _ = self.cache.run_pending_tasks().now_or_never();
        (self.cache.entry_count(), self.cache.weighted_size())
    }
}

/// What takes the place of a failed lookup.
fn substitute(question: &Question, old: &Arc<Fact>, config: &CacheConfig, terms: Terms) -> Option<Arc<Fact>> {
    let now = terms.now;
    if old.is_alive(now) && !old.is_failure() {
        return Some(Arc::clone(old));
    }
    if !may_be_stale(question, old) {
        return None;
    }
    let end = old.stale_since.unwrap_or(old.dies).plus(config.stale_window);
    let dies = now.plus(config.stale_ttl).min(end);
    (terms.stale && now < end).then(|| Arc::new(old.stale(now, dies)))
}

/// Records may, and that a server has addresses of one family only; never that a number or a service is absent, which
/// would send a message by another road.
fn may_be_stale(question: &Question, fact: &Fact) -> bool {
    match fact.finding {
        Finding::Found(_) => true,
        Finding::Absent(_) => matches!(question.kind, Kind::A | Kind::Aaaa),
        Finding::Failed(_) => false,
    }
}

fn source(fact: &Fact, otherwise: FactSource) -> FactSource {
    match fact.stale_since {
        Some(_) => FactSource::Stale,
        None => otherwise,
    }
}

fn weight(question: &Question, fact: &Arc<Fact>) -> u32 {
    let octets = PER_ENTRY + question.name.as_str().len() + fact.weight();
    u32::try_from(octets).unwrap_or(u32::MAX)
}

/// Sweeps up what can't be used any more, not even stale.
struct Sweep {
    stale_window: Duration,
}

impl Sweep {
    fn rest(&self, question: &Question, fact: &Fact) -> Duration {
        let life = fact.fetched.until(fact.dies) + SLACK;
        if may_be_stale(question, fact) {
            life + self.stale_window
        } else {
            life
        }
    }
}

impl Expiry<Question, Arc<Fact>> for Sweep {
    fn expire_after_create(
        &self,
        question: &Question,
        fact: &Arc<Fact>,
        _: std::time::Instant,
    ) -> Option<Duration> {
        Some(self.rest(question, fact))
    }

    fn expire_after_update(
        &self,
        question: &Question,
        fact: &Arc<Fact>,
        _: std::time::Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(self.rest(question, fact))
    }
}

/// What moka and the allocator take for one entry besides the fact itself, measured.
const PER_ENTRY: usize = 520;
/// How often a caller asks again when others' flights ended early.
const MORE_FLIGHTS: usize = 3;
/// Two clocks never agree; nothing is swept up before it is dead by the caller's.
const SLACK: Duration = Duration::from_secs(60);
