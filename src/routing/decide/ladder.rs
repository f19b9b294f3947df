//! From a domain to its plan: our own domain, then SSP, SIP, XMPP (ENUM and SRV routing §14).
//!
//! The next protocol is asked for only when the one before is certainly absent. A lookup that failed ends the ladder
//! for now, and so does a protocol whose servers are there but unusable: else a message would reach the same person by
//! two roads. A protocol that is switched off is not asked for at all.

use std::{collections::VecDeque, net::IpAddr, sync::Arc};

use super::{
    answered, remark,
    sip::{SipHost, SipServer, arrange},
};
use crate::{
    model::{Domain, FactSource, Protocol, RouteStep, Timestamp},
    routing::{
        fact::{Fact, Finding, Kind, Question, Records, ViewId},
        plan::{Candidate, Plan, RouteFailure, RouteService, Transport},
        rules::Rules,
    },
    wire::naptr::{Name, Srv},
};

/// A fact that answers a question, and where it came from.
pub(in crate::routing) type Answered = (Question, Arc<Fact>, FactSource);

/// One domain on its way down the ladder.
#[derive(Debug)]
pub(in crate::routing) struct Ladder<'r> {
    rules: &'r Rules,
    domain: Domain,
    now: Timestamp,
    view: ViewId,
    rungs: VecDeque<Rung>,
    /// Servers whose addresses are asked for.
    servers: Option<(Protocol, Vec<Server>)>,
    /// No answer is waited for yet.
    asked: Vec<Question>,
    dies: Timestamp,
    steps: Vec<RouteStep>,
    done: Option<Result<Arc<Plan>, RouteFailure>>,
}

/// What is needed next.
#[derive(Debug)]
pub(in crate::routing) enum LadderStep {
    /// Facts, all at once.
    Ask(Vec<Question>),
    /// Nothing. Given once.
    Done(DomainOutcome),
}

/// What a domain's facts come to.
#[derive(Debug)]
pub(in crate::routing) struct DomainOutcome {
    pub(in crate::routing) plan: Result<Arc<Plan>, RouteFailure>,
    /// When the shortest-lived fact dies; the end of time when none was used.
    pub(in crate::routing) dies: Timestamp,
    pub(in crate::routing) steps: Vec<RouteStep>,
}

/// One question of the ladder.
#[derive(Debug)]
struct Rung {
    protocol: Protocol,
    way: Way,
}

/// How a rung finds servers.
#[derive(Debug)]
enum Way {
    /// SRV sets, merged.
    Srv(Vec<(Name, Transport)>),
    /// SRV whose targets are hosts of SIP URIs (RFC 5509), to be resolved in turn.
    SipNamed(Name),
    /// How hosts of SIP URIs are reached (RFC 3263 §4.1).
    SipNaptr(Vec<SipHost>),
    /// Their servers.
    SipSrv(Vec<SipHost>),
    /// The name's own address, at a port that is known.
    Address(Name, u16, Transport),
}

/// A server whose addresses are asked for.
#[derive(Debug)]
struct Server {
    srv: Srv,
    transport: Transport,
    secure: bool,
}

impl<'r> Ladder<'r> {
    pub(in crate::routing) fn new(
        rules: &'r Rules,
        domain: Domain,
        service: RouteService,
        now: Timestamp,
    ) -> Self {
        let view = rules.view_of(&domain);
        let mut ladder = Self {
            rules,
            now,
            view,
            rungs: VecDeque::new(),
            servers: None,
            asked: Vec::new(),
            dies: Timestamp(u64::MAX),
            steps: Vec::new(),
            done: None,
            domain,
        };
        if let Some(plan) = rules.own(&ladder.domain) {
            let step = remark(
                format!("domain {}", ladder.domain),
                FactSource::Config,
                "is our own",
            );
            ladder.steps.push(step);
            ladder.done = Some(Ok(Arc::clone(plan)));
        } else {
            ladder.rungs = rungs(rules, &ladder.domain, service);
        }
        ladder
    }

    pub(in crate::routing) fn step(&mut self) -> LadderStep {
        if self.done.is_none() && self.asked.is_empty() {
            match self.rungs.front() {
                Some(rung) => self.asked = rung.questions(self.view),
                None => {
                    self.done = Some(Err(RouteFailure::Absent(format!(
                        "{} offers no protocol that is enabled here",
                        self.domain
                    ))));
                }
            }
        }
        match self.done.take() {
            Some(plan) => LadderStep::Done(DomainOutcome {
                plan,
                dies: self.dies,
                steps: std::mem::take(&mut self.steps),
            }),
            None => LadderStep::Ask(self.asked.clone()),
        }
    }

