//! What subscribers do: each action becomes a request for the relay, as from any other side.

use std::{sync::Arc, time::Duration};

use ring::digest;
use serde_json::json;

use super::{
    HomeDomain,
    account::new_token,
    incoming::damaged,
    state::{Contact, InboxMessage},
};
use crate::{
    model::{
        Answer, AttributeName, AttributeValue, Availability, ContactAdded, Content, DeliveryReport,
        Disposition, Domain, GetPresence, Invite, InviteAnswer, InviteId, InviteType, MessageId, Outcome,
        Presence, PresenceNotification, Protocol, Refusal, Request, Search, SearchElement, SearchPair,
        SendMessage, StepEvent, Stop, Subscribe, Trail, TrailId, Unsubscribe, WvAddress,
    },
    relay::{Ingress, RequestKey, Side},
    store::{Batch, Space},
};

/// A subscriber who has logged in.
#[derive(Clone, Debug)]
pub(super) struct Who {
    pub(super) number: String,
    pub(super) address: WvAddress,
    pub(super) domain: Domain,
    pub(super) friendly_name: String,
}

/// What a subscriber says of himself; absent parts stay as they are.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OwnPresence {
    pub(super) online: Option<bool>,
    pub(super) availability: Option<Availability>,
    pub(super) text: Option<String>,
    pub(super) mood: Option<String>,
}

impl HomeDomain {
    /// Checks number or user name and password; a token, and everybody on the contact list is subscribed to.
    pub(super) async fn log_in(&self, user: &str, password: &str) -> Result<(String, Who), Refusal> {
        let refused = || Refusal::NotAuthorised {
            recipient: WvAddress::service(nowhere()),
        };
        let account = {
            let state = self.lock();
            let user = user.trim().to_lowercase();
            let number = state.names.get(&user).cloned().unwrap_or(user);
            state
                .subscribers
                .get(&number)
                .map(|subscriber| Arc::clone(&subscriber.account))
        };
        let account = account.ok_or_else(refused)?;
        let (checked, password) = (Arc::clone(&account), password.to_owned());
        // The hash takes milliseconds: off the threads that carry traffic.
        let is_right = tokio::task::spawn_blocking(move || checked.is_password(&password))
            .await
            .unwrap_or(false);
        if !is_right {
            return Err(refused());
        }
        let token = new_token();
        let hash = token_hash(&token);
        let now = self.now();
        let until = now.plus(TOKEN_LIFE);
        let row = format!("token {hash}");
        self.commit(Batch::new(now).put(Space::Home, row, account.number.clone().into_bytes(), Some(until)))
            .await?;
        self.lock().tokens.insert(hash, account.number.clone());
        let who = self.who(&token).ok_or_else(refused)?;
        self.set_presence(
            &who,
            OwnPresence {
                online: Some(true),
                ..OwnPresence::default()
            },
        )
        .await?;
        let contacts: Vec<_> = {
            let state = self.lock();
            let subscriber = state.subscribers.get(&who.number);
            subscriber
                .map(|one| {
                    one.contacts
                        .values()
                        .map(|contact| contact.address.clone())
                        .collect()
                })
                .unwrap_or_default()
        };
        if !contacts.is_empty() {
            let request = Request::Subscribe(Subscribe {
                watcher: who.address.clone(),
                presentities: contacts,
                attributes: Vec::new(),
            });
            self.send_in_background(who.domain.clone(), request);
        }
        Ok((token, who))
    }

    /// Whose token it is.
    pub(super) fn who(&self, token: &str) -> Option<Who> {
        let state = self.lock();
        let number = state.tokens.get(&token_hash(token))?;
        let account = &state.subscribers.get(number)?.account;
        Some(Who {
            number: number.clone(),
            address: account.address().ok()?,
            domain: account.domain.clone(),
            friendly_name: account.friendly_name.clone(),
        })
    }

    /// The token ends, and the subscriber is offline.
    pub(super) async fn log_out(&self, who: &Who, token: &str) -> Result<(), Refusal> {
        let hash = token_hash(token);
        self.commit(Batch::new(self.now()).remove(Space::Home, format!("token {hash}")))
            .await?;
        self.lock().tokens.remove(&hash);
        self.set_presence(
            who,
            OwnPresence {
                online: Some(false),
                ..OwnPresence::default()
            },
        )
        .await
    }

    pub(super) async fn find(&self, who: &Who, number: &str) -> Outcome {
        let request = Request::Search(Search {
            by: who.address.clone(),
            pairs: vec![SearchPair {
                element: SearchElement::UserMobileNumber,
                text: number.to_owned(),
            }],
            limit: 10,
            resume: None,
        });
        self.ask(who.domain.clone(), request, None).await
    }

