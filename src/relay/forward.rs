//! Route and deliver: from a person's address to the side that serves him, and through the egress that speaks to it.

use std::{sync::Arc, time::Duration};

use super::{Delivery, Ingress, Relay, Side, Undelivered, admit, naming::Alias, paces::went};
use crate::{
    agreement::{InterconnectionAgreement, Role},
    model::{
        Acceptance, Answer, Domain, PeerName, Protocol, RecipientOutcome, Refusal, Request, StepEvent, Stop,
        Timestamp, WvAddress,
    },
    routing::{Alternative, Candidate, Explain, Plan, RouteFailure, RouteService, static_candidates},
    store::QueueBound,
};

/// Where a request for some people goes.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// The serving domain.
    pub(super) domain: Domain,
    /// How it is spoken to.
    pub(super) protocol: Protocol,
    /// Its servers; empty for the embedded home domain.
    pub(super) candidates: Arc<[Candidate]>,
    /// The agreement; none for the embedded home domain.
    pub(super) agreement: Option<Arc<InterconnectionAgreement>>,
    /// Other domains of the person's records, for when nobody takes a request at this one.
    pub(super) alternatives: Option<Arc<[Alternative]>>,
    /// Those of its people whom it knows by another name than the one asked for; mostly nobody.
    pub(super) aliases: Vec<Alias>,
    /// Likewise for the alternatives.
    pub(super) other_aliases: Vec<(Domain, Alias)>,
    /// How long a request may wait for room at the peer; what finds none at once is stored.
    pub(super) patience: Duration,
}

impl Target {
    /// The embedded home domain.
    fn home(domain: &Domain) -> Self {
        Self {
            domain: domain.clone(),
            protocol: Protocol::Home,
            candidates: Arc::new([]),
            agreement: None,
            alternatives: None,
            aliases: Vec::new(),
            other_aliases: Vec::new(),
            patience: Duration::ZERO,
        }
    }

    /// Whether this is our own side: the embedded home domain or a home IMPS server.
    pub(super) fn is_ours(&self) -> bool {
        self.agreement
            .as_ref()
            .is_none_or(|agreement| agreement.config.role == Role::Home)
    }

    /// The domains of the alternatives, in the order of trying.
    pub(super) fn other_domains(&self) -> impl Iterator<Item = &Domain> {
        self.alternatives
            .iter()
            .flat_map(|all| all.iter().map(|one| &one.domain))
    }

    /// Whether a request that came from there would go straight back to the peer that it came from.
    pub(super) fn leads_back(&self, ingress: &Ingress) -> bool {
        let Side::Peer {
            agreement, domain, ..
        } = &ingress.side
        else {
            return false;
        };
        let is_of_peer = self
            .agreement
            .as_ref()
            .is_some_and(|to| to.peer() == agreement.peer());
        // A home server that meets partners through us would hear its own people from a stranger.
        let may_return = ingress.side.is_home() && !agreement.presents_partners();
        (*domain == self.domain || is_of_peer) && self.protocol != Protocol::Home && !may_return
    }

    /// The domain in whose name a request of this side goes there: one of ours; or, to a home server that meets partners through
    /// us, the one that its sender is of, because there he speaks only in a session of his own domain.
    fn spoken_to_by(&self, side: &Side, request: &Request) -> Domain {
        let is_met = self.agreement.as_ref().is_some_and(|one| one.presents_partners());
        if !is_met {
            return side.own().clone();
        }
        let sender = request.sender();
        sender
            .map_or_else(|| side.domain(), |sender| domain_of(sender, side.domain()))
            .clone()
    }

    /// How much may wait for this side, as its agreement says.
    pub(super) fn bound(&self) -> Option<QueueBound> {
        let agreement = self.agreement.as_ref()?;
        Some(Self::bound_of(agreement, &self.domain))
    }

    /// How much may wait for a peer, at whose domain or by whose way this one is.
    pub(super) fn bound_of(agreement: &InterconnectionAgreement, domain: &Domain) -> QueueBound {
        let max = agreement.config.limits.max_queued;
        let mut queues: Vec<_> = agreement.config.domains.iter().map(ToString::to_string).collect();
        if !agreement.config.domains.contains(domain) {
            queues.push(domain.to_string());
        }
        let clause = format!("limits.max_queued of {} is {max}", agreement.peer());
        QueueBound { queues, max, clause }
    }

    /// Whether people go there under the name that ENUM gives them.
    pub(super) fn takes_enum_names(&self) -> bool {
        self.agreement
            .as_ref()
            .is_none_or(|agreement| agreement.config.names_from_enum)
    }

