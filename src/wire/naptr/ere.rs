//! POSIX extended regular expressions, as RFC 3402 §3.2 asks for, on a linear-time engine.
//!
//! The expression is read token by token and written again in the engine's syntax, so nothing that only the engine
//! knows (`\d`, `(?i)`, lazy repetition, `&&` in brackets) can slip through, and what POSIX leaves undefined is refused
//! by name, but for `{,n}` and an escaped mark such as `\!`, which stands for itself. Text is ASCII. When alternatives match different lengths, the first wins here and
//! the longest in POSIX; no record should depend on that.

use std::fmt::Write;
use std::iter::Peekable;
use std::slice::Iter;

use regex::bytes::{Captures, Regex, RegexBuilder};
use thiserror::Error;

/// A compiled expression.
#[derive(Clone, Debug)]
pub struct Ere {
    regex: Regex,
    groups: usize,
}

/// Why an expression is not used.
#[derive(Clone, Copy, Debug, Eq, Error, Hash, PartialEq)]
pub enum EreError {
    /// There is no expression.
    #[error("the expression is empty")]
    Empty,
    /// An octet above 0x7F, or a NUL.
    #[error("the expression has the octet {0:#04x}, which is not ASCII text")]
    NotAscii(u8),
    /// `+` with nothing before it to repeat, usually `^+44` written for `^\+44`.
    #[error("unescaped + at the start of the expression or of a group; a literal plus is written \\+")]
    UnescapedPlus,
    /// Another repetition with nothing before it to repeat; `(?` begins like this.
    #[error("the repetition {0:?} has nothing to repeat")]
    NothingToRepeat(char),
    /// A repetition of a repetition, which POSIX leaves undefined and Perl reads as lazy or possessive.
    #[error("the repetition {0:?} follows another one")]
    RepeatedRepetition(char),
    /// `{` that does not begin an interval of one or two numbers up to 255.
    #[error("an interval is not {{n}}, {{n,}}, {{,n}} or {{n,m}} with numbers up to 255")]
    Interval,
    /// A group or a bracket without its end. A `)` without a beginning is an ordinary character.
    #[error("{0:?} has no partner")]
    Unbalanced(char),
    /// `()`, `(|a)`, `a||b`, or `|` at an end.
    #[error("a group or an alternative is empty")]
    EmptyAlternative,
    /// `\1` in the expression itself, which POSIX extended expressions do not have.
    #[error("the expression has a back-reference; only the replacement may have one")]
    BackReference,
    /// `\d`, `\w`, `\b` and their like.
    #[error("\\{0} is not POSIX; use a bracket expression such as [[:digit:]]")]
    LetterEscape(char),
    /// A backslash that ends the expression.
    #[error("the expression ends in a backslash")]
    TrailingBackslash,
    /// `[.x.]` or `[=x=]`: there is no collating order for telephone numbers.
    #[error("collating elements and equivalence classes are not used in numbers")]
    Collating,
    /// `[:name:]` with a name that POSIX does not have.
    #[error("a bracket expression names a character class that does not exist")]
    UnknownClass,
    /// A range whose ends are reversed, or are not single characters.
    #[error("a bracket expression has a range that runs backwards or has no end")]
    Range,
    /// The compiled form passes its limit: nested intervals, mostly.
    #[error("the expression is too complex")]
    TooComplex,
}

impl Ere {
    /// Reads and compiles an expression.
    ///
    /// # Errors
    /// [`EreError`] for anything that POSIX does not define; nothing is guessed.
    pub fn compile(expression: &[u8], ignore_case: bool) -> Result<Self, EreError> {
        let (pattern, groups) = translate(expression)?;
        let regex = RegexBuilder::new(&pattern)
            .unicode(false)
            .case_insensitive(ignore_case)
            .dot_matches_new_line(true)
            .size_limit(SIZE_LIMIT)
            .dfa_size_limit(SIZE_LIMIT)
            .build()
            .map_err(|_| EreError::TooComplex)?;
        Ok(Self { regex, groups })
    }

    /// How many groups there are; `\1` is the first.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// The leftmost match.
    pub fn captures<'t>(&self, text: &'t [u8]) -> Option<Captures<'t>> {
        self.regex.captures(text)
    }
}

