//! The books: what a gateway accepted, and what became of each piece, by identity.
//!
//! Everything accepted has arrived, or its sender was told why not, or it stands among the dead letters with its outcome
//! unknown. What arrived more than once came under the same ID, and for each time after the first there is an excuse.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    time::{Duration, Instant},
};

/// What is known of every message, by its number.
#[derive(Default)]
pub(crate) struct Ledger {
    /// How many numbers were given out.
    pub(crate) sent: u32,
    pub(crate) accepted: BTreeSet<u32>,
    /// What was not accepted, with the answer.
    pub(crate) refused: BTreeMap<u32, String>,
    /// What senders were told for now, how often each: they come again.
    pub(crate) not_now: BTreeMap<String, usize>,
    /// How often the sender of each message was told so, or heard nothing, and sent it again.
    come_again: HashMap<u32, usize>,
    /// How often a sender had no answer to what it sent, and came again.
    no_answer: usize,
    /// What a sender had no answer to, and did not send again.
    pub(crate) given_up: BTreeSet<u32>,
    /// Failed delivery reports.
    pub(crate) told: BTreeMap<u32, Vec<String>>,
    /// What the sender repeated, because it had no answer before a kill. A repeat after the end of a short validity is a message
    /// of its own, which may arrive though the first one did not.
    pub(crate) asked_again: BTreeSet<u32>,
    arrivals: BTreeMap<u32, Vec<Arrival>>,
    /// The last number of each conversation that arrived.
    last: HashMap<[String; 2], u32>,
    /// For each message, how many faults met it under way.
    faults: HashMap<u32, usize>,
}

/// A message at the operator that takes everything.
pub(crate) struct Arrival {
    /// The ID that it came under.
    pub(crate) id: String,
    at: Instant,
    /// When the gateway took the answer to it.
    settled: Option<Instant>,
}

/// What excuses that a message arrives again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Excuse {
    /// Nothing.
    Nothing,
    /// A fault that met it under way, such as a kill: each one once.
    Faults,
    /// That also, or that the gateway had no answer to the arrival before, or only just, or that the sender sent it again, because it
    /// was told to, or heard nothing.
    Unanswered,
}

impl Ledger {
    /// What has no answer yet.
    pub(crate) fn unanswered(&self) -> Vec<u32> {
        let is_open = |number: &u32| {
            let has_answer = self.accepted.contains(number) || self.refused.contains_key(number);
            !has_answer && !self.given_up.contains(number)
        };
        (0..self.sent).filter(is_open).collect()
    }

    /// A message has come; which of its arrivals this is.
    pub(crate) fn arrived(&mut self, number: u32, conversation: [String; 2], id: String) -> usize {
        self.last.insert(conversation, number);
        let all = self.arrivals.entry(number).or_default();
        all.push(Arrival {
            id,
            at: Instant::now(),
            settled: None,
        });
        all.len() - 1
    }

    /// Whether anything has come.
    pub(crate) fn has_arrivals(&self) -> bool {
        !self.arrivals.is_empty()
    }

    /// The sender of a message was told to come again.
    pub(crate) fn not_now(&mut self, number: u32, what: String) {
        *self.not_now.entry(what).or_default() += 1;
        *self.come_again.entry(number).or_default() += 1;
    }

    /// The sender of a message heard nothing.
    pub(crate) fn no_answer(&mut self, number: u32) {
        self.no_answer += 1;
        *self.come_again.entry(number).or_default() += 1;
    }

    /// The gateway has taken the answer to an arrival.
    pub(crate) fn settled(&mut self, number: u32, arrival: usize) {
        let all = self.arrivals.get_mut(&number).unwrap();
        all.get_mut(arrival).unwrap().settled = Some(Instant::now());
    }

    /// The gateway is about to be killed. Under way is what has no answer, what was accepted and has not arrived, and the last
    /// arrival of each conversation: its answer may not have been taken yet, while one behind it proves that it was.
    pub(crate) fn killed(&mut self) {
        let waits = |number: &u32| !self.accepted.contains(number) || !self.arrivals.contains_key(number);
        let waiting = (0..self.sent).filter(waits);
        let all: BTreeSet<u32> = waiting.chain(self.last.values().copied()).collect();
        self.met_by_a_fault(all);
    }

    /// One of many nodes, or what they share, is about to fail. Under way is what has no answer, what was accepted and has not
    /// arrived, and what has arrived while its answer was not taken yet, or only just.
    pub(crate) fn one_of_many_fails(&mut self) {
        let is_under_way = |number: &u32| {
            let last = self.arrivals.get(number).and_then(|all| all.last());
            let is_settled = |arrival: &Arrival| arrival.settled.is_some_and(|at| at.elapsed() > TRANSIT);
            let has_answer = self.accepted.contains(number) || self.refused.contains_key(number);
            !has_answer || !last.is_some_and(is_settled)
        };
        let all: BTreeSet<u32> = (0..self.sent).filter(is_under_way).collect();
        self.met_by_a_fault(all);
    }

    fn met_by_a_fault(&mut self, all: BTreeSet<u32>) {
        for number in all {
            *self.faults.entry(number).or_default() += 1;
        }
    }

