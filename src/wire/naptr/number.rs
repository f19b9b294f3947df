//! From the text of a telephone number to the Application Unique String of ENUM, and to the name that is asked.
//!
//! Only numbers that are believed to be E.164 may enter ENUM (RFC 6116 §3.7), so every doubt is a typed refusal
//! before any query. National numbers are read only with explicit [`NationalRules`]. Parameters are kept aside.

use std::fmt;

use thiserror::Error;

use super::name::{InvalidName, Name};
use super::portability::{TelParams, TelParamsError};

/// The Application Unique String: `+` and 4 to 15 ASCII digits, the first not zero (RFC 6116 §3.1).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Aus(Box<str>);

/// A telephone number that was read from text, with what stood around it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Number {
    /// The number itself.
    pub aus: Aus,
    /// The parameters after it (`;npdi`, `;rn=`); to be believed from trusted peers only.
    pub params: TelParams,
    /// The domain of `wv:+447700900123@domain`, as written. The number decides the route, because it may have been
    /// ported; the domain serves when no apex knows the number.
    pub domain: Option<String>,
}

/// How one client writes numbers that are not in international form. Nothing is assumed by default.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct NationalRules {
    /// Digits of the country code that replaces the trunk prefix, such as `44`; `None` refuses national numbers.
    pub country_code: Option<String>,
    /// Digits in front of every national number, such as `0`; `None` where the country has none.
    pub trunk_prefix: Option<String>,
    /// Digits that stand for `+`, such as `00`; the longest that fits is taken.
    pub international_prefixes: Vec<String>,
}

/// Why text is not a number that ENUM may be asked for.
#[derive(Clone, Debug, Eq, Error, Hash, PartialEq)]
pub enum NumberError {
    /// There are no digits.
    #[error("there is no number")]
    Empty,
    /// The number is not in international form, and no rule turns it into one.
    #[error("{0:?} is not in international form; write + and the country code, or configure national rules")]
    NotE164(String),
    /// A country code cannot begin with 0 (ITU-T E.164).
    #[error("the number begins with +0, and no country code begins with 0")]
    CountryCodeZero,
    /// Over 15 digits (ITU-T E.164).
    #[error("the number has {0} digits, more than the 15 of E.164")]
    TooLong(usize),
    /// Under 4 digits.
    #[error("the number has {0} digits, fewer than 4")]
    TooShort(usize),
    /// A lone `(0)` after the country code: some writers mean it to be dialled, others to be left out.
    #[error("the (0) after the country code is ambiguous; leave it out if it is a trunk prefix")]
    AmbiguousTrunkZero,
    /// A character that is neither a digit nor one of the separators space, `-`, `.`, `(`, `)`, `/`.
    #[error("the number has the character {0:?}")]
    BadCharacter(char),
    /// `*` or `?`: a pattern of a search, not a number.
    #[error("the number has the wildcard {0:?}; numbers are looked up one by one")]
    Wildcard(char),
    /// The parameters after the number are not well formed.
    #[error("the parameters after the number are not well formed")]
    Params(#[from] TelParamsError),
}

/// Why a number has no name under an apex.
#[derive(Clone, Copy, Debug, Eq, Error, Hash, PartialEq)]
pub enum EnumNameError {
    /// The apex is not a domain name, or the whole is too long.
    #[error("the apex makes no domain name")]
    Name(#[from] InvalidName),
    /// POSITION must leave a digit on both sides of the label `i`.
    #[error("position {0} does not lie inside the number")]
    Position(usize),
}

impl Number {
    /// Reads a number as people and protocols write it: `+44 7700 900123`, `tel:+1(202)555.0123;npdi`,
    /// `wv:+447700900123@op.example`. Separators are dropped, nothing else is.
    ///
    /// # Errors
    /// [`NumberError`], without any DNS query, for everything that is not certainly one E.164 number.
    pub fn parse(text: &str, rules: Option<&NationalRules>) -> Result<Self, NumberError> {
        let text = text.trim_matches(' ');
        // A tel: URI is global or names its own context (RFC 3966 §5.1.4), so rules for dialled text do not apply.
        let (text, rules, is_tel) = match strip_scheme(text, "tel:") {
            Some(rest) => (rest, None, true),
            None => (strip_scheme(text, "wv:").unwrap_or(text), rules, false),
        };
        let (user, domain) = match text.rsplit_once('@') {
            Some((user, domain)) if !is_tel && !domain.is_empty() => (user, Some(domain.to_owned())),
            Some(_) | None => (text, None),
        };
        let (digits, params) = user
            .split_at_checked(user.find(';').unwrap_or(user.len()))
            .unwrap_or((user, ""));
        let aus = Aus::new(&international(digits, rules)?)?;
        Ok(Self {
            aus,
            params: TelParams::parse(params)?,
            domain,
        })
    }
}

impl Aus {
    /// Takes digits without the `+`.
    ///
    /// # Errors
    /// [`NumberError`] when they are not 4 to 15 ASCII digits beginning with a country code.
    pub fn new(digits: &str) -> Result<Self, NumberError> {
        if let Some(bad) = digits.chars().find(|character| !character.is_ascii_digit()) {
            return Err(NumberError::BadCharacter(bad));
        }
        match digits.len() {
            0 => Err(NumberError::Empty),
            _ if digits.starts_with('0') => Err(NumberError::CountryCodeZero),
            short @ 1..4 => Err(NumberError::TooShort(short)),
            4..=15 => Ok(Self(format!("+{digits}").into())),
            long => Err(NumberError::TooLong(long)),
        }
    }

