//! The contact list, and use case 5.20 from end to end: a number is searched, added, announced and watched without a
//! further touch.
//!
//! A number that nobody serves today is added all the same (5.20.9): it is asked for again at each login.

use std::sync::Arc;

use futures_util::future::join;

use super::{
    super::{
        HomeDomain,
        accounts::MAX_NAME,
        damaged,
        event::Event,
        relation::{self, Contact, Watching},
        subscriber::Subscriber,
        telling::Told,
        text,
    },
    outcome_for,
};
use crate::{
    model::{
        Acceptance, Answer, ContactAdded, Found, Outcome, Refusal, Request, Search, SearchCursor,
        SearchElement, SearchPair, Subscribe, Unsubscribe, WvAddress,
    },
    store::Batch,
};

/// Whom to add.
#[derive(Clone, Debug)]
pub(crate) struct NewContact {
    pub(crate) wish: Wish,
    /// Absent or empty, the friendly name of the person found (step 10a).
    pub(crate) nickname: Option<String>,
}

/// How the person is named.
#[derive(Clone, Debug)]
pub(crate) enum Wish {
    /// By number, as the subscriber typed it: the person is searched for.
    Number(String),
    /// By address, as from a search or a notice: no search.
    Address(String),
}

/// What adding came to. The contact is on the list in any case.
#[derive(Clone, Debug)]
pub(crate) struct Added {
    pub(crate) contact: Contact,
    /// He was on the list before.
    pub(crate) was_there: bool,
    /// Whether the search found him; `Ok(false)`: the number is not served today.
    pub(crate) search: Option<Result<bool, Refusal>>,
    /// Whether his side took the notice that he was added (step 13).
    pub(crate) notice: Option<Result<Acceptance, Refusal>>,
    /// Whether his presence is watched now.
    pub(crate) subscription: Option<Result<Acceptance, Refusal>>,
}

impl HomeDomain {
    /// Adds a contact (use case 5.20 steps 3 to 13).
    ///
    /// # Errors
    /// When the number or address makes no sense, the list is full, or the store can't be written.
    pub(crate) async fn add_contact(
        &self,
        subscriber: &Arc<Subscriber>,
        new: NewContact,
    ) -> Result<Added, Refusal> {
        let (address, friendly_name, search) = self.resolve(subscriber, &new.wish).await?;
        let person = self.person(&address);
        if person == subscriber.key() {
            return Err(Refusal::BadRequest {
                reason: "nobody is a contact of his own".into(),
            });
        }
        let nickname = new
            .nickname
            .as_deref()
            .map(|name| text::line(name, MAX_NAME))
            .filter(|name| !name.is_empty());
        let since = self.clock.now();
        let kept = self.keep_contact(subscriber, &person, |known| {
            Ok(match known {
                Some(known) => Contact {
                    nickname: nickname.unwrap_or_else(|| known.nickname.clone()),
                    ..known.clone()
                },
                None => Contact {
                    nickname: nickname
                        .or(friendly_name.filter(|name| !name.is_empty()))
                        .unwrap_or_else(|| plain(&address)),
                    address,
                    since,
                },
            })
        });
        let (contact, was_there) = kept.await?;
        let mut added = Added {
            contact,
            was_there,
            search,
            notice: None,
            subscription: None,
        };
        if !added.was_there {
            // The contact may see now that the subscriber is online (5.20.6), if he watches already.
            self.tell(subscriber, Told::Person(person));
            let people = std::slice::from_ref(&added.contact.address);
            let (notice, subscription) = join(
                self.announce(subscriber, people),
                self.subscribe_to(subscriber, people),
            )
            .await;
            added.notice = Some(outcome_for(&notice, &added.contact.address));
            added.subscription = Some(outcome_for(&subscription, &added.contact.address));
        }
        Ok(added)
    }

    /// Gives a contact another nickname.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when he is not on the list, or the store's failure.
    pub(crate) async fn rename_contact(
        &self,
        subscriber: &Subscriber,
        address: &WvAddress,
        nickname: &str,
    ) -> Result<Contact, Refusal> {
        let person = self.person(address);
        let nickname = text::line(nickname, MAX_NAME);
        let kept = self.keep_contact(subscriber, &person, |known| {
            let known = known.ok_or_else(|| not_a_contact(address))?;
            Ok(Contact {
                nickname: Some(nickname)
                    .filter(|name| !name.is_empty())
                    .unwrap_or_else(|| plain(&known.address)),
                ..known.clone()
            })
        });
        kept.await.map(|(contact, _)| contact)
    }

