//! Admission: what the agreement says before anything is looked up.
//!
//! Every refusal names the clause. Subscribers of the embedded home domain were authenticated by it; they pass the
//! same checks of size and wildcards, not those of an agreement.

use std::{collections::HashMap, num::NonZeroU32, time::Duration};

use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::{Ingress, Relay, Side, forward::refusal_of};
use crate::{
    agreement::{Agreements, InterconnectionAgreement, Role},
    model::{
        Content, Direction, Domain, LocalPart, PeerName, Refusal, Request, Search, SearchElement, StepEvent,
        Stop, Timestamp, WvAddress,
    },
    routing::Holder,
};

/// Checks a request against the side it came from.
///
/// # Errors
/// The refusal, naming the clause.
pub(super) fn admit(
    ingress: &Ingress,
    request: &Request,
    own: &[Domain],
    now: Timestamp,
) -> Result<(), Refusal> {
    check_via(&ingress.via, own)?;
    if let Request::Search(search) = request {
        check_search(search)?;
    }
    let Side::Peer {
        agreement, domain, ..
    } = &ingress.side
    else {
        return Ok(());
    };
    check_service(agreement, request, Direction::In)?;
    check_senders(agreement, domain, request)?;
    check_size(agreement, request)?;
    let list = if is_answer(request) {
        "services.out"
    } else {
        "services.in"
    };
    let (peer, service) = (agreement.peer().as_str(), request.service().name());
    let clause = [
        list,
        " of ",
        peer,
        " has ",
        service,
        "; sender is of ",
        domain.as_str(),
    ]
    .concat();
    ingress.trail.add(now, Stop::Admit, StepEvent::Checked { clause });
    Ok(())
}

/// Checks a request against the agreement with the side it goes to.
///
/// # Errors
/// The refusal, naming the clause.
pub(super) fn admit_outbound(agreement: &InterconnectionAgreement, request: &Request) -> Result<(), Refusal> {
    check_service(agreement, request, Direction::Out)?;
    check_size(agreement, request)
}

impl Relay {
    /// Nobody outside speaks in the name of our people: a number that is ours today is refused whatever domain the peer
    /// writes after it. Names and groups belong to the domain in them, which [`admit`] has checked.
    pub(super) async fn check_own(&self, ingress: &Ingress, request: &Request) -> Result<(), Refusal> {
        if ingress.side.is_home() {
            return Ok(());
        }
        for sender in senders(request) {
            let Some(number) = sender.number().filter(|_| !sender.is_group()) else {
                continue;
            };
            let holder = self.router.holder(number, self.now()).await;
            let is_ours = match holder.map_err(|failure| refusal_of(sender, failure))? {
                Holder::Us => true,
                Holder::Peer(peer) => {
                    let agreements = self.agreements.load();
                    let agreement = agreements.for_peer(&peer);
                    agreement.is_some_and(|agreement| agreement.config.role == Role::Home)
                }
                Holder::Others => false,
            };
            if is_ours {
                return Err(Refusal::ForeignSender {
                    sender: sender.clone(),
                    domain: ingress.side.domain().clone(),
                });
            }
        }
        Ok(())
    }
}

/// The rate limits of all agreements: one bucket a peer, one a sender.
pub(super) struct RateLimits {
    peers: HashMap<PeerName, PeerRates>,
}

struct PeerRates {
    all: DefaultDirectRateLimiter,
    senders: DefaultKeyedRateLimiter<String>,
}

impl RateLimits {
    /// Fresh, full buckets for every agreement.
    pub(super) fn new(agreements: &Agreements) -> Self {
        let rates = |agreement: &InterconnectionAgreement| {
            let limits = &agreement.config.limits;
            let all = Quota::per_second(at_least_one(limits.requests_per_second))
                .allow_burst(at_least_one(limits.burst.max(limits.requests_per_second)));
            let sender = Quota::per_minute(at_least_one(limits.sender_per_minute));
            PeerRates {
                all: RateLimiter::direct(all),
                senders: RateLimiter::keyed(sender),
            }
        };
        let peers = agreements
            .all()
            .iter()
            .map(|one| (one.peer().clone(), rates(one)))
            .collect();
        Self { peers }
    }

    /// Takes one request of this side from the buckets.
    ///
    /// # Errors
    /// [`Refusal::RateExceeded`], naming the limit.
    pub(super) fn take(&self, side: &Side, request: &Request) -> Result<(), Refusal> {
        let Side::Peer { agreement, .. } = side else {
            return Ok(());
        };
        let Some(rates) = self.peers.get(agreement.peer()) else {
            return Ok(());
        };
        let exceeded = |clause: &str| Refusal::RateExceeded {
            clause: format!("{clause} of {}", agreement.peer()),
            retry_after: Duration::from_secs(1),
        };
        rates
            .all
            .check()
            .map_err(|_| exceeded("limits.requests_per_second"))?;
        // Only what a person starts counts against him.
        if let Some(sender) = request.sender().filter(|_| !is_sent_by_a_server(request)) {
            rates
                .senders
                .check_key(&sender.key())
                .map_err(|_| exceeded("limits.sender_per_minute"))?;
        }
        Ok(())
    }

    /// Forgets senders whose buckets are full again; called now and then, so that strangers don't fill the memory.
    pub(super) fn forget_idle(&self) {
        for rates in self.peers.values() {
            rates.senders.retain_recent();
        }
    }
}

