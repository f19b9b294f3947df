//! One gateway of many nodes: sessions, ladders and answers that another node has, or waits for.
//!
//! Sessions stand in the store, and any node takes them up from there; nodes tell one another of new and closed ones only to be
//! quick. A pair of domains has its ladders at one node, which holds the pair's lease; steps that reach another one are passed
//! on. An answer goes to the node that its transaction ID names; where that is dead, it settles what is in the store.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    departure::DOCUMENT,
    gateway::{SspGateway, profile},
    handshake::SetupVerdict,
    link::{Asked, Link},
    session::Session,
};
use crate::{
    agreement::InterconnectionAgreement,
    cluster::{Cluster, Hold, Member, Refused, Tenure, Topic},
    model::Domain,
    store::StoreError,
    wire::ssp::{
        Document, Limits, Primitive, Profile, SessionId, SetupTransaction, Transaction, TransactionId,
        decode, encode,
    },
};

/// What one node tells the others of sessions and suspensions.
#[derive(Debug, Deserialize, Serialize)]
enum News {
    /// A session was opened, or lasts longer.
    Opened(Session),
    /// A session is over.
    Closed(Session),
    /// The peer takes nothing more of ours under it.
    Unusable(Session),
    /// A peer was suspended or resumed.
    Suspensions,
}

/// A step of a ladder, for the node that climbs it.
#[derive(Debug, Deserialize, Serialize)]
struct ForwardedStep {
    document: String,
    /// The name that its connection asked for.
    spoken_to: Option<Domain>,
    /// Where it came from.
    source: String,
    /// For which domains its connection is authenticated.
    speaks_for: Vec<Domain>,
}

/// An answer, for the node that waits for it.
#[derive(Debug, Deserialize, Serialize)]
struct ForwardedAnswer {
    document: String,
    own: Domain,
    peer: Domain,
}

/// Who climbs the ladders of a pair.
#[derive(Debug)]
pub(super) enum Climber {
    /// This node; alone, or under this tenure.
    Us(Option<Arc<Tenure>>),
    /// Another node.
    Other,
}

impl SspGateway {
    /// What this gateway answers to other nodes, for the cluster to enter.
    #[must_use]
    pub fn topics(self: &Arc<Self>) -> Vec<(&'static str, Arc<dyn Topic>)> {
        let door = |topic| Arc::new(NodeTopic(Arc::downgrade(self), topic)) as Arc<dyn Topic>;
        [NEWS, STEP, ANSWER, DOCUMENT]
            .map(|topic| (topic, door(topic)))
            .into()
    }

