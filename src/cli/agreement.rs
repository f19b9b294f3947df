//! `impsgw agreement`: the interconnection agreements as they are in force.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{
    client::{Remote, escaped},
    output::{Done, cell, print_json, print_table, rows},
};

/// The arguments of `impsgw agreement`.
#[derive(Args, Clone, Debug)]
pub struct AgreementArgs {
    #[command(subcommand)]
    command: AgreementCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum AgreementCommand {
    /// List all agreements.
    List {
        #[command(flatten)]
        remote: Remote,
    },
    /// Show one in full, as JSON.
    Show {
        /// The peer.
        peer: String,
        #[command(flatten)]
        remote: Remote,
    },
}

pub(super) async fn run(args: AgreementArgs) -> Done {
    match args.command {
        AgreementCommand::List { remote } => {
            let answer = remote.client()?.get("agreements", &[]).await?;
            if remote.json {
                print_json(&answer);
                return Ok(());
            }
            let services =
                |row: &Value, way: &str| row.get("services").map_or("-".into(), |all| cell(all, way));
            print_table(
                &rows(&answer, "agreements"),
                &[
                    ("PEER", &|row| cell(row, "peer")),
                    ("ROLE", &|row| cell(row, "role")),
                    ("DOMAINS", &|row| cell(row, "domains")),
                    ("IN", &|row| services(row, "in")),
                    ("OUT", &|row| services(row, "out")),
                ],
                "no agreements",
            );
        }
        AgreementCommand::Show { peer, remote } => {
            let path = format!("agreements/{}", escaped(&peer));
            print_json(&remote.client()?.get(&path, &[]).await?);
        }
    }
    Ok(())
}
