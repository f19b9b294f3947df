//! Passwords and tokens: never kept in clear, compared in constant time.
//!
//! A password is kept as PBKDF2-HMAC-SHA512 with its own salt and rounds. A token is `device.secret`: the device's name
//! finds the row, an HMAC of the secret proves it. Secrets come out of the system's generator.

use std::num::NonZeroU32;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    hmac, pbkdf2,
    rand::{SecureRandom, SystemRandom},
};
use serde::{Deserialize, Serialize};

/// A password as it is kept.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(crate) struct PasswordHash {
    /// How often the function was applied; kept, so that the setting may change.
    rounds: NonZeroU32,
    /// 16 random octets, base64url.
    salt: String,
    /// 32 octets, base64url.
    hash: String,
}

impl PasswordHash {
    /// Hashes a password; takes about a tenth of a second by design, so not on a thread that serves others.
    pub(crate) fn new(password: &str, rounds: u32) -> Self {
        let rounds = NonZeroU32::new(rounds).unwrap_or(NonZeroU32::MIN);
        let salt = octets();
        let mut hash = [0; 32];
        pbkdf2::derive(ALGORITHM, rounds, &salt, password.as_bytes(), &mut hash);
        Self {
            rounds,
            salt: URL_SAFE_NO_PAD.encode(salt),
            hash: URL_SAFE_NO_PAD.encode(hash),
        }
    }

    /// A hash that no password fits, as slow to check as a real one: tells nobody which accounts exist.
    pub(crate) fn of_nobody(rounds: u32) -> Self {
        let random = || URL_SAFE_NO_PAD.encode([octets(), octets()].concat());
        Self {
            rounds: NonZeroU32::new(rounds).unwrap_or(NonZeroU32::MIN),
            salt: random(),
            hash: random(),
        }
    }

    /// Whether the password fits; never quicker than so many rounds, so that the time does not tell accounts apart.
    pub(crate) fn fits(&self, password: &str, at_least: u32) -> bool {
        if let Some(rest) = NonZeroU32::new(at_least.saturating_sub(self.rounds.get())) {
            let mut unused = [0; 32];
            pbkdf2::derive(
                ALGORITHM,
                rest,
                self.salt.as_bytes(),
                password.as_bytes(),
                &mut unused,
            );
            std::hint::black_box(unused);
        }
        let (Ok(salt), Ok(hash)) = (
            URL_SAFE_NO_PAD.decode(&self.salt),
            URL_SAFE_NO_PAD.decode(&self.hash),
        ) else {
            return false;
        };
        pbkdf2::verify(ALGORITHM, self.rounds, &salt, password.as_bytes(), &hash).is_ok()
    }
}

/// A new token: what the device gets, and the proof that is kept.
pub(crate) struct NewToken {
    /// The device's name, 22 characters.
    pub(crate) device: String,
    /// `device.secret`, for the device alone.
    pub(crate) token: String,
    /// What is kept.
    pub(crate) proof: String,
}

impl NewToken {
    pub(crate) fn draw() -> Self {
        let (device, secret) = (
            random_text(),
            URL_SAFE_NO_PAD.encode([octets(), octets()].concat()),
        );
        let tag = hmac::sign(&key(&device), secret.as_bytes());
        Self {
            token: format!("{device}.{secret}"),
            proof: URL_SAFE_NO_PAD.encode(tag.as_ref()),
            device,
        }
    }
}

/// Whether a secret is the one that the proof was made of.
pub(crate) fn is_proven(device: &str, secret: &str, proof: &str) -> bool {
    URL_SAFE_NO_PAD
        .decode(proof)
        .is_ok_and(|tag| hmac::verify(&key(device), secret.as_bytes(), &tag).is_ok())
}

/// 128 random bits as 22 characters of base64url: names of messages, invitations, devices.
pub(crate) fn random_text() -> String {
    URL_SAFE_NO_PAD.encode(octets())
}

fn key(device: &str) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, device.as_bytes())
}

#[expect(clippy::expect_used, reason = "a system without random numbers can't serve")]
fn octets() -> [u8; 16] {
    let mut octets = [0; 16];
    SystemRandom::new()
        .fill(&mut octets)
        .expect("the system gives random numbers");
    octets
}

static ALGORITHM: pbkdf2::Algorithm = pbkdf2::PBKDF2_HMAC_SHA512;
