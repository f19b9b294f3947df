//! What is wrong with agreements: names that must agree, settings that need one another, and each beside the others.
//!
//! A mistake is blamed on the line of its key, or of the nearest table around it.

use std::{collections::HashMap, time::Duration};

use super::{
    Config,
    check::line_of,
    file::{Mistake, Read},
    ranges::out_of_range,
};
use crate::agreement::{AgreementConfig, Presents, Role};

/// Every mistake of the agreements of a configuration.
pub(super) fn check(config: &Config, agreements: &[Read<AgreementConfig>]) -> Vec<Mistake> {
    let mut found = Found {
        config,
        mistakes: Vec::new(),
        peers: HashMap::new(),
        domains: HashMap::new(),
    };
    for read in agreements {
        found.peer(read);
        found.domains(read);
        found.role(read);
        found.servers(read);
        found.limits(read);
        found.delivery(read);
        found.prefixes(read);
    }
    found.mistakes
}

/// Every mistake of agreements by themselves; our own domains are not known here.
pub(super) fn check_alone(agreements: &[Read<AgreementConfig>]) -> Vec<Mistake> {
    let mut config = Config::default();
    let ours = agreements.iter().filter(|read| read.value.role == Role::Home);
    config.gateway.domains = ours.flat_map(|read| read.value.domains.clone()).collect();
    check(&config, agreements)
}

struct Found<'a> {
    config: &'a Config,
    mistakes: Vec<Mistake>,
    /// Where each peer has its agreement.
    peers: HashMap<String, String>,
    /// Where each domain is named.
    domains: HashMap<String, String>,
}

impl Found<'_> {
    fn peer(&mut self, read: &Read<AgreementConfig>) {
        let peer = &read.value.peer;
        if let Some(place) = self.peers.insert(peer.to_string(), place_of(read, "peer")) {
            self.blame(
                read,
                "peer",
                format!("the peer {peer} has an agreement already, in {place}"),
            );
        }
    }

    fn domains(&mut self, read: &Read<AgreementConfig>) {
        if read.value.domains.is_empty() {
            self.blame(
                read,
                "domains",
                "domains is empty; name the peer's domains".into(),
            );
        }
        for (index, domain) in read.value.domains.iter().enumerate() {
            let key = format!("domains.{index}");
            if let Some(place) = self.domains.insert(domain.to_string(), place_of(read, &key)) {
                self.blame(read, &key, format!("the domain {domain} is in {place} as well"));
            }
            let is_ours = self.config.gateway.domains.contains(domain);
            match read.value.role {
                Role::Partner if is_ours => {
                    let text =
                        format!("{domain} is one of our own domains; a server of ours has role = \"home\"");
                    self.blame(read, &key, text);
                }
                Role::Home if !is_ours => {
                    let text = format!("a home server's domain {domain} must be in [gateway] domains");
                    self.blame(read, &key, text);
                }
                Role::Partner | Role::Home => {}
            }
        }
    }

    fn role(&mut self, read: &Read<AgreementConfig>) {
        let (agreement, ssp) = (&read.value, &self.config.ssp);
        let needs_plain = !agreement.tls.required && ssp.listen_plain.is_none() && ssp.listen.is_some();
        if agreement.role == Role::Home && agreement.servers.is_empty() {
            let text = "a home server needs servers = [\"host:port\"], because the SRV records of its domain name this gateway";
            self.blame(read, "role", text.into());
        }
        if agreement.role == Role::Partner && agreement.presents == Presents::PartnerDomains {
            let text = "presents = \"partner-domains\" is how we speak to a home server of ours; set role = \"home\" if it is one";
            self.blame(read, "presents", text.into());
        }
        if needs_plain {
            let text = "tls.required = false needs [ssp] listen_plain for what the peer sends";
            self.blame(read, "tls.required", text.into());
        }
    }

    fn servers(&mut self, read: &Read<AgreementConfig>) {
        let is_server = |server: &str| {
            server
                .rsplit_once(':')
                .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        };
        for (index, server) in read.value.servers.iter().enumerate() {
            if !is_server(server) {
                let text = format!("servers: {server:?} is not host:port; write it as im.beta.example:7443");
                self.blame(read, &format!("servers.{index}"), text);
            }
        }
    }

    fn limits(&mut self, read: &Read<AgreementConfig>) {
        for (key, text) in out_of_range("agreement", "", &read.value) {
            let key = key.trim_start_matches("agreement.");
            self.blame(read, key, text);
        }
        for (index, media) in read.value.limits.media_types.iter().enumerate() {
            if media
                .split_once('/')
                .is_none_or(|(kind, sub)| kind.is_empty() || sub.is_empty())
            {
                let text = format!(
                    "limits.media_types: {media:?} is no media type; write it as text/* or image/png"
                );
                self.blame(read, &format!("limits.media_types.{index}"), text);
            }
        }
    }

    fn delivery(&mut self, read: &Read<AgreementConfig>) {
        let (own, usual) = (&read.value.delivery, &self.config.relay);
        let or_usual = |own: Duration, usual| if own.is_zero() { usual } else { own };
        let first = or_usual(own.first_retry, usual.first_retry);
        if first > or_usual(own.longest_retry, usual.longest_retry) {
            let text = "delivery.first_retry is longer than longest_retry; where one of them is not set, [relay] says it";
            self.blame(read, "delivery.first_retry", text.into());
        }
    }

    fn prefixes(&mut self, read: &Read<AgreementConfig>) {
        for (index, prefix) in read.value.speaks_for.numbers.iter().enumerate() {
            let digits = prefix.strip_prefix('+').unwrap_or_default();
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                let text = format!("speaks_for.numbers: {prefix:?} is no prefix; write it as +4477009");
                self.blame(read, &format!("speaks_for.numbers.{index}"), text);
            }
        }
    }

    fn blame(&mut self, read: &Read<AgreementConfig>, key: &str, text: String) {
        self.mistakes.push(Mistake {
            file: read.file.clone(),
            line: line_of(&read.lines, key).unwrap_or(read.line),
            text,
        });
    }
}

/// A key's place, for people.
fn place_of(read: &Read<AgreementConfig>, key: &str) -> String {
    let line = line_of(&read.lines, key).unwrap_or(read.line);
    format!("{}:{line}", read.file)
}
