//! Documents in: acknowledge at once, then work; every answer is a document of its own.
//!
//! A session ID counts only on a connection that is authenticated for its domain. What the peer asks becomes a request for the
//! relay; what it answers goes to the link that waits for it.

use std::{
    net::SocketAddr,
    sync::{Arc, Weak},
};

use super::{
    gateway::{SspGateway, profile},
    handshake::SetupVerdict,
    link::{Asked, Link},
    map::{Incoming, View, read_answer, read_request, write_answer, write_refusal},
    nodes::Elsewhere,
    server::{Answer as Reply, Arrival, Handler, TurnedAway},
    session::Session,
    tls::MadeFor,
    transactions::{Carrier, carrier_key},
};
use crate::{
    agreement::InterconnectionAgreement,
    model::{
        Content, Domain, Outcome, Protocol, Refusal, Request, SendMessage, Service, StepEvent, Stop, Trail,
        TrailId, WvAddress,
    },
    relay::{Ingress, Side},
    wire::ssp::{
        Document, KeepAliveResponse, Limits, Mode, Primitive, Profile, ScreenName, SetupPrimitive, Status,
        StatusCode, Transaction, TransactionId, decode,
    },
};

/// What the listeners hand documents to; it does not keep the gateway alive.
#[derive(Clone, Debug)]
pub struct Door(Weak<SspGateway>);

impl Door {
    /// Of this gateway.
    #[must_use]
    pub fn of(gateway: &Arc<SspGateway>) -> Self {
        Self(Arc::downgrade(gateway))
    }
}

impl Handler for Door {
    async fn take(&self, arrival: Arrival) -> Reply {
        match self.0.upgrade() {
            Some(gateway) => gateway.receive(arrival).await,
            None => Reply::Overloaded,
        }
    }

    fn is_leaving(&self) -> bool {
        self.0.upgrade().is_none_or(|gateway| gateway.is_ending())
    }

    fn turned_away(&self, source: SocketAddr, reason: &TurnedAway) {
        match reason {
            TurnedAway::TlsOnPlainPort | TurnedAway::Silent => {
                tracing::debug!(%source, %reason, "a connection was turned away");
            }
            TurnedAway::TooManyConnections
            | TurnedAway::TooManyFromSource
            | TurnedAway::Tls(_)
            | TurnedAway::Request(_) => tracing::warn!(%source, %reason, "a connection was turned away"),
        }
    }
}

impl SspGateway {
    /// Takes one document: the HTTP answer says only whether it was taken.
    pub async fn receive(self: &Arc<Self>, arrival: Arrival) -> Reply {
        let limits = Limits {
            document: usize::try_from(self.config.max_document.0).unwrap_or(usize::MAX),
            ..Limits::default()
        };
        let decoded = match decode(&arrival.body, &limits, &self.reading_profile()) {
            Ok(decoded) => decoded,
            Err(error) => {
                tracing::warn!(source = %arrival.source(), %error, "a document can't be read");
                return Reply::Malformed;
            }
        };
        if decoded.repairs.is_any() {
            tracing::warn!(source = %arrival.source(), repairs = ?decoded.repairs, "an ill-formed document was repaired");
        }
        let may_speak_for = |domain: &Domain, agreement: &InterconnectionAgreement| {
            is_authenticated(&arrival, domain, agreement)
        };
        let spoken_to = arrival.asked_domain().and_then(|name| name.parse().ok());
        let source = arrival.source().ip().to_string();
        let from = (spoken_to.as_ref(), source.as_str());
        if self.is_ending() && begins_something(&decoded.document) {
            let passed = self.pass_document_on(&arrival.body, from, may_speak_for);
            return Box::pin(passed).await;
        }
        self.take_document(decoded.document, from, may_speak_for).await
    }

