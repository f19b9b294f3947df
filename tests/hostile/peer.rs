//! A scripted peer: its own sockets and its own HTTP, so that it can say what no honest peer says.
//!
//! It shares the codec of documents with the gateway, because the codec has its own second opinion elsewhere, and nothing
//! else. What the gateway posts to it is acknowledged as the test wants and handed to the test.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use impsgw::wire::ssp::{
    Document, Limits, LoginRequest, LoginResponse, Mode, Primitive, Profile, Secret, SendMessageRequest,
    SendSecretToken, SessionId, SetupPrimitive, SetupTransaction, Status, StatusCode, Transaction,
    TransactionId, decode, encode,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

/// A peer's server and what has come to it.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) domain: String,
    pub(crate) address: SocketAddr,
    /// The session that the gateway has opened last.
    pub(crate) latest: Option<Session>,
    posts: mpsc::UnboundedReceiver<Document>,
    manners: Arc<Mutex<Manners>>,
    floods: Arc<AtomicUsize>,
}

/// What the peer's server does with a POST.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Manners {
    /// 200 at once.
    #[default]
    Acknowledges,
    /// Reads it and closes the connection.
    HangsUp,
    /// Reads it and says nothing.
    IsSilent,
    /// Answers with something that is no HTTP.
    Babbles,
    /// Answers with a header section that has no end.
    FloodsHeaders,
    /// Answers 200 with a body that has no end.
    FloodsBody,
    /// Reads it, and does nothing until it has other manners.
    Hesitates,
    /// Acknowledges handshakes, and knows none of the sessions that they open.
    ForgetsSessions,
}

/// Where the nodes of a gateway are; each document goes to one of them by chance.
#[derive(Clone, Debug)]
pub(crate) struct Gateways(Vec<SocketAddr>);

impl Gateways {
    fn pick(&self) -> SocketAddr {
        self.0[fastrand::usize(..self.0.len())]
    }
}

impl From<SocketAddr> for Gateways {
    fn from(gateway: SocketAddr) -> Self {
        Self(vec![gateway])
    }
}

impl From<&[SocketAddr]> for Gateways {
    fn from(gateways: &[SocketAddr]) -> Self {
        Self(gateways.to_vec())
    }
}

/// A session that a test has opened.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// Issued by the peer, for what it sends.
    pub(crate) id: String,
    /// Issued by the gateway.
    pub(crate) of_gateway: String,
}

impl Peer {
    /// A server of `<name>.example`.
    pub(crate) async fn new(name: &'static str) -> Self {
        let listener = TcpListener::bind(super::stage::loopback()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, posts) = mpsc::unbounded_channel();
        let manners = Arc::new(Mutex::new(Manners::default()));
        let floods = Arc::new(AtomicUsize::new(0));
        let server = Server {
            posts: sender,
            manners: Arc::clone(&manners),
            floods: Arc::clone(&floods),
        };
        tokio::spawn(server.accept(listener));
        Self {
            name,
            domain: format!("{name}.example"),
            address,
            latest: None,
            posts,
            manners,
            floods,
        }
    }

