//! `impsgw token`: tokens of the admin API.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    client::{Remote, escaped},
    output::{Done, cell, print, print_json, print_table, rows, time},
};
use crate::admin::Role;

/// The arguments of `impsgw token`.
#[derive(Args, Clone, Debug)]
pub struct TokenArgs {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum TokenCommand {
    /// Make a token; it is printed this once.
    Create {
        /// Whose it is.
        name: String,
        /// What it may do: read, operate or admin.
        #[arg(long, default_value = "read")]
        role: Role,
        /// How long it holds, such as 30d; without end by default.
        #[arg(long = "for", value_name = "DURATION")]
        lasts: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// List the tokens, without their secrets.
    List {
        #[command(flatten)]
        remote: Remote,
    },
    /// Revoke a token at once.
    Revoke {
        /// Its ID, as in the list.
        id: String,
        #[command(flatten)]
        remote: Remote,
    },
}

pub(super) async fn run(args: TokenArgs) -> Done {
    match args.command {
        TokenCommand::Create {
            name,
            role,
            lasts,
            remote,
        } => {
            let body = json!({ "name": name, "role": role, "for": lasts });
            let answer = remote.client()?.post("tokens", body).await?;
            if remote.json {
                print_json(&answer);
            } else {
                print(&cell(&answer, "token"));
            }
        }
        TokenCommand::List { remote } => {
            let answer = remote.client()?.get("tokens", &[]).await?;
            if remote.json {
                print_json(&answer);
                return Ok(());
            }
            print_table(
                &rows(&answer, "tokens"),
                &[
                    ("ID", &|row| cell(row, "id")),
                    ("NAME", &|row| cell(row, "name")),
                    ("ROLE", &|row| cell(row, "role")),
                    ("CREATED", &|row| time(row, "created")),
                    ("EXPIRES", &|row| time(row, "expires")),
                ],
                "no tokens",
            );
        }
        TokenCommand::Revoke { id, remote } => {
            let answer = remote
                .client()?
                .delete(&format!("tokens/{}", escaped(&id)), &[])
                .await?;
            if remote.json {
                print_json(&answer);
            } else {
                print(&format!("{id} is revoked"));
            }
        }
    }
    Ok(())
}
