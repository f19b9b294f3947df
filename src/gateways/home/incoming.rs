//! What the relay brings for subscribers.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;

use super::{
    HomeDomain,
    state::{InboxMessage, Watcher},
};
use crate::{
    model::{
        Acceptance, Answer, CancelInvite, ContactAdded, DeliveryReport, Disposition, Found, GetPresence,
        Invite, InviteAnswer, Presence, PresenceNotification, Protocol, RecipientOutcome, Refusal, Request,
        Search, SearchElement, SendMessage, Subscribe, Unsubscribe, WvAddress,
    },
    relay::{Delivery, Egress, Undelivered},
    store::{Batch, Committed, Space},
};

#[async_trait::async_trait]
impl Egress for HomeDomain {
    fn protocol(&self) -> Protocol {
        Protocol::Home
    }

    async fn deliver(&self, delivery: Delivery) -> Result<Answer, Undelivered> {
        let domain = delivery.domain.clone();
        let answer = match delivery.request {
            Request::Search(search) => self.search(&search),
            Request::StopSearch { .. } => Ok(Answer::Done),
            Request::ContactAdded(notice) => Ok(self.contact_added(&notice)),
            Request::Subscribe(subscribe) => self.subscribe(&subscribe).await,
            Request::Unsubscribe(unsubscribe) => self.unsubscribe(&unsubscribe).await,
            Request::GetPresence(get) => self.presence_of(&get),
            Request::Notify(notification) => Ok(self.notified(&notification)),
            Request::Send(message) => self.take_message(&message, &domain).await,
            Request::Report(report) => self.report(&report),
            Request::Invite(invite) => self.invited(&invite),
            Request::InviteAnswer(answer) => self.invite_answered(&answer),
            Request::CancelInvite(cancel) => self.invite_cancelled(&cancel),
            Request::Group(group) => Err(Refusal::NotFound {
                what: format!("the group {}", group.group),
            }),
            Request::GroupEvent(_) => Ok(Answer::Done),
        };
        answer.map_err(|refusal| {
            if matches!(refusal, Refusal::Internal { .. }) {
                Undelivered::NotTaken(refusal)
            } else {
                Undelivered::Refused(refusal)
            }
        })
    }
}

impl HomeDomain {
    fn search(&self, search: &Search) -> Result<Answer, Refusal> {
        let state = self.lock();
        let mut matching: Vec<_> = state
            .subscribers
            .values()
            .filter(|subscriber| {
                search
                    .pairs
                    .iter()
                    .all(|pair| matches(&subscriber.account, pair.element, pair.text.trim()))
            })
            .filter_map(|subscriber| {
                Some((
                    subscriber.account.address().ok()?,
                    Some(subscriber.account.friendly_name.clone()),
                ))
            })
            .collect();
        matching.sort_by_key(|(address, _)| address.key());
        if matching.is_empty()
            && search
                .pairs
                .iter()
                .any(|pair| pair.element == SearchElement::UserMobileNumber)
        {
            let text = search
                .pairs
                .first()
                .map(|pair| pair.text.as_str())
                .unwrap_or_default();
            let recipient = text.parse().map_err(|_| Refusal::NotFound {
                what: text.to_owned(),
            })?;
            return Err(Refusal::UnknownUser { recipient });
        }
        let total = u32::try_from(matching.len()).unwrap_or(u32::MAX);
        matching.truncate(usize::from(search.limit));
        Ok(Answer::Found(Found {
            users: matching,
            groups: Vec::new(),
            total,
            more: None,
        }))
    }

    fn contact_added(&self, notice: &ContactAdded) -> Answer {
        let mut state = self.lock();
        let outcome = |person: &WvAddress| {
            let Some(subscriber) = state.subscriber(person) else {
                return Err(Refusal::UnknownUser {
                    recipient: person.clone(),
                });
            };
            if subscriber.blocked.contains_key(&notice.by.key()) || !subscriber.account.notices {
                // He does not want to hear of it; whoever added him does not learn that.
                return Ok(Acceptance::Taken);
            }
            let name = notice
                .friendly_name
                .clone()
                .unwrap_or_else(|| notice.by.to_string());
            let is_known = subscriber.contacts.contains_key(&notice.by.key());
            subscriber.events.tell(
                "contact-added",
                &json!({
                    "by": notice.by, "friendly_name": notice.friendly_name,
                    "text": format!("{} has added you to a contact list", clean(&name)),
                    "offer_to_add": !is_known,
                }),
            );
            Ok(Acceptance::Taken)
        };
        Answer::Recipients(each(&notice.added, outcome))
    }

