//! The gateway's edge against a peer that a test plays by hand, document by document.
//!
//! What the gateway sends comes over a real socket; each document waits for the HTTP answer that the test gives. What the peer
//! sends is handed in as the listener would. The gateway's clock stands until it is moved; waits are for conditions.

mod handshakes;
mod links;
mod lives;
mod presented;
mod requests;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    SspConfig, SspGateway, SspParts,
    certificates::{Bundle, Certificates},
    link::{Ask, Expects, Link},
    server::{Answer, Arrival, Connection},
    servers::Servers,
};
use crate::{
    agreement::Agreements,
    model::{Domain, Timestamp, WvAddress},
    routing::{HomeDirectory, Router, RoutingConfig},
    store::{Store, sqlite::SqliteStore},
    telemetry::{Clock, ClockHand},
    wire::ssp::{
        Document, KeepAliveRequest, Limits, LoginRequest, LoginResponse, Mode, Primitive, Profile, Secret,
        SendSecretToken, SessionId, SetupPrimitive, SetupTransaction, Status, StatusCode, Transaction,
        TransactionId, decode, encode,
    },
};

/// The gateway of `alpha.example` and the peer `bravo.example`.
struct World {
    gateway: Arc<SspGateway>,
    peer: Peer,
    store: Arc<dyn Store>,
    hand: ClockHand,
    clock: Clock,
    config: SspConfig,
    agreements: Arc<ArcSwap<Agreements>>,
    /// The domain of ours that the link under test speaks as.
    own: Domain,
    /// The name that the peer asks for.
    spoken_to: Option<&'static str>,
}

/// The IDs of a session, by who sends them.
#[derive(Clone, Debug, PartialEq)]
struct Ids {
    ours: SessionId,
    theirs: SessionId,
}

impl World {
    async fn new() -> Self {
        Self::with(SspConfig::default()).await
    }

    /// The peer is of the observed kind.
    async fn observed() -> Self {
        Self::with_agreement(SspConfig::default(), "profile = \"observed\"\n").await
    }

    async fn with(config: SspConfig) -> Self {
        Self::with_agreement(config, "").await
    }

    async fn with_agreement(config: SspConfig, more: &str) -> Self {
        let peer = Peer::listen().await;
        let agreements = agreed(peer.address, more);
        let (clock, hand) = Clock::standing(Timestamp(1_800_000_000_000));
        let store: Arc<dyn Store> = Arc::new(SqliteStore::in_memory().unwrap());
        let agreements = Arc::new(ArcSwap::from_pointee(agreements));
        let gateway = gateway(&config, &agreements, &store, &clock).await;
        Self {
            gateway,
            peer,
            store,
            hand,
            clock,
            config,
            agreements,
            own: alpha(),
            spoken_to: None,
        }
    }

    /// The gateway's process ends, and another one takes up what is in the store.
    async fn restart(&mut self) {
        self.gateway = gateway(&self.config, &self.agreements, &self.store, &self.clock).await;
    }

    fn link(&self) -> Arc<Link> {
        self.gateway.link(&self.own, &bravo())
    }

    /// Our session in use.
    fn ids(&self) -> Option<Ids> {
        self.link().session().map(|session| Ids {
            ours: SessionId::new(session.own_id.as_str()),
            theirs: SessionId::new(session.peer_id.as_str()),
        })
    }

    /// The peer posts a document.
    async fn say(&self, document: &Document) -> Answer {
        self.say_from("127.0.0.1:4000", document).await
    }

    async fn say_from(&self, source: &str, document: &Document) -> Answer {
        let connection = Connection {
            source: source.parse().unwrap(),
            peer: None,
            server_name: self.spoken_to.map(Into::into),
            is_tls: false,
        };
        let arrival = Arrival {
            connection: Arc::new(connection),
            uri: "/".parse().unwrap(),
            headers: hyper::HeaderMap::new(),
            body: encode(document, &Profile::STRICT).into(),
        };
        self.gateway.receive(arrival).await
    }

    async fn say_step(&self, mode: Mode, id: &TransactionId, primitive: SetupPrimitive) -> Answer {
        let id = id.clone();
        self.say(&Document::Setup(SetupTransaction { mode, id, primitive }))
            .await
    }

    /// The peer posts transactions in a session.
    async fn say_in(&self, ids: &Ids, transactions: Vec<Transaction>) -> Answer {
        self.say(&Document::Session {
            session_id: ids.theirs.clone(),
            transactions,
        })
        .await
    }

    async fn answer(&self, ids: &Ids, id: &TransactionId, primitive: impl Into<Primitive>) {
        let answer = transaction(Mode::Response, id.as_str(), primitive);
        assert_eq!(self.say_in(ids, vec![answer]).await, Answer::Taken);
    }

    /// The peer takes part in the ladder that the gateway opens, to its end.
    async fn climb_with_gateway(&mut self, theirs: &str) -> Ids {
        let one = self.peer.step(Mode::Request).await;
        self.go_on_climbing(one, theirs).await
    }

