//! Group primitives, both ways (SSP reference §12.11 to §12.18).

use super::{View, read::requestor, write};
use crate::{
    model::{
        Answer, Domain, GroupAction, GroupAnswer, GroupEvent, GroupRequest, JoinedUser, Privilege, Property,
        Refusal, Request, WvAddress,
    },
    wire::ssp::{
        AddGroupMemberRequest, DeleteGroupRequest, GetGroupMemberRequest, GetGroupMemberResponse,
        GetGroupPropsRequest, GetGroupPropsResponse, GetGroupSubStatusRequest, GetGroupSubStatusResponse,
        GetJoinedUsersRequest, GetJoinedUsersResponse, GroupChangeNotice, GroupProperties, JoinGroupRequest,
        JoinGroupResponse, LeaveGroupIndication, LeaveGroupRequest, Mapping, MemberAccessRequest, Members,
        MetaInfo, Primitive, Property as WireProperty, RejectListRequest, RejectListResponse,
        RemoveGroupMemberRequest, ScreenName, SetGroupPropsRequest, Status, StatusCode,
        SubscribeGroupChangeRequest, UnsubscribeGroupChangeRequest, User, UserList,
    },
};

/// A peer's group request or event.
pub(super) fn read(view: &View<'_>, primitive: &Primitive) -> Result<Request, Refusal> {
    let ours = |ids: &[String]| view.all_ours(ids.iter().map(String::as_str));
    let (group, action) = match primitive {
        Primitive::GroupChangeNotice(wire) => return notice(view, wire),
        Primitive::LeaveGroupIndication(wire) => return indication(view, wire),
        Primitive::JoinGroupRequest(wire) => (
            &wire.group_id,
            GroupAction::Join {
                screen_name: wire.screen_name.as_ref().map(|name| name.name.clone()),
                list_joined: wire.joined_list_request,
                subscribe: wire.subscribe_notifications,
                own_properties: read_properties(&wire.own_properties),
            },
        ),
        Primitive::LeaveGroupRequest(wire) => (&wire.group_id, GroupAction::Leave),
        Primitive::SubscribeGroupChangeRequest(wire) => (&wire.group_id, GroupAction::SubscribeChanges),
        Primitive::UnsubscribeGroupChangeRequest(wire) => (&wire.group_id, GroupAction::UnsubscribeChanges),
        Primitive::GetGroupSubStatusRequest(wire) => (&wire.group_id, GroupAction::SubscriptionStatus),
        Primitive::GetGroupMemberRequest(wire) => (&wire.group_id, GroupAction::Members),
        Primitive::GetJoinedUsersRequest(wire) => (&wire.group_id, GroupAction::JoinedUsers),
        Primitive::AddGroupMemberRequest(wire) => {
            (&wire.group_id, GroupAction::AddMembers(ours(&wire.user_ids)?))
        }
        Primitive::RemoveGroupMemberRequest(wire) => {
            (&wire.group_id, GroupAction::RemoveMembers(ours(&wire.user_ids)?))
        }
        Primitive::MemberAccessRequest(wire) => (
            &wire.group_id,
            GroupAction::SetPrivileges(read_members(&wire.members, |text| view.ours(text))?),
        ),
        Primitive::GetGroupPropsRequest(wire) => (&wire.group_id, GroupAction::Properties),
        Primitive::SetGroupPropsRequest(wire) => (
            &wire.group_id,
            GroupAction::SetProperties {
                group: wire
                    .group_properties
                    .as_ref()
                    .map(|all| read_properties(&all.properties))
                    .unwrap_or_default(),
                welcome_note: welcome_note(wire.group_properties.as_ref())?,
                own: read_properties(&wire.own_properties),
            },
        ),
        Primitive::RejectListRequest(wire) => (
            &wire.group_id,
            GroupAction::RejectList {
                add: ours(&wire.add)?,
                remove: ours(&wire.remove)?,
            },
        ),
        Primitive::DeleteGroupRequest(wire) => (&wire.group_id, GroupAction::Delete),
        other => {
            return Err(Refusal::Unsupported {
                what: other.name().to_owned(),
            });
        }
    };
    let by = requestor(view, meta_of(primitive))?;
    Ok(Request::Group(GroupRequest {
        by,
        group: view.ours(group)?,
        action,
    }))
}

