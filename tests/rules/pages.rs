//! Pages that are made from the sources are current, and the map names every folder.

use std::{fs, path::Path};

use super::sources::folders;

#[test]
fn architecture_names_every_folder() {
    let page = read("docs/architecture.md");
    let missing: Vec<String> = folders()
        .into_iter()
        .filter(|folder| !page.contains(&format!("`{folder}/`")))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/architecture.md has nothing on {missing:?}"
    );
}

#[test]
fn architecture_names_no_file_that_is_gone() {
    let page = read("docs/architecture.md");
    let gone: Vec<&str> = page
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| word.starts_with("src/") && !root().join(word).exists())
        .collect();
    assert!(gone.is_empty(), "docs/architecture.md names {gone:?}");
}

#[test]
fn metrics_page_is_current() {
    let path = root().join("docs/reference/metrics.md");
    let wanted = metrics_page(&read("src/telemetry/names.rs"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &wanted).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/reference/metrics.md is old; UPDATE_GOLDEN=1 cargo test --test main rules"
    );
}

/// One paragraph a metric: the doc comment of its name.
fn metrics_page(names: &str) -> String {
    let mut page = String::from(
        "# Metrics\n\nGenerated from `src/telemetry/names.rs`. `/metrics` on the admin listener serves them in the OpenMetrics text \
         form; it needs a token unless the listener is on loopback.\n",
    );
    let mut doc: Vec<&str> = Vec::new();
    for line in names.lines() {
        if let Some(text) = line.strip_prefix("/// ") {
            doc.push(text);
        } else if let Some((_, name)) = line.split_once("&str = \"") {
            let name = name.trim_end_matches("\";");
            page.push_str(&format!("\n## `{name}`\n\n{}\n", doc.join("\n")));
            doc.clear();
        }
    }
    page
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_default()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
