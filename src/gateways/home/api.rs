//! The subscriber API, version 1: JSON over HTTP, with server-sent events; described by `/v1/openapi.json`.
//!
//! Every call but the login carries a bearer token. Errors are `{"error": {"code", "status", "text"}}`, where `status` is the
//! IMPS status that the same refusal has on the wire.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequestParts, Path, State as AxumState},
    http::{HeaderMap, StatusCode, header::AUTHORIZATION, request::Parts},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event as SseEvent, KeepAlive},
    },
    routing::{delete, get, post, put},
};
use futures_util::stream::{self, Stream, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    HomeDomain,
    actions::{OwnPresence, Who},
    incoming::{clean, summary},
    state::{Event, InboxMessage},
};
use crate::model::{
    Acceptance, Answer, AttributeName, Content, MediaType, MessageId, RecipientOutcome, Refusal, WvAddress,
};

type Home = AxumState<Arc<HomeDomain>>;
type Reply = Result<Json<Value>, Failure>;

/// The routes.
pub(super) fn router(home: Arc<HomeDomain>) -> Router {
    Router::new()
        .route("/v1/openapi.json", get(openapi))
        .route("/v1/login", post(log_in))
        .route("/v1/logout", post(log_out))
        .route("/v1/me", get(me))
        .route("/v1/search", post(search))
        .route("/v1/contacts", get(contacts).post(add_contact))
        .route("/v1/contacts/{address}", delete(remove_contact))
        .route("/v1/presence", put(set_presence))
        .route("/v1/presence/query", post(query_presence))
        .route("/v1/messages", post(send_message))
        .route("/v1/inbox", get(inbox))
        .route("/v1/inbox/{id}/ack", post(acknowledge))
        .route("/v1/invitations", post(invite))
        .route("/v1/invitations/{id}/answer", post(answer_invitation))
        .route("/v1/invitations/{id}/cancel", post(cancel_invitation))
        .route("/v1/watchers", get(watchers))
        .route("/v1/blocks/{address}", put(block).delete(unblock))
        .route("/v1/grants/{address}", put(grant))
        .route("/v1/events", get(events))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(home)
}

/// A message as devices see it.
pub(super) fn message_json(message: &InboxMessage) -> Value {
    json!({
        "id": message.id, "from": message.from, "text": message.text, "media_type": message.media_type,
        "content": message.content, "sent_at": message.sent_at.to_string(), "report_wanted": message.report_wanted,
    })
}

/// Why a call came to nothing.
#[derive(Debug)]
enum Failure {
    /// No token, or one that is not good.
    Unauthenticated,
    /// The body is not what the call takes.
    BadBody(String),
    /// The gateway's refusal.
    Refused(Refusal),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (http, code, status, text) = match self {
            Self::Unauthenticated => {
                let text = "log in first: this call needs a bearer token".to_owned();
                (StatusCode::UNAUTHORIZED, "unauthenticated", 401, text)
            }
            Self::BadBody(text) => (StatusCode::BAD_REQUEST, "bad-request", 400, text),
            Self::Refused(refusal) => {
                let (http, code, status) = described(&refusal);
                (http, code, status, refusal.to_string())
            }
        };
        (
            http,
            Json(json!({ "error": { "code": code, "status": status, "text": text } })),
        )
            .into_response()
    }
}

/// The IMPS status that a refusal has on the wire.
pub(super) fn imps_status(refusal: &Refusal) -> u16 {
    described(refusal).2
}

