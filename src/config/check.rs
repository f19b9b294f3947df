//! What only the whole file can tell: names that must agree, files that must exist, settings that need one another.

use std::{collections::HashMap, path::Path};

use super::{
    Config,
    file::{Mistake, Read},
};
use crate::agreement::{AgreementConfig, Role};

/// Every mistake across sections.
pub(super) fn check(config: &Config, agreements: &[Read<AgreementConfig>], name: &str) -> Vec<Mistake> {
    let mut found = Found {
        mistakes: Vec::new(),
        name,
    };
    found.gateway(config);
    found.ssp(config, agreements);
    for text in config.routing.check() {
        found.add(format!("[routing] {text}"));
    }
    found.agreements(config, agreements);
    found.mistakes
}

struct Found<'a> {
    mistakes: Vec<Mistake>,
    name: &'a str,
}

impl Found<'_> {
    fn gateway(&mut self, config: &Config) {
        let gateway = &config.gateway;
        if gateway.domains.is_empty() {
            self.add("[gateway] domains is empty; name the domains that this gateway serves");
        }
        let is_node = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if gateway.node.is_empty() || gateway.node.len() > 32 || !gateway.node.chars().all(is_node) {
            self.add("[gateway] node is 1 to 32 letters, digits and -");
        }
    }

    fn ssp(&mut self, config: &Config, agreements: &[Read<AgreementConfig>]) {
        let ssp = &config.ssp;
        if ssp.listen.is_none() && ssp.listen_plain.is_none() && !agreements.is_empty() {
            self.add("[ssp] has neither listen nor listen_plain, so no peer can reach us; set one");
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
                    self.add(format!("[ssp] {key} = {}: no such file", path.display()));
                }
                None if ssp.listen.is_some() && key != "revocations" => {
                    self.add(format!("[ssp] listen needs {key}, a PEM file"));
                }
                Some(_) | None => {}
            }
        }
        if ssp.transactions_per_document == 0 {
            self.add("[ssp] transactions_per_document is at least 1; 1 switches batching off");
        }
        if ssp.time_to_live.as_secs() < 60 {
            self.add("[ssp] time_to_live is at least 60s");
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

    fn add(&mut self, text: impl Into<String>) {
        self.mistakes.push(Mistake {
            file: self.name.to_owned(),
            line: 0,
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
