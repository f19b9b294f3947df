//! What waits for a link's next document, and what is waited for: order, bounds, and what a failure takes with it.
//!
//! No I/O and no clock. One conversation has one request under way; what comes after it waits behind. A request of a conversation
//! that comes to nothing takes with it what waits behind, in order, because its owner may send it again later. A transaction whose
//! document closes the connection in two sessions, alone both times, is not sent a third time.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use tokio::sync::oneshot;

use super::{Asked, Delivered, Expects, Fate, LinkFault, Pace};
use crate::{
    gateways::ssp::session::Session,
    model::Timestamp,
    relay::Begun,
    routing::Candidate,
    wire::ssp::{Mode, Transaction, TransactionId},
};

/// What is sent.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) transaction: Transaction,
    pub(super) way: Way,
}

/// How a transaction goes, and how far it has come.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) conversation: Option<Arc<str>>,
    pub(super) size: usize,
    pub(super) attempts: u32,
    /// Goes in a document of its own, because one that it shared failed.
    pub(super) alone: bool,
    /// The session in which a document with nothing else ended the connection.
    pub(super) closed_in: Option<Arc<str>>,
    /// The peer closed the connection of a document with it without an answer.
    pub(super) was_closed: bool,
    /// A document with it was posted, and whether it arrived will never turn out.
    pub(super) may_have_arrived: bool,
    /// Whoever waits until a transaction in Response mode is acknowledged.
    pub(super) done: Option<oneshot::Sender<Delivered>>,
    /// An answer's, which an orderly end waits for; a request is counted by whoever waits for it.
    pub(super) _underway: Option<Begun>,
}

/// What is waited for.
#[derive(Debug)]
pub(super) struct Outstanding {
    pub(super) done: oneshot::Sender<Fate>,
    /// Told of the acknowledgement, where an answer may follow it and need not.
    pub(super) acknowledged: Option<oneshot::Sender<()>>,
    /// Its conversation, as long as it keeps others of it waiting.
    pub(super) conversation: Option<Arc<str>>,
    pub(super) expects: Expects,
    /// What a late answer would be about.
    pub(super) asked: Option<Arc<Asked>>,
    pub(super) stage: Stage,
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// It is in no document.
    Waits,
    /// Its document is being posted.
    UnderWay,
    /// It waits for another document, after the connection of one was closed without an answer.
    Closed,
    /// It waits for another document, and the peer may have it from one before.
    Unsure,
    /// The peer has its document.
    Acknowledged,
}

/// Why a document was not taken.
#[derive(Debug)]
pub(super) struct Failure<'a> {
    pub(super) reason: &'a str,
    /// Whether something in the document may be to blame.
    pub(super) splits: bool,
    /// Whether the peer may have the document all the same.
    pub(super) may_have_arrived: bool,
    /// The session in which the peer closed the connection instead of an answer.
    pub(super) closed_in: Option<&'a str>,
}

/// What became of a message whose document was not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in super::super) enum Fallen {
    /// The peer has not got it.
    NotTaken,
    /// The peer closed the connection without an answer.
    Closed,
    /// The peer may have it, and whether it has will never turn out.
    Unsure,
}

/// What is to be told after a change, outside of the lock.
#[derive(Debug, Default)]
pub(super) struct Told {
    requests: Vec<(Outstanding, Fate)>,
    answers: Vec<(oneshot::Sender<Delivered>, Delivered)>,
}

/// What became of a failed document's transactions.
#[derive(Debug, Default)]
pub(super) struct Failed {
    pub(super) told: Told,
    /// To be sent again.
    pub(super) again: Vec<Waiting>,
    /// Given up by their owners while they were under way.
    pub(super) given_up: Vec<(TransactionId, Fallen)>,
}

/// The state of a link.
#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) session: Option<Arc<Session>>,
    pub(super) is_opening: bool,
    /// Whether a task is on its way that takes what is ready.
    pub(super) is_pumping: bool,
    /// Why the last handshake failed, for people; gone when a session opens.
    pub(super) failure: Option<String>,
    pub(super) ready: VecDeque<Waiting>,
    /// Conversations under way, with what waits behind.
    pub(super) conversations: HashMap<Arc<str>, VecDeque<Waiting>>,
    pub(super) outstanding: HashMap<String, Outstanding>,
    pub(super) candidates: Arc<[Candidate]>,
    pub(super) documents: usize,
    /// Documents whose failure to reach the peer keeps all others back for a moment.
    pub(super) pauses: usize,
    pub(super) waiting: usize,
    /// Octets of what waits, about.
    pub(super) octets: usize,
    /// Answers are being lost; said once, until a document gets through.
    pub(super) is_overrun: bool,
    pub(super) failures: u32,
    /// Renewals of the session in use that failed one after the other.
    pub(super) renewals: u32,
    pub(super) not_before: Timestamp,
    pub(super) unsupported: HashSet<&'static str>,
}