/// HTTP status, name and IMPS status of a refusal.
fn described(refusal: &Refusal) -> (StatusCode, &'static str, u16) {
    match refusal {
        Refusal::NoAgreement { .. } | Refusal::NotAgreed { .. } => (StatusCode::FORBIDDEN, "not-agreed", 506),
        Refusal::RateExceeded { .. } => (StatusCode::TOO_MANY_REQUESTS, "rate-exceeded", 503),
        Refusal::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", 538),
        Refusal::Discarded { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "discarded", 538),
        Refusal::MediaType { .. } => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", 415),
        Refusal::ForeignSender { .. } => (StatusCode::FORBIDDEN, "foreign-sender", 901),
        Refusal::NoTransit { .. } | Refusal::Loop | Refusal::NoRoute { .. } => {
            (StatusCode::NOT_FOUND, "no-route", 516)
        }
        Refusal::UnknownUser { .. } => (StatusCode::NOT_FOUND, "unknown-user", 531),
        Refusal::RouteFailed { .. } | Refusal::Unreachable { .. } => {
            (StatusCode::SERVICE_UNAVAILABLE, "unreachable", 503)
        }
        Refusal::Wildcard => (StatusCode::BAD_REQUEST, "wildcard", 402),
        Refusal::InvalidAddress { .. } => (StatusCode::BAD_REQUEST, "invalid-address", 427),
        Refusal::BadRequest { .. } => (StatusCode::BAD_REQUEST, "bad-request", 400),
        Refusal::Unsupported { .. } => (StatusCode::NOT_IMPLEMENTED, "not-supported", 405),
        Refusal::Blocked { .. } => (StatusCode::FORBIDDEN, "blocked", 532),
        Refusal::NotAuthorised { .. } => (StatusCode::UNAUTHORIZED, "not-authorised", 534),
        Refusal::QueueFull { .. } => (StatusCode::INSUFFICIENT_STORAGE, "full", 507),
        Refusal::Expired => (StatusCode::GONE, "expired", 542),
        Refusal::TimedOut { .. } => (StatusCode::GATEWAY_TIMEOUT, "timeout", 504),
        Refusal::NotFound { .. } => (StatusCode::NOT_FOUND, "not-found", 404),
        Refusal::Remote { status, .. } => (StatusCode::BAD_GATEWAY, "remote", *status),
        Refusal::Internal { .. } => (StatusCode::SERVICE_UNAVAILABLE, "internal", 500),
    }
}

/// The subscriber that a token belongs to.
struct Caller {
    who: Who,
    token: String,
}

impl FromRequestParts<Arc<HomeDomain>> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, home: &Arc<HomeDomain>) -> Result<Self, Failure> {
        let header = parts
            .headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let token = header
            .and_then(|value| value.strip_prefix("Bearer "))
            .ok_or(Failure::Unauthenticated)?;
        let who = home.who(token.trim()).ok_or(Failure::Unauthenticated)?;
        Ok(Self {
            who,
            token: token.trim().to_owned(),
        })
    }
}

fn body<T: for<'de> Deserialize<'de>>(bytes: &Bytes) -> Result<T, Failure> {
    serde_json::from_slice(bytes).map_err(|error| Failure::BadBody(error.to_string()))
}

