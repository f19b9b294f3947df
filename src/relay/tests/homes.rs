//! Our own side: several home domains, home IMPS servers, the default gateway, and the two forms of a number.

use serde_json::json;

use super::*;
use crate::model::Search;

/// `alpha.example` is embedded, `omega.example` is served by a home IMPS server.
fn two_homes() -> World {
    World::with(|setup| {
        setup.own.push(domain("omega.example"));
        let mut server = agreement_with("omega", "role", json!("home"));
        server["speaks_for"] = json!({ "domains": ["omega.example"] });
        setup.agreements.push(server);
    })
}

const OLE: &str = "wv:ole@omega.example";

#[tokio::test]
async fn each_home_domain_has_its_own_side() {
    let world = two_homes();
    let request = Request::Send(message("m1", BO, &[ADA, OLE]));
    let mut ingress = world.theirs("beta", "m1");
    if let Side::Peer { own, .. } = &mut ingress.side {
        *own = domain("omega.example");
    }
    let answer = world.handle(ingress, request).await.unwrap();
    assert_eq!(outcome_of(&answer, ADA), Ok(Acceptance::Taken));
    assert_eq!(outcome_of(&answer, OLE), Ok(Acceptance::Taken));
    assert_eq!(world.home.messages()[0].recipients, people(&[ADA]));
    let asked = world.ssp.asked();
    assert_eq!(asked[0].domain, domain("omega.example"));
    assert_eq!(asked[0].request.recipients(), [&person(OLE)]);
}

#[tokio::test]
async fn home_servers_people_go_out_to_the_world_in_the_name_of_their_domain() {
    let world = two_homes();
    let request = Request::Send(message("m1", OLE, &[BEA, ADA]));
    let answer = world.handle(world.theirs("omega", "m1"), request).await.unwrap();
    assert_eq!(outcome_of(&answer, BEA), Ok(Acceptance::Taken));
    assert_eq!(
        outcome_of(&answer, ADA),
        Ok(Acceptance::Taken),
        "and to our other home domain"
    );
    let asked = world.ssp.asked();
    assert_eq!(asked[0].domain, domain("beta.example"));
    assert_eq!(asked[0].own, domain("omega.example"));
    assert_eq!(asked[0].via, Vec::new(), "they are our own people");
}

#[tokio::test]
async fn report_goes_back_to_the_home_server_in_the_name_it_spoke_to() {
    let world = two_homes();
    let request = Request::Send(message("m1", OLE, &[BEA]));
    let mut ingress = world.theirs("omega", "m1");
    if let Side::Peer { own, .. } = &mut ingress.side {
        *own = domain("beta.example");
    }
    world.handle(ingress, request).await.unwrap();
    let id = world.ssp.messages().remove(0).id.unwrap();
    let theirs = Request::Report(report(id.as_str(), BEA, OLE));
    assert_eq!(
        world.handle(world.theirs("beta", "r1"), theirs).await,
        Ok(Answer::Done)
    );
    let asked = world.ssp.asked();
    assert_eq!(asked[0].domain, domain("omega.example"));
    assert_eq!(
        asked[0].own,
        domain("beta.example"),
        "one session a partner domain"
    );
}

#[tokio::test]
async fn home_servers_search_that_names_no_operator_does_not_come_back_to_it() {
    let world = two_homes();
    let request = Request::Search(Search {
        by: person(OLE),
        pairs: vec![crate::model::SearchPair {
            element: crate::model::SearchElement::UserFirstName,
            text: "Ole".into(),
        }],
        limit: 10,
        resume: None,
    });
    let mut ingress = world.theirs("omega", "s1");
    if let Side::Peer { own, .. } = &mut ingress.side {
        *own = domain("omega.example");
    }
    let refused = world.handle(ingress, request).await.unwrap_err();
    assert!(matches!(refused, Refusal::NotSearched { .. }), "{refused}");
    assert!(world.ssp.asked().is_empty());
}

#[tokio::test]
async fn number_reaches_the_account_whatever_domain_is_written_with_it() {
    let world = World::new();
    for (id, to) in [
        ("m1", "wv:+447700900123"),
        ("m2", "wv:+447700900123@alpha.example"),
        ("m3", "wv:+447700900123@old.example"),
    ] {
        let request = Request::Send(message(id, BO, &[to]));
        let answer = world.handle(world.theirs("beta", id), request).await.unwrap();
        assert_eq!(outcome_of(&answer, to), Ok(Acceptance::Taken), "{to}");
    }
    assert_eq!(world.home.messages().len(), 3);
}

#[tokio::test]
async fn account_that_was_ported_in_is_at_home_although_an_operator_range_says_otherwise() {
    let world = World::with(|setup| {
        let mut tau = agreement("tau");
        tau["transit"] = json!(true);
        setup.agreements.push(tau);
    });
    world.accounts.open("+4915112345678", "alpha.example");
    let request = Request::Send(message("m1", BO, &["wv:+4915112345678"]));
    let answer = world.handle(world.theirs("beta", "m1"), request).await.unwrap();
    assert_eq!(outcome_of(&answer, "wv:+4915112345678"), Ok(Acceptance::Taken));
    assert_eq!(world.home.messages().len(), 1);
}

#[tokio::test]
async fn default_gateway_takes_what_has_no_other_route() {
    let world = World::with(|setup| {
        let gateway = json!([{ "peer": "gamma", "prefix": "+45" }]);
        setup.routing.default_gateway = serde_json::from_value(gateway).unwrap();
    });
    assert_eq!(
        world.ada_sends("m1", "wv:+4512345678").await,
        Ok(Acceptance::Taken)
    );
    assert_eq!(world.ssp.asked()[0].domain, domain("gamma.example"));
    let other = world.ada_sends("m2", "wv:+4712345678").await;
    assert!(other != Ok(Acceptance::Taken), "{other:?}");
    assert!(world.ssp.asked().is_empty(), "only its own prefix");
}

