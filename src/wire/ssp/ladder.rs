//! Session establishment: the ladder of six steps that makes one session for both directions, without I/O.
//!
//! One `Ladder` is one attempt between one own domain and one peer domain, in either role; simultaneous opening is two
//! ladders, and both sessions are kept. The driver posts what comes out, says how each post went, passes in the steps that
//! arrive and wakes the ladder when asked. `Ladders` finds the ladder of an arriving step. Secrets and identifiers are made
//! outside, from 128 random bits each, and forgotten when the ladder ends. A session counts only after `Established`.
//!
//! | state | initiator: what moves it on | responder: what moves it on |
//! |---|---|---|
//! | `Holding` | – | the delay passed: send 2 → `AwaitingProof`; 3, with the secret of a superseded ladder: send 4 |
//! | `AwaitingSecret` | 2 arrives: send 3 → `AwaitingProof` | – |
//! | `AwaitingProof` | 4 with the right digest: send 5 → `AwaitingSession` | 3 with the right digest: send 4 → `AwaitingSession` |
//! | `AwaitingSession` | 6 with a session ID: → `Established` | 5 with a session ID: honour it, send 6 → `Confirming` |
//! | `Confirming` | – | 6 taken, or nothing heard by the deadline: → `Established` |
//!
//! From every state but the last: a failing `LoginResponse` of the peer, a wrong digest, a `LoginResponse` too early or with
//! an ID of another domain, a refused step and the deadline → `Failed`, with a failing `LoginResponse` of ours unless the
//! peer failed it. A step that was taken before is taken again without effect. Source: SSP reference §4, `ssp-extensions`.

mod event;
mod registry;
mod settings;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::code::StatusCode;
use super::digest::{PasswordDigest, Secret};
use super::document::{SessionId, TransactionId};
use super::setup::{LoginRequest, LoginResponse, SendSecretToken, SetupPrimitive, SetupTransaction};
use super::status::Status;

pub use event::{Delivery, Failure, Input, Output, Role, Session, Step, Verdict, Waiting};
pub use registry::{Busy, LadderKey, Ladders, Match};
pub use settings::{Settings, Token};

/// One attempt to establish a session.
#[derive(Clone, Debug)]
pub struct Ladder {
    role: Role,
    own_domain: Box<str>,
    peer_domain: Box<str>,
    /// The initiator's ID; stands in every step but the second.
    id: TransactionId,
    /// The responder's ID, for the second step only.
    answer_id: TransactionId,
    /// Ours; dropped once it is handed over or the ladder ends.
    secret: Option<Secret>,
    /// Of our secret: what the peer must prove.
    expected: PasswordDigest,
    /// Of the peer's secret; known from the start to a responder.
    peer_digest: Option<PasswordDigest>,
    /// The responder's ID of the second step that an initiator took, which tells a late repetition from another ladder's.
    taken_answer: Option<TransactionId>,
    own_session_id: SessionId,
    peer_session_id: Option<SessionId>,
    time_to_live: Duration,
    state: State,
    /// The step that is being delivered or waits to be repeated.
    outgoing: Option<Outgoing>,
    settings: Settings,
    deadline: Instant,
    outputs: VecDeque<Output>,
    announced_wake: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Holding { until: Instant },
    AwaitingSecret,
    AwaitingProof,
    AwaitingSession,
    Confirming,
    Established,
    Failed,
}

#[derive(Clone, Debug)]
struct Outgoing {
    step: Step,
    transaction: SetupTransaction,
    repeats: usize,
    /// When to post it again; `None` while a post is under way or was taken.
    due: Option<Instant>,
}

impl Ladder {
    /// Opens a session towards `peer_domain`; step 1 is ready to be polled.
    pub fn initiate(
        own_domain: &str,
        peer_domain: &str,
        token: Token,
        now: Instant,
        settings: Settings,
    ) -> Self {
        let id = token.transaction_id.clone();
        let mut ladder = Self::new(
            Role::Initiator,
            [own_domain, peer_domain],
            id,
            token,
            now,
            settings,
        );
        ladder.state = State::AwaitingSecret;
        ladder.send_secret();
        ladder.announce_wake();
        ladder
    }

