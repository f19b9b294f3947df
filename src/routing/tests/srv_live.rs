//! ENUM and SRV routing §18.4 and §18.5: what DNS says of a domain, S8 to S17, and whole paths, P1 to P4.

use super::{
    super::{GatewayConfig, Plan, RouteFailure, RouteService, Transport},
    ENUM, NUMBER, Net, SSP,
    dns::{Reply, a, cname, naptr, service, srv},
    is_absent, is_temporary, protocol, servers, serving,
};
use crate::{model::Protocol, wire::naptr::RecordType};

const BEA: &str = "wv:bea@op.example";
const XMPP: &str = "_xmpp-server._tcp.op.example.";

async fn with_xmpp() -> Net {
    Net::with(|config| config.ladder.xmpp = true).await
}

#[tokio::test]
async fn s6_sole_root_target_means_absent_without_asking_for_an_address() {
    let net = with_xmpp().await;
    net.dns.srv(SSP, vec![srv(60, 0, 0, 0, ".")]);
    net.dns.srv(XMPP, vec![srv(60, 5, 0, 5269, "x.op.example.")]);
    net.dns.a("x.op.example.");
    assert_eq!(protocol(&net.route(BEA).await), Protocol::Xmpp);
    assert_eq!(net.dns.asked(".", RecordType::A), 0);
}

#[tokio::test]
async fn s8_alias_target_is_used_with_a_warning() {
    let net = Net::new().await;
    net.dns.ssp("op.example");
    let answer = vec![
        cname(60, "h.cloud.example."),
        a(60, [192, 0, 2, 9]).at("h.cloud.example."),
    ];
    net.dns
        .say("a.op.example.", RecordType::A, Reply::Records(answer));
    let routed = net.explain(BEA).await;
    assert_eq!(servers(&routed), ["a.op.example:8443"]);
    let warnings: Vec<_> = routed.steps.iter().flat_map(|step| &step.passed_over).collect();
    assert!(warnings.iter().any(|line| line.contains("alias")), "{warnings:?}");
}

#[tokio::test]
async fn s9_target_without_an_address_is_skipped() {
    let net = Net::new().await;
    net.dns.srv(
        SSP,
        vec![
            srv(60, 1, 0, 8443, "gone.op.example."),
            srv(60, 2, 0, 8443, "a.op.example."),
        ],
    );
    net.dns.a("a.op.example.");
    assert_eq!(net.servers(BEA).await, ["a.op.example:8443"]);
}

#[tokio::test]
async fn target_whose_address_failed_stays_a_candidate() {
    let net = Net::new().await;
    net.dns.srv(
        SSP,
        vec![
            srv(60, 1, 0, 8443, "b.op.example."),
            srv(60, 2, 0, 8443, "a.op.example."),
        ],
    );
    net.dns.a("a.op.example.");
    net.dns.say("b.op.example.", RecordType::A, Reply::Rcode(2));
    assert_eq!(net.servers(BEA).await, ["b.op.example:8443", "a.op.example:8443"]);
}

#[tokio::test]
async fn domain_whose_servers_have_no_address_is_not_sent_by_another_road() {
    let net = with_xmpp().await;
    net.dns.srv(SSP, vec![srv(60, 1, 0, 8443, "gone.op.example.")]);
    net.dns.srv(XMPP, vec![srv(60, 5, 0, 5269, "x.op.example.")]);
    net.dns.a("x.op.example.");
    assert!(is_temporary(&net.route(BEA).await));
}

#[tokio::test]
async fn s10_all_servers_stay_listed_and_a_failed_one_comes_last() {
    let net = Net::new().await;
    net.dns.srv(
        SSP,
        vec![
            srv(60, 1, 0, 8443, "a.op.example."),
            srv(60, 1, 0, 8443, "b.op.example."),
        ],
    );
    net.dns.a("a.op.example.");
    net.dns.a("b.op.example.");
    let routed = net.route(BEA).await;
    let Ok(Plan::Domain { candidates, .. }) = routed.plan.as_deref() else {
        panic!()
    };
    let health = net.router.health();
    health.report(&candidates[0].host_address(), false, net.now());
    for seed in 0..20 {
        let mut draws = fastrand::Rng::with_seed(seed);
        let order = health.order(candidates, &mut |n| draws.u32(0..=n), net.now());
        assert_eq!(order.len(), 2);
        assert_eq!(order[1], candidates[0]);
    }
}

