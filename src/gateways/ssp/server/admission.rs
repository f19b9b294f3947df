//! How many connections there are, in all and from each source, and how much is being read from those that nobody vouches for.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::TurnedAway;

/// Counts connections.
#[derive(Debug)]
pub(super) struct Admission {
    in_all: usize,
    per_source: usize,
    taken: Arc<Mutex<Taken>>,
}

/// A connection's place; free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    source: Source,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    in_all: usize,
    by_source: HashMap<Source, usize>,
}

/// An IPv4 address, or the network part of an IPv6 address: one customer has all of its /64.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Source(u64);

impl Admission {
    pub(super) fn new(in_all: usize, per_source: usize) -> Self {
        Self {
            in_all,
            per_source,
            taken: Arc::default(),
        }
    }

    pub(super) fn admit(&self, address: IpAddr) -> Result<Place, TurnedAway> {
        let source = Source::of(address);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.in_all >= self.in_all {
            return Err(TurnedAway::TooManyConnections);
        }
        let of_source = taken.by_source.entry(source).or_default();
        if *of_source >= self.per_source {
            return Err(TurnedAway::TooManyFromSource);
        }
        *of_source += 1;
        taken.in_all += 1;
        Ok(Place {
            source,
            taken: self.taken.clone(),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.in_all = taken.in_all.saturating_sub(1);
        if let Some(of_source) = taken.by_source.get_mut(&self.source) {
            *of_source = of_source.saturating_sub(1);
            if *of_source == 0 {
                taken.by_source.remove(&self.source);
            }
        }
    }
}

impl Source {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            // The upper half of an IPv6 address is never this small, but for ::/64, which nobody connects from.
            IpAddr::V4(v4) => Self(u64::from(u32::from(v4))),
            IpAddr::V6(v6) => Self((u128::from(v6) >> 64) as u64),
        }
    }
}

/// Room for what is being read, in octets.
#[derive(Debug)]
pub(super) struct Room {
    left: Arc<AtomicUsize>,
}

/// The room that one body takes while it is read; free again when dropped.
#[derive(Debug)]
pub(super) struct Reading {
    left: Arc<AtomicUsize>,
    taken: usize,
}

impl Room {
    pub(super) fn new(octets: usize) -> Self {
        let left = Arc::new(AtomicUsize::new(octets));
        Self { left }
    }

    /// A body of which nothing has come yet.
    pub(super) fn begin(&self) -> Reading {
        Reading {
            left: Arc::clone(&self.left),
            taken: 0,
        }
    }
}

impl Reading {
    /// More has come; `false` when there is no room for it.
    pub(super) fn grows(&mut self, octets: usize) -> bool {
        let take = |left: usize| left.checked_sub(octets);
        let is_taken = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok();
        if is_taken {
            self.taken += octets;
        }
        is_taken
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.left.fetch_add(self.taken, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_shared_by_all_bodies_and_comes_back() {
        let room = Room::new(100);
        let (mut first, mut second) = (room.begin(), room.begin());
        assert!(first.grows(60));
        assert!(!second.grows(60));
        assert!(second.grows(40));
        drop(first);
        assert!(second.grows(60));
        drop(second);
        assert!(room.begin().grows(100));
    }

    #[test]
    fn places_end_in_all_and_by_source_and_come_back() {
        let admission = Admission::new(3, 2);
        let first = admission.admit(ip("192.0.2.1")).expect("a place");
        let _second = admission.admit(ip("192.0.2.1")).expect("a place");
        assert_eq!(
            admission.admit(ip("::ffff:192.0.2.1")).err(),
            Some(TurnedAway::TooManyFromSource)
        );
        let _third = admission.admit(ip("2001:db8::1")).expect("a place");
        assert_eq!(
            admission.admit(ip("2001:db8::2")).err(),
            Some(TurnedAway::TooManyConnections)
        );
        drop(first);
        assert!(admission.admit(ip("192.0.2.1")).is_ok());
    }

    #[test]
    fn ipv6_neighbours_are_one_source() {
        let admission = Admission::new(9, 1);
        let _one = admission.admit(ip("2001:db8::1")).expect("a place");
        assert_eq!(
            admission.admit(ip("2001:db8::2")).err(),
            Some(TurnedAway::TooManyFromSource)
        );
        assert!(admission.admit(ip("2001:db8:0:1::1")).is_ok());
    }

    #[test]
    fn sources_without_connections_are_forgotten() {
        let admission = Admission::new(9, 1);
        drop(admission.admit(ip("192.0.2.1")));
        assert!(admission.taken.lock().expect("not poisoned").by_source.is_empty());
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }
}