    async fn subscribe(&self, subscribe: &Subscribe) -> Result<Answer, Refusal> {
        let watcher = Watcher {
            address: subscribe.watcher.clone(),
            attributes: subscribe.attributes.clone(),
        };
        let key = subscribe.watcher.key();
        let value = serde_json::to_vec(&watcher).map_err(damaged)?;
        let mut batch = Batch::new(self.now());
        let mut notifications = Vec::new();
        let recipients = {
            let mut state = self.lock();
            each(&subscribe.presentities, |person| {
                let Some(subscriber) = state.subscriber(person) else {
                    return Err(Refusal::UnknownUser {
                        recipient: person.clone(),
                    });
                };
                let is_new = subscriber.watchers.insert(key.clone(), watcher.clone()).is_none();
                let row = format!("{} watcher {key}", subscriber.account.number);
                batch = std::mem::take(&mut batch).put(Space::Relation, row, value.clone(), None);
                let public = &self.config.public_attributes;
                let presence = subscriber.presence_for(&watcher.address, &watcher.attributes, public);
                notifications.push((person.clone(), presence, subscriber.account.domain.clone()));
                if is_new {
                    subscriber
                        .events
                        .tell("watcher", &json!({ "address": watcher.address }));
                }
                Ok(Acceptance::Taken)
            })
        };
        batch.now = self.now();
        self.commit(batch).await?;
        for (presentity, presence, domain) in notifications {
            // The first notification may overtake the answer; watchers are ready for that (SSP reference §12.7).
            let watchers = vec![subscribe.watcher.clone()];
            self.send_in_background(
                domain,
                Request::Notify(PresenceNotification {
                    watchers,
                    values: vec![(presentity, presence)],
                }),
            );
        }
        Ok(Answer::Recipients(recipients))
    }

    async fn unsubscribe(&self, unsubscribe: &Unsubscribe) -> Result<Answer, Refusal> {
        let key = unsubscribe.watcher.key();
        let mut batch = Batch::new(self.now());
        {
            let mut state = self.lock();
            for person in &unsubscribe.presentities {
                if let Some(subscriber) = state.subscriber(person) {
                    subscriber.watchers.remove(&key);
                    batch = batch.remove(
                        Space::Relation,
                        format!("{} watcher {key}", subscriber.account.number),
                    );
                }
            }
        }
        self.commit(batch).await?;
        Ok(Answer::Done)
    }

    fn presence_of(&self, get: &GetPresence) -> Result<Answer, Refusal> {
        let mut state = self.lock();
        let mut values: Vec<(WvAddress, Presence)> = Vec::new();
        for person in &get.presentities {
            let Some(subscriber) = state.subscriber(person) else {
                return Err(Refusal::UnknownUser {
                    recipient: person.clone(),
                });
            };
            let public = &self.config.public_attributes;
            values.push((
                person.clone(),
                subscriber.presence_for(&get.watcher, &get.attributes, public),
            ));
        }
        Ok(Answer::Presence(values))
    }

    fn notified(&self, notification: &PresenceNotification) -> Answer {
        let mut state = self.lock();
        for watcher in &notification.watchers {
            let Some(subscriber) = state.subscriber(watcher) else {
                continue;
            };
            for (presentity, presence) in &notification.values {
                // What nobody asked for is ignored (SSP reference §12.8).
                let Some(contact) = subscriber.contacts.get_mut(&presentity.key()) else {
                    continue;
                };
                contact.presence = presence.clone();
                subscriber.events.tell(
                    "presence",
                    &json!({
                        "address": presentity, "pending": presence.is_empty(), "online": presence.online(),
                        "presence": summary(presence),
                    }),
                );
            }
        }
        Answer::Done
    }