    /// Takes a document of a connection that asked for this name and came from there; `may_speak_for` tells for which domains it
    /// is authenticated.
    pub(super) async fn take_document(
        self: &Arc<Self>,
        document: Document,
        (spoken_to, source): (Option<&Domain>, &str),
        may_speak_for: impl Fn(&Domain, &InterconnectionAgreement) -> bool,
    ) -> Reply {
        match document {
            Document::Setup(step) => {
                // Rare, and no reason to make every document's future larger.
                let received = self.receive_setup(step, spoken_to, source, may_speak_for);
                match Box::pin(received).await {
                    SetupVerdict::Taken => Reply::Taken,
                    SetupVerdict::Refused(reason) => {
                        tracing::warn!(source, reason, "a setup step was refused");
                        Reply::Forbidden
                    }
                }
            }
            Document::Session {
                session_id,
                transactions,
            } => {
                let Some(session) = self.session(source, session_id.as_str()).await else {
                    return Reply::Forbidden;
                };
                let authenticated = self.authenticated_session(source, session, may_speak_for);
                let Some((session, agreement)) = authenticated else {
                    return Reply::Forbidden;
                };
                self.take_transactions(session, agreement, transactions).await
            }
        }
    }

    /// Answers that somebody waits for are passed on at once; what is asked, and what came late, is worked on.
    async fn take_transactions(
        self: &Arc<Self>,
        session: Arc<Session>,
        agreement: Arc<InterconnectionAgreement>,
        transactions: Vec<Transaction>,
    ) -> Reply {
        let work: Vec<Work> = transactions
            .into_iter()
            .filter_map(|transaction| self.read(&session, &agreement, transaction))
            .collect();
        if work.is_empty() {
            return Reply::Taken;
        }
        let slots = self.slots_of(&agreement);
        let most = self.config.open_requests_per_peer.max(1);
        let places = u32::try_from(work.len().min(most)).unwrap_or(u32::MAX);
        // Past the bound the peer's connection waits: back-pressure instead of memory.
        let Ok(slot) = slots.acquire_many_owned(places).await else {
            return Reply::Overloaded;
        };
        // Whoever holds a turn has a place, so that turns always come.
        let work: Vec<_> = work
            .into_iter()
            .map(|work| (self.turns.take(work.conversations(&session.peer)), work))
            .collect();
        let gateway = Arc::clone(self);
        let underway = self.underway().begin();
        tokio::spawn(async move {
            let each = work.into_iter().map(|(turn, work)| {
                let (gateway, session, agreement) = (&gateway, &session, &agreement);
                // Boxed where it begins, because a future of this size is costly to move.
                Box::pin(async move {
                    turn.comes().await;
                    gateway.work(session, agreement, work).await;
                })
            });
            futures_util::future::join_all(each).await;
            drop((slot, underway));
        });
        Reply::Taken
    }

    /// What a transaction leaves to work on.
    fn read(
        self: &Arc<Self>,
        session: &Session,
        agreement: &InterconnectionAgreement,
        transaction: Transaction,
    ) -> Option<Work> {
        let view = view(session, agreement);
        let incoming = read_request(&view, &transaction, self.now());
        if !matches!(incoming, Ok(Incoming::Answer)) {
            return Some(Work::Asked(transaction, incoming));
        }
        if let Some(elsewhere) = self.asked_by(&transaction.id) {
            return Some(Work::Elsewhere(elsewhere, transaction));
        }
        let Transaction { id, primitive, .. } = transaction;
        let link = self.link(&session.own, &session.peer);
        let primitive = link.answered(&id, primitive)?;
        let asked = self.known_late_to(&link, &id, &primitive)?;
        Some(Work::Late(asked, primitive))
    }

    /// The session of a document, whichever node has opened it.
    async fn session(&self, source: &str, id: &str) -> Option<Arc<Session>> {
        if let Some(known) = self.sessions.by_peer_id(id) {
            return Some(known);
        }
        // Rare, and no reason to make every document's future larger.
        let stored = Box::pin(self.session_of_others(id)).await;
        if stored.is_none() {
            tracing::warn!(source, "a document of an unknown session");
        }
        stored
    }

