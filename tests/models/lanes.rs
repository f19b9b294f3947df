//! A conversation of two messages in the store, two workers of two nodes, a peer that may be slow, silent or away.
//!
//! A worker claims, sends, and settles by what it learns; it may die, or sleep past its lease at any point and go on. The
//! peer acknowledges, and answers at once or later, to any node.

use std::time::Duration;

use impsgw::{
    model::Timestamp,
    store::{ItemId, Place, PlaceName, Settle, WorkerId, front},
};
use stateright::{Model, Property};

#[test]
fn no_message_is_lost_and_a_conversation_keeps_its_order() {
    let count = super::walk(World {
        front,
        settles_when: Learnt::Acknowledged,
    });
    assert!(count > 10_000, "only {count} states");
}

#[test]
fn lane_that_does_not_wait_for_what_is_under_way_is_found() {
    // As it would be if only what is scheduled were looked at.
    let impatient = |lane: &[(ItemId, PlaceName)]| {
        let waiting = lane.iter().filter(|(_, place)| *place == PlaceName::Scheduled);
        waiting.map(|(id, _)| *id).min()
    };
    let found = super::first_broken(World {
        front: impatient,
        settles_when: Learnt::Acknowledged,
    });
    assert!(found.contains_key(IN_ORDER), "{found:?}");
}

#[test]
fn worker_that_settles_what_it_has_only_sent_is_found() {
    let found = super::first_broken(World {
        front,
        settles_when: Learnt::Sent,
    });
    assert!(found.contains_key(NOT_LOST), "{found:?}");
}

/// The rules of the walk.
struct World {
    front: fn(&[(ItemId, PlaceName)]) -> Option<ItemId>,
    /// After what a worker takes a message for delivered.
    settles_when: Learnt,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct State {
    now: Timestamp,
    items: Vec<(ItemId, Place)>,
    workers: [Worker; 2],
    /// Documents between a worker and the peer, each with the worker that posts it.
    documents: Vec<(usize, ItemId)>,
    /// Answers that the peer still owes.
    owed: Vec<ItemId>,
    /// What reached the peer, in that order; the same one may come again.
    arrived: Vec<ItemId>,
    crashes: u8,
    losses: u8,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Worker {
    Idle,
    /// It has claimed this one and sends it next.
    Claimed(ItemId, Learnt),
    /// It has posted it and waits.
    Posting(ItemId),
    Dead,
}

/// What a worker knows of its message.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Learnt {
    /// Nothing yet.
    Nothing,
    /// It is posted.
    Sent,
    /// The peer has answered, or acknowledged where there is no answer.
    Acknowledged,
    /// The answer to an earlier attempt never came.
    Unanswered,
}

#[derive(Clone, Debug, PartialEq)]
enum Action {
    Claim(usize),
    Send(usize),
    /// The document arrives and is answered.
    Arrive(usize),
    /// It arrives and is acknowledged; the answer is owed.
    ArriveUnanswered(usize),
    /// It does not arrive.
    Lose(usize),
    /// An answer that was owed comes, at whatever node.
    Answer(usize),
    Crash(usize),
    Pass,
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let scheduled = |id| (ItemId(id), Place::Scheduled { due: Timestamp(0) });
        vec![State {
            now: Timestamp(0),
            items: vec![scheduled(1), scheduled(2)],
            workers: [Worker::Idle, Worker::Idle],
            documents: Vec::new(),
            owed: Vec::new(),
            arrived: Vec::new(),
            crashes: 1,
            losses: 1,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (index, worker) in state.workers.iter().enumerate() {
            match worker {
                Worker::Idle if self.due(state).is_some() => actions.push(Action::Claim(index)),
                Worker::Claimed(..) => actions.push(Action::Send(index)),
                Worker::Idle | Worker::Posting(_) | Worker::Dead => {}
            }
            if *worker != Worker::Dead && state.crashes > 0 {
                actions.push(Action::Crash(index));
            }
        }
        for index in 0..state.documents.len() {
            actions.push(Action::Arrive(index));
            actions.push(Action::ArriveUnanswered(index));
            if state.losses > 0 {
                actions.push(Action::Lose(index));
            }
        }
        actions.extend((0..state.owed.len()).map(Action::Answer));
        if state.now < END {
            actions.push(Action::Pass);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Claim(index) => self.claim(&mut next, index),
            Action::Send(index) => self.send(&mut next, index),
            Action::Arrive(index) => {
                let (worker, id) = next.arrives(index);
                next.learns(worker, id, done(worker));
            }
            Action::ArriveUnanswered(index) => {
                let (worker, id) = next.arrives(index);
                next.owed.push(id);
                let until = next.now.plus(LEASE);
                next.learns(
                    worker,
                    id,
                    Settle::Await {
                        by: name(worker),
                        until,
                    },
                );
            }
            Action::Lose(index) => {
                let (worker, id) = next.documents.remove(index);
                next.losses -= 1;
                let again = Settle::Reschedule {
                    by: name(worker),
                    due: next.now,
                    failure: String::new(),
                };
                next.learns(worker, id, again);
            }
            Action::Answer(index) => {
                let id = next.owed.remove(index);
                next.settle(id, &Settle::Answered);
            }
            Action::Crash(index) => {
                next.workers[index] = Worker::Dead;
                next.crashes -= 1;
            }
            Action::Pass => next.now = next.now.plus(Duration::from_millis(1)),
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(NOT_LOST, |_, state: &State| {
                let stands = |id| state.items.iter().any(|(item, _)| *item == id);
                [ItemId(1), ItemId(2)]
                    .into_iter()
                    .all(|id| stands(id) || state.arrived.contains(&id))
            }),
            Property::always(IN_ORDER, |_, state: &State| {
                let first = |id| state.arrived.iter().position(|one| *one == ItemId(id));
                match (first(1), first(2)) {
                    (Some(one), Some(two)) => one < two,
                    (None, Some(_)) => false,
                    (_, None) => true,
                }
            }),
            Property::always(
                "an item is leased to one worker that lives by it",
                |_, state: &State| {
                    let leased = |(_, place): &&(ItemId, Place)| matches!(place, Place::Leased { until, .. } if *until > state.now);
                    state.items.iter().filter(leased).count() <= 1
                },
            ),
            Property::sometimes("both are delivered", |_, state: &State| state.items.is_empty()),
            Property::sometimes("both are delivered over a crash", |_, state: &State| {
                state.crashes == 0 && state.items.is_empty()
            }),
            Property::sometimes("a fault makes one arrive twice", |_, state: &State| {
                state.arrived.len() > 2
            }),
            Property::sometimes("an outcome stays unknown", |_, state: &State| {
                state
                    .items
                    .iter()
                    .any(|(_, place)| matches!(place, Place::Dead { .. }))
            }),
        ]
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.arrived.len() <= 4
    }
}

impl World {
    /// What a claim would yield.
    fn due(&self, state: &State) -> Option<ItemId> {
        let lane: Vec<_> = state
            .items
            .iter()
            .map(|(id, place)| (*id, place.name()))
            .collect();
        let id = (self.front)(&lane)?;
        let (_, place) = state.items.iter().find(|(item, _)| *item == id)?;
        time(place).is_some_and(|at| at <= state.now).then_some(id)
    }