    fn in_words(&self) -> String {
        let mut words = format!("{} over {}", self.domain, self.protocol.name());
        for alias in &self.aliases {
            words.push_str(&format!(", as {}", alias.known_as));
        }
        words
    }

    fn is_same_side(&self, other: &Self) -> bool {
        self.domain == other.domain
            && self.protocol == other.protocol
            && self.other_domains().eq(other.other_domains())
    }
}

/// People who are served by the same side.
#[derive(Debug)]
pub(super) struct TargetGroup {
    pub(super) target: Target,
    pub(super) people: Vec<WvAddress>,
}

/// Recipients split by the side that serves them, and those who have no route.
#[derive(Debug, Default)]
pub(super) struct Split {
    pub(super) groups: Vec<TargetGroup>,
    pub(super) refused: Vec<RecipientOutcome>,
}

impl Relay {
    /// Routes everybody and gathers those of one side.
    pub(super) async fn split(
        &self,
        ingress: &Ingress,
        people: &[WvAddress],
        service: RouteService,
    ) -> Split {
        let mut split = Split::default();
        for person in people {
            match self.target(ingress, person, service).await {
                Ok(target) => match split
                    .groups
                    .iter_mut()
                    .find(|group| group.target.is_same_side(&target))
                {
                    Some(group) if !group.people.contains(person) => {
                        group.people.push(person.clone());
                        group.target.aliases.extend(target.aliases);
                        group.target.other_aliases.extend(target.other_aliases);
                    }
                    Some(_) => {}
                    None => split.groups.push(TargetGroup {
                        target,
                        people: vec![person.clone()],
                    }),
                },
                Err(refusal) => {
                    split.refused.push(RecipientOutcome {
                        recipient: person.clone(),
                        outcome: Err(refusal),
                    });
                }
            }
        }
        split
    }

    /// Who serves a person, for a request of this side.
    pub(super) async fn target(
        &self,
        ingress: &Ingress,
        person: &WvAddress,
        service: RouteService,
    ) -> Result<Target, Refusal> {
        let now = self.now();
        // A partner without transit may only reach our own people, so nothing is asked of DNS on its behalf.
        if let Side::Peer { agreement, own, .. } = &ingress.side
            && !ingress.side.is_home()
            && !agreement.has_transit()
        {
            let Some(domain) = self.router.home(person) else {
                return Err(not_ours(person, own, &self.own));
            };
            return self.home_target(&domain, now).await;
        }
        let routed = self.router.route(person, service, now, Explain::No).await;
        let plan = match routed.plan {
            Ok(plan) => plan,
            Err(failure) => {
                ingress.trail.add(
                    self.now(),
                    Stop::Route,
                    StepEvent::Routed {
                        recipient: person.clone(),
                        decision: failure.to_string(),
                        steps: routed.steps,
                    },
                );
                return Err(refusal_of(person, failure));
            }
        };
        let agreements = self.agreements.load_full();
        let is_agreed = |domain: &Domain| agreements.for_domain(domain).is_some();
        let (plan, step) = self.router.agreed(plan, person, service, is_agreed);
        let mut steps = routed.steps;
        steps.extend(step);
        let mut target = Target {
            alternatives: routed.alternatives,
            ..self.plan_target(&plan, now).await?
        };
        if target.leads_back(ingress) {
            // A home server that asks for somebody whom it serves itself does not know him.
            let recipient = person.clone();
            let is_its_own = ingress.side.is_home();
            return Err(if is_its_own {
                Refusal::UnknownUser { recipient }
            } else {
                Refusal::Loop
            });
        }
        if target.takes_enum_names() && is_renamed(person, &routed.user) {
            target.aliases.push(Alias {
                asked: person.clone(),
                known_as: routed.user,
            });
        }
        let others = target.alternatives.iter().flat_map(|all| all.iter());
        let others = others.filter(|other| is_renamed(person, &other.user));
        target.other_aliases = others
            .map(|other| {
                let (asked, known_as) = (person.clone(), other.user.clone());
                (other.domain.clone(), Alias { asked, known_as })
            })
            .collect();
        let decision = target.in_words();
        ingress.trail.add(
            self.now(),
            Stop::Route,
            StepEvent::Routed {
                recipient: person.clone(),
                decision,
                steps,
            },
        );
        Ok(target)
    }

