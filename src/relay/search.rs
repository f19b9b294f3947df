//! Search (use case 5.20): by number to the operator that ENUM names, by ID to the domain in it, else at home only.

use std::time::Duration;

use moka::sync::Cache;

use super::{Ingress, Relay, Side, Undelivered, forward::Target};
use crate::{
    model::{
        Acceptance, Answer, Found, InvalidAddress, InvalidE164, Outcome, Protocol, Refusal, Request, Search,
        SearchCursor, SearchElement, WvAddress,
    },
    routing::RouteService,
};

/// Searches that have more results, by the side that asks and the ID that the answering side gave, with where they are kept.
///
/// In memory: a search that is forgotten here ends at the answering side by itself.
#[derive(Debug)]
pub(super) struct KeptSearches(Cache<(String, String), Target>);

impl KeptSearches {
    pub(super) fn new() -> Self {
        let cache = Cache::builder().max_capacity(MOST_KEPT).time_to_idle(KEPT_FOR);
        Self(cache.build())
    }

    fn key(ingress: &Ingress, id: &str) -> (String, String) {
        (
            format!("{} {}", ingress.side.name(), ingress.side.domain()),
            id.to_owned(),
        )
    }
}

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
            .forward(ingress, &target, Request::Search(search.clone()), deadline)
            .await;
        match answer {
            Ok(answer) => {
                self.keep_search(ingress, &target, &answer);
                Ok(match answer {
                    Answer::Found(found) => Answer::Found(self.disclosed(ingress, &search, found)),
                    other @ (Answer::Done
                    | Answer::Recipients(_)
                    | Answer::Sent { .. }
                    | Answer::Presence(_)
                    | Answer::Group(_)) => other,
                })
            }
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

    /// Ends a search where it is kept; one that nobody is known to keep is at an end already.
    pub(super) async fn stop_search(
        &self,
        ingress: &Ingress,
        by: WvAddress,
        cursor: SearchCursor,
    ) -> Outcome {
        let deadline = ingress.trail.started().plus(self.config.query_timeout);
        let kept = self.searches.0.remove(&KeptSearches::key(ingress, &cursor.id));
        let target = match kept {
            Some(target) => target,
            None if ingress.side.is_home() && !matches!(ingress.side, Side::Home { .. }) => {
                return Ok(Answer::Done);
            }
            None => self.local_target(ingress).await?,
        };
        match self
            .forward(ingress, &target, Request::StopSearch { by, cursor }, deadline)
            .await
        {
            Ok(answer) => Ok(answer),
            Err(Undelivered::Refused(Refusal::Unsupported { .. })) => Ok(Answer::Done),
            Err(undelivered) => Err(undelivered.into()),
        }
    }

    fn keep_search(&self, ingress: &Ingress, target: &Target, answer: &Answer) {
        if let Answer::Found(Found { more: Some(more), .. }) = answer {
            let key = KeptSearches::key(ingress, &more.id);
            self.searches.0.insert(key, target.clone());
        }
    }

    /// Our own side, for searches that name no operator.
    async fn local_target(&self, ingress: &Ingress) -> Result<Target, Refusal> {
        let domain = match &ingress.side {
            Side::Home { domain } => domain,
            Side::Peer { own, .. } => own,
        };
        // A home server that meets partners through us searches at the one that it asks for.
        let met = match &ingress.side {
            Side::Peer { agreement, own, .. } if agreement.presents_partners() => {
                self.agreements.load().for_domain(own).cloned()
            }
            Side::Peer { .. } | Side::Home { .. } => None,
        };
        if let Some(partner) = met {
            return self.peer_target(partner, domain.clone(), self.now()).await;
        }
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

/// Searches that are known to have more results.
const MOST_KEPT: u64 = 10_000;
/// After this long without a further page, a search is forgotten.
const KEPT_FOR: Duration = Duration::from_secs(3600);
