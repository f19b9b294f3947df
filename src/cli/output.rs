//! What commands print: tables for people, JSON for programs, complaints on standard error.

use std::io::{self, Write};

use serde_json::Value;

use crate::model::Timestamp;

/// Why a command did not come to a good end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Failure {
    /// The thing asked about is bad; empty when that was printed already.
    Bad(String),
    /// The command can't be understood.
    Usage(String),
}

/// How a command ends.
pub(super) type Done = Result<(), Failure>;

/// Prints text. A reader that has gone away (`| head`) is no failure.
pub(super) fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    if !text.ends_with('\n') {
        let _ = out.write_all(b"\n");
    }
    let _ = out.flush();
}

/// Prints JSON.
pub(super) fn print_json(value: &Value) {
    print(&serde_json::to_string_pretty(value).unwrap_or_default());
}

/// Says on standard error what went wrong.
pub(super) fn complain(failure: &Failure) {
    let (Failure::Bad(text) | Failure::Usage(text)) = failure;
    if !text.is_empty() {
        let _ = writeln!(io::stderr(), "impsgw: {text}");
    }
}

/// A column: its head, and how a cell is read from a row.
pub(super) type Column<'a> = (&'a str, &'a dyn Fn(&Value) -> String);

/// Prints a list of objects as a table; `none` when there are none.
pub(super) fn print_table(rows: &[Value], columns: &[Column<'_>], none: &str) {
    if rows.is_empty() {
        print(none);
        return;
    }
    let head: Vec<String> = columns.iter().map(|(head, _)| (*head).to_owned()).collect();
    let lines: Vec<Vec<String>> = std::iter::once(head)
        .chain(
            rows.iter()
                .map(|row| columns.iter().map(|(_, cell)| cell(row)).collect()),
        )
        .collect();
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let cells: Vec<String> = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    print(&text);
}

/// The rows below a key.
pub(super) fn rows(value: &Value, key: &str) -> Vec<Value> {
    value
        .get(key)
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default()
}

/// A cell: the text or number below a key, `-` when there is none.
pub(super) fn cell(value: &Value, key: &str) -> String {
    match value.get(key) {
        None | Some(Value::Null) => "-".into(),
        Some(Value::String(text)) if text.is_empty() => "-".into(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(list)) => {
            let parts: Vec<String> = list
                .iter()
                .map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned))
                .collect();
            if parts.is_empty() {
                "-".into()
            } else {
                parts.join("; ")
            }
        }
        Some(other) => other.to_string(),
    }
}

/// A cell with a time.
pub(super) fn time(value: &Value, key: &str) -> String {
    match value.get(key).and_then(Value::as_u64) {
        Some(millis) => Timestamp(millis).to_string(),
        None => "-".into(),
    }
}
