//! `impsgw peer`: how peers and their sessions stand, and the levers suspend, resume, reconnect.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    client::{Remote, escaped},
    output::{Done, Failure, cell, print, print_json, print_table, rows, time},
};

/// The arguments of `impsgw peer`.
#[derive(Args, Clone, Debug)]
pub struct PeerArgs {
    #[command(subcommand)]
    command: PeerCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum PeerCommand {
    /// List all peers.
    List {
        #[command(flatten)]
        remote: Remote,
    },
    /// Show a peer with its sessions; exit code 1 when it is down or suspended.
    Show {
        /// The peer.
        peer: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Stop all traffic with a peer; what may wait, waits.
    Suspend {
        /// The peer.
        peer: String,
        /// Why; shown to all.
        #[arg(long, default_value = "")]
        reason: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// End a suspension.
    Resume {
        /// The peer.
        peer: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Establish a peer's sessions anew.
    Reconnect {
        /// The peer.
        peer: String,
        #[command(flatten)]
        remote: Remote,
    },
}

pub(super) async fn run(args: PeerArgs) -> Done {
    match args.command {
        PeerCommand::List { remote } => {
            let answer = remote.client()?.get("peers", &[]).await?;
            if remote.json {
                print_json(&answer);
                return Ok(());
            }
            print_table(
                &rows(&answer, "peers"),
                &[
                    ("PEER", &|row| cell(row, "peer")),
                    ("PROTOCOL", &|row| cell(row, "protocol")),
                    ("STATE", &state),
                    ("SESSIONS", &|row| cell(row, "open_sessions")),
                    ("SET ASIDE", &|row| cell(row, "set_aside")),
                ],
                "no peers",
            );
            Ok(())
        }
        PeerCommand::Show { peer, remote } => show(&peer, &remote).await,
        PeerCommand::Suspend { peer, reason, remote } => {
            pull(
                &peer,
                "suspend",
                json!({ "reason": reason }),
                "is suspended",
                &remote,
            )
            .await
        }
        PeerCommand::Resume { peer, remote } => pull(&peer, "resume", json!({}), "is resumed", &remote).await,
        PeerCommand::Reconnect { peer, remote } => {
            pull(&peer, "reconnect", json!({}), "reconnects", &remote).await
        }
    }
}

async fn show(peer: &str, remote: &Remote) -> Done {
    let path = format!("peers/{}", escaped(peer));
    let answer = remote.client()?.get(&path, &[]).await?;
    if remote.json {
        print_json(&answer);
    } else {
        print(&format!(
            "{peer} by {}: {}",
            cell(&answer, "protocol"),
            state(&answer)
        ));
        print_table(
            &rows(&answer, "sessions"),
            &[
                ("OWN", &|row| cell(row, "own")),
                ("THEIRS", &|row| cell(row, "theirs")),
                ("STATE", &|row| cell(row, "state")),
                ("SINCE", &|row| time(row, "since")),
                ("UNDER WAY", &|row| cell(row, "under_way")),
            ],
            "no sessions",
        );
        if let Some(pace) = answer.get("pace").filter(|pace| !pace.is_null()) {
            print(&pace_words(pace));
        }
        for server in rows(&answer, "set_aside") {
            print(&format!("set aside: {}", server.as_str().unwrap_or_default()));
        }
    }
    if answer.get("up").and_then(Value::as_bool) == Some(true) {
        Ok(())
    } else {
        Err(Failure::Bad(String::new()))
    }
}

async fn pull(peer: &str, lever: &str, body: Value, done: &str, remote: &Remote) -> Done {
    let path = format!("peers/{}/{lever}", escaped(peer));
    let answer = remote.client()?.post(&path, body).await?;
    if remote.json {
        print_json(&answer);
    } else {
        print(&format!("{peer} {done}"));
    }
    Ok(())
}

/// How fast the peer is sent what may wait.
fn pace_words(pace: &Value) -> String {
    let is_cut = pace.get("is_cut").and_then(Value::as_bool) == Some(true);
    let why = if is_cut {
        ", less than agreed because it is slow or refuses"
    } else {
        ""
    };
    format!(
        "pace: {} under way of {}, {} a second{why}",
        cell(pace, "in_flight"),
        cell(pace, "most_in_flight"),
        cell(pace, "per_second")
    )
}

fn state(row: &Value) -> String {
    if let Some(by) = row.get("suspended").and_then(Value::as_str) {
        return format!("suspended by {by}");
    }
    let is_up = row.get("up").and_then(Value::as_bool) == Some(true);
    if is_up { "up".into() } else { "down".into() }
}
