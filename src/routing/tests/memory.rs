//! How much memory a million numbers take: `IMPSGW_MEASURE=1 cargo test --lib a_million_numbers -- --nocapture`.
//!
//! Without the variable a thousand are filled in, so that the test is always compiled and never in the way.

use std::sync::Arc;

use super::super::{
    CacheConfig, RouteService,
    cache::{DomainKey, NumberEntry, NumberKey, Routes, Target},
};
use crate::model::Timestamp;

#[test]
fn a_million_numbers_fit_beside_their_answers() {
    let is_measuring = std::env::var_os("IMPSGW_MEASURE").is_some();
    let count: u64 = if is_measuring { 1_000_000 } else { 1000 };
    let config = CacheConfig::default();
    let routes = Routes::new(&config);
    let slot = routes.slot(&DomainKey {
        domain: "op.example".parse().unwrap(),
        service: RouteService::Im,
    });
    let before = resident();
    for n in 0..count {
        let number = format!("+{}", 447_700_000_000 + n).parse().unwrap();
        let entry = NumberEntry {
            dies: Timestamp(u64::MAX),
            ahead: 0,
            epoch: 0,
            target: Target::Domain(Arc::clone(&slot)),
            extra: None,
        };
        routes.keep(NumberKey::new(&number, RouteService::Im), entry, Timestamp(0));
    }
    let taken = resident().saturating_sub(before);
    println!(
        "{count} numbers: {} MB, {} octets each",
        taken / 1_000_000,
        taken / count
    );
    assert!(routes.numbers().count() as u64 > count * 9 / 10);
    if is_measuring {
        assert!(taken + config.facts.0 <= 400_000_000, "{taken}");
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
