//! Telling watchers: who hears what of whose presence, when it changes.
//!
//! One task a subscriber sends notifications, so a newer state never arrives before an older one, and changes that
//! come while it is busy are told once. Watchers who see the same go into one request, which the relay splits by the side
//! that serves them; who would hear what he heard last hears nothing.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use super::{HomeDomain, subscriber::Subscriber};
use crate::model::{Presence, PresenceNotification, Request, WvAddress};

/// Who is to be told.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    /// Everybody to whom something changed.
    Everybody,
    /// This person, if something changed for him.
    Person(String),
    /// This person in any case: he has just subscribed and waits for a first notification.
    Newcomer(String),
}

impl HomeDomain {
    /// Tells watchers as soon as possible.
    pub(crate) fn tell(&self, subscriber: &Arc<Subscriber>, whom: Told) {
        {
            let state = &mut *subscriber.state();
            match whom {
                Told::Everybody => state.telling.everybody = true,
                Told::Person(person) => {
                    state.telling.these.insert(person);
                }
                Told::Newcomer(person) => {
                    if let Some(watcher) = state.relations.watchers.get_mut(person.as_str()) {
                        watcher.told = None;
                    }
                    state.telling.these.insert(person);
                }
            }
            if state.telling.is_running {
                return;
            }
            state.telling.is_running = true;
        }
        let (Some(home), subscriber) = (self.me.upgrade(), Arc::clone(subscriber)) else {
            return;
        };
        self.errands
            .run(async move { home.tell_until_done(&subscriber).await });
    }

    /// Brings what watchers see of being online up to the devices' state.
    pub(crate) fn update_online(&self, subscriber: &Arc<Subscriber>) {
        let now = self.clock.now();
        {
            let state = &mut *subscriber.state();
            let is_online = state.is_online(now, self.config.limits.idle);
            if is_online == state.is_shown_online {
                return;
            }
            state.is_shown_online = is_online;
            if !is_online {
                state.streams.fall_asleep();
            }
        }
        self.tell(subscriber, Told::Everybody);
    }

    async fn tell_until_done(&self, subscriber: &Subscriber) {
        while let Some(notifications) = self.next_notifications(subscriber) {
            for notification in notifications {
                let outcome = self
                    .ask(&subscriber.domain, None, Request::Notify(notification))
                    .await;
                if let Err(refusal) = outcome {
                    tracing::info!(refusal = refusal.masked(), "watchers could not be told");
                }
            }
        }
    }

    /// What is to be sent now; `None` when nothing is left, and then the next change starts a new task.
    fn next_notifications(&self, subscriber: &Subscriber) -> Option<Vec<PresenceNotification>> {
        let state = &mut *subscriber.state();
        let everybody = std::mem::take(&mut state.telling.everybody);
        let these = std::mem::take(&mut state.telling.these);
        if !everybody && these.is_empty() {
            state.telling.is_running = false;
            return None;
        }
        let mut told = Vec::new();
        let mut groups: BTreeMap<(String, String), Group> = BTreeMap::new();
        let wanted = state
            .relations
            .watchers
            .iter()
            .filter(|(person, _)| everybody || these.contains(&***person));
        for (person, watcher) in wanted {
            let presence = state.shown_to(person, &watcher.attributes, &self.config.public_attributes);
            let view = serde_json::to_string(&presence).unwrap_or_default();
            let hash = hash_of(&view);
            if watcher.told == Some(hash) {
                continue;
            }
            told.push((person.clone(), hash));
            let group = groups
                .entry((watcher.addressed.to_string(), view))
                .or_insert_with(|| Group {
                    presentity: watcher.addressed.clone(),
                    presence,
                    watchers: Vec::new(),
                });
            group.watchers.push(watcher.address.clone());
        }
        for (person, hash) in told {
            if let Some(watcher) = state.relations.watchers.get_mut(&*person) {
                watcher.told = Some(hash);
            }
        }
        Some(groups.into_values().flat_map(Group::notifications).collect())
    }
}

/// Watchers who see the same.
struct Group {
    presentity: WvAddress,
    presence: Presence,
    watchers: Vec<WvAddress>,
}

impl Group {
    /// As few notifications as agreements usually let through at once.
    fn notifications(self) -> Vec<PresenceNotification> {
        let values = vec![(self.presentity, self.presence)];
        let chunk = |watchers: &[WvAddress]| PresenceNotification {
            watchers: watchers.to_vec(),
            values: values.clone(),
        };
        self.watchers.chunks(AT_ONCE).map(chunk).collect()
    }
}

fn hash_of(view: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    view.hash(&mut hasher);
    hasher.finish()
}

/// People named in one request: the usual `limits.max_recipients` of an agreement.
pub(crate) const AT_ONCE: usize = 50;
