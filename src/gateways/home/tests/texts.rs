//! What people write, and what others may read of it.

use super::super::text::{Words, line, message};

#[test]
fn line_loses_what_can_not_be_seen() {
    assert_eq!(line("  Bea\u{202e}\r\n\tBlom \u{0}", 64), "Bea Blom");
    assert_eq!(line("\u{200b}\u{feff}\u{7f}", 64), "");
    assert_eq!(line("ääää", 3), "äää");
    assert_eq!(line("ab cd", 3), "ab");
}

#[test]
fn message_keeps_lines_and_refuses_other_controls() {
    assert!(message("a\r\n\tb 🙂").is_ok());
    for bad in ["\u{0}", "\u{1b}[31m", "\u{85}"] {
        assert!(message(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn words_fall_back_from_region_to_language_to_english() {
    let own = [(
        "nl".to_owned(),
        super::super::Templates {
            contact_added: "{name}!".into(),
        },
    )]
    .into();
    let words = Words::new(&own, "xx");
    assert_eq!(
        words.contact_added("nl-BE", "Bea", "wv:x"),
        ("Bea!".into(), "nl".into())
    );
    assert_eq!(words.contact_added("de-AT", "B", "a").1, "de");
    assert_eq!(words.contact_added("tlh", "B", "a").1, "en");
    assert_eq!(words.contact_added("nl", "{address}", "secret").0, "{address}!");
}

proptest::proptest! {
    #[test]
    fn line_is_short_and_stays_as_it_is(text in ".*", most in 0_usize..80) {
        let once = line(&text, most);
        proptest::prop_assert!(once.chars().count() <= most);
        proptest::prop_assert!(!once.chars().any(char::is_control));
        proptest::prop_assert_eq!(&line(&once, most), &once);
    }
}
