//! Leases: what a claim hands out, when it ends, and what a worker may settle.

use impsgw::store::{Batch, Committed, NewItem, OutboxItem, Place, Settle, Space};

use super::{
    Harness, START, a_claim, an_item, at, bodies, claimed, claimed_one, commit, done, enqueue, lane, settle,
    settled, worker,
};

pub(super) async fn claim_tells_all_of_the_item(harness: &impl Harness) {
    let store = harness.open();
    let labels = vec!["id:7".to_owned(), "wv:\"q\"@å".to_owned()];
    let item = NewItem {
        labels: labels.clone(),
        ..an_item("a", "body")
    };
    commit(&*store, Batch::new(at(3)).enqueue(item)).await;
    let claimed = claimed_one(&*store, at(5)).await;
    let expected = OutboxItem {
        id: claimed.id,
        lane: lane("beta", "a"),
        priority: impsgw::store::Priority::Interactive,
        place: Place::Leased {
            to: worker("w"),
            until: at(10_005),
        },
        created: at(3),
        expires: at(1_000_000),
        attempts: 1,
        unanswered: false,
        last_failure: None,
        labels,
        body: "body".into(),
    };
    assert_eq!(claimed, expected);
    assert_eq!(store.item(claimed.id).await.unwrap(), Some(expected));
}

pub(super) async fn lease_ends_by_the_clock(harness: &impl Harness) {
    let store = harness.open();
    enqueue(&*store, [an_item("a", "1"), an_item("a", "2")]).await;
    claimed_one(&*store, START).await;
    assert!(store.claim(a_claim("v", at(9_999))).await.unwrap().is_empty());
    let taken = store.claim(a_claim("v", at(10_000))).await.unwrap();
    assert_eq!(bodies(&taken), ["1"]);
    assert_eq!(taken[0].attempts, 2);
}

pub(super) async fn lost_lease_settles_nothing(harness: &impl Harness) {
    let store = harness.open();
    enqueue(&*store, [an_item("a", "1")]).await;
    let item = claimed_one(&*store, START).await;
    let retry = |by| Settle::Reschedule {
        by: worker(by),
        due: START,
        failure: String::new(),
    };
    let others = |by| {
        let (bury, wait) = (worker(by), worker(by));
        [
            done(by),
            retry(by),
            Settle::Bury {
                by: bury,
                reason: String::new(),
            },
            Settle::Await {
                by: wait,
                until: START,
            },
        ]
    };
    store.claim(a_claim("v", at(10_000))).await.unwrap();
    for late in others("w").into_iter().chain(others("x")) {
        assert_eq!(
            settle(&*store, item.id, late).await,
            Committed::LeaseLost(item.id)
        );
    }
    settled(&*store, item.id, retry("v")).await;
    for early in others("v") {
        assert_eq!(
            settle(&*store, item.id, early).await,
            Committed::LeaseLost(item.id)
        );
    }
}

pub(super) async fn ended_lease_counts_until_it_is_taken(harness: &impl Harness) {
    let store = harness.open();
    enqueue(&*store, [an_item("a", "1")]).await;
    let item = claimed_one(&*store, START).await;
    let late = Batch::new(at(60_000)).settle(item.id, done("w"));
    commit(&*store, late).await;
    assert_eq!(store.item(item.id).await.unwrap(), None);
}

pub(super) async fn lease_lost_undoes_the_whole_batch(harness: &impl Harness) {
    let store = harness.open();
    enqueue(&*store, [an_item("a", "1"), an_item("b", "2")]).await;
    let items = claimed(&*store, START).await;
    let batch = Batch::new(START)
        .put(Space::Seen, "outcome", "ok", None)
        .enqueue(an_item("c", "3"))
        .settle(items[0].id, done("w"))
        .settle(items[1].id, done("somebody else"));
    assert_eq!(
        store.commit(batch).await.unwrap(),
        Committed::LeaseLost(items[1].id)
    );
    assert_eq!(store.row(Space::Seen, "outcome", START).await.unwrap(), None);
    let all = store.items(&Default::default(), None, 9).await.unwrap();
    assert_eq!(bodies(&all), ["1", "2"]);
}

pub(super) async fn rescheduled_item_remembers_the_failure(harness: &impl Harness) {
    let store = harness.open();
    enqueue(&*store, [an_item("a", "1")]).await;
    for attempt in 1..=3 {
        let item = claimed_one(&*store, at(attempt)).await;
        assert_eq!(u64::from(item.attempts), attempt);
        let failure = format!("failure {attempt}");
        let again = Settle::Reschedule {
            by: worker("w"),
            due: at(attempt + 1),
            failure: failure.clone(),
        };
        settled(&*store, item.id, again).await;
        let item = store.item(item.id).await.unwrap().unwrap();
        assert_eq!(item.place, Place::Scheduled { due: at(attempt + 1) });
        assert_eq!(item.last_failure, Some(failure));
    }
}

