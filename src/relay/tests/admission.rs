//! What is refused before anything is looked up, each with its clause; limits per peer and per sender.

use serde_json::json;

use super::*;
use crate::model::{ContactAdded, Invite, InviteType, Search, SearchElement, SearchPair, Subscribe};

/// One request of every service from this person to that one.
fn one_of_each(from: &str, to: &str) -> Vec<Request> {
    vec![
        Request::Search(Search {
            by: person(from),
            pairs: vec![SearchPair {
                element: SearchElement::UserId,
                text: to.into(),
            }],
            limit: 10,
            resume: None,
        }),
        Request::ContactAdded(ContactAdded {
            by: person(from),
            friendly_name: None,
            added: people(&[to]),
            text: None,
        }),
        Request::Subscribe(Subscribe {
            watcher: person(from),
            presentities: people(&[to]),
            attributes: Vec::new(),
        }),
        Request::Send(message("m1", from, &[to])),
        Request::Invite(Invite {
            id: "i1".parse().unwrap(),
            kind: InviteType::Chat,
            validity: None,
            inviting: person(from),
            invited: person(to),
            group: None,
            application: None,
            attributes: Vec::new(),
            content_urls: Vec::new(),
            note: None,
            screen_name: None,
        }),
    ]
}

#[tokio::test]
async fn agreement_without_services_refuses_every_request_and_names_the_clause() {
    let world = World::with(|setup| {
        setup.agreements = vec![agreement_with("beta", "services", json!({}))];
    });
    for request in one_of_each(BO, ADA) {
        let name = request.service().name();
        let refused = world
            .handle(world.theirs("beta", "r"), request)
            .await
            .unwrap_err();
        let Refusal::NotAgreed { clause, .. } = refused else {
            panic!("{name}: {refused}");
        };
        assert_eq!(clause, format!("services.in does not list {name}"));
    }
    assert!(world.home.asked().is_empty(), "nothing of it reached anybody");
}

#[tokio::test]
async fn what_may_only_come_in_does_not_go_out() {
    let world = World::with(|setup| {
        let services = json!({ "in": ["message"] });
        setup.agreements = vec![agreement_with("beta", "services", services)];
    });
    let refused = world.ada_sends("m1", BEA).await.unwrap_err();
    assert!(
        matches!(&refused, Refusal::NotAgreed { clause, .. } if clause == "services.out does not list message"),
        "{refused}"
    );
    assert!(world.ssp.asked().is_empty());
}

#[tokio::test]
async fn report_passes_where_its_message_did_and_nowhere_else() {
    let world = World::with(|setup| {
        let services = json!({ "in": ["message"] });
        setup.agreements = vec![agreement_with("beta", "services", services)];
    });
    let request = Request::Send(message("m1", BO, &[ADA]));
    world.handle(world.theirs("beta", "m1"), request).await.unwrap();
    let id = world.home.messages().remove(0).id.unwrap();
    let ours = Request::Report(report(id.as_str(), ADA, BO));
    assert_eq!(world.handle(world.ours("r1"), ours).await, Ok(Answer::Done));
    assert!(matches!(world.ssp.asked()[0].request, Request::Report(_)));
    let theirs = Request::Report(report(id.as_str(), BO, ADA));
    let refused = world
        .handle(world.theirs("beta", "r2"), theirs)
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, Refusal::NotAgreed { clause, .. } if clause == "services.out does not list message"),
        "they never got a message of ours: {refused}"
    );
}

#[tokio::test]
async fn presence_is_told_where_it_may_be_subscribed_to() {
    let world = World::with(|setup| {
        let services = json!({ "out": ["presence"] });
        setup.agreements = vec![agreement_with("beta", "services", services)];
    });
    let told = Request::Notify(crate::model::PresenceNotification {
        watchers: people(&[ADA]),
        values: vec![(person(BO), crate::model::Presence::default())],
    });
    assert_eq!(
        world.handle(world.theirs("beta", "n1"), told).await,
        Ok(Answer::Done)
    );
    assert_eq!(world.home.asked().len(), 1);
    let watch = Request::Subscribe(Subscribe {
        watcher: person(BO),
        presentities: people(&[ADA]),
        attributes: Vec::new(),
    });
    let refused = world.handle(world.theirs("beta", "s1"), watch).await.unwrap_err();
    assert!(matches!(refused, Refusal::NotAgreed { .. }), "{refused}");
}

#[tokio::test]
async fn sender_of_another_domain_is_foreign_whatever_he_asks() {
    let world = World::new();
    for request in one_of_each(GIL, ADA) {
        let refused = world
            .handle(world.theirs("beta", "r"), request)
            .await
            .unwrap_err();
        assert!(matches!(refused, Refusal::ForeignSender { .. }), "{refused}");
    }
}

