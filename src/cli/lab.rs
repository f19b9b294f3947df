//! `impsgw lab`: the federation on one machine, the use cases played out, and what to try next.

use std::{io::Write, path::PathBuf, process::ExitCode};

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::sandbox::{self, SandboxArgs};
use crate::lab::{Federation, Pages, play};

/// Arguments of `impsgw lab`.
#[derive(Args, Debug)]
pub struct LabArgs {
    /// End when the play is over; the exit code is 0 when every step held.
    #[arg(long)]
    once: bool,
    /// Where certificates, stores and configurations are put; a fresh folder below the system's temporary one by default,
    /// which goes when the lab ends well.
    #[arg(long)]
    dir: Option<PathBuf>,
    #[command(flatten)]
    sandbox: SandboxArgs,
}

impl LabArgs {
    /// Whether a partner's server is to be served, and nothing played.
    pub(super) fn is_sandbox(&self) -> bool {
        self.sandbox.partner.is_some()
    }
}

/// Runs the lab.
///
/// # Errors
/// When the federation can't come up.
pub async fn run(
    args: LabArgs,
    out: &mut (dyn Write + Send),
) -> Result<ExitCode, Box<dyn std::error::Error + Send + Sync>> {
    let guest = args.sandbox.guest().await?;
    let is_ours = args.dir.is_none();
    let folder = match args.dir {
        Some(dir) => dir,
        None => std::env::temp_dir().join(format!("impsgw-lab-{}", std::process::id())),
    };
    if let Err(error) = std::fs::create_dir_all(&folder) {
        return Err(format!(
            "the lab's folder {} can't be made: {error}; name another with --dir",
            folder.display()
        )
        .into());
    }
    if let Some(guest) = guest {
        // What is printed is read in other folders too.
        let folder = folder.canonicalize()?;
        sandbox::serve(guest, &folder, out).await?;
        if is_ours {
            let _ = std::fs::remove_dir_all(&folder);
        }
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(
        out,
        "impsgw lab: four operators on this machine, over mutual TLS, with their own DNS"
    )?;
    let mut federation = Federation::start(&folder).await?;
    writeln!(out, "  folder  {}", folder.display())?;
    writeln!(
        out,
        "  DNS     {}   zones e164enum.net, alpha.example, beta.example, hub.example, isle.example",
        federation.dns
    )?;
    for operator in federation.operators() {
        let ssp: Vec<_> = operator.app.ssp.iter().map(ToString::to_string).collect();
        writeln!(
            out,
            "  {:<6}  SSP {} (mutual TLS), subscribers {}",
            operator.name,
            ssp.join(", "),
            operator.subscribers
        )?;
    }
    let played = play(&mut federation, out).await?;
    writeln!(
        out,
        "\n{} steps held, {} failed",
        played.held,
        played.failed.len()
    )?;
    if args.once {
        federation.shut_down().await;
        if is_ours && played.failed.is_empty() {
            let _ = std::fs::remove_dir_all(&folder);
        }
        return Ok(if played.failed.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        });
    }
    let pages = Pages::start(&mut federation.operators_mut()).await?;
    let program = std::env::current_exe().unwrap_or_else(|_| "impsgw".into());
    let program = program.display();
    writeln!(
        out,
        "\nThe lab stays up until ^C. The handsets, and the way of each request:\n  http://{}/\nIn another terminal:",
        pages.address
    )?;
    if let Some(admin) = federation.alpha.app.admin {
        let path = folder.join("alpha-data/admin-token");
        let token = std::fs::read_to_string(&path).unwrap_or_default();
        writeln!(
            out,
            "  export IMPSGW_CONFIG={}",
            federation.alpha.config.display()
        )?;
        writeln!(
            out,
            "  export IMPSGW_ADMIN=http://{admin} IMPSGW_TOKEN_FILE={}",
            path.display()
        )?;
        for line in [
            "route +447700900456       # where does Bea's number go, and why?",
            "trace +447700900456       # what happened to it?",
            "cache list                # what is known, and how long?",
            "peer show beta            # the session with Beta",
            "probe beta                # DNS, TCP, TLS, HTTP and session, tried anew",
        ] {
            writeln!(out, "  {program} {line}")?;
        }
        writeln!(out, "  # the console: http://{admin}/#token={}", token.trim())?;
    }
    for (handset, base) in played
        .handsets
        .iter()
        .zip([&federation.alpha.subscribers, &federation.beta.subscribers])
    {
        writeln!(out, "  # as {}:", handset.name)?;
        writeln!(
            out,
            "  curl -s -H 'Authorization: Bearer {}' {base}/v1/contacts",
            handset.token
        )?;
        writeln!(
            out,
            "  curl -sN -H 'Authorization: Bearer {}' {base}/v1/events",
            handset.token
        )?;
    }
    out.flush()?;
    ended().await?;
    federation.shut_down().await;
    if is_ours {
        let _ = std::fs::remove_dir_all(&folder);
    }
    Ok(ExitCode::SUCCESS)
}

/// Waits for ^C or SIGTERM.
pub(super) async fn ended() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        ended = tokio::signal::ctrl_c() => ended,
        _ = terminate.recv() => Ok(()),
    }
}
