//! The order of number portability: override, home account, ENUM, home range, the domain as written.

use super::{
    super::{
        Explain, Override, OverrideTarget, Plan, RangeConfig, RouteFailure, RouteService, Selector, Trust,
    },
    ENUM, NUMBER, Net, SSP, apex,
    dns::{Reply, naptr},
    domain, is_absent, is_temporary, servers, serving,
};
use crate::{
    model::{FactSource, Timestamp},
    wire::naptr::RecordType,
};

fn to(selector: Selector, target: &str) -> Override {
    Override {
        selector,
        to: OverrideTarget::Domain(domain(target)),
        reason: "ticket 4711".into(),
        until: None,
    }
}

fn number(prefix: &str) -> Selector {
    Selector::Number(prefix.parse().unwrap())
}

#[tokio::test]
async fn override_goes_before_everything_from_the_next_route_on() {
    let net = Net::new().await;
    net.dns.alice();
    net.dns.ssp("fix.example");
    net.dns.ssp("prefix.example");
    net.route(NUMBER).await;
    net.router.add_override(to(number("+4477"), "prefix.example"));
    assert_eq!(serving(&net.route(NUMBER).await), "prefix.example");
    net.router
        .add_override(to(number("+447700900123"), "fix.example"));
    for _ in 0..2 {
        let routed = net.route(NUMBER).await;
        assert_eq!(serving(&routed), "fix.example");
        assert_eq!(routed.user.to_string(), "wv:+447700900123@fix.example");
    }
    net.home.open("+447700900123", "alpha.example");
    assert_eq!(
        serving(&net.route(NUMBER).await),
        "fix.example",
        "before the account as well"
    );
    let step = net.explain(NUMBER).await.steps.remove(0);
    assert_eq!(
        (step.source, step.question.as_str()),
        (FactSource::Override, "override +447700900123")
    );
    assert!(step.answer[0].contains("ticket 4711"));
    assert_eq!(net.router.overrides().len(), 2);
    assert!(net.router.remove_override(&number("+447700900123")).is_some());
    assert_eq!(serving(&net.route(NUMBER).await), "prefix.example");
    net.router.load_overrides(Vec::new());
    assert_eq!(serving(&net.route(NUMBER).await), "alpha.example");
}

#[tokio::test]
async fn override_of_a_domain_holds_for_its_numbers_and_names() {
    let net = Net::new().await;
    net.dns.alice();
    net.dns.ssp("fix.example");
    net.route(NUMBER).await;
    net.router
        .add_override(to(Selector::Domain(domain("op.example")), "fix.example"));
    assert_eq!(servers(&net.route(NUMBER).await), ["a.fix.example:8443"]);
    assert_eq!(
        servers(&net.route("wv:bea@op.example").await),
        ["a.fix.example:8443"]
    );
    let peer = Override {
        to: OverrideTarget::Peer("hub".parse().unwrap()),
        ..to(Selector::Domain(domain("op.example")), "unused.example")
    };
    net.router.add_override(peer);
    let routed = net.route("wv:bea@op.example").await;
    assert!(matches!(routed.plan.as_deref(), Ok(Plan::Gateway { peer, .. }) if peer.as_str() == "hub"));
}

#[tokio::test]
async fn override_ends_by_itself() {
    let net = Net::new().await;
    net.dns.alice();
    net.dns.ssp("fix.example");
    let until = Some(net.now().plus(std::time::Duration::from_secs(60)));
    net.router.add_override(Override {
        until,
        ..to(number("+447700900123"), "fix.example")
    });
    assert_eq!(serving(&net.route(NUMBER).await), "fix.example");
    assert_eq!(net.router.overrides().len(), 1);
    net.advance(60);
    assert_eq!(serving(&net.route(NUMBER).await), "op.example");
    assert!(net.router.overrides().is_empty(), "it is not in force any more");
    net.router.add_override(to(number("+1"), "fix.example"));
    assert_eq!(net.router.shared.overrides.load().all().len(), 1, "and let go of");
}

