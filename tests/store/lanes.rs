//! Lanes: who goes first, who waits for whom, who replaces whom.

use std::{collections::HashMap, sync::Arc};

use impsgw::store::{Batch, Claim, NewItem, Priority, QueueFilter, Settle, Store};

use super::{
    Harness, START, a_claim, an_item, at, bodies, claimed, claimed_one, commit, done, enqueue, lane, settled,
    worker,
};

pub(super) async fn oldest_of_a_lane_goes_first(harness: &impl Harness) {
    let store = harness.open();
    // The order is the one in which they came, whatever they say of time and priority.
    let hasty = NewItem {
        due: START,
        ..an_item("a", "2")
    };
    let calm = NewItem {
        due: at(5),
        priority: Priority::Background,
        ..an_item("a", "1")
    };
    enqueue(&*store, [calm, hasty, an_item("a", "3")]).await;
    assert!(claimed(&*store, at(4)).await.is_empty());
    for expected in ["1", "2", "3"] {
        let item = claimed_one(&*store, at(5)).await;
        assert_eq!(bodies(std::slice::from_ref(&item)), [expected]);
        settled(&*store, item.id, done("w")).await;
    }
    assert!(claimed(&*store, at(5)).await.is_empty());
}

pub(super) async fn lane_waits_for_its_leased_item(harness: &impl Harness) {
    let store = harness.open();
    enqueue(
        &*store,
        [an_item("a", "a1"), an_item("a", "a2"), an_item("b", "b1")],
    )
    .await;
    assert_eq!(bodies(&claimed(&*store, START).await), ["a1", "b1"]);
    assert!(claimed(&*store, START).await.is_empty());
}

pub(super) async fn lane_waits_for_a_deferred_front(harness: &impl Harness) {
    let store = harness.open();
    enqueue(&*store, [an_item("a", "1"), an_item("a", "2")]).await;
    let first = claimed_one(&*store, START).await;
    let again = Settle::Reschedule {
        by: worker("w"),
        due: at(100),
        failure: "busy".to_owned(),
    };
    settled(&*store, first.id, again).await;
    assert!(claimed(&*store, at(99)).await.is_empty());
    assert_eq!(bodies(&claimed(&*store, at(100)).await), ["1"]);
}

pub(super) async fn lane_waits_for_an_awaiting_item(harness: &impl Harness) {
    let store = harness.open();
    enqueue(&*store, [an_item("a", "1"), an_item("a", "2")]).await;
    let first = claimed_one(&*store, START).await;
    settled(
        &*store,
        first.id,
        Settle::Await {
            by: worker("w"),
            until: at(100),
        },
    )
    .await;
    assert!(claimed(&*store, at(99)).await.is_empty());
    settled(&*store, first.id, Settle::Answered).await;
    assert_eq!(bodies(&claimed(&*store, at(99)).await), ["2"]);
}

pub(super) async fn lane_waits_for_a_held_item(harness: &impl Harness) {
    let store = harness.open();
    enqueue(&*store, [an_item("a", "1"), an_item("a", "2"), an_item("a", "3")]).await;
    let first = claimed_one(&*store, START).await;
    let second = store
        .items(&Default::default(), Some(first.id), 1)
        .await
        .unwrap()
        .remove(0);
    settled(&*store, second.id, Settle::Hold { by: "noc".to_owned() }).await;
    settled(&*store, first.id, done("w")).await;
    assert!(claimed(&*store, at(100)).await.is_empty());
    settled(&*store, second.id, Settle::Release { due: START }).await;
    assert_eq!(bodies(&claimed(&*store, START).await), ["2"]);
}

pub(super) async fn dead_item_does_not_block(harness: &impl Harness) {
    let store = harness.open();
    enqueue(&*store, [an_item("a", "1"), an_item("a", "2")]).await;
    let first = claimed_one(&*store, START).await;
    settled(
        &*store,
        first.id,
        Settle::Bury {
            by: worker("w"),
            reason: "no".to_owned(),
        },
    )
    .await;
    assert_eq!(bodies(&claimed(&*store, START).await), ["2"]);
}