    /// Answers step 1, which `peer_domain` sent as transaction `id` with its `secret`; step 2 follows after the delay.
    pub fn respond(
        own_domain: &str,
        peer_domain: &str,
        (id, secret): (TransactionId, &Secret),
        token: Token,
        now: Instant,
        settings: Settings,
    ) -> Self {
        Self::respond_with(
            [own_domain, peer_domain],
            (id, secret),
            (token, None),
            now,
            settings,
        )
    }

    /// As `respond`, with the secret of a ladder that this one takes the place of.
    fn respond_with(
        domains: [&str; 2],
        (id, secret): (TransactionId, &Secret),
        (token, earlier): (Token, Option<Secret>),
        now: Instant,
        settings: Settings,
    ) -> Self {
        let mut ladder = Self::new(Role::Responder, domains, id, token, now, settings);
        ladder.peer_digest = Some(secret.digest());
        if let Some(earlier) = earlier {
            ladder.expected = earlier.digest();
            ladder.secret = Some(earlier);
            // The peer may have taken the earlier step 2, and then refuses this one's.
            ladder.settings.repeats_refused_answer = true;
        }
        ladder.state = State::Holding {
            until: now + ladder.settings.answer_delay,
        };
        ladder.tick(now);
        ladder.announce_wake();
        ladder
    }

    fn new(
        role: Role,
        [own, peer]: [&str; 2],
        id: TransactionId,
        token: Token,
        now: Instant,
        settings: Settings,
    ) -> Self {
        let own_domain = own.to_ascii_lowercase();
        let (secret, own_session_id, answer_id) = token.into_parts(&own_domain);
        Self {
            role,
            own_domain: own_domain.into(),
            peer_domain: peer.to_ascii_lowercase().into(),
            id,
            answer_id,
            expected: secret.digest(),
            secret: Some(secret),
            peer_digest: None,
            taken_answer: None,
            own_session_id,
            peer_session_id: None,
            time_to_live: settings.time_to_live,
            state: State::Failed,
            outgoing: None,
            deadline: now + settings.deadline,
            settings,
            outputs: VecDeque::new(),
            announced_wake: None,
        }
    }

    /// Takes an input; afterwards `poll` until `None`. The verdict is the HTTP answer to a received step.
    pub fn handle(&mut self, input: Input, now: Instant) -> Verdict {
        let verdict = match input {
            Input::Received(transaction) => self.receive(*transaction),
            Input::Delivered { step, delivery } => {
                self.delivered(step, delivery, now);
                Verdict::Taken
            }
            Input::Acknowledged => {
                if matches!(self.state, State::Holding { .. }) {
                    self.state = State::Holding {
                        until: now + self.settings.answer_delay,
                    };
                }
                Verdict::Taken
            }
            Input::Abandoned(code) => {
                self.fail_telling(Failure::Abandoned(code), code);
                Verdict::Taken
            }
            Input::Tick => Verdict::Taken,
        };
        self.tick(now);
        self.announce_wake();
        verdict
    }

    /// The next thing to do, `None` when there is nothing.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Ends the ladder without a word to the peer, because the peer started again. The secret that the peer has or will
    /// have from a step 2 under way is returned: the peer takes that step for the new ladder's, because it is matched by
    /// the domain alone (SSP reference §4.1), so the new ladder must have the same one.
    pub fn supersede(&mut self) -> Option<Secret> {
        let secret = self.secret.take();
        self.fail(Failure::Superseded);
        self.announce_wake();
        secret
    }

    /// The domain that we speak for, in lower case.
    pub fn own_domain(&self) -> &str {
        &self.own_domain
    }

    /// The domain at the other end, in lower case.
    pub fn peer_domain(&self) -> &str {
        &self.peer_domain
    }

    /// Which side opened.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The initiator's transaction ID.
    pub const fn id(&self) -> &TransactionId {
        &self.id
    }

    /// When the ladder ends at the latest; until then it also recognises repeated steps.
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whether `Established` or `Failed` came out or is next.
    pub const fn is_over(&self) -> bool {
        matches!(self.state, State::Established | State::Failed)
    }

    fn is_spent(&self) -> bool {
        self.is_over() && self.outputs.is_empty()
    }

