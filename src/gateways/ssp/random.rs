//! Secrets, session IDs and incarnations, out of a cryptographic generator.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::rand::{SecureRandom, SystemRandom};

/// So many random octets as unpadded base64url: printable, without white space.
pub(super) fn text(octets: usize) -> String {
    let mut buffer = vec![0; octets];
    fill(&mut buffer);
    URL_SAFE_NO_PAD.encode(buffer)
}

/// 128 random bits.
pub(super) fn octets() -> [u8; 16] {
    let mut buffer = [0; 16];
    fill(&mut buffer);
    buffer
}

#[expect(clippy::expect_used, reason = "a system without random numbers can't serve")]
fn fill(buffer: &mut [u8]) {
    SystemRandom::new()
        .fill(buffer)
        .expect("the system gives random numbers");
}