    /// Who climbs the ladders of a pair: this node, unless another one does.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) async fn climber(&self, own: &Domain, peer: &Domain) -> Result<Climber, StoreError> {
        let Some(cluster) = self.cluster() else {
            return Ok(Climber::Us(None));
        };
        Ok(match cluster.hold(&format!("{LADDER}{own} {peer}")).await? {
            Hold::Mine(tenure) => Climber::Us(Some(tenure)),
            Hold::Theirs { .. } => Climber::Other,
        })
    }

    /// Waits until this node is the one to open a session of a link; `None` when it has one meanwhile, of whatever node.
    ///
    /// # Errors
    /// Why there is no session.
    pub(super) async fn turn_to_open(
        self: &Arc<Self>,
        link: &Arc<Link>,
    ) -> Result<Option<Option<Arc<Tenure>>>, String> {
        let failed = |error: StoreError| error.to_string();
        if self.cluster().is_none() {
            return Ok(Some(None));
        }
        let until = self.now().plus(self.config.handshake_deadline);
        loop {
            if self.is_provided(link).await.map_err(failed)? {
                return Ok(None);
            }
            match self.climber(&link.own, &link.peer).await.map_err(failed)? {
                // The one before may have opened it since the look above.
                Climber::Us(_) if self.is_provided(link).await.map_err(failed)? => return Ok(None),
                Climber::Us(tenure) => return Ok(Some(tenure)),
                Climber::Other if self.now() >= until => {
                    return Err("another node opens a session and does not come to an end".to_owned());
                }
                Climber::Other => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
    }

    /// Whether a link needs no handshake, because some node has opened or renewed its session.
    async fn is_provided(self: &Arc<Self>, link: &Arc<Link>) -> Result<bool, StoreError> {
        let is_fresh = |session: Arc<Session>| self.now() < session.renew_at();
        Ok(self.take_up_stored(link).await? || link.session().is_some_and(is_fresh))
    }

    /// Ends all sessions of a pair, and opens one anew; `current` is the one that this node has used.
    pub(super) fn reopen_for_all(self: &Arc<Self>, link: Arc<Link>, current: Option<Arc<Session>>) {
        let gateway = Arc::clone(self);
        tokio::spawn(async move {
            let mut ended = current;
            while let Some(session) = ended {
                link.forget_session(&session);
                gateway.forget(&session).await;
                gateway.log_out(session);
                let stored = gateway
                    .sessions
                    .stored_of_pair(&link.own, &link.peer, gateway.now());
                ended = stored.await.ok().flatten();
            }
            gateway.open(link);
        });
    }

    /// Takes up the session of a link that another node has opened or renewed; `false` when there is none that is better than
    /// what the link has.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) async fn take_up_stored(self: &Arc<Self>, link: &Arc<Link>) -> Result<bool, StoreError> {
        let now = self.now();
        let stored = self.sessions.stored_of_pair(&link.own, &link.peer, now).await?;
        Ok(stored.is_some_and(|session| self.take_up(link, &session)))
    }

    fn take_up(self: &Arc<Self>, link: &Arc<Link>, session: &Arc<Session>) -> bool {
        let current = link.session().filter(|current| current.is_usable(self.now()));
        if current.is_some_and(|current| session.ends <= current.ends) {
            return false;
        }
        link.opened(Arc::clone(session));
        self.schedule_renewal(session);
        true
    }

    /// The session under which a peer sends, if another node has opened it.
    pub(super) async fn session_of_others(&self, peer_id: &str) -> Option<Arc<Session>> {
        self.cluster()?;
        let stored = self.sessions.stored_by_peer_id(peer_id, self.now()).await;
        let stored =
            stored.inspect_err(|error| tracing::error!(%error, "sessions of other nodes can't be read"));
        stored.ok().flatten()
    }

    /// Tells the other nodes of a session that both sides have agreed to.
    pub(super) async fn tell_opened(&self, session: &Session) {
        self.tell(&News::Opened(session.clone())).await;
    }

    /// Tells the other nodes that a session is over.
    pub(super) async fn tell_closed(&self, session: &Session) {
        self.tell(&News::Closed(session.clone())).await;
    }

    /// Tells the other nodes that a peer was suspended or resumed.
    pub(super) async fn tell_suspensions(&self) {
        self.tell(&News::Suspensions).await;
    }

    /// The peer does not take what we send under a session: no node uses it for that any more.
    pub(super) async fn is_unusable(&self, session: &Session) {
        if self.cluster().is_none() {
            return;
        }
        let unusable = Session {
            is_confirmed: false,
            ..session.clone()
        };
        if let Err(error) = self.sessions.keep(&unusable, None, self.now()).await {
            tracing::error!(%error, "other nodes may go on with a session that the peer does not know");
        }
        self.tell(&News::Unusable(unusable)).await;
    }

    /// Passes a step on to the nodes that climb ladders with the domains that its connection speaks for.
    pub(super) async fn pass_step_on(
        &self,
        step: SetupTransaction,
        (spoken_to, source): (Option<&Domain>, &str),
        may_speak_for: impl Fn(&Domain, &InterconnectionAgreement) -> bool,
    ) -> Option<SetupVerdict> {
        let cluster = self.cluster()?;
        let speaks_for = self.spoken_for(may_speak_for);
        let document = encode(&Document::Setup(step), &Profile::STRICT);
        let forwarded = ForwardedStep {
            document: STANDARD.encode(document),
            spoken_to: spoken_to.cloned(),
            source: source.to_owned(),
            speaks_for,
        };
        let request = written(&forwarded);
        for node in climbers(cluster, &forwarded.speaks_for).await {
            match cluster.ask(&node, STEP, request.clone()).await {
                Ok(_) => return Some(SetupVerdict::Taken),
                Err(error) => {
                    tracing::info!(%error, "a step was not taken by the node that climbs with the peer")
                }
            }
        }
        None
    }

    /// The domains of peers that a connection is authenticated for.
    pub(super) fn spoken_for(
        &self,
        may_speak_for: impl Fn(&Domain, &InterconnectionAgreement) -> bool,
    ) -> Vec<Domain> {
        let agreements = self.agreements.load_full();
        let domains = agreements.all().iter().flat_map(|one| {
            let all = one.config.domains.iter();
            let spoken_for = all.filter(|domain| may_speak_for(domain, one));
            spoken_for.cloned().collect::<Vec<_>>()
        });
        domains.collect()
    }

    /// The node that waits for the answer to a transaction; `None` when that is this one, or nobody can be told by the ID.
    pub(super) fn asked_by(&self, id: &TransactionId) -> Option<Elsewhere> {
        let cluster = self.cluster()?;
        let (incarnation, _) = id.as_str().rsplit_once('-')?;
        if incarnation == self.incarnation() {
            return None;
        }
        let unknown = || Elsewhere::Unknown(incarnation.into());
        Some(cluster.process(incarnation).map_or_else(unknown, Elsewhere::At))
    }

    /// Hands an answer to the node that waits for it; gives it back when that has not taken it.
    pub(super) async fn pass_answer_on(
        &self,
        session: &Session,
        to: Elsewhere,
        transaction: Transaction,
    ) -> Option<Transaction> {
        let Some(cluster) = self.cluster() else {
            return Some(transaction);
        };
        let found = match to {
            Elsewhere::At(member) => Some(member),
            Elsewhere::Unknown(incarnation) => cluster.find_process(&incarnation).await,
        };
        let Some(member) = found else {
            return Some(transaction);
        };
        let profile = self.profile_of(&session.peer);
        let document = Document::Session {
            session_id: SessionId::new(session.peer_id.as_str()),
            transactions: vec![transaction.clone()],
        };
        let forwarded = ForwardedAnswer {
            document: STANDARD.encode(encode(&document, &profile)),
            own: session.own.clone(),
            peer: session.peer.clone(),
        };
        let asked = cluster.ask(&member.node, ANSWER, written(&forwarded));
        // Longer would be too late to settle it in the store, and taking it twice does no harm.
        let reason = match tokio::time::timeout(PASSED_WITHIN, asked).await {
            Ok(Ok(_)) => return None,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("the node {} does not answer", member.node),
        };
        tracing::warn!(
            reason,
            "an answer did not reach the node that waits for it; it settles what is in the store"
        );
        Some(transaction)
    }

    /// What a request of any node asked that was given up before its answer.
    pub(super) async fn asked_by_others(&self, link: &Link, id: &TransactionId) -> Option<Arc<Asked>> {
        self.cluster()?;
        self.stored_asked(link, id).await
    }

    async fn tell(&self, news: &News) {
        let Some(cluster) = self.cluster() else { return };
        for (node, error) in cluster.tell_all(NEWS, written(news)).await {
            tracing::info!(node, %error, "a node was not told; it finds it in the store");
        }
    }

    async fn hear(self: &Arc<Self>, news: News) -> Result<(), Refused> {
        match news {
            News::Opened(session) => {
                let session = Arc::new(session);
                self.sessions.honour(Arc::clone(&session));
                if session.is_confirmed {
                    self.take_up(&self.link(&session.own, &session.peer), &session);
                }
            }
            News::Closed(session) => {
                self.sessions.disregard(&session);
                self.link(&session.own, &session.peer).forget_session(&session);
            }
            News::Unusable(session) => self.link(&session.own, &session.peer).forget_session(&session),
            News::Suspensions => {
                let loaded = self.load_suspensions().await;
                loaded.map_err(|error| Refused::Not(error.to_string()))?;
            }
        }
        Ok(())
    }

    async fn take_passed_step(self: &Arc<Self>, forwarded: ForwardedStep) -> Result<(), Refused> {
        let Document::Setup(step) = self.document(&forwarded.document, &Profile::STRICT)? else {
            return Err(Refused::Unreadable);
        };
        let speaks = |domain: &Domain, _: &InterconnectionAgreement| forwarded.speaks_for.contains(domain);
        let taken = self.receive_step(step, forwarded.spoken_to.as_ref(), &forwarded.source, speaks);
        match taken.await {
            Ok(SetupVerdict::Taken) => Ok(()),
            Ok(SetupVerdict::Refused(reason)) => Err(Refused::Not(reason.to_owned())),
            Err(_) => Err(Refused::Not(
                "no handshake is under way here that it belongs to".to_owned(),
            )),
        }
    }

    async fn take_passed_answer(self: &Arc<Self>, forwarded: ForwardedAnswer) -> Result<(), Refused> {
        let profile = self.profile_of(&forwarded.peer);
        let Document::Session { transactions, .. } = self.document(&forwarded.document, &profile)? else {
            return Err(Refused::Unreadable);
        };
        let link = self.link(&forwarded.own, &forwarded.peer);
        for Transaction { id, primitive, .. } in transactions {
            if let Some(primitive) = link.answered(&id, primitive) {
                self.settle_late(&link, &id, &primitive).await;
            }
        }
        Ok(())
    }

    /// Settles what is in the store with an answer that nobody waits for any more; `false` when there is nothing.
    pub(super) async fn settle_late(
        self: &Arc<Self>,
        link: &Link,
        id: &TransactionId,
        primitive: &Primitive,
    ) -> bool {
        let agreement = self.agreements.load().for_domain(&link.peer).cloned();
        let (Some(agreement), Some(asked)) = (agreement, self.late_to(link, id, primitive).await) else {
            return false;
        };
        self.late((&link.own, &link.peer), &agreement, &asked, primitive)
            .await
    }

    /// Looks again and again whether what an answer is about is in the store: a node that can't be reached and waits for it puts
    /// it there when it has waited for as long as a sender does.
    pub(super) fn settle_later(self: &Arc<Self>, link: Arc<Link>, id: TransactionId, primitive: Primitive) {
        let Ok(place) = Arc::clone(&self.stray_answers).try_acquire_owned() else {
            tracing::warn!(peer = %link.peer, "too many answers for nodes that can't be reached; one is dropped");
            return;
        };
        let gateway = Arc::downgrade(self);
        tokio::spawn(async move {
            for pause in LOOK_LATER {
                tokio::time::sleep(pause).await;
                let Some(gateway) = gateway.upgrade() else { return };
                if gateway.settle_late(&link, &id, &primitive).await {
                    break;
                }
            }
            drop(place);
        });
    }

    fn profile_of(&self, peer: &Domain) -> Profile {
        let agreement = self.agreements.load().for_domain(peer).cloned();
        agreement.map_or(Profile::STRICT, |agreement| profile(&agreement))
    }

    pub(super) fn document(&self, text: &str, profile: &Profile) -> Result<Document, Refused> {
        let octets = STANDARD.decode(text).map_err(|_| Refused::Unreadable)?;
        let limits = Limits {
            document: usize::try_from(self.config.max_document.0).unwrap_or(usize::MAX),
            ..Limits::default()
        };
        let decoded = decode(&octets, &limits, profile).map_err(|_| Refused::Unreadable)?;
        Ok(decoded.document)
    }
}