    /// Tells what the questions of the last step hold, in their order.
    pub(in crate::routing) fn answer(&mut self, facts: &[Answered]) {
        self.asked.clear();
        let first_step = self.steps.len();
        for (question, fact, source) in facts {
            if !is_side_note(question, fact, facts) {
                self.dies = self.dies.min(fact.dies);
            }
            self.steps.push(answered(question, fact, *source, self.now));
        }
        if let Some((protocol, servers)) = self.servers.take() {
            self.done = Some(self.plan(protocol, &servers, facts, first_step));
            return;
        }
        let Some(rung) = self.rungs.pop_front() else {
            return;
        };
        match rung.way {
            Way::Srv(names) => self.srv(rung.protocol, &names, facts, first_step),
            Way::SipNamed(_) => self.sip_named(facts),
            Way::SipNaptr(hosts) => self.sip_naptr(hosts, facts),
            Way::SipSrv(hosts) => self.sip_srv(&hosts, facts, first_step),
            Way::Address(name, port, transport) => {
                let server = Server {
                    srv: Srv {
                        priority: 0,
                        weight: 0,
                        port,
                        target: name,
                    },
                    transport,
                    secure: false,
                };
                self.address(rung.protocol, server, facts, first_step);
            }
        }
    }

    fn srv(
        &mut self,
        protocol: Protocol,
        names: &[(Name, Transport)],
        facts: &[Answered],
        first_step: usize,
    ) {
        let mut servers: Vec<Server> = Vec::new();
        let mut failure = None;
        let mut is_declined = false;
        for (place, (question, fact, _)) in facts.iter().enumerate() {
            let transport = names
                .get(place)
                .map_or(Transport::Native, |(_, transport)| *transport);
            match &fact.finding {
                Finding::Found(Records::Srv(records)) => {
                    is_declined |= self.real_targets(records, first_step + place).is_empty();
                    for srv in records.iter().filter(|srv| !srv.target.is_root()) {
                        let is_known = servers
                            .iter()
                            .any(|one| same_server(&one.srv, one.transport, srv, transport));
                        if self.is_taken(servers.len(), is_known, srv, first_step + place) {
                            servers.push(Server {
                                srv: srv.clone(),
                                transport,
                                secure: fact.secure,
                            });
                        }
                    }
                }
                Finding::Found(Records::Naptr(_) | Records::Addresses(_)) | Finding::Absent(_) => {}
                // Sets stand with the better transport first: what is found after a failure could be a worse one.
                Finding::Failed(cause) if servers.is_empty() => {
                    failure = failure.or(Some(format!("{question}: {cause}")));
                }
                Finding::Failed(_) => {}
            }
        }
        if let Some(failure) = failure {
            self.done = Some(Err(RouteFailure::Temporary(failure)));
        } else if !servers.is_empty() {
            self.go_on(protocol, servers);
        } else if is_declined {
            // RFC 2782: decidedly absent, so the domain's own address is not tried for this protocol either.
            self.rungs
                .retain(|rung| rung.protocol != protocol || !matches!(rung.way, Way::Address(..)));
        }
    }

