//! The operator that sends at a pace to a gateway of many nodes: each message to any node, and again to any other, under the
//! same IDs, when it is told to come again or hears nothing, as a server with a store of its own would.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use impsgw::wire::ssp::{Mode, Primitive, SessionId, Status, StatusCode, Transaction, TransactionId};
use tokio::{
    sync::mpsc,
    task::{JoinHandle, JoinSet},
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use crate::ledger::{
    books::Ledger,
    sender::{number, transaction},
    side::{Arrived, Side},
};

/// The operator, and what waits for its answers.
pub(crate) struct Senders {
    pub(crate) side: Arc<Side>,
    ledger: Arc<Mutex<Ledger>>,
    /// Part of every message ID.
    run: u64,
    session: tokio::sync::Mutex<Option<SessionId>>,
    waiting: Mutex<HashMap<u32, mpsc::UnboundedSender<Said>>>,
}

/// Messages that are being sent.
pub(crate) struct Load(JoinHandle<JoinSet<()>>, tokio::sync::watch::Sender<bool>);

/// The answer to a message.
#[derive(Clone, Debug)]
enum Said {
    Accepted,
    /// What was said.
    NotNow(String),
    Refused(String),
}

impl Senders {
    pub(crate) fn new(
        side: Arc<Side>,
        answers: mpsc::UnboundedReceiver<Arrived>,
        ledger: Arc<Mutex<Ledger>>,
        run: u64,
    ) -> Arc<Self> {
        let senders = Arc::new(Self {
            side,
            ledger,
            run,
            session: tokio::sync::Mutex::default(),
            waiting: Mutex::default(),
        });
        tokio::spawn(Arc::clone(&senders).hear(answers));
        senders
    }

    /// Sends so many messages a second until the load is ended.
    pub(crate) fn send(self: &Arc<Self>, per_second: u32) -> Load {
        let senders = Arc::clone(self);
        let (is_over, mut over) = tokio::sync::watch::channel(false);
        let sending = async move {
            let mut all = JoinSet::new();
            let mut beat = interval(Duration::from_secs(1) / per_second);
            beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    _ = over.wait_for(|is_over| *is_over) => return all,
                    _ = beat.tick() => {}
                }
                let number = senders.next_number();
                all.spawn(Arc::clone(&senders).until_known(number));
            }
        };
        Load(tokio::spawn(sending), is_over)
    }

    /// The number of a message, by its ID.
    pub(crate) fn number(&self, message_id: &str) -> Option<u32> {
        number(self.run, message_id)
    }

    fn next_number(&self) -> u32 {
        let mut ledger = self.ledger();
        ledger.sent += 1;
        ledger.sent - 1
    }

    /// Sends a message again and again until it has an answer that stays; one in a few is given up when nothing is heard.
    async fn until_known(self: Arc<Self>, number: u32) {
        let (said, mut answers) = mpsc::unbounded_channel();
        self.waiting.lock().unwrap().insert(number, said);
        loop {
            match self.ask(number, &mut answers).await {
                Some(Said::Accepted) => break,
                Some(Said::Refused(what)) => {
                    self.ledger().refused.insert(number, what);
                    break;
                }
                Some(Said::NotNow(what)) => self.ledger().not_now(number, what),
                None => {
                    self.ledger().no_answer(number);
                    if number.is_multiple_of(GIVES_UP) {
                        self.ledger().given_up.insert(number);
                        break;
                    }
                }
            }
            self.ledger().asked_again.insert(number);
            sleep(AGAIN.mul_f64(0.5 + fastrand::f64())).await;
        }
        // What is given up may be answered still.
        if !self.ledger().given_up.contains(&number) {
            self.waiting.lock().unwrap().remove(&number);
        }
    }

    async fn ask(&self, number: u32, answers: &mut mpsc::UnboundedReceiver<Said>) -> Option<Said> {
        let Some(session) = self.session().await else {
            return Some(Said::NotNow("no session".to_owned()));
        };
        let document = vec![transaction(self.run, number, None)];
        match self.side.post(session.clone(), document).await {
            Some(200) | None => timeout(ANSWER, answers.recv()).await.ok()?,
            Some(403) => {
                self.session.lock().await.take_if(|current| *current == session);
                Some(Said::NotNow("HTTP 403".to_owned()))
            }
            Some(status) => Some(Said::NotNow(format!("HTTP {status}"))),
        }
    }

    /// The session, opened when there is none; none when that comes to nothing.
    async fn session(&self) -> Option<SessionId> {
        let mut session = self.session.lock().await;
        if session.is_none() {
            *session = self.side.open("alpha.example").await;
        }
        session.clone()
    }

    async fn hear(self: Arc<Self>, mut answers: mpsc::UnboundedReceiver<Arrived>) {
        while let Some((session, transactions)) = answers.recv().await {
            for transaction in transactions {
                if let Primitive::DeliveryStatusReport(report) = &transaction.primitive {
                    let number = report.info.message_id.as_deref().and_then(|id| self.number(id));
                    let result = format!("{:?}", report.result);
                    let mut ledger = self.ledger();
                    ledger.told.entry(number.unwrap()).or_default().push(result);
                    drop(ledger);
                    let status = Status::new(StatusCode::SUCCESS);
                    let answer = Transaction::response(transaction.id, status);
                    let (side, session) = (Arc::clone(&self.side), session.clone());
                    tokio::spawn(async move { side.post(session, vec![answer]).await });
                } else if transaction.mode == Mode::Response {
                    self.take_answer(&transaction.id, &transaction.primitive);
                }
            }
        }
    }

    fn take_answer(&self, id: &TransactionId, answer: &Primitive) {
        let number: u32 = id.as_str().strip_prefix("t-").unwrap().parse().unwrap();
        let said = said(answer);
        if let Said::Accepted = said {
            let mut ledger = self.ledger();
            ledger.accepted.insert(number);
            ledger.given_up.remove(&number);
        }
        let waiting = self.waiting.lock().unwrap().get(&number).cloned();
        if let Some(waiting) = waiting {
            let _ = waiting.send(said);
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }
}

