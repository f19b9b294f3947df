//! The life of an established session: taken into use, refreshed before its time to live ends, ended by either side.
//!
//! A session is refreshed by a keep-alive where the peer knows it, else by a new ladder, while the old session stays valid
//! (SSP reference §5, SSP extensions). The smaller of both sides' times to live holds.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinHandle;

use super::{
    gateway::SspGateway,
    handshake::Running,
    link::{Ask, Expects, Link, Posted},
    nodes::Climber,
    session::Session,
};
use crate::cluster::Tenure;
use crate::wire::ssp::{
    Document, KeepAliveRequest, LogoutRequest, Mode, Primitive, SessionId, Status, StatusCode, Transaction,
    TransactionId, ladder,
};

impl SspGateway {
    /// Takes up what a ladder came to; before the ladder is over only what the peer sends under it counts.
    ///
    /// Returns the task that stores it: whether it may be used. Among several nodes the peer learns of a session, and is sent
    /// something under it, only when it is stored: it may ask and answer under it at any of them.
    pub(super) fn keep_session(
        self: &Arc<Self>,
        running: &Running,
        wire: &ladder::Session,
        is_final: bool,
    ) -> Option<JoinHandle<bool>> {
        let now = self.now();
        let session = Arc::new(Session {
            own: running.own.clone(),
            peer: running.peer.clone(),
            own_id: wire.own_session_id.to_string(),
            peer_id: wire.peer_session_id.to_string(),
            url: running.url.clone().unwrap_or_default(),
            redirected: running.redirect.is_any(),
            is_confirmed: is_final,
            since: now,
            ends: now.plus(wire.time_to_live),
        });
        // A session that the peer opened is honoured before it is confirmed, and the peer may have ended it since.
        if is_final && !running.is_initiator && !self.sessions.knows(&session) {
            tracing::info!(own = %running.own, peer = %running.peer, "the peer ended a session before it was confirmed");
            return None;
        }
        // What the peer sends under the new ID must be known before it is stored: the first document may be on its way.
        self.sessions.honour(Arc::clone(&session));
        let is_alone = self.cluster().is_none();
        if is_final && is_alone {
            self.use_session(&session);
        }
        let gateway = Arc::clone(self);
        let tenure = running.tenure.clone();
        let keeping = tokio::spawn(async move {
            let fence = tenure.as_ref().map(|tenure| tenure.fence());
            match gateway.sessions.keep(&session, fence, gateway.now()).await {
                Ok(true) => {}
                Ok(false) => {
                    tracing::warn!(own = %session.own, peer = %session.peer, "another node opens sessions now; this one is ended");
                    gateway.void(session).await;
                    return false;
                }
                Err(error) => {
                    tracing::error!(%error, "a session could not be stored; a restart will open it anew");
                }
            }
            drop(tenure);
            if is_final && !is_alone {
                gateway.use_session(&session);
                gateway.tell_opened(&session).await;
            }
            if is_final && let Some(relay) = gateway.relay() {
                relay.peer_is_back(&session.peer).await;
                match relay.reassert_in_session(&session.own, &session.peer).await {
                    Ok(0) => {}
                    Ok(count) => tracing::info!(peer = %session.peer, count, "subscriptions asserted anew"),
                    Err(refusal) => tracing::warn!(
                        refusal = refusal.masked(),
                        "subscriptions could not be asserted anew"
                    ),
                }
            }
            true
        });
        Some(keeping)
    }

    fn use_session(self: &Arc<Self>, session: &Arc<Session>) {
        tracing::info!(own = %session.own, peer = %session.peer, "session established");
        self.link(&session.own, &session.peer).opened(Arc::clone(session));
        self.schedule_renewal(session);
    }

    /// A session that is none, because another node has the pair's lease.
    async fn void(self: &Arc<Self>, session: Arc<Session>) {
        self.sessions.disregard(&session);
        let link = self.link(&session.own, &session.peer);
        link.forget_session(&session);
        if session.is_confirmed {
            self.log_out(session);
        }
    }

    /// Refreshes a session on a local schedule, before its time to live ends.
    pub(super) fn schedule_renewal(self: &Arc<Self>, session: &Arc<Session>) {
        self.renew_after(session, self.now().until(session.renew_at()));
    }

    /// A handshake of a link came to nothing. Where that was a renewal, it is tried again until the session ends.
    pub(super) fn not_opened(self: &Arc<Self>, link: &Link, reason: &str) {
        let now = self.now();
        if let Some((session, pause)) = link.not_opened(reason, now)
            && now.plus(pause) < session.ends
        {
            self.renew_after(&session, pause);
        }
    }