    /// The targets of an SRV set that are servers; what is said of the others is written down.
    fn real_targets<'s>(&mut self, records: &'s [Srv], step: usize) -> Vec<&'s Srv> {
        let (roots, real): (Vec<_>, Vec<_>) = records.iter().partition(|srv| srv.target.is_root());
        let reason = if real.is_empty() {
            "the domain declares that it does not offer this service"
        } else {
            "the target . stands beside real targets"
        };
        for root in roots {
            self.pass_over(step, root, reason);
        }
        real
    }

    /// Whether one more server is taken beside so many.
    fn is_taken(&mut self, count: usize, is_known: bool, srv: &Srv, step: usize) -> bool {
        if is_known {
            self.pass_over(step, srv, "listed more than once");
        } else if count >= MAX_SERVERS {
            self.pass_over(step, srv, "more servers than are looked at");
        }
        !is_known && count < MAX_SERVERS
    }

    /// The hosts of SIP URIs that the domain names for the service (RFC 5509).
    fn sip_named(&mut self, facts: &[Answered]) {
        let Some((question, fact, _)) = facts.first() else {
            return;
        };
        match &fact.finding {
            Finding::Found(Records::Srv(records)) => {
                // They take the place of what is found at the domain itself. Without any, the domain declares that it
                // does not offer this service over SIP (RFC 2782).
                self.rungs.retain(|rung| rung.protocol != Protocol::Sip);
                let hosts = SipHost::named_by(records, fact);
                if !hosts.is_empty() {
                    self.rungs.push_front(Rung {
                        protocol: Protocol::Sip,
                        way: Way::SipNaptr(hosts),
                    });
                }
            }
            Finding::Found(Records::Naptr(_) | Records::Addresses(_)) | Finding::Absent(_) => {}
            Finding::Failed(cause) => {
                self.done = Some(Err(RouteFailure::Temporary(format!("{question}: {cause}"))));
            }
        }
    }

    fn sip_naptr(&mut self, mut hosts: Vec<SipHost>, facts: &[Answered]) {
        for (host, (question, fact, _)) in hosts.iter_mut().zip(facts) {
            match &fact.finding {
                Finding::Found(Records::Naptr(records)) => host.find_ways(records, fact.secure),
                Finding::Found(Records::Srv(_) | Records::Addresses(_)) | Finding::Absent(_) => {
                    host.usual_ways();
                }
                Finding::Failed(cause) => {
                    self.done = Some(Err(RouteFailure::Temporary(format!("{question}: {cause}"))));
                    return;
                }
            }
        }
        self.rungs.push_front(Rung {
            protocol: Protocol::Sip,
            way: Way::SipSrv(hosts),
        });
    }

    fn sip_srv(&mut self, hosts: &[SipHost], facts: &[Answered], first_step: usize) {
        let mut servers: Vec<SipServer> = Vec::new();
        let mut failure = None;
        let mut facts = (first_step..).zip(facts);
        for (place, host) in hosts.iter().enumerate() {
            let own: Vec<_> = facts.by_ref().take(host.ways.len()).collect();
            let before = servers.len();
            let mut is_declined = false;
            let mut failed = None;
            for ((way, (_, transport)), (step, (question, fact, _))) in host.ways.iter().enumerate().zip(own)
            {
                match &fact.finding {
                    Finding::Found(Records::Srv(records)) => {
                        let real = self.real_targets(records, step);
                        is_declined |= real.is_empty();
                        for srv in real {
                            let is_known = servers
                                .iter()
                                .any(|one| same_server(&one.srv, one.transport, srv, *transport));
                            if self.is_taken(servers.len(), is_known, srv, step) {
                                servers.push(SipServer {
                                    host: place,
                                    way,
                                    srv: srv.clone(),
                                    transport: *transport,
                                    secure: host.secure && fact.secure,
                                });
                            }
                        }
                    }
                    Finding::Found(Records::Naptr(_) | Records::Addresses(_)) | Finding::Absent(_) => {}
                    // The ways go from the best transport to the worst; a failure must not lead to a worse one.
                    Finding::Failed(cause) if servers.len() == before => {
                        failed = failed.or(Some(format!("{question}: {cause}")));
                    }
                    Finding::Failed(_) => {}
                }
            }
            if failed.is_some() {
                servers.truncate(before);
                failure = failure.or(failed);
            } else if servers.len() == before && !is_declined && host.named.is_some() {
                servers.push(host.by_address(place));
            } else if servers.len() == before && !is_declined && self.rules.ladder().sip_address_fallback {
                self.rungs.push_front(Rung {
                    protocol: Protocol::Sip,
                    way: Way::Address(host.name.clone(), 5060, Transport::Udp),
                });
            }
        }
        if servers.is_empty() {
            let is_named = hosts.iter().any(|host| host.named.is_some());
            let nowhere = || {
                format!(
                    "{} names hosts for SIP, and none of them has servers",
                    self.domain
                )
            };
            let failure = failure.or_else(|| is_named.then(nowhere));
            self.done = failure.map(|failure| Err(RouteFailure::Temporary(failure)));
            return;
        }
        arrange(hosts, &mut servers);
        let servers = servers.into_iter().map(|one| Server {
            srv: one.srv,
            transport: one.transport,
            secure: one.secure,
        });
        self.go_on(Protocol::Sip, servers.collect());
    }

    /// Servers that are not ourselves are asked for their addresses.
    fn go_on(&mut self, protocol: Protocol, mut servers: Vec<Server>) {
        self.drop_own(&mut servers);
        if servers.is_empty() {
            self.done = Some(Err(self.is_a_loop()));
            return;
        }
        self.ask_addresses(protocol, servers);
    }

    fn address(&mut self, protocol: Protocol, server: Server, facts: &[Answered], first_step: usize) {
        let is_absent = facts
            .iter()
            .all(|(_, fact, _)| matches!(fact.finding, Finding::Absent(_)));
        if is_absent {
            return;
        }
        let mut servers = vec![server];
        self.drop_own(&mut servers);
        self.done = Some(if servers.is_empty() {
            Err(self.is_a_loop())
        } else {
            self.plan(protocol, &servers, facts, first_step)
        });
    }

    fn is_a_loop(&self) -> RouteFailure {
        RouteFailure::Unroutable(format!(
            "the servers of {} are this gateway itself: loop",
            self.domain
        ))
    }

    fn drop_own(&mut self, servers: &mut Vec<Server>) {
        let rules = self.rules;
        let (own, others): (Vec<_>, Vec<_>) = std::mem::take(servers)
            .into_iter()
            .partition(|one| rules.is_own_host(one.srv.target.without_dot(), one.srv.port));
        *servers = others;
        for one in own {
            let place = self.steps.len().saturating_sub(1);
            self.pass_over(place, &one.srv, "it is this gateway itself: loop");
        }
    }

    fn ask_addresses(&mut self, protocol: Protocol, servers: Vec<Server>) {
        let mut names: Vec<&Name> = Vec::new();
        for server in &servers {
            if !names.contains(&&server.srv.target) {
                names.push(&server.srv.target);
            }
        }
        self.asked = names
            .into_iter()
            .flat_map(|name| addresses_of(name, self.view))
            .collect();
        self.servers = Some((protocol, servers));
    }

    fn plan(
        &mut self,
        protocol: Protocol,
        servers: &[Server],
        facts: &[Answered],
        first_step: usize,
    ) -> Result<Arc<Plan>, RouteFailure> {
        let mut candidates = Vec::new();
        let mut failure = None;
        let mut is_loop = false;
        for server in servers {
            let name = &server.srv.target;
            let about = || {
                facts
                    .iter()
                    .enumerate()
                    .filter(|(_, (question, ..))| question.name == *name)
            };
            let mut addresses: Vec<IpAddr> = Vec::new();
            let mut left_out = 0;
            let mut cause = None;
            for (_, (question, fact, _)) in about() {
                match &fact.finding {
                    Finding::Found(Records::Addresses(found)) => {
                        addresses.extend(found.iter().take(MAX_ADDRESSES));
                        left_out += found.len().saturating_sub(MAX_ADDRESSES);
                    }
                    Finding::Found(Records::Naptr(_) | Records::Srv(_)) | Finding::Absent(_) => {}
                    Finding::Failed(failed) => cause = Some(format!("{question}: {failed}")),
                }
            }
            let place = first_step + about().next().map_or(0, |(place, _)| place);
            if about().any(|(_, (_, fact, _))| !fact.aliases.is_empty()) {
                self.pass_over(
                    place,
                    &server.srv,
                    "used, although its target is an alias (RFC 2782); its identity stays the domain's",
                );
            }
            let count = addresses.len();
            addresses.retain(|address| !self.rules.is_own_address(*address, server.srv.port));
            if addresses.len() < count {
                self.pass_over(
                    place,
                    &server.srv,
                    "it has an address of this gateway itself: loop",
                );
                is_loop = true;
                if addresses.is_empty() {
                    continue;
                }
            }
            if left_out > 0 {
                let reason = format!(
                    "{left_out} of its addresses are left out; {MAX_ADDRESSES} of each family are tried"
                );
                self.pass_over(place, &server.srv, &reason);
            }
            if addresses.is_empty() && cause.is_none() {
                self.pass_over(place, &server.srv, "its target has no address");
                continue;
            }
            failure = failure.or(cause);
            candidates.push(server.candidate(addresses));
        }
        if candidates.is_empty() && is_loop {
            return Err(self.is_a_loop());
        }
        if candidates.iter().all(|one| one.addresses.is_empty()) {
            let reason = failure.unwrap_or_else(|| format!("no server of {} has an address", self.domain));
            return Err(RouteFailure::Temporary(reason));
        }
        Ok(Arc::new(Plan::Domain {
            domain: self.domain.clone(),
            protocol,
            candidates: candidates.into(),
            valid_until: self.dies,
        }))
    }

    fn pass_over(&mut self, step: usize, srv: &Srv, reason: &str) {
        if let Some(step) = self.steps.get_mut(step) {
            step.passed_over
                .push(format!("{}: {reason}", crate::routing::fact::srv_line(srv)));
        }
    }
}

