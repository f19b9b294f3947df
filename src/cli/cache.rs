//! `impsgw cache`: what routing knows of numbers, domains and names, and making it forget.

use clap::{Args, Subcommand};

use super::{
    client::Remote,
    output::{Done, Failure, cell, print, print_json, print_table, rows},
};

/// The arguments of `impsgw cache`.
#[derive(Args, Clone, Debug)]
pub struct CacheArgs {
    #[command(subcommand)]
    command: CacheCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum CacheCommand {
    /// List entries.
    List {
        #[command(flatten)]
        wanted: Wanted,
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        #[command(flatten)]
        remote: Remote,
    },
    /// Show how the caches are used, and the entries about one number or domain.
    Show {
        #[command(flatten)]
        wanted: Wanted,
        #[command(flatten)]
        remote: Remote,
    },
    /// Forget entries.
    Flush {
        #[command(flatten)]
        wanted: Wanted,
        /// Everything; needed when no condition is given.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        remote: Remote,
    },
}

#[derive(Args, Clone, Debug)]
struct Wanted {
    /// A number or a domain, short for --number or --domain.
    #[arg(value_name = "NUMBER|DOMAIN", conflicts_with_all = ["number", "prefix", "domain"])]
    about: Option<String>,
    /// Entries about this number.
    #[arg(long, conflicts_with = "prefix")]
    number: Option<String>,
    /// Entries about numbers that begin so, such as +4477.
    #[arg(long)]
    prefix: Option<String>,
    /// Entries about this domain and all below it, and numbers that lead there.
    #[arg(long)]
    domain: Option<String>,
    /// Entries in this state.
    #[arg(long, value_parser = ["fresh", "stale", "dead", "negative", "failed"])]
    state: Option<String>,
    /// Entries of this kind.
    #[arg(long, value_parser = ["number", "domain", "naptr", "srv", "a", "aaaa"])]
    kind: Option<String>,
}

impl Wanted {
    fn query(&self) -> Vec<(&'static str, Option<String>)> {
        let is_number =
            |about: &&String| about.starts_with(|first: char| first == '+' || first.is_ascii_digit());
        let number = self.about.as_ref().filter(is_number);
        let domain = self.about.as_ref().filter(|about| !is_number(about));
        vec![
            ("number", self.number.as_ref().or(number).cloned()),
            ("prefix", self.prefix.clone()),
            ("domain", self.domain.as_ref().or(domain).cloned()),
            ("state", self.state.clone()),
            ("kind", self.kind.clone()),
        ]
    }

    fn is_empty(&self) -> bool {
        self.query().iter().all(|(_, value)| value.is_none())
    }
}

pub(super) async fn run(args: CacheArgs) -> Done {
    match args.command {
        CacheCommand::List {
            wanted,
            limit,
            remote,
        } => show(&wanted, limit, &remote, false).await,
        CacheCommand::Show { wanted, remote } => {
            let limit = if wanted.is_empty() { 0 } else { 1000 };
            show(&wanted, limit, &remote, true).await
        }
        CacheCommand::Flush { wanted, all, remote } => {
            if wanted.is_empty() && !all {
                let text = "nothing says what to flush: give --number, --prefix, --domain, --state or --kind, or --all";
                return Err(Failure::Usage(text.into()));
            }
            let mut query = wanted.query();
            query.push(("all", all.then(|| "true".to_owned())));
            let answer = remote.client()?.delete("cache", &query).await?;
            if remote.json {
                print_json(&answer);
            } else {
                print(&format!("{} entries forgotten", cell(&answer, "flushed")));
                for node in rows(&answer, "unreached_nodes") {
                    let node = node.as_str().unwrap_or_default();
                    print(&format!(
                        "{node} was not reached, and forgets them with its next heartbeat"
                    ));
                }
            }
            Ok(())
        }
    }
}

async fn show(wanted: &Wanted, limit: usize, remote: &Remote, with_stats: bool) -> Done {
    let mut query = wanted.query();
    query.push(("limit", Some(limit.to_string())));
    let answer = remote.client()?.get("cache", &query).await?;
    if remote.json {
        print_json(&answer);
        return Ok(());
    }
    if with_stats && let Some(stats) = answer.get("stats").and_then(|stats| stats.as_object()) {
        for (key, meaning) in STATS {
            let count = stats.get(*key).map(ToString::to_string).unwrap_or_default();
            print(&format!("{count:>12}  {meaning}"));
        }
    }
    if limit > 0 {
        print_table(
            &rows(&answer, "entries"),
            &[
                ("KIND", &|row| cell(row, "kind")),
                ("NAME", &|row| cell(row, "name")),
                ("FOR", &|row| cell(row, "service")),
                ("STATE", &|row| cell(row, "state")),
                ("TTL", &|row| format!("{} s", cell(row, "ttl"))),
                ("VIEW", &|row| cell(row, "view")),
                ("HOLDS", &|row| cell(row, "records")),
            ],
            "no entries",
        );
        if rows(&answer, "entries").len() >= limit {
            print(&format!(
                "only {limit} entries are shown; --limit shows more, a condition fewer"
            ));
        }
    }
    Ok(())
}

/// The counts of `cache show`, in the order of printing.
const STATS: &[(&str, &str)] = &[
    ("numbers", "numbers with a known route"),
    ("domains", "domains with a known plan"),
    ("route_octets", "octets that numbers and domains take"),
    ("facts", "DNS answers"),
    ("fact_octets", "octets that they take"),
    ("derived", "routes derived since the start"),
    ("queries", "DNS queries sent"),
    ("refreshed", "answers asked for again ahead of their end"),
    ("stale", "answers used past their time, because DNS was down"),
    ("temporary", "routes that failed for now"),
    ("conflicts", "accounts of ours that ENUM leads elsewhere"),
];