/// Where somebody waits for an answer.
#[derive(Clone, Debug)]
pub(super) enum Elsewhere {
    /// At this node.
    At(Member),
    /// At a process that has come since this node looked who lives, or is dead.
    Unknown(Box<str>),
}

/// Answers one topic of the gateway; does not keep it alive.
struct NodeTopic(Weak<SspGateway>, &'static str);

#[async_trait::async_trait]
impl Topic for NodeTopic {
    async fn answer(&self, _: &str, request: Bytes) -> Result<Bytes, Refused> {
        let gateway = self
            .0
            .upgrade()
            .ok_or_else(|| Refused::Not("the node stops".to_owned()))?;
        match self.1 {
            NEWS => gateway.hear(understood(&request)?).await?,
            STEP => gateway.take_passed_step(understood(&request)?).await?,
            ANSWER => gateway.take_passed_answer(understood(&request)?).await?,
            DOCUMENT => return gateway.take_passed_document(understood(&request)?).await,
            _ => return Err(Refused::UnknownTopic),
        }
        Ok(Bytes::new())
    }
}

/// The other nodes that climb ladders with these domains.
async fn climbers(cluster: &Cluster, peers: &[Domain]) -> Vec<String> {
    let held = cluster.holders(LADDER).await.unwrap_or_default();
    let me = cluster.me();
    let is_with = |name: &str| {
        let peer = name.rsplit_once(' ').map(|(_, peer)| peer);
        peer.is_some_and(|peer| peers.iter().any(|one| one.as_str() == peer))
    };
    let others = held
        .iter()
        .filter(|(name, holder)| is_with(name) && holder.0 != me.incarnation);
    let mut nodes: Vec<String> = others
        .filter_map(|(_, holder)| cluster.process(&holder.0))
        .map(|member| member.node)
        .collect();
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

pub(super) fn written(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
}

fn understood<T: DeserializeOwned>(request: &Bytes) -> Result<T, Refused> {
    serde_json::from_slice(request).map_err(|_| Refused::Unreadable)
}

const NEWS: &str = "ssp/news";
const STEP: &str = "ssp/step";
const ANSWER: &str = "ssp/answer";
/// Before the two domains in the name of a lease.
const LADDER: &str = "ladder ";
/// How long it may take that another node takes an answer.
const PASSED_WITHIN: Duration = Duration::from_secs(1);
/// When it is looked again whether an answer for a node that can't be reached finds something in the store.
const LOOK_LATER: [Duration; 5] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];
/// So many such answers are looked after at once.
pub(super) const STRAY_ANSWERS: usize = 1024;
/// How often a node that waits for the session of another one looks into the store.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
