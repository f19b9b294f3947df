//! What the pages name is there: commands with their options, metrics, paths of the admin API, tables of the configuration.
//!
//! Commands are not run here but read by the program's own command line; `tests/by_hand/` runs those of docs/peering.md.

use std::path::Path;

use clap::{CommandFactory, error::ErrorKind};

use super::{
    readme::{pages, read},
    sources::collect,
};

#[test]
fn commands_that_pages_name_are_understood() {
    let mut seen = 0;
    // The changelog also names what is not there yet.
    for page in pages().into_iter().filter(|page| page != "CHANGELOG.md") {
        let text = read(&page);
        for line in blocks(&text, &["text", "sh"])
            .lines()
            .flat_map(|line| line.split("&&"))
        {
            let Some(words) = command(line) else { continue };
            let asked = impsgw::cli::Cli::command().try_get_matches_from(&words);
            assert!(asked.is_ok(), "{page} has {line:?}: {}", asked.unwrap_err());
            seen += 1;
        }
        // In the page of all commands spans are options and their defaults.
        for span in spans(&text)
            .into_iter()
            .filter(|_| page != "docs/reference/cli.md")
        {
            let Some(words) = command(span) else { continue };
            let known = match impsgw::cli::Cli::command().try_get_matches_from(&words) {
                Ok(_) => true,
                // In a sentence a command may stand without its arguments.
                Err(error) => matches!(
                    error.kind(),
                    ErrorKind::MissingRequiredArgument
                        | ErrorKind::MissingSubcommand
                        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                ),
            };
            assert!(known, "{page} names `{span}`, which the program doesn't know");
            seen += 1;
        }
    }
    assert!(seen > 100, "only {seen} commands were found in the pages");
}

#[test]
fn metrics_that_pages_name_are_there() {
    let names = read("docs/reference/metrics.md");
    for page in pages() {
        let text = read(&page);
        for name in text.split(|one: char| !one.is_ascii_lowercase() && one != '_') {
            assert!(
                !name.starts_with("impsgw_") || names.contains(&format!("## `{name}`")),
                "{page} names {name}, which is no metric"
            );
        }
    }
}

#[test]
fn paths_that_pages_name_are_in_the_description_of_the_api() {
    let description: serde_json::Value = serde_json::from_str(&read("src/admin/openapi.json")).unwrap();
    let known = description["paths"].as_object().unwrap();
    for page in pages() {
        let text = read(&page);
        let named = text
            .split(|one: char| !one.is_ascii_alphanumeric() && !"/_.{}".contains(one))
            .filter(|word| word.starts_with("/api/v1/"))
            .map(|word| word.trim_end_matches(['.', '/']));
        for path in named.filter(|path| *path != "/api/v1") {
            assert!(known.contains_key(path), "{page} names {path}, which is no call");
        }
    }
}

#[test]
fn configuration_that_pages_show_is_understood() {
    let example: toml::Table = read("config/alpha.toml").parse().unwrap();
    let mut seen = 0;
    for page in pages() {
        for block in each_block(&read(&page), "toml") {
            let mut whole = example.clone();
            let shown: toml::Table = block.parse().unwrap();
            for (section, value) in shown {
                match (whole.get_mut(&section).and_then(toml::Value::as_table_mut), value) {
                    (Some(known), toml::Value::Table(keys)) => known.extend(keys),
                    (_, value) => {
                        whole.insert(section, value);
                    }
                }
            }
            let mistakes = match impsgw::config::Config::parse(&whole.to_string(), "the page") {
                Ok(_) => String::new(),
                Err(mistakes) => mistakes.to_string(),
            };
            // The files that it names are the reader's own.
            let bad = mistakes
                .lines()
                .find(|line| line.starts_with("the page:") && !line.ends_with(".pem: no such file"));
            assert_eq!(bad, None, "{page} shows\n{block}");
            seen += 1;
        }
    }
    assert!(seen > 0, "no page shows a configuration");
}

#[test]
fn tests_that_the_use_cases_name_are_there() {
    let mut files = Vec::new();
    for folder in ["src", "tests"] {
        collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut files);
    }
    let code: String = files
        .iter()
        .map(|file| std::fs::read_to_string(file).unwrap())
        .collect();
    let page = read("docs/use-cases.md");
    let is_test = |span: &&str| {
        span.matches('_').count() > 1 && span.chars().all(|one| one.is_ascii_alphanumeric() || one == '_')
    };
    let named: Vec<&str> = spans(&page).into_iter().filter(is_test).collect();
    assert!(named.len() > 50, "{named:?}");
    for name in named {
        assert!(
            code.contains(&format!("fn {name}(")),
            "docs/use-cases.md names {name}, which is no test"
        );
    }
}

/// A line's command without its remark; `None` when the line is none, or stands for all commands.
fn command(line: &str) -> Option<Vec<String>> {
    let line = line.trim();
    // Help texts put what a command does behind two spaces, pages behind `#`.
    let line = line.split(" #").next()?.split("  ").next()?;
    let line = line.split(" > ").next()?.trim_end_matches('&').trim();
    let rest = line.strip_prefix("impsgw ")?;
    if rest.contains("COMMAND") || rest.split(' ').next()?.ends_with(':') {
        return None;
    }
    let mut words = vec!["impsgw".to_owned()];
    for (place, part) in rest.split('"').enumerate() {
        if place % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    Some(words)
}

/// All blocks of a page that are marked with one of these words, one after the other.
fn blocks(page: &str, marks: &[&str]) -> String {
    marks.iter().flat_map(|mark| each_block(page, mark)).collect()
}

fn each_block(page: &str, mark: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut fence = None;
    for line in page.lines() {
        match (fence, line.strip_prefix("```")) {
            (None, Some(opened)) => {
                fence = Some(opened);
                if opened == mark {
                    found.push(String::new());
                }
            }
            (Some(_), Some(_)) => fence = None,
            (Some(opened), None) if opened == mark => {
                found.last_mut().unwrap().push_str(&format!("{line}\n"));
            }
            (Some(_) | None, None) => {}
        }
    }
    found
}

/// What stands between single backticks, outside of blocks.
fn spans(page: &str) -> Vec<&str> {
    let mut spans = Vec::new();
    let mut is_block = false;
    for line in page.lines() {
        if line.starts_with("```") {
            is_block = !is_block;
        } else if !is_block {
            spans.extend(line.split('`').skip(1).step_by(2));
        }
    }
    spans
}

#[test]
fn remarks_and_quotes_are_no_words() {
    let words = |line| command(line).unwrap_or_default().join("|");
    assert_eq!(
        words("impsgw check --offline          before a reload"),
        "impsgw|check|--offline"
    );
    assert_eq!(
        words("impsgw cert authority \"Alpha and Beta\" # a test"),
        "impsgw|cert|authority|Alpha and Beta"
    );
    assert_eq!(
        words("impsgw serve --config config/alpha.toml &"),
        "impsgw|serve|--config|config/alpha.toml"
    );
    assert_eq!(words("impsgw lab: two operators on this machine"), "");
    assert_eq!(words("cargo run"), "");
}
