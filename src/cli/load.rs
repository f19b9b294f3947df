//! `impsgw load`: a home server and a partner drive messages through a gateway, and the books must balance.
//!
//! Everything is on loopback, in a folder of its own; nothing but this program is needed (nginx too with
//! `--against-nginx`). Exit code 1 when a promise was not kept.

use std::{io::Write, path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;

use crate::load::{Comparison, Pace, Plan, ProxyReport, Report, Until, compare, play_partner, proxy, run};

/// Arguments of `impsgw load`.
#[derive(Args, Debug)]
pub(super) struct LoadArgs {
    /// Mutual TLS on every connection; plain HTTP without it.
    #[arg(long)]
    tls: bool,
    /// Transactions of one document, both ways.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = within(1, 256))]
    batch: u32,
    /// Distinct numbers that are written to.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = within(1, 1_000_000))]
    numbers: u32,
    /// Domains at the partner, each with an agreement and a session of its own.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = within(1, 2000))]
    peers: u32,
    /// Open loop: so many messages a second, whatever becomes of them; latency counts from when each was due.
    #[arg(long, value_name = "PER_SECOND", conflicts_with = "in_flight")]
    rate: Option<f64>,
    /// Closed loop: messages under way at once; 64, or 4 documents a connection when that is more.
    #[arg(long, value_name = "N", value_parser = within(1, 1_000_000))]
    in_flight: Option<u32>,
    /// The measured part ends after so many messages.
    #[arg(long, value_name = "N", conflicts_with = "seconds", value_parser = within(1, 50_000_000))]
    count: Option<u32>,
    /// The measured part ends after so many seconds.
    #[arg(long, value_name = "S", default_value_t = 10.0)]
    seconds: f64,
    /// Messages before the measured part; each number is routed once before these.
    #[arg(long, value_name = "N", default_value_t = 2000)]
    warm_up: u32,
    /// Connections each way between any two processes.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = within(1, 128))]
    connections: u32,
    /// Octets of a message's content; 240 make a document of 1.2 KiB.
    #[arg(long, value_name = "OCTETS", default_value_t = 240, value_parser = within(24, 65_536))]
    content: u32,
    /// Ask for a delivery report with each message.
    #[arg(long)]
    reports: bool,
    /// Every message is committed before it is sent on, as with accept = "store".
    #[arg(long)]
    queued: bool,
    /// Keep the store in this PostgreSQL database, which should be empty, and not in a file.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// So many gateways that are one by [cluster]; home server and partner hand each document to the next of them.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = within(1, 16))]
    nodes: u32,
    /// Start each gateway by this program, which gets its command line as arguments: for instance to hold it to a part of a processor.
    #[arg(long, value_name = "PROGRAM")]
    run_under: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Where certificates, configuration, store and logs go; it stays when given, else it is a temporary folder that is removed.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Measure nginx too, TLS off and on, one and 32 transactions a document, and print the ratios.
    #[arg(long, conflicts_with_all = ["tls", "batch", "rate", "proxy_baseline"])]
    against_nginx: bool,
    /// Measure nginx alone: a unit is two POSTs forwarded, one after the other.
    #[arg(long)]
    proxy_baseline: bool,
    /// The partner's process of a run.
    #[arg(long, hide = true, value_name = "BRIEF", exclusive = true)]
    play_partner: Option<PathBuf>,
}

/// Makes load.
///
/// # Errors
/// When a part does not come up.
pub(super) async fn run_load(
    args: LoadArgs,
    out: &mut (dyn Write + Send),
) -> Result<ExitCode, Box<dyn std::error::Error + Send + Sync>> {
    if let Some(brief) = &args.play_partner {
        play_partner(brief).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let plan = plan(&args)?;
    let folder = plan.folder.clone();
    let measured = measure(&args, plan, out).await;
    // After a failure the logs are worth reading.
    if args.dir.is_none() && matches!(measured, Ok(true)) {
        std::fs::remove_dir_all(&folder)?;
    } else {
        tracing::info!(folder = %folder.display(), "configuration, store and logs stay");
    }
    let holds = measured.map_err(|error| format!("{error} (logs are in {})", folder.display()))?;
    if !holds {
        writeln!(
            out,
            "the books don't balance; logs and store are in {}",
            folder.display()
        )?;
    }
    Ok(if holds {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

async fn measure(args: &LoadArgs, plan: Plan, out: &mut (dyn Write + Send)) -> Result<bool, Failed> {
    if args.against_nginx {
        let mut all = Vec::new();
        for tls in [false, true] {
            let folder = plan.folder.join(if tls { "tls" } else { "plain" });
            let plan = Plan {
                tls,
                folder,
                ..plan.clone()
            };
            let found = compare(&plan, BATCH).await?;
            if !args.json {
                print_comparison(&found, out)?;
            }
            all.push(found);
        }
        if args.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
        }
        let balances =
            |one: &Comparison| [&one.single, &one.batched, &one.calm].map(|run| run.balance.holds());
        return Ok(all.iter().flat_map(balances).all(|holds| holds));
    }
    if args.proxy_baseline {
        let found = proxy(&plan, plan.content + 960).await?;
        if args.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&found)?)?;
        } else {
            print_proxy(&found, out)?;
        }
        return Ok(found.posts > 0);
    }
    let report = run(plan).await?;
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        print_report(&report, out)?;
    }
    Ok(report.balance.holds())
}

