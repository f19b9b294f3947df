//! What is known in memory of the items in `intake`: who stands at the front of each lane, which labels name what.
//!
//! The writer changes it as it writes, and takes a batch back when the batch is undone. Readers use it to find items, which
//! they then read in a snapshot of their own; so an item that left is found until that is committed.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque, hash_map::RandomState},
    hash::BuildHasher,
    sync::Arc,
};

use crate::store::{Lane, PlaceName, Priority, sqlite::codec};

/// What is known of one item. All of them live: none is held or dead.
#[derive(Clone, Debug)]
pub(in crate::store::sqlite) struct Known {
    pub(in crate::store::sqlite) queue: Arc<str>,
    pub(in crate::store::sqlite) conversation: Arc<str>,
    pub(in crate::store::sqlite) priority: Priority,
    pub(in crate::store::sqlite) place: PlaceName,
    /// When it next needs somebody, as its column says.
    pub(in crate::store::sqlite) at: i64,
    expires: i64,
    /// Who has it, when it is leased.
    pub(in crate::store::sqlite) who: Option<Arc<str>>,
    labels: Arc<[u64]>,
}

impl Known {
    pub(in crate::store::sqlite) fn lane(&self) -> Lane {
        Lane {
            queue: self.queue.as_ref().to_owned(),
            conversation: self.conversation.as_ref().to_owned(),
        }
    }
}

/// Where an item stands.
#[derive(Clone, Debug)]
pub(in crate::store::sqlite) struct Stands {
    pub(in crate::store::sqlite) priority: Priority,
    pub(in crate::store::sqlite) place: PlaceName,
    pub(in crate::store::sqlite) at: i64,
    pub(in crate::store::sqlite) expires: i64,
    pub(in crate::store::sqlite) who: Option<Arc<str>>,
}

/// A front, in the order in which fronts are claimed: its priority, time and identity.
pub(in crate::store::sqlite) type Front = (Priority, i64, i64);

/// The items of `intake`, by what they are looked for.
#[derive(Debug, Default)]
pub(in crate::store::sqlite) struct Index {
    items: BTreeMap<i64, Known>,
    lanes: HashMap<Arc<str>, Vec<LaneOf>>,
    fronts: HashMap<Arc<str>, BTreeSet<Front>>,
    /// The hash of each label, with the item.
    labels: BTreeSet<(u64, i64)>,
    hashes: RandomState,
    /// What items were before they changed, newest last; `None` when they were not there.
    before: Vec<(i64, Option<Known>)>,
    /// Items that left since the last commit.
    leaving: Vec<(i64, Known)>,
}

/// The items of a conversation in one queue, oldest first: the first is the front.
#[derive(Debug)]
struct LaneOf {
    queue: Arc<str>,
    ids: VecDeque<i64>,
}

impl Index {
    pub(in crate::store::sqlite) fn len(&self) -> usize {
        self.items.len()
    }

    pub(in crate::store::sqlite) fn get(&self, id: i64) -> Option<&Known> {
        self.items.get(&id)
    }

