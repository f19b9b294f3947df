//! An account: who the subscriber is, and what he has settled on.

use serde::{Deserialize, Serialize};

use super::{config::number, secret::PasswordHash};
use crate::model::{AttributeName, Domain, E164, Timestamp, WvAddress};

/// An account as it is kept (`Space::Account`, key: the number).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Account {
    /// The number; no two accounts share one.
    #[serde(with = "number")]
    pub number: E164,
    /// The domain of ours that the account belongs to.
    pub domain: Domain,
    /// The user name, unique within the domain, compared without case.
    pub user: String,
    /// The name that others see.
    pub friendly_name: String,
    /// For searches among our own people.
    #[serde(default)]
    pub first_name: Option<String>,
    /// For searches among our own people.
    #[serde(default)]
    pub last_name: Option<String>,
    /// The language the server speaks to him, an RFC 5646 tag.
    pub language: String,
    /// `false` once the number was ported out: nothing is delivered, nobody logs in, nothing is lost.
    pub is_active: bool,
    /// The password.
    pub(crate) password: PasswordHash,
    /// What he has settled on.
    pub settings: Settings,
    /// When it was made.
    pub created: Timestamp,
}

impl Account {
    /// The address by user name.
    ///
    /// # Errors
    /// When the user name is no name: empty, a number, or with `/`, `;`, `@` or white space.
    pub(crate) fn named(user: &str, domain: &Domain) -> Result<WvAddress, String> {
        let is_name = !user.is_empty()
            && user.len() <= 64
            && !user.starts_with('+')
            && !user.contains(['/', '@', ';', ':']);
        if !is_name {
            return Err(format!(
                "{user:?} is no user name: 1 to 64 characters without / @ ; : and not a number"
            ));
        }
        format!("wv:{user}@{domain}")
            .parse()
            .map_err(|error| format!("{user:?} is no user name: {error}"))
    }

    /// The address that others know him by: the number, which stays when he changes operator, unless he keeps it private.
    #[must_use]
    pub(crate) fn identity(&self, named: &WvAddress) -> WvAddress {
        if self.settings.disclose_msisdn {
            WvAddress::msisdn(self.number.clone())
        } else {
            named.clone()
        }
    }

    /// The name that others see, when they may.
    #[must_use]
    pub(crate) fn disclosed_name(&self) -> Option<String> {
        let name = &self.friendly_name;
        (self.settings.disclose_friendly_name && !name.is_empty()).then(|| name.clone())
    }
}

/// What a subscriber has settled on; he changes it with `PATCH /v1/me`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Whether messages come by themselves or are fetched.
    pub delivery: DeliveryMethod,
    /// Whether he wants to know that somebody has added him (use case 5.20 step 14).
    pub notices: bool,
    /// Whether he wants to know of a new watcher (use case 5.21 step 4).
    pub watcher_notices: bool,
    /// Whether others know him by his number; otherwise by his user name.
    pub disclose_msisdn: bool,
    /// Whether others see his friendly name.
    pub disclose_friendly_name: bool,
    /// Whether his contacts may see that he is online (use case 5.20.6).
    pub online_status_to_contacts: bool,
    /// What everybody may see of his presence; absent, what the operator has set.
    pub public_attributes: Option<Vec<AttributeName>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            delivery: DeliveryMethod::Push,
            notices: true,
            watcher_notices: true,
            disclose_msisdn: true,
            disclose_friendly_name: true,
            online_status_to_contacts: true,
            public_attributes: None,
        }
    }
}

/// How messages reach the devices (IMPS delivery method).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryMethod {
    /// Sent to every connected device.
    #[default]
    Push,
    /// Held until a device fetches them.
    Fetch,
}

/// What an account is made from.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// The number.
    pub number: E164,
    /// The user name.
    pub user: String,
    /// The domain; `None` takes the one whose range the number lies in, else the first.
    pub domain: Option<Domain>,
    /// The name that others see.
    pub friendly_name: String,
    /// The password; at least 8 characters.
    pub password: String,
    /// The language; `None` takes that of the configuration.
    pub language: Option<String>,
}
