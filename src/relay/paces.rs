//! The paces of all peers: who may be sent something now, who waits for his turn, and what a delivery says of its peer.
//!
//! Only what may wait is paced: messages, notices, notifications and reports. A request of somebody who waits himself finds
//! the peer as slow as it is. What finds no room at once is stored; what comes from the store waits for a moment, and goes
//! before what comes anew.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use tokio::{sync::Notify, time::timeout};

use super::{
    Relay, Undelivered,
    forward::Target,
    pace::{Bounds, Pace, Ticket, Went},
    share::Share,
    slots::Room,
};
use crate::{
    agreement::{Agreements, InterconnectionAgreement},
    model::{Answer, Domain, PeerName, Refusal, Request, Timestamp},
    telemetry::Clock,
};

/// How a peer is paced now, for people.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PaceState {
    /// Deliveries under way.
    pub in_flight: u32,
    /// How many may be.
    pub most_in_flight: u32,
    /// How many may begin a second.
    pub per_second: u32,
    /// Whether either is less than this node's part of what the agreement allows, because the peer is slow or refuses.
    pub is_cut: bool,
    /// Deliveries since the start that the peer was too slow for, refused, or could not be reached for.
    pub failed: u64,
    /// The last of those.
    pub last_failure: Option<PeerFailure>,
}

/// A delivery that went badly through the peer's own fault.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PeerFailure {
    /// When it ended.
    pub at: Timestamp,
    /// What was wrong.
    pub reason: String,
}

/// The paces, by peer.
#[derive(Debug, Default)]
pub(super) struct Paces {
    peers: RwLock<HashMap<PeerName, Arc<PeerPace>>>,
    /// Which part of the limits this node has.
    share: ArcSwap<Share>,
}

/// The pace of one peer.
#[derive(Debug)]
struct PeerPace {
    pace: Mutex<Pace>,
    /// A delivery has ended.
    freed: Notify,
    /// Deliveries from the store that wait for their turn.
    waiting: AtomicUsize,
    /// How many went badly, and the last of them.
    failures: Mutex<(u64, Option<PeerFailure>)>,
}

impl Paces {
    /// A place for one delivery, when there is room at once and nobody waits for it.
    pub(super) fn at_once(&self, agreement: &InterconnectionAgreement, now: Timestamp) -> Option<Permit> {
        let peer = self.of(agreement, now);
        if peer.waiting.load(Ordering::Relaxed) > 0 {
            return None;
        }
        PeerPace::begin(&peer, now)
    }

    /// A place for one delivery, waited for so long.
    pub(super) async fn in_turn(
        &self,
        agreement: &InterconnectionAgreement,
        patience: Duration,
        clock: &Clock,
    ) -> Option<Permit> {
        let peer = self.of(agreement, clock.now());
        let _waiting = Waiting::new(&peer);
        timeout(patience, peer.turn(clock)).await.ok()
    }

    /// The peers to which nothing may begin now, or for which something waits for its turn already.
    fn full(&self, now: Timestamp) -> Vec<PeerName> {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        let is_full = |peer: &PeerPace| {
            peer.waiting.load(Ordering::Relaxed) > 0 || peer.with(|pace| pace.room(now)) == 0
        };
        let full = peers.iter().filter(|(_, peer)| is_full(peer));
        full.map(|(name, _)| name.clone()).collect()
    }

    fn is_back(&self, agreement: &InterconnectionAgreement, now: Timestamp) {
        let peer = self.of(agreement, now);
        peer.with(Pace::is_back);
        peer.freed.notify_waiters();
    }

    /// This node has another part of the limits from now on.
    fn share_anew(&self, share: Share, agreements: &Agreements) {
        self.share.store(Arc::new(share));
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        for (name, peer) in peers.iter() {
            if let Some(agreement) = agreements.for_peer(name) {
                peer.with(|pace| pace.bound(bounds(agreement, share)));
                peer.freed.notify_waiters();
            }
        }
    }

    /// How a peer is paced; `None` until something has gone to it.
    fn state(&self, peer: &PeerName) -> Option<PaceState> {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        peers.get(peer).map(|peer| peer.state())
    }

    fn of(&self, agreement: &InterconnectionAgreement, now: Timestamp) -> Arc<PeerPace> {
        let bounds = bounds(agreement, **self.share.load());
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(peer) = peers.get(agreement.peer()) {
            peer.with(|pace| pace.bound(bounds));
            return Arc::clone(peer);
        }
        drop(peers);
        let mut peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            Arc::new(PeerPace {
                pace: Mutex::new(Pace::new(bounds, now)),
                freed: Notify::new(),
                waiting: AtomicUsize::new(0),
                failures: Mutex::default(),
            })
        };
        Arc::clone(peers.entry(agreement.peer().clone()).or_insert_with(new))
    }
}

impl PeerPace {
    fn begin(this: &Arc<Self>, now: Timestamp) -> Option<Permit> {
        let ticket = this.with(|pace| pace.begin(now))?;
        Some(Permit {
            peer: Arc::clone(this),
            ticket,
            went: Went::Unsaid,
            now,
        })
    }

    async fn turn(self: &Arc<Self>, clock: &Clock) -> Permit {
        loop {
            let freed = self.freed.notified();
            if let Some(permit) = Self::begin(self, clock.now()) {
                return permit;
            }
            let pause = self.with(|pace| pace.until_token()).max(LEAST_PAUSE);
            let _ = timeout(pause, freed).await;
        }
    }

