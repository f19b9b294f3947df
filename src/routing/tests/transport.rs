//! What servers do to those who ask: noise, lies, silence, old software (ENUM and SRV routing §4).

use std::time::Duration;

use tokio::time::Instant;

use super::{
    super::{
        cache::Terms,
        fact::{Kind, Question, ViewId},
    },
    ENUM, NUMBER, Net,
    dns::{Dns, Reply, cname, naptr},
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
    let net = Net::with(|config| config.views[0].timeout = Duration::from_millis(50)).await;
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

#[tokio::test]
async fn referral_is_no_absence_and_the_next_server_is_asked() {
    let net = Net::new().await;
    net.dns.say(ENUM, RecordType::NAPTR, Reply::Referral);
    let routed = net.route(NUMBER).await;
    assert!(is_temporary(&routed), "{routed:?}");
    assert!(routed.decision().contains("referral"), "{}", routed.decision());
    let second = Dns::start().await;
    let address = second.address;
    let net = Net::with(|config| config.views[0].resolvers.push(address)).await;
    net.dns.say(ENUM, RecordType::NAPTR, Reply::Referral);
    second.alice();
    assert_eq!(serving(&net.route(NUMBER).await), "op.example");
}

#[tokio::test]
async fn alias_that_cannot_be_read_is_no_absence() {
    let net = Net::new().await;
    net.dns.naptr(ENUM, vec![cname(60, "x.").broken(&[0xc0])]);
    assert!(is_temporary(&net.route(NUMBER).await));
}

#[tokio::test]
async fn failure_is_kept_from_when_it_is_known() {
    let net = Net::with(|config| {
        config.views[0].timeout = Duration::from_millis(100);
        config.cache.failure_ttl = Duration::from_secs(1);
    })
    .await;
    net.dns.say(ENUM, RecordType::NAPTR, Reply::Silence);
    assert!(is_temporary(&net.route(NUMBER).await));
    let queries = net.dns.asked(ENUM, RecordType::NAPTR);
    net.advance(1);
    assert!(is_temporary(&net.route(NUMBER).await));
    assert_eq!(net.dns.asked(ENUM, RecordType::NAPTR), queries, "it took a while");
    net.advance(60);
    net.dns.alice();
    assert_eq!(serving(&net.route(NUMBER).await), "op.example");
}

#[tokio::test]
async fn own_lack_of_time_is_not_remembered_as_a_failure_of_dns() {
    let net = Net::with(|config| {
        config.budget = Duration::from_millis(50);
        config.views[0].timeout = Duration::from_secs(60);
    })
    .await;
    net.dns.say(ENUM, RecordType::NAPTR, Reply::Silence);
    assert!(is_temporary(&net.route(NUMBER).await));
    let mut config = super::config(net.dns.address);
    config.views[0].timeout = Duration::from_secs(60);
    net.router.reload(config, Vec::new());
    net.dns.alice();
    assert_eq!(serving(&net.route(NUMBER).await), "op.example");
}

#[tokio::test]
async fn caller_without_time_does_not_fail_those_who_wait_with_him() {
    let net = Net::with(|config| config.views[0].timeout = Duration::from_secs(60)).await;
    net.dns.say(ENUM, RecordType::NAPTR, Reply::Silence);
    let shared = &net.router.shared;
    let config = super::config(net.dns.address).cache;
    let question = Question {
        view: ViewId(0),
        kind: Kind::Naptr,
        name: ENUM.parse().unwrap(),
    };
    let view = shared.view(&question);
    let get = |within: u64| {
        let terms = Terms {
            now: net.now(),
            deadline: Instant::now() + Duration::from_millis(within),
            stale: false,
            ahead: false,
        };
        shared.facts.get(&question, &view, &shared.asker, &config, terms)
    };
    let answers_from_now_on = async {
        while net.dns.asked(ENUM, RecordType::NAPTR) == 0 {
            tokio::task::yield_now().await;
        }
        net.dns.naptr(ENUM, alice());
    };
    let (hasty, patient, ()) = tokio::join!(get(200), get(5000), answers_from_now_on);
    assert!(hasty.0.is_failure());
    assert!(!patient.0.is_failure(), "{:?}", patient.0);
}
