//! What a peer asks, into the model.

use super::{View, answer::write_unreadable, group, presence};
use crate::{
    model::{
        CancelInvite, ContactAdded, Content, DeliveryReport, Disposition, Domain, GetPresence, Invite,
        InviteAnswer, InviteId, InviteType, MediaType, MessageId, PresenceNotification, Refusal, Request,
        Search, SearchCursor, SearchElement, SearchPair, SendMessage, Subscribe, Timestamp, Unsubscribe,
        WvAddress,
    },
    relay::RequestKey,
    wire::ssp::{self, ContentData, Entity, MetaInfo, Mode, Primitive, Transaction},
};

/// A transaction, understood.
#[derive(Debug)]
pub(in crate::gateways::ssp) enum Incoming {
    /// Something for the relay.
    Request {
        /// What.
        request: Box<Request>,
        /// Its identity, where repeats must be told apart.
        key: Option<RequestKey>,
        /// Gateways that relayed it before us.
        via: Vec<Domain>,
        /// Recipients that can't be read; the others get theirs all the same.
        unreadable: Vec<Unreadable>,
    },
    /// A request of which nobody that it is for can be read: the answer.
    Unreadable(Primitive),
    /// The peer asks whether the session lives.
    KeepAlive(ssp::KeepAliveRequest),
    /// The peer ends the session.
    Logout,
    /// An answer to something of ours, or to nothing.
    Answer,
    /// A primitive that we don't know: 405.
    Unknown(String),
}

/// A recipient that can't be read.
#[derive(Debug)]
pub(in crate::gateways::ssp) struct Unreadable {
    /// As the peer wrote it, cut to a length that an answer may have.
    pub(in crate::gateways::ssp) text: String,
    /// What to say of it.
    pub(in crate::gateways::ssp) refusal: Refusal,
}