#[tokio::test]
async fn override_of_a_domain_that_was_passed_by_holds_for_its_numbers() {
    let net = Net::new().await;
    net.dns.naptr(
        ENUM,
        vec![
            naptr(3600, 10, 1, "u", "E2U+im", "!^.*$!im:a@mute.example!"),
            naptr(3600, 10, 2, "u", "E2U+im", "!^.*$!im:b@op.example!"),
        ],
    );
    net.dns.say(
        "_imps-server._tcp.mute.example.",
        RecordType::SRV,
        Reply::NxDomain(Some((3600, 3600))),
    );
    net.dns.ssp("op.example");
    net.dns.ssp("fix.example");
    assert_eq!(serving(&net.route(NUMBER).await), "op.example");
    net.router
        .add_override(to(Selector::Domain(domain("mute.example")), "fix.example"));
    assert_eq!(serving(&net.route(NUMBER).await), "fix.example");
}

#[test]
fn overrides_are_kept_as_text() {
    let one = to(number("+4477009"), "fix.example");
    let text = serde_json::to_string(&one).unwrap();
    assert!(text.contains(r#""selector":{"number":"+4477009"}"#), "{text}");
    assert_eq!(serde_json::from_str::<Override>(&text).unwrap(), one);
    assert!(serde_json::from_str::<Override>(&text.replace("+4477009", "+44x")).is_err());
}

#[tokio::test]
async fn account_goes_before_enum_and_the_conflict_is_told() {
    let net = Net::new().await;
    net.dns.alice();
    assert_eq!(serving(&net.route(NUMBER).await), "op.example");
    net.home.open("+447700900123", "alpha.example");
    let routed = net.route(NUMBER).await;
    assert!(matches!(routed.plan.as_deref(), Ok(Plan::Home { .. })));
    let steps = net.explain(NUMBER).await.steps;
    assert!(steps.iter().any(|step| step.question == "conflict"), "{steps:#?}");
    assert_eq!(steps[0].source, FactSource::Home);
}

#[tokio::test]
async fn conflict_of_an_account_is_found_beside_the_traffic() {
    let net = Net::new().await;
    net.dns.alice();
    net.home.open("+447700900123", "alpha.example");
    let is_home = |routed: &super::super::Routed| matches!(routed.plan.as_deref(), Ok(Plan::Home { .. }));
    for _ in 0..20 {
        assert!(is_home(&net.route(NUMBER).await));
    }
    conflicts(&net, 1).await;
    net.advance(3599);
    assert!(is_home(&net.route(NUMBER).await));
    assert_eq!(
        net.dns.asked(ENUM, RecordType::NAPTR),
        1,
        "once in the life of its answer"
    );
    assert_eq!(net.dns.asked(SSP, RecordType::SRV), 0, "only ENUM is asked");
    net.advance(1);
    net.dns.naptr(
        ENUM,
        vec![naptr(60, 1, 1, "u", "E2U+im", "!^.*$!im:ada@alpha.example!")],
    );
    assert!(is_home(&net.route(NUMBER).await));
    conflicts(&net, 0).await;
    assert_eq!(net.dns.asked(ENUM, RecordType::NAPTR), 2);
}

#[tokio::test]
async fn looking_for_a_conflict_delays_no_message() {
    let net = Net::new().await;
    net.home.open("+447700900123", "alpha.example");
    net.dns.say(ENUM, RecordType::NAPTR, Reply::Silence);
    let route = tokio::time::timeout(std::time::Duration::from_secs(1), net.route(NUMBER));
    assert!(route.await.is_ok_and(|routed| routed.plan.is_ok()));
}

/// Waits until so many accounts are known to be led elsewhere.
async fn conflicts(net: &Net, count: u64) {
    let waiting = async {
        while net.router.stats().conflicts != count {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(5), waiting)
        .await
        .unwrap_or_else(|_| panic!("{:?}", net.router.stats()));
}

#[tokio::test]
async fn account_by_name_is_delivered_at_home() {
    let net = Net::new().await;
    net.home.open("ada@alpha.example", "alpha.example");
    let routed = net.route("wv:Ada@alpha.example").await;
    assert!(matches!(routed.plan.as_deref(), Ok(Plan::Home { .. })));
    assert_eq!(net.dns.asked_in_all(), 0);
}

#[tokio::test]
async fn home_range_serves_what_enum_does_not_know() {
    let net = Net::with(|config| {
        config.home_ranges.push(RangeConfig {
            prefix: "+4477009".into(),
            domain: domain("alpha.example"),
        });
    })
    .await;
    for _ in 0..2 {
        let routed = net.route(NUMBER).await;
        assert!(
            matches!(routed.plan.as_deref(), Ok(Plan::Home { .. })),
            "{routed:?}"
        );
    }
    net.dns.alice();
    net.advance(300);
    assert_eq!(serving(&net.route(NUMBER).await), "op.example", "ported out");
}

#[tokio::test]
async fn failed_enum_does_not_fall_to_the_home_range_or_the_domain() {
    let net = Net::with(|config| {
        config.home_ranges.push(RangeConfig {
            prefix: "+4477009".into(),
            domain: domain("alpha.example"),
        });
    })
    .await;
    net.dns.ssp("old.example");
    net.dns.say(ENUM, RecordType::NAPTR, Reply::Rcode(2));
    assert!(is_temporary(&net.route(&format!("{NUMBER}@old.example")).await));
}

#[tokio::test]
async fn n11_domain_after_a_number_serves_only_as_the_last_resort() {
    let net = Net::new().await;
    net.dns.ssp("old.example");
    let address = format!("{NUMBER}@old.example");
    for _ in 0..2 {
        let routed = net.route(&address).await;
        assert_eq!(serving(&routed), "old.example");
        assert_eq!(routed.user.to_string(), address);
    }
    net.advance(300);
    net.dns.alice();
    net.dns.naptr(
        ENUM,
        vec![naptr(60, 1, 1, "u", "E2U+im", "!^(.*)$!im:\\1@op.example!")],
    );
    let routed = net.explain(&address).await;
    assert_eq!(serving(&routed), "op.example");
    assert_eq!(routed.user.to_string(), "wv:+447700900123@op.example");
    let told = routed
        .steps
        .iter()
        .any(|step| step.question == "domain as written");
    assert!(told, "the two disagree: {:#?}", routed.steps);
}

#[tokio::test]
async fn routing_number_of_a_private_apex_goes_before_a_stale_im_record() {
    let ported = |net: &Net| {
        net.dns.alice();
        net.dns.ssp("new.example");
        net.dns.naptr(
            ENUM,
            vec![
                naptr(60, 1, 1, "u", "E2U+im", "!^.*$!im:alice@op.example!"),
                naptr(
                    60,
                    2,
                    1,
                    "u",
                    "E2U+pstn:tel",
                    "!^(.*)$!tel:\\1;npdi;rn=+447999000C1!",
                ),
            ],
        );
    };
    let table = |config: &mut super::super::RoutingConfig| {
        config.routing_numbers.push(RangeConfig {
            prefix: "+447999000c".into(),
            domain: domain("new.example"),
        });
    };
    let net = Net::with(table).await;
    ported(&net);
    let routed = net.route(NUMBER).await;
    assert_eq!(serving(&routed), "new.example");
    assert_eq!(routed.user.to_string(), "wv:+447700900123@new.example");
    let public = Net::with(|config| {
        table(config);
        config.apexes = vec![apex("e164.arpa", "ipx", Trust::Public)];
    })
    .await;
    ported(&public);
    assert_eq!(serving(&public.route(NUMBER).await), "op.example");
    let no_table = Net::new().await;
    ported(&no_table);
    assert_eq!(serving(&no_table.route(NUMBER).await), "op.example");
}

#[tokio::test]
async fn routing_number_of_our_own_is_delivered_at_home() {
    let net = Net::with(|config| {
        config.routing_numbers.push(RangeConfig {
            prefix: "+447999".into(),
            domain: domain("alpha.example"),
        });
    })
    .await;
    let record = "!^(.*)$!sip:\\1;npdi;rn=+447999000@gw.example;user=phone!";
    net.dns
        .naptr(ENUM, vec![naptr(60, 1, 1, "u", "E2U+pstn:sip", record)]);
    assert!(matches!(
        net.route(NUMBER).await.plan.as_deref(),
        Ok(Plan::Home { .. })
    ));
}

#[tokio::test]
async fn unused_number_is_unallocated() {
    let net = Net::new().await;
    net.dns.naptr(
        ENUM,
        vec![naptr(60, 1, 1, "u", "E2U+unused:data", "!^.*$!data:,!")],
    );
    for _ in 0..2 {
        assert!(matches!(
            net.route(NUMBER).await.plan,
            Err(RouteFailure::Unallocated(_))
        ));
    }
}

#[tokio::test]
async fn apex_leads_only_where_it_may_and_is_asked_only_for_its_prefixes() {
    let net = Net::with(|config| {
        config.apexes[0].domains = vec![domain("good.example")];
        config.apexes[0].prefixes = vec!["+44".into()];
    })
    .await;
    net.dns.alice();
    let routed = net.explain(NUMBER).await;
    assert!(is_absent(&routed));
    assert!(
        routed.steps[0].passed_over[0].contains("may not lead to op.example"),
        "{routed:?}"
    );
    net.route("wv:+12025550123").await;
    assert_eq!(
        net.dns
            .asked("3.2.1.0.5.5.5.2.0.2.1.e164.arpa.", RecordType::NAPTR),
        0
    );
}

#[tokio::test]
async fn apex_that_requires_dnssec_believes_only_what_is_proven() {
    let net = Net::with(|config| {
        config.views[0].trust_ad = true;
        config.apexes[0].dnssec_required = true;
    })
    .await;
    net.dns.alice();
    let routed = net.route(NUMBER).await;
    assert!(is_temporary(&routed), "{routed:?}");
    assert!(routed.decision().contains("DNSSEC"), "{}", routed.decision());
    let absent = net.route("wv:+12025550123").await;
    assert!(is_temporary(&absent), "nor an absence: {absent:?}");
    let record = naptr(60, 1, 1, "u", "E2U+im", "!^.*$!im:alice@op.example!");
    net.dns.say(ENUM, RecordType::NAPTR, Reply::Proven(vec![record]));
    net.advance(3600);
    assert_eq!(serving(&net.route(NUMBER).await), "op.example");
}

#[tokio::test]
async fn presence_by_a_foreign_scheme_is_taken_only_where_the_apex_says_so() {
    for is_taken in [true, false] {
        let net = Net::with(|config| config.apexes[0].pres_foreign_schemes = is_taken).await;
        net.dns.ssp("op.example");
        net.dns.naptr(
            ENUM,
            vec![naptr(60, 1, 1, "u", "E2U+pres", "!^.*$!sip:alice@op.example!")],
        );
        let routed = net.route_for(NUMBER, RouteService::Pres).await;
        assert_eq!(routed.plan.is_ok(), is_taken, "{routed:?}");
    }
}

#[tokio::test]
async fn odd_user_parts_become_addresses() {
    let net = Net::new().await;
    net.dns.ssp("op.example");
    net.dns.naptr(
        ENUM,
        vec![naptr(
            60,
            1,
            1,
            "u",
            "E2U+im",
            "!^.*$!im:anna%2Fm%40x@op.example!",
        )],
    );
    let routed = net.route(NUMBER).await;
    assert_eq!(routed.user.to_string(), "wv:anna%2Fm%40x@op.example");
}

#[tokio::test]
async fn address_without_number_and_domain_is_unroutable() {
    let net = Net::new().await;
    assert!(matches!(
        net.route("wv:bea").await.plan,
        Err(RouteFailure::Unroutable(_))
    ));
}

#[tokio::test]
async fn multimedia_goes_to_the_gateway_of_its_domain() {
    let net = Net::with(|config| {
        config.default_gateway.push(super::super::GatewayConfig {
            peer: "mmsc".parse().unwrap(),
            service: Some(RouteService::Mms),
            prefix: None,
            domain: Some(domain("mnc015.mcc234.gprs")),
        });
    })
    .await;
    let uri = "!^(.*)$!mailto:\\1/TYPE=PLMN@mms.mnc015.mcc234.gprs!";
    net.dns
        .naptr(ENUM, vec![naptr(60, 1, 1, "u", "E2U+mms:mailto", uri)]);
    let routed = net.route_for(NUMBER, RouteService::Mms).await;
    let expected = Some(domain("mms.mnc015.mcc234.gprs"));
    assert!(
        matches!(routed.plan.as_deref(), Ok(Plan::Gateway { domain, .. }) if *domain == expected),
        "{routed:?}"
    );
}

#[tokio::test]
async fn explanation_shows_every_question_its_source_and_what_was_passed_over() {
    let net = Net::new().await;
    net.dns.alice();
    net.dns.naptr(
        ENUM,
        vec![
            naptr(3600, 5, 1, "u", "E2U+im", "!^+44.*$!im:wrong@op.example!"),
            naptr(3600, 10, 1, "u", "E2U+im", "!^.*$!im:alice@op.example!"),
        ],
    );
    net.route(NUMBER).await;
    net.advance(100);
    let address = NUMBER.parse().unwrap();
    let routed = net
        .router
        .route(&address, RouteService::Im, net.now(), Explain::Yes)
        .await;
    let text = super::super::Explanation {
        address: &address,
        routed: &routed,
    }
    .to_string();
    for line in [
        "wv:+447700900123\n",
        " 1. NAPTR 3.2.1.0.0.9.0.0.7.7.4.4.e164.arpa.  [cache, 3500 s left]\n",
        "      10 1 \"u\" \"E2U+im\" \"!^.*$!im:alice@op.example!\" .\n",
        "    ! 5 1 \"u\" \"E2U+im\" \"!^+44.*$!im:wrong@op.example!\" .: ",
        " 2. SRV _imps-server._tcp.op.example.  [cache, 200 s left]\n",
        " 3. A a.op.example.  [cache, 200 s left]\n      192.0.2.1\n",
        "=> op.example by ssp at a.op.example:8443\n   as wv:alice@op.example\n",
        "   priority 10 weight 0  a.op.example:8443  (192.0.2.1)\n",
    ] {
        assert!(text.contains(line), "{line:?} is not in\n{text}");
    }
    assert_eq!(
        net.dns.asked(SSP, RecordType::SRV),
        1,
        "explaining asks nothing that is known"
    );
}

#[tokio::test]
async fn failed_route_has_its_account() {
    let net = Net::new().await;
    net.dns.is_down(true);
    let routed = net.route(NUMBER).await;
    assert!(
        routed.decision().starts_with("no route for now: "),
        "{}",
        routed.decision()
    );
    assert_eq!(routed.steps[0].answer, ["the resolver answered SERVFAIL"]);
    assert!(net.now() > Timestamp(0));
}

/// A net in which the routing numbers +12155550199 and +12155550155 are of `new.example` and of ours.
async fn with_routing_numbers() -> Net {
    let net = Net::with(|config| {
        for (prefix, to) in [("+121555501", "new.example"), ("+1215555015", "alpha.example")] {
            config.routing_numbers.push(RangeConfig {
                prefix: prefix.into(),
                domain: domain(to),
            });
        }
    })
    .await;
    net.dns.alice();
    net.dns.ssp("new.example");
    net.dns.ssp("written.example");
    net
}

async fn route_as_ported(net: &Net, address: &str, params: &str) -> crate::routing::Routed {
    let address: crate::model::WvAddress = address.parse().unwrap();
    let address = address.with_portability(params);
    net.router
        .route(&address, RouteService::Im, net.now(), Explain::No)
        .await
}

#[tokio::test]
async fn routing_number_goes_before_enum_and_carrier_before_it() {
    let net = with_routing_numbers().await;
    net.route(NUMBER).await;
    for params in [
        "npdi;rn=+12155550199",
        "rn=+1-215-555-0199",
        "cic=+12155550199;rn=+12155550155",
    ] {
        let routed = route_as_ported(&net, NUMBER, params).await;
        assert_eq!(serving(&routed), "new.example", "{params}");
        assert_eq!(routed.user.to_string(), "wv:+447700900123@new.example");
    }
    assert_eq!(
        serving(&net.route(NUMBER).await),
        "op.example",
        "nothing of it is kept"
    );
}

#[tokio::test]
async fn enum_is_not_asked_twice_for_a_number_that_was_looked_up() {
    let net = with_routing_numbers().await;
    for params in ["npdi", "enumdi", "npdi;rn=+12155550155"] {
        let routed = route_as_ported(&net, &format!("{NUMBER}@written.example"), params).await;
        assert_eq!(serving(&routed), "written.example", "{params}");
        assert!(
            is_absent(&route_as_ported(&net, NUMBER, params).await),
            "{params}"
        );
    }
    assert_eq!(net.dns.asked(ENUM, RecordType::NAPTR), 0);
}

#[tokio::test]
async fn portability_that_says_nothing_of_use_leaves_the_number_to_enum() {
    let net = with_routing_numbers().await;
    for params in [
        "rn=+4915550199",
        "rn=+12155550199;rn=+12155550199",
        "phone-context=+1",
    ] {
        let routed = route_as_ported(&net, NUMBER, params).await;
        assert_eq!(serving(&routed), "op.example", "{params}");
    }
}
