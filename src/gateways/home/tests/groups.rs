//! Groups: opened here, joined from here and from elsewhere, talked in, left, ended.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{
    super::{
        HomeDomain,
        event::{Event, LeftBecause},
        group::NewGroup,
        outgoing::{NewInvite, NewMessage},
        stream::Joined as Stream,
        subscriber::Subscriber,
    },
    ADA, BEA, BEN, CLEO, Fixture, PASSWORD, address,
    api::Served,
    joined::joined,
    refusal,
};
use crate::{
    model::{
        Acceptance, Answer, Content, Disposition, GroupAction, GroupAnswer, GroupEvent, GroupRefusal,
        GroupRequest, InviteAnswer, InviteId, InviteType, JoinedUser, MessageId, Outcome, Privilege,
        Property, RecipientOutcome, Refusal, Request, SendMessage,
    },
    relay::Undelivered,
};

const WALKERS: &str = "wv:ada/walkers@alpha.example";
/// Somebody else of another operator.
const BO: &str = "wv:bo@beta.example";

fn new(name: &str) -> NewGroup {
    NewGroup {
        name: Some(name.to_owned()),
        topic: "Sunday".into(),
        welcome: None,
        screen_name: "Ada".into(),
    }
}

fn invitation(group: &str, to: &str) -> NewInvite {
    NewInvite {
        to: address(to),
        kind: InviteType::Group,
        group: Some(address(group)),
        application: None,
        attributes: Vec::new(),
        content_urls: Vec::new(),
        note: None,
        screen_name: None,
        validity: None,
    }
}

fn message(to: &str, words: &str) -> NewMessage {
    NewMessage {
        id: None,
        to: vec![address(to)],
        content: Content::text(words),
        report_wanted: false,
        validity: None,
        conversation: None,
    }
}

/// A message of a partner's as it arrives.
fn sent(from: &str, to: &str, id: &str) -> Request {
    Request::Send(SendMessage {
        sender: address(from),
        recipients: vec![address(to)],
        id: Some(id.parse().unwrap()),
        report_wanted: false,
        validity: None,
        sent_at: None,
        content: Content::text("Hello"),
        conversation: None,
    })
}

fn asks(by: &str, group: &str, action: GroupAction) -> Request {
    Request::Group(GroupRequest {
        by: address(by),
        group: address(group),
        action,
    })
}

fn join(name: &str) -> GroupAction {
    GroupAction::Join {
        screen_name: Some(name.to_owned()),
        list_joined: true,
        subscribe: true,
        own_properties: Vec::new(),
    }
}

fn removed(group: &str, to: &[&str], why: GroupRefusal) -> Request {
    Request::GroupEvent(GroupEvent {
        removed: Some((why.status(), "out".into())),
        ..news(group, to, &[])
    })
}

fn news(group: &str, to: &[&str], joined: &[&str]) -> GroupEvent {
    GroupEvent {
        group: address(group),
        to: to.iter().copied().map(address).collect(),
        joined: joined.iter().map(|&name| name.to_owned()).collect(),
        left: Vec::new(),
        blocked: Vec::new(),
        unblocked: Vec::new(),
        group_properties: Vec::new(),
        own_properties: Vec::new(),
        removed: None,
    }
}

fn why(answer: Result<Answer, Undelivered>) -> Option<GroupRefusal> {
    refusal(answer).map(|refusal| refusal.of_group().unwrap_or_else(|| panic!("{refusal:?}")))
}

/// What a device hears, from now on.
fn listen(subscriber: &Subscriber) -> Stream {
    subscriber.state().streams.join("device", None, 8).unwrap()
}

fn heard(stream: &mut Stream) -> Vec<Event> {
    let mut events = Vec::new();
    while let Ok(streamed) = stream.events.try_recv() {
        events.push((*streamed.event).clone());
    }
    events
}

/// Words of messages in an inbox, with who said them in which group.
async fn words(home: &HomeDomain, subscriber: &Subscriber) -> Vec<(String, String, String)> {
    home.underway().idle().await;
    let waiting = home.waiting(subscriber, None, 100).await.unwrap();
    let said = |(_, stored): (u64, super::super::inbox::StoredEvent)| {
        let Event::Message {
            group,
            screen_name,
            content,
            ..
        } = stored.event
        else {
            return None;
        };
        Some((
            group?.to_string(),
            screen_name.unwrap_or_default(),
            content.text.unwrap_or_default(),
        ))
    };
    waiting.into_iter().filter_map(said).collect()
}

async fn accept(home: &HomeDomain, subscriber: &Arc<Subscriber>, accept: bool) -> Result<(), Refusal> {
    let waiting = home.waiting(subscriber, None, 100).await.unwrap();
    let id = waiting.iter().rev().find_map(|(_, stored)| {
        let Event::Invitation { invitation_id, .. } = &stored.event else {
            return None;
        };
        Some(invitation_id.parse::<InviteId>().unwrap())
    });
    let answered = home
        .answer_invitation(
            subscriber,
            &id.expect("an invitation waits"),
            accept,
            (None, None),
        )
        .await;
    home.underway().idle().await;
    answered
}

/// A group of Ada's that Bea, elsewhere, has joined; what that sent out is forgotten.
async fn with_bea(fixture: &Fixture) {
    let ada = fixture.ada();
    fixture.home.open_group(&ada, new("walkers")).await.unwrap();
    fixture.home.invite(&ada, invitation(WALKERS, BEA)).await.unwrap();
    let joined = fixture.deliver(asks(BEA, WALKERS, join("Bea"))).await;
    assert_eq!(refusal(joined), None);
    fixture.line.take();
}

