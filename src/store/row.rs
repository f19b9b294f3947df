//! Rows: opaque bytes under (space, key), changed in atomic batches.

use bytes::Bytes;

use super::{ItemId, NewItem, Settle};
use crate::model::Timestamp;

/// A kind of row; the room that owns it is named at each.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Space {
    /// The store's own facts: secrets, node identity. Key: name.
    Meta = 0,
    /// SSP sessions. `gateways/ssp`.
    Session = 1,
    /// Presence subscriptions that cross the gateway. `relay`.
    Subscription = 2,
    /// Identities of requests with their recorded outcome; beside them (egress ID, egress peer, recipient) to (ingress peer,
    /// IDs, address form). `relay`.
    Seen = 3,
    /// Names by which others know people, and members of others' groups. `relay`.
    Reference = 4,
    /// Accounts of the home domain. `gateways/home`.
    Account = 5,
    /// Contact lists, grants, blocks, watchers of the home domain. `gateways/home`.
    Relation = 6,
    /// Inboxes of the home domain. `gateways/home`.
    Inbox = 7,
    /// Other state of the home domain. `gateways/home`.
    Home = 8,
    /// Chargeable events. `charging`.
    Charge = 9,
    /// Routing overrides. `routing` through `admin`.
    Override = 10,
    /// The audit log. `admin`.
    Audit = 11,
    /// Admin tokens, hashed. `admin`.
    Token = 12,
    /// Invitations under way. `relay`.
    Invitation = 13,
    /// Trails and their summaries. `relay`.
    Trail = 14,
    /// Single SSP transactions that something may still come to. `gateways/ssp`.
    Transaction = 15,
}

impl Space {
    /// Every kind, in the order of their numbers.
    const ALL: [Self; 16] = [
        Self::Meta,
        Self::Session,
        Self::Subscription,
        Self::Seen,
        Self::Reference,
        Self::Account,
        Self::Relation,
        Self::Inbox,
        Self::Home,
        Self::Charge,
        Self::Override,
        Self::Audit,
        Self::Token,
        Self::Invitation,
        Self::Trail,
        Self::Transaction,
    ];

    /// The kind with this number.
    pub(super) fn of_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|space| *space as i64 == number)
    }
}

/// A row as it was read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Row {
    /// Its key.
    pub key: String,
    /// What it holds; opaque to the store.
    pub value: Bytes,
    /// Goes up by one at each change; 1 for a new row.
    pub version: u64,
    /// When it ends by itself.
    pub expires: Option<Timestamp>,
}

/// What must be true of the row before a write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Expected {
    /// Anything.
    Any,
    /// There is no such row (or it has expired).
    Absent,
    /// The row has this version.
    Version(u64),
}

/// One change of a row.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RowWrite {
    /// Where.
    pub space: Space,
    /// Which.
    pub key: String,
    /// The new value; `None` removes the row.
    pub value: Option<Bytes>,
    /// When the row ends by itself.
    pub expires: Option<Timestamp>,
    /// What must be true before.
    pub expected: Expected,
}

/// At most so many items in some queues together; it counts where one of them grows, and then for the whole batch.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct QueueBound {
    /// The queues.
    pub queues: Vec<String>,
    /// How many items they may have, dead ones too.
    pub max: u64,
    /// What the refusal names.
    pub clause: String,
}

/// Changes that happen together or not at all.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The time at which rows count as expired and items are created.
    pub now: Timestamp,
    /// Rows.
    pub writes: Vec<RowWrite>,
    /// Items to queue.
    pub enqueue: Vec<NewItem>,
    /// Items to settle: delivered, rescheduled, held, buried.
    pub settle: Vec<(ItemId, Settle)>,
    /// What queues that grow are held to, beside the bounds of the store.
    pub bounds: Vec<QueueBound>,
    /// Leases by name, and the fence that each must still have: what is done under a lease is done by its holder alone.
    /// Whether its time is up doesn't matter as long as nobody took it.
    pub fences: Vec<(String, u64)>,
    /// Whether rows that are only set may wait in a store of this node's own while the shared one is away
    /// ([`super::CarriedStore`]).
    pub carry: bool,
    /// Queues whose scheduled items are due at once, whatever their time was: the peer is back.
    pub due_now: Vec<String>,
    /// Whether everything that is scheduled is due at once, wherever it stands in its lane: the clock was set back.
    pub all_due_now: bool,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self {
            now,
            ..Self::default()
        }
    }

    /// Adds an unconditional write.
    #[must_use]
    pub fn put(
        mut self,
        space: Space,
        key: impl Into<String>,
        value: impl Into<Bytes>,
        expires: Option<Timestamp>,
    ) -> Self {
        let (key, value) = (key.into(), Some(value.into()));
        self.writes.push(RowWrite {
            space,
            key,
            value,
            expires,
            expected: Expected::Any,
        });
        self
    }

    /// Adds a write that holds only when there is no such row yet.
    #[must_use]
    pub fn put_new(
        mut self,
        space: Space,
        key: impl Into<String>,
        value: impl Into<Bytes>,
        expires: Option<Timestamp>,
    ) -> Self {
        let (key, value) = (key.into(), Some(value.into()));
        self.writes.push(RowWrite {
            space,
            key,
            value,
            expires,
            expected: Expected::Absent,
        });
        self
    }

    /// Adds a removal.
    #[must_use]
    pub fn remove(mut self, space: Space, key: impl Into<String>) -> Self {
        self.writes.push(RowWrite {
            space,
            key: key.into(),
            value: None,
            expires: None,
            expected: Expected::Any,
        });
        self
    }

    /// Adds an item to deliver.
    #[must_use]
    pub fn enqueue(mut self, item: NewItem) -> Self {
        self.enqueue.push(item);
        self
    }

    /// Holds only while this lease has this fence.
    #[must_use]
    pub fn under(mut self, lease: impl Into<String>, fence: u64) -> Self {
        self.fences.push((lease.into(), fence));
        self
    }

    /// Says that it changes what all nodes go by: suspensions, holds, overrides, flushes. One that was not told of it notices that
    /// the row [`ORDERS`] has another version.
    #[must_use]
    pub fn ordered(self) -> Self {
        self.put(Space::Meta, ORDERS, b"1".as_slice(), None)
    }

    /// Settles an item.
    #[must_use]
    pub fn settle(mut self, id: ItemId, settle: Settle) -> Self {
        self.settle.push((id, settle));
        self
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
            && self.enqueue.is_empty()
            && self.settle.is_empty()
            && self.due_now.is_empty()
            && !self.all_due_now
    }
}

/// The row whose version goes up with each order of an operator. It stands among the rows of nodes, which each of them reads at each
/// heartbeat; no name of a node begins with a space.
pub const ORDERS: &str = "node  orders";

/// What a batch came to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Committed {
    /// Carried out, and safe.
    Done,
    /// Nothing was changed, because a row was not as expected; the row as it is, when there is one.
    Conflict {
        /// Where.
        space: Space,
        /// Which.
        key: String,
        /// As it is.
        found: Option<Row>,
    },
    /// Nothing was changed, because an item is gone, is no longer leased to the worker that settles it, or is not where
    /// the settlement needs it.
    LeaseLost(ItemId),
    /// Nothing was changed, because this lease began anew since: what was decided under it is somebody else's to decide.
    Fenced(String),
}
