//! Passwords and tokens: never kept in clear, compared in constant time.
//!
//! A password is kept as Argon2id (RFC 9106) with its own salt and cost; one that an earlier build kept as
//! PBKDF2-HMAC-SHA512 still fits, and the login that shows it replaces it. A token is `device.secret`: the device's name
//! finds the row, an HMAC of the secret proves it. Secrets come out of the system's generator.

use std::num::NonZeroU32;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    hmac, pbkdf2,
    rand::{SecureRandom, SystemRandom},
};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

/// What checking one password costs us, and each guess a thief.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(crate) struct PasswordCost {
    /// Memory that is filled, in KiB; 8 or more.
    memory_kib: u32,
    /// How often it is filled; 1 or more.
    passes: u32,
}

impl PasswordCost {
    /// For a password of 128 random bits, which can't be guessed however fast guesses are checked.
    pub(crate) const RANDOM: Self = Self {
        memory_kib: Params::MIN_M_COST,
        passes: 1,
    };

    /// What filling so many octets so often costs.
    pub(crate) fn new(memory: u64, passes: u32) -> Self {
        Self {
            memory_kib: u32::try_from(memory / 1024)
                .unwrap_or(u32::MAX)
                .max(Params::MIN_M_COST),
            passes: passes.max(1),
        }
    }

    /// The function with this cost; `None` when the cost is out of its range.
    fn function(self) -> Option<Argon2<'static>> {
        let params = Params::new(self.memory_kib, self.passes, 1, Some(HASH)).ok()?;
        Some(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
    }

    /// The hash of a password; `None` when the cost is out of range, or the password is longer than 4 GiB.
    fn hash(self, password: &str, salt: &[u8]) -> Option<[u8; HASH]> {
        let mut hash = [0; HASH];
        self.function()?
            .hash_password_into(password.as_bytes(), salt, &mut hash)
            .ok()?;
        Some(hash)
    }
}

/// A password as it is kept.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(crate) struct PasswordHash {
    /// How it was hashed; kept, so that the setting may change.
    #[serde(flatten)]
    work: Work,
    /// 16 random octets, base64url.
    salt: String,
    /// 32 octets, base64url.
    hash: String,
}

/// How a password was hashed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Work {
    /// Argon2id.
    Argon2id(PasswordCost),
    /// PBKDF2-HMAC-SHA512, by an earlier build.
    Pbkdf2 {
        /// How often the function was applied.
        rounds: NonZeroU32,
    },
}

impl PasswordHash {
    /// Hashes a password; takes some hundredths of a second by design, so not on a thread that serves others. `None` when
    /// the cost is out of range.
    pub(crate) fn new(password: &str, cost: PasswordCost) -> Option<Self> {
        let salt = octets();
        let hash = cost.hash(password, &salt)?;
        Some(Self {
            work: Work::Argon2id(cost),
            salt: URL_SAFE_NO_PAD.encode(salt),
            hash: URL_SAFE_NO_PAD.encode(hash),
        })
    }

    /// A hash that no password fits, as slow to check as a real one: tells nobody which accounts exist.
    pub(crate) fn of_nobody(cost: PasswordCost) -> Self {
        let random = || URL_SAFE_NO_PAD.encode([octets(), octets()].concat());
        Self {
            work: Work::Argon2id(cost),
            salt: random(),
            hash: random(),
        }
    }

    /// Whether the password fits; costs as much as `usual` for a hash that costs less, so that the time does not tell
    /// accounts apart.
    pub(crate) fn fits(&self, password: &str, usual: PasswordCost) -> bool {
        if self.work == Work::Argon2id(PasswordCost::RANDOM) && usual != PasswordCost::RANDOM {
            std::hint::black_box(usual.hash(password, self.salt.as_bytes()));
        }
        let (Ok(salt), Ok(hash)) = (
            URL_SAFE_NO_PAD.decode(&self.salt),
            URL_SAFE_NO_PAD.decode(&self.hash),
        ) else {
            return false;
        };
        match self.work {
            Work::Argon2id(cost) => cost
                .hash(password, &salt)
                .is_some_and(|found| found.ct_eq(&hash).into()),
            Work::Pbkdf2 { rounds } => {
                let algorithm = pbkdf2::PBKDF2_HMAC_SHA512;
                pbkdf2::verify(algorithm, rounds, &salt, password.as_bytes(), &hash).is_ok()
            }
        }
    }

    /// Whether it should be hashed anew when its password is at hand: its cost is neither the usual one nor that of a
    /// random password.
    pub(crate) fn is_outdated(&self, usual: PasswordCost) -> bool {
        self.work != Work::Argon2id(usual) && self.work != Work::Argon2id(PasswordCost::RANDOM)
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

/// Octets of a hash.
const HASH: usize = 32;
