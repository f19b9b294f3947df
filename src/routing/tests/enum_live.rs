//! ENUM and SRV routing §18.3: what DNS says of a number, D1 to D12, and the flag that must not spoil an answer (E23).

use super::{
    super::{OnFailure, RouteService, Trust},
    ENUM, NUMBER, Net, apex,
    dns::{Dns, Reply, cname, naptr, non_terminal},
    is_absent, is_temporary, servers, serving, view,
};
use crate::wire::naptr::RecordType;

const CARRIER: &str = "3.2.1.0.0.9.0.0.7.7.4.4.e164enum.net.";

fn im(domain: &str) -> Vec<super::dns::Rr> {
    vec![naptr(
        3600,
        100,
        10,
        "u",
        "E2U+im",
        &format!("!^.*$!im:\\+447700900123@{domain}!").replace("\\+", "+"),
    )]
}

/// A carrier apex before the public one, both at one server.
async fn two_apexes(first: Trust) -> Net {
    Net::with(|config| {
        config.apexes = vec![
            apex("e164enum.net", "ipx", first),
            apex("e164.arpa", "ipx", Trust::Public),
        ];
    })
    .await
}

#[tokio::test]
async fn d1_nxdomain_is_absent_for_the_smaller_soa_time() {
    let net = Net::new().await;
    net.dns
        .say(ENUM, RecordType::NAPTR, Reply::NxDomain(Some((600, 300))));
    assert!(is_absent(&net.route(NUMBER).await));
    net.advance(299);
    assert!(is_absent(&net.route(NUMBER).await));
    assert_eq!(net.dns.asked(ENUM, RecordType::NAPTR), 1);
    net.advance(1);
    assert!(is_absent(&net.route(NUMBER).await));
    assert_eq!(net.dns.asked(ENUM, RecordType::NAPTR), 2);
}

#[tokio::test]
async fn d2_nodata_is_absent_and_leaves_other_types_alone() {
    let net = Net::new().await;
    net.dns.srv(
        "_imps-server._tcp.op.example.",
        vec![super::dns::srv(60, 1, 1, 8443, "a.op.example.")],
    );
    net.dns.a("a.op.example.");
    net.dns
        .say("a.op.example.", RecordType::AAAA, Reply::NoData(Some((60, 60))));
    net.dns
        .say(ENUM, RecordType::NAPTR, Reply::NoData(Some((60, 60))));
    assert!(is_absent(&net.route(NUMBER).await));
    assert_eq!(net.servers("wv:bea@op.example").await, ["a.op.example:8443"]);
}

#[tokio::test]
async fn d3_nxdomain_without_soa_is_not_kept() {
    let net = Net::new().await;
    net.dns.say(ENUM, RecordType::NAPTR, Reply::NxDomain(None));
    assert!(is_absent(&net.route(NUMBER).await));
    assert!(is_absent(&net.route(NUMBER).await));
    assert_eq!(net.dns.asked(ENUM, RecordType::NAPTR), 2);
}

#[tokio::test]
async fn d4_after_servfail_the_next_apex_is_used() {
    let net = two_apexes(Trust::Public).await;
    net.dns.say(CARRIER, RecordType::NAPTR, Reply::Rcode(2));
    net.dns.alice();
    assert_eq!(net.servers(NUMBER).await, ["a.op.example:8443"]);
    assert_eq!(net.route(NUMBER).await.user.to_string(), "wv:alice@op.example");
}

#[tokio::test]
async fn d5_servfail_and_nxdomain_is_temporary() {
    let net = two_apexes(Trust::Public).await;
    net.dns.say(CARRIER, RecordType::NAPTR, Reply::Rcode(2));
    assert!(is_temporary(&net.route(NUMBER).await));
}

#[tokio::test]
async fn failed_private_apex_does_not_fall_through_to_a_public_one() {
    let net = two_apexes(Trust::Private).await;
    net.dns.say(CARRIER, RecordType::NAPTR, Reply::Rcode(2));
    net.dns.alice();
    assert!(is_temporary(&net.route(NUMBER).await));
    assert_eq!(net.dns.asked(ENUM, RecordType::NAPTR), 0);
}

