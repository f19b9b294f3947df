//! Lists, storms and inboxes at their bounds.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;
use serde_json::json;

use super::{
    super::{
        event::Event,
        outgoing::{NewContact, Wish},
        stream::Joined,
    },
    ADA, Fixture, PASSWORD, address,
    api::Served,
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

/// What a device heard of the list, in order.
fn list_as_heard(device: &mut Joined) -> Vec<(String, String, bool)> {
    let mut heard = Vec::new();
    while let Ok(streamed) = device.events.try_recv() {
        if let Event::Contact {
            address,
            nickname,
            is_removed,
        } = &*streamed.event
        {
            heard.push((address.to_string(), nickname.clone(), *is_removed));
        }
    }
    heard
}

#[tokio::test(flavor = "multi_thread")]
async fn two_devices_that_change_one_list_at_once_lose_nothing_and_hear_one_order() {
    // So many that the events fit into what a device may leave unread.
    const EACH: usize = 16;
    let fixture = Fixture::new().await;
    let (home, ada) = (&fixture.home, fixture.ada());
    let mut devices: Vec<_> = ["phone", "tablet"]
        .iter()
        .map(|device| ada.state().streams.join(device, None, 8).unwrap())
        .collect();
    let person = |n: usize| address(&format!("wv:user{n}@beta.example"));
    for n in 0..EACH / 2 {
        home.add_contact(&ada, wish(n)).await.unwrap();
    }
    // Both add people of their own and the same ones, name and remove those who stand there.
    let change = |device: usize, n: usize| {
        let (home, ada) = (home.clone(), ada.clone());
        let own = wish(100 + device * EACH + n);
        let both = NewContact {
            nickname: Some(format!("by {device}")),
            ..wish(1_000 + n)
        };
        async move {
            home.add_contact(&ada, own).await.unwrap();
            home.add_contact(&ada, both).await.unwrap();
            let known = person(n % (EACH / 2));
            match (device, n % 3) {
                (0, 0) => drop(home.remove_contact(&ada, &known).await),
                _ => drop(home.rename_contact(&ada, &known, &format!("{device} {n}")).await),
            }
        }
    };
    let changes = (0..2).flat_map(|device| (0..EACH).map(move |n| (device, n)));
    let running: Vec<_> = changes
        .map(|(device, n)| tokio::spawn(change(device, n)))
        .collect();
    for one in join_all(running).await {
        one.unwrap();
    }
    home.underway().idle().await;
    let [phone, tablet] = &mut devices[..] else {
        panic!()
    };
    let (phone, tablet) = (list_as_heard(phone), list_as_heard(tablet));
    assert_eq!(phone, tablet, "one order for both");
    let mut list = BTreeMap::new();
    for (address, nickname, is_removed) in phone {
        if is_removed {
            list.remove(&address);
        } else {
            list.insert(address, nickname);
        }
    }
    let kept = |fixture: &Fixture| -> BTreeMap<_, _> {
        let ada = fixture.ada();
        let state = ada.state();
        let contacts = state.relations.contacts.values();
        contacts
            .map(|one| (one.address.to_string(), one.nickname.clone()))
            .collect()
    };
    assert_eq!(list, kept(&fixture), "what was heard is what stands there");
    for n in 0..EACH {
        for added in [100 + n, 100 + EACH + n, 1_000 + n] {
            assert!(list.contains_key(&person(added).to_string()), "{added} is lost");
        }
    }
    // The last word on who is watched is the list's.
    let mut watched = BTreeMap::new();
    for request in fixture.line.take() {
        let (people, is_watched) = if let Request::Subscribe(subscribe) = request {
            (subscribe.presentities, true)
        } else if let Request::Unsubscribe(unsubscribe) = request {
            (unsubscribe.presentities, false)
        } else {
            continue;
        };
        watched.extend(people.into_iter().map(|one| (one.to_string(), is_watched)));
    }
    watched.retain(|_, is_watched| *is_watched);
    assert!(watched.keys().eq(list.keys()), "{watched:?} {list:?}");
    drop(ada);
    let fixture = fixture.restart().await;
    assert_eq!(list, kept(&fixture), "and what is in the store");
}

#[tokio::test]
async fn contact_that_is_added_while_his_removal_is_under_way_stays_watched() {
    let fixture = Fixture::new().await;
    let (home, ada) = (&fixture.home, fixture.ada());
    home.add_contact(&ada, wish(1)).await.unwrap();
    fixture.line.take();
    // The errand that unsubscribes has not run when another device adds him again.
    home.remove_contact(&ada, &address("wv:user1@beta.example"))
        .await
        .unwrap();
    home.add_contact(&ada, wish(1)).await.unwrap();
    home.underway().idle().await;
    let last = fixture
        .line
        .names()
        .into_iter()
        .rfind(|name| ["subscribe", "unsubscribe"].contains(name));
    assert_eq!(last, Some("subscribe"));
}

#[tokio::test(flavor = "multi_thread")]
async fn flood_of_one_subscriber_is_bounded_and_the_others_are_served() {
    const A_MINUTE: u32 = 20;
    let fixture = Fixture::with(|config| config.limits.requests_per_minute = A_MINUTE).await;
    let served = Served::new(fixture).await;
    let (ada, ben) = (
        served.token("ada@alpha.example").await,
        served.token("ben@alpha.example").await,
    );
    let ask = |path: &'static str, token: String| {
        let request = served
            .client
            .get(format!("{}{path}", served.base))
            .bearer_auth(token);
        async move {
            let response = request.send().await.unwrap();
            let again = response.headers().get("retry-after").cloned();
            (response.status().as_u16(), again)
        }
    };
    let paths = ["/v1/me", "/v1/contacts", "/v1/groups", "/v1/inbox", "/v1/events"];
    let flood = (0..300).map(|n| ask(paths[n % paths.len()], ada.clone()));
    let (flood, others) = tokio::join!(join_all(flood), async {
        let mut others = Vec::new();
        for _ in 0..10 {
            others.push(ask("/v1/me", ben.clone()).await.0);
        }
        others
    });
    assert_eq!(others, [200; 10], "who does not flood is served");
    let (taken, refused): (Vec<_>, Vec<_>) = flood.into_iter().partition(|(status, _)| *status == 200);
    assert_eq!(taken.len(), A_MINUTE as usize);
    for (status, again) in refused {
        let again: u64 = again
            .expect("it says when to come back")
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!(status == 429 && (1..=60).contains(&again), "{status} {again}");
    }
    served.fixture.hand.advance(Duration::from_secs(60));
    assert_eq!(ask("/v1/me", ada).await.0, 200, "and after a minute so is he");
}

