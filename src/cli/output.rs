//! What commands print: tables for people, JSON for programs, complaints on standard error.

use std::{
    borrow::Cow,
    io::{self, IsTerminal, Write},
};

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
    let text = harmless(text);
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    if !text.ends_with('\n') {
        let _ = out.write_all(b"\n");
    }
    let _ = out.flush();
}

/// Prints JSON.
pub(super) fn print_json(value: &Value) {
    // What JSON leaves as it is and a terminal may obey stands within strings, where \u escapes are JSON too.
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    let escaped = text.chars().map(|c| match c {
        '\n' => "\n".to_owned(),
        c if is_command(c) => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    });
    print(&escaped.collect::<String>());
}

/// Says on standard error what went wrong.
pub(super) fn complain(failure: &Failure) {
    let (Failure::Bad(text) | Failure::Usage(text)) = failure;
    if !text.is_empty() {
        let _ = writeln!(io::stderr(), "impsgw: {}", harmless(text));
    }
}

/// Names of peers and people, records and reasons come from strangers: what a terminal would obey is shown instead.
fn harmless(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| c != '\n' && is_command(c)) {
        return Cow::Borrowed(text);
    }
    let shown = |c: char| match c {
        '\n' => "\n".to_owned(),
        c if is_command(c) => c.escape_unicode().to_string(),
        c => c.to_string(),
    };
    Cow::Owned(text.chars().map(shown).collect())
}

/// Control characters, and those that change the direction of what stands beside them.
fn is_command(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A column: its head, and how a cell is read from a row.
pub(super) type Column<'a> = (&'a str, &'a dyn Fn(&Value) -> String);

/// Prints a list of objects as a table; `none` when there are none.
pub(super) fn print_table(rows: &[Value], columns: &[Column<'_>], none: &str) {
    if rows.is_empty() {
        print(none);
    } else {
        print(&table(rows, columns));
    }
}

/// A list of objects as a table. On a terminal it keeps within the screen; for `grep` and the like a row is a line.
pub(super) fn table(rows: &[Value], columns: &[Column<'_>]) -> String {
    let room = if io::stdout().is_terminal() {
        WIDTH
    } else {
        usize::MAX
    };
    table_within(rows, columns, room)
}

fn table_within(rows: &[Value], columns: &[Column<'_>], room: usize) -> String {
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
    let least = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        let words = cells.flat_map(|cell| cell.split(' ').map(|word| word.chars().count()));
        words.max().unwrap_or(0)
    };
    let widths = fitted(
        (0..columns.len()).map(|column| (width(column), least(column))),
        room,
    );
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
    text
}

/// Widths that fit into the room together: the widest column that can still be broken between words gives way first.
fn fitted(columns: impl Iterator<Item = (usize, usize)>, room: usize) -> Vec<usize> {
    let mut columns: Vec<(usize, usize)> = columns.collect();
    let gaps = 2 * columns.len().saturating_sub(1);
    loop {
        let total = columns.iter().map(|(width, _)| width).sum::<usize>() + gaps;
        let breakable = columns.iter_mut().filter(|(width, least)| width > least);
        match breakable.max_by_key(|(width, _)| *width) {
            Some((width, least)) if total > room => {
                *width = width.saturating_sub(total - room).max(*least).max(*width / 2);
            }
            Some(_) | None => return columns.into_iter().map(|(width, _)| width).collect(),
        }
    }
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
        Some(Value::String(text)) => one_line(text),
        Some(Value::Array(list)) => {
            let parts: Vec<String> = list
                .iter()
                .map(|one| one.as_str().map_or_else(|| one.to_string(), one_line))
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

/// Without ends of lines, so that nobody's name looks like another row.
fn one_line(text: &str) -> String {
    harmless(text).replace('\n', "\\u{a}")
}

/// A cell with a time.
pub(super) fn time(value: &Value, key: &str) -> String {
    match value.get(key).and_then(Value::as_u64) {
        Some(millis) => Timestamp(millis).to_string(),
        None => "-".into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn terminal_obeys_no_stranger() {
        assert_eq!(
            harmless("Bea\u{1b}[2J\u{202e}\u{9b}31m ö\n"),
            "Bea\\u{1b}[2J\\u{202e}\\u{9b}31m ö\n"
        );
        assert!(matches!(harmless("Bea"), Cow::Borrowed(_)));
    }

    #[test]
    fn stranger_adds_no_row() {
        let rows = [json!({ "name": "Bea\nforged row", "more": ["a\rb"] })];
        let text = table_within(
            &rows,
            &[
                ("NAME", &|row| cell(row, "name")),
                ("MORE", &|row| cell(row, "more")),
            ],
            100,
        );
        assert_eq!(text, "NAME                MORE\nBea\\u{a}forged row  a\\u{d}b\n");
    }

    #[test]
    fn table_keeps_within_the_screen_and_breaks_no_word() {
        let rows =
            [json!({ "name": "6.5.4.0.0.9.0.0.7.7.4.4.e164enum.net", "holds": "word ".repeat(30).trim() })];
        let columns: &[Column<'_>] = &[
            ("NAME", &|row| cell(row, "name")),
            ("HOLDS", &|row| cell(row, "holds")),
        ];
        let narrow = table_within(&rows, columns, 80);
        assert!(narrow.lines().count() > 3, "{narrow}");
        assert!(narrow.lines().all(|line| line.len() <= 80), "{narrow}");
        assert_eq!(table_within(&rows, columns, usize::MAX).lines().count(), 2);
    }
}
