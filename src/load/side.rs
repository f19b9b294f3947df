//! One side of SSP as a home server or a partner plays it: sessions by the ladder, documents by the project's codec.
//!
//! What arrives inside a session goes to an [`Actor`]; what it answers goes back in one document, in order (SSP reference
//! §3). Steps of ladders are driven here, for as many domains as the side has.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock, Weak},
    time::Duration,
};

use bytes::Bytes;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::watch;

use super::{
    clock,
    http::{Handler, Message, Poster},
};
use crate::wire::ssp::{
    Document, Limits, Profile, SessionId, SetupPrimitive, SetupTransaction, Transaction, TransactionId,
    decode, encode,
    ladder::{Delivery, Input, LadderKey, Ladders, Match, Output, Session, Settings, Step, Token, Verdict},
};

/// Who acts on what arrives inside a session.
pub(super) trait Actor: Send + Sync + 'static {
    /// Answers a document's transactions: what goes back in one document, and what follows it in another.
    fn act(&self, transactions: Vec<Transaction>) -> Acts;

    /// A request that is no SSP document.
    fn other(&self, path: &str) -> (u16, Bytes) {
        let _ = path;
        (404, Bytes::new())
    }
}

/// What an actor sends.
#[derive(Debug, Default)]
pub(super) struct Acts {
    /// In one document.
    pub(super) answers: Vec<Transaction>,
    /// In one document after it.
    pub(super) then: Vec<Transaction>,
}

/// A side of SSP with all its sessions.
pub(super) struct Side<A> {
    own_domain: String,
    poster: Arc<Poster>,
    ladders: Mutex<Ladders>,
    /// By the ID that the gateway sends: ours.
    sessions: RwLock<HashMap<Box<str>, SessionId>>,
    newest: watch::Sender<Option<Session>>,
    pub(super) actor: A,
    this: Weak<Self>,
}

