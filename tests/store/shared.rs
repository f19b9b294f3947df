//! What nodes that share one PostgreSQL database can rely on, and what they see while it is away.

use std::{collections::HashMap, sync::Arc, time::Duration};

use impsgw::{
    model::Timestamp,
    store::{
        Batch, Claim, Committed, Expected, RowWrite, Space, Store, StoreError,
        postgres::{LeaseTime, PostgresConfig, PostgresStore, Wake},
    },
    telemetry::Clock,
};
use tokio::time::{Instant, timeout};

use super::{
    START, a_claim, an_item, bodies, claimed_one, commit,
    database::{self, Server},
    done, enqueue, lane, worker,
};

/// Two nodes on one database.
async fn two_nodes(config: &PostgresConfig) -> [Arc<PostgresStore>; 2] {
    [
        Arc::new(PostgresStore::open(config).await.unwrap()),
        Arc::new(PostgresStore::open(config).await.unwrap()),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_start_together_make_one_set_of_tables() {
    let Some(server) = database::server() else { return };
    let config = server.config();
    let starting = (0..4).map(|_| {
        let config = config.clone();
        tokio::spawn(async move { PostgresStore::open(&config).await.unwrap() })
    });
    for store in starting.collect::<Vec<_>>() {
        assert_eq!(
            store.await.unwrap().check().await.unwrap().faults,
            Vec::<String>::new()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_share_the_work_without_overlap_and_in_order() {
    let Some(server) = database::server() else { return };
    let nodes = two_nodes(&server.config()).await;
    let producers = (0..8).map(|producer| {
        let node = Arc::clone(&nodes[producer % 2]);
        tokio::spawn(async move {
            for n in 0..30 {
                let mut item = an_item(&producer.to_string(), &format!("{producer} {n}"));
                item.labels = vec![producer.to_string()];
                commit(&*node, Batch::new(START).enqueue(item)).await;
            }
        })
    });
    let producers: Vec<_> = producers.collect();
    let workers: Vec<_> = (0..6)
        .map(|name| tokio::spawn(work(Arc::clone(&nodes[name % 2]), format!("w{name}"))))
        .collect();
    for producer in producers {
        producer.await.unwrap();
    }
    let mut done: Vec<(u64, String)> = Vec::new();
    for worker in workers {
        done.extend(worker.await.unwrap());
    }
    done.sort();
    assert_eq!(done.len(), 240);
    let mut next: HashMap<String, u32> = HashMap::new();
    for (_, body) in done {
        let (producer, n) = body.split_once(' ').unwrap();
        let expected = next.entry(producer.to_owned()).or_default();
        assert_eq!(n.parse::<u32>().unwrap(), *expected, "of {producer}");
        *expected += 1;
    }
    assert_eq!(nodes[0].check().await.unwrap().faults, Vec::<String>::new());
}

/// Claims and settles until all of 240 are done by anybody; says in which order, by a counter that all share.
async fn work(store: Arc<PostgresStore>, name: String) -> Vec<(u64, String)> {
    let mut mine = Vec::new();
    loop {
        let claim = Claim {
            limit: 3,
            ..a_claim(&name, START)
        };
        for item in store.claim(claim).await.unwrap() {
            let (turn, batch) = (
                turn(&*store).await,
                Batch::new(START).settle(item.id, done(&name)),
            );
            commit(&*store, batch).await;
            mine.push((turn, bodies(std::slice::from_ref(&item))[0].to_owned()));
        }
        let all = store.row(Space::Home, "turn", START).await.unwrap();
        if all.is_some_and(|row| row.version == 240) {
            return mine;
        }
    }
}

/// The next number of a counter in the store; every node that wants it at once gets another.
async fn turn(store: &dyn Store) -> u64 {
    loop {
        let found = store.row(Space::Home, "turn", START).await.unwrap();
        let version = found.map_or(0, |row| row.version);
        let mut batch = Batch::new(START);
        batch.writes.push(RowWrite {
            space: Space::Home,
            key: "turn".to_owned(),
            value: Some(vec![0].into()),
            expires: None,
            expected: match version {
                0 => Expected::Absent,
                version => Expected::Version(version),
            },
        });
        if store.commit(batch).await.unwrap() == Committed::Done {
            return version + 1;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lease_ends_by_the_clock_of_the_database() {
    let Some(server) = database::server() else { return };
    let config = PostgresConfig {
        time: LeaseTime::Database(Clock::system()),
        ..server.config()
    };
    let [store, other] = two_nodes(&config).await;
    let item = impsgw::store::NewItem {
        expires: Timestamp(u64::MAX),
        ..an_item("a", "1")
    };
    enqueue(&*store, [item]).await;
    let claim = |by: &str, lease, now| Claim {
        lease,
        ..a_claim(by, now)
    };
    // Whatever the callers think what time it is.
    let hour = Duration::from_secs(3600);
    let (early, late) = (START, Clock::system().now().plus(hour));
    let first = store.claim(claim("w", hour / 2, early)).await.unwrap();
    assert_eq!(bodies(&first), ["1"]);
    assert!(other.claim(claim("v", hour, late)).await.unwrap().is_empty());
    let due = other.next_due().await.unwrap().unwrap();
    let left = Clock::system().now().until(due);
    assert!(left > hour / 3 && left <= hour / 2, "{left:?}");
    let again = Batch::new(START).settle(
        first[0].id,
        impsgw::store::Settle::Reschedule {
            by: worker("w"),
            due: START,
            failure: String::new(),
        },
    );
    commit(&*store, again).await;
    assert_eq!(
        other
            .claim(claim("v", Duration::ZERO, early))
            .await
            .unwrap()
            .len(),
        1
    );
    assert_eq!(store.claim(claim("w", hour, early)).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_hears_that_another_one_queued_something() {
    let Some(server) = database::server() else { return };
    let [store, other] = two_nodes(&server.config()).await;
    // A hint may come before the other one listens, and then it looks by itself; so the first is waited for without hurry.
    let heard = tokio::spawn(async move {
        loop {
            other.queued_elsewhere().await;
            if !other.counts().await.unwrap().is_empty() {
                return;
            }
        }
    });
    enqueue(&*store, [an_item("a", "1")]).await;
    timeout(Duration::from_secs(30), heard).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bound_counts_what_other_nodes_queued() {
    let Some(server) = database::server() else { return };
    let config = PostgresConfig {
        max_items_per_queue: Some(4),
        ..server.config()
    };
    let [store, other] = two_nodes(&config).await;
    enqueue(&*store, (0..4).map(|n| an_item(&n.to_string(), "1"))).await;
    let deadline = Instant::now() + Duration::from_secs(60);
    // The other one learns of it by its next counting.
    loop {
        let mut item = an_item("x", "2");
        item.lane = lane("beta", &fastrand::u64(..).to_string());
        match other.commit(Batch::new(START).enqueue(item)).await {
            Err(StoreError::Full { bound }) => {
                assert!(bound.contains("max_items_per_queue = 4 of beta"), "{bound}");
                return;
            }
            committed => assert_eq!(committed.unwrap(), Committed::Done),
        }
        assert!(Instant::now() < deadline);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn database_that_is_away_is_said_so_and_comes_back_by_itself() {
    let Some(bin) = database::binaries() else { return };
    let mut server = Server::start(&bin);
    let config = PostgresConfig {
        patience: Duration::from_millis(300),
        ..server.config()
    };
    let store = PostgresStore::open(&config).await.unwrap();
    enqueue(&store, [an_item("a", "1")]).await;
    server.crash();
    let away = store.commit(Batch::new(START).enqueue(an_item("b", "2"))).await;
    assert!(matches!(away, Err(StoreError::Away { .. })), "{away:?}");
    server.recover(&bin);
    let patient = timeout(Duration::from_secs(60), async {
        while store.counts().await.is_err() {}
    });
    patient.await.unwrap();
    assert_eq!(bodies(&[claimed_one(&store, START).await]), ["1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_restart_is_waited_for() {
    let Some(bin) = database::binaries() else { return };
    let mut server = Server::start(&bin);
    let config = PostgresConfig {
        patience: Duration::from_secs(60),
        ..server.config()
    };
    let store = Arc::new(PostgresStore::open(&config).await.unwrap());
    enqueue(&*store, [an_item("a", "1")]).await;
    server.crash();
    let waiting = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.commit(Batch::new(START).enqueue(an_item("a", "2"))).await }
    });
    server.recover(&bin);
    assert_eq!(waiting.await.unwrap().unwrap(), Committed::Done);
    let all = store.items(&Default::default(), None, 9).await.unwrap();
    assert_eq!(bodies(&all), ["1", "2"]);
}

#[tokio::test]
async fn newer_tables_and_unreachable_databases_are_refused() {
    let Some(server) = database::server() else { return };
    let config = server.config();
    drop(PostgresStore::open(&config).await.unwrap());
    server.run_in(&config, "UPDATE impsgw_schema SET version = 4711");
    let refused = PostgresStore::open(&config).await.err();
    assert!(
        matches!(refused, Some(StoreError::Newer { found: 4711, .. })),
        "{refused:?}"
    );
    let nobody = PostgresConfig {
        patience: Duration::from_millis(50),
        ..PostgresConfig::new(format!(
            "postgresql://u@127.0.0.1:{}/d",
            crate::ports::free_address().port()
        ))
    };
    let away = PostgresStore::open(&nobody).await.err();
    assert!(matches!(away, Some(StoreError::Away { .. })), "{away:?}");
    for (url, word) in [
        ("nonsense", "connection string"),
        ("postgresql://u@127.0.0.1/d?sslmode=require", "ca"),
    ] {
        let refused = PostgresStore::open(&PostgresConfig::new(url))
            .await
            .err()
            .unwrap();
        assert!(refused.to_string().contains(word), "{refused}");
    }
    let poll = PostgresConfig {
        wake: Wake::Poll,
        ..server.config()
    };
    let store = PostgresStore::open(&poll).await.unwrap();
    timeout(Duration::from_secs(30), store.queued_elsewhere())
        .await
        .unwrap();
}

#[tokio::test]
async fn database_is_known_by_its_certificate() {
    let Some(bin) = database::binaries() else { return };
    let [ours, others] = ["ours", "others"].map(|name| {
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        parameters
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        (certificate.pem(), rcgen::Issuer::new(parameters, key))
    });
    let key = rcgen::KeyPair::generate().unwrap();
    let named = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = named.signed_by(&key, &ours.1).unwrap();
    let server = Server::start_with_tls(&bin, &certificate.pem(), &key.serialize_pem());
    let folder = tempfile::tempdir().unwrap();
    let config = |ca: &str| {
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, ca).unwrap();
        PostgresConfig {
            ca: Some(path),
            patience: Duration::from_millis(100),
            ..PostgresConfig::new(format!("{}?sslmode=require", server.url()))
        }
    };
    let store = PostgresStore::open(&config(&ours.0)).await.unwrap();
    enqueue(&store, [an_item("a", "1")]).await;
    assert!(server.has_tls_sessions(&bin));
    let refused = PostgresStore::open(&config(&others.0)).await.err().unwrap();
    assert!(refused.to_string().contains("certificate"), "{refused}");
    let unreadable = PostgresStore::open(&config("nothing")).await.err().unwrap();
    assert!(unreadable.to_string().contains("ca.pem"), "{unreadable}");
}
