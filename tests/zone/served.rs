//! The server as clients see it: hickory's resolver over UDP and TCP, raw packets, and garbage.

use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, RData, RecordType as Type};
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::{Resolver, TokioResolver};
use impsgw::wire::naptr::{Rcode, RecordType, Response, encode_query};
use impsgw::zone::{GatewayView, Observer, Partners, SeenQuery, ZoneServer, ZoneSet};
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

/// What a home server finds that dials a domain itself: the port and the host of its IMPS server, and the host's addresses.
async fn dialled(resolver: &TokioResolver, domain: &str) -> Vec<(u16, String, Vec<IpAddr>)> {
    let Ok(found) = resolver.srv_lookup(format!("_imps-server._tcp.{domain}.")).await else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for record in found.answers() {
        let RData::SRV(srv) = &record.data else { continue };
        let addresses = resolver.lookup_ip(srv.target.clone()).await;
        let addresses = addresses.map(|found| found.iter().collect()).unwrap_or_default();
        all.push((srv.port, srv.target.to_string(), addresses));
    }
    all
}

fn gateway(partners: Partners) -> GatewayView {
    GatewayView {
        addresses: vec!["198.51.100.7".parse().unwrap(), "2001:db8::7".parse().unwrap()],
        port: 18_000,
        partners,
    }
}

/// At the gateway, under a name inside of the domain.
fn at_the_gateway(domain: &str) -> Vec<(u16, String, Vec<IpAddr>)> {
    let GatewayView { addresses, port, .. } = gateway(Partners::AllBut(Vec::new()));
    vec![(port, format!("imps-gateway.{domain}."), addresses)]
}

#[tokio::test]
async fn home_servers_view_names_the_gateway_for_every_partner() {
    let zones = ZoneSet::load_dir(Path::new("zones")).unwrap();
    let view = gateway(Partners::AllBut(vec![name("alpha.example")]));
    let view = zones.clone().seen_through(view).unwrap();
    let plain = ZoneServer::start(zones, loopback()).await.unwrap();
    let home = ZoneServer::start(view, loopback()).await.unwrap();
    let (of_all, of_home) = (
        resolver(&plain, vec![ConnectionConfig::udp()]),
        resolver(&home, vec![ConnectionConfig::udp()]),
    );
    let own = vec![(17_101, "ssp.alpha.example.".to_owned(), vec![loopback().ip()])];
    assert_eq!(dialled(&of_all, "alpha.example").await, own);
    assert_eq!(dialled(&of_home, "alpha.example").await, own);
    let partner = vec![(17_201, "ssp.beta.example.".to_owned(), vec![loopback().ip()])];
    assert_eq!(dialled(&of_all, "beta.example").await, partner);
    let mut found = dialled(&of_home, "beta.example").await;
    found.iter_mut().for_each(|(_, _, addresses)| addresses.sort());
    assert_eq!(found, at_the_gateway("beta.example"));
    // Everything else is as it is.
    for (owner, rtype) in [
        ("6.5.4.0.0.9.0.0.7.7.4.4.e164enum.net.", Type::NAPTR),
        ("ssp.beta.example.", Type::A),
        ("beta.example.", Type::SOA),
    ] {
        let (one, other) = (
            of_all.lookup(owner, rtype).await,
            of_home.lookup(owner, rtype).await,
        );
        let (one, other) = (one.unwrap(), other.unwrap());
        assert_eq!(one.answers(), other.answers(), "{owner}");
    }
    plain.shutdown().await;
    home.shutdown().await;
}

#[tokio::test]
async fn home_servers_view_has_the_partners_that_are_named_wherever_their_zones_are() {
    // One is served elsewhere, one is cut off, one has no server, and one is in no zone.
    let zones = zone(
        "_imps-server._tcp.a SRV 10 0 1 ssp.a\n_imps-server._tcp.a SRV 20 0 2 ssp2.a\nssp.a A 127.0.0.1\nb NS ns.b\n\
         _imps-server._tcp.d SRV 10 0 1 ssp.a\n_imps-server._tcp.e CNAME _imps-server._tcp.a\n",
    );
    let named = [
        "a.op.example",
        "b.op.example",
        "c.op.example",
        "e.op.example",
        "far.example",
    ];
    let partners = Partners::Named(named.map(name).to_vec());
    let server = ZoneServer::start(zones.seen_through(gateway(partners)).unwrap(), loopback()).await;
    let server = server.unwrap();
    let resolver = resolver(&server, vec![ConnectionConfig::udp()]);
    for domain in named {
        let mut found = dialled(&resolver, domain).await;
        found.iter_mut().for_each(|(_, _, addresses)| addresses.sort());
        assert_eq!(found, at_the_gateway(domain));
    }
    let other = dialled(&resolver, "d.op.example").await;
    assert_eq!(
        other,
        [(1, "ssp.a.op.example.".to_owned(), vec![loopback().ip()])]
    );
    assert_eq!(dialled(&resolver, "g.op.example").await, []);
    server.shutdown().await;
}

#[tokio::test]
async fn home_servers_view_is_kept_over_a_reload() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("op.example.zone");
    std::fs::write(
        &file,
        format!("{HEAD}_imps-server._tcp SRV 10 0 1 ssp\nssp A 127.0.0.1\n"),
    )
    .unwrap();
    let zones = ZoneSet::load_dir(folder.path()).unwrap();
    let partners = Partners::Named(vec![name("op.example"), name("far.example")]);
    let server = ZoneServer::start(zones.seen_through(gateway(partners)).unwrap(), loopback()).await;
    let server = server.unwrap();
    std::fs::write(
        &file,
        format!("{HEAD}_imps-server._tcp SRV 10 0 2 ssp\nssp A 127.0.0.1\nnew A 127.0.0.2\n"),
    )
    .unwrap();
    assert_eq!(server.reload().await.kept, []);
    let resolver = resolver(&server, vec![ConnectionConfig::udp()]);
    for domain in ["op.example", "far.example"] {
        let mut found = dialled(&resolver, domain).await;
        found.iter_mut().for_each(|(_, _, addresses)| addresses.sort());
        assert_eq!(found, at_the_gateway(domain));
    }
    let new = resolver.lookup_ip("new.op.example.").await.unwrap();
    assert!(new.iter().any(|address| address == IpAddr::from([127, 0, 0, 2])));
    server.shutdown().await;
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