impl Told {
    /// Tells them, in order.
    pub(super) fn tell(self) {
        for (outstanding, fate) in self.requests {
            let _ = outstanding.done.send(fate);
        }
        for (done, result) in self.answers {
            let _ = done.send(result);
        }
    }

    /// What the peer may have of that which is given back.
    pub(super) fn unsure(&self) -> impl Iterator<Item = (&TransactionId, &Arc<Asked>)> {
        self.requests
            .iter()
            .filter_map(|(outstanding, fate)| match (fate, &outstanding.asked) {
                (Err(LinkFault::UnderWay(id)), Some(asked)) => Some((id, asked)),
                (Ok(_) | Err(_), _) => None,
            })
    }

    fn request(&mut self, outstanding: Outstanding, fate: Fate) {
        self.requests.push((outstanding, fate));
    }

    fn answer(&mut self, way: Way, result: Delivered) {
        if let Some(done) = way.done {
            self.answers.push((done, result));
        }
    }
}

impl Inner {
    /// Whether there is a session that may still be used.
    pub(super) fn has_session(&self, now: Timestamp) -> bool {
        self.session
            .as_ref()
            .is_some_and(|session| session.is_usable(now))
    }

    /// Whether no document can go now, or there is nothing for one.
    pub(super) fn is_full(&self, pace: &Pace) -> bool {
        self.ready.is_empty() || self.pauses > 0 || self.documents >= pace.documents
    }

    /// Whether so much more may wait.
    pub(super) fn has_room(&self, size: usize, pace: &Pace) -> bool {
        self.waiting < pace.max_waiting && self.octets.saturating_add(size) <= pace.max_waiting_octets
    }

    /// Queues a transaction, behind the one of its conversation that is under way.
    pub(super) fn enter(&mut self, waiting: Waiting) {
        self.waiting += 1;
        self.octets += waiting.way.size;
        let Some(conversation) = waiting.way.conversation.clone() else {
            self.ready.push_back(waiting);
            return;
        };
        match self.conversations.get_mut(&conversation) {
            Some(behind) => behind.push_back(waiting),
            None => {
                self.conversations.insert(conversation, VecDeque::new());
                self.ready.push_back(waiting);
            }
        }
    }

    fn leave(&mut self, size: usize) {
        self.waiting = self.waiting.saturating_sub(1);
        self.octets = self.octets.saturating_sub(size);
    }

    /// What goes into the next document.
    pub(super) fn take_document(&mut self, pace: &Pace) -> Vec<Waiting> {
        let mut items: Vec<Waiting> = Vec::new();
        let mut octets = 0;
        while let Some(next) = self.ready.front() {
            let is_full = items.len() >= pace.transactions || octets + next.way.size > pace.octets;
            if !items.is_empty() && (is_full || next.way.alone) {
                break;
            }
            let Some(next) = self.ready.pop_front() else { break };
            octets += next.way.size;
            let is_alone = next.way.alone;
            self.set_stage(&next, Stage::UnderWay);
            items.push(next);
            if is_alone {
                break;
            }
        }
        items
    }

    fn set_stage(&mut self, waiting: &Waiting, stage: Stage) {
        if waiting.transaction.mode == Mode::Request
            && let Some(outstanding) = self.outstanding.get_mut(waiting.transaction.id.as_str())
        {
            outstanding.stage = stage;
        }
    }

    /// The document of these was acknowledged.
    pub(super) fn acknowledged(&mut self, items: impl Iterator<Item = Waiting>) -> Told {
        let mut told = Told::default();
        for Waiting { transaction, way } in items {
            self.leave(way.size);
            if transaction.mode == Mode::Response {
                told.answer(way, Ok(()));
                continue;
            }
            let id = transaction.id.as_str();
            let Some(outstanding) = self.outstanding.get_mut(id) else {
                continue;
            };
            outstanding.stage = Stage::Acknowledged;
            match outstanding.expects {
                Expects::Answer => {}
                Expects::Maybe => {
                    let conversation = outstanding.conversation.take();
                    if let Some(acknowledged) = outstanding.acknowledged.take() {
                        let _ = acknowledged.send(());
                    }
                    self.release(conversation.as_ref());
                }
                Expects::Nothing => {
                    if let Some(outstanding) = self.outstanding.remove(id) {
                        self.release(outstanding.conversation.as_ref());
                        told.request(outstanding, Ok(None));
                    }
                }
            }
        }
        told
    }