#[tokio::test]
async fn default_gateway_without_an_agreement_is_our_own_mistake() {
    let world = World::with(|setup| {
        let gateway = json!([{ "peer": "nobody" }]);
        setup.routing.default_gateway = serde_json::from_value(gateway).unwrap();
    });
    let refused = world.ada_sends("m1", "wv:+4512345678").await.unwrap_err();
    assert!(matches!(refused, Refusal::Internal { .. }), "{refused}");
}

/// `omega.example` is served by a home server that meets partners through us.
fn met_by_omega() -> World {
    World::with(|setup| {
        setup.own = vec![domain("omega.example")];
        let mut server = agreement_with("omega", "role", json!("home"));
        server["presents"] = json!("partner-domains");
        setup.agreements.push(server);
    })
}

#[tokio::test]
async fn home_server_hears_each_partner_in_the_name_of_the_partner() {
    let world = met_by_omega();
    for (peer, sender) in [("beta", BO), ("gamma", "wv:+4915112345678")] {
        let request = Request::Send(message(&format!("m-{peer}"), sender, &[OLE]));
        let mut ingress = world.theirs(peer, &format!("m-{peer}"));
        if let Side::Peer { own, .. } = &mut ingress.side {
            *own = domain("omega.example");
        }
        let answer = world.handle(ingress, request).await.unwrap();
        assert_eq!(outcome_of(&answer, OLE), Ok(Acceptance::Taken));
        let asked = world.ssp.asked().remove(0);
        assert_eq!(asked.own, domain(&format!("{peer}.example")));
        assert_eq!(asked.domain, domain("omega.example"));
        assert_eq!(asked.via, Vec::new(), "it sees nobody but the partner");
    }
}

#[tokio::test]
async fn presence_of_people_of_several_domains_is_told_in_the_name_of_each() {
    let world = World::with(|setup| {
        setup.own = vec![domain("omega.example")];
        let mut server = agreement_with("omega", "role", json!("home"));
        server["presents"] = json!("partner-domains");
        setup.agreements.push(server);
        let mut beta = agreement("beta");
        beta["domains"] = json!(["beta.example", "eu.beta.example"]);
        setup.agreements[0] = beta;
    });
    let value = |who: &str| (person(who), crate::model::Presence::default());
    let told = Request::Notify(crate::model::PresenceNotification {
        watchers: people(&[OLE]),
        values: vec![value(BEA), value("wv:bo@eu.beta.example"), value(BO)],
    });
    let mut ingress = world.theirs("beta", "n1");
    if let Side::Peer { own, .. } = &mut ingress.side {
        *own = domain("omega.example");
    }
    assert_eq!(world.handle(ingress, told).await, Ok(Answer::Done));
    let asked = world.ssp.asked();
    let names: Vec<_> = asked.iter().map(|one| one.own.as_str()).collect();
    assert_eq!(names, ["beta.example", "eu.beta.example"]);
}

#[tokio::test]
async fn home_servers_people_do_not_come_back_to_it_from_a_stranger() {
    let world = met_by_omega();
    let request = Request::Send(message("m1", OLE, &["wv:oda@omega.example"]));
    let mut ingress = world.theirs("omega", "m1");
    if let Side::Peer { own, .. } = &mut ingress.side {
        *own = domain("beta.example");
    }
    let answer = world.handle(ingress, request).await;
    let refused = answer.map(|answer| outcome_of(&answer, "wv:oda@omega.example"));
    assert!(
        matches!(refused, Ok(Err(Refusal::UnknownUser { .. }))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn home_server_searches_at_the_partner_that_it_asks_for() {
    let world = met_by_omega();
    let request = Request::Search(Search {
        by: person(OLE),
        pairs: vec![crate::model::SearchPair {
            element: crate::model::SearchElement::UserFirstName,
            text: "Bo".into(),
        }],
        limit: 10,
        resume: None,
    });
    let mut ingress = world.theirs("omega", "s1");
    if let Side::Peer { own, .. } = &mut ingress.side {
        *own = domain("beta.example");
    }
    world.handle(ingress, request).await.unwrap();
    let asked = world.ssp.asked().remove(0);
    assert_eq!(
        (asked.domain, asked.own),
        (domain("beta.example"), domain("omega.example"))
    );
}

#[tokio::test]
async fn home_servers_subscriptions_are_asserted_in_the_session_that_was_opened() {
    let world = met_by_omega();
    for (peer, watcher) in [("beta", BO), ("gamma", GIL)] {
        let request = Request::Subscribe(crate::model::Subscribe {
            watcher: person(watcher),
            presentities: people(&[OLE]),
            attributes: Vec::new(),
        });
        let mut ingress = world.theirs(peer, watcher);
        if let Side::Peer { own, .. } = &mut ingress.side {
            *own = domain("omega.example");
        }
        world.handle(ingress, request).await.unwrap();
    }
    world.ssp.asked();
    let opened = |own: &str, serving: &str| {
        let (own, serving) = (domain(own), domain(serving));
        let world = &world;
        async move { world.relay.reassert_in_session(&own, &serving).await }
    };
    assert_eq!(opened("gamma.example", "omega.example").await, Ok(1));
    let asked = world.ssp.asked();
    assert_eq!(asked[0].own, domain("gamma.example"));
    assert_eq!(asked[0].request.sender(), Some(&person(GIL)));
    assert_eq!(opened("delta.example", "omega.example").await, Ok(0));
}