#[tokio::test]
async fn failed_private_apex_falls_through_where_configured() {
    let net = Net::with(|config| {
        let mut first = apex("e164enum.net", "ipx", Trust::Private);
        first.on_failure = Some(OnFailure::Next);
        config.apexes = vec![first, apex("e164.arpa", "ipx", Trust::Public)];
    })
    .await;
    net.dns.say(CARRIER, RecordType::NAPTR, Reply::Rcode(2));
    net.dns.alice();
    assert_eq!(serving(&net.route(NUMBER).await), "op.example");
}

#[tokio::test]
async fn on_failure_stop_asks_nobody_else() {
    let net = Net::with(|config| {
        let mut first = apex("e164enum.net", "ipx", Trust::Public);
        first.on_failure = Some(OnFailure::Stop);
        config.apexes = vec![first, apex("e164.arpa", "ipx", Trust::Public)];
    })
    .await;
    net.dns.say(CARRIER, RecordType::NAPTR, Reply::Rcode(5));
    net.dns.alice();
    assert!(is_temporary(&net.route(NUMBER).await));
}

#[tokio::test]
async fn d6_truncated_answer_is_asked_for_over_tcp() {
    let net = Net::new().await;
    net.dns.alice();
    let mut records = vec![naptr(60, 10, 10, "u", "E2U+h323", "!^.*$!h323:x@x.example!")];
    records.push(naptr(60, 20, 10, "u", "E2U+im", "!^.*$!im:alice@op.example!"));
    net.dns.say(ENUM, RecordType::NAPTR, Reply::Truncated(records));
    assert_eq!(net.servers(NUMBER).await, ["a.op.example:8443"]);
    assert_eq!(net.dns.transports()[..2], ["udp", "tcp"]);
}

#[tokio::test]
async fn d7_alias_at_the_number_is_followed_into_another_tree() {
    let net = Net::new().await;
    net.dns.alice();
    net.dns.say(
        ENUM,
        RecordType::NAPTR,
        Reply::Records(vec![cname(60, "n1.other.example.")]),
    );
    net.dns.naptr("n1.other.example.", im("op.example"));
    let routed = net.explain(NUMBER).await;
    assert_eq!(servers(&routed), ["a.op.example:8443"]);
    assert!(
        routed.steps[0].answer[0].contains("alias"),
        "{:?}",
        routed.steps[0]
    );
    net.advance(60);
    net.route(NUMBER).await;
    assert_eq!(
        net.dns.asked(ENUM, RecordType::NAPTR),
        2,
        "the alias's shorter TTL counts"
    );
}

#[tokio::test]
async fn d8_alias_loop_is_temporary_and_ends() {
    let net = Net::new().await;
    net.dns.say(
        ENUM,
        RecordType::NAPTR,
        Reply::Records(vec![cname(60, "b.example.")]),
    );
    net.dns.say(
        "b.example.",
        RecordType::NAPTR,
        Reply::Records(vec![cname(60, ENUM)]),
    );
    assert!(is_temporary(&net.route(NUMBER).await));
    assert!(net.dns.asked_in_all() <= 3, "{}", net.dns.asked_in_all());
}

#[tokio::test]
async fn d8_endless_alias_chain_ends_after_eight() {
    let net = Net::new().await;
    net.dns.say(
        ENUM,
        RecordType::NAPTR,
        Reply::Records(vec![cname(60, "n0.example.")]),
    );
    for n in 0..20 {
        let next = format!("n{}.example.", n + 1);
        net.dns.say(
            &format!("n{n}.example."),
            RecordType::NAPTR,
            Reply::Records(vec![cname(60, &next)]),
        );
    }
    assert!(is_temporary(&net.route(NUMBER).await));
    assert!(net.dns.asked_in_all() <= 9, "{}", net.dns.asked_in_all());
}

#[tokio::test]
async fn d9_wildcard_answer_is_kept_under_the_asked_name_only() {
    let net = Net::new().await;
    net.dns.alice();
    let other = "4.2.1.0.0.9.0.0.7.7.4.4.e164.arpa.";
    net.dns.naptr(other, im("op.example"));
    net.route(NUMBER).await;
    net.route("wv:+447700900124").await;
    assert_eq!(net.dns.asked(other, RecordType::NAPTR), 1);
    assert_eq!(
        net.dns.asked("_imps-server._tcp.op.example.", RecordType::SRV),
        1,
        "one plan for both"
    );
}