    /// The answer to a request of ours has come.
    pub(super) fn take_answered(&mut self, id: &TransactionId) -> Option<Outstanding> {
        let outstanding = self.outstanding.remove(id.as_str())?;
        self.release(outstanding.conversation.as_ref());
        Some(outstanding)
    }

    /// The conversation's request is settled: the next one of it becomes ready.
    fn release(&mut self, conversation: Option<&Arc<str>>) {
        let Some(conversation) = conversation else { return };
        let Some(behind) = self.conversations.get_mut(conversation) else {
            return;
        };
        match behind.pop_front() {
            Some(next) => self.ready.push_back(next),
            None => {
                self.conversations.remove(conversation);
            }
        }
    }

    /// The document of these was not taken: each is sent again, as a single where it may be to blame, or given up.
    pub(super) fn failed(&mut self, items: Vec<Waiting>, failure: &Failure<'_>) -> Failed {
        let mut failed = Failed::default();
        let is_shared = items.len() > 1;
        for mut item in items {
            item.way.attempts += 1;
            item.way.alone |= failure.splits && is_shared;
            item.way.may_have_arrived |= failure.may_have_arrived;
            item.way.was_closed |= failure.closed_in.is_some();
            let is_request = item.transaction.mode == Mode::Request;
            if is_request && !self.outstanding.contains_key(item.transaction.id.as_str()) {
                self.leave(item.way.size);
                failed.given_up.push((item.transaction.id, item.way.fallen()));
                continue;
            }
            let ends_connections = failure
                .closed_in
                .filter(|_| !is_shared)
                .is_some_and(|session| item.way.closes_again(session));
            if ends_connections {
                let fault = LinkFault::EndsConnections;
                self.give_back(item, fault, &mut failed.told);
            } else if item.way.attempts < MAX_ATTEMPTS {
                self.set_stage(&item, item.way.stage());
                failed.again.push(item);
            } else {
                let fault = LinkFault::NotTaken(failure.reason.to_owned());
                self.give_back(item, fault, &mut failed.told);
            }
        }
        failed
    }

    fn give_back(&mut self, item: Waiting, fault: LinkFault, told: &mut Told) {
        self.leave(item.way.size);
        if item.transaction.mode == Mode::Response {
            told.answer(item.way, Err(fault));
            return;
        }
        let Some(outstanding) = self.outstanding.remove(item.transaction.id.as_str()) else {
            return;
        };
        let conversation = outstanding.conversation.clone();
        let fault = match fault {
            LinkFault::NotTaken(reason) => item.way.not_taken(&item.transaction.id, &outstanding, reason),
            known @ (LinkFault::Closed(_)
            | LinkFault::UnderWay(_)
            | LinkFault::Unanswered(_)
            | LinkFault::EndsConnections) => known,
        };
        told.request(outstanding, Err(fault));
        if let Some(conversation) = conversation {
            self.fail_behind(&conversation, told);
        }
    }

    /// The head of a conversation came to nothing, and so does what waits behind it.
    fn fail_behind(&mut self, conversation: &Arc<str>, told: &mut Told) {
        for behind in self.conversations.remove(conversation).into_iter().flatten() {
            self.fail_one_behind(&behind, told);
        }
    }

    fn fail_one_behind(&mut self, behind: &Waiting, told: &mut Told) {
        self.leave(behind.way.size);
        if let Some(outstanding) = self.outstanding.remove(behind.transaction.id.as_str()) {
            told.request(outstanding, Err(LinkFault::NotTaken(AN_EARLIER_ONE.into())));
        }
    }

