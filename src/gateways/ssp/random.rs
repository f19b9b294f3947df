//! Secrets, session IDs and incarnations, out of a cryptographic generator.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::rand::{SecureRandom, SystemRandom};

/// So many random octets as unpadded base64url; printable, without white space (SSP reference §4.2).
#[expect(clippy::expect_used, reason = "a system without random numbers can't serve")]
pub(super) fn text(octets: usize) -> String {
    let mut buffer = vec![0; octets];
    SystemRandom::new().fill(&mut buffer).expect("the system gives random numbers");
    URL_SAFE_NO_PAD.encode(buffer)
}