#[tokio::test]
async fn s11_ssp_has_no_default_port() {
    let net = Net::new().await;
    net.dns.a("op.example.");
    assert!(is_absent(&net.route(BEA).await));
    assert_eq!(net.dns.asked("op.example.", RecordType::A), 0);
}

#[tokio::test]
async fn ssp_port_of_the_configuration_reaches_a_domain_without_srv() {
    let net = Net::with(|config| config.ladder.ssp_port = Some(8443)).await;
    net.dns.a("op.example.");
    assert_eq!(net.servers(BEA).await, ["op.example:8443"]);
}

#[tokio::test]
async fn s12_without_ssp_comes_xmpp() {
    let net = with_xmpp().await;
    net.dns.srv(XMPP, vec![srv(60, 5, 0, 5269, "x.op.example.")]);
    net.dns.a("x.op.example.");
    assert_eq!(protocol(&net.route(BEA).await), Protocol::Xmpp);
}

#[tokio::test]
async fn protocol_that_is_off_is_not_asked_for() {
    let net = Net::new().await;
    net.dns.srv(XMPP, vec![srv(60, 5, 0, 5269, "x.op.example.")]);
    assert!(is_absent(&net.route(BEA).await));
    assert_eq!(net.dns.asked(XMPP, RecordType::SRV), 0);
}

#[tokio::test]
async fn s13_without_any_srv_addresses_serve_only_by_policy() {
    let off = Net::with(|config| {
        config.ladder.sip = true;
        config.ladder.xmpp = true;
    })
    .await;
    off.dns.a("op.example.");
    assert!(is_absent(&off.route(BEA).await));
    let sip = Net::with(|config| {
        config.ladder.sip = true;
        config.ladder.xmpp = true;
        config.ladder.sip_address_fallback = true;
        config.ladder.xmpp_address_fallback = true;
    })
    .await;
    sip.dns.a("op.example.");
    assert_eq!(sip.servers(BEA).await, ["op.example:5060"]);
    let xmpp = Net::with(|config| {
        config.ladder.xmpp = true;
        config.ladder.xmpp_address_fallback = true;
    })
    .await;
    xmpp.dns.a("op.example.");
    assert_eq!(xmpp.servers(BEA).await, ["op.example:5269"]);
}

#[tokio::test]
async fn declined_xmpp_does_not_fall_back_to_the_address() {
    let net = Net::with(|config| {
        config.ladder.xmpp = true;
        config.ladder.xmpp_address_fallback = true;
    })
    .await;
    net.dns.srv(XMPP, vec![srv(60, 0, 0, 0, ".")]);
    net.dns.a("op.example.");
    assert!(is_absent(&net.route(BEA).await));
}

#[tokio::test]
async fn sip_uri_host_of_rfc_5509_is_resolved_in_turn() {
    let net = Net::with(|config| config.ladder.sip = true).await;
    net.dns.srv(
        "_im._sip.op.example.",
        vec![srv(60, 1, 1, 5060, "sip.op.example.")],
    );
    net.dns.srv(
        "_sips._tcp.sip.op.example.",
        vec![srv(60, 1, 1, 5061, "p1.op.example.")],
    );
    net.dns.a("p1.op.example.");
    let routed = net.route(BEA).await;
    assert_eq!(servers(&routed), ["p1.op.example:5061"]);
    let Ok(Plan::Domain {
        candidates, domain, ..
    }) = routed.plan.as_deref()
    else {
        panic!()
    };
    assert_eq!(candidates[0].transport, Transport::Tls);
    assert_eq!(domain.as_str(), "op.example");
}

