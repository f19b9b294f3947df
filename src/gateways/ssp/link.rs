//! One (own domain, peer domain) pair: what waits for its session, what is under way, and what is waited for.
//!
//! What one turn of a task makes ready goes out in one document, and while documents are under way, what becomes ready gathers
//! for the next one; no timer, nothing waits when the link is idle. One conversation has one request under way at a time, so that
//! its order holds whatever the peer does (`link/waiting.rs`). A transaction is registered before its document is sent, because
//! the answer may overtake the acknowledgement.

mod waiting;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, oneshot};

pub(super) use self::waiting::Fallen;
use self::waiting::{Failure, Inner, Outstanding, Stage, Told, Waiting, Way};
use super::{gateway::SspGateway, session::Session};
use crate::{
    model::{Domain, MessageId, Timestamp, WvAddress},
    routing::Candidate,
    wire::ssp::{Document, Mode, Primitive, SessionId, Transaction, TransactionId},
};

/// The traffic between one of our domains and one of a peer's.
pub(super) struct Link {
    pub(super) own: Domain,
    pub(super) peer: Domain,
    gateway: Weak<SspGateway>,
    inner: Mutex<Inner>,
    /// Ends the pause after a failed document when a session comes up.
    resumed: Notify,
    unclaimed: AtomicU64,
}

/// A request, ready to wait.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) primitive: Primitive,
    /// Requests of one conversation go one after the other.
    pub(super) conversation: Option<String>,
    pub(super) expects: Expects,
    /// What a late answer would be about; none where nothing is done with late answers.
    pub(super) asked: Option<Asked>,
}

/// Whether an SSP answer comes to a request (SSP reference §11).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Expects {
    /// One comes.
    Answer,
    /// A `Status` may come soon after the acknowledgement; without one the request is taken.
    Maybe,
    /// The acknowledgement is all.
    Nothing,
}

/// A message as the peer was asked to take it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Asked {
    /// The ID that it carries there.
    pub(super) message: MessageId,
    /// Whom it is for, as they were asked for.
    pub(super) recipients: Vec<WvAddress>,
}

/// Why a request came to no answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum LinkFault {
    /// The peer has not taken it; it may be sent again.
    NotTaken(String),
    /// The peer closed the connection of its document without an answer; it may be sent again, as to a peer that lost the session.
    Closed(String),
    /// Its document is being posted, and whether the peer takes it will turn out; or it was, and the peer may have it.
    UnderWay(TransactionId),
    /// The peer acknowledged the document and never answered.
    Unanswered(TransactionId),
    /// The peer ended the connection of each document that had nothing but this in it, in two sessions.
    EndsConnections,
}

/// What became of a request: its answer, or none for a request that has none.
type Fate = Result<Option<Primitive>, LinkFault>;

/// What became of a transaction in Response mode.
type Delivered = Result<(), LinkFault>;

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
    /// A server that could be reached answered with another status.
    Refused(String),
    /// A server may have it, and said nothing.
    Unsure(String),
    /// No server could be reached, or there is none.
    Failed(String),
}

/// How a link sends: from the agreement and the configuration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) documents: usize,
    pub(super) transactions: usize,
    pub(super) octets: usize,
    pub(super) max_waiting: usize,
    pub(super) max_waiting_octets: usize,
}

impl Link {
    pub(super) fn new(own: Domain, peer: Domain, gateway: Weak<SspGateway>) -> Self {
        Self {
            own,
            peer,
            gateway,
            inner: Mutex::default(),
            resumed: Notify::new(),
            unclaimed: AtomicU64::new(0),
        }
    }

