//! ENUM and SRV routing §15: what is kept, for how long, and what becomes of it when DNS is down.

use std::time::Duration;

use super::{
    super::{CacheFilter, EntryKind, EntryState, Plan, RouteService},
    ENUM, NUMBER, Net, SSP,
    dns::{Reply, a, naptr, srv},
    is_absent, is_temporary, servers, serving,
};
use crate::{
    model::{FactSource, WvAddress},
    wire::naptr::RecordType,
};

const BEA: &str = "wv:bea@op.example";

#[tokio::test]
async fn fact_dies_to_the_second_and_a_plan_with_its_shortest_fact() {
    let net = Net::new().await;
    net.dns.ssp("op.example");
    net.dns.srv(SSP, vec![srv(120, 1, 1, 8443, "a.op.example.")]);
    net.route(BEA).await;
    net.advance(119);
    net.route(BEA).await;
    assert_eq!(net.dns.asked(SSP, RecordType::SRV), 1);
    net.advance(1);
    net.route(BEA).await;
    assert_eq!(net.dns.asked(SSP, RecordType::SRV), 2);
    assert_eq!(
        net.dns.asked("a.op.example.", RecordType::A),
        1,
        "its address lives longer"
    );
}

#[tokio::test]
async fn changed_servers_are_seen_by_every_number_of_the_domain() {
    let net = Net::new().await;
    net.dns.alice();
    net.route(NUMBER).await;
    net.dns.srv(SSP, vec![srv(300, 1, 1, 9443, "a.op.example.")]);
    net.advance(300);
    assert_eq!(net.servers(NUMBER).await, ["a.op.example:9443"]);
    assert_eq!(net.dns.asked(ENUM, RecordType::NAPTR), 1);
}

#[tokio::test]
async fn one_family_missing_without_soa_does_not_throw_the_plan_away() {
    let net = Net::new().await;
    net.dns.ssp("op.example");
    net.dns
        .say("a.op.example.", RecordType::AAAA, Reply::NoData(None));
    net.route(BEA).await;
    let queries = net.dns.asked_in_all();
    net.route(BEA).await;
    assert_eq!(net.dns.asked_in_all(), queries);
}

#[tokio::test]
async fn many_callers_ask_once() {
    let net = Net::new().await;
    net.dns.alice();
    let routes = (0..50).map(|_| net.route(NUMBER));
    for routed in futures_util::future::join_all(routes).await {
        assert_eq!(servers(&routed), ["a.op.example:8443"]);
    }
    assert_eq!(net.dns.asked(ENUM, RecordType::NAPTR), 1);
    assert_eq!(net.dns.asked(SSP, RecordType::SRV), 1);
    assert_eq!(net.dns.asked("a.op.example.", RecordType::A), 1);
}

#[tokio::test]
async fn failure_is_remembered_for_five_seconds() {
    let net = Net::new().await;
    net.dns.say(ENUM, RecordType::NAPTR, Reply::Rcode(2));
    assert!(is_temporary(&net.route(NUMBER).await));
    let queries = net.dns.asked(ENUM, RecordType::NAPTR);
    net.dns.alice();
    net.advance(4);
    assert!(is_temporary(&net.route(NUMBER).await));
    assert_eq!(net.dns.asked(ENUM, RecordType::NAPTR), queries);
    net.advance(1);
    assert_eq!(serving(&net.route(NUMBER).await), "op.example");
}

#[tokio::test]
async fn stale_servers_are_used_when_dns_is_down_and_for_a_day_only() {
    let net = Net::new().await;
    net.dns.ssp("op.example");
    net.route(BEA).await;
    net.advance(301);
    net.dns.is_down(true);
    let routed = net.explain(BEA).await;
    assert_eq!(servers(&routed), ["a.op.example:8443"]);
    assert!(
        routed.steps.iter().all(|step| step.source == FactSource::Stale),
        "{:#?}",
        routed.steps
    );
    let before = net.dns.asked_in_all();
    net.advance(29);
    net.route(BEA).await;
    assert_eq!(net.dns.asked_in_all(), before, "not asked again within 30 s");
    net.dns.is_down(false);
    net.advance(1);
    assert_eq!(net.explain(BEA).await.steps[0].source, FactSource::Dns);
    net.dns.is_down(true);
    net.advance(300 + 86_400);
    assert!(is_temporary(&net.route(BEA).await));
}

