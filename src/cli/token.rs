//! `impsgw token`: tokens of the admin API.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    client::{DEFAULT_CONFIG, Remote, escaped},
    output::{Done, Failure, cell, print, print_json, print_table, rows, time},
};
use crate::{
    admin::{Role, recovery_token},
    app::stored,
    config::Config,
    telemetry::Clock,
};

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
    /// Write a new admin token into the gateway's token file when all others are lost; the gateway must be stopped.
    Recover {
        /// The gateway's configuration, which says where its store is.
        #[arg(long, value_name = "FILE", env = "IMPSGW_CONFIG", default_value = DEFAULT_CONFIG)]
        config: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
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
        TokenCommand::Recover { config, json } => recover(&config, json).await?,
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

async fn recover(config: &Path, json: bool) -> Done {
    let bad = |error: &dyn std::fmt::Display| Failure::Bad(error.to_string());
    let config = Config::load(config).map_err(|mistakes| bad(&mistakes))?;
    let store = stored::open(&config).await.map_err(|error| bad(&error))?;
    let path = config.gateway.data_dir.join(&config.admin.token_file);
    let written = recovery_token(&*store, &path, Clock::system().now()).await;
    let written = written.map_err(|error| bad(&error))?;
    store.close().await.map_err(|error| bad(&error))?;
    if json {
        print_json(&json!({ "token_file": written }));
    } else {
        print(&format!(
            "{} holds a new admin token; revoke the lost ones with `impsgw token revoke`",
            written.display()
        ));
    }
    Ok(())
}
