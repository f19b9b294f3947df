//! Use case 5.20 steps 5 to 7, at the side that is asked.

use super::{ADA, BEA, BEN, Fixture, address, refusal};
use crate::model::{Answer, Found, Refusal, Request, Search, SearchElement, SearchPair};

fn search(by: &str, element: SearchElement, text: &str) -> Request {
    let text = text.to_owned();
    Request::Search(Search {
        by: address(by),
        pairs: vec![SearchPair { element, text }],
        limit: 1,
        resume: None,
    })
}

async fn found(fixture: &Fixture, request: Request) -> Found {
    let answer = fixture.deliver(request).await.unwrap();
    let Answer::Found(found) = answer else {
        panic!("{answer:?}")
    };
    found
}

#[tokio::test]
async fn number_is_answered_with_number_and_friendly_name() {
    let fixture = Fixture::new().await;
    let found = found(
        &fixture,
        search(BEA, SearchElement::UserMobileNumber, "+44 7700 900123"),
    )
    .await;
    assert_eq!(found.users, vec![(address(ADA), Some("ADA".into()))]);
    assert_eq!(found.users[0].0.to_string(), ADA);
}

#[tokio::test]
async fn user_id_is_found_under_the_number_that_stays() {
    let fixture = Fixture::new().await;
    let found = found(
        &fixture,
        search(BEA, SearchElement::UserId, "wv:Ada@alpha.example"),
    )
    .await;
    assert_eq!(found.users[0].0.to_string(), ADA);
}

#[tokio::test]
async fn private_number_is_never_tied_to_a_name() {
    let fixture = Fixture::new().await;
    let ada = fixture.ada();
    fixture
        .home
        .change_account(&ada, |account| account.settings.disclose_msisdn = false)
        .await
        .unwrap();
    let by_number = found(
        &fixture,
        search(BEA, SearchElement::UserMobileNumber, "+447700900123"),
    )
    .await;
    assert_eq!(by_number.users, vec![(address(ADA), None)]);
    let by_id = found(
        &fixture,
        search(BEA, SearchElement::UserId, "wv:ada@alpha.example"),
    )
    .await;
    assert_eq!(
        by_id.users,
        vec![(address("wv:ada@alpha.example"), Some("ADA".into()))]
    );
}

#[tokio::test]
async fn unknown_number_is_not_found_and_wildcards_are_refused() {
    let fixture = Fixture::new().await;
    let nobody = found(
        &fixture,
        search(BEA, SearchElement::UserMobileNumber, "+447700900199"),
    )
    .await;
    assert_eq!(nobody, Found::default());
    for text in ["+44770090*", "+447?", "+44"] {
        let answer = fixture
            .deliver(search(BEA, SearchElement::UserMobileNumber, text))
            .await;
        assert_eq!(refusal(answer), Some(Refusal::Wildcard), "{text}");
    }
}

#[tokio::test]
async fn blocked_searcher_finds_nobody() {
    let fixture = Fixture::new().await;
    fixture.home.block(&fixture.ada(), &address(BEA)).await.unwrap();
    let nobody = found(
        &fixture,
        search(BEA, SearchElement::UserMobileNumber, "+447700900123"),
    )
    .await;
    assert_eq!(nobody.total, 0);
}

#[tokio::test]
async fn names_are_searched_at_home_only_and_page_by_page() {
    let fixture = Fixture::new().await;
    for (number, user) in [("+447700900125", "benny"), ("+447700900126", "bennett")] {
        fixture
            .home
            .add_account(super::account(number, user, "alpha.example"))
            .await
            .unwrap();
    }
    let answer = fixture
        .deliver(search(BEA, SearchElement::UserAlias, "ben"))
        .await;
    // Not 405, which says that a peer knows no searches at all.
    assert!(matches!(refusal(answer), Some(Refusal::NotSearched { .. })));

    let first = found(&fixture, search(ADA, SearchElement::UserAlias, "ben")).await;
    assert_eq!((first.total, first.users.len()), (3, 1));
    assert_eq!(first.users[0].0, address(BEN));
    let resume = |by: &str, cursor| {
        Request::Search(Search {
            by: address(by),
            pairs: Vec::new(),
            limit: 10,
            resume: cursor,
        })
    };
    let second = found(&fixture, resume(ADA, first.more.clone())).await;
    assert_eq!((second.users.len(), second.more), (2, None));
    let stranger = fixture.deliver(resume(BEN, first.more.clone())).await;
    assert!(matches!(refusal(stranger), Some(Refusal::NotFound { .. })));

    let stop = Request::StopSearch {
        by: address(ADA),
        cursor: first.more.clone().unwrap(),
    };
    fixture.deliver(stop).await.unwrap();
    let over = fixture.deliver(resume(ADA, first.more)).await;
    assert!(matches!(refusal(over), Some(Refusal::NotFound { .. })));
}

#[tokio::test]
async fn inactive_account_is_nobodys() {
    let fixture = Fixture::new().await;
    fixture
        .home
        .set_active(&"+447700900123".parse().unwrap(), false)
        .await
        .unwrap();
    let nobody = found(
        &fixture,
        search(BEA, SearchElement::UserMobileNumber, "+447700900123"),
    )
    .await;
    assert_eq!(nobody.total, 0);
    use crate::routing::HomeDirectory;
    assert_eq!(fixture.home.account(&address(ADA)), None);
    assert_eq!(
        fixture.home.account(&address("wv:ben@alpha.example")),
        Some(super::domain("alpha.example"))
    );
    assert_eq!(
        fixture
            .home
            .account(&address("wv:+447700900124@elsewhere.example")),
        Some(super::domain("alpha.example"))
    );
    assert_eq!(fixture.home.account(&address("wv:ben@second.example")), None);
}
