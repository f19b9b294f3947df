//! Invitations and groups: passed on and answered, never stored.

use serde_json::json;

use super::*;
use crate::model::{
    CancelInvite, GroupAction, GroupAnswer, GroupEvent, GroupRequest, Invite, InviteAnswer, InviteType,
};

fn invite(to: &str) -> Request {
    Request::Invite(Invite {
        id: "i1".parse().unwrap(),
        kind: InviteType::Chat,
        validity: None,
        inviting: person(ADA),
        invited: person(to),
        group: None,
        application: None,
        attributes: Vec::new(),
        content_urls: Vec::new(),
        note: None,
        screen_name: None,
    })
}

fn join(group: &str) -> Request {
    Request::Group(GroupRequest {
        by: person(ADA),
        group: person(group),
        action: GroupAction::Members,
    })
}

fn asks(by: &str, action: GroupAction) -> Request {
    Request::Group(GroupRequest {
        by: person(by),
        group: person("wv:bo/friends@beta.example"),
        action,
    })
}

fn joining() -> GroupAction {
    GroupAction::Join {
        screen_name: Some("Ada".into()),
        list_joined: false,
        subscribe: true,
        own_properties: Vec::new(),
    }
}

fn put_out(to: &[&str]) -> Request {
    let Request::GroupEvent(event) = event(to) else {
        unreachable!()
    };
    Request::GroupEvent(GroupEvent {
        joined: Vec::new(),
        removed: Some((809, "not polite".into())),
        ..event
    })
}

fn event(to: &[&str]) -> Request {
    Request::GroupEvent(GroupEvent {
        group: person("wv:bo/friends@beta.example"),
        to: people(to),
        joined: vec!["Bill".into()],
        left: Vec::new(),
        blocked: Vec::new(),
        unblocked: Vec::new(),
        group_properties: Vec::new(),
        own_properties: Vec::new(),
        removed: None,
    })
}

#[tokio::test]
async fn invitation_is_passed_on_once() {
    let world = World::new();
    for _ in 0..2 {
        assert_eq!(
            world.handle(world.ours("i1"), invite(BEA)).await,
            Ok(Answer::Done)
        );
    }
    let asked = world.ssp.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].request, invite(BEA));
}

#[tokio::test]
async fn invitation_fails_when_it_can_not_be_passed_on_and_may_be_tried_again() {
    let world = World::new();
    world.ssp.takes_nothing();
    assert_eq!(
        world.handle(world.ours("i1"), invite(BEA)).await,
        Err(unreachable())
    );
    assert!(world.waiting().await.is_empty());
    assert_eq!(
        world.handle(world.ours("i1"), invite(BEA)).await,
        Ok(Answer::Done)
    );
}

#[tokio::test]
async fn refused_invitation_stays_refused() {
    let world = World::new();
    world.ssp.refuses(remote(532));
    for _ in 0..2 {
        assert_eq!(
            world.handle(world.ours("i1"), invite(BEA)).await,
            Err(remote(532))
        );
    }
    assert_eq!(world.ssp.asked().len(), 1);
}

#[tokio::test]
async fn answer_and_withdrawal_go_to_the_other_side() {
    let world = World::new();
    let answer = Request::InviteAnswer(InviteAnswer {
        id: "i1".parse().unwrap(),
        accepted: true,
        inviting: person(ADA),
        responding: person(BO),
        note: None,
        screen_name: None,
    });
    assert_eq!(
        world.handle(world.theirs("beta", "a1"), answer.clone()).await,
        Ok(Answer::Done)
    );
    assert_eq!(world.home.asked()[0].request, answer);
    let cancel = Request::CancelInvite(CancelInvite {
        id: "i1".parse().unwrap(),
        canceling: person(ADA),
        canceled: person(BEA),
        group: None,
        note: None,
        screen_name: None,
    });
    assert_eq!(
        world.handle(world.ours("c1"), cancel.clone()).await,
        Ok(Answer::Done)
    );
    assert_eq!(world.ssp.asked()[0].request, cancel);
}

#[tokio::test]
async fn group_request_goes_to_the_groups_server_and_its_answer_comes_back() {
    let world = World::new();
    let members = Answer::Group(GroupAnswer::Members(Vec::new()));
    world.ssp.answers(members.clone());
    let answer = world
        .handle(world.ours("g1"), join("wv:bo/friends@beta.example"))
        .await;
    assert_eq!(answer, Ok(members));
    assert_eq!(world.ssp.asked()[0].domain, domain("beta.example"));
}

