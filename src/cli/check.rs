//! `impsgw check`: every mistake of the configuration at once, with file and line; then what only trying tells: resolvers,
//! certificates, peers, folders and listeners.
//!
//! Nothing is changed and no SSP document is sent. `--offline` leaves the trying out.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{
    cert::{judge, now},
    client::DEFAULT_CONFIG,
    finding::Findings,
    output::{Done, Failure, print, print_json},
    reach::Reach,
};
use crate::{
    app::stored::place,
    cluster::Users,
    config::{Config, Engine},
    gateways::ssp::CertificateFacts,
    model::Timestamp,
    store::{Store as _, postgres::PostgresStore},
};

/// The arguments of `impsgw check`.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// The configuration.
    #[arg(long, value_name = "FILE", env = "IMPSGW_CONFIG", default_value = DEFAULT_CONFIG)]
    pub config: PathBuf,
    /// Only read the files; try no resolver, peer, folder or listener.
    #[arg(long)]
    pub offline: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

pub(super) async fn run(args: &CheckArgs) -> Done {
    let file = args.config.display().to_string();
    let config = match Config::load(&args.config) {
        Ok(config) => config,
        Err(mistakes) => {
            if args.json {
                print_json(&json!({ "file": file, "good": false, "mistakes": mistakes.0, "findings": [] }));
            } else {
                print(&mistakes.to_string());
            }
            return Err(Failure::Bad(String::new()));
        }
    };
    let count = config.agreements.len();
    let mut findings = Findings::default();
    if !args.offline {
        Box::pin(try_all(config, &mut findings)).await;
    }
    if args.json {
        let mut answer = findings.json();
        if let Value::Object(map) = &mut answer {
            map.insert("file".into(), file.into());
            map.insert("agreements".into(), count.into());
            map.insert("mistakes".into(), json!([]));
        }
        print_json(&answer);
    } else {
        print(&format!("{file} is good: {count} agreement(s)"));
        if !args.offline {
            print(&findings.table());
        }
    }
    if findings.is_good() {
        Ok(())
    } else {
        Err(Failure::Bad(String::new()))
    }
}

async fn try_all(config: Config, findings: &mut Findings) {
    folder(&config.gateway.data_dir, findings);
    let is_running = listeners(&config, findings).await;
    if !is_running {
        store(&config, findings).await;
    }
    authorities(&config, findings);
    let reach = Reach::new(config, findings);
    reach.own_certificate(findings);
    for agreement in &reach.config.agreements {
        for domain in &agreement.domains {
            reach.domain(domain, Some(agreement), findings).await;
        }
    }
}

/// Whether the data folder, or the nearest one that is there above it, takes files.
fn folder(dir: &Path, findings: &mut Findings) {
    let name = dir.display().to_string();
    let advice = "give it to the user who runs the gateway, mode 0700, or set [gateway] data_dir";
    let mut there = dir;
    while !there.exists() {
        there = match there.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => break,
        };
    }
    if !there.is_dir() {
        findings.fail("data_dir", format!("{} is no folder", there.display()), advice);
        return;
    }
    let trial = there.join(format!(".impsgw-check-{}", std::process::id()));
    match std::fs::File::create_new(&trial) {
        Ok(_) => {
            let _ = std::fs::remove_file(&trial);
            let made = if dir.exists() {
                ""
            } else {
                "; it is made at the first start"
            };
            findings.ok("data_dir", format!("{name} can be written{made}"));
        }
        Err(error) => findings.fail("data_dir", format!("{}: {error}", there.display()), advice),
    }
}

/// Whether each listener is free; a port that this gateway itself has already is no fault. Says whether it seems to run.
async fn listeners(config: &Config, findings: &mut Findings) -> bool {
    let home = config.home.as_ref().and_then(|home| home.listen);
    let all = [
        ("[ssp] listen", config.ssp.listen),
        ("[ssp] listen_plain", config.ssp.listen_plain),
        ("[home] listen", home),
        ("[admin] listen", config.admin.listen),
        ("[admin] health", config.admin.health),
    ];
    let is_running = match config.admin.listen {
        Some(at) => is_impsgw(at).await,
        None => false,
    };
    for (key, address) in all {
        let Some(address) = address else { continue };
        match TcpListener::bind(address).await {
            Ok(_) => findings.ok(key, format!("{address} is free")),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && is_running => {
                findings.ok(key, format!("{address} is in use, and a gateway runs here"));
            }
            Err(error) => {
                let advice = if error.kind() == std::io::ErrorKind::AddrInUse {
                    "another program has it (`ss -ltnp` says which); stop that or set another port"
                } else if error.kind() == std::io::ErrorKind::AddrNotAvailable {
                    "this machine has no such address; write one that it has, or 0.0.0.0"
                } else if error.kind() == std::io::ErrorKind::PermissionDenied {
                    "ports below 1024 need CAP_NET_BIND_SERVICE; use a higher one"
                } else {
                    "set another address"
                };
                findings.fail(key, format!("{address}: {error}"), advice);
            }
        }
    }
    is_running
}