#[tokio::test]
async fn invitations_lead_to_a_conversation_of_three() {
    let (fixture, _relay) = joined().await;
    let (home, ada, ben) = (&fixture.home, fixture.ada(), fixture.ben());
    let cleo = home.subscriber(&address(CLEO)).unwrap();
    let mut adas = listen(&ada);
    let opened = home.open(&ada, new("walkers")).await.unwrap();
    assert_eq!(opened.group.address, address(WALKERS));
    for guest in [BEN, CLEO] {
        home.invite(&ada, invitation(WALKERS, guest)).await.unwrap();
    }
    accept(home, &ben, true).await.unwrap();
    let mut bens = listen(&ben);
    accept(home, &cleo, true).await.unwrap();
    for stream in [&mut adas, &mut bens] {
        let came = heard(stream).into_iter().any(|event| {
            matches!(event, Event::GroupChange { joined, left, .. } if joined == ["CLEO"] && left.is_empty())
        });
        assert!(came);
    }
    let kept = cleo.state().relations.groups.values().next().cloned().unwrap();
    assert_eq!(
        (kept.topic.as_str(), kept.screen_name.as_str()),
        ("Sunday", "CLEO")
    );

    home.send_message(&cleo, message(WALKERS, "At ten?"))
        .await
        .unwrap();
    let said = (
        "wv:ada/walkers@alpha.example".to_owned(),
        "CLEO".to_owned(),
        "At ten?".to_owned(),
    );
    assert_eq!(words(home, &ada).await, std::slice::from_ref(&said));
    assert_eq!(words(home, &ben).await, [said]);
    assert!(words(home, &cleo).await.is_empty(), "not to who said it");

    home.send_message(&ben, message("wv:ada/walkers@alpha.example#Ada", "Cleo is late"))
        .await
        .unwrap();
    assert_eq!(words(home, &ada).await.len(), 2);
    assert!(words(home, &cleo).await.is_empty(), "a word to one alone");

    home.leave_group(&cleo, &address(WALKERS)).await.unwrap();
    home.underway().idle().await;
    let left = |event| matches!(event, Event::GroupChange { left, .. } if left == ["CLEO"]);
    assert!(heard(&mut bens).into_iter().any(left));
    home.send_message(&ada, message(WALKERS, "Gone?")).await.unwrap();
    assert!(words(home, &cleo).await.is_empty());
    let refused = home.send_message(&cleo, message(WALKERS, "Wait")).await.unwrap();
    assert_eq!(
        refused.1[0].outcome.as_ref().unwrap_err().of_group(),
        Some(GroupRefusal::NotJoined)
    );
    // He who left may come back.
    let back = home
        .join_group(&cleo, &address(WALKERS), (Some("Clio".into()), None))
        .await
        .unwrap();
    assert_eq!(back.names.len(), 3);

    home.delete_group(&ada, &address(WALKERS)).await.unwrap();
    home.underway().idle().await;
    for guest in [&ben, &cleo] {
        let last = home.waiting(guest, None, 100).await.unwrap().pop().unwrap();
        let Event::GroupLeft { why, .. } = last.1.event else {
            panic!("{last:?}")
        };
        assert_eq!(why, LeftBecause::Ended);
        assert!(guest.state().relations.groups.is_empty());
    }
    assert!(home.groups().is_empty());
}

#[tokio::test]
async fn only_who_is_invited_joins_as_long_as_he_is() {
    let fixture = Fixture::new().await;
    let (home, ada) = (&fixture.home, fixture.ada());
    home.open_group(&ada, new("walkers")).await.unwrap();
    let tries = |who: &'static str| fixture.deliver(asks(who, WALKERS, join("Guest")));
    assert_eq!(why(tries(BEA).await), Some(GroupRefusal::NotMember));

    let id = home.invite(&ada, invitation(WALKERS, BEA)).await.unwrap();
    home.cancel_invitation(&ada, &id, None).await.unwrap();
    assert_eq!(why(tries(BEA).await), Some(GroupRefusal::NotMember), "withdrawn");

    let id = home.invite(&ada, invitation(WALKERS, BEA)).await.unwrap();
    let declined = Request::InviteAnswer(InviteAnswer {
        id,
        accepted: false,
        inviting: address(ADA),
        responding: address(BEA),
        note: None,
        screen_name: None,
    });
    fixture.deliver(declined).await.unwrap();
    assert_eq!(why(tries(BEA).await), Some(GroupRefusal::NotMember), "declined");

    home.invite(&ada, invitation(WALKERS, BEA)).await.unwrap();
    fixture.hand.advance(Duration::from_secs(86_400 + 1));
    assert_eq!(why(tries(BEA).await), Some(GroupRefusal::NotMember), "too late");

    home.invite(&ada, invitation(WALKERS, BEA)).await.unwrap();
    home.block(&ada, &address(BEA)).await.unwrap();
    assert_eq!(
        why(tries(BEA).await),
        Some(GroupRefusal::Rejected),
        "blocked since"
    );
    let refused = home.invite(&ada, invitation(WALKERS, BEA)).await.unwrap_err();
    assert_eq!(refused.of_group(), Some(GroupRefusal::Rejected), "nor invited");

    fixture.line.take();
    fixture.line.answer(Err(Refusal::NoAgreement {
        domain: super::domain("beta.example"),
    }));
    let refused = home.invite(&ada, invitation(WALKERS, BO)).await.unwrap_err();
    assert!(matches!(refused, Refusal::NoAgreement { .. }), "{refused:?}");
    assert_eq!(
        why(tries(BO).await),
        Some(GroupRefusal::NotMember),
        "never invited"
    );
    let foreign = home
        .invite(&fixture.ben(), invitation(WALKERS, BO))
        .await
        .unwrap_err();
    assert_eq!(
        foreign.of_group(),
        Some(GroupRefusal::NotMember),
        "not Ben's group"
    );
}

#[tokio::test]
async fn strangers_reach_no_group_and_groups_no_strangers() {
    let fixture = Fixture::new().await;
    with_bea(&fixture).await;
    let tries = |from: &'static str, to: &'static str| fixture.deliver(sent(from, to, "m1"));
    assert_eq!(why(tries(BO, WALKERS).await), Some(GroupRefusal::NotJoined));
    assert_eq!(
        why(tries(BEA, "wv:ada/nothing@alpha.example").await),
        Some(GroupRefusal::Unknown)
    );
    assert_eq!(
        why(tries(BEA, "wv:/walkers@alpha.example").await),
        Some(GroupRefusal::Unknown)
    );
    assert_eq!(
        why(tries(BEA, "wv:ada/walkers@alpha.example#Nobody").await),
        Some(GroupRefusal::NoParticipant)
    );
    assert!(fixture.line.take().is_empty(), "nothing went out");
    // A group elsewhere that Ben has not joined has nothing to say to him.
    let foreign = "wv:bo/club@beta.example";
    assert_eq!(
        why(tries("wv:bo/club@beta.example#Bo", BEN).await),
        Some(GroupRefusal::NotJoined)
    );
    let told = fixture
        .deliver(Request::GroupEvent(news(foreign, &[BEN], &["Bo"])))
        .await;
    assert_eq!(why(told), Some(GroupRefusal::NotJoined));
    assert!(fixture.ben().state().inbox.waiting.is_empty());
}

