//! A database that fails over under its nodes: the primary is lost, its synchronous standby takes its place.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use impsgw::store::{
    Batch, Claim, Committed, QueueFilter, Space, Store, StoreError,
    postgres::{PostgresConfig, PostgresStore},
};
use tokio::time::timeout;

use super::{
    START, a_claim, an_item, commit,
    database::{self, Server},
    done,
};
use crate::ledger::proxy::{Proxy, Weather};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_standby_takes_over() {
    let Some(bin) = database::binaries() else { return };
    let mut primary = Server::start(&bin);
    let standby = primary.standby(&bin);
    let config = PostgresConfig {
        patience: Duration::from_millis(500),
        connect_timeout: Duration::from_secs(2),
        ..PostgresConfig::new(primary.url_with(&standby))
    };
    let nodes = [
        Arc::new(PostgresStore::open(&config).await.unwrap()),
        Arc::new(PostgresStore::open(&config).await.unwrap()),
    ];
    let is_over = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..6)
        .map(|name| tokio::spawn(write(Arc::clone(&nodes[name % 2]), name, Arc::clone(&is_over))))
        .collect();
    let at_least = |count: usize| {
        let node = Arc::clone(&nodes[0]);
        timeout(Duration::from_secs(60), async move {
            while node
                .rows(Space::Seen, "", None, count, START)
                .await
                .map_or(0, |rows| rows.len())
                < count
            {}
        })
    };
    at_least(100).await.unwrap();
    primary.crash();
    standby.promote(&bin);
    at_least(600).await.unwrap();
    is_over.store(true, Ordering::Relaxed);
    let (mut acknowledged, mut refused) = (BTreeSet::new(), 0);
    for writer in writers {
        let (mine, away) = writer.await.unwrap();
        acknowledged.extend(mine);
        refused += away;
    }
    let rows = nodes[0]
        .rows(Space::Seen, "", None, usize::MAX, START)
        .await
        .unwrap();
    let rows: BTreeSet<String> = rows.into_iter().map(|row| row.key).collect();
    let lost: Vec<_> = acknowledged.difference(&rows).collect();
    assert!(lost.is_empty(), "{lost:?}");
    // What was in doubt when the primary went is there whole or not at all.
    let items = nodes[1]
        .items(&QueueFilter::default(), None, usize::MAX)
        .await
        .unwrap();
    let items: BTreeSet<String> = items.into_iter().flat_map(|item| item.labels).collect();
    assert_eq!(items, rows);
    assert!(rows.len() <= acknowledged.len() + refused);
    assert_eq!(nodes[1].check().await.unwrap().faults, Vec::<String>::new());
    drain(&*nodes[1], rows.len()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn database_that_hangs_holds_nobody_for_ever() {
    let Some(server) = database::server() else { return };
    let at = crate::ports::free_address();
    let network = Proxy::start(at, server.address()).await;
    let own = server.config();
    let config = PostgresConfig {
        url: own.url.replace(&server.address().to_string(), &at.to_string()),
        statement_timeout: Duration::from_millis(200),
        connect_timeout: Duration::from_millis(200),
        patience: Duration::from_millis(200),
        connections: 2,
        ..own
    };
    let store = PostgresStore::open(&config).await.unwrap();
    let put = || store.commit(Batch::new(START).put(Space::Seen, "k", "v", None));
    assert_eq!(put().await.unwrap(), Committed::Done);
    // Connections stand, and nobody answers on them.
    network.set(Weather::Held).await;
    for _ in 0..4 {
        let refused = timeout(Duration::from_secs(20), put())
            .await
            .expect("it waits for ever");
        let is_told = matches!(refused, Err(StoreError::Away { .. } | StoreError::InDoubt { .. }));
        assert!(is_told, "{refused:?}");
    }
    network.set(Weather::Fair).await;
    let back = async { while put().await.is_err() {} };
    timeout(Duration::from_secs(20), back).await.unwrap();
}

/// Commits a row and an item under one name, again and again; says which were acknowledged, and how often the database was away.
async fn write(store: Arc<PostgresStore>, writer: usize, is_over: Arc<AtomicBool>) -> (Vec<String>, usize) {
    let (mut acknowledged, mut refused, mut n) = (Vec::new(), 0, 0);
    while !is_over.load(Ordering::Relaxed) {
        n += 1;
        let name = format!("{writer} {n:06}");
        let mut item = an_item(&writer.to_string(), &name);
        item.labels = vec![name.clone()];
        let batch = Batch::new(START).put(Space::Seen, &name, "x", None).enqueue(item);
        match store.commit(batch).await {
            Ok(Committed::Done) => acknowledged.push(name),
            Err(StoreError::Away { .. } | StoreError::InDoubt { .. }) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    (acknowledged, refused)
}

/// Delivers everything, lane by lane, in the order of each.
async fn drain(store: &dyn Store, count: usize) {
    let mut last = std::collections::HashMap::new();
    for _ in 0..count {
        let claim = Claim {
            limit: 1,
            ..a_claim("w", START)
        };
        let item = store.claim(claim).await.unwrap().remove(0);
        let before = last.insert(item.lane.conversation.clone(), item.body.clone());
        assert!(before.is_none_or(|before| before < item.body));
        commit(store, Batch::new(START).settle(item.id, done("w"))).await;
    }
    assert_eq!(store.counts().await.unwrap(), []);
}
