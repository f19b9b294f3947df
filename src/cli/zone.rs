//! `impsgw zone`: serve zone files as an authoritative server, or check them before others see them.
//!
//! `serve` is for the lab and for partners who test against the bundled zones; a second listener can offer a home
//! server the view in which every partner's IMPS server is the gateway. `check` is for anyone who provisions ENUM.
//! Exit codes: 0 good, 1 the zones are bad or cannot be served, 2 usage, which includes a file that is not there.

mod view;

use std::ffi::OsStr;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use futures_util::future::select_all;
use tokio::signal::unix::{SignalKind, signal};

use crate::wire::naptr::Name;
use crate::zone::check::{Source, check};
use crate::zone::{Reloaded, ZoneServer, ZoneSet};

pub use view::Host;
use view::host_and_port;

/// The arguments of `impsgw zone`.
#[derive(Args, Clone, Debug)]
pub struct ZoneArgs {
    /// What to do with the zones.
    #[command(subcommand)]
    pub command: ZoneCommand,
}

/// What `impsgw zone` can do.
#[derive(Clone, Debug, Subcommand)]
pub enum ZoneCommand {
    /// Serve zone files over UDP and TCP, and read them again when they change.
    Serve(ServeArgs),
    /// Look for the mistakes that ENUM operators make.
    Check(CheckArgs),
}

/// The arguments of `impsgw zone serve`.
#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// Directory of `*.zone` files.
    #[arg(long, value_name = "DIR", default_value = "zones")]
    pub zones: PathBuf,
    /// Address for UDP and TCP; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5300")]
    pub listen: SocketAddr,
    /// Also serve, on this address, the view in which every partner's IMPS server is the gateway: for a home server that
    /// can't be told of the gateway, and for nobody else.
    #[arg(long, value_name = "ADDR", requires = "where")]
    pub gateway_view: Option<SocketAddr>,
    /// The gateway in that view: an address, or a name that the zones or this machine's resolver know. Without it, where
    /// the configuration's `[ssp]` listens.
    #[arg(long, value_name = "HOST:PORT", requires = "gateway_view", group = "where", value_parser = host_and_port)]
    pub gateway: Option<(Host, u16)>,
    /// Take the partners of that view from the agreements of this configuration.
    #[arg(long, value_name = "FILE", requires = "gateway_view", group = "where")]
    pub config: Option<PathBuf>,
    /// A partner in that view, besides those of the configuration; may be repeated. Where neither names one, every domain
    /// of the zones that has an IMPS server is one.
    #[arg(long, value_name = "DOMAIN", requires = "gateway_view", value_delimiter = ',')]
    pub partner: Vec<Name>,
    /// A domain that keeps its own records in that view: the home server's; may be repeated.
    #[arg(long, value_name = "DOMAIN", requires = "gateway_view", conflicts_with_all = ["partner", "config"])]
    pub home_domain: Vec<Name>,
    /// Print what is served, and each reload, as JSON, one object a line.
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `impsgw zone check`.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// Zone files, or directories of `*.zone` files; they are checked together, so that records may lead from one into
    /// another.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Print the findings as one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command. Results go to `out`; what stops it is told on standard error.
pub async fn run(args: ZoneArgs, out: &mut dyn Write) -> ExitCode {
    let done = match args.command {
        ZoneCommand::Serve(serve_args) => serve(serve_args, out).await,
        ZoneCommand::Check(check_args) => check_files(&check_args, out),
    };
    done.unwrap_or_else(|fault| stop(BAD, &fault.to_string()))
}

fn check_files(args: &CheckArgs, out: &mut dyn Write) -> io::Result<ExitCode> {
    let mut sources = Vec::new();
    for path in &args.files {
        match read(path) {
            Ok(read) => sources.extend(read),
            Err(fault) => return Ok(stop(USAGE, &format!("{}: {fault}", path.display()))),
        }
    }
    let report = check(&sources);
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &report)?;
        writeln!(out)?;
    } else {
        writeln!(out, "{report}")?;
    }
    Ok(ExitCode::from(if report.is_bad() { BAD } else { GOOD }))
}

