//! The mistakes that ENUM operators make, found before a partner finds them.
//!
//! Files are checked together, so that a non-terminal record or an SRV target may lead from one into another. Every
//! finding has a file, a line, what is wrong, and what to do. An error breaks routing for somebody; a warning works
//! today and is fragile. What lies outside the given files is not looked up: the check needs no network.

mod backslash;
mod chain;
mod index;
mod mistake;
mod naptr;
mod person;
mod reach;
mod structure;

use std::fmt;

use serde::Serialize;

pub use mistake::{Mistake, Severity};

use self::index::Index;
use super::text::{FaultKind, Parsed, parse};
use crate::wire::naptr::Name;

/// One zone file to check.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Source {
    /// How findings name it.
    pub file: String,
    /// What relative names are completed with until `$ORIGIN`.
    pub origin: Option<Name>,
    /// Its contents.
    pub text: String,
}

/// Everything that was found.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Report {
    /// The files that were checked.
    pub files: Vec<String>,
    /// In the order of files and lines.
    pub findings: Vec<Finding>,
}

/// One mistake in one place.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Finding {
    /// As it was given.
    pub file: String,
    /// Counted from 1; 1 as well when the whole file is meant.
    pub line: usize,
    /// Whether it breaks something.
    pub severity: Severity,
    /// Its name for scripts.
    pub mistake: Mistake,
    /// What is wrong here.
    pub message: String,
    /// What to do about it.
    pub advice: &'static str,
}

/// Checks files together.
pub fn check(sources: &[Source]) -> Report {
    let parsed: Vec<Parsed> = sources
        .iter()
        .map(|source| parse(&source.text, source.origin.as_ref()))
        .collect();
    let index = Index::new(&parsed);
    let mut found = Found::default();
    for (file, parsed) in parsed.iter().enumerate() {
        faults(file, parsed, &mut found);
        structure::check(file, parsed, &index, &mut found);
    }
    for located in index.entries() {
        naptr::check(located, &index, &mut found);
        reach::check(located, &index, &mut found);
    }
    chain::check(&index, &mut found);
    found.report(sources)
}

impl Report {
    /// Whether there is an error; warnings alone are good.
    pub fn is_bad(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// How many findings have this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        let counted =
            |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
        write!(
            f,
            "{}, {}, {}",
            counted(self.files.len(), "file"),
            counted(self.count(Severity::Error), "error"),
            counted(self.count(Severity::Warning), "warning")
        )
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            severity,
            mistake,
            message,
            advice,
        } = self;
        write!(f, "{file}:{line}: {severity} {mistake}: {message}\n    {advice}")
    }
}

/// Findings while they are gathered, by the file's place in the list.
#[derive(Default)]
struct Found(Vec<(usize, usize, Mistake, String)>);

impl Found {
    fn add(&mut self, file: usize, line: usize, mistake: Mistake, message: impl Into<String>) {
        self.0.push((file, line, mistake, message.into()));
    }

    fn report(mut self, sources: &[Source]) -> Report {
        self.0.sort();
        self.0.dedup();
        let file = |at: usize| {
            sources
                .get(at)
                .map(|source| source.file.clone())
                .unwrap_or_default()
        };
        let findings = self.0.into_iter().map(|(at, line, mistake, message)| Finding {
            file: file(at),
            line,
            severity: mistake.severity(),
            mistake,
            message,
            advice: mistake.advice(),
        });
        Report {
            findings: findings.collect(),
            files: sources.iter().map(|source| source.file.clone()).collect(),
        }
    }
}

/// What cannot be read; a broken escape in an expression is named for what it is.
fn faults(file: usize, parsed: &Parsed, found: &mut Found) {
    for fault in &parsed.faults {
        if let FaultKind::Data { rtype, fields, .. } = &fault.kind
            && rtype == "NAPTR"
            && let Some(raw) = fields.get(4)
            && let Some(mistake) = backslash::in_raw(raw)
            // A warning must not stand for what the server refuses.
            && mistake.severity() == Severity::Error
        {
            found.add(
                file,
                fault.line,
                mistake,
                format!("the expression {raw} cannot be read"),
            );
            continue;
        }
        found.add(file, fault.line, Mistake::Syntax, fault.kind.to_string());
    }
}
