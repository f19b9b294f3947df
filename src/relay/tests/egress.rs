//! An egress that does what a test says, in the order of its script, and remembers what it was asked.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use tokio::sync::oneshot;

use crate::{
    model::{
        Acceptance, Answer, Content, Domain, Found, Protocol, RecipientOutcome, Refusal, Request, SendMessage,
    },
    relay::{Delivery, Egress, Undelivered},
};

#[derive(Debug)]
pub(super) struct Scripted {
    protocol: Protocol,
    script: Mutex<VecDeque<Play>>,
    asked: Mutex<Vec<Delivery>>,
    hanging: Mutex<Vec<Domain>>,
    down: Mutex<Vec<Domain>>,
}

/// What the next hop does with one request; without a script it takes everything.
#[derive(Debug)]
enum Play {
    Say(Result<Answer, Undelivered>),
    /// Waits until it is let go, then takes it.
    Hold(oneshot::Receiver<()>),
    /// Waits until it is let go, then takes nothing.
    HoldInVain(oneshot::Receiver<()>),
}

impl Scripted {
    pub(super) fn new(protocol: Protocol) -> Arc<Self> {
        Arc::new(Self {
            protocol,
            script: Mutex::default(),
            asked: Mutex::default(),
            hanging: Mutex::default(),
            down: Mutex::default(),
        })
    }

    pub(super) fn answers(&self, answer: Answer) {
        self.play(Play::Say(Ok(answer)));
    }

    pub(super) fn refuses(&self, refusal: Refusal) {
        self.play(Play::Say(Err(Undelivered::Refused(refusal))));
    }

    pub(super) fn takes_nothing(&self) {
        self.play(Play::Say(Err(Undelivered::NotTaken(super::unreachable()))));
    }

    pub(super) fn ends_connections(&self) {
        let domain = super::domain("beta.example");
        let refusal = Refusal::EndsConnections { domain };
        self.play(Play::Say(Err(Undelivered::NotTaken(refusal))));
    }

    pub(super) fn hangs_up(&self) {
        let (domain, reason) = (super::domain("beta.example"), "reset".to_owned());
        let refusal = Refusal::Dropped { domain, reason };
        self.play(Play::Say(Err(Undelivered::NotTaken(refusal))));
    }

    pub(super) fn stays_silent(&self) {
        self.play(Play::Say(Err(Undelivered::Unanswered(super::timed_out()))));
    }

    /// The next request stays with the next hop until the sender is used or dropped.
    pub(super) fn holds(&self) -> oneshot::Sender<()> {
        let (release, held) = oneshot::channel();
        self.play(Play::Hold(held));
        release
    }

    /// The next request stays with the next hop until the sender is used or dropped, and is not taken then.
    pub(super) fn holds_in_vain(&self) -> oneshot::Sender<()> {
        let (release, held) = oneshot::channel();
        self.play(Play::HoldInVain(held));
        release
    }

    /// From now on whatever goes to this domain is never answered, and no part of the script is used up by it.
    pub(super) fn hangs_at(&self, domain: &str) {
        self.hanging.lock().unwrap().push(super::domain(domain));
    }

    /// From now on this domain takes nothing, and no part of the script is used up by it.
    pub(super) fn is_down_at(&self, domain: &str) {
        self.down.lock().unwrap().push(super::domain(domain));
    }

    /// Whatever was down or never answered does what the script says again.
    pub(super) fn is_up(&self) {
        self.down.lock().unwrap().clear();
        self.hanging.lock().unwrap().clear();
    }

    /// How often something went to this domain since the last look.
    pub(super) fn count_for(&self, domain: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|one| one.domain.as_str() == domain).count()
    }

    /// What was asked so far, and is forgotten now.
    pub(super) fn asked(&self) -> Vec<Delivery> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    /// Whether anything went to this domain since the last look.
    pub(super) fn has_been_asked_for(&self, domain: &str) -> bool {
        let asked = self.asked.lock().unwrap();
        asked.iter().any(|delivery| delivery.domain.as_str() == domain)
    }

    /// The messages among what was asked, and is forgotten now.
    pub(super) fn messages(&self) -> Vec<SendMessage> {
        let message = |delivery: Delivery| match delivery.request {
            Request::Send(message) => Some(message),
            _ => None,
        };
        self.asked().into_iter().filter_map(message).collect()
    }

    /// What the messages said that were asked, and are forgotten now.
    pub(super) fn texts(&self) -> Vec<String> {
        let text = |content: Content| content.as_text().unwrap().to_owned();
        self.messages().into_iter().map(|one| text(one.content)).collect()
    }

    /// Waits until it has been asked so often.
    pub(super) async fn is_asked(&self, times: usize) {
        while self.asked.lock().unwrap().len() < times {
            tokio::task::yield_now().await;
        }
    }

    fn play(&self, play: Play) {
        self.script.lock().unwrap().push_back(play);
    }
}

#[async_trait::async_trait]
impl Egress for Scripted {
    fn protocol(&self) -> Protocol {
        self.protocol
    }

    async fn deliver(&self, delivery: Delivery) -> Result<Answer, Undelivered> {
        let request = delivery.request.clone();
        let hangs = self.hanging.lock().unwrap().contains(&delivery.domain);
        let is_down = self.down.lock().unwrap().contains(&delivery.domain);
        self.asked.lock().unwrap().push(delivery);
        if is_down {
            return Err(Undelivered::NotTaken(super::unreachable()));
        }
        if hangs {
            std::future::pending::<()>().await;
        }
        let play = self.script.lock().unwrap().pop_front();
        match play {
            Some(Play::Say(answer)) => answer,
            Some(Play::Hold(held)) => {
                let _ = held.await;
                Ok(taken(&request))
            }
            Some(Play::HoldInVain(held)) => {
                let _ = held.await;
                Err(Undelivered::NotTaken(super::unreachable()))
            }
            None => Ok(taken(&request)),
        }
    }
}

fn taken(request: &Request) -> Answer {
    let recipients = request
        .recipients()
        .into_iter()
        .map(|recipient| RecipientOutcome {
            recipient: recipient.clone(),
            outcome: Ok(Acceptance::Taken),
        });
    match request {
        Request::Send(message) => Answer::Sent {
            id: message.id.clone(),
            recipients: recipients.collect(),
        },
        Request::Search(_) => Answer::Found(Found::default()),
        Request::GetPresence(_) => Answer::Presence(Vec::new()),
        Request::Subscribe(_) | Request::Unsubscribe(_) | Request::ContactAdded(_) => {
            Answer::Recipients(recipients.collect())
        }
        _ => Answer::Done,
    }
}
