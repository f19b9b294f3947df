//! The server as clients see it: hickory's resolver over UDP and TCP, raw packets, and garbage.

use std::path::Path;
use std::sync::{Arc, Mutex};

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, RData, RecordType as Type};
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::{Resolver, TokioResolver};
use impsgw::wire::naptr::{self, Rcode, RecordType, Response, encode_query};
use impsgw::zone::{Observer, SeenQuery, Substitution, ZoneServer, ZoneSet};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use super::client::{HEAD, ask, loopback, name, tcp, udp};

fn zone(records: &str) -> ZoneSet {
    ZoneSet::parse(&format!("{HEAD}{records}"), &name("op.example")).unwrap()
}

fn resolver(server: &ZoneServer, connections: Vec<ConnectionConfig>) -> TokioResolver {
    let address = server.local_addr();
    let connections = connections
        .into_iter()
        .map(|mut connection| {
            connection.port = address.port();
            connection
        })
        .collect();
    let servers = vec![NameServerConfig::new(address.ip(), true, connections)];
    let config = ResolverConfig::from_parts(None, vec![], servers);
    let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options = builder.options_mut();
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    builder.build().unwrap()
}

fn observer() -> (Arc<Mutex<Vec<SeenQuery>>>, Observer) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = seen.clone();
    (
        seen,
        Arc::new(move |query: &SeenQuery| sink.lock().unwrap().push(query.clone())),
    )
}

#[tokio::test]
async fn resolver_finds_naptr_srv_and_address_over_udp_and_tcp() {
    let zones = ZoneSet::load_dir(Path::new("zones")).unwrap();
    let (seen, observer) = observer();
    let server = ZoneServer::start_observed(zones, loopback(), observer)
        .await
        .unwrap();
    for connection in [ConnectionConfig::udp(), ConnectionConfig::tcp()] {
        let resolver = resolver(&server, vec![connection]);
        let bea = "6.5.4.0.0.9.0.0.7.7.4.4.e164enum.net.";
        let lookup = resolver.lookup(bea, Type::NAPTR).await.unwrap();
        let regexps: Vec<String> = lookup
            .answers()
            .iter()
            .filter_map(|record| {
                let RData::NAPTR(naptr) = &record.data else {
                    return None;
                };
                Some(String::from_utf8_lossy(&naptr.regexp).into_owned())
            })
            .collect();
        assert_eq!(
            regexps,
            ["!^(.*)$!im:\\1@beta.example!", "!^(.*)$!pres:\\1@beta.example!"]
        );
        assert!(lookup.answers().iter().all(|record| record.ttl == 300));
        let srv = resolver
            .srv_lookup("_imps-server._tcp.beta.example.")
            .await
            .unwrap();
        let ports: Vec<u16> = srv
            .answers()
            .iter()
            .filter_map(|record| {
                let RData::SRV(srv) = &record.data else {
                    return None;
                };
                Some(srv.port)
            })
            .collect();
        assert_eq!(ports, [17201]);
        let addresses = resolver.lookup_ip("ssp.beta.example.").await.unwrap();
        assert!(addresses.iter().any(|address| address == loopback().ip()));
    }
    let (over_tcp, over_udp): (Vec<_>, Vec<_>) =
        seen.lock().unwrap().iter().cloned().partition(|query| query.tcp);
    assert_eq!(server.queries(), (over_tcp.len() + over_udp.len()) as u64);
    assert!(over_tcp.iter().any(|query| query.rtype == Type::SRV));
    assert!(over_udp.iter().any(|query| query.rtype == Type::NAPTR));
    server.shutdown().await;
}

#[tokio::test]
async fn answer_that_does_not_fit_is_cut_short_and_complete_over_tcp() {
    let many: String = (0..60)
        .map(|at| {
            format!("big NAPTR 100 {at} \"u\" \"E2U+im\" \"!^.*$!im:user-{at}@a-long-name.op.example!\" .\n")
        })
        .collect();
    let (seen, observer) = observer();
    let server = ZoneServer::start_observed(zone(&many), loopback(), observer)
        .await
        .unwrap();
    let big = name("big.op.example");
    for (payload, limit) in [(None, 512), (Some(1232), 1232), (Some(65_000), 1232)] {
        let packet = udp(&server, &encode_query(1, &big, RecordType::NAPTR, payload))
            .await
            .unwrap();
        assert!(packet.len() <= limit, "{} octets", packet.len());
        let response = Response::parse(&packet).unwrap();
        assert!(response.truncated);
        assert_eq!(response.edns, payload.is_some());
    }
    let resolver = resolver(&server, vec![ConnectionConfig::udp(), ConnectionConfig::tcp()]);
    let lookup = resolver.lookup("big.op.example.", Type::NAPTR).await.unwrap();
    assert_eq!(lookup.answers().len(), 60);
    assert!(
        seen.lock().unwrap().iter().any(|query| query.tcp),
        "the resolver came back over TCP"
    );
    server.shutdown().await;
}

