//! The rule of lanes: which item of one may be worked on, and which settlements an item allows where it stands.
//!
//! Engines keep it in their own statements and in their own transactions; the histories of `tests/store/model.rs` hold
//! them to it, and `tests/models/` walks what several workers can do to a lane under it.

use super::{ItemId, PlaceName, Settle, WorkerId};

/// The one item of a lane that may be worked on: the one that is under way, else the oldest that lives. Everything else of
/// the lane waits behind it, whatever its time is, so that a conversation keeps its order.
#[must_use]
pub fn front(lane: &[(ItemId, PlaceName)]) -> Option<ItemId> {
    let under_way = lane.iter().find(|(_, place)| is_under_way(*place));
    let living = lane.iter().filter(|(_, place)| *place != PlaceName::Dead);
    let oldest = || living.map(|(id, _)| *id).min();
    under_way.map(|(id, _)| *id).or_else(oldest)
}

impl Settle {
    /// Whether an item that stands there, held by this worker if it is leased, may be settled so.
    ///
    /// A lease that has ended still counts until another worker took the item over: the work was done, and was done once.
    #[must_use]
    pub fn fits(&self, place: PlaceName, leased_to: Option<&str>) -> bool {
        let is_leased_to =
            |by: &WorkerId| place == PlaceName::Leased && leased_to.is_some_and(|to| to == by.0);
        match self {
            Self::Done { by }
            | Self::Reschedule { by, .. }
            | Self::Await { by, .. }
            | Self::Bury { by, .. } => is_leased_to(by),
            Self::Answered => true,
            Self::NotTaken { .. } | Self::Unsure { .. } => place == PlaceName::Awaiting,
            Self::Hold { .. } | Self::Discard => place != PlaceName::Leased,
            Self::Release { .. } | Self::Redirect { .. } => {
                matches!(place, PlaceName::Held | PlaceName::Dead)
            }
        }
    }
}

fn is_under_way(place: PlaceName) -> bool {
    matches!(place, PlaceName::Leased | PlaceName::Awaiting)
}