type Octets<'a> = Peekable<Iter<'a, u8>>;

/// The expression in the engine's syntax, and its number of groups.
fn translate(expression: &[u8]) -> Result<(String, usize), EreError> {
    if expression.is_empty() {
        return Err(EreError::Empty);
    }
    if let Some(&octet) = expression.iter().find(|octet| !octet.is_ascii() || **octet == 0) {
        return Err(EreError::NotAscii(octet));
    }
    let mut translator = Translator {
        out: String::new(),
        before: Before::Start,
        open: 0,
        groups: 0,
    };
    let mut octets = expression.iter().peekable();
    while let Some(&octet) = octets.next() {
        translator.token(octet, &mut octets)?;
    }
    translator.end()
}

struct Translator {
    out: String,
    before: Before,
    open: usize,
    groups: usize,
}

/// What stands in front of the current token.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    /// Nothing: the start of the expression, of a group, or of an alternative.
    Start,
    /// `^` or `$`, which cannot be repeated.
    Anchor,
    /// A character, bracket or group.
    Atom,
    /// A repetition.
    Repetition,
}

impl Translator {
    fn token(&mut self, octet: u8, octets: &mut Octets<'_>) -> Result<(), EreError> {
        match octet {
            b'*' | b'+' | b'?' => self.repetition(octet, char::from(octet).to_string()),
            b'{' => {
                let interval = interval(octets)?;
                self.repetition(octet, interval)
            }
            b'(' => self.group(),
            b')' if self.open > 0 => self.end_group(),
            b'|' => self.alternative(),
            b'^' | b'$' => self.anchor(octet),
            b'.' => self.atom('.'),
            b'[' => self.bracket(octets),
            b'\\' => self.escape(octets.next().copied()),
            literal => self.literal(literal),
        }
    }

    fn end(self) -> Result<(String, usize), EreError> {
        match (self.open, self.before) {
            (0, Before::Start) => Err(EreError::EmptyAlternative),
            (0, Before::Anchor | Before::Atom | Before::Repetition) => Ok((self.out, self.groups)),
            (1.., _) => Err(EreError::Unbalanced('(')),
        }
    }

    fn repetition(&mut self, octet: u8, written: String) -> Result<(), EreError> {
        match self.before {
            Before::Atom => {
                self.out.push_str(&written);
                self.before = Before::Repetition;
                Ok(())
            }
            Before::Repetition => Err(EreError::RepeatedRepetition(octet.into())),
            Before::Start | Before::Anchor if octet == b'+' => Err(EreError::UnescapedPlus),
            Before::Start | Before::Anchor => Err(EreError::NothingToRepeat(octet.into())),
        }
    }

    fn group(&mut self) -> Result<(), EreError> {
        self.open += 1;
        self.groups += 1;
        self.out.push('(');
        self.before = Before::Start;
        Ok(())
    }

    fn end_group(&mut self) -> Result<(), EreError> {
        self.open -= 1;
        if self.before == Before::Start {
            return Err(EreError::EmptyAlternative);
        }
        self.atom(')')
    }

    fn alternative(&mut self) -> Result<(), EreError> {
        if self.before == Before::Start {
            return Err(EreError::EmptyAlternative);
        }
        self.out.push('|');
        self.before = Before::Start;
        Ok(())
    }

    fn anchor(&mut self, octet: u8) -> Result<(), EreError> {
        self.out.push(octet.into());
        self.before = Before::Anchor;
        Ok(())
    }

    fn atom(&mut self, written: char) -> Result<(), EreError> {
        self.out.push(written);
        self.before = Before::Atom;
        Ok(())
    }

    fn literal(&mut self, octet: u8) -> Result<(), EreError> {
        push_literal(&mut self.out, octet);
        self.before = Before::Atom;
        Ok(())
    }

    fn escape(&mut self, octet: Option<u8>) -> Result<(), EreError> {
        match octet {
            None => Err(EreError::TrailingBackslash),
            Some(b'1'..=b'9') => Err(EreError::BackReference),
            Some(octet) if octet.is_ascii_alphanumeric() => Err(EreError::LetterEscape(octet.into())),
            Some(octet) => self.literal(octet),
        }
    }

