//! The use cases, one file each: every request, from every side, is admitted, routed, delivered and answered here, once.
//!
//! [`Relay::handle`] is the one way in, [`Egress`] the one way out. What may wait and can't go now is committed to the
//! store and carried on by the outbox (`outbox.rs`).

mod admit;
mod alternatives;
mod attempt;
mod config;
mod contact_added;
mod doubt;
mod egress;
mod expiry;
mod filter;
mod forward;
mod group;
mod holds;
mod identity;
mod ingress;
mod invite;
mod journal;
mod lanes;
mod late;
mod naming;
mod notify;
mod operators;
mod outbox;
mod pace;
mod paces;
mod reassert;
mod repeat;
mod report;
mod search;
mod seen;
mod send;
mod set_back;
mod share;
mod slots;
mod subscribe;
#[cfg(test)]
mod tests;
mod turns;
mod underway;
mod watched;

pub use config::RelayConfig;
pub use egress::{Delivery, Egress, Undelivered};
pub use holds::HeldQueue;
pub use identity::{IdentitySecret, RequestKey};
pub use ingress::{Ingress, Side};
pub use paces::{PaceState, PeerFailure};
pub use share::Share;
pub use underway::{Begun, Underway};

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use self::{
    admit::RateLimits, holds::Holds, identity::InProgress, lanes::WaitingLanes, paces::Paces,
    search::KeptSearches, seen::SeenFilter, turns::Turns, watched::Watched,
};
use crate::{
    agreement::Agreements,
    model::{Answer, Domain, Outcome, Protocol, Request, StepEvent, Stop, Timestamp, TrailRecord},
    routing::Router,
    store::Store,
    telemetry::Clock,
};

/// What a relay is built from.
pub struct RelayParts {
    /// Bounds and times.
    pub config: RelayConfig,
    /// The agreements in force; replaced on reload.
    pub agreements: Arc<ArcSwap<Agreements>>,
    /// Who serves whom.
    pub router: Arc<Router>,
    /// What survives.
    pub store: Arc<dyn Store>,
    /// Whether other nodes write to it too, so that what is not known here may stand there all the same.
    pub shares_store: bool,
    /// The ways out, one a protocol.
    pub egresses: Vec<Arc<dyn Egress>>,
    /// The domains that this gateway serves; the first is its main one.
    pub own: Vec<Domain>,
    /// The time.
    pub clock: Clock,
    /// The key that message IDs on the way out are derived with; the same for all nodes and all times.
    pub secret: IdentitySecret,
    /// Where finished trails go.
    pub trails: Box<dyn Fn(TrailRecord) + Send + Sync>,
}

/// Carries requests from the side they come from to the side that serves the people they name.
pub struct Relay {
    config: RelayConfig,
    agreements: Arc<ArcSwap<Agreements>>,
    router: Arc<Router>,
    store: Arc<dyn Store>,
    shares_store: bool,
    egresses: BTreeMap<Protocol, Arc<dyn Egress>>,
    own: Vec<Domain>,
    clock: Clock,
    secret: IdentitySecret,
    trails: Box<dyn Fn(TrailRecord) + Send + Sync>,
    rates: ArcSwap<RateLimits>,
    paces: Paces,
    holds: Holds,
    in_progress: InProgress,
    seen: SeenFilter,
    searches: KeptSearches,
    waiting: WaitingLanes,
    turns: Turns,
    watched: Watched,
    wake: tokio::sync::Notify,
    /// Requests and attempts.
    underway: Underway,
    /// Whether the outbox begins no more attempts.
    is_ending: watch::Sender<bool>,
}

impl Relay {
    /// Joins the parts. The outbox starts with [`Relay::run_outbox`].
    #[must_use]
    pub fn new(parts: RelayParts) -> Self {
        let rates = ArcSwap::from_pointee(RateLimits::new(&parts.agreements.load()));
        Self {
            config: parts.config,
            agreements: parts.agreements,
            router: parts.router,
            store: parts.store,
            shares_store: parts.shares_store,
            egresses: parts
                .egresses
                .into_iter()
                .map(|egress| (egress.protocol(), egress))
                .collect(),
            own: parts.own,
            clock: parts.clock,
            secret: parts.secret,
            trails: parts.trails,
            rates,
            paces: Paces::default(),
            holds: Holds::default(),
            in_progress: InProgress::default(),
            seen: SeenFilter::default(),
            searches: KeptSearches::new(),
            waiting: WaitingLanes::default(),
            turns: Turns::default(),
            watched: Watched::default(),
            wake: tokio::sync::Notify::new(),
            underway: Underway::default(),
            is_ending: watch::Sender::new(false),
        }
    }

    /// Admits, routes, delivers and answers one request.
    ///
    /// # Errors
    /// The outcome's refusal, with who must act.
    ///
    /// # Cancel safety
    /// Not cancel safe: what was accepted is recorded before the answer, so the caller must wait for it.
    pub async fn handle(&self, ingress: Ingress, request: Request) -> Outcome {
        self.carry(&ingress, &request).await
    }

