//! This node among the others: it joins, says that it lives, looks who else does, and leaves.
//!
//! The store is the truth: a lease says that a process is the node of its name, a row says where it is reached. Between two
//! heartbeats nodes hint to one another that somebody came or went. Without the store a node goes on with those it knew last.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, sleep},
};

use super::{
    ClusterConfig, ClusterError, DialTls, Entering, Entry, JoinError, Member, Refused, Seat, Standing, Topic,
    alone::nobody_is_alone,
    client::Client,
    member::{NODES, living},
    passing::Passing,
    renewed,
    roster::seats,
    tenure::Tenures,
    topics::Topics,
};
use crate::{
    store::{Batch, Committed, HeldLease, Leased, ORDERS, Space, Store, StoreError, WorkerId},
    telemetry::{Clock, Metrics},
};

/// What a node is built from.
pub struct ClusterParts {
    /// Times.
    pub config: ClusterConfig,
    /// This node, as the others shall know it.
    pub me: Member,
    /// What all nodes share.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Clock,
    /// Where nodes and requests between them are counted.
    pub metrics: Arc<Metrics>,
    /// TLS towards other nodes.
    pub tls: DialTls,
}

/// This node among the others.
pub struct Cluster {
    config: ClusterConfig,
    me: ArcSwap<Member>,
    store: Arc<dyn Store>,
    clock: Clock,
    metrics: Arc<Metrics>,
    client: Client,
    passing: Passing,
    topics: Topics,
    tenures: Tenures,
    /// Under which the row of this node is written.
    fence: AtomicU64,
    /// When it is written anew, in milliseconds since 1970.
    rewrite: AtomicU64,
    members: watch::Sender<Arc<[Member]>>,
    /// The version of what operators have ordered, as it was last seen.
    orders: watch::Sender<u64>,
    /// Another process that is the node of this name now.
    out: watch::Sender<Option<WorkerId>>,
}

impl Cluster {
    /// Becomes the node of its name. When a process of the name has died, that takes until its lease ends.
    ///
    /// # Errors
    /// [`JoinError::Taken`] when a living process has the name, [`JoinError::OneAlone`] when the store is somebody else's.
    ///
    /// # Cancel safety
    /// The lease may have been taken when the future is dropped; it ends by the clock.
    pub async fn join(parts: ClusterParts) -> Result<Arc<Self>, JoinError> {
        let fence = enter(&parts).await?;
        if let Err(refused) = nobody_is_alone(&*parts.store, &parts.clock).await {
            let (name, me) = (Member::key(&parts.me.node), parts.me.worker());
            parts.store.unlease(&name, &me).await?;
            return Err(refused);
        }
        let cluster = Arc::new(Self {
            passing: Passing::new(parts.me.node.clone(), Arc::clone(&parts.tls)),
            client: Client::new(parts.me.node.clone(), parts.tls),
            config: parts.config,
            me: ArcSwap::from_pointee(parts.me),
            store: parts.store,
            clock: parts.clock,
            metrics: parts.metrics,
            topics: Topics::new(),
            tenures: Tenures::default(),
            fence: AtomicU64::new(fence),
            rewrite: AtomicU64::new(0),
            members: watch::Sender::new(Arc::new([])),
            orders: watch::Sender::new(0),
            out: watch::Sender::new(None),
        });
        let news = News(Arc::downgrade(&cluster));
        cluster.answer(NEWS, Arc::new(news));
        Ok(cluster)
    }

    /// Answers this topic from now on.
    pub fn answer(&self, name: &'static str, topic: Arc<dyn Topic>) {
        self.topics.enter(name, topic);
    }

    /// Shows this node to the others; called once it can be reached and knows its topics.
    ///
    /// # Errors
    /// When the store fails, or another process has become the node of this name.
    pub async fn appear(&self) -> Result<(), JoinError> {
        self.write_me().await?;
        self.look().await?;
        self.tell_news().await;
        Ok(())
    }

