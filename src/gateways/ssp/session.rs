//! SSP sessions as they are kept: both IDs, both domains, the peer's server, and when they end.
//!
//! Each side uses its own ID in what it sends (SSP reference §4.4). Sessions survive a restart of either side, so they are
//! rows of the store; every session that a peer announced and that was not closed is accepted.

use std::{
    collections::HashMap,
    sync::{Arc, RwLock},
};

use serde::{Deserialize, Serialize};

use crate::{
    model::{Domain, Timestamp},
    store::{Batch, Committed, Row, Space, Store, StoreError},
};

/// A session for both directions between a domain that we speak as and one of a peer's.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// The domain that we speak as: of ours; to a home server that meets partners through us, of a partner.
    pub own: Domain,
    /// The peer's domain.
    pub peer: Domain,
    /// The ID that we issued and send.
    pub own_id: String,
    /// The ID that the peer issued and sends.
    pub peer_id: String,
    /// The server that took the first document of the handshake, as `https://host:port`.
    pub url: String,
    /// Whether the peer sent us to that server, so that documents go there although discovery does not name it.
    #[serde(default)]
    pub redirected: bool,
    /// Whether both sides have agreed to it; before that only what the peer sends under it counts.
    #[serde(default = "yes")]
    pub is_confirmed: bool,
    /// When it was established.
    pub since: Timestamp,
    /// When it ends; the smaller of both sides' times to live counts.
    pub ends: Timestamp,
}

impl Session {
    /// Whether it may still be used for what we send.
    #[must_use]
    pub fn is_usable(&self, now: Timestamp) -> bool {
        now < self.ends
    }

    /// When it should be renewed: after nine tenths of its life.
    #[must_use]
    pub fn renew_at(&self) -> Timestamp {
        self.ends.minus(self.since.until(self.ends) / 10)
    }

    fn row_key(&self) -> String {
        format!("{}{}", of_pair(&self.own, &self.peer), self.own_id)
    }

    /// Under which another node finds it by what the peer sends.
    fn index_key(&self) -> String {
        format!("{}{}", by_peer_id(&self.peer_id), self.own_id)
    }
}

/// All sessions that are known, found by the ID that the peer sends.
#[derive(Debug)]
pub(super) struct Sessions {
    store: Arc<dyn Store>,
    by_peer_id: RwLock<HashMap<String, Vec<Arc<Session>>>>,
}

