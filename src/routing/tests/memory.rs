//! How much memory numbers take, and that what it is reckoned as is what it is.
//!
//! Resident memory is a process's, so the test runs itself once more, alone. A million numbers are measured with
//! `IMPSGW_NUMBERS=1000000 cargo test --lib numbers_fit_beside_their_answers -- --nocapture`.

use std::{process::Command, sync::Arc};

use super::super::{
    Alternative, CacheConfig, Candidate, Plan, RouteService, Transport,
    cache::{DomainDecision, DomainKey, Extra, NumberEntry, NumberKey, Routes, Slot, Target},
};
use crate::model::{Protocol, Timestamp};

#[test]
fn numbers_fit_beside_their_answers() {
    if std::env::var_os(ALONE).is_some() {
        return measure();
    }
    let name = "routing::tests::memory::numbers_fit_beside_their_answers";
    let run = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    println!("{said}");
    assert!(
        run.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&run.stderr)
    );
    assert!(said.contains("octets each"), "the measuring ran: {said}");
}

/// What the caches take before the first number, in octets; it counts for little beside a million.
const TABLES: u64 = 24 * 1024 * 1024;

/// As an operator has them: domains with two servers each; of ten numbers one has a name, of a hundred one has another
/// domain beside the first.
fn measure() {
    let count: u64 = std::env::var("IMPSGW_NUMBERS")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(400_000);
    let config = CacheConfig::default();
    let before = resident();
    let routes = Routes::new(&config);
    let slots: Vec<Arc<Slot>> = (0..2000).map(|n| domain(&routes, n)).collect();
    for (n, slot) in (0..count).zip(slots.iter().cycle()) {
        let number = format!("+{}", 447_700_000_000 + n).parse().unwrap();
        let entry = NumberEntry {
            dies: Timestamp(u64::MAX),
            ahead: 0,
            epoch: 0,
            target: Target::new(Arc::clone(slot), extra(n)),
        };
        routes.keep(NumberKey::new(&number, RouteService::Im), entry, Timestamp(0));
    }
    drop(slots);
    let size = routes.size();
    let taken = resident().saturating_sub(before);
    println!(
        "{count} numbers: {} MB resident, {} octets each, {} reckoned",
        taken / 1_000_000,
        taken / count,
        size.octets / count
    );
    assert!(size.numbers > count * 9 / 10, "{size:?}");
    assert!(taken > 0, "resident memory can be told");
    // What is there once, whatever the count, weighs more on fewer numbers.
    let most = match count {
        1_000_000.. => 400 * count - config.facts.0,
        _ => 360 * count + TABLES,
    };
    assert!(taken <= most, "{taken} octets are over {most}");
    let reckoned = taken * 3 / 4..=taken * 4 / 3;
    assert!(reckoned.contains(&size.octets), "{size:?} for {taken} octets");
}

fn domain(routes: &Routes, n: u64) -> Arc<Slot> {
    let domain: crate::model::Domain = format!("op{n}.example").parse().unwrap();
    let slot = routes.slot(&DomainKey {
        domain: domain.clone(),
        service: RouteService::Im,
    });
    let candidate = |name: &str| Candidate {
        priority: 10,
        weight: 1,
        host: format!("{name}.{domain}").into(),
        port: 8443,
        transport: Transport::Native,
        addresses: Arc::new(["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()]),
        secure: false,
    };
    let plan = Plan::Domain {
        candidates: [candidate("a"), candidate("b")].into(),
        protocol: Protocol::Ssp,
        valid_until: Timestamp(u64::MAX),
        domain,
    };
    let decision = DomainDecision {
        outcome: Ok(Arc::new(plan)),
        epoch: 0,
        made: Timestamp(0),
        dies: Timestamp(u64::MAX),
        due: Timestamp(u64::MAX),
    };
    routes.decide(&slot, decision);
    slot
}

fn extra(n: u64) -> Extra {
    let other = || Alternative {
        user: format!("wv:user{n}@other.example").parse().unwrap(),
        domain: "other.example".parse().unwrap(),
    };
    Extra {
        user: n
            .is_multiple_of(10)
            .then(|| format!("wv:user{n}@op.example").parse().unwrap()),
        alternatives: n.is_multiple_of(100).then(|| Arc::from([other()])),
        ..Extra::default()
    }
}

/// Resident memory of this process, in octets; 0 where it can't be told.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = pages
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .unwrap_or(0);
    pages * 4096
}

/// Set in the process that measures.
const ALONE: &str = "IMPSGW_MEASURES_ALONE";
