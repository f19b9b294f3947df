//! A subscriber's own presence, and single looks at that of others.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    super::{
        HomeDomain, damaged,
        subscriber::{OwnPresence, Subscriber},
        telling::Told,
        text,
    },
    odd_answer,
};
use crate::{
    model::{
        Answer, AttributeName, AttributeValue, Availability, GetPresence, Presence, Refusal, Request,
        WvAddress,
    },
    store::{Batch, Space},
};

impl HomeDomain {
    /// Sets attributes; `None` takes one away. `OnlineStatus` follows from the devices: `false` hides the subscriber,
    /// anything else shows him again.
    ///
    /// # Errors
    /// [`Refusal::BadRequest`] for an attribute that is not set this way, or a value that it can't have.
    pub(crate) async fn set_presence(
        &self,
        subscriber: &Arc<Subscriber>,
        values: BTreeMap<AttributeName, Option<AttributeValue>>,
    ) -> Result<(), Refusal> {
        {
            let _writing = subscriber.writing.lock().await;
            let mut own: OwnPresence = subscriber.state().own.clone();
            for (name, value) in values {
                own.set(name, value)?;
            }
            let value = serde_json::to_vec(&own).map_err(damaged)?;
            let key = format!("presence/{}", subscriber.number);
            self.commit(Batch::new(self.clock.now()).put(Space::Home, key, value, None))
                .await?;
            subscriber.state().own = own;
        }
        self.tell(subscriber, Told::Everybody);
        Ok(())
    }

    /// Looks once at the presence of people, watched or not.
    ///
    /// # Errors
    /// When nobody's can be had.
    pub(crate) async fn presence_of(
        &self,
        subscriber: &Subscriber,
        people: Vec<WvAddress>,
        attributes: Vec<AttributeName>,
    ) -> Result<Vec<(WvAddress, Presence)>, Refusal> {
        let request = Request::GetPresence(GetPresence {
            watcher: subscriber.identity(),
            presentities: people,
            attributes,
        });
        match self.ask(&subscriber.domain, None, request).await? {
            Answer::Presence(values) => Ok(values),
            Answer::Done
            | Answer::Recipients(_)
            | Answer::Sent { .. }
            | Answer::Found(_)
            | Answer::Group(_) => Err(odd_answer()),
        }
    }
}

impl OwnPresence {
    fn set(&mut self, name: AttributeName, value: Option<AttributeValue>) -> Result<(), Refusal> {
        let bad = |reason: &str| {
            Err(Refusal::BadRequest {
                reason: format!("{}: {reason}", name.as_str()),
            })
        };
        if name == AttributeName::OnlineStatus {
            self.is_hidden = value == Some(AttributeValue::Flag(false));
            return Ok(());
        }
        if !SETTABLE.contains(&name) {
            return bad("is not set this way");
        }
        let value = match value {
            None => None,
            Some(AttributeValue::Text(text)) => Some(text::line(&text, MAX_TEXT)),
            Some(AttributeValue::Flag(_) | AttributeValue::Fields(_) | AttributeValue::Empty) => {
                return bad("takes a text");
            }
        };
        let is_known = match (name, value.as_deref()) {
            (AttributeName::UserAvailability, Some(word)) => Availability::named(word).is_some(),
            (AttributeName::StatusMood, Some(word)) => MOODS.contains(&word),
            _ => true,
        };
        if !is_known {
            return bad("has no such value");
        }
        self.presence.set(name, value.map(AttributeValue::Text));
        Ok(())
    }
}

/// Attributes with a text that a person writes himself (SSP reference §10.2).
const SETTABLE: &[AttributeName] = &[
    AttributeName::FreeTextLocation,
    AttributeName::UserAvailability,
    AttributeName::PreferredLanguage,
    AttributeName::StatusText,
    AttributeName::StatusMood,
    AttributeName::Alias,
];

const MOODS: &[&str] = &[
    "HAPPY",
    "SAD",
    "ANGRY",
    "JEALOUS",
    "ASHAMED",
    "INVINCIBLE",
    "IN_LOVE",
    "SLEEPY",
    "BORED",
    "EXCITED",
    "ANXIOUS",
];

/// Characters of a status text.
const MAX_TEXT: usize = 512;
