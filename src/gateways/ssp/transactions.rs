//! What is remembered of single transactions: the peer's, under whose ID a later answer of ours goes, and ours, to which an answer
//! may come late.
//!
//! Both are looked up in memory and are rows of the store as well, because reports and late answers come hours later, to whatever
//! process runs by then.

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;

use super::{
    gateway::SspGateway,
    link::{Asked, Fallen, Link},
};
use crate::{
    model::{Domain, Request, Timestamp},
    store::{Batch, Space, Store, StoreError},
    wire::ssp::TransactionId,
};

/// The peer's transaction that carried a message or invitation.
#[derive(Debug)]
pub(super) struct Carrier {
    pub(super) id: TransactionId,
    /// Closed once the transaction is answered.
    unanswered: Semaphore,
}

impl Carrier {
    pub(super) fn new(id: TransactionId) -> Self {
        let unanswered = Semaphore::new(0);
        Self { id, unanswered }
    }

    /// Its answer is queued; what follows it may go.
    pub(super) fn set_answered(&self) {
        self.unanswered.close();
    }

    pub(super) async fn answered(&self) {
        // Nobody adds a permit: this ends when the semaphore is closed.
        let _ = self.unanswered.acquire().await;
    }
}

/// Single transactions, by what they are looked up by.
#[derive(Debug)]
pub(super) struct Transactions {
    store: Arc<dyn Store>,
    /// Row key to the transaction that carried it.
    carried: moka::sync::Cache<String, Arc<Carrier>>,
    /// Row key to what was asked.
    asked: moka::sync::Cache<String, Arc<Asked>>,
}

impl Transactions {
    /// What is in the store of requests that may still be answered.
    ///
    /// # Errors
    /// When the store can't be read.
    pub(super) async fn load(store: Arc<dyn Store>, now: Timestamp) -> Result<Self, StoreError> {
        let asked = memory();
        let mut after: Option<String> = None;
        loop {
            let rows = store
                .rows(Space::Transaction, ASKED, after.as_deref(), 1000, now)
                .await?;
            let Some(last) = rows.last() else { break };
            after = Some(last.key.clone());
            for row in rows {
                if let Ok(one) = serde_json::from_slice::<Asked>(&row.value) {
                    asked.insert(row.key, Arc::new(one));
                }
            }
        }
        Ok(Self {
            store,
            carried: memory(),
            asked,
        })
    }

    /// Remembers which transaction of a peer's carries a request.
    pub(super) fn carries(&self, key: String, carrier: &Arc<Carrier>) {
        self.carried.insert(key, Arc::clone(carrier));
    }

    /// Keeps that for the next process.
    pub(super) async fn keep_carrier(&self, key: String, carrier: &Carrier, now: Timestamp) {
        let id = carrier.id.as_str().as_bytes().to_vec();
        self.keep(key, id, now).await;
    }

    /// The transaction that carried it; one of an earlier process is answered, or never will be.
    pub(super) async fn carrier(&self, key: &str, now: Timestamp) -> Option<Arc<Carrier>> {
        if let Some(known) = self.carried.get(key) {
            return Some(known);
        }
        let row = self.store.row(Space::Transaction, key, now).await;
        let row =
            row.inspect_err(|error| tracing::error!(%error, "the transaction of a message can't be read"));
        let id = String::from_utf8(row.ok()??.value.to_vec()).ok()?;
        let carrier = Carrier::new(TransactionId::new(id));
        carrier.set_answered();
        Some(Arc::new(carrier))
    }

    async fn keep(&self, key: String, value: Vec<u8>, now: Timestamp) {
        let batch = Batch::new(now).put(Space::Transaction, key, value, Some(now.plus(MEMORY)));
        if let Err(error) = self.store.commit(batch).await {
            tracing::error!(%error, "a transaction could not be stored; after a restart nobody will know of it");
        }
    }
}