#[tokio::test]
async fn nobody_outside_speaks_in_the_name_of_our_people() {
    let world = World::new();
    for sender in [
        ADA,
        "wv:ada@alpha.example",
        "wv:+447700900123@beta.example",
        "wv:+447700900123@alpha.example",
    ] {
        for request in one_of_each(sender, ADA) {
            let refused = world
                .handle(world.theirs("beta", "r"), request)
                .await
                .unwrap_err();
            assert!(
                matches!(refused, Refusal::ForeignSender { .. }),
                "{sender}: {refused}"
            );
        }
        let told = Request::Notify(crate::model::PresenceNotification {
            watchers: people(&[ADA]),
            values: vec![(person(sender), crate::model::Presence::default())],
        });
        let refused = world.handle(world.theirs("beta", "n"), told).await.unwrap_err();
        assert!(
            matches!(refused, Refusal::ForeignSender { .. }),
            "{sender}: {refused}"
        );
    }
    assert!(world.home.asked().is_empty());
}

/// `alpha.example` has a number range; what of it has no account here is served by a home server, or was ported out.
fn ranged() -> World {
    World::with(|setup| {
        let ranges = json!([{ "prefix": "+44770090", "domain": "alpha.example" }]);
        setup.routing.home_ranges = serde_json::from_value(ranges).unwrap();
        let mut server = agreement_with("omega", "role", json!("home"));
        server["domains"] = json!(["omega.example"]);
        setup.agreements.push(server);
    })
}

#[tokio::test]
async fn number_of_our_range_is_ours_although_it_has_no_account_here() {
    let world = ranged();
    world.serves("number", "+447701", "omega");
    for sender in [
        "wv:+447700900555",
        "wv:+447700900555@beta.example",
        "wv:+447701900555",
        "wv:+447701900555@beta.example",
    ] {
        let request = Request::Send(message("m1", sender, &[ADA]));
        let refused = world
            .handle(world.theirs("beta", "r"), request)
            .await
            .unwrap_err();
        assert!(
            matches!(refused, Refusal::ForeignSender { .. }),
            "{sender}: {refused}"
        );
    }
    assert!(world.home.asked().is_empty());
    let request = Request::Send(message("m2", "wv:+447701900555", &[ADA]));
    let ours = world.handle(world.theirs("omega", "m2"), request).await;
    assert!(ours.is_ok(), "the home server speaks for its people: {ours:?}");
}

#[tokio::test]
async fn number_that_was_ported_out_of_our_range_speaks_for_itself() {
    let world = ranged();
    world.serves("number", "+447700900777", "beta");
    for (id, sender) in [
        ("m1", "wv:+447700900777"),
        ("m2", "wv:+447700900777@beta.example"),
    ] {
        let request = Request::Send(message(id, sender, &[ADA]));
        let answer = world.handle(world.theirs("beta", id), request).await.unwrap();
        assert_eq!(outcome_of(&answer, ADA), Ok(Acceptance::Taken), "{sender}");
    }
}

#[tokio::test]
async fn number_of_our_range_is_not_taken_on_trust_while_enum_is_silent() {
    let world = World::with(|setup| {
        setup.routing = serde_json::from_value(json!({
            "views": [{ "name": "dark", "resolvers": ["127.0.0.1:9"] }],
            "apexes": [{ "apex": "e164.example", "view": "dark", "trust": "private" }],
            "home_ranges": [{ "prefix": "+44770090", "domain": "alpha.example" }],
            "budget": "50ms",
        }))
        .unwrap();
    });
    let request = Request::Send(message("m1", "wv:+447700900555", &[ADA]));
    let refused = world
        .handle(world.theirs("beta", "r"), request)
        .await
        .unwrap_err();
    assert!(matches!(refused, Refusal::RouteFailed { .. }), "{refused}");
    let request = Request::Send(message("m2", BEA, &[ADA]));
    let answer = world.handle(world.theirs("beta", "m2"), request).await.unwrap();
    assert_eq!(
        outcome_of(&answer, ADA),
        Ok(Acceptance::Taken),
        "nothing is asked for others"
    );
}

#[tokio::test]
async fn presence_of_a_foreign_person_among_others_is_refused() {
    let world = World::new();
    let notification = crate::model::PresenceNotification {
        watchers: people(&[ADA]),
        values: vec![
            (person(BO), crate::model::Presence::default()),
            (person(GIL), crate::model::Presence::default()),
        ],
    };
    let refused = world
        .handle(world.theirs("beta", "n"), Request::Notify(notification))
        .await
        .unwrap_err();
    assert!(matches!(refused, Refusal::ForeignSender { sender, .. } if sender == person(GIL)));
    assert!(world.home.asked().is_empty());
}

