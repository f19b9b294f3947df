//! Backslashes in zone files: each one of the expression is written twice, and both ways to get it wrong are common.

use super::Mistake;

/// Looks at a regexp field as it is written: a backslash that the zone file itself uses up.
pub(super) fn in_raw(raw: &str) -> Option<Mistake> {
    let mut letters = raw.chars().peekable();
    let mut decimal = false;
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            continue;
        }
        match letters.next() {
            Some('\\' | '"' | ';') => {}
            Some(first) if first.is_ascii_digit() => {
                let more = (0..2)
                    .filter(|_| letters.next_if(char::is_ascii_digit).is_some())
                    .count();
                if more < 2 {
                    return Some(Mistake::SingleBackslash);
                }
                decimal = true;
            }
            Some(_) | None => return Some(Mistake::SingleBackslash),
        }
    }
    decimal.then_some(Mistake::DecimalEscape)
}

/// Looks at the field as it is on the wire: a doubled backslash in front of what is escaped once.
pub(super) fn doubled_twice(wire: &[u8]) -> bool {
    let mut run = 0usize;
    for &octet in wire {
        if octet == b'\\' {
            run += 1;
            continue;
        }
        if run >= 2 && (octet == b'+' || octet.is_ascii_digit()) {
            return true;
        }
        run = 0;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_backslashes_that_the_file_uses_up_are_found() {
        assert_eq!(in_raw(r#""!^\\+(.*)$!im:\\1@a!""#), None);
        assert_eq!(in_raw(r#""!^\+(.*)$!im:x!""#), Some(Mistake::SingleBackslash));
        assert_eq!(in_raw(r#""!^(.*)$!im:\1@a!""#), Some(Mistake::SingleBackslash));
        assert_eq!(in_raw(r#""!^(.*)$!im:\144@a!""#), Some(Mistake::DecimalEscape));
        assert_eq!(in_raw(r#""a\"b""#), None);
    }

    #[test]
    fn a_second_doubling_is_seen_on_the_wire() {
        assert!(doubled_twice(br"!^\\+(.*)$!im:x!"));
        assert!(doubled_twice(br"!^(.*)$!im:\\1@a!"));
        assert!(!doubled_twice(br"!^\+(.*)$!im:\1@a!"));
    }
}
