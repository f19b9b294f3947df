//! The driver of session establishment: carries the ladders' steps to the peer's servers and arriving steps to the ladders.
//!
//! One task each for what a ladder sends; a timer for all of them. A claimed domain without an agreement costs no lookup and
//! no connection. The responder answers to the servers that DNS or the agreement names, never to where the request came from.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tokio::task::JoinHandle;

use super::{
    gateway::{SspGateway, profile},
    link::Link,
    nodes::Climber,
    random,
    redirect::Redirect,
};
use crate::{
    agreement::{InterconnectionAgreement, Role},
    cluster::Tenure,
    model::Domain,
    routing::{Candidate, Explain, Plan, RouteService},
    wire::ssp::{
        Document, SetupPrimitive, SetupTransaction, StatusCode, TransactionId,
        ladder::{
            self, Busy, Delivery, Failure, Input, Ladder, LadderKey, Ladders, Match, Output, Settings, Step,
            Token, Verdict, failing_step,
        },
    },
};

/// All handshakes of this process.
pub(super) struct Handshakes {
    inner: Mutex<Inner>,
    /// Wakes the timer when a ladder wants to be woken earlier than it knows.
    timer: tokio::sync::Notify,
    /// First steps from each source address.
    openings: DefaultKeyedRateLimiter<String>,
    /// Sessions of ladders that are being stored, among several nodes: no step goes on before.
    keeping: Mutex<HashMap<LadderKey, Keeping>>,
    /// Held by who carries out what the ladders want, so that a session is known before the step that announces it is sent.
    driving: Mutex<()>,
}

struct Inner {
    ladders: Ladders,
    running: HashMap<LadderKey, Running>,
    /// Links whose peer is in a handshake with another of our domains: its secret would not say whom it is for.
    behind: HashMap<Domain, Vec<Arc<Link>>>,
}

/// What the driver knows of a ladder.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub(super) own: Domain,
    pub(super) peer: Domain,
    pub(super) agreement: Arc<InterconnectionAgreement>,
    candidates: Arc<[Candidate]>,
    /// The server that took the first step; later steps go there first.
    pub(super) url: Option<String>,
    /// Whether we opened; then a link waits for the end.
    pub(super) is_initiator: bool,
    /// Where the peer sent us.
    pub(super) redirect: Redirect,
    /// Under which this node climbs among several.
    pub(super) tenure: Option<Arc<Tenure>>,
}

impl Default for Handshakes {
    fn default() -> Self {
        let inner = Inner {
            ladders: Ladders::new(MAX_LADDERS),
            running: HashMap::new(),
            behind: HashMap::new(),
        };
        let quota = Quota::per_second(nonzero(20)).allow_burst(nonzero(100));
        Self {
            inner: Mutex::new(inner),
            timer: tokio::sync::Notify::new(),
            openings: RateLimiter::keyed(quota),
            keeping: Mutex::default(),
            driving: Mutex::default(),
        }
    }
}

impl std::fmt::Debug for Handshakes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Handshakes({} under way)", self.lock().ladders.under_way())
    }
}

impl Handshakes {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keeping(&self) -> MutexGuard<'_, HashMap<LadderKey, Keeping>> {
        self.keeping.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets idle sources.
    pub(super) fn forget_idle(&self) {
        self.openings.retain_recent();
    }
}

/// The answer to an arriving setup step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum SetupVerdict {
    /// 2xx.
    Taken,
    /// Not 2xx.
    Refused(&'static str),
}

/// A session that is being stored; whether it may be used.
type Keeping = Shared<BoxFuture<'static, bool>>;

impl SspGateway {
    /// Opens a session for a link; the link learns of the end.
    pub(super) fn open(&self, link: Arc<Link>) {
        let Some(gateway) = self.this() else { return };
        tokio::spawn(async move {
            let opened = match gateway.turn_to_open(&link).await {
                Ok(Some(tenure)) => gateway.initiate(&link, tenure).await,
                Ok(None) => Ok(()),
                Err(reason) => Err(reason),
            };
            if let Err(reason) = opened {
                tracing::warn!(own = %link.own, peer = %link.peer, %reason, "no session");
                gateway.not_opened(&link, &reason);
            }
        });
    }