    /// Takes a message: the commit to the inbox is the promise; then it is pushed to the devices that listen.
    async fn take_message(
        &self,
        message: &SendMessage,
        domain: &crate::model::Domain,
    ) -> Result<Answer, Refusal> {
        let now = self.now();
        let id = message
            .id
            .clone()
            .or_else(|| super::account::new_token().parse().ok());
        let id = id.ok_or_else(|| Refusal::Internal {
            reason: "no message ID could be made".into(),
        })?;
        let mut outcomes = Vec::with_capacity(message.recipients.len());
        for person in &message.recipients {
            let outcome = self.take_for(message, &id, person, domain, now).await;
            outcomes.push(RecipientOutcome {
                recipient: person.clone(),
                outcome,
            });
        }
        Ok(Answer::Sent {
            id: Some(id),
            recipients: outcomes,
        })
    }

    async fn take_for(
        &self,
        message: &SendMessage,
        id: &crate::model::MessageId,
        person: &WvAddress,
        domain: &crate::model::Domain,
        now: crate::model::Timestamp,
    ) -> Result<Acceptance, Refusal> {
        let text = message.content.as_text().map(str::to_owned);
        let content = text.is_none().then(|| STANDARD.encode(&message.content.bytes));
        let validity = message.validity.unwrap_or(Duration::from_secs(86_400));
        let inbox = InboxMessage {
            id: id.clone(),
            from: message.sender.clone(),
            text,
            media_type: message.content.media_type.to_string(),
            content,
            sent_at: message.sent_at.unwrap_or(now),
            expires: now.plus(validity),
            report_wanted: message.report_wanted,
            domain: domain.clone(),
            taken: false,
        };
        let number = {
            let mut state = self.lock();
            let Some(subscriber) = state.subscriber(person) else {
                return Err(Refusal::UnknownUser {
                    recipient: person.clone(),
                });
            };
            if subscriber.blocked.contains_key(&message.sender.key()) {
                return Err(Refusal::Blocked {
                    recipient: person.clone(),
                });
            }
            if subscriber.inbox.values().filter(|kept| !kept.taken).count() >= self.config.max_inbox {
                return Err(Refusal::QueueFull {
                    queue: format!("inbox of {}", person.masked()),
                });
            }
            subscriber.account.number.clone()
        };
        let value = serde_json::to_vec(&inbox).map_err(damaged)?;
        let row = format!("{number} {id}");
        let batch = Batch::new(now).put_new(Space::Inbox, row, value, Some(now.plus(validity)));
        match self.store.commit(batch).await {
            Ok(Committed::Done) => {}
            // The same message again: it was taken before.
            Ok(Committed::Conflict { .. } | Committed::LeaseLost(_)) => return Ok(Acceptance::Taken),
            Err(error) => {
                return Err(Refusal::Internal {
                    reason: error.to_string(),
                });
            }
        }
        let mut state = self.lock();
        if let Some(subscriber) = state.subscribers.get_mut(&number) {
            subscriber
                .events
                .tell("message", &super::api::message_json(&inbox));
            subscriber.inbox.insert(id.to_string(), inbox);
        }
        Ok(Acceptance::Taken)
    }

    fn report(&self, report: &DeliveryReport) -> Result<Answer, Refusal> {
        let mut state = self.lock();
        let Some(subscriber) = state.subscriber(&report.sender) else {
            return Err(Refusal::UnknownUser {
                recipient: report.sender.clone(),
            });
        };
        let (status, reason) = match &report.disposition {
            Disposition::Delivered => (200, None),
            Disposition::Failed(refusal) => (super::api::imps_status(refusal), Some(refusal.to_string())),
        };
        subscriber.events.tell("report", &json!({
            "message": report.message, "recipient": report.recipient, "delivered": status == 200, "status": status, "reason": reason,
        }));
        Ok(Answer::Done)
    }

    fn invited(&self, invite: &Invite) -> Result<Answer, Refusal> {
        let mut state = self.lock();
        let Some(subscriber) = state.subscriber(&invite.invited) else {
            return Err(Refusal::UnknownUser {
                recipient: invite.invited.clone(),
            });
        };
        if subscriber.blocked.contains_key(&invite.inviting.key()) {
            return Err(Refusal::Blocked {
                recipient: invite.invited.clone(),
            });
        }
        if subscriber.invitations.len() >= MAX_INVITATIONS {
            return Err(Refusal::QueueFull {
                queue: "invitations".into(),
            });
        }
        subscriber
            .invitations
            .insert(invite.id.to_string(), invite.inviting.clone());
        subscriber.events.tell(
            "invitation",
            &json!({
                "id": invite.id, "from": invite.inviting, "note": invite.note.as_deref().map(clean),
            }),
        );
        Ok(Answer::Done)
    }

