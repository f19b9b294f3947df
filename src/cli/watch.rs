//! `impsgw watch`: follows a number or address and prints each request about it as it ends, until the time is over.

use std::{collections::HashSet, time::Duration};

use clap::Args;
use serde_json::{Value, json};

use super::{
    client::Remote,
    output::{Done, Failure, print, print_json, rows},
    trace,
};
use crate::model::duration;

/// The arguments of `impsgw watch`.
#[derive(Args, Clone, Debug)]
pub struct WatchArgs {
    /// A number such as +447700900123, or an address such as wv:bea@beta.example.
    address: String,
    /// How long, such as 10m; at most 7d.
    #[arg(long = "for", value_name = "DURATION", default_value = "10m")]
    lasts: String,
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(args: WatchArgs) -> Done {
    let lasts = duration::parse(&args.lasts)
        .ok_or_else(|| Failure::Usage(format!("{:?} is no duration: write it as 10m", args.lasts)))?;
    let client = args.remote.client()?;
    let body = json!({ "address": args.address, "for": args.lasts });
    let answer = client.post("follow", body).await?;
    let address = answer
        .get("address")
        .and_then(Value::as_str)
        .unwrap_or(&args.address)
        .to_owned();
    if !args.remote.json {
        print(&format!("following {address} for {}", args.lasts));
    }
    let query = [("word", Some(address)), ("limit", Some("100".to_owned()))];
    let mut seen: HashSet<String> = HashSet::new();
    for trail in rows(&client.get("trace", &query).await?, "trails") {
        seen.extend(trace::id(&trail));
    }
    let watching = async {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let mut trails = rows(&client.get("trace", &query).await?, "trails");
            trails.reverse();
            for trail in trails {
                if trace::id(&trail).is_some_and(|id| seen.insert(id)) {
                    if args.remote.json {
                        print_json(&trail);
                    } else {
                        print(&trace::text(&json!({ "trails": [trail] })));
                    }
                }
            }
        }
    };
    tokio::time::timeout(lasts, watching).await.unwrap_or(Ok(()))
}
