//! Lists, storms and inboxes at their bounds.

use super::{
    super::outgoing::{NewContact, Wish},
    ADA, Fixture, PASSWORD, address,
};
use crate::model::{
    AttributeName, AttributeValue, ByteSize, Content, Presence, Refusal, Request, SendMessage, Subscribe,
    WvAddress,
};

fn wish(n: usize) -> NewContact {
    NewContact {
        wish: Wish::Address(format!("wv:user{n}@beta.example")),
        nickname: None,
    }
}

fn watch(n: usize) -> Request {
    Request::Subscribe(Subscribe {
        watcher: address(&format!("wv:watcher{n}@beta.example")),
        presentities: vec![address(ADA)],
        attributes: Vec::new(),
    })
}

fn message(n: usize) -> Request {
    Request::Send(SendMessage {
        sender: address("wv:bea@beta.example"),
        recipients: vec![address(ADA)],
        id: Some(format!("m{n}").parse().unwrap()),
        report_wanted: false,
        validity: None,
        sent_at: None,
        content: Content::text("x"),
        conversation: None,
    })
}

#[tokio::test]
async fn list_of_ten_thousand_contacts_is_whole_and_one_more_is_refused() {
    const CONTACTS: usize = 10_000;
    let fixture = Fixture::new().await;
    let ada = fixture.ada();
    for n in 0..CONTACTS {
        fixture.home.add_contact(&ada, wish(n)).await.unwrap();
        // Each is announced and subscribed to; what nobody looks at is forgotten.
        fixture.line.take();
    }
    let refused = fixture.home.add_contact(&ada, wish(CONTACTS)).await;
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(ada.state().relations.contacts.len(), CONTACTS);
    drop(ada);
    let fixture = fixture.restart().await;
    assert_eq!(fixture.ada().state().relations.contacts.len(), CONTACTS);
    fixture.home.log_in(ADA, PASSWORD, "").await.unwrap().unwrap();
    fixture.home.underway().idle().await;
    let mut asked: Vec<WvAddress> = Vec::new();
    for request in fixture.line.take() {
        if let Request::Subscribe(subscribe) = request {
            asked.extend(subscribe.presentities);
        }
    }
    assert_eq!(asked.len(), CONTACTS, "the login subscribes to the whole list");
}

#[tokio::test]
async fn storm_of_changes_is_told_to_a_thousand_watchers_in_few_notifications() {
    const WATCHERS: usize = 1_000;
    const CHANGES: usize = 60;
    let fixture = Fixture::with(|config| config.public_attributes.push(AttributeName::StatusText)).await;
    fixture.log_in(ADA).await;
    for n in 0..WATCHERS {
        fixture.deliver(watch(n)).await.unwrap();
        fixture.line.take();
    }
    let ada = fixture.ada();
    let changes = async {
        for n in 0..CHANGES {
            let status = Some(AttributeValue::Text(n.to_string()));
            let change = [(AttributeName::StatusText, status)].into();
            fixture.home.set_presence(&ada, change).await.unwrap();
        }
    };
    changes.await;
    fixture.home.underway().idle().await;
    let told = fixture.line.notifications();
    let newest = (CHANGES - 1).to_string();
    let is_newest = |presence: &Presence| presence.text(AttributeName::StatusText) == Some(&newest);
    let reached: usize = told
        .iter()
        .filter(|one| is_newest(&one.values[0].1))
        .map(|one| one.watchers.len())
        .sum();
    assert_eq!(reached, WATCHERS, "everybody has the newest state");
    let each = WATCHERS.div_ceil(super::super::telling::AT_ONCE);
    assert!(
        told.len() <= each * (CHANGES + 1),
        "{} notifications; one has room for {}",
        told.len(),
        super::super::telling::AT_ONCE
    );
}

#[tokio::test]
async fn inbox_of_a_hundred_thousand_is_read_page_by_page_and_takes_no_more() {
    const EVENTS: usize = 100_000;
    let fixture = Fixture::with(|config| {
        config.limits.inbox_events = EVENTS;
        config.limits.inbox_size = ByteSize::mib(64);
    })
    .await;
    let ada = fixture.ada();
    for n in 0..EVENTS {
        let answer = fixture.deliver(message(n)).await.unwrap();
        assert!(
            !matches!(answer.for_recipient(&address(ADA)), Some(Err(_))),
            "{answer:?}"
        );
    }
    let refused = fixture.deliver(message(EVENTS)).await.unwrap();
    let outcome = refused.for_recipient(&address(ADA)).unwrap();
    assert!(matches!(outcome, Err(Refusal::QueueFull { .. })), "{outcome:?}");
    let mut after = None;
    let mut read = 0;
    loop {
        let page = fixture.home.waiting(&ada, after, 1_000).await.unwrap();
        let Some((last, _)) = page.last() else { break };
        (after, read) = (Some(*last), read + page.len());
    }
    assert_eq!(read, EVENTS);
}