    /// As [`Relay::handle`], for a listener that needs the request afterwards.
    ///
    /// # Errors
    /// As [`Relay::handle`].
    ///
    /// # Cancel safety
    /// As [`Relay::handle`].
    pub async fn carry(&self, ingress: &Ingress, request: &Request) -> Outcome {
        let _underway = self.underway.begin();
        let outcome = self.admit_and_carry_out(ingress, request).await;
        let now = self.clock.now();
        match &outcome {
            Ok(answer) => {
                for refusal in answer.refusals().take(REFUSALS_TOLD) {
                    tracing::info!(trail = %ingress.trail.id(), from = ingress.side.name(), refusal = refusal.masked(), "recipient refused");
                }
                ingress.trail.add(
                    now,
                    Stop::Answer,
                    StepEvent::Answered {
                        outcome: in_words(answer),
                    },
                );
            }
            Err(refusal) => {
                ingress.trail.add(
                    now,
                    Stop::Answer,
                    StepEvent::Refused {
                        reason: refusal.to_string(),
                    },
                );
                tracing::info!(trail = %ingress.trail.id(), from = ingress.side.name(), refusal = refusal.masked(), "request refused");
            }
        }
        (self.trails)(ingress.trail.record());
        outcome
    }

    /// From now on the outbox begins no attempt; those under way go on. For an orderly end.
    pub fn stop_claiming(&self) {
        self.is_ending.send_replace(true);
    }

    /// Requests and attempts that are under way; for an orderly end, before the store is closed.
    #[must_use]
    pub fn underway(&self) -> &Underway {
        &self.underway
    }

    /// Takes up changed agreements; the rate limits start anew.
    pub fn agreements_changed(&self) {
        self.rates
            .store(Arc::new(RateLimits::new(&self.agreements.load())));
    }

    /// Forgets idle senders' rate limits; called every minute or so.
    pub fn forget_idle(&self) {
        self.rates.load().forget_idle();
    }

    async fn admit_and_carry_out(&self, ingress: &Ingress, request: &Request) -> Outcome {
        admit::admit(ingress, request, &self.own, self.clock.now())?;
        self.rates.load().take(&ingress.side, request)?;
        self.check_store(ingress, request)?;
        self.check_own(ingress, request).await?;
        match request {
            // Messages are nearly all there is; what is rare is boxed, so that it makes no room in every request's future.
            Request::Send(message) => self.send(ingress, message).await,
            Request::Search(search) => Box::pin(self.search(ingress, search.clone())).await,
            Request::StopSearch { by, cursor } => {
                Box::pin(self.stop_search(ingress, by.clone(), cursor.clone())).await
            }
            Request::ContactAdded(notice) => Box::pin(self.contact_added(ingress, notice.clone())).await,
            Request::Subscribe(subscribe) => Box::pin(self.subscribe(ingress, subscribe.clone())).await,
            Request::Unsubscribe(unsubscribe) => {
                Box::pin(self.unsubscribe(ingress, unsubscribe.clone())).await
            }
            Request::GetPresence(get) => Box::pin(self.presence(ingress, get.clone())).await,
            Request::Notify(notification) => Box::pin(self.notify(ingress, notification.clone())).await,
            Request::Report(report) => Box::pin(self.report(ingress, report.clone())).await,
            Request::Invite(invite) => Box::pin(self.invite(ingress, invite.clone())).await,
            Request::InviteAnswer(answer) => Box::pin(self.answer_invite(ingress, answer.clone())).await,
            Request::CancelInvite(cancel) => Box::pin(self.cancel_invite(ingress, cancel.clone())).await,
            Request::Group(group) => Box::pin(self.group(ingress, group.clone())).await,
            Request::GroupEvent(event) => Box::pin(self.group_event(ingress, event.clone())).await,
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay")
            .field("own", &self.own)
            .field("egresses", &self.egresses)
            .finish_non_exhaustive()
    }
}

/// An answer for the trail: what came out, never what was said.
fn in_words(answer: &Answer) -> String {
    match answer {
        Answer::Done => "done".into(),
        Answer::Recipients(recipients) | Answer::Sent { recipients, .. } => {
            let taken = recipients.iter().filter(|one| one.outcome.is_ok()).count();
            let mut words = format!("{taken} of {} accepted", recipients.len());
            for refusal in answer.refusals().take(REFUSALS_TOLD) {
                words.push_str("; ");
                words.push_str(&refusal.to_string());
            }
            words
        }
        Answer::Found(found) => format!("{} found", found.total),
        Answer::Presence(values) => format!("presence of {}", values.len()),
        Answer::Group(_) => "the group answered".into(),
    }
}

/// Refusals of one answer that the trail and the log tell; a message to a thousand strangers is no reason for a thousand lines.
const REFUSALS_TOLD: usize = 4;
