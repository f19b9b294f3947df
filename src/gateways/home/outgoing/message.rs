//! Messages that subscribers send (use case 5.22 steps 1 to 4).

use std::{sync::Arc, time::Duration};

use super::{
    super::{HomeDomain, incoming::new_message_id, subscriber::Subscriber, text},
    odd_answer,
};
use crate::{
    model::{
        Answer, Content, InvalidId, MessageId, RecipientOutcome, Refusal, Request, SendMessage, WvAddress,
    },
    relay::RequestKey,
};

/// A message as its sender wrote it.
#[derive(Clone, Debug)]
pub(crate) struct NewMessage {
    /// The device's own ID; a repeat with the same one is not sent twice.
    pub(crate) id: Option<String>,
    pub(crate) to: Vec<WvAddress>,
    pub(crate) content: Content,
    pub(crate) report_wanted: bool,
    pub(crate) validity: Option<Duration>,
    pub(crate) conversation: Option<String>,
}

impl HomeDomain {
    /// Sends a message; what each recipient's side said.
    ///
    /// # Errors
    /// When the message can't be sent to anybody.
    pub(crate) async fn send_message(
        &self,
        subscriber: &Arc<Subscriber>,
        new: NewMessage,
    ) -> Result<(MessageId, Vec<RecipientOutcome>), Refusal> {
        self.check(&new)?;
        let id = match &new.id {
            Some(id) => id.parse().map_err(|error: InvalidId| Refusal::BadRequest {
                reason: format!("the message ID: {error}"),
            })?,
            None => new_message_id()?,
        };
        let message = SendMessage {
            sender: subscriber.identity(),
            recipients: new.to,
            id: Some(id.clone()),
            report_wanted: new.report_wanted,
            validity: new.validity,
            sent_at: Some(self.clock.now()),
            content: new.content,
            conversation: new.conversation.map(|text| text::line(&text, 255)),
        };
        let key = RequestKey {
            // The sender is part of the identity, because devices of two subscribers may choose the same ID.
            id: format!("{} {id}", subscriber.number),
            is_transaction: false,
            hash: RequestKey::hash([
                message.content.media_type.as_str().as_bytes(),
                &message.content.bytes,
            ]),
        };
        let answer = self
            .ask(&subscriber.domain, Some(key), Request::Send(message))
            .await?;
        let recipients = match answer {
            Answer::Sent { recipients, .. } | Answer::Recipients(recipients) => recipients,
            Answer::Done | Answer::Found(_) | Answer::Presence(_) | Answer::Group(_) => {
                return Err(odd_answer());
            }
        };
        for one in recipients.iter().filter(|one| one.recipient.is_group()) {
            if let Err(refusal) = &one.outcome {
                self.heed(subscriber, &one.recipient, refusal).await?;
            }
        }
        Ok((id, recipients))
    }

    fn check(&self, new: &NewMessage) -> Result<(), Refusal> {
        let bad = |reason: String| Err(Refusal::BadRequest { reason });
        let limits = &self.config.limits;
        if new.to.is_empty() {
            return bad("a message needs a recipient".into());
        }
        if new.to.len() > limits.recipients {
            return bad(format!("a message has at most {} recipients", limits.recipients));
        }
        let (size, limit) = (new.content.bytes.len() as u64, limits.max_content.0);
        if size > limit {
            return Err(Refusal::TooLarge { size, limit });
        }
        new.content.as_text().map_or(Ok(()), text::message)
    }
}
