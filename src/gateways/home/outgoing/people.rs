//! What a subscriber lets others do and see: blocks, rights, settings. Whom it concerns is told at once.

use std::sync::Arc;

use super::{
    super::{
        HomeDomain, HomeError,
        account::{Account, Settings},
        accounts::MAX_NAME,
        damaged,
        relation::{self, Block, Grant},
        subscriber::Subscriber,
        telling::Told,
        text,
    },
    contact::full,
};
use crate::{
    model::{AttributeName, Refusal, WvAddress},
    store::Batch,
};

/// Parts of an account that its owner changes; absent ones stay.
#[derive(Clone, Debug, Default)]
pub(crate) struct SettingsChange {
    pub(crate) friendly_name: Option<String>,
    pub(crate) first_name: Option<String>,
    pub(crate) last_name: Option<String>,
    pub(crate) language: Option<String>,
    pub(crate) settings: Option<Settings>,
}

impl HomeDomain {
    /// Blocks a person: his messages and invitations are refused, he sees nothing.
    ///
    /// # Errors
    /// When too many are blocked, or the store can't be written.
    pub(crate) async fn block(
        &self,
        subscriber: &Arc<Subscriber>,
        address: &WvAddress,
    ) -> Result<(), Refusal> {
        let person = self.person(address);
        {
            let _writing = subscriber.writing.lock().await;
            let is_full = {
                let blocks = &subscriber.state().relations.blocks;
                blocks.len() >= self.config.limits.rules && !blocks.contains_key(&person)
            };
            if is_full {
                return Err(full("the block list"));
            }
            let (address, since) = (address.clone(), self.clock.now());
            let block = Block { address, since };
            let batch = relation::put(Batch::new(since), &subscriber.number, &person, &block);
            self.commit(batch.map_err(damaged)?).await?;
            subscriber.state().relations.blocks.insert(person.clone(), block);
        }
        self.tell(subscriber, Told::Person(person));
        Ok(())
    }

    /// Blocks a person no more; blocking nobody succeeds.
    ///
    /// # Errors
    /// When the store can't be written.
    pub(crate) async fn unblock(
        &self,
        subscriber: &Arc<Subscriber>,
        address: &WvAddress,
    ) -> Result<(), Refusal> {
        let person = self.person(address);
        {
            let _writing = subscriber.writing.lock().await;
            let batch = relation::remove::<Block>(Batch::new(self.clock.now()), &subscriber.number, &person);
            self.commit(batch).await?;
            subscriber.state().relations.blocks.remove(&person);
        }
        self.tell(subscriber, Told::Person(person));
        Ok(())
    }

    /// Lets a person see attributes beyond what everybody sees.
    ///
    /// # Errors
    /// When too many have rights of their own, or the store can't be written.
    pub(crate) async fn grant(
        &self,
        subscriber: &Arc<Subscriber>,
        address: &WvAddress,
        mut attributes: Vec<AttributeName>,
    ) -> Result<(), Refusal> {
        attributes.sort_unstable();
        attributes.dedup();
        let person = self.person(address);
        {
            let _writing = subscriber.writing.lock().await;
            let is_full = {
                let grants = &subscriber.state().relations.grants;
                grants.len() >= self.config.limits.rules && !grants.contains_key(&person)
            };
            if is_full {
                return Err(full("the list of rights"));
            }
            let address = address.clone();
            let grant = Grant { address, attributes };
            let batch = relation::put(Batch::new(self.clock.now()), &subscriber.number, &person, &grant);
            self.commit(batch.map_err(damaged)?).await?;
            subscriber.state().relations.grants.insert(person.clone(), grant);
        }
        self.tell(subscriber, Told::Person(person));
        Ok(())
    }

    /// Takes the rights of a person back; he sees what everybody sees.
    ///
    /// # Errors
    /// When the store can't be written.
    pub(crate) async fn revoke(
        &self,
        subscriber: &Arc<Subscriber>,
        address: &WvAddress,
    ) -> Result<(), Refusal> {
        let person = self.person(address);
        {
            let _writing = subscriber.writing.lock().await;
            let batch = relation::remove::<Grant>(Batch::new(self.clock.now()), &subscriber.number, &person);
            self.commit(batch).await?;
            subscriber.state().relations.grants.remove(&person);
        }
        self.tell(subscriber, Told::Person(person));
        Ok(())
    }

    /// Changes names, language and settings.
    ///
    /// # Errors
    /// When a part makes no sense, or the store can't be written.
    pub(crate) async fn change_settings(
        &self,
        subscriber: &Arc<Subscriber>,
        change: SettingsChange,
    ) -> Result<Account, Refusal> {
        if change.language.as_deref().is_some_and(|tag| !is_language(tag)) {
            return Err(Refusal::BadRequest {
                reason: "the language is no RFC 5646 tag such as en or pt-BR".into(),
            });
        }
        let name = |name: String| text::line(&name, MAX_NAME);
        let own = |text: String| Some(name(text)).filter(|text| !text.is_empty());
        let changed = self.change_account(subscriber, |account| {
            if let Some(friendly_name) = change.friendly_name {
                account.friendly_name = name(friendly_name);
            }
            if let Some(first_name) = change.first_name {
                account.first_name = own(first_name);
            }
            if let Some(last_name) = change.last_name {
                account.last_name = own(last_name);
            }
            if let Some(language) = change.language {
                account.language = language;
            }
            if let Some(settings) = change.settings {
                account.settings = settings;
            }
        });
        let before = subscriber.identity();
        let account = changed.await.map_err(refusal_of)?;
        if account.identity(&subscriber.named) != before {
            self.watch_under_new_name(subscriber, before);
        }
        self.tell(subscriber, Told::Everybody);
        Ok(account)
    }
}

/// A failure with an account, as its owner is told.
pub(super) fn refusal_of(error: HomeError) -> Refusal {
    match error {
        HomeError::Store(error) => super::super::refused(error),
        HomeError::Account { reason, .. } => Refusal::BadRequest { reason },
        HomeError::Config(_) | HomeError::NoAccount(_) => Refusal::Internal {
            reason: error.to_string(),
        },
    }
}

fn is_language(tag: &str) -> bool {
    (2..=35).contains(&tag.len())
        && tag
            .split('-')
            .all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()))
}
