//! Random faults of nodes, of what they share and of the peer, one after the other and on top of one another.

use std::time::Duration;

use tokio::{task::block_in_place, time::sleep};

use super::stage::{Choice, Fleet};
use crate::{
    crash::number,
    ledger::{books::Excuse, proxy::Weather, seed, side::Manner},
    store::database::Server,
};

/// `IMPSGW_LEDGER_FAULTS=200` has so many follow one another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_faults() {
    let mut random = seed("nodes, random");
    let Some(mut fleet) = Fleet::open("nodes, random", &mut random, Choice::default()).await else {
        return;
    };
    let load = fleet.send(20);
    for count in 0..number("IMPSGW_LEDGER_FAULTS").unwrap_or(8) {
        let fault = Fault::any(&mut random);
        println!("nodes, random {count}: {fault:?}");
        fleet.fails();
        fault.begin(&mut fleet).await;
        sleep(Duration::from_millis(random.u64(0..4000))).await;
        // A third of them stay, and the next ones come on top.
        if random.u8(..3) > 0 {
            end_all(&mut fleet).await;
            fleet.until_accepted(random.usize(1..20)).await;
        }
    }
    end_all(&mut fleet).await;
    fleet.until_accepted(20).await;
    fleet.until_something_arrived().await;
    let balance = fleet.balance(load, Excuse::Unanswered).await;
    assert_eq!(balance.refused, 0);
}

/// Something that goes wrong.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// A node is killed.
    Kill(usize),
    /// A node is stopped in order.
    Stop(usize),
    /// The database is stopped in order, or not, and started again.
    Database { in_order: bool },
    /// The network between a node and the database.
    ToDatabase(usize, Weather),
    /// The network to a node from the others.
    FromNodes(usize, Weather),
    /// Of the peer.
    Peer(Manner),
}

impl Fault {
    fn any(random: &mut fastrand::Rng) -> Self {
        let node = random.usize(0..3);
        match random.u8(..10) {
            0 | 1 => Self::Kill(node),
            2 => Self::Stop(node),
            3 => Self::Database {
                in_order: random.bool(),
            },
            4 => Self::ToDatabase(node, Weather::Held),
            5 => Self::ToDatabase(node, Weather::Closed),
            6 => Self::FromNodes(node, Weather::Held),
            7 => Self::FromNodes(node, Weather::Closed),
            8 => Self::Peer(Manner::Silent),
            _ => Self::Peer(Manner::Fails),
        }
    }

    async fn begin(self, fleet: &mut Fleet) {
        match self {
            Self::Kill(node) => fleet.kill(node),
            Self::Stop(node) => stop(fleet, node).await,
            Self::Database { in_order } => {
                let end = if in_order { Server::stop } else { Server::crash };
                let bin = fleet.bin.clone();
                block_in_place(|| end(&mut fleet.primary));
                sleep(Duration::from_secs(1)).await;
                block_in_place(|| fleet.primary.recover(&bin));
            }
            Self::ToDatabase(node, weather) => fleet.set_database(node, weather).await,
            Self::FromNodes(node, weather) => fleet.nodes[node].from_nodes.set(weather).await,
            Self::Peer(manner) => fleet.peer.behave(manner),
        }
    }
}

/// A node that runs is stopped in order; it is started again when all else works.
async fn stop(fleet: &mut Fleet, node: usize) {
    if fleet.nodes[node].is_running() {
        let status = fleet.nodes[node].drain(Duration::from_secs(60)).await;
        assert!(status.is_some_and(|status| status.success()));
    }
}

/// Everything works again, and every node runs.
async fn end_all(fleet: &mut Fleet) {
    fleet.peer.behave(Manner::Proper);
    for node in 0..fleet.nodes.len() {
        fleet.set_database(node, Weather::Fair).await;
        fleet.nodes[node].from_nodes.set(Weather::Fair).await;
    }
    fleet.fails();
    for node in 0..fleet.nodes.len() {
        if !fleet.nodes[node].is_running() {
            fleet.start(node).await;
        }
    }
}
