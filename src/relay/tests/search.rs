//! Search: by number or ID to the operator, else at home; what is refused with 402.

use serde_json::json;

use super::*;
use crate::model::{Found, Search, SearchCursor, SearchElement, SearchPair};

fn search(element: SearchElement, text: &str) -> Request {
    Request::Search(Search {
        by: person(ADA),
        pairs: vec![SearchPair {
            element,
            text: text.into(),
        }],
        limit: 10,
        resume: None,
    })
}

fn found(who: &str) -> Answer {
    Answer::Found(Found {
        users: vec![(person(who), Some("Bea".into()))],
        groups: Vec::new(),
        total: 1,
        more: None,
    })
}

#[tokio::test]
async fn number_is_searched_at_its_operator_however_it_is_written() {
    let world = World::new();
    for text in ["+46701234567", "tel:+46701234567", " +46 70-123 45.67 "] {
        world.ssp.answers(found(BEA));
        let answer = world
            .handle(world.ours("s"), search(SearchElement::UserMobileNumber, text))
            .await;
        assert_eq!(answer, Ok(found(BEA)), "{text}");
        assert_eq!(world.ssp.asked()[0].domain, domain("beta.example"), "{text}");
    }
}

#[tokio::test]
async fn id_is_searched_in_its_domain() {
    let world = World::new();
    for (element, text) in [
        (SearchElement::UserId, BO),
        (SearchElement::GroupId, "wv:bo/friends@beta.example"),
    ] {
        world
            .handle(world.ours("s"), search(element, text))
            .await
            .unwrap();
        assert_eq!(world.ssp.asked()[0].domain, domain("beta.example"), "{text}");
    }
}

#[tokio::test]
async fn search_that_names_no_operator_stays_at_home() {
    let world = World::new();
    let request = search(SearchElement::UserFirstName, "Bea");
    world.handle(world.ours("s"), request).await.unwrap();
    assert_eq!(world.home.asked().len(), 1);
    assert!(world.ssp.asked().is_empty());
}

#[tokio::test]
async fn wildcards_and_incomplete_numbers_are_refused() {
    let world = World::new();
    for text in ["+4670*", "+46?01234567", "+4670%", "+", ""] {
        let refused = world
            .handle(world.ours("s"), search(SearchElement::UserMobileNumber, text))
            .await
            .unwrap_err();
        let is_402 = matches!(
            refused,
            Refusal::Wildcard | Refusal::InvalidAddress { .. } | Refusal::BadRequest { .. }
        );
        assert!(is_402, "{text}: {refused}");
        if text.contains(['*', '?', '%']) {
            assert_eq!(refused, Refusal::Wildcard, "{text}");
        }
    }
    assert!(world.ssp.asked().is_empty());
}

#[tokio::test]
async fn search_without_anything_to_match_is_a_bad_request() {
    let world = World::new();
    let request = Request::Search(Search {
        by: person(ADA),
        pairs: Vec::new(),
        limit: 10,
        resume: None,
    });
    let refused = world.handle(world.ours("s"), request).await.unwrap_err();
    assert!(matches!(refused, Refusal::BadRequest { .. }), "{refused}");
}

#[tokio::test]
async fn peer_that_can_not_search_is_answered_for_only_where_agreed_and_only_for_a_number() {
    let unsupported = || Refusal::Unsupported {
        what: "SearchRequest".into(),
    };
    let number = || search(SearchElement::UserMobileNumber, "+46701234567");
    let strict = World::new();
    strict.ssp.refuses(unsupported());
    assert_eq!(
        strict.handle(strict.ours("s"), number()).await,
        Err(unsupported())
    );

    let agreed = World::with(|setup| {
        setup.agreements = vec![agreement_with("beta", "search_from_enum", json!(true))];
    });
    agreed.ssp.refuses(unsupported());
    let answer = agreed.handle(agreed.ours("s"), number()).await.unwrap();
    assert!(matches!(answer, Answer::Found(found) if found.users == vec![(person(BEA), None)]));
    agreed.ssp.refuses(unsupported());
    let named = search(SearchElement::UserId, BO);
    assert_eq!(agreed.handle(agreed.ours("s"), named).await, Err(unsupported()));
}

