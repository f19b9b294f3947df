//! The SSP vectors: every example of the reference, the deviations of deployed peers, and documents to refuse.
//!
//! Folders are sections of the SSP reference; `14` holds the deviations, `extensions` our own shapes, `refused` what no
//! peer may send. Beside each vector stands its canonical form; `UPDATE_GOLDEN=1` writes it anew.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use impsgw::wire::ssp::xml::Tree;
use impsgw::wire::ssp::{
    Decoded, Document, Entity, Flaw, Limits, Mode, PresenceAttribute, Primitive, Profile, SetupPrimitive,
    SetupTransaction, StatusCode, Transaction, decode, encode,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// Each document to refuse, and a part of the sentence that the operator sees.
const REFUSED: &[(&str, &str)] = &[
    ("attribute-without-quotes", "not a name and a quoted value"),
    ("attribute-without-value", "not a name and a quoted value"),
    ("attributes-without-space", "no white space before an attribute"),
    ("blank", "there is no element"),
    ("cdata-after-the-root", "text outside the root"),
    ("cdata-end-in-text", "]]> in text"),
    ("comment-ends-in-hyphen", "not well-formed"),
    ("control-character", "a character that XML does not allow"),
    ("cut-in-a-tag", "not well-formed"),
    ("dangling-ampersand", "an unknown reference"),
    (
        "declaration-after-white-space",
        "declaration is not at the beginning",
    ),
    ("declaration-twice", "declaration is not at the beginning"),
    ("declaration-without-version", "declaration is not a proper one"),
    ("declared-latin-1", "not UTF-8"),
    ("deep", "more than 32 elements inside one another"),
    ("double-hyphen-in-comment", "not well-formed"),
    ("dtd-entities", "a document type declaration is not allowed"),
    ("dtd-external", "a document type declaration is not allowed"),
    ("duplicate-attribute", "an attribute is there twice"),
    ("duplicate-attribute-by-namespace", "an attribute is there twice"),
    ("empty", "there is no element"),
    ("end-without-start", "an end tag without a start tag"),
    ("html", "an end tag does not match its start tag"),
    ("json", "text outside the root"),
    ("less-than-in-attribute", "< in an attribute value"),
    ("many-attributes", "more than 32 attributes of one element"),
    ("mismatched-end", "an end tag does not match its start tag"),
    ("name-begins-with-digit", "an element has no proper name"),
    ("name-with-two-colons", "an element has no proper name"),
    ("no-child", "neither a setup transaction nor a session"),
    ("noncharacter", "a character that XML does not allow"),
    ("not-utf8", "not UTF-8"),
    ("only-a-declaration", "there is no element"),
    ("other-child", "neither a setup transaction nor a session"),
    ("other-root", "the root is WV-CSP-Message"),
    (
        "prefix-undeclared-again",
        "a namespace declaration that is not allowed",
    ),
    (
        "processing-instruction",
        "a processing instruction is not allowed",
    ),
    ("reference-after-the-root", "a reference outside the root"),
    ("reference-to-nul", "an unknown reference"),
    ("reference-to-surrogate", "an unknown reference"),
    ("reference-with-sign", "an unknown reference"),
    ("session-without-id", "the session has no ID"),
    (
        "session-without-transactions",
        "neither a setup transaction nor a session",
    ),
    ("setup-without-id", "the setup transaction has no ID"),
    (
        "setup-without-primitive",
        "neither a setup transaction nor a session",
    ),
    ("text-after-the-root", "text outside the root"),
    ("text-before-the-root", "text outside the root"),
    ("two-roots", "there are two roots"),
    ("unclosed", "an element is not closed"),
    (
        "undeclared-attribute-prefix",
        "an attribute with an undeclared prefix",
    ),
    ("undeclared-prefix", "an element with an undeclared prefix"),
    ("unknown-entity", "an unknown reference"),
    ("unknown-entity-in-attribute", "an unknown reference"),
    ("utf16", "not UTF-8"),
    (
        "xml-prefix-rebound",
        "a namespace declaration that is not allowed",
    ),
];

/// The vectors that need a repair, and no others do.
const REPAIRED: &[&str] = &["14/4a-canceled-as-end-tag", "14/4b-unescaped-note"];

#[test]
fn every_vector_survives_writing_and_has_its_canonical_form() {
    let mut faults = Vec::new();
    for (name, path) in accepted() {
        let body = fs::read(&path).unwrap();
        let decoded = read(&body, &Profile::OBSERVED);
        assert_eq!(decoded.repairs.is_any(), REPAIRED.contains(&&*name), "{name}");
        for profile in [Profile::STRICT, Profile::OBSERVED] {
            let again = encode(&decoded.document, &profile);
            assert_eq!(
                read(&again, &Profile::STRICT).document,
                as_written(decoded.document.clone()),
                "{name}"
            );
            assert!(
                roxmltree::Document::parse(std::str::from_utf8(&again).unwrap()).is_ok(),
                "{name}"
            );
        }
        let canonical = encode(&decoded.document, &Profile::STRICT);
        if !is_golden(&path.with_extension("golden"), &canonical) {
            faults.push(name);
        }
    }
    assert!(
        faults.is_empty(),
        "other canonical form, look and run again with UPDATE_GOLDEN=1: {faults:?}"
    );
}

#[test]
fn every_primitive_has_a_vector() {
    let mut missing: BTreeSet<_> = Primitive::NAMES.iter().copied().collect();
    for (_, path) in accepted() {
        let Document::Session { transactions, .. } =
            read(&fs::read(path).unwrap(), &Profile::OBSERVED).document
        else {
            continue;
        };
        for transaction in transactions {
            missing.remove(transaction.primitive.name());
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_document_to_refuse_is_refused_with_its_reason() {
    let on_disk: Vec<_> = vectors()
        .into_iter()
        .filter(|(name, _)| name.starts_with("refused/"))
        .collect();
    assert_eq!(on_disk.len(), REFUSED.len());
    for (name, reason) in REFUSED {
        let body = fs::read(root().join(format!("refused/{name}.xml"))).unwrap();
        let error = decode(&body, &Limits::default(), &Profile::STRICT)
            .map(|_| ())
            .unwrap_err()
            .to_string();
        assert!(error.contains(reason), "{name}: {error}");
    }
}

#[test]
fn limits_hold_at_their_edges() {
    let body = fs::read(root().join("12.1/send-message-request.xml")).unwrap();
    let count = |limits: Limits| decode(&body, &limits, &Profile::STRICT).is_ok();
    let default = Limits::default();
    assert!(
        count(Limits {
            document: body.len(),
            ..default
        }) && !count(Limits {
            document: body.len() - 1,
            ..default
        })
    );
    assert!(count(Limits { depth: 7, ..default }) && !count(Limits { depth: 6, ..default }));
    assert!(
        count(Limits {
            elements: 14,
            ..default
        }) && !count(Limits {
            elements: 13,
            ..default
        })
    );
    assert!(
        count(Limits {
            attributes: 4,
            ..default
        }) && !count(Limits {
            attributes: 3,
            ..default
        })
    );
    assert!(count(Limits { text: 52, ..default }) && !count(Limits { text: 12, ..default }));
}

#[test]
fn oversize_document_is_refused_unread() {
    let body = vec![b'<'; (1 << 20) + 1];
    let error = decode(&body, &Limits::default(), &Profile::OBSERVED)
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "the document has 1048577 octets, more than the limit of 1048576"
    );
}

#[test]
fn white_space_and_case_do_not_matter() {
    let Primitive::SendMessageRequest(request) = only("14/1-white-space-and-crlf").primitive else {
        panic!()
    };
    assert!(request.delivery_report);
    assert_eq!(
        request.info.recipients,
        [Entity::user("+447700900123@alpha.example")]
    );
    assert_eq!(request.info.date.unwrap().to_string(), "2026-04-21T02:03:52Z");
    assert_eq!(request.content.unwrap().bytes, b"See you at 6!");
    assert_eq!(
        request.meta.unwrap().user.unwrap().user_id,
        "wv:bea@bravo.example"
    );
}

#[test]
fn namespaces_and_prefixes_do_not_matter() {
    let Primitive::PresenceNotification(notification) = only("14/2-other-namespaces-and-prefixes").primitive
    else {
        panic!()
    };
    let [PresenceAttribute::OnlineStatus(online)] = &notification.values[0].attributes[..] else {
        panic!()
    };
    assert_eq!(online.shown(), Some(&true));
}

#[test]
fn odd_protocol_version_is_read_and_written_only_for_its_peer() {
    let document = vector("14/3-odd-protocol-version").document;
    let Document::Setup(setup) = &document else {
        panic!()
    };
    let SetupPrimitive::SendSecretToken(token) = &setup.primitive else {
        panic!()
    };
    assert_eq!(token.protocol_version.as_deref(), Some("1.3"));
    assert_eq!(token.secret.as_bytes(), b"0123456789abcdef0123456789abcdef");
    let written = |profile| String::from_utf8(encode(&document, &profile)).unwrap();
    assert!(
        !written(Profile::STRICT).contains("procotol")
            && written(Profile::STRICT).contains("protocolVersion=\"1.3\"")
    );
    assert!(written(Profile::OBSERVED).contains("procotolVersion=\"1.3\""));
}

#[test]
fn ill_formed_documents_are_repaired_only_for_their_peer() {
    for name in REPAIRED {
        let body = fs::read(root().join(format!("{name}.xml"))).unwrap();
        assert!(decode(&body, &Limits::default(), &Profile::STRICT).is_err());
    }
    let canceled = vector("14/4a-canceled-as-end-tag");
    assert!(canceled.repairs.closed_canceled && !canceled.repairs.escaped_text);
    let Primitive::CancelInviteRequest(cancel) = only("14/4a-canceled-as-end-tag").primitive else {
        panic!()
    };
    assert_eq!(cancel.canceled, Entity::user("wv:+447700900123@alpha.example"));
    assert_eq!(cancel.note.as_deref(), Some("Another day"));
    let note = vector("14/4b-unescaped-note");
    assert!(note.repairs.escaped_text && !note.repairs.closed_canceled);
    let Primitive::InviteRequest(invite) = only("14/4b-unescaped-note").primitive else {
        panic!()
    };
    assert_eq!(invite.invite_id, "inv<77>&");
    assert_eq!(invite.note.as_deref(), Some("tea & cake < beer <3 & so on; R&D"));
}

#[test]
fn odd_names_are_read() {
    let Primitive::GetJoinedUsersResponse(joined) = only("14/5-odd-mapping-names").primitive else {
        panic!()
    };
    assert_eq!(joined.users.len(), 2);
    assert_eq!(
        joined.users[0].user_id.as_deref(),
        Some("wv:+447700900123@alpha.example")
    );
    assert!(joined.admins.is_empty());
    let Primitive::SendMessageRequest(request) = only("14/5-odd-message-attributes").primitive else {
        panic!()
    };
    assert_eq!(request.info.uri.as_deref(), Some("https://bravo.example/c/2"));
    assert_eq!(request.info.content_name.as_deref(), Some("cat.png"));
    assert_eq!(request.info.validity, Some(Duration::from_secs(90)));
}

#[test]
fn failed_response_has_an_empty_id_and_details_with_a_code() {
    let Primitive::SendMessageResponse(response) = only("14/6-failed-response-with-empty-id").primitive
    else {
        panic!()
    };
    assert_eq!(response.message_id, "");
    assert_eq!(
        (response.status.code, response.status.description),
        (StatusCode::SEVERAL_ERRORS, None)
    );
    let codes: Vec<_> = response
        .status
        .details
        .iter()
        .map(|detail| detail.code.0)
        .collect();
    assert_eq!(codes, [531, 410]);
    assert_eq!(response.status.details[1].screen_names[0].name, "Jess");
}

#[test]
fn exchanged_roles_can_be_exchanged_back() {
    let Primitive::InviteResponse(response) = only("14/12-invite-response-roles-exchanged").primitive else {
        panic!()
    };
    let response = response.with_roles_exchanged();
    assert_eq!(response.responding, Entity::user("wv:bea@bravo.example"));
    assert_eq!(response.inviting, Entity::user("+447700900123@alpha.example"));
    assert_eq!(response.note, None);
}

#[test]
fn presence_response_without_a_status_is_a_success() {
    let Primitive::GetPresenceResponse(response) = only("14/13-presence-response-without-status").primitive
    else {
        panic!()
    };
    assert_eq!(response.status.code, StatusCode::SUCCESS);
}

#[test]
fn one_bad_transaction_does_not_touch_the_others() {
    let decoded = vector("14/14-several-transactions-with-one-id");
    assert_eq!(decoded.skipped, 1);
    let Document::Session {
        session_id,
        transactions,
    } = decoded.document
    else {
        panic!()
    };
    assert_eq!(
        (session_id.as_str(), session_id.domain()),
        ("903@bravo.example", Some("bravo.example"))
    );
    let ids: Vec<_> = transactions
        .iter()
        .map(|transaction| transaction.id.as_str())
        .collect();
    assert_eq!(
        ids,
        [
            "0000000020-0",
            "0000000020-0",
            "0000000021-0",
            "0000000022-0",
            "0000000023-0"
        ]
    );
    assert_eq!(
        transactions[1].primitive,
        Primitive::Unknown {
            name: "WatcherListRequest".to_owned()
        }
    );
    let missing = Flaw::MissingElement {
        element: "SubscribeRequest",
        child: "UserID",
    };
    assert_eq!(
        transactions[2].primitive,
        Primitive::Malformed {
            name: "SubscribeRequest".to_owned(),
            reason: missing
        }
    );
    assert_eq!(transactions[3].mode, Mode::Response);
    assert_eq!(
        transactions[3].primitive,
        Primitive::Malformed {
            name: String::new(),
            reason: Flaw::NoPrimitive
        }
    );
    let Primitive::UnsubscribeRequest(request) = &transactions[4].primitive else {
        panic!()
    };
    assert_eq!(request.user_ids, ["ada@alpha.example"]);
}

#[test]
fn digests_of_the_example_ladder_prove_its_secrets() {
    let setup = |step: u8| {
        let Document::Setup(setup) = vector(&format!("4.8/ladder-step-{step}")).document else {
            panic!()
        };
        setup
    };
    for (secret_step, digest_step) in [(1, 4), (2, 3)] {
        let SetupPrimitive::SendSecretToken(token) = setup(secret_step).primitive else {
            panic!()
        };
        let SetupPrimitive::LoginRequest(login) = setup(digest_step).primitive else {
            panic!()
        };
        assert!(login.digest.matches(&token.secret.digest()));
        assert_eq!(login.time_to_live, Some(Duration::from_secs(86_400)));
    }
    let SetupPrimitive::LoginResponse(response) = setup(6).primitive else {
        panic!()
    };
    assert_eq!(response.session_id.unwrap().domain(), Some("bravo.example"));
    assert_eq!(setup(6).mode, Mode::Response);
}

#[test]
fn scalars_of_our_shapes_may_be_elements() {
    let Primitive::SearchRequest(search) = only("extensions/search-request-as-elements").primitive else {
        panic!()
    };
    assert_eq!((search.search_limit, search.search_index), (Some(5), Some(11)));
    assert_eq!(search.search_id.as_deref(), Some("s-81"));
    assert_eq!(search.pairs[0].element.as_word(), "USER_MOBILE_NUMBER");
    assert_eq!(search.pairs[0].string, "+447700900456");
}

#[test]
fn content_without_base64_is_text() {
    let Primitive::SendMessageRequest(request) = only("9.2/content-as-text").primitive else {
        panic!()
    };
    assert_eq!(
        request.content.unwrap().bytes,
        "plain & <simple> \u{20AC}".as_bytes()
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_vectors_never_panic_and_never_fool_us(
        which in any::<prop::sample::Index>(),
        cuts in vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..40_usize, any::<u8>()), 1..4),
    ) {
        let vectors = vectors();
        let mut body = fs::read(&vectors[which.index(vectors.len())].1).unwrap();
        for (from, to, length, byte) in cuts {
            damage(&mut body, &from, &to, length, byte);
        }
        let _ = decode(&body, &Limits::default(), &Profile::OBSERVED);
        if Tree::parse(&body, &Limits::default()).is_ok() {
            let text = std::str::from_utf8(&body).unwrap();
            let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
            prop_assert!(roxmltree::Document::parse(text).is_ok(), "{}", text);
        }
        if let Ok(decoded) = decode(&body, &Limits::default(), &Profile::OBSERVED) {
            // Transactions without an ID are passed over, malformed setup is not written: no document may be left.
            prop_assume!(!matches!(&decoded.document, Document::Session { transactions, .. } if transactions.is_empty()));
            prop_assume!(!matches!(&decoded.document,
                Document::Setup(SetupTransaction { primitive: SetupPrimitive::Malformed { .. }, .. })));
            let canonical = encode(&decoded.document, &Profile::STRICT);
            let again = read(&canonical, &Profile::STRICT);
            prop_assert_eq!(&again.document, &as_written(decoded.document));
            let again = encode(&again.document, &Profile::STRICT);
            prop_assert_eq!(String::from_utf8_lossy(&again), String::from_utf8_lossy(&canonical));
        }
    }
}

/// Moves, copies, cuts out or overwrites a piece.
fn damage(body: &mut Vec<u8>, from: &prop::sample::Index, to: &prop::sample::Index, length: usize, byte: u8) {
    if body.is_empty() {
        return;
    }
    let start = from.index(body.len());
    let end = (start + length).min(body.len());
    let piece = match byte % 4 {
        0 => body.drain(start..end).collect(),
        1 => body[start..end].to_vec(),
        2 => vec![b"<>&\"'/ =!?-]:xA1\0\x80"[usize::from(byte) % 18]],
        _ => {
            body[start] = byte;
            return;
        }
    };
    let at = to.index(body.len() + 1);
    body.splice(at..at, piece);
}

fn read(body: &[u8], profile: &Profile) -> Decoded {
    decode(body, &Limits::default(), profile)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(body)))
}

