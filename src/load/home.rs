//! The home server: sends numbered messages by a pace, takes the answers and reports.
//!
//! In a closed loop the next message waits for an answer to one under way; in an open loop a thread of its own calls the
//! beat, and latency counts from when a message was due, so that a slow gateway can't slow its own measurement.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{Semaphore, mpsc};

use super::{
    HOME_DOMAIN, PRIME_RECIPIENTS, Pace, Plan, Until, clock,
    ledger::Ledger,
    side::{Actor, Acts, Side},
    zones,
};
use crate::wire::ssp::{
    ContentData, Entity, MessageInfo, MetaInfo, Mode, Primitive, SendMessageRequest, SessionId, Status,
    StatusCode, Transaction, TransactionId, User,
};

/// What the home server remembers.
pub(super) struct Home {
    pub(super) ledger: Ledger,
    /// Places of the closed loop.
    window: Semaphore,
    /// The first refusals, for people.
    refusals: Mutex<Vec<String>>,
}

impl Home {
    pub(super) fn new(epoch: Instant) -> Self {
        Self {
            ledger: Ledger::new(epoch),
            window: Semaphore::new(0),
            refusals: Mutex::default(),
        }
    }

    /// The first few refusals.
    pub(super) fn refusals(&self) -> Vec<String> {
        self.refusals
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn answered(&self, id: &str, status: &Status) {
        let Some(number) = id.strip_prefix("m-").and_then(|number| number.parse().ok()) else {
            return;
        };
        if status.code != StatusCode::SUCCESS {
            let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
            if refusals.len() < 5 {
                let text = status.description.clone().unwrap_or_default();
                refusals.push(format!("{} {text}", status.code));
            }
        }
        if self.ledger.answered(number, status.code.0, clock()) {
            self.window.add_permits(1);
        }
    }
}

impl Actor for Home {
    fn act(&self, transactions: Vec<Transaction>) -> Acts {
        let mut acts = Acts::default();
        for transaction in transactions {
            let id = transaction.id;
            match (transaction.mode, transaction.primitive) {
                (Mode::Response, Primitive::SendMessageResponse(response)) => {
                    self.answered(id.as_str(), &response.status);
                }
                (Mode::Response, Primitive::Status(status)) => self.answered(id.as_str(), &status),
                (Mode::Request, Primitive::DeliveryStatusReport(report)) => {
                    let message = report.info.message_id.as_deref().unwrap_or_default();
                    let number = message
                        .rsplit_once('-')
                        .and_then(|(_, number)| number.parse().ok());
                    if let Some(number) = number {
                        self.ledger.reported(number);
                    }
                    let status = Status::new(StatusCode::SUCCESS);
                    acts.answers.push(Transaction::response(id, status));
                }
                _ => {}
            }
        }
        acts
    }
}

/// Drives messages through an open session.
pub(super) struct Driver {
    pub(super) side: Arc<Side<Home>>,
    pub(super) session: SessionId,
    pub(super) plan: Arc<Plan>,
    /// Part of every message ID, so that no run repeats another's.
    pub(super) run: String,
}

/// Which recipients a message has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Addressing {
    /// One, by the message's number.
    One,
    /// So many, from this group of one peer's numbers on: priming.
    Group { first: usize },
}

impl Driver {
    /// Routes every number once, with messages to many recipients each.
    pub(super) async fn prime(self: &Arc<Self>) {
        let (numbers, peers) = (self.plan.numbers, self.plan.peers);
        self.set_window(64);
        let of_peer = |peer: usize| (peer..numbers).step_by(peers).count();
        for peer in 0..peers {
            for chunk in 0..of_peer(peer).div_ceil(PRIME_RECIPIENTS) {
                let first = peer + chunk * PRIME_RECIPIENTS * peers;
                self.take_places(1).await;
                self.send(1, clock(), Addressing::Group { first });
            }
        }
        self.drain(Duration::from_secs(60)).await;
    }

    /// Sends by a pace until the end, and waits for the answers; the number of the first message.
    pub(super) async fn drive(self: &Arc<Self>, pace: Pace, until: Until) -> usize {
        let first = self.side.actor.ledger.len();
        match pace {
            Pace::Closed(window) => self.drive_closed(window, until).await,
            Pace::Open(rate) => self.drive_open(rate, until).await,
        }
        self.drain(Duration::from_secs(30)).await;
        first
    }