/// The `MetaInfo` of a group primitive.
pub(super) fn meta_of(primitive: &Primitive) -> Option<&MetaInfo> {
    match primitive {
        Primitive::JoinGroupRequest(wire) => wire.meta.as_ref(),
        Primitive::LeaveGroupRequest(wire) => wire.meta.as_ref(),
        Primitive::GroupChangeNotice(wire) => wire.meta.as_ref(),
        Primitive::SubscribeGroupChangeRequest(wire) => wire.meta.as_ref(),
        Primitive::UnsubscribeGroupChangeRequest(wire) => wire.meta.as_ref(),
        Primitive::GetGroupSubStatusRequest(wire) => wire.meta.as_ref(),
        Primitive::GetGroupMemberRequest(wire) => wire.meta.as_ref(),
        Primitive::GetJoinedUsersRequest(wire) => wire.meta.as_ref(),
        Primitive::AddGroupMemberRequest(wire) => wire.meta.as_ref(),
        Primitive::RemoveGroupMemberRequest(wire) => wire.meta.as_ref(),
        Primitive::MemberAccessRequest(wire) => wire.meta.as_ref(),
        Primitive::GetGroupPropsRequest(wire) => wire.meta.as_ref(),
        Primitive::SetGroupPropsRequest(wire) => wire.meta.as_ref(),
        Primitive::RejectListRequest(wire) => wire.meta.as_ref(),
        Primitive::DeleteGroupRequest(wire) => wire.meta.as_ref(),
        _ => None,
    }
}

/// Our member's request to a group of the peer's.
pub(super) fn write(view: &View<'_>, request: &GroupRequest, via: &[Domain]) -> (Primitive, &'static str) {
    let group_id = view.write_theirs(&request.group);
    let meta = Some(view.meta(&request.by, None, via));
    let theirs = |people: &[WvAddress]| {
        people
            .iter()
            .map(|one| view.write_listed_theirs(one))
            .collect::<Vec<_>>()
    };
    match &request.action {
        GroupAction::Join {
            screen_name,
            list_joined,
            subscribe,
            own_properties,
        } => {
            let primitive = JoinGroupRequest {
                screen_name: screen_name.as_ref().map(|name| ScreenName {
                    group_id: group_id.clone(),
                    name: name.clone(),
                }),
                group_id,
                joined_list_request: *list_joined,
                subscribe_notifications: *subscribe,
                meta,
                own_properties: write_properties(own_properties),
            };
            (primitive.into(), "JoinGroupRequest")
        }
        GroupAction::Leave => (LeaveGroupRequest { group_id, meta }.into(), "LeaveGroupRequest"),
        GroupAction::SubscribeChanges => (
            SubscribeGroupChangeRequest { group_id, meta }.into(),
            "SubscribeGroupChangeRequest",
        ),
        GroupAction::UnsubscribeChanges => (
            UnsubscribeGroupChangeRequest { group_id, meta }.into(),
            "UnsubscribeGroupChangeRequest",
        ),
        GroupAction::SubscriptionStatus => (
            GetGroupSubStatusRequest { group_id, meta }.into(),
            "GetGroupSubStatusRequest",
        ),
        GroupAction::Members => (
            GetGroupMemberRequest { group_id, meta }.into(),
            "GetGroupMemberRequest",
        ),
        GroupAction::JoinedUsers => (
            GetJoinedUsersRequest { group_id, meta }.into(),
            "GetJoinedUsersRequest",
        ),
        GroupAction::AddMembers(people) => (
            AddGroupMemberRequest {
                group_id,
                meta,
                user_ids: theirs(people),
            }
            .into(),
            "AddGroupMemberRequest",
        ),
        GroupAction::RemoveMembers(people) => (
            RemoveGroupMemberRequest {
                group_id,
                meta,
                user_ids: theirs(people),
            }
            .into(),
            "RemoveGroupMemberRequest",
        ),
        GroupAction::SetPrivileges(people) => {
            let members = write_members(people, |one| view.write_listed_theirs(one));
            (
                MemberAccessRequest {
                    group_id,
                    meta,
                    members,
                }
                .into(),
                "MemberAccessRequest",
            )
        }
        GroupAction::Properties => (
            GetGroupPropsRequest { group_id, meta }.into(),
            "GetGroupPropsRequest",
        ),
        GroupAction::SetProperties {
            group,
            welcome_note,
            own,
        } => {
            let group_properties = group_properties(group, welcome_note.as_ref());
            let own_properties = write_properties(own);
            (
                SetGroupPropsRequest {
                    group_id,
                    meta,
                    group_properties,
                    own_properties,
                }
                .into(),
                "SetGroupPropsRequest",
            )
        }
        GroupAction::RejectList { add, remove } => {
            let (add, remove) = (theirs(add), theirs(remove));
            (
                RejectListRequest {
                    group_id,
                    meta,
                    add,
                    remove,
                }
                .into(),
                "RejectListRequest",
            )
        }
        GroupAction::Delete => (DeleteGroupRequest { group_id, meta }.into(), "DeleteGroupRequest"),
    }
}