impl SspGateway {
    /// Remembers what a request of ours asked that nobody waits for any more.
    pub(super) fn remember_asked(&self, link: &Link, id: &TransactionId, asked: &Arc<Asked>) {
        let key = asked_key(&link.own, &link.peer, id);
        self.transactions.asked.insert(key, Arc::clone(asked));
    }

    /// Keeps that for the next process.
    pub(super) async fn keep_asked(&self, link: &Link, id: &TransactionId) {
        let key = asked_key(&link.own, &link.peer, id);
        let asked = self.transactions.asked.get(&key);
        if let Some(value) = asked.and_then(|asked| serde_json::to_vec(&*asked).ok()) {
            self.transactions.keep(key, value, self.now()).await;
        }
    }

    /// What a request of ours asked that was given up before its answer.
    pub(super) fn asked(&self, link: &Link, id: &TransactionId) -> Option<Arc<Asked>> {
        self.transactions.asked.get(&asked_key(&link.own, &link.peer, id))
    }

    /// What a request of ours asked, as it was kept by whatever process.
    pub(super) async fn stored_asked(&self, link: &Link, id: &TransactionId) -> Option<Arc<Asked>> {
        let key = asked_key(&link.own, &link.peer, id);
        let row = self
            .transactions
            .store
            .row(Space::Transaction, &key, self.now())
            .await;
        let row = row.inspect_err(|error| tracing::error!(%error, "what was asked can't be read"));
        serde_json::from_slice(&row.ok()??.value).ok().map(Arc::new)
    }

    /// A document was not taken in which there was a request that nobody waits for any more.
    ///
    /// What the peer may have goes again only where the peer would notice; else its answer is waited for.
    pub(super) fn has_fallen(self: &Arc<Self>, link: &Link, id: &TransactionId, fallen: Fallen) {
        let Some(asked) = self.asked(link, id) else { return };
        if fallen == Fallen::Unsure && !self.tells_repeats_apart(&link.peer) {
            return;
        }
        let (gateway, peer) = (Arc::clone(self), link.peer.clone());
        tokio::spawn(async move {
            let Some(relay) = gateway.relay() else { return };
            match fallen {
                Fallen::NotTaken => relay.not_taken(&peer, &asked.message).await,
                Fallen::Closed => relay.dropped(&peer, &asked.message).await,
                Fallen::Unsure => relay.unsure(&peer, &asked.message).await,
            }
        });
    }
}

/// What the transaction of a peer's is looked up by that carries a request; none for what has no later answers.
pub(super) fn carrier_key(peer: &Domain, request: &Request) -> Option<String> {
    let (kind, id) = match request {
        Request::Send(message) => ("message", message.id.as_ref()?.to_string()),
        Request::Report(report) => ("message", report.message.to_string()),
        Request::Invite(invite) => ("invite", invite.id.to_string()),
        Request::InviteAnswer(answer) => ("invite", answer.id.to_string()),
        Request::Search(_)
        | Request::StopSearch { .. }
        | Request::ContactAdded(_)
        | Request::Subscribe(_)
        | Request::Unsubscribe(_)
        | Request::GetPresence(_)
        | Request::Notify(_)
        | Request::CancelInvite(_)
        | Request::Group(_)
        | Request::GroupEvent(_) => return None,
    };
    Some(format!("carried {peer} {kind} {id}"))
}

fn asked_key(own: &Domain, peer: &Domain, id: &TransactionId) -> String {
    format!("{ASKED}{own} {peer} {}", id.as_str())
}

fn memory<V: Clone + Send + Sync + 'static>() -> moka::sync::Cache<String, V> {
    moka::sync::Cache::builder()
        .max_capacity(100_000)
        .time_to_live(MEMORY)
        .build()
}

/// How the keys of what we asked begin.
const ASKED: &str = "asked ";
/// How long a later answer finds its transaction.
const MEMORY: Duration = Duration::from_secs(86_400);