#[tokio::test]
async fn tokens_made_of_two_or_cut_open_nothing() {
    let served = Served::new(Fixture::new().await).await;
    let (ada, ben) = (
        served.token("ada@alpha.example").await,
        served.token("ben@alpha.example").await,
    );
    let (device, secret) = ada.split_once('.').unwrap();
    let (other_device, other_secret) = ben.split_once('.').unwrap();
    let long = "x".repeat(7_000);
    for token in [
        format!("{device}.{other_secret}"),
        format!("{other_device}.{secret}"),
        format!("{device}."),
        format!(".{secret}"),
        device.to_owned(),
        format!("{ada}{ada}"),
        format!("{device}.{long}"),
    ] {
        let (status, answer) = served.call("GET", "/v1/me", Some(&token), None).await;
        assert_eq!(
            (status, &answer["error"]["status"]),
            (401, &json!(604)),
            "{token}"
        );
    }
    let (_, me) = served.call("GET", "/v1/me", Some(&ada), None).await;
    assert_eq!(me["address"], ADA);
    let ada_is_gone = served.call("POST", "/v1/logout", Some(&ada), None).await;
    assert_eq!(ada_is_gone.0, 204);
    assert_eq!(served.call("GET", "/v1/me", Some(&ada), None).await.0, 401);
    assert_eq!(served.call("GET", "/v1/me", Some(&ben), None).await.0, 200);
}
