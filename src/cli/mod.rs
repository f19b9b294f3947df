//! The command line: one file a command. Exit code 0 good, 1 the thing asked about is bad, 2 usage.
//!
//! Most commands are clients of the admin API (`client.rs`); each prints for people, or with `--json` what the API said.

mod agreement;
mod audit;
mod cache;
mod check;
mod client;
mod output;
mod override_;
mod peer;
mod queue;
mod reload;
mod route;
mod store;
mod token;
mod trace;
mod watch;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::output::{Done, Failure};

/// A federated IMPS gateway between mobile operators.
#[derive(Debug, Parser)]
#[command(name = "impsgw", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `impsgw` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check the configuration: every mistake at once, with file and line.
    Check(check::CheckArgs),
    /// Put the changed configuration in force without a restart.
    Reload(reload::ReloadArgs),
    /// Ask where a number or address is routed now, and why.
    Route(route::RouteArgs),
    /// Say where a number, a range or a domain is routed, whatever was found.
    Override(override_::OverrideArgs),
    /// Ask what happened to a request, by trail ID, number, address or message ID.
    Trace(trace::TraceArgs),
    /// Follow a number or address and print what happens to it.
    Watch(watch::WatchArgs),
    /// Look into the caches of routing, or flush them.
    Cache(cache::CacheArgs),
    /// Look at peers and their sessions; suspend, resume, reconnect them.
    Peer(peer::PeerArgs),
    /// Show the interconnection agreements in force.
    Agreement(agreement::AgreementArgs),
    /// Look at what waits; hold, release, retry, discard it.
    Queue(queue::QueueArgs),
    /// Show how full the store is.
    Store(store::StoreArgs),
    /// Make, list and revoke tokens of the admin API.
    Token(token::TokenArgs),
    /// Show who did what.
    Audit(audit::AuditArgs),
}

/// Carries a command out.
///
/// # Cancel safety
/// A change that the admin API was asked for may have been made when the future is dropped.
pub async fn run(cli: Cli) -> ExitCode {
    match carry_out(cli.command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::complain(&failure);
            match failure {
                Failure::Bad(_) => ExitCode::from(1),
                Failure::Usage(_) => ExitCode::from(2),
            }
        }
    }
}

async fn carry_out(command: Command) -> Done {
    match command {
        Command::Check(args) => check::run(&args),
        Command::Reload(args) => reload::run(args).await,
        Command::Route(args) => Box::pin(route::run(args)).await,
        Command::Override(args) => override_::run(args).await,
        Command::Trace(args) => trace::run(args).await,
        Command::Watch(args) => watch::run(args).await,
        Command::Cache(args) => cache::run(args).await,
        Command::Peer(args) => peer::run(args).await,
        Command::Agreement(args) => agreement::run(args).await,
        Command::Queue(args) => queue::run(args).await,
        Command::Store(args) => store::run(args).await,
        Command::Token(args) => token::run(args).await,
        Command::Audit(args) => audit::run(args).await,
    }
}

#[cfg(test)]
mod tests;
