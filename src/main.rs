//! Arguments in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use impsgw::telemetry::{LogLines, start_log};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Every TLS user of the tree takes the provider from here; a second installation can't happen.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = impsgw::cli::Cli::parse();
    // `serve` sets its log up from the configuration.
    if let Some(filter) = cli.log_filter()
        && let Err(error) = start_log(filter, LogLines::Text)
    {
        eprintln!("impsgw: {error}");
        return ExitCode::from(2);
    }
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = match runtime.worker_threads(cli.threads()).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "the runtime can't start");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(impsgw::cli::run(cli, &mut std::io::stdout())) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("impsgw: {error}");
            ExitCode::FAILURE
        }
    }
}