    /// Use case 5.20: search, add, tell the other side, subscribe; nothing further is asked of the subscriber.
    pub(super) async fn add_contact(
        &self,
        who: &Who,
        person: &str,
        nickname: Option<String>,
    ) -> Result<Contact, Refusal> {
        let (address, friendly_name) = if person.trim_start().starts_with('+') {
            let found = if let Answer::Found(found) = self.find(who, person).await? {
                found.users.into_iter().next()
            } else {
                None
            };
            found.ok_or_else(|| Refusal::NotFound {
                what: person.to_owned(),
            })?
        } else {
            let address: WvAddress =
                person
                    .parse()
                    .map_err(|error: crate::model::InvalidAddress| Refusal::InvalidAddress {
                        address: person.to_owned(),
                        reason: error.to_string(),
                    })?;
            (address, None)
        };
        let address = address.canonical();
        let nickname = nickname
            .map(|name| super::incoming::clean(&name))
            .filter(|name| !name.is_empty());
        let nickname = nickname.or(friendly_name).unwrap_or_else(|| address.to_string());
        let contact = Contact {
            address: address.clone(),
            nickname,
            presence: Presence::default(),
        };
        let key = address.key();
        let value = serde_json::to_vec(&contact).map_err(damaged)?;
        {
            let mut state = self.lock();
            let subscriber = state.subscribers.get_mut(&who.number);
            let subscriber = subscriber.ok_or_else(|| Refusal::NotFound {
                what: "your account".into(),
            })?;
            if subscriber.contacts.len() >= self.config.max_contacts {
                return Err(Refusal::QueueFull {
                    queue: "contact list".into(),
                });
            }
            subscriber.contacts.insert(key.clone(), contact.clone());
            if subscriber.account.grant_to_contacts {
                let granted = subscriber
                    .grants
                    .entry(key.clone())
                    .or_insert_with(|| self.config.public_attributes.clone());
                if !granted.contains(&AttributeName::OnlineStatus) {
                    granted.push(AttributeName::OnlineStatus);
                }
            }
        }
        let row = format!("{} contact {key}", who.number);
        self.commit(Batch::new(self.now()).put(Space::Relation, row, value, None))
            .await?;
        let notice = Request::ContactAdded(ContactAdded {
            by: who.address.clone(),
            friendly_name: Some(who.friendly_name.clone()),
            added: vec![address.clone()],
            text: None,
        });
        // The contact stands whether or not the other side wants to be told.
        let _ = self.ask(who.domain.clone(), notice, None).await;
        self.watch(who, &address).await?;
        Ok(contact)
    }

    /// Use case 5.21.
    pub(super) async fn watch(&self, who: &Who, address: &WvAddress) -> Result<(), Refusal> {
        let request = Request::Subscribe(Subscribe {
            watcher: who.address.clone(),
            presentities: vec![address.clone()],
            attributes: Vec::new(),
        });
        let answer = self.ask(who.domain.clone(), request, None).await?;
        match answer.for_recipient(address) {
            Some(Err(refusal)) => Err(refusal.clone()),
            Some(Ok(_)) | None => Ok(()),
        }
    }

    pub(super) async fn remove_contact(&self, who: &Who, address: &WvAddress) -> Result<(), Refusal> {
        let key = address.key();
        {
            let mut state = self.lock();
            if let Some(subscriber) = state.subscribers.get_mut(&who.number) {
                subscriber.contacts.remove(&key);
            }
        }
        let row = format!("{} contact {key}", who.number);
        self.commit(Batch::new(self.now()).remove(Space::Relation, row))
            .await?;
        let request = Request::Unsubscribe(Unsubscribe {
            watcher: who.address.clone(),
            presentities: vec![address.clone()],
        });
        self.ask(who.domain.clone(), request, None).await.map(|_| ())
    }

