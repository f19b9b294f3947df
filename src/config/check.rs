//! What only the whole file can tell: names that must agree, files that must exist, settings that need one another.

use std::{collections::HashMap, error::Error as _, net::SocketAddr, path::Path, time::Duration};

use super::{
    Config,
    file::{Lines, Mistake, Read},
};
use crate::{
    agreement::{AgreementConfig, Role},
    gateways::ssp::certificates::{Bundle, CertificateFiles},
    model::ByteSize,
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
    found.gateway(config);
    found.ssp(config, agreements);
    found.routing(config, agreements);
    found.relay(config);
    found.home(config);
    found.admin(config);
    found.store(config);
    found.agreements(config, agreements);
    found.mistakes
}

/// Mistakes of agreements that only show beside one another; our own domains are not known here.
pub(super) fn agreements(agreements: &[Read<AgreementConfig>], name: &str) -> Vec<Mistake> {
    let lines = Lines::new();
    let mut config = Config::default();
    let ours = agreements.iter().filter(|read| read.value.role == Role::Home);
    config.gateway.domains = ours.flat_map(|read| read.value.domains.clone()).collect();
    let mut found = Found {
        mistakes: Vec::new(),
        lines: &lines,
        name,
    };
    found.agreements(&config, agreements);
    found.mistakes
}

struct Found<'a> {
    mistakes: Vec<Mistake>,
    lines: &'a Lines,
    name: &'a str,
}

