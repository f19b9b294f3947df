//! Rows: versions, expiry, preconditions, prefixes.

use std::sync::Arc;

use impsgw::{
    model::Timestamp,
    store::{Batch, Committed, Expected, Row, RowWrite, Space, Store},
};

use super::{Harness, START, at, commit};

pub(super) async fn row_is_read_back(harness: &impl Harness) {
    let store = harness.open();
    commit(
        &*store,
        Batch::new(START).put(Space::Session, "k", "v", Some(at(5))),
    )
    .await;
    let expected = row("k", "v", 1, Some(at(5)));
    assert_eq!(
        store.row(Space::Session, "k", START).await.unwrap(),
        Some(expected)
    );
    assert_eq!(store.row(Space::Session, "other", START).await.unwrap(), None);
}

pub(super) async fn version_goes_up_by_one(harness: &impl Harness) {
    let store = harness.open();
    for version in 1..=3 {
        commit(&*store, Batch::new(START).put(Space::Meta, "k", "v", None)).await;
        assert_eq!(read(&*store, "k").await.unwrap().version, version);
    }
    commit(&*store, Batch::new(START).remove(Space::Meta, "k")).await;
    assert_eq!(read(&*store, "k").await, None);
    commit(&*store, Batch::new(START).put(Space::Meta, "k", "v", None)).await;
    assert_eq!(read(&*store, "k").await.unwrap().version, 1);
}

pub(super) async fn expired_row_is_absent(harness: &impl Harness) {
    let store = harness.open();
    commit(&*store, Batch::new(START).put(Space::Seen, "k", "v", Some(at(5)))).await;
    assert!(store.row(Space::Seen, "k", at(4)).await.unwrap().is_some());
    assert!(store.row(Space::Seen, "k", at(5)).await.unwrap().is_none());
    assert_eq!(
        store.rows(Space::Seen, "", None, 9, at(4)).await.unwrap().len(),
        1
    );
    assert_eq!(
        store.rows(Space::Seen, "", None, 9, at(5)).await.unwrap().len(),
        0
    );
}

pub(super) async fn expired_row_gives_way_to_version_one(harness: &impl Harness) {
    let store = harness.open();
    for _ in 0..2 {
        commit(
            &*store,
            Batch::new(START).put(Space::Meta, "k", "old", Some(at(5))),
        )
        .await;
    }
    let late = write("k", Some("late"), Expected::Version(2));
    let Committed::Conflict { found, .. } = store.commit(batch(at(5), [late])).await.unwrap() else {
        panic!("an expired row has no version");
    };
    assert_eq!(found, None);
    commit(&*store, Batch::new(at(5)).put_new(Space::Meta, "k", "new", None)).await;
    assert_eq!(read(&*store, "k").await, Some(row("k", "new", 1, None)));
}

pub(super) async fn expiry_removes_only_what_has_expired(harness: &impl Harness) {
    let store = harness.open();
    for (key, expires) in [
        ("a", Some(at(1))),
        ("b", Some(at(2))),
        ("c", Some(at(3))),
        ("d", None),
    ] {
        commit(&*store, Batch::new(START).put(Space::Meta, key, "v", expires)).await;
    }
    assert_eq!(store.expire(at(2), 1).await.unwrap(), 1);
    assert_eq!(
        keys(&store.rows(Space::Meta, "", None, 9, START).await.unwrap()),
        ["b", "c", "d"]
    );
    assert_eq!(store.expire(at(2), 9).await.unwrap(), 1);
    assert_eq!(store.expire(at(2), 9).await.unwrap(), 0);
    assert_eq!(
        keys(&store.rows(Space::Meta, "", None, 9, START).await.unwrap()),
        ["c", "d"]
    );
}

pub(super) async fn expected_absent_conflicts_with_a_living_row(harness: &impl Harness) {
    let store = harness.open();
    commit(
        &*store,
        Batch::new(START).put_new(Space::Meta, "k", "first", None),
    )
    .await;
    let second = Batch::new(START).put_new(Space::Meta, "k", "second", None);
    let conflict = Committed::Conflict {
        space: Space::Meta,
        key: "k".to_owned(),
        found: Some(row("k", "first", 1, None)),
    };
    assert_eq!(store.commit(second).await.unwrap(), conflict);
}

