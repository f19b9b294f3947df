//! The handshake of one pair of domains, with two nodes on our side and the lease of the pair between them.
//!
//! Each node drives the gateway's own ladders; so does the peer. The peer hands its steps to either node, and a node that
//! doesn't know a step passes it to the holder of the lease. A session becomes one by the commit that names the fence. A node
//! may die, or sleep past its lease and go on. Both sides may open.

use std::{
    collections::BTreeSet,
    hash::{Hash, Hasher},
    time::{Duration, Instant},
};

use impsgw::{
    model::Timestamp,
    store::{Lease, Leased, WorkerId},
    wire::ssp::{
        SetupPrimitive, SetupTransaction, TransactionId,
        ladder::{
            Delivery, Input, LadderKey, Ladders, Match, Output, Session, Settings, Step, Token, Verdict,
        },
    },
};
use stateright::{Model, Property};

#[test]
fn one_node_at_a_time_climbs_and_what_is_stored_was_agreed() {
    let mut runs = vec![[2, 0], [1, 1]];
    if std::env::var_os("IMPSGW_MODELS_LONG").is_some() {
        runs.push([2, 1]);
    }
    for wishes in runs {
        let count = super::walk(World::new(wishes, Lease::admits));
        assert!(count > 5_000, "only {count} states");
    }
}

#[test]
fn store_that_looks_at_no_fence_is_found() {
    let found = super::first_broken(World::new([2, 0], |_, _| true));
    assert!(found.contains_key(IN_TURN), "{found:?}");
}

#[test]
fn node_that_climbs_without_the_lease_is_found() {
    let found = super::first_broken(World {
        minds_the_lease: false,
        ..World::new([2, 0], Lease::admits)
    });
    assert!(found.contains_key(ONE_CLIMBS), "{found:?}");
}

/// The rules of the walk.
struct World {
    /// For every ladder; the walk ends before any time-out.
    clock: Instant,
    /// Sessions that our side, and the peer, may open.
    wishes: [u8; 2],
    /// Whether a batch that names a fence is carried out.
    admits: fn(Option<&Lease>, u64) -> bool,
    minds_the_lease: bool,
}

#[derive(Clone, Debug)]
struct State {
    now: Timestamp,
    lease: Option<Lease>,
    nodes: [Node; 2],
    peer: Side,
    /// Steps on their way to the peer, with the ladder that waits to hear how its post went.
    to_peer: Vec<(Sender, SetupTransaction)>,
    /// Steps on their way to us.
    to_us: Vec<(LadderKey, Step, SetupTransaction)>,
    /// Sessions in the order in which they were stored, each with the fence that it was stored under.
    stored: Vec<(String, u64)>,
    crashes: u8,
    /// Sessions that our side, or the peer, may still open.
    wishes: [u8; 2],
}

#[derive(Clone, Debug)]
struct Node {
    is_alive: bool,
    side: Side,
    /// The fence under which it climbs.
    fence: Option<u64>,
}