#[tokio::test]
async fn every_sip_uri_host_counts_with_its_weight() {
    let net = Net::with(|config| config.ladder.sip = true).await;
    net.dns.srv(
        "_im._sip.op.example.",
        vec![
            srv(60, 2, 1, 5060, "spare.op.example."),
            srv(60, 1, 3, 5060, "east.op.example."),
            srv(60, 1, 1, 5060, "west.op.example."),
        ],
    );
    for host in ["east", "west"] {
        let name = format!("_sip._tcp.{host}.op.example.");
        let proxy = format!("p.{host}.op.example.");
        net.dns.srv(&name, vec![srv(60, 7, 100, 5060, &proxy)]);
        net.dns.a(&proxy);
    }
    net.dns.a("spare.op.example.");
    let routed = net.route(BEA).await;
    let Ok(Plan::Domain { candidates, .. }) = routed.plan.as_deref() else {
        panic!("{routed:?}")
    };
    let mut shown: Vec<_> = candidates
        .iter()
        .map(|one| (one.priority, one.host_address().to_string()))
        .collect();
    shown.sort();
    let expected = [
        (0, "p.east.op.example:5060"),
        (0, "p.west.op.example:5060"),
        (1, "spare.op.example:5060"),
    ];
    assert_eq!(shown, expected.map(|(place, server)| (place, server.to_owned())));
    let weight = |host: &str| {
        candidates
            .iter()
            .find(|one| one.host.contains(host))
            .unwrap()
            .weight
    };
    assert!(
        u32::from(weight("west")) * 3 <= u32::from(weight("east")) + 3,
        "{candidates:?}"
    );
}

#[tokio::test]
async fn sip_uri_host_without_servers_is_not_left_for_xmpp() {
    let net = Net::with(|config| {
        config.ladder.sip = true;
        config.ladder.xmpp = true;
    })
    .await;
    net.dns.srv(
        "_im._sip.op.example.",
        vec![srv(60, 1, 1, 5060, "sip.op.example.")],
    );
    net.dns.srv(XMPP, vec![srv(60, 5, 0, 5269, "x.op.example.")]);
    net.dns.a("x.op.example.");
    assert!(is_temporary(&net.route(BEA).await));
}

#[tokio::test]
async fn failed_lookup_does_not_lead_to_a_worse_transport() {
    let net = Net::with(|config| {
        config.ladder.sip = true;
        config.ladder.xmpp = true;
    })
    .await;
    net.dns.a("p.op.example.");
    net.dns
        .say("_sips._tcp.op.example.", RecordType::SRV, Reply::Rcode(2));
    net.dns.srv(
        "_sip._udp.op.example.",
        vec![srv(60, 1, 1, 5060, "p.op.example.")],
    );
    assert!(is_temporary(&net.route(BEA).await));
    net.dns.a("p.three.example.");
    net.dns.srv(
        "_sips._tcp.three.example.",
        vec![srv(60, 1, 1, 5061, "p.three.example.")],
    );
    net.dns
        .say("_sip._udp.three.example.", RecordType::SRV, Reply::Rcode(2));
    assert_eq!(
        net.servers("wv:x@three.example").await,
        ["p.three.example:5061"],
        "the better one is enough"
    );
    net.dns.a("p.two.example.");
    net.dns.say(
        "_xmpps-server._tcp.two.example.",
        RecordType::SRV,
        Reply::Rcode(2),
    );
    net.dns.srv(
        "_xmpp-server._tcp.two.example.",
        vec![srv(60, 1, 1, 5269, "p.two.example.")],
    );
    assert!(is_temporary(&net.route("wv:x@two.example").await));
}