    /// Takes an arriving step, here or at the node that climbs with the peer; `may_speak_for` tells for which domains its
    /// connection is authenticated.
    pub(super) async fn receive_setup(
        self: &Arc<Self>,
        step: SetupTransaction,
        spoken_to: Option<&Domain>,
        source: &str,
        may_speak_for: impl Fn(&Domain, &InterconnectionAgreement) -> bool,
    ) -> SetupVerdict {
        match self.receive_step(step, spoken_to, source, &may_speak_for).await {
            Ok(verdict) => verdict,
            Err(step) => {
                let passed = self.pass_step_on(*step, (spoken_to, source), may_speak_for).await;
                passed.unwrap_or(SetupVerdict::Refused(NOT_UNDER_WAY))
            }
        }
    }

    /// Takes an arriving step at this node; gives it back when it can only be another node's.
    pub(super) async fn receive_step(
        self: &Arc<Self>,
        step: SetupTransaction,
        spoken_to: Option<&Domain>,
        source: &str,
        may_speak_for: impl Fn(&Domain, &InterconnectionAgreement) -> bool,
    ) -> Result<SetupVerdict, Box<SetupTransaction>> {
        let agreements = self.agreements.load_full();
        let may = |domain: &str| {
            let Ok(domain) = domain.parse::<Domain>() else {
                return false;
            };
            agreements
                .for_domain(&domain)
                .is_some_and(|agreement| may_speak_for(&domain, agreement))
        };
        // A home server that meets partners through us says by the name it asks for whom a step is for.
        let is_meant = |ladder: &Ladder| {
            let peer = ladder.peer_domain().parse::<Domain>().ok();
            let agreement = peer.and_then(|peer| agreements.for_domain(&peer));
            let home = agreement.filter(|agreement| agreement.presents_partners());
            let meant = home.and_then(|home| self.own_towards(home, spoken_to));
            meant.is_none_or(|own| ladder.own_domain().eq_ignore_ascii_case(own.as_str()))
        };
        let found = self.handshakes.lock().ladders.find_among(&step, may, is_meant);
        Ok(match found {
            Match::Known(key) => {
                let input = Input::Received(Box::new(step));
                let verdict = self.handshakes.lock().ladders.handle(key, input, clock());
                self.drive();
                let keeping = self.keeping_of(key);
                is_kept(keeping).await;
                match verdict {
                    Verdict::Taken => SetupVerdict::Taken,
                    Verdict::Refused => SetupVerdict::Refused("the step does not fit the handshake"),
                }
            }
            Match::Opening { peer_domain } => {
                let Ok(peer) = peer_domain.parse::<Domain>() else {
                    return Ok(SetupVerdict::Refused("the serviceID names no domain"));
                };
                let Some(agreement) = agreements.for_domain(&peer).cloned() else {
                    let reason = "there is no agreement with the claimed domain";
                    return Ok(SetupVerdict::Refused(reason));
                };
                if self.is_suspended(&agreement) {
                    return Ok(SetupVerdict::Refused("the peer is suspended by an operator"));
                }
                if self.handshakes.openings.check_key(&source.to_owned()).is_err() {
                    return Ok(SetupVerdict::Refused("too many handshakes from this address"));
                }
                return self.respond(step, peer, agreement, spoken_to).await;
            }
            Match::Foreign { .. } => SetupVerdict::Refused(
                "the connection is not authenticated for the claimed domain, or there is no agreement",
            ),
            Match::Unknown if self.cluster().is_some() => return Err(Box::new(step)),
            Match::Unknown => SetupVerdict::Refused(NOT_UNDER_WAY),
        })
    }

