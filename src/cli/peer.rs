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
    /// List all peers, as they stand over all nodes.
    List {
        #[command(flatten)]
        remote: Remote,
    },
    /// Show a peer with its sessions, over all nodes and at each; exit code 1 when it is down or suspended.
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
                    ("UNDER WAY", &under_way),
                    ("SET ASIDE", &|row| cell(row, "set_aside")),
                ],
                "no peers",
            );
            name_silent(&answer);
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
        let nodes = rows(&answer, "nodes");
        if nodes.len() > 1 {
            print_table(
                &nodes,
                &[
                    ("NODE", &|row| cell(row, "node")),
                    ("STATE", &state),
                    ("SESSIONS", &|row| cell(row, "open_sessions")),
                    ("UNDER WAY", &under_way),
                    ("PACE", &|row| row.get("pace").map_or("-".into(), share_words)),
                    ("FAILED", &|row| {
                        row.get("pace").map_or("-".into(), |pace| cell(pace, "failed"))
                    }),
                    ("LAST FAILURE", &|row| {
                        row.get("pace").map_or("-".into(), failure_words)
                    }),
                ],
                "no nodes",
            );
        }
        name_silent(&answer);
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

/// Names the nodes that gave no answer.
fn name_silent(answer: &Value) {
    for silent in rows(answer, "silent_nodes") {
        let (node, reason) = (cell(&silent, "node"), cell(&silent, "reason"));
        print(&format!(
            "{node} did not answer: what it has under way isn't shown ({reason})"
        ));
    }
}

/// Requests under way in all sessions.
fn under_way(row: &Value) -> String {
    let sessions = rows(row, "sessions");
    let counts = sessions
        .iter()
        .filter_map(|one| one.get("under_way").and_then(Value::as_u64));
    counts.sum::<u64>().to_string()
}

fn share_words(pace: &Value) -> String {
    if pace.is_null() {
        return "-".into();
    }
    format!(
        "{} of {}, {} a second",
        cell(pace, "in_flight"),
        cell(pace, "most_in_flight"),
        cell(pace, "per_second")
    )
}

fn failure_words(pace: &Value) -> String {
    match pace.get("last_failure").filter(|one| !one.is_null()) {
        Some(failure) => format!("{}: {}", time(failure, "at"), cell(failure, "reason")),
        None => "-".into(),
    }
}

/// How fast the peer is sent what may wait.
fn pace_words(pace: &Value) -> String {
    let is_cut = pace.get("is_cut").and_then(Value::as_bool) == Some(true);
    let why = if is_cut {
        ", less than agreed because it is slow or refuses"
    } else {
        ""
    };
    let mut words = format!(
        "pace: {} under way of {}, {} a second{why}",
        cell(pace, "in_flight"),
        cell(pace, "most_in_flight"),
        cell(pace, "per_second")
    );
    if failure_words(pace) != "-" {
        words.push_str(&format!(
            "; {} failed, the last at {}",
            cell(pace, "failed"),
            failure_words(pace)
        ));
    }
    words
}

fn state(row: &Value) -> String {
    if let Some(by) = row.get("suspended").and_then(Value::as_str) {
        return format!("suspended by {by}");
    }
    let is_up = row.get("up").and_then(Value::as_bool) == Some(true);
    if is_up { "up".into() } else { "down".into() }
}
