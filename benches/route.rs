//! What a known number costs: its route beside a bare look into a moka cache of the same key and size of value.
//!
//! `cargo bench --bench route`. With `IMPSGW_NUMBERS=1000000` it fills a router with so many numbers over DNS first, which
//! takes a minute or two, and prints the memory that they take: in a process of its own, which has nothing but the router.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench stops where it can't go on, and prints"
)]

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::stream::{self, StreamExt};
use impsgw::{
    model::{Domain, Timestamp, WvAddress},
    routing::{ApexConfig, Explain, HomeDirectory, RouteService, Router, RoutingConfig, Trust, ViewConfig},
    telemetry::Clock,
};

/// Nobody has an account here.
#[derive(Debug)]
struct Empty;

impl HomeDirectory for Empty {
    fn account(&self, _: &WvAddress) -> Option<Domain> {
        None
    }
}

/// As large as what is kept of a number.
type Bare = (u64, u64, Arc<str>, Option<Arc<str>>);

/// What the program itself allocates with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Set in the process that only measures memory.
const ALONE: &str = "IMPSGW_MEASURES_ALONE";

const NOW: Timestamp = Timestamp(1_000_000_000);

fn route(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let asked = std::env::var("IMPSGW_NUMBERS").ok();
    let count = asked
        .as_ref()
        .and_then(|count| count.parse().ok())
        .unwrap_or(10_000);
    if std::env::var_os(ALONE).is_some() {
        return measure(&runtime, count);
    }
    if asked.is_some() {
        let this = std::env::current_exe().expect("this program");
        let measured = std::process::Command::new(this)
            .arg("--bench")
            .env(ALONE, "1")
            .status();
        assert!(measured.expect("it runs").success(), "the measuring failed");
    }
    let router = router(serve());
    let bare: moka::sync::Cache<u64, Bare> = moka::sync::Cache::new(2_000_000);
    runtime.block_on(fill(&router, Some(&bare), count));

    // A cache that is filled to its bound may have let a few go.
    let is_known = |address: &WvAddress| router.cached(address, RouteService::Im, NOW).is_some();
    let addresses = (0..1000).map(|n| address(n * (count / 1000).max(1)));
    let addresses: Vec<WvAddress> = addresses.filter(is_known).collect();
    assert!(addresses.len() > 900, "{} of 1000 are known", addresses.len());
    let mut group = criterion.benchmark_group("known_number");
    let mut next = 0;
    group.bench_function("bare_moka_get", |bencher| {
        bencher.iter(|| {
            next = (next + 1) % 1000;
            bare.get(&(447_700_000_000 + next * (count / 1000).max(1)))
        });
    });
    let mut turn = addresses.iter().cycle();
    group.bench_function("route", |bencher| {
        bencher.iter(|| {
            let address = turn.next()?;
            let routed = router.cached(address, RouteService::Im, NOW);
            assert!(routed.is_some(), "{address} is known");
            routed
        });
    });
    group.finish();
}

fn router(dns: SocketAddr) -> Router {
    let config = RoutingConfig {
        views: vec![ViewConfig {
            name: "bench".into(),
            resolvers: vec![dns],
            domains: Vec::new(),
            trust_ad: false,
            timeout: Duration::from_secs(1),
            tries: 3,
        }],
        apexes: vec![ApexConfig {
            apex: "e164.arpa".into(),
            view: "bench".into(),
            trust: Trust::Private,
            prefixes: Vec::new(),
            services: Vec::new(),
            domains: Vec::new(),
            allow_private_services: false,
            stale_naptr: false,
            on_failure: None,
            cross_order: false,
            dnssec_required: false,
            pres_foreign_schemes: false,
            infrastructure_position: None,
            timeout: None,
        }],
        ..RoutingConfig::default()
    };
    Router::new(config, Arc::new(Empty), Vec::new(), Clock::system())
}

/// Prints what the router alone takes with so many numbers, DNS answers included.
fn measure(runtime: &tokio::runtime::Runtime, count: u64) {
    let router = router(serve());
    let before = resident();
    runtime.block_on(fill(&router, None, count));
    let stats = router.stats();
    let taken = resident().saturating_sub(before);
    println!(
        "{count} numbers: {} MB more resident, {} octets each; {stats:?}",
        taken / 1_000_000,
        taken / count,
    );
}

/// Both caches are filled in turn, so that their entries lie equally scattered in memory.
async fn fill(router: &Router, bare: Option<&moka::sync::Cache<u64, Bare>>, count: u64) {
    let domain: Arc<str> = "op.example".into();
    let domain = &domain;
    stream::iter(0..count)
        .map(|n| async move {
            let routed = router
                .route(&address(n), RouteService::Im, NOW, Explain::No)
                .await;
            assert!(routed.plan.is_ok(), "{:?}", routed.steps);
            if let Some(bare) = bare {
                bare.insert(447_700_000_000 + n, (n, n, Arc::clone(domain), None));
            }
        })
        .buffer_unordered(64)
        .collect::<()>()
        .await;
}

fn address(n: u64) -> WvAddress {
    format!("wv:+{}", 447_700_000_000 + n).parse().expect("a number")
}

/// A DNS server that knows every number: NAPTR to one of 10 domains, each with one SSP server.
fn serve() -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    let address = socket.local_addr().expect("its address");
    std::thread::spawn(move || {
        let mut buffer = [0_u8; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let query = buffer.get(..length).unwrap_or_default();
            let _ = socket.send_to(&answer(query), from);
        }
    });
    address
}

fn answer(query: &[u8]) -> Vec<u8> {
    let end = 12 + query.iter().skip(12).position(|octet| *octet == 0).unwrap_or(0);
    let qtype = query.get(end + 2).copied().unwrap_or(0);
    let rdata = match qtype {
        35 => {
            // The last digit of the number is the first label.
            let domain = char::from(query.get(13).copied().unwrap_or(b'0'));
            let regexp = format!("!^(.*)$!im:\\1@op{domain}.example!");
            let mut rdata = vec![0, 10, 0, 10, 1, b'u', 6];
            rdata.extend_from_slice(b"E2U+im");
            rdata.push(u8::try_from(regexp.len()).unwrap_or(0));
            rdata.extend_from_slice(regexp.as_bytes());
            rdata.push(0);
            Some(rdata)
        }
        33 => Some([&[0, 1, 0, 1, 0x20, 0xfb][..], b"\x01a\x02op\x07example\x00"].concat()),
        1 => Some(vec![192, 0, 2, 1]),
        _ => None,
    };
    let mut out = query.get(..end + 5).unwrap_or_default().to_vec();
    for (place, octet) in [(2, 0x81), (3, 0x80), (7, u8::from(rdata.is_some())), (11, 0)] {
        if let Some(slot) = out.get_mut(place) {
            *slot = octet;
        }
    }
    if let Some(rdata) = rdata {
        out.extend_from_slice(&[0xc0, 12, 0, qtype, 0, 1, 0, 0, 0x0e, 0x10]);
        out.extend_from_slice(&u16::try_from(rdata.len()).unwrap_or(0).to_be_bytes());
        out.extend_from_slice(&rdata);
    }
    out
}

/// Resident memory of this process, in octets.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = pages
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .unwrap_or(0);
    pages * 4096
}

criterion_group!(benches, route);
criterion_main!(benches);
