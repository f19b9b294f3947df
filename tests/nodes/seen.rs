//! What people see of many nodes: one row a peer, each node's own beside it, and who does not answer.

use std::process::{Command, Output};

use impsgw::app::App;
use serde_json::{Value, json};

use super::{Table, sees};
use crate::hostile::peer::{Peer, message};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peer_is_shown_over_all_nodes_and_at_each() {
    let mut beta = Peer::new("beta").await;
    let table = Table::with(&[&beta]).await;
    let (n1, n2) = (
        table.gateway("n1", &[&beta]).await,
        table.gateway("n2", &[&beta]).await,
    );
    sees(&n1, &["n1", "n2"]).await;
    let session = beta.open(n1.ssp[0]).await;
    let said = message("m-1", "wv:bea@beta.example", "wv:ada@alpha.example");
    let (code, _) = beta.ask(n2.ssp[0], &session, &said).await;
    assert!(code.is_success());
    for (asked, other) in [(&n1, "n2"), (&n2, "n1")] {
        let peers = table.admin(asked).get("/peers").await;
        assert_eq!(peers["silent_nodes"], json!([]));
        let peer = &peers["peers"][0];
        assert_eq!((&peer["up"], &peer["open_sessions"]), (&json!(true), &json!(1)));
        assert_eq!(peer["nodes"][1]["node"], other);
        let shown = table.admin(asked).get("/peers/beta").await;
        assert_eq!(shown["nodes"].as_array().unwrap().len(), 2, "{shown}");
        let nodes = table.admin(asked).get("/nodes").await;
        assert_eq!(states(&nodes), [("n1", "up"), ("n2", "up")], "{nodes}");
        assert_eq!(nodes["nodes"][0]["is_asked"], other == "n2");
    }
    let list = command(&table, &n2, &["peer", "list"]).await;
    assert!(
        said_by(&list).contains("beta  ssp       up     1"),
        "{}",
        said_by(&list)
    );
    let shown = command(&table, &n2, &["peer", "show", "beta"]).await;
    assert!(said_by(&shown).contains("\nn1 "), "{}", said_by(&shown));
    n1.shut_down().await;
    n2.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_that_does_not_answer_or_is_dead_is_named() {
    let beta = Peer::new("beta").await;
    let table = Table::with(&[&beta]).await;
    let n1 = table.gateway("n1", &[&beta]).await;
    let n2 = table.cut_off("n2", &[&beta]).await;
    sees(&n1, &["n1", "n2"]).await;
    let peers = table.admin(&n1).get("/peers").await;
    assert_eq!(peers["silent_nodes"][0]["node"], "n2", "{peers}");
    let nodes = table.admin(&n1).get("/nodes").await;
    assert_eq!(states(&nodes), [("n1", "up"), ("n2", "silent")], "{nodes}");
    let list = command(&table, &n1, &["peer", "list"]).await;
    let said = said_by(&list);
    assert!(
        said.contains("n2 did not answer: what it has under way isn't shown"),
        "{said}"
    );
    drop(n2);
    sees(&n1, &["n1"]).await;
    let nodes = table.admin(&n1).get("/nodes").await;
    assert_eq!(states(&nodes), [("n1", "up"), ("n2", "dead")], "{nodes}");
    let list = command(&table, &n1, &["node", "list"]).await;
    assert_eq!(list.status.code(), Some(1));
    assert!(
        said_by(&list).contains("dead: it went without a word"),
        "{}",
        said_by(&list)
    );
    // Who leaves in order is not missed.
    let n2 = table.gateway("n2", &[&beta]).await;
    n2.shut_down().await;
    let nodes = table.admin(&n1).get("/nodes").await;
    assert_eq!(states(&nodes), [("n1", "up")], "{nodes}");
    let list = command(&table, &n1, &["node", "list"]).await;
    assert_eq!(list.status.code(), Some(0));
    n1.shut_down().await;
}

fn states(nodes: &Value) -> Vec<(&str, &str)> {
    let nodes = nodes["nodes"].as_array().unwrap().iter();
    nodes
        .map(|node| (node["node"].as_str().unwrap(), node["state"].as_str().unwrap()))
        .collect()
}

/// `impsgw` as an operator of this node runs it.
async fn command(table: &Table, node: &App, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_impsgw"));
    command
        .args(words)
        .arg("--admin")
        .arg(format!("http://{}", node.admin.unwrap()))
        .arg("--token-file")
        .arg(table.token_file());
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

fn said_by(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