    /// As `climb_with_gateway`, from step 1 on.
    async fn go_on_climbing(&mut self, one: SetupTransaction, theirs: &str) -> Ids {
        let id = one.id.clone();
        let two = self
            .say_step(Mode::Response, &TransactionId::new(theirs), token())
            .await;
        assert_eq!(two, Answer::Taken);
        let three = self.peer.step(Mode::Request).await;
        assert_eq!(three.id, id);
        assert_eq!(
            self.say_step(Mode::Response, &id, proof_of(&one)).await,
            Answer::Taken
        );
        let five = self.peer.step(Mode::Request).await;
        assert_eq!(
            self.say_step(Mode::Response, &id, session(theirs)).await,
            Answer::Taken
        );
        let ids = Ids {
            ours: session_id_of(&five),
            theirs: SessionId::new(theirs),
        };
        until(|| self.ids().as_ref() == Some(&ids)).await;
        ids
    }

    /// The peer opens a session; step 6 is not answered yet.
    async fn climb(&mut self, id: &str, theirs: &str) -> (Ids, Heard) {
        let id = TransactionId::new(id);
        assert_eq!(self.say_step(Mode::Request, &id, token()).await, Answer::Taken);
        let two = self.peer.step(Mode::Response).await;
        assert_eq!(
            self.say_step(Mode::Request, &id, proof_of(&two)).await,
            Answer::Taken
        );
        let four = self.peer.step(Mode::Response).await;
        assert_eq!(four.id, id);
        assert_eq!(
            self.say_step(Mode::Request, &id, session(theirs)).await,
            Answer::Taken
        );
        let heard = self.peer.next().await;
        let Document::Setup(six) = &heard.document else {
            panic!("{:?}", heard.document)
        };
        let ids = Ids {
            ours: session_id_of(six),
            theirs: SessionId::new(theirs),
        };
        (ids, heard)
    }

    /// An open session.
    async fn open(&mut self) -> Ids {
        let (ids, six) = self.climb("1", "903@bravo.example").await;
        six.take();
        until(|| self.ids().as_ref() == Some(&ids)).await;
        ids
    }

    /// What asks the peer for something; `seconds` tells the requests apart.
    fn ask(&self, seconds: u64, conversation: Option<&str>, wait: Duration) -> Asking {
        let (link, conversation) = (self.link(), conversation.map(str::to_owned));
        let ask = Ask {
            primitive: ask(seconds),
            conversation,
            expects: Expects::Answer,
            asked: None,
        };
        tokio::spawn(async move { link.request(ask, wait).await })
    }
}

type Asking = tokio::task::JoinHandle<Result<Option<Primitive>, super::link::LinkFault>>;

/// The peer's server.
struct Peer {
    address: SocketAddr,
    documents: mpsc::UnboundedReceiver<Heard>,
}

/// One document of the gateway's, whose HTTP answer is still to be given; dropped, the connection is closed without one.
struct Heard {
    document: Document,
    answer: oneshot::Sender<u16>,
}

impl Heard {
    /// Answers 200.
    fn take(self) -> Document {
        self.refuse(200)
    }

    fn refuse(self, status: u16) -> Document {
        let _ = self.answer.send(status);
        self.document
    }

    fn transactions(&self) -> &[Transaction] {
        match &self.document {
            Document::Session { transactions, .. } => transactions,
            Document::Setup(step) => panic!("{step:?}"),
        }
    }
}

impl Peer {
    async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, documents) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, sender.clone()));
            }
        });
        Self { address, documents }
    }

    async fn next(&mut self) -> Heard {
        let heard = timeout(PATIENCE, self.documents.recv()).await;
        heard.expect("the gateway sends nothing").unwrap()
    }

    /// A step of a ladder, which is taken.
    async fn step(&mut self, mode: Mode) -> SetupTransaction {
        match self.next().await.take() {
            Document::Setup(step) => {
                assert_eq!(step.mode, mode, "{step:?}");
                step
            }
            other @ Document::Session { .. } => panic!("{other:?}"),
        }
    }

    /// The only transaction of a document in a session, which is taken.
    async fn transaction(&mut self, ids: &Ids) -> Transaction {
        let Document::Session {
            session_id,
            mut transactions,
        } = self.next().await.take()
        else {
            panic!("a step of a ladder")
        };
        assert_eq!(session_id, ids.ours);
        assert_eq!(transactions.len(), 1, "{transactions:?}");
        transactions.remove(0)
    }

    /// Whether nothing has come.
    fn is_silent(&mut self) -> bool {
        self.documents.try_recv().is_err()
    }
}