impl Rung {
    fn questions(&self, view: ViewId) -> Vec<Question> {
        let question = |kind: Kind, name: &Name| Question {
            view,
            kind,
            name: name.clone(),
        };
        let srv = |name: &Name| question(Kind::Srv, name);
        let naptr = |name: &Name| question(Kind::Naptr, name);
        match &self.way {
            Way::Srv(names) => names.iter().map(|(name, _)| srv(name)).collect(),
            Way::SipNamed(name) => vec![srv(name)],
            Way::SipNaptr(hosts) => hosts.iter().map(|host| naptr(&host.name)).collect(),
            Way::SipSrv(hosts) => {
                let ways = hosts.iter().flat_map(|host| &host.ways);
                ways.map(|(name, _)| srv(name)).collect()
            }
            Way::Address(name, ..) => addresses_of(name, view).into(),
        }
    }
}

impl Server {
    fn candidate(&self, addresses: Vec<IpAddr>) -> Candidate {
        Candidate {
            priority: self.srv.priority,
            weight: self.srv.weight,
            host: self.srv.target.without_dot().into(),
            port: self.srv.port,
            transport: self.transport,
            addresses: addresses.into(),
            secure: self.secure,
        }
    }
}

/// The rungs of a domain; multimedia messages have none, their peers are configured.
fn rungs(rules: &Rules, domain: &Domain, service: RouteService) -> VecDeque<Rung> {
    let ladder = rules.ladder();
    let mut rungs = VecDeque::new();
    let Ok(base) = domain.as_str().parse::<Name>() else {
        return rungs;
    };
    if service == RouteService::Mms {
        return rungs;
    }
    if ladder.ssp {
        let names = rules
            .ssp_names
            .iter()
            .filter_map(|label| below(label.without_dot(), &base));
        rungs.extend(names.map(|name| Rung {
            protocol: Protocol::Ssp,
            way: Way::Srv(vec![(name, Transport::Native)]),
        }));
        rungs.extend(ladder.ssp_port.map(|port| Rung {
            protocol: Protocol::Ssp,
            way: Way::Address(base.clone(), port, Transport::Native),
        }));
    }
    if ladder.sip {
        let label = match service {
            RouteService::Pres => "_pres._sip",
            RouteService::Im | RouteService::Mms => "_im._sip",
        };
        rungs.extend(below(label, &base).map(|name| Rung {
            protocol: Protocol::Sip,
            way: Way::SipNamed(name),
        }));
        rungs.push_back(Rung {
            protocol: Protocol::Sip,
            way: Way::SipNaptr(vec![SipHost::itself(&base)]),
        });
    }
    if ladder.xmpp {
        // XEP-0368: both sets count as one for priority and weight.
        let labels = [
            ("_xmpps-server._tcp", Transport::Tls),
            ("_xmpp-server._tcp", Transport::Native),
        ];
        rungs.push_back(Rung {
            protocol: Protocol::Xmpp,
            way: Way::Srv(labelled(&labels, &base)),
        });
        rungs.extend(ladder.xmpp_address_fallback.then(|| Rung {
            protocol: Protocol::Xmpp,
            way: Way::Address(base.clone(), 5269, Transport::Native),
        }));
    }
    rungs
}

