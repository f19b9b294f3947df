//! In front of a home server that can't be told of us: a session for each partner, in the partner's name.

use super::*;
use crate::{
    model::{Content, Request, SendMessage},
    wire::ssp::Entity,
};

/// The peer is a home server that meets `charlie.example` and `delta.example`.
async fn home_server() -> World {
    let world = World::new().await;
    world
        .agreements
        .store(Arc::new(agreements(&world, &[CHARLIE, DELTA])));
    world.named(CHARLIE)
}

impl World {
    /// From now on the peer asks for this domain, and the link under test speaks as it.
    fn named(mut self, domain: &'static str) -> Self {
        self.speak_as(domain);
        self
    }

    fn speak_as(&mut self, domain: &'static str) {
        (self.own, self.spoken_to) = (domain.parse().unwrap(), Some(domain));
    }
}

fn agreements(world: &World, partners: &[&str]) -> Agreements {
    let home = format!(
        "peer = \"bravo\"\ndomains = [\"bravo.example\", \"eu.bravo.example\"]\nrole = \"home\"\npresents = \"partner-domains\"\n\
         msisdn_form = \"with-domain\"\nservers = [\"{}\"]\nallowed_networks = [\"127.0.0.0/8\"]\n\
         services = {{ in = [\"message\"], out = [\"message\"] }}\ntls = {{ required = false, mutual = false }}",
        world.peer.address
    );
    let partner = |domain: &&str| {
        format!(
            "peer = \"{}\"\ndomains = [\"{domain}\"]",
            domain.replace('.', "-")
        )
    };
    let all = std::iter::once(home).chain(partners.iter().map(partner));
    Agreements::new(all.map(|text| toml::from_str(&text).unwrap()).collect())
}

fn message_of(sender: &str) -> Request {
    Request::Send(SendMessage {
        sender: sender.parse().unwrap(),
        recipients: vec!["wv:+447700900456".parse().unwrap()],
        id: Some("m-1".parse().unwrap()),
        report_wanted: false,
        validity: None,
        sent_at: None,
        content: Content::text("hello"),
        conversation: None,
    })
}

fn service_of(step: &SetupTransaction) -> &str {
    let SetupPrimitive::SendSecretToken(token) = &step.primitive else {
        panic!("{step:?}")
    };
    &token.service_id
}

#[tokio::test]
async fn each_partner_has_a_session_of_its_own_that_either_side_opens() {
    let mut world = home_server().await;
    let charlie = world.open().await;
    assert_eq!(charlie.ours.domain(), Some(CHARLIE));
    world.speak_as(DELTA);
    let delivering = world.deliver(message_of("wv:+4915112345678@old.example"), PATIENCE);
    let one = world.peer.step(Mode::Request).await;
    assert_eq!(service_of(&one), "wv:@delta.example");
    let delta = world.go_on_climbing(one, "77@bravo.example").await;
    let asked = world.peer.transaction(&delta).await;
    let Primitive::SendMessageRequest(message) = &asked.primitive else {
        panic!("{asked:?}")
    };
    let Entity::User(sender) = &message.info.sender else {
        panic!("{message:?}")
    };
    assert_eq!(sender.user_id, "wv:+4915112345678@delta.example");
    let meta = message.meta.as_ref().unwrap();
    assert_eq!(
        meta.user.as_ref().unwrap().user_id,
        "wv:+4915112345678@delta.example"
    );
    world.answer(&delta, &asked.id, success()).await;
    assert!(delivering.await.unwrap().is_ok());
    let mut names: Vec<_> = world
        .gateway
        .board()
        .iter()
        .map(|link| link.own.to_string())
        .collect();
    names.sort();
    assert_eq!(names, [CHARLIE, DELTA]);
    // Each is what it was after a restart.
    world.restart().await;
    assert_eq!(world.ids(), Some(delta));
    world.speak_as(CHARLIE);
    assert_eq!(world.ids(), Some(charlie));
}

#[tokio::test]
async fn home_server_that_asks_for_nobody_we_know_is_turned_away() {
    let mut world = home_server().await;
    let id = TransactionId::new("1");
    for name in [
        None,
        Some("echo.example"),
        Some("example"),
        Some("notcharlie.example"),
        Some("bravo.example"),
        Some("eu.bravo.example"),
    ] {
        world.spoken_to = name;
        let said = world.say_step(Mode::Request, &id, token()).await;
        assert_eq!(said, Answer::Forbidden, "{name:?}");
    }
    assert!(world.peer.is_silent());
}

