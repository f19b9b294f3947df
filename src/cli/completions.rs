//! `impsgw completions`: a script that lets a shell complete commands and options; made from the command line's own
//! definition.

use std::{io::Write, process::ExitCode};

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use super::Cli;

/// The arguments of `impsgw completions`.
#[derive(Args, Clone, Debug)]
pub(super) struct CompletionsArgs {
    /// The shell.
    shell: Shell,
    /// Print JSON: the script as one text.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(
    args: &CompletionsArgs,
    out: &mut (dyn Write + Send),
) -> Result<ExitCode, Box<dyn std::error::Error + Send + Sync>> {
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "impsgw", &mut script);
    if args.json {
        let script = String::from_utf8_lossy(&script);
        writeln!(
            out,
            "{}",
            serde_json::json!({ "shell": args.shell.to_string(), "script": script })
        )?;
    } else {
        out.write_all(&script)?;
    }
    Ok(ExitCode::SUCCESS)
}
