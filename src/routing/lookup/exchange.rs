//! One query to one server and its response: UDP first, TCP when the response was cut off or is doubtful.
//!
//! A response is believed only when it comes from the server's address and port to our own random port and carries the
//! random identifier and the very octets of the question, whose letters were written in random case (RFC 5452 §9;
//! "0x20"). Anything else that arrives is dropped and the waiting goes on. A server that changes the letters' case is
//! asked again over TCP, where nobody can speak in its place.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use ring::rand::{SecureRandom, SystemRandom};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
};

use crate::wire::naptr::{Name, RecordType, Response, WireError, encode_query};

/// A query as it goes out.
#[derive(Debug)]
pub(super) struct Query {
    name: Name,
    qtype: RecordType,
    id: u16,
    octets: Vec<u8>,
    /// Where the question ends in `octets`.
    question_end: usize,
}

/// Why one exchange gave no response.
#[derive(Debug)]
pub(super) enum ExchangeError {
    /// The socket failed.
    Socket(io::Error),
    /// What came back can't be read.
    Unreadable(WireError),
    /// Datagrams kept coming that were not the answer.
    Noise,
}

impl Query {
    /// A new query with its own identifier and spelling.
    pub(super) fn new(name: &Name, qtype: RecordType, edns: bool, random: &SystemRandom) -> Self {
        let mut dice = [0_u8; 34];
        // Without the system's randomness there is no safe query; all zeros then fail the case check at worst.
        let _ = random.fill(&mut dice);
        let (head, letters) = dice.split_at(2);
        let id = head.iter().fold(0_u16, |id, byte| id << 8 | u16::from(*byte));
        let mut octets = encode_query(id, name, qtype, edns.then_some(EDNS_SIZE));
        let mut question = Vec::new();
        name.encode(&mut question);
        let question_end = HEADER + question.len() + 4;
        // Lengths of labels are below 64 and letters above, so only letters are met.
        let spelled = octets.iter_mut().skip(HEADER).take(question.len());
        for (place, octet) in spelled.enumerate() {
            let bit = letters.get(place / 8).map_or(0, |byte| byte >> (place % 8) & 1);
            if octet.is_ascii_lowercase() && bit == 1 {
                *octet = octet.to_ascii_uppercase();
            }
        }
        Self {
            name: name.clone(),
            qtype,
            id,
            octets,
            question_end,
        }
    }

    /// Asks over UDP. `Ok(None)` means: ask this server over TCP.
    ///
    /// # Cancel safety
    /// Cancel safe: the socket is dropped and a late response finds nobody.
    pub(super) async fn over_udp(&self, server: SocketAddr) -> Result<Option<Response>, ExchangeError> {
        let here: IpAddr = match server {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((here, 0)).await?;
        socket.connect(server).await?;
        socket.send(&self.octets).await?;
        let mut buffer = vec![0_u8; MAX_DATAGRAM];
        for _ in 0..MAX_NOISE {
            let length = socket.recv(&mut buffer).await?;
            let Some(octets) = buffer.get(..length) else {
                continue;
            };
            if octets.get(..2) != self.octets.get(..2) {
                continue;
            }
            match Response::parse(octets) {
                Ok(response) if response.answers(self.id, &self.name, self.qtype) => {
                    let spelled = response.question.is_none() || self.is_question_of(octets);
                    return Ok((spelled && !response.truncated).then_some(response));
                }
                Ok(_) => {}
                // The identifier is right, so it is probably the server's; TCP tells whether it is broken for good.
                Err(_) if self.is_question_of(octets) => return Ok(None),
                Err(_) => {}
            }
        }
        Err(ExchangeError::Noise)
    }

    /// Asks over TCP (RFC 7766).
    ///
    /// # Cancel safety
    /// Cancel safe: the connection is dropped.
    pub(super) async fn over_tcp(&self, server: SocketAddr) -> Result<Response, ExchangeError> {
        let mut stream = TcpStream::connect(server).await?;
        let length = u16::try_from(self.octets.len()).unwrap_or(u16::MAX);
        let mut framed = Vec::with_capacity(self.octets.len() + 2);
        framed.extend_from_slice(&length.to_be_bytes());
        framed.extend_from_slice(&self.octets);
        stream.write_all(&framed).await?;
        for _ in 0..MAX_NOISE {
            let length = stream.read_u16().await?;
            let mut octets = vec![0_u8; length.into()];
            stream.read_exact(&mut octets).await?;
            let response = Response::parse(&octets).map_err(ExchangeError::Unreadable)?;
            if response.answers(self.id, &self.name, self.qtype) {
                return Ok(response);
            }
        }
        Err(ExchangeError::Noise)
    }

    fn is_question_of(&self, octets: &[u8]) -> bool {
        let question = HEADER..self.question_end;
        octets
            .get(question.clone())
            .is_some_and(|theirs| Some(theirs) == self.octets.get(question))
    }
}

impl From<io::Error> for ExchangeError {
    fn from(error: io::Error) -> Self {
        Self::Socket(error)
    }
}

const HEADER: usize = 12;
/// What we offer to take in one datagram; larger ones risk being lost as fragments.
const EDNS_SIZE: u16 = 1232;
/// More than was offered, for servers that don't keep to it.
const MAX_DATAGRAM: usize = 4096;
/// Datagrams that are not the answer, before the server or somebody in its place is given up.
const MAX_NOISE: usize = 64;
