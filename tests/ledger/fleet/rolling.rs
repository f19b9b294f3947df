//! Nodes are stopped in order and started again, one after the other, as for an upgrade: nobody who sends notices.

use std::time::Duration;

use super::stage::{Choice, Fleet};
use crate::ledger::{books::Excuse, seed};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_are_replaced_without_a_refused_message() {
    let mut random = seed("nodes, rolling restart");
    let Some(mut fleet) = Fleet::open("nodes, rolling restart", &mut random, Choice::default()).await else {
        return;
    };
    let load = fleet.send(40);
    fleet.until_accepted(40).await;
    fleet.until_something_arrived().await;
    for round in 0..2 {
        for node in 0..fleet.nodes.len() {
            let status = fleet.nodes[node].drain(WITHIN).await;
            let status = status.unwrap_or_else(|| panic!("n{} does not end", node + 1));
            assert!(status.success(), "{status}");
            // The others serve meanwhile, longer the first time.
            fleet.until_accepted(if round == 0 { 60 } else { 5 }).await;
            fleet.start(node).await;
            fleet.until_ready_is(200, &[node]).await;
        }
    }
    let balance = fleet.balance(load, Excuse::Nothing).await;
    assert_eq!((balance.not_now, balance.refused, balance.no_answer), (0, 0, 0));
    assert_eq!((balance.arrived, balance.repeated), (balance.accepted, 0));
}

/// What is under way at the end of a node takes no longer: an answer of a peer, and the last exchange.
const WITHIN: Duration = Duration::from_secs(15);