    /// Nobody waits for this request any more; what it was, if it was still waited for.
    pub(super) fn give_up(&mut self, tid: &str) -> (Option<Outstanding>, Told) {
        let mut told = Told::default();
        let Some(outstanding) = self.outstanding.remove(tid) else {
            return (None, told);
        };
        if let Some(index) = self
            .ready
            .iter()
            .position(|one| one.transaction.id.as_str() == tid)
            && let Some(waiting) = self.ready.remove(index)
        {
            self.leave(waiting.way.size);
        }
        if let Some(conversation) = &outstanding.conversation {
            let behind = self.conversations.get_mut(conversation);
            let index = behind
                .as_ref()
                .and_then(|behind| behind.iter().position(|one| one.transaction.id.as_str() == tid));
            match (behind, index) {
                (Some(behind), Some(index)) => {
                    let mut after = behind.split_off(index).into_iter();
                    if let Some(this) = after.next() {
                        self.leave(this.way.size);
                    }
                    for behind in after {
                        self.fail_one_behind(&behind, &mut told);
                    }
                }
                (Some(_) | None, _) => self.fail_behind(conversation, &mut told),
            }
        }
        (Some(outstanding), told)
    }

    /// Drops what somebody sent in Response mode and waits for no longer.
    pub(super) fn drop_abandoned(&mut self) {
        let all = std::mem::take(&mut self.ready);
        let is_abandoned = |one: &Waiting| one.way.done.as_ref().is_some_and(oneshot::Sender::is_closed);
        let (abandoned, kept): (VecDeque<_>, _) = all.into_iter().partition(is_abandoned);
        self.ready = kept;
        for one in abandoned {
            self.leave(one.way.size);
        }
    }

    /// Puts back at the front what goes again, but for what was given up meanwhile.
    pub(super) fn put_back(&mut self, mut items: Vec<Waiting>) {
        while let Some(item) = items.pop() {
            let is_wanted = item.transaction.mode == Mode::Response
                || self.outstanding.contains_key(item.transaction.id.as_str());
            if is_wanted {
                self.ready.push_front(item);
            } else {
                self.leave(item.way.size);
            }
        }
    }

    /// Nothing that waits can go now; what is under way is not touched, and keeps its place in its conversation.
    pub(super) fn fail_all(&mut self, reason: &str) -> Told {
        let mut told = Told::default();
        for item in std::mem::take(&mut self.ready) {
            let fault = LinkFault::NotTaken(reason.to_owned());
            self.give_back(item, fault, &mut told);
        }
        let under_way: Vec<Arc<str>> = self.conversations.keys().cloned().collect();
        for conversation in under_way {
            let behind = self.conversations.get_mut(&conversation);
            for behind in behind.map(std::mem::take).into_iter().flatten() {
                self.fail_one_behind(&behind, &mut told);
            }
        }
        told
    }
}

impl Outstanding {
    /// What was asked, if the peer may have it.
    pub(super) fn asked_already(&self) -> Option<&Arc<Asked>> {
        self.asked.as_ref().filter(|_| self.stage != Stage::Waits)
    }
}

impl Way {
    /// As the transaction of a document.
    pub(super) fn new(conversation: Option<Arc<str>>, size: usize) -> Self {
        Self {
            conversation,
            size,
            attempts: 0,
            alone: false,
            closed_in: None,
            was_closed: false,
            may_have_arrived: false,
            done: None,
            _underway: None,
        }
    }

    /// How far a request has come that waits for another document.
    fn stage(&self) -> Stage {
        match self.fallen() {
            Fallen::NotTaken => Stage::Waits,
            Fallen::Closed => Stage::Closed,
            Fallen::Unsure => Stage::Unsure,
        }
    }

    /// Why a request is given back that can't go now.
    fn not_taken(&self, id: &TransactionId, outstanding: &Outstanding, reason: String) -> LinkFault {
        match self.fallen() {
            Fallen::Unsure if outstanding.asked.is_some() => LinkFault::UnderWay(id.clone()),
            Fallen::Closed => LinkFault::Closed(reason),
            Fallen::NotTaken | Fallen::Unsure => LinkFault::NotTaken(reason),
        }
    }

    fn fallen(&self) -> Fallen {
        if self.may_have_arrived {
            Fallen::Unsure
        } else if self.was_closed {
            Fallen::Closed
        } else {
            Fallen::NotTaken
        }
    }

    /// Its document, which had nothing else in it, ended the connection; whether it did so in another session before.
    fn closes_again(&mut self, session: &str) -> bool {
        let first = self.closed_in.get_or_insert_with(|| session.into());
        **first != *session
    }
}

/// Why what waits behind is not sent.
const AN_EARLIER_ONE: &str = "an earlier request of the conversation came to nothing";

/// After so many failures a transaction is given back to its owner, who may keep it in the store.
const MAX_ATTEMPTS: u32 = 3;

#[cfg(test)]
mod tests;
