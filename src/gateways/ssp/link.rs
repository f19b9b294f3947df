//! One (own domain, peer domain) pair: what waits for its session, what is under way, and what is waited for.
//!
//! What one turn of a task makes ready goes out in one document, and while documents are under way, what becomes ready gathers
//! for the next one; no timer, nothing waits when the link is idle. One conversation has one request under way at a time, so that
//! its order holds whatever the peer does. A transaction is registered before its document is sent, because the answer may
//! overtake the acknowledgement.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, oneshot};

use super::{gateway::SspGateway, session::Session};
use crate::{
    model::{Domain, Timestamp},
    routing::Candidate,
    wire::ssp::{Document, Mode, Primitive, SessionId, Transaction, TransactionId},
};

/// The traffic between one of our domains and one of a peer's.
pub(super) struct Link {
    pub(super) own: Domain,
    pub(super) peer: Domain,
    gateway: Weak<SspGateway>,
    inner: Mutex<Inner>,
    tids: AtomicU64,
    /// Ends the pause after a failed document when a session comes up.
    resumed: Notify,
    unclaimed: AtomicU64,
}

/// Why a request came to no answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum LinkFault {
    /// The peer has not taken it; it may be sent again.
    NotTaken(String),
    /// The peer acknowledged the document and never answered.
    Unanswered,
}

/// What became of a request: its answer, or none for a request that has none.
type Fate = Result<Option<Primitive>, LinkFault>;

/// How one document was received.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Posted {
    /// A 2xx.
    Accepted,
    /// The peer does not know the session.
    SessionUnknown,
    /// Every server was tried, and one took the connection and closed it without an answer, as the observed peer does with
    /// sessions that it does not know.
    Closed(String),
    /// Anything else, after every server was tried.
    Failed(String),
}

/// What is sent.
#[derive(Debug)]
struct Waiting {
    transaction: Transaction,
    conversation: Option<Arc<str>>,
    size: usize,
    attempts: u32,
    alone: bool,
}

/// What is waited for.
#[derive(Debug)]
struct Outstanding {
    done: oneshot::Sender<Fate>,
    conversation: Option<Arc<str>>,
    expects_answer: bool,
    is_acknowledged: bool,
}

#[derive(Debug, Default)]
struct Inner {
    session: Option<Arc<Session>>,
    is_opening: bool,
    /// Whether a task is on its way that takes what is ready.
    is_pumping: bool,
    /// Why the last handshake failed, for people; gone when a session opens.
    failure: Option<String>,
    ready: VecDeque<Waiting>,
    /// Conversations under way, with what waits behind.
    conversations: HashMap<Arc<str>, VecDeque<Waiting>>,
    outstanding: HashMap<String, Outstanding>,
    candidates: Arc<[Candidate]>,
    documents: usize,
    waiting: usize,
    /// Answers are being lost; said once, until a document gets through.
    is_overrun: bool,
    failures: u32,
    not_before: Timestamp,
    unsupported: HashSet<&'static str>,
}

/// How a link sends: from the agreement and the configuration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) documents: usize,
    pub(super) transactions: usize,
    pub(super) octets: usize,
    pub(super) max_waiting: usize,
}

impl Link {
    pub(super) fn new(own: Domain, peer: Domain, gateway: Weak<SspGateway>) -> Self {
        Self {
            own,
            peer,
            gateway,
            inner: Mutex::default(),
            tids: AtomicU64::new(1),
            resumed: Notify::new(),
            unclaimed: AtomicU64::new(0),
        }
    }

    /// Sends a request and waits for what becomes of it, until the deadline.
    ///
    /// `Ok(None)` is an acknowledgement of a request that has no answer.
    pub(super) async fn request(
        self: &Arc<Self>,
        primitive: Primitive,
        conversation: Option<String>,
        expects_answer: bool,
        wait: Duration,
    ) -> Result<Option<Primitive>, LinkFault> {
        let (tid, answer) = self.enqueue(primitive, conversation, expects_answer)?;
        let mut claim = Claim {
            link: self,
            tid: Some(tid),
        };
        self.pump();
        match tokio::time::timeout(wait, answer).await {
            Ok(fate) => {
                claim.tid = None;
                fate.unwrap_or_else(|_| Err(LinkFault::NotTaken("the gateway is shutting down".into())))
            }
            Err(_) => Err(claim.give_up()),
        }
    }

