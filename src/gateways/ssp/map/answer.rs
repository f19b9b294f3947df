//! What comes back: our outcomes as response primitives, a peer's as outcomes.

use super::{View, group, presence, read::Unreadable};
use crate::{
    gateways::ssp::status::{code_of, refusal_of},
    model::{
        Acceptance, Answer, Found, MessageId, Outcome, RecipientOutcome, Refusal, Request, SearchCursor,
        Service, WvAddress,
    },
    wire::ssp::{
        DetailedResult, Entity, GetPresenceResponse, Primitive, ScreenName, SearchResponse,
        SendMessageResponse, Status, StatusCode, User,
    },
};

/// The answer to a peer's request, with a detail for each recipient that could not be read.
pub fn write_answer(
    view: &View<'_>,
    request: &Request,
    unreadable: &[Unreadable],
    outcome: &Outcome,
) -> Primitive {
    let service = request.service();
    let answer = match outcome {
        Ok(answer) => answer,
        Err(refusal) => return write_refusal(refusal, service),
    };
    let gathered = |recipients: &[RecipientOutcome], when_none: StatusCode| {
        let failed = recipients
            .iter()
            .filter_map(|one| Some((&one.recipient, one.outcome.as_ref().err()?)))
            .map(|(recipient, refusal)| detail(view, recipient, refusal, service));
        let details: Vec<_> = failed.chain(unreadable_details(unreadable, service)).collect();
        gathered(details, recipients.len() + unreadable.len(), when_none)
    };
    match answer {
        Answer::Done if !unreadable.is_empty() => {
            let people: Vec<_> = request.recipients().into_iter().cloned().map(taken).collect();
            gathered(&people, StatusCode::PARTIAL_SUCCESS).into()
        }
        Answer::Done => done(view, request),
        Answer::Recipients(recipients) => gathered(recipients, StatusCode::PARTIAL_SUCCESS).into(),
        Answer::Sent { id, recipients } => {
            let is_taken = recipients.iter().any(|one| one.outcome.is_ok());
            let status = gathered(recipients, StatusCode::SEVERAL_ERRORS);
            let message_id = id
                .as_ref()
                .filter(|_| is_taken)
                .map(MessageId::to_string)
                .unwrap_or_default();
            SendMessageResponse { message_id, status }.into()
        }
        Answer::Found(found) => search_response(view, found).into(),
        Answer::Presence(values) => GetPresenceResponse {
            // Never 201: peers throw an answer with another code away (SSP reference §12.10).
            status: unreadable_details(unreadable, service)
                .fold(Status::new(StatusCode::SUCCESS), Status::detailed),
            values: values
                .iter()
                .map(|(who, what)| presence::write(view.write_ours(who), what))
                .collect(),
        }
        .into(),
        Answer::Group(answer) => group::write_answer(view, request, answer),
    }
}

/// The answer to a request of which nobody that it is for can be read.
pub(super) fn write_unreadable(request: &Request, unreadable: &[Unreadable]) -> Primitive {
    let service = request.service();
    if let [one] = unreadable {
        return write_refusal(&one.refusal, service);
    }
    let details: Vec<_> = unreadable_details(unreadable, service).collect();
    match request {
        Request::Send(_) => SendMessageResponse {
            message_id: String::new(),
            status: gathered(details, unreadable.len(), StatusCode::SEVERAL_ERRORS),
        }
        .into(),
        _ => gathered(details, unreadable.len(), StatusCode::PARTIAL_SUCCESS).into(),
    }
}

/// A refusal as a bare `Status`.
pub fn write_refusal(refusal: &Refusal, service: Service) -> Primitive {
    let mut status = Status::new(code_of(refusal, service)).described(description(refusal));
    if let Refusal::RateExceeded { retry_after, .. } = refusal {
        status.try_again_after = Some(*retry_after);
    }
    status.into()
}

