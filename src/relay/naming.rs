//! Under which names people stand towards a side.
//!
//! ENUM may name a person (`im:alice@op.example`): then the side that serves him knows him by that name, and he goes there
//! under it unless the agreement wants numbers. Everything that comes back is told under the address that was asked for, and
//! so are notices of his presence and his answers to invitations, for which the pair is kept. The other way round, people of
//! ours go out under their user name where the agreement discloses no numbers.

use std::time::Duration;

use super::{
    Ingress, Relay, Side,
    forward::Target,
    report::Reference,
    send::{damaged, refused_by_store},
    subscribe::KeptSubscription,
};
use crate::{
    agreement::Role,
    model::{
        Answer, Domain, Found, MessageId, PresenceNotification, RecipientOutcome, Refusal, Request, Search,
        SearchElement, WvAddress,
    },
    store::{Batch, Space},
};

/// Somebody whom the side that serves him knows by a name of his own.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Alias {
    /// The address that was asked for.
    pub(super) asked: WvAddress,
    /// The name there.
    pub(super) known_as: WvAddress,
}

impl Target {
    /// The name under which the serving side knows a person.
    pub(super) fn known_as<'a>(&'a self, person: &'a WvAddress) -> &'a WvAddress {
        let alias = self.aliases.iter().find(|alias| alias.asked == *person);
        alias.map_or(person, |alias| &alias.known_as)
    }

    /// The request as the serving side understands it, and whom it was for before; nobody when nothing changed.
    pub(super) fn renamed(&self, mut request: Request) -> (Request, Vec<WvAddress>) {
        if self.aliases.is_empty() {
            return (request, Vec::new());
        }
        let asked: Vec<_> = request.recipients().into_iter().cloned().collect();
        for person in request.recipients_mut() {
            *person = self.known_as(person).clone();
        }
        (request, asked)
    }

    /// An answer under the addresses that were asked for.
    pub(super) fn named_back(&self, asked: &[WvAddress], answer: Answer) -> Answer {
        if asked.is_empty() {
            return answer;
        }
        let outcomes = |answer: &Answer| {
            let outcome = |person: &WvAddress| {
                let outcome = answer.for_recipient(self.known_as(person))?.clone();
                Some(RecipientOutcome {
                    recipient: person.clone(),
                    outcome,
                })
            };
            asked.iter().filter_map(outcome).collect()
        };
        match answer {
            Answer::Recipients(_) => Answer::Recipients(outcomes(&answer)),
            Answer::Sent { ref id, .. } => Answer::Sent {
                id: id.clone(),
                recipients: outcomes(&answer),
            },
            Answer::Presence(values) => {
                let name = |who: WvAddress| {
                    let asked = asked.iter().find(|one| self.known_as(one).is_same_as(&who));
                    asked.cloned().unwrap_or(who)
                };
                Answer::Presence(values.into_iter().map(|(who, what)| (name(who), what)).collect())
            }
            other @ (Answer::Done | Answer::Found(_) | Answer::Group(_)) => other,
        }
    }
}

impl Relay {
    /// A request of ours under the sender's user name, where the agreement discloses no numbers. What a server sends by itself
    /// and what answers go out under the address that was asked for.
    pub(super) fn with_disclosed_sender(
        &self,
        ingress: &Ingress,
        target: &Target,
        mut request: Request,
    ) -> Result<Request, Refusal> {
        let agreement = target
            .agreement
            .as_ref()
            .filter(|agreement| agreement.config.role == Role::Partner && !agreement.config.disclose.msisdn);
        let (Some(agreement), true) = (agreement, ingress.side.is_home()) else {
            return Ok(request);
        };
        let service = request.service();
        if let Some(asker) = request.asker_mut()
            && asker.number().is_some()
            && !asker.is_group()
        {
            let Some(name) = self.router.user_name(asker) else {
                return Err(Refusal::NotAgreed {
                    peer: agreement.peer().clone(),
                    service,
                    clause: "disclose.msisdn is false, and the sender is known by number alone".into(),
                });
            };
            *asker = name;
        }
        Ok(request)
    }

    /// What a partner may learn of people of ours whom it did not search for by number.
    pub(super) fn disclosed(&self, ingress: &Ingress, search: &Search, mut found: Found) -> Found {
        let Side::Peer { agreement, .. } = &ingress.side else {
            return found;
        };
        if agreement.config.role == Role::Home || agreement.config.disclose.msisdn {
            return found;
        }
        let is_known = |who: &WvAddress| {
            let digits = who.number().map(ToString::to_string).unwrap_or_default();
            search.pairs.iter().any(|pair| {
                let is_address = matches!(
                    pair.element,
                    SearchElement::UserMobileNumber | SearchElement::UserId
                );
                is_address && pair.text.replace([' ', '-', '.', '(', ')'], "").contains(&digits)
            })
        };
        let as_disclosed = |(who, name): (WvAddress, Option<String>)| {
            if who.number().is_none() || is_known(&who) {
                return Some((who, name));
            }
            Some((self.router.user_name(&who)?, name))
        };
        found.users = found.users.into_iter().filter_map(as_disclosed).collect();
        found
    }

