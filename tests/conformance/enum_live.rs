//! ENUM and SRV: every vector that needs servers, played to the router over sockets.
//!
//! A DNS server on loopback says what the case's `dns` says; the router asks it as it asks any. What `hosts` says of a server
//! stands on loopback too, and a document is posted to it; health hears of it as it does from a gateway. What the relay does
//! with a message that nobody took is the relay's to test.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use impsgw::model::{Domain, Protocol, RouteStep, Timestamp, WvAddress};
use impsgw::routing::{
    ApexConfig, CacheConfig, CacheFilter, Candidate, EntryKind, Explain, HomeDirectory, LadderConfig,
    OnFailure, Plan, RouteFailure, RouteService, Routed, Router, RoutingConfig, Trust, ViewConfig,
};
use impsgw::telemetry::{Clock, ClockHand};
use impsgw::wire::naptr::{Name, RecordType};
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

use super::enum_hosts::Hosts;
use super::enum_vectors::{Case, HostBehaviour, Level, all};
use super::enum_zone::{NameText, RrsetBehaviour};

#[tokio::test]
async fn vectors_with_servers_go_as_they_say() {
    let mut played = Vec::new();
    for case in all().into_iter().filter(|case| case.level == Level::Live) {
        played.push(case.id.clone());
        for case in case.variants() {
            Net::start(case).await.play().await;
        }
    }
    assert_eq!(played.len(), 26, "{played:?}");
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Expected {
    outcome: String,
    cache_ttl: Option<u64>,
    unaffected: Vec<QuestionText>,
    candidates: Vec<UriText>,
    candidate_count: Option<usize>,
    transports: Vec<String>,
    within_ms: Option<u64>,
    cached: Vec<NameText>,
    not_cached: Vec<NameText>,
    passed_over: Vec<String>,
    servers: Option<Vec<ServerText>>,
    warnings: Vec<String>,
    tls_identity: Option<String>,
    delivered_to: Option<ServerText>,
    attempts: Option<Vec<ServerText>>,
    not_asked: Vec<QuestionText>,
    query_counts: Vec<QuestionText>,
    user: Option<String>,
    /// What becomes of the message when no attempt succeeded.
    then: Option<String>,
    plain_text: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QuestionText {
    name: NameText,
    #[serde(rename = "type")]
    rtype: String,
    #[serde(default)]
    count: usize,
    /// The server that its records name.
    target: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UriText {
    service: String,
    uri: String,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
struct ServerText {
    protocol: Protocol,
    host: String,
    port: u16,
}

/// A case with its server and a router before it.
struct Net {
    case: Case,
    resolver: std::net::SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    router: Router,
    clock: Clock,
    hand: ClockHand,
    _server: JoinSet<()>,
}

#[derive(Clone, Debug)]
struct Asked {
    name: Name,
    rtype: RecordType,
    transport: &'static str,
}

#[derive(Debug)]
struct NoAccounts;

impl HomeDirectory for NoAccounts {
    fn account(&self, _: &WvAddress) -> Option<Domain> {
        None
    }
}

impl Net {
    async fn start(case: Case) -> Self {
        let (udp, tcp) = loop {
            let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let resolver = udp.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let mut server = JoinSet::new();
        let (over_udp, over_tcp) = (case.clone(), case.clone());
        let (heard, heard_tcp) = (Arc::clone(&asked), Arc::clone(&asked));
        server.spawn(async move {
            let mut buffer = [0; 1500];
            while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
                let reply = reply(&over_udp, &buffer[..length], "udp", &heard);
                udp.send_to(&reply, from).await.unwrap();
            }
        });
        server.spawn(async move {
            while let Ok((mut stream, _)) = tcp.accept().await {
                let mut query = vec![0; stream.read_u16().await.unwrap().into()];
                stream.read_exact(&mut query).await.unwrap();
                let reply = reply(&over_tcp, &query, "tcp", &heard_tcp);
                stream.write_u16(reply.len().try_into().unwrap()).await.unwrap();
                stream.write_all(&reply).await.unwrap();
            }
        });
        let (clock, hand) = Clock::standing(Timestamp::from_seconds(1_000_000));
        let own = case
            .config
            .own_domains
            .iter()
            .map(|own| own.parse().unwrap())
            .collect();
        let router = Router::new(config(&case, resolver), Arc::new(NoAccounts), own, clock.clone());
        Self {
            case,
            resolver,
            asked,
            router,
            clock,
            hand,
            _server: server,
        }
    }

    async fn play(&self) {
        let expect: Expected = self.case.expect();
        let id = &self.case.id;
        let within = Duration::from_millis(expect.within_ms.unwrap_or(60_000));
        let routed = tokio::time::timeout(within, self.route())
            .await
            .unwrap_or_else(|_| panic!("{id}: not within {within:?}"));
        let shown = format!("{id}: {routed:#?}");
        assert_eq!(outcome(&routed, &expect.outcome), expect.outcome, "{shown}");
        self.check_numbers(&expect, &routed.steps, &shown);
        self.check_questions(&expect, &shown);
        self.check_servers(&expect, &routed, &shown).await;
        self.check_cache(&expect).await;
    }

    async fn route(&self) -> Routed {
        let to = self
            .case
            .request
            .as_ref()
            .map_or("wv:+447700900123", |request| request.to.as_str());
        let address: WvAddress = to.parse().unwrap();
        self.router
            .route(&address, RouteService::Im, self.clock.now(), Explain::Yes)
            .await
    }

    /// What ENUM gave, and what it passed over.
    fn check_numbers(&self, expect: &Expected, steps: &[RouteStep], shown: &str) {
        let answers: Vec<&String> = steps.iter().flat_map(|step| &step.answer).collect();
        let passed_over: Vec<&String> = steps.iter().flat_map(|step| &step.passed_over).collect();
        for candidate in &expect.candidates {
            assert_eq!(candidate.service, "im", "{shown}");
            assert!(
                answers.iter().any(|line| line.contains(&candidate.uri)),
                "{shown}"
            );
        }
        for part in expect.passed_over.iter().chain(&expect.warnings) {
            let mut lines = answers.iter().chain(&passed_over);
            assert!(
                lines.any(|line| line.contains(part)),
                "{part:?} is not in {shown}"
            );
        }
        if let Some(count) = expect.candidate_count {
            let uris = steps
                .iter()
                .flat_map(|step| &step.answer)
                .filter(|line| line.contains("im:alice"));
            assert_eq!(uris.count(), count, "{shown}");
        }
    }

    fn check_questions(&self, expect: &Expected, shown: &str) {
        if !expect.transports.is_empty() {
            let asked = self.asked.lock().unwrap();
            let of_number = asked.iter().filter(|one| one.rtype == RecordType::NAPTR);
            let transports: Vec<_> = of_number.map(|one| one.transport).collect();
            assert_eq!(transports, expect.transports, "{shown}");
        }
        for question in &expect.query_counts {
            assert_eq!(self.count(question), question.count, "{shown}");
        }
        for question in &expect.not_asked {
            assert_eq!(self.count(question), 0, "{shown}");
        }
    }

    /// The servers of the plan, and what attempts at them come to.
    async fn check_servers(&self, expect: &Expected, routed: &Routed, shown: &str) {
        if let Some(user) = &expect.user {
            assert_eq!(routed.user.to_string(), format!("wv:{user}"), "{shown}");
        }
        let Ok(plan) = routed.plan.as_deref() else {
            assert!(expect.servers.as_ref().is_none_or(Vec::is_empty), "{shown}");
            return;
        };
        if let Some(servers) = &expect.servers {
            assert_eq!(texts(plan), *servers, "{shown}");
        }
        if let Some(identity) = &expect.tls_identity {
            assert!(
                matches!(plan, Plan::Domain { domain, .. } if domain.to_string() == *identity),
                "{shown}"
            );
        }
        if expect.delivered_to.is_none() && expect.attempts.is_none() && expect.then.is_none() {
            return;
        }
        let hosts = Hosts::new();
        let (attempts, delivered) = self.deliver(routed, &hosts).await;
        assert_eq!(delivered, expect.delivered_to, "{shown}");
        assert_eq!(
            expect.then.as_deref() == Some("queued"),
            delivered.is_none(),
            "{shown}"
        );
        if let Some(expected) = &expect.attempts {
            assert_eq!(attempts, *expected, "{shown}");
        }
        if let Some(plain_text) = expect.plain_text {
            assert_eq!(hosts.met_plain_text(), plain_text, "{shown}");
        }
    }

    /// Goes through the servers of a route and of its alternatives until one accepts.
    async fn deliver(&self, routed: &Routed, hosts: &Hosts) -> (Vec<ServerText>, Option<ServerText>) {
        let now = self.clock.now();
        let mut plans = vec![routed.plan.clone().unwrap()];
        for other in routed.alternatives.iter().flat_map(|all| all.iter()) {
            plans.push(
                self.router
                    .route_domain(&other.domain, RouteService::Im, now)
                    .await
                    .unwrap(),
            );
        }
        let mut attempts = Vec::new();
        for plan in plans {
            let Plan::Domain {
                protocol,
                candidates,
                domain,
                ..
            } = &*plan
            else {
                panic!("{plan:?}");
            };
            for candidate in self
                .router
                .health()
                .order(candidates, &mut |bound| fastrand::u32(..=bound), now)
            {
                let behaviour = self.behaviour(&candidate);
                let is_reached = hosts.post(&candidate, domain, behaviour).await;
                self.router
                    .health()
                    .report(&candidate.host_address(), is_reached, now);
                let server = text(*protocol, &candidate);
                attempts.push(server.clone());
                if is_reached {
                    return (attempts, Some(server));
                }
            }
        }
        (attempts, None)
    }

    fn behaviour(&self, candidate: &Candidate) -> HostBehaviour {
        let met = self.case.hosts.iter().find(|host| {
            let is_it = host.name.0.without_dot() == &*candidate.host && host.port == candidate.port;
            is_it
                && candidate
                    .addresses
                    .iter()
                    .any(|address| address.to_string() == host.address)
        });
        met.unwrap_or_else(|| panic!("{}: {candidate:?}", self.case.id))
            .behaviour
    }

    /// How long the answer about the number is kept, by what is listed and by when it is asked for again.
    async fn check_cache(&self, expect: &Expected) {
        let id = &self.case.id;
        let listed = self.listed().await;
        for (names, is_held) in [(&expect.cached, true), (&expect.not_cached, false)] {
            for NameText(name) in names {
                assert_eq!(
                    listed.iter().any(|(held, _)| held == name.without_dot()),
                    is_held,
                    "{id}: {listed:?}"
                );
            }
        }
        for question in &expect.unaffected {
            self.check_unaffected(question).await;
        }
        let Some(seconds) = expect.cache_ttl else {
            return;
        };
        let number = |asked: &[Asked]| asked.iter().filter(|one| one.rtype == RecordType::NAPTR).count();
        assert_eq!(
            listed.iter().map(|(_, ttl)| *ttl).collect::<Vec<_>>(),
            [seconds].repeat(listed.len()),
            "{id}"
        );
        assert_eq!(listed.is_empty(), seconds == 0, "{id}: {listed:?}");
        if let Some(last) = seconds.checked_sub(1) {
            self.hand.advance(Duration::from_secs(last));
            self.route().await;
            assert_eq!(
                number(&self.asked.lock().unwrap()),
                1,
                "{id}: asked again in its last second"
            );
            self.hand.advance(Duration::from_secs(1));
        }
        self.route().await;
        assert_eq!(number(&self.asked.lock().unwrap()), 2, "{id}: not asked again");
    }

    /// The absence of one type is held, and the name is asked for another: the router takes the first label for the name of
    /// a service, and what is left for a domain.
    async fn check_unaffected(&self, question: &QuestionText) {
        let id = &self.case.id;
        assert_eq!(question.rtype, "SRV", "{id}");
        assert_eq!(self.listed().await.len(), 1, "{id}: the absence is held");
        let name = question.name.0.without_dot();
        let (label, domain) = name.split_once('.').unwrap();
        let mut config = config(&self.case, self.resolver);
        config.ladder.ssp_names = vec![label.to_owned()];
        self.router.reload(config, Vec::new());
        let domain: Domain = domain.parse().unwrap();
        let plan = self
            .router
            .route_domain(&domain, RouteService::Im, self.clock.now())
            .await;
        let hosts: Vec<String> = match plan.as_deref() {
            Ok(Plan::Domain { candidates, .. }) => {
                candidates.iter().map(|one| one.host.to_string()).collect()
            }
            other => panic!("{id}: {other:?}"),
        };
        assert_eq!(
            Some(hosts.as_slice()),
            question.target.as_ref().map(std::slice::from_ref),
            "{id}"
        );
        assert_eq!(self.count(question), 1, "{id}");
    }

    /// The NAPTR answers that are held, each with its seconds.
    async fn listed(&self) -> Vec<(String, u64)> {
        let filter = CacheFilter {
            kind: Some(EntryKind::Naptr),
            ..CacheFilter::default()
        };
        let entries = self.router.cache_entries(filter, 100, self.clock.now()).await;
        entries
            .into_iter()
            .map(|entry| (entry.name, entry.ttl.as_secs()))
            .collect()
    }

    fn count(&self, question: &QuestionText) -> usize {
        let rtype = match question.rtype.as_str() {
            "NAPTR" => RecordType::NAPTR,
            "SRV" => RecordType::SRV,
            "A" => RecordType::A,
            "AAAA" => RecordType::AAAA,
            other => panic!("{other}"),
        };
        let asked = self.asked.lock().unwrap();
        asked
            .iter()
            .filter(|one| one.name == question.name.0 && one.rtype == rtype)
            .count()
    }
}

/// Refreshing ahead is off, so that every question has its place.
fn config(case: &Case, resolver: std::net::SocketAddr) -> RoutingConfig {
    let apex = |apex: &super::enum_vectors::ApexText| ApexConfig {
        apex: apex.name.0.to_string(),
        view: "vectors".to_owned(),
        trust: if apex.private {
            Trust::Private
        } else {
            Trust::Public
        },
        prefixes: Vec::new(),
        services: Vec::new(),
        domains: Vec::new(),
        allow_private_services: false,
        stale_naptr: false,
        on_failure: apex.failure_falls_through.then_some(OnFailure::Next),
        cross_order: false,
        dnssec_required: false,
        pres_foreign_schemes: false,
        infrastructure_position: None,
        timeout: None,
    };
    let config = RoutingConfig {
        views: vec![ViewConfig {
            name: "vectors".to_owned(),
            resolvers: vec![resolver],
            domains: Vec::new(),
            trust_ad: false,
            timeout: Duration::from_secs(2),
            tries: 1,
        }],
        apexes: case.apexes.iter().map(apex).collect(),
        ladder: LadderConfig {
            sip: true,
            xmpp: true,
            sip_address_fallback: case.config.sip_fallback,
            xmpp_address_fallback: case.config.xmpp_fallback,
            ..LadderConfig::default()
        },
        own_hosts: case.config.own_hosts.clone(),
        own_addresses: case.config.own_addresses.clone(),
        cache: CacheConfig {
            refresh_percent: 0,
            ..CacheConfig::default()
        },
        ..RoutingConfig::default()
    };
    assert_eq!(config.check(), Vec::<String>::new(), "{}", case.id);
    config
}

/// The answer to a query, with the question as it was spelled.
fn reply(case: &Case, query: &[u8], transport: &'static str, asked: &Mutex<Vec<Asked>>) -> Vec<u8> {
    let (name, rtype, end) = question(query);
    asked.lock().unwrap().push(Asked {
        name: name.clone(),
        rtype,
        transport,
    });
    let id = u16::from_be_bytes([query[0], query[1]]);
    let mut message = match name.as_str() {
        // What a number that is found needs to have a route; no case is about it.
        FOUND_SRV if case.request.is_none() => found(id, &name, rtype),
        FOUND_HOST if case.request.is_none() => found(id, &name, rtype),
        _ => case.message(id, &name, rtype),
    };
    message[12..end].copy_from_slice(&query[12..end]);
    let set = case
        .dns
        .iter()
        .find(|set| set.name.0 == name && set.rtype() == rtype);
    if transport == "udp" && set.is_some_and(|set| set.behaviour == Some(RrsetBehaviour::TruncateUdp)) {
        message.truncate(end);
        message[2] |= 0x02;
        message[6..12].fill(0);
    }
    message
}

/// One SSP server for `op.example`.
fn found(id: u16, name: &Name, rtype: RecordType) -> Vec<u8> {
    let text = r#"
        dns = [
            { name = '_imps-server._tcp.op.example.', type = 'SRV', ttl = 100000, srv = [{ priority = 1, weight = 0, port = 8443, target = 'a.op.example.' }] },
            { name = 'a.op.example.', type = 'A', ttl = 100000, a = ['192.0.2.1'] },
        ]"#;
    #[derive(Deserialize)]
    struct Zone {
        dns: Vec<super::enum_zone::RrsetText>,
    }
    let zone: Zone = toml::from_str(text).unwrap();
    super::enum_zone::answer(&zone.dns, id, name, rtype)
}

/// Name, type, and where the question ends.
fn question(query: &[u8]) -> (Name, RecordType, usize) {
    let mut at = 12;
    let mut name = String::new();
    while query[at] != 0 {
        let label = at + 1..at + 1 + usize::from(query[at]);
        at = label.end;
        name.push_str(&String::from_utf8_lossy(&query[label]).to_ascii_lowercase());
        name.push('.');
    }
    let rtype = RecordType(u16::from_be_bytes([query[at + 1], query[at + 2]]));
    (name.parse().unwrap(), rtype, at + 5)
}

/// What the route came to, in the words of the vectors; `like` chooses between two words for one thing.
fn outcome(routed: &Routed, like: &str) -> &'static str {
    match routed.plan.as_deref() {
        Ok(Plan::Home { .. }) => "local",
        Ok(Plan::Domain { .. }) if like == "found" => "found",
        Ok(Plan::Domain { .. }) => "route",
        Ok(Plan::Gateway { .. }) => "gateway",
        Err(RouteFailure::Absent(_)) if like == "absent" => "absent",
        Err(RouteFailure::Absent(_)) => "unsupported",
        Err(RouteFailure::Temporary(_)) => "temporary",
        Err(RouteFailure::Unroutable(why)) if why.contains("loop") => "loop",
        Err(RouteFailure::Unroutable(_) | RouteFailure::Unallocated(_)) => "refused",
    }
}

fn texts(plan: &Plan) -> Vec<ServerText> {
    let Plan::Domain {
        protocol, candidates, ..
    } = plan
    else {
        return Vec::new();
    };
    let mut candidates: Vec<_> = candidates.iter().collect();
    candidates.sort_by_key(|one| one.priority);
    candidates.into_iter().map(|one| text(*protocol, one)).collect()
}

fn text(protocol: Protocol, candidate: &Candidate) -> ServerText {
    ServerText {
        protocol,
        host: candidate.host.to_string(),
        port: candidate.port,
    }
}

const FOUND_SRV: &str = "_imps-server._tcp.op.example.";
const FOUND_HOST: &str = "a.op.example.";
