//! `/v1/invitations`.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use serde::{Deserialize, Serialize};

use super::{
    super::{HomeDomain, outgoing::NewInvite},
    body::Body,
    caller::Caller,
    problem::Problem,
};
use crate::model::{AttributeName, InviteId, InviteType, WvAddress};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Invite {
    to: String,
    #[serde(default = "chat")]
    kind: InviteType,
    group: Option<WvAddress>,
    application: Option<String>,
    #[serde(default)]
    attributes: Vec<AttributeName>,
    #[serde(default)]
    content_urls: Vec<String>,
    note: Option<String>,
    screen_name: Option<String>,
    validity_seconds: Option<u64>,
}

#[derive(Serialize)]
pub(crate) struct InvitedView {
    id: InviteId,
}

pub(crate) async fn invite(
    State(home): State<Arc<HomeDomain>>,
    caller: Caller,
    Body(invite): Body<Invite>,
) -> Result<(StatusCode, Json<InvitedView>), Problem> {
    if invite.content_urls.len() > 16 {
        return Err(Problem::bad("an invitation has at most 16 content_urls"));
    }
    let new = NewInvite {
        to: home.read_address(&caller.subscriber, &invite.to)?,
        kind: invite.kind,
        group: invite.group,
        application: invite.application,
        attributes: invite.attributes,
        content_urls: invite.content_urls,
        note: invite.note,
        screen_name: invite.screen_name,
        validity: invite.validity_seconds.map(Duration::from_secs),
    };
    let id = home.invite(&caller.subscriber, new).await?;
    Ok((StatusCode::CREATED, Json(InvitedView { id })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    accept: bool,
    note: Option<String>,
    screen_name: Option<String>,
}

pub(crate) async fn answer(
    State(home): State<Arc<HomeDomain>>,
    caller: Caller,
    Path(id): Path<String>,
    Body(answer): Body<Answer>,
) -> Result<StatusCode, Problem> {
    let id = read(&id)?;
    let words = (answer.note, answer.screen_name);
    home.answer_invitation(&caller.subscriber, &id, answer.accept, words)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cancel {
    note: Option<String>,
}

pub(crate) async fn cancel(
    State(home): State<Arc<HomeDomain>>,
    caller: Caller,
    Path(id): Path<String>,
    Body(cancel): Body<Cancel>,
) -> Result<StatusCode, Problem> {
    home.cancel_invitation(&caller.subscriber, &read(&id)?, cancel.note)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

fn read(id: &str) -> Result<InviteId, Problem> {
    id.parse()
        .map_err(|_| Problem::new(404, 423, "not-found", "there is no such invitation"))
}

fn chat() -> InviteType {
    InviteType::Chat
}
