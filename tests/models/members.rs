//! Two processes that bear the name of one node; either may die, or sleep past its lease.

use std::time::Duration;

use impsgw::{
    cluster::{Entering, Entry, Standing, renewed},
    model::Timestamp,
    store::{Lease, Leased, WorkerId},
};
use stateright::{Model, Property};

#[test]
fn one_living_process_is_the_node() {
    let count = super::walk(World {
        enter: Entering::asked,
    });
    assert!(count > 1_000, "only {count} states");
}

#[test]
fn process_that_enters_without_the_lease_is_found() {
    let careless = |_: &mut Entering, leased| match leased {
        Leased::Held { fence } | Leased::By { fence, .. } => Entry::In { fence },
    };
    let found = super::first_broken(World { enter: careless });
    assert!(found.contains_key(ONE_ACTS), "{found:?}");
}

/// The rules of the walk.
struct World {
    enter: fn(&mut Entering, Leased) -> Entry,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct State {
    now: Timestamp,
    lease: Option<Lease>,
    processes: [Process; 2],
    crashes: u8,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Process {
    Entering {
        state: Entering,
        not_before: Timestamp,
        /// When the lease was to end as this one first saw it.
        seen: Timestamp,
    },
    In {
        fence: u64,
    },
    /// It was told that a living process has the name.
    Refused {
        /// Whether somebody renewed the lease while this one waited.
        justly: bool,
    },
    Out,
    Dead,
}

#[derive(Clone, Debug, PartialEq)]
enum Action {
    Ask(usize),
    Renew(usize),
    Crash(usize),
    Pass,
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let entering = Process::Entering {
            state: Entering::default(),
            not_before: Timestamp(0),
            seen: Timestamp(0),
        };
        vec![State {
            now: Timestamp(0),
            lease: None,
            processes: [entering.clone(), entering],
            crashes: 1,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (index, process) in state.processes.iter().enumerate() {
            match process {
                Process::Entering { not_before, .. } if *not_before <= state.now => {
                    actions.push(Action::Ask(index));
                }
                Process::In { .. } => actions.push(Action::Renew(index)),
                Process::Entering { .. } | Process::Refused { .. } | Process::Out | Process::Dead => {}
            }
            let lives = matches!(process, Process::In { .. } | Process::Entering { .. });
            if lives && state.crashes > 0 {
                actions.push(Action::Crash(index));
            }
        }
        if state.now < END {
            actions.push(Action::Pass);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Ask(index) => self.ask(&mut next, index),
            Action::Renew(index) => renew(&mut next, index),
            Action::Crash(index) => {
                next.processes[index] = Process::Dead;
                next.crashes -= 1;
            }
            Action::Pass => next.now = next.now.plus(Duration::from_millis(1)),
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE_ACTS, |_, state: &State| state.acting() <= 1),
            Property::always("nobody is refused for a dead namesake", |_, state: &State| {
                let unjust = Process::Refused { justly: false };
                !state.processes.contains(&unjust)
            }),
            Property::sometimes("a process follows one that died", |_, state: &State| {
                state.crashes == 0
                    && matches!(&state.lease, Some(lease) if lease.fence == 2)
                    && state.acting() == 1
            }),
            Property::sometimes("a second process is refused", |_, state: &State| {
                state.processes.contains(&Process::Refused { justly: true })
            }),
            Property::sometimes("who overslept finds the name taken", |_, state: &State| {
                state.processes.contains(&Process::Out)
            }),
        ]
    }
}

impl World {
    fn ask(&self, state: &mut State, index: usize) {
        let Process::Entering {
            state: mut entering,
            seen,
            ..
        } = state.processes[index].clone()
        else {
            return;
        };
        let leased = take(state, index);
        let until = state.lease.as_ref().unwrap().until;
        state.processes[index] = match (self.enter)(&mut entering, leased) {
            Entry::In { fence } => Process::In { fence },
            Entry::Wait { left } => Process::Entering {
                state: entering,
                not_before: state.now.plus(left),
                seen: until,
            },
            Entry::Taken { .. } => Process::Refused { justly: until > seen },
        };
    }
}

fn renew(state: &mut State, index: usize) {
    let Process::In { fence } = state.processes[index] else {
        return;
    };
    let leased = take(state, index);
    state.processes[index] = match renewed(fence, leased) {
        Standing::Still => Process::In { fence },
        Standing::Anew { fence } => Process::In { fence },
        Standing::Out { .. } => Process::Out,
    };
}

fn take(state: &mut State, index: usize) -> Leased {
    let by = WorkerId(format!("n1/{index}"));
    let (leased, taken) = Lease::take(state.lease.as_ref(), &by, TTL, state.now);
    state.lease = taken.or(state.lease.take());
    leased
}

impl State {
    /// How many processes could write as the node.
    fn acting(&self) -> usize {
        let may_write = |process: &&Process| match process {
            Process::In { fence } => Lease::admits(self.lease.as_ref(), *fence),
            Process::Entering { .. } | Process::Refused { .. } | Process::Out | Process::Dead => false,
        };
        self.processes.iter().filter(may_write).count()
    }
}

const ONE_ACTS: &str = "at most one process writes as the node";
const TTL: Duration = Duration::from_millis(3);
const END: Timestamp = Timestamp(12);
