//! What operators do with items: hold, release, redirect, discard, list, count.

use impsgw::store::{
    Batch, Committed, ItemId, NewItem, Place, PlaceName, QueueCount, QueueFilter, Settle, Store,
};

use super::{
    Harness, START, an_item, at, bodies, claimed, claimed_one, commit, done, enqueue, lane, settle, settled,
    worker,
};

pub(super) async fn held_item_is_not_leased(harness: &impl Harness) {
    let store = harness.open();
    enqueue(&*store, [an_item("a", "1")]).await;
    let id = ids(&*store).await[0];
    settled(&*store, id, hold()).await;
    assert_eq!(place(&*store, id).await, Place::Held { by: "noc".to_owned() });
    assert!(claimed(&*store, at(100_000)).await.is_empty());
    settled(&*store, id, Settle::Release { due: at(7) }).await;
    assert_eq!(place(&*store, id).await, Place::Scheduled { due: at(7) });
    assert_eq!(claimed_one(&*store, at(7)).await.id, id);
}

pub(super) async fn leased_item_is_neither_held_nor_discarded(harness: &impl Harness) {
    let store = harness.open();
    enqueue(&*store, [an_item("a", "1")]).await;
    let id = claimed_one(&*store, START).await.id;
    for refused in [hold(), Settle::Discard, release(), redirect("c")] {
        assert_eq!(settle(&*store, id, refused).await, Committed::LeaseLost(id));
    }
    settled(&*store, id, done("w")).await;
    for gone in [hold(), Settle::Discard, release(), redirect("c")] {
        assert_eq!(settle(&*store, id, gone).await, Committed::LeaseLost(id));
    }
}

pub(super) async fn released_item_takes_its_old_place(harness: &impl Harness) {
    let store = harness.open();
    enqueue(&*store, [an_item("a", "1"), an_item("a", "2")]).await;
    let first = claimed_one(&*store, START).await;
    bury(&*store, first.id).await;
    settled(&*store, first.id, release()).await;
    let again = claimed_one(&*store, START).await;
    assert_eq!((again.id, again.attempts), (first.id, 1));
    settled(&*store, first.id, done("w")).await;
    assert_eq!(bodies(&claimed(&*store, START).await), ["2"]);
}

pub(super) async fn released_item_waits_for_what_is_under_way(harness: &impl Harness) {
    let store = harness.open();
    enqueue(&*store, [an_item("a", "1"), an_item("a", "2"), an_item("a", "3")]).await;
    let first = claimed_one(&*store, START).await;
    bury(&*store, first.id).await;
    let second = claimed_one(&*store, START).await;
    settled(&*store, first.id, release()).await;
    assert!(claimed(&*store, START).await.is_empty());
    settled(
        &*store,
        second.id,
        Settle::Await {
            by: worker("w"),
            until: at(50),
        },
    )
    .await;
    assert!(claimed(&*store, START).await.is_empty());
    settled(&*store, second.id, Settle::Answered).await;
    assert_eq!(claimed_one(&*store, START).await.id, first.id);
}

pub(super) async fn only_held_and_dead_are_released_or_redirected(harness: &impl Harness) {
    let store = harness.open();
    enqueue(&*store, [an_item("a", "1")]).await;
    let id = ids(&*store).await[0];
    let refused = Committed::LeaseLost(id);
    assert_eq!(settle(&*store, id, release()).await, refused);
    assert_eq!(settle(&*store, id, redirect("c")).await, refused);
    claimed_one(&*store, START).await;
    settled(
        &*store,
        id,
        Settle::Await {
            by: worker("w"),
            until: at(50),
        },
    )
    .await;
    assert_eq!(settle(&*store, id, release()).await, refused);
    assert_eq!(settle(&*store, id, redirect("c")).await, refused);
    settled(&*store, id, hold()).await;
    settled(&*store, id, redirect("c")).await;
}

