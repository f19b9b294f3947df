//! Moving a store between engines: what comes out is what was there, and goes on as it would have.

use std::time::Duration;

use impsgw::store::{
    Batch, NewItem, Priority, Settle, Space, Store, StoreError,
    copy::{Copied, Portable, copy},
    postgres::PostgresStore,
    sqlite::SqliteStore,
};

use super::{START, a_claim, an_item, at, bodies, claimed, commit, database, done, enqueue, lane, worker};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_is_the_same_in_the_other_engine_and_back() {
    let Some(server) = database::server() else { return };
    let from = SqliteStore::in_memory().unwrap();
    fill(&from).await;
    let database = PostgresStore::open(&server.config()).await.unwrap();
    let copied = copy(&from, &database).await.unwrap();
    assert_eq!(
        copied,
        Copied {
            rows: 604,
            items: 607
        }
    );
    assert_same(&from, &database).await;
    assert_eq!(database.check().await.unwrap().faults, Vec::<String>::new());
    let back = SqliteStore::in_memory().unwrap();
    copy(&database, &back).await.unwrap();
    assert_same(&from, &back).await;
    assert_eq!(back.check().await.unwrap().faults, Vec::<String>::new());
    go_on(&database).await;
    go_on(&back).await;
    let refused = copy(&from, &database).await;
    assert!(matches!(refused, Err(StoreError::Engine { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_store_is_copied_and_works() {
    let Some(server) = database::server() else { return };
    let (from, database) = (
        SqliteStore::in_memory().unwrap(),
        PostgresStore::open(&server.config()).await.unwrap(),
    );
    assert_eq!(copy(&from, &database).await.unwrap(), Copied::default());
    enqueue(&database, [an_item("a", "1")]).await;
    assert_eq!(bodies(&claimed(&database, START).await), ["1"]);
}

/// Rows of several kinds, and lanes whose items stand at every place.
async fn fill(store: &SqliteStore) {
    let mut batch = Batch::new(START);
    for n in 0..600 {
        batch = batch.put(Space::Seen, format!("{n}"), n.to_string(), Some(at(n)));
    }
    commit(store, batch).await;
    for _ in 0..3 {
        let batch = Batch::new(START)
            .put(Space::Meta, "a \u{e9}", "", None)
            .put(Space::Charge, "", vec![0, 255], Some(at(u64::MAX)))
            .put(Space::Account, "x", "x", None)
            .put(Space::Account, "y", "y", None);
        commit(store, batch).await;
    }
    for n in 0..600 {
        let mut item = an_item(&(n % 7).to_string(), &n.to_string());
        item.labels = vec![format!("label {}", n % 3), "all".to_owned(), "all".to_owned()];
        item.due = at(10);
        enqueue(store, [item]).await;
    }
    let places = [
        "done", "awaiting", "held", "dead", "retried", "leased", "replaced", "gone",
    ];
    for place in places {
        let item = NewItem {
            lane: lane("gamma", place),
            priority: Priority::Background,
            replaces: Some("p".to_owned()),
            ..an_item("", place)
        };
        enqueue(store, [item.clone(), item]).await;
    }
    let items = store.claim(a_claim("w", START)).await.unwrap();
    for item in items {
        let by = worker("w");
        let settle = match item.lane.conversation.as_str() {
            "done" => done("w"),
            "awaiting" => Settle::Await { by, until: at(77) },
            "dead" | "held" => Settle::Bury {
                by,
                reason: "no \u{1f600}".to_owned(),
            },
            "retried" => Settle::Reschedule {
                by,
                due: at(50),
                failure: "busy".to_owned(),
            },
            _ => continue,
        };
        commit(store, Batch::new(START).settle(item.id, settle)).await;
    }
}

async fn assert_same(one: &dyn Portable, other: &dyn Portable) {
    let (rows, items) = (whole_rows(one).await, whole_items(one).await);
    assert_eq!(whole_rows(other).await, rows);
    assert_eq!(whole_items(other).await, items);
}

async fn whole_rows(store: &dyn Portable) -> Vec<(i64, impsgw::store::Row)> {
    store.rows_as_they_are(None, 10_000).await.unwrap()
}

async fn whole_items(store: &dyn Portable) -> Vec<(impsgw::store::OutboxItem, Option<String>)> {
    store.items_as_they_are(None, 10_000).await.unwrap()
}

/// Lanes go on where they stood, identities are not used again, and labels still find.
async fn go_on(store: &dyn Store) {
    let labelled = impsgw::store::QueueFilter {
        label: Some("label 1".to_owned()),
        ..Default::default()
    };
    assert_eq!(store.items(&labelled, None, 1000).await.unwrap().len(), 200);
    let last = store
        .items(&Default::default(), None, 1000)
        .await
        .unwrap()
        .pop()
        .unwrap();
    let early = store
        .claim(a_claim("v", START.plus(Duration::from_millis(11))))
        .await
        .unwrap();
    let heads: Vec<_> = early
        .iter()
        .filter(|item| item.lane.queue == "beta")
        .cloned()
        .collect();
    assert_eq!(bodies(&heads), ["0", "1", "2", "3", "4", "5", "6"]);
    enqueue(store, [an_item("new", "new")]).await;
    let new = claimed(store, START).await;
    assert!(
        new.iter()
            .any(|item| item.id > last.id && item.lane.conversation == "new")
    );
}
