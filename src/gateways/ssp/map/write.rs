//! What we ask of a peer, out of the model.

use super::{View, answer::description, group, presence};
use crate::{
    gateways::ssp::{link::Expects, status::code_of},
    model::{
        CancelInvite, ContactAdded, DeliveryReport, Disposition, Domain, Invite, InviteAnswer, InviteType,
        Request, Search, SearchElement, SendMessage, Service,
    },
    wire::ssp::invite::InviteSubject,
    wire::ssp::{
        self, CancelInviteRequest, ContentData, DateTime, DeliveryStatusReport, GetPresenceRequest,
        InviteRequest, InviteResponse, MessageInfo, NotificationRequest, NotificationText, NotificationType,
        PresenceNotification, Primitive, ScreenName, SearchPair, SearchRequest, SendMessageRequest, Status,
        StatusCode, StopSearchRequest, SubscribeRequest, UnsubscribeRequest, User,
    },
};

/// A request, ready for a link.
#[derive(Debug)]
pub struct Outgoing {
    /// The primitive.
    pub primitive: Primitive,
    /// Its name, to remember that a peer does not know it.
    pub name: &'static str,
    /// Requests of one conversation go one after the other.
    pub conversation: Option<String>,
    /// Whether an SSP answer comes at all (SSP reference §11).
    pub expects: Expects,
}

/// Writes a request for a peer.
pub fn write_request(view: &View<'_>, request: &Request, via: &[Domain]) -> Outgoing {
    let ordered = |primitive: Primitive, name: &'static str, expects: Expects| {
        let sender = request
            .sender()
            .map(crate::model::WvAddress::key)
            .unwrap_or_default();
        let recipient = request
            .recipients()
            .first()
            .map(|one| one.key())
            .unwrap_or_default();
        Outgoing {
            primitive,
            name,
            conversation: Some(format!("{:?} {sender}>{recipient}", request.service())),
            expects,
        }
    };
    let notice = if view.profile.answers_notices {
        Expects::Maybe
    } else {
        Expects::Nothing
    };
    let free = |primitive: Primitive, name: &'static str| Outgoing {
        primitive,
        name,
        conversation: None,
        expects: Expects::Answer,
    };
    match request {
        Request::Send(message) => ordered(
            send(view, message, via).into(),
            "SendMessageRequest",
            Expects::Answer,
        ),
        Request::Report(wire) => ordered(report(view, wire, via).into(), "DeliveryStatusReport", notice),
        Request::Invite(wire) => free(invite(view, wire, via).into(), "InviteRequest"),
        Request::InviteAnswer(wire) => {
            ordered(invite_answer(view, wire, via).into(), "InviteResponse", notice)
        }
        Request::CancelInvite(wire) => free(cancel(view, wire, via).into(), "CancelInviteRequest"),
        Request::Subscribe(wire) => {
            let primitive = SubscribeRequest {
                meta: Some(view.meta(&wire.watcher, None, via)),
                user_ids: wire
                    .presentities
                    .iter()
                    .map(|one| view.write_theirs(one))
                    .collect(),
                attributes: presence::write_names(&wire.attributes),
            };
            ordered(primitive.into(), "SubscribeRequest", Expects::Answer)
        }
        Request::Unsubscribe(wire) => {
            let primitive = UnsubscribeRequest {
                meta: Some(view.meta(&wire.watcher, None, via)),
                user_ids: wire
                    .presentities
                    .iter()
                    .map(|one| view.write_theirs(one))
                    .collect(),
            };
            ordered(primitive.into(), "UnsubscribeRequest", Expects::Answer)
        }
        Request::GetPresence(wire) => {
            let primitive = GetPresenceRequest {
                meta: Some(view.meta(&wire.watcher, None, via)),
                user_ids: wire
                    .presentities
                    .iter()
                    .map(|one| view.write_theirs(one))
                    .collect(),
                attributes: presence::write_names(&wire.attributes),
            };
            free(primitive.into(), "GetPresenceRequest")
        }
        Request::Notify(wire) => {
            let allowed = &view.agreement.config.disclose.presence;
            let value = |(who, what): &(_, crate::model::Presence)| {
                presence::write(view.write_ours(who), &what.only(allowed))
            };
            let primitive = PresenceNotification {
                meta: Some(view.server_meta(via)),
                users: wire
                    .watchers
                    .iter()
                    .map(|watcher| User::new(view.write_theirs(watcher)))
                    .collect(),
                values: wire.values.iter().map(value).collect(),
            };
            ordered(primitive.into(), "PresenceNotification", notice)
        }
        Request::Search(wire) => free(search(view, wire, via).into(), "SearchRequest"),
        Request::StopSearch { by, cursor } => {
            let primitive = StopSearchRequest {
                search_id: cursor.id.clone(),
                meta: Some(view.meta(by, None, via)),
            };
            free(primitive.into(), "StopSearchRequest")
        }
        Request::ContactAdded(wire) => ordered(
            contact_added(view, wire, via).into(),
            "NotificationRequest",
            Expects::Answer,
        ),
        Request::Group(wire) => {
            let (primitive, name) = group::write(view, wire, via);
            free(primitive, name)
        }
        Request::GroupEvent(event) => {
            let (primitive, name) = group::write_event(view, event, via);
            ordered(primitive, name, notice)
        }
    }
}