/// Every action of a partner's, by somebody who is not in it, an ordinary member, and the owner: the status of each.
#[tokio::test]
async fn every_action_is_answered() {
    use GroupRefusal::{NotJoined, NotMember, NotPrivileged, Property as BadProperty, Unknown};
    let property = |name: &str| Property {
        name: name.into(),
        value: "New".into(),
    };
    let set = |name: &str| GroupAction::SetProperties {
        group: vec![property(name)],
        welcome_note: None,
        own: Vec::new(),
    };
    let own = |name: &str| GroupAction::SetProperties {
        group: Vec::new(),
        welcome_note: None,
        own: vec![property(name)],
    };
    let rejects = GroupAction::RejectList {
        add: vec![address("wv:eve@gamma.example")],
        remove: Vec::new(),
    };
    let people = || vec![address("wv:cy@gamma.example")];
    let privileges = GroupAction::SetPrivileges(vec![(Privilege::Moderator, address(BEA))]);
    let nobody = GroupAction::SetPrivileges(vec![(Privilege::Admin, address(BO))]);
    // The action; what a stranger, a member and the owner are told.
    let table = [
        (GroupAction::SubscribeChanges, Some(NotJoined), None, None),
        (GroupAction::SubscriptionStatus, Some(NotJoined), None, None),
        (GroupAction::UnsubscribeChanges, Some(NotJoined), None, None),
        (GroupAction::Members, Some(NotMember), Some(NotPrivileged), None),
        (GroupAction::JoinedUsers, Some(NotJoined), None, None),
        (
            GroupAction::AddMembers(people()),
            Some(NotMember),
            Some(NotPrivileged),
            None,
        ),
        (
            GroupAction::RemoveMembers(people()),
            Some(NotMember),
            Some(NotPrivileged),
            None,
        ),
        (
            GroupAction::RemoveMembers(people()),
            Some(NotMember),
            Some(NotPrivileged),
            Some(NotMember),
        ),
        (
            GroupAction::RemoveMembers(vec![address(ADA)]),
            Some(NotMember),
            Some(NotPrivileged),
            Some(NotPrivileged),
        ),
        (nobody, Some(NotMember), Some(NotPrivileged), Some(NotMember)),
        (GroupAction::Properties, Some(NotMember), None, None),
        (set("Topic"), Some(NotMember), Some(NotPrivileged), None),
        (
            set("MinimumAge"),
            Some(NotMember),
            Some(NotPrivileged),
            Some(BadProperty),
        ),
        (
            own("ScreenName"),
            Some(NotMember),
            None,
            Some(GroupRefusal::NameInUse),
        ),
        (
            own("ShowID"),
            Some(NotMember),
            Some(BadProperty),
            Some(BadProperty),
        ),
        (rejects, Some(NotMember), Some(NotPrivileged), None),
        (
            join("Else"),
            Some(NotMember),
            Some(GroupRefusal::AlreadyJoined),
            Some(GroupRefusal::AlreadyJoined),
        ),
        (privileges, Some(NotMember), Some(NotPrivileged), None),
        (
            GroupAction::Delete,
            Some(NotPrivileged),
            Some(NotPrivileged),
            None,
        ),
        // It is gone now.
        (GroupAction::Leave, Some(Unknown), Some(Unknown), Some(Unknown)),
    ];
    let fixture = Fixture::new().await;
    with_bea(&fixture).await;
    for (action, stranger, member, owner) in table {
        for (who, wanted) in [(BO, stranger), (BEA, member), (ADA, owner)] {
            let answer = fixture.deliver(asks(who, WALKERS, action.clone())).await;
            assert_eq!(why(answer), wanted, "{who} {action:?}");
        }
    }
}

#[tokio::test]
async fn answers_tell_what_was_asked() {
    let fixture = Fixture::new().await;
    with_bea(&fixture).await;
    let ask = |who: &'static str, action| {
        let answer = fixture.deliver(asks(who, WALKERS, action));
        async move {
            match answer.await {
                Ok(Answer::Group(answer)) => answer,
                other => panic!("{other:?}"),
            }
        }
    };
    let GroupAnswer::JoinedUsers { admins, users, .. } = ask(BEA, GroupAction::JoinedUsers).await else {
        panic!()
    };
    let one = |name: &str, user: Option<&str>| JoinedUser {
        screen_name: Some(name.into()),
        user: user.map(address),
    };
    // Members see names; the owner's address is his own affair.
    assert_eq!(
        (admins, users),
        (vec![one("Ada", None)], vec![one("Bea", Some(BEA))])
    );
    assert_eq!(
        ask(ADA, GroupAction::Members).await,
        GroupAnswer::Members(vec![
            (Privilege::Admin, address(ADA)),
            (Privilege::Ordinary, address(BEA))
        ])
    );
    assert_eq!(
        ask(BEA, GroupAction::SubscriptionStatus).await,
        GroupAnswer::SubscriptionStatus(true)
    );
    ask(BEA, GroupAction::UnsubscribeChanges).await;
    assert_eq!(
        ask(BEA, GroupAction::SubscriptionStatus).await,
        GroupAnswer::SubscriptionStatus(false)
    );
    let set = GroupAction::SetProperties {
        group: vec![Property {
            name: "Topic".into(),
            value: "Hills".into(),
        }],
        welcome_note: Some(Content::text("Boots on")),
        own: Vec::new(),
    };
    ask(ADA, set).await;
    let GroupAnswer::Properties {
        group,
        welcome_note,
        own,
    } = ask(BEA, GroupAction::Properties).await
    else {
        panic!()
    };
    let value = |list: &[Property], name: &str| {
        list.iter()
            .find(|one| one.name == name)
            .map(|one| one.value.clone())
    };
    assert_eq!(value(&group, "Topic").as_deref(), Some("Hills"));
    assert_eq!(value(&group, "ActiveUsers").as_deref(), Some("2"));
    assert_eq!(value(&own, "PrivilegeLevel").as_deref(), Some("User"));
    assert_eq!(welcome_note.unwrap().as_text(), Some("Boots on"));
    assert_eq!(ask(BEA, GroupAction::Leave).await, GroupAnswer::Left);
}