/// The ladders of one process, and what they came to.
#[derive(Clone, Debug)]
struct Side {
    ladders: Ladders,
    /// The IDs that it issued in sessions that it takes documents under.
    honoured: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Sender {
    node: usize,
    key: LadderKey,
    step: Step,
}

#[derive(Clone, Debug, PartialEq)]
enum Action {
    /// A node has something to send and no session.
    Wish(usize),
    PeerOpens,
    /// A step of ours reaches the peer.
    ToPeer(usize),
    /// A step of the peer's reaches this node.
    ToUs(usize, usize),
    Crash(usize),
    Pass,
}

/// The debug text has all that decides what follows; the ladders themselves are compared by nobody else.
impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        format!("{self:?}") == format!("{other:?}")
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        format!("{self:?}").hash(state);
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let side = || Side {
            ladders: Ladders::new(4),
            honoured: BTreeSet::new(),
        };
        let node = || Node {
            is_alive: true,
            side: side(),
            fence: None,
        };
        vec![State {
            now: Timestamp(0),
            lease: None,
            nodes: [node(), node()],
            peer: side(),
            to_peer: Vec::new(),
            to_us: Vec::new(),
            stored: Vec::new(),
            crashes: 1,
            wishes: self.wishes,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (index, node) in state.nodes.iter().enumerate() {
            if !node.is_alive {
                continue;
            }
            if state.wishes[0] > 0 && state.stored.is_empty() {
                actions.push(Action::Wish(index));
            }
            actions.extend((0..state.to_us.len()).map(|step| Action::ToUs(step, index)));
            if state.crashes > 0 {
                actions.push(Action::Crash(index));
            }
        }
        if state.wishes[1] > 0 {
            actions.push(Action::PeerOpens);
        }
        actions.extend((0..state.to_peer.len()).map(Action::ToPeer));
        if state.now < END {
            actions.push(Action::Pass);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Wish(node) => {
                next.wishes[0] -= 1;
                self.wish(&mut next, node);
            }
            Action::PeerOpens => {
                next.wishes[1] -= 1;
                self.peer_opens(&mut next);
            }
            Action::ToPeer(index) => self.to_peer(&mut next, index),
            Action::ToUs(index, node) => self.to_us(&mut next, index, node),
            Action::Crash(node) => {
                next.crashes -= 1;
                next.nodes[node].is_alive = false;
                // What it was posting may have left it, or not; here it has not.
                next.to_peer.retain(|(sender, _)| sender.node != node);
            }
            Action::Pass => next.now = next.now.plus(Duration::from_millis(1)),
        }
        // In whatever order they are in flight, it is the same state.
        next.to_peer
            .sort_by_key(|(sender, step)| format!("{sender:?} {step:?}"));
        next.to_us.sort_by_key(|step| format!("{step:?}"));
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE_CLIMBS, |_, state: &State| {
                let climbs = |node: &&Node| {
                    node.is_alive
                        && node
                            .fence
                            .is_some_and(|fence| Lease::admits(state.lease.as_ref(), fence))
                };
                state.nodes.iter().filter(climbs).count() <= 1
            }),
            Property::always(IN_TURN, |_, state: &State| {
                state.stored.windows(2).all(|two| two[0].1 <= two[1].1)
            }),
            Property::always(
                "what is stored as established was agreed by the peer",
                |_, state: &State| {
                    state
                        .stored
                        .iter()
                        .all(|(id, _)| state.peer.honoured.contains(id))
                },
            ),
            Property::sometimes("a session is stored", |_, state: &State| !state.stored.is_empty()),
            Property::sometimes("one is stored by the node that is left", |_, state: &State| {
                state.crashes == 0 && state.stored.iter().any(|(_, fence)| *fence == 2)
            }),
            Property::sometimes("both sides open at once", |world: &Self, state: &State| {
                world.wishes[1] == 0 || state.stored.len() == 2
            }),
            Property::sometimes("who overslept stores nothing", |_, state: &State| {
                let overslept = |node: &Node| {
                    node.fence
                        .is_some_and(|fence| !Lease::admits(state.lease.as_ref(), fence))
                };
                state.nodes.iter().any(overslept)
            }),
        ]
    }
}

impl World {
    #[expect(clippy::disallowed_methods, reason = "the ladders of a walk share one moment")]
    fn new(wishes: [u8; 2], admits: fn(Option<&Lease>, u64) -> bool) -> Self {
        Self {
            clock: Instant::now(),
            wishes,
            admits,
            minds_the_lease: true,
        }
    }

    /// A node that gets the lease opens; one that doesn't waits for the session of the other.
    fn wish(&self, state: &mut State, node: usize) {
        let Some(fence) = self.lease(state, node) else {
            return;
        };
        let token = token(&format!("n{node}-{}", state.wishes[0]));
        let opened =
            state.nodes[node]
                .side
                .ladders
                .initiate(OURS, PEERS, token, self.clock, Settings::default());
        if opened.is_ok() {
            state.nodes[node].fence = Some(fence);
        }
        self.drive(state, node);
    }

    fn peer_opens(&self, state: &mut State) {
        let token = token("p");
        let opened = state
            .peer
            .ladders
            .initiate(PEERS, OURS, token, self.clock, Settings::default());
        opened.unwrap();
        self.drive_peer(state);
    }

    fn lease(&self, state: &mut State, node: usize) -> Option<u64> {
        let (leased, taken) = Lease::take(state.lease.as_ref(), &name(node), TTL, state.now);
        state.lease = taken.or(state.lease.take());
        match leased {
            Leased::Held { fence } => Some(fence),
            Leased::By { fence, .. } => (!self.minds_the_lease).then_some(fence),
        }
    }

    fn to_peer(&self, state: &mut State, index: usize) {
        let (sender, step) = state.to_peer.remove(index);
        let taken = match state.peer.ladders.find(&step, |_| true) {
            Match::Known(key) => {
                let input = Input::Received(Box::new(step));
                state.peer.ladders.handle(key, input, self.clock) == Verdict::Taken
            }
            Match::Opening { .. } => {
                let (id, secret) = secret_of(&step);
                let token = token(&format!("p-{}", id.as_str()));
                let ours = &mut state.peer.ladders;
                ours.respond(PEERS, OURS, (id, &secret), token, self.clock, Settings::default())
                    .is_ok()
            }
            Match::Foreign { .. } | Match::Unknown => false,
        };
        let Sender { node, key, step } = sender;
        if step != Step::Failure {
            let input = Input::Delivered {
                step,
                delivery: delivery(taken),
            };
            state.nodes[node].side.ladders.handle(key, input, self.clock);
        }
        self.drive_peer(state);
        self.drive(state, node);
    }