    /// Keeps who is watched or invited under another name, so that what comes later finds the address that was asked for.
    pub(super) async fn keep_aliases(&self, target: &Target, request: &Request) -> Result<(), Refusal> {
        let is_followed = matches!(request, Request::Subscribe(_) | Request::Invite(_));
        let (true, Some(asker)) = (is_followed && !target.aliases.is_empty(), request.sender()) else {
            return Ok(());
        };
        let now = self.now();
        let mut batch = Batch::new(now);
        for alias in &target.aliases {
            let key = alias_key(&target.domain, &alias.known_as, asker);
            let value = serde_json::to_vec(&alias.asked).map_err(damaged)?;
            batch = batch.put(Space::Reference, key, value, Some(now.plus(ALIAS)));
        }
        self.store.commit(batch).await.map_err(refused_by_store)?;
        Ok(())
    }

    /// The address under which somebody of ours asked for a person of this side who speaks under a name now.
    pub(super) async fn asked_name(
        &self,
        ingress: &Ingress,
        person: &WvAddress,
        asker: &WvAddress,
    ) -> Result<Option<WvAddress>, Refusal> {
        if person.number().is_some() {
            return Ok(None);
        }
        let key = alias_key(ingress.side.domain(), person, asker);
        let row = self.store.row(Space::Reference, &key, self.now()).await;
        match row.map_err(refused_by_store)? {
            Some(row) => serde_json::from_slice(&row.value).map(Some).map_err(damaged),
            None => Ok(None),
        }
    }

    /// What a late answer says against a recipient, whom it may name as the serving side knows him.
    pub(super) async fn late_refusal(
        &self,
        (domain, id): (&Domain, &MessageId),
        answer: &Answer,
        recipient: &WvAddress,
    ) -> Option<Refusal> {
        if let Some(outcome) = answer.for_recipient(recipient) {
            return outcome.as_ref().err().cloned();
        }
        let (Answer::Recipients(outcomes)
        | Answer::Sent {
            recipients: outcomes, ..
        }) = answer
        else {
            return None;
        };
        for one in outcomes.iter().filter(|one| one.outcome.is_err()) {
            let key = Reference::row_key(domain, id, &one.recipient);
            let row = self
                .store
                .row(Reference::SPACE, &key, self.now())
                .await
                .ok()
                .flatten();
            let reference = row.and_then(|row| serde_json::from_slice::<Reference>(&row.value).ok());
            if reference.is_some_and(|reference| reference.recipient == *recipient) {
                return one.outcome.as_ref().err().cloned();
            }
        }
        None
    }

    /// A notification as each watcher asked for it; one for all of them unless some asked under another name.
    pub(super) async fn under_asked_names(
        &self,
        ingress: &Ingress,
        notification: PresenceNotification,
    ) -> Result<Vec<PresenceNotification>, Refusal> {
        if notification.values.iter().all(|(who, _)| who.number().is_some()) {
            return Ok(vec![notification]);
        }
        let mut parts: Vec<PresenceNotification> = Vec::new();
        for watcher in notification.watchers {
            let mut values = Vec::with_capacity(notification.values.len());
            for (who, what) in &notification.values {
                let asked = self.asked_name(ingress, who, &watcher).await?;
                if asked.is_none() || self.is_watched(&watcher, who).await? {
                    values.push((who.clone(), what.clone()));
                }
                values.extend(asked.map(|asked| (asked, what.clone())));
            }
            match parts.iter_mut().find(|part| part.values == values) {
                Some(part) => part.watchers.push(watcher),
                None => parts.push(PresenceNotification {
                    watchers: vec![watcher],
                    values,
                }),
            }
        }
        Ok(parts)
    }

    async fn is_watched(&self, watcher: &WvAddress, presentity: &WvAddress) -> Result<bool, Refusal> {
        let key = KeptSubscription::row_key(watcher, presentity);
        let row = self.store.row(Space::Subscription, &key, self.now()).await;
        Ok(row.map_err(refused_by_store)?.is_some())
    }
}

fn alias_key(serving: &Domain, known_as: &WvAddress, asker: &WvAddress) -> String {
    format!("alias {serving} {} {}", known_as.key(), asker.key())
}

/// How long a name is known that nothing renews; subscriptions are asserted daily.
const ALIAS: Duration = Duration::from_secs(30 * 86_400);