#[tokio::test]
async fn stale_numbers_are_used_only_where_configured() {
    for configured in [true, false] {
        let net = Net::with(|config| config.apexes[0].stale_naptr = configured).await;
        net.dns.alice();
        net.route(NUMBER).await;
        net.advance(3600);
        net.dns.is_down(true);
        let routed = net.route(NUMBER).await;
        assert_eq!(routed.plan.is_ok(), configured, "{routed:?}");
    }
}

#[tokio::test]
async fn name_in_use_is_refreshed_before_it_dies() {
    let net = Net::with(|config| config.cache.refresh_percent = 20).await;
    net.dns.alice();
    net.dns.naptr(
        ENUM,
        vec![naptr(100, 1, 1, "u", "E2U+im", "!^.*$!im:alice@op.example!")],
    );
    net.route(NUMBER).await;
    net.advance(79);
    net.route(NUMBER).await;
    settle(&net, 1).await;
    net.advance(1);
    net.route(NUMBER).await;
    settle(&net, 2).await;
    net.advance(21);
    let address: WvAddress = NUMBER.parse().unwrap();
    let routed = net.router.cached(&address, RouteService::Im, net.now());
    assert!(
        routed.is_some(),
        "past the first answer's life without waiting for DNS"
    );
    assert_eq!(net.router.stats().refreshed, 1);
}

