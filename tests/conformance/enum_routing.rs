//! ENUM and SRV: every vector that needs no server, and a check that the others can be run.
//!
//! Each NAPTR set goes through a DNS message and back, so the raw reader is part of every case.

use std::collections::BTreeMap;

use impsgw::wire::naptr::{
    Answer, Aus, Candidate, Data, Evaluation, Name, NationalRules, Number, NumberError, RecordType, Response,
    Selected, Srv, Step, Target, Wanted, arrange,
};
use serde::Deserialize;

use super::enum_vectors::{Case, Level, NumberText, all, pure};
use super::enum_zone::{RrsetBehaviour, RrsetText};

#[test]
fn numbers_become_names_or_are_refused() {
    for case in pure("N") {
        let number = case
            .number
            .as_ref()
            .unwrap_or_else(|| panic!("{}: no number", case.id));
        let expect: NumberExpected = case.expect();
        match Number::parse(&number.text, Some(&rules(number))) {
            Err(error) => assert_eq!(
                Some(variant(&error)),
                expect.reject.as_deref(),
                "{}: {error}",
                case.id
            ),
            Ok(read) => {
                assert_eq!(expect.reject, None, "{}: read as {}", case.id, read.aus);
                assert_eq!(Some(read.aus.as_str()), expect.aus.as_deref(), "{}", case.id);
                assert_eq!(read.domain, expect.domain, "{}", case.id);
                assert_eq!(read.params.npdi, expect.npdi, "{}", case.id);
                let name = expect.name.map(|_| query_name(&read.aus, number));
                assert_eq!(name, case.expect::<NumberExpected>().name, "{}", case.id);
            }
        }
    }
}

#[test]
fn naptr_sets_select_what_the_standard_says() {
    for mut case in pure("E") {
        case.dns
            .push(RrsetText::naptrs(&own_name(), case.records.clone()));
        let (selected, queries) = evaluate(&case);
        check(&case, &selected);
        assert_eq!(queries, [own_name().to_string()], "{}", case.id);
    }
}

#[test]
fn non_terminal_records_are_walked_without_loops() {
    for case in pure("L") {
        let (selected, queries) = evaluate(&case);
        check(&case, &selected);
        assert_eq!(queries, case.expect::<SelectionExpected>().queries, "{}", case.id);
    }
}

#[test]
fn srv_records_are_arranged() {
    for case in pure("S") {
        let expect: SrvExpected = case.expect();
        let records: Vec<Srv> = case.srv.iter().map(|record| record.srv()).collect();
        let mut random = fastrand::Rng::with_seed(2782);
        let mut draw = |bound: u32| random.u32(0..=bound);
        let Ok(arranged) = arrange(&records, &mut draw) else {
            assert!(expect.absent, "{}: read as absent", case.id);
            continue;
        };
        assert!(!expect.absent, "{}: not read as absent", case.id);
        let order: Vec<String> = arranged
            .servers
            .iter()
            .map(|srv| format!("{}:{}", srv.target, srv.port))
            .collect();
        if expect.shares.is_empty() {
            assert_eq!(order, expect.order, "{}", case.id);
        }
        let warnings: Vec<String> = arranged.warnings.iter().map(ToString::to_string).collect();
        assert_sentences(&case.id, &warnings, &expect.warnings);
        check_shares(&case.id, &records, &expect.shares, &mut draw);
    }
}

#[test]
fn every_vector_is_there_once() {
    let mut ids: Vec<String> = all().into_iter().map(|case| case.id).collect();
    let sections = [("N", 17), ("E", 39), ("L", 8), ("D", 12), ("S", 18), ("P", 5)];
    let numbered = |(letter, last): (&str, usize)| {
        (1..=last)
            .map(move |n| format!("{letter}{n}"))
            .collect::<Vec<_>>()
    };
    let mut expected: Vec<String> = sections.into_iter().flat_map(numbered).collect();
    ids.sort();
    expected.sort();
    assert_eq!(ids, expected);
}