pub(super) async fn redirected_item_joins_the_other_lane(harness: &impl Harness) {
    let store = harness.open();
    let there = |body: &str| NewItem {
        lane: lane("gamma", "c"),
        ..an_item("", body)
    };
    enqueue(&*store, [an_item("a", "1"), an_item("a", "2"), there("3")]).await;
    let items = claimed(&*store, START).await;
    assert_eq!(bodies(&items), ["1", "3"]);
    bury(&*store, items[0].id).await;
    settled(&*store, items[0].id, redirect("c")).await;
    // Its old lane goes on, the new one is busy with an item that came later.
    assert_eq!(bodies(&claimed(&*store, START).await), ["2"]);
    settled(&*store, items[1].id, done("w")).await;
    let moved = claimed_one(&*store, START).await;
    assert_eq!(
        (moved.id, moved.lane, moved.attempts),
        (items[0].id, lane("gamma", "c"), 1)
    );
}

pub(super) async fn older_item_that_came_back_goes_before_a_retry(harness: &impl Harness) {
    let store = harness.open();
    enqueue(&*store, [an_item("a", "1"), an_item("a", "2"), an_item("a", "3")]).await;
    let first = claimed_one(&*store, START).await;
    bury(&*store, first.id).await;
    let second = claimed_one(&*store, START).await;
    settled(&*store, first.id, release()).await;
    let retry = Settle::Reschedule {
        by: worker("w"),
        due: at(5),
        failure: "busy".to_owned(),
    };
    settled(&*store, second.id, retry).await;
    assert_eq!(store.next_due().await.unwrap(), Some(START));
    assert_eq!(claimed_one(&*store, START).await.id, first.id);
    settled(&*store, first.id, done("w")).await;
    assert_eq!(bodies(&claimed(&*store, at(5)).await), ["2"]);
}

pub(super) async fn older_item_that_came_back_goes_before_a_held_one(harness: &impl Harness) {
    let store = harness.open();
    enqueue(&*store, [an_item("a", "1"), an_item("a", "2")]).await;
    let first = claimed_one(&*store, START).await;
    bury(&*store, first.id).await;
    let second = claimed_one(&*store, START).await;
    settled(&*store, first.id, release()).await;
    let awaiting = Settle::Await {
        by: worker("w"),
        until: at(50),
    };
    settled(&*store, second.id, awaiting).await;
    settled(&*store, second.id, hold()).await;
    assert_eq!(claimed_one(&*store, START).await.id, first.id);
}

pub(super) async fn dead_item_that_leaves_its_lane_sets_nobody_free(harness: &impl Harness) {
    let store = harness.open();
    enqueue(&*store, [an_item("a", "1"), an_item("a", "2"), an_item("a", "3")]).await;
    let first = claimed_one(&*store, START).await;
    bury(&*store, first.id).await;
    let second = claimed_one(&*store, START).await;
    bury(&*store, second.id).await;
    claimed_one(&*store, START).await;
    settled(&*store, second.id, release()).await;
    settled(&*store, first.id, redirect("c")).await;
    // The third is under way, so the second waits.
    assert_eq!(bodies(&claimed(&*store, START).await), ["1"]);
    assert_eq!(store.next_due().await.unwrap(), Some(at(10_000)));
}

pub(super) async fn discarded_item_frees_its_lane(harness: &impl Harness) {
    let store = harness.open();
    enqueue(&*store, [an_item("a", "1"), an_item("a", "2")]).await;
    let first = ids(&*store).await[0];
    settled(&*store, first, hold()).await;
    settled(&*store, first, Settle::Discard).await;
    assert_eq!(bodies(&claimed(&*store, START).await), ["2"]);
}