#[tokio::test]
async fn d10_service_that_an_apex_lacks_comes_from_the_next() {
    let net = two_apexes(Trust::Private).await;
    net.dns.naptr(
        CARRIER,
        vec![naptr(
            60,
            10,
            10,
            "u",
            "E2U+pres",
            "!^.*$!pres:p@carrier.example!",
        )],
    );
    net.dns.alice();
    net.dns.ssp("carrier.example");
    assert_eq!(serving(&net.route(NUMBER).await), "op.example");
    assert_eq!(
        serving(&net.route_for(NUMBER, RouteService::Pres).await),
        "carrier.example"
    );
}

#[tokio::test]
async fn presence_goes_where_messages_go_when_no_apex_has_pres() {
    let net = two_apexes(Trust::Private).await;
    net.dns.alice();
    assert_eq!(
        serving(&net.route_for(NUMBER, RouteService::Pres).await),
        "op.example"
    );
}

#[tokio::test]
async fn d11_ttl_zero_is_used_once() {
    let net = Net::new().await;
    net.dns.alice();
    net.dns.naptr(
        ENUM,
        vec![naptr(0, 100, 10, "u", "E2U+im", "!^.*$!im:alice@op.example!")],
    );
    for times in 1..=3 {
        assert_eq!(net.servers(NUMBER).await, ["a.op.example:8443"]);
        assert_eq!(net.dns.asked(ENUM, RecordType::NAPTR), times);
    }
    assert_eq!(net.dns.asked("_imps-server._tcp.op.example.", RecordType::SRV), 1);
}

#[tokio::test]
async fn d12_ttl_with_the_top_bit_is_long_and_capped() {
    let net = Net::new().await;
    net.dns.alice();
    net.dns.naptr(
        ENUM,
        vec![naptr(
            0x8000_0001,
            1,
            1,
            "u",
            "E2U+im",
            "!^.*$!im:alice@op.example!",
        )],
    );
    net.route(NUMBER).await;
    net.advance(3599);
    net.route(NUMBER).await;
    assert_eq!(net.dns.asked(ENUM, RecordType::NAPTR), 1);
    net.advance(1);
    net.route(NUMBER).await;
    assert_eq!(
        net.dns.asked(ENUM, RecordType::NAPTR),
        2,
        "one hour at most, because numbers are ported"
    );
}

#[tokio::test]
async fn e23_strange_flag_does_not_spoil_its_neighbours() {
    let net = Net::new().await;
    net.dns.alice();
    let records = vec![
        naptr(60, 10, 10, "-", "E2U+im", "!^.*$!im:mallory@x.example!"),
        naptr(60, 20, 10, "u", "E2U+im", "!^.*$!im:alice@op.example!"),
    ];
    net.dns.naptr(ENUM, records);
    let routed = net.explain(NUMBER).await;
    assert_eq!(serving(&routed), "op.example");
    assert_eq!(routed.steps[0].passed_over.len(), 1, "{:#?}", routed.steps[0]);
}

#[tokio::test]
async fn l1_non_terminal_is_followed() {
    let net = Net::new().await;
    net.dns.alice();
    net.dns.naptr(ENUM, vec![non_terminal(60, 10, "x.op.example.")]);
    net.dns.naptr("x.op.example.", im("op.example"));
    assert_eq!(net.servers(NUMBER).await, ["a.op.example:8443"]);
}

#[tokio::test]
async fn each_view_has_its_own_resolvers_and_answers() {
    let public = Dns::start().await;
    let address = public.address;
    let net = Net::with(|config| {
        config.views.push(view("internet", address));
        config.views[1].domains = vec!["pub.example".parse().unwrap()];
        config.apexes.push(apex("e164.arpa", "internet", Trust::Public));
    })
    .await;
    public.naptr(ENUM, im("pub.example"));
    public.ssp("pub.example");
    assert_eq!(net.servers(NUMBER).await, ["a.pub.example:8443"]);
    assert_eq!(net.dns.asked(ENUM, RecordType::NAPTR), 1);
    assert_eq!(public.asked(ENUM, RecordType::NAPTR), 1);
    assert_eq!(
        net.dns.asked("_imps-server._tcp.pub.example.", RecordType::SRV),
        0
    );
}
