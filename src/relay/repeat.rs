//! Repeats and loops: whether a request, or a message that we sent, was here before.
//!
//! A repeat is answered with the recorded outcome; one that comes while the first is under way waits for it.

use std::collections::BTreeMap;

use super::{
    Ingress, Relay,
    forward::TargetGroup,
    identity::{Progress, Recorded},
    report::Reference,
    send::{damaged, refused_by_store},
};
use crate::{
    model::{Acceptance, RecipientOutcome, Refusal, SendMessage, StepEvent, Stop, WvAddress},
    store::{Space, StoreError},
};

impl Relay {
    /// Begins a request for each person, in the order of their keys and once each, so that two repeats with several
    /// recipients, or one that names somebody in two forms, can't wait for one another.
    pub(super) async fn begin_all(
        &self,
        ingress: &Ingress,
        primitive: &str,
        people: &[WvAddress],
    ) -> Result<BegunAll<'_>, Refusal> {
        let mut by_key = BTreeMap::new();
        for person in people {
            by_key.entry(person.key()).or_insert(person);
        }
        let mut begun = BegunAll::default();
        for person in by_key.into_values() {
            match self.begin(ingress, primitive, person).await? {
                Begun::Fresh(progress) => {
                    begun.under_way.extend(progress);
                    begun.fresh.push(person.clone());
                }
                Begun::Repeat(outcome) => {
                    let text = "a repeat: answered with the recorded outcome".into();
                    ingress
                        .trail
                        .add(self.now(), Stop::Admit, StepEvent::Note { text });
                    begun.repeats.push(RecipientOutcome {
                        recipient: person.clone(),
                        outcome,
                    });
                }
            }
        }
        // The order in which the sender named them.
        let place = |person: &WvAddress| people.iter().position(|one| one == person);
        begun.fresh.sort_by_key(place);
        Ok(begun)
    }

    /// Looks a request up under its identity and begins it when it is new.
    pub(super) async fn begin(
        &self,
        ingress: &Ingress,
        primitive: &str,
        recipient: &WvAddress,
    ) -> Result<Begun<'_>, Refusal> {
        let Some(key) = &ingress.key else {
            return Ok(Begun::Fresh(None));
        };
        let row_key = key.row_key(&ingress.side, primitive, recipient);
        loop {
            match self.in_progress.begin(&row_key) {
                Ok(progress) => {
                    if !self.seen.may_hold(&row_key) {
                        return Ok(Begun::Fresh(Some(progress)));
                    }
                    let recorded = match self.store.row(Space::Seen, &row_key, self.now()).await {
                        // What another node knows can't be asked now; what this one carries was looked at.
                        Err(StoreError::Away { .. }) if ingress.side.is_carried() => None,
                        recorded => recorded.map_err(refused_by_store)?,
                    };
                    return match recorded {
                        Some(row) => {
                            let recorded: Recorded = serde_json::from_slice(&row.value).map_err(damaged)?;
                            Ok(Begun::Repeat(recorded.outcome))
                        }
                        None => Ok(Begun::Fresh(Some(progress))),
                    };
                }
                // The sender is dropped when the first has ended; its outcome is recorded then.
                Err(mut first) => while first.changed().await.is_ok() {},
            }
        }
    }

    /// Whether a message that we sent to this side comes back from it under the ID that we gave it, on its way elsewhere:
    /// a loop whose `Via` was stripped.
    pub(super) async fn has_come_back(
        &self,
        ingress: &Ingress,
        message: &SendMessage,
        group: &TargetGroup,
    ) -> bool {
        let (Some(id), false) = (&message.id, ingress.side.is_home()) else {
            return false;
        };
        if group.target.is_ours() {
            return false;
        }
        for person in &group.people {
            let key = Reference::row_key(ingress.side.domain(), id, person);
            if self.in_progress.has(&key) {
                return true;
            }
            // A store that can't be read is met again at the journal.
            if let Ok(Some(_)) = self.store.row(Reference::SPACE, &key, self.now()).await {
                return true;
            }
        }
        false
    }
}

/// Whether a request is new.
pub(super) enum Begun<'a> {
    /// It is, and under way from now on; without a guard when it has no identity.
    Fresh(Option<Progress<'a>>),
    /// It is not; the recorded outcome.
    Repeat(Result<Acceptance, Refusal>),
}

/// People of one request: those who are new, and those who were answered before.
#[derive(Default)]
pub(super) struct BegunAll<'a> {
    /// New, and under way from now on; in the order of the request.
    pub(super) fresh: Vec<WvAddress>,
    /// Repeats, with the recorded outcome.
    pub(super) repeats: Vec<RecipientOutcome>,
    /// Holds the new ones under way.
    pub(super) under_way: Vec<Progress<'a>>,
}