#[tokio::test]
async fn naptr_records_choose_the_transports_of_sip() {
    let net = Net::with(|config| config.ladder.sip = true).await;
    net.dns.naptr(
        "op.example.",
        vec![
            service(20, "SIP+D2U", "_sip._udp.elsewhere.example."),
            service(10, "SIPS+D2T", "_sips._tcp.elsewhere.example."),
        ],
    );
    for (name, host) in [
        ("_sips._tcp.elsewhere.example.", "tls.elsewhere.example."),
        ("_sip._udp.elsewhere.example.", "udp.elsewhere.example."),
        ("_sip._tcp.op.example.", "unasked.op.example."),
    ] {
        net.dns.srv(name, vec![srv(60, 1, 1, 5060, host)]);
        net.dns.a(host);
    }
    let routed = net.route(BEA).await;
    let Ok(Plan::Domain { candidates, .. }) = routed.plan.as_deref() else {
        panic!("{routed:?}")
    };
    let mut found: Vec<_> = candidates
        .iter()
        .map(|one| (one.priority, &*one.host, one.transport))
        .collect();
    found.sort_by_key(|(priority, ..)| *priority);
    assert_eq!(
        found,
        [
            (0, "tls.elsewhere.example", Transport::Tls),
            (1, "udp.elsewhere.example", Transport::Udp)
        ]
    );
    assert_eq!(net.dns.asked("_sip._tcp.op.example.", RecordType::SRV), 0);
}

#[tokio::test]
async fn service_declined_over_sip_is_not_looked_for_in_other_sip_records() {
    let net = Net::with(|config| config.ladder.sip = true).await;
    net.dns.srv("_im._sip.op.example.", vec![srv(60, 0, 0, 0, ".")]);
    net.dns.srv(
        "_sip._tcp.op.example.",
        vec![srv(60, 1, 1, 5060, "p.op.example.")],
    );
    net.dns.a("p.op.example.");
    assert!(is_absent(&net.route(BEA).await));
}

#[tokio::test]
async fn one_port_over_two_transports_is_two_servers() {
    let net = Net::with(|config| config.ladder.sip = true).await;
    for label in ["_sip._tcp", "_sip._udp"] {
        net.dns.srv(
            &format!("{label}.op.example."),
            vec![srv(60, 1, 1, 5060, "p.op.example.")],
        );
    }
    net.dns.a("p.op.example.");
    let routed = net.route(BEA).await;
    let Ok(Plan::Domain { candidates, .. }) = routed.plan.as_deref() else {
        panic!()
    };
    let order = net.router.health().order(candidates, &mut |_| 0, net.now());
    let mut transports: Vec<_> = order.iter().map(|one| format!("{:?}", one.transport)).collect();
    transports.sort();
    assert_eq!(transports, ["Tcp", "Udp"]);
}

#[tokio::test]
async fn own_address_without_srv_is_a_loop_too() {
    let net = Net::with(|config| {
        config.ladder.ssp_port = Some(8443);
        config.own_hosts = vec!["op.example:8443".into()];
    })
    .await;
    net.dns.a("op.example.");
    let routed = net.route(BEA).await;
    assert!(
        matches!(&routed.plan, Err(RouteFailure::Unroutable(why)) if why.contains("loop")),
        "{routed:?}"
    );
}

#[tokio::test]
async fn s14_failed_ssp_lookup_is_temporary_and_not_xmpp() {
    let net = with_xmpp().await;
    net.dns.say(SSP, RecordType::SRV, Reply::Rcode(2));
    net.dns.srv(XMPP, vec![srv(60, 5, 0, 5269, "x.op.example.")]);
    net.dns.a("x.op.example.");
    assert!(is_temporary(&net.route(BEA).await));
    assert_eq!(net.dns.asked(XMPP, RecordType::SRV), 0);
}