    async fn drive_closed(self: &Arc<Self>, window: usize, until: Until) {
        let batch = self.plan.batch.max(1);
        self.set_window(window.max(batch));
        let began = clock();
        let mut sent = 0;
        loop {
            let is_over = match until {
                Until::Count(count) => sent >= count,
                Until::Elapsed(duration) => clock().saturating_duration_since(began) >= duration,
            };
            if is_over {
                return;
            }
            self.take_places(batch).await;
            self.send(batch, clock(), Addressing::One);
            sent += batch;
        }
    }

    async fn drive_open(self: &Arc<Self>, rate: f64, until: Until) {
        let batch = self.plan.batch.max(1);
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
        let interval = Duration::from_secs_f64(batch as f64 / rate.max(0.001));
        let beats = match until {
            Until::Count(count) => count.div_ceil(batch),
            Until::Elapsed(_) => until.beats(interval),
        };
        let mut beat = beat(interval, beats);
        while let Some(due) = beat.recv().await {
            self.send(batch, due, Addressing::One);
        }
    }

    /// Posts one document of new messages.
    fn send(self: &Arc<Self>, count: usize, due: Instant, addressing: Addressing) {
        let wants_report = self.plan.reports && addressing == Addressing::One;
        let first = self.side.actor.ledger.open(count, due, wants_report);
        let driver = Arc::clone(self);
        tokio::spawn(async move {
            let messages = (first..first + count).map(|number| driver.message(number, addressing));
            let transactions = messages.collect();
            if !driver.side.post(driver.session.clone(), transactions).await {
                // Never taken, so never answered: the places of the closed loop are given back.
                driver.side.actor.window.add_permits(count);
            }
        });
    }

    fn message(&self, number: usize, addressing: Addressing) -> Transaction {
        let Plan { numbers, peers, .. } = *self.plan;
        let recipients = match addressing {
            Addressing::One => vec![self.recipient(number % numbers)],
            Addressing::Group { first } => (first..numbers)
                .step_by(peers)
                .take(PRIME_RECIPIENTS)
                .map(|index| self.recipient(index))
                .collect(),
        };
        let sender = format!("wv:s{:05}@{HOME_DOMAIN}", number % SENDERS);
        let content = content(number, self.plan.content);
        let info = MessageInfo {
            message_id: Some(format!("{}-{number}", self.run)),
            content_type: Some("text/plain".to_owned()),
            content_size: Some(content.len() as u64),
            validity: Some(Duration::from_secs(86_400)),
            ..MessageInfo::new(Entity::user(sender.clone()), recipients)
        };
        let request = SendMessageRequest {
            delivery_report: self.plan.reports && addressing == Addressing::One,
            meta: Some(MetaInfo::for_user(
                format!("wv:@{HOME_DOMAIN}"),
                User::new(sender),
            )),
            info,
            content: Some(ContentData::text(content)),
        };
        Transaction::request(TransactionId::new(format!("m-{number}")), request)
    }

    fn recipient(&self, index: usize) -> Entity {
        Entity::user(format!("wv:{}", zones::number(index, self.plan.peers)))
    }

    fn set_window(&self, places: usize) {
        let window = &self.side.actor.window;
        window.forget_permits(usize::MAX >> 4);
        window.add_permits(places);
    }

    async fn take_places(&self, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        if let Ok(places) = self.side.actor.window.acquire_many(count).await {
            places.forget();
        }
    }

    /// Waits until everything is answered, but not for ever.
    async fn drain(&self, patience: Duration) {
        let until = clock() + patience;
        while !self.side.actor.ledger.is_settled() && clock() < until {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// Calls the beat from a thread of its own, because a timer of the runtime is a millisecond coarse.
pub(super) fn beat(interval: Duration, beats: usize) -> mpsc::UnboundedReceiver<Instant> {
    let (sender, beat) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let mut due = clock();
        for _ in 0..beats {
            std::thread::sleep(due.saturating_duration_since(clock()));
            if sender.send(due).is_err() {
                return;
            }
            due += interval;
        }
    });
    beat
}

/// Text that begins with the message's number.
fn content(number: usize, octets: usize) -> String {
    let mut text = format!("{number} ");
    while text.len() < octets {
        text.push_str("See you at 6! ");
    }
    text.truncate(octets.max(MIN_CONTENT));
    text
}

/// The number that a content begins with.
pub(super) fn number_in(content: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(content).ok()?;
    text.split_once(' ')?.0.parse().ok()
}

/// Enough for a number and its space.
const MIN_CONTENT: usize = 24;
/// Distinct senders; with the numbers they make the conversations.
const SENDERS: usize = 99_991;