    /// The session of a document with its agreement, when its connection may use it.
    fn authenticated_session(
        &self,
        source: &str,
        session: Arc<Session>,
        may_speak_for: impl Fn(&Domain, &InterconnectionAgreement) -> bool,
    ) -> Option<(Arc<Session>, Arc<InterconnectionAgreement>)> {
        let Some(agreement) = self.agreements.load().for_domain(&session.peer).cloned() else {
            tracing::warn!(peer = %session.peer, "a document of a session whose agreement has ended");
            return None;
        };
        if self.is_suspended(&agreement) {
            return None;
        }
        if !self.may_speak_as(&session.own, &agreement) {
            tracing::warn!(own = %session.own, peer = %session.peer, "a document of a session in a name that is not presented any more");
            return None;
        }
        if !may_speak_for(&session.peer, &agreement) {
            tracing::warn!(source, peer = %session.peer, "a session ID on a connection that is not the peer's");
            return None;
        }
        Some((session, agreement))
    }

    async fn work(
        self: &Arc<Self>,
        session: &Arc<Session>,
        agreement: &Arc<InterconnectionAgreement>,
        work: Work,
    ) {
        let view = view(session, agreement);
        let (transaction, incoming) = match work {
            Work::Asked(transaction, incoming) => (transaction, incoming),
            Work::Late(asked, primitive) => {
                let pair = (&session.own, &session.peer);
                self.late(pair, agreement, &asked, &primitive).await;
                return;
            }
            Work::Elsewhere(elsewhere, transaction) => {
                let passed = self.pass_answer_on(session, elsewhere, transaction);
                // Rare where peers answer to the node that asked.
                if let Some(Transaction { id, primitive, .. }) = Box::pin(passed).await {
                    let link = self.link(&session.own, &session.peer);
                    if !Box::pin(self.settle_late(&link, &id, &primitive)).await {
                        self.settle_later(link, id, primitive);
                    }
                }
                return;
            }
        };
        let link = self.link(&session.own, &session.peer);
        let wants_answer = transaction.mode == Mode::Request;
        let answer = |primitive: Primitive| {
            if wants_answer {
                link.respond(transaction.id.clone(), primitive);
            }
        };
        match incoming {
            Err(refusal) => {
                tracing::warn!(peer = %session.peer, primitive = transaction.primitive.name(), refusal = refusal.masked(), "refused");
                // What can't be read is nobody's service; none of these refusals depends on it.
                answer(write_refusal(&refusal, Service::Message));
            }
            Ok(Incoming::Unknown(name)) => {
                tracing::info!(peer = %session.peer, primitive = %name, "a primitive that is not known here");
                answer(
                    Status::new(StatusCode::SERVICE_NOT_SUPPORTED)
                        .described(format!("{name} is not known"))
                        .into(),
                );
            }
            Ok(Incoming::KeepAlive(wire)) => {
                let time_to_live = self.extend(session, wire.time_to_live).await;
                answer(
                    KeepAliveResponse {
                        time_to_live: Some(time_to_live),
                        status: StatusCode::SUCCESS.into(),
                    }
                    .into(),
                );
            }
            Ok(Incoming::Logout) => {
                self.logged_out(&link, session, transaction).await;
            }
            // Answers are passed on before there is work.
            Ok(Incoming::Answer) => {}
            Ok(Incoming::Unreadable(primitive)) => {
                tracing::warn!(peer = %session.peer, primitive = transaction.primitive.name(), "refused: none of its recipients can be read");
                answer(primitive);
            }
            Ok(Incoming::Request {
                request,
                key,
                via,
                unreadable,
            }) => {
                for one in &unreadable {
                    tracing::info!(peer = %session.peer, request = request.name(), refusal = one.refusal.masked(), "recipient refused");
                }
                let carrier = self.carrier(&view, &request, &transaction);
                let relayed = self.relay_request(session, agreement, &request, key, via);
                let outcome = match &carrier {
                    // Few peers are carried for; what only they need makes no room in every request's future.
                    Some((key, carrier)) => {
                        let kept = self.transactions.keep_carrier(key.clone(), carrier, self.now());
                        Box::pin(async { tokio::join!(relayed, kept).0 }).await
                    }
                    None => relayed.await,
                };
                answer(write_answer(&view, &request, &unreadable, &outcome));
                if let Some((_, carrier)) = carrier {
                    carrier.set_answered();
                }
            }
        }
    }