impl<A: Actor> Side<A> {
    /// A side that speaks as `own_domain` where nobody asked for another name.
    pub(super) fn new(own_domain: &str, poster: Arc<Poster>, actor: A) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            own_domain: own_domain.to_owned(),
            poster,
            ladders: Mutex::new(Ladders::new(MAX_LADDERS)),
            sessions: RwLock::default(),
            newest: watch::Sender::new(None),
            actor,
            this: this.clone(),
        })
    }

    /// Opens a session and waits for it.
    ///
    /// # Errors
    /// What kept it from opening.
    pub(super) async fn open(&self, peer_domain: &str) -> Result<Session, String> {
        let mut newest = self.newest.subscribe();
        self.ladders()
            .initiate(
                &self.own_domain,
                peer_domain,
                token(),
                clock(),
                Settings::default(),
            )
            .map_err(|busy| busy.to_string())?;
        self.drive();
        let opened = newest.wait_for(Option::is_some);
        let opened = tokio::time::timeout(Duration::from_secs(20), opened).await;
        match opened {
            Ok(Ok(session)) => session.clone().ok_or_else(|| "no session".into()),
            Ok(Err(_)) | Err(_) => Err("no session within 20 s; see load0.log".into()),
        }
    }

    /// Wakes ladders whose time has come; runs as long as the side.
    pub(super) async fn keep_time(self: Arc<Self>) {
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        loop {
            tick.tick().await;
            if self.ladders().next_wake().is_some() {
                self.ladders().tick(clock());
                self.drive();
            }
        }
    }

    /// Posts a document of our session; whether it was taken.
    pub(super) async fn post(&self, session_id: SessionId, transactions: Vec<Transaction>) -> bool {
        let document = Document::Session {
            session_id,
            transactions,
        };
        let body = encode(&document, &Profile::STRICT);
        match self.poster.post("/", &body).await {
            Ok((status, _)) if status / 100 == 2 => true,
            Ok((status, _)) => {
                tracing::warn!(status, "the gateway did not take a document");
                false
            }
            Err(error) => {
                tracing::warn!(%error, "a document could not be posted");
                false
            }
        }
    }

    fn receive(&self, request: Message) -> u16 {
        let decoded = match decode(&request.body, &Limits::default(), &Profile::STRICT) {
            Ok(decoded) => decoded,
            Err(error) => {
                tracing::warn!(%error, "the gateway sent what can't be read");
                return 400;
            }
        };
        match decoded.document {
            Document::Setup(step) => self.receive_step(step, request.host),
            Document::Session {
                session_id,
                transactions,
            } => {
                let own = {
                    let sessions = self.sessions.read().unwrap_or_else(PoisonError::into_inner);
                    sessions.get(session_id.as_str()).cloned()
                };
                let (Some(own), Some(this)) = (own, self.this.upgrade()) else {
                    return 403;
                };
                tokio::spawn(async move {
                    let acts = this.actor.act(transactions);
                    for transactions in [acts.answers, acts.then] {
                        if !transactions.is_empty() {
                            this.post(own.clone(), transactions).await;
                        }
                    }
                });
                200
            }
        }
    }

    fn receive_step(&self, step: SetupTransaction, host: Option<String>) -> u16 {
        let mut ladders = self.ladders();
        let verdict = match ladders.find(&step, |_| true) {
            Match::Known(key) => ladders.handle(key, Input::Received(Box::new(step)), clock()),
            Match::Opening { peer_domain } => {
                let own = host.unwrap_or_else(|| self.own_domain.clone());
                let SetupPrimitive::SendSecretToken(first) = step.primitive else {
                    return 403;
                };
                let settings = Settings {
                    answer_delay: Duration::from_millis(5),
                    ..Settings::default()
                };
                let opening = (step.id, &first.secret);
                match ladders.respond(&own, &peer_domain, opening, token(), clock(), settings) {
                    Ok(_) => Verdict::Taken,
                    Err(_) => Verdict::Refused,
                }
            }
            Match::Foreign { .. } | Match::Unknown => Verdict::Refused,
        };
        drop(ladders);
        self.drive();
        match verdict {
            Verdict::Taken => 200,
            Verdict::Refused => 403,
        }
    }

    fn drive(&self) {
        loop {
            let Some((key, output)) = self.ladders().poll() else {
                return;
            };
            match output {
                Output::Send { step, transaction } => self.send_step(key, step, *transaction),
                Output::Honour(session) => self.keep(&session),
                Output::Established(session) => {
                    self.keep(&session);
                    self.newest.send_replace(Some(session));
                }
                Output::Failed(failure) => tracing::warn!(%failure, "no session"),
                Output::WakeAt(_) => {}
            }
        }
    }

    fn keep(&self, session: &Session) {
        self.sessions
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(
                session.peer_session_id.as_str().into(),
                session.own_session_id.clone(),
            );
    }

    fn send_step(&self, key: LadderKey, step: Step, transaction: SetupTransaction) {
        let Some(this) = self.this.upgrade() else { return };
        tokio::spawn(async move {
            let body = encode(&Document::Setup(transaction), &Profile::STRICT);
            let delivery = match this.poster.post("/", &body).await {
                Ok((status, _)) if status / 100 == 2 => Delivery::Accepted,
                Ok(_) => Delivery::Refused,
                Err(_) => Delivery::Unreachable,
            };
            if step != Step::Failure {
                let input = Input::Delivered { step, delivery };
                this.ladders().handle(key, input, clock());
            }
            this.drive();
        });
    }

    fn ladders(&self) -> std::sync::MutexGuard<'_, Ladders> {
        self.ladders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<A: Actor> Handler for Side<A> {
    fn answer(&self, request: Message) -> (u16, Bytes) {
        if request.path() == "/" {
            (self.receive(request), Bytes::new())
        } else {
            self.actor.other(request.path())
        }
    }
}

fn token() -> Token {
    let mut octets = [[0; 16]; 3];
    for one in &mut octets {
        // Without random numbers the handshake fails on the wire, and says so there.
        let _ = SystemRandom::new().fill(one);
    }
    let [id, secret, session] = octets;
    Token {
        transaction_id: TransactionId::new(format!("l-{:x}", u128::from_ne_bytes(id))),
        secret,
        session,
    }
}

const MAX_LADDERS: usize = 4096;