    fn bracket(&mut self, octets: &mut Octets<'_>) -> Result<(), EreError> {
        self.out.push('[');
        if octets.next_if(|octet| **octet == b'^').is_some() {
            self.out.push('^');
        }
        let mut first = true;
        loop {
            let start = match octets.next().copied() {
                None => return Err(EreError::Unbalanced('[')),
                Some(b']') if !first => break,
                Some(b'[') => match octets.peek() {
                    Some(b':') => {
                        self.class(octets)?;
                        first = false;
                        continue;
                    }
                    Some(b'.' | b'=') => return Err(EreError::Collating),
                    Some(_) | None => b'[',
                },
                Some(octet) => octet,
            };
            first = false;
            push_literal(&mut self.out, start);
            self.range(start, octets)?;
        }
        self.out.push(']');
        self.before = Before::Atom;
        Ok(())
    }

    /// The rest of `start-end`, if that is what follows; a `-` in front of `]` is a character.
    fn range(&mut self, start: u8, octets: &mut Octets<'_>) -> Result<(), EreError> {
        let mut ahead = octets.clone();
        if ahead.next() != Some(&b'-') || matches!(ahead.peek(), None | Some(b']')) {
            return Ok(());
        }
        octets.next();
        let end = octets.next().copied().ok_or(EreError::Unbalanced('['))?;
        if end < start || end == b'[' && matches!(octets.peek(), Some(b'.' | b'=' | b':')) {
            return Err(EreError::Range);
        }
        self.out.push('-');
        push_literal(&mut self.out, end);
        // `a-c-e` has no meaning in POSIX.
        let mut ahead = octets.clone();
        match (ahead.next(), ahead.next()) {
            (Some(b'-'), Some(after)) if *after != b']' => Err(EreError::Range),
            _ => Ok(()),
        }
    }

    fn class(&mut self, octets: &mut Octets<'_>) -> Result<(), EreError> {
        octets.next();
        let mut name = String::new();
        while let Some(octet) = octets.next_if(|octet| octet.is_ascii_alphabetic()) {
            name.push(char::from(*octet));
        }
        let closed = octets.next() == Some(&b':') && octets.next() == Some(&b']');
        if !closed || !CLASSES.contains(&name.as_str()) {
            return Err(EreError::UnknownClass);
        }
        let mut ahead = octets.clone();
        if ahead.next() == Some(&b'-') && ahead.next() != Some(&b']') {
            return Err(EreError::Range);
        }
        self.out.push_str("[:");
        self.out.push_str(&name);
        self.out.push_str(":]");
        Ok(())
    }
}

/// What follows a `{`, in the engine's syntax; `{,n}` is a common extension.
fn interval(octets: &mut Octets<'_>) -> Result<String, EreError> {
    let low = number(octets)?;
    let comma = octets.next_if(|octet| **octet == b',').is_some();
    let high = if comma { number(octets)? } else { low };
    if octets.next() != Some(&b'}') {
        return Err(EreError::Interval);
    }
    match (low, high) {
        (None, None) => Err(EreError::Interval),
        (Some(low), Some(high)) if low > high => Err(EreError::Interval),
        (low, Some(high)) => Ok(format!("{{{},{high}}}", low.unwrap_or(0))),
        (Some(low), None) => Ok(format!("{{{low},}}")),
    }
}

fn number(octets: &mut Octets<'_>) -> Result<Option<u8>, EreError> {
    let mut value = None;
    while let Some(digit) = octets.next_if(|octet| octet.is_ascii_digit()) {
        let tens = value.unwrap_or(0u8).checked_mul(10).ok_or(EreError::Interval)?;
        value = Some(tens.checked_add(digit - b'0').ok_or(EreError::Interval)?);
    }
    Ok(value)
}

/// Everything but letters and digits goes as a hex escape, which is never special to the engine.
fn push_literal(out: &mut String, octet: u8) {
    if octet.is_ascii_alphanumeric() {
        out.push(octet.into());
    } else {
        // Writing to a String cannot fail.
        let _ = write!(out, "\\x{octet:02x}");
    }
}

/// Far above any expression that stands in a real zone, and small enough for a hostile one.
const SIZE_LIMIT: usize = 256 * 1024;

const CLASSES: [&str; 12] = [
    "alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper",
    "xdigit",
];

#[cfg(test)]
mod tests;