#[tokio::test]
async fn who_is_put_out_is_told_and_stays_out_when_rejected() {
    let fixture = Fixture::new().await;
    with_bea(&fixture).await;
    let put_out = GroupAction::RemoveMembers(vec![address(BEA)]);
    fixture.deliver(asks(ADA, WALKERS, put_out)).await.unwrap();
    let told = fixture.line.take();
    let [Request::GroupEvent(farewell), Request::GroupEvent(left)] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!(
        (
            farewell.to.as_slice(),
            farewell.removed.as_ref().map(|(status, _)| *status)
        ),
        (&[address(BEA)][..], Some(809))
    );
    assert_eq!(
        (left.to.as_slice(), left.left.as_slice()),
        (&[address(ADA)][..], &["Bea".to_owned()][..])
    );
    assert_eq!(
        why(fixture.deliver(asks(BEA, WALKERS, join("Bea"))).await),
        Some(GroupRefusal::NotMember)
    );
    let reject = GroupAction::RejectList {
        add: vec![address(BEA)],
        remove: Vec::new(),
    };
    fixture.deliver(asks(ADA, WALKERS, reject)).await.unwrap();
    let again = fixture
        .home
        .invite(&fixture.ada(), invitation(WALKERS, BEA))
        .await;
    assert_eq!(again.unwrap_err().of_group(), Some(GroupRefusal::Rejected));
    let forgive = GroupAction::RejectList {
        add: Vec::new(),
        remove: vec![address(BEA)],
    };
    fixture.deliver(asks(ADA, WALKERS, forgive)).await.unwrap();
    fixture
        .home
        .invite(&fixture.ada(), invitation(WALKERS, BEA))
        .await
        .unwrap();
    assert_eq!(
        refusal(fixture.deliver(asks(BEA, WALKERS, join("Bea"))).await),
        None
    );
}

#[tokio::test]
async fn message_goes_out_once_under_the_screen_name_and_its_report_comes_back() {
    let fixture = Fixture::new().await;
    with_bea(&fixture).await;
    let Request::Send(message) = sent(BEA, WALKERS, "m1") else {
        panic!()
    };
    let wanted = Request::Send(SendMessage {
        report_wanted: true,
        ..message
    });
    for _ in 0..2 {
        assert_eq!(refusal(fixture.deliver(wanted.clone()).await), None);
    }
    let out = fixture.line.take();
    let [Request::Send(said), Request::Report(report)] = &out[..] else {
        panic!("{out:?}")
    };
    assert_eq!(said.sender.to_string(), "wv:ada/walkers@alpha.example#Bea");
    assert_eq!(said.recipients, [address(ADA)]);
    assert!(!said.report_wanted);
    let id: MessageId = "m1".parse().unwrap();
    assert_eq!(
        (&report.message, &report.recipient, &report.disposition),
        (&id, &address(WALKERS), &Disposition::Delivered)
    );
}

#[tokio::test]
async fn member_who_is_gone_elsewhere_is_let_go() {
    let fixture = Fixture::new().await;
    with_bea(&fixture).await;
    let gone: Outcome = Ok(Answer::Sent {
        id: None,
        recipients: vec![RecipientOutcome {
            recipient: address(BEA),
            outcome: Err(Refusal::Remote {
                domain: super::domain("beta.example"),
                status: 808,
                text: String::new(),
            }),
        }],
    });
    fixture.line.answer(gone);
    fixture.deliver(sent(ADA, WALKERS, "m1")).await.unwrap();
    let out = fixture.line.take();
    let [Request::Send(_), Request::GroupEvent(left)] = &out[..] else {
        panic!("{out:?}")
    };
    assert_eq!(left.left, ["Bea"]);
    let group = fixture.home.group(&address(WALKERS)).unwrap();
    assert_eq!(group.state().names(), ["Ada"]);
}

#[tokio::test]
async fn groups_and_what_they_have_to_say_survive_a_restart() {
    let fixture = Fixture::new().await;
    with_bea(&fixture).await;
    // The relay can't take anything just now.
    fixture.line.answer(Err(Refusal::Internal {
        reason: "the store is busy".into(),
    }));
    fixture.deliver(sent(BEA, WALKERS, "m1")).await.unwrap();
    let before = fixture.home.group(&address(WALKERS)).unwrap().state().clone();
    let fixture = fixture.restart().await;
    assert_eq!(*fixture.home.group(&address(WALKERS)).unwrap().state(), before);
    assert_eq!(fixture.ada().state().relations.groups.len(), 1);
    fixture.home.sweep().await;
    fixture.home.underway().idle().await;
    assert_eq!(fixture.line.names(), ["send-message"]);
    fixture.home.sweep().await;
    assert!(fixture.line.names().is_empty(), "once");
    let fixture = fixture.restart().await;
    fixture.home.sweep().await;
    fixture.home.underway().idle().await;
    assert!(fixture.line.names().is_empty(), "and not after another start");
}

#[tokio::test]
async fn who_is_out_is_told_again_when_he_could_not_be_reached() {
    let fixture = Fixture::new().await;
    with_bea(&fixture).await;
    let missed: Outcome = Ok(Answer::Recipients(vec![RecipientOutcome {
        recipient: address(BEA),
        outcome: Err(Refusal::Unreachable {
            domain: super::domain("beta.example"),
            reason: "silence".into(),
        }),
    }]));
    fixture.line.answer(missed);
    fixture
        .deliver(asks(ADA, WALKERS, GroupAction::Delete))
        .await
        .unwrap();
    assert_eq!(fixture.line.names(), ["group-event"]);
    fixture.home.sweep().await;
    fixture.home.underway().idle().await;
    assert!(fixture.line.names().is_empty(), "not at once");
    // The group is gone; what it owes is not.
    let fixture = fixture.restart().await;
    fixture.hand.advance(Duration::from_secs(61));
    fixture.home.sweep().await;
    fixture.home.underway().idle().await;
    assert_eq!(fixture.line.names(), ["group-event"]);
    fixture.hand.advance(Duration::from_secs(61));
    fixture.home.sweep().await;
    fixture.home.underway().idle().await;
    assert!(fixture.line.names().is_empty());
}

