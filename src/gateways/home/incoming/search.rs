//! Search (use case 5.20 step 6): a number is answered with `wv:+MSISDN`, whatever the subscriber is called here.
//!
//! Strangers find people by whole number or by address only; alias and names are compared for our own subscribers, within
//! their home domain. Who has blocked the searcher is not found. Results beyond the first page are kept for ten minutes.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::super::{HomeDomain, secret, subscriber::Subscriber};
use crate::model::{
    E164, Found, InvalidAddress, InvalidE164, Refusal, Search, SearchCursor, SearchElement, SearchPair,
    Timestamp, WvAddress,
};

/// Searches with more results than were asked for at once; the oldest goes when there are too many.
#[derive(Debug, Default)]
pub(crate) struct KeptSearches(VecDeque<KeptSearch>);

#[derive(Debug)]
struct KeptSearch {
    id: String,
    /// Who searches; nobody else may go on with it.
    by: String,
    users: Vec<(WvAddress, Option<String>)>,
    until: Timestamp,
}

impl KeptSearches {
    /// Ends a search.
    pub(crate) fn stop(&mut self, by: &str, id: &str) {
        self.0.retain(|kept| kept.id != id || kept.by != by);
    }

    /// Forgets those whose time has passed.
    pub(crate) fn forget(&mut self, now: Timestamp) {
        self.0.retain(|kept| kept.until > now);
    }

    fn keep(&mut self, search: KeptSearch) {
        if self.0.len() >= MAX_KEPT {
            self.0.pop_front();
        }
        self.0.push_back(search);
    }

    fn find(&self, by: &str, cursor: &SearchCursor) -> Option<&KeptSearch> {
        self.0.iter().find(|kept| kept.id == cursor.id && kept.by == by)
    }
}

impl HomeDomain {
    /// Who is found.
    ///
    /// # Errors
    /// [`Refusal::Wildcard`] for an incomplete number, [`Refusal::NotSearched`] for what is never compared,
    /// [`Refusal::NotFound`] for a search that is over.
    pub(super) fn found(&self, search: &Search) -> Result<Found, Refusal> {
        let by = self.person(&search.by);
        let limit = usize::from(search.limit.max(1)).min(MAX_PAGE);
        if let Some(cursor) = &search.resume {
            let searches = self.searches();
            let kept = searches.find(&by, cursor).ok_or_else(|| Refusal::NotFound {
                what: format!("search {}", cursor.id),
            })?;
            let first = usize::try_from(cursor.index.max(1)).unwrap_or(usize::MAX) - 1;
            return Ok(page(&kept.id, &kept.users, first, limit));
        }
        let users = self.matching(search, &by)?;
        let id = secret::random_text();
        let found = page(&id, &users, 0, limit);
        if found.more.is_some() {
            let until = self.clock.now().plus(KEPT_FOR);
            self.searches().keep(KeptSearch { id, by, users, until });
        }
        Ok(found)
    }

    fn matching(&self, search: &Search, by: &str) -> Result<Vec<(WvAddress, Option<String>)>, Refusal> {
        let mut wanted: Vec<Wanted> = Vec::with_capacity(search.pairs.len());
        for pair in &search.pairs {
            wanted.push(Wanted::read(pair)?);
        }
        if wanted.is_empty() {
            return Err(Refusal::BadRequest {
                reason: "a search needs something to match".into(),
            });
        }
        let named = wanted.iter().find_map(|one| match one {
            Wanted::Number(number) => Some(WvAddress::msisdn(number.clone())),
            Wanted::Address(address) => Some(address.clone()),
            Wanted::Alias(_) | Wanted::FirstName(_) | Wanted::LastName(_) => None,
        });
        let candidates: Vec<Arc<Subscriber>> = match &named {
            Some(address) => self.active(address).into_iter().collect(),
            None => self.neighbours(&search.by)?,
        };
        let is_match = |subscriber: &&Arc<Subscriber>| {
            let is_blocked = subscriber.state().relations.blocks.contains_key(by);
            !is_blocked && wanted.iter().all(|one| one.fits(subscriber))
        };
        let matching = candidates.iter().filter(is_match).take(MAX_FOUND);
        Ok(matching
            .map(|subscriber| as_found(subscriber, named.as_ref()))
            .collect())
    }

    /// Everybody in the searcher's own home domain, in the order of their numbers; only our own subscribers may ask.
    fn neighbours(&self, by: &WvAddress) -> Result<Vec<Arc<Subscriber>>, Refusal> {
        let searcher = self.active(by).ok_or_else(|| Refusal::NotSearched {
            what: "names, from elsewhere; search by number or user ID".into(),
        })?;
        let mut neighbours: Vec<_> = {
            let directory = self.directory();
            let is_near =
                |one: &&Arc<Subscriber>| one.domain == searcher.domain && one.number != searcher.number;
            directory.by_number.values().filter(is_near).cloned().collect()
        };
        neighbours.retain(|one| one.state().account.is_active);
        neighbours.sort_by(|a, b| a.number.cmp(&b.number));
        Ok(neighbours)
    }
}