pub(super) async fn expected_version_conflicts_with_another(harness: &impl Harness) {
    let store = harness.open();
    commit(&*store, Batch::new(START).put(Space::Meta, "k", "1", None)).await;
    for wrong in [0, 2, u64::MAX] {
        let write = write("k", Some("x"), Expected::Version(wrong));
        let committed = store.commit(batch(START, [write])).await.unwrap();
        assert!(
            matches!(committed, Committed::Conflict { found: Some(_), .. }),
            "{committed:?}"
        );
    }
    commit(
        &*store,
        batch(START, [write("k", Some("2"), Expected::Version(1))]),
    )
    .await;
    assert_eq!(read(&*store, "k").await, Some(row("k", "2", 2, None)));
    let absent = batch(START, [write("none", Some("x"), Expected::Version(1))]);
    assert!(matches!(
        store.commit(absent).await.unwrap(),
        Committed::Conflict { found: None, .. }
    ));
}

pub(super) async fn removal_honours_what_is_expected(harness: &impl Harness) {
    let store = harness.open();
    commit(&*store, Batch::new(START).put(Space::Meta, "k", "1", None)).await;
    let wrong = batch(START, [write("k", None, Expected::Version(2))]);
    assert!(matches!(
        store.commit(wrong).await.unwrap(),
        Committed::Conflict { .. }
    ));
    commit(&*store, batch(START, [write("k", None, Expected::Version(1))])).await;
    assert_eq!(read(&*store, "k").await, None);
    commit(&*store, Batch::new(START).remove(Space::Meta, "never was")).await;
}

pub(super) async fn conflict_undoes_the_whole_batch(harness: &impl Harness) {
    let store = harness.open();
    commit(&*store, Batch::new(START).put(Space::Meta, "taken", "v", None)).await;
    let batch = Batch::new(START)
        .put(Space::Meta, "a", "v", None)
        .remove(Space::Meta, "taken")
        .put_new(Space::Meta, "b", "v", None)
        .put_new(Space::Meta, "a", "again", None)
        .enqueue(super::an_item("c", "body"));
    assert!(matches!(store.commit(batch).await.unwrap(), Committed::Conflict { key, .. } if key == "a"));
    assert_eq!(
        keys(&store.rows(Space::Meta, "", None, 9, START).await.unwrap()),
        ["taken"]
    );
    assert_eq!(store.counts().await.unwrap(), []);
}

pub(super) async fn later_write_of_a_batch_sees_the_earlier(harness: &impl Harness) {
    let store = harness.open();
    let writes = [
        write("k", Some("1"), Expected::Absent),
        write("k", Some("2"), Expected::Version(1)),
        write("k", None, Expected::Version(2)),
        write("k", Some("3"), Expected::Absent),
    ];
    commit(&*store, batch(START, writes)).await;
    assert_eq!(read(&*store, "k").await, Some(row("k", "3", 1, None)));
}

pub(super) async fn spaces_are_apart(harness: &impl Harness) {
    let store = harness.open();
    commit(&*store, Batch::new(START).put(Space::Meta, "k", "meta", None)).await;
    commit(
        &*store,
        Batch::new(START).put_new(Space::Trail, "k", "trail", None),
    )
    .await;
    assert_eq!(read(&*store, "k").await.unwrap().value, "meta");
    assert_eq!(
        store.rows(Space::Trail, "", None, 9, START).await.unwrap(),
        [row("k", "trail", 1, None)]
    );
}

pub(super) async fn prefix_scan_finds_exactly_the_prefix(harness: &impl Harness) {
    let store = harness.open();
    let edge = [
        "a",
        "a%",
        "a_",
        "ab",
        "a\u{7f}",
        "a\u{10ffff}",
        "a\u{10ffff}b",
        "b",
        "\u{d7ff}",
        "\u{d7ff}x",
        "\u{e000}",
        "\u{10ffff}",
        "\u{10ffff}\u{10ffff}",
        "é",
        "éa",
        "A",
    ];
    for key in edge {
        commit(&*store, Batch::new(START).put(Space::Home, key, key, None)).await;
    }
    for prefix in edge.into_iter().chain(["", "a\u{7e}", "zz", "\u{10fffe}"]) {
        let mut expected: Vec<_> = edge.into_iter().filter(|key| key.starts_with(prefix)).collect();
        expected.sort_unstable();
        let found = store.rows(Space::Home, prefix, None, 99, START).await.unwrap();
        assert_eq!(keys(&found), expected, "prefix {prefix:?}");
    }
}

