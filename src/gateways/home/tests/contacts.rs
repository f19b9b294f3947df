//! Use case 5.20, at the side of the person who adds and at that of the person added.

use std::time::Duration;

use super::{
    super::{
        event::Event,
        outgoing::{NewContact, Wish},
    },
    ADA, BEA, Fixture, address, refusal,
};
use crate::model::{
    Acceptance, Answer, AttributeName, AttributeValue, ContactAdded, Found, Presence, PresenceNotification,
    Refusal, Request, SearchElement,
};

fn by_number(number: &str, nickname: Option<&str>) -> NewContact {
    NewContact {
        wish: Wish::Number(number.into()),
        nickname: nickname.map(Into::into),
    }
}

fn bea_is_found() -> Answer {
    Answer::Found(Found {
        users: vec![(address(BEA), Some("Bea\u{7}  Blom".into()))],
        total: 1,
        ..Found::default()
    })
}

fn added_by_bea(friendly_name: Option<&str>) -> Request {
    Request::ContactAdded(ContactAdded {
        by: address(BEA),
        friendly_name: friendly_name.map(Into::into),
        added: vec![address(ADA)],
        text: Some(("Click here!".into(), None)),
    })
}

#[tokio::test]
async fn one_touch_searches_adds_announces_and_watches() {
    let fixture = Fixture::new().await;
    fixture.line.answer(Ok(bea_is_found()));
    let added = fixture
        .home
        .add_contact(&fixture.ada(), by_number("+46 70-123 45 67", None))
        .await
        .unwrap();
    assert_eq!(added.contact.address.to_string(), BEA);
    assert_eq!(added.contact.nickname, "Bea Blom");
    assert_eq!(added.search, Some(Ok(true)));
    assert_eq!(
        (added.notice, added.subscription),
        (Some(Ok(Acceptance::Taken)), Some(Ok(Acceptance::Taken)))
    );
    let sent = fixture.line.take();
    let [
        Request::Search(search),
        Request::ContactAdded(notice),
        Request::Subscribe(subscribe),
    ] = &sent[..]
    else {
        panic!("{sent:?}");
    };
    assert_eq!(search.pairs[0].element, SearchElement::UserMobileNumber);
    assert_eq!(search.pairs[0].text, "+46701234567");
    assert_eq!(
        (notice.by.to_string(), notice.added[0].to_string()),
        (ADA.into(), BEA.into())
    );
    assert_eq!(notice.friendly_name.as_deref(), Some("ADA"));
    assert_eq!(
        (subscribe.watcher.to_string(), subscribe.presentities.len()),
        (ADA.into(), 1)
    );
}

#[tokio::test]
async fn own_nickname_wins_and_a_second_add_only_renames() {
    let fixture = Fixture::new().await;
    fixture.line.answer(Ok(bea_is_found()));
    let added = fixture
        .home
        .add_contact(&fixture.ada(), by_number("+46701234567", Some("Boss")))
        .await
        .unwrap();
    assert_eq!(added.contact.nickname, "Boss");
    fixture.line.take();
    fixture.line.answer(Ok(bea_is_found()));
    let again = fixture
        .home
        .add_contact(&fixture.ada(), by_number("+46701234567", Some("Bea")))
        .await
        .unwrap();
    assert!(again.was_there);
    assert_eq!(again.contact.nickname, "Bea");
    assert_eq!(fixture.line.names(), ["search"]);
}

#[tokio::test]
async fn number_that_nobody_serves_is_added_all_the_same() {
    let fixture = Fixture::new().await;
    let no_route = Refusal::NoRoute {
        recipient: address(BEA),
        reason: "no NAPTR".into(),
    };
    fixture.line.answer(Err(no_route.clone()));
    let added = fixture
        .home
        .add_contact(&fixture.ada(), by_number("+46701234567", None))
        .await
        .unwrap();
    assert_eq!(added.search, Some(Err(no_route)));
    assert_eq!(
        (added.contact.address.to_string(), added.contact.nickname.as_str()),
        (BEA.into(), "+46701234567")
    );
    fixture.line.answer(Ok(Answer::Found(Found::default())));
    let added = fixture
        .home
        .add_contact(&fixture.ada(), by_number("+46701234568", None))
        .await
        .unwrap();
    assert_eq!(added.search, Some(Ok(false)));
}

#[tokio::test]
async fn number_comes_alive_when_its_owner_registers_elsewhere() {
    let fixture = Fixture::new().await;
    let heard = by_number("+46701234568", None);
    fixture.home.add_contact(&fixture.ada(), heard).await.unwrap();
    fixture.deliver(online("wv:+46701234568")).await.unwrap();
    fixture.log_in(ADA).await;
    let nobody = Refusal::UnknownUser {
        recipient: address(BEA),
    };
    // The search finds nobody, neither the notice nor the subscription is taken.
    fixture.line.answer(Ok(Answer::Found(Found::default())));
    fixture.line.answer(Err(nobody.clone()));
    fixture.line.answer(Err(nobody));
    let added = by_number("+46701234567", None);
    fixture.home.add_contact(&fixture.ada(), added).await.unwrap();
    fixture.home.underway().idle().await;
    fixture.line.take();

    fixture.hand.advance(Duration::from_secs(3599));
    fixture.home.sweep().await;
    fixture.home.underway().idle().await;
    assert_eq!(fixture.line.names(), Vec::<&str>::new());
    fixture.hand.advance(Duration::from_secs(1));
    fixture.home.sweep().await;
    fixture.home.underway().idle().await;
    let asked = fixture.line.take();
    let [Request::Subscribe(subscribe)] = &asked[..] else {
        panic!("{asked:?}")
    };
    assert_eq!(
        subscribe.presentities,
        vec![address(BEA)],
        "the other was heard of"
    );

    fixture.deliver(online(BEA)).await.unwrap();
    fixture.hand.advance(Duration::from_secs(3600));
    fixture.home.sweep().await;
    fixture.home.underway().idle().await;
    assert_eq!(fixture.line.names(), Vec::<&str>::new(), "everybody was heard of");
}