pub(super) async fn interactive_goes_before_background(harness: &impl Harness) {
    let store = harness.open();
    let notice = |name: &str| NewItem {
        priority: Priority::Background,
        ..an_item(name, name)
    };
    enqueue(
        &*store,
        [
            notice("n1"),
            notice("n2"),
            an_item("m1", "m1"),
            an_item("m2", "m2"),
        ],
    )
    .await;
    let first = Claim {
        limit: 3,
        ..a_claim("w", START)
    };
    assert_eq!(bodies(&store.claim(first).await.unwrap()), ["m1", "m2", "n1"]);
    assert_eq!(bodies(&claimed(&*store, START).await), ["n2"]);
}

pub(super) async fn due_first_goes_first(harness: &impl Harness) {
    let store = harness.open();
    let due = |name: &str, millis| NewItem {
        due: at(millis),
        ..an_item(name, name)
    };
    let elsewhere = NewItem {
        lane: lane("alpha", "x"),
        ..due("2", 2)
    };
    enqueue(&*store, [due("3", 3), due("1", 1), due("3b", 3), elsewhere]).await;
    assert_eq!(bodies(&claimed(&*store, at(9)).await), ["1", "2", "3", "3b"]);
}

pub(super) async fn late_items_come_in_the_order_of_their_expiry(harness: &impl Harness) {
    let store = harness.open();
    let expiring = |body: &str, expires| NewItem {
        expires: at(expires),
        ..an_item(body, body)
    };
    let items = [
        ("c", 30),
        ("a", 10),
        ("d", 40),
        ("b", 20),
        ("also b", 20),
        ("dead", 15),
    ];
    enqueue(&*store, items.map(|(body, expires)| expiring(body, expires))).await;
    let dead = store.items(&QueueFilter::default(), None, 100).await.unwrap();
    let dead = dead.iter().find(|item| item.body == "dead").unwrap().id;
    for item in claimed(&*store, at(1)).await {
        let what = if item.id == dead {
            let reason = "given up".to_owned();
            Settle::Bury {
                by: worker("w"),
                reason,
            }
        } else {
            let (due, failure) = (at(100), "no answer".to_owned());
            Settle::Reschedule {
                by: worker("w"),
                due,
                failure,
            }
        };
        settled(&*store, item.id, what).await;
    }
    let (mut after, mut found) = (None, Vec::new());
    loop {
        let page = store.late(at(30), after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.expires, last.id));
        found.extend(bodies(&page).into_iter().map(str::to_owned));
    }
    assert_eq!(found, ["a", "b", "also b", "c"]);
}

pub(super) async fn what_is_not_due_stays(harness: &impl Harness) {
    let store = harness.open();
    enqueue(
        &*store,
        [NewItem {
            due: at(10),
            ..an_item("a", "1")
        }],
    )
    .await;
    assert!(claimed(&*store, at(9)).await.is_empty());
    assert_eq!(claimed(&*store, at(10)).await.len(), 1);
}

pub(super) async fn excepted_queues_stay(harness: &impl Harness) {
    let store = harness.open();
    let of = |queue: &str| NewItem {
        lane: lane(queue, "c"),
        ..an_item("c", queue)
    };
    enqueue(&*store, [of("alpha"), of("beta"), of("gamma")]).await;
    let except_queues = vec!["alpha".to_owned(), "gamma".to_owned()];
    let except = Claim {
        except_queues,
        ..a_claim("w", START)
    };
    assert_eq!(bodies(&store.claim(except).await.unwrap()), ["beta"]);
    assert_eq!(bodies(&claimed(&*store, START).await), ["alpha", "gamma"]);
}

