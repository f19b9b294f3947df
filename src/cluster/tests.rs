//! Nodes that share one store: joining, dying, sleeping. What goes between them is tested in `tests/nodes/`.

use std::{sync::Arc, time::Duration};

use super::*;
use crate::{
    model::Timestamp,
    store::{Store, sqlite::SqliteStore},
    telemetry::{Clock, ClockHand, Metrics},
};

/// A store and a clock that nodes share.
struct Table {
    store: Arc<dyn Store>,
    clock: Clock,
    hand: ClockHand,
}

impl Table {
    fn new() -> Self {
        let (clock, hand) = Clock::standing(Timestamp(1_000_000));
        Self {
            store: Arc::new(SqliteStore::in_memory().unwrap()),
            clock,
            hand,
        }
    }

    async fn join(&self, node: &str, process: &str) -> Result<Arc<Cluster>, JoinError> {
        let none = || rustls::Error::General("there is no network here".to_owned());
        let parts = ClusterParts {
            config: ClusterConfig {
                lease: LEASE,
                ..ClusterConfig::default()
            },
            me: Member {
                node: node.to_owned(),
                incarnation: format!("{node}-{process}"),
                address: "127.0.0.1:1".to_owned(),
                since: self.clock.now(),
                version: "1".to_owned(),
                is_draining: false,
            },
            store: Arc::clone(&self.store),
            clock: self.clock.clone(),
            metrics: Arc::new(Metrics::new()),
            tls: Arc::new(move |_| Err(none())),
        };
        Cluster::join(parts).await
    }

    async fn node(&self, node: &str) -> Arc<Cluster> {
        let cluster = self.join(node, "a").await.unwrap();
        cluster.appear().await.unwrap();
        cluster
    }
}

fn names(cluster: &Cluster) -> Vec<String> {
    cluster
        .members()
        .iter()
        .map(|member| member.incarnation.clone())
        .collect()
}

#[tokio::test]
async fn nodes_see_one_another_at_the_next_heartbeat() {
    let table = Table::new();
    let n1 = table.node("n1").await;
    assert_eq!(names(&n1), ["n1-a"]);
    let n2 = table.node("n2").await;
    assert_eq!(names(&n2), ["n1-a", "n2-a"]);
    n1.beat().await.unwrap();
    assert_eq!(names(&n1), ["n1-a", "n2-a"]);
    n2.drain().await.unwrap();
    n1.beat().await.unwrap();
    assert!(n1.member("n2").unwrap().is_draining);
    n2.leave().await.unwrap();
    n1.beat().await.unwrap();
    assert_eq!(names(&n1), ["n1-a"]);
}

#[tokio::test]
async fn dead_node_is_noticed_within_its_lease() {
    let table = Table::new();
    let (n1, _n2) = (table.node("n1").await, table.node("n2").await);
    for _ in 0..4 {
        table.hand.advance(LEASE / 5);
        n1.beat().await.unwrap();
        assert_eq!(names(&n1), ["n1-a", "n2-a"]);
    }
    table.hand.advance(LEASE / 5);
    n1.beat().await.unwrap();
    assert_eq!(names(&n1), ["n1-a"]);
    assert!(n1.process("n2-a").is_none());
}

/// Time stands still for the store, and passes for who waits: the namesake lives as far as anybody can see.
#[tokio::test]
async fn second_process_of_a_living_name_is_refused() {
    let table = Table::new();
    let first = table.node("n1").await;
    let refused = table.join("n1", "b").await.unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("another living process is the node n1 (n1-a)"),
        "{refused}"
    );
    // It may leave, and then another one is welcome at once.
    first.leave().await.unwrap();
    table.join("n1", "c").await.unwrap();
}

#[tokio::test]
async fn process_that_overslept_is_out_when_its_name_is_taken() {
    let table = Table::new();
    let first = table.node("n1").await;
    table.hand.advance(LEASE * 2);
    let second = table.join("n1", "b").await.unwrap();
    second.appear().await.unwrap();
    // What the first one writes late changes nothing.
    first.drain().await.unwrap();
    first.leave().await.unwrap();
    second.beat().await.unwrap();
    assert_eq!(names(&second), ["n1-b"]);
    assert!(!second.member("n1").unwrap().is_draining);
    first.beat().await.unwrap();
    assert_eq!(first.is_out().await.0, "n1-b");
}

#[tokio::test]
async fn process_that_overslept_alone_lives_again() {
    let table = Table::new();
    let (n1, n2) = (table.node("n1").await, table.node("n2").await);
    table.hand.advance(LEASE * 2);
    n2.beat().await.unwrap();
    assert_eq!(names(&n2), ["n2-a"]);
    n1.beat().await.unwrap();
    n2.beat().await.unwrap();
    assert_eq!(names(&n2), ["n1-a", "n2-a"]);
    // It writes under the fence that it has now.
    n1.drain().await.unwrap();
    n2.beat().await.unwrap();
    assert!(n2.member("n1").unwrap().is_draining);
}

#[tokio::test]
async fn gateway_that_was_killed_or_left_is_waited_for_by_nobody() {
    let table = Table::new();
    let enter = |place: &str| Alone::enter(place.to_owned(), Arc::clone(&table.store), table.clock.clone());
    let entering = async {
        drop(enter("one at here").await.unwrap());
        let again = enter("one at here").await.unwrap();
        again.leave().await.unwrap();
        enter("two at there").await.unwrap();
    };
    // Less than it takes until the lease of a gateway has ended that has died.
    tokio::time::timeout(Duration::from_secs(9), entering)
        .await
        .unwrap();
}

const LEASE: Duration = Duration::from_millis(500);