    /// Waits until the gateway has had enough of a flood.
    pub(crate) async fn was_cut_off(&self) {
        for _ in 0..500 {
            if self.floods.load(Ordering::Relaxed) > 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the gateway reads a flood without end");
    }

    /// From now on it does this with what is posted to it.
    pub(crate) fn behave(&self, manners: Manners) {
        *self.manners.lock().unwrap() = manners;
    }

    /// The next document that the gateway posts.
    pub(crate) async fn next(&mut self) -> Document {
        let post = tokio::time::timeout(Duration::from_secs(10), self.posts.recv()).await;
        post.unwrap_or_else(|_| panic!("the gateway posted nothing to {}", self.name))
            .unwrap()
    }

    /// The documents that have come so far.
    pub(crate) fn drain(&mut self) -> Vec<Document> {
        std::iter::from_fn(|| self.posts.try_recv().ok()).collect()
    }

    /// The next transaction in a session that is no request of the gateway's own.
    pub(crate) async fn answer(&mut self) -> Transaction {
        self.answers(1).await.remove(0)
    }

    /// So many answers, in whatever documents they come.
    pub(crate) async fn answers(&mut self, count: usize) -> Vec<Transaction> {
        let mut answers = Vec::new();
        while answers.len() < count {
            if let Document::Session { transactions, .. } = self.next().await {
                answers.extend(transactions.into_iter().filter(|one| one.mode == Mode::Response));
            }
        }
        answers
    }

    /// The status of the answer to a transaction that is sent in a session.
    pub(crate) async fn ask(
        &mut self,
        gateway: SocketAddr,
        session: &Session,
        inner: &str,
    ) -> (StatusCode, String) {
        let reply = post(gateway, &in_session(&session.id, &request("t-1", inner))).await;
        assert_eq!(reply, 200, "{inner}");
        let answer = self.answer().await;
        (code(&answer.primitive), format!("{:?}", answer.primitive))
    }

    /// Opens a session as initiator.
    pub(crate) async fn open(&mut self, gateway: impl Into<Gateways>) -> Session {
        let gateway = &gateway.into();
        let number = self.address.port();
        let ladder = format!("l-{number}-{}", fastrand::u32(..));
        let service = format!("wv:@{}", self.domain);
        let secret = Secret::new(*b"5f2d9a0c7be14638");
        let step = SendSecretToken::new(service.clone(), secret.clone());
        self.step(gateway, &ladder, SetupPrimitive::SendSecretToken(step))
            .await;
        let SetupPrimitive::SendSecretToken(token) = self.next_step().await else {
            panic!("no second step");
        };
        let step = LoginRequest {
            service_id: service,
            time_to_live: Some(Duration::from_secs(86_400)),
            digest: token.secret.digest(),
        };
        self.step(gateway, &ladder, SetupPrimitive::LoginRequest(step))
            .await;
        let SetupPrimitive::LoginRequest(login) = self.next_step().await else {
            panic!("no fourth step");
        };
        assert_eq!(login.digest, secret.digest());
        let id = format!("{}@{}", fastrand::u64(..), self.domain);
        self.step(gateway, &ladder, announcement(&id)).await;
        let SetupPrimitive::LoginResponse(answer) = self.next_step().await else {
            panic!("no sixth step");
        };
        let of_gateway = answer.session_id.unwrap().as_str().to_owned();
        Session { id, of_gateway }
    }

    /// Lets the gateway open a session with it.
    pub(crate) async fn be_opened(&mut self, gateway: impl Into<Gateways>) {
        let gateway = &gateway.into();
        loop {
            if let Document::Setup(opening) = self.next().await {
                return self.go_on(gateway, opening).await;
            }
        }
    }

    /// The next request of the gateway, for which it may open a session before.
    pub(crate) async fn asked_anywhere(&mut self, gateway: impl Into<Gateways>) -> (String, Primitive) {
        let gateway = &gateway.into();
        loop {
            match self.next().await {
                Document::Setup(opening) => self.go_on(gateway, opening).await,
                Document::Session { transactions, .. } => {
                    if let Some(one) = transactions.into_iter().find(|one| one.mode == Mode::Request) {
                        return (one.id.as_str().to_owned(), one.primitive);
                    }
                }
            }
        }
    }

    async fn go_on(&mut self, gateway: &Gateways, opening: SetupTransaction) {
        let id = opening.id.as_str().to_owned();
        let SetupPrimitive::SendSecretToken(token) = opening.primitive else {
            panic!("no first step: {:?}", opening.primitive);
        };
        let service = format!("wv:@{}", self.domain);
        let step = SendSecretToken::new(service.clone(), Secret::new(*b"00c0ffee00c0ffee"));
        let step = SetupPrimitive::SendSecretToken(step);
        self.respond(gateway, "p-2", step).await;
        self.next_step().await;
        let step = LoginRequest {
            service_id: service,
            time_to_live: None,
            digest: token.secret.digest(),
        };
        self.respond(gateway, &id, SetupPrimitive::LoginRequest(step))
            .await;
        let SetupPrimitive::LoginResponse(answer) = self.next_step().await else {
            panic!("no fifth step");
        };
        let own = format!("{}@{}", fastrand::u64(..), self.domain);
        self.respond(gateway, &id, announcement(&own)).await;
        self.latest = Some(Session {
            id: own,
            of_gateway: answer.session_id.unwrap().as_str().to_owned(),
        });
    }

    /// The next request of the gateway, as transaction ID and primitive.
    pub(crate) async fn asked(&mut self) -> (String, Primitive) {
        loop {
            if let Document::Session { transactions, .. } = self.next().await
                && let Some(one) = transactions.into_iter().find(|one| one.mode == Mode::Request)
            {
                return (one.id.as_str().to_owned(), one.primitive);
            }
        }
    }

    async fn next_step(&mut self) -> SetupPrimitive {
        match self.next().await {
            Document::Setup(step) => step.primitive,
            Document::Session { transactions, .. } => panic!("no step of a ladder: {transactions:?}"),
        }
    }

    async fn step(&self, gateway: &Gateways, id: &str, primitive: SetupPrimitive) {
        assert_eq!(
            post(gateway.pick(), &setup(Mode::Request, id, primitive)).await,
            200
        );
    }

    async fn respond(&self, gateway: &Gateways, id: &str, primitive: SetupPrimitive) {
        assert_eq!(
            post(gateway.pick(), &setup(Mode::Response, id, primitive)).await,
            200
        );
    }
}

/// A step of a ladder as a document.
pub(crate) fn setup(mode: Mode, id: &str, primitive: SetupPrimitive) -> Vec<u8> {
    let step = SetupTransaction {
        mode,
        id: TransactionId::new(id),
        primitive,
    };
    encode(&Document::Setup(step), &Profile::STRICT)
}

/// A document of a session around transactions.
pub(crate) fn in_session(session: &str, transactions: &str) -> Vec<u8> {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?><WV-SSP-Message xmlns="http://www.openmobilealliance.org/DTD/WV-SSP1.3"><Session sessionID="{session}">{transactions}</Session></WV-SSP-Message>"#
    )
    .into_bytes()
}