/// Waits until the number was asked for so often and the answer is kept.
async fn settle(net: &Net, times: usize) {
    let filter = CacheFilter {
        kind: Some(EntryKind::Naptr),
        ..CacheFilter::default()
    };
    let waiting = async {
        while net.dns.asked(ENUM, RecordType::NAPTR) != times
            || net
                .router
                .cache_entries(filter.clone(), 1, net.now())
                .await
                .is_empty()
        {
            tokio::task::yield_now().await;
        }
        // The refresher's own last steps follow its answer.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), waiting)
        .await
        .expect("the refresh comes");
}

#[tokio::test]
async fn refresh_that_fails_leaves_what_is_there() {
    let net = Net::with(|config| config.cache.refresh_percent = 50).await;
    net.dns.alice();
    net.route(NUMBER).await;
    net.advance(2000);
    net.dns.is_down(true);
    for _ in 0..50 {
        assert_eq!(net.servers(NUMBER).await, ["a.op.example:8443"]);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn refresh_that_fails_leaves_an_absence_that_holds() {
    let net = Net::with(|config| config.cache.refresh_percent = 20).await;
    net.dns
        .say(ENUM, RecordType::NAPTR, Reply::NxDomain(Some((100, 100))));
    assert!(is_absent(&net.route(NUMBER).await));
    net.advance(85);
    net.dns.is_down(true);
    net.route(NUMBER).await;
    // The one server is tried twice.
    settle(&net, 3).await;
    let routed = net.route(NUMBER).await;
    assert!(is_absent(&routed), "{routed:?}");
    net.advance(15);
    assert!(is_temporary(&net.route(NUMBER).await));
}

#[tokio::test]
async fn one_family_that_cannot_be_asked_for_does_not_throw_the_plan_away() {
    let net = Net::new().await;
    net.dns.ssp("op.example");
    net.dns.say("a.op.example.", RecordType::AAAA, Reply::Rcode(2));
    net.route(BEA).await;
    let queries = net.dns.asked_in_all();
    net.advance(299);
    assert_eq!(net.servers(BEA).await, ["a.op.example:8443"]);
    assert_eq!(net.dns.asked_in_all(), queries);
}

#[tokio::test]
async fn reload_keeps_answers_and_decides_anew() {
    let net = Net::new().await;
    net.dns.alice();
    assert_eq!(serving(&net.route(NUMBER).await), "op.example");
    let queries = net.dns.asked_in_all();
    let mut config = super::config(net.dns.address);
    config.apexes[0].domains = vec!["other.example".parse().unwrap()];
    net.router.reload(config, vec![]);
    assert!(is_absent(&net.route(NUMBER).await));
    net.router.reload(super::config(net.dns.address), vec![]);
    assert_eq!(serving(&net.route(NUMBER).await), "op.example");
    assert_eq!(net.dns.asked_in_all(), queries);
}

#[tokio::test]
async fn view_that_is_gone_fails_and_comes_back() {
    let net = Net::new().await;
    let mut config = super::config(net.dns.address);
    config.views[0].name = "other".into();
    config.apexes[0].view = "other".into();
    net.dns.alice();
    net.route(NUMBER).await;
    net.router.reload(config, vec![]);
    assert_eq!(serving(&net.route(NUMBER).await), "op.example");
    assert_eq!(
        net.dns.asked(ENUM, RecordType::NAPTR),
        2,
        "another view has its own answers"
    );
}

#[tokio::test]
async fn entries_are_listed_by_number_domain_and_state_and_flushed() {
    let net = Net::new().await;
    net.dns.alice();
    net.route(NUMBER).await;
    net.route("wv:+12025550123").await;
    let of = |filter: CacheFilter| net.router.cache_entries(filter, 100, net.now());
    let number = of(CacheFilter {
        prefix: Some("+4477".parse().unwrap()),
        ..CacheFilter::default()
    })
    .await;
    let kinds: Vec<_> = number.iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [EntryKind::Number, EntryKind::Naptr]);
    assert_eq!(number[0].records, ["served by op.example"]);
    assert_eq!(number[1].view.as_deref(), Some("ipx"));
    assert_eq!(number[1].ttl, Duration::from_secs(3600));
    assert!(
        number[1].records[0].contains("!^.*$!im:alice@op.example!"),
        "{:?}",
        number[1].records
    );
    let negative = of(CacheFilter {
        state: Some(EntryState::Negative),
        kind: Some(EntryKind::Number),
        ..CacheFilter::default()
    })
    .await;
    assert_eq!(negative.len(), 1);
    assert_eq!(negative[0].name, "+12025550123");
    let domain = CacheFilter {
        domain: Some("op.example".parse().unwrap()),
        ..CacheFilter::default()
    };
    assert_eq!(
        net.router.flush_cache(domain.clone(), net.now()).await,
        5,
        "number, domain, SRV, A, AAAA"
    );
    assert!(of(domain).await.is_empty());
    net.route(NUMBER).await;
    assert_eq!(net.dns.asked(SSP, RecordType::SRV), 2);
    assert_eq!(net.dns.asked(ENUM, RecordType::NAPTR), 1);
}

#[tokio::test]
async fn listing_keeps_to_its_limit_and_is_serialised() {
    let net = Net::new().await;
    net.dns.alice();
    net.route(NUMBER).await;
    let entries = net
        .router
        .cache_entries(CacheFilter::default(), 2, net.now())
        .await;
    assert_eq!(entries.len(), 2);
    let json = serde_json::to_value(&entries[0]).unwrap();
    assert_eq!(json["kind"], "number");
    assert_eq!(json["ttl"], 3600);
}

#[tokio::test]
async fn facts_stay_within_their_bound() {
    let net = Net::with(|config| config.cache.facts = crate::model::ByteSize::kib(64)).await;
    for n in 0..500 {
        net.route(&format!("wv:+4477009{n:05}")).await;
    }
    let mut octets = u64::MAX;
    for _ in 0..1000 {
        octets = net.router.stats().fact_octets;
        if octets <= 64 * 1024 {
            break;
        }
        net.route(NUMBER).await;
    }
    assert!(octets <= 64 * 1024, "{octets}");
}

#[tokio::test]
async fn plans_of_a_hostile_wildcard_stay_within_their_bound() {
    let net = Net::with(|config| config.cache.routes = crate::model::ByteSize::mib(1)).await;
    let hosts: Vec<String> = (0..16).map(|n| format!("h{n}.evil.example.")).collect();
    for host in &hosts {
        let many = (0..200).map(|n| a(86_400, [192, 0, 2, n])).collect();
        net.dns.say(host, RecordType::A, Reply::Truncated(many));
    }
    for n in 0..100 {
        let set = hosts.iter().map(|host| srv(86_400, 1, 1, 8443, host)).collect();
        net.dns.srv(&format!("_imps-server._tcp.d{n}.evil.example."), set);
        let enum_name = format!("{}.{}.0.0.9.0.0.7.7.4.4.e164.arpa.", n % 10, n / 10);
        let regexp = format!("!^(.*)$!im:\\1@d{n}.evil.example!");
        net.dns
            .naptr(&enum_name, vec![naptr(86_400, 1, 1, "u", "E2U+im", &regexp)]);
    }
    for n in 0..100 {
        let routed = net.route(&format!("wv:+447700900{}{}", n / 10, n % 10)).await;
        let Ok(Plan::Domain { candidates, .. }) = routed.plan.as_deref() else {
            panic!("{routed:?}")
        };
        assert_eq!(candidates.len(), 16);
        assert!(
            candidates.iter().all(|one| one.addresses.len() <= 16),
            "{candidates:?}"
        );
    }
    let stats = net.router.stats();
    assert!(stats.route_octets <= 1024 * 1024, "{stats:?}");
    assert!(stats.domains < 100, "some were pushed out: {stats:?}");
    let kept = net.router.shared.routes.numbers();
    let plans = kept.filter(|(_, entry)| entry.target.slot().is_some_and(|slot| slot.last().is_some()));
    assert!(
        plans.count() as u64 <= stats.domains,
        "a number does not hold on to a plan that was pushed out"
    );
    let address = "wv:+44770090000";
    assert_eq!(
        servers(&net.route(address).await).len(),
        16,
        "it is decided again"
    );
}

#[tokio::test]
async fn number_means_one_number_and_a_prefix_all_that_begin_so() {
    let net = Net::with(|config| config.apexes[0].infrastructure_position = Some(2)).await;
    let infrastructure = "3.2.1.0.0.9.0.0.7.7.i.4.4.e164.arpa.";
    let record = naptr(3600, 1, 1, "u", "E2U+im", "!^(.*)$!im:\\1@op.example!");
    net.dns.naptr(infrastructure, vec![record]);
    net.dns.ssp("op.example");
    net.route(NUMBER).await;
    net.route("wv:+4477009001234").await;
    let about = |number: &str| CacheFilter {
        number: Some(number.parse().unwrap()),
        ..CacheFilter::default()
    };
    let listed = net
        .router
        .cache_entries(about("+447700900123"), 100, net.now())
        .await;
    let names: Vec<_> = listed.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["+447700900123", "3.2.1.0.0.9.0.0.7.7.i.4.4.e164.arpa"]);
    assert_eq!(net.router.flush_cache(about("+44770090012"), net.now()).await, 0);
    assert_eq!(net.router.flush_cache(about("+447700900123"), net.now()).await, 2);
    let longer = net
        .router
        .cache_entries(about("+4477009001234"), 100, net.now())
        .await;
    assert_eq!(longer.len(), 2, "{longer:?}");
    let prefix = CacheFilter {
        prefix: Some("+44770090012".parse().unwrap()),
        ..CacheFilter::default()
    };
    assert_eq!(net.router.flush_cache(prefix, net.now()).await, 2);
}