/// What happened in a group of ours, for the peer's members.
pub(super) fn write_event(view: &View<'_>, event: &GroupEvent, via: &[Domain]) -> (Primitive, &'static str) {
    let group_id = view.write_ours(&event.group);
    if let Some((status, reason)) = &event.removed {
        let status = Status::new(StatusCode(*status));
        let primitive = LeaveGroupIndication {
            group_id,
            status,
            reason: Some(reason.clone()),
        };
        return (primitive.into(), "LeaveGroupIndication");
    }
    let unblocked = |one: &JoinedUser| one.user.as_ref().map(|user| User::new(view.write_listed(user)));
    let screen_name = |one: &JoinedUser| {
        one.screen_name.as_ref().map(|name| ScreenName {
            group_id: group_id.clone(),
            name: name.clone(),
        })
    };
    let primitive = GroupChangeNotice {
        meta: Some(view.server_meta(via)),
        users: event
            .to
            .iter()
            .map(|one| User::new(view.write_theirs(one)))
            .collect(),
        joined: event.joined.clone(),
        left: event.left.clone(),
        joined_blocked: event.blocked.iter().map(|one| mapping(view, one)).collect(),
        left_blocked: UserList {
            users: event.unblocked.iter().filter_map(unblocked).collect(),
            screen_names: event.unblocked.iter().filter_map(screen_name).collect(),
        },
        group_properties: group_properties(&event.group_properties, None),
        own_properties: write_properties(&event.own_properties),
        group_id: group_id.clone(),
    };
    (primitive.into(), "GroupChangeNotice")
}

/// The answer of a group of ours to a peer's member.
pub(super) fn write_answer(view: &View<'_>, request: &Request, answer: &GroupAnswer) -> Primitive {
    let status = || Status::new(StatusCode::SUCCESS);
    let group_id = match request {
        Request::Group(request) => view.write_ours(&request.group),
        _ => String::new(),
    };
    match answer {
        GroupAnswer::Joined { names, welcome_note } => JoinGroupResponse {
            status: status(),
            joined: names.clone(),
            welcome_note: welcome_note.as_ref().map(write::content),
        }
        .into(),
        GroupAnswer::Left => LeaveGroupIndication {
            group_id,
            status: status(),
            reason: None,
        }
        .into(),
        GroupAnswer::SubscriptionStatus(subscribed) => GetGroupSubStatusResponse {
            group_id,
            subscribed: *subscribed,
            status: status(),
        }
        .into(),
        GroupAnswer::Members(people) => {
            let members = write_members(people, |one| view.write_listed(one));
            GetGroupMemberResponse {
                status: status(),
                members,
            }
            .into()
        }
        GroupAnswer::JoinedUsers {
            admins,
            users,
            blocked,
        } => {
            let list = |people: &[JoinedUser]| people.iter().map(|one| mapping(view, one)).collect();
            let (admins, users, blocked) = (list(admins), list(users), list(blocked));
            GetJoinedUsersResponse {
                status: status(),
                admins,
                users,
                blocked,
            }
            .into()
        }
        GroupAnswer::Properties {
            group,
            welcome_note,
            own,
        } => GetGroupPropsResponse {
            status: status(),
            group_properties: group_properties(group, welcome_note.as_ref()),
            own_properties: write_properties(own),
        }
        .into(),
        GroupAnswer::RejectList(people) => {
            let rejected = people.iter().map(|one| view.write_listed(one)).collect();
            RejectListResponse {
                status: status(),
                rejected,
            }
            .into()
        }
        GroupAnswer::Done => status().into(),
    }
}

/// The peer's answer to our member; `None` when it is no group answer.
pub(super) fn read_answer(view: &View<'_>, primitive: &Primitive) -> Option<Result<Answer, Refusal>> {
    let (status, answer) = match primitive {
        Primitive::JoinGroupResponse(wire) => {
            let note = wire
                .welcome_note
                .as_ref()
                .map(|note| super::read::content(Some(note), None, None));
            let answer = note.transpose().map(|welcome_note| GroupAnswer::Joined {
                names: wire.joined.clone(),
                welcome_note,
            });
            (&wire.status, answer)
        }
        Primitive::LeaveGroupIndication(wire) => (&wire.status, Ok(GroupAnswer::Left)),
        Primitive::GetGroupSubStatusResponse(wire) => {
            (&wire.status, Ok(GroupAnswer::SubscriptionStatus(wire.subscribed)))
        }
        Primitive::GetGroupMemberResponse(wire) => (
            &wire.status,
            read_members(&wire.members, |text| view.theirs(text)).map(GroupAnswer::Members),
        ),
        Primitive::GetJoinedUsersResponse(wire) => {
            let list = |people: &[Mapping]| people.iter().map(|one| joined(view, one)).collect();
            let (admins, users, blocked) = (list(&wire.admins), list(&wire.users), list(&wire.blocked));
            (
                &wire.status,
                Ok(GroupAnswer::JoinedUsers {
                    admins,
                    users,
                    blocked,
                }),
            )
        }
        Primitive::GetGroupPropsResponse(wire) => {
            let group = wire.group_properties.as_ref();
            let answer = welcome_note(group).map(|welcome_note| GroupAnswer::Properties {
                group: group
                    .map(|all| read_properties(&all.properties))
                    .unwrap_or_default(),
                welcome_note,
                own: read_properties(&wire.own_properties),
            });
            (&wire.status, answer)
        }
        Primitive::RejectListResponse(wire) => {
            let people = view.all_theirs(wire.rejected.iter().map(String::as_str));
            (&wire.status, people.map(GroupAnswer::RejectList))
        }
        _ => return None,
    };
    if status.code.is_failure() {
        return Some(super::answer::read_status(view, status, &[]));
    }
    Some(answer.map(Answer::Group))
}

