//! The login secret and its digest: `base64(MD5(secret))`.
//!
//! The digest is over the decoded secret exactly as bytes; nothing on the wire names or negotiates a scheme. Neither type
//! shows its bytes in debug output. Source: SSP reference §4.2.

use std::fmt;
use std::hint::black_box;

use md5::{Digest as _, Md5};

/// A secret that one side invented for one handshake.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret(Vec<u8>);

/// The MD5 of a secret; proof that the other side received it.
#[derive(Clone, Copy)]
pub struct PasswordDigest([u8; 16]);

impl Secret {
    /// Wraps secret bytes. Our own are at least 128 bits from a CSPRNG, as printable ASCII without white space, which is
    /// what every peer reads right (SSP reference §4.2).
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The secret's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The digest that proves that this secret was received.
    pub fn digest(&self) -> PasswordDigest {
        PasswordDigest(Md5::digest(&self.0).into())
    }

    /// The secret as wire text without an encoding, when it is printable ASCII without white space.
    pub(super) fn as_plain_text(&self) -> Option<&str> {
        let plain = !self.0.is_empty() && self.0.iter().all(u8::is_ascii_graphic);
        if plain {
            std::str::from_utf8(&self.0).ok()
        } else {
            None
        }
    }
}

impl PasswordDigest {
    /// Wraps 16 digest bytes that came over the wire.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 raw bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Whether both digests are the same; takes the same time wherever they differ.
    pub fn matches(&self, other: &Self) -> bool {
        let difference = self
            .0
            .iter()
            .zip(&other.0)
            .fold(0_u8, |seen, (a, b)| black_box(seen | (a ^ b)));
        black_box(difference) == 0
    }
}

impl PartialEq for PasswordDigest {
    fn eq(&self, other: &Self) -> bool {
        self.matches(other)
    }
}

impl Eq for PasswordDigest {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} octets)", self.0.len())
    }
}

impl fmt::Debug for PasswordDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordDigest(..)")
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn digest_is_the_one_of_the_reference() {
        for (secret, digest) in [
            ("c0ffee5a11e7", "3ivnx0T7pqj18dgTre3RRw=="),
            ("3f9c1a77d0e84b52", "OyBFbxuLTGygUtWq4jLcZQ=="),
        ] {
            assert_eq!(STANDARD.encode(Secret::new(secret).digest().as_bytes()), digest);
        }
    }

    #[test]
    fn digests_match_only_when_every_byte_does() {
        let right = Secret::new("c0ffee5a11e7").digest();
        assert!(right.matches(&Secret::new("c0ffee5a11e7").digest()));
        for i in 0..16 {
            let mut bytes = *right.as_bytes();
            bytes[i] ^= 0x80;
            assert!(!right.matches(&PasswordDigest::new(bytes)));
        }
    }

    #[test]
    fn debug_output_keeps_the_secret() {
        let secret = Secret::new("c0ffee5a11e7");
        assert!(!format!("{secret:?}{:?}", secret.digest()).contains("c0ffee"));
    }
}
