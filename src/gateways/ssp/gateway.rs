//! The SSP gateway: the way out to peers, and what all its parts share.
//!
//! `listen.rs` takes documents in, `link.rs` sends them, `handshake.rs` establishes sessions, `servers.rs` finds the server to
//! speak to. The relay is connected late, because each needs the other.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, RwLock, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;

use super::{
    SspConfig,
    handshake::Handshakes,
    link::{Ask, Asked, Link, LinkFault, Pace},
    map::{View, read_answer, write_request},
    servers::Servers,
    session::{Session, Sessions},
    transactions::{Carrier, Transactions, carrier_key},
    turns::Turns,
};
use crate::{
    agreement::{Agreements, InterconnectionAgreement, ProfileName, Role},
    cluster::Cluster,
    model::{Answer, Domain, Protocol, Refusal, Request, Timestamp},
    relay::{Delivery, Egress, Relay, Undelivered, Underway},
    routing::{Candidate, HostAddress, Router},
    store::{Batch, Row, Space, Store, StoreError},
    telemetry::Clock,
    wire::ssp::{Profile, TransactionId},
};

/// What the gateway is built from.
pub struct SspParts {
    /// Times and bounds.
    pub config: SspConfig,
    /// The domains that we serve.
    pub own: Vec<Domain>,
    /// The domain that we speak as towards home servers of ours.
    pub service: Domain,
    /// The agreements in force.
    pub agreements: Arc<ArcSwap<Agreements>>,
    /// Who serves whom; the responder of a handshake looks the claimed domain up.
    pub router: Arc<Router>,
    /// Sessions survive in it.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Clock,
    /// The node's name, part of every transaction ID.
    pub node: String,
    /// Servers, their TLS and their health.
    pub servers: Servers,
    /// This node among the others; `None` where it is alone.
    pub cluster: Option<Arc<Cluster>>,
}

/// One (own domain, peer domain) pair, as people see it.
#[derive(Clone, Debug)]
pub struct LinkView {
    /// The domain that we speak as.
    pub own: Domain,
    /// The peer's domain.
    pub peer: Domain,
    /// The session in use.
    pub session: Option<Arc<Session>>,
    /// `open`, `opening`, `closed`, or why the last handshake failed.
    pub state: String,
    /// The peer's servers, as the last request saw them.
    pub servers: Vec<HostAddress>,
    /// Documents under way.
    pub documents: usize,
    /// Transactions that wait for a document.
    pub waiting: usize,
    /// Transactions whose answer is waited for.
    pub outstanding: usize,
    /// Answers since the start that nobody waited for any more: late, repeated, or to nothing of ours.
    pub unclaimed: u64,
}

/// The SSP gateway of one node.
pub struct SspGateway {
    pub(super) config: SspConfig,
    pub(super) own: Vec<Domain>,
    pub(super) service: Domain,
    pub(super) agreements: Arc<ArcSwap<Agreements>>,
    pub(super) router: Arc<Router>,
    pub(super) sessions: Sessions,
    pub(super) clock: Clock,
    pub(super) servers: Servers,
    pub(super) handshakes: Handshakes,
    pub(super) transactions: Transactions,
    pub(super) turns: Arc<Turns>,
    links: RwLock<HashMap<(Domain, Domain), Arc<Link>>>,
    relay: OnceLock<Weak<Relay>>,
    incarnation: String,
    /// Counts the requests of all links: a peer may hold several sessions with us, and tell what it was asked by the ID alone.
    asked: AtomicU64,
    this: Weak<Self>,
    suspended: Mutex<HashMap<String, String>>,
    cluster: Option<Arc<Cluster>>,
    store: Arc<dyn Store>,
    slots: Mutex<HashMap<String, Arc<Semaphore>>>,
    /// Places for answers whose node can't be reached.
    pub(super) stray_answers: Arc<Semaphore>,
    /// Documents that were taken, and answers that no peer has taken yet.
    underway: Underway,
    is_ending: AtomicBool,
}

