//! The gateway under load: a child process of the same program, or several that are one, with a configuration as an operator would write it.
//!
//! Its store is a SQLite file with every commit on the disk, as by default, or a database; only limits are raised, and DNS is ours.

use std::{fmt::Write as _, net::SocketAddr, process::Command};

use super::{
    HOME_DOMAIN, LoadError, PARTNER_NAME, PRIME_RECIPIENTS, Plan, node_name, peer_domain,
    process::{Running, free_address},
};
use crate::lab::certs::write_file;

/// Starts the gateways and waits until they listen.
///
/// # Errors
/// When one does not come up.
pub(super) async fn start(
    plan: &Plan,
    listen: &[SocketAddr],
    home: SocketAddr,
    dns: SocketAddr,
) -> Result<Vec<Running>, LoadError> {
    let mut gateways = Vec::new();
    for (index, listen) in listen.iter().enumerate() {
        let name = node_name(index);
        let mut text = config_text(plan, &name, *listen, home, dns);
        if plan.nodes > 1 {
            text += &cluster_text(plan, &name, free_address()?);
        }
        let path = plan.folder.join(format!("{name}.toml"));
        write_file(&path, &text, 0o600)?;
        let mut command = match &plan.run_under {
            Some(program) => {
                let mut command = Command::new(program);
                command.arg(&plan.program);
                command
            }
            None => Command::new(&plan.program),
        };
        command.arg("serve").arg("--config").arg(&path);
        let mut gateway = Running::start(&mut command, &name, &plan.folder)?;
        gateway.listens(*listen).await?;
        gateways.push(gateway);
    }
    Ok(gateways)
}

fn cluster_text(plan: &Plan, name: &str, listen: SocketAddr) -> String {
    let folder = plan.folder.join("nodes");
    let folder = folder.display();
    format!(
        r#"
[cluster]
listen = "{listen}"
ca = "{folder}/ca.pem"
certificate = "{folder}/{name}.pem"
key = "{folder}/{name}.key.pem"
"#
    )
}

fn config_text(plan: &Plan, name: &str, listen: SocketAddr, home: SocketAddr, dns: SocketAddr) -> String {
    let folder = plan.folder.display();
    let socket = if plan.tls { "listen" } else { "listen_plain" };
    let (connections, batch) = (plan.connections, plan.batch);
    let mut text = format!(
        r#"# The gateway of a load run.
[gateway]
node = "{name}"
domains = ["{HOME_DOMAIN}"]
data_dir = "{folder}/{name}"

[ssp]
{socket} = "{listen}"
certificate = "{folder}/{HOME_DOMAIN}.pem"
key = "{folder}/{HOME_DOMAIN}.key.pem"
authorities = "{folder}/ca.pem"
transactions_per_document = {batch}
connections_per_server = {connections}
max_waiting = 1000000
open_requests_per_peer = 65536

[routing]
views = [{{ name = "load", resolvers = ["{dns}"] }}]
apexes = [{{ apex = "e164enum.net", view = "load", trust = "private" }}]
ladder = {{ ssp = true, sip = false, xmpp = false }}
"#
    );
    if let Some(url) = &plan.store {
        let _ = write!(text, "\n[store]\nengine = \"postgres\"\npostgres.url = {url:?}\n");
    }
    let accept = if plan.queued { "store" } else { "taken" };
    let tls = |names: &str| {
        if plan.tls {
            format!("tls.names = [\"{names}\"]")
        } else {
            "tls.required = false".to_owned()
        }
    };
    let mut agreement = |peer: &str, domain: &str, extra: &str| {
        let _ = write!(
            text,
            r#"
[[agreement]]
peer = "{peer}"
domains = ["{domain}"]
services.in = ["message"]
services.out = ["message"]
allowed_networks = ["127.0.0.0/8"]
limits.requests_per_second = 10000000
limits.burst = 10000000
limits.sender_per_minute = 10000000
limits.max_recipients = {PRIME_RECIPIENTS}
limits.documents_in_flight = {connections}
accept = "{accept}"
delivery.max_in_flight = 1000000
delivery.max_per_second = 100000000
{extra}
"#
        );
    };
    let servers = format!(
        "role = \"home\"\nservers = [\"{home}\"]\n{}",
        tls(&format!("gateway.{HOME_DOMAIN}"))
    );
    agreement("home", HOME_DOMAIN, &servers);
    for index in 0..plan.peers {
        agreement(&format!("p{index:04}"), &peer_domain(index), &tls(PARTNER_NAME));
    }
    text
}
