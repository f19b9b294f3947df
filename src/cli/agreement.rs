//! `impsgw agreement`: the interconnection agreements as they are in force, and the check of a file before it is.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    client::{Remote, escaped},
    output::{Done, Failure, cell, print, print_json, print_table, rows},
};
use crate::config::{Config, Mistakes};

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
    /// Show one in full.
    Show {
        /// The peer.
        peer: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Check a file of agreements before it goes into [gateway] agreement_dir; exit code 1 on a mistake.
    Check {
        /// The file, with [[agreement]] tables only.
        file: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
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
            let answer = remote.client()?.get(&path, &[]).await?;
            if remote.json {
                print_json(&answer);
            } else {
                let mut lines = Vec::new();
                facts("", &answer, &mut lines);
                print(&lines.join("\n"));
            }
        }
        AgreementCommand::Check { file, json } => return check(&file, json),
    }
    Ok(())
}

/// The facts of an agreement as they would stand in its file.
fn facts(above: &str, value: &Value, lines: &mut Vec<String>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        let name = format!("{above}{key}");
        match value {
            Value::Object(_) => facts(&format!("{name}."), value, lines),
            Value::Array(_) | Value::String(_) | Value::Bool(_) | Value::Number(_) | Value::Null => {
                lines.push(format!("{name:<34}  {}", cell(&json!({ "it": value }), "it")));
            }
        }
    }
}

fn check(file: &Path, json: bool) -> Done {
    let name = file.display().to_string();
    let (count, mistakes) = match Config::agreements_of(file) {
        Ok(agreements) => (agreements.len(), Vec::new()),
        Err(mistakes) => (0, mistakes.0),
    };
    let is_good = mistakes.is_empty();
    if json {
        print_json(&json!({ "file": name, "good": is_good, "agreements": count, "mistakes": mistakes }));
    } else if is_good {
        print(&format!("{name} is good: {count} agreement(s)"));
    } else {
        print(&Mistakes(mistakes).to_string());
    }
    if is_good {
        Ok(())
    } else {
        Err(Failure::Bad(String::new()))
    }
}
