//! What groups tell subscribers who have joined them (SSP reference §12.12, §12.13); groups that nobody joined tell nothing.
//!
//! That somebody is out names only the group on the wire, so a subscriber of a group elsewhere may not be the one who is
//! meant: its server is asked whether he is still in it.

use std::sync::Arc;

use super::{
    super::{
        HomeDomain, KEPT,
        accounts::MAX_NAME,
        arrival::Arriving,
        damaged,
        event::{Event, LeftBecause},
        group::MAX_TOPIC,
        relation::{self, JoinedGroup},
        subscriber::Subscriber,
        text,
    },
    outcome,
};
use crate::{
    model::{Answer, GroupAction, GroupEvent, GroupRefusal, GroupRequest, Refusal, Request, WvAddress},
    store::Batch,
};

impl HomeDomain {
    /// Tells members what happened in a group.
    pub(super) async fn group_happened(&self, event: GroupEvent) -> Answer {
        let mut outcomes = Vec::with_capacity(event.to.len());
        for to in &event.to {
            let told = self.tell_member(&event, to).await;
            outcomes.push(outcome(to.clone(), told));
        }
        Answer::Recipients(outcomes)
    }

    async fn tell_member(&self, event: &GroupEvent, to: &WvAddress) -> Result<(), Refusal> {
        let subscriber = self.recipient(to)?;
        let group = event.group.without_screen_name();
        if !subscriber.state().relations.groups.contains_key(&group.key()) {
            let why = GroupRefusal::NotJoined;
            return Err(Refusal::InGroup { group, why });
        }
        if let Some((status, _)) = &event.removed {
            let why = because(*status);
            if self.hosts(&group) {
                return self.put_out(&subscriber, &group, why).await;
            }
            if let Some(home) = self.me.upgrade() {
                self.errands
                    .run(async move { home.put_out_unless_in(&subscriber, &group, why).await });
            }
            return Ok(());
        }
        let topic = event.group_properties.iter().find(|one| one.name == "Topic");
        let topic = topic.map(|topic| text::line(&topic.value, MAX_TOPIC));
        if let Some(topic) = &topic {
            self.note_topic(&subscriber, &group, topic).await?;
        }
        let event = Event::GroupChange {
            group,
            joined: shown(&event.joined),
            left: shown(&event.left),
            topic,
        };
        subscriber.state().streams.send(None, &Arc::new(event));
        Ok(())
    }

    async fn put_out_unless_in(&self, subscriber: &Arc<Subscriber>, group: &WvAddress, why: LeftBecause) {
        let request = Request::Group(GroupRequest {
            by: subscriber.identity(),
            group: group.clone(),
            action: GroupAction::SubscriptionStatus,
        });
        let outcome = self.ask(&subscriber.domain, None, request).await;
        // Who can't be told now learns it when he writes to the group.
        let is_out = outcome.is_err_and(|refusal| !refusal.is_temporary());
        if !is_out {
            return;
        }
        if let Err(refusal) = self.put_out(subscriber, group, why).await {
            tracing::warn!(
                refusal = refusal.masked(),
                "a subscriber could not be told that he is out of a group"
            );
        }
    }

    /// Takes a subscriber out of a group that does not have him any more, and tells him.
    ///
    /// # Errors
    /// When the store can't be written.
    pub(crate) async fn put_out(
        &self,
        subscriber: &Arc<Subscriber>,
        group: &WvAddress,
        why: LeftBecause,
    ) -> Result<(), Refusal> {
        if !self.forget_group(subscriber, group).await? {
            return Ok(());
        }
        let group = group.clone();
        let event = Event::GroupLeft { group, why };
        let arriving = Arriving::new(subscriber, event, self.clock.now().plus(KEPT));
        self.take_in(vec![arriving]).await.into_iter().collect()
    }

    /// Takes a group off a subscriber's list; whether it was there.
    ///
    /// # Errors
    /// When the store can't be written.
    pub(crate) async fn forget_group(
        &self,
        subscriber: &Subscriber,
        group: &WvAddress,
    ) -> Result<bool, Refusal> {
        let key = group.key();
        let _writing = subscriber.writing.lock().await;
        if !subscriber.state().relations.groups.contains_key(&key) {
            return Ok(false);
        }
        let batch = relation::remove::<JoinedGroup>(Batch::new(self.clock.now()), &subscriber.number, &key);
        self.commit(batch).await?;
        Ok(subscriber.state().relations.groups.remove(&key).is_some())
    }

    /// Puts a group on a subscriber's list, or what is known of it anew.
    ///
    /// # Errors
    /// When the store can't be written.
    pub(crate) async fn keep_group(
        &self,
        subscriber: &Subscriber,
        group: JoinedGroup,
    ) -> Result<(), Refusal> {
        let key = group.address.key();
        let _writing = subscriber.writing.lock().await;
        let batch = relation::put(Batch::new(self.clock.now()), &subscriber.number, &key, &group);
        self.commit(batch.map_err(damaged)?).await?;
        subscriber.state().relations.groups.insert(key, group);
        Ok(())
    }

    async fn note_topic(
        &self,
        subscriber: &Subscriber,
        group: &WvAddress,
        topic: &str,
    ) -> Result<(), Refusal> {
        let known = subscriber.state().relations.groups.get(&group.key()).cloned();
        match known {
            Some(known) if known.topic != topic => {
                let topic = topic.to_owned();
                self.keep_group(subscriber, JoinedGroup { topic, ..known }).await
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Screen names as devices show them.
pub(crate) fn shown(names: &[String]) -> Vec<String> {
    let names = names.iter().take(MAX_NAMES);
    names.map(|name| text::line(name, MAX_NAME)).collect()
}

/// What the status of a removal says.
fn because(status: u16) -> LeftBecause {
    match GroupRefusal::of_status(status) {
        Some(GroupRefusal::Unknown) => LeftBecause::Ended,
        Some(_) | None => LeftBecause::Removed,
    }
}

/// Names of one piece of news that are shown.
const MAX_NAMES: usize = 500;
