//! An operator on the other side of the gateway: sessions by the ladder, documents by the project's codec, own sockets.
//!
//! It outlives the gateway's process, keeps its sessions, and repeats nothing by itself: a document that can't be posted is
//! gone. What arrives inside a session is handed to the test, unless the side's manner forbids.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use impsgw::wire::ssp::{
    Document, Limits, Profile, SessionId, SetupPrimitive, SetupTransaction, Transaction, TransactionId,
    decode, encode,
    ladder::{Delivery, Input, LadderKey, Ladders, Match, Output, Session, Settings, Step, Token, Verdict},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    time::timeout,
};

/// A side, and what has come to it.
pub(crate) struct Side {
    pub(crate) domain: &'static str,
    pub(crate) address: SocketAddr,
    /// Of one gateway; each document goes to one of them at random.
    gateways: Vec<SocketAddr>,
    ladders: Mutex<Ladders>,
    /// Our ID of a session, by the one that the gateway sends.
    sessions: Mutex<HashMap<SessionId, SessionId>>,
    newest: watch::Sender<Option<SessionId>>,
    inbox: mpsc::UnboundedSender<Arrived>,
    manner: Mutex<Manner>,
    documents: AtomicUsize,
}

/// How a side deals with documents.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Manner {
    /// As it should.
    Proper,
    /// Acknowledges at once and answers after so long.
    Slow(Duration),
    /// Acknowledges, and never answers.
    Silent,
    /// Takes nothing: HTTP 500.
    Fails,
    /// Of three documents it takes one properly, one with octets in the place of an HTTP answer, and throws one away with such;
    /// and of two answers one is no document.
    Garbage,
}

/// A document of a session: our ID of the session, and what was in it.
pub(crate) type Arrived = (SessionId, Vec<Transaction>);

impl Side {
    /// A side of this domain that listens, towards a gateway of one node.
    pub(crate) async fn new(
        domain: &'static str,
        gateway: SocketAddr,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<Arrived>) {
        Self::of_many(domain, vec![gateway]).await
    }

    /// A side towards a gateway of many nodes.
    pub(crate) async fn of_many(
        domain: &'static str,
        gateways: Vec<SocketAddr>,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<Arrived>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (inbox, arrived) = mpsc::unbounded_channel();
        let side = Arc::new(Self {
            domain,
            address: listener.local_addr().unwrap(),
            gateways,
            ladders: Mutex::new(Ladders::new(64)),
            sessions: Mutex::default(),
            newest: watch::Sender::new(None),
            inbox,
            manner: Mutex::new(Manner::Proper),
            documents: AtomicUsize::new(0),
        });
        tokio::spawn(Arc::clone(&side).accept(listener));
        tokio::spawn(Arc::clone(&side).keep_time());
        (side, arrived)
    }

    /// Opens a session with the gateway; the ID to send, none when it came to nothing.
    pub(crate) async fn open(self: &Arc<Self>, gateway_domain: &str) -> Option<SessionId> {
        let mut newest = self.newest.subscribe();
        newest.mark_unchanged();
        let (now, settings) = (Instant::now(), Settings::default());
        self.ladders()
            .initiate(self.domain, gateway_domain, token(), now, settings)
            .ok()?;
        self.drive();
        timeout(Duration::from_secs(5), newest.changed())
            .await
            .ok()?
            .ok()?;
        newest.borrow().clone()
    }

    /// Posts a document of a session; the HTTP status, `None` when there was none.
    pub(crate) async fn post(&self, session_id: SessionId, transactions: Vec<Transaction>) -> Option<u16> {
        let document = Document::Session {
            session_id,
            transactions,
        };
        self.post_document(&document).await
    }