    /// Wakes ladders when their time comes; runs for as long as the gateway.
    pub async fn run_handshakes(self: Arc<Self>) {
        loop {
            let wake = self.handshakes.lock().ladders.next_wake();
            let woken = self.handshakes.timer.notified();
            match wake {
                Some(at) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(at.into()) => {}
                        () = woken => continue,
                    }
                }
                None => {
                    woken.await;
                    continue;
                }
            }
            self.handshakes.lock().ladders.tick(clock());
            self.drive();
        }
    }

    async fn initiate(self: &Arc<Self>, link: &Arc<Link>, tenure: Option<Arc<Tenure>>) -> Result<(), String> {
        let agreement = self.agreements.load().for_domain(&link.peer).cloned();
        let agreement = agreement.ok_or("there is no agreement")?;
        if self.is_suspended(&agreement) {
            return Err("the peer is suspended by an operator".into());
        }
        if !self.may_speak_as(&link.own, &agreement) {
            return Err(format!("as {} nobody speaks to it any more", link.own));
        }
        let candidates = self.candidates(&link.peer, &agreement, Some(link)).await?;
        let running = Running {
            own: link.own.clone(),
            peer: link.peer.clone(),
            agreement: Arc::clone(&agreement),
            candidates,
            url: None,
            is_initiator: true,
            redirect: Redirect::default(),
            tenure,
        };
        self.begin(running)?;
        self.drive();
        Ok(())
    }

    /// Starts a ladder of ours; its end, or that of the one in its way, tells the link.
    fn begin(&self, running: Running) -> Result<(), String> {
        let mut inner = self.handshakes.lock();
        let begun = inner.ladders.initiate(
            running.own.as_str(),
            running.peer.as_str(),
            token(),
            clock(),
            self.settings(&running.agreement),
        );
        match begun {
            Ok(key) => {
                inner.running.insert(key, running);
            }
            Err(Busy::InProgress(_)) => {}
            Err(Busy::PeerBusy(_)) => {
                let link = self.link(&running.own, &running.peer);
                inner.behind.entry(running.peer).or_default().push(link);
            }
            Err(busy @ Busy::Full) => return Err(busy.to_string()),
        }
        Ok(())
    }

    /// The peer wants the session opened at another of its servers: a new ladder, with a new secret, goes there.
    fn follow(&self, running: Running, urls: &[String]) -> Result<(), String> {
        let redirect = running
            .redirect
            .follow(running.url.as_deref(), urls, &running.agreement)?;
        tracing::info!(own = %running.own, peer = %running.peer, servers = ?redirect.servers, "the peer sends us elsewhere");
        self.begin(Running {
            url: None,
            redirect,
            ..running
        })
    }

    /// One of our ladders towards a peer is over: those that could not begin beside it do.
    fn go_on_behind(&self, peer: &Domain) {
        let behind = self.handshakes.lock().behind.remove(peer);
        for link in behind.into_iter().flatten() {
            self.open(link);
        }
    }

    async fn respond(
        self: &Arc<Self>,
        step: SetupTransaction,
        peer: Domain,
        agreement: Arc<InterconnectionAgreement>,
        spoken_to: Option<&Domain>,
    ) -> Result<SetupVerdict, Box<SetupTransaction>> {
        if !matches!(step.primitive, SetupPrimitive::SendSecretToken(_)) {
            return Ok(SetupVerdict::Refused("the first step is a SendSecretToken"));
        }
        let Some(own) = self.own_towards(&agreement, spoken_to) else {
            tracing::warn!(%peer, spoken_to = spoken_to.map(Domain::as_str), "a home server asks for a domain that is no partner's");
            return Ok(SetupVerdict::Refused(
                "there is no agreement with the domain that the home server asks for",
            ));
        };
        match self.climber(&own, &peer).await {
            Ok(Climber::Us(tenure)) => Ok(self.take_opening(step, (own, peer), agreement, tenure)),
            Ok(Climber::Other) => Err(Box::new(step)),
            Err(error) => {
                tracing::warn!(%peer, %error, "a handshake can't be taken up");
                Ok(SetupVerdict::Refused("the store can't be asked who climbs"))
            }
        }
    }

    fn take_opening(
        self: &Arc<Self>,
        step: SetupTransaction,
        (own, peer): (Domain, Domain),
        agreement: Arc<InterconnectionAgreement>,
        tenure: Option<Arc<Tenure>>,
    ) -> SetupVerdict {
        let SetupPrimitive::SendSecretToken(token_in) = step.primitive else {
            return SetupVerdict::Refused("the first step is a SendSecretToken");
        };
        let mut settings = self.settings(&agreement);
        // The first step of a peer is answered after its acknowledgement has had time to get through.
        settings.answer_delay = settings.answer_delay.max(std::time::Duration::from_millis(5));
        let gateway = Arc::clone(self);
        let now = clock();
        tokio::spawn(async move {
            let candidates = match gateway.candidates(&peer, &agreement, None).await {
                Ok(candidates) => candidates,
                Err(reason) => {
                    tracing::warn!(%peer, %reason, "the claimed domain has no server to answer to");
                    return;
                }
            };
            let running = Running {
                own,
                peer,
                agreement,
                candidates,
                url: None,
                is_initiator: false,
                redirect: Redirect::default(),
                tenure,
            };
            let busy = {
                let mut inner = gateway.handshakes.lock();
                let made = inner.ladders.respond(
                    running.own.as_str(),
                    running.peer.as_str(),
                    (step.id.clone(), &token_in.secret),
                    token(),
                    now,
                    settings,
                );
                match made {
                    Ok(key) => {
                        inner.running.insert(key, running);
                        None
                    }
                    Err(busy) => Some((busy, running)),
                }
            };
            if let Some((busy, running)) = busy {
                tracing::warn!(peer = %running.peer, %busy, "a handshake was not taken up");
                // What the peer started is never left unanswered: it may wait for ever (SSP reference §4.6).
                let failing = failing_step(ladder::Role::Responder, step.id, StatusCode::SERVICE_UNAVAILABLE);
                gateway
                    .post_setup(&running, &Document::Setup(failing), None)
                    .await;
            }
            gateway.drive();
        });
        SetupVerdict::Taken
    }

    /// Carries out what the ladders want, until they want nothing more.
    fn drive(self: &Arc<Self>) {
        let driving = self
            .handshakes
            .driving
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        loop {
            let (running, key, output) = {
                let mut inner = self.handshakes.lock();
                let Some((key, output)) = inner.ladders.poll() else {
                    break;
                };
                let Some(running) = inner.running.get(&key).cloned() else {
                    continue;
                };
                (running, key, output)
            };
            match output {
                Output::Send { step, transaction } => {
                    let (gateway, keeping) = (Arc::clone(self), self.keeping_of(key));
                    tokio::spawn(async move {
                        let is_kept = is_kept(keeping).await;
                        gateway
                            .send_step(key, running, (step, *transaction), is_kept)
                            .await;
                    });
                }
                Output::Honour(session) => self.keeps(key, self.keep_session(&running, &session, false)),
                Output::Established(session) => {
                    self.keeps(key, self.keep_session(&running, &session, true));
                    self.handshakes.lock().running.remove(&key);
                    self.go_on_behind(&running.peer);
                }
                Output::Failed(failure) => {
                    self.handshakes.lock().running.remove(&key);
                    self.ended(running, &failure);
                }
                Output::WakeAt(_) => {}
            }
        }
        drop(driving);
        self.handshakes.timer.notify_one();
    }

    /// Among several nodes all that follows waits until the session is stored: the acknowledgement of the step that brought it as
    /// well as the next step.
    fn keeps(self: &Arc<Self>, key: LadderKey, keeping: Option<JoinHandle<bool>>) {
        let Some(keeping) = keeping.filter(|_| self.cluster().is_some()) else {
            return;
        };
        let keeping = keeping.map(|kept| kept.unwrap_or(false)).boxed().shared();
        self.handshakes.keeping().insert(key, keeping.clone());
        let gateway = Arc::clone(self);
        tokio::spawn(async move {
            keeping.clone().await;
            let mut all = gateway.handshakes.keeping();
            if all.get(&key).is_some_and(|latest| latest.ptr_eq(&keeping)) {
                all.remove(&key);
            }
        });
    }

    fn keeping_of(&self, key: LadderKey) -> Option<Keeping> {
        self.handshakes.keeping().get(&key).cloned()
    }

    fn ended(self: &Arc<Self>, running: Running, failure: &Failure) {
        let (own, peer) = (running.own.clone(), running.peer.clone());
        tracing::warn!(%own, %peer, %failure, "the handshake failed");
        // The failure of a ladder that the peer opened says nothing about ours, which may be on its way.
        if !running.is_initiator {
            return;
        }
        let followed = if let Failure::Redirected(urls) = failure {
            self.follow(running, urls)
        } else {
            Err(failure.to_string())
        };
        if let Err(reason) = followed {
            self.not_opened(&self.link(&own, &peer), &reason);
            self.go_on_behind(&peer);
        }
    }

    async fn send_step(
        self: Arc<Self>,
        key: LadderKey,
        running: Running,
        (step, transaction): (Step, SetupTransaction),
        is_kept: bool,
    ) {
        if !is_kept {
            let given_up = Input::Abandoned(StatusCode::SERVICE_UNAVAILABLE);
            self.handshakes.lock().ladders.handle(key, given_up, clock());
            return self.drive();
        }
        let id = (step == Step::SendSecretToken).then(|| transaction.id.clone());
        let document = Document::Setup(transaction);
        let (delivery, url) = self.post_setup(&running, &document, id).await;
        {
            let mut inner = self.handshakes.lock();
            if let (Some(url), Some(running)) = (url, inner.running.get_mut(&key)) {
                running.url.get_or_insert(url);
            }
            if step != Step::Failure {
                inner
                    .ladders
                    .handle(key, Input::Delivered { step, delivery }, clock());
            }
        }
        self.drive();
    }

    async fn post_setup(
        &self,
        running: &Running,
        document: &Document,
        id: Option<TransactionId>,
    ) -> (Delivery, Option<String>) {
        let profile = profile(&running.agreement);
        let body = crate::wire::ssp::encode(document, &profile).into();
        let servers = running.redirect.order(running.url.as_deref()).unwrap_or_else(|| {
            let url = running.url.as_deref();
            self.servers
                .order(url, &running.candidates, &running.agreement, self.now())
        });
        self.servers
            .post_setup(
                &servers,
                &running.agreement,
                (&running.own, &running.peer),
                body,
                id.as_ref(),
                self.now(),
            )
            .await
    }

    fn settings(&self, agreement: &InterconnectionAgreement) -> Settings {
        Settings {
            deadline: self.config.handshake_deadline,
            time_to_live: self.config.time_to_live,
            tells_names_apart: agreement.presents_partners(),
            ..Settings::for_profile(&profile(agreement))
        }
    }

    /// The domain that we speak as towards a peer that has asked for a name; `None` when a home server that meets partners
    /// through us names none of them.
    pub(super) fn own_towards(
        &self,
        agreement: &InterconnectionAgreement,
        spoken_to: Option<&Domain>,
    ) -> Option<Domain> {
        if agreement.presents_partners() {
            // Where it is not the partner's domain, it is the name of the server there, which the DNS view puts into the domain.
            let names = std::iter::successors(spoken_to.map(Domain::as_str), |name| {
                name.split_once('.').map(|(_, above)| above)
            });
            let mut domains = names.filter_map(|name| name.parse::<Domain>().ok());
            return domains.find(|domain| self.may_speak_as(domain, agreement));
        }
        if agreement.config.role == Role::Home {
            return Some(self.service.clone());
        }
        let main = self.own.first().unwrap_or(&self.service);
        let asked = spoken_to.map_or("", Domain::as_str);
        // Without TLS the name is the SRV target's, which an operator of several domains puts into each of them.
        let is_asked = |own: &&Domain| {
            let above = asked.strip_suffix(own.as_str());
            above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
        };
        let longest = self
            .own
            .iter()
            .filter(is_asked)
            .max_by_key(|own| own.as_str().len());
        Some(longest.unwrap_or(main).clone())
    }

    /// The peer's servers: as the agreement names them, or as DNS has them now; where DNS has none, as the last delivery found
    /// them.
    pub(super) async fn candidates(
        &self,
        peer: &Domain,
        agreement: &InterconnectionAgreement,
        link: Option<&Link>,
    ) -> Result<Arc<[Candidate]>, String> {
        if let Some(named) = crate::routing::static_candidates(&agreement.config.servers) {
            return Ok(named);
        }
        let service = crate::model::WvAddress::service(peer.clone());
        // The router keeps its answer until the records' own end.
        let routed = self
            .router
            .route(&service, RouteService::Im, self.now(), Explain::No)
            .await;
        let reason = match routed.plan.as_deref() {
            Ok(Plan::Domain { candidates, .. }) => return Ok(Arc::clone(candidates)),
            Ok(Plan::Home { .. } | Plan::Gateway { .. }) => {
                format!("{peer} has no _imps-server._tcp record")
            }
            Err(failure) => failure.to_string(),
        };
        let known = link.map(|link| link.candidates());
        known.filter(|known| !known.is_empty()).ok_or(reason)
    }
}

fn token() -> Token {
    Token {
        transaction_id: TransactionId::new(format!("h-{}", random::text(9))),
        secret: random::octets(),
        session: random::octets(),
    }
}

/// Waits until a session is stored; `false` when it may not be used.
async fn is_kept(keeping: Option<Keeping>) -> bool {
    match keeping {
        Some(keeping) => keeping.await,
        None => true,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the driver of the ladders reads the clock for them"
)]
fn clock() -> Instant {
    Instant::now()
}

#[expect(clippy::expect_used, reason = "called with literals above zero")]
fn nonzero(count: u32) -> std::num::NonZeroU32 {
    std::num::NonZeroU32::new(count).expect("above zero")
}

/// Why a step is refused that nobody waits for.
const NOT_UNDER_WAY: &str = "no handshake is under way that this step belongs to";
/// Handshakes under way, for each role.
const MAX_LADDERS: usize = 1024;