/// A transaction that asks.
pub(crate) fn request(id: &str, inner: &str) -> String {
    format!(r#"<Transaction mode="Request" transactionID="{id}">{inner}</Transaction>"#)
}

/// A transaction that answers.
pub(crate) fn response(id: &str, inner: &str) -> String {
    format!(r#"<Transaction mode="Response" transactionID="{id}">{inner}</Transaction>"#)
}

/// A text message.
pub(crate) fn message(id: &str, from: &str, to: &str) -> String {
    format!(
        r#"<SendMessageRequest deliveryReport="No"><MessageInfo messageID="{id}" contentType="text/plain"><Recipient><UserID>{to}</UserID></Recipient><Sender><UserID>{from}</UserID></Sender></MessageInfo><ContentData contentType="text/plain" encoding="BASE64">aGVsbG8=</ContentData></SendMessageRequest>"#
    )
}

/// The answer of a peer that takes a message.
pub(crate) fn taken_as(id: &str) -> String {
    answer_of(id, 200)
}

/// The answer of a peer to a message.
pub(crate) fn answer_of(id: &str, status: u16) -> String {
    format!("<SendMessageResponse messageID=\"{id}\"><Status code=\"{status}\"/></SendMessageResponse>")
}

/// The ID that a message carries.
pub(crate) fn message_id(message: &SendMessageRequest) -> &str {
    message.info.message_id.as_deref().unwrap()
}

/// The overall code of an answer.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what the tests ask for has one of these answers"
)]
pub(crate) fn code(primitive: &Primitive) -> StatusCode {
    match primitive {
        Primitive::Status(status) => status.code,
        Primitive::SendMessageResponse(response) => response.status.code,
        Primitive::SearchResponse(response) => response.status.code,
        Primitive::KeepAliveResponse(response) => response.status.code,
        Primitive::GetPresenceResponse(response) => response.status.code,
        other => panic!("no status in {other:?}"),
    }
}