    /// The balance, with what stands among the dead letters: by number, why.
    pub(crate) fn balance(&self, dead: &BTreeMap<u32, String>) -> Balance {
        let mut balance = Balance {
            accepted: self.accepted.len(),
            refused: self.refused.len(),
            not_now: self.not_now.values().sum(),
            no_answer: self.no_answer,
            given_up: self.given_up.len(),
            repeated: self.arrivals.values().map(|all| all.len() - 1).sum(),
            ..Balance::default()
        };
        for number in &self.accepted {
            let has_arrived = self.arrivals.contains_key(number);
            match dead.get(number) {
                Some(why) if why.contains("outcome unknown") => {
                    balance.unknown += 1;
                    balance.unknown_and_arrived += usize::from(has_arrived);
                }
                _ if has_arrived => balance.arrived += 1,
                _ if self.told.contains_key(number) => balance.told += 1,
                Some(_) => balance.dead += 1,
                None => balance.lost.push(*number),
            }
        }
        let arrived = |number: &&u32| self.arrivals.contains_key(number);
        balance.given_up_and_arrived = self.given_up.iter().filter(arrived).count();
        let told = self
            .told
            .keys()
            .filter(|number| !self.asked_again.contains(number));
        balance.told_and_arrived = told.filter(arrived).copied().collect();
        balance.refused_and_arrived = self.refused.keys().filter(arrived).copied().collect();
        balance
    }

    /// What is known of a message, for people.
    pub(crate) fn history(&self, number: u32) -> String {
        let (told, arrivals) = (self.told.get(&number), self.arrivals.get(&number));
        format!("{number}: told {told:?}, arrived {arrivals:?}")
    }

    /// That what arrived again came under the same ID, and for each time has an excuse.
    pub(crate) fn check_repeats(&self, excuse: Excuse) {
        for (number, all) in &self.arrivals {
            let ids: BTreeSet<&String> = all.iter().map(|arrival| &arrival.id).collect();
            assert!(ids.len() == 1, "{number} came under {ids:?}");
            let faults = self.faults.get(number).copied().unwrap_or(0);
            let excused = match excuse {
                Excuse::Nothing => 0,
                Excuse::Faults => faults,
                Excuse::Unanswered => {
                    faults + unanswered(all) + self.come_again.get(number).copied().unwrap_or(0)
                }
            };
            assert!(
                all.len() <= 1 + excused,
                "{number} came {} times, excused {excused} times ({faults} faults): {all:?}",
                all.len()
            );
        }
    }
}

/// How many of the arrivals after the first came before the gateway could act on the answer to the one before.
fn unanswered(all: &[Arrival]) -> usize {
    let is_excused = |pair: &&[Arrival]| {
        let [before, after] = pair else { return false };
        before.settled.is_none_or(|settled| settled + TRANSIT > after.at)
    };
    all.windows(2).filter(is_excused).count()
}

impl fmt::Debug for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answered = self.settled.map(|at| at.saturating_duration_since(self.at));
        write!(
            f,
            "{} ago, answered after {answered:?}",
            self.at.elapsed().as_millis()
        )
    }
}

/// What became of everything that was accepted.
#[derive(Debug, Default)]
pub(crate) struct Balance {
    pub(crate) accepted: usize,
    pub(crate) arrived: usize,
    /// Did not arrive, and the sender knows why.
    pub(crate) told: usize,
    /// Among the dead letters, outcome unknown, whether it arrived or not.
    pub(crate) unknown: usize,
    pub(crate) unknown_and_arrived: usize,
    /// Among the dead letters for another reason.
    pub(crate) dead: usize,
    pub(crate) lost: Vec<u32>,
    /// Arrivals beyond the first of a message.
    pub(crate) repeated: usize,
    pub(crate) refused: usize,
    /// Answers that told a sender to come again.
    pub(crate) not_now: usize,
    /// Documents to which a sender had no answer.
    pub(crate) no_answer: usize,
    /// Not accepted, and not refused: the outcome is unknown to the sender.
    pub(crate) given_up: usize,
    pub(crate) given_up_and_arrived: usize,
    /// The sender was told that it failed, which is not so.
    pub(crate) told_and_arrived: Vec<u32>,
    /// The sender was told that it was not taken, which is not so.
    pub(crate) refused_and_arrived: Vec<u32>,
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} accepted = {} arrived + {} told why not + {} unknown ({} of them arrived) + {} dead + {} lost; {} repeated, {} refused",
            self.accepted,
            self.arrived,
            self.told,
            self.unknown,
            self.unknown_and_arrived,
            self.dead,
            self.lost.len(),
            self.repeated,
            self.refused
        )?;
        if self.not_now + self.no_answer + self.given_up > 0 {
            write!(
                f,
                "; senders: {} told to come again, {} without an answer, {} gave up ({} of them arrived)",
                self.not_now, self.no_answer, self.given_up, self.given_up_and_arrived
            )?;
        }
        Ok(())
    }
}

/// Longer than a document is on its way, on however slow a machine: what the gateway sent before it had the answer.
const TRANSIT: Duration = Duration::from_millis(1500);