/// Reads a transaction.
///
/// # Errors
/// The refusal to answer it with.
pub(in crate::gateways::ssp) fn read_request(
    view: &View<'_>,
    transaction: &Transaction,
    now: Timestamp,
) -> Result<Incoming, Refusal> {
    let primitive = &transaction.primitive;
    let always = matches!(
        primitive,
        Primitive::DeliveryStatusReport(_) | Primitive::InviteResponse(_)
    ) || matches!(primitive, Primitive::LeaveGroupIndication(_) if transaction.mode == Mode::Request);
    if transaction.mode == Mode::Response && !always {
        return Ok(Incoming::Answer);
    }
    let meta = meta_of(primitive);
    check_requestor(view, meta)?;
    let via = via(meta)?;
    let mut key = None;
    let mut named = Named::default();
    let request = match primitive {
        Primitive::SendMessageRequest(wire) => {
            let message = send(view, wire, &mut named, now)?;
            key = Some(message_key(&message, transaction));
            Request::Send(message)
        }
        Primitive::DeliveryStatusReport(wire) => Request::Report(report(view, wire, now)?),
        Primitive::InviteRequest(wire) => {
            let invite = invite(view, wire)?;
            let hash = RequestKey::hash([invite.inviting.key().as_bytes(), invite.invited.key().as_bytes()]);
            key = Some(RequestKey {
                id: invite.id.to_string(),
                is_transaction: false,
                hash,
            });
            Request::Invite(invite)
        }
        Primitive::InviteResponse(wire) => Request::InviteAnswer(invite_answer(view, wire)?),
        Primitive::CancelInviteRequest(wire) => Request::CancelInvite(cancel(view, wire)?),
        Primitive::SubscribeRequest(wire) => Request::Subscribe(Subscribe {
            watcher: requestor(view, wire.meta.as_ref())?,
            presentities: named.ours(view, &wire.user_ids),
            attributes: presence::read_names(&wire.attributes),
        }),
        Primitive::UnsubscribeRequest(wire) => Request::Unsubscribe(Unsubscribe {
            watcher: requestor(view, wire.meta.as_ref())?,
            presentities: named.ours(view, &wire.user_ids),
        }),
        Primitive::GetPresenceRequest(wire) => Request::GetPresence(GetPresence {
            watcher: requestor(view, wire.meta.as_ref())?,
            presentities: named.ours(view, &wire.user_ids),
            attributes: presence::read_names(&wire.attributes),
        }),
        Primitive::PresenceNotification(wire) => Request::Notify(notification(view, wire, &mut named)?),
        Primitive::SearchRequest(wire) => Request::Search(search(view, wire)?),
        Primitive::StopSearchRequest(wire) => Request::StopSearch {
            by: requestor(view, wire.meta.as_ref())?,
            cursor: SearchCursor {
                id: wire.search_id.clone(),
                index: 1,
            },
        },
        Primitive::NotificationRequest(wire) => Request::ContactAdded(ContactAdded {
            by: requestor(view, wire.meta.as_ref())?,
            friendly_name: wire
                .meta
                .as_ref()
                .and_then(|meta| meta.user.as_ref()?.friendly_name.clone()),
            added: named.ours(view, &wire.user_ids),
            text: wire
                .text
                .as_ref()
                .map(|text| (text.text.clone(), text.language.clone())),
        }),
        Primitive::KeepAliveRequest(wire) => return Ok(Incoming::KeepAlive((**wire).clone())),
        Primitive::LogoutRequest(_) => return Ok(Incoming::Logout),
        Primitive::Unknown { name } => return Ok(Incoming::Unknown(name.clone())),
        Primitive::Malformed { name, reason } => {
            return Err(Refusal::BadRequest {
                reason: format!("{name}: {reason}"),
            });
        }
        Primitive::Status(_)
        | Primitive::SendMessageResponse(_)
        | Primitive::GetPresenceResponse(_)
        | Primitive::JoinGroupResponse(_)
        | Primitive::GetGroupSubStatusResponse(_)
        | Primitive::GetGroupMemberResponse(_)
        | Primitive::GetJoinedUsersResponse(_)
        | Primitive::GetGroupPropsResponse(_)
        | Primitive::RejectListResponse(_)
        | Primitive::SearchResponse(_)
        | Primitive::KeepAliveResponse(_) => return Ok(Incoming::Answer),
        Primitive::JoinGroupRequest(_)
        | Primitive::LeaveGroupRequest(_)
        | Primitive::LeaveGroupIndication(_)
        | Primitive::GroupChangeNotice(_)
        | Primitive::SubscribeGroupChangeRequest(_)
        | Primitive::UnsubscribeGroupChangeRequest(_)
        | Primitive::GetGroupSubStatusRequest(_)
        | Primitive::GetGroupMemberRequest(_)
        | Primitive::GetJoinedUsersRequest(_)
        | Primitive::AddGroupMemberRequest(_)
        | Primitive::RemoveGroupMemberRequest(_)
        | Primitive::MemberAccessRequest(_)
        | Primitive::GetGroupPropsRequest(_)
        | Primitive::SetGroupPropsRequest(_)
        | Primitive::RejectListRequest(_)
        | Primitive::DeleteGroupRequest(_) => group::read(view, primitive)?,
    };
    if !named.unreadable.is_empty() && request.recipients().is_empty() {
        return Ok(Incoming::Unreadable(write_unreadable(
            &request,
            &named.unreadable,
        )));
    }
    Ok(Incoming::Request {
        request: Box::new(request),
        key,
        via,
        unreadable: named.unreadable,
    })
}

/// Reads whom a request is for, one by one: who can't be read is told apart from those who can.
#[derive(Debug, Default)]
struct Named {
    unreadable: Vec<Unreadable>,
}

impl Named {
    fn ours(&mut self, view: &View<'_>, ids: &[String]) -> Vec<WvAddress> {
        let read = |id: &String| self.readable(id, view.ours(id));
        ids.iter().filter_map(read).collect()
    }

    fn entities(&mut self, view: &View<'_>, entities: &[Entity]) -> Vec<WvAddress> {
        let read = |one: &Entity| self.readable(one.address(), view.entity_of_ours(one));
        entities.iter().filter_map(read).collect()
    }

    fn readable(&mut self, text: &str, read: Result<WvAddress, Refusal>) -> Option<WvAddress> {
        let refusal = match read {
            Ok(address) => return Some(address),
            Err(refusal) => refusal,
        };
        let text = text.chars().take(128).collect();
        self.unreadable.push(Unreadable { text, refusal });
        None
    }
}

