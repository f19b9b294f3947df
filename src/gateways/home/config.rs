//! The home domain's settings.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::model::{AttributeName, Domain, E164};

/// The embedded home domain.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct HomeConfig {
    /// Where subscribers reach it; plain HTTP, so loopback or behind a TLS front.
    pub listen: Option<SocketAddr>,
    /// What everybody may see of a subscriber who has not said otherwise.
    pub public_attributes: Vec<AttributeName>,
    /// Most contacts of one subscriber.
    pub max_contacts: usize,
    /// Most messages that one inbox holds.
    pub max_inbox: usize,
    /// Events that a device may miss and still get when it comes back.
    pub events_kept: usize,
    /// Accounts that are made at the start when they don't exist yet.
    #[serde(rename = "account")]
    pub accounts: Vec<AccountConfig>,
}

impl Default for HomeConfig {
    fn default() -> Self {
        Self {
            listen: None,
            public_attributes: vec![
                AttributeName::OnlineStatus,
                AttributeName::UserAvailability,
                AttributeName::StatusText,
                AttributeName::StatusMood,
            ],
            max_contacts: 10_000,
            max_inbox: 10_000,
            events_kept: 256,
            accounts: Vec::new(),
        }
    }
}

/// An account that is made at the start.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AccountConfig {
    /// The subscriber's number, as `+447700900123`.
    #[serde(with = "number")]
    pub number: E164,
    /// The user name, before the `@`.
    pub user: String,
    /// Which of our domains.
    pub domain: Domain,
    /// The display name.
    pub friendly_name: String,
    /// The password; hashed when the account is made.
    pub password: String,
}

mod number {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::model::E164;

    pub(super) fn serialize<S: Serializer>(number: &E164, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<E164, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}
