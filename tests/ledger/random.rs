//! Random faults, one after the other and on top of one another, with kills between.

use std::time::Duration;

use super::{
    books::Excuse,
    proxy::Weather,
    seed,
    side::Manner,
    stage::{Settings, Stage},
};
use crate::crash::{number, preload::Kept};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_faults_towards_a_strict_peer() {
    faults("random, strict", "strict").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_faults_towards_an_observed_peer() {
    faults("random, observed", "observed").await;
}

async fn faults(name: &'static str, profile: &'static str) {
    let mut random = seed(name);
    let settings = Settings {
        profile,
        answer_timeout: 1500,
        query_timeout: 1500,
        ttl: 1,
        ..Settings::default()
    };
    let mut stage = Stage::new(name, &mut random, settings).await;
    stage.ground.has_clock = true;
    stage.start().await;
    for count in 0..number("IMPSGW_LEDGER_FAULTS").unwrap_or(12) {
        let fault = Fault::any(&mut random);
        println!("{name} {count}: {fault:?}");
        fault.begin(&mut stage).await;
        stage.sender.validity = random.bool().then_some(Duration::from_secs(3));
        stage.sender.until_answered(random.usize(5..20)).await;
        stage
            .sender
            .wait(Duration::from_millis(random.u64(0..1500)))
            .await;
        if random.u8(..3) == 0 {
            restart(&mut stage, &mut random).await;
        }
        // A third of them stay, and the next ones come on top.
        if random.u8(..3) > 0 {
            end_all(&mut stage).await;
            stage.sender.until_answered(random.usize(0..10)).await;
        }
    }
    end_all(&mut stage).await;
    stage.sender.validity = None;
    if !stage.is_running() {
        stage.start().await;
    }
    stage.sender.until_answered(10).await;
    stage.balance(Excuse::Unanswered).await;
}

/// Something that goes wrong.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Of the peer.
    Peer(Manner),
    /// Of the network towards it.
    There(Weather),
    /// Of the network from it.
    Back(Weather),
    /// Of the network both ways.
    Both(Weather),
    /// The name server is gone.
    Dns,
    /// The wall clock jumps forward by so many seconds.
    Clock(i64),
}

impl Fault {
    fn any(random: &mut fastrand::Rng) -> Self {
        match random.u8(..12) {
            0 => Self::Peer(Manner::Slow(Duration::from_millis(random.u64(100..2500)))),
            1 => Self::Peer(Manner::Silent),
            2 => Self::Peer(Manner::Fails),
            3 => Self::Peer(Manner::Garbage),
            4 => Self::There(Weather::CutsRequests(random.usize(1..2000))),
            5 => Self::There(Weather::CutsResponses(random.usize(0..40))),
            6 => Self::There(Weather::Closed),
            7 => Self::Back(Weather::CutsRequests(random.usize(1..1000))),
            8 => Self::Both(Weather::Held),
            9 => Self::Both(Weather::Closed),
            10 => Self::Dns,
            _ => Self::Clock(random.i64(0..600)),
        }
    }

    async fn begin(self, stage: &mut Stage) {
        match self {
            Self::Peer(manner) => stage.peer.behave(manner),
            Self::There(weather) => stage.to_peer.set(weather).await,
            Self::Back(weather) => stage.from_peer.set(weather).await,
            Self::Both(weather) => stage.set_network(weather).await,
            Self::Dns => stage.stop_dns().await,
            Self::Clock(seconds) => stage.clock.step_by(seconds),
        }
    }
}

/// All but the clock, which stays as it is.
async fn end_all(stage: &mut Stage) {
    stage.peer.behave(Manner::Proper);
    stage.set_network(Weather::Fair).await;
    stage.start_dns().await;
}

/// The gateway is killed, between syncs or at one, and started again, on a disk that forgets or one that does not.
async fn restart(stage: &mut Stage, random: &mut fastrand::Rng) {
    stage.kill();
    stage.ground.forgets = random.bool();
    if stage.ground.forgets && random.bool() {
        stage.ground.dies_at = Some((random.u64(1..30), Kept::any(random)));
        stage.start().await;
        stage
            .sender
            .for_a_while(Duration::from_millis(random.u64(0..300)))
            .await;
        stage.kill();
        stage.ground.dies_at = None;
    }
    println!("killed, {:?}", stage.ground);
    stage.start().await;
}
