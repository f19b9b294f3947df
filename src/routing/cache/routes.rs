//! What facts came to: the plan of each domain, and for each number the domain that it leads to.
//!
//! A plan is made once per domain and shared by its numbers, so when an SRV record dies one slot is filled anew and a
//! million numbers see it. A number's entry is a few words: it points to a slot and holds no trail; how it came about is
//! derived again when somebody asks.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
    time::Duration,
};

use arc_swap::{ArcSwapOption, Guard};
use moka::sync::Cache;

use crate::{
    model::{Domain, E164, Timestamp, WvAddress},
    routing::{
        config::CacheConfig,
        plan::{Alternative, Plan, RouteFailure, RouteService},
    },
};

/// Routes by number and by domain.
#[derive(Debug)]
pub(in crate::routing) struct Routes {
    numbers: Cache<NumberKey, NumberEntry, WordHash>,
    domains: Cache<DomainKey, Arc<Slot>>,
}

/// A number and what it is wanted for, in one word: four bits a digit, since E.164 numbers have at most 15 digits and
/// begin with no zero.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(in crate::routing) struct NumberKey(u64);

/// A domain and what it is wanted for.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(in crate::routing) struct DomainKey {
    pub(in crate::routing) domain: Domain,
    pub(in crate::routing) service: RouteService,
}

/// Where a number leads.
#[derive(Clone, Debug)]
pub(in crate::routing) struct NumberEntry {
    /// From then on it must not be used.
    pub(in crate::routing) dies: Timestamp,
    /// The last part of its life, in milliseconds, in which using it asks for a new one.
    pub(in crate::routing) ahead: u32,
    /// The rules that it was decided under.
    pub(in crate::routing) epoch: u32,
    /// What was decided.
    pub(in crate::routing) target: Target,
    /// What few numbers have.
    pub(in crate::routing) extra: Option<Arc<Extra>>,
}

/// What was decided on a number.
#[derive(Clone, Debug)]
pub(in crate::routing) enum Target {
    /// A domain serves it.
    Domain(Arc<Slot>),
    /// An override says so.
    Fixed(Arc<Plan>),
    /// No apex knows it; the home ranges and the domain as written are still to be asked.
    Absent,
    /// It is not in use.
    Unallocated,
}

/// What few numbers have.
#[derive(Debug)]
pub(in crate::routing) struct Extra {
    /// The name that ENUM gave in place of the number.
    pub(in crate::routing) user: Option<WvAddress>,
    /// Other domains of the same ORDER.
    pub(in crate::routing) alternatives: Option<Arc<[Alternative]>>,
}

/// The place of a domain's plan; numbers point to it.
#[derive(Debug)]
pub(in crate::routing) struct Slot {
    pub(in crate::routing) key: DomainKey,
    decision: ArcSwapOption<DomainDecision>,
}

/// What a domain's facts came to.
#[derive(Debug)]
pub(in crate::routing) struct DomainDecision {
    pub(in crate::routing) outcome: Result<Arc<Plan>, RouteFailure>,
    pub(in crate::routing) epoch: u32,
    pub(in crate::routing) made: Timestamp,
    pub(in crate::routing) dies: Timestamp,
    /// From then on using it asks for a new one.
    pub(in crate::routing) due: Timestamp,
}

impl Routes {
    pub(in crate::routing) fn new(config: &CacheConfig) -> Self {
        Self {
            numbers: Cache::builder()
                .name("numbers")
                .max_capacity(config.numbers)
                .build_with_hasher(WordHash::new()),
            domains: Cache::builder()
                .name("domains")
                .max_capacity(config.domains)
                .build(),
        }
    }

    /// A number's entry while it lives and was decided under these rules.
    pub(in crate::routing) fn number(
        &self,
        key: NumberKey,
        epoch: u32,
        now: Timestamp,
    ) -> Option<NumberEntry> {
        let entry = self.numbers.get(&key)?;
        (now < entry.dies && entry.epoch == epoch).then_some(entry)
    }

    /// Keeps a number's entry, unless it is already dead.
    pub(in crate::routing) fn keep(&self, key: NumberKey, entry: NumberEntry, now: Timestamp) {
        if now < entry.dies {
            self.numbers.insert(key, entry);
        }
    }

    pub(in crate::routing) fn forget_number(&self, key: NumberKey) {
        self.numbers.invalidate(&key);
    }

    /// The slot of a domain, made when there is none.
    pub(in crate::routing) fn slot(&self, key: &DomainKey) -> Arc<Slot> {
        if let Some(slot) = self.domains.get(key) {
            return slot;
        }
        self.domains.get_with_by_ref(key, || {
            Arc::new(Slot {
                key: key.clone(),
                decision: ArcSwapOption::empty(),
            })
        })
    }

    pub(in crate::routing) fn known_slot(&self, key: &DomainKey) -> Option<Arc<Slot>> {
        self.domains.get(key)
    }