#[tokio::test]
async fn wildcards_speak_only_where_nothing_exists() {
    let records = "*.1 TXT wild\n5.3.1 TXT own\nalias.1 CNAME 7.1\n";
    let server = ZoneServer::start(zone(records), loopback()).await.unwrap();
    let cases = [
        ("9.1.op.example", Rcode::NO_ERROR, 1),
        ("9.9.9.1.op.example", Rcode::NO_ERROR, 1),
        ("alias.1.op.example", Rcode::NO_ERROR, 2),
        ("5.3.1.op.example", Rcode::NO_ERROR, 1),
        ("3.1.op.example", Rcode::NO_ERROR, 0),
        ("6.3.1.op.example", Rcode::NX_DOMAIN, 0),
        ("2.op.example", Rcode::NX_DOMAIN, 0),
    ];
    for (owner, rcode, answers) in cases {
        let response = ask(&server, &name(owner), Type::TXT).await;
        assert_eq!(
            (response.rcode, response.answers.len()),
            (rcode, answers),
            "{owner}"
        );
        assert!(response.authoritative, "{owner}");
        assert_eq!(
            response.negative_ttl().is_some(),
            answers == 0,
            "{owner}: SOA with an absence"
        );
    }
    let absent = ask(&server, &name("2.op.example"), Type::TXT).await;
    assert_eq!(
        absent.negative_ttl(),
        Some(30),
        "the smaller of SOA TTL and MINIMUM"
    );
    server.shutdown().await;
}

#[tokio::test]
async fn delegated_names_get_a_referral_and_foreign_names_a_refusal() {
    let records = "sub NS ns.sub\nns.sub A 127.0.0.2\n";
    let server = ZoneServer::start(zone(records), loopback()).await.unwrap();
    let referral = ask(&server, &name("deep.sub.op.example"), Type::A).await;
    assert!(!referral.authoritative && referral.answers.is_empty());
    assert_eq!(referral.authority.len(), 1);
    assert!(
        referral
            .additional
            .iter()
            .any(|record| record.owner == name("ns.sub.op.example"))
    );
    let foreign = ask(&server, &name("other.example"), Type::A).await;
    assert_eq!(foreign.rcode, Rcode(ResponseCode::Refused.low().into()));
    server.shutdown().await;
}

#[tokio::test]
async fn transfers_updates_and_other_classes_are_refused() {
    let server = ZoneServer::start(zone(""), loopback()).await.unwrap();
    let query = |rtype, class, op_code| {
        let mut query = Query::query("op.example.".parse().unwrap(), rtype);
        query.set_query_class(class);
        let mut message = Message::new(3, MessageType::Query, op_code);
        message.add_query(query);
        message.to_vec().unwrap()
    };
    let cases = [
        (Type::AXFR, DNSClass::IN, OpCode::Query, ResponseCode::Refused),
        (Type::IXFR, DNSClass::IN, OpCode::Query, ResponseCode::Refused),
        (Type::A, DNSClass::CH, OpCode::Query, ResponseCode::Refused),
        (Type::SOA, DNSClass::IN, OpCode::Update, ResponseCode::NotImp),
        (Type::SOA, DNSClass::IN, OpCode::Notify, ResponseCode::NotImp),
    ];
    for (rtype, class, op_code, expected) in cases {
        let answer = tcp(&server, &query(rtype, class, op_code)).await;
        let answer = Message::from_vec(&answer).unwrap();
        assert_eq!(
            answer.metadata.response_code, expected,
            "{rtype} {class} {op_code:?}"
        );
        assert!(answer.answers.is_empty());
    }
    server.shutdown().await;
}