    /// Takes a contact off the list and ends the subscription to him.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when he is not on the list, or the store's failure.
    pub(crate) async fn remove_contact(
        &self,
        subscriber: &Arc<Subscriber>,
        address: &WvAddress,
    ) -> Result<(), Refusal> {
        let person = self.person(address);
        let (contact, is_watched) = {
            let _writing = subscriber.writing.lock().await;
            let known = subscriber.state().relations.contacts.get(&person).cloned();
            let contact = known.ok_or_else(|| not_a_contact(address))?;
            let batch =
                relation::remove::<Contact>(Batch::new(self.clock.now()), &subscriber.number, &person);
            self.commit(batch).await?;
            let state = &mut *subscriber.state();
            state.relations.contacts.remove(&person);
            let is_watched = state.relations.watching.contains_key(&person);
            if !is_watched {
                state.relations.known.remove(&person);
            }
            state.streams.send(None, &changed(&contact, true));
            (contact, is_watched)
        };
        self.tell(subscriber, Told::Person(person.clone()));
        if !is_watched {
            self.end_subscription(subscriber, person, contact.address);
        }
        Ok(())
    }

    /// Watches somebody who is no contact.
    ///
    /// # Errors
    /// The refusal of his side; then nothing is kept.
    pub(crate) async fn watch_person(
        &self,
        subscriber: &Arc<Subscriber>,
        address: &WvAddress,
    ) -> Result<(), Refusal> {
        let person = self.person(address);
        let (count, known) = {
            let state = subscriber.state();
            (
                state.relations.watching.len(),
                state.relations.watching.contains_key(&person),
            )
        };
        if count >= self.config.limits.contacts && !known {
            return Err(full("watched people"));
        }
        let watching = Watching {
            address: address.clone(),
            since: self.clock.now(),
        };
        {
            let _writing = subscriber.writing.lock().await;
            let batch = relation::put(
                Batch::new(self.clock.now()),
                &subscriber.number,
                &person,
                &watching,
            );
            self.commit(batch.map_err(damaged)?).await?;
            // Before the request goes out: the first notification may come back before the answer.
            subscriber
                .state()
                .relations
                .watching
                .insert(person.clone(), watching);
        }
        let outcome = self.subscribe_to(subscriber, std::slice::from_ref(address)).await;
        if let Err(refusal) = outcome_for(&outcome, address) {
            if !refusal.is_temporary() {
                self.forget_watching(subscriber, &person).await?;
            }
            return Err(refusal);
        }
        Ok(())
    }

    /// Watches somebody no more; a contact stays watched.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when he was not watched, or the store's failure.
    pub(crate) async fn unwatch_person(
        &self,
        subscriber: &Arc<Subscriber>,
        address: &WvAddress,
    ) -> Result<(), Refusal> {
        let person = self.person(address);
        if !self.forget_watching(subscriber, &person).await? {
            return Err(Refusal::NotFound {
                what: format!("the subscription to {address}"),
            });
        }
        let is_watched = subscriber.state().relations.watches(&person);
        if !is_watched {
            self.end_subscription(subscriber, person, address.clone());
        }
        Ok(())
    }

    /// Searches on behalf of a subscriber.
    ///
    /// # Errors
    /// The refusal of the relay, or of the side that was asked.
    pub(crate) async fn search_for(
        &self,
        subscriber: &Subscriber,
        pairs: Vec<SearchPair>,
        limit: u16,
        resume: Option<SearchCursor>,
    ) -> Result<Found, Refusal> {
        let by = subscriber.identity();
        let search = Request::Search(Search {
            by,
            pairs,
            limit,
            resume,
        });
        match self.ask(&subscriber.domain, None, search).await? {
            Answer::Found(found) => Ok(found),
            Answer::Done
            | Answer::Recipients(_)
            | Answer::Sent { .. }
            | Answer::Presence(_)
            | Answer::Group(_) => Err(super::odd_answer()),
        }
    }

    /// Asks for presence of people who are watched; first notifications follow.
    pub(crate) async fn subscribe_to(&self, subscriber: &Subscriber, people: &[WvAddress]) -> Outcome {
        let request = Request::Subscribe(Subscribe {
            watcher: subscriber.identity(),
            presentities: people.to_vec(),
            attributes: Vec::new(),
        });
        self.ask(&subscriber.domain, None, request).await
    }

    /// The address that the contact list will hold, the friendly name, and what the search came to.
    async fn resolve(
        &self,
        subscriber: &Subscriber,
        wish: &Wish,
    ) -> Result<(WvAddress, Option<String>, Option<Result<bool, Refusal>>), Refusal> {
        let typed = match wish {
            Wish::Address(text) => {
                let address = self.read_address(subscriber, text)?;
                if address.is_group() {
                    return Err(Refusal::Unsupported {
                        what: "groups on the contact list".into(),
                    });
                }
                return Ok((address, None, None));
            }
            Wish::Number(text) => WvAddress::msisdn(super::super::incoming::number(text)?),
        };
        let pair = SearchPair {
            element: SearchElement::UserMobileNumber,
            text: typed.number().map(ToString::to_string).unwrap_or_default(),
        };
        match self.search_for(subscriber, vec![pair], 1, None).await {
            Ok(found) => match found.users.into_iter().next() {
                Some((address, name)) => {
                    let name = name.map(|name| text::line(&name, MAX_NAME));
                    Ok((address.canonical(), name, Some(Ok(true))))
                }
                None => Ok((typed, None, Some(Ok(false)))),
            },
            Err(refusal @ (Refusal::Wildcard | Refusal::InvalidAddress { .. })) => Err(refusal),
            Err(refusal) => Ok((typed, None, Some(Err(refusal)))),
        }
    }