    async fn relay_request(
        &self,
        session: &Session,
        agreement: &Arc<InterconnectionAgreement>,
        request: &Request,
        key: Option<crate::relay::RequestKey>,
        via: Vec<Domain>,
    ) -> Outcome {
        let Some(relay) = self.relay() else {
            return Err(Refusal::Internal {
                reason: "the gateway is starting or shutting down".into(),
            });
        };
        let now = self.now();
        let trail = Arc::new(Trail::new(TrailId(fastrand::u64(..)), now));
        trail.add(
            now,
            Stop::Listen,
            StepEvent::Received {
                request: request.name().into(),
                service: request.service(),
                from: agreement.peer().to_string(),
                protocol: Protocol::Ssp.name().into(),
                sender: request.sender().cloned(),
                recipients: request.concerns(),
            },
        );
        let side = Side::Peer {
            agreement: Arc::clone(agreement),
            own: session.own.clone(),
            domain: session.peer.clone(),
        };
        let ingress = Ingress {
            side,
            protocol: Protocol::Ssp,
            key,
            via,
            trail,
        };
        relay.carry(&ingress, request).await
    }

    /// What an answer is about that nobody waits for any more: a message that was given up, as it was asked to be taken, or as
    /// the answer itself names it.
    fn known_late_to(&self, link: &Link, id: &TransactionId, primitive: &Primitive) -> Option<Arc<Asked>> {
        about(self.asked(link, id), primitive)
    }

    /// As [`SspGateway::known_late_to`], for what any node has asked.
    pub(super) async fn late_to(
        &self,
        link: &Link,
        id: &TransactionId,
        primitive: &Primitive,
    ) -> Option<Arc<Asked>> {
        let asked = match self.asked(link, id) {
            Some(asked) => Some(asked),
            None => self.asked_by_others(link, id).await,
        };
        about(asked, primitive)
    }

    /// Settles with a late answer what is kept in the store; `false` when there is nothing that it is about.
    pub(super) async fn late(
        &self,
        (own, peer): (&Domain, &Domain),
        agreement: &InterconnectionAgreement,
        asked: &Asked,
        primitive: &Primitive,
    ) -> bool {
        let Some(relay) = self.relay() else { return false };
        let view = View {
            own,
            peer,
            agreement,
            profile: profile(agreement),
        };
        let probe = Request::Send(SendMessage {
            sender: WvAddress::service(own.clone()),
            recipients: asked.recipients.clone(),
            id: None,
            report_wanted: false,
            validity: None,
            sent_at: None,
            content: Content::text(""),
            conversation: None,
        });
        let answer = read_answer(&view, &probe, primitive);
        relay.late_answer(peer, &asked.message, &answer).await
    }

    /// The transaction that carries a request, for peers that want later answers under its ID, with what it is found by.
    fn carrier(
        &self,
        view: &View<'_>,
        request: &Request,
        transaction: &Transaction,
    ) -> Option<(String, Arc<Carrier>)> {
        let has_later_answers = matches!(request, Request::Send(_) | Request::Invite(_));
        if !view.profile.answers_in_response_mode || !has_later_answers {
            return None;
        }
        let key = carrier_key(view.peer, request)?;
        let carrier = Arc::new(Carrier::new(transaction.id.clone()));
        self.transactions.carries(key.clone(), &carrier);
        Some((key, carrier))
    }

    /// Documents are repaired when any peer is known to send ill-formed ones: whose a document is stands inside it.
    pub(super) fn reading_profile(&self) -> Profile {
        if self.agreements.load().has_ill_formed() {
            Profile::OBSERVED
        } else {
            Profile::STRICT
        }
    }
}

/// What a transaction leaves to work on.
#[derive(Debug)]
enum Work {
    /// Something that the peer asks.
    Asked(Transaction, Result<Incoming, Refusal>),
    /// An answer that came too late for whoever waited for it.
    Late(Arc<Asked>, Primitive),
    /// An answer to what another process has asked.
    Elsewhere(Elsewhere, Transaction),
}

