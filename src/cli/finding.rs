//! What `impsgw check` and `impsgw probe` found: one line a thing that was tried, with what to do when it is not well.

use std::fmt::Write;

use serde::Serialize;
use serde_json::{Value, json};

use super::output::{WIDTH, wrapped};

/// How one thing stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Grade {
    /// Well.
    Ok,
    /// It works, and somebody should look at it.
    Warn,
    /// It does not work.
    Fail,
    /// It was not tried, because something before it failed or was not asked for.
    Skip,
}

/// One thing that was tried.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    pub(super) grade: Grade,
    pub(super) about: String,
    pub(super) what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advice: Option<String>,
}

/// Everything that was tried, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings(pub(super) Vec<Finding>);

impl Findings {
    pub(super) fn ok(&mut self, about: &str, what: impl Into<String>) {
        self.add(Grade::Ok, about, what.into(), None);
    }

    pub(super) fn warn(&mut self, about: &str, what: impl Into<String>, advice: impl Into<String>) {
        self.add(Grade::Warn, about, what.into(), Some(advice.into()));
    }

    pub(super) fn fail(&mut self, about: &str, what: impl Into<String>, advice: impl Into<String>) {
        self.add(Grade::Fail, about, what.into(), Some(advice.into()));
    }

    pub(super) fn skip(&mut self, about: &str, what: impl Into<String>) {
        self.add(Grade::Skip, about, what.into(), None);
    }

    fn add(&mut self, grade: Grade, about: &str, what: String, advice: Option<String>) {
        self.0.push(Finding {
            grade,
            about: about.to_owned(),
            what,
            advice,
        });
    }

    pub(super) fn count(&self, grade: Grade) -> usize {
        self.0.iter().filter(|one| one.grade == grade).count()
    }

    /// Whether nothing failed.
    pub(super) fn is_good(&self) -> bool {
        self.count(Grade::Fail) == 0
    }

    /// A table of at most 100 columns; the advice stands below what it is about.
    pub(super) fn table(&self) -> String {
        let about = self
            .0
            .iter()
            .map(|one| one.about.chars().count())
            .max()
            .unwrap_or(0)
            .min(24);
        let mut text = String::new();
        for one in &self.0 {
            let grade = match one.grade {
                Grade::Ok => "ok",
                Grade::Warn => "WARN",
                Grade::Fail => "FAIL",
                Grade::Skip => "-",
            };
            let indent = 6 + about + 2;
            let mut lines = wrapped(&one.what, WIDTH - indent).into_iter();
            let first = lines.next().unwrap_or_default();
            let _ = writeln!(text, "{grade:<4}  {:<about$}  {first}", one.about);
            let advice = one
                .advice
                .iter()
                .flat_map(|advice| wrapped(&format!("→ {advice}"), WIDTH - indent));
            for line in lines.chain(advice) {
                let _ = writeln!(text, "{:indent$}{line}", "");
            }
        }
        let _ = write!(
            text,
            "{} ok, {} to look at, {} failed",
            self.count(Grade::Ok),
            self.count(Grade::Warn),
            self.count(Grade::Fail)
        );
        text
    }

    /// For `--json`: the findings, and whether nothing failed.
    pub(super) fn json(&self) -> Value {
        json!({ "good": self.is_good(), "findings": self.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_keeps_within_a_hundred_columns() {
        let mut findings = Findings::default();
        findings.ok("beta.example", "word ".repeat(60));
        findings.fail("alpha", "short", "advice ".repeat(40));
        let table = findings.table();
        assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");
        assert!(table.ends_with("1 ok, 0 to look at, 1 failed"), "{table}");
        assert!(!findings.is_good());
    }
}
