//! The master-file format (RFC 1035 §5, `$TTL` of RFC 2308 §4): text in, records with their line numbers out.
//!
//! One bad line does not hide the others: everything readable is returned beside the faults, because the validator
//! wants all of both. The server takes a file only when there is no fault. Fields keep their raw spelling, so that
//! mistakes in quoting and backslashes can still be seen.

use std::fmt;

use thiserror::Error;

use super::records::{Entry, typed};
use crate::wire::naptr::Name;

/// What a zone file holds.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    /// The records, in the order of the file; those whose data cannot be read are missing.
    pub entries: Vec<Entry>,
    /// What cannot be read, in the order of the file.
    pub faults: Vec<Fault>,
}

/// A line that is not zone text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub kind: FaultKind,
}

/// Why a line cannot be read.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum FaultKind {
    /// A `"` without its second one.
    #[error("a quoted text has no end")]
    Quote,
    /// `(` without `)`, or the other way round.
    #[error("parentheses do not match")]
    Parenthesis,
    /// `$INCLUDE`, `$GENERATE`, or a directive that does not exist.
    #[error("{0} is not supported here; write the records out")]
    Directive(String),
    /// `$TTL` or `$ORIGIN` without a value that can be read.
    #[error("{0} needs one value")]
    DirectiveValue(String),
    /// A blank at the start of the first record's line.
    #[error("the record has no owner: no record stands before it")]
    NoOwner,
    /// A relative name and no `$ORIGIN`.
    #[error("the name {0:?} is relative and there is no $ORIGIN; end it with a dot")]
    NoOrigin(String),
    /// Something that is not a domain name.
    #[error("{0:?} is not a domain name")]
    BadName(String),
    /// Neither the record nor `$TTL` nor an earlier record has one.
    #[error("the record has no TTL; begin the file with $TTL")]
    NoTtl,
    /// Another class than IN.
    #[error("class {0} is not served; only IN is")]
    Class(String),
    /// The line ends before the type.
    #[error("the record has no type")]
    NoType,
    /// A type that is not known.
    #[error("{0:?} is not a record type that can be served")]
    UnknownType(String),
    /// The fields after the type.
    #[error("bad {rtype} record: {reason}")]
    Data {
        /// The type's mnemonic.
        rtype: String,
        /// What is wrong with its fields.
        reason: String,
        /// The fields as they are written, for advice.
        fields: Vec<String>,
    },
}

/// Reads a whole file. `origin` is what relative names are completed with until the first `$ORIGIN`.
pub fn parse(text: &str, origin: Option<&Name>) -> Parsed {
    let mut reader = Reader {
        origin: origin.cloned(),
        default_ttl: None,
        last_ttl: None,
        last_owner: None,
    };
    let mut parsed = Parsed::default();
    for line in logical_lines(text) {
        let read = line.and_then(|line| {
            let at = line.line;
            reader.read(line).map_err(|kind| Fault { line: at, kind })
        });
        match read {
            Ok(Some(entry)) => parsed.entries.push(entry),
            Ok(None) => {}
            Err(fault) => parsed.faults.push(fault),
        }
    }
    parsed
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.kind)
    }
}

/// What carries over from line to line.
struct Reader {
    origin: Option<Name>,
    default_ttl: Option<u32>,
    last_ttl: Option<u32>,
    last_owner: Option<Name>,
}

impl Reader {
    fn read(&mut self, line: Logical) -> Result<Option<Entry>, FaultKind> {
        let Some(first) = line.tokens.first() else {
            return Ok(None);
        };
        if first.starts_with('$') {
            return self.directive(first, &line.tokens).map(|()| None);
        }
        let mut tokens = line.tokens.into_iter();
        if !line.blank {
            // A bad owner must not leave the next blank line with the owner before it.
            self.last_owner = None;
            self.last_owner = Some(self.absolute(&tokens.next().unwrap_or_default())?);
        }
        let owner = self.last_owner.clone().ok_or(FaultKind::NoOwner)?;
        let (ttl, rtype) = ttl_and_type(&mut tokens)?;
        let ttl = ttl
            .or(self.default_ttl)
            .or(self.last_ttl)
            .ok_or(FaultKind::NoTtl)?;
        self.last_ttl = Some(ttl);
        let fields: Vec<String> = tokens.collect();
        let data = typed(&rtype, &fields, |text| self.absolute(text))?;
        Ok(Some(Entry {
            line: line.line,
            owner,
            ttl,
            data,
            fields,
        }))
    }