#[tokio::test]
async fn groups_are_bounded() {
    let fixture = Fixture::with(|config| {
        config.limits.groups = 2;
        config.limits.groups_joined = 3;
        config.limits.group_members = 3;
        config.limits.group_messages_per_minute = 2;
        config.limits.group_queue = 2;
    })
    .await;
    let (home, ada) = (&fixture.home, fixture.ada());
    with_bea(&fixture).await;
    home.open_group(&ada, new("second")).await.unwrap();
    let third = home.open_group(&ada, new("third")).await.unwrap_err();
    assert_eq!(third.of_group(), Some(GroupRefusal::TooMany));
    let twice = home.open_group(&fixture.ben(), new("a b")).await;
    assert!(
        matches!(twice, Err(Refusal::BadRequest { .. })),
        "no name for an address"
    );

    home.invite(&ada, invitation(WALKERS, BEN)).await.unwrap();
    let full = home.invite(&ada, invitation(WALKERS, CLEO)).await.unwrap_err();
    assert_eq!(full.of_group(), Some(GroupRefusal::Full));

    fixture.line.take();
    for id in ["m1", "m2"] {
        assert_eq!(refusal(fixture.deliver(sent(BEA, WALKERS, id)).await), None);
    }
    let fast = refusal(fixture.deliver(sent(BEA, WALKERS, "m3")).await);
    assert!(matches!(fast, Some(Refusal::RateExceeded { .. })), "{fast:?}");

    fixture.hand.advance(Duration::from_secs(60));
    let busy = || {
        Err(Refusal::Internal {
            reason: "the store is busy".into(),
        })
    };
    for id in ["m4", "m5"] {
        fixture.line.answer(busy());
        assert_eq!(refusal(fixture.deliver(sent(BEA, WALKERS, id)).await), None);
    }
    fixture.hand.advance(Duration::from_secs(60));
    let full = refusal(fixture.deliver(sent(BEA, WALKERS, "m6")).await);
    assert!(matches!(full, Some(Refusal::QueueFull { .. })), "{full:?}");

    let (ben, joined) = (fixture.ben(), ["one", "two", "three"]);
    for name in joined {
        home.join_group(
            &ben,
            &address(&format!("wv:bo/{name}@beta.example")),
            (None, None),
        )
        .await
        .unwrap();
    }
    let fourth = home
        .join_group(&ben, &address("wv:bo/four@beta.example"), (None, None))
        .await;
    assert_eq!(fourth.unwrap_err().of_group(), Some(GroupRefusal::TooMany));
}

#[tokio::test]
async fn names_topics_and_messages_are_cleaned() {
    let fixture = Fixture::new().await;
    let (home, ada) = (&fixture.home, fixture.ada());
    with_bea(&fixture).await;
    home.invite(&ada, invitation(WALKERS, BO)).await.unwrap();
    let odd = "  <b>Bo</b>\u{202e}\u{7}  the \u{200b} great";
    fixture.deliver(asks(BO, WALKERS, join(odd))).await.unwrap();
    let group = home.group(&address(WALKERS)).unwrap();
    assert!(
        group.state().names().contains(&"<b>Bo</b> the great".to_owned()),
        "{:?}",
        group.state().names()
    );
    home.set_topic(&ada, &address(WALKERS), "Hills\u{1b}[2J\r\nand\u{202e} dales")
        .await
        .unwrap();
    let set = |request| {
        let Request::Group(GroupRequest {
            action: GroupAction::SetProperties { group, .. },
            ..
        }) = request
        else {
            return None;
        };
        Some(group[0].value.clone())
    };
    let topic = fixture.line.take().into_iter().find_map(set);
    assert_eq!(topic.as_deref(), Some("Hills[2J and dales"));
    let Request::Send(message) = sent(BEA, WALKERS, "m1") else {
        panic!()
    };
    let bell = Request::Send(SendMessage {
        content: Content::text("\u{7}"),
        ..message
    });
    let refused = refusal(fixture.deliver(bell).await);
    assert!(matches!(refused, Some(Refusal::BadRequest { .. })), "{refused:?}");
    let nameless = fixture.deliver(asks(ADA, WALKERS, GroupAction::Leave)).await;
    assert_eq!(refusal(nameless), None);
    fixture
        .deliver(asks(ADA, WALKERS, join("\u{202e}\u{7}")))
        .await
        .unwrap();
    assert!(group.state().names().contains(&"Guest 1".to_owned()));
    // What a group elsewhere says is cleaned as well.
    let foreign = "wv:bo/club@beta.example";
    home.join_group(&ada, &address(foreign), (None, None))
        .await
        .unwrap();
    let mut stream = listen(&ada);
    let odd = news(foreign, &[ADA], &["E\u{202e}ve\u{0}"]);
    fixture.deliver(Request::GroupEvent(odd)).await.unwrap();
    let Some(Event::GroupChange { joined, .. }) = heard(&mut stream).pop() else {
        panic!()
    };
    assert_eq!(joined, ["Eve"]);
}

#[tokio::test]
async fn long_names_are_cut_where_an_address_ends() {
    let (fixture, _relay) = joined().await;
    let (home, ada, ben) = (&fixture.home, fixture.ada(), fixture.ben());
    let long = "漢".repeat(64);
    for who in [&ada, &ben] {
        home.change_account(who, |account| account.friendly_name.clone_from(&long))
            .await
            .unwrap();
    }
    let group = NewGroup {
        screen_name: home.name_in_groups(&ada, None),
        ..new("walkers")
    };
    home.open(&ada, group).await.unwrap();
    home.invite(&ada, invitation(WALKERS, BEN)).await.unwrap();
    accept(home, &ben, true).await.unwrap();
    home.send_message(&ben, message(WALKERS, "Hello")).await.unwrap();
    let (_, name, _) = words(home, &ada).await.remove(0);
    assert!(name.starts_with("漢漢") && name.ends_with(" 2"), "{name}");
}