    /// Renews the lease and looks who lives, at each heartbeat, until another process is the node of this name.
    pub async fn run(self: Arc<Self>) {
        let mut beat = interval(self.config.heartbeat);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.out.borrow().is_none() {
            beat.tick().await;
            if let Err(error) = self.beat().await {
                tracing::warn!(%error, "this node can't say that it lives; the others take over its work unless the store is back soon");
            }
        }
    }

    /// Ends when another process is the node of this name; which.
    pub async fn is_out(&self) -> WorkerId {
        let mut out = self.out.subscribe();
        loop {
            if let Some(by) = out.borrow_and_update().clone() {
                return by;
            }
            if out.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// This node, as the others know it.
    #[must_use]
    pub fn me(&self) -> Arc<Member> {
        self.me.load_full()
    }

    /// Who lives, this node among them once it has appeared, by name.
    #[must_use]
    pub fn members(&self) -> Arc<[Member]> {
        Arc::clone(&self.members.borrow())
    }

    /// Everybody, by name, with those who went without a word within a day; for people.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn roster(&self) -> Result<Vec<Seat>, StoreError> {
        let now = self.clock.now();
        let leases = self.store.leases("", now).await?;
        let rows = self.store.rows(Space::Meta, NODES, None, MAX_NODES, now).await?;
        Ok(seats(&rows, &leases))
    }

    /// The living node of this name.
    #[must_use]
    pub fn member(&self, node: &str) -> Option<Member> {
        self.members().iter().find(|member| member.node == node).cloned()
    }

    /// The living process of this incarnation.
    #[must_use]
    pub fn process(&self, incarnation: &str) -> Option<Member> {
        let members = self.members();
        members
            .iter()
            .find(|member| member.incarnation == incarnation)
            .cloned()
    }

    /// As [`Cluster::process`], with a look at the store for one that has come since the last heartbeat.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub async fn find_process(&self, incarnation: &str) -> Option<Member> {
        let known = self.process(incarnation);
        if known.is_some() {
            return known;
        }
        if let Err(error) = self.look().await {
            tracing::warn!(%error, "a node that is not known can't be looked for");
        }
        self.process(incarnation)
    }

    /// Changes of [`Cluster::members`].
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Arc<[Member]>> {
        self.members.subscribe()
    }

    /// A number that is another one once an operator has ordered something at any node, seen with each heartbeat and whenever
    /// another node says that somebody came or went; who was not told of it reads the store then.
    #[must_use]
    pub fn orders(&self) -> watch::Receiver<u64> {
        self.orders.subscribe()
    }

    /// Asks a living node, and waits for its answer.
    ///
    /// # Errors
    /// [`ClusterError`]; ask it `was_not_done`.
    ///
    /// # Cancel safety
    /// When dropped half-way, the other node may or may not do what was asked.
    pub async fn ask(&self, node: &str, topic: &'static str, request: Bytes) -> Result<Bytes, ClusterError> {
        let unknown = || ClusterError::Unknown {
            node: node.to_owned(),
        };
        let answer = match self.member(node).ok_or_else(unknown) {
            Ok(member) => self.client.ask(&member, topic, request).await,
            Err(unknown) => Err(unknown),
        };
        let outcome = answer.as_ref().map_or_else(ClusterError::outcome, |_| "answered");
        self.metrics.cluster_request(topic, outcome);
        answer
    }

    /// Asks all other living nodes at once; who has not answered, and why.
    ///
    /// # Cancel safety
    /// When dropped half-way, some nodes may have been told.
    pub async fn tell_all(&self, topic: &'static str, request: Bytes) -> Vec<(String, ClusterError)> {
        let members = self.members();
        let me = self.me();
        let others = members.iter().filter(|member| member.node != me.node);
        let asked = others.map(|member| async {
            let answer = self.ask(&member.node, topic, request.clone()).await;
            answer.err().map(|error| (member.node.clone(), error))
        });
        let answers = futures_util::future::join_all(asked).await;
        answers.into_iter().flatten().collect()
    }

