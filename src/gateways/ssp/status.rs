//! The one table between refusals and SSP status codes (SSP reference §13).

use crate::{
    model::{Domain, GroupRefusal, Refusal, Service, WvAddress},
    wire::ssp::StatusCode,
};

/// The code that a refusal is answered with; the compiler keeps it whole. Some codes name the service that failed.
pub(in crate::gateways) fn code_of(refusal: &Refusal, service: Service) -> StatusCode {
    match refusal {
        Refusal::NoAgreement { .. } | Refusal::NotAgreed { .. } => StatusCode::SERVICE_NOT_AGREED,
        Refusal::RateExceeded { .. } => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::TooLarge { .. } | Refusal::Discarded { .. } => StatusCode::MESSAGE_REJECTED,
        Refusal::MediaType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Refusal::ForeignSender { .. } => StatusCode::ADDRESS_ERROR,
        Refusal::NoTransit { .. } | Refusal::Loop | Refusal::NoRoute { .. } => {
            StatusCode::DOMAIN_NOT_SUPPORTED
        }
        Refusal::UnknownUser { .. } => StatusCode::UNKNOWN_USER,
        Refusal::RouteFailed { .. }
        | Refusal::Unreachable { .. }
        | Refusal::HeldBack { .. }
        | Refusal::Dropped { .. }
        | Refusal::EndsConnections { .. }
        | Refusal::StoreUnavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::Wildcard | Refusal::NotSearched { .. } => StatusCode::BAD_PARAMETER,
        Refusal::InvalidAddress { .. } => StatusCode::INVALID_USER_ID,
        Refusal::BadRequest { .. } => StatusCode::BAD_REQUEST,
        Refusal::Unsupported { .. } => StatusCode::SERVICE_NOT_SUPPORTED,
        Refusal::Blocked { .. } => StatusCode::RECIPIENT_BLOCKED_SENDER,
        Refusal::NotAuthorised { .. } => StatusCode::RECIPIENT_NOT_AUTHORIZED,
        Refusal::QueueFull { .. } => StatusCode::MESSAGE_QUEUE_FULL,
        Refusal::Expired => StatusCode::MESSAGE_EXPIRED,
        Refusal::TimedOut { .. } => timeout_of(service),
        Refusal::NotFound { .. } => StatusCode::NOT_FOUND,
        Refusal::InGroup { why, .. } => StatusCode(why.status()),
        Refusal::Remote { status, .. } => StatusCode(*status),
        Refusal::Internal { .. } => StatusCode::INTERNAL_ERROR,
    }
}

fn timeout_of(service: Service) -> StatusCode {
    match service {
        Service::Presence => StatusCode::UNANSWERED_PRESENCE_REQUEST,
        Service::Group => StatusCode::UNANSWERED_GROUP_REQUEST,
        Service::Search => StatusCode::SEARCH_TIMED_OUT,
        Service::Message | Service::Invite | Service::Notice => StatusCode::TIMEOUT,
    }
}

/// What a peer's status means here; codes with no meaning of their own are passed on as they are.
pub(super) fn refusal_of(
    code: StatusCode,
    text: &str,
    domain: &Domain,
    recipient: Option<&WvAddress>,
) -> Refusal {
    let known = recipient.cloned();
    if let (Some(group), Some(why)) = (&known, GroupRefusal::of_status(code.0))
        && group.is_group()
    {
        let group = group.without_screen_name();
        return Refusal::InGroup { group, why };
    }
    match (code, known) {
        (StatusCode::SERVICE_NOT_SUPPORTED, _) => Refusal::Unsupported {
            what: format!("{domain}: {text}"),
        },
        (StatusCode::UNKNOWN_USER, Some(recipient)) => Refusal::UnknownUser { recipient },
        (StatusCode::RECIPIENT_BLOCKED_SENDER, Some(recipient)) => Refusal::Blocked { recipient },
        (StatusCode::RECIPIENT_NOT_AUTHORIZED, Some(recipient)) => Refusal::NotAuthorised { recipient },
        (StatusCode::MESSAGE_EXPIRED, _) => Refusal::Expired,
        (StatusCode(status), _) => Refusal::Remote {
            domain: domain.clone(),
            status,
            text: text.to_owned(),
        },
    }
}
