//! A DNS client for the tests: raw questions over UDP and TCP, read by the gateway's own reader.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::rr::RecordType as Type;
use impsgw::wire::naptr::{self, Name, RecordType, Response, encode_query};
use impsgw::zone::ZoneServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

pub(super) fn loopback() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// What makes a zone whole.
pub(super) const HEAD: &str = "$TTL 60\n@ SOA ns hostmaster 1 3600 600 604800 30\n@ NS ns\nns A 127.0.0.1\n";

pub(super) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// One question over UDP with EDNS, over TCP when the answer was cut short.
pub(super) async fn ask(server: &ZoneServer, owner: &Name, rtype: Type) -> Response {
    let query = encode_query(7, owner, RecordType(rtype.into()), Some(1232));
    let response = Response::parse(&udp(server, &query).await.expect("an answer")).unwrap();
    if !response.truncated {
        return response;
    }
    Response::parse(&tcp(server, &query).await).unwrap()
}

/// The NAPTR records of a name, as an evaluation takes them.
pub(super) async fn naptrs(server: &ZoneServer, owner: &Name) -> naptr::Answer {
    let response = ask(server, owner, Type::NAPTR).await;
    let records = response.find(owner, RecordType::NAPTR).unwrap().naptrs();
    if records.is_empty() {
        naptr::Answer::Absent
    } else {
        naptr::Answer::Records(records)
    }
}

pub(super) async fn udp(server: &ZoneServer, packet: &[u8]) -> Option<Vec<u8>> {
    let socket = UdpSocket::bind(loopback()).await.unwrap();
    socket.send_to(packet, server.local_addr()).await.unwrap();
    let mut buffer = vec![0; 65_535];
    let received = timeout(Duration::from_secs(5), socket.recv(&mut buffer))
        .await
        .ok()?
        .unwrap();
    buffer.truncate(received);
    Some(buffer)
}

pub(super) async fn tcp(server: &ZoneServer, packet: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
    stream.write_u16(packet.len().try_into().unwrap()).await.unwrap();
    stream.write_all(packet).await.unwrap();
    let length = stream.read_u16().await.unwrap();
    let mut buffer = vec![0; length.into()];
    stream.read_exact(&mut buffer).await.unwrap();
    buffer
}