impl SspGateway {
    /// Builds the gateway and takes up the sessions that are in the store.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn new(parts: SspParts) -> Result<Arc<Self>, StoreError> {
        let now = parts.clock.now();
        let store = parts.store;
        let suspended = read_suspensions(&*store, now).await?;
        let alone = || format!("{}-{}", parts.node, super::random::text(6));
        let cluster = parts.cluster;
        let incarnation = cluster
            .as_ref()
            .map_or_else(alone, |cluster| cluster.me().incarnation.clone());
        let (sessions, known) = Sessions::load(Arc::clone(&store), now).await?;
        let transactions = Transactions::load(Arc::clone(&store), now).await?;
        let gateway = Arc::new_cyclic(|this: &Weak<Self>| Self {
            config: parts.config,
            own: parts.own,
            service: parts.service,
            agreements: parts.agreements,
            router: parts.router,
            sessions,
            clock: parts.clock,
            servers: parts.servers,
            handshakes: Handshakes::default(),
            transactions,
            turns: Arc::default(),
            links: RwLock::default(),
            relay: OnceLock::new(),
            incarnation,
            cluster,
            asked: AtomicU64::new(1),
            this: this.clone(),
            suspended: Mutex::new(suspended),
            store,
            slots: Mutex::default(),
            stray_answers: Arc::new(Semaphore::new(super::nodes::STRAY_ANSWERS)),
            underway: Underway::default(),
            is_ending: AtomicBool::new(false),
        });
        for session in known
            .into_iter()
            .filter(|one| one.is_confirmed && one.is_usable(now))
        {
            gateway
                .link(&session.own, &session.peer)
                .opened(Arc::clone(&session));
            gateway.schedule_renewal(&session);
        }
        Ok(gateway)
    }

    /// Joins the relay that incoming requests go to.
    pub fn connect(&self, relay: &Arc<Relay>) {
        let _ = self.relay.set(Arc::downgrade(relay));
    }

    /// The relay, once it is joined and as long as it lives.
    pub(super) fn relay(&self) -> Option<Arc<Relay>> {
        self.relay.get()?.upgrade()
    }

    /// The links in use, for people.
    pub fn board(&self) -> Vec<LinkView> {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        let view = |link: &Arc<Link>| {
            let (documents, waiting, outstanding) = link.load();
            LinkView {
                own: link.own.clone(),
                peer: link.peer.clone(),
                session: link.session(),
                state: link.state(),
                servers: link.candidates().iter().map(Candidate::host_address).collect(),
                documents,
                waiting,
                outstanding,
                unclaimed: link.unclaimed(),
            }
        };
        links
            .values()
            .filter(|link| self.is_spoken(link))
            .map(view)
            .collect()
    }

    /// From now on nothing that a peer asks is taken; what it answers is. For an orderly end: the peer tries another server.
    pub fn stop_taking(&self) {
        self.is_ending.store(true, Ordering::Relaxed);
    }

    /// Documents that are worked on and answers that are on their way; for an orderly end, before the store is closed.
    #[must_use]
    pub fn underway(&self) -> &Underway {
        &self.underway
    }

    pub(super) fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Relaxed)
    }

    /// Opens the sessions with a peer's domain now, whether traffic needs them or not: in each of our names; with a home server that
    /// meets partners through us in the names that are in use, or that of the first partner.
    pub fn reconnect(&self, peer: &Domain) {
        let agreements = self.agreements.load();
        let Some(agreement) = agreements.for_domain(peer) else {
            return;
        };
        let names = if agreement.presents_partners() {
            let links = self.board();
            let used: Vec<_> = links
                .into_iter()
                .filter(|link| link.peer == *peer)
                .map(|link| link.own)
                .collect();
            let all = agreements.all().iter().flat_map(|one| &one.config.domains);
            let first = all.filter(|own| self.may_speak_as(own, agreement)).take(1);
            if used.is_empty() {
                first.cloned().collect()
            } else {
                used
            }
        } else if agreement.config.role == Role::Home {
            vec![self.service.clone()]
        } else {
            self.own.clone()
        };
        for own in names {
            self.reopen(&own, peer);
        }
    }

    fn reopen(&self, own: &Domain, peer: &Domain) {
        let link = self.link(own, peer);
        let current = link.close();
        if let Some(gateway) = self.this().filter(|_| self.cluster.is_some()) {
            return gateway.reopen_for_all(link, current);
        }
        if let Some(session) = current {
            self.log_out(session);
        }
        self.open(link);
    }

    /// Nothing goes to the peer, and nothing is taken from it, until it is resumed; holds over restarts.
    ///
    /// # Errors
    /// When the store fails; then nothing is changed.
    pub async fn suspend(&self, peer: &str, reason: &str) -> Result<(), StoreError> {
        let row = format!("{SUSPENDED}{peer}");
        let batch = Batch::new(self.now()).put(Space::Meta, row, reason.as_bytes().to_vec(), None);
        self.store.commit(batch.ordered()).await?;
        self.suspensions().insert(peer.to_owned(), reason.to_owned());
        self.tell_suspensions().await;
        Ok(())
    }

    /// Ends a suspension.
    ///
    /// # Errors
    /// When the store fails; then nothing is changed.
    pub async fn resume(&self, peer: &str) -> Result<(), StoreError> {
        let batch = Batch::new(self.now()).remove(Space::Meta, format!("{SUSPENDED}{peer}"));
        self.store.commit(batch.ordered()).await?;
        self.suspensions().remove(peer);
        self.tell_suspensions().await;
        Ok(())
    }

    /// Takes up the suspensions that are in the store: another node may have been told of them.
    ///
    /// # Errors
    /// When the store can't be read; then nothing is changed.
    pub async fn load_suspensions(&self) -> Result<(), StoreError> {
        let read = read_suspensions(&*self.store, self.now()).await?;
        *self.suspensions() = read;
        Ok(())
    }

    /// Why a peer is suspended; `None` when it is not.
    pub fn suspension(&self, peer: &str) -> Option<String> {
        self.suspensions().get(peer).cloned()
    }

    fn suspensions(&self) -> std::sync::MutexGuard<'_, HashMap<String, String>> {
        self.suspended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up changed certificates and agreements for new connections.
    pub fn reload(&self) {
        self.servers.reload();
        self.leave_names();
    }

    /// Ends the sessions in names that the agreements now in force do not present to the peer any more.
    fn leave_names(&self) {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        for link in links.values().filter(|link| !self.is_spoken(link)) {
            if let Some(session) = link.close() {
                tracing::info!(own = %link.own, peer = %link.peer, "the session ends, because we speak in that name no more");
                self.log_out(session);
            }
        }
    }

    /// Whether a link is of a pair that may have a session. Without an agreement nobody asks.
    fn is_spoken(&self, link: &Link) -> bool {
        let agreement = self.agreements.load().for_domain(&link.peer).cloned();
        agreement.is_none_or(|agreement| self.may_speak_as(&link.own, &agreement))
    }

    /// Forgets idle sources of handshakes and idle connections; called every minute or so.
    pub fn forget_idle(&self) {
        self.handshakes.forget_idle();
        self.servers.forget_idle();
    }

    pub(super) fn is_suspended(&self, agreement: &InterconnectionAgreement) -> bool {
        let suspended = self.suspensions();
        !suspended.is_empty() && suspended.contains_key(agreement.peer().as_str())
    }

    pub(super) fn link(&self, own: &Domain, peer: &Domain) -> Arc<Link> {
        let key = (own.clone(), peer.clone());
        if let Some(link) = self
            .links
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
        {
            return Arc::clone(link);
        }
        let mut links = self.links.write().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Link::new(own.clone(), peer.clone(), self.this.clone()));
        Arc::clone(links.entry(key).or_insert_with(new))
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// This node among the others; `None` where it is alone.
    pub(super) fn cluster(&self) -> Option<&Arc<Cluster>> {
        self.cluster.as_ref()
    }

    pub(super) fn incarnation(&self) -> &str {
        &self.incarnation
    }

    /// The ID of the next request.
    pub(super) fn next_transaction(&self) -> TransactionId {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        TransactionId::new(format!("{}-{number}", self.incarnation))
    }

    /// How documents to a peer are made up.
    pub(super) fn pace(&self, peer: &Domain) -> Pace {
        let agreement = self.agreements.load().for_domain(peer).cloned();
        let documents = agreement
            .as_ref()
            .map_or(1, |one| one.config.limits.documents_in_flight.max(1));
        let batches = agreement.as_ref().is_some_and(|one| profile(one).batches);
        Pace {
            documents: if batches { documents as usize } else { 1 },
            transactions: if batches {
                self.config.transactions_per_document
            } else {
                1
            },
            octets: usize::try_from(self.config.document_size.0).unwrap_or(usize::MAX),
            max_waiting: self.config.max_waiting,
            max_waiting_octets: usize::try_from(self.config.max_waiting_size.0).unwrap_or(usize::MAX),
        }
    }

    /// Whether a peer recognises a message that comes again.
    pub(super) fn tells_repeats_apart(&self, peer: &Domain) -> bool {
        let agreement = self.agreements.load().for_domain(peer).cloned();
        agreement.is_some_and(|agreement| profile(&agreement).deduplicates)
    }

    /// Places for the requests of a peer that are worked on at once.
    pub(super) fn slots_of(&self, agreement: &InterconnectionAgreement) -> Arc<Semaphore> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let peer = agreement.peer().as_str();
        if let Some(known) = slots.get(peer) {
            return Arc::clone(known);
        }
        let new = Arc::new(Semaphore::new(self.config.open_requests_per_peer.max(1)));
        slots.insert(peer.to_owned(), Arc::clone(&new));
        new
    }

    /// Whether a session with this peer may be in the name of a domain: as the agreements in force have it.
    pub(super) fn may_speak_as(&self, own: &Domain, agreement: &InterconnectionAgreement) -> bool {
        if agreement.config.role == Role::Partner {
            return true;
        }
        if !agreement.presents_partners() {
            return *own == self.service;
        }
        let is_its_own = agreement.config.domains.contains(own);
        !is_its_own && (self.own.contains(own) || self.agreements.load().is_presented_to(own, agreement))
    }

    pub(super) fn this(&self) -> Option<Arc<Self>> {
        self.this.upgrade()
    }

    async fn send(
        &self,
        delivery: &Delivery,
        agreement: &InterconnectionAgreement,
    ) -> Result<Answer, Undelivered> {
        let is_as_ourselves = agreement.config.role == Role::Home && !agreement.presents_partners();
        let own = if is_as_ourselves {
            &self.service
        } else {
            &delivery.own
        };
        if !self.may_speak_as(own, agreement) {
            return Err(Undelivered::Refused(Refusal::NoAgreement { domain: own.clone() }));
        }
        let link = self.link(own, &delivery.domain);
        link.set_candidates(&delivery.candidates);
        let profile = profile(agreement);
        let view = View {
            own,
            peer: &delivery.domain,
            agreement,
            profile,
        };
        let outgoing = write_request(&view, &delivery.request, &delivery.via);
        let unsupported = || Refusal::Unsupported {
            what: format!("{} at {}", outgoing.name, delivery.domain),
        };
        if link.is_unsupported(outgoing.name) {
            return Err(Undelivered::Refused(unsupported()));
        }
        if let Some(carrier) = self.carrier_of(&profile, delivery).await {
            // This peer takes reports and invitation answers only as answers to the transaction they belong to, and after
            // the first answer to it.
            let wait = self.now().until(delivery.deadline);
            let _ = tokio::time::timeout(wait, carrier.answered()).await;
            let wait = self.now().until(delivery.deadline);
            let acknowledged = link.respond_and_wait(carrier.id.clone(), outgoing.primitive, wait);
            return match acknowledged.await {
                Ok(()) => Ok(Answer::Done),
                Err(fault) => Err(self.undelivered(&link, delivery, fault).await),
            };
        }
        let ask = Ask {
            primitive: outgoing.primitive,
            conversation: outgoing.conversation,
            expects: outgoing.expects,
            asked: asked(&delivery.request),
        };
        let wait = self.now().until(delivery.deadline);
        match link.request(ask, wait).await {
            Ok(None) => Ok(Answer::Done),
            Ok(Some(primitive)) => read_answer(&view, &delivery.request, &primitive).map_err(|refusal| {
                if matches!(refusal, Refusal::Unsupported { .. }) {
                    link.remember_unsupported(outgoing.name);
                }
                Undelivered::Refused(refusal)
            }),
            Err(fault) => Err(self.undelivered(&link, delivery, fault).await),
        }
    }

    /// What a fault of the link means to the relay.
    async fn undelivered(&self, link: &Link, delivery: &Delivery, fault: LinkFault) -> Undelivered {
        let domain = delivery.domain.clone();
        let is_message = matches!(delivery.request, Request::Send(_));
        match fault {
            LinkFault::NotTaken(reason) => Undelivered::NotTaken(Refusal::Unreachable { domain, reason }),
            LinkFault::Closed(reason) => Undelivered::NotTaken(Refusal::Dropped { domain, reason }),
            LinkFault::EndsConnections => Undelivered::NotTaken(Refusal::EndsConnections { domain }),
            // What is no message may come twice, and may not get lost.
            LinkFault::UnderWay(_) if !is_message => Undelivered::NotTaken(Refusal::TimedOut { domain }),
            LinkFault::UnderWay(id) | LinkFault::Unanswered(id) => {
                self.keep_asked(link, &id).await;
                Undelivered::Unanswered(Refusal::TimedOut { domain })
            }
        }
    }

    async fn carrier_of(&self, profile: &Profile, delivery: &Delivery) -> Option<Arc<Carrier>> {
        let is_later_answer = matches!(delivery.request, Request::Report(_) | Request::InviteAnswer(_));
        if !profile.answers_in_response_mode || !is_later_answer {
            return None;
        }
        let key = carrier_key(&delivery.domain, &delivery.request)?;
        self.transactions.carrier(&key, self.now()).await
    }
}