    /// Changes the manner, from the next document and answer on.
    pub(crate) fn behave(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    pub(crate) fn manner(&self) -> Manner {
        *self.manner.lock().unwrap()
    }

    async fn post_document(&self, document: &Document) -> Option<u16> {
        self.post_octets(&encode(document, &Profile::STRICT)).await
    }

    /// Posts whatever this is, to the next node where one does not take the connection or closes it without an answer.
    pub(crate) async fn post_octets(&self, body: &[u8]) -> Option<u16> {
        for _ in &self.gateways {
            let answer = timeout(Duration::from_secs(10), self.exchange(body)).await.ok()?;
            if let Some(answer) = answer.filter(|answer| !answer.is_empty()) {
                return answer.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok();
            }
        }
        None
    }

    /// The answer to a document, empty or none when the connection was closed instead.
    async fn exchange(&self, body: &[u8]) -> Option<String> {
        let mut stream = self.connect().await?;
        let head = format!(
            "POST / HTTP/1.1\r\nHost: alpha.example\r\nContent-Type: application/vnd.wv.ssp+xml\r\n\
             Connection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).await.ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok()?;
        Some(String::from_utf8_lossy(&answer).into_owned())
    }

    async fn connect(&self) -> Option<TcpStream> {
        let mut gateways = self.gateways.clone();
        fastrand::shuffle(&mut gateways);
        for gateway in gateways {
            if let Ok(stream) = TcpStream::connect(gateway).await {
                return Some(stream);
            }
        }
        None
    }

    async fn accept(self: Arc<Self>, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(Arc::clone(&self).serve(stream));
        }
    }

    async fn serve(self: Arc<Self>, mut stream: TcpStream) {
        let mut read = Vec::new();
        while let Some(body) = next_body(&mut stream, &mut read).await {
            let count = self.documents.fetch_add(1, Ordering::Relaxed);
            let is_garbage = self.manner() == Manner::Garbage && !count.is_multiple_of(3);
            let status = match self.manner() {
                Manner::Fails => "500",
                Manner::Garbage if count % 3 == 1 => "thrown away",
                Manner::Proper | Manner::Slow(_) | Manner::Silent | Manner::Garbage => self.take(&body),
            };
            let answer = if is_garbage {
                b"\0\xff<garbage>\r\n\r\n".to_vec()
            } else {
                format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n").into_bytes()
            };
            if stream.write_all(&answer).await.is_err() || is_garbage {
                return;
            }
        }
    }

    fn take(self: &Arc<Self>, body: &[u8]) -> &'static str {
        // A document that was cut short by the kill never gets here: its length says so.
        let document = decode(body, &Limits::default(), &Profile::STRICT)
            .unwrap()
            .document;
        match document {
            Document::Setup(step) => self.take_step(step),
            Document::Session {
                session_id,
                transactions,
            } => match self.own_id(&session_id) {
                Some(own) => self.inbox.send((own, transactions)).map_or("503", |()| "200"),
                None => "403",
            },
        }
    }

    fn take_step(self: &Arc<Self>, step: SetupTransaction) -> &'static str {
        let now = Instant::now();
        let mut ladders = self.ladders();
        let verdict = match ladders.find(&step, |_| true) {
            Match::Known(key) => ladders.handle(key, Input::Received(Box::new(step)), now),
            Match::Opening { peer_domain } => {
                let SetupPrimitive::SendSecretToken(first) = step.primitive else {
                    return "403";
                };
                let opening = (step.id, &first.secret);
                ladders
                    .respond(
                        self.domain,
                        &peer_domain,
                        opening,
                        token(),
                        now,
                        Settings::default(),
                    )
                    .map_or(Verdict::Refused, |_| Verdict::Taken)
            }
            Match::Foreign { .. } | Match::Unknown => Verdict::Refused,
        };
        drop(ladders);
        self.drive();
        match verdict {
            Verdict::Taken => "200",
            Verdict::Refused => "403",
        }
    }

    fn drive(self: &Arc<Self>) {
        loop {
            let Some((key, output)) = self.ladders().poll() else {
                return;
            };
            match output {
                Output::Send { step, transaction } => {
                    tokio::spawn(Arc::clone(self).send_step(key, step, *transaction));
                }
                Output::Honour(session) => self.keep(&session),
                Output::Established(session) => {
                    self.keep(&session);
                    self.newest.send_replace(Some(session.own_session_id));
                }
                Output::Failed(_) | Output::WakeAt(_) => {}
            }
        }
    }

    async fn send_step(self: Arc<Self>, key: LadderKey, step: Step, transaction: SetupTransaction) {
        let delivery = match self.post_document(&Document::Setup(transaction)).await {
            Some(200..300) => Delivery::Accepted,
            Some(_) => Delivery::Refused,
            None => Delivery::Unreachable,
        };
        if step != Step::Failure {
            self.ladders()
                .handle(key, Input::Delivered { step, delivery }, Instant::now());
        }
        self.drive();
    }

    async fn keep_time(self: Arc<Self>) {
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        loop {
            tick.tick().await;
            self.ladders().tick(Instant::now());
            self.drive();
        }
    }

    fn keep(&self, session: &Session) {
        let ids = (session.peer_session_id.clone(), session.own_session_id.clone());
        self.sessions.lock().unwrap().extend([ids]);
    }

    fn own_id(&self, of_gateway: &SessionId) -> Option<SessionId> {
        self.sessions.lock().unwrap().get(of_gateway).cloned()
    }

    fn ladders(&self) -> MutexGuard<'_, Ladders> {
        self.ladders.lock().unwrap()
    }
}

fn token() -> Token {
    Token {
        transaction_id: TransactionId::new(format!("l-{:x}", fastrand::u128(..))),
        secret: fastrand::u128(..).to_ne_bytes(),
        session: fastrand::u128(..).to_ne_bytes(),
    }
}

/// The body of the next POST on a connection; `None` when there is no more whole one.
async fn next_body(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<Vec<u8>> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(read.get(..end)?).to_ascii_lowercase();
            let length = head.split("content-length:").nth(1)?.split("\r\n").next()?;
            let whole = end + 4 + length.trim().parse::<usize>().ok()?;
            if read.len() >= whole {
                return read.drain(..whole).skip(end + 4).collect::<Vec<u8>>().into();
            }
        }
        match stream.read(&mut buffer).await.ok()? {
            0 => return None,
            count => read.extend_from_slice(buffer.get(..count)?),
        }
    }
}