fn address(text: &str) -> Result<WvAddress, Failure> {
    text.parse().map_err(|error: crate::model::InvalidAddress| {
        let wildcard = text.contains(['*', '?']);
        if wildcard {
            return Failure::Refused(Refusal::Wildcard);
        }
        Failure::Refused(Refusal::InvalidAddress {
            address: clean(text),
            reason: error.to_string(),
        })
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    user: String,
    password: String,
}

async fn log_in(AxumState(home): Home, bytes: Bytes) -> Reply {
    let login: Login = body(&bytes)?;
    let (token, who) = home
        .log_in(&login.user, &login.password)
        .await
        .map_err(|_| Failure::Unauthenticated)?;
    Ok(Json(
        json!({ "token": token, "address": who.address, "friendly_name": who.friendly_name }),
    ))
}

async fn log_out(AxumState(home): Home, caller: Caller) -> Reply {
    home.log_out(&caller.who, &caller.token).await?;
    Ok(Json(json!({})))
}

async fn me(caller: Caller) -> Reply {
    let who = caller.who;
    Ok(Json(json!({
        "number": who.number, "address": who.address, "domain": who.domain, "friendly_name": who.friendly_name,
    })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SearchBody {
    number: String,
}

async fn search(AxumState(home): Home, caller: Caller, bytes: Bytes) -> Reply {
    let search: SearchBody = body(&bytes)?;
    let Answer::Found(found) = home.find(&caller.who, &search.number).await? else {
        return Ok(Json(json!({ "users": [] })));
    };
    let users: Vec<_> = found
        .users
        .iter()
        .map(|(who, name)| json!({ "address": who, "friendly_name": name }))
        .collect();
    Ok(Json(json!({ "users": users, "total": found.total })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ContactBody {
    address: String,
    nickname: Option<String>,
}

async fn add_contact(AxumState(home): Home, caller: Caller, bytes: Bytes) -> Reply {
    let wanted: ContactBody = body(&bytes)?;
    let contact = home
        .add_contact(&caller.who, &wanted.address, wanted.nickname)
        .await?;
    let shown = json!({ "address": contact.address, "nickname": contact.nickname });
    home.tell(&caller.who, "contact", &shown);
    Ok(Json(shown))
}

async fn contacts(AxumState(home): Home, caller: Caller) -> Reply {
    let state = home.lock();
    let subscriber = state.subscribers.get(&caller.who.number);
    let contacts: Vec<_> = subscriber
        .into_iter()
        .flat_map(|one| one.contacts.values())
        .map(|one| json!({ "address": one.address, "nickname": one.nickname, "presence": summary(&one.presence) }))
        .collect();
    Ok(Json(json!({ "contacts": contacts })))
}

async fn remove_contact(AxumState(home): Home, caller: Caller, Path(who): Path<String>) -> Reply {
    home.remove_contact(&caller.who, &address(&who)?.canonical())
        .await?;
    Ok(Json(json!({})))
}

async fn set_presence(AxumState(home): Home, caller: Caller, bytes: Bytes) -> Reply {
    let own: OwnPresence = body(&bytes)?;
    home.set_presence(&caller.who, own).await?;
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct People {
    addresses: Vec<String>,
}

async fn query_presence(AxumState(home): Home, caller: Caller, bytes: Bytes) -> Reply {
    let people: People = body(&bytes)?;
    let people = people
        .addresses
        .iter()
        .map(|one| address(one))
        .collect::<Result<Vec<_>, _>>()?;
    let Answer::Presence(values) = home.presence(&caller.who, people).await? else {
        return Ok(Json(json!({ "presence": [] })));
    };
    let values: Vec<_> = values
        .iter()
        .map(|(who, what)| json!({ "address": who, "presence": summary(what) }))
        .collect();
    Ok(Json(json!({ "presence": values })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MessageBody {
    to: Vec<String>,
    text: Option<String>,
    /// For content that is no text: base64, with its media type.
    content: Option<String>,
    media_type: Option<String>,
    id: Option<MessageId>,
    #[serde(default)]
    report: bool,
    /// Seconds.
    validity: Option<u64>,
}

async fn send_message(AxumState(home): Home, caller: Caller, bytes: Bytes) -> Reply {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let message: MessageBody = body(&bytes)?;
    let to = message
        .to
        .iter()
        .map(|one| address(one))
        .collect::<Result<Vec<_>, _>>()?;
    let content = match (message.text, message.content) {
        (Some(text), None) => Content::text(&text),
        (None, Some(content)) => {
            let bytes = STANDARD
                .decode(content)
                .map_err(|error| Failure::BadBody(error.to_string()))?;
            let text = message
                .media_type
                .unwrap_or_else(|| "application/octet-stream".into());
            let media_type: MediaType = text
                .parse()
                .map_err(|()| Failure::BadBody("media_type is malformed".into()))?;
            Content {
                media_type,
                name: None,
                bytes: bytes.into(),
            }
        }
        (Some(_), Some(_)) | (None, None) => {
            return Err(Failure::BadBody("give either text or content".into()));
        }
    };
    let validity = message.validity.map(Duration::from_secs);
    let (id, answer) = home
        .send_message(&caller.who, message.id, to, content, (message.report, validity))
        .await?;
    let recipients = match answer {
        Answer::Sent { recipients, .. } | Answer::Recipients(recipients) => recipients,
        Answer::Done | Answer::Found(_) | Answer::Presence(_) | Answer::Group(_) => Vec::new(),
    };
    // One recipient who can't be reached is a failed call; of several, each has his own outcome.
    if let [
        RecipientOutcome {
            outcome: Err(refusal),
            ..
        },
    ] = recipients.as_slice()
    {
        return Err(refusal.clone().into());
    }
    let outcomes: Vec<_> = recipients.iter().map(outcome_json).collect();
    Ok(Json(json!({ "id": id, "recipients": outcomes })))
}

fn outcome_json(one: &RecipientOutcome) -> Value {
    match &one.outcome {
        Ok(Acceptance::Taken) => json!({ "recipient": one.recipient, "accepted": "taken" }),
        Ok(Acceptance::Stored) => json!({ "recipient": one.recipient, "accepted": "stored" }),
        Err(refusal) => {
            let (_, code, status) = described(refusal);
            let error = json!({ "code": code, "status": status, "text": refusal.to_string() });
            json!({ "recipient": one.recipient, "error": error })
        }
    }
}

async fn inbox(AxumState(home): Home, caller: Caller) -> Reply {
    let state = home.lock();
    let subscriber = state.subscribers.get(&caller.who.number);
    let mut waiting: Vec<_> = subscriber
        .into_iter()
        .flat_map(|one| one.inbox.values())
        .filter(|message| !message.taken)
        .collect();
    waiting.sort_by_key(|message| message.sent_at);
    let messages: Vec<_> = waiting.into_iter().take(MAX_PAGE).map(message_json).collect();
    Ok(Json(json!({ "messages": messages })))
}

async fn acknowledge(AxumState(home): Home, caller: Caller, Path(id): Path<String>) -> Reply {
    home.acknowledge(&caller.who, &id).await?;
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InviteBody {
    to: String,
    note: Option<String>,
}

async fn invite(AxumState(home): Home, caller: Caller, bytes: Bytes) -> Reply {
    let invite: InviteBody = body(&bytes)?;
    let id = home
        .invite(&caller.who, address(&invite.to)?, invite.note)
        .await?;
    Ok(Json(json!({ "id": id })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerBody {
    accepted: bool,
    note: Option<String>,
}

async fn answer_invitation(
    AxumState(home): Home,
    caller: Caller,
    Path(id): Path<String>,
    bytes: Bytes,
) -> Reply {
    let answer: AnswerBody = body(&bytes)?;
    home.answer_invite(&caller.who, &id, answer.accepted, answer.note)
        .await?;
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CancelBody {
    to: String,
}

async fn cancel_invitation(
    AxumState(home): Home,
    caller: Caller,
    Path(id): Path<String>,
    bytes: Bytes,
) -> Reply {
    let cancel: CancelBody = body(&bytes)?;
    home.cancel_invite(&caller.who, &id, address(&cancel.to)?).await?;
    Ok(Json(json!({})))
}

async fn watchers(AxumState(home): Home, caller: Caller) -> Reply {
    let state = home.lock();
    let subscriber = state.subscribers.get(&caller.who.number);
    let watchers: Vec<_> = subscriber
        .into_iter()
        .flat_map(|one| one.watchers.values())
        .map(|one| &one.address)
        .collect();
    Ok(Json(json!({ "watchers": watchers })))
}

async fn block(AxumState(home): Home, caller: Caller, Path(who): Path<String>) -> Reply {
    home.block(&caller.who, &address(&who)?, true).await?;
    Ok(Json(json!({})))
}

async fn unblock(AxumState(home): Home, caller: Caller, Path(who): Path<String>) -> Reply {
    home.block(&caller.who, &address(&who)?, false).await?;
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantBody {
    attributes: Vec<AttributeName>,
}

async fn grant(AxumState(home): Home, caller: Caller, Path(who): Path<String>, bytes: Bytes) -> Reply {
    let grant: GrantBody = body(&bytes)?;
    home.grant(&caller.who, &address(&who)?, grant.attributes).await?;
    Ok(Json(json!({})))
}

async fn events(
    AxumState(home): Home,
    caller: Caller,
    headers: HeaderMap,
) -> Sse<impl Stream<Item = Result<SseEvent, Infallible>>> {
    let after = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let listening = home
        .lock()
        .subscribers
        .get(&caller.who.number)
        .map(|one| one.events.listen(after));
    let (missed, receiver) = listening.unzip();
    let live = stream::unfold(receiver, |receiver| async move {
        let mut receiver = receiver?;
        // A device that is too slow loses the connection and asks for what it missed.
        let event = receiver.recv().await.ok()?;
        Some((event, Some(receiver)))
    });
    let all = stream::iter(missed.unwrap_or_default()).chain(live);
    Sse::new(all.map(|event: Event| {
        Ok(SseEvent::default()
            .id(event.number.to_string())
            .event(event.kind)
            .data(&*event.body))
    }))
    .keep_alive(KeepAlive::default())
}

async fn openapi() -> Response {
    (
        [("content-type", "application/json")],
        include_str!("openapi.json"),
    )
        .into_response()
}

/// Octets of a request body: a message of the largest agreed size in base64, with room to spare.
const MAX_BODY: usize = 512 * 1024;
/// Messages in one answer.
const MAX_PAGE: usize = 500;