/// The content as it is carried.
pub(super) fn content(content: &crate::model::Content) -> ContentData {
    ContentData {
        content_type: Some(content.media_type.to_string()),
        bytes: content.bytes.to_vec(),
    }
}

fn send(view: &View<'_>, message: &SendMessage, via: &[Domain]) -> SendMessageRequest {
    let recipients = message
        .recipients
        .iter()
        .map(|one| view.entity_theirs(one))
        .collect();
    let mut info = MessageInfo::new(view.entity_ours(&message.sender), recipients);
    info.message_id = message.id.as_ref().map(ToString::to_string);
    info.content_type = Some(message.content.media_type.to_string());
    info.content_name.clone_from(&message.content.name);
    info.content_size = Some(message.content.bytes.len() as u64);
    info.validity = message.validity;
    info.date = message.sent_at.map(date);
    SendMessageRequest {
        delivery_report: message.report_wanted,
        meta: Some(view.meta(&message.sender, None, via)),
        info,
        content: Some(content(&message.content)),
    }
}

fn report(view: &View<'_>, report: &DeliveryReport, via: &[Domain]) -> DeliveryStatusReport {
    let result = match &report.disposition {
        Disposition::Delivered => Status::new(StatusCode::SUCCESS),
        Disposition::Failed(refusal) => {
            Status::new(code_of(refusal, Service::Message)).described(description(refusal))
        }
    };
    let recipients = vec![view.entity_theirs(&report.sender)];
    let mut info = MessageInfo::new(view.entity_ours(&report.recipient), recipients);
    info.message_id = Some(report.message.to_string());
    DeliveryStatusReport {
        meta: Some(view.meta(&report.recipient, None, via)),
        result,
        delivery_time: report.at.map(date),
        info,
    }
}

fn invite(view: &View<'_>, invite: &Invite, via: &[Domain]) -> InviteRequest {
    let invite_type = match invite.kind {
        InviteType::Chat => ssp::InviteType::Im,
        InviteType::Group => ssp::InviteType::GroupJoin,
        InviteType::GroupMembership => ssp::InviteType::GroupMembership,
        InviteType::Presence => ssp::InviteType::Presence,
        InviteType::Application => ssp::InviteType::Application,
        InviteType::SharedContent => ssp::InviteType::SharedContent,
        InviteType::ExtendedConversation => ssp::InviteType::ExtendedConversation,
        InviteType::ExtendGroup => ssp::InviteType::ExtendGroup,
    };
    let group_id = invite.group.as_ref().map(|group| view.write_ours(group));
    let attributes = presence::write_names(&invite.attributes);
    InviteRequest {
        invite_id: invite.id.to_string(),
        invite_type,
        // A missing validity stops some peers (SSP reference §14 item 20).
        validity: Some(invite.validity.unwrap_or(std::time::Duration::from_secs(86_400))),
        meta: Some(view.meta(&invite.inviting, None, via)),
        inviting: view.entity_ours(&invite.inviting),
        invited: view.entity_theirs(&invite.invited),
        subject: InviteSubject {
            group_id: group_id.clone(),
            application_id: invite.application.clone(),
            attributes: (!attributes.is_empty()).then_some(attributes),
            content_urls: invite.content_urls.clone(),
        },
        note: invite.note.clone(),
        screen_name: screen_name(invite.screen_name.as_ref(), group_id),
    }
}

