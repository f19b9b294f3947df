//! What the admin API needs of the gateways: which peers there are, how their sessions stand, and three levers.
//!
//! `app.rs` adapts the gateways' own registers to it, so that this room knows none of them.

use serde::{Deserialize, Serialize};

use crate::{
    model::{Domain, PeerName, Timestamp},
    relay::PaceState,
};

/// The peers of all gateways, as NOC staff see them.
#[async_trait::async_trait]
pub trait Board: Send + Sync {
    /// Every peer with an agreement, in the order of the configuration.
    fn peers(&self) -> Vec<PeerState>;

    /// The certificates that we show to peers, our own first.
    fn certificates(&self) -> Vec<CertificateState>;

    /// Sends nothing more to the peer and takes nothing from it, until resumed; what may wait, waits. Holds over restarts.
    ///
    /// # Errors
    /// [`LeverError`].
    async fn suspend(&self, peer: &PeerName, reason: &str) -> Result<(), LeverError>;

    /// Ends a suspension; what waits goes at once.
    ///
    /// # Errors
    /// [`LeverError`].
    async fn resume(&self, peer: &PeerName) -> Result<(), LeverError>;

    /// Ends the peer's sessions and establishes them anew.
    ///
    /// # Errors
    /// [`LeverError`].
    async fn reconnect(&self, peer: &PeerName) -> Result<(), LeverError>;
}

/// Why a lever did not move.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LeverError {
    /// There is no such peer.
    #[error("there is no agreement with a peer named {0}; `impsgw peer list` names them")]
    Unknown(PeerName),
    /// It could not be done.
    #[error("it can't be done now: {0}")]
    Failed(String),
}

/// How a peer stands.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PeerState {
    /// Its name.
    pub peer: PeerName,
    /// The protocol that it is spoken to by.
    pub protocol: String,
    /// Why and by whom it is suspended; absent when it is not.
    pub suspended: Option<String>,
    /// Its sessions, one for each pair of domains.
    pub sessions: Vec<SessionState>,
    /// How fast it is sent what may wait; absent until something has gone to it.
    pub pace: Option<PaceState>,
    /// Servers that are set aside because they failed, as `host:port` and the reason.
    pub set_aside: Vec<String>,
}

/// How a session stands.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SessionState {
    /// The domain that we speak as.
    pub own: Domain,
    /// The peer's domain.
    pub theirs: Domain,
    /// `open`, `opening`, `closed`, or what failed last.
    pub state: String,
    /// Since when.
    pub since: Option<Timestamp>,
    /// Requests under way.
    pub under_way: u64,
}

/// A certificate of ours, as NOC staff watch it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct CertificateState {
    /// Its holder.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// The domains and hosts that it names.
    pub names: Vec<String>,
    /// When it ends.
    pub not_after: Timestamp,
    /// Whole days until then; negative when it has ended.
    pub days_left: i64,
}

impl PeerState {
    /// How many sessions are open.
    #[must_use]
    pub fn open_sessions(&self) -> u64 {
        let open = self.sessions.iter().filter(|session| session.state == "open");
        u64::try_from(open.count()).unwrap_or(u64::MAX)
    }
}
