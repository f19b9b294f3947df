//! What routing asks of the home side: is this person ours?

use crate::model::{Domain, WvAddress};

/// Knows the active accounts of the embedded home domain; answers from memory, since every route asks.
pub trait HomeDirectory: Send + Sync + std::fmt::Debug {
    /// The home domain that has an active account of this address; by number or by name.
    fn account(&self, address: &WvAddress) -> Option<Domain>;

    /// The user name of an active account; `None` where accounts have none.
    fn user_name(&self, _address: &WvAddress) -> Option<WvAddress> {
        None
    }
}