    fn renew_after(self: &Arc<Self>, session: &Arc<Session>, wait: Duration) {
        let (gateway, session) = (Arc::downgrade(self), Arc::clone(session));
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            if let Some(gateway) = gateway.upgrade() {
                gateway.renew(&session).await;
            }
        });
    }

    async fn renew(self: &Arc<Self>, session: &Arc<Session>) {
        let link = self.link(&session.own, &session.peer);
        // A later session, or a later end of this one, has its own schedule.
        if link.session().is_none_or(|current| *current != **session) {
            return;
        }
        // Another node may have renewed it, or is at it.
        let tenure = match self.turn_to_renew(&link).await {
            Ok(tenure) => tenure,
            Err(wait) => {
                if link.session().is_some_and(|current| *current == **session) {
                    self.renew_after(session, wait);
                }
                return;
            }
        };
        if !link.is_unsupported(KEEP_ALIVE) {
            let ask = KeepAliveRequest {
                time_to_live: Some(self.config.time_to_live),
            };
            let ask = Ask {
                primitive: ask.into(),
                conversation: None,
                expects: Expects::Answer,
                asked: None,
            };
            match link.request(ask, KEEP_ALIVE_WAIT).await {
                Ok(Some(Primitive::KeepAliveResponse(answer))) if answer.status.code.is_success() => {
                    self.extend(session, answer.time_to_live).await;
                    drop(tenure);
                    return;
                }
                Ok(Some(Primitive::Status(status))) if status.code == StatusCode::SERVICE_NOT_SUPPORTED => {
                    link.remember_unsupported(KEEP_ALIVE);
                }
                Ok(answer) => tracing::info!(peer = %session.peer, ?answer, "a keep-alive was refused"),
                Err(fault) => tracing::info!(peer = %session.peer, ?fault, "a keep-alive came to nothing"),
            }
        }
        self.open(link);
    }

    /// A keep-alive was exchanged: the session lives for as long as both sides want from now on, which is returned.
    pub(super) async fn extend(self: &Arc<Self>, session: &Session, theirs: Option<Duration>) -> Duration {
        let ours = self.config.time_to_live;
        let time_to_live = theirs
            .filter(|theirs| !theirs.is_zero())
            .map_or(ours, |theirs| theirs.min(ours));
        let now = self.now();
        let session = Arc::new(Session {
            since: now,
            ends: now.plus(time_to_live),
            ..session.clone()
        });
        if !self.sessions.knows(&session) {
            // A logout overtook the keep-alive.
            return time_to_live;
        }
        self.sessions.honour(Arc::clone(&session));
        if self.link(&session.own, &session.peer).extended(&session) {
            self.schedule_renewal(&session);
        }
        if let Err(error) = self.sessions.keep(&session, None, now).await {
            tracing::error!(%error, "a session's new end could not be stored");
        }
        self.tell_opened(&session).await;
        time_to_live
    }

    /// The right to renew the session of a link; else how long to wait before the next look.
    async fn turn_to_renew(self: &Arc<Self>, link: &Arc<Link>) -> Result<Option<Arc<Tenure>>, Duration> {
        if self.cluster().is_none() {
            return Ok(None);
        }
        if let Ok(true) = self.take_up_stored(link).await {
            return Err(Duration::ZERO);
        }
        match self.climber(&link.own, &link.peer).await {
            Ok(Climber::Us(tenure)) => Ok(tenure),
            Ok(Climber::Other) => Err(RENEWED_ELSEWHERE),
            Err(error) => {
                tracing::warn!(%error, "a session can't be renewed");
                Err(RENEWED_ELSEWHERE)
            }
        }
    }

    /// The peer ends a session: nothing goes by it any more but the answer.
    pub(super) async fn logged_out(
        self: &Arc<Self>,
        link: &Link,
        session: &Session,
        transaction: Transaction,
    ) {
        link.forget_session(session);
        self.forget(session).await;
        if transaction.mode == Mode::Request {
            // Through the link it would open another session.
            let answer = Status::new(StatusCode::SUCCESS).into();
            let posted = self
                .post_alone(link, session, Mode::Response, transaction.id, answer)
                .await;
            tracing::info!(peer = %session.peer, ?posted, "the peer ended a session");
        }
    }

    /// Ends a session of ours in the background; it is dead once the peer has taken that or was told twice.
    pub(super) fn log_out(&self, session: Arc<Session>) {
        let Some(gateway) = self.this() else { return };
        tokio::spawn(async move {
            let link = gateway.link(&session.own, &session.peer);
            for attempt in 1..=2 {
                let id = TransactionId::new(format!("{}-out-{attempt}", gateway.incarnation()));
                let posted = gateway
                    .post_alone(&link, &session, Mode::Request, id, LogoutRequest.into())
                    .await;
                if matches!(posted, Posted::Accepted | Posted::SessionUnknown) {
                    break;
                }
            }
            gateway.forget(&session).await;
        });
    }

    pub(super) async fn forget(&self, session: &Session) {
        if let Err(error) = self.sessions.forget(session, self.now()).await {
            tracing::error!(%error, "a closed session could not be forgotten");
        }
        self.tell_closed(session).await;
    }

    /// Posts one transaction in a session, whatever session the link uses.
    async fn post_alone(
        &self,
        link: &Link,
        session: &Session,
        mode: Mode,
        id: TransactionId,
        primitive: Primitive,
    ) -> Posted {
        let document = Document::Session {
            session_id: SessionId::new(session.own_id.as_str()),
            transactions: vec![Transaction {
                mode,
                id: id.clone(),
                primitive,
            }],
        };
        self.post(link, session, &document, Some((mode, id))).await
    }
}

/// As a link remembers what a peer does not know.
const KEEP_ALIVE: &str = "KeepAliveRequest";

/// How long a node leaves the renewal to another one before it looks again.
const RENEWED_ELSEWHERE: Duration = Duration::from_secs(1);

/// How long the answer to a keep-alive is waited for before a new ladder is climbed.
const KEEP_ALIVE_WAIT: Duration = Duration::from_secs(10);