    /// Sends a request and waits for what becomes of it, until the deadline.
    ///
    /// `Ok(None)` is an acknowledgement of a request that has no answer.
    pub(super) async fn request(self: &Arc<Self>, ask: Ask, wait: Duration) -> Fate {
        let expects = ask.expects;
        let (id, mut answer, acknowledged) = self.enqueue(ask)?;
        let mut claim = Claim {
            link: self,
            id: Some(id),
        };
        self.pump();
        let settled = async {
            if expects != Expects::Maybe {
                return Some((&mut answer).await);
            }
            tokio::select! {
                biased;
                fate = &mut answer => return Some(fate),
                _ = acknowledged => {}
            }
            let soon = tokio::time::timeout(ANSWER_TO_NOTICE, &mut answer);
            soon.await.ok()
        };
        let settled = tokio::time::timeout(wait, settled).await.ok().flatten();
        let fate = if let Some(fate) = settled {
            claim.id = None;
            fate
        } else if let Some(fault) = claim.give_up() {
            if expects == Expects::Maybe && matches!(fault, LinkFault::Unanswered(_)) {
                return Ok(None);
            }
            return Err(fault);
        } else {
            // It is being settled in this moment.
            answer.await
        };
        fate.unwrap_or_else(|_| Err(LinkFault::NotTaken("the gateway is shutting down".into())))
    }

    /// Queues a Response-mode transaction that nobody waits for. A peer that asks and does not take its answers loses those
    /// past the bound of what waits.
    pub(super) fn respond(self: &Arc<Self>, id: TransactionId, primitive: Primitive) {
        if self.queue_response(id, primitive, None).is_err() {
            return;
        }
        self.pump();
    }