impl Load {
    /// Sends nothing new, and waits until everything has an answer that stays, or is given up.
    pub(crate) async fn end(self, within: Duration) {
        self.1.send_replace(true);
        let mut all = self.0.await.unwrap();
        let deadline = Instant::now() + within;
        let answered = async { while all.join_next().await.transpose().unwrap().is_some() {} };
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(
            timeout(left, answered).await.is_ok(),
            "messages that nobody answers"
        );
    }
}

fn said(answer: &Primitive) -> Said {
    let status = if let Primitive::SendMessageResponse(taken) = answer {
        &taken.status
    } else if let Primitive::Status(status) = answer {
        status
    } else {
        return Said::Refused(format!("{answer:?}"));
    };
    // What is so for each recipient stands in the details.
    let is_temporary = |code: StatusCode| code == StatusCode::SERVICE_UNAVAILABLE;
    let details = &status.details;
    let is_not_now = is_temporary(status.code)
        || (!details.is_empty() && details.iter().all(|detail| is_temporary(detail.code)));
    let why = details.iter().find_map(|detail| detail.description.clone());
    let why = status.description.clone().or(why).unwrap_or_default();
    match status.code {
        StatusCode::SUCCESS => Said::Accepted,
        code if is_not_now => Said::NotNow(format!("{code}: {why}")),
        _ => Said::Refused(format!("{status:?}")),
    }
}

/// How long an answer is waited for before the message is sent again; longer than the gateway may take.
const ANSWER: Duration = Duration::from_secs(8);
/// The pause before a message is sent again, in the mean.
const AGAIN: Duration = Duration::from_millis(600);
/// One message of so many is not sent again when nothing is heard of it.
const GIVES_UP: u32 = 5;
