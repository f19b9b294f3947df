//! `/v1/messages` and `/v1/inbox` (use case 5.22).

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    super::{
        HomeDomain,
        event::{Event, time},
        outgoing::NewMessage,
    },
    body::{Asked, Body, RecipientView},
    caller::Caller,
    problem::Problem,
};
use crate::model::{Content, MediaType, Refusal};

/// A message: `text`, or `base64` with its `media_type`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Send {
    to: Vec<String>,
    text: Option<String>,
    base64: Option<String>,
    media_type: Option<String>,
    /// A file name.
    name: Option<String>,
    /// The device's own ID: a repeat after a lost answer is not sent twice.
    id: Option<String>,
    #[serde(default)]
    report: bool,
    validity_seconds: Option<u64>,
    conversation: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct SentView {
    id: String,
    recipients: Vec<RecipientView>,
}

/// 200 when any recipient's side has it; the first refusal otherwise.
pub(crate) async fn send(
    State(home): State<Arc<HomeDomain>>,
    caller: Caller,
    Body(send): Body<Send>,
) -> Result<Json<SentView>, Problem> {
    let content = content(send.text, send.base64, send.media_type, send.name)?;
    let read = |text: &String| home.read_address(&caller.subscriber, text);
    let to = send.to.iter().map(read).collect::<Result<_, Refusal>>()?;
    let new = NewMessage {
        id: send.id,
        to,
        content,
        report_wanted: send.report,
        validity: send.validity_seconds.map(Duration::from_secs),
        conversation: send.conversation,
    };
    let (id, recipients) = home.send_message(&caller.subscriber, new).await?;
    if recipients.iter().all(|one| one.outcome.is_err())
        && let Some(refusal) = recipients.iter().find_map(|one| one.outcome.as_ref().err())
        && recipients.len() == 1
    {
        return Err(refusal.clone().into());
    }
    Ok(Json(SentView {
        id: id.to_string(),
        recipients: recipients.iter().map(RecipientView::from).collect(),
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    after: Option<u64>,
    #[serde(default = "fifty")]
    limit: usize,
}

#[derive(Serialize)]
pub(crate) struct InboxView {
    events: Vec<InboxEventView>,
}

/// An event that waits.
#[derive(Serialize)]
pub(crate) struct InboxEventView {
    /// Acknowledged by this ID.
    pub(crate) inbox_id: u64,
    pub(crate) arrived_at: String,
    #[serde(flatten)]
    pub(crate) event: Event,
}

pub(crate) async fn inbox(
    State(home): State<Arc<HomeDomain>>,
    caller: Caller,
    Asked(page): Asked<Page>,
) -> Result<Json<InboxView>, Problem> {
    let waiting = home
        .waiting(&caller.subscriber, page.after, page.limit.clamp(1, 200))
        .await?;
    let view = |(inbox_id, stored): (u64, super::super::inbox::StoredEvent)| InboxEventView {
        inbox_id,
        arrived_at: time(stored.at),
        event: stored.event,
    };
    Ok(Json(InboxView {
        events: waiting.into_iter().map(view).collect(),
    }))
}

pub(crate) async fn acknowledge(
    State(home): State<Arc<HomeDomain>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let id = id
        .parse()
        .map_err(|_| Problem::new(404, 426, "not-found", "there is no such event"))?;
    home.acknowledge(&caller.subscriber, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn content(
    text: Option<String>,
    base64: Option<String>,
    media_type: Option<String>,
    name: Option<String>,
) -> Result<Content, Problem> {
    let media_type: MediaType = match media_type {
        Some(media_type) => media_type
            .parse()
            .map_err(|()| Problem::new(400, 415, "media-type", "the media type can't be read"))?,
        None => MediaType::text(),
    };
    let bytes: Bytes = match (text, base64) {
        (Some(text), None) => text.into_bytes().into(),
        (None, Some(base64)) => STANDARD
            .decode(base64)
            .map_err(|_| Problem::bad("base64 can't be read"))?
            .into(),
        (Some(_), Some(_)) | (None, None) => return Err(Problem::bad("a message has either text or base64")),
    };
    let name = name
        .map(|name| super::super::text::line(&name, 255))
        .filter(|name| !name.is_empty());
    Ok(Content {
        media_type,
        name,
        bytes,
    })
}

fn fifty() -> usize {
    50
}
