//! Presence notifications: to each watcher at the side that serves him; of what waits, only the newest is kept.
//!
//! The newest is told last. What is told of one person to one watcher goes one after the other (`turns.rs`): while an
//! earlier notification is under way the next waits for it, and while one waits in the store the next takes its place
//! there.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::{
    Ingress, Relay, Undelivered,
    forward::{Target, TargetGroup},
    lanes::UNROUTED,
    outbox::{Queued, QueuedKind},
    send::refused_by_store,
    turns::Turn,
};
use crate::{
    model::{
        Answer, Domain, Outcome, Presence, PresenceNotification, Refusal, Request, StepEvent, Stop, WvAddress,
    },
    routing::RouteService,
    store::{Batch, Lane, NewItem, Priority},
};

impl Relay {
    /// Tells watchers. Nobody waits for the outcome, so what fails for good is only written down.
    pub(super) async fn notify(&self, ingress: &Ingress, notification: PresenceNotification) -> Outcome {
        // The names are looked up in the order in which notifications came.
        let naming = self
            .turns
            .take(pairs(&notification).map(|pair| format!("names of {pair}")));
        for turn in &naming {
            turn.comes().await;
        }
        let parts = self.under_asked_names(ingress, notification).await?;
        let parts: Vec<_> = parts
            .into_iter()
            .flat_map(|part| by_domain(part, ingress.side.domain()))
            .collect();
        let turns = self.turns.take(parts.iter().flat_map(pairs));
        drop(naming);
        for part in &parts {
            self.notify_watchers(ingress, part, &turns).await?;
        }
        Ok(Answer::Done)
    }

