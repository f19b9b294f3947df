//! Two registries in memory with a network between them that loses, repeats and reorders.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::super::*;
use super::{ms, start, token};
use crate::wire::ssp::profile::Profile;

#[test]
fn six_steps_make_one_session_for_both_directions() {
    for profile in [Profile::STRICT, Profile::OBSERVED] {
        let mut world = World::new(profile);
        world.open(0);
        world.run_quietly();
        let [alpha, bravo] = world.sessions();
        assert_eq!((alpha.len(), bravo.len()), (1, 1), "{}", profile.name);
        assert_eq!(alpha[0].own_session_id, bravo[0].peer_session_id);
        assert_eq!(alpha[0].peer_session_id, bravo[0].own_session_id);
        assert_eq!(world.posted, 6);
    }
}

#[test]
fn simultaneous_opening_keeps_both_sessions() {
    for profile in [Profile::STRICT, Profile::OBSERVED] {
        let mut world = World::new(profile);
        world.open(0);
        world.open(1);
        world.run_quietly();
        let [alpha, bravo] = world.sessions();
        assert_eq!((alpha.len(), bravo.len()), (2, 2), "{}", profile.name);
        for session in &alpha {
            let mirrored = bravo
                .iter()
                .find(|other| other.own_session_id == session.peer_session_id);
            assert_eq!(
                mirrored.map(|other| &other.peer_session_id),
                Some(&session.own_session_id)
            );
        }
        assert_eq!(world.posted, 12);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever the network does, every ladder ends by its deadline, and what one side calls a session of its own
    /// opening the other side honours.
    #[test]
    fn every_ladder_ends_by_its_deadline(
        events in prop::collection::vec((0_u8..12, any::<prop::sample::Index>(), 1_u64..3000), 0..60),
        observed: bool,
    ) {
        let mut world = World::new(if observed { Profile::OBSERVED } else { Profile::STRICT });
        world.open(0);
        for (kind, index, wait) in events {
            match kind {
                0..=4 => world.deliver(index.index(world.network.len().max(1)), Delivery::Accepted, true),
                5 => world.deliver(index.index(world.network.len().max(1)), Delivery::Accepted, false),
                6 => world.lose(index.index(world.network.len().max(1)), Delivery::Unanswered),
                7 => world.lose(index.index(world.network.len().max(1)), Delivery::Refused),
                8 => world.lose(index.index(world.network.len().max(1)), Delivery::Unreachable),
                9 => world.open(usize::from(wait % 2 == 0)),
                _ => world.pass(ms(wait)),
            }
        }
        world.network.clear();
        world.pass(ms(45_000));
        for side in &world.sides {
            prop_assert_eq!(side.ladders.under_way(), 0);
            prop_assert_eq!(side.ladders.next_wake(), None);
            for ends in side.ends.values() {
                prop_assert_eq!(*ends, 1);
            }
        }
        let [alpha, bravo] = world.sides.each_ref();
        for (here, there) in [(alpha, bravo), (bravo, alpha)] {
            for session in here.established.iter().filter(|(role, _)| *role == Role::Initiator).map(|(_, s)| s) {
                let mirrors = |other: &Session| {
                    other.own_session_id == session.peer_session_id
                        && other.peer_session_id == session.own_session_id
                };
                prop_assert!(there.honoured.iter().any(mirrors));
            }
        }
    }
}

struct World {
    sides: [Side; 2],
    network: VecDeque<Post>,
    now: Instant,
    settings: Settings,
    serial: u8,
    posted: usize,
}

struct Side {
    domain: &'static str,
    ladders: Ladders,
    established: Vec<(Role, Session)>,
    honoured: Vec<Session>,
    /// How many times each ladder ended.
    ends: BTreeMap<LadderKey, usize>,
}

struct Post {
    from: usize,
    key: LadderKey,
    step: Step,
    transaction: SetupTransaction,
}

impl World {
    fn new(profile: Profile) -> Self {
        let side = |domain| Side {
            domain,
            ladders: Ladders::new(64),
            established: Vec::new(),
            honoured: Vec::new(),
            ends: BTreeMap::new(),
        };
        Self {
            sides: [side("alpha.example"), side("bravo.example")],
            network: VecDeque::new(),
            now: start(),
            settings: Settings::for_profile(&profile),
            serial: 0,
            posted: 0,
        }
    }

    fn open(&mut self, side: usize) {
        let token = self.token(side);
        let peer = self.sides[1 - side].domain;
        let side_ref = &mut self.sides[side];
        let opened = side_ref
            .ladders
            .initiate(side_ref.domain, peer, token, self.now, self.settings);
        if let Err(busy) = opened {
            assert!(matches!(busy, Busy::InProgress(_)), "{busy}");
        }
        self.collect(side);
    }

    fn token(&mut self, side: usize) -> Token {
        self.serial += 1;
        token(&format!("{side}-{}", self.serial), self.serial, self.serial)
    }

    /// Lets the other side take the post; it stays in the network when `once` is false, to arrive again.
    fn deliver(&mut self, index: usize, delivery: Delivery, once: bool) {
        let Some(post) = self.network.get(index) else {
            return;
        };
        let (from, key, step, transaction) = (post.from, post.key, post.step, post.transaction.clone());
        if once {
            self.network.remove(index);
        }
        let to = 1 - from;
        let verdict = self.receive(to, &transaction);
        let delivery = if verdict == Verdict::Taken {
            delivery
        } else {
            Delivery::Refused
        };
        self.sides[from]
            .ladders
            .handle(key, Input::Delivered { step, delivery }, self.now);
        self.collect(to);
        self.collect(from);
    }

    fn lose(&mut self, index: usize, delivery: Delivery) {
        let Some(post) = self.network.remove(index) else {
            return;
        };
        let input = Input::Delivered {
            step: post.step,
            delivery,
        };
        self.sides[post.from].ladders.handle(post.key, input, self.now);
        self.collect(post.from);
    }

    fn receive(&mut self, to: usize, transaction: &SetupTransaction) -> Verdict {
        let token = self.token(to);
        let side = &mut self.sides[to];
        match side.ladders.find(transaction, |_| true) {
            Match::Opening { peer_domain } => {
                let SetupPrimitive::SendSecretToken(opened) = &transaction.primitive else {
                    panic!()
                };
                let opened = (transaction.id.clone(), &opened.secret);
                side.ladders
                    .respond(side.domain, &peer_domain, opened, token, self.now, self.settings)
                    .expect("there is room");
                Verdict::Taken
            }
            Match::Known(key) => {
                side.ladders
                    .handle(key, Input::Received(Box::new(transaction.clone())), self.now)
            }
            Match::Foreign { .. } | Match::Unknown => Verdict::Refused,
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        for side in 0..2 {
            self.sides[side].ladders.tick(self.now);
            self.collect(side);
        }
    }

    fn collect(&mut self, from: usize) {
        let side = &mut self.sides[from];
        while let Some((key, output)) = side.ladders.poll() {
            match output {
                Output::Send { step, transaction } => {
                    self.posted += 1;
                    self.network.push_back(Post {
                        from,
                        key,
                        step,
                        transaction: *transaction,
                    });
                }
                Output::Honour(session) => side.honoured.push(session),
                Output::Established(session) => {
                    let role = side.ladders.ladder(key).expect("it is still known").role();
                    side.established.push((role, session));
                    *side.ends.entry(key).or_default() += 1;
                }
                Output::Failed(_) => *side.ends.entry(key).or_default() += 1,
                Output::WakeAt(_) => panic!("the registry keeps wishes to itself"),
            }
        }
    }

    /// Every post arrives at once and in order; time passes when nothing is under way.
    fn run_quietly(&mut self) {
        loop {
            if !self.network.is_empty() {
                self.deliver(0, Delivery::Accepted, true);
            } else if self.sides.iter().all(|side| side.ladders.under_way() == 0) {
                return;
            } else {
                self.pass(ms(100));
            }
        }
    }

    fn sessions(&self) -> [Vec<Session>; 2] {
        self.sides.each_ref().map(|side| {
            side.established
                .iter()
                .map(|(_, session)| session.clone())
                .collect()
        })
    }
}