    /// Queues a Response-mode transaction; it is sent once, or lost with its connection, as the peer expects. A peer that asks
    /// and does not take its answers loses those past the bound of what waits.
    pub(super) fn respond(self: &Arc<Self>, id: TransactionId, primitive: Primitive) {
        let Some(gateway) = self.gateway.upgrade() else {
            return;
        };
        let bound = gateway.pace(&self.peer).max_waiting;
        let size = approximate_size(&primitive);
        let transaction = Transaction {
            mode: Mode::Response,
            id,
            primitive,
        };
        {
            let mut inner = self.lock();
            if inner.waiting >= bound {
                if !std::mem::replace(&mut inner.is_overrun, true) {
                    tracing::warn!(own = %self.own, peer = %self.peer, bound,
                        "the peer asks faster than it takes the answers; answers past ssp.max_waiting are lost");
                }
                return;
            }
            inner.waiting += 1;
            inner.ready.push_back(Waiting {
                transaction,
                conversation: None,
                size,
                attempts: 0,
                alone: false,
            });
        }
        self.pump();
    }

    /// A Response-mode transaction has come; gives the primitive back when nobody waits for it.
    pub(super) fn answered(self: &Arc<Self>, id: &TransactionId, primitive: Primitive) -> Option<Primitive> {
        let outstanding = {
            let mut inner = self.lock();
            let outstanding = inner.outstanding.remove(id.as_str());
            if let Some(conversation) = outstanding.as_ref().and_then(|one| one.conversation.clone()) {
                inner.release(&conversation);
            }
            outstanding
        };
        let Some(outstanding) = outstanding else {
            self.unclaimed.fetch_add(1, Ordering::Relaxed);
            return Some(primitive);
        };
        let unclaimed = outstanding.done.send(Ok(Some(primitive))).err();
        self.pump();
        unclaimed.and_then(Result::ok).flatten()
    }

    /// A session was established: what waits goes out.
    pub(super) fn opened(self: &Arc<Self>, session: Arc<Session>) {
        {
            let mut inner = self.lock();
            inner.session = Some(session);
            inner.is_opening = false;
            inner.failure = None;
            inner.failures = 0;
            inner.not_before = Timestamp::default();
            inner.unsupported.clear();
        }
        self.resumed.notify_waiters();
        self.pump();
    }

    /// The session in use has another end now; `false` when it is not the one in use.
    pub(super) fn extended(&self, session: &Arc<Session>) -> bool {
        let mut inner = self.lock();
        let current = inner.session.as_mut();
        let Some(current) = current.filter(|current| current.own_id == session.own_id) else {
            return false;
        };
        *current = Arc::clone(session);
        true
    }

    /// The handshake failed: nothing that waits can go now.
    pub(super) fn not_opened(self: &Arc<Self>, reason: &str, now: Timestamp) {
        let failed = {
            let mut inner = self.lock();
            inner.is_opening = false;
            if inner.session.is_some() {
                // A renewal, or the peer's own attempt: what waits has a session to go by.
                return;
            }
            inner.failure = Some(reason.to_owned());
            inner.failures = inner.failures.saturating_add(1);
            inner.not_before = now.plus(pause_after(inner.failures));
            inner.fail_all()
        };
        for outstanding in failed {
            let _ = outstanding.done.send(Err(LinkFault::NotTaken(reason.to_owned())));
        }
    }

    /// The session is used no more for what we send.
    pub(super) fn close(&self) -> Option<Arc<Session>> {
        self.lock().session.take()
    }

    /// How it stands without a session, in a word or a sentence.
    pub(super) fn state(&self) -> String {
        let inner = self.lock();
        match (&inner.session, inner.is_opening, &inner.failure) {
            (Some(_), _, _) => "open".into(),
            (None, true, _) => "opening".into(),
            (None, false, Some(reason)) => reason.clone(),
            (None, false, None) => "closed".into(),
        }
    }

    /// As [`Link::close`], if it is this session that is used.
    pub(super) fn forget_session(&self, session: &Session) {
        let mut inner = self.lock();
        let current = inner.session.as_ref();
        if current.is_some_and(|current| current.own_id == session.own_id) {
            inner.session = None;
        }
    }

    pub(super) fn session(&self) -> Option<Arc<Session>> {
        self.lock().session.clone()
    }

    pub(super) fn candidates(&self) -> Arc<[Candidate]> {
        Arc::clone(&self.lock().candidates)
    }

    pub(super) fn set_candidates(&self, candidates: &Arc<[Candidate]>) {
        let mut inner = self.lock();
        if !Arc::ptr_eq(&inner.candidates, candidates) {
            inner.candidates = Arc::clone(candidates);
        }
    }