fn invite_answer(view: &View<'_>, answer: &InviteAnswer, via: &[Domain]) -> InviteResponse {
    let code = if answer.accepted {
        StatusCode::SUCCESS
    } else {
        StatusCode::NOT_FOUND
    };
    InviteResponse {
        invite_id: answer.id.to_string(),
        acceptance: answer.accepted,
        meta: Some(view.meta(&answer.responding, None, via)),
        status: code.into(),
        inviting: view.entity_theirs(&answer.inviting),
        responding: view.entity_ours(&answer.responding),
        note: answer.note.clone(),
        screen_name: screen_name(answer.screen_name.as_ref(), None),
    }
}

fn cancel(view: &View<'_>, cancel: &CancelInvite, via: &[Domain]) -> CancelInviteRequest {
    let group_id = cancel.group.as_ref().map(|group| view.write_ours(group));
    CancelInviteRequest {
        invite_id: cancel.id.to_string(),
        meta: Some(view.meta(&cancel.canceling, None, via)),
        canceling: view.entity_ours(&cancel.canceling),
        canceled: view.entity_theirs(&cancel.canceled),
        subject: InviteSubject {
            group_id: group_id.clone(),
            ..InviteSubject::default()
        },
        note: cancel.note.clone(),
        screen_name: screen_name(cancel.screen_name.as_ref(), group_id),
    }
}

fn search(view: &View<'_>, search: &Search, via: &[Domain]) -> SearchRequest {
    let pair = |pair: &crate::model::SearchPair| SearchPair {
        element: element(pair.element),
        string: pair.text.clone(),
    };
    SearchRequest {
        search_limit: Some(u32::from(search.limit)),
        search_id: search.resume.as_ref().map(|cursor| cursor.id.clone()),
        search_index: search.resume.as_ref().map(|cursor| cursor.index),
        meta: Some(view.meta(&search.by, None, via)),
        pairs: search.pairs.iter().map(pair).collect(),
    }
}

fn element(element: SearchElement) -> ssp::SearchElement {
    match element {
        SearchElement::UserMobileNumber => ssp::SearchElement::UserMobileNumber,
        SearchElement::UserId => ssp::SearchElement::UserId,
        SearchElement::UserAlias => ssp::SearchElement::UserAlias,
        SearchElement::UserEmailAddress => ssp::SearchElement::UserEmailAddress,
        SearchElement::UserFirstName => ssp::SearchElement::UserFirstName,
        SearchElement::UserLastName => ssp::SearchElement::UserLastName,
        SearchElement::UserOnlineStatus => ssp::SearchElement::UserOnlineStatus,
        SearchElement::GroupId => ssp::SearchElement::GroupId,
        SearchElement::GroupName => ssp::SearchElement::GroupName,
        SearchElement::GroupTopic => ssp::SearchElement::GroupTopic,
        SearchElement::GroupUserIdJoined => ssp::SearchElement::GroupUserIdJoined,
        SearchElement::GroupUserIdOwner => ssp::SearchElement::GroupUserIdOwner,
    }
}

fn contact_added(view: &View<'_>, notice: &ContactAdded, via: &[Domain]) -> NotificationRequest {
    let name = notice
        .friendly_name
        .as_deref()
        .filter(|_| view.agreement.config.disclose.friendly_name);
    let text = notice.text.as_ref();
    NotificationRequest {
        notification_type: NotificationType::AddedToContactList,
        meta: Some(view.meta(&notice.by, name, via)),
        user_ids: notice.added.iter().map(|one| view.write_theirs(one)).collect(),
        text: text.map(|(text, language)| NotificationText {
            text: text.clone(),
            language: language.clone(),
        }),
    }
}

fn screen_name(name: Option<&String>, group_id: Option<String>) -> Option<ScreenName> {
    name.map(|name| ScreenName {
        group_id: group_id.unwrap_or_default(),
        name: name.clone(),
    })
}

fn date(at: crate::model::Timestamp) -> DateTime {
    DateTime::from_unix_seconds(i64::try_from(at.seconds()).unwrap_or(i64::MAX))
}
