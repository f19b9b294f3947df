//! `impsgw serve`: the gateway, until SIGTERM or ^C; SIGHUP puts a changed configuration in force.

use std::{io::Write, path::PathBuf, process::ExitCode};

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::client::DEFAULT_CONFIG;
use crate::{
    app::{App, Sockets},
    config::{Config, LogFormat},
    telemetry::{LogLines, start_log},
};

/// Arguments of `impsgw serve`.
#[derive(Args, Debug)]
pub struct ServeArgs {
    /// The configuration file.
    #[arg(long, value_name = "FILE", env = "IMPSGW_CONFIG", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
    /// Threads that carry requests; by default one less than there are processors, and at least one, because the
    /// store's writer and the system's network need theirs
    #[arg(long, value_name = "N", env = "IMPSGW_THREADS", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

impl ServeArgs {
    /// The threads that were asked for.
    #[must_use]
    pub(super) fn threads(&self) -> Option<usize> {
        self.threads.map(usize::from)
    }
}

/// Runs the gateway.
///
/// # Errors
/// When it can't start.
pub async fn run(
    args: ServeArgs,
    out: &mut (dyn Write + Send),
) -> Result<ExitCode, Box<dyn std::error::Error + Send + Sync>> {
    let config = match Config::load(&args.config) {
        Ok(config) => config,
        Err(mistakes) => {
            writeln!(out, "{mistakes}")?;
            return Ok(ExitCode::FAILURE);
        }
    };
    let lines = match config.gateway.log.format {
        LogFormat::Text => LogLines::Text,
        LogFormat::Json => LogLines::Json,
    };
    start_log(&config.gateway.log.level, lines)?;
    let path = args.config.clone();
    let reload: crate::app::LoadConfig = Box::new(move || Config::load(&path));
    let sockets = Sockets {
        reload: Some(reload),
        ..Sockets::default()
    };
    let app = App::start(config, sockets).await?;
    let (mut hang_up, mut terminate) = (signal(SignalKind::hangup())?, signal(SignalKind::terminate())?);
    loop {
        tokio::select! {
            _ = hang_up.recv() => match Config::load(&args.config) {
                Ok(config) => if let Err(error) = app.reload(config) {
                    tracing::error!(%error, "the changed configuration was not taken up; the old one stays");
                },
                Err(mistakes) => tracing::error!(%mistakes, "the changed configuration was not taken up; the old one stays"),
            },
            () = app.is_out() => {
                app.shut_down().await;
                return Ok(ExitCode::FAILURE);
            }
            _ = terminate.recv() => break,
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    tracing::info!("shutting down");
    app.shut_down().await;
    Ok(ExitCode::SUCCESS)
}
