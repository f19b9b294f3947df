//! How much goes to one peer: deliveries under way and deliveries a second, learnt from how it answers.
//!
//! Both limits grow by a little with each delivery that goes well and are halved when one goes badly (additive increase,
//! multiplicative decrease, as in RFC 5681 §3.1), between one and this node's part of what the agreement allows. What had begun before a cut
//! can't cut again, so that one hiccup which fails a thousand deliveries counts once. No I/O and no clock: `now` is passed in.

use std::time::Duration;

use super::share::Share;
use crate::model::Timestamp;

/// The most that this node may: its part of what the agreement allows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Bounds {
    /// Deliveries under way; at least 1.
    pub(super) in_flight: u32,
    /// Deliveries a second; at least 1.
    pub(super) per_second: u32,
    /// Which part it is.
    pub(super) share: Share,
}

/// What may go to one peer now.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    bounds: Bounds,
    /// So many may be under way; a fraction is what has grown towards the next.
    window: f64,
    /// So many may begin a second.
    rate: f64,
    in_flight: u32,
    /// What may begin before the rate is looked at again; at most what a second brings.
    tokens: f64,
    refilled: Timestamp,
    /// How often the limits were halved.
    cuts: u64,
    counted: Counted,
}

/// A delivery that has begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    /// As many cuts had been made by then.
    cuts: u64,
}

/// How a delivery went, for the peer as a whole.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Went {
    /// The peer answered in good time.
    Well,
    /// It was slow, refused with a status that says so, reset the connection, or could not be reached.
    Badly,
    /// It says nothing about the peer.
    Unsaid,
}

/// How a pace stands, for people.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Standing {
    pub(super) in_flight: u32,
    pub(super) window: u32,
    pub(super) per_second: u32,
    /// Whether either limit is below this node's part of what the agreement allows.
    pub(super) is_cut: bool,
}

impl Pace {
    /// As fast as the agreement allows.
    pub(super) fn new(bounds: Bounds, now: Timestamp) -> Self {
        let rate = f64::from(bounds.per_second);
        Self {
            bounds,
            window: f64::from(bounds.in_flight),
            rate,
            in_flight: 0,
            tokens: rate,
            refilled: now,
            cuts: 0,
            counted: Counted::new(now),
        }
    }

    /// Begins a delivery, when there is room for one.
    pub(super) fn begin(&mut self, now: Timestamp) -> Option<Ticket> {
        self.refill(now);
        if self.room_by_now() == 0 {
            return None;
        }
        self.in_flight += 1;
        self.tokens -= 1.0;
        self.counted.begun(now);
        Some(Ticket { cuts: self.cuts })
    }