#[tokio::test]
async fn group_request_to_a_person_is_refused() {
    let world = World::new();
    let refused = world.handle(world.ours("g1"), join(BO)).await.unwrap_err();
    assert!(matches!(refused, Refusal::InvalidAddress { .. }), "{refused}");
    assert!(world.ssp.asked().is_empty());
}

#[tokio::test]
async fn group_event_reaches_our_members_and_names_those_who_are_not() {
    let world = World::new();
    let to = [ADA, "wv:dan@delta.example"];
    let answer = world
        .handle(world.theirs("beta", "e1"), event(&to))
        .await
        .unwrap();
    assert_eq!(outcome_of(&answer, ADA), Ok(Acceptance::Taken));
    assert!(matches!(
        outcome_of(&answer, "wv:dan@delta.example"),
        Err(Refusal::NoTransit { .. })
    ));
    assert_eq!(world.home.asked()[0].request, event(&[ADA]));
}

#[tokio::test]
async fn removal_from_a_group_reaches_the_member_although_it_names_nobody() {
    let world = World::new();
    world
        .handle(world.ours("g1"), asks(ADA, joining()))
        .await
        .unwrap();
    let answer = world
        .handle(world.theirs("beta", "e1"), put_out(&[]))
        .await
        .unwrap();
    assert_eq!(outcome_of(&answer, ADA), Ok(Acceptance::Taken));
    assert_eq!(world.home.asked()[0].request, put_out(&[ADA]));
    let again = world.handle(world.theirs("beta", "e2"), put_out(&[])).await;
    assert_eq!(again, Ok(Answer::Done), "she is no member any more");
    assert!(world.home.asked().is_empty());
}

#[tokio::test]
async fn who_is_in_a_group_no_more_as_its_server_says_is_told_of_no_removal() {
    let world = World::new();
    world
        .handle(world.ours("g1"), asks(ADA, joining()))
        .await
        .unwrap();
    world.ssp.refuses(remote(816));
    let refused = world
        .handle(world.ours("g2"), asks(ADA, GroupAction::Members))
        .await;
    assert_eq!(refused, Err(remote(816)));
    world.ssp.refuses(remote(808));
    let refused = world
        .handle(world.ours("g3"), asks(ADA, GroupAction::SubscriptionStatus))
        .await;
    assert_eq!(refused, Err(remote(808)));
    let answer = world.handle(world.theirs("beta", "e1"), put_out(&[])).await;
    assert_eq!(answer, Ok(Answer::Done));
    assert!(world.home.asked().is_empty());
}

#[tokio::test]
async fn removal_from_a_group_reaches_members_after_a_restart_and_on_every_side() {
    let world = World::with(|setup| {
        setup.own.push(domain("omega.example"));
        let server = agreement_with("omega", "role", json!("home"));
        setup.agreements.push(server);
    });
    let ole = "wv:ole@omega.example";
    world
        .handle(world.ours("g1"), asks(ADA, joining()))
        .await
        .unwrap();
    world
        .handle(world.theirs("omega", "g2"), asks(ole, joining()))
        .await
        .unwrap();
    let world = world.restart().await;
    let answer = world
        .handle(world.theirs("beta", "e1"), put_out(&[]))
        .await
        .unwrap();
    assert_eq!(outcome_of(&answer, ADA), Ok(Acceptance::Taken));
    assert_eq!(outcome_of(&answer, ole), Ok(Acceptance::Taken));
    assert_eq!(world.home.asked()[0].request, put_out(&[ADA]));
    let to_server = &world.ssp.asked()[0];
    assert_eq!(to_server.domain, domain("omega.example"));
    assert_eq!(to_server.request, put_out(&[ole]));
}

#[tokio::test]
async fn who_left_a_group_or_was_not_let_in_is_not_told_of_removals() {
    let world = World::new();
    world
        .handle(world.ours("g1"), asks(ADA, joining()))
        .await
        .unwrap();
    world
        .handle(world.ours("g2"), asks(ADA, GroupAction::Leave))
        .await
        .unwrap();
    world.ssp.refuses(remote(809));
    let refused = world.handle(world.ours("g3"), asks(ADA, joining())).await;
    assert_eq!(refused, Err(remote(809)));
    let answer = world.handle(world.theirs("beta", "e1"), put_out(&[])).await;
    assert_eq!(answer, Ok(Answer::Done));
    assert!(world.home.asked().is_empty());
    let gamma = world.handle(world.theirs("gamma", "e2"), put_out(&[])).await;
    assert!(
        matches!(gamma, Err(Refusal::ForeignSender { .. })),
        "another side's group: {gamma:?}"
    );
}
