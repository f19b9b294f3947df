//! `impsgw store`: how full the store is, whether it is sound, and a copy of it while the gateway runs.
//!
//! `status` asks the gateway; `check` and `backup` read the store beside it, and so work when it is down as well. `copy` moves
//! everything to another store, between engines as well.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    client::{DEFAULT_CONFIG, Remote},
    output::{Done, Failure, cell, print, print_json},
    queue::print_counts,
};
use crate::{
    config::{Config, Engine},
    store::{
        Checked, StoreError,
        copy::{Portable, copy},
        postgres::PostgresStore,
        sqlite::SqliteStore,
    },
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
    /// Read the whole store and say whether it is sound; the gateway may run meanwhile. Exit code 1 when it is not.
    Check {
        #[command(flatten)]
        file: StoreFile,
    },
    /// Copy everything into the empty store of another configuration, from a file to a database or back; every gateway on either
    /// must be stopped.
    Copy {
        /// The configuration with the new store.
        #[arg(value_name = "NEW-CONFIG")]
        to: PathBuf,
        /// The configuration with the store of today.
        #[arg(long, value_name = "FILE", env = "IMPSGW_CONFIG", default_value = DEFAULT_CONFIG)]
        config: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write a consistent copy of a store in a file to a new file, while the gateway runs or not.
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

/// Where a store is.
enum Place {
    /// In this file.
    File(PathBuf),
    /// In the database of this configuration.
    Database(Box<Config>),
}

impl StoreFile {
    fn place(&self) -> Result<Place, Failure> {
        let path = match &self.file {
            Some(file) => file.clone(),
            None => {
                let config = load(&self.config)?;
                if config.store.engine == Engine::Postgres {
                    return Ok(Place::Database(Box::new(config)));
                }
                config.gateway.data_dir.join(&config.store.path)
            }
        };
        if path.is_file() {
            return Ok(Place::File(path));
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
        StoreCommand::Check { file } => match file.place()? {
            Place::File(path) => {
                let checked = SqliteStore::check_file(&path).map_err(bad)?;
                show(&path.display().to_string(), &checked, file.json)
            }
            Place::Database(config) => {
                let postgres = config.store.postgres(&config.gateway.node).map_err(bad)?;
                let store = PostgresStore::beside(&postgres).await.map_err(bad)?;
                show("the database", &store.check().await.map_err(bad)?, file.json)
            }
        },
        StoreCommand::Copy { to, config, json } => copy_all(&config, &to, json).await,
        StoreCommand::Backup { to, file } => match file.place()? {
            Place::File(path) => backup(&path, &to, file.json),
            Place::Database(_) => Err(Failure::Bad(
                "this store is a database, which is backed up by its own means: pg_basebackup with archived logs, or pg_dump"
                    .to_owned(),
            )),
        },
    }
}

fn load(path: &Path) -> Result<Config, Failure> {
    Config::load(path).map_err(|mistakes| Failure::Bad(mistakes.to_string()))
}

fn bad(error: StoreError) -> Failure {
    Failure::Bad(error.to_string())
}

async fn copy_all(from: &Path, to: &Path, json: bool) -> Done {
    let (source, target) = (
        portable(&load(from)?, Side::Source).await?,
        portable(&load(to)?, Side::Target).await?,
    );
    let copied = copy(&*source, &*target).await.map_err(bad)?;
    if json {
        print_json(&json!({ "from": from, "to": to, "copied": copied }));
    } else {
        print(&format!(
            "{} row(s) and {} item(s) are copied; start the gateway with {}",
            copied.rows,
            copied.items,
            to.display()
        ));
    }
    Ok(())
}

/// Which end of a copy a store is.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Side {
    /// It must be there.
    Source,
    /// It is made when it is missing.
    Target,
}

async fn portable(config: &Config, side: Side) -> Result<Box<dyn Portable>, Failure> {
    match config.store.engine {
        Engine::Sqlite => {
            let sqlite = config.store.sqlite(&config.gateway.data_dir);
            if side == Side::Source && !sqlite.path.is_file() {
                return Err(Failure::Bad(format!(
                    "there is no store at {}",
                    sqlite.path.display()
                )));
            }
            Ok(Box::new(SqliteStore::open(&sqlite).map_err(bad)?))
        }
        Engine::Postgres => {
            let postgres = config.store.postgres(&config.gateway.node).map_err(bad)?;
            let opened = match side {
                Side::Source => PostgresStore::beside(&postgres).await,
                Side::Target => PostgresStore::open(&postgres).await,
            };
            Ok(Box::new(opened.map_err(bad)?))
        }
    }
}

fn show(name: &str, checked: &Checked, json: bool) -> Done {
    let is_sound = checked.faults.is_empty();
    if json {
        print_json(&json!({ "file": name, "good": is_sound, "checked": checked }));
    } else {
        let count = format!("{name}: {} row(s), {} item(s)", checked.rows, checked.items);
        if is_sound {
            print(&format!("{count}; it is sound"));
        } else {
            print(&format!(
                "{count}; it is damaged. Stop the gateway, keep this store, and restore a backup:"
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