/// A peer's answer to what we asked.
///
/// # Errors
/// The refusal that it stands for.
pub fn read_answer(view: &View<'_>, request: &Request, primitive: &Primitive) -> Result<Answer, Refusal> {
    let people: Vec<WvAddress> = request.recipients().into_iter().cloned().collect();
    match primitive {
        Primitive::Status(status) => read_status(view, status, &people),
        Primitive::SendMessageResponse(response) => {
            let answer = read_status(view, &response.status, &people)?;
            let id = response.message_id.parse().ok();
            let recipients = match answer {
                Answer::Recipients(recipients) => recipients,
                Answer::Done
                | Answer::Sent { .. }
                | Answer::Found(_)
                | Answer::Presence(_)
                | Answer::Group(_) => people.iter().map(|person| taken(person.clone())).collect(),
            };
            Ok(Answer::Sent { id, recipients })
        }
        Primitive::GetPresenceResponse(response) => {
            read_status(view, &response.status, &people)?;
            let values = response
                .values
                .iter()
                .map(|value| Ok((view.theirs(&value.user_id)?, presence::read(value))));
            Ok(Answer::Presence(values.collect::<Result<_, Refusal>>()?))
        }
        Primitive::SearchResponse(response) => {
            read_status(view, &response.status, &[])?;
            read_found(view, response)
        }
        Primitive::Malformed { name, reason } => Err(Refusal::BadRequest {
            reason: format!("the answer of {} ({name}) is malformed: {reason}", view.peer),
        }),
        other => group::read_answer(view, other).unwrap_or_else(|| {
            Err(Refusal::BadRequest {
                reason: format!("{} answered with {}", view.peer, other.name()),
            })
        }),
    }
}

/// A status, with its details told apart by person.
pub(super) fn read_status(view: &View<'_>, status: &Status, people: &[WvAddress]) -> Result<Answer, Refusal> {
    let text = status.description.as_deref().unwrap_or_default();
    let is_gathered = matches!(
        status.code,
        StatusCode::PARTIAL_SUCCESS | StatusCode::SEVERAL_ERRORS
    );
    if !is_gathered || status.details.is_empty() {
        if status.code.is_failure() {
            return Err(refusal_of(status.code, text, view.peer, people.first()));
        }
        return Ok(Answer::Done);
    }
    let outcome = |person: &WvAddress| match detail_of(view, status, person, people.len()) {
        Some(detail) => {
            let text = detail.description.as_deref().unwrap_or(text);
            Err(refusal_of(detail.code, text, view.peer, Some(person)))
        }
        None if status.code == StatusCode::SEVERAL_ERRORS => {
            let first = status.details.first();
            let code = first.map_or(status.code, |detail| detail.code);
            Err(refusal_of(code, text, view.peer, Some(person)))
        }
        None => Ok(Acceptance::Taken),
    };
    let recipients = people.iter().map(|person| RecipientOutcome {
        recipient: person.clone(),
        outcome: outcome(person),
    });
    Ok(Answer::Recipients(recipients.collect()))
}

/// The detail that speaks of a person: by address, or by a description that names him (SSP reference §8).
fn detail_of<'s>(
    view: &View<'_>,
    status: &'s Status,
    person: &WvAddress,
    people: usize,
) -> Option<&'s DetailedResult> {
    let names = |detail: &&DetailedResult| {
        let ids = detail.user_ids.iter().chain(&detail.group_ids);
        let mut addresses = ids.filter_map(|id| view.theirs(id).ok());
        let is_named = addresses.any(|address| address.is_same_as(person))
            || detail
                .screen_names
                .iter()
                .any(|name| is_participant(view, name, person));
        let key = person.key();
        let local = person
            .screen_name()
            .unwrap_or_else(|| key.split('@').next().unwrap_or_default());
        is_named
            || detail
                .description
                .as_deref()
                .is_some_and(|text| !local.is_empty() && text.contains(local))
    };
    let named = status.details.iter().find(names);
    named.or_else(|| {
        status
            .details
            .first()
            .filter(|_| people == 1 && status.details.len() == 1)
    })
}

/// Whether a screen name is this participant's; peers leave the group out where there is but one.
fn is_participant(view: &View<'_>, name: &ScreenName, person: &WvAddress) -> bool {
    let is_group = || {
        view.theirs(&name.group_id)
            .is_ok_and(|group| group == person.without_screen_name())
    };
    person.screen_name() == Some(name.name.trim()) && (name.group_id.is_empty() || is_group())
}