    /// A delivery has ended.
    pub(super) fn end(&mut self, ticket: Ticket, went: Went, now: Timestamp) {
        match went {
            Went::Well => self.grow(),
            Went::Badly if ticket.cuts == self.cuts => self.cut(now),
            Went::Badly | Went::Unsaid => {}
        }
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// The agreement or the part of it has changed; what was learnt stays, as far as it allows. It was learnt of the peer, so
    /// with another part of the agreement this node has another part of it too.
    pub(super) fn bound(&mut self, bounds: Bounds) {
        if self.bounds == bounds {
            return;
        }
        let was_cut = self.is_cut();
        let before = std::mem::replace(&mut self.bounds, bounds);
        let (window, rate) = (f64::from(bounds.in_flight), f64::from(bounds.per_second));
        if was_cut {
            if before.share != bounds.share {
                self.window *= window / f64::from(before.in_flight);
                self.rate *= rate / f64::from(before.per_second);
            }
            (self.window, self.rate) = (self.window.clamp(1.0, window), self.rate.clamp(1.0, rate));
        } else {
            (self.window, self.rate) = (window, rate);
        }
        self.tokens = self.tokens.min(self.rate.max(1.0));
    }

    /// The peer has opened a session: it is worth more than a probe.
    pub(super) fn is_back(&mut self) {
        self.window = self.window.max(restart(self.bounds.in_flight));
        self.rate = self.rate.max(restart(self.bounds.per_second));
    }

    /// How many may begin now.
    pub(super) fn room(&mut self, now: Timestamp) -> usize {
        self.refill(now);
        self.room_by_now()
    }

    /// How long until the rate lets one begin; zero when it is not the rate that holds it up.
    pub(super) fn until_token(&self) -> Duration {
        let missing = (1.0 - self.tokens).max(0.0);
        Duration::from_secs_f64(missing / self.rate)
    }

    pub(super) fn standing(&self) -> Standing {
        Standing {
            in_flight: self.in_flight,
            window: self.window as u32,
            per_second: self.rate as u32,
            is_cut: self.is_cut(),
        }
    }

    fn is_cut(&self) -> bool {
        self.window < f64::from(self.bounds.in_flight) || self.rate < f64::from(self.bounds.per_second)
    }

    fn room_by_now(&self) -> usize {
        let by_window = (self.window as u32).saturating_sub(self.in_flight);
        by_window.min(self.tokens as u32) as usize
    }

    fn refill(&mut self, now: Timestamp) {
        // A clock that was set back says nothing about how much time has passed.
        let passed = self.refilled.until(now).as_secs_f64();
        self.refilled = now;
        self.tokens = (self.tokens + passed * self.rate).min(self.rate.max(1.0));
    }

    fn grow(&mut self) {
        self.window = grown(self.window, self.bounds.in_flight);
        self.rate = grown(self.rate, self.bounds.per_second);
    }

    /// Half of what was in use, because a limit that nobody comes near is no measure of the peer.
    fn cut(&mut self, now: Timestamp) {
        let in_use = |count: u32, most: u32| f64::from(count).max(restart(most));
        let under_way = in_use(self.in_flight, self.bounds.in_flight);
        let begun = in_use(self.counted.a_second(now), self.bounds.per_second);
        self.window = (self.window.min(under_way) / 2.0).max(1.0);
        self.rate = (self.rate.min(begun) / 2.0).max(1.0);
        self.tokens = self.tokens.min(self.rate);
        self.cuts += 1;
    }
}

/// How many began in the second under way and in the one before it.
#[derive(Clone, Copy, Debug)]
struct Counted {
    since: Timestamp,
    begun: u32,
    before: u32,
}

impl Counted {
    fn new(now: Timestamp) -> Self {
        Self {
            since: now,
            begun: 0,
            before: 0,
        }
    }

    fn begun(&mut self, now: Timestamp) {
        let passed = self.since.until(now);
        if passed >= SECOND || now < self.since {
            let is_next = passed < SECOND * 2;
            self.before = if is_next { self.begun } else { 0 };
            (self.since, self.begun) = (now, 0);
        }
        self.begun = self.begun.saturating_add(1);
    }

    fn a_second(&self, now: Timestamp) -> u32 {
        if self.since.until(now) > SECOND * 2 {
            return 0;
        }
        self.begun.max(self.before)
    }
}

/// A limit after one more delivery that went well: doubled by a window of them while it is small, then a hundredth of the most.
fn grown(limit: f64, most: u32) -> f64 {
    let most = f64::from(most);
    let step = (most / STEPS).max(1.0);
    (limit + (step / limit).min(1.0)).min(most)
}

/// Where a limit begins when nothing is known; the first cuts begin at twice its half, whatever the agreement allows.
fn restart(most: u32) -> f64 {
    (f64::from(most) / RESTART).max(1.0)
}

const SECOND: Duration = Duration::from_secs(1);
/// Windows of deliveries that go well between nothing and the most.
const STEPS: f64 = 100.0;
/// The part of the most that is taken for a fair try.
const RESTART: f64 = 64.0;

#[cfg(test)]
mod tests;
