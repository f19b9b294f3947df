//! Properties of the codec: what is written is read back, and nothing that is read can hurt.
//!
//! The documents come from `dice.rs`.

use proptest::collection::vec;
use proptest::prelude::*;

use super::dice::Dice;
use super::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_document_is_read_as_it_was_written(bytes in vec(any::<u8>(), 0..1500), odd in any::<bool>()) {
        let document = Dice::new(&bytes).make::<Document>();
        let profile = if odd { Profile::OBSERVED } else { Profile::STRICT };
        let body = encode(&document, &profile);
        let decoded = decode(&body, &Limits::default(), &Profile::STRICT);
        let decoded = decoded.map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(&decoded.document, &document, "{}", String::from_utf8_lossy(&body));
        prop_assert_eq!((decoded.repairs.is_any(), decoded.skipped), (false, 0));
        let text = std::str::from_utf8(&body).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert!(roxmltree::Document::parse(text).is_ok());
    }

    #[test]
    fn arbitrary_text_stays_inside_its_element(text in "\\PC*|[\\x00-\\x7f]*") {
        let status = Status::new(StatusCode::SUCCESS).described(format!("a{text}z"));
        let document = Document::Session {
            session_id: SessionId::new("1@a.example"),
            transactions: vec![Transaction::response(TransactionId::new(format!("a{text}z")), status)],
        };
        let decoded = decode(&encode(&document, &Profile::STRICT), &Limits::default(), &Profile::STRICT);
        let Ok(Decoded { document: Document::Session { transactions, .. }, .. }) = decoded else {
            return Err(TestCaseError::fail("no session"));
        };
        let [Transaction { id, primitive: Primitive::Status(status), .. }] = &transactions[..] else {
            return Err(TestCaseError::fail("not one status"));
        };
        let carried: String = text
            .chars()
            .map(|c| if matches!(c, '\t' | '\n' | '\r') || c >= ' ' { c } else { '\u{FFFD}' })
            .collect();
        prop_assert_eq!(id.as_str(), &format!("a{carried}z"));
        prop_assert_eq!(status.description.as_deref(), Some(&*format!("a{carried}z")));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..400)) {
        let _ = decode(&bytes, &Limits::default(), &Profile::OBSERVED);
    }

    #[test]
    fn arbitrary_markup_never_panics(pieces in vec(prop::sample::select(PIECES), 0..60)) {
        let text = pieces.concat();
        let strict = decode(text.as_bytes(), &Limits::default(), &Profile::STRICT);
        if xml::Tree::parse(text.as_bytes(), &Limits::default()).is_ok() {
            prop_assert!(roxmltree::Document::parse(&text).is_ok(), "{}", text);
        } else {
            prop_assert!(strict.is_err());
        }
        let _ = decode(text.as_bytes(), &Limits::default(), &Profile::OBSERVED);
    }
}

#[test]
fn every_primitive_is_made_by_the_dice() {
    let mut names: Vec<_> = (0..=255_u8)
        .map(|die| Dice::new(&[die]).make::<Primitive>().name().to_owned())
        .collect();
    names.sort();
    names.dedup();
    let missing: Vec<_> = Primitive::NAMES
        .iter()
        .filter(|name| !names.iter().any(|made| made == *name))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn unreadable_names_are_written_as_unknown() {
    let transaction = Transaction::request(TransactionId::new("1"), Status::from(StatusCode::SUCCESS));
    let primitive = Primitive::Unknown {
        name: "a><b".to_owned(),
    };
    let transactions = vec![Transaction {
        primitive,
        ..transaction
    }];
    let document = Document::Session {
        session_id: SessionId::new("1@a.example"),
        transactions,
    };
    assert!(
        String::from_utf8(encode(&document, &Profile::STRICT))
            .unwrap()
            .contains("<Unknown/>")
    );
}

/// Markup that meets in unlucky ways.
const PIECES: &[&str] = &[
    "<WV-SSP-Message>",
    "</WV-SSP-Message>",
    "<Session sessionID=\"1\">",
    "</Session>",
    "<Transaction transactionID='2'>",
    "</Transaction>",
    "<Canceled>",
    "<Canceled/>",
    "</Canceled>",
    "<InviteNote>",
    "</InviteNote>",
    "<Name",
    ">",
    "<",
    "&",
    "&lt;",
    "&#38;",
    "&#x1F600;",
    "&#0;",
    "&foo;",
    "\"",
    "'",
    " a=\"<\"",
    " a='1'",
    " xmlns:p='u'",
    "<p:a",
    "/>",
    "<a>",
    "</a>",
    "<a/>",
    "<!--",
    "-->",
    "--",
    "<![CDATA[",
    "]]>",
    "]",
    "<?xml version='1.0'?>",
    "<?p?>",
    "<!DOCTYPE a>",
    "text",
    " ",
    "\r\n",
    "\u{e9}",
    "\u{FEFF}",
    "<Status code='200'/>",
    "<a\tb = 'c'\n>",
    "</a >",
    "<a xml:lang='en'/>",
    "=",
    "<\u{e9}/>",
    "<-/>",
    "xmlns=''",
];
