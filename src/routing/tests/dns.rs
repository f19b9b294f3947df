//! A DNS server that does what a test says: answers, fails, keeps silent, lies.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UdpSocket},
    task::JoinSet,
};

use crate::wire::naptr::{Name, Naptr, RecordType, Srv};

/// A server on loopback; it ends with the value.
pub(crate) struct Dns {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct State {
    replies: HashMap<(String, u16), Reply>,
    asked: HashMap<(String, u16), usize>,
    transports: Vec<&'static str>,
    is_down: bool,
}

/// What is said to a question.
#[derive(Clone)]
pub(crate) enum Reply {
    Records(Vec<Rr>),
    /// NXDOMAIN; the SOA's TTL and MINIMUM, where there is one.
    NxDomain(Option<(u32, u32)>),
    /// NOERROR without records, likewise.
    NoData(Option<(u32, u32)>),
    Rcode(u8),
    Silence,
    /// TC over UDP, the records over TCP.
    Truncated(Vec<Rr>),
    /// Octets that are no message, then a response with another identifier, then the records.
    AfterNoise(Vec<Rr>),
    /// FORMERR while the query has an OPT record.
    NoEdns(Vec<Rr>),
    /// The question comes back in small letters over UDP.
    SmallLetters(Vec<Rr>),
    /// With AD set.
    Proven(Vec<Rr>),
    /// NOERROR with the NS record of another server, as one says who does not have the name.
    Referral,
}

#[derive(Clone)]
pub(crate) struct Rr {
    owner: Option<String>,
    rtype: u16,
    ttl: u32,
    rdata: Vec<u8>,
}

impl Dns {
    pub(crate) async fn start() -> Self {
        let (udp, tcp) = loop {
            let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let address = tcp.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let mut tasks = JoinSet::new();
        tasks.spawn(over_udp(udp, Arc::clone(&state)));
        tasks.spawn(over_tcp(tcp, Arc::clone(&state)));
        Self {
            address,
            state,
            _tasks: tasks,
        }
    }

    pub(crate) fn say(&self, name: &str, rtype: RecordType, reply: Reply) {
        let key = (name.to_owned(), rtype.0);
        self.state.lock().unwrap().replies.insert(key, reply);
    }

    pub(crate) fn naptr(&self, name: &str, records: Vec<Rr>) {
        self.say(name, RecordType::NAPTR, Reply::Records(records));
    }

    pub(crate) fn srv(&self, name: &str, records: Vec<Rr>) {
        self.say(name, RecordType::SRV, Reply::Records(records));
    }

    pub(crate) fn a(&self, name: &str) {
        self.say(name, RecordType::A, Reply::Records(vec![a(300, [192, 0, 2, 1])]));
    }

    /// E1 and S1: the number is Alice's at `op.example`, which has one SSP server.
    pub(crate) fn alice(&self) {
        self.naptr(
            super::ENUM,
            vec![naptr(3600, 100, 10, "u", "E2U+im", "!^.*$!im:alice@op.example!")],
        );
        self.ssp("op.example");
    }

    /// A domain with one SSP server.
    pub(crate) fn ssp(&self, domain: &str) {
        let host = format!("a.{domain}.");
        self.srv(
            &format!("_imps-server._tcp.{domain}."),
            vec![srv(300, 10, 0, 8443, &host)],
        );
        self.a(&host);
    }

    /// A domain without an SSP server.
    pub(crate) fn is_mute(&self, domain: &str) {
        let name = format!("_imps-server._tcp.{domain}.");
        self.say(&name, RecordType::SRV, Reply::NxDomain(None));
    }

    /// How often a question came.
    pub(crate) fn asked(&self, name: &str, rtype: RecordType) -> usize {
        let key = (name.to_owned(), rtype.0);
        self.state.lock().unwrap().asked.get(&key).copied().unwrap_or(0)
    }

    /// How many questions came in all.
    pub(crate) fn asked_in_all(&self) -> usize {
        self.state.lock().unwrap().asked.values().sum()
    }

    pub(crate) fn transports(&self) -> Vec<&'static str> {
        self.state.lock().unwrap().transports.clone()
    }

