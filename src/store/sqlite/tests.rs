//! What is SQLite's own: files, failures, plans. The contract itself is tested in `tests/store/`.

mod failures;
mod intake;

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use rusqlite::Connection;

use super::{SqliteConfig, SqliteStore, apply, claim, codec, lease, outbox, query, schema};
use crate::{
    model::Timestamp,
    store::{Batch, Committed, Lane, Leased, NewItem, Priority, Space, Store, StoreError, WorkerId},
};

const NOW: Timestamp = Timestamp(1_000);

#[test]
fn bound_of_a_prefix_is_the_least_greater_key() {
    for (prefix, bound) in [
        ("", None),
        ("a", Some("b")),
        ("az", Some("a{")),
        ("a\u{10ffff}", Some("b")),
        ("\u{10ffff}\u{10ffff}", None),
        ("\u{d7ff}", Some("\u{e000}")),
        ("\u{7f}", Some("\u{80}")),
    ] {
        assert_eq!(codec::after_prefix(prefix).as_deref(), bound, "{prefix:?}");
    }
}

#[tokio::test]
async fn files_are_private() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new/impsgw.db");
    let store = SqliteStore::open(&SqliteConfig::new(&path)).unwrap();
    store
        .commit(Batch::new(NOW).put(Space::Meta, "k", "v", None))
        .await
        .unwrap();
    assert_eq!(mode(&directory.path().join("new")), 0o700);
    for name in ["impsgw.db", "impsgw.db-wal", "impsgw.db-shm", "impsgw.db.lock"] {
        assert_eq!(mode(&directory.path().join("new").join(name)), 0o600, "{name}");
    }
    store.close().await.unwrap();
    assert!(
        !directory.path().join("new/impsgw.db-wal").exists(),
        "a close leaves one file"
    );
}

#[tokio::test]
async fn second_opener_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let config = SqliteConfig::new(directory.path().join("impsgw.db"));
    let first = SqliteStore::open(&config).unwrap();
    let refused = SqliteStore::open(&config).unwrap_err();
    assert!(
        refused.to_string().contains("in use by another impsgw"),
        "{refused}"
    );
    first.close().await.unwrap();
    SqliteStore::open(&config).unwrap();
}

#[test]
fn newer_and_foreign_files_are_refused_untouched() {
    let directory = tempfile::tempdir().unwrap();
    let newer = directory.path().join("newer.db");
    drop(SqliteStore::open(&SqliteConfig::new(&newer)).unwrap());
    Connection::open(&newer)
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let refused = SqliteStore::open(&SqliteConfig::new(&newer)).unwrap_err();
    assert!(
        matches!(refused, StoreError::Newer { found: 99, .. }),
        "{refused}"
    );

    let foreign = directory.path().join("foreign.db");
    Connection::open(&foreign)
        .unwrap()
        .execute_batch("CREATE TABLE theirs (x)")
        .unwrap();
    let refused = SqliteStore::open(&SqliteConfig::new(&foreign)).unwrap_err();
    assert!(refused.to_string().contains("another program"), "{refused}");

    let text = directory.path().join("text.db");
    fs::write(
        &text,
        "not a database, but long enough to be looked at by the engine".repeat(20),
    )
    .unwrap();
    let refused = SqliteStore::open(&SqliteConfig::new(&text)).unwrap_err();
    assert!(matches!(refused, StoreError::Damaged { .. }), "{refused}");
}

#[tokio::test]
async fn store_of_every_earlier_version_opens_and_goes_on() {
    for version in 1..=schema::STEPS.len() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("impsgw.db");
        let earlier = Connection::open(&path).unwrap();
        for step in &schema::STEPS[..version] {
            earlier.execute_batch(step).unwrap();
        }
        let application = schema::APPLICATION_ID;
        earlier
            .pragma_update(None, "application_id", application)
            .unwrap();
        earlier.pragma_update(None, "user_version", version).unwrap();
        let row = "INSERT INTO fact VALUES (0, 'kept', x'01', 3, NULL)";
        earlier.execute_batch(row).unwrap();
        drop(earlier);
        let store = SqliteStore::open(&SqliteConfig::new(&path)).unwrap();
        let kept = store.row(Space::Meta, "kept", NOW).await.unwrap().unwrap();
        assert_eq!(kept.version, 3);
        let by = WorkerId("a".to_owned());
        let leased = store
            .lease("new", &by, Duration::from_secs(1), NOW)
            .await
            .unwrap();
        assert_eq!(leased, Leased::Held { fence: 1 }, "from version {version}");
    }
}

