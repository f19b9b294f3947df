//! `impsgw queue`: what waits, and what an operator does with it, one item, all that match, or a whole queue.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    client::{Client, Remote, escaped},
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
        /// Items after this one, to go on where a list ended.
        #[arg(long, value_name = "ITEM", value_parser = item_number)]
        after: Option<u64>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Show one item; never what it carries.
    Show {
        /// Its number.
        #[arg(value_parser = item_number)]
        item: u64,
        #[command(flatten)]
        remote: Remote,
    },
    /// Keep items from being sent; with --queue alone, the whole queue with what comes to it, over restarts.
    Hold(Act),
    /// Let held items go on; with --queue alone, the whole queue and the held items in it.
    Release(Act),
    /// Try dead items again.
    Retry(Act),
    /// Take items out; the senders of messages are told why.
    Discard(Act),
    /// Send items to another domain, whatever the routes of their recipients say.
    Redirect {
        /// The peer or domain that they go to.
        #[arg(long, value_name = "PEER|DOMAIN")]
        to: String,
        #[command(flatten)]
        act: Act,
    },
}

#[derive(Args, Clone, Debug)]
struct Act {
    /// The item's number; or give conditions for all that match.
    #[arg(value_parser = item_number)]
    item: Option<u64>,
    #[command(flatten)]
    wanted: Wanted,
    /// All items, without a condition.
    #[arg(long, conflicts_with_all = ["item", "queue", "place", "label", "older_than"])]
    all: bool,
    /// Do it; discarding or redirecting several items, and --all, need it.
    #[arg(long)]
    yes: bool,
    /// Why; discarding needs it.
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Args, Clone, Debug)]
struct Wanted {
    /// Items of this queue: a serving domain.
    #[arg(long)]
    queue: Option<String>,
    /// Items in this place.
    #[arg(long, value_parser = ["scheduled", "leased", "awaiting", "held", "dead"])]
    place: Option<String>,
    /// Items with this message ID or canonical address.
    #[arg(long)]
    label: Option<String>,
    /// Items that were accepted longer ago, such as 2h.
    #[arg(long, value_name = "AGE")]
    older_than: Option<String>,
}

impl Wanted {
    fn is_empty(&self) -> bool {
        !self.is_narrow() && self.queue.is_none()
    }

    /// Whether anything but the queue is asked for.
    fn is_narrow(&self) -> bool {
        self.place.is_some() || self.label.is_some() || self.older_than.is_some()
    }

    async fn items(&self, client: &Client, after: Option<u64>, limit: usize) -> Result<Value, Failure> {
        let query = [
            ("queue", self.queue.clone()),
            ("place", self.place.clone()),
            ("label", self.label.clone()),
            ("older_than", self.older_than.clone()),
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
            after,
            remote,
        } => list(&wanted, after, limit, &remote).await,
        QueueCommand::Show { item, remote } => {
            let answer = remote.client()?.get(&format!("items/{item}"), &[]).await?;
            if remote.json {
                print_json(&answer);
            } else {
                print(&lines(&answer));
            }
            Ok(())
        }
        QueueCommand::Hold(act) => settle("hold", None, act).await,
        QueueCommand::Release(act) => settle("release", None, act).await,
        QueueCommand::Retry(act) => settle("retry", None, act).await,
        QueueCommand::Discard(act) => settle("discard", None, act).await,
        QueueCommand::Redirect { to, act } => settle("redirect", Some(to), act).await,
    }
}

async fn list(wanted: &Wanted, after: Option<u64>, limit: usize, remote: &Remote) -> Done {
    let client = remote.client()?;
    if wanted.is_empty() && after.is_none() {
        let answer = client.get("queues", &[]).await?;
        if remote.json {
            print_json(&answer);
        } else {
            print_counts(&answer);
        }
        return Ok(());
    }
    let answer = wanted.items(&client, after, limit).await?;
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
    if let Some(next) = answer.get("next").and_then(Value::as_u64) {
        print(&format!("there are more: --after {next}"));
    }
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

/// How many items stand in each place of each queue, and which queues are held.
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
    for held in rows(answer, "held") {
        let (queue, by) = (cell(&held, "queue"), cell(&held, "by"));
        print(&format!("{queue} is held since {} by {by}", time(&held, "since")));
    }
}

