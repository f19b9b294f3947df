//! `impsgw check`: every mistake of the configuration at once, with file and line; what is asked of nobody else.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::output::{Done, Failure, print, print_json};
use crate::config::Config;

/// The arguments of `impsgw check`.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// The configuration.
    #[arg(
        long,
        value_name = "FILE",
        env = "IMPSGW_CONFIG",
        default_value = "config/impsgw.toml"
    )]
    pub config: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(args: &CheckArgs) -> Done {
    let file = args.config.display().to_string();
    match Config::load(&args.config) {
        Ok(config) => {
            let count = config.agreements.len();
            if args.json {
                print_json(&json!({ "file": file, "good": true, "agreements": count, "mistakes": [] }));
            } else {
                print(&format!("{file} is good: {count} agreement(s)"));
            }
            Ok(())
        }
        Err(mistakes) => {
            if args.json {
                print_json(&json!({ "file": file, "good": false, "mistakes": mistakes.0 }));
            } else {
                print(&mistakes.to_string());
            }
            Err(Failure::Bad(String::new()))
        }
    }
}