#[tokio::test]
async fn s15_both_xmpp_sets_count_as_one() {
    let net = with_xmpp().await;
    net.dns.srv(
        "_xmpps-server._tcp.op.example.",
        vec![srv(60, 5, 0, 5270, "tls.op.example.")],
    );
    net.dns.srv(XMPP, vec![srv(60, 1, 0, 5269, "plain.op.example.")]);
    net.dns.a("tls.op.example.");
    net.dns.a("plain.op.example.");
    let routed = net.route(BEA).await;
    let Ok(Plan::Domain { candidates, .. }) = routed.plan.as_deref() else {
        panic!()
    };
    let order = net.router.health().order(candidates, &mut |_| 0, net.now());
    let order: Vec<_> = order.iter().map(|one| (&*one.host, one.transport)).collect();
    assert_eq!(
        order,
        [
            ("plain.op.example", Transport::Native),
            ("tls.op.example", Transport::Tls)
        ]
    );
}

#[tokio::test]
async fn s16_a_server_listed_twice_is_one_candidate() {
    let net = Net::new().await;
    net.dns.srv(
        SSP,
        vec![
            srv(60, 1, 0, 8443, "a.op.example."),
            srv(60, 2, 0, 8443, "A.op.example."),
        ],
    );
    net.dns.a("a.op.example.");
    assert_eq!(net.servers(BEA).await, ["a.op.example:8443"]);
}

#[tokio::test]
async fn s17_target_that_is_ourselves_is_a_loop() {
    let net = Net::with(|config| config.own_hosts = vec!["gw.alpha.example:8443".into()]).await;
    net.dns.srv(
        SSP,
        vec![
            srv(60, 1, 0, 8443, "gw.alpha.example."),
            srv(60, 2, 0, 9443, "gw.alpha.example."),
        ],
    );
    net.dns.a("gw.alpha.example.");
    assert_eq!(
        net.servers(BEA).await,
        ["gw.alpha.example:9443"],
        "another port is another server"
    );
    net.dns.srv(
        "_imps-server._tcp.loop.example.",
        vec![srv(60, 1, 0, 8443, "gw.alpha.example.")],
    );
    let routed = net.route("wv:x@loop.example").await;
    assert!(
        matches!(&routed.plan, Err(RouteFailure::Unroutable(why)) if why.contains("loop")),
        "{routed:?}"
    );
}

#[tokio::test]
async fn s17_another_name_for_our_own_address_is_a_loop_too() {
    let net = Net::with(|config| {
        config.own_addresses = vec!["192.0.2.9:8443".into(), "2001:db8::9".into()];
    })
    .await;
    let at = |name: &str, last| {
        net.dns.say(
            name,
            RecordType::A,
            Reply::Records(vec![a(60, [192, 0, 2, last])]),
        );
    };
    at("nick.op.example.", 9);
    at("b.op.example.", 2);
    net.dns.srv(
        SSP,
        vec![
            srv(60, 1, 0, 8443, "nick.op.example."),
            srv(60, 2, 0, 9443, "nick.op.example."),
            srv(60, 3, 0, 8443, "b.op.example."),
        ],
    );
    let routed = net.explain(BEA).await;
    assert_eq!(servers(&routed), ["nick.op.example:9443", "b.op.example:8443"]);
    let mut told = routed.steps.iter().flat_map(|step| &step.passed_over);
    assert!(
        told.any(|line| line.contains("this gateway itself")),
        "{routed:?}"
    );
    net.dns.srv(
        "_imps-server._tcp.loop.example.",
        vec![srv(60, 1, 0, 8443, "nick.op.example.")],
    );
    let routed = net.route("wv:x@loop.example").await;
    assert!(
        matches!(&routed.plan, Err(RouteFailure::Unroutable(why)) if why.contains("loop")),
        "{routed:?}"
    );
}

#[tokio::test]
async fn p1_number_to_servers() {
    let net = Net::new().await;
    net.dns.alice();
    let routed = net.route(NUMBER).await;
    assert_eq!(servers(&routed), ["a.op.example:8443"]);
    assert_eq!(protocol(&routed), Protocol::Ssp);
    assert_eq!(routed.user.to_string(), "wv:alice@op.example");
    assert!(routed.steps.is_empty());
    let Ok(Plan::Domain {
        candidates,
        valid_until,
        ..
    }) = routed.plan.as_deref()
    else {
        panic!()
    };
    assert_eq!(
        candidates[0].addresses[..],
        ["192.0.2.1".parse::<std::net::IpAddr>().unwrap()]
    );
    assert_eq!(*valid_until, net.now().plus(std::time::Duration::from_secs(300)));
}

