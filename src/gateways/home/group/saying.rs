//! What a group says to its members: messages, and news of who came and went.
//!
//! Each saying is a row from the commit that made it until the relay has it (`Space::Home`, key `saying/number/name/id`), so
//! a message that a group accepted survives a crash, and the relay recognises what it was handed before. One task a group
//! hands them over in order; an operator who can't be reached gets messages by the relay's own queue. News of who came and
//! went is tried once (SSP reference §14, 17); that somebody is out is tried for a day.

use std::{
    collections::{HashMap, VecDeque},
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    super::{
        HomeDomain, KEPT,
        arrival::identity,
        damaged,
        inbox::{OwedReport, ReportDue, report},
        incoming::new_message_id,
        text,
    },
    Group,
};
use crate::{
    model::{
        Answer, Disposition, Domain, GroupEvent, GroupRefusal, MessageId, RecipientOutcome, Refusal, Request,
        SendMessage, Timestamp, WvAddress,
    },
    relay::RequestKey,
    store::{Batch, Row, Space},
};

/// What the groups have to say, by the group's key.
pub(crate) type Sayings = HashMap<String, Queue>;

/// What one group has to say, in order.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: VecDeque<Saying>,
    is_running: bool,
}

/// Something that a group says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Say {
    /// To each recipient.
    Message {
        message: SendMessage,
        /// What its sender wants to know.
        report: Option<ReportDue>,
    },
    /// To each member who is told.
    News(GroupEvent),
}

/// As it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Saying {
    #[serde(skip)]
    row: String,
    /// The group's key.
    group: String,
    /// The domain of ours in whose name it goes out; the group may be gone by then.
    domain: Domain,
    at: Timestamp,
    /// When it is worth trying.
    due: Timestamp,
    say: Say,
}

impl Saying {
    /// Adds its row to a batch.
    pub(super) fn write(&self, batch: Batch) -> Result<Batch, Refusal> {
        let value = serde_json::to_vec(self).map_err(damaged)?;
        Ok(batch.put(Space::Home, &self.row, value, Some(self.at.plus(KEPT))))
    }
}

/// What became of a saying.
enum Said {
    /// The relay has it, or it is of no use any more.
    Done,
    /// Our own side can't; it stays where it is.
    NotYet,
    /// These have not heard it, and must.
    Again(Vec<WvAddress>),
}

impl HomeDomain {
    /// Takes a message for a group, or for one participant of it: it is committed, and goes out to who is there.
    ///
    /// # Errors
    /// When there is no such group or participant, the sender has not joined, or there are too many.
    pub(crate) async fn post(
        &self,
        message: &SendMessage,
        to: &WvAddress,
        (id, has_own_id): (&MessageId, bool),
    ) -> Result<(), Refusal> {
        let group = self.group(to)?;
        let now = self.clock.now();
        let person = self.person(&message.sender);
        if let Some(words) = message.content.as_text() {
            text::message(words)?;
        }
        let (sender, recipients) = {
            let state = group.state();
            let joined = state.joined(&person).map_err(|why| group.refuses(why))?;
            let sender = participant(&state.address, &joined.screen_name)?;
            let is_meant = |name: &str| {
                to.screen_name()
                    .is_none_or(|wanted| wanted.to_lowercase() == name.to_lowercase())
            };
            let others = state.everybody().filter(|(other, _, joined)| {
                (**other != person || to.screen_name().is_some()) && is_meant(&joined.screen_name)
            });
            let others: Vec<_> = others.map(|(_, member, _)| member.address.clone()).collect();
            (sender, others)
        };
        if to.screen_name().is_some() && recipients.is_empty() {
            return Err(group.refuses(GroupRefusal::NoParticipant));
        }
        let is_open = |member: &WvAddress| !self.is_blocked_by(member, &person);
        let recipients: Vec<_> = recipients.into_iter().filter(is_open).collect();
        group.take_turn(now)?;
        let waiting = self
            .sayings()
            .get(&group.key)
            .map_or(0, |queue| queue.waiting.len());
        if waiting >= self.config.limits.group_queue {
            return Err(Refusal::QueueFull {
                queue: format!("group {}", group.address.masked()),
            });
        }
        let report = message.report_wanted.then(|| ReportDue {
            message: id.clone(),
            sender: message.sender.clone(),
            recipient: to.clone(),
        });
        let say = Say::Message {
            message: SendMessage {
                sender,
                recipients,
                id: Some(new_message_id()?),
                report_wanted: false,
                sent_at: message.sent_at.or(Some(now)),
                ..message.clone()
            },
            report,
        };
        let owner = group.state().owner.clone();
        let repeat = identity(
            &owner,
            &format!("group-message {}", to.key()),
            &person,
            id.as_str(),
        );
        self.commit_post(&group, say, has_own_id.then_some(repeat.as_str()))
            .await
    }

    /// Whether a member who lives here accepts nothing from a person.
    fn is_blocked_by(&self, member: &WvAddress, person: &str) -> bool {
        self.active(member)
            .is_some_and(|member| member.state().relations.blocks.contains_key(person))
    }

