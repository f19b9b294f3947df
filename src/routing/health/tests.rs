//! The order of trying, and how servers are set aside and come back.

use std::{sync::Arc, time::Duration};

use super::*;
use crate::routing::Transport;

const NOW: Timestamp = Timestamp(1_000_000);

fn candidate(priority: u16, weight: u16, host: &str) -> Candidate {
    Candidate {
        priority,
        weight,
        host: host.into(),
        port: 8443,
        transport: Transport::Native,
        addresses: Arc::from([]),
        secure: false,
    }
}

fn hosts(health: &Health, candidates: &[Candidate], seed: u64, now: Timestamp) -> Vec<String> {
    let mut draws = fastrand::Rng::with_seed(seed);
    let order = health.order(candidates, &mut |n| draws.u32(0..=n), now);
    order.iter().map(|one| one.host.to_string()).collect()
}

fn at(host: &str) -> HostAddress {
    candidate(0, 0, host).host_address()
}

fn after(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

#[test]
fn lower_priority_value_comes_first() {
    let health = Health::new(SetAsideConfig::default());
    let candidates = [candidate(20, 0, "b.example"), candidate(10, 0, "a.example")];
    assert_eq!(hosts(&health, &candidates, 1, NOW), ["a.example", "b.example"]);
}

#[test]
fn weight_is_the_share_of_first_places() {
    let health = Health::new(SetAsideConfig::default());
    let candidates = [
        candidate(10, 60, "a.example"),
        candidate(10, 20, "b.example"),
        candidate(10, 20, "c.example"),
    ];
    let mut draws = fastrand::Rng::with_seed(7);
    let first = (0..20_000)
        .filter(|_| &*health.order(&candidates, &mut |n| draws.u32(0..=n), NOW)[0].host == "a.example")
        .count();
    assert!(
        (11_700..12_500).contains(&first),
        "{first} of 20000 for a weight of 60 in 100"
    );
}

#[test]
fn failed_server_comes_last_across_priorities() {
    let health = Health::new(SetAsideConfig::default());
    let candidates = [candidate(10, 0, "a.example"), candidate(20, 0, "b.example")];
    health.report(&at("a.example"), false, NOW);
    assert_eq!(hosts(&health, &candidates, 1, NOW), ["b.example", "a.example"]);
    health.report(&at("a.example"), true, NOW);
    assert_eq!(hosts(&health, &candidates, 1, NOW), ["a.example", "b.example"]);
}

#[test]
fn when_all_are_set_aside_all_are_tried() {
    let health = Health::new(SetAsideConfig::default());
    let candidates = [candidate(10, 0, "a.example"), candidate(20, 0, "b.example")];
    health.report(&at("a.example"), false, NOW);
    health.report(&at("b.example"), false, NOW);
    assert_eq!(hosts(&health, &candidates, 1, NOW), ["a.example", "b.example"]);
}

#[test]
fn set_aside_doubles_up_to_its_limit() {
    let health = Health::new(SetAsideConfig {
        first: Duration::from_secs(5),
        longest: Duration::from_secs(60),
    });
    let mut lengths = Vec::new();
    for _ in 0..6 {
        health.report(&at("a.example"), false, NOW);
        lengths.push(NOW.until(health.set_aside(NOW)[0].until).as_secs());
    }
    assert_eq!(lengths, [5, 10, 20, 40, 60, 60]);
    assert_eq!(health.set_aside(NOW)[0].failures, 6);
    for _ in 0..100 {
        health.report(&at("a.example"), false, NOW);
    }
    assert!(health.is_set_aside(&at("a.example"), after(59)));
}

#[test]
fn one_attempt_probes_when_the_time_is_over() {
    let health = Health::new(SetAsideConfig::default());
    let candidates = [candidate(10, 0, "a.example"), candidate(20, 0, "b.example")];
    health.report(&at("a.example"), false, NOW);
    assert!(health.is_set_aside(&at("a.example"), after(4)));
    assert_eq!(
        hosts(&health, &candidates, 1, after(5)),
        ["a.example", "b.example"]
    );
    // To look at the order is no attempt.
    assert_eq!(
        hosts(&health, &candidates, 1, after(5)),
        ["a.example", "b.example"]
    );
    health.begin(&at("b.example"), after(5));
    health.begin(&at("a.example"), after(5));
    assert_eq!(
        hosts(&health, &candidates, 1, after(5)),
        ["b.example", "a.example"]
    );
    health.report(&at("a.example"), true, after(6));
    assert_eq!(
        hosts(&health, &candidates, 1, after(6)),
        ["a.example", "b.example"]
    );
    assert!(health.set_aside(after(6)).is_empty());
}

#[test]
fn ports_of_one_host_fail_apart() {
    let health = Health::new(SetAsideConfig::default());
    health.report(&at("a.example"), false, NOW);
    let other = HostAddress {
        port: 9443,
        ..at("a.example")
    };
    assert!(!health.is_set_aside(&other, NOW));
    assert_eq!(at("a.example").to_string(), "a.example:8443");
}

#[test]
fn marks_are_bounded() {
    let health = Health::new(SetAsideConfig::default());
    for n in 0..MAX_MARKS + 100 {
        health.report(&at(&format!("h{n}.example")), false, NOW);
    }
    assert_eq!(health.set_aside(NOW).len(), MAX_MARKS);
    health.report(&at("late.example"), false, after(3600));
    assert_eq!(health.set_aside(after(3600)).len(), 1);
}