impl Work {
    /// The conversations in which the order counts.
    fn conversations(&self, peer: &Domain) -> Vec<String> {
        let Self::Asked(_, Ok(Incoming::Request { request, .. })) = self else {
            return Vec::new();
        };
        let between = |kind: &str, from: &WvAddress, to: &WvAddress| {
            format!("{peer} {kind} {}>{}", from.key(), to.key())
        };
        let watch = |watcher: &WvAddress, presentities: &[WvAddress]| {
            let watched = |presentity| between("watch", watcher, presentity);
            presentities.iter().map(watched).collect()
        };
        match &**request {
            Request::Send(message) => {
                let to = |recipient| between("message", &message.sender, recipient);
                message.recipients.iter().map(to).collect()
            }
            Request::Subscribe(subscribe) => watch(&subscribe.watcher, &subscribe.presentities),
            Request::Unsubscribe(unsubscribe) => watch(&unsubscribe.watcher, &unsubscribe.presentities),
            Request::Notify(notification) => {
                let of = |(presentity, _): &(WvAddress, _)| format!("{peer} presence {}", presentity.key());
                notification.values.iter().map(of).collect()
            }
            Request::Search(_)
            | Request::StopSearch { .. }
            | Request::ContactAdded(_)
            | Request::GetPresence(_)
            | Request::Report(_)
            | Request::Invite(_)
            | Request::InviteAnswer(_)
            | Request::CancelInvite(_)
            | Request::Group(_)
            | Request::GroupEvent(_) => Vec::new(),
        }
    }
}

/// What a late answer is about: what was asked, unless the answer names another message, else the message that it names.
fn about(asked: Option<Arc<Asked>>, primitive: &Primitive) -> Option<Arc<Asked>> {
    let (status, named) = if let Primitive::SendMessageResponse(response) = primitive {
        (&response.status, Some(response.message_id.as_str()))
    } else if let Primitive::Status(status) = primitive {
        (&**status, None)
    } else {
        return None;
    };
    if status.code.is_informational() {
        return None;
    }
    // Where nothing was taken, the answer names no message.
    let named = named.filter(|named| !named.is_empty());
    let is_about = |asked: &Arc<Asked>| named.is_none_or(|named| named == asked.message.as_str());
    let by_name = || {
        Some(Arc::new(Asked {
            message: named?.parse().ok()?,
            recipients: named_in(status),
        }))
    };
    asked.filter(is_about).or_else(by_name)
}

fn view<'a>(session: &'a Session, agreement: &'a InterconnectionAgreement) -> View<'a> {
    View {
        own: &session.own,
        peer: &session.peer,
        agreement,
        profile: profile(agreement),
    }
}

/// Whether a connection may speak for a domain: by its certificate, or on a plain connection because the agreement says so
/// and it comes from the peer's networks.
fn is_authenticated(arrival: &Arrival, domain: &Domain, agreement: &InterconnectionAgreement) -> bool {
    let tls = &agreement.config.tls;
    let is_near = || agreement.config.allowed_networks.allows(arrival.source().ip());
    match &arrival.connection.peer {
        Some(identity) => {
            let is_named = identity.speaks_for(domain.as_str())
                || tls.names.iter().any(|name| identity.speaks_for(name));
            is_named && (identity.made_for == MadeFor::Clients || tls.accept_server_certificates)
        }
        None if arrival.connection.is_tls => !tls.mutual && is_near(),
        None => !tls.required && is_near(),
    }
}

/// Whether a document opens a ladder or asks without answering anything.
fn begins_something(document: &Document) -> bool {
    match document {
        Document::Setup(step) => {
            step.mode == Mode::Request && matches!(step.primitive, SetupPrimitive::SendSecretToken(_))
        }
        Document::Session { transactions, .. } => transactions
            .iter()
            .all(|transaction| transaction.mode == Mode::Request),
    }
}

fn named_in(status: &Status) -> Vec<WvAddress> {
    let ids = status
        .details
        .iter()
        .flat_map(|detail| detail.user_ids.iter().chain(&detail.group_ids));
    let names = status.details.iter().flat_map(|detail| &detail.screen_names);
    let participant = |name: &ScreenName| {
        name.group_id
            .parse::<WvAddress>()
            .ok()?
            .participant(&name.name)
            .ok()
    };
    ids.filter_map(|id| id.parse().ok())
        .chain(names.filter_map(participant))
        .collect()
}
