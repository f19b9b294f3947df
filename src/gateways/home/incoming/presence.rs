//! Presence for others (use case 5.21), and others' presence for our subscribers.
//!
//! Who is not authorised still becomes a watcher and is told nothing (SSP reference §10.3): an empty notification now,
//! the values once the subscriber allows it. A subscription stays until it is ended; asking again changes nothing but
//! brings a new first notification.

use std::sync::Arc;

use super::{
    super::{
        HomeDomain,
        event::{Event, PresenceView},
        relation::{self, Watcher},
        subscriber::Subscriber,
        telling::Told,
    },
    outcome,
};
use crate::{
    model::{Answer, GetPresence, Outcome, PresenceNotification, Refusal, Subscribe, Unsubscribe, WvAddress},
    store::Batch,
};

impl HomeDomain {
    /// Puts the watcher on the watcher list of each subscriber named (step 4).
    pub(super) async fn watch(&self, subscribe: Subscribe) -> Outcome {
        let mut outcomes = Vec::with_capacity(subscribe.presentities.len());
        for presentity in &subscribe.presentities {
            let result = self.add_watcher(&subscribe, presentity).await;
            outcomes.push(outcome(presentity.clone(), result));
        }
        Ok(Answer::Recipients(outcomes))
    }

    /// Takes the watcher off; an unsubscription of nothing succeeds.
    pub(super) async fn unwatch(&self, unsubscribe: Unsubscribe) -> Outcome {
        let person = self.person(&unsubscribe.watcher);
        let mut outcomes = Vec::with_capacity(unsubscribe.presentities.len());
        for presentity in &unsubscribe.presentities {
            let result = match self.recipient(presentity) {
                Ok(subscriber) => self.remove_watcher(&subscriber, &person).await,
                Err(refusal) => Err(refusal),
            };
            outcomes.push(outcome(presentity.clone(), result));
        }
        Ok(Answer::Recipients(outcomes))
    }

    /// One look; who may see nothing gets an empty presence.
    pub(super) fn presence_for(&self, get: &GetPresence) -> Outcome {
        let person = self.person(&get.watcher);
        let mut values = Vec::with_capacity(get.presentities.len());
        for presentity in &get.presentities {
            let Some(subscriber) = self.active(presentity) else {
                continue;
            };
            let shown = subscriber
                .state()
                .shown_to(&person, &get.attributes, &self.config.public_attributes);
            values.push((presentity.clone(), shown));
        }
        match get.presentities.first() {
            Some(recipient) if values.is_empty() => Err(Refusal::UnknownUser {
                recipient: recipient.clone(),
            }),
            Some(_) | None => Ok(Answer::Presence(values)),
        }
    }

    /// Passes others' presence on to the devices of those who watch them; what nobody asked for is dropped.
    pub(super) fn notified(&self, notification: PresenceNotification) -> Answer {
        for (presentity, presence) in &notification.values {
            let person = self.person(presentity);
            let event = Arc::new(Event::Presence {
                address: presentity.canonical(),
                presence: PresenceView::from(presence),
            });
            for watcher in &notification.watchers {
                let Some(subscriber) = self.active(watcher) else {
                    continue;
                };
                let state = &mut *subscriber.state();
                let is_news = state.relations.known.get(&person) != Some(presence);
                if !is_news || !state.relations.watches(&person) {
                    continue;
                }
                state.relations.known.insert(person.clone(), presence.clone());
                state.streams.send(None, &event);
            }
        }
        Answer::Done
    }

    async fn add_watcher(&self, subscribe: &Subscribe, presentity: &WvAddress) -> Result<(), Refusal> {
        let subscriber = self.recipient(presentity)?;
        let person = self.person(&subscribe.watcher);
        {
            let _writing = subscriber.writing.lock().await;
            let now = self.clock.now();
            let (known, count) = {
                let state = subscriber.state();
                (
                    state.relations.watchers.get(person.as_str()).cloned(),
                    state.relations.watchers.len(),
                )
            };
            if known.is_none() && count >= self.config.limits.watchers {
                return Err(Refusal::QueueFull {
                    queue: format!("watchers of {presentity}"),
                });
            }
            let watcher = Watcher {
                address: subscribe.watcher.clone(),
                attributes: subscribe.attributes.as_slice().into(),
                addressed: presentity.clone(),
                since: known.as_ref().map_or(now, |known| known.since),
                told: None,
            };
            let is_same = known.as_ref().is_some_and(|known| {
                Watcher {
                    told: None,
                    ..Watcher::clone(known)
                } == watcher
            });
            if !is_same {
                let batch = relation::put(Batch::new(now), &subscriber.number, &person, &watcher);
                self.commit(batch.map_err(super::super::damaged)?).await?;
            }
            let state = &mut *subscriber.state();
            state.relations.enter_watcher(&person, watcher);
            if known.is_none() {
                self.tell_of_watcher(state, &person, &subscribe.watcher);
            }
        }
        self.tell(&subscriber, Told::Newcomer(person));
        Ok(())
    }

    /// Tells the subscriber of a new watcher, unless he has switched that off or has him as a contact.
    fn tell_of_watcher(
        &self,
        state: &mut super::super::subscriber::State,
        person: &str,
        address: &WvAddress,
    ) {
        let is_quiet = !state.account.settings.watcher_notices
            || state.relations.contacts.contains_key(person)
            || state.relations.blocks.contains_key(person);
        if is_quiet {
            return;
        }
        let attributes = state
            .allowed(person, &self.config.public_attributes)
            .into_iter()
            .collect();
        let address = address.clone();
        state
            .streams
            .send(None, &Arc::new(Event::Watcher { address, attributes }));
    }

    async fn remove_watcher(&self, subscriber: &Subscriber, person: &str) -> Result<(), Refusal> {
        let _writing = subscriber.writing.lock().await;
        if !subscriber.state().relations.watchers.contains_key(person) {
            return Ok(());
        }
        let batch = relation::remove::<Watcher>(Batch::new(self.clock.now()), &subscriber.number, person);
        self.commit(batch).await?;
        subscriber.state().relations.watchers.remove(person);
        Ok(())
    }
}
