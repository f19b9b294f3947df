//! The view for a home server that can't be told of a gateway: every partner's IMPS server is the gateway, all else is as it is.
//!
//! Such a server looks up `_imps-server._tcp.<partner>` and opens a session with that domain (SSP reference §2). Here the record
//! names a host inside of the partner's domain, which has the gateway's addresses: whether the server then asks for the domain or
//! for the host, in SNI or in `Host`, the gateway learns whom it means. A partner of whom the zones know no server gets a zone of
//! its own with these records alone.

use std::collections::BTreeSet;
use std::net::IpAddr;

use hickory_proto::rr::{RData, RecordType};

use super::names::is_within;
use super::records::{Data, Entry};
use super::set::{LoadErrors, ZoneSet};
use super::substitution::Substitution;
use crate::wire::naptr::Name;

/// Where the gateway is, and in whose place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GatewayView {
    /// The gateway's addresses.
    pub addresses: Vec<IpAddr>,
    /// The gateway's SSP port.
    pub port: u16,
    /// Who is found at it.
    pub partners: Partners,
}

/// The domains that are found at the gateway.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Partners {
    /// Every domain of the zones that has an IMPS server, but these: the home server's own.
    AllBut(Vec<Name>),
    /// These, whether the zones know of them or not.
    Named(Vec<Name>),
}

impl GatewayView {
    pub(super) fn apply(&self, entries: &mut Vec<Entry>) {
        let authority = entries
            .iter()
            .find(|entry| matches!(entry.data, Data::Soa { .. }));
        let Some((origin, line)) = authority.map(|entry| (entry.owner.clone(), entry.line)) else {
            return;
        };
        let domains: BTreeSet<Name> = match &self.partners {
            Partners::AllBut(own) => {
                let known = entries.iter().filter_map(ssp_domain);
                known.filter(|domain| !own.contains(domain)).collect()
            }
            Partners::Named(named) => {
                let inside = named.iter().filter(|domain| is_within(domain, &origin));
                inside.cloned().collect()
            }
        };
        for domain in domains {
            let (Some(owner), Some(host)) = (below(SERVICE, &domain), below(HOST, &domain)) else {
                continue;
            };
            entries.retain(|entry| entry.owner != owner && entry.owner != host);
            let entry = |owner: &Name, data| Entry {
                line,
                owner: owner.clone(),
                ttl: TTL,
                data,
                fields: Vec::new(),
            };
            let server = Data::Srv {
                priority: 10,
                weight: 0,
                port: self.port,
                target: host.clone(),
            };
            entries.push(entry(&owner, server));
            let addresses = self.addresses.iter().map(|address| match address {
                IpAddr::V4(address) => Data::A(*address),
                IpAddr::V6(address) => Data::Aaaa(*address),
            });
            entries.extend(addresses.map(|address| entry(&host, address)));
        }
    }
}

impl ZoneSet {
    /// The set as a home server sees it that can't be told of the gateway, now and after every reload.
    ///
    /// # Errors
    /// A zone that is no longer whole.
    pub fn seen_through(self, view: GatewayView) -> Result<Self, LoadErrors> {
        let named = match &view.partners {
            Partners::AllBut(_) => Vec::new(),
            Partners::Named(named) => named.clone(),
        };
        let mut seen = self.with(Substitution::Gateway(view))?;
        for domain in named {
            let is_served = |owner: Name| !seen.reply(&owner, RecordType::SRV).answers.is_empty();
            if !below(SERVICE, &domain).is_some_and(is_served) {
                seen = seen.with_zone(EMPTY, &domain)?;
            }
        }
        Ok(seen)
    }

    /// The addresses that the zones have for a host, its aliases followed.
    #[must_use]
    pub fn addresses_of(&self, host: &Name) -> Vec<IpAddr> {
        let records = [RecordType::A, RecordType::AAAA]
            .into_iter()
            .flat_map(|rtype| self.reply(host, rtype).answers);
        let address = |data: RData| match (data.ip_addr(), data) {
            (address, RData::A(_) | RData::AAAA(_)) => address,
            _ => None,
        };
        records.filter_map(|record| address(record.data)).collect()
    }
}

/// The domain whose IMPS server an SRV record names.
fn ssp_domain(entry: &Entry) -> Option<Name> {
    if !matches!(entry.data, Data::Srv { .. }) {
        return None;
    }
    let domain = entry.owner.as_str().strip_prefix(SERVICE)?.strip_prefix('.')?;
    domain.parse().ok()
}

fn below(labels: &str, domain: &Name) -> Option<Name> {
    format!("{labels}.{domain}").parse().ok()
}

/// The service of an IMPS server (RFC 2782).
const SERVICE: &str = "_imps-server._tcp";
/// The gateway's host inside of each partner's domain; no underscore, because some TLS clients send such names in no SNI.
const HOST: &str = "imps-gateway";
/// A zone that is made whole by the view; nobody is to be asked for more of it.
const EMPTY: &str = "$TTL 60\n@ SOA ns.invalid. hostmaster.invalid. 1 3600 600 604800 60\n@ NS ns.invalid.\n";
/// Seconds; the gateway may move.
const TTL: u32 = 60;
