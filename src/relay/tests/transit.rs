//! Third operators: who may send through us, and loops by `Via`, by route and by identity.

use serde_json::json;

use super::*;

/// Tau may send through us, in the name of `delta.example` and of numbers of +45.
fn world() -> World {
    World::with(|setup| {
        let mut tau = agreement("tau");
        tau["transit"] = json!(true);
        tau["speaks_for"] = json!({ "domains": ["delta.example"], "numbers": ["+45"] });
        setup.agreements.push(tau);
    })
}

const TIM: &str = "wv:tim@tau.example";

#[tokio::test]
async fn partner_without_transit_reaches_only_our_people() {
    let world = World::new();
    let to = [ADA, GIL, BEA, "wv:nobody@alpha.example"];
    let request = Request::Send(message("m1", BO, &to));
    let answer = world.handle(world.theirs("beta", "m1"), request).await.unwrap();
    assert_eq!(outcome_of(&answer, ADA), Ok(Acceptance::Taken));
    assert!(
        matches!(outcome_of(&answer, GIL), Err(Refusal::NoTransit { .. })),
        "516"
    );
    assert!(
        matches!(outcome_of(&answer, BEA), Err(Refusal::UnknownUser { .. })),
        "531"
    );
    assert!(world.ssp.asked().is_empty());
}

#[tokio::test]
async fn number_that_was_ported_away_is_unknown_to_a_partner_and_followed_for_our_own() {
    let world = World::new();
    world.accounts.close("+447700900123");
    world.serves("number", "+447700900123", "gamma");
    let request = Request::Send(message("m1", BO, &[ADA]));
    let answer = world.handle(world.theirs("beta", "m1"), request).await.unwrap();
    assert!(
        matches!(outcome_of(&answer, ADA), Err(Refusal::UnknownUser { .. })),
        "531"
    );
    let request = Request::Send(message("m2", "wv:eve@alpha.example", &[ADA]));
    world.handle(world.ours("m2"), request).await.unwrap();
    assert_eq!(world.ssp.asked()[0].domain, domain("gamma.example"));
}

#[tokio::test]
async fn transit_peer_sends_through_us_and_our_name_is_added() {
    let world = world();
    let mut ingress = world.theirs("tau", "m1");
    ingress.via = vec![domain("delta.example")];
    let request = Request::Send(message("m1", TIM, &[BEA]));
    let answer = world.handle(ingress, request).await.unwrap();
    assert_eq!(outcome_of(&answer, BEA), Ok(Acceptance::Taken));
    let asked = world.ssp.asked();
    assert_eq!(asked[0].via, [domain("delta.example"), domain("alpha.example")]);
}

#[tokio::test]
async fn transit_peer_speaks_for_whom_the_agreement_lists_and_nobody_else() {
    let world = world();
    for sender in [
        "wv:dan@delta.example",
        "wv:dan@sub.delta.example",
        "wv:+4512345678@epsilon.example",
    ] {
        let request = Request::Send(message(sender.get(3..6).unwrap(), sender, &[ADA]));
        let answer = world.handle(world.theirs("tau", sender), request).await;
        assert!(answer.is_ok(), "{sender}: {answer:?}");
    }
    for sender in [GIL, "wv:+4612345678@epsilon.example"] {
        let request = Request::Send(message("m1", sender, &[ADA]));
        let refused = world
            .handle(world.theirs("tau", sender), request)
            .await
            .unwrap_err();
        assert!(
            matches!(refused, Refusal::ForeignSender { .. }),
            "{sender}: {refused}"
        );
    }
}

#[tokio::test]
async fn our_own_name_in_via_is_a_loop_and_so_is_a_long_chain() {
    let world = world();
    let chains = [
        vec![domain("alpha.example")],
        (0..9).map(|n| domain(&format!("hop{n}.example"))).collect(),
    ];
    for via in chains {
        let mut ingress = world.theirs("tau", "m1");
        ingress.via = via;
        let request = Request::Send(message("m1", TIM, &[BEA]));
        assert_eq!(world.handle(ingress, request).await, Err(Refusal::Loop));
    }
    let mut ingress = world.theirs("tau", "m1");
    ingress.via = (0..8).map(|n| domain(&format!("hop{n}.example"))).collect();
    let request = Request::Send(message("m1", TIM, &[BEA]));
    assert!(world.handle(ingress, request).await.is_ok(), "eight are allowed");
}

#[tokio::test]
async fn nothing_goes_back_to_the_peer_that_it_came_from() {
    let world = world();
    world.serves("number", "+45", "tau");
    let request = Request::Send(message("m1", TIM, &["wv:+4512345678"]));
    let answer = world.handle(world.theirs("tau", "m1"), request).await.unwrap();
    assert_eq!(outcome_of(&answer, "wv:+4512345678"), Err(Refusal::Loop));
    assert!(world.ssp.asked().is_empty());
}