    /// Every question is answered SERVFAIL.
    pub(crate) fn is_down(&self, is_down: bool) {
        self.state.lock().unwrap().is_down = is_down;
    }
}

pub(crate) fn naptr(ttl: u32, order: u16, preference: u16, flags: &str, services: &str, regexp: &str) -> Rr {
    raw_naptr(
        ttl,
        Naptr {
            order,
            preference,
            flags: flags.into(),
            services: services.into(),
            regexp: regexp.into(),
            replacement: Name::root(),
        },
    )
}

pub(crate) fn non_terminal(ttl: u32, order: u16, replacement: &str) -> Rr {
    raw_naptr(
        ttl,
        Naptr {
            order,
            preference: 10,
            flags: Vec::new(),
            services: Vec::new(),
            regexp: Vec::new(),
            replacement: replacement.parse().unwrap(),
        },
    )
}

/// A NAPTR record that names the SRV records of a transport (RFC 3263 §4.1).
pub(crate) fn service(order: u16, services: &str, replacement: &str) -> Rr {
    raw_naptr(
        60,
        Naptr {
            order,
            preference: 10,
            flags: b"s".to_vec(),
            services: services.into(),
            regexp: Vec::new(),
            replacement: replacement.parse().unwrap(),
        },
    )
}

fn raw_naptr(ttl: u32, naptr: Naptr) -> Rr {
    Rr {
        owner: None,
        rtype: RecordType::NAPTR.0,
        ttl,
        rdata: naptr.encode(),
    }
}

pub(crate) fn srv(ttl: u32, priority: u16, weight: u16, port: u16, target: &str) -> Rr {
    let srv = Srv {
        priority,
        weight,
        port,
        target: target.parse().unwrap(),
    };
    Rr {
        owner: None,
        rtype: RecordType::SRV.0,
        ttl,
        rdata: srv.encode(),
    }
}

pub(crate) fn a(ttl: u32, octets: [u8; 4]) -> Rr {
    Rr {
        owner: None,
        rtype: RecordType::A.0,
        ttl,
        rdata: octets.into(),
    }
}

pub(crate) fn cname(ttl: u32, target: &str) -> Rr {
    let mut rdata = Vec::new();
    target.parse::<Name>().unwrap().encode(&mut rdata);
    Rr {
        owner: None,
        rtype: RecordType::CNAME.0,
        ttl,
        rdata,
    }
}

impl Rr {
    /// With these octets in place of what it says.
    pub(crate) fn broken(mut self, rdata: &[u8]) -> Self {
        self.rdata = rdata.into();
        self
    }

    pub(crate) fn at(mut self, owner: &str) -> Self {
        self.owner = Some(owner.into());
        self
    }
}

async fn over_udp(socket: UdpSocket, state: Arc<Mutex<State>>) {
    let mut buffer = [0_u8; 2048];
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        for datagram in answer(&buffer[..length], &state, "udp") {
            let _ = socket.send_to(&datagram, from).await;
        }
    }
}

async fn over_tcp(listener: TcpListener, state: Arc<Mutex<State>>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let Ok(length) = stream.read_u16().await else {
            continue;
        };
        let mut query = vec![0; length.into()];
        if stream.read_exact(&mut query).await.is_err() {
            continue;
        }
        for message in answer(&query, &state, "tcp") {
            let _ = stream.write_u16(message.len().try_into().unwrap()).await;
            let _ = stream.write_all(&message).await;
        }
    }
}