#[tokio::test]
async fn content_is_held_to_the_agreed_size_and_types_in_both_directions() {
    let world = World::with(|setup| {
        let limits = json!({ "max_content": "10 B", "media_types": ["text/*"] });
        setup.agreements = vec![agreement_with("beta", "limits", limits)];
    });
    let mut large = message("m1", BO, &[ADA]);
    large.content = Content::text("eleven octe");
    let refused = world
        .handle(world.theirs("beta", "m1"), Request::Send(large.clone()))
        .await
        .unwrap_err();
    assert_eq!(refused, Refusal::TooLarge { size: 11, limit: 10 });
    large.sender = person(ADA);
    large.recipients = people(&[BEA]);
    let answer = world
        .handle(world.ours("m2"), Request::Send(large))
        .await
        .unwrap();
    assert_eq!(
        outcome_of(&answer, BEA),
        Err(Refusal::TooLarge { size: 11, limit: 10 })
    );
    let mut image = message("m3", BO, &[ADA]);
    image.content.media_type = "image/png".parse().unwrap();
    let refused = world
        .handle(world.theirs("beta", "m3"), Request::Send(image))
        .await
        .unwrap_err();
    assert!(matches!(refused, Refusal::MediaType { media_type } if media_type == "image/png"));
}

#[tokio::test]
async fn too_many_recipients_are_refused_with_the_limit() {
    let world = World::with(|setup| {
        let limits = json!({ "max_recipients": 1 });
        setup.agreements = vec![agreement_with("beta", "limits", limits)];
    });
    let request = Request::Send(message("m1", BO, &[ADA, "wv:eve@alpha.example"]));
    let refused = world
        .handle(world.theirs("beta", "m1"), request)
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("limits.max_recipients of beta is 1"),
        "{refused}"
    );
}

#[tokio::test]
async fn message_without_recipients_is_a_bad_request() {
    let world = World::new();
    let request = Request::Send(message("m1", ADA, &[]));
    let refused = world.handle(world.ours("m1"), request).await.unwrap_err();
    assert!(matches!(refused, Refusal::BadRequest { .. }), "{refused}");
}

#[tokio::test]
async fn peer_beyond_its_rate_is_refused_and_another_peer_is_not() {
    let world = World::with(|setup| {
        let limits = json!({ "requests_per_second": 1, "burst": 2 });
        setup.agreements = vec![agreement_with("beta", "limits", limits), agreement("gamma")];
    });
    let ask = async |peer: &str, from: &str, id: &str| {
        let request = Request::Send(message(id, from, &[ADA]));
        world.handle(world.theirs(peer, id), request).await
    };
    assert!(ask("beta", BO, "m1").await.is_ok());
    assert!(ask("beta", BO, "m2").await.is_ok());
    let refused = ask("beta", BO, "m3").await.unwrap_err();
    assert!(
        matches!(&refused, Refusal::RateExceeded { clause, .. } if clause == "limits.requests_per_second of beta"),
        "{refused}"
    );
    assert!(ask("gamma", GIL, "m4").await.is_ok());
}

#[tokio::test]
async fn sender_beyond_his_rate_is_refused_his_neighbour_is_not_and_reports_do_not_count() {
    let world = World::with(|setup| {
        let limits = json!({ "sender_per_minute": 1 });
        setup.agreements = vec![agreement_with("beta", "limits", limits)];
    });
    let ask = async |from: &str, id: &str| {
        let request = Request::Send(message(id, from, &[ADA]));
        world.handle(world.theirs("beta", id), request).await
    };
    assert!(ask(BO, "m1").await.is_ok());
    let refused = ask(BO, "m2").await.unwrap_err();
    assert!(
        matches!(&refused, Refusal::RateExceeded { clause, .. } if clause == "limits.sender_per_minute of beta"),
        "{refused}"
    );
    assert!(ask("wv:bill@beta.example", "m3").await.is_ok());
    let late = world
        .handle(world.theirs("beta", "r"), Request::Report(report("m9", BO, ADA)))
        .await
        .unwrap_err();
    assert!(
        matches!(late, Refusal::NotFound { .. }),
        "past the limits: {late}"
    );
}

#[tokio::test]
async fn changed_agreements_are_in_force_at_once() {
    let world = World::new();
    assert_eq!(world.ada_sends("m1", BEA).await, Ok(Acceptance::Taken));
    world.agree(&[agreement_with("beta", "services", json!({}))]);
    assert!(matches!(
        world.ada_sends("m2", BEA).await,
        Err(Refusal::NotAgreed { .. })
    ));
}

#[tokio::test]
async fn refusal_ends_the_trail_with_its_reason() {
    let world = World::new();
    let request = Request::Send(message("m1", GIL, &[ADA]));
    let refused = world
        .handle(world.theirs("beta", "m1"), request)
        .await
        .unwrap_err();
    let trails = world.trails.lock().unwrap();
    let last = trails[0].steps.last().unwrap();
    assert_eq!(last.stop, crate::model::Stop::Answer);
    assert_eq!(
        last.event,
        crate::model::StepEvent::Refused {
            reason: refused.to_string()
        }
    );
}
