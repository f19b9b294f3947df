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
        (vec!["check", "--offline"], 0),
        (vec!["check", "--offline", "--config", "config/alpha.toml"], 1),
        (vec!["check", "--config", bad], 1),
        (vec!["check", "--config", "/nowhere.toml"], 1),
        (vec!["check", "--colour"], 2),
        (vec!["chekc"], 2),
        (vec![], 2),
        (vec!["peer", "list", "--token-file", "/nowhere"], 2),
        (vec!["peer", "list", "--config", "/nowhere.toml"], 2),
        (vec!["peer", "list", "--admin", "nonsense"], 2),
        (vec!["probe", "gamma", "--config", "config/impsgw.toml"], 2),
        (vec!["cert", "show", "/nowhere.pem"], 1),
        (vec!["cert", "issue", "not a domain"], 2),
        (vec!["store", "check", "--file", "/nowhere.db"], 1),
        (vec!["agreement", "check", "/nowhere.toml"], 1),
        (vec!["agreement", "check", "config/alpha.toml"], 1),
        (vec!["cache", "list", "--state", "bogus"], 2),
        (vec!["completions", "bash"], 0),
        (vec!["completions", "tcl"], 2),
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

#[test]
fn certificates_are_made_once_and_shown() {
    let dir = tempfile::tempdir().unwrap();
    let certs = dir.path().join("certs");
    let certs = certs.to_str().unwrap();
    let pem = format!("{certs}/alpha.example.pem");
    for (words, code, text) in [
        (
            vec!["cert", "issue", "alpha.example", "--dir", certs],
            1,
            "impsgw cert authority",
        ),
        (vec!["cert", "authority", "Trial", "--dir", certs], 0, "ca.pem"),
        (
            vec!["cert", "authority", "Trial", "--dir", certs],
            1,
            "is there already",
        ),
        (
            vec!["cert", "issue", "alpha.example", "--dir", certs, "--days", "20"],
            0,
            "alpha.example.key.pem",
        ),
        (
            vec!["cert", "issue", "alpha.example", "--dir", certs],
            1,
            "--replace",
        ),
        (
            vec!["cert", "show", &pem, "--for", "alpha.example"],
            0,
            "19 days left",
        ),
        (
            vec!["cert", "show", &pem, "--for", "beta.example"],
            1,
            "_imps-server.beta.example",
        ),
        (vec!["cert", "show", &pem, "--json"], 0, "\"days_left\": 19"),
    ] {
        let output = impsgw(&words);
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
        assert!(said.contains(text), "{words:?}: {said}");
    }
    use std::os::unix::fs::PermissionsExt;
    for key in ["ca.key.pem", "alpha.example.key.pem"] {
        let mode = std::fs::metadata(format!("{certs}/{key}"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{key}");
    }
}

#[test]
fn check_tries_what_the_file_names() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let file = dir.path().join("it.toml");
    let data = dir.path().join("data");
    let text = format!(
        "[gateway]\ndomains = [\"alpha.example\"]\ndata_dir = {data:?}\n[ssp]\nlisten_plain = \"127.0.0.1:{port}\"\n\
         [[agreement]]\npeer = \"beta\"\ndomains = [\"beta.example\"]\nservers = [\"127.0.0.1:{port}\"]\ntls.required = false\n"
    );
    std::fs::write(&file, text).unwrap();
    let output = impsgw(&["check", "--json", "--config", file.to_str().unwrap()]);
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{answer}");
    let failed: Vec<&str> = answer["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["grade"] == "fail")
        .map(|one| one["what"].as_str().unwrap())
        .collect();
    // The port is taken, and loopback is in no agreement without being named.
    assert_eq!(failed.len(), 2, "{answer}");
    assert!(failed.iter().any(|what| what.contains("in use")), "{answer}");
    assert!(
        failed.iter().any(|what| what.contains("allowed_networks")),
        "{answer}"
    );
    assert!(!data.exists(), "a check makes nothing");
}
