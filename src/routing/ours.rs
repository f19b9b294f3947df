//! Who is ours, without asking anybody: accounts, home number ranges, our own domains.

use std::sync::Arc;

use super::{Candidate, Router, Transport};
use crate::model::{Domain, WvAddress};

impl Router {
    /// Whether an address has an active account in the embedded home domain.
    #[must_use]
    pub fn is_account(&self, address: &WvAddress) -> bool {
        self.shared.home.account(address).is_some()
    }

    /// The domain of ours that answers for an address: the account's, the number range's, or the one that it names.
    #[must_use]
    pub fn home(&self, address: &WvAddress) -> Option<Domain> {
        if let Some(domain) = self.shared.home.account(address) {
            return Some(domain);
        }
        let rules = self.shared.rules.load();
        let range = address.number().and_then(|number| rules.home_range(number));
        if let Some((_, domain)) = range {
            return Some(domain.clone());
        }
        address
            .domain()
            .filter(|domain| rules.own(domain).is_some())
            .cloned()
    }
}

/// Servers that an agreement names as `host:port`, in the order given, in place of SRV records; `None` when it names none.
///
/// Names among them are resolved when they are connected to.
#[must_use]
pub fn static_candidates(servers: &[String]) -> Option<Arc<[Candidate]>> {
    if servers.is_empty() {
        return None;
    }
    let candidate = |(index, server): (usize, &String)| {
        let (host, port) = server.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let addresses: Arc<[_]> = host.parse().ok().into_iter().collect();
        let priority = u16::try_from(index).unwrap_or(u16::MAX);
        let port = port.parse().ok()?;
        let transport = Transport::Native;
        Some(Candidate {
            priority,
            weight: 0,
            host: host.into(),
            port,
            transport,
            addresses,
            secure: false,
        })
    };
    Some(servers.iter().enumerate().filter_map(candidate).collect())
}
