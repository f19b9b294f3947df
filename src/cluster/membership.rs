//! Whether a process is the node whose name it bears: decisions over what the store says of the name's lease.
//!
//! One living process has a name. Who starts waits for the lease of a namesake that has just died, and gives up when the
//! namesake lives. Who runs goes on until another process has the name. No I/O and no clock; `node.rs` drives it.

use std::time::Duration;

use crate::store::{Leased, WorkerId};

/// A process that wants to become the node of its name.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Entering {
    has_waited: bool,
}

/// What the lease means for a process that wants to enter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Entry {
    /// It is the node now.
    In {
        /// What it does as this node is done under this fence.
        fence: u64,
    },
    /// An earlier process of the name may have died: ask again after this long.
    Wait {
        /// The rest of that one's lease.
        left: Duration,
    },
    /// A living process has the name.
    Taken {
        /// Which.
        by: WorkerId,
    },
}

/// What the lease means for a process that has renewed it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It is the node still.
    Still,
    /// It came too late, but nobody has taken the name: it is the node under another fence, and was dead for the others.
    Anew {
        /// The fence from now on.
        fence: u64,
    },
    /// Another process is the node. This one must stop.
    Out {
        /// Which is it.
        by: WorkerId,
    },
}

impl Entering {
    /// What follows from the answer to asking for the lease. Whoever still has it after it could have ended renews it, and
    /// so lives.
    pub fn asked(&mut self, leased: Leased) -> Entry {
        match leased {
            Leased::Held { fence } => Entry::In { fence },
            Leased::By { holder, .. } if self.has_waited => Entry::Taken { by: holder },
            Leased::By { left, .. } => {
                self.has_waited = true;
                Entry::Wait { left }
            }
        }
    }
}

/// What follows from the answer to renewing the lease that was held under `fence`.
#[must_use]
pub fn renewed(fence: u64, leased: Leased) -> Standing {
    match leased {
        Leased::Held { fence: same } if same == fence => Standing::Still,
        Leased::Held { fence } => Standing::Anew { fence },
        Leased::By { holder, .. } => Standing::Out { by: holder },
    }
}
