//! Stand-in until the router is joined.
use super::{RouteFailure, RouteService, Routed};
use crate::model::{Domain, Timestamp, WvAddress};

/// Whether the way is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Explain {
    /// The decision only.
    No,
    /// Every step.
    Yes,
}

/// Finds who serves an address.
#[derive(Debug)]
pub struct Router {}

impl Router {
    /// The route of an address.
    pub async fn route(
        &self,
        address: &WvAddress,
        _service: RouteService,
        _now: Timestamp,
        _explain: Explain,
    ) -> Routed {
        Routed {
            user: address.clone(),
            plan: Err(RouteFailure::Absent("".into())),
            steps: vec![],
        }
    }
    /// Whether an address has an active account.
    pub fn is_account(&self, _address: &WvAddress) -> bool {
        false
    }
    /// The domain of ours that serves an address.
    pub fn home(&self, _address: &WvAddress) -> Option<Domain> {
        None
    }
}
