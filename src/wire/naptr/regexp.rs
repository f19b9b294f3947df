//! The REGEXP field: delimiter, expression, delimiter, replacement, delimiter, flags (RFC 3402 §3.2).
//!
//! The result is the expanded replacement alone, not the subject with a part exchanged. The replacement is expanded
//! by hand, because `\1` to `\9` are single digits here and `$` means nothing.

use thiserror::Error;

use super::ere::{Ere, EreError};
use super::number::Aus;

/// A substitution expression that was read and compiled.
#[derive(Clone, Debug)]
pub struct Substitution {
    ere: Ere,
    replacement: Vec<Piece>,
    ignore_case: bool,
}

/// What a substitution gave.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Expanded {
    /// The replacement with its references filled in; not yet known to be a URI.
    pub octets: Vec<u8>,
    /// Whether the match covers the whole number; if not, the record probably lacks `^` or `$`.
    pub spans_all: bool,
}

/// Why a REGEXP field gives nothing for a number.
#[derive(Clone, Copy, Debug, Eq, Error, Hash, PartialEq)]
pub enum RegexpError {
    /// A terminal record without REGEXP.
    #[error("the regexp field is empty")]
    Empty,
    /// A digit, `i`, a backslash, NUL, or an octet above 0x7F.
    #[error("the octet {0:#04x} cannot be the delimiter")]
    Delimiter(u8),
    /// Not exactly three unescaped delimiters (RFC 6116 §5.2).
    #[error("the regexp field has {0} unescaped delimiters instead of 3")]
    DelimiterCount(usize),
    /// Something other than `i` after the last delimiter.
    #[error("{0:?} after the last delimiter is not a flag; only i is")]
    Flag(char),
    /// The expression is not usable.
    #[error("the expression cannot be used: {0}")]
    Ere(#[from] EreError),
    /// `\n` for a group that the expression does not have (RFC 3402 §3.2).
    #[error("the replacement refers to group {reference}, but the expression has {groups}")]
    NoSuchGroup {
        /// The digit after the backslash.
        reference: u8,
        /// How many groups there are.
        groups: usize,
    },
    /// A backslash in front of something that is neither the delimiter nor a digit from 1 to 9.
    #[error("the replacement has a backslash that escapes neither the delimiter nor a group")]
    Escape,
    /// The number does not match.
    #[error("the expression does not match the number")]
    NoMatch,
    /// The result passes [`MAX_EXPANDED`] octets.
    #[error("the result is longer than {MAX_EXPANDED} octets")]
    TooLong,
}

/// The longest result in octets; back-references can repeat the number far beyond the field's 255 (RFC 5483 §3).
pub const MAX_EXPANDED: usize = 1024;

impl Substitution {
    /// Reads the field as it stands on the wire, with single backslashes.
    ///
    /// # Errors
    /// [`RegexpError`] for every field that RFC 3402 §3.2 does not allow, or whose expression POSIX does not.
    pub fn parse(field: &[u8]) -> Result<Self, RegexpError> {
        let (&delimiter, rest) = field.split_first().ok_or(RegexpError::Empty)?;
        if matches!(delimiter, b'0'..=b'9' | b'i' | b'I' | b'\\' | 0 | 0x80..) {
            return Err(RegexpError::Delimiter(delimiter));
        }
        let parts = split(rest, delimiter);
        let [expression, replacement, flags] = parts.as_slice() else {
            return Err(RegexpError::DelimiterCount(parts.len()));
        };
        if let Some(&flag) = flags.iter().find(|flag| !flag.eq_ignore_ascii_case(&b'i')) {
            return Err(RegexpError::Flag(flag.into()));
        }
        let ignore_case = !flags.is_empty();
        let ere = Ere::compile(&unescape_delimiter(expression, delimiter), ignore_case)?;
        let replacement = pieces(replacement, delimiter, ere.groups())?;
        Ok(Self {
            ere,
            replacement,
            ignore_case,
        })
    }

    /// Applies the expression to the number as it entered ENUM, never to an intermediate result (RFC 3403 §4.1).
    ///
    /// # Errors
    /// [`RegexpError::NoMatch`] and [`RegexpError::TooLong`].
    pub fn apply(&self, aus: &Aus) -> Result<Expanded, RegexpError> {
        let subject = aus.as_str().as_bytes();
        let captures = self.ere.captures(subject).ok_or(RegexpError::NoMatch)?;
        let mut octets = Vec::new();
        for piece in &self.replacement {
            match piece {
                Piece::Octet(octet) => octets.push(*octet),
                // A group that took no part in the match is empty.
                Piece::Group(group) => {
                    octets.extend_from_slice(
                        captures
                            .get((*group).into())
                            .map_or(&[], |group| group.as_bytes()),
                    );
                }
            }
            if octets.len() > MAX_EXPANDED {
                return Err(RegexpError::TooLong);
            }
        }
        let spans_all = captures.get(0).is_some_and(|whole| whole.len() == subject.len());
        Ok(Expanded { octets, spans_all })
    }

