//! The program's exit codes: 0 good, 1 the thing asked about is bad, 2 usage.

use std::process::{Command, Output};

fn impsgw(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_impsgw"))
        .args(words)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap()
}

#[test]
fn exit_code_says_how_it_went() {
    let dir = tempfile::tempdir().unwrap();
    let bad = dir.path().join("bad.toml");
    std::fs::write(&bad, "[gateway]\nnodee = \"n1\"\n[sssp]\n").unwrap();
    let bad = bad.to_str().unwrap();
    for (words, code) in [
        (vec!["--help"], 0),
        (vec!["--version"], 0),
        (vec!["check"], 0),
        (vec!["check", "--config", bad], 1),
        (vec!["check", "--config", "/nowhere.toml"], 1),
        (vec!["check", "--colour"], 2),
        (vec!["chekc"], 2),
        (vec![], 2),
        (vec!["peer", "list", "--token-file", "/nowhere"], 2),
    ] {
        let output = impsgw(&words);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {output:?}");
    }
}

#[test]
fn check_prints_every_mistake_as_json() {
    let dir = tempfile::tempdir().unwrap();
    let bad = dir.path().join("bad.toml");
    std::fs::write(&bad, "[gateway]\nnodee = \"n1\"\n[sssp]\n").unwrap();
    let output = impsgw(&["check", "--json", "--config", bad.to_str().unwrap()]);
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["good"], false);
    let lines: Vec<_> = answer["mistakes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["line"].as_u64())
        .collect();
    assert!(lines.contains(&Some(2)) && lines.contains(&Some(3)), "{answer}");
}