    async fn notify_watchers(
        &self,
        ingress: &Ingress,
        notification: &PresenceNotification,
        turns: &[Turn<'_>],
    ) -> Result<(), Refusal> {
        let split = self
            .split(ingress, &notification.watchers, RouteService::Pres)
            .await;
        let telling = split
            .groups
            .iter()
            .map(|group| self.notify_group(ingress, notification, group, turns));
        let told = join_all(telling).await.into_iter().flatten();
        let unrouted = split.refused.into_iter().filter_map(|one| {
            let refusal = one.outcome.err()?;
            Untold::passing(UNROUTED, &one.recipient, refusal)
        });
        let mut batch = Batch::new(self.now());
        let bounds = split.groups.iter().filter_map(|group| group.target.bound());
        batch.bounds.extend(bounds);
        for untold in told.chain(unrouted) {
            self.keep(&mut batch, ingress, notification, &untold, turns)
                .await?;
        }
        self.commit_outcomes(batch).await.map_err(refused_by_store)?;
        Ok(())
    }

    /// Tells the watchers of one side; returns those whom it must be told later.
    async fn notify_group(
        &self,
        ingress: &Ingress,
        notification: &PresenceNotification,
        group: &TargetGroup,
        turns: &[Turn<'_>],
    ) -> Vec<Untold> {
        let queue = group.target.domain.as_str();
        let (mut free, mut untold) = (Vec::new(), Vec::new());
        for watcher in &group.people {
            match self.standing(notification, watcher, turns).await {
                Standing::Free => free.push(watcher.clone()),
                Standing::Behind => untold.push(Untold::behind(queue, watcher)),
                Standing::Overtaken => {}
            }
        }
        if free.is_empty() {
            return untold;
        }
        let request = |_: &Target| {
            Request::Notify(PresenceNotification {
                watchers: free.clone(),
                values: notification.values.clone(),
            })
        };
        let deadline = self.now().plus(self.config.cut_through);
        let (_, answer) = self
            .forward_or_else(ingress, &group.target, deadline, request)
            .await;
        untold.extend(free.iter().filter_map(|watcher| {
            let refusal = match &answer {
                Ok(answer) => answer.for_recipient(watcher)?.as_ref().err()?.clone(),
                Err(Undelivered::Refused(refusal)) => refusal.clone(),
                Err(Undelivered::NotTaken(refusal)) => {
                    return Some(Untold::later(queue, watcher, refusal));
                }
                // A peer that took the document and says nothing has it.
                Err(Undelivered::Unanswered(_)) => return None,
            };
            Untold::passing(queue, watcher, refusal)
        }));
        untold
    }

    /// Waits for the watcher's turns, and says what is left to do for him then.
    async fn standing(
        &self,
        notification: &PresenceNotification,
        watcher: &WvAddress,
        turns: &[Turn<'_>],
    ) -> Standing {
        let mut standing = Standing::Overtaken;
        for (presentity, _) in &notification.values {
            let conversation = conversation(presentity, watcher);
            if let Some(turn) = turns.iter().find(|turn| turn.conversation() == conversation) {
                turn.comes().await;
                if !turn.is_newest() {
                    continue;
                }
            }
            if self.lane_of(&conversation).await.is_some() {
                return Standing::Behind;
            }
            standing = Standing::Free;
        }
        standing
    }

    /// Queues what one watcher must be told later, person by person, but for what was overtaken meanwhile.
    async fn keep(
        &self,
        batch: &mut Batch,
        ingress: &Ingress,
        notification: &PresenceNotification,
        untold: &Untold,
        turns: &[Turn<'_>],
    ) -> Result<(), Refusal> {
        let reason = untold.reason.clone();
        ingress
            .trail
            .add(batch.now, Stop::Deliver, StepEvent::Stored { reason });
        for value in &notification.values {
            let conversation = conversation(&value.0, &untold.watcher);
            let turn = turns.iter().find(|turn| turn.conversation() == conversation);
            if turn.is_some_and(|turn| !turn.is_newest()) {
                continue;
            }
            let lane = match self.lane_of(&conversation).await {
                Some(lane) => lane,
                None => Lane {
                    queue: untold.queue.clone(),
                    conversation,
                },
            };
            batch
                .enqueue
                .push(self.notification_item(ingress, lane, &untold.watcher, value)?);
        }
        Ok(())
    }

    fn notification_item(
        &self,
        ingress: &Ingress,
        lane: Lane,
        watcher: &WvAddress,
        value: &(WvAddress, Presence),
    ) -> Result<NewItem, Refusal> {
        let now = self.now();
        let one = PresenceNotification {
            watchers: vec![watcher.clone()],
            values: vec![value.clone()],
        };
        let queued = Queued {
            key: None,
            ..Queued::new(ingress, QueuedKind::Waiting, Request::Notify(one))
        };
        Ok(NewItem {
            replaces: Some(lane.conversation.clone()),
            due: self.retry_at(&lane.queue, 0, now),
            lane,
            priority: Priority::Background,
            expires: now.plus(self.config.notification_validity),
            is_awaiting: false,
            last_failure: None,
            labels: vec![watcher.key(), value.0.key()],
            body: queued.to_bytes()?,
        })
    }
}

/// Whether a watcher can be told now.
enum Standing {
    /// Nothing is before it.
    Free,
    /// An earlier notification waits in the store.
    Behind,
    /// A later one follows at once, and says it all.
    Overtaken,
}

/// A watcher who must be told later.
struct Untold {
    /// Where it waits, unless an earlier one does elsewhere.
    queue: String,
    watcher: WvAddress,
    /// Why.
    reason: String,
}

impl Untold {
    fn later(queue: &str, watcher: &WvAddress, refusal: &Refusal) -> Self {
        Self {
            queue: queue.to_owned(),
            watcher: watcher.clone(),
            reason: refusal.to_string(),
        }
    }

    fn behind(queue: &str, watcher: &WvAddress) -> Self {
        Self {
            queue: queue.to_owned(),
            watcher: watcher.clone(),
            reason: "an earlier notification waits".into(),
        }
    }

    /// A refusal that may pass is waited out; any other is nobody's business.
    fn passing(queue: &str, watcher: &WvAddress, refusal: Refusal) -> Option<Self> {
        refusal
            .is_temporary()
            .then(|| Self::later(queue, watcher, &refusal))
    }
}

/// A notification split by the domains of the people that it tells of, because a home server may hear each in a session of its
/// own domain only. A number, like everybody of the side's own domain, is of the side; mostly that is all.
fn by_domain(notification: PresenceNotification, side: &Domain) -> Vec<PresenceNotification> {
    let domain = |(presentity, _): &(WvAddress, Presence)| {
        let named = presentity.domain().filter(|_| presentity.number().is_none());
        named.filter(|named| *named != side).cloned()
    };
    if notification.values.iter().all(|value| domain(value).is_none()) {
        return vec![notification];
    }
    let mut parts: BTreeMap<Option<Domain>, PresenceNotification> = BTreeMap::new();
    for value in notification.values {
        let watchers = || notification.watchers.clone();
        let part = parts
            .entry(domain(&value))
            .or_insert_with(|| PresenceNotification {
                watchers: watchers(),
                values: Vec::new(),
            });
        part.values.push(value);
    }
    parts.into_values().collect()
}

/// The conversations of a notification: what each watcher is told of each person.
fn pairs(notification: &PresenceNotification) -> impl Iterator<Item = String> {
    notification.watchers.iter().flat_map(|watcher| {
        let told = |(presentity, _): &(WvAddress, Presence)| conversation(presentity, watcher);
        notification.values.iter().map(told)
    })
}

fn conversation(presentity: &WvAddress, watcher: &WvAddress) -> String {
    format!("presence {}>{}", presentity.key(), watcher.key())
}