impl Sessions {
    /// Reads what is in the store.
    ///
    /// # Errors
    /// When the store can't be read; a row that can't be is dropped, and the session opened anew when it is needed.
    pub(super) async fn load(
        store: Arc<dyn Store>,
        now: Timestamp,
    ) -> Result<(Self, Vec<Arc<Session>>), StoreError> {
        let mut all = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let rows = store
                .rows(Space::Session, "", after.as_deref(), 1000, now)
                .await?;
            let Some(last) = rows.last() else { break };
            after = Some(last.key.clone());
            let rows = rows.iter().filter(|row| !row.key.starts_with(INDEX));
            all.extend(rows.filter_map(read));
        }
        let mut by_peer_id: HashMap<String, Vec<Arc<Session>>> = HashMap::new();
        for session in &all {
            by_peer_id
                .entry(session.peer_id.clone())
                .or_default()
                .push(Arc::clone(session));
        }
        Ok((
            Self {
                store,
                by_peer_id: RwLock::new(by_peer_id),
            },
            all,
        ))
    }

    /// The session under which a peer sends, by the ID in its document.
    pub(super) fn by_peer_id(&self, id: &str) -> Option<Arc<Session>> {
        let map = self
            .by_peer_id
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        map.get(id)?.last().cloned()
    }

    /// Takes what the peer sends under a new session; earlier ones of the pair stay valid.
    pub(super) fn honour(&self, session: Arc<Session>) {
        let mut map = self
            .by_peer_id
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let list = map.entry(session.peer_id.clone()).or_default();
        list.retain(|known| known.own_id != session.own_id);
        list.push(session);
    }

    /// Whether a session was announced and not closed since.
    pub(super) fn knows(&self, session: &Session) -> bool {
        let map = self
            .by_peer_id
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        map.get(&session.peer_id)
            .is_some_and(|list| list.iter().any(|known| known.own_id == session.own_id))
    }

    /// The session under which a peer sends, as another node has stored it; honoured from now on.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) async fn stored_by_peer_id(
        &self,
        id: &str,
        now: Timestamp,
    ) -> Result<Option<Arc<Session>>, StoreError> {
        let found = self.stored(&by_peer_id(id), now).await?;
        let found = found.into_iter().rfind(|session| session.peer_id == id);
        Ok(found.inspect(|session| self.honour(Arc::clone(session))))
    }

    /// The session of a pair that lasts longest, as any node has stored it; honoured from now on.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) async fn stored_of_pair(
        &self,
        own: &Domain,
        peer: &Domain,
        now: Timestamp,
    ) -> Result<Option<Arc<Session>>, StoreError> {
        let found = self.stored(&of_pair(own, peer), now).await?;
        let usable = found
            .into_iter()
            .filter(|session| session.is_confirmed && session.is_usable(now));
        let longest = usable.max_by_key(|session| session.ends);
        Ok(longest.inspect(|session| self.honour(Arc::clone(session))))
    }

    /// Stores a session, and forgets the oldest ones of the pair past the bound, so that a peer that opens one after
    /// the other fills neither the memory nor the store; one that was closed meanwhile is not kept.
    ///
    /// `false` when that was decided under a lease which another node has now: then nothing is stored.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) async fn keep(
        &self,
        session: &Session,
        fence: Option<(String, u64)>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let value = serde_json::to_vec(session).unwrap_or_default();
        // Kept a day past its end, for a peer that goes on using it.
        let until = Some(session.ends.plus(std::time::Duration::from_secs(86_400)));
        let mut batch = Batch::new(now)
            .put(Space::Session, session.row_key(), value.clone(), until)
            .put(Space::Session, session.index_key(), value, until);
        for old in self.take_surplus(&session.own, &session.peer) {
            tracing::info!(own = %old.own, peer = %old.peer, "too many sessions of one pair; the oldest is forgotten");
            batch = without(batch, &old);
        }
        if let Some((lease, fence)) = fence {
            batch = batch.under(lease, fence);
        }
        if let Committed::Fenced(_) = self.store.commit(batch).await? {
            return Ok(false);
        }
        if !self.knows(session) {
            self.store.commit(without(Batch::new(now), session)).await?;
        }
        Ok(true)
    }

    async fn stored(&self, prefix: &str, now: Timestamp) -> Result<Vec<Arc<Session>>, StoreError> {
        let rows = self
            .store
            .rows(Space::Session, prefix, None, SCANNED, now)
            .await?;
        Ok(rows.iter().filter_map(read).collect())
    }

    fn take_surplus(&self, own: &Domain, peer: &Domain) -> Vec<Arc<Session>> {
        let mut map = self
            .by_peer_id
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let is_of_pair = |one: &&Arc<Session>| one.own == *own && one.peer == *peer;
        let mut of_pair: Vec<_> = map.values().flatten().filter(is_of_pair).cloned().collect();
        let surplus = of_pair.len().saturating_sub(MAX_SESSIONS_PER_PAIR);
        of_pair.sort_by_key(|session| session.since);
        of_pair.truncate(surplus);
        for old in &of_pair {
            if let Some(list) = map.get_mut(&old.peer_id) {
                list.retain(|one| one.own_id != old.own_id);
                if list.is_empty() {
                    map.remove(&old.peer_id);
                }
            }
        }
        of_pair
    }

    /// Forgets a session that was closed.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) async fn forget(&self, session: &Session, now: Timestamp) -> Result<(), StoreError> {
        self.disregard(session);
        self.store
            .commit(without(Batch::new(now), session))
            .await
            .map(|_| ())
    }

    /// Takes nothing any more that the peer sends under a session.
    pub(super) fn disregard(&self, session: &Session) {
        let mut map = self
            .by_peer_id
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(list) = map.get_mut(&session.peer_id) {
            list.retain(|one| one.own_id != session.own_id);
            if list.is_empty() {
                map.remove(&session.peer_id);
            }
        }
    }
}

fn without(batch: Batch, session: &Session) -> Batch {
    batch
        .remove(Space::Session, session.row_key())
        .remove(Space::Session, session.index_key())
}

fn read(row: &Row) -> Option<Arc<Session>> {
    serde_json::from_slice(&row.value).ok().map(Arc::new)
}

/// How the keys of a pair's sessions begin.
fn of_pair(own: &Domain, peer: &Domain) -> String {
    format!("{own} {peer} ")
}

/// How the keys begin under which the sessions of a peer's ID are found.
fn by_peer_id(id: &str) -> String {
    format!("{INDEX}{id} ")
}

fn yes() -> bool {
    true
}

/// Sessions of one (own, peer) pair that are honoured at once. Two are normal (simultaneous opening, renewal); a peer of
/// many nodes has some more.
const MAX_SESSIONS_PER_PAIR: usize = 32;
/// Rows of a pair, or of an ID, that are looked at; another node may have added some.
const SCANNED: usize = 4 * MAX_SESSIONS_PER_PAIR;
/// Before the keys by which sessions are found; no domain begins so.
const INDEX: &str = "id ";