    fn knows_secret(&self, secret: &Secret) -> bool {
        self.peer_digest
            .is_some_and(|digest| digest.matches(&secret.digest()))
    }

    /// Whether this is the second step that was taken, once more.
    fn took(&self, id: &TransactionId, secret: &Secret) -> bool {
        self.taken_answer.as_ref() == Some(id) && self.knows_secret(secret)
    }

    /// Whether the peer's secret is still missing, so that step 2 can only belong here.
    pub const fn awaits_secret(&self) -> bool {
        matches!(self.state, State::AwaitingSecret)
    }

    /// When `Tick` is wanted; `None` when the ladder is over.
    pub fn wakes_at(&self) -> Option<Instant> {
        let next = match self.state {
            State::Holding { until } => Some(until),
            State::Established | State::Failed => return None,
            State::AwaitingSecret | State::AwaitingProof | State::AwaitingSession | State::Confirming => {
                self.outgoing.as_ref().and_then(|outgoing| outgoing.due)
            }
        };
        Some(next.map_or(self.deadline, |next| next.min(self.deadline)))
    }

    fn receive(&mut self, transaction: SetupTransaction) -> Verdict {
        match transaction.primitive {
            SetupPrimitive::SendSecretToken(token) => self.receive_secret(&token, transaction.id),
            SetupPrimitive::LoginRequest(request) => self.receive_proof(&request),
            SetupPrimitive::LoginResponse(response) => self.receive_session(*response),
            SetupPrimitive::Unknown { .. } => Verdict::Refused,
            SetupPrimitive::Malformed { .. } => {
                self.fail_telling(Failure::Unreadable, StatusCode::BAD_REQUEST);
                Verdict::Refused
            }
        }
    }

    fn receive_secret(&mut self, token: &SendSecretToken, id: TransactionId) -> Verdict {
        let digest = token.secret.digest();
        if let Some(known) = &self.peer_digest {
            return if known.matches(&digest) {
                Verdict::Taken
            } else {
                Verdict::Refused
            };
        }
        if self.state != State::AwaitingSecret {
            return Verdict::Refused;
        }
        self.peer_digest = Some(digest);
        self.taken_answer = Some(id);
        self.secret = None;
        self.state = State::AwaitingProof;
        self.send_proof(digest);
        Verdict::Taken
    }

    fn receive_proof(&mut self, request: &LoginRequest) -> Verdict {
        if !self.is_from_peer(&request.service_id) {
            return Verdict::Refused;
        }
        let is_right = self.expected.matches(&request.digest);
        match (self.state, self.peer_digest) {
            (State::AwaitingProof | State::Holding { .. }, Some(peer_digest)) if is_right => {
                self.secret = None;
                self.shorten(request.time_to_live);
                self.state = State::AwaitingSession;
                match self.role {
                    Role::Initiator => self.send_session(),
                    Role::Responder => self.send_proof(peer_digest),
                }
                Verdict::Taken
            }
            (State::AwaitingProof, _) => {
                self.fail_telling(Failure::WrongDigest, StatusCode::INVALID_PASSWORD);
                Verdict::Refused
            }
            (State::AwaitingSession | State::Confirming | State::Established, _) if is_right => {
                Verdict::Taken
            }
            _ => Verdict::Refused,
        }
    }

    fn receive_session(&mut self, response: LoginResponse) -> Verdict {
        if matches!(self.state, State::Established | State::Failed) {
            let repeats = self.state == State::Established
                && response.status.code.is_success()
                && response.session_id == self.peer_session_id;
            return if repeats { Verdict::Taken } else { Verdict::Refused };
        }
        if !response.status.code.is_success() {
            self.fail(refusal_of(response));
            return Verdict::Taken;
        }
        match self.state {
            State::AwaitingSession => self.take_session(response),
            State::Confirming if response.session_id == self.peer_session_id => Verdict::Taken,
            State::Confirming => Verdict::Refused,
            State::Holding { .. }
            | State::AwaitingSecret
            | State::AwaitingProof
            | State::Established
            | State::Failed => {
                self.fail_telling(Failure::OutOfOrder, StatusCode::UNAUTHORIZED);
                Verdict::Refused
            }
        }
    }

