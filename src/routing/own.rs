//! Who is ours: what the relay asks before it asks DNS.

use super::Router;
use crate::model::{Domain, WvAddress};

impl Router {
    /// Whether the address has an active account in the home domain.
    #[must_use]
    pub fn is_account(&self, address: &WvAddress) -> bool {
        self.shared.home.account(address).is_some()
    }

    /// The domain of ours that serves an address: that of its account, its own when we serve it, or that of the home
    /// range which its number is in. Asks no DNS.
    #[must_use]
    pub fn home(&self, address: &WvAddress) -> Option<Domain> {
        if let Some(domain) = self.shared.home.account(address) {
            return Some(domain);
        }
        let rules = self.shared.rules.load();
        if let Some(domain) = address.domain()
            && rules.own(domain).is_some()
        {
            return Some(domain.clone());
        }
        let (_, domain) = rules.home_range(address.number()?)?;
        Some(domain.clone())
    }
}
