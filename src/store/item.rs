//! Items: what waits for delivery.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::model::Timestamp;

/// The identity of an item; orders items by creation within a store.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct ItemId(pub u64);

/// Who holds a lease: a worker of a node.
#[derive(Clone, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
pub struct WorkerId(pub String);

/// The unit of order: items of one lane are delivered one after the other, in the order in which they came.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Lane {
    /// The queue: the serving domain, or a peer's name. Counts, holds and limits are per queue.
    pub queue: String,
    /// The conversation within it: sender and recipient.
    pub conversation: String,
}

/// What goes first when both are due.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub enum Priority {
    /// A person waits: messages, reports.
    Interactive = 0,
    /// Notices and notifications.
    Background = 1,
}

/// An item to queue.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewItem {
    /// Its lane.
    pub lane: Lane,
    /// What goes first.
    pub priority: Priority,
    /// When it is first due.
    pub due: Timestamp,
    /// When it is too late.
    pub expires: Timestamp,
    /// Replaces scheduled items of the same lane and key (newest wins), and is not tried again itself once a newer one
    /// waits; `None` never replaces.
    pub replaces: Option<String>,
    /// The peer acknowledged it already and has not answered: it is awaiting, and `due` is when it counts as unanswered.
    pub is_awaiting: bool,
    /// What was said of an attempt before it was queued.
    pub last_failure: Option<String>,
    /// Words that people look it up by: message ID, addresses (canonical keys).
    pub labels: Vec<String>,
    /// The request, opaque to the store.
    pub body: Bytes,
}

/// An item as it is stored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OutboxItem {
    /// Its identity.
    pub id: ItemId,
    /// Its lane.
    pub lane: Lane,
    /// What goes first.
    pub priority: Priority,
    /// Where it stands.
    pub place: Place,
    /// When it was accepted.
    pub created: Timestamp,
    /// When it is too late.
    pub expires: Timestamp,
    /// How many attempts were begun: a claim counts one, so that an item which ends its worker is noticed as well.
    pub attempts: u32,
    /// An attempt was acknowledged, or may have been, and stayed without an answer until its time was up: the outcome is
    /// unknown, and sending again may deliver twice. Attempts that fail later don't change that, only an operator's word does.
    pub unanswered: bool,
    /// What the last attempt said.
    pub last_failure: Option<String>,
    /// Words that people look it up by.
    pub labels: Vec<String>,
    /// The request.
    pub body: Bytes,
}

/// Where an item stands.
#[derive(Clone, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// Waits for its time.
    Scheduled {
        /// Its time.
        due: Timestamp,
    },
    /// A worker has it.
    Leased {
        /// Which.
        to: WorkerId,
        /// When the lease ends by the clock.
        until: Timestamp,
    },
    /// The peer acknowledged the document and has not answered (architecture, *awaiting*).
    Awaiting {
        /// When it counts as unanswered.
        until: Timestamp,
    },
    /// An operator holds it.
    Held {
        /// Who, and why.
        by: String,
    },
    /// Given up: for a person to decide.
    Dead {
        /// Why.
        reason: String,
    },
}

impl Place {
    /// Without the details.
    #[must_use]
    pub fn name(&self) -> PlaceName {
        match self {
            Self::Scheduled { .. } => PlaceName::Scheduled,
            Self::Leased { .. } => PlaceName::Leased,
            Self::Awaiting { .. } => PlaceName::Awaiting,
            Self::Held { .. } => PlaceName::Held,
            Self::Dead { .. } => PlaceName::Dead,
        }
    }
}

/// A place without its details, for filters and counts.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "as in Place")]
pub enum PlaceName {
    Scheduled,
    Leased,
    Awaiting,
    Held,
    Dead,
}

/// What becomes of an item.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Settle {
    /// Delivered, refused for good or superseded: it goes. The worker must still hold the lease.
    Done {
        /// Who settles.
        by: WorkerId,
    },
    /// Try again later. The worker must still hold the lease.
    Reschedule {
        /// Who settles.
        by: WorkerId,
        /// When.
        due: Timestamp,
        /// What the attempt said.
        failure: String,
    },
    /// Acknowledged and not answered yet. The worker must still hold the lease.
    Await {
        /// Who settles.
        by: WorkerId,
        /// Until when.
        until: Timestamp,
    },
    /// The late answer to an awaiting item came: it goes, wherever it stands; no harm when it is gone already.
    Answered,
    /// The document of an awaiting item was not taken after all: it is tried again later, and is no more unknown than it was.
    NotTaken {
        /// When.
        due: Timestamp,
        /// What became of the document.
        failure: String,
    },
    /// Whether the document of an awaiting item arrived will not turn out: it is tried again later, unanswered.
    Unsure {
        /// When.
        due: Timestamp,
        /// What became of the document.
        failure: String,
    },
    /// Given up. The worker must still hold the lease.
    Bury {
        /// Who settles.
        by: WorkerId,
        /// Why.
        reason: String,
    },
    /// An operator holds it, unless it is leased.
    Hold {
        /// Who, and why.
        by: String,
    },
    /// An operator lets it go on, from held or dead, at this time and in its old place in the lane; attempts start anew.
    Release {
        /// When it is due.
        due: Timestamp,
    },
    /// An operator discards it, unless it is leased.
    Discard,
    /// An operator sends it to another queue, from held or dead; attempts start anew.
    Redirect {
        /// The new lane.
        lane: Lane,
        /// When it is due.
        due: Timestamp,
    },
}

/// A worker's wish for work.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Who works.
    pub by: WorkerId,
    /// The time.
    pub now: Timestamp,
    /// How long the lease lasts.
    pub lease: Duration,
    /// At most this many items.
    pub limit: usize,
    /// Queues that take nothing now (suspended, at their limit).
    pub except_queues: Vec<String>,
}

/// Which items to list.
#[derive(Clone, Debug, Default)]
pub struct QueueFilter {
    /// Only this queue.
    pub queue: Option<String>,
    /// Only this place.
    pub place: Option<PlaceName>,
    /// Only items with this label.
    pub label: Option<String>,
}

/// How many items stand in one place of one queue.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct QueueCount {
    /// The queue.
    pub queue: String,
    /// The place.
    pub place: PlaceName,
    /// How many.
    pub count: u64,
    /// The oldest item's time of acceptance.
    pub oldest: Timestamp,
}