    /// Takes a request of the node `from`, which has proved its name.
    ///
    /// # Errors
    /// [`Refused`], as the other node is told.
    pub async fn receive(&self, from: &str, topic: &str, request: Bytes) -> Result<Bytes, Refused> {
        self.topics.answer(from, topic, request).await
    }

    /// Says that this node takes nothing new.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn drain(&self) -> Result<(), StoreError> {
        let draining = Member {
            is_draining: true,
            ..(*self.me()).clone()
        };
        self.me.store(Arc::new(draining));
        self.write_me().await.or_else(unless_taken)?;
        self.tell_news().await;
        Ok(())
    }

    /// Leaves the others: the name is free at once.
    ///
    /// # Errors
    /// When the store fails; then the lease ends by the clock.
    pub async fn leave(&self) -> Result<(), StoreError> {
        let me = self.me();
        let key = Member::key(&me.node);
        let batch = Batch::new(self.clock.now()).remove(Space::Meta, key.as_str());
        let fence = self.fence.load(Ordering::Relaxed);
        self.store.commit(batch.under(key.as_str(), fence)).await?;
        self.store.unlease(&key, &me.worker()).await?;
        self.tell_news().await;
        Ok(())
    }

    pub(super) fn tenures(&self) -> &Tenures {
        &self.tenures
    }

    /// How often this node says that it lives.
    #[must_use]
    pub fn heartbeat(&self) -> Duration {
        self.config.heartbeat
    }

    pub(super) fn lease(&self) -> Duration {
        self.config.lease
    }

    pub(super) fn passing(&self) -> &Passing {
        &self.passing
    }

    /// Takes or renews a lease as this process.
    pub(super) async fn ask_lease(&self, name: &str) -> Result<Leased, StoreError> {
        let (by, ttl, now) = (self.me().worker(), self.config.lease, self.clock.now());
        self.store.lease(name, &by, ttl, now).await
    }

    pub(super) async fn give_lease_up(&self, name: &str) -> Result<(), StoreError> {
        self.store.unlease(name, &self.me().worker()).await
    }

    pub(super) async fn held(&self, prefix: &str) -> Result<Vec<HeldLease>, StoreError> {
        self.store.leases(prefix, self.clock.now()).await
    }

    pub(super) async fn beat(&self) -> Result<(), StoreError> {
        let me = self.me();
        let leased = self.ask_lease(&Member::key(&me.node)).await?;
        match renewed(self.fence.load(Ordering::Relaxed), leased) {
            Standing::Still => {}
            Standing::Anew { fence } => {
                tracing::warn!(
                    node = me.node,
                    "this node was dead for the others: it came too late with its heartbeat"
                );
                self.fence.store(fence, Ordering::Relaxed);
            }
            Standing::Out { by } => {
                self.out.send_replace(Some(by));
                return Ok(());
            }
        }
        self.stay_known().await?;
        self.look().await
    }

    /// Writes the row of this node anew before it expires, once it has been there.
    async fn stay_known(&self) -> Result<(), StoreError> {
        let rewrite = self.rewrite.load(Ordering::Relaxed);
        if rewrite == 0 || self.clock.now().0 < rewrite {
            return Ok(());
        }
        self.write_me().await.or_else(unless_taken)
    }

    async fn look(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let leases = self.store.leases(NODES, now).await?;
        let rows = self.store.rows(Space::Meta, NODES, None, MAX_NODES, now).await?;
        let found: Arc<[Member]> = living(&rows, &leases).into();
        self.metrics.cluster_nodes(found.len());
        let ordered = rows.iter().find(|row| row.key == ORDERS);
        let version = ordered.map_or(0, |row| row.version);
        self.orders
            .send_if_modified(|known| std::mem::replace(known, version) != version);
        self.client.keep_only(&found);
        self.passing.keep_only(&found);
        self.members.send_if_modified(|known| {
            let is_changed = **known != *found;
            if is_changed {
                tell_change(known, &found);
                *known = Arc::clone(&found);
            }
            is_changed
        });
        Ok(())
    }

    async fn write_me(&self) -> Result<(), JoinError> {
        let me = self.me();
        let key = Member::key(&me.node);
        let value = serde_json::to_vec(&*me).unwrap_or_default();
        let now = self.clock.now();
        let batch = Batch::new(now).put(Space::Meta, key.as_str(), value, Some(now.plus(REMEMBERED)));
        let fence = self.fence.load(Ordering::Relaxed);
        match self.store.commit(batch.under(key, fence)).await? {
            Committed::Done => {
                self.rewrite.store(now.plus(REMEMBERED / 24).0, Ordering::Relaxed);
                Ok(())
            }
            Committed::Conflict { .. } | Committed::LeaseLost(_) | Committed::Fenced(_) => {
                Err(JoinError::Taken {
                    node: me.node.clone(),
                    by: "it took over while this one was starting".to_owned(),
                })
            }
        }
    }

    /// Who does not hear it finds it out at the next heartbeat.
    async fn tell_news(&self) {
        for (node, error) in self.tell_all(NEWS, Bytes::new()).await {
            tracing::debug!(node, %error, "a node was not told of the change");
        }
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("me", &self.me())
            .finish_non_exhaustive()
    }
}

