//! `impsgw audit`: who did what, and what came of it.

use clap::Args;

use super::{
    client::Remote,
    output::{Done, Failure, cell, print_json, print_table, rows, time},
};
use crate::{model::duration, telemetry::Clock};

/// The arguments of `impsgw audit`.
#[derive(Args, Clone, Debug)]
pub struct AuditArgs {
    /// How far back, such as 24h or 30d.
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    last: String,
    /// At most so many entries.
    #[arg(long, default_value_t = 1000)]
    limit: usize,
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(args: AuditArgs) -> Done {
    let last = duration::parse(&args.last)
        .ok_or_else(|| Failure::Usage(format!("{:?} is no duration: write it as 24h", args.last)))?;
    let since = Clock::system().now().minus(last);
    let query = [
        ("since", Some(since.0.to_string())),
        ("limit", Some(args.limit.to_string())),
    ];
    let answer = args.remote.client()?.get("audit", &query).await?;
    if args.remote.json {
        print_json(&answer);
        return Ok(());
    }
    print_table(
        &rows(&answer, "entries"),
        &[
            ("AT", &|row| time(row, "at")),
            ("TOKEN", &|row| cell(row, "token")),
            ("ROLE", &|row| cell(row, "role")),
            ("STATUS", &|row| cell(row, "status")),
            ("CALL", &|row| cell(row, "call")),
            ("BODY", &|row| cell(row, "body")),
        ],
        "nothing was done in that time",
    );
    Ok(())
}
