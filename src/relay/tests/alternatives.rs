//! Numbers whose records name several domains (ENUM and SRV routing §6, case P4): each is tried once, then it waits.

use super::*;
use crate::routing::{
    GatewayConfig,
    tests::{
        config,
        dns::{Dns, naptr},
    },
};

/// A number of no override, and where it is looked up.
const MAY: &str = "wv:+33123456789";
const ENUM: &str = "9.8.7.6.5.4.3.2.1.3.3.e164.arpa.";

/// May's number leads to `op.example`, and to `other.example` with the second ORDER given.
async fn world(order: u16, change: impl FnOnce(&mut Setup)) -> (World, Dns) {
    let dns = Dns::start().await;
    let record = |order, preference, domain: &str| {
        let regexp = format!("!^.*$!im:may@{domain}!");
        naptr(3600, order, preference, "u", "E2U+im", &regexp)
    };
    dns.naptr(
        ENUM,
        vec![record(100, 10, "op.example"), record(order, 20, "other.example")],
    );
    dns.ssp("op.example");
    dns.ssp("other.example");
    let world = World::with(|setup| {
        setup.routing = config(dns.address);
        setup.agreements = vec![agreement("op"), agreement("other")];
        change(setup);
    });
    (world, dns)
}

fn asked(world: &World) -> Vec<String> {
    let asked = world.ssp.asked();
    asked.into_iter().map(|one| one.domain.to_string()).collect()
}

#[tokio::test]
async fn next_domain_takes_what_the_first_can_not() {
    let (world, _dns) = world(100, |_| {}).await;
    world.ssp.takes_nothing();
    assert_eq!(world.ada_sends("m1", MAY).await, Ok(Acceptance::Taken));
    let asked = world.ssp.asked();
    let domains: Vec<_> = asked.iter().map(|one| one.domain.as_str()).collect();
    assert_eq!(domains, ["op.example", "other.example"]);
    let Request::Send(sent) = &asked[1].request else {
        panic!("{asked:?}");
    };
    assert_eq!(
        sent.recipients,
        people(&["wv:may@other.example"]),
        "as it knows her"
    );
    let id = sent.id.as_ref().unwrap();
    let delivered = report(id.as_str(), "wv:may@other.example", ADA);
    let passed_on = world
        .handle(world.theirs("other", "r"), Request::Report(delivered))
        .await;
    assert_eq!(passed_on, Ok(Answer::Done));
    let home = world.home.asked();
    assert!(
        matches!(&home[..], [one] if matches!(&one.request, Request::Report(report) if report.message.as_str() == "m1" && report.recipient == person(MAY))),
        "{home:?}"
    );
}

#[tokio::test]
async fn each_domain_is_tried_once_and_then_it_waits() {
    let (world, _dns) = world(100, |_| {}).await;
    for attempt in 0..2 {
        world.ssp.takes_nothing();
        world.ssp.takes_nothing();
        match attempt {
            0 => assert_eq!(world.ada_sends("m1", MAY).await, Ok(Acceptance::Stored)),
            _ => world.deliver_due().await,
        }
        assert_eq!(asked(&world), ["op.example", "other.example"], "{attempt}");
        let waiting = world.waiting().await;
        assert_eq!(waiting.len(), 1);
        assert_eq!(waiting[0].lane.queue, "op.example");
        world.advance(60);
    }
    world.ssp.takes_nothing();
    world.deliver_due().await;
    assert_eq!(asked(&world), ["op.example", "other.example"]);
    assert!(world.waiting().await.is_empty());
}

#[tokio::test]
async fn document_that_may_have_arrived_goes_nowhere_else() {
    let (world, _dns) = world(100, |_| {}).await;
    world.ssp.stays_silent();
    assert_eq!(world.ada_sends("m1", MAY).await, Ok(Acceptance::Stored));
    assert_eq!(asked(&world), ["op.example"]);
    world.advance(86_000);
    world.deliver_due().await;
    assert_eq!(asked(&world), Vec::<String>::new());
    assert_eq!(world.dead().await.len(), 1, "who has it can't be told");
}

#[tokio::test]
async fn refusal_of_the_first_domain_is_the_answer() {
    let (world, _dns) = world(100, |_| {}).await;
    world.ssp.refuses(remote(538));
    assert_eq!(world.ada_sends("m1", MAY).await, Err(remote(538)));
    assert_eq!(asked(&world), ["op.example"]);
}

#[tokio::test]
async fn domain_without_an_agreement_is_passed_over() {
    let (world, _dns) = world(100, |setup| setup.agreements = vec![agreement("op")]).await;
    world.ssp.takes_nothing();
    assert_eq!(world.ada_sends("m1", MAY).await, Ok(Acceptance::Stored));
    assert_eq!(asked(&world), ["op.example"]);
    let no_messages = agreement_with("other", "services", json!({ "in": [], "out": ["presence"] }));
    world.agree(&[agreement("op"), no_messages]);
    world.ssp.takes_nothing();
    world.advance(10);
    world.deliver_due().await;
    assert_eq!(asked(&world), ["op.example"], "not agreed for messages");
    assert_eq!(world.waiting().await.len(), 1);
}

#[tokio::test]
async fn domain_of_another_order_is_tried_only_where_the_apex_says_so() {
    for is_crossed in [false, true] {
        let (world, _dns) = world(200, |setup| setup.routing.apexes[0].cross_order = is_crossed).await;
        world.ssp.takes_nothing();
        let accepted = world.ada_sends("m1", MAY).await;
        if is_crossed {
            assert_eq!(accepted, Ok(Acceptance::Taken));
            assert_eq!(asked(&world), ["op.example", "other.example"]);
        } else {
            assert_eq!(accepted, Ok(Acceptance::Stored));
            assert_eq!(asked(&world), ["op.example"]);
        }
    }
}

#[tokio::test]
async fn every_domain_has_its_share_of_the_time() {
    let (world, _dns) = world(100, |_| {}).await;
    world.ssp.takes_nothing();
    let began = world.clock.now();
    world.ada_sends("m1", MAY).await.unwrap();
    let deadlines: Vec<_> = world.ssp.asked().iter().map(|one| one.deadline).collect();
    let after = |millis| began.plus(Duration::from_millis(millis));
    assert_eq!(deadlines, [after(2_500), after(5_000)]);
}

#[tokio::test]
async fn default_gateway_is_no_alternative() {
    let (world, dns) = world(100, |setup| {
        setup.agreements.push(agreement("hub"));
        setup.routing.default_gateway.push(GatewayConfig {
            peer: "hub".parse().unwrap(),
            service: None,
            prefix: None,
            domain: None,
        });
    })
    .await;
    dns.is_mute("other.example");
    world.ssp.takes_nothing();
    assert_eq!(world.ada_sends("m1", MAY).await, Ok(Acceptance::Stored));
    assert_eq!(
        asked(&world),
        ["op.example"],
        "the first domain has servers, and they may come back"
    );
    // When no domain of the number speaks anything, nobody is left but the gateway.
    dns.is_mute("op.example");
    world.advance(3600);
    world.deliver_due().await;
    assert_eq!(asked(&world), ["hub.example"]);
    assert!(world.waiting().await.is_empty());
}
