//! Many nodes as one: who lives, and what one node asks of another.
//!
//! `membership.rs` decides who is the node of a name, `member.rs` who lives, both without I/O; `node.rs` keeps this node among
//! the others, and `alone.rs` sees to it that a gateway without a cluster has its store for itself. Requests between nodes are
//! small, bounded and named by a topic: `client.rs` carries them, `topics.rs` answers them; `passing.rs` passes on what somebody
//! else has asked, answers without an end among them. The listener and TLS are `app.rs`'s to join. What must not be lost stands in
//! the store; nodes only tell one another.

mod alone;
mod client;
mod config;
mod error;
mod member;
mod membership;
mod node;
mod passing;
mod roster;
mod tenure;
#[cfg(test)]
mod tests;
mod topics;

pub use alone::{Alone, Users};
pub use client::{DialTls, FROM, MAX_BODY, PATH};
pub use config::ClusterConfig;
pub use error::{ClusterError, JoinError, Refused};
pub use member::Member;
pub use membership::{Entering, Entry, Standing, renewed};
pub use node::{Cluster, ClusterParts};
pub use passing::PassedBody;
pub use roster::Seat;
pub use tenure::{Grip, Hold, Tenure};
pub use topics::Topic;