fn plan(args: &LoadArgs) -> Result<Plan, Failed> {
    if args.peers > args.numbers {
        return Err("--peers is larger than --numbers: each peer needs a number".into());
    }
    if args.nodes > 1 && args.store.is_none() {
        return Err("--nodes shares a database: name one with --store".into());
    }
    let folder = match &args.dir {
        Some(dir) => std::path::absolute(dir)?,
        None => std::env::temp_dir().join(format!("impsgw-load-{}", std::process::id())),
    };
    let (batch, connections) = (args.batch as usize, args.connections as usize);
    let window = args
        .in_flight
        .map_or((batch * connections * 4).max(64), |window| window as usize);
    Ok(Plan {
        tls: args.tls,
        batch,
        numbers: args.numbers as usize,
        peers: args.peers as usize,
        pace: args.rate.map_or(Pace::Closed(window), Pace::Open),
        until: match args.count {
            Some(count) => Until::Count(count as usize),
            None => Until::Elapsed(Duration::try_from_secs_f64(args.seconds)?),
        },
        warm_up: args.warm_up as usize,
        connections,
        content: args.content as usize,
        reports: args.reports,
        queued: args.queued,
        store: args.store.clone(),
        nodes: args.nodes as usize,
        run_under: args.run_under.as_deref().map(std::path::absolute).transpose()?,
        folder,
        program: std::env::current_exe()?,
    })
}

fn print_report(report: &Report, out: &mut (dyn Write + Send)) -> std::io::Result<()> {
    let Report {
        plan,
        latency,
        balance,
        ..
    } = report;
    let pace = match plan.pace {
        Pace::Closed(window) => format!("closed loop, {window} in flight"),
        Pace::Open(rate) => format!("open loop, {rate:.0} a second"),
    };
    let tls = if plan.tls { "mutual TLS" } else { "plain HTTP" };
    writeln!(
        out,
        "{tls}, {} a document, {} numbers, {} peers, {} connections, {pace}",
        plan.batch, plan.numbers, plan.peers, plan.connections
    )?;
    writeln!(
        out,
        "  {:.0} messages/s   {} messages in {:.2} s",
        report.per_second, report.messages, report.seconds
    )?;
    if plan.queued {
        writeln!(
            out,
            "  {:.0} messages/s queued, sent on and arrived",
            report.delivered_per_second
        )?;
    }
    writeln!(
        out,
        "  latency ms    p50 {:.3}   p99 {:.3}   p99.9 {:.3}   max {:.3}",
        latency.p50_ms, latency.p99_ms, latency.p999_ms, latency.max_ms
    )?;
    for (name, cost) in [
        ("gateway", report.gateway),
        ("home, DNS", report.home),
        ("partner", report.partner),
    ] {
        writeln!(
            out,
            "  {name:<10}    {:.3} CPU s per 10,000 messages   peak {:.0} MiB",
            cost.cpu_seconds_per_10000, cost.peak_mib
        )?;
    }
    writeln!(
        out,
        "  balance       {} sent, {} accepted, {} refused, {} unanswered, {} lost, {} repeated, {} reports missing",
        balance.sent,
        balance.accepted,
        balance.refused,
        balance.unanswered,
        balance.lost,
        balance.repeated,
        balance.reports_missing
    )?;
    for refusal in &report.refusals {
        writeln!(out, "  refused       {refusal}")?;
    }
    Ok(())
}

fn print_proxy(found: &ProxyReport, out: &mut (dyn Write + Send)) -> std::io::Result<()> {
    writeln!(
        out,
        "nginx, {}: {:.0} POSTs/s   {:.3} CPU s per 20,000   two POSTs ms: p50 {:.3}   p99 {:.3}   p99.9 {:.3}",
        if found.tls { "mutual TLS" } else { "plain HTTP" },
        found.posts_per_second,
        found.cpu_seconds_per_20000,
        found.latency.p50_ms,
        found.latency.p99_ms,
        found.latency.p999_ms
    )
}

fn print_comparison(found: &Comparison, out: &mut (dyn Write + Send)) -> std::io::Result<()> {
    print_proxy(&found.proxy, out)?;
    print_proxy(&found.proxy_calm, out)?;
    for report in [&found.single, &found.batched, &found.calm] {
        print_report(report, out)?;
    }
    let ratios = found.ratios;
    for (what, value, goal) in [
        (
            "CPU of a message / two POSTs, 1 a document",
            ratios.cpu_single,
            "3 or less",
        ),
        (
            "CPU of a message / two POSTs, batched",
            ratios.cpu_batched,
            "1 or less",
        ),
        (
            "messages/s / POSTs/s, 1 a document",
            ratios.rate_single,
            "0.25 or more",
        ),
        (
            "messages/s / POSTs/s, batched",
            ratios.rate_batched,
            "0.5 or more",
        ),
        (
            "median above nginx's at a tenth of the peak, ms",
            ratios.added_p50_ms,
            "0.5 or less",
        ),
        (
            "p99 above nginx's at a tenth of the peak, ms",
            ratios.added_p99_ms,
            "2 or less",
        ),
    ] {
        writeln!(out, "  {what:<50} {value:>7.2}   goal {goal}")?;
    }
    writeln!(out)
}

fn within(least: i64, most: i64) -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(least..=most)
}

/// Transactions of a document in the batched run of a comparison.
const BATCH: usize = 32;
