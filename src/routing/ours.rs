//! Who is ours: accounts, home number ranges, our own domains; for a number of a home range, whether it was ported out.

use std::sync::Arc;

use super::{
    Candidate, Explain, Plan, RouteFailure, RouteService, Router, Transport, derive::Derivation,
    overrides::OverrideTarget,
};
use crate::model::{Domain, E164, PeerName, Timestamp, WvAddress};

/// Who holds a number, as far as it may be one of ours.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Holder {
    /// We: an active account, or a home range that nothing says the number was ported out of.
    Us,
    /// An override gives the number to this peer, which may be a home server of ours.
    Peer(PeerName),
    /// Somebody else, or nobody that we know of.
    Others,
}

impl Router {
    /// Whether an address has an active account in the embedded home domain.
    #[must_use]
    pub fn is_account(&self, address: &WvAddress) -> bool {
        self.shared.home.account(address).is_some()
    }

    /// The user name (`wv:user@domain`) of an active account in the embedded home domain.
    #[must_use]
    pub fn user_name(&self, address: &WvAddress) -> Option<WvAddress> {
        self.shared.home.user_name(address)
    }

    /// Who holds a number. DNS is asked only for numbers of our home ranges that have no account here, because only
    /// those may have been ported out.
    ///
    /// # Errors
    /// [`RouteFailure::Temporary`] when ENUM would have to say and can't be asked.
    ///
    /// # Cancel safety
    /// Cancel safe: what was found so far stays in the caches.
    pub async fn holder(&self, number: &E164, now: Timestamp) -> Result<Holder, RouteFailure> {
        let address = WvAddress::msisdn(number.clone());
        if self.is_account(&address) {
            return Ok(Holder::Us);
        }
        let rules = self.shared.rules.load_full();
        let overrides = self.shared.overrides.load_full();
        match overrides.of_number(number, now).map(|one| &one.to) {
            Some(OverrideTarget::Domain(domain)) if rules.own(domain).is_some() => return Ok(Holder::Us),
            Some(OverrideTarget::Domain(_)) => return Ok(Holder::Others),
            Some(OverrideTarget::Peer(peer)) => return Ok(Holder::Peer(peer.clone())),
            None if rules.home_range(number).is_none() => return Ok(Holder::Others),
            None => {}
        }
        if let Some(routed) = self.cached(&address, RouteService::Im, now)
            && let Ok(plan) = routed.plan
        {
            return Ok(match *plan {
                Plan::Home { .. } => Holder::Us,
                Plan::Domain { .. } | Plan::Gateway { .. } => Holder::Others,
            });
        }
        let derivation = Derivation::new(&self.shared, RouteService::Im, now, Explain::No);
        let is_ported_out = Box::pin(derivation.leads_away(number)).await?;
        Ok(if is_ported_out { Holder::Others } else { Holder::Us })
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