#[tokio::test]
async fn search_fails_when_nobody_answers_and_is_not_kept() {
    let world = World::new();
    world.ssp.takes_nothing();
    let request = search(SearchElement::UserMobileNumber, "+46701234567");
    assert_eq!(world.handle(world.ours("s"), request).await, Err(unreachable()));
    assert!(world.waiting().await.is_empty());
}

#[tokio::test]
async fn end_of_a_search_is_told_to_the_side_that_keeps_it() {
    let world = World::new();
    let stop = || Request::StopSearch {
        by: person(ADA),
        cursor: SearchCursor {
            id: "s-1".into(),
            index: 1,
        },
    };
    assert_eq!(world.handle(world.ours("s"), stop()).await, Ok(Answer::Done));
    assert_eq!(world.home.asked().len(), 1);
    world.home.refuses(Refusal::Unsupported {
        what: "StopSearch".into(),
    });
    assert_eq!(world.handle(world.ours("s"), stop()).await, Ok(Answer::Done));
}

fn stop(id: &str) -> Request {
    Request::StopSearch {
        by: person(ADA),
        cursor: SearchCursor {
            id: id.into(),
            index: 1,
        },
    }
}

#[tokio::test]
async fn end_of_a_search_goes_where_the_search_is_kept() {
    let world = World::with(|setup| {
        setup.own.push(domain("omega.example"));
        let server = agreement_with("omega", "role", json!("home"));
        setup.agreements.push(server);
    });
    let more = Answer::Found(Found {
        users: vec![(person(BEA), None)],
        groups: Vec::new(),
        total: 9,
        more: Some(SearchCursor {
            id: "s-81".into(),
            index: 2,
        }),
    });
    let of_ole = |mut request: Request| {
        match &mut request {
            Request::Search(search) => search.by = person("wv:ole@omega.example"),
            Request::StopSearch { by, .. } => *by = person("wv:ole@omega.example"),
            _ => {}
        }
        request
    };
    for (index, side) in [0, 1].into_iter().enumerate() {
        let ingress = |world: &World| match side {
            0 => world.ours("s"),
            _ => world.theirs("omega", "s"),
        };
        let ask = |request: Request| if side == 0 { request } else { of_ole(request) };
        world.ssp.answers(more.clone());
        let request = ask(search(
            SearchElement::UserMobileNumber,
            BEA.trim_start_matches("wv:"),
        ));
        world.handle(ingress(&world), request).await.unwrap();
        assert_eq!(world.ssp.asked().len(), 1, "{index}");
        for other in ["s-82", "s-81", "s-81"] {
            let answer = world.handle(ingress(&world), ask(stop(other))).await;
            assert_eq!(answer, Ok(Answer::Done), "{index} {other}");
        }
        let asked = world.ssp.asked();
        let ends: Vec<_> = asked
            .iter()
            .map(|one| (one.domain.as_str(), one.request.name()))
            .collect();
        assert_eq!(
            ends,
            [("beta.example", "stop-search")],
            "{index}: once, and only the one that is kept there"
        );
    }
}

#[tokio::test]
async fn end_of_a_search_is_a_success_although_the_peer_does_not_know_the_primitive() {
    let world = World::new();
    world.ssp.answers(Answer::Found(Found {
        users: Vec::new(),
        groups: Vec::new(),
        total: 9,
        more: Some(SearchCursor {
            id: "s-1".into(),
            index: 1,
        }),
    }));
    let request = search(SearchElement::UserMobileNumber, "+46701234567");
    world.handle(world.ours("s"), request).await.unwrap();
    world.ssp.refuses(Refusal::Unsupported { what: "405".into() });
    assert_eq!(world.handle(world.ours("e"), stop("s-1")).await, Ok(Answer::Done));
}