    fn directive(&mut self, name: &str, tokens: &[String]) -> Result<(), FaultKind> {
        let value = tokens.get(1).filter(|_| tokens.len() == 2);
        let wrong = || FaultKind::DirectiveValue(name.to_owned());
        match name.to_ascii_uppercase().as_str() {
            "$TTL" => self.default_ttl = Some(value.and_then(|text| seconds(text)).ok_or_else(wrong)?),
            "$ORIGIN" => self.origin = Some(self.absolute(value.ok_or_else(wrong)?)?),
            _ => return Err(FaultKind::Directive(name.to_owned())),
        }
        Ok(())
    }

    fn absolute(&self, text: &str) -> Result<Name, FaultKind> {
        let bad = || FaultKind::BadName(text.to_owned());
        let no_origin = || FaultKind::NoOrigin(text.to_owned());
        if text == "@" {
            return self.origin.clone().ok_or_else(no_origin);
        }
        let escaped = text
            .strip_suffix('.')
            .is_some_and(|cut| cut.bytes().rev().take_while(|&octet| octet == b'\\').count() % 2 == 1);
        if text.ends_with('.') && !escaped {
            return text.parse().map_err(|_| bad());
        }
        let origin = self.origin.as_ref().ok_or_else(no_origin)?;
        let joined = if origin.is_root() {
            format!("{text}.")
        } else {
            format!("{text}.{origin}")
        };
        joined.parse().map_err(|_| bad())
    }
}

/// TTL and class may stand in either order, each once, before the type.
fn ttl_and_type(tokens: &mut impl Iterator<Item = String>) -> Result<(Option<u32>, String), FaultKind> {
    let mut found = None;
    for token in tokens {
        if found.is_none()
            && let Some(value) = seconds(&token)
        {
            found = Some(value);
            continue;
        }
        let upper = token.to_ascii_uppercase();
        match upper.as_str() {
            "IN" => {}
            "CH" | "HS" | "CS" | "ANY" => return Err(FaultKind::Class(upper)),
            _ => return Ok((found, upper)),
        }
    }
    Err(FaultKind::NoType)
}

/// Seconds, or the customary `1w2d3h4m5s`.
pub(super) fn seconds(text: &str) -> Option<u32> {
    let mut total: u32 = 0;
    let mut digits = String::new();
    if !text.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    for letter in text.chars() {
        if letter.is_ascii_digit() {
            digits.push(letter);
            continue;
        }
        let unit: u32 = match letter.to_ascii_lowercase() {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return None,
        };
        total = total.checked_add(digits.parse::<u32>().ok()?.checked_mul(unit)?)?;
        digits.clear();
    }
    if digits.is_empty() {
        Some(total)
    } else {
        total.checked_add(digits.parse().ok()?)
    }
}

/// One record or directive; parentheses join several lines of the file into one.
struct Logical {
    line: usize,
    blank: bool,
    tokens: Vec<String>,
}

/// Cuts the text into lines of raw tokens: quotes and backslashes stay, comments go.
fn logical_lines(text: &str) -> Vec<Result<Logical, Fault>> {
    let mut out = Vec::new();
    let mut current: Option<Logical> = None;
    for (index, line) in text.lines().enumerate() {
        let at = index + 1;
        let mut logical = current.take();
        let mut open = logical.is_some();
        let target = logical.get_or_insert_with(|| Logical {
            line: at,
            blank: line.starts_with([' ', '\t']),
            tokens: Vec::new(),
        });
        match tokens(line, &mut open, &mut target.tokens) {
            Err(kind) => out.push(Err(Fault { line: at, kind })),
            Ok(()) if open => current = logical,
            Ok(()) => out.extend(logical.map(Ok)),
        }
    }
    if let Some(unfinished) = current {
        out.push(Err(Fault {
            line: unfinished.line,
            kind: FaultKind::Parenthesis,
        }));
    }
    out
}

fn tokens(line: &str, open: &mut bool, out: &mut Vec<String>) -> Result<(), FaultKind> {
    let mut letters = line.chars();
    let mut token = String::new();
    let mut quoted = false;
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => {
                token.push(letter);
                token.extend(letters.next());
            }
            '"' => {
                quoted = !quoted;
                token.push(letter);
            }
            _ if quoted => token.push(letter),
            ';' => break,
            '(' | ')' | ' ' | '\t' | '\r' => {
                out.extend(Some(std::mem::take(&mut token)).filter(|token| !token.is_empty()));
                match letter {
                    '(' if *open => return Err(FaultKind::Parenthesis),
                    '(' => *open = true,
                    ')' if !*open => return Err(FaultKind::Parenthesis),
                    ')' => *open = false,
                    _ => {}
                }
            }
            other => token.push(other),
        }
    }
    out.extend(Some(token).filter(|token| !token.is_empty()));
    if quoted { Err(FaultKind::Quote) } else { Ok(()) }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