fn done(view: &View<'_>, request: &Request) -> Primitive {
    match request {
        Request::Send(message) => SendMessageResponse {
            message_id: message.id.as_ref().map(MessageId::to_string).unwrap_or_default(),
            status: StatusCode::SUCCESS.into(),
        }
        .into(),
        Request::Group(_) => group::write_answer(view, request, &crate::model::GroupAnswer::Done),
        Request::Search(_)
        | Request::StopSearch { .. }
        | Request::ContactAdded(_)
        | Request::Subscribe(_)
        | Request::Unsubscribe(_)
        | Request::GetPresence(_)
        | Request::Notify(_)
        | Request::Report(_)
        | Request::Invite(_)
        | Request::InviteAnswer(_)
        | Request::CancelInvite(_)
        | Request::GroupEvent(_) => Status::new(StatusCode::SUCCESS).into(),
    }
}

/// 200 when all went well, 201 when some did; when none did, 900 for messages and 201 for the rest (SSP reference §12.2, §12.7).
fn gathered(failed: Vec<DetailedResult>, all: usize, when_none: StatusCode) -> Status {
    if failed.is_empty() {
        return StatusCode::SUCCESS.into();
    }
    let code = if failed.len() == all {
        when_none
    } else {
        StatusCode::PARTIAL_SUCCESS
    };
    failed.into_iter().fold(Status::new(code), Status::detailed)
}

/// What a refusal says of itself on the wire. What another side said goes on in its words, so that it does not grow from
/// gateway to gateway.
pub(super) fn description(refusal: &Refusal) -> String {
    if let Refusal::Remote { text, .. } = refusal
        && !text.is_empty()
    {
        return text.clone();
    }
    refusal.to_string()
}

fn detail(view: &View<'_>, recipient: &WvAddress, refusal: &Refusal, service: Service) -> DetailedResult {
    let mut detail = DetailedResult::new(code_of(refusal, service));
    detail.description = Some(description(refusal));
    match view.entity_ours(recipient) {
        Entity::User(user) => detail.user_ids.push(user.user_id),
        Entity::GroupId(group_id) => detail.group_ids.push(group_id),
        Entity::ScreenName(name) => detail.screen_names.push(name),
    }
    detail
}

fn unreadable_details(
    unreadable: &[Unreadable],
    service: Service,
) -> impl Iterator<Item = DetailedResult> + use<'_> {
    unreadable.iter().map(move |one| {
        let mut detail = DetailedResult::new(code_of(&one.refusal, service));
        detail.description = Some(description(&one.refusal));
        detail.user_ids.push(one.text.clone());
        detail
    })
}

fn search_response(view: &View<'_>, found: &Found) -> SearchResponse {
    let discloses = view.agreement.config.disclose.friendly_name;
    let user = |(address, name): &(WvAddress, Option<String>)| {
        let mut user = User::new(view.write_listed(address));
        user.friendly_name = name.clone().filter(|_| discloses);
        user
    };
    SearchResponse {
        search_id: found.more.as_ref().map(|more| more.id.clone()),
        search_findings: Some(found.total),
        completion: Some(found.more.is_none()),
        search_index: found.more.as_ref().map(|more| more.index),
        status: StatusCode::SUCCESS.into(),
        users: found.users.iter().map(user).collect(),
        group_ids: found.groups.iter().map(|group| view.write_ours(group)).collect(),
    }
}

fn read_found(view: &View<'_>, response: &SearchResponse) -> Result<Answer, Refusal> {
    let user = |user: &User| Ok((view.theirs(&user.user_id)?, user.friendly_name.clone()));
    let users: Vec<_> = response.users.iter().map(user).collect::<Result<_, Refusal>>()?;
    let groups = view.all_theirs(response.group_ids.iter().map(String::as_str))?;
    let counted = u32::try_from(users.len() + groups.len()).unwrap_or(u32::MAX);
    let more = match (&response.search_id, response.completion) {
        (Some(id), Some(false)) => Some(SearchCursor {
            id: id.clone(),
            index: response.search_index.unwrap_or(counted + 1),
        }),
        (Some(_), Some(true) | None) | (None, _) => None,
    };
    Ok(Answer::Found(Found {
        users,
        groups,
        total: response.search_findings.unwrap_or(counted).max(counted),
        more,
    }))
}

fn taken(recipient: WvAddress) -> RecipientOutcome {
    RecipientOutcome {
        recipient,
        outcome: Ok(Acceptance::Taken),
    }
}