    /// Remembers, for the session, that the peer does not know a primitive.
    pub(super) fn remember_unsupported(&self, primitive: &'static str) {
        self.lock().unsupported.insert(primitive);
    }

    pub(super) fn is_unsupported(&self, primitive: &'static str) -> bool {
        self.lock().unsupported.contains(primitive)
    }

    /// Documents under way, transactions that wait, and transactions that are waited for.
    pub(super) fn load(&self) -> (usize, usize, usize) {
        let inner = self.lock();
        (inner.documents, inner.waiting, inner.outstanding.len())
    }

    /// Answers that came when nobody waited for them any more: late ones, second ones, and those to nothing of ours.
    pub(super) fn unclaimed(&self) -> u64 {
        self.unclaimed.load(Ordering::Relaxed)
    }

    fn enqueue(
        &self,
        primitive: Primitive,
        conversation: Option<String>,
        expects_answer: bool,
    ) -> Result<(String, oneshot::Receiver<Fate>), LinkFault> {
        let Some(gateway) = self.gateway.upgrade() else {
            return Err(LinkFault::NotTaken("the gateway is shutting down".into()));
        };
        let tid = format!(
            "{}-{}",
            gateway.incarnation(),
            self.tids.fetch_add(1, Ordering::Relaxed)
        );
        let id: TransactionId = TransactionId::new(tid.as_str());
        let (done, answer) = oneshot::channel();
        let size = approximate_size(&primitive);
        let transaction = Transaction {
            mode: Mode::Request,
            id,
            primitive,
        };
        let conversation: Option<Arc<str>> = conversation.map(Into::into);
        let pace = gateway.pace(&self.peer);
        let now = gateway.now();
        let mut inner = self.lock();
        if inner.session.is_none() && now < inner.not_before {
            return Err(LinkFault::NotTaken(
                "the peer could not be reached a moment ago".into(),
            ));
        }
        if inner.waiting >= pace.max_waiting {
            return Err(LinkFault::NotTaken("too much waits for this peer already".into()));
        }
        inner.outstanding.insert(
            tid.clone(),
            Outstanding {
                done,
                conversation: conversation.clone(),
                expects_answer,
                is_acknowledged: false,
            },
        );
        inner.waiting += 1;
        let waiting = Waiting {
            transaction,
            conversation: conversation.clone(),
            size,
            attempts: 0,
            alone: false,
        };
        match conversation {
            Some(conversation) => match inner.conversations.get_mut(&conversation) {
                Some(behind) => behind.push_back(waiting),
                None => {
                    inner.conversations.insert(conversation, VecDeque::new());
                    inner.ready.push_back(waiting);
                }
            },
            None => inner.ready.push_back(waiting),
        }
        Ok((tid, answer))
    }

    /// Sends as many documents as may be under way, once what runs now has run: what it makes ready goes out together.
    pub(super) fn pump(self: &Arc<Self>) {
        let Some(gateway) = self.gateway.upgrade() else {
            return;
        };
        if self.begins_pumping(&gateway) {
            tokio::spawn(Arc::clone(self).send_ready(gateway));
        }
    }

    /// Whether there is something to send and nobody on his way to do so; then the caller is.
    fn begins_pumping(&self, gateway: &SspGateway) -> bool {
        let mut inner = self.lock();
        // What waits is looked at first: mostly nothing, and the pace must be looked up.
        let is_at_rest = inner.is_pumping || inner.ready.is_empty();
        if is_at_rest || inner.documents >= gateway.pace(&self.peer).documents {
            return false;
        }
        inner.is_pumping = true;
        true
    }

