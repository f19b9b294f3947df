//! `/v1/me`: the account as its owner sees and changes it.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};

use super::{
    super::{
        HomeDomain,
        account::{DeliveryMethod, Settings},
        outgoing::SettingsChange,
        subscriber::Subscriber,
    },
    body::Body,
    caller::Caller,
    problem::Problem,
};
use crate::model::{AttributeName, WvAddress};

#[derive(Serialize)]
pub(crate) struct MeView {
    /// The address that others know.
    address: WvAddress,
    number: String,
    user: WvAddress,
    friendly_name: String,
    first_name: Option<String>,
    last_name: Option<String>,
    language: String,
    settings: Settings,
}

/// Absent parts stay as they are.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MeChange {
    friendly_name: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    language: Option<String>,
    settings: Option<SettingsPatch>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SettingsPatch {
    delivery: Option<DeliveryMethod>,
    notices: Option<bool>,
    watcher_notices: Option<bool>,
    disclose_msisdn: Option<bool>,
    disclose_friendly_name: Option<bool>,
    online_status_to_contacts: Option<bool>,
    public_attributes: Option<Vec<AttributeName>>,
}

impl SettingsPatch {
    fn apply(self, mut settings: Settings) -> Settings {
        fn set<T>(to: &mut T, from: Option<T>) {
            if let Some(from) = from {
                *to = from;
            }
        }
        set(&mut settings.delivery, self.delivery);
        set(&mut settings.notices, self.notices);
        set(&mut settings.watcher_notices, self.watcher_notices);
        set(&mut settings.disclose_msisdn, self.disclose_msisdn);
        set(&mut settings.disclose_friendly_name, self.disclose_friendly_name);
        set(
            &mut settings.online_status_to_contacts,
            self.online_status_to_contacts,
        );
        if self.public_attributes.is_some() {
            settings.public_attributes = self.public_attributes;
        }
        settings
    }
}

pub(crate) async fn show(caller: Caller) -> Json<MeView> {
    Json(view(&caller.subscriber))
}

pub(crate) async fn change(
    State(home): State<Arc<HomeDomain>>,
    caller: Caller,
    Body(change): Body<MeChange>,
) -> Result<Json<MeView>, Problem> {
    let settings = caller.subscriber.state().account.settings.clone();
    let change = SettingsChange {
        friendly_name: change.friendly_name,
        first_name: change.first_name,
        last_name: change.last_name,
        language: change.language,
        settings: change.settings.map(|patch| patch.apply(settings)),
    };
    home.change_settings(&caller.subscriber, change).await?;
    Ok(Json(view(&caller.subscriber)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasswordChange {
    old: String,
    new: String,
}

pub(crate) async fn change_password(
    State(home): State<Arc<HomeDomain>>,
    caller: Caller,
    Body(change): Body<PasswordChange>,
) -> Result<StatusCode, Problem> {
    home.change_password(&caller.subscriber, &caller.device, (&change.old, &change.new))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

fn view(subscriber: &Subscriber) -> MeView {
    let account = subscriber.state().account.clone();
    MeView {
        address: account.identity(&subscriber.named),
        number: account.number.to_string(),
        user: subscriber.named.clone(),
        friendly_name: account.friendly_name,
        first_name: account.first_name,
        last_name: account.last_name,
        language: account.language,
        settings: account.settings,
    }
}
