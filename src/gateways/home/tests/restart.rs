//! Everything that a subscriber relies on is there after a restart.

use super::{
    super::{
        HomeError,
        outgoing::{NewContact, Wish},
    },
    ADA, BEA, BEN, CLEO, Fixture, PASSWORD, account, address,
};
use crate::{
    model::{AttributeName, AttributeValue, Content, Request, SendMessage, Subscribe},
    store::Space,
};

fn message(id: &str) -> Request {
    Request::Send(SendMessage {
        sender: address(BEA),
        recipients: vec![address(ADA)],
        id: Some(id.parse().unwrap()),
        report_wanted: true,
        validity: None,
        sent_at: None,
        content: Content::text("x"),
        conversation: None,
    })
}

#[tokio::test]
async fn contacts_of_those_who_stay_logged_in_are_watched_anew() {
    let fixture = Fixture::new().await;
    fixture.log_in(ADA).await;
    for (owner, contact) in [(fixture.ada(), BEA), (fixture.ben(), CLEO)] {
        let new = NewContact {
            wish: Wish::Address(contact.into()),
            nickname: None,
        };
        fixture.home.add_contact(&owner, new).await.unwrap();
    }
    let fixture = fixture.restart().await;
    fixture.home.watch_again();
    fixture.home.underway().idle().await;
    let watch = Subscribe {
        watcher: fixture.ada().identity(),
        presentities: vec![address(BEA)],
        attributes: Vec::new(),
    };
    assert_eq!(
        fixture.line.take(),
        [Request::Subscribe(watch)],
        "Ben has no device"
    );

    let validity = fixture.config.limits.token_validity;
    fixture.hand.advance(validity);
    fixture.home.watch_again();
    fixture.home.underway().idle().await;
    assert!(fixture.line.take().is_empty(), "her token is over");
}

#[tokio::test]
async fn accounts_relations_inbox_devices_and_presence_survive() {
    let fixture = Fixture::new().await;
    let device = fixture.log_in(ADA).await;
    let ada = fixture.ada();
    let bea = NewContact {
        wish: Wish::Address(BEA.into()),
        nickname: Some("Bea".into()),
    };
    fixture.home.add_contact(&ada, bea).await.unwrap();
    fixture
        .home
        .block(&ada, &address("wv:pest@beta.example"))
        .await
        .unwrap();
    fixture
        .home
        .grant(&ada, &address(BEA), vec![AttributeName::StatusText])
        .await
        .unwrap();
    fixture.home.watch_person(&ada, &address(BEN)).await.unwrap();
    let status = [(
        AttributeName::StatusText,
        Some(AttributeValue::Text("Here".into())),
    )]
    .into();
    fixture.home.set_presence(&ada, status).await.unwrap();
    fixture.deliver(message("m1")).await.unwrap();
    let subscribe = Subscribe {
        watcher: address(BEA),
        presentities: vec![address(ADA)],
        attributes: Vec::new(),
    };
    fixture.deliver(Request::Subscribe(subscribe)).await.unwrap();
    drop((ada, device.subscriber));

    let fixture = fixture.restart().await;
    let ada = fixture.ada();
    {
        let state = ada.state();
        let relations = &state.relations;
        assert_eq!(relations.contacts["+46701234567"].nickname, "Bea");
        assert!(relations.blocks.contains_key("pest@beta.example"));
        assert_eq!(
            relations.grants["+46701234567"].attributes,
            vec![AttributeName::StatusText]
        );
        assert!(relations.watching.contains_key("+447700900124"));
        assert!(relations.watchers.contains_key("+46701234567"));
        assert_eq!(state.inbox.waiting.len(), 1);
        assert_eq!(state.presence().text(AttributeName::StatusText), Some("Here"));
        assert_eq!(state.presence().online(), Some(true));
    }
    assert!(fixture.home.authenticate(&device.token).is_some());
    // The repeat of a message from before is still one.
    fixture.deliver(message("m1")).await.unwrap();
    fixture.deliver(message("m2")).await.unwrap();
    let waiting = fixture.home.waiting(&ada, None, 10).await.unwrap();
    assert_eq!(waiting.len(), 2);
    assert!(waiting[0].0 < waiting[1].0);
}