impl Found<'_> {
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
        let are_there = |files: &CertificateFiles| files.all().all(|path| path.is_file());
        if let Some(files) = ssp.certificate_files().filter(are_there)
            && let Err(error) = Bundle::read(&files)
        {
            let source = error.source().map(|source| format!(": {source}"));
            let text = format!("[ssp] {error}{}", source.unwrap_or_default());
            self.add("ssp.certificate", text);
        }
        if ssp.transactions_per_document == 0 {
            self.add(
                "ssp.transactions_per_document",
                "[ssp] transactions_per_document is at least 1; 1 switches batching off",
            );
        }
        if ssp.time_to_live.as_secs() < 60 {
            self.add("ssp.time_to_live", "[ssp] time_to_live is at least 60s");
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
        let second = Duration::from_secs(1);
        if !(second..=second * 30).contains(&relay.cut_through) {
            self.add("relay.cut_through", "[relay] cut_through is 1s to 30s");
        }
        if relay.default_validity > relay.max_validity {
            self.add(
                "relay.default_validity",
                "[relay] default_validity is longer than max_validity",
            );
        }
        if relay.first_retry.is_zero() || relay.first_retry > relay.longest_retry {
            self.add(
                "relay.first_retry",
                "[relay] first_retry is over 0s and at most longest_retry",
            );
        }
        if relay.outbox_concurrency == 0 {
            self.add(
                "relay.outbox_concurrency",
                "[relay] outbox_concurrency is at least 1, or nothing that waits is ever delivered",
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

    fn admin(&mut self, config: &Config) {
        let admin = &config.admin;
        let listeners: Vec<(&str, SocketAddr)> = [
            ("admin.listen", admin.listen),
            ("admin.health", admin.health),
            ("ssp.listen", config.ssp.listen),
            ("ssp.listen_plain", config.ssp.listen_plain),
            ("home.listen", config.home.as_ref().and_then(|home| home.listen)),
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
        if store.max_size < ByteSize::mib(16) {
            self.add("store.max_size", "[store] max_size is at least 16 MiB");
        }
        if store.max_items == 0 || store.max_items_per_queue == 0 {
            self.add(
                "store",
                "[store] max_items and max_items_per_queue are at least 1, or nothing can ever wait",
            );
        }
        if store.max_items_per_queue > store.max_items {
            self.add(
                "store.max_items_per_queue",
                "[store] max_items_per_queue is larger than max_items, so one peer could take the room of all",
            );
        }
        if config.gateway.trails.max_size < ByteSize::mib(8) {
            self.add(
                "gateway.trails.max_size",
                "[gateway.trails] max_size is at least 8 MiB",
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

    fn agreements(&mut self, config: &Config, agreements: &[Read<AgreementConfig>]) {
        let mut peers = HashMap::new();
        let mut domains = HashMap::new();
        for read in agreements {
            let agreement = &read.value;
            if let Some(line) = peers.insert(agreement.peer.clone(), read.line) {
                self.blame(
                    read,
                    format!(
                        "the peer {} has an agreement already, in line {line}",
                        agreement.peer
                    ),
                );
            }
            if agreement.domains.is_empty() {
                self.blame(read, "domains is empty; name the peer's domains".into());
            }
            for domain in &agreement.domains {
                if let Some(line) = domains.insert(domain.clone(), read.line) {
                    self.blame(
                        read,
                        format!("the domain {domain} is in the agreement of line {line} as well"),
                    );
                }
                let is_ours = config.gateway.domains.contains(domain);
                match agreement.role {
                    Role::Partner if is_ours => {
                        self.blame(
                            read,
                            format!(
                                "{domain} is one of our own domains; a server of ours has role = \"home\""
                            ),
                        );
                    }
                    Role::Home if !is_ours => {
                        self.blame(
                            read,
                            format!("a home server's domain {domain} must be in [gateway] domains"),
                        );
                    }
                    Role::Partner | Role::Home => {}
                }
            }
            if agreement.role == Role::Home && agreement.servers.is_empty() {
                let text = "a home server needs servers = [\"host:port\"], because the SRV records of its domain name this gateway";
                self.blame(read, text.into());
            }
            if !agreement.tls.required && config.ssp.listen_plain.is_none() && config.ssp.listen.is_some() {
                self.blame(
                    read,
                    "tls.required = false needs [ssp] listen_plain for what the peer sends".into(),
                );
            }
            for server in &agreement.servers {
                if !server
                    .rsplit_once(':')
                    .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
                {
                    self.blame(read, format!("servers: {server:?} is not host:port"));
                }
            }
            let limits = &agreement.limits;
            for (key, value) in [
                ("requests_per_second", limits.requests_per_second),
                ("burst", limits.burst),
                ("sender_per_minute", limits.sender_per_minute),
                ("max_recipients", limits.max_recipients),
                ("documents_in_flight", limits.documents_in_flight),
            ] {
                if value == 0 {
                    self.blame(
                        read,
                        format!("limits.{key} is at least 1; leave the service out to allow nothing"),
                    );
                }
            }
            for media in &limits.media_types {
                if media
                    .split_once('/')
                    .is_none_or(|(kind, sub)| kind.is_empty() || sub.is_empty())
                {
                    self.blame(
                        read,
                        format!(
                            "limits.media_types: {media:?} is no media type; write it as text/* or image/png"
                        ),
                    );
                }
            }
            if agreement.answer_timeout.is_zero() {
                self.blame(read, "answer_timeout is over 0s".into());
            }
            for prefix in &agreement.speaks_for.numbers {
                let digits = prefix.strip_prefix('+').unwrap_or_default();
                if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    self.blame(
                        read,
                        format!("speaks_for.numbers: {prefix:?} is no prefix such as +4477009"),
                    );
                }
            }
        }
    }

    /// A mistake of a key such as `ssp.listen`; the line is that of the key, or of the nearest section around it.
    fn add(&mut self, key: &str, text: impl Into<String>) {
        let mut around = Some(key);
        let mut line = 0;
        while let Some(name) = around {
            if let Some(found) = self.lines.get(name) {
                line = *found;
                break;
            }
            around = name.rsplit_once('.').map(|(section, _)| section);
        }
        self.mistakes.push(Mistake {
            file: self.name.to_owned(),
            line,
            text: text.into(),
        });
    }

    fn blame(&mut self, read: &Read<AgreementConfig>, text: String) {
        self.mistakes.push(Mistake {
            file: read.file.clone(),
            line: read.line,
            text,
        });
    }
}