#[tokio::test]
async fn garbage_does_not_end_the_server() {
    let server = ZoneServer::start(zone("a A 192.0.2.1\n"), loopback())
        .await
        .unwrap();
    let good = encode_query(9, &name("a.op.example"), RecordType::A, None);
    let socket = UdpSocket::bind(loopback()).await.unwrap();
    let mut random = fastrand::Rng::with_seed(1035);
    for length in 0..300 {
        let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(length).collect();
        socket.send_to(&noise, server.local_addr()).await.unwrap();
        let mut bent = good.clone();
        let at = random.usize(..bent.len());
        bent[at] = random.u8(..);
        socket.send_to(&bent, server.local_addr()).await.unwrap();
        socket
            .send_to(&good[..length.min(good.len() - 1)], server.local_addr())
            .await
            .unwrap();
    }
    let mut half = TcpStream::connect(server.local_addr()).await.unwrap();
    half.write_all(&[0xff, 0xff, 1, 2, 3]).await.unwrap();
    drop(half);
    let answer = ask(&server, &name("a.op.example"), Type::A).await;
    assert_eq!(answer.answers.len(), 1);
    server.shutdown().await;
}

#[tokio::test]
async fn an_edns_version_from_the_future_is_told_so() {
    let server = ZoneServer::start(zone(""), loopback()).await.unwrap();
    let mut query = encode_query(9, &name("op.example"), RecordType::SOA, Some(1232));
    // OPT is the last record: root, type, class, TTL (extended code, version, flags), length.
    let version = query.len() - 5;
    query[version] = 1;
    let answer = Response::parse(&udp(&server, &query).await.unwrap()).unwrap();
    assert_eq!(answer.rcode, Rcode(16));
    server.shutdown().await;
}

#[tokio::test]
async fn home_servers_view_names_the_gateway_for_every_partner() {
    let zones = ZoneSet::load_dir(Path::new("zones")).unwrap();
    let view = zones
        .clone()
        .with_zone(&format!("{HEAD}gw A 127.0.0.1\n"), &name("gateway.example"))
        .unwrap()
        .with(Substitution::Gateway {
            host: name("gw.gateway.example"),
            port: 18_000,
            except: vec![name("alpha.example")],
        })
        .unwrap();
    let plain = ZoneServer::start(zones, loopback()).await.unwrap();
    let home = ZoneServer::start(view, loopback()).await.unwrap();
    let ports = async |server: &ZoneServer| {
        let mut found = Vec::new();
        for domain in ["alpha", "beta"] {
            let answer = ask(
                server,
                &name(&format!("_imps-server._tcp.{domain}.example")),
                Type::SRV,
            )
            .await;
            found.extend(answer.answers.iter().map(|record| {
                let naptr::Data::Srv(srv) = &record.data else {
                    panic!("{record:?}");
                };
                (srv.port, srv.target.to_string())
            }));
        }
        found
    };
    let alpha = (17_101, "ssp.alpha.example.".to_owned());
    assert_eq!(
        ports(&plain).await,
        [alpha.clone(), (17_201, "ssp.beta.example.".to_owned())]
    );
    assert_eq!(
        ports(&home).await,
        [alpha, (18_000, "gw.gateway.example.".to_owned())]
    );
    plain.shutdown().await;
    home.shutdown().await;
}

#[tokio::test]
async fn shutdown_frees_the_address() {
    let server = ZoneServer::start(zone(""), loopback()).await.unwrap();
    let address = server.local_addr();
    let mut idle = TcpStream::connect(address).await.unwrap();
    server.shutdown().await;
    let mut end = [0];
    assert_eq!(
        idle.read(&mut end).await.unwrap_or(0),
        0,
        "open connections are closed"
    );
    ZoneServer::start(zone(""), address)
        .await
        .unwrap()
        .shutdown()
        .await;
}

#[tokio::test]
async fn alias_loop_is_said_once_and_a_cut_is_asked_above() {
    let zones = zone("a CNAME b\nb CNAME a\n")
        .with_zone(HEAD, &name("sub.op.example"))
        .unwrap();
    let server = ZoneServer::start(zones, loopback()).await.unwrap();
    let answer = ask(&server, &name("a.op.example"), Type::A).await;
    assert_eq!(answer.answers.len(), 2, "{:?}", answer.answers);
    let answer = ask(&server, &name("sub.op.example"), Type::DS).await;
    assert_eq!(answer.authority[0].owner, name("op.example"));
    server.shutdown().await;
}