fn notice(view: &View<'_>, wire: &GroupChangeNotice) -> Result<Request, Refusal> {
    let unblocked = wire.left_blocked.users.iter().map(|user| JoinedUser {
        screen_name: None,
        user: view.theirs(&user.user_id).ok(),
    });
    let names = wire.left_blocked.screen_names.iter().map(|name| JoinedUser {
        screen_name: Some(name.name.clone()),
        user: None,
    });
    Ok(Request::GroupEvent(GroupEvent {
        group: view.theirs(&wire.group_id)?,
        to: view.all_ours(wire.users.iter().map(|user| user.user_id.as_str()))?,
        joined: wire.joined.clone(),
        left: wire.left.clone(),
        blocked: wire.joined_blocked.iter().map(|one| joined(view, one)).collect(),
        unblocked: unblocked.chain(names).collect(),
        group_properties: wire
            .group_properties
            .as_ref()
            .map(|all| read_properties(&all.properties))
            .unwrap_or_default(),
        own_properties: read_properties(&wire.own_properties),
        removed: None,
    }))
}

/// A member of ours was put out; the document names nobody, so the relay finds who asked to join.
fn indication(view: &View<'_>, wire: &LeaveGroupIndication) -> Result<Request, Refusal> {
    Ok(Request::GroupEvent(GroupEvent {
        removed: Some((wire.status.code.0, wire.reason.clone().unwrap_or_default())),
        ..GroupEvent::of(view.theirs(&wire.group_id)?)
    }))
}

fn read_members(
    members: &Members,
    read: impl Fn(&str) -> Result<WvAddress, Refusal> + Copy,
) -> Result<Vec<(Privilege, WvAddress)>, Refusal> {
    let lists = [
        (Privilege::Admin, &members.admins),
        (Privilege::Moderator, &members.moderators),
        (Privilege::Ordinary, &members.ordinary_users),
    ];
    lists
        .into_iter()
        .flat_map(|(privilege, ids)| ids.iter().map(move |id| Ok((privilege, read(id)?))))
        .collect()
}

fn write_members(people: &[(Privilege, WvAddress)], write: impl Fn(&WvAddress) -> String) -> Members {
    let mut members = Members::default();
    for (privilege, who) in people {
        let list = match privilege {
            Privilege::Admin => &mut members.admins,
            Privilege::Moderator => &mut members.moderators,
            Privilege::Ordinary => &mut members.ordinary_users,
        };
        list.push(write(who));
    }
    members
}

fn joined(view: &View<'_>, mapping: &Mapping) -> JoinedUser {
    JoinedUser {
        screen_name: mapping.screen_name.clone(),
        user: mapping.user_id.as_deref().and_then(|id| view.theirs(id).ok()),
    }
}

fn mapping(view: &View<'_>, user: &JoinedUser) -> Mapping {
    Mapping {
        screen_name: user.screen_name.clone(),
        user_id: user.user.as_ref().map(|one| view.write_listed(one)),
    }
}

fn read_properties(properties: &[WireProperty]) -> Vec<Property> {
    properties
        .iter()
        .map(|one| Property {
            name: one.name.clone(),
            value: one.value.clone(),
        })
        .collect()
}

fn write_properties(properties: &[Property]) -> Vec<WireProperty> {
    properties
        .iter()
        .map(|one| WireProperty {
            name: one.name.clone(),
            value: one.value.clone(),
        })
        .collect()
}

fn group_properties(
    properties: &[Property],
    note: Option<&crate::model::Content>,
) -> Option<GroupProperties> {
    if properties.is_empty() && note.is_none() {
        return None;
    }
    Some(GroupProperties {
        properties: write_properties(properties),
        welcome_note: note.map(write::content),
    })
}

fn welcome_note(properties: Option<&GroupProperties>) -> Result<Option<crate::model::Content>, Refusal> {
    let note = properties.and_then(|all| all.welcome_note.as_ref());
    note.map(|note| super::read::content(Some(note), None, None))
        .transpose()
}