    /// Sayings of a group with the rows that they will have.
    pub(super) fn written(&self, group: &Group, said: Vec<Say>, now: Timestamp) -> Vec<Saying> {
        let Some(domain) = group.address.domain() else {
            return Vec::new();
        };
        let saying = |say| Saying {
            row: format!("saying/{}/{:020}", group.key, self.next_id(now)),
            group: group.key.clone(),
            domain: domain.clone(),
            at: now,
            due: now,
            say,
        };
        said.into_iter().map(saying).collect()
    }

    /// Queues sayings whose rows are committed.
    pub(super) fn say_soon(&self, sayings: Vec<Saying>) {
        let Some(key) = sayings.first().map(|first| first.group.clone()) else {
            return;
        };
        self.sayings()
            .entry(key.clone())
            .or_default()
            .waiting
            .extend(sayings);
        self.start_saying(key);
    }

    /// Starts what is due and nobody is at: after a restart, or when the store could not be written.
    pub(crate) fn say_due(&self) {
        let now = self.clock.now();
        let is_due = |queue: &Queue| !queue.is_running && queue.waiting.iter().any(|one| one.due <= now);
        let due: Vec<_> = {
            let sayings = self.sayings();
            let due = sayings.iter().filter(|(_, queue)| is_due(queue));
            due.map(|(key, _)| key.clone()).collect()
        };
        for key in due {
            self.start_saying(key);
        }
    }

    fn start_saying(&self, key: String) {
        let Some(home) = self.me.upgrade() else { return };
        {
            let mut sayings = self.sayings();
            let Some(queue) = sayings.get_mut(&key).filter(|queue| !queue.is_running) else {
                return;
            };
            queue.is_running = true;
        }
        self.errands.run(async move { home.say_all(&key).await });
    }

    async fn say_all(&self, key: &str) {
        while let Some(saying) = self.next_saying(key) {
            let said = self.say(&saying).await;
            if !self.settle_saying(key, saying, said).await {
                if let Some(queue) = self.sayings().get_mut(key) {
                    queue.is_running = false;
                }
                return;
            }
        }
    }

    /// The first that is due; `None` ends the task, and then the next one starts another.
    fn next_saying(&self, key: &str) -> Option<Saying> {
        let now = self.clock.now();
        let mut sayings = self.sayings();
        let queue = sayings.get_mut(key)?;
        let next = queue.waiting.iter().find(|one| one.due <= now).cloned();
        if next.is_none() {
            queue.is_running = false;
            if queue.waiting.is_empty() {
                sayings.remove(key);
            }
        }
        next
    }

    async fn say(&self, saying: &Saying) -> Said {
        match &saying.say {
            Say::Message { message, report } => self.say_message(saying, message, report.as_ref()).await,
            Say::News(event) => self.say_news(saying, event).await,
        }
    }

    async fn say_message(&self, saying: &Saying, message: &SendMessage, due: Option<&ReportDue>) -> Said {
        let mut outcomes: Vec<RecipientOutcome> = Vec::with_capacity(message.recipients.len());
        let key = RequestKey {
            // The row names it, so that the relay recognises what it was handed before a crash.
            id: saying.row.clone(),
            is_transaction: false,
            hash: [0; 16],
        };
        for people in message.recipients.chunks(super::super::telling::AT_ONCE) {
            let request = Request::Send(SendMessage {
                recipients: people.to_vec(),
                ..message.clone()
            });
            match self.ask(&saying.domain, Some(key.clone()), request).await {
                Ok(Answer::Sent { recipients, .. } | Answer::Recipients(recipients)) => {
                    outcomes.extend(recipients);
                }
                Ok(Answer::Done | Answer::Found(_) | Answer::Presence(_) | Answer::Group(_)) => {}
                Err(refusal) if refusal.is_temporary() => return Said::NotYet,
                Err(refusal) => {
                    tracing::info!(
                        refusal = refusal.masked(),
                        "a message to a group could not go out"
                    );
                    outcomes.extend(people.iter().map(|person| RecipientOutcome {
                        recipient: person.clone(),
                        outcome: Err(refusal.clone()),
                    }));
                }
            }
        }
        for one in &outcomes {
            if let Err(refusal) = &one.outcome
                && is_gone(refusal)
            {
                self.let_go(&saying.group, &one.recipient).await;
            }
        }
        if let Some(due) = due {
            self.owe_group_report(saying, due, &outcomes).await;
        }
        Said::Done
    }

    async fn say_news(&self, saying: &Saying, event: &GroupEvent) -> Said {
        let request = Request::GroupEvent(event.clone());
        let outcome = self.ask(&saying.domain, None, request).await;
        let is_of_use = event.removed.is_some() && saying.at.until(self.clock.now()) < TOLD_FOR;
        match outcome {
            Ok(answer) => {
                let is_missed = |one: &&WvAddress| {
                    let outcome = answer.for_recipient(one);
                    outcome.is_some_and(|outcome| outcome.as_ref().is_err_and(Refusal::is_temporary))
                };
                let missed: Vec<_> = event.to.iter().filter(is_missed).cloned().collect();
                if missed.is_empty() || !is_of_use {
                    return Said::Done;
                }
                Said::Again(missed)
            }
            Err(refusal) if refusal.is_temporary() && is_of_use => Said::Again(event.to.clone()),
            Err(refusal) => {
                tracing::info!(refusal = refusal.masked(), "news of a group could not be told");
                Said::Done
            }
        }
    }