/// The requesting user must be one that the peer may speak for, in whatever primitive he is named (SSP reference §6.1).
fn check_requestor(view: &View<'_>, meta: Option<&MetaInfo>) -> Result<(), Refusal> {
    let Some(user) = meta.and_then(|meta| meta.user.as_ref()) else {
        return Ok(());
    };
    let requestor = view.theirs(&user.user_id)?;
    if view.agreement.may_speak_for(&requestor, view.peer) {
        return Ok(());
    }
    Err(Refusal::ForeignSender {
        sender: requestor,
        domain: view.peer.clone(),
    })
}

/// The user on whose behalf a request is made.
pub(super) fn requestor(view: &View<'_>, meta: Option<&MetaInfo>) -> Result<WvAddress, Refusal> {
    let user = meta.and_then(|meta| meta.user.as_ref());
    let user = user.ok_or_else(|| Refusal::BadRequest {
        reason: "MetaInfo names no requesting user".into(),
    })?;
    view.theirs(&user.user_id)
}

/// Who the body says it is from; admission checks him.
///
/// A member of a group on somebody else's server may go by his name there: then it is from the requesting user, whose name
/// that server knows.
fn sender(view: &View<'_>, meta: Option<&MetaInfo>, body: &Entity) -> Result<WvAddress, Refusal> {
    let sender = view.entity_of_theirs(body)?;
    let is_elsewhere = sender.is_group() && !view.agreement.may_speak_for(&sender, view.peer);
    match meta.and_then(|meta| meta.user.as_ref()) {
        Some(user) if is_elsewhere => view.theirs(&user.user_id),
        Some(_) | None => Ok(sender),
    }
}

fn send(
    view: &View<'_>,
    wire: &ssp::SendMessageRequest,
    named: &mut Named,
    now: Timestamp,
) -> Result<SendMessage, Refusal> {
    let info = &wire.info;
    if info.uri.is_some() && wire.content.is_none() {
        return Err(Refusal::Unsupported {
            what: "content by messageURI".into(),
        });
    }
    Ok(SendMessage {
        sender: sender(view, wire.meta.as_ref(), &info.sender)?,
        recipients: named.entities(view, &info.recipients),
        id: info.message_id.as_deref().map(id::<MessageId>).transpose()?,
        report_wanted: wire.delivery_report,
        validity: info.validity,
        sent_at: Some(believable(info.date, now)),
        content: content(
            wire.content.as_ref(),
            info.content_type.as_deref(),
            info.content_name.as_deref(),
        )?,
        conversation: None,
    })
}

fn report(
    view: &View<'_>,
    wire: &ssp::DeliveryStatusReport,
    now: Timestamp,
) -> Result<DeliveryReport, Refusal> {
    let info = &wire.info;
    let message = info.message_id.as_deref();
    let message = message.ok_or_else(|| Refusal::BadRequest {
        reason: "the report names no messageID".into(),
    })?;
    let sender = info.recipients.first().ok_or_else(|| Refusal::BadRequest {
        reason: "the report names no recipient".into(),
    })?;
    let recipient = view.entity_of_theirs(&info.sender)?;
    let disposition = if wire.result.code.is_failure() {
        let text = wire.result.description.clone().unwrap_or_default();
        Disposition::Failed(super::super::status::refusal_of(
            wire.result.code,
            &text,
            view.peer,
            Some(&recipient),
        ))
    } else {
        Disposition::Delivered
    };
    Ok(DeliveryReport {
        message: id(message)?,
        sender: view.entity_of_ours(sender)?,
        recipient,
        disposition,
        at: wire.delivery_time.map(|date| believable(Some(date), now)),
        losses: Vec::new(),
    })
}

fn invite(view: &View<'_>, wire: &ssp::InviteRequest) -> Result<Invite, Refusal> {
    let kind = invite_type(&wire.invite_type)?;
    Ok(Invite {
        id: id::<InviteId>(&wire.invite_id)?,
        kind,
        validity: wire.validity,
        inviting: sender(view, wire.meta.as_ref(), &wire.inviting)?,
        invited: view.entity_of_ours(&wire.invited)?,
        group: wire
            .subject
            .group_id
            .as_deref()
            .map(|group| view.theirs(group))
            .transpose()?,
        application: wire.subject.application_id.clone(),
        attributes: wire
            .subject
            .attributes
            .as_deref()
            .map(presence::read_names)
            .unwrap_or_default(),
        content_urls: wire.subject.content_urls.clone(),
        note: wire.note.clone(),
        screen_name: wire.screen_name.as_ref().map(|name| name.name.clone()),
    })
}

