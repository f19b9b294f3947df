//! Documents in: acknowledge at once, then work; every answer is a document of its own.
//!
//! A session ID counts only on a connection that is authenticated for its domain. What the peer asks becomes a request for the
//! relay; what it answers goes to the link that waits for it.

use std::{
    net::SocketAddr,
    sync::{Arc, Weak},
};

use futures_util::future::join_all;

use super::{
    gateway::{Carrier, SspGateway, profile},
    handshake::SetupVerdict,
    link::Link,
    map::{Incoming, View, read_answer, read_request, write_answer, write_refusal},
    server::{Answer as Reply, Arrival, Handler, TurnedAway},
    session::Session,
    tls::MadeFor,
};
use crate::{
    agreement::InterconnectionAgreement,
    model::{
        Content, Domain, Outcome, Protocol, Refusal, Request, SendMessage, StepEvent, Stop, Trail, TrailId,
        WvAddress,
    },
    relay::{Ingress, Side},
    wire::ssp::{
        Document, KeepAliveResponse, Limits, Mode, Primitive, Profile, Status, StatusCode, Transaction,
        decode,
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
        match decoded.document {
            Document::Setup(step) => {
                let source = arrival.source().ip().to_string();
                let spoken_to = arrival.asked_domain().and_then(|name| name.parse().ok());
                // Rare, and no reason to make every document's future larger.
                let received = self.receive_setup(step, spoken_to.as_ref(), &source, |domain, agreement| {
                    is_authenticated(&arrival, domain, agreement)
                });
                let verdict = Box::pin(received).await;
                match verdict {
                    SetupVerdict::Taken => Reply::Taken,
                    SetupVerdict::Refused(reason) => {
                        tracing::warn!(source = %arrival.source(), reason, "a setup step was refused");
                        Reply::Forbidden
                    }
                }
            }
            Document::Session {
                session_id,
                transactions,
            } => {
                let Some((session, agreement)) = self.authenticated_session(&arrival, session_id.as_str())
                else {
                    return Reply::Forbidden;
                };
                let gateway = Arc::clone(self);
                let slots = gateway.slots_of(&agreement);
                let most = gateway.config.open_requests_per_peer.max(1);
                let places = u32::try_from(transactions.len().clamp(1, most)).unwrap_or(u32::MAX);
                // Past the bound the peer's connection waits: back-pressure instead of memory.
                let Ok(slot) = slots.acquire_many_owned(places).await else {
                    return Reply::Overloaded;
                };
                tokio::spawn(async move {
                    gateway.work(session, agreement, transactions).await;
                    drop(slot);
                });
                Reply::Taken
            }
        }
    }

    /// The session of a document, when its connection may use it.
    fn authenticated_session(
        &self,
        arrival: &Arrival,
        id: &str,
    ) -> Option<(Arc<Session>, Arc<InterconnectionAgreement>)> {
        let Some(session) = self.sessions.by_peer_id(id) else {
            tracing::warn!(source = %arrival.source(), "a document of an unknown session");
            return None;
        };
        let Some(agreement) = self.agreements.load().for_domain(&session.peer).cloned() else {
            tracing::warn!(peer = %session.peer, "a document of a session whose agreement has ended");
            return None;
        };
        if self.is_suspended(&agreement) {
            return None;
        }
        if !is_authenticated(arrival, &session.peer, &agreement) {
            tracing::warn!(source = %arrival.source(), peer = %session.peer, "a session ID on a connection that is not the peer's");
            return None;
        }
        Some((session, agreement))
    }

    async fn work(
        self: Arc<Self>,
        session: Arc<Session>,
        agreement: Arc<InterconnectionAgreement>,
        transactions: Vec<Transaction>,
    ) {
        let link = self.link(&session.own, &session.peer);
        // Boxed where they begin, because futures of this size are costly to move.
        let work = |transaction| Box::pin(self.work_one(&session, &agreement, &link, transaction));
        match <[Transaction; 1]>::try_from(transactions) {
            // Needs no bookkeeping of many.
            Ok([transaction]) => work(transaction).await,
            Err(transactions) => drop(join_all(transactions.into_iter().map(work)).await),
        }
    }

    async fn work_one(
        self: &Arc<Self>,
        session: &Arc<Session>,
        agreement: &Arc<InterconnectionAgreement>,
        link: &Arc<Link>,
        transaction: Transaction,
    ) {
        let view = View {
            own: &session.own,
            peer: &session.peer,
            agreement,
            profile: profile(agreement),
        };
        let wants_answer = transaction.mode == Mode::Request;
        let answer = |primitive: Primitive| {
            if wants_answer {
                link.respond(transaction.id.clone(), primitive);
            }
        };
        match read_request(&view, &transaction, self.now()) {
            Err(refusal) => {
                tracing::warn!(peer = %session.peer, primitive = transaction.primitive.name(), refusal = refusal.masked(), "refused");
                answer(write_refusal(&refusal));
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
                let time_to_live = Box::pin(self.extend(session, wire.time_to_live)).await;
                answer(
                    KeepAliveResponse {
                        time_to_live: Some(time_to_live),
                        status: StatusCode::SUCCESS.into(),
                    }
                    .into(),
                );
            }
            Ok(Incoming::Logout) => {
                Box::pin(self.logged_out(link, session, transaction)).await;
            }
            Ok(Incoming::Answer) => {
                let Transaction { id, primitive, .. } = transaction;
                if let Some(primitive) = link.answered(&id, primitive) {
                    Box::pin(self.late(&view, &primitive)).await;
                }
            }
            Ok(Incoming::Request { request, key, via }) => {
                let carrier = self.remember_carrier(&view, &request, &transaction);
                let outcome = self.relay_request(session, agreement, &request, key, via).await;
                answer(write_answer(&view, &request, &outcome));
                if let Some(carrier) = carrier {
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
        relay
            .handle(
                Ingress {
                    side,
                    protocol: Protocol::Ssp,
                    key,
                    via,
                    trail,
                },
                request.clone(),
            )
            .await
    }

    /// An answer that nobody waits for any more; for a message it settles what is kept in the store.
    async fn late(&self, view: &View<'_>, primitive: &Primitive) {
        let Primitive::SendMessageResponse(response) = primitive else {
            return;
        };
        let (Some(relay), Ok(id)) = (self.relay(), response.message_id.parse()) else {
            return;
        };
        // Who was asked is not known any more, so the details alone say who failed.
        let probe = Request::Send(SendMessage {
            sender: WvAddress::service(view.own.clone()),
            recipients: named_in(&response.status),
            id: None,
            report_wanted: false,
            validity: None,
            sent_at: None,
            content: Content::text(""),
            conversation: None,
        });
        let answer = read_answer(view, &probe, primitive);
        relay.late_answer(view.peer, &id, &answer).await;
    }

    /// Which transaction carried a message or invitation, for peers that want later answers under its ID.
    fn remember_carrier(
        &self,
        view: &View<'_>,
        request: &Request,
        transaction: &Transaction,
    ) -> Option<Arc<Carrier>> {
        if !view.profile.answers_in_response_mode {
            return None;
        }
        let id = match request {
            Request::Send(message) => message.id.as_ref().map(ToString::to_string),
            Request::Invite(invite) => Some(invite.id.to_string()),
            Request::Search(_)
            | Request::StopSearch { .. }
            | Request::ContactAdded(_)
            | Request::Subscribe(_)
            | Request::Unsubscribe(_)
            | Request::GetPresence(_)
            | Request::Notify(_)
            | Request::Report(_)
            | Request::InviteAnswer(_)
            | Request::CancelInvite(_)
            | Request::Group(_)
            | Request::GroupEvent(_) => None,
        };
        let id = id?;
        let carrier = Arc::new(Carrier::new(transaction.id.clone()));
        self.carried.insert((view.peer.clone(), id), Arc::clone(&carrier));
        Some(carrier)
    }

    /// Documents are repaired when any peer is known to send ill-formed ones: whose a document is stands inside it.
    fn reading_profile(&self) -> Profile {
        if self.agreements.load().has_ill_formed() {
            Profile::OBSERVED
        } else {
            Profile::STRICT
        }
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

fn named_in(status: &Status) -> Vec<WvAddress> {
    status
        .details
        .iter()
        .flat_map(|detail| &detail.user_ids)
        .filter_map(|id| id.parse().ok())
        .collect()
}