pub(super) async fn items_are_listed_by_queue_place_and_label(harness: &impl Harness) {
    let store = harness.open();
    for n in 0..12 {
        let queue = ["alpha", "beta", "gamma"][n % 3];
        let labels = vec![format!("n{}", n % 4), "all".to_owned()];
        let item = NewItem {
            lane: lane(queue, &n.to_string()),
            labels,
            ..an_item("", &n.to_string())
        };
        enqueue(&*store, [item]).await;
    }
    for id in ids(&*store).await.into_iter().step_by(2) {
        settled(&*store, id, hold()).await;
    }
    for (queue, place, label, expected) in [
        (
            None,
            None,
            None,
            vec!["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"],
        ),
        (Some("beta"), None, None, vec!["1", "4", "7", "10"]),
        (
            None,
            Some(PlaceName::Held),
            None,
            vec!["0", "2", "4", "6", "8", "10"],
        ),
        (Some("beta"), Some(PlaceName::Held), None, vec!["4", "10"]),
        (None, None, Some("n1"), vec!["1", "5", "9"]),
        (Some("alpha"), None, Some("n1"), vec!["9"]),
        (None, Some(PlaceName::Held), Some("n2"), vec!["2", "6", "10"]),
        (
            Some("gamma"),
            Some(PlaceName::Scheduled),
            Some("all"),
            vec!["5", "11"],
        ),
        (Some("nowhere"), None, None, vec![]),
        (None, Some(PlaceName::Dead), None, vec![]),
        (None, None, Some("n"), vec![]),
    ] {
        let filter = QueueFilter {
            queue: queue.map(str::to_owned),
            place,
            label: label.map(str::to_owned),
        };
        assert_eq!(
            bodies(&store.items(&filter, None, 99).await.unwrap()),
            expected,
            "{filter:?}"
        );
        // Page by page it is the same.
        let mut paged = Vec::new();
        while let [item] = &store.items(&filter, paged.last().copied(), 1).await.unwrap()[..] {
            paged.push(item.id);
        }
        assert_eq!(paged.len(), expected.len(), "{filter:?}");
    }
}

pub(super) async fn items_are_listed_in_pages(harness: &impl Harness) {
    let store = harness.open();
    enqueue(&*store, (0..5).map(|n| an_item("a", &n.to_string()))).await;
    let filter = QueueFilter {
        queue: Some("beta".to_owned()),
        ..QueueFilter::default()
    };
    let first = store.items(&filter, None, 3).await.unwrap();
    assert_eq!(bodies(&first), ["0", "1", "2"]);
    let second = store.items(&filter, Some(first[2].id), 3).await.unwrap();
    assert_eq!(bodies(&second), ["3", "4"]);
    assert_eq!(store.items(&filter, None, 0).await.unwrap(), []);
}

pub(super) async fn counts_are_by_queue_and_place(harness: &impl Harness) {
    let store = harness.open();
    for n in 0..3 {
        commit(&*store, Batch::new(at(n)).enqueue(an_item(&n.to_string(), ""))).await;
    }
    let elsewhere = NewItem {
        lane: lane("alpha", "c"),
        due: at(9),
        ..an_item("", "")
    };
    commit(&*store, Batch::new(at(5)).enqueue(elsewhere)).await;
    let items = claimed(&*store, START).await;
    bury(&*store, items[1].id).await;
    let count = |queue: &str, place, count, millis| QueueCount {
        queue: queue.to_owned(),
        place,
        count,
        oldest: at(millis),
    };
    let mut counts = store.counts().await.unwrap();
    counts.sort_by_key(|count| (count.queue.clone(), count.place));
    let expected = [
        count("alpha", PlaceName::Scheduled, 1, 5),
        count("beta", PlaceName::Leased, 2, 0),
        count("beta", PlaceName::Dead, 1, 1),
    ];
    assert_eq!(counts, expected);
}

fn hold() -> Settle {
    Settle::Hold { by: "noc".to_owned() }
}

fn release() -> Settle {
    Settle::Release { due: START }
}

fn redirect(conversation: &str) -> Settle {
    Settle::Redirect {
        lane: lane("gamma", conversation),
        due: START,
    }
}

async fn bury(store: &dyn Store, id: ItemId) {
    settled(
        store,
        id,
        Settle::Bury {
            by: worker("w"),
            reason: "no".to_owned(),
        },
    )
    .await;
}

async fn ids(store: &dyn Store) -> Vec<ItemId> {
    let all = store.items(&QueueFilter::default(), None, 99).await.unwrap();
    all.iter().map(|item| item.id).collect()
}

async fn place(store: &dyn Store, id: ItemId) -> Place {
    store.item(id).await.unwrap().unwrap().place
}
