//! Random histories, played to a store and to a model of the contract that is too simple to be wrong.

use std::collections::BTreeMap;

use impsgw::{
    model::Timestamp,
    store::{
        Batch, Claim, Committed, Expected, ItemId, Leased, NewItem, OutboxItem, Place, PlaceName, Priority,
        QueueCount, QueueFilter, RowWrite, Settle, Space, Store, front,
        postgres::PostgresStore,
        sqlite::{SqliteConfig, SqliteStore},
    },
};
use proptest::{collection::vec, prelude::*};

use super::{START, a_claim, an_item, at, database, lane, worker};

proptest! {
    #![proptest_config(cases(192))]

    #[test]
    fn every_history_goes_as_in_the_model(steps in vec(a_step(), 1..80), intake in prop_oneof![Just(0), 1..4_usize, Just(1000)]) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let config = SqliteConfig { intake, ..SqliteConfig::new("") };
            let store = SqliteStore::in_memory_with(&config).unwrap();
            play(&store, steps).await;
            assert_eq!(store.check().await.unwrap().faults, Vec::<String>::new());
            store.close().await.unwrap();
        });
    }
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn every_history_goes_as_in_the_model_on_postgresql(steps in vec(a_step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let Some(server) = database::server() else {
            return Ok(());
        };
        runtime.block_on(async {
            let store = PostgresStore::open(&server.config()).await.unwrap();
            play(&store, steps).await;
            assert_eq!(store.check().await.unwrap().faults, Vec::<String>::new());
            store.close().await.unwrap();
        });
    }
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// One step of a history; numbers choose among what there is.
#[derive(Clone, Debug)]
enum Step {
    Enqueue {
        queue: u8,
        conversation: u8,
        due: u64,
        background: bool,
        replaces: Option<u8>,
    },
    Claim {
        by: u8,
        limit: usize,
        except: Option<u8>,
    },
    Settle {
        which: usize,
        by: u8,
        how: u8,
        when: u64,
    },
    Write {
        key: u8,
        value: Option<u8>,
        expires: Option<u64>,
        expected: Option<u64>,
    },
    Lease {
        by: u8,
    },
    Unlease {
        by: u8,
    },
    /// A write under the lease, with this fence.
    Fenced {
        fence: u64,
        key: u8,
    },
    Pass {
        millis: u64,
    },
    Expire {
        limit: usize,
    },
}

fn a_step() -> impl Strategy<Value = Step> {
    let enqueue = (
        0..3_u8,
        0..2_u8,
        0..40_u64,
        any::<bool>(),
        proptest::option::weighted(0.3, 0..2_u8),
    );
    let write = (
        0..3_u8,
        proptest::option::weighted(0.8, any::<u8>()),
        proptest::option::of(0..60_u64),
    );
    prop_oneof![
        4 => enqueue.prop_map(|(queue, conversation, due, background, replaces)| Step::Enqueue {
            queue, conversation, due, background, replaces,
        }),
        4 => (0..2_u8, 0..4_usize, proptest::option::weighted(0.2, 0..3_u8))
            .prop_map(|(by, limit, except)| Step::Claim { by, limit, except }),
        6 => (any::<usize>(), 0..2_u8, 0..11_u8, 0..40_u64)
            .prop_map(|(which, by, how, when)| Step::Settle { which, by, how, when }),
        2 => (write, proptest::option::of(0..4_u64))
            .prop_map(|((key, value, expires), expected)| Step::Write { key, value, expires, expected }),
        2 => (0..2_u8).prop_map(|by| Step::Lease { by }),
        1 => (0..2_u8).prop_map(|by| Step::Unlease { by }),
        2 => (1..4_u64, 0..3_u8).prop_map(|(fence, key)| Step::Fenced { fence, key }),
        2 => (0..30_u64).prop_map(|millis| Step::Pass { millis }),
        1 => (0..3_usize).prop_map(|limit| Step::Expire { limit }),
    ]
}

async fn play(store: &dyn Store, steps: Vec<Step>) {
    let mut model = Model::default();
    for step in steps {
        model.play(store, &step).await;
        model.compare(store, &step).await;
    }
}

/// The one lease of a history.
#[derive(Default)]
struct NamedLease {
    /// Who, and until when.
    held: Option<(u8, Timestamp)>,
    fence: u64,
}

/// Items in the order of their creation, rows by key, and the time.
#[derive(Default)]
struct Model {
    passed: u64,
    items: Vec<(OutboxItem, Option<String>)>,
    rows: BTreeMap<String, (u8, u64, Option<Timestamp>)>,
    lease: NamedLease,
    made: u32,
}

impl Model {
    fn now(&self) -> Timestamp {
        at(self.passed)
    }

    async fn play(&mut self, store: &dyn Store, step: &Step) {
        match step.clone() {
            Step::Enqueue {
                queue,
                conversation,
                due,
                background,
                replaces,
            } => {
                let priority = if background {
                    Priority::Background
                } else {
                    Priority::Interactive
                };
                let item = NewItem {
                    lane: lane(&queue.to_string(), &conversation.to_string()),
                    due: at(due),
                    priority,
                    replaces: replaces.map(|key| key.to_string()),
                    is_awaiting: false,
                    last_failure: background.then(|| "busy".to_owned()),
                    ..an_item("", &self.made.to_string())
                };
                self.enqueue(store, item).await;
            }
            Step::Claim { by, limit, except } => {
                let claim = Claim {
                    limit,
                    lease: std::time::Duration::from_millis(20),
                    except_queues: except.iter().map(u8::to_string).collect(),
                    ..a_claim(&by.to_string(), self.now())
                };
                let expected = self.claim(&claim);
                assert_eq!(store.claim(claim).await.unwrap(), expected);
            }
            Step::Settle { which, by, how, when } => {
                let Some(index) = which.checked_rem(self.items.len()) else {
                    return;
                };
                let id = self.items[index].0.id;
                let settle = a_settlement(how, by, at(when));
                let expected = self.settle(index, &settle);
                let batch = Batch::new(self.now()).settle(id, settle);
                assert_eq!(store.commit(batch).await.unwrap(), expected);
            }
            Step::Write {
                key,
                value,
                expires,
                expected,
            } => {
                let write = RowWrite {
                    space: Space::Home,
                    key: key.to_string(),
                    value: value.map(|value| vec![value].into()),
                    expires: expires.map(at),
                    expected: expected.map_or(Expected::Any, |version| match version {
                        0 => Expected::Absent,
                        version => Expected::Version(version),
                    }),
                };
                let is_done = self.write(&write);
                let mut batch = Batch::new(self.now());
                batch.writes.push(write);
                assert_eq!(store.commit(batch).await.unwrap() == Committed::Done, is_done);
            }
            Step::Lease { by } => {
                let ttl = std::time::Duration::from_millis(20);
                let expected = self.take(by, ttl);
                let by = worker(&by.to_string());
                let leased = store.lease("l", &by, ttl, self.now()).await.unwrap();
                assert_eq!(leased, expected);
            }
            Step::Unlease { by } => {
                self.lease.held = self.lease.held.filter(|(holder, _)| *holder != by);
                store.unlease("l", &worker(&by.to_string())).await.unwrap();
            }
            Step::Fenced { fence, key } => {
                let batch = Batch::new(self.now()).put(Space::Home, key.to_string(), vec![7], None);
                let expected = if fence == self.lease.fence {
                    let version = self.living(&key.to_string()).unwrap_or(0) + 1;
                    self.rows.insert(key.to_string(), (7, version, None));
                    Committed::Done
                } else {
                    Committed::Fenced("l".to_owned())
                };
                assert_eq!(store.commit(batch.under("l", fence)).await.unwrap(), expected);
            }
            Step::Pass { millis } => self.passed += millis,
            Step::Expire { limit } => {
                let now = self.now();
                let gone = |row: &(u8, u64, Option<Timestamp>)| row.2.is_some_and(|expires| expires <= now);
                let expired = self.rows.values().filter(|row| gone(row)).count().min(limit);
                assert_eq!(store.expire(now, limit).await.unwrap(), expired as u64);
                let mut by_expiry: Vec<_> = self.rows.iter().filter(|(_, row)| gone(row)).collect();
                by_expiry.sort_by_key(|(key, row)| (row.2, (*key).clone()));
                let taken: Vec<_> = by_expiry
                    .into_iter()
                    .take(limit)
                    .map(|(key, _)| key.clone())
                    .collect();
                self.rows.retain(|key, _| !taken.contains(key));
            }
        }
    }

    async fn enqueue(&mut self, store: &dyn Store, new: NewItem) {
        self.made += 1;
        if new.replaces.is_some() {
            self.items.retain(|(item, key)| {
                let is_waiting = matches!(item.place, Place::Scheduled { .. });
                !(is_waiting && item.lane == new.lane && *key == new.replaces)
            });
        }
        let batch = Batch::new(self.now()).enqueue(new.clone());
        assert_eq!(store.commit(batch).await.unwrap(), Committed::Done);
        let all = store
            .items(&QueueFilter::default(), None, usize::MAX)
            .await
            .unwrap();
        let item = OutboxItem {
            id: all.last().unwrap().id,
            lane: new.lane,
            priority: new.priority,
            place: Place::Scheduled { due: new.due },
            created: self.now(),
            expires: new.expires,
            attempts: 0,
            unanswered: false,
            last_failure: new.last_failure,
            labels: new.labels,
            body: new.body,
        };
        self.items.push((item, new.replaces));
    }

    fn claim(&mut self, claim: &Claim) -> Vec<OutboxItem> {
        let mut due: Vec<_> = self
            .fronts()
            .filter(|item| !claim.except_queues.contains(&item.lane.queue))
            .collect();
        due.retain(|item| time(&item.place).is_some_and(|time| time <= claim.now));
        due.sort_by_key(|item| (item.priority, time(&item.place), item.id));
        let ids: Vec<ItemId> = due.into_iter().take(claim.limit).map(|item| item.id).collect();
        let mut claimed = Vec::new();
        for id in ids {
            let (item, _) = self.items.iter_mut().find(|(item, _)| item.id == id).unwrap();
            item.attempts += 1;
            item.unanswered |= matches!(item.place, Place::Awaiting { .. });
            item.place = Place::Leased {
                to: claim.by.clone(),
                until: claim.now.plus(claim.lease),
            };
            claimed.push(item.clone());
        }
        claimed
    }

    /// Who may be worked on in each lane.
    fn fronts(&self) -> impl Iterator<Item = &OutboxItem> {
        self.items.iter().map(|(item, _)| item).filter(|item| {
            let of_lane = self.items.iter().filter(|(other, _)| other.lane == item.lane);
            let lane: Vec<_> = of_lane.map(|(other, _)| (other.id, other.place.name())).collect();
            front(&lane) == Some(item.id)
        })
    }

    fn settle(&mut self, index: usize, settle: &Settle) -> Committed {
        let (item, key) = self.items[index].clone();
        let lost = Committed::LeaseLost(item.id);
        let is_mine = |by| matches!(&item.place, Place::Leased { to, .. } if to == by);
        let is_leased = matches!(item.place, Place::Leased { .. });
        let is_awaiting = matches!(item.place, Place::Awaiting { .. });
        let is_stopped = matches!(item.place, Place::Held { .. } | Place::Dead { .. });
        let newer = self.items.iter().any(|(other, other_key)| {
            let is_waiting = matches!(other.place, Place::Scheduled { .. });
            other.id > item.id && is_waiting && other.lane == item.lane && key.is_some() && *other_key == key
        });
        let target = &mut self.items[index].0;
        match settle {
            Settle::Done { by } if is_mine(by) => drop(self.items.remove(index)),
            Settle::Reschedule { by, .. } if is_mine(by) && newer => drop(self.items.remove(index)),
            Settle::Reschedule { by, due, failure } if is_mine(by) => {
                target.place = Place::Scheduled { due: *due };
                target.last_failure = Some(failure.clone());
            }
            Settle::Await { by, until } if is_mine(by) => {
                target.place = Place::Awaiting { until: *until };
            }
            Settle::Bury { by, reason } if is_mine(by) => {
                target.place = Place::Dead {
                    reason: reason.clone(),
                }
            }
            Settle::NotTaken { .. } | Settle::Unsure { .. } if is_awaiting && newer => {
                drop(self.items.remove(index));
            }
            Settle::NotTaken { due, failure } | Settle::Unsure { due, failure } if is_awaiting => {
                target.place = Place::Scheduled { due: *due };
                target.last_failure = Some(failure.clone());
                target.unanswered |= matches!(settle, Settle::Unsure { .. });
            }
            Settle::Answered => drop(self.items.remove(index)),
            Settle::Discard if !is_leased => drop(self.items.remove(index)),
            Settle::Hold { by } if !is_leased => target.place = Place::Held { by: by.clone() },
            Settle::Release { due } if is_stopped => restart(target, *due),
            Settle::Redirect { lane, due } if is_stopped => {
                target.lane = lane.clone();
                restart(target, *due);
            }
            Settle::Done { .. }
            | Settle::Reschedule { .. }
            | Settle::Await { .. }
            | Settle::NotTaken { .. }
            | Settle::Unsure { .. }
            | Settle::Bury { .. }
            | Settle::Discard
            | Settle::Hold { .. }
            | Settle::Release { .. }
            | Settle::Redirect { .. } => return lost,
        }
        Committed::Done
    }

    fn take(&mut self, by: u8, ttl: std::time::Duration) -> Leased {
        let now = self.now();
        let left = |until| now.until(until);
        let living = self
            .lease
            .held
            .filter(|(_, until)| left(*until) > std::time::Duration::ZERO);
        match living {
            Some((holder, until)) if holder != by => {
                return Leased::By {
                    holder: worker(&holder.to_string()),
                    fence: self.lease.fence,
                    left: left(until),
                };
            }
            Some(_) => {}
            None => self.lease.fence += 1,
        }
        self.lease.held = Some((by, now.plus(ttl)));
        Leased::Held {
            fence: self.lease.fence,
        }
    }

    /// The version of a row that has not expired.
    fn living(&self, key: &str) -> Option<u64> {
        let row = self.rows.get(key)?;
        row.2.is_none_or(|expires| expires > self.now()).then_some(row.1)
    }

    fn write(&mut self, write: &RowWrite) -> bool {
        let version = self.living(&write.key);
        let is_expected = match write.expected {
            Expected::Any => true,
            Expected::Absent => version.is_none(),
            Expected::Version(expected) => version == Some(expected),
        };
        if is_expected {
            match &write.value {
                Some(value) => drop(self.rows.insert(
                    write.key.clone(),
                    (value[0], version.unwrap_or(0) + 1, write.expires),
                )),
                None => drop(self.rows.remove(&write.key)),
            }
        }
        is_expected
    }

    async fn compare(&self, store: &dyn Store, step: &Step) {
        let items: Vec<_> = self.items.iter().map(|(item, _)| item.clone()).collect();
        let stored = store
            .items(&QueueFilter::default(), None, usize::MAX)
            .await
            .unwrap();
        assert_eq!(stored, items, "after {step:?}");
        let next = self.fronts().filter_map(|item| time(&item.place)).min();
        assert_eq!(store.next_due().await.unwrap(), next, "after {step:?}");
        let mut counts = store.counts().await.unwrap();
        counts.sort_by_key(|count| (count.queue.clone(), count.place));
        assert_eq!(counts, self.counts(), "after {step:?}");
        let rows = store
            .rows(Space::Home, "", None, usize::MAX, START)
            .await
            .unwrap();
        let rows: Vec<_> = rows
            .into_iter()
            .map(|row| (row.key, (row.value[0], row.version, row.expires)))
            .collect();
        let living = self
            .rows
            .iter()
            .filter(|(_, row)| row.2.is_none_or(|expires| expires > START));
        let expected: Vec<_> = living.map(|(key, row)| (key.clone(), *row)).collect();
        assert_eq!(rows, expected, "after {step:?}");
    }

    fn counts(&self) -> Vec<QueueCount> {
        let mut counts: BTreeMap<(String, PlaceName), (u64, Timestamp)> = BTreeMap::new();
        for (item, _) in &self.items {
            let key = (item.lane.queue.clone(), item.place.name());
            counts.entry(key).or_insert((0, item.created)).0 += 1;
        }
        let counts = counts.into_iter();
        counts
            .map(|((queue, place), (count, oldest))| QueueCount {
                queue,
                place,
                count,
                oldest,
            })
            .collect()
    }
}

fn restart(item: &mut OutboxItem, due: Timestamp) {
    item.place = Place::Scheduled { due };
    item.attempts = 0;
    item.unanswered = false;
}

fn a_settlement(how: u8, by: u8, when: Timestamp) -> Settle {
    let by = worker(&by.to_string());
    match how {
        0 => Settle::Done { by },
        1 => Settle::Reschedule {
            by,
            due: when,
            failure: "busy".to_owned(),
        },
        2 => Settle::Await { by, until: when },
        3 => Settle::Answered,
        4 => Settle::Bury {
            by,
            reason: "no".to_owned(),
        },
        5 => Settle::Hold { by: "noc".to_owned() },
        6 => Settle::Release { due: when },
        7 => Settle::Discard,
        8 => Settle::NotTaken {
            due: when,
            failure: "down".to_owned(),
        },
        9 => Settle::Unsure {
            due: when,
            failure: "reset".to_owned(),
        },
        _ => Settle::Redirect {
            lane: lane("2", "1"),
            due: when,
        },
    }
}

fn time(place: &Place) -> Option<Timestamp> {
    match place {
        Place::Scheduled { due: time }
        | Place::Leased { until: time, .. }
        | Place::Awaiting { until: time } => Some(*time),
        Place::Held { .. } | Place::Dead { .. } => None,
    }
}