/// The roles may be exchanged (SSP reference §12.5): the user of the sending peer is the one who answers.
fn invite_answer(view: &View<'_>, wire: &ssp::InviteResponse) -> Result<InviteAnswer, Refusal> {
    let of_peer = |entity: &Entity| {
        entity
            .address()
            .parse::<WvAddress>()
            .is_ok_and(|address| address.domain() == Some(view.peer))
    };
    let is_exchanged = if of_peer(&wire.inviting) == of_peer(&wire.responding) {
        view.profile.invite_roles_exchanged
    } else {
        of_peer(&wire.inviting)
    };
    let (inviting, responding) = if is_exchanged {
        (&wire.responding, &wire.inviting)
    } else {
        (&wire.inviting, &wire.responding)
    };
    Ok(InviteAnswer {
        id: id(&wire.invite_id)?,
        accepted: wire.acceptance,
        inviting: view.entity_of_ours(inviting)?,
        responding: view.entity_of_theirs(responding)?,
        note: wire.note.clone(),
        screen_name: wire.screen_name.as_ref().map(|name| name.name.clone()),
    })
}

fn cancel(view: &View<'_>, wire: &ssp::CancelInviteRequest) -> Result<CancelInvite, Refusal> {
    Ok(CancelInvite {
        id: id(&wire.invite_id)?,
        canceling: sender(view, wire.meta.as_ref(), &wire.canceling)?,
        canceled: view.entity_of_ours(&wire.canceled)?,
        group: wire
            .subject
            .group_id
            .as_deref()
            .map(|group| view.theirs(group))
            .transpose()?,
        note: wire.note.clone(),
        screen_name: wire.screen_name.as_ref().map(|name| name.name.clone()),
    })
}

fn notification(
    view: &View<'_>,
    wire: &ssp::PresenceNotification,
    named: &mut Named,
) -> Result<PresenceNotification, Refusal> {
    let value = |value: &ssp::PresenceValue| Ok((view.theirs(&value.user_id)?, presence::read(value)));
    let watcher = |user: &ssp::User| named.readable(&user.user_id, view.ours(&user.user_id));
    Ok(PresenceNotification {
        watchers: wire.users.iter().filter_map(watcher).collect(),
        values: wire.values.iter().map(value).collect::<Result<_, Refusal>>()?,
    })
}

fn search(view: &View<'_>, wire: &ssp::SearchRequest) -> Result<Search, Refusal> {
    let pair = |pair: &ssp::SearchPair| {
        Ok(SearchPair {
            element: element(&pair.element)?,
            text: pair.string.clone(),
        })
    };
    let resume = wire.search_id.as_ref().map(|id| SearchCursor {
        id: id.clone(),
        index: wire.search_index.unwrap_or(1),
    });
    Ok(Search {
        by: requestor(view, wire.meta.as_ref())?,
        pairs: wire.pairs.iter().map(pair).collect::<Result<_, Refusal>>()?,
        limit: wire
            .search_limit
            .and_then(|limit| u16::try_from(limit).ok())
            .unwrap_or(10)
            .clamp(1, 100),
        resume,
    })
}

fn invite_type(wire: &ssp::InviteType) -> Result<InviteType, Refusal> {
    Ok(match wire {
        ssp::InviteType::Im => InviteType::Chat,
        ssp::InviteType::GroupJoin => InviteType::Group,
        ssp::InviteType::GroupMembership => InviteType::GroupMembership,
        ssp::InviteType::Presence => InviteType::Presence,
        ssp::InviteType::Application => InviteType::Application,
        ssp::InviteType::SharedContent => InviteType::SharedContent,
        ssp::InviteType::ExtendedConversation => InviteType::ExtendedConversation,
        ssp::InviteType::ExtendGroup => InviteType::ExtendGroup,
        ssp::InviteType::Other(word) => {
            return Err(Refusal::BadRequest {
                reason: format!("inviteType {word} is not known"),
            });
        }
    })
}

