//! Use case 5.21: watchers, consent, blocks, and one's own presence.

use std::collections::BTreeMap;

use super::{
    super::outgoing::{NewContact, Wish},
    ADA, BEA, BEN, CLEO, Fixture, address, refusal,
};
use crate::model::{
    Answer, AttributeName, AttributeValue, GetPresence, Presence, PresenceNotification, Refusal, Request,
    Subscribe, Unsubscribe,
};

fn subscribe(watcher: &str, presentity: &str) -> Request {
    Request::Subscribe(Subscribe {
        watcher: address(watcher),
        presentities: vec![address(presentity)],
        attributes: Vec::new(),
    })
}

fn text(name: AttributeName, text: &str) -> BTreeMap<AttributeName, Option<AttributeValue>> {
    [(name, Some(AttributeValue::Text(text.into())))].into()
}

/// Nothing is public: everybody waits for consent.
async fn reserved() -> Fixture {
    Fixture::with(|config| config.public_attributes.clear()).await
}

#[tokio::test]
async fn public_attributes_are_seen_by_everybody() {
    let fixture = Fixture::new().await;
    fixture.log_in("ada@alpha.example").await;
    assert_eq!(refusal(fixture.deliver(subscribe(BEA, ADA)).await), None);
    let told = fixture.line.notifications();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].watchers, vec![address(BEA)]);
    assert_eq!(told[0].values[0].0.to_string(), ADA);
    assert_eq!(told[0].values[0].1.online(), Some(true));
    assert!(
        fixture
            .ada()
            .state()
            .relations
            .watchers
            .contains_key("+46701234567")
    );
}

#[tokio::test]
async fn unauthorised_watcher_is_accepted_told_nothing_and_told_all_on_consent() {
    let fixture = reserved().await;
    fixture.log_in("ada@alpha.example").await;
    let ada = fixture.ada();
    let mut joined = ada.state().streams.join("d", None, 8).unwrap();
    assert_eq!(refusal(fixture.deliver(subscribe(BEA, ADA)).await), None);
    let told = fixture.line.notifications();
    assert!(told[0].values[0].1.is_empty());
    let event = joined.events.try_recv().unwrap().event;
    assert_eq!(event.name(), "watcher");

    fixture
        .home
        .grant(&ada, &address(BEA), vec![AttributeName::OnlineStatus])
        .await
        .unwrap();
    fixture.home.underway().idle().await;
    let told = fixture.line.notifications();
    assert_eq!(told[0].values[0].1.online(), Some(true));

    fixture.home.revoke(&ada, &address(BEA)).await.unwrap();
    fixture.home.underway().idle().await;
    assert!(fixture.line.notifications()[0].values[0].1.is_empty());
}

#[tokio::test]
async fn contact_may_see_that_one_is_online() {
    let fixture = reserved().await;
    fixture.log_in("ada@alpha.example").await;
    fixture.deliver(subscribe(BEA, ADA)).await.unwrap();
    fixture.line.take();
    let bea = NewContact {
        wish: Wish::Address(BEA.into()),
        nickname: None,
    };
    fixture.home.add_contact(&fixture.ada(), bea).await.unwrap();
    fixture.home.underway().idle().await;
    let told = fixture.line.notifications();
    assert_eq!(told[0].values[0].1.online(), Some(true));
    assert_eq!(told[0].values[0].1.attributes.len(), 1);
}

#[tokio::test]
async fn blocked_watcher_sees_nothing_until_unblocked() {
    let fixture = Fixture::new().await;
    fixture.log_in("ada@alpha.example").await;
    fixture.deliver(subscribe(BEA, ADA)).await.unwrap();
    fixture.line.take();
    fixture.home.block(&fixture.ada(), &address(BEA)).await.unwrap();
    fixture.home.underway().idle().await;
    assert!(fixture.line.notifications()[0].values[0].1.is_empty());
    let look = Request::GetPresence(GetPresence {
        watcher: address(BEA),
        presentities: vec![address(ADA)],
        attributes: Vec::new(),
    });
    assert_eq!(
        fixture.deliver(look).await,
        Ok(Answer::Presence(vec![(address(ADA), Presence::default())]))
    );
    fixture.home.unblock(&fixture.ada(), &address(BEA)).await.unwrap();
    fixture.home.underway().idle().await;
    assert_eq!(fixture.line.notifications()[0].values[0].1.online(), Some(true));
}

