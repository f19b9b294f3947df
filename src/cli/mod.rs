//! The command line: one file a command. Exit codes: 0 good, 1 the thing asked about is bad, 2 usage.
//!
//! Most commands are clients of the admin API (`client.rs`); each prints for people, or with `--json` what the API said.

mod agreement;
mod audit;
mod cache;
mod cert;
mod check;
mod client;
mod completions;
mod finding;
mod help;
mod home;
pub mod lab;
mod load;
mod noc;
mod node;
mod output;
mod override_;
mod peer;
mod probe;
mod queue;
mod reach;
mod reload;
mod route;
mod sandbox;
pub mod serve;
mod store;
mod token;
mod trace;
mod watch;
pub mod zone;

pub use noc::NocCommand;

use std::{io::Write, process::ExitCode};

use clap::{Parser, Subcommand};

/// A federated IMPS gateway between mobile operators.
#[derive(Debug, Parser)]
#[command(name = "impsgw", version, max_term_width = 100, after_help = help::ALL)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway.
    #[command(after_help = help::SERVE)]
    Serve(serve::ServeArgs),
    /// Run a whole federation on this machine and play the use cases.
    #[command(after_help = help::LAB)]
    Lab(lab::LabArgs),
    /// Drive messages through a gateway of its own and say what each costs.
    #[command(after_help = help::LOAD)]
    Load(load::LoadArgs),
    /// Serve or check zone files.
    #[command(after_help = help::ZONE)]
    Zone(zone::ZoneArgs),
    /// Print a completion script for a shell.
    #[command(after_help = help::COMPLETIONS)]
    Completions(completions::CompletionsArgs),
    #[command(flatten)]
    Noc(NocCommand),
}

impl Cli {
    /// What the command logs; `None` for the gateway itself, which sets up its log from its configuration.
    ///
    /// The lab's play has warnings of its own making: a peer that is suspended, an operator that can't be reached.
    #[must_use]
    pub fn log_filter(&self) -> Option<&'static str> {
        match &self.command {
            Command::Serve(_) => None,
            Command::Lab(args) if !args.is_sandbox() => Some("error"),
            Command::Lab(_)
            | Command::Load(_)
            | Command::Zone(_)
            | Command::Completions(_)
            | Command::Noc(_) => Some("warn"),
        }
    }

    /// How many threads carry requests. A processor that is left to the store's writer and to the system costs nothing:
    /// threads that hand work to one another over all of them spend more on waking each other.
    #[must_use]
    pub fn threads(&self) -> usize {
        let asked = if let Command::Serve(args) = &self.command {
            args.threads()
        } else {
            None
        };
        let processors = || std::thread::available_parallelism().map_or(1, usize::from);
        asked.unwrap_or_else(|| processors().saturating_sub(1).max(1))
    }
}

/// Runs a command.
///
/// # Errors
/// What the command could not do, for people.
///
/// # Cancel safety
/// A change that the admin API was asked for may have been made when the future is dropped.
pub async fn run(
    cli: Cli,
    out: &mut (dyn Write + Send),
) -> Result<ExitCode, Box<dyn std::error::Error + Send + Sync>> {
    match cli.command {
        Command::Serve(args) => serve::run(args, out).await,
        Command::Lab(args) => Box::pin(lab::run(args, out)).await,
        Command::Load(args) => load::run_load(args, out).await,
        Command::Zone(args) => Ok(zone::run(args, out).await),
        Command::Completions(args) => completions::run(&args, out),
        Command::Noc(command) => Ok(noc::run(command).await),
    }
}

#[cfg(test)]
mod tests;