#[async_trait::async_trait]
impl Egress for SspGateway {
    fn protocol(&self) -> Protocol {
        Protocol::Ssp
    }

    async fn deliver(&self, delivery: Delivery) -> Result<Answer, Undelivered> {
        let Some(agreement) = delivery.agreement.clone() else {
            return Err(Undelivered::Refused(Refusal::NoAgreement {
                domain: delivery.domain,
            }));
        };
        if self.is_suspended(&agreement) {
            let reason = "the peer is suspended by an operator".into();
            return Err(Undelivered::NotTaken(Refusal::Unreachable {
                domain: delivery.domain,
                reason,
            }));
        }
        self.send(&delivery, &agreement).await
    }
}

impl std::fmt::Debug for SspGateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SspGateway")
            .field("own", &self.own)
            .finish_non_exhaustive()
    }
}

async fn read_suspensions(store: &dyn Store, now: Timestamp) -> Result<HashMap<String, String>, StoreError> {
    let rows = store.rows(Space::Meta, SUSPENDED, None, 10_000, now).await?;
    let of = |row: &Row| {
        let peer = row.key.strip_prefix(SUSPENDED)?.to_owned();
        Some((peer, String::from_utf8_lossy(&row.value).into_owned()))
    };
    Ok(rows.iter().filter_map(of).collect())
}

/// What a late answer to a request would be about.
fn asked(request: &Request) -> Option<Asked> {
    let Request::Send(message) = request else {
        return None;
    };
    Some(Asked {
        message: message.id.clone()?,
        recipients: message.recipients.clone(),
    })
}

/// The quirks of the peer's implementation.
pub(super) fn profile(agreement: &InterconnectionAgreement) -> Profile {
    match agreement.config.profile {
        ProfileName::Strict => Profile::STRICT,
        ProfileName::Observed => Profile::OBSERVED,
    }
}

/// Before the peer in the key of a suspension.
const SUSPENDED: &str = "suspended ";
