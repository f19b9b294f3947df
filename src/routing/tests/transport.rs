//! What servers do to those who ask: noise, lies, silence, old software (ENUM and SRV routing §4).

use std::time::Duration;

use super::{
    ENUM, NUMBER, Net,
    dns::{Dns, Reply, naptr},
    is_temporary, serving,
};
use crate::wire::naptr::RecordType;

fn alice() -> Vec<super::dns::Rr> {
    vec![naptr(60, 1, 1, "u", "E2U+im", "!^.*$!im:alice@op.example!")]
}

#[tokio::test]
async fn garbage_and_a_wrong_identifier_are_waited_out() {
    let net = Net::new().await;
    net.dns.alice();
    net.dns.say(ENUM, RecordType::NAPTR, Reply::AfterNoise(alice()));
    assert_eq!(serving(&net.route(NUMBER).await), "op.example");
    assert_eq!(net.dns.asked(ENUM, RecordType::NAPTR), 1);
}

#[tokio::test]
async fn server_without_edns_is_asked_without_and_remembered() {
    let net = Net::new().await;
    net.dns.alice();
    net.dns.say(ENUM, RecordType::NAPTR, Reply::NoEdns(alice()));
    assert_eq!(serving(&net.route(NUMBER).await), "op.example");
    assert_eq!(net.dns.asked(ENUM, RecordType::NAPTR), 2);
    net.advance(60);
    net.route(NUMBER).await;
    assert_eq!(net.dns.asked(ENUM, RecordType::NAPTR), 3);
}

#[tokio::test]
async fn changed_spelling_of_the_question_is_checked_over_tcp() {
    let net = Net::new().await;
    net.dns.alice();
    net.dns.say(ENUM, RecordType::NAPTR, Reply::SmallLetters(alice()));
    assert_eq!(serving(&net.route(NUMBER).await), "op.example");
    // The letters of e164.arpa are written in random case, so once in 16 the small ones are right.
    let transports = net.dns.transports();
    assert!(
        matches!(transports[..], ["udp", "tcp" | "udp", ..]),
        "{transports:?}"
    );
}

#[tokio::test]
async fn silent_server_costs_its_tries_and_no_more() {
    let net = Net::new().await;
    net.dns.say(ENUM, RecordType::NAPTR, Reply::Silence);
    assert!(is_temporary(&net.route(NUMBER).await));
    assert_eq!(net.dns.asked(ENUM, RecordType::NAPTR), 2);
}

#[tokio::test]
async fn budget_ends_the_waiting() {
    let net = Net::with(|config| {
        config.budget = Duration::from_millis(100);
        config.views[0].timeout = Duration::from_secs(60);
    })
    .await;
    net.dns.say(ENUM, RecordType::NAPTR, Reply::Silence);
    let routed = tokio::time::timeout(Duration::from_secs(5), net.route(NUMBER))
        .await
        .unwrap();
    assert!(is_temporary(&routed));
}

#[tokio::test]
async fn second_resolver_answers_for_a_dead_first_and_is_asked_first_then() {
    let second = Dns::start().await;
    let address = second.address;
    let net = Net::with(|config| config.views[0].resolvers.push(address)).await;
    net.dns.say(ENUM, RecordType::NAPTR, Reply::Rcode(2));
    second.alice();
    assert_eq!(serving(&net.route(NUMBER).await), "op.example");
    assert_eq!(
        net.dns.asked_in_all(),
        1,
        "the SRV and address questions go to the one that answers"
    );
}

#[tokio::test]
async fn view_without_resolvers_is_a_failure_and_not_absence() {
    let net = Net::new().await;
    let mut config = super::config(net.dns.address);
    config.views[0].resolvers.clear();
    assert!(!config.check().is_empty());
    net.router.reload(config, Vec::new());
    let routed = net.route(NUMBER).await;
    assert!(is_temporary(&routed));
    assert!(routed.decision().contains("add a view"), "{}", routed.decision());
}
