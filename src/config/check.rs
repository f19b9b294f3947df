//! What only the whole file can tell: names that must agree, files that must exist, settings that need one another.

use std::{error::Error as _, net::SocketAddr, path::Path};

use super::{
    Config, Engine, agreements,
    file::{Lines, Mistake, Read},
    ranges::out_of_range,
};
use crate::{
    agreement::AgreementConfig,
    cluster::ClusterConfig,
    gateways::{
        home::HomeConfig,
        ssp::certificates::{Bundle, BundleError, CertificateFiles, IdentityFiles},
    },
    telemetry::is_log_filter,
};

/// Every mistake across sections.
pub(super) fn check(
    config: &Config,
    agreements: &[Read<AgreementConfig>],
    lines: &Lines,
    name: &str,
) -> Vec<Mistake> {
    let mut found = Found {
        mistakes: Vec::new(),
        lines,
        name,
    };
    found.ranges(config);
    found.gateway(config);
    found.ssp(config, agreements);
    found.routing(config, agreements);
    found.relay(config);
    found.home(config);
    found.cluster(config);
    found.admin(config);
    found.store(config);
    found.mistakes.extend(agreements::check(config, agreements));
    found.mistakes
}

struct Found<'a> {
    mistakes: Vec<Mistake>,
    lines: &'a Lines,
    name: &'a str,
}

