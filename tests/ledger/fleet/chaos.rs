//! One node after another is killed and started again, under load.

use std::time::{Duration, Instant};

use super::stage::{Choice, Fleet};
use crate::{
    crash::number,
    ledger::{books::Excuse, seed, side::Manner},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fault() {
    let mut random = seed("nodes, no fault");
    let Some(mut fleet) = Fleet::open("nodes, no fault", &mut random, Choice::default()).await else {
        return;
    };
    let load = fleet.send(50);
    fleet.until_accepted(200).await;
    let balance = fleet.balance(load, Excuse::Nothing).await;
    assert_eq!((balance.not_now, balance.no_answer, balance.refused), (0, 0, 0));
    assert_eq!(balance.arrived, balance.accepted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_node_held_is_taken_over() {
    let mut random = seed("nodes, one is dead");
    let Some(mut fleet) = Fleet::open("nodes, one is dead", &mut random, Choice::default()).await else {
        return;
    };
    let load = fleet.send(40);
    fleet.until_accepted(40).await;
    // What is accepted now waits for its answer, at each of them.
    fleet.peer.behave(Manner::Silent);
    fleet.until_accepted(60).await;
    fleet.kill(0);
    fleet.peer.behave(Manner::Proper);
    fleet.until_accepted(40).await;
    let balance = fleet.balance(load, Excuse::Unanswered).await;
    assert_eq!((balance.arrived, balance.refused), (balance.accepted, 0));
    assert!(!fleet.nodes[0].is_running());
}

/// `IMPSGW_CHAOS_SECONDS` has it last longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_are_killed_every_few_seconds() {
    let mut random = seed("nodes, kills");
    let Some(mut fleet) = Fleet::open("nodes, kills", &mut random, Choice::default()).await else {
        return;
    };
    let load = fleet.send(30);
    let end = Instant::now() + Duration::from_secs(number("IMPSGW_CHAOS_SECONDS").unwrap_or(120));
    let mut kills = 0;
    while Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(random.u64(500..5000))).await;
        let node = random.usize(0..fleet.nodes.len());
        fleet.kill(node);
        kills += 1;
        tokio::time::sleep(Duration::from_millis(random.u64(0..2000))).await;
        fleet.start(node).await;
    }
    println!("nodes, kills: {kills} kills");
    let balance = fleet.balance(load, Excuse::Faults).await;
    assert_eq!(balance.arrived, balance.accepted);
    assert_eq!(balance.refused, 0);
}