    fn claim(&self, state: &mut State, worker: usize) {
        let Some(id) = self.due(state) else { return };
        let until = state.now.plus(LEASE);
        let place = state.place(id).unwrap();
        let knows = match place {
            Place::Awaiting { .. } => Learnt::Unanswered,
            Place::Scheduled { .. } | Place::Leased { .. } | Place::Held { .. } | Place::Dead { .. } => {
                Learnt::Nothing
            }
        };
        *place = Place::Leased {
            to: name(worker),
            until,
        };
        state.workers[worker] = Worker::Claimed(id, knows);
    }

    /// A message whose outcome is unknown is not sent again: the peer of this walk does not recognise repeats.
    fn send(&self, state: &mut State, worker: usize) {
        let Worker::Claimed(id, knows) = state.workers[worker] else {
            return;
        };
        if knows == Learnt::Unanswered {
            let bury = Settle::Bury {
                by: name(worker),
                reason: String::new(),
            };
            return state.learns(worker, id, bury);
        }
        state.documents.push((worker, id));
        state.workers[worker] = Worker::Posting(id);
        if self.settles_when == Learnt::Sent {
            state.settle(id, &done(worker));
        }
    }
}

impl State {
    fn place(&mut self, id: ItemId) -> Option<&mut Place> {
        self.items
            .iter_mut()
            .find(|(item, _)| *item == id)
            .map(|(_, place)| place)
    }

    fn arrives(&mut self, index: usize) -> (usize, ItemId) {
        let (worker, id) = self.documents.remove(index);
        self.arrived.push(id);
        (worker, id)
    }

    /// A worker that lives settles by what it learnt.
    fn learns(&mut self, worker: usize, id: ItemId, settle: Settle) {
        if self.workers[worker] == Worker::Dead {
            return;
        }
        self.workers[worker] = Worker::Idle;
        self.settle(id, &settle);
    }

    fn settle(&mut self, id: ItemId, settle: &Settle) {
        let Some(place) = self.place(id) else { return };
        let leased_to = match &*place {
            Place::Leased { to, .. } => Some(to.0.clone()),
            Place::Scheduled { .. } | Place::Awaiting { .. } | Place::Held { .. } | Place::Dead { .. } => {
                None
            }
        };
        if !settle.fits(place.name(), leased_to.as_deref()) {
            return;
        }
        match settle {
            Settle::Done { .. } | Settle::Answered => self.items.retain(|(item, _)| *item != id),
            Settle::Reschedule { due, .. } => *place = Place::Scheduled { due: *due },
            Settle::Await { until, .. } => *place = Place::Awaiting { until: *until },
            Settle::Bury { reason, .. } => {
                *place = Place::Dead {
                    reason: reason.clone(),
                };
            }
            Settle::NotTaken { .. }
            | Settle::Unsure { .. }
            | Settle::Hold { .. }
            | Settle::Release { .. }
            | Settle::Discard
            | Settle::Redirect { .. } => panic!("no worker of the walk settles so: {settle:?}"),
        }
    }
}

fn name(worker: usize) -> WorkerId {
    WorkerId(worker.to_string())
}

fn done(worker: usize) -> Settle {
    Settle::Done { by: name(worker) }
}

fn time(place: &Place) -> Option<Timestamp> {
    match place {
        Place::Scheduled { due: time }
        | Place::Leased { until: time, .. }
        | Place::Awaiting { until: time } => Some(*time),
        Place::Held { .. } | Place::Dead { .. } => None,
    }
}

const NOT_LOST: &str = "a message stands in the store or has reached the peer";
const IN_ORDER: &str = "the first arrivals of a conversation are in order";
const LEASE: Duration = Duration::from_millis(2);
const END: Timestamp = Timestamp(6);