/// A request that waited while its group ended does not reach one of the same name.
#[tokio::test]
async fn group_of_the_same_name_is_another_group() {
    let fixture = Fixture::new().await;
    let (home, ada) = (&fixture.home, fixture.ada());
    with_bea(&fixture).await;
    let old = home.group(&address(WALKERS)).unwrap();
    fixture
        .deliver(asks(ADA, WALKERS, GroupAction::Delete))
        .await
        .unwrap();
    home.forget_group(&ada, &address(WALKERS)).await.unwrap();
    home.open_group(&ada, new("walkers")).await.unwrap();
    let late = home
        .leave_group_of_ours(&old, "bea@beta.example")
        .await
        .unwrap_err();
    assert_eq!(late.of_group(), Some(GroupRefusal::Unknown));
    let names = home.group(&address(WALKERS)).unwrap().state().names();
    assert_eq!(names, ["Ada"]);
}

#[tokio::test]
async fn namesakes_get_a_number_and_a_wanted_name_is_refused() {
    let (fixture, _relay) = joined().await;
    let (home, ada, ben) = (&fixture.home, fixture.ada(), fixture.ben());
    let group = NewGroup {
        screen_name: "ben".into(),
        ..new("walkers")
    };
    home.open(&ada, group).await.unwrap();
    home.invite(&ada, invitation(WALKERS, BEN)).await.unwrap();
    let taken = home
        .join_group(&ben, &address(WALKERS), (Some("Ben".into()), None))
        .await;
    assert_eq!(taken.unwrap_err().of_group(), Some(GroupRefusal::NameInUse));
    assert!(
        ben.state().relations.groups.is_empty(),
        "nothing is left of a try"
    );
    accept(home, &ben, true).await.unwrap();
    let name = ben
        .state()
        .relations
        .groups
        .values()
        .next()
        .unwrap()
        .screen_name
        .clone();
    assert_eq!(name, "BEN 2");
}

#[tokio::test]
async fn blocked_member_is_not_heard_by_who_blocks_him() {
    let (fixture, _relay) = joined().await;
    let (home, ada, ben) = (&fixture.home, fixture.ada(), fixture.ben());
    let cleo = home.subscriber(&address(CLEO)).unwrap();
    home.open(&ada, new("walkers")).await.unwrap();
    for (guest, number) in [(&ben, BEN), (&cleo, CLEO)] {
        home.invite(&ada, invitation(WALKERS, number)).await.unwrap();
        accept(home, guest, true).await.unwrap();
    }
    home.block(&ben, &address(CLEO)).await.unwrap();
    home.send_message(&cleo, message(WALKERS, "Hello")).await.unwrap();
    assert_eq!(words(home, &ada).await.len(), 1);
    assert!(words(home, &ben).await.is_empty());
}

#[tokio::test]
async fn closed_account_ends_its_groups_and_leaves_the_others() {
    let fixture = Fixture::new().await;
    let (home, ada) = (&fixture.home, fixture.ada());
    with_bea(&fixture).await;
    home.join_group(&ada, &address("wv:bo/club@beta.example"), (None, None))
        .await
        .unwrap();
    fixture.line.take();
    home.remove_account(&ada.number).await.unwrap();
    home.underway().idle().await;
    let mut told = Vec::new();
    for request in fixture.line.take() {
        if let Request::GroupEvent(event) = request {
            told.push((event.group.to_string(), event.removed.unwrap().0));
        } else if let Request::Group(request) = request {
            assert_eq!(request.action, GroupAction::Leave);
            told.push((request.group.to_string(), 200));
        }
    }
    told.sort();
    // The one of her own she leaves as well; it is gone by then.
    assert_eq!(told[0], (WALKERS.to_owned(), 200));
    assert_eq!(
        told[1..],
        [
            (WALKERS.to_owned(), 800),
            ("wv:bo/club@beta.example".to_owned(), 200)
        ]
    );
    assert!(home.groups().is_empty());
    assert_eq!(
        why(fixture.deliver(sent(BEA, WALKERS, "m1")).await),
        Some(GroupRefusal::Unknown)
    );
}

#[tokio::test]
async fn removal_that_may_mean_another_is_asked_about() {
    const CLUB: &str = "wv:bo/club@beta.example";
    let fixture = Fixture::new().await;
    let (home, ada) = (&fixture.home, fixture.ada());
    home.join_group(&ada, &address(CLUB), (None, None)).await.unwrap();
    let mut stream = listen(&ada);
    let out = removed(CLUB, &[ADA], GroupRefusal::Rejected);
    // Its server says that Ada is still in it: another was meant.
    fixture.deliver(out.clone()).await.unwrap();
    assert_eq!(ada.state().relations.groups.len(), 1);
    // Its server can't be reached.
    fixture.line.answer(Err(Refusal::TimedOut {
        domain: super::domain("beta.example"),
    }));
    fixture.deliver(out.clone()).await.unwrap();
    assert_eq!(ada.state().relations.groups.len(), 1);
    let is_out = || {
        Err(Refusal::InGroup {
            group: address(CLUB),
            why: GroupRefusal::NotJoined,
        })
    };
    fixture.line.answer(is_out());
    fixture.deliver(out).await.unwrap();
    assert!(ada.state().relations.groups.is_empty());
    assert!(matches!(
        &heard(&mut stream)[..],
        [Event::GroupLeft {
            why: LeftBecause::Removed,
            ..
        }]
    ));
    // Who is not told learns it when he writes.
    home.join_group(&ada, &address(CLUB), (None, None)).await.unwrap();
    fixture.line.answer(Ok(Answer::Sent {
        id: None,
        recipients: vec![RecipientOutcome {
            recipient: address(CLUB),
            outcome: is_out().map(|_| Acceptance::Taken),
        }],
    }));
    home.send_message(&ada, message(CLUB, "Hello")).await.unwrap();
    assert!(ada.state().relations.groups.is_empty());
}

#[tokio::test]
async fn last_one_out_ends_the_group() {
    let fixture = Fixture::new().await;
    with_bea(&fixture).await;
    for who in [ADA, BEA] {
        fixture
            .deliver(asks(who, WALKERS, GroupAction::Leave))
            .await
            .unwrap();
    }
    assert!(fixture.home.groups().is_empty());
    let fixture = fixture.restart().await;
    assert!(fixture.home.groups().is_empty());
}