    /// Says something of oneself; every watcher is told what he may see.
    pub(super) async fn set_presence(&self, who: &Who, own: OwnPresence) -> Result<(), Refusal> {
        let mut told: Vec<(Vec<WvAddress>, Presence)> = Vec::new();
        {
            let mut state = self.lock();
            let Some(subscriber) = state.subscribers.get_mut(&who.number) else {
                return Ok(());
            };
            let presence = &mut subscriber.presence;
            if let Some(online) = own.online {
                presence.set(AttributeName::OnlineStatus, Some(AttributeValue::Flag(online)));
            }
            if let Some(availability) = own.availability {
                let value = AttributeValue::Text(availability.as_str().into());
                presence.set(AttributeName::UserAvailability, Some(value));
            }
            for (name, text) in [
                (AttributeName::StatusText, own.text),
                (AttributeName::StatusMood, own.mood),
            ] {
                if let Some(text) = text {
                    let text = super::incoming::clean(&text);
                    presence.set(name, (!text.is_empty()).then_some(AttributeValue::Text(text)));
                }
            }
            let public = &self.config.public_attributes;
            for watcher in subscriber.watchers.values() {
                let seen = subscriber.presence_for(&watcher.address, &watcher.attributes, public);
                match told.iter_mut().find(|(_, presence)| *presence == seen) {
                    Some((watchers, _)) => watchers.push(watcher.address.clone()),
                    None => told.push((vec![watcher.address.clone()], seen)),
                }
            }
        }
        for (watchers, presence) in told {
            let values = vec![(who.address.clone(), presence)];
            let request = Request::Notify(PresenceNotification { watchers, values });
            self.send_in_background(who.domain.clone(), request);
        }
        Ok(())
    }

    pub(super) async fn presence(&self, who: &Who, people: Vec<WvAddress>) -> Outcome {
        let request = Request::GetPresence(GetPresence {
            watcher: who.address.clone(),
            presentities: people,
            attributes: Vec::new(),
        });
        self.ask(who.domain.clone(), request, None).await
    }

    /// Use case 5.22.
    pub(super) async fn send_message(
        &self,
        who: &Who,
        id: Option<MessageId>,
        to: Vec<WvAddress>,
        content: Content,
        (report_wanted, validity): (bool, Option<Duration>),
    ) -> Result<(MessageId, Answer), Refusal> {
        let id = id.or_else(|| new_token().parse().ok());
        let id = id.ok_or_else(|| Refusal::Internal {
            reason: "no message ID could be made".into(),
        })?;
        let hash = RequestKey::hash([
            who.number.as_bytes(),
            content.media_type.as_str().as_bytes(),
            &content.bytes,
        ]);
        let key = RequestKey {
            id: format!("{} {id}", who.number),
            is_transaction: false,
            hash,
        };
        let message = SendMessage {
            sender: who.address.clone(),
            recipients: to,
            id: Some(id.clone()),
            report_wanted,
            validity,
            sent_at: Some(self.now()),
            content,
            conversation: None,
        };
        let answer = self
            .ask(who.domain.clone(), Request::Send(message), Some(key))
            .await?;
        Ok((id, answer))
    }

    /// A device has a message: the sender is told, when he asked.
    pub(super) async fn acknowledge(&self, who: &Who, id: &str) -> Result<(), Refusal> {
        let message: InboxMessage = {
            let mut state = self.lock();
            let kept = state
                .subscribers
                .get_mut(&who.number)
                .and_then(|one| one.inbox.get_mut(id));
            let kept = kept.ok_or_else(|| Refusal::NotFound {
                what: format!("message {id}"),
            })?;
            if kept.taken {
                return Ok(());
            }
            kept.taken = true;
            kept.clone()
        };
        let value = serde_json::to_vec(&InboxMessage {
            text: None,
            content: None,
            ..message.clone()
        })
        .map_err(damaged)?;
        let batch = Batch::new(self.now()).put(
            Space::Inbox,
            format!("{} {id}", who.number),
            value,
            Some(message.expires),
        );
        self.commit(batch).await?;
        if message.report_wanted {
            let report = DeliveryReport {
                message: message.id.clone(),
                sender: message.from.clone(),
                recipient: who.address.clone(),
                disposition: Disposition::Delivered,
                at: Some(self.now()),
                losses: Vec::new(),
            };
            self.send_in_background(message.domain, Request::Report(report));
        }
        Ok(())
    }

    pub(super) async fn invite(
        &self,
        who: &Who,
        to: WvAddress,
        note: Option<String>,
    ) -> Result<InviteId, Refusal> {
        let id: InviteId = new_token().parse().map_err(|_| Refusal::Internal {
            reason: "no invitation ID could be made".into(),
        })?;
        let hash = RequestKey::hash([who.number.as_bytes()]);
        let key = RequestKey {
            id: id.to_string(),
            is_transaction: false,
            hash,
        };
        let request = Request::Invite(Invite {
            id: id.clone(),
            kind: InviteType::Chat,
            validity: Some(Duration::from_secs(600)),
            inviting: who.address.clone(),
            invited: to,
            group: None,
            application: None,
            attributes: Vec::new(),
            content_urls: Vec::new(),
            note,
            screen_name: None,
        });
        self.ask(who.domain.clone(), request, Some(key)).await?;
        Ok(id)
    }