/// One thing to match, read once.
enum Wanted {
    Number(E164),
    Address(WvAddress),
    Alias(String),
    FirstName(String),
    LastName(String),
}

impl Wanted {
    fn read(pair: &SearchPair) -> Result<Self, Refusal> {
        let text = pair.text.trim();
        let name = || -> Result<String, Refusal> {
            if text.chars().count() < 2 || text.contains(['*', '?', '%']) {
                return Err(Refusal::Wildcard);
            }
            Ok(text.to_lowercase())
        };
        match pair.element {
            SearchElement::UserMobileNumber => number(text).map(Self::Number),
            SearchElement::UserId => {
                let address = text
                    .parse()
                    .map_err(|error: InvalidAddress| Refusal::InvalidAddress {
                        address: text.to_owned(),
                        reason: error.to_string(),
                    })?;
                Ok(Self::Address(address))
            }
            SearchElement::UserAlias => name().map(Self::Alias),
            SearchElement::UserFirstName => name().map(Self::FirstName),
            SearchElement::UserLastName => name().map(Self::LastName),
            SearchElement::UserEmailAddress
            | SearchElement::UserOnlineStatus
            | SearchElement::GroupId
            | SearchElement::GroupName
            | SearchElement::GroupTopic
            | SearchElement::GroupUserIdJoined
            | SearchElement::GroupUserIdOwner => Err(Refusal::NotSearched {
                what: format!("{:?} in the embedded home domain", pair.element),
            }),
        }
    }

    fn fits(&self, subscriber: &Subscriber) -> bool {
        let state = subscriber.state();
        let account = &state.account;
        let holds = |text: &str, part: &str| text.to_lowercase().contains(part);
        match self {
            Self::Number(number) => subscriber.number == *number,
            Self::Address(address) => match address.number() {
                Some(number) => subscriber.number == *number,
                None => subscriber.named == *address,
            },
            Self::Alias(part) => {
                account.settings.disclose_friendly_name && holds(&account.friendly_name, part)
            }
            Self::FirstName(part) => account
                .first_name
                .as_deref()
                .is_some_and(|name| holds(name, part)),
            Self::LastName(part) => account.last_name.as_deref().is_some_and(|name| holds(name, part)),
        }
    }
}

/// A number as people write it: international, separators allowed; wildcards and incomplete numbers are refused (5.20.9).
pub(crate) fn number(text: &str) -> Result<E164, Refusal> {
    let bare = text
        .strip_prefix("tel:")
        .unwrap_or(text)
        .replace([' ', '-', '.', '(', ')'], "");
    bare.parse().map_err(|error: InvalidE164| match error {
        InvalidE164::Wildcard | InvalidE164::TooShort => Refusal::Wildcard,
        InvalidE164::NoPlus | InvalidE164::BadCharacter | InvalidE164::LeadingZero | InvalidE164::TooLong => {
            Refusal::InvalidAddress {
                address: text.to_owned(),
                reason: error.to_string(),
            }
        }
    })
}

/// A person as the searcher may know him. Who keeps his number private is still found by it, under the number that the
/// searcher knew already, but without a name that would tie the two together.
fn as_found(subscriber: &Subscriber, named: Option<&WvAddress>) -> (WvAddress, Option<String>) {
    let identity = subscriber.identity();
    let state = subscriber.state();
    let name = state.account.disclosed_name();
    match named.and_then(WvAddress::number) {
        Some(number) => {
            let name = name.filter(|_| state.account.settings.disclose_msisdn);
            (WvAddress::msisdn(number.clone()), name)
        }
        None => (identity, name),
    }
}

fn page(id: &str, users: &[(WvAddress, Option<String>)], first: usize, limit: usize) -> Found {
    let shown: Vec<_> = users.iter().skip(first).take(limit).cloned().collect();
    let next = first.saturating_add(shown.len());
    let more = (!shown.is_empty() && next < users.len()).then(|| SearchCursor {
        id: id.to_owned(),
        index: u32::try_from(next + 1).unwrap_or(u32::MAX),
    });
    Found {
        users: shown,
        groups: Vec::new(),
        total: u32::try_from(users.len()).unwrap_or(u32::MAX),
        more,
    }
}

const KEPT_FOR: Duration = Duration::from_secs(600);
const MAX_KEPT: usize = 1_000;
/// Results of one search; who has more is asked to be more precise by their number alone.
const MAX_FOUND: usize = 500;
const MAX_PAGE: usize = 100;