    /// `+` and the digits: what the REGEXP of every record is applied to.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The digits without `+`.
    pub fn digits(&self) -> &str {
        self.0.strip_prefix('+').unwrap_or(&self.0)
    }

    /// The name asked for this number: its digits reversed, a label each, under `apex` (RFC 6116 §3.2).
    ///
    /// # Errors
    /// [`EnumNameError::Name`] when the apex leaves no room for the digits.
    pub fn enum_name(&self, apex: &Name) -> Result<Name, EnumNameError> {
        Ok(join(self.digits().chars().rev(), apex)?)
    }

    /// The name in interim Infrastructure ENUM: the label `i` stands after `position` digits of the number, counted
    /// from its left (RFC 5527 §4).
    ///
    /// # Errors
    /// [`EnumNameError::Position`] when `position` leaves no digit on one side of the label.
    pub fn infrastructure_name(&self, apex: &Name, position: usize) -> Result<Name, EnumNameError> {
        let outside = EnumNameError::Position(position);
        let (country, rest) = self.digits().split_at_checked(position).ok_or(outside)?;
        if country.is_empty() || rest.is_empty() {
            return Err(outside);
        }
        Ok(join(
            rest.chars().rev().chain(['i']).chain(country.chars().rev()),
            apex,
        )?)
    }
}

impl fmt::Display for Aus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn strip_scheme<'a>(text: &'a str, scheme: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(scheme.len())?;
    head.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// The digits of the international form, without `+`.
fn international(text: &str, rules: Option<&NationalRules>) -> Result<String, NumberError> {
    let (written, global) = match text.trim_matches(' ').strip_prefix('+') {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let digits = digits_of(written)?;
    if digits.is_empty() {
        return Err(NumberError::Empty);
    }
    if global {
        refuse_trunk_zero(written, 0)?;
        return Ok(digits);
    }
    let refused = || NumberError::NotE164(text.to_owned());
    let rules = rules.ok_or_else(refused)?;
    let prefixes = rules
        .international_prefixes
        .iter()
        .filter(|prefix| !prefix.is_empty());
    let rests = prefixes.filter_map(|prefix| digits.strip_prefix(prefix.as_str()));
    if let Some(rest) = rests.min_by_key(|rest| rest.len()) {
        refuse_trunk_zero(written, digits.len() - rest.len())?;
        return Ok(rest.to_owned());
    }
    let country_code = rules.country_code.as_deref().ok_or_else(refused)?;
    let national = digits
        .strip_prefix(rules.trunk_prefix.as_deref().unwrap_or(""))
        .ok_or_else(refused)?;
    Ok(format!("{country_code}{national}"))
}

fn digits_of(text: &str) -> Result<String, NumberError> {
    let mut digits = String::with_capacity(16);
    for character in text.chars() {
        match character {
            '0'..='9' => digits.push(character),
            ' ' | '-' | '.' | '(' | ')' | '/' => {}
            '*' | '?' => return Err(NumberError::Wildcard(character)),
            other => return Err(NumberError::BadCharacter(other)),
        }
    }
    Ok(digits)
}

/// A lone zero in parentheses is a trunk prefix only right after the country code, which has one to three digits.
/// `prefix` is how many digits stand for `+`.
fn refuse_trunk_zero(text: &str, prefix: usize) -> Result<(), NumberError> {
    let mut seen = 0usize;
    for (before, group) in text.split('(').zip(text.split('(').skip(1)) {
        seen += before.bytes().filter(u8::is_ascii_digit).count();
        let inside = group.split_once(')').map(|(inside, _)| inside.trim_matches(' '));
        if inside == Some("0") && matches!(seen.saturating_sub(prefix), 1..=3) {
            return Err(NumberError::AmbiguousTrunkZero);
        }
    }
    Ok(())
}

fn join(labels: impl Iterator<Item = char>, apex: &Name) -> Result<Name, InvalidName> {
    let mut text = String::with_capacity(apex.as_str().len() + 32);
    for label in labels {
        text.push(label);
        text.push('.');
    }
    text.push_str(apex.without_dot());
    text.parse()
}

#[cfg(test)]
mod tests;