fn labelled(labels: &[(&str, Transport)], base: &Name) -> Vec<(Name, Transport)> {
    labels
        .iter()
        .filter_map(|(label, transport)| Some((below(label, base)?, *transport)))
        .collect()
}

fn below(label: &str, base: &Name) -> Option<Name> {
    format!("{label}.{base}").parse().ok()
}

fn addresses_of(name: &Name, view: ViewId) -> [Question; 2] {
    [Kind::A, Kind::Aaaa].map(|kind| Question {
        view,
        kind,
        name: name.clone(),
    })
}

/// That a server has no address of one family, said without an SOA and so not kept, or that one family could not be asked
/// for, when it has one of the other: sloppy name servers do that, and the plan of a whole domain must not be thrown away
/// for it.
fn is_side_note(question: &Question, fact: &Fact, facts: &[Answered]) -> bool {
    let has_other = || {
        facts.iter().any(|(other, fact, _)| {
            other.name == question.name && matches!(fact.finding, Finding::Found(Records::Addresses(_)))
        })
    };
    let says_little = match fact.finding {
        Finding::Absent(_) => fact.dies == fact.fetched,
        Finding::Failed(_) => true,
        Finding::Found(_) => false,
    };
    matches!(question.kind, Kind::A | Kind::Aaaa) && says_little && has_other()
}

fn same_server(one: &Srv, by: Transport, other: &Srv, other_by: Transport) -> bool {
    one.target == other.target && one.port == other.port && by == other_by
}

/// Servers of one domain that are looked at; each costs two questions.
const MAX_SERVERS: usize = 16;
/// Addresses of one family that are tried at one server.
const MAX_ADDRESSES: usize = 8;