/// Another node says that somebody came or went.
struct News(std::sync::Weak<Cluster>);

#[async_trait::async_trait]
impl Topic for News {
    async fn answer(&self, _: &str, _: Bytes) -> Result<Bytes, Refused> {
        if let Some(cluster) = self.0.upgrade() {
            let looked = cluster.look().await;
            looked.map_err(|error| Refused::Not(error.to_string()))?;
        }
        Ok(Bytes::new())
    }
}

async fn enter(parts: &ClusterParts) -> Result<u64, JoinError> {
    let me = &parts.me;
    let mut entering = Entering::default();
    loop {
        let (now, ttl) = (parts.clock.now(), parts.config.lease);
        let leased = parts
            .store
            .lease(&Member::key(&me.node), &me.worker(), ttl, now)
            .await?;
        match entering.asked(leased) {
            Entry::In { fence } => return Ok(fence),
            Entry::Wait { left } => {
                tracing::warn!(node = me.node, wait = ?left, "a process of this name has not left; waiting until it is dead");
                sleep(left + MARGIN).await;
            }
            Entry::Taken { by } => {
                return Err(JoinError::Taken {
                    node: me.node.clone(),
                    by: by.0,
                });
            }
        }
    }
}

/// Who has lost his name to another process finds that out by the lease.
fn unless_taken(error: JoinError) -> Result<(), StoreError> {
    match error {
        JoinError::Store(error) => Err(error),
        JoinError::Taken { .. }
        | JoinError::OneAlone { .. }
        | JoinError::AnotherAlone { .. }
        | JoinError::Nodes { .. } => Ok(()),
    }
}

fn tell_change(before: &[Member], after: &[Member]) {
    let is_in = |list: &[Member], one: &Member| list.iter().any(|other| other.incarnation == one.incarnation);
    for one in after.iter().filter(|one| !is_in(before, one)) {
        tracing::info!(
            node = one.node,
            address = one.address,
            version = one.version,
            "a node is there"
        );
    }
    for one in before.iter().filter(|one| !is_in(after, one)) {
        tracing::warn!(node = one.node, "a node is gone");
    }
}

/// Said when somebody comes, goes or drains.
const NEWS: &str = "cluster/news";
/// A node that went without a word is remembered for a day, so that people see whom they miss.
const REMEMBERED: Duration = Duration::from_secs(86_400);
/// More than any cluster has.
const MAX_NODES: usize = 1000;
/// What the store's clock may be behind ours in a wait.
const MARGIN: Duration = Duration::from_millis(100);
