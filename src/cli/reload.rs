//! `impsgw reload`: the changed configuration in force, or every mistake and nothing changed.

use clap::Args;
use serde_json::{Value, json};

use super::{
    client::Remote,
    output::{Done, Failure, cell, print, print_json},
};

/// The arguments of `impsgw reload`.
#[derive(Args, Clone, Debug)]
pub struct ReloadArgs {
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(args: ReloadArgs) -> Done {
    let answer = args.remote.client()?.post("reload", json!({})).await?;
    let is_done = answer.get("reloaded").and_then(Value::as_bool) == Some(true);
    if args.remote.json {
        print_json(&answer);
    } else if is_done {
        print(&format!("reloaded: {}", cell(&answer, "changed")));
    } else {
        for mistake in super::output::rows(&answer, "mistakes") {
            print(mistake.as_str().unwrap_or_default());
        }
        print("nothing was changed");
    }
    if is_done {
        Ok(())
    } else {
        Err(Failure::Bad(String::new()))
    }
}
