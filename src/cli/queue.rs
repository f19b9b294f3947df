//! `impsgw queue`: what waits, and what an operator does with it, one item or all that match.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    client::{Client, Remote},
    output::{Done, Failure, cell, print, print_json, print_table, rows, time},
};

/// The arguments of `impsgw queue`.
#[derive(Args, Clone, Debug)]
pub struct QueueArgs {
    #[command(subcommand)]
    command: QueueCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum QueueCommand {
    /// List items; without a condition, how many wait in each queue.
    List {
        #[command(flatten)]
        wanted: Wanted,
        /// At most so many items.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        #[command(flatten)]
        remote: Remote,
    },
    /// Show one item.
    Show {
        /// Its number.
        #[arg(value_parser = item_number)]
        item: u64,
        #[command(flatten)]
        remote: Remote,
    },
    /// Keep items from being sent.
    Hold(Act),
    /// Let held items go on.
    Release(Act),
    /// Try dead items again.
    Retry(Act),
    /// Throw items away.
    Discard(Act),
}

#[derive(Args, Clone, Debug)]
struct Act {
    /// The item's number; or give --queue, --place or --label for all that match.
    #[arg(value_parser = item_number)]
    item: Option<u64>,
    #[command(flatten)]
    wanted: Wanted,
    /// Why; shown to all who look at a held item.
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Args, Clone, Debug)]
struct Wanted {
    /// Items of this queue: a serving domain or a peer.
    #[arg(long)]
    queue: Option<String>,
    /// Items in this place.
    #[arg(long, value_parser = ["scheduled", "leased", "awaiting", "held", "dead"])]
    place: Option<String>,
    /// Items with this message ID or canonical address.
    #[arg(long)]
    label: Option<String>,
}

impl Wanted {
    fn is_empty(&self) -> bool {
        self.queue.is_none() && self.place.is_none() && self.label.is_none()
    }

    async fn items(&self, client: &Client, after: Option<u64>, limit: usize) -> Result<Value, Failure> {
        let query = [
            ("queue", self.queue.clone()),
            ("place", self.place.clone()),
            ("label", self.label.clone()),
            ("after", after.map(|after| after.to_string())),
            ("limit", Some(limit.to_string())),
        ];
        client.get("items", &query).await
    }
}

pub(super) async fn run(args: QueueArgs) -> Done {
    match args.command {
        QueueCommand::List {
            wanted,
            limit,
            remote,
        } => list(&wanted, limit, &remote).await,
        QueueCommand::Show { item, remote } => {
            let answer = remote.client()?.get(&format!("items/{item}"), &[]).await?;
            if remote.json {
                print_json(&answer);
            } else {
                print(&lines(&answer));
            }
            Ok(())
        }
        QueueCommand::Hold(act) => settle("hold", act).await,
        QueueCommand::Release(act) => settle("release", act).await,
        QueueCommand::Retry(act) => settle("retry", act).await,
        QueueCommand::Discard(act) => settle("discard", act).await,
    }
}

async fn list(wanted: &Wanted, limit: usize, remote: &Remote) -> Done {
    let client = remote.client()?;
    if wanted.is_empty() {
        let answer = client.get("queues", &[]).await?;
        if remote.json {
            print_json(&answer);
        } else {
            print_counts(&answer);
        }
        return Ok(());
    }
    let answer = wanted.items(&client, None, limit).await?;
    if remote.json {
        print_json(&answer);
        return Ok(());
    }
    print_table(
        &rows(&answer, "items"),
        &[
            ("ITEM", &|row| cell(row, "id")),
            ("QUEUE", &|row| cell(row, "queue")),
            ("PLACE", &|row| cell(row, "place")),
            ("CREATED", &|row| time(row, "created")),
            ("NEXT TRY", &next_try),
            ("EXPIRES", &|row| time(row, "expires")),
            ("TRIES", &|row| cell(row, "attempts")),
            ("LAST FAILURE", &|row| cell(row, "last_failure")),
        ],
        "no items",
    );
    Ok(())
}

fn item_number(text: &str) -> Result<u64, String> {
    text.parse()
        .map_err(|_| "items are numbered; `impsgw queue list --queue QUEUE` shows them".to_owned())
}

/// What its place says more: when it is tried next, who holds it, why it is dead.
fn place(detail: &Value) -> Option<String> {
    let facts = detail.as_object()?.values().next()?.as_object()?;
    let facts = Value::Object(facts.clone());
    let line = |key: &str| match key {
        "due" => format!("next try        {}", time(&facts, key)),
        "until" => format!("until           {}", time(&facts, key)),
        _ => format!("{key:<14}  {}", cell(&facts, key)),
    };
    let keys = facts.as_object()?.keys();
    Some(keys.map(|key| line(key)).collect::<Vec<_>>().join("\n"))
}

/// When an item is tried next, when that is known.
fn next_try(item: &Value) -> String {
    match item.pointer("/detail/scheduled") {
        Some(scheduled) => time(scheduled, "due"),
        None => "-".into(),
    }
}

/// An item, one line a fact; times and empty facts as people read them.
fn lines(item: &Value) -> String {
    let facts = item.as_object().into_iter().flatten();
    let line = |(key, value): (&String, &Value)| {
        let text = match key.as_str() {
            "created" | "expires" => time(item, key),
            "detail" => return place(value),
            _ => cell(item, key),
        };
        (!value.is_null()).then(|| format!("{:<14}  {text}", key.replace('_', " ")))
    };
    facts.filter_map(line).collect::<Vec<_>>().join("\n")
}

/// How many items stand in each place of each queue.
pub(super) fn print_counts(answer: &Value) {
    print_table(
        &rows(answer, "queues"),
        &[
            ("QUEUE", &|row| cell(row, "queue")),
            ("PLACE", &|row| cell(row, "place")),
            ("ITEMS", &|row| cell(row, "count")),
            ("OLDEST", &|row| format!("{} s", cell(row, "oldest_seconds"))),
        ],
        "nothing waits",
    );
}

async fn settle(action: &str, act: Act) -> Done {
    let client = act.remote.client()?;
    let body = match action {
        "hold" => json!({ "reason": act.reason }),
        _ => json!({}),
    };
    if let Some(item) = act.item {
        let answer = client.post(&format!("items/{item}/{action}"), body).await?;
        if act.remote.json {
            print_json(&answer);
        } else {
            print(&format!("item {item}: {action} done"));
        }
        return Ok(());
    }
    if act.wanted.is_empty() {
        let text = format!("{action} what? give an item, or --queue, --place or --label");
        return Err(Failure::Usage(text));
    }
    let (mut done, mut failed, mut after) = (0_u64, Vec::new(), None);
    loop {
        let items = rows(&act.wanted.items(&client, after, 500).await?, "items");
        let ids: Vec<u64> = items.iter().filter_map(|item| item.get("id")?.as_u64()).collect();
        let Some(last) = ids.last() else { break };
        after = Some(*last);
        for id in ids {
            match client.post(&format!("items/{id}/{action}"), body.clone()).await {
                Ok(_) => done += 1,
                Err(Failure::Bad(text) | Failure::Usage(text)) => {
                    failed.push(json!({ "item": id, "why": text }))
                }
            }
        }
    }
    if act.remote.json {
        print_json(&json!({ "done": done, "failed": failed }));
    } else {
        print(&format!("{action}: {done} item(s) done, {} not", failed.len()));
        for one in &failed {
            print(&cell(one, "why"));
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::Bad(String::new()))
    }
}