    /// An item came.
    pub(in crate::store::sqlite) fn insert<'a>(
        &mut self,
        id: i64,
        lane: &Lane,
        stands: Stands,
        labels: impl IntoIterator<Item = &'a String>,
    ) {
        let labels: Arc<[u64]> = labels.into_iter().map(|label| self.hash(label)).collect();
        let known = Known {
            queue: self.queue(&lane.queue),
            conversation: self.conversation(&lane.conversation),
            priority: stands.priority,
            place: stands.place,
            at: stands.at,
            expires: stands.expires,
            who: stands.who,
            labels,
        };
        self.change(id, Some(known));
    }

    /// An item stands elsewhere now.
    pub(in crate::store::sqlite) fn moved(&mut self, id: i64, place: PlaceName, at: i64, who: Option<&str>) {
        if let Some(known) = self.items.get(&id).cloned() {
            let who = who.map(Arc::from);
            self.change(
                id,
                Some(Known {
                    place,
                    at,
                    who,
                    ..known
                }),
            );
        }
    }

    /// An item left.
    pub(in crate::store::sqlite) fn remove(&mut self, id: i64) {
        self.change(id, None);
    }

    /// How far [`Index::take_back`] must go to undo what comes after.
    pub(in crate::store::sqlite) fn mark(&self) -> usize {
        self.before.len()
    }

    /// Undoes what was changed since the mark.
    pub(in crate::store::sqlite) fn take_back(&mut self, mark: usize) {
        while self.before.len() > mark {
            if let Some((id, known)) = self.before.pop() {
                self.put(id, known);
            }
        }
    }

    /// What was changed is committed.
    pub(in crate::store::sqlite) fn committed(&mut self) {
        self.before.clear();
        for (id, known) in std::mem::take(&mut self.leaving) {
            if !self.items.contains_key(&id) {
                for label in known.labels.iter() {
                    self.labels.remove(&(*label, id));
                }
            }
        }
    }

    /// The items of a lane, oldest first; none when nothing of it is here.
    pub(in crate::store::sqlite) fn lane(&self, lane: &Lane) -> impl Iterator<Item = i64> {
        let lanes = self.lanes.get(lane.conversation.as_str());
        let lane = lanes.and_then(|lanes| lanes.iter().find(|one| *one.queue == *lane.queue));
        lane.into_iter().flat_map(|lane| lane.ids.iter().copied())
    }

    /// The lanes of the oldest items, so many of these.
    pub(in crate::store::sqlite) fn oldest_lanes(&self, count: usize) -> Vec<Lane> {
        self.items.values().take(count).map(Known::lane).collect()
    }

    /// A queue in which something of this conversation waits.
    pub(in crate::store::sqlite) fn waiting_in(&self, conversation: &str) -> Option<&str> {
        let here = self.lanes.get(conversation).and_then(|lanes| lanes.first());
        // A reader can't see yet where it has gone.
        let leaving = || {
            self.leaving
                .iter()
                .find(|(_, known)| *known.conversation == *conversation)
        };
        here.map(|lane| &*lane.queue)
            .or_else(|| leaving().map(|(_, known)| &*known.queue))
    }

    /// The fronts of each queue.
    pub(in crate::store::sqlite) fn fronts(&self) -> impl Iterator<Item = (&str, &BTreeSet<Front>)> {
        self.fronts.iter().map(|(queue, fronts)| (queue.as_ref(), fronts))
    }

    /// When the first front needs somebody, the excepted queues left out.
    pub(in crate::store::sqlite) fn next_due(&self, except: &[String]) -> Option<i64> {
        let is_asked = |queue: &str| !except.iter().any(|except| except == queue);
        let asked = self.fronts().filter(|(queue, _)| is_asked(queue));
        let first_of = |(_, fronts): (&str, &BTreeSet<Front>)| {
            codec::PRIORITIES
                .iter()
                .filter_map(|priority| fronts.range((*priority, i64::MIN, i64::MIN)..).next())
                .map(|(_, at, _)| *at)
                .min()
        };
        let leaving = self.leaving.iter().filter(|(_, known)| is_asked(&known.queue));
        asked
            .filter_map(first_of)
            .chain(leaving.map(|(_, known)| known.at))
            .min()
    }

    /// Items that may have this label.
    pub(in crate::store::sqlite) fn labelled(&self, label: &str) -> Vec<i64> {
        let hash = self.hash(label);
        let found = self.labels.range((hash, i64::MIN)..=(hash, i64::MAX));
        found.map(|(_, id)| *id).collect()
    }

    /// Items that may be too late by then, after this one in the order of expiry and identity.
    pub(in crate::store::sqlite) fn late(&self, by: i64, after: (i64, i64), limit: usize) -> Vec<i64> {
        let items = self
            .items
            .iter()
            .chain(self.leaving.iter().map(|(id, known)| (id, known)));
        let expiries = items.map(|(id, known)| (known.expires, *id));
        let mut late: Vec<_> = expiries.filter(|one| one.0 <= by && *one > after).collect();
        late.sort_unstable();
        late.dedup();
        late.into_iter().map(|(_, id)| id).take(limit).collect()
    }

    /// What is scheduled for later than this: everything, or the fronts of one queue.
    pub(in crate::store::sqlite) fn scheduled_after(&self, at: i64, fronts_of: Option<&str>) -> Vec<i64> {
        let is_later = |known: &Known| known.place == PlaceName::Scheduled && known.at > at;
        let is_later_id = |id: &i64| self.items.get(id).is_some_and(is_later);
        match fronts_of {
            Some(queue) => {
                let fronts = self.fronts.get(queue).into_iter().flatten();
                fronts.map(|(_, _, id)| *id).filter(is_later_id).collect()
            }
            None => self.items.keys().copied().filter(is_later_id).collect(),
        }
    }

    fn change(&mut self, id: i64, new: Option<Known>) {
        let old = self.put(id, new);
        self.before.push((id, old));
    }

    fn put(&mut self, id: i64, new: Option<Known>) -> Option<Known> {
        let old = self.items.remove(&id);
        if let Some(old) = &old {
            self.leave(id, old);
        }
        match (&old, new) {
            (_, Some(new)) => self.enter(id, new),
            (Some(old), None) => self.leaving.push((id, old.clone())),
            (None, None) => {}
        }
        old
    }

    fn enter(&mut self, id: i64, new: Known) {
        self.labels.extend(new.labels.iter().map(|label| (*label, id)));
        let lanes = self.lanes.entry(Arc::clone(&new.conversation)).or_default();
        let index = lanes.iter().position(|lane| lane.queue == new.queue);
        let index = index.unwrap_or_else(|| {
            lanes.push(LaneOf {
                queue: Arc::clone(&new.queue),
                ids: VecDeque::new(),
            });
            lanes.len() - 1
        });
        let Some(lane) = lanes.get_mut(index) else { return };
        let place = lane.ids.partition_point(|other| *other < id);
        let displaced = lane.ids.front().copied();
        lane.ids.insert(place, id);
        if place == 0 {
            let fronts = self.fronts.entry(Arc::clone(&new.queue)).or_default();
            if let Some((other, known)) = displaced.and_then(|other| Some((other, self.items.get(&other)?))) {
                fronts.remove(&(known.priority, known.at, other));
            }
            fronts.insert((new.priority, new.at, id));
        }
        self.items.insert(id, new);
    }

    fn leave(&mut self, id: i64, old: &Known) {
        let Some(lanes) = self.lanes.get_mut(&old.conversation) else {
            return;
        };
        let Some(index) = lanes.iter().position(|lane| lane.queue == old.queue) else {
            return;
        };
        let Some(lane) = lanes.get_mut(index) else { return };
        let was_front = lane.ids.front() == Some(&id);
        let place = lane.ids.partition_point(|other| *other < id);
        lane.ids.remove(place);
        let next = lane.ids.front().copied();
        if lane.ids.is_empty() {
            lanes.swap_remove(index);
        }
        if lanes.is_empty() {
            self.lanes.remove(&old.conversation);
        }
        if !was_front {
            return;
        }
        if let Some(fronts) = self.fronts.get_mut(&old.queue) {
            fronts.remove(&(old.priority, old.at, id));
            if let Some((next, known)) = next.and_then(|next| Some((next, self.items.get(&next)?))) {
                fronts.insert((known.priority, known.at, next));
            }
            if fronts.is_empty() {
                self.fronts.remove(&old.queue);
            }
        }
    }

    fn hash(&self, label: &str) -> u64 {
        self.hashes.hash_one(label)
    }

    /// The name that its other items share.
    fn queue(&self, queue: &str) -> Arc<str> {
        let shared = self
            .fronts
            .get_key_value(queue)
            .map(|(shared, _)| Arc::clone(shared));
        shared.unwrap_or_else(|| queue.into())
    }

    fn conversation(&self, conversation: &str) -> Arc<str> {
        let shared = self
            .lanes
            .get_key_value(conversation)
            .map(|(shared, _)| Arc::clone(shared));
        shared.unwrap_or_else(|| conversation.into())
    }
}