impl Found<'_> {
    fn ranges(&mut self, config: &Config) {
        let mut found = out_of_range("gateway", "[gateway] ", &config.gateway);
        found.extend(out_of_range("ssp", "[ssp] ", &config.ssp));
        found.extend(out_of_range("relay", "[relay] ", &config.relay));
        found.extend(out_of_range("store", "[store] ", &config.store));
        if let Some(home) = &config.home {
            found.extend(out_of_range("home", "[home] ", home));
        }
        if let Some(cluster) = &config.cluster {
            found.extend(out_of_range("cluster", "[cluster] ", cluster));
        }
        for (key, text) in found {
            self.add(&key, text);
        }
    }

    fn gateway(&mut self, config: &Config) {
        let gateway = &config.gateway;
        if gateway.domains.is_empty() {
            self.add(
                "gateway.domains",
                "[gateway] domains is empty; name the domains that this gateway serves",
            );
        }
        let is_node = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if gateway.node.is_empty() || gateway.node.len() > 32 || !gateway.node.chars().all(is_node) {
            self.add("gateway.node", "[gateway] node is 1 to 32 letters, digits and -");
        }
    }

    fn ssp(&mut self, config: &Config, agreements: &[Read<AgreementConfig>]) {
        let ssp = &config.ssp;
        if ssp.listen.is_none() && ssp.listen_plain.is_none() && !agreements.is_empty() {
            self.add(
                "ssp",
                "[ssp] has neither listen nor listen_plain, so no peer can reach us; set one",
            );
        }
        let files = [
            ("certificate", &ssp.certificate),
            ("key", &ssp.key),
            ("authorities", &ssp.authorities),
            ("revocations", &ssp.revocations),
        ];
        for (key, path) in files {
            match path {
                Some(path) if !Path::new(path).is_file() => {
                    self.add(
                        &format!("ssp.{key}"),
                        format!("[ssp] {key} = {}: no such file", path.display()),
                    );
                }
                None if ssp.listen.is_some() && key != "revocations" => {
                    self.add("ssp.listen", format!("[ssp] listen needs {key}, a PEM file"));
                }
                Some(_) | None => {}
            }
        }
        for (index, identity) in ssp.identities.iter().enumerate() {
            for (key, path) in [("certificate", &identity.certificate), ("key", &identity.key)] {
                if !path.is_file() {
                    self.add(
                        &format!("ssp.identities.{index}.{key}"),
                        format!("[[ssp.identities]] {key} = {}: no such file", path.display()),
                    );
                }
            }
        }
        if !ssp.identities.is_empty() && ssp.certificate.is_none() {
            self.add(
                "ssp.identities",
                "[[ssp.identities]] come beside [ssp] certificate and key, which are not set",
            );
        }
        let are_there = |files: &CertificateFiles| files.all().all(|path| path.is_file());
        if let Some(files) = ssp.certificate_files().filter(are_there)
            && let Err(error) = Bundle::read(&files)
        {
            self.add("ssp.certificate", format!("[ssp] {}", with_source(&error)));
        }
        if ssp.max_connections_per_address > ssp.max_connections {
            self.add(
                "ssp.max_connections_per_address",
                "[ssp] max_connections_per_address is larger than max_connections, so one source could take all of them",
            );
        }
    }

    fn routing(&mut self, config: &Config, agreements: &[Read<AgreementConfig>]) {
        for text in config.routing.check() {
            let key: String = text.chars().take_while(|c| !matches!(c, ':' | ' ')).collect();
            self.add(&key, text);
        }
        let ladder = &config.routing.ladder;
        for (key, is_on) in [("sip", ladder.sip), ("xmpp", ladder.xmpp)] {
            if is_on {
                let text = format!(
                    "[routing.ladder] {key} = true, and no {key} gateway runs here: what such domains get would fail instead of \
                     going to default_gateway; leave it false"
                );
                self.add(&format!("routing.ladder.{key}"), text);
            }
        }
        for gateway in &config.routing.default_gateway {
            if !agreements.iter().any(|read| read.value.peer == gateway.peer) {
                let text = format!(
                    "[routing] default_gateway names {}, with which there is no agreement",
                    gateway.peer
                );
                self.add("routing.default_gateway", text);
            }
        }
        for range in &config.routing.home_ranges {
            if !config.gateway.domains.contains(&range.domain) {
                let text = format!(
                    "[routing] home_ranges: {} is not in [gateway] domains, so its numbers are not ours",
                    range.domain
                );
                self.add("routing.home_ranges", text);
            }
        }
    }

    fn relay(&mut self, config: &Config) {
        let relay = &config.relay;
        if relay.default_validity > relay.max_validity {
            self.add(
                "relay.default_validity",
                "[relay] default_validity is longer than max_validity",
            );
        }
        if relay.first_retry > relay.longest_retry {
            self.add(
                "relay.first_retry",
                "[relay] first_retry is longer than longest_retry",
            );
        }
    }

    fn home(&mut self, config: &Config) {
        let Some(home) = &config.home else { return };
        for problem in home.problems() {
            // A problem begins with the section that it is in.
            let section: String = problem
                .chars()
                .filter(|c| !matches!(c, '['))
                .take_while(|c| *c != ']')
                .collect();
            self.add(&section, problem);
        }
        self.subscribers(home);
        for domain in &home.domains {
            if !config.gateway.domains.contains(&domain.name) {
                let text = format!(
                    "[[home.domain]] {} is not in [gateway] domains, so nothing is taken for it",
                    domain.name
                );
                self.add("home.domain", text);
            }
        }
    }

    /// The listener of subscribers.
    fn subscribers(&mut self, home: &HomeConfig) {
        let pair = [("certificate", &home.certificate), ("key", &home.key)];
        for (key, path) in pair {
            match path {
                Some(path) if !path.is_file() => {
                    let text = format!("[home] {key} = {}: no such file", path.display());
                    self.add(&format!("home.{key}"), text);
                }
                None if pair.iter().any(|(_, path)| path.is_some()) => {
                    self.add(
                        "home",
                        format!("[home] has no {key}; TLS needs certificate and key, two PEM files"),
                    );
                }
                Some(_) | None => {}
            }
        }
        if let Some((certificate, key)) = home.tls_files()
            && certificate.is_file()
            && key.is_file()
            && let Err(error) = Bundle::shown(&IdentityFiles { certificate, key })
        {
            self.add("home.certificate", format!("[home] {}", with_source(&error)));
        }
        let is_open = home.listen.is_some_and(|address| !address.ip().is_loopback());
        if is_open && home.tls_files().is_none() && !home.tls_in_front {
            self.add(
                "home.listen",
                "[home] listen is reached from outside without TLS, which shows passwords and tokens to whoever is in \
                 between; set certificate and key, or tls_in_front = true where a TLS terminator stands before it",
            );
        }
        if home.max_connections_per_address > home.max_connections {
            self.add(
                "home.max_connections_per_address",
                "[home] max_connections_per_address is larger than max_connections, so one source could take all of them",
            );
        }
    }

    fn cluster(&mut self, config: &Config) {
        let Some(cluster) = &config.cluster else { return };
        let problems = cluster.problems();
        for (key, problem) in &problems {
            self.add(&format!("cluster.{key}"), format!("[cluster] {problem}"));
        }
        let is_complete = !problems
            .iter()
            .any(|(key, _)| ["ca", "certificate", "key"].contains(key));
        if is_complete && let Err(error) = node_bundle(cluster) {
            self.add(
                "cluster.certificate",
                format!("[cluster] {}", with_source(&error)),
            );
        }
        let node = &config.gateway.node;
        if node.starts_with('-') || node.ends_with('-') {
            self.add(
                "gateway.node",
                "[gateway] node begins or ends with -, which no certificate of a node can name",
            );
        }
    }

    fn admin(&mut self, config: &Config) {
        let admin = &config.admin;
        let listeners: Vec<(&str, SocketAddr)> = [
            ("admin.listen", admin.listen),
            ("admin.health", admin.health),
            ("ssp.listen", config.ssp.listen),
            ("ssp.listen_plain", config.ssp.listen_plain),
            ("home.listen", config.home.as_ref().and_then(|home| home.listen)),
            (
                "cluster.listen",
                config.cluster.as_ref().and_then(|cluster| cluster.listen),
            ),
        ]
        .into_iter()
        .filter_map(|(key, address)| Some((key, address?)))
        .collect();
        for (index, (key, address)) in listeners.iter().enumerate() {
            let mut before = listeners.iter().take(index);
            if let Some((other, _)) = before.rfind(|(_, one)| one == address && address.port() != 0) {
                self.add(
                    key,
                    format!("{key} and {other} are both {address}; give each its own port"),
                );
            }
        }
        for host in &admin.hosts {
            if host.is_empty() || host.contains(['/', ':', ' ']) {
                self.add(
                    "admin.hosts",
                    format!("[admin] hosts: {host:?} is no name; write it without scheme and port"),
                );
            }
        }
        if admin.listen.is_some_and(|address| address.ip().is_unspecified()) && admin.hosts.is_empty() {
            self.add(
                "admin.listen",
                "[admin] listen takes calls on every address, so hosts must name the ones that people use",
            );
        }
    }

    fn store(&mut self, config: &Config) {
        let store = &config.store;
        if store.max_items_per_queue > store.max_items {
            self.add(
                "store.max_items_per_queue",
                "[store] max_items_per_queue is larger than max_items, so one peer could take the room of all",
            );
        }
        if store.engine == Engine::Postgres && store.postgres.url.is_empty() {
            self.add(
                "store.engine",
                "[store] engine = \"postgres\" needs [store.postgres] url, the database that the nodes share",
            );
        }
        if !is_log_filter(&config.gateway.log.level) {
            let text = format!(
                "[gateway.log] level = {:?} is no level or filter; write info, or info,impsgw::routing=debug",
                config.gateway.log.level
            );
            self.add("gateway.log.level", text);
        }
    }

    /// A mistake of a key such as `ssp.listen`; the line is that of the key, or of the nearest section around it.
    fn add(&mut self, key: &str, text: impl Into<String>) {
        let line = line_of(self.lines, key).unwrap_or(0);
        self.mistakes.push(Mistake {
            file: self.name.to_owned(),
            line,
            text: text.into(),
        });
    }
}

/// The line of a key, or of the nearest section around it.
pub(super) fn line_of(lines: &Lines, key: &str) -> Option<usize> {
    let mut around = Some(key);
    while let Some(name) = around {
        if let Some(line) = lines.get(name) {
            return Some(*line);
        }
        around = name.rsplit_once('.').map(|(section, _)| section);
    }
    None
}

/// What a node shows to the others and whom it trusts. Reads the files.
///
/// # Errors
/// When a file can't be used.
pub fn node_bundle(cluster: &ClusterConfig) -> Result<Bundle, BundleError> {
    let identity = cluster.certificate.clone().zip(cluster.key.clone());
    Bundle::read(&CertificateFiles {
        identities: identity
            .map(|(certificate, key)| IdentityFiles { certificate, key })
            .into_iter()
            .collect(),
        authorities: cluster.ca.iter().cloned().collect(),
        revocation_lists: Vec::new(),
    })
}

fn with_source(error: &BundleError) -> String {
    let source = error.source().map(|source| format!(": {source}"));
    format!("{error}{}", source.unwrap_or_default())
}