#[tokio::test]
async fn many_at_once_leave_one_state() {
    let fixture = Fixture::with(|config| config.limits.group_members = 40).await;
    let (home, ada) = (&fixture.home, fixture.ada());
    home.open_group(&ada, new("walkers")).await.unwrap();
    let guests: Vec<String> = (0..39).map(|n| format!("wv:guest{n}@beta.example")).collect();
    for guest in &guests {
        home.invite(&ada, invitation(WALKERS, guest)).await.unwrap();
    }
    let joins = guests
        .iter()
        .map(|guest| fixture.deliver(asks(guest, WALKERS, join("Guest"))));
    let answers = futures_util::future::join_all(joins).await;
    let taken = answers
        .into_iter()
        .filter(|answer| why(answer.clone()).is_none())
        .count();
    assert_eq!(taken, 1, "one name, one person");
    let group = home.group(&address(WALKERS)).unwrap();
    assert_eq!(group.state().names().len(), 2);
    let before = group.state().clone();
    drop((group, ada));
    let fixture = fixture.restart().await;
    assert_eq!(*fixture.home.group(&address(WALKERS)).unwrap().state(), before);
}

/// The subscriber API of Ada, Ben and Cleo, whose relay is the real one.
async fn served() -> (Served, Arc<crate::relay::Relay>) {
    let (fixture, relay) = joined().await;
    (Served::new(fixture).await, relay)
}

async fn login(served: &Served, user: &str) -> String {
    let body = json!({ "user": user, "password": PASSWORD });
    let (status, answer) = served.call("POST", "/v1/login", None, Some(body)).await;
    assert_eq!(status, 200, "{answer}");
    answer["token"].as_str().unwrap().to_owned()
}

const PATH: &str = "/v1/groups/wv%3Aada%2Fwalkers%40alpha.example";

#[tokio::test]
async fn api_opens_invites_joins_looks_and_ends() {
    let (served, _relay) = served().await;
    let (ada, ben, cleo) = (
        login(&served, ADA).await,
        login(&served, BEN).await,
        login(&served, CLEO).await,
    );
    let open = json!({
        "name": "walkers", "topic": "Sunday \u{202e}walk", "welcome": "Boots on",
        "invite": ["ben", CLEO, "wv:nobody@alpha.example", "wv:x@stranger.example"],
    });
    let (status, opened) = served.call("POST", "/v1/groups", Some(&ada), Some(open)).await;
    assert_eq!(
        (status, &opened["topic"]),
        (201, &json!("Sunday walk")),
        "{opened}"
    );
    let invitations = opened["invitations"].as_array().unwrap();
    let status_of = |one: &Value| one["error"]["status"].as_u64().unwrap_or(200);
    let statuses: Vec<_> = invitations.iter().map(status_of).collect();
    assert_eq!(statuses[..3], [200, 200, 531], "{opened}");
    assert_ne!(statuses[3], 200, "an operator without agreement: {opened}");

    for (token, name) in [(&ben, "Benny"), (&cleo, "")] {
        let (_, inbox) = served.call("GET", "/v1/inbox", Some(token), None).await;
        let event = &inbox["events"][0];
        assert_eq!(
            (&event["group"], &event["kind"]),
            (&json!(WALKERS), &json!("Group")),
            "{event}"
        );
        let path = format!(
            "/v1/invitations/{}/answer",
            event["invitation_id"].as_str().unwrap()
        );
        let answer = json!({ "accept": true, "screen_name": name });
        assert_eq!(served.call("POST", &path, Some(token), Some(answer)).await.0, 204);
    }
    let (_, seen) = served.call("GET", PATH, Some(&ada), None).await;
    let names: Vec<_> = seen["joined"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["screen_name"].clone())
        .collect();
    assert_eq!(names, ["ADA", "Benny", "CLEO"], "{seen}");
    assert_eq!(seen["members"].as_array().unwrap().len(), 3);
    let (_, seen) = served.call("GET", PATH, Some(&ben), None).await;
    assert_eq!(
        (seen.get("members"), seen["joined"][0].get("address")),
        (None, None),
        "{seen}"
    );
    let (_, list) = served.call("GET", "/v1/groups", Some(&ben), None).await;
    assert_eq!(list["groups"][0]["screen_name"], "Benny");

    let rename = json!({ "topic": "Monday" });
    let refused = served.call("PATCH", PATH, Some(&ben), Some(rename.clone())).await;
    assert_eq!((refused.0, &refused.1["error"]["status"]), (403, &json!(816)));
    assert_eq!(served.call("PATCH", PATH, Some(&ada), Some(rename)).await.0, 204);
    served.fixture.home.underway().idle().await;
    let (_, list) = served.call("GET", "/v1/groups", Some(&ben), None).await;
    assert_eq!(list["groups"][0]["topic"], "Monday", "members are told");

    let cleo_path = format!("{PATH}/rejects/%2B447700900223");
    assert_eq!(served.call("PUT", &cleo_path, Some(&ada), None).await.0, 204);
    let (_, rejects) = served
        .call("GET", &format!("{PATH}/rejects"), Some(&ada), None)
        .await;
    assert_eq!(rejects["rejects"], json!([CLEO]));
    served.fixture.home.underway().idle().await;
    let (_, list) = served.call("GET", "/v1/groups", Some(&cleo), None).await;
    assert_eq!(list["groups"], json!([]));
    let back = served
        .call("POST", &format!("{PATH}/join"), Some(&cleo), Some(json!({})))
        .await;
    assert_eq!(back.1["error"]["status"], 809);
    assert_eq!(served.call("DELETE", &cleo_path, Some(&ada), None).await.0, 204);

    let ben_path = format!("{PATH}/members/ben");
    assert_eq!(served.call("DELETE", &ben_path, Some(&ada), None).await.0, 204);
    let again = served
        .call(
            "POST",
            &format!("{PATH}/invitations"),
            Some(&ada),
            Some(json!({ "to": ["ben"] })),
        )
        .await;
    assert!(again.1["invitations"][0]["id"].is_string(), "{again:?}");
    assert_eq!(
        served
            .call("POST", &format!("{PATH}/leave"), Some(&ben), None)
            .await
            .0,
        403
    );
    assert_eq!(served.call("DELETE", PATH, Some(&ada), None).await.0, 204);
    let gone = served.call("GET", PATH, Some(&ada), None).await;
    assert_eq!((gone.0, &gone.1["error"]["status"]), (403, &json!(808)));
}