#[tokio::test]
async fn owed_report_survives() {
    let fixture = Fixture::new().await;
    fixture.deliver(message("m1")).await.unwrap();
    let ada = fixture.ada();
    let (id, _) = fixture.home.waiting(&ada, None, 1).await.unwrap()[0];
    fixture.line.answer(Err(crate::model::Refusal::Internal {
        reason: "down".into(),
    }));
    fixture.home.acknowledge(&ada, id).await.unwrap();
    drop(ada);
    let fixture = fixture.restart().await;
    fixture.home.sweep().await;
    assert_eq!(fixture.line.reports().len(), 1);
    assert!(
        fixture
            .store
            .rows(Space::Home, "report/", None, 1, fixture.clock.now())
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn row_that_can_not_be_read_keeps_nobody_down() {
    let fixture = Fixture::new().await;
    let batch = crate::store::Batch::new(fixture.clock.now())
        .put(Space::Relation, "+447700900123/contact/+46701234567", "{", None)
        .put(Space::Relation, "nonsense", "{}", None)
        .put(Space::Inbox, "+447700900123/1", "{}", None)
        .put(Space::Account, "+447700900777", "{}", None);
    fixture.store.commit(batch).await.unwrap();
    let fixture = fixture.restart().await;
    assert!(fixture.ada().state().relations.contacts.is_empty());
    assert_eq!(fixture.home.accounts_after("", None, 100).len(), 3);
}

#[tokio::test]
async fn removed_account_leaves_no_row() {
    let fixture = Fixture::new().await;
    fixture.log_in(ADA).await;
    let ada = fixture.ada();
    fixture
        .home
        .add_contact(
            &ada,
            NewContact {
                wish: Wish::Address(BEA.into()),
                nickname: None,
            },
        )
        .await
        .unwrap();
    fixture.deliver(message("m1")).await.unwrap();
    fixture.home.set_presence(&ada, [].into()).await.unwrap();
    fixture.home.remove_account(&ada.number).await.unwrap();
    fixture.home.underway().idle().await;
    for space in [Space::Account, Space::Relation, Space::Inbox, Space::Home] {
        let rows = fixture
            .store
            .rows(space, "", None, 100, fixture.clock.now())
            .await
            .unwrap();
        assert!(
            rows.iter().all(|row| !row.key.contains("+447700900123")),
            "{rows:?}"
        );
    }
    assert!(fixture.home.subscriber(&address(ADA)).is_none());
    assert!(fixture.home.log_in(ADA, PASSWORD, "").await.unwrap().is_none());
    assert!(matches!(
        fixture.home.remove_account(&ada.number).await,
        Err(HomeError::NoAccount(_))
    ));
}

#[tokio::test]
async fn number_and_name_belong_to_one_account() {
    let fixture = Fixture::new().await;
    let taken = fixture
        .home
        .add_account(account("+447700900123", "adele", "alpha.example"))
        .await;
    assert!(matches!(taken, Err(HomeError::Account { .. })));
    let taken = fixture
        .home
        .add_account(account("+447700900130", "ADA", "alpha.example"))
        .await;
    assert!(matches!(taken, Err(HomeError::Account { .. })));
    fixture
        .home
        .add_account(account("+447700900230", "ada", "second.example"))
        .await
        .unwrap();
    for (user, home) in [
        ("a/b", "alpha.example"),
        ("+447", "alpha.example"),
        ("", "alpha.example"),
        ("x", "beta.example"),
    ] {
        let odd = fixture
            .home
            .add_account(account("+447700900131", user, home))
            .await;
        assert!(matches!(odd, Err(HomeError::Account { .. })), "{user}");
    }
}

#[tokio::test]
async fn configured_accounts_are_made_once_and_ranges_choose_the_domain() {
    let text = r#"
        listen = "127.0.0.1:0"
        [limits]
        password_memory = "8 KiB"
        password_passes = 1
        [[domain]]
        name = "alpha.example"
        numbers = ["+4477009001"]
        [[domain]]
        name = "second.example"
        numbers = ["+4477009002"]
        [[account]]
        number = "+447700900250"
        user = "dora"
        friendly_name = "Dora"
        password = "lab lab lab"
    "#;
    let config: super::HomeConfig = toml::from_str(text).unwrap();
    assert!(config.problems().is_empty());
    assert!(!format!("{config:?}").contains("lab lab"));
    let fixture = Fixture::with(|own| *own = config).await;
    let dora = fixture
        .home
        .account_of_number(&"+447700900250".parse().unwrap())
        .unwrap();
    assert_eq!(dora.domain, super::domain("second.example"));
    let fixture = fixture.restart().await;
    assert_eq!(fixture.home.accounts_after("", None, 100).len(), 4);
    assert!(toml::from_str::<super::HomeConfig>("colour = 1").is_err());
    let wrong: super::HomeConfig =
        toml::from_str("[[domain]]\nname = \"a.example\"\nnumbers = [\"44\"]").unwrap();
    assert_eq!(wrong.problems().len(), 1);
}
