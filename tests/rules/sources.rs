//! The sources as the rules read them: code without comments, and the rooms of the crate that it names.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A file below `src/`.
pub(super) struct Source {
    /// Below `src/`, such as `routing/router.rs`.
    pub(super) path: String,
    /// Its room: the first folder, or the file's own name.
    pub(super) room: String,
    /// Without comments and the contents of texts.
    pub(super) code: String,
}

/// Every Rust file below `src/`.
pub(super) fn all() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    let source = |path: PathBuf| {
        let below = path
            .strip_prefix(&root)
            .unwrap()
            .to_string_lossy()
            .replace('\\', "/");
        let room = below
            .split('/')
            .next()
            .unwrap()
            .trim_end_matches(".rs")
            .to_owned();
        Source {
            path: below,
            room,
            code: code_only(&fs::read_to_string(&path).unwrap()),
        }
    };
    files.into_iter().map(source).collect()
}

/// The folders of `src/`.
pub(super) fn folders() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut names: Vec<String> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// The paths into the crate that a code names, such as `wire::naptr::Name`; groups are taken apart.
pub(super) fn crate_paths(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let is_whole =
            !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':' || c == '$');
        if is_whole {
            expand(&code[at + "crate::".len()..], "", &mut paths);
        }
    }
    paths
}

/// Reads one path, or a group in braces, after `prefix`; returns how many octets it took.
fn expand(text: &str, prefix: &str, paths: &mut Vec<String>) -> usize {
    let name_end = |text: &str| {
        text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '*'))
            .unwrap_or(text.len())
    };
    let start = text.len() - text.trim_start().len();
    let rest = &text[start..];
    if let Some(group) = rest.strip_prefix('{') {
        let mut taken = start + 1;
        let mut inner = group;
        loop {
            let used = expand(inner, prefix, paths);
            inner = &inner[used..];
            taken += used;
            let skipped = inner.len()
                - inner
                    .trim_start_matches(|c: char| c.is_whitespace() || c == ',')
                    .len();
            inner = &inner[skipped..];
            taken += skipped;
            if inner.starts_with('}') {
                return taken + 1;
            }
            assert!(
                used + skipped > 0,
                "a use group that is not understood: {inner:.60}"
            );
        }
    }
    let end = name_end(rest);
    let path = format!("{prefix}{}", &rest[..end]);
    if let Some(deeper) = rest[end..].strip_prefix("::")
        && deeper
            .trim_start()
            .starts_with(|c: char| c.is_alphabetic() || c == '_' || c == '{' || c == '*')
    {
        return start + end + 2 + expand(deeper, &format!("{path}::"), paths);
    }
    paths.push(path);
    let tail = &rest[end..];
    let renamed = tail.trim_start().strip_prefix("as ").map_or(0, |name| {
        tail.len() - name.len() + name_end(name.trim_start()) + (name.len() - name.trim_start().len())
    });
    start + end + renamed
}

pub(super) fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Comments go line by line; texts hold no `crate::` worth looking for, so they may stay.
fn code_only(text: &str) -> String {
    let without_comment = |line: &str| match line.split_once("//") {
        Some((code, _)) if !code.contains('"') => code.to_owned(),
        Some(_) | None if line.trim_start().starts_with("//") => String::new(),
        Some(_) | None => line.to_owned(),
    };
    text.lines().map(|line| without_comment(line) + "\n").collect()
}

#[test]
fn groups_are_taken_apart() {
    let code = "use crate::{model::{Domain, time as t}, wire::naptr::*, store};\nlet x: crate::relay::Relay;";
    assert_eq!(
        crate_paths(code),
        [
            "model::Domain",
            "model::time",
            "wire::naptr::*",
            "store",
            "relay::Relay"
        ]
    );
}