    /// A member whose side says that he is not there any more has left.
    async fn let_go(&self, key: &str, address: &WvAddress) {
        let Some(group) = self.groups().get(key).cloned() else {
            return;
        };
        let person = self.person(address);
        if let Err(refusal) = self.leave_group_of_ours(&group, &person).await {
            tracing::info!(
                refusal = refusal.masked(),
                "a member who is gone stays in a group"
            );
        }
    }

    /// The sender is told once the message is on its way to everybody: delivered when anybody has it or will.
    async fn owe_group_report(&self, saying: &Saying, due: &ReportDue, outcomes: &[RecipientOutcome]) {
        let mut refused = outcomes.iter().map(|one| one.outcome.as_ref().err());
        let disposition = match refused.next().flatten() {
            Some(first) if refused.all(|one| one.is_some()) => Disposition::Failed(first.clone()),
            Some(_) | None => Disposition::Delivered,
        };
        let now = self.clock.now();
        let owed = OwedReport {
            due: due.clone(),
            disposition,
            at: now,
        };
        let owner = saying
            .group
            .split('/')
            .next()
            .and_then(|number| number.parse().ok());
        let owner = owner.and_then(|number| self.subscriber(&WvAddress::msisdn(number)));
        let Some(owner) = owner else {
            let request = Request::Report(report(&owed));
            if let Err(refusal) = self.ask(&saying.domain, None, request).await {
                tracing::info!(refusal = refusal.masked(), "a delivery report was refused");
            }
            return;
        };
        let key = format!("report/{}/{:020}", owner.number, self.next_id(now));
        let Ok(value) = serde_json::to_vec(&owed) else {
            return;
        };
        let batch = Batch::new(now).put(Space::Home, &key, value, Some(now.plus(KEPT)));
        if let Err(refusal) = self.commit(batch).await {
            tracing::warn!(
                refusal = refusal.masked(),
                "a delivery report of a group could not be kept"
            );
        }
        self.owe(&owner, key, owed);
    }

    /// Takes a saying out of its queue, or puts it back; `false` when the store can't be written now.
    async fn settle_saying(&self, key: &str, saying: Saying, said: Said) -> bool {
        let now = self.clock.now();
        let later = match said {
            Said::NotYet => return false,
            Said::Done => None,
            Said::Again(missed) => Some(later(&saying, missed, now)),
        };
        let batch = match &later {
            None => Ok(Batch::new(now).remove(Space::Home, &saying.row)),
            Some(later) => later.write(Batch::new(now)),
        };
        let committed = match batch {
            Ok(batch) => self.commit(batch).await,
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = committed {
            tracing::warn!(refusal = refusal.masked(), "what a group said stays in the store");
            return false;
        }
        if let Some(queue) = self.sayings().get_mut(key) {
            match later {
                None => queue.waiting.retain(|one| one.row != saying.row),
                Some(later) => {
                    let old = queue.waiting.iter_mut().find(|one| one.row == later.row);
                    if let Some(old) = old {
                        *old = later;
                    }
                }
            }
        }
        true
    }

    fn sayings(&self) -> MutexGuard<'_, Sayings> {
        self.sayings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes in a row at the start; `false` when it can't be read.
pub(crate) fn load_saying(home: &HomeDomain, row: &Row) -> bool {
    let Ok(mut saying) = serde_json::from_slice::<Saying>(&row.value) else {
        return false;
    };
    row.key.clone_into(&mut saying.row);
    let mut sayings = home.sayings();
    let queue = sayings.entry(saying.group.clone()).or_default();
    queue.waiting.push_back(saying);
    true
}

/// The same for those who have not heard it.
fn later(saying: &Saying, missed: Vec<WvAddress>, now: Timestamp) -> Saying {
    let say = match &saying.say {
        Say::News(event) => Say::News(GroupEvent {
            to: missed,
            ..event.clone()
        }),
        message @ Say::Message { .. } => message.clone(),
    };
    Saying {
        due: now.plus(TOLD_AGAIN),
        say,
        ..saying.clone()
    }
}

/// Whether a side says that the person is not there, or is nobody.
fn is_gone(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::UnknownUser { .. }) || refusal.of_group() == Some(GroupRefusal::NotJoined)
}

/// A participant's address; a screen name was checked when he joined.
fn participant(group: &WvAddress, name: &str) -> Result<WvAddress, Refusal> {
    group.participant(name).map_err(|error| Refusal::InvalidAddress {
        address: group.to_string(),
        reason: error.to_string(),
    })
}

/// How long somebody who is out is told so again, when his operator can't be reached.
const TOLD_FOR: Duration = Duration::from_secs(86_400);
const TOLD_AGAIN: Duration = Duration::from_secs(60);