#[tokio::test]
async fn each_invitation_counts_against_the_rate() {
    let fixture = Fixture::with(|config| config.limits.requests_per_minute = 4).await;
    let served = Served::new(fixture).await;
    let ada = served.token(ADA).await;
    let people: Vec<_> = (0..10).map(|n| format!("wv:guest{n}@beta.example")).collect();
    let open = json!({ "name": "walkers", "invite": people });
    let (status, opened) = served.call("POST", "/v1/groups", Some(&ada), Some(open)).await;
    assert_eq!(status, 201, "{opened}");
    let invitations = opened["invitations"].as_array().unwrap();
    let passed_on = invitations.iter().filter(|one| one["id"].is_string()).count();
    let too_fast = |one: &&Value| one["error"]["code"] == "too-fast";
    assert_eq!((passed_on, invitations.iter().filter(too_fast).count()), (3, 7));
    let invites = served
        .fixture
        .line
        .names()
        .into_iter()
        .filter(|name| *name == "invite");
    assert_eq!(invites.count(), 3);
}

#[tokio::test]
async fn someone_elses_token_reaches_no_group() {
    let (served, _relay) = served().await;
    let (ada, ben) = (login(&served, ADA).await, login(&served, BEN).await);
    let open = json!({ "name": "walkers", "topic": "Secret" });
    served.call("POST", "/v1/groups", Some(&ada), Some(open)).await;
    let tries = [
        ("GET", String::new(), None),
        ("PATCH", String::new(), Some(json!({ "topic": "Mine" }))),
        ("DELETE", String::new(), None),
        ("POST", "/join".into(), Some(json!({}))),
        ("POST", "/leave".into(), None),
        ("POST", "/invitations".into(), Some(json!({ "to": ["ben"] }))),
        ("DELETE", "/members/ada".into(), None),
        ("GET", "/rejects".into(), None),
        ("PUT", "/rejects/ada".into(), None),
        ("DELETE", "/rejects/ada".into(), None),
    ];
    for (method, rest, body) in tries {
        let (status, answer) = served
            .call(method, &format!("{PATH}{rest}"), Some(&ben), body)
            .await;
        assert_eq!(status, 403, "{method} {rest} {answer}");
        assert!(!answer.to_string().contains("Secret"), "{answer}");
    }
    let (_, list) = served.call("GET", "/v1/groups", Some(&ben), None).await;
    assert_eq!(list["groups"], json!([]));
    let (_, seen) = served.call("GET", PATH, Some(&ada), None).await;
    assert_eq!(
        (&seen["topic"], seen["joined"].as_array().unwrap().len()),
        (&json!("Secret"), 1)
    );
    for (path, body) in [
        ("/v1/groups/nonsense", None),
        ("/v1/groups/wv%3Aada%40alpha.example", None),
        ("/v1/groups/%2F%2F%2F", None),
        ("/v1/groups/wv%3Aada%2Fwalkers%40alpha.example%23Ada", None),
        ("/v1/groups", Some(json!({ "name": "../x" }))),
        ("/v1/groups", Some(json!({ "invite": vec!["ben"; 51] }))),
        ("/v1/groups", Some(json!({ "owner": "ben" }))),
    ] {
        let method = if body.is_some() { "POST" } else { "GET" };
        let (status, answer) = served.call(method, path, Some(&ada), body).await;
        assert!(matches!(status, 400 | 422), "{path} {status} {answer}");
        assert!(answer["error"]["status"].is_u64(), "{answer}");
    }
}

/// Bea is invited by her number; her operator discloses none, so she joins by her user name.
#[tokio::test]
async fn who_is_known_by_another_name_shows_the_invitation() {
    const NAMED: &str = "wv:bea@beta.example";
    let fixture = Fixture::new().await;
    let (home, ada) = (&fixture.home, fixture.ada());
    home.open_group(&ada, new("walkers")).await.unwrap();
    home.open_group(&ada, new("others")).await.unwrap();
    let id = home.invite(&ada, invitation(WALKERS, BEA)).await.unwrap();
    let other = home
        .invite(&ada, invitation("wv:ada/others@alpha.example", BEA))
        .await
        .unwrap();
    let shows = |id: &str| {
        let mut action = join("Bea");
        if let GroupAction::Join { own_properties, .. } = &mut action {
            own_properties.push(Property {
                name: "InviteID".into(),
                value: id.into(),
            });
        }
        fixture.deliver(asks(NAMED, WALKERS, action))
    };
    for wrong in ["", "made up", other.as_str()] {
        assert_eq!(why(shows(wrong).await), Some(GroupRefusal::NotMember), "{wrong}");
    }
    assert_eq!(refusal(shows(id.as_str()).await), None);
    assert_eq!(refusal(fixture.deliver(sent(NAMED, WALKERS, "m1")).await), None);
    // It lets one in, not two.
    let mut again = join("Eve");
    if let GroupAction::Join { own_properties, .. } = &mut again {
        own_properties.push(Property {
            name: "InviteID".into(),
            value: id.to_string(),
        });
    }
    let eve = fixture.deliver(asks("wv:eve@beta.example", WALKERS, again)).await;
    assert_eq!(why(eve), Some(GroupRefusal::NotMember));
}

/// The other side of it: the invitation is shown only where he was refused without it.
#[tokio::test]
async fn invitation_is_shown_to_a_group_that_does_not_know_him() {
    let fixture = Fixture::new().await;
    let (home, ada) = (&fixture.home, fixture.ada());
    let id: InviteId = "i1".parse().unwrap();
    let group = address("wv:bo/club@beta.example");
    fixture.line.answer(Err(Refusal::InGroup {
        group: group.clone(),
        why: GroupRefusal::NotMember,
    }));
    home.join_group(&ada, &group, (None, Some(&id))).await.unwrap();
    let shown: Vec<_> = fixture
        .line
        .take()
        .into_iter()
        .filter_map(|request| {
            let Request::Group(GroupRequest {
                action: GroupAction::Join { own_properties, .. },
                ..
            }) = request
            else {
                return None;
            };
            Some(own_properties.len())
        })
        .collect();
    assert_eq!(shown, [0, 1]);
}