/// Posts a document as an honest client would; the HTTP status.
pub(crate) async fn post(gateway: SocketAddr, body: &[u8]) -> u16 {
    let mut octets = format!(
        "POST / HTTP/1.1\r\nHost: alpha.example\r\nContent-Type: application/vnd.wv.ssp+xml\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    octets.extend_from_slice(body);
    status_of(&raw(gateway, &octets).await)
}

/// Sends octets on a connection of their own and reads until the gateway closes it or five seconds are over.
pub(crate) async fn raw(gateway: SocketAddr, octets: &[u8]) -> String {
    let stream = TcpStream::connect(gateway).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let octets = octets.to_vec();
    // The gateway may answer and close before all is sent.
    let sending = tokio::spawn(async move {
        let _ = writer.write_all(&octets).await;
        writer
    });
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), reader.read_to_end(&mut answer)).await;
    sending.abort();
    String::from_utf8_lossy(&answer).into_owned()
}

/// The status of the first answer; 0 when there is none.
pub(crate) fn status_of(answer: &str) -> u16 {
    answer
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .and_then(|code| code.parse().ok())
        .unwrap_or(0)
}

fn announcement(id: &str) -> SetupPrimitive {
    SetupPrimitive::LoginResponse(Box::new(LoginResponse {
        session_id: Some(SessionId::new(id)),
        time_to_live: Some(Duration::from_secs(86_400)),
        status: Status::new(StatusCode::SUCCESS),
        redirects: Vec::new(),
    }))
}

/// The peer's own server.
#[derive(Clone)]
struct Server {
    posts: mpsc::UnboundedSender<Document>,
    manners: Arc<Mutex<Manners>>,
    /// How many floods the gateway has cut off.
    floods: Arc<AtomicUsize>,
}

impl Server {
    async fn accept(self, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(self.clone().serve(stream));
        }
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut read = Vec::new();
        while let Some(body) = next_body(&mut stream, &mut read).await {
            let document = decode(&body, &Limits::default(), &Profile::STRICT)
                .unwrap()
                .document;
            let is_setup = matches!(document, Document::Setup(_));
            let manners = || *self.manners.lock().unwrap();
            let at_first = manners();
            if self.posts.send(document).is_err() {
                return;
            }
            let manners = if at_first == Manners::Hesitates {
                while manners() == Manners::Hesitates {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                manners()
            } else {
                at_first
            };
            let status = match manners {
                Manners::HangsUp | Manners::Hesitates => return,
                Manners::IsSilent => continue,
                Manners::Babbles => {
                    let _ = stream.write_all(&[0xff; 512]).await;
                    return;
                }
                Manners::FloodsHeaders => {
                    let pad = b"X-Pad: 0123456789012345678901234567890123456789\r\n";
                    return self.flood(stream, b"HTTP/1.1 200 OK\r\n", pad).await;
                }
                Manners::FloodsBody => {
                    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n";
                    return self.flood(stream, head, &[b'x'; 4096]).await;
                }
                Manners::ForgetsSessions if !is_setup => "404 Not Found",
                Manners::ForgetsSessions | Manners::Acknowledges => "200 OK",
            };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }

    async fn flood(&self, mut stream: TcpStream, head: &[u8], more: &[u8]) {
        let mut written = stream.write_all(head).await;
        while written.is_ok() {
            written = stream.write_all(more).await;
        }
        self.floods.fetch_add(1, Ordering::Relaxed);
    }
}

/// The body of the next POST on a connection.
async fn next_body(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<Vec<u8>> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
            let length = head.split("content-length:").nth(1)?;
            let length: usize = length.split("\r\n").next()?.trim().parse().ok()?;
            if read.len() >= end + 4 + length {
                let body = read[end + 4..end + 4 + length].to_vec();
                read.drain(..end + 4 + length);
                return Some(body);
            }
        }
        let count = stream.read(&mut buffer).await.ok()?;
        if count == 0 {
            return None;
        }
        read.extend_from_slice(&buffer[..count]);
    }
}