    /// Sends a Response-mode transaction, and waits until the peer has acknowledged it.
    ///
    /// # Errors
    /// Why the peer has not taken it, or not in time; it may be sent again.
    pub(super) async fn respond_and_wait(
        self: &Arc<Self>,
        id: TransactionId,
        primitive: Primitive,
        wait: Duration,
    ) -> Delivered {
        let (done, acknowledged) = oneshot::channel();
        self.queue_response(id, primitive, Some(done))?;
        self.pump();
        match tokio::time::timeout(wait, acknowledged).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(LinkFault::NotTaken("the gateway is shutting down".into())),
            Err(_) => {
                self.lock().drop_abandoned();
                Err(LinkFault::NotTaken(NOT_IN_TIME.into()))
            }
        }
    }

    fn queue_response(
        &self,
        id: TransactionId,
        primitive: Primitive,
        done: Option<oneshot::Sender<Delivered>>,
    ) -> Delivered {
        let Some(gateway) = self.gateway.upgrade() else {
            return Err(LinkFault::NotTaken("the gateway is shutting down".into()));
        };
        let pace = gateway.pace(&self.peer);
        let way = Way {
            done,
            _underway: Some(gateway.underway().begin()),
            ..Way::new(None, approximate_size(&primitive))
        };
        let transaction = Transaction {
            mode: Mode::Response,
            id,
            primitive,
        };
        let mut inner = self.lock();
        if !inner.has_room(way.size, &pace) {
            if !std::mem::replace(&mut inner.is_overrun, true) {
                tracing::warn!(own = %self.own, peer = %self.peer, bound = pace.max_waiting,
                    "the peer asks faster than it takes the answers; answers past ssp.max_waiting are lost");
            }
            return Err(LinkFault::NotTaken(TOO_MUCH_WAITS.into()));
        }
        inner.enter(Waiting { transaction, way });
        Ok(())
    }

    /// A Response-mode transaction has come; gives the primitive back when nobody waits for it.
    ///
    /// What is neither success nor failure yet settles nothing: the answer is still to come.
    pub(super) fn answered(self: &Arc<Self>, id: &TransactionId, primitive: Primitive) -> Option<Primitive> {
        let outstanding = {
            let mut inner = self.lock();
            if is_interim(&primitive) && inner.outstanding.contains_key(id.as_str()) {
                return None;
            }
            inner.take_answered(id)
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
            inner.renewals = 0;
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
        inner.renewals = 0;
        true
    }

    /// The handshake failed. Without a session that may still be used, nothing that waits can go now; with one, it is
    /// returned with the pause before its renewal is worth another attempt.
    pub(super) fn not_opened(&self, reason: &str, now: Timestamp) -> Option<(Arc<Session>, Duration)> {
        let told = {
            let mut inner = self.lock();
            inner.is_opening = false;
            if let Some(session) = inner.session.take_if(|session| session.is_usable(now)) {
                inner.session = Some(Arc::clone(&session));
                if now < session.renew_at() {
                    // The peer's own attempt came before ours.
                    return None;
                }
                inner.renewals = inner.renewals.saturating_add(1);
                return Some((session, pause_after(inner.renewals)));
            }
            inner.session = None;
            inner.failure = Some(reason.to_owned());
            inner.failures = inner.failures.saturating_add(1);
            inner.not_before = now.plus(pause_after(inner.failures));
            inner.fail_all(reason)
        };
        self.tell(told);
        None
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

    /// Remembers, for the session, that the peer does not know a primitive of ours; a refusal of anything else is about what
    /// was asked.
    pub(super) fn remember_unsupported(&self, primitive: &'static str) {
        if EXTENSIONS.contains(&primitive) {
            self.lock().unsupported.insert(primitive);
        }
    }

    pub(super) fn is_unsupported(&self, primitive: &'static str) -> bool {
        self.lock().unsupported.contains(primitive)
    }

    /// Documents under way, transactions that wait, and transactions that are waited for.
    pub(super) fn load(&self) -> (usize, usize, usize) {
        let inner = self.lock();
        (inner.documents, inner.waiting, inner.outstanding.len())
    }

    /// Whether a document has just failed to reach the peer.
    #[cfg(test)]
    pub(super) fn is_paused(&self) -> bool {
        self.lock().pauses > 0
    }

    /// Answers that came when nobody waited for them any more: late ones, second ones, and those to nothing of ours.
    pub(super) fn unclaimed(&self) -> u64 {
        self.unclaimed.load(Ordering::Relaxed)
    }

    fn enqueue(&self, ask: Ask) -> Result<Queued, LinkFault> {
        let Some(gateway) = self.gateway.upgrade() else {
            return Err(LinkFault::NotTaken("the gateway is shutting down".into()));
        };
        let id = gateway.next_transaction();
        let (done, answer) = oneshot::channel();
        let (acknowledged, acknowledgement) = oneshot::channel();
        let conversation: Option<Arc<str>> = ask.conversation.map(Into::into);
        let way = Way::new(conversation.clone(), approximate_size(&ask.primitive));
        let pace = gateway.pace(&self.peer);
        let now = gateway.now();
        let mut inner = self.lock();
        // Further away than any pause it is by a clock that was set back since.
        let is_soon = now.until(inner.not_before) <= pause_after(inner.failures);
        if !inner.has_session(now) && now < inner.not_before && is_soon {
            return Err(LinkFault::NotTaken(A_MOMENT_AGO.into()));
        }
        if !inner.has_room(way.size, &pace) {
            return Err(LinkFault::NotTaken(TOO_MUCH_WAITS.into()));
        }
        let outstanding = Outstanding {
            done,
            acknowledged: Some(acknowledged),
            conversation,
            expects: ask.expects,
            asked: ask.asked.map(Arc::new),
            stage: Stage::Waits,
        };
        inner.outstanding.insert(id.as_str().to_owned(), outstanding);
        let transaction = Transaction {
            mode: Mode::Request,
            id: id.clone(),
            primitive: ask.primitive,
        };
        inner.enter(Waiting { transaction, way });
        Ok((id, answer, acknowledgement))
    }

    /// Sends as many documents as may be under way, once what runs now has run: what it makes ready goes out together.
    pub(super) fn pump(self: &Arc<Self>) {
        let Some(gateway) = self.gateway.upgrade() else {
            return;
        };
        let pace = gateway.pace(&self.peer);
        {
            let mut inner = self.lock();
            if inner.is_pumping || inner.is_full(&pace) {
                return;
            }
            inner.is_pumping = true;
        }
        let link = Arc::clone(self);
        tokio::spawn(async move {
            link.lock().is_pumping = false;
            if let Some((session, items)) = link.next_document(&gateway, &pace) {
                // Another task takes the next document, after this one is on its way.
                link.pump();
                link.send(session, items).await;
            }
        });
    }

    /// What goes out next, if it may; opens a session when there is none.
    fn next_document(
        self: &Arc<Self>,
        gateway: &Arc<SspGateway>,
        pace: &Pace,
    ) -> Option<(Arc<Session>, Vec<Waiting>)> {
        let mut inner = self.lock();
        if inner.is_full(pace) {
            return None;
        }
        let now = gateway.now();
        let Some(session) = inner.session.clone().filter(|session| session.is_usable(now)) else {
            if now < inner.not_before {
                let told = inner.fail_all(A_MOMENT_AGO);
                drop(inner);
                told.tell();
            } else if !inner.is_opening {
                inner.is_opening = true;
                drop(inner);
                gateway.open(Arc::clone(self));
            }
            return None;
        };
        let items = inner.take_document(pace);
        inner.documents += 1;
        Some((session, items))
    }

    async fn send(self: Arc<Self>, session: Arc<Session>, items: Vec<Waiting>) {
        let Some(gateway) = self.gateway.upgrade() else {
            return;
        };
        let first = items
            .first()
            .map(|item| (item.transaction.mode, item.transaction.id.clone()));
        let (transactions, ways): (Vec<_>, Vec<_>) =
            items.into_iter().map(|item| (item.transaction, item.way)).unzip();
        let document = Document::Session {
            session_id: SessionId::new(session.own_id.as_str()),
            transactions,
        };
        let posted = gateway.post(&self, &session, &document, first).await;
        let Document::Session { transactions, .. } = document else {
            return;
        };
        let items = transactions
            .into_iter()
            .zip(ways)
            .map(|(transaction, way)| Waiting { transaction, way });
        if posted == Posted::Accepted {
            self.acknowledged(items);
        } else {
            self.not_accepted(&gateway, &session, items.collect(), &posted)
                .await;
        }
        self.pump();
    }

    fn acknowledged(&self, items: impl Iterator<Item = Waiting>) {
        let told = {
            let mut inner = self.lock();
            inner.documents -= 1;
            inner.failures = 0;
            inner.is_overrun = false;
            inner.acknowledged(items)
        };
        told.tell();
    }

    /// The document was not taken: what goes again waits for a moment, longer each time. Where the peer was reached, the others
    /// go on meanwhile.
    async fn not_accepted(
        self: &Arc<Self>,
        gateway: &Arc<SspGateway>,
        session: &Session,
        items: Vec<Waiting>,
        posted: &Posted,
    ) {
        let is_repeated = items.iter().any(|item| item.way.attempts > 0);
        let may_have_arrived = match posted {
            Posted::Unsure(_) => true,
            // The observed peer says in this way that it knows no such session; any other may have died with it in its hands.
            Posted::Closed(_) => gateway.tells_repeats_apart(&self.peer),
            Posted::Accepted | Posted::SessionUnknown | Posted::Refused(_) | Posted::Failed(_) => false,
        };
        let failure = match posted {
            Posted::Accepted => return,
            Posted::SessionUnknown => Failure {
                // A peer that never knows the sessions that it agreed to must not keep us climbing ladders for ever.
                reason: "the peer does not know the session that it has just opened",
                splits: false,
                may_have_arrived,
                closed_in: None,
            },
            Posted::Closed(reason) => Failure {
                reason,
                splits: true,
                may_have_arrived,
                closed_in: Some(&session.own_id),
            },
            Posted::Refused(reason) | Posted::Unsure(reason) | Posted::Failed(reason) => Failure {
                reason,
                splits: true,
                may_have_arrived,
                closed_in: None,
            },
        };
        if *posted == Posted::SessionUnknown {
            tracing::info!(own = %self.own, peer = %self.peer, "the peer lost the session; opening anew");
        }
        if *posted == Posted::SessionUnknown || (failure.closed_in.is_some() && is_repeated) {
            self.forget_session(session);
            gateway.is_unusable(session).await;
        }
        let resumed = self.resumed.notified();
        let failed = self.lock().failed(items, &failure);
        self.tell(failed.told);
        for (id, fallen) in &failed.given_up {
            gateway.has_fallen(self, id, *fallen);
        }
        let attempts = failed.again.first().map_or(0, |item| item.way.attempts);
        let pause = Duration::from_millis(100 * u64::from(3_u32.saturating_pow(attempts)));
        match posted {
            Posted::Accepted => {}
            Posted::SessionUnknown => {
                let mut inner = self.lock();
                inner.put_back(failed.again);
                inner.documents -= 1;
            }
            Posted::Refused(_) => {
                self.lock().documents -= 1;
                self.pump();
                let _ = tokio::time::timeout(pause, resumed).await;
                self.lock().put_back(failed.again);
            }
            Posted::Closed(_) | Posted::Unsure(_) | Posted::Failed(_) => {
                {
                    let mut inner = self.lock();
                    inner.put_back(failed.again);
                    inner.pauses += 1;
                    inner.documents -= 1;
                }
                let _ = tokio::time::timeout(pause, resumed).await;
                self.lock().pauses -= 1;
            }
        }
    }

    /// The deadline has come: whether the request may be sent again depends on how far it got. None when it is settled.
    fn give_up(&self, id: TransactionId) -> Option<LinkFault> {
        let (outstanding, told) = {
            let mut inner = self.lock();
            let (outstanding, told) = inner.give_up(id.as_str());
            // Before its answer may come too late.
            if let Some(asked) = outstanding.as_ref().and_then(Outstanding::asked_already)
                && let Some(gateway) = self.gateway.upgrade()
            {
                gateway.remember_asked(self, &id, asked);
                if outstanding.as_ref().is_some_and(|one| one.stage == Stage::Unsure) {
                    gateway.has_fallen(self, &id, Fallen::Unsure);
                }
            }
            (outstanding, told)
        };
        told.tell();
        Some(match outstanding?.stage {
            Stage::Waits => LinkFault::NotTaken(NOT_IN_TIME.into()),
            Stage::Closed => LinkFault::Closed(NOT_IN_TIME.into()),
            Stage::UnderWay | Stage::Unsure => LinkFault::UnderWay(id),
            Stage::Acknowledged => LinkFault::Unanswered(id),
        })
    }

    /// Tells what became of requests, and remembers what the peer may have of them, before its answer may come too late.
    fn tell(&self, told: Told) {
        if let Some(gateway) = self.gateway.upgrade() {
            for (id, asked) in told.unsure() {
                gateway.remember_asked(self, id, asked);
                gateway.has_fallen(self, id, Fallen::Unsure);
            }
        }
        told.tell();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The waiting for one answer; when it ends early, what it occupied is free again.
struct Claim<'a> {
    link: &'a Arc<Link>,
    id: Option<TransactionId>,
}

/// A request that waits: its ID, its answer, and the acknowledgement before it.
type Queued = (TransactionId, oneshot::Receiver<Fate>, oneshot::Receiver<()>);

impl Claim<'_> {
    fn give_up(&mut self) -> Option<LinkFault> {
        let fault = self.link.give_up(self.id.take()?);
        // Something else may go in its place; outside of a runtime nothing can.
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

/// Whether an answer says that the answer is still to come.
fn is_interim(primitive: &Primitive) -> bool {
    let code = if let Primitive::Status(status) = primitive {
        status.code
    } else if let Primitive::SendMessageResponse(response) = primitive {
        response.status.code
    } else {
        return false;
    };
    code.is_informational()
}

/// The requests that no deployed peer is known to take, which have fallbacks (SSP extensions).
const EXTENSIONS: &[&str] = &[
    "SearchRequest",
    "StopSearchRequest",
    "NotificationRequest",
    "KeepAliveRequest",
];
/// How long the answer to a notice is waited for after its acknowledgement; many peers never send one.
const ANSWER_TO_NOTICE: Duration = Duration::from_secs(2);
/// Why a request is refused that would wait.
const A_MOMENT_AGO: &str = "the peer could not be reached a moment ago";
/// Why nothing more may wait.
const TOO_MUCH_WAITS: &str = "too much waits for this peer already";
/// Why a request is given up that waits.
const NOT_IN_TIME: &str = "the peer did not take the document in time";
