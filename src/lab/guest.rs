//! The partner whom a lab serves as a sandbox: who he is, whom he trusts and is trusted by, and where his server is found.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use super::LabError;
use crate::{
    gateways::ssp::CertificateFacts,
    model::{Domain, E164, WvAddress},
};

/// A partner who tests his own server against the lab.
#[derive(Clone, Debug)]
pub struct Guest {
    /// His service domain.
    pub domain: Domain,
    /// The authorities, PEM, that sign his certificates.
    pub authorities: PathBuf,
    /// Where his server is found.
    pub found: Found,
    /// The beginning of his people's numbers, digits without the `+`; ENUM of the lab leads them to him.
    pub numbers: String,
    /// The address that the lab serves him at.
    pub listen: IpAddr,
}

/// How the lab finds a partner's server.
#[derive(Clone, Debug)]
pub enum Found {
    /// Here: the lab's own DNS says so in his SRV record.
    At(SocketAddr),
    /// By the SRV record that these DNS servers know.
    BySrv(Vec<SocketAddr>),
}

impl Guest {
    /// Whether an address is one of his people's.
    #[must_use]
    pub fn has(&self, address: &WvAddress) -> bool {
        match (address.number(), address.domain()) {
            (Some(number), _) => number.has_prefix(&self.numbers),
            (None, domain) => domain == Some(&self.domain) && !address.is_group(),
        }
    }

    /// Whether the lab can be this partner's.
    ///
    /// # Errors
    /// [`LabError::Guest`], with what to do.
    pub fn check(&self) -> Result<(), LabError> {
        let wrong = |reason: String| Err(LabError::Guest(reason));
        if OURS.iter().any(|one| self.domain.as_str() == *one) {
            return wrong(format!(
                "{} is an operator of the lab; give --partner the domain of your own server",
                self.domain
            ));
        }
        if self.listen.is_unspecified() || self.listen.is_multicast() {
            return wrong(format!(
                "{} is no address that DNS can name; give --listen the one that the partner reaches",
                self.listen
            ));
        }
        let reader = CertificateFacts::of_file(&self.authorities);
        if let Err(error) = reader {
            return wrong(format!(
                "{error}; --ca takes the PEM file of the authority that signed the partner's certificate"
            ));
        }
        let is_prefix = (1..=14).contains(&self.numbers.len()) && self.numbers.parse::<u64>().is_ok();
        if !is_prefix || format!("+{}0", self.numbers).parse::<E164>().is_err() {
            return wrong(format!(
                "+{} is not the beginning of a number; write --partner-numbers as +4477009006",
                self.numbers
            ));
        }
        let ours = LAB_NUMBERS;
        let is_inside = self.numbers.starts_with(ours) && self.numbers != YOURS;
        if is_inside || ours.starts_with(&self.numbers) {
            return wrong(format!(
                "+{} are numbers of the lab; leave --partner-numbers out for +{YOURS}xx, or name a range outside of +{ours}",
                self.numbers
            ));
        }
        Ok(())
    }

    /// His records in ENUM.
    pub(super) fn enum_records(&self) -> String {
        let labels: Vec<_> = self.numbers.chars().rev().map(String::from).collect();
        let owner = labels.join(".");
        let mut records = String::new();
        for service in ["im", "pres"] {
            records.push_str(&format!(
                "*.{owner} IN NAPTR 100 10 \"u\" \"E2U+{service}\" \"!^(.*)$!{service}:\\\\1@{}!\" .\n",
                self.domain
            ));
        }
        records
    }

    /// His zone, where the lab's DNS has it.
    pub(super) fn zone(&self) -> Option<String> {
        let Found::At(server) = &self.found else {
            return None;
        };
        let kind = if server.is_ipv4() { "A" } else { "AAAA" };
        let (address, port) = (server.ip(), server.port());
        Some(format!(
            "$TTL 5\n@ IN SOA ns hostmaster ( 1 3600 600 604800 5 )\n  IN NS ns\nns IN {} {}\n\
             _imps-server._tcp IN SRV 10 0 {port} imps\nimps IN {kind} {address}\n",
            if self.listen.is_ipv4() { "A" } else { "AAAA" },
            self.listen
        ))
    }

    /// What an operator's `[routing]` says of DNS besides the lab's own.
    pub(super) fn view(&self) -> String {
        let Found::BySrv(servers) = &self.found else {
            return String::new();
        };
        let servers: Vec<_> = servers.iter().map(|server| format!("\"{server}\"")).collect();
        format!(
            ", {{ name = \"partner\", resolvers = [{}], domains = [\"{}\"] }}",
            servers.join(", "),
            self.domain
        )
    }

    /// The agreement of an operator with him, who may send through it to others or not.
    pub(super) fn agreement(&self, has_transit: bool) -> String {
        // Nothing named means everything but loopback and link-local.
        let is_here = |address: IpAddr| address.is_loopback();
        let found_here = matches!(&self.found, Found::At(server) if is_here(server.ip()));
        let networks = if is_here(self.listen) || found_here {
            "[\"127.0.0.0/8\", \"::1\"]"
        } else {
            "[]"
        };
        format!(
            r#"
[[agreement]]
peer = "partner"
domains = ["{}"]
services.in = ["search", "presence", "message", "invite", "notice", "group"]
services.out = ["search", "presence", "message", "invite", "notice", "group"]
limits.media_types = ["*/*"]
limits.sender_per_minute = 3000
limits.max_queued = 10000
limits.max_subscriptions = 10000
allowed_networks = {networks}
tls.accept_server_certificates = true
transit = {has_transit}
"#,
            self.domain
        )
    }
}

/// The name of the agreement with the partner.
pub const PARTNER: &str = "partner";
/// The beginning of a partner's numbers, unless he has a range of his own.
pub const YOURS: &str = "4477009006";
const LAB_NUMBERS: &str = "447700900";
const OURS: [&str; 6] = [
    "alpha.example",
    "beta.example",
    "hub.example",
    "isle.example",
    "e164enum.net",
    "e164.arpa",
];
