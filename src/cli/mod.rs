//! One file a command. Exit codes: 0 good, 1 the thing asked about is bad, 2 usage.

pub mod lab;
pub mod serve;
pub mod zone;

use std::{io::Write, process::ExitCode};

use clap::{Parser, Subcommand};

/// A federated IMPS gateway between mobile operators.
#[derive(Debug, Parser)]
#[command(name = "impsgw", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway.
    Serve(serve::ServeArgs),
    /// Run a whole federation on this machine and play the use cases.
    Lab(lab::LabArgs),
    /// Serve or check zone files.
    Zone(zone::ZoneArgs),
}

/// Runs a command.
///
/// # Errors
/// What the command could not do, for people.
pub async fn run(
    cli: Cli,
    out: &mut (dyn Write + Send),
) -> Result<ExitCode, Box<dyn std::error::Error + Send + Sync>> {
    match cli.command {
        Command::Serve(args) => serve::run(args, out).await,
        Command::Lab(args) => lab::run(args, out).await,
        Command::Zone(args) => Ok(zone::run(args, out).await),
    }
}
