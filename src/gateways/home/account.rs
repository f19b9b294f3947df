//! Accounts: who a subscriber is, and how he proves it.

use std::num::NonZeroU32;

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::{
    pbkdf2,
    rand::{SecureRandom, SystemRandom},
};
use serde::{Deserialize, Serialize};

use super::config::AccountConfig;
use crate::model::{Domain, E164, InvalidAddress, WvAddress};

/// A subscriber, as he is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Account {
    /// His number, with `+`.
    pub(super) number: String,
    /// His user name.
    pub(super) user: String,
    /// Which of our domains.
    pub(super) domain: Domain,
    /// What others see.
    pub(super) friendly_name: String,
    /// Whether others learn his number; else they see `wv:user@domain`.
    pub(super) disclose_msisdn: bool,
    /// Whether those whom he adds may see that he is online.
    pub(super) grant_to_contacts: bool,
    /// Whether he is told that somebody added him.
    pub(super) notices: bool,
    /// Salt and hash of his password, base64.
    pub(super) password: (String, String),
}

impl Account {
    pub(super) fn new(config: &AccountConfig) -> Self {
        Self {
            number: config.number.to_string(),
            user: config.user.clone(),
            domain: config.domain.clone(),
            friendly_name: config.friendly_name.clone(),
            disclose_msisdn: true,
            grant_to_contacts: true,
            notices: true,
            password: hashed(&config.password),
        }
    }

    /// The address that he is known by elsewhere.
    pub(super) fn address(&self) -> Result<WvAddress, InvalidAddress> {
        if self.disclose_msisdn {
            return Ok(WvAddress::msisdn(
                self.number.parse::<E164>().map_err(InvalidAddress::Number)?,
            ));
        }
        format!("wv:{}@{}", self.user, self.domain).parse()
    }

    /// Whether the password is his; takes the same time either way.
    pub(super) fn is_password(&self, password: &str) -> bool {
        let (Ok(salt), Ok(hash)) = (
            STANDARD.decode(&self.password.0),
            STANDARD.decode(&self.password.1),
        ) else {
            return false;
        };
        pbkdf2::verify(
            pbkdf2::PBKDF2_HMAC_SHA256,
            ITERATIONS,
            &salt,
            password.as_bytes(),
            &hash,
        )
        .is_ok()
    }
}

fn hashed(password: &str) -> (String, String) {
    let mut salt = [0_u8; 16];
    super::fill_random(&mut salt);
    let mut hash = [0_u8; 32];
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        ITERATIONS,
        &salt,
        password.as_bytes(),
        &mut hash,
    );
    (STANDARD.encode(salt), STANDARD.encode(hash))
}

/// A token as subscribers carry it: 32 random octets.
pub(super) fn new_token() -> String {
    let mut octets = [0_u8; 32];
    super::fill_random(&mut octets);
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(octets)
}

/// Enough to slow guessing of stolen hashes, little enough for a login storm.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(20_000).unwrap();

pub(super) fn random(buffer: &mut [u8]) -> bool {
    SystemRandom::new().fill(buffer).is_ok()
}
