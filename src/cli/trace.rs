//! `impsgw trace`: what happened to a request, step by step, from its trail.

use clap::Args;
use serde_json::Value;

use super::{
    client::Remote,
    output::{Column, Done, Failure, cell, print, print_json, rows, table, time},
};
use crate::model::TrailRecord;

/// The arguments of `impsgw trace`.
#[derive(Args, Clone, Debug)]
pub struct TraceArgs {
    /// A trail ID (16 hexadecimal digits), a number, an address or a message ID.
    what: String,
    /// At most so many of each kind, newest first.
    #[arg(long, default_value_t = 20)]
    limit: usize,
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(args: TraceArgs) -> Done {
    let is_id = args.what.len() == 16 && args.what.bytes().all(|byte| byte.is_ascii_hexdigit());
    let what = Some(args.what.clone());
    let (id, word) = if is_id { (what, None) } else { (None, what) };
    let query = [
        ("id", id),
        ("word", word),
        ("limit", Some(args.limit.to_string())),
    ];
    let answer = args.remote.client()?.get("trace", &query).await?;
    let is_empty = rows(&answer, "trails").is_empty() && rows(&answer, "summaries").is_empty();
    if args.remote.json {
        print_json(&answer);
    } else if is_empty {
        print(
            "nothing is known of it; trails are kept for a day, summaries for 30 days, unless set otherwise",
        );
    } else {
        print(&text(&answer));
    }
    if answer.get("is_cut").and_then(Value::as_bool) == Some(true) && !args.remote.json {
        print("older files were not read: one look-up reads 2 GiB of each kind");
    }
    if is_empty {
        Err(Failure::Bad(String::new()))
    } else {
        Ok(())
    }
}

/// Trails in full, then one line a summary.
pub(super) fn text(answer: &Value) -> String {
    let mut text = String::new();
    for trail in rows(answer, "trails") {
        text.push_str(&trail_text(&trail));
    }
    let summaries = rows(answer, "summaries");
    if !summaries.is_empty() {
        let columns: &[Column<'_>] = &[
            ("TRAIL", &|row| cell(row, "id")),
            ("STARTED", &|row| time(row, "started")),
            ("FROM", &|row| cell(row, "from")),
            ("REQUEST", &|row| cell(row, "request")),
            ("SENDER", &|row| cell(row, "sender")),
            ("RECIPIENT", &|row| cell(row, "recipient")),
            ("OUTCOME", &|row| cell(row, "outcome")),
        ];
        text.push_str(&table(&summaries, columns));
    }
    text
}

fn trail_text(trail: &Value) -> String {
    let mut text = format!("{}  {}\n", cell(trail, "id"), time(trail, "started"));
    for step in rows(trail, "steps") {
        let number = |key| step.pointer(key).and_then(Value::as_u64).unwrap_or(0);
        let after = number("/after/secs") * 1000 + number("/after/nanos") / 1_000_000;
        let event = step.get("event").unwrap_or(&Value::Null);
        text.push_str(&format!(
            "  {after:>6} ms  {:<8} {}\n",
            cell(&step, "stop"),
            event_text(event)
        ));
        for line in rows(event, "steps") {
            let ttl = line
                .pointer("/ttl/secs")
                .map(|ttl| format!(", {ttl} s left"))
                .unwrap_or_default();
            text.push_str(&format!(
                "                       {}  [{}{ttl}]\n",
                cell(&line, "question"),
                cell(&line, "source")
            ));
            for (sign, key) in [(" ", "answer"), ("!", "passed_over")] {
                for one in rows(&line, key) {
                    text.push_str(&format!(
                        "                         {sign} {}\n",
                        one.as_str().unwrap_or_default()
                    ));
                }
            }
        }
    }
    text
}

/// An event in one line; the words are those of the fields.
fn event_text(event: &Value) -> String {
    let get = |key| cell(event, key);
    match get("event").as_str() {
        "received" => {
            let about = match get("recipients").as_str() {
                "-" => String::new(),
                recipients => format!(" to {recipients}"),
            };
            let (request, from, protocol) = (get("request"), get("from"), get("protocol"));
            format!("{request} from {from} by {protocol}: {}{about}", get("sender"))
        }
        "checked" => format!("holds: {}", get("clause")),
        "routed" => format!("{} goes to {}", get("recipient"), get("decision")),
        "attempt" => {
            let outcome = match get("failure").as_str() {
                "-" => "taken".to_owned(),
                failure => format!("failed: {failure}"),
            };
            let at = match get("server").as_str() {
                "-" => String::new(),
                server => format!(" at {server}"),
            };
            format!("{} by {}{at}: {outcome}", get("to"), get("protocol"))
        }
        "stored" => format!("stored: {}", get("reason")),
        "refused" => format!("refused: {}", get("reason")),
        "answered" => format!("answered: {}", get("outcome")),
        "note" => get("text"),
        _ => event.to_string(),
    }
}

/// The identity of a record, for those who print only what is new.
pub(super) fn id(trail: &Value) -> Option<String> {
    let record: TrailRecord = serde_json::from_value(trail.clone()).ok()?;
    Some(format!("{} {}", record.id, record.started.0))
}