    /// The side that a plan leads to, under its agreement.
    pub(super) async fn plan_target(&self, plan: &Plan, now: Timestamp) -> Result<Target, Refusal> {
        match plan {
            Plan::Home { domain } => self.home_target(domain, now).await,
            Plan::Domain {
                domain,
                protocol,
                candidates,
                ..
            } => {
                let agreement = self.agreements.load().for_domain(domain).cloned();
                let agreement = agreement.ok_or_else(|| Refusal::NoAgreement {
                    domain: domain.clone(),
                })?;
                let candidates =
                    static_candidates(&agreement.config.servers).unwrap_or_else(|| Arc::clone(candidates));
                Ok(Target {
                    domain: domain.clone(),
                    protocol: *protocol,
                    candidates,
                    agreement: Some(agreement),
                    alternatives: None,
                    aliases: Vec::new(),
                    other_aliases: Vec::new(),
                    patience: Duration::ZERO,
                })
            }
            Plan::Gateway { peer, .. } => self.gateway_target(peer, now).await,
        }
    }

    /// The side that serves one of our domains: a home IMPS server, or the embedded home domain.
    pub(super) async fn home_target(&self, domain: &Domain, now: Timestamp) -> Result<Target, Refusal> {
        let server = self.agreements.load().for_domain(domain).cloned();
        match server.filter(|agreement| agreement.config.role == Role::Home) {
            Some(agreement) => self.peer_target(agreement, domain.clone(), now).await,
            None => Ok(Target::home(domain)),
        }
    }

    /// A peer's domain, found by its agreement rather than by a person.
    pub(super) async fn peer_target(
        &self,
        agreement: Arc<InterconnectionAgreement>,
        domain: Domain,
        now: Timestamp,
    ) -> Result<Target, Refusal> {
        if let Some(candidates) = static_candidates(&agreement.config.servers) {
            return Ok(Target {
                domain,
                protocol: Protocol::Ssp,
                candidates,
                agreement: Some(agreement),
                alternatives: None,
                aliases: Vec::new(),
                other_aliases: Vec::new(),
                patience: Duration::ZERO,
            });
        }
        let service = WvAddress::service(domain.clone());
        let routed = self
            .router
            .route(&service, RouteService::Im, now, Explain::No)
            .await;
        match routed
            .plan
            .map_err(|failure| refusal_of(&service, failure))?
            .as_ref()
        {
            Plan::Domain {
                protocol, candidates, ..
            } => Ok(Target {
                domain,
                protocol: *protocol,
                candidates: Arc::clone(candidates),
                agreement: Some(agreement),
                alternatives: None,
                aliases: Vec::new(),
                other_aliases: Vec::new(),
                patience: Duration::ZERO,
            }),
            Plan::Home { .. } | Plan::Gateway { .. } => Err(Refusal::NoRoute {
                recipient: service,
                reason: "the domain has no server".into(),
            }),
        }
    }

    /// The side that a stored request came from, to answer it later.
    pub(super) async fn side_target(&self, side: &Side) -> Result<Target, Refusal> {
        match side {
            Side::Home { domain } => Ok(Target::home(domain)),
            Side::Peer {
                agreement, domain, ..
            } => {
                self.peer_target(Arc::clone(agreement), domain.clone(), self.now())
                    .await
            }
        }
    }

    /// How long a document that this side acknowledged may stay without an answer.
    pub(super) fn answer_timeout(&self, target: &Target) -> Duration {
        target
            .agreement
            .as_ref()
            .map_or(self.config.query_timeout, |one| one.config.answer_timeout)
    }