pub(super) async fn awaiting_item_comes_back_unanswered(harness: &impl Harness) {
    let store = harness.open();
    enqueue(&*store, [an_item("a", "1")]).await;
    let item = claimed_one(&*store, START).await;
    settled(
        &*store,
        item.id,
        Settle::Await {
            by: worker("w"),
            until: at(50),
        },
    )
    .await;
    let awaiting = store.item(item.id).await.unwrap().unwrap();
    assert_eq!(
        (awaiting.place, awaiting.unanswered),
        (Place::Awaiting { until: at(50) }, false)
    );
    let back = claimed_one(&*store, at(50)).await;
    assert_eq!((back.id, back.unanswered, back.attempts), (item.id, true, 2));
    // The next worker must know as well, when this one ends without a word.
    let again = claimed_one(&*store, at(50_000)).await;
    assert!(again.unanswered);
    let retry = Settle::Reschedule {
        by: worker("w"),
        due: at(50_000),
        failure: "silent".to_owned(),
    };
    settled(&*store, item.id, retry).await;
    // Nor does an attempt that fails say anything about the one before.
    assert!(claimed_one(&*store, at(50_000)).await.unanswered);
    let bury = Settle::Bury {
        by: worker("w"),
        reason: "outcome unknown".to_owned(),
    };
    settled(&*store, item.id, bury).await;
    settled(&*store, item.id, Settle::Release { due: at(50_000) }).await;
    assert!(!claimed_one(&*store, at(50_000)).await.unanswered);
}

pub(super) async fn everything_scheduled_can_be_made_due(harness: &impl Harness) {
    let store = harness.open();
    let later = |lane: &str, name: &str| NewItem {
        due: at(90_000),
        ..an_item(lane, name)
    };
    enqueue(&*store, [later("a", "1"), later("a", "2"), later("b", "3")]).await;
    let batch = Batch {
        all_due_now: true,
        ..Batch::new(at(50))
    };
    assert_eq!(store.commit(batch).await.unwrap(), Committed::Done);
    assert_eq!(claimed(&*store, at(49)).await, []);
    let fronts = claimed(&*store, at(50)).await;
    assert_eq!(fronts.len(), 2);
    settled(&*store, fronts[0].id, Settle::Done { by: worker("w") }).await;
    // What waited behind as well.
    assert_eq!(claimed(&*store, at(50)).await.len(), 1);
}

pub(super) async fn late_answer_removes_wherever_it_stands(harness: &impl Harness) {
    let store = harness.open();
    enqueue(&*store, ["a", "b", "c", "d", "e"].map(|name| an_item(name, name))).await;
    let items = claimed(&*store, START).await;
    settled(
        &*store,
        items[0].id,
        Settle::Await {
            by: worker("w"),
            until: at(50),
        },
    )
    .await;
    settled(
        &*store,
        items[1].id,
        Settle::Bury {
            by: worker("w"),
            reason: "unknown".to_owned(),
        },
    )
    .await;
    let again = Settle::Reschedule {
        by: worker("w"),
        due: START,
        failure: String::new(),
    };
    settled(&*store, items[2].id, again.clone()).await;
    settled(&*store, items[3].id, again).await;
    settled(&*store, items[3].id, Settle::Hold { by: "noc".to_owned() }).await;
    for item in &items {
        settled(&*store, item.id, Settle::Answered).await;
        settled(&*store, item.id, Settle::Answered).await;
    }
    assert_eq!(store.counts().await.unwrap(), []);
}

pub(super) async fn settled_item_is_gone(harness: &impl Harness) {
    let store = harness.open();
    let item = NewItem {
        labels: vec!["l".to_owned(), "l".to_owned()],
        ..an_item("a", "1")
    };
    enqueue(&*store, [item]).await;
    let item = claimed_one(&*store, START).await;
    settled(&*store, item.id, done("w")).await;
    assert_eq!(
        settle(&*store, item.id, done("w")).await,
        Committed::LeaseLost(item.id)
    );
    assert_eq!(store.item(item.id).await.unwrap(), None);
    let labelled = impsgw::store::QueueFilter {
        label: Some("l".to_owned()),
        ..Default::default()
    };
    assert_eq!(store.items(&labelled, None, 9).await.unwrap(), []);
}