/// What an operator says of a person who is there.
fn online(person: &str) -> Request {
    let mut presence = Presence::default();
    presence.set(AttributeName::OnlineStatus, Some(AttributeValue::Flag(true)));
    Request::Notify(PresenceNotification {
        watchers: vec![address(ADA)],
        values: vec![(address(person), presence)],
    })
}

#[tokio::test]
async fn nonsense_is_not_added() {
    let fixture = Fixture::with(|config| config.limits.contacts = 1).await;
    let home = &fixture.home;
    assert_eq!(
        home.add_contact(&fixture.ada(), by_number("+4670*", None))
            .await
            .unwrap_err(),
        Refusal::Wildcard
    );
    let own = home
        .add_contact(
            &fixture.ada(),
            NewContact {
                wish: Wish::Address("ada".into()),
                nickname: None,
            },
        )
        .await;
    assert!(matches!(own, Err(Refusal::BadRequest { .. })));
    home.add_contact(&fixture.ada(), by_number("+46701234567", None))
        .await
        .unwrap();
    let full = home
        .add_contact(&fixture.ada(), by_number("+46701234568", None))
        .await;
    assert!(matches!(full, Err(Refusal::QueueFull { .. })));
}

#[tokio::test]
async fn removed_contact_is_unsubscribed_from() {
    let fixture = Fixture::new().await;
    fixture
        .home
        .add_contact(&fixture.ada(), by_number("+46701234567", None))
        .await
        .unwrap();
    fixture.line.take();
    fixture
        .home
        .remove_contact(&fixture.ada(), &address(BEA))
        .await
        .unwrap();
    fixture.home.underway().idle().await;
    assert_eq!(fixture.line.names(), ["unsubscribe"]);
    let again = fixture.home.remove_contact(&fixture.ada(), &address(BEA)).await;
    assert!(matches!(again, Err(Refusal::NotFound { .. })));
}

#[tokio::test]
async fn private_number_is_announced_by_user_name() {
    let fixture = Fixture::new().await;
    let ada = fixture.ada();
    fixture
        .home
        .change_account(&ada, |account| {
            account.settings.disclose_msisdn = false;
            account.settings.disclose_friendly_name = false;
        })
        .await
        .unwrap();
    fixture
        .home
        .add_contact(&ada, by_number("+46701234567", None))
        .await
        .unwrap();
    let sent = fixture.line.take();
    for request in &sent {
        assert_eq!(request.sender().unwrap().to_string(), "wv:ada@alpha.example");
        assert!(!format!("{request:?}").contains("447700900123"), "{request:?}");
    }
}

#[tokio::test]
async fn notice_is_in_the_subscribers_language_and_offers_to_add_back() {
    let fixture = Fixture::new().await;
    let ada = fixture.ada();
    fixture
        .home
        .change_account(&ada, |account| account.language = "sv-SE".into())
        .await
        .unwrap();
    assert_eq!(
        refusal(fixture.deliver(added_by_bea(Some("Bea{address}\u{202e}"))).await),
        None
    );
    let waiting = fixture.home.waiting(&ada, None, 10).await.unwrap();
    let Event::Notice {
        by,
        text,
        language,
        can_add_back,
        ..
    } = &waiting[0].1.event
    else {
        panic!("{waiting:?}");
    };
    assert_eq!(
        (by.to_string(), language.as_str(), *can_add_back),
        (BEA.into(), "sv", true)
    );
    assert_eq!(
        text,
        "Bea{address} (wv:+46701234567) har lagt till dig som kontakt. Lägga till tillbaka?"
    );
    // A repeat while the first waits is taken and says nothing more.
    assert_eq!(refusal(fixture.deliver(added_by_bea(None)).await), None);
    assert_eq!(fixture.home.waiting(&ada, None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn notice_is_not_shown_to_who_does_not_want_it() {
    let fixture = Fixture::new().await;
    let ada = fixture.ada();
    fixture
        .home
        .change_account(&ada, |account| account.settings.notices = false)
        .await
        .unwrap();
    assert_eq!(refusal(fixture.deliver(added_by_bea(None)).await), None);
    fixture
        .home
        .change_account(&ada, |account| account.settings.notices = true)
        .await
        .unwrap();
    fixture.home.block(&ada, &address(BEA)).await.unwrap();
    assert_eq!(refusal(fixture.deliver(added_by_bea(None)).await), None);
    assert!(fixture.home.waiting(&ada, None, 10).await.unwrap().is_empty());
    let unknown = Request::ContactAdded(ContactAdded {
        by: address(BEA),
        friendly_name: None,
        added: vec![address("wv:+447700900199")],
        text: None,
    });
    assert!(matches!(
        refusal(fixture.deliver(unknown).await),
        Some(Refusal::UnknownUser { .. })
    ));
}

#[tokio::test]
async fn local_contact_is_the_same_person_under_number_and_name() {
    let fixture = Fixture::new().await;
    let by_name = NewContact {
        wish: Wish::Address("ben".into()),
        nickname: None,
    };
    let added = fixture.home.add_contact(&fixture.ada(), by_name).await.unwrap();
    assert_eq!(added.contact.address.to_string(), "wv:ben@alpha.example");
    fixture
        .home
        .remove_contact(&fixture.ada(), &address(super::BEN))
        .await
        .unwrap();
    assert!(fixture.ada().state().relations.contacts.is_empty());
}
