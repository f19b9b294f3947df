//! The relay's bounds and times.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::duration;

/// How long things may take and wait.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RelayConfig {
    /// How long a sender waits for the next hop, counted from admission, routing included; then the message is stored
    /// and answered as accepted. Longer makes fewer stored messages, and slower answers when a peer is down.
    #[serde(with = "duration")]
    pub cut_through: Duration,
    /// How long a search, presence query or invitation is waited for before it counts as failed.
    #[serde(with = "duration")]
    pub query_timeout: Duration,
    /// How long a message may wait when its sender gave no validity (SSP reference §9.1: 24 h).
    #[serde(with = "duration")]
    pub default_validity: Duration,
    /// The longest validity that is honoured.
    #[serde(with = "duration")]
    pub max_validity: Duration,
    /// How long a presence notification may wait for a peer that can't be reached. Only the newest of each person waits, so
    /// longer costs little; shorter, and watchers keep an old presence for as long as the person does not change it.
    #[serde(with = "duration")]
    pub notification_validity: Duration,
    /// How often it is looked at whether numbers that are watched have moved to another operator; their subscriptions follow
    /// them. Shorter costs an ENUM query for each watched number as often, where its records' TTL is no longer.
    #[serde(with = "duration")]
    pub follow_moved: Duration,
    /// The first pause after a failed attempt; each next one is about three times as long.
    #[serde(with = "duration")]
    pub first_retry: Duration,
    /// The longest pause between two attempts.
    #[serde(with = "duration")]
    pub longest_retry: Duration,
    /// How many deliveries from the store run at once.
    pub outbox_concurrency: usize,
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self {
            cut_through: Duration::from_secs(5),
            query_timeout: Duration::from_secs(20),
            default_validity: Duration::from_secs(86_400),
            max_validity: Duration::from_secs(7 * 86_400),
            notification_validity: Duration::from_secs(12 * 3600),
            follow_moved: Duration::from_secs(3600),
            first_retry: Duration::from_secs(5),
            longest_retry: Duration::from_secs(600),
            outbox_concurrency: 64,
        }
    }
}

impl RelayConfig {
    /// How long a message may wait.
    #[must_use]
    pub fn validity(&self, asked: Option<Duration>) -> Duration {
        asked
            .filter(|validity| !validity.is_zero())
            .unwrap_or(self.default_validity)
            .min(self.max_validity)
    }
}