    /// Hands a request to the egress of its target, under the target's agreement.
    pub(super) async fn forward(
        &self,
        ingress: &Ingress,
        target: &Target,
        request: Request,
        deadline: Timestamp,
    ) -> Result<Answer, Undelivered> {
        if let Some(agreement) = &target.agreement {
            admit::admit_outbound(agreement, &request).map_err(Undelivered::Refused)?;
        }
        let Some(egress) = self.egresses.get(&target.protocol) else {
            let what = format!("{} is not switched on here", target.protocol.name());
            return Err(Undelivered::Refused(Refusal::Unsupported { what }));
        };
        let request = self
            .with_disclosed_sender(ingress, target, request)
            .map_err(Undelivered::Refused)?;
        self.keep_aliases(target, &request)
            .await
            .map_err(Undelivered::NotTaken)?;
        let (request, asked) = target.renamed(request);
        let own = target.spoken_to_by(&ingress.side, &request);
        let waited = self.now();
        let permit = self.permit(target, &request).await?;
        let began = self.now();
        // A place that was waited for is no reason to give the peer less time.
        let deadline = deadline.plus(waited.until(began));
        let answer = egress
            .deliver(Delivery {
                request,
                own,
                domain: target.domain.clone(),
                candidates: Arc::clone(&target.candidates),
                agreement: target.agreement.clone(),
                via: self.via(ingress, target),
                deadline,
                trail: Arc::clone(&ingress.trail),
            })
            .await;
        let now = self.now();
        if let (Some(permit), Some(agreement)) = (permit, &target.agreement) {
            permit.ended(went(agreement, &answer, began.until(now)), now);
        }
        ingress.trail.add(
            now,
            Stop::Deliver,
            StepEvent::Attempt {
                to: target.domain.to_string(),
                protocol: target.protocol.name().into(),
                server: None,
                took: began.until(now),
                failure: answer.as_ref().err().map(ToString::to_string),
            },
        );
        answer.map(|answer| target.named_back(&asked, answer))
    }

    /// The chain of gateways for the next hop: ours is added when we relay for somebody else's people.
    /// A home server that meets partners through us sees them alone.
    fn via(&self, ingress: &Ingress, target: &Target) -> Vec<Domain> {
        let is_hidden = target
            .agreement
            .as_ref()
            .is_some_and(|one| one.presents_partners());
        if ingress.side.is_home() || is_hidden {
            return Vec::new();
        }
        ingress.via.iter().chain(self.own.first()).cloned().collect()
    }

    async fn gateway_target(&self, peer: &PeerName, now: Timestamp) -> Result<Target, Refusal> {
        let agreement = self.agreements.load().for_peer(peer).cloned();
        let no_gateway = || Refusal::Internal {
            reason: format!("the default gateway {peer} has no agreement"),
        };
        let agreement = agreement.ok_or_else(no_gateway)?;
        let domain = agreement.config.domains.first().cloned().ok_or_else(no_gateway)?;
        self.peer_target(agreement, domain, now).await
    }
}

/// The outcome for each person when a side gave one answer, or none.
pub(super) fn per_person(people: &[WvAddress], answer: &Result<Answer, Refusal>) -> Vec<RecipientOutcome> {
    let outcome = |person: &WvAddress| match answer {
        Ok(answer) => answer
            .for_recipient(person)
            .cloned()
            .unwrap_or(Ok(Acceptance::Taken)),
        Err(refusal) => Err(refusal.clone()),
    };
    people
        .iter()
        .map(|person| RecipientOutcome {
            recipient: person.clone(),
            outcome: outcome(person),
        })
        .collect()
}

impl From<Undelivered> for Refusal {
    fn from(undelivered: Undelivered) -> Self {
        match undelivered {
            Undelivered::Refused(refusal)
            | Undelivered::NotTaken(refusal)
            | Undelivered::Unanswered(refusal) => refusal,
        }
    }
}

/// The domain that somebody of a side speaks as: that in his name; a number is of whoever sends it.
pub(super) fn domain_of<'a>(person: &'a WvAddress, side: &'a Domain) -> &'a Domain {
    let is_number = person.number().is_some() && !person.is_group();
    person.domain().filter(|_| !is_number).unwrap_or(side)
}

/// Whether ENUM names a person who was asked for by number.
fn is_renamed(person: &WvAddress, user: &WvAddress) -> bool {
    person.number().is_some() && !person.is_group() && user.number().is_none()
}

/// Somebody who is not served here, asked for by a side that may not send through us: 531 for what looks like ours.
fn not_ours(person: &WvAddress, spoken_to: &Domain, own: &[Domain]) -> Refusal {
    let recipient = person.clone();
    match person.domain() {
        Some(domain) if domain != spoken_to && !own.contains(domain) => Refusal::NoTransit { recipient },
        Some(_) | None => Refusal::UnknownUser { recipient },
    }
}

/// What a failure to route means to whoever asked.
pub(super) fn refusal_of(person: &WvAddress, failure: RouteFailure) -> Refusal {
    let recipient = person.clone();
    match failure {
        RouteFailure::Absent(reason) => Refusal::NoRoute { recipient, reason },
        RouteFailure::Unallocated(_) => Refusal::UnknownUser { recipient },
        RouteFailure::Temporary(reason) => Refusal::RouteFailed { recipient, reason },
        RouteFailure::Unroutable(reason) => Refusal::InvalidAddress {
            address: person.to_string(),
            reason,
        },
    }
}