fn vector(name: &str) -> Decoded {
    read(
        &fs::read(root().join(format!("{name}.xml"))).unwrap(),
        &Profile::OBSERVED,
    )
}

/// The document as it is after writing: malformed primitives are left out.
fn as_written(mut document: Document) -> Document {
    if let Document::Session { transactions, .. } = &mut document {
        for transaction in transactions {
            if let Primitive::Malformed { .. } = transaction.primitive {
                transaction.primitive = Primitive::Malformed {
                    name: String::new(),
                    reason: Flaw::NoPrimitive,
                };
            }
        }
    }
    document
}

/// The only transaction of a vector.
fn only(name: &str) -> Transaction {
    let Document::Session { mut transactions, .. } = vector(name).document else {
        panic!("{name} has no session")
    };
    assert_eq!(transactions.len(), 1, "{name}");
    transactions.remove(0)
}

fn accepted() -> Vec<(String, PathBuf)> {
    vectors()
        .into_iter()
        .filter(|(name, _)| !name.starts_with("refused/"))
        .collect()
}

/// Every vector as `section/name` with its path, in order.
fn vectors() -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for section in fs::read_dir(root()).unwrap() {
        for file in fs::read_dir(section.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "xml") {
                let name = path.strip_prefix(root()).unwrap().with_extension("");
                found.push((name.to_str().unwrap().to_owned(), path));
            }
        }
    }
    found.sort();
    found
}

fn is_golden(path: &Path, written: &[u8]) -> bool {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path, written).unwrap();
    }
    fs::read(path).is_ok_and(|golden| golden == written)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/ssp")
}
