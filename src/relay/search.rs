//! Search (use case 5.20): by number to the operator that ENUM names, by ID to the domain in it, else at home only.

use super::{Ingress, Relay, Side, Undelivered, forward::Target};
use crate::{
    model::{
        Acceptance, Answer, Found, InvalidAddress, InvalidE164, Outcome, Protocol, Refusal, Request, Search,
        SearchCursor, SearchElement, WvAddress,
    },
    routing::RouteService,
};

impl Relay {
    /// Finds a person or group.
    pub(super) async fn search(&self, ingress: &Ingress, search: Search) -> Outcome {
        let deadline = ingress.trail.started().plus(self.config.query_timeout);
        let wanted = wanted_address(&search)?;
        let target = match &wanted {
            Some(address) => self.target(ingress, address, RouteService::Im).await?,
            None => self.local_target(ingress).await?,
        };
        let is_exact =
            search.pairs.len() == 1 && wanted.as_ref().is_some_and(|address| address.number().is_some());
        let answer = self
            .forward(ingress, &target, Request::Search(search), deadline)
            .await;
        match answer {
            Ok(answer) => Ok(answer),
            Err(Undelivered::Refused(Refusal::Unsupported { .. }))
                if is_exact && answers_from_enum(&target) =>
            {
                // The peer can't search; ENUM says that it serves the number, whether he is reachable is not known.
                let users = wanted
                    .into_iter()
                    .map(|address| (address.canonical(), None))
                    .collect();
                Ok(Answer::Found(Found {
                    users,
                    groups: Vec::new(),
                    total: 1,
                    more: None,
                }))
            }
            Err(undelivered) => Err(undelivered.into()),
        }
    }

    /// Ends a search that the home side keeps; other sides forget theirs by themselves.
    pub(super) async fn stop_search(
        &self,
        ingress: &Ingress,
        by: WvAddress,
        cursor: SearchCursor,
    ) -> Outcome {
        let deadline = ingress.trail.started().plus(self.config.query_timeout);
        let target = self.local_target(ingress).await?;
        match self
            .forward(ingress, &target, Request::StopSearch { by, cursor }, deadline)
            .await
        {
            Ok(answer) => Ok(answer),
            Err(Undelivered::Refused(Refusal::Unsupported { .. })) => Ok(Answer::Done),
            Err(undelivered) => Err(undelivered.into()),
        }
    }

    /// Our own side, for searches that name no operator.
    async fn local_target(&self, ingress: &Ingress) -> Result<Target, Refusal> {
        let domain = match &ingress.side {
            Side::Home { domain } => domain,
            Side::Peer { own, .. } => own,
        };
        let target = self.home_target(domain, self.now()).await?;
        // A home server's own search for its own people would come straight back to it.
        if target.protocol != Protocol::Home && ingress.side.is_home() {
            return Err(Refusal::NotSearched {
                what: "somebody of no operator in particular".into(),
            });
        }
        Ok(target)
    }
}

/// The address that a search names, when it names one.
fn wanted_address(search: &Search) -> Result<Option<WvAddress>, Refusal> {
    for pair in &search.pairs {
        let text = pair.text.trim();
        match pair.element {
            SearchElement::UserMobileNumber => {
                let number = text
                    .strip_prefix("tel:")
                    .unwrap_or(text)
                    .replace([' ', '-', '.', '(', ')'], "");
                let number = number.parse().map_err(|error: InvalidE164| {
                    if matches!(
                        error,
                        InvalidE164::Wildcard | InvalidE164::TooShort | InvalidE164::NoPlus
                    ) {
                        return Refusal::Wildcard;
                    }
                    Refusal::InvalidAddress {
                        address: text.to_owned(),
                        reason: error.to_string(),
                    }
                })?;
                return Ok(Some(WvAddress::msisdn(number)));
            }
            SearchElement::UserId | SearchElement::GroupId => {
                let address: WvAddress =
                    text.parse()
                        .map_err(|error: InvalidAddress| Refusal::InvalidAddress {
                            address: text.to_owned(),
                            reason: error.to_string(),
                        })?;
                if address.domain().is_some() || address.number().is_some() {
                    return Ok(Some(address));
                }
            }
            SearchElement::UserAlias
            | SearchElement::UserEmailAddress
            | SearchElement::UserFirstName
            | SearchElement::UserLastName
            | SearchElement::UserOnlineStatus
            | SearchElement::GroupName
            | SearchElement::GroupTopic
            | SearchElement::GroupUserIdJoined
            | SearchElement::GroupUserIdOwner => {}
        }
    }
    Ok(None)
}

fn answers_from_enum(target: &Target) -> bool {
    target
        .agreement
        .as_ref()
        .is_some_and(|agreement| agreement.config.search_from_enum)
}

/// What an answer says of one person who was asked for together with others.
pub(super) fn acceptance(answer: &Answer, person: &WvAddress) -> Result<Acceptance, Refusal> {
    answer
        .for_recipient(person)
        .cloned()
        .unwrap_or(Ok(Acceptance::Taken))
}