    /// The node that a step reaches takes it, or passes it on to the holder of the lease.
    fn to_us(&self, state: &mut State, index: usize, node: usize) {
        let (key, kind, step) = state.to_us.remove(index);
        let holder = state
            .lease
            .as_ref()
            .and_then(|lease| lease.held_by(state.now))
            .cloned();
        let is_known = |node: usize| {
            matches!(
                state.nodes[node].side.ladders.find(&step, |_| true),
                Match::Known(_)
            )
        };
        let other = 1 - node;
        let is_the_others = holder == Some(name(other)) && state.nodes[other].is_alive;
        let at = if !is_known(node) && is_the_others {
            other
        } else {
            node
        };
        let taken = self.take_step(state, at, step);
        if kind != Step::Failure {
            let input = Input::Delivered {
                step: kind,
                delivery: delivery(taken),
            };
            state.peer.ladders.handle(key, input, self.clock);
        }
        self.drive(state, at);
        self.drive_peer(state);
    }

    fn take_step(&self, state: &mut State, node: usize, step: SetupTransaction) -> bool {
        match state.nodes[node].side.ladders.find(&step, |_| true) {
            Match::Known(key) => {
                let input = Input::Received(Box::new(step));
                state.nodes[node].side.ladders.handle(key, input, self.clock) == Verdict::Taken
            }
            Match::Opening { .. } => {
                let Some(fence) = self.lease(state, node) else {
                    return false;
                };
                let (id, secret) = secret_of(&step);
                let token = token(&format!("n{node}-{}", id.as_str()));
                state.nodes[node].fence = Some(fence);
                let ladders = &mut state.nodes[node].side.ladders;
                ladders
                    .respond(OURS, PEERS, (id, &secret), token, self.clock, Settings::default())
                    .is_ok()
            }
            Match::Foreign { .. } | Match::Unknown => false,
        }
    }

    /// Carries out what a node's ladders want.
    fn drive(&self, state: &mut State, node: usize) {
        while let Some((key, output)) = state.nodes[node].side.ladders.poll() {
            match output {
                Output::Send { step, transaction } => {
                    state.to_peer.push((Sender { node, key, step }, *transaction));
                }
                Output::Established(session) => self.store(state, node, &session),
                Output::Honour(_) | Output::WakeAt(_) | Output::Failed(_) => {}
            }
        }
        if state.nodes[node].side.ladders.under_way() == 0 {
            state.nodes[node].fence = None;
            let given_up = state.lease.as_ref().and_then(|lease| lease.give_up(&name(node)));
            state.lease = given_up.or(state.lease.take());
        }
    }

    fn store(&self, state: &mut State, node: usize, session: &Session) {
        let fence = state.nodes[node].fence.unwrap();
        if (self.admits)(state.lease.as_ref(), fence) {
            state.stored.push((session.peer_session_id.to_string(), fence));
        }
    }

    fn drive_peer(&self, state: &mut State) {
        while let Some((key, output)) = state.peer.ladders.poll() {
            match output {
                Output::Send { step, transaction } => state.to_us.push((key, step, *transaction)),
                Output::Honour(session) | Output::Established(session) => {
                    state.peer.honoured.insert(session.own_session_id.to_string());
                }
                Output::Failed(_) | Output::WakeAt(_) => {}
            }
        }
    }
}

fn secret_of(step: &SetupTransaction) -> (TransactionId, impsgw::wire::ssp::Secret) {
    let SetupPrimitive::SendSecretToken(token) = &step.primitive else {
        panic!("an opening is a SendSecretToken");
    };
    (step.id.clone(), token.secret.clone())
}

fn token(id: &str) -> Token {
    let mut octets = [0_u8; 16];
    for (octet, from) in octets.iter_mut().zip(id.bytes()) {
        *octet = from;
    }
    Token {
        transaction_id: TransactionId::new(id),
        secret: octets,
        session: octets,
    }
}

fn delivery(is_taken: bool) -> Delivery {
    if is_taken {
        Delivery::Accepted
    } else {
        Delivery::Refused
    }
}

fn name(node: usize) -> WorkerId {
    WorkerId(node.to_string())
}

const ONE_CLIMBS: &str = "at most one node climbs whose session would be stored";
const IN_TURN: &str = "no session is stored after one of a later fence";
const OURS: &str = "alpha.example";
const PEERS: &str = "bravo.example";
const TTL: Duration = Duration::from_millis(1);
const END: Timestamp = Timestamp(2);
