//! `impsgw load` with a few hundred messages: the books balance, whatever the pace of the machine.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::process::{Command, Output};

use serde_json::Value;

#[test]
fn every_accepted_message_arrives_once_and_is_reported_once() {
    let report = load(&[
        "--count",
        "200",
        "--warm-up",
        "20",
        "--numbers",
        "60",
        "--peers",
        "3",
        "--batch",
        "4",
        "--reports",
        "--in-flight",
        "32",
    ]);
    assert_eq!(report["messages"], 200, "{report:#}");
    let balance = &report["balance"];
    // Each peer has one priming message for its 20 numbers.
    assert_eq!(
        (&balance["sent"], &balance["accepted"]),
        (&223.into(), &223.into()),
        "{report:#}"
    );
    for broken in [
        "refused",
        "unanswered",
        "lost",
        "repeated",
        "reports_missing",
        "reports_repeated",
    ] {
        assert_eq!(balance[broken], 0, "{broken}: {report:#}");
    }
    assert!(
        report["gateway"]["peak_mib"].as_f64().unwrap() > 1.0,
        "{report:#}"
    );
}

#[test]
fn an_open_loop_over_mutual_tls_balances() {
    let report = load(&[
        "--count",
        "60",
        "--warm-up",
        "10",
        "--numbers",
        "20",
        "--rate",
        "40",
        "--tls",
    ]);
    assert_eq!(report["balance"]["accepted"], 71, "{report:#}");
    assert!(report["latency"]["p50_ms"].as_f64().unwrap() > 0.0, "{report:#}");
}

fn load(words: &[&str]) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let output: Output = Command::new(env!("CARGO_BIN_EXE_impsgw"))
        .arg("load")
        .args(words)
        .args(["--json", "--dir"])
        .arg(dir.path())
        .output()
        .unwrap();
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap_or_default();
    assert!(
        output.status.success(),
        "{output:?}\n{}\n{}",
        read("gateway.log"),
        read("partner.log")
    );
    serde_json::from_slice(&output.stdout).unwrap()
}