#[tokio::test]
async fn watchers_who_see_the_same_share_one_notification() {
    let fixture = Fixture::new().await;
    fixture.log_in("ada@alpha.example").await;
    for watcher in [BEA, "wv:+46701234568", BEN] {
        fixture.deliver(subscribe(watcher, ADA)).await.unwrap();
    }
    let ada = fixture.ada();
    fixture
        .home
        .grant(&ada, &address(BEN), vec![AttributeName::StatusText])
        .await
        .unwrap();
    fixture.home.underway().idle().await;
    fixture.line.take();
    fixture
        .home
        .set_presence(&ada, text(AttributeName::UserAvailability, "DISCREET"))
        .await
        .unwrap();
    fixture.home.underway().idle().await;
    let told = fixture.line.notifications();
    let mut sizes: Vec<_> = told.iter().map(|one| one.watchers.len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes.iter().sum::<usize>(), 3);
    assert!(sizes.len() <= 2, "{told:?}");
    // Only Ben may see the status text, so nobody else hears of it.
    fixture
        .home
        .set_presence(&ada, text(AttributeName::StatusText, "On the\u{0} 08:15"))
        .await
        .unwrap();
    fixture.home.underway().idle().await;
    let told = fixture.line.notifications();
    assert_eq!((told.len(), &told[0].watchers), (1, &vec![address(BEN)]));
    assert_eq!(
        told[0].values[0].1.text(AttributeName::StatusText),
        Some("On the 08:15")
    );
}

#[tokio::test]
async fn presence_attributes_are_checked() {
    let fixture = Fixture::new().await;
    let ada = fixture.ada();
    for values in [
        text(AttributeName::UserAvailability, "PERHAPS"),
        text(AttributeName::StatusMood, "MOODY"),
        text(AttributeName::ClientInfo, "x"),
        [(AttributeName::StatusText, Some(AttributeValue::Flag(true)))].into(),
    ] {
        let refused = fixture.home.set_presence(&ada, values).await;
        assert!(matches!(refused, Err(Refusal::BadRequest { .. })));
    }
}

#[tokio::test]
async fn hidden_subscriber_seems_offline() {
    let fixture = Fixture::new().await;
    fixture.log_in("ada@alpha.example").await;
    fixture.deliver(subscribe(BEA, ADA)).await.unwrap();
    fixture.line.take();
    let hide = [(AttributeName::OnlineStatus, Some(AttributeValue::Flag(false)))].into();
    fixture.home.set_presence(&fixture.ada(), hide).await.unwrap();
    fixture.home.underway().idle().await;
    assert_eq!(fixture.line.notifications()[0].values[0].1.online(), Some(false));
}

#[tokio::test]
async fn subscribing_again_brings_the_state_again_and_one_watcher() {
    let fixture = Fixture::new().await;
    for _ in 0..2 {
        fixture.deliver(subscribe(BEA, ADA)).await.unwrap();
        assert_eq!(fixture.line.notifications().len(), 1);
    }
    assert_eq!(fixture.ada().state().relations.watchers.len(), 1);
    let end = || {
        Request::Unsubscribe(Unsubscribe {
            watcher: address(BEA),
            presentities: vec![address(ADA)],
        })
    };
    for _ in 0..2 {
        assert_eq!(refusal(fixture.deliver(end()).await), None);
    }
    assert!(fixture.ada().state().relations.watchers.is_empty());
}

#[tokio::test]
async fn watchers_are_bounded_and_strangers_unknown() {
    let fixture = Fixture::with(|config| config.limits.watchers = 1).await;
    fixture.deliver(subscribe(BEA, ADA)).await.unwrap();
    assert!(matches!(
        refusal(fixture.deliver(subscribe(CLEO, ADA)).await),
        Some(Refusal::QueueFull { .. })
    ));
    let nobody = fixture.deliver(subscribe(BEA, "wv:+447700900199")).await;
    assert!(matches!(refusal(nobody), Some(Refusal::UnknownUser { .. })));
}