impl std::fmt::Debug for RateLimits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RateLimits")
            .field("peers", &self.peers.len())
            .finish()
    }
}

fn check_via(via: &[Domain], own: &[Domain]) -> Result<(), Refusal> {
    if via.len() > MAX_VIA || via.iter().any(|domain| own.contains(domain)) {
        return Err(Refusal::Loop);
    }
    Ok(())
}

fn check_search(search: &Search) -> Result<(), Refusal> {
    if search.pairs.is_empty() {
        return Err(Refusal::BadRequest {
            reason: "a search needs something to match".into(),
        });
    }
    for pair in &search.pairs {
        let is_number = pair.element == SearchElement::UserMobileNumber;
        if is_number && pair.text.contains(['*', '?', '%']) {
            return Err(Refusal::Wildcard);
        }
        if pair.text.trim().is_empty() {
            return Err(Refusal::BadRequest {
                reason: "a search string is empty".into(),
            });
        }
    }
    Ok(())
}

fn check_service(
    agreement: &InterconnectionAgreement,
    request: &Request,
    direction: Direction,
) -> Result<(), Refusal> {
    let service = request.service();
    // What answers a request passes where the request may: a peer that may send to us gets its reports.
    let direction = match (direction, is_answer(request)) {
        (Direction::In, false) | (Direction::Out, true) => Direction::In,
        (Direction::Out, false) | (Direction::In, true) => Direction::Out,
    };
    if agreement.allows(service, direction) {
        return Ok(());
    }
    let list = match direction {
        Direction::In => "services.in",
        Direction::Out => "services.out",
    };
    let clause = format!("{list} does not list {}", service.name());
    Err(Refusal::NotAgreed {
        peer: agreement.peer().clone(),
        service,
        clause,
    })
}

/// Every sender-like address must be one that the side may speak for (SSP reference §6.1, §7, checklist 7).
fn check_senders(
    agreement: &InterconnectionAgreement,
    session: &Domain,
    request: &Request,
) -> Result<(), Refusal> {
    for sender in senders(request) {
        let is_service = matches!(sender.local(), LocalPart::Service) && sender.domain().is_none();
        if is_service || !agreement.may_speak_for(sender, session) {
            return Err(Refusal::ForeignSender {
                sender: sender.clone(),
                domain: session.clone(),
            });
        }
    }
    Ok(())
}

/// Everybody in whose name a request speaks.
fn senders(request: &Request) -> Vec<&WvAddress> {
    match request {
        Request::Notify(notify) => notify.values.iter().map(|(presentity, _)| presentity).collect(),
        Request::Search(_)
        | Request::StopSearch { .. }
        | Request::ContactAdded(_)
        | Request::Subscribe(_)
        | Request::Unsubscribe(_)
        | Request::GetPresence(_)
        | Request::Send(_)
        | Request::Report(_)
        | Request::Invite(_)
        | Request::InviteAnswer(_)
        | Request::CancelInvite(_)
        | Request::Group(_)
        | Request::GroupEvent(_) => request.sender().into_iter().collect(),
    }
}

fn check_size(agreement: &InterconnectionAgreement, request: &Request) -> Result<(), Refusal> {
    let limits = &agreement.config.limits;
    let recipients = request.recipients().len();
    if recipients > limits.max_recipients as usize {
        let reason = format!(
            "{recipients} recipients, limits.max_recipients of {} is {}",
            agreement.peer(),
            limits.max_recipients
        );
        return Err(Refusal::BadRequest { reason });
    }
    match request {
        Request::Send(message) => check_content(agreement, &message.content),
        Request::Search(_)
        | Request::StopSearch { .. }
        | Request::ContactAdded(_)
        | Request::Subscribe(_)
        | Request::Unsubscribe(_)
        | Request::GetPresence(_)
        | Request::Notify(_)
        | Request::Report(_)
        | Request::Invite(_)
        | Request::InviteAnswer(_)
        | Request::CancelInvite(_)
        | Request::Group(_)
        | Request::GroupEvent(_) => Ok(()),
    }
}

fn check_content(agreement: &InterconnectionAgreement, content: &Content) -> Result<(), Refusal> {
    let limits = &agreement.config.limits;
    let size = content.bytes.len() as u64;
    if size > limits.max_content.0 {
        return Err(Refusal::TooLarge {
            size,
            limit: limits.max_content.0,
        });
    }
    if !limits
        .media_types
        .iter()
        .any(|pattern| content.media_type.is_covered_by(pattern))
    {
        return Err(Refusal::MediaType {
            media_type: content.media_type.essence().to_owned(),
        });
    }
    Ok(())
}

/// Whether a request answers one that went the other way: a message, a subscription, an invitation, a joining.
fn is_answer(request: &Request) -> bool {
    is_sent_by_a_server(request) || matches!(request, Request::InviteAnswer(_))
}

/// Whether a server sends it by itself, on what its people were asked or told.
fn is_sent_by_a_server(request: &Request) -> bool {
    matches!(
        request,
        Request::Notify(_) | Request::Report(_) | Request::GroupEvent(_)
    )
}

fn at_least_one(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN)
}

/// Gateways that may have relayed a request before us (SSP extensions, `Via`).
const MAX_VIA: usize = 8;
