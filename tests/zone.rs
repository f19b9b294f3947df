//! The zone server over real sockets, the bundled zones and their table, and the validator's findings.

mod bundled;
mod served;
