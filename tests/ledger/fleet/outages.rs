//! What nodes share fails: the database is restarted, fails over, or can't be reached, and nodes can't reach one another.
//!
//! Meanwhile senders are told to come again, and the probes say why; afterwards everything goes on without a restart.

use std::time::Duration;

use tokio::{task::block_in_place, time::sleep};

use super::stage::{Choice, Fleet};
use crate::{
    ledger::{
        books::{Balance, Excuse},
        proxy::Weather,
        seed,
    },
    store::database::Server,
};

const ALL: [usize; 3] = [0, 1, 2];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn database_is_restarted() {
    let Some(mut fleet) = open("database restarted", Choice::default()).await else {
        return;
    };
    let load = fleet.send(30);
    fleet.until_accepted(30).await;
    for how in [Server::stop, Server::crash] {
        fleet.fails();
        block_in_place(|| how(&mut fleet.primary));
        let why = fleet.until_ready_is(503, &ALL).await;
        assert!(why.contains("the database is away"), "{why}");
        sleep(Duration::from_secs(1)).await;
        let bin = fleet.bin.clone();
        block_in_place(|| fleet.primary.recover(&bin));
        fleet.fails();
        fleet.until_ready_is(200, &ALL).await;
        fleet.until_accepted(60).await;
    }
    let balance = fleet.balance(load, Excuse::Faults).await;
    everything_arrived(&mut fleet, &balance);
    assert!(balance.not_now > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn database_fails_over() {
    let choice = Choice {
        standby: true,
        ..Choice::default()
    };
    let Some(mut fleet) = open("database failed over", choice).await else {
        return;
    };
    let load = fleet.send(30);
    fleet.until_accepted(60).await;
    fleet.fails();
    block_in_place(|| fleet.primary.crash());
    sleep(Duration::from_secs(2)).await;
    let (bin, standby) = (fleet.bin.clone(), fleet.standby.take().unwrap());
    block_in_place(|| standby.promote(&bin));
    fleet.fails();
    fleet.until_ready_is(200, &ALL).await;
    fleet.until_accepted(90).await;
    let balance = fleet.balance(load, Excuse::Faults).await;
    everything_arrived(&mut fleet, &balance);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_can_not_reach_the_database() {
    let Some(mut fleet) = open("one node without the database", Choice::default()).await else {
        return;
    };
    let load = fleet.send(30);
    fleet.until_accepted(30).await;
    fleet.fails();
    fleet.set_database(1, Weather::Held).await;
    fleet.until_ready_is(503, &[1]).await;
    // Longer than the others think that it lives.
    sleep(super::LEASE).await;
    fleet.until_ready_is(200, &[0, 2]).await;
    fleet.until_accepted(60).await;
    fleet.set_database(1, Weather::Fair).await;
    fleet.fails();
    fleet.until_ready_is(200, &ALL).await;
    fleet.until_accepted(30).await;
    let balance = fleet.balance(load, Excuse::Unanswered).await;
    everything_arrived(&mut fleet, &balance);
    assert!(balance.not_now > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_node_can_reach_the_database() {
    let Some(mut fleet) = open("no node with the database", Choice::default()).await else {
        return;
    };
    let load = fleet.send(30);
    fleet.until_accepted(30).await;
    fleet.fails();
    for node in ALL {
        fleet.set_database(node, Weather::Held).await;
    }
    fleet.until_ready_is(503, &ALL).await;
    sleep(super::LEASE).await;
    for node in ALL {
        fleet.set_database(node, Weather::Fair).await;
    }
    fleet.fails();
    fleet.until_ready_is(200, &ALL).await;
    fleet.until_accepted(60).await;
    let balance = fleet.balance(load, Excuse::Unanswered).await;
    everything_arrived(&mut fleet, &balance);
    assert!(balance.not_now > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_can_not_reach_one_another() {
    let Some(mut fleet) = open("nodes parted", Choice::default()).await else {
        return;
    };
    let load = fleet.send(30);
    fleet.until_accepted(30).await;
    fleet.until_something_arrived().await;
    for weather in [Weather::Held, Weather::Closed] {
        fleet.fails();
        for node in ALL {
            fleet.nodes[node].from_nodes.set(weather).await;
        }
        fleet.until_accepted(150).await;
        for node in ALL {
            fleet.nodes[node].from_nodes.set(Weather::Fair).await;
        }
        fleet.fails();
        fleet.until_accepted(30).await;
    }
    let balance = fleet.balance(load, Excuse::Faults).await;
    everything_arrived(&mut fleet, &balance);
    assert_eq!(balance.not_now, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_carried_while_the_database_is_away() {
    let choice = Choice {
        agreement: "degraded = \"carry\"\n",
        ..Choice::default()
    };
    let Some(mut fleet) = open("carried", choice).await else {
        return;
    };
    let load = fleet.send(30);
    fleet.until_accepted(120).await;
    fleet.fails();
    block_in_place(|| fleet.primary.stop());
    for node in ALL {
        let says = fleet.until_says(200, &[node], "carry").await;
        assert!(says.contains("the database is away"), "{says}");
    }
    fleet.until_accepted(40).await;
    let bin = fleet.bin.clone();
    block_in_place(|| fleet.primary.recover(&bin));
    fleet.fails();
    fleet.until_says(200, &ALL, "ready\n").await;
    fleet.until_accepted(60).await;
    // Of what was delivered and can't be kept a repeat is not known.
    let balance = fleet.balance(load, Excuse::Unanswered).await;
    everything_arrived(&mut fleet, &balance);
}

async fn open(name: &'static str, choice: Choice) -> Option<Fleet> {
    Fleet::open(name, &mut seed(name), choice).await
}

/// Nothing was refused for good, and no node was restarted.
fn everything_arrived(fleet: &mut Fleet, balance: &Balance) {
    assert_eq!((balance.arrived, balance.refused), (balance.accepted, 0));
    assert!(fleet.nodes.iter_mut().all(super::node::Node::is_running));
}
