//! `/v1/groups`: conversations of several people, here and at other operators. Messages to a group go to `/v1/messages`.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{FromRequestParts, Path, State},
    http::{StatusCode, request::Parts},
};
use futures_util::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};

use super::{
    super::{
        HomeDomain,
        event::time,
        group::{MAX_TOPIC, NewGroup},
        outgoing::{GroupView, JoinedNow, NewInvite},
        relation::JoinedGroup,
        text,
    },
    body::Body,
    caller::{Caller, Person},
    problem::{ErrorView, Problem},
};
use crate::model::{
    GroupAction, GroupAnswer, InviteId, InviteType, JoinedUser, Privilege, Refusal, WvAddress,
};

/// A group on one's list.
#[derive(Serialize)]
pub(crate) struct OneView {
    group: WvAddress,
    topic: String,
    /// What the others call the caller there.
    screen_name: String,
    since: String,
}

#[derive(Serialize)]
pub(crate) struct ListView {
    groups: Vec<OneView>,
}

pub(crate) async fn list(caller: Caller) -> Json<ListView> {
    let state = caller.subscriber.state();
    let groups = state.relations.groups.values().map(one).collect();
    Json(ListView { groups })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Open {
    /// The part of the address after `/`; absent, one is drawn.
    name: Option<String>,
    #[serde(default)]
    topic: String,
    welcome: Option<String>,
    screen_name: Option<String>,
    /// Who is invited at once.
    #[serde(default)]
    invite: Vec<String>,
    note: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct JoinedView {
    #[serde(flatten)]
    group: OneView,
    /// Who is there, the caller among them.
    names: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    welcome: Option<String>,
    /// One for each who was to be invited.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    invitations: Vec<InvitationView>,
}

#[derive(Serialize)]
struct InvitationView {
    address: WvAddress,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<InviteId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorView>,
}

pub(crate) async fn open(
    State(home): State<Arc<HomeDomain>>,
    caller: Caller,
    Body(open): Body<Open>,
) -> Result<(StatusCode, Json<JoinedView>), Problem> {
    let people = people(&home, &caller, &open.invite)?;
    let welcome = open.welcome.map(|welcome| text::line(&welcome, MAX_TOPIC));
    let new = NewGroup {
        name: open.name,
        topic: text::line(&open.topic, MAX_TOPIC),
        welcome: welcome.filter(|welcome| !welcome.is_empty()),
        screen_name: home.name_in_groups(&caller.subscriber, open.screen_name),
    };
    let opened = home.open(&caller.subscriber, new).await?;
    let invitations = invite_all(&home, &caller, (&opened.group, people, open.note.as_ref())).await;
    let view = JoinedView {
        invitations,
        ..joined(opened)
    };
    Ok((StatusCode::CREATED, Json(view)))
}

#[derive(Serialize)]
pub(crate) struct LookView {
    #[serde(flatten)]
    group: OneView,
    joined: Vec<ParticipantView>,
    /// Who may join; for who leads the group.
    #[serde(skip_serializing_if = "Option::is_none")]
    members: Option<Vec<MemberView>>,
}

#[derive(Serialize)]
struct ParticipantView {
    screen_name: Option<String>,
    /// For who leads the group, and one's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<WvAddress>,
    privilege: &'static str,
}

#[derive(Serialize)]
struct MemberView {
    address: WvAddress,
    privilege: &'static str,
}

pub(crate) async fn look(
    State(home): State<Arc<HomeDomain>>,
    caller: Caller,
    group: GroupPath,
) -> Result<Json<LookView>, Problem> {
    let group = group.read(&home, &caller)?;
    let GroupView {
        group,
        joined,
        members,
    } = home.look_into_group(&caller.subscriber, &group).await?;
    let participant = |(one, privilege): (JoinedUser, Privilege)| ParticipantView {
        screen_name: one.screen_name,
        address: one.user,
        privilege: word(privilege),
    };
    let member = |(privilege, address)| MemberView {
        address,
        privilege: word(privilege),
    };
    Ok(Json(LookView {
        group: one(&group),
        joined: joined.into_iter().map(participant).collect(),
        members: members.map(|members| members.into_iter().map(member).collect()),
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    topic: String,
}

pub(crate) async fn change(
    State(home): State<Arc<HomeDomain>>,
    caller: Caller,
    group: GroupPath,
    Body(change): Body<Change>,
) -> Result<StatusCode, Problem> {
    let group = group.read(&home, &caller)?;
    home.set_topic(&caller.subscriber, &group, &change.topic).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn end(
    State(home): State<Arc<HomeDomain>>,
    caller: Caller,
    group: GroupPath,
) -> Result<StatusCode, Problem> {
    let group = group.read(&home, &caller)?;
    home.delete_group(&caller.subscriber, &group).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Join {
    screen_name: Option<String>,
}

pub(crate) async fn join(
    State(home): State<Arc<HomeDomain>>,
    caller: Caller,
    group: GroupPath,
    Body(join): Body<Join>,
) -> Result<Json<JoinedView>, Problem> {
    let group = group.read(&home, &caller)?;
    let now = home
        .join_group(&caller.subscriber, &group, (join.screen_name, None))
        .await?;
    Ok(Json(joined(now)))
}

pub(crate) async fn leave(
    State(home): State<Arc<HomeDomain>>,
    caller: Caller,
    group: GroupPath,
) -> Result<StatusCode, Problem> {
    let group = group.read(&home, &caller)?;
    home.leave_group(&caller.subscriber, &group).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Invite {
    to: Vec<String>,
    note: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct InvitationsView {
    invitations: Vec<InvitationView>,
}

pub(crate) async fn invite(
    State(home): State<Arc<HomeDomain>>,
    caller: Caller,
    group: GroupPath,
    Body(invite): Body<Invite>,
) -> Result<Json<InvitationsView>, Problem> {
    let group = group.read(&home, &caller)?;
    let to = people(&home, &caller, &invite.to)?;
    let known = home.known_group(&caller.subscriber, &group)?;
    let invitations = invite_all(&home, &caller, (&known, to, invite.note.as_ref())).await;
    Ok(Json(InvitationsView { invitations }))
}

pub(crate) async fn remove(
    State(home): State<Arc<HomeDomain>>,
    caller: Caller,
    path: Both,
) -> Result<StatusCode, Problem> {
    let (group, person) = path.read(&home, &caller)?;
    let action = GroupAction::RemoveMembers(vec![person]);
    home.lead(&caller.subscriber, &group, action).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Serialize)]
pub(crate) struct RejectsView {
    rejects: Vec<WvAddress>,
}

pub(crate) async fn rejects(
    State(home): State<Arc<HomeDomain>>,
    caller: Caller,
    group: GroupPath,
) -> Result<Json<RejectsView>, Problem> {
    let group = group.read(&home, &caller)?;
    let rejects = change_rejects(&home, &caller, &group, (Vec::new(), Vec::new())).await?;
    Ok(Json(RejectsView { rejects }))
}

pub(crate) async fn reject(
    State(home): State<Arc<HomeDomain>>,
    caller: Caller,
    path: Both,
) -> Result<StatusCode, Problem> {
    let (group, person) = path.read(&home, &caller)?;
    change_rejects(&home, &caller, &group, (vec![person], Vec::new())).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn reject_no_more(
    State(home): State<Arc<HomeDomain>>,
    caller: Caller,
    path: Both,
) -> Result<StatusCode, Problem> {
    let (group, person) = path.read(&home, &caller)?;
    change_rejects(&home, &caller, &group, (Vec::new(), vec![person])).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn change_rejects(
    home: &HomeDomain,
    caller: &Caller,
    group: &WvAddress,
    (add, remove): (Vec<WvAddress>, Vec<WvAddress>),
) -> Result<Vec<WvAddress>, Problem> {
    let action = GroupAction::RejectList { add, remove };
    let answer = home.lead(&caller.subscriber, group, action).await?;
    if let GroupAnswer::RejectList(people) = answer {
        return Ok(people);
    }
    Ok(Vec::new())
}

/// Invites each; who can't be invited does not keep the others out.
async fn invite_all(
    home: &HomeDomain,
    caller: &Caller,
    (group, people, note): (&JoinedGroup, Vec<WvAddress>, Option<&String>),
) -> Vec<InvitationView> {
    let invite = |to: WvAddress| async move {
        let new = NewInvite {
            to: to.clone(),
            kind: InviteType::Group,
            group: Some(group.address.clone()),
            application: None,
            attributes: Vec::new(),
            content_urls: Vec::new(),
            // What it is about is the best that can be said to who has never seen it.
            note: note
                .or(Some(&group.topic))
                .filter(|note| !note.is_empty())
                .cloned(),
            screen_name: Some(group.screen_name.clone()),
            validity: Some(INVITED_FOR),
        };
        // The call was counted; each invitation counts as well, or one call would be fifty.
        let turn = caller.subscriber.state().rate.take(home.clock.now());
        let invited = match turn {
            Ok(()) => home.invite(&caller.subscriber, new).await,
            Err(refusal) => Err(refusal),
        };
        InvitationView {
            address: to,
            error: invited.as_ref().err().map(ErrorView::from),
            id: invited.ok(),
        }
    };
    stream::iter(people).map(invite).buffered(AT_ONCE).collect().await
}

fn people(home: &HomeDomain, caller: &Caller, texts: &[String]) -> Result<Vec<WvAddress>, Problem> {
    let most = home.config.limits.group_members;
    if texts.len() > most {
        return Err(Problem::bad(format!("at most {most} people are invited at once")));
    }
    let read = |text: &String| home.read_address(&caller.subscriber, text);
    Ok(texts.iter().map(read).collect::<Result<_, Refusal>>()?)
}

/// A group's address in a path, percent-encoded.
#[derive(Debug)]
pub(crate) struct GroupPath(String);

impl GroupPath {
    fn read(&self, home: &HomeDomain, caller: &Caller) -> Result<WvAddress, Problem> {
        Ok(home.read_address(&caller.subscriber, &self.0)?)
    }
}

impl FromRequestParts<Arc<HomeDomain>> for GroupPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, home: &Arc<HomeDomain>) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, home).await;
        path.map(|Path(group)| Self(group))
            .map_err(|error| Problem::bad(error.body_text()))
    }
}

/// A group and a person in a path.
#[derive(Debug)]
pub(crate) struct Both(GroupPath, Person);

impl Both {
    fn read(&self, home: &HomeDomain, caller: &Caller) -> Result<(WvAddress, WvAddress), Problem> {
        Ok((self.0.read(home, caller)?, self.1.read(home, caller)?))
    }
}

impl FromRequestParts<Arc<HomeDomain>> for Both {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, home: &Arc<HomeDomain>) -> Result<Self, Problem> {
        let path = Path::<(String, String)>::from_request_parts(parts, home).await;
        path.map(|Path((group, person))| Self(GroupPath(group), Person(person)))
            .map_err(|error| Problem::bad(error.body_text()))
    }
}

fn joined(now: JoinedNow) -> JoinedView {
    JoinedView {
        group: one(&now.group),
        names: now.names,
        welcome: now.welcome,
        invitations: Vec::new(),
    }
}

fn one(group: &JoinedGroup) -> OneView {
    OneView {
        group: group.address.clone(),
        topic: group.topic.clone(),
        screen_name: group.screen_name.clone(),
        since: time(group.since),
    }
}

fn word(privilege: Privilege) -> &'static str {
    match privilege {
        Privilege::Admin => "admin",
        Privilege::Moderator => "moderator",
        Privilege::Ordinary => "ordinary",
    }
}

/// How long an invitation to a group stands.
const INVITED_FOR: Duration = Duration::from_secs(86_400);
/// Invitations under way at the same time.
const AT_ONCE: usize = 8;
