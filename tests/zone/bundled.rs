//! `zones/` and the table in its README say the same: each number of the table gives the result that stands there.

use std::collections::BTreeSet;
use std::path::Path;

use hickory_proto::rr::RecordType as Type;
use impsgw::wire::naptr::{Aus, Data, Evaluation, Name, Policy, RecordType, Step, Verdict, Wanted};
use impsgw::zone::{ZoneServer, ZoneSet};

use super::client::{ask, loopback, naptrs};

fn zones() -> ZoneSet {
    ZoneSet::load_dir(Path::new("zones")).unwrap()
}

/// The rows of the README below a heading, cell by cell.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let readme = std::fs::read_to_string("zones/README.md").unwrap();
    let (_, section) = readme.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| +"));
    rows.map(|row| row.split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

/// Number and result of each row of the numbers that go wrong.
fn table() -> Vec<(String, String)> {
    let rows = rows("Numbers that go wrong on purpose").into_iter();
    rows.map(|cells| (cells[0].clone(), cells[2].clone())).collect()
}

/// What a gateway that follows RFC 6116 finds, over the wire.
async fn evaluate(server: &ZoneServer, digits: &str, wanted: &str, apex: &str) -> (Verdict, Option<String>) {
    let aus = Aus::new(digits).unwrap();
    let name = aus.enum_name(&apex.parse().unwrap()).unwrap();
    let wanted = Wanted::parse([wanted]).unwrap();
    let mut evaluation = Evaluation::new(aus, name, wanted, Policy::default());
    loop {
        let asked = match evaluation.step() {
            Step::Query(name) => name,
            Step::Done(selected) => {
                let first = selected
                    .candidates
                    .first()
                    .map(|candidate| candidate.uri.as_str().to_owned());
                return (selected.verdict(), first);
            }
        };
        evaluation.answer(naptrs(server, &asked).await);
    }
}

#[tokio::test]
async fn every_number_of_the_table_gives_its_result() {
    let server = ZoneServer::start(zones(), loopback()).await.unwrap();
    let table = table();
    assert!(table.len() > 25, "the table was not found");
    for (number, result) in table {
        let (verdict, uri) = evaluate(&server, &number, "im", "e164enum.net").await;
        match result.as_str() {
            "none" => assert_eq!((verdict, uri), (Verdict::NoneUsable, None), "+{number}"),
            _ => assert_eq!((verdict, uri), (Verdict::Found, Some(result)), "+{number}"),
        }
    }
    server.shutdown().await;
}

#[tokio::test]
async fn every_robot_leads_where_its_row_says() {
    let server = ZoneServer::start(zones(), loopback()).await.unwrap();
    let robots = rows("Robots").into_iter();
    let robots = robots.map(|cells| (cells[0].clone(), cells[2].clone()));
    let refused = rows("Numbers that are refused").into_iter();
    let refused = refused.map(|cells| (cells[0].clone(), "alpha.example".to_owned()));
    let all: Vec<_> = robots.chain(refused).collect();
    assert!(all.len() > 50, "the tables were not found");
    for (digits, domain) in all {
        for scheme in ["im", "pres"] {
            let (_, uri) = evaluate(&server, &digits, scheme, "e164enum.net").await;
            assert_eq!(uri, Some(format!("{scheme}:+{digits}@{domain}")));
        }
    }
    server.shutdown().await;
}

#[test]
fn every_number_that_goes_wrong_is_in_the_table() {
    let text = std::fs::read_to_string("zones/7.0.0.9.0.0.7.7.4.4.e164enum.net.zone").unwrap();
    let parsed = impsgw::zone::parse(&text, None);
    assert_eq!(parsed.faults, []);
    let numbers: BTreeSet<String> = parsed
        .entries
        .iter()
        .filter_map(|entry| {
            let labels = entry.owner.labels();
            let digits: String = labels
                .iter()
                .rev()
                .skip(2)
                .map(|label| String::from_utf8_lossy(label))
                .collect();
            digits
                .bytes()
                .all(|octet| octet.is_ascii_digit())
                .then_some(digits)
        })
        .filter(|digits| digits.len() == 12)
        .collect();
    let listed: BTreeSet<String> = table().into_iter().map(|(number, _)| number).collect();
    assert_eq!(numbers, listed);
}

#[tokio::test]
async fn operators_are_found_from_a_number_to_an_address() {
    let server = ZoneServer::start(zones(), loopback()).await.unwrap();
    for (digits, domain, port) in [
        ("447700900123", "alpha.example", 17101),
        ("447700900100", "alpha.example", 17101),
        ("447700900199", "alpha.example", 17101),
        ("447700900015", "alpha.example", 17101),
        ("447700900531", "alpha.example", 17101),
        ("447700900901", "alpha.example", 17101),
        ("447700900180", "beta.example", 17201),
        ("447700900456", "beta.example", 17201),
        ("447700900223", "hub.example", 17301),
        ("447700900323", "isle.example", 17401),
    ] {
        for scheme in ["im", "pres"] {
            let (_, uri) = evaluate(&server, digits, scheme, "e164enum.net").await;
            assert_eq!(uri, Some(format!("{scheme}:+{digits}@{domain}")));
        }
        let owner: Name = format!("_imps-server._tcp.{domain}").parse().unwrap();
        let answer = ask(&server, &owner, Type::SRV).await;
        let records = answer
            .answers
            .iter()
            .find(|record| record.rtype == RecordType::SRV)
            .unwrap();
        let Data::Srv(srv) = &records.data else {
            panic!("{records:?}");
        };
        assert_eq!(
            (srv.port, srv.target.to_string()),
            (port, format!("ssp.{domain}."))
        );
    }
    let (verdict, _) = evaluate(&server, "447700900600", "im", "e164enum.net").await;
    assert_eq!(verdict, Verdict::Absent, "a number outside all ranges");
    server.shutdown().await;
}

#[tokio::test]
async fn public_tree_has_what_the_carrier_tree_lacks() {
    let server = ZoneServer::start(zones(), loopback()).await.unwrap();
    let (verdict, _) = evaluate(&server, "447700900800", "im", "e164enum.net").await;
    assert_eq!(verdict, Verdict::NoneUsable);
    let (_, uri) = evaluate(&server, "447700900800", "im", "e164.arpa").await;
    assert_eq!(uri.as_deref(), Some("im:+447700900800@beta.example"));
    server.shutdown().await;
}