pub(super) async fn prefix_scan_goes_on_after_a_key(harness: &impl Harness) {
    let store = harness.open();
    for key in ["a", "p1", "p2", "p2\u{1}", "p3", "q"] {
        commit(&*store, Batch::new(START).put(Space::Home, key, key, None)).await;
    }
    for (after, limit, expected) in [
        (None, 2, vec!["p1", "p2"]),
        (Some("p2"), 2, vec!["p2\u{1}", "p3"]),
        (Some("p3"), 2, vec![]),
        (Some("a"), 9, vec!["p1", "p2", "p2\u{1}", "p3"]),
        (Some("p"), 1, vec!["p1"]),
        (Some("z"), 9, vec![]),
        (None, 0, vec![]),
    ] {
        let found = store.rows(Space::Home, "p", after, limit, START).await.unwrap();
        assert_eq!(keys(&found), expected, "after {after:?}");
    }
}

pub(super) async fn big_and_empty_values_come_back(harness: &impl Harness) {
    let store = harness.open();
    let big: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let batch = Batch::new(START)
        .put(Space::Inbox, "big", big.clone(), None)
        .put(Space::Inbox, "", "", None);
    commit(&*store, batch).await;
    assert_eq!(
        store
            .row(Space::Inbox, "big", START)
            .await
            .unwrap()
            .unwrap()
            .value,
        big
    );
    assert_eq!(
        store.row(Space::Inbox, "", START).await.unwrap(),
        Some(row("", "", 1, None))
    );
}

pub(super) async fn latest_time_stays_never(harness: &impl Harness) {
    let store = harness.open();
    let never = Timestamp(u64::MAX);
    commit(&*store, Batch::new(START).put(Space::Meta, "k", "v", Some(never))).await;
    assert_eq!(read(&*store, "k").await, Some(row("k", "v", 1, Some(never))));
    assert_eq!(store.expire(at(1_000_000), 9).await.unwrap(), 0);
}

pub(super) async fn one_of_many_wins_an_absent_row(harness: &impl Harness) {
    let store = harness.open();
    let racers = (0..64).map(|n| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            store
                .commit(Batch::new(START).put_new(Space::Seen, "id", n.to_string(), None))
                .await
                .unwrap()
        })
    });
    let mut won = 0;
    for racer in racers.collect::<Vec<_>>() {
        match racer.await.unwrap() {
            Committed::Done => won += 1,
            Committed::Conflict { found, .. } => assert!(found.is_some()),
            other @ (Committed::LeaseLost(_) | Committed::Fenced(_)) => panic!("{other:?}"),
        }
    }
    assert_eq!(won, 1);
}

pub(super) async fn counter_with_versions_loses_nothing(harness: &impl Harness) {
    let store = harness.open();
    commit(&*store, Batch::new(START).put(Space::Meta, "n", "0", None)).await;
    let counting = (0..8).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for _ in 0..20 {
                while !count_up(&*store).await {}
            }
        })
    });
    for counter in counting.collect::<Vec<_>>() {
        counter.await.unwrap();
    }
    assert_eq!(read(&*store, "n").await, Some(row("n", "160", 161, None)));
}

async fn count_up(store: &dyn Store) -> bool {
    let row = read(store, "n").await.unwrap();
    let next = std::str::from_utf8(&row.value).unwrap().parse::<u32>().unwrap() + 1;
    let write = write("n", Some(&next.to_string()), Expected::Version(row.version));
    store.commit(batch(START, [write])).await.unwrap() == Committed::Done
}

async fn read(store: &dyn Store, key: &str) -> Option<Row> {
    store.row(Space::Meta, key, START).await.unwrap()
}

fn batch(now: Timestamp, writes: impl IntoIterator<Item = RowWrite>) -> Batch {
    let mut batch = Batch::new(now);
    batch.writes.extend(writes);
    batch
}

fn write(key: &str, value: Option<&str>, expected: Expected) -> RowWrite {
    RowWrite {
        space: Space::Meta,
        key: key.to_owned(),
        value: value.map(|value| value.to_owned().into()),
        expires: None,
        expected,
    }
}

fn row(key: &str, value: &str, version: u64, expires: Option<Timestamp>) -> Row {
    Row {
        key: key.to_owned(),
        value: value.to_owned().into(),
        version,
        expires,
    }
}

fn keys(rows: &[Row]) -> Vec<&str> {
    rows.iter().map(|row| row.key.as_str()).collect()
}
