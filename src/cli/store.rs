//! `impsgw store`: how full the store is, and whether the node is ready for traffic.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    client::Remote,
    output::{Done, Failure, cell, print, print_json},
    queue::print_counts,
};

/// The arguments of `impsgw store`.
#[derive(Args, Clone, Debug)]
pub struct StoreArgs {
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum StoreCommand {
    /// Show what waits and whether the store answers; exit code 1 when the node is not ready.
    Status {
        #[command(flatten)]
        remote: Remote,
    },
}

pub(super) async fn run(args: StoreArgs) -> Done {
    let StoreCommand::Status { remote } = args.command;
    let client = remote.client()?;
    let status = client.get("status", &[]).await?;
    let queues = client.get("queues", &[]).await?;
    let is_ready = status.get("ready").and_then(Value::as_bool) == Some(true);
    if remote.json {
        print_json(&json!({ "status": status, "queues": queues.get("queues") }));
    } else {
        let ready = if is_ready {
            "ready".to_owned()
        } else {
            format!("not ready: {}", cell(&status, "not_ready"))
        };
        print(&format!(
            "node {} is {ready}; {} item(s) wait",
            cell(&status, "node"),
            cell(&status, "waiting")
        ));
        print_counts(&queues);
    }
    if is_ready {
        Ok(())
    } else {
        Err(Failure::Bad(String::new()))
    }
}