#[tokio::test]
async fn message_that_comes_back_under_our_id_without_its_via_is_a_loop() {
    let world = world();
    world.serves("number", "+45", "tau");
    world.ada_sends("m1", "wv:+4512345678").await.unwrap();
    let ours = world.ssp.messages().remove(0);
    world.serves("number", "+45", "gamma");
    let back = SendMessage {
        sender: person("wv:+4511111111@delta.example"),
        ..ours
    };
    let id = back.id.clone().unwrap().to_string();
    let answer = world
        .handle(world.theirs("tau", &id), Request::Send(back))
        .await
        .unwrap();
    assert_eq!(outcome_of(&answer, "wv:+4512345678"), Err(Refusal::Loop));
    assert!(world.ssp.asked().is_empty());
}

#[tokio::test]
async fn relayed_message_that_nobody_wants_a_report_of_is_known_when_it_comes_back() {
    let world = World::with(|setup| {
        for peer in ["tau", "rho"] {
            let mut agreement = agreement(peer);
            agreement["transit"] = json!(true);
            agreement["speaks_for"] = json!({ "domains": ["delta.example"] });
            setup.agreements.push(agreement);
        }
    });
    world.serves("number", "+45", "rho");
    let relayed = SendMessage {
        report_wanted: false,
        ..message("m1", "wv:dan@delta.example", &["wv:+4512345678"])
    };
    world
        .handle(world.theirs("tau", "m1"), Request::Send(relayed))
        .await
        .unwrap();
    let sent = world.ssp.messages().remove(0);
    world.serves("number", "+45", "tau");
    let id = sent.id.clone().unwrap().to_string();
    let answer = world
        .handle(world.theirs("rho", &id), Request::Send(sent.clone()))
        .await
        .unwrap();
    assert_eq!(outcome_of(&answer, "wv:+4512345678"), Err(Refusal::Loop));
    let unwanted = report(&id, "wv:+4512345678", "wv:dan@delta.example");
    let answer = world
        .handle(world.theirs("rho", "r1"), Request::Report(unwanted))
        .await;
    assert_eq!(answer, Ok(Answer::Done));
    assert!(world.ssp.asked().is_empty(), "it goes no further");
}

#[tokio::test]
async fn report_crosses_us_on_its_way_back() {
    let world = world();
    let request = Request::Send(message("m1", TIM, &[BEA]));
    world.handle(world.theirs("tau", "m1"), request).await.unwrap();
    let id = world.ssp.messages().remove(0).id.unwrap();
    let theirs = Request::Report(report(id.as_str(), BEA, TIM));
    assert_eq!(
        world.handle(world.theirs("beta", "r1"), theirs).await,
        Ok(Answer::Done)
    );
    let asked = world.ssp.asked();
    assert_eq!(asked[0].domain, domain("tau.example"));
    assert!(matches!(&asked[0].request, Request::Report(report) if report.message.as_str() == "m1"));
}

#[tokio::test]
async fn domain_without_an_agreement_is_reached_through_the_default_gateway() {
    let dns = crate::routing::tests::dns::Dns::start().await;
    dns.ssp("delta.example");
    let world = World::with(|setup| {
        setup.agreements.push(agreement("tau"));
        setup.routing = crate::routing::tests::config(dns.address);
        let hub = json!({ "peer": "tau" });
        setup.routing.default_gateway = vec![serde_json::from_value(hub).unwrap()];
    });
    let dan = "wv:dan@delta.example";
    let request = Request::Send(message("m1", ADA, &[dan]));
    let answer = world.handle(world.ours("m1"), request).await.unwrap();
    assert_eq!(outcome_of(&answer, dan), Ok(Acceptance::Taken));
    assert_eq!(world.ssp.asked()[0].domain, domain("tau.example"));
    let trail = world.trails.lock().unwrap().pop().unwrap();
    let says = |step: &crate::model::Step| {
        let crate::model::StepEvent::Routed { steps, .. } = &step.event else {
            return false;
        };
        let last = steps.last().unwrap();
        last.question == "agreement with delta.example" && last.answer[0].contains("tau takes it")
    };
    assert!(trail.steps.iter().any(says), "{trail:?}");

    let without = World::with(|setup| setup.routing = crate::routing::tests::config(dns.address));
    let request = Request::Send(message("m1", ADA, &[dan]));
    let answer = without.handle(without.ours("m1"), request).await.unwrap();
    assert!(
        matches!(outcome_of(&answer, dan), Err(Refusal::NoAgreement { .. })),
        "{answer:?}"
    );
}