    fn state(&self) -> PaceState {
        let standing = self.with(|pace| pace.standing());
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        PaceState {
            in_flight: standing.in_flight,
            most_in_flight: standing.window,
            per_second: standing.per_second,
            is_cut: standing.is_cut,
            failed: failures.0,
            last_failure: failures.1.clone(),
        }
    }

    fn failed(&self, reason: String, at: Timestamp) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.0 += 1;
        failures.1 = Some(PeerFailure { at, reason });
    }

    fn with<T>(&self, work: impl FnOnce(&mut Pace) -> T) -> T {
        work(&mut self.pace.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A place for one delivery; free again when it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    peer: Arc<PeerPace>,
    ticket: Ticket,
    went: Went,
    now: Timestamp,
}

impl Permit {
    /// The delivery has ended with this.
    pub(super) fn ended(mut self, (went, why): (Went, String), now: Timestamp) {
        (self.went, self.now) = (went, now);
        if went == Went::Badly {
            self.peer.failed(why, now);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let (ticket, went, now) = (self.ticket, self.went, self.now);
        self.peer.with(|pace| pace.end(ticket, went, now));
        self.peer.freed.notify_one();
    }
}

/// Somebody who waits for his turn.
struct Waiting<'a>(&'a PeerPace);

impl<'a> Waiting<'a> {
    fn new(peer: &'a PeerPace) -> Self {
        peer.waiting.fetch_add(1, Ordering::Relaxed);
        Self(peer)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Relay {
    /// From now on this node has this part of what the agreements allow towards peers.
    pub fn share_limits(&self, share: Share) {
        self.paces.share_anew(share, &self.agreements.load());
        self.wake.notify_one();
    }

    /// How a peer is paced; `None` until something has gone to it.
    #[must_use]
    pub fn pace(&self, peer: &PeerName) -> Option<PaceState> {
        self.paces.state(peer)
    }

    /// A place at the peer for what may wait; `Ok(None)` for what is not paced.
    pub(super) async fn permit(
        &self,
        target: &Target,
        request: &Request,
    ) -> Result<Option<Permit>, Undelivered> {
        if !may_wait(request) {
            return Ok(None);
        }
        let held_back = |reason| {
            let domain = target.domain.clone();
            Undelivered::NotTaken(Refusal::HeldBack { domain, reason })
        };
        if let Some(held) = self.holds.of(target.domain.as_str()) {
            return Err(held_back(format!("the queue is held by {}", held.by)));
        }
        let Some(agreement) = &target.agreement else {
            return Ok(None);
        };
        let permit = if target.patience.is_zero() {
            self.paces.at_once(agreement, self.now())
        } else {
            self.paces.in_turn(agreement, target.patience, &self.clock).await
        };
        permit
            .map(Some)
            .ok_or_else(|| held_back("it is slow or refuses, and is given less".into()))
    }

    /// What the paces leave for the outbox: nothing of queues whose peers have their part. Of the others a few more may be claimed
    /// than may begin, which wait for their turn, so that one slow peer does not make the claims for all small.
    pub(super) fn room_by_pace(&self) -> Room {
        let agreements = self.agreements.load();
        let full = self.paces.full(self.now());
        let agreements = full.iter().filter_map(|peer| agreements.for_peer(peer));
        Room {
            limit: usize::MAX,
            full: agreements
                .flat_map(|agreement| agreement.config.domains.iter().map(ToString::to_string))
                .collect(),
        }
    }

    /// The peer that serves a domain can be reached again, and is worth more than a probe.
    pub(super) fn pace_is_back(&self, serving: &Domain) {
        if let Some(agreement) = self.agreements.load().for_domain(serving) {
            self.paces.is_back(agreement, self.now());
        }
    }
}

/// What a delivery says of the peer that it went to; in words too, when it went badly.
pub(super) fn went(
    agreement: &InterconnectionAgreement,
    answer: &Result<Answer, Undelivered>,
    took: Duration,
) -> (Went, String) {
    let is_late = took > agreement.config.delivery.slow_after;
    let trouble = match answer {
        Ok(answer) => answer.refusals().find(|one| is_trouble(one)).map(Refusal::masked),
        Err(Undelivered::Unanswered(refusal)) => Some(refusal.masked()),
        Err(Undelivered::Refused(refusal) | Undelivered::NotTaken(refusal)) if is_trouble(refusal) => {
            Some(refusal.masked())
        }
        Err(Undelivered::Refused(_)) => None,
        // What can't be sent at all says nothing of the peer.
        Err(Undelivered::NotTaken(_)) => return (Went::Unsaid, String::new()),
    };
    match trouble {
        Some(why) => (Went::Badly, why),
        None if is_late => (
            Went::Badly,
            format!("it took {:.1} s to answer", took.as_secs_f64()),
        ),
        None => (Went::Well, String::new()),
    }
}

/// Whether the peer itself can't do it now: what it says of one of its people alone is no reason to slow down.
fn is_trouble(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::Unreachable { .. }
            | Refusal::Dropped { .. }
            | Refusal::TimedOut { .. }
            | Refusal::Remote {
                status: 500 | 503 | 504,
                ..
            }
    )
}

/// Whether what can't go now is kept.
fn may_wait(request: &Request) -> bool {
    matches!(
        request,
        Request::Send(_) | Request::ContactAdded(_) | Request::Notify(_) | Request::Report(_)
    )
}

fn bounds(agreement: &InterconnectionAgreement, share: Share) -> Bounds {
    let delivery = &agreement.config.delivery;
    Bounds {
        in_flight: share.part(delivery.max_in_flight),
        per_second: share.part(delivery.max_per_second),
        share,
    }
}

/// A turn is looked for no more often than this.
const LEAST_PAUSE: Duration = Duration::from_millis(5);