pub(super) async fn limit_is_kept_and_the_best_are_taken(harness: &impl Harness) {
    let store = harness.open();
    let of = |queue: &str, n: u64| {
        let name = format!("{queue}{n}");
        NewItem {
            lane: lane(queue, &name),
            due: at(n),
            ..an_item("", &name)
        }
    };
    enqueue(&*store, (0..5).flat_map(|n| [of("x", 4 - n), of("y", 9 - n)])).await;
    let limit = |limit| Claim {
        limit,
        ..a_claim("w", at(99))
    };
    assert!(store.claim(limit(0)).await.unwrap().is_empty());
    assert_eq!(
        bodies(&store.claim(limit(4)).await.unwrap()),
        ["x0", "x1", "x2", "x3"]
    );
    assert_eq!(bodies(&store.claim(limit(3)).await.unwrap()), ["x4", "y5", "y6"]);
}

pub(super) async fn newest_replaces_the_waiting(harness: &impl Harness) {
    let store = harness.open();
    enqueue(
        &*store,
        [
            keyed("a", "p", "old"),
            an_item("a", "other"),
            keyed("a", "p", "new"),
        ],
    )
    .await;
    assert_eq!(store.counts().await.unwrap()[0].count, 2);
    let other = claimed_one(&*store, START).await;
    assert_eq!(other.body, "other");
    settled(&*store, other.id, done("w")).await;
    assert_eq!(bodies(&claimed(&*store, START).await), ["new"]);
}

pub(super) async fn replacing_leaves_other_keys_and_lanes(harness: &impl Harness) {
    let store = harness.open();
    enqueue(
        &*store,
        [keyed("a", "p", "1"), keyed("a", "q", "2"), keyed("b", "p", "3")],
    )
    .await;
    enqueue(&*store, [keyed("a", "p", "4")]).await;
    let all = store.items(&Default::default(), None, 9).await.unwrap();
    assert_eq!(bodies(&all), ["2", "3", "4"]);
}

pub(super) async fn leased_item_is_not_replaced_and_not_retried(harness: &impl Harness) {
    let store = harness.open();
    enqueue(&*store, [keyed("a", "p", "old")]).await;
    let old = claimed_one(&*store, START).await;
    enqueue(&*store, [keyed("a", "p", "new")]).await;
    assert!(store.item(old.id).await.unwrap().is_some());
    let again = Settle::Reschedule {
        by: worker("w"),
        due: at(5),
        failure: "busy".to_owned(),
    };
    settled(&*store, old.id, again).await;
    assert_eq!(store.item(old.id).await.unwrap(), None);
    assert_eq!(bodies(&claimed(&*store, START).await), ["new"]);
}

pub(super) async fn conversation_waits_where_its_living_items_are(harness: &impl Harness) {
    let store = harness.open();
    assert_eq!(store.waiting_in("a").await.unwrap(), None);
    enqueue(&*store, [an_item("a", "1")]).await;
    assert_eq!(store.waiting_in("a").await.unwrap(), Some(lane("beta", "a")));
    assert_eq!(store.waiting_in("b").await.unwrap(), None);
    let item = claimed_one(&*store, START).await;
    assert_eq!(store.waiting_in("a").await.unwrap(), Some(lane("beta", "a")));
    settled(
        &*store,
        item.id,
        Settle::Bury {
            by: worker("w"),
            reason: "no".to_owned(),
        },
    )
    .await;
    assert_eq!(store.waiting_in("a").await.unwrap(), None);
}

pub(super) async fn lanes_are_listed_once_each_in_pages(harness: &impl Harness) {
    let store = harness.open();
    for (queue, conversation) in [("g", "a"), ("b", "a"), ("b", "c"), ("b", "b"), ("b", "a")] {
        let item = NewItem {
            lane: lane(queue, conversation),
            ..an_item("", "1")
        };
        enqueue(&*store, [item]).await;
    }
    let all = [lane("b", "a"), lane("g", "a"), lane("b", "b"), lane("b", "c")];
    assert_eq!(store.lanes(None, 9).await.unwrap(), all);
    assert_eq!(store.lanes(None, 2).await.unwrap(), all[..2]);
    assert_eq!(store.lanes(Some(&all[1]), 9).await.unwrap(), all[2..]);
    assert_eq!(store.lanes(Some(&all[3]), 9).await.unwrap(), []);
    for item in claimed(&*store, START).await {
        let buried = Settle::Bury {
            by: worker("w"),
            reason: String::new(),
        };
        settled(&*store, item.id, buried).await;
    }
    // Of the lane that had two, the second lives.
    assert_eq!(store.lanes(None, 9).await.unwrap(), all[..1]);
}