/// Whether the admin API of a gateway answers there.
async fn is_impsgw(at: SocketAddr) -> bool {
    let host = if at.ip().is_unspecified() {
        "127.0.0.1".to_owned()
    } else {
        at.ip().to_string()
    };
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(std::time::Duration::from_secs(2))
        .build();
    let Ok(client) = client else { return false };
    match client
        .get(format!("http://{host}:{}/api/v1/status", at.port()))
        .send()
        .await
    {
        Ok(response) => response
            .text()
            .await
            .is_ok_and(|body| body.contains("\"no-token\"")),
        Err(_) => false,
    }
}

/// Whether the store, when there is one, can be opened.
async fn store(config: &Config, findings: &mut Findings) {
    match config.store.engine {
        Engine::Sqlite => store_file(config, findings),
        Engine::Postgres => database(config, findings).await,
    }
}

async fn database(config: &Config, findings: &mut Findings) {
    let advice = "look at [store.postgres], and try its URL with psql from this machine";
    let opened = match config.store.postgres(&config.gateway.node) {
        Ok(postgres) => PostgresStore::reach(&postgres).await,
        Err(error) => Err(error),
    };
    match opened {
        Ok(()) => {
            findings.ok("[store]", "the database answers, and takes writes".to_owned());
            users(config, findings).await;
        }
        Err(error) => findings.fail("[store]", error.to_string(), advice),
    }
}

/// Whether others use the database who would not know of this gateway. Where there are no tables yet, nobody does.
async fn users(config: &Config, findings: &mut Findings) {
    let Ok(postgres) = config.store.postgres(&config.gateway.node) else {
        return;
    };
    let Ok(store) = PostgresStore::beside(&postgres).await else {
        return;
    };
    let now = Timestamp::from(now());
    let node = &config.gateway.node;
    match (&config.cluster, Users::of(&store, now).await) {
        (_, Err(error)) => findings.fail("[cluster]", error.to_string(), "look at the database"),
        (None, Ok(Users { alone: Some(by), .. })) if by == place(config) => {
            findings.ok(
                "[cluster]",
                "this gateway, which runs, has the database for itself",
            );
        }
        (_, Ok(Users { alone: Some(by), .. })) => findings.fail(
            "[cluster]",
            format!("a gateway without [cluster] uses the database: {by}"),
            "stop that one, or give both [cluster] and names of their own",
        ),
        (None, Ok(users)) if !users.nodes.is_empty() => findings.fail(
            "[cluster]",
            format!("nodes of a cluster use the database: {}", users.nodes.join(", ")),
            "give this gateway [cluster] too, or a database of its own",
        ),
        (Some(_), Ok(users)) if users.nodes.contains(node) => findings.warn(
            "[cluster]",
            format!("a process of the name {node} uses the database"),
            "that is this gateway, which runs, or another one: then set [gateway] node",
        ),
        (_, Ok(_)) => findings.ok("[cluster]", "nobody uses the database who would be in the way"),
    }
    let _ = store.close().await;
}

fn store_file(config: &Config, findings: &mut Findings) {
    let path = config.gateway.data_dir.join(&config.store.path);
    let name = path.display().to_string();
    if !path.exists() {
        findings.ok("[store]", format!("{name} is made at the first start"));
        return;
    }
    match std::fs::OpenOptions::new().read(true).write(true).open(&path) {
        Ok(_) => findings.ok("[store]", format!("{name} can be written")),
        Err(error) => findings.fail(
            "[store]",
            format!("{name}: {error}"),
            "give it to the user who runs the gateway",
        ),
    }
}

/// The authorities whose certificates we take.
fn authorities(config: &Config, findings: &mut Findings) {
    let Some(path) = &config.ssp.authorities else {
        return;
    };
    match CertificateFacts::of_file(path) {
        Ok(all) => all
            .iter()
            .for_each(|facts| judge(facts, None, "authorities", 30, now().into(), findings)),
        Err(fault) => findings.fail(
            "authorities",
            fault.to_string(),
            "name a PEM file with the authorities of your partners",
        ),
    }
}
