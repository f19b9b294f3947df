//! `impsgw probe`: a peer tried from here as the gateway would, and the session that the running gateway has with it.
//!
//! What is tried needs only the configuration, so it works before the first start. No SSP document is sent; with `--open`
//! the running gateway is asked to open a session where there is none.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::{
    client::{Client, Remote, escaped},
    finding::Findings,
    output::{Done, Failure, cell, print, print_json, rows, time},
    reach::Reach,
};
use crate::{agreement::AgreementConfig, config::Config, model::Domain};

/// The arguments of `impsgw probe`.
#[derive(Args, Clone, Debug)]
pub struct ProbeArgs {
    /// A peer's name, as in its agreement, or a domain.
    #[arg(value_name = "PEER|DOMAIN")]
    peer: String,
    /// Have the running gateway open a session when there is none, and wait for it; needs the role operate.
    #[arg(long)]
    open: bool,
    /// How long an opening session is waited for.
    #[arg(long, value_name = "SECONDS", default_value_t = 15)]
    wait: u64,
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(args: ProbeArgs) -> Done {
    let config = Config::load(&args.remote.config).map_err(|mistakes| Failure::Bad(mistakes.to_string()))?;
    let agreement = find(&config, &args.peer).cloned();
    let mut findings = Findings::default();
    let domains = match &agreement {
        Some(agreement) => {
            findings.ok(
                "agreement",
                format!("with {}, role {:?}", agreement.peer, agreement.role).to_lowercase(),
            );
            let named = agreement
                .domains
                .iter()
                .filter(|domain| domain.as_str() == args.peer);
            let named: Vec<Domain> = named.cloned().collect();
            if named.is_empty() {
                agreement.domains.clone()
            } else {
                named
            }
        }
        None => {
            let domain: Domain = args.peer.parse().map_err(|_| unknown(&config, &args.peer))?;
            if !domain.as_str().contains('.') {
                return Err(unknown(&config, &args.peer));
            }
            findings.warn(
                "agreement",
                format!(
                    "there is none with {domain}, so the gateway sends it nothing and refuses what it sends"
                ),
                "add an [[agreement]] for it; docs/peering.md says how",
            );
            vec![domain]
        }
    };
    let reach = Reach::new(config, &mut findings);
    reach.own_certificate(&mut findings);
    let mut is_reached = false;
    for domain in &domains {
        is_reached |= reach.domain(domain, agreement.as_ref(), &mut findings).await;
    }
    match &agreement {
        None => {}
        Some(agreement) => session(&args, agreement, is_reached, &mut findings).await,
    }
    if args.remote.json {
        let mut answer = findings.json();
        if let Value::Object(map) = &mut answer {
            map.insert("peer".into(), json!(args.peer));
            map.insert("reached".into(), json!(is_reached));
        }
        print_json(&answer);
    } else {
        print(&findings.table());
    }
    if findings.is_good() {
        Ok(())
    } else {
        Err(Failure::Bad(String::new()))
    }
}

fn find<'c>(config: &'c Config, peer: &str) -> Option<&'c AgreementConfig> {
    let by_name = config.agreements.iter().find(|one| one.peer.as_str() == peer);
    by_name.or_else(|| {
        let domain: Domain = peer.parse().ok()?;
        config.agreements.iter().find(|one| one.domains.contains(&domain))
    })
}

fn unknown(config: &Config, peer: &str) -> Failure {
    let known: Vec<&str> = config.agreements.iter().map(|one| one.peer.as_str()).collect();
    Failure::Usage(format!(
        "{peer:?} is neither a domain nor a peer; the agreements name {}",
        known.join(", ")
    ))
}

/// What the running gateway says of its sessions with the peer.
async fn session(args: &ProbeArgs, agreement: &AgreementConfig, is_reached: bool, findings: &mut Findings) {
    let client = match args.remote.client() {
        Ok(client) => client,
        Err(Failure::Bad(text) | Failure::Usage(text)) => {
            findings.skip("session", format!("not looked at: {text}"));
            return;
        }
    };
    let path = format!("peers/{}", escaped(agreement.peer.as_str()));
    let mut state = match client.get(&path, &[]).await {
        Ok(state) => state,
        Err(Failure::Bad(text) | Failure::Usage(text)) => {
            findings.skip("session", format!("not looked at: {text}"));
            return;
        }
    };
    if args.open && is_reached && !is_up(&state) && state.get("suspended").is_none_or(Value::is_null) {
        match open(&client, &path, args.wait).await {
            Ok(last) => state = last,
            Err(Failure::Bad(text) | Failure::Usage(text)) => {
                findings.fail(
                    "session",
                    format!("it can't be opened: {text}"),
                    "use a token with the role operate",
                );
            }
        }
    }
    tell(&state, agreement, args.open, findings);
}

/// Asks for a session and waits until there is one, or until the time is over.
async fn open(client: &Client, path: &str, seconds: u64) -> Result<Value, Failure> {
    client.post(&format!("{path}/reconnect"), json!({})).await?;
    let waiting = async {
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let state = client.get(path, &[]).await?;
            if is_up(&state) {
                return Ok(state);
            }
        }
    };
    match tokio::time::timeout(Duration::from_secs(seconds), waiting).await {
        Ok(state) => state,
        Err(_) => client.get(path, &[]).await,
    }
}

fn tell(state: &Value, agreement: &AgreementConfig, was_asked: bool, findings: &mut Findings) {
    if let Some(by) = state.get("suspended").and_then(Value::as_str) {
        let advice = format!("`impsgw peer resume {}` ends it", agreement.peer);
        findings.fail("session", format!("the peer is suspended by {by}"), advice);
        return;
    }
    for one in rows(state, "sessions") {
        let pair = format!("{} – {}", cell(&one, "own"), cell(&one, "theirs"));
        if one.get("state").and_then(Value::as_str) == Some("open") {
            findings.ok("session", format!("{pair}: open since {}", time(&one, "since")));
        } else {
            let advice = "the log of either side names the step that failed";
            findings.fail("session", format!("{pair}: {}", cell(&one, "state")), advice);
        }
    }
    for server in rows(state, "set_aside") {
        let text = format!(
            "set aside after failures: {}",
            server.as_str().unwrap_or_default()
        );
        findings.warn("session", text, "it is tried again by itself, after the others");
    }
    if rows(state, "sessions").is_empty() {
        if was_asked {
            findings.fail(
                "session",
                "there is none",
                "the gateway's log names the step that failed",
            );
        } else {
            findings.skip(
                "session",
                "none yet; the first request opens one, or `impsgw probe PEER --open`",
            );
        }
    }
}

fn is_up(state: &Value) -> bool {
    state.get("up").and_then(Value::as_bool) == Some(true)
}