    pub(super) async fn answer_invite(
        &self,
        who: &Who,
        id: &str,
        accepted: bool,
        note: Option<String>,
    ) -> Result<(), Refusal> {
        let unknown = || Refusal::NotFound {
            what: format!("invitation {id}"),
        };
        let inviting = {
            let mut state = self.lock();
            let subscriber = state.subscribers.get_mut(&who.number).ok_or_else(unknown)?;
            subscriber.invitations.remove(id).ok_or_else(unknown)?
        };
        let answer = InviteAnswer {
            id: id.parse().map_err(|_| unknown())?,
            accepted,
            inviting,
            responding: who.address.clone(),
            note,
            screen_name: None,
        };
        self.ask(who.domain.clone(), Request::InviteAnswer(answer), None)
            .await
            .map(|_| ())
    }

    pub(super) async fn cancel_invite(&self, who: &Who, id: &str, to: WvAddress) -> Result<(), Refusal> {
        let cancel = crate::model::CancelInvite {
            id: id.parse().map_err(|_| Refusal::NotFound {
                what: format!("invitation {id}"),
            })?,
            canceling: who.address.clone(),
            canceled: to,
            group: None,
            note: None,
            screen_name: None,
        };
        self.ask(who.domain.clone(), Request::CancelInvite(cancel), None)
            .await
            .map(|_| ())
    }

    pub(super) async fn block(
        &self,
        who: &Who,
        address: &WvAddress,
        is_blocked: bool,
    ) -> Result<(), Refusal> {
        let (key, row) = (address.key(), format!("{} block {}", who.number, address.key()));
        let value = serde_json::to_vec(address).map_err(damaged)?;
        {
            let mut state = self.lock();
            let Some(subscriber) = state.subscribers.get_mut(&who.number) else {
                return Ok(());
            };
            if is_blocked {
                subscriber.blocked.insert(key, address.canonical());
            } else {
                subscriber.blocked.remove(&key);
            }
        }
        let batch = Batch::new(self.now());
        let batch = if is_blocked {
            batch.put(Space::Relation, row, value, None)
        } else {
            batch.remove(Space::Relation, row)
        };
        self.commit(batch).await
    }

    pub(super) async fn grant(
        &self,
        who: &Who,
        address: &WvAddress,
        attributes: Vec<AttributeName>,
    ) -> Result<(), Refusal> {
        let row = format!("{} grant {}", who.number, address.key());
        let value = serde_json::to_vec(&attributes).map_err(damaged)?;
        if let Some(subscriber) = self.lock().subscribers.get_mut(&who.number) {
            subscriber.grants.insert(address.key(), attributes);
        }
        self.commit(Batch::new(self.now()).put(Space::Relation, row, value, None))
            .await?;
        self.set_presence(who, OwnPresence::default()).await
    }

    /// Hands a request of a subscriber to the relay.
    pub(super) async fn ask(&self, domain: Domain, request: Request, key: Option<RequestKey>) -> Outcome {
        let Some(relay) = self.relay() else {
            return Err(Refusal::Internal {
                reason: "the gateway is starting or shutting down".into(),
            });
        };
        let now = self.now();
        let trail = Arc::new(Trail::new(TrailId(fastrand::u64(..)), now));
        trail.add(
            now,
            Stop::Listen,
            StepEvent::Received {
                request: request.name().into(),
                service: request.service(),
                from: "home".into(),
                protocol: Protocol::Home.name().into(),
                sender: request.sender().cloned(),
                recipients: request.recipients().into_iter().take(16).cloned().collect(),
            },
        );
        relay
            .handle(
                Ingress {
                    side: Side::Home { domain },
                    protocol: Protocol::Home,
                    key,
                    via: Vec::new(),
                    trail,
                },
                request,
            )
            .await
    }

    /// An event for every device of a subscriber that something of his own changed.
    pub(super) fn tell(&self, who: &Who, kind: &'static str, body: &serde_json::Value) {
        if let Some(subscriber) = self.lock().subscribers.get_mut(&who.number) {
            subscriber.events.tell(kind, &json!(body));
        }
    }
}

fn token_hash(token: &str) -> String {
    digest::digest(&digest::SHA256, token.as_bytes())
        .as_ref()
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect()
}

#[expect(clippy::expect_used, reason = "a literal that is a domain name")]
fn nowhere() -> Domain {
    "login.invalid".parse().expect("a domain name")
}

/// How long a device stays logged in.
const TOKEN_LIFE: Duration = Duration::from_secs(30 * 86_400);