fn element(wire: &ssp::SearchElement) -> Result<SearchElement, Refusal> {
    Ok(match wire {
        ssp::SearchElement::UserMobileNumber => SearchElement::UserMobileNumber,
        ssp::SearchElement::UserId => SearchElement::UserId,
        ssp::SearchElement::UserAlias => SearchElement::UserAlias,
        ssp::SearchElement::UserEmailAddress => SearchElement::UserEmailAddress,
        ssp::SearchElement::UserFirstName => SearchElement::UserFirstName,
        ssp::SearchElement::UserLastName => SearchElement::UserLastName,
        ssp::SearchElement::UserOnlineStatus => SearchElement::UserOnlineStatus,
        ssp::SearchElement::GroupId => SearchElement::GroupId,
        ssp::SearchElement::GroupName => SearchElement::GroupName,
        ssp::SearchElement::GroupTopic => SearchElement::GroupTopic,
        ssp::SearchElement::GroupUserIdJoined => SearchElement::GroupUserIdJoined,
        ssp::SearchElement::GroupUserIdOwner => SearchElement::GroupUserIdOwner,
        ssp::SearchElement::Other(word) => {
            return Err(Refusal::BadRequest {
                reason: format!("searchElement {word} is not known"),
            });
        }
    })
}

/// The content, with its type from wherever it stands.
pub(super) fn content(
    wire: Option<&ContentData>,
    info_type: Option<&str>,
    name: Option<&str>,
) -> Result<Content, Refusal> {
    let text = wire
        .and_then(|content| content.content_type.as_deref())
        .or(info_type)
        .unwrap_or("text/plain");
    let media_type: MediaType = text.parse().map_err(|()| Refusal::MediaType {
        media_type: text.chars().take(64).collect(),
    })?;
    let bytes = wire.map(|content| content.bytes.clone()).unwrap_or_default();
    Ok(Content {
        media_type,
        name: name.map(str::to_owned),
        bytes: bytes.into(),
    })
}

fn message_key(message: &SendMessage, transaction: &Transaction) -> RequestKey {
    let (sender, media_type) = (message.sender.key(), message.content.media_type.as_str());
    let hash = RequestKey::hash([sender.as_bytes(), media_type.as_bytes(), &message.content.bytes]);
    match &message.id {
        Some(id) => RequestKey {
            id: id.to_string(),
            is_transaction: false,
            hash,
        },
        None => RequestKey {
            id: transaction.id.to_string(),
            is_transaction: true,
            hash,
        },
    }
}

/// A peer's date is a hint: one that is off by more than a day is replaced by the time of arrival (SSP reference §9.3).
fn believable(date: Option<ssp::DateTime>, now: Timestamp) -> Timestamp {
    let stated = date
        .and_then(|date| u64::try_from(date.unix_seconds).ok())
        .map(Timestamp::from_seconds);
    stated
        .filter(|stated| stated.0.abs_diff(now.0) <= 86_400_000)
        .unwrap_or(now)
}

fn via(meta: Option<&MetaInfo>) -> Result<Vec<Domain>, Refusal> {
    let Some(meta) = meta else { return Ok(Vec::new()) };
    let domain = |text: &String| {
        text.parse().map_err(|error| Refusal::BadRequest {
            reason: format!("Via {text}: {error}"),
        })
    };
    meta.via.iter().map(domain).collect()
}

fn id<T: std::str::FromStr<Err = crate::model::InvalidId>>(text: &str) -> Result<T, Refusal> {
    text.parse()
        .map_err(|error: crate::model::InvalidId| Refusal::BadRequest {
            reason: error.to_string(),
        })
}

fn meta_of(primitive: &Primitive) -> Option<&MetaInfo> {
    match primitive {
        Primitive::SendMessageRequest(wire) => wire.meta.as_ref(),
        Primitive::DeliveryStatusReport(wire) => wire.meta.as_ref(),
        Primitive::InviteRequest(wire) => wire.meta.as_ref(),
        Primitive::InviteResponse(wire) => wire.meta.as_ref(),
        Primitive::CancelInviteRequest(wire) => wire.meta.as_ref(),
        Primitive::SubscribeRequest(wire) => wire.meta.as_ref(),
        Primitive::UnsubscribeRequest(wire) => wire.meta.as_ref(),
        Primitive::PresenceNotification(wire) => wire.meta.as_ref(),
        Primitive::GetPresenceRequest(wire) => wire.meta.as_ref(),
        Primitive::SearchRequest(wire) => wire.meta.as_ref(),
        Primitive::StopSearchRequest(wire) => wire.meta.as_ref(),
        Primitive::NotificationRequest(wire) => wire.meta.as_ref(),
        other => group::meta_of(other),
    }
}