    /// Whether the flag `i` is there; it has no effect on a number and should not be provisioned (RFC 6116 §5.1).
    pub fn ignores_case(&self) -> bool {
        self.ignore_case
    }
}

#[derive(Clone, Copy, Debug)]
enum Piece {
    Octet(u8),
    Group(u8),
}

/// The parts between unescaped delimiters, escapes untouched.
fn split(field: &[u8], delimiter: u8) -> Vec<Vec<u8>> {
    let mut parts = vec![Vec::new()];
    let mut escaped = false;
    for &octet in field {
        if octet == delimiter && !escaped {
            parts.push(Vec::new());
            continue;
        }
        escaped = octet == b'\\' && !escaped;
        if let Some(part) = parts.last_mut() {
            part.push(octet);
        }
    }
    parts
}

/// `\!` becomes `!` before the expression is compiled, unless the delimiter is itself special to it: `\|` stays.
fn unescape_delimiter(expression: &[u8], delimiter: u8) -> Vec<u8> {
    if b".[]()*+?{}|^$".contains(&delimiter) {
        return expression.to_vec();
    }
    let mut out = Vec::with_capacity(expression.len());
    let mut octets = expression.iter().copied();
    while let Some(octet) = octets.next() {
        match octet {
            b'\\' => match octets.next() {
                Some(next) if next == delimiter => out.push(next),
                Some(next) => out.extend_from_slice(&[octet, next]),
                None => out.push(octet),
            },
            plain => out.push(plain),
        }
    }
    out
}

fn pieces(replacement: &[u8], delimiter: u8, groups: usize) -> Result<Vec<Piece>, RegexpError> {
    let mut pieces = Vec::with_capacity(replacement.len());
    let mut octets = replacement.iter().copied();
    while let Some(octet) = octets.next() {
        if octet != b'\\' {
            pieces.push(Piece::Octet(octet));
            continue;
        }
        match octets.next() {
            Some(next) if next == delimiter => pieces.push(Piece::Octet(next)),
            Some(digit @ b'1'..=b'9') => {
                let reference = digit - b'0';
                if usize::from(reference) > groups {
                    return Err(RegexpError::NoSuchGroup { reference, groups });
                }
                pieces.push(Piece::Group(reference));
            }
            Some(_) | None => return Err(RegexpError::Escape),
        }
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(field: &str) -> Result<String, RegexpError> {
        let expanded = Substitution::parse(field.as_bytes())?.apply(&Aus::new("447700900123").unwrap())?;
        Ok(String::from_utf8(expanded.octets).unwrap())
    }

    #[test]
    fn references_are_single_digits() {
        assert_eq!(
            result("!^\\+(44)(.*)$!im:\\10@op.example!").unwrap(),
            "im:440@op.example"
        );
        assert_eq!(result("!^\\+44(7700)(.*)$!\\2.\\1!").unwrap(), "900123.7700");
        assert_eq!(result("!^\\+44(x)?(.*)$!a\\1b\\2!").unwrap(), "ab7700900123");
        assert_eq!(result("!^(.*)$!$1!").unwrap(), "$1");
    }

    #[test]
    fn any_legal_delimiter_works_and_can_be_escaped() {
        assert_eq!(result("#^.*$#a#").unwrap(), "a");
        assert_eq!(result("!^.*$!a\\!b!").unwrap(), "a!b");
        assert_eq!(result("|^\\+44.*\\|x$|a|"), Err(RegexpError::NoMatch));
        assert_eq!(result("7a7b7"), Err(RegexpError::Delimiter(b'7')));
        assert_eq!(result("iaibi"), Err(RegexpError::Delimiter(b'i')));
        assert_eq!(result("\\a\\b\\"), Err(RegexpError::Delimiter(b'\\')));
        assert_eq!(result("-^\\-?\\+[[:digit:]]*$-a-").unwrap(), "a");
    }

    #[test]
    fn three_delimiters_and_the_flag_i() {
        assert_eq!(result("!^.*$!a"), Err(RegexpError::DelimiterCount(2)));
        assert_eq!(result("!^.*$!a!b!"), Err(RegexpError::DelimiterCount(4)));
        assert_eq!(result("!^.*$!a!\\!"), Err(RegexpError::Flag('\\')));
        assert_eq!(result("!^.*$!a!g"), Err(RegexpError::Flag('g')));
        assert_eq!(result("!^.*$!A!I").unwrap(), "A");
        assert_eq!(result(""), Err(RegexpError::Empty));
        assert_eq!(result("!!a!"), Err(RegexpError::Ere(EreError::Empty)));
    }

    #[test]
    fn undefined_escapes_and_missing_groups_are_refused() {
        for field in ["!^.*$!\\0!", "!^.*$!\\a!", "!^.*$!\\\\!"] {
            assert_eq!(result(field), Err(RegexpError::Escape), "{field}");
        }
        let missing = RegexpError::NoSuchGroup {
            reference: 2,
            groups: 1,
        };
        assert_eq!(result("!^(.*)$!\\2!"), Err(missing));
    }

    #[test]
    fn result_is_bounded_and_a_partial_match_is_seen() {
        let field = format!("!^(.*)$!{}!", "\\1".repeat(80));
        assert_eq!(result(&field), Err(RegexpError::TooLong));
        let partial = Substitution::parse(b"!44!a!")
            .unwrap()
            .apply(&Aus::new("447700900123").unwrap())
            .unwrap();
        assert!(!partial.spans_all);
    }
}
