//! The commands of the people who run a gateway: checks of the configuration, and clients of the admin API.

use std::process::ExitCode;

use clap::Subcommand;

use super::{
    agreement, audit, cache, cert, check, help, home, node,
    output::{self, Done, Failure},
    override_, peer, probe, queue, reload, route, store, token, trace, watch,
};

/// What operators ask and do.
#[derive(Debug, Subcommand)]
pub enum NocCommand {
    /// Check the configuration, then try resolvers, certificates, peers, folders and listeners.
    #[command(after_help = help::CHECK)]
    Check(check::CheckArgs),
    /// Make test certificates, and show what certificates say.
    #[command(after_help = help::CERT)]
    Cert(cert::CertArgs),
    /// Try a peer as the gateway would: DNS, TCP, TLS, certificate, HTTP, session; says what is wrong and where.
    #[command(after_help = help::PROBE)]
    Probe(probe::ProbeArgs),
    /// Put the changed configuration in force without a restart.
    #[command(after_help = help::RELOAD)]
    Reload(reload::ReloadArgs),
    /// Ask where a number or address is routed now, and why.
    #[command(after_help = help::ROUTE)]
    Route(route::RouteArgs),
    /// Say where a number, a range or a domain is routed, whatever was found.
    #[command(after_help = help::OVERRIDE)]
    Override(override_::OverrideArgs),
    /// Ask what happened to a request, by trail ID, number, address or message ID.
    #[command(after_help = help::TRACE)]
    Trace(trace::TraceArgs),
    /// Follow a number or address and print what happens to it.
    #[command(after_help = help::WATCH)]
    Watch(watch::WatchArgs),
    /// Look into the caches of routing, or flush them.
    #[command(after_help = help::CACHE)]
    Cache(cache::CacheArgs),
    /// List the nodes of the gateway: who is there, who answers, what each alone does.
    #[command(after_help = help::NODE)]
    Node(node::NodeArgs),
    /// Look at peers and their sessions; suspend, resume, reconnect them.
    #[command(after_help = help::PEER)]
    Peer(peer::PeerArgs),
    /// Show the interconnection agreements in force.
    #[command(after_help = help::AGREEMENT)]
    Agreement(agreement::AgreementArgs),
    /// Look at what waits; hold, release, retry, discard it.
    #[command(after_help = help::QUEUE)]
    Queue(queue::QueueArgs),
    /// Show how full the store is, check it, copy it.
    #[command(after_help = help::STORE)]
    Store(store::StoreArgs),
    /// Manage the accounts of the embedded home domain, one by one or in bulk.
    #[command(after_help = help::HOME)]
    Home(home::HomeArgs),
    /// Make, list and revoke tokens of the admin API.
    #[command(after_help = help::TOKEN)]
    Token(token::TokenArgs),
    /// Show who did what.
    #[command(after_help = help::AUDIT)]
    Audit(audit::AuditArgs),
}

/// Carries a command out; exit code 0 good, 1 the thing asked about is bad, 2 usage.
pub(super) async fn run(command: NocCommand) -> ExitCode {
    match carry_out(command).await {
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

pub(super) async fn carry_out(command: NocCommand) -> Done {
    match command {
        NocCommand::Check(args) => Box::pin(check::run(&args)).await,
        NocCommand::Cert(args) => cert::run(args),
        NocCommand::Probe(args) => Box::pin(probe::run(args)).await,
        NocCommand::Reload(args) => reload::run(args).await,
        NocCommand::Route(args) => Box::pin(route::run(args)).await,
        NocCommand::Override(args) => override_::run(args).await,
        NocCommand::Trace(args) => trace::run(args).await,
        NocCommand::Watch(args) => watch::run(args).await,
        NocCommand::Cache(args) => cache::run(args).await,
        NocCommand::Node(args) => node::run(args).await,
        NocCommand::Peer(args) => peer::run(args).await,
        NocCommand::Agreement(args) => agreement::run(args).await,
        NocCommand::Queue(args) => queue::run(args).await,
        NocCommand::Store(args) => store::run(args).await,
        NocCommand::Home(args) => home::run(args).await,
        NocCommand::Token(args) => token::run(args).await,
        NocCommand::Audit(args) => audit::run(args).await,
    }
}
