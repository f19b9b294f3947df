//! What PostgreSQL reads for the paths that messages take: never the whole outbox. Its own counters say so.

use impsgw::store::{Batch, Claim, QueueFilter, Store, postgres::PostgresStore};

use super::{START, a_claim, an_item, at, commit, database, done, settled};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_path_reads_the_whole_outbox() {
    let Some(server) = database::server() else { return };
    let config = server.config();
    PostgresStore::open(&config).await.unwrap().close().await.unwrap();
    for statement in FILL {
        server.run_in(&config, statement);
    }
    let store = PostgresStore::open(&config).await.unwrap();
    // Nothing is due; then what is first due is claimed, and one is settled.
    assert!(store.claim(a_claim("w", at(0))).await.unwrap().is_empty());
    store.next_due().await.unwrap();
    let due = Claim {
        limit: 10,
        ..a_claim("w", at(2_000_000))
    };
    let claimed = store.claim(due).await.unwrap();
    assert_eq!(claimed.len(), 10);
    settled(&store, claimed[0].id, done("w")).await;
    commit(&store, Batch::new(START).enqueue(an_item("new", "new"))).await;
    assert!(store.late(at(0), None, 500).await.unwrap().is_empty());
    // A hundred but the one that was settled, and the new one.
    assert_eq!(store.late(at(3_000_100), None, 500).await.unwrap().len(), 100);
    let first = QueueFilter::default();
    assert_eq!(store.items(&first, None, 100).await.unwrap().len(), 100);
    let of_queue = QueueFilter {
        queue: Some("q1".to_owned()),
        ..QueueFilter::default()
    };
    assert_eq!(store.items(&of_queue, None, 100).await.unwrap().len(), 100);
    assert_eq!(store.lanes(None, 100).await.unwrap().len(), 100);
    assert!(store.waiting_in("c7").await.unwrap().is_some());
    assert_eq!(store.counts().await.unwrap().len(), 7);
    store.close().await.unwrap();
    server.run_in(&config, UNREAD);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_plan_of_a_small_outbox_reads_all_of_it_when_it_has_grown() {
    let Some(server) = database::server() else { return };
    let config = server.config();
    PostgresStore::open(&config).await.unwrap().close().await.unwrap();
    server.run_in(&config, FORGET);
    let store = PostgresStore::open(&config).await.unwrap();
    for n in 0..50 {
        commit(&store, Batch::new(START).enqueue(an_item(&n.to_string(), "m"))).await;
    }
    let claimed = store
        .claim(Claim {
            limit: 50,
            ..a_claim("w", at(0))
        })
        .await
        .unwrap();
    assert_eq!(claimed.len(), 50);
    for item in claimed {
        settled(&store, item.id, done("w")).await;
    }
    store.close().await.unwrap();
    server.run_in(&config, UNREAD);
}

/// Thirty thousand messages that wait at three peers, as an outbox holds them.
const FILL: &[&str] = &[
    "INSERT INTO item (id, queue, conversation, priority, place, at, created, expires, labels, body)
     SELECT n, 'q' || n % 3, 'c' || n, 0, 0, start + 1000000, start, start + 3000000 + n, ARRAY['l' || n],
         convert_to(repeat(md5(n::TEXT), 20), 'UTF8')
     FROM generate_series(1, 30000) AS n, (SELECT 1000000 AS start) AS began",
    "INSERT INTO lane (queue, conversation, head, priority, at) SELECT queue, conversation, id, priority, at FROM item",
    "INSERT INTO label (label, item) SELECT 'l' || n, n FROM generate_series(1, 30000) AS n",
    "SELECT setval('item_id', 30000)",
    "VACUUM ANALYZE item",
    "VACUUM ANALYZE lane",
    "VACUUM ANALYZE label",
    FORGET,
];

/// What was read until now, and for the indexes.
const FORGET: &str = "SELECT pg_stat_reset_single_table_counters('item'::REGCLASS),
    pg_stat_reset_single_table_counters('lane'::REGCLASS), pg_stat_reset_single_table_counters('label'::REGCLASS)";

const UNREAD: &str = "
DO $$ DECLARE whole TEXT; BEGIN
    SELECT string_agg(relname || ': ' || seq_tup_read, ', ') INTO whole FROM pg_stat_user_tables
    WHERE schemaname = current_schema() AND relname IN ('item', 'lane', 'label') AND seq_tup_read > 0;
    IF whole IS NOT NULL THEN RAISE EXCEPTION 'read from end to end: %', whole; END IF;
END $$";