async fn settle(action: &str, to: Option<String>, act: Act) -> Done {
    check(action, &act)?;
    let client = act.remote.client()?;
    if let Some(item) = act.item {
        let body = match &to {
            Some(to) => json!({ "reason": act.reason, "to": to }),
            None => json!({ "reason": act.reason }),
        };
        let answer = client.post(&format!("items/{item}/{action}"), body).await?;
        if act.remote.json {
            print_json(&answer);
        } else {
            print(&format!("item {item}: {action} done"));
        }
        return Ok(());
    }
    let is_whole_queue = matches!(action, "hold" | "release") && !act.wanted.is_narrow();
    match &act.wanted.queue {
        Some(queue) if is_whole_queue => whole_queue(&client, action, queue, &act).await,
        Some(_) | None => settle_many(&client, action, to, &act).await,
    }
}

/// What a person can't have meant, or has to say twice.
fn check(action: &str, act: &Act) -> Done {
    if act.item.is_none() && act.wanted.is_empty() && !act.all {
        let text =
            format!("{action} what? give an item, or --queue, --place, --label or --older-than, or --all");
        return Err(Failure::Usage(text));
    }
    if act.item.is_some() && !act.wanted.is_empty() {
        let text = "give an item or conditions, not both";
        return Err(Failure::Usage(text.into()));
    }
    if action == "discard" && act.reason.trim().is_empty() {
        let text = "say why, with --reason: the senders and the audit log hear it";
        return Err(Failure::Usage(text.into()));
    }
    let is_grave = matches!(action, "discard" | "redirect") || act.all;
    if act.item.is_none() && is_grave && !act.yes {
        let text = format!(
            "{action} all that match? the same conditions after `queue list` show which; --yes does it"
        );
        return Err(Failure::Usage(text));
    }
    Ok(())
}

async fn whole_queue(client: &Client, action: &str, queue: &str, act: &Act) -> Done {
    let body = match action {
        "hold" => json!({ "reason": act.reason }),
        _ => json!({}),
    };
    let path = format!("queues/{}/{action}", escaped(queue));
    let answer = client.post(&path, body).await?;
    if action == "release" {
        let was_held = answer.get("was_held").and_then(Value::as_bool) == Some(true);
        if was_held && !act.remote.json {
            print(&format!("{queue} is held no more"));
        }
        // What was held by itself goes on with the rest.
        return settle_many(client, action, None, act).await;
    }
    if act.remote.json {
        print_json(&answer);
    } else {
        print(&format!(
            "{queue} is held: what waits stays, and what comes waits behind it"
        ));
    }
    Ok(())
}

/// Page by page, until the gateway says that this was all.
async fn settle_many(client: &Client, action: &str, to: Option<String>, act: &Act) -> Done {
    let (mut done, mut failed, mut after) = (0, Vec::new(), Value::Null);
    loop {
        let answer = client
            .post(
                "items/settle",
                json!({
                    "action": action,
                    "queue": act.wanted.queue,
                    "place": act.wanted.place,
                    "label": act.wanted.label,
                    "older_than": act.wanted.older_than,
                    "all": act.all,
                    "after": after,
                    "reason": act.reason,
                    "to": to,
                }),
            )
            .await?;
        done += answer.get("done").and_then(Value::as_u64).unwrap_or(0);
        failed.extend(rows(&answer, "failed"));
        after = answer.get("next").cloned().unwrap_or_default();
        if after.is_null() {
            break;
        }
    }
    if act.remote.json {
        print_json(&json!({ "done": done, "failed": failed }));
    } else {
        print(&format!("{action}: {done} item(s) done, {} not", failed.len()));
        for one in &failed {
            print(&format!("item {}: {}", cell(one, "item"), cell(one, "why")));
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::Bad(String::new()))
    }
}
