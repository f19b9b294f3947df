//! A whole gateway that is killed under load, at random moments, and started again on what is left of it.
//!
//! Half of the cycles are on a disk that forgets what was not synced, and half of those die at a sync. What was accepted must
//! have arrived; what arrived twice must have had the same ID, and have been under way when the gateway was killed.
//!
//! `IMPSGW_CRASH_CYCLES=1000` kills more often, `IMPSGW_CRASH_SEED=N` plays an earlier run's kills again.

use std::time::{Duration, Instant};

use super::{number, preload::Kept};
use crate::ledger::{
    PATIENCE,
    books::Excuse,
    gateway::Ground,
    stage::{Settings, Stage},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_gateway_keeps_what_it_accepted() {
    let seed = number("IMPSGW_CRASH_SEED").unwrap_or_else(|| fastrand::u64(..1 << 32));
    let cycles = number("IMPSGW_CRASH_CYCLES").unwrap_or(50);
    println!("IMPSGW_CRASH_SEED={seed} IMPSGW_CRASH_CYCLES={cycles}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut stage = Stage::new("kills", &mut random, Settings::default()).await;
    for cycle in 0..cycles {
        // Half of the time messages go through the store, half of the time they are cut through.
        stage.settings.accept = if random.bool() { "store" } else { "taken" };
        stage.ground = ground(&mut random);
        stage.start().await;
        let (enough, after) = (random.usize(5..60), random.u64(0..20_000));
        if stage.ground.dies_at.is_some() {
            until_dead(&mut stage).await;
        } else {
            stage.sender.until_answered(enough).await;
            stage.sender.for_a_while(Duration::from_micros(after)).await;
        }
        stage.kill();
        let unanswered = stage.sender.unanswered().len();
        println!(
            "killed in cycle {cycle}, accept = {}, {:?}: {unanswered} unanswered",
            stage.settings.accept, stage.ground
        );
    }
    stage.settings.accept = "taken";
    stage.ground = Ground::default();
    stage.start().await;
    let balance = stage.balance(Excuse::Faults).await;
    assert_eq!(balance.refused, 0, "{:?}", stage.ledger.lock().unwrap().refused);
    assert!(balance.accepted as u64 >= 5 * cycles);
}

fn ground(random: &mut fastrand::Rng) -> Ground {
    let forgets = random.bool();
    let at_sync = (random.u64(1..120), Kept::any(random));
    Ground {
        forgets,
        dies_at: (forgets && random.bool()).then_some(at_sync),
        has_clock: false,
    }
}

/// Sends until the gateway dies by itself.
async fn until_dead(stage: &mut Stage) {
    let deadline = Instant::now() + PATIENCE;
    while stage.is_running() {
        assert!(Instant::now() < deadline, "{}", stage.log());
        stage.sender.for_a_while(Duration::from_millis(20)).await;
    }
}