    pub(in crate::routing) fn numbers(&self) -> impl Iterator<Item = (Arc<NumberKey>, NumberEntry)> + '_ {
        self.numbers.iter()
    }

    pub(in crate::routing) fn domains(&self) -> impl Iterator<Item = (Arc<DomainKey>, Arc<Slot>)> + '_ {
        self.domains.iter()
    }

    /// Numbers and domains held, without what moka has not yet counted.
    pub(in crate::routing) fn size(&self) -> (u64, u64) {
        // The counts lag behind until the caches have done their housekeeping.
        self.numbers.run_pending_tasks();
        self.domains.run_pending_tasks();
        (self.numbers.entry_count(), self.domains.entry_count())
    }
}

impl NumberKey {
    pub(in crate::routing) fn new(number: &E164, service: RouteService) -> Self {
        let digits = number
            .digits()
            .bytes()
            .fold(0_u64, |packed, digit| packed << 4 | u64::from(digit & 0x0f));
        let service = match service {
            RouteService::Im => 0_u64,
            RouteService::Pres => 1,
            RouteService::Mms => 2,
        };
        Self(digits | service << 60)
    }

    pub(in crate::routing) fn service(self) -> RouteService {
        match self.0 >> 60 {
            0 => RouteService::Im,
            1 => RouteService::Pres,
            _ => RouteService::Mms,
        }
    }

    /// The digits, without the `+`.
    pub(in crate::routing) fn digits(self) -> String {
        format!("{:x}", self.0 & (u64::MAX >> 4))
    }
}

/// Hashes one word under two secrets; a number needs no more, and its look-up is what every message pays.
#[derive(Clone, Debug)]
pub(in crate::routing) struct WordHash {
    secrets: [u64; 2],
    state: u64,
}

impl WordHash {
    fn new() -> Self {
        let secret = || RandomState::new().hash_one(0_u8) | 1;
        Self {
            secrets: [secret(), secret()],
            state: 0,
        }
    }
}

impl BuildHasher for WordHash {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        self.clone()
    }
}

impl Hasher for WordHash {
    fn write_u64(&mut self, word: u64) {
        let [first, second] = self.secrets.map(u128::from);
        let fold = |product: u128| {
            let high = u64::try_from(product >> 64).unwrap_or(0);
            let low = u64::try_from(product & u128::from(u64::MAX)).unwrap_or(0);
            high ^ low
        };
        let mixed = fold((u128::from(word ^ self.state) ^ second) * first);
        self.state = fold((u128::from(mixed) ^ first) * second);
    }

    fn write(&mut self, octets: &[u8]) {
        for octet in octets {
            self.write_u64((*octet).into());
        }
    }

    fn finish(&self) -> u64 {
        self.state
    }
}

impl NumberEntry {
    /// Whether a new one should be asked for.
    pub(in crate::routing) fn is_due(&self, now: Timestamp) -> bool {
        now.0.saturating_add(self.ahead.into()) >= self.dies.0
    }
}

impl Slot {
    /// The decision, while it lives and was made under these rules.
    pub(in crate::routing) fn decision(
        &self,
        epoch: u32,
        now: Timestamp,
    ) -> Option<Guard<Option<Arc<DomainDecision>>>> {
        let decision = self.decision.load();
        let is_current = |one: &Arc<DomainDecision>| now < one.dies && one.epoch == epoch;
        decision.as_ref().is_some_and(is_current).then_some(decision)
    }

    pub(in crate::routing) fn decide(&self, decision: Arc<DomainDecision>) {
        self.decision.store(Some(decision));
    }

    pub(in crate::routing) fn forget(&self) {
        self.decision.store(None);
    }

    pub(in crate::routing) fn last(&self) -> Option<Arc<DomainDecision>> {
        self.decision.load_full()
    }
}

/// The last part of a life.
pub(in crate::routing) fn last_part(made: Timestamp, dies: Timestamp, percent: u8) -> Duration {
    Duration::from_millis(
        made.until(dies)
            .as_secs()
            .saturating_mul(10)
            .saturating_mul(percent.into()),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn number_key_holds_every_digit_and_the_service() {
        for digits in ["4470", "447700900123", "999999999999999", "100000000000000"] {
            for service in [RouteService::Im, RouteService::Pres, RouteService::Mms] {
                let key = NumberKey::new(&format!("+{digits}").parse().unwrap(), service);
                assert_eq!((key.digits().as_str(), key.service()), (digits, service));
            }
        }
    }

    #[test]
    fn neighbouring_numbers_spread_over_the_table() {
        let hash = WordHash::new();
        let hashes: Vec<u64> = (0..100_000_u64).map(|n| hash.hash_one(NumberKey(n))).collect();
        for shift in [0, 20, 40, 54] {
            let buckets: HashSet<u64> = hashes.iter().map(|hash| hash >> shift & 0x3ff).collect();
            assert_eq!(buckets.len(), 1024, "bits from {shift}");
        }
        assert_ne!(
            WordHash::new().hash_one(NumberKey(1)),
            hash.hash_one(NumberKey(1))
        );
    }
}
