//! Arguments in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use impsgw::cli::{Cli, run};

fn main() -> ExitCode {
    // Usage mistakes end the program here, with exit code 2.
    let cli = Cli::parse();
    // TLS has one provider in this program; it was set before only if this were called twice.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(run(cli)),
        Err(error) => {
            eprintln!("impsgw: the runtime can't start: {error}");
            ExitCode::FAILURE
        }
    }
}
