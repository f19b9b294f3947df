//! `/v1/login`, `/v1/logout`, `/v1/devices`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use serde::{Deserialize, Serialize};

use super::{
    super::{HomeDomain, event::time},
    body::Body,
    caller::Caller,
    problem::Problem,
};
use crate::model::WvAddress;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    /// A number, `user@domain`, or a user name.
    user: String,
    password: String,
    /// What the owner calls the device.
    #[serde(default)]
    device: String,
}

#[derive(Serialize)]
pub(crate) struct LoginView {
    token: String,
    device: String,
    expires_at: String,
    address: WvAddress,
}

pub(crate) async fn log_in(
    State(home): State<Arc<HomeDomain>>,
    Body(login): Body<Login>,
) -> Result<Json<LoginView>, Problem> {
    let Some(logged_in) = home.log_in(&login.user, &login.password, &login.device).await? else {
        return Err(Problem::new(
            401,
            409,
            "bad-login",
            "name and password do not fit",
        ));
    };
    Ok(Json(LoginView {
        token: logged_in.token,
        device: logged_in.device,
        expires_at: time(logged_in.expires),
        address: logged_in.subscriber.identity(),
    }))
}

pub(crate) async fn log_out(
    State(home): State<Arc<HomeDomain>>,
    caller: Caller,
) -> Result<StatusCode, Problem> {
    home.log_out(&caller.subscriber, &caller.device).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Serialize)]
pub(crate) struct DeviceView {
    device: String,
    label: String,
    is_this_one: bool,
    is_connected: bool,
    logged_in_at: String,
    last_seen_at: String,
    expires_at: String,
}

#[derive(Serialize)]
pub(crate) struct DevicesView {
    devices: Vec<DeviceView>,
}

pub(crate) async fn devices(caller: Caller) -> Json<DevicesView> {
    let state = caller.subscriber.state();
    let view = |(id, device): (&String, &super::super::subscriber::Device)| DeviceView {
        device: id.clone(),
        label: device.label.clone(),
        is_this_one: *id == caller.device,
        is_connected: state.streams.has(id),
        logged_in_at: time(device.created),
        last_seen_at: time(device.last_seen),
        expires_at: time(device.expires),
    };
    Json(DevicesView {
        devices: state.devices.iter().map(view).collect(),
    })
}

pub(crate) async fn remove_device(
    State(home): State<Arc<HomeDomain>>,
    caller: Caller,
    Path(device): Path<String>,
) -> Result<StatusCode, Problem> {
    home.log_out(&caller.subscriber, &device).await?;
    Ok(StatusCode::NO_CONTENT)
}
