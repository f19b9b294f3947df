//! What facts came to: the plan of each domain, and for each number the domain that it leads to.
//!
//! A plan is made once per domain and shared by its numbers, so when an SRV record dies one slot is filled anew and a
//! million numbers see it. A number's entry is a few words: it points to a slot and holds no trail; how it came about is
//! derived again when somebody asks.
//!
//! What peers' DNS says decides how much memory an entry takes, so the bound is in octets. A plan is charged to its domain,
//! and is let go of when the domain is pushed out, whoever still points there; a domain's name is charged to the numbers
//! that share it.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
    time::Duration,
};

use arc_swap::{ArcSwapOption, Guard};
use moka::sync::Cache;

use super::Digits;
use crate::{
    model::{Domain, E164, LocalPart, Timestamp, WvAddress},
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

/// How much is held.
#[derive(Clone, Copy, Debug)]
pub(in crate::routing) struct RoutesSize {
    pub(in crate::routing) numbers: u64,
    pub(in crate::routing) domains: u64,
    /// The memory of both.
    pub(in crate::routing) octets: u64,
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
}

/// What was decided on a number.
#[derive(Clone, Debug)]
pub(in crate::routing) enum Target {
    /// A domain serves it.
    Domain(Arc<Slot>),
    /// A domain serves it, and there is more to say, as of few numbers.
    Named(Arc<Named>),
    /// An override says so.
    Fixed(Arc<Plan>),
    /// No apex knows it; the home ranges and the domain as written are still to be asked.
    Absent,
    /// It is not in use.
    Unallocated,
}

/// A domain that serves a number, and what few numbers have.
#[derive(Debug)]
pub(in crate::routing) struct Named {
    pub(in crate::routing) slot: Arc<Slot>,
    pub(in crate::routing) extra: Extra,
}

/// What few numbers have.
#[derive(Debug, Default)]
pub(in crate::routing) struct Extra {
    /// The name that ENUM gave in place of the number.
    pub(in crate::routing) user: Option<WvAddress>,
    /// Other domains of the same ORDER.
    pub(in crate::routing) alternatives: Option<Arc<[Alternative]>>,
    /// Domains whose records go before, but which had nothing.
    pub(in crate::routing) skipped: Box<[Domain]>,
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
        let config = config.clone();
        let of_domains = config.routes.0 / DOMAINS_PART;
        let of_numbers = config.routes.0 - of_domains;
        Self {
            numbers: Cache::builder()
                .name("numbers")
                .max_capacity(of_numbers)
                .weigher(move |_, entry: &NumberEntry| weight(entry.octets(), of_numbers, config.numbers))
                .build_with_hasher(WordHash::new()),
            domains: Cache::builder()
                .name("domains")
                .max_capacity(of_domains)
                .weigher(move |_, slot: &Arc<Slot>| weight(slot.octets(), of_domains, config.domains))
                .eviction_listener(|_, slot, cause| {
                    if cause.was_evicted() {
                        slot.forget();
                    }
                })
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

    /// Keeps what was decided on a domain, and weighs the domain anew.
    pub(in crate::routing) fn decide(
        &self,
        slot: &Arc<Slot>,
        decision: DomainDecision,
    ) -> Arc<DomainDecision> {
        let decision = Arc::new(decision);
        slot.decision.store(Some(Arc::clone(&decision)));
        self.domains.insert(slot.key.clone(), Arc::clone(slot));
        decision
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

    /// How much is held, without what moka has not yet counted.
    pub(in crate::routing) fn size(&self) -> RoutesSize {
        // The counts lag behind until the caches have done their housekeeping.
        self.numbers.run_pending_tasks();
        self.domains.run_pending_tasks();
        RoutesSize {
            numbers: self.numbers.entry_count(),
            domains: self.domains.entry_count(),
            octets: self.numbers.weighted_size() + self.domains.weighted_size(),
        }
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

    /// The digits, to compare.
    pub(in crate::routing) fn digits(self) -> Digits {
        Digits::unpacked(self.0 & (u64::MAX >> 4))
    }

    /// The digits, without the `+`.
    pub(in crate::routing) fn text(self) -> String {
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

    /// Roughly the memory it takes, with its share of the domain that it points to.
    fn octets(&self) -> usize {
        // The cache, the caller, and this entry twice hold a slot that no other number shares.
        let share = |slot: &Arc<Slot>| slot.own_octets() / Arc::strong_count(slot).saturating_sub(3).max(1);
        PER_NUMBER
            + match &self.target {
                Target::Domain(slot) => share(slot),
                Target::Named(named) => share(&named.slot) + HEAP + named.extra.octets(),
                Target::Fixed(plan) => plan.octets(),
                Target::Absent | Target::Unallocated => 0,
            }
    }
}

impl Target {
    /// A domain, with what more there is to say.
    pub(in crate::routing) fn new(slot: Arc<Slot>, extra: Extra) -> Self {
        if extra.user.is_none() && extra.alternatives.is_none() && extra.skipped.is_empty() {
            Self::Domain(slot)
        } else {
            Self::Named(Arc::new(Named { slot, extra }))
        }
    }

    /// The domain that serves the number.
    pub(in crate::routing) fn slot(&self) -> Option<&Arc<Slot>> {
        match self {
            Self::Domain(slot) => Some(slot),
            Self::Named(named) => Some(&named.slot),
            Self::Fixed(_) | Self::Absent | Self::Unallocated => None,
        }
    }

    /// What few numbers have.
    pub(in crate::routing) fn extra(&self) -> Option<&Extra> {
        match self {
            Self::Named(named) => Some(&named.extra),
            Self::Domain(_) | Self::Fixed(_) | Self::Absent | Self::Unallocated => None,
        }
    }
}

impl Extra {
    fn octets(&self) -> usize {
        let alternatives = self.alternatives.iter().flat_map(|all| all.iter());
        let alternatives = alternatives.map(|one| {
            size_of::<Alternative>() + address_octets(&one.user) + HEAP + one.domain.as_str().len()
        });
        let skipped = self.skipped.iter().map(|domain| HEAP + domain.as_str().len());
        size_of::<Named>()
            + skipped.sum::<usize>()
            + self.user.as_ref().map_or(0, address_octets)
            + alternatives.sum::<usize>()
    }
}

impl DomainDecision {
    fn octets(&self) -> usize {
        let outcome = match &self.outcome {
            Ok(plan) => plan.octets(),
            Err(failure) => failure.to_string().len(),
        };
        size_of::<Self>() + HEAP + outcome
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

    pub(in crate::routing) fn forget(&self) {
        self.decision.store(None);
    }

    pub(in crate::routing) fn last(&self) -> Option<Arc<DomainDecision>> {
        self.decision.load_full()
    }

    /// Roughly the memory that it takes as long as somebody points to it.
    fn own_octets(&self) -> usize {
        size_of::<Self>() + 2 * HEAP + self.key.domain.as_str().len()
    }

    fn octets(&self) -> usize {
        let decision = self.decision.load();
        PER_DOMAIN + self.own_octets() + decision.as_ref().map_or(0, |decision| decision.octets())
    }
}

/// What the heap takes for the text of an address: its parts, each by itself.
fn address_octets(address: &WvAddress) -> usize {
    let resource = address.resource().map_or(0, |resource| HEAP + resource.len());
    let domain = address.domain().map_or(0, |domain| HEAP + domain.as_str().len());
    let local = match address.local() {
        LocalPart::Msisdn(number) => HEAP + number.digits().len(),
        LocalPart::Name(name) => HEAP + name.len(),
        LocalPart::Service => 0,
    };
    local + resource + domain
}

/// The weight of an entry of so many octets in a cache that may hold `octets` and no more than `count` entries.
fn weight(entry: usize, octets: u64, count: u64) -> u32 {
    let least = octets.div_ceil(count.max(1));
    let entry = u64::try_from(entry).unwrap_or(u64::MAX);
    u32::try_from(entry.max(least)).unwrap_or(u32::MAX)
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

/// One of so many parts of the memory for routes is the domains'; the rest is the numbers'.
const DOMAINS_PART: u64 = 16;
/// What moka and the allocator take for a number besides what it points to, measured.
const PER_NUMBER: usize = 300;
/// What they take for a domain.
const PER_DOMAIN: usize = 400;
/// What the allocator and the counts take for one shared piece of memory.
pub(in crate::routing) const HEAP: usize = 32;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn number_key_holds_every_digit_and_the_service() {
        for digits in ["4470", "447700900123", "999999999999999", "100000000000000"] {
            for service in [RouteService::Im, RouteService::Pres, RouteService::Mms] {
                let key = NumberKey::new(&format!("+{digits}").parse().unwrap(), service);
                assert_eq!((key.text().as_str(), key.service()), (digits, service));
                assert_eq!(Some(key.digits()), Digits::of(digits));
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
