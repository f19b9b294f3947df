//! "Added to contact list" (use case 5.20 steps 14 and 15): the subscriber is told in his language, and may add back.
//!
//! The text is the server's own, made from the template of his language; what the other side suggests is not shown. Whoever
//! has switched notices off, or blocked the adder, hears nothing; the adder's side is not told so. One notice of one person
//! waits at a time.

use super::{
    super::{HomeDomain, accounts::MAX_NAME, arrival::Arriving, event::Event, text},
    outcome,
};
use crate::model::{Answer, ContactAdded, Outcome, Refusal, WvAddress};

impl HomeDomain {
    /// Tells subscribers that somebody has added them.
    pub(super) async fn contact_was_added(&self, notice: ContactAdded) -> Outcome {
        let mut outcomes = Vec::with_capacity(notice.added.len());
        for added in &notice.added {
            let result = self.tell_added(&notice, added).await;
            outcomes.push(outcome(added.clone(), result));
        }
        Ok(Answer::Recipients(outcomes))
    }

    async fn tell_added(&self, notice: &ContactAdded, added: &WvAddress) -> Result<(), Refusal> {
        let subscriber = self.recipient(added)?;
        let by = self.person(&notice.by);
        let friendly_name = notice
            .friendly_name
            .as_deref()
            .map(|name| text::line(name, MAX_NAME));
        let friendly_name = friendly_name.filter(|name| !name.is_empty());
        let (language, is_contact) = {
            let state = subscriber.state();
            let is_quiet = !state.account.settings.notices
                || state.relations.blocks.contains_key(&by)
                || state.inbox.has_notice_by(&by);
            if is_quiet {
                return Ok(());
            }
            (
                state.account.language.clone(),
                state.relations.contacts.contains_key(&by),
            )
        };
        let address = notice.by.canonical().to_string();
        let name = friendly_name.as_deref().unwrap_or(&address);
        let (text, language) = self.words.contact_added(&language, name, &address);
        let event = Event::Notice {
            by: notice.by.canonical(),
            friendly_name,
            text,
            language,
            can_add_back: !is_contact,
        };
        let expires = self.clock.now().plus(super::super::KEPT);
        let arriving = Arriving {
            notice_by: Some(by),
            ..Arriving::new(&subscriber, event, expires)
        };
        self.take_in(vec![arriving]).await.into_iter().collect()
    }
}
