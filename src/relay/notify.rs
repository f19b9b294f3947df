//! Presence notifications: to each watcher at the side that serves him; of what waits, only the newest is kept.

use futures_util::future::join_all;

use super::{
    Ingress, Relay, Undelivered,
    forward::TargetGroup,
    outbox::{Queued, QueuedKind},
    send::refused_by_store,
};
use crate::{
    model::{Answer, Outcome, PresenceNotification, Refusal, Request, StepEvent, Stop, Timestamp, WvAddress},
    routing::RouteService,
    store::{Batch, Lane, NewItem, Priority},
};

impl Relay {
    /// Tells watchers. Nobody waits for the outcome, so what fails for good is only written down.
    pub(super) async fn notify(&self, ingress: &Ingress, notification: PresenceNotification) -> Outcome {
        for part in self.under_asked_names(ingress, notification).await? {
            self.notify_watchers(ingress, part).await?;
        }
        Ok(Answer::Done)
    }

    async fn notify_watchers(
        &self,
        ingress: &Ingress,
        notification: PresenceNotification,
    ) -> Result<(), Refusal> {
        let deadline = self.now().plus(self.config.cut_through);
        let split = self
            .split(ingress, &notification.watchers, RouteService::Pres)
            .await;
        let forward = |group: &TargetGroup| {
            let request = Request::Notify(PresenceNotification {
                watchers: group.people.clone(),
                ..notification.clone()
            });
            let (target, people) = (group.target.clone(), group.people.clone());
            async move {
                (
                    people,
                    target.domain.clone(),
                    self.forward(ingress, &target, request, deadline).await,
                )
            }
        };
        let mut batch = Batch::new(self.now());
        for (people, domain, answer) in join_all(split.groups.iter().map(forward)).await {
            let Err(Undelivered::NotTaken(refusal)) = answer else {
                continue;
            };
            ingress.trail.add(
                self.now(),
                Stop::Deliver,
                StepEvent::Stored {
                    reason: refusal.to_string(),
                },
            );
            for watcher in &people {
                for value in &notification.values {
                    let one = PresenceNotification {
                        watchers: vec![watcher.clone()],
                        values: vec![value.clone()],
                    };
                    let item = self.notification_item(ingress, domain.as_str(), watcher, one, self.now());
                    batch.enqueue.push(item?);
                }
            }
        }
        if !batch.is_empty() {
            self.store.commit(batch).await.map_err(refused_by_store)?;
            self.wake.notify_one();
        }
        Ok(())
    }

    fn notification_item(
        &self,
        ingress: &Ingress,
        queue: &str,
        watcher: &WvAddress,
        notification: PresenceNotification,
        now: Timestamp,
    ) -> Result<NewItem, Refusal> {
        let presentity = notification
            .values
            .first()
            .map(|(presentity, _)| presentity.key())
            .unwrap_or_default();
        let queued = Queued {
            key: None,
            ..Queued::new(ingress, QueuedKind::Waiting, Request::Notify(notification))
        };
        let conversation = format!("presence {presentity}>{}", watcher.key());
        Ok(NewItem {
            lane: Lane {
                queue: queue.to_owned(),
                conversation: conversation.clone(),
            },
            priority: Priority::Background,
            due: self.retry_at(0, now),
            expires: now.plus(self.config.notification_validity),
            replaces: Some(conversation),
            is_awaiting: false,
            labels: vec![watcher.key(), presentity],
            body: queued.to_bytes()?,
        })
    }
}