    fn take_session(&mut self, response: LoginResponse) -> Verdict {
        let own = |id: &SessionId| {
            id.domain()
                .is_some_and(|domain| domain.eq_ignore_ascii_case(&self.peer_domain))
        };
        let Some(peer_session_id) = response.session_id.filter(own) else {
            self.fail_telling(Failure::BadSessionId, StatusCode::BAD_PARAMETER);
            return Verdict::Refused;
        };
        self.shorten(response.time_to_live);
        self.peer_session_id = Some(peer_session_id.clone());
        match self.role {
            Role::Initiator => self.establish(),
            Role::Responder => {
                self.state = State::Confirming;
                self.outputs
                    .push_back(Output::Honour(self.session(peer_session_id)));
                self.send_session();
            }
        }
        Verdict::Taken
    }

    fn delivered(&mut self, step: Step, delivery: Delivery, now: Instant) {
        let Some(outgoing) = self
            .outgoing
            .as_mut()
            .filter(|outgoing| outgoing.step == step && outgoing.due.is_none())
        else {
            return;
        };
        let repeatable = self.settings.repeats_when(self.role, step, delivery);
        match delivery {
            Delivery::Accepted if self.state == State::Confirming => self.establish(),
            Delivery::Accepted | Delivery::Unanswered => {}
            Delivery::Refused | Delivery::Unreachable if repeatable => {
                outgoing.due = Some(now + self.settings.repeat_delay(outgoing.repeats));
                outgoing.repeats += 1;
            }
            Delivery::Refused if self.role == Role::Responder => {
                self.fail_telling(Failure::Refused(step), StatusCode::SERVICE_UNAVAILABLE);
            }
            Delivery::Refused => self.fail(Failure::Refused(step)),
            Delivery::Unreachable => self.fail(Failure::Unreachable(step)),
        }
    }

    fn tick(&mut self, now: Instant) {
        if self.is_over() {
            return;
        }
        if now >= self.deadline {
            return self.end_by_deadline();
        }
        if matches!(self.state, State::Holding { until } if now >= until) {
            self.state = State::AwaitingProof;
            self.send_secret();
        }
        if let Some(outgoing) = self
            .outgoing
            .as_mut()
            .filter(|o| o.due.is_some_and(|due| now >= due))
        {
            outgoing.due = None;
            let (step, transaction) = (outgoing.step, Box::new(outgoing.transaction.clone()));
            self.outputs.push_back(Output::Send { step, transaction });
        }
    }

    fn end_by_deadline(&mut self) {
        let waiting = match self.state {
            State::Confirming
                if self
                    .outgoing
                    .as_ref()
                    .is_some_and(|outgoing| outgoing.due.is_some()) =>
            {
                return self.fail(Failure::Unreachable(Step::LoginResponse));
            }
            State::Confirming => return self.establish(),
            State::Holding { .. } | State::AwaitingProof => Waiting::Proof,
            State::AwaitingSecret => Waiting::Secret,
            State::AwaitingSession | State::Established | State::Failed => Waiting::Session,
        };
        self.fail_telling(Failure::TimedOut(waiting), StatusCode::TIMEOUT);
    }

    fn send_secret(&mut self) {
        let Some(secret) = self.secret.clone() else { return };
        let id = match self.role {
            Role::Initiator => self.id.clone(),
            Role::Responder => self.answer_id.clone(),
        };
        let token = SendSecretToken::new(self.service_id(), secret);
        self.send(Step::SendSecretToken, id, SetupPrimitive::SendSecretToken(token));
    }

    fn send_proof(&mut self, digest: PasswordDigest) {
        let request = LoginRequest {
            service_id: self.service_id(),
            time_to_live: Some(self.settings.time_to_live),
            digest,
        };
        self.send(
            Step::LoginRequest,
            self.id.clone(),
            SetupPrimitive::LoginRequest(request),
        );
    }

    fn send_session(&mut self) {
        let response = LoginResponse {
            session_id: Some(self.own_session_id.clone()),
            time_to_live: Some(self.settings.time_to_live),
            status: Status::new(StatusCode::SUCCESS),
            redirects: Vec::new(),
        };
        self.send(
            Step::LoginResponse,
            self.id.clone(),
            SetupPrimitive::LoginResponse(Box::new(response)),
        );
    }