#[tokio::test]
async fn copy_of_the_files_at_any_time_holds_what_was_answered() {
    let directory = tempfile::tempdir().unwrap();
    let (from, to) = (directory.path().join("from.db"), directory.path().join("to.db"));
    let store = SqliteStore::open(&SqliteConfig::new(&from)).unwrap();
    for n in 0..20 {
        let batch = Batch::new(NOW)
            .put_new(Space::Charge, n.to_string(), "v", None)
            .enqueue(item(n, 100));
        assert_eq!(store.commit(batch).await.unwrap(), Committed::Done);
        // As after the loss of power: the database and its log, not the shared memory.
        fs::copy(&from, &to).unwrap();
        fs::copy(
            directory.path().join("from.db-wal"),
            directory.path().join("to.db-wal"),
        )
        .unwrap();
        let copy = SqliteStore::open(&SqliteConfig::new(&to)).unwrap();
        let checked = copy.check().await.unwrap();
        assert_eq!(
            (checked.rows, checked.items, checked.faults.len()),
            (n + 1, n + 1, 0)
        );
    }
}

#[tokio::test]
async fn backup_is_a_whole_store() {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("copy.db");
    let store = SqliteStore::open(&SqliteConfig::new(directory.path().join("impsgw.db"))).unwrap();
    for n in 0..10 {
        store
            .commit(Batch::new(NOW).enqueue(item(n, 1_000)))
            .await
            .unwrap();
    }
    store.backup(&copy).await.unwrap();
    assert_eq!(mode(&copy), 0o600);
    let restored = SqliteStore::open(&SqliteConfig::new(&copy)).unwrap();
    let checked = restored.check().await.unwrap();
    assert_eq!((checked.items, checked.faults), (10, vec![]));
    assert!(matches!(store.backup(&copy).await, Err(StoreError::Disk { .. })));
    let nowhere = directory.path().join("no/such/directory.db");
    assert!(matches!(
        store.backup(&nowhere).await,
        Err(StoreError::Disk { .. })
    ));
    SqliteStore::in_memory()
        .unwrap()
        .backup(directory.path().join("memory.db"))
        .await
        .unwrap();
}

#[tokio::test]
async fn check_names_what_is_wrong() {
    let config = SqliteConfig {
        intake: 0,
        ..SqliteConfig::new("")
    };
    let store = SqliteStore::in_memory_with(&config).unwrap();
    store.commit(Batch::new(NOW).enqueue(item(0, 10))).await.unwrap();
    assert_eq!(store.check().await.unwrap().faults, Vec::<String>::new());
    let spoil = |connection: &mut Connection| Ok(connection.execute_batch("UPDATE item SET front = 0")?);
    store.writer.aside(spoil).await.unwrap();
    let faults = store.check().await.unwrap().faults;
    assert_eq!(faults, ["1 times broken: a lane with living items has one front"]);
}

#[tokio::test]
async fn every_statement_walks_an_index() {
    let store = SqliteStore::in_memory().unwrap();
    let plans = store
        .writer
        .aside(|connection| STATEMENTS.iter().map(|sql| plan(connection, sql)).collect());
    let plans: Vec<String> = plans.await.unwrap();
    for (sql, plan) in STATEMENTS.iter().zip(plans) {
        for step in plan.lines() {
            // Counting walks one small index and looks at what it found.
            let is_counting =
                *sql == query::COUNTS && (step.contains("COVERING INDEX item_place") || step == "SCAN heap");
            let is_slow = ["SCAN", "TEMP B-TREE", "AUTOMATIC"]
                .iter()
                .any(|word| step.contains(word));
            assert!(!is_slow || is_counting, "{sql}\n{plan}");
        }
    }
}

/// The statements whose cost matters.
const STATEMENTS: &[&str] = &[
    apply::EXPIRE,
    claim::DUE,
    claim::NEXT,
    claim::WAITING_QUEUE,
    super::intake::LIVES,
    lease::FROM,
    lease::STANDING,
    outbox::FRONT,
    outbox::PROMOTE,
    outbox::STEP_BACK,
    outbox::WAITING_UNDER,
    query::COUNTS,
    query::ITEM,
    query::ITEMS,
    query::ITEMS_AT,
    query::ITEMS_LABELLED,
    query::LANES,
    query::LATE,
    query::QUEUE,
    query::ROW,
    query::ROWS_BETWEEN,
    query::ROWS_FROM,
    query::WAITING,
];

fn plan(connection: &Connection, sql: &str) -> Result<String, StoreError> {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
    let mut rows = statement.raw_query();
    let mut plan = String::new();
    while let Some(columns) = rows.next()? {
        plan += &columns.get::<_, String>(3)?;
        plan.push('\n');
    }
    Ok(plan)
}

fn item(n: u64, bytes: usize) -> NewItem {
    NewItem {
        lane: Lane {
            queue: "beta".to_owned(),
            conversation: n.to_string(),
        },
        priority: Priority::Interactive,
        due: NOW,
        expires: Timestamp(u64::MAX),
        replaces: None,
        is_awaiting: false,
        last_failure: None,
        labels: vec!["label".to_owned()],
        body: vec![b'x'; bytes].into(),
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}
