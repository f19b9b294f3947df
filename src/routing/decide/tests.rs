//! Claims that hold for whatever DNS says.

use std::{collections::HashMap, sync::Arc, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::{
    model::{Domain, E164, Protocol},
    routing::{
        ApexConfig, OnFailure, Plan, RouteFailure, RouteService, RoutingConfig, Trust, ViewConfig,
        fact::{Absence, Finding, Kind, LookupFailure, Records, ViewId},
        rules::Rules,
    },
    wire::naptr::{Name, Naptr, Srv},
};

const NOW: Timestamp = Timestamp(1_000_000);

fn rules(change: impl FnOnce(&mut RoutingConfig)) -> Rules {
    let apex = |name: &str, trust| ApexConfig {
        apex: name.into(),
        view: "v".into(),
        trust,
        prefixes: Vec::new(),
        services: vec!["pstn:tel".into(), "unused:data".into()],
        domains: Vec::new(),
        allow_private_services: false,
        stale_naptr: false,
        on_failure: None,
        cross_order: false,
        dnssec_required: false,
        pres_foreign_schemes: false,
        infrastructure_position: None,
        timeout: None,
    };
    let mut config = RoutingConfig {
        views: vec![ViewConfig {
            name: "v".into(),
            resolvers: vec!["127.0.0.1:53".parse().unwrap()],
            domains: Vec::new(),
            trust_ad: false,
            timeout: Duration::from_secs(1),
            tries: 2,
        }],
        apexes: vec![
            apex("e164enum.net", Trust::Private),
            apex("e164.arpa", Trust::Public),
        ],
        ..RoutingConfig::default()
    };
    config.ladder.sip = true;
    config.ladder.xmpp = true;
    change(&mut config);
    let views = HashMap::from([("v".to_owned(), ViewId(0))]);
    Rules::new(config, vec!["alpha.example".parse().unwrap()], views, 0)
}

fn fact(finding: Finding, seconds: u64) -> Arc<Fact> {
    Arc::new(Fact {
        finding,
        aliases: Vec::new(),
        secure: false,
        fetched: NOW,
        dies: NOW.plus(Duration::from_secs(seconds)),
        stale_since: None,
    })
}

fn absent() -> Finding {
    Finding::Absent(Absence::NxDomain)
}

fn failed() -> Finding {
    Finding::Failed(LookupFailure::TimedOut)
}

fn naptr() -> impl Strategy<Value = Naptr> {
    let flags = prop_oneof![Just(""), Just("u"), Just("U"), Just("-"), Just("s")];
    let services = prop_oneof![
        Just("E2U+im"),
        Just("E2U+pres"),
        Just("E2U+im+pres"),
        Just("E2U+pstn:tel"),
        Just("E2U+unused:data"),
        Just("SIP+D2U"),
        Just("")
    ];
    let regexps = prop_oneof![
        Just("!^.*$!im:a@op.example!"),
        Just("!^(.*)$!im:\\1@two.example!"),
        Just("!^.*$!pres:a@op.example!"),
        Just("!^(.*)$!tel:\\1;npdi;rn=+4479990!"),
        Just("!^.*$!data:,!"),
        Just("!^+44!im:a@op.example!"),
        Just("")
    ];
    let targets = prop_oneof![Just("."), Just("x.example."), Just("y.example.")];
    (0..3_u16, 0..3_u16, flags, services, regexps, targets).prop_map(
        |(order, preference, flags, services, regexp, target)| Naptr {
            order,
            preference,
            flags: flags.into(),
            services: services.into(),
            regexp: regexp.into(),
            replacement: target.parse().unwrap(),
        },
    )
}

fn naptr_finding() -> impl Strategy<Value = Finding> {
    prop_oneof![
        Just(absent()),
        Just(failed()),
        proptest::collection::vec(naptr(), 0..6)
            .prop_map(|set| Finding::Found(Records::Naptr(set.into_iter().map(Ok).collect()))),
    ]
}

fn srv_finding() -> impl Strategy<Value = Finding> {
    let target = prop_oneof![
        Just("."),
        Just("a.example."),
        Just("b.example."),
        Just("gw.alpha.example.")
    ];
    let srv =
        (0..3_u16, any::<u16>(), any::<u16>(), target).prop_map(|(priority, weight, port, target)| Srv {
            priority,
            weight,
            port,
            target: target.parse().unwrap(),
        });
    prop_oneof![
        2 => Just(absent()),
        1 => Just(failed()),
        2 => proptest::collection::vec(srv, 1..5).prop_map(|set| Finding::Found(Records::Srv(set.into()))),
    ]
}

fn address_finding() -> impl Strategy<Value = Finding> {
    prop_oneof![
        Just(absent()),
        Just(failed()),
        Just(Finding::Found(Records::Addresses(
            ["192.0.2.1".parse().unwrap()].into()
        ))),
    ]
}

/// Answers questions one after the other from a list, the same question always alike; counts them.
#[derive(Debug)]
struct Oracle {
    naptr: Vec<Finding>,
    srv: Vec<Finding>,
    address: Vec<Finding>,
    seconds: Vec<u64>,
    said: HashMap<Question, Arc<Fact>>,
}

impl Oracle {
    fn say(&mut self, question: &Question) -> Arc<Fact> {
        if let Some(said) = self.said.get(question) {
            return Arc::clone(said);
        }
        let place = self.said.len();
        let list = match question.kind {
            Kind::Naptr => &self.naptr,
            Kind::Srv => &self.srv,
            Kind::A | Kind::Aaaa => &self.address,
        };
        let seconds = self.seconds[place % self.seconds.len()];
        let said = fact(list[place % list.len()].clone(), seconds);
        self.said.insert(question.clone(), Arc::clone(&said));
        said
    }

    fn first_death(&self) -> Timestamp {
        self.said
            .values()
            .map(|fact| fact.dies)
            .min()
            .unwrap_or(Timestamp(u64::MAX))
    }

    fn first_death_of_records(&self) -> Timestamp {
        let found = self
            .said
            .values()
            .filter(|fact| matches!(fact.finding, Finding::Found(_)));
        found.map(|fact| fact.dies).min().unwrap_or(Timestamp(u64::MAX))
    }

    fn has_failed(&self) -> bool {
        self.said.values().any(|fact| fact.is_failure())
    }
}

fn oracle() -> impl Strategy<Value = Oracle> {
    (
        proptest::collection::vec(naptr_finding(), 1..5),
        proptest::collection::vec(srv_finding(), 1..5),
        proptest::collection::vec(address_finding(), 1..5),
        proptest::collection::vec(1..5000_u64, 1..5),
    )
        .prop_map(|(naptr, srv, address, seconds)| Oracle {
            naptr,
            srv,
            address,
            seconds,
            said: HashMap::new(),
        })
}

fn walk(rules: &Rules, number: &E164, service: RouteService, oracle: &mut Oracle) -> NumberOutcome {
    let mut walk = NumberWalk::new(rules, number, service, NOW);
    for _ in 0..100 {
        match walk.step() {
            NumberStep::Ask { question, .. } => {
                let fact = oracle.say(&question);
                walk.answer(&question, &fact, FactSource::Dns);
            }
            NumberStep::Done(outcome) => return outcome,
        }
    }
    panic!("the walk does not end");
}

fn descend(rules: &Rules, domain: &Domain, oracle: &mut Oracle) -> DomainOutcome {
    let mut ladder = Ladder::new(rules, domain.clone(), RouteService::Im, NOW);
    for _ in 0..100 {
        match ladder.step() {
            LadderStep::Ask(questions) => {
                let facts: Vec<_> = questions
                    .into_iter()
                    .map(|question| {
                        let fact = oracle.say(&question);
                        (question, fact, FactSource::Dns)
                    })
                    .collect();
                ladder.answer(&facts);
            }
            LadderStep::Done(outcome) => return outcome,
        }
    }
    panic!("the ladder does not end");
}

proptest! {
    /// "Not found" is said only when nothing failed, and a lead never outlives a fact that it rests on.
    #[test]
    fn number_is_absent_only_when_every_lookup_worked(
        mut oracle in oracle(),
        is_pres in any::<bool>(),
        on_failure in prop_oneof![Just(None), Just(Some(OnFailure::Next)), Just(Some(OnFailure::Stop))],
    ) {
        let rules = rules(|config| config.apexes[0].on_failure = on_failure);
        let number = "+447700900123".parse().unwrap();
        let service = if is_pres { RouteService::Pres } else { RouteService::Im };
        let outcome = walk(&rules, &number, service, &mut oracle);
        prop_assert_eq!(outcome.dies, oracle.first_death());
        match &outcome.verdict {
            NumberVerdict::Absent => prop_assert!(!oracle.has_failed()),
            NumberVerdict::Temporary(_) => prop_assert!(oracle.has_failed()),
            NumberVerdict::Leads(leads) => prop_assert!(!leads.is_empty() && leads.len() <= 4),
            NumberVerdict::Unallocated => {}
        }
        let answered = outcome.steps.iter().filter(|step| step.ttl.is_some());
        prop_assert!(answered.count() >= oracle.said.len(), "each question has its step");
    }

    /// After a failed private apex nothing is asked of a public one, unless the operator says so.
    #[test]
    fn public_apex_is_not_asked_after_a_failed_private_one(mut oracle in oracle()) {
        oracle.naptr = vec![failed()];
        let rules = rules(|_| {});
        let number = "+447700900123".parse().unwrap();
        let outcome = walk(&rules, &number, RouteService::Im, &mut oracle);
        prop_assert!(matches!(outcome.verdict, NumberVerdict::Temporary(_)));
        prop_assert!(oracle.said.keys().all(|question| question.name.as_str().ends_with("e164enum.net.")));
    }

    /// A protocol is chosen only when all before it are certainly absent; a plan has a server with an address, none of
    /// them ourselves, and dies with its first fact.
    #[test]
    fn ladder_never_changes_the_road_for_a_failure(mut oracle in oracle()) {
        let rules = rules(|config| config.own_hosts = vec!["gw.alpha.example".into()]);
        let domain: Domain = "op.example".parse().unwrap();
        let outcome = descend(&rules, &domain, &mut oracle);
        prop_assert!(outcome.dies >= oracle.first_death());
        prop_assert!(outcome.dies <= oracle.first_death_of_records());
        let ssp: Name = "_imps-server._tcp.op.example.".parse().unwrap();
        let of_ssp = oracle.said.iter().find(|(question, _)| question.name == ssp).map(|(_, fact)| &fact.finding);
        match &outcome.plan {
            Ok(plan) => {
                let Plan::Domain { protocol, candidates, valid_until, .. } = &**plan else {
                    return Err(TestCaseError::fail("a plan of another kind"));
                };
                prop_assert_eq!(*valid_until, outcome.dies);
                prop_assert!(candidates.iter().any(|one| !one.addresses.is_empty()));
                prop_assert!(candidates.iter().all(|one| &*one.host != "gw.alpha.example"));
                if *protocol != Protocol::Ssp {
                    let is_absent = match of_ssp {
                        Some(Finding::Absent(_)) => true,
                        Some(Finding::Found(Records::Srv(set))) => set.iter().all(|srv| srv.target.is_root()),
                        _ => false,
                    };
                    prop_assert!(is_absent, "{:?} although SSP is {:?}", protocol, of_ssp);
                }
            }
            Err(RouteFailure::Absent(_)) => prop_assert!(!oracle.has_failed()),
            Err(RouteFailure::Temporary(_) | RouteFailure::Unroutable(_)) => {}
            Err(RouteFailure::Unallocated(_)) => return Err(TestCaseError::fail("a domain is no number")),
        }
    }

    /// The same facts give the same decision.
    #[test]
    fn decision_can_be_replayed(mut oracle in oracle()) {
        let rules = rules(|_| {});
        let number = "+447700900123".parse().unwrap();
        let first = walk(&rules, &number, RouteService::Im, &mut oracle);
        let again = walk(&rules, &number, RouteService::Im, &mut oracle);
        prop_assert_eq!(first.verdict, again.verdict);
        prop_assert_eq!(first.steps, again.steps);
    }
}
