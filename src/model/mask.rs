//! Hides people in what is shown or logged: the last digits of numbers, most of names, and numbers turned into ENUM names.
//!
//! It works on any text, because addresses stand in refusals, keys, labels, decisions and failures alike. Peers write part
//! of those texts, so a line of a log stays one line.

/// Hides people in a text, and keeps it on one line: whatever could end the line or steer a terminal is escaped.
#[must_use]
pub fn mask_text(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut word = String::new();
    for c in text.chars() {
        if c.is_whitespace()
            || matches!(
                c,
                ',' | '"' | '\'' | '(' | ')' | '<' | '>' | '[' | ']' | '|' | '!'
            )
        {
            masked.push_str(&mask_word(&word));
            word.clear();
            push_shown(&mut masked, c);
        } else if c.is_control() {
            push_shown(&mut word, c);
        } else {
            word.push(c);
        }
    }
    masked.push_str(&mask_word(&word));
    masked
}

/// A control character or a line end as its escape, everything else as it is.
fn push_shown(text: &mut String, c: char) {
    if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
        text.extend(c.escape_default());
    } else {
        text.push(c);
    }
}

fn mask_word(word: &str) -> String {
    let word = mask_enum(word);
    let word = mask_screen_name(&word);
    let word = mask_name(&word);
    mask_digits(&word)
}

/// The name after the `#` of a group's participant; it is percent-encoded, so it ends where another character stands.
fn mask_screen_name(word: &str) -> String {
    let Some((group, name)) = word.split_once('#').filter(|(group, _)| group.contains('/')) else {
        return word.to_owned();
    };
    let after = name.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || "-._~%".contains(c));
    format!("{group}#***{after}")
}

/// `user` of `wv:user@host` or `user@host`; a number is left to [`mask_digits`].
fn mask_name(word: &str) -> String {
    let Some((before, domain)) = word.split_once('@') else {
        return match word.strip_prefix("wv:") {
            Some(name) if !name.starts_with('+') => format!("wv:{}", shortened(name)),
            Some(_) | None => word.to_owned(),
        };
    };
    let at = before.rfind([':', '=', ';']).map_or(0, |at| at + 1);
    let (scheme, user) = before.split_at_checked(at).unwrap_or(("", before));
    if user.is_empty() || user.starts_with('+') {
        return word.to_owned();
    }
    format!("{scheme}{}@{domain}", shortened(user))
}

/// Runs of 7 digits or more keep the first 5.
fn mask_digits(word: &str) -> String {
    let mut masked = String::with_capacity(word.len());
    let mut digits = String::new();
    for c in word.chars().map(Some).chain([None]) {
        match c {
            Some(digit) if digit.is_ascii_digit() => digits.push(digit),
            other => {
                match digits.get(..5) {
                    Some(shown) if digits.len() >= 7 => {
                        masked.push_str(shown);
                        masked.push_str("***");
                    }
                    Some(_) | None => masked.push_str(&digits),
                }
                digits.clear();
                masked.extend(other);
            }
        }
    }
    masked
}

/// `3.2.1.0.0.9.0.0.7.7.4.4.e164.arpa` loses its first labels, which are the last digits.
fn mask_enum(word: &str) -> String {
    let labels: Vec<&str> = word.split('.').collect();
    let is_digit = |label: &&&str| label.len() == 1 && label.bytes().all(|byte| byte.is_ascii_digit());
    let digits = labels.iter().take_while(is_digit).count();
    if digits < 7 {
        return word.to_owned();
    }
    let rest: Vec<&str> = labels.iter().skip(digits - 5).copied().collect();
    format!("***.{}", rest.join("."))
}

fn shortened(name: &str) -> String {
    let shown: String = name.chars().take(2).collect();
    format!("{shown}***")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_hidden_wherever_they_stand() {
        for (plain, masked) in [
            ("wv:+447700900123", "wv:+44770***"),
            ("wv:+447700900123@alpha.example", "wv:+44770***@alpha.example"),
            ("wv:bea.brown@beta.example", "wv:be***@beta.example"),
            ("bea@beta.example", "be***@beta.example"),
            (
                "no route to wv:bea@beta.example: none",
                "no route to wv:be***@beta.example: none",
            ),
            (
                "no route to wv:+447700900456/walkers@bravo.example#Robin%20Hood: none",
                "no route to wv:+44770***/walkers@bravo.example#***: none",
            ),
            ("wv:al|wv:+447700900123", "wv:al***|wv:+44770***"),
            (
                "NAPTR 3.2.1.0.0.9.0.0.7.7.4.4.e164.arpa.",
                "NAPTR ***.0.7.7.4.4.e164.arpa.",
            ),
            (
                "!^.*$!wv:+447700900123@b.example!",
                "!^.*$!wv:+44770***@b.example!",
            ),
            (
                "beta.example by ssp at im.beta.example:5222",
                "beta.example by ssp at im.beta.example:5222",
            ),
        ] {
            assert_eq!(mask_text(plain), masked);
        }
    }

    #[test]
    fn lines_stay_lines() {
        assert_eq!(
            mask_text("eve\n2026 INFO all is well\u{1b}[2J\r\0"),
            "eve\\n2026 INFO all is well\\u{1b}[2J\\r\\u{0}"
        );
    }
}
