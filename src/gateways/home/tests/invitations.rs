//! Invitations to and by subscribers.

use super::{
    super::{event::Event, outgoing::NewInvite},
    ADA, BEA, BEN, Fixture, address, refusal,
};
use crate::model::{CancelInvite, Invite, InviteAnswer, InviteId, InviteType, Refusal, Request};

fn id(text: &str) -> InviteId {
    text.parse().unwrap()
}

fn invite(by: &str) -> Request {
    Request::Invite(Invite {
        id: id("i1"),
        kind: InviteType::Chat,
        validity: None,
        inviting: address(by),
        invited: address(ADA),
        group: None,
        application: None,
        attributes: Vec::new(),
        content_urls: Vec::new(),
        note: Some("Tea?\u{1b}[2J".into()),
        screen_name: None,
    })
}

fn cancel(by: &str) -> Request {
    Request::CancelInvite(CancelInvite {
        id: id("i1"),
        canceling: address(by),
        canceled: address(ADA),
        group: None,
        note: None,
        screen_name: None,
    })
}

fn answer(by: &str, invitation: &InviteId) -> Request {
    Request::InviteAnswer(InviteAnswer {
        id: invitation.clone(),
        accepted: true,
        inviting: address(ADA),
        responding: address(by),
        note: None,
        screen_name: None,
    })
}

#[tokio::test]
async fn invitation_is_answered_once_it_is_there() {
    let fixture = Fixture::new().await;
    let ada = fixture.ada();
    let early = fixture
        .home
        .answer_invitation(&ada, &id("i1"), true, (None, None))
        .await;
    assert!(matches!(early, Err(Refusal::NotFound { .. })));
    fixture.deliver(invite(BEA)).await.unwrap();
    let waiting = fixture.home.waiting(&ada, None, 10).await.unwrap();
    let Event::Invitation { by, note, .. } = &waiting[0].1.event else {
        panic!()
    };
    assert_eq!((by.to_string(), note.as_deref()), (BEA.into(), Some("Tea?[2J")));
    let stranger = fixture
        .home
        .answer_invitation(&fixture.ben(), &id("i1"), true, (None, None))
        .await;
    assert!(matches!(stranger, Err(Refusal::NotFound { .. })));
    fixture
        .home
        .answer_invitation(&ada, &id("i1"), true, (Some("Yes".into()), None))
        .await
        .unwrap();
    let sent = fixture.line.take();
    let [Request::InviteAnswer(answer)] = &sent[..] else {
        panic!("{sent:?}")
    };
    assert_eq!(
        (answer.inviting.to_string(), answer.responding.to_string()),
        (BEA.into(), ADA.into())
    );
    let again = fixture
        .home
        .answer_invitation(&ada, &id("i1"), false, (None, None))
        .await;
    assert!(matches!(again, Err(Refusal::NotFound { .. })));
}

#[tokio::test]
async fn invitation_is_withdrawn_by_its_maker_only() {
    let fixture = Fixture::new().await;
    fixture.deliver(invite(BEA)).await.unwrap();
    assert!(matches!(
        refusal(fixture.deliver(cancel(BEN)).await),
        Some(Refusal::NotFound { .. })
    ));
    assert_eq!(refusal(fixture.deliver(cancel(BEA)).await), None);
    let late = fixture
        .home
        .answer_invitation(&fixture.ada(), &id("i1"), true, (None, None))
        .await;
    assert!(matches!(late, Err(Refusal::NotFound { .. })));
    let waiting = fixture.home.waiting(&fixture.ada(), None, 10).await.unwrap();
    assert_eq!(waiting.last().unwrap().1.event.name(), "invitation-cancelled");
}

#[tokio::test]
async fn blocked_person_invites_nobody() {
    let fixture = Fixture::new().await;
    fixture.home.block(&fixture.ada(), &address(BEA)).await.unwrap();
    assert_eq!(
        refusal(fixture.deliver(invite(BEA)).await),
        Some(Refusal::Blocked {
            recipient: address(ADA)
        })
    );
}

#[tokio::test]
async fn own_invitation_is_answered_by_the_invited_person_only() {
    let fixture = Fixture::new().await;
    let ada = fixture.ada();
    let new = || NewInvite {
        to: address(BEA),
        kind: InviteType::Chat,
        group: None,
        application: None,
        attributes: Vec::new(),
        content_urls: Vec::new(),
        note: None,
        screen_name: None,
        validity: None,
    };
    let made = fixture.home.invite(&ada, new()).await.unwrap();
    assert!(matches!(
        refusal(fixture.deliver(answer(BEN, &made)).await),
        Some(Refusal::NotFound { .. })
    ));
    assert_eq!(refusal(fixture.deliver(answer(BEA, &made)).await), None);
    let waiting = fixture.home.waiting(&ada, None, 10).await.unwrap();
    assert_eq!(waiting[0].1.event.name(), "invitation-answer");
    fixture.line.take();
    fixture.home.cancel_invitation(&ada, &made, None).await.unwrap();
    assert_eq!(fixture.line.names(), ["cancel-invite"]);

    fixture.line.answer(Err(Refusal::Blocked {
        recipient: address(BEA),
    }));
    assert!(matches!(
        fixture.home.invite(&ada, new()).await,
        Err(Refusal::Blocked { .. })
    ));
}
