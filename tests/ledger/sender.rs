//! The operator that sends without a pause, and repeats under the same ID what was not answered before a kill, as its own
//! store would.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use impsgw::wire::ssp::{
    ContentData, Entity, MessageInfo, MetaInfo, Mode, Primitive, SendMessageRequest, SessionId, Status,
    StatusCode, Transaction, TransactionId, User,
};
use tokio::{sync::mpsc, time::timeout};

use super::{
    PATIENCE, WINDOW,
    books::Ledger,
    side::{Arrived, Side},
};

/// The operator that sends.
pub(crate) struct Sender {
    pub(crate) side: Arc<Side>,
    answers: mpsc::UnboundedReceiver<Arrived>,
    session: Option<SessionId>,
    ledger: Arc<Mutex<Ledger>>,
    /// Part of every message ID.
    run: u64,
    /// How long messages may wait from now on; as long as the gateway likes without.
    pub(crate) validity: Option<Duration>,
    validities: Vec<Option<Duration>>,
}

impl Sender {
    pub(crate) fn new(
        side: Arc<Side>,
        answers: mpsc::UnboundedReceiver<Arrived>,
        ledger: Arc<Mutex<Ledger>>,
        run: u64,
    ) -> Self {
        Self {
            side,
            answers,
            session: None,
            ledger,
            run,
            validity: None,
            validities: Vec::new(),
        }
    }

    /// Repeats what was not answered, in a new session when the gateway was killed before it had kept the old one; `false` when
    /// it opens none.
    pub(crate) async fn go_on_after_start(&mut self) -> bool {
        while let Ok((session, transactions)) = self.answers.try_recv() {
            self.take(session, transactions);
        }
        if let Some(session) = self.session.clone() {
            let nothing =
                Transaction::response(TransactionId::new("probe"), Status::new(StatusCode::SUCCESS));
            if self.side.post(session, vec![nothing]).await != Some(200) {
                self.session = None;
            }
        }
        if self.session.is_none() {
            self.session = self.side.open("alpha.example").await;
        }
        for number in self.unanswered() {
            self.ledger().asked_again.insert(number);
            self.post(number);
        }
        self.session.is_some()
    }

    /// Sends until so many more are answered.
    pub(crate) async fn until_answered(&mut self, more: usize) {
        let enough = self.answered() + more;
        let deadline = Instant::now() + PATIENCE;
        while self.answered() < enough {
            assert!(
                Instant::now() < deadline,
                "{} of {enough} answered",
                self.answered()
            );
            self.fill();
            self.listen(Duration::from_millis(100)).await;
        }
    }

    /// Sends for so long, and hears what comes.
    pub(crate) async fn for_a_while(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.fill();
            self.listen(left).await;
        }
    }

    /// Sends no more; whether everything is answered in the end.
    pub(crate) async fn all_answered(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while !self.unanswered().is_empty() && Instant::now() < deadline {
            self.listen(Duration::from_millis(100)).await;
        }
        self.unanswered().is_empty()
    }

    /// Sends nothing for so long, and hears what comes.
    pub(crate) async fn wait(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.listen(left).await;
        }
    }

    /// Takes the next document of the gateway, if one comes within the time.
    async fn listen(&mut self, time: Duration) {
        if let Ok(Some((session, transactions))) = timeout(time, self.answers.recv()).await {
            self.take(session, transactions);
        }
    }

    pub(crate) fn unanswered(&self) -> Vec<u32> {
        self.ledger().unanswered()
    }

    /// The number of a message, by its ID.
    pub(crate) fn number(&self, message_id: &str) -> Option<u32> {
        number(self.run, message_id)
    }

    fn answered(&self) -> usize {
        let ledger = self.ledger();
        ledger.accepted.len() + ledger.refused.len()
    }

    fn fill(&mut self) {
        let enough = self.answered() + WINDOW;
        while self.validities.len() < enough {
            let number = {
                let mut ledger = self.ledger();
                ledger.sent += 1;
                ledger.sent - 1
            };
            self.validities.push(self.validity);
            self.post(number);
        }
    }

    fn take(&mut self, session: SessionId, transactions: Vec<Transaction>) {
        for transaction in transactions {
            if let Primitive::DeliveryStatusReport(report) = &transaction.primitive {
                let number = report.info.message_id.as_deref().and_then(|id| self.number(id));
                assert_ne!(report.result.code, StatusCode::SUCCESS, "nobody asked for one");
                let result = format!("{:?}", report.result);
                self.ledger()
                    .told
                    .entry(number.unwrap())
                    .or_default()
                    .push(result);
                let status = Status::new(StatusCode::SUCCESS);
                let answer = Transaction::response(transaction.id, status);
                let (side, session) = (Arc::clone(&self.side), session.clone());
                tokio::spawn(async move { side.post(session, vec![answer]).await });
            } else if transaction.mode == Mode::Response {
                self.take_answer(&transaction);
            }
        }
    }

    fn take_answer(&self, answer: &Transaction) {
        let number = answer.id.as_str().strip_prefix("t-");
        let number: u32 = number.unwrap().parse().unwrap();
        let mut ledger = self.ledger();
        if let Primitive::SendMessageResponse(taken) = &answer.primitive
            && taken.status.code == StatusCode::SUCCESS
        {
            ledger.accepted.insert(number);
        } else {
            ledger.refused.insert(number, format!("{:?}", answer.primitive));
        }
    }

    fn post(&self, number: u32) {
        let validity = self.validities[number as usize];
        let (side, transaction) = (Arc::clone(&self.side), transaction(self.run, number, validity));
        let Some(session) = self.session.clone() else {
            return;
        };
        tokio::spawn(async move { side.post(session, vec![transaction]).await });
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }
}

/// A message by its number, the same each time.
pub(crate) fn transaction(run: u64, number: u32, validity: Option<Duration>) -> Transaction {
    let [from, to] = conversation(number);
    let info = MessageInfo {
        message_id: Some(format!("c-{run}-{number}")),
        content_type: Some("text/plain".to_owned()),
        validity,
        ..MessageInfo::new(Entity::user(from.clone()), vec![Entity::user(to)])
    };
    let request = SendMessageRequest {
        delivery_report: false,
        meta: Some(MetaInfo::for_user(
            "wv:@gamma.example".to_owned(),
            User::new(from),
        )),
        info,
        content: Some(ContentData::text(number.to_string())),
    };
    Transaction::request(TransactionId::new(format!("t-{number}")), request)
}

/// The number of a message of a run, by its ID.
pub(crate) fn number(run: u64, message_id: &str) -> Option<u32> {
    let ours = message_id.strip_prefix("c-")?.strip_prefix(&run.to_string())?;
    ours.strip_prefix('-')?.parse().ok()
}

/// Who a message is from and to: 12 conversations, a third of them with somebody who is named by his number.
pub(crate) fn conversation(number: u32) -> [String; 2] {
    let to = match number % 3 {
        0 => "wv:+447700900123".to_owned(),
        other => format!("wv:r{other}@beta.example"),
    };
    [format!("wv:s{}@gamma.example", number % 4), to]
}
