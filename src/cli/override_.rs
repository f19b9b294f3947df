//! `impsgw override`: an operator's word on a number, a range or a domain goes before everything that was found.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    client::{Client, Remote},
    output::{Done, cell, print, print_json, print_table, rows, time},
};
use crate::model::Domain;

/// The arguments of `impsgw override`.
#[derive(Args, Clone, Debug)]
pub struct OverrideArgs {
    #[command(subcommand)]
    command: OverrideCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum OverrideCommand {
    /// List the overrides in force.
    List {
        #[command(flatten)]
        remote: Remote,
    },
    /// Add an override, or replace the one of the same number, range or domain.
    Add {
        #[command(flatten)]
        whose: Whose,
        /// The domain that serves them.
        #[arg(
            long,
            value_name = "DOMAIN",
            required_unless_present = "to_peer",
            conflicts_with = "to_peer"
        )]
        to_domain: Option<Domain>,
        /// The peer that takes them.
        #[arg(long, value_name = "PEER")]
        to_peer: Option<String>,
        /// Why; shown wherever the override is used.
        #[arg(long, default_value = "")]
        reason: String,
        /// How long it holds, such as 24h; without end by default.
        #[arg(long = "for", value_name = "DURATION")]
        lasts: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Remove an override.
    Remove {
        #[command(flatten)]
        whose: Whose,
        #[command(flatten)]
        remote: Remote,
    },
}

#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
struct Whose {
    /// A number, or the beginning of numbers, such as +4477009.
    #[arg(long)]
    number: Option<String>,
    /// A domain and all below it.
    #[arg(long)]
    domain: Option<Domain>,
}

pub(super) async fn run(args: OverrideArgs) -> Done {
    match args.command {
        OverrideCommand::List { remote } => list(&remote.client()?, remote.json).await,
        OverrideCommand::Add {
            whose,
            to_domain,
            to_peer,
            reason,
            lasts,
            remote,
        } => {
            let body = json!({
                "number": whose.number, "domain": whose.domain, "to_domain": to_domain,
                "to_peer": to_peer, "reason": reason, "for": lasts,
            });
            let answer = remote.client()?.post("overrides", body).await?;
            if remote.json {
                print_json(&answer);
            } else {
                print("the override is in force");
            }
            Ok(())
        }
        OverrideCommand::Remove { whose, remote } => {
            let query = [
                ("number", whose.number),
                ("domain", whose.domain.map(|domain| domain.to_string())),
            ];
            let answer = remote.client()?.delete("overrides", &query).await?;
            if remote.json {
                print_json(&answer);
            } else {
                print("the override is removed");
            }
            Ok(())
        }
    }
}

async fn list(client: &Client, is_json: bool) -> Done {
    let answer = client.get("overrides", &[]).await?;
    if is_json {
        print_json(&answer);
        return Ok(());
    }
    let one_of =
        |value: Option<&Value>| match value.and_then(Value::as_object).and_then(|map| map.iter().next()) {
            Some((kind, name)) => format!("{kind} {}", name.as_str().unwrap_or_default()),
            None => "-".into(),
        };
    print_table(
        &rows(&answer, "overrides"),
        &[
            ("WHO", &|row| one_of(row.get("selector"))),
            ("TO", &|row| one_of(row.get("to"))),
            ("UNTIL", &|row| time(row, "until")),
            ("REASON", &|row| cell(row, "reason")),
        ],
        "no overrides",
    );
    Ok(())
}