    fn send(&mut self, step: Step, id: TransactionId, primitive: SetupPrimitive) {
        let transaction = SetupTransaction {
            mode: self.role.mode(),
            id,
            primitive,
        };
        self.outputs.push_back(Output::Send {
            step,
            transaction: Box::new(transaction.clone()),
        });
        self.outgoing = Some(Outgoing {
            step,
            transaction,
            repeats: 0,
            due: None,
        });
    }

    fn establish(&mut self) {
        let Some(peer_session_id) = self.peer_session_id.clone() else {
            return;
        };
        self.end(State::Established);
        self.outputs
            .push_back(Output::Established(self.session(peer_session_id)));
    }

    fn fail_telling(&mut self, failure: Failure, code: StatusCode) {
        if self.is_over() {
            return;
        }
        let transaction = Box::new(failing_step(self.role, self.id.clone(), code));
        self.outputs.push_back(Output::Send {
            step: Step::Failure,
            transaction,
        });
        self.fail(failure);
    }

    fn fail(&mut self, failure: Failure) {
        if self.is_over() {
            return;
        }
        self.end(State::Failed);
        self.outputs.push_back(Output::Failed(failure));
    }

    fn end(&mut self, state: State) {
        self.state = state;
        self.secret = None;
        self.outgoing = None;
    }

    fn announce_wake(&mut self) {
        let wake = self.wakes_at();
        if let Some(instant) = wake.filter(|_| wake != self.announced_wake) {
            self.outputs.push_back(Output::WakeAt(instant));
        }
        self.announced_wake = wake;
    }

    fn shorten(&mut self, announced: Option<Duration>) {
        if let Some(announced) = announced.filter(|announced| !announced.is_zero()) {
            self.time_to_live = self.time_to_live.min(announced);
        }
    }

    fn session(&self, peer_session_id: SessionId) -> Session {
        Session {
            own_session_id: self.own_session_id.clone(),
            peer_session_id,
            time_to_live: self.time_to_live,
        }
    }

    fn service_id(&self) -> String {
        format!("wv:@{}", self.own_domain)
    }

    fn is_from_peer(&self, service_id: &str) -> bool {
        domain_of(service_id).is_some_and(|domain| domain.eq_ignore_ascii_case(&self.peer_domain))
    }
}

/// The domain in a `serviceID`, which is what follows the first `@`; `None` when there is none (SSP reference §4.2).
pub fn domain_of(service_id: &str) -> Option<&str> {
    service_id
        .split_once('@')
        .map(|(_, domain)| domain.trim())
        .filter(|domain| !domain.is_empty())
}

/// The `LoginResponse` that fails a handshake, for the ladder's own use and for a step 1 that is not to be answered with a
/// ladder (no room, wrong service). A peer that started must always hear something (SSP reference §4.6).
pub fn failing_step(own_role: Role, id: TransactionId, code: StatusCode) -> SetupTransaction {
    login_response(own_role, id, code, Vec::new())
}

/// The `LoginResponse` that sends the initiator to other servers of our domain; ours, not seen in deployed peers.
pub fn redirecting_step(id: TransactionId, urls: Vec<String>) -> SetupTransaction {
    login_response(Role::Responder, id, StatusCode::REDIRECT, urls)
}

fn login_response(
    own_role: Role,
    id: TransactionId,
    code: StatusCode,
    redirects: Vec<String>,
) -> SetupTransaction {
    let response = LoginResponse {
        session_id: None,
        time_to_live: None,
        status: Status::new(code),
        redirects,
    };
    SetupTransaction {
        mode: own_role.mode(),
        id,
        primitive: SetupPrimitive::LoginResponse(Box::new(response)),
    }
}

fn refusal_of(response: LoginResponse) -> Failure {
    let code = response.status.code;
    if code == StatusCode::REDIRECT && !response.redirects.is_empty() {
        Failure::Redirected(response.redirects)
    } else {
        Failure::FailedByPeer(code)
    }
}
