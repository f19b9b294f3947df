//! The tables of `zones/README.md`, read as they stand there.

use std::{collections::BTreeMap, time::Duration};

use impsgw::lab::robots::{CONSENT, FRIENDSHIP, GRANT, LATE, MOOD, REFUSALS, ROBOTS, SLOW};

/// A row, by the names of its columns.
#[derive(Clone, Debug)]
pub(super) struct Row(BTreeMap<String, String>);

impl Row {
    pub(super) fn cell(&self, column: &str) -> &str {
        self.0
            .get(column)
            .unwrap_or_else(|| panic!("there is no column {column}"))
    }

    /// The number, as `+447700900101`.
    pub(super) fn number(&self) -> &str {
        self.cell("number")
    }

    /// The status that a cell begins with.
    pub(super) fn status(&self, column: &str) -> Option<u16> {
        self.cell(column).get(..3)?.parse().ok()
    }

    /// The seconds behind the first `after` of a cell.
    pub(super) fn after(&self, column: &str) -> Duration {
        seconds_behind(self.cell(column), "after ")
    }
}

/// The seconds behind a word; none without it.
pub(super) fn seconds_behind(cell: &str, word: &str) -> Duration {
    let behind = cell.split_once(word).and_then(|(_, rest)| rest.split(' ').next());
    Duration::from_secs(behind.map_or(0, |seconds| seconds.parse().unwrap()))
}

/// The rows below a heading.
pub(super) fn rows(heading: &str) -> Vec<Row> {
    let page = include_str!("../../zones/README.md");
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let cells = |line: &str| -> Vec<String> {
        let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
        inner.split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let mut lines = section.lines().filter(|line| line.starts_with('|'));
    let columns = cells(lines.next().unwrap());
    let rows = lines.skip(1).map(|line| {
        let cells = cells(line);
        assert_eq!(cells.len(), columns.len(), "{line}");
        Row(columns.iter().cloned().zip(cells).collect())
    });
    rows.collect()
}

#[test]
fn table_has_every_robot_and_no_other() {
    let listed: Vec<_> = rows("Robots")
        .iter()
        .filter(|row| row.cell("name") != "nobody")
        .map(|row| {
            let leads_to = row.cell("leads to").to_owned();
            (row.number().to_owned(), row.cell("name").to_owned(), leads_to)
        })
        .collect();
    let there: Vec<_> = ROBOTS
        .iter()
        .map(|robot| {
            let leads_to = format!("{}.example", robot.operator);
            (robot.number.to_owned(), robot.name.to_owned(), leads_to)
        })
        .collect();
    assert_eq!(listed, there);
}

#[test]
fn table_has_every_refusal_and_no_other() {
    let listed: Vec<_> = rows("Numbers that are refused")
        .iter()
        .map(|row| (row.number().to_owned(), row.status("status").unwrap()))
        .collect();
    let number = |status: u16| {
        format!(
            "+447700900{:03}",
            if status < 500 { status - 400 } else { status }
        )
    };
    let there: Vec<_> = REFUSALS.iter().map(|status| (number(*status), *status)).collect();
    assert_eq!(listed, there);
}

#[test]
fn times_of_the_table_are_those_of_the_robots() {
    let rows = rows("Robots");
    let row = |name: &str| rows.iter().find(|row| row.cell("name") == name).unwrap();
    assert_eq!(row("Late").after("report"), LATE);
    for column in ["search", "message", "presence", "invitation", "added"] {
        assert_eq!(row("Slow").after(column), SLOW, "{column}");
    }
    let shy = row("Shy").cell("presence");
    assert_eq!(
        (
            seconds_behind(shy, "online after "),
            seconds_behind(shy, "nothing after ")
        ),
        (CONSENT, GRANT)
    );
    assert_eq!(seconds_behind(row("Moody").cell("presence"), "every "), MOOD);
    assert_eq!(
        seconds_behind(row("Friendly").cell("added"), "back for "),
        FRIENDSHIP
    );
}
