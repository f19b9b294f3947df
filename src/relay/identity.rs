//! At least once on the wire, once for the person: identities of requests and what is recorded under them.
//!
//! The identity is (peer, primitive, own ID, recipient) and a hash of the content. A repeat is answered with the recorded
//! outcome; one that arrives while the first is under way waits for it. The message ID on the way out is a keyed hash of
//! the identity, so that a retry after a crash carries the same one without having been stored.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ring::{digest, hmac};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::Side;
use crate::model::{Acceptance, MessageId, Refusal, Timestamp, WvAddress};

/// The identity of a request at the side that it came from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RequestKey {
    /// The request's own ID (message ID, invite ID), or the transaction ID where it has none.
    pub id: String,
    /// Whether `id` is only a transaction ID, which peers reuse: then it counts for 24 hours.
    pub is_transaction: bool,
    /// SHA-256 over what the request says, cut to 16 octets.
    pub hash: [u8; 16],
}

impl RequestKey {
    /// The hash of what a request says, from its parts in a fixed order.
    #[must_use]
    pub fn hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 16] {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        first_16(context.finish().as_ref())
    }

    /// The row key of one recipient's outcome: 32 hexadecimal digits, the first 16 of them the request's
    /// [`anchor`](Self::anchor).
    #[must_use]
    pub(super) fn row_key(&self, side: &Side, primitive: &str, recipient: &WvAddress) -> String {
        let recipient = recipient.key();
        let one = Self::hash([primitive.as_bytes(), recipient.as_bytes()]);
        let mut key = self.anchor(side);
        push_hex(&mut key, one.iter().take(HALF));
        key
    }

    /// What the rows of a request have in common: 16 hexadecimal digits. They begin with it, and so does the ID that it
    /// carries on the way out, so that a commit changes one page of the store and not one for each row.
    fn anchor(&self, side: &Side) -> String {
        let parts: [&[u8]; 4] = [
            side.name().as_bytes(),
            side.domain().as_str().as_bytes(),
            self.id.as_bytes(),
            &self.hash,
        ];
        let mut anchor = String::with_capacity(4 * HALF);
        push_hex(&mut anchor, Self::hash(parts).iter().take(HALF));
        anchor
    }
}

/// The key that message IDs on the way out are derived with.
pub struct IdentitySecret(hmac::Key);

impl IdentitySecret {
    /// From 32 octets out of a cryptographic generator.
    #[must_use]
    pub fn new(octets: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, octets))
    }

    /// The ID that a request carries towards a serving domain: its anchor, and what only we can derive.
    #[must_use]
    pub(super) fn egress_id(&self, side: &Side, key: &RequestKey, serving: &str) -> MessageId {
        let mut context = hmac::Context::with_key(&self.0);
        for part in [side.name(), side.domain().as_str(), &key.id, serving] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        context.update(&key.hash);
        let mut text = key.anchor(side);
        push_hex(&mut text, context.sign().as_ref().iter().take(HALF));
        // 32 hexadecimal digits are a valid ID; the fallback keeps the function total.
        text.parse().unwrap_or_else(|_| unreachable_id())
    }
}

impl fmt::Debug for IdentitySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdentitySecret")
    }
}

/// What is recorded of a request for one recipient: identity, outcome, charge; never content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Recorded {
    /// The outcome that repeats are answered with.
    #[serde(rename = "o")]
    pub(super) outcome: Result<Acceptance, Refusal>,
    /// When it was reached.
    #[serde(rename = "t")]
    pub(super) at: Timestamp,
    /// The side it came from, for the charge.
    #[serde(rename = "f")]
    pub(super) from: String,
    /// The serving domain, for the charge; absent when there is none.
    #[serde(rename = "d")]
    pub(super) to: Option<String>,
    /// Octets of content, for the charge.
    #[serde(rename = "s")]
    pub(super) size: u64,
}

/// Requests under way, so that a repeat waits for the first instead of racing it.
///
/// Hardly anybody ever waits, so what is waited on is made by the first who does.
#[derive(Debug, Default)]
pub(super) struct InProgress(Mutex<HashMap<Arc<str>, Option<watch::Sender<()>>>>);

impl InProgress {
    /// Begins a request, or returns what to wait on when the same one is under way: it closes when that has ended.
    pub(super) fn begin(&self, key: &str) -> Result<Progress<'_>, watch::Receiver<()>> {
        let mut map = self.lock();
        if let Some(ended) = map.get_mut(key) {
            return Err(waited_on(ended));
        }
        let key: Arc<str> = key.into();
        map.insert(Arc::clone(&key), None);
        Ok(Progress { all: self, key })
    }

    /// Whether such a request is under way.
    pub(super) fn has(&self, key: &str) -> bool {
        self.lock().contains_key(key)
    }

    /// Waits until a request that is under way has ended; at once when it is not.
    pub(super) async fn ended(&self, key: &str) {
        let first = self.lock().get_mut(key).map(waited_on);
        if let Some(mut first) = first {
            while first.changed().await.is_ok() {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Option<watch::Sender<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn waited_on(ended: &mut Option<watch::Sender<()>>) -> watch::Receiver<()> {
    ended.get_or_insert_with(|| watch::Sender::new(())).subscribe()
}

/// A request under way; ends when it is dropped.
#[derive(Debug)]
pub(super) struct Progress<'a> {
    all: &'a InProgress,
    key: Arc<str>,
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        // Whoever waits sees the sender go with its entry.
        self.all.lock().remove(&self.key);
    }
}

/// Lower-case hexadecimal.
pub(super) fn hex(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len() * 2);
    push_hex(&mut text, octets.iter());
    text
}

/// Adds octets in lower-case hexadecimal.
fn push_hex<'a>(text: &mut String, octets: impl Iterator<Item = &'a u8>) {
    let digit = |nibble: u8| {
        char::from(if nibble < 10 {
            b'0' + nibble
        } else {
            b'a' - 10 + nibble
        })
    };
    for octet in octets {
        text.push(digit(octet >> 4));
        text.push(digit(octet & 15));
    }
}

fn first_16(octets: &[u8]) -> [u8; 16] {
    let mut out = [0; 16];
    for (to, from) in out.iter_mut().zip(octets) {
        *to = *from;
    }
    out
}

#[expect(clippy::expect_used, reason = "a literal of one digit is a valid ID")]
fn unreachable_id() -> MessageId {
    "0".parse().expect("0 is an ID")
}

/// Octets of an anchor, and of what stands behind it.
const HALF: usize = 8;