/// The datagrams or messages that answer a query.
fn answer(query: &[u8], state: &Mutex<State>, transport: &'static str) -> Vec<Vec<u8>> {
    let (name, qtype, end) = question(query);
    let has_edns = query[11] == 1;
    let reply = {
        let mut state = state.lock().unwrap();
        *state.asked.entry((name.clone(), qtype)).or_default() += 1;
        state.transports.push(transport);
        let is_there = state.replies.keys().any(|(other, _)| *other == name);
        match state.replies.get(&(name.clone(), qtype)) {
            _ if state.is_down => Reply::Rcode(2),
            Some(reply) => reply.clone(),
            None if is_there => Reply::NoData(Some((600, 300))),
            None => Reply::NxDomain(Some((600, 300))),
        }
    };
    let soa = |soa: Option<(u32, u32)>| soa.map(|(ttl, minimum)| soa_record(ttl, minimum));
    let head = &query[..end];
    match reply {
        Reply::Records(records) => vec![message(head, 0, 0, &records, None)],
        Reply::Proven(records) => vec![message(head, 0, 0x20, &records, None)],
        Reply::NxDomain(ttl) => vec![message(head, 3, 0, &[], soa(ttl))],
        Reply::NoData(ttl) => vec![message(head, 0, 0, &[], soa(ttl))],
        Reply::Rcode(rcode) => vec![message(head, rcode, 0, &[], None)],
        Reply::Silence => Vec::new(),
        Reply::Referral => vec![message(head, 0, 0, &[], Some(ns_record()))],
        Reply::Truncated(records) if transport == "udp" => {
            let mut cut = message(head, 0, 0, &records[..1], None);
            cut[2] |= 0x02;
            vec![cut]
        }
        Reply::AfterNoise(records) => {
            let right = message(head, 0, 0, &records, None);
            let mut wrong = right.clone();
            wrong[0] ^= 0xff;
            vec![vec![0xff; 7], b"GET / HTTP/1.1".to_vec(), wrong, right]
        }
        Reply::NoEdns(_) if has_edns => vec![message(head, 1, 0, &[], None)],
        Reply::SmallLetters(records) if transport == "udp" => {
            let mut small = head.to_vec();
            small[12..].make_ascii_lowercase();
            vec![message(&small, 0, 0, &records, None)]
        }
        Reply::Truncated(records) | Reply::NoEdns(records) | Reply::SmallLetters(records) => {
            vec![message(head, 0, 0, &records, None)]
        }
    }
}

/// Name, type, and where the question ends.
fn question(query: &[u8]) -> (String, u16, usize) {
    let mut at = 12;
    let mut name = String::new();
    while query[at] != 0 {
        let length = usize::from(query[at]);
        name.push_str(&String::from_utf8_lossy(&query[at + 1..at + 1 + length]).to_ascii_lowercase());
        name.push('.');
        at += 1 + length;
    }
    let qtype = u16::from_be_bytes([query[at + 1], query[at + 2]]);
    (name, qtype, at + 5)
}

fn message(head: &[u8], rcode: u8, ad: u8, answers: &[Rr], authority: Option<Rr>) -> Vec<u8> {
    let mut out = head.to_vec();
    out[2] = 0x81;
    out[3] = 0x80 | ad | rcode;
    for (place, count) in [(6, answers.len()), (8, usize::from(authority.is_some())), (10, 0)] {
        out[place..place + 2].copy_from_slice(&u16::try_from(count).unwrap().to_be_bytes());
    }
    for rr in answers.iter().chain(&authority) {
        match &rr.owner {
            Some(owner) => owner.parse::<Name>().unwrap().encode(&mut out),
            None => out.extend_from_slice(&[0xc0, 12]),
        }
        out.extend_from_slice(&rr.rtype.to_be_bytes());
        out.extend_from_slice(&1_u16.to_be_bytes());
        out.extend_from_slice(&rr.ttl.to_be_bytes());
        out.extend_from_slice(&u16::try_from(rr.rdata.len()).unwrap().to_be_bytes());
        out.extend_from_slice(&rr.rdata);
    }
    out
}

fn ns_record() -> Rr {
    Rr {
        owner: Some("arpa.".into()),
        rtype: RecordType::NS.0,
        ttl: 3600,
        rdata: vec![2, b'n', b's', 0],
    }
}

fn soa_record(ttl: u32, minimum: u32) -> Rr {
    let mut rdata = vec![0, 0];
    for field in [1, 3600, 600, 86_400, minimum] {
        rdata.extend_from_slice(&field.to_be_bytes());
    }
    Rr {
        owner: Some("example.".into()),
        rtype: RecordType::SOA.0,
        ttl,
        rdata,
    }
}