/// A file, or the zone files of a directory in the order of their names.
fn read(path: &Path) -> io::Result<Vec<Source>> {
    if !path.is_dir() {
        return Ok(vec![source(path)?]);
    }
    let mut files = std::fs::read_dir(path)?
        .map(|file| Ok(file?.path()))
        .collect::<io::Result<Vec<_>>>()?;
    files.retain(|file| file.extension() == Some(OsStr::new("zone")));
    files.sort();
    if files.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "no *.zone files here"));
    }
    files.iter().map(|file| source(file)).collect()
}

/// Octets that are not UTF-8 become replacement characters; the line that has them is found by what it breaks.
fn source(path: &Path) -> io::Result<Source> {
    let octets = std::fs::read(path)?;
    Ok(Source {
        file: path.display().to_string(),
        origin: path
            .file_stem()
            .and_then(OsStr::to_str)
            .and_then(|stem| stem.parse().ok()),
        text: String::from_utf8_lossy(&octets).into_owned(),
    })
}

async fn serve(args: ServeArgs, out: &mut dyn Write) -> io::Result<ExitCode> {
    let zones = match ZoneSet::load_dir(&args.zones) {
        Ok(zones) => zones,
        Err(errors) => return Ok(stop(BAD, &errors.to_string())),
    };
    let mut views = vec![("zones", zones.clone(), args.listen)];
    if let Some(listen) = args.gateway_view {
        match view::gateway_view(&args, zones).await {
            Ok(view) => views.push(("gateway view", view, listen)),
            Err(reason) => return Ok(stop(BAD, &reason)),
        }
    }
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut servers = Vec::new();
    for (view, zones, listen) in views {
        match ZoneServer::start(zones, listen).await {
            Ok(server) => {
                started(view, &server, args.json, out)?;
                servers.push(server);
            }
            Err(fault) => {
                let cause = std::error::Error::source(&fault)
                    .map(|cause| format!(": {cause}"))
                    .unwrap_or_default();
                return Ok(stop(BAD, &format!("{fault}{cause}")));
            }
        }
    }
    let mut reloads: Vec<_> = servers.iter().map(ZoneServer::reloads).collect();
    loop {
        let next = select_all(reloads.iter_mut().map(|one| Box::pin(one.recv())));
        tokio::select! {
            end = tokio::signal::ctrl_c() => { end?; break }
            _ = terminate.recv() => break,
            // What they come to is told as of any reload.
            _ = hangup.recv() => {
                for server in &servers {
                    server.reload().await;
                }
                if let [_, view] = servers.as_slice() {
                    view::take_up_agreements(&args, view).await;
                }
            }
            (report, ..) = next => if let Ok(report) = report {
                reloaded(&report, args.json, out)?;
            },
        }
    }
    for server in servers {
        server.shutdown().await;
    }
    Ok(ExitCode::from(GOOD))
}

fn started(view: &str, server: &ZoneServer, json: bool, out: &mut dyn Write) -> io::Result<()> {
    let zones = server.zones();
    let origins: Vec<&str> = zones.zones().map(|zone| zone.origin().as_str()).collect();
    let address = server.local_addr();
    if json {
        let line = serde_json::json!({ "view": view, "listening": address, "zones": origins });
        writeln!(out, "{line}")?;
    } else {
        writeln!(out, "{view} on {address}, UDP and TCP: {}", origins.join(" "))?;
    }
    out.flush()
}

fn reloaded(report: &Reloaded, json: bool, out: &mut dyn Write) -> io::Result<()> {
    let names = |zones: &[Name]| zones.iter().map(Name::to_string).collect::<Vec<_>>();
    let (changed, removed) = (names(&report.changed), names(&report.removed));
    let kept: Vec<String> = report.kept.iter().map(ToString::to_string).collect();
    if json {
        let line = serde_json::json!({ "changed": changed, "removed": removed, "kept": kept });
        writeln!(out, "{line}")?;
    } else {
        writeln!(
            out,
            "reloaded: {} changed, {} removed",
            changed.len(),
            removed.len()
        )?;
        for error in kept {
            writeln!(out, "bad, the old zone stays: {error}")?;
        }
    }
    out.flush()
}

fn stop(code: u8, message: &str) -> ExitCode {
    // Nobody is left to tell when standard error is gone.
    let _ = writeln!(io::stderr(), "impsgw zone: {message}");
    ExitCode::from(code)
}

const GOOD: u8 = 0;
const BAD: u8 = 1;
const USAGE: u8 = 2;

#[cfg(test)]
mod tests;
