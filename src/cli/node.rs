//! `impsgw node`: the nodes of the gateway, whether they answer, and what each alone does.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{
    client::Remote,
    output::{Done, Failure, cell, print_json, print_table, rows, time},
};

/// The arguments of `impsgw node`.
#[derive(Args, Clone, Debug)]
pub struct NodeArgs {
    #[command(subcommand)]
    command: NodeCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum NodeCommand {
    /// List all nodes, with those that died within a day; exit code 1 when one is dead or silent.
    List {
        #[command(flatten)]
        remote: Remote,
    },
}

pub(super) async fn run(args: NodeArgs) -> Done {
    let NodeCommand::List { remote } = args.command;
    let answer = remote.client()?.get("nodes", &[]).await?;
    let nodes = rows(&answer, "nodes");
    if remote.json {
        print_json(&answer);
    } else {
        print_table(
            &nodes,
            &[
                ("NODE", &name),
                ("STATE", &state),
                ("VERSION", &|row| cell(row, "version")),
                ("SINCE", &|row| time(row, "since")),
                ("ADDRESS", &|row| cell(row, "address")),
                ("LEASE", &lease),
                ("HOLDS", &|row| cell(row, "holds")),
            ],
            "no nodes",
        );
    }
    let is_missed =
        |node: &Value| matches!(node.get("state").and_then(Value::as_str), Some("dead" | "silent"));
    if nodes.iter().any(is_missed) {
        return Err(Failure::Bad(String::new()));
    }
    Ok(())
}

fn name(row: &Value) -> String {
    let is_asked = row.get("is_asked").and_then(Value::as_bool) == Some(true);
    let node = cell(row, "node");
    if is_asked { format!("{node} (asked)") } else { node }
}

fn state(row: &Value) -> String {
    match row.get("reason").and_then(Value::as_str) {
        None | Some("") => cell(row, "state"),
        Some(_) => format!("{}: {}", cell(row, "state"), cell(row, "reason")),
    }
}

fn lease(row: &Value) -> String {
    match row.get("lease_left_seconds").and_then(Value::as_u64) {
        Some(seconds) => format!("{seconds} s left"),
        None => "-".into(),
    }
}