    /// Sends one document after the other, until nothing is ready or others send as many as may be under way.
    async fn send_ready(self: Arc<Self>, gateway: Arc<SspGateway>) {
        loop {
            self.lock().is_pumping = false;
            let Some((session, items)) = self.next_document(&gateway) else {
                return;
            };
            // Another task takes the next document, after this one is on its way.
            self.pump();
            self.send(&gateway, session, items).await;
            if !self.begins_pumping(&gateway) {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// What goes out next, if it may; opens a session when there is none.
    fn next_document(self: &Arc<Self>, gateway: &Arc<SspGateway>) -> Option<(Arc<Session>, Vec<Waiting>)> {
        let pace = gateway.pace(&self.peer);
        let mut inner = self.lock();
        if inner.ready.is_empty() || inner.documents >= pace.documents {
            return None;
        }
        let now = gateway.now();
        let Some(session) = inner.session.clone().filter(|session| session.is_usable(now)) else {
            if !inner.is_opening {
                inner.is_opening = true;
                drop(inner);
                gateway.open(Arc::clone(self));
            }
            return None;
        };
        let items = inner.take_document(&pace);
        inner.documents += 1;
        Some((session, items))
    }

    async fn send(&self, gateway: &SspGateway, session: Arc<Session>, items: Vec<Waiting>) {
        let first = items
            .first()
            .map(|item| (item.transaction.mode, item.transaction.id.clone()));
        let count = items.len();
        let (mut transactions, mut rest) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for Waiting {
            transaction,
            conversation,
            size,
            attempts,
            alone,
        } in items
        {
            rest.push((conversation, size, attempts, alone));
            transactions.push(transaction);
        }
        let document = Document::Session {
            session_id: SessionId::new(session.own_id.as_str()),
            transactions,
        };
        let posted = gateway.post(self, &session, &document, first).await;
        let Document::Session { transactions, .. } = document else {
            return;
        };
        if posted == Posted::Accepted {
            let conversations = rest.iter().map(|(conversation, ..)| conversation.as_ref());
            return self.acknowledged(transactions.iter().zip(conversations));
        }
        let items =
            transactions
                .into_iter()
                .zip(rest)
                .map(|(transaction, (conversation, size, attempts, alone))| Waiting {
                    transaction,
                    conversation,
                    size,
                    attempts,
                    alone,
                });
        let was_closed = matches!(posted, Posted::Closed(_));
        match posted {
            // Dealt with above, where nothing was moved yet.
            Posted::Accepted => {}
            Posted::SessionUnknown => {
                tracing::info!(own = %self.own, peer = %self.peer, "the peer lost the session; opening anew");
                self.forget_session(&session);
                // Answers belonged to the lost session.
                let (requests, answers): (Vec<_>, Vec<_>) =
                    items.partition(|item| item.transaction.mode == Mode::Request);
                {
                    let mut inner = self.lock();
                    inner.waiting = inner.waiting.saturating_sub(answers.len());
                }
                // A peer that never knows the sessions that it agreed to must not keep us climbing ladders for ever.
                self.failed(
                    requests,
                    "the peer does not know the session that it has just opened",
                    false,
                );
                self.lock().documents -= 1;
            }
            Posted::Failed(reason) | Posted::Closed(reason) => {
                let items: Vec<Waiting> = items.collect();
                let is_repeated = items.iter().any(|item| item.attempts > 0);
                if was_closed && is_repeated {
                    self.forget_session(&session);
                }
                let resumed = self.resumed.notified();
                let pause = self.failed(items, &reason, true);
                let _ = tokio::time::timeout(pause, resumed).await;
                self.lock().documents -= 1;
            }
        }
    }

    fn acknowledged<'a>(&self, items: impl Iterator<Item = (&'a Transaction, Option<&'a Arc<str>>)>) {
        let mut done = Vec::new();
        {
            let mut inner = self.lock();
            inner.documents -= 1;
            inner.failures = 0;
            inner.is_overrun = false;
            for (transaction, conversation) in items {
                inner.waiting = inner.waiting.saturating_sub(1);
                if transaction.mode == Mode::Response {
                    continue;
                }
                let id = transaction.id.as_str();
                match inner.outstanding.get_mut(id) {
                    Some(outstanding) if outstanding.expects_answer => outstanding.is_acknowledged = true,
                    Some(_) => {
                        done.extend(inner.outstanding.remove(id));
                        if let Some(conversation) = conversation {
                            inner.release(conversation);
                        }
                    }
                    None => {}
                }
            }
        }
        for outstanding in done {
            let _ = outstanding.done.send(Ok(None));
        }
    }

    /// The document was not taken: it is tried again, as singles where it may be to blame, and given up after a few attempts.
    /// Returns the pause before the next attempt.
    fn failed(&self, items: Vec<Waiting>, reason: &str, splits: bool) -> Duration {
        let mut given_up = Vec::new();
        let pause = {
            let mut inner = self.lock();
            let alone = splits && items.len() > 1;
            let mut again = Vec::new();
            for mut item in items {
                item.attempts += 1;
                item.alone = alone || item.alone;
                let is_request = item.transaction.mode == Mode::Request;
                let is_wanted = is_request && inner.outstanding.contains_key(item.transaction.id.as_str());
                if item.attempts < MAX_ATTEMPTS && (is_wanted || !is_request) {
                    again.push(item);
                    continue;
                }
                inner.waiting = inner.waiting.saturating_sub(1);
                // One that was given up while it was under way has released its conversation already.
                let outstanding = inner.outstanding.remove(item.transaction.id.as_str());
                if let (Some(_), Some(conversation)) = (&outstanding, &item.conversation) {
                    inner.release(conversation);
                }
                given_up.extend(outstanding);
            }
            let attempts = again.first().map_or(0, |item| item.attempts);
            inner.put_back(again);
            Duration::from_millis(100 * u64::from(3_u32.saturating_pow(attempts)))
        };
        for outstanding in given_up {
            let _ = outstanding.done.send(Err(LinkFault::NotTaken(reason.to_owned())));
        }
        pause
    }

    /// The deadline has come: whether the request may be sent again depends on how far it got.
    fn give_up(&self, tid: &str) -> LinkFault {
        let mut inner = self.lock();
        let Some(outstanding) = inner.outstanding.remove(tid) else {
            return LinkFault::Unanswered;
        };
        let before = inner.ready.len();
        inner
            .ready
            .retain(|waiting| waiting.transaction.id.as_str() != tid);
        let mut removed = before - inner.ready.len();
        if let Some(conversation) = &outstanding.conversation {
            let was_ready = removed > 0;
            if let Some(behind) = inner.conversations.get_mut(conversation) {
                let before = behind.len();
                behind.retain(|waiting| waiting.transaction.id.as_str() != tid);
                let was_behind = behind.len() < before;
                removed += before - behind.len();
                if was_ready || !was_behind {
                    inner.release(conversation);
                }
            }
        }
        inner.waiting = inner.waiting.saturating_sub(removed);
        if outstanding.is_acknowledged {
            LinkFault::Unanswered
        } else {
            LinkFault::NotTaken("the peer did not take the document in time".into())
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The waiting for one answer; when it ends early, what it occupied is free again.
struct Claim<'a> {
    link: &'a Arc<Link>,
    tid: Option<String>,
}

impl Claim<'_> {
    fn give_up(&mut self) -> LinkFault {
        let Some(tid) = self.tid.take() else {
            return LinkFault::Unanswered;
        };
        let fault = self.link.give_up(&tid);
        // The next of the conversation may go; outside of a runtime nothing can.
        if tokio::runtime::Handle::try_current().is_ok() {
            self.link.pump();
        }
        fault
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.give_up();
    }
}

impl Inner {
    fn take_document(&mut self, pace: &Pace) -> Vec<Waiting> {
        let mut items: Vec<Waiting> = Vec::new();
        let mut octets = 0;
        while let Some(next) = self.ready.front() {
            let is_full = items.len() >= pace.transactions || octets + next.size > pace.octets;
            if !items.is_empty() && (is_full || next.alone) {
                break;
            }
            let Some(next) = self.ready.pop_front() else { break };
            octets += next.size;
            let is_alone = next.alone;
            items.push(next);
            if is_alone {
                break;
            }
        }
        items
    }

    /// The conversation's request is settled: the next one of it becomes ready.
    fn release(&mut self, conversation: &Arc<str>) {
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

    fn put_back(&mut self, mut items: Vec<Waiting>) {
        while let Some(item) = items.pop() {
            self.ready.push_front(item);
        }
    }

    fn fail_all(&mut self) -> Vec<Outstanding> {
        let mut ids: Vec<String> = Vec::new();
        let behind = self.conversations.drain().flat_map(|(_, behind)| behind);
        for waiting in self.ready.drain(..).chain(behind) {
            ids.push(waiting.transaction.id.as_str().to_owned());
        }
        self.waiting = self.waiting.saturating_sub(ids.len());
        ids.iter().filter_map(|id| self.outstanding.remove(id)).collect()
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Link({} with {})", self.own, self.peer)
    }
}

/// How long the peer is left alone after so many failed handshakes in a row.
fn pause_after(failures: u32) -> Duration {
    Duration::from_millis(500 * u64::from(2_u32.saturating_pow(failures.min(6))))
}

/// Enough to decide whether one more transaction fits; the exact size is not worth an encoding.
fn approximate_size(primitive: &Primitive) -> usize {
    let content = if let Primitive::SendMessageRequest(message) = primitive {
        message.content.as_ref().map_or(0, |content| content.bytes.len())
    } else {
        0
    };
    content * 4 / 3 + 1024
}

/// After so many failures a transaction is given back to its owner, who may keep it in the store.
const MAX_ATTEMPTS: u32 = 3;