#[tokio::test]
async fn home_server_may_ask_for_a_server_inside_of_the_domain() {
    let mut world = home_server().await;
    for (name, own) in [
        ("ssp.charlie.example", CHARLIE),
        ("Delta.Example", DELTA),
        ("alpha.example", "alpha.example"),
    ] {
        world.spoken_to = Some(name);
        let said = world
            .say_step(Mode::Request, &TransactionId::new(name), token())
            .await;
        assert_eq!(said, Answer::Taken);
        let two = world.peer.step(Mode::Response).await;
        assert_eq!(service_of(&two), format!("wv:@{own}"));
    }
}

#[tokio::test]
async fn peer_that_is_no_home_server_is_met_as_ourselves_whatever_it_asks_for() {
    let mut world = home_server().await;
    let mut all = vec![
        world
            .agreements
            .load()
            .for_domain(&bravo())
            .unwrap()
            .config
            .clone(),
    ];
    all[0].role = crate::agreement::Role::Partner;
    all.push(toml::from_str("peer = \"charlie\"\ndomains = [\"charlie.example\"]").unwrap());
    world.agreements.store(Arc::new(Agreements::new(all)));
    world.spoken_to = Some(CHARLIE);
    let said = world
        .say_step(Mode::Request, &TransactionId::new("1"), token())
        .await;
    assert_eq!(said, Answer::Taken);
    assert_eq!(
        service_of(&world.peer.step(Mode::Response).await),
        "wv:@alpha.example"
    );
}

#[tokio::test]
async fn session_of_a_partner_ends_with_its_agreement() {
    let mut world = home_server().await;
    let charlie = world.open().await;
    world.speak_as(DELTA);
    let (delta, six) = world.climb("2", "904@bravo.example").await;
    six.take();
    until(|| world.ids().as_ref() == Some(&delta)).await;
    world.agreements.store(Arc::new(agreements(&world, &[DELTA])));
    let ping = || vec![transaction(Mode::Request, "9", ask(1))];
    assert_eq!(world.say_in(&charlie, ping()).await, Answer::Forbidden);
    assert_eq!(world.say_in(&delta, ping()).await, Answer::Taken);
    world.peer.transaction(&delta).await;
    world.gateway.reload();
    let out = world.peer.transaction(&charlie).await;
    assert!(matches!(out.primitive, Primitive::LogoutRequest(_)), "{out:?}");
    assert!(world.ids().is_some(), "the other partner's stays");
    world.speak_as(CHARLIE);
    let refused = world
        .deliver(message_of("wv:+447700900789"), PATIENCE)
        .await
        .unwrap();
    assert!(refused.is_err());
    assert!(world.peer.is_silent());
    let names: Vec<_> = world
        .gateway
        .board()
        .iter()
        .map(|link| link.own.to_string())
        .collect();
    assert_eq!(names, [DELTA]);
}

#[tokio::test]
async fn sessions_with_several_partners_are_opened_at_once() {
    let mut world = home_server().await;
    let mut asked = Vec::new();
    for name in [CHARLIE, DELTA] {
        world.speak_as(name);
        asked.push(world.ask(7, None, PATIENCE));
    }
    let ones = [
        world.peer.step(Mode::Request).await,
        world.peer.step(Mode::Request).await,
    ];
    let mut names: Vec<_> = ones.iter().map(service_of).collect();
    names.sort_unstable();
    assert_eq!(names, ["wv:@charlie.example", "wv:@delta.example"]);
    // The later one goes on first.
    for (one, id) in ones
        .into_iter()
        .rev()
        .zip(["77@bravo.example", "78@bravo.example"])
    {
        world.speak_as(if service_of(&one) == "wv:@charlie.example" {
            CHARLIE
        } else {
            DELTA
        });
        let ids = world.go_on_climbing(one, id).await;
        let request = world.peer.transaction(&ids).await;
        world.answer(&ids, &request.id, success()).await;
    }
    for one in asked {
        assert!(one.await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn reconnecting_opens_the_names_that_are_in_use() {
    let mut world = home_server().await;
    world.gateway.reconnect(&bravo());
    let one = world.peer.step(Mode::Request).await;
    assert_eq!(
        service_of(&one),
        "wv:@charlie.example",
        "nothing is in use, so the first partner's"
    );
    let charlie = world.go_on_climbing(one, "77@bravo.example").await;
    world.gateway.reconnect(&bravo());
    let (mut out, mut again) = (None, None);
    while out.is_none() || again.is_none() {
        match world.peer.next().await.take() {
            Document::Setup(step) => again = Some(step),
            Document::Session { session_id, .. } => out = Some(session_id),
        }
    }
    assert_eq!(out, Some(charlie.ours));
    assert_eq!(service_of(&again.unwrap()), "wv:@charlie.example");
}

const CHARLIE: &str = "charlie.example";
const DELTA: &str = "delta.example";
