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
    let widths = fitted((0..columns.len()).map(width).collect());
    let mut text = String::new();
    for line in &lines {
        let cells: Vec<Vec<String>> = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| wrapped(cell, *width))
            .collect();
        let height = cells.iter().map(Vec::len).max().unwrap_or(1);
        for row in 0..height {
            let parts: Vec<String> = cells
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{:width$}", cell.get(row).map_or("", String::as_str)))
                .collect();
            text.push_str(parts.join("  ").trim_end());
            text.push('\n');
        }
    }
    print(&text);
}

/// Widths that fit into the output together: the widest columns give way first.
fn fitted(mut widths: Vec<usize>) -> Vec<usize> {
    let gaps = 2 * widths.len().saturating_sub(1);
    loop {
        let total = widths.iter().sum::<usize>() + gaps;
        let Some(widest) = widths.iter_mut().max() else {
            break;
        };
        if total <= WIDTH || *widest <= LEAST {
            break;
        }
        *widest = widest.saturating_sub(total - WIDTH).max(LEAST).max(*widest / 2);
    }
    widths
}

/// Words on lines of at most `width` columns; a longer word has a line of its own.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// Columns of output.
pub(super) const WIDTH: usize = 100;
/// No column is made narrower than this.
const LEAST: usize = 16;

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
            let separator = if parts.iter().any(|part| part.contains([' ', ','])) {
                "; "
            } else {
                ", "
            };
            if parts.is_empty() {
                "-".into()
            } else {
                parts.join(separator)
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