#[tokio::test]
async fn p2_own_domain_is_delivered_at_home_without_srv() {
    let net = Net::new().await;
    net.dns.naptr(
        ENUM,
        vec![naptr(60, 1, 1, "u", "E2U+im", "!^.*$!im:ada@alpha.example!")],
    );
    let routed = net.route(NUMBER).await;
    assert!(
        matches!(routed.plan.as_deref(), Ok(Plan::Home { domain }) if domain.as_str() == "alpha.example")
    );
    assert_eq!(
        net.dns.asked("_imps-server._tcp.alpha.example.", RecordType::SRV),
        0
    );
}

#[tokio::test]
async fn p3_number_in_the_uri_is_not_looked_up_again() {
    let net = Net::new().await;
    net.dns.alice();
    net.dns.naptr(
        ENUM,
        vec![naptr(60, 1, 1, "u", "E2U+im", "!^(.*)$!im:\\1@op.example!")],
    );
    let routed = net.route(NUMBER).await;
    assert_eq!(routed.user.to_string(), "wv:+447700900123@op.example");
    assert_eq!(net.dns.asked(ENUM, RecordType::NAPTR), 1);
}

#[tokio::test]
async fn p4_same_order_gives_an_alternative_and_another_order_none() {
    let net = Net::new().await;
    net.dns.naptr(
        ENUM,
        vec![
            naptr(60, 10, 1, "u", "E2U+im", "!^.*$!im:a@op.example!"),
            naptr(60, 10, 2, "u", "E2U+im", "!^.*$!im:b@two.example!"),
            naptr(60, 20, 1, "u", "E2U+im", "!^.*$!im:c@three.example!"),
        ],
    );
    net.dns.ssp("op.example");
    net.dns.ssp("two.example");
    for _ in 0..2 {
        let routed = net.route(NUMBER).await;
        assert_eq!(serving(&routed), "op.example");
        let others = routed.alternatives.expect("one alternative");
        let others: Vec<_> = others.iter().map(|one| one.user.to_string()).collect();
        assert_eq!(others, ["wv:b@two.example"]);
    }
    let two = "two.example".parse().unwrap();
    let plan = net
        .router
        .route_domain(&two, RouteService::Im, net.now())
        .await
        .unwrap();
    assert!(matches!(&*plan, Plan::Domain { domain, .. } if *domain == two));
}

#[tokio::test]
async fn domain_that_speaks_nothing_gives_way_to_the_next_record() {
    let net = Net::new().await;
    net.dns.naptr(
        ENUM,
        vec![
            naptr(60, 10, 1, "u", "E2U+im", "!^.*$!im:a@mute.example!"),
            naptr(60, 10, 2, "u", "E2U+im", "!^.*$!im:b@op.example!"),
        ],
    );
    net.dns.ssp("op.example");
    let routed = net.route(NUMBER).await;
    assert_eq!(
        (serving(&routed).as_str(), routed.user.to_string().as_str()),
        ("op.example", "wv:b@op.example")
    );
}

#[tokio::test]
async fn next_record_goes_before_the_default_gateway() {
    let net = Net::with(|config| config.default_gateway.push(gateway("sms-hub"))).await;
    net.dns.naptr(
        ENUM,
        vec![
            naptr(3600, 10, 1, "u", "E2U+im", "!^.*$!im:a@mute.example!"),
            naptr(3600, 10, 2, "u", "E2U+im", "!^.*$!im:b@op.example!"),
            naptr(3600, 10, 3, "u", "E2U+im", "!^.*$!im:c@two.example!"),
        ],
    );
    net.dns.ssp("op.example");
    net.dns.ssp("two.example");
    for _ in 0..2 {
        assert_eq!(serving(&net.route(NUMBER).await), "op.example");
    }
    net.dns
        .say(SSP, RecordType::SRV, Reply::NxDomain(Some((300, 300))));
    net.advance(300);
    net.route(BEA).await;
    for _ in 0..2 {
        assert_eq!(serving(&net.route(NUMBER).await), "two.example");
    }
    net.dns.say(
        "_imps-server._tcp.two.example.",
        RecordType::SRV,
        Reply::NxDomain(Some((300, 300))),
    );
    net.advance(300);
    for _ in 0..2 {
        let routed = net.route(NUMBER).await;
        let is_gateway = matches!(routed.plan.as_deref(), Ok(Plan::Gateway { domain: Some(domain), .. }) if domain.as_str() == "mute.example");
        assert!(is_gateway, "nobody is left: {routed:?}");
    }
}

