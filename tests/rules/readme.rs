//! The README's commands and transcript: what it says that the lab prints is what the lab prints.

use std::{collections::HashSet, fs, path::Path, process::Command};

#[test]
fn lab_prints_what_the_readme_shows() {
    let page = read("README.md");
    let (_, rest) = page.split_once("cargo run --release -- lab\n```").unwrap();
    let (_, rest) = rest.split_once("```text\n").unwrap();
    let (shown, _) = rest.split_once("```").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_impsgw"))
        .args(["lab", "--once"])
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{printed}");
    let lines: HashSet<String> = printed.lines().map(without_times).collect();
    for line in shown.lines().filter(|line| !line.is_empty() && *line != "...") {
        assert!(
            lines.contains(&without_times(line)),
            "the lab does not print {line:?}:\n{printed}"
        );
    }
}

#[test]
fn pages_lead_to_files_that_are_there() {
    for page in pages() {
        let folder = root().join(&page).parent().unwrap().to_owned();
        for link in read(&page)
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let is_elsewhere = link.starts_with("http") || link.starts_with('#');
            let link = link.split('#').next().unwrap_or(link);
            assert!(
                is_elsewhere || folder.join(link).exists(),
                "{page} leads to {link}, which is not there"
            );
        }
    }
}

/// All pages, as paths from the root.
pub(super) fn pages() -> Vec<String> {
    let mut pages = vec![
        "README.md".to_owned(),
        "CHANGELOG.md".into(),
        "CONTRIBUTING.md".into(),
        "zones/README.md".into(),
        "certs/README.md".into(),
    ];
    for folder in ["docs", "docs/decisions", "docs/reference"] {
        let entries = fs::read_dir(root().join(folder)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        pages.extend(
            names
                .filter(|name| name.ends_with(".md"))
                .map(|name| format!("{folder}/{name}")),
        );
    }
    pages
}

/// A line with `#` for each time in it.
fn without_times(line: &str) -> String {
    let is_time = |word: &str| word.trim_start_matches('(').parse::<f64>().is_ok();
    let words: Vec<&str> = line.split(' ').collect();
    let mut kept = Vec::new();
    for (place, word) in words.iter().enumerate() {
        let unit = words.get(place + 1).copied().unwrap_or_default();
        kept.push(if unit.starts_with("ms") && is_time(word) {
            "#"
        } else {
            word
        });
    }
    kept.join(" ")
}

/// A file of the sources.
pub(super) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