    fn invite_answered(&self, answer: &InviteAnswer) -> Result<Answer, Refusal> {
        let mut state = self.lock();
        let Some(subscriber) = state.subscriber(&answer.inviting) else {
            return Err(Refusal::UnknownUser {
                recipient: answer.inviting.clone(),
            });
        };
        subscriber.events.tell(
            "invitation-answer",
            &json!({
                "id": answer.id, "by": answer.responding, "accepted": answer.accepted,
                "note": answer.note.as_deref().map(clean),
            }),
        );
        Ok(Answer::Done)
    }

    fn invite_cancelled(&self, cancel: &CancelInvite) -> Result<Answer, Refusal> {
        let mut state = self.lock();
        let Some(subscriber) = state.subscriber(&cancel.canceled) else {
            return Err(Refusal::UnknownUser {
                recipient: cancel.canceled.clone(),
            });
        };
        let is_known = subscriber
            .invitations
            .get(cancel.id.as_str())
            .is_some_and(|by| by.is_same_as(&cancel.canceling));
        if !is_known {
            return Err(Refusal::NotFound {
                what: format!("invitation {}", cancel.id),
            });
        }
        subscriber.invitations.remove(cancel.id.as_str());
        subscriber.events.tell(
            "invitation-cancelled",
            &json!({ "id": cancel.id, "by": cancel.canceling, "note": cancel.note.as_deref().map(clean) }),
        );
        Ok(Answer::Done)
    }

    pub(super) async fn commit(&self, batch: Batch) -> Result<(), Refusal> {
        if batch.is_empty() {
            return Ok(());
        }
        match self.store.commit(batch).await {
            Ok(_) => Ok(()),
            Err(error) => Err(Refusal::Internal {
                reason: error.to_string(),
            }),
        }
    }

    /// Sends a request of the home domain's own accord; its outcome is in its trail.
    pub(super) fn send_in_background(&self, domain: crate::model::Domain, request: Request) {
        let Some(home) = self.this.upgrade() else { return };
        tokio::spawn(async move {
            let _ = home.ask(domain, request, None).await;
        });
    }
}

pub(super) fn summary(presence: &Presence) -> serde_json::Value {
    use crate::model::AttributeName;
    json!({
        "online": presence.online(),
        "availability": presence.availability(),
        "text": presence.text(AttributeName::StatusText).map(clean),
        "mood": presence.text(AttributeName::StatusMood).map(clean),
    })
}

/// Text from elsewhere for a page: control characters are left out.
pub(super) fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(512).collect()
}

#[expect(clippy::needless_pass_by_value, reason = "used as a function in map_err")]
pub(super) fn damaged(error: serde_json::Error) -> Refusal {
    Refusal::Internal {
        reason: error.to_string(),
    }
}

fn each(
    people: &[WvAddress],
    mut outcome: impl FnMut(&WvAddress) -> Result<Acceptance, Refusal>,
) -> Vec<RecipientOutcome> {
    people
        .iter()
        .map(|person| RecipientOutcome {
            recipient: person.clone(),
            outcome: outcome(person),
        })
        .collect()
}

fn matches(account: &Arc<super::account::Account>, element: SearchElement, text: &str) -> bool {
    let has = |value: &str| value.to_lowercase().contains(&text.to_lowercase());
    match element {
        SearchElement::UserMobileNumber => account.number == text.replace([' ', '-', '.', '(', ')'], ""),
        SearchElement::UserId => text.parse::<WvAddress>().is_ok_and(|wanted| {
            let name = format!("{}@{}", account.user.to_lowercase(), account.domain);
            wanted.key() == account.number || wanted.key() == name
        }),
        SearchElement::UserAlias | SearchElement::UserFirstName | SearchElement::UserLastName => {
            has(&account.friendly_name)
        }
        SearchElement::UserEmailAddress
        | SearchElement::UserOnlineStatus
        | SearchElement::GroupId
        | SearchElement::GroupName
        | SearchElement::GroupTopic
        | SearchElement::GroupUserIdJoined
        | SearchElement::GroupUserIdOwner => false,
    }
}

/// Open invitations of one subscriber.
const MAX_INVITATIONS: usize = 100;