#[tokio::test]
async fn notification_reaches_only_those_who_watch_and_only_as_news() {
    let fixture = Fixture::new().await;
    fixture.log_in("ada@alpha.example").await;
    let ada = fixture.ada();
    let mut joined = ada.state().streams.join("d", None, 8).unwrap();
    let mut presence = Presence::default();
    presence.set(AttributeName::OnlineStatus, Some(AttributeValue::Flag(true)));
    let notify = || {
        Request::Notify(PresenceNotification {
            watchers: vec![address(ADA), address(BEN)],
            values: vec![(address("wv:+46701234567@beta.example"), presence.clone())],
        })
    };
    fixture.deliver(notify()).await.unwrap();
    assert!(joined.events.try_recv().is_err());
    fixture.home.watch_person(&ada, &address(BEA)).await.unwrap();
    fixture.deliver(notify()).await.unwrap();
    fixture.deliver(notify()).await.unwrap();
    assert_eq!(joined.events.try_recv().unwrap().event.name(), "presence");
    assert!(joined.events.try_recv().is_err());
    assert!(fixture.ben().state().relations.known.is_empty());
}

#[tokio::test]
async fn watcher_by_user_name_hears_of_the_user_name() {
    let fixture = Fixture::new().await;
    fixture
        .deliver(subscribe(BEA, "wv:ada@alpha.example"))
        .await
        .unwrap();
    assert_eq!(
        fixture.line.notifications()[0].values[0].0.to_string(),
        "wv:ada@alpha.example"
    );
}

#[tokio::test]
async fn refused_subscription_is_not_kept() {
    let fixture = Fixture::new().await;
    let refusal = Refusal::UnknownUser {
        recipient: address(BEA),
    };
    fixture.line.answer(Err(refusal.clone()));
    let ada = fixture.ada();
    assert_eq!(fixture.home.watch_person(&ada, &address(BEA)).await, Err(refusal));
    assert!(ada.state().relations.watching.is_empty());
}

#[tokio::test]
async fn last_notification_is_the_newest_state() {
    let fixture = Fixture::with(|config| config.public_attributes.push(AttributeName::StatusText)).await;
    fixture.log_in(ADA).await;
    fixture.deliver(subscribe(BEA, ADA)).await.unwrap();
    fixture.line.take();
    let ada = fixture.ada();
    for count in 0..20 {
        fixture
            .home
            .set_presence(&ada, text(AttributeName::StatusText, &count.to_string()))
            .await
            .unwrap();
    }
    fixture.home.underway().idle().await;
    let told = fixture.line.notifications();
    let texts: Vec<u32> = told
        .iter()
        .map(|one| {
            one.values[0]
                .1
                .text(AttributeName::StatusText)
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    assert!(texts.is_sorted() && texts.last() == Some(&19), "{texts:?}");
}

#[tokio::test]
async fn hiding_the_number_moves_subscriptions_to_the_user_name() {
    let fixture = Fixture::new().await;
    let ada = fixture.ada();
    fixture.home.watch_person(&ada, &address(BEA)).await.unwrap();
    fixture.line.take();
    let settings = super::super::Settings {
        disclose_msisdn: false,
        ..super::super::Settings::default()
    };
    let change = super::super::outgoing::SettingsChange {
        settings: Some(settings),
        ..Default::default()
    };
    fixture.home.change_settings(&ada, change).await.unwrap();
    fixture.home.underway().idle().await;
    let sent = fixture.line.take();
    let [Request::Unsubscribe(old), Request::Subscribe(new)] = &sent[..] else {
        panic!("{sent:?}")
    };
    assert_eq!(
        (old.watcher.to_string(), new.watcher.to_string()),
        (ADA.into(), "wv:ada@alpha.example".into())
    );
}
