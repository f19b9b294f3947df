//! Set-up of the log: lines for people or JSON for collectors, filtered by level and place.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogLines {
    /// For people; coloured on a terminal.
    Text,
    /// One JSON object a line.
    Json,
}

/// The filter was not understood, or the log was set up before.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter was not understood.
    #[error("{0:?} is no log level or filter; write info, or info,impsgw::routing=debug")]
    Filter(String),
    /// The process has a log already.
    #[error("the log was set up before")]
    SetUpBefore,
}

/// Starts the log on standard error. `RUST_LOG` goes before the configured filter.
///
/// # Errors
/// [`LogError`].
pub fn start_log(filter: &str, lines: LogLines) -> Result<(), LogError> {
    let filter = match std::env::var(EnvFilter::DEFAULT_ENV) {
        Ok(over) if !over.is_empty() => parse_filter(&over)?,
        Ok(_) | Err(_) => parse_filter(filter)?,
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = match lines {
        LogLines::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogLines::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|_| LogError::SetUpBefore)
}

/// Whether a filter can be read; for the configuration's checks.
#[must_use]
pub fn is_log_filter(filter: &str) -> bool {
    parse_filter(filter).is_ok()
}

fn parse_filter(filter: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::try_new(filter).map_err(|_| LogError::Filter(filter.to_owned()))
}