pub(super) async fn next_due_is_the_first_front(harness: &impl Harness) {
    let store = harness.open();
    assert_eq!(store.next_due().await.unwrap(), None);
    let notice = NewItem {
        priority: Priority::Background,
        due: at(30),
        ..an_item("b", "3")
    };
    let elsewhere = NewItem {
        lane: lane("alpha", "x"),
        due: at(70),
        ..an_item("", "4")
    };
    enqueue(
        &*store,
        [
            NewItem {
                due: at(50),
                ..an_item("a", "1")
            },
            an_item("a", "2"),
            notice,
            elsewhere,
        ],
    )
    .await;
    assert_eq!(store.next_due().await.unwrap(), Some(at(30)));
    let except = ["beta".to_owned()];
    assert_eq!(store.next_due_except(&except).await.unwrap(), Some(at(70)));
    let first = claimed_one(&*store, at(30)).await;
    assert_eq!(store.next_due().await.unwrap(), Some(at(50)));
    settled(
        &*store,
        first.id,
        Settle::Await {
            by: worker("w"),
            until: at(40),
        },
    )
    .await;
    assert_eq!(store.next_due().await.unwrap(), Some(at(40)));
    settled(&*store, first.id, Settle::Hold { by: "noc".to_owned() }).await;
    assert_eq!(store.next_due().await.unwrap(), Some(at(50)));
}

pub(super) async fn many_producers_lose_nothing_and_keep_order(harness: &impl Harness) {
    let store = harness.open();
    let producers = (0..16).map(|producer| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for n in 0..25 {
                let item = an_item(&producer.to_string(), &n.to_string());
                commit(&*store, Batch::new(START).enqueue(item)).await;
            }
        })
    });
    for producer in producers.collect::<Vec<_>>() {
        producer.await.unwrap();
    }
    for n in 0..25 {
        let items = claimed(&*store, START).await;
        assert_eq!(bodies(&items), vec![n.to_string(); 16]);
        let batch = items
            .iter()
            .fold(Batch::new(START), |batch, item| batch.settle(item.id, done("w")));
        commit(&*store, batch).await;
    }
    assert_eq!(store.counts().await.unwrap(), []);
}

pub(super) async fn many_workers_share_without_overlap(harness: &impl Harness) {
    let store = harness.open();
    enqueue(
        &*store,
        (0..120).map(|n| an_item(&(n % 12).to_string(), &n.to_string())),
    )
    .await;
    let workers = (0..6).map(|name| {
        let store = Arc::clone(&store);
        tokio::spawn(work(store, format!("w{name}")))
    });
    let mut seen: HashMap<String, u32> = HashMap::new();
    for worker in workers.collect::<Vec<_>>() {
        for body in worker.await.unwrap() {
            *seen.entry(body).or_default() += 1;
        }
    }
    assert_eq!(seen.len(), 120);
    assert!(seen.values().all(|times| *times == 1));
}

/// Claims and settles until nothing is left; returns the bodies.
async fn work(store: Arc<dyn Store>, name: String) -> Vec<String> {
    let mut mine = Vec::new();
    while !store.counts().await.unwrap().is_empty() {
        let claim = Claim {
            limit: 3,
            ..a_claim(&name, START)
        };
        for item in store.claim(claim).await.unwrap() {
            mine.extend(
                bodies(std::slice::from_ref(&item))
                    .iter()
                    .map(|body| (*body).to_owned()),
            );
            settled(&*store, item.id, done(&name)).await;
        }
    }
    mine
}

fn keyed(conversation: &str, key: &str, body: &str) -> NewItem {
    NewItem {
        replaces: Some(key.to_owned()),
        is_awaiting: false,
        ..an_item(conversation, body)
    }
}