#[test]
fn live_vectors_describe_what_a_server_needs() {
    let live: Vec<Case> = all()
        .into_iter()
        .filter(|case| case.level == Level::Live)
        .collect();
    assert_eq!(live.len(), 26);
    for case in live.into_iter().flat_map(Case::variants) {
        let id = &case.id;
        assert!(
            !case.title.is_empty() && !case.clause.is_empty(),
            "{id}: title and clause"
        );
        assert!(case.expect.contains_key("outcome"), "{id}: outcome");
        let address = case
            .request
            .as_ref()
            .map_or("+447700900123", |request| request.to.as_str());
        match Number::parse(address, None) {
            Ok(number) => check_apexes(&case, &number.aus),
            Err(_) => assert!(
                address.starts_with("wv:") && address.contains('@'),
                "{id}: {address}"
            ),
        }
        for set in &case.dns {
            let message = case.message(1, &set.name.0, set.rtype());
            let response =
                Response::parse(&message).unwrap_or_else(|error| panic!("{id} {}: {error}", set.name.0));
            let read = response
                .find(&set.name.0, set.rtype())
                .map_or(0, |found| found.records.len());
            assert_eq!(
                read,
                set.rdata().len(),
                "{id}: every record of {} can be read",
                set.name.0
            );
            let truncated = set.behaviour == Some(RrsetBehaviour::TruncateUdp);
            assert_eq!(
                truncated,
                message.len() > 1232,
                "{id}: only what is too large for UDP is truncated"
            );
        }
        for host in &case.hosts {
            let address: std::net::Ipv4Addr = host.address.parse().unwrap();
            let message = case.message(1, &host.name.0, RecordType::A);
            let response = Response::parse(&message).unwrap();
            let held = response
                .answers
                .iter()
                .any(|record| record.data == Data::A(address.octets()));
            assert!(
                held && host.port != 0,
                "{id}: {} has its address in dns, {:?}",
                host.name.0,
                host.behaviour
            );
        }
        for own in &case.config.own_addresses {
            assert!(own.parse::<std::net::Ipv4Addr>().is_ok(), "{id}: {own}");
        }
        assert_eq!(
            case.config.own_hosts.len(),
            case.config.own_addresses.len(),
            "{id}: own hosts have addresses"
        );
        assert!(
            case.config
                .own_domains
                .iter()
                .all(|own| own.parse::<Name>().is_ok()),
            "{id}: own domains"
        );
        let config = &case.config;
        assert!(
            config.xmpp_fallback || !config.sip_fallback,
            "{id}: SIP goes before XMPP, so alone it says nothing"
        );
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct NumberExpected {
    aus: Option<String>,
    name: Option<String>,
    domain: Option<String>,
    npdi: bool,
    reject: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SelectionExpected {
    candidates: Vec<CandidateExpected>,
    passed_over: Vec<String>,
    #[serde(default)]
    queries: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CandidateExpected {
    service: String,
    uri: String,
    local: Option<String>,
    domain: Option<String>,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SrvExpected {
    order: Vec<String>,
    shares: Vec<Share>,
    absent: bool,
    warnings: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Share {
    target: String,
    percent_times_100: i64,
}

/// Every apex has something to say about the number, private ones are asked first.
fn check_apexes(case: &Case, aus: &Aus) {
    for apex in &case.apexes {
        let name = aus.enum_name(&apex.name.0).unwrap();
        let covers = |owner: &Name| match owner.as_str().strip_prefix("*.") {
            Some(above) => name.as_str().ends_with(above),
            None => *owner == name,
        };
        assert!(
            case.dns.iter().any(|set| covers(&set.name.0)),
            "{}: nothing at {name}",
            case.id
        );
        assert!(
            apex.private || !apex.failure_falls_through,
            "{}: a setting of private apexes",
            case.id
        );
    }
    assert!(
        case.apexes.is_sorted_by_key(|apex| !apex.private),
        "{}: private apexes first",
        case.id
    );
}

fn rules(number: &NumberText) -> NationalRules {
    NationalRules {
        country_code: number.country_code.clone(),
        trunk_prefix: number.trunk_prefix.clone(),
        international_prefixes: number.international_prefixes.clone().unwrap_or_default(),
    }
}

fn query_name(aus: &Aus, number: &NumberText) -> String {
    let apex: Name = number.apex.as_deref().unwrap_or("e164.arpa").parse().unwrap();
    let name = match number.position {
        Some(position) => aus.infrastructure_name(&apex, position),
        None => aus.enum_name(&apex),
    };
    name.unwrap().to_string()
}

fn variant(error: &NumberError) -> &'static str {
    match error {
        NumberError::Empty => "Empty",
        NumberError::NotE164(_) => "NotE164",
        NumberError::CountryCodeZero => "CountryCodeZero",
        NumberError::TooLong(_) => "TooLong",
        NumberError::TooShort(_) => "TooShort",
        NumberError::AmbiguousTrunkZero => "AmbiguousTrunkZero",
        NumberError::BadCharacter(_) => "BadCharacter",
        NumberError::Wildcard(_) => "Wildcard",
        NumberError::Params(_) => "Params",
    }
}

fn own_name() -> Name {
    "3.2.1.0.0.9.0.0.7.7.4.4.e164.arpa".parse().unwrap()
}

/// Runs an evaluation of the vectors' number; also gives the names it asked for.
fn evaluate(case: &Case) -> (Selected, Vec<String>) {
    let wanted = Wanted::parse(case.wanted.iter().map(String::as_str)).unwrap();
    let aus = Aus::new("447700900123").unwrap();
    let mut evaluation = Evaluation::new(aus, own_name(), wanted, case.policy.into());
    let mut queries = Vec::new();
    loop {
        match evaluation.step() {
            Step::Done(selected) => return (selected, queries),
            Step::Query(name) => {
                evaluation.answer(look_up(case, &name));
                queries.push(name.to_string());
            }
        }
    }
}

/// What the case's servers hold, through a DNS message and back.
fn look_up(case: &Case, name: &Name) -> Answer {
    let response = Response::parse(&case.message(7, name, RecordType::NAPTR)).unwrap();
    assert!(response.answers(7, name, RecordType::NAPTR), "{}", case.id);
    let found = response.find(name, RecordType::NAPTR).unwrap();
    match found.records.is_empty() {
        true => Answer::Absent,
        false => Answer::Records(found.naptrs()),
    }
}

fn check(case: &Case, selected: &Selected) {
    let expect: SelectionExpected = case.expect();
    let uris = |candidate: &Candidate| format!("{} {}", candidate.service, candidate.uri);
    let got: Vec<String> = selected.candidates.iter().map(uris).collect();
    let wanted: Vec<String> = expect
        .candidates
        .iter()
        .map(|c| format!("{} {}", c.service, c.uri))
        .collect();
    let reasons: Vec<String> = selected
        .passed_over
        .iter()
        .map(|passed| passed.reason.to_string())
        .collect();
    assert_eq!(got, wanted, "{} ({}): {reasons:?}", case.id, case.clause);
    assert_sentences(&case.id, &reasons, &expect.passed_over);
    for (candidate, expected) in selected.candidates.iter().zip(&expect.candidates) {
        let warnings: Vec<String> = candidate.warnings.iter().map(ToString::to_string).collect();
        assert_sentences(&case.id, &warnings, &expected.warnings);
        let mailbox = match &candidate.target {
            Target::Mailbox(mailbox) => Some((mailbox.local.as_str(), mailbox.domain.without_dot())),
            Target::Telephone(_) | Target::Opaque => None,
        };
        if let Some(local) = &expected.local {
            assert_eq!(
                mailbox.map(|(local, _)| local),
                Some(local.as_str()),
                "{}",
                case.id
            );
        }
        if let Some(domain) = &expected.domain {
            assert_eq!(
                mailbox.map(|(_, domain)| domain),
                Some(domain.as_str()),
                "{}",
                case.id
            );
        }
    }
}

/// Each sentence holds its expected part, and there are as many as expected.
fn assert_sentences(id: &str, got: &[String], expected: &[String]) {
    assert_eq!(got.len(), expected.len(), "{id}: {got:?}");
    for (sentence, part) in got.iter().zip(expected) {
        assert!(
            sentence.contains(part.as_str()),
            "{id}: {sentence:?} says nothing of {part:?}"
        );
    }
}

fn check_shares(id: &str, records: &[Srv], shares: &[Share], draw: &mut impl FnMut(u32) -> u32) {
    const DRAWS: i64 = 100_000;
    if shares.is_empty() {
        return;
    }
    let mut first: BTreeMap<String, i64> = BTreeMap::new();
    for _ in 0..DRAWS {
        let servers = arrange(records, draw).unwrap().servers;
        assert_eq!(servers.len(), records.len(), "{id}");
        *first.entry(servers[0].target.to_string()).or_default() += 1;
    }
    for share in shares {
        let got = first.get(&share.target).copied().unwrap_or(0) * 10_000 / DRAWS;
        assert!(
            (got - share.percent_times_100).abs() <= 100,
            "{id}: {} is first in {got} of 10000",
            share.target
        );
    }
}