fn gateway(peer: &str) -> GatewayConfig {
    GatewayConfig {
        peer: peer.parse().unwrap(),
        service: None,
        prefix: None,
        domain: None,
    }
}

#[tokio::test]
async fn most_specific_default_gateway_goes_first_wherever_it_stands() {
    let net = Net::with(|config| {
        config.default_gateway = vec![
            gateway("rest"),
            GatewayConfig {
                service: Some(RouteService::Im),
                ..gateway("messages")
            },
            GatewayConfig {
                domain: Some("op.example".parse().unwrap()),
                ..gateway("operator")
            },
            GatewayConfig {
                domain: Some("sub.op.example".parse().unwrap()),
                ..gateway("branch")
            },
            GatewayConfig {
                prefix: Some("+44".into()),
                ..gateway("britain")
            },
            GatewayConfig {
                prefix: Some("+4477".into()),
                ..gateway("mobiles")
            },
        ];
    })
    .await;
    for (address, service, expected) in [
        (NUMBER, RouteService::Im, "mobiles"),
        ("wv:+441632960123", RouteService::Im, "britain"),
        ("wv:+12025550123", RouteService::Im, "messages"),
        ("wv:+12025550123", RouteService::Pres, "rest"),
        (BEA, RouteService::Pres, "operator"),
        ("wv:bea@x.sub.op.example", RouteService::Im, "branch"),
    ] {
        for _ in 0..2 {
            let routed = net.route_for(address, service).await;
            let Ok(Plan::Gateway { peer, .. }) = routed.plan.as_deref() else {
                panic!("{routed:?}")
            };
            assert_eq!(peer.as_str(), expected, "{address} {service:?}");
        }
    }
}

#[tokio::test]
async fn default_gateway_takes_what_is_absent_and_not_what_failed() {
    let gateway = |config: &mut super::super::RoutingConfig| {
        config.default_gateway.push(GatewayConfig {
            peer: "sms-hub".parse().unwrap(),
            service: Some(RouteService::Im),
            prefix: Some("+44".into()),
            domain: None,
        });
    };
    let net = Net::with(gateway).await;
    for _ in 0..2 {
        let routed = net.route(NUMBER).await;
        assert!(
            matches!(routed.plan.as_deref(), Ok(Plan::Gateway { peer, domain: None }) if peer.as_str() == "sms-hub")
        );
    }
    assert!(is_absent(&net.route("wv:+12025550123").await), "another prefix");
    let failing = Net::with(gateway).await;
    failing.dns.is_down(true);
    assert!(is_temporary(&failing.route(NUMBER).await));
}

#[tokio::test]
async fn dnssec_counts_only_where_the_way_to_the_resolver_is_trusted() {
    for trusted in [true, false] {
        let net = Net::with(|config| config.views[0].trust_ad = trusted).await;
        net.dns.ssp("op.example");
        net.dns.say(
            SSP,
            RecordType::SRV,
            Reply::Proven(vec![srv(60, 1, 1, 8443, "a.op.example.")]),
        );
        let routed = net.route(BEA).await;
        let Ok(Plan::Domain { candidates, .. }) = routed.plan.as_deref() else {
            panic!()
        };
        assert_eq!(candidates[0].secure, trusted);
    }
}
