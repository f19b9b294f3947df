//! `impsgw store`: how full the store is, whether it is sound, and a copy of it while the gateway runs.
//!
//! `status` asks the gateway; `check` and `backup` read the file beside it, and so work when it is down as well.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    client::{DEFAULT_CONFIG, Remote},
    output::{Done, Failure, cell, print, print_json},
    queue::print_counts,
};
use crate::{config::Config, store::sqlite::SqliteStore};

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
    /// Read the whole store and say whether it is sound; the gateway may run meanwhile. Exit code 1 when it is not.
    Check {
        #[command(flatten)]
        file: StoreFile,
    },
    /// Write a consistent copy to a new file, while the gateway runs or not.
    Backup {
        /// The new file.
        #[arg(value_name = "NEW-FILE")]
        to: PathBuf,
        #[command(flatten)]
        file: StoreFile,
    },
}

/// Which store.
#[derive(Args, Clone, Debug)]
struct StoreFile {
    /// The gateway's configuration, which says where the store is.
    #[arg(long, value_name = "FILE", env = "IMPSGW_CONFIG", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
    /// The store itself, in place of the configuration's; a backup, for instance.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl StoreFile {
    fn path(&self) -> Result<PathBuf, Failure> {
        let path = match &self.file {
            Some(file) => file.clone(),
            None => {
                let config =
                    Config::load(&self.config).map_err(|mistakes| Failure::Bad(mistakes.to_string()))?;
                config.gateway.data_dir.join(&config.store.path)
            }
        };
        if path.is_file() {
            return Ok(path);
        }
        let path = path.display();
        Err(Failure::Bad(format!(
            "there is no store at {path}; a gateway makes it at its first start. Name the gateway's configuration with \
             --config, or a copy with --file; data_dir counts from the folder that the gateway is started in"
        )))
    }
}

pub(super) async fn run(args: StoreArgs) -> Done {
    match args.command {
        StoreCommand::Status { remote } => status(&remote).await,
        StoreCommand::Check { file } => check(&file.path()?, file.json),
        StoreCommand::Backup { to, file } => backup(&file.path()?, &to, file.json),
    }
}

fn check(path: &Path, json: bool) -> Done {
    let checked = SqliteStore::check_file(path).map_err(|error| Failure::Bad(error.to_string()))?;
    let is_sound = checked.faults.is_empty();
    if json {
        print_json(&json!({ "file": path, "good": is_sound, "checked": checked }));
    } else {
        let count = format!(
            "{}: {} row(s), {} item(s)",
            path.display(),
            checked.rows,
            checked.items
        );
        if is_sound {
            print(&format!("{count}; it is sound"));
        } else {
            print(&format!(
                "{count}; it is damaged. Stop the gateway, keep this file, and restore a backup:"
            ));
            checked
                .faults
                .iter()
                .for_each(|fault| print(&format!("  {fault}")));
        }
    }
    if is_sound {
        Ok(())
    } else {
        Err(Failure::Bad(String::new()))
    }
}

fn backup(path: &Path, to: &Path, json: bool) -> Done {
    if to.exists() {
        let text = format!("{} is there already; name a new file", to.display());
        return Err(Failure::Usage(text));
    }
    SqliteStore::backup_file(path, to).map_err(|error| Failure::Bad(error.to_string()))?;
    let size = std::fs::metadata(to).map(|file| file.len()).unwrap_or_default();
    if json {
        print_json(&json!({ "file": path, "backup": to, "octets": size }));
    } else {
        print(&format!(
            "{} holds {} KiB, consistent as of now",
            to.display(),
            size.div_ceil(1024)
        ));
    }
    Ok(())
}

async fn status(remote: &Remote) -> Done {
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