async fn serve(mut stream: TcpStream, documents: mpsc::UnboundedSender<Heard>) {
    let mut read = Vec::new();
    loop {
        let (head, length) = loop {
            let text = String::from_utf8_lossy(&read);
            if let Some(end) = text.find("\r\n\r\n") {
                let length = text.lines().find_map(|line| {
                    line.to_ascii_lowercase()
                        .strip_prefix("content-length:")
                        .map(str::to_owned)
                });
                break (end + 4, length.unwrap().trim().parse::<usize>().unwrap());
            }
            if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
                return;
            }
        };
        while read.len() < head + length {
            if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let body: Vec<u8> = read.drain(..head + length).skip(head).collect();
        let decoded = decode(&body, &Limits::default(), &Profile::STRICT).unwrap();
        let (answer, answered) = oneshot::channel();
        let document = decoded.document;
        if documents.send(Heard { document, answer }).is_err() {
            return;
        }
        let Ok(status) = answered.await else { return };
        let answer = format!("HTTP/1.1 {status} Said\r\nContent-Length: 0\r\n\r\n");
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn gateway(
    config: &SspConfig,
    agreements: &Arc<ArcSwap<Agreements>>,
    store: &Arc<dyn Store>,
    clock: &Clock,
) -> Arc<SspGateway> {
    let router = Router::new(
        RoutingConfig::default(),
        Arc::new(Nobody),
        vec![alpha()],
        clock.clone(),
    );
    let router = Arc::new(router);
    let certificates = Certificates::new(Bundle::none());
    let gateway = SspGateway::new(SspParts {
        config: config.clone(),
        own: vec![alpha(), "eu.alpha.example".parse().unwrap()],
        service: "gateway.alpha.example".parse().unwrap(),
        agreements: Arc::clone(agreements),
        router: Arc::clone(&router),
        store: Arc::clone(store),
        clock: clock.clone(),
        node: "n1".into(),
        servers: Servers::new(certificates, router, config.clone()),
        cluster: None,
    });
    let gateway = gateway.await.unwrap();
    tokio::spawn(Arc::clone(&gateway).run_handshakes());
    gateway
}

/// Waits for a condition.
async fn until(holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, wait).await.expect("it never came to hold");
}

fn transaction(mode: Mode, id: &str, primitive: impl Into<Primitive>) -> Transaction {
    Transaction {
        mode,
        id: TransactionId::new(id),
        primitive: primitive.into(),
    }
}

fn ask(seconds: u64) -> Primitive {
    let time_to_live = Some(Duration::from_secs(seconds));
    KeepAliveRequest { time_to_live }.into()
}

fn asked(transaction: &Transaction) -> u64 {
    let Primitive::KeepAliveRequest(ask) = &transaction.primitive else {
        panic!("{transaction:?}")
    };
    ask.time_to_live.unwrap().as_secs()
}

/// The agreement with the peer at this address.
fn agreed(address: SocketAddr, more: &str) -> Agreements {
    let text = format!(
        "peer = \"bravo\"\ndomains = [\"bravo.example\"]\nservers = [\"{address}\"]\nallowed_networks = [\"127.0.0.0/8\"]\n\
         tls = {{ required = false, mutual = false }}\n{more}"
    );
    Agreements::new(vec![toml::from_str(&text).unwrap()])
}

fn success() -> Primitive {
    Status::new(StatusCode::SUCCESS).into()
}

fn token() -> SetupPrimitive {
    SetupPrimitive::SendSecretToken(SendSecretToken::new(
        "wv:@bravo.example".to_owned(),
        Secret::new("c0ffee5a11e7"),
    ))
}

/// The proof that a secret of the gateway's arrived.
fn proof_of(step: &SetupTransaction) -> SetupPrimitive {
    let SetupPrimitive::SendSecretToken(token) = &step.primitive else {
        panic!("{step:?}")
    };
    SetupPrimitive::LoginRequest(LoginRequest {
        service_id: "wv:@bravo.example".into(),
        time_to_live: None,
        digest: token.secret.digest(),
    })
}

fn session(id: &str) -> SetupPrimitive {
    SetupPrimitive::LoginResponse(Box::new(LoginResponse {
        session_id: Some(SessionId::new(id)),
        time_to_live: None,
        status: Status::new(StatusCode::SUCCESS),
        redirects: Vec::new(),
    }))
}

fn redirect(urls: &[String]) -> SetupPrimitive {
    SetupPrimitive::LoginResponse(Box::new(LoginResponse {
        session_id: None,
        time_to_live: None,
        status: Status::new(StatusCode::REDIRECT),
        redirects: urls.to_vec(),
    }))
}

fn session_id_of(step: &SetupTransaction) -> SessionId {
    let SetupPrimitive::LoginResponse(response) = &step.primitive else {
        panic!("{step:?}")
    };
    response.session_id.clone().unwrap()
}

fn code_of(transaction: &Transaction) -> StatusCode {
    let Primitive::Status(status) = &transaction.primitive else {
        panic!("{transaction:?}")
    };
    status.code
}

fn alpha() -> Domain {
    "alpha.example".parse().unwrap()
}

fn bravo() -> Domain {
    "bravo.example".parse().unwrap()
}

#[derive(Debug)]
struct Nobody;

impl HomeDirectory for Nobody {
    fn account(&self, _: &WvAddress) -> Option<Domain> {
        None
    }
}

/// For what must happen; a slow machine needs some of it.
const PATIENCE: Duration = Duration::from_secs(30);
