//! What POSIX defines works, and everything else is refused by name.

use super::*;

fn matched(expression: &str, text: &str) -> Option<String> {
    let ere = Ere::compile(expression.as_bytes(), false).unwrap();
    let captures = ere.captures(text.as_bytes())?;
    Some(String::from_utf8(captures.get(0).unwrap().as_bytes().to_vec()).unwrap())
}

fn refused(expression: &str) -> EreError {
    Ere::compile(expression.as_bytes(), false).unwrap_err()
}

#[test]
fn posix_constructs_match_as_posix_says() {
    for (expression, text, expected) in [
        ("^\\+44(.*)$", "+447700900123", Some("+447700900123")),
        ("44", "+447700900123", Some("44")),
        ("a{,3}b", "aaab", Some("aaab")),
        ("^a{2}$", "aaa", None),
        ("a{2,}", "caaat", Some("aaa")),
        ("^[\\.]+$", "\\.", Some("\\.")),
        ("^[[:digit:]]+$", "123", Some("123")),
        ("^[[:digit:]x]+$", "1x3", Some("1x3")),
        ("^[]a]+$", "]a", Some("]a")),
        ("^[^]a]$", "]", None),
        ("^[a-]+$", "-a", Some("-a")),
        ("^[+--]+$", "+,-", Some("+,-")),
        ("^[a&&b]+$", "&a", Some("&a")),
        ("^[0-9~~]+$", "~5", Some("~5")),
        ("^[[]$", "[", Some("[")),
        ("^a]})$", "a]})", Some("a]})")),
        ("^(a)+)*$", "aa))", Some("aa))")),
        (
            "^\\^\\.\\[\\$\\(\\)\\|\\*\\+\\?\\{\\\\$",
            "^.[$()|*+?{\\",
            Some("^.[$()|*+?{\\"),
        ),
        ("^(x|y)?z#a b$", "z#a b", Some("z#a b")),
        ("^\\!-$", "!-", Some("!-")),
    ] {
        assert_eq!(
            matched(expression, text).as_deref(),
            expected,
            "{expression} on {text}"
        );
    }
}

#[test]
fn everything_else_is_refused_by_name() {
    for (expression, expected) in [
        ("", EreError::Empty),
        ("^+447700900123$", EreError::UnescapedPlus),
        ("+44", EreError::UnescapedPlus),
        ("(+44)", EreError::UnescapedPlus),
        ("a|+", EreError::UnescapedPlus),
        ("*", EreError::NothingToRepeat('*')),
        ("(?i)a", EreError::NothingToRepeat('?')),
        ("{2}", EreError::NothingToRepeat('{')),
        (".*?", EreError::RepeatedRepetition('?')),
        ("a{2}+", EreError::RepeatedRepetition('+')),
        ("a{", EreError::Interval),
        ("a{x}", EreError::Interval),
        ("a{,}", EreError::Interval),
        ("a{3,2}", EreError::Interval),
        ("a{256}", EreError::Interval),
        ("^(.*$", EreError::Unbalanced('(')),
        ("[0-9", EreError::Unbalanced('[')),
        ("[]", EreError::Unbalanced('[')),
        ("[a-", EreError::Unbalanced('[')),
        ("()", EreError::EmptyAlternative),
        ("a|", EreError::EmptyAlternative),
        ("|a", EreError::EmptyAlternative),
        ("a||b", EreError::EmptyAlternative),
        ("(a|)", EreError::EmptyAlternative),
        ("(.)\\1", EreError::BackReference),
        ("\\d", EreError::LetterEscape('d')),
        ("\\p{L}", EreError::LetterEscape('p')),
        ("\\0", EreError::LetterEscape('0')),
        ("a\\", EreError::TrailingBackslash),
        ("[[.-.]]", EreError::Collating),
        ("[[=a=]]", EreError::Collating),
        ("[[:word:]]", EreError::UnknownClass),
        ("[[:digit]]", EreError::UnknownClass),
        ("[9-0]", EreError::Range),
        ("[a-c-e]", EreError::Range),
        ("[[:digit:]-z]", EreError::Range),
        ("[a-[:digit:]]", EreError::Range),
        ("((.{255}){255}){255}", EreError::TooComplex),
    ] {
        assert_eq!(refused(expression), expected, "{expression}");
    }
    assert_eq!(
        Ere::compile(b"a\xff", false).unwrap_err(),
        EreError::NotAscii(0xff)
    );
    assert_eq!(Ere::compile(b"a\0", false).unwrap_err(), EreError::NotAscii(0));
}

#[test]
fn groups_are_counted() {
    assert_eq!(
        Ere::compile(b"^\\+(44)((7700)|x)(.*)$", false).unwrap().groups(),
        4
    );
    assert_eq!(Ere::compile(b"[(]\\(", false).unwrap().groups(), 0);
}

#[test]
fn group_that_is_repeated_no_times_keeps_its_number() {
    let ere = Ere::compile(b"^(a){0}(b)$", false).unwrap();
    let captures = ere.captures(b"b").unwrap();
    assert_eq!(ere.groups(), 2);
    assert!(captures.get(1).is_none());
    assert_eq!(captures.get(2).map(|group| group.as_bytes()), Some(&b"b"[..]));
}
