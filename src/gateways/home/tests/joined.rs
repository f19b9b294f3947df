//! Two home domains in one process, joined by the real relay: the use cases from one person to the other.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::{
    super::{
        event::Event,
        outgoing::{NewContact, NewMessage, Wish},
    },
    ADA, CLEO, Fixture, PASSWORD, address, domain,
};
use crate::{
    agreement::Agreements,
    model::{Acceptance, Content, Refusal},
    relay::{Egress, IdentitySecret, Relay, RelayConfig, RelayParts},
    routing::{HomeDirectory, Router, RoutingConfig},
};

/// The fixture's home domain, without its recorder, under a relay of its own.
pub(super) async fn joined() -> (Fixture, Arc<Relay>) {
    let mut fixture = Fixture::new().await;
    let (config, store, clock) = (
        fixture.config.clone(),
        Arc::clone(&fixture.store),
        fixture.clock.clone(),
    );
    let home = super::HomeDomain::new(config, Arc::clone(&store), clock.clone())
        .await
        .unwrap();
    fixture.home = Arc::clone(&home);
    let own = vec![domain("alpha.example"), domain("second.example")];
    let directory = Arc::clone(&home) as Arc<dyn HomeDirectory>;
    let relay = Arc::new(Relay::new(RelayParts {
        config: RelayConfig::default(),
        agreements: Arc::new(ArcSwap::from_pointee(Agreements::new(Vec::new()))),
        router: Arc::new(Router::new(
            RoutingConfig::default(),
            directory,
            own.clone(),
            clock.clone(),
        )),
        store,
        shares_store: false,
        egresses: vec![Arc::clone(&home) as Arc<dyn Egress>],
        own,
        clock,
        secret: IdentitySecret::new(&[7; 32]),
        trails: Box::new(|_| {}),
    }));
    home.connect(Arc::downgrade(&relay));
    (fixture, relay)
}

#[tokio::test]
async fn add_by_number_announces_and_shows_presence() {
    let (fixture, _relay) = joined().await;
    let (home, ada) = (&fixture.home, fixture.ada());
    let cleo = home.subscriber(&address(CLEO)).unwrap();
    home.log_in(CLEO, PASSWORD, "").await.unwrap().unwrap();
    let wish = Wish::Number("+447700900223".into());
    let added = home
        .add_contact(&ada, NewContact { wish, nickname: None })
        .await
        .unwrap();
    home.underway().idle().await;
    assert_eq!(
        (added.contact.address.to_string(), added.contact.nickname.as_str()),
        (CLEO.into(), "CLEO")
    );
    assert_eq!(
        (added.notice, added.subscription),
        (Some(Ok(Acceptance::Taken)), Some(Ok(Acceptance::Taken)))
    );
    assert_eq!(ada.state().relations.known["+447700900223"].online(), Some(true));
    assert!(cleo.state().relations.watchers.contains_key("+447700900123"));
    let waiting = home.waiting(&cleo, None, 10).await.unwrap();
    let Event::Notice { by, can_add_back, .. } = &waiting[0].1.event else {
        panic!("{waiting:?}")
    };
    assert_eq!((by.to_string(), can_add_back), (ADA.into(), &true));
    // Step 15: from this message, Cleo adds Ada reciprocally.
    let back = NewContact {
        wish: Wish::Address(by.to_string()),
        nickname: None,
    };
    let back = home.add_contact(&cleo, back).await.unwrap();
    assert_eq!(back.contact.address.to_string(), ADA);
}

#[tokio::test]
async fn message_is_taken_and_its_report_comes_back() {
    let (fixture, _relay) = joined().await;
    let (home, ada) = (&fixture.home, fixture.ada());
    let cleo = home.subscriber(&address(CLEO)).unwrap();
    let new = || NewMessage {
        id: Some("a1".into()),
        to: vec![address(CLEO)],
        content: Content::text("Hello"),
        report_wanted: true,
        validity: None,
        conversation: None,
    };
    // The device repeats its request after a lost answer.
    for _ in 0..2 {
        let (id, recipients) = home.send_message(&ada, new()).await.unwrap();
        assert_eq!(
            (id.as_str(), &recipients[0].outcome),
            ("a1", &Ok(Acceptance::Taken))
        );
    }
    let waiting = home.waiting(&cleo, None, 10).await.unwrap();
    assert_eq!(waiting.len(), 1);
    home.acknowledge(&cleo, waiting[0].0).await.unwrap();
    home.underway().idle().await;
    let waiting = home.waiting(&ada, None, 10).await.unwrap();
    let Event::Report {
        message_id,
        is_delivered,
        recipient,
        ..
    } = &waiting[0].1.event
    else {
        panic!("{waiting:?}")
    };
    assert_eq!(
        (message_id.as_str(), *is_delivered, recipient.to_string()),
        ("a1", true, CLEO.into())
    );

    home.block(&cleo, &address("wv:ada@alpha.example")).await.unwrap();
    let (_, recipients) = home
        .send_message(&ada, NewMessage { id: None, ..new() })
        .await
        .unwrap();
    assert_eq!(
        recipients[0].outcome,
        Err(Refusal::Blocked {
            recipient: address(CLEO)
        })
    );
}

#[tokio::test]
async fn invitation_goes_there_and_its_answer_back() {
    let (fixture, _relay) = joined().await;
    let (home, ada) = (&fixture.home, fixture.ada());
    let cleo = home.subscriber(&address(CLEO)).unwrap();
    let new = super::super::outgoing::NewInvite {
        to: address(CLEO),
        kind: crate::model::InviteType::Chat,
        group: None,
        application: None,
        attributes: Vec::new(),
        content_urls: Vec::new(),
        note: None,
        screen_name: None,
        validity: None,
    };
    let id = home.invite(&ada, new).await.unwrap();
    home.answer_invitation(&cleo, &id, false, (None, None))
        .await
        .unwrap();
    let waiting = home.waiting(&ada, None, 10).await.unwrap();
    assert!(
        matches!(
            &waiting[0].1.event,
            Event::InvitationAnswer {
                is_accepted: false,
                ..
            }
        ),
        "{waiting:?}"
    );
}

#[tokio::test]
async fn search_by_alias_stays_at_home() {
    let (fixture, _relay) = joined().await;
    let pair = crate::model::SearchPair {
        element: crate::model::SearchElement::UserAlias,
        text: "ben".into(),
    };
    let found = fixture
        .home
        .search_for(&fixture.ada(), vec![pair], 10, None)
        .await
        .unwrap();
    assert_eq!(found.users.len(), 1);
}
