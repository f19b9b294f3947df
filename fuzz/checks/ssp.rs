//! Documents of SSP, and what the gateway makes of them.

use impsgw::wire::ssp::{Document, Limits, Primitive, Profile, SetupPrimitive, decode, encode};

/// What was read is what is read again after writing, for every profile.
pub(crate) fn ssp(input: &[u8]) {
    let limits = Limits::default();
    for profile in [Profile::STRICT, Profile::OBSERVED] {
        let Ok(decoded) = decode(input, &limits, &profile) else {
            continue;
        };
        if !is_writable(&decoded.document) {
            continue;
        }
        let written = encode(&decoded.document, &profile);
        let again = decode(&written, &limits, &Profile::STRICT)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&written)));
        assert_eq!(
            again.document,
            decoded.document,
            "{}",
            String::from_utf8_lossy(&written)
        );
        assert_eq!(encode(&again.document, &profile), written);
    }
}

/// Malformed primitives are never written, and a session without transactions is not a document.
fn is_writable(document: &Document) -> bool {
    match document {
        Document::Setup(setup) => !matches!(setup.primitive, SetupPrimitive::Malformed { .. }),
        Document::Session { transactions, .. } => {
            !transactions.is_empty()
                && !transactions
                    .iter()
                    .any(|transaction| matches!(transaction.primitive, Primitive::Malformed { .. }))
        }
    }
}