    /// Puts a contact on the list, made of the one that stands there, and tells every device; whether one stood there.
    async fn keep_contact(
        &self,
        subscriber: &Subscriber,
        person: &str,
        made: impl FnOnce(Option<&Contact>) -> Result<Contact, Refusal> + Send,
    ) -> Result<(Contact, bool), Refusal> {
        // From reading to telling, so that devices which change the same list at once all hear the one order of it.
        let _writing = subscriber.writing.lock().await;
        let (known, count) = {
            let contacts = &subscriber.state().relations.contacts;
            (contacts.get(person).cloned(), contacts.len())
        };
        let contact = made(known.as_ref())?;
        if known.is_none() && count >= self.config.limits.contacts {
            return Err(full("the contact list"));
        }
        let batch = relation::put(Batch::new(self.clock.now()), &subscriber.number, person, &contact);
        self.commit(batch.map_err(damaged)?).await?;
        let state = &mut *subscriber.state();
        state
            .relations
            .contacts
            .insert(person.to_owned(), contact.clone());
        state.streams.send(None, &changed(&contact, false));
        Ok((contact, known.is_some()))
    }

    async fn announce(&self, subscriber: &Subscriber, people: &[WvAddress]) -> Outcome {
        let (by, friendly_name, language) = {
            let state = subscriber.state();
            let account = &state.account;
            (
                account.identity(&subscriber.named),
                account.disclosed_name(),
                account.language.clone(),
            )
        };
        let address = by.to_string();
        let text =
            self.words
                .contact_added(&language, friendly_name.as_deref().unwrap_or(&address), &address);
        let notice = Request::ContactAdded(ContactAdded {
            by,
            friendly_name,
            added: people.to_vec(),
            text: Some((text.0, Some(text.1))),
        });
        self.ask(&subscriber.domain, None, notice).await
    }

    /// Ends a subscription without anybody waiting for it; who is watched again by then stays so.
    fn end_subscription(&self, subscriber: &Arc<Subscriber>, person: String, address: WvAddress) {
        let Some(home) = self.me.upgrade() else { return };
        let subscriber = Arc::clone(subscriber);
        let is_watched = move |subscriber: &Subscriber| subscriber.state().relations.watches(&person);
        self.errands.run(async move {
            if is_watched(&subscriber) {
                return;
            }
            let request = Request::Unsubscribe(Unsubscribe {
                watcher: subscriber.identity(),
                presentities: vec![address.clone()],
            });
            let mut outcome = home.ask(&subscriber.domain, None, request).await;
            // Another device may have added him while it was under way.
            if is_watched(&subscriber) {
                outcome = home.subscribe_to(&subscriber, &[address]).await;
            }
            if let Err(refusal) = outcome {
                tracing::info!(refusal = refusal.masked(), "a subscription could not be ended");
            }
        });
    }

    async fn forget_watching(&self, subscriber: &Subscriber, person: &str) -> Result<bool, Refusal> {
        let _writing = subscriber.writing.lock().await;
        if !subscriber.state().relations.watching.contains_key(person) {
            return Ok(false);
        }
        let batch = relation::remove::<Watching>(Batch::new(self.clock.now()), &subscriber.number, person);
        self.commit(batch).await?;
        let relations = &mut subscriber.state().relations;
        relations.watching.remove(person);
        if !relations.watches(person) {
            relations.known.remove(person);
        }
        Ok(true)
    }
}

/// What devices hear of a contact that was added, named anew or removed.
fn changed(contact: &Contact, is_removed: bool) -> Arc<Event> {
    Arc::new(Event::Contact {
        address: contact.address.clone(),
        nickname: contact.nickname.clone(),
        is_removed,
    })
}

/// An address as a name, for people who have none.
fn plain(address: &WvAddress) -> String {
    let text = address.to_string();
    text.strip_prefix("wv:").unwrap_or(&text).to_owned()
}

fn not_a_contact(address: &WvAddress) -> Refusal {
    Refusal::NotFound {
        what: format!("the contact {address}"),
    }
}

pub(super) fn full(list: &str) -> Refusal {
    Refusal::QueueFull {
        queue: list.to_owned(),
    }
}
